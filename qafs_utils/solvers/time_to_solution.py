"""Time to solution at the best annealing time, and how it grows with the size.

A read of time t holds the optimum with probability p. It is repeated R = ln(0.01) / ln(1 - p) times, not rounded up
and at least once, until the optimum was met with 99 %: TTS = t R (Rønnow et al. [roennow2014speedup], Eq. 3). Its law
in d means something only at the best t of each problem. At one t for all, small problems are annealed for longer than
they need, and the law looks better than it is (Albash and Lidar [albash2018scaling]).

Two ends deceive. As t goes to 0 a read becomes a guess of p = 2^-d, and t R goes to 0 with t: so the best time is the
lowest minimum that lies between the ends of the times tried, and what the shortest of them gives stands beside it. At
the other end a longer time may be better. As R is at least 1 no time beyond the TTS found is: until there the times
are extended.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd

from .. import intervals, require
from ..annealing import ising, processors, schedules
from ..annealing.evolution import anneal
from ..conventions import HEADLINE
from ..qubo.binary import energies
from ..qubo.feature_selection import Problem, require_problems
from .by_name import image_seeds, solver
from .reads import reads_needed

TIMES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0)  # in 1/energy, the paper's unit
FAST_TIMES = (5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 100.0)  # in ns, of the fast protocol
SWEEPS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
SWEEPING = ("simulated_annealing", "path_integral")  # solvers with the option num_sweeps
PLACES = ("interior", "shortest", "longest", "no hit")
_SAME = 1e-9  # energies, relative to the optimum's, that count as equal
_BATCH = 2**20  # amplitudes that are annealed together


def time_to_solution(probability, time, *, overhead: float = 0.0, confidence: float = 0.99) -> np.ndarray:
    """Time until the optimum was met with that confidence: (time + overhead) * `reads_needed`, in the unit of time.

    probability: (...) of one read, infinite where it is 0; time: of one read, positive, a number or an array that fits
    the last axes; overhead: what each read costs more, in the same unit. A read counts in full, a fraction of one too.
    Raises ValueError for a probability outside [0, 1], a time that is not positive, a negative overhead, and a
    confidence outside (0, 1).

    >>> time_to_solution([0.99, 0.5, 0.0], 20.0).round(2)  # ln 0.01 / ln 0.5 = 6.64 reads
    array([ 20.  , 132.88,    inf])
    """
    time, overhead = require.array("time", time, "...", interval="(0, inf)"), _overhead(overhead)
    reads = reads_needed(probability, confidence)
    if time.ndim and reads.shape[-time.ndim :] != time.shape:
        raise ValueError(f"time must be a number or fit the last axes of probability {reads.shape}, got {time.shape}")
    return (time + overhead) * reads


def largest_probability(reads: int, confidence: float = 0.95) -> float:
    """The largest probability that may hide behind no hit in so many reads: 1 - (1 - confidence)^(1 / reads).

    Raises ValueError for no read, and for a confidence outside (0, 1).

    >>> round(largest_probability(100), 4)  # about 3 / 100
    0.0295
    """
    reads, confidence = require.whole("reads", reads, 1), require.number("confidence", confidence, "(0, 1)")
    return 1 - (1 - confidence) ** (1 / reads)


def _overhead(overhead):
    return require.number("overhead", overhead, "[0, inf)")


def _times(times, longest):
    times = require.array("times", times, "T", interval="(0, inf)")
    require.whole("T, the number of times,", len(times), 3)
    if not (np.diff(times) > 0).all():
        raise ValueError(f"times must rise, got {require.described(times.tolist())}: sort them, each once")
    return times, require.number("longest", longest, "(0, inf)")


def optimal(times, tts) -> pd.DataFrame:
    """The best of the times tried, for each problem: times (T,) rising, tts (B, T), infinite where no read met it.

    ->  a table of B rows. time, tts: of the lowest minimum between the ends; of an end, where there is no minimum or
    the longest time is better still. place: "interior", "shortest", "longest", or "no hit" where all are infinite.
    certain: whether no longer time can be better, as the longest tried is above tts. at_shortest: tts of the
    shortest time, which may be lower: as a guess that costs nothing is.
    Raises ValueError for times that do not rise or are fewer than 3, and for tts below the time of a read.

    >>> optimal([1, 2, 4, 8], [[9.0, 6.0, 5.0, 8.0], [2.0, 4.0, 6.0, 9.0], [40.0, 30.0, 20.0, 10.0]]).place.tolist()
    ['interior', 'shortest', 'longest']
    """
    (times, _), sizes = _times(times, 1.0), {}
    require.shape("times", times.shape, "T", sizes)
    tts = np.asarray(tts, dtype=float)
    require.shape("tts", tts.shape, "B T", sizes)
    if not (tts >= times).all():
        raise ValueError("tts must be at least the time of a read, and infinite where none met the optimum, not NaN")
    rows = [_of_one(times, values) for values in tts]
    return pd.DataFrame(rows, columns=["time", "tts", "place", "certain", "at_shortest"])


def _of_one(times, values):
    """The row of `optimal` for one problem: values (T,)."""
    if np.isinf(values).all():
        return times[-1], np.inf, "no hit", False, np.inf
    falls, rises = values[1:-1] < values[:-2], values[1:-1] <= values[2:]
    later = np.maximum.accumulate(values[::-1])[
        ::-1
    ]  # the largest from there on: a plateau up to the end is no minimum
    inside = 1 + np.flatnonzero(falls & rises & (values[1:-1] < later[2:]))
    best = inside[values[inside].argmin()] if len(inside) else None
    if best is not None and values[best] <= values[-1]:
        place = "interior"
    else:
        best = 0 if best is None and values[0] <= values[-1] else len(values) - 1
        place = "longest" if best else "shortest"
    certain = bool(times[-1] >= values[best])
    return times[best], values[best], place, certain, values[0]


def search(
    success: Callable,
    d: Sequence[int],
    times,
    *,
    longest: float,
    reads: int | None = None,
    overhead: float = 0.0,
    confidence: float = 0.99,
) -> pd.DataFrame:
    """TTS at the best time of each of B problems, the times extended where that may still lie beyond them.

    success(time, which): (n,) numbers of problems  ->  (n,) probabilities of one read; d: (B,) sizes; times: (T,)
    rising, at least 3; longest: up to which the last is doubled while a problem's best time is not `certain`; reads:
    that success counts hits of, None where it knows the probability. Times that cannot be better than what was found
    are not tried.

    ->  table of B rows: instance, d, the columns of `optimal`, and censored: no read of any time met the optimum. tts
    is then a lower bound: what the largest probability would give that may hide behind no hit (`largest_probability`).
    Where only some times are without a hit, these count as infinite. The minimum of values that are counted is biased
    to the low side: count many reads.
    Raises ValueError as `time_to_solution` and `optimal`, and for a `longest` below the last of the times.

    >>> def success(time, which):
    ...     return np.full(len(which), 1 - np.exp(-((time / 10) ** 2)))
    >>> found = search(success, [5], (1, 2, 5), longest=99)
    >>> found[["time", "place", "certain"]].values.tolist()
    [[20.0, 'interior', True]]
    """
    times, longest = _times(times, longest)
    d = require.array("d", d, "B", interval="[0, inf)")
    if longest < times[-1]:
        raise ValueError(f"longest must be at least the last of the times, {times[-1]:g}, got {longest:g}")
    tried = partial(time_to_solution, overhead=overhead, confidence=confidence)

    def with_time(values, time, asked):  # the values of one more time, infinite where it is not asked for
        column, which = np.full(len(d), np.inf), np.flatnonzero(asked)
        if len(which):
            column[which] = tried(_of(success, time, which), time)
        return np.column_stack([values, column])

    values = np.empty((len(d), 0))
    for time in times:
        values = with_time(values, time, _least(values) > time)
    while True:
        table = optimal(times, values)
        open_ = (~table.certain | (table.place == "longest")).to_numpy()
        if not open_.any() or 2 * times[-1] > longest:
            break
        times, values = np.append(times, 2 * times[-1]), with_time(values, 2 * times[-1], open_)
    censored = (table.place == "no hit").to_numpy()
    if reads is not None:
        bound = tried(np.full(len(times), largest_probability(reads)), times).min()
        table.loc[censored, "tts"] = bound
    return pd.concat([pd.DataFrame({"instance": range(len(d)), "d": d.astype(int)}), table], axis=1).assign(
        censored=censored
    )


def _least(values):
    """The least value (B, T) that lies below the one before it, (B,): a longer time than this cannot be better."""
    return np.where(values[:, 1:] < values[:, :-1], values[:, 1:], np.inf).min(axis=1, initial=np.inf)


def _of(success, time, which):
    """Probabilities of some problems, whose rounding errors are cut off."""
    found = require.array("probabilities of success", success(float(time), which), "n", {"n": len(which)})
    return np.clip(found, 0, 1) if (abs(found - 0.5) < 0.5 + 1e-6).all() else found


def of_any_networks(problems) -> list[Problem]:
    """Problems as a list, of one or more; their numbers of feature maps may differ. Raises ValueError for others.

    >>> of_any_networks([])
    Traceback (most recent call last):
    ValueError: B, the number of problems, must be a whole number of at least 1, got 0
    """
    problems = [require_problems([problem])[0][0] for problem in intervals.per_image("problems", problems)]
    require.whole("B, the number of problems,", len(problems), 1)
    return problems


def anneals(
    problems,
    times=TIMES,
    *,
    longest: float = 16_000.0,
    beta=HEADLINE.beta,
    pair_sum=HEADLINE.pair_sum,
    driver=HEADLINE.driver,
    schedule="linear",
    tolerance: float = 1e-4,
    overhead: float = 0.0,
) -> pd.DataFrame:
    """`search` with exactly simulated anneals of B problems, in 1/energy: its table, with columns solver and unit.

    tolerance: of a probability. Raises as `search`, `anneal` and `Problem.bqm`.

    >>> from ..qubo.feature_selection import Problem
    >>> problem = Problem([0, 1], [-1.0, -0.9], [[1.0, 0.95], [0.95, 1.0]], 2)
    >>> found = anneals([problem], (1, 10, 100), longest=1000, beta=0.5)
    >>> found[["d", "place", "unit"]].values.tolist()  # of two qubits, a guess is faster
    [[2, 'shortest', '1/energy']]
    """
    problems = of_any_networks(problems)
    levels = [energies(p.bqm(beta, pair_sum)) for p in problems]
    success = partial(_annealed, levels, driver=driver, schedule=schedule, tolerance=tolerance)
    table = search(success, [p.d for p in problems], times, longest=longest, overhead=overhead)
    return table.assign(solver="schrodinger", unit="1/energy")


def processor_anneals(
    problems,
    processor: str,
    protocol: str = "fast",
    times=FAST_TIMES,
    *,
    longest: float | None = None,
    beta=HEADLINE.beta,
    pair_sum=HEADLINE.pair_sum,
    tolerance: float = 1e-4,
    overhead: float = 0.0,
) -> pd.DataFrame:
    """`search` with anneals on a processor's published schedule, in ns: its table, with columns solver and unit.

    Without noise, errors of control and chains: every variable is one qubit, and the Ising model is scaled to the
    ranges (`ising.as_taken`); for the fast protocol its fields are couplings to one more qubit, and either of the two
    optima counts. longest: None for that of the protocol; the standard one, from 500 ns on, takes minutes beyond ten
    qubits. Raises as `search` and `anneal`, and ValueError for an unknown processor or protocol, or a time that the
    protocol does not allow.

    >>> from ..qubo.feature_selection import Problem
    >>> problem = Problem([0, 1], [-1.0, -0.9], [[1.0, 0.95], [0.95, 1.0]], 2)
    >>> found = processor_anneals([problem], "Advantage2_system2", times=(5, 10, 20), longest=40)
    >>> found[["solver", "unit"]].values.tolist()
    [['Advantage2_system2 fast', 'ns']]
    """
    schedule, problems = schedules.of_processor(processor, protocol), of_any_networks(problems)
    times, _ = _times(times, 1.0)
    for time in (times[0], times[-1]):
        processors.anneal_time(protocol, time)
    longest = processors.PROTOCOLS[protocol][1] if longest is None else processors.anneal_time(protocol, longest)
    levels = [ising.as_taken(p.bqm(beta, pair_sum), protocol).energies() for p in problems]
    success = partial(_annealed, levels, driver="uniform", schedule=schedule, tolerance=tolerance)
    table = search(success, [p.d for p in problems], times, longest=longest, overhead=overhead)
    return table.assign(solver=schedule.name, unit="ns")


def _annealed(levels, time, which, **options):
    """Fidelities of problems that are annealed together where they have equally many qubits."""
    found, sizes = np.empty(len(which)), np.array([len(levels[i]) for i in which])
    for size in np.unique(sizes):
        rows = np.flatnonzero(sizes == size)
        for part in np.array_split(rows, -(-len(rows) * size // _BATCH)):
            found[part] = anneal(np.stack([levels[i] for i in which[part]]), time, **options).fidelity
    return found


def sampler_reads(
    problems,
    kind: str,
    sweeps=SWEEPS,
    *,
    longest: int = 16_384,
    reads: int = 1000,
    beta=HEADLINE.beta,
    pair_sum=HEADLINE.pair_sum,
    time_limit: float = 60.0,
    seed: int = 0,
) -> pd.DataFrame:
    """`search` with reads of a classical annealer, in sweeps: its table, with columns solver and unit.

    kind: of SWEEPING, dwave.samplers' simulated annealing or path-integral annealing, with their own ranges of
    temperatures; reads: that hits are counted in, for each number of sweeps; the optima are proven first, within
    time_limit seconds each. Every problem and number of sweeps has random numbers of its own.
    Raises ValueError as `search`, for another kind, sweeps that are no whole numbers, and an optimum without proof.

    >>> from ..qubo.feature_selection import Problem
    >>> problem = Problem([0, 1], [-1.0, -0.9], [[1.0, 0.95], [0.95, 1.0]], 2)
    >>> found = sampler_reads([problem], "simulated_annealing", (1, 2, 4), longest=8, reads=100, beta=0.5)
    >>> found[["solver", "unit", "censored"]].values.tolist()
    [['simulated_annealing', 'sweeps', False]]
    """
    require.choice("kind", kind, SWEEPING)
    (sweeps, _), reads = _times(sweeps, 1.0), require.whole("reads", reads, 1, 10**6)
    for count in sweeps:
        require.whole("sweeps", count, 1)
    models = [p.bqm(beta, pair_sum) for p in of_any_networks(problems)]
    proofs, seeds = (
        [solver("exact").sample(m, time_limit=time_limit).info for m in models],
        image_seeds(seed, len(models)),
    )
    if not all(proof["proven"] for proof in proofs):
        raise ValueError("an optimum is not proven: give a longer time_limit, in seconds")

    def hits(time, which):
        found = []
        for i in which:
            drawn = np.random.SeedSequence([int(seeds[i]), int(time)]).generate_state(1)[0] >> 1
            record = solver(kind).sample(models[i], num_reads=reads, num_sweeps=int(time), seed=int(drawn)).record
            optimum = proofs[i]["energy"]
            met = record.energy <= optimum + _SAME * max(abs(optimum), 1e-3)
            found.append(record.num_occurrences[met].sum() / record.num_occurrences.sum())
        return np.array(found)

    table = search(hits, [m.num_variables for m in models], sweeps, longest=longest, reads=reads)
    return table.assign(solver=kind, unit="sweeps")


def quantiles(
    table: pd.DataFrame,
    by: Sequence[str] = ("solver", "unit", "d"),
    *,
    levels: Sequence[float] = (0.5, 0.9),
    n_resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Quantiles of TTS over the problems of each group, with 95 % bootstrap intervals: a row a group and level.

    table: of `anneals` and others, with the columns of `by`  ->  those, level, instances, tts (the value of a problem,
    of two the higher), low, high (NaN for a single problem), interior (all of the group are), censored (tts is a lower
    bound, as a bound of a problem without a hit lies at it or below).
    Raises ValueError for a level outside [0, 1], and for missing columns.

    >>> table = pd.DataFrame({"d": 5, "tts": [1.0, 2.0, 9.0], "place": "interior", "censored": [False, False, True]})
    >>> quantiles(table, ["d"])[["level", "tts", "censored"]].values.tolist()
    [[0.5, 2.0, False], [0.9, 9.0, True]]
    """
    by, levels = list(by), require.array("levels", levels, "L", interval="[0, 1]")
    _columns(table, [*by, "tts", "place", "censored"])
    rows = []
    for key, part in table.groupby(by):
        values = part.tts.to_numpy()
        for level in levels:
            of_level = partial(np.quantile, q=level, method="higher")
            options = {"n_resamples": n_resamples, "seed": seed, "method": "percentile"}
            low, high = intervals.bootstrap_interval(values, of_level, **options)
            row = dict(zip(by, key)) | {"level": level, "instances": len(part), "tts": of_level(values)}
            row |= {"low": low, "high": high, "interior": bool((part.place == "interior").all())}
            rows.append(row | {"censored": bool((part.tts[part.censored] <= row["tts"]).any())})
    return pd.DataFrame(rows)


