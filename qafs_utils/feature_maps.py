"""Feature maps, their importance for a class, and their redundancy."""

import numpy as np


class NoPositiveMapError(ValueError):
    """An image none of whose maps supports the class: there is nothing to select from.

    >>> issubclass(NoPositiveMapError, ValueError)
    True
    """


def importance(gradients):
    """Importance of each map: the class-score gradient averaged over its pixels (paper, Eq. 1).

    gradients: (..., N_f, H, W), array or tensor  ->  (..., N_f).

    >>> importance(np.array([[[1.0, 3.0]], [[-1.0, 0.0]]]))
    array([ 2. , -0.5])
    """
    return gradients.mean((-2, -1))


def contributions(maps, weight):
    """What each map adds to the logits, for maps taken after the block: the classifier is linear in them.

    maps: (B, N_f, H, W); weight: (C, N_f * H * W) of a classifier on the flattened maps, or (C, N_f) after global
    average pooling  ->  (B, N_f, C); with the bias, the sum over maps is the logits, that over a subset those with the
    other maps set to zero. Raises ValueError when the weight fits neither.

    >>> maps = np.array([[[[1.0, 3.0]], [[5.0, 0.0]]]])  # one image, two maps of 1 x 2
    >>> weight = np.array([[1.0, 1.0, 0.0, 2.0], [0.0, 1.0, 1.0, 0.0]])  # two classes
    >>> contributions(maps, weight)
    array([[[4., 3.],
            [0., 5.]]])
    """
    maps, weight = np.asarray(maps, dtype=np.float64), np.asarray(weight, dtype=np.float64)
    b, n, h, w = maps.shape
    if weight.shape[1] == n:
        return maps.mean((2, 3))[:, :, None] * weight.T
    if weight.shape[1] != n * h * w:
        fit = f"(C, {n * h * w}) or (C, {n})"
        raise ValueError(f"weight must be {fit} to go with maps {maps.shape}, got {weight.shape}")
    return np.einsum("bnp,cnp->bnc", maps.reshape(b, n, -1), weight.reshape(-1, n, h * w), optimize=True)


def candidates(importance):
    """Indices of the maps that support the class (paper, Eq. 2): importance (N_f,)  ->  (d,) int.

    Raises NoPositiveMapError if there is none, ValueError if an importance is not finite.

    >>> candidates([0.3, -0.1, 0.0, 2.0])
    array([0, 3])
    """
    importance = np.asarray(importance)
    if not np.isfinite(importance).all():
        raise ValueError("importances hold NaN or infinite values: check the feature maps they come from")
    found = np.flatnonzero(importance > 0)
    if not len(found):
        raise NoPositiveMapError(
            "no feature map has a positive importance for this class: leave the image out, or explain another class"
        )
    return found


def cosine_matrix(maps):
    """Absolute cosine similarity between feature maps (paper, Eq. 3).

    maps: (..., d, H, W)  ->  (..., d, d) float64 in [0, 1], unit diagonal; a zero map has a zero row and column.
    Raises ValueError if maps has fewer than three dimensions or is not finite.

    >>> cosine_matrix([[[1, 0]], [[-2, 0]], [[0, 1]], [[1, 1]]]).round(2)  # opposite maps count as alike
    array([[1.  , 1.  , 0.  , 0.71],
           [1.  , 1.  , 0.  , 0.71],
           [0.  , 0.  , 1.  , 0.71],
           [0.71, 0.71, 0.71, 1.  ]])
    """
    maps = np.asarray(maps, dtype=np.float64)
    if maps.ndim < 3:
        raise ValueError(f"maps must be (..., d, H, W), got shape {maps.shape}")
    if not np.isfinite(maps).all():
        raise ValueError("feature maps hold NaN or infinite values: check the artefact or network they come from")
    flat = maps.reshape(*maps.shape[:-2], -1)
    norm = np.linalg.norm(flat, axis=-1, keepdims=True)
    unit = np.divide(flat, norm, out=np.zeros_like(flat), where=norm > 0)
    cosine = np.abs(unit @ np.swapaxes(unit, -1, -2)).clip(0, 1)
    index = np.arange(cosine.shape[-1])
    cosine[..., index, index] = norm[..., 0] > 0
    return cosine
