"""What selected maps carry, on cases worked out by hand and against the exact solver."""

import numpy as np
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
    assert classifier.probability(first, "kept") == pytest.approx(logistic(np.array([-1.5, 3.5])))
    assert classifier.probability(first, "removed") == pytest.approx(logistic(np.array([1.5, 0.5])))
    assert classifier.most_added(1).tolist() == [[False, True], [True, False]]
    assert classifier.most_added(np.array([0, 2])).tolist() == [[False, False], [True, True]]
    best = logistic(np.array([[-0.5, 1.5, 0.5], [0.5, 3.5, 3.5]]))  # none, the better map, both
    assert classifier.best_subsets("kept") == pytest.approx(best)
    with pytest.raises(ValueError, match="unknown test 'lost': choose from kept, removed"):
        classifier.probability(first, "lost")


def test_the_causal_test_is_paired(classifier):
    first, second = np.array([[True, False]] * 2), np.array([[False, True]] * 2)
    rows = carried.causal_test(classifier, {"sa": first, "top_k": second}, n_resamples=50)
    kept = [np.array([logistic(-1.5), logistic(3.5)]), np.array([logistic(1.5), logistic(0.5)])]
    assert [(row["selection"], row["test"], row["k"]) for row in rows[1:3]] == [
        ("sa", "removed", 1),
        ("top_k", "kept", 1),
    ]
    assert rows[0]["probability"] == pytest.approx(kept[0].mean())
    assert rows[2]["minus_optimum"] == pytest.approx((kept[1] - kept[0]).mean())
    assert [rows[0][name] for name in ("minus_optimum", "difference_low", "difference_high")] == [0, 0, 0]
    assert rows[2]["difference_low"] <= rows[2]["minus_optimum"] <= rows[2]["difference_high"]
    removed = kept[::-1]  # of two maps: without the first is with the second
    assert rows[3]["minus_optimum"] == pytest.approx((removed[1] - removed[0]).mean())
    assert rows[1]["minus_optimum"] == 0


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


def test_probability_by_size_by_hand(classifier_of_three):
    """With two maps, beta = 0.5 takes 0 and 2, -0.75, rather than 0 and 1, -0.5."""
    classifier = classifier_of_three
    images, importance = [diverse_problem()] * 2, np.array([[1.0, 0.9, 0.5]] * 2)
    rows = carried.probability_by_size(classifier, images, importance, 3, beta=0.5, n_resamples=5)
    value = {(row["k"], row["test"], row["selection"]): row["probability"] for row in rows}
    assert value[2, "kept", "exact"] == pytest.approx(logistic(1))
    for choice in ("top_k", "most added", "best subset"):
        assert value[2, "kept", choice] == pytest.approx(logistic(3))
        assert value[2, "removed", choice] == pytest.approx(logistic(-1))
    images[1] = Problem([0, 1], [-1.0, -0.9], np.eye(2), 3)
    importance[1, 2] = -1
    rows = carried.probability_by_size(classifier, images, importance, 3, n_resamples=5)
    assert {row["k"]: row["images"] for row in rows} == {1: 2, 2: 2, 3: 1}


def test_trade_off_at_size_by_hand(classifier_of_three):
    """With two maps, beta = 0.9 takes 0 and 1, as the top k does."""
    images, labels = [diverse_problem()] * 2, np.array([0, 1])
    sweep = carried.trade_off_at_size(classifier_of_three, images, labels, [0.5, 0.9, 1.0], [2], n_resamples=5)
    diverse, important, top_k = (row for row in sweep if row["test"] == "kept")
    assert diverse["difference"] == pytest.approx(logistic(1) - logistic(3)) and diverse["same_as_top_k"] == 0
    for row in (important, top_k):
        assert (row["difference"], row["low"], row["high"], row["same_as_top_k"]) == (0, 0, 0, 1)
    assert diverse["overlap"] == pytest.approx(1)  # both classes have the same two maps


def test_overlaps_of_the_trade_off_and_of_the_top_k(classifier_of_three):
    """With beta = 0.5 class 0 has maps 0 and 2, class 1, whose maps are all unlike, 0 and 1; the top k are 0 and 1."""
    images = [diverse_problem(), Problem(np.arange(3), np.array([-1.0, -0.9, -0.5]), np.eye(3), 3)]
    row, _ = carried.trade_off_at_size(classifier_of_three, images, np.array([0, 1]), [0.5], [2], n_resamples=5)
    assert (row["overlap"], row["overlap_top_k"], row["same_as_top_k"]) == pytest.approx((0.5, 1, 0.5))
