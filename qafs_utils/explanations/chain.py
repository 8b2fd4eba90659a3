"""The steps from maps to explanation, with the choices that all images of one call share."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from .. import require
from ..artefacts.files import sha256
from ..cnn import tensors
from ..cnn.checkpoints import Trained
from ..cnn.datasets import CLASSES
from ..cnn.extraction import Derivatives
from ..cnn.feature_maps import NoPositiveMapError, importance
from ..conventions import Conventions
from ..qubo import feature_selection
from ..solvers.by_name import require_options
from ..solvers.one_problem import select
from . import cams
from .conventional import chosen_set, set_name
from .explanation import Explanation
from .labels import class_number, labels
from .view import View, open_view


@dataclass
class Chain:
    """What `one_image.explain` was told, but for the image and its class: arguments as there.

    view: the network; use: the set of conventions, its beta and pair sum those of the call; options: the solver's.
    """

    view: View
    use: Conventions
    solver: str
    size: int | None
    seed: int | None
    weigh: Callable | None
    class_names: object
    options: dict

    def __post_init__(self):
        self.class_names, self.set_name = require.sequence(self.class_names), set_name(self.use)
        require_options(self.solver, self.options)
        self.options = _of_solver(self.use, self.solver) | self.options
        self.size = None if self.size is None else require.whole("size", self.size)
        if self.weigh is not None and not callable(self.weigh):
            raise ValueError(f"weigh must be a function of maps and gradients, got {require.described(self.weigh)}")

    def number(self, class_index) -> int | None:
        """The class to explain as a number, None for the predicted one: `labels.class_number`."""
        own = CLASSES if isinstance(self.view.network, Trained) else None
        return class_number(class_index, own if self.class_names is None else self.class_names)

    def labels(self, count: int) -> list[str]:
        """The labels of so many classes: those given, or STL-10's for a network of its ten."""
        own = isinstance(self.view.network, Trained) and count == len(CLASSES)
        return labels(CLASSES if self.class_names is None and own else self.class_names, count)

    def explanation(self, image, derivatives: Derivatives, class_index: int | None, source=None) -> Explanation:
        """One image's explanation: uint8 (3, h, w), maps, gradients and logits of it alone, (1, ...) each.

        class_index: a number, None for the predicted class; source: what the image was read from.
        """
        maps, gradients, logits = derivatives
        default = 1 if logits.shape[1] == 1 else int(logits.argmax())
        class_index, logits = default if class_index is None else class_index, tensors.two_classes(logits)
        label = self.labels(logits.shape[1])[class_index]
        alpha = _importance(maps, gradients, self.weigh, self.view.layer)
        kind = {"candidates": self.use.candidates, "field": self.use.field}
        problem = feature_selection.problem(maps[0].numpy(), alpha[0].numpy(), **kind)
        given = {"beta": self.use.beta, "pair_sum": self.use.pair_sum}
        selected, info = select(problem, self.solver, **given, size=self.size, seed=self.seed, **self.options)
        cam = cams.grad_cam(maps, alpha, torch.as_tensor(selected)[None], relu=self.use.grad_cam)
        return Explanation(
            image=image.copy(),
            class_index=class_index,
            label=label,
            probabilities=logits[0].softmax(0).numpy(),
            maps=maps[0].numpy().copy(),  # not a view that keeps those of the whole batch
            importance=alpha[0].numpy().copy(),
            problem=problem,
            selected=selected,
            heatmap=cams.heatmap(cam, self.view.image_size, resampling=self.use.resampling)[0].numpy(),
            matrix=problem.matrix(**given),
            info=info | {"conventions": self.set_name, "pair_sum": self.use.pair_sum},
            made=self._record(class_index, source),
        )

    def _record(self, class_index, source):
        """How to make an explanation again: the image's origin, the network, the keywords of `explain`."""
        image = {}
        if isinstance(source, str | Path):
            image = {"file": str(source), "sha256": sha256(source)}
        elif isinstance(source, bytes):
            image = {"file": None, "sha256": hashlib.sha256(source).hexdigest()}
        call = {"conventions": asdict(self.use), "solver": self.solver, "class_index": class_index}
        call |= {"size": self.size, "seed": self.seed, "weigh": self.weigh} | self.view.call | self.options
        return {"image": image, "model": self.view.record, "call": call}


def open_chain(
    model,
    *,
    conventions: str | Conventions = "headline",
    beta: float | None = None,
    solver: str = "exact",
    layer: str | None = None,
    size: int | None = None,
    pair_sum: str | None = None,
    image_size: int | None = None,
    class_names=None,
    weigh: Callable | None = None,
    seed: int | None = 0,
    reshape: Callable | None = None,
    mean=None,
    deviation=None,
    **options,
) -> Chain:
    """The steps from a photograph to its explanation by one network: arguments and errors as of `one_image.explain`.

    >>> open_chain("nf17")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: unknown model 'nf17': choose from nf16, nf24, nf32, nf512, or give a torch.nn.Module and the name of ...
    """
    use, seen = chosen_set(conventions, beta=beta, pair_sum=pair_sum), {"mean": mean, "deviation": deviation}
    view = open_view(model, layer=layer, image_size=image_size, reshape=reshape, target=use.target, **seen)
    return Chain(view, use, solver, size, seed, weigh, class_names, options)


def _of_solver(use, solver):
    """The options of a solver that a set of conventions holds."""
    if solver == "schrodinger":
        return {"annealing_time": use.annealing_time, "driver": use.driver}
    return {"num_reads": use.num_reads} if solver == "simulated_annealing" else {}


def _importance(maps, gradients, weigh, layer):
    """Importance (1, N_f) by Eq. 1 or weigh. Raises ValueError unless it fits and is not all zero."""
    if maps[0, 0].numel() == 1:
        raise ValueError(f"the maps of {layer!r} have one pixel, which explains no place: give an earlier layer")
    where = "the block" if layer == "block" else repr(layer)
    if not maps.any():
        why = "dead ReLUs, or weights of zero, say"
        raise NoPositiveMapError(f"all maps of {where} are zero for this image: there is nothing to see ({why})")
    if weigh is None:
        alpha = importance(gradients)
    else:
        given, sizes = weigh(maps.clone(), gradients.clone()), {"images": 1, "maps": maps.shape[1]}
        wanted = f"what weigh returns, a number for every map: {tuple(maps.shape[:2])},"
        alpha = require.tensor(wanted, given, "images maps", sizes, remedy=": check the function").cpu()
    if not alpha.any():
        why = "its score does not depend on them: dead ReLUs after the layer, zero weights, a class token alone is read"
        raise NoPositiveMapError(f"all importances of {where} are zero for this class ({why}): take an earlier layer")
    return alpha
