"""Lowest levels and minimum gap of H(s) = A(s) H_D + B(s) diag(energies), by matrix-free Lanczos.

Conventions as in `annealing`. All computations use the driver -|g| sum sigma_x, whose lowest vector has no
negative component; the vectors of the other sign differ by `annealing.parity_signs`.
"""

import heapq
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh, eigh_tridiagonal
from scipy.optimize import minimize_scalar

from . import kernels
from .annealing import checked, driver_strength, find_schedule, parity_signs, require_memory

_BASIS_BYTES = 2**31  # Lanczos restarts when its basis outgrows this
_CELLS = 64  # cells in which an interval's bound is evaluated


class _Levels:
    """Solver of one problem that keeps its Lanczos basis between values of s."""

    def __init__(self, energies, driver, schedule, k, residual):
        batch, self.d = checked(energies)
        if np.ndim(energies) != 1:
            raise ValueError(f"energies of one problem must be (2^d,), got {np.shape(energies)}")
        self.energies = batch[0]
        if not 1 <= k <= self.energies.size:
            raise ValueError(f"k must lie between 1 and 2^d = {self.energies.size}, got {k}")
        self.k, self.solves = k, 0
        self.residual = max(residual, 1e-12 * np.ptp(self.energies))  # rounding allows no less
        self.g, self.schedule = -abs(driver_strength(driver, self.d)), find_schedule(schedule)
        self.dense = self.energies.size <= max(32, 16 * k)  # where LAPACK is faster
        self.random = np.random.default_rng(0).normal(size=(k, self.energies.size)) * 2 ** (-self.d / 2)
        if not self.dense:
            rows = int(np.clip(_BASIS_BYTES // self.energies.nbytes, 24, min(300, self.energies.size - k)))
            require_memory(self.d, rows + 4 * k + 4, "the Lanczos basis")
            self.basis = np.empty((rows + 1, self.energies.size))
            self.lowest = np.argpartition(self.energies, 2 * k)[: 2 * k]

    def solve(self, s, near=None):
        """Eigenvalues (k,) and vectors (k, 2^d) at s; near: vectors at a neighbouring s, to start from."""
        self.solves += 1
        flip, weight = float(self.schedule.A(s)) * self.g, float(self.schedule.B(s))
        if self.dense:
            index = np.arange(self.energies.size)
            H = np.diag(weight * self.energies)
            for p in range(self.d):
                H[index, index ^ (1 << p)] = flip
            values, vectors = eigh(H, subset_by_index=(0, self.k - 1))
            return values, vectors.T
        diagonal = weight * self.energies
        diagonal -= (shift := diagonal.min())
        values, vectors = np.empty(self.k), np.empty((self.k, self.energies.size))
        for level in range(self.k):  # one after the other: a degenerate level has several vectors
            start = self._start(level, near)
            values[level], vectors[level] = self._lowest(diagonal, flip, start, vectors[:level])
        order = np.argsort(values)
        return values[order] + shift, vectors[order]

    def _start(self, level, near):
        """Start vector of a level: a near one, mixed with classical and random states to see levels cross."""
        start = self.random[level].copy() if near is None else near[level] + 0.05 * self.random[level]
        start[self.lowest] += 0.1
        if level == 0:
            start = np.abs(start)  # the ground state has no negative component
        return start

    def _lowest(self, diagonal, flip, start, below):
        """Lowest eigenpair orthogonal to `below`, to the residual asked for."""
        rows = len(self.basis) - 1
        alpha, beta = np.empty(rows), np.empty(rows)
        while True:
            start = start - kernels.combine(np.einsum("ik,k->i", below, start), below)
            self.basis[0] = start / np.sqrt(np.einsum("k,k->", start, start))
            done = 0
            while True:
                goal = min(rows, done + max(10, done // 3))
                done = kernels.lanczos(self.basis, diagonal, flip, done, goal, alpha, beta, below)
                value, vector = eigh_tridiagonal(
                    alpha[:done], beta[: done - 1], select="i", select_range=(0, 0), check_finite=False
                )
                found = done < goal or beta[done - 1] * abs(vector[-1, 0]) < self.residual
                if found or done == rows:
                    break
            start = kernels.combine(vector[:, 0], self.basis[:done])
            if found:
                return value[0], start / np.sqrt(np.einsum("k,k->", start, start))

    def expected(self, vectors):
        """Expected H_D and H_P of each vector: (k, 2^d)  ->  (k,), (k,)."""
        flipped = np.empty_like(vectors)
        for vector, out in zip(vectors, flipped):
            kernels.flips(vector, out)
        driver = self.g * np.einsum("ik,ik->i", vectors, flipped)
        return driver, np.einsum("ik,ik,k->i", vectors, vectors, self.energies)


def levels(energies, s, driver="scaled", schedule="linear", k=2, near=None, residual=1e-8):
    """The k lowest levels at one s: energies (2^d,)  ->  eigenvalues (k,), vectors (k, 2^d).

    near: vectors of a neighbouring s to start from; residual: of each eigenpair, whose eigenvalue is then
    accurate to about its square over the distance of the next level. Raises ValueError for bad input,
    MemoryError when the basis does not fit.
    """
    if not 0 <= s <= 1:
        raise ValueError(f"s must lie in [0, 1], got {s}")
    solver = _Levels(energies, driver, schedule, k, residual)
    signs = parity_signs(solver.d, driver)
    values, vectors = solver.solve(s, None if near is None else near * signs)
    return values, vectors * signs


def level_curves(energies, s, driver="scaled", schedule="linear", k=2, residual=1e-6):
    """The k lowest levels on a grid: energies (2^d,), s (n,) in [0, 1]  ->  (n, k). Raises as `levels`."""
    s = np.atleast_1d(np.asarray(s, dtype=np.float64))
    if not ((s >= 0) & (s <= 1)).all():
        raise ValueError("s must lie in [0, 1]")
    solver, curves, vectors = _Levels(energies, driver, schedule, k, residual), np.empty((len(s), k)), None
    for row, here in zip(curves, s):
        row[:], vectors = solver.solve(here, vectors)
    return curves


@dataclass(frozen=True)
class Gap:
    """Minimum of E1 - E0 over s.

    gap, s: the minimum and its place; lower_bound: certified, at most the tolerance below; solves: how many.
    interior_gap, interior_s: the smallest local minimum at 0 < s < 1, NaN if there is none.
    end_gap: at s = 1, E1 - E0 of the problem itself if B(1) = 1.
    two_level_gap, two_level_s: of the two lowest bit-strings alone, if `flips`, the bits in which they
    differ, is 1 (else NaN).
    """

    gap: float
    s: float
    lower_bound: float
    solves: int
    interior_gap: float
    interior_s: float
    end_gap: float
    two_level_gap: float
    two_level_s: float
    flips: int


@dataclass(frozen=True)
class _Sample:
    s: float
    A: float
    B: float
    values: np.ndarray  # (2,) eigenvalues
    driver: np.ndarray  # (2,) expected H_D
    problem: np.ndarray  # (2,) expected H_P
    vectors: np.ndarray

    @property
    def gap(self):
        return self.values[1] - self.values[0]

    def slope(self, dA, dB):
        """Derivative of the gap by s (Hellmann-Feynman)."""
        return dA * (self.driver[1] - self.driver[0]) + dB * (self.problem[1] - self.problem[0])


class _GapSearch:
    """Branch and bound on s for the minimum gap.

    As functions of (A, B), E0 and E0 + E1 are concave and of degree one. So E0 lies below the expectation of
    H in any vector, and E0 + E1 at (A, B) = a (A_l, B_l) + b (A_r, B_r) with a, b >= 0 lies above a times
    its value at l plus b times that at r: together a lower bound of the gap between two samples.
    """

    def __init__(self, energies, driver, schedule, residual):
        self.solver = _Levels(energies, driver, schedule, 2, residual)
        require_memory(self.solver.d, 80, "the vectors of all samples")
        self.schedule = self.solver.schedule
        self.samples = {}

    def at(self, s):
        """The sample at s, from its nearest neighbour's vectors if it is new."""
        if s not in self.samples:
            near = min(self.samples.values(), key=lambda sample: abs(sample.s - s), default=None)
            values, vectors = self.solver.solve(s, near and near.vectors)
            weights = float(self.schedule.A(s)), float(self.schedule.B(s))
            self.samples[s] = _Sample(s, *weights, values, *self.solver.expected(vectors), vectors)
        return self.samples[s]

    def bound(self, left, right):
        """Lower bound of the gap between two samples, and where it is attained.

        Cell by cell: exact for a linear schedule, for others up to the schedule's curvature within a cell.
        """
        s = np.linspace(left.s, right.s, _CELLS + 1)
        A, B = self.schedule.A(s), self.schedule.B(s)
        area = left.A * right.B - right.A * left.B
        if abs(area) < 1e-14:  # the schedule only scales H between them
            return min(left.gap, right.gap), (left.s + right.s) / 2
        chord = (A * right.B - right.A * B) / area * left.values.sum()
        chord += (left.A * B - A * left.B) / area * right.values.sum()
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
                (w(sample.s + sign * step) - w(sample.s)) * sign / step
                for w in (self.schedule.A, self.schedule.B)
            )
            slopes.append(sample.slope(dA, dB))
        margin = 0.2
        if slopes[0] < 0 < slopes[1]:
            lowest, margin = left.s - slopes[0] / (slopes[1] - slopes[0]) * width, 0.1
        return float(np.clip(lowest, left.s + margin * width, right.s - margin * width))

    def minimise(self, tolerance):
        """->  sample of least gap, lower bound, which is at most the tolerance below."""
        grid = np.linspace(0, 1, 9).tolist()
        best = min((self.at(s) for s in grid), key=lambda sample: sample.gap)
        heap = []

        def push(a, b):
            bound, lowest = self.bound(self.at(a), self.at(b))
            heapq.heappush(heap, (bound, a, b, lowest))

        for a, b in zip(grid, grid[1:]):
            push(a, b)
        while heap[0][0] < best.gap - tolerance and heap[0][2] - heap[0][1] > 1e-9:
            _, a, b, lowest = heapq.heappop(heap)
            middle = self.split(self.at(a), self.at(b), lowest)
            best = min(best, self.at(middle), key=lambda sample: sample.gap)
            push(a, middle)
            push(middle, b)
        return best, min(heap[0][0], best.gap)

    def interior(self, best):
        """Gap and place of the smallest local minimum inside; NaN without one."""
        if 0 < best.s < 1:
            return best.gap, best.s
        found = []
        ordered = [self.samples[s] for s in sorted(self.samples)]
        for left, here, right in zip(ordered, ordered[1:], ordered[2:]):
            if here.gap < min(left.gap, right.gap):
                minimum = minimize_scalar(
                    lambda s: self.at(float(s)).gap,
                    bounds=(left.s, right.s),
                    method="bounded",
                    options={"xatol": 1e-4},
                )
                found.append((minimum.fun, minimum.x))
        return min(found, default=(np.nan, np.nan))


def two_level(energies, driver="scaled"):
    """Two lowest bit-strings alone, linear schedule: energies (2^d,)  ->  gap, s, bits in which they differ.

    With D = E1 - E0 and g the driver's strength, 1 - s = D^2 / (D^2 + 4 g^2) and
    gap = 2 g D / sqrt(D^2 + 4 g^2) if they differ in one bit; else gap and s are NaN.
    """
    batch, d = checked(energies)
    first, second = np.argsort(batch[0], kind="stable")[:2]
    D, g = batch[0, second] - batch[0, first], abs(driver_strength(driver, d))
    flips = int(first ^ second).bit_count()
    if flips != 1:
        return np.nan, np.nan, flips
    return float(2 * g * D / np.hypot(D, 2 * g)), float(1 - D**2 / (D**2 + 4 * g**2)), flips


def minimum_gap(energies, driver="scaled", schedule="linear", tolerance=1e-6, residual=1e-5):
    """Certified minimum over s of the gap between the two lowest levels: energies (2^d,), d >= 1  ->  Gap.

    tolerance: of the gap; residual: of the eigenpairs, whose values are accurate to about its square.
    Raises ValueError for bad input, MemoryError when the basis does not fit.
    """
    if not tolerance > 0:
        raise ValueError(f"tolerance must be positive, got {tolerance}")
    search = _GapSearch(energies, driver, schedule, residual)
    best, lower_bound = search.minimise(tolerance)
    interior = (float(x) for x in search.interior(best))
    end_gap, solves = float(search.samples[1.0].gap), search.solver.solves
    return Gap(
        float(best.gap), best.s, float(lower_bound), solves, *interior, end_gap, *two_level(energies, driver)
    )
