"""Exact Schrödinger annealing of a binary quadratic model (paper, Eq. 6), without matrices.

H(s) = A(s) H_D + B(s) diag(energies), s = t / annealing_time, hbar = 1: times are in units of 1/energy.
Bit p of an index k (lowest first) is n_p, the binary value of variable p in the order list(bqm.variables).
The driver is a sum over qubits and the problem is diagonal, so splitting methods alternate rotations and
phases: Strang's (order 2) and Blanes and Moan's (order 4; J. Comput. Appl. Math. 142, 313, 2002).
"""

import contextlib
import functools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import dimod
import numpy as np
from scipy.interpolate import PchipInterpolator

from . import kernels, require

DRIVERS = {  # strength g of H_D = g sum sigma_x
    "uniform": lambda d: -1.0,  # the paper's text
    "scaled": lambda d: 1.0 / max(d, 1),  # the authors' code
}
DEGENERATE = 1e-9  # of the energies' range: those closer to the lowest count as ground states
_STRANG = (np.array([0.5, 0.5]), np.array([1.0]))
_A1, _A2, _A3 = 0.0792036964311957, 0.353172906049774, -0.0420650803577195
_B1, _B2 = 0.209515106613362, -0.143851773179818
_BLANES_MOAN = (
    np.array([_A1, _A2, _A3, 1 - 2 * (_A1 + _A2 + _A3), _A3, _A2, _A1]),
    np.array([_B1, _B2, 0.5 - _B1 - _B2, 0.5 - _B1 - _B2, _B2, _B1]),
)
SPLITTINGS = {2: _STRANG, 4: _BLANES_MOAN}  # order: weights of the phases, weights of the rotations
_STEPS = 2**14  # whose angles are in memory at a time
_MOST_STEPS = 10**7  # of an anneal: more take minutes for two qubits
_PROBES = 2**16  # intervals at whose ends a schedule is looked at
_BETWEEN = (0, 0.25, 0.5, 0.75)  # and, in shares of the interval, between two knots
_NO_GAP = ": a locally adiabatic schedule needs gap > 0 everywhere, which degenerate ground states do not have"
_MISSED = 0.1  # share of the tolerance that features of a schedule may matter and not be followed
_UNSETTLED, _LOOSE = 0.01, 1e-3  # difference of two runs, and tolerance, from which no error is extrapolated


