"""Proven optima of binary quadratic models: branch and bound on convex relaxations.

The energy is n.Q.n / 2 + b.n over binary n, with Q_pp = 0. Lower bounds come from functions that are never above it:

1. As n_p^2 = n_p, terms u_p (n_p^2 - n_p) / 2 can be added for any u: energies stay.
2. As no n_p n_q is negative, terms N_pq n_p n_q with N_pq >= 0 can be subtracted: energies stay or fall.
3. Where Q - N + diag(u) is positive semidefinite, the function is convex. Its minimum over the box [0, 1]^d is a lower
   bound. So is the minimum of its tangent at any point. A value of a variable for which the tangent lies above the
   lowest energy known needs no search: the variable is fixed.

A search begins with N = 0 and the same u for all variables, from the lowest eigenvalue. For cosines of maps this is
enough. If the search does not end soon, u and N are improved. The best ones give the doubly nonnegative bound, the
semidefinite one with n_p n_q >= 0: a relaxation of the copositive program of Burer [burer2009copositive]. It is
approached by coordinate descent on low-rank vectors, the mixing method of Wang, Chang and Kolter [wang2017mixing], and
by multiplier steps for N. Bounds hold for any u and N >= 0, because a shift of u by the lowest eigenvalue restores
convexity before they are used.

Exactly k ones: relaxations stay in the plane sum x = k. The tangent is bounded there with a multiplier t, and the bound
holds for any t. A penalty mu (|n| - k) + w (|n| - k)^2 is added, which is 0 for every string of k ones. It does not
change the relaxation within the plane. It raises the negative eigenvalues that an indefinite model may have along
(1, ..., 1), so that a smaller u is enough, and it draws the vectors, which know of no plane, towards it.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from numbers import Real
from types import MappingProxyType

import dimod
import numpy as np

from .. import require
from ..qubo.binary import biases, sample_set
from ..qubo.fixed_size import require_size
from .bounds import descend, relax, search, tighten
from .options import function

TOLERANCE = 1e-9  # of the energy, or of the largest coefficient if that is larger
PLAIN_NODES = 30_000  # of one depth-first search: then its bounds are improved
_IMPROVED_NODES = 10_000  # of one with improved bounds: then it is split
_ALL_EIGENVALUES = 150  # variables up to which all are computed at once
_EPSILON = np.finfo(float).eps
_SWEEPS = 200  # of coordinate descent in a first relaxation
_ROUNDS, _POLISH = 50, 30  # multiplier steps between two bounds, sweeps for the u that fits the last of them
_STEP = 0.6  # length of these steps, over the couplings' root mean square
_WEIGHT = 1.1  # of the penalty of other sizes, over the couplings' root mean square
_PROGRESS = 0.2  # share of the gap that such a step, or the sweeps of a first relaxation, must close to be repeated


@dataclass
class _Part:
    """What is left of the problem once some variables are fixed; m are free.

    values: (d,) int8, -1 where free; bound: of its energies; x: (m,) relaxed values; V (m, r), N (m, m), u (m,): of
    `bounds.tighten`, None before; root: not split off, all energies of interest are in it.
    """

    values: np.ndarray
    bound: float
    x: np.ndarray
    V: np.ndarray | None = None
    N: np.ndarray | None = None
    u: np.ndarray | None = None
    root: bool = True

    def fixed(self, state):
        """The part in which the free variables have the values state (m,), -1 those that stay free."""
        values, kept = self.values.copy(), state < 0
        values[values < 0] = state
        smaller = replace(self, values=values, x=self.x[kept])
        if self.V is not None:
            smaller.V, smaller.N, smaller.u = self.V[kept], self.N[np.ix_(kept, kept)], self.u[kept]
        return smaller

    def halves(self):
        """The two parts in which the least decided variable is fixed; the likelier one last: it is taken first."""
        state, branch = np.full(len(self.x), -1, np.int8), np.abs(self.x - 0.5).argmin()
        for value in (self.x[branch] < 0.5, self.x[branch] >= 0.5):
            state[branch] = value
            yield replace(self.fixed(state), root=False)

    def with_multipliers(self):
        """The part with vectors and multipliers to start `bounds.tighten` from."""
        m = len(self.x)
        V = np.random.default_rng(0).normal(size=(m, 8 * int(np.ceil(np.sqrt(2 * m) / 12))))
        V /= 2 * np.linalg.norm(V, axis=1, keepdims=True)
        V[:, 0] += 0.5
        return replace(self, V=V, N=np.zeros((m, m)), u=np.zeros(m))


@dataclass
class _Model:
    """Energies n.Q.n / 2 + b.n + offset: Q (d, d) symmetric, diagonal 0, b (d,); size: number of ones, None for any."""

    Q: np.ndarray
    b: np.ndarray
    size: int | None = None
    offset: float = 0.0

    def trivial_bound(self):
        """Lower bound of all energies, without a relaxation."""
        if self.size is None:
            return np.minimum(self.b, 0).sum() + np.minimum(self.Q, 0).sum() / 2
        others = np.sort(self.Q + np.diag(np.full(len(self.b), np.inf)))[:, : max(self.size - 1, 0)]
        return np.sort(self.b + others.sum(1) / 2)[: self.size].sum()

    def with_penalty(self, best):
        """The model plus mu (|n| - size) + w (|n| - size)^2; mu: minus what one variable more adds to `best` (d,)."""
        d, ones, g = len(self.b), best > 0, self.b + self.Q[:, best > 0].sum(1)
        mu = -(g[ones].max() + g[~ones].min()) / 2 if 0 < self.size < d else 0.0
        w = _WEIGHT * _norm(self.Q) / max(d, 1)
        Q, b = self.Q + 2 * w * (1 - np.eye(d)), self.b + mu + w * (1 - 2 * self.size)
        return _Model(Q, b, self.size, w * self.size**2 - mu * self.size)

    def of_part(self, part):
        """Q (m, m), b (m,) and constant of a part's energies."""
        free, ones = part.values < 0, part.values == 1
        b = self.b + self.Q[:, ones].sum(1)
        return self.Q[np.ix_(free, free)], b[free], 0.5 * (self.b + b)[ones].sum() + self.offset

    def ones_left(self, part):
        """How many of a part's free variables must be ones, None for any number."""
        return None if self.size is None else self.size - int(np.sum(part.values == 1))

    def convex(self, part):
        """A part and a convex function below it: Q, b and constant as `of_part`, C (m, m), c (m,), slack.

        n.C.n / 2 + c.n <= energies - constant, C positive semidefinite; slack: allowance for rounding.
        """
        Q, b, constant = self.of_part(part)
        C = Q.copy() if part.V is None else Q - part.N
        diagonal = C.reshape(-1)[:: len(C) + 1]
        diagonal[:] = 0.0 if part.V is None else part.u
        diagonal += _shift(C)
        slack = 4 * _EPSILON * (np.abs(C).sum() + np.abs(b).sum() + 4 * abs(self.offset))
        return Q, b, constant, C, b - diagonal / 2, slack


