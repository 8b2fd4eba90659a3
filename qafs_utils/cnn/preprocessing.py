"""The pixels that networks take, from photographs of any kind."""

import io
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps

from .. import require
from .datasets import DataError
from .tensors import LARGEST_SIDE, dense, pick_device

LARGEST = 8192  # pixels a side that an image is stretched to: 0.8 GB
GREY = (0.299, 0.587, 0.114)  # shares of red, green and blue in a grey image (ITU-R BT.601), as in Pillow
_TO_PIXELS = ": preprocessing.to_pixels makes them of uint8"


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
    if isinstance(image, torch.Tensor):
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


def require_photographs(images) -> torch.Tensor:
    """Images as a uint8 tensor (B, C, h, w). Raises ValueError for another type or shape.

    >>> require_photographs(np.zeros((2, 3, 5, 7), np.uint8)).shape
    torch.Size([2, 3, 5, 7])
    """
    images = dense("images", images, "B C h w")
    if images.dtype != torch.uint8:
        raise ValueError(f"images must be uint8 from 0 to 255, got {images.dtype}")
    if 0 in images.shape[1:]:
        raise ValueError(f"images must have pixels, got {require.described(images)}")
    return images


def require_pixels(name: str, pixels, sizes: dict | None = None, *, interval: str = "[-0.001, 1.001]") -> torch.Tensor:
    """Pixels (B, channels, H, W) in [0, 1] as a floating-point tensor. Raises ValueError for others, uint8 say.

    sizes: as for `require.shape`; interval: [0, 1] with room for rounding.

    >>> require_pixels("images", torch.ones(1, 3, 1, 1, dtype=torch.uint8))
    Traceback (most recent call last):
    ValueError: images must be pixels in [0, 1], got torch.uint8: preprocessing.to_pixels makes them of uint8
    """
    pixels = dense(name, pixels, "B C H W", sizes)
    if not pixels.is_floating_point():
        raise ValueError(f"{name} must be pixels in [0, 1], got {pixels.dtype}{_TO_PIXELS}")
    if 0 in pixels.shape[1:]:
        raise ValueError(f"{name} must have pixels, got {require.described(pixels)}")
    require.values(name, pixels, interval, remedy=f", as pixels are in [0, 1]{_TO_PIXELS}")
    return pixels


def require_image_size(image_size: int, least: int = 1) -> int:
    """A whole number of pixels a side, up to 8192. Raises ValueError for others, 64.0 included.

    >>> require_image_size(224)
    224
    """
    if not isinstance(image_size, Integral):
        raise ValueError(f"image_size must be a whole number of pixels, got {require.described(image_size)}")
    return require.whole("image_size", image_size, least, LARGEST)


def to_pixels(images, size: int = 224, device: str | torch.device = "cpu") -> torch.Tensor:
    """uint8 (B, 3, h, w) to float pixels in [0, 1], upsampled bilinearly to (B, 3, size, size).

    Raises ValueError for images of another type or shape, a size outside 1..32768, and a device that is not there.

    >>> to_pixels(np.array([[[[0, 255]]]], np.uint8), size=2)
    tensor([[[[0., 1.],
              [0., 1.]]]])
    """
    size = require.whole("size", size, 1, LARGEST_SIDE)
    pixels = require_photographs(images).to(pick_device(device)).float() / 255
    return F.interpolate(pixels, size=(size, size), mode="bilinear", align_corners=False)


def to_square(image, size: int) -> torch.Tensor:
    """uint8 (3, h, w) to pixels (1, 3, size, size) in [0, 1]: the whole image, stretched; averaged when it shrinks.

    Where it grows it is `to_pixels`. Raises ValueError for another type or shape, and a size outside 1..8192.

    >>> to_square(np.zeros((3, 40, 60), np.uint8), 32).unique()
    tensor([0.])
    """
    image, size = dense("the image", image, "...").cpu(), require_image_size(size)
    if image.dtype != torch.uint8 or image.ndim != 3 or len(image) != 3 or 0 in image.shape:
        got = f"got {tuple(image.shape)} {image.dtype}"
        raise ValueError(f"the image must be uint8 (3, h, w), as read_image gives it, {got}")
    shrinks = max(image.shape) > size
    pixels = image[None].float() / 255
    return F.interpolate(pixels, size=(size, size), mode="bilinear", align_corners=False, antialias=shrinks)
