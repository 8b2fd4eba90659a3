"""What a subset of the maps carries: the class score with only these maps, and their likeness."""

import numpy as np
import scipy.stats

from .. import require
from ..intervals import SUMMABLE, per_image

_MAPS = ": check the feature maps they come from"


def _linear(contributions, bias, target, sizes):
    """Contributions (B, N_f, C), bias (C,) and target (B,) of a classifier that is linear in its maps, as arrays."""
    contributions = require.array("contributions", contributions, "B N_f C", sizes, remedy=_MAPS)
    bias = require.array("bias", bias, "C", sizes, remedy=": check the classifier it comes from")
    return contributions, bias, require.indices("target", target, "B", len(bias), sizes)


def subset_scores(contributions, bias, target, kept) -> np.ndarray:
    """Probability of a class with exactly the kept maps, all others set to zero: a causal test of a selection.

    contributions: (B, N_f, C) of `feature_maps.contributions`; bias: (C,); target: (B,) classes; kept: (B, N_f) bool
    ->  (B,) in [0, 1]. The complement of a selection gives the test of removing it; k = 0 leaves the bias.
    Raises ValueError for shapes that do not fit, NaN or infinity, or a kept that is no bit-string.

    >>> contributions = np.array([[[np.log(3), 0.0], [0.0, 5.0]]])  # the first map speaks for class 0
    >>> subset_scores(contributions, np.zeros(2), [0], [[1, 0]]).round(9)  # 3 / (3 + 1)
    array([0.75])
    """
    sizes = {}
    contributions, bias, target = _linear(contributions, bias, target, sizes)
    kept = require.bits("kept", kept, "B N_f", sizes)
    logits = np.einsum("bn,bnc->bc", kept.astype(float), contributions) + bias
    require.values("logits", logits, remedy=": they overflow, scale contributions and bias down")
    return scipy.special.softmax(logits, axis=1)[np.arange(len(kept)), target]


def best_subset_scores(contributions, bias, target, keep: bool = True) -> np.ndarray:
    """The best that any subset of each size can do, by exhaustive search: arguments as `subset_scores`.

    ->  (B, N_f + 1): the largest probability with k maps kept, or (keep=False) the smallest with k maps removed.
    Raises ValueError beyond 20 maps, for shapes that do not fit, NaN or infinity.

    >>> contributions = np.array([[[np.log(3), 0.0], [0.0, np.log(3)]]])
    >>> best_subset_scores(contributions, np.zeros(2), [0]).round(9)  # no map, the best one, both
    array([[0.5 , 0.75, 0.5 ]])
    """
    contributions, bias, target = _linear(contributions, bias, target, {})
    keep = require.flag("keep", keep)
    n = contributions.shape[1]
    if n > 20:
        raise ValueError(f"exhaustive search over 2^{n} subsets an image: at most 20 maps")
    bits = np.arange(2**n)[:, None] >> np.arange(n) & 1  # (2^N_f, N_f)
    size, best = bits.sum(1), np.empty((len(contributions), n + 1))
    order = np.argsort(size, kind="stable")
    starts = np.searchsorted(size[order], np.arange(n + 1))
    ranked = bits[order].astype(float)
    for b, (added, c) in enumerate(zip(contributions, target)):
        logits = (ranked if keep else 1 - ranked) @ added + bias  # (2^N_f, C)
        probability = scipy.special.softmax(logits, axis=1)[:, c]
        best[b] = np.maximum.reduceat(probability, starts) if keep else np.minimum.reduceat(probability, starts)
    require.values("probabilities", best, "[0, 1]", remedy=": the logits overflow, scale contributions and bias down")
    return best


def mean_cosines(redundancy, selected) -> np.ndarray:
    """Mean cosine among the selected maps of each image: (B, N, N) and (B, N)  ->  (B,), NaN below two maps.

    selected: bool or 0/1. redundancy, selected: arrays, or lists of arrays where the images have different N.
    Raises ValueError for shapes that do not fit, selections that are no bit-strings, NaN and infinity.

    >>> mean_cosines([[[1.0, 0.2, 0.4], [0.2, 1.0, 0.6], [0.4, 0.6, 1.0]]], [[1, 1, 1]]).round(9)
    array([0.4])
    """
    redundancy, selected = per_image("redundancy", redundancy), per_image("selected", selected)
    if len(redundancy) != len(selected):
        counts = f"{len(redundancy)} and {len(selected)}"
        raise ValueError(f"redundancy and selected must be of as many images, got {counts}")
    values = np.full(len(selected), np.nan)
    for i, (J, bits) in enumerate(zip(redundancy, selected)):
        sizes = {}
        J = require.array(f"redundancy of image {i}", J, "N N", sizes, SUMMABLE, remedy=_MAPS)
        bits = require.bits(f"selected of image {i}", bits, "N", sizes)
        if bits.sum() > 1:
            values[i] = J[np.ix_(bits, bits)][np.triu_indices(bits.sum(), 1)].mean(dtype=np.float64)
    return values
