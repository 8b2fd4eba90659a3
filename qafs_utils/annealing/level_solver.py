"""Lowest levels of H(s) = A(s) H_D + B(s) diag(energies) of one problem, by matrix-free Lanczos.

All computations use the driver -|g| sum sigma_x, whose lowest vector has no negative component.
"""

from functools import lru_cache
from types import FunctionType

import numpy as np
from scipy.linalg import eigh

from .. import require
from .cpu import SUMS, _combine, _lanczos
from .evolution import loops_on
from .schedules import driver_strength, find_schedule
from .simd import njit

_BASIS_BYTES = 2**31  # Lanczos restarts when its basis outgrows this
_STRINGS, _RANDOM, _TOGETHER = 0.1, 0.05, 0.1  # what a start is mixed with; a share of it for all levels
_LITTLE = 1 << 21  # numbers for which there is always memory
_CHECK = 8000  # numbers times steps that cost as much as a check
_COPIES = 1e-9  # residual of a level, relative, from which Lanczos vectors lose their orthogonality
_STARTS = 1000  # of Lanczos for a level, each from what the last found
_LANES = 8  # shifts at which eigenvalues are counted together


@njit(error_model="numpy")
def lowest_of_tridiagonal(alpha, beta, k):
    """The k lowest eigenpairs: diagonal (n,), off-diagonal (n - 1,)  ->  values (k,), vectors (k, n).

    Counts of negative pivots at several shifts, then inverse iteration with pivoting, each vector kept orthogonal.

    >>> lowest_of_tridiagonal(np.zeros(2), np.ones(1), 1)[0]
    array([-1.])
    """
    n, low, high = len(alpha), np.inf, -np.inf  # loops throughout: expressions of arrays take seconds to compile
    squares = np.empty(n)
    for j in range(n):
        reach = (abs(beta[j - 1]) if j else 0.0) + (abs(beta[j]) if j + 1 < n else 0.0)
        low, high = min(low, alpha[j] - reach), max(high, alpha[j] + reach)
        squares[j] = max(beta[j - 1] * beta[j - 1], 1e-300) if j else 0.0
    close = 4e-16 * max(abs(low), abs(high)) + 1e-300
    low, high, near = low - close, high + close, 1e-10 * (high - low) + close
    values, vectors = np.empty(k), np.empty((k, n))
    shifts, pivots, counts = np.empty(_LANES), np.empty(_LANES), np.empty(_LANES)
    main, upper, second, factor, swapped = np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    for level in range(k):
        left, right = low, high
        while right - left > near:
            for i in range(_LANES):
                shifts[i], pivots[i], counts[i] = left + (right - left) * (i + 1) / (_LANES + 1), 1.0, 0.0
            for j in range(n):
                for i in range(_LANES):
                    pivots[i] = alpha[j] - shifts[i] - squares[j] / pivots[i]
                    counts[i] += 1.0 if pivots[i] < 0 else 0.0
            step = (right - left) / (_LANES + 1)
            below = 0
            while below < _LANES and counts[below] <= level:
                below += 1
            left, right = (shifts[below - 1] if below else left), (shifts[below] if below < _LANES else right)
            if right - left > 0.5 * step * (_LANES + 1):  # rounding: no shift lies between
                break
        low = left
        for j in range(n):
            main[j], second[j] = alpha[j] - (left + right) / 2, 0.0
            upper[j] = beta[j] if j + 1 < n else 0.0
        for j in range(n - 1):  # rows j and j + 1
            swapped[j] = abs(beta[j]) > abs(main[j])
            if swapped[j] > 0:
                factor[j] = main[j] / beta[j]
                main[j], upper[j], main[j + 1] = beta[j], main[j + 1], upper[j] - factor[j] * main[j + 1]
                second[j], upper[j + 1] = upper[j + 1], -factor[j] * upper[j + 1]
            else:
                main[j] = main[j] if abs(main[j]) > close else close
                factor[j] = beta[j] / main[j]
                main[j + 1] -= factor[j] * upper[j]
        main[n - 1] = main[n - 1] if abs(main[n - 1]) > close else close
        x = vectors[level]
        for j in range(n):
            x[j] = 0.5 + (0.6180339887 * (j + 1) * (j + 7 + 3 * level)) % 1.0  # no pattern
        for turn in range(3):
            if turn:
                for j in range(n - 1):
                    if swapped[j] > 0:
                        x[j], x[j + 1] = x[j + 1], x[j]
                    x[j + 1] -= factor[j] * x[j]
            for j in range(n - 1, -1, -1):
                ahead = upper[j] * x[j + 1] if j + 1 < n else 0.0
                ahead += second[j] * x[j + 2] if j + 2 < n else 0.0
                x[j] = (x[j] - ahead) / main[j]
            largest = 0.0
            for j in range(n):
                largest = max(largest, abs(x[j]))
            for j in range(n):
                x[j] /= largest
            for other in range(level + 1):  # the last is x itself, to get length 1
                part = 0.0
                for j in range(n):
                    part += x[j] * vectors[other, j]
                part = part if other < level else 1 - 1 / np.sqrt(part)
                for j in range(n):
                    x[j] -= part * vectors[other, j]
        values[level] = 0.0
        for j in range(n):
            values[level] += x[j] * (alpha[j] * x[j] + (2 * beta[j] * x[j + 1] if j + 1 < n else 0.0))
    return values, vectors


