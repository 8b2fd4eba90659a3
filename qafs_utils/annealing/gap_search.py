"""Branch and bound for the minimum gap over s, with a certificate: what `spectrum.minimum_gap` runs."""

import numpy as np

from .. import require
from ..compiled import njit
from . import threads as pool
from .evolution import loops_on
from .level_solver import LevelSolver, lowest_of_tridiagonal
from .schedules import SCHEDULES

_GRID = (0.55, 0.85)  # where levels are solved for first
_LARGE = 1 << 13  # vectors for which threads pay
_GUARD = 3e-3  # residual of the third level
_SAMPLES = 120  # vectors that the samples of a search may take
_NARROW = 1e-13  # intervals of s that are cut no further
_ROW = 1 << 11  # numbers that stay in the first-level cache
_FOLLOWED = 1e-6  # how closely the search follows a schedule without knots
_S, _E0, _E1, _PAIR, _THREE, _D0, _P0, _D1, _P1 = range(9)  # columns of samples


@njit(fastmath=True)
def _lowest(T, k):
    """The k lowest eigenpairs of a symmetric matrix (n, n), overwritten  ->  values (k,), vectors (k, n)."""
    n = len(T)
    alpha, beta, scale = np.empty(n), np.zeros(n - 1), np.zeros(n)
    for i in range(n - 1):  # reflections, of which row i keeps the vector
        alpha[i], x = T[i, i], T[i, i + 1 :]
        norm = np.sqrt((x * x).sum())
        beta[i] = -norm if x[0] > 0 else norm
        if i == n - 2 or norm == 0.0:
            beta[i] = x[0]
            continue
        x[0] -= beta[i]
        scale[i] = -beta[i] * x[0]
        y = np.zeros(n - i - 1)
        for j in range(n - i - 1):
            y += x[j] * T[i + 1 + j, i + 1 :]
        y /= scale[i]
        y -= (x * y).sum() / (2 * scale[i]) * x
        for j in range(n - i - 1):
            T[i + 1 + j, i + 1 :] -= x[j] * y + y[j] * x
    alpha[n - 1] = T[n - 1, n - 1]
    values, vectors = lowest_of_tridiagonal(alpha, beta, k)
    for i in range(n - 2, -1, -1):
        if scale[i] != 0.0:
            x = T[i, i + 1 :]
            for level in range(k):
                vectors[level, i + 1 :] -= (x * vectors[level, i + 1 :]).sum() / scale[i] * x
    return values, vectors


@njit()
def _between(samples, column, s):
    """The chord of a column of the samples (m, 9) at s, which its concave function exceeds."""
    right = 1
    while samples[right, _S] < s:
        right += 1
    a, b = samples[right - 1], samples[right]
    return a[column] + (s - a[_S]) / (b[_S] - a[_S]) * (b[column] - a[column])


@njit(fastmath=True)
def _form(x, M):
    """x M x."""
    total = 0.0
    for i in range(len(x)):
        total += x[i] * (M[i] * x).sum()
    return total


@njit()
def _sample(s, forms, samples):
    """What the basis says of the levels at s: forms (5, n, n), solved samples (m, 9)  ->  (9,)."""
    values, x = _lowest((1 - s) * forms[0] + s * forms[1], 2)
    square = (1 - s) ** 2 * forms[2] + s * (1 - s) * forms[3] + s * s * forms[4]  # of H
    row = np.array([s, values[0], values[1], _between(samples, _PAIR, s), -np.inf, 0.0, 0.0, 0.0, 0.0])
    third, total = _between(samples, _THREE, s) - values.sum(), values.sum()
    for level in range(2):
        row[_D0 + 2 * level], row[_P0 + 2 * level] = _form(x[level], forms[0]), _form(x[level], forms[1])
        if third > values[1]:
            total -= max(_form(x[level], square) - values[level] ** 2, 0.0) / (third - values[level])
    if third > values[1]:
        row[_PAIR] = max(row[_PAIR], total)
    return row