@dataclass(frozen=True, eq=False)
class Schedule:
    """Weights A(s) of the driver and B(s) of the problem: functions of s in [0, 1], of arrays (n,) too.

    knots: s rising from 0 to 1, such that A and B each only rise or only fall between neighbours. Without them (None)
    nobody knows what a function does between the places where it is looked at, and no gap is certified.
    Raises ValueError for what is no function, and for knots between which a weight turns at one of 17 places.

    >>> cubic = Schedule("cubic", lambda s: (1 - s) ** 3, lambda s: s**3, knots=(0, 1))
    >>> cubic.A(0.5), cubic.B(np.array([0.0, 1.0]))
    (0.125, array([0., 1.]))
    >>> Schedule("hump", lambda s: 1 - s, lambda s: s * (2 - 1.5 * s), knots=(0, 1))
    Traceback (most recent call last):
    ValueError: schedule 'hump': B turns between the knots 0 and 1: give a knot where it does
    """

    name: str
    A: Callable
    B: Callable
    knots: tuple | None = None
    _kept: dict = field(default_factory=dict, init=False, repr=False)  # cells that were asked for

    def __post_init__(self):
        for weight in "AB":
            if not callable(given := getattr(self, weight)):
                raise ValueError(f"schedule {self.name!r}: {weight} must be a function of s, got {given!r}")
        if self.knots is None:
            return
        knots = require.array("knots", self.knots, "n", interval="[0, 1]")
        if not (len(knots) > 1 and knots[0] == 0 and knots[-1] == 1 and (np.diff(knots) > 0).all()):
            raise ValueError(f"schedule {self.name!r}: its knots must rise from 0 to 1")
        object.__setattr__(self, "knots", tuple(knots.tolist()))
        s = knots[:-1, None] + np.diff(knots)[:, None] * np.linspace(0, 1, 17)
        for weight in "AB":
            values = self.weight(weight, s)
            rise, rounding = np.diff(values), 1e-9 * abs(values).max()
            turns = np.flatnonzero((rise > rounding).any(axis=1) & (rise < -rounding).any(axis=1))
            if len(turns):
                between = f"{knots[turns[0]]:g} and {knots[turns[0] + 1]:g}"
                why = f"{weight} turns between the knots {between}: give a knot where it does"
                raise ValueError(f"schedule {self.name!r}: {why}")

    def weight(self, name, s):
        """A or B, by its name, at s: an array of any shape  ->  array of that shape.

        Raises ValueError for NaN and infinity, naming the place, and for a function that gives another shape.

        >>> SCHEDULES["linear"].weight("A", np.array([0.0, 0.25]))
        array([1.  , 0.75])
        """
        try:
            values = np.asarray(getattr(self, name)(s.copy() if isinstance(s, np.ndarray) else s))
        except Exception as error:
            why = f"{name} cannot be taken of an array of s ({error}): write it with NumPy's functions"
            raise ValueError(f"schedule {self.name!r}: {why}") from error
        if values.dtype.kind not in "buif" or values.shape not in ((), np.shape(s)):
            got = f"{values.shape} of {values.dtype} for s {np.shape(s)}"
            raise ValueError(f"schedule {self.name!r}: {name} must give a number for every s, got {got}")
        values = np.asarray(np.broadcast_to(values, np.shape(s)), dtype=np.float64)
        if not np.isfinite(values).all():
            place = np.asarray(s)[~np.isfinite(values)].flat[0]
            raise ValueError(f"schedule {self.name!r} gives NaN or infinite weights: {name} at s = {place:.6g}")
        return values

    def cells(self, A, B):
        """Intervals in which A and B are polynomials, up to these distances: ends (n,), rising from 0 to 1.

        One interval if eighths of the anneal are such (of order 5, through six points). An eighth that is not is cut at
        the knot nearest to its middle, else there, until it is or is so short that it does not matter. Looked at
        are 65,537 places, four between every two knots, and twenty in every interval: a table, whose pieces are
        cubic, has no feature that is missed, a function may have one between these places.

        >>> SCHEDULES["quadratic"].cells(1e-9, 1e-9)
        array([0., 1.])
        >>> len(tabulated([0, 0.5, 0.501, 1], [1, 1, 0, 0], [0, 0, 1, 1]).cells(1e-9, 1e-9))
        10
        """
        if not self._exact and (A, B) not in self._kept:
            self._kept[A, B] = self._cut(A, B)
        return np.array(self._kept.get((A, B), [0.0, 1.0]))

    @functools.cached_property
    def _exact(self):
        """Whether both weights are polynomials in eighths of the anneal, up to rounding: as they are in SCHEDULES."""
        return len(self._cut(0.0, 0.0, once=True)) == 2

    def _cut(self, A, B, once=False):
        """What `cells` gives; once: after at most one cut."""
        knots, ends = np.asarray(self.knots or (0, 1)), np.linspace(0, 1, 9)
        places = np.union1d(np.linspace(0, 1, _PROBES + 1), [knots[:-1] + q * np.diff(knots) for q in _BETWEEN])
        floor = {name: 1e-13 * abs(self.weight(name, places)).max() for name in "AB"}
        left, right = ends[:-1], ends[1:]
        while len(left) and not (once and len(ends) > 9):
            width = right - left
            inside = np.searchsorted(left, places, side="right") > np.searchsorted(right, places, side="right")
            places = np.union1d(places[inside], np.linspace(left, right, 21)[:-1])
            cell, wrong = np.searchsorted(left, places, side="right") - 1, np.zeros(len(left), bool)
            for name, distance in (("A", A), ("B", B)):
                six = self.weight(name, np.linspace(left, right, 6))
                off = abs(self.weight(name, places) - _through_six((places - left[cell]) / width[cell], six[:, cell]))
                allowed = max(distance, floor[name])
                wrong[cell[(off > allowed) & (off * width[cell] > 1e-3 * allowed)]] = True
            left, right = left[wrong], right[wrong]
            middle = (left + right) / 2
            near = knots[np.clip(np.searchsorted(knots, middle), 1, len(knots) - 1) - [[0], [1]]]
            near = np.where(abs(near[0] - middle) < abs(near[1] - middle), *near)
            middle = np.where((near > left) & (near < right), near, middle)
            left, right = np.sort([*left, *middle]), np.sort([*middle, *right])
            ends = np.union1d(ends, middle)
        return ends if len(ends) > 9 else np.array([0.0, 1.0])


