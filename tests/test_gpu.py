"""The loops in PyTorch against matrices; what is asked of every device alike is in test_annealing and test_spectrum."""

import numpy as np
import pytest
import scipy.linalg
import torch
from test_annealing import host, one_thread  # noqa: F401

from qafs_utils.annealing import gpu
from qafs_utils.annealing.evolution import Evolution, draw, start_state
from qafs_utils.annealing.gpu import Loops, find_device

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-12}


@pytest.fixture(params=["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"])
def device(request):
    return request.param


@pytest.fixture(params=[torch.float32, torch.float64], ids=str)
def dtype(request):
    return request.param


def sum_of_flips(d):
    """sum_p X_p as a dense matrix."""
    X, k = np.zeros((2**d, 2**d)), np.arange(2**d)
    for p in range(d):
        X[k, k ^ (1 << p)] = 1
    return X


def evolved(E, psi, phases, angles):
    """Phases and rotations of the usual frame, one qubit at a time: E (B, 2^d), psi (B, 2^d)  ->  (B, 2^d)."""
    for j, angle in enumerate(angles):
        psi = np.exp(-1j * phases[j] * E) * psi
        for p in range(E.shape[1].bit_length() - 1):
            pairs = psi.reshape(len(E), -1, 2, 2**p)
            psi = (np.cos(angle) * pairs - 1j * np.sin(angle) * pairs[:, :, ::-1]).reshape(E.shape)
    return np.exp(-1j * phases[-1] * E) * psi


def run(E, phases, angles, dtype, device, driver="uniform"):
    """The evolution from the driver's ground state  ->  psi (B, 2^d) NumPy."""
    name = "complex64" if dtype == torch.float32 else "complex128"
    evolution = Evolution(E, 1.0, driver=driver, schedule="linear", device=device, dtype=name)
    re, im = evolution.start()
    evolution.loops.evolve(re, im, evolution.batch, phases, angles)
    return host(evolution.state(re, im))


