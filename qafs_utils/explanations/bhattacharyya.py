"""Overlap of the classes by the maps that they select (paper, Fig. 2)."""

import numpy as np

from .. import require
from ..intervals import MOST, SUMMABLE, nan_mean


def bhattacharyya_matrix(selections, labels, n_classes: int) -> np.ndarray:
    """Overlap of the maps selected by each pair of classes, BC(c, c') = sum_a sqrt(P_c(a) P_c'(a)).

    selections: (N, N_f) bool or 0/1, labels: (N,) in 0..n_classes-1  ->  (n_classes, n_classes) in [0, 1].
    P_c is the histogram of the maps selected over all images of class c, divided by its sum. The diagonal is 1.
    A class without an image, or one that never selects a map, has a row and a column of zeros: there the overlap is
    undefined. Raises ValueError for shapes that do not fit, fractional labels, and indices for bit-strings.

    >>> selections = [[1, 1, 0], [1, 0, 0], [0, 0, 1]]
    >>> bhattacharyya_matrix(selections, [0, 1, 2], 3).round(3)  # classes 0 and 1: sqrt(1/2 * 1)
    array([[1.   , 0.707, 0.   ],
           [0.707, 1.   , 0.   ],
           [0.   , 0.   , 1.   ]])
    """
    sizes, n_classes = {}, require.whole("n_classes", n_classes, 1, MOST)
    selections = require.bits("selections", selections, "N N_f", sizes)
    labels = require.indices("labels", labels, "N", n_classes, sizes)
    counts = np.stack([selections[labels == c].sum(0) for c in range(n_classes)]).astype(float)
    root = np.sqrt(counts / np.maximum(counts.sum(1, keepdims=True), 1))  # (n_classes, N_f)
    return root @ root.T


def mean_off_diagonal(matrix) -> float:
    """Mean overlap between different classes: (C, C)  ->  float, NaN with fewer than two defined classes.

    Classes of zero diagonal are left out, since their overlap is undefined (see `bhattacharyya_matrix`).
    Raises ValueError for another shape, NaN and infinity.

    >>> mean_off_diagonal([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 0.0]])  # the third is undefined
    0.5
    """
    matrix = require.array("matrix", matrix, "C C", interval=SUMMABLE)
    defined = np.flatnonzero(np.diag(matrix) > 0)
    block = matrix[np.ix_(defined, defined)]
    return nan_mean(block[~np.eye(len(defined), dtype=bool)])
