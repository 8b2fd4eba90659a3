"""Masks made of heatmaps, and images seen through them.

Images and heatmaps are torch tensors: images (B, 3, H, W) of pixels in [0, 1], before any mean and standard deviation
are subtracted, heatmaps (B, H, W) in [0, 1] as `cams.heatmap` makes them. `AverageDropDefinition.masking` says what a
mask keeps of a heatmap. Functions raise ValueError for a wrong shape, an unknown choice, NaN, and numbers outside
[0, 1], images of uint8 among them. For rounding, images and what `match_area` ranks may lie a thousandth beyond;
`pixel_sequence` ranks any numbers.
"""

from collections.abc import Iterator

import numpy as np
import torch

from .. import require
from ..cnn.preprocessing import require_pixels
from .average_drop import AverageDropDefinition, Masking


def _heatmap(heatmap, sizes=None, interval="[0, 1]"):
    heatmap = require.tensor("heatmap", heatmap, "B H W", sizes, interval, remedy=": make it with cams.heatmap")
    if 0 in heatmap.shape[1:]:
        raise ValueError(f"heatmap must have pixels, got {require.described(heatmap)}")
    return heatmap


def _require_masking(masking):
    if not isinstance(masking, Masking):
        got = f"got {require.described(masking)}"
        raise ValueError(f"masking must be that of an AverageDropDefinition, {got}: definition.masking")
    AverageDropDefinition(*masking)  # refuses unknown choices


def kept(heatmap, masking: Masking) -> torch.Tensor:
    """Masks of heatmaps: (B, H, W) in [0, 1]  ->  (B, H, W) float, 1 where the image is kept.

    masking: `AverageDropDefinition.masking`. An all-zero heatmap gives a zero mask in every masking.

    >>> kept(torch.tensor([[[0.0, 0.2, 0.6, 1.0]]]), AverageDropDefinition("threshold", 0.6).masking)
    tensor([[[0., 0., 1., 1.]]])
    """
    _require_masking(masking)
    heatmap = _heatmap(heatmap)
    if masking.mask == "soft":
        return heatmap.clone()
    if masking.mask == "threshold":
        cut = torch.tensor(masking.value, dtype=heatmap.dtype, device=heatmap.device)
    else:
        flat = heatmap.flatten(1)
        k = round(masking.value * flat.shape[1])
        cut = flat.topk(k).values[:, -1, None, None] if k else torch.inf
    return ((heatmap >= cut) & (heatmap > 0)).to(heatmap.dtype)


def match_area(heatmap, area, masking: Masking) -> torch.Tensor:
    """Heatmaps of the same ranking of pixels whose mask has a given area: (B, H, W), area (B,)  ->  (B, H, W).

    Applied to noise it gives the control of equal area for a mask (`area`). For a soft mask the heatmap is raised
    to a power, found by Newton's method; log mean(h^g) is convex in g, so it converges from g = 0 on one side. For a
    hard mask the highest pixels become 1, the others 0, to the nearest pixel (and ties). Area 0 gives zeros, as less
    than half a pixel does. A soft mask cannot have less than the share of its largest value.

    >>> noise = torch.tensor([[[0.2, 0.6, 0.4, 1.0]]])
    >>> match_area(noise, [0.25], AverageDropDefinition("top_fraction", 0.5).masking)
    tensor([[[0., 0., 0., 1.]]])
    """
    _require_masking(masking)
    sizes = {}
    heatmap = _heatmap(heatmap, sizes, "[-0.001, 1.001]")
    area = require.tensor("area", area, "B", sizes, "[0, 1]").to(heatmap)
    flat = heatmap.flatten(1)
    if not len(flat):
        return heatmap.clone()
    if masking.mask == "soft":
        log_h, wanted = flat.clamp_min(1e-6).log(), area.clamp_min(1e-6).log()  # (B, H * W), (B,)
        power, raised = torch.zeros_like(area), torch.empty_like(log_h)
        for _ in range(60):
            torch.mul(power[:, None], log_h, out=raised).exp_()
            mean = raised.mean(1)
            step = (mean.log() - wanted) * mean / -raised.mul_(log_h).mean(1).clamp_max(-1e-12)
            step = torch.minimum(step, 1e4 - power)
            power += step
            if step.abs().max() < 1e-5 * power.max():
                break
        matched = torch.mul(power[:, None], log_h, out=raised).exp_()
    else:
        count = (area * flat.shape[1]).round().long()
        highest = flat.sort(dim=1, descending=True).values
        matched = (flat >= highest.gather(1, (count - 1).clamp_min(0)[:, None])).to(heatmap) * (count > 0)[:, None]
    return torch.where(area[:, None] > 0, matched, 0).view_as(heatmap)


