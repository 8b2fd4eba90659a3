"""Branch and bound for the minimum gap over s, with a certificate: what `spectrum.minimum_gap` runs."""

import numpy as np

from .level_solver import LevelSolver, lowest_of_tridiagonal
from .schedules import SCHEDULES
from .simd import njit

_GRID = (0.3, 0.7)  # where levels are solved for first
_COARSE = 3e-3  # largest residual
_NONE = 1e300  # the third of two levels
_SPANNED = 1e-7  # length of a vector outside of the basis that is as good as none
_FAR = 1e-3  # one from which rounding takes too little for a second turn
_SAMPLES = 120  # vectors that the samples of a search may take
_NARROW = 1e-9, 1e-13  # intervals of s that are cut no further, of the linear and of other schedules
_LOOKS = 1000  # samples that a search may look at
_FOLLOWED = 1e-6  # how closely the search follows a schedule without knots
_S, _E0, _E1, _PAIR, _THREE, _D0, _P0, _D1, _P1 = range(9)  # columns of samples


@njit(error_model="numpy")
def _ritz(s, forms, k):
    """The k lowest levels at s that the basis of these forms (5, n, n) has.

    ->  values (k,), weights (k, n) of the rows, residuals (k,), expectations of the forms (k, 5). Loops, as
    expressions of arrays take seconds to compile.
    """
    n = forms.shape[1]
    T, alpha, beta, scale, y = np.empty((n, n)), np.empty(n), np.empty(n - 1), np.empty(n), np.empty(n)
    for i in range(n):
        for j in range(n):
            T[i, j] = (1 - s) * forms[0, i, j] + s * forms[1, i, j]
    for i in range(n - 1):  # Householder reflections to a tridiagonal matrix: row i keeps the vector
        square, along, scale[i] = 0.0, 0.0, 0.0
        for j in range(i + 1, n):
            square += T[i, j] * T[i, j]
        alpha[i], beta[i] = T[i, i], -np.sqrt(square) if T[i, i + 1] > 0 else np.sqrt(square)
        if i == n - 2 or square == 0.0:
            beta[i] = T[i, i + 1]
            continue
        T[i, i + 1] -= beta[i]
        scale[i] = -beta[i] * T[i, i + 1]
        y[:] = 0.0
        for j in range(i + 1, n):
            for column in range(i + 1, n):
                y[column] += T[i, j] * T[j, column]
        for j in range(i + 1, n):
            along += T[i, j] * y[j] / (2 * scale[i])
        for j in range(i + 1, n):
            y[j] = (y[j] - along * T[i, j]) / scale[i]
        for j in range(i + 1, n):
            for column in range(i + 1, n):
                T[j, column] -= T[i, j] * y[column] + y[j] * T[i, column]
    alpha[n - 1] = T[n - 1, n - 1]
    values, x = lowest_of_tridiagonal(alpha, beta, k)
    residuals, expected = np.empty(k), np.empty((k, 5))
    for level in range(k):
        for i in range(n - 2, -1, -1):
            along = 0.0
            for j in range(i + 1, n):
                along += T[i, j] * x[level, j] / scale[i] if scale[i] != 0.0 else 0.0
            for j in range(i + 1, n):
                x[level, j] -= along * T[i, j]
        for q in range(5):
            y[:], expected[level, q] = 0.0, 0.0
            for i in range(n):
                for j in range(n):
                    y[j] += x[level, i] * forms[q, i, j]
            for j in range(n):
                expected[level, q] += x[level, j] * y[j]
        square = (1 - s) ** 2 * expected[level, 2] + s * (1 - s) * expected[level, 3] + s * s * expected[level, 4]
        residuals[level] = np.sqrt(max(square - values[level] * values[level], 0.0))
    return values, x, residuals, expected


@njit()
def _chord(samples, column, s):
    """The chord of a column of the samples (m, 9) at s, which its concave function exceeds."""
    right = 1
    while samples[right, _S] < s:
        right += 1
    share = (s - samples[right - 1, _S]) / (samples[right, _S] - samples[right - 1, _S])
    return samples[right - 1, column] + share * (samples[right, column] - samples[right - 1, column])


@njit(error_model="numpy")
def _sample(s, ritz, pair, three):
    """What `_ritz` says of s, where E0 + E1 is at least `pair`, E0 + E1 + E2 at least `three`  ->  (9,)."""
    values, _, residuals, expected = ritz
    total = values[0] + values[1]
    rest, bound = three - total, total
    for i in range(2):
        bound -= residuals[i] * residuals[i] / (rest - values[i])
    pair = max(pair, bound) if rest > values[1] else pair
    row = np.empty(9)
    row[_S], row[_E0], row[_E1], row[_PAIR], row[_THREE] = s, values[0], values[1], pair, three
    row[_D0], row[_P0], row[_D1], row[_P1] = expected[0, 0], expected[0, 1], expected[1, 0], expected[1, 1]
    return row


