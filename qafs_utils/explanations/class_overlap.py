"""How far the maps of the classes overlap: of selections and their controls, what decides it, and what it means."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from .. import intervals, require
from ..cnn.datasets import CLASSES
from ..conventions import HEADLINE
from ..qubo import feature_selection
from ..solvers import baselines, by_name
from .bhattacharyya import bhattacharyya_matrix, mean_off_diagonal


def pair_overlaps(selected: np.ndarray, labels: np.ndarray, n_classes: int = len(CLASSES)) -> np.ndarray:
    """Bhattacharyya coefficient of every pair of classes: (B, N_f) bool, (B,)  ->  (C (C - 1) / 2,), C = n_classes.

    In the order of `numpy.triu_indices(C, 1)`. Raises ValueError as `bhattacharyya_matrix`.

    >>> pair_overlaps([[1, 1, 0], [1, 0, 0], [0, 0, 1]], [0, 1, 2], 3).round(3)  # of 0 and 1, 0 and 2, 1 and 2
    array([0.707, 0.   , 0.   ])
    """
    return _upper(bhattacharyya_matrix(selected, labels, n_classes))


def _upper(matrix):
    return matrix[np.triu_indices(len(matrix), 1)]


def _checked(selected, labels, n_classes: int = len(CLASSES)):
    """Bit-strings (B, N_f) and labels (B,) as arrays. Raises ValueError, naming them, for anything else."""
    sizes = {}
    selected = require.bits("selected", selected, "B N_f", sizes)
    return selected, require.indices("labels", labels, "B", n_classes, sizes)


def _defined_overlaps(selected, labels):
    """`pair_overlaps` of the classes whose images select maps: those of the others are undefined, not 0."""
    matrix = bhattacharyya_matrix(selected, labels, len(CLASSES))
    defined = np.flatnonzero(np.diag(matrix) > 0)
    return _upper(matrix[np.ix_(defined, defined)])


def _bias_corrected(value, resampled):
    """`intervals.bias_corrected` of the resamples in which the value is defined: NaN where it is undefined itself."""
    resampled = np.asarray(resampled)
    return (np.nan,) * 3 if np.isnan(value) else intervals.bias_corrected(value, resampled[~np.isnan(resampled)])


def mean_overlap(selected: np.ndarray, labels: np.ndarray) -> float:
    """Mean Bhattacharyya coefficient of two classes, of those that occur: (B, N_f) bool, (B,)  ->  float.

    >>> mean_overlap([[1, 0], [0, 1], [0, 1]], [0, 1, 2])  # one pair of three shares its map
    0.3333333333333333
    """
    return mean_off_diagonal(bhattacharyya_matrix(selected, labels, len(CLASSES)))


def resampled_pairs(selected: np.ndarray, labels: np.ndarray, *, n_resamples: int = 1000, seed=0) -> np.ndarray:
    """`pair_overlaps` of bootstrap samples of images within each class  ->  (n_resamples, 45).

    >>> resampled_pairs(np.eye(10), np.arange(10), n_resamples=2).shape  # no two classes share a map
    (2, 45)
    """
    selected, labels = _checked(selected, labels)
    samples = intervals.stratified_resamples(labels, n_resamples, seed)
    return np.array([pair_overlaps(selected[i], labels[i]) for i in samples])


def overlap_summary(selected: np.ndarray, labels: np.ndarray, *, n_resamples: int = 1000, seed=0) -> dict:
    """Mean overlap of the pairs of classes, its bias-corrected estimate with 95 % interval, and what lies behind it.

    selected: (B, N_f) bool; labels: (B,)  ->  mean_overlap, corrected, low, high, largest, pairs_that_overlap, and
    selected, the mean number of maps. Only pairs of classes whose images select maps count: the overlaps of fewer than
    two such classes are NaN. Raises ValueError for other shapes, values or labels.

    >>> found = overlap_summary(np.eye(10, dtype=bool), np.arange(10), n_resamples=5)
    >>> float(found["mean_overlap"]), int(found["pairs_that_overlap"]), float(found["selected"])
    (0.0, 0, 1.0)
    """
    selected, labels = _checked(selected, labels)
    pairs, samples = _defined_overlaps(selected, labels), intervals.stratified_resamples(labels, n_resamples, seed)
    mean = intervals.nan_mean(pairs)
    means = [intervals.nan_mean(_defined_overlaps(selected[i], labels[i])) for i in samples]
    corrected, low, high = _bias_corrected(mean, means)
    return {
        "mean_overlap": mean,
        "corrected": corrected,
        "low": low,
        "high": high,
        "largest": pairs.max() if len(pairs) else np.nan,
        "pairs_that_overlap": (pairs > 0).sum(),
        "selected": selected.sum(1).mean(),
    }


def with_controls(index: pd.DataFrame) -> pd.DataFrame:
    """The selections that have controls of equal size, one a row, with the keys of their arrays.

    index: rows of 04_index for one artefact: n_features, place, beta, seed, kind, key
    ->  n_features, place, beta, seed, and the keys selected (of "qa" or "sa", or "exact" where there is neither),
    top_k, random_k and candidates, which are the same for every beta.

    >>> kinds, columns = ["exact", "top_k", "random_k", "candidates"], ["kind", "beta", "key"]
    >>> index = pd.DataFrame(zip(kinds, [0.7, 0.7, 0.7, np.nan], "abcd"), columns=columns)
    >>> with_controls(index.assign(n_features=16, place="block", seed=0)).iloc[0, 4:].tolist()
    ['a', 'b', 'c', 'd']
    """
    case = ["n_features", "place", "beta", "seed"]
    keys = index[index.kind != "candidates"].pivot(index=case, columns="kind", values="key").reset_index()
    keys["selected"] = keys.reindex(columns=["qa", "sa", "exact"]).astype(object).bfill(axis=1).qa
    candidates = index[index.kind == "candidates"].rename(columns={"key": "candidates"})
    keys = keys.merge(candidates[["n_features", "place", "seed", "candidates"]], how="left")
    return keys.dropna(subset="top_k")[[*case, "selected", "top_k", "random_k", "candidates"]]


def against_controls(
    selections: Mapping[str, np.ndarray],
    labels: np.ndarray,
    importance: np.ndarray | None = None,
    *,
    n_resamples: int = 1000,
    seed=0,
) -> dict:
    """Mean overlap of a selection and its controls, and the paired difference to the top k, bias-corrected.

    selections: "selected" and "top_k", with whatever else is to be compared, (B, N_f) bool each; labels: (B,);
    importance: (B, N_f), for the top k with one k for all images, the rounded mean size of the selections (NaN without)
    ->  the mean overlap of each, selected_minus_top_k, low, high, constant_k, and same_as_top_k, the share of
    selections that are the top k. Overlaps of fewer than two classes are NaN. Raises ValueError as `overlap_summary`.

    >>> alike, apart = np.eye(10, dtype=bool)[[0] * 10], np.eye(10, dtype=bool)
    >>> found = against_controls({"selected": alike, "top_k": apart}, np.arange(10), np.eye(10)[::-1], n_resamples=5)
    >>> [round(float(value), 9) for value in found.values()]
    [1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.1]
    """
    sizes = {}
    selections = {name: require.bits(name, bits, "B N_f", sizes) for name, bits in selections.items()}
    labels = require.indices("labels", labels, "B", len(CLASSES), sizes)
    selected, top_k = selections["selected"], selections["top_k"]
    overlaps = {name: mean_overlap(bits, labels) for name, bits in selections.items()}
    resampled = [
        mean_overlap(selected[i], labels[i]) - mean_overlap(top_k[i], labels[i])
        for i in intervals.stratified_resamples(labels, n_resamples, seed)
    ]
    difference, low, high = _bias_corrected(overlaps["selected"] - overlaps["top_k"], resampled)
    constant_k = np.nan
    if importance is not None:
        importance = require.array("importance", importance, "B N_f", sizes)
        k = np.minimum(round(selected.sum(1).mean()), (importance > 0).sum(1))
        constant_k = mean_overlap(baselines.top_k(importance, k), labels)
    return overlaps | {
        "selected_minus_top_k": difference,
        "low": low,
        "high": high,
        "constant_k": constant_k,
        "same_as_top_k": (selected == top_k).all(1).mean(),
    }


def overlaps_of_heads(
    samples: Mapping[str, np.ndarray], predicted: Mapping[str, np.ndarray], cases: pd.DataFrame
) -> np.ndarray:
    """`pair_overlaps` of the selections of each case, a training seed say  ->  (cases, 45).

    samples: artefact 04_samples; predicted: 02_problems_nf<n>, whose predicted/seed<s> (B,) group the images; cases:
    columns selected (a key of samples) and seed.

    >>> cases = pd.DataFrame({"selected": ["mine"], "seed": 3})
    >>> overlaps_of_heads({"mine": np.eye(10, dtype=bool)}, {"predicted/seed3": np.arange(10)}, cases).shape
    (1, 45)
    """
    groups = zip(cases.selected, cases.seed)
    return np.array([pair_overlaps(samples[key], predicted[f"predicted/seed{seed}"]) for key, seed in groups])


def tidy_controls(controls: pd.DataFrame) -> pd.DataFrame:
    """One mean overlap a row: columns n_features, target, beta, seed, selection, overlap, low, high.

    controls: rows of `against_controls` with the first four columns; only selected_minus_top_k has an interval.

    >>> row = {"n_features": 16, "target": "block", "beta": 0.7, "seed": 0, "selected": 0.3, "top_k": 0.2}
    >>> row |= {"random_k": 0.5, "candidates": 0.6, "constant_k": 0.2, "selected_minus_top_k": 0.1}
    >>> tidy = tidy_controls(pd.DataFrame([row | {"low": 0.05, "high": 0.15}]))
    >>> len(tidy), tidy.high.dropna().tolist()
    (6, [0.15])
    """
    case, interval = ["n_features", "target", "beta", "seed"], ["low", "high"]
    kinds = ["selected", "top_k", "constant_k", "random_k", "candidates", "selected_minus_top_k"]
    tidy = controls.melt([*case, *interval], kinds, "selection", "overlap")
    tidy.loc[tidy.selection != "selected_minus_top_k", interval] = np.nan
    return tidy[[*case, "selection", "overlap", *interval]]


def class_shares(selected: np.ndarray, labels: np.ndarray, n_classes: int = len(CLASSES)) -> np.ndarray:
    """Share of the images of each class that have a map: (B, N_f) bool, (B,)  ->  (n_classes, N_f), NaN without images.

    >>> class_shares(np.array([[True, True], [True, False]]), np.array([0, 0]), 1)
    array([[1. , 0.5]])
    """
    n_classes = require.whole("n_classes", n_classes, 1)
    selected, labels = _checked(selected, labels, n_classes)
    images = np.bincount(labels, minlength=n_classes)[:, None]
    counts = np.stack([selected[labels == c].sum(0) for c in range(n_classes)])
    return np.where(images > 0, counts / np.maximum(images, 1), np.nan)


def distinct_in_class(selected: np.ndarray, labels: np.ndarray) -> list[int]:
    """How many different selections the images of each class have, of the classes that occur.

    >>> distinct_in_class(np.array([[1, 0], [1, 0], [0, 1]]), np.array([3, 3, 3]))
    [2]
    """
    selected, labels = _checked(selected, labels)
    return [len(np.unique(selected[labels == c], axis=0)) for c in np.unique(labels)]


def one_optimum_a_class(
    field: np.ndarray,
    labels: np.ndarray,
    *,
    cosine: float = 0.5,
    beta: float = HEADLINE.beta,
    pair_sum: str = HEADLINE.pair_sum,
    field_kind: str = HEADLINE.field,
) -> np.ndarray:
    """`pair_overlaps` of one optimum for each class, every cosine set to one value: no image is needed.

    field: (B, N_f), "max" fields, the same for the images of a class, as it is of maps after the block; labels: (B,);
    field_kind: "max" or "min-max", the field of the optimum  ->  (45,).

    >>> one_optimum_a_class(-np.eye(10), np.arange(10)).any()  # every class has a map of its own
    np.False_
    """
    sizes, cosine = {}, require.number("cosine", cosine, "[-1, 1]")
    field = require.array("field", field, "B N_f", sizes)
    classes, first = np.unique(require.indices("labels", labels, "B", len(CLASSES), sizes), return_index=True)
    cosines = np.triu(np.full((field.shape[1], field.shape[1]), cosine))  # (N_f, N_f)
    arrays = {"field": field[first], "redundancy": cosines[None].repeat(len(classes), 0)}
    problems = [p.with_field(field_kind) for p in feature_selection.from_arrays(arrays)]
    options = {"beta": beta, "pair_sum": pair_sum, "desc": "one optimum a class"}
    return pair_overlaps(by_name.solve_all(problems, "brute_force", **options)[0], classes)


def sharing(importance: np.ndarray, labels: np.ndarray) -> dict:
    """Are the important candidates of a class those that few other classes have?

    importance: (B, N_f), of which the mean over the images of a class is taken; labels: (B,). A map is a candidate of
    a class where that mean is positive, and its importance there is relative to the class's largest  ->  candidates,
    the number of pairs of class and candidate; spearman, the rank correlation, over these, of importance and the number
    of other classes that have the candidate (NaN where one of them is constant); top_fifth and bottom_fifth, that
    number, averaged over the most and the least important fifth of each class's candidates.

    >>> shared, own = np.array([[4, 1, 0], [4, 0, 1]]), np.array([[1, 4, 0], [1, 0, 4]])  # map 0 is of both classes
    >>> [round(float(sharing(maps, [0, 1])["spearman"]), 9) for maps in (shared, own)]
    [1.0, -1.0]
    """
    import scipy.stats  # half a second to import

    sizes = {}
    importance = require.array("importance", importance, "B N_f", sizes)
    labels = require.indices("labels", labels, "B", len(CLASSES), sizes)
    mean = np.stack([importance[labels == c].mean(0) for c in np.unique(labels)])  # (C, N_f)
    others, rows = (mean > 0).sum(0) - 1, []  # of a candidate of a class
    for alpha in mean:
        order = np.flatnonzero(alpha > 0)
        order, fifth = order[np.argsort(-alpha[order], kind="stable")], int(np.ceil(len(order) / 5))
        places = np.arange(len(order))
        table = {"relative": alpha[order] / alpha.max(), "others": others[order], "top": places < fifth}
        rows.append(pd.DataFrame(table | {"bottom": places >= len(order) - fifth}))
    table = pd.concat(rows)
    ordered = len(table) > 1 and np.ptp(table.relative) > 0 and np.ptp(table.others) > 0
    return {
        "candidates": len(table),
        "spearman": scipy.stats.spearmanr(table.relative, table.others).statistic if ordered else np.nan,
        "top_fifth": table.others[table.top].mean(),
        "bottom_fifth": table.others[table.bottom].mean(),
    }


def _correlation(first, second):
    """Pearson correlation of two vectors, NaN where one of them is constant."""
    import scipy.stats  # half a second to import

    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return np.nan
    return scipy.stats.pearsonr(first, second)[0]


def structure(selected: np.ndarray, field: np.ndarray, labels: np.ndarray, by_class: np.ndarray | None = None) -> dict:
    """How much of the overlap is decided by the candidate sets: correlations of the 45 pairs, and numbers of sets.

    selected: (B, N_f) bool; field: (B, N_f), negative for candidates; labels: (B,); by_class: (45,), overlaps of
    `one_optimum_a_class`, or None  ->  a row of the table.

    >>> candidates = np.eye(10, dtype=bool) | np.eye(10, k=1, dtype=bool)
    >>> found = structure(candidates, -1.0 * candidates, np.arange(10))
    >>> round(float(found["with candidates"]), 9), float(found["candidate sets a class"])
    (1.0, 1.0)
    """
    pairs, candidates = pair_overlaps(selected, labels), require.array("field", field, "B N_f") < 0
    return {
        "with candidates": _correlation(pairs, pair_overlaps(candidates, labels)),
        "with one optimum a class": np.nan if by_class is None else _correlation(pairs, by_class),
        "candidate sets a class": np.mean(distinct_in_class(candidates, labels)),
        "selections a class": np.mean(distinct_in_class(selected, labels)),
    }


def confusions(labels: np.ndarray, predicted: np.ndarray, n_classes: int = len(CLASSES)) -> np.ndarray:
    """How many images of each pair of classes are taken for the other: (B,), (B,)  ->  (C, C), symmetric.

    Raises ValueError for other lengths, and for labels outside 0..C - 1.

    >>> confusions([0, 0, 1, 1], [0, 1, 0, 0], 2)  # the diagonal is twice the images that are right
    array([[2., 3.],
           [3., 0.]])
    """
    sizes, n_classes = {}, require.whole("n_classes", n_classes, 1)
    labels = require.indices("labels", labels, "B", n_classes, sizes)
    predicted = require.indices("predicted", predicted, "B", n_classes, sizes)
    counts = np.zeros((n_classes, n_classes))
    np.add.at(counts, (labels, predicted), 1)
    return counts + counts.T


def permutation_test(
    matrix: np.ndarray, statistic: Callable[[np.ndarray], float], *, n_permutations: int = 1000, seed=0
) -> dict:
    """Does a statistic of a (C, C) matrix depend on which class is which?  ->  its value, and p from permuted classes.

    p is the share of permutations, the identity among them, whose statistic is at least as large; NaN if the value is.
    seed: a whole number, or a numpy Generator to go on with.

    >>> found = permutation_test(np.diag([1.0, 0.0]), lambda matrix: matrix[0, 0], n_permutations=999)
    >>> float(found["value"]), round(found["p"], 1)  # half of the permutations leave it as it is
    (1.0, 0.5)
    """
    rng, matrix = require.generator("seed", seed), require.array("matrix", matrix, "C C", dtype=None)
    permutations = [rng.permutation(len(matrix)) for _ in range(require.whole("n_permutations", n_permutations, 1))]
    value, null = statistic(matrix), np.array([statistic(matrix[np.ix_(p, p)]) for p in permutations])
    p = np.nan if np.isnan(value) else (1 + int((null >= value).sum())) / (1 + len(null))
    return {"value": value, "p": p}


def meaning(
    matrix: np.ndarray, confused: np.ndarray, alike: np.ndarray, *, n_permutations: int = 1000, seed=0
) -> list[dict]:
    """Do classes of much overlap get confused, and are they alike?  ->  a row for each question: id, value and p.

    matrix: (C, C) overlaps; confused: (C, C) of `confusions`; alike: (C, C) bool or 0/1. All are read above their
    diagonals. Over pairs of classes, the values are the Spearman correlation of overlap and confusion (NaN where one of
    them is constant), and the mean overlap of alike pairs minus that of the others (NaN where all or none are alike).
    Raises ValueError for other shapes and values.

    >>> overlap, alike = np.array([[1, 0.5, 0], [0.5, 1, 0.2], [0, 0.2, 1]]), np.eye(3, k=1, dtype=bool)
    >>> [float(row["value"]) for row in meaning(overlap, overlap, alike, n_permutations=5)]  # 0.5 and 0.2, less 0
    [1.0, 0.35]
    """
    import scipy.stats  # half a second to import

    sizes = {}
    matrix = require.array("matrix", matrix, "C C", sizes)
    confused = _upper(require.array("confused", confused, "C C", sizes))
    alike = _upper(require.bits("alike", alike, "C C", sizes))
    require.whole("C, the number of classes,", sizes["C"], 2)
    ordered = np.ptp(_upper(matrix)) > 0 and np.ptp(confused) > 0  # equals have no order

    def with_confusion(overlaps):
        return scipy.stats.spearmanr(_upper(overlaps), confused).statistic if ordered else np.nan

    def excess_of_alike(overlaps):
        return intervals.nan_mean(_upper(overlaps)[alike]) - intervals.nan_mean(_upper(overlaps)[~alike])

    statistics, rng = (
        {"overlap_confusion": with_confusion, "overlap_alike": excess_of_alike},
        require.generator("seed", seed),
    )
    return [
        {"id": name} | permutation_test(matrix, statistic, n_permutations=n_permutations, seed=rng)
        for name, statistic in statistics.items()
    ]
