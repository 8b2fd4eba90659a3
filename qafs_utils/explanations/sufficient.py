"""The smallest sufficient set, proven: the fewest maps that keep the class, or that lose it when they are removed.

After the block the classifier is linear: with exactly the maps S, the logit of class c is b_c + sum_{a in S} z_ca. The
margin over a rival r is (b_c - b_r) + sum_{a in S} (z_ca - z_ra). The biases stay: a map that is set to zero takes its
own terms away, no more. The margin of the class is the least of those over all rivals, and S keeps a share m of it if
every rival's is at least m times that of the full network. This is an integer program with one row a rival:

    min sum_a x_a  so that  sum_a (z_ca - z_ra) x_a >= m margin - (b_c - b_r) for all r,  x_a in {0, 1}

Its linear relaxation (HiGHS by scipy.optimize.linprog) bounds the size from below, and tells which maps every set of
that size has, and which none has. An exchange of maps mostly finds a set of just that size, which proves it. Else HiGHS
solves what is left open (scipy.optimize.milp).

Only a share of 0 is free of scale: any other also asks for logits as large as that share of the full network's margin.
The measure without scale, margin over spread (`relative_margins` with scale_free), is no linear row: other sets are
measured by it, but no smallest one is proven.

"Loses the class" is simpler: one rival has to win. That is a single row of unit costs, for which the largest terms
first are optimal. The least over the rivals is then the optimum.
"""

import os
import time
from contextlib import contextmanager

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

from .. import require
from ..intervals import bootstrap_interval
from .carried import LinearClassifier

TOLERANCE = 1e-9  # of the full margin: rounding of sums
_FEASIBLE = 1e-6  # by which HiGHS may violate a row, or miss a bound


def margins(classifier: LinearClassifier, selected) -> np.ndarray:
    """Margin of the class with exactly the selected maps: its logit minus the largest other one, (B, N_f) bool -> (B,).

    >>> classifier = LinearClassifier(np.array([[[3.0, 1.0], [0.0, 1.5]]]), np.array([0.5, 0.0]), np.array([0]))
    >>> margins(classifier, [[True, False]]), margins(classifier, [[True, True]])
    (array([2.5]), array([1.]))
    """
    gains, start = _gains(classifier, None)
    selected = require.bits("selected", selected, "B N_f", dict(zip(("B", "N_f"), gains.shape)))
    return (start + np.einsum("bn,bnr->br", selected.astype(float), gains)).min(1)


def require_margin(classifier: LinearClassifier) -> np.ndarray:
    """Margins of the full network, (B,). Raises ValueError, naming the image, where another class has a larger logit.

    >>> require_margin(LinearClassifier(np.array([[[3.0, 4.0]]]), np.zeros(2), np.array([0])))
    Traceback (most recent call last):
    ValueError: image 0: the full network does not have the margin (its class is 1, not 0): explain the predicted class
    """
    full = margins(classifier, np.ones(classifier.added.shape[:2], bool))
    wrong = np.flatnonzero(full <= 0)
    if len(wrong):
        i = wrong[0]
        found, target = int(np.argmax(classifier.logits[i])), classifier.target[i]
        what = "it ties with another class" if found == target else f"its class is {found}, not {target}"
        raise ValueError(f"image {i}: the full network does not have the margin ({what}): explain the predicted class")
    return full


def over_spread(added, target) -> np.ndarray:
    """Margin of a class in units of the spread of the logits, their standard deviation over the classes: free of scale.

    added: (B, ..., C), what maps add to the logits, without the bias; target: (B,) classes  ->  (B, ...), 0 where all
    classes get the same up to rounding.

    >>> over_spread(np.array([[[3.0, 1.0, 2.0], [0.3, 0.1, 0.2], [0.0, 0.0, 0.0]]]), [0]).round(4)
    array([[1.2247, 1.2247, 0.    ]])
    """
    added = np.asarray(added, np.float64)
    at = np.reshape(target, (-1,) + (1,) * (added.ndim - 1))
    others = added.copy()
    np.put_along_axis(others, np.broadcast_to(at, (*added.shape[:-1], 1)), -np.inf, axis=-1)
    margin, spread = np.take_along_axis(added, at, axis=-1)[..., 0] - others.max(-1), added.std(-1)
    equal = spread <= 1e-12 * np.abs(added).max(-1)
    return np.where(equal, 0.0, margin / np.where(equal, 1.0, spread))


