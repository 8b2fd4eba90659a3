"""Branch and bound for the minimum gap over s, with a certificate: what `spectrum.minimum_gap` runs."""

import heapq
from dataclasses import dataclass

import numpy as np

from . import threads as pool
from .evolution import loops_on
from .level_solver import LevelSolver
from .schedules import SCHEDULES

_GRID = np.delete(np.linspace(0, 1, 9), 1)  # where the search begins; near 0 the levels are clustered
_WAVE = 2  # values of s solved at a time
_LARGE = 1 << 13  # vectors for which threads pay
_NEAR = 3  # solved values of s whose vectors are combined into the start at another
_GUARD = 3e-3  # residual of the third level, kept so that its crossing with the second is seen
_SAMPLES = 120  # vectors that all samples of a search may take
_CELLS = 64  # cells in which an interval's bound is evaluated
_NARROW = 1e-13  # intervals of s that are cut no further
_FOLLOWED = 1e-6  # how closely the search follows a schedule without knots


@dataclass(frozen=True)
class _Sample:
    """The levels of the linear schedule at one s."""

    s: float
    A: float
    B: float
    values: np.ndarray  # (3,) eigenvalues, the third roughly
    driver: np.ndarray  # (3,) expected H_D
    problem: np.ndarray  # (3,) expected H_P
    vectors: np.ndarray  # (3, 2^d)

    @property
    def gap(self):
        return self.values[1] - self.values[0]

    def slope(self, dA, dB):
        """Derivative of the gap by s (Hellmann-Feynman)."""
        return dA * (self.driver[1] - self.driver[0]) + dB * (self.problem[1] - self.problem[0])


