"""The selection as an `explain_func` of Quantus, whose metrics then score it.

`quantus.PixelFlipping()(model=network, x_batch=x, y_batch=y, explain_func=explain_func)`; nothing of Quantus is needed
to call it.
"""

from collections.abc import Callable

import numpy as np

from .. import require
from ..cnn.extraction import capture_layer
from ..cnn.feature_maps import importance
from ..conventions import HEADLINE
from ..explanations import cams
from ..explanations.layers import find_layer
from .selected import selected

_OF_QUANTUS = ("device", "method")  # keywords that Quantus hands on to every explain_func


def explain_func(
    model,
    inputs,
    targets,
    *,
    layer: str | None = None,
    beta: float = HEADLINE.beta,
    pair_sum: str = HEADLINE.pair_sum,
    field: str = HEADLINE.field,
    relu: str = HEADLINE.grad_cam,
    solver: str = "exact",
    size: int | None = None,
    seed: int | None = 0,
    reshape: Callable | None = None,
    **options,
) -> np.ndarray:
    """Explanation maps of a batch: inputs (B, channels, S, S) as the network takes them, targets (B,) its classes.

    layer: whose maps, by its name in `model.named_modules()`; None for the last one with maps. relu: as for
    `cams.grad_cam`; reshape: as for `extraction.capture_layer`; field, beta, pair_sum, solver, size, seed and options:
    as for `solvers.one_problem.select`. "device" and "method" of Quantus are not used: the network stays where it is.
    ->  (B, 1, S, S) float32 in [0, 1], zeros and a warning for an image without a map of positive importance. Raises
    ValueError as these.

    >>> import torch
    >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(144, 5)).eval()
    >>> explain_func(network, np.random.default_rng(0).random((2, 3, 8, 8), np.float32), [1, 4]).shape
    (2, 1, 8, 8)
    """
    options = {name: value for name, value in options.items() if name not in _OF_QUANTUS}
    inputs = require.tensor("inputs", inputs, "B channels S S").float()
    layer = find_layer(model, inputs[:1]) if layer is None else layer
    maps, gradients, _ = capture_layer(model, layer, inputs, targets, reshape=reshape)
    alpha = importance(gradients)
    choice = {"solver": solver, "beta": beta, "pair_sum": pair_sum, "size": size, "seed": seed} | options
    bits = selected(maps.numpy(), alpha.numpy(), field=field, **choice)
    cam = cams.grad_cam(maps, alpha, bits, relu=relu)
    return cams.heatmap(cam, inputs.shape[-1])[:, None].numpy().astype(np.float32)
