"""Bootstrap intervals: over images, over classes, bias-corrected."""

import warnings
from functools import wraps

import numpy as np
import pandas as pd
import scipy.stats

from . import require

_RANGE = "[-1e300, 1e300]"  # of what is summed, so that no sum overflows
_MOST = 10_000_000  # resamples, or classes: what is beyond would not end


def nan_mean(values):
    """Mean of values without the NaN (excluded) ones; NaN if none is left. Raises ValueError for infinity.

    >>> nan_mean([1.0, np.nan, 4.0])
    2.5
    """
    return _mean(require.array("values", values, "...", interval=_RANGE, nan=True))


def _mean(values):
    return float(values[~np.isnan(values)].mean()) if not np.isnan(values).all() else float("nan")


def _function(statistic):
    """The statistic, whose values are numbers of finite size, or NaN. Raises ValueError, then or when called."""
    if not callable(statistic):
        raise ValueError(f"statistic must be a function of an array, got {require.described(statistic)}")

    @wraps(statistic)  # scipy asks whether it takes an axis
    def checked(*samples, **options):
        axes, found = "..." if options else "", statistic(*samples, **options)
        return require.array("values of the statistic", found, axes, interval=_RANGE, nan=True, dtype=None)

    return checked


def bootstrap_interval(values, statistic=np.mean, n_resamples=2000, confidence=0.95, seed=0, method="BCa"):
    """Bootstrap confidence interval of a statistic of images (Efron 1987, through scipy).

    values: (N,), NaN ignored; statistic: array -> float, faster if it takes `axis`; method: "BCa", "basic" or
    "percentile"  ->  (low, high), both NaN for fewer than two values. Where BCa is undefined (for constant
    values, or an estimate outside all resamples) the basic interval is returned.

    To resample more than a vector, give the indices of the images. Noise lowers a mean overlap and resampling
    adds noise, so take "basic" there: it undoes the bias and may lie above the estimate, while the percentile
    interval misses the true value. Raises ValueError for infinity, in values or their statistic, and for fewer than
    one resample.

    >>> bootstrap_interval(np.arange(100), method="percentile")  # a mean of 49.5, its standard error 2.9
    (43.9095, 55.08025)
    >>> labels, selections = np.repeat([0, 1], 20), np.random.default_rng(0).random((40, 8)) < 0.3
    >>> overlap = lambda i: mean_off_diagonal(bhattacharyya_matrix(selections[i], labels[i], 2))
    >>> low, high = bootstrap_interval(np.arange(len(labels)), overlap, n_resamples=200, method="basic")
    >>> round(overlap(np.arange(40)), 2), round(low, 2), round(high, 2)
    (0.95, 0.93, 1.11)
    """
    if len(getattr(values, "shape", ())) > 1:
        raise ValueError(f"values must be (N,), got {require.described(values)}: give indices to resample rows")
    values = require.array("values", values, "N", interval=_RANGE, nan=True, dtype=None)
    values = values[~np.isnan(values)]
    n_resamples, rng = require.whole("n_resamples", n_resamples, 1, _MOST), require.generator("seed", seed)
    confidence, statistic = require.number("confidence", confidence, "(0, 1)"), _function(statistic)
    require.choice("method", method, ("BCa", "basic", "percentile"))
    if len(values) < 2:
        return float("nan"), float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns where BCa is degenerate
        result = scipy.stats.bootstrap(
            (values,), statistic, n_resamples=n_resamples, confidence_level=confidence, method=method,
            batch=max(1, 2_000_000 // len(values)), rng=rng,
        )  # fmt: skip
    low, high = result.confidence_interval
    if np.isnan(low) or np.isnan(high):
        tail = (1 - confidence) / 2
        low, high = 2 * statistic(values) - np.nanquantile(result.bootstrap_distribution, (1 - tail, tail))
    return float(low), float(high)


def stratified_resamples(labels, n_resamples=1000, seed=0):
    """Yield bootstrap samples of images that keep the number of each class: labels (N,)  ->  (N,) index arrays.

    labels: numbers or names. Raises ValueError for none, and for missing ones.

    >>> labels = np.array([0, 0, 1, 1, 1])
    >>> [labels[index].tolist() for index in stratified_resamples(labels, n_resamples=2)]
    [[0, 0, 1, 1, 1], [0, 0, 1, 1, 1]]
    """
    groups, rng = _groups("labels", labels), require.generator("seed", seed)
    samples = range(require.whole("n_resamples", n_resamples, 0, _MOST))
    return (np.concatenate([rng.choice(group, len(group)) for group in groups]) for _ in samples)


def _groups(name, labels):
    """Indices of the images of each label, in the order of the labels: numbers or names (N,)  ->  list of arrays."""
    labels = _images(name, labels)
    labels = [label.item() if getattr(label, "shape", None) == () else label for label in labels]  # of arrays, tensors
    try:
        codes, names = pd.factorize(pd.Series(labels, dtype=None if labels else float).to_numpy(), sort=True)
    except TypeError:  # arrays or lists are no labels
        raise ValueError(f"{name} must be numbers or names (N,), got {require.described(labels)}") from None
    if not len(names) or (codes < 0).any():
        missing = f"{np.sum(codes < 0)} of {len(codes)} are missing"
        raise ValueError(f"{name} must be a number or a name for every image, of one or more: {missing}")
    return [np.flatnonzero(codes == code) for code in range(len(names))]


def bias_corrected(value, resampled, confidence=0.95):
    """Bias-corrected estimate and basic bootstrap interval (Davison and Hinkley 1997, Eqs. 2.11 and 5.6).

    value: of all images, any shape; resampled: (R, ...) of bootstrap samples  ->  estimate, low, high of its shape.
    For statistics that resampling noise moves to one side, as it lowers the overlap of sparse selections.
    Raises ValueError for other shapes, NaN and infinity.

    >>> bias_corrected(1.0, np.array([0.8, 0.9, 1.0]), confidence=0.5)  # resampling lowers it by 0.1
    (np.float64(1.1), np.float64(1.05), np.float64(1.15))
    """
    value = require.array("value", value, "...", interval=_RANGE)
    resampled = require.array("resampled", resampled, " ".join(["R", *map(str, value.shape)]), interval=_RANGE)
    require.whole("R, the number of samples,", len(resampled), 1)
    tail = (1 - require.number("confidence", confidence, "(0, 1)")) / 2
    high, low = 2 * value - np.quantile(resampled, (tail, 1 - tail), axis=0)
    return 2 * value - np.mean(resampled, axis=0), low, high


def cluster_interval(clusters, statistic, n_resamples=1000, confidence=0.95, seed=0):
    """Percentile interval of a statistic when images come in clusters (classes, say) that share a property.

    Whole clusters are resampled. clusters: (N,) their names; statistic: index array -> float, NaN where undefined
    ->  (low, high), NaN resamples ignored. Raises ValueError without images, for missing names, and for infinity.

    >>> values, clusters = np.array([1.0, 1.0, 5.0, 5.0]), np.array(["cat", "cat", "dog", "dog"])
    >>> cluster_interval(clusters, lambda index: values[index].mean())
    (1.0, 5.0)
    """
    groups, rng, values = _groups("clusters", clusters), require.generator("seed", seed), []
    tail, statistic = (1 - require.number("confidence", confidence, "(0, 1)")) / 2, _function(statistic)
    for _ in range(require.whole("n_resamples", n_resamples, 1, _MOST)):
        values.append(statistic(np.concatenate([groups[g] for g in rng.integers(len(groups), size=len(groups))])))
    defined = np.array([value for value in values if not np.isnan(value)], dtype=float)
    low, high = np.quantile(defined, (tail, 1 - tail)) if len(defined) else (np.nan, np.nan)
    return float(low), float(high)


def _images(name, given):
    """What is given for each image  ->  list. Raises ValueError for what is no sequence."""
    given = given.to_numpy() if isinstance(given, pd.DataFrame) else given
    if isinstance(given, dict) or not pd.api.types.is_list_like(given, allow_sets=False):
        raise ValueError(f"{name} must be a sequence, an entry for each image, got {require.described(given)}")
    return list(given)
