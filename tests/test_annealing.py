import math
import tracemalloc
import unittest

import dimod
import dimod.testing
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg

from qafs_utils.annealing import evolution, schedules, spectrum, splitting
from qafs_utils.annealing.evolution import anneal, draw
from qafs_utils.annealing.sampler import SchrodingerSampler
from qafs_utils.annealing.schedules import Schedule, locally_adiabatic, tabulated
from qafs_utils.qubo import memory
from qafs_utils.qubo.binary import bits, energies

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
        H[k, k ^ (1 << p)] = schedules.driver_strength(driver, d)
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


@pytest.mark.parametrize("driver", schedules.DRIVERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_state_is_qutips(driver, schedule):
    qutip = pytest.importorskip("qutip")
    d, tau = 5, 12.0
    E, path = energies(random_bqm(d, seed=2)), schedules.find_schedule(SCHEDULES[schedule])
    H = qutip.QobjEvo(
        [
            [qutip.Qobj(dense_driver(d, driver)), lambda t: float(path.A(t / tau))],
            [qutip.Qobj(np.diag(E)), lambda t: float(path.B(t / tau))],
        ]
    )
    options = {"atol": 1e-11, "rtol": 1e-10, "nsteps": 10**6, "max_step": tau / 50}
    start = qutip.Qobj(evolution.start_state(d, driver).astype(complex))
    middle, exact = (x.full().ravel() for x in qutip.sesolve(H, start, [0, 0.6 * tau, tau], options=options).states[1:])
    along = evolution.states(E, [0.0, 0.6, 1.0], tau, driver, path, tolerance=1e-8)
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


@pytest.mark.parametrize("driver", schedules.DRIVERS)
def test_authors_left_point_steps_converge_to_ours(driver):
    d, tau = 3, 10.0
    E = energies(random_bqm(d, seed=1))
    ours = anneal(E, tau, driver, tolerance=1e-9).probabilities
    errors = []
    for dt in (0.02, 0.01):
        state = evolution.start_state(d, driver).astype(complex)
        s = (np.arange(round(tau / dt)) * dt / tau)[:, None, None]
        for step in scipy.linalg.expm(-1j * dt * ((1 - s) * dense_driver(d, driver) + s * np.diag(E))):
            state = step @ state
        errors.append(np.abs(abs(state) ** 2 - ours).max())
    assert errors[1] < 1e-6
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)  # second order: H is diagonal in the states at both ends


def test_one_qubit_follows_landau_zener():
    """Through a crossing at constant rate the ground state is followed with 1 - exp(-2 pi g^2 / rate)."""
    span, tau = 100.0, 200.0
    sweep = tabulated([0, 1], [1, 1], [-1, 1])  # H = -sigma_x + B diag(0, -span): gap 2 g = 2 in the middle
    E = np.array([[0.0, -span]])
    first, last = (np.linalg.eigh([[0, -1], [-1, e]])[1][:, 0] for e in (span, -span))

    def kept(tau):
        re, im = first[None] * [1.0, 0.0], first[None] * [0.0, 1.0]  # i^(number of ones) psi
        evolution._evolve(re, im, E, *splitting.layers(tau, -1.0, sweep, 20000, 4))
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
    np.testing.assert_allclose(large.probabilities.reshape(2, -1).sum(axis=0), small.probabilities, atol=1e-13)


