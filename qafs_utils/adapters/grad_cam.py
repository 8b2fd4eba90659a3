"""The selection as a method of pytorch-grad-cam: `QUBOCAM(model, target_layers)(input_tensor, targets)`.

Its ROAD, its reshape_transform for transformers, several layers, and its smoothing work as with its own methods.
"""

from collections.abc import Callable

import numpy as np

from .. import require
from ..cnn.feature_maps import importance
from ..conventions import HEADLINE
from ..qubo import feature_selection
from ..solvers.by_name import require_options
from .selected import selected

try:
    from pytorch_grad_cam.base_cam import BaseCAM
except ImportError as error:
    raise ImportError("QUBOCAM needs pytorch-grad-cam: pip install 'qafs[gradcam]', or pip install grad-cam") from error


class QUBOCAM(BaseCAM):
    """Grad-CAM of the maps that the QUBO selects for each image (paper, Eqs. 1 to 5).

    model, target_layers, reshape_transform: as for pytorch-grad-cam's `GradCAM`; beta, pair_sum, solver, size, seed
    and options: as for `solvers.one_problem.select`; field: as for `feature_selection.field`.
    `selected` holds what the last call selected: for each layer (B, N) bool. An image without a map of positive
    importance has a map of zeros, and a warning. Raises ValueError for choices that do not fit, maps of volumes among
    them.

    >>> import torch
    >>> generator = torch.manual_seed(1)
    >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(144, 5)).eval()
    >>> cam = QUBOCAM(network, [network[0]], size=1)
    >>> cam(torch.rand(2, 3, 8, 8), None).shape, cam.selected[0].sum(1)
    ((2, 8, 8), array([1, 1]))
    """

    def __init__(
        self,
        model,
        target_layers,
        reshape_transform: Callable | None = None,
        *,
        beta: float = HEADLINE.beta,
        pair_sum: str = HEADLINE.pair_sum,
        field: str = HEADLINE.field,
        solver: str = "exact",
        size: int | None = None,
        seed: int | None = 0,
        **options,
    ):
        super().__init__(model, target_layers, reshape_transform)  # first, for its destructor needs what it makes
        require_options(solver, options)
        self.field = require.choice("field", field, feature_selection.FIELDS)
        self.choice = {"solver": solver, "beta": require.number("beta", beta, "[0, 1]"), "pair_sum": pair_sum}
        self.choice |= {"size": size, "seed": seed} | options
        self.selected = []

    def forward(self, input_tensor, targets, eigen_smooth=False):
        """As of every method of pytorch-grad-cam."""
        self.selected = []
        return super().forward(input_tensor, targets, eigen_smooth)

    def get_cam_weights(self, input_tensor, target_layers, targets, activations, grads) -> np.ndarray:
        """Importance of the selected maps, 0 of the others: maps and gradients (B, N, H, W)  ->  (B, N)."""
        require.shape("activations", activations.shape, "B N H W")
        alpha = importance(np.asarray(grads))
        self.selected.append(selected(np.asarray(activations), alpha, field=self.field, **self.choice))
        return alpha * self.selected[-1]
