"""Bootstrap intervals over images, over classes and of fitted laws."""

import warnings
from collections.abc import Callable, Iterator
from functools import wraps

import numpy as np
import pandas as pd

from . import require

SUMMABLE = "[-1e300, 1e300]"  # numbers of this range have sums that do not overflow
MOST = 10_000_000  # resamples, or classes: more would take for ever
LAWS = {"power": np.log, "exponential": np.asarray}  # log y is linear in this function of x


def nan_mean(values) -> float:
    """Mean of values without the NaN (excluded) ones; NaN if none is left. Raises ValueError for infinity.

    >>> nan_mean([1.0, np.nan, 4.0])
    2.5
    """
    values = require.array("values", values, "...", interval=SUMMABLE, nan=True)
    return float(values[~np.isnan(values)].mean()) if not np.isnan(values).all() else float("nan")


def per_image(name: str, given) -> list:
    """What is given for each image, as a list: of a sequence, a generator, or the rows of a table.

    Raises ValueError, naming it, for what is no sequence.

    >>> per_image("labels", pd.Series(["cat", "dog"]))
    ['cat', 'dog']
    """
    given = given.to_numpy() if isinstance(given, pd.DataFrame) else given
    if isinstance(given, dict) or not pd.api.types.is_list_like(given, allow_sets=False):
        raise ValueError(f"{name} must be a sequence, an entry for each image, got {require.described(given)}")
    return list(given)


def mean_with_interval(values, *, n_resamples: int = 1000, seed: int = 0, method: str = "BCa") -> dict:
    """Mean of values of images, and its 95 % interval by `bootstrap_interval`: (N,)  ->  {"value", "low", "high"}.

    NaN are left out. Raises as `bootstrap_interval`.

    >>> mean_with_interval([1.0, 1.0, np.nan])
    {'value': 1.0, 'low': 1.0, 'high': 1.0}
    """
    low, high = bootstrap_interval(values, n_resamples=n_resamples, seed=seed, method=method)
    return {"value": nan_mean(values), "low": low, "high": high}


def _callable(statistic):
    if not callable(statistic):
        raise ValueError(f"statistic must be a function of an array, got {require.described(statistic)}")
    return statistic


def _checked(statistic):
    """The statistic, whose values are numbers of finite size, or NaN. Raises ValueError, then or when called."""
    _callable(statistic)

    @wraps(statistic)  # scipy asks whether it takes an axis
    def checked(*samples, **options):
        axes, result = "..." if options else "", statistic(*samples, **options)
        return require.array("values of the statistic", result, axes, interval=SUMMABLE, nan=True, dtype=None)

    return checked


