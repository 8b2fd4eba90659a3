"""What selected maps carry: the class probability with exactly these maps, or without them, and their likeness."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .. import require
from ..cnn import feature_maps
from ..conventions import HEADLINE
from ..intervals import mean_with_interval
from ..qubo import binary, landscape
from ..qubo.feature_selection import Problem
from ..solvers import baselines
from .class_overlap import mean_overlap
from .map_subsets import best_subset_scores, mean_cosines, subset_scores

TESTS = ("kept", "removed")


@dataclass(frozen=True)
class LinearClassifier:
    """A classifier on maps taken after the block, where it is linear: what every map of B images adds to the logits.

    added: (B, N_f, C) of `feature_maps.contributions`; bias: (C,); target: (B,), the classes explained.

    >>> classifier = LinearClassifier(np.array([[[np.log(3), 0.0], [0.0, 5.0]]]), np.zeros(2), np.array([0]))
    >>> classifier.probability(np.array([[True, False]]), "kept").round(9)  # 3 / (3 + 1)
    array([0.75])
    >>> classifier.most_added(np.array([1]))
    array([[ True, False]])
    """

    added: np.ndarray
    bias: np.ndarray
    target: np.ndarray

    @classmethod
    def of_maps(cls, maps, weight, bias, target=None):
        """From maps (B, N_f, H, W) and the classifier's weight and bias; target: None for the predicted classes."""
        added = feature_maps.contributions(maps, weight)
        return cls(added, bias, (added.sum(1) + bias).argmax(1) if target is None else target)

    @property
    def logits(self):
        """Logits of the whole images: (B, C)."""
        return self.added.sum(1) + self.bias

    def probability(self, selected, test="kept"):
        """Probability of the class explained with exactly the selected maps, or (test "removed") without them: (B,)."""
        require.choice("test", test, TESTS)
        return subset_scores(self.added, self.bias, self.target, selected if test == "kept" else ~selected)

    def most_added(self, k):
        """The k maps that add most to the class logit of their image: (B,) or a number  ->  (B, N_f) bool."""
        to_class = self.added[np.arange(len(self.added)), :, self.target]  # (B, N_f)
        return (-to_class).argsort(1).argsort(1) < np.reshape(k, (-1, 1))

    def best_subsets(self, test="kept"):
        """Best probability that any subset of each size reaches, by exhaustive search: (B, N_f + 1)."""
        require.choice("test", test, TESTS)
        return best_subset_scores(self.added, self.bias, self.target, test == "kept")


def causal_test(
    classifier: LinearClassifier, selections: Mapping[str, np.ndarray], *, n_resamples: int = 1000, seed=0
) -> list[dict]:
    """Class probability with exactly the maps of each selection, and without them, beside the first selection.

    selections: {name: (B, N_f) bool}, the optimum first  ->  a row for each selection and test: probability with its
    95 % interval over images, minus_optimum with that of the paired difference, and k, the optimum's mean size.

    >>> classifier = LinearClassifier(np.array([[[np.log(3), 0.0], [0.0, 5.0]]] * 2), np.zeros(2), np.array([0, 0]))
    >>> first = np.array([[True, False]] * 2)
    >>> rows = causal_test(classifier, {"optimum": first, "other": ~first}, n_resamples=5)
    >>> [(row["selection"], row["test"], round(row["probability"], 3)) for row in rows]  # 3/4, 1 / (1 + e^5)
    [('optimum', 'kept', 0.75), ('optimum', 'removed', 0.007), ('other', 'kept', 0.007), ('other', 'removed', 0.75)]
    """
    rows, options = [], {"n_resamples": n_resamples, "seed": seed}
    optimum = next(iter(selections.values()))
    for name, selected in selections.items():
        for test in TESTS:
            probability = classifier.probability(selected, test)
            found = mean_with_interval(probability, **options)
            difference = mean_with_interval(probability - classifier.probability(optimum, test), **options)
            rows.append(
                {
                    "selection": name,
                    "test": test,
                    "probability": found["value"],
                    "low": found["low"],
                    "high": found["high"],
                    "minus_optimum": difference["value"],
                    "difference_low": difference["low"],
                    "difference_high": difference["high"],
                    "k": optimum.sum(1).mean(),
                }
            )
    return rows


def likeness(
    cosines: np.ndarray, selections: Mapping[str, np.ndarray], *, n_resamples: int = 1000, seed=0
) -> list[dict]:
    """Mean cosine among the maps of each selection, and minus that among the candidates, paired over images.

    cosines: (B, N_f, N_f); selections: {name: (B, N_f) bool}, "candidates" among them. Only images count whose first
    selection has two maps or more  ->  a row for each: mean_cosine, low, high, and, but for the candidates,
    minus_candidates, difference_low, difference_high.

    >>> cosines = np.array([[[1.0, 0.2, 0.4], [0.2, 1.0, 0.6], [0.4, 0.6, 1.0]]] * 2)
    >>> pair, every = np.array([[False, True, True]] * 2), np.ones((2, 3), bool)
    >>> first, second = likeness(cosines, {"exact": pair, "candidates": every}, n_resamples=5)
    >>> first["mean_cosine"], round(second["mean_cosine"], 9), round(first["minus_candidates"], 9)
    (0.6, 0.4, 0.2)
    """
    rows, options = [], {"n_resamples": n_resamples, "seed": seed}
    enough = next(iter(selections.values())).sum(1) >= 2
    of_candidates = mean_cosines(cosines[enough], selections["candidates"][enough])
    for name, selected in selections.items():
        values = mean_cosines(cosines[enough], selected[enough])
        found = mean_with_interval(values, **options)
        rows.append({"selection": name, "mean_cosine": found["value"], "low": found["low"], "high": found["high"]})
        if name != "candidates":
            found = mean_with_interval(values - of_candidates, **options)
            found = {
                "minus_candidates": found["value"],
                "difference_low": found["low"],
                "difference_high": found["high"],
            }
            rows[-1] |= found
    return rows


