"""Time of the annealer and of the minimum gap against general packages, and against what this machine can do.

    python benchmarks/annealer.py [--sizes 6-18] [--ours-to 24] [--gap-to 20] [--limit 60] [--out benchmarks]

Writes annealer.csv (an instance, method and number of threads a row), its figure annealer.png, and limit.csv (time over
the least that bandwidth and arithmetic allow). Instances: d candidates of an image at N_f = 512, beta, pair sum and
driver of the headline's conventions, tau = 50, linear schedule.

Every method runs at the cheapest setting of a ladder that reaches the same measured accuracy: 1e-5 in the fidelity,
against `anneal` at tolerance 1e-9 (1e-7 beyond d = 18), and 1e-6 in the gap, against a certified 1e-8. The next finer
setting must reach it too, lest a lucky one wins. Neither the search nor the energies, matrices and compilation are
timed. A method stops at the size where one run is expected to exceed the limit: four times the last, for two qubits.
"""

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")  # read on import

import argparse
import io
import time
from contextlib import contextmanager
from pathlib import Path

import machine
import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from methods import CORES, METHODS, POINTS, Problem, certified_gap
from methods import authors_evolution as authors_evolution  # for those who import this file
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from qafs_utils.annealing import cpu, cpu_rotations, splitting
from qafs_utils.annealing import threads as pool
from qafs_utils.artefacts.files import to_csv, write_atomically
from qafs_utils.plots.style import PAGE, STYLE, plt

ACCURACY = {"evolution": 1e-5, "minimum gap": 1e-6}
INSTANCES = 3  # a size; one when a run takes longer than SLOW
REPEATS, ENOUGH, SLOW = 50, 0.5, 5.0  # best of so many repeats, or of those that take ENOUGH; seconds
COMPARED = 0.1  # seconds of a run up to which all variants of a method are tried; then the best of instance 0 stays
SHARED_FROM = {"evolution": cpu_rotations.SHARED + 1, "minimum gap": 14}  # d of the vectors that threads share
WHOLE, SAMPLED = 30.0, 8.0  # seconds up to which the authors' time steps are run whole, else that of the sample


@contextmanager
def threads(number):
    """Let the annealer use so many threads."""
    pool.THREADS = number
    try:
        yield
    finally:
        pool.THREADS = CORES


def timed(function, *arguments):
    """->  seconds, result."""
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


def search(run, ladder, error, accuracy, guess):
    """Coarsest setting whose error, and that of the next finer, is small enough: index, seconds, error, repeats.

    guess: index to begin at. The finest setting when none will do; no second check of a setting slower than SLOW.
    """
    trials = {}

    def good(i):
        if i not in trials:
            seconds, value = timed(run, ladder[i])
            trials[i] = seconds, error(value)
        return trials[i][1] <= accuracy

    i = guess
    while i > 0 and good(i) and good(i - 1):
        i -= 1
    while i + 1 < len(ladder) and not (good(i) and (trials[i][0] > SLOW or good(i + 1))):
        i += 1
    good(i)
    seconds = [trials[i][0]]
    while sum(seconds) < ENOUGH and len(seconds) < REPEATS:
        seconds.append(timed(run, ladder[i])[0])
    return i, min(seconds), trials[i][1], len(seconds)


