"""Lowest levels of a problem along an annealer's schedule, followed from s = 0 to 1, for `open_system`.

H(s) = -pi A(s) sum sigma_x + pi B(s) (Ising energies), in radians a nanosecond. With the fast protocol's ancilla H is
unchanged when all spins turn, so its levels fall into an even and an odd sector, whose levels are nearly equal late in
the anneal. Each sector is held on the strings of the d spins, the ancilla being +1; every sigma_z leads from one to
the other. In the standard protocol there is one sector.
"""

from dataclasses import dataclass, field

import dimod
import numpy as np
from scipy.interpolate import CubicSpline
from scipy.linalg import eigh
from scipy.optimize import linear_sum_assignment
from scipy.sparse.linalg import LinearOperator, eigsh

from .. import require
from ..qubo.binary import DEGENERATE, ground_states
from .evolution import loops_on
from .ising import as_taken
from .processors import find_processor
from .schedules import of_processor

LARGEST, ALL_LEVELS = 12, 7  # d up to which levels are followed, and up to which all are by default
_DENSE = 8  # d up to which LAPACK finds the levels
_LEVELS = 32  # by default beyond ALL_LEVELS
_ANGLES = (0.05, 0.2, 0.2)  # by which the lowest levels may turn in an interval
_SHORTEST = 1e-5  # length in s below which levels count as crossing


@dataclass(frozen=True, eq=False)
class LevelPath:
    """Levels of one problem at s (n + 1,), in S sectors (1, or 2 of the fast protocol), k in each.

    energies: (n + 1, S, k), each level followed, so not always rising; turns: (n, S, k, k), antisymmetric: exp(-turns)
    leads from the levels at one s to those at the next; flips: (n + 1, k, k), sum over the qubits of
    |<a|sigma_z|b>|^2, from the first sector to the last; signs: (n + 1, k, d), <a|sigma_z|a>; start: (S, k), amplitudes
    of the driver's ground state; final: (S, 2^d, k), levels at s = 1; outside: (n, S, k), what turns out of the k
    levels in each interval; classical: (2^d,), energies of the strings at s = 1; problem_weight: (n + 1,), B(s) / B(1);
    optimum: (2^d,) bool.

    >>> path = follow_levels(dimod.BinaryQuadraticModel({"a": -1.0, "b": -0.5}, {}, 0.0, dimod.BINARY), slices=32)
    >>> path.d, path.energies.shape[1:], path.optimum.tolist()
    (2, (1, 4), [False, False, False, True])
    """

    protocol: str
    temperature_mK: float
    s: np.ndarray
    energies: np.ndarray
    turns: np.ndarray
    flips: np.ndarray
    signs: np.ndarray
    start: np.ndarray
    final: np.ndarray
    outside: np.ndarray
    classical: np.ndarray
    problem_weight: np.ndarray
    optimum: np.ndarray
    _kept: dict = field(default_factory=dict, init=False, repr=False)  # unitaries of the last annealing time

    @property
    def d(self) -> int:
        """Number of spins, without an ancilla."""
        return len(self.classical).bit_length() - 1

    def unitaries(self, nanoseconds: float) -> np.ndarray:
        """Closed evolution through each interval in an anneal of this length, (n, S, k, k) complex.

        From amplitudes of the levels at one s to those at the next. The turning is even within an interval and goes on
        while the phases do, so that a slow anneal is followed in few. Those of the last length are kept.

        >>> bqm = dimod.BinaryQuadraticModel({"a": -1.0, "b": -0.5}, {}, 0.0, dimod.BINARY)
        >>> U = follow_levels(bqm, slices=32).unitaries(500.0)
        >>> bool(np.allclose(U[3, 0] @ U[3, 0].conj().T, np.eye(4)))
        True
        """
        if nanoseconds not in self._kept:
            self._kept.clear()
            action = CubicSpline(self.s, self.energies).antiderivative()(self.s)
            phases = nanoseconds * np.diff(action, axis=0)
            phases -= phases.mean(axis=-1, keepdims=True)
            U = np.empty(self.turns.shape, complex)
            for place in np.ndindex(U.shape[:2]):
                values, vectors = np.linalg.eigh(np.diag(phases[place]) - 1j * self.turns[place])
                U[place] = (vectors * np.exp(-1j * values)) @ vectors.conj().T
            self._kept[nanoseconds] = U
        return self._kept[nanoseconds]


