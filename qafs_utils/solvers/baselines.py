"""Maps chosen without a solver, to compare with: the top k, random ones, marginal relevance, L1."""

import itertools

import numpy as np

from .. import require
from ..qubo.feature_selection import require_problems

_MAPS = ": check the feature maps they come from"


def _importance(importance, sizes=None):
    return require.array("importance", importance, "B N_f", sizes, remedy=": check the feature maps it comes from")


def _require_sizes(k, candidates):
    """Numbers of maps to select, for each image whole and at most its number of candidates: both (B,)  ->  (B,) int."""
    wrong = np.flatnonzero((k < 0) | (k > candidates) | (k % 1 != 0))
    if len(wrong):
        i = wrong[0]
        whole = f"k must be a whole number between 0 and its {candidates[i]} candidates"
        raise ValueError(f"image {i}: {whole}, got {k[i]:g}")
    return k.astype(int)


def first_k(importance, k, rank) -> np.ndarray:
    """The k candidates of lowest rank, image by image: importance, rank (B, N_f), k (B,)  ->  (B, N_f) bool.

    k = 0 selects nothing. Raises ValueError for k beyond the candidates (maps of positive importance), fractions, other
    shapes, NaN and infinity.

    >>> first_k([[1.0, -1.0, 3.0]], [1], rank=[[2, 0, 1]])  # the second map is no candidate
    array([[False, False,  True]])
    """
    sizes = {}
    importance = _importance(importance, sizes)
    rank, k = require.array("rank", rank, "B N_f", sizes), require.array("k", k, "B", sizes)
    _require_sizes(k, (importance > 0).sum(1))
    order = np.where(importance > 0, rank, np.inf).argsort(axis=1, kind="stable")
    return order.argsort(axis=1) < k[:, None]


def top_k(importance, k) -> np.ndarray:
    """The k most important candidates: importance (B, N_f), k (B,)  ->  (B, N_f) bool; of equals the first map.

    No redundancy, no optimisation: the QUBO's optimum among bit-strings of k maps at beta = 1. Raises as `first_k`.

    >>> top_k([[3.0, -9.0, 5.0, 1.0]], [2])
    array([[ True, False,  True, False]])
    """
    importance = _importance(importance)
    return first_k(importance, k, -importance)


def random_k(importance, k, *, seed=0) -> np.ndarray:
    """k candidates drawn at random: importance (B, N_f), k (B,)  ->  (B, N_f) bool. Raises as `first_k`.

    >>> random_k([[3.0, -9.0, 5.0, 1.0]], [2], seed=0)
    array([[False, False,  True,  True]])
    """
    importance, rng = _importance(importance), require.generator("seed", seed)
    return first_k(importance, k, rng.random(importance.shape))


def maximal_marginal_relevance(problems, k, *, trade_off: float = 0.7) -> np.ndarray:
    """k maps one by one: each of largest trade_off * relevance - (1 - trade_off) * likeness to the maps already taken.

    Relevance is importance over the largest, likeness the largest cosine (Carbonell and Goldstein [carbonell1998mmr]).
    problems: list of B feature_selection.Problem; k: (B,)  ->  (B, N_f) bool.
    Raises ValueError for k beyond the candidates, a trade_off outside [0, 1], and as `require_problems`.

    >>> from qafs_utils.qubo.feature_selection import Problem
    >>> cosines = np.array([[1.0, 0.95, 0.0], [0.95, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> problem = Problem(np.array([0, 2, 5]), np.array([-1.0, -0.9, -0.5]), cosines, 6)
    >>> maximal_marginal_relevance([problem], [2], trade_off=0.5).nonzero()[1]  # 2 is too much like 0
    array([0, 5])
    """
    trade_off = require.number("trade_off", trade_off, "[0, 1]")
    problems, n_features = require_problems(problems)
    k = require.array("k", k, "B", {"B": len(problems)})
    sizes = _require_sizes(k, np.array([problem.d for problem in problems]))
    selected = np.zeros((len(problems), n_features), dtype=bool)
    for i, (problem, size) in enumerate(zip(problems, sizes)):
        likeness, left = np.zeros(problem.d), np.ones(problem.d, bool)
        for _ in range(size):
            score = trade_off * problem.importance - (1 - trade_off) * likeness  # (d,)
            best = np.where(left, score, -np.inf).argmax()
            left[best] = False
            likeness = np.maximum(likeness, problem.redundancy[best])
        selected[i] = problem.selected(~left)
    return selected


