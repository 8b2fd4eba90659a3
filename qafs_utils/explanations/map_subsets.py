"""What a subset of the maps carries of the class, by measures with and without the scale of the logits; likeness."""

from collections.abc import Mapping

import numpy as np
import scipy.special

from .. import require
from ..annealing.threads import in_threads
from ..intervals import SUMMABLE, mean_with_interval, per_image

MEASURES = ("probability", "argmax", "argmax_alone", "margin", "matched")  # of `class_measures`
_SQUARES = "[-1e150, 1e150]"  # numbers of this range have squares that do not overflow
_MAPS = ": check the feature maps they come from"


def _linear(contributions, bias, sizes):
    """Contributions (B, N_f, C) and bias (C,) of a classifier that is linear in its maps, as arrays."""
    contributions = require.array("contributions", contributions, "B N_f C", sizes, remedy=_MAPS)
    return contributions, require.array("bias", bias, "C", sizes, remedy=": check the classifier it comes from")


def subset_logits(contributions, bias, kept) -> np.ndarray:
    """Logits with exactly the kept maps, all others set to zero: a causal test of a selection (paper, Sec. II.2).

    contributions: (B, N_f, C) of `feature_maps.contributions`; bias: (C,); kept: (B, N_f) bool  ->  (B, C). The
    bias stays, as in the network. Give the complement of a selection for the logits without it.
    Raises ValueError for shapes that do not fit, NaN or infinity, or a kept that is no bit-string.

    >>> subset_logits(np.array([[[2.0, 0.0], [0.0, 5.0]]]), np.array([0.5, 0.0]), [[1, 0]])
    array([[2.5, 0. ]])
    """
    sizes = {}
    contributions, bias = _linear(contributions, bias, sizes)
    kept = require.bits("kept", kept, "B N_f", sizes)
    logits = np.einsum("bn,bnc->bc", kept.astype(float), contributions) + bias
    require.values("logits", logits, remedy=": they overflow, scale contributions and bias down")
    return logits


def subset_scores(contributions, bias, target, kept) -> np.ndarray:
    """Probability of a class with exactly the kept maps: (B,) classes target, others as for `subset_logits`  ->  (B,).

    Raises ValueError as `subset_logits`, and for classes that do not exist.

    >>> contributions = np.array([[[np.log(3), 0.0], [0.0, 5.0]]])  # the first map speaks for class 0
    >>> subset_scores(contributions, np.zeros(2), [0], [[1, 0]]).round(9)  # 3 / (3 + 1)
    array([0.75])
    """
    logits = subset_logits(contributions, bias, kept)
    target = require.indices("target", target, str(len(logits)), logits.shape[1])
    return scipy.special.softmax(logits, axis=1)[np.arange(len(target)), target]


def class_measures(logits, target, whole, nothing) -> dict[str, np.ndarray]:
    """What the logits left by a subset of the maps say of a class: MEASURES, (B,) each.

    logits: (B, C) with the subset; target: (B,) classes; whole: (B, C), with every map; nothing: (C,), with no map,
    the bias of a linear classifier. Of the logits, as the network computes them:
    probability: their softmax. It needs their scale as well as their order: logits that all shrink by removing maps
    approach 1/C, whichever class they favour.
    argmax: 1 where no other class has a logit as large, else 0.
    Of what the maps add to the logits, logits - nothing. The bias does not shrink with the maps and may outweigh few or
    weak ones. So only these do not depend on the scale of what the subset adds (the margin: but for a factor):
    argmax_alone: 1 where no other class gets as much.
    margin: what the class gets minus the largest of the others; the mean is to be held against that of `whole`.
    matched: the probability once the deviations from the mean over the classes are multiplied so that their standard
    deviation is that of whole - nothing; 1/C, by definition, where all classes get the same, and such images count.
    Raises ValueError for shapes that do not fit, a single class, classes that do not exist, NaN and infinity.

    >>> whole, nothing = np.array([[6.0, 0.1]]), np.array([0.0, 0.1])
    >>> found = class_measures(nothing + 0.01 * (whole - nothing), [0], whole, nothing)  # a hundredth of each map
    >>> {name: round(float(values[0]), 3) for name, values in found.items()}
    {'probability': 0.49, 'argmax': 0.0, 'argmax_alone': 1.0, 'margin': 0.06, 'matched': 0.998}
    """
    sizes = {}
    logits = require.array("logits", logits, "B C", sizes, _SQUARES)
    whole = require.array("whole", whole, "B C", sizes, _SQUARES)
    nothing = require.array("nothing", nothing, "C", sizes, _SQUARES)
    require.whole("C, the number of classes,", sizes["C"], 2)
    target = require.indices("target", target, "B", sizes["C"], sizes)
    rows, added, of_all = np.arange(len(logits)), logits - nothing, whole - nothing
    margin, spread = _margin(added, target), added.std(1)
    equal = spread <= 1e-12 * np.maximum(np.abs(logits), np.abs(whole)).max(1)  # up to rounding
    factor = np.where(equal, 0, of_all.std(1) / np.where(equal, 1, spread))
    matched = (added - added.mean(1, keepdims=True)) * factor[:, None]
    return {
        "probability": scipy.special.softmax(logits, axis=1)[rows, target],
        "argmax": (_margin(logits, target) > 0) * 1.0,
        "argmax_alone": np.where(equal, 0.0, margin > 0),
        "margin": margin,
        "matched": scipy.special.softmax(matched, axis=1)[rows, target],
    }


