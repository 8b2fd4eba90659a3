"""Scores of explanation maps and selections: Average Drop by explicit definition, class overlap, intervals.

All is numpy, from the network's logits on. Functions raise ValueError, naming the argument, for a wrong shape, type or
range, an unknown choice, and NaN or infinity; but NaN among per-image values means "excluded".
"""

import warnings
from dataclasses import dataclass
from functools import wraps
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.special
import scipy.stats

from . import require

_MAPS = ": check the feature maps they come from"
_NETWORK = ": check the images and the network's precision"
_RANGE = "[-1e300, 1e300]"  # of what is summed, so that no sum overflows
_MOST = 10_000_000  # resamples, or classes: what is beyond would not end


class Masking(NamedTuple):
    """What decides which masked image the network sees: hashable, one set of logits each.

    >>> AverageDropDefinition("threshold", 0.15).masking
    Masking(mask='threshold', value=0.15, fill='black')
    """

    mask: str
    value: float | None
    fill: str


@dataclass(frozen=True)
class AverageDropDefinition:
    """Every choice that Average Drop leaves open; an unknown or missing choice raises ValueError.

    mask: "soft" (heatmap times image), "threshold" (keep heatmap >= value) or "top_fraction" (keep that
    fraction `value` of the pixels whose heatmap is largest); value: in [0, 1], None for soft.
    Pixels exactly at the cut of a hard mask are kept, those of heatmap 0 masked whatever the cut: an all-zero heatmap
    masks the whole image, and a top fraction keeps less if fewer pixels are positive.
    fill: masked pixels become "black" (0) or the "mean" colour.
    score, target: Y and O are the "softmax" probability or the "logit" of the class "predicted" on the full
    image or of the "true" one. average: over "all" images or those predicted "correct"ly.

    >>> AverageDropDefinition("top_fraction", 0.5, score="logit").masking == DEFINITIONS["top_half"].masking
    True
    >>> AverageDropDefinition("soft", 0.5)
    Traceback (most recent call last):
    ValueError: value must be None for a soft mask, got 0.5
    """

    mask: str = "soft"
    value: float | None = None
    fill: str = "black"
    score: str = "softmax"
    target: str = "predicted"
    average: str = "all"

    CHOICES = {
        "mask": ("soft", "threshold", "top_fraction"),
        "fill": ("black", "mean"),
        "score": ("softmax", "logit"),
        "target": ("predicted", "true"),
        "average": ("all", "correct"),
    }

    def __post_init__(self):
        for name, choices in self.CHOICES.items():
            require.choice(name, getattr(self, name), choices)
        if self.mask != "soft":
            require.number(f"value of the mask {self.mask}", self.value, "[0, 1]")
        elif self.value is not None:
            raise ValueError(f"value must be None for a soft mask, got {require.described(self.value)}")

    @property
    def masking(self):
        """Key of the masked images (`masks.apply`): definitions of equal masking share their masked logits."""
        return Masking(self.mask, self.value, self.fill)


DEFINITIONS = {
    "grad_cam_pp": AverageDropDefinition(),  # Chattopadhay et al. 2018, Sec. 4.1: the default
    "correct_only": AverageDropDefinition(average="correct"),
    "true_class": AverageDropDefinition(target="true"),
    "logit": AverageDropDefinition(score="logit"),
    "mean_fill": AverageDropDefinition(fill="mean"),
    "threshold_0.15": AverageDropDefinition("threshold", 0.15),  # the cut of Selvaraju et al. 2017
    "threshold_0.5": AverageDropDefinition("threshold", 0.5),
    "top_half": AverageDropDefinition("top_fraction", 0.5),
}


def _scores(logits_full, logits_masked, labels, definition):
    """Scores Y, O of full and masked images and which images the definition averages over: three (N,)."""
    sizes = {}
    full = require.array("logits_full", logits_full, "N C", sizes, _RANGE, remedy=_NETWORK)
    masked = require.array("logits_masked", logits_masked, "N C", sizes, _RANGE, remedy=_NETWORK)
    require.whole("C, the number of classes (models.two_classes makes two of one logit),", sizes["C"], 2)
    labels = require.indices("labels", labels, "N", sizes["C"], sizes)
    if not isinstance(definition, AverageDropDefinition):
        known = "an AverageDropDefinition, or one of DEFINITIONS by its key"
        raise ValueError(f"definition must be {known}, got {require.described(definition)}")
    predicted = full.argmax(1)
    target = predicted if definition.target == "predicted" else labels
    if definition.score == "softmax":
        full, masked = scipy.special.softmax(full, axis=1), scipy.special.softmax(masked, axis=1)
    rows = np.arange(len(full))
    counted = (predicted == labels) | (definition.average == "all")
    return full[rows, target], masked[rows, target], counted


