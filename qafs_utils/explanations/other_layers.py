"""Selection at any layer of a network: proofs, what the selected maps carry, how they explain (paper, Sec. III)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from ..cnn import extraction
from ..cnn.feature_maps import cosine_matrix, importance
from ..conventions import HEADLINE, Conventions
from ..intervals import mean_with_interval, nan_mean
from ..qubo import feature_selection
from ..solvers import baselines, by_name
from . import cams, map_subsets
from .average_drop import AverageDropDefinition

Selections = dict[tuple[str, float], np.ndarray]  # (kind, beta): (B, N_f) bool


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer by its name: maps (B, N_f, H, W), importance (B, N_f) and the B selection problems of some images.

    >>> from torchvision.models import resnet18
    >>> layer = capture(resnet18(weights=None).eval(), "layer4", torch.rand(2, 3, 64, 64))
    >>> layer.maps.shape, len(layer.problems), layer.candidates.shape
    (torch.Size([2, 512, 2, 2]), 2, (2, 512))
    """

    name: str
    maps: torch.Tensor
    importance: torch.Tensor
    problems: list[feature_selection.Problem]

    @property
    def candidates(self) -> np.ndarray:
        """(B, N_f) bool: the maps of positive importance."""
        return (self.importance > 0).numpy()


def capture(network: torch.nn.Module, name: str, images: torch.Tensor, *, field: str = HEADLINE.field) -> Layer:
    """Maps, importance and problems of a layer, as `extraction.capture_layer` takes it; images (B, 3, S, S).

    field: of the problems, as for `feature_selection.field`.

    >>> from torchvision.models import resnet18
    >>> capture(resnet18(weights=None).eval(), "layer3", torch.rand(2, 3, 64, 64)).importance.shape
    torch.Size([2, 256])
    """
    maps, gradients, _ = extraction.capture_layer(network, name, images)
    alpha = importance(gradients)
    return Layer(name, maps, alpha, feature_selection.problems(maps.numpy(), alpha.numpy(), field=field))


def select(
    layer: Layer, betas: list[float], *, pair_sum: str = HEADLINE.pair_sum, time_limit: float = 60.0, seed: int = 0
) -> tuple[Selections, pd.DataFrame]:
    """The proven optimum at each beta, beside as many top and random candidates  ->  selections, table.

    time_limit: seconds a proof. Kinds of selections: "exact", "top_k", "random_k". The table has a row an image and
    beta: block, maps, pixels (of a map), beta, image, d, selected, mean_cosine and rank (of the candidates' cosines),
    proven, nodes, seconds.

    >>> maps = torch.eye(3).reshape(1, 3, 3, 1)
    >>> alpha = torch.tensor([[2.0, 1.0, -1.0]])
    >>> layer = Layer("layer4", maps, alpha, feature_selection.problems(maps.numpy(), alpha.numpy()))
    >>> selected, table = select(layer, [0.7])
    >>> selected["exact", 0.7], table.proven.all()
    (array([[ True,  True, False]]), np.True_)
    """
    selected, rows = {}, []
    for beta in betas:
        given = {"beta": beta, "pair_sum": pair_sum, "time_limit": time_limit}
        bits, infos = by_name.solve_all(layer.problems, "exact", desc=f"{layer.name}, beta={beta}", **given)
        k = bits.sum(1)
        selected["exact", beta] = bits
        selected["top_k", beta] = baselines.top_k(layer.importance, k)
        selected["random_k", beta] = baselines.random_k(layer.importance, k, seed=seed)
        for image, (problem, size, info) in enumerate(zip(layer.problems, k, infos)):
            row = {"block": layer.name, "maps": problem.n_features, "pixels": layer.maps[0, 0].numel(), "beta": beta}
            row |= {"image": image, "d": problem.d, "selected": int(size)}
            row["mean_cosine"] = problem.redundancy[np.triu_indices(problem.d, 1)].mean()
            row["rank"] = np.linalg.matrix_rank(problem.redundancy, tol=1e-6)
            rows.append(row | {name: info[name] for name in ("proven", "nodes", "seconds")})
    return selected, pd.DataFrame(rows)