def silent_maps(maps: np.ndarray, importance: np.ndarray, *, share: float = 0.1) -> np.ndarray:
    """Maps of almost no activation: norm below a share of the median norm of the image's candidates.

    maps: (B, N_f, H, W); importance: (B, N_f)  ->  (B, N_f) bool.

    >>> silent_maps(np.array([[[[1.0]], [[0.0]], [[2.0]]]]), np.array([[1.0, 1.0, 1.0]]))
    array([[False,  True, False]])
    """
    norm = np.linalg.norm(maps.astype(np.float32), axis=(2, 3))  # (B, N_f)
    of_candidates = np.where(importance > 0, norm, np.nan)
    return norm < share * np.nanmedian(of_candidates, axis=1, keepdims=True)


def optima_by_size(
    problems: Sequence[Problem], largest: int, *, beta: float = HEADLINE.beta, pair_sum: str = HEADLINE.pair_sum
) -> np.ndarray:
    """The optimum of exactly k maps of every image, for k from 0 on, from all energies: (largest + 1, B, N_f) bool.

    An image with fewer than k candidates has no map there.

    >>> problem = Problem(np.array([0, 2]), np.array([-1.0, -0.5]), np.eye(2), 3)
    >>> optima_by_size([problem], 3)[:, 0].astype(int)
    array([[0, 0, 0],
           [1, 0, 0],
           [1, 0, 1],
           [0, 0, 0]])
    """
    optima = np.zeros((largest + 1, len(problems), problems[0].n_features), bool)
    for i, problem in enumerate(problems):
        best = landscape.best_of_size(binary.energies(problem.bqm(beta, pair_sum)))[: largest + 1]
        for k, bits in enumerate(binary.bits(best, problem.d)):
            optima[k, i] = problem.selected(bits)
    return optima


def probability_by_size(
    classifier: LinearClassifier,
    problems: Sequence[Problem],
    importance: np.ndarray,
    largest: int,
    *,
    beta: float = HEADLINE.beta,
    pair_sum: str = HEADLINE.pair_sum,
    n_resamples: int = 1000,
    seed=0,
) -> list[dict]:
    """Class probability with exactly k maps kept or removed, k from 1 to `largest`, chosen in five ways.

    The QUBO's optimum of that size ("exact"), the "top_k", the maps that add most to the logit ("most added"),
    "random_k", and the "best subset" that exists; importance: (B, N_f). Of the images with k candidates or more
    ->  a row for each k, test and way: probability with its 95 % interval over images, and images, their number.
    """
    require.whole("largest", largest, 1, importance.shape[1])
    rows, sizes = [], np.array([problem.d for problem in problems])
    exact = optima_by_size(problems, largest, beta=beta, pair_sum=pair_sum)
    top_k = optima_by_size(problems, largest, beta=1.0, pair_sum=pair_sum)
    best = {test: classifier.best_subsets(test) for test in TESTS}
    for k in range(1, largest + 1):
        enough = sizes >= k
        selections = {
            "exact": exact[k],
            "top_k": top_k[k],
            "most added": classifier.most_added(k),
            "random_k": baselines.random_k(importance, np.where(enough, k, 0), seed=seed),
        }
        for test in TESTS:
            scores = {name: classifier.probability(bits, test) for name, bits in selections.items()}
            for name, values in (scores | {"best subset": best[test][:, k]}).items():
                found = mean_with_interval(values[enough], n_resamples=n_resamples, seed=seed)
                row = {"k": k, "test": test, "selection": name, "probability": found["value"]}
                rows.append(row | {"low": found["low"], "high": found["high"], "images": enough.sum()})
    return rows


def trade_off_at_size(
    classifier: LinearClassifier,
    problems: Sequence[Problem],
    labels: np.ndarray,
    betas: Sequence[float],
    sizes: Sequence[int] = (2, 3, 4),
    *,
    pair_sum: str = HEADLINE.pair_sum,
    n_resamples: int = 1000,
    seed=0,
) -> list[dict]:
    """What a smaller beta, more diversity, does at equal size: the QUBO's optimum of k maps beside the top k.

    labels: (B,), of the overlaps. Of the images with k candidates or more  ->  a row for each k, beta and test:
    difference of the class probability to the top k with its 95 % interval, mean overlap of both, and same_as_top_k.
    """
    rows, candidates = [], np.array([problem.d for problem in problems])
    optima = {beta: optima_by_size(problems, max(sizes), beta=beta, pair_sum=pair_sum) for beta in {*betas, 1.0}}
    for k in sizes:
        enough, top_k = candidates >= k, optima[1.0][k]
        for beta in betas:
            selected = optima[beta][k]
            shared = {
                "overlap": mean_overlap(selected[enough], labels[enough]),
                "overlap_top_k": mean_overlap(top_k[enough], labels[enough]),
                "same_as_top_k": (selected == top_k)[enough].all(1).mean(),
            }
            for test in TESTS:
                difference = classifier.probability(selected, test) - classifier.probability(top_k, test)
                found = mean_with_interval(difference[enough], n_resamples=n_resamples, seed=seed)
                row = {"k": k, "beta": beta, "test": test, "difference": found["value"]}
                rows.append(row | {"low": found["low"], "high": found["high"]} | shared)
    return rows
