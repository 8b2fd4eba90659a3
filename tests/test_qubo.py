"""The QUBO against the paper's formula written out, for every pair-sum convention."""

import dataclasses
import itertools

import dimod
import numpy as np
import pandas as pd
import pytest
import torch

from qafs_utils.cnn.feature_maps import NoPositiveMapError
from qafs_utils.qubo import binary, feature_selection, fixed_size, landscape
from qafs_utils.qubo.binary import energies as energies_of
from qafs_utils.solvers import baselines, by_name

RNG = np.random.default_rng(0)


def problem(d=5):
    return feature_selection.problem(RNG.random((d + 3, 4, 4)), np.r_[RNG.uniform(0.1, 1, d), -RNG.random(3)])


@pytest.mark.parametrize("pair_sum", feature_selection.PAIR_SUMS)
def test_energies_are_equation_4(pair_sum):
    p, beta = problem(), 0.7
    bqm = p.bqm(beta, pair_sum)
    for bits in itertools.product((0, 1), repeat=p.d):
        n = np.array(bits)
        everything = n @ p.redundancy @ n
        pairs = {"p!=q": everything - n.sum(), "p<q": (everything - n.sum()) / 2, "half": everything / 2}[pair_sum]
        expected = (1 - beta) * pairs + beta * p.field @ n
        assert bqm.energy(dict(enumerate(bits))) == pytest.approx(expected)


def test_the_pair_sums_by_hand():
    """Two maps of cosine 0.6 and fields -1, -0.5 at beta = 0.5: linear -0.5, -0.25, a pair 0.3 each time it counts."""
    J, h, found = [[1.0, 0.6], [0.6, 1.0]], [-1.0, -0.5], {}
    for name in feature_selection.PAIR_SUMS:
        found[name] = energies_of(feature_selection.feature_selection_bqm(J, h, 0.5, name)).tolist()
    assert found["p!=q"] == pytest.approx([0, -0.5, -0.25, -0.15])
    assert found["p<q"] == pytest.approx([0, -0.5, -0.25, -0.45])
    assert found["half"] == pytest.approx([0, -0.25, 0, 0.05])
    assert found.keys() == {"p!=q", "p<q", "half"}


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.7, 1.0])
def test_pairs_counted_twice_are_pairs_counted_once_at_another_beta(beta):
    p = problem(6)
    for kind in feature_selection.FIELDS:
        twice, once = p.with_field(kind).bqm(beta), p.with_field(kind).bqm(beta / (2 - beta), "p<q")
        np.testing.assert_allclose(energies_of(twice), (2 - beta) * energies_of(once), atol=1e-12)


def test_the_half_sum_is_each_pair_once_and_the_diagonal():
    p, beta = problem(6), 0.7
    selected = np.bitwise_count(np.arange(2**6))
    half, once = (energies_of(p.bqm(beta, name)) for name in ("half", "p<q"))
    np.testing.assert_allclose(half, once + (1 - beta) / 2 * selected, atol=1e-12)


def test_the_pair_sum_with_the_diagonal_is_nobodys():
    with pytest.raises(ValueError, match="unknown pair_sum 'all'.*the authors' diagonal J_pp is 0.*is 'p!=q'"):
        problem().bqm(0.7, "all")


def test_fields_by_hand():
    assert feature_selection.field([4.0, 2.0, 1.0]).tolist() == [-1, -0.5, -0.25]
    assert feature_selection.field([5.0, 2.0, 1.0], "min-max").tolist() == [-1, -0.25, 0]
    for kind in feature_selection.FIELDS:
        assert feature_selection.field([0.2], kind).tolist() == [-1]  # one candidate alone
        assert feature_selection.field([3.0, 3.0], kind).tolist() == [-1, -1]
        assert feature_selection.field([], kind).tolist() == []
    with pytest.raises(ValueError, match="unknown field 'softmax': choose from max, min-max"):
        feature_selection.field([1.0], "softmax")


