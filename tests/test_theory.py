"""The statements of 22 on drawn problems, against enumeration, SciPy, and the bounds of the exact solver."""

import itertools
import re

import numpy as np
import pytest
from scipy.optimize import minimize

from qafs_utils.qubo import binary, feature_selection, theory
from qafs_utils.solvers.bounds import relax

PAIR_SUMS = feature_selection.PAIR_SUMS
each_pair_sum = pytest.mark.parametrize("pair_sum", PAIR_SUMS)


def drawn(seed, d=8, pixels=4):
    """A problem of maps >= 0; of fewer pixels than maps, so that J is singular."""
    rng = np.random.default_rng(seed)
    return feature_selection.problem(rng.random((d, 1, pixels)) ** 3, rng.uniform(0.1, 1, d))


def gaussian(seed, d=8):
    problem = drawn(seed, d)
    J = feature_selection.null_couplings(problem.redundancy, "gaussian", rng=seed)
    return feature_selection.Problem(problem.maps, problem.field, 3 * (J - np.eye(d)) + np.eye(d), problem.n_features)


@each_pair_sum
@pytest.mark.parametrize("make", [drawn, gaussian])
@pytest.mark.parametrize("beta", [0.3, 0.7, 0.95])
def test_the_gap_of_the_relaxation_is_bounded(make, beta, pair_sum):
    for seed in range(6):
        problem = make(seed)
        found = theory.relaxation(problem, beta, pair_sum)
        least = binary.energies(problem.bqm(beta, pair_sum)).min()
        assert -1e-8 <= least - found.bound <= found.room + 1e-8
        assert found.room <= theory.pair_cost(beta, pair_sum) / 8 * found.shift * found.fractional + 1e-12
        assert found.fractional <= found.rank <= problem.d and ((found.x >= 0) & (found.x <= 1)).all()
        assert make is gaussian or (found.shift == 1 and found.rank <= 4)


def test_the_gap_can_be_as_large_as_its_bound():
    """By hand: one map, and two that share no pixel, whose selection is empty."""
    one = feature_selection.Problem([0], [-1.0], [[1.0]], 1)
    found = theory.relaxation(one, 0.5, "p<q")  # f = x^2 / 4 - 3 x / 4: its minimum in the box is at 1
    assert found.x == 1 and found.bound == -0.5 and found.room == 0
    weak = feature_selection.Problem([0, 1], [-1.0, -1.0], [[1.0, 0.0], [0.0, 1.0]], 2)
    found = theory.relaxation(weak, 0.2, "half")  # each: 0.4 x^2 - 0.2 x, least at x = 1/4, -0.025; optimum 0
    assert np.allclose(found.x, 0.25) and np.isclose(found.bound, -0.05) and np.isclose(found.room, 0.15)


@each_pair_sum
def test_the_relaxation_is_that_of_scipy_and_of_the_exact_solver(pair_sum):
    for problem in (drawn(3, 20, 9), drawn(4, 30, 50), gaussian(5, 20)):
        found, beta = theory.relaxation(problem, 0.6, pair_sum), 0.6
        b, couplings, _ = binary.biases(problem.bqm(beta, pair_sum))
        u = np.full(problem.d, found.shift)  # the diagonal of J is 1, so all are the same
        cost = theory.pair_cost(beta, pair_sum)
        C, c = couplings + couplings.T + cost * np.diag(u), b - cost * u / 2
        start, box = np.full(problem.d, 0.3), [(0, 1)] * problem.d
        scipy_found = minimize(lambda x, C=C, c=c: x @ C @ x / 2 + c @ x, start, bounds=box, tol=1e-14)
        state = np.full(problem.d, -1, np.int8)
        bound, _, _ = relax(C, c, None, state, start.copy(), sweeps=10_000, goal=np.inf, slack=0.0)
        assert np.isclose(found.bound, scipy_found.fun, atol=1e-6) and np.isclose(found.bound, bound, atol=1e-6)


def test_a_minimiser_has_few_fractional_entries_where_many_are_possible():
    """Twelve maps, all alike: any x of the right sum is a minimiser, of one fractional entry at most."""
    problem = feature_selection.Problem(np.arange(12), np.full(12, -1.0), np.ones((12, 12)), 12)
    found = theory.relaxation(problem, 0.8, "p<q")
    assert found.rank == 1 and found.fractional <= 1
    assert np.isclose(found.x.sum(), 4.5)  # 0.2 (S - 1/2) = 0.8


