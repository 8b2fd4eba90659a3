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


def test_subsample_is_the_problem_of_the_maps_drawn():
    maps, importance = RNG.random((20, 4, 4)), np.r_[RNG.uniform(0.1, 1, 15), -RNG.random(5)]
    p = qubo.subsample(maps, importance, 6, 3)
    alone = qubo.selection(maps[p.maps], importance[p.maps])
    assert p.d == 6 and (np.diff(p.maps) > 0).all() and set(p.maps) <= set(range(15))
    assert p.field.min() == -1 and np.array_equal(p.field, alone.field)
    assert np.array_equal(p.redundancy, alone.redundancy)
    assert np.array_equal(qubo.subsample(maps, importance, 6, 3).maps, p.maps)
    assert len({tuple(qubo.subsample(maps, importance, 6, seed).maps) for seed in range(9)}) > 5
    everything = qubo.subsample(maps, importance, 15)
    assert np.array_equal(everything.redundancy, qubo.selection(maps, importance).redundancy)


@pytest.mark.parametrize("d", [0, 16])
def test_subsample_refuses_more_than_the_candidates(d):
    with pytest.raises(ValueError, match="between 1 and the 15 candidates"):
        qubo.subsample(RNG.random((20, 4, 4)), np.r_[np.ones(15), -np.ones(5)], d)


@pytest.mark.parametrize("kind", qubo.COUPLINGS)
@pytest.mark.parametrize("d", [1, 2, 3, 12])
def test_null_couplings(kind, d):
    J = problem(d).redundancy
    K, pairs = qubo.null_couplings(J, kind, 5), np.triu_indices(d, 1)
    assert np.array_equal(K, K.T) and np.array_equal(np.diag(K), np.diag(J))
    assert np.array_equal(K, qubo.null_couplings(J, kind, 5))
    if kind == "cosine":
        assert np.array_equal(K, J)
    elif kind == "zero":
        assert not K[pairs].any()
    elif d > 1:
        assert K[pairs].mean() == pytest.approx(J[pairs].mean()) and K[pairs].std() == pytest.approx(J[pairs].std())
        assert d < 3 or not np.allclose(K, qubo.null_couplings(J, kind, 6))


def test_null_couplings_of_unknown_kind():
    with pytest.raises(ValueError, match="unknown kind of couplings 'uniform'"):
        qubo.null_couplings(np.eye(2), "uniform")


def test_descent_ends_in_a_local_minimum_and_solves_independent_maps():
    E = RNG.normal(size=64)
    strings = list(itertools.product((0, 1), repeat=6))
    index = {bits: sum(b << p for p, b in enumerate(bits)) for bits in strings}
    expected = np.zeros(64, bool)
    for bits in strings:
        others = [index[b] for b in strings if sum(x != y for x, y in zip(b, bits)) == 1]
        expected[index[bits]] = E[index[bits]] <= E[others].min()
    assert np.array_equal(qubo.local_minima(E), expected) and expected[E.argmin()] and 1 < expected.sum() < 64
    assert {qubo.descend(E, k) for k in range(64)} == set(np.flatnonzero(expected))
    field = RNG.normal(size=6)
    independent = np.array([field @ [k >> p & 1 for p in range(6)] for k in range(64)])
    assert {qubo.descend(independent, k) for k in range(64)} == {independent.argmin()}
    assert qubo.local_minima(independent).sum() == 1
    assert qubo.descend(np.array([1.0])) == 0 and qubo.local_minima(np.array([1.0])).all()
    with pytest.raises(ValueError, match="one for each bit-string, got 6"):
        qubo.descend(np.zeros(6))


def test_stored_problems_come_back_with_rounded_cosines():
    problems = [problem(5), problem(3)]
    stored = qubo.to_arrays(problems, 8)
    assert stored["field"].shape == (2, 8) and stored["redundancy"].dtype == np.float16
    for before, after in zip(problems, qubo.from_arrays(**stored)):
        assert np.array_equal(before.maps, after.maps)
        np.testing.assert_allclose(after.field, before.field, atol=1e-7)
        np.testing.assert_allclose(after.redundancy, before.redundancy, atol=2.5e-4)
        assert np.array_equal(after.redundancy, after.redundancy.T)
    with pytest.raises(ValueError, match="redundancy must be"):
        qubo.from_arrays(stored["field"], stored["redundancy"][:, :4, :4])


def test_best_of_size_is_the_lowest_of_its_size():
    energies = RNG.normal(size=2**6)
    found = qubo.best_of_size(energies)
    for k in range(7):
        of_size = [i for i in range(2**6) if bin(i).count("1") == k]
        assert found[k] == min(of_size, key=lambda i: energies[i])
    with pytest.raises(ValueError, match="must be"):
        qubo.best_of_size(energies[:-1])


def test_the_optimum_of_fixed_size_at_beta_one_is_the_top_k():
    p = problem(6)
    bqm = p.bqm(1.0)
    energies = np.array([bqm.energy({v: i >> v & 1 for v in range(6)}) for i in range(2**6)])
    for k, found in enumerate(qubo.best_of_size(energies)):
        assert {v for v in range(6) if found >> v & 1} == set(np.argsort(p.field)[:k])
