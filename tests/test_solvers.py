"""Every solver of the selection problem returns what exact enumeration finds, and says what it was asked."""

import warnings

import dimod
import numpy as np
import pytest
from dwave.samplers import SimulatedAnnealingSampler

from qafs_utils import qubo, solvers

RNG = np.random.default_rng(1)
PROBLEMS = qubo.selections(RNG.random((4, 9, 5, 5)), RNG.normal(0.3, 1, (4, 9)))


def test_brute_force_equals_dimods_exact_solver():
    for p in PROBLEMS:
        ours = solvers.solver("brute_force").sample(p.bqm())
        assert ours.first.energy == pytest.approx(dimod.ExactSolver().sample(p.bqm()).first.energy)


@pytest.mark.parametrize("name, options", [
    ("schrodinger", {"annealing_time": 100.0}), ("simulated_annealing", {"num_reads": 20}),
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


@pytest.mark.parametrize("name", ["schrodinger", "simulated_annealing"])
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
