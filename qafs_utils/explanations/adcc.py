"""ADCC, the harmonic mean of three measures of an explanation (Poppi et al. [poppi2021adcc]).

Average Drop, of the image multiplied by its explanation, small is good; coherency, how alike the explanation of that
masked image is to the explanation itself; complexity, the mean of the explanation, small is good. Each is in [0, 1].
A map that ignores the image explains the masked image as the image: its coherency is 1 by definition.
"""

from collections.abc import Mapping

import numpy as np

from .. import require

PARTS = ("drop", "coherency", "complexity")


def drop(full, masked, classes) -> np.ndarray:
    """Part of a class probability that the mask takes, 0 if it grows: two (B, C) of probabilities, (B,)  ->  (B,).

    >>> drop([[0.8, 0.2]], [[0.2, 0.8]], [0]), drop([[0.8, 0.2]], [[0.9, 0.1]], [0])
    (array([0.75]), array([0.]))
    """
    sizes = {}
    full = require.array("full", full, "B C", sizes, "[0, 1.001]")
    masked = require.array("masked", masked, "B C", sizes, "[0, 1.001]")
    classes = require.indices("classes", classes, "B", full.shape[1], sizes)
    rows = np.arange(len(full))
    before, after = full[rows, classes], masked[rows, classes]
    return np.maximum(0, before - after) / np.where(before > 0, before, 1)


def coherency(heatmap, of_masked) -> np.ndarray:
    """Pearson correlation of an explanation and that of the image it masks, brought from [-1, 1] to [0, 1]: (B,).

    heatmap, of_masked: (B, H, W). Where one of the two is constant it is 0 (github aimagelab/ADCC at 0d6b061).

    >>> coherency([[[0.0, 1.0]], [[0.0, 1.0]], [[0.0, 1.0]]], [[[0.0, 0.5]], [[1.0, 0.0]], [[1.0, 1.0]]]).round(9)
    array([1., 0., 0.])
    """
    sizes = {}
    first = require.array("heatmap", heatmap, "B H W", sizes)
    other = require.array("of_masked", of_masked, "B H W", sizes)
    first, other = (cam.reshape(len(cam), -1) - cam.mean((1, 2))[:, None] for cam in (first, other))
    norm = np.linalg.norm(first, axis=1) * np.linalg.norm(other, axis=1)
    cosine = np.divide((first * other).sum(1), norm, out=np.full(len(first), -1.0), where=norm > 1e-12)
    return ((cosine + 1) / 2).clip(0, 1)


def complexity(heatmap) -> np.ndarray:
    """Mean of an explanation scaled to [0, 1], which is the area of its soft mask: (B, H, W)  ->  (B,).

    >>> complexity([[[0.0, 1.0], [0.5, 0.5]]])
    array([0.5])
    """
    return require.array("heatmap", heatmap, "B H W", interval="[0, 1]").mean((1, 2))


def adcc(drop, coherency, complexity) -> np.ndarray:
    """Harmonic mean of coherency, 1 - complexity and 1 - drop, image by image: (B,) each  ->  (B,).

    0 where one of the three is 0.

    >>> adcc([0.5], [0.5], [0.5]), adcc([1.0], [0.9], [0.1])
    (array([0.5]), array([0.]))
    """
    sizes, parts = {}, []
    for name, given in zip(PARTS, (drop, coherency, complexity)):
        parts.append(require.array(name, given, "B", sizes, "[0, 1]"))
    good = np.array([1 - parts[0], parts[1], 1 - parts[2]])
    some = (good > 0).all(0)
    return np.where(some, 3 / (1 / np.where(good > 0, good, 1)).sum(0), 0)


def measured(full, masked, classes, heatmap, of_masked) -> Mapping[str, np.ndarray]:
    """All parts and their harmonic mean: arguments of the functions above  ->  {"adcc" and each of PARTS: (B,)}.

    >>> found = measured([[1.0, 0.0]], [[0.5, 0.5]], [0], [[[0.0, 1.0]]], [[[0.0, 1.0]]])
    >>> {name: round(float(value[0]), 9) for name, value in found.items()}
    {'adcc': 0.6, 'drop': 0.5, 'coherency': 1.0, 'complexity': 0.5}
    """
    parts = {
        "drop": drop(full, masked, classes),
        "coherency": coherency(heatmap, of_masked),
        "complexity": complexity(heatmap),
    }
    return {"adcc": adcc(**parts)} | parts


def with_coherency_one(parts: Mapping[str, np.ndarray]) -> np.ndarray:
    """ADCC of a map that explains the masked image as the image: parts of `measured`  ->  (B,).

    >>> with_coherency_one({"drop": [0.5], "coherency": [0.1], "complexity": [0.0]})
    array([0.75])
    """
    return adcc(parts["drop"], np.ones(len(parts["drop"])), parts["complexity"])
