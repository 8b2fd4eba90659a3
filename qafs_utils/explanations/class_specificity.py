"""Do explanations tell classes apart? Mosaics of four photographs, pooled heads, and how explanations are scored.

Grid Pointing Game (Böhle, Fritz and Schiele [boehle2021coda]): an image of 2 x 2 photographs of four classes, one
explanation for each of these. Its strict version follows DiFull (Rao, Böhle and Schiele [rao2022attribution]).
Cells count in reading order: 0 1 above 2 3. A class score is linear in the maps of a last block, so its
gradient with respect to them is the classifier's weight.
"""

import copy
from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from .. import require
from ..cnn import training
from ..cnn.datasets import CLASSES
from ..cnn.extraction import capture
from ..cnn.networks import ReducedHead
from ..cnn.tensors import require_kind
from ..conventions import HEADLINE
from ..intervals import mean_with_interval

CELLS = 4


class PooledHead(ReducedHead):
    """A ReducedHead whose classifier sees the mean of each map: it is bound to no place, and takes maps of any size.

    forward: features (B, 256, s, s) of any s  ->  logits (B, classes); stages and `tap` as those of ReducedHead.

    >>> head = PooledHead(16)
    >>> head(torch.rand(5, 256, 2, 2)).shape, head(torch.rand(1, 256, 7, 7)).shape
    (torch.Size([5, 10]), torch.Size([1, 10]))
    """

    def __init__(self, n_features: int, block: str = "paper", n_classes: int = 10):
        super().__init__(n_features, block, size=1, n_classes=n_classes)

    def forward(self, features, tap=lambda name, maps: maps) -> torch.Tensor:
        """features (B, 256, s, s), tap(name, maps) -> maps  ->  logits (B, classes)."""
        for name in self.stages:
            features = tap(name, getattr(self.block, name)(features))
        return self.classifier(features.mean((2, 3)))


def pooled_head(head: ReducedHead, *, seed: int = 0) -> PooledHead:
    """A PooledHead with a copy of a trained head's block, and a new classifier, seeded. It can be trained.

    Raises ValueError for what is no ReducedHead.

    >>> pooled_head(ReducedHead(16, size=4)).classifier.weight.shape
    torch.Size([10, 16])
    """
    require_kind("head", head, ReducedHead)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(require.whole("seed", seed))
        kind = next(name for name, stages in head.BLOCKS.items() if stages == head.stages)
        pooled = PooledHead(head.block.conv.out_channels, kind, head.classifier.out_features)
    pooled.block = copy.deepcopy(head.block)
    return pooled.requires_grad_()


def train_pooled(
    head: ReducedHead, given, held_out, *, classifier_epochs: int = 100, epochs: int = 5, seed: int = 0, **settings
) -> PooledHead:
    """A trained head's block under a classifier on pooled maps: that one is trained first, then both, as in 01.

    given, held_out: features (N, 256, s, s) and labels (N,), to train on and to choose the epoch by; settings: of
    `training.train`. The classifier, of few inputs, learns ten times as fast while it is alone. The head is frozen.

    >>> part = torch.rand(4, 256, 2, 2), [0, 1, 2, 3]
    >>> train_pooled(ReducedHead(4, size=2), part, part, classifier_epochs=1, epochs=1).classifier.weight.requires_grad
    False
    """
    model, (features, labels), (others, other_labels) = pooled_head(head, seed=seed), given, held_out
    pooled, other_pooled = (capture(model, part)[0].mean((2, 3)) for part in (features, others))
    rate = settings.get("learning_rate", HEADLINE.learning_rate)
    faster = settings | {"learning_rate": 10 * rate, "epochs": classifier_epochs, "seed": seed, "desc": "classifier"}
    training.train(model.classifier, pooled, labels, other_pooled, other_labels, **faster)
    settings |= {"epochs": epochs, "seed": seed, "desc": "pooled head"}
    training.train(model, features, labels, others, other_labels, **settings)
    return model.requires_grad_(False)


