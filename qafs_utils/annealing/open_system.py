"""Anneals of an open system: the adiabatic master equation of weak coupling, in the levels of H(s).

[albash2012quantum] in its secular (Davies) form, as of levels that differ: populations jump between the levels at
the rates gamma(E_b - E_a) sum_q |<a|sigma_z,q|b>|^2, coherences decay by half of the rates out of both levels and by
what the qubits' sigma_z tell between them, and the turning of the levels along the anneal mixes them as in the closed
system. The Lamb shift is left out. It holds where the rates are small against the distances of the levels
(`OpenResult.broadening`), and knows no slow (1/f) noise. In the fast protocol coherences of one sector do not turn
into those of the other, which matters only where levels of a pair are equal, and there to coherences only.
"""

from dataclasses import dataclass

import numpy as np

from .. import require
from .bath import OhmicBath, gibbs
from .level_path import LevelPath
from .processors import anneal_time

STARTS = ("ground", "driver")
_SERIES = 200.0  # jumps in a slice up to which populations are stepped one by one


@dataclass(frozen=True)
class OpenResult:
    """The end of one anneal.

    success: probability of the optimum, all ground states when degenerate, read in the computational basis;
    populations: (S, k) of the levels; state: (S, k, k) complex, in the levels; leaked: estimate of what the levels that
    are not kept would have held, the largest coherent admixture and the largest thermal weight; broadening: largest
    ratio, over s, of the decay of the coherence of ground and first excited level to their distance, to be small.

    >>> OpenResult(1.0, np.ones((1, 2)), np.eye(2)[None], 0.0, 1e-4).broadening
    0.0001
    """

    success: float
    populations: np.ndarray
    state: np.ndarray
    leaked: float
    broadening: float


def jump_rates(path: LevelPath, bath: OhmicBath, place: int) -> np.ndarray:
    """Rates from level (column) to level (row) at path.s[place], in 1/ns: (S k, S k), the diagonal 0.

    >>> import dimod
    >>> from .level_path import follow_levels
    >>> path = follow_levels(dimod.BinaryQuadraticModel({"a": -1.0}, {}, 0.0, dimod.BINARY), slices=32)
    >>> jump_rates(path, OhmicBath(1e-3, 16.0), 16).round(4)  # down the rate is larger
    array([[0.    , 0.0055],
           [0.    , 0.    ]])
    """
    place = require.whole("place", place, 0, len(path.s) - 1)
    levels, flips = path.energies[place].ravel(), path.flips[place]
    if len(path.energies[place]) == 2:
        none = np.zeros_like(flips)
        flips = np.block([[none, flips], [flips.T, none]])
    rates = bath.spectral_density(levels[None, :] - levels[:, None]) * flips
    np.fill_diagonal(rates, 0.0)
    return rates


def _jumped(rates, populations, duration):
    """Populations (K,) after this time at rates (K, K), by uniformisation: no number is ever negative."""
    out = rates.sum(axis=0)
    expected = float(out.max()) * duration
    if expected == 0:
        return populations
    steps = rates / out.max()
    np.fill_diagonal(steps, 1 - out / out.max())
    halvings = 0 if expected <= _SERIES else int(np.ceil(np.log2(expected)))
    term = populations if halvings == 0 else np.eye(len(rates))
    weight = np.exp(-expected / 2**halvings)
    total, count, covered = weight * term, 0, weight
    while covered < 1 - 1e-13 and count < 2 * _SERIES + 100:
        count += 1
        weight *= expected / 2**halvings / count
        term = steps @ term
        total += weight * term
        covered += weight
    if halvings == 0:
        return total / covered
    for _ in range(halvings):
        total /= total.sum(axis=0)
        total = total @ total
    return total @ populations


def _first_excited(levels):
    """Places of the ground level and the next one of the first sector: levels (S, k)  ->  ground, next, in (S k,)."""
    ground, excited = np.argsort(levels[0])[:2]
    return int(ground), int(excited)


