"""How gaps and fidelities of many instances grow with their size d, and with each other."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from .. import require
from ..artefacts.answers import rerun_noise
from ..intervals import LAWS, cluster_interval, lilliefors


def with_cluster_interval(
    statistic: Callable, *columns, clusters: Sequence, n_resamples: int = 1000, seed: int = 0
) -> dict[str, float]:
    """A statistic of columns (N,) and its 95 % `cluster_interval`  ->  {"value", "low", "high"}.

    The images of a class share d, so classes are the clusters here. Raises as `cluster_interval`.

    >>> with_cluster_interval(np.mean, [1.0, 1.0, 5.0, 5.0], clusters=["cat", "cat", "dog", "dog"])
    {'value': 3.0, 'low': 1.0, 'high': 5.0}
    """
    columns = [np.asarray(column) for column in columns]

    def resampled(index):
        return statistic(*(column[index] for column in columns))

    low, high = cluster_interval(clusters, resampled, n_resamples=n_resamples, seed=seed)
    return {"value": float(statistic(*columns)), "low": low, "high": high}


def log_fit(d, values, *, law: str = "exponential", statistic: Callable | None = np.median) -> tuple[float, float]:
    """Least squares of the logarithm of a statistic at each d, all d alike: d, values (N,)  ->  a, prefactor.

    law: "exponential", e^(a d), or "power", d^a. statistic: None for the values themselves, all instances alike. Both
    are NaN where there is only one d. This is the fit of the authors' script; `intervals.fit_law` weights the d by
    their instances, and fits a statistic only, never single instances.
    Raises ValueError for an unknown law.

    >>> [round(float(x), 6) for x in log_fit([1, 2, 2], [6.0, 10.0, 14.0])]  # medians 6 and 12
    [0.693147, 3.0]
    """
    scale, d, values = LAWS[require.choice("law", law, LAWS)], np.asarray(d), np.asarray(values)
    sizes = np.unique(d)
    if len(sizes) < 2:
        return np.nan, np.nan
    if statistic is not None:
        d, values = sizes, np.array([statistic(values[d == size]) for size in sizes])
    a, offset = np.polyfit(scale(d), np.log(values), 1)
    return a, np.exp(offset)


def rate(d, values) -> float:
    """Slope of the logarithm of the median in d, by `log_fit`: d, values (N,)  ->  change with each unit of d.

    >>> round(rate([5, 6], [1.0, 0.5]), 6)  # minus log 2
    -0.693147
    """
    return float(log_fit(d, values)[0])


def slopes(
    table: pd.DataFrame,
    column: str,
    *,
    law: str = "power",
    statistic: Callable | None = np.mean,
    n_resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """`log_fit` of a column, for each n_features and for "all" together.

    table: columns n_features, class, d and that one  ->  columns n_features, slope, low, high, prefactor. The interval
    resamples the classes of each n_features. Cluster-robust standard errors are no alternative: they are of a
    regression of all instances, not of a median or mean at each d. Where both exist (statistic None) and there are
    thirty classes of three n_features, they agree; with the ten of one n_features both are rough.
    Raises as `log_fit` and `cluster_interval`.
    """
    rows = []
    for n, part in [*table.groupby("n_features"), ("all", table)]:
        d, values, clusters = part.d.to_numpy(), part[column].to_numpy(), part.n_features.astype(str) + part["class"]

        def slope(d, values):
            return log_fit(d, values, law=law, statistic=statistic)[0]

        fit = with_cluster_interval(slope, d, values, clusters=clusters, n_resamples=n_resamples, seed=seed)
        prefactor = log_fit(d, values, law=law, statistic=statistic)[1]
        rows.append({"n_features": n, "slope": fit.pop("value")} | fit | {"prefactor": prefactor})
    return pd.DataFrame(rows)


def aic_difference(d, values) -> float:
    """Akaike's criterion of a power law minus that of an exponential: d, values (N,)  ->  below 0 for the power law.

    Both have two parameters, fitted by least squares of the logarithms of all instances, so the difference is N log of
    the ratio of the residual squares. NaN for fewer than three d, and where both fit exactly.

    >>> d = np.array([1, 2, 4, 8])
    >>> aic_difference(d, d**2.0 * [1.01, 1, 1, 1.01]) < 0 < aic_difference(d, np.exp(-d) * [1.01, 1, 1, 1.01])
    True
    """
    d, logs, residuals = np.asarray(d), np.log(values), []
    if len(np.unique(d)) < 3:
        return float("nan")
    for law in ("power", "exponential"):
        x = LAWS[law](d)
        residuals.append(((logs - np.polyval(np.polyfit(x, logs, 1), x)) ** 2).sum())
    power, exponential = np.maximum(residuals, 1e-24 * len(d))  # rounding errors
    return float(len(d) * np.log(power / exponential)) if power != exponential else float("nan")


def distance_of_distributions(values, edges, counts) -> float:
    """Largest distance of two cumulative distributions at the edges of a histogram (Kolmogorov and Smirnov).

    values: (N,); edges: (bins + 1,) and counts: (bins,) of the histogram  ->  distance in [0, 1]. Values outside the
    edges count as below or above all of them.

    >>> distance_of_distributions([0.1, 0.3, 0.3, 9.0], np.array([0.0, 0.2, 0.4]), np.array([1, 1]))
    0.25
    """
    ours = np.searchsorted(np.sort(values), edges, side="right") / len(values)
    theirs = np.concatenate([[0], np.cumsum(counts)]) / np.sum(counts)
    return float(np.abs(ours - theirs).max())


def time_exponent(d, annealing_times, fidelities) -> float:
    """Power of d with which the time grows at which the median fidelity reaches one half: (N,) each, an anneal a row.

    Between the times annealed the logarithm of the time is interpolated. A d counts if its median is below one half at
    the shortest time and above it at the longest; NaN for fewer than two such d.

    >>> d, times = np.repeat([1, 2], 2), np.array([1.0, 4.0, 4.0, 16.0])
    >>> round(time_exponent(d, times, [0.4, 0.6, 0.4, 0.6]), 6)  # one half at the times 2 and 8
    2.0
    """
    table = pd.DataFrame({"d": d, "time": annealing_times, "fidelity": fidelities})
    medians, needed = table.groupby(["d", "time"]).fidelity.median(), {}
    for size, part in medians.groupby("d"):
        times, reached = part.index.get_level_values("time"), np.maximum.accumulate(part.to_numpy())
        if reached[0] < 0.5 < reached[-1]:
            needed[size] = np.exp(np.interp(0.5, reached, np.log(times)))
    if len(needed) < 2:
        return float("nan")
    return float(np.polyfit(np.log(list(needed)), np.log(list(needed.values())), 1)[0])


def rank_within(groups, x, y) -> float:
    """Spearman correlation of x and y among the members of each group, averaged over all members: (N,) each.

    A group whose x or y are all equal has no order: then the mean is NaN.

    >>> rank_within(["a", "a", "b", "b"], [1, 2, 1, 2], [5, 6, 8, 7])
    0.0
    """
    table = pd.DataFrame({"x": np.asarray(x), "y": np.asarray(y)})
    ranks, sizes = [], []
    for _, part in table.groupby(np.asarray(groups)):
        ordered = part.x.nunique() > 1 and part.y.nunique() > 1
        ranks.append(part.x.corr(part.y, "spearman") if ordered else np.nan)
        sizes.append(len(part))
    return float(np.average(ranks, weights=sizes))


def distance_of_medians(table: pd.DataFrame, reported: pd.DataFrame) -> tuple[float, int]:
    """Root mean square distance of the median fidelities from the reported ones  ->  distance, number compared.

    table: columns fidelity and those that it shares with reported; reported: a row a median, median_fidelity and
    annealing_time, d, ... Rows of which the table has no instances are left out.

    >>> table = pd.DataFrame({"d": [5, 5, 6], "fidelity": [0.1, 0.3, 0.9]})
    >>> distance_of_medians(table, pd.DataFrame({"d": [5, 7], "median_fidelity": [0.5, 0.6]}))
    (0.3, 1)
    """
    keys = [name for name in reported.columns.drop("median_fidelity") if name in table]
    both = reported.merge(table.groupby(keys).fidelity.median().reset_index())
    return float(((both.fidelity - both.median_fidelity) ** 2).mean() ** 0.5), len(both)


def distances_from_reported(table: pd.DataFrame, reported: pd.DataFrame) -> dict[str, float]:
    """How far median fidelities lie from the reported ones, at the shortest annealing time and at the longer ones.

    table, reported: as for `distance_of_medians`, with the column annealing_time  ->  "shortest tau: ratio", the median
    of ours over the reported, and "shortest tau: log distance", the root mean square of its logarithm; "longer tau:
    distance", "distance" of all, root mean squares; "medians": the number compared.

    >>> reported = pd.DataFrame({"annealing_time": [1.0, 5.0], "median_fidelity": [0.1, 0.5]})
    >>> found = distances_from_reported(pd.DataFrame({"annealing_time": [1.0, 5.0], "fidelity": [0.2, 0.6]}), reported)
    >>> [round(value, 3) for value in found.values()]
    [2.0, 0.693, 0.1, 0.1, 2]
    """
    keys = [name for name in reported.columns.drop("median_fidelity") if name in table]
    both = reported.merge(table.groupby(keys).fidelity.median().reset_index())
    short = both.annealing_time == reported.annealing_time.min()
    ratio, apart = both.fidelity[short] / both.median_fidelity[short], both.fidelity - both.median_fidelity
    return {
        "shortest tau: ratio": float(ratio.median()),
        "shortest tau: log distance": float((np.log(ratio) ** 2).mean() ** 0.5),
        "longer tau: distance": float((apart[~short] ** 2).mean() ** 0.5),
        "distance": float((apart**2).mean() ** 0.5),
        "medians": len(both),
    }


def medians_over_heads(
    table: pd.DataFrame, column: str, by: Sequence[str], *, n_resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Median of a column in each group of instances of several heads: columns by, ours, low, high, unit, noise.

    table: columns by, seed of the head, class and that one. low, high: 95 % interval, the classes of each head
    resampled, NaN for a single one; noise: `rerun_noise` of the medians of the heads. Raises as `cluster_interval`.
    """
    rows = []
    for key, part in table.groupby(list(by)):
        clusters, values = part.seed.astype(str) + part["class"], part[column].to_numpy()
        found = with_cluster_interval(np.median, values, clusters=clusters, n_resamples=n_resamples, seed=seed)
        ours, single = found.pop("value"), clusters.nunique() < 2
        interval = {"low": np.nan, "high": np.nan, "unit": ""} if single else found | {"unit": "classes"}
        noise = rerun_noise(part.groupby("seed")[column].median())
        rows.append(dict(zip(by, key)) | {"ours": ours} | interval | {"noise": noise})
    return pd.DataFrame(rows)


