"""The pixels that networks take, from photographs of any kind."""

import torch
import torch.nn.functional as F

from .. import require
from .photographs import require_image_size
from .tensors import LARGEST_SIDE, dense, pick_device

GREY = (0.299, 0.587, 0.114)  # shares of red, green and blue in a grey image (ITU-R BT.601), as in Pillow
_TO_PIXELS = ": preprocessing.to_pixels makes them of uint8"


def require_photographs(images) -> torch.Tensor:
    """Images as a uint8 tensor (B, C, h, w). Raises ValueError for another type or shape.

    >>> require_photographs(torch.zeros(2, 3, 5, 7, dtype=torch.uint8)).shape
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


def to_pixels(images, size: int = 224, device: str | torch.device = "cpu") -> torch.Tensor:
    """uint8 (B, 3, h, w) to float pixels in [0, 1], upsampled bilinearly to (B, 3, size, size).

    Raises ValueError for images of another type or shape, a size outside 1..32768, and a device that is not there.

    >>> to_pixels(torch.tensor([[[[0, 255]]]], dtype=torch.uint8), size=2)
    tensor([[[[0., 1.],
              [0., 1.]]]])
    """
    size = require.whole("size", size, 1, LARGEST_SIDE)
    pixels = require_photographs(images).to(pick_device(device)).float() / 255
    return F.interpolate(pixels, size=(size, size), mode="bilinear", align_corners=False)


def to_square(image, size: int) -> torch.Tensor:
    """uint8 (3, h, w) to pixels (1, 3, size, size) in [0, 1]: the whole image, stretched; averaged when it shrinks.

    Where it grows it is `to_pixels`. Raises ValueError for another type or shape, and a size outside 1..8192.

    >>> to_square(torch.zeros(3, 40, 60, dtype=torch.uint8), 32).unique()
    tensor([0.])
    """
    image, size = dense("the image", image, "...").cpu(), require_image_size(size)
    if image.dtype != torch.uint8 or image.ndim != 3 or len(image) != 3 or 0 in image.shape:
        got = f"got {tuple(image.shape)} {image.dtype}"
        raise ValueError(f"the image must be uint8 (3, h, w), as read_image gives it, {got}")
    shrinks = max(image.shape) > size
    pixels = image[None].float() / 255
    return F.interpolate(pixels, size=(size, size), mode="bilinear", align_corners=False, antialias=shrinks)
