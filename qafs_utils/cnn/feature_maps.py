"""Feature maps, their importance for a class, and their redundancy."""

import numpy as np

from .. import require

_NETWORK = ": check the artefact or network they come from"
_TOO_LARGE = ": what they are made of is finite, but too large"


class NoPositiveMapError(ValueError):
    """An image none of whose maps supports the class: there is nothing to select from.

    >>> issubclass(NoPositiveMapError, ValueError)
    True
    """


def _require_pixels(name, maps):
    if 0 in maps.shape[-2:]:
        raise ValueError(f"{name} must have pixels, got {require.described(maps)}")


def importance(gradients):
    """Importance of each map: the class-score gradient averaged over its pixels (paper, Eq. 1).

    gradients: (..., N_f, H, W), array or tensor  ->  (..., N_f) of the same kind, in single precision or better.
    Raises ValueError for another shape, maps without pixels, NaN and infinity.

    >>> importance(np.array([[[1.0, 3.0]], [[-1.0, 0.0]]]))
    array([ 2. , -0.5])
    """
    if hasattr(gradients, "detach"):
        gradients = require.tensor("gradients", gradients, "... N_f H W", remedy=_NETWORK)
    else:
        gradients = require.array("gradients", gradients, "... N_f H W", remedy=_NETWORK, dtype=None)
        gradients = gradients.astype(np.result_type(gradients, np.float32), copy=False)
    _require_pixels("gradients", gradients)
    with np.errstate(over="ignore", invalid="ignore"):
        means = gradients.mean((-2, -1))
    require.values("importance", means, remedy=_TOO_LARGE)
    return means


def contributions(maps, weight) -> np.ndarray:
    """What each map adds to the logits, for maps taken after the block: the classifier is linear in them.

    maps: (B, N_f, H, W); weight: (C, N_f * H * W) of a classifier on the flattened maps, or (C, N_f) after global
    average pooling  ->  (B, N_f, C); with the bias, the sum over maps is the logits, that over a subset those with the
    other maps set to zero. Raises ValueError when the weight fits neither, for maps without pixels, NaN and infinity.

    >>> maps = np.array([[[[1.0, 3.0]], [[5.0, 0.0]]]])  # one image, two maps of 1 x 2
    >>> weight = np.array([[1.0, 1.0, 0.0, 2.0], [0.0, 1.0, 1.0, 0.0]])  # two classes
    >>> contributions(maps, weight)
    array([[[4., 3.],
            [0., 5.]]])
    """
    maps = require.array("maps", maps, "B N_f H W", remedy=_NETWORK)
    weight = require.array("weight", weight, "C weights", remedy=_NETWORK)
    _require_pixels("maps", maps)
    b, n, h, w = maps.shape
    if weight.shape[1] not in (n, n * h * w):
        fit = f"(C, {n * h * w}) or (C, {n})"
        raise ValueError(f"weight must be {fit} to go with maps {maps.shape}, got {weight.shape}")
    with np.errstate(over="ignore", invalid="ignore"):
        if weight.shape[1] == n:
            added = maps.mean((2, 3))[:, :, None] * weight.T
        else:
            added = np.einsum("bnp,cnp->bnc", maps.reshape(b, n, -1), weight.reshape(-1, n, h * w), optimize=True)
    require.values("contributions", added, remedy=_TOO_LARGE)
    return added


def candidates(importance) -> np.ndarray:
    """Indices of the maps that support the class (paper, Eq. 2): importance (N_f,)  ->  (d,) int.

    Raises NoPositiveMapError if there is none, ValueError for another shape, NaN and infinity.

    >>> candidates([0.3, -0.1, 0.0, 2.0])
    array([0, 3])
    """
    importance = require.array("importance", importance, "N_f", remedy=": check the feature maps it comes from")
    positive = np.flatnonzero(importance > 0)
    if not len(positive):
        why = "no feature map has a positive importance for this class"
        raise NoPositiveMapError(f"{why}: leave the image out, or explain another class")
    return positive


def cosine_matrix(maps) -> np.ndarray:
    """Absolute cosine similarity between feature maps (paper, Eq. 3).

    maps: (..., d, H, W), of any scale  ->  (..., d, d) float64 in [0, 1], unit diagonal; a zero map has a zero row and
    column. Raises ValueError for another shape, NaN and infinity.

    >>> cosine_matrix([[[1, 0]], [[-2, 0]], [[0, 1]], [[1, 1]]]).round(2)  # opposite maps count as alike
    array([[1.  , 1.  , 0.  , 0.71],
           [1.  , 1.  , 0.  , 0.71],
           [0.  , 0.  , 1.  , 0.71],
           [0.71, 0.71, 0.71, 1.  ]])
    """
    maps = require.array("maps", maps, "... d H W", remedy=_NETWORK)
    flat = maps.reshape(*maps.shape[:-2], maps.shape[-2] * maps.shape[-1])
    largest = np.abs(flat).max(axis=-1, keepdims=True, initial=0)
    flat = np.ldexp(flat, -np.frexp(largest)[1])  # exact, and no square overflows or vanishes
    norm = np.linalg.norm(flat, axis=-1, keepdims=True)
    unit = np.divide(flat, norm, out=np.zeros_like(flat), where=norm > 0)
    cosine = np.abs(unit @ np.swapaxes(unit, -1, -2)).clip(0, 1)
    index = np.arange(cosine.shape[-1])
    cosine[..., index, index] = norm[..., 0] > 0
    return cosine
