"""Exact Schrödinger annealing of a binary quadratic model (paper, Eq. 6), without matrices.

H(s) = A(s) H_D + B(s) diag(energies), s = t / annealing_time, hbar = 1: times are in units of 1/energy.
Bit p of an index k (lowest first) is n_p, the binary value of variable p in the order list(bqm.variables).
The driver is a sum over qubits and the problem is diagonal, so splitting methods alternate rotations and
phases: Strang's (order 2) and Blanes and Moan's (order 4; J. Comput. Appl. Math. 142, 313, 2002).
"""

from dataclasses import dataclass

import numpy as np

from .. import require
from ..qubo.binary import DEGENERATE, checked
from ..qubo.memory import require_memory
from . import cpu
from .schedules import driver_strength, find_schedule
from .splitting import layers_in_parts

_MOST_STEPS = 10**7  # of an anneal: more take minutes for two qubits
_MISSED = 0.1  # share of the tolerance that features of a schedule may matter and not be followed
_UNSETTLED, _LOOSE = 0.01, 1e-3  # difference of two runs, and tolerance, from which no error is extrapolated


@dataclass(frozen=True)
class AnnealResult:
    """Final states of one anneal, or of a batch (B first everywhere but in steps and error).

    state: (2^d,) complex, probabilities: (2^d,), both tensors if a device was asked for; fidelity: probability of the
    ground states, all of them when degenerate (paper, Eq. 7); energy: expected; steps: of the splitting; error:
    estimated for the fidelity and for each probability, the largest of the batch; plan: intervals of s and the steps in
    each.

    >>> result = anneal([0.0, -1.0, 0.5, 0.5], annealing_time=200.0)
    >>> result.state.shape, bool(result.fidelity > 0.99), bool(abs(result.energy + 1) < 0.01)
    ((4,), True, True)
    """

    state: np.ndarray
    probabilities: np.ndarray
    fidelity: np.ndarray
    energy: np.ndarray
    steps: int
    error: float
    plan: list


def start_state(d, driver="scaled"):
    """Ground state of the driver, (2^d,) float64: |+>^d for "uniform", |->^d for "scaled".

    Raises ValueError as `driver_strength`.

    >>> start_state(2, "uniform"), start_state(2, "scaled")
    (array([0.5, 0.5, 0.5, 0.5]), array([ 0.5, -0.5, -0.5,  0.5]))
    """
    return parity_signs(d, driver) * 2 ** (-d / 2)


def parity_signs(d, driver):
    """Signs (2^d,) of the driver's ground state: all 1 for g < 0, else (-1)^(number of ones).

    Raises ValueError as `driver_strength`.

    >>> parity_signs(2, "scaled")
    array([ 1., -1., -1.,  1.])
    """
    signs, flip = np.ones(1), 1.0 if driver_strength(driver, d) < 0 else -1.0
    for _ in range(d):
        signs = np.concatenate([signs, flip * signs])
    return signs


def _turns(d):
    """i^(number of ones), (2^d,) complex: the frame in which `kernels` rotates."""
    turns = np.ones(1, dtype=complex)
    for _ in range(d):
        turns = np.concatenate([turns, 1j * turns])
    return turns


def _evolve(re, im, batch, phases, angles):
    """`layers` on re + i im = i^(number of ones) psi, (B, 2^d), in place."""
    tangents = np.clip(np.tan(angles), -1e9, 1e9)  # the butterflies stay accurate up to there
    d = batch.shape[1].bit_length() - 1
    factors = np.copysign(1 / np.sqrt(1 + tangents**2), np.cos(angles)) ** d
    cpu.evolve(re, im, batch, phases, tangents, factors)


