"""Lowest levels and minimum gap of H(s) = A(s) H_D + B(s) diag(energies), by matrix-free Lanczos.

Conventions as in `annealing`. All computations use the driver -|g| sum sigma_x, whose lowest vector has no
negative component; the vectors of the other sign differ by `evolution.parity_signs`.
"""

import heapq
import weakref
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh, eigh_tridiagonal

from .. import require
from ..qubo.binary import checked
from ..qubo.memory import require_memory
from . import cpu
from .evolution import parity_signs
from .schedules import SCHEDULES, driver_strength, find_schedule

_BASIS_BYTES = 2**31  # Lanczos restarts when its basis outgrows this
_GRID = np.delete(np.linspace(0, 1, 9), 1)  # where the minimum search begins; near 0 the levels are clustered
_WAVE = 2  # values of s solved at a time
_LARGE = 1 << 13  # vectors for which threads pay
_NEAR = 3  # solved values of s whose vectors are combined into the start at another
_GUARD = 3e-3  # residual of the third level, kept so that its crossing with the second is seen
_SAMPLES = 120  # vectors that all samples of a search may take
_CELLS = 64  # cells in which an interval's bound is evaluated
_DENSE = 10  # qubits up to which all levels are found
_TOLERANCE = 1e-10  # of a gap, the least that rounding allows at energies of order 1
_NARROW = 1e-13  # intervals of s that are cut no further
_FOLLOWED = 1e-6  # how closely the gap search follows a schedule without knots
_EXACT = 0.1  # residual over the tolerance's root up to which eigenvalues are exact enough to certify
_SPARE = []  # bases of earlier solvers: memory fresh from the system costs more than the Lanczos steps in it


def _borrow(solver, rows):
    """An uninitialised Lanczos basis (rows, 2^d), which goes back to the spare ones with its solver."""
    shape = rows, 2**solver.d
    if solver.loops is not cpu:
        return solver.loops.empty_like(solver.energies, shape)
    try:
        memory = _SPARE.pop()
    except IndexError:
        memory = np.empty(0)
    if memory.size < rows * 2**solver.d:
        memory = np.empty(rows * 2**solver.d)
    weakref.finalize(solver, _SPARE.append, memory)
    return memory[: rows * 2**solver.d].reshape(shape)


