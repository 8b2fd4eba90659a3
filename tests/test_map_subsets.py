"""Class overlap and subsets of maps by hand and by enumeration, and bad input."""

import itertools
import math
import statistics

import numpy as np
import pandas as pd
import pytest
from repository import ODD

from qafs_utils.explanations import bhattacharyya, map_subsets


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


def measures_by_hand(added, c, whole, bias):
    """One image, in plain Python; added, whole: without the bias."""
    logits = [a + b for a, b in zip(added, bias)]
    spread = (statistics.pstdev(whole) / statistics.pstdev(added)) if len(set(added)) > 1 else 0
    alike = [(z - statistics.mean(added)) * spread for z in added]
    margins = [z[c] - max(other for j, other in enumerate(z) if j != c) for z in (logits, added)]
    return {
        "probability": math.exp(logits[c]) / sum(map(math.exp, logits)),
        "argmax": float(margins[0] > 0),
        "argmax_alone": float(margins[1] > 0),
        "margin": margins[1],
        "matched": math.exp(alike[c]) / sum(map(math.exp, alike)),
    }


def test_subsets_against_enumeration():
    rng = np.random.default_rng(0)
    added, bias, target = rng.normal(size=(3, 5, 4)), rng.normal(size=4), np.array([0, 3, 1])
    kept, removed = (map_subsets.best_subset_measures(added, bias, target, keep) for keep in (True, False))
    assert tuple(kept) == map_subsets.MEASURES
    for b in range(3):
        by_size = {k: [] for k in range(6)}
        for bits in itertools.product((0, 1), repeat=5):
            some, whole = ((np.array(chosen) @ added[b]).tolist() for chosen in (bits, [1] * 5))
            by_size[sum(bits)].append(measures_by_hand(some, target[b], whole, bias.tolist()))
        for measure in map_subsets.MEASURES:
            of_size = [[found[measure] for found in by_size[k]] for k in range(6)]
            np.testing.assert_allclose(kept[measure][b], [max(values) for values in of_size], atol=1e-12)
            np.testing.assert_allclose(removed[measure][b], [min(values) for values in of_size[::-1]], atol=1e-12)
    nothing = map_subsets.subset_scores(added, bias, target, np.zeros((3, 5), bool))
    np.testing.assert_allclose(nothing, (np.exp(bias) / np.exp(bias).sum())[target])


def test_measures_of_the_class_by_hand():
    """Three classes, the full logits 4, 2, 0: their spread is sqrt(8/3). The class is 0."""
    whole = np.array([[4.0, 2.0, 0.0]] * 5)
    logits = np.array([[4.0, 2.0, 0.0], [0.4, 0.2, 0.0], [10.2, 10.4, 10.0], [3.0, 3.0, 0.0], [7.0, 7.0, 7.0]])
    found = map_subsets.class_measures(logits, [0] * 5, whole, np.zeros(3))
    assert found["argmax_alone"].tolist() == found["argmax"].tolist()
    assert found["argmax"].tolist() == [1, 1, 0, 0, 0]  # a tie is no argmax
    np.testing.assert_allclose(found["margin"], [2, 0.2, -0.2, 0, 0], atol=1e-12)
    e = np.exp([4.0, 2.0, 0.0])
    np.testing.assert_allclose(found["matched"][:3], np.array([e[0], e[0], e[1]]) / e.sum())
    tied = np.exp((8 / 3) ** 0.5 * np.array([1, 1, -2]) / 2**0.5)  # deviations 1, 1, -2 have spread sqrt(2)
    np.testing.assert_allclose(found["matched"][3:], [tied[0] / tied.sum(), 1 / 3])
    by_hand = np.array([0.4, 0.2, 0.0])
    assert found["probability"][1] == pytest.approx(np.exp(0.4) / np.exp(by_hand).sum())


def test_no_scale_of_the_logits_changes_the_other_measures():
    rng = np.random.default_rng(0)
    logits, whole, target = rng.normal(size=(20, 10)), 9 * rng.normal(size=(20, 10)), rng.integers(0, 10, 20)
    nothing = rng.normal(size=10)
    first = map_subsets.class_measures(logits + nothing, target, whole, nothing)
    second = map_subsets.class_measures(1e-6 * logits + 5 + nothing, target, whole, nothing)
    assert np.array_equal(first["argmax_alone"], second["argmax_alone"]) and 0 < first["argmax_alone"].mean() < 1
    assert np.array_equal(second["argmax"], target == nothing.argmax())  # of little, the bias decides
    np.testing.assert_allclose(second["matched"], first["matched"], rtol=1e-5)
    np.testing.assert_allclose(second["margin"], 1e-6 * first["margin"], rtol=1e-6, atol=1e-13)
    bare = np.exp(nothing) / np.exp(nothing).sum()
    np.testing.assert_allclose(second["probability"], bare[target], rtol=1e-4)


def test_maps_that_cancel_leave_no_class():
    """0.1 + 0.2 - 0.3 is no zero in floating point; what rounding leaves is not scaled up."""
    added = np.array([[[0.1, 0.3], [0.2, 0.0], [-0.3, -0.3], [5.0, 0.0]]])
    logits = map_subsets.subset_logits(added, np.zeros(2), [[1, 1, 1, 0]])
    assert np.ptp(logits) > 0
    found = map_subsets.class_measures(logits, [0], [[5.0, 0.0]], [0, 0])
    assert found["matched"] == pytest.approx(0.5) and found["argmax_alone"] == 0