class Evolution:
    """The anneal of a batch from the driver's ground state, at any number of steps: energies (2^d,) or (B, 2^d).

    Raises ValueError as `checked`, for unknown names, a schedule that is not finite or a time that is not positive,
    MemoryError when it does not fit.

    >>> evolution = Evolution([0.0, -1.0], 50.0, "scaled", "linear")
    >>> re, im, probabilities = evolution.run(steps=200, order=4)
    >>> evolution.fidelity(probabilities).round(3), evolution.energy(probabilities).round(3)
    (array([1.]), array([-1.]))
    """

    least_tolerance = 1e-13  # rounding of the states

    def __init__(self, energies, annealing_time, driver, schedule):
        batch, d = checked(energies)
        require_memory(d, 6 * len(batch) + 6, "the state")
        self._set(batch, d, annealing_time, driver, schedule)
        self.start = _turns(d) * start_state(d, driver)
        least = batch.min(axis=1, keepdims=True)
        self.ground = (batch <= least + DEGENERATE * (batch.max(axis=1, keepdims=True) - least)).astype(np.float64)

    def _set(self, batch, d, annealing_time, driver, schedule):
        self.batch, self.d = batch, d
        self.annealing_time = require.number("annealing_time", annealing_time, "(0, inf)")
        self.g, self.schedule = driver_strength(driver, d), find_schedule(schedule)
        self.ends, self.unit = np.array([0.0, 1.0]), 1

    def follow(self, tolerance, steps):
        """Make the plans of `run` follow the schedule where it bends so much that it matters at this tolerance.

        steps: of the coarsest run to come  ->  the number of which all have to be multiples, 1 for a plain schedule.
        """
        allowed = _MISSED * tolerance / self.annealing_time
        ranges = max(float(E.max() - E.min()) for E in self.batch) / 2, abs(self.g) * max(self.d, 1)
        # powers of two, so that the cells of many problems are the same
        B, A = (2.0 ** np.floor(np.log2(allowed / max(r, 1e-300))) for r in ranges)
        self.ends = self.schedule.cells(A, B)
        self.unit = 1 if len(self.ends) == 2 else max(steps, 4)
        return self.unit

    def plan(self, steps):
        """Intervals of s and the steps in each, in proportion to `steps`: [(s, s, int)].

        >>> Evolution([0.0, -1.0], 50.0, "scaled", "linear").plan(100)
        [(0.0, 1.0, 100)]
        """
        counts = np.ceil(self.unit * np.diff(self.ends)).astype(int) * (steps // self.unit)
        return list(zip(self.ends[:-1].tolist(), self.ends[1:].tolist(), counts.tolist()))

    def run(self, steps, order):
        """->  re, im of the state in the kernels' frame, probabilities (B, 2^d)."""
        re, im = (np.tile(part, (len(self.batch), 1)) for part in (self.start.real, self.start.imag))
        for part in layers_in_parts(self.annealing_time, self.g, self.schedule, self.plan(steps), order):
            _evolve(re, im, self.batch, *part)
        return re, im, re**2 + im**2

    def state(self, re, im):
        """psi (B, 2^d), complex."""
        state = re + 1j * im
        state *= _turns(self.d).conj()
        return state

    def fidelity(self, probabilities):
        """Probability of the ground states, (B,)."""
        return np.einsum("bk,bk->b", probabilities, self.ground)

    def energy(self, probabilities):
        """Expected energy, (B,)."""
        return np.einsum("bk,bk->b", probabilities, self.batch)

    def costs(self):
        """Energy of each flip out of the ground state, (B, d)."""
        ground = self.batch.argmin(axis=1)[:, None]
        flipped = np.take_along_axis(self.batch, ground ^ (1 << np.arange(self.d)), 1)
        return flipped - np.take_along_axis(self.batch, ground, 1)

    def difference(self, fine, coarse):
        """Largest difference of a probability or a fidelity between two runs."""
        change = fine - coarse
        return float(max(abs(change).max(), abs(self.fidelity(change)).max()))

    def first_guess(self, tolerance):
        """Steps and order that usually meet the tolerance.

        H is scaled by the driver's strength or the root mean square energy of a flip out of the ground state;
        the factors were found on cosine and Gaussian couplings, d = 5 to 18.
        """
        s = np.linspace(0, 1, 33)
        with np.errstate(over="ignore"):  # hopeless energies
            rms = np.sqrt((self.costs() ** 2).mean(axis=1).max()) if self.d else 0.0
        driver = 1.5 * abs(self.g) * np.abs(self.schedule.weight("A", s)).max()
        scale = self.annealing_time * max(driver, rms * np.abs(self.schedule.weight("B", s)).max())
        if tolerance >= 1e-4 and driver > 1:  # a strong driver leaves the fourth order no large steps
            steps, order = 2 * scale * (1e-4 / tolerance) ** 0.5, 2
        else:
            steps, order = 1.3 * scale * (1e-6 / tolerance) ** 0.2, 4
        if tolerance >= _LOOSE:  # runs whose steps let the highest level turn too far may agree and be wrong
            turns = self.annealing_time * np.abs(self.schedule.weight("B", s)).max() / (2 * np.pi)
            steps = max(steps, turns * max(float(E.max() - E.min()) for E in self.batch))
        return self.require_steps(max(8, steps)), order

    def require_steps(self, steps):
        """A number of steps as an int. Raises ValueError, naming the remedy, for more than an anneal can wait for."""
        if not steps <= _MOST_STEPS:
            largest = float(abs(self.batch).max())
            raise ValueError(
                f"this anneal needs {steps:.3g} steps, more than {_MOST_STEPS:.0e}: its energies reach {largest:.3g}, "
                f"its time is {self.annealing_time:.3g}. Scale the model (its ground states stay), or anneal faster"
            )
        return int(steps)


def anneal(
    energies,
    annealing_time=50.0,
    driver="scaled",
    schedule="linear",
    tolerance=1e-6,
    dt=None,
    device=None,
    dtype="complex128",
):
    """Anneal from the driver's ground state: energies (2^d,), or (B, 2^d) for a batch  ->  AnnealResult.

    tolerance: of the fidelity and of every probability; steps and order follow from it. dt: time step, instead. The
    error is verified by a second run at other steps, and taken for one order less than the method has, because
    coarse steps converge irregularly; it is the difference itself from a hundredth on, and at tolerances from 1e-3 on.
    Steps follow what a schedule does, as far as it matters at this tolerance (`Schedule.cells`). device: None for the
    compiled loops on the CPU, else a PyTorch device ("cuda") on which energies, which may be a tensor, and states are
    kept as dtype, "complex128" or "complex64". Raises ValueError for bad input (`checked`, unknown names, a time,
    tolerance or dt that is not positive, no such device) and for energies so large that the anneal would take more than
    ten million steps, MemoryError when the states do not fit.

    >>> anneal([0.0, -1.0], annealing_time=1e-6).probabilities.round(6)  # too short to leave the start
    array([0.5, 0.5])
    >>> result = anneal([0.0, -1.0], annealing_time=100.0, tolerance=1e-8)  # adiabatic
    >>> round(float(result.fidelity), 4), result.error < 1e-8
    (0.9999, True)
    """
    energies = require.sequence(energies)
    if device is None:
        evolution = Evolution(energies, annealing_time, driver, schedule)
    else:
        from . import gpu  # PyTorch is loaded only for those who ask for it

        evolution = gpu.Evolution(energies, annealing_time, driver, schedule, device, dtype)
    tolerance = require.number("tolerance", tolerance, "(0, inf)")
    if tolerance < evolution.least_tolerance:
        rounding = f"{evolution.least_tolerance:g}, the rounding error of the states"
        raise ValueError(f"tolerance must be at least {rounding}, got {tolerance}")
    re, im, probabilities, steps, error = _verified(evolution, tolerance, dt)
    results = evolution.state(re, im), probabilities, evolution.fidelity(probabilities), evolution.energy(probabilities)
    if np.ndim(energies) < 2:
        results = (x[0] for x in results)
    plan = evolution.plan(steps)
    return AnnealResult(*results, steps=sum(count for *_, count in plan), error=error, plan=plan)


def _verified(evolution, tolerance, dt):
    """The anneal at steps that meet the tolerance, or at dt  ->  re, im, probabilities, steps, error."""
    if dt is None:
        steps, order = evolution.first_guess(tolerance)
    else:
        steps, order = evolution.annealing_time / require.number("dt", dt, "(0, inf)"), 4
        steps = evolution.require_steps(max(1, round(min(steps, 1e300))))
    unit = evolution.follow(tolerance, steps // 2)
    other, steps = (steps // 2 or 2, steps) if unit == 1 else (unit, 2 * unit)
    compared = evolution.run(other, order)[2]
    while True:
        re, im, probabilities = evolution.run(steps, order)
        difference = evolution.difference(probabilities, compared)
        extrapolated = difference / abs((steps / other) ** (order - 1) - 1)
        settled = difference < _UNSETTLED and tolerance < _LOOSE
        error = extrapolated if settled else max(difference, extrapolated)
        if dt is not None or error <= tolerance or difference < 0.1 * evolution.least_tolerance * steps:
            return re, im, probabilities, steps, error
        other, compared = steps, probabilities
        factor = np.clip(1.2 * (extrapolated / tolerance) ** (1 / order), 1.4, 4)
        steps = evolution.require_steps(steps * factor) + 1
        steps += -steps % unit


def states(energies, s, annealing_time=50.0, driver="scaled", schedule="linear", tolerance=1e-6):
    """The state along one anneal: energies (2^d,), s (n,) rising in [0, 1]  ->  (n, 2^d) complex.

    Steps as `anneal` needs them, at least one between neighbouring s. Raises as `anneal`, and ValueError for
    an s that does not rise in [0, 1] and for a batch.

    >>> states([0.0, -1.0], [0.0, 1.0], annealing_time=100.0)[0].real
    array([ 0.70710678, -0.70710678])
    """
    s, energies = require.array("s", s, "n", interval="[0, 1]"), require.sequence(energies)
    if not (len(s) and (np.diff(s) > 0).all()):
        raise ValueError("s must rise in [0, 1]")
    batch, d = checked(energies)
    if len(batch) > 1:
        raise ValueError(f"energies of one problem must be (2^d,), got {np.shape(energies)}: take them one by one")
    plan = anneal(energies, annealing_time, driver, schedule, tolerance).plan
    require_memory(d, 2 * len(s) + 11, "the states")
    g, schedule = driver_strength(driver, d), find_schedule(schedule)
    turns = _turns(d)
    start = turns * start_state(d, driver)
    re, im = start.real[None].copy(), start.imag[None].copy()
    found, now = np.empty((len(s), 2**d), dtype=complex), 0.0
    for row, there in zip(found, s):
        if there > now:
            overlaps = [(max(a, now), min(b, there), count / (b - a)) for a, b, count in plan]
            between = [(a, b, int(np.ceil(density * (b - a)))) for a, b, density in overlaps if a < b]
            for part in layers_in_parts(annealing_time, g, schedule, between, 4):
                _evolve(re, im, batch, *part)
        row[:], now = turns.conj() * (re[0] + 1j * im[0]), there
    return found


def populations(energies, s, annealing_time=50.0, driver="scaled", schedule="linear", tolerance=1e-6):
    """Probabilities of the bit-strings along one anneal: |`states`|^2, (n, 2^d). Raises as `states`.

    >>> populations([0.0, -1.0], [0.0, 0.5, 1.0], annealing_time=100.0).round(3)
    array([[0.5  , 0.5  ],
           [0.278, 0.722],
           [0.   , 1.   ]])
    """
    along = states(energies, s, annealing_time, driver, schedule, tolerance)
    return along.real**2 + along.imag**2


def draw(probabilities, num_reads, seed=None):
    """Indices of num_reads noise-free measurements: probabilities (2^d,), of any sum  ->  (num_reads,) int.

    Raises ValueError for a negative or fractional num_reads, for probabilities that are negative, NaN, infinite
    or all zero, and for a seed that is none.

    >>> draw([0.0, 0.25, 0.75, 0.0], 8, seed=0)
    array([2, 2, 1, 1, 2, 2, 2, 2])
    """
    num_reads = require.whole("num_reads", num_reads)
    cumulative = np.cumsum(require.array("probabilities", probabilities, "2^d", interval="[0, inf)"))
    if not (len(cumulative) and 0 < cumulative[-1] < np.inf):
        raise ValueError("probabilities must not be all zero, nor sum to infinity")
    points = require.generator("seed", seed).random(num_reads) * cumulative[-1]
    return np.searchsorted(cumulative, points, side="right")
