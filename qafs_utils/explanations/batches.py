"""Many images, one forward pass a batch: read one after the other, each answer and each fault at its own place."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from numbers import Number
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from .. import require
from ..cnn.photographs import read_image
from .chain import Chain
from .explanation import Explanation

ON_ERROR = ("raise", "keep")
_FEW = 3  # images that need no progress bar
_GREY = np.full((3, 2, 2), 128, np.uint8)


def several(image) -> bool:
    """Whether what `explain` got are several images: a list, a loader, any iterable, or an array (B, 3, h, w).

    >>> several(["a.jpg", "b.jpg"]), several("a.jpg"), several(np.zeros((3, 8, 8), np.uint8)), several(b"GIF89a")
    (True, False, False, False)
    """
    if hasattr(image, "ndim"):
        return image.ndim in (1, 4)  # a column of paths, a batch
    if isinstance(image, str | bytes | bytearray | memoryview | Path | Mapping | Set) or hasattr(image, "read"):
        return False
    return isinstance(image, Iterable) or (hasattr(image, "__getitem__") and hasattr(image, "__len__"))


def _count(images):
    """How many images there are, None where only reading them tells: generators, and loaders, which hand on batches."""
    return len(images) if isinstance(images, list | tuple | np.ndarray | torch.Tensor) else None


def _listed(images) -> Iterator:
    """The images one by one: of pairs (image, label) the first, of a batch (B, 3, h, w) all."""
    for given in images:
        pair = isinstance(given, list | tuple) and len(given) == 2
        labelled = pair and (isinstance(given[1], Number) or getattr(given[1], "ndim", 9) <= 1)
        image = given[0] if labelled else given
        yield from image if getattr(image, "ndim", 0) == 4 else (image,)


def _named(number, source):
    """How messages call an image: by its place, and its path if it has one."""
    path = source if isinstance(source, str | Path) else getattr(source, "filename", None)
    return f"image {number} ({path})" if isinstance(path, str | Path) and str(path) else f"image {number}"


class Batches:
    """The explanations of images, as an iterator: `one_image.explanations` has the arguments and the errors.

    failed, unproven: how many images have no explanation, and how many answers no proof, so far.
    """

    def __init__(self, chain: Chain, images, class_index=None, *, batch: int = 8, on_error: str = "raise"):
        self.chain, self.images = chain, images
        self.batch, self.failed, self.unproven = require.whole("batch", batch, 1), 0, 0
        self.keep = require.choice("on_error", on_error, ON_ERROR) == "keep"
        one = class_index is None or isinstance(class_index, str) or not np.iterable(class_index)
        self.classes = None if one else [chain.number(given) for given in class_index]
        self.every = chain.number(class_index) if one else None
        self.count = _count(images)
        if not (one or self.count is None or self.count == len(self.classes)):
            raise ValueError(self._uneven(self.count))

    def _uneven(self, count):
        return f"class_index must be one class, or one an image: {len(self.classes)} classes for {count} images"

    def __iter__(self) -> Iterator[Explanation | Exception]:
        parts, place = [], -1
        quiet = {"disable": True} if self.count is not None and self.count <= _FEW else {}
        with tqdm(total=self.count, desc="explain", unit="image", **quiet) as bar:
            for place, source in enumerate(_listed(self.images)):
                parts.append((place, source, self._class_of(place)))
                if len(parts) == self.batch:
                    yield from self._watched(parts, bar)
                    parts = []
            yield from self._watched(parts, bar)
        if self.classes is not None and place + 1 != len(self.classes):
            raise ValueError(self._uneven(place + 1))
        if self.failed:
            warnings.warn(f"{self.failed} of {place + 1} images have no explanation, but an error", stacklevel=3)
        if self.unproven:
            proof = f"{self.unproven} of {place + 1} answers are not proven to be optimal"
            warnings.warn(f"{proof}: give a longer time_limit, in seconds", stacklevel=3)

    def _class_of(self, place):
        if self.classes is not None and place >= len(self.classes):
            raise ValueError(self._uneven(f"more than {place}"))
        return self.every if self.classes is None else self.classes[place]

    def _watched(self, parts, bar):
        for answer in self._of_batch(parts):
            bar.update()
            self.failed += isinstance(answer, Exception)
            self.unproven += not getattr(answer, "info", {}).get("proven", True)
            yield answer

    def _of_batch(self, parts):
        """The answers of a batch, in the order of its images."""
        read = [(*part, self._tried(part, lambda part=part: read_image(part[1]))) for part in parts]
        good = [part for part in read if not isinstance(part[3], Exception)]
        seen = iter(self._seen(good) if good else [])
        for part in read:
            if isinstance(part[3], Exception):
                yield part[3]
                continue
            place, source, number, image = part
            derivatives = next(seen)
            if isinstance(derivatives, Exception):
                yield derivatives
            else:
                yield self._tried(part, lambda d=derivatives: self.chain.explanation(image, d, number, source))  # noqa: B023

    def _seen(self, parts):
        """Maps, gradients and logits of every image alone, or the error that it made, from one pass if that works."""
        *_, classes, images = zip(*parts)
        try:
            together = self.chain.view.derivatives(images, classes)
        except (ValueError, MemoryError, torch.OutOfMemoryError):  # one of the images; or the batch is too large
            derivatives = self.chain.view.derivatives
            return (self._tried(part, lambda part=part: derivatives([part[3]], [part[2]])) for part in parts)
        return zip(*(tensor.split(1) for tensor in together))

    def _tried(self, part, step: Callable):
        """What a step gives, or the error that names the image; one that any image makes is raised as it is."""
        try:
            return step()
        except Exception as error:
            self._require_network()
            error.args = (f"{_named(*part[:2])}: {error}",)
            if not self.keep:
                raise
            return error

    def _require_network(self):
        """Raise what is wrong with the network, the class or its names, and not with an image."""
        numbers = {self.every} if self.classes is None else {n for n in self.classes if n is not None} or {None}
        logits = self.chain.view.derivatives([_GREY] * len(numbers), list(numbers))[2]
        self.chain.labels(max(2, logits.shape[1]))
