"""Bounds of energies, and the depth-first search that works with them: the compiled loops of the branch and bound.

Energies are n.Q.n / 2 + b.n over binary n (m,), Q (m, m) symmetric. Where the number of ones is free, relaxations move
in the box [0, 1]^m and local search flips single bits. Where it is fixed, relaxations move in the plane sum x = size
and local search exchanges two bits. `relax` and `descend` choose by the argument `size`, None for any number of ones;
numba compiles what they call then. All loops stand here: numba keeps them, and sees changes of their own file only.
"""

import numpy as np

from ..compiled import njit

_NODE_SWEEPS = 3  # of coordinate descent in the nodes of a search
_SAME = 1e-7  # steps and differences of gradients below end a relaxation
_inlined = njit(inline="always")  # calls would take some percent of a search


@_inlined
def _add(g, factor, row):
    """g += factor * row, in place; numba would make an array of the product first."""
    for j in range(len(g)):
        g[j] += factor * row[j]


@_inlined
def _copy(values, to):
    """to[:] = values, which numba takes two seconds to compile."""
    for i in range(len(to)):
        to[i] = values[i]


@_inlined
def _gradient(Q, b, x):
    """Gradient of x.Q.x / 2 + b.x: (m,)."""
    g = b.copy()
    for i in range(len(b)):
        if x[i] != 0:
            _add(g, x[i], Q[i])
    return g


@_inlined
def _energy(b, x, g, offset):
    """x.Q.x / 2 + b.x + offset, where the gradient is g."""
    energy = offset
    for i in range(len(b)):
        energy += 0.5 * x[i] * (g[i] + b[i])
    return energy


@_inlined
def _free(state):
    """Numbers of the free variables, and how many of the fixed ones are 1."""
    free, count, ones = np.empty(len(state), np.int64), 0, 0
    for i in range(len(state)):
        if state[i] < 0:
            free[count] = i
            count += 1
        else:
            ones += state[i]
    return free[:count], ones


@_inlined
def _tangent(b, x, g, free, t, slack):
    """Minimum of the tangent at x over the box of the free variables, each of whose gradients is lowered by t."""
    bound = _energy(b, x, g, -slack)
    for i in free:
        cost = g[i] - t
        bound += -cost * x[i] if cost > 0 else cost * (1 - x[i])
    return bound


@_inlined
def _fix(Q, state, x, g, free, t, bound, goal):
    """Fix the free variables one of whose values lifts the tangent to the goal; state, x, g in place.

    ->  lowest bound of the values that are excluded, infinite if there is none; whether x has moved.
    """
    excluded, moved = np.inf, False
    for i in free:
        cost = abs(g[i] - t)
        if bound + cost >= goal:
            excluded = min(excluded, bound + cost)
            state[i] = 0 if g[i] > t else 1
    for i in free:  # a loop of its own: the costs above are those of the gradient before any move
        if state[i] >= 0 and x[i] != state[i]:
            _add(g, state[i] - x[i], Q[i])
            x[i] = state[i]
            moved = True
    return excluded, moved


@_inlined
def _minimise_in_box(Q, x, g, free, sweeps):
    """Coordinate descent of the free variables within [0, 1]; x and its gradient g in place."""
    for _ in range(sweeps):
        largest = 0.0
        for i in free:
            lowest = x[i] - g[i] / Q[i, i] if Q[i, i] > 0 else (0.0 if g[i] > 0 else 1.0)
            move = min(max(lowest, 0.0), 1.0) - x[i]
            if move != 0:
                x[i] += move
                _add(g, move, Q[i])
                largest = max(largest, abs(move))
        if largest < _SAME:
            break


