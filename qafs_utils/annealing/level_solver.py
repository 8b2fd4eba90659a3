"""Lowest levels of H(s) = A(s) H_D + B(s) diag(energies) of one problem, by matrix-free Lanczos.

All computations use the driver -|g| sum sigma_x, whose lowest vector has no negative component.
"""

import numpy as np
from scipy.linalg import eigh, eigh_tridiagonal

from .. import require
from .evolution import loops_on
from .schedules import driver_strength, find_schedule

_BASIS_BYTES = 2**31  # Lanczos restarts when its basis outgrows this


class LevelSolver:
    """Solver of one problem that keeps its Lanczos basis between values of s: energies (2^d,).

    k: levels; residual: of their vectors, one or (k,); device: as for `anneal`. solvers, samples: how many such
    solvers, and vectors, are there to be memory for, this one included.
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
        self.energies, self.k, self.span = batch[0], require.whole("k", k, 1, size), None
        spread = float(self.energies.max() - self.energies.min())
        self.residuals = np.maximum(np.broadcast_to(residual, self.k), 1e-12 * spread)  # rounding allows no less
        self.g, self.schedule = -abs(driver_strength(driver, self.d)), find_schedule(schedule)
        self.lowest = self.loops.lowest(self.energies, min(2 * self.k, size))
        self.dense = size <= max(64, 16 * self.k)  # where LAPACK is faster
        if not self.dense:
            rows = int(np.clip(_BASIS_BYTES // self.energies.nbytes, 24, min(300, size - self.k)))
            needed = solvers * (rows + 4 * self.k + 20) + samples - self.loops.spare_numbers() / size
            self.loops.require_memory(self.d, needed, "the Lanczos basis")
            self.basis = self.loops.lend(self, (rows + 1, size))
            self.alpha, self.norms = np.empty(rows), np.empty(rows + 1)
            self.random = self.loops.array(np.random.default_rng(0).normal(size=(self.k, size)) * size**-0.5)

    def solve(self, s, near=None, spanned=False):
        """Eigenvalues (k,) and vectors (k, 2^d) at s.

        near: j >= k times (2^d,), approximate lowest vectors to start from. The starts are mixed with classical and
        random states, to see a level that crosses from above, unless `near` is known to span the lowest levels.
        """
        flip, weight = float(self.schedule.A(s)) * self.g, float(self.schedule.B(s))
        if self.dense:
            return self._solve_dense(flip, weight)
        if flip == 0:
            return self._solve_classical(weight)
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

    def _ritz(self, diagonal, flip, near):
        """Rayleigh-Ritz in the span of `near`  ->  the lowest k values (k,), vectors (k, 2^d), residuals (k,)."""
        n = len(near)
        if self.span is None or len(self.span) < 2 * n:
            self.span = self.loops.empty((2 * n, 2**self.d))
        for vector, copy, product in zip(near, self.span, self.span[n:]):
            copy[:] = vector
            self.loops.hamiltonian(copy, diagonal, flip, product)
        gram = self.loops.gram(self.span[: 2 * n])
        sizes, mix = np.linalg.eigh(gram[:n, :n])
        kept = sizes > 1e-10 * sizes[-1]
        mix = mix[:, kept] / np.sqrt(sizes[kept])
        values, turn = np.linalg.eigh(mix.T @ gram[:n, n:] @ mix)
        values, mix = values[: self.k], (mix @ turn[:, : self.k]).T
        mix_residual = np.hstack([-values[:, None] * mix, mix])  # of near and of H near
        residuals = np.sqrt(np.maximum(np.einsum("ki,ij,kj->k", mix_residual, gram, mix_residual), 0))
        return values, self.loops.combine(mix, self.span[:n]), residuals

    def _lowest(self, diagonal, flip, start, below, residual):
        """Lowest eigenpair orthogonal to `below`, to this residual."""
        basis, alpha, norms, rows = self.basis, self.alpha, self.norms, len(self.alpha)
        while True:  # a start a turn
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
                converged = done < goal or norms[done] * abs(vector[-1, 0]) < residual
                if converged or done == rows:
                    break
            start = self.loops.combine(vector.T / norms[:done], basis[:done])[0]
            if converged:
                return value[0], start / np.sqrt(self.loops.dot(start, start))

    def expected(self, vectors):
        """Expected H_D and H_P of each vector: (k, 2^d)  ->  (k,), (k,)."""
        driver, problem, product, nothing = [], [], self.loops.empty(2**self.d), 0 * self.energies
        for vector in vectors:
            self.loops.hamiltonian(vector, nothing, self.g, product)
            driver.append(self.loops.dot(vector, product))
            problem.append(self.loops.dot(vector, vector * self.energies))
        return np.array(driver), np.array(problem)