class GapSearch:
    """Samples of one problem's levels, and what they prove about its gap: energies (2^d,).

    As functions of (A, B), E0 and E0 + E1 are concave and of degree one. So E0 lies below the expectation of
    H in any vector, and E0 + E1 at (A, B) = a (A_l, B_l) + b (A_r, B_r) with a, b >= 0 lies above a times
    its value at l plus b times that at r: together a lower bound of the gap between two samples. Samples are of the
    linear schedule; that of other weights is A + B times that at s = B / (A + B).

    >>> search = GapSearch([0.0, 1.0], driver="scaled", residual=1e-5)
    >>> sample, lower_bound = search.minimise(1e-6)
    >>> float(sample.gap.round(4)), round(sample.s, 2), bool(sample.gap - 1e-6 <= lower_bound <= sample.gap)
    (0.8944, 0.8, True)
    """

    def __init__(self, energies, *, driver, residual, threads=None, device=None):
        k = min(3, max(len(energies), 2))
        number = min(threads or pool.THREADS, _WAVE, loops_on(device).solvers) if len(energies) >= _LARGE else 1
        options = {"driver": driver, "schedule": "linear", "k": k, "residual": [residual, residual, _GUARD][:k]}
        options |= {"device": device, "samples": _SAMPLES}
        self.solvers = [LevelSolver(energies, **options, solvers=number - i) for i in range(number)]
        self.schedule, self.samples = SCHEDULES["linear"], {}

    def _at(self, *points):
        """Samples at these s. New ones are solved _WAVE at a time, from the vectors of their nearest neighbours."""
        new = [s for s in points if s not in self.samples]
        for first in range(0, len(new), _WAVE):
            wave = new[first : first + _WAVE]
            solvers = self.solvers if len(self.solvers) == len(wave) else self.solvers[:1] * len(wave)
            run = pool.POOL.map if len(self.solvers) > 1 < len(wave) else map
            self.samples |= {sample.s: sample for sample in list(run(self._solve, solvers, wave))}
        return [self.samples[s] for s in points]

    def _solve(self, solver, s):
        near = sorted(self.samples.values(), key=lambda sample: abs(sample.s - s))[:_NEAR]
        near = [vector for sample in near for vector in sample.vectors]  # (2^d,) each
        values, vectors = solver.solve(s, near or None, spanned=len(self.samples) >= len(_GRID))
        weights = float(self.schedule.A(s)), float(self.schedule.B(s))
        return _Sample(s, *weights, values, *solver.expected(vectors), vectors)

    def minimise(self, tolerance):
        """->  sample of least gap, lower bound, which is at most the tolerance below: of the linear schedule."""
        samples, heap = self._at(*_GRID), []
        best = min(samples, key=lambda sample: sample.gap)

        def push(left, right):
            bound, lowest = self._bound(left, right)
            heapq.heappush(heap, (bound, left.s, right.s, lowest))

        for left, right in zip(samples, samples[1:]):
            push(left, right)
        while True:
            wave = []
            while heap and len(wave) < _WAVE and heap[0][0] < best.gap - tolerance and heap[0][2] - heap[0][1] > 1e-9:
                _, left, right, lowest = heapq.heappop(heap)
                left, right = self._at(left, right)
                wave.append((left, right, self._split(left, right, lowest)))
            if not wave:
                return best, min(heap[0][0], best.gap)
            for (left, right, _), middle in zip(wave, self._at(*(s for _, _, s in wave))):
                best = min(best, middle, key=lambda sample: sample.gap)
                push(left, middle)
                push(middle, right)

    def _bound(self, left, right):
        """Lower bound of the gap between two samples, cell by cell, and where it is attained."""
        s = np.linspace(left.s, right.s, _CELLS + 1)
        A, B = self.schedule.A(s), self.schedule.B(s)
        area = left.A * right.B - right.A * left.B
        chord = (A * right.B - right.A * B) / area * left.values[:2].sum()  # below E0 + E1
        chord += (left.A * B - A * left.B) / area * right.values[:2].sum()
        cells = np.full(_CELLS, -np.inf)
        for sample in (left, right):
            line = chord - 2 * (A * sample.driver[0] + B * sample.problem[0])
            cells = np.maximum(cells, np.minimum(line[:-1], line[1:]))
        lowest = int(cells.argmin())
        return max(cells[lowest], 0.0), (s[lowest] + s[lowest + 1]) / 2

    def _split(self, left, right, lowest):
        """Next s to sample: at the zero of the gap's slope if it is bracketed, else where the bound is lowest."""
        width, weights = right.s - left.s, (self.schedule.A, self.schedule.B)
        step = 1e-6 * width
        slopes = []
        for sample, sign in ((left, 1), (right, -1)):
            inwards = sample.s + sign * step
            slopes.append(sample.slope(*((weight(inwards) - weight(sample.s)) * sign / step for weight in weights)))
        margin = 0.2
        if slopes[0] < 0 < slopes[1]:
            lowest, margin = left.s - slopes[0] / (slopes[1] - slopes[0]) * width, 0.1
        return float(np.clip(lowest, left.s + margin * width, right.s - margin * width))

    def minimise_along(self, schedule, tolerance):
        """->  least gap found along a schedule, its s, lower bound, true if the schedule is monotone between its knots.

        The interval of s is cut into cells, in which A and B lie between their values at the ends: the gap is no less
        than the least A + B times the least bound for such weights. A cell whose bound is too low is cut if the bound
        in its middle is not, else the levels there are solved for.
        """
        self._at(*_GRID)
        s = _monotone_ends(schedule)
        left, right, least, place, low = s[:-1], s[1:], np.inf, 0.0, np.inf
        for end in (0.0, 1.0):
            least, place = self._lower(schedule, end, least, place)
        while len(left):
            x, bounds = self._envelope()
            cell_bounds = _cell_bounds(schedule, left, right, x, bounds)
            still = (cell_bounds < least - tolerance) & (right - left > _NARROW)
            low = min(low, cell_bounds[~still].min(initial=np.inf))
            left, right = left[still], right[still]
            middle = (left + right) / 2
            A, B = weights(schedule, middle)
            middle_bounds = (A + B) * np.interp(_problem_share(A, B), x, bounds)
            unknown = middle_bounds < least - tolerance / 2
            lowest_first = np.argsort(middle_bounds[unknown], kind="stable")
            for s in middle[unknown][lowest_first[:_WAVE]]:
                least, place = self._lower(schedule, s, least, place)
            cut = np.linspace(left[~unknown], right[~unknown], 5)  # (5, n): in four
            left, right = (np.concatenate([e[unknown], c.ravel()]) for e, c in ((left, cut[:-1]), (right, cut[1:])))
        return least, place, min(low, least)

    def gap_along(self, schedule, s):
        """Gap along a schedule at s, from a sample of the linear schedule at the same proportion of weights."""
        A, B = weights(schedule, s)
        return float((A + B) * self._at(float(_problem_share(A, B)))[0].gap)

    def _lower(self, schedule, s, least, place):
        """The lower of the gap along the schedule at s and of the least one, with its place."""
        gap = self.gap_along(schedule, s)
        return (gap, float(s)) if gap < least else (least, place)

    def _envelope(self):
        """Places x, rising, and lower bounds of the linear schedule's gap there, which lines may join: two (n,)."""
        samples = [self.samples[s] for s in sorted(self.samples)]
        places, bounds = [], []
        for left, right in zip(samples, samples[1:]):
            sums = [sample.values[:2].sum() for sample in (left, right)]
            expected = [[(1 - s) * v.driver[0] + s * v.problem[0] for s in (left.s, right.s)] for v in (left, right)]
            # the bounds that each of both vectors gives, at both ends
            by_left, by_right = (np.subtract(sums, np.multiply(2, energies)) for energies in expected)
            fall, rise = by_left[0] - by_right[0], by_right[1] - by_left[1]
            share = np.clip(fall / (fall + rise), 0, 1) if fall + rise > 0 else 0.5
            places += [left.s, left.s + share * (right.s - left.s)]  # the higher bound turns where the two cross
            bounds += [left.gap, by_left[0] + share * (by_left[1] - by_left[0])]
        return np.array([*places, samples[-1].s]), np.array([*bounds, samples[-1].gap])


