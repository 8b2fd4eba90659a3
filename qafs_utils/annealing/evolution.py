"""Exact Schrödinger annealing of a binary quadratic model (paper, Eq. 6), without matrices.

H(s) = A(s) H_D + B(s) diag(energies), s = t / annealing_time, hbar = 1: times are in units of 1/energy.
Bit p of an index k (lowest first) is n_p, the binary value of variable p in the order list(bqm.variables).
The driver is a sum over qubits and the problem is diagonal, so `splitting` methods alternate rotations and phases.
"""

import functools
from dataclasses import dataclass

import numpy as np

from .. import require
from ..conventions import HEADLINE
from ..qubo.binary import ground_states
from . import cpu
from .schedules import driver_strength, find_schedule
from .splitting import angles_in_parts

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
def _turns_back(d):
    """(-i)^(number of ones), (2^d,) complex: out of the frame in which the loops rotate. d: half of the qubits."""
    turns = np.ones(1, dtype=complex)
    for _ in range(d):
        turns = np.concatenate([turns, -1j * turns])
    return turns


class Evolution:
    """The anneal of a batch from the driver's ground state, at any number of steps: energies (2^d,) or (B, 2^d).

    States are held as real and imaginary part, re and im (B, 2^d), of i^(number of ones of k) psi_k, a frame in which
    the loops rotate them. device, dtype: as for `anneal`.
    Raises ValueError as `binary.checked`, for unknown names and devices, a schedule that is not finite or a time that
    is not positive, MemoryError when it does not fit.

    >>> evolution = Evolution([0.0, -1.0], 50.0, driver="scaled", schedule="linear")
    >>> re, im, probabilities = evolution.run([(0.0, 1.0, 200)], order=4)
    >>> evolution.fidelity(probabilities).round(3), evolution.energy(probabilities).round(3)
    (array([1.]), array([-1.]))
    """

    def __init__(self, energies, annealing_time, *, driver, schedule, device=None, dtype="complex128"):
        self.loops = loops_on(device, dtype)
        self.batch, self.d = self.loops.checked(energies)
        self.loops.require_memory(self.d, 6.5 * len(self.batch) * np.finfo(dtype).bits / 64, "the state")
        self.annealing_time = require.number("annealing_time", annealing_time, "(0, inf)")
        self.g, self.schedule = driver_strength(driver, self.d), find_schedule(schedule)
        self.ground = [ground_states(E) for E in self.batch]  # B times (2^d,) bool
        self.spread = max(float(E.max() - E.min()) for E in self.batch)

    def start(self):
        """The driver's ground state  ->  re, im."""
        re, im = self.loops.empty((2, *self.batch.shape), self.loops.parts)
        re[:, 0], im[:, 0] = 2 ** (-self.d / 2), 0
        sign = -np.sign(self.g)
        for p in range(self.d):  # times i sign for n_p = 1
            zero, one = slice(2**p), slice(2**p, 2 ** (p + 1))
            re[:, one], im[:, one] = -sign * im[:, zero], sign * re[:, zero]
        return re, im

    def advance(self, re, im, intervals, order):
        """Evolve a state in place, through intervals of s with so many steps: [(s, s, int)]."""
        for phases, angles in angles_in_parts(self.annealing_time, self.g, self.schedule, intervals, order):
            self.loops.evolve(re, im, self.batch, phases, angles)

    def run(self, intervals, order):
        """From the start through these intervals  ->  re, im, probabilities (B, 2^d)."""
        re, im = self.start()
        self.advance(re, im, intervals, order)
        probabilities = re**2
        probabilities += im**2
        return re, im, probabilities

    def state(self, re, im):
        """psi (B, 2^d), complex."""
        psi = 1j * im
        psi += re
        high, low = (self.loops.array(_turns_back(m), psi.dtype) for m in (self.d - self.d // 2, self.d // 2))
        view = psi.reshape(len(psi), len(high), len(low))
        view *= high[:, None]
        view *= low
        return psi

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
    tolerance=1e-6,
    dt: float | None = None,
    device: str | None = None,
    dtype="complex128",
) -> AnnealResult:
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
    evolution = Evolution(energies, annealing_time, driver=driver, schedule=schedule, device=device, dtype=dtype)
    tolerance = require.number("tolerance", tolerance, "(0, inf)")
    if tolerance < evolution.loops.rounding:
        rounding = f"{evolution.loops.rounding:g}, the rounding error of the states"
        raise ValueError(f"tolerance must be at least {rounding}, got {tolerance}")
    re, im, probabilities, plan, error = _verified(evolution, tolerance, dt)
    results = evolution.state(re, im), probabilities, evolution.fidelity(probabilities), evolution.energy(probabilities)
    if np.ndim(energies) < 2:
        results = (x[0] for x in results)
    return AnnealResult(*results, steps=sum(count for *_, count in plan), error=error, plan=plan)


def _verified(evolution, tolerance, dt):
    """The anneal at steps that meet the tolerance, or at dt  ->  re, im, probabilities, plan, error."""
    if dt is None:
        steps, order = _first_guess(evolution, tolerance)
    else:
        steps, order = evolution.annealing_time / require.number("dt", dt, "(0, inf)"), 4
        steps = _require_steps(evolution, max(1, round(min(steps, 1e300))))
    ends = _cells(evolution, tolerance)
    unit = 1 if len(ends) == 2 else max(steps // 2, 4)  # of which the number of steps has to be a multiple
    other, steps = (steps // 2 or 2, steps) if unit == 1 else (unit, 2 * unit)
    compared = evolution.run(_intervals(ends, unit, other), order)[2]
    while True:
        plan = _intervals(ends, unit, steps)
        re, im, probabilities = evolution.run(plan, order)
        change = probabilities - compared
        difference = float(max(abs(change).max(), abs(evolution.fidelity(change)).max()))
        extrapolated = difference / abs((steps / other) ** (order - 1) - 1)
        settled = difference < _UNSETTLED and tolerance < _LOOSE
        error = extrapolated if settled else max(difference, extrapolated)
        if dt is not None or error <= tolerance or difference < 0.1 * evolution.loops.rounding * steps:
            return re, im, probabilities, plan, error
        other, compared = steps, probabilities
        factor = np.clip(1.2 * (extrapolated / tolerance) ** (1 / order), 1.4, 4)
        steps = _require_steps(evolution, steps * factor) + 1
        steps += -steps % unit


def _first_guess(evolution, tolerance):
    """Steps and order that usually meet the tolerance.

    H is scaled by the driver's strength or the root mean square energy of a flip out of the ground state;
    the factors were found on cosine and Gaussian couplings, d = 5 to 18.
    """
    s, schedule, rms = np.linspace(0, 1, 33), evolution.schedule, 0.0
    if evolution.d:
        flips = 1 << np.arange(evolution.d)
        costs = [(E[int(E.argmin()) ^ flips] - E.min()).tolist() for E in evolution.batch]  # B times d
        with np.errstate(over="ignore"):  # hopeless energies
            rms = np.sqrt((np.array(costs) ** 2).mean(axis=1).max())
    driver = 1.5 * abs(evolution.g) * np.abs(schedule.weight("A", s)).max()
    problem = np.abs(schedule.weight("B", s)).max()
    scale = evolution.annealing_time * max(driver, rms * problem)
    if tolerance >= 1e-4 and driver > 1:  # a strong driver leaves the fourth order no large steps
        steps, order = 2 * scale * (1e-4 / tolerance) ** 0.5, 2
    else:
        steps, order = 1.3 * scale * (1e-6 / tolerance) ** 0.2, 4
    if tolerance >= _LOOSE:  # runs whose steps let the highest level turn too far may agree and be wrong
        turns = evolution.annealing_time * problem / (2 * np.pi)
        steps = max(steps, turns * evolution.spread)
    return _require_steps(evolution, max(8, steps)), order


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


def _intervals(ends, unit, steps):
    """Intervals of s and the steps in each, in proportion to `steps`, a multiple of `unit`: [(s, s, int)]."""
    counts = np.ceil(unit * np.diff(ends)).astype(int) * (steps // unit)
    return list(zip(ends[:-1].tolist(), ends[1:].tolist(), counts.tolist()))


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