@njit()
def _interval(rows, left, right):
    """[left, right, least bound of the gap between these two samples, where it is attained]."""
    a, b = rows[left], rows[right]
    ends = np.empty((2, 2))  # of both vectors, at both ends
    for i, row in enumerate((a, b)):
        for j, at in enumerate((a, b)):
            ends[i, j] = at[_PAIR] - 2 * ((1 - at[_S]) * row[_D0] + at[_S] * row[_P0])
    best, place = max(ends[0, 0], ends[1, 0]), a[_S]
    if max(ends[0, 1], ends[1, 1]) < best:
        best, place = max(ends[0, 1], ends[1, 1]), b[_S]
    turn = (ends[0, 0] - ends[1, 0]) - (ends[0, 1] - ends[1, 1])
    share = (ends[0, 0] - ends[1, 0]) / turn if turn != 0.0 else 0.0
    if 0.0 < share < 1.0:
        crossing = ends[0, 0] + share * (ends[0, 1] - ends[0, 0])
        if crossing < best:
            best, place = crossing, a[_S] + share * (b[_S] - a[_S])
    return np.array([left, right, max(best, 0.0), place])


@njit()
def _split(a, b, lowest):
    """Next s to look at: at the zero of the gap's slope if it is bracketed, else where the bound is lowest."""
    left, right, margin = (a[_P1] - a[_P0]) - (a[_D1] - a[_D0]), (b[_P1] - b[_P0]) - (b[_D1] - b[_D0]), 0.2
    width = b[_S] - a[_S]
    if left < 0.0 < right:
        lowest, margin = a[_S] - left / (right - left) * width, 0.1
    return min(max(lowest, a[_S] + margin * width), b[_S] - margin * width)


@njit()
def _search(samples, forms, tolerance):
    """Branch and bound on what the basis says  ->  sample of least gap, lower bound, s to solve at or NaN, looks."""
    count, rows, intervals = len(samples), np.empty((1000, 9)), np.empty((1000, 4))
    rows[:count] = samples
    best, least, lowest = 0, np.inf, -1
    for i in range(count):
        best, least = _better(rows, i, best, least)
    for i in range(1, count - 1):
        if _lower(rows[i]) < least - tolerance:
            rows[i] = _sample(samples[i, _S], forms, samples)
            rows[i, _PAIR] = max(rows[i, _PAIR], samples[i, _PAIR])
            best, least = _better(rows, i, best, least)
            if lowest < 0 or _lower(rows[i]) < _lower(rows[lowest]):
                lowest = i
    for i in range(count - 1):
        intervals[i] = _interval(rows, i, i + 1)
    while True:
        i = intervals[: count - 1, 2].argmin()
        a, b = int(intervals[i, 0]), int(intervals[i, 1])
        bound = min(intervals[i, 2], rows[best, _E1] - rows[best, _E0])
        if bound >= least - tolerance or rows[b, _S] - rows[a, _S] < 1e-9 or count == len(rows):
            return rows[best], bound, np.nan, count
        rows[count] = _sample(_split(rows[a], rows[b], intervals[i, 3]), forms, samples)
        best, least = _better(rows, count, best, least)
        if _lower(rows[count]) < least - tolerance:
            if lowest < 0 or _lower(rows[count]) < _lower(rows[lowest]):
                lowest = count
            return rows[best], bound, rows[lowest, _S], count
        intervals[i] = _interval(rows, a, count)
        intervals[count - 1] = _interval(rows, count, b)
        count += 1


@njit()
def _lower(row):
    """Lower bound of a sample's gap."""
    return row[_PAIR] - 2 * row[_E0]


@njit()
def _better(rows, i, best, least):
    """Sample whose gap has the least upper bound, that bound: of row i and the best so far."""
    upper = 2 * rows[i, _E1] - rows[i, _PAIR]
    return (i, upper) if upper < least else (best, least)


