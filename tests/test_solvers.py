"""Every solver of the selection problem returns what exact enumeration finds, and says what it was asked."""

import warnings

import dimod
import numpy as np
import pytest
from dwave.samplers import SimulatedAnnealingSampler

from qafs_utils import qubo, solvers

RNG = np.random.default_rng(1)
PROBLEMS = qubo.selections(RNG.random((4, 9, 5, 5)), RNG.normal(0.3, 1, (4, 9)))


@pytest.mark.parametrize("name", ["brute_force", "exact"])
def test_exact_solvers_equal_dimods(name):
    for p in PROBLEMS:
        ours = solvers.solver(name).sample(p.bqm())
        assert ours.first.energy == pytest.approx(dimod.ExactSolver().sample(p.bqm()).first.energy)


@pytest.mark.parametrize("name, options", [
    ("schrodinger", {"annealing_time": 100.0}), ("simulated_annealing", {"num_reads": 20}), ("tabu", {}),
    ("path_integral", {"num_reads": 50}), ("steepest_descent", {"num_reads": 50}), ("random", {"num_reads": 3000}),
])
def test_solvers_find_the_optimum_of_small_problems(name, options):
    exact, best = solvers.solve_all(PROBLEMS, 9, "brute_force")
    found, infos = solvers.solve_all(PROBLEMS, 9, name, seed=0, **options)
    np.testing.assert_allclose([i["energy"] for i in infos], [i["energy"] for i in best])
    assert np.array_equal(found, exact)


def test_selected_maps_are_candidates():
    found, _ = solvers.solve_all(PROBLEMS, 9, "brute_force", beta=1.0)
    for row, p in zip(found, PROBLEMS):
        assert np.flatnonzero(row).tolist() == p.maps.tolist()


@pytest.mark.parametrize("name", ["schrodinger", "simulated_annealing", "path_integral", "steepest_descent", "random"])
def test_same_seed_same_selection(name):
    first, second = (solvers.solve_all(PROBLEMS, 9, name, seed=5, num_reads=2)[0] for _ in range(2))
    assert np.array_equal(first, second)


def test_dwave_neal_is_the_same_simulated_annealing():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        neal = pytest.importorskip("neal")
    bqm = PROBLEMS[0].bqm()
    ours = SimulatedAnnealingSampler().sample(bqm, num_reads=5, seed=7)
    theirs = neal.SimulatedAnnealingSampler().sample(bqm, num_reads=5, seed=7)
    assert np.array_equal(ours.record.sample, theirs.record.sample)


def test_unknown_solver():
    with pytest.raises(ValueError, match="unknown solver 'qpu'"):
        solvers.solver("qpu")


IMPORTANCE = np.array([[0.5, -1, 2, 0.5, 0, 1], [1, 2, 3, 4, 5, 6]])


def test_top_k_takes_the_most_important_candidates():
    found = solvers.top_k(IMPORTANCE, [3, 2])
    assert [np.flatnonzero(bits).tolist() for bits in found] == [[0, 2, 5], [4, 5]]  # of the equal ones the first
    assert not solvers.top_k(IMPORTANCE, [0, 0]).any()
    assert np.array_equal(solvers.top_k(IMPORTANCE, [4, 6]), IMPORTANCE > 0)


def test_random_k_draws_candidates_evenly():
    importance = np.tile(IMPORTANCE[0], (4000, 1))
    found = solvers.random_k(importance, np.full(4000, 2), seed=1)
    assert (found.sum(1) == 2).all() and not found[:, [1, 4]].any()
    np.testing.assert_allclose(found[:, [0, 2, 3, 5]].mean(0), 0.5, atol=0.04)
    assert np.array_equal(found, solvers.random_k(importance, np.full(4000, 2), seed=1))


@pytest.mark.parametrize("select", [solvers.top_k, solvers.random_k])
@pytest.mark.parametrize("importance, k, message", [
    (IMPORTANCE, [5, 1], "image 0: k must lie between 0 and its 4"), (IMPORTANCE, [1, -1], "image 1: k"),
    (IMPORTANCE * np.nan, [1, 1], "NaN"), (IMPORTANCE, [1], "must be"), (IMPORTANCE[0], [1], "must be"),
])
def test_selections_of_equal_size_refuse(select, importance, k, message):
    with pytest.raises(ValueError, match=message):
        select(importance, k)