def relative_margins(classifier: LinearClassifier, selected, *, scale_free: bool = False) -> np.ndarray:
    """Margin of the class with exactly the selected maps, in units of the full network's: (B, N_f) bool  ->  (B,).

    scale_free: the margin over the spread of what the maps add, without the bias (`over_spread`); -infinity where the
    full network has no such margin without its biases. Raises ValueError as `require_margin`.

    >>> added = np.array([[[3.0, 1.0, 0.0], [5.0, 1.0, 2.0]]])  # the margin is 6, over a spread of 2.83: 2.12
    >>> classifier = LinearClassifier(added, np.zeros(3), np.array([0]))
    >>> first = [[True, False]]  # a margin of 2 over a spread of 1.25: 1.60
    >>> [relative_margins(classifier, first, scale_free=free).round(2).tolist() for free in (False, True)]
    [[0.33], [0.76]]
    """
    full = require_margin(classifier)
    if not scale_free:
        return margins(classifier, selected) / full
    added, target = np.asarray(classifier.added, np.float64), classifier.target
    selected = require.bits("selected", selected, "B N_f", dict(zip(("B", "N_f"), added.shape)))
    return _of_full(over_spread(np.einsum("bn,bnc->bc", selected.astype(float), added), target), classifier)


def _of_full(found, classifier):
    """Margins over spread, (B, ...), in units of the full network's."""
    full = over_spread(np.sum(classifier.added, axis=1, dtype=np.float64), classifier.target)
    full = full.reshape(-1, *(1,) * (np.ndim(found) - 1))
    return np.where(full > 0, found / np.where(full > 0, full, 1.0), -np.inf)


def reached_in_order(classifier: LinearClassifier, order, allowed, *, scale_free: bool = False) -> np.ndarray:
    """`relative_margins` of the first 0 to N_f maps in an order: (B, N_f) indices, allowed (B, N_f)  ->  (B, N_f + 1).

    Maps that are not allowed add nothing.

    >>> classifier = LinearClassifier(np.array([[[3.0, 1.0], [1.0, 0.0]]]), np.zeros(2), np.array([0]))
    >>> reached_in_order(classifier, np.array([[1, 0]]), np.ones((1, 2), bool)).round(3)
    array([[0.   , 0.333, 1.   ]])
    """
    gains, start = relative_gains(classifier)
    gains = np.asarray(classifier.added, np.float64) if scale_free else gains
    ordered = np.take_along_axis(np.where(allowed[:, :, None], gains, 0.0), np.asarray(order)[:, :, None], axis=1)
    sums = np.concatenate([np.zeros((len(gains), 1, gains.shape[2])), ordered.cumsum(1)], axis=1)
    if scale_free:
        return _of_full(over_spread(sums, classifier.target), classifier)
    return (start[:, None] + sums).min(2)


def keeps(classifier: LinearClassifier, selected, share: float, *, scale_free: bool = False) -> np.ndarray:
    """Whether the selected maps alone keep a share of the class's margin: (B, N_f) bool  ->  (B,) bool.

    share: in [0, 1]; 0 asks that the class has the largest logit. scale_free: of the margin over the spread. Raises
    ValueError as `require_margin`.

    >>> classifier = LinearClassifier(np.array([[[3.0, 1.0], [1.0, 0.0]]]), np.zeros(2), np.array([0]))
    >>> [bool(keeps(classifier, [[True, False]], share)[0]) for share in (0, 0.6, 0.7)]  # margin 2 of 3
    [True, True, False]
    """
    return relative_margins(classifier, selected, scale_free=scale_free) >= threshold(share)


def sizes(classifier: LinearClassifier, selected, share: float, *, scale_free: bool = False) -> np.ndarray:
    """Number of maps of selections that keep the share, infinite for those that do not: (B, N_f) bool  ->  (B,).

    >>> classifier = LinearClassifier(np.array([[[3.0, 1.0], [1.0, 0.0]]]), np.zeros(2), np.array([0]))
    >>> sizes(classifier, [[True, True]], 0.9), sizes(classifier, [[True, False]], 0.9)
    (array([2.]), array([inf]))
    """
    return np.where(keeps(classifier, selected, share, scale_free=scale_free), np.sum(selected, axis=1), np.inf)