@pytest.mark.parametrize("alphas", [[4.0, 2.0, 1.0, -3.0], [2.0, -1.0, -1.0, 0.0], [0.5, 0.5, 0.5, -2.0]])
def test_the_min_max_field_can_be_made_of_the_max_field(alphas):
    maps = RNG.random((4, 3, 3))
    most, min_max = (feature_selection.problem(maps, alphas, field=kind) for kind in feature_selection.FIELDS)
    again = most.with_field("min-max")
    np.testing.assert_allclose(again.field, min_max.field, atol=1e-15)
    assert np.array_equal(again.redundancy, most.redundancy) and np.array_equal(
        most.with_field("max").field, most.field
    )
    assert not np.signbit(again.field[again.field == 0]).any()
    [of_all] = feature_selection.problems(maps[None], [alphas], field="min-max")
    assert np.array_equal(of_all.field, min_max.field)
    if (min_max.field == 0).any():
        with pytest.raises(ValueError, match="field is min-max, from which max cannot be made"):
            min_max.with_field("max")
        with pytest.raises(ValueError, match="problem 0 has no compact form, .*: give the max field"):
            feature_selection.to_arrays([min_max])


def test_a_subsample_has_the_field_of_what_was_drawn():
    drawn = [
        feature_selection.subsample(RNG.random((5, 2, 2)), [4, 3, 2, 1, -1], 3, field=f, rng=1)
        for f in ("max", "min-max")
    ]
    assert drawn[0].maps.tolist() == drawn[1].maps.tolist()
    np.testing.assert_allclose(drawn[0].with_field("min-max").field, drawn[1].field, atol=1e-15)


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
    assert best(feature_selection.problem(maps, [1.0, 0.9, 0.8]), 0.4) == (1, 0, 1)


def test_selections_name_the_image_without_candidates():
    maps, importance = RNG.random((2, 3, 4, 4)), np.array([[1.0, -1, 1], [-1, -1, 0]])
    with pytest.raises(NoPositiveMapError, match="image 1: no feature map"):
        feature_selection.problems(maps, importance)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"beta": 1.2}, r"beta must be a number in \[0, 1\]"),
        ({"beta": np.nan}, "beta must be a number in"),
        ({"pair_sum": "p>q"}, "unknown pair_sum"),
        ({"field": -np.ones(3)}, "redundancy must be"),
        ({"redundancy": np.full((2, 2), np.nan)}, "NaN"),
        ({"redundancy": np.array([[1, 0.5], [0.1, 1]])}, "symmetric"),
        ({"redundancy": np.full((2, 2), np.inf)}, "infinite"),
        ({"field": np.array([-1, np.nan])}, "NaN"),
        ({"field": np.array([-1, -np.inf])}, "infinite"),
    ],
)
def test_bad_input(change, message):
    good = {"redundancy": np.eye(2), "field": -np.ones(2), "beta": 0.5}
    with pytest.raises(ValueError, match=message):
        feature_selection.feature_selection_bqm(**good | change)


SHARING = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 1, 0], [0, 0, 1]], dtype=bool)


def test_shares_of_pairs_with_a_map_in_common():
    """Counted by hand: of the images 0, 1 and 2, 3 all pairs but (1, 3); of 2, 3 and 4 the pair (2, 4)."""
    nan = np.nan
    by_hand = [[nan, 0.75, 0, nan], [0.75, nan, 0.5, nan], [0, 0.5, nan, nan], [nan] * 4]  # no image of class 3
    np.testing.assert_equal(baselines.shares_in_common(SHARING, [0, 0, 1, 1, 2], 4), by_hand)


@pytest.mark.parametrize(
    "first, count, expected",
    [
        ((), 2, [(0, 2, [1, 1, 0]), (2, 4, [0, 0, 1])]),  # by share; classes 0 and 2 share no map
        ([(2, 1)], 2, [(2, 4, [0, 0, 1]), (0, 2, [1, 1, 0])]),
        ([(0, 2)], 1, [(0, 2, [1, 1, 0])]),
    ],
)
def test_common_maps_pair_the_images_that_share_most(first, count, expected):
    pairs = baselines.common_maps(SHARING, [0, 0, 1, 1, 2], 4, first=first, count=count)
    assert [(i, j, c.astype(int).tolist()) for i, j, c in pairs] == expected


