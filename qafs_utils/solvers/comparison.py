"""Solvers measured against proven optima: how often a read is optimal, by how much others miss, how many are needed."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from .. import intervals, require
from ..conventions import HEADLINE
from ..qubo import feature_selection
from ..qubo.feature_selection import Problem
from .by_name import TRIALS, sample_all, solve_all, solver
from .reads import reads_needed, success

_SAME = 1e-9  # energies, relative to the optimum's, that count as equal
_ZERO = 1e-12  # of an optimum's energy: as far from 0 rounding may take it, whose terms are of order 1


def subsamples(
    maps,
    importance,
    images: Iterable[int],
    d: int,
    *,
    couplings: str = "cosine",
    field: str = HEADLINE.field,
    seed: int = 0,
) -> list[Problem]:
    """One problem of d candidates for each of some images, the candidates drawn at random.

    maps: (N, N_f, H, W); importance: (N, N_f); images: (B,) numbers; couplings: kind of `null_couplings`;
    field: as for `subsample`  ->  list of B Problem. What is drawn depends on the seed, the image and d alone.
    Raises ValueError as `subsample` and `null_couplings`, for numbers of no image, and for importances of others.

    >>> maps, importance = np.ones((2, 5, 2, 2)), np.array([[1.0, 2.0, -1.0, 4.0, 3.0]] * 2)
    >>> [problem.d for problem in subsamples(maps, importance, [0, 1], 3)]
    [3, 3]
    """
    require.shape("importance", np.shape(importance), "N N_f", {"N": len(maps)})
    problems = []
    for image in require.indices("images", images, "B", len(maps)).tolist():
        drawn = feature_selection.subsample(maps[image], importance[image], d, field=field, rng=(seed, image, d))
        J = feature_selection.null_couplings(drawn.redundancy, couplings, rng=(seed, image, d))
        problems.append(replace(drawn, redundancy=J))
    return problems


def prove(
    problems,
    *,
    beta=HEADLINE.beta,
    pair_sum=HEADLINE.pair_sum,
    time_limit=60.0,
    size: int | None = None,
    n_jobs=-1,
    desc=None,
) -> tuple[np.ndarray, pd.DataFrame]:
    """The optimum of every problem with its proof: list of B Problem  ->  selected maps (B, N_f) bool, table of B rows.

    size: of exactly so many maps. The table: image (position in the list), d, selected (how many), energy, proven,
    nodes (relaxations solved), free (variables that the root relaxation leaves open), seconds. Raises as `solve_all`.

    >>> problem = Problem([1, 3], [-1.0, -0.9], [[1.0, 0.95], [0.95, 1.0]], 4)
    >>> selected, table = prove([problem], beta=0.5, n_jobs=1)  # maps 1 and 3 are alike: 1 will do
    >>> selected, table[["d", "selected", "energy", "proven"]].values.tolist()
    (array([[False,  True, False, False]]), [[2, 1, -0.5, True]])
    """
    problems, _ = feature_selection.require_problems(problems)
    options = {"time_limit": time_limit} | ({} if size is None else {"size": size})
    selected, infos = solve_all(
        problems, "exact", beta=beta, pair_sum=pair_sum, desc=desc or "proof", n_jobs=n_jobs, **options
    )
    columns = ["energy", "proven", "nodes", "free", "seconds"]
    table = pd.DataFrame([{column: info[column] for column in columns} for info in infos], columns=columns)
    of_problem = {"image": range(len(table)), "d": [problem.d for problem in problems], "selected": selected.sum(1)}
    return selected, pd.concat([pd.DataFrame(of_problem), table], axis=1)


def misses(problems, selected, optimal, *, beta=HEADLINE.beta, pair_sum=HEADLINE.pair_sum) -> dict[str, float]:
    """How often, and by how much, a solver's selections miss the optima: both (B, N_f) bool.

    ->  dict of missed (share of images), excess_where_missed and largest_excess (energy above the optimum, relative to
    its size; infinite where that is 0), maps_that_differ_where_missed, maps (of an optimum). What is "where missed" is
    NaN if none is. Raises ValueError for a selection below its "optimum", and for no problem.

    >>> problem = Problem([0, 1], [-1.0, -0.5], [[1.0, 0.0], [0.0, 1.0]], 2)
    >>> found = misses([problem, problem], [[1, 1], [1, 0]], [[1, 1], [1, 1]], beta=0.5)
    >>> float(found["missed"]), float(found["excess_where_missed"].round(9))  # -0.5 instead of -0.75
    (0.5, 0.333333333)
    """
    problems = _problems(problems)
    sizes = {"B": len(problems)}
    selected = require.bits("selected", selected, "B N_f", sizes)
    optimal = require.bits("optimal", optimal, "B N_f", sizes)
    energy, least = (
        np.array([problem.energy(row, beta, pair_sum) for problem, row in zip(problems, rows)])
        for rows in (selected, optimal)
    )
    excess = _excess(energy, least)
    missed, differ = excess > _SAME, (selected != optimal).sum(1)
    return {
        "missed": missed.mean(),
        "excess_where_missed": excess[missed].mean() if missed.any() else np.nan,
        "largest_excess": excess.max(),
        "maps_that_differ_where_missed": differ[missed].mean() if missed.any() else np.nan,
        "maps": optimal.sum(1).mean(),
    }


def _problems(problems):
    """Problems as a list. Raises ValueError as `require_problems`, and for none."""
    problems, _ = feature_selection.require_problems(problems)
    require.whole("B, the number of problems,", len(problems), 1)
    return problems


def _excess(energy, least):
    """Energy above the least one, relative to its size. Where that is 0: 0 for an energy of 0, infinite for others.

    An optimum of energy 0 selects no map; one of a fixed size may be positive.
    """
    energy, least = np.broadcast_arrays(energy, least)
    above, zero = energy - least, abs(least) <= _ZERO
    excess = above / np.where(zero, 1.0, abs(least))
    below = excess < np.where(zero, -_ZERO, -_SAME)
    if below.any():
        of_it = "" if zero[below.nonzero()][0] else " of it"
        raise ValueError(f"an energy lies below what is given as the optimum, by {-excess[below].min():.3g}{of_it}")
    return np.where(zero, np.where(above > _ZERO, np.inf, 0.0), excess)


def descent_minima(
    problem, *, beta=HEADLINE.beta, pair_sum=HEADLINE.pair_sum, descents=1000, seed=0, time_limit=60.0
) -> pd.DataFrame:
    """Where steepest descents from random bit-strings end: a row for each different minimum.

    Columns maps_changed (in which it differs from the proven optimum), excess (energy above it, relative to its size;
    infinite above an optimum of energy 0) and descents (how many end there). Raises ValueError if the optimum is not
    proven.

    >>> problem = Problem([0, 1], [-1.0, -0.9], [[1.0, 0.95], [0.95, 1.0]], 2)  # one of the two
    >>> descent_minima(problem, beta=0.4, descents=100).sort_values("excess").maps_changed.tolist()
    [0, 2]
    """
    bqm = problem.bqm(beta, pair_sum)
    exact = solver("exact").sample(bqm, time_limit=time_limit)
    _require_proofs(exact.info["proven"])
    best = exact.first
    found = solver("steepest_descent").sample(bqm, num_reads=descents, seed=seed).aggregate().record
    return pd.DataFrame(
        {
            "maps_changed": (found.sample != [best.sample[variable] for variable in bqm.variables]).sum(1),
            "excess": _excess(found.energy, best.energy).clip(0),
            "descents": found.num_occurrences,
        }
    )


def effort_law(d, nodes, images, *, n_resamples=1000, seed=0) -> dict[str, float]:
    """How the nodes of a proof grow with d: as a power of it, or exponentially? All (N,).

    ->  dict of exponent (of d in the power law; NaN where d has one value), ratio (squared residuals of log nodes from
    the power law, over those from the exponential: above 1 nodes grow exponentially), low and high (its 95 % interval,
    images resampled).

    >>> d = np.array([8, 16, 32, 8, 16, 32])
    >>> law = effort_law(d, d**2 * np.exp([0.1, 0, 0, -0.1, 0, 0]), [0, 0, 0, 1, 1, 1], n_resamples=10)
    >>> round(float(law["exponent"]), 9), bool(law["ratio"] < 1)
    (2.0, True)
    """
    sizes = {}
    d, nodes = require.array("d", d, "N", sizes, "(0, inf)"), require.array("nodes", nodes, "N", sizes, "(0, inf)")
    images = _of_each("images", images, sizes)
    logs = np.log(nodes)

    def ratio(index):  # of the only residual of each fit, or of none where d has one value
        power, exponential = (np.polyfit(x[index], logs[index], 1, full=True)[1].sum() for x in (np.log(d), d))
        return power / exponential if exponential else np.nan

    low, high = intervals.cluster_interval(images, ratio, n_resamples, seed=seed)
    exponent = np.polyfit(np.log(d), logs, 1)[0] if np.ptp(d) > 0 else np.nan
    return {"exponent": exponent, "ratio": ratio(slice(None)), "low": low, "high": high}


def _of_each(name, clusters, sizes, letter="N"):
    """What the intervals resample, one of each: a list as long as the letter says. Raises ValueError for another."""
    clusters = intervals.per_image(name, clusters)
    require.shape(name, (len(clusters),), letter, sizes, "names")
    return clusters


def _require_proofs(proven):
    if not np.all(proven):
        raise ValueError("an optimum is not proven: give a longer time_limit, in seconds")


def compare(
    problems,
    clusters,
    *,
    name="",
    beta=HEADLINE.beta,
    pair_sum=HEADLINE.pair_sum,
    trials: Mapping[str, dict] = TRIALS,
    reads: Mapping[str, list[int]] | None = None,
    annealed_up_to=16,
    time_limit=60.0,
    seed=0,
    n_resamples=1000,
    n_jobs=-1,
) -> pd.DataFrame:
    """Solvers against the proven optima of the same problems: a row for each solver and number of reads.

    problems: list of B Problem; clusters: (B,) classes, resampled for the intervals; name: of the problems; trials:
    {solver: options}; reads: {solver: numbers of reads out of those made}, else one read; "schrodinger" has rows for
    1 read and for d^2, and none if a problem has more than `annealed_up_to` candidates.

    ->  instances (the name), d (median), beta, solver, reads, probability (that one of the reads is optimal: mean over
    problems) with its 95 % interval low and high, excess (mean energy of the best of the reads above the optimum,
    relative to its size; infinite where one of energy 0 is missed), never (share of problems in which no read made is
    optimal), reads_needed and reads_needed_90 (median and 90 % quantile over problems of the reads for 99 %). Raises
    ValueError if an optimum is not proven, for no problem, and for clusters of another number.

    >>> problem = Problem([0, 1], [-1.0, -0.5], [[1.0, 0.0], [0.0, 1.0]], 2)
    >>> table = compare([problem], [0], trials={"greedy": {}}, n_jobs=1)
    >>> table[["solver", "probability", "excess", "reads_needed"]].values.tolist()
    [['greedy', 1.0, 0.0, 1.0]]
    """
    problems, shared, rows = _problems(problems), {"beta": beta, "pair_sum": pair_sum, "n_jobs": n_jobs}, []
    clusters = _of_each("clusters", clusters, {"B": len(problems)}, "B")
    annealed_up_to, reads = require.number("annealed_up_to", annealed_up_to, "[0, inf]"), reads or {}
    for kind in [*trials, *reads]:
        solver(kind)  # or it is refused before anything is proven
    proofs = prove(problems, time_limit=time_limit, desc=f"proof, {name}, beta={beta}", **shared)[1]
    _require_proofs(proofs.proven)
    d = proofs.d.to_numpy()
    for kind, options in trials.items():
        if kind == "schrodinger" and d.max() > annealed_up_to:
            continue
        found = sample_all(problems, kind, seed=seed, desc=f"{kind}, {name}, beta={beta}", **shared, **options)
        excess, chance = zip(*map(_reads, found, proofs.energy))
        chance = np.array(chance)  # (B,)
        by_reads = _by_reads(kind, excess, chance, d, reads.get(kind))
        for count, probability in by_reads.items():
            row = {"instances": name, "d": np.median(d), "beta": beta, "solver": kind, "reads": count}
            row |= _mean(probability, clusters, n_resamples, seed)
            row |= {"excess": np.mean([_best_of(values, count) for values in excess]), "never": (chance == 0).mean()}
            rows.append(row | _needed(kind, chance))
    return pd.DataFrame(rows)


def _reads(samples, least):
    """Excess energy of each read made (R,), and the probability that a read is optimal."""
    excess = _excess(np.repeat(samples.record.energy, samples.record.num_occurrences), least)
    return excess.clip(0), samples.info.get("ground_state_probability", (excess < _SAME).mean())


def _needed(kind, chance):
    """Median and 90 % quantile of the reads after which a problem's optimum was met with 99 %."""
    if kind == "greedy":  # it always returns the same
        needed = np.where(chance < 1, np.inf, 1.0)
    else:
        needed = reads_needed(np.minimum(chance, 1.0))
    return {"reads_needed": np.median(needed), "reads_needed_90": np.quantile(needed, 0.9, method="higher")}


