"""Do explanations and selections depend on the network, and do they bear small changes of the image?

Parameter randomisation (Adebayo et al. [adebayo2018sanity]): layers of the trained network get random weights, alone
or from the top down, and the explanations of the same class are compared with those of the trained network. Stability:
the same comparison between an image and copies of it with noise, or shifted by some pixels.

Explanations are compared by the rank correlation of their pixels (`spearman`), selections by the share of maps in
common (`jaccard`). Where the classifier is linear in the maps, the importance of a map is the same for all images of a
class, and so is the top k of a fixed size: it cannot notice what happens below the classifier.
"""

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from .. import require
from ..cnn import networks, pretrained, training
from ..cnn.checkpoints import TrainedNetworks
from ..cnn.feature_maps import importance
from ..conventions import HEADLINE
from ..intervals import mean_with_interval
from ..solvers import baselines, by_name
from . import class_methods
from .class_specificity import gradients_of

STAGES = ("classifier", "block", "layer3", "layer2")  # from the top down
ALONE = {f"{stage} alone": (stage,) for stage in STAGES}
CASCADE = {f"down to {stage}": STAGES[: place + 2] for place, stage in enumerate(STAGES[1:])}
SELECTED = re.compile(r"(exact|top_k|contribution|random_k|signed_top)_[\d.]+")  # what `select` makes


@dataclass(frozen=True)
class Explained:
    """Explanations and selections of some images: cams {method: (B, H, W)}, selected {method: (B, N) bool}.

    >>> one = Explained({"Grad-CAM": torch.zeros(2, 1, 1)}, {"top_k": np.array([[True], [False]])})
    >>> one.of([1]).selected["top_k"]
    array([[False]])
    """

    cams: Mapping[str, torch.Tensor]
    selected: Mapping[str, np.ndarray]

    def of(self, index) -> "Explained":
        """The explanations of some of the images, or in another order."""
        index = np.asarray(index)
        return Explained({k: v[index] for k, v in self.cams.items()}, {k: v[index] for k, v in self.selected.items()})


def select(
    maps,
    gradients,
    *,
    beta: float = HEADLINE.beta,
    few: int = 4,
    field: str = HEADLINE.field,
    pair_sum: str = HEADLINE.pair_sum,
    time_limit: float = 60.0,
    seed: int = 0,
    n_jobs: int | None = None,
) -> dict[str, np.ndarray]:
    """Selections of each image for one class: maps and gradients of its score (B, N, H, W)  ->  {method: (B, N) bool}.

    exact_<beta>: the QUBO's optimum; top_k_<beta>, contribution_<beta>, random_k_<beta>: as many candidates, of largest
    importance, of largest contribution to the score, and by lot; signed_top_<few>: the `few` maps of largest absolute
    importance. An image without candidates has none selected. Raises RuntimeError if an optimum is not
    proven within time_limit, in seconds.

    >>> maps, alpha = torch.eye(3).view(1, 3, 3, 1), torch.tensor([2.0, 1.0, -3.0]).view(1, 3, 1, 1)
    >>> found = select(maps, alpha.expand(1, 3, 3, 1), few=1)
    >>> found["exact_0.70"], found["signed_top_1"]
    (array([[ True,  True, False]]), array([[False, False,  True]]))
    """
    sizes = {}
    maps = require.tensor("maps", maps, "B N H W", sizes)
    gradients = require.tensor("gradients", gradients, "B N H W", sizes)
    alpha, added = importance(gradients).double().numpy(), (maps * gradients).sum((2, 3)).double().numpy()
    problems = class_methods.selection_problems(maps.numpy(), alpha[:, None], field=field)
    some, exact = [i for i, problem in enumerate(problems) if problem.d], np.zeros(alpha.shape, bool)
    if some:
        solved, given = [problems[i] for i in some], {"beta": beta, "pair_sum": pair_sum, "time_limit": time_limit}
        exact[some], infos = by_name.solve_all(solved, "exact", desc="QUBO", n_jobs=n_jobs, **given)
        if not all(info["proven"] for info in infos):
            raise RuntimeError(f"an optimum is not proven within {time_limit} s: give a longer time_limit")
    k, magnitude = exact.sum(1), np.abs(alpha)
    return {
        f"exact_{beta:.2f}": exact,
        f"top_k_{beta:.2f}": baselines.top_k(alpha, k),
        f"contribution_{beta:.2f}": baselines.first_k(alpha, k, -added),
        f"random_k_{beta:.2f}": baselines.random_k(alpha, k, seed=seed),
        f"signed_top_{few}": baselines.top_k(magnitude, np.minimum(few, (magnitude > 0).sum(1))),
    }


