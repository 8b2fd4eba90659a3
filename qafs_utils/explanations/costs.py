"""What an explanation costs: time, in forward passes through the same network."""

import timeit

import pandas as pd
import torch

from ..cnn import networks, training
from ..cnn.extraction import capture
from ..cnn.feature_maps import importance
from ..conventions import HEADLINE
from ..qubo import feature_selection
from ..solvers import by_name
from . import cams

SELECTIONS = {  # of the maps alone: solver and options, for the reduced networks and the full one
    "QA selection alone, simulated": ("schrodinger", {"beta": HEADLINE.beta, "seed": 0}),
    "exact selection alone": ("brute_force", {"beta": HEADLINE.beta}),
}
FULL_SELECTIONS = {"SA selection alone": ("simulated_annealing", {"beta": 0.99, "seed": 0})}


def explanation_costs(
    trunk: networks.Trunk, head: torch.nn.Module, pixels: torch.Tensor, *, target: str = "block"
) -> pd.DataFrame:
    """Time of each explanation for an image, from its pixels, and of choosing the maps alone (`SELECTIONS`).

    pixels: (B, 3, S, S), all explained at once; of Score-CAM, whose passes grow with N_f, only the first 4, or 1 of a
    FullHead; target: as for `extraction.capture`
    ->  n_features, method, milliseconds, forward_passes. The least of three times, of Score-CAM one.

    >>> from qafs_utils.cnn import pretrained
    >>> trunk, head = networks.Trunk(pretrained.resnet18("random")), networks.build_head(16, "paper", None, size=1)
    >>> costs = explanation_costs(trunk, head, torch.rand(5, 3, 16, 16))
    >>> costs.method.tolist()[:4], float(costs.forward_passes[0])
    (['one forward pass', 'Grad-CAM', 'Grad-CAM++', 'Score-CAM'], 1.0)
    """
    full = isinstance(head, networks.FullHead)
    maps, gradients, logits = capture(head, trunk(pixels), target)
    few, probability = slice(1 if full else 4), training.scorer(trunk, head, softmax=True)

    def select(solver, options):
        problems = feature_selection.problems(maps.numpy(), importance(gradients).numpy())
        return by_name.solve_all(problems, solver, **options)

    def grad_cam():
        found, slopes, _ = capture(head, trunk(pixels), target)
        return cams.grad_cam(found, importance(slopes))

    calls = {
        "one forward pass": lambda: training.scorer(trunk, head)(pixels),
        "Grad-CAM": grad_cam,
        "Grad-CAM++": lambda: cams.grad_cam_pp(*capture(head, trunk(pixels), target)[:2]),
        "Score-CAM": lambda: cams.score_cam(maps[few], probability, pixels[few], logits[few].argmax(1)),
    }
    selections = FULL_SELECTIONS if full else SELECTIONS
    calls |= {name: lambda given=given: select(*given) for name, given in selections.items()}
    rows = []
    for name, call in calls.items():
        repeat, count = (1, len(pixels[few])) if name == "Score-CAM" else (3, len(pixels))
        seconds = min(timeit.repeat(call, number=1, repeat=repeat)) / count
        rows.append({"n_features": maps.shape[1], "method": name, "milliseconds": 1e3 * seconds})
    costs = pd.DataFrame(rows)
    return costs.assign(forward_passes=costs.milliseconds / costs.milliseconds[0])
