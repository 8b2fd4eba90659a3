"""What selected maps carry, on cases worked out by hand and against the exact solver."""

import numpy as np
import pandas as pd
import pytest

from qafs_utils.explanations import carried
from qafs_utils.qubo.feature_selection import Problem, problems
from qafs_utils.solvers import by_name


def logistic(x):
    return 1 / (1 + np.exp(-x))


@pytest.fixture
def classifier():
    """Two images of two maps of one pixel and two classes; the first map speaks for class 0, the second for class 1."""
    maps = np.array([[[[1.0]], [[2.0]]], [[[3.0]], [[0.0]]]])
    return carried.LinearClassifier.of_maps(maps, np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0.5, 0.0]))


def test_a_linear_classifier_by_hand(classifier):
    assert classifier.logits.tolist() == [[1.5, 2.0], [3.5, 0.0]] and classifier.target.tolist() == [1, 0]
    first = np.array([[True, False]] * 2)
    kept, removed = classifier.measures(first, "kept"), classifier.measures(first, "removed")
    assert kept["probability"] == pytest.approx(logistic(np.array([-1.5, 3.5])))
    assert removed["probability"] == pytest.approx(logistic(np.array([1.5, 0.5])))
    assert kept["argmax"].tolist() == [0, 1] and removed["argmax"].tolist() == [1, 1]
    assert kept["margin"].tolist() == [-1, 3] and removed["margin"].tolist() == [2, 0]  # without the bias 0.5, 0
    assert removed["argmax_alone"].tolist() == [1, 0]  # the second image has nothing left but the bias
    # with two classes, the matched probability has the margin of all maps, 1 and 3
    assert kept["matched"] == pytest.approx(logistic(np.array([-1, 3])))
    assert removed["matched"] == pytest.approx([logistic(1), 0.5])
    assert classifier.most_added(1).tolist() == [[False, True], [True, False]]
    assert classifier.most_added(np.array([0, 2])).tolist() == [[False, False], [True, True]]
    best = logistic(np.array([[-0.5, 1.5, 0.5], [0.5, 3.5, 3.5]]))  # none, the better map, both
    assert classifier.best_subsets("kept")["probability"] == pytest.approx(best)
    with pytest.raises(ValueError, match="unknown test 'lost': choose from kept, removed"):
        classifier.measures(first, "lost")


def test_the_causal_test_is_paired(classifier):
    first, second = np.array([[True, False]] * 2), np.array([[False, True]] * 2)
    rows = carried.causal_test(classifier, {"sa": first, "top_k": second, "random_k": first}, n_resamples=50)
    kept = [np.array([logistic(-1.5), logistic(3.5)]), np.array([logistic(1.5), logistic(0.5)])]
    assert [(row["selection"], row["test"], row["k"]) for row in rows[1:4]] == [
        ("top_k", "kept", 1),
        ("random_k", "kept", 1),
        ("sa", "removed", 1),
    ]
    row = rows[0]
    assert (row["probability"], row["argmax"], row["margin"]) == pytest.approx((kept[0].mean(), 0.5, 1))
    assert row["probability_minus_top_k"] == pytest.approx((kept[0] - kept[1]).mean())
    assert row["argmax_minus_top_k"] == -0.5 and row["margin_minus_top_k"] == 0  # -1, 3 against 2, 0
    assert row["margin_minus_top_k_low"] < 0 < row["margin_minus_top_k_high"]
    assert [row[f"matched_minus_random{end}"] for end in ("", "_low", "_high")] == [0, 0, 0]
    removed = kept[::-1]  # of two maps: without the first is with the second
    assert rows[3]["probability_minus_top_k"] == pytest.approx((removed[0] - removed[1]).mean())


def test_the_causal_test_of_several_heads():
    """On pooled maps 1, 2, 0.5 a head that sees maps 0 and 1 for its class, and one that sees map 2."""
    maps = np.array([[[[1.0]], [[2.0]], [[0.5]]]] * 3)
    heads = {
        0: (np.array([[3.0, 1.0, 0.0], [0.0, -1.0, 1.0]]), np.zeros(2)),
        7: (np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 8.0]]), np.array([1.0, 0.0])),
    }
    rows = pd.DataFrame(carried.causal_test_of_heads(heads, maps, beta=0.9, n_resamples=5))
    kept = rows[rows.test == "kept"].set_index(["head", "selection"])
    assert kept.margin_whole.loc[0].unique() == 6.5 and kept.margin_whole.loc[7].unique() == 4
    # at beta = 0.9 and a cosine of 1 the second map earns 0.9 / 3 and costs 0.1, or twice that
    assert kept.k[0, "exact"] == 2 and kept.margin[0, "exact"] == 3 + 4
    assert kept.k[7, "exact"] == 1 and kept.margin[7, "top_k"] == 4 and kept.argmax[7, "random_k"] == 1


def test_likeness_leaves_out_images_with_one_map():
    cosines = np.array([[[1.0, 0.2, 0.4], [0.2, 1.0, 0.6], [0.4, 0.6, 1.0]]] * 2)
    chosen, every = np.array([[True, True, False], [False, True, False]]), np.ones((2, 3), bool)
    exact, candidates = carried.likeness(cosines, {"exact": chosen, "candidates": every}, n_resamples=5)
    assert (exact["mean_cosine"], candidates["mean_cosine"]) == pytest.approx((0.2, 0.4))
    assert exact["minus_candidates"] == pytest.approx(-0.2) and "minus_candidates" not in candidates


