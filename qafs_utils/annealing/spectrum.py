"""Lowest levels and minimum gap of H(s) = A(s) H_D + B(s) diag(energies), conventions as in `evolution`."""

from dataclasses import dataclass

import numpy as np

from .. import require
from ..conventions import HEADLINE
from ..qubo.binary import checked
from .evolution import loops_on, start_state
from .gap_search import GapSearch, largest_weight
from .level_solver import LevelSolver
from .schedules import SCHEDULES, driver_strength, find_schedule
from .threads import in_threads

_DENSE = 10  # qubits up to which all levels are found
_TOLERANCE = 1e-10  # of a gap, the least that rounding allows at energies of order 1
_EXACT = 0.1  # residual over the tolerance's root up to which eigenvalues are exact enough to certify


def levels(energies, s: float, *, driver=HEADLINE.driver, schedule="linear", k=2) -> tuple[np.ndarray, np.ndarray]:
    """The k lowest levels at one s: energies (2^d,)  ->  eigenvalues (k,), vectors (k, 2^d).

    Eigenvalues are accurate to about 1e-16 over the distance of the next level, the square of the residual.
    Raises ValueError for bad input, MemoryError when the basis does not fit.

    >>> values, vectors = levels([0.0, -1.0, 1.0, 3.0], s=0.0, k=4)  # two qubits of strength 1/2
    >>> (values + 0.0).round(9)
    array([-1.,  0.,  0.,  1.])
    >>> levels([0.0, -1.0, 1.0, 3.0], s=1.0)[0]
    array([-1.,  0.])
    """
    s = require.number("s", s, "[0, 1]")
    solver = LevelSolver(energies, driver=driver, schedule=schedule, k=k, residual=1e-8)
    values, vectors = solver.solve(s)
    return values, vectors * np.sign(start_state(solver.d, driver))  # of the driver with its own sign


def level_curves(energies, s, *, driver=HEADLINE.driver, schedule="linear", k=2, residual=1e-6) -> np.ndarray:
    """The k lowest levels on a grid: energies (2^d,), s (n,) in [0, 1]  ->  (n, k). Raises as `levels`.

    >>> level_curves([0.0, 1.0], [0.0, 0.8]).round(3)  # one qubit; nearest at s = 0.8
    array([[-1.   ,  1.   ],
           [-0.047,  0.847]])
    """
    s = np.atleast_1d(require.array("s", s, "...", interval="[0, 1]"))
    require.shape("s", s.shape, "n")
    residual = require.number("residual", residual, "(0, inf)")
    solver = LevelSolver(energies, driver=driver, schedule=schedule, k=k, residual=residual)
    curves, vectors = np.empty((len(s), solver.k)), None
    for row, place in zip(curves, s):
        row[:], vectors = solver.solve(place, vectors)
    return curves


def occupations(energies, states, s, *, driver=HEADLINE.driver, schedule="linear") -> tuple[np.ndarray, np.ndarray]:
    """All instantaneous levels and their occupation |<E_k(s)|psi(s)>|^2, by dense diagonalisation.

    energies: (2^d,), d <= 10; states: (n, 2^d) as `evolution.states` gives them at s (n,)  ->  levels (n, 2^d) rising,
    occupations (n, 2^d), of which only the sum over equal levels has a meaning.
    Raises ValueError as `binary.checked`, or for more qubits or other shapes.

    >>> from qafs_utils.annealing import evolution
    >>> E, s = [0.0, -1.0], [0.0, 1.0]
    >>> levels, occupied = occupations(E, evolution.states(E, s, annealing_time=100.0), s)
    >>> levels, occupied.round(3)  # starts in the ground state and stays there
    (array([[-1.,  1.],
           [-1.,  0.]]), array([[1., 0.],
           [1., 0.]]))
    """
    batch, d = checked(energies)
    s = np.atleast_1d(require.array("s", s, "...", interval="[0, 1]"))
    states = np.asarray(states.detach().cpu() if hasattr(states, "detach") else require.sequence(states))
    if states.dtype.kind not in "buifc" or not np.isfinite(states).all():
        raise ValueError(
            f"states must be finite complex numbers (n, 2^d), got {require.described(states)} of {states.dtype}"
        )
    if d > _DENSE or len(batch) > 1 or states.shape != (len(s), 2**d):
        raise ValueError(
            f"one problem of at most {_DENSE} qubits and its states (n, 2^d) at s (n,), got d = {d}, "
            f"energies {np.shape(energies)}, states {states.shape}, s {s.shape}"
        )
    schedule, flips = find_schedule(schedule), np.zeros((2**d, 2**d))
    for p in range(d):
        flips[np.arange(2**d), np.arange(2**d) ^ (1 << p)] = driver_strength(driver, d)
    levels, occupied = np.empty((2, len(s), 2**d))
    for row, place in enumerate(s):
        levels[row], vectors = np.linalg.eigh(schedule.A(place) * flips + schedule.B(place) * np.diag(batch[0]))
        occupied[row] = np.abs(vectors.T @ states[row]) ** 2
    return levels, occupied