@pytest.mark.parametrize("driver", schedules.DRIVERS)
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
    along = evolution.populations(E, s, 20.0)
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
    (lambda: evolution.populations([0.0, 1.0], [0.5, 0.2]), "rise"),
    (lambda: draw(np.array([0.5, np.nan]), 3), "probabilities"),
    (lambda: draw(np.array([0.5, np.inf]), 3), "infinite"),
    (lambda: draw(np.array([1.0]), -1), "num_reads"),
    (lambda: draw([[0.5, 0.5]], 1), r"probabilities must be \(2\^d,\) numbers, got shape \(1, 2\)"),
    (lambda: draw([], 1), "probabilities"),
    (lambda: draw([1.0], 1, seed=-1), "seed must be"),
    (lambda: draw([1.0], "many"), "num_reads must be a whole number"),
    (lambda: bits([-1], 3), "indices must be whole numbers from 0 to 7"),
    (lambda: bits([8], 3), "indices must be whole numbers from 0 to 7"),
    (lambda: anneal("energies"), "energies must be"),
    (lambda: anneal([[0.0, 1.0], [0.0]]), "energies must be"),
    (lambda: anneal([0.0, 1.0], "long"), "annealing_time must be a number"),
    (lambda: anneal([0.0, 1.0], tolerance=None), "tolerance must be a number"),
    (lambda: anneal([0.0, 1.0], dt="0.1"), "dt must be a number"),
    (lambda: anneal([0.0, 1.0], driver=None), "unknown driver None"),
    (lambda: anneal([0.0, 1.0], schedule=["linear"]), "unknown schedule"),
    (lambda: evolution.states([[0.0, 1.0], [1.0, 0.0]], [0.0, 1.0]), "one problem"),
    (lambda: evolution.states([0.0, 1.0], "s"), "s must be"),
    (lambda: locally_adiabatic([0, 0.4, 1], [1, 0.1]), r"gap must be \(n,\) = \(3,\) numbers"),
    (lambda: locally_adiabatic([0.1, 1], [1, 1]), "x must rise from 0 to 1"),
    (lambda: locally_adiabatic([0, 1], [1, 1], power="2"), "power must be a finite number"),
    (lambda: tabulated([0, 1], [1, 0, 0], [0, 1]), r"A must be \(n,\) = \(2,\) numbers"),
    (lambda: Schedule("x", 1.0, lambda s: s), "A must be a function"),
    (lambda: Schedule("x", lambda s: 1 - s, lambda s: s * (1 - s), (0, 1)), "B turns between the knots 0 and 1"),
    (lambda: Schedule("x", lambda s: 1 - s, lambda s: s, (0, 0.5)), "knots must rise from 0 to 1"),
    (lambda: anneal([0.0, 1.0], schedule=Schedule("x", lambda s: 1 - s, lambda s: [s, s])), "B must give a number"),
    (lambda: anneal([0.0, 1.0], schedule=Schedule("x", lambda s: 1 - s, math.exp)), "B cannot be taken of an array"),
    (lambda: anneal([0.0, 1.0], schedule=Schedule("x", lambda s: 1 if s < 0.5 else 0, abs)), "A cannot be taken"),
    (lambda: energies({"a": 1.0}), "must be a dimod.BinaryQuadraticModel, got dict"),
    (lambda: energies(dimod.ConstrainedQuadraticModel()), "got ConstrainedQuadraticModel"),
    (lambda: energies(dimod.BinaryQuadraticModel({0: np.nan}, {}, 0.0, "BINARY")), "biases must be finite, got NaN"),
    (lambda: energies(dimod.BinaryQuadraticModel({0: 1.0}, {}, np.inf, "SPIN")), "biases must be finite, got NaN"),
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
    monkeypatch.setattr(evolution, "require_memory", lambda d, numbers, what: asked.append(numbers))
    for call in (lambda: anneal(E, 2.0), lambda: evolution.states(E, [0.0, 0.5, 1.0], 2.0))[: 2 - (problems > 1)]:
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
    assert memory._group_bytes(tmp_path / "groups", membership) == np.inf
    for group, limit in ((own, "max"), (own.parent, "1000")):
        (group / "memory.max").write_text(limit + "\n")
        (group / "memory.current").write_text("700\n")
        (group / "memory.stat").write_text("anon 500\ninactive_file 150\nactive_file 30\n")
    assert memory._group_bytes(tmp_path / "groups", membership) == 1000 - 700 + 150 + 30
    assert memory._group_bytes(tmp_path / "groups", tmp_path / "absent") == np.inf


WIDTHS = (1e-2, 1e-3, 1e-4)


def spiked(centre, width, table):
    """The linear schedule whose problem is for a moment a hundred times as strong."""

    def B(s):
        return s + 100 * np.exp(-(((np.asarray(s) - centre) / width) ** 2))

    s = np.union1d(np.linspace(0, 1, 41), (centre + width * np.linspace(-4, 4, 161)).clip(0, 1))
    return tabulated(s, 1 - s, B(s)) if table else Schedule("spiked", lambda s: 1 - s, B)


def two_states(E, tau, schedule, driver, places):
    """Probabilities of one qubit, from exact steps between these places of s, at weights of their middles."""
    g, middle = schedules.driver_strength(driver, 1), (places[1:] + places[:-1]) / 2
    x, z = schedule.A(middle) * g, schedule.B(middle) * (E[0] - E[1]) / 2
    turn = np.hypot(x, z) * tau * np.diff(places)
    over = np.divide(np.sin(turn), np.hypot(x, z))
    state = evolution.start_state(1, driver).astype(complex)
    for c, a, b in zip(np.cos(turn), -1j * over * x, -1j * over * z):
        state = np.array([(c + b) * state[0] + a * state[1], a * state[0] + (c - b) * state[1]])
    return abs(state) ** 2