def _margin(values, target):
    """That of the class minus the largest of the others: (B, C), (B,)  ->  (B,)."""
    rows, others = np.arange(len(values)), values.copy()
    others[rows, target] = -np.inf
    return values[rows, target] - others.max(1)


def compared(
    measured: Mapping[str, Mapping], against: Mapping[str, str], *, n_resamples: int = 1000, seed: int = 0
) -> list[dict]:
    """Means of the measures of several subsets with 95 % intervals over images, and paired differences to some of them.

    measured: {name: its `class_measures`}; against: {what columns call it: name}, say {"random": "random_k_0.70"}  ->
    a row a name: selection, and for each measure its mean, _low and _high, and minus_ each reference, with its own.

    >>> first, second = {"argmax": np.array([1.0, 0.0])}, {"argmax": np.array([1.0, 1.0])}
    >>> _, row = compared({"top k": first, "QUBO": second}, {"top_k": "top k"})
    >>> row["selection"], row["argmax"], row["argmax_minus_top_k"], row["argmax_minus_top_k_high"]
    ('QUBO', 1.0, 0.5, 1.0)
    """
    rows, given = [], {"n_resamples": n_resamples, "seed": seed}
    for name, of_subset in measured.items():
        row = {"selection": name}
        for measure, values in of_subset.items():
            row |= _columns(measure, mean_with_interval(values, **given))
            for called, reference in against.items():
                difference = mean_with_interval(values - measured[reference][measure], **given)
                row |= _columns(f"{measure}_minus_{called}", difference)
        rows.append(row)
    return rows


def _columns(name, interval):
    """A mean with its interval under the names of a column: name, name_low, name_high."""
    return {name: interval["value"], f"{name}_low": interval["low"], f"{name}_high": interval["high"]}


def best_subset_measures(contributions, bias, target, keep: bool = True) -> dict[str, np.ndarray]:
    """The best that any subset of each size can do, by exhaustive search: arguments as `subset_scores`.

    ->  {measure of `class_measures`: (B, N_f + 1)}, each on its own the largest with k maps kept, or (keep=False) the
    smallest with k maps removed. Raises ValueError beyond 20 maps, for shapes that do not fit, NaN or infinity.

    >>> contributions = np.array([[[np.log(3), 0.0], [0.0, np.log(3)]]])
    >>> best_subset_measures(contributions, np.zeros(2), [0])["probability"].round(9)  # no map, the best one, both
    array([[0.5 , 0.75, 0.5 ]])
    """
    sizes, keep = {}, require.flag("keep", keep)
    contributions, bias = _linear(contributions, bias, sizes)
    target = require.indices("target", target, "B", len(bias), sizes)
    n = contributions.shape[1]
    if n > 20:
        raise ValueError(f"exhaustive search over 2^{n} subsets an image: at most 20 maps")
    bits = np.arange(2**n)[:, None] >> np.arange(n) & 1  # (2^N_f, N_f)
    size, best = bits.sum(1), {measure: np.empty((len(contributions), n + 1)) for measure in MEASURES}
    order = np.argsort(size, kind="stable")
    starts = np.searchsorted(size[order], np.arange(n + 1))
    ranked = bits[order].T.astype(float)
    extreme, ranked = (np.maximum, ranked) if keep else (np.minimum, 1 - ranked)

    def search(first, last):
        for b in range(first, last):
            added = contributions[b].T  # (C, N_f): sums over classes are faster along the first axis
            logits = (added @ ranked + bias[:, None]).T  # (2^N_f, C)
            whole = np.broadcast_to((added.sum(1) + bias)[:, None], logits.T.shape).T
            for measure, values in class_measures(logits, np.full(len(logits), target[b]), whole, bias).items():
                best[measure][b] = extreme.reduceat(values, starts)

    in_threads(search, len(contributions))
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
