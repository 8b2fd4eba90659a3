"""One image from start to end, `qafs_utils.explain`: maps, importance, QUBO, selection, explanation map."""

import contextlib
import functools
import inspect
import io
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from PIL import Image, ImageOps
from tqdm import tqdm

from . import cams, models, plots, qubo, require, solvers
from .data import CLASSES, DataError
from .extraction import capture, capture_layer
from .feature_maps import NoPositiveMapError, importance
from .run import Artefacts, head_name

HEADS = {f"nf{n}": head_name(n) for n in (16, 24, 32, 512)}  # the headline models
LARGEST = 8192  # pixels a side that an image is stretched to: 0.8 GB
PATIENCE = 1.5  # seconds that a solver may work without a word
GREY = (0.299, 0.587, 0.114)  # shares of red, green and blue in a grey image (ITU-R BT.601), as in Pillow


@dataclass(frozen=True)
class Trained:
    """A trained network in two parts: `Trunk` and head. It takes images of image_size x image_size pixels.

    Raises ValueError for parts of another kind, and image sizes that are not whole, or below 16.

    >>> head = models.ReducedHead(16, size=4)
    >>> network = Trained(models.Trunk(models.resnet18("random")), head, image_size=64)
    >>> explain(np.eye(96, dtype=np.uint8)[:, :, None].repeat(3, 2), network).maps.shape
    (16, 4, 4)
    """

    trunk: models.Trunk
    head: nn.Module
    image_size: int = 224

    def __post_init__(self):
        models.require_kind("trunk", self.trunk, models.Trunk)
        models.require_kind("head", self.head, nn.Module)
        _size(self.image_size, 16)


@dataclass(frozen=True, eq=False)
class Explanation:
    """What `explain` found for one image and one class.

    image: uint8 (3, h, w); class_index, label: the class explained; probabilities: (C,) of all classes;
    maps: (N, H, W); importance: (N,); problem: the candidates' qubo.Selection; selected: (N,) bool, the numbers of the
    maps are `np.flatnonzero(selected)`; heatmap: (S, S) in [0, 1]; matrix: (d, d) of `Selection.matrix`; info: what the
    solver says, with its name and the energy.

    >>> found = explain(np.arange(192, dtype=np.uint8).reshape(8, 8, 3), models.resnet18("random"), layer="layer3")
    >>> found.heatmap.shape, bool(found.importance[found.selected].min() > 0)
    ((224, 224), True)
    >>> [text.get_text() for text in found.plot().texts][4::2]  # doctest: +ELLIPSIS
    ['P(class ...)', 'energy', 'proven bound']
    >>> found  # doctest: +ELLIPSIS
    <Explanation of 'class ...', P = 0...: maps ... of ... candidates; energy ..., proven>
    """

    image: np.ndarray
    class_index: int
    label: str
    probabilities: np.ndarray
    maps: np.ndarray
    importance: np.ndarray
    problem: qubo.Selection
    selected: np.ndarray
    heatmap: np.ndarray
    matrix: np.ndarray
    info: dict

    @property
    def silent(self):
        """(N,) bool: maps that are zero in every pixel. Like no other, any positive importance selects them."""
        return plots.silent_maps(self.maps)

    @property
    def proven(self):
        """Whether no selection (of that size) has a lower energy: "exact" says so, "brute_force" has seen them all."""
        return bool(self.info.get("proven", self.info["solver"] == "brute_force"))

    def __repr__(self):
        chosen, silent = (np.flatnonzero(of).tolist() for of in (self.selected, self.selected & self.silent))
        of_silence = f" ({', '.join(map(str, silent))} silent)" if silent else ""
        maps = f"maps {', '.join(map(str, chosen)) or 'none'}{of_silence} of {self.problem.d} candidates"
        energy = f"energy {self.info['energy']:.4f}, {'proven' if self.proven else 'not proven the lowest'}"
        return f"<Explanation of {self.label!r}, P = {self.probabilities[self.class_index]:.3f}: {maps}; {energy}>"

    def plot(self):
        """Image, candidate maps with the selected ones framed, QUBO and explanation map as a matplotlib Figure.

        In the style of the paper; matplotlib's settings stay as they are, and decide how it is saved (dpi, margins).
        """
        info = self.info
        label = self.label if len(self.label) <= 30 else "class"  # the title has it in full
        lines = [(f"P({label})", f"{self.probabilities[self.class_index]:.3f}")]
        lines.append(("energy" if self.proven else "energy (not proven)", plots.number_text(info["energy"], 4)))
        if "bound" in info:
            lines.append(("proven bound" if info["proven"] else "lower bound", plots.number_text(info["bound"], 4)))
        if "ground_state_probability" in info:
            lines.append(("P(optimum), one read", f"{info['ground_state_probability']:.3f}"))
        of = self.maps, self.problem, self.matrix, self.selected, self.heatmap
        with plt.style.context(plots.STYLE):
            figure = plots.explanation(self.image, *of, self.label, lines)
            figure.draw_without_rendering()  # ticks take their style when they are drawn first
        return figure


