import math
import tracemalloc
import unittest

import dimod
import dimod.testing
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import torch

from qafs_utils.annealing import cpu, evolution, schedules, spectrum, splitting
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


DEVICES = [None, "cpu", "cuda"] if torch.cuda.is_available() else [None, "cpu"]


@pytest.fixture(autouse=True)
def one_thread():
    """Threads that wait for each other make small products slow on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


def host(numbers):
    """An array or a tensor of any device as an array."""
    return numbers.cpu().numpy() if isinstance(numbers, torch.Tensor) else numbers


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
def test_energies_are_dimods(d, vartype, device):
    bqm = random_bqm(d, vartype)
    bqm.relabel_variables({i: f"x{(3 * i) % 7}" for i in range(d)})
    samples = bits(np.arange(2**d), d).astype(int)
    samples = 2 * samples - 1 if vartype == "SPIN" else samples
    E = evolution.loops_on(device).energies(bqm)
    np.testing.assert_allclose(host(E), bqm.energies((samples, list(bqm.variables))), atol=1e-12)
    np.testing.assert_array_equal(host(E), energies(bqm))


@pytest.mark.parametrize("driver", schedules.DRIVERS)
@pytest.mark.parametrize("d", [0, 1, 2, 5, 8])
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_start_is_the_drivers_ground_state(d, driver, device, dtype):
    if device is None and dtype == "complex64":
        with pytest.raises(ValueError, match="unknown dtype 'complex64': choose from complex128"):
            anneal([0.0, 1.0], dtype=dtype)
        return
    begun = evolution.Evolution(np.zeros((3, 2**d)), 1.0, driver=driver, schedule="linear", device=device, dtype=dtype)
    re, im = begun.start()
    ones = bits(np.arange(2**d), d).sum(axis=1)
    psi = np.tile(evolution.start_state(d, driver), (3, 1))
    atol = 1e-7 if dtype == "complex64" else 1e-15
    np.testing.assert_allclose(host(re) + 1j * host(im), 1j**ones * psi, atol=atol)
    state = host(begun.state(re, im))
    assert state.dtype == dtype
    np.testing.assert_allclose(state, psi, atol=atol)


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
    along = evolution.states(E, [0.0, 0.6, 1.0], tau, driver=driver, schedule=path, tolerance=1e-8)
    np.testing.assert_allclose(along[1], middle, atol=1e-6)  # phase included
    levels, vectors = H(0.6 * tau).eigenstates()
    found, occupied = spectrum.occupations(E, along, [0.0, 0.6, 1.0], driver=driver, schedule=path)
    np.testing.assert_allclose(found[1], levels, atol=1e-10)
    np.testing.assert_allclose(occupied[1], [abs(np.vdot(v.full(), middle)) ** 2 for v in vectors], atol=1e-6)
    result = anneal(E, tau, driver=driver, schedule=path, tolerance=1e-8)
    assert abs(np.vdot(exact, result.state)) ** 2 == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(result.probabilities, abs(exact) ** 2, atol=1e-7)
    assert result.fidelity == pytest.approx(abs(exact[E.argmin()]) ** 2, abs=1e-7)
    assert result.energy == pytest.approx(abs(exact) ** 2 @ E, abs=1e-5)


@pytest.mark.parametrize("driver", schedules.DRIVERS)
def test_authors_left_point_steps_converge_to_ours(driver):
    d, tau = 3, 10.0
    E = energies(random_bqm(d, seed=1))
    ours = anneal(E, tau, driver=driver, tolerance=1e-9).probabilities
    errors = []
    for dt in (0.02, 0.01):
        state = evolution.start_state(d, driver).astype(complex)
        s = (np.arange(round(tau / dt)) * dt / tau)[:, None, None]
        for step in scipy.linalg.expm(-1j * dt * ((1 - s) * dense_driver(d, driver) + s * np.diag(E))):
            state = step @ state
        errors.append(np.abs(abs(state) ** 2 - ours).max())
    assert errors[1] < 1e-5  # it grows with the strength of the driver
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)  # second order: H is diagonal in the states at both ends


def test_one_qubit_follows_landau_zener():
    """Through a crossing at constant rate the ground state is followed with 1 - exp(-2 pi g^2 / rate)."""
    span, tau = 100.0, 200.0
    sweep = tabulated([0, 1], [1, 1], [-1, 1])  # H = -sigma_x + B diag(0, -span): gap 2 g = 2 in the middle
    E = np.array([[0.0, -span]])
    first, last = (np.linalg.eigh([[0, -1], [-1, e]])[1][:, 0] for e in (span, -span))

    def kept(tau):
        re, im = first[None] * [1.0, 0.0], first[None] * [0.0, 1.0]  # i^(number of ones) psi
        evolution.Evolution(E, tau, driver="uniform", schedule=sweep).advance(re, im, [(0.0, 1.0, 20000)], 4)
        return abs(last * [1, -1j] @ (re[0] + 1j * im[0])) ** 2

    rate = 2 * span / tau
    assert kept(tau) == pytest.approx(1 - np.exp(-2 * np.pi / rate), abs=2e-3)
    lost = np.exp(-2 * np.pi / (20 * rate))
    assert kept(tau / 20) == pytest.approx(1 - lost, abs=5e-3)  # 27 % is lost


@pytest.mark.parametrize("d, size", [(0, ()), (1, ()), (4, (3,)), (14, ()), (17, ())])
def test_norm_is_conserved(d, size, device):
    E = np.random.default_rng(d).normal(size=(*size, 2**d))
    result = anneal(E, 5.0, driver="uniform", dt=0.5, device=device)
    assert result.state.shape == E.shape and result.fidelity.shape == size
    np.testing.assert_allclose(host(result.probabilities).sum(axis=-1), 1, atol=1e-10)
    np.testing.assert_allclose(abs(host(result.state)) ** 2, host(result.probabilities), atol=1e-14)


@pytest.mark.parametrize("driver", schedules.DRIVERS)
@pytest.mark.parametrize("device", DEVICES[1:])
def test_anneals_on_a_device_are_those_of_the_compiled_loops(driver, device):
    E = np.stack([energies(random_bqm(7, seed=seed)) for seed in range(3)])
    ours, theirs = anneal(E, 20.0, driver=driver), anneal(E, 20.0, driver=driver, device=device)
    np.testing.assert_allclose(host(theirs.state), ours.state, atol=1e-12)
    np.testing.assert_allclose(theirs.fidelity, ours.fidelity, atol=1e-12)
    np.testing.assert_allclose(theirs.energy, ours.energy, atol=1e-12)
    assert theirs.steps == ours.steps and theirs.error == pytest.approx(ours.error, abs=1e-12)
    options = {"driver": driver, "tolerance": 1e-4, "device": device, "dtype": "complex64"}
    single = anneal(torch.as_tensor(E[0]), 20.0, **options)
    assert single.state.dtype == torch.complex64 and single.state.shape == (128,)
    assert abs(single.fidelity - ours.fidelity[0]) <= single.error + 1e-6 <= 1e-4


def test_large_states_agree_with_small_ones():
    """Seventeen qubits, the last of them alone: H has no coupling to it."""
    E = energies(random_bqm(16, seed=4))
    small = anneal(E, 5.0, driver="uniform", dt=0.25)
    large = anneal(np.add.outer([0.0, -0.7], E).ravel(), 5.0, driver="uniform", dt=0.25)
    np.testing.assert_allclose(large.probabilities.reshape(2, -1).sum(axis=0), small.probabilities, atol=1e-13)


@pytest.mark.parametrize("driver", schedules.DRIVERS)
@pytest.mark.parametrize("tolerance", [1e-3, 1e-5, 1e-7])
def test_error_estimate_holds(driver, tolerance):
    E = np.stack([energies(random_bqm(6, seed=seed)) for seed in range(4)])
    exact, result = (anneal(E, 30.0, driver=driver, tolerance=x) for x in (1e-11, tolerance))
    assert result.error <= tolerance
    assert np.abs(result.fidelity - exact.fidelity).max() <= result.error
    assert np.abs(result.probabilities - exact.probabilities).max() <= result.error


@pytest.mark.parametrize("given", ["one", "a batch"])
def test_an_anneal_from_a_given_start_is_scipys(given, device):
    d, tau, rng = 4, 6.0, np.random.default_rng(3)
    E = np.stack([energies(random_bqm(d, seed=seed)) for seed in range(2)])
    start = rng.normal(size=(2, 2**d)) + 1j * rng.normal(size=(2, 2**d))
    start /= np.linalg.norm(start, axis=1, keepdims=True)
    start[1] = start[1] if given == "a batch" else start[0]
    H = dense_driver(d, "scaled")
    result = anneal(E, tau, start=start if given == "a batch" else start[0], tolerance=1e-7, device=device)
    for psi, levels, found, state in zip(start, E, host(result.probabilities), host(result.state)):

        def slope(t, psi, levels=levels):
            return -1j * ((1 - t / tau) * (H @ psi) + t / tau * levels * psi)

        exact = scipy.integrate.solve_ivp(slope, (0, tau), psi, "DOP853", rtol=1e-10, atol=1e-12).y[:, -1]
        np.testing.assert_allclose(found, abs(exact) ** 2, atol=1e-7)
        np.testing.assert_allclose(state, exact, atol=1e-5)


@pytest.mark.parametrize("start", [np.ones(4), np.ones(2) / np.sqrt(2), np.eye(4), [np.nan] * 4])
def test_a_start_that_is_no_state_is_refused(start):
    with pytest.raises(ValueError, match="start must be normalised"):
        anneal([0.0, 1.0, 2.0, 3.0], start=start)


def test_extrapolation_removes_even_orders():
    """Runs whose error is 3 / n^2 - 7 / n^4 give their limit by three."""
    runs = {n: np.array([0.25 + 3 / n**2 - 7 / n**4]) for n in (3, 4, 6)}
    first = evolution._extrapolate(runs[3].copy(), runs[4], 4 / 3)
    second = evolution._extrapolate(runs[4].copy(), runs[6], 6 / 4)
    assert abs(second - 0.25) > 1e-3
    assert evolution._extrapolate(first, second, 6 / 3) == pytest.approx(0.25, abs=1e-14)


def test_phases_are_exact_at_any_size():
    """Two qubits have no register; energies from none to a million turns."""
    from qafs_utils.annealing.cpu_rotations import evolve

    rng = np.random.default_rng(0)
    for size in (4, 8, 256):
        E = rng.normal(size=(1, size)) * np.logspace(-9, 6, size)
        re, im = np.ones((1, size)), np.zeros((1, size))
        evolve(re, im, E, np.array([1.0]), np.empty(0))
        exact = [complex(math.cos(e), -math.sin(e)) for e in E[0]]
        np.testing.assert_allclose((re + 1j * im)[0], exact, atol=4e-16 * (1 + abs(E).max()) + 1e-15)
        small = abs(E[0]) < 20
        np.testing.assert_allclose((re + 1j * im)[0][small], np.array(exact)[small], atol=1e-14)


def test_fixed_step_and_slow_anneal():
    E = energies(random_bqm(5))
    assert anneal(E, 10.0, dt=0.1).steps == 100
    assert anneal(E, 1.0, dt=1.0).error > anneal(E, 1.0, dt=0.1).error
    assert anneal(E, 1000.0).fidelity > 0.99


def test_degenerate_ground_states_count_together(device):
    E = np.array([0.0, 1.0, 1.0, 0.0])
    result = anneal(E, 100.0, device=device)
    assert result.fidelity == pytest.approx(float(result.probabilities[[0, 3]].sum())) and result.fidelity > 0.9
    assert anneal(np.zeros(8), 10.0, device=device).fidelity == pytest.approx(1)


def test_populations_end_where_the_anneal_ends():
    E = energies(random_bqm(6))
    s = np.linspace(0, 1, 11)
    along = evolution.populations(E, s, 20.0)
    np.testing.assert_allclose(along[0], 2.0**-6)
    np.testing.assert_allclose(along[-1], anneal(E, 20.0).probabilities, atol=2e-6)
    np.testing.assert_allclose(along.sum(axis=1), 1, atol=1e-10)


def test_drawing_is_seeded_and_fair(device):
    probabilities = [0.5, 0.0, 0.3, 0.2]
    drawn = draw(probabilities, 40000, seed=3, device=device)
    np.testing.assert_array_equal(drawn, draw(probabilities, 40000, seed=3))  # on all devices alike
    assert (drawn != draw(probabilities, 40000, seed=4, device=device)).any()
    np.testing.assert_allclose(np.bincount(drawn) / 40000, probabilities, atol=0.01)
    assert len(draw(probabilities, 0, device=device)) == 0 and len(draw(probabilities, 5, device=device)) == 5


@pytest.mark.parametrize("vartype", ["BINARY", "SPIN"])
def test_sampler_finds_the_ground_state(vartype, device):
    bqm = random_bqm(6, vartype)
    samples = SchrodingerSampler().sample(bqm, seed=1, annealing_time=60.0, device=device)
    dimod.testing.assert_response_energies(samples, bqm)
    assert len(samples) == 36
    assert samples.first.energy == pytest.approx(dimod.ExactSolver().sample(bqm).first.energy)
    assert samples.info["ground_energy"] <= samples.info["expected_energy"]
    again = SchrodingerSampler().sample(bqm, seed=1, annealing_time=60.0)
    np.testing.assert_array_equal(samples.record.sample, again.record.sample)


DEVICE_MESSAGES = [
    (lambda device: anneal([0.0, np.nan], device=device), "NaN"),
    (lambda device: anneal([0.0, 1.0, 2.0], device=device), "2\\^d"),
    (lambda device: anneal([], device=device), "2\\^d"),
    (lambda device: anneal([0.0, 1.0], 0.0, device=device), "annealing_time"),
    (lambda device: anneal([0.0, 1.0], tolerance=0, device=device), "tolerance"),
    (lambda device: anneal([0.0, 1.0], tolerance=1e-14, device=device), "must be at least 1e-13, the rounding error"),
    (lambda device: anneal("energies", device=device), "energies must be"),
    (lambda device: anneal([0.0, 1.0], dtype="float64", device=device), "unknown dtype 'float64'"),
    (lambda device: draw([0.5, np.nan], 3, device=device), "probabilities"),
    (lambda device: draw([0.5, np.inf], 3, device=device), "infinite"),
    (lambda device: draw([0.5, -0.1], 3, device=device), "probabilities"),
    (lambda device: draw([0.0, 0.0], 3, device=device), "probabilities must not be all zero"),
    (lambda device: draw([1.0], -1, device=device), "num_reads"),
    (lambda device: draw([1.0], 1, seed=-1, device=device), "seed must be"),
    (
        lambda device: draw([[0.5, 0.5]], 1, device=device),
        r"probabilities must be \(2\^d,\) numbers, got shape \(1, 2\)",
    ),
    (lambda device: draw([], 1, device=device), "probabilities"),
    (lambda device: spectrum.minimum_gap([0.0, np.inf], device=device), "infinite"),
    (lambda device: spectrum.minimum_gap([[0.0, 1.0]], device=device), "one problem"),
]


@pytest.mark.parametrize("call, message", DEVICE_MESSAGES)
def test_bad_input_is_named_on_every_device(call, message, device):
    with pytest.raises(ValueError, match=message):
        call(device)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: anneal([0.0, 1.0], driver="x"), "unknown driver"),
        (lambda: anneal([0.0, 1.0], schedule="x"), "unknown schedule"),
        (lambda: anneal([0.0, 1.0], dt=-1), "dt"),
        (lambda: tabulated([0, 0.5], [1, 0], [0, 1]), "from 0 to 1"),
        (lambda: tabulated([0, 1], [1, np.nan], [0, 1]), "finite"),
        (lambda: tabulated([], [], []), "at least 2"),
        (
            lambda: anneal([0.0, 1.0], schedule=Schedule("late", lambda s: 1 - s, lambda s: s * np.nan)),
            "'late' gives NaN",
        ),
        (lambda: locally_adiabatic([0, 1], [1, 0]), "gap > 0"),
        (lambda: evolution.populations([0.0, 1.0], [0.5, 0.2]), "rise"),
        (lambda: draw([1.0], "many"), "num_reads must be a whole number"),
        (lambda: bits([-1], 3), "indices must be whole numbers from 0 to 7"),
        (lambda: bits([8], 3), "indices must be whole numbers from 0 to 7"),
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
        (
            lambda: anneal([0.0, 1.0], schedule=Schedule("x", lambda s: 1 - s, math.exp)),
            "B cannot be taken of an array",
        ),
        (lambda: anneal([0.0, 1.0], schedule=Schedule("x", lambda s: 1 if s < 0.5 else 0, abs)), "A cannot be taken"),
        (lambda: energies({"a": 1.0}), "must be a dimod.BinaryQuadraticModel, got dict"),
        (lambda: energies(dimod.ConstrainedQuadraticModel()), "got ConstrainedQuadraticModel"),
        (
            lambda: energies(dimod.BinaryQuadraticModel({0: np.nan}, {}, 0.0, "BINARY")),
            "biases must be finite, got NaN",
        ),
        (lambda: energies(dimod.BinaryQuadraticModel({0: 1.0}, {}, np.inf, "SPIN")), "biases must be finite, got NaN"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_too_large_a_problem_is_refused_before_allocation(device):
    bqm = dimod.BinaryQuadraticModel({i: 1.0 for i in range(60)}, {}, 0.0, "BINARY")
    with pytest.raises(MemoryError, match="the energies of d = 60 .* would fit"):
        SchrodingerSampler().sample(bqm, device=device)


@pytest.mark.parametrize("problems", [0, 1, 3])
def test_the_memory_asked_for_is_what_an_anneal_takes(monkeypatch, problems):
    asked, d = [], 15
    E = np.random.default_rng(0).normal(size=(problems, 2**d) if problems else 2**d)
    anneal(E, 2.0)  # compiled and imported
    monkeypatch.setattr(cpu.Loops, "require_memory", lambda self, d, numbers, what: asked.append(numbers))
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


def test_a_generator_is_read_once():
    E = [0.0, -1.0, 2.0, 3.0]
    assert anneal(x for x in E).probabilities.shape == (4,)
    np.testing.assert_array_equal(evolution.states((x for x in E), [0.5, 1.0]), evolution.states(E, [0.5, 1.0]))


def test_equal_energies_are_equal_at_any_scale(device):
    for scale in (1e-10, 1.0, 1e8):
        E = scale * np.array([0.1 + 0.2, 0.3, 1.0, 1.0])
        assert anneal(E, 1e-9 / scale, device=device).fidelity == pytest.approx(0.5, abs=1e-6)
    assert anneal([0.0, -1e-10], 1.0, device=device).fidelity == pytest.approx(0.5, abs=1e-6)
