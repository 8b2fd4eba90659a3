"""Exactly k maps: chosen in several ways, and what they carry."""

import numpy as np
import pytest

from qafs_utils.explanations import exactly_k
from qafs_utils.explanations.carried import LinearClassifier
from qafs_utils.qubo import binary, feature_selection, landscape
from qafs_utils.solvers import baselines

RNG = np.random.default_rng(2)
IMPORTANCE = RNG.normal(0.8, 1, (5, 10))
MAPS = RNG.random((5, 10, 3, 3))
PROBLEMS = feature_selection.problems(MAPS, IMPORTANCE)
ACTIVATION = MAPS.mean((2, 3))
RANKS = np.tile(RNG.permutation(10), (5, 1))


def test_most_redundant_maps_are_nearly_the_best_of_the_reversed_objective():
    selected = exactly_k.most_redundant(PROBLEMS, 3, beta=0.5)
    for problem, row in zip(PROBLEMS, selected):
        energies = binary.energies(problem.reversed().bqm(0.5))
        least = energies[landscape.best_of_size(energies)[3]]
        assert row.sum() == 3 and set(row.nonzero()[0]) <= set(problem.maps)
        assert least <= problem.reversed().energy(row, 0.5) + 1e-9 < 0.95 * least


def test_lasso_ranks_are_those_of_each_class():
    logits, target = RNG.normal(size=(5, 3)), [0, 2, 2, 0, 1]
    ranks = exactly_k.lasso_ranks(ACTIVATION, logits, target)
    assert ranks.shape == (5, 10) and np.array_equal(ranks[1], ranks[2])
    assert np.array_equal(ranks[4], baselines.lasso_order(ACTIVATION, logits[:, 1]))


def test_choices_are_k_candidates():
    chosen = exactly_k.choices(PROBLEMS, 3, IMPORTANCE, ACTIVATION, RANKS, seed=1)
    assert list(chosen) == ["top k", "random k", "MMR", "contribution", "lasso"]
    for bits in chosen.values():
        assert (bits.sum(1) == 3).all() and not (bits & (IMPORTANCE <= 0)).any()
    best = np.sort((IMPORTANCE * ACTIVATION)[0])[-3:]
    assert np.allclose(np.sort((IMPORTANCE * ACTIVATION)[0][chosen["contribution"][0]]), best)


def test_mmr_trades_off_by_beta():
    """Maps 0 and 1 are the most important and alike: with beta = 0.5, map 2 gets 0.25 and map 1 nothing."""
    J, importance = [[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]], np.array([[1.0, 0.9, 0.5]])
    problem, ranks = feature_selection.Problem([0, 1, 2], -importance[0], J, 3), np.array([[0, 1, 2]])
    for beta, maps in ((0.5, [0, 2]), (0.9, [0, 1])):
        chosen = exactly_k.choices([problem], 2, importance, np.ones((1, 3)), ranks, beta=beta)
        assert chosen["MMR"].nonzero()[1].tolist() == maps and chosen["top k"].nonzero()[1].tolist() == [0, 1]


def test_no_lasso_where_its_path_ends_before_k():
    """Three maps enter; for one image only two of them are candidates."""
    ranks = np.full((5, 10), 10)
    ranks[:, :3] = [0, 1, 2]
    importance = np.abs(IMPORTANCE) * np.where(np.arange(10) == 1, np.arange(5)[:, None] - 0.5, 1.0)
    problems = feature_selection.problems(MAPS, importance)
    names = [exactly_k.choices(problems, k, importance, ACTIVATION, ranks).keys() for k in (2, 3)]
    assert "lasso" in names[0] and "lasso" not in names[1]


def test_scores_by_hand():
    added = np.zeros((2, 3, 2))
    added[:, 0, 0], added[:, 1, 0], added[:, 2, 1] = np.log(3), np.log(7), np.log(7)
    chosen = {"reversed": [[1, 1, 0]] * 2, "top k": [[0, 1, 1]] * 2, "QUBO": [[1, 0, 1], [1, 1, 0]]}
    chosen = {name: np.array(bits, bool) for name, bits in chosen.items()} | {"random k": np.eye(3, dtype=bool)[[2, 0]]}
    chosen["random k"][:, 1] = True  # maps 1 and 2, then 0 and 1
    J = np.array([[[1.0, 0.2, 0.4], [0.2, 1.0, 0.6], [0.4, 0.6, 1.0]]] * 2)
    activation = np.array([[1.0, 2.0, 3.0]] * 2)
    classifier = LinearClassifier(added, np.zeros(2), np.array([0, 0]))
    table = exactly_k.scores(chosen, classifier, activation, J).set_index("selection")
    assert table.index.tolist() == ["QUBO", "top k", "random k", "reversed"] and (table.k == 2).all()
    # logits of the two classes, QUBO: log 3 and log 7, then log 21 and 0; the top k: log 7 and log 7
    assert table.probability.tolist() == pytest.approx([(3 / 10 + 21 / 22) / 2, 1 / 2, (1 / 2 + 21 / 22) / 2, 21 / 22])
    assert table.argmax.tolist() == [0.5, 0, 0.5, 1] and table.argmax_minus_top_k.tolist() == [0.5, 0, 0.5, 1]
    assert table.margin["QUBO"] == pytest.approx((np.log(3 / 7) + np.log(21)) / 2)
    # of two classes, the whole network's margin is log 21 - log 7 = log 3
    assert table.matched.tolist() == pytest.approx([(1 / 4 + 3 / 4) / 2, 1 / 2, (1 / 2 + 3 / 4) / 2, 3 / 4])
    assert table.probability_minus_random["reversed"] == pytest.approx((21 / 22 - 1 / 2) / 2)
    assert table.mean_cosine.tolist() == pytest.approx([0.3, 0.6, 0.4, 0.2])
    assert table.mean_activation.tolist() == pytest.approx([1.75, 2.5, 2.0, 1.5])
    assert table.in_common_with_qubo.tolist() == [1.0, 0.5, 0.75, 0.75]
    assert table.probability_low["top k"] == table.probability_high["top k"] == pytest.approx(1 / 2)