@njit(fastmath=SUMS, error_model="numpy")
def _krylov(basis, diagonal, flip, alpha, norms, below, residuals):
    """Lanczos steps from row 0 until the lowest levels orthogonal to `below` have these residuals (k,).

    ->  values (k,), weights (k, steps) of the rows, whether all have them. It ends early when the basis (m, 2^d) is
    full.
    """
    done, excess, k, copies = 0, np.inf, len(residuals), False
    least = max(4, min(20, _CHECK // basis.shape[1]))  # steps between checks: many at once would find copies
    goal = min(8 + least, len(alpha))
    while True:
        before, previous = done, excess
        done = _lanczos(basis, diagonal, flip, done, goal, alpha, norms, below)
        values, mix = lowest_of_tridiagonal(alpha[:done], norms[1:done], min(done, k))
        levels, excess = len(mix), 0.0
        for level in range(levels):
            found = norms[done] * abs(mix[level, done - 1]) if done == goal else 0.0
            excess = excess if found / residuals[level] <= excess else found / residuals[level]  # also NaN
            copies = found < _COPIES * norms[1] if level == 0 else copies  # of a level so exact would appear
            for j in range(done):
                mix[level, j] /= norms[j]
        if excess < 1 or done == len(alpha):
            return values, mix, levels == k and excess < 1
        if k > 1 and copies and not len(below):
            below = _combine(mix[:1], basis[:done])
        steps = done // 3
        if excess < previous < np.inf:  # by as much a step as before
            steps = int(np.log(excess) / np.log(previous / excess) * (done - before)) + 1
        goal = min(len(alpha), done + max(least, min(steps, done // 3)))


@lru_cache(maxsize=2)
def _random(k, size):
    """Random vectors (k, size), of norm 1 about."""
    return np.random.default_rng(0).normal(size=(k, size)) * size**-0.5


def _krylov_on(loops):
    """`_krylov`, on another device its text, not compiled, with that device's loops."""
    if loops.lanczos is _lanczos:
        return _krylov
    text = getattr(_krylov, "py_func", _krylov)
    return FunctionType(text.__code__, text.__globals__ | {"_lanczos": loops.lanczos, "_combine": loops.combine})


class LevelSolver:
    """Solver of one problem that keeps its Lanczos basis between values of s: energies (2^d,).

    k: levels; residual: of their vectors, one or (k,); device: as for `anneal`; samples: vectors of `room`, for the
    caller's use.
    Raises ValueError for bad input, MemoryError when the basis does not fit.

    >>> solver = LevelSolver([0.0, 1.0], driver="scaled", schedule="linear", k=2, residual=1e-6)
    >>> values, vectors = solver.solve(0.8)
    >>> values.round(3)
    array([-0.047,  0.847])
    """

    def __init__(self, energies, *, driver, schedule, k, residual, device=None, samples=0):
        if np.ndim(energies) > 1:
            raise ValueError(f"energies of one problem must be (2^d,), got {tuple(np.shape(energies))}")
        self.loops = loops_on(device)
        batch, self.d = self.loops.checked(energies)
        size = 2**self.d
        self.krylov = _krylov_on(self.loops)
        self.energies, self.k = batch[0], require.whole("k", k, 1, size)
        spread = float(self.energies.max() - self.energies.min())
        self.residuals = np.maximum(np.broadcast_to(residual, self.k), 1e-12 * spread)  # rounding allows no less
        self.g, self.schedule = -abs(driver_strength(driver, self.d)), find_schedule(schedule)
        self.lowest = self.loops.lowest(self.energies, min(2 * self.k, size))
        self.dense, rows = size <= max(64, 16 * self.k), -1  # where LAPACK is faster
        if not self.dense:
            rows = int(np.clip(_BASIS_BYTES // self.energies.nbytes, 24, min(300, size - self.k)))
            needed = rows + 4 * self.k + 20 + samples - self.loops.spare_numbers() / size
            if needed * size > _LITTLE:
                self.loops.require_memory(self.d, needed, "the Lanczos basis")
            self.alpha, self.norms = np.empty(rows), np.empty(rows + 1)
            self.random = self.loops.array(_random(self.k, size))
        memory = self.loops.lend(self, (rows + 1 + samples, size))
        self.basis, self.room = memory[: rows + 1], memory[rows + 1 :]

    def solve(self, s, near=None, residuals=None, together=False):
        """Eigenvalues (k,) and vectors (k, 2^d) at s.

        near: (k, 2^d), approximate vectors to start from, which are mixed with classical and random states, to see a
        level that crosses from above. residuals: (k,), None for those of the solver. One level is looked for after the
        other, so that equal ones are found; or all together, which is faster and takes equal ones for one.
        """
        flip, weight = float(self.schedule.A(s)) * self.g, float(self.schedule.B(s))
        if self.dense:
            return self._solve_dense(flip, weight)
        if flip == 0:
            return self._solve_classical(weight)
        diagonal = weight * self.energies
        diagonal -= (shift := float(diagonal.min()))
        residuals = self.residuals if residuals is None else residuals
        values, vectors = np.empty(self.k), 1 * (self.random if near is None else near)
        if together:
            found, mixed, exact = self._lowest(diagonal, flip, self._mixed(vectors.sum(0), 0, _TOGETHER), (), residuals)
            if exact:
                return found + shift, mixed
        for level in range(self.k):
            start = self._mixed(vectors[level], level, 1)
            for _ in range(_STARTS):
                value, found, exact = self._lowest(diagonal, flip, start, vectors[:level], residuals[level : level + 1])
                start = found[0]
                if exact:
                    break
            else:
                raise ArithmeticError(f"level {level} at s = {s} is not exact after {_STARTS} starts of Lanczos")
            values[level], vectors[level] = value[0], start
        order = np.argsort(values)
        if (np.diff(values) < -residuals[1:]).any():  # a level was missed and found by the next, less exactly
            return self.solve(s, vectors[order], residuals)
        return values[order] + shift, vectors[order]

    def _mixed(self, start, level, share):
        """A start with a share of classical and random states."""
        start = start + share * _RANDOM * self.random[level]
        start[self.lowest] += share * _STRINGS
        return start

    def _lowest(self, diagonal, flip, start, below, residuals):
        """Lowest eigenpairs orthogonal to `below`  ->  values (k,), vectors (k, 2^d), whether exact."""
        self.basis[0] = start
        for vector in below:
            self.basis[0] -= self.loops.dot(vector, start) * vector
        self.norms[0] = np.sqrt(self.loops.dot(self.basis[0], self.basis[0]))
        below = below if len(below) else self.basis[:0]
        values, mix, exact = self.krylov(self.basis, diagonal, flip, self.alpha, self.norms, below, residuals)
        return values, self.loops.combine(mix, self.basis[: mix.shape[1]]), exact

    def _solve_dense(self, flip, weight):
        """As `solve`, by LAPACK on the matrix."""
        index = np.arange(2**self.d)
        H = np.diag(weight * np.asarray(self.energies.tolist()))
        for p in range(self.d):
            H[index, index ^ (1 << p)] = flip
        values, vectors = eigh(H, subset_by_index=(0, self.k - 1))
        return values, self.loops.array(vectors.T.copy())

    def _solve_classical(self, weight):
        """As `solve`, without a driver: the lowest bit-strings."""
        vectors = 0 * self.random
        for vector, string in zip(vectors, self.lowest):
            vector[string] = 1
        return weight * np.array(self.energies[self.lowest[: self.k]].tolist()), vectors
