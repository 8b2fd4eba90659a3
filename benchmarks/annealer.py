"""Time of the annealer and of the minimum gap against general packages, and against what this machine can do.

annealer.csv has an instance, method and number of threads a row; limit.csv the time over the least that bandwidth and
arithmetic of this machine allow. Instances: d candidates of an image at N_f = 512, beta, pair sum and driver of the
headline's conventions, tau = 50, linear schedule.

Every method runs at the cheapest setting of a ladder that reaches the same measured accuracy: 1e-5 in the fidelity,
against `anneal` at tolerance 1e-9 (1e-7 beyond d = 18), and 1e-6 in the gap, against a certified 1e-8. The next finer
setting must reach it too, lest a lucky one wins. Neither the search nor the energies, matrices and compilation are
timed. A method stops at the size where one run is expected to exceed the limit: four times the last, for two qubits.
Only a `verified` one knows its error itself: "ours, verified", and our gap, which is certified.
"""

import io
import time
from contextlib import contextmanager

import machine
import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from methods import CORES, METHODS, PATH, POINTS, SCHEDULE, Problem, missing
from methods import authors_evolution as authors_evolution  # for those who import this file
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from qafs_utils.annealing import cpu_rotations, schedules, splitting
from qafs_utils.annealing import threads as pool
from qafs_utils.annealing.cpu import Loops
from qafs_utils.artefacts.files import to_csv, write_atomically
from qafs_utils.plots.style import PAGE, STYLE, plt

NAMES = ["method", "verified", "threads"]
ACCURACY = {"evolution": 1e-5, "minimum gap": 1e-6}
INSTANCES = 3  # a size; one when a run takes longer than SLOW
REPEATS, ENOUGH, SLOW = 50, 0.3, 2.0  # best of so many repeats, or of those that take ENOUGH; seconds
COMPARED = 0.1  # seconds of a run up to which all variants of a method are tried; then the best of instance 0 stays
SHARED_FROM = cpu_rotations.SHARED + 1  # d of the vectors that threads share
STEPS = 20  # of Lanczos, for limit.csv
WHOLE, SAMPLED = 20.0, 4.0  # seconds up to which the authors' time steps are run whole, else that of the sample


@contextmanager
def threads(number):
    """Let the annealer use so many threads."""
    pool.THREADS = number
    try:
        yield
    finally:
        pool.THREADS = CORES


def timed(function, *arguments):
    """->  seconds, result; what the function has to `build` before is not timed."""
    if build := getattr(function, "build", None):
        build(*arguments)
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
        self.guesses, self.variants, self.last, self.spent = {}, {m: m.variants for m in METHODS}, {}, {}

    def expected(self, method, d):
        """Seconds expected of the longest single call, from the size before."""
        before, seconds = self.last.get(method, (d, 0.0))
        return seconds * 2.0 ** (d - before)

    def add(self, method, problems):
        """Measure a method at one size, or stop it there."""
        d = problems[0].d
        if reason := missing(method.package):
            self.stopped[method] = reason
        if method in self.stopped:
            return
        if self.expected(method, d) > self.limit:
            self.stopped[method] = f"d = {d}: over {self.limit:g} s expected"
            return
        start, alone = time.perf_counter(), method.sampled or self.expected(method, d) > SLOW
        try:
            problems = problems[: 1 if alone else None]
            for problem in problems:
                problem.reference(method.quantity)  # by all cores
            with threads(method.threads):
                rows = [self.measure(method, problem) for problem in problems]
        except MemoryError as error:
            self.stopped[method] = f"d = {d}: {error}"
            return
        finally:
            self.spent[method] = self.spent.get(method, 0.0) + time.perf_counter() - start
        self.rows += rows
        longest = max(row["seconds"] for row in rows)
        self.last[method] = d, 3 * longest / POINTS if method.sampled else longest
        if longest > COMPARED:
            self.variants[method] = (rows[0]["variant"],)

    def measure(self, method, problem):
        """One row of the table."""
        reference, accuracy = problem.reference(method.quantity), ACCURACY[method.quantity]
        row = {"quantity": method.quantity, "d": problem.d, "instance": problem.instance}
        row |= {"method": method.name, "verified": method.verified, "threads": method.threads}
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

    def run(self, sizes, ends):
        """Measure all methods of these quantities: sizes, the d of all; ends, {quantity: the largest d of ours}."""

        def wanted(method, d):
            if method.quantity not in ends:
                return False
            possible = d <= method.largest and (method.threads == 1 or d >= SHARED_FROM)
            return possible and (d <= sizes[-1] or method.name.startswith("ours") and d <= ends[method.quantity])

        every = (*sizes, *range(sizes[-1] + 2, max(ends.values()) + 1, 2))
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