def carried(
    network: torch.nn.Module, layer: Layer, images, labels, selected: Selections, *, n_resamples: int = 1000, seed=0
) -> pd.DataFrame:
    """What only selected maps of a layer say of the class when they propagate, the others set to zero.

    images: as for `capture`; labels: (B,) classes; selected: "exact", "top_k" and "random_k" of each beta, as `select`
    gives them. Columns: block, selection ("candidates", "exact_0.7", ...), k, and those of `map_subsets.compared`: the
    measures of the class, beside the network with all maps and with none, and the differences from as many top and
    random candidates, minus_top_k and minus_random.

    >>> from torchvision.models import resnet18
    >>> network, images = resnet18(weights=None).eval(), torch.rand(2, 3, 64, 64)
    >>> layer = capture(network, "layer4", images)
    >>> selected = {(kind, 0.7): layer.candidates for kind in ("exact", "top_k", "random_k")}
    >>> carried(network, layer, images, [0, 1], selected).selection.tolist()
    ['candidates', 'exact_0.7', 'top_k_0.7', 'random_k_0.7']
    """
    every = np.ones(layer.importance.shape, bool)
    whole = extraction.propagate(network, layer.name, images, every).numpy()
    nothing = extraction.propagate(network, layer.name, images[:1], ~every[:1]).numpy()[0]

    def measures(bits):
        logits = extraction.propagate(network, layer.name, images, bits).numpy()
        return map_subsets.class_measures(logits, labels, whole, nothing)

    rows, given = [], {"n_resamples": n_resamples, "seed": seed}
    rows += map_subsets.compared({"candidates": measures(layer.candidates)}, {}, **given)
    sizes = {"candidates": layer.candidates.sum(1).mean()}
    for beta in dict.fromkeys(beta for _, beta in selected):
        keys = {kind: f"{kind}_{beta}" for kind in ("exact", "top_k", "random_k")}
        measured = {key: measures(selected[kind, beta]) for kind, key in keys.items()}
        against = {"top_k": keys["top_k"], "random": keys["random_k"]}
        rows += map_subsets.compared(measured, against, **given)
        sizes |= {key: selected[kind, beta].sum(1).mean() for kind, key in keys.items()}
    return pd.DataFrame([{"block": layer.name, "k": sizes[row["selection"]]} | row for row in rows])


def definition_of(use: Conventions) -> AverageDropDefinition:
    """The Average Drop of a set of conventions: its mask, its resampling and its score.

    Its clip is that of every method but Grad-CAM++, which is not among those of other layers.

    >>> from qafs_utils.conventions import TEXT
    >>> definition_of(TEXT).masking
    Masking(mask='threshold', value=0.15, fill='black', resampling='float')
    """
    kind, _, cut = use.mask.partition(" ")
    mask, value = {"soft": ("soft", None), "top": ("top_fraction", 0.5)}.get(kind) or ("threshold", float(cut))
    return AverageDropDefinition(mask, value, resampling=use.resampling, score=use.score)


def _named(interval, name):
    """A mean with its interval under the names of a column: name, name_low, name_high."""
    return {name: interval["value"], f"{name}_low": interval["low"], f"{name}_high": interval["high"]}


def average_drops(
    layer: Layer, selected: Selections, drop_of: Callable, *, n_resamples: int = 1000, seed: int = 0
) -> tuple[pd.DataFrame, dict]:
    """Average Drop of Grad-CAM, filtered Grad-CAM, the optima and the top k  ->  table, {(kind, beta): (B,)}.

    drop_of: explanation maps (B, H, W) -> drop (B,) in percent and mask area (B,). Columns: block, method
    ("Grad-CAM", "exact_0.7", ...), area, value with its 95 % interval low and high, and for the top k the paired
    difference optimum_minus_top_k with its own.

    >>> maps, alpha = torch.eye(3).reshape(1, 3, 3, 1), torch.tensor([[2.0, 1.0, -1.0]])
    >>> layer = Layer("layer4", maps, alpha, feature_selection.problems(maps.numpy(), alpha.numpy()))
    >>> table, drops = average_drops(layer, {}, lambda cam: (cam.amax((1, 2)).numpy(), np.array([0.5])))
    >>> table.method.tolist(), drops["Grad-CAM", None]
    (['Grad-CAM', 'filtered Grad-CAM'], array([2.], dtype=float32))
    """
    shown = {("Grad-CAM", None): None, ("filtered Grad-CAM", None): layer.candidates}
    shown |= {key: bits for key, bits in selected.items() if key[0] in ("exact", "top_k")}
    drops, rows, given = {}, [], {"n_resamples": n_resamples, "seed": seed}
    for (kind, beta), bits in shown.items():
        drop, area = drop_of(_explained(layer, bits))
        drops[kind, beta] = drop
        row = {"block": layer.name, "method": kind if beta is None else f"{kind}_{beta}", "area": float(area.mean())}
        row |= mean_with_interval(drop, **given)
        if kind == "top_k":
            row |= _named(mean_with_interval(drops["exact", beta] - drop, **given), "optimum_minus_top_k")
        rows.append(row)
    return pd.DataFrame(rows), drops