def smallest_sufficient(
    classifier: LinearClassifier,
    share: float,
    *,
    among=None,
    each_rival: bool = False,
    time_limit: float = 60.0,
    n_jobs: int | None = None,
) -> tuple[np.ndarray, pd.DataFrame]:
    """The fewest maps that alone keep a share of the class's margin, with the proof that fewer do not.

    among: (B, N_f) bool, the maps that may be taken; None for all. each_rival: keep the share of the margin over each
    rival, instead of the share of the least margin, over each rival. time_limit: seconds an image.
    ->  selected (B, N_f) bool, and a table of B rows: image, size (infinite if no set keeps it), bound (no set of
    fewer maps keeps it), status ("proven", "infeasible", which is proven too, or "open"), seconds.
    Raises ValueError for a share outside [0, 1], other shapes, and as `require_margin`.

    >>> added = np.array([[[3.0, 0.0, 2.0], [2.0, 1.0, 0.0], [2.0, 0.0, 1.0]]])  # the full margin is 4
    >>> classifier = LinearClassifier(added, np.zeros(3), np.array([0]))
    >>> selected, table = smallest_sufficient(classifier, 0.7)
    >>> selected, table[["size", "bound", "status"]].values.tolist()
    (array([[ True,  True, False]]), [[2.0, 2.0, 'proven']])
    """
    gains, start = relative_gains(classifier, each_rival)
    among = allowed_maps(among, gains)
    least, limit = threshold(share), require.number("time_limit", time_limit, "[0, inf]")
    jobs = (delayed(_least_cover)(G, s, least, a, limit) for G, s, a in zip(gains, start, among))
    found = Parallel(n_jobs=n_jobs)(jobs)
    selected = np.array([bits for bits, *_ in found], bool).reshape(among.shape)
    table = pd.DataFrame([row for _, *row in found], columns=["size", "bound", "status", "seconds"])
    table.insert(0, "image", range(len(table)))
    return selected, table


def threshold(share: float) -> float:
    """The least relative margin that counts as kept: at a share of 0 the class must win beyond rounding.

    >>> threshold(0.9) < 0.9, threshold(0) > 0
    (True, True)
    """
    share = require.number("share", share, "[0, 1]")
    return share - TOLERANCE if share > 0 else TOLERANCE


def _gains(classifier, scale):
    """What each map adds to the margin over each rival, (B, N_f, C - 1), and what the biases do, (B, C - 1)."""
    added, target = np.asarray(classifier.added, np.float64), np.asarray(classifier.target)
    rivals = np.array([np.delete(np.arange(added.shape[2]), c) for c in target])  # (B, C - 1)
    rows = np.arange(len(added))
    gains = added[rows, :, target][:, :, None] - np.take_along_axis(added, rivals[:, None], axis=2)
    start = classifier.bias[target][:, None] - np.asarray(classifier.bias)[rivals]
    if scale is not None:
        gains, start = gains / scale[:, None], start / scale
    return gains, start