def _look(s, forms, samples, pair, three):
    """`_sample` at s between samples solved for (m, 9), where it has these bounds already."""
    pair, three = max(pair, _chord(samples, _PAIR, s)), max(three, _chord(samples, _THREE, s))
    two = min(len(samples), 2)  # for a literal 2 numba would compile `_ritz` once more
    return _sample(s, _ritz(s, forms, two), pair, three)


@njit()
def _with(row, rows):
    """Rows (m, 9), rising in s, with this one in its place, also instead of one at the same s."""
    place, m = 0, len(rows)
    while place < m and rows[place, _S] < row[_S]:
        place += 1
    shift = 0 if place < m and rows[place, _S] == row[_S] else 1
    found = np.empty((m + shift, 9))
    for i in range(m + shift):
        for j in range(9):
            found[i, j] = row[j] if i == place else rows[i - shift if i > place else i, j]
    return found


def _lower(rows):
    """Lower bound of the gap of a sample (9,), or of each of some (m, 9)."""
    return rows.T[_PAIR] - 2 * rows.T[_E0]


def _upper(rows):
    """Upper bound of the gap, as `_lower`."""
    return 2 * rows.T[_E1] - rows.T[_PAIR]


_inlined_look, _inlined_lower, _inlined_upper = [njit(inline="always")(f) for f in (_look, _lower, _upper)]


@njit(error_model="numpy")
def _kinks(rows):
    """Where the bounds of the gap that the lowest vectors of two neighbours give cross: (m, 9)  ->  s, bounds (m - 1,).

    The gap is above the lines that join these to the bounds at the samples.
    """
    s, bounds = np.empty(len(rows) - 1), np.empty(len(rows) - 1)
    for i in range(len(s)):
        a, b = rows[i], rows[i + 1]
        left, last = _inlined_lower(a), b[_PAIR] - 2 * ((1 - b[_S]) * a[_D0] + b[_S] * a[_P0])
        first, right = a[_PAIR] - 2 * ((1 - a[_S]) * b[_D0] + a[_S] * b[_P0]), _inlined_lower(b)
        turn = left - first + right - last
        share = min(max((left - first) / turn, 0.0), 1.0) if turn > 0 else 0.5
        s[i], bounds[i] = a[_S] + share * (b[_S] - a[_S]), left + share * (last - left)
    return s, bounds


@njit(inline="always")
def _split(a, b, lowest):
    """Next s to look at: at the zero of the gap's slope if it is bracketed, else where the bound is lowest."""
    left, right, margin = (a[_P1] - a[_P0]) - (a[_D1] - a[_D0]), (b[_P1] - b[_P0]) - (b[_D1] - b[_D0]), 0.2
    width = b[_S] - a[_S]
    if left < 0.0 < right:
        lowest, margin = a[_S] - left / (right - left) * width, 0.1
    return min(max(lowest, a[_S] + margin * width), b[_S] - margin * width)


@njit(error_model="numpy")
def _search(samples, rows, forms, tolerance):
    """Branch and bound on what the basis says: samples solved for, `rows` of these and of earlier looks.

    ->  rows, the one of the lowest upper bound, lower bound, s to solve at or NaN.
    """
    best = rows[0]
    for row in rows:
        best = row if _inlined_upper(row) < _inlined_upper(best) else best
    for old in rows[1:-1]:
        if _inlined_lower(old) < _inlined_upper(best) - tolerance:
            row = _inlined_look(old[_S], forms, samples, old[_PAIR], old[_THREE])
            rows, best = _with(row, rows), row if _inlined_upper(row) < _inlined_upper(best) else best
    while True:
        s, bounds = _kinks(rows)
        i, worst = 0, rows[0]
        for j in range(1, len(rows)):
            i = j - 1 if bounds[j - 1] < bounds[i] else i
            worst = rows[j] if _inlined_lower(rows[j]) < _inlined_lower(worst) else worst
        a, b, low = rows[i], rows[i + 1], min(bounds[i], _inlined_lower(worst))
        if low >= _inlined_upper(best) - tolerance or b[_S] - a[_S] < _NARROW[0] or len(rows) == _LOOKS:
            return rows, best, max(low, 0.0), np.nan
        row = _inlined_look(_split(a, b, s[i]), forms, samples, -_NONE, -_NONE)
        rows, best = _with(row, rows), row if _inlined_upper(row) < _inlined_upper(best) else best
        if _inlined_lower(row) < _inlined_upper(best) - tolerance:
            return rows, best, 0.0, (row if _inlined_lower(row) < _inlined_lower(worst) else worst)[_S]


