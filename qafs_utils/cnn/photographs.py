"""Photographs as they are read: uint8 (3, h, w), from files and arrays of any kind."""

import io
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from .. import require
from .datasets import DataError

LARGEST = 8192  # pixels a side that an image is stretched to: 0.8 GB


def read_image(image) -> np.ndarray:
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
    if hasattr(image, "is_floating_point"):  # a tensor
        from .tensors import dense  # only those who have tensors wait for PyTorch

        image = dense("the image", image, "...").detach().cpu()
        image = image.float().numpy() if image.is_floating_point() else image.numpy()
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8:
            finite = image.dtype.kind != "f" or np.isfinite(image).all()
            kind = f"are {image.dtype}" if finite else "hold NaN or infinite values"
            remedy = "of [0, 1] make (255 * x).astype('uint8')"
            raise ValueError(f"pixels must be uint8 from 0 to 255, these {kind}: {remedy}")
        colours_first = image.ndim == 3 and image.shape[0] == 3
        rows_first = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))
        if colours_first and rows_first:
            raise ValueError(f"an image {image.shape} reads as rows first and as colours first: give a PIL image")
        if not image.size or not (colours_first or rows_first):
            several = ": give one image at a time" if image.ndim == 4 else ""
            raise ValueError(f"the image must be (3, h, w) or (h, w, 3), got {image.shape}{several}")
        if colours_first:
            return image
        image = Image.fromarray(image)
    return np.moveaxis(_decoded(image), 2, 0)


def _decoded(image):
    """The pixels of a path, bytes, an open file or a PIL image: (h, w, 3) uint8. Raises as `read_image`."""
    kinds = "a path, bytes, a PIL image, or an array (3, h, w) or (h, w, 3) of uint8"
    if isinstance(image, list | tuple | set | Mapping):
        raise ValueError(f"the image must be {kinds}, one image at a time, got {type(image).__name__}")
    if isinstance(image, str | Path) and str(image).startswith(("http://", "https://")):
        raise DataError(f"{image} is no file: give urllib.request.urlopen({str(image)!r}).read()")
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


def require_image_size(image_size: int, least: int = 1) -> int:
    """A whole number of pixels a side, up to 8192. Raises ValueError for others, 64.0 included.

    >>> require_image_size(224)
    224
    """
    if not isinstance(image_size, Integral):
        raise ValueError(f"image_size must be a whole number of pixels, got {require.described(image_size)}")
    return require.whole("image_size", image_size, least, LARGEST)