def draw_mosaics(labels, count: int, *, seed: int = 0, n_classes: int = len(CLASSES)) -> np.ndarray:
    """Images of mosaics of four different classes, drawn whatever a network says of them: labels (N,)  ->  (count, 4).

    Every mosaic takes the four classes of which fewest images were used, by lot among equals, and an image of each that
    was not used yet, as long as there is one. A mosaic's photographs come in random order. Labels are below n_classes.
    Raises ValueError for labels of fewer than four classes.

    >>> labels = np.repeat(np.arange(5), 2)
    >>> np.sort(labels[draw_mosaics(labels, 2)], axis=1).shape
    (2, 4)
    """
    labels = require.indices("labels", labels, "N", n_classes)
    count, rng = require.whole("count", count, 1), require.generator("seed", seed)
    classes = np.unique(labels)
    if len(classes) < CELLS:
        raise ValueError(f"a mosaic needs images of {CELLS} classes, got labels of {len(classes)}")
    unused, used, drawn = {c: [] for c in classes}, np.zeros(len(classes)), []
    for _ in range(count):
        four = np.lexsort((rng.random(len(classes)), used))[:CELLS]
        used[four] += 1
        for c in classes[four]:
            unused[c] = unused[c] or list(rng.permutation(np.flatnonzero(labels == c)))
        drawn.append(rng.permutation([unused[c].pop() for c in classes[four]]))
    return np.array(drawn)


def require_different_classes(classes) -> np.ndarray:
    """Classes of mosaics, (B, 4), as an int array. Raises ValueError, naming it, where a mosaic has a class twice.

    >>> require_different_classes([[0, 1, 2, 3], [3, 0, 3, 1]])
    Traceback (most recent call last):
    ValueError: mosaic 1 has the class cat twice: its cells must be of four different classes
    """
    classes = require.indices("classes", classes, f"B {CELLS}", len(CLASSES))
    for i, row in enumerate(classes):
        values, counts = np.unique(row, return_counts=True)
        if counts.max() > 1:
            twice = CLASSES[values[counts.argmax()]]
            raise ValueError(f"mosaic {i} has the class {twice} twice: its cells must be of four different classes")
    return classes


def side_by_side(parts):
    """Four images or maps of each mosaic as one, 2 x 2: (B, 4, C, h, w)  ->  (B, C, 2 h, 2 w), an array or a tensor.

    >>> side_by_side(np.arange(4).reshape(1, 4, 1, 1, 1))[0, 0]
    array([[0, 1],
           [2, 3]])
    """
    b, _, c, h, w = require.shape("parts", parts.shape, f"B {CELLS} C h w")
    parts = parts.reshape(b, 2, 2, c, h, w)
    order = (0, 3, 1, 4, 2, 5)  # mosaic, channel, row of cells, row, column of cells, column
    parts = parts.permute(order) if isinstance(parts, torch.Tensor) else parts.transpose(order)
    return parts.reshape(b, c, 2 * h, 2 * w)