def drops(logits_full, logits_masked, labels, definition=DEFINITIONS["grad_cam_pp"]):
    """Drop of each image in percent, 100 max(0, Y - O) / Y (Chattopadhay et al. 2018; paper, Eq. 8).

    logits of full and masked images: (N, C), labels: (N,) true classes in 0..C-1  ->  (N,), NaN where
    excluded: outside the averaging set, or Y <= 0, where the ratio means nothing (a probability that
    underflows to 0, a non-positive logit). A softmax drop lies in [0, 100]; a logit drop exceeds 100 if the
    masked logit is < 0.

    >>> full, masked = np.log([[0.8, 0.2], [0.4, 0.6]]), np.log([[0.6, 0.4], [0.3, 0.7]])  # probabilities
    >>> drops(full, masked, [0, 0]).round(9)  # 0.8 -> 0.6; 0.6 -> 0.7
    array([25.,  0.])
    >>> drops(full, masked, [0, 0], DEFINITIONS["correct_only"]).round(9)
    array([25., nan])
    """
    full, masked, counted = _scores(logits_full, logits_masked, labels, definition)
    counted = counted & (full > 0)
    with np.errstate(over="ignore"):
        found = np.where(counted, 100 * np.maximum(0, full - masked) / np.where(counted, full, 1), np.nan)
    require.values("drops", found, nan=True, remedy=": a logit is too near 0, take the score softmax")
    return found


def increases(logits_full, logits_masked, labels, definition=DEFINITIONS["grad_cam_pp"]):
    """100 for each image whose score grows under the mask (O > Y), 0 for the others, NaN if excluded: (N,).

    Arguments as for `drops`; only the averaging set excludes images, since O > Y needs no positive Y.

    >>> increases(np.log([[0.8, 0.2], [0.4, 0.6]]), np.log([[0.6, 0.4], [0.3, 0.7]]), [0, 0])
    array([  0., 100.])
    """
    full, masked, counted = _scores(logits_full, logits_masked, labels, definition)
    return np.where(counted, 100.0 * (masked > full), np.nan)


def nan_mean(values):
    """Mean of values without the NaN (excluded) ones; NaN if none is left. Raises ValueError for infinity.

    >>> nan_mean([1.0, np.nan, 4.0])
    2.5
    """
    return _mean(require.array("values", values, "...", interval=_RANGE, nan=True))


def _mean(values):
    return float(values[~np.isnan(values)].mean()) if not np.isnan(values).all() else float("nan")


def average_drop(logits_full, logits_masked, labels, definition=DEFINITIONS["grad_cam_pp"]):
    """Average Drop in percent, lower is better: mean of `drops`, NaN if every image is excluded.

    >>> full, masked = np.log([[0.8, 0.2], [0.4, 0.6]]), np.log([[0.6, 0.4], [0.3, 0.7]])
    >>> round(average_drop(full, masked, [0, 0]), 9)  # mean of 25 and 0
    12.5
    """
    return nan_mean(drops(logits_full, logits_masked, labels, definition))


def average_increase(logits_full, logits_masked, labels, definition=DEFINITIONS["grad_cam_pp"]):
    """Average Increase in percent, higher is better: mean of `increases`, NaN if every image is excluded.

    >>> average_increase(np.log([[0.8, 0.2], [0.4, 0.6]]), np.log([[0.6, 0.4], [0.3, 0.7]]), [0, 0])
    50.0
    """
    return nan_mean(increases(logits_full, logits_masked, labels, definition))


