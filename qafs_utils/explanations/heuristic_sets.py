"""Sets of maps that are enough for a class without being the smallest: what other methods need, beside the proof."""

from functools import partial

import numpy as np
from joblib import Parallel, delayed

from .. import require
from ..conventions import HEADLINE
from ..qubo.feature_selection import Problem, require_problems
from ..solvers.branch_and_bound import optimum
from .carried import LinearClassifier
from .sufficient import (
    allowed_maps,
    reached_in_order,
    relative_gains,
    relative_margins,
    require_margin,
    sizes,
    smallest_sufficient,
    threshold,
)

_SCAN = 8  # steps in k at which the QUBO of many candidates is looked at first
_NEAREST = 0.0005  # of 1 that a raised beta comes before it is 1


def first_enough(classifier: LinearClassifier, score, share: float, *, among=None, scale_free=False) -> np.ndarray:
    """Maps in the order of a score, the largest first, until they keep the share: (B, N_f)  ->  (B, N_f) bool.

    among: (B, N_f) bool, the maps that may be taken; all of these are selected where no number of them is enough.
    scale_free: the share is one of the margin over the spread (`sufficient.relative_margins`).
    Raises as `sufficient.smallest_sufficient`.

    >>> classifier = LinearClassifier(np.array([[[3.0, 1.0], [1.0, 0.0], [0.5, 0.0]]]), np.zeros(2), np.array([0]))
    >>> first_enough(classifier, [[0.2, 0.9, 0.1]], 0.5)
    array([[ True,  True, False]])
    """
    require_margin(classifier)
    among, least = allowed_maps(among, classifier.added), threshold(share)
    score = require.array("score", score, "B N_f", dict(zip(("B", "N_f"), among.shape)))
    order = np.where(among, -score, np.inf).argsort(axis=1, kind="stable")
    enough = reached_in_order(classifier, order, among, scale_free=scale_free) >= least  # (B, N_f + 1)
    size = np.where(enough.any(1), enough.argmax(1), among.sum(1))
    return order.argsort(1) < size[:, None]


def greedy(classifier: LinearClassifier, share: float, *, among=None) -> np.ndarray:
    """Maps one by one, each of which leaves the least missing, summed over the rivals: (B, N_f) bool.

    The greedy rule of covering programs (Wolsey, Combinatorica 2, 385, 1982). It stops where the share is kept, or no
    map is left. Arguments and errors: `first_enough`.

    >>> classifier = LinearClassifier(np.array([[[3.0, 1.0], [1.0, 0.0], [0.5, 0.0]]]), np.zeros(2), np.array([0]))
    >>> greedy(classifier, 0.8)  # 2 + 1 of 3.5
    array([[ True,  True, False]])
    """
    gains, start = relative_gains(classifier)
    left, least = allowed_maps(among, gains).copy(), threshold(share)
    selected, reached = np.zeros(left.shape, bool), start.copy()
    while len(images := np.flatnonzero((reached < least).any(1) & left.any(1))):
        missing = np.maximum(least - reached[images, None] - gains[images], 0.0).sum(2)  # with each map more
        best = np.where(left[images], missing, np.inf).argmin(1)
        selected[images, best], left[images, best] = True, False
        reached[images] += gains[images, best]
    return selected


def one_minimal(classifier: LinearClassifier, share: float, *, last=None) -> np.ndarray:
    """A set that keeps the share and from which no single map can be taken: DD-CAM's idea  ->  (B, N_f) bool.

    Delta debugging (Zeller and Hildebrandt [zeller2002simplifying]) over single maps, which is how
    DD-CAM (Khadka et al. [khadka2026ddcam]) treats heads in which maps do not interact: a single map that is enough
    ends it; else the first map that can go goes, until none can. DD-CAM keeps the predicted class, a share of 0.
    last: (B, N_f), maps of small values are tried first; None: in the order of their numbers. Raises as
    `sufficient.keeps`.

    >>> added = np.array([[[1.0, 0.0], [1.0, 0.0], [2.0, 0.0], [0.0, 1.0]]])
    >>> one_minimal(LinearClassifier(added, np.zeros(2), np.array([0])), 0.9)  # the margin is 3: it needs 2.7
    array([[False,  True,  True, False]])
    """
    gains, start = relative_gains(classifier)
    last = np.tile(np.arange(gains.shape[1]), (len(gains), 1)) if last is None else last
    last = require.array("last", last, "B N_f", dict(zip(("B", "N_f"), gains.shape)))
    return np.array([_one_minimal(*of_image, threshold(share)) for of_image in zip(gains, start, last)])


def _one_minimal(G, start, last, least):
    kept, order = np.zeros(len(G), bool), last.argsort(kind="stable")
    if (start >= least).all():
        return kept
    alone = (start + G[order] >= least).all(1)
    if alone.any():
        kept[order[alone.argmax()]] = True
        return kept
    reached = start + G.sum(0)
    while True:
        can_go = (reached - G[order] >= least).all(1)
        if not can_go.any():
            kept[order] = True
            return kept
        first = can_go.argmax()
        reached, order = reached - G[order[first]], np.delete(order, first)


