"""The layer whose maps are explained when none is named."""

import torch
from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from ..cnn.tensors import require_evaluation

_GIVE = "give layer, a name of network.named_modules()"


@torch.no_grad()
def find_layer(network: nn.Module, pixels: torch.Tensor) -> str:
    """The name of the last layer with maps: of modules that run once, the last to end with (B, N, H, W), H = W > 1.

    network: in eval mode; pixels: (1, channels, S, S), as it takes them; only the shapes matter. Of several names for
    the same output, the block's comes before that of its last layer: "layer4" of torchvision's ResNets, "features" of
    most others. Maps of the classes themselves, whose means are the logits (as in SqueezeNet), do not count.
    Raises ValueError for a network in training mode, without such a layer, and one whose maps end before its
    transformer begins: which of its layers and what `reshape` make maps is for the caller to say.

    >>> layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
    >>> find_layer(nn.Sequential(*layers).eval(), torch.zeros(1, 3, 8, 8))
    '2'
    """
    require_evaluation(network, "network")
    while hasattr(network, "_orig_mod") or isinstance(network, DataParallel | DistributedDataParallel):
        network = network._orig_mod if hasattr(network, "_orig_mod") else network.module
    ended, logits = _ended(network, pixels)
    names = [name for name, _ in ended]
    shapes = [(name, out) for name, out in ended if names.count(name) == 1]
    maps = [(name, out) for name, out in shapes if out.ndim == 4 and 1 < out.shape[2] == out.shape[3]]
    if maps and _of_classes(maps[-1][1], logits):
        maps = [(name, out) for name, out in maps if out.shape[1] != logits.shape[1]]
    if not maps:
        raise ValueError(f"no layer of {type(network).__name__} gives maps (B, N, H, W) of several pixels: {_GIVE}")
    name = maps[-1][0]
    later = [other for other, out in ended[names.index(name) :] if out.ndim == 3 and out.shape[1] > 1]
    if later:
        why = f"the last maps of {type(network).__name__} are those of {name!r}, before its transformer"
        raise ValueError(f"{why}: {_GIVE}, and reshape, which makes maps of it, such as extraction.tokens(14, 14)")
    return name


def _ended(network, pixels):
    """What the modules of a network give in one pass, in the order in which they end: [(name, tensor)], logits."""
    ended, handles = [], []
    try:
        for name, module in network.named_modules():
            if name:

                def note(module, inputs, output, name=name):
                    if isinstance(output, torch.Tensor):
                        means = output.detach().float().mean((2, 3), keepdim=True) if output.ndim == 4 else output
                        ended.append((name, means.expand(output.shape)))  # no copy of large maps is kept

                handles.append(module.register_forward_hook(note))
        weights = next(network.parameters(), pixels)
        logits = network(pixels.to(weights) if weights.is_floating_point() else pixels)
    except Exception as error:
        raise ValueError(f"cannot look for a layer ({str(error).partition(chr(10))[0]}): {_GIVE}") from error
    finally:
        for handle in handles:
            handle.remove()
    return ended, logits


def _of_classes(output, logits):
    """Whether maps (1, N, H, W), all of their mean, are those of the classes, averaged to the logits."""
    means = output[:, :, 0, 0]
    return means.shape == getattr(logits, "shape", None) and torch.allclose(means, logits.float(), atol=1e-5)