def lanczos_steps(problem):
    """Seconds of so many steps of Lanczos in the middle of the anneal, best of three: with their number."""
    basis, numbers = np.empty((STEPS + 1, 2**problem.d)), np.empty((2, STEPS + 1))
    basis[0], numbers[1, 0] = 2.0 ** (-problem.d / 2), 1.0
    flip = SCHEDULE.A(0.5) * schedules.driver_strength(PATH["driver"], problem.d)
    matrix, none = (SCHEDULE.B(0.5) * problem.energies, flip), np.empty((0, 2**problem.d))
    runs = [timed(Loops.lanczos, basis, *matrix, 0, STEPS, numbers[0], numbers[1], none) for _ in range(4)]
    return min(seconds for seconds, _ in runs[1:]), runs[0][1]


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
            seconds, steps = lanczos_steps(problem)
            found.append(machine.ratio("Lanczos", problem.d, steps, seconds, 1))
    return found


STYLES = {  # colour (Okabe-Ito), marker, name in each panel
    "ours": ("#0072B2", "o", {"evolution": "ours", "minimum gap": "ours, certified"}),
    "ours, verified": ("#56B4E9", "s", {"evolution": "ours, verified"}),
    "NumPy": ("#F0E442", "*", {"evolution": "NumPy, our splitting"}),
    "Qulacs": ("#999999", "<", {"evolution": "Qulacs, our splitting"}),
    "Qulacs, prebuilt": ("#666666", ">", {"evolution": "Qulacs, circuit not timed"}),
    "QuTiP": ("#E69F00", "^", {"evolution": "QuTiP sesolve"}),
    "SciPy, our product": ("#882255", "d", {"minimum gap": "SciPy eigsh, our product"}),
    "PRIMME": ("#999999", "<", {"minimum gap": "PRIMME, our product"}),
    "authors": ("#D55E00", "X", {"evolution": "authors' algorithm", "minimum gap": "authors' algorithm"}),
}


def figure_of(table):
    """Median time against d, a panel a quantity, dashed if not verified: the table of `Benchmark`  ->  Figure."""
    figure, axes = plt.subplots(1, 2, figsize=(PAGE, 3.9), sharey=True)
    for axis, (quantity, part) in zip(axes, table.groupby("quantity")):
        for (name, number), lines in part.groupby(["method", "threads"], sort=False):
            colour, marker, names = STYLES[name]
            seconds = lines.groupby("d").seconds.median()
            hollow = seconds[lines.groupby("d").extrapolated.any()]
            label = names[quantity] + (f", {number} cores" if number > 1 else "")
            if len(hollow):
                label += "\n(hollow: extrapolated)"
            dashes = "-" if lines.verified.all() else "--"
            style = {"color": colour, "marker": marker, "markersize": 4.5 if number == 1 else 2.5}
            axis.plot(seconds, ls=dashes, label=label, **style)
            axis.plot(hollow, ls="", mfc="w", **style)
        axis.set(yscale="log", xlabel="number of candidates $d$", title=quantity)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 4]))
        axis.grid(axis="y", lw=0.3, color="0.85")
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2, columnspacing=1)
    axes[0].set_ylabel("time (s)")
    return figure


def speed_ups(table, base="ours"):
    """Time of each method over ours on one thread, median over common instances: a row a quantity and method."""
    times = table.pivot_table(index=["quantity", "d", "instance"], columns=NAMES, values="seconds")
    ours = times[base].xs(1, axis=1, level="threads").max(axis=1)
    ratios = times.div(ours, axis=0).groupby(level=["quantity", "d"]).median()
    return ratios.stack(NAMES, future_stack=True).dropna().unstack("d")


def number(value):
    """Two digits of a number, without an exponent."""
    return np.format_float_positional(float(f"{value:.2g}"), trim="-")