def _through_six(t, values):
    """The polynomial of order 5 through values (6, n) at 0, 1/5, ..., 1, at t (n,)  ->  (n,)."""
    nodes, found = np.linspace(0, 1, 6), 0.0
    for i in range(6):
        factors = [(t - nodes[j]) / (nodes[i] - nodes[j]) for j in range(6) if j != i]
        found = found + values[i] * np.prod(factors, axis=0)
    return found


SCHEDULES = {
    "linear": Schedule("linear", lambda s: 1 - s, lambda s: s, (0, 1)),  # the paper's
    "quadratic": Schedule("quadratic", lambda s: (1 - s) ** 2, lambda s: s**2, (0, 1)),
}


def tabulated(s, A, B, name="tabulated"):
    """Schedule through tabulated points: s (n,) rising from 0 to 1, A and B (n,); monotone cubic in between.

    Its knots are the points. Raises ValueError when s does not rise from 0 to 1, or for other shapes or NaN.

    >>> schedule = tabulated([0, 0.5, 1], [6.0, 1.0, 0.0], [0.0, 4.0, 10.0])
    >>> float(schedule.A(0.5)), float(schedule.B(1.0))
    (1.0, 10.0)
    """
    sizes = {}
    s, A, B = (require.array(f"the tabulated {x}", values, "n", sizes) for x, values in (("s", s), ("A", A), ("B", B)))
    if not (len(s) > 1 and s[0] == 0 and s[-1] == 1 and (np.diff(s) > 0).all()):
        why = "divide the times by the annealing time"
        raise ValueError(f"the tabulated s must rise from 0 to 1, in at least 2 points: {why}")
    return Schedule(name, PchipInterpolator(s, A), PchipInterpolator(s, B), s)


def locally_adiabatic(x, gap, power=2.0):
    """Schedule A = 1 - x(s), B = x(s) with dx/ds ~ gap(x)^power: slow where the gap is small.

    x: (n,) rising from 0 to 1; gap: (n,) > 0 of the linear schedule there (`spectrum.level_curves`).
    power: 2, Roland and Cerf, Phys. Rev. A 65, 042308 (2002), Eq. 17. Raises ValueError as `tabulated`, or
    for a gap that is not positive.

    >>> schedule = locally_adiabatic([0.0, 0.4, 0.6, 1.0], [1.0, 0.1, 0.1, 1.0])
    >>> schedule.B([0.0, 0.25, 0.5, 0.75, 1.0]).round(3)  # stays near 0.5, where the gap is small
    array([0.   , 0.322, 0.5  , 0.678, 1.   ])
    """
    sizes, power = {}, require.number("power", power)
    x = require.array("x", x, "n", sizes, interval="[0, 1]")
    gap = require.array("gap", gap, "n", sizes, "(0, inf)", remedy=_NO_GAP)
    if not (len(x) > 1 and x[0] == 0 and x[-1] == 1 and (np.diff(x) > 0).all()):
        raise ValueError("x must rise from 0 to 1, in at least 2 points")
    slowness = gap**-power
    s = np.concatenate([[0.0], np.cumsum(np.diff(x) * (slowness[1:] + slowness[:-1]) / 2)])
    return tabulated(s / s[-1], 1 - x, x, "locally_adiabatic")


def find_schedule(schedule):
    """The Schedule of that name, or the Schedule itself. Raises ValueError for an unknown name.

    >>> float(find_schedule("quadratic").B(0.5))
    0.25
    """
    if isinstance(schedule, Schedule):
        return schedule
    return SCHEDULES[require.choice("schedule", schedule, SCHEDULES, ", or make one with tabulated")]


def driver_strength(driver, d):
    """g of H_D = g sum sigma_x: -1 for "uniform", 1/d for "scaled". Raises ValueError for another name.

    >>> driver_strength("uniform", 4), driver_strength("scaled", 4)
    (-1.0, 0.25)
    """
    return DRIVERS[require.choice("driver", driver, DRIVERS)](d)


def _free_bytes():
    """Memory that is available here: what the system says, else all that is installed, or less in a container."""
    try:
        with open("/proc/meminfo") as lines:
            free = 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(free, _group_bytes())