@njit(fastmath=True)
def _orthogonalise(basis, n):
    """Take from row n its parts along the n orthonormal rows before it, twice, and normalise it  ->  what was left."""
    x, norm = basis[n], 1.0
    for _ in range(2):
        overlaps, square = np.zeros(n), 0.0
        for start in range(0, x.size, _ROW):
            x_ = x[start : start + _ROW]
            for i in range(n):
                row, overlap = basis[i, start : start + _ROW], 0.0
                for k in range(x_.size):
                    overlap += x_[k] * row[k]
                overlaps[i] += overlap
        for start in range(0, x.size, _ROW):
            x_ = x[start : start + _ROW]
            for i in range(n):
                row, overlap = basis[i, start : start + _ROW], overlaps[i]
                for k in range(x_.size):
                    x_[k] -= overlap * row[k]
            for k in range(x_.size):
                square += x_[k] * x_[k]
        scale = 1 / np.sqrt(square) if square > 0 else 0.0
        for k in range(x.size):
            x[k] *= scale
        norm *= np.sqrt(square)
    return norm


@njit(fastmath=True)
def _products(basis, driven, energies, n, old):
    """Scalar products of the basis (n, 2^d), H_D times it and H_P times it: `old` (5, m, m) and those of new rows."""
    forms, m, width = np.zeros((5, n, n)), old.shape[1], min(_ROW, energies.size)
    forms[:, :m, :m] = old
    for start in range(0, energies.size, width):
        part = slice(start, start + width)
        E = energies[part]
        for i in range(m, n):
            x, Dx = basis[i, part], driven[i, part]
            for j in range(i + 1):
                y, Dy = basis[j, part], driven[j, part]
                D, P, DD, DP, PP = 0.0, 0.0, 0.0, 0.0, 0.0
                for k in range(width):
                    xy = E[k] * x[k] * y[k]
                    D += x[k] * Dy[k]
                    P += xy
                    DD += Dx[k] * Dy[k]
                    DP += E[k] * (x[k] * Dy[k] + Dx[k] * y[k])
                    PP += E[k] * xy
                for q, term in enumerate((D, P, DD, DP, PP)):
                    forms[q, i, j] += term
    for q in range(5):
        for i in range(m, n):
            for j in range(i):
                forms[q, j, i] = forms[q, i, j]
    return forms


import os
CC = float(os.environ.get("CC", 0.3)); G0=float(os.environ.get("G0",1e-3)); GG=float(os.environ.get("GG",.25))
@njit()
def _with(samples, forms, s, three, slack):
    """The samples (m, 9) and that at s, where E0 + E1 + E2 is at least `three`, E0 + E1 no less by more than `slack`."""
    place = np.searchsorted(samples[:, _S], s)
    after = place + 1 if samples[place, _S] == s else place
    found = np.empty((place + 1 + len(samples) - after, 9))
    found[:place], found[place + 1 :] = samples[:place], samples[after:]
    found[place, _S], found[place, _PAIR], found[place, _THREE] = s, -np.inf, three
    row = _sample(s, forms, found)
    row[_THREE], row[_PAIR] = three, max(row[_PAIR], row[_E0] + row[_E1] - slack)
    found[place] = row
    return found


