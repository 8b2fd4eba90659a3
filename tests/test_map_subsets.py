"""Class overlap and subsets of maps by hand and by enumeration, and bad input."""

import itertools

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
    "keep": lambda x: map_subsets.best_subset_scores(ADDED, BIASES, [0, 1], x),
    "target": lambda x: map_subsets.best_subset_scores(ADDED, BIASES, x),
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
            for score, kept in ((map_subsets.subset_scores, [ALL]), (map_subsets.best_subset_scores, []))
            for t in ([0], [0, 1, 2], [0, 3], [-1, 0])
        ),
        (lambda: map_subsets.best_subset_scores(ADDED * np.nan, BIASES, [0, 1]), "contributions must be finite"),
        (lambda: map_subsets.best_subset_scores(np.ones((1, 21, 2)), np.ones(2), [0]), "at most 20"),
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