def area(heatmap, masking: Masking) -> np.ndarray:
    """Mean of the mask of each image, the fraction kept: (B, H, W)  ->  (B,) array in [0, 1].

    >>> area(torch.tensor([[[0.0, 0.2, 0.6, 1.0]]]), AverageDropDefinition("threshold", 0.5).masking)
    array([0.5])
    """
    return kept(heatmap, masking).double().mean((1, 2)).cpu().numpy()


def apply(images, heatmap, masking: Masking) -> torch.Tensor:
    """Images with the masked part filled: (B, 3, H, W) in pixel space, (B, H, W)  ->  (B, 3, H, W).

    fill "black" is 0 in pixel space (after the mean is subtracted, 0 would be the mean colour); fill "mean" takes each
    image's own mean colour.

    >>> image, heatmap = torch.tensor([0.2, 0.8]).expand(1, 3, 1, 2), torch.tensor([[[0.0, 1.0]]])
    >>> apply(image, heatmap, AverageDropDefinition(fill="mean").masking)[0, 0]  # the red channel
    tensor([[0.5000, 0.8000]])
    """
    sizes = {}
    mask = kept(_heatmap(heatmap, sizes), masking)[:, None]
    images = require_pixels("images", images, sizes)
    mask = mask.to(images)
    if masking.fill == "black":
        return images * mask
    return images * mask + images.mean((2, 3), keepdim=True) * (1 - mask)


def pixel_sequence(
    images, heatmap, *, steps: int = 20, baseline=0.0, mode: str = "insertion", seed: int = 0
) -> Iterator[torch.Tensor]:
    """Images with ever more pixels replaced, batch by batch, most important first (Petsiuk et al. [petsiuk2018rise]).

    images: (B, 3, H, W), heatmap: (B, H, W), baseline: a number, or a tensor that broadcasts to images (a
    blurred copy, say)  ->  steps + 1 batches (B, 3, H, W) at fractions 0, 1/steps, ..., 1 of the pixels.
    "insertion" goes from the baseline to the image, "deletion" back. Pixels of equal heatmap come in a seeded
    random order. Raises ValueError for an unknown mode, shapes that do not fit, and less than one step.

    >>> image, heatmap = torch.full((1, 3, 1, 2), 0.7), torch.tensor([[[0.1, 0.9]]])
    >>> for batch in pixel_sequence(image, heatmap, steps=2):
    ...     print(batch[0, 0])
    tensor([[0., 0.]])
    tensor([[0.0000, 0.7000]])
    tensor([[0.7000, 0.7000]])
    """
    require.choice("mode", mode, ("insertion", "deletion"))
    steps, sizes = require.whole("steps", steps, 1), {}
    heatmap = _heatmap(heatmap, sizes, "(-inf, inf)")
    images = require_pixels("images", images, sizes).clone()  # the batches are made when they are asked for
    limits = {"interval": "[-0.001, 1.001]", "remedy": ", as images are in [0, 1]"}
    baseline = require.tensor("baseline", baseline, "...", **limits).to(images, copy=True)
    try:
        baseline = baseline.expand_as(images)
    except RuntimeError:
        wanted = f"a number, or a tensor that broadcasts to images {tuple(images.shape)}"
        raise ValueError(f"baseline must be {wanted}, got shape {tuple(baseline.shape)}") from None
    flat = heatmap.flatten(1)
    shuffle = torch.randperm(flat.shape[1], generator=torch.Generator().manual_seed(require.whole("seed", seed)))
    shuffle = shuffle.to(flat.device)
    order = shuffle[flat[:, shuffle].argsort(dim=1, descending=True, stable=True)]
    rank = order.argsort(dim=1).view_as(heatmap)[:, None]
    firsts = (rank < round(step / steps * flat.shape[1]) for step in range(steps + 1))
    return (torch.where(first == (mode == "insertion"), images, baseline) for first in firsts)