def test_nothing_in_common():
    assert baselines.common_maps(np.eye(3), [0, 1, 2], 3) == []
    assert baselines.common_maps(np.ones((2, 3)), [1, 1], 3) == []  # of one class


def test_no_field_without_candidates():
    with pytest.raises(ValueError, match=r"got 0\.0: .* whose importance is positive"):
        feature_selection.field([0.0, 0.0])


def test_energy_of_a_selection_is_that_of_its_candidates():
    problem = feature_selection.problem(RNG.random((6, 3, 3)), np.array([1.0, -1.0, 0.5, 0.3, -0.2, 0.8]))
    n = np.array([True, True, False, True, False, True])  # map 1 is no candidate
    pairs = problem.redundancy[0, 2] + problem.redundancy[0, 3] + problem.redundancy[2, 3]
    assert problem.energy(n, beta=0.6) == pytest.approx(0.4 * 2 * pairs - 0.6 * (1 + 0.3 + 0.8))


def test_subsample_is_the_problem_of_the_maps_drawn():
    maps, importance = RNG.random((20, 4, 4)), np.r_[RNG.uniform(0.1, 1, 15), -RNG.random(5)]
    p = feature_selection.subsample(maps, importance, 6, rng=3)
    alone = feature_selection.problem(maps[p.maps], importance[p.maps])
    assert p.d == 6 and (np.diff(p.maps) > 0).all() and set(p.maps) <= set(range(15))
    assert p.field.min() == -1 and np.array_equal(p.field, alone.field)
    assert np.array_equal(p.redundancy, alone.redundancy)
    assert np.array_equal(feature_selection.subsample(maps, importance, 6, rng=3).maps, p.maps)
    assert len({tuple(feature_selection.subsample(maps, importance, 6, rng=seed).maps) for seed in range(9)}) > 5
    everything = feature_selection.subsample(maps, importance, 15)
    assert np.array_equal(everything.redundancy, feature_selection.problem(maps, importance).redundancy)


@pytest.mark.parametrize("d", [0, 16])
def test_subsample_refuses_more_than_the_candidates(d):
    with pytest.raises(ValueError, match="d, of the image's candidates, must be .* from 1 to 15"):
        feature_selection.subsample(RNG.random((20, 4, 4)), np.r_[np.ones(15), -np.ones(5)], d)


@pytest.mark.parametrize("kind", feature_selection.COUPLINGS)
@pytest.mark.parametrize("d", [1, 2, 3, 12])
def test_null_couplings(kind, d):
    J = problem(d).redundancy
    K, pairs = feature_selection.null_couplings(J, kind, rng=5), np.triu_indices(d, 1)
    assert np.array_equal(K, K.T) and np.array_equal(np.diag(K), np.diag(J))
    assert np.array_equal(K, feature_selection.null_couplings(J, kind, rng=5))
    if kind == "cosine":
        assert np.array_equal(K, J)
    elif kind == "zero":
        assert not K[pairs].any()
    elif d > 1:
        assert K[pairs].mean() == pytest.approx(J[pairs].mean()) and K[pairs].std() == pytest.approx(J[pairs].std())
        assert d < 3 or not np.allclose(K, feature_selection.null_couplings(J, kind, rng=6))


def test_null_couplings_of_unknown_kind():
    with pytest.raises(ValueError, match="unknown kind of couplings 'uniform'"):
        feature_selection.null_couplings(np.eye(2), "uniform")


def test_descent_ends_in_a_local_minimum_and_solves_independent_maps():
    E = RNG.normal(size=64)
    strings = list(itertools.product((0, 1), repeat=6))
    index = {bits: sum(b << p for p, b in enumerate(bits)) for bits in strings}
    expected = np.zeros(64, bool)
    for bits in strings:
        others = [index[b] for b in strings if sum(x != y for x, y in zip(b, bits)) == 1]
        expected[index[bits]] = E[index[bits]] <= E[others].min()
    assert np.array_equal(landscape.local_minima(E), expected) and expected[E.argmin()] and 1 < expected.sum() < 64
    assert {landscape.descend(E, k) for k in range(64)} == set(np.flatnonzero(expected))
    field = RNG.normal(size=6)
    independent = np.array([field @ [k >> p & 1 for p in range(6)] for k in range(64)])
    assert {landscape.descend(independent, k) for k in range(64)} == {independent.argmin()}
    assert landscape.local_minima(independent).sum() == 1
    assert landscape.descend(np.array([1.0])) == 0 and landscape.local_minima(np.array([1.0])).all()
    with pytest.raises(ValueError, match=r"one for each bit-string, got \(6,\)"):
        landscape.descend(np.zeros(6))