def summary(table, limit, sizes=(10, 14, 18)):
    """What docs/running.md says of annealer.csv and limit.csv: yields the lines of its table and sentences."""
    lines = {  # what, of which the ratios are: quantity, base
        "anneal": ("evolution", "ours"),
        "anneal with its error verified": ("evolution", "ours, verified"),
        "certified minimum gap": ("minimum gap", "ours"),
    }
    one = table[(table.threads == 1) & table.d.isin(sizes)]
    medians = one.groupby(["quantity", "method", "d"]).seconds.median()
    for what, (quantity, base) in lines.items():
        ours, ratios = medians[quantity, base], speed_ups(one, base).loc[quantity].reset_index().set_index("method")
        others = [name for name in STYLES if name in ratios.index and not name.startswith("ours")]
        of_each = [f"{name} {' / '.join(number(ratios.loc[name, d]) for d in sizes if d in ratios)}" for name in others]
        of_each = [text.replace(" / nan", "") for text in of_each]
        yield f"| {what}, s | {' / '.join(map(number, ours))} | {', '.join(of_each)} |"
    shared = table[(table.method == "ours, verified") & (table.threads > 1)]
    if len(shared):
        last = shared[shared.d == shared.d.max()]
        seconds = number(last.seconds.median())
        yield f"An anneal at d = {last.d.max()} takes {seconds} s on both cores, verification included."
    part = limit[(limit.threads == 1) & limit.d.between(12, 20)].groupby("what").ratio
    low, high = (part.agg(how).map("{:.1f}".format) for how in ("min", "max"))
    yield (
        f"At d = 12 to 20 an anneal takes {low.evolution} to {high.evolution} times the least time that arithmetic or "
        f"bandwidth allow, and Lanczos {low.Lanczos} to {high.Lanczos} times."
    )


def renewed(path, table, key):
    """The table, after the rows of the file whose `key` is none of its own: of another part of the benchmark."""
    before = pd.read_csv(path) if path.exists() else table[:0]
    return pd.concat([part for part in (before[~before[key].isin(table[key])], table) if len(part)], ignore_index=True)


def measure(sizes, ends, limit, folder):
    """Measure as `Benchmark.run`, write annealer.csv, limit.csv and annealer.png, and print what they say."""
    benchmark = Benchmark(limit)
    with threadpool_limits(1):
        benchmark.run(sizes, ends)
    table = renewed(folder / "annealer.csv", pd.DataFrame(benchmark.rows), "quantity")
    limit = renewed(folder / "limit.csv", pd.DataFrame(benchmark.limits), "what")
    content = io.BytesIO()
    plt.style.use(STYLE)
    figure_of(table).savefig(content, format="png", metadata={"Software": None})
    write_atomically(folder / "annealer.csv", to_csv(table))
    write_atomically(folder / "limit.csv", to_csv(limit))
    write_atomically(folder / "annealer.png", content.getvalue())

    pd.set_option("display.width", 120, "display.max_columns", 30, "display.float_format", "{:.3g}".format)
    print("\nseconds, median:")
    print(table.pivot_table(index=["quantity", *NAMES], columns="d", values="seconds", aggfunc="median"))
    for base in ("ours", "ours, verified"):
        if (table.method == base).any():
            print(f"\ntime over that of {base}, one thread:")
            print(speed_ups(table, base).dropna(how="all"))
    if set(table.quantity) == set(ACCURACY) and {10, 14, 18} <= set(table.d):
        print("\ndocs/running.md:", *summary(table, limit), sep="\n")
    print("\nmeasured time over the machine's limit:")
    print(limit.to_string(index=False))
    missed = table[(table.error > table.quantity.map(ACCURACY)) & (table.method != "authors")]
    if len(missed):
        print("\nnot accurate enough at any setting:")
        print(missed.to_string(index=False))
    whole = table[(table.method == "authors") & ~table.extrapolated]
    print("\nlargest error of the authors' algorithm, where run whole:")
    print(whole.groupby("quantity").error.max().to_string())
    for method in benchmark.stopped | benchmark.spent:
        spent, stopped = benchmark.spent.get(method, 0.0), benchmark.stopped.get(method, "to the end")
        print(f"{method.quantity}, {method.name}, {method.threads} threads: {spent:.0f} s in all, {stopped}")