class _Levels:
    """Solver of one problem that keeps its Lanczos basis between values of s."""

    def __init__(self, energies, driver, schedule, k, residual, device=None, solvers=1, samples=0):
        """solvers, samples: how many such solvers, and vectors, are there to be memory for, this one included."""
        if np.ndim(energies) > 1:
            raise ValueError(f"energies of one problem must be (2^d,), got {tuple(np.shape(energies))}")
        if device is None:
            self.loops, (batch, self.d) = cpu, checked(energies)
        else:
            from . import gpu  # PyTorch is loaded only for those who ask for it

            self.loops, (batch, self.d) = gpu, gpu.checked(energies, device)
        size = 2**self.d
        k = require.whole("k", k, 1, size)
        self.energies, self.k, self.span = batch[0], k, None
        spread = float(self.energies.max() - self.energies.min())
        self.residuals = np.maximum(np.broadcast_to(residual, k), 1e-12 * spread)  # rounding allows no less
        self.g, self.schedule = -abs(driver_strength(driver, self.d)), find_schedule(schedule)
        self.lowest = self.loops.lowest(self.energies, min(2 * k, size))
        self.dense = size <= max(64, 16 * k)  # where LAPACK is faster
        if not self.dense:
            rows = int(np.clip(_BASIS_BYTES // self.energies.nbytes, 24, min(300, size - k)))
            self.require_memory(solvers * (rows + 4 * k + 20) + samples, "the Lanczos basis")
            self.basis = _borrow(self, rows + 1)
            self.alpha, self.norms = np.empty(rows), np.empty(rows + 1)
            random = np.random.default_rng(0).normal(size=(k, size)) * size**-0.5
            self.random = self.loops.like(self.energies, random)

    def require_memory(self, numbers, what):
        """Raise MemoryError, naming the d that would fit, unless so many vectors fit."""
        if self.loops is cpu:
            require_memory(self.d, numbers - sum(memory.size for memory in _SPARE) / 2**self.d, what)
        else:
            self.loops.require_memory(self.d, numbers * self.energies.nbytes, what, self.energies.device)

    def solve(self, s, near=None, spanned=False):
        """Eigenvalues (k,) and vectors (k, 2^d) at s.

        near: (j, 2^d), j >= k, approximate lowest vectors to start from. The starts are mixed with classical and
        random states, to see a level that crosses from above, unless `near` is known to span the lowest levels.
        """
        flip, weight = float(self.schedule.A(s)) * self.g, float(self.schedule.B(s))
        if self.dense:
            index = np.arange(2**self.d)
            H = np.diag(weight * np.asarray(self.energies.tolist()))
            for p in range(self.d):
                H[index, index ^ (1 << p)] = flip
            values, vectors = eigh(H, subset_by_index=(0, self.k - 1))
            return values, self.loops.like(self.energies, vectors.T.copy())
        if flip == 0:
            vectors = 0 * self.random
            for vector, string in zip(vectors, self.lowest):
                vector[string] = 1
            return weight * np.array(self.energies[self.lowest[: self.k]].tolist()), vectors
        diagonal = weight * self.energies
        diagonal -= (shift := float(diagonal.min()))
        values, vectors, residuals = np.full(self.k, np.inf), 1 * self.random, np.full(self.k, np.inf)
        if near is not None:
            values, vectors, residuals = self._ritz(diagonal, flip, near)
        for level in range(self.k):  # one after the other: a degenerate level has several vectors
            if spanned and residuals[level] <= self.residuals[level]:
                continue
            start = vectors[level]
            if not spanned:
                start = start + 0.05 * self.random[level]
                start[self.lowest] += 0.1
            values[level], vectors[level] = self._lowest(diagonal, flip, start, vectors[:level], self.residuals[level])
        if (np.diff(values) < -self.residuals[1:]).any():  # a level was missed and found by the next, less exactly
            return self.solve(s, vectors, spanned=True)
        order = np.argsort(values)
        return values[order] + shift, vectors[order]

    def _ritz(self, diagonal, flip, near):
        """Rayleigh-Ritz in the span of `near`  ->  the lowest k values (k,), vectors (k, 2^d), residuals (k,)."""
        n = len(near)
        if self.span is None or len(self.span) < 2 * n:
            self.span = self.loops.empty_like(self.energies, (2 * n, 2**self.d))
        self.span[:n] = near
        for vector, product in zip(near, self.span[n:]):
            self.loops.hamiltonian(vector, diagonal, flip, product)
        gram = self.loops.gram(self.span[: 2 * n])
        sizes, mix = np.linalg.eigh(gram[:n, :n])
        kept = sizes > 1e-10 * sizes[-1]
        mix = mix[:, kept] / np.sqrt(sizes[kept])
        values, turn = np.linalg.eigh(mix.T @ gram[:n, n:] @ mix)
        values, mix = values[: self.k], (mix @ turn[:, : self.k]).T
        mix_residual = np.hstack([-values[:, None] * mix, mix])  # of near and of H near
        residuals = np.sqrt(np.maximum(np.einsum("ki,ij,kj->k", mix_residual, gram, mix_residual), 0))
        return values, self.loops.combine(mix, near), residuals

    def _lowest(self, diagonal, flip, start, below, residual):
        """Lowest eigenpair orthogonal to `below`, to this residual."""
        basis, alpha, norms, rows = self.basis, self.alpha, self.norms, len(self.alpha)
        while True:
            basis[0] = start
            for vector in below:
                basis[0] -= self.loops.dot(vector, start) * vector
            norms[0], done = np.sqrt(self.loops.dot(basis[0], basis[0])), 0
            while True:
                goal = min(rows, done + max(10, done // 3))
                done = self.loops.lanczos(basis, diagonal, flip, done, goal, alpha, norms, below)
                value, vector = eigh_tridiagonal(
                    alpha[:done], norms[1:done], select="i", select_range=(0, 0), check_finite=False
                )
                found = done < goal or norms[done] * abs(vector[-1, 0]) < residual
                if found or done == rows:
                    break
            start = self.loops.combine(vector.T / norms[:done], basis[:done])[0]
            if found:
                return value[0], start / np.sqrt(self.loops.dot(start, start))

    def expected(self, vectors):
        """Expected H_D and H_P of each vector: (k, 2^d)  ->  (k,), (k,)."""
        driver, problem, product, nothing = [], [], self.loops.empty_like(self.energies, 2**self.d), 0 * self.energies
        for vector in vectors:
            self.loops.hamiltonian(vector, nothing, self.g, product)
            driver.append(self.loops.dot(vector, product))
            problem.append(self.loops.dot(vector, vector * self.energies))
        return np.array(driver), np.array(problem)


def levels(energies, s, driver="scaled", schedule="linear", k=2):
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
    solver = _Levels(energies, driver, schedule, k, residual=1e-8)
    values, vectors = solver.solve(s)
    return values, vectors * parity_signs(solver.d, driver)


def level_curves(energies, s, driver="scaled", schedule="linear", k=2, residual=1e-6):
    """The k lowest levels on a grid: energies (2^d,), s (n,) in [0, 1]  ->  (n, k). Raises as `levels`.

    >>> level_curves([0.0, 1.0], [0.0, 0.8]).round(3)  # one qubit; nearest at s = 0.8
    array([[-1.   ,  1.   ],
           [-0.047,  0.847]])
    """
    s = np.atleast_1d(require.array("s", s, "...", interval="[0, 1]"))
    require.shape("s", s.shape, "n")
    residual = require.number("residual", residual, "(0, inf)")
    solver = _Levels(energies, driver, schedule, k, residual)
    curves, vectors = np.empty((len(s), solver.k)), None
    for row, here in zip(curves, s):
        row[:], vectors = solver.solve(here, vectors)
    return curves


def occupations(energies, states, s, driver="scaled", schedule="linear"):
    """All instantaneous levels and their occupation |<E_k(s)|psi(s)>|^2, by dense diagonalisation.

    energies: (2^d,), d <= 10; states: (n, 2^d) as `evolution.states` gives them at s (n,)  ->  levels (n, 2^d) rising,
    occupations (n, 2^d), of which only the sum over equal levels has a meaning.
    Raises ValueError as `binary.checked`, or for more qubits or other shapes.

    >>> from qafs_utils import annealing
    >>> E, s = [0.0, -1.0], [0.0, 1.0]
    >>> levels, occupied = occupations(E, annealing.states(E, s, annealing_time=100.0), s)
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
    for row, here in enumerate(s):
        levels[row], vectors = np.linalg.eigh(schedule.A(here) * flips + schedule.B(here) * np.diag(batch[0]))
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


@dataclass(frozen=True)
class _Sample:
    s: float
    A: float
    B: float
    values: np.ndarray  # (3,) eigenvalues, the third roughly
    driver: np.ndarray  # (3,) expected H_D
    problem: np.ndarray  # (3,) expected H_P
    vectors: np.ndarray

    @property
    def gap(self):
        return self.values[1] - self.values[0]

    def slope(self, dA, dB):
        """Derivative of the gap by s (Hellmann-Feynman)."""
        return dA * (self.driver[1] - self.driver[0]) + dB * (self.problem[1] - self.problem[0])


class _GapSearch:
    """Branch and bound for the minimum gap, of the linear schedule and, on the same samples, of any other.

    As functions of (A, B), E0 and E0 + E1 are concave and of degree one. So E0 lies below the expectation of
    H in any vector, and E0 + E1 at (A, B) = a (A_l, B_l) + b (A_r, B_r) with a, b >= 0 lies above a times
    its value at l plus b times that at r: together a lower bound of the gap between two samples. Samples are of the
    linear schedule; that of other weights is A + B times that at s = B / (A + B).
    """

    def __init__(self, energies, driver, residual, threads, device):
        levels = min(3, max(len(energies), 2))
        residuals = [residual, residual, _GUARD][:levels]
        threads = 1 if device is not None or len(energies) < _LARGE else min(threads, _WAVE)
        problem = energies, driver, "linear", levels, residuals, device
        self.solvers = [_Levels(*problem, solvers=threads - i, samples=_SAMPLES) for i in range(threads)]
        self.schedule, self.samples = SCHEDULES["linear"], {}

    def at(self, *points):
        """Samples at these s. New ones are solved _WAVE at a time, from the vectors of their nearest neighbours."""
        new = [s for s in points if s not in self.samples]
        for first in range(0, len(new), _WAVE):
            wave = new[first : first + _WAVE]
            solvers = self.solvers if len(self.solvers) == len(wave) else self.solvers[:1] * len(wave)
            run = cpu.POOL.map if len(self.solvers) > 1 < len(wave) else map
            self.samples |= {sample.s: sample for sample in list(run(self._solve, solvers, wave))}
        return [self.samples[s] for s in points]

    def _solve(self, solver, s):
        near = sorted(self.samples.values(), key=lambda sample: abs(sample.s - s))[:_NEAR]
        near = solver.loops.concatenate([sample.vectors for sample in near]) if near else None
        values, vectors = solver.solve(s, near, spanned=len(self.samples) >= len(_GRID))
        weights = float(self.schedule.A(s)), float(self.schedule.B(s))
        return _Sample(s, *weights, values, *solver.expected(vectors), vectors)

    def bound(self, left, right):
        """Lower bound of the gap between two samples, cell by cell, and where it is attained."""
        s = np.linspace(left.s, right.s, _CELLS + 1)
        A, B = self.schedule.A(s), self.schedule.B(s)
        area = left.A * right.B - right.A * left.B
        chord = (A * right.B - right.A * B) / area * left.values[:2].sum()
        chord += (left.A * B - A * left.B) / area * right.values[:2].sum()
        cells = np.full(_CELLS, -np.inf)
        for sample in (left, right):
            line = chord - 2 * (A * sample.driver[0] + B * sample.problem[0])
            cells = np.maximum(cells, np.minimum(line[:-1], line[1:]))
        lowest = int(cells.argmin())
        return max(cells[lowest], 0.0), (s[lowest] + s[lowest + 1]) / 2

    def split(self, left, right, lowest):
        """Next sample: at the zero of the gap's slope if it is bracketed, else where the bound is lowest."""
        width = right.s - left.s
        step = 1e-6 * width
        slopes = []
        for sample, sign in ((left, 1), (right, -1)):
            dA, dB = (
                (w(sample.s + sign * step) - w(sample.s)) * sign / step for w in (self.schedule.A, self.schedule.B)
            )
            slopes.append(sample.slope(dA, dB))
        margin = 0.2
        if slopes[0] < 0 < slopes[1]:
            lowest, margin = left.s - slopes[0] / (slopes[1] - slopes[0]) * width, 0.1
        return float(np.clip(lowest, left.s + margin * width, right.s - margin * width))

    def minimise(self, tolerance):
        """->  sample of least gap, lower bound, which is at most the tolerance below."""
        samples, heap = self.at(*_GRID), []
        best = min(samples, key=lambda sample: sample.gap)

        def push(left, right):
            bound, lowest = self.bound(left, right)
            heapq.heappush(heap, (bound, left.s, right.s, lowest))

        for left, right in zip(samples, samples[1:]):
            push(left, right)
        while True:
            wave = []
            while heap and len(wave) < _WAVE and heap[0][0] < best.gap - tolerance and heap[0][2] - heap[0][1] > 1e-9:
                _, left, right, lowest = heapq.heappop(heap)
                left, right = self.at(left, right)
                wave.append((left, right, self.split(left, right, lowest)))
            if not wave:
                return best, min(heap[0][0], best.gap)
            for (left, right, _), middle in zip(wave, self.at(*(s for _, _, s in wave))):
                best = min(best, middle, key=lambda sample: sample.gap)
                push(left, middle)
                push(middle, right)

    def envelope(self):
        """Places x, rising, and lower bounds of the linear schedule's gap there, which lines may join: two (n,)."""
        samples = [self.samples[s] for s in sorted(self.samples)]
        places, bounds = [], []
        for left, right in zip(samples, samples[1:]):
            ends = [sample.values[:2].sum() for sample in (left, right)]
            expected = [[(1 - s) * v.driver[0] + s * v.problem[0] for s in (left.s, right.s)] for v in (left, right)]
            of_left, of_right = (np.subtract(ends, np.multiply(2, e)) for e in expected)  # two bounds, at both ends
            fall, rise = of_left[0] - of_right[0], of_right[1] - of_left[1]
            share = np.clip(fall / (fall + rise), 0, 1) if fall + rise > 0 else 0.5
            places += [left.s, left.s + share * (right.s - left.s)]  # the higher bound turns where the two cross
            bounds += [left.gap, of_left[0] + share * (of_left[1] - of_left[0])]
        return np.array([*places, samples[-1].s]), np.array([*bounds, samples[-1].gap])

    def along(self, schedule, tolerance):
        """->  least gap found along a schedule, its s, lower bound, true if the schedule is monotone between its knots.

        The interval of s is cut into cells, in which A and B lie between their values at the ends: the gap is no less
        than the least A + B times the least bound for such weights. A cell whose bound is too low is cut if the bound
        in its middle is not, else the levels there are solved for.
        """
        self.at(*_GRID)
        s = _ends(schedule)
        left, right, best, place, low = s[:-1], s[1:], np.inf, 0.0, np.inf
        for end in (0.0, 1.0):
            best, place = self.tried(schedule, end, best, place)
        while len(left):
            x, bounds = self.envelope()
            cells = [np.sort(ends, axis=0) for ends in zip(_weights(schedule, left), _weights(schedule, right))]
            (A_low, A_high), (B_low, B_high) = cells
            least = _least(x, bounds, _share(A_high, B_low), _share(A_low, B_high))
            bound = (A_low + B_low) * np.maximum(least, 0)
            still = (bound < best - tolerance) & (right - left > _NARROW)
            low = min(low, bound[~still].min(initial=np.inf))
            left, right = left[still], right[still]
            middle = (left + right) / 2
            A, B = _weights(schedule, middle)
            there = (A + B) * np.interp(_share(A, B), x, bounds)
            unknown = there < best - tolerance / 2
            for at in middle[unknown][np.argsort(there[unknown], kind="stable")[:_WAVE]]:
                best, place = self.tried(schedule, at, best, place)
            cut = np.linspace(left[~unknown], right[~unknown], 5)
            left, right = (np.concatenate([e[unknown], c.ravel()]) for e, c in ((left, cut[:-1]), (right, cut[1:])))
        return best, place, min(low, best)

    def tried(self, schedule, s, best, place):
        """The lower of the gap along the schedule at s and of the best one, with its place."""
        A, B = _weights(schedule, s)
        gap = (A + B) * self.at(float(_share(A, B)))[0].gap
        return (float(gap), float(s)) if gap < best else (best, place)


def _ends(schedule):
    """s between which a schedule is taken for monotone: its knots, if it has some, and where it is a polynomial."""
    if schedule.knots:
        return np.union1d(np.linspace(0, 1, 65), schedule.knots)
    cells = schedule.cells(_FOLLOWED, _FOLLOWED)
    return np.union1d(np.linspace(0, 1, 65), np.linspace(cells[:-1], cells[1:], 5))


def _weights(schedule, s):
    """A and B at s, of which none is below 0 by rounding."""
    return [np.maximum(schedule.weight(name, s), 0) for name in "AB"]


def _share(A, B):
    """s of the linear schedule whose weights stand in the same proportion; 0 where both are 0."""
    return np.divide(B, A + B, out=np.zeros_like(A + B), where=np.greater(A + B, 0))


def _least(x, y, low, high):
    """Least value on [low, high] of the lines that join the points x (n,), y (n,): low, high (m,)  ->  (m,)."""
    first, last = np.searchsorted(x, low), np.searchsorted(x, high, side="right")  # the points inside
    inside = np.minimum.reduceat(np.append(y, np.inf), np.stack([first, last], axis=1).ravel())[::2]
    return np.minimum(np.minimum(np.interp(low, x, y), np.interp(high, x, y)), np.where(first < last, inside, np.inf))


def two_level(energies, driver="scaled"):
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
    lowest = cpu.lowest(batch[0], 2)
    return _two_level(*batch[0, lowest], *lowest, abs(driver_strength(driver, d)))


def _two_level(E0, E1, first, second, g):
    D, flips = float(E1 - E0), int(first ^ second).bit_count()
    if flips != 1:
        return np.nan, np.nan, flips
    return float(2 * g * D / np.hypot(D, 2 * g)), float(1 - D**2 / (D**2 + 4 * g**2)), flips


def minimum_gap(
    energies, driver="scaled", schedule="linear", tolerance=1e-6, residual=None, threads=cpu.THREADS, device=None
):
    """Certified minimum over s of the gap between the two lowest levels: energies (2^d,), d >= 1  ->  Gap.

    tolerance: of the gap; residual: of the eigenpairs, whose values are accurate to about its square over the distance
    of the next level, None for a hundredth of the tolerance's root; threads: the result does not depend on their
    number; device: None for the compiled loops on the CPU, else a PyTorch device ("cuda"), the energies an array or a
    tensor. The bound is certified for every schedule that is monotone between its knots. Of one without knots the gap
    is the least that was found, and the bound is 0. Raises ValueError for bad input, negative weights, and a tolerance
    below what rounding allows at these energies, MemoryError when the basis does not fit.

    >>> gap = minimum_gap([0.0, 0.2, 0.5, 0.1])
    >>> round(gap.gap, 4), gap.gap - gap.lower_bound <= 1e-6
    (0.0896, True)
    """
    tolerance, schedule = require.number("tolerance", tolerance, "(0, inf)"), find_schedule(schedule)
    energies = require.sequence(energies)
    threads, linear = require.whole("threads", threads, 1), schedule is SCHEDULES["linear"]
    largest = 1.0 if linear else _largest(schedule)
    root = (tolerance / largest) ** 0.5
    residual = 0.01 * root if residual is None else require.number("residual", residual, f"(0, {_EXACT * root:g}]")
    if np.size(energies) == 1:
        raise ValueError("a gap is one of two levels: energies must be (2^d,) with d >= 1, got (1,)")
    search = _GapSearch(energies, driver, residual, threads, device)
    reach = float(abs(search.solvers[0].energies).max())
    least = _TOLERANCE * largest * max(1.0, reach) ** (2 / 3)
    if tolerance < least:
        rounding = f"what rounding allows at energies of {reach:.2g}, got {tolerance}"
        raise ValueError(f"tolerance must be at least {least:.1e}, {rounding}: subtract their offset, scale the model")
    if linear:
        sample, lower_bound = search.minimise(tolerance)
        best, place = float(sample.gap), sample.s
    else:
        best, place, lower_bound = search.along(schedule, tolerance)
        lower_bound = lower_bound if schedule.knots else 0.0
    end_gap, solver = search.tried(schedule, 1.0, np.inf, 1.0)[0], search.solvers[0]
    formula = _two_level(*solver.energies[solver.lowest[:2]], *solver.lowest[:2], abs(solver.g))
    return Gap(best, place, float(lower_bound), len(search.samples), end_gap, *formula)


def _largest(schedule):
    """The largest A + B of a schedule. Raises ValueError for negative weights."""
    s = _ends(schedule)
    if any(values.min() < -1e-9 * abs(values).max() for values in (schedule.weight(name, s) for name in "AB")):
        raise ValueError(f"schedule {schedule.name!r} has negative weights, whose gaps are not searched for")
    largest = float(sum(_weights(schedule, s)).max())
    if largest == 0:
        raise ValueError(f"schedule {schedule.name!r} has no weights: A and B are 0 everywhere")
    return largest


def minimum_gaps(batch, driver="scaled", schedule="linear", tolerance=1e-6, residual=None):
    """`minimum_gap` of many problems, shared among the threads: energies, B times (2^d,)  ->  list of B Gap.

    Raises as `minimum_gap`.

    >>> [round(gap.gap, 4) for gap in minimum_gaps([[0.0, 1.0], [0.0, 0.5]])]
    [0.8944, 0.4851]
    """

    def between(first, last):
        return [minimum_gap(energies, driver, schedule, tolerance, residual, 1) for energies in batch[first:last]]

    if not np.iterable(batch):
        raise ValueError(f"energies must be B times (2^d,), got {require.described(batch)}")
    batch = list(batch)
    return sum(cpu.in_threads(between, len(batch)), [])