def test_stored_problems_come_back_with_rounded_cosines():
    problems = [problem(5), dataclasses.replace(problem(3), n_features=8)]
    stored = feature_selection.to_arrays(problems)
    assert stored["field"].shape == (2, 8) and stored["redundancy"].dtype == np.float16
    for before, after in zip(problems, feature_selection.from_arrays(stored)):
        assert np.array_equal(before.maps, after.maps)
        np.testing.assert_allclose(after.field, before.field, atol=1e-7)
        np.testing.assert_allclose(after.redundancy, before.redundancy, atol=2.5e-4)
        assert np.array_equal(after.redundancy, after.redundancy.T)
    with pytest.raises(ValueError, match="redundancy must be"):
        feature_selection.from_arrays(stored | {"redundancy": stored["redundancy"][:, :4, :4]})


def test_best_of_size_is_the_lowest_of_its_size():
    energies = RNG.normal(size=2**6)
    found = landscape.best_of_size(energies)
    for k in range(7):
        of_size = [i for i in range(2**6) if bin(i).count("1") == k]
        assert found[k] == min(of_size, key=lambda i: energies[i])
    with pytest.raises(ValueError, match="must be"):
        landscape.best_of_size(energies[:-1])


def test_the_optimum_of_fixed_size_at_beta_one_is_the_top_k():
    p = problem(6)
    bqm = p.bqm(1.0)
    energies = np.array([bqm.energy({v: i >> v & 1 for v in range(6)}) for i in range(2**6)])
    for k, found in enumerate(landscape.best_of_size(energies)):
        assert {v for v in range(6) if found >> v & 1} == set(np.argsort(p.field)[:k])


def constrained(kind, d, seed=0):
    """Models to fix the size of: Gaussian, of maps, reversed, degenerate."""
    rng = np.random.default_rng(seed)
    if kind in ("BINARY", "SPIN"):
        couplings = {(i, j): rng.normal() for i in range(d) for j in range(i)}
        return dimod.BinaryQuadraticModel(dict(enumerate(rng.normal(size=d))), couplings, rng.normal(), kind)
    if kind == "all zero":
        return dimod.BinaryQuadraticModel(dict.fromkeys(range(d), 0.0), {}, 1.0, "BINARY")
    if kind == "equal maps":
        return feature_selection.problem(np.ones((d, 2, 2)), np.ones(d)).bqm(0.4)
    maps = np.repeat(rng.random((d, 3, 3)), 2, axis=0)[:d] if kind == "duplicates" else rng.random((d, 3, 3))
    problem = feature_selection.problem(maps, rng.random(d) + 0.1)
    return (problem.reversed() if kind == "reversed" else problem).bqm(0.7)


KINDS = ["BINARY", "SPIN", "maps", "reversed", "duplicates", "equal maps", "all zero"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [1, 2, 3, 7, 12])
def test_above_the_sufficient_penalty_every_ground_state_has_k_maps(kind, d):
    for seed in range(3 if d < 12 else 1):
        bqm = constrained(kind, d, seed)
        E, sizes = energies_of(bqm), np.bitwise_count(np.arange(2**d)).astype(int)
        for k, lowest in enumerate(E[landscape.best_of_size(E)]):
            enough = fixed_size.sufficient_penalty(bqm, k)
            for penalty in (enough + 1e-6, 2 * enough + 1, None):
                F = energies_of(fixed_size.exactly(bqm, k, penalty))
                assert F.min() == pytest.approx(lowest, abs=1e-9)
                assert (sizes[F <= F.min() + 1e-9] == k).all()
            np.testing.assert_allclose(F[sizes == k], E[sizes == k], atol=1e-9)


