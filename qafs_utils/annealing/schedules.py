"""Drivers and schedules of H(s) = A(s) H_D + B(s) H_P (paper, Eq. 6): add yours to DRIVERS or SCHEDULES."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .. import require
from ..intervals import SUMMABLE
from .processors import find_processor

DRIVERS = {  # strength g of H_D = g sum sigma_x
    "uniform": lambda d: -1.0,  # the paper's text
    "scaled": lambda d: 1.0 / max(d, 1),  # the authors' code
}
_EIGHTHS = np.linspace(0, 1, 9)
_PROBES = 2**16  # intervals at whose ends a schedule is looked at
_BETWEEN = (0, 0.25, 0.5, 0.75)  # and, in shares of the interval, between two knots
_NO_GAP = ": a locally adiabatic schedule needs gap > 0 everywhere, which degenerate ground states do not have"
_TOO_STEEP = ": the gaps differ by too much for this power, choose one nearer to 0"


@dataclass(frozen=True, eq=False)
class Schedule:
    """Weights A(s) of the driver and B(s) of the problem: functions of s in [0, 1], of arrays (n,) too.

    knots: s rising from 0 to 1, such that A and B each only rise or only fall between neighbours. Without them (None)
    nobody knows what a function does between the places where it is looked at, and no gap is certified.
    cubic: whether between neighbours A and B are polynomials of order 3, as those of `tabulated` are.
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
    cubic: bool = False
    _kept: dict = field(default_factory=dict, init=False, repr=False)  # cells that were asked for

    def __post_init__(self):
        for weight in "AB":
            if not callable(given := getattr(self, weight)):
                raise ValueError(f"schedule {self.name!r}: {weight} must be a function of s, got {given!r}")
        if self.knots is None:
            return
        knots = require.array("knots", self.knots, "n", interval="[0, 1]")
        _require_rise(f"schedule {self.name!r}: its knots", knots)
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

    def weight(self, name: str, s: np.ndarray) -> np.ndarray:
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
        if values.shape != np.shape(s):
            values = np.full(np.shape(s), values)
        values = values.astype(np.float64, copy=False)
        if not np.isfinite(values).all():
            place = np.asarray(s)[~np.isfinite(values)].flat[0]
            raise ValueError(f"schedule {self.name!r} gives NaN or infinite weights: {name} at s = {place:.6g}")
        return values

    def cells(self, A: float, B: float) -> np.ndarray:
        """Intervals in which A and B are polynomials, up to these distances: ends (n,), rising from 0 to 1.

        One interval if eighths of the anneal are such (of order 5, through six points). An eighth that is not is cut at
        the knot nearest to its middle, else there, until it is or is so short that it does not matter. Looked at
        are four places between every two knots, twenty in every interval, and 65,537 unless the pieces are cubic: these
        have no feature that is missed, a function may have one between these places.

        >>> SCHEDULES["quadratic"].cells(1e-9, 1e-9)
        array([0., 1.])
        >>> len(tabulated([0, 0.5, 0.501, 1], [1, 1, 0, 0], [0, 0, 1, 1]).cells(1e-9, 1e-9))
        10
        """
        if (A, B) not in self._kept:
            self._kept[A, B] = np.array([0.0, 1.0]) if self._exact else self._cut(A, B)
        return self._kept[A, B].copy()

    @functools.cached_property
    def largest(self):
        """The largest weights, of A and of B, at 33 places.

        >>> SCHEDULES["linear"].largest["A"]
        1.0
        """
        return {name: float(abs(self.weight(name, np.linspace(0, 1, 33))).max()) for name in "AB"}

    def _places(self):
        """Where the schedule is looked at: (n,)."""
        knots, probes = np.asarray(self.knots or (0, 1)), 8 if self.cubic else _PROBES
        return np.union1d(np.linspace(0, 1, probes + 1), [knots[:-1] + share * np.diff(knots) for share in _BETWEEN])

    @functools.cached_property
    def _rounding(self):
        """Distance from a polynomial that is no more than rounding, of A and of B."""
        return {name: 1e-13 * abs(self.weight(name, self._places())).max() for name in "AB"}

    @functools.cached_property
    def _exact(self):
        """Whether both weights are polynomials in eighths of the anneal, up to rounding: as they are in SCHEDULES."""
        return not self._unlike_polynomials(_EIGHTHS[:-1], _EIGHTHS[1:], self._places(), 0.0, 0.0)[0].any()

    def _cut(self, A, B):
        """What `cells` gives for a schedule that is no polynomial."""
        ends, left, right, places = _EIGHTHS, _EIGHTHS[:-1], _EIGHTHS[1:], self._places()
        while len(left):
            wrong, places = self._unlike_polynomials(left, right, places, A, B)
            left, right = left[wrong], right[wrong]
            middle = self._middle(left, right)
            left, right = np.sort([*left, *middle]), np.sort([*middle, *right])
            ends = np.union1d(ends, middle)
        return ends if len(ends) > len(_EIGHTHS) else np.array([0.0, 1.0])

    def _unlike_polynomials(self, left, right, places, A, B):
        """In which cells (n,) a weight is no polynomial up to these distances, and the places inside of the cells."""
        width = right - left
        inside = np.searchsorted(left, places, side="right") > np.searchsorted(right, places, side="right")
        places = np.union1d(places[inside], np.linspace(left, right, 21)[:-1])
        cell, wrong = np.searchsorted(left, places, side="right") - 1, np.zeros(len(left), bool)
        for name, distance in (("A", A), ("B", B)):
            six = self.weight(name, np.linspace(left, right, 6))  # (6, n)
            off = abs(self.weight(name, places) - _through_six((places - left[cell]) / width[cell], six[:, cell]))
            allowed = max(distance, self._rounding[name])
            wrong[cell[(off > allowed) & (off * width[cell] > 1e-3 * allowed)]] = True
        return wrong, places

    def _middle(self, left, right):
        """Where cells are cut: at the knot inside that is nearest to the middle, else in the middle, (n,)."""
        knots, middle = np.asarray(self.knots or (0, 1)), (left + right) / 2
        before, after = knots[np.clip(np.searchsorted(knots, middle), 1, len(knots) - 1) - [[1], [0]]]
        nearest = np.where(abs(after - middle) < abs(before - middle), after, before)
        return np.where((nearest > left) & (nearest < right), nearest, middle)


