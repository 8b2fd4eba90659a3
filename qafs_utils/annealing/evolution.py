"""Exact Schrödinger annealing of a binary quadratic model (paper, Eq. 6), without matrices.

H(s) = A(s) H_D + B(s) diag(energies), s = t / annealing_time, hbar = 1: times are in units of 1/energy.
Bit p of an index k (lowest first) is n_p, the binary value of variable p in the order list(bqm.variables).
The driver is a sum over qubits and the problem is diagonal, so `splitting` methods alternate rotations and phases.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .. import require
from ..conventions import HEADLINE
from ..qubo.binary import ground_states
from . import cpu
from .schedules import driver_strength, find_schedule
from .splitting import angles_in_parts

_MOST_STEPS = 10**7  # of an anneal: more take minutes for two qubits
_MISSED = 0.1  # share of the tolerance that features of a schedule may matter and not be followed
_UNSETTLED = 0.01  # difference of two runs at given steps from which no error is extrapolated
_LOOSEST = 3e-4  # tolerance: coarser runs may agree and be wrong
_SMALL = 10  # qubits whose start is kept


@dataclass(frozen=True)
class AnnealResult:
    """What one anneal ends with, or a batch (B first everywhere but in steps and error).

    probabilities: (2^d,), a tensor if a device was asked for; fidelity: probability of the ground states, all of them
    when degenerate (paper, Eq. 7); energy: expected; steps: of the finest run; error: estimated for the fidelity and
    for each probability, the largest of the batch; plan: intervals of s and the steps in each.

    >>> result = anneal([0.0, -1.0, 0.5, 0.5], annealing_time=200.0)
    >>> result.state.shape, bool(result.fidelity > 0.99), bool(abs(result.energy + 1) < 0.01)
    ((4,), True, True)
    """

    probabilities: np.ndarray
    fidelity: np.ndarray
    energy: np.ndarray
    steps: int
    error: float
    plan: list
    _state: Callable = field(repr=False)

    @functools.cached_property
    def state(self) -> np.ndarray:
        """The final state, (2^d,) complex: evolved when asked for, to order 4 with the steps of the plan."""
        return self._state()


def loops_on(device: str | None = None, dtype: str = "complex128"):
    """The inner loops of a device: `cpu.Loops` for None, else `gpu.Loops`, in PyTorch.

    >>> loops_on().rounding
    1e-13
    """
    if device is None:
        return cpu.Loops(dtype)
    from . import gpu  # PyTorch is loaded only for those who ask for it

    return gpu.Loops(device, dtype)


def start_state(d: int, driver: str = HEADLINE.driver) -> np.ndarray:
    """Ground state of the driver, (2^d,) float64: |+>^d for "uniform", |->^d for "scaled".

    Raises ValueError as `driver_strength`.

    >>> start_state(2, "uniform"), start_state(2, "scaled")
    (array([0.5, 0.5, 0.5, 0.5]), array([ 0.5, -0.5, -0.5,  0.5]))
    """
    signs, flip = np.ones(1), -np.sign(driver_strength(driver, d))
    for _ in range(d):
        signs = np.concatenate([signs, flip * signs])
    return signs * 2 ** (-d / 2)


@functools.cache
def _start(d, sign):
    """The ground state of the driver in the frame of the loops, (2, 2^d): real and imaginary part."""
    psi = np.ones(1, dtype=complex)
    for _ in range(d):
        psi = np.concatenate([psi, -1j * sign * psi])
    return np.stack([psi.real, psi.imag]) + 0.0


class Evolution:
    """The anneal of a batch at any number of steps: energies (2^d,) or (B, 2^d).

    States are held as real and imaginary part, re and im (B, 2^d), of i^(number of ones of k) psi_k, a frame in which
    the loops rotate them. start, device, dtype: as for `anneal`.
    Raises ValueError as `binary.checked`, for unknown names and devices, a start of another shape, a schedule that is
    not finite or a time that is not positive, MemoryError when it does not fit.

    >>> evolution = Evolution([0.0, -1.0], 50.0, driver="scaled", schedule="linear")
    >>> probabilities = evolution.run([(0.0, 1.0, 200)], order=4)
    >>> evolution.fidelity(probabilities).round(3), evolution.energy(probabilities).round(3)
    (array([1.]), array([-1.]))
    """

    def __init__(self, energies, annealing_time, *, driver, schedule, start=None, device=None, dtype="complex128"):
        self.loops = loops_on(device, dtype)
        self.batch, self.d = self.loops.checked(energies)
        numbers = 5.5 + 2 * (start is not None)
        self.loops.require_memory(self.d, numbers * len(self.batch) * np.finfo(dtype).bits / 64, "the state")
        self.annealing_time = require.number("annealing_time", annealing_time, "(0, inf)")
        self.g, self.schedule = driver_strength(driver, self.d), find_schedule(schedule)
        self.ground = [ground_states(E) for E in self.batch]  # B times (2^d,) bool
        self.spread = max(float(E.max() - E.min()) for E in self.batch)
        self.given = None if start is None else self._turned(start)

    def _turned(self, start):
        """A start state as re and im: broadcast to the batch, in the frame of the loops."""
        psi = np.array(np.atleast_2d(require.sequence(start)), dtype=complex)
        shapes = (1, 2**self.d), tuple(self.batch.shape)
        if psi.shape not in shapes or not abs((abs(psi) ** 2).sum(axis=1) - 1).max() < 1e-9:
            raise ValueError(f"start must be normalised, (2^d,) or {shapes[1]} complex, got shape {np.shape(start)}")
        self._turn(psi, 1j)
        return [self.loops.array(part, self.loops.parts) for part in (psi.real, psi.imag)]

    def start(self):
        """The state at s = 0  ->  re, im."""
        re, im = (self.loops.empty(tuple(self.batch.shape), self.loops.parts) for _ in range(2))
        if self.given is not None:
            re[:], im[:] = self.given
            return re, im
        sign, small = np.sign(self.g), min(self.d, _SMALL)
        first = self.loops.array(_start(small, sign) * 2 ** (-self.d / 2), self.loops.parts)
        re[:, : 2**small], im[:, : 2**small] = first
        for p in range(small, self.d):  # times -i sign for n_p = 1
            zero, one = slice(2**p), slice(2**p, 2 ** (p + 1))
            re[:, one], im[:, one] = im[:, zero], re[:, zero]
            re[:, one] *= sign
            im[:, one] *= -sign
        return re, im

    def advance(self, re, im, intervals, order):
        """Evolve a state in place, through intervals of s with so many steps: [(s, s, int)]."""
        for phases, angles in angles_in_parts(self.annealing_time, self.g, self.schedule, intervals, order):
            self.loops.evolve(re, im, self.batch, phases, angles)

    def run(self, intervals, order):
        """From the start through these intervals  ->  probabilities (B, 2^d)."""
        re, im = self.start()
        self.advance(re, im, intervals, order)
        re *= re
        im *= im
        re += im
        return re

    def final_state(self, intervals):
        """From the start through these intervals, to order 4  ->  psi (B, 2^d), complex."""
        re, im = self.start()
        self.advance(re, im, intervals, 4)
        return self.state(re, im)

    def state(self, re, im):
        """psi (B, 2^d), complex."""
        psi = 1j * im
        psi += re
        self._turn(psi, -1j)
        return psi

    def _turn(self, psi, one):
        """psi (B, 2^d) times one^(number of ones), in place."""
        half = self.d // 2
        view = psi.reshape(len(psi), 2 ** (self.d - half), 2**half)
        for m, shape in ((self.d - half, (-1, 1)), (half, (-1,))):
            powers = one ** np.bitwise_count(np.arange(2**m)).astype(float)
            view *= (
                powers.reshape(shape)
                if isinstance(psi, np.ndarray)
                else self.loops.array(powers, psi.dtype).reshape(shape)
            )

    def fidelity(self, probabilities):
        """Probability of the ground states, (B,)."""
        return self.loops.expected(probabilities, self.ground)

    def energy(self, probabilities):
        """Expected energy, (B,)."""
        return self.loops.expected(probabilities, self.batch)


def anneal(
    energies,
    annealing_time=HEADLINE.annealing_time,
    *,
    driver=HEADLINE.driver,
    schedule="linear",
    start=None,
    tolerance=1e-6,
    dt: float | None = None,
    device: str | None = None,
    dtype="complex128",
) -> AnnealResult:
    """Anneal from the driver's ground state: energies (2^d,), or (B, 2^d) for a batch  ->  AnnealResult.

    start: the state at s = 0 instead, normalised, (2^d,) complex or one for each problem. tolerance: of the fidelity
    and of every probability; steps follow from it. Runs of Strang's splitting at 2, 3, 4, 5, ... times as many steps
    are extrapolated, by three at a time, to steps of no length: the error has even orders only (Richardson). The last
    two extrapolations tell the error: half their difference, as each is several times as accurate as the one before.
    dt: time step of Blanes and Moan's splitting, instead. Its error is that of a second run at other steps, taken for
    one order less than the method has, and the difference itself from a hundredth on.
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
    options = {"driver": driver, "schedule": schedule, "start": start, "device": device, "dtype": dtype}
    evolution = Evolution(energies, annealing_time, **options)
    tolerance = require.number("tolerance", tolerance, "(0, inf)")
    if tolerance < evolution.loops.rounding:
        rounding = f"{evolution.loops.rounding:g}, the rounding error of the states"
        raise ValueError(f"tolerance must be at least {rounding}, got {tolerance}")
    run = _extrapolated(evolution, tolerance) if dt is None else _at_steps(evolution, tolerance, dt)
    probabilities, plan, error = run
    fidelity, energy = np.clip(evolution.fidelity(probabilities), 0, 1), evolution.energy(probabilities)
    probabilities *= probabilities > 0  # extrapolated, one may be negative within the tolerance
    whole = slice(None) if np.ndim(energies) > 1 else 0
    results = (x[whole] for x in (probabilities, fidelity, energy))
    given = {"steps": sum(count for *_, count in plan), "error": error, "plan": plan}
    return AnnealResult(*results, **given, _state=lambda: evolution.final_state(plan)[whole])