@pytest.mark.parametrize("kind", KINDS[:4])
def test_a_penalty_below_the_necessary_one_fails(kind):
    """Necessary is max (lowest of size k - E) / (|n| - k)^2: never above the sufficient one, and often well above 0."""
    bqm = constrained(kind, 8)
    E, sizes = energies_of(bqm), np.bitwise_count(np.arange(2**8)).astype(int)
    failed = 0
    for k, lowest in enumerate(E[landscape.best_of_size(E)]):
        others = sizes != k
        necessary = ((lowest - E[others]) / (sizes[others] - k) ** 2).max()
        assert necessary <= fixed_size.sufficient_penalty(bqm, k) + 1e-12
        if necessary > 0.01:
            failed += 1
            assert sizes[energies_of(fixed_size.exactly(bqm, k, 0.99 * necessary)).argmin()] != k
    assert failed >= 4


def test_the_sufficient_penalty_is_tight_for_one_map():
    bqm = dimod.BinaryQuadraticModel({0: -1.0}, {}, 0.0, "BINARY")
    assert fixed_size.sufficient_penalty(bqm, 0) == 1.0 and fixed_size.sufficient_penalty(bqm, 1) == 0.0
    assert [energies_of(fixed_size.exactly(bqm, 0, penalty)).argmin() for penalty in (0.99, 1.01)] == [1, 0]


@pytest.mark.parametrize("k", [-1, 6, 2.5, np.nan])
def test_infeasible_sizes(k):
    for call in (fixed_size.sufficient_penalty, fixed_size.exactly):
        with pytest.raises(ValueError, match=f"exactly {k} maps are infeasible: the size must be .* from 0 to 5"):
            call(problem().bqm(), k)


@pytest.mark.parametrize("penalty", [0, -1.0, np.nan, np.inf])
def test_exactly_refuses_a_penalty_that_is_none(penalty):
    with pytest.raises(ValueError, match=r"penalty must be a number in \(0, inf\)"):
        fixed_size.exactly(problem().bqm(), 2, penalty)
    with pytest.raises(ValueError, match="biases must be finite, got NaN or infinite values"):
        fixed_size.exactly(dimod.BinaryQuadraticModel({0: np.nan}, {}, 0.0, "BINARY"), 1)


@pytest.mark.parametrize("pair_sum", feature_selection.PAIR_SUMS)
def test_reversed_redundancy_is_rewarded_and_selects_everything(pair_sum):
    p = problem()
    bqm, E = p.bqm(0.7, pair_sum), energies_of(p.reversed().bqm(0.7, pair_sum))
    fields = energies_of(feature_selection.feature_selection_bqm(0 * p.redundancy, p.field, 0.7))
    np.testing.assert_allclose(E - fields, fields - energies_of(bqm), atol=1e-12)
    assert E.argmin() == 2**p.d - 1 and (np.diff(E[landscape.best_of_size(E)]) < 0).all()


def test_a_selection_keeps_what_it_was_given():
    maps, field, redundancy = np.array([2, 5]), np.array([-1.0, -0.5]), np.array([[1.0, 0.6], [0.6, 1.0]])
    p = feature_selection.Problem(maps, field, redundancy, 6)
    before = p.bqm(0.5)
    maps[:], field[:], redundancy[:] = 0, 0, 0
    assert p.maps.tolist() == [2, 5] and p.bqm(0.5) == before
    for array in (p.maps, p.field, p.redundancy):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize("kind", [list, tuple, iter, pd.Series, torch.tensor, lambda x: np.array(x, dtype=object)])
def test_sequences_of_any_kind(kind):
    J, h = [[1.0, 0.5], [0.5, 1.0]], [-1.0, -0.5]
    p = feature_selection.Problem(kind([2, 5]), kind(h), J, 6)
    assert p.maps.tolist() == [2, 5] and p.bqm(0.5) == feature_selection.feature_selection_bqm(J, kind(h), 0.5)
    assert p.energy(kind([0, 0, 1, 0, 0, 1]), 0.5) == -0.25 and feature_selection.field(kind([2.0, 1.0])).tolist() == h
    stored = feature_selection.to_arrays(problem for problem in [p])
    assert feature_selection.from_arrays({k: v.tolist() for k, v in stored.items()})[0].bqm() == p.bqm()
    assert landscape.descend(kind([0.0, -1.0, 1.0, -3.0])) == 3