def test_silent_maps_are_measured_by_the_candidates():
    maps = np.array([1.0, 0.15, 3.0, 100.0]).reshape(1, 4, 1, 1)
    assert carried.silent_maps(maps, np.array([[1, 1, 1, -1]])).tolist() == [[False] * 4]  # of a median of 1
    assert carried.silent_maps(maps, np.array([[1, 1, 1, 1]])).tolist() == [[False, True, False, False]]  # of 2
    assert carried.silent_maps(maps, np.array([[1, 1, 1, 1]]), share=0.05).sum() == 0


def test_norms_of_16_bit_maps_do_not_overflow():
    maps = np.array([1000.0, 500.0, 90.0, 20.0], np.float16).reshape(1, 4, 1, 1)  # 1000^2 is beyond 16 bits
    assert carried.silent_maps(maps, np.array([[1, 1, 1, -1]])).tolist() == [[False, False, False, True]]  # of 500


def test_optima_by_size_are_those_of_the_exact_solver():
    rng = np.random.default_rng(0)
    images = problems(rng.random((4, 8, 3, 3)), rng.normal(size=(4, 8)) + 1)
    optima = carried.optima_by_size(images, 3, beta=0.4)
    for k in (1, 2, 3):
        exact, _ = by_name.solve_all(images, "exact", beta=0.4, size=k)
        assert np.array_equal(optima[k], exact)
    assert not optima[0].any()


def diverse_problem():
    """Maps 0 and 1 are the most important and alike, map 2 is unlike them."""
    redundancy = np.array([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]])
    return Problem(np.arange(3), np.array([-1.0, -0.9, -0.5]), redundancy, 3)


@pytest.fixture
def classifier_of_three():
    """Two images to which map 0 adds 2 for their class, map 1 adds 1, and map 2 takes 1 away."""
    added = np.array([[[2.0, 0.0], [1.0, 0.0], [-1.0, 0.0]]] * 2)
    return carried.LinearClassifier(added, np.zeros(2), np.array([0, 0]))


def test_measures_by_size_by_hand(classifier_of_three):
    """With two maps, beta = 0.5 takes 0 and 2, -0.75, rather than 0 and 1, -0.5."""
    classifier = classifier_of_three
    images, importance = [diverse_problem()] * 2, np.array([[1.0, 0.9, 0.5]] * 2)
    rows = carried.measures_by_size(classifier, images, importance, 3, beta=0.5, n_resamples=5)
    value = {(row["k"], row["test"], row["selection"]): row["probability"] for row in rows}
    assert value[2, "kept", "exact"] == pytest.approx(logistic(1))
    margin = {(row["k"], row["test"], row["selection"]): row["margin_minus_top_k"] for row in rows}
    assert margin[2, "kept", "exact"] == -2 and margin[2, "kept", "best subset"] == 0
    for choice in ("top_k", "most added", "best subset"):
        assert value[2, "kept", choice] == pytest.approx(logistic(3))
        assert value[2, "removed", choice] == pytest.approx(logistic(-1))
    images[1] = Problem([0, 1], [-1.0, -0.9], np.eye(2), 3)
    importance[1, 2] = -1
    rows = carried.measures_by_size(classifier, images, importance, 3, n_resamples=5)
    assert {row["k"]: row["images"] for row in rows} == {1: 2, 2: 2, 3: 1}


def test_trade_off_at_size_by_hand(classifier_of_three):
    """With two maps, beta = 0.9 takes 0 and 1, as the top k does."""
    images, labels = [diverse_problem()] * 2, np.array([0, 1])
    sweep = carried.trade_off_at_size(classifier_of_three, images, labels, [0.5, 0.9, 1.0], [2], n_resamples=5)
    diverse, important, top_k = (row for row in sweep if row["test"] == "kept")
    assert diverse["probability_minus_top_k"] == pytest.approx(logistic(1) - logistic(3))
    assert diverse["margin_minus_top_k"] == -2 and diverse["same_as_top_k"] == 0
    for row in (important, top_k):
        assert [row[f"matched_minus_top_k{end}"] for end in ("", "_low", "_high")] == [0, 0, 0]
        assert row["same_as_top_k"] == 1
    assert diverse["overlap"] == pytest.approx(1)  # both classes have the same two maps


def test_overlaps_of_the_trade_off_and_of_the_top_k(classifier_of_three):
    """With beta = 0.5 class 0 has maps 0 and 2, class 1, whose maps are all unlike, 0 and 1; the top k are 0 and 1."""
    images = [diverse_problem(), Problem(np.arange(3), np.array([-1.0, -0.9, -0.5]), np.eye(3), 3)]
    row, _ = carried.trade_off_at_size(classifier_of_three, images, np.array([0, 1]), [0.5], [2], n_resamples=5)
    assert (row["overlap"], row["overlap_top_k"], row["same_as_top_k"]) == pytest.approx((0.5, 1, 0.5))
