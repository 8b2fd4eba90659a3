"""Explanations of several classes of the same images by every method, for classifiers that are linear in the maps.

maps (B, N, H, W); gradients (C, N, H, W) of the class scores, as `class_specificity.gradients_of` makes them; classes
(B, K), those to explain of every image. Selections are (B, K, N) bool.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from joblib import Parallel, delayed

from .. import require
from ..cnn.feature_maps import cosine_matrix, importance
from ..conventions import HEADLINE
from ..qubo import feature_selection
from ..solvers import baselines
from ..solvers.branch_and_bound import optimum
from . import cams, more_cams
from .class_specificity import cell_scores, correlation_with_others, require_different_classes

WEIGHTS = {  # map weights of one class: maps and gradients (B, N, H, W)  ->  (B, N)
    "Grad-CAM++": cams.grad_cam_pp_weights,
    "XGrad-CAM": more_cams.x_grad_cam_weights,
    "Ablation-CAM": more_cams.ablation_cam_weights,
}
BY_PIXEL = {"HiResCAM": cams.hires_cam, "LayerCAM": more_cams.layer_cam}  # CAMs that no weight a map gives


def importances(gradients, classes) -> torch.Tensor:
    """Importance of each map for the classes to explain: (C, N, H, W), (B, K)  ->  (B, K, N).

    >>> importances(torch.arange(4.0).view(2, 2, 1, 1), [[1, 0]])
    tensor([[[2., 3.],
             [0., 1.]]])
    """
    alpha = importance(gradients)
    classes = require.indices("classes", classes, "B K", len(alpha))
    return alpha[torch.as_tensor(classes)]


def selection_problems(maps, alpha, *, field: str = HEADLINE.field) -> list:
    """The selection problem of every image and class, in this order: maps (B, N, H, W), alpha (B, K, N)  ->  B * K.

    They are those of `feature_selection.problems`; the cosines of an image are computed once. The absolute importance
    makes all maps of importance other than 0 candidates: the signed selection. A class that no map supports has a
    problem without candidates.

    >>> [p.maps.tolist() for p in selection_problems(np.ones((1, 2, 1, 1)), [[[1.0, -1.0], [1.0, 2.0]]])]
    [[0], [0, 1]]
    """
    sizes, found = {}, []
    maps = require.array("maps", maps, "B N H W", sizes, dtype=None)
    alpha = require.array("alpha", alpha, "B K N", sizes)
    for of_image, weights in zip(maps, alpha):
        cosines = cosine_matrix(of_image)
        for of_class in weights:
            kept = np.flatnonzero(of_class > 0)
            h = feature_selection.field(of_class[kept], field)
            found.append(feature_selection.Problem(kept, h, cosines[np.ix_(kept, kept)], len(of_class)))
    return found


def selections(
    maps,
    alpha,
    *,
    betas: Sequence[float],
    sizes: Sequence[int],
    field: str = HEADLINE.field,
    pair_sum: str = HEADLINE.pair_sum,
    time_limit: float = 60.0,
    seed=0,
) -> dict[str, np.ndarray]:
    """Selections of maps for every image and class: maps (B, N, H, W), alpha (B, K, N)  ->  {name: (B, K, N) bool}.

    exact_<beta>: the QUBO's optimum; top_k_<beta>, random_k_<beta>: as many candidates, the most important ones or by
    lot; top_<k>, random_<k>: for each of sizes (all candidates, if there are fewer). Names that begin with signed_
    are of the absolute importance, so that maps of negative importance are chosen too; their sign stays in the CAM.
    For a class without candidates nothing is selected, and its explanation is empty. Raises
    RuntimeError if an optimum is not proven within time_limit, in seconds.

    >>> maps, alpha = np.eye(3).reshape(1, 3, 3, 1), np.array([[[2.0, 1.0, -3.0]]])
    >>> found = selections(maps, alpha, betas=[0.7], sizes=[1])
    >>> found["exact_0.70"][0, 0], found["signed_top_1"][0, 0]
    (array([ True,  True, False]), array([False, False,  True]))
    """
    alpha, found = require.array("alpha", alpha, "B K N"), {}
    b, k, n = alpha.shape
    for prefix, weights in (("", alpha), ("signed_", np.abs(alpha))):
        flat, counts = weights.reshape(b * k, n), {}
        problems = selection_problems(maps, weights, field=field)
        for beta in betas:
            name = f"{prefix}exact_{beta:.2f}"
            found[name] = np.array([_optimum(problem, beta, pair_sum, time_limit) for problem in problems])
            counts[f"k_{beta:.2f}"] = found[name].sum(1)
        candidates = np.array([problem.d for problem in problems])
        for name, size in (counts | {f"{size}": np.minimum(size, candidates) for size in sizes}).items():
            found[f"{prefix}top_{name}"] = baselines.top_k(flat, size)
            found[f"{prefix}random_{name}"] = baselines.random_k(flat, size, seed=seed)
    return {name: bits.reshape(b, k, n) for name, bits in found.items()}


def on_photographs(maps, alpha, *, photographs, choose: Callable, seed: int = 0) -> dict[str, np.ndarray]:
    """Selections made on the photograph of each class alone, to explain mosaics by: a control of the cosines.

    On a mosaic the cosines count maps as alike that share a cell, so that a diverse selection spreads over the cells
    by itself. maps (B, N, H, W), of mosaics, are not looked at; photographs: maps (M, 4, N, h, w) of the cells of all
    mosaics apart; alpha (B, 4, N); choose: as for `play`; seed: the place of the first of these mosaics among the M, as
    `play` gives it  ->  {name: (B, 4, N) bool}.

    >>> photographs = np.eye(2).reshape(1, 1, 2, 2, 1).repeat(4, axis=1)
    >>> choose = lambda maps, alpha, seed: {"all": np.ones(alpha.shape, bool)}
    >>> on_photographs(np.ones((1, 2, 4, 2)), np.ones((1, 4, 2)), photographs=photographs, choose=choose)["all"].shape
    (1, 4, 2)
    """
    sizes = {}
    alpha = require.array("alpha", alpha, "B K N", sizes)
    apart = require.array("photographs", photographs, "M K N h w", sizes, dtype=None)[seed : seed + len(alpha)]
    apart = apart.reshape(-1, *apart.shape[2:])
    found = choose(apart, alpha.reshape(len(apart), 1, -1), seed=seed)
    return {name: bits.reshape(alpha.shape) for name, bits in found.items()}


def _optimum(problem, beta, pair_sum, time_limit):
    """The proven optimum: (N,) bool. As `by_name.solve_all`, without a progress bar for each of many batches."""
    if not problem.d:
        return np.zeros(problem.n_features, bool)
    bits, proven = optimum(problem.bqm(beta, pair_sum), time_limit=time_limit)
    if not proven:
        raise RuntimeError(f"an optimum is not proven within {time_limit} s: give a longer time_limit")
    return problem.selected(bits)


def explanations(maps, gradients, classes, selected: Mapping | None = None) -> Iterator[tuple[str, torch.Tensor]]:
    """Explanations of several classes of each image by every method that needs no further forward pass.

    maps (B, N, H, W), gradients (C, N, H, W), classes (B, K), selected {name: (B, K, N) bool}
    ->  pairs of a method and its CAMs (B, K, H, W): "Grad-CAM" (ReLU of the sum), "filtered Grad-CAM" (the maps of
    positive importance; for maps >= 0 the same as a ReLU on each map's term), the methods of WEIGHTS and BY_PIXEL,
    "Eigen-CAM", which is the same for all classes, and Grad-CAM of each selection.

    >>> maps, gradients = torch.eye(2).view(1, 2, 2, 1), torch.tensor([[1.0, -1.0], [0.0, 1.0]]).view(2, 2, 1, 1)
    >>> found = dict(explanations(maps, gradients.expand(-1, -1, 2, 1), [[0, 1]]))
    >>> found["Grad-CAM"][0, :, :, 0], len(found)
    (tensor([[1., 0.],
            [0., 1.]]), 8)
    """
    maps = require.tensor("maps", maps, "B N H W")
    gradients = require.tensor("gradients", gradients, "C N H W", dict(zip("NHW", maps.shape[1:])))
    alpha = importances(gradients, classes).to(maps)  # (B, K, N)
    require.shape("classes", np.shape(classes), "B K", {"B": len(maps)})
    of_class = [gradients[rows] for rows in torch.as_tensor(np.asarray(classes)).T]  # K of (B, N, H, W)
    weights = {"Grad-CAM": alpha, "filtered Grad-CAM": alpha.clamp_min(0)}
    for name, method in WEIGHTS.items():
        weights[name] = torch.stack([method(maps, of_one) for of_one in of_class], 1)
    for name, bits in (selected or {}).items():
        weights[name] = alpha * torch.as_tensor(bits).to(alpha)
    for name, of_maps in weights.items():
        yield name, weighted(maps, of_maps)
    for name, method in BY_PIXEL.items():
        yield name, torch.stack([method(maps, of_one) for of_one in of_class], 1)
    yield "Eigen-CAM", more_cams.eigen_cam(maps)[:, None].expand(-1, alpha.shape[1], -1, -1)


def weighted(maps, weights) -> torch.Tensor:
    """CAMs of several weights of the same maps, relu(sum_a w_a maps_a): (B, N, H, W), (B, K, N)  ->  (B, K, H, W).

    >>> weighted(torch.tensor([[[[1.0, 0.0]], [[1.0, 2.0]]]]), torch.tensor([[[1.0, 3.0], [3.0, -1.0]]]))[0, :, 0]
    tensor([[4., 6.],
            [2., 0.]])
    """
    sizes = {}
    maps = require.tensor("maps", maps, "B N H W", sizes)
    weights = require.tensor("weights", weights, "B K N", sizes).to(maps)
    return F.relu(torch.einsum("bkn,bnhw->bkhw", weights, maps))


@torch.no_grad()
def score_cam_weights(maps, score: Callable, images, classes, *, batch_size: int = 64) -> torch.Tensor:
    """Score-CAM's weights for several classes from the same forward passes, one a map: (B, K, N).

    score: images (n, 3, S, S) -> probabilities (n, C); images (B, 3, S, S); else as `cams.score_cam_weights`,
    variant "official", which takes one class an image.

    >>> maps = torch.tensor([[[[1.0, 0.0]], [[5.0, 5.0]]]])
    >>> score_cam_weights(maps, lambda pixels: pixels[:, :2, 0].cumsum(1)[:, :, 0], torch.ones(1, 3, 1, 2), [[1, 0]])
    tensor([[[2., 0.],
             [1., 0.]]])
    """
    maps = require.tensor("maps", maps, "B N H W")
    classes = torch.as_tensor(require.indices("classes", classes, "B K", 2**31, {"B": len(maps)}))
    found = torch.zeros(*classes.shape, maps.shape[1])
    for i, (of_image, image, rows) in enumerate(zip(maps, images, classes)):
        varies = cams.normalise(of_image).flatten(1).any(1)
        for part in varies.nonzero()[:, 0].split(batch_size):
            masks = cams.normalise(cams.upsample(of_image[part], image.shape[-2:]))
            found[i][:, part] = score(image * masks[:, None])[:, rows].T.to(found)
    return found


Chosen = Callable[..., dict]  # maps, alpha, seed  ->  what `selections` gives


def play(
    maps, gradients, classes, choose: Chosen | None = None, *, first: int | None = None, batch: int = 25, n_jobs=None
) -> dict[str, dict[str, np.ndarray]]:
    """The Grid Pointing Game by all methods: {method: share, hit, empty of `class_specificity.cell_scores`, (B, 4)}.

    maps (B, N, H, W) of mosaics, gradients (C, N, H, W), classes (B, 4); choose: makes the selections of a batch, of
    the first mosaics only, if given. n_jobs: processes, on which the answer does not depend.

    >>> maps, gradients = torch.eye(4).view(1, 4, 2, 2), torch.eye(4).view(4, 4, 1, 1).expand(-1, -1, 2, 2)
    >>> play(maps, gradients, [[0, 1, 2, 3]])["Grad-CAM"]["share"]  # each class has a map, which lies in its cell
    array([[1., 1., 1., 1.]])
    """
    classes = require_different_classes(classes)
    return _in_parts(_played, maps, gradients, classes, choose, first, batch, n_jobs)


def _played(maps, gradients, classes, selected):
    sizes = {name: {"maps": bits.sum(2)} for name, bits in (selected or {}).items()}
    cams_of = explanations(maps, gradients, classes, selected)
    return {name: cell_scores(cam) | sizes.get(name, {}) for name, cam in cams_of}


def between_classes(
    maps, gradients, own, choose: Chosen | None = None, *, first: int | None = None, batch: int = 25, n_jobs=None
) -> dict[str, np.ndarray]:
    """Mean correlation of the explanation of an image's own class with those of all others: {method: (B,)}.

    own (B,): the predicted classes; else as `play`. It needs no photograph: a method that tells classes apart explains
    them differently. "Eigen-CAM", which knows of no class, has 1.

    >>> maps, gradients = torch.eye(2).view(1, 2, 2, 1), torch.eye(2).view(2, 2, 1, 1).expand(-1, -1, 2, 1)
    >>> round(float(between_classes(maps, gradients, [0])["Grad-CAM"][0]), 6)
    -1.0
    """
    own = require.indices("own", own, "B", len(gradients))
    found = _in_parts(_correlated, maps, gradients, own, choose, first, batch, n_jobs)
    return {name: values["correlation"] for name, values in found.items()}


def _correlated(maps, gradients, own, selected):
    cams_of = explanations(maps, gradients, _all_classes(gradients, own), selected)
    return {name: {"correlation": correlation_with_others(cam, own)} for name, cam in cams_of}


def _all_classes(gradients, own):
    return np.tile(np.arange(len(gradients)), (len(own), 1))


def _in_parts(function, maps, gradients, of_images, choose, first, batch, n_jobs):
    """A function of some images, with selections of the first ones, on parts of them: its arrays, joined."""
    maps = require.tensor("maps", maps, "B N H W")
    first = len(maps) if first is None else min(require.whole("first", first), len(maps))
    index = torch.arange(len(maps))
    parts = [*index[:first].split(batch), *index[first:].split(batch)]
    jobs = [
        delayed(_of_part)(
            function, maps[i], gradients, of_images[i.numpy()], choose if i[0] < first else None, int(i[0])
        )
        for i in parts
        if len(i)
    ]
    found = Parallel(n_jobs=n_jobs)(jobs)
    names = dict.fromkeys(name for part in found for name in part)
    return {
        name: {kind: np.concatenate([part[name][kind] for part in found if name in part]) for kind in found[0][name]}
        for name in names
    }


def _of_part(function, maps, gradients, of_images, choose, start):
    selected = None
    if choose is not None:
        classes = of_images if of_images.ndim == 2 else _all_classes(gradients, of_images)
        selected = choose(maps.numpy(), importances(gradients, classes).numpy(), seed=start)
    return function(maps, gradients, of_images, selected)