def explain(head, features, classes, methods: Sequence[str] | None = None, **selecting) -> Explained:
    """Explanations of one class of each image: features (B, 256, s, s) of the trunk, classes (B,)  ->  Explained.

    methods: the names to keep, of `class_methods.explanations` and `select`, all of them for None; without one of
    `select` nothing is selected. selecting: what `select` takes. Maps are those after the block, in which the head is
    linear.

    >>> from qafs_utils.cnn.networks import ReducedHead
    >>> found = explain(ReducedHead(4, size=2), torch.rand(2, 256, 2, 2), [0, 3], few=2)
    >>> found.cams["Grad-CAM"].shape, list(found.selected)[0]
    (torch.Size([2, 2, 2]), 'exact_0.70')
    """
    maps = maps_of(head, features)
    gradients = gradients_of(head.classifier.weight.detach().cpu(), *maps.shape[1:])
    classes = require.indices("classes", classes, "B", len(gradients), {"B": len(maps)})
    needed = methods is None or any(SELECTED.fullmatch(name) for name in methods)
    selected = select(maps, gradients[torch.as_tensor(classes)], **selecting) if needed else {}
    of_class = {name: bits[:, None] for name, bits in selected.items()}
    cams = {name: cam[:, 0] for name, cam in class_methods.explanations(maps, gradients, classes[:, None], of_class)}
    kept = list(cams) if methods is None else [require.choice("method", name, cams) for name in methods]
    return Explained({name: cams[name] for name in kept}, selected)


def slopes_of(head, maps, classes) -> torch.Tensor:
    """Gradient of the score of one class of each image, in the maps: (B, N, H, W), classes (B,)  ->  (B, N, H, W).

    >>> slopes_of(networks.ReducedHead(4, size=2), torch.zeros(2, 4, 2, 2), [0, 3]).shape
    torch.Size([2, 4, 2, 2])
    """
    gradients = gradients_of(head.classifier.weight.detach().cpu(), *maps.shape[1:])
    return gradients[torch.as_tensor(require.indices("classes", classes, "B", len(gradients), {"B": len(maps)}))]


@torch.no_grad()
def maps_of(head, features, *, batch: int = 64) -> torch.Tensor:
    """Maps after a head's block, its last stage, for features of the trunk: (B, 256, s, s)  ->  (B, N, H, W).

    >>> maps_of(networks.ReducedHead(4, size=2), torch.rand(2, 256, 2, 2)).shape
    torch.Size([2, 4, 2, 2])
    """
    held = []

    def tap(name, maps):
        if name == head.stages[-1]:
            held.append(maps.cpu())
        return maps

    device = head.classifier.weight.device
    for part in require.tensor("features", features, "B C s s").split(batch):
        head(part.to(device), tap)
    return torch.cat(held)


def randomised(
    trained: TrainedNetworks, n_features: int, stages: Sequence[str], *, model_seed: int = 0, seed: int = 0
) -> tuple[networks.Trunk, torch.nn.Module]:
    """The trunk and head of a trained network with some of STAGES initialised anew, by a seed; the others as trained.

    "block": the last one, before the classifier, layer4 for 512 maps; "layer3", "layer2": of the trunk. BatchNorm gets
    its initial statistics, too. Neither changes the trained network. Raises ValueError for an unknown stage.

    >>> trained = TrainedNetworks(pretrained.resnet18("random"), None, {}, "imagenet", 32, torch.device("cpu"))
    >>> randomised(trained, 16, ["top"])
    Traceback (most recent call last):
    ValueError: unknown stage 'top': choose from classifier, block, layer3, layer2
    """
    for stage in stages:
        require.choice("stage", stage, STAGES)
    other = pretrained.resnet18("random", seed=1000 + require.whole("seed", seed))
    net, head = copy.deepcopy(trained.resnet18), copy.deepcopy(trained.head(n_features, model_seed))
    size = trained.image_size // 16
    fresh = networks.build_head(n_features, HEADLINE.block, other, size, seed=1000 + seed)
    block = "layer4" if n_features == 512 else "block"
    for stage in stages:
        if stage.startswith("layer"):
            setattr(net, stage, getattr(other, stage))
        else:
            name = block if stage == "block" else stage
            setattr(head, name, getattr(fresh, name).to(trained.device))
    trunk = networks.Trunk(net, trained.normalisation).to(trained.device)
    return trunk, head.eval().requires_grad_(False)


