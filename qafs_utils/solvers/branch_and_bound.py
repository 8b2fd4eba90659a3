"""Proven optima of binary quadratic models: branch and bound on convex relaxations.

Energies n.Q.n / 2 + b.n with Q_pp = 0 do not change over binary n when u_p (n_p^2 - n_p) / 2 is added, and do not rise
when N_pq n_p n_q is subtracted, N >= 0. Where Q - N + diag(u) is positive semidefinite, the minimum over the box
[0, 1]^d is a lower bound, and so is that of the tangent at any point; values that the tangent excludes need no search.

A search first takes N = 0 and one u for all variables, from the lowest eigenvalue: cosines of maps need no more. If it
does not end soon, u and N are improved. The best ones give the doubly nonnegative bound, the semidefinite one with
n_p n_q >= 0 (Burer, Math. Program. 120, 479, 2009), approached here by coordinate descent on low-rank vectors (mixing
method; Wang, Chang and Kolter, arXiv:1706.00476) and multiplier steps for N. Proofs hold for any u and N >= 0, as a
shift by the lowest eigenvalue restores convexity.

Exactly k ones: relaxations keep to the plane sum x = k by pairwise exchanges, and bound their tangent there with a
multiplier t of the plane, for any t and x. mu (|n| - k) + w (|n| - k)^2 is added, 0 where it matters: exchanges do not
feel it, but it takes from indefinite models the eigenvalues along (1, ..., 1), and shows the plane to the vectors.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from numbers import Real
from types import MappingProxyType

import dimod
import numpy as np

from .. import require
from ..compiled import njit
from ..qubo.binary import biases, sample_set
from ..qubo.fixed_size import require_size

TOLERANCE = 1e-9  # of the energy, or of the largest coefficient if that is larger
PLAIN_NODES, _IMPROVED_NODES = 15_000, 1000  # of one depth-first search: then its bounds are improved; then it is split
_SWEEPS, _NODE_SWEEPS = 200, 12  # of coordinate descent, in a first relaxation and in the nodes of a search
_ROUNDS, _POLISH = 50, 30  # multiplier steps between two bounds, sweeps for the u that fits the last of them
_STEP = 0.6  # length of these steps, over the couplings' root mean square
_WEIGHT = 1.1  # of the penalty of other sizes, over the couplings' root mean square
_PROGRESS = 0.2  # share of the gap that such a step, or the sweeps of a first relaxation, must close to be repeated


@njit()
def _exchange(Q, x, g, free, left, steps):
    """Descent of a convex n.Q.n / 2 + b.n to and in the plane where x[free] sums to left; x, gradient g (m,) in place.

    Raises the x of lowest gradient, lowers that of highest (Platt's sequential minimal optimisation).
    ->  multiplier t of the plane, at the end the gradient of every x inside (0, 1).
    """
    for step in range(steps + 1):
        total, up, down = 0.0, -1, -1
        for i in free:
            total += x[i]
            if x[i] < 1 and (up < 0 or g[i] < g[up]):
                up = i
            if x[i] > 0 and (down < 0 or g[i] > g[down]):
                down = i
        excess = total - left
        if abs(excess) > 1e-12 * len(x):
            i = up if excess < 0 else down
            move = min(1 - x[i], -excess) if excess < 0 else max(-x[i], -excess)
            x[i] += move
            g += move * Q[i]
            continue
        if step == steps or g[down] - g[up] < 1e-7:
            break
        curvature = Q[up, up] + Q[down, down] - 2 * Q[up, down]
        move = min(1 - x[up], x[down])
        if curvature > 0:
            move = min(move, (g[down] - g[up]) / curvature)
        x[up] += move
        x[down] -= move
        g += move * (Q[up] - Q[down])
    return (g[up] + g[down]) / 2


@njit()
def _relax(Q, b, size, state, x, sweeps, goal, slack):
    """Lower bound of a convex n.Q.n / 2 + b.n, by coordinate descent over the box and the tangent where it ends.

    size: number of ones, by exchanges in its plane, -1: any.
    state: (m,) -1 (free), 0 or 1, in place: values that a bound >= goal excludes are fixed; x: (m,) start, in place.
    ->  bound, less `slack` for rounding; lowest bound of what was excluded; gradient (m,) at x.
    """
    m, excluded = len(b), np.inf
    free = np.empty(m, np.int64)
    g = b.copy()
    for i in range(m):
        if state[i] >= 0:
            x[i] = state[i]
        if x[i] != 0:
            g += x[i] * Q[i]
    while True:
        count, left, t = 0, size, 0.0
        for i in range(m):
            if state[i] < 0:
                free[count] = i
                count += 1
            else:
                left -= state[i]
        if size >= 0 and not 0 < left < count:
            if left < 0 or left > count:
                return np.inf, excluded, g
            for i in free[:count]:
                state[i] = 1 if left > 0 else 0
                g += (state[i] - x[i]) * Q[i]
                x[i] = state[i]
            count = 0
        if size >= 0 and count > 0:
            t = _exchange(Q, x, g, free[:count], left, sweeps * count)
        for _ in range(sweeps if size < 0 else 0):
            largest = 0.0
            for i in free[:count]:
                lowest = x[i] - g[i] / Q[i, i] if Q[i, i] > 0 else (0.0 if g[i] > 0 else 1.0)
                move = min(max(lowest, 0.0), 1.0) - x[i]
                if move != 0:
                    x[i] += move
                    g += move * Q[i]
                    largest = max(largest, abs(move))
            if largest < 1e-7:
                break
        bound = -slack
        for i in range(m):
            bound += 0.5 * x[i] * (g[i] + b[i])
        for i in free[:count]:
            cost = g[i] - t
            bound += -cost * x[i] if cost > 0 else cost * (1 - x[i])
        if t != 0:
            bound += t * (left - x[free[:count]].sum())
        if bound >= goal:
            return bound, excluded, g
        for i in free[:count]:
            cost = abs(g[i] - t)
            if bound + cost >= goal:
                excluded = min(excluded, bound + cost)
                state[i] = 0 if g[i] > t else 1
        moved = False
        for i in free[:count]:  # not before: the bound goes with the gradient where the descent ended
            if state[i] >= 0 and x[i] != state[i]:
                g += (state[i] - x[i]) * Q[i]
                x[i] = state[i]
                moved = True
        if not moved:
            return bound, excluded, g


@njit()
def _descend(Q, b, size, y, steps):
    """Tabu search from y (m,) of 0 and 1, `steps` flips and on to a local minimum  ->  lowest energy; y: its place.

    size: number of ones of y in the end, -1: any. Away from it, flips lead towards it: in pairs they exchange two.
    """
    m, energy, step, last, excess = len(b), 0.0, 0, 0, 0.0 if size < 0 else y.sum() - size
    g = b.copy()
    for i in range(m):
        if y[i] != 0:
            g += Q[i]
    for i in range(m):
        energy += 0.5 * y[i] * (g[i] + b[i])
    z, here, since = y.copy(), energy, np.full(m, -m - 1000)
    span = 23 if size < 0 else max(1, min(23, 2 * min(size, m - size) - 1))  # so that an exchange is always left
    if excess != 0:
        energy = np.inf
    while True:
        chosen, gain, tenure = -1, np.inf, 2 + 7 * step % span
        for i in range(m):
            if excess != 0 and excess * (1 - 2 * z[i]) > 0:
                continue
            change = g[i] * (1 - 2 * z[i])
            if change < gain and (step - since[i] > tenure or here + change < energy):
                chosen, gain = i, change
        settled = not here + gain < energy - 1e-12 * abs(energy) if size < 0 else excess == 0 and step >= last + 2
        if chosen < 0 or (step >= steps and settled):
            return energy
        flip = 1 - 2 * z[chosen]
        z[chosen] += flip
        g += flip * Q[chosen]
        here += gain
        since[chosen] = step
        step += 1
        if size >= 0:
            excess += flip
        if excess == 0 and (energy == np.inf or here < energy - 1e-12 * abs(energy)):
            energy, last = here, step
            y[:] = z


@njit()
def _search(C, c, Q, b, size, states, points, bounds, top, upper, best, tolerance, slack, limit):
    """Depth-first search for energies n.Q.n / 2 + b.n below `upper`; n.C.n / 2 + c.n, convex, is never above them.

    size: number of ones, -1: any.
    states (m + 2, m), points (m + 2, m), bounds (m + 2,): the stack, open up to `top`, in place; limit: of nodes.
    ->  top; upper, whose place is in best (m,) if it fell; nodes; lowest bound of what was closed.
    """
    m, nodes, low = len(b), 0, np.inf
    y = np.empty(m)
    while top >= 0 and nodes < limit:
        nodes += 1
        state, x = states[top], points[top]
        bound, excluded, g = _relax(C, c, size, state, x, _NODE_SWEEPS, upper - tolerance, slack)
        bound, low = max(bound, bounds[top]), min(low, excluded)
        if bound >= upper - tolerance:
            low = min(low, bound)
            top -= 1
            continue
        branch, score = -1, -np.inf
        for i in range(m):
            y[i] = 1.0 if x[i] > 0.5 else 0.0
            if state[i] < 0:
                here = min(x[i], 1 - x[i]) - 1e-6 * abs(g[i])
                if here > score:
                    branch, score = i, here
        energy = _descend(Q, b, size, y, 0)
        if energy < upper:
            upper = energy
            best[:] = y
        if branch < 0:
            low = min(low, energy)
            top -= 1
            continue
        bounds[top] = bounds[top + 1] = bound
        states[top + 1] = state
        points[top + 1] = x
        states[top + 1, branch] = 1 if x[branch] >= 0.5 else 0
        state[branch] = 1 - states[top + 1, branch]
        top += 1
    return top, upper, nodes, low


@njit()
def _tighten(Q, b, V, N, u, rounds, polish, step):
    """Improve N and u for energies n.Q.n / 2 + b.n: `rounds` of a sweep over the vectors and a step of N, in place.

    V: (m, r) vectors v_i = (e + s_i) / 2, e = (1, 0, ...) and s_i of unit length: v_i.v_j relaxes n_i n_j, and
    e.v_i = v_i.v_i relaxes n_i; N: (m, m) and u: (m,), multipliers of v_i.v_j >= 0 and of e.v_i = v_i.v_i, this one
    after `polish` more sweeps.
    """
    m, r = V.shape
    R, g = Q - N, np.empty(r)
    for sweep in range(rounds + polish):
        if sweep == rounds:
            V = V.copy()
        for i in range(m):
            g[:] = 0
            for j in range(m):
                coupling = R[i, j]
                for k in range(r):
                    g[k] += coupling * V[j, k]
            g[0] += b[i]
            length = np.sqrt((g**2).sum())
            u[i] = 2 * length
            if length > 0:
                for k in range(r):
                    V[i, k] = -0.5 * g[k] / length
                V[i, 0] += 0.5
        if sweep < rounds:
            for i in range(m):
                for j in range(i):
                    product = 0.0
                    for k in range(r):
                        product += V[i, k] * V[j, k]
                    N[i, j] = N[j, i] = max(0.0, N[i, j] - step * product)
                    R[i, j] = R[j, i] = Q[i, j] - N[i, j]


@dataclass
class _Part:
    """What is left of the problem once some variables are fixed; m are free.

    values: (d,) int8, -1 where free; bound: of its energies; x: (m,) relaxed values; V (m, r), N (m, m), u (m,): of
    `_tighten`, None before; root: not split off, all energies of interest are in it.
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


class _BranchAndBound:
    """Minimum of n.Q.n / 2 + b.n: Q (d, d) symmetric, diagonal 0, b (d,), both at most 1; start (d,) of 0 and 1.

    size: number of ones, None for any. tell: None, or a function of seconds, lowest bound, lowest energy and nodes.
    """

    def __init__(self, Q, b, start, time_limit, size=None, tell=None):
        self.started = self.told = time.perf_counter()
        self.deadline, self.tell, self.parts = self.started + time_limit, tell, []
        self.size, self.offset = -1 if size is None else size, 0.0
        self.Q, self.b, self.best, self.nodes, self.free = Q, b, start.astype(float), 0, len(b)
        self.upper = _descend(Q, b, self.size, self.best, 20 * len(b))
        self.trivial = np.minimum(b, 0).sum() + np.minimum(Q, 0).sum() / 2
        if size is not None:
            self.constrain()
        self.low = np.inf  # lowest bound of what is closed

    def constrain(self):
        """Add mu (|n| - size) + w (|n| - size)^2; mu: minus what one variable more adds to the lowest energy found."""
        d, ones, g = len(self.b), self.best > 0, self.b + self.Q @ self.best
        others = np.sort(self.Q + np.diag(np.full(d, np.inf)))[:, : max(self.size - 1, 0)]
        self.trivial = np.sort(self.b + others.sum(1) / 2)[: self.size].sum()
        mu = -(g[ones].max() + g[~ones].min()) / 2 if 0 < self.size < d else 0.0
        w = _WEIGHT * np.linalg.norm(self.Q) / max(d, 1)
        self.Q, self.b = self.Q + 2 * w * (1 - np.eye(d)), self.b + mu + w * (1 - 2 * self.size)
        self.offset = w * self.size**2 - mu * self.size

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
        d = len(self.b)
        self.parts.append(_Part(np.full(d, -1, np.int8), self.trivial, np.full(d, 0.5)))
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
        if plain:
            return [self.lifted(part)]
        state, branch = np.full(len(part.x), -1, np.int8), np.abs(part.x - 0.5).argmin()
        children = []
        for value in (part.x[branch] < 0.5, part.x[branch] >= 0.5):  # the likely one last: it is taken first
            state[branch] = value
            children.append(replace(part.fixed(state), root=False))
        return children

    def problem(self, part):
        """Q (m, m), b (m,) and constant of a part's energies."""
        free, ones = part.values < 0, part.values == 1
        b = self.b + self.Q[:, ones].sum(1)
        return self.Q[np.ix_(free, free)], b[free], 0.5 * (self.b + b)[ones].sum() + self.offset

    def left(self, part):
        """How many of a part's free variables must be ones, -1 for any number."""
        return self.size if self.size < 0 else self.size - np.sum(part.values == 1)

    def convex(self, part):
        """C (m, m) positive semidefinite, c (m,), allowance for rounding: n.C.n / 2 + c.n <= energies - constant."""
        C, b, _ = self.problem(part)
        u = np.zeros(len(b)) if part.V is None else part.u
        if part.V is not None:
            C = C - part.N
        C[np.diag_indices_from(C)] = u
        if len(C):
            u = u + 4 * np.finfo(float).eps * len(C) * np.linalg.norm(C) - np.linalg.eigvalsh(C)[0]
        C[np.diag_indices_from(C)] = u
        return C, b - u / 2, 4 * np.finfo(float).eps * (np.abs(C).sum() + np.abs(b).sum() + 4 * abs(self.offset))

    def reduced(self, part):
        """Fix what the relaxation's reduced costs exclude  ->  part, its relaxation; None, None when closed."""
        while True:
            relaxation = C, c, slack = self.convex(part)
            constant, state, x = self.problem(part)[2], np.full(len(c), -1, np.int8), part.x.copy()
            goal = self.upper - self.tolerance - constant
            before, bound = -np.inf, -np.inf
            while bound < goal and (before == -np.inf or bound - before > _PROGRESS * (goal - bound)):
                before = bound
                bound, excluded, _ = _relax(C, c, self.left(part), state, x, _SWEEPS, goal, slack)
                self.low, self.nodes = min(self.low, excluded + constant), self.nodes + 1
            part = replace(part, bound=max(part.bound, bound + constant), x=x)
            if bound >= goal:
                self.low = min(self.low, part.bound)
                if part.root:
                    self.free = 0
                return None, None
            left = np.sum(state < 0)
            if part.root:
                self.free = int(left)
            if left > 0.95 * len(state) or not len(state):
                return part, relaxation
            part = part.fixed(state)

    def searched(self, part, C, c, slack):
        """Depth-first search of a part, raising its bound: whether it could be closed."""
        Q, b, constant = self.problem(part)
        m, free = len(b), part.values < 0
        states, points, bounds = np.full((m + 2, m), -1, np.int8), np.empty((m + 2, m)), np.empty(m + 2)
        points[0], bounds[0], best = part.x, part.bound - constant, np.empty(m)
        limit = PLAIN_NODES if part.V is None else _IMPROVED_NODES
        top, nodes, low, chunk = 0, 0, np.inf, 1 + 10**7 // (m + 1) ** 2
        while top >= 0 and nodes < limit and not self.late:
            upper = self.upper - constant
            top, lowest, count, excluded = _search(
                C, c, Q, b, self.left(part), states, points, bounds, top, upper, best, self.tolerance, slack, chunk
            )
            nodes, low = nodes + count, min(low, excluded)
            if lowest < upper:
                self.best = part.values.astype(float)
                self.best[free] = best
                self.upper = lowest + constant
            self.nodes += count
            self.report(part)
        part.bound = max(part.bound, min([low, *bounds[: top + 1]]) + constant)
        if top < 0:
            self.low = min(self.low, low + constant)
        return top < 0

    def lifted(self, part):
        """The part with vectors and multipliers to start `improved` from."""
        m = len(part.x)
        V = np.random.default_rng(0).normal(size=(m, 8 * int(np.ceil(np.sqrt(2 * m) / 12))))
        V /= 2 * np.linalg.norm(V, axis=1, keepdims=True)
        V[:, 0] += 0.5
        return replace(part, V=V, N=np.zeros((m, m)), u=np.zeros(m))

    def improved(self, part):
        """`reduced` with multipliers improved until it pays no more."""
        best, relaxation, stalled = part, None, 0
        while True:
            Q, b, _ = self.problem(part)
            V, N, u = part.V.copy(), part.N.copy(), part.u.copy()
            _tighten(Q, b, V, N, u, _ROUNDS, _POLISH, _STEP * np.linalg.norm(Q) / max(len(b), 1))
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


class ExactSampler(dimod.Sampler):
    """The ground state with its proof, for hundreds of variables if the model is like selections from feature maps."""

    parameters = MappingProxyType({"time_limit": [], "initial": [], "size": [], "progress": []})
    properties = MappingProxyType({"category": "exact", "tolerance": TOLERANCE})

    def sample(self, bqm, time_limit=60.0, initial=None, size=None, progress=None, **unknown):
        """Lowest energy found and a lower bound of all: model, seconds, sample to start from  ->  SampleSet of one row.

        size: search only samples of exactly so many ones (of SPIN variables, +1); the one found is such a sample even
        if the limit ends the search, and energy and bound are those of the model among them.
        info: energy; bound, rigorous, with room for rounding, at most the energy; proven: whether they agree to 1e-9
        of the energy or of the largest coefficient (over binary variables), so that no energy lies lower by more;
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
        if not (progress is None or callable(progress)):
            raise ValueError(f"progress must be a function, got {require.described(progress)}")
        b, Q, offset = biases(bqm)
        size = None if size is None else require_size(size, len(b))
        start = np.zeros(len(b)) if initial is None else _values(initial, bqm)
        scale = float(max(np.abs(Q).max(initial=0), np.abs(b).max(initial=0))) or 1.0

        def tell(seconds, bound, energy, nodes):
            bound, energy = float(bound * scale + offset), float(energy * scale + offset)
            progress(seconds=seconds, bound=bound, energy=energy, nodes=nodes)

        search = _BranchAndBound((Q + Q.T) / scale, b / scale, start, time_limit, size, progress and tell)
        bound = search.run() * scale + offset
        found = sample_set(search.best, bqm)
        energy = float(found.record.energy[0])
        found.info.update(
            energy=energy,
            bound=min(float(bound), energy),
            proven=bool(energy - bound <= 2 * search.tolerance * scale),
            nodes=search.nodes,
            free=search.free,
            seconds=time.perf_counter() - clock,
        )
        return found


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