class _Hamiltonian:
    """H(s) of the sectors, and its lowest levels. energies: (2^d,), in the processor's units."""

    def __init__(self, energies, schedule, sectors, k):
        self.energies, self.schedule, self.k = energies, schedule, k
        self.d = len(energies).bit_length() - 1
        self.parities = (0,) if sectors == 1 else (1, -1)
        index = np.arange(2**self.d)
        self.flipped = [index ^ (1 << q) for q in range(self.d)]
        self.loops = loops_on()
        self.random = np.random.default_rng(0).normal(size=2**self.d)

    def __call__(self, s, near=None):
        """Levels at s: (S, k), (S, 2^d, k)."""
        found = [self._lowest(s, parity) for parity in self.parities]
        return np.array([values for values, _ in found]), np.array([vectors for _, vectors in found])

    def _lowest(self, s, parity):
        A, size = float(self.schedule.A(s)), 2**self.d
        diagonal = float(self.schedule.B(s)) * self.energies
        if self.d <= _DENSE or self.k > size // 4:
            H, index = np.diag(diagonal), np.arange(size)
            for flipped in self.flipped:
                H[index, flipped] -= A
            H[index, index[::-1]] -= A * parity
            return eigh(H, subset_by_index=(0, self.k - 1) if self.k < size else None)

        def product(x):
            y, x = np.empty(size), np.ascontiguousarray(x.ravel())
            self.loops.hamiltonian(x, diagonal, -A, y)
            return y - A * parity * x[::-1]

        H, basis = LinearOperator((size, size), matvec=product, dtype=float), min(size, 3 * self.k + 24)
        values, vectors = eigsh(H, self.k, which="SA", ncv=basis, v0=self.random, tol=1e-7)
        order = np.argsort(values)
        return values[order], vectors[:, order]


def _logarithm(overlaps):
    """Antisymmetric logarithm of an orthogonal matrix (k, k)."""
    X = (overlaps - overlaps.T) / 2
    if abs(X).sum(axis=0).max() < 0.3:  # asinh, whose powers fall by ten each
        square = X @ X
        term, total = X, X.copy()
        for n in range(1, 8):
            term = term @ square * (-((2 * n - 1) ** 2) / (2 * n * (2 * n + 1)))
            total += term
        return total
    _, vectors = np.linalg.eigh((overlaps + overlaps.T) / 2 - 0.7j * X)  # cos + 0.7 sin of each angle
    angles = np.angle(np.einsum("ij,ij->j", vectors.conj(), overlaps @ vectors))
    total = ((vectors * (1j * angles)) @ vectors.conj().T).real
    return (total - total.T) / 2


def _joined(before, after):
    """The levels after, in the order and with the signs of those before, of one sector.

    before, after: energies (k,), vectors (2^d, k)  ->  energies, vectors, overlaps (k, k), whether one of the lowest
    turns by more than the angle or crosses another.
    """
    overlaps = before[1].T @ after[1]
    lowest = np.argsort(before[0])[: len(_ANGLES)]
    order = np.arange(len(overlaps))
    if overlaps.shape[0] > 1 and (abs(overlaps).diagonal() < 0.75).any():
        _, order = linear_sum_assignment(-(overlaps**2))
        overlaps = overlaps[:, order]
    sign = np.where(overlaps.diagonal() < 0, -1.0, 1.0)
    overlaps = overlaps * sign
    energies, vectors = after[0][order], after[1][:, order] * sign
    crossed = (np.argsort(energies)[: len(lowest)] != lowest).any()
    return energies, vectors, overlaps, crossed or (overlaps.diagonal()[lowest] < np.cos(_ANGLES[: len(lowest)])).any()


