"""The explanation map of one image: Grad-CAM of the selected maps, in NumPy. For batches of images see `cams`."""

import numpy as np
from PIL import Image

from .. import require
from ..cnn.photographs import LARGEST
from ..conventions import CHOICES, HEADLINE


def of_selection(maps, importance, selected, *, relu: str = HEADLINE.grad_cam) -> np.ndarray:
    """Grad-CAM of a selection: maps (N_f, H, W), importance (N_f,), selected (N_f,) of 0/1  ->  (H, W) float32, >= 0.

    relu: "relu of sum" or "sum of relus" of the terms importance_a maps_a, as for `cams.grad_cam`.
    Raises ValueError for an unknown relu, other shapes, NaN and infinity.

    >>> of_selection([[[1.0, 0.0]], [[1.0, 2.0]]], [3.0, -1.0], [1, 1], relu="relu of sum")
    array([[2., 0.]], dtype=float32)
    """
    sizes = {}
    maps = require.array("maps", maps, "N H W", sizes, dtype=np.float32)
    weights = require.array("importance", importance, "N", sizes, dtype=np.float32)
    weights = weights * require.bits("selected", selected, "N", sizes)
    terms = weights[:, None, None] * maps
    if require.choice("relu", relu, CHOICES["grad_cam"]) == "sum of relus":
        return np.maximum(terms, 0).sum(0)
    return np.maximum(terms.sum(0), 0)


def heatmap(cam, size: int, *, resampling: str = HEADLINE.resampling) -> np.ndarray:
    """Soft mask of an explanation map, as `cams.heatmap`: (H, W)  ->  (size, size) float32 in [0, 1].

    Raises ValueError for another shape, maps without pixels, NaN and infinity, an unknown resampling.

    >>> heatmap([[-1.0, 4.0, 0.0]], 6)[0].round(2)
    array([0.  , 0.33, 1.  , 1.  , 0.33, 0.  ], dtype=float32)
    """
    from scipy import ndimage  # a seventh of a second to import

    cam = np.maximum(require.array("explanation map", cam, "H W", dtype=np.float32), 0)
    size = require.whole("size", size, 1, LARGEST)
    if not cam.size:
        raise ValueError(f"an explanation map must have pixels, got {cam.shape}")
    if require.choice("resampling", resampling, CHOICES["resampling"]) == "8 bit":
        levels = Image.fromarray(np.round(255 * _scaled(cam)).astype(np.uint8))
        return np.asarray(levels.resize((size, size), Image.Resampling.BILINEAR)) / np.float32(255)
    factors = size / cam.shape[0], size / cam.shape[1]
    return _scaled(ndimage.zoom(cam, factors, order=1, mode="nearest", grid_mode=True))


def _scaled(values):
    """Between 0 and 1; constant ones, but for rounding, become 0, as by `cams.normalise`."""
    least, most = values.min(), values.max()
    return (values - least) / (most - least) if most - least > 1e-6 * most else np.zeros_like(values)