def anneal_open(path: LevelPath, nanoseconds: float, bath: OhmicBath, *, start: str = "ground") -> OpenResult:
    """One anneal of this length from the ground state  ->  OpenResult.

    start: "ground" of H(0), which a cold annealer is in; "driver" as `evolution.anneal`, whose problem is not there at
    s = 0. Raises ValueError for a length that the protocol does not allow, and as `OhmicBath`.

    >>> import dimod
    >>> from .level_path import follow_levels
    >>> bqm = dimod.BinaryQuadraticModel({"a": -1.0, "b": -0.5}, {("a", "b"): 0.8}, 0.0, dimod.BINARY)
    >>> path = follow_levels(bqm, slices=64)
    >>> result = anneal_open(path, 20_000.0, OhmicBath(1e-4, 16.0))
    >>> round(result.success, 2), result.broadening < 0.01
    (1.0, True)
    """
    nanoseconds = anneal_time(path.protocol, nanoseconds)
    require.choice("start", start, STARTS)
    if not isinstance(bath, OhmicBath):
        raise ValueError(f"bath must be an OhmicBath, got {require.described(bath)}: OhmicBath(1e-4, 16.0)")
    amplitudes = path.start if start == "driver" else np.zeros_like(path.start)
    if start == "ground":
        amplitudes[0, np.argmin(path.energies[0, 0])] = 1.0
    kept = (amplitudes**2).sum()
    leaked, amplitudes = max(0.0, 1 - kept), amplitudes / np.sqrt(kept)
    width = np.diff(path.s) * nanoseconds
    unitaries = path.unitaries(nanoseconds)
    if bath.coupling == 0:
        psi, virtual = amplitudes.astype(complex), 0.0
        for i, U in enumerate(unitaries):
            virtual = max(virtual, _admixed(path, i, width[i], abs(psi) ** 2))
            psi = np.einsum("iab,ib->ia", U, psi)
        state = np.einsum("ia,ib->iab", psi, psi.conj())
        return _result(path, state, min(1.0, leaked + virtual), 0.0)
    state = np.einsum("ia,ib->iab", amplitudes, amplitudes).astype(complex)
    shares = np.concatenate([[0], width / 2]) + np.concatenate([width / 2, [0]])  # time at each s
    outside = thermal = virtual = broadening = 0.0
    sectors, k = amplitudes.shape
    zero = float(bath.spectral_density(0.0))
    for i, duration in enumerate(shares):
        rates = jump_rates(path, bath, i)
        out = rates.sum(axis=0).reshape(sectors, k)
        dephasing = zero * _told(path.signs[i]) / 2
        decay = [(a[:, None] + a[None, :]) / 2 + dephasing for a in out]
        ground, excited = _first_excited(path.energies[i])
        distance = path.energies[i, 0, excited] - path.energies[i, 0, ground]
        broadening = max(broadening, decay[0][ground, excited] / max(distance, 1e-300))
        before = np.einsum("iaa->ia", state).real
        after = _jumped(rates, before.ravel(), duration).reshape(sectors, k)
        into, back = _thermal_exchange(path, bath, i, (before + after) / 2)
        outside = (outside + duration * into) / (1 + duration * back)
        thermal = max(thermal, outside)
        for part, rate, populations in zip(state, decay, after):
            part *= np.exp(-duration * rate)
            np.fill_diagonal(part, populations)
        if i < len(width):
            virtual = max(virtual, _admixed(path, i, width[i], after))
            state = unitaries[i] @ state @ unitaries[i].conj().transpose(0, 2, 1)
    return _result(path, state, min(1.0, leaked + virtual + thermal), broadening)


def _told(signs):
    """Sum over qubits of the squared difference of <sigma_z> between levels: (k, d)  ->  (k, k)."""
    squares = (signs**2).sum(axis=1)
    return np.maximum(squares[:, None] + squares[None, :] - 2 * signs @ signs.T, 0)


def _admixed(path, i, duration, populations):
    """Weight of levels that are not kept, mixed in by the turning in interval i, at most a bound."""
    phases = (path.energies[i].max(axis=-1, keepdims=True) - path.energies[i]) * duration
    return float((populations * path.outside[i] / np.maximum(phases, 1) ** 2).sum())