def by_class(values, labels, n_classes):
    """Mean per class: values (N,), labels (N,) in 0..n_classes-1  ->  (n_classes,), NaN values ignored.

    labels may be true or predicted classes. A class without values (never predicted, say) is NaN.
    Raises ValueError for other shapes and labels.

    >>> by_class([1.0, 3.0, np.nan, 5.0], [0, 0, 0, 2], 3)
    array([ 2., nan,  5.])
    """
    sizes, n_classes = {}, require.whole("n_classes", n_classes, 1, _MOST)
    values = require.array("values", values, "N", sizes, _RANGE, nan=True)
    labels = require.indices("labels", labels, "N", n_classes, sizes)
    return np.array([_mean(values[labels == c]) for c in range(n_classes)])


def area_under_curve(curve):
    """Insertion or deletion AUC (RISE): scores (..., T) at T >= 2 evenly spaced fractions 0..1  ->  (...).

    Of the images of `masks.pixel_sequence`, by the trapezoidal rule. Raises ValueError for T < 2, NaN and infinity.

    >>> float(area_under_curve([0.0, 0.5, 1.0]))
    0.5
    """
    curve = require.array("curve", curve, "... T", interval=_RANGE)
    require.whole("T, the points of the curve,", curve.shape[-1], 2)
    return np.trapezoid(curve, axis=-1) / (curve.shape[-1] - 1)


def _linear(contributions, bias, target, sizes):
    """Contributions (B, N_f, C), bias (C,) and target (B,) of a classifier that is linear in its maps, as arrays."""
    contributions = require.array("contributions", contributions, "B N_f C", sizes, remedy=_MAPS)
    bias = require.array("bias", bias, "C", sizes, remedy=": check the classifier it comes from")
    return contributions, bias, require.indices("target", target, "B", len(bias), sizes)


def subset_scores(contributions, bias, target, kept):
    """Probability of a class with exactly the kept maps, all others set to zero: a causal test of a selection.

    contributions: (B, N_f, C) of `feature_maps.contributions`; bias: (C,); target: (B,) classes; kept: (B, N_f) bool
    ->  (B,) in [0, 1]. The complement of a selection gives the test of removing it; k = 0 leaves the bias.
    Raises ValueError for shapes that do not fit, NaN or infinity, or a kept that is no bit-string.

    >>> contributions = np.array([[[np.log(3), 0.0], [0.0, 5.0]]])  # the first map speaks for class 0
    >>> subset_scores(contributions, np.zeros(2), [0], [[1, 0]]).round(9)  # 3 / (3 + 1)
    array([0.75])
    """
    sizes = {}
    contributions, bias, target = _linear(contributions, bias, target, sizes)
    kept = require.bits("kept", kept, "B N_f", sizes)
    logits = np.einsum("bn,bnc->bc", kept.astype(float), contributions) + bias
    require.values("logits", logits, remedy=": they overflow, scale contributions and bias down")
    return scipy.special.softmax(logits, axis=1)[np.arange(len(kept)), target]


def best_subset_scores(contributions, bias, target, keep=True):
    """The best that any subset of each size can do, by exhaustive search: arguments as `subset_scores`.

    ->  (B, N_f + 1): the largest probability with k maps kept, or (keep=False) the smallest with k maps removed.
    Raises ValueError beyond 20 maps, for shapes that do not fit, NaN or infinity.

    >>> contributions = np.array([[[np.log(3), 0.0], [0.0, np.log(3)]]])
    >>> best_subset_scores(contributions, np.zeros(2), [0]).round(9)  # no map, the best one, both
    array([[0.5 , 0.75, 0.5 ]])
    """
    contributions, bias, target = _linear(contributions, bias, target, {})
    if not isinstance(keep, (bool, np.bool_)):
        raise ValueError(f"keep must be True or False, got {require.described(keep)}")
    n = contributions.shape[1]
    if n > 20:
        raise ValueError(f"exhaustive search over 2^{n} subsets an image: at most 20 maps")
    bits = np.arange(2**n)[:, None] >> np.arange(n) & 1
    size, best = bits.sum(1), np.empty((len(contributions), n + 1))
    order = np.argsort(size, kind="stable")
    starts = np.searchsorted(size[order], np.arange(n + 1))
    ranked = bits[order].astype(float)
    for b, (of, c) in enumerate(zip(contributions, target)):
        logits = (ranked if keep else 1 - ranked) @ of + bias
        probability = scipy.special.softmax(logits, axis=1)[:, c]
        best[b] = np.maximum.reduceat(probability, starts) if keep else np.minimum.reduceat(probability, starts)
    require.values("probabilities", best, "[0, 1]", remedy=": the logits overflow, scale contributions and bias down")
    return best


