"""Tables of the Grid Pointing Game: of every head, of all heads of a network, differences of methods, and the cost.

Scores are {(n_features, head, seed, protocol): what `class_methods.play` gives}, with head "pooled" or "bound" and
protocol "grid" (mosaics) or "difull" (their cells apart).
"""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

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


def _by_network(scores):
    """{(n_features, head): the methods' mean over seeds on mosaics; of methods that not all seeds have, one seed's}."""
    found = {}
    for n, head in dict.fromkeys(key[:2] for key in scores):
        of_seeds = [of_one for key, of_one in scores.items() if (*key[:2], key[3]) == (n, head, "grid")]
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
        of_all = [s for key, s in scores.items() if (*key[:2], key[3]) == (n, head, "grid")]
        shares = [[np.mean(s[name]["share"]) for s in of_all if name in s] for name in table.method]
        table["least"], table["largest"] = list(map(min, shares)), list(map(max, shares))
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def pairs_to_compare(betas: Sequence[float], size: int) -> list[tuple[str, str]]:
    """Pairs of methods: what the filter does, the QUBO against the top k and that against random, and what signs do.

    >>> pairs_to_compare([0.7], 4)[:2]
    [('filtered Grad-CAM', 'Grad-CAM'), ('exact_0.70', 'top_k_0.70')]
    """
    pairs = [("filtered Grad-CAM", "Grad-CAM")]
    for sign in ("", "signed_"):
        for beta in betas:
            pairs += [(f"{sign}exact_{beta:.2f}", f"{sign}top_k_{beta:.2f}")]
            pairs += [(f"{sign}top_k_{beta:.2f}", f"{sign}random_k_{beta:.2f}")]
    return [*pairs, (f"signed_top_{size}", f"top_{size}")]


def differences(scores: Mapping, betas, sizes: Mapping[int, int], *, n_resamples=1000, seed=0) -> pd.DataFrame:
    """`class_specificity.differences` of `pairs_to_compare`, mean over the heads of a network; sizes: {n_features: k}.

    Columns: n_features, head, first, second, mosaics, value, low, high.

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
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


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
