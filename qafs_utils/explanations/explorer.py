"""The selection of one image at a time, recomputed while a choice changes: only what depends on the change."""

import functools
import io
import time
from collections.abc import Mapping
from types import MappingProxyType

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from .. import require
from ..cnn.datasets import CLASSES
from ..cnn.feature_maps import contributions, importance
from ..cnn.photographs import LARGEST, read_image
from ..conventions import Conventions
from ..intervals import nan_mean
from ..plots import method, style
from ..qubo import feature_selection
from ..solvers import baselines, by_name
from ..solvers.one_problem import select
from . import explanation_map
from .conventional import chosen_set, set_name
from .map_subsets import mean_cosines, subset_scores

OPTIONS = by_name.TRIALS | {  # a view does not wait for a hundred reads
    "simulated_annealing": {"num_reads": 10},
    "tabu": by_name.TRIALS["tabu"] | {"num_reads": 4},
    "schrodinger": {"tolerance": 1e-4},
}


class Explorer:
    """Views of images whose maps are given, after the block, where the classifier is linear in them.

    models: {N_f: (maps (B, N_f, H, W), weight (C, N_f * H * W), bias (C,))}, such as artefacts 02_maps_* and 01_heads;
    photographs: B images uint8 (3, h, w), or None for each that there is none of; image_size: of the heatmap.
    conventions: as for `explain`; the attribute of that name says which. Other images are put in with `add`. A choice
    is: image, n_features, class_index (-1 for the predicted one), beta, size (0 for any), solver. Arrays are copied,
    those given back cannot be written to.
    Raises ValueError for models of other shapes, of unequal numbers of images or classes, for NaN, and for no set.

    >>> maps = np.eye(2).reshape(1, 2, 2, 1)  # one image, two maps of 2 x 1, orthogonal
    >>> weight = np.array([[2.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]])  # of two classes: the first map counts twice
    >>> view = Explorer({2: (maps, weight, np.zeros(2))}, image_size=4).choose(n_features=2, beta=0.7)
    >>> view["selected"], round(view["scores"]["energy"], 3), view["scores"]["optimal"]
    (array([ True,  True]), -1.05, True)
    """

    def __init__(
        self,
        models: Mapping,
        photographs=None,
        *,
        image_size: int = 224,
        conventions: str | Conventions = "headline",
        seed: int = 0,
    ):
        self.classifiers, self.maps, classes = {}, {}, {}
        for n, (maps, weight, bias) in _parts(models):
            bias = require.array(f"bias of N_f = {n}", bias, "C", classes, dtype=None)
            weight = require.array(f"weight of N_f = {n}", weight, "C pixels", dict(classes))
            self.classifiers[n] = _read_only(weight), _read_only(bias)
            self.maps[n] = [self._own(n, maps_of_image) for maps_of_image in _listed(f"maps of N_f = {n}", maps)]
        counts = {len(maps) for maps in self.maps.values()}
        self.photographs = [None] * max(counts) if photographs is None else photographs
        self.photographs = [*map(_photograph, _listed("photographs", self.photographs))]
        if counts != {len(self.photographs)}:
            got = f"got {counts} maps and {len(self.photographs)} photographs"
            raise ValueError(f"models and photographs must be of equally many images, {got}")
        self.image_size = require.whole("image_size", image_size, 1, LARGEST)
        self.use = chosen_set(conventions)
        self.conventions = set_name(self.use)
        self.seed = require.whole("seed", seed)
        stages = self._evidence, self._problem, self._solution
        self.evidence, self.problem, self.solution = (functools.lru_cache(1024)(stage) for stage in stages)

    def _own(self, n, maps):
        """A copy of one image's maps (n, H, W) that nobody can change. Raises ValueError unless the classifier fits."""
        maps = require.array(f"maps of N_f = {n}", maps, "N H W", {"N": n}, dtype=None)
        pixels = self.classifiers[n][0].shape[1]
        if maps.size != pixels:
            raise ValueError(f"maps of N_f = {n} must have {pixels} pixels, as the classifier has, got {maps.shape}")
        return _read_only(maps)

    def add(self, maps: Mapping, photograph=None) -> int:
        """One more image: {N_f: maps (N_f, H, W)}, one for each model, and uint8 (3, h, w) or None  ->  its number.

        Raises ValueError, and adds nothing, for other models and shapes.
        """
        if not isinstance(maps, Mapping) or set(maps) != set(self.maps):
            got = list(maps) if isinstance(maps, Mapping) else require.described(maps)
            raise ValueError(f"maps must be of every model, a dict by N_f = {list(self.maps)}, got {got}")
        own, photograph = {n: self._own(n, maps[n]) for n in maps}, _photograph(photograph)
        for n, maps_of_image in own.items():
            self.maps[n].append(maps_of_image)
        self.photographs.append(photograph)
        return len(self.photographs) - 1

    def add_photograph(self, photograph, networks: Mapping) -> int:
        """A photograph uint8 (3, h, w), seen by networks {N_f: checkpoints.Trained} on one trunk  ->  its number.

        Raises ValueError as `add`, and for networks on several trunks or of several image sizes.
        """
        from ..cnn import checkpoints, extraction, preprocessing, pretrained  # only photographs wait for PyTorch

        given = networks if isinstance(networks, Mapping) else {}
        if set(given) != set(self.maps) or not all(
            isinstance(network, checkpoints.Trained) for network in given.values()
        ):
            got = require.described(networks)
            raise ValueError(f"networks must be {{N_f: Trained}} for N_f = {list(self.maps)}, got {got}")
        trunks = {id(network.trunk): network.trunk for network in networks.values()}.values()
        sizes = {network.image_size for network in networks.values()}
        if len(sizes) > 1 or (len(trunks) > 1 and len({*map(pretrained.fingerprint, trunks)}) > 1):
            raise ValueError("networks must have one trunk and one image_size: their maps stand side by side")
        trunk, photograph = next(iter(trunks)), read_image(photograph)
        features = trunk(preprocessing.to_square(photograph, sizes.pop()).to(trunk.mean.device))
        maps = {n: extraction.capture(network.head, features)[0][0].numpy() for n, network in networks.items()}
        return self.add(maps, photograph)

    def _evidence(self, image, n_features):
        """What every map adds to every logit: (N_f, C)."""
        return _read_only(contributions(self.maps[n_features][image][None], self.classifiers[n_features][0])[0])

    def _problem(self, image, n_features, class_index):
        """Importance (N_f,) and problem. The gradient of a logit is the classifier's weight."""
        maps, weight = self.maps[n_features][image], self.classifiers[n_features][0][class_index]
        alpha = importance(weight.reshape(maps.shape)).astype(np.float32)
        kind = {"candidates": self.use.candidates, "field": self.use.field}
        return _read_only(alpha), feature_selection.problem(maps, alpha, **kind)

    def _solution(self, image, n_features, class_index, beta, size, solver):
        """Selection (N_f,) bool and the solver's info."""
        choice = {"beta": beta, "pair_sum": self.use.pair_sum, "size": size or None, "seed": self.seed}
        problem = self.problem(image, n_features, class_index)[1]
        of_set = {"annealing_time": self.use.annealing_time, "driver": self.use.driver}
        options = OPTIONS.get(solver, {}) | (of_set if solver == "schrodinger" else {})
        selected, info = select(problem, solver, **choice, **options)
        return _read_only(selected), MappingProxyType(info)

    def candidates(self, image: int = 0, n_features: int = 16, class_index: int = -1) -> int:
        """Number d of maps that support a choice's class: the largest size there is. Raises as `choose`."""
        return self.problem(*self._checked(image, n_features, class_index))[1].d

    def _checked(self, image=0, n_features=16, class_index=-1):
        """Image, model and class of a choice, the predicted class for -1. Raises ValueError for those not there."""
        n_features = require.whole("n_features", n_features)
        if n_features not in self.maps:
            raise ValueError(f"n_features must be one of {list(self.maps)}, got {n_features}")
        image = require.whole("image", image, 0, len(self.photographs) - 1)
        bias = self.classifiers[n_features][1]
        class_index = require.whole("class_index", class_index, -1, len(bias) - 1)
        if class_index < 0:
            class_index = int((self.evidence(image, n_features).sum(0) + bias).argmax())
        return image, n_features, class_index

    def choose(
        self,
        image: int = 0,
        n_features: int = 16,
        class_index: int = -1,
        *,
        beta: float | None = None,
        size: int = 0,
        solver: str = "exact",
    ) -> dict:
        """Everything about one choice: a dict with class_index, importance, problem, matrix, selected, heatmap, scores.

        beta: None for that of the conventions.
        scores: energy; bound, of all selections (of that size), proven; optimal; mean_cosine of the selected maps, NaN
        for fewer than two; and the class probability with all maps, with exactly the selected ones kept, and with as
        many of the most important ones. Arrays are the Explorer's own, and cannot be written to.
        Raises NoPositiveMapError, and ValueError for a choice that is not there, as a size beyond the `candidates`.
        """
        beta = self.use.beta if beta is None else require.number("beta", beta, "[0, 1]")
        size = require.whole("size", size)
        solver = require.choice("solver", solver, by_name.SOLVERS)
        image, n_features, c = self._checked(image, n_features, class_index)
        evidence, bias = self.evidence(image, n_features), self.classifiers[n_features][1]
        alpha, problem = self.problem(image, n_features, c)
        selected, info = self.solution(image, n_features, c, beta, size, solver)
        proof = self.solution(image, n_features, c, beta, size, "exact")[1]
        k = int(selected.sum())
        kept = np.stack([np.ones(n_features, bool), selected, baselines.top_k(alpha[None], np.array([k]))[0]])
        probability = subset_scores(evidence[None].repeat(3, 0), bias, [c] * 3, kept)
        cam = explanation_map.of_selection(self.maps[n_features][image], alpha, selected, relu=self.use.grad_cam)
        scores = {
            "energy": info["energy"],
            "bound": proof["bound"],
            "proven": proof["proven"],
            "optimal": bool(info["energy"] <= proof["energy"] + 1e-9) and (not size or k == size),
            "mean_cosine": float(mean_cosines([problem.redundancy], [selected[problem.maps]])[0]),
        }
        return {
            "class_index": c,
            "importance": alpha,
            "problem": problem,
            "matrix": _read_only(problem.matrix(beta, self.use.pair_sum)),
            "selected": selected,
            "heatmap": _read_only(explanation_map.heatmap(cam, self.image_size, resampling=self.use.resampling)),
            "scores": scores | dict(zip(("probability_all", "probability", "probability_top_k"), probability)),
        }

    def averages(self, n_features: int = 16, **choice) -> dict:
        """The scores of a choice averaged over all images, and how often the most important maps are selected."""
        views = [self.choose(i, n_features, **choice) for i in range(len(self.photographs))]
        sizes = np.array([view["selected"].sum() for view in views])
        top = baselines.top_k(np.stack([view["importance"] for view in views]), sizes)
        names = {"optimal": "optimal", "mean_cosine": "mean cosine", "probability_all": "P, all maps"}
        names |= {"probability": "P, selected", "probability_top_k": "P, top k"}
        return {
            "N_f": n_features,
            "d": np.mean([view["problem"].d for view in views]),
            "selected": sizes.mean(),
            **{name: nan_mean([view["scores"][key] for view in views]) for key, name in names.items()},
            "same maps": np.mean([(view["selected"] == row).all() for view, row in zip(views, top)]),
        }

    def seconds(self, start: Mapping, change: Mapping) -> float:
        """Seconds until the view follows a change of a choice, with nothing kept but the view before it."""
        self.png(**(start | change))  # compiles and loads what only a first call does
        for stage in (self.evidence, self.problem, self.solution):
            stage.cache_clear()
        self.png(**start)
        before = time.perf_counter()
        self.png(**(start | change))
        return time.perf_counter() - before

    def figure(self, *, photograph: bool = True, **choice) -> plt.Figure:
        """The view of a choice (see `choose`) as a matplotlib Figure; photograph=False leaves the image itself out."""
        view = self.choose(**choice)
        image, n, _ = self._checked(**{name: choice[name] for name in ("image", "n_features") if name in choice})
        scores, c = view["scores"], view["class_index"]
        beta = self.use.beta if choice.get("beta") is None else choice["beta"]
        lines = [
            (choice.get("solver", "exact").replace("_", " "), f"beta {beta:g}"),
            ("energy", method.number_text(scores["energy"], 4) + (" (optimum)" if scores["optimal"] else "")),
            ("proven bound" if scores["proven"] else "lower bound", method.number_text(scores["bound"], 4)),
            ("mean cosine, selected", "none" if np.isnan(scores["mean_cosine"]) else f"{scores['mean_cosine']:.3f}"),
            ("P(class): all maps", f"{scores['probability_all']:.3f}"),
            ("    only the selected", f"{scores['probability']:.3f}"),
            ("    as many top maps", f"{scores['probability_top_k']:.3f}"),
        ]
        name = CLASSES[c] if len(self.classifiers[n][1]) == len(CLASSES) else f"class {c}"
        shown = self.photographs[image] if photograph else None
        parts = (view[key] for key in ("problem", "matrix", "selected", "heatmap"))
        with plt.style.context(style.STYLE):
            return method.explanation(shown, self.maps[n][image], *parts, name, lines)

    def png(self, *, dpi: float = 110, **choice) -> bytes:
        """The view of a choice as the bytes of a PNG: what a widget shows. dpi: from 1 to 1200."""
        dpi, content = require.number("dpi", dpi, "[1, 1200]"), io.BytesIO()
        with plt.style.context(style.STYLE):
            figure = self.figure(**choice)
            figure.set_dpi(dpi)
            FigureCanvasAgg(figure).print_png(content, pil_kwargs={"compress_level": 1})  # savefig would draw it twice
        return content.getvalue()


def _read_only(array):
    """A copy of an array that cannot be written to."""
    array = np.array(array)
    array.setflags(write=False)
    return array


def _parts(models):
    """Pairs of N_f and (maps, weight, bias). Raises ValueError for anything else."""
    parts = list(models.items()) if isinstance(models, Mapping) else []
    if not parts or not all(isinstance(part, list | tuple) and len(part) == 3 for _, part in parts):
        raise ValueError(f"models must be {{N_f: (maps, weight, bias)}}, got {require.described(models)}")
    return [(require.whole("N_f", n, 1), part) for n, part in parts]


def _listed(name, given):
    """What is given of each image as a list. Raises ValueError for what is no sequence, or one image alone."""
    if isinstance(given, str | bytes | Mapping) or not np.iterable(given) or getattr(given, "ndim", 4) == 3:
        raise ValueError(f"{name} must be those of B images, one an item, got {require.described(given)}")
    return list(given)


def _photograph(photograph):
    """A copy of a photograph, uint8 (3, h, w), or None. Raises ValueError for another shape or type."""
    return None if photograph is None else _read_only(read_image(photograph))