GOOD = {"maps": [2, 5], "field": [-1.0, -0.5], "redundancy": np.eye(2), "n_features": 6}


@pytest.mark.parametrize(
    "change",
    [
        {"maps": [2, 2]},
        {"maps": [-1, 2]},
        {"maps": [1.5, 2]},
        {"maps": "ab"},
        {"maps": None},
        {"maps": 3},
        {"field": [[-1.0], [-0.5]]},
        {"field": [-1.0]},
        {"field": [np.nan, -1]},
        {"field": None},
        {"field": ["a", "b"]},
        {"redundancy": np.ones((2, 3))},
        {"redundancy": np.full((2, 2), np.inf)},
        {"redundancy": [[1, 0.1], [0, 1]]},
        {"redundancy": [[0, 1e-9], [0, 0]]},
        {"redundancy": None},
        {"redundancy": np.eye(2) * 1j},
        {"n_features": 5},
        {"n_features": None},
    ],
    ids=str,
)
def test_a_selection_refuses_by_name(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        feature_selection.Problem(**GOOD | change)


P, E, MAPS = feature_selection.Problem(**GOOD), np.arange(8.0), np.ones((2, 3, 4, 4))
CALLS = {
    "selected": lambda x: P.energy(x),
    "beta": lambda x: P.bqm(x),
    "pair_sum": lambda x: P.matrix(0.5, x),
    "importance": lambda x: feature_selection.field(x),
    "maps": lambda x: feature_selection.problem(x, [1.0, 2.0, 3.0]),
    "problems": lambda x: feature_selection.to_arrays(x),
    "arrays": lambda x: feature_selection.from_arrays(x),
    "bits": lambda x: P.selected(x),
    "rng": lambda x: feature_selection.subsample(MAPS[0], [1.0, 2.0, 3.0], 2, rng=x),
    "d, of": lambda x: feature_selection.subsample(MAPS[0], [1.0, 2.0, 3.0], x),
    "redundancy": lambda x: feature_selection.null_couplings(x, "zero"),
    "kind": lambda x: feature_selection.null_couplings(np.eye(2), x),
    "size": lambda x: fixed_size.exactly(P.bqm(), x),
    "penalty": lambda x: fixed_size.exactly(P.bqm(), 1, x),
    "model": lambda x: fixed_size.sufficient_penalty(x, 1),
    "energies": lambda x: landscape.best_of_size(x),
    "start": lambda x: landscape.descend(E, x),
    "labels": lambda x: baselines.shares_in_common(np.eye(2), x, 2),
    "n_classes": lambda x: baselines.shares_in_common(np.eye(2), [0, 1], x),
    "first": lambda x: baselines.common_maps(np.eye(2), [0, 1], 2, first=x),
    "count": lambda x: baselines.common_maps(np.eye(2), [0, 1], 2, count=x),
}


@pytest.mark.parametrize("odd", ["abc", -1.5, [np.nan, 1.0], [None, 1.0], {"a": 1}, ..., 1j], ids=str)
@pytest.mark.parametrize("name", CALLS)
def test_odd_arguments_are_refused_by_name(name, odd):
    with pytest.raises(ValueError, match=name):
        CALLS[name](odd)


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda: feature_selection.problems(MAPS, np.ones((1, 3))), "importance"),
        (lambda: feature_selection.problems(MAPS[:, :2], np.ones((2, 3))), "importance"),
        (lambda: feature_selection.problem(np.full((3, 2, 2), np.nan), [1, 2, 3]), "maps must be finite, got NaN"),
        (lambda: P.energy([0, 1]), "selected"),
        (
            lambda: feature_selection.from_arrays({"field": np.ones((2, 3)), "redundancy": np.ones((1, 3, 3))}),
            "redundancy",
        ),
        (lambda: feature_selection.to_arrays([P, dataclasses.replace(P, n_features=7)]), "n_features of 6, 7"),
        (lambda: landscape.best_of_size(np.ones((2, 4))), "energies"),
        (
            lambda: feature_selection.to_arrays([feature_selection.Problem([0, 1], [-1, -1e-60], np.eye(2), 2)]),
            "problem 0",
        ),
        (
            lambda: feature_selection.to_arrays([feature_selection.Problem([0, 1], [-1, -1], 1e9 * np.eye(2), 2)]),
            "problem 0",
        ),
        (lambda: baselines.common_maps(np.eye(2), [0, 1], 1), "labels must be whole numbers from 0 to 0"),
        (lambda: baselines.common_maps(np.eye(2), [0, 1], 2, first=[(0, 2)]), "first"),
        (lambda: baselines.shares_in_common(2 * np.eye(2), [0, 1], 2), "selected"),
    ],
)
def test_arguments_that_do_not_fit_each_other(call, name):
    with pytest.raises(ValueError, match=name):
        call()


