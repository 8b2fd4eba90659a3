"""What can be proven of the selection problem: the gap of its relaxation, its hardness, maps that need no solver.

`22_theory` has the proofs. All energies are written with one constant, the cost c of a pair of maps of cosine 1: twice
1 - beta where each pair counts twice ("p!=q"), 1 - beta otherwise. Then, with J_0 for the cosines without diagonal,

    E(n) = c/2 n.J_0.n + b.n    with b = beta h, for "half" b_p = beta h_p + c/2 J_pp.

As n_p^2 = n_p, the function f(x) = c/2 x.(J_0 + diag(u)).x + (b - c u / 2).x is E on bit-strings for any u.
"""

from dataclasses import dataclass

import numpy as np

from .. import require
from ..conventions import CHOICES, HEADLINE
from .binary import biases
from .feature_selection import Problem

_SAME = 1e-9  # eigenvalues and distances from 0 and 1 that count as none
_NEAR = 1e-6  # of 0 or 1: there a value is held where the slope holds it
_STEPS = 500  # of a relaxation, at most
_WHOLE = 2**20  # subset sums are computed in double precision, with squares of the numbers


def pair_cost(beta: float = HEADLINE.beta, pair_sum: str = HEADLINE.pair_sum) -> float:
    """Energy c that a pair of equal maps costs: 2 (1 - beta) for "p!=q", 1 - beta for "p<q" and "half".

    Raises ValueError for beta outside [0, 1] and an unknown pair_sum.

    >>> pair_cost(0.5), pair_cost(0.5, "half")
    (1.0, 0.5)
    """
    beta = require.number("beta", beta, "[0, 1]")
    return (2 if require.choice("pair_sum", pair_sum, CHOICES["pair_sum"]) == "p!=q" else 1) * (1 - beta)


@dataclass(frozen=True, eq=False)
class Relaxation:
    """Minimum of the convex f over the box [0, 1]^d.

    x: (d,) a minimiser, of at most `rank` entries that are neither 0 nor 1; bound: lower bound of all energies, f(x) up
    to rounding; rank: of J_0 + diag(u); shift: largest u; room: c/2 sum_p u_p x_p (1 - x_p). The least energy lies in
    [bound, bound + room].

    >>> Relaxation(np.array([0.5, 1.0]), bound=-1.0, rank=1, shift=1.0, room=0.125).fractional
    1
    """

    x: np.ndarray
    bound: float
    rank: int
    shift: float
    room: float

    @property
    def fractional(self) -> int:
        """Number of entries of x that are neither 0 nor 1."""
        return int(((self.x > 0) & (self.x < 1)).sum())


def relaxation(problem: Problem, beta: float = HEADLINE.beta, pair_sum: str = HEADLINE.pair_sum) -> Relaxation:
    """The convex relaxation of a problem, with a minimiser of few fractional entries.

    u is the diagonal of J where J is positive semidefinite, as cosines of maps >= 0 are; else that diagonal minus the
    lowest eigenvalue of J. Raises ValueError as `feature_selection_bqm`.

    >>> J = [[1.0, 0.5], [0.5, 1.0]]
    >>> found = relaxation(Problem([0, 1], [-1.0, -1.0], J, 2), beta=0.5)  # one of the two maps: energy -0.5
    >>> found.x.round(6), round(found.bound, 6), round(found.room, 6)
    (array([0.666667, 0.666667]), -0.666667, 0.222222)
    """
    b, couplings, _ = biases(problem.bqm(beta, pair_sum))
    c, J = pair_cost(beta, pair_sum), problem.redundancy
    lowest = np.linalg.eigvalsh(J)[0]
    u = np.diag(J) - (lowest if lowest < -_SAME * problem.d else 0.0)
    C = couplings + couplings.T + c * np.diag(u)
    linear = b - c * u / 2
    x = _few_fractional(C, linear, _minimum_in_box(C, linear))
    slope = C @ x + linear
    bound = (slope + linear) @ x / 2 - _below(C, linear, x)
    rank = int((np.linalg.eigvalsh(J + np.diag(u - np.diag(J))) > 1e-7 * problem.d).sum())
    return Relaxation(x, float(bound), rank, float(u.max()), float(c / 2 * (u * x * (1 - x)).sum()))


