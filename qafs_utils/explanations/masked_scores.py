"""What a network says of images masked by explanation maps, beside masks of equal area that know nothing of the image.

A group is a set of images and the head that explains them. The scores of all groups are artefact 08_scores. Its arrays
have names such as "scores/grad_cam_pp/nf16_seed0/top_k"; `array_names.index_of` makes a table of such names.
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from scipy import ndimage
from tqdm import tqdm

from .. import require
from ..cnn import training
from ..cnn.extraction import capture
from ..cnn.feature_maps import importance
from ..intervals import nan_mean
from . import average_drop, cams, masks
from .array_names import index_of


def explanation_maps(maps, gradients, selections: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Explanation maps by method: those of `cams.METHODS`, then Grad-CAM of each selection.

    maps, gradients: (B, N_f, H, W); selections: {name: (B, N_f) bool}, of each the Grad-CAM  ->  {method: (B, H, W)}.
    Of signed maps also "Grad-CAM, sum of relus"; for maps >= 0 it is filtered Grad-CAM.

    >>> maps = torch.rand(1, 2, 3, 3)
    >>> found = explanation_maps(maps, torch.ones(1, 2, 3, 3), {"top_k": np.array([[True, False]])})
    >>> list(found) == [*cams.METHODS, "top_k"]
    True
    """
    alpha = importance(gradients)
    found = {name: method(maps, gradients) for name, method in cams.METHODS.items()}
    if (maps < 0).any():
        found["Grad-CAM, sum of relus"] = cams.grad_cam(maps, alpha, relu="sum of relus")
    return found | {name: cams.grad_cam(maps, alpha, torch.as_tensor(bits)) for name, bits in selections.items()}


def explain_group(head, features, selections: dict[str, np.ndarray], *, target: str = "block") -> dict:
    """`explanation_maps` of the images behind some features: (B, 256, s, s), target as for `extraction.capture`.

    selections: as there. "candidates" among them, which is no method, must be the maps of positive importance; else
    raises ValueError.

    >>> from qafs_utils.cnn.networks import ReducedHead
    >>> explain_group(ReducedHead(4, size=1), torch.rand(1, 256, 1, 1), {})["Grad-CAM"].shape
    torch.Size([1, 1, 1])
    """
    maps, gradients, _ = capture(head, features, target)
    positive = (importance(gradients) > 0).numpy()
    if not np.array_equal(selections.get("candidates", positive), positive):
        raise ValueError("the selections are of other candidates: run notebooks 02 and 04 again")
    return explanation_maps(maps, gradients, {name: s for name, s in selections.items() if name != "candidates"})


def score_cams(maps, logits, score: Callable, pixels, *, variant: str = "official", desc: str = "Score-CAM"):
    """Score-CAM of many images for their predicted classes, with a progress bar  ->  (B, H, W).

    maps (B, N_f, H, W), logits (B, classes), pixels (B, 3, S, S); score, variant: as for `cams.score_cam`.

    >>> score_cams(torch.rand(1, 2, 3, 3), torch.eye(2)[:1], lambda x: x[:, :2, 0, 0], torch.rand(1, 3, 6, 6)).shape
    torch.Size([1, 3, 3])
    """
    parts = tqdm(torch.arange(len(pixels)).split(5), desc=desc, unit="5 images")
    return torch.cat([cams.score_cam(maps[i], score, pixels[i], logits[i].argmax(1), variant=variant) for i in parts])


def likeness(cam, other) -> float:
    """Mean correlation of two explanations of each image, where both vary over the image: (B, H, W) each.

    >>> cam = torch.tensor([[[0.0, 1.0, 2.0]], [[0.0, 0.0, 0.0]]])
    >>> round(likeness(cam, cam**2), 3)
    0.961
    """
    pairs = zip(cam.flatten(1).double().numpy(), other.flatten(1).double().numpy())
    return nan_mean([np.corrcoef(a, b)[0, 1] for a, b in pairs if a.std() > 0 and b.std() > 0])


