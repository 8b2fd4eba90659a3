import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from qafs_utils.annealing import cpu, gap_search, level_solver, schedules, spectrum
from qafs_utils.annealing.schedules import Schedule, find_schedule, tabulated
from qafs_utils.annealing.spectrum import level_curves, levels, minimum_gap
from qafs_utils.qubo import binary, memory

try:
    from threadpoolctl import threadpool_limits
except ImportError:
    from contextlib import nullcontext as threadpool_limits

GRID = np.linspace(0, 1, 41)
CURVED = tabulated(GRID, (1 - GRID) ** 1.5, np.sin(np.pi * GRID / 2))


@pytest.fixture(autouse=True)
def one_blas_thread():
    """BLAS threads that wait for each other make the dense oracles slow on a busy machine."""
    with threadpool_limits(1):
        yield


def selection_energies(d, seed=0):
    """Energies of a feature-selection problem: fields in [-0.7, 0), positive couplings."""
    rng = np.random.default_rng(seed)
    k = binary.bits(np.arange(2**d), d).astype(float)
    J = np.triu(0.3 * rng.uniform(0, 1, size=(d, d)), 1)
    return k @ (-0.7 * rng.uniform(0, 1, d)) + np.einsum("kp,pq,kq->k", k, J, k)


def dense(E, s, driver, schedule="linear"):
    d, path, k = len(E).bit_length() - 1, find_schedule(schedule), np.arange(len(E))
    H = np.diag(float(path.B(s)) * E)
    for p in range(d):
        H[k, k ^ (1 << p)] = float(path.A(s)) * schedules.driver_strength(driver, d)
    return H


def dense_minimum(E, driver, schedule="linear"):
    def gap(s):
        values = np.linalg.eigvalsh(dense(E, s, driver, schedule))
        return values[1] - values[0]

    grid = np.linspace(0, 1, 2001)
    gaps = [gap(s) for s in grid]
    i = int(np.argmin(gaps))
    found = minimize_scalar(gap, bounds=(grid[max(i - 1, 0)], grid[min(i + 1, 2000)]), method="bounded")
    return min(found.fun, gaps[i])


@pytest.mark.parametrize("driver", schedules.DRIVERS)
@pytest.mark.parametrize("d", [1, 4, 7, 9])
def test_levels_are_the_dense_ones(d, driver):
    E = selection_energies(d)
    for s in (0.0, 0.3, 0.9, 1.0):
        values, vectors = levels(E, s, driver=driver)
        H = dense(E, s, driver)
        np.testing.assert_allclose(values, np.linalg.eigvalsh(H)[:2], atol=1e-9)
        np.testing.assert_allclose(vectors @ H, values[:, None] * vectors, atol=1e-7)
        np.testing.assert_allclose(vectors @ vectors.T, np.eye(2), atol=1e-9)


@pytest.mark.parametrize("d", [1, 2, 3, 10, 13])
def test_sum_of_flips(d):
    x, out, k = np.random.default_rng(0).normal(size=2**d), np.empty(2**d), np.arange(2**d)
    cpu.Loops.hamiltonian(x, np.zeros_like(x), 1.0, out)
    np.testing.assert_allclose(out, sum(x[k ^ (1 << p)] for p in range(d)), atol=1e-13)


def test_curves_of_several_levels():
    E, s = selection_energies(8), np.linspace(0, 1, 9)
    expected = [np.linalg.eigvalsh(dense(E, x, "scaled", CURVED))[:5] for x in s]
    np.testing.assert_allclose(level_curves(E, s, schedule=CURVED, k=5), expected, atol=1e-9)


@pytest.mark.parametrize("driver", schedules.DRIVERS)
@pytest.mark.parametrize("d, seed", [(1, 0), (2, 0), (4, 1), (5, 2), (6, 3), (6, 4)])
def test_minimum_gap_is_the_dense_one(d, seed, driver):
    E = selection_energies(d, seed)
    gap, exact = minimum_gap(E, driver=driver), dense_minimum(E, driver)
    assert gap.gap == pytest.approx(exact, abs=1e-6)
    assert gap.gap - 1e-6 <= gap.lower_bound <= exact + 1e-9
    assert gap.end_gap == pytest.approx(np.diff(np.sort(E)[:2])[0], abs=1e-9)


@pytest.mark.parametrize("schedule", ["quadratic", CURVED])
def test_minimum_gap_of_other_schedules(schedule):
    E = selection_energies(5, 5)
    gap, exact = minimum_gap(E, schedule=schedule), dense_minimum(E, "scaled", schedule)
    assert gap.gap == pytest.approx(exact, abs=1e-6) and gap.lower_bound >= exact - 2e-6


