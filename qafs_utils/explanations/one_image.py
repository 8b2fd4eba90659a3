"""One image from start to end, `qafs_utils.explain`: maps, importance, QUBO, selection, explanation map."""

import contextlib
import inspect
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn as nn
from tqdm import tqdm

from .. import require
from ..cnn import checkpoints, networks, tensors
from ..cnn.checkpoints import HEADS, Trained
from ..cnn.datasets import CLASSES
from ..cnn.extraction import capture, capture_layer
from ..cnn.feature_maps import NoPositiveMapError, importance
from ..cnn.preprocessing import GREY, read_image, require_image_size, to_square
from ..conventions import HEADLINE, SETS, Conventions, named
from ..plots import method, style
from ..qubo import feature_selection, fixed_size
from ..solvers import beta_path, by_name
from . import cams

PATIENCE = 1.5  # seconds that a solver may work without a word


@dataclass(frozen=True, eq=False)
class Explanation:
    """What `explain` found for one image and one class.

    image: uint8 (3, h, w); class_index, label: the class explained; probabilities: (C,) of all classes;
    maps: (N_f, H, W); importance: (N_f,); problem: the candidates' `feature_selection.Problem`; selected: (N_f,) bool,
    `np.flatnonzero(selected)` are the numbers of the maps; heatmap: (S, S) in [0, 1]; matrix: (d, d) of
    `Problem.matrix`; info: what the solver says, with its name, the energy, the conventions' name and the pair sum.

    >>> from qafs_utils.cnn.pretrained import resnet18
    >>> found = explain(np.arange(192, dtype=np.uint8).reshape(8, 8, 3), resnet18("random"), layer="layer3")
    >>> found  # doctest: +ELLIPSIS
    <Explanation of 'class ...', P = 0...: maps ... of ... candidates; energy ..., proven>
    >>> found.info["conventions"]
    'headline'
    """

    image: np.ndarray
    class_index: int
    label: str
    probabilities: np.ndarray
    maps: np.ndarray
    importance: np.ndarray
    problem: feature_selection.Problem
    selected: np.ndarray
    heatmap: np.ndarray
    matrix: np.ndarray
    info: dict

    @property
    def silent(self) -> np.ndarray:
        """(N_f,) bool: maps that are zero in every pixel. Like no other map, any importance selects them."""
        return method.silent_maps(self.maps)

    @property
    def proven(self) -> bool:
        """Whether no selection (of that size) has a lower energy: "exact" says so, "brute_force" has seen them all."""
        return bool(self.info.get("proven", self.info["solver"] == "brute_force"))

    def __repr__(self):
        numbers = ", ".join(map(str, np.flatnonzero(self.selected))) or "none"
        silent = ", ".join(map(str, np.flatnonzero(self.selected & self.silent)))
        maps = f"maps {numbers}{f' ({silent} silent)' if silent else ''} of {self.problem.d} candidates"
        energy = f"energy {self.info['energy']:.4f}, {'proven' if self.proven else 'not proven the lowest'}"
        return f"<Explanation of {self.label!r}, P = {self.probabilities[self.class_index]:.3f}: {maps}; {energy}>"

    def beta_path(self, low: float = 0.0, high: float = 1.0) -> beta_path.BetaPath:
        """The proven optimum for every beta from low to high, as `solvers.beta_path.path` has it.

        Of some hundred candidates, small beta (below 0.6, say) may take very long.
        """
        return beta_path.path(self.problem, pair_sum=self.info["pair_sum"], low=low, high=high)

    def plot(self) -> plt.Figure:
        """Image, candidate maps with the selected ones framed, QUBO and explanation map, in the style of the paper."""
        info, name = self.info, self.label if len(self.label) <= 30 else "class"  # the title has it in full
        lines = [(f"P({name})", f"{self.probabilities[self.class_index]:.3f}")]
        lines.append(("energy" if self.proven else "energy (not proven)", method.number_text(info["energy"], 4)))
        if "bound" in info:
            lines.append(("proven bound" if info["proven"] else "lower bound", method.number_text(info["bound"], 4)))
        if "ground_state_probability" in info:
            lines.append(("P(optimum), one read", f"{info['ground_state_probability']:.3f}"))
        parts = self.maps, self.problem, self.matrix, self.selected, self.heatmap
        with plt.style.context(style.STYLE):
            figure = method.explanation(self.image, *parts, self.label, lines)
            figure.draw_without_rendering()  # ticks take their style when they are drawn first
        return figure