def weights(schedule, s):
    """A and B at s, of which none is below 0 by rounding.

    >>> weights(SCHEDULES["linear"], np.array([0.25]))
    [array([0.75]), array([0.25])]
    """
    return [np.maximum(schedule.weight(name, s), 0) for name in "AB"]


def largest_weight(schedule):
    """The largest A + B of a schedule. Raises ValueError for negative weights, and for none.

    >>> largest_weight(SCHEDULES["quadratic"])
    1.0
    """
    s = _monotone_ends(schedule)
    if any(values.min() < -1e-9 * abs(values).max() for values in (schedule.weight(name, s) for name in "AB")):
        raise ValueError(f"schedule {schedule.name!r} has negative weights, whose gaps are not searched for")
    largest = float(sum(weights(schedule, s)).max())
    if largest == 0:
        raise ValueError(f"schedule {schedule.name!r} has no weights: A and B are 0 everywhere")
    return largest


def _monotone_ends(schedule):
    """s between which a schedule is taken for monotone: its knots, if it has some, and where it is a polynomial."""
    if schedule.knots:
        return np.union1d(np.linspace(0, 1, 65), schedule.knots)
    cells = schedule.cells(_FOLLOWED, _FOLLOWED)
    return np.union1d(np.linspace(0, 1, 65), np.linspace(cells[:-1], cells[1:], 5))


def _problem_share(A, B):
    """s of the linear schedule whose weights stand in the same proportion; 0 where both are 0."""
    return np.divide(B, A + B, out=np.zeros_like(A + B), where=np.greater(A + B, 0))


def _cell_bounds(schedule, left, right, x, bounds):
    """Lower bounds of the gap in cells (m,), from those of the linear schedule, `bounds` (n,) at x (n,)."""
    ends = zip(weights(schedule, left), weights(schedule, right))
    (A_low, A_high), (B_low, B_high) = [np.sort(both, axis=0) for both in ends]
    least = _least(x, bounds, _problem_share(A_high, B_low), _problem_share(A_low, B_high))
    return (A_low + B_low) * np.maximum(least, 0)


def _least(x, y, low, high):
    """Least value on [low, high] of the lines that join the points x (n,), y (n,): low, high (m,)  ->  (m,)."""
    first, last = np.searchsorted(x, low), np.searchsorted(x, high, side="right")  # the points inside
    inside = np.minimum.reduceat(np.append(y, np.inf), np.stack([first, last], axis=1).ravel())[::2]
    return np.minimum(np.minimum(np.interp(low, x, y), np.interp(high, x, y)), np.where(first < last, inside, np.inf))
