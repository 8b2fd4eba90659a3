"""One image from start to end, `qafs_utils.explain`: maps, importance, QUBO, selection, explanation map."""

import functools
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from PIL import Image, ImageOps

from . import cams, models, plots, qubo, solvers
from .data import CLASSES, DataError
from .extraction import capture, capture_layer
from .feature_maps import importance
from .run import Run, head_name

HEADS = {f"nf{n}": head_name(n) for n in (16, 24, 32, 512)}  # the headline models


@dataclass(frozen=True)
class Trained:
    """A trained network in two parts: `Trunk` and head. It takes images of image_size x image_size pixels.

    >>> head = models.ReducedHead(16, size=4).eval()
    >>> network = Trained(models.Trunk(models.resnet18("random")), head, image_size=64)
    >>> explain(np.eye(96, dtype=np.uint8)[:, :, None].repeat(3, 2), network).maps.shape
    (16, 4, 4)
    """

    trunk: models.Trunk
    head: nn.Module
    image_size: int = 224


@dataclass(frozen=True)
class Explanation:
    """What `explain` found for one image and one class.

    image: uint8 (3, h, w); class_index, label: the class explained; probabilities: (C,) of all classes;
    maps: (N, H, W); importance: (N,); problem: the candidates' qubo.Selection; selected: (N,) bool, the numbers of the
    maps are `np.flatnonzero(selected)`; heatmap: (S, S) in [0, 1]; matrix: (d, d) of `Selection.matrix`; info: what the
    solver says, with the energy.

    >>> found = explain(np.arange(192, dtype=np.uint8).reshape(8, 8, 3), models.resnet18("random"), layer="layer3")
    >>> found.heatmap.shape, bool(found.importance[found.selected].min() > 0)
    ((224, 224), True)
    >>> [text.get_text() for text in found.plot().texts][4::2]  # doctest: +ELLIPSIS
    ['P(class ...)', 'energy', 'proven bound']
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

    def plot(self):
        """Image, candidate maps with the selected ones framed, QUBO and explanation map as a matplotlib Figure.

        In the style of the paper; matplotlib's settings stay as they are, and decide how it is saved (dpi, margins).
        """
        info, lines = self.info, [(f"P({self.label})", f"{self.probabilities[self.class_index]:.3f}")]
        lines.append(("energy", plots.number_text(info["energy"], 4)))
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
    """An image as uint8 (3, h, w): a path, an open file, a PIL image, or an array (3, h, w) or (h, w, 3) of uint8.

    Turned upright as its EXIF data say; grey (h, w) and with transparency (h, w, 4), which is dropped, too.
    Raises DataError for a file that is absent or no image, ValueError for another shape or type, more than 8 bits, NaN.

    >>> read_image(np.zeros((5, 7, 3), np.uint8)).shape
    (3, 5, 7)
    >>> read_image(np.zeros((5, 7, 3)))
    Traceback (most recent call last):
    ValueError: pixels must be uint8 from 0 to 255, these are float64: of [0, 1] make (255 * x).astype('uint8')
    """
    if not isinstance(image, (np.ndarray, torch.Tensor, Image.Image)):
        try:
            with Image.open(image) as opened:
                opened.load()
                image = opened
        except FileNotFoundError:
            raise DataError(f"there is no file {image}: check the path, which counts from {Path.cwd()}") from None
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # SyntaxError: Pillow, of a broken PNG
            name, why = ("the file", "of no format that Pillow knows") if hasattr(image, "read") else (image, error)
            raise DataError(f"{name} cannot be read as an image ({why}): give a JPEG or PNG file") from error
        except (AttributeError, TypeError) as error:
            kinds = "a path, a PIL image, or an array (3, h, w) or (h, w, 3) of uint8"
            raise ValueError(f"the image must be {kinds}, got {type(image).__name__}") from error
    if isinstance(image, Image.Image):
        if image.mode[0] in "IF":
            why = f"pixels of mode {image.mode} have more than 8 bits"
            raise ValueError(f"{why}: scale them to 0 to 255 and give an array of uint8, or save an 8-bit PNG")
        image = ImageOps.exif_transpose(image).convert("RGB")
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8:
        finite = pixels.dtype.kind != "f" or np.isfinite(pixels).all()
        kind = f"are {pixels.dtype}" if finite else "hold NaN or infinite values"
        raise ValueError(f"pixels must be uint8 from 0 to 255, these {kind}: of [0, 1] make (255 * x).astype('uint8')")
    if pixels.size and (pixels.ndim == 2 or pixels.ndim == 3 and pixels.shape[2] == 4):
        pixels = np.asarray(Image.fromarray(pixels).convert("RGB"))
    if pixels.ndim == 3 and pixels.shape[0] != 3 and pixels.shape[2] == 3:
        pixels = np.moveaxis(pixels, 2, 0)
    if pixels.ndim != 3 or pixels.shape[0] != 3 or not pixels.size:
        raise ValueError(f"the image must be (3, h, w) or (h, w, 3), got {pixels.shape}")
    return pixels


def to_square(image, size):
    """uint8 (3, h, w) to pixels (1, 3, size, size) in [0, 1]: the whole image, stretched; averaged when it shrinks.

    Where it grows it is `models.to_pixels`.

    >>> to_square(np.zeros((3, 40, 60), np.uint8), 32).unique()
    tensor([0.])
    """
    pixels = torch.as_tensor(image.copy())[None].float() / 255
    shrinks = max(image.shape) > size
    return F.interpolate(pixels, size=(size, size), mode="bilinear", align_corners=False, antialias=shrinks)


def trained(name, weights="imagenet", heads=None, image_size=224, device="auto"):
    """A network of the compendium by its name, "nf16", "nf24", "nf32" or "nf512"  ->  Trained.

    weights: of the trunk, as for `models.resnet18`; heads: artefact 01_heads, the published one for None.
    Raises ValueError for an unknown name, DataError for weights that are absent and cannot be downloaded, damaged, or
    not those that the heads were trained on.

    >>> trained("nf8")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: unknown model 'nf8': choose from nf16, nf24, nf32, nf512, or give a torch.nn.Module and the name of ...
    """
    if name not in HEADS:
        hint = "or give a torch.nn.Module and the name of its layer"
        raise ValueError(f"unknown model {name!r}: choose from {', '.join(HEADS)}, {hint}")
    heads = Run("explanation", {"profile": "published"}).load("01_heads") if heads is None else heads
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
    Seeded as the first image of `solvers.solve_all`; options are the solver's. Raises as that, and as `require_size`.

    >>> problem = qubo.selection(np.ones((3, 2, 2)), np.array([1.0, -1.0, 0.5]))  # candidates 0 and 2 are alike
    >>> selected, info = select(problem, 3)
    >>> selected, round(info["energy"], 3)
    (array([ True, False,  True]), -0.75)
    """
    sampler, bqm = solvers.solver(solver), problem.bqm(beta, pair_sum)
    unknown = options.keys() - sampler.parameters.keys()
    if unknown:
        known = ", ".join(sorted(sampler.parameters)) or "none"
        raise ValueError(f"{solver!r} has no option {', '.join(sorted(unknown))}: its options are {known}")
    asked = bqm
    if size is not None and solver == "exact":
        options = options | {"size": size}
    elif size is not None:
        asked = qubo.exactly(bqm, size)
    if seed is not None and "seed" in sampler.parameters:
        options = {"seed": int(solvers.image_seeds(seed, 1)[0])} | options
    samples = sampler.sample(asked, **options)
    found = samples.first.sample
    selected = np.zeros(n_features, bool)
    selected[problem.maps] = [found[v] for v in range(problem.d)]
    return selected, dict(samples.info) | {"energy": float(bqm.energy(found))}


