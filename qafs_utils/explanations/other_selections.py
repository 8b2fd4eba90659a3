"""Exactly k maps by what is usual elsewhere, each by two qualities of a map; signed ones; one set for all images."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pandas as pd

from .. import intervals, require
from ..conventions import HEADLINE
from ..qubo import feature_selection
from ..qubo.feature_selection import Problem
from ..solvers import baselines, comparison, diverse
from .carried import LinearClassifier
from .class_overlap import mean_overlap
from .map_subsets import mean_cosines

QUALITIES = ("importance", "contribution")
SELECTIONS = ("top k", "QUBO", "greedy on -E", "MMR", "DPP", "facility location", "random k")  # the order of rows
_RANDOM_STARTS = 4


def qualities(importance, activation) -> dict[str, np.ndarray]:
    """What a map is worth, in two ways: its importance, and what it adds to the class, importance times activation.

    importance, activation (mean of a map): (B, N_f)  ->  {name: (B, N_f)}, of candidates not negative.

    >>> qualities(np.array([[2.0, -1.0]]), np.array([[0.5, 3.0]]))["contribution"]
    array([[ 1., -3.]])
    """
    return {"importance": np.asarray(importance), "contribution": np.asarray(importance) * activation}


def chosen(
    problems: Sequence[Problem],
    k: int,
    quality,
    *,
    names: Sequence[str] = SELECTIONS,
    proven: bool = True,
    beta=HEADLINE.beta,
    pair_sum=HEADLINE.pair_sum,
    seed=0,
) -> dict[str, np.ndarray]:
    """k candidates of every image by each of names: problems (B), quality (B, N_f)  ->  {name: (B, N_f) bool}.

    proven: whether the QUBO's k maps are the proven optimum; if not, the best that steepest descents find by
    exchanging one map for another, which needs no proof's time. A DPP whose kernel has a rank below k in an image is
    left out. Raises ValueError as `diverse.dpp`, and if an optimum is not proven in a minute.

    >>> J = [[1.0, 0.9, 0.1], [0.9, 1.0, 0.1], [0.1, 0.1, 1.0]]
    >>> problem, names = Problem([0, 1, 2], [-1.0, -0.9, -0.6], J, 3), ("top k", "QUBO", "DPP")
    >>> found = chosen([problem], 2, np.array([[1.0, 0.9, 0.6]]), names=names)
    >>> {name: bits[0].nonzero()[0].tolist() for name, bits in found.items()}
    {'top k': [0, 1], 'QUBO': [0, 2], 'DPP': [0, 2]}
    """
    energy, size = {"beta": beta, "pair_sum": pair_sum}, np.full(len(problems), k)
    own = [diverse.weighted(problem, row) for problem, row in zip(problems, quality)]
    candidates = np.array([problem.selected(np.ones(problem.d)) for problem in problems])
    worth = np.where(candidates, np.maximum(quality, np.finfo(float).tiny), 0)  # silent candidates stay candidates
    ways = {
        "top k": lambda: baselines.top_k(worth, size),
        "QUBO": lambda: _optima(own, k, worth, proven, seed, **energy),
        "greedy on -E": lambda: diverse.greedy_on_energy(own, k, **energy),
        "MMR": lambda: baselines.maximal_marginal_relevance(own, size, trade_off=beta),
        "DPP": lambda: diverse.dpp(own, k),
        "facility location": lambda: diverse.facility_location(own, k),
        "random k": lambda: baselines.random_k(worth, size, seed=seed),
    }
    found = {}
    for name in names:
        with suppress(diverse.SingularKernelError):
            found[name] = ways[require.choice("selection", name, ways)]()
    return found


def _optima(problems, k, worth, proven, seed, **energy):
    """The QUBO's k maps, proven; or the best of steepest descents by exchanges, from several starts."""
    if proven:
        optima, table = comparison.prove(problems, size=k, desc=f"best {k} maps", **energy)
        if not table.proven.all():
            raise ValueError(f"{(~table.proven).sum()} optima of {k} maps are not proven in a minute: proven=False")
        return optima
    rng, size = require.generator("seed", seed), np.full(len(problems), k)
    starts = [diverse.greedy_on_energy(problems, k, **energy), baselines.top_k(worth, size)]
    starts += [baselines.random_k(worth, size, seed=rng) for _ in range(_RANDOM_STARTS)]
    return diverse.exchanged(problems, starts, **energy)