def gradients_of(weight, n_features: int, height: int, width: int) -> torch.Tensor:
    """Gradient of every class score with respect to the maps: a classifier's weight  ->  (classes, N_f, height, width).

    weight: (classes, N_f) on pooled maps: the gradient is weight / (height * width); (classes, N_f * height * width) on
    flattened maps: the weight itself; (classes, N_f * height / 2 * width / 2) on the flattened maps of each cell apart:
    a mosaic's score is the mean of its cells' scores, and the gradient a quarter of the weight in every cell.
    Raises ValueError for a weight of another shape.

    >>> weight = torch.tensor([[8.0]])
    >>> gradients_of(weight, 1, 2, 2)[0, 0], gradients_of(weight, 1, 1, 1)[0, 0]
    (tensor([[2., 2.],
            [2., 2.]]), tensor([[8.]]))
    """
    weight = require.tensor("weight", weight, "classes weights")
    classes, found = weight.shape
    if found == n_features:
        return (weight / (height * width))[:, :, None, None].expand(-1, -1, height, width)
    if found == n_features * height * width:
        return weight.view(classes, n_features, height, width)
    if CELLS * found == n_features * height * width and height % 2 == width % 2 == 0:
        return weight.view(classes, n_features, height // 2, width // 2).tile(1, 1, 2, 2) / CELLS
    fit = f"(classes, {n_features}), (classes, {n_features * height * width}) or a quarter of that"
    raise ValueError(f"weight must be {fit} to go with maps of {height} x {width}, got {tuple(weight.shape)}")


def scores_of(maps, gradients, bias) -> torch.Tensor:
    """Class scores that gradients of `gradients_of` make of maps: (B, N, H, W), (C, N, H, W), (C,)  ->  (B, C).

    >>> scores_of(torch.ones(1, 1, 2, 2), gradients_of(torch.tensor([[8.0], [4.0]]), 1, 2, 2), [0, 1])
    tensor([[8., 5.]])
    """
    sizes = {}
    maps = require.tensor("maps", maps, "B N H W", sizes)
    gradients = require.tensor("gradients", gradients, "C N H W", sizes)
    bias = require.tensor("bias", bias, "C", sizes)
    return maps.flatten(1) @ gradients.flatten(1).T + bias


def cell_scores(cam) -> dict[str, np.ndarray]:
    """How much of each explanation lies in its own cell: cam (B, 4, H, W), explanation i is of the class of cell i.

    ->  share (B, 4), of the positive mass; hit (B, 4), whether the largest value lies there (a part of 1, where equals
    lie in several cells); empty (B, 4) bool, no positive value at all. Chance is 0.25 of both. A constant explanation
    has just that, as it points nowhere; so has an empty one, which is constant: it is counted, not left out.
    Raises ValueError for sides that are not even, which no cell border divides, NaN and infinity.

    >>> found = cell_scores(torch.tensor([[[[3.0, 0.0], [1.0, -5.0]]] * 2 + [[[0.0, 0.0], [0.0, 0.0]]] * 2]))
    >>> found["share"], found["hit"], found["empty"]
    (array([[0.75, 0.  , 0.25, 0.25]]), array([[1.  , 0.  , 0.25, 0.25]]), array([[False, False,  True,  True]]))
    """
    cam = require.tensor("explanations", cam, f"B {CELLS} H W").double()
    b, _, height, width = cam.shape
    if height % 2 or width % 2 or not height * width:
        raise ValueError(f"explanations of 2 x 2 cells must have even sides, got {height} x {width}")
    cam = F.relu(cam)
    peak = (cam == cam.amax((2, 3), keepdim=True)).double()
    found = {}
    for name, values in (("share", cam), ("hit", peak)):
        by_cell = values.view(b, CELLS, 2, height // 2, 2, width // 2).sum((3, 5)).flatten(2)  # (B, 4, 4)
        own, total = by_cell.diagonal(dim1=1, dim2=2), by_cell.sum(2)
        found[name] = torch.where(total > 0, own / torch.where(total > 0, total, 1), 1 / CELLS).numpy()
    return found | {"empty": (cam.amax((2, 3)) == 0).numpy()}


def seen(logits, classes) -> dict[str, float]:
    """Does the network see a mosaic's classes at all? logits (B, C), classes (B, 4)  ->  two shares.

    in_top_four: of the cells, whose class is among the four largest logits; largest_in_mosaic: of the mosaics, whose
    largest logit is a class of theirs. By chance both are 0.4 with ten classes.

    >>> seen(torch.arange(6.0)[None], [[5, 4, 3, 0]])
    {'in_top_four': 0.75, 'largest_in_mosaic': 1.0}
    """
    sizes = {}
    logits = require.tensor("logits", logits, "B C", sizes)
    classes = require.indices("classes", classes, f"B {CELLS}", logits.shape[1], sizes)
    top = logits.topk(CELLS).indices.cpu().numpy()
    among = (classes[:, :, None] == top[:, None]).any(2)
    return {
        "in_top_four": float(among.mean()),
        "largest_in_mosaic": float((classes == top[:, :1]).any(1).mean()),
    }


def score_table(scores: Mapping[str, Mapping], *, n_resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Means over mosaics with 95 % intervals, mosaics resampled: {method: share, hit, empty, each (B, 4)}  ->  a table.

    A mosaic's value is the mean of its four explanations. Columns: method, mosaics, share, low, high, hit, hit_low,
    hit_high, empty (share of explanations), maps (mean number of maps; NaN for methods that select none).

    >>> one = {"share": np.eye(4), "hit": np.ones((4, 4)), "empty": np.zeros((4, 4), bool)}
    >>> table = score_table({"Grad-CAM": one}, n_resamples=10)
    >>> table.iloc[0].to_dict()["share"], table.iloc[0].to_dict()["low"], int(table.mosaics[0])
    (0.25, 0.25, 4)
    """
    rows, given = [], {"n_resamples": n_resamples, "seed": seed}
    for method, found in scores.items():
        share = mean_with_interval(np.mean(found["share"], axis=1), **given)
        hit = mean_with_interval(np.mean(found["hit"], axis=1), **given)
        row = {"method": method, "mosaics": len(found["share"]), "share": share.pop("value")} | share
        row |= {"hit": hit["value"], "hit_low": hit["low"], "hit_high": hit["high"]}
        rows.append(row | {"empty": float(np.mean(found["empty"])), "maps": float(np.mean(found.get("maps", np.nan)))})
    return pd.DataFrame(rows)


def mean_over_heads(scores: list[Mapping]) -> dict[str, dict[str, np.ndarray]]:
    """Scores of the methods that all heads have, averaged over the heads mosaic by mosaic; as `score_table` takes them.

    >>> one = {"share": np.ones((1, 4)), "hit": np.ones((1, 4)), "empty": np.ones((1, 4), bool)}
    >>> mean_over_heads([{"a": one}, {"a": one | {"share": np.zeros((1, 4))}}])["a"]["share"]
    array([[0.5, 0.5, 0.5, 0.5]])
    """
    methods = [name for name in scores[0] if all(name in of_head for of_head in scores)]
    return {
        name: {kind: np.mean([s[name][kind] for s in scores], axis=0) for kind in scores[0][name]} for name in methods
    }


def differences(scores: Mapping[str, Mapping], pairs, *, n_resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Mean difference of the shares of two methods, first minus second, mosaic by mosaic, on those that both have.

    scores: {method: as for `score_table`}; pairs: of methods  ->  columns first, second, mosaics, value, low, high.
    Pairs of which a method is missing have no row.

    >>> scores = {"a": {"share": np.ones((3, 4))}, "b": {"share": np.zeros((2, 4))}}
    >>> differences(scores, [("a", "b"), ("a", "c")], n_resamples=10)[["first", "second", "value"]].values
    array([['a', 'b', 1.0]], dtype=object)
    """
    rows = []
    for first, second in pairs:
        if first in scores and second in scores:
            one, other = (np.mean(scores[name]["share"], axis=1) for name in (first, second))
            both = min(len(one), len(other))
            row = {"first": first, "second": second, "mosaics": both}
            rows.append(row | mean_with_interval(one[:both] - other[:both], n_resamples=n_resamples, seed=seed))
    return pd.DataFrame(rows)


def correlation_with_others(cam, own) -> np.ndarray:
    """Mean correlation of the explanation of one class with those of the others: cam (B, C, H, W), own (B,)  ->  (B,).

    A constant explanation, an empty one say, has no correlation: such pairs are left out, and an image without a pair
    is NaN. Raises ValueError for classes that are none, NaN and infinity.

    >>> cam = torch.tensor([[[[0.0, 1.0]], [[0.0, 2.0]], [[3.0, 0.0]], [[1.0, 1.0]]]])
    >>> abs(correlation_with_others(cam, [0])).round(6)  # of 1 and -1
    array([0.])
    """
    sizes = {}
    cam = require.tensor("explanations", cam, "B C H W", sizes).double().flatten(2)
    own = torch.as_tensor(require.indices("own", own, "B", cam.shape[1], sizes))
    low, high = cam.amin(2), cam.amax(2)
    varies = high - low > 1e-6 * torch.maximum(high.abs(), low.abs())
    cam = F.normalize(cam - cam.mean(2, keepdim=True), dim=2)
    rows = torch.arange(len(cam))
    cosine = torch.einsum("bcp,bp->bc", cam, cam[rows, own])
    pairs = varies & varies[rows, own, None]
    pairs[rows, own] = False
    return torch.where(pairs, cosine, 0).sum(1).div(pairs.sum(1)).numpy()


def correlation_table(correlations: Mapping, *, n_resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Means over images with 95 % intervals: {method: (B,), as `correlation_with_others` gives it}  ->  a table.

    Columns: method, images, value, low, high, undefined (share of images that are NaN).

    >>> correlation_table({"Grad-CAM": np.array([1.0, 1.0, np.nan])}, n_resamples=10).iloc[0, 1:].tolist()[:4]
    [3.0, 1.0, 1.0, 1.0]
    """
    rows = []
    for method, values in correlations.items():
        row = {"method": method, "images": len(values)}
        row |= mean_with_interval(values, n_resamples=n_resamples, seed=seed)
        rows.append(row | {"undefined": float(np.isnan(values).mean())})
    return pd.DataFrame(rows)