def noisy(pixels, sigma: float, *, seed=0) -> torch.Tensor:
    """A copy with Gaussian noise of this part of the range of pixels, cut off at 0 and 1: (B, 3, H, W) of both.

    >>> noisy(torch.full((1, 3, 1, 1), 0.5), 0.0).flatten()
    tensor([0.5000, 0.5000, 0.5000])
    """
    pixels = require.tensor("pixels", pixels, "B C H W", interval="[-0.001, 1.001]")
    generator = torch.Generator().manual_seed(require.whole("seed", seed))
    noise = torch.randn(pixels.shape, generator=generator)
    return (pixels + require.number("sigma", sigma, "[0, inf)") * noise).clamp(0, 1)


def shifted(pixels, down: int, right: int) -> torch.Tensor:
    """A copy moved by some pixels, its edge repeated where nothing was: (B, 3, H, W) of both.

    >>> shifted(torch.tensor([[[[0.1, 0.5, 0.9]]]]), 0, 1)
    tensor([[[[0.1000, 0.1000, 0.5000]]]])
    """
    pixels = require.tensor("pixels", pixels, "B C H W")
    rows, columns = (torch.arange(side) for side in pixels.shape[2:])
    rows, columns = (rows - down).clamp(0, len(rows) - 1), (columns - right).clamp(0, len(columns) - 1)
    return pixels[:, :, rows][:, :, :, columns]


def changed_copies(pixels, *, sigmas: Sequence[float], copies: int, shift: int) -> dict[str, list[torch.Tensor]]:
    """Copies of images with noise of each strength, and shifted in four directions: {test: copies, (B, 3, H, W) each}.

    >>> found = changed_copies(torch.zeros(1, 3, 4, 4), sigmas=[0.1], copies=2, shift=1)
    >>> {test: len(of_test) for test, of_test in found.items()}
    {'noise 0.1': 2, 'shift': 4}
    """
    found = {f"noise {sigma:g}": [noisy(pixels, sigma, seed=i) for i in range(copies)] for sigma in sigmas}
    moves = (shift, 0), (-shift, 0), (0, shift), (0, -shift)
    return found | {"shift": [shifted(pixels, *by) for by in moves]}


def spearman(cam, other) -> np.ndarray:
    """Rank correlation of the pixels of two explanations: (B, H, W) each  ->  (B,), NaN where one is constant.

    >>> spearman([[[0.0, 1.0, 5.0]], [[1.0, 1.0, 1.0]]], [[[0.0, 2.0, 3.0]], [[0.0, 2.0, 3.0]]])
    array([ 1., nan])
    """
    import scipy.stats  # half a second to import

    sizes = {}
    ranked = []
    for name, given in (("cam", cam), ("other", other)):
        flat = require.array(name, given, "B H W", sizes).reshape(len(given), -1)
        ranks = scipy.stats.rankdata(flat, axis=1)
        ranked.append(ranks - ranks.mean(1, keepdims=True))
    norm = np.linalg.norm(ranked[0], axis=1) * np.linalg.norm(ranked[1], axis=1)
    return np.divide((ranked[0] * ranked[1]).sum(1), norm, out=np.full(len(norm), np.nan), where=norm > 0)


