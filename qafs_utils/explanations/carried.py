"""What selected maps carry: what the classifier says with exactly these maps, or without them, and their likeness."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .. import require
from ..cnn import feature_maps
from ..conventions import HEADLINE
from ..intervals import mean_with_interval
from ..qubo import binary, feature_selection, landscape
from ..qubo.feature_selection import Problem
from ..solvers import baselines, by_name
from .class_overlap import mean_overlap
from .map_subsets import best_subset_measures, class_measures, compared, mean_cosines, subset_logits

TESTS = ("kept", "removed")


@dataclass(frozen=True)
class LinearClassifier:
    """A classifier on maps taken after the block, where it is linear: what every map of B images adds to the logits.

    added: (B, N_f, C) of `feature_maps.contributions`; bias: (C,); target: (B,), the classes explained.

    >>> classifier = LinearClassifier(np.array([[[np.log(3), 0.0], [0.0, 5.0]]]), np.zeros(2), np.array([0]))
    >>> classifier.measures(np.array([[True, False]]), "kept")["probability"].round(9)  # 3 / (3 + 1)
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

    def measures(self, selected, test="kept"):
        """`map_subsets.class_measures` with exactly the selected maps, or (test "removed") without them: (B,) each."""
        require.choice("test", test, TESTS)
        logits = subset_logits(self.added, self.bias, selected if test == "kept" else ~selected)
        return class_measures(logits, self.target, self.logits, self.bias)

    def most_added(self, k):
        """The k maps that add most to the class logit of their image: (B,) or a number  ->  (B, N_f) bool."""
        to_class = self.added[np.arange(len(self.added)), :, self.target]  # (B, N_f)
        return (-to_class).argsort(1).argsort(1) < np.reshape(k, (-1, 1))

    def best_subsets(self, test="kept"):
        """The best of each measure that any subset of each size reaches, by exhaustive search: (B, N_f + 1) each."""
        require.choice("test", test, TESTS)
        return best_subset_measures(self.added, self.bias, self.target, test == "kept")


def causal_test(
    classifier: LinearClassifier, selections: Mapping[str, np.ndarray], *, n_resamples: int = 1000, seed=0
) -> list[dict]:
    """The class with exactly the maps of each selection, and without them, beside the top k and random maps.

    selections: {name: (B, N_f) bool}, the optimum first, and "top_k" and "random_k" among them  ->  a row for each
    selection and test: selection, test, k (the optimum's mean size), and the columns of `map_subsets.compared`.

    >>> classifier = LinearClassifier(np.array([[[np.log(3), 0.0], [0.0, 5.0]]] * 2), np.zeros(2), np.array([0, 0]))
    >>> first = np.array([[True, False]] * 2)
    >>> rows = causal_test(classifier, {"qa": first, "top_k": first, "random_k": ~first}, n_resamples=5)
    >>> [(row["selection"], row["test"], round(row["probability"], 3)) for row in rows[::2]]  # 3/4, 1 / (1 + e^5)
    [('qa', 'kept', 0.75), ('random_k', 'kept', 0.007), ('top_k', 'removed', 0.007)]
    """
    rows, against = [], {"top_k": "top_k", "random": "random_k"}
    size = next(iter(selections.values())).sum(1).mean()
    for test in TESTS:
        measured = {name: classifier.measures(selected, test) for name, selected in selections.items()}
        for row in compared(measured, against, n_resamples=n_resamples, seed=seed):
            rows.append({"selection": row.pop("selection"), "test": test, "k": size} | row)
    return rows


def causal_test_of_heads(
    heads: Mapping[int, tuple],
    maps,
    *,
    beta=HEADLINE.beta,
    pair_sum=HEADLINE.pair_sum,
    field=HEADLINE.field,
    time_limit: float = 600.0,
    n_jobs: int | None = None,
    **options,
) -> list[dict]:
    """`causal_test` of several heads on the same maps: the QUBO's proven optimum, the top k and random candidates.

    heads: {training seed: (weight (C, N_f), bias (C,))} of classifiers on globally pooled maps; maps: (B, N_f, H, W);
    time_limit: seconds a proof; n_jobs: processes for the proofs; options: n_resamples and seed  ->  rows of
    `causal_test` with head, the training seed, and margin_whole, the mean margin with all maps. The class of an image
    is that which the head predicts; its candidates are the maps of positive weight for it. Raises ValueError for an
    optimum without proof.

    >>> maps = np.array([[[[1.0]], [[2.0]], [[0.5]]]] * 2)
    >>> rows = causal_test_of_heads({3: (np.array([[3.0, 1, 0], [0, -1, 1]]), np.zeros(2))}, maps, n_resamples=5)
    >>> rows[0]["selection"], rows[0]["head"], float(rows[0]["margin_whole"]), rows[0]["argmax"]
    ('exact', 3, 6.5, 1.0)
    """
    rows = []
    for head, (weight, bias) in heads.items():
        classifier = LinearClassifier.of_maps(maps, weight, bias)
        importance = np.asarray(weight)[classifier.target]  # but for a factor, which the field divides by
        problems = feature_selection.problems(maps, importance, field=field)
        model = {"beta": beta, "pair_sum": pair_sum, "time_limit": time_limit, "n_jobs": n_jobs}
        optimum, infos = by_name.solve_all(problems, "exact", desc=f"head {head}", **model)
        if not all(info["proven"] for info in infos):
            raise ValueError(f"an optimum of head {head} is not proven: give a longer time_limit")
        k = optimum.sum(1)
        selections = {"exact": optimum, "top_k": baselines.top_k(importance, k)}
        selections["random_k"] = baselines.random_k(importance, k, seed=options.get("seed", 0))
        whole = classifier.measures(np.ones_like(optimum))["margin"].mean()
        rows += [{"head": head, "margin_whole": whole} | row for row in causal_test(classifier, selections, **options)]
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


def measures_by_size(
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
    """The class with exactly k maps kept or removed, k from 1 to `largest`, chosen in five ways.

    The QUBO's optimum of that size ("exact"), the "top_k", the maps that add most to the logit ("most added"),
    "random_k", and the "best subset" that exists, of each measure its own; importance: (B, N_f). Of the images with k
    candidates or more  ->  a row for each k, test and way: k, test, images (their number), and the columns of
    `map_subsets.compared` beside the top k.
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
            measured = {name: classifier.measures(bits, test) for name, bits in selections.items()}
            measured["best subset"] = {name: values[:, k] for name, values in best[test].items()}
            measured = {name: _only(found, enough) for name, found in measured.items()}
            found = compared(measured, {"top_k": "top_k"}, n_resamples=n_resamples, seed=seed)
            rows += [{"k": k, "test": test, "images": enough.sum()} | row for row in found]
    return rows


def _only(measures, images):
    """The measures of some images."""
    return {name: values[images] for name, values in measures.items()}


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

    labels: (B,), of the overlaps. Of the images with k candidates or more  ->  a row for each k, beta and test: those,
    the columns of `map_subsets.compared` beside the top k, mean overlap of both, and same_as_top_k.
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
                kinds = {"exact": selected, "top_k": top_k}
                measured = {kind: _only(classifier.measures(bits, test), enough) for kind, bits in kinds.items()}
                found, _ = compared(measured, {"top_k": "top_k"}, n_resamples=n_resamples, seed=seed)
                rows.append({"k": k, "beta": beta, "test": test} | found | shared)
    return rows