def _images(name, given):
    """What is given for each image  ->  list. Raises ValueError for what is no sequence."""
    given = given.to_numpy() if isinstance(given, pd.DataFrame) else given
    if isinstance(given, dict) or not pd.api.types.is_list_like(given, allow_sets=False):
        raise ValueError(f"{name} must be a sequence, an entry for each image, got {require.described(given)}")
    return list(given)


def mean_cosines(redundancy, selected):
    """Mean cosine among the selected maps of each image: (B, N, N) and (B, N)  ->  (B,), NaN below two maps.

    selected: bool or 0/1. redundancy, selected: arrays, or lists of arrays where the images have different N.
    Raises ValueError for shapes that do not fit, selections that are no bit-strings, NaN and infinity.

    >>> mean_cosines([[[1.0, 0.2, 0.4], [0.2, 1.0, 0.6], [0.4, 0.6, 1.0]]], [[1, 1, 1]]).round(9)
    array([0.4])
    """
    redundancy, selected = _images("redundancy", redundancy), _images("selected", selected)
    if len(redundancy) != len(selected):
        counts = f"{len(redundancy)} and {len(selected)}"
        raise ValueError(f"redundancy and selected must be of as many images, got {counts}")
    values = np.full(len(selected), np.nan)
    for i, (J, bits) in enumerate(zip(redundancy, selected)):
        sizes = {}
        J = require.array(f"redundancy of image {i}", J, "N N", sizes, _RANGE, remedy=_MAPS)
        bits = require.bits(f"selected of image {i}", bits, "N", sizes)
        if bits.sum() > 1:
            values[i] = J[np.ix_(bits, bits)][np.triu_indices(bits.sum(), 1)].mean(dtype=np.float64)
    return values


def bhattacharyya_matrix(selections, labels, n_classes):
    """Overlap of the maps selected by each pair of classes, BC(c, c') = sum_a sqrt(P_c(a) P_c'(a)).

    selections: (N, N_f) bool or 0/1, labels: (N,) in 0..n_classes-1  ->  (n_classes, n_classes) in [0, 1].
    P_c is the histogram of the maps selected over all images of class c, divided by its sum. The diagonal is
    1. A class with no image, or that never selects a map, has a row and a column of zeros: undefined overlap,
    not disentanglement. Raises ValueError for shapes that do not fit, fractional labels, and indices for bit-strings.

    >>> selections = [[1, 1, 0], [1, 0, 0], [0, 0, 1]]
    >>> bhattacharyya_matrix(selections, [0, 1, 2], 3).round(3)  # classes 0 and 1: sqrt(1/2 * 1)
    array([[1.   , 0.707, 0.   ],
           [0.707, 1.   , 0.   ],
           [0.   , 0.   , 1.   ]])
    """
    sizes, n_classes = {}, require.whole("n_classes", n_classes, 1, _MOST)
    selections = require.bits("selections", selections, "N N_f", sizes)
    labels = require.indices("labels", labels, "N", n_classes, sizes)
    counts = np.stack([selections[labels == c].sum(0) for c in range(n_classes)]).astype(float)
    root = np.sqrt(counts / np.maximum(counts.sum(1, keepdims=True), 1))
    return root @ root.T


def mean_off_diagonal(matrix):
    """Mean overlap between different classes: (C, C)  ->  float, NaN with fewer than two defined classes.

    Classes of zero diagonal (see `bhattacharyya_matrix`) are left out: their zeros would pass for
    disentanglement. Raises ValueError for another shape, NaN and infinity.

    >>> mean_off_diagonal([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 0.0]])  # the third is undefined
    0.5
    """
    matrix = require.array("matrix", matrix, "C C", interval=_RANGE)
    defined = np.flatnonzero(np.diag(matrix) > 0)
    block = matrix[np.ix_(defined, defined)]
    return _mean(block[~np.eye(len(defined), dtype=bool)])


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