def explain(image, model, beta=0.7, solver="exact", layer=None, class_index=None, size=None, pair_sum="p<q",
            image_size=None, class_names=None, weigh=None, seed=0, **options):
    """Explain a network's class for an image with the maps that the QUBO selects  ->  Explanation.

    image: as for `read_image`; it is stretched to a square. model: "nf16", "nf24", "nf32" or "nf512" (the published
    heads on the ImageNet trunk, ten classes of STL-10), a `Trained`, or any convolutional network in eval mode that
    takes images in ImageNet's normalisation. layer: whose maps; a name of `model.named_modules()`, or for the
    compendium's networks a stage of the head ("conv", "bn", "relu"; None for after the block). class_index: the class
    to explain, the predicted one for None. beta, pair_sum: of Eq. 4. solver, size (exactly so many maps), seed and the
    solver's own options: as for `select`. image_size: of the network's input, 224 by default. class_names: for labels.
    weigh: importance in place of Eq. 1, a function of maps and gradients, tensors (1, N, H, W)  ->  (1, N).

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
    if not isinstance(beta, Real) or not 0 <= beta <= 1:
        raise ValueError(f"beta must be a number in [0, 1], got {beta!r}")
    if class_index is not None and not isinstance(class_index, Integral):
        raise ValueError(f"class_index must be the number of a class, got {class_index!r}")
    image = read_image(image)
    classes = None if class_index is None else [int(class_index)]
    if isinstance(model, str):
        model = _trained(model)
    if isinstance(model, Trained):
        if image_size not in (None, model.image_size):
            raise ValueError(f"this network takes images of {model.image_size} pixels, not {image_size}")
        image_size = model.image_size
        features = model.trunk(to_square(image, image_size).to(model.trunk.mean.device))
        maps, gradients, logits = capture(model.head, features, layer or "block", classes)
    elif isinstance(model, nn.Module):
        if layer is None:
            raise ValueError("give the layer whose maps are selected: its name in model.named_modules(), as 'layer4'")
        image_size = image_size or 224
        mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in models.NORMALISATIONS["imagenet"])
        pixels = (to_square(image, image_size) - mean) / deviation
        maps, gradients, logits = capture_layer(model, layer, pixels, classes)
    else:
        names = ", ".join(HEADS)
        raise ValueError(f"the model must be one of {names}, or a torch.nn.Module, got {type(model).__name__}")
    class_index = int(logits.argmax()) if classes is None else classes[0]
    if class_names is None and isinstance(model, Trained) and logits.shape[1] == len(CLASSES):
        class_names = CLASSES
    if class_names is not None and len(class_names) != logits.shape[1]:
        raise ValueError(f"class_names must be {logits.shape[1]} labels, one a class, got {len(class_names)}")
    if maps[0, 0].numel() == 1:
        raise ValueError(f"the maps of {layer!r} have one pixel, which explains no place: give an earlier layer")
    alpha = importance(gradients) if weigh is None else torch.as_tensor(weigh(maps, gradients))
    if alpha.shape != maps.shape[:2]:
        raise ValueError(f"weigh must return {tuple(maps.shape[:2])}, a number for every map, got {tuple(alpha.shape)}")
    problem = qubo.selection(maps[0].numpy(), alpha[0].numpy())
    selected, info = select(problem, maps.shape[1], solver, beta, pair_sum, size, seed, **options)
    heatmap = cams.heatmap(cams.grad_cam(maps, alpha, torch.as_tensor(selected)[None]), image_size)
    return Explanation(
        image=image,
        class_index=class_index,
        label=class_names[class_index] if class_names else f"class {class_index}",
        probabilities=logits[0].softmax(0).numpy(),
        maps=maps[0].numpy(),
        importance=alpha[0].numpy(),
        problem=problem,
        selected=selected,
        heatmap=heatmap[0].numpy(),
        matrix=problem.matrix(beta, pair_sum),
        info=info,
    )
