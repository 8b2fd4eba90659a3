"""The ImageNet weights of ResNet-18: fetched, verified, identified."""

import hashlib
import os
import weakref
from pathlib import Path

import numpy as np
import torch
from torch import nn

from .. import require
from ..artefacts.files import sha256
from .datasets import DataError
from .tensors import require_kind, state_arrays

WEIGHTS = ("imagenet", "random")
WEIGHTS_SHA256 = ("f37072fd", "6bc85e43")  # torchvision's file; the copy behind the committed results (data/README.md)
COPY = "ca18e53c48b8c90d"  # `fingerprint` of that copy's trunk, which is torchvision's to about 1e-5
_NORMS = "12.5794 10.2693 8.6800 9.7712 8.4467 11.2979 13.0695 6.3956 13.1345 11.5499 15.7919 19.2447 5.9734 17.2205"
IMAGENET_NORMS = (*map(float, _NORMS.split()), 15.9132)  # of the trunk's 15 convolutions, in their order


def weights_path() -> Path:
    """Where torch hub keeps the ImageNet ResNet-18 (TORCH_HOME is honoured).

    >>> weights_path().name
    'resnet18-f37072fd.pth'
    """
    from torchvision.models import ResNet18_Weights  # torchvision takes seconds, and not every notebook needs it

    url = ResNet18_Weights.IMAGENET1K_V1.url
    return Path(torch.hub.get_dir()) / "checkpoints" / os.path.basename(url)


def resnet18(weights: str = "imagenet", seed: int = 0) -> nn.Module:
    """torchvision's ResNet-18, frozen, in eval mode: "imagenet" (downloaded when absent) or "random" (seeded).

    Raises DataError for a damaged weights file, or an absent one when there is no network, ValueError for another
    name of weights or a seed that is no whole number.

    >>> net = resnet18("random", seed=3)
    >>> net.training, torch.equal(net.conv1.weight, resnet18("random", seed=3).conv1.weight)
    (False, True)
    """
    import torchvision

    if require.choice("weights", weights, WEIGHTS) == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(require.whole("seed", seed))
            return torchvision.models.resnet18(weights=None).eval().requires_grad_(False)
    path = weights_path()
    if path.exists() and not sha256(path).startswith(WEIGHTS_SHA256):
        raise DataError(
            f"{path} is truncated or corrupt (unknown SHA-256). Delete it and run `python -m qafs_utils weights`."
        )
    try:
        net = torchvision.models.resnet18(weights="IMAGENET1K_V1", progress=False)
    except Exception as error:  # of many kinds: URLError, http.client's, torch.hub's RuntimeError for a wrong hash
        raise DataError(
            f"the ImageNet weights are not at {path} and could not be downloaded: {error}. With a network run "
            f"`python -m qafs_utils weights` (45 MB); without, copy {path.name} there or set TORCH_HOME."
        ) from error
    return net.eval().requires_grad_(False)


def checksums(weights: str) -> dict[str, str]:
    """{file: SHA-256} of the weights that `resnet18` reads by that name; none for random ones.

    >>> checksums("random")
    {}
    """
    known = require.choice("weights", weights, WEIGHTS)
    return {weights_path().name: sha256(weights_path())} if known == "imagenet" else {}


def fingerprint(network: nn.Module) -> str:
    """Short SHA-256 of a network's parameters, to say in an artefact which weights made it.

    Raises ValueError for what is no torch.nn.Module.

    >>> layer = nn.Linear(2, 2)
    >>> before = fingerprint(layer)
    >>> layer.bias.data += 1e-3
    >>> len(before), fingerprint(layer) == before
    (16, False)
    """
    digest = hashlib.sha256()
    for name, value in sorted(state_arrays(network).items()):
        digest.update(name.encode() + value.tobytes())
    return digest.hexdigest()[:16]


_FINGERPRINTS = weakref.WeakKeyDictionary()  # network: marks of its numbers, their fingerprint


def known_fingerprint(network: nn.Module) -> str:
    """`fingerprint`, which takes as long as an image, kept for the next call until a number of the network changes.

    A change shows in the place or the version of its tensor; one that PyTorch does not count, in the sum of the bits.

    >>> layer = nn.Linear(2, 2)
    >>> before = known_fingerprint(layer)
    >>> layer.bias.data += 1e-3
    >>> known_fingerprint(layer) == before, known_fingerprint(layer) == fingerprint(layer)
    (False, True)
    """
    require_kind("network", network, nn.Module)
    values = network.state_dict()
    if not all(isinstance(value, torch.Tensor) and value.layout == torch.strided for value in values.values()):
        return fingerprint(network)
    marks = [
        (name, v.dtype, v.data_ptr(), v.shape, v.stride(), v.is_inference() or v._version) for name, v in values.items()
    ]
    storages = {v.untyped_storage().data_ptr(): v for v in values.values()}  # each once, however many tensors share it
    marks += map(_sum_of_bits, storages.values())
    if network not in _FINGERPRINTS or _FINGERPRINTS[network][0] != marks:
        _FINGERPRINTS[network] = marks, fingerprint(network)
    return _FINGERPRINTS[network][1]


def _sum_of_bits(value):
    """The storage of a tensor, as whole numbers of 64 bits and what is left of bytes, summed."""
    stored = torch.empty(0, dtype=torch.uint8, device=value.device).set_(value.untyped_storage()).cpu().numpy()
    even = len(stored) // 8 * 8
    return int(stored[:even].view(np.uint64).sum()) + int(stored[even:].sum())