def exponent(
    table: pd.DataFrame,
    *,
    level: float = 0.5,
    clusters: str = "instance",
    places: Sequence[str] = ("interior",),
    n_resamples: int = 1000,
    seed: int = 0,
) -> dict:
    """How TTS grows: a of 2^(a d), fitted to log2 of a quantile at each d, weighted by the number of problems there.

    table: of one solver; clusters: column of what is resampled  ->  dict of exponent, low, high (95 % interval),
    prefactor, and why: empty; or why there is no fit, and all else NaN: some minimum is not interior, or there is one d
    only. places: of minima that may be fitted; "shortest" too where nothing shorter exists, as for one sweep.
    Raises ValueError for a table of several solvers, missing columns, an unknown place, and a level outside [0, 1].

    >>> table = pd.DataFrame({"d": [4, 6, 8], "tts": [4.0, 8.0, 16.0], "place": "interior", "censored": False})
    >>> fit = exponent(table.assign(instance=range(3)))
    >>> round(float(fit["exponent"]), 6), round(float(fit["prefactor"]), 6), fit["why"]
    (0.5, 1.0, '')
    >>> exponent(table.assign(instance=range(3), place="longest"))["why"]
    '3 of 3 minima are not interior (longest: 3)'
    """
    _columns(table, ["d", "tts", "place", "censored", clusters])
    level = require.number("level", level, "[0, 1]")
    if "solver" in table and table.solver.nunique() > 1:
        raise ValueError(
            f"table must be of one solver, got {', '.join(table.solver.unique())}: fit one after the other"
        )
    places = [require.choice("place", place, PLACES) for place in places]
    nan, outside = float("nan"), int((~table.place.isin(places)).sum())
    none = dict.fromkeys(("exponent", "low", "high", "prefactor"), nan)
    if outside:
        where = ", ".join(
            f"{name}: {count}" for name, count in table.place.value_counts().items() if name != "interior"
        )
        return none | {"why": f"{outside} of {len(table)} minima are not interior ({where})"}
    if table.d.nunique() < 2:
        return none | {"why": "there is one d only"}
    d, tts, higher = table.d.to_numpy(), table.tts.to_numpy(), partial(np.quantile, q=level, method="higher")

    def fit(index):
        if len(np.unique(d[index])) < 2:  # of a resample
            return dict.fromkeys(("exponent", "prefactor"), nan)
        return intervals.fit_law(d[index], tts[index], None, law="exponential", statistic=higher)

    found, of_each = fit(np.arange(len(d))), table[clusters].tolist()
    ends = intervals.cluster_interval(of_each, lambda index: fit(index)["exponent"], n_resamples, seed=seed)
    low, high = (float(end / np.log(2)) for end in ends)
    return none | {
        "exponent": float(found["exponent"] / np.log(2)),
        "low": low,
        "high": high,
        "prefactor": float(found["prefactor"]),
        "why": "",
    }


def _columns(table, names):
    """Raise ValueError unless the table has rows and these columns."""
    if not isinstance(table, pd.DataFrame) or not len(table):
        raise ValueError(f"table must be a DataFrame of one or more problems, got {require.described(table)}")
    if missing := [name for name in names if name not in table]:
        raise ValueError(f"table has no column {', '.join(missing)}: take it from anneals or sampler_reads")