def follow_levels(
    bqm: dimod.BinaryQuadraticModel,
    processor: str = "Advantage2_system2",
    protocol: str = "standard",
    *,
    levels: int | None = None,
    slices: int = 128,
) -> LevelPath:
    """Levels of a model on a processor: d <= 12 variables  ->  LevelPath.

    levels: how many of the lowest, of each sector; None for all up to d = 7, 32 beyond. slices: intervals of s at
    least; halved where the ground level turns by more than 0.05 or the next two by 0.2, down to 1e-5, below which
    levels count as crossing. Success is then right to about 1e-3: see other slices. Raises ValueError for other d,
    levels and slices, an unknown processor or protocol, strings of equal energy, and as `ising.as_taken`.

    >>> follow_levels(dimod.BinaryQuadraticModel({"a": 0.0}, {}, 0.0, dimod.BINARY))
    Traceback (most recent call last):
    ValueError: strings 0 and 1 have the same energy: the master equation needs levels that differ, so change a bias
    """
    taken = as_taken(bqm, protocol)
    d, sectors = (taken.d - 1, 2) if protocol == "fast" else (taken.d, 1)
    if not 1 <= d <= LARGEST:
        raise ValueError(f"the levels of 1 to {LARGEST} variables can be followed, got {d}: choose a smaller problem")
    levels = min(2**d, 2**ALL_LEVELS if d <= ALL_LEVELS else _LEVELS) if levels is None else levels
    levels, slices = require.whole("levels", levels, 2, 2**d), require.whole("slices", slices, 2)
    energies = taken.energies()[-(2**d) :]  # those with the ancilla +1
    _require_distinct(energies, levels)
    schedule = of_processor(processor, protocol)
    hamiltonian = _Hamiltonian(energies, schedule, sectors, levels)
    z = 2.0 * (np.arange(2**d)[:, None] >> np.arange(d) & 1) - 1  # (2^d, d)

    def measured(vectors):
        """flips (k, k) and signs (k, d) of levels (S, 2^d, k)."""
        first, last = vectors[0], vectors[-1]
        flips = (first.T @ last) ** 2 if sectors == 2 else np.zeros((levels, levels))  # sigma_z of the ancilla
        signs = np.zeros((levels, d))
        for q in range(d):
            element = (first * z[:, q : q + 1]).T @ last
            flips += element**2
            if sectors == 1:
                signs[:, q] = element.diagonal()
        return flips, signs

    at = {0.0: hamiltonian(0.0)}
    s, here = [0.0], at[0.0]
    rows, turns, outside = [(here[0], *measured(here[1]))], [], []
    start = np.einsum("iak->ik", here[1]) * 2 ** (-d / 2)
    if sectors == 2:
        start[1] = 0
    ahead = list(np.linspace(0, 1, slices + 1)[:0:-1])
    found = {}
    while ahead:
        place = ahead[-1]
        if place not in found:
            found[place] = hamiltonian(place)
        parts = [_joined((here[0][i], here[1][i]), (found[place][0][i], found[place][1][i])) for i in range(sectors)]
        if any(part[3] for part in parts) and place - s[-1] > 2 * _SHORTEST:
            ahead.append((place + s[-1]) / 2)
            continue
        here = np.array([part[0] for part in parts]), np.array([part[1] for part in parts])
        overlaps = [part[2] for part in parts]
        outside.append([1 - np.minimum((overlap**2).sum(axis=1), 1) for overlap in overlaps])
        if levels < 2**d:
            overlaps = [u @ vh for u, _, vh in map(np.linalg.svd, overlaps)]
        turns.append([_logarithm(overlap) for overlap in overlaps])
        rows.append((here[0], *measured(here[1])))
        s.append(float(ahead.pop()))
        found.pop(place)
    along, flips, signs = (np.array(part) for part in zip(*rows))
    weight = schedule.B(np.array(s))
    return LevelPath(
        protocol,
        find_processor(processor).temperature_mK,
        np.array(s),
        along,
        np.array(turns),
        flips,
        signs,
        start,
        here[1],
        np.array(outside),
        weight[-1] * energies,
        weight / weight[-1],
        ground_states(energies),
    )


def _require_distinct(energies, levels):
    """Raise ValueError if two of the lowest strings have the same energy."""
    order = np.argsort(energies, kind="stable")[: levels + 1]
    near = np.flatnonzero(np.diff(energies[order]) <= DEGENERATE * max(np.ptp(energies), 1e-300))
    if len(near):
        pair = f"strings {order[near[0]]} and {order[near[0] + 1]} have the same energy"
        raise ValueError(f"{pair}: the master equation needs levels that differ, so change a bias")
