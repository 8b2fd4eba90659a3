"""Branch and bound for the minimum gap over s, with a certificate: what `spectrum.minimum_gap` runs."""

import numpy as np

from ..compiled import njit
from . import threads as pool
from .evolution import loops_on
from .level_solver import LevelSolver, lowest_of_tridiagonal

_GRID = (0.3, 0.7)  # where levels are solved for first
_LARGE = 1 << 13  # vectors for which threads pay
_COARSE = 3e-3  # largest residual
_NONE = 1e300  # the third of two levels
_SPANNED = 1e-7  # length of a vector outside of the basis that is as good as none
_SAMPLES = 120  # vectors that the samples of a search may take
_NARROW = 1e-13  # intervals of s that are cut no further
_ROWS = 1000  # samples that a search may look at
_WIDTH = 1 << 11  # numbers that stay in the first-level cache
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
def _search(samples, rows, forms, tolerance):
    """Branch and bound on what the basis says: samples solved for, `rows` of these and of earlier looks.

    ->  rows, index of the sample of least gap, lower bound, s to solve at or NaN.
    """
    count, known = len(rows), rows
    rows, intervals = np.empty((count + _ROWS, 9)), np.empty((count + _ROWS, 4))
    rows[:count] = known
    best, least, lowest, s = 0, np.inf, -1, np.nan
    for i in range(count):
        best, least = _better(rows, i, best, least)
    for i in range(1, count - 1):
        if _lower(rows[i]) < least - tolerance:
            pair = rows[i, _PAIR]
            rows[i] = _sample(rows[i, _S], forms, samples)
            rows[i, _PAIR] = max(rows[i, _PAIR], pair)
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
            break
        rows[count] = _sample(_split(rows[a], rows[b], intervals[i, 3]), forms, samples)
        if _lower(rows[count]) < _better(rows, count, best, least)[1] - tolerance:
            s = rows[count, _S] if lowest < 0 or _lower(rows[count]) < _lower(rows[lowest]) else rows[lowest, _S]
            break
        best, least = _better(rows, count, best, least)
        intervals[i] = _interval(rows, a, count)
        intervals[count - 1] = _interval(rows, count, b)
        count += 1
    order = np.argsort(rows[:count, _S])
    return rows[order], np.argmax(order == best), bound, s


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
        for start in range(0, x.size, _WIDTH):
            x_ = x[start : start + _WIDTH]
            for i in range(n):
                row, overlap = basis[i, start : start + _WIDTH], 0.0
                for k in range(x_.size):
                    overlap += x_[k] * row[k]
                overlaps[i] += overlap
        for start in range(0, x.size, _WIDTH):
            x_ = x[start : start + _WIDTH]
            for i in range(n):
                row, overlap = basis[i, start : start + _WIDTH], overlaps[i]
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
    forms, m, width = np.zeros((5, n, n)), old.shape[1], min(_WIDTH, energies.size)
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


@njit()
def _with(samples, forms, s, three, slack):
    """The samples (m, 9) with that at s: E0 + E1 + E2 is at least `three`, E0 + E1 lower by at most `slack`."""
    samples = _inserted(samples, np.array([s, 0.0, 0.0, -np.inf, three, 0.0, 0.0, 0.0, 0.0]))
    row = _sample(s, forms, samples)
    row[_THREE], row[_PAIR] = three, max(row[_PAIR], row[_E0] + row[_E1] - slack)
    return _inserted(samples, row), row


@njit()
def _inserted(rows, row):
    """Rows (m, 9), rising in s, with this one in its place, also instead of one at the same s."""
    before, after = np.searchsorted(rows[:, _S], row[_S]), np.searchsorted(rows[:, _S], row[_S], side="right")
    found = np.empty((before + 1 + len(rows) - after, 9))
    found[:before], found[before], found[before + 1 :] = rows[:before], row, rows[after:]
    return found


@njit()
def _goals(s, k, forms, least, tolerance):
    """Weights (k, n) of approximate levels at s, residuals (k,) that show the gap there to be above `least`."""
    values, weights = _lowest((1 - s) * forms[0] + s * forms[1], k)
    goals = np.full(k, _COARSE)
    if k > 2 and len(forms[0]) > 1 + k:  # more than the basis that a search begins with
        apart, above = max(values[2] - values[1], 0.0), max(values[1] - values[0] - least, tolerance)
        goals[:2], goals[2] = min(0.3 * (apart * above) ** 0.5, apart / 4), apart / 4
    return weights, np.minimum(goals, _COARSE)


def _orthogonalise_on(basis, n):
    """`_orthogonalise` on another device."""
    norm = 1.0
    for _ in range(2):
        basis[n] -= (basis[:n] @ basis[n]) @ basis[:n]
        size = float(basis[n] @ basis[n]) ** 0.5
        basis[n] /= size or 1.0
        norm *= size
    return norm