def sample(prepare, problem):
    """Seconds for all POINTS steps of a sampled method, result (NaN when extrapolated) and the steps that were run."""
    step, _ = prepare(problem)
    step(0)
    first = np.mean([timed(step, r)[0] for r in (POINTS // 2, POINTS - 1)])
    whole = POINTS * first <= WHOLE
    number = POINTS if whole else int(np.clip(SAMPLED / first, 3, POINTS // 2))
    step, result = prepare(problem)
    seconds = sum(timed(step, r)[0] for r in (POINTS * (np.arange(number) + 0.5) / number).astype(int))
    return seconds * POINTS / number, result() if whole else np.nan, number


class Benchmark:
    """Measurements of all methods, size after size; remembers settings, best variants and times."""

    def __init__(self, limit):
        self.limit = limit
        self.rows, self.limits, self.stopped = [], [], {}
        self.guesses, self.variants, self.last = {}, {m: m.variants for m in METHODS}, {}

    def expected(self, method, d):
        """Seconds expected of the longest single call, from the size before."""
        before, seconds = self.last.get(method, (d, 0.0))
        return seconds * 2.0 ** (d - before)

    def add(self, method, problems):
        """Measure a method at one size, or stop it there."""
        d = problems[0].d
        if method in self.stopped:
            return
        if self.expected(method, d) > self.limit:
            self.stopped[method] = f"d = {d}: over {self.limit:g} s expected"
            return
        alone = method.sampled or self.expected(method, d) > SLOW
        try:
            problems = problems[: 1 if alone else None]
            for problem in problems:
                problem.reference(method.quantity)  # by all cores
            with threads(method.threads):
                rows = [self.measure(method, problem) for problem in problems]
        except (ImportError, MemoryError) as error:
            self.stopped[method] = f"d = {d}: {error}"
            return
        self.rows += rows
        longest = max(row["seconds"] for row in rows)
        self.last[method] = d, 3 * longest / POINTS if method.sampled else longest
        if longest > COMPARED:
            self.variants[method] = (rows[0]["variant"],)

    def measure(self, method, problem):
        """One row of the table."""
        reference, accuracy = problem.reference(method.quantity), ACCURACY[method.quantity]
        row = {"quantity": method.quantity, "d": problem.d, "instance": problem.instance}
        row |= {"method": method.name, "threads": method.threads}
        if method.sampled:
            seconds, value, number = sample(method.prepare, problem)
            row |= {"variant": "", "setting": POINTS, "seconds": seconds, "repeats": 1, "error": abs(value - reference)}
            return row | {"extrapolated": number < POINTS}
        found = []
        for variant in self.variants[method]:
            run, key = method.prepare(problem, variant), (method.prepare, variant)
            guess = self.guesses.get(key, 0)
            i, seconds, error, repeats = search(run, method.ladder, lambda x: abs(x - reference), accuracy, guess)
            self.guesses[key] = i
            outcome = {"variant": variant, "setting": method.ladder[i], "seconds": seconds, "repeats": repeats}
            found.append(outcome | {"error": error, "extrapolated": False})
        return row | min(found, key=lambda x: (not x["error"] <= accuracy, x["seconds"]))

    def run(self, sizes, ours_to, gap_to):
        """Measure all methods: sizes, the d of all; ours_to, gap_to, the largest d of our evolution and gap."""
        ends = {"evolution": ours_to, "minimum gap": gap_to}

        def wanted(method, d):
            possible = d <= method.largest and (method.threads == 1 or d >= SHARED_FROM[method.quantity])
            return possible and (d <= sizes[-1] or method.name.startswith("ours") and d <= ends[method.quantity])

        every = (*sizes, *range(sizes[-1] + 2, max(ours_to, gap_to) + 1, 2))
        planned = {d: [method for method in METHODS if wanted(method, d)] for d in every}
        with tqdm(total=sum(map(len, planned.values()))) as progress:
            for d, methods in planned.items():
                try:
                    problems = [Problem(d, i) for i in range(INSTANCES)]
                except MemoryError as error:
                    tqdm.write(f"d = {d}: {error}")
                    return
                for method in methods:
                    progress.set_description(f"d = {d}, {method.quantity}, {method.name}, {method.threads} threads")
                    self.add(method, problems)
                    progress.update()
                self.limits += limits(self.rows, problems[0])


def counted_gap(problem):
    """Lanczos steps of one minimum gap, and the seconds spent in them."""
    lanczos, steps, seconds = cpu.Loops.lanczos, 0, 0.0  # looked up at each call

    def counted(basis, diagonal, flip, first, *others):
        nonlocal steps, seconds
        taken, done = timed(lanczos, basis, diagonal, flip, first, *others)
        steps, seconds = steps + done - first, seconds + taken
        return done

    cpu.Loops.lanczos = staticmethod(counted)
    try:
        certified_gap(problem, ACCURACY["minimum gap"])
    finally:
        cpu.Loops.lanczos = staticmethod(lanczos)
    return steps, seconds


def limits(rows, problem):
    """Rows of limit.csv for one problem: our times over the least that the machine allows, from the table so far."""
    found, ours_here = [], {"method": "ours", "d": problem.d, "instance": problem.instance}
    for row in rows:
        if any(row[key] != value for key, value in ours_here.items()):
            continue
        if row["quantity"] == "evolution":
            layers = row["setting"] * len(splitting.SPLITTINGS[row["variant"]][1])
            found.append(machine.ratio("evolution", problem.d, layers, row["seconds"], row["threads"]))
        elif row["threads"] == 1:
            with threads(1):
                runs = [counted_gap(problem) for _ in range(3 if row["seconds"] < SLOW else 1)]
            steps, seconds = min(runs, key=lambda run: run[1])
            if steps:  # small problems are solved by LAPACK
                found.append(machine.ratio("Lanczos", problem.d, steps, seconds, 1))
    return found


STYLES = {  # colour (Okabe-Ito), marker, name in each panel
    "ours": ("#0072B2", "o", {"evolution": "ours", "minimum gap": "ours, certified"}),
    "ours, verified": ("#56B4E9", "s", {"evolution": "ours, verified"}),
    "QuTiP": ("#E69F00", "^", {"evolution": "QuTiP sesolve"}),
    "QuSpin": ("#009E73", "v", {"evolution": "QuSpin evolve"}),
    "SciPy": ("#CC79A7", "D", {"evolution": "SciPy expm_multiply", "minimum gap": "SciPy eigsh"}),
    "LAPACK": ("#000000", "P", {"minimum gap": "LAPACK eigh"}),
    "authors": ("#D55E00", "X", {"evolution": "authors' algorithm", "minimum gap": "authors' algorithm"}),
}


def figure_of(table):
    """Median time against d, a panel a quantity: the table of `Benchmark`  ->  Figure."""
    figure, axes = plt.subplots(1, 2, figsize=(PAGE, 3.6), sharey=True)
    for axis, (quantity, part) in zip(axes, table.groupby("quantity")):
        for (name, number), lines in part.groupby(["method", "threads"], sort=False):
            colour, marker, names = STYLES[name]
            seconds = lines.groupby("d").seconds.median()
            hollow = seconds[lines.groupby("d").extrapolated.any()]
            label = names[quantity] + (f", {number} cores" if number > 1 else "")
            if len(hollow):
                label += "\n(hollow: extrapolated)"
            style = {"color": colour, "marker": marker, "markersize": 4.5 if number == 1 else 2.5}
            axis.plot(seconds, ls="-" if number == 1 else ":", label=label, **style)
            axis.plot(hollow, ls="", mfc="w", **style)
        axis.set(yscale="log", xlabel="number of candidates $d$", title=quantity)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 4]))
        axis.grid(axis="y", lw=0.3, color="0.85")
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2, columnspacing=1)
    axes[0].set_ylabel("time (s)")
    return figure


def speed_ups(table):
    """Time of each method over ours on one thread, median over common instances: a row a quantity and method."""
    times = table.pivot_table(index=["quantity", "d", "instance"], columns=["method", "threads"], values="seconds")
    ratios = times.div(times["ours", 1], axis=0).groupby(level=["quantity", "d"]).median()
    return ratios.stack(["method", "threads"], future_stack=True).dropna().unstack("d")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="6-18", help="smallest and largest d of all methods, in steps of two")
    parser.add_argument("--ours-to", type=int, default=24, help="largest d of our evolution")
    parser.add_argument("--gap-to", type=int, default=20, help="largest d of our minimum gap")
    parser.add_argument("--limit", type=float, default=60, help="longest time of one run in seconds")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder of the tables and the figure")
    options = parser.parse_args()
    first, last = (int(d) for d in options.sizes.split("-"))
    benchmark = Benchmark(options.limit)
    with threadpool_limits(1):
        benchmark.run(range(first, last + 1, 2), options.ours_to, options.gap_to)
    table, limit = pd.DataFrame(benchmark.rows), pd.DataFrame(benchmark.limits)
    content = io.BytesIO()
    plt.style.use(STYLE)
    figure_of(table).savefig(content, format="png", metadata={"Software": None})
    write_atomically(options.out / "annealer.csv", to_csv(table))
    write_atomically(options.out / "limit.csv", to_csv(limit))
    write_atomically(options.out / "annealer.png", content.getvalue())

    pd.set_option("display.width", 120, "display.max_columns", 30, "display.float_format", "{:.3g}".format)
    print("\nseconds, median:")
    print(table.pivot_table(index=["quantity", "method", "threads"], columns="d", values="seconds", aggfunc="median"))
    print("\ntime over ours on one thread:")
    print(speed_ups(table))
    print("\nmeasured time over the machine's limit:")
    print(limit.to_string(index=False))
    missed = table[(table.error > table.quantity.map(ACCURACY)) & (table.method != "authors")]
    if len(missed):
        print("\nnot accurate enough at any setting:")
        print(missed.to_string(index=False))
    whole = table[(table.method == "authors") & ~table.extrapolated]
    print("\nlargest error of the authors' algorithm, where run whole:")
    print(whole.groupby("quantity").error.max().to_string())
    for method, reason in benchmark.stopped.items():
        print(f"{method.quantity}, {method.name}, {method.threads} threads: stopped at {reason}")


if __name__ == "__main__":
    main()