def chosen_set(
    conventions: str | Conventions, *, beta: float | None = None, pair_sum: str | None = None
) -> Conventions:
    """A set of conventions, by its name or itself, with another beta or pair sum where one is given.

    Raises ValueError for what is neither a set nor the name of one, and as `Conventions`.

    >>> chosen_set("headline", beta=0.9).beta
    0.9
    """
    use = conventions if isinstance(conventions, Conventions) else named(conventions)
    given = {"beta": beta, "pair_sum": pair_sum}
    return replace(use, **{choice: value for choice, value in given.items() if value is not None})


def set_name(use: Conventions) -> str:
    """The name of a set of conventions, or of the closest one with what is different.

    >>> set_name(chosen_set("headline")), set_name(chosen_set("headline", beta=0.9))
    ('headline', 'headline with beta = 0.9')
    """
    own, others = asdict(use), {}
    for name, known in SETS.items():
        others[name] = [f"{choice} = {own[choice]}" for choice, value in asdict(known).items() if own[choice] != value]
    name = min(others, key=lambda name: len(others[name]))
    return f"{name} with {', '.join(others[name])}" if others[name] else name


def select(
    problem: feature_selection.Problem,
    solver: str = "exact",
    *,
    beta: float = HEADLINE.beta,
    pair_sum: str = HEADLINE.pair_sum,
    size: int | None = None,
    seed: int | None = 0,
    **options,
) -> tuple[np.ndarray, dict]:
    """The maps that a solver selects for one problem (Eq. 4)  ->  (N_f,) bool, its info with the solver and the energy.

    size: exactly so many maps. "exact" searches among these alone. For other solvers the model gets the penalty of
    `fixed_size.exactly`; what they find need not be of that size, and the energy is that without penalty.
    seed: the solver is seeded as for the first image of `by_name.solve_all`; options are the solver's. A solver that
    works long says so on stderr. Raises as `solve_all` and `fixed_size.require_size`, and ValueError for options that
    the solver does not have or cannot take.

    >>> problem = feature_selection.problem(np.ones((3, 2, 2)), np.array([1.0, -1.0, 0.5]))  # maps 0 and 2 are alike
    >>> selected, info = select(problem)
    >>> selected, round(info["energy"], 3)
    (array([ True, False, False]), -0.7)
    """
    if not isinstance(problem, feature_selection.Problem):
        raise ValueError(f"problem must be a feature_selection.Problem, got {type(problem).__name__}")
    by_name.require_options(solver, options)
    sampler, bqm = by_name.solver(solver), problem.bqm(beta, pair_sum)
    model, given = bqm, options
    if size is not None and solver == "exact":
        options = options | {"size": require.whole("size", size)}
    elif size is not None:
        model = fixed_size.exactly(bqm, require.whole("size", size))
    if seed is not None and "seed" in sampler.parameters:
        options = {"seed": int(by_name.image_seeds(require.whole("seed", seed), 1)[0])} | options
    try:
        with _shown_working(solver, options):
            samples = sampler.sample(model, **options)
    except (TypeError, OverflowError) as error:
        if not given:
            raise
        raise ValueError(f"{solver!r} cannot take the options {given}: {error}") from error
    bits = samples.first.sample
    energy = float(bqm.energy(bits))
    return problem.selected([bits[v] for v in range(problem.d)]), dict(samples.info) | {
        "solver": solver,
        "energy": energy,
    }