def test_lanczos_gap_is_the_dense_one():
    E = selection_energies(7, 6)
    assert minimum_gap(E).gap == pytest.approx(dense_minimum(E, "scaled"), abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_gap_of_rugged_problems(seed):
    """Spin-glass energies, whose levels cross: every level below the second must be seen."""
    E = np.random.default_rng(seed).normal(size=2**7) * 0.3
    assert minimum_gap(E).gap == pytest.approx(dense_minimum(E, "scaled"), abs=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_bounds_of_degenerate_levels_are_certificates(seed):
    """Three equal maps among others: levels of which two are equal at every s are not overlooked."""
    rng, d = np.random.default_rng(seed), 7
    h, J = -rng.random(d), np.triu(0.5 * rng.random((d, d)), 1)
    h[:3], J[:3, :3], J[:3, 3:] = h[0], np.triu(np.full((3, 3), J[0, 1]), 1), J[0, 3:]
    k = binary.bits(np.arange(2**d), d).astype(float)
    E = k @ h + np.einsum("kp,pq,kq->k", k, J, k)
    gap, exact = minimum_gap(E), dense_minimum(E, "scaled")
    assert gap.gap == pytest.approx(exact, abs=1e-6)
    assert gap.gap - 1e-6 <= gap.lower_bound <= exact + 1e-9


@pytest.mark.parametrize("n", [1, 2, 3, 18, 60])
@pytest.mark.parametrize("scale", [1.0, 1e-9, 0.0])
def test_lowest_levels_of_a_tridiagonal_matrix(n, scale):
    """Also those that are equal, or nearly so."""
    rng = np.random.default_rng(n)
    alpha, beta, k = rng.integers(0, 3, n).astype(float), scale * rng.normal(size=n - 1), min(n, 3)
    values, vectors = level_solver.lowest_of_tridiagonal(alpha, beta, k)
    H = np.diag(alpha) + np.diag(beta, 1) + np.diag(beta, -1)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(H)[:k], atol=1e-13)
    np.testing.assert_allclose(vectors @ H, values[:, None] * vectors, atol=1e-12)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(k), atol=1e-12)


def test_a_level_that_is_never_exact_is_an_error(monkeypatch):
    monkeypatch.setattr(level_solver, "_STARTS", 3)
    solver = level_solver.LevelSolver(selection_energies(8), driver="scaled", schedule="linear", k=2, residual=1e-6)
    krylov, calls = solver.krylov, []
    solver.krylov = lambda *args: (*krylov(*args)[:2], calls.append(1) is not None)
    with pytest.raises(ArithmeticError, match="level 0 at s = 0.5 is not exact after 3 starts"):
        solver.solve(0.5)
    assert len(calls) == 3


def test_no_loop_is_compiled_once_more_for_a_literal_argument():
    """It would take numba seconds."""
    minimum_gap(selection_energies(8))
    for loop in (gap_search._ritz, level_solver.lowest_of_tridiagonal):
        assert "Literal" not in str(getattr(loop, "signatures", ""))


def test_gaps_do_not_depend_on_company():
    E = np.stack([selection_energies(13, seed) for seed in range(3)])
    together = spectrum.minimum_gaps(E)
    assert together[0] == minimum_gap(E[0])
    assert together[2] == minimum_gap(E[2]) and len(together) == 3


def test_memory_held_for_later_searches_is_not_asked_for_again(monkeypatch):
    E, d = selection_energies(13), 13
    needed = 8 * 2**d * (300 + 4 * 3 + 20 + gap_search._SAMPLES)
    free = [0.99 * needed]
    spare = cpu._SPARE
    spare.clear()
    monkeypatch.setattr(memory, "free_bytes", lambda: free[0] - sum(lent.nbytes for lent in spare))
    with pytest.raises(MemoryError, match="the Lanczos basis of d = 13"):
        minimum_gap(E)
    free[0] = 1.01 * needed
    assert minimum_gap(E) == minimum_gap(E)
    assert spare


