"""What networks take and give: tensors, devices and modules, checked."""

import numpy as np
import torch
from torch import nn

from .. import require

LARGEST_SIDE = 2**15  # pixels that an image or a CAM is resampled to: 4 GB


def pick_device(device: str | torch.device = "auto") -> torch.device:
    """The torch.device of that name; "auto" is the GPU when there is one, else the CPU.

    Raises ValueError for a name that PyTorch does not know, and for a GPU that is not there.

    >>> pick_device("cpu")
    device(type='cpu')
    """
    if isinstance(device, str) and device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(device)
        torch.zeros(1, device=device).item()  # "meta" holds no numbers
    except Exception as error:  # of many kinds, by the device
        raise ValueError(f"there is no device {device!r}: choose 'auto' or 'cpu'") from error
    return device


def require_kind(name: str, value, kind: type):
    """Raise ValueError unless an argument is an object of a class of this package, or of PyTorch.

    >>> require_kind("head", "nf16", nn.Module)
    Traceback (most recent call last):
    ValueError: head must be a torch.nn.Module, got str
    """
    if not isinstance(value, kind):
        module = "torch.nn" if kind is nn.Module else kind.__module__.rpartition(".")[2]
        raise ValueError(f"{name} must be a {module}.{kind.__name__}, got {type(value).__name__}")


def require_evaluation(network: nn.Module, name: str):
    """Raise ValueError if any module of a network is in training mode. name: what the message calls it.

    There BatchNorm takes the statistics of the batch, and changes its own, and dropout is at work.

    >>> require_evaluation(nn.Sequential(nn.Dropout()), "head")
    Traceback (most recent call last):
    ValueError: the head is in training mode, where BatchNorm and dropout differ: call head.eval()
    """
    require_kind(f"the {name}", network, nn.Module)
    if any(module.training for module in network.modules()):
        raise ValueError(f"the {name} is in training mode, where BatchNorm and dropout differ: call {name}.eval()")


def require_logits(logits, images: int):
    """Raise ValueError unless what a network makes of so many images is logits, a row an image: (images, classes).

    >>> require_logits(torch.zeros(2, 5), 2)
    """
    fits = isinstance(logits, torch.Tensor) and logits.ndim == 2 and len(logits) == images and logits.shape[1]
    if not fits or not logits.is_floating_point() or logits.layout != torch.strided or logits.is_meta:
        wanted = f"logits ({images}, classes), a row an image"
        raise ValueError(f"the network must return {wanted}, got {_described(logits)}: wrap it in a module that does")


def _described(given):
    """What came, as error messages show it: of tensors the shape, type, layout and device."""
    if not isinstance(given, torch.Tensor):
        return require.described(given)
    return f"shape {tuple(given.shape)} of {given.dtype}, {given.layout}, on {given.device}"


def dense(name: str, given, axes: str, sizes: dict | None = None) -> torch.Tensor:
    """Numbers as a tensor, of their own precision and where they are, with their graph; others than tensors are copied.

    axes, sizes: as for `require.shape`. Raises ValueError for another shape, and for what holds no real numbers in
    rows: complex, sparse and meta tensors.

    >>> dense("features", torch.zeros(2, 3, dtype=torch.complex64), "N ...")
    Traceback (most recent call last):
    ValueError: features must be dense real numbers, got shape (2, 3) of torch.complex64, torch.strided, on cpu
    """
    if not isinstance(given, torch.Tensor):
        found = require.array(name, given, axes, sizes, nan=True, dtype=None)
        own = np.float64 if found.dtype.itemsize > 8 else found.dtype.newbyteorder("=")
        return torch.as_tensor(found.astype(own))  # a copy: PyTorch has no read-only, reversed or byte-swapped arrays
    if given.layout != torch.strided or given.is_complex() or given.is_quantized or given.is_meta:
        raise ValueError(f"{name} must be dense real numbers, got {_described(given)}")
    require.shape(name, given.shape, axes, sizes)
    return given


def two_classes(logits) -> torch.Tensor:
    """Logits (B, classes) of at least two: one logit z, trained with a sigmoid, becomes (0, z), of equal probability.

    Raises ValueError for another shape, and logits that are not finite.

    >>> two_classes(torch.tensor([[-3.0]])).softmax(1)  # 1 / (1 + e^3) = 0.0474
    tensor([[0.9526, 0.0474]])
    """
    logits = require.tensor("logits", logits, "N classes")
    return torch.cat([torch.zeros_like(logits), logits], 1) if logits.shape[1] == 1 else logits


def state_arrays(network: nn.Module) -> dict[str, np.ndarray]:
    """All parameters and buffers of a network as arrays by name.

    Raises ValueError for no module, and for one that holds no numbers, on the device "meta".

    >>> list(state_arrays(nn.Linear(2, 1)))
    ['weight', 'bias']
    """
    require_kind("network", network, nn.Module)
    return {
        name: require.array(f"the network's {name}", value, "...", interval="[-inf, inf]", nan=True, dtype=None)
        for name, value in network.state_dict().items()
    }
