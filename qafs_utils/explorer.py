"""The selection of one image at a time, recomputed while a choice changes: only what depends on the change."""

import functools
import io

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from . import cams, plots, qubo, solvers
from .data import CLASSES
from .explanation import select, to_square
from .extraction import capture
from .feature_maps import contributions, importance
from .metrics import mean_cosines, subset_scores

QUICKER = {  # a view does not wait for a hundred reads
    "simulated_annealing": {"num_reads": 10}, "tabu": {"num_reads": 4}, "schrodinger": {"tolerance": 1e-4},
}  # fmt: skip
OPTIONS = solvers.TRIALS | {name: solvers.TRIALS[name] | options for name, options in QUICKER.items()}


class Explorer:
    """Views of images whose maps are given, after the block, where the classifier is linear in them.

    models: {N_f: (maps (B, N_f, H, W), weight (C, N_f * H * W), bias (C,))}, such as artefacts 02_maps_* and 01_heads;
    photographs: B images uint8 (3, h, w), or None for each that there is none of; image_size: of the heatmap.
    Other images are put in with `add`. A choice is: image, n_features, class_index (-1 for the predicted one), beta,
    size (0 for any), solver.

    >>> maps = np.eye(2).reshape(1, 2, 2, 1)  # one image, two maps of 2 x 1, orthogonal
    >>> weight = np.array([[2.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]])  # of two classes: the first map counts twice
    >>> view = Explorer({2: (maps, weight, np.zeros(2))}, image_size=4).choose(n_features=2, beta=0.7)
    >>> view["selected"], round(view["scores"]["energy"], 3), view["scores"]["optimal"]
    (array([ True,  True]), -1.05, True)
    """

    def __init__(self, models, photographs=None, image_size=224, pair_sum="p<q", seed=0):
        self.maps = {n: list(maps) for n, (maps, _, _) in models.items()}
        self.classifiers = {n: (np.asarray(weight, float), bias) for n, (_, weight, bias) in models.items()}
        count = len(next(iter(self.maps.values())))
        self.photographs = [None] * count if photographs is None else list(photographs)
        self.image_size, self.pair_sum, self.seed = image_size, pair_sum, seed
        self.evidence, self.problem, self.solution = (
            functools.lru_cache(1024)(stage) for stage in (self._evidence, self._problem, self._solution)
        )

    def add(self, maps, photograph=None):
        """One more image: {N_f: maps (N_f, H, W)}, uint8 (3, h, w)  ->  its number."""
        for n, of_image in maps.items():
            self.maps[n].append(of_image)
        self.photographs.append(photograph)
        return len(self.photographs) - 1

    def add_photograph(self, photograph, networks):
        """A photograph uint8 (3, h, w), seen by networks {N_f: explanation.Trained} on one trunk  ->  its number."""
        first = next(iter(networks.values()))
        features = first.trunk(to_square(photograph, first.image_size).to(first.trunk.mean.device))
        maps = {n: capture(network.head, features)[0][0].numpy() for n, network in networks.items()}
        return self.add(maps, photograph)

    def _evidence(self, image, n_features):
        """What every map adds to every logit: (N_f, C)."""
        return contributions(self.maps[n_features][image][None], self.classifiers[n_features][0])[0]

    def _problem(self, image, n_features, class_index):
        """Importance (N_f,) and problem. The gradient of a logit is the classifier's weight."""
        maps, weight = self.maps[n_features][image], self.classifiers[n_features][0][class_index]
        alpha = importance(weight.reshape(maps.shape)).astype(np.float32)
        return alpha, qubo.selection(maps, alpha)

    def _solution(self, image, n_features, class_index, beta, size, solver):
        problem = self.problem(image, n_features, class_index)[1]
        options = OPTIONS.get(solver, {})
        return select(problem, n_features, solver, beta, self.pair_sum, size or None, self.seed, **options)

    def choose(self, image=0, n_features=16, class_index=-1, beta=0.7, size=0, solver="exact"):
        """Everything about one choice: a dict with class_index, importance, problem, matrix, selected, heatmap, scores.

        scores: energy; bound, of all selections (of that size), proven; optimal; mean_cosine of the selected maps, NaN
        for fewer than two; and the class probability with all maps, with exactly the selected ones kept, and with as
        many of the most important ones. Raises NoPositiveMapError, and ValueError for a size beyond the candidates.
        """
        evidence, bias = self.evidence(image, n_features), self.classifiers[n_features][1]
        c = int((evidence.sum(0) + bias).argmax()) if class_index < 0 else class_index
        alpha, problem = self.problem(image, n_features, c)
        selected, info = self.solution(image, n_features, c, beta, size, solver)
        proof = self.solution(image, n_features, c, beta, size, "exact")[1]
        k = int(selected.sum())
        kept = np.stack([np.ones(n_features, bool), selected, solvers.top_k(alpha[None], np.array([k]))[0]])
        probability = subset_scores(evidence[None].repeat(3, 0), bias, [c] * 3, kept)
        cam = cams.grad_cam(*(torch.as_tensor(v)[None] for v in (self.maps[n_features][image], alpha, selected)))
        return {
            "class_index": c,
            "importance": alpha,
            "problem": problem,
            "matrix": problem.matrix(beta, self.pair_sum),
            "selected": selected,
            "heatmap": cams.heatmap(cam, self.image_size)[0].numpy(),
            "scores": {
                "energy": info["energy"],
                "bound": proof["bound"],
                "proven": proof["proven"],
                "optimal": bool(info["energy"] <= proof["energy"] + 1e-9) and (not size or k == size),
                "mean_cosine": float(mean_cosines([problem.redundancy], [selected[problem.maps]])[0]),
                "probability_all": probability[0],
                "probability": probability[1],
                "probability_top_k": probability[2],
            },
        }

    def figure(self, photograph=True, **choice):
        """The view of a choice (see `choose`) as a matplotlib Figure; photograph=False leaves the image itself out."""
        found = self.choose(**choice)
        scores, image, n = found["scores"], choice.get("image", 0), choice.get("n_features", 16)
        cosine = scores["mean_cosine"]
        lines = [
            ("energy", plots.number_text(scores["energy"], 4) + (" (optimum)" if scores["optimal"] else "")),
            ("proven bound" if scores["proven"] else "lower bound", plots.number_text(scores["bound"], 4)),
            ("mean cosine, selected", "none" if np.isnan(cosine) else f"{cosine:.3f}"),
            ("P(class): all maps", f"{scores['probability_all']:.3f}"),
            ("    only the selected", f"{scores['probability']:.3f}"),
            ("    as many top maps", f"{scores['probability_top_k']:.3f}"),
        ]
        keys = ("problem", "matrix", "selected", "heatmap")
        shown = self.photographs[image] if photograph else None
        with plt.style.context(plots.STYLE):
            return plots.explanation(
                shown, self.maps[n][image], *(found[key] for key in keys), CLASSES[found["class_index"]], lines
            )

    def png(self, dpi=110, **choice):
        """The view of a choice as the bytes of a PNG: what a widget shows."""
        content = io.BytesIO()
        with plt.style.context(plots.STYLE):
            figure = self.figure(**choice)
            figure.set_dpi(dpi)
            FigureCanvasAgg(figure).print_png(content, pil_kwargs={"compress_level": 1})  # savefig would draw it twice
        return content.getvalue()