def lasso_order(activations, logit) -> np.ndarray:
    """Order in which maps enter an L1 fit of a class logit with weights >= 0 (Efron et al. [efron2004lars]).

    activations: (B, N_f) mean activation of every map in B images; logit: (B,) of the class
    ->  (N_f,) rank, 0 for the first map to enter, N_f for maps that never do. Maps are standardised.
    Raises ValueError for other shapes and for NaN or infinity.

    >>> activations = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    >>> lasso_order(activations, activations @ [1.0, 2.0, -1.0])  # weights >= 0: the third map never enters
    array([1, 0, 3])
    """
    sizes = {}
    X = require.array("activations", activations, "B N_f", sizes, remedy=_MAPS)
    y = require.array("logit", logit, "B", sizes, "[-1e100, 1e100]", remedy=": check the network it comes from")
    require.whole("B, the number of images,", len(y), 1)
    X = np.ldexp(X, -np.frexp(np.abs(X).max(0))[1])  # exact, and constant maps are told from those of small values
    X = X - X.mean(0)
    norm = np.linalg.norm(X, axis=0)
    X = np.divide(X, norm, out=np.zeros_like(X), where=norm > 1e-12)
    from sklearn.linear_model import lars_path  # a second to import, and few need it

    y = y - y.mean()
    y = np.ldexp(y, max(0, -np.frexp(np.abs(y).max())[1]))  # not below 1: LARS stops at 1e-7
    path = lars_path(X, y, method="lasso", positive=True)[2]
    entered = path > 0  # (N_f, steps); a map may leave and enter again
    step = np.where(entered.any(1), entered.argmax(1), path.shape[1])
    return np.where(entered.any(1), step.argsort(kind="stable").argsort(), len(path))


def shares_in_common(selected, labels, n_classes: int) -> np.ndarray:
    """Share of the pairs of images, one of each class, whose selections have a map in common.

    selected: (B, N_f) bool; labels: (B,) from 0 to n_classes - 1  ->  (n_classes, n_classes), symmetric, NaN on the
    diagonal and where a class has no image. Raises ValueError for other shapes, labels and numbers of classes.

    >>> shares_in_common(np.array([[1, 0], [1, 1], [0, 1]], dtype=bool), [0, 1, 1], 2)
    array([[nan, 0.5],
           [0.5, nan]])
    """
    sizes, n_classes = {}, require.whole("n_classes", n_classes, 1)
    selected = require.bits("selected", selected, "B N_f", sizes)
    labels = require.indices("labels", labels, "B", n_classes, sizes)
    shares = np.full((n_classes, n_classes), np.nan)
    for first, second in itertools.permutations(np.unique(labels), 2):
        one, other = selected[labels == first], selected[labels == second]
        shares[first, second] = (one[:, None] & other).any(-1).mean()
    return shares


def common_maps(selected, labels, n_classes: int, *, first=(), count: int = 2) -> list[tuple]:
    """Two images with maps in common, for several pairs of classes: the two of each pair that share most maps.

    selected: (B, N_f) bool; labels: (B,) from 0 to n_classes - 1; first: (P, 2) pairs of classes that come before the
    others, which follow from the largest share (`shares_in_common`) to the smallest
    ->  list of (i, j, common maps (N_f,) bool), i of the lower class: at most `count`, and none that shares no map.
    Raises ValueError for other shapes, labels and numbers of classes.

    >>> selected = np.array([[1, 1, 0], [0, 1, 1], [1, 1, 0]], dtype=bool)
    >>> ((i, j, common),) = common_maps(selected, [0, 1, 1], 2)
    >>> int(i), int(j), common
    (0, 2, array([ True,  True, False]))
    """
    pairs, count, shares = [], require.whole("count", count, 1), shares_in_common(selected, labels, n_classes)
    selected, labels = require.bits("selected", selected, "B N_f"), np.asarray(labels)
    before = require.indices("first", first, "P 2", n_classes) if np.size(first) else ()
    before = {(min(pair), max(pair)) for pair in before}
    sharing = [tuple(pair) for pair in np.argwhere(np.triu(shares > 0))]  # NaN is not above 0
    for one, other in sorted(sharing, key=lambda pair: (pair not in before, -shares[pair]))[:count]:
        rows, columns = np.flatnonzero(labels == one), np.flatnonzero(labels == other)
        shared = (selected[rows, None] & selected[None, columns]).sum(-1)
        i, j = np.unravel_index(shared.argmax(), shared.shape)
        pairs.append((rows[i], columns[j], selected[rows[i]] & selected[columns[j]]))
    return pairs