def bootstrap_interval(
    values,
    statistic: Callable = np.mean,
    *,
    n_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
    method: str = "BCa",
) -> tuple[float, float]:
    """Bootstrap confidence interval of a statistic of images ([efron1987bca], through scipy).

    values: (N,), NaN ignored; statistic: array -> float, faster if it takes `axis`; method: "BCa", "basic" or
    "percentile"  ->  (low, high), both NaN for fewer than two values. Where BCa is undefined (for constant
    values, or an estimate outside all resamples) the basic interval is returned.

    To resample more than a vector, give the indices of the images. Resampling adds noise, and noise lowers a mean
    overlap. There the "basic" method undoes the bias, and its interval may lie above the estimate; the percentile
    interval would miss the true value. Raises ValueError for infinity, in values or their statistic, and for fewer
    than one resample.

    >>> bootstrap_interval(np.arange(100), method="percentile")  # a mean of 49.5, its standard error 2.9
    (43.9095, 55.08025)
    """
    import scipy.stats  # half a second to import

    if len(getattr(values, "shape", ())) > 1:
        raise ValueError(f"values must be (N,), got {require.described(values)}: give indices to resample rows")
    values = require.array("values", values, "N", interval=SUMMABLE, nan=True, dtype=None)
    values = values[~np.isnan(values)]
    n_resamples, rng = require.whole("n_resamples", n_resamples, 1, MOST), require.generator("seed", seed)
    confidence, statistic = require.number("confidence", confidence, "(0, 1)"), _checked(statistic)
    require.choice("method", method, ("BCa", "basic", "percentile"))
    if len(values) < 2:
        return float("nan"), float("nan")
    batch = max(1, 2_000_000 // len(values))
    options = {"n_resamples": n_resamples, "confidence_level": confidence, "method": method, "batch": batch}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns where BCa is degenerate
        result = scipy.stats.bootstrap((values,), statistic, rng=rng, **options)
    low, high = result.confidence_interval
    if np.isnan(low) or np.isnan(high):
        tail = (1 - confidence) / 2
        low, high = 2 * statistic(values) - np.nanquantile(result.bootstrap_distribution, (1 - tail, tail))
    return float(low), float(high)


def stratified_resamples(labels, n_resamples: int = 1000, seed: int = 0) -> Iterator[np.ndarray]:
    """Yield bootstrap samples of images that keep the number of each class: labels (N,)  ->  (N,) index arrays.

    labels: numbers or names. Raises ValueError for none, and for missing ones.

    >>> [len(index) for index in stratified_resamples([0, 0, 1, 1, 1], n_resamples=2)]
    [5, 5]
    """
    groups, rng = _groups("labels", labels), require.generator("seed", seed)
    samples = range(require.whole("n_resamples", n_resamples, 0, MOST))
    return (np.concatenate([rng.choice(group, len(group)) for group in groups]) for _ in samples)


def _groups(name, labels):
    """Indices of the images of each label, in the order of the labels: numbers or names (N,)  ->  list of arrays."""
    labels = per_image(name, labels)
    labels = [label.item() if getattr(label, "shape", None) == () else label for label in labels]  # of arrays, tensors
    try:
        codes, names = pd.factorize(pd.Series(labels, dtype=None if labels else float).to_numpy(), sort=True)
    except TypeError:  # arrays or lists are no labels
        raise ValueError(f"{name} must be numbers or names (N,), got {require.described(labels)}") from None
    if not len(names) or (codes < 0).any():
        missing = f"{np.sum(codes < 0)} of {len(codes)} are missing"
        raise ValueError(f"{name} must be a number or a name for every image, of one or more: {missing}")
    return [np.flatnonzero(codes == code) for code in range(len(names))]


def bias_corrected(value, resampled, *, confidence: float = 0.95) -> tuple:
    """Bias-corrected estimate and basic bootstrap interval ([davison1997bootstrap], Eqs. 2.11 and 5.6).

    value: of all images, any shape; resampled: (R, ...) of bootstrap samples  ->  estimate, low, high of its shape.
    For statistics that resampling noise moves to one side, as it lowers the overlap of sparse selections.
    Raises ValueError for other shapes, NaN and infinity.

    >>> bias_corrected(1.0, np.array([0.8, 0.9, 1.0]), confidence=0.5)  # resampling lowers it by 0.1
    (np.float64(1.1), np.float64(1.05), np.float64(1.15))
    """
    value = require.array("value", value, "...", interval=SUMMABLE)
    resampled = require.array("resampled", resampled, " ".join(["R", *map(str, value.shape)]), interval=SUMMABLE)
    require.whole("R, the number of samples,", len(resampled), 1)
    tail = (1 - require.number("confidence", confidence, "(0, 1)")) / 2
    high, low = 2 * value - np.quantile(resampled, (tail, 1 - tail), axis=0)
    return 2 * value - np.mean(resampled, axis=0), low, high


def cluster_interval(
    clusters, statistic: Callable, n_resamples: int = 1000, *, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of a statistic when images come in clusters (classes, say) that share a property.

    Whole clusters are resampled. clusters: (N,) their names; statistic: index array -> float, NaN where undefined
    ->  (low, high), NaN resamples ignored. Raises ValueError without images, for missing names, and for infinity.

    >>> values, clusters = np.array([1.0, 1.0, 5.0, 5.0]), np.array(["cat", "cat", "dog", "dog"])
    >>> cluster_interval(clusters, lambda index: values[index].mean())
    (1.0, 5.0)
    """
    groups, rng = _groups("clusters", clusters), require.generator("seed", seed)
    tail, statistic = (1 - require.number("confidence", confidence, "(0, 1)")) / 2, _callable(statistic)
    drawn = rng.integers(len(groups), size=(require.whole("n_resamples", n_resamples, 1, MOST), len(groups)))
    values = [statistic(np.concatenate([groups[g] for g in row])) for row in drawn]
    values = require.array("values of the statistic", values, "R", interval=SUMMABLE, nan=True)
    defined = values[~np.isnan(values)]
    return tuple(map(float, np.quantile(defined, (tail, 1 - tail)))) if len(defined) else (float("nan"), float("nan"))


def lilliefors(values, *, samples: int = 1000, seed: int = 0) -> dict[str, float]:
    """Test of a Gaussian of unknown mean and spread, by simulation [lilliefors1967normality]: (N,)  ->  its numbers.

    "distance": the largest of the cumulative distributions, from the Gaussian of equal mean and spread; "critical":
    that of `samples` Gaussian draws of N in 5 % of the cases; "p": the share of them as far away or further.
    It takes the values for independent. Raises ValueError for fewer than three values, equal ones, NaN and infinity.

    >>> found = lilliefors(np.arange(100.0) ** 3)  # many small values and a tail
    >>> found["distance"] > found["critical"], found["p"] < 0.05
    (True, True)
    """
    import scipy.special  # a fifth of a second to import

    values = require.array("values", values, "N", interval=SUMMABLE)
    n, rng = require.whole("N, the number of values,", len(values), 3), require.generator("seed", seed)
    if not np.ptp(values) > 0:
        raise ValueError("values must not all be equal: they have no distribution to compare")
    upper = np.arange(1, n + 1) / n

    def distance(drawn):
        below = scipy.special.ndtr(np.sort((drawn - drawn.mean()) / drawn.std(ddof=1)))
        return max((upper - below).max(), (below - upper + 1 / n).max())

    ours = distance(values)
    drawn = np.array([distance(rng.normal(size=n)) for _ in range(require.whole("samples", samples, 1, MOST))])
    p = (1 + (drawn >= ours).sum()) / (1 + len(drawn))
    return {"distance": float(ours), "critical": float(np.quantile(drawn, 0.95)), "p": float(p)}


def fit_law(
    d, values, clusters, *, law: str = "power", statistic: Callable = np.median, n_resamples: int = 1000, seed: int = 0
) -> dict:
    """How a statistic of instances grows with their size d: as d^a ("power") or e^(a d) ("exponential").

    d, values: (N,), positive; clusters: (N,) names of what is resampled for the interval, or None for none. Least
    squares of the logarithm of the statistic at each d, weighted by the number of instances  ->  {"exponent": a,
    "low", "high": its 95 % interval by `cluster_interval`, "prefactor", "residual": the spread of the logarithms
    about the fit}. Raises ValueError for an unknown law, unequal lengths, NaN and infinity.

    >>> fit = fit_law([1, 2, 4] * 2, [3.0, 12.0, 48.0] * 2, ["a"] * 3 + ["b"] * 3, n_resamples=10)
    >>> round(float(fit["exponent"]), 6), round(float(fit["prefactor"]), 6)
    (2.0, 3.0)
    """
    sizes, scale = {}, LAWS[require.choice("law", law, LAWS)]
    d = require.array("d", d, "N", sizes, "(0, 1e300]", dtype=None)
    values = require.array("values", values, "N", sizes, SUMMABLE, dtype=None)
    exponent, offset, residual = _log_fit(d, values, scale, statistic)
    low = high = float("nan")
    if clusters is not None:
        clusters = per_image("clusters", clusters)
        require.shape("clusters", (len(clusters),), "N", sizes, "names")

        def exponent_of(index):
            return _log_fit(d[index], values[index], scale, statistic)[0]

        low, high = cluster_interval(clusters, exponent_of, n_resamples=n_resamples, seed=seed)
    return {"exponent": exponent, "low": low, "high": high, "prefactor": np.exp(offset), "residual": residual}


def _log_fit(d, values, scale, statistic):
    """Slope, offset and residual of log(statistic) against scale(d)."""
    each, counts = np.unique(d, return_counts=True)
    x, logs = scale(each), np.log([statistic(values[d == size]) for size in each])
    slope, offset = np.polyfit(x, logs, 1, w=np.sqrt(counts))
    return slope, offset, np.average((logs - slope * x - offset) ** 2, weights=counts) ** 0.5