def _through_six(t, values):
    """The polynomial of order 5 through values (6, n) at 0, 1/5, ..., 1, at t (n,)  ->  (n,)."""
    nodes, result = np.linspace(0, 1, 6), 0.0
    for i in range(6):
        factors = [(t - nodes[j]) / (nodes[i] - nodes[j]) for j in range(6) if j != i]
        result = result + values[i] * np.prod(factors, axis=0)
    return result


def _require_rise(name, s, remedy=""):
    """Raise ValueError unless s (n,) rises from 0 to 1."""
    if not (len(s) > 1 and s[0] == 0 and s[-1] == 1 and (np.diff(s) > 0).all()):
        raise ValueError(f"{name} must rise from 0 to 1, in at least 2 points{remedy}")


SCHEDULES = {
    "linear": Schedule("linear", lambda s: 1 - s, lambda s: s, (0, 1)),  # the paper's
    "quadratic": Schedule("quadratic", lambda s: (1 - s) ** 2, lambda s: s**2, (0, 1)),
}


def tabulated(s, A, B, name: str = "tabulated") -> Schedule:
    """Schedule through tabulated points: s (n,) rising from 0 to 1, A and B (n,); monotone cubic in between.

    Its knots are the points. Raises ValueError when s does not rise from 0 to 1, or for other shapes or NaN.

    >>> schedule = tabulated([0, 0.5, 1], [6.0, 1.0, 0.0], [0.0, 4.0, 10.0])
    >>> float(schedule.A(0.5)), float(schedule.B(1.0))
    (1.0, 10.0)
    """
    from scipy.interpolate import PchipInterpolator  # half a second to import, and the linear schedule needs none

    sizes = {}
    s, A, B = (require.array(f"the tabulated {x}", values, "n", sizes) for x, values in (("s", s), ("A", A), ("B", B)))
    _require_rise("the tabulated s", s, ": divide the times by the annealing time")
    return Schedule(name, PchipInterpolator(s, A), PchipInterpolator(s, B), s, cubic=True)