def beside_a_gaussian(values, *, seed: int = 0) -> dict[str, float]:
    """Shape of a distribution: (N,)  ->  number, mean, spread, skewness, excess_kurtosis, and those of `lilliefors`.

    Skewness and excess kurtosis are 0 for a Gaussian. Raises as `lilliefors`.

    >>> found = beside_a_gaussian([-2.0, -1.0, 0.0, 1.0, 2.0])
    >>> found["skewness"], round(found["excess_kurtosis"], 2), found["p"] > 0.05
    (0.0, -1.3, True)
    """
    test, values = lilliefors(values, seed=seed), np.asarray(values, dtype=float)
    z = (values - values.mean()) / values.std()
    moments = {"skewness": float((z**3).mean()), "excess_kurtosis": float((z**4).mean() - 3)}
    return {"number": len(values), "mean": float(values.mean()), "spread": float(values.std())} | moments | test


def mean_gains(table: pd.DataFrame, by: Sequence[str], *, n_resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Mean of local minus linear fidelity in each group: columns by, linear, gain, low, high, improved.

    table: columns by, class, local and fidelity, of the linear schedule. low, high: 95 % interval, classes resampled;
    improved: share of the instances whose fidelity rises. Raises as `cluster_interval`.
    """
    rows = []
    for key, part in table.groupby(list(by)):
        gain = (part.local - part.fidelity).to_numpy()
        mean = with_cluster_interval(np.mean, gain, clusters=part["class"], n_resamples=n_resamples, seed=seed)
        measured = {"linear": part.fidelity.mean(), "gain": mean.pop("value")} | mean
        rows.append(dict(zip(by, key)) | measured | {"improved": (gain > 0).mean()})
    return pd.DataFrame(rows)


def positions(gaps: pd.DataFrame, fidelities: Sequence[str] = ()) -> pd.DataFrame:
    """Where the minimum gap sits and what it is, by couplings and d: a table with that index.

    gaps: columns couplings, d and those of `spectrum.Gap`; fidelities: names of further columns. The columns are the
    quartiles of s and its lowest value; the shares of minima below nine tenths of the spacing at s = 1 (interior) and
    of instances whose two best bit-strings differ in one bit (one_flip); the median error of the two-level formula; and
    the Spearman correlation of the gap with each of the fidelities ("rank ...").
    """
    groups = gaps.assign(
        interior=gaps.gap < 0.9 * gaps.end_gap,
        one_flip=gaps.flips == 1,
        formula=(gaps.two_level_gap / gaps.gap - 1).abs(),
    ).groupby(["couplings", "d"], sort=False)
    shares = {"interior": ("interior", "mean"), "one_flip": ("one_flip", "mean"), "formula": ("formula", "median")}
    table = groups.s.quantile([0.25, 0.5, 0.75]).unstack().add_prefix("s* at ")
    table = table.join(groups.agg(lowest=("s", "min"), **shares))
    for name in fidelities:
        table[f"rank {name}"] = groups[["gap", name]].corr("spearman").xs("gap", level=2)[name]
    return table
