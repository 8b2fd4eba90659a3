"""Metrics on cases worked out by hand, their invariants, and bad input."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from qafs_utils import intervals
from qafs_utils.explanations import average_drop, bhattacharyya, map_subsets
from qafs_utils.explanations.average_drop import DEFINITIONS, AverageDropDefinition

SOFT = DEFINITIONS["grad_cam_pp"].masking


def logits(*probabilities):
    """Logits whose softmax is the given rows of probabilities."""
    return np.log(np.array(probabilities))


def test_definitions_are_explicit_and_share_maskings():
    assert next(iter(DEFINITIONS)) == "grad_cam_pp" and len(DEFINITIONS) >= 5
    assert len(set(DEFINITIONS.values())) == len(DEFINITIONS)
    assert dataclasses.asdict(DEFINITIONS["grad_cam_pp"]) == {
        "mask": "soft", "value": None, "fill": "black", "score": "softmax",
        "target": "predicted", "average": "all",
    }  # fmt: skip
    assert DEFINITIONS["logit"].masking == DEFINITIONS["true_class"].masking == SOFT
    assert len({d.masking for d in DEFINITIONS.values()}) == 5


@pytest.mark.parametrize("wrong", [
    {"mask": "hard"}, {"fill": "white"}, {"score": "z"}, {"target": "top2"}, {"average": "some"},
    {"value": 0.5}, {"mask": "threshold"}, {"mask": "threshold", "value": 15},
    {"mask": "top_fraction", "value": -1},
])  # fmt: skip
def test_unknown_or_missing_choices_are_refused(wrong):
    with pytest.raises(ValueError):
        AverageDropDefinition(**wrong)


def test_drops_by_hand():
    full = logits([0.8, 0.2], [0.4, 0.6], [0.5, 0.5], [0.9, 0.1])
    masked = logits([0.4, 0.6], [0.1, 0.9], [0.5, 0.5], [0.6, 0.4])
    labels = np.array([0, 0, 0, 1])
    np.testing.assert_allclose(average_drop.drops(full, masked, labels), [50, 0, 0, 100 / 3])
    np.testing.assert_allclose(average_drop.average_drop(full, masked, labels), (50 + 100 / 3) / 4)
    np.testing.assert_allclose(average_drop.increases(full, masked, labels), [0, 100, 0, 0])
    assert average_drop.average_increase(full, masked, labels) == 25
    true = DEFINITIONS["true_class"]
    np.testing.assert_allclose(average_drop.drops(full, masked, labels, true), [50, 75, 0, 0])
    np.testing.assert_allclose(average_drop.increases(full, masked, labels, true), [0, 0, 0, 100])
    correct = DEFINITIONS["correct_only"]
    np.testing.assert_allclose(average_drop.drops(full, masked, labels, correct), [50, np.nan, 0, np.nan])
    assert average_drop.average_drop(full, masked, labels, correct) == pytest.approx(25)
    assert average_drop.average_increase(full, masked, labels, correct) == 0


def test_logit_drops_exclude_non_positive_scores_and_may_exceed_100():
    full = np.array([[2.0, 0.0], [-1.0, -3.0], [0.0, -1.0]])
    masked = np.array([[-1.0, 0.0], [-2.0, 0.0], [1.0, 0.0]])
    definition = DEFINITIONS["logit"]
    np.testing.assert_allclose(average_drop.drops(full, masked, [0, 0, 0], definition), [150, np.nan, np.nan])
    np.testing.assert_allclose(average_drop.increases(full, masked, [0, 0, 0], definition), [0, 0, 100])


def test_zero_score_is_excluded_not_infinite():
    full, masked = np.array([[0.0, 2000.0], [0.0, 0.0]]), np.zeros((2, 2))
    definition = DEFINITIONS["true_class"]
    np.testing.assert_allclose(average_drop.drops(full, masked, [0, 0], definition), [np.nan, 0])
    assert np.isnan(average_drop.average_drop(full[:1], masked[:1], [0], definition))


@pytest.mark.parametrize("name", DEFINITIONS)
def test_unchanged_logits_have_no_drop_and_no_increase(name):
    rng = np.random.default_rng(0)
    full, labels = rng.normal(1, 3, (50, 10)), rng.integers(0, 10, 50)
    labels[:5] = full[:5].argmax(1)
    assert average_drop.average_drop(full, full, labels, DEFINITIONS[name]) == 0
    assert average_drop.average_increase(full, full, labels, DEFINITIONS[name]) == 0
    values = average_drop.drops(full, rng.normal(1, 3, (50, 10)), labels, DEFINITIONS[name])
    assert (values[~np.isnan(values)] >= 0).all()
    if DEFINITIONS[name].score == "softmax":
        assert (values[~np.isnan(values)] <= 100).all()


def test_by_class_of_a_class_without_values():
    values = np.array([1.0, 3.0, np.nan, 5.0, np.nan])
    np.testing.assert_allclose(average_drop.by_class(values, [0, 0, 0, 2, 3], 4), [2, np.nan, 5, np.nan])


def test_area_under_curve():
    np.testing.assert_allclose(average_drop.area_under_curve([[0, 0.5, 1], [1, 1, 1]]), [0.5, 1])


def test_bhattacharyya_by_hand():
    selections = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 1, 1], [0, 0, 0]], bool)
    matrix = bhattacharyya.bhattacharyya_matrix(selections, np.array([0, 0, 1, 1, 2]), 4)
    # P_0 = (2/3, 1/3, 0), P_1 = (0, 1/3, 2/3); class 2 selects nothing, class 3 has no image
    expected = np.zeros((4, 4))
    expected[:2, :2] = [[1, 1 / 3], [1 / 3, 1]]
    np.testing.assert_allclose(matrix, expected)
    assert bhattacharyya.mean_off_diagonal(matrix) == pytest.approx(1 / 3)  # undefined classes are left out
    assert np.isnan(bhattacharyya.mean_off_diagonal(matrix[1:, 1:]))


def test_bhattacharyya_properties():
    rng = np.random.default_rng(0)
    selections, labels = rng.random((200, 16)) < 0.4, rng.integers(0, 10, 200)
    matrix = bhattacharyya.bhattacharyya_matrix(selections, labels, 10)
    np.testing.assert_allclose(np.diag(matrix), 1)
    np.testing.assert_allclose(matrix, matrix.T)
    assert matrix.min() >= 0 and matrix.max() <= 1 + 1e-12
    everything = bhattacharyya.bhattacharyya_matrix(np.ones((200, 16)), labels, 10)
    assert bhattacharyya.mean_off_diagonal(everything) == pytest.approx(1)
    disjoint = bhattacharyya.bhattacharyya_matrix(np.eye(10), np.arange(10), 10)
    assert bhattacharyya.mean_off_diagonal(disjoint) == 0


@pytest.mark.parametrize("method", ["BCa", "percentile"])
def test_bootstrap_interval_of_a_mean(method):
    values = np.random.default_rng(1).normal(5, 2, 400)
    low, high = intervals.bootstrap_interval(np.append(values, [np.nan] * 7), method=method)
    assert low < values.mean() < high
    assert (high - low) == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert (low, high) == intervals.bootstrap_interval(values, method=method)  # NaN ignored, seeded


def test_bootstrap_interval_of_degenerate_values():
    assert intervals.bootstrap_interval(np.full(20, 3.0)) == (3, 3)
    assert np.isnan(intervals.bootstrap_interval([1.0])).all()
    assert np.isnan(intervals.bootstrap_interval([np.nan, np.nan])).all()


def test_bootstrap_interval_over_images_of_a_matrix():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 50)
    selections = rng.random((200, 16)) < 0.4  # classes differ by noise only: the true overlap is 1

    def overlap(i):
        return bhattacharyya.mean_off_diagonal(bhattacharyya.bhattacharyya_matrix(selections[i], labels[i], 4))

    images, estimate = np.arange(200), overlap(slice(None))
    low, high = intervals.bootstrap_interval(images, overlap, n_resamples=500, method="basic")
    assert estimate < 1 and low < 1 < high + 0.005
    low, high = intervals.bootstrap_interval(images, overlap, n_resamples=500, method="percentile")
    assert low < high < estimate  # the bias of resampling


def test_bad_input_is_refused():
    full, nan = np.zeros((2, 3)), np.full((2, 3), np.nan)
    for call, message in (
        (lambda: average_drop.drops(full, nan, [0, 0]), "logits_masked must be finite, got NaN"),
        (lambda: average_drop.drops(nan, full, [0, 0]), "logits_full must be finite, got NaN"),
        (lambda: average_drop.drops(full, full[:1], [0, 0]), "logits_masked must be"),
        (lambda: average_drop.drops(full, full, [0]), "labels must be"),
        (lambda: average_drop.drops(full, full, [0, 3]), "labels must be whole numbers from 0 to"),
        (lambda: average_drop.by_class([1.0], [0, 1], 2), "labels must be"),
        (lambda: average_drop.by_class([1.0, 2.0], [0, 2], 2), "labels must be whole numbers from 0 to"),
        (lambda: map_subsets.mean_cosines([np.eye(3)], [[0, 1, 2]]), "bit-strings"),
        (lambda: map_subsets.mean_cosines([np.full((3, 3), np.nan)], [[0, 1, 1]]), "NaN"),
        (lambda: map_subsets.mean_cosines([np.eye(3)], np.ones((2, 3))), "redundancy and selected must be of as many"),
        (lambda: average_drop.area_under_curve([0.5]), "points of the curve"),
        (lambda: average_drop.area_under_curve([0.5, np.nan]), "curve must be finite, got NaN"),
        (lambda: bhattacharyya.bhattacharyya_matrix(np.ones((2, 3)), [0], 2), "labels must be"),
        (lambda: bhattacharyya.bhattacharyya_matrix(np.full((2, 3), 2), [0, 1], 2), "bit-strings"),
        (lambda: bhattacharyya.bhattacharyya_matrix(np.full((2, 3), np.nan), [0, 1], 2), "selections .*bit-strings"),
        (
            lambda: bhattacharyya.bhattacharyya_matrix(np.ones((2, 3)), [0, 2], 2),
            "labels must be whole numbers from 0 to",
        ),
        (lambda: bhattacharyya.mean_off_diagonal(np.ones((2, 3))), r"matrix must be \(C, C\)"),
        (lambda: intervals.bootstrap_interval(np.ones((2, 3))), "indices"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_stratified_resamples_keep_the_classes():
    labels = np.array([0, 0, 1, 1, 1])
    for index in intervals.stratified_resamples(labels, 20):
        assert np.bincount(labels[index]).tolist() == [2, 3]


def test_bias_correction_by_hand():
    estimate, low, high = intervals.bias_corrected(1.0, np.linspace(0.5, 0.9, 401), confidence=0.5)
    assert estimate == pytest.approx(1.3) and (low, high) == pytest.approx((1.2, 1.4))


def test_cluster_interval_sees_clusters_not_images():
    clusters, values = np.repeat([0, 1], 500), np.repeat([0.0, 1.0], 500)
    low, high = intervals.cluster_interval(clusters, lambda i: values[i].mean(), 400)
    assert (low, high) == (0, 1)
    narrow = intervals.bootstrap_interval(values)
    assert narrow[1] - narrow[0] < 0.1


def test_subsets_against_enumeration():
    rng = np.random.default_rng(0)
    added, bias, target = rng.normal(size=(3, 5, 4)), rng.normal(size=4), np.array([0, 3, 1])
    for b in range(3):
        by_size = {k: [] for k in range(6)}
        for bits in itertools.product((0, 1), repeat=5):
            logits = np.array(bits) @ added[b] + bias
            by_size[sum(bits)].append(np.exp(logits[target[b]]) / np.exp(logits).sum())
        kept = map_subsets.best_subset_scores(added, bias, target)[b]
        removed = map_subsets.best_subset_scores(added, bias, target, keep=False)[b]
        np.testing.assert_allclose(kept, [max(by_size[k]) for k in range(6)])
        np.testing.assert_allclose(removed, [min(by_size[5 - k]) for k in range(6)])
    nothing = map_subsets.subset_scores(added, bias, target, np.zeros((3, 5), bool))
    np.testing.assert_allclose(nothing, (np.exp(bias) / np.exp(bias).sum())[target])


@pytest.mark.parametrize(
    "change",
    [
        {"kept": np.full((2, 3), 2)},
        {"bias": np.ones(3)},
        {"contributions": np.full((2, 3, 4), np.nan)},
        {"target": [0]},
        {"target": [0, 4]},
        {"target": [-1, 0]},
    ],
)
def test_subset_scores_refuse(change):
    arguments = {"contributions": np.ones((2, 3, 4)), "bias": np.ones(4), "target": [0, 1], "kept": np.ones((2, 3))}
    with pytest.raises(ValueError):
        map_subsets.subset_scores(**arguments | change)


@pytest.mark.parametrize("target", [[0], [0, 1, 2], [0, 1, -1]])
def test_exhaustive_search_takes_one_class_an_image(target):
    with pytest.raises(ValueError, match="target must be"):
        map_subsets.best_subset_scores(np.ones((3, 2, 2)), np.ones(2), target)


@pytest.mark.parametrize("kind", [bool, int])
def test_mean_cosines_against_a_double_loop(kind):
    rng = np.random.default_rng(0)
    redundancy, selected = rng.random((6, 8, 8)), rng.random((6, 8)) < 0.7
    selected[0], selected[1] = False, np.arange(8) == 3
    found = map_subsets.mean_cosines(redundancy, selected.astype(kind))
    assert np.isnan(found[:2]).all()
    for J, bits, value in zip(redundancy[2:], selected[2:], found[2:]):
        pairs = [J[p, q] for p in range(8) for q in range(p + 1, 8) if bits[p] and bits[q]]
        assert value == pytest.approx(np.mean(pairs))


def test_exhaustive_search_is_refused_beyond_twenty_maps():
    with pytest.raises(ValueError, match="at most 20"):
        map_subsets.best_subset_scores(np.ones((1, 21, 2)), np.ones(2), [0])


FULL, BIASES, ADDED, ALL = np.arange(6.0).reshape(2, 3), np.zeros(3), np.ones((2, 4, 3)), np.ones((2, 4))
CALLS = {
    "logits_full": lambda x: average_drop.drops(x, FULL, [0, 1]),
    "logits_masked": lambda x: average_drop.increases(FULL, x, [0, 1]),
    "labels": lambda x: average_drop.average_drop(FULL, FULL, x),
    "definition": lambda x: average_drop.drops(FULL, FULL, [0, 1], x),
    "mask": lambda x: AverageDropDefinition(x),
    "value": lambda x: AverageDropDefinition("threshold", x),
    "values": lambda x: average_drop.by_class(x, [0, 1], 2),
    "n_classes": lambda x: average_drop.by_class([1.0, 2.0], [0, 1], x),
    "curve": lambda x: average_drop.area_under_curve(x),
    "contributions": lambda x: map_subsets.subset_scores(x, BIASES, [0, 1], ALL),
    "bias": lambda x: map_subsets.subset_scores(ADDED, x, [0, 1], ALL),
    "keep": lambda x: map_subsets.best_subset_scores(ADDED, BIASES, [0, 1], x),
    "target": lambda x: map_subsets.best_subset_scores(ADDED, BIASES, x),
    "kept": lambda x: map_subsets.subset_scores(ADDED, BIASES, [0, 1], x),
    "redundancy": lambda x: map_subsets.mean_cosines(x, [[1, 1]]),
    "selected": lambda x: map_subsets.mean_cosines([np.eye(2)], x),
    "selections": lambda x: bhattacharyya.bhattacharyya_matrix(x, [0, 1], 2),
    "matrix": lambda x: bhattacharyya.mean_off_diagonal(x),
    "statistic": lambda x: intervals.bootstrap_interval([1.0, 2.0], x),
    "method": lambda x: intervals.bootstrap_interval([1.0, 2.0], method=x),
    "n_resamples": lambda x: intervals.bootstrap_interval([1.0, 2.0], n_resamples=x),
    "confidence": lambda x: intervals.bias_corrected(1.0, [1.0], x),
    "seed": lambda x: intervals.cluster_interval([0, 1], len, seed=x),
    "clusters": lambda x: intervals.cluster_interval(x, len),
    "resampled": lambda x: intervals.bias_corrected(1.0, x),
    "n_resamples ": lambda x: intervals.stratified_resamples([0, 1], x),
}


@pytest.mark.parametrize(
    "odd",
    [
        "abc",
        None,
        -1.5,
        np.inf,
        [1.0, None, "x"],
        [[1, 2, 3], [1, 2]],
        {"a": 1},
        {1, 2},
        1j,
        ...,
    ],
    ids=str,
)
@pytest.mark.parametrize("name", CALLS)
def test_odd_arguments_are_refused_by_name(name, odd):
    if name == "seed" and (odd is None or isinstance(odd, list)):
        pytest.skip("None is another seed every time, a list of whole numbers is one")
    with pytest.raises(ValueError, match=name.strip()):
        CALLS[name](odd)


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda: intervals.nan_mean([1.0, np.inf]), "values"),
        (lambda: intervals.nan_mean([1e308, 1e308]), "values"),
        (lambda: intervals.bias_corrected(1e308, [1.0]), "value"),
        (lambda: average_drop.area_under_curve([1e308] * 9), "curve"),
        (lambda: map_subsets.mean_cosines([np.full((3, 3), 1e308)], [[1, 1, 1]]), "redundancy of image 0"),
        (lambda: average_drop.drops([[1e-320, -1]], [[-1, -1]], [0], DEFINITIONS["logit"]), "drops .* too near 0"),
        (lambda: average_drop.drops([[1.0]], [[2.0]], [0]), "number of classes .*two_classes"),
        (lambda: intervals.bootstrap_interval([1.0, np.inf, 2.0]), "values"),
        (
            lambda: intervals.bootstrap_interval([1.0, 2.0], lambda x: np.inf, 10, method="basic"),
            "values of the statistic",
        ),
        (lambda: intervals.cluster_interval([0, 1], lambda i: np.inf), "values of the statistic"),
        (lambda: intervals.bootstrap_interval([1.0, 2.0], n_resamples=0), "n_resamples"),
        (lambda: intervals.cluster_interval([0, 1], len, n_resamples=0), "n_resamples"),
        (lambda: intervals.cluster_interval([0.0, np.nan], len), "clusters"),
        (lambda: intervals.cluster_interval(["cat", None], len), "clusters"),
        (lambda: intervals.cluster_interval([], len), "clusters"),
        (lambda: intervals.cluster_interval([[0], [1]], len), "clusters"),
        (lambda: intervals.stratified_resamples([0.0, np.nan]), "labels"),
        (lambda: average_drop.by_class([1.0, 2.0], [0, 0.5], 2), "labels"),
        (lambda: bhattacharyya.bhattacharyya_matrix(np.eye(2), [0, 0.5], 2), "labels"),
        (lambda: map_subsets.subset_scores(ADDED, [0, np.nan, 0], [0, 1], np.ones((2, 4))), "bias"),
        (lambda: map_subsets.best_subset_scores(ADDED * np.nan, BIASES, [0, 1]), "contributions"),
        (lambda: map_subsets.subset_scores(ADDED * 1e308, BIASES, [0, 1], np.ones((2, 4))), "overflow"),
        (lambda: map_subsets.mean_cosines([np.eye(2)], [[1, 1], [1, 0]]), "as many images"),
        (lambda: intervals.bias_corrected(np.ones(3), np.ones((5, 2))), "resampled"),
        (lambda: intervals.bias_corrected(1.0, [1.0, np.nan]), "resampled"),
    ],
)
def test_wrong_answers_that_were_silent_are_refused(call, name):
    with pytest.raises(ValueError, match=name):
        call()


def test_sequences_of_any_kind():
    values, labels, bits = [1.0, 3.0, np.nan, 5.0], [0, 0, 1, 2], np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1], [0, 1, 1]])
    kinds = (tuple, iter, np.array, pd.Series, torch.tensor, lambda x: np.array(x, dtype=object))
    expected = average_drop.by_class(values, labels, 3)
    spread, overlap = intervals.cluster_interval(labels, len), bhattacharyya.bhattacharyya_matrix(bits, labels, 3)
    drawn = np.array(list(intervals.stratified_resamples(labels, 5)))
    for kind in kinds:
        np.testing.assert_array_equal(average_drop.by_class(kind(values), kind(labels), 3), expected)
        assert intervals.bootstrap_interval(kind(values)) == intervals.bootstrap_interval(values)
        assert intervals.cluster_interval(kind(labels), len) == spread and intervals.nan_mean(kind(values)) == 3
        assert np.array_equal(list(intervals.stratified_resamples(kind(labels), 5)), drawn)
        assert np.array_equal(bhattacharyya.bhattacharyya_matrix(bits, kind(labels), 3), overlap)
    for kind in (list, iter, torch.tensor, pd.DataFrame):
        assert np.array_equal(bhattacharyya.bhattacharyya_matrix(kind(bits.tolist()), labels, 3), overlap)
    names = ["cat", "cat", "dog", "emu"]
    assert intervals.cluster_interval(names, len) == intervals.cluster_interval(pd.Series(names), len) == spread
    J = [np.eye(3)] * 4
    of_rows, of_table = map_subsets.mean_cosines(iter(J), iter(bits)), map_subsets.mean_cosines(J, pd.DataFrame(bits))
    assert np.array_equal(of_rows, of_table, equal_nan=True)


@pytest.mark.parametrize(
    "statistic",
    [
        lambda x: "a",
        lambda x: 1j,
        lambda x: x,
        lambda x: np.inf,
        lambda x: 1e301,
        lambda x, axis=None: "a",
    ],
)
def test_a_statistic_that_gives_no_number_is_refused(statistic):
    for interval in (intervals.bootstrap_interval, intervals.cluster_interval):
        with pytest.raises(ValueError, match="values of the statistic"):
            interval([1.0, 2.0, 3.0], statistic, 20)


def test_a_statistic_that_takes_an_axis_gives_what_one_without_does():
    values = np.random.default_rng(0).random(30)
    assert intervals.bootstrap_interval(values) == intervals.bootstrap_interval(values, lambda x: x.mean(), seed=0)