def _thermal_exchange(path, bath, i, populations):
    """Rates of jumps from populations (S, k) into levels that are not kept, and of one from there back, in 1/ns.

    As if all that are not kept were as near as the highest that is: more jump into them than there, and fewer back.
    """
    qubits, flips, levels = path.d + (len(populations) == 2), path.flips[i], path.energies[i]
    kept = [flips.sum(axis=0)] if len(populations) == 1 else [flips.sum(axis=1), flips.sum(axis=0)]
    missing = np.maximum(qubits - np.array(kept), 0)  # sum over the qubits of |<b|sigma_z|a>|^2 is 1 each over all b
    missing[missing < 1e-9] = 0
    highest = levels.max(axis=-1)[::-1, None]  # of the sector that they lead to
    into = populations * missing * bath.spectral_density(np.minimum(levels - highest, 0))
    return float(into.sum()), float(bath.spectral_density(0.0) * missing.mean())


def _result(path, state, leaked, broadening):
    """What is kept of the final state."""
    strings = sum(
        np.einsum("za,ab,zb->z", levels[path.optimum], part, levels[path.optimum]).real
        for levels, part in zip(path.final, state)
    )
    populations = np.einsum("iaa->ia", state).real
    return OpenResult(float(strings.sum()), populations, state, float(leaked), float(broadening))


def relaxation_rates(path: LevelPath, bath: OhmicBath) -> np.ndarray:
    """Rate from the first excited level to the ground level at each s, (n + 1,) in 1/ns.

    Of the fast protocol: from the first excited level of the even sector to the ground level of the odd one.

    >>> import dimod
    >>> from .level_path import follow_levels
    >>> path = follow_levels(dimod.BinaryQuadraticModel({"a": -1.0}, {}, 0.0, dimod.BINARY), slices=32)
    >>> rates = relaxation_rates(path, OhmicBath(1e-3, 16.0))
    >>> bool(rates[0] > 100 * rates[-1])
    True
    """
    found = np.empty(len(path.s))
    for i, levels in enumerate(path.energies):
        _, excited = _first_excited(levels)
        ground = int(np.argmin(levels[-1]))
        found[i] = bath.spectral_density(levels[0, excited] - levels[-1, ground]) * path.flips[i, excited, ground]
    return found


@dataclass(frozen=True)
class FreezeOut:
    """Where an anneal stops to relax, and what the thermal populations there say.

    s: from which on less than one relaxation of the first excited level is left, 0 if in all the anneal there is less
    than one; quasi_static: thermal population of the ground level of H(s), which then turns into the optimum;
    classical: thermal probability of the optimum among the strings, their energies weighted by B(s). Where the two
    lowest strings differ in several bits, relaxation by way of other levels goes on for longer than s says.

    >>> FreezeOut(0.4, 0.96, 0.94).s
    0.4
    """

    s: float
    quasi_static: float
    classical: float


def freeze_out(path: LevelPath, nanoseconds: float, bath: OhmicBath) -> FreezeOut:
    """The freeze-out of an anneal of this length. Raises ValueError as `anneal_open`.

    >>> import dimod
    >>> from .level_path import follow_levels
    >>> path = follow_levels(dimod.BinaryQuadraticModel({"a": -1.0}, {}, 0.0, dimod.BINARY), slices=32)
    >>> early, late = (freeze_out(path, time, OhmicBath(1e-4, 16.0)).s for time in (500.0, 2_000_000.0))
    >>> 0 <= early < late < 1
    True
    """
    nanoseconds, rates = anneal_time(path.protocol, nanoseconds), relaxation_rates(path, bath)
    events = np.diff(path.s) * nanoseconds * (rates[1:] + rates[:-1]) / 2
    left = np.concatenate([np.cumsum(events[::-1])[::-1], [0.0]])  # from each s to the end
    s = float(np.interp(-1.0, -left, path.s)) if left[0] > 1 else 0.0
    levels = np.array([[np.interp(s, path.s, level) for level in part.T] for part in path.energies.transpose(1, 0, 2)])
    populations = gibbs(levels.ravel(), bath.temperature_mK).reshape(levels.shape)
    quasi_static = populations[np.arange(len(levels)), levels.argmin(axis=1)].sum()
    weight = float(np.interp(s, path.s, path.problem_weight))
    classical = gibbs(weight * path.classical, bath.temperature_mK)[path.optimum].sum()
    return FreezeOut(s, float(quasi_static), float(classical))