def with_importance(problems: Sequence[Problem], importance, *, field: str = HEADLINE.field) -> list[Problem]:
    """The problems of other classifiers on the same maps: problems of all maps, by another importance (B, N_f).

    Candidates are those of positive importance; the cosines, which the maps alone decide, are taken over.

    >>> problem = Problem([0, 1, 2], [-1.0, -1.0, -1.0], np.eye(3), 3)
    >>> with_importance([problem], [[4.0, -1.0, 2.0]])[0].field
    array([-1. , -0.5])
    """
    found = []
    for problem, row in zip(problems, np.asarray(importance)):
        kept = np.flatnonzero(row[problem.maps] > 0)
        maps, J = problem.maps[kept], problem.redundancy[np.ix_(kept, kept)]
        field_of = feature_selection.field(row[maps], field)
        found.append(replace(problem, maps=maps, field=field_of, redundancy=J))
    return found


def scores(
    found: Mapping[str, np.ndarray], classifier: LinearClassifier, cosines, labels, *, n_resamples=1000, seed=0
) -> pd.DataFrame:
    """What selections carry and how alike their maps are: {name: (B, N_f) bool}, "top k" among them  ->  a tidy table.

    cosines: (B, N_f, N_f); labels: (B,), of the classes' overlap. Columns selection, measure (those of
    `map_subsets.class_measures` with these maps kept, margin as a share of the mean margin with all maps; "mean
    cosine", "class overlap", "maps"), value with its 95 % interval low and high over images, and minus_top_k with
    difference_low and difference_high, paired over images; no intervals for the overlap, which is none of images.

    >>> bits = {"top k": np.array([[True, False]] * 2), "random k": np.array([[False, True]] * 2)}
    >>> added = np.array([[[np.log(3), 0.0], [0.0, 0.0]]] * 2)
    >>> table = scores(bits, LinearClassifier(added, np.zeros(2), np.array([0, 0])), [np.eye(2)] * 2, [0, 1])
    >>> table.set_index(["selection", "measure"]).value.unstack()["probability"].to_dict()
    {'random k': 0.5, 'top k': 0.75}
    """
    rows, options = [], {"n_resamples": n_resamples, "seed": seed}
    by_name = {name: _of_images(bits, classifier, cosines) for name, bits in found.items()}
    for name, bits in found.items():
        for measure, values in by_name[name].items():
            interval = intervals.mean_with_interval(values, **options)
            paired = intervals.mean_with_interval(values - by_name["top k"][measure], **options)
            row = {"selection": name, "measure": measure} | interval | {"minus_top_k": paired["value"]}
            rows.append(row | {"difference_low": paired["low"], "difference_high": paired["high"]})
        overlap = mean_overlap(bits, labels), mean_overlap(found["top k"], labels)
        rows.append({"selection": name, "measure": "class overlap", "value": overlap[0]})
        rows[-1] |= {"minus_top_k": overlap[0] - overlap[1]}
    return pd.DataFrame(rows)


def _of_images(bits, classifier, cosines):
    alike = {"mean cosine": mean_cosines(cosines, bits)} if bits.sum(1).max(initial=0) > 1 else {}
    measured = classifier.measures(bits)
    measured["margin"] = measured["margin"] / classifier.measures(np.ones_like(bits))["margin"].mean()
    return measured | alike | {"maps": bits.sum(1).astype(float)}


def compare(
    problems: Sequence[Problem],
    quality: Mapping[str, np.ndarray],
    classifier: LinearClassifier,
    cosines,
    labels,
    ks: Sequence[int],
    *,
    names: Sequence[str] = SELECTIONS,
    proven: Sequence[str] = ("importance",),
    beta=HEADLINE.beta,
    pair_sum=HEADLINE.pair_sum,
    n_resamples=1000,
    seed=0,
) -> pd.DataFrame:
    """`scores` of the selections `chosen` by each quality, {name: (B, N_f)}, for each k, of the images that have k.

    proven: qualities by which the QUBO's maps are proven  ->  the table, with columns quality, k and images (how many
    have k candidates).

    >>> problem, quality = Problem([0, 1], [-1.0, -0.5], np.eye(2), 2), {"importance": np.array([[2.0, 1.0]] * 2)}
    >>> classifier = LinearClassifier(np.array([[[np.log(3), 0.0], [0.0, 0.0]]] * 2), np.zeros(2), np.array([0, 0]))
    >>> table = compare([problem] * 2, quality, classifier, [np.eye(2)] * 2, [0, 1], [1, 2, 3], names=["top k", "DPP"])
    >>> table[table.measure == "probability"][["selection", "k", "images", "value"]].values.tolist()
    [['top k', 1, 2, 0.75], ['DPP', 1, 2, 0.75], ['top k', 2, 2, 0.75], ['DPP', 2, 2, 0.75]]
    """
    tables, cosines, labels = [], np.asarray(cosines), np.asarray(labels)
    for k in ks:
        enough = np.array([problem.d >= k for problem in problems])
        if not enough.any():
            continue
        having = [problem for problem in problems if problem.d >= k]
        judge = replace(classifier, added=classifier.added[enough], target=classifier.target[enough])
        for kind, values in quality.items():
            options = {"names": names, "beta": beta, "pair_sum": pair_sum, "seed": seed}
            found = chosen(having, k, values[enough], proven=kind in proven, **options)
            table = scores(found, judge, cosines[enough], labels[enough], n_resamples=n_resamples, seed=seed)
            tables.append(table.assign(quality=kind, k=k, images=enough.sum()))
    return pd.concat(tables, ignore_index=True)