@dataclass(frozen=True)
class Gap:
    """Minimum of E1 - E0 over s.

    gap, s: the minimum and its place; lower_bound: of the gap at every s, at most the tolerance below, and 0 for a
    schedule without knots, which may do anything between the places where it is looked at; solves: how many.
    end_gap: at s = 1, E1 - E0 of the problem itself if B(1) = 1.
    two_level_gap, two_level_s: of the two lowest bit-strings alone, if `flips`, the bits in which they
    differ, is 1 (else NaN).

    >>> gap = minimum_gap([0.0, 1.0])  # one qubit: 2 / sqrt(5) at s = 0.8
    >>> round(gap.gap, 4), round(gap.s, 2), gap.end_gap, gap.flips, gap.lower_bound <= gap.gap
    (0.8944, 0.8, 1.0, 1, True)
    """

    gap: float
    s: float
    lower_bound: float
    solves: int
    end_gap: float
    two_level_gap: float
    two_level_s: float
    flips: int


def two_level(energies, driver: str = HEADLINE.driver) -> tuple[float, float, int]:
    """Two lowest bit-strings alone, linear schedule: energies (2^d,)  ->  gap, s, bits in which they differ.

    With D = E1 - E0 and g the driver's strength, 1 - s = D^2 / (D^2 + 4 g^2) and
    gap = 2 g D / sqrt(D^2 + 4 g^2), if they differ in one bit; else gap and s are NaN.
    Raises ValueError as `checked`.

    >>> gap, s, flips = two_level([0.0, 1.0])  # D = g = 1: 2 / sqrt(5) at 1 - 1 / 5
    >>> round(gap, 4), s, flips
    (0.8944, 0.8, 1)
    """
    batch, d = checked(energies)
    if d < 1 or len(batch) > 1:
        raise ValueError(f"energies of one problem must be (2^d,) with d >= 1, got {batch.shape}")
    lowest = loops_on().lowest(batch[0], 2)
    return _two_level(*batch[0, lowest], *lowest, abs(driver_strength(driver, d)))


def _two_level(E0, E1, first, second, g):
    D, flips = float(E1 - E0), int(first ^ second).bit_count()
    if flips != 1:
        return np.nan, np.nan, flips
    return float(2 * g * D / np.hypot(D, 2 * g)), float(1 - D**2 / (D**2 + 4 * g**2)), flips


def minimum_gap(
    energies, *, driver=HEADLINE.driver, schedule="linear", tolerance=1e-6, residual=None, device=None
) -> Gap:
    """Certified minimum over s of the gap between the two lowest levels: energies (2^d,), d >= 1  ->  Gap.

    tolerance: of the gap; residual: of the eigenpairs, whose values are accurate to about its square over the distance
    of the next level, None for a hundredth of the tolerance's root; device: None for the compiled loops on the CPU,
    else a PyTorch device ("cuda"), the energies an array or a tensor. The bound is certified for every schedule that is
    monotone between its knots. Of one without knots the gap is the least that was found, and the bound is 0. Raises
    ValueError for bad input, negative weights, and a tolerance below what rounding allows at these energies,
    MemoryError when the basis does not fit.

    >>> gap = minimum_gap([0.0, 0.2, 0.5, 0.1])
    >>> round(gap.gap, 4), gap.gap - gap.lower_bound <= 1e-6
    (0.0896, True)
    """
    tolerance, schedule = require.number("tolerance", tolerance, "(0, inf)"), find_schedule(schedule)
    energies, linear = require.sequence(energies), schedule is SCHEDULES["linear"]
    largest = 1.0 if linear else largest_weight(schedule)
    root = (tolerance / largest) ** 0.5
    residual = 0.01 * root if residual is None else require.number("residual", residual, f"(0, {_EXACT * root:g}]")
    if np.size(energies) == 1:
        raise ValueError("a gap is one of two levels: energies must be (2^d,) with d >= 1, got (1,)")
    search = GapSearch(energies, driver=driver, residual=residual, tolerance=tolerance / largest, device=device)
    solver = search.solver
    reach = float(abs(solver.energies).max())
    if tolerance < (least := _TOLERANCE * largest * max(1.0, reach) ** (2 / 3)):
        rounding = f"what rounding allows at energies of {reach:.2g}, got {tolerance}"
        raise ValueError(f"tolerance must be at least {least:.1e}, {rounding}: subtract their offset, scale the model")
    least, place, lower_bound = search.minimise(schedule)
    lower_bound = lower_bound if schedule.knots else 0.0
    end_gap = search.gap_along(schedule, 1.0)
    formula = _two_level(*solver.energies[solver.lowest[:2]], *solver.lowest[:2], abs(solver.g))
    return Gap(least, place, float(lower_bound), search.solves, end_gap, *formula)


def minimum_gaps(batch, *, driver=HEADLINE.driver, schedule="linear", tolerance=1e-6, residual=None) -> list[Gap]:
    """`minimum_gap` of many problems, shared among the threads: energies, B times (2^d,)  ->  list of B Gap.

    Raises as `minimum_gap`.

    >>> [round(gap.gap, 4) for gap in minimum_gaps([[0.0, 1.0], [0.0, 0.5]])]
    [0.8944, 0.4851]
    """
    options = {"driver": driver, "schedule": schedule, "tolerance": tolerance, "residual": residual}

    def between(first, last):
        return [minimum_gap(energies, **options) for energies in batch[first:last]]

    if not np.iterable(batch):
        raise ValueError(f"energies must be B times (2^d,), got {require.described(batch)}")
    batch = list(batch)
    return sum(in_threads(between, len(batch)), [])
