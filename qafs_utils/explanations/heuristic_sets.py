"""Sets of maps that are enough for a class without being the smallest: what other methods need, beside the proof."""

import numpy as np
from joblib import Parallel, delayed

from .. import require
from ..conventions import HEADLINE
from ..qubo.feature_selection import Problem, require_problems
from ..solvers import by_name
from .carried import LinearClassifier
from .sufficient import allowed_maps, relative_gains, sizes, smallest_sufficient, threshold

_SCAN = 8  # steps in k at which the QUBO of many candidates is looked at first


def first_enough(classifier: LinearClassifier, score, share: float, *, among=None) -> np.ndarray:
    """Maps in the order of a score, the largest first, until they keep the share: (B, N_f)  ->  (B, N_f) bool.

    among: (B, N_f) bool, the maps that may be taken; all of these are selected where no number of them is enough.
    Raises as `sufficient.smallest_sufficient`.

    >>> classifier = LinearClassifier(np.array([[[3.0, 1.0], [1.0, 0.0], [0.5, 0.0]]]), np.zeros(2), np.array([0]))
    >>> first_enough(classifier, [[0.2, 0.9, 0.1]], 0.5)
    array([[ True,  True, False]])
    """
    gains, start = relative_gains(classifier)
    among, least = allowed_maps(among, gains), threshold(share)
    score = require.array("score", score, "B N_f", dict(zip(("B", "N_f"), gains.shape)))
    order = np.where(among, -score, np.inf).argsort(axis=1, kind="stable")
    ordered = np.take_along_axis(np.where(among[:, :, None], gains, 0.0), order[:, :, None], axis=1)
    reached = start[:, None] + np.concatenate([np.zeros((len(gains), 1, gains.shape[2])), ordered.cumsum(1)], axis=1)
    enough = (reached >= least).all(2)  # (B, N_f + 1)
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


def qubo_enough(
    classifier: LinearClassifier,
    problems: list[Problem],
    share: float,
    *,
    beta: float = HEADLINE.beta,
    pair_sum: str = HEADLINE.pair_sum,
    n_jobs: int | None = None,
    time_limit: float = 60.0,
) -> np.ndarray:
    """The QUBO's optimum of exactly k maps, with the least k that keeps the share: B problems  ->  (B, N_f) bool.

    All sizes are tried in turn, beyond 64 candidates every eighth, and then those after the last that failed: a smaller
    k that is enough while larger ones are not may be missed there. All candidates where no k is enough.
    Raises as `sufficient.smallest_sufficient` and `by_name.solve_all`.

    >>> classifier = LinearClassifier(np.array([[[3.0, 1.0], [1.0, 0.0]]]), np.zeros(2), np.array([0]))
    >>> qubo_enough(classifier, [Problem([0, 1], [-0.5, -1.0], np.eye(2), 2)], 0.5)  # map 1 alone has 1 of 3
    array([[ True,  True]])
    """
    gains, start = relative_gains(classifier)
    problems, n_features = require_problems(problems)
    require.shape("problems", (len(problems), n_features), "B N_f", dict(zip(("B", "N_f"), gains.shape)))
    given = threshold(share), beta, pair_sum, require.number("time_limit", time_limit, "[0, inf]")
    jobs = (delayed(_qubo_enough)(p, G, s, *given) for p, G, s in zip(problems, gains, start))
    return np.array(Parallel(n_jobs=n_jobs)(jobs), bool).reshape(gains.shape[:2])


def _qubo_enough(problem, G, start, least, beta, pair_sum, limit):
    exact, bqm, step = by_name.solver("exact"), problem.bqm(beta, pair_sum), 1 if problem.d <= 8 * _SCAN else _SCAN

    def first(some):
        for k in some:
            sample = exact.sample(bqm, size=k, time_limit=limit).first.sample
            selected = problem.selected([sample[p] for p in range(problem.d)])
            if (start + G[selected].sum(0) >= least).all():
                return k, selected
        return None

    found = first([*range(0, problem.d, step), problem.d])
    if found is None:
        return problem.selected(np.ones(problem.d, bool))
    smaller = first(range(max(found[0] - step + 1, 0), found[0])) if step > 1 else None
    return (smaller or found)[1]


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
    every beta, and at random (of the candidates). Infinite where no number of maps is enough.

    >>> classifier = LinearClassifier(np.array([[[3.0, 1.0], [1.0, 0.0]]]), np.zeros(2), np.array([0]))
    >>> problems = [Problem([0, 1], [-0.5, -1.0], np.eye(2), 2)]
    >>> found = needed(classifier, problems, [[0.5, 1.0]], 0.5)
    >>> {key: float(size[0]) for key, size in found.items() if key in ("smallest", "top k", "QUBO 0.7")}
    {'smallest': 1.0, 'top k': 2.0, 'QUBO 0.7': 2.0}
    """
    importance = require.array("importance", importance, "B N_f")
    candidates, found = importance > 0, {}
    to_class = np.array([added[:, c] for added, c in zip(classifier.added, classifier.target)])
    for key, among in (("smallest", None), ("smallest candidates", candidates)):
        options = {"among": among, "time_limit": time_limit, "n_jobs": n_jobs}
        _, table = smallest_sufficient(classifier, share, **options)
        if (table.status == "open").any():
            raise RuntimeError(
                f"{(table.status == 'open').sum()} smallest sets are not proven: give a longer time_limit"
            )
        found[key] = table["size"].to_numpy()
    options = {"pair_sum": pair_sum, "n_jobs": n_jobs, "time_limit": time_limit}
    order = np.random.default_rng(seed).random(importance.shape)
    selections = {
        "greedy": greedy(classifier, share),
        "one-minimal": one_minimal(classifier, share),
        "one-minimal ordered": one_minimal(classifier, share, last=to_class),
        "contribution": first_enough(classifier, to_class, share),
        "top k": first_enough(classifier, importance, share, among=candidates),
        **{f"QUBO {beta:g}": qubo_enough(classifier, problems, share, beta=beta, **options) for beta in betas},
        "random k": first_enough(classifier, order, share, among=candidates),
    }
    return found | {key: sizes(classifier, selected, share) for key, selected in selections.items()}
