"""Exactly k maps of every image, chosen in several ways, and what they carry of the class."""

import warnings

import numpy as np
import pandas as pd

from ..conventions import HEADLINE
from ..qubo.feature_selection import Problem
from ..solvers import baselines
from ..solvers.by_name import solve_all
from .carried import LinearClassifier
from .map_subsets import compared, mean_cosines

CHOICES = ("QUBO", "top k", "random k", "MMR", "contribution", "reversed", "lasso")  # the order of rows


def most_redundant(
    problems: list[Problem], k: int, *, beta=HEADLINE.beta, pair_sum=HEADLINE.pair_sum, desc=None
) -> np.ndarray:
    """k maps by the reversed objective, as the exact solver's first descent finds them, without a proof: (B, N_f) bool.

    >>> J = [[1.0, 0.9, 0.1], [0.9, 1.0, 0.1], [0.1, 0.1, 1.0]]
    >>> most_redundant([Problem([0, 1, 2], [-0.9, -0.9, -1.0], J, 3)], 2, beta=0.5)
    array([[ True,  True, False]])
    """
    backwards = [problem.reversed() for problem in problems]
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # that nothing is proven
        selected, _ = solve_all(
            backwards, "exact", beta=beta, pair_sum=pair_sum, desc=desc or "most redundant", size=k, time_limit=0.0
        )
    return selected


def lasso_ranks(activation, logits, target) -> np.ndarray:
    """Order in which maps enter an L1 fit of the logit of each image's class on the maps' mean activations.

    activation: (B, N_f); logits: (B, C); target: (B,) classes. Each class is fitted on all images
    ->  (B, N_f) rank, N_f for maps that never enter; see `baselines.lasso_order`.

    >>> activation = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    >>> logits = activation @ [[1.0, 2.0], [2.0, 1.0], [-1.0, -1.0]]
    >>> lasso_ranks(activation, logits, [0, 1, 1, 0])
    array([[1, 0, 3],
           [0, 1, 3],
           [0, 1, 3],
           [1, 0, 3]])
    """
    of_class = {c: baselines.lasso_order(activation, logits[:, c]) for c in np.unique(target)}
    return np.array([of_class[c] for c in target])


def choices(problems: list[Problem], k: int, importance, activation, ranks, *, beta=HEADLINE.beta, seed=0) -> dict:
    """k candidates of every image, chosen without a solver: importance, activation, ranks of `lasso_ranks` (B, N_f).

    ->  {name: (B, N_f) bool}: the top k by importance, k at random, maximal marginal relevance, the top k by
    contribution (importance times mean activation), and the first k to enter the L1 fit, where its path has as many
    candidates for every image.

    >>> problem = Problem([0, 1], [-1.0, -0.5], [[1.0, 0.0], [0.0, 1.0]], 3)
    >>> found = choices([problem], 1, np.array([[2.0, 1.0, -1.0]]), np.array([[1.0, 3.0, 9.0]]), np.array([[3, 0, 1]]))
    >>> {name: found[name].nonzero()[1].tolist() for name in ("top k", "contribution", "lasso")}
    {'top k': [0], 'contribution': [1], 'lasso': [1]}
    """
    size = np.full(len(problems), k)
    chosen = {
        "top k": baselines.top_k(importance, size),
        "random k": baselines.random_k(importance, size, seed=seed),
        "MMR": baselines.maximal_marginal_relevance(problems, size, trade_off=beta),
        "contribution": baselines.top_k(importance * activation, size),
    }
    on_path = ((ranks < ranks.shape[1]) & (importance > 0)).sum(1)
    if k <= on_path.min():
        chosen["lasso"] = baselines.first_k(importance, size, ranks)
    return chosen


def scores(
    chosen: dict, classifier: LinearClassifier, activation, redundancy, *, n_resamples=1000, seed=0
) -> pd.DataFrame:
    """What selections of k maps carry: {name in CHOICES: (B, N_f) bool}, with "QUBO", "top k", "random k"  ->  rows.

    activation: (B, N_f) mean of each map; redundancy: (B, N_f, N_f) cosines. Columns selection, k, mean_activation (of
    the selected maps), mean_cosine, in_common_with_qubo (share of the maps), and those of `map_subsets.compared`: the
    measures of the class with only these maps, and the differences minus_top_k and minus_random.

    >>> chosen = {"QUBO": np.array([[True, False]] * 2), "top k": np.array([[False, True]] * 2)}
    >>> classifier = LinearClassifier(np.array([[[np.log(3), 0.0], [0.0, 0.0]]] * 2), np.zeros(2), np.array([0, 0]))
    >>> table = scores(chosen | {"random k": chosen["QUBO"]}, classifier, np.array([[1.0, 5.0]] * 2), [np.eye(2)] * 2)
    >>> table[["selection", "probability", "argmax", "probability_minus_top_k", "mean_activation"]].values.tolist()
    [['QUBO', 0.75, 1.0, 0.25, 1.0], ['top k', 0.5, 0.0, 0.0, 5.0], ['random k', 0.75, 1.0, 0.25, 1.0]]
    """
    measured = {name: classifier.measures(chosen[name]) for name in sorted(chosen, key=CHOICES.index)}
    rows = compared(measured, {"top_k": "top k", "random": "random k"}, n_resamples=n_resamples, seed=seed)
    for row in rows:
        selected = chosen[row["selection"]]
        row["k"] = k = int(selected[0].sum())
        row["mean_activation"] = np.mean([of_maps[bits].mean() for of_maps, bits in zip(activation, selected)])
        row["mean_cosine"] = np.mean(mean_cosines(redundancy, selected))
        row["in_common_with_qubo"] = (selected & chosen["QUBO"]).sum(1).mean() / k
    return pd.DataFrame(rows)