def read_image(image):
    """An image as uint8 (3, h, w): a path, bytes, an open file, a PIL image, or an array (3, h, w) or (h, w, 3).

    Turned upright as its EXIF data say; grey (h, w) and with transparency (h, w, 4), which is dropped, too.
    Raises DataError for a file that is absent or no image, ValueError for another shape or type, more than 8 bits, NaN,
    several images, and arrays that read both ways.

    >>> read_image(np.zeros((5, 7, 3), np.uint8)).shape
    (3, 5, 7)
    >>> read_image(np.zeros((5, 7, 3)))
    Traceback (most recent call last):
    ValueError: pixels must be uint8 from 0 to 255, these are float64: of [0, 1] make (255 * x).astype('uint8')
    """
    if isinstance(image, torch.Tensor):
        pixels = models.dense("the image", image, "...").detach().cpu()
        pixels = pixels.float().numpy() if pixels.is_floating_point() else pixels.numpy()
    elif isinstance(image, np.ndarray):
        pixels = image
    else:
        return np.moveaxis(_decoded(image), 2, 0)
    if pixels.dtype != np.uint8:
        finite = pixels.dtype.kind != "f" or np.isfinite(pixels).all()
        kind = f"are {pixels.dtype}" if finite else "hold NaN or infinite values"
        raise ValueError(f"pixels must be uint8 from 0 to 255, these {kind}: of [0, 1] make (255 * x).astype('uint8')")
    if pixels.ndim == 3 and pixels.shape[0] == 3 and pixels.shape[2] in (3, 4):
        raise ValueError(f"an image {pixels.shape} reads as rows first and as colours first: give a PIL image")
    if pixels.size and (pixels.ndim == 2 or pixels.ndim == 3 and pixels.shape[2] == 4):
        pixels = np.asarray(Image.fromarray(pixels).convert("RGB"))
    if pixels.ndim == 3 and pixels.shape[0] != 3 and pixels.shape[2] == 3:
        pixels = np.moveaxis(pixels, 2, 0)
    if pixels.ndim != 3 or pixels.shape[0] != 3 or not pixels.size:
        several = ": give one image at a time" if pixels.ndim == 4 else ""
        raise ValueError(f"the image must be (3, h, w) or (h, w, 3), got {pixels.shape}{several}")
    return pixels


def _decoded(image):
    """The pixels of a path, bytes, an open file or a PIL image: (h, w, 3) uint8. Raises as `read_image`."""
    kinds = "a path, bytes, a PIL image, or an array (3, h, w) or (h, w, 3) of uint8"
    if isinstance(image, list | tuple | set | Mapping):
        raise ValueError(f"the image must be {kinds}, one image at a time, got {type(image).__name__}")
    address = str(image) if isinstance(image, str | Path) else ""
    if address.startswith(("http://", "https://")):
        raise DataError(f"{address} is no file: give urllib.request.urlopen({address!r}).read()")
    if isinstance(image, bytes | bytearray | memoryview):
        image = io.BytesIO(image)
    try:
        opened = image if isinstance(image, Image.Image) else Image.open(image)
        if opened.mode[0] in "IF":
            why = f"pixels of mode {opened.mode} have more than 8 bits"
            raise ValueError(f"{why}: scale them to 0 to 255 and give an array of uint8, or save an 8-bit PNG")
        upright = ImageOps.exif_transpose(opened)
        pixels = np.asarray((upright.convert("LA") if upright.mode == "La" else upright).convert("RGB"))
    except FileNotFoundError:
        raise DataError(f"there is no file {image}: check the path, which counts from {Path.cwd()}") from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # SyntaxError: Pillow, of a broken PNG
        name, why = ("the file", "of no format that Pillow knows") if hasattr(image, "read") else (image, error)
        raise DataError(f"{name} cannot be read as an image ({why}): give a JPEG or PNG file") from error
    except (AttributeError, TypeError) as error:
        raise ValueError(f"the image must be {kinds}, got {type(image).__name__}") from error
    if not pixels.size:
        raise ValueError(f"the image must have pixels, got {pixels.shape}")
    return pixels


