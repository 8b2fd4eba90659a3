"""What a call of a processor costs, and from what size on a perfect one would be faster than the proof.

A call programs the problem once, and then anneals, reads out and waits, once for each read: the QPU access time of
D-Wave's documentation (dwavesystems/dwave-ocean-sdk, docs/quantum_research/operation_timing.rst, commit 243b01d). The
queue, the network and 10 to 20 ms of initialisation that are not billed come on top, and so does the embedding. The
times are those of data/annealers. Nothing about success is in them: a perfect processor needs one read.
"""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from .. import intervals, require
from ..annealing.processors import Processor, call_times
from ..conventions import HEADLINE
from ..qubo.feature_selection import Problem, require_problems
from .by_name import solver
from .processor_graphs import clique
from .qpu import HardwareError

_NEVER = 1e300  # stands for infinity in a bootstrap


def call_seconds(processor: str | Processor, qubits: int, reads: int = 1, *, anneal_us: float = 20.0) -> float:
    """Seconds of one call: programming + reads * (anneal + readout + delay), as `processors.call_times`.

    >>> call_seconds("Advantage2_system2", 4514), call_seconds("Advantage2_system2", 4514, 1000)
    (0.0246356, 0.1601)
    """
    return round(1e-6 * call_times(processor, qubits, reads, anneal_us)["qpu_access_time"], 12)


def call_costs(
    names: Sequence[str], sizes, *, reads: int = 1, anneal_us: float = 20.0, seed: int = 0, n_jobs: int | None = None
) -> pd.DataFrame:
    """Calls for dense problems of these sizes: table of processor, d, qubits (of all chains), seconds; a row each.

    qubits is NA and seconds NaN where the problem does not fit. seed: draws the qubits that do not work; n_jobs:
    processes, one processor's cliques each. Raises ValueError as `call_times` and `processor_graphs.clique`.

    >>> call_costs(["Advantage2_system4"], [8, 400]).round(5)
                processor    d  qubits  seconds
    0  Advantage2_system4    8      16  0.00807
    1  Advantage2_system4  400    <NA>      NaN
    """
    sizes = list(sizes)
    found = zip(names, Parallel(n_jobs=n_jobs)(delayed(_clique_qubits)(name, sizes, seed) for name in names))
    rows = [
        (name, d, count, call_seconds(name, count, reads, anneal_us=anneal_us) if count else np.nan)
        for name, counts in found
        for d, count in zip(sizes, counts)
    ]
    return pd.DataFrame(rows, columns=["processor", "d", "qubits", "seconds"]).astype({"qubits": "Int64"})


def _clique_qubits(name, sizes, seed):
    """Qubits of all chains of dense problems, None where one does not fit."""
    counts = []
    for d in sizes:
        try:
            counts.append(sum(map(len, clique(name, d, seed=seed).values())))
        except HardwareError:
            counts.append(None)
    return counts


def most_important(problem: Problem, d: int) -> Problem:
    """The problem of the d candidates of lowest field, the most important ones, in the order of their numbers.

    The field stays as it is: of a max field the lowest is -1 still. Raises ValueError for d below 1 or above the
    candidates.

    >>> problem = Problem([1, 3, 4], [-0.5, -1.0, -0.75], np.eye(3), 6)
    >>> most_important(problem, 2).maps, most_important(problem, 2).field
    (array([3, 4]), array([-1.  , -0.75]))
    """
    d = require.whole("d, of the problem's candidates,", d, 1, problem.d)
    kept = np.sort(np.argsort(problem.field, kind="stable")[:d])
    return Problem(problem.maps[kept], problem.field[kept], problem.redundancy[np.ix_(kept, kept)], problem.n_features)


def proof_seconds(
    problems,
    sizes: Sequence[int] | None = None,
    *,
    beta: float = HEADLINE.beta,
    pair_sum: str = HEADLINE.pair_sum,
    repeats: int = 3,
    time_limit: float = 60.0,
) -> pd.DataFrame:
    """Seconds of the exact proof of each problem, one after the other in one process: a row a problem and size.

    sizes: of the sub-problems of the `most_important` candidates, where a problem has so many; None for whole problems.
    Set OMP_NUM_THREADS=1 before NumPy is imported, for one core. The model is built before the clock starts.

    ->  table of image (position in the list), d, beta, seconds (median of the repeats), least, nodes. Raises ValueError
    for an optimum that is not proven within time_limit seconds, and as `Problem.bqm` and `most_important`.

    >>> problem = Problem([0, 1], [-1.0, -0.9], [[1.0, 0.95], [0.95, 1.0]], 2)
    >>> table = proof_seconds([problem], [1, 2, 3], beta=0.5)
    >>> table.d.tolist(), bool((table.seconds >= table.least).all())
    ([1, 2], True)
    """
    problems, _ = require_problems(problems)
    repeats, exact, rows = require.whole("repeats", repeats, 1, 1000), solver("exact"), []
    for image, whole in enumerate(problems):
        fitting = [whole.d] if sizes is None else [d for d in sizes if d <= whole.d]
        for d in fitting:
            model = most_important(whole, d).bqm(beta, pair_sum)
            if not rows:
                exact.sample(model, time_limit=time_limit)  # the first one compiles
            infos = [exact.sample(model, time_limit=time_limit).info for _ in range(repeats)]
            if not all(info["proven"] for info in infos):
                raise ValueError(f"image {image}: its optimum at d = {d} is not proven: give a longer time_limit")
            seconds, nodes = [info["seconds"] for info in infos], infos[0]["nodes"]
            rows.append((image, d, float(beta), float(np.median(seconds)), min(seconds), nodes))
    return pd.DataFrame(rows, columns=["image", "d", "beta", "seconds", "least", "nodes"])