def _explained(layer, bits):
    """Grad-CAM of some maps of a layer, all for None."""
    return cams.grad_cam(layer.maps, layer.importance, None if bits is None else torch.as_tensor(bits))


def compare_sizes(
    layer: Layer,
    selected: Selections,
    drops: dict,
    annealed: dict[float, np.ndarray],
    ks: list[int],
    drop_of: Callable,
    *,
    pair_sum: str = HEADLINE.pair_sum,
    time_limit: float = 60.0,
    n_resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Average Drop of the optima of free size, of annealed selections in their place, and of exactly k maps.

    drops: of `average_drops`; annealed: {beta: (B, N_f) bool}; ks: sizes, those that all images have, at the first
    beta. The rounded mean size of each optimum is one of them too, or the largest that all images have, if that is
    less. Rows "QUBO" and "SA minus QUBO" for each beta, "QUBO, exactly k" and "top k" for each size. Columns:
    selection, beta, k, rounded_k (of "QUBO": the size k to hold it against), mean_cosine (of the selected maps), value
    with its 95 % interval low and high, and the paired difference from the optimum of free size, minus_free_size, with
    its own.
    Raises ValueError if an optimum of k maps is not proven within time_limit.

    >>> maps, alpha = torch.eye(3).reshape(1, 3, 3, 1), torch.tensor([[2.0, 1.0, -1.0]])
    >>> layer = Layer("layer4", maps, alpha, feature_selection.problems(maps.numpy(), alpha.numpy()))
    >>> drop_of, (selected, _) = lambda cam: (cam.amax((1, 2)).numpy(), np.array([0.5])), select(layer, [0.7])
    >>> _, drops = average_drops(layer, selected, drop_of)
    >>> compare_sizes(layer, selected, drops, {0.7: layer.candidates}, [1, 9], drop_of)[["selection", "k"]].values
    array([['QUBO', 2.0],
           ['SA minus QUBO', nan],
           ['QUBO, exactly k', 1.0],
           ['top k', 1.0],
           ['QUBO, exactly k', 2.0],
           ['top k', 2.0]], dtype=object)
    """
    rows, given, J = [], {"n_resamples": n_resamples, "seed": seed}, cosine_matrix(layer.maps.numpy())
    largest, ks = min(problem.d for problem in layer.problems), set(ks)
    for beta, theirs in annealed.items():
        bits, drop = selected["exact", beta], drops["exact", beta]
        cosine = nan_mean(map_subsets.mean_cosines(J, bits))
        mean_size = bits.sum(1).mean()
        rounded = min(max(1, round(mean_size)), largest)
        ks.add(rounded)
        row = {"selection": "QUBO", "beta": beta, "k": mean_size, "rounded_k": rounded, "mean_cosine": cosine}
        rows.append(row | mean_with_interval(drop, **given))
        excess = drop_of(_explained(layer, theirs))[0] - drop
        rows.append({"selection": "SA minus QUBO", "beta": beta} | mean_with_interval(excess, **given))
    beta = next(iter(annealed))
    for k in sorted(k for k in ks if k <= largest):
        options = {"beta": beta, "pair_sum": pair_sum, "size": k, "time_limit": time_limit}
        optimum, infos = by_name.solve_all(layer.problems, "exact", desc=f"exactly {k}", **options)
        if not all(info["proven"] for info in infos):
            raise ValueError(f"an optimum of {k} maps is not proven: give a longer time_limit")
        top = baselines.top_k(layer.importance, np.full(len(optimum), k))
        for name, bits in (("QUBO, exactly k", optimum), ("top k", top)):
            drop, cosine = drop_of(_explained(layer, bits))[0], nan_mean(map_subsets.mean_cosines(J, bits))
            row = {"selection": name, "beta": beta, "k": k, "mean_cosine": cosine} | mean_with_interval(drop, **given)
            excess = mean_with_interval(drop - drops["exact", beta], **given)
            rows.append(row | _named(excess, "minus_free_size"))
    return pd.DataFrame(rows)