def of_processor(name: str, protocol: str = "standard") -> Schedule:
    """The schedule of a real processor, in radians a nanosecond: pi A on -sum sigma_x, pi B on the Ising energy.

    Its driver is "uniform", the energies those of `ising.as_taken`, the annealing time is in ns.
    Raises ValueError for an unknown processor or protocol, ArtefactError as `processors.read_schedule`.

    >>> schedule = of_processor("Advantage2_system2", "fast")
    >>> float(schedule.A(0.0)) / np.pi, float(schedule.B(1.0)) / np.pi
    (10.0, 13.76479)
    """
    table = find_processor(name).weights(protocol)
    return tabulated(table.s, np.pi * table.A_GHz, np.pi * table.B_GHz, f"{find_processor(name).name} {protocol}")


def locally_adiabatic(x, gap, power: float = 2.0) -> Schedule:
    """Schedule A = 1 - x(s), B = x(s) with dx/ds ~ gap(x)^power: slow where the gap is small.

    x: (n,) rising from 0 to 1; gap: (n,) > 0 of the linear schedule there (`spectrum.level_curves`).
    power: 2, Roland and Cerf [roland2002local], Eq. 17. Raises ValueError as `tabulated`, for a gap that is not
    positive, and for a power and gaps for which rounding loses the schedule.

    >>> schedule = locally_adiabatic([0.0, 0.4, 0.6, 1.0], [1.0, 0.1, 0.1, 1.0])
    >>> schedule.B([0.0, 0.25, 0.5, 0.75, 1.0]).round(3)  # stays near 0.5, where the gap is small
    array([0.   , 0.322, 0.5  , 0.678, 1.   ])
    """
    sizes, power = {}, require.number("power", power)
    x = require.array("x", x, "n", sizes, interval="[0, 1]")
    gap = require.array("gap", gap, "n", sizes, "(0, inf)", remedy=_NO_GAP)
    _require_rise("x", x)
    with np.errstate(over="ignore", under="ignore"):
        slowness = gap**-power
    require.values("gap ** -power", slowness, SUMMABLE, remedy=_TOO_STEEP)
    s = np.concatenate([[0.0], np.cumsum(np.diff(x) * (slowness[1:] + slowness[:-1]) / 2)])
    s = s / s[-1] if s[-1] else s
    _require_rise("s of the locally adiabatic schedule", s, _TOO_STEEP)
    return tabulated(s, 1 - x, x, "locally_adiabatic")


def find_schedule(schedule: str | Schedule) -> Schedule:
    """The Schedule of that name, or the Schedule itself. Raises ValueError for an unknown name.

    >>> float(find_schedule("quadratic").B(0.5))
    0.25
    """
    if isinstance(schedule, Schedule):
        return schedule
    return SCHEDULES[require.choice("schedule", schedule, SCHEDULES, ", or make one with tabulated")]


def driver_strength(driver: str, d: int) -> float:
    """g of H_D = g sum sigma_x: -1 for "uniform", 1/d for "scaled".

    Raises ValueError for another name, and for a driver whose strength is no number other than 0.

    >>> driver_strength("uniform", 4), driver_strength("scaled", 4)
    (-1.0, 0.25)
    """
    strength, d = DRIVERS[require.choice("driver", driver, DRIVERS)], require.whole("d", d)
    if not callable(strength):
        raise ValueError(f"driver {driver!r} must be a function of d, got {require.described(strength)}")
    g = require.number(f"the strength of driver {driver!r} at d = {d}", strength(d))
    if g == 0:
        raise ValueError(f"the strength of driver {driver!r} at d = {d} must not be 0: it would flip no bit")
    return g
