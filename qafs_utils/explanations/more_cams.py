"""Class activation maps that the paper does not compare with: XGrad-CAM, LayerCAM, Ablation-CAM, Eigen-CAM.

Shapes and errors are those of `cams`: maps and gradients (B, N, H, W)  ->  CAM (B, H, W) >= 0 at map resolution.
Where the classifier sees the mean of each map only (global average pooling), the gradient is constant over a map. Then
XGrad-CAM and HiResCAM are Grad-CAM, and LayerCAM of maps >= 0 is filtered Grad-CAM.
"""

import torch
import torch.nn.functional as F

from .. import require
from . import cams
from .cams import _LARGE, _finite


def _both(maps, gradients):
    maps = _finite("maps", maps, "BNHW")
    return maps, _finite("gradients", gradients, "BNHW", maps)


def x_grad_cam_weights(maps, gradients) -> torch.Tensor:
    """Map weights of XGrad-CAM, w_a = sum_ij maps_ij g_ij / sum_ij maps_ij (Fu et al. [fu2020xgradcam]).

    maps, gradients: (B, N, H, W)  ->  (B, N): the mean gradient, weighted with the map. A map of sum 0 gets weight 0.

    >>> x_grad_cam_weights(torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[2.0, -1.0]]]]))  # (2 - 3) / 4
    tensor([[-0.2500]])
    """
    maps, gradients = _both(maps, gradients)
    total, added = maps.sum((2, 3)), (maps * gradients).sum((2, 3))
    weights = torch.where(total != 0, added / torch.where(total != 0, total, 1), 0)
    require.values("weights of XGrad-CAM", weights, remedy=_LARGE)
    return weights


def x_grad_cam(maps, gradients) -> torch.Tensor:
    """XGrad-CAM, relu(sum_a w_a maps_a) with w of `x_grad_cam_weights`.

    >>> x_grad_cam(torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[2.0, 1.0]]]]))  # a weight of 5/4
    tensor([[[1.2500, 3.7500]]])
    """
    return cams.grad_cam(maps, x_grad_cam_weights(maps, gradients))


def layer_cam(maps, gradients) -> torch.Tensor:
    """LayerCAM, relu(sum_a relu(g_a) maps_a), the gradient kept per pixel (Jiang et al. [jiang2021layercam]).

    >>> layer_cam(torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[2.0, -1.0]]]]))
    tensor([[[2., 0.]]])
    """
    maps, gradients = _both(maps, gradients)
    return cams.hires_cam(maps, F.relu(gradients))


def ablation_cam_weights(maps, gradients) -> torch.Tensor:
    """Map weights of Ablation-CAM, what the class score loses without a map [desai2020ablationcam].

    In closed form, for a classifier that is linear in the maps: z_c loses sum_ij maps_ij g_ij, so that no forward pass
    is needed. Their division by z_c is left out: it scales the whole CAM, and would turn it over where z_c < 0.

    >>> ablation_cam_weights(torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[2.0, -1.0]]]]))
    tensor([[-1.]])
    """
    maps, gradients = _both(maps, gradients)
    weights = (maps * gradients).sum((2, 3))
    require.values("weights of Ablation-CAM", weights, remedy=_LARGE)
    return weights


def ablation_cam(maps, gradients) -> torch.Tensor:
    """Ablation-CAM, relu(sum_a w_a maps_a) with w of `ablation_cam_weights`.

    >>> ablation_cam(torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[2.0, 1.0]]]]))
    tensor([[[ 5., 15.]]])
    """
    return cams.grad_cam(maps, ablation_cam_weights(maps, gradients))


def eigen_cam(maps) -> torch.Tensor:
    """Eigen-CAM, the maps projected on their first principal direction [muhammad2020eigencam].

    maps: (B, N, H, W)  ->  (B, H, W). It knows of no class. The maps are not centred, as there. The sign, which the
    decomposition leaves open, is the one of the larger positive mass; for maps >= 0 all of the projection is positive.
    Zero maps give zeros.

    >>> eigen_cam(torch.tensor([[[[1.0, 0.0]], [[1.0, 0.0]]]])).round(decimals=4)  # both maps are the direction
    tensor([[[1.4142, 0.0000]]])
    """
    maps = _finite("maps", maps, "BNHW")
    flat = maps.flatten(2).double()  # (B, N, P)
    largest = flat.abs().amax((1, 2), keepdim=True)
    flat = flat / torch.where(largest > 0, largest, 1)  # no square overflows or vanishes
    if flat.shape[1] <= flat.shape[2]:  # the smaller of the two Gram matrices
        direction = torch.linalg.eigh(flat @ flat.mT).eigenvectors[:, :, -1:]  # (B, N, 1)
        cam = (flat.mT @ direction)[:, :, 0]
    else:
        values, vectors = torch.linalg.eigh(flat.mT @ flat)
        cam = vectors[:, :, -1] * values[:, -1:].clamp_min(0).sqrt()
    cam = torch.where(cam.sum(1, keepdim=True) < 0, -cam, cam) * largest[:, 0]
    require.values("CAMs", cam.to(maps.dtype), remedy=_LARGE)
    return F.relu(cam).to(maps.dtype).view(len(maps), *maps.shape[2:])