def _below(C, b, x):
    """How far f may fall from x within the box, by its tangent there: >= 0."""
    slope = C @ x + b
    return np.maximum(slope * x, slope * (x - 1)).sum()


def _minimum_in_box(C, b):
    """Minimum of x.C.x / 2 + b.x over [0, 1]^d, C positive semidefinite: (d,).

    By projected Newton steps (Bertsekas [bertsekas1982newton]), each the best of a few lengths.
    """
    x, lengths = np.full(len(b), 0.5), 0.5 ** np.arange(12)[:, None]
    for _ in range(_STEPS):
        if _below(C, b, x) <= _SAME:
            break
        slope = C @ x + b
        held = ((x <= _NEAR) & (slope > 0)) | ((x >= 1 - _NEAR) & (slope < 0))
        step, inside = -slope, np.flatnonzero(~held)
        block = C[np.ix_(inside, inside)]
        regular = block + 1e-9 * (1 + np.trace(block)) * np.eye(len(inside))
        step[inside] = np.linalg.solve(regular, -slope[inside])
        tried = np.concatenate([x + lengths * step, x - lengths / (1 + np.abs(C).sum(1).max()) * slope]).clip(0, 1)
        x = tried[((tried @ C / 2 + b) * tried).sum(1).argmin()]
    return x


def _solved_inside(C, b, x):
    """x with its fractional entries where their slope is 0, if that lies in the box."""
    inside = (x > 0) & (x < 1)
    better = x.copy()
    better[inside] -= np.linalg.lstsq(C[np.ix_(inside, inside)], (C @ x + b)[inside], rcond=None)[0]
    return better if ((better >= 0) & (better <= 1)).all() else x


def _few_fractional(C, b, x):
    """A minimiser on whose fractional entries C is regular: from x along directions in which f does not change."""
    x = x.copy()
    while True:
        inside = np.flatnonzero((x > 0) & (x < 1))
        values, vectors = np.linalg.eigh(C[np.ix_(inside, inside)])
        if not len(inside) or values[0] > _SAME * max(values[-1], _SAME):
            return _solved_inside(C, b, x)
        direction = vectors[:, 0]
        reach = np.where(direction > 0, 1 - x[inside], x[inside]) / np.maximum(np.abs(direction), 1e-300)
        first = reach.argmin()
        x[inside] = (x[inside] + reach[first] * direction).clip(0, 1)
        x[inside[first]] = float(direction[first] > 0)


@dataclass(frozen=True, eq=False)
class SubsetSum:
    """Feature maps whose selection problem is: which of these numbers have the sum `target`?

    numbers: (d,); maps: (d, 1, d + 1), all >= 0; importance: (d,) positive, the largest is 1. Of `problem(maps,
    importance)` at the beta and with the pair sum it was made for, the energy of a selection whose numbers have the sum
    s is unit ((s - target)^2 - target^2).

    >>> subset_sum([3, 5, 8], 11, beta=0.5).numbers
    array([3, 5, 8])
    """

    numbers: np.ndarray
    target: int
    maps: np.ndarray
    importance: np.ndarray
    unit: float

    @property
    def least(self) -> float:
        """Energy of a selection that has the sum; all others lie `unit` or more above."""
        return -self.unit * self.target**2