def _keeps_one(classifier, share, scale_free, selected):
    """Whether a selection (N_f,) keeps the share, of a classifier of one image."""
    return relative_margins(classifier, selected[None], scale_free=scale_free)[0] >= threshold(share)


def qubo_enough(
    classifier: LinearClassifier,
    problems: list[Problem],
    share: float,
    *,
    by: str = "size",
    beta: float = HEADLINE.beta,
    pair_sum: str = HEADLINE.pair_sum,
    at_least=None,
    scale_free: bool = False,
    n_jobs: int | None = None,
    time_limit: float = 60.0,
) -> np.ndarray:
    """The QUBO's first optimum that keeps the share, proven; all candidates where none does: B problems  ->  (B, N_f).

    by "size": the optima of exactly k maps at beta. All sizes are tried in turn, beyond 64 candidates 0, 1, 2, 4 and
    every eighth, and then those after the last that failed: a smaller k that is enough while larger ones are not may be
    missed there. by "beta": the optima of free size from beta on, where 1 - beta shrinks by a factor of about 0.7 until
    the share is kept, or beta is 1, where all candidates are optimal. Four bisections in the logarithm of 1 - beta
    leave it known to 3 % (below 0.0005 not at all). A smaller beta whose optimum is enough while larger ones' are not
    may be missed.

    at_least: (B,), sizes below which no set of the candidates keeps the share, infinite if none does, where this is
    known: what cannot be enough is not solved. scale_free: as `first_enough`. Raises RuntimeError if an optimum is not
    proven within time_limit, ValueError for another `by`, and as `sufficient.smallest_sufficient` and `problem.bqm`.

    >>> classifier = LinearClassifier(np.array([[[3.0, 1.0], [1.0, 0.0]]]), np.zeros(2), np.array([0]))
    >>> qubo_enough(classifier, [Problem([0, 1], [-0.5, -1.0], np.eye(2), 2)], 0.5)  # map 1 alone has 1 of 3
    array([[ True,  True]])
    >>> alike = [Problem([0, 1], [-0.5, -1.0], np.ones((2, 2)), 2)]  # at a beta of 0.7 map 1 alone is the optimum
    >>> [qubo_enough(classifier, alike, share, by="beta").tolist() for share in (0.3, 0.5)]
    [[[False, True]], [[True, True]]]
    """
    function = {"size": _of_size, "beta": _at_beta}[require.choice("by", by, ("size", "beta"))]
    given = require.number("beta", beta, "[0, 1]"), pair_sum, require.number("time_limit", time_limit, "[0, inf]")
    require_margin(classifier)
    threshold(share)
    problems, n_features = require_problems(problems)
    shape = np.shape(classifier.added)[:2]
    require.shape("problems", (len(problems), n_features), "B N_f", dict(zip(("B", "N_f"), shape)))
    at_least = np.zeros(shape[0]) if at_least is None else at_least
    at_least = require.array("at_least", at_least, "B", {"B": shape[0]}, "[0, inf]")
    jobs = []
    for i, (problem, fewest) in enumerate(zip(problems, at_least)):
        of_image = LinearClassifier(classifier.added[i : i + 1], classifier.bias, classifier.target[i : i + 1])
        enough = partial(_keeps_one, of_image, share, scale_free)
        jobs.append(delayed(function)(problem, enough, fewest, *given))
    return np.array(Parallel(n_jobs=n_jobs)(jobs), bool).reshape(shape)


def _proven(bqm, limit, what, size=None):
    bits, proven = optimum(bqm, size=size, time_limit=limit)
    if not proven:
        raise RuntimeError(f"an optimum {what} is not proven: give a longer time_limit")
    return bits


def _of_size(problem, enough, fewest, beta, pair_sum, limit):
    """By size; enough: tells if a selection (N_f,) is."""
    bqm, step = problem.bqm(beta, pair_sum), 1 if problem.d <= 8 * _SCAN else _SCAN

    def first(some):
        for k in some:
            if k >= fewest:
                selected = problem.selected(_proven(bqm, limit, f"of {k} maps", size=k))
                if enough(selected):
                    return k, selected
        return None

    tried = [0, *(k for k in (1, 2, 4) if k < step), *range(step, problem.d, step), problem.d]
    found = first(tried)
    if found is None:
        return problem.selected(np.ones(problem.d, bool))
    failed = max((k for k in tried if k < found[0]), default=found[0])
    smaller = first(range(failed + 1, found[0]))
    return (smaller or found)[1]


def _at_beta(problem, enough, fewest, beta, pair_sum, limit):
    """By beta; enough: tells if a selection (N_f,) is."""

    def of(below):
        return problem.selected(_proven(problem.bqm(1 - below, pair_sum), limit, f"at beta = {1 - below:g}"))

    failed, most = None, max(1 - beta, _NEAREST)
    steps = 1 + int(np.ceil(2 * np.log2(most / _NEAREST)))
    for below in np.geomspace(most, _NEAREST, steps) if beta < 1 and fewest <= problem.d else ():
        found = of(below)
        if enough(found):
            break
        failed = below
    else:
        return problem.selected(np.ones(problem.d, bool))
    for _ in range(4 if failed else 0):
        middle = float(np.sqrt(below * failed))
        between = of(middle)
        if enough(between):
            below, found = middle, between
        else:
            failed = middle
    return found