@pytest.mark.parametrize("table", [False, True], ids=["function", "table"])
@pytest.mark.parametrize("width", WIDTHS)
def test_no_feature_of_a_schedule_falls_between_the_steps(width, table):
    E, tau, schedule = [0.0, -1.0], 10.0, spiked(0.437, width, table)
    near = 0.437 + width * np.linspace(-6, 6, 12001)
    places = np.union1d(np.linspace(0, 1, 40001), near[(near > 0) & (near < 1)])
    exact = two_states(E, tau, schedule, "uniform", places)
    plain = two_states(E, tau, schedules.find_schedule("linear"), "uniform", places)
    result = anneal(E, tau, "uniform", schedule, tolerance=1e-5)
    assert abs(exact - plain).max() > 10 * width  # it matters
    assert abs(result.probabilities - exact).max() <= max(result.error, 1e-6) and result.error <= 1e-5
    coarse = anneal(E, tau, "uniform", schedule, dt=0.5)  # its two runs both miss the narrow ones
    assert abs(coarse.probabilities - exact).max() <= max(coarse.error, 1e-6)


@pytest.mark.parametrize("seed, power", [(0, 1.0), (1, 2.0)])
def test_a_locally_adiabatic_schedule_is_followed_where_it_is_fast(seed, power):
    """A small gap leaves it a millionth of the anneal for the rest."""
    E, x, tau = np.random.default_rng(seed).normal(size=2**6) * 0.3, np.linspace(0, 1, 33), 20.0
    levels = spectrum.level_curves(E, x)
    schedule = locally_adiabatic(x, levels[:, 1] - levels[:, 0], power)
    H = dense_driver(6, "scaled")

    def slope(t, psi):
        s = t / tau
        return -1j * (schedule.A(s) * (H @ psi) + schedule.B(s) * E * psi)

    psi = evolution.start_state(6).astype(complex)
    for first, last in zip(schedule.knots, schedule.knots[1:]):
        solved = scipy.integrate.solve_ivp(slope, (first * tau, last * tau), psi, "DOP853", rtol=1e-9, atol=1e-11)
        psi = solved.y[:, -1]
    result = anneal(E, tau, schedule=schedule, tolerance=1e-5)
    assert abs(result.probabilities - abs(psi) ** 2).max() <= max(result.error, 1e-7) <= 1e-5


def test_a_jump_is_met_on_both_sides():
    E, tau = [0.0, -1.0], 10.0
    jump = Schedule("jump", lambda s: np.where(np.asarray(s) < 0.3, 1.0, 0.2), lambda s: 0.5)
    places = np.concatenate([np.linspace(0, 0.3, 20001), np.linspace(0.3, 1, 20001)[1:]])
    exact = two_states(E, tau, Schedule("same", jump.A, lambda s: 0.5 + 0 * s), "scaled", places)
    result = anneal(E, tau, "scaled", jump, tolerance=1e-4)
    assert abs(result.probabilities - exact).max() <= 1e-4


def test_a_hole_in_a_schedule_is_named():
    holed = Schedule("holed", lambda s: 1 - s, lambda s: np.where(abs(np.asarray(s) - 0.51234) < 1e-4, np.nan, s))
    with pytest.raises(ValueError, match="'holed' gives NaN or infinite weights: B at s = 0.512"):
        anneal([0.0, 1.0], schedule=holed)


def test_long_anneals_are_made_in_parts(monkeypatch):
    E = energies(random_bqm(3))
    whole, along = anneal(E, 20.0, dt=0.1), evolution.populations(E, [0.3, 1.0], 20.0)
    monkeypatch.setattr(splitting, "_STEPS", 7)
    np.testing.assert_allclose(anneal(E, 20.0, dt=0.1).state, whole.state, atol=1e-12)
    np.testing.assert_allclose(evolution.populations(E, [0.3, 1.0], 20.0), along, atol=1e-12)


def test_the_angles_of_many_steps_take_little_memory():
    E = np.array([0.0, 1e3, 0.5e3, 0.2e3])
    anneal(E / 1e3)
    tracemalloc.start()
    steps = anneal(E, 100.0).steps
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert steps > 4 * splitting._STEPS and peak < 10 * 7 * 8 * splitting._STEPS


@pytest.mark.parametrize("scale", [1e6, 1e10, 1e160, 1e300])
def test_a_hopeless_anneal_says_so_at_once(scale):
    E = scale * np.array([0.0, 1.0, 0.5, 0.2])
    for call in (lambda: anneal(E), lambda: anneal(E, dt=1e-7), lambda: evolution.states(E, [0.0, 1.0])):
        with pytest.raises(ValueError, match="steps.*Scale the model"):
            call()