def _missed(samples, forms):
    """s of a sample whose three levels are not the lowest, as the basis shows, else NaN."""
    for row in samples[1:-1]:
        if len(forms[0]) > 2 and _ritz(row[_S], forms, 3)[0].sum() < row[_THREE]:
            return row[_S]
    return np.nan


class GapSearch:
    """Samples of one problem's levels, and what they prove about its gap: energies (2^d,).

    Levels are solved for at few s. The vectors span a basis, in which all levels between are nearly exact. Proven is:
    E0 lies below the expectation of H in any vector. E0 + E1 and E0 + E1 + E2 are concave in (A, B) and of degree one,
    so above their chords. With E2 >= rho, E0 + E1 lies above theta_0 + theta_1 - sum_i r_i^2 / (rho - theta_i) for two
    expected energies theta_i < rho of residuals r_i (Lehmann's bound [parlett1998symmetric]).
    Samples are of the linear schedule; that of other weights is A + B times that at s = B / (A + B).

    >>> search = GapSearch([0.0, 1.0], driver="scaled", residual=1e-5, tolerance=1e-6)
    >>> gap, s, lower_bound = search.minimise(SCHEDULES["linear"])
    >>> round(gap, 4), round(s, 2), gap - 1e-6 <= lower_bound <= gap
    (0.8944, 0.8, True)
    """

    def __init__(self, energies, *, driver, residual, tolerance, device=None):
        k = min(3, max(len(energies), 2))
        options = {"driver": driver, "schedule": "linear", "k": k, "residual": residual, "device": device}
        self.solver = solver = LevelSolver(energies, **options, samples=_SAMPLES)
        self.loops, self.offset, self.tolerance = solver.loops, float(solver.energies.min()), tolerance
        self.energies = solver.energies - self.offset
        self.zeros = 0 * self.energies
        self.basis, self.driven = solver.room.reshape(2, -1, 2**solver.d)
        lowest = np.array(self.energies[solver.lowest[:k]].tolist())
        mean, low, high = float(self.energies.mean()), solver.d * solver.g, (solver.d - 2) * solver.g
        three = [low + 2 * high, lowest.sum()] if k == 3 else [_NONE, _NONE]
        start = [0, low, high, low + high, three[0], low, mean, high, mean]
        end = [1, *lowest[:2], lowest[:2].sum(), three[1], 0, lowest[0], 0, lowest[1]]
        self.samples = self.rows = np.array([start, end], dtype=float)  # those solved for, and all
        self.goals, self.solves, self.forms = {}, 0, np.zeros((5, 0, 0))
        vectors = self.loops.array(np.zeros((1 + k, 2**solver.d)))
        vectors[0] = 1
        for vector, string in zip(vectors[1:], solver.lowest):
            vector[string] = 1
        self._extend(vectors)

    def _extend(self, vectors):
        """Vectors (m, 2^d) that the basis is to span, too. A full one begins anew: the samples stay.

        forms: (5, n, n), scalar products of its n rows with H_D, H_P, H_D^2, H_D H_P + H_P H_D and H_P^2 times them.
        """
        if self.forms.shape[1] + len(vectors) > len(self.basis):
            self.forms = np.zeros((5, 0, 0))
        loops, m = self.loops, self.forms.shape[1]
        rows, new, sizes = self.basis[:m], self.basis[m : m + len(vectors)], np.ones(len(vectors))
        new[:] = vectors
        for _ in range(2):
            new -= loops.combine(loops.overlaps(new, rows), rows)
            for i, x in enumerate(new):
                for y in new[:i]:
                    x -= loops.dot(x, y) * y
                length = loops.dot(x, x) ** 0.5
                sizes[i] *= length
                x *= 1 / length if sizes[i] > _SPANNED else 0.0
            if sizes.min() > _FAR:
                break
        kept = np.flatnonzero(sizes > _SPANNED)
        if len(kept) < len(sizes):
            new[: len(kept)] = new[kept]
        n = m + len(kept)
        rows, driven, x, Dx = self.basis[:n], self.driven[:n], self.basis[m:n], self.driven[m:n]
        for i in range(m, n):
            loops.hamiltonian(rows[i], self.zeros, self.solver.g, driven[i])
        Px, found = self.energies * x, np.zeros((5, n, n))
        found[:, :m, :m] = self.forms
        found[0, m:], found[1, m:] = loops.overlaps(Dx, rows), loops.overlaps(Px, rows)
        found[2, m:], found[4, m:] = loops.overlaps(Dx, driven), loops.overlaps(self.energies * Px, rows)
        found[3, m:] = loops.overlaps(Px, driven) + loops.overlaps(self.energies * Dx, rows)
        found[:, :m, m:] = found[:, m:, :m].transpose(0, 2, 1)
        self.forms = found

    def _solve(self, s, least, together=True):
        """Solve for the levels at s, to show that the gap there is above `least`."""
        solver = self.solver
        guess, weights, *_ = _ritz(s, self.forms, solver.k)
        goals = np.full(solver.k, _COARSE)
        if solver.k == 3 and self.solves >= len(_GRID):
            apart, above = max(guess[2] - guess[1], 0.0), max(guess[1] - guess[0] - least, self.tolerance)
            goals = np.minimum(goals, [min(0.3 * (apart * above) ** 0.5, apart / 4)] * 2 + [apart / 4])
        if s in self.goals:
            goals = np.minimum(goals, self.goals[s] / 3)
        goals = solver.residuals if solver.dense else np.maximum(goals, solver.residuals)
        near = self.loops.combine(weights, self.basis[: weights.shape[1]])
        values, vectors = solver.solve(s, near, goals, together)
        values = values - s * self.offset
        if together and values.sum() - goals.sum() > guess.sum():  # one of equal levels was missed
            values, vectors = solver.solve(s, near, goals)
            values = values - s * self.offset
        self.goals[s], self.solves = goals, self.solves + 1
        self._extend(vectors)
        ritz = _ritz(s, self.forms, solver.k)
        values, _, residuals, _ = ritz
        slack = self.tolerance / 8 if (goals <= solver.residuals)[:2].all() else residuals[:2].sum()
        three = (values - residuals).sum() if solver.k == 3 else _NONE
        row = _sample(s, ritz, values[:2].sum() - slack, three)
        self.samples, self.rows = _with(row, self.samples), _with(row, self.rows)

    def minimise(self, schedule):
        """->  least gap found along a schedule, its s, lower bound, which is at most the tolerance below."""
        for s in _GRID:
            self._solve(s, 0.0)
        while True:
            found = self._minimise() if schedule is SCHEDULES["linear"] else self._minimise_along(schedule)
            missed = _missed(self.samples, self.forms)
            if np.isnan(missed):
                return found
            self._solve(missed, 0.0, together=False)

    def _minimise(self):
        """`minimise` of the linear schedule."""
        while True:
            self.rows, best, bound, s = _search(self.samples, self.rows, self.forms, self.tolerance)
            if np.isnan(s):
                return float(best[_E1] - best[_E0]), float(best[_S]), float(bound)
            self._solve(s, _upper(best))

    def _row(self, s, enough=np.inf):
        """Sample at s, to the tolerance or until its gap is known to be above `enough`: solved for if need be."""
        known = self.samples, -_NONE, -_NONE
        row = _look(s, self.forms, *known) if 0 < s < 1 else self.samples[-int(s)]
        while _lower(row) < enough and row[_E0] + row[_E1] - row[_PAIR] > self.tolerance / 4:
            self._solve(s, enough if enough < np.inf else 0.0)
            row = self.samples[np.searchsorted(self.samples[:, _S], s)]
        self.rows = _with(row, self.rows)
        return row

    def _minimise_along(self, schedule):
        """`minimise` of any schedule, whose bound is true if it is monotone between its knots.

        The interval of s is cut into cells, in which A and B lie between their values at the ends: the gap is no less
        than the least A + B times the least bound for such weights. A cell whose bound is too low is cut if the bound
        in its middle is not, else the levels there are solved for.
        """
        s = _monotone_ends(schedule)
        tolerance = self.tolerance * largest_weight(schedule)
        left, right, least, place, low = s[:-1], s[1:], np.inf, 0.0, np.inf
        for end in (0.0, 1.0):
            least, place = self._lower(schedule, end, least, place, tolerance)
        while len(left):
            x, bounds = np.empty((2, 2 * len(self.rows) - 1))
            x[::2], bounds[::2] = self.rows[:, _S], _lower(self.rows)
            x[1::2], bounds[1::2] = _kinks(self.rows)
            cell_bounds = _cell_bounds(schedule, left, right, x, bounds)
            still = (cell_bounds < least - tolerance) & (right - left > _NARROW[1])
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
