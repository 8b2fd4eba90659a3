"""Feature maps, their importance for a class, and their redundancy."""

import numpy as np
import torch


class NoPositiveMapError(ValueError):
    """An image none of whose maps supports the class: there is nothing to select from."""


def capture(head, features, target="block", class_index=None, batch=64):
    """Maps of a head's stage, the class-score gradients with respect to them, and the logits.

    Only the head is differentiated: the trunk that made `features` needs no graph.
    features: (B, 256, s, s) tensor. target: a stage of the head ("conv", "bn", "relu"), or "block" for its last one.
    class_index: (B,) classes to explain; the predicted ones when None.
    ->  maps (B, N_f, H, W), gradients (B, N_f, H, W), logits (B, classes), float32 on the CPU.
    Raises ValueError for an unknown target or maps that are not finite.
    """
    stage = head.stages[-1] if target == "block" else target
    if stage not in head.stages:
        raise ValueError(f"unknown gradient target {target!r}: choose 'block' or one of {head.stages}")
    device = head.classifier.weight.device
    outputs = []
    for start in range(0, len(features), batch):
        held = []

        def tap(name, maps, held=held):
            if name == stage:
                maps = maps.detach().requires_grad_()
                held.append(maps)
            return maps

        with torch.enable_grad():
            logits = head(features[start : start + batch].to(device).float(), tap)
            chosen = logits.argmax(1) if class_index is None else torch.as_tensor(class_index)[start : start + batch]
            score = logits.gather(1, chosen.to(device)[:, None]).sum()
            (gradients,) = torch.autograd.grad(score, held)
        outputs.append([t.detach().cpu() for t in (*held, gradients, logits)])
    maps, gradients, logits = (torch.cat(part) for part in zip(*outputs))
    if not torch.isfinite(maps).all():
        raise ValueError("feature maps hold NaN or infinite values: check the trunk's inputs and the trained head")
    return maps, gradients, logits


def arrays(head, features, targets):
    """What is kept of the images: maps_<target> (float16) and importance_<target> for each target, and logits."""
    kept = {}
    for target in targets:
        maps, gradients, logits = capture(head, features, target)
        kept |= {f"maps_{target}": maps.half().numpy(), f"importance_{target}": importance(gradients).numpy()}
    return kept | {"logits": logits.numpy()}


def importance(gradients):
    """Importance of each map: the class-score gradient averaged over its pixels (paper, Eq. 1).

    gradients: (..., N_f, H, W)  ->  (..., N_f).
    """
    return gradients.mean((-2, -1))


def contributions(maps, weight):
    """What each map adds to the logits, for maps taken after the block: the classifier is linear in them.

    maps: (B, N_f, H, W); weight: (C, N_f * H * W) of a classifier on the flattened maps, or (C, N_f) after global
    average pooling  ->  (B, N_f, C); with the bias, the sum over maps is the logits, that over a subset those with the
    other maps set to zero. Raises ValueError when the weight fits neither.
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