def smooth_noise(count: int, size: int, *, seed: int = 0) -> torch.Tensor:
    """Heatmaps that know nothing of the image: 4 x 4 random values, interpolated  ->  (count, size, size) in [0, 1].

    >>> smooth_noise(2, 8).shape
    torch.Size([2, 8, 8])
    """
    return cams.heatmap(torch.rand(count, 4, 4, generator=torch.Generator().manual_seed(seed)), size)


def centred_blob(size: int) -> torch.Tensor:
    """A heatmap that is 1 in the centre of the image and falls to 0 at its corners: (size, size).

    >>> centred_blob(3)[1]
    tensor([0.2929, 1.0000, 0.2929])
    """
    axis = torch.linspace(-1, 1, size)
    return 1 - torch.hypot(axis[:, None], axis) / 2**0.5


def masked_scores(
    score: Callable,
    pixels,
    cam,
    masking,
    *,
    controls: dict[str, torch.Tensor] | None = None,
    rows=None,
    batch: int = 50,
) -> dict[str, np.ndarray]:
    """Logits of images masked by their explanation maps, and under blind masks of the same area, image by image.

    score: pixels -> logits; pixels (B, 3, S, S); cam (B, H, W); masking: as for `masks.kept`; controls: {name: heatmaps
    (B, S, S)}, brought to the area of each mask by `masks.match_area`; rows: indices of the images, or None for all
    ->  of these images {"scores": (B, classes), "areas": (B,), and (B, classes) for each control}.

    >>> cam = torch.tensor([[[0.0, 1.0], [0.0, 0.0]]])
    >>> found = masked_scores(lambda x: x.mean((2, 3)), torch.ones(1, 3, 2, 2), cam, average_drop.DEFAULT.masking)
    >>> found["areas"], found["scores"]
    (array([0.25]), array([[0.25, 0.25, 0.25]], dtype=float32))
    """
    controls, rows = controls or {}, torch.arange(len(cam)) if rows is None else torch.as_tensor(rows)
    parts = {"scores": [], "areas": []} | {name: [] for name in controls}
    for some in rows.split(require.whole("batch", batch, 1)):
        heatmap = cams.heatmap(cam[some], pixels.shape[-1], resampling=masking.resampling)
        area = masks.area(heatmap, masking)
        parts["areas"].append(area)
        parts["scores"].append(score(masks.apply(pixels[some], heatmap, masking)).numpy())
        for name, ranking in controls.items():
            alike = masks.match_area(ranking[some], area, masking)
            parts[name].append(score(masks.apply(pixels[some], alike, masking)).numpy())
    return {name: np.concatenate(values) for name, values in parts.items()}


def score_group(
    trunk,
    head,
    group: str,
    pixels,
    explanations: dict,
    maskings: list[str],
    *,
    plain: Iterable[str] = (),
    aside: Iterable[str] = (),
    also: dict[str, list[str]] | None = None,
) -> dict[str, np.ndarray]:
    """Scores of a group of images under all its explanation maps, by the names of artefact 08_scores, in float32.

    explanations: {method: (B, H, W)}; maskings: names of `average_drop.DEFINITIONS`, all of them for the chosen images,
    the first for others. Smooth noise is the control for the chosen images and the broad sample, a blob in the centre
    for the chosen images under the first masking. plain: methods scored without controls; aside: methods scored under
    the first masking only, without controls; also: {masking: methods scored under it too, without controls}. Where two
    methods explain an image alike, it is scored once.

    >>> from qafs_utils.cnn import networks, pretrained
    >>> trunk, head = networks.Trunk(pretrained.resnet18("random")), networks.ReducedHead(4, size=1)
    >>> found = score_group(trunk, head, "nf4", torch.rand(1, 3, 16, 16), {"qa": torch.rand(1, 2, 2)}, ["top_half"])
    >>> list(found)
    ['full/nf4', 'scores/top_half/nf4/qa', 'areas/top_half/nf4/qa', 'random/top_half/nf4/qa', 'centred/top_half/nf4/qa']
    """
    score, sample = training.scorer(trunk, head), index_of([f"full/{group}"])["sample"].item()
    blind = {
        "random": smooth_noise(len(pixels), pixels.shape[-1]),
        "centred": centred_blob(pixels.shape[-1]).expand(len(pixels), -1, -1),
    }
    plan = []
    for method in explanations:
        for name in maskings if sample == "chosen" and method not in aside else maskings[:1]:
            controls = ["random"] if sample in ("chosen", "broad") else []
            controls += ["centred"] if sample == "chosen" and name == maskings[0] else []
            plan.append((name, method, [] if method in (*plain, *aside) else controls))
    plan += [(name, method, []) for name, methods in (also or {}).items() for method in methods]
    plan.sort(key=lambda task: -len(task[2]))  # who has controls comes first, for others to take the scores over
    scores, known = {f"full/{group}": training.score_all(trunk, head, pixels).numpy()}, {}
    for name, method, controls in tqdm(plan, desc=f"masked images, {group}", unit="mask"):
        cam, masking = explanations[method], average_drop.DEFINITIONS[name].masking
        keys = [(name, image, values.tobytes()) for image, values in enumerate(cam.numpy())]
        new = [image for image, key in enumerate(keys) if not known.get(key, {}).keys() >= {"scores", *controls}]
        if new:
            of_controls = {kind: blind[kind] for kind in controls}
            found = masked_scores(score, pixels, cam, masking, controls=of_controls, rows=new)
            for kind, values in found.items():
                for image, value in zip(new, values):
                    known.setdefault(keys[image], {})[kind] = value
        for kind in ("scores", "areas", *controls):
            values = np.stack([known[key][kind] for key in keys])
            scores[f"{kind}/{name}/{group}/{method}"] = values.astype(np.float32)
    return scores