def _difference(evolution, change):
    """The largest change of a probability or a fidelity."""
    return float(max(change.max(), -change.min(), abs(evolution.fidelity(change)).max()))


def _extrapolated(evolution, tolerance):
    """The anneal at steps that meet the tolerance  ->  probabilities, plan of the finest run, error."""
    tolerance = min(tolerance, _LOOSEST)
    ends, unit, done = _cells(evolution, tolerance), _first_guess(evolution, tolerance), []
    latest = second = third = None  # a run, and its extrapolations by two and by three runs
    for n in _multiples():
        plan = _intervals(ends, _require_steps(evolution, unit * n) // n, n)
        run = evolution.run(plan, order=2)
        if done:
            latest = _extrapolate(latest, run, n / done[-1])
        if len(done) > 1:
            second = _extrapolate(second, latest, n / done[-2])
        if len(done) > 2:
            third -= second
            steps = sum(count for *_, count in plan)
            rounding, missed = evolution.loops.rounding * steps, _MISSED * tolerance if len(ends) > 2 else 0.0
            error = _difference(evolution, third) / 2 + 0.03 * rounding + missed
            if error <= tolerance or error < 0.1 * rounding:
                return second, plan, error
        latest, second, third = run, latest, second
        done.append(n)


def _multiples():
    """Steps of the runs, in units: 2, 3, 4, ..., then a quarter more each."""
    n = 2
    while True:
        yield n
        n += max(1, n // 4)


def _extrapolate(coarse, fine, ratio):
    """Richardson's extrapolation, in place of the coarse one, whose error is ratio^2 times that of the fine one."""
    coarse -= fine
    coarse *= -1 / (ratio**2 - 1)
    coarse += fine
    return coarse


def _at_steps(evolution, tolerance, dt):
    """The anneal at a time step, and at another for its error  ->  probabilities, plan, error."""
    steps = evolution.annealing_time / require.number("dt", dt, "(0, inf)")
    steps = _require_steps(evolution, max(1, round(min(steps, 1e300))))
    ends = _cells(evolution, tolerance)
    unit = max(steps // 2, 4)  # of which the number of steps is a multiple where the schedule bends
    pairs = [(steps // 2 or 2, 1), (steps, 1)] if len(ends) == 2 else [(unit, 1), (unit, 2)]
    compared, probabilities = (evolution.run(_intervals(ends, *pair), order=4) for pair in pairs)
    compared -= probabilities
    difference = _difference(evolution, compared)
    error = difference / abs((np.prod(pairs[1]) / np.prod(pairs[0])) ** 3 - 1)
    error = float(error if difference < _UNSETTLED else max(difference, error))
    return probabilities, _intervals(ends, *pairs[1]), error


def _first_guess(evolution, tolerance):
    """A quarter of the steps at which extrapolated runs usually meet the tolerance.

    H is scaled by the driver's strength or the root mean square energy of a flip out of the ground state;
    the factors were found on cosine and Gaussian couplings, d = 5 to 12.
    """
    schedule, rms = evolution.schedule, 0.0
    if evolution.d:
        flips = 1 << np.arange(evolution.d)
        costs = [(E[int(E.argmin()) ^ flips] - E.min()).tolist() for E in evolution.batch]  # B times d
        with np.errstate(over="ignore"):  # hopeless energies
            rms = np.sqrt((np.array(costs) ** 2).mean(axis=1).max())
    scale = evolution.annealing_time * max(1.5 * abs(evolution.g) * schedule.largest["A"], rms * schedule.largest["B"])
    return _require_steps(evolution, max(3, round(min(0.44 * scale * (1e-6 / tolerance) ** (1 / 6), 1e300))))


def _require_steps(evolution, steps):
    """A number of steps as an int. Raises ValueError, naming the remedy, for more than an anneal can wait for."""
    if not steps <= _MOST_STEPS:
        largest = float(abs(evolution.batch).max())
        raise ValueError(
            f"this anneal needs {steps:.3g} steps, more than {_MOST_STEPS:.0e}: its energies reach {largest:.3g}, its "
            f"time is {evolution.annealing_time:.3g}. Scale the model (its ground states stay), or anneal faster"
        )
    return int(steps)


def _cells(evolution, tolerance):
    """Ends of the intervals of s that steps follow, where the schedule bends so much that it matters at this tolerance.

    Distances are powers of two, so that the cells of many problems are the same.
    """
    allowed = _MISSED * tolerance / evolution.annealing_time
    ranges = abs(evolution.g) * max(evolution.d, 1), evolution.spread / 2
    return evolution.schedule.cells(*(2.0 ** np.floor(np.log2(allowed / max(r, 1e-300))) for r in ranges))


def _intervals(ends, unit, times):
    """Intervals of s and the steps in each, in proportion to `unit`, and so many times: [(s, s, int)]."""
    ends = ends.tolist()
    return [(a, b, math.ceil(unit * (b - a)) * times) for a, b in zip(ends, ends[1:])]


def states(
    energies, s, annealing_time=HEADLINE.annealing_time, *, driver=HEADLINE.driver, schedule="linear", tolerance=1e-6
) -> np.ndarray:
    """The state along one anneal: energies (2^d,), s (n,) rising in [0, 1]  ->  (n, 2^d) complex.

    Steps as `anneal` needs them, at least one between neighbouring s. Raises as `anneal`, and ValueError for
    an s that does not rise in [0, 1] and for a batch.

    >>> states([0.0, -1.0], [0.0, 1.0], annealing_time=100.0)[0].real
    array([ 0.70710678, -0.70710678])
    """
    s, energies = require.array("s", s, "n", interval="[0, 1]"), require.sequence(energies)
    if not (len(s) and (np.diff(s) > 0).all()):
        raise ValueError("s must rise in [0, 1]")
    evolution = Evolution(energies, annealing_time, driver=driver, schedule=schedule)
    if len(evolution.batch) > 1:
        raise ValueError(f"energies of one problem must be (2^d,), got {np.shape(energies)}: take them one by one")
    evolution.loops.require_memory(evolution.d, 2 * len(s) + 5, "the states")
    plan = anneal(energies, annealing_time, driver=driver, schedule=schedule, tolerance=tolerance).plan
    re, im = evolution.start()
    along, now = np.empty((len(s), 2**evolution.d), dtype=complex), 0.0
    for row, place in zip(along, s):
        overlaps = [(max(a, now), min(b, place), count / (b - a)) for a, b, count in plan]
        between = [(a, b, int(np.ceil(density * (b - a)))) for a, b, density in overlaps if a < b]
        evolution.advance(re, im, between, order=4)
        row[:], now = evolution.state(re, im)[0], place
    return along


def populations(
    energies, s, annealing_time=HEADLINE.annealing_time, *, driver=HEADLINE.driver, schedule="linear", tolerance=1e-6
) -> np.ndarray:
    """Probabilities of the bit-strings along one anneal: |`states`|^2, (n, 2^d). Raises as `states`.

    >>> populations([0.0, -1.0], [0.0, 0.5, 1.0], annealing_time=100.0).round(3)
    array([[0.5  , 0.5  ],
           [0.278, 0.722],
           [0.   , 1.   ]])
    """
    along = states(energies, s, annealing_time, driver=driver, schedule=schedule, tolerance=tolerance)
    return along.real**2 + along.imag**2


def draw(probabilities, num_reads: int, seed=None, *, device: str | None = None) -> np.ndarray:
    """Indices of num_reads noise-free measurements: probabilities (2^d,), of any sum  ->  (num_reads,) int.

    device: None for an array, else that of a tensor. Raises ValueError for a negative or fractional num_reads, for
    probabilities that are negative, NaN, infinite or all zero, and for a seed that is none.

    >>> draw([0.0, 0.25, 0.75, 0.0], 8, seed=0)
    array([2, 2, 1, 1, 2, 2, 2, 2])
    """
    num_reads = require.whole("num_reads", num_reads)
    read = require.array if device is None else require.tensor
    probabilities = read("probabilities", probabilities, "2^d", interval="[0, inf)")
    if not (len(probabilities) and 0 < float(probabilities.sum()) < np.inf):
        raise ValueError("probabilities must not be all zero, nor sum to infinity")
    return loops_on(device).locate(probabilities, require.generator("seed", seed).random(num_reads))
