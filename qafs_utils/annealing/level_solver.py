"""Lowest levels of H(s) = A(s) H_D + B(s) diag(energies) of one problem, by matrix-free Lanczos.

All computations use the driver -|g| sum sigma_x, whose lowest vector has no negative component.
"""

import numpy as np
from scipy.linalg import eigh

from .. import require
from ..compiled import njit
from .evolution import loops_on
from .schedules import driver_strength, find_schedule

_BASIS_BYTES = 2**31  # Lanczos restarts when its basis outgrows this
_LANES = 8  # shifts at which eigenvalues are counted together


@njit(error_model="numpy")
def lowest_of_tridiagonal(alpha, beta, k):
    """The k lowest eigenpairs: diagonal (n,), off-diagonal (n - 1,)  ->  values (k,), vectors (k, n).

    Counts of negative pivots at several shifts, then inverse iteration with pivoting, each vector kept orthogonal.

    >>> lowest_of_tridiagonal(np.zeros(2), np.ones(1), 1)[0]
    array([-1.])
    """
    n, squares = len(alpha), np.zeros(len(alpha))
    squares[1:] = np.maximum(beta * beta, 1e-300)
    reach = np.sqrt(squares)
    reach[:-1] += reach[1:]
    low, high = (alpha - reach).min(), (alpha + reach).max()
    close = 4e-16 * max(abs(low), abs(high)) + 1e-300
    low, high = low - close, high + close
    values, vectors = np.full(k, high), np.empty((k, n))
    shifts, pivots, counts = np.empty(_LANES), np.empty(_LANES), np.empty(_LANES)
    main, upper, second, factor, swapped = np.empty(n), np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n, np.bool_)
    for level in range(k):
        left, right = low, high
        while right - left > close:
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
        values[level] = low = (left + right) / 2
        main[:], upper[:-1], second[:] = alpha - low, beta, 0.0
        for j in range(n - 1):  # rows j and j + 1
            swapped[j] = abs(beta[j]) > abs(main[j])
            if swapped[j]:
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
            x[j] = 1.0 + 0.1 * ((j * (7 + level)) % 5)
        for turn in range(3):
            if turn:
                for j in range(n - 1):
                    if swapped[j]:
                        x[j], x[j + 1] = x[j + 1], x[j]
                    x[j + 1] -= factor[j] * x[j]
            for j in range(n - 1, -1, -1):
                ahead = upper[j] * x[j + 1] if j + 1 < n else 0.0
                ahead += second[j] * x[j + 2] if j + 2 < n else 0.0
                x[j] = (x[j] - ahead) / main[j]
            x /= np.abs(x).max()
            for other in range(level):
                x -= (x * vectors[other]).sum() * vectors[other]
            x /= np.sqrt((x * x).sum())
    return values, vectors


class LevelSolver:
    """Solver of one problem that keeps its Lanczos basis between values of s: energies (2^d,).

    k: levels; residual: of their vectors, one or (k,); device: as for `anneal`. solvers: how many such solvers there
    is to be memory for, this one included; samples: vectors of `room`, for the caller's use.
    Raises ValueError for bad input, MemoryError when the basis does not fit.

    >>> solver = LevelSolver([0.0, 1.0], driver="scaled", schedule="linear", k=2, residual=1e-6)
    >>> values, vectors = solver.solve(0.8)
    >>> values.round(3)
    array([-0.047,  0.847])
    """

    def __init__(self, energies, *, driver, schedule, k, residual, device=None, solvers=1, samples=0):
        if np.ndim(energies) > 1:
            raise ValueError(f"energies of one problem must be (2^d,), got {tuple(np.shape(energies))}")
        self.loops = loops_on(device)
        batch, self.d = self.loops.checked(energies)
        size = 2**self.d
        self.energies, self.k = batch[0], require.whole("k", k, 1, size)
        spread = float(self.energies.max() - self.energies.min())
        self.residuals = np.maximum(np.broadcast_to(residual, self.k), 1e-12 * spread)  # rounding allows no less
        self.g, self.schedule = -abs(driver_strength(driver, self.d)), find_schedule(schedule)
        self.lowest = self.loops.lowest(self.energies, min(2 * self.k, size))
        self.dense, rows = size <= max(64, 16 * self.k), -1  # where LAPACK is faster
        if not self.dense:
            rows = int(np.clip(_BASIS_BYTES // self.energies.nbytes, 24, min(300, size - self.k)))
            needed = solvers * (rows + 4 * self.k + 20) + samples - self.loops.spare_numbers() / size
            self.loops.require_memory(self.d, needed, "the Lanczos basis")
            self.alpha, self.norms = np.empty(rows), np.empty(rows + 1)
            self.random = self.loops.array(np.random.default_rng(0).normal(size=(self.k, size)) * size**-0.5)
        memory = self.loops.lend(self, (rows + 1 + samples, size))
        self.basis, self.room = memory[: rows + 1], memory[rows + 1 :]

    def solve(self, s, near=None, spanned=False):
        """Eigenvalues (k,) and vectors (k, 2^d) at s.

        near: (k, 2^d), approximate vectors to start from. The starts are mixed with classical and random states, to see
        a level that crosses from above; only the last one's if `near` is known to span the lowest levels.
        """
        flip, weight = float(self.schedule.A(s)) * self.g, float(self.schedule.B(s))
        if self.dense:
            return self._solve_dense(flip, weight)
        if flip == 0:
            return self._solve_classical(weight)
        diagonal = weight * self.energies
        diagonal -= (shift := float(diagonal.min()))
        values, vectors = np.empty(self.k), self.loops.empty((self.k, 2**self.d))
        for level in range(self.k):  # one after the other: a degenerate level has several vectors
            start = self.random[level] if near is None else near[level]
            if not spanned or level == self.k - 1:
                start = start + 0.05 * self.random[level]
                start[self.lowest] += 0.1
            residual = self.residuals[level]
            values[level], vectors[level] = self._lowest(diagonal, flip, start, vectors[:level], residual)
        order = np.argsort(values)
        if (np.diff(values) < -self.residuals[1:]).any():  # a level was missed and found by the next, less exactly
            return self.solve(s, vectors[order], spanned=True)
        return values[order] + shift, vectors[order]

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

    def _lowest(self, diagonal, flip, start, below, residual):
        """Lowest eigenpair orthogonal to `below`, to this residual."""
        basis, alpha, norms, rows = self.basis, self.alpha, self.norms, len(self.alpha)
        while True:  # a start a turn
            basis[0] = start
            for vector in below:
                basis[0] -= self.loops.dot(vector, start) * vector
            norms[0], done = np.sqrt(self.loops.dot(basis[0], basis[0])), 0
            while True:
                goal = min(rows, done + max(6, done // 5))
                done = self.loops.lanczos(basis, diagonal, flip, done, goal, alpha, norms, below)
                value, vector = lowest_of_tridiagonal(alpha[:done], norms[1:done], 1)
                converged = done < goal or norms[done] * abs(vector[0, -1]) < residual
                if converged or done == rows:
                    break
            start = self.loops.combine(vector / norms[:done], basis[:done])[0]
            if converged:
                return value[0], start / np.sqrt(self.loops.dot(start, start))