def subset_sum(numbers, target: int, *, beta: float = HEADLINE.beta, pair_sum: str = HEADLINE.pair_sum) -> SubsetSum:
    """The selection problem that answers whether some of the numbers have the sum `target`: d positive whole numbers.

    Map p holds a_p in a pixel that all share and sqrt(1 - a_p^2) in one of its own, a_p = lambda numbers_p: the cosine
    of two maps is a_p a_q. lambda is what makes the largest importance 1.
    Raises ValueError for numbers that are no whole ones from 1 to 2^20 - 1, and where no lambda exists: for a target
    not above the largest number and (1 + r) / 2 times it, r = 2 beta / c (one less for "half", then beta > 1/3).

    >>> made = subset_sum([3, 5, 8, 9, 10, 7], 20, beta=0.5)
    >>> made.maps.shape, made.importance.round(2), round(made.least, 3)
    ((6, 1, 7), array([0.37, 0.58, 0.85, 0.93, 1.  , 0.77]), -0.667)
    >>> subset_sum([1, 1, 9], 9, beta=0.5)
    Traceback (most recent call last):
    ValueError: target must be above 9 for these numbers, beta and pair_sum, got 9
    """
    s = require.indices("numbers", numbers, "d", _WHOLE).astype(float)
    require.values("numbers", s, "[1, inf)")
    target = require.whole("target", target, 1, len(s) * _WHOLE)
    c = pair_cost(require.number("beta", beta, "(0, 1)"), pair_sum)
    share = 2 * beta / c - (pair_sum == "half")  # of the largest importance that pays for lambda^2 s (2 target - s)
    if share <= 0:
        raise ValueError(f"beta must be above 1/3 for 'half', where no map is selected below it, got {beta}")
    least = max(1, (1 + share) / 2) * s.max()
    if target <= least:
        raise ValueError(f"target must be above {least:g} for these numbers, beta and pair_sum, got {target}")
    gain = s * (2 * target - s)
    squared = share / gain.max()  # lambda^2
    a = np.sqrt(squared) * s
    maps = np.concatenate([a[:, None], np.diag(np.sqrt(1 - a**2))], 1)[:, None]
    importance = c / (2 * beta) * (squared * gain + (pair_sum == "half"))
    return SubsetSum(s.astype(int), target, maps, importance, float(c / 2 * squared))


def hard_numbers(d: int, *, largest: int = 100, rng=None) -> tuple[np.ndarray, int]:
    """d even numbers from `largest` to 2 `largest`, and an odd target next to half of their sum: no subset has it.

    rng: a numpy Generator, or a seed for one  ->  numbers (d,), target.

    >>> numbers, target = hard_numbers(4, rng=0)
    >>> numbers, target
    (array([186, 164, 152, 126]), 315)
    """
    d, largest = require.whole("d", d, 1), require.whole("largest", largest, 2, _WHOLE // 2 - 1)
    numbers = 2 * require.generator("rng", rng).integers(-(-largest // 2), largest + 1, d)
    return numbers, int(numbers.sum() // 2) | 1


def persistent(
    problem: Problem, beta: float = HEADLINE.beta, pair_sum: str = HEADLINE.pair_sum, *, rounds: int | None = None
) -> np.ndarray:
    """Which candidates every optimum has, and which none: (d,) of 1, 0, and -1 for those the rule leaves open.

    A map is in every optimum if its gain is more than it costs beside all maps that may be selected, and in none if it
    costs more than its gain beside those that surely are. What is fixed so lets the rule fix others; rounds: how often
    it is applied, None: until nothing changes. Raises ValueError for a negative cosine, for which this is no proof, and
    as `feature_selection_bqm`.

    >>> problem = Problem([0, 1, 2], [-1.0, -0.3, -0.9], [[1.0, 0.9, 0.0], [0.9, 1.0, 0.4], [0.0, 0.4, 1.0]], 3)
    >>> persistent(problem, 0.5), persistent(problem, 0.5, rounds=1)  # map 0 is kept only once map 1 is out
    (array([1, 0, 1], dtype=int8), array([-1, -1,  1], dtype=int8))
    """
    b, couplings, _ = biases(problem.bqm(beta, pair_sum))
    cost, state = couplings + couplings.T, np.full(problem.d, -1, np.int8)
    require.values("redundancy", problem.redundancy, "[0, inf)", remedy=": the rule needs cosines of maps >= 0")
    rounds = problem.d + 1 if rounds is None else require.whole("rounds", rounds)
    margin = _SAME * max(1.0, np.abs(cost).sum(1).max(initial=0))
    for _ in range(rounds):
        kept = b + cost @ (state != 0) < -margin  # its own cost is 0
        out = b + cost @ (state == 1) > margin
        new = np.where(state >= 0, state, np.where(kept, 1, np.where(out, 0, -1))).astype(np.int8)
        if (new == state).all():
            break
        state = new
    return state
