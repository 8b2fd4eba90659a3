"""The trained networks of the compendium: heads saved as arrays, and put back on the trunk that they belong to."""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn as nn

from .. import require
from ..artefacts.run import Artefacts
from ..conventions import HEADLINE
from . import networks, pretrained
from .datasets import DataError
from .heads import HEADS, head_name
from .photographs import require_image_size
from .pretrained import COPY, IMAGENET_NORMS, fingerprint
from .tensors import dense, pick_device, require_kind, state_arrays


@dataclass(frozen=True)
class Trained:
    """A trained network in two parts, trunk and head. It takes images of image_size x image_size pixels.

    Raises ValueError for parts of another kind, and image sizes that are not whole, or below 16.

    >>> trunk = networks.Trunk(pretrained.resnet18("random"))
    >>> Trained(trunk, networks.ReducedHead(16, size=4), image_size=64).image_size
    64
    """

    trunk: networks.Trunk
    head: nn.Module
    image_size: int = 224

    def __post_init__(self):
        require_kind("trunk", self.trunk, networks.Trunk)
        require_kind("head", self.head, nn.Module)
        require_image_size(self.image_size, 16)


@dataclass(frozen=True)
class TrainedNetworks:
    """The trunk and all heads of artefact 01_heads, as `trained_networks` opens them.

    >>> net = pretrained.resnet18("random")
    >>> saved = {"nf16_paper_seed0/" + k: v for k, v in head_arrays(networks.ReducedHead(16, size=4)).items()}
    >>> saved["weights"] = fingerprint(networks.Trunk(net))
    >>> trained = trained_networks(saved, weights="random", image_size=64)
    >>> trained.head(16)(trained.trunk(torch.rand(2, 3, 64, 64))).shape
    torch.Size([2, 10])
    """

    resnet18: nn.Module
    trunk: networks.Trunk
    heads: Mapping[str, np.ndarray]
    normalisation: str
    image_size: int
    device: torch.device

    def head(self, n_features: int, seed: int = 0, block: str | None = None) -> nn.Module:
        """The head of that many maps, training seed and block. Raises ValueError if there is none."""
        name = head_name(n_features, seed, block)
        return trained_head(name, self.heads, self.resnet18, self.image_size // 16).to(self.device)

    def trunk_in(self, precision: str) -> networks.Trunk:
        """The trunk in another precision, of the same layers and normalisation."""
        return networks.Trunk(self.resnet18, self.normalisation, precision).to(self.device)

    def full_network(self, seed: int = 0) -> nn.Module:
        """The network of 512 maps with torchvision's layer names, as `networks.full_network` makes it."""
        return networks.full_network(self.resnet18, self.head(512, seed)).to(self.device)


def trained_networks(
    heads: Mapping,
    *,
    weights="imagenet",
    normalisation=HEADLINE.normalisation,
    precision="float32",
    image_size=224,
    device="auto",
) -> TrainedNetworks:
    """Open the trained networks: the trunk that the heads of artefact 01_heads were trained on, and these heads.

    weights: of the trunk, as for `pretrained.resnet18`; normalisation, precision: as for `networks.Trunk`.
    Raises DataError for weights that are absent and cannot be downloaded, damaged, or not those that the heads were
    trained on, ValueError for an unknown choice.

    >>> trained_networks({}, weights="random")
    Traceback (most recent call last):
    qafs_utils.cnn.datasets.DataError: these heads do not say which trunk they were trained on: take artefact 01_heads
    """
    net, device = pretrained.resnet18(weights), pick_device(device)
    trunk = networks.Trunk(net, normalisation, precision)
    require_trunk(trunk, heads)
    return TrainedNetworks(net, trunk.to(device), heads, normalisation, require_image_size(image_size), device)


def trained(
    name: str, *, heads: Mapping | None = None, weights="imagenet", image_size: int = 224, device="auto"
) -> Trained:
    """A headline network by its name, "nf16", "nf24", "nf32" or "nf512"; heads: the published ones for None.

    Raises ValueError for an unknown name, and as `trained_networks`.

    >>> trained("nf8")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: unknown model 'nf8': choose from nf16, nf24, nf32, nf512, or give a torch.nn.Module and the name of ...
    """
    require.choice("model", name, HEADS, ", or give a torch.nn.Module and the name of its layer")
    image_size = require_image_size(image_size)
    heads = Artefacts("published").load("01_heads") if heads is None else heads
    opened = trained_networks(heads, weights=weights, image_size=image_size, device=device)
    return Trained(opened.trunk, opened.head(int(name[2:])), image_size)


@functools.lru_cache(maxsize=4)
def published(name: str) -> Trained:
    """A headline network with the published heads, as `trained` makes it, kept for the next call.

    >>> published("nf16") is published("nf16")  # doctest: +SKIP
    True
    """
    return trained(name)


def head_arrays(head: nn.Module) -> dict[str, np.ndarray]:
    """The trained parameters of a head as a flat dict of arrays, copies; the frozen ImageNet layer4 is left out.

    Raises ValueError for what is no torch.nn.Module.

    >>> sorted(head_arrays(networks.ReducedHead(16, size=2)))[-2:]
    ['classifier.bias', 'classifier.weight']
    """
    return {name: np.array(value) for name, value in state_arrays(head).items() if not name.startswith("layer4.")}


def _arrays(name, given):
    """A dict of arrays. Raises ValueError for anything else."""
    if not isinstance(given, Mapping):
        raise ValueError(f"{name} must be a dict of arrays, as artefact 01_heads, got {require.described(given)}")
    return given


def load_head(head: nn.Module, arrays: Mapping) -> nn.Module:
    """Put arrays of `head_arrays` back: the head, frozen and in eval mode.

    Raises ValueError if names or shapes do not fit the head, or a parameter is not finite; the head is as before then.

    >>> trained, head = networks.ReducedHead(16, size=2), networks.ReducedHead(16, size=2)
    >>> fingerprint(load_head(head, head_arrays(trained))) == fingerprint(trained)
    True
    """
    require_kind("head", head, nn.Module)
    own = {name: value for name, value in head.state_dict().items() if not name.startswith("layer4.")}
    state = {}
    for name, value in _arrays("arrays", arrays).items():
        value = dense(f"the head's {name}", value, "...").detach()
        state[name] = value.to(own.get(name, value).dtype)
        require.values(f"the head's {name}", state[name], remedy=": train it again")
    found, wanted = ({name: tuple(value.shape) for name, value in part.items()} for part in (state, own))
    names = [name for name in wanted | found if found.get(name) != wanted.get(name)]
    if names:
        wrong = "; ".join(f"{name}: {found.get(name)}, not {wanted.get(name)}" for name in names)
        raise ValueError(f"these trained parameters do not fit {type(head).__name__} ({wrong})")
    head.load_state_dict(state, strict=False)  # without layer4, which is not trained
    return head.eval().requires_grad_(False)


def require_trunk(trunk: nn.Module, saved: Mapping):
    """Raise DataError unless the trunk has the weights that the heads of artefact 01_heads were trained on.

    Heads trained on the copy behind the committed results (`COPY`) go with torchvision's own weights, too.
    Raises ValueError for what is no network, or no dict of arrays.

    >>> layer = nn.Linear(2, 2)
    >>> require_trunk(layer, {"weights": fingerprint(layer)})
    """
    if "weights" not in _arrays("saved", saved):
        raise DataError("these heads do not say which trunk they were trained on: take artefact 01_heads")
    found, expected = fingerprint(trunk), str(saved["weights"])
    norms = [float(w.norm()) for w in trunk.parameters() if w.ndim == 4]
    alike = expected == COPY and len(norms) == len(IMAGENET_NORMS) and np.allclose(norms, IMAGENET_NORMS, rtol=1e-3)
    if found != expected and not alike:
        raise DataError(
            f"the trunk's weights (fingerprint {found}) are not those the heads were trained on ({expected}): "
            "run notebook 01 with these weights, or put the others back"
        )


def trained_head(name: str, saved: Mapping, net: nn.Module | None, size: int = 14) -> nn.Module:
    """A head by its name (`head_name`) from the arrays of artefact 01_heads ("<name>/<parameter>"), in eval mode.

    Raises ValueError if the artefact does not hold that head.

    >>> arrays = head_arrays(networks.ReducedHead(16, size=2))
    >>> saved = {f"nf16_paper_seed0/{name}": values for name, values in arrays.items()}
    >>> trained_head("nf16_paper_seed0", saved, net=None, size=2).stages
    ('conv', 'bn', 'relu')
    """
    saved = {str(key): value for key, value in _arrays("saved", saved).items()}
    arrays = {key.partition("/")[2]: value for key, value in saved.items() if key.startswith(f"{name}/")}
    match = re.fullmatch(r"nf(\d+)_(\w+)_seed\d+", str(name))
    if not arrays or not match:
        raise ValueError(f"no trained head {name!r}; there are {sorted({k.split('/')[0] for k in saved if '/' in k})}")
    n_features, block = match.groups()
    return load_head(networks.build_head(int(n_features), block, net, size), arrays)
