"""Class activation maps (CAMs) from feature maps: batched torch functions, on whatever device the maps are.

Shapes: B images, N maps of H x W. A CAM is a (B, H, W) tensor >= 0 at map resolution, not normalised;
`heatmap` turns it into a mask over the image. All functions raise ValueError for a wrong shape, an unknown variant,
maps without pixels, NaN or infinite input, except that `upsample` hands NaN on, and for a result too large for floats.

Only maps after a ReLU are non-negative. Those after BatchNorm or a convolution are signed. Then a positive importance
can lower the CAM, the denominators of Grad-CAM++ can change sign, and ReLU no longer commutes with upsampling.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from .. import require
from ..cnn.feature_maps import importance as importance_of
from ..cnn.tensors import LARGEST_SIDE, dense
from ..conventions import CHOICES

_LARGE = ": maps or weights are finite, but too large: scale them"


def _finite(name, values, axes, like=None):
    """values as a tensor of at least single precision, after a check of its shape (axes) and values, image by image."""
    values = dense(name, values, " ".join(axes), {} if like is None else dict(zip("BNHW", like.shape)))
    if any(axis in "HW" and not size for axis, size in zip(axes, values.shape)):
        raise ValueError(f"{name} must have pixels, got {require.described(values)}")
    values = values if like is None else values.to(like.device)
    bad = ~torch.isfinite(values[:, None].flatten(1)).all(1)
    if bad.any():
        raise ValueError(
            f"{name} hold NaN or infinite values for {int(bad.sum())} of {len(bad)} images (first: "
            f"{int(bad.nonzero()[0])}): half-precision overflow or failed training; use float32 or drop them"
        )
    return values.to(torch.promote_types(values.dtype, torch.float32) if like is None else like.dtype)


def grad_cam(maps, importance, selection=None, *, relu: str = "relu of sum") -> torch.Tensor:
    """Grad-CAM of all or selected maps, by default relu(sum_a importance_a maps_a) ([selvaraju2017gradcam], Eq. 2).

    maps: (B, N, H, W), importance: (B, N), selection: (B, N) of bool or 0/1, or None for all  ->  (B, H, W).
    relu: "relu of sum", their equation, or "sum of relus", sum_a relu(importance_a maps_a), as the paper's authors
    compute it (`conventions`). For maps >= 0 the latter is filtered Grad-CAM, and both are the same for a selection
    of maps of positive importance. A bit-string as selection gives the paper's explanation map; `importance > 0` gives
    filtered Grad-CAM. An empty selection or zero maps give a CAM of zeros. Raises ValueError for an unknown relu, and
    if the selection is not made of zeros and ones.

    >>> maps = torch.tensor([[[[1.0, 0.0]], [[1.0, 2.0]]]])  # one image, two maps of 1 x 2
    >>> grad_cam(maps, [[1.0, 3.0]])
    tensor([[[4., 6.]]])
    >>> grad_cam(maps, [[1.0, 3.0]], selection=[[1, 0]])
    tensor([[[1., 0.]]])
    >>> grad_cam(maps, [[3.0, -1.0]]), grad_cam(maps, [[3.0, -1.0]], relu="sum of relus")
    (tensor([[[2., 0.]]]), tensor([[[3., 0.]]]))
    """
    require.choice("relu", relu, CHOICES["grad_cam"])
    maps = _finite("maps", maps, "BNHW")
    weights = _finite("importance", importance, "BN", maps)
    if selection is not None:
        selection = require.bits("selection", selection, "B N", dict(zip("BN", maps.shape)))
        weights = weights * torch.as_tensor(selection).to(weights)
    if relu == "relu of sum":
        cam = F.relu(torch.einsum("bn,bnhw->bhw", weights, maps))
    else:
        cam = F.relu(weights[:, :, None, None] * maps).sum(1)
    require.values("CAMs", cam, remedy=_LARGE)
    return cam


def grad_cam_pp_weights(maps, gradients, *, variant: str = "eq19", epsilon: float = 0.0) -> torch.Tensor:
    """Map weights of Grad-CAM++, w_a = sum_ij alpha^a_ij relu(g^a_ij) [chattopadhay2018gradcampp].

    maps, gradients g = dz_c/dmaps: (B, N, H, W)  ->  (B, N), negative only if 2 + g S < 0 (signed maps).

    - variant "eq19": for the score exp(z_c), their Eq. 19 is alpha = g^2 / (2 g^2 + S g^3 + epsilon), where S is the
      sum of the map. alpha = 0 where g or the denominator is 0. The factor exp(z_c), common to the image, is left out.
      epsilon = 0 is the equation. pytorch-grad-cam adds 1e-6, which damps every map whose gradients are of order 1e-3
      or less, as they are after global average pooling.
    - variant "authors_code" (github adityac94/Grad_CAM_plus_plus): alphas are divided by their sum over the map. A zero
      sum gives weight 0, where that code divides by zero. For gradients constant over each map, as after global
      average pooling, the weights are relu(importance): the method is filtered Grad-CAM.

    >>> maps, gradients = torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[0.5, 0.5]]]])
    >>> grad_cam_pp_weights(maps, gradients)  # S = 4: alpha = 1 / (2 + 0.5 * 4), twice times 0.5
    tensor([[0.2500]])
    >>> grad_cam_pp_weights(maps, gradients, variant="authors_code")  # the alphas add up to 1
    tensor([[0.5000]])
    """
    require.choice("Grad-CAM++ variant", variant, ("eq19", "authors_code"))
    epsilon = require.number("epsilon", epsilon, "[0, inf)")
    maps = _finite("maps", maps, "BNHW")
    gradients = _finite("gradients", gradients, "BNHW", maps)
    denominator = 2 + gradients * maps.sum((2, 3), keepdim=True)  # divided by g^2: (B, N, H, W)
    require.values("denominators of Grad-CAM++", denominator, remedy=_LARGE)
    if epsilon:
        denominator = denominator + epsilon / gradients**2
    alpha = torch.where((gradients != 0) & (denominator != 0), 1 / denominator, 0)
    if variant == "authors_code":
        total = alpha.sum((2, 3), keepdim=True)
        alpha = torch.where(total != 0, alpha / total, 0)
    weights = (alpha * F.relu(gradients)).sum((2, 3))
    require.values("weights of Grad-CAM++", weights, remedy=_LARGE)
    return weights


def grad_cam_pp(maps, gradients, *, variant: str = "eq19", epsilon: float = 0.0) -> torch.Tensor:
    """Grad-CAM++, relu(sum_a w_a maps_a) with w of `grad_cam_pp_weights`: two (B, N, H, W)  ->  (B, H, W).

    >>> grad_cam_pp(torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[0.5, 0.5]]]]))
    tensor([[[0.2500, 0.7500]]])
    """
    return grad_cam(maps, grad_cam_pp_weights(maps, gradients, variant=variant, epsilon=epsilon))


def hires_cam(maps, gradients) -> torch.Tensor:
    """HiResCAM, relu(sum_a g_a maps_a) with the gradient kept per pixel (Draelos and Carin [draelos2020hirescam]).

    maps, gradients: (B, N, H, W)  ->  (B, H, W). For a linear classifier on the maps, the sum before the ReLU
    adds up over the pixels to z_c minus the bias; for gradients constant over each map it equals Grad-CAM.

    >>> maps, gradients = torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[2.0, -1.0]]]])
    >>> hires_cam(maps, gradients)  # Grad-CAM's mean gradient, 0.5, gives [[0.5, 1.5]]
    tensor([[[2., 0.]]])
    """
    maps = _finite("maps", maps, "BNHW")
    cam = F.relu((_finite("gradients", gradients, "BNHW", maps) * maps).sum(1))
    require.values("CAMs", cam, remedy=_LARGE)
    return cam


@torch.no_grad()
def score_cam_weights(
    maps, score: Callable, images, target=None, *, variant: str = "official", batch_size: int = 64
) -> torch.Tensor:
    """Map weights of Score-CAM: the score of the image masked with each map (Wang et al. [wang2020scorecam]).

    maps: (B, N, H, W), images: (B, 3, S, S), score: function of images, (n, 3, S, S) -> (n, classes), or (n,) if
    there is one class only; target: (B,) class of each image, by default that of largest score  ->  (B, N).
    Each map is upsampled (bilinear, align_corners=False), scaled to [0, 1] and multiplied with its image. What is
    masked is black for pixels in [0, 1] (normalise them inside `score`), and the mean colour for images already
    normalised, as in the official code. Constant maps get weight 0 and no forward pass, the others one each.

    - variant "official" (github haofanwang/Score-CAM): the score itself; `score` returns class probabilities.
    - variant "channel_softmax" (their Algorithm 1, pytorch-grad-cam): softmax of the scores over the N maps, where the
      baseline image cancels. pytorch-grad-cam scores logits (and upsamples with align_corners=True); for probabilities
      the softmax is nearly uniform.

    >>> maps = torch.tensor([[[[1.0, 0.0]], [[5.0, 5.0]]]])  # one pixel of two; a constant map
    >>> score_cam_weights(maps, lambda pixels: pixels.mean((1, 2, 3)), torch.ones(1, 3, 1, 2))
    tensor([[0.5000, 0.0000]])
    """
    require.choice("Score-CAM variant", variant, ("official", "channel_softmax"))
    batch_size, maps = require.whole("batch_size", batch_size, 1), _finite("maps", maps, "BNHW")
    images = dense("images", images, "B C H W", {"B": len(maps)})
    if not images.is_floating_point():
        raise ValueError(f"images must be floats, got {images.dtype}: preprocessing.to_pixels makes them of uint8")
    if not callable(score):
        raise ValueError(f"score must be a function of images, got {require.described(score)}")
    if target is None:
        full = torch.cat([_scores(score, part.clone()) for part in images.split(batch_size)])
        full = _finite("scores of images", full, "BC" if full.ndim == 2 else "B")
        target = full.argmax(1) if full.ndim == 2 else torch.zeros(len(maps))
    target = torch.as_tensor(require.indices("target", target, "B", 2**31, {"B": len(maps)})).to(maps.device)
    varies = normalise(maps.flatten(0, 1)).flatten(1).any(1).view(maps.shape[:2])
    weights = torch.zeros_like(maps[:, :, 0, 0])
    for i, a in zip(*(index.split(batch_size) for index in varies.nonzero(as_tuple=True))):
        masks = normalise(upsample(maps[i, a], images.shape[-2:])).to(images.dtype)  # (batch, S, S)
        scores = _scores(score, images[i] * masks[:, None])  # (batch, classes) or (batch,)
        if scores.ndim == 2:
            require.indices("target", target[i], "B", scores.shape[1])
            scores = scores.gather(1, target[i, None].to(scores.device)).squeeze(1)
        weights[i, a] = scores.to(weights.dtype)
    weights = _finite("scores of masked images", weights, "BN")
    if variant == "channel_softmax":  # nan_to_num: an image whose maps are all constant
        weights = weights.masked_fill(~varies, -torch.inf).softmax(1).nan_to_num(0)
    return weights


def _scores(score, images):
    scores = dense("what score returns", score(images), "...")
    if scores.ndim not in (1, 2) or len(scores) != len(images):
        fit = f"({len(images)}, classes), or ({len(images)},) of one class"
        raise ValueError(f"score must return {fit}, got shape {tuple(scores.shape)}")
    return scores


def score_cam(
    maps, score: Callable, images, target=None, *, variant: str = "official", batch_size: int = 64
) -> torch.Tensor:
    """Score-CAM, relu(sum_a w_a maps_a) with w of `score_cam_weights`  ->  (B, H, W) at map resolution.

    The official code sums upsampled maps instead, which for non-negative maps gives the same `heatmap`.

    >>> maps = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])
    >>> score_cam(maps, lambda pixels: pixels[:, 0, 0, 0], torch.ones(1, 3, 1, 2))  # the score is the left pixel
    tensor([[[1., 0.]]])
    """
    return grad_cam(maps, score_cam_weights(maps, score, images, target, variant=variant, batch_size=batch_size))


def normalise(cam) -> torch.Tensor:
    """Min-max scaling of each image's CAM to [0, 1]: (B, H, W)  ->  (B, H, W).

    A zero or constant CAM becomes all zeros; constant is a range below 1e-6 of the largest magnitude, so that
    rounding is not blown up. (Chattopadhay et al. divide by the maximum: the same where the CAM reaches 0.)

    >>> normalise(torch.tensor([[[1.0, 2.0, 5.0]]]))
    tensor([[[0.0000, 0.2500, 1.0000]]])
    """
    cam = _finite("CAMs", cam, "BHW")
    low, high = cam.amin((1, 2), keepdim=True), cam.amax((1, 2), keepdim=True)
    require.values("differences within CAMs", high - low, remedy=": scale the maps")
    constant = high - low <= 1e-6 * torch.maximum(high.abs(), low.abs())
    return torch.where(constant, 0, (cam - low) / torch.where(constant, 1, high - low))


def upsample(cam, size) -> torch.Tensor:
    """Bilinear resampling (align_corners=False): (B, H, W)  ->  (B, size, size), or (B, *size) for a pair.

    Raises ValueError for another shape, and a size that is no whole number from 1 to 32768, nor two.

    >>> upsample(torch.tensor([[[0.0, 1.0]]]), (1, 4))
    tensor([[[0.0000, 0.2500, 0.7500, 1.0000]]])
    """
    cam = require.tensor("CAMs", cam, "B H W", nan=True)
    if 0 in cam.shape[1:]:
        raise ValueError(f"CAMs must have pixels, got {require.described(cam)}")
    pair = tuple(size) if np.iterable(size) and not isinstance(size, str | bytes) else (size, size)
    pair = pair if len(pair) == 2 else (pair, pair)
    height, width = (require.whole("size", side, 1, LARGEST_SIDE) for side in pair)
    return F.interpolate(cam[:, None], size=(height, width), mode="bilinear", align_corners=False)[:, 0]


def heatmap(cam, size, *, resampling: str = "float") -> torch.Tensor:
    """Soft mask of a CAM: ReLU, upsampled, then normalised once: (B, H, W)  ->  (B, size, size) in [0, 1].

    Interpolation lowers peaks. A CAM normalised only before upsampling, as the Grad-CAM++ authors do, peaks below 1,
    which shifts hard thresholds and mask areas. Normalising before and after (pytorch-grad-cam) equals once after,
    because interpolation commutes with scale and offset. A zero or constant CAM gives zeros.
    resampling "8 bit", as the paper's authors make it (`conventions`): normalised before only, rounded to one of 256
    grey levels, and upsampled as such by Pillow, bilinear. Raises ValueError for an unknown resampling.

    >>> heatmap(torch.tensor([[[-1.0, 4.0, 0.0]]]), (1, 6))  # interpolation lowers 4 to 3, which becomes 1
    tensor([[[0.0000, 0.3333, 1.0000, 1.0000, 0.3333, 0.0000]]])
    >>> heatmap(torch.tensor([[[-1.0, 4.0, 0.0]]]), (1, 6), resampling="8 bit")  # 64 and 191 of 255
    tensor([[[0.0000, 0.2510, 0.7490, 0.7490, 0.2510, 0.0000]]])
    """
    require.choice("resampling", resampling, CHOICES["resampling"])
    cam = F.relu(_finite("CAMs", cam, "BHW"))
    if resampling == "float":
        return normalise(upsample(cam, size))
    shape = upsample(cam[:1], size).shape[1:]  # of a size that is checked
    levels = (255 * normalise(cam)).round().to(torch.uint8).cpu().numpy()
    images = [Image.fromarray(image).resize(shape[::-1], Image.Resampling.BILINEAR) for image in levels]
    large = np.stack(images) if images else np.zeros((0, *shape))
    return torch.as_tensor(large, device=cam.device).to(cam.dtype) / 255


def _filtered(maps, gradients):
    """Grad-CAM of the maps with positive importance."""
    alpha = importance_of(gradients)
    return grad_cam(maps, alpha, alpha > 0)


METHODS = {  # name: maps and gradients (B, N_f, H, W) -> CAM (B, H, W); notebook 08 scores all of them
    "Grad-CAM": lambda maps, gradients: grad_cam(maps, importance_of(gradients)),
    "filtered Grad-CAM": _filtered,
    "Grad-CAM++": grad_cam_pp,
}