@njit()
def _minimise_in_plane(Q, x, g, free, left, steps):
    """Descent to and in the plane where the free variables sum to `left`; x and its gradient g in place.

    Each step raises the variable of lowest gradient and lowers that of highest (Platt's sequential minimal
    optimisation). ->  multiplier t of the plane: at the minimum the gradient of every x inside (0, 1).
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
        if abs(excess) > 1e-12 * len(x):  # not in the plane yet
            i = up if excess < 0 else down
            move = min(1 - x[i], -excess) if excess < 0 else max(-x[i], -excess)
            x[i] += move
            _add(g, move, Q[i])
            continue
        if step == steps or g[down] - g[up] < _SAME:
            break
        curvature = Q[up, up] + Q[down, down] - 2 * Q[up, down]
        move = min(1 - x[up], x[down])
        if curvature > 0:
            move = min(move, (g[down] - g[up]) / curvature)
        x[up] += move
        x[down] -= move
        _add(g, move, Q[up])
        _add(g, -move, Q[down])
    return (g[up] + g[down]) / 2


@njit()
def _relax_in_box(Q, b, state, x, sweeps, goal, slack):
    """`relax` for any number of ones."""
    g, excluded = _gradient(Q, b, x), np.inf
    while True:
        free, _ = _free(state)
        _minimise_in_box(Q, x, g, free, sweeps)
        bound = _tangent(b, x, g, free, 0.0, slack)
        if bound >= goal:
            return bound, excluded, g
        lowest, moved = _fix(Q, state, x, g, free, 0.0, bound, goal)
        excluded = min(excluded, lowest)
        if not moved:
            return bound, excluded, g


@njit()
def _relax_in_plane(Q, b, size, state, x, sweeps, goal, slack):
    """`relax` for a fixed number of ones."""
    g, excluded = _gradient(Q, b, x), np.inf
    while True:
        free, ones = _free(state)
        left = size - ones
        if left < 0 or left > len(free):
            return np.inf, excluded, g
        if left == 0 or left == len(free):  # the plane leaves one point
            for i in free:
                state[i] = 1 if left > 0 else 0
                _add(g, state[i] - x[i], Q[i])
                x[i] = state[i]
            return _tangent(b, x, g, free[:0], 0.0, slack), excluded, g
        t = _minimise_in_plane(Q, x, g, free, left, sweeps * len(free))
        bound = _tangent(b, x, g, free, t, slack) + t * (left - x[free].sum())
        if bound >= goal:
            return bound, excluded, g
        lowest, moved = _fix(Q, state, x, g, free, t, bound, goal)
        excluded = min(excluded, lowest)
        if not moved:
            return bound, excluded, g


@njit()
def relax(Q, b, size, state, x, sweeps, goal, slack):
    """Lower bound of a convex n.Q.n / 2 + b.n: its minimum over relaxed x, bounded by the tangent where descent ends.

    size: number of ones, None for any; slack: allowance for rounding, taken off the bound.
    state: (m,) int8, -1 (free), 0 or 1, in place: values that a bound of `goal` or more excludes are fixed;
    x: (m,) relaxed values to start from, in place.
    ->  bound; lowest bound of what was excluded; gradient (m,) at x.

    >>> Q, b, x = np.eye(2), np.array([-0.9, 0.5]), np.full(2, 0.5)
    >>> state = np.full(2, -1, np.int8)
    >>> bound, excluded, g = relax(Q, b, None, state, x, sweeps=9, goal=0.0, slack=0.0)
    >>> round(bound, 3), round(excluded, 3), x.round(3), state  # n = 10 has energy -0.4; a second one costs 0.5
    (-0.405, 0.095, array([0.9, 0. ]), array([-1,  0], dtype=int8))
    """
    for i in range(len(b)):
        if state[i] >= 0:
            x[i] = state[i]
    if size is None:
        return _relax_in_box(Q, b, state, x, sweeps, goal, slack)
    return _relax_in_plane(Q, b, size, state, x, sweeps, goal, slack)


@njit()
def _best_flip(g, z, flipped, tabu, current, best, excess, changes):
    """The flip of z that lowers the energy most, or raises it least  ->  its variable, -1 for none, and the change.

    flipped: (m,) step of the last flip. One of step `tabu` or later is undone only for an energy below the best.
    excess: ones too many, negative if too few: no flip may lead further away. changes: (m,) scratch.
    """
    for i in range(len(g)):  # without branches, so that it runs in vector registers
        flip = 1 - 2 * z[i]
        change = g[i] * flip
        allowed = ((flipped[i] < tabu) | (current + change < best)) & (excess * flip <= 0)
        changes[i] = change if allowed else np.inf
    chosen, gain = -1, np.inf
    for i in range(len(g)):
        if changes[i] < gain:
            chosen, gain = i, changes[i]
    return chosen, gain


@njit()
def _descend_by_flips(Q, b, y, steps):
    """`descend` for any number of ones."""
    g = _gradient(Q, b, y)
    best = current = _energy(b, y, g, 0.0)
    z, flipped, step, changes = y.copy(), np.full(len(b), -1000.0), 0, np.empty(len(b))
    while True:
        chosen, gain = _best_flip(g, z, flipped, step - 2 - 7 * step % 23, current, best, 0.0, changes)
        improves = current + gain < best - 1e-12 * abs(best)
        if chosen < 0 or (step >= steps and not improves):
            return best
        flip = 1 - 2 * z[chosen]
        z[chosen] += flip
        _add(g, flip, Q[chosen])
        current += gain
        flipped[chosen] = step
        step += 1
        if current < best - 1e-12 * abs(best):
            best = current
            _copy(z, y)


@njit()
def _descend_by_exchanges(Q, b, size, y, steps):
    """`descend` for a fixed number of ones: two flips, to and from the size, exchange two variables."""
    m, g = len(b), _gradient(Q, b, y)
    current, excess = _energy(b, y, g, 0.0), y.sum() - size
    best = current if excess == 0 else np.inf
    z, flipped, step, last, changes = y.copy(), np.full(m, -1000.0), 0, 0, np.empty(m)
    span = max(1, min(23, 2 * min(size, m - size) - 1))  # of the tabu, so that an exchange is always left
    while True:
        chosen, gain = _best_flip(g, z, flipped, step - 2 - 7 * step % span, current, best, excess, changes)
        settled = excess == 0 and step >= last + 2
        if chosen < 0 or (step >= steps and settled):
            return best
        flip = 1 - 2 * z[chosen]
        z[chosen] += flip
        _add(g, flip, Q[chosen])
        current += gain
        excess += flip
        flipped[chosen] = step
        step += 1
        if excess == 0 and (best == np.inf or current < best - 1e-12 * abs(best)):
            best, last = current, step
            _copy(z, y)


@njit()
def descend(Q, b, size, y, steps):
    """Tabu search from y (m,) of 0 and 1, in place: `steps` flips, and on to a local minimum  ->  lowest energy, at y.

    size: number of ones that y has in the end, None for any.

    >>> Q, b = np.array([[0.0, 2.0], [2.0, 0.0]]), np.array([-1.0, -1.5])
    >>> y = np.zeros(2)
    >>> descend(Q, b, None, y, 0), y
    (-1.5, array([0., 1.]))
    >>> descend(Q, b, 2, y, 0), y
    (-0.5, array([1., 1.]))
    """
    if size is None:
        return _descend_by_flips(Q, b, y, steps)
    return _descend_by_exchanges(Q, b, size, y, steps)


@njit()
def search(C, c, Q, b, size, states, points, bounds, top, upper, best, tolerance, slack, limit):
    """Depth-first search for energies n.Q.n / 2 + b.n below `upper`; n.C.n / 2 + c.n, convex, is never above them.

    size: number of ones, None for any; slack: allowance for rounding in C and c; limit: of nodes.
    states (m + 2, m), points (m + 2, m), bounds (m + 2,): the stack of open nodes, up to row `top`, in place: state
    and x as for `relax`, and a lower bound. A node is closed by a bound of upper - tolerance.
    ->  top; upper, whose place is in best (m,) if it fell; nodes; lowest bound of what was closed.

    >>> Q, b, best = np.array([[0.0, 2.0], [2.0, 0.0]]), np.array([-1.0, -1.5]), np.zeros(2)
    >>> states, points, bounds = np.full((4, 2), -1, np.int8), np.full((4, 2), 0.5), np.full(4, -9.0)
    >>> C, c = Q + 2 * np.eye(2), b - 1  # of the same energies
    >>> top, upper, nodes, low = search(C, c, Q, b, None, states, points, bounds, 0, 0.0, best, 1e-9, 1e-12, 99)
    >>> top, upper, best, bool(abs(low - upper) < 1e-8)
    (-1, -1.5, array([0., 1.]), True)
    """
    m, nodes, low = len(b), 0, np.inf
    y, sweeps, no_steps = np.empty(m), np.int64(_NODE_SWEEPS), np.int64(0)  # for literals all would be compiled twice
    while top >= 0 and nodes < limit:
        nodes += 1
        state, x = states[top], points[top]
        bound, excluded, g = relax(C, c, size, state, x, sweeps, upper - tolerance, slack)
        bound, low = max(bound, bounds[top]), min(low, excluded)
        if bound >= upper - tolerance:
            low = min(low, bound)
            top -= 1
            continue
        branch, score = -1, -np.inf  # the variable furthest from 0 and 1, of equal ones that of least gradient
        for i in range(m):
            y[i] = 1.0 if x[i] > 0.5 else 0.0
            if state[i] < 0:
                undecided = min(x[i], 1 - x[i]) - 1e-6 * abs(g[i])
                if undecided > score:
                    branch, score = i, undecided
        energy = descend(Q, b, size, y, no_steps)
        if energy < upper:
            upper = energy
            _copy(y, best)
        if branch < 0:
            low = min(low, energy)
            top -= 1
            continue
        bounds[top] = bounds[top + 1] = bound  # two children: the likelier value comes on top, and is taken first
        _copy(state, states[top + 1])
        _copy(x, points[top + 1])
        states[top + 1, branch] = 1 if x[branch] >= 0.5 else 0
        state[branch] = 1 - states[top + 1, branch]
        top += 1
    return top, upper, nodes, low


@njit(fastmath={"reassoc", "contract", "nsz"})  # so that sums over m run in vector registers
def _sweep(b, R, W, u):
    """Put every vector where it lowers the relaxed energy most, the others held; R: (m, m) couplings.

    W: (r, m) the vectors as columns, u (m,), in place.
    """
    r, m = W.shape
    g = np.empty(r)
    for i in range(m):
        length = 0.0
        for k in range(r):
            total = 0.0
            for j in range(m):
                total += R[i, j] * W[k, j]
            g[k] = total + b[i] if k == 0 else total
            length += g[k] ** 2
        length = np.sqrt(length)
        u[i] = 2 * length
        if length > 0:
            for k in range(r):
                W[k, i] = -0.5 * g[k] / length
            W[0, i] += 0.5


@njit()
def tighten(Q, b, V, N, u, rounds, polish, step):
    """Improve the multipliers N and u of energies n.Q.n / 2 + b.n, in place, by the mixing method [wang2017mixing].

    V: (m, r) vectors v_i = (e + s_i) / 2, e = (1, 0, ...) and s_i of unit length: v_i.v_j relaxes n_i n_j, and
    e.v_i = v_i.v_i relaxes n_i. N: (m, m) >= 0, multipliers of v_i.v_j >= 0; u: (m,), of e.v_i = v_i.v_i.
    `rounds` times all vectors are swept over once, and N makes a `step`. Then `polish` sweeps fit u to the last N.

    >>> Q, b, V, N, u = np.zeros((1, 1)), np.array([-1.0]), np.array([[0.5, 0.5]]), np.zeros((1, 1)), np.zeros(1)
    >>> tighten(Q, b, V, N, u, 1, 0, 0.1)
    >>> V.round(9) + 0, u  # n = 1
    (array([[1., 0.]]), array([2.]))
    """
    R, W, products = Q - N, V.T.copy(), np.empty(len(b))
    for _ in range(rounds):
        _sweep(b, R, W, u)
        for i in range(len(b)):
            for j in range(len(b)):
                products[j] = 0.0
            for k in range(len(W)):
                _add(products, W[k, i], W[k])
            for j in range(len(b)):
                multiplier = N[i, j] - step * products[j]
                N[i, j] = multiplier if multiplier > 0 else 0.0
                R[i, j] = Q[i, j] - N[i, j]
    for k in range(len(W)):
        _copy(W[k], V[:, k])
    for _ in range(polish):
        _sweep(b, R, W, u)
