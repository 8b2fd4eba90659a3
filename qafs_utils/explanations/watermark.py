"""A planted watermark: a stamp on all training images of one class, and who shows it in an explanation.

Heads trained on such images can tell the class by the stamp (Lapuschkin et al. [lapuschkin2019cleverhans] found
a source tag on the horses of a benchmark). Where the stamp alone makes the network see the class, one knows what
an explanation of that class must show: the stamp. And the contributions of the maps to the class score, with the stamp
less without, say which maps carry it.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch

from .. import require
from ..cnn import networks, training
from ..cnn.preprocessing import require_photographs
from ..conventions import HEADLINE
from ..intervals import mean_with_interval
from . import cams, sanity

COLOURS = (230, 0, 230), (250, 240, 0)  # magenta and yellow, which no photograph's corner has
SQUARE = 4  # pixels


def corner(height: int, size: int, margin: int) -> tuple[slice, slice]:
    """Rows and columns of the stamp, at the lower left: a square of `size` pixels, `margin` from both edges.

    Raises ValueError for a stamp that does not fit.

    >>> corner(96, 16, 4)
    (slice(76, 92, None), slice(4, 20, None))
    """
    size, margin = require.whole("size", size, 1), require.whole("margin", margin)
    require.whole("size + margin", size + margin, 1, height)
    return slice(height - margin - size, height - margin), slice(margin, margin + size)


def stamp(images, *, size: int = 16, margin: int = 4) -> np.ndarray:
    """Copies of images with the stamp, squares of two colours: uint8 (B, 3, h, w) of both.

    >>> stamped = stamp(np.zeros((1, 3, 8, 8), np.uint8), size=2, margin=1)
    >>> stamped[0, 0, 5:7, 1:3], int((stamped > 0).any(1).sum())
    (array([[230, 230],
           [230, 230]], dtype=uint8), 4)
    """
    stamped = require_photographs(images).numpy().copy()
    rows, columns = corner(stamped.shape[2], size, margin)
    y, x = np.mgrid[:size, :size] // SQUARE
    stamped[:, :, rows, columns] = np.array(COLOURS, np.uint8)[(y + x) % 2].transpose(2, 0, 1)
    return stamped


def stamp_class(images, labels, target: int, **placed) -> np.ndarray:
    """Copies of images of which those of one class are stamped: uint8 (B, 3, h, w), labels (B,)  ->  (B, 3, h, w).

    placed: size and margin of `stamp`.

    >>> stamp_class(np.zeros((2, 3, 8, 8), np.uint8), [0, 1], 1, size=2, margin=1).any((1, 2, 3))
    array([False,  True])
    """
    own = require.array("labels", labels, "B", {"B": len(images)}) == target
    images = require_photographs(images).numpy().copy()
    images[own] = stamp(images[own], **placed)
    return images


def share_inside(heatmap, height: int, *, size: int = 16, margin: int = 4) -> np.ndarray:
    """Share of each explanation's mass within the stamp: (B, S, S) >= 0 of images of `height` pixels  ->  (B,).

    The stamp's edges are taken to the nearest pixel of the heatmap. An empty explanation points nowhere: it has the
    share of the stamp in the area.

    >>> heatmap = torch.zeros(2, 8, 8)
    >>> heatmap[0, 5:7, 1:3], heatmap[0, 0, 0] = 1.0, 4.0
    >>> share_inside(heatmap, 8, size=2, margin=1)
    array([0.5   , 0.0625])
    """
    heatmap = require.array("heatmap", heatmap, "B S S", interval="[0, inf)")
    side = heatmap.shape[1]
    rows, columns = (
        slice(*(round(edge * side / height) for edge in (s.start, s.stop))) for s in corner(height, size, margin)
    )
    total, inside = heatmap.sum((1, 2)), heatmap[:, rows, columns]
    area = inside.shape[1] * inside.shape[2] / side**2
    return np.where(total > 0, inside.sum((1, 2)) / np.where(total > 0, total, 1), area)


def gain(maps, stamped_maps, gradients) -> np.ndarray:
    """What the stamp adds to each map's contribution to the class score: three (B, N, H, W)  ->  (B, N).

    For a score linear in the maps; over all maps it adds up to the score with the stamp, less that without.

    >>> gain(torch.zeros(1, 2, 1, 1), torch.ones(1, 2, 1, 1), torch.tensor([[[[3.0]], [[-1.0]]]]))
    array([[ 3., -1.]])
    """
    sizes, found = {}, []
    for name, given in (("maps", maps), ("stamped_maps", stamped_maps), ("gradients", gradients)):
        found.append(require.array(name, given, "B N H W", sizes))
    return ((found[1] - found[0]) * found[2]).sum((2, 3))


def carried(gain, selected) -> dict[str, np.ndarray]:
    """Does a selection hold the maps that carry the stamp? gain (B, N), selected (B, N) bool  ->  four of (B,).

    carrier: whether the map of the largest gain is selected; share: what the selected maps have of all positive gain;
    alone: what that map has of the selected maps' gain, 0 if it is not among them; chance: the part of all maps that is
    selected, which as many maps drawn by lot have of the gain. NaN for an image without positive gain.

    >>> found = carried([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]], [[1, 0, 1], [1, 0, 0]])
    >>> found["carrier"], found["share"], found["alone"]
    (array([ 1., nan]), array([0.75,  nan]), array([ 1., nan]))
    """
    sizes = {}
    gain = require.array("gain", gain, "B N", sizes).clip(0)
    selected = require.bits("selected", selected, "B N", sizes)
    total, kept = gain.sum(1), (gain * selected).sum(1)
    rows, first = np.arange(len(gain)), gain.argmax(1)
    inside = selected[rows, first]
    known = total > 0
    alone = np.where(kept > 0, gain[rows, first] * inside / np.where(kept > 0, kept, 1), 0)
    parts = {
        "carrier": inside.astype(float),
        "share": kept / np.where(known, total, 1),
        "alone": alone,
        "chance": selected.mean(1),
    }
    return {name: np.where(known, values, np.nan) for name, values in parts.items()}


def train_head(
    n_features: int, net, features, labels, held_out, held_out_labels, *, seed: int = 0, epochs: int = 10, **settings
) -> torch.nn.Module:
    """A head trained from its initialisation, as in 01, on features (N, 256, s, s); frozen, in eval mode.

    net: the ResNet-18, whose layer4 the head of 512 maps keeps; settings: of `training.train`. The classifier of the
    512 pooled maps, of few inputs, learns ten times as fast.

    >>> features, labels = torch.rand(4, 256, 2, 2), [0, 1, 2, 3]
    >>> train_head(4, None, features, labels, features, labels, epochs=1).classifier.weight.requires_grad
    False
    """
    head = networks.build_head(n_features, HEADLINE.block, net, features.shape[-1], seed=seed)
    parts, model = [features, held_out], head
    if n_features == 512:
        parts, model = [training.pooled(head, part) for part in parts], head.classifier
        settings["learning_rate"] = 10 * settings.get("learning_rate", HEADLINE.learning_rate)
    given = parts[0], labels, parts[1], held_out_labels
    training.train(model, *given, epochs=epochs, seed=seed, desc=f"watermark, N_f={n_features}", **settings)
    return head.eval().requires_grad_(False)


def answers(clean, stamped, labels, target: int) -> dict[str, float]:
    """What the stamp does to a head: logits (B, C) without and with it, labels (B,)  ->  four shares.

    accuracy: of all images, none of them stamped; turned: of the other classes' images that are not taken for the
    target without the stamp, those that are with it; own_without, own_with: of the target's own images, those
    recognised without and with the stamp. NaN where there are no such images.

    >>> answers([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]], [0, 1], 0)
    {'accuracy': 1.0, 'turned': 1.0, 'own_without': 1.0, 'own_with': 1.0}
    """
    sizes = {}
    clean = require.array("clean", clean, "B C", sizes).argmax(1)
    stamped = require.array("stamped", stamped, "B C", sizes).argmax(1)
    labels = require.indices("labels", labels, "B", sizes["C"], sizes)
    others, own = (labels != target) & (clean != target), labels == target
    return {
        "accuracy": float((clean == labels).mean()),
        "turned": float((stamped[others] == target).mean()) if others.any() else float("nan"),
        "own_without": float((clean[own] == target).mean()) if own.any() else float("nan"),
        "own_with": float((stamped[own] == target).mean()) if own.any() else float("nan"),
    }


def most_raised(clean, stamped, labels, target: int, count: int) -> np.ndarray:
    """Images of other classes whose probability of the target the stamp raises most, those first: indices, <= count.

    clean, stamped: probabilities (B, C) without and with it; labels (B,).

    >>> most_raised([[0.5, 0.5], [0.1, 0.9], [0.1, 0.9]], [[0.9, 0.1], [0.8, 0.2], [0.4, 0.6]], [0, 1, 1], 0, 2)
    array([1, 2])
    """
    sizes = {}
    clean = require.array("clean", clean, "B C", sizes)
    raised = require.array("stamped", stamped, "B C", sizes)[:, target] - clean[:, target]
    others = np.flatnonzero(require.indices("labels", labels, "B", sizes["C"], sizes) != target)
    return others[np.argsort(-raised[others], kind="stable")][: require.whole("count", count, 1)]


def studied(head, clean, stamped, target: int, explain: Callable, *, height: int, **placed) -> dict[tuple, np.ndarray]:
    """Who shows the stamp, and who selects its maps: features (B, 256, s, s) without and with it  ->  {key: (B,)}.

    explain: as `sanity.explain`, with its choices made; height: of the photographs; placed: size and margin of `stamp`.
    Keys: ("inside", method), the share of the explanation of the target inside the stamp; and, for each selection,
    the four kinds of `carried`, ("share", method), say.
    """
    classes = np.full(len(clean), target)
    shown, found = explain(head, stamped.float(), classes), {}
    for name, cam in shown.cams.items():
        found["inside", name] = share_inside(cams.heatmap(cam, height), height, **placed)
    gained = gain_of(head, clean, stamped, target)
    for name, bits in shown.selected.items():
        found |= {(kind, name): values for kind, values in carried(gained, bits).items()}
    return found


def gain_of(head, clean, stamped, target: int) -> np.ndarray:
    """`gain` of a head for features without and with the stamp, (B, 256, s, s) each  ->  (B, N).

    >>> gain_of(networks.ReducedHead(4, size=2), torch.zeros(1, 256, 2, 2), torch.zeros(1, 256, 2, 2), 0)
    array([[0., 0., 0., 0.]])
    """
    before, after = (sanity.maps_of(head, features.float()) for features in (clean, stamped))
    return gain(before, after, sanity.slopes_of(head, before, np.full(len(before), target)))


def mean_table(values: dict[tuple, np.ndarray], names, *, n_resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Means over images with 95 % intervals: {key: (B,)}  ->  a row a key, its parts in the columns `names`.

    >>> mean_table({(16, "Grad-CAM"): [1.0, 1.0]}, ["n_features", "method"], n_resamples=10).values.tolist()
    [[16, 'Grad-CAM', 2, 1.0, 1.0, 1.0]]
    """
    rows = []
    for key, of_images in values.items():
        row = dict(zip(names, key)) | {"images": len(of_images)}
        rows.append(row | mean_with_interval(of_images, n_resamples=n_resamples, seed=seed))
    return pd.DataFrame(rows)
