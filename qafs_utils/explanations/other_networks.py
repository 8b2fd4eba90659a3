"""The same questions asked of any network whose last maps are averaged and then weighted by a linear classifier.

There the gradient of a class score with respect to the maps is the classifier's weight over the number of pixels, so
that one forward pass gives maps, importance (paper, Eq. 1) and logits of every class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from .. import require
from ..cnn.tensors import require_evaluation
from ..qubo.feature_selection import Problem
from .carried import LinearClassifier


@dataclass(frozen=True, eq=False)
class Answers:
    """What a network says of B images: maps (B, N, H, W) float32, logits (B, C), weight (C, N) and bias (C,).

    >>> answers = Answers(torch.ones(1, 2, 2, 2), np.array([[0.0, 3.0]]), np.array([[1.0, -1], [2, 1]]), np.zeros(2))
    >>> answers.predicted, answers.importance
    (array([1]), array([[0.5 , 0.25]]))
    """

    maps: torch.Tensor
    logits: np.ndarray
    weight: np.ndarray
    bias: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """(B,) classes of the largest logit."""
        return self.logits.argmax(1)

    @property
    def importance(self) -> np.ndarray:
        """Importance of each map for the predicted class (paper, Eq. 1): (B, N)."""
        return self.weight[self.predicted] / self.maps[0, 0].numel()

    def classifier(self, images) -> LinearClassifier:
        """What each map adds to every logit, of some images."""
        return LinearClassifier.of_maps(self.maps[images].numpy(), self.weight, self.bias, self.predicted[images])


@torch.inference_mode()
def ask(network: torch.nn.Module, layer: str, images, mean, std, *, batch: int = 32, desc: str = "network") -> Answers:
    """One forward pass of uint8 images (B, 3, S, S), normalised with mean and std (3,)  ->  Answers of a layer.

    layer: a name of `network.named_modules()`, whose maps are averaged before the last linear module.
    Raises ValueError where the logits are not those of the averaged maps.

    >>> layers = torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 5)
    >>> ask(torch.nn.Sequential(*layers).eval(), "0", np.zeros((2, 3, 8, 8), np.uint8), (0,) * 3, (1,) * 3).maps.shape
    torch.Size([2, 4, 6, 6])
    """
    require_evaluation(network, "network")
    images, found, held = torch.as_tensor(images), [], []
    mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in (mean, std))
    classifier = [module for module in network.modules() if isinstance(module, torch.nn.Linear)][-1]
    keep = network.get_submodule(layer).register_forward_hook(lambda _, __, output: held.append(output.clone()))
    try:
        for part in tqdm(images.split(require.whole("batch", batch, 1)), desc=desc, unit="batch"):
            found.append(network((part.float() / 255 - mean) / std))
    finally:
        keep.remove()
    maps, logits = torch.cat(held), torch.cat(found)
    if not torch.allclose(classifier(maps.mean((2, 3))), logits, atol=1e-3):
        raise ValueError(f"the logits are not those of the averaged maps of {layer!r}: name the last maps")
    return Answers(maps.clone(), *(x.numpy() for x in (logits, classifier.weight, classifier.bias)))


def structure(problems: Sequence[Problem]) -> pd.DataFrame:
    """What the cosines of each problem are like: a row a problem.

    Columns: d; zero, candidates that are 0 everywhere, which cost nothing and so are always selected; mean_cosine, of
    the pairs of the others; rank; effective_rank, (sum of eigenvalues)^2 over the sum of their squares;
    least_eigenvalue, below 0 where the cosines are not positive semidefinite.

    >>> structure([Problem([0, 1], [-1.0, -0.5], np.array([[1.0, 0.6], [0.6, 1.0]]), 2)]).round(3).iloc[0].tolist()
    [2.0, 0.0, 0.6, 2.0, 1.471, 0.4]
    """
    rows = []
    for problem in problems:
        alive = np.diag(problem.redundancy) > 0
        J = problem.redundancy[np.ix_(alive, alive)]
        eigenvalues = np.linalg.eigvalsh(J)
        row = {"d": problem.d, "zero": int((~alive).sum()), "mean_cosine": J[np.triu_indices(len(J), 1)].mean()}
        row["rank"] = int((np.abs(eigenvalues) > 1e-6 * len(J)).sum())
        row["effective_rank"] = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
        rows.append(row | {"least_eigenvalue": eigenvalues[0]})
    return pd.DataFrame(rows)


def verdict(reference: Mapping, found: Mapping) -> str:
    """Does a finding hold elsewhere? Both: value, low and high of a difference whose sign is the finding.

    "holds": the interval lies on the side of the reference's value; "opposite": on the other; "open": it holds 0.

    >>> [verdict({"value": 2.0}, {"low": low, "high": high}) for low, high in ((1, 3), (-3, -1), (-1, 1))]
    ['holds', 'opposite', 'open']
    """
    sign = np.sign(reference["value"])
    low, high = sorted((sign * found["low"], sign * found["high"]))
    return "holds" if low > 0 else "opposite" if high < 0 else "open"