@contextlib.contextmanager
def _shown_working(name, options):
    """A line that counts the seconds which a solver works inside, after the first ones, up to its time limit if any."""
    limit = inspect.signature(by_name.SOLVERS[name].sample).parameters.get("time_limit")
    limit = options.get("time_limit", limit.default if limit else None)
    most = f" of at most {limit:g}" if isinstance(limit, int | float) else ""
    done = threading.Event()

    def show():
        if not done.wait(PATIENCE):
            with tqdm(desc=f"{name} at work", bar_format="{desc}: {elapsed_s:.0f}" + most + " s{postfix}") as bar:
                while not done.wait(0.5):
                    bar.refresh()
                bar.set_postfix_str("done")

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def explain(
    image,
    model: str | Trained | nn.Module,
    *,
    conventions: str | Conventions = "headline",
    beta: float | None = None,
    solver: str = "exact",
    layer: str | None = None,
    class_index: int | None = None,
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
) -> Explanation:
    """Explain a network's class for an image with the maps that the QUBO selects.

    image: as for `read_image`; it is stretched to a square. model: "nf16", "nf24", "nf32" or "nf512" (the published
    heads on the ImageNet trunk, ten classes of STL-10), a `Trained`, or any network in eval mode with logits
    (B, classes), or one logit (B, 1) for two classes.

    - conventions: "headline", "text", "authors", or a `Conventions`: field, pair sum, beta, what a solver's options are
      if not given, ReLU and resampling of the explanation map, and a head's stage if there is no layer. The network is
      as it is, whatever they say of its training.
    - layer: whose maps; a name of `model.named_modules()`, or for the compendium's networks a stage of the head
      ("conv", "bn", "relu"; None for that of the conventions, after the block).
    - class_index: the class to explain; for None the predicted one, or class 1 of one logit.
    - beta, pair_sum: of Eq. 4, in place of those of the conventions. solver, size (exactly so many maps), seed, and the
      solver's own options, such as time_limit of "exact": as for `select`.
    - image_size: of the network's input, 224 by default.
    - class_names: for labels, in the order of the classes, or a dict by their numbers.
    - weigh: importance in place of Eq. 1, a function of maps and gradients, tensors (1, N_f, H, W)  ->  (1, N_f).
    - reshape: makes maps of a transformer's layer, as for `extraction.capture_layer`.
    - mean, deviation: what the network's input is normalised with, a number a channel for pixels in [0, 1]; None for
      ImageNet's. Of one channel, the network sees the image in grey.

    Raises DataError for an unreadable file and missing weights, NoPositiveMapError when no map speaks for the class,
    ValueError for what does not fit: conventions, image, model, layer (maps of one pixel), class, weigh, beta, size,
    solver;
    ArtefactError without the published heads, MemoryError for an anneal of too many maps, and HardwareError from
    D-Wave's machines.

    >>> found = explain("photograph.jpg", "nf16", beta=0.7)  # doctest: +SKIP
    >>> from qafs_utils.cnn.pretrained import resnet18
    >>> image = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    >>> found = explain(image, resnet18("random"), layer="layer3", size=5)
    >>> found.maps.shape, found.selected.sum(), found.info["proven"]
    ((256, 14, 14), np.int64(5), True)
    """
    use, image = chosen_set(conventions, beta=beta, pair_sum=pair_sum), read_image(image)
    classes = None if class_index is None else [require.whole("class_index", class_index)]
    model = checkpoints.published(model) if isinstance(model, str) else model
    if isinstance(model, Trained):
        image_size = _own_size(model, image_size, reshape, mean, deviation)
        features = model.trunk(to_square(image, image_size).to(model.trunk.mean.device))
        maps, gradients, logits = capture(model.head, features, use.target if layer is None else layer, classes)
    elif isinstance(model, nn.Module):
        if layer is None:
            raise ValueError("give the layer whose maps are selected: its name in model.named_modules(), as 'layer4'")
        image_size = 224 if image_size is None else require_image_size(image_size)
        pixels = _normalised(image, image_size, mean, deviation)
        maps, gradients, logits = capture_layer(model, layer, pixels, classes, reshape=reshape)
    else:
        names = ", ".join(HEADS)
        raise ValueError(f"the model must be one of {names}, or a torch.nn.Module, got {type(model).__name__}")
    default = 1 if logits.shape[1] == 1 else int(logits.argmax())
    class_index, logits = default if classes is None else classes[0], tensors.two_classes(logits)
    if class_names is None and isinstance(model, Trained) and logits.shape[1] == len(CLASSES):
        class_names = CLASSES
    label = _labels(class_names, logits.shape[1])[class_index]
    alpha = _importance(maps, gradients, weigh, layer)
    problem = feature_selection.problem(maps[0].numpy(), alpha[0].numpy(), field=use.field)
    given, options = {"beta": use.beta, "pair_sum": use.pair_sum}, _of_solver(use, solver) | options
    selected, info = select(problem, solver, **given, size=size, seed=seed, **options)
    info |= {"conventions": set_name(use), "pair_sum": use.pair_sum}
    cam = cams.grad_cam(maps, alpha, torch.as_tensor(selected)[None], relu=use.grad_cam)
    heatmap = cams.heatmap(cam, image_size, resampling=use.resampling)[0].numpy()
    probabilities, matrix = logits[0].softmax(0).numpy(), problem.matrix(**given)
    maps, alpha = maps[0].numpy(), alpha[0].numpy()
    return Explanation(
        image.copy(), class_index, label, probabilities, maps, alpha, problem, selected, heatmap, matrix, info
    )