def _group_bytes(mounted="/sys/fs/cgroup", membership="/proc/self/cgroup"):
    """Memory left to this process by the control groups (v2) of a container or batch job, infinite without any."""
    try:
        own = next(line[4:] for line in Path(membership).read_text().splitlines() if line.startswith("0::/"))
    except (OSError, StopIteration):
        return np.inf
    left, root = np.inf, Path(mounted)
    for group in (root / own, *(root / own).parents):
        if group.is_relative_to(root):
            with contextlib.suppress(OSError, ValueError):  # ValueError: the limit is "max"
                limit, used = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
                statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
                cache = int(statistics["inactive_file"]) + int(statistics["active_file"])  # of files: it is given up
                left = min(left, limit - used + cache)
    return left


def require_memory(d, numbers, what):
    """Raise MemoryError, naming the d that would fit, unless `numbers` float64 vectors (2^d,) fit.

    >>> require_memory(10, 4, "the energies")  # 32 KiB
    >>> require_memory(60, 4, "the energies")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    MemoryError: the energies of d = 60 needs 3.44e+10 GiB, ... GiB are free: d = ... would fit
    """
    free = _free_bytes()
    if 8 * numbers * 2**d > free:
        fits = max(0, int(np.floor(np.log2(max(free, 1) / (8 * numbers)))))
        raise MemoryError(
            f"{what} of d = {d} needs {8 * numbers * 2**d / 2**30:.3g} GiB, {free / 2**30:.3g} GiB are free: "
            f"d = {fits} would fit"
        )


def number_of_qubits(shape):
    """d of energies of shape (2^d,) or (B, 2^d). Raises ValueError for another.

    >>> number_of_qubits((5, 8))
    3
    """
    d = shape[-1].bit_length() - 1
    if len(shape) not in (1, 2) or 0 in shape or shape[-1] != 2**d:
        raise ValueError(f"energies must be (2^d,) or (B, 2^d), one for each bit-string, got {tuple(shape)}")
    return d


def checked(energies):
    """Energies as a batch: (2^d,) or (B, 2^d)  ->  (B, 2^d) float64, d.

    Raises ValueError for what is no number, NaN or infinite, and for a length that is no power of two.

    >>> batch, d = checked([0, -1, 2, 3])
    >>> batch.shape, d
    ((1, 4), 2)
    """
    remedy = ": check the biases of the model they come from"
    batch = np.atleast_2d(np.ascontiguousarray(require.array("energies", energies, "... 2^d", remedy=remedy)))
    return batch, number_of_qubits(batch.shape)


def _sums(weights):
    """Sum of w_p n_p for every bit-string: (p,)  ->  (2^p,)."""
    sums = np.zeros(1)
    for weight in weights:
        sums = np.concatenate([sums, sums + weight])
    return sums


def require_model(bqm):
    """Raise ValueError unless it is a dimod.BinaryQuadraticModel whose biases and energies are finite.

    >>> require_model(dimod.BinaryQuadraticModel({"a": -1.0}, {}, 0.0, dimod.BINARY))
    >>> require_model(dimod.BinaryQuadraticModel({"a": 1e308, "b": 1e308}, {}, 0.0, dimod.BINARY))
    Traceback (most recent call last):
    ValueError: the model's energies reach beyond 1e+307, where they may overflow: scale it down
    """
    if not isinstance(bqm, dimod.BinaryQuadraticModel):
        raise ValueError(f"the model must be a dimod.BinaryQuadraticModel, got {type(bqm).__name__}")
    linear, (_, _, couplings), offset = bqm.to_numpy_vectors(list(bqm.variables))
    biases = np.concatenate([linear, couplings, [offset]]).astype(np.float64, copy=False)
    require.values("the model's biases", biases, remedy=": check the feature maps or data it is made from")
    with np.errstate(over="ignore"):
        if not np.abs(biases).sum() <= 1e307:
            raise ValueError("the model's energies reach beyond 1e+307, where they may overflow: scale it down")