def break_even(
    table: pd.DataFrame,
    seconds: float,
    *,
    largest: int | None = None,
    law: str = "exponential",
    level: float = 0.5,
    from_d: float = 1,
    n_resamples: int = 1000,
    seed: int = 0,
) -> dict:
    """The size at which a proof takes as long as a call: a law of a quantile of the proofs' seconds, set equal to it.

    table: of `proof_seconds`, of one beta: columns image, d, seconds; seconds: of the call; largest: dense problem
    that fits the processor, None for no limit; law: of `intervals.LAWS`; level: of the quantile at each d; from_d:
    least d that is fitted, as small proofs take a time that does not grow.

    ->  dict of d (infinite where the law does not grow, 0 where it lies above the call everywhere), low and high (95 %
    interval, images resampled), exponent of the law, measured (d at which the quantiles themselves cross the call,
    interpolated on log scales between sizes that half of the images or more have; NaN where they do not), extrapolated
    (d lies above the largest measured), and beyond (d is above `largest`: the processor does not take the problem).
    Raises ValueError for a call of no positive time, an unknown law, missing columns, fewer than two d, and several
    values of beta.

    >>> table = pd.DataFrame({"image": [0, 0, 0], "d": [50, 100, 200], "seconds": [0.001, 0.002, 0.008]})
    >>> found = break_even(table, 0.032, largest=184)  # doubles with every 50
    >>> round(found["d"], 6), found["extrapolated"], found["beyond"]
    (300.0, True, True)
    """
    seconds, level = require.number("seconds", seconds, "(0, inf)"), require.number("level", level, "[0, 1]")
    scale = intervals.LAWS[require.choice("law", law, intervals.LAWS)]
    largest = np.inf if largest is None else require.whole("largest", largest)
    if not isinstance(table, pd.DataFrame) or (missing := {"image", "d", "seconds"} - set(table)):
        given = f"not there: {', '.join(sorted(missing))}" if isinstance(table, pd.DataFrame) else "it is none"
        raise ValueError(f"table must be a DataFrame with the columns image, d and seconds; {given}")
    if "beta" in table and table.beta.nunique() > 1:
        raise ValueError("table must be of one beta: fit one after the other")
    fitted = table[table.d >= require.number("from_d", from_d)]
    if fitted.d.nunique() < 2:
        raise ValueError(f"table must have two d or more from {from_d:g} on, got {fitted.d.nunique()}")
    d, logs = fitted.d.to_numpy(float), np.log(fitted.seconds.to_numpy(float))

    def crossing(index):
        sizes, counts = np.unique(d[index], return_counts=True)
        if len(sizes) < 2:
            return np.nan, np.nan
        middle = [np.quantile(logs[index][d[index] == size], level) for size in sizes]
        slope, offset = np.polyfit(scale(sizes), middle, 1, w=np.sqrt(counts))
        at = (np.log(seconds) - offset) / slope if slope > 1e-12 else np.inf
        at = np.exp(min(at, 690.0)) if law == "power" else at
        return min(max(at, 0.0), _NEVER), slope

    least, exponent = crossing(np.arange(len(d)))
    images = fitted.image.tolist()
    low, high = intervals.cluster_interval(images, lambda index: crossing(index)[0], n_resamples, seed=seed)
    least, low, high = (np.inf if value > 1e290 else float(value) for value in (least, low, high))
    of_each = table.groupby("d").filter(lambda part: 2 * part.image.nunique() >= table.image.nunique())
    of_each = of_each.groupby("d").seconds.quantile(level)
    return {
        "d": least,
        "low": low,
        "high": high,
        "exponent": float(exponent),
        "measured": _first_crossing(of_each.index.to_numpy(float), np.log(of_each.to_numpy()), np.log(seconds)),
        "extrapolated": bool(least > table.d.max()),
        "beyond": bool(least > largest),
    }


def _first_crossing(d, logs, level):
    """The first d at which logs (n,) rises through a level, linear in log d between the sizes; NaN if it does not."""
    for i in np.flatnonzero((logs[:-1] < level) & (logs[1:] >= level)):
        share = (level - logs[i]) / (logs[i + 1] - logs[i])
        return float(d[i] ** (1 - share) * d[i + 1] ** share)
    return float("nan")


def break_evens(proofs: pd.DataFrame, calls: pd.DataFrame, largest: Mapping[str, float], **options) -> pd.DataFrame:
    """`break_even` of every processor, beta and law: a row each, with the columns processor, beta, law, seconds, holds.

    proofs: of `proof_seconds`, of several beta; calls: of `call_costs`, of which a processor's median counts; largest:
    {processor: largest dense problem}, the column holds; options: of `break_even`. Raises ValueError as that.

    >>> proofs = pd.DataFrame({"image": 0, "d": [8, 16, 32], "beta": 0.7, "seconds": [0.001, 0.002, 0.008]})
    >>> calls = pd.DataFrame({"processor": ["one"], "d": [8], "qubits": [16], "seconds": [0.008]})
    >>> break_evens(proofs, calls, {"one": 20}, n_resamples=9)[["processor", "law", "measured", "beyond"]]
      processor          law  measured  beyond
    0       one        power      32.0    True
    1       one  exponential      32.0    True
    """
    rows, seconds = [], calls.groupby("processor").seconds.median()
    for (name, holds), (beta, table), law in itertools.product(largest.items(), proofs.groupby("beta"), intervals.LAWS):
        row = {"processor": name, "beta": beta, "law": law, "seconds": seconds[name], "holds": holds}
        rows.append(row | break_even(table, seconds[name], largest=int(holds), law=law, **options))
    return pd.DataFrame(rows)
