import tracemalloc
import unittest

import dimod
import dimod.testing
import numpy as np
import pytest
import scipy.linalg

from qafs_utils import annealing, spectrum
from qafs_utils.annealing import (
    Schedule,
    SchrodingerSampler,
    anneal,
    bits,
    draw,
    energies,
    locally_adiabatic,
    tabulated,
)

GRID = np.linspace(0, 1, 41)
SCHEDULES = {
    "linear": "linear",
    "quadratic": "quadratic",
    "tabulated": tabulated(GRID, (1 - GRID) ** 1.5, np.sin(np.pi * GRID / 2)),
    "locally_adiabatic": locally_adiabatic(GRID, 0.2 + (GRID - 0.6) ** 2),
}


def random_bqm(d, vartype="BINARY", seed=0):
    rng = np.random.default_rng(seed)
    couplings = {(i, j): rng.normal() / d for i in range(d) for j in range(i)}
    return dimod.BinaryQuadraticModel(dict(enumerate(rng.normal(size=d))), couplings, 1.5, vartype)


def dense_driver(d, driver):
    H = np.zeros((2**d, 2**d))
    k = np.arange(2**d)
    for p in range(d):
        H[k, k ^ (1 << p)] = annealing.driver_strength(driver, d)
    return H


@dimod.testing.load_sampler_bqm_tests(SchrodingerSampler)
class TestOceanConventions(unittest.TestCase):
    def test_api(self):
        dimod.testing.assert_sampler_api(SchrodingerSampler())


@pytest.mark.parametrize("vartype", ["BINARY", "SPIN"])
@pytest.mark.parametrize("d", [0, 1, 2, 7])
def test_energies_are_dimods(d, vartype):
    bqm = random_bqm(d, vartype)
    bqm.relabel_variables({i: f"x{(3 * i) % 7}" for i in range(d)})
    samples = bits(np.arange(2**d), d).astype(int)
    samples = 2 * samples - 1 if vartype == "SPIN" else samples
    np.testing.assert_allclose(energies(bqm), bqm.energies((samples, list(bqm.variables))), atol=1e-12)