def test_differences_are_paired():
    measured = {name: {"margin": np.array(values)} for name, values in (("a", [1.0, 5.0]), ("b", [2.0, 6.0]))}
    first, second = map_subsets.compared(measured, {"a": "a", "b": "b"}, n_resamples=50)
    assert (first["selection"], first["margin"], second["margin"]) == ("a", 3, 4)
    assert [second[f"margin_minus_a{end}"] for end in ("", "_low", "_high")] == [1, 1, 1]  # in every image
    assert [first[f"margin_minus_{name}"] for name in "ab"] == [0, -1]
    assert first["margin_low"] < 3 < first["margin_high"]


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


ADDED, BIASES, ALL = np.ones((2, 4, 3)), np.zeros(3), np.ones((2, 4))
CALLS = {
    "contributions": lambda x: map_subsets.subset_scores(x, BIASES, [0, 1], ALL),
    "bias": lambda x: map_subsets.subset_scores(ADDED, x, [0, 1], ALL),
    "kept": lambda x: map_subsets.subset_scores(ADDED, BIASES, [0, 1], x),
    "keep": lambda x: map_subsets.best_subset_measures(ADDED, BIASES, [0, 1], x),
    "target": lambda x: map_subsets.best_subset_measures(ADDED, BIASES, x),
    "logits": lambda x: map_subsets.class_measures(x, [0, 1], np.ones((2, 3)), BIASES),
    "whole": lambda x: map_subsets.class_measures(np.ones((2, 3)), [0, 1], x, BIASES),
    "nothing": lambda x: map_subsets.class_measures(np.ones((2, 3)), [0, 1], np.ones((2, 3)), x),
    "redundancy": lambda x: map_subsets.mean_cosines(x, [[1, 1]]),
    "selected": lambda x: map_subsets.mean_cosines([np.eye(2)], x),
    "selections": lambda x: bhattacharyya.bhattacharyya_matrix(x, [0, 1], 2),
    "matrix": lambda x: bhattacharyya.mean_off_diagonal(x),
}


@pytest.mark.parametrize("odd", ODD, ids=str)
@pytest.mark.parametrize("name", CALLS)
def test_odd_arguments_are_refused_by_name(name, odd):
    with pytest.raises(ValueError, match=name):
        CALLS[name](odd)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: map_subsets.subset_scores(ADDED, BIASES, [0, 1], 2 * ALL), "kept must be bit-strings"),
        (lambda: map_subsets.subset_scores(ADDED, BIASES[:2], [0, 1], ALL), "bias must be"),
        (lambda: map_subsets.subset_scores(ADDED, [0, np.nan, 0], [0, 1], ALL), "bias must be finite"),
        (lambda: map_subsets.subset_scores(ADDED * np.nan, BIASES, [0, 1], ALL), "contributions must be finite"),
        (lambda: map_subsets.subset_scores(ADDED * 1e308, BIASES, [0, 1], ALL), "overflow"),
        *(
            (lambda t=t, score=score, kept=kept: score(ADDED, BIASES, t, *kept), "target must be")
            for score, kept in ((map_subsets.subset_scores, [ALL]), (map_subsets.best_subset_measures, []))
            for t in ([0], [0, 1, 2], [0, 3], [-1, 0])
        ),
        (lambda: map_subsets.best_subset_measures(ADDED * np.nan, BIASES, [0, 1]), "contributions must be finite"),
        (lambda: map_subsets.best_subset_measures(np.ones((1, 21, 2)), np.ones(2), [0]), "at most 20"),
        (lambda: map_subsets.class_measures(np.ones((2, 1)), [0, 0], np.ones((2, 1)), [0]), "number of classes"),
        (lambda: map_subsets.class_measures(np.ones((2, 3)), [0, 3], np.ones((2, 3)), BIASES), "target must be"),
        (lambda: map_subsets.class_measures(np.ones((2, 3)), [0, 1], np.ones((2, 4)), BIASES), "whole must be"),
        (
            lambda: map_subsets.class_measures(np.full((2, 3), 1e200), [0, 1], np.ones((2, 3)), BIASES),
            "logits must lie in",
        ),
        (lambda: map_subsets.mean_cosines([np.eye(3)], [[0, 1, 2]]), "bit-strings"),
        (lambda: map_subsets.mean_cosines([np.full((3, 3), np.nan)], [[0, 1, 1]]), "NaN"),
        (lambda: map_subsets.mean_cosines([np.full((3, 3), 1e308)], [[1, 1, 1]]), "redundancy of image 0"),
        (lambda: map_subsets.mean_cosines([np.eye(2)], [[1, 1], [1, 0]]), "as many images"),
        (lambda: bhattacharyya.bhattacharyya_matrix(np.ones((2, 3)), [0], 2), "labels must be"),
        (lambda: bhattacharyya.bhattacharyya_matrix(np.full((2, 3), 2), [0, 1], 2), "bit-strings"),
        (lambda: bhattacharyya.bhattacharyya_matrix(np.full((2, 3), np.nan), [0, 1], 2), "selections .*bit-strings"),
        (lambda: bhattacharyya.bhattacharyya_matrix(np.ones((2, 3)), [0, 2], 2), "labels must be whole numbers from 0"),
        (lambda: bhattacharyya.bhattacharyya_matrix(np.eye(2), [0, 0.5], 2), "labels must be whole numbers"),
        (lambda: bhattacharyya.mean_off_diagonal(np.ones((2, 3))), r"matrix must be \(C, C\)"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_rows_of_any_kind():
    bits, J = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1], [0, 1, 1]]), [np.eye(3)] * 4
    of_rows, of_table = map_subsets.mean_cosines(iter(J), iter(bits)), map_subsets.mean_cosines(J, pd.DataFrame(bits))
    assert np.array_equal(of_rows, of_table, equal_nan=True)