def to_square(image, size):
    """uint8 (3, h, w) to pixels (1, 3, size, size) in [0, 1]: the whole image, stretched; averaged when it shrinks.

    Where it grows it is `models.to_pixels`. Raises ValueError for another type or shape, and a size outside 1..8192.

    >>> to_square(np.zeros((3, 40, 60), np.uint8), 32).unique()
    tensor([0.])
    """
    image, size = models.dense("the image", image, "...").cpu().numpy(), _size(size)
    if image.dtype != np.uint8 or image.ndim != 3 or len(image) != 3 or not image.size:
        got = f"got {image.shape} {image.dtype}"
        raise ValueError(f"the image must be uint8 (3, h, w), as read_image gives it, {got}")
    pixels = torch.as_tensor(image)[None].float() / 255
    shrinks = max(image.shape) > size
    return F.interpolate(pixels, size=(size, size), mode="bilinear", align_corners=False, antialias=shrinks)


def _size(image_size, least=1):
    """image_size as an int. Raises ValueError for what is no whole number of pixels, 64.0 included."""
    if not isinstance(image_size, Integral):
        raise ValueError(f"image_size must be a whole number of pixels, got {require.described(image_size)}")
    return require.whole("image_size", image_size, least, LARGEST)


def trained(name, weights="imagenet", heads=None, image_size=224, device="auto"):
    """A network of the compendium by its name, "nf16", "nf24", "nf32" or "nf512"  ->  Trained.

    weights: of the trunk, as for `models.resnet18`; heads: artefact 01_heads, the published one for None.
    Raises ValueError for an unknown name, DataError for weights that are absent and cannot be downloaded, damaged, or
    not those that the heads were trained on.

    >>> trained("nf8")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: unknown model 'nf8': choose from nf16, nf24, nf32, nf512, or give a torch.nn.Module and the name of ...
    """
    require.choice("model", name, HEADS, ", or give a torch.nn.Module and the name of its layer")
    image_size = _size(image_size)
    heads = Artefacts("published").load("01_heads") if heads is None else heads
    net, device = models.resnet18(weights), models.pick_device(device)
    trunk = models.Trunk(net)
    models.require_trunk(trunk, heads)
    head = models.trained_head(HEADS[name], heads, net, image_size // 16)
    return Trained(trunk.to(device), head.to(device), image_size)


_trained = functools.lru_cache(maxsize=4)(trained)


def select(problem, n_features, solver="exact", beta=0.7, pair_sum="p<q", size=None, seed=0, **options):
    """The maps that a solver selects for one problem: qubo.Selection  ->  (n_features,) bool, its info with the energy.

    size: exactly so many maps. "exact" searches among these alone; for other solvers the model gets the penalty of
    `qubo.exactly`, and what they find need not be of that size: the energy is that of the selection without penalty.
    Seeded as the first image of `solvers.solve_all`; options are the solver's. One that works long says so on stderr.
    Raises as `solve_all` and `require_size`, and ValueError for options that the solver does not have or cannot take.

    >>> problem = qubo.selection(np.ones((3, 2, 2)), np.array([1.0, -1.0, 0.5]))  # candidates 0 and 2 are alike
    >>> selected, info = select(problem, 3)
    >>> selected, round(info["energy"], 3)
    (array([ True, False,  True]), -0.75)
    """
    if not isinstance(problem, qubo.Selection):
        raise ValueError(f"problem must be a qubo.Selection, got {type(problem).__name__}")
    n_features = require.whole("n_features", n_features, int(max(problem.maps, default=-1)) + 1)
    solvers.require_options(solver, options)
    sampler, bqm = solvers.solver(solver), problem.bqm(beta, pair_sum)
    asked, given = bqm, options
    size = size if size is None else require.whole("size", size)
    if size is not None and solver == "exact":
        options = options | {"size": size}
    elif size is not None:
        asked = qubo.exactly(bqm, size)
    if seed is not None and "seed" in sampler.parameters:
        options = {"seed": int(solvers.image_seeds(require.whole("seed", seed), 1)[0])} | options
    try:
        with _shown_working(solver, options):
            samples = sampler.sample(asked, **options)
    except (TypeError, OverflowError) as error:
        if not given:
            raise
        raise ValueError(f"{solver!r} cannot take the options {given}: {error}") from error
    found = samples.first.sample
    selected = np.zeros(n_features, bool)
    selected[problem.maps] = [found[v] for v in range(problem.d)]
    return selected, dict(samples.info) | {"solver": solver, "energy": float(bqm.energy(found))}


@contextlib.contextmanager
def _shown_working(name, options):
    """A line that counts the seconds which a solver works inside, after the first ones, up to its time limit if any."""
    limit = inspect.signature(solvers.SOLVERS[name].sample).parameters.get("time_limit")
    limit = options.get("time_limit", limit.default if limit else None)
    of = f" of at most {limit:g}" if isinstance(limit, int | float) else ""
    done = threading.Event()

    def show():
        if not done.wait(PATIENCE):
            with tqdm(desc=f"{name} at work", bar_format="{desc}: {elapsed_s:.0f}" + of + " s{postfix}") as bar:
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


def explain(image, model, beta=0.7, solver="exact", layer=None, class_index=None, size=None, pair_sum="p<q",
            image_size=None, class_names=None, weigh=None, seed=0, reshape=None, mean=None, deviation=None, **options):
    """Explain a network's class for an image with the maps that the QUBO selects  ->  Explanation.

    image: as for `read_image`; it is stretched to a square. model: "nf16", "nf24", "nf32" or "nf512" (the published
    heads on the ImageNet trunk, ten classes of STL-10), a `Trained`, or any network in eval mode with logits
    (B, classes), or one logit (B, 1) for two classes. layer: whose maps; a name of `model.named_modules()`, or for the
    compendium's networks a stage of the head ("conv", "bn", "relu"; None for after the block). class_index: the class
    to explain; for None the predicted one, or class 1 of one logit. beta, pair_sum: of Eq. 4. solver, size (exactly so
    many maps), seed and the solver's own options, as time_limit of "exact": as for `select`. image_size: of the
    network's input, 224 by default. class_names: for labels, in the order of the classes, or a dict by their numbers.
    weigh: importance in place of Eq. 1, a function of maps and gradients, tensors (1, N, H, W)  ->  (1, N).
    reshape: makes maps of a transformer's layer, as for `extraction.capture_layer`. mean, deviation: what the network's
    input is normalised with, a number a channel for pixels in [0, 1], ImageNet's for None; of one channel, the network
    sees the image in grey.

    >>> found = explain("photograph.jpg", "nf16", beta=0.7)  # doctest: +SKIP
    >>> image = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    >>> found = explain(image, models.resnet18("random"), layer="layer3", size=5)
    >>> found.maps.shape, found.selected.sum(), found.info["proven"]
    ((256, 14, 14), np.int64(5), True)
    >>> by_effect = lambda maps, gradients: (maps * gradients).mean((-2, -1))
    >>> found = explain(image, models.resnet18("random"), layer="layer3", weigh=by_effect)

    Raises DataError for an unreadable file and missing weights, NoPositiveMapError when no map speaks for the class,
    ValueError for what does not fit: image, model, layer (maps of one pixel), class, weigh, beta, size, solver;
    run.ArtefactError without the published heads, MemoryError for an anneal of too many maps, and
    hardware.HardwareError from D-Wave's machines.
    """
    beta, image = require.number("beta", beta, "[0, 1]"), read_image(image)
    classes = None if class_index is None else [require.whole("class_index", class_index)]
    model = _trained(model) if isinstance(model, str) else model
    if isinstance(model, Trained):
        image_size = _own_size(model, image_size, reshape, mean, deviation)
        features = model.trunk(to_square(image, image_size).to(model.trunk.mean.device))
        maps, gradients, logits = capture(model.head, features, "block" if layer is None else layer, classes)
    elif isinstance(model, nn.Module):
        if layer is None:
            raise ValueError("give the layer whose maps are selected: its name in model.named_modules(), as 'layer4'")
        image_size = 224 if image_size is None else _size(image_size)
        pixels = _normalised(image, image_size, mean, deviation)
        maps, gradients, logits = capture_layer(model, layer, pixels, classes, reshape=reshape)
    else:
        names = ", ".join(HEADS)
        raise ValueError(f"the model must be one of {names}, or a torch.nn.Module, got {type(model).__name__}")
    default = 1 if logits.shape[1] == 1 else int(logits.argmax())
    class_index, logits = default if classes is None else classes[0], models.two_classes(logits)
    if class_names is None and isinstance(model, Trained) and logits.shape[1] == len(CLASSES):
        class_names = CLASSES
    labels = _labels(class_names, logits.shape[1])
    alpha = _importance(maps, gradients, weigh, layer)
    problem = qubo.selection(maps[0].numpy(), alpha[0].numpy())
    selected, info = select(problem, maps.shape[1], solver, beta, pair_sum, size, seed, **options)
    heatmap = cams.heatmap(cams.grad_cam(maps, alpha, torch.as_tensor(selected)[None]), image_size)
    return Explanation(
        image=image.copy(),
        class_index=class_index,
        label=labels[class_index],
        probabilities=logits[0].softmax(0).numpy(),
        maps=maps[0].numpy(),
        importance=alpha[0].numpy(),
        problem=problem,
        selected=selected,
        heatmap=heatmap[0].numpy(),
        matrix=problem.matrix(beta, pair_sum),
        info=info,
    )


def _own_size(model, image_size, reshape, mean, deviation):
    """The size of images that a Trained takes. Raises ValueError for another one, and settings for other networks."""
    foreign = {"reshape": reshape, "mean": mean, "deviation": deviation}
    for name in [name for name, value in foreign.items() if value is not None]:
        raise ValueError(f"{name} is for a torch.nn.Module: this network has its own")
    if image_size is not None and _size(image_size) != model.image_size:
        raise ValueError(f"this network takes images of {model.image_size} pixels, not {image_size}")
    return model.image_size


def _normalised(image, size, mean, deviation):
    """A network's input, (1, channels, size, size). Raises ValueError for a mean or deviation that does not fit."""
    if (mean is None) != (deviation is None):
        raise ValueError("mean and deviation go together: give both, a number a channel, or none for ImageNet's")
    mean, deviation = models.NORMALISATIONS["imagenet"] if mean is None else (mean, deviation)
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
    """Importance (1, N) by Eq. 1 or weigh. Raises ValueError for what explains no place or does not fit.

    NoPositiveMapError, a ValueError, if all maps or importances are zero.
    """
    if maps[0, 0].numel() == 1:
        raise ValueError(f"the maps of {layer!r} have one pixel, which explains no place: give an earlier layer")
    where = "the block" if layer is None else repr(layer)
    if not maps.any():
        why = "dead ReLUs, or weights of zero, say"
        raise NoPositiveMapError(f"all maps of {where} are zero for this image: there is nothing to see ({why})")
    if weigh is None:
        alpha = importance(gradients)
    elif callable(weigh):
        wanted = f"what weigh returns, a number for every map: {tuple(maps.shape[:2])},"
        alpha = require.tensor(wanted, weigh(maps.clone(), gradients.clone()), "images maps",
                               {"images": 1, "maps": maps.shape[1]}, remedy=": check the function").cpu()
    else:
        raise ValueError(f"weigh must be a function of maps and gradients, got {require.described(weigh)}")
    if not alpha.any():
        why = "its score does not depend on them: dead ReLUs after the layer, zero weights, a class token alone is read"
        raise NoPositiveMapError(f"all importances of {where} are zero for this class ({why}): take an earlier layer")
    return alpha