def test_what_a_user_would_pass_works():
    E = [0, -1, 2, 3]
    for given in (tuple(E), np.array(E, np.int8), np.array(E, np.float16)):
        assert anneal(given).fidelity == anneal(E).fidelity
    assert bits(range(4), 2).shape == (4, 2) and bits(np.array([2**62]), 63)[0, 62]
    constant = Schedule("constant", lambda s: 1.0, lambda s: 0.5)
    assert anneal(E, 1.0, schedule=constant).probabilities.sum() == pytest.approx(1)
    polynomial = Schedule("polynomial", np.poly1d([-1, 1]), np.poly1d([1, 0]))
    assert anneal(E, schedule=polynomial).fidelity == pytest.approx(anneal(E).fidelity, abs=1e-12)


def cosine(s):
    return np.cos(np.pi * np.asarray(s) / 2)


def bumped(height, width):
    s = np.array([0, 0.4371 - width, 0.4371 - width / 2, 0.4371, 0.4371 + width / 2, 0.4371 + width, 1])
    return tabulated(s, 1 - s + height * (s == 0.4371), s)


STEEP = tabulated([0, 0.05, 0.43709, 0.4371, 0.43711, 1], [1000, 0, 0, 0.9, 0, 0], [0, 0, 0.5, 0.5, 0.5, 1])
CLAIMS = {
    "quadratic, few steps": ([0, 0, 0, 77.9], 8.575, "quadratic", {"tolerance": 1e-2}),
    "quadratic, dt": ([0, 0, 0, 77.9], 8.575, "quadratic", {"dt": 0.54}),
    "quadratic, fast": ([0, 0, 0, 77.9], 1.0, "quadratic", {}),
    "cosine": ([-0.66775, -5.62396], 48.4878, Schedule("cosine", cosine, lambda s: np.sin(np.pi * s / 2)),
               {"tolerance": 0.0185}),
    "a small bump": ([0, 0.2, -0.5, 0.1], 20.0, bumped(9e-4, 1e-4), {"tolerance": 1e-9}),
    "a narrow bump": ([0, 0.2, -0.5, 0.1], 50.0, bumped(0.9, 1e-5), {}),
    "beside a large weight": ([0, 0.2, -0.5, 0.1], 50.0, STEEP, {}),
}  # fmt: skip


@pytest.mark.parametrize("E, tau, schedule, options", CLAIMS.values(), ids=CLAIMS)
def test_the_claimed_error_is_true(E, tau, schedule, options):
    E, path = np.array(E, float), schedules.find_schedule(schedule)
    d = len(E).bit_length() - 1
    H = dense_driver(d, "scaled")

    def slope(t, psi):
        return -1j * (path.A(t / tau) * (H @ psi) + path.B(t / tau) * E * psi)

    psi, knots = evolution.start_state(d).astype(complex), path.knots or (0, 1)
    for first, last in zip(knots, knots[1:]):
        ends = {"t_span": (first * tau, last * tau), "max_step": (last - first) * tau / 4}
        psi = scipy.integrate.solve_ivp(slope, y0=psi, method="DOP853", rtol=1e-11, atol=1e-13, **ends).y[:, -1]
    result = anneal(E, tau, "scaled", schedule, **options)
    true = abs(result.probabilities - abs(psi) ** 2).max()
    assert true <= 1.1 * result.error + 1e-10
    assert "dt" in options or result.error <= options.get("tolerance", 1e-6)


def test_a_generator_is_read_once():
    E = [0.0, -1.0, 2.0, 3.0]
    assert anneal(x for x in E).probabilities.shape == (4,)
    np.testing.assert_array_equal(evolution.states((x for x in E), [0.5, 1.0]), evolution.states(E, [0.5, 1.0]))


def test_a_schedule_that_writes_into_its_argument_is_read_right():
    def falling(s):
        return np.subtract(1, s, out=s) if np.ndim(s) else 1 - s

    E, greedy = [0.0, 0.4, 1.0, 0.7], Schedule("greedy", falling, lambda s: s**2, (0, 1))
    plain = Schedule("plain", lambda s: 1 - s, lambda s: s**2, (0, 1))
    assert spectrum.minimum_gap(E, schedule=greedy) == spectrum.minimum_gap(E, schedule=plain)
    assert anneal(E, schedule=greedy).fidelity == anneal(E, schedule=plain).fidelity


def test_equal_energies_are_equal_at_any_scale():
    for scale in (1e-10, 1.0, 1e8):
        E = scale * np.array([0.1 + 0.2, 0.3, 1.0, 1.0])
        assert anneal(E, 1e-9 / scale).fidelity == pytest.approx(0.5, abs=1e-6)
    assert anneal([0.0, -1e-10], 1.0).fidelity == pytest.approx(0.5, abs=1e-6)