def masked_drops(
    score: Callable, full, pixels, cam, labels, definition=average_drop.DEFAULT
) -> tuple[np.ndarray, np.ndarray]:
    """Drop of every image in percent under its explanation map, and the area of its mask: (B,) and (B,).

    full: logits of the whole images (B, classes); labels: (B,) true classes; others as for `masked_scores`.

    >>> logits = lambda pixels: torch.stack([pixels.mean((1, 2, 3)), torch.zeros(len(pixels))], 1)
    >>> image, cam = torch.ones(1, 3, 2, 2), torch.tensor([[[0.0, 1.0], [0.0, 0.0]]])
    >>> drops, areas = masked_drops(logits, logits(image), image, cam, [0])
    >>> drops.round(1), areas
    (array([23.1]), array([0.25]))
    """
    found = masked_scores(score, pixels, cam, definition.masking)
    return average_drop.drops(full, found["scores"], labels, definition), found["areas"]


def insertion_and_deletion(
    score: Callable, pixels, heatmaps: dict[str, torch.Tensor], target, *, steps: int = 10, desc: str = "curves"
) -> dict[tuple[str, str], np.ndarray]:
    """Probability of a class while pixels are put back into a blurred copy, or blackened, the most important first.

    score: pixels -> probabilities (B, classes); pixels (B, 3, S, S); heatmaps: {method: (B, S, S)}; target: classes
    (B,)  ->  {("insertion" or "deletion", method): (B, steps + 1)} (RISE, see `masks.pixel_sequence`).

    >>> brightness = lambda pixels: pixels.mean((2, 3))
    >>> found = insertion_and_deletion(brightness, torch.ones(1, 3, 2, 2), {"qa": torch.rand(1, 2, 2)}, [0], steps=2)
    >>> found["deletion", "qa"]
    array([[1. , 0.5, 0. ]], dtype=float32)
    """
    width, rows = pixels.shape[-1] / 14, np.arange(len(pixels))
    blurred = torch.as_tensor(ndimage.gaussian_filter(pixels.numpy(), (0, 0, width, width)))
    curves = {}
    for method, heatmap in tqdm(heatmaps.items(), desc=desc, unit="method"):
        for mode, baseline in (("insertion", blurred), ("deletion", torch.zeros(1))):
            images = masks.pixel_sequence(pixels, heatmap, steps=steps, baseline=baseline, mode=mode)
            probability = [torch.cat([score(part) for part in batch.split(50)]).numpy() for batch in images]
            curves[mode, method] = np.stack([p[rows, target] for p in probability], 1)
    return curves