def jaccard(selected, other) -> np.ndarray:
    """Maps in both selections over maps in one of them: (B, N) bool each  ->  (B,); 1 for two empty ones.

    >>> jaccard([[1, 1, 0], [0, 0, 0]], [[0, 1, 1], [0, 0, 0]]).round(3)
    array([0.333, 1.   ])
    """
    sizes = {}
    one, two = require.bits("selected", selected, "B N", sizes), require.bits("other", other, "B N", sizes)
    union = (one | two).sum(1)
    return np.where(union > 0, (one & two).sum(1) / np.maximum(union, 1), 1.0)


def compare(reference: Explained, other: Explained) -> dict[tuple[str, str], np.ndarray]:
    """{("spearman" or "jaccard", method): (B,)} of the explanations and selections that both have.

    >>> one = Explained({"a": torch.eye(2)[None]}, {"top": np.array([[True, False]])})
    >>> {key: float(value[0]) for key, value in compare(one, one).items()}
    {('spearman', 'a'): 1.0, ('jaccard', 'top'): 1.0}
    """
    found = {("spearman", m): spearman(cam, other.cams[m]) for m, cam in reference.cams.items() if m in other.cams}
    same = [name for name in reference.selected if name in other.selected]
    return found | {("jaccard", m): jaccard(reference.selected[m], other.selected[m]) for m in same}


def checked(
    trained: TrainedNetworks,
    n_features: int,
    pixels,
    changed: Mapping[str, Sequence],
    tests: Mapping[str, Sequence[str]],
    explain: Callable,
    *,
    model_seed: int = 0,
    draws: Sequence[int] = (0,),
    other: Sequence[int] = (),
) -> tuple[dict[str, list[dict]], dict[str, float]]:
    """All comparisons of a head's explanations: pixels (B, 3, S, S)  ->  {test: comparisons, one a draw or copy}, kept.

    changed: {test: copies of the images, each as the features (B, 256, s, s) of the trunk}; tests: {test: stages to
    randomise}, by the seeds `draws`; explain: the function of this name, with its choices made; other: for "another
    image", (B,) images to compare with, or none. The class is the one predicted for the unchanged image. kept: {test of
    changed: share of copies for which it is still predicted}.
    """
    head, found, kept = trained.head(n_features, model_seed), {}, {}
    features = trained.trunk(pixels).cpu()
    own = training.predict(head, features).argmax(1)
    reference = explain(head, features, own)
    if len(other):
        found["another image"] = [compare(reference, reference.of(other))]
    for test, stages in tests.items():
        found[test] = []
        for draw in draws:
            trunk, new = randomised(trained, n_features, stages, model_seed=model_seed, seed=draw)
            below = any(stage in STAGES[2:] for stage in stages)
            seen = trunk(pixels).cpu() if below else features
            found[test].append(compare(reference, explain(new, seen, own, seed=1 + draw)))
    for test, copied in changed.items():
        new = [explain(head, seen, own, seed=1 + i) for i, seen in enumerate(copied)]
        found[test] = [compare(reference, one) for one in new]
        same = [(training.predict(head, seen).argmax(1) == own).double().mean() for seen in copied]
        kept[test] = float(np.mean(same))
    return found, kept


def table(found: Mapping[tuple, list[dict]], *, n_resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Means over images with 95 % intervals: {(n_features, test): comparisons of `compare`, one a draw}  ->  a table.

    An image's value is its mean over the draws (seeds, copies). Columns: n_features, test, measure, method, value, low,
    high, undefined (share of constant explanations, which have no rank correlation and are left out).

    >>> one = {("jaccard", "top"): np.array([1.0, 0.0])}
    >>> table({(16, "noise"): [one, one]}, n_resamples=10)[["test", "method", "value", "undefined"]].values.tolist()
    [['noise', 'top', 0.5, 0.0]]
    """
    rows = []
    for (n, test), draws in found.items():
        for measure, method in draws[0]:
            values = np.array([draw[measure, method] for draw in draws])  # (draws, B)
            known = ~np.isnan(values)
            mean = np.where(known, values, 0).sum(0) / np.where(known.any(0), known.sum(0), np.nan)
            row = {"n_features": n, "test": test, "measure": measure, "method": method}
            row |= mean_with_interval(mean, n_resamples=n_resamples, seed=seed)
            rows.append(row | {"undefined": float(1 - known.mean())})
    return pd.DataFrame(rows)