def accuracy_of_sets(
    ranks: Mapping[str, np.ndarray], sizes: Sequence[int], training, testing, weight, bias, *, n_resamples=1000, seed=0
) -> pd.DataFrame:
    """How well one set of k maps for all images classifies: in the network as it is, and with a classifier of its own.

    ranks: {selection: (N_f,) rank, N_f for maps that never come, or (D, N_f) of D orders, whose mean counts, as of
    random ones}; training, testing: activation (N, N_f), labels (N,);
    weight (C, N_f), bias (C,) of the network's classifier on mean activations. "network": the other maps are 0;
    "refitted": linear discriminant analysis of the training images' activations of these maps. Sizes that an order
    does not reach are left out  ->  selection, k, classifier, accuracy with its 95 % interval low and high.

    >>> x, labels = np.array([[0.0, 1.0], [1.0, 1.1], [0.1, 1.1], [1.2, 1.0]]), np.array([0, 1, 0, 1])
    >>> parts = (x, labels), (x, labels), np.array([[-1.0, 0.0], [1.0, 0.0]]), np.array([0.5, -0.5])
    >>> table = accuracy_of_sets({"first": np.array([0, 1])}, [1], *parts)
    >>> table.set_index("classifier").accuracy.to_dict()
    {'network': 1.0, 'refitted': 1.0}
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    (x, labels), (tested, truth), rows = training, testing, []
    judges = {
        "network": lambda kept: (tested[:, kept] @ weight[:, kept].T + bias).argmax(1),
        "refitted": lambda kept: LinearDiscriminantAnalysis().fit(x[:, kept], labels).predict(tested[:, kept]),
    }
    for name, rank in ranks.items():
        for k in sizes:
            sets = _first(rank, k)
            if (sets.sum(1) < k).any():
                continue
            for kind, predicted in judges.items():
                right = np.mean([predicted(np.flatnonzero(kept)) == truth for kept in sets], axis=0)
                interval = intervals.mean_with_interval(right, n_resamples=n_resamples, seed=seed)
                accuracy = interval.pop("value")
                rows.append({"selection": name, "k": k, "classifier": kind, "accuracy": accuracy} | interval)
    return pd.DataFrame(rows)


def _first(rank, k):
    """The first k maps of each order: ranks (N_f,) or (D, N_f)  ->  (D, N_f) bool."""
    rank = np.atleast_2d(rank)
    return rank < min(k, rank.shape[1])


def shared_maps(ranks: Mapping[str, np.ndarray], sizes: Sequence[int], name: str) -> pd.DataFrame:
    """Share of the k maps of one order that the others have too: ranks as for `accuracy_of_sets`; name: that order.

    ->  selection, k, in_common (where both orders reach k) and by_chance, k / N_f.

    >>> shared_maps({"one": np.array([0, 1, 2]), "other": np.array([0, 2, 1])}, [2], "one").in_common.tolist()
    [0.5]
    """
    rows = []
    for other in ranks.keys() - {name}:
        for k in sizes:
            one, two = (_first(ranks[key], k) for key in (name, other))
            if (one.sum(1) == k).all() and (two.sum(1) == k).all():
                common = {"in_common": (one & two).sum(1).mean() / k, "by_chance": k / one.shape[1]}
                rows.append({"selection": other, "k": k} | common)
    return pd.DataFrame(rows).sort_values(["selection", "k"], ignore_index=True)


def rank_of(worth) -> np.ndarray:
    """Rank of the maps by what they are worth, 0 for the most; N_f for those worth nothing: (N_f,)  ->  (N_f,) int.

    >>> rank_of([0.2, 0.0, 0.9])
    array([1, 3, 0])
    """
    worth = require.array("worth", worth, "N_f")
    return np.where(worth > 0, (-worth).argsort(kind="stable").argsort(), len(worth))


def usage(selected, worth) -> np.ndarray:
    """Rank of the maps by how many images select them, of equals the one worth more; N_f if none does: -> (N_f,) int.

    selected: (B, N_f) bool; worth: (N_f,), not negative.

    >>> usage([[1, 1, 0], [1, 0, 0]], [0.0, 1.0, 2.0])
    array([0, 1, 3])
    """
    sizes = {}
    selected = require.bits("selected", selected, "B N_f", sizes)
    worth = require.array("worth", worth, "N_f", sizes, "[0, inf)")
    return rank_of(selected.sum(0) * (1 + 0.5 * worth / max(worth.max(initial=0), 1e-300) / max(len(selected), 1)))