def _products_on(basis, driven, energies, n, old):
    """`_products` on another device."""
    m, (x, Dx) = old.shape[1], (basis[:n], driven[:n])
    forms = np.zeros((5, n, n))
    forms[:, :m, :m] = old
    for i in range(m, n):
        Px, PDx = energies * x[i], energies * Dx[i]
        rows = Dx @ x[i], x @ Px, Dx @ Dx[i], Dx @ Px + x @ PDx, x @ (energies * Px)
        forms[:, i, :] = forms[:, :, i] = [row.tolist() for row in rows]
    return forms


class GapSearch:
    """Samples of one problem's levels, and what they prove about its gap: energies (2^d,).

    Levels are solved for at few s. The vectors span a basis, in which all levels between are nearly exact. Proven is:
    E0 lies below the expectation of H in any vector. E0 + E1 and E0 + E1 + E2 are concave in (A, B) and of degree one,
    so above their chords. With E2 >= rho, E0 + E1 lies above theta_0 + theta_1 - sum_i r_i^2 / (rho - theta_i) for two
    expected energies theta_i < rho of residuals r_i (Lehmann's bound [parlett1998symmetric]).
    Samples are of the linear schedule; that of other weights is A + B times that at s = B / (A + B).

    >>> search = GapSearch([0.0, 1.0], driver="scaled", residual=1e-5, tolerance=1e-6)
    >>> gap, s, lower_bound = search.minimise()
    >>> round(gap, 4), round(s, 2), gap - 1e-6 <= lower_bound <= gap
    (0.8944, 0.8, True)
    """

    def __init__(self, energies, *, driver, residual, tolerance, threads=None, device=None):
        k = min(3, max(len(energies), 2))
        number = min(threads or pool.THREADS, len(_GRID), loops_on(device).solvers) if len(energies) >= _LARGE else 1
        options = {"driver": driver, "schedule": "linear", "k": k, "residual": residual, "device": device}
        samples = [_SAMPLES, *[0] * (number - 1)]  # the first solver's memory holds them
        self.solvers = [
            LevelSolver(energies, **options, solvers=number - i, samples=room) for i, room in enumerate(samples)
        ]
        solver, self.tolerance, self.k = self.solvers[0], tolerance, k
        self.loops, self.g, self.offset = solver.loops, solver.g, float(solver.energies.min())
        self.energies, self.nothing = solver.energies - self.offset, 0 * solver.energies
        self.basis, self.driven = solver.room.reshape(2, -1, 2**solver.d)
        lowest = np.array(self.energies[solver.lowest[:k]].tolist())
        mean, low, high = float(self.energies.mean()), solver.d * self.g, (solver.d - 2) * self.g
        three = [low + 2 * high, lowest.sum()] if k == 3 else [_NONE, _NONE]
        start = [0, low, high, low + high, three[0], low, mean, high, mean]
        end = [1, *lowest[:2], lowest[:2].sum(), three[1], 0, lowest[0], 0, lowest[1]]
        self.samples = self.rows = np.array([start, end], dtype=float)  # those solved for, and all
        self.goals, self.solves, self.n, self.forms = {}, 0, 0, np.zeros((5, 0, 0))
        vectors = self.loops.array(np.zeros((1 + k, 2**solver.d)))
        vectors[0] = 1
        for vector, string in zip(vectors[1:], solver.lowest):
            vector[string] = 1
        self._extend(vectors)

    def _extend(self, vectors):
        """Vectors (m, 2^d) that the basis is to span, too. A full one begins anew: the samples stay."""
        if self.n + len(vectors) > len(self.basis):
            self.n, self.forms = 0, np.zeros((5, 0, 0))
        compiled = isinstance(self.basis, np.ndarray)
        for vector in vectors:
            self.basis[self.n] = vector
            if (_orthogonalise if compiled else _orthogonalise_on)(self.basis, self.n) > _SPANNED:
                self.loops.hamiltonian(self.basis[self.n], self.nothing, self.g, self.driven[self.n])
                self.n += 1
        products = _products if compiled else _products_on
        self.forms = products(self.basis, self.driven, self.energies, self.n, self.forms)

    def _solve(self, *points, least):
        """Solve for the levels at these s, in threads, to show that the gap there is above `least`."""
        residual, goals = self.solvers[0].residuals, []
        for s in points:
            weights, wanted = _goals(s, self.k, self.forms, least, self.tolerance)
            exact = self.solvers[0].dense
            self.goals[s] = residual if exact else np.maximum(np.minimum(wanted, self.goals.get(s, 1) / 3), residual)
            goals.append((self.loops.combine(weights, self.basis[: self.n]), self.goals[s]))
        solvers = self.solvers if len(self.solvers) == len(points) else self.solvers[:1] * len(points)
        run = pool.POOL.map if len(self.solvers) >= len(points) > 1 else map
        found = run(lambda solver, s, goal: solver.solve(s, *goal), solvers, points, goals)
        for s, (_, goal), (values, vectors) in zip(points, goals, list(found)):
            self._extend(vectors)
            three = values.sum() - self.k * s * self.offset - goal.sum() if self.k == 3 else _NONE
            slack = self.tolerance / 8 if (goal <= residual)[:2].all() else 2 * goal[0]
            self.samples, row = _with(self.samples, self.forms, s, three, slack)
            self.rows, self.solves = _inserted(self.rows, row), self.solves + 1

    def minimise(self):
        """->  least gap, its s, lower bound, which is at most the tolerance below: of the linear schedule."""
        points = _GRID
        while True:
            self._solve(*points, least=(2 * self.samples[:, _E1] - self.samples[:, _PAIR]).min())
            self.rows, best, bound, s = _search(self.samples, self.rows, self.forms, self.tolerance)
            if np.isnan(s):
                return float(self.rows[best, _E1] - self.rows[best, _E0]), float(self.rows[best, _S]), float(bound)
            points = (s,)

    def _row(self, s, enough=np.inf):
        """Sample at s, to the tolerance or until its gap is known to be above `enough`: solved for if need be."""
        row = _sample(s, self.forms, self.samples) if 0 < s < 1 else self.samples[-int(s)]
        while _lower(row) < enough and row[_E0] + row[_E1] - row[_PAIR] > self.tolerance / 4:
            self._solve(s, least=enough if enough < np.inf else 0.0)
            row = self.samples[np.searchsorted(self.samples[:, _S], s)]
        self.rows = _inserted(self.rows, row)
        return row

    def minimise_along(self, schedule, tolerance):
        """->  least gap found along a schedule, its s, lower bound, true if the schedule is monotone between its knots.

        The interval of s is cut into cells, in which A and B lie between their values at the ends: the gap is no less
        than the least A + B times the least bound for such weights. A cell whose bound is too low is cut if the bound
        in its middle is not, else the levels there are solved for.
        """
        self._solve(*_GRID, least=0.0)
        s = _monotone_ends(schedule)
        left, right, least, place, low = s[:-1], s[1:], np.inf, 0.0, np.inf
        for end in (0.0, 1.0):
            least, place = self._lower(schedule, end, least, place, tolerance)
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
            for s in middle[unknown][lowest_first[:2]]:
                least, place = self._lower(schedule, s, least, place, tolerance)
            cut = np.linspace(left[~unknown], right[~unknown], 5)  # (5, n): in four
            left, right = (np.concatenate([e[unknown], c.ravel()]) for e, c in ((left, cut[:-1]), (right, cut[1:])))
        return least, place, min(low, least)

    def gap_along(self, schedule, s):
        """Gap along a schedule at s, from a sample of the linear schedule at the same proportion of weights."""
        A, B = weights(schedule, s)
        row = self._row(float(_problem_share(A, B)))
        return float((A + B) * (row[_E1] - row[_E0]))

    def _lower(self, schedule, s, least, place, tolerance):
        """The lower of the gap along the schedule at s and of the least one, with its place."""
        A, B = weights(schedule, s)
        row = self._row(float(_problem_share(A, B)), (least - tolerance / 2) / max(A + B, 1e-300))
        gap = float((A + B) * (row[_E1] - row[_E0]))
        known = row[_E0] + row[_E1] - row[_PAIR] <= self.tolerance / 4
        return (gap, float(s)) if known and gap < least else (least, place)

    def _envelope(self):
        """Places x, rising, and lower bounds of the linear schedule's gap there, which lines may join: two (n,)."""
        left, right = self.rows[:-1], self.rows[1:]
        # the bounds that the lowest vectors of both give, at both ends
        at = [
            [end[:, _PAIR] - 2 * ((1 - end[:, _S]) * v[:, _D0] + end[:, _S] * v[:, _P0]) for end in (left, right)]
            for v in (left, right)
        ]
        (left_first, left_last), (right_first, right_last) = at
        fall, rise = left_first - right_first, right_last - left_last
        turns = fall + rise > 0
        share = np.clip(np.divide(fall, fall + rise, out=np.full(len(fall), 0.5), where=turns), 0, 1)
        x, bounds = np.empty((2, 2 * len(left) + 1))
        x[::2], bounds[::2] = self.rows[:, _S], self.rows[:, _PAIR] - 2 * self.rows[:, _E0]
        # the higher bound turns where the two cross
        x[1::2] = left[:, _S] + share * (right[:, _S] - left[:, _S])
        bounds[1::2] = left_first + share * (left_last - left_first)
        return x, bounds


def weights(schedule, s):
    """A and B at s, of which none is below 0 by rounding.

    >>> from .schedules import SCHEDULES
    >>> weights(SCHEDULES["linear"], np.array([0.25]))
    [array([0.75]), array([0.25])]
    """
    return [np.maximum(schedule.weight(name, s), 0) for name in "AB"]


def largest_weight(schedule):
    """The largest A + B of a schedule. Raises ValueError for negative weights, and for none.

    >>> from .schedules import SCHEDULES
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