@pytest.mark.parametrize("driver", annealing.DRIVERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_state_is_qutips(driver, schedule):
    qutip = pytest.importorskip("qutip")
    d, tau = 5, 12.0
    E, path = energies(random_bqm(d, seed=2)), annealing.find_schedule(SCHEDULES[schedule])
    H = qutip.QobjEvo(
        [
            [qutip.Qobj(dense_driver(d, driver)), lambda t: float(path.A(t / tau))],
            [qutip.Qobj(np.diag(E)), lambda t: float(path.B(t / tau))],
        ]
    )
    options = {"atol": 1e-11, "rtol": 1e-10, "nsteps": 10**6, "max_step": tau / 50}
    start = qutip.Qobj(annealing.start_state(d, driver).astype(complex))
    middle, exact = (x.full().ravel() for x in qutip.sesolve(H, start, [0, 0.6 * tau, tau], options=options).states[1:])
    along = annealing.states(E, [0.0, 0.6, 1.0], tau, driver, path, tolerance=1e-8)
    np.testing.assert_allclose(along[1], middle, atol=1e-6)  # phase included
    levels, vectors = H(0.6 * tau).eigenstates()
    found, occupied = spectrum.occupations(E, along, [0.0, 0.6, 1.0], driver, path)
    np.testing.assert_allclose(found[1], levels, atol=1e-10)
    np.testing.assert_allclose(occupied[1], [abs(np.vdot(v.full(), middle)) ** 2 for v in vectors], atol=1e-6)
    result = anneal(E, tau, driver, path, tolerance=1e-8)
    assert abs(np.vdot(exact, result.state)) ** 2 == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(result.probabilities, abs(exact) ** 2, atol=1e-7)
    assert result.fidelity == pytest.approx(abs(exact[E.argmin()]) ** 2, abs=1e-7)
    assert result.energy == pytest.approx(abs(exact) ** 2 @ E, abs=1e-5)


@pytest.mark.parametrize("driver", annealing.DRIVERS)
def test_authors_left_point_steps_converge_to_ours(driver):
    d, tau = 3, 10.0
    E = energies(random_bqm(d, seed=1))
    ours = anneal(E, tau, driver, tolerance=1e-9).probabilities
    errors = []
    for dt in (0.02, 0.01):
        state = annealing.start_state(d, driver).astype(complex)
        s = (np.arange(round(tau / dt)) * dt / tau)[:, None, None]
        for step in scipy.linalg.expm(-1j * dt * ((1 - s) * dense_driver(d, driver) + s * np.diag(E))):
            state = step @ state
        errors.append(np.abs(abs(state) ** 2 - ours).max())
    assert errors[1] < 1e-6
    assert errors[0] / errors[1] == pytest.approx(
        4, rel=0.1
    )  # second order: H is diagonal in the states at both ends


def test_one_qubit_follows_landau_zener():
    """Through a crossing at constant rate the ground state is followed with 1 - exp(-2 pi g^2 / rate)."""
    span, tau = 100.0, 200.0
    sweep = tabulated([0, 1], [1, 1], [-1, 1])  # H = -sigma_x + B diag(0, -span): gap 2 g = 2 in the middle
    E = np.array([[0.0, -span]])
    first, last = (np.linalg.eigh([[0, -1], [-1, e]])[1][:, 0] for e in (span, -span))

    def kept(tau):
        re, im = first[None] * [1.0, 0.0], first[None] * [0.0, 1.0]  # i^(number of ones) psi
        annealing._evolve(re, im, E, *annealing.layers(tau, -1.0, sweep, 20000, 4))
        return abs(last * [1, -1j] @ (re[0] + 1j * im[0])) ** 2

    rate = 2 * span / tau
    assert kept(tau) == pytest.approx(1 - np.exp(-2 * np.pi / rate), abs=2e-3)
    lost = np.exp(-2 * np.pi / (20 * rate))
    assert kept(tau / 20) == pytest.approx(1 - lost, abs=5e-3)  # 27 % is lost


@pytest.mark.parametrize("d, size", [(0, ()), (1, ()), (4, (3,)), (14, ()), (17, ())])
def test_norm_is_conserved(d, size):
    E = np.random.default_rng(d).normal(size=(*size, 2**d))
    result = anneal(E, 5.0, "uniform", dt=0.5)
    assert result.state.shape == E.shape and result.fidelity.shape == size
    np.testing.assert_allclose(result.probabilities.sum(axis=-1), 1, atol=1e-10)
    np.testing.assert_allclose(abs(result.state) ** 2, result.probabilities, atol=1e-14)


def test_large_states_agree_with_small_ones():
    """Seventeen qubits, the last of them alone: H has no coupling to it."""
    E = energies(random_bqm(16, seed=4))
    small = anneal(E, 5.0, "uniform", dt=0.25)
    large = anneal(np.add.outer([0.0, -0.7], E).ravel(), 5.0, "uniform", dt=0.25)
    np.testing.assert_allclose(
        large.probabilities.reshape(2, -1).sum(axis=0), small.probabilities, atol=1e-13
    )


@pytest.mark.parametrize("driver", annealing.DRIVERS)
@pytest.mark.parametrize("tolerance", [1e-3, 1e-5, 1e-7])
def test_error_estimate_holds(driver, tolerance):
    E = np.stack([energies(random_bqm(6, seed=seed)) for seed in range(4)])
    exact, result = anneal(E, 30.0, driver, tolerance=1e-11), anneal(E, 30.0, driver, tolerance=tolerance)
    assert result.error <= tolerance
    assert np.abs(result.fidelity - exact.fidelity).max() <= result.error
    assert np.abs(result.probabilities - exact.probabilities).max() <= result.error


def test_fixed_step_and_slow_anneal():
    E = energies(random_bqm(5))
    assert anneal(E, 10.0, dt=0.1).steps == 100
    assert anneal(E, 1.0, dt=1.0).error > anneal(E, 1.0, dt=0.1).error
    assert anneal(E, 1000.0).fidelity > 0.99


def test_degenerate_ground_states_count_together():
    E = np.array([0.0, 1.0, 1.0, 0.0])
    result = anneal(E, 100.0)
    assert result.fidelity == pytest.approx(result.probabilities[[0, 3]].sum()) and result.fidelity > 0.9
    assert anneal(np.zeros(8), 10.0).fidelity == pytest.approx(1)


def test_populations_end_where_the_anneal_ends():
    E = energies(random_bqm(6))
    s = np.linspace(0, 1, 11)
    along = annealing.populations(E, s, 20.0)
    np.testing.assert_allclose(along[0], 2.0**-6)
    np.testing.assert_allclose(along[-1], anneal(E, 20.0).probabilities, atol=2e-6)
    np.testing.assert_allclose(along.sum(axis=1), 1, atol=1e-10)


def test_drawing_is_seeded_and_fair():
    probabilities = np.array([0.5, 0.0, 0.3, 0.2])
    drawn = draw(probabilities, 40000, seed=3)
    np.testing.assert_array_equal(drawn, draw(probabilities, 40000, seed=3))
    np.testing.assert_allclose(np.bincount(drawn) / 40000, probabilities, atol=0.01)
    np.testing.assert_array_equal(bits(np.array([1, 6]), 3), [[True, False, False], [False, True, True]])


@pytest.mark.parametrize("vartype", ["BINARY", "SPIN"])
def test_sampler_finds_the_ground_state(vartype):
    bqm = random_bqm(6, vartype)
    found = SchrodingerSampler().sample(bqm, seed=1, annealing_time=60.0)
    dimod.testing.assert_response_energies(found, bqm)
    assert len(found) == 36
    assert found.first.energy == pytest.approx(dimod.ExactSolver().sample(bqm).first.energy)
    assert found.info["ground_energy"] <= found.info["expected_energy"]
    again = SchrodingerSampler().sample(bqm, seed=1, annealing_time=60.0)
    np.testing.assert_array_equal(found.record.sample, again.record.sample)


@pytest.mark.parametrize("call, message", [
    (lambda: anneal([0.0, np.nan]), "NaN"),
    (lambda: anneal([0.0, 1.0, 2.0]), "2\\^d"),
    (lambda: anneal([]), "2\\^d"),
    (lambda: anneal([0.0, 1.0], 0.0), "annealing_time"),
    (lambda: anneal([0.0, 1.0], driver="x"), "unknown driver"),
    (lambda: anneal([0.0, 1.0], schedule="x"), "unknown schedule"),
    (lambda: anneal([0.0, 1.0], tolerance=0), "tolerance"),
    (lambda: anneal([0.0, 1.0], dt=-1), "dt"),
    (lambda: tabulated([0, 0.5], [1, 0], [0, 1]), "from 0 to 1"),
    (lambda: tabulated([0, 1], [1, np.nan], [0, 1]), "finite"),
    (lambda: tabulated([], [], []), "at least 2"),
    (lambda: anneal([0.0, 1.0], schedule=Schedule("late", lambda s: 1 - s, lambda s: s * np.nan)), "'late' gives NaN"),
    (lambda: locally_adiabatic([0, 1], [1, 0]), "gap > 0"),
    (lambda: annealing.populations([0.0, 1.0], [0.5, 0.2]), "rise"),
    (lambda: draw(np.array([0.5, np.nan]), 3), "probabilities"),
    (lambda: draw(np.array([0.5, np.inf]), 3), "infinite"),
    (lambda: draw(np.array([1.0]), -1), "num_reads"),
])  # fmt: skip
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_too_large_a_problem_is_refused_before_allocation():
    bqm = dimod.BinaryQuadraticModel({i: 1.0 for i in range(60)}, {}, 0.0, "BINARY")
    with pytest.raises(MemoryError, match="would fit"):
        energies(bqm)


@pytest.mark.parametrize("problems", [0, 1, 3])
def test_the_memory_asked_for_is_what_an_anneal_takes(monkeypatch, problems):
    asked, d = [], 15
    E = np.random.default_rng(0).normal(size=(problems, 2**d) if problems else 2**d)
    anneal(E, 2.0)  # compiled and imported
    monkeypatch.setattr(annealing, "require_memory", lambda d, numbers, what: asked.append(numbers))
    for call in (lambda: anneal(E, 2.0), lambda: annealing.states(E, [0.0, 0.5, 1.0], 2.0))[: 2 - (problems > 1)]:
        asked.clear()
        tracemalloc.start()
        call()
        peak = tracemalloc.get_traced_memory()[1] / (8 * 2**d)
        tracemalloc.stop()
        assert peak - 0.5 <= max(asked) <= peak + 1.5


def test_a_container_leaves_less_memory(tmp_path):
    membership, own = tmp_path / "membership", tmp_path / "groups" / "job" / "step"
    own.mkdir(parents=True)
    membership.write_text("1:cpu:/elsewhere\n0::/job/step\n")
    assert annealing._group_bytes(tmp_path / "groups", membership) == np.inf
    for group, limit in ((own, "max"), (own.parent, "1000")):
        (group / "memory.max").write_text(limit + "\n")
        (group / "memory.current").write_text("700\n")
        (group / "memory.stat").write_text("anon 500\ninactive_file 150\nactive_file 30\n")
    assert annealing._group_bytes(tmp_path / "groups", membership) == 1000 - 700 + 150 + 30
    assert annealing._group_bytes(tmp_path / "groups", tmp_path / "absent") == np.inf