def biases(bqm):
    """Linear biases (d,), quadratic ones (d, d) below the diagonal, and offset over binary variables.

    Raises ValueError as `require_model`.

    >>> bqm = dimod.BinaryQuadraticModel({"a": -1.0, "b": 0.5}, {("a", "b"): 2.0}, 3.0, dimod.BINARY)
    >>> biases(bqm)
    (array([-1. ,  0.5]), array([[0., 0.],
           [2., 0.]]), 3.0)
    """
    require_model(bqm)
    binary = bqm.change_vartype(dimod.BINARY, inplace=False)
    linear, (rows, columns, values), offset = binary.to_numpy_vectors(list(bqm.variables))
    couplings = np.zeros((len(linear), len(linear)))
    np.add.at(couplings, (np.maximum(rows, columns), np.minimum(rows, columns)), values)
    return linear.astype(np.float64, copy=False), couplings, float(offset)  # a model of objects may hold fractions


def energies(bqm):
    """Energies of all bit-strings, offset included: dimod model, binary or spin  ->  (2^d,) float64.

    Raises ValueError as `biases`, MemoryError, naming the d that would fit, before allocating.

    >>> bqm = dimod.BinaryQuadraticModel({"a": -1.0, "b": 0.5}, {("a", "b"): 2.0}, 3.0, dimod.BINARY)
    >>> energies(bqm)  # none, a, b, both
    array([3. , 2. , 3.5, 4.5])
    """
    linear, couplings, offset = biases(bqm)
    require_memory(len(linear), 4, "the energies")
    E = np.array([offset])
    for p, bias in enumerate(linear):  # the strings with n_p = 1 follow those with n_p = 0
        E = np.concatenate([E, E + bias + _sums(couplings[p, :p])])
    return E


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


def layers(annealing_time, g, schedule, steps, order, s0=0.0, s1=1.0):
    """Angles of `steps` splitting steps of that order from s0 to s1: phases (n + 1,), rotations (n,).

    With the time as two more coordinates, one moved by each part, the splitting keeps its order although H
    depends on the time: each part sees the time that the other has reached.

    >>> phases, rotations = layers(10.0, -1.0, find_schedule("linear"), steps=2, order=2)
    >>> phases, rotations  # B and A g over the anneal: the sums are 5 and -5
    (array([0. , 2.5, 2.5]), array([-3.75, -1.25]))
    """
    phase_weights, rotation_weights = SPLITTINGS[order]
    ds = (s1 - s0) / steps
    start = s0 + ds * np.arange(steps)[:, None]
    s_phase = start + ds * np.concatenate([[0.0], np.cumsum(rotation_weights)])
    s_rotation = start + ds * np.cumsum(phase_weights)[:-1]
    phase = annealing_time * ds * phase_weights * schedule.weight("B", s_phase)
    angles = (annealing_time * ds * rotation_weights * schedule.weight("A", s_rotation) * g).ravel()
    phases = np.concatenate([phase[:, :-1].ravel(), [0.0]])
    # a step's last phase joins the first of the next
    phases[len(rotation_weights) :: len(rotation_weights)] += phase[:, -1]
    return phases, angles