def needed(
    classifier: LinearClassifier,
    problems: list[Problem],
    importance,
    share: float,
    *,
    betas=(HEADLINE.beta,),
    pair_sum: str = HEADLINE.pair_sum,
    seed: int = 0,
    n_jobs: int | None = None,
    time_limit: float = 60.0,
) -> dict[str, np.ndarray]:
    """Number of maps that each method needs to keep a share of the margin: {key of `plots.sufficient_sets`: (B,)}.

    importance: (B, N_f), positive for candidates. The smallest set of all maps and of the candidates (proven, or
    RuntimeError), the greedy one, 1-minimal ones of maps in the order of their numbers and of contributions; then maps
    in an order: by contribution to the class logit (of all maps), by importance, as the QUBO's optimum of each size for
    every beta, and at random (of the candidates); and the QUBO's optimum of free size from the least of betas on
    (`qubo_enough`). Infinite where no number of maps is enough.

    >>> classifier = LinearClassifier(np.array([[[3.0, 1.0], [1.0, 0.0]]]), np.zeros(2), np.array([0]))
    >>> problems = [Problem([0, 1], [-0.5, -1.0], np.eye(2), 2)]
    >>> found = needed(classifier, problems, [[0.5, 1.0]], 0.5)
    >>> {key: float(size[0]) for key, size in found.items() if key in ("smallest", "top k", "QUBO 0.7")}
    {'smallest': 1.0, 'top k': 2.0, 'QUBO 0.7': 2.0}
    """
    importance = require.array("importance", importance, "B N_f")
    found, limits = {}, {"time_limit": time_limit, "n_jobs": n_jobs}
    for key, among in (("smallest", None), ("smallest candidates", importance > 0)):
        _, table = smallest_sufficient(classifier, share, among=among, **limits)
        if (table.status == "open").any():
            raise RuntimeError(
                f"{(table.status == 'open').sum()} smallest sets are not proven: give a longer time_limit"
            )
        found[key] = table["size"].to_numpy()
    selections = {
        "greedy": greedy(classifier, share),
        "one-minimal": one_minimal(classifier, share),
        "one-minimal ordered": one_minimal(classifier, share, last=_to_class(classifier)),
    }
    found |= {key: sizes(classifier, selected, share) for key, selected in selections.items()}
    options = {"betas": betas, "pair_sum": pair_sum, "seed": seed, "at_least": found["smallest candidates"]}
    return found | in_order(classifier, problems, importance, share, **options, **limits)


def in_order(
    classifier: LinearClassifier,
    problems: list[Problem],
    importance,
    share: float,
    *,
    betas=(HEADLINE.beta,),
    pair_sum: str = HEADLINE.pair_sum,
    at_least=None,
    scale_free: bool = False,
    seed: int = 0,
    n_jobs: int | None = None,
    time_limit: float = 60.0,
) -> dict[str, np.ndarray]:
    """`needed` of the methods that give sets of every size, or of every beta: {key of `plots.sufficient_sets`: (B,)}.

    scale_free: they have to keep the share of the margin over the spread of the logits, see `first_enough`.
    at_least: as for `qubo_enough`.

    >>> added = np.array([[[3.0, 1.0, 0.0], [5.0, 1.0, 2.0]]])
    >>> classifier = LinearClassifier(added, np.zeros(3), np.array([0]))
    >>> given = classifier, [Problem([0, 1], [-1.0, -0.5], np.eye(2), 2)], [[1.0, 0.5]], 0.7
    >>> [float(in_order(*given, scale_free=free)["top k"][0]) for free in (False, True)]  # the first has 0.33 or 0.76
    [2.0, 1.0]
    """
    importance = require.array("importance", importance, "B N_f")
    free = {"scale_free": scale_free}
    candidates, order = {"among": importance > 0} | free, np.random.default_rng(seed).random(importance.shape)
    options = {"pair_sum": pair_sum, "n_jobs": n_jobs, "time_limit": time_limit, "at_least": at_least} | free
    selections = {
        "contribution": first_enough(classifier, _to_class(classifier), share, **free),
        "top k": first_enough(classifier, importance, share, **candidates),
        **{f"QUBO {beta:g}": qubo_enough(classifier, problems, share, beta=beta, **options) for beta in betas},
        "QUBO raised": qubo_enough(classifier, problems, share, by="beta", beta=min(betas), **options),
        "random k": first_enough(classifier, order, share, **candidates),
    }
    return {key: sizes(classifier, selected, share, **free) for key, selected in selections.items()}


def _to_class(classifier):
    """What every map adds to the logit of the class: (B, N_f)."""
    return np.array([added[:, c] for added, c in zip(classifier.added, classifier.target)])
