"""How a network sees photographs: its input, and the maps of one layer with the gradients of a class score."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import nn

from .. import require
from ..cnn import checkpoints, networks, pretrained
from ..cnn.checkpoints import Trained
from ..cnn.extraction import Derivatives, capture, capture_layer
from ..cnn.heads import HEADS
from ..cnn.photographs import require_image_size
from ..cnn.preprocessing import GREY, to_square
from ..conventions import HEADLINE
from .layers import find_layer


@dataclass
class View:
    """A network with one of its layers, and the pixels that it takes; `open_view` makes one.

    network: a `Trained`, whose layer is a stage of the head, or a torch.nn.Module; name: of the published networks.
    mean, deviation: (channels,) of the network's input, None for a Trained, which has its own.

    >>> view = open_view(pretrained.resnet18("random"), layer="layer2", image_size=64)
    >>> maps, gradients, logits = view.derivatives([np.zeros((3, 5, 7), np.uint8)], [None])
    >>> maps.shape, view.call["layer"]
    (torch.Size([1, 128, 8, 8]), 'layer2')
    """

    network: Trained | nn.Module
    layer: str
    image_size: int
    name: str
    mean: torch.Tensor | None = None
    deviation: torch.Tensor | None = None
    reshape: Callable | None = None

    def pixels(self, images) -> torch.Tensor:
        """The network's input of uint8 images (3, h, w), of any sizes: (B, channels, S, S); in [0, 1] for a Trained."""
        pixels = torch.cat([to_square(image, self.image_size) for image in images])
        if self.mean is None:
            return pixels
        if len(self.mean) == 1:
            pixels = (pixels * torch.tensor(GREY).view(1, 3, 1, 1)).sum(1, keepdim=True)
        return (pixels - self.mean.view(1, -1, 1, 1)) / self.deviation.view(1, -1, 1, 1)

    def derivatives(self, images, classes) -> Derivatives:
        """Maps, gradients and logits of uint8 images in one forward pass, as of `extraction.capture_layer`.

        classes: a number an image, None for the predicted one.
        """
        if None in classes and any(number is not None for number in classes):  # some are asked for, some predicted
            parts = [self.derivatives([image], [number]) for image, number in zip(images, classes)]
            return tuple(map(torch.cat, zip(*parts)))
        pixels, chosen, batch = self.pixels(images), None if classes[0] is None else classes, len(images)
        if isinstance(self.network, Trained):
            features = self.network.trunk(pixels.to(self.network.trunk.mean.device))
            return capture(self.network.head, features, self.layer, chosen, batch=batch)
        options = {"batch": batch, "reshape": self.reshape}
        if batch > 1:  # channels last: a fifth faster for several images, not for one
            with contextlib.suppress(ValueError):  # from `Tensor.view`, for which numbers lie in another order then
                last = pixels.contiguous(memory_format=torch.channels_last)
                return capture_layer(self.network, self.layer, last, chosen, **options)
        return capture_layer(self.network, self.layer, pixels, chosen, **options)

    @cached_property
    def record(self) -> dict:
        """Which network this is: its name and the fingerprint of its weights."""
        parts = (self.network.trunk, self.network.head) if isinstance(self.network, Trained) else (self.network,)
        return {"name": self.name, "fingerprint": [pretrained.known_fingerprint(part) for part in parts]}

    @property
    def call(self) -> dict:
        """What it takes to open the view again: keywords of `explain`."""
        found = {"layer": self.layer, "image_size": self.image_size}
        if self.mean is not None:
            found |= {"mean": self.mean.tolist(), "deviation": self.deviation.tolist(), "reshape": self.reshape}
        return found


def open_view(
    model: str | Trained | nn.Module,
    *,
    layer: str | None = None,
    image_size: int | None = None,
    reshape: Callable | None = None,
    mean=None,
    deviation=None,
    target: str = HEADLINE.target,
) -> View:
    """A view on a network: arguments as for `one_image.explain`; target: the stage of a head when no layer is given.

    Of another network without a layer it is that of `layers.find_layer`. Raises ValueError for what does not fit, and
    ArtefactError or DataError where a published network or its weights are missing.

    >>> open_view(pretrained.resnet18("random")).layer
    'layer4'
    """
    network = checkpoints.published(model) if isinstance(model, str) else model
    if isinstance(network, Trained):
        size = _own_size(network, image_size, reshape, mean, deviation)
        name = model if isinstance(model, str) else type(network.head).__name__
        return View(network, target if layer is None else layer, size, name)
    if not isinstance(network, nn.Module):
        names = ", ".join(HEADS)
        raise ValueError(f"the model must be one of {names}, or a torch.nn.Module, got {type(network).__name__}")
    size = 224 if image_size is None else require_image_size(image_size)
    view = View(network, layer, size, type(network).__name__, *_normalisation(mean, deviation), reshape)
    if layer is None:
        if reshape is not None:
            raise ValueError("reshape makes maps of one layer's output: give that layer, too")
        view.layer = find_layer(network, view.pixels([np.full((3, 2, 2), 128, np.uint8)]))
    return view


def _own_size(model, image_size, reshape, mean, deviation):
    """The size of images that a Trained takes. Raises ValueError for another one, and settings for other networks."""
    foreign = {"reshape": reshape, "mean": mean, "deviation": deviation}
    for name in [name for name, value in foreign.items() if value is not None]:
        raise ValueError(f"{name} is for a torch.nn.Module: this network has its own")
    if image_size is not None and require_image_size(image_size) != model.image_size:
        raise ValueError(f"this network takes images of {model.image_size} pixels, not {image_size}")
    return model.image_size


def _normalisation(mean, deviation):
    """Mean and deviation, a number a channel. Raises ValueError for one that does not fit."""
    if (mean is None) != (deviation is None):
        raise ValueError("mean and deviation go together: give both, a number a channel, or none for ImageNet's")
    mean, deviation = networks.NORMALISATIONS["imagenet"] if mean is None else (mean, deviation)
    sizes, scale = {}, ": they are of pixels in [0, 1]"
    mean = require.tensor("mean", mean, "channels", sizes, "[0, 1]", remedy=scale).float().cpu()
    deviation = require.tensor("deviation", deviation, "channels", sizes, "(0, 1]", remedy=scale).float().cpu()
    if len(mean) not in (1, 3):
        raise ValueError(f"mean must be of one channel, grey, or of three, red, green and blue, got {len(mean)}")
    return mean, deviation