@pytest.mark.parametrize("d", [1, 4, 9])
@pytest.mark.parametrize("device", ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"])
def test_minimum_gaps_on_a_device_are_those_of_the_compiled_loops(d, device):
    E = selection_energies(d, seed=d)
    ours, theirs = minimum_gap(E), minimum_gap(torch.as_tensor(E), device=device)
    for field in ("gap", "end_gap", "two_level_gap", "lower_bound"):
        assert getattr(theirs, field) == pytest.approx(getattr(ours, field), abs=2e-6, nan_ok=True)
    assert theirs.flips == ours.flips


def test_degenerate_problem_has_no_gap_at_the_end():
    """Two equal maps that exclude each other: the gap closes at s = 1 only."""
    k = binary.bits(np.arange(2**7), 7).astype(float)
    E = k @ np.array([-1, -1, -0.5, -0.4, -0.3, -0.2, -0.1]) + 2 * k[:, 0] * k[:, 1]
    gap = minimum_gap(E)
    assert gap.gap == gap.end_gap == pytest.approx(0, abs=1e-8) and gap.s == 1 and gap.solves < 200
    assert np.isnan(gap.two_level_gap) and gap.flips == 2
    assert np.isfinite(minimum_gap(np.zeros(2**6)).gap)


def test_one_qubit_is_the_two_level_formula():
    gap = minimum_gap([0.0, -0.7], driver="uniform")
    assert gap.gap == pytest.approx(gap.two_level_gap, abs=1e-6)
    assert gap.s == pytest.approx(gap.two_level_s, abs=2e-3) and gap.flips == 1
    assert gap.two_level_gap == pytest.approx(2 * 0.7 / np.sqrt(0.7**2 + 4))


@pytest.mark.parametrize("driver, gap", [("uniform", 2.0), ("scaled", 2 / 6)])
def test_gap_of_the_driver(driver, gap):
    assert np.diff(levels(selection_energies(6), 0.0, driver=driver)[0])[0] == pytest.approx(gap, abs=1e-9)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: levels([0.0, 1.0], 1.5), "s must be a number"),
        (lambda: levels([0.0, 1.0], 0.5, k=3), "k must be a whole number from 1 to 2"),
        (lambda: level_curves([0.0, 1.0], [0.5, 2.0]), "s must lie"),
        (lambda: minimum_gap([0.0, np.inf]), "infinite"),
        (lambda: minimum_gap([[0.0, 1.0]]), "one problem"),
        (lambda: minimum_gap([0.0]), "d >= 1"),
        (lambda: minimum_gap([0.0, 1.0], tolerance=0), "tolerance"),
        (lambda: spectrum.minimum_gap([0.0, 1.0], driver="x"), "unknown driver"),
        (lambda: spectrum.occupations(np.zeros(2**11), np.zeros((1, 2**11)), 0.5), "at most 10 qubits"),
        (lambda: spectrum.occupations([0.0, 1.0], np.zeros((2, 2)), 0.5), r"states \(2, 2\)"),
        (lambda: spectrum.occupations([0.0, 1.0], np.zeros((1, 2)), 2.0), r"s must lie in \[0, 1\]"),
        (lambda: levels([0.0, 1.0], "half"), "s must be a number"),
        (lambda: levels([0.0, 1.0], 0.5, k=1.5), "k must be a whole number"),
        (lambda: level_curves([0.0, 1.0], [0.5, np.nan]), "s must be finite, got NaN"),
        (lambda: level_curves([0.0, 1.0], [0.5], residual=0), "residual must be"),
        (lambda: minimum_gap([0.0, 1.0], residual=-1), "residual must be"),
        (lambda: minimum_gap([0.0, 1.0], tolerance="small"), "tolerance must be a number"),
        (lambda: minimum_gap([0.0, 1.0], tolerance=1e-11), "tolerance must be at least 1.0e-10"),
        (lambda: minimum_gap([0.0, 1e6], tolerance=1e-7), "tolerance must be at least 1.0e-06"),
        (lambda: minimum_gap([0.0, 1.0], schedule=tabulated([0, 1], [1, -1], [0, 1])), "negative weights"),
        (lambda: minimum_gap([0.0, 1.0], schedule=tabulated([0, 1], [0, 0], [0, 0])), "no weights"),
        (lambda: minimum_gap(np.array([0.0, 1.0]) + 1e12), "subtract their offset"),
        (lambda: minimum_gap([0.0, 1.0], residual=10.0), "residual must be a number in .0, 0.0001"),
        (lambda: spectrum.minimum_gaps(5), "energies must be B times"),
        (lambda: spectrum.two_level([0.0]), "d >= 1"),
        (lambda: spectrum.occupations([0.0, 1.0], [[np.nan, 0.0]], 0.5), "states must be finite"),
        (lambda: spectrum.occupations([0.0, 1.0], [["a", "b"]], 0.5), "states must be finite"),
        (lambda: minimum_gap("energies"), "energies must be"),
        (lambda: spectrum.minimum_gaps([[0.0, 1.0], [0.0, np.nan]]), "energies must be finite, got NaN"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_schedule_that_only_scales_the_problem_at_its_end():
    late = tabulated([0, 0.5, 0.75, 1], [1, 0, 0, 0], [0, 0.5, 0.75, 1])
    E = selection_energies(4, 1)
    assert minimum_gap(E, schedule=late).gap == pytest.approx(dense_minimum(E, "scaled", late), abs=1e-6)


def dips(n, rng):
    """Both weights fall for a moment, of any width, to a twentieth."""
    width, centre = 10 ** rng.uniform(-5, -1), rng.uniform(0.1, 0.9)
    s = np.union1d(np.linspace(0, 1, 11), (centre + width * np.linspace(-2, 2, 21)).clip(0, 1))
    scale = 1 - 0.95 * np.exp(-(((s - centre) / width) ** 2))
    return s, (1 - s) * scale, s * scale


def random_points(n, rng):
    return np.concatenate([[0.0], np.sort(rng.random(n)), [1.0]])


def falling_and_rising(n, rng):
    A, B = np.sort(5 * rng.random(n + 2))[::-1], np.sort(3 * rng.random(n + 2))
    return random_points(n, rng), A - A[-1], B - B[0]


def anything(n, rng):
    return random_points(n, rng), rng.random(n + 2), rng.random(n + 2)


@pytest.mark.parametrize("family", [dips, falling_and_rising, anything])
@pytest.mark.parametrize("seed", range(8))
def test_bounds_of_tables_are_certificates(family, seed):
    """Below the gap at every place of a fine grid, about the table's points too, and at most the tolerance below."""
    rng = np.random.default_rng(seed)
    d, driver = rng.integers(1, 6), ("uniform", "scaled")[seed % 2]
    E, (points, A, B) = rng.normal(size=2**d), family(rng.integers(0, 25), rng)
    schedule = tabulated(points, A, B)
    found = minimum_gap(E, driver=driver, schedule=schedule)
    s = np.union1d(np.linspace(0, 1, 1001), np.linspace(points[:-1], points[1:], 9))
    s = np.union1d(s, np.clip(found.s + 1e-4 * np.linspace(-1, 1, 21), 0, 1))
    H = schedule.A(s)[:, None, None] * dense(0 * E, 0.0, driver) + schedule.B(s)[:, None, None] * np.diag(E)
    values = np.linalg.eigvalsh(H)[:, :2]
    least = np.diff(values).min()
    assert found.lower_bound <= least + 1e-9 and least - 1e-6 <= found.gap <= least + 1e-6
    assert found.gap - found.lower_bound <= 1e-6 + 1e-12


@pytest.mark.parametrize("width", [1e-1, 1e-2, 3e-4, 1e-6])
def test_a_function_without_knots_is_not_certified(width):
    """It may fall between all places that are looked at: the bound promises nothing, and the gap is one that exists."""

    def dip(s):
        return 1 - 0.99 * np.exp(-(((np.asarray(s) - 0.37) / width) ** 2))

    E = selection_energies(3)
    schedule = Schedule("dip", lambda s: (1 - s) * dip(s), lambda s: np.asarray(s) * dip(s))
    found = minimum_gap(E, driver="uniform", schedule=schedule)
    assert found.lower_bound == 0
    values = np.linalg.eigvalsh(dense(E, found.s, "uniform", schedule))
    assert found.gap == pytest.approx(values[1] - values[0], abs=1e-9)
    if width > 1e-4:
        assert found.s == pytest.approx(0.37, abs=2 * width)  # wide enough to be seen


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("seed", range(3))
def test_the_least_tolerance_is_kept(seed, scale):
    """At the least tolerance accepted, the bound is still no further below the gap."""
    E = scale * np.random.default_rng(seed).normal(size=2**6)
    tolerance = 1.01e-10 * max(1, E.max() - E.min()) ** (2 / 3)
    found = minimum_gap(E, tolerance=tolerance)
    assert found.gap - found.lower_bound <= tolerance
    assert found.gap == pytest.approx(dense_minimum(E, "scaled"), abs=1e-9 * max(1, scale))


def test_generators_and_tensors_are_read():
    E = [0.0, 0.3, 1.0, 0.7]
    s = torch.tensor([0.2, 0.6], dtype=torch.float64, requires_grad=True)
    assert minimum_gap(x for x in E) == minimum_gap(E) == spectrum.minimum_gaps(x for x in [E])[0]
    assert [gap.gap for gap in spectrum.minimum_gaps([E, E[:2]])] == [minimum_gap(E).gap, minimum_gap(E[:2]).gap]
    np.testing.assert_array_equal(level_curves(E, s), level_curves(E, (x for x in [0.2, 0.6])))