class GapSearch:
    """Samples of one problem's levels, and what they prove about its gap: energies (2^d,).

    Levels are solved for at few s. The vectors span a basis, in which all levels between are nearly exact. Proven is:
    E0 lies below the expectation of H in any vector. E0 + E1 and E0 + E1 + E2 are concave in (A, B) and of degree one,
    so above their chords. With E2 >= rho, E0 + E1 lies above theta_0 + theta_1 - sum_i r_i^2 / (rho - theta_i) for two
    expected energies theta_i < rho of residuals r_i [lehmann1949]. Samples are of the linear schedule; that of
    other weights is A + B times that at s = B / (A + B).

    >>> search = GapSearch([0.0, 1.0], driver="scaled", residual=1e-5, tolerance=1e-6)
    >>> gap, s, lower_bound = search.minimise()
    >>> round(gap, 4), round(s, 2), gap - 1e-6 <= lower_bound <= gap
    (0.8944, 0.8, True)
    """

    def __init__(self, energies, *, driver, residual, tolerance, threads=None, device=None):
        k = min(3, max(len(energies), 2))
        number = min(threads or pool.THREADS, len(_GRID), loops_on(device).solvers) if len(energies) >= _LARGE else 1
        options = {"driver": driver, "schedule": "linear", "k": k, "residual": [residual, residual, _GUARD][:k]}
        samples = [_SAMPLES, *[0] * (number - 1)]
        self.solvers = [
            LevelSolver(energies, **options, device=device, solvers=number - i, samples=room)
            for i, room in enumerate(samples)
        ]
        solver, self.tolerance, self.residual, self.k = self.solvers[0], tolerance, residual, k
        self.loops, self.d, self.offset = solver.loops, solver.d, float(solver.energies.min())
        self.energies, (self.basis, self.driven) = solver.energies - self.offset, solver.room.reshape(2, -1, 2**self.d)
        lowest, g = np.array(self.energies[solver.lowest[:k]].tolist()), solver.g
        mean, top = float(self.energies.mean()), [self.d * g, (self.d - 2) * g]
        three = [sum(top) + top[1], lowest.sum()] if k == 3 else [1e300, 1e300]
        self.samples = np.array([
            [0, *top, sum(top), three[0], top[0], mean, top[1], mean],
            [1, *lowest[:2], lowest[:2].sum(), three[1], 0, lowest[0], 0, lowest[1]],
        ])
        self.goals, self.nothing = {}, 0 * self.energies
        self.solves, self.n, self.forms = 0, 0, np.zeros((5, 0, 0))
        start = self.loops.empty((1 + k, 2**self.d))
        start[:] = 0
        start[0] = 1
        for row, string in zip(start[1:], solver.lowest):
            row[string] = 1
        self._extend(start)

    def _extend(self, vectors):
        """Vectors (m, 2^d) that the basis is to span, too."""
        if self.n + len(vectors) > len(self.basis):
            self.n, self.forms = 0, np.zeros((5, 0, 0))
        for vector in vectors:
            n = self.n
            self.basis[n] = vector
            if _orthogonalise(self.basis, n) > 1e-7:
                self.loops.hamiltonian(self.basis[n], self.nothing, self.solvers[0].g, self.driven[n])
                self.n += 1
        self.forms = _products(self.basis, self.driven, self.energies, self.n, self.forms)

    def _goal(self, s, least):
        """Weights (k, n) of approximate levels at s, residuals that should do if the least gap is known to be below."""
        values, weights = _lowest((1 - s) * self.forms[0] + s * self.forms[1], self.k)
        if self.k < 3:
            return weights, [self.residual] * 2
        apart, above = values[2] - values[1], max(values[1] - values[0] - least, self.tolerance)
        goal = [min(CC * (apart * above) ** 0.5, apart / 4, _GUARD)] * 2 + [min(apart * GG, _GUARD)]
        if self.n < 7:
            goal = [G0] * 3
        goal = np.minimum(goal, self.goals.get(s, 3.0) / 3)
        self.goals[s] = np.maximum(goal, self.residual)
        return weights, self.goals[s]

    def _solve(self, *points):
        """Solve for the levels at these s, in threads."""
        run = pool.POOL.map if len(self.solvers) >= len(points) > 1 else map
        least = (2 * self.samples[:, _E1] - self.samples[:, _PAIR]).min()
        goals = [self._goal(s, least) for s in points]
        solvers = self.solvers if len(self.solvers) == len(points) else self.solvers[:1] * len(points)
        found = run(self._found, solvers, points, goals)
        for s, (_, goal), (values, vectors) in zip(points, goals, list(found)):
            self._extend(vectors)
            values = values - s * self.offset
            three = values.sum() - goal.sum() if len(values) > 2 else 1e300
            slack = self.tolerance / 8 if goal[0] <= self.residual else 2 * goal[0]
            self.samples = _with(self.samples, self.forms, s, three, slack)
            self.solves += 1

    def _found(self, solver, s, goal):
        return solver.solve(s, self.loops.combine(goal[0], self.basis[: self.n]), goal[1])

    def minimise(self):
        """->  least gap, its s, lower bound, which is at most the tolerance below: of the linear schedule."""
        self._solve(*_GRID)
        while True:
            row, bound, s, self.looks = _search(self.samples, self.forms, self.tolerance)
            if np.isnan(s):
                return float(row[_E1] - row[_E0]), float(row[_S]), float(bound)
            self._solve(s)

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