def _norm(C):
    """Frobenius norm, summed in an order that does not depend on the threads of BLAS."""
    return np.sqrt((C**2).sum())


def _shift(C):
    """What to add to the diagonal of C (m, m), symmetric, so that it is positive semidefinite in spite of rounding.

    C may be cosines without their ones. Where their rank is below m / 3, the lowest eigenvalue of a third of the rows
    is that of all. A Cholesky factorisation tells: once it succeeds, no eigenvalue is below -(m + 1) / 2 epsilon times
    the trace [rump2006positive]. The shift is a multiple of `unit`, which covers this and the rounding of eigenvalues,
    so that the last digits of LAPACK, which depend on its threads, do not change it.
    """
    m = len(C)
    for rows in (m // 3, m) if m > _ALL_EIGENVALUES and not C.diagonal().any() else (m,) if m else ():
        low = np.linalg.eigvalsh(C[:rows, :rows])[0]
        unit = _EPSILON * m * (4 * _norm(C) + m * 2.0 ** np.frexp(low)[1])
        shift = unit * (1 - np.floor(low / unit))
        try:
            if rows < m:
                np.linalg.cholesky(C + (shift - unit) * np.eye(m))
            return shift
        except np.linalg.LinAlgError:  # an eigenvalue is lower: the rank is higher
            continue
    return 0.0  # of no variables


def _decided(Q, b):
    """Values (d,) int8 that an optimum has whatever the others are, -1 where that is open: as of maps that are 0.

    A variable whose every possible gradient has one sign (first-order persistency [boros2002pseudo]).
    """
    state, low, high = np.full(len(b), -1, np.int8), b + np.minimum(Q, 0).sum(1), b + np.maximum(Q, 0).sum(1)
    while True:
        new = (state < 0) & ((high <= 0) | (low >= 0))
        if not new.any():
            return state
        state[new] = high[new] <= 0
        fixed = Q[:, new] * state[new]
        low, high = low + (fixed - np.minimum(Q[:, new], 0)).sum(1), high + (fixed - np.maximum(Q[:, new], 0)).sum(1)


class _BranchAndBound:
    """Minimum of n.Q.n / 2 + b.n: Q (d, d) symmetric, diagonal 0, b (d,), both at most 1; start (d,) of 0 and 1.

    size: number of ones, None for any. tell: None, or a function of seconds, lowest bound, lowest energy and nodes.
    """

    def __init__(self, Q, b, start, time_limit, size=None, tell=None):
        self.started = self.told = time.perf_counter()
        self.deadline, self.tell = self.started + time_limit, tell
        self.model, self.best = _Model(Q, b, size), start.astype(float)
        self.upper = descend(Q, b, size, self.best, 10 * len(b))
        self.low = np.inf  # lowest bound of what is closed
        self.nodes, self.free = 0, len(b)
        part = _Part(np.full(len(b), -1, np.int8), self.model.trivial_bound(), np.full(len(b), 0.5))
        self.parts = [part.fixed(_decided(Q, b)) if size is None else part]  # open
        if size is not None:
            self.model = self.model.with_penalty(self.best)

    @property
    def tolerance(self):
        """How far a bound that closes a part may lie below the lowest energy found."""
        return 0.5 * TOLERANCE * max(1.0, abs(self.upper))

    @property
    def late(self):
        return time.perf_counter() > self.deadline

    def bound(self, *parts):
        """Lower bound of all energies, when these parts and those of the stack are open."""
        return min([self.upper, self.low, *(part.bound for part in (*parts, *self.parts))])

    def report(self, part):
        """Tell how far the search is that works on a part, once a second."""
        now = time.perf_counter()
        if self.tell is not None and now >= self.told + 1:
            self.told = now
            self.tell(now - self.started, self.bound(part), self.upper, self.nodes)

    def run(self):
        """->  lower bound of all energies; the lowest one found is `upper`, at `best`."""
        while self.parts and not self.late:
            self.parts += self.work(self.parts.pop())
        return self.bound()

    def work(self, part):
        """Close a part, or return the open parts it consists of."""
        self.report(part)
        plain = part.V is None
        part, relaxation = self.reduced(part) if plain else self.improved(part)
        if part is None or self.searched(part, *relaxation):
            return []
        if self.late:
            return [part]
        return [part.with_multipliers()] if plain else list(part.halves())

    def reduced(self, part):
        """Fix what the relaxation's tangent excludes  ->  part, its relaxation; None, None when closed."""
        while True:
            relaxation = _, _, constant, C, c, slack = self.model.convex(part)
            state, x = np.full(len(c), -1, np.int8), part.x.copy()
            goal = self.upper - self.tolerance - constant
            before, bound = -np.inf, -np.inf
            while bound < goal and (before == -np.inf or bound - before > _PROGRESS * (goal - bound)):
                before = bound
                bound, excluded, _ = relax(C, c, self.model.ones_left(part), state, x, _SWEEPS, goal, slack)
                self.low, self.nodes = min(self.low, excluded + constant), self.nodes + 1
            part = replace(part, bound=max(part.bound, bound + constant), x=x)
            left = 0 if bound >= goal else int(np.sum(state < 0))
            if part.root:
                self.free = left
            if bound >= goal:
                self.low = min(self.low, part.bound)
                return None, None
            if left > 0.95 * len(state) or not len(state):
                return part, relaxation
            part = part.fixed(state)

    def improved(self, part):
        """`reduced` with multipliers improved until it pays no more."""
        best, relaxation, stalled = part, None, 0
        while True:
            Q, b, _ = self.model.of_part(part)
            V, N, u = part.V.copy(), part.N.copy(), part.u.copy()
            tighten(Q, b, V, N, u, _ROUNDS, _POLISH, _STEP * _norm(Q) / max(len(b), 1))
            before = best.bound
            part, tried = self.reduced(replace(part, V=V, N=N, u=u))
            if part is None:
                return None, None
            if relaxation is None or part.bound > before:
                best, relaxation = part, tried
            self.report(best)
            stalled = 0 if part.bound - before > _PROGRESS * (self.upper - before) else stalled + 1
            if stalled == 2 or self.late:
                return best, relaxation

    def searched(self, part, Q, b, constant, C, c, slack):
        """Depth-first search of a part, raising its bound: whether it could be closed."""
        m, left = len(b), self.model.ones_left(part)
        states, points, bounds = np.full((m + 2, m), -1, np.int8), np.empty((m + 2, m)), np.empty(m + 2)
        points[0], bounds[0], best = part.x, part.bound - constant, np.empty(m)
        limit = PLAIN_NODES if part.V is None else _IMPROVED_NODES
        top, nodes, low, chunk = 0, 0, np.inf, 1 + 10**7 // (m + 1) ** 2  # of nodes between two looks at the clock
        while top >= 0 and nodes < limit and not self.late:
            upper = self.upper - constant
            top, lowest, count, excluded = search(
                C, c, Q, b, left, states, points, bounds, top, upper, best, self.tolerance, slack, chunk
            )
            nodes, low = nodes + count, min(low, excluded)
            if lowest < upper:
                self.best = part.values.astype(float)
                self.best[part.values < 0] = best
                self.upper = lowest + constant
            self.nodes += count
            self.report(part)
        part.bound = max(part.bound, min([low, *bounds[: top + 1]]) + constant)
        if top < 0:
            self.low = min(self.low, low + constant)
        return top < 0


class ExactSampler(dimod.Sampler):
    """The ground state with its proof, for hundreds of variables if the model is like selections from feature maps."""

    parameters = MappingProxyType({"time_limit": [], "initial": [], "size": [], "progress": []})
    properties = MappingProxyType({"category": "exact", "tolerance": TOLERANCE})

    def sample(
        self,
        bqm: dimod.BinaryQuadraticModel,
        time_limit: float = 60.0,
        initial=None,
        size: int | None = None,
        progress: Callable | None = None,
        **unknown,
    ) -> dimod.SampleSet:
        """Lowest energy found and a lower bound of all: model, seconds, sample to start from  ->  SampleSet of one row.

        size: search only samples of exactly so many ones (of SPIN variables, +1); the one found is such a sample even
        if the limit ends the search, and energy and bound are those of the model among them.
        info: energy; bound, rigorous, with room for rounding, at most the energy; proven: whether they agree, without
        the model's offset over binary variables, to 1e-9 of the energy or of the largest coefficient, so that no energy
        lies lower by more;
        nodes; free: variables that the root relaxations leave open; seconds. The limit is checked between steps,
        which take long beyond some thousand variables. The same call finds the same sample unless the limit ends it.
        progress: called once a second with the keywords seconds, bound, energy and nodes, as they are by then.
        Raises ValueError for models that `binary.require_model` refuses, a limit that is no number of seconds, an
        `initial` that does not fit, a size outside 0..d, or a progress that is no function.

        >>> bqm = dimod.BinaryQuadraticModel({0: -1.0, 1: -0.75, 2: -0.5}, {(0, 1): 0.8, (1, 2): 0.1}, 0, dimod.BINARY)
        >>> found = ExactSampler().sample(bqm)
        >>> found.record.sample, found.info["energy"], found.info["proven"]
        (array([[1, 0, 1]], dtype=int8), -1.5, True)
        >>> ExactSampler().sample(bqm, size=1).info["energy"]  # variable 0 alone
        -1.0
        """
        self.remove_unknown_kwargs(**unknown)
        clock = time.perf_counter()
        time_limit = require.number("time_limit", time_limit, "[0, inf]")
        progress = None if progress is None else function("progress", progress)
        b, Q, offset = biases(bqm)
        size = None if size is None else require_size(size, len(b))
        start = np.zeros(len(b)) if initial is None else _values(initial, bqm)
        scale = float(max(np.abs(Q).max(initial=0), np.abs(b).max(initial=0))) or 1.0

        def tell(seconds, bound, energy, nodes):
            bound, energy = float(bound * scale + offset), float(energy * scale + offset)
            progress(seconds=seconds, bound=bound, energy=energy, nodes=nodes)

        search = _BranchAndBound((Q + Q.T) / scale, b / scale, start, time_limit, size, progress and tell)
        bound = search.run() * scale
        found = sample_set(search.best, bqm)
        energy, without_offset = float(found.record.energy[0]), search.best @ (b + Q @ search.best)
        found.info.update(
            energy=energy,
            bound=min(float(bound + offset), energy),
            proven=bool(without_offset - bound <= 2 * search.tolerance * scale),  # an offset would round both
            nodes=search.nodes,
            free=search.free,
            seconds=time.perf_counter() - clock,
        )
        return found


def optimum(bqm: dimod.BinaryQuadraticModel, **options) -> tuple[np.ndarray, bool]:
    """`ExactSampler.sample` as bits in the order of the model's variables, (d,) bool, and whether they are proven.

    Options and errors are those of `sample`.

    >>> optimum(dimod.BinaryQuadraticModel({"a": -0.75, "b": -1.0}, {("a", "b"): 0.8}, 0, dimod.BINARY), size=1)
    (array([False,  True]), True)
    """
    found = ExactSampler().sample(bqm, **options)
    return found.record.sample[0] > 0, found.info["proven"]


def _values(initial, bqm):
    """A sample of the model as (d,) of 0 and 1. Raises ValueError for other variables or values."""
    try:
        numbers = isinstance(initial, tuple) and all(isinstance(value, Real) for value in initial)  # not with labels
        if numbers or isinstance(initial, Iterator) or hasattr(initial, "detach"):
            initial = [float(value) for value in initial]
        samples, labels = dimod.as_samples(initial)
    except (TypeError, ValueError, IndexError, AttributeError):  # whatever dimod meets in what is no sample
        samples, labels = [], []
    if len(samples) != 1 or set(labels) != set(bqm.variables) or not np.isin(samples, list(bqm.vartype.value)).all():
        raise ValueError(f"initial must be one sample with a {bqm.vartype.name} value for every variable of the model")
    return (samples[0, [labels.index(v) for v in bqm.variables]] > 0).astype(float)