@pytest.mark.parametrize("d", range(6))
def test_evolution_is_that_of_the_matrices(d, dtype, device):
    rng = np.random.default_rng(d)
    E, phases, angles = rng.normal(size=2**d), rng.normal(size=4), rng.normal(size=3)
    psi = start_state(d, "scaled").astype(complex)
    for phase, angle in zip(phases, angles):
        psi = scipy.linalg.expm(-1j * angle * sum_of_flips(d)) @ scipy.linalg.expm(-1j * phase * np.diag(E)) @ psi
    psi = np.exp(-1j * phases[-1] * E) * psi
    found = run(E, phases, angles, dtype, device, driver="scaled")
    np.testing.assert_allclose(found[0], psi, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("d, batch", [(1, 1), (3, 5), (6, 2), (7, 3), (9, 4), (13, 2)])
def test_evolution_is_that_of_butterflies(d, batch, dtype, device, monkeypatch):
    monkeypatch.setitem(gpu._CHUNK, device, 100)  # many chunks, the last one shorter
    rng = np.random.default_rng(d)
    E, phases, angles = rng.normal(size=(batch, 2**d)), rng.normal(size=71), rng.normal(size=70)
    phases[3], angles[4] = 0, np.pi / 2
    expected = evolved(E, np.full((batch, 2**d), 2 ** (-d / 2), dtype=complex), phases, angles)
    np.testing.assert_allclose(run(E, phases, angles, dtype, device), expected, atol=TOLERANCE[dtype])


def test_large_phases_stay_exact_in_float32(device):
    rng = np.random.default_rng(0)
    E, phases, angles = rng.normal(size=(1, 256)), np.array([1e5, -2e5]), np.array([0.3])
    psi = evolved(E, np.full((1, 256), 2.0**-4, dtype=complex), phases, angles)
    np.testing.assert_allclose(run(E, phases, angles, torch.float32, device), psi, atol=1e-6)


def test_drawing_from_spikes_and_a_floor(device, dtype):
    """Half on three strings of which two share a block, half on two million, and none where the weight is zero."""
    probabilities = torch.full((2**22,), 2.0**-22, dtype=dtype, device=device)
    probabilities[::2] = 0
    spikes = torch.tensor([5, 1023, 2**22 - 1])
    probabilities[spikes] = torch.tensor([0.25, 0.125, 0.125], dtype=dtype, device=device)
    drawn = torch.as_tensor(draw(probabilities, 20000, seed=0, device=device))
    np.testing.assert_allclose((drawn == spikes[:, None]).double().mean(axis=1), [0.25, 0.125, 0.125], atol=0.015)
    floor = drawn[(drawn != spikes[:, None]).all(axis=0)]
    assert (drawn % 2 == 1).all()
    np.testing.assert_allclose(np.histogram(floor, 8, (0, 2**22))[0] / len(floor), 1 / 8, atol=0.015)


def test_strings_without_weight_are_never_drawn():
    """Not even when a point falls on an end of their interval, or on the total by rounding."""
    cumulative, points = torch.tensor([0, 0.5, 0.5, 1, 1]).double(), torch.tensor([0, 0.5, 0.9, 1]).double()
    assert gpu._search(cumulative, points).tolist() == [1, 3, 3, 3]


def product(tensor):
    out = torch.full_like(tensor, np.nan)
    Loops.hamiltonian(tensor, tensor, 0.5, out)
    return out


@pytest.mark.parametrize("d", [0, 1, 2, 3, 10, 13, 16])
def test_hamiltonian_is_diagonal_and_flips(d, dtype, device):
    x, k = np.random.default_rng(0).normal(size=2**d), np.arange(2**d)
    expected = x**2 + 0.5 * sum((x[k ^ (1 << p)] for p in range(d)), np.zeros(2**d))
    np.testing.assert_allclose(
        product(torch.as_tensor(x, dtype=dtype, device=device)).cpu(), expected, atol=TOLERANCE[dtype]
    )


def test_many_products_are_split(device, monkeypatch):
    x = torch.arange(2.0**13, device=device)
    expected = product(x)
    monkeypatch.setattr(gpu, "_PRODUCTS", 3)
    assert torch.equal(product(x), expected)


def lowest(E, flip, below, steps, dtype, device):
    """Lowest Ritz value and vector of Lanczos from a random start, in two calls  ->  value, vector, steps done."""
    E, below = (torch.as_tensor(x, dtype=dtype, device=device) for x in (E, below))
    basis, alpha, norms = E.new_empty((steps + 1, len(E))), np.empty(steps), np.empty(steps + 1)
    vector = torch.as_tensor(np.random.default_rng(1).normal(size=len(E)), dtype=dtype, device=device)
    basis[0] = vector - below.T @ (below @ vector)
    norms[0] = float(torch.linalg.vector_norm(basis[0]))
    done = Loops.lanczos(basis, E, flip, 0, steps // 2, alpha, norms, below)
    if done == steps // 2:
        done = Loops.lanczos(basis, E, flip, done, steps, alpha, norms, below)
    values, vectors = scipy.linalg.eigh_tridiagonal(alpha[:done], norms[1:done])
    vector = Loops.combine(vectors[None, :, 0] / norms[:done], basis[:done])[0]
    return values[0], vector.cpu().numpy(), done


@pytest.mark.parametrize("d", [4, 8])
def test_lanczos_finds_the_lowest_levels(d, dtype, device):
    E, flip = np.random.default_rng(d).normal(size=2**d), -0.6
    values, vectors = np.linalg.eigh(np.diag(E) + flip * sum_of_flips(d))
    steps, atol = min(2**d - 2, 70), 1e-4 if dtype == torch.float32 else 1e-8
    for level in range(2):  # the second one with the first projected out
        value, vector, _ = lowest(E, flip, vectors[:, :level].T, steps, dtype, device)
        assert value == pytest.approx(values[level], abs=atol)
        assert abs(vector @ vectors[:, level]) == pytest.approx(np.linalg.norm(vector), abs=10 * atol)


def test_sums_and_products_of_vectors(dtype, device):
    rng = np.random.default_rng(0)
    weights, vectors = rng.normal(size=(2, 3)), rng.normal(size=(3, 64))
    tensor = torch.as_tensor(vectors, dtype=dtype, device=device)
    np.testing.assert_allclose(Loops.combine(weights, tensor).cpu(), weights @ vectors, atol=TOLERANCE[dtype])
    np.testing.assert_allclose(Loops.overlaps(tensor, tensor[:2]), vectors @ vectors[:2].T, atol=TOLERANCE[dtype])
    assert Loops.dot(tensor[0], tensor[1]) == pytest.approx(vectors[0] @ vectors[1], abs=TOLERANCE[dtype])
    assert Loops.lowest(tensor[0], 5).tolist() == np.argsort(vectors[0])[:5].tolist()


def test_lanczos_stops_when_a_subspace_is_complete(dtype, device):
    d = 6  # without energies there are d + 1 levels, so d + 1 steps
    value, _, done = lowest(np.zeros(2**d), -1.0, np.empty((0, 2**d)), 30, dtype, device)
    assert done == d + 1
    assert value == pytest.approx(-d, abs=1e-4)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: find_device("gpu"), "unknown device 'gpu': choose"),
        (lambda: find_device("meta"), "unknown device"),
        (lambda: find_device(None), "unknown device"),
        (lambda: Loops.evolve(torch.ones(1, 2), torch.ones(1, 2), torch.ones(1, 2), [0.1], [0.1]), "one more"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_missing_gpus_are_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match='does not see: choose "cpu"'):
        find_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert find_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ValueError, match="2 CUDA GPUs"):
        find_device("cuda:2")


def test_memory_error_names_the_largest_problem(monkeypatch):
    monkeypatch.setattr(gpu, "find_device", torch.device)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (100 * 2**30, 140 * 2**30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 30 * 2**30)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 2 * 2**30)
    loops = Loops("cuda", "complex64")
    loops.require_memory(33, 2, "the state")
    with pytest.raises(MemoryError, match="the state of d = 35 needs 512 GiB, 128 GiB are free on cuda: d = 33 would"):
        loops.require_memory(35, 2, "the state")
    with pytest.raises(MemoryError, match="d = 32 would"):
        loops.require_memory(35, 2.004, "the state")