def layers_in_parts(annealing_time, g, schedule, plan, order):
    """`layers` of the steps of a plan, intervals of s and the steps in each: yields phases, rotations.

    At most 2^14 steps at a time, so that their angles are no matter for the memory.

    >>> plan = [(0.0, 0.5, 20_000), (0.5, 1.0, 10)]
    >>> [len(angles) for _, angles in layers_in_parts(1e4, -1.0, find_schedule("linear"), plan, order=2)]
    [10000, 10000, 10]
    """
    for a, b, count in plan:
        ends = np.linspace(0, count, -(-count // _STEPS) + 1).astype(int)
        for first, last in zip(ends, ends[1:]):
            part = a + (b - a) * (first / count), a + (b - a) * (last / count) if last < count else b
            yield layers(annealing_time, g, schedule, last - first, order, *part)


def _evolve(re, im, batch, phases, angles):
    """`layers` on re + i im = i^(number of ones) psi, (B, 2^d), in place."""
    tangents = np.clip(np.tan(angles), -1e9, 1e9)  # the butterflies stay accurate up to there
    d = batch.shape[1].bit_length() - 1
    factors = np.copysign(1 / np.sqrt(1 + tangents**2), np.cos(angles)) ** d
    kernels.evolve(re, im, batch, phases, tangents, factors)


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
        from . import accelerator  # PyTorch is loaded only for those who ask for it

        evolution = accelerator.Evolution(energies, annealing_time, driver, schedule, device, dtype)
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


def bits(indices, d):
    """Bit-strings of indices: (num,)  ->  (num, d) bool, column p is n_p.

    Raises ValueError for indices outside 0..2^d - 1.

    >>> bits([0, 1, 6], 3).astype(int)  # the first column is the lowest bit
    array([[0, 0, 0],
           [1, 0, 0],
           [0, 1, 1]])
    """
    d = require.whole("d", d)
    indices = require.indices("indices", indices, "num", 2**d)
    return (indices[:, None] >> np.arange(d) & 1).astype(bool)


def sample_set(bits, bqm):
    """One bit-string (d,) of 0 and 1, in the order of the model's variables  ->  its dimod.SampleSet.

    >>> bqm = dimod.BinaryQuadraticModel({"a": -1.0, "b": 0.5}, {}, 0.0, dimod.SPIN)
    >>> first = sample_set([1, 0], bqm).first
    >>> {v: int(s) for v, s in first.sample.items()}, float(first.energy)
    ({'a': 1, 'b': -1}, -1.5)
    """
    values = np.asarray(bits, dtype=np.int8)[None]
    if bqm.vartype is dimod.SPIN:
        values = 2 * values - 1
    return dimod.SampleSet.from_samples_bqm((values, list(bqm.variables)), bqm)


class SchrodingerSampler(dimod.Sampler):
    """Exact annealer that follows Ocean's conventions: bit-strings drawn from |psi(annealing_time)|^2."""

    parameters = MappingProxyType({
        name: []
        for name in ("num_reads", "annealing_time", "driver", "schedule", "dt", "tolerance", "seed", "device", "dtype")
    })  # fmt: skip
    properties = MappingProxyType({
        "category": "simulator",
        "annealing_time_unit": "1/energy",
        "drivers": tuple(DRIVERS),
        "schedules": tuple(SCHEDULES),
    })  # fmt: skip

    def sample(
        self,
        bqm,
        num_reads=None,
        annealing_time=50.0,
        driver="scaled",
        schedule="linear",
        dt=None,
        tolerance=1e-6,
        seed=None,
        device=None,
        dtype="complex128",
        **unknown,
    ):
        """Anneal and measure num_reads times, d^2 for None (paper, Sec. II.2): model  ->  dimod.SampleSet.

        device, dtype: as in `anneal`. seed: of the measurements.
        info: ground_state_probability (the fidelity), expected_energy, ground_energy, steps, error, timing in
        seconds, annealing_time, driver, schedule. Raises as `energies`, `anneal` and `draw`.

        >>> bqm = dimod.BinaryQuadraticModel({"a": -1.0, "b": 0.5}, {("a", "b"): 2.0}, 0.0, dimod.BINARY)
        >>> samples = SchrodingerSampler().sample(bqm, annealing_time=100.0, seed=0)
        >>> len(samples), float(samples.first.energy), round(samples.info["ground_state_probability"], 3)
        (4, -1.0, 1.0)
        """
        self.remove_unknown_kwargs(**unknown)
        clock = [time.perf_counter()]
        if device is None:
            E = energies(bqm)
        else:
            from . import accelerator

            E = accelerator.energies(bqm, accelerator.find_device(device))
        clock.append(time.perf_counter())
        result = anneal(E, annealing_time, driver, schedule, tolerance, dt, device, dtype)
        clock.append(time.perf_counter())
        d = bqm.num_variables
        num_reads = max(d**2, 1) if num_reads is None else num_reads
        if device is None:
            drawn = draw(result.probabilities, num_reads, seed)
            drawn_energies = E[drawn]
        else:
            drawn = accelerator.draw(result.probabilities, num_reads, seed)
            drawn_energies, drawn = E[drawn].cpu().numpy(), drawn.cpu().numpy()
        samples = bits(drawn, d).astype(np.int8)
        if bqm.vartype is dimod.SPIN:
            samples = 2 * samples - 1
        clock.append(time.perf_counter())
        info = {
            "ground_state_probability": float(result.fidelity),
            "expected_energy": float(result.energy),
            "ground_energy": float(E.min()),
            "steps": result.steps,
            "error": result.error,
            "timing": dict(zip(("energies", "evolution", "sampling"), np.diff(clock).tolist())),
            "annealing_time": annealing_time,
            "driver": driver,
            "schedule": find_schedule(schedule).name,
        }
        labels = list(bqm.variables)
        return dimod.SampleSet.from_samples(
            (samples, labels), bqm.vartype, drawn_energies, info=info, sort_labels=False
        )