def test_silent_maps_have_no_shift():
    maps = np.zeros((3, 1, 4))
    maps[0, 0, 0] = maps[1, 0, 1] = 1  # the third map is 0, and so is its cosine with itself
    found = theory.relaxation(feature_selection.problem(maps, [1.0, 1.0, 0.2]), 0.5)
    assert np.isclose(found.bound, -1.1) and found.x.tolist() == [1, 1, 1] and found.rank == 2


@each_pair_sum
@pytest.mark.parametrize("beta", [0.4, 0.7, 0.8])
def test_subset_sum_is_a_selection_problem(beta, pair_sum):
    rng = np.random.default_rng(1)
    exists = []
    for _ in range(10):
        numbers = rng.integers(30, 41, 8)
        target = int(rng.integers(4 * numbers.sum() // 5, numbers.sum()))
        made = theory.subset_sum(numbers, target, beta=beta, pair_sum=pair_sum)
        assert made.maps.min() >= 0 and np.isclose(made.importance.max(), 1) and made.importance.min() > 0
        problem = feature_selection.problem(made.maps, made.importance)
        sums = np.array([sum(chosen) for chosen in itertools.product(*[(0, s) for s in numbers[::-1]])])
        energies = binary.energies(problem.bqm(beta, pair_sum))
        assert np.allclose(energies, made.unit * ((sums - target) ** 2 - target**2))
        exists.append(target in sums)
        assert (abs(energies.min() - made.least) < made.unit / 2) == exists[-1]
    assert len(set(exists)) == 2


def test_hard_numbers_have_no_such_subset():
    numbers, target = theory.hard_numbers(10, rng=3)
    assert (numbers % 2 == 0).all() and target % 2 == 1 and abs(target - numbers.sum() / 2) <= 1


@pytest.mark.parametrize(
    ("numbers", "target", "options", "message"),
    [
        ([1, 2.5], 2, {}, "numbers must be whole"),
        ([0, 2], 2, {}, "numbers must lie in [1, inf), got 0.0"),
        ([1, 2], 0, {}, "target must be a whole number"),
        ([1, 2, 30], 20, {}, "target must be above"),
        ([1, 2, 3], 5, {"beta": 1.0}, "beta must be a number in (0, 1)"),
        ([1, 2, 3], 5, {"beta": 0.3, "pair_sum": "half"}, "beta must be above 1/3 for 'half'"),
        ([1, 2, 3], 5, {"pair_sum": "all"}, "unknown pair_sum"),
    ],
)
def test_subset_sum_refuses_by_name(numbers, target, options, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        theory.subset_sum(numbers, target, **options)


@each_pair_sum
@pytest.mark.parametrize("beta", [0.5, 0.8, 0.9, 0.97])
def test_persistent_maps_are_in_every_optimum_or_in_none(beta, pair_sum):
    decided = 0
    for seed in range(15):
        problem = drawn(seed, 9, 30)
        energies = binary.energies(problem.bqm(beta, pair_sum))
        optima = binary.bits(np.flatnonzero(energies <= energies.min() + 1e-12), problem.d)
        once = theory.persistent(problem, beta, pair_sum, rounds=1)
        state = theory.persistent(problem, beta, pair_sum)
        assert ((optima == state) | (state < 0)).all() and (state[once >= 0] == once[once >= 0]).all()
        decided += (state >= 0).sum()
        cost = theory.pair_cost(beta, pair_sum)
        own = beta * problem.field + (cost / 2 if pair_sum == "half" else 0)
        first = -own > cost * (problem.redundancy.sum(1) - 1) + 1e-6
        assert ((once == 1) >= first).all()
    assert decided > 0 or beta < 0.9


def test_persistence_needs_cosines_that_are_not_negative():
    with pytest.raises(ValueError, match=r"^redundancy must lie in \[0, inf\).*maps >= 0"):
        theory.persistent(drawn(0).reversed(), 0.5)


@each_pair_sum
def test_what_a_map_adds_falls_with_the_maps_already_taken(pair_sum):
    """Submodularity of minus the energy, over all pairs of sets."""
    problem = drawn(6, 4)
    energies = -binary.energies(problem.bqm(0.6, pair_sum))
    for low, high, p in itertools.product(range(16), range(16), range(4)):
        if low & high == low and not high >> p & 1:
            assert energies[low | 1 << p] - energies[low] >= energies[high | 1 << p] - energies[high] - 1e-12