def _by_reads(kind, excess, chance, d, counts):
    """{number of reads: probability that one of them is optimal (B,)}."""
    if counts:
        hits = np.array([(values < _SAME).sum() for values in excess])
        return {count: success(hits, len(excess[0]), count) for count in counts}
    if kind == "schrodinger":
        return {1: chance, int(np.median(d)) ** 2: 1 - (1 - chance) ** d**2}
    return {1: chance}


def _mean(probability, clusters, n_resamples, seed):
    low, high = intervals.cluster_interval(clusters, lambda index: probability[index].mean(), n_resamples, seed=seed)
    return {"probability": probability.mean(), "low": low, "high": high}


def _best_of(excess, count):
    """Mean over batches of `count` reads of the least excess of a batch; of all reads, where they fill none."""
    if len(excess) < count:
        return excess.min()
    return excess[: len(excess) // count * count].reshape(-1, count).min(1).mean()


def with_seconds(table: pd.DataFrame, times: pd.DataFrame) -> pd.DataFrame:
    """Add the seconds until the optimum is met with 99 %: reads needed, times the measured seconds of a read.

    table: of `compare`; times: instances, beta, solver, seconds of `make benchmark`  ->  table with seconds and
    seconds_90, NaN where no time was measured. Raises ValueError for times that have a case twice.

    >>> row = {"instances": "d=8", "beta": 0.7, "solver": "tabu"}
    >>> table = pd.DataFrame([row | {"reads_needed": 3.0, "reads_needed_90": 8.0}])
    >>> with_seconds(table, pd.DataFrame([row | {"seconds": 0.5}]))[["seconds", "seconds_90"]].values.tolist()
    [[1.5, 4.0]]
    """
    keys = ["instances", "beta", "solver"]
    of_a_read = table[keys].merge(times[[*keys, "seconds"]], how="left", on=keys, validate="m:1").seconds.to_numpy()
    return table.assign(seconds=table.reads_needed * of_a_read, seconds_90=table.reads_needed_90 * of_a_read)
