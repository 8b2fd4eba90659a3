"""Tables of the Grid Pointing Game: of every head, of all heads of a network, differences of methods, and the cost.

Scores are {(n_features, head, seed, protocol): what `class_methods.play` gives}, with head "pooled" or "bound" and
protocol "grid" (mosaics), "difull" (their cells apart) or "own" (mosaics, maps chosen on each class's photograph).
"""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from ..intervals import mean_with_interval
from . import class_methods as methods
from . import class_specificity as specificity

KEY = ("n_features", "head", "seed", "protocol")


def of_heads(scores: Mapping, *, n_resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """`class_specificity.score_table` of every key of the scores, which are its first columns.

    >>> one = {"share": np.eye(4), "hit": np.ones((4, 4)), "empty": np.zeros((4, 4), bool)}
    >>> table = of_heads({(16, "pooled", 0, "grid"): {"Grad-CAM": one}}, n_resamples=5)
    >>> table[["n_features", "head", "protocol", "share"]].values
    array([[16, 'pooled', 'grid', 0.25]], dtype=object)
    """
    tables = []
    for key, found in scores.items():
        table = specificity.score_table(found, n_resamples=n_resamples, seed=seed)
        for place, (name, value) in enumerate(zip(KEY, key)):
            table.insert(place, name, value)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _on_mosaics(scores, n, head):
    """What the heads of a network scored on mosaics, one a seed: [{method: share, hit, empty}]."""
    return [found for key, found in scores.items() if (*key[:2], key[3]) == (n, head, "grid")]


def _by_network(scores):
    """{(n_features, head): the methods' mean over seeds on mosaics; of methods that not all seeds have, one seed's}."""
    found = {}
    for n, head in dict.fromkeys(key[:2] for key in scores):
        of_seeds = _on_mosaics(scores, n, head)
        found[n, head] = specificity.mean_over_heads(of_seeds)
        for of_one in of_seeds:
            found[n, head] |= {name: values for name, values in of_one.items() if name not in found[n, head]}
    return found


def over_heads(scores: Mapping, *, n_resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Means over the heads of a network, with intervals over mosaics, and the range of the heads' shares.

    Columns: n_features, head, those of `class_specificity.score_table`, least, largest (of the heads).

    >>> one = {"share": np.eye(4), "hit": np.ones((4, 4)), "empty": np.zeros((4, 4), bool)}
    >>> other = {"Grad-CAM": one | {"share": np.ones((4, 4))}}
    >>> scores = {(16, "pooled", 0, "grid"): {"Grad-CAM": one}, (16, "pooled", 1, "grid"): other}
    >>> over_heads(scores, n_resamples=5)[["share", "least", "largest"]].values
    array([[0.625, 0.25 , 1.   ]])
    """
    tables = []
    for (n, head), found in _by_network(scores).items():
        table = specificity.score_table(found, n_resamples=n_resamples, seed=seed)
        table.insert(0, "n_features", n)
        table.insert(1, "head", head)
        of_all = _on_mosaics(scores, n, head)
        shares = [[np.mean(s[name]["share"]) for s in of_all if name in s] for name in table.method]
        table["least"], table["largest"] = list(map(min, shares)), list(map(max, shares))
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def pairs_to_compare(betas: Sequence[float], size: int) -> list[tuple[str, str]]:
    """Pairs of methods: what the filter does, QUBO, top k and random k against each other, and what signs do.

    >>> pairs_to_compare([0.7], 4)[:3]
    [('filtered Grad-CAM', 'Grad-CAM'), ('exact_0.70', 'top_k_0.70'), ('exact_0.70', 'random_k_0.70')]
    """
    pairs = [("filtered Grad-CAM", "Grad-CAM")]
    for sign in ("", "signed_"):
        for beta in betas:
            exact, top, random = (f"{sign}{kind}_{beta:.2f}" for kind in ("exact", "top_k", "random_k"))
            pairs += [(exact, top), (exact, random), (top, random)]
    return [*pairs, (f"signed_top_{size}", f"top_{size}")]


def differences(scores: Mapping, betas, sizes: Mapping[int, int], *, n_resamples=1000, seed=0) -> pd.DataFrame:
    """`class_specificity.differences` of `pairs_to_compare`, mean over the heads of a network; sizes: {n_features: k}.

    Columns: n_features, head, first, second, mosaics, value, low, high, and those of `not_empty`, with "both_" before.

    >>> one = {"share": np.eye(4), "hit": np.ones((4, 4)), "empty": np.zeros((4, 4), bool)}
    >>> scores = {(16, "pooled", 0, "grid"): {"Grad-CAM": one, "filtered Grad-CAM": one}}
    >>> differences(scores, [0.7], {16: 4}, n_resamples=5).value.tolist()
    [0.0]
    """
    tables, given = [], {"n_resamples": n_resamples, "seed": seed}
    for (n, head), found in _by_network(scores).items():
        table = specificity.differences(found, pairs_to_compare(betas, sizes[n]), **given)
        table.insert(0, "n_features", n)
        table.insert(1, "head", head)
        of_all = _on_mosaics(scores, n, head)
        both = [not_empty(of_all, *pair, **given) for pair in zip(table["first"], table["second"])]
        tables.append(table.join(pd.DataFrame(both, index=table.index).add_prefix("both_")))
    return pd.concat(tables, ignore_index=True)


def not_empty(of_heads: Sequence[Mapping], first: str, second: str, *, n_resamples=1000, seed=0) -> dict[str, float]:
    """Mean difference of two methods' shares, first minus second, over explanations that are empty in neither.

    of_heads: {method: share, hit, empty, each (B, 4)} of every head  ->  explanations (the share of those compared),
    value, low, high, hit (the difference of the hits). A mosaic's value is the mean over its explanations compared, of
    all heads; a mosaic without any is left out. All are NaN if none is left, or no head has both methods.

    >>> one = {"share": np.ones((2, 4)), "hit": np.ones((2, 4)), "empty": np.zeros((2, 4), bool)}
    >>> empty = np.eye(2, 4, dtype=bool)
    >>> other = {"share": np.where(empty, 0.25, 0.5), "hit": np.where(empty, 0.25, 1.0), "empty": empty}
    >>> found = not_empty([{"a": one, "b": other}], "a", "b", n_resamples=10)
    >>> found["explanations"], found["value"], found["hit"]
    (0.75, 0.5, 0.0)
    """
    found = {"share": [], "hit": []}
    for of_one in (s for s in of_heads if first in s and second in s):
        one, other = of_one[first], of_one[second]
        both = min(len(one["share"]), len(other["share"]))
        compared = ~(one["empty"][:both] | other["empty"][:both])
        for kind, values in found.items():
            values.append(np.where(compared, one[kind][:both] - other[kind][:both], np.nan))
    found = {kind: np.array(values) for kind, values in found.items()}  # (heads, B, 4)
    if np.isnan(found["share"]).all():
        return dict.fromkeys(("value", "low", "high", "hit"), np.nan) | {"explanations": 0.0}
    counts = (~np.isnan(found["share"])).sum((0, 2))
    with np.errstate(invalid="ignore"):
        share, hit = (np.nansum(found[kind], axis=(0, 2)) / counts for kind in ("share", "hit"))
    row = {"explanations": float((~np.isnan(found["share"])).mean())}
    return row | mean_with_interval(share, n_resamples=n_resamples, seed=seed) | {"hit": float(np.nanmean(hit))}


def in_words(rows: Mapping[int, Mapping], before: str = "") -> str:
    """Values with their intervals, {n_features: row of value, low, high}, as a text; before: of the columns' names.

    >>> in_words({16: {"value": 0.5, "low": 0.25, "high": 1.0}})
    '+0.500 (+0.250 to +1.000) at 16'
    """
    columns = [before + name for name in ("value", "low", "high")]
    numbers = {n: [row[name] for name in columns] for n, row in rows.items()}
    return ", ".join("{:+.3f} ({:+.3f} to {:+.3f}) at {}".format(*values, n) for n, values in numbers.items())


def own_differences(scores: Mapping, beta: float, **given) -> dict[str, dict]:
    """Of maps chosen on photographs ("own"), QUBO minus top k and minus random k: {second: {n_features: row}}.

    given: n_resamples and seed of `class_specificity.differences`.

    >>> one = {"share": np.eye(4), "hit": np.ones((4, 4)), "empty": np.zeros((4, 4), bool)}
    >>> found = own_differences({(16, "pooled", 0, "own"): {"exact_0.70": one, "top_k_0.70": one}}, 0.7, n_resamples=5)
    >>> found["top_k_0.70"][16]["value"]
    0.0
    """
    found = {}
    for (n, *_, protocol), of_one in scores.items():
        if protocol == "own":
            pairs = [(f"exact_{beta:.2f}", f"{kind}_{beta:.2f}") for kind in ("top_k", "random_k")]
            for row in specificity.differences(of_one, pairs, **given).to_dict("records"):
                found.setdefault(row["second"], {})[n] = row
    return found


def costs(score: Callable, pixels, maps, gradients, classes, choose: Callable) -> dict[str, float]:
    """Time of all methods, and of the selections, for a mosaic and class, in forward passes of a mosaic.

    score: pixels -> logits; maps, gradients, classes, choose: as for `class_methods.play`, of the same mosaics.

    >>> import torch
    >>> maps, gradients = torch.eye(4).view(1, 4, 2, 2), torch.eye(4).view(4, 4, 1, 1).expand(-1, -1, 2, 2)
    >>> sorted(costs(lambda x: x, torch.ones(1, 3, 8, 8), maps, gradients, [[0, 1, 2, 3]], lambda *a, seed: {}))
    ['methods', 'selections']
    """
    alpha = methods.importances(gradients, classes).numpy()
    calls = {
        "pass": lambda: score(pixels),
        "methods": lambda: methods.play(maps, gradients, classes),
        "selections": lambda: choose(maps.numpy(), alpha, seed=0),
    }
    seconds = {}
    for name, call in calls.items():
        begin = time.perf_counter()
        call()
        seconds[name] = time.perf_counter() - begin
    return {name: seconds[name] / seconds["pass"] / specificity.CELLS for name in ("methods", "selections")}
