"""The QUBO against the paper's formula written out, for every pair-sum convention."""

import itertools

import numpy as np
import pytest

from qafs_utils import qubo
from qafs_utils.feature_maps import NoPositiveMapError

RNG = np.random.default_rng(0)


def problem(d=5):
    return qubo.selection(RNG.random((d + 3, 4, 4)), np.r_[RNG.uniform(0.1, 1, d), -RNG.random(3)])


@pytest.mark.parametrize("pair_sum", qubo.PAIR_SUMS)
def test_energies_are_equation_4(pair_sum):
    p, beta = problem(), 0.7
    bqm = p.bqm(beta, pair_sum)
    for bits in itertools.product((0, 1), repeat=p.d):
        n = np.array(bits)
        everything = n @ p.redundancy @ n
        pairs = {"p<q": (everything - n.sum()) / 2, "half": everything / 2, "all": everything}[pair_sum]
        expected = (1 - beta) * pairs + beta * p.field @ n
        assert bqm.energy(dict(enumerate(bits))) == pytest.approx(expected)


def test_field_lies_in_minus_one_to_zero():
    p = problem()
    assert p.field.min() == -1 and (p.field < 0).all() and p.d == 5


def best(p, beta):
    bqm = p.bqm(beta)
    return min(itertools.product((0, 1), repeat=p.d), key=lambda bits: bqm.energy(dict(enumerate(bits))))


def test_beta_one_selects_everything_and_beta_zero_nothing():
    assert sum(best(problem(), 1.0)) == 5
    assert sum(best(problem(), 0.0)) == 0


def test_identical_maps_are_selected_once():
    maps = np.stack([np.eye(4), np.eye(4), np.fliplr(np.eye(4))])
    assert best(qubo.selection(maps, [1.0, 0.9, 0.8]), 0.4) == (1, 0, 1)


def test_selections_name_the_image_without_candidates():
    maps, importance = RNG.random((2, 3, 4, 4)), np.array([[1.0, -1, 1], [-1, -1, 0]])
    with pytest.raises(NoPositiveMapError, match="image 1: no feature map"):
        qubo.selections(maps, importance)


@pytest.mark.parametrize("change, message", [
    ({"beta": 1.2}, "beta must lie"), ({"beta": np.nan}, "beta must lie"), ({"pair_sum": "p>q"}, "unknown pair_sum"),
    ({"field": -np.ones(3)}, "redundancy must be"), ({"redundancy": np.full((2, 2), np.nan)}, "NaN"),
    ({"redundancy": np.array([[1, 0.5], [0.1, 1]])}, "symmetric"),
])
def test_bad_input(change, message):
    good = {"redundancy": np.eye(2), "field": -np.ones(2), "beta": 0.5}
    with pytest.raises(ValueError, match=message):
        qubo.feature_selection_bqm(**good | change)


def test_common_maps_pair_the_images_that_share_most():
    selected = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 1, 0], [0, 0, 1]], dtype=bool)
    labels = np.array([0, 0, 1, 1, 2])
    pairs = qubo.common_maps(selected, labels, 0, 1)
    assert [(i, j, c.tolist()) for i, j, c in pairs] == [(0, 2, [True, True, False]), (1, 3, [False] * 3)]
    assert [c.any() for _, _, c in qubo.common_maps(selected, labels, 0, 2)] == [False]
