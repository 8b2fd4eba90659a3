"""The selections of a batch for other packages: an image without a candidate has none, and a warning."""

import warnings

import numpy as np

from ..cnn.feature_maps import NoPositiveMapError
from ..qubo import feature_selection
from ..solvers.one_problem import select


def selected(maps, importance, *, field: str, **choice) -> np.ndarray:
    """The maps that the QUBO selects for each image: maps (B, N, H, W), importance (B, N)  ->  (B, N) bool.

    field: as for `feature_selection.field`; choice: keywords of `solvers.one_problem.select`, whose errors it raises.

    >>> selected(np.ones((1, 3, 2, 2)), np.array([[1.0, -1.0, 0.5]]), field="max", solver="exact")  # 0 and 2 are alike
    array([[ True, False, False]])
    """
    bits = np.zeros(importance.shape, bool)
    for number, (of_image, alpha) in enumerate(zip(maps, importance)):
        try:
            bits[number] = select(feature_selection.problem(of_image, alpha, field=field), **choice)[0]
        except NoPositiveMapError as error:
            warnings.warn(f"image {number} has an explanation of zeros: {error}", stacklevel=3)
    return bits