def relative_gains(classifier: LinearClassifier, each_rival: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """What each map adds to the margin over each rival, (B, N_f, C - 1), and what the biases do, (B, C - 1).

    In units of the full network's margin, or (each_rival) of that over each rival. Raises as `require_margin`.

    >>> relative_gains(LinearClassifier(np.array([[[3.0, 1.0], [1.0, 0.0]]]), np.array([1.0, 0.0]), np.array([0])))
    (array([[[0.5 ],
            [0.25]]]), array([[0.25]]))
    """
    full = require_margin(classifier)[:, None]
    if require.flag("each_rival", each_rival):
        gains, start = _gains(classifier, None)
        full = start + gains.sum(1)
    return _gains(classifier, full)


def allowed_maps(among, gains: np.ndarray) -> np.ndarray:
    """The maps that may be taken, (B, N_f) bool: all of gains (B, N_f, R) for None. Raises ValueError for other shapes.

    >>> allowed_maps(None, np.ones((1, 2, 3)))
    array([[ True,  True]])
    """
    if among is None:
        return np.ones(gains.shape[:2], bool)
    return require.bits("among", among, "B N_f", dict(zip(("B", "N_f"), gains.shape)))


def _least_cover(G, start, least, among, limit):
    """One image: G (N_f, R), start (R,), among (N_f,)  ->  bits (N_f,), size, bound, status, seconds."""
    clock, bits, size = time.perf_counter(), np.zeros(len(among), bool), np.inf
    found, bound = _fewest(G[among], least - start, clock + limit)
    if found is not None:
        bits[among], size = found, float(found.sum())
    status = "open" if bound < size else "infeasible" if np.isinf(size) else "proven"
    return bits, size, bound, status, time.perf_counter() - clock


def _fewest(G, need, deadline):
    """The fewest rows of G (m, R) with a sum of at least need (R,): bits (m,) or None, and a bound: no fewer have it.

    Sizes from the bound of the linear relaxation on: for each, only the rows remain open that its costs do not decide.
    """
    alone, best = (need <= G).all(1), np.zeros(len(G), bool)
    if (need <= 0).all():
        return best, 0.0
    if alone.any():
        best[alone.argmax()] = True
        return best, 1.0
    if not len(G) or time.perf_counter() >= deadline:
        return None, 2.0 if len(G) else np.inf
    low, costs, x = _relaxed(G, need, deadline)
    best, bound = None, max(2.0, np.ceil(low - TOLERANCE))
    for k in (bound, bound + 1, len(G)) if np.isfinite(bound) else ():
        room = k - low + _FEASIBLE
        ones, free = costs < -room, np.abs(costs) <= room  # of every set of at most k rows
        left, at_least = need - G[ones].sum(0), 0.0
        found = _exchanged(G[free], left, x[free], int(k - ones.sum())) if k < len(G) else None
        if found is None:  # at last among all rows, where HiGHS decides
            found, at_least = _solved(G[free], left, deadline)
        if found is not None:
            kept = ones.copy()
            kept[free] = found
            best = kept if best is None or kept.sum() < best.sum() else best
        bound = max(bound, min(at_least + ones.sum(), k + 1 if k < len(G) else np.inf))
        if best is not None and best.sum() <= bound:
            break
    return best, bound


def _relaxed(G, need, deadline):
    """The linear relaxation: a lower bound of the size, what each row costs beside it (m,), and its solution x (m,).

    For any y >= 0 a set S that has what is needed has |S| >= y.need + sum_{a in S} (1 - y.G_a): the bound, infinite
    where no x is feasible, does not rest on the solver's tolerances. A cost (1 - y.G_a) of more than what is left from
    the bound to k excludes the row from all sets of at most k rows; one below minus that is in all of them.
    """
    options = {"time_limit": deadline - time.perf_counter()}
    found = linprog(np.ones(len(G)), A_ub=-G.T, b_ub=-need, bounds=(0, 1), options=options)
    if found.status == 2:
        return np.inf, None, None
    y = np.zeros(len(need)) if found.x is None else np.maximum(-found.ineqlin.marginals, 0.0)
    costs = 1 - G @ y
    return y @ need + np.minimum(costs, 0.0).sum(), costs, np.zeros(len(G)) if found.x is None else found.x


def _exchanged(G, need, x, size):
    """`size` rows of G with a sum of at least need, from the largest x on by the best exchanges: bits (m,), or None."""
    if not 0 <= size <= len(G):
        return None
    bits = (-x).argsort(kind="stable").argsort() < size
    before = np.inf
    while (missing := np.maximum(need - G[bits].sum(0), 0.0).sum()) < before:
        if missing == 0:
            return bits
        before, out, into = missing, np.flatnonzero(bits), np.flatnonzero(~bits)
        if not len(out) or not len(into):
            break
        short = need - G[bits].sum(0) + G[out, None] - G[into]  # (size, m - size, R)
        i, j = np.unravel_index(np.maximum(short, 0.0).sum(2).argmin(), short.shape[:2])
        bits[out[i]], bits[into[j]] = False, True
    return None


@contextmanager
def _no_lines():
    """Where it repairs a solution that rounding spoilt, HiGHS prints a line, past sys.stdout: not into notebooks."""
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _solved(G, need, deadline):
    """The fewest rows by HiGHS: bits (m,) or None, and a lower bound of their number, infinite if no rows have it."""
    if not len(G):
        return (np.zeros(0, bool), 0.0) if (need <= 0).all() else (None, np.inf)
    at_least, rows = 0.0, [LinearConstraint(G.T, need, np.inf)]
    while (seconds := deadline - time.perf_counter()) > 0:
        options = {"mip_rel_gap": 0.0, "time_limit": seconds, "presolve": False}  # the costs have done its work
        with _no_lines():
            found = milp(np.ones(len(G)), constraints=rows, integrality=1, bounds=Bounds(0, 1), options=options)
        if found.status == 2:
            return None, np.inf
        if found.mip_dual_bound is not None:
            at_least = max(at_least, np.ceil(found.mip_dual_bound - _FEASIBLE))
        if found.x is None:
            break
        bits = found.x > 0.5
        if (G[bits].sum(0) >= need).all():
            return bits, at_least
        # it violates a row by rounding: not this set again
        rows.append(LinearConstraint(np.where(bits, 1.0, -1.0), ub=bits.sum() - 1))
    return None, at_least


def smallest_necessary(classifier: LinearClassifier, *, among=None) -> tuple[np.ndarray, np.ndarray]:
    """The fewest maps without which another class has a larger logit: the optimum, see the top of this file.

    among: (B, N_f) bool, the maps that may be removed; None for all  ->  selected (B, N_f) bool, sizes (B,), infinite
    (and nothing selected) where removing never loses the class. Raises ValueError for other shapes, and as
    `require_margin`.

    >>> classifier = LinearClassifier(np.array([[[3.0, 1.0], [1.0, 0.0]]]), np.array([0.0, 0.5]), np.array([0]))
    >>> smallest_necessary(classifier)  # the margin is 2.5: without the first map 0.5, without both -0.5
    (array([[ True,  True]]), array([2.]))
    """
    gains, start = relative_gains(classifier)
    allowed = allowed_maps(among, gains)[:, :, None]
    order = np.where(allowed, -gains, np.inf).argsort(axis=1, kind="stable")
    lost = np.take_along_axis(np.where(allowed, gains, 0.0), order, axis=1).cumsum(1)  # (B, N_f, R), k + 1 removed
    enough = lost > (start + gains.sum(1))[:, None] + TOLERANCE
    needed = np.where(enough.any(1), enough.argmax(1) + 1.0, np.inf)  # (B, R)
    rival = needed.argmin(1)
    size, rank = needed.min(1), order[np.arange(len(order)), :, rival].argsort(1)
    return (rank < size[:, None]) & np.isfinite(size)[:, None], size


def summary(found, n_features: int, *, n_resamples: int = 1000, seed: int = 0) -> dict:
    """Median of sizes over images with its 95 % interval, quartiles, and the share of images without any: (B,) -> dict.

    Infinite sizes, of images in which no number of maps is enough, count as n_features + 1.

    >>> summary(np.array([2.0, 2.0, 3.0, np.inf]), 16, n_resamples=9)["median"]
    2.5
    """
    found = require.array("found", np.minimum(found, n_features + 1), "B", interval="[0, inf)")

    def median(values, axis=-1):
        return np.median(values, axis=axis)

    low, high = bootstrap_interval(found, median, n_resamples=n_resamples, seed=seed, method="percentile")
    q1, middle, q3 = np.percentile(found, (25, 50, 75))
    parts = {"median": float(middle), "low": low, "high": high, "q25": float(q1), "q75": float(q3)}
    return parts | {"never": float((found > n_features).mean())}


def summaries(found: dict, n_features: int, **options) -> list[dict]:
    """A row for each method, its name and the `summary` of its sizes: {method: (B,)}, options of `summary`.

    >>> summaries({"top k": np.array([2.0, 3.0])}, 16, n_resamples=9)[0]["median"]
    2.5
    """
    return [{"method": method} | summary(size, n_features, **options) for method, size in found.items()]