@pytest.mark.parametrize(
    "model",
    [
        dimod.BQM({0: np.nan}, {}, 0.0, "SPIN"),
        dimod.BQM({0: 1.0}, {}, np.inf, "BINARY"),
        dimod.BQM({0: 1e308, 1: 1e308}, {}, 0.0, "SPIN"),
        dimod.BQM({}, {"ab": -np.inf}, 0.0, "BINARY"),
        dimod.CQM(),
        dimod.DQM(),
        dimod.QM(),
        {(0, 0): 1.0},
        None,
    ],
    ids=lambda model: type(model).__name__,
)
def test_what_is_no_model_is_refused(model):
    with pytest.raises(ValueError, match="model"):
        binary.require_model(model)


@pytest.mark.parametrize("penalty", [1e300, 1e13])
def test_a_penalty_that_drowns_the_energies_is_refused(penalty):
    bqm = problem().bqm()
    with pytest.raises(ValueError, match="penalty must be at most .*, or rounding loses the model's energies"):
        fixed_size.exactly(bqm, 2, penalty)
    scale = max(map(abs, [*bqm.linear.values(), *bqm.quadratic.values()]))
    kept = np.bitwise_count(np.arange(32)) == 2
    drowned = energies_of(fixed_size.exactly(bqm, 2, 1e12 * scale / 25))[kept] - energies_of(bqm)[kept]
    assert np.abs(drowned).max() < 1e-3 * scale


@pytest.mark.parametrize("kind", feature_selection.COUPLINGS)
def test_couplings_whose_squares_overflow_are_refused(kind):
    with pytest.raises(ValueError, match="redundancy must lie in .*check the feature maps"):
        feature_selection.null_couplings([[1e308, 1e308], [1e308, 1e308]], kind, rng=0)


def test_the_optima_of_all_images_are_those_of_brute_force():
    rng = np.random.default_rng(0)
    problems = feature_selection.problems(rng.random((6, 9, 4, 4)), rng.normal(size=(6, 9)) + 0.5)
    for pair_sum in feature_selection.PAIR_SUMS:
        expected, _ = by_name.solve_all(problems, "brute_force", beta=0.6, pair_sum=pair_sum)
        assert (landscape.optima(problems, beta=0.6, pair_sum=pair_sum) == expected).all()
    with pytest.raises(ValueError, match="problems must be a list of feature_selection.Problem"):
        landscape.optima(["maps"])


def test_signed_candidates_are_all_but_zeros_by_their_magnitude():
    importance, maps = np.array([0.5, -2.0, 0.0, 1.0]), np.random.default_rng(5).random((4, 3, 3))
    signed = feature_selection.problem(maps, importance, candidates="signed")
    assert signed.maps.tolist() == [0, 1, 3] and signed.field.tolist() == [-0.25, -1.0, -0.5]
    positive = feature_selection.problem(maps, importance)
    assert positive.maps.tolist() == [0, 3]
    [same] = feature_selection.problems(maps[None], importance[None], candidates="signed")
    assert same.field.tolist() == signed.field.tolist()
    with pytest.raises(ValueError, match="unknown candidates 'all': choose from positive, signed"):
        feature_selection.problem(maps, importance, candidates="all")