def _of_solver(use, solver):
    """The options of a solver that a set of conventions holds."""
    if solver == "schrodinger":
        return {"annealing_time": use.annealing_time, "driver": use.driver}
    return {"num_reads": use.num_reads} if solver == "simulated_annealing" else {}


def _own_size(model, image_size, reshape, mean, deviation):
    """The size of images that a Trained takes. Raises ValueError for another one, and settings for other networks."""
    foreign = {"reshape": reshape, "mean": mean, "deviation": deviation}
    for name in [name for name, value in foreign.items() if value is not None]:
        raise ValueError(f"{name} is for a torch.nn.Module: this network has its own")
    if image_size is not None and require_image_size(image_size) != model.image_size:
        raise ValueError(f"this network takes images of {model.image_size} pixels, not {image_size}")
    return model.image_size


def _normalised(image, size, mean, deviation):
    """A network's input, (1, channels, size, size). Raises ValueError for a mean or deviation that does not fit."""
    if (mean is None) != (deviation is None):
        raise ValueError("mean and deviation go together: give both, a number a channel, or none for ImageNet's")
    mean, deviation = networks.NORMALISATIONS["imagenet"] if mean is None else (mean, deviation)
    sizes, scale = {}, ": they are of pixels in [0, 1]"
    mean = require.tensor("mean", mean, "channels", sizes, "[0, 1]", remedy=scale).float().cpu()
    deviation = require.tensor("deviation", deviation, "channels", sizes, "(0, 1]", remedy=scale).float().cpu()
    if len(mean) not in (1, 3):
        raise ValueError(f"mean must be of one channel, grey, or of three, red, green and blue, got {len(mean)}")
    pixels = to_square(image, size)
    if len(mean) == 1:
        pixels = (pixels * torch.tensor(GREY).view(1, 3, 1, 1)).sum(1, keepdim=True)
    return (pixels - mean.view(1, -1, 1, 1)) / deviation.view(1, -1, 1, 1)


def _labels(class_names, count):
    """A label a class, as text: class_names in the order of the classes, a dict by their numbers, or None."""
    if class_names is None:
        return [f"class {i}" for i in range(count)]
    if isinstance(class_names, str | bytes | set | frozenset):
        raise ValueError(f"class_names must be {count} labels in an order, got {require.described(class_names)}")
    if isinstance(class_names, Mapping):
        if set(class_names) != set(range(count)):
            got = f"got the keys {require.described(list(class_names))}"
            raise ValueError(f"class_names must be a dict {{number of a class: label}} for 0 to {count - 1}, {got}")
        class_names = [class_names[i] for i in range(count)]
    try:
        labels = [str(name) for name in class_names]
    except TypeError:
        raise ValueError(f"class_names must be {count} labels, got {require.described(class_names)}") from None
    if len(labels) != count:
        raise ValueError(f"class_names must be {count} labels, one a class, got {len(labels)}")
    return labels


def _importance(maps, gradients, weigh, layer):
    """Importance (1, N_f) by Eq. 1 or weigh. Raises ValueError unless it fits and is not all zero."""
    if maps[0, 0].numel() == 1:
        raise ValueError(f"the maps of {layer!r} have one pixel, which explains no place: give an earlier layer")
    where = "the block" if layer is None else repr(layer)
    if not maps.any():
        why = "dead ReLUs, or weights of zero, say"
        raise NoPositiveMapError(f"all maps of {where} are zero for this image: there is nothing to see ({why})")
    if weigh is None:
        alpha = importance(gradients)
    elif callable(weigh):
        given, sizes = weigh(maps.clone(), gradients.clone()), {"images": 1, "maps": maps.shape[1]}
        wanted = f"what weigh returns, a number for every map: {tuple(maps.shape[:2])},"
        alpha = require.tensor(wanted, given, "images maps", sizes, remedy=": check the function").cpu()
    else:
        raise ValueError(f"weigh must be a function of maps and gradients, got {require.described(weigh)}")
    if not alpha.any():
        why = "its score does not depend on them: dead ReLUs after the layer, zero weights, a class token alone is read"
        raise NoPositiveMapError(f"all importances of {where} are zero for this class ({why}): take an earlier layer")
    return alpha
