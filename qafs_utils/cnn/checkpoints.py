"""The trained heads by name: saved as arrays, loaded, put behind their trunk."""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch.nn as nn

from .. import require
from ..artefacts.run import Artefacts
from ..cnn.preprocessing import _size
from . import networks, pretrained, tensors
from .datasets import DataError
from .networks import build_head
from .pretrained import COPY, IMAGENET_NORMS, _parameters, fingerprint
from .tensors import dense, require_kind


def head_name(n_features, seed=0):
    """Name in artefact 01_heads of the headline model with that many maps and training seed, whole numbers.

    >>> head_name(16), head_name(512, seed=4)
    ('nf16_paper_seed0', 'nf512_full_seed4')
    """
    n_features, seed = require.whole("n_features", n_features, 1), require.whole("seed", seed)
    return f"nf{n_features}_{'full' if n_features == 512 else 'paper'}_seed{seed}"


HEADS = {f"nf{n}": head_name(n) for n in (16, 24, 32, 512)}  # the headline models


@dataclass(frozen=True)
class Trained:
    """A trained network in two parts: `Trunk` and head. It takes images of image_size x image_size pixels.

    Raises ValueError for parts of another kind, and image sizes that are not whole, or below 16.

    >>> head = models.ReducedHead(16, size=4)
    >>> network = Trained(models.Trunk(models.resnet18("random")), head, image_size=64)
    >>> explain(np.eye(96, dtype=np.uint8)[:, :, None].repeat(3, 2), network).maps.shape
    (16, 4, 4)
    """

    trunk: networks.Trunk
    head: nn.Module
    image_size: int = 224

    def __post_init__(self):
        tensors.require_kind("trunk", self.trunk, networks.Trunk)
        tensors.require_kind("head", self.head, nn.Module)
        _size(self.image_size, 16)


def trained(name, weights="imagenet", heads=None, image_size=224, device="auto"):
    """A network of the compendium by its name, "nf16", "nf24", "nf32" or "nf512"  ->  Trained.

    weights: of the trunk, as for `pretrained.resnet18`; heads: artefact 01_heads, the published one for None.
    Raises ValueError for an unknown name, DataError for weights that are absent and cannot be downloaded, damaged, or
    not those that the heads were trained on.

    >>> trained("nf8")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: unknown model 'nf8': choose from nf16, nf24, nf32, nf512, or give a torch.nn.Module and the name of ...
    """
    require.choice("model", name, HEADS, ", or give a torch.nn.Module and the name of its layer")
    image_size = _size(image_size)
    heads = Artefacts("published").load("01_heads") if heads is None else heads
    net, device = pretrained.resnet18(weights), tensors.pick_device(device)
    trunk = networks.Trunk(net)
    require_trunk(trunk, heads)
    head = trained_head(HEADS[name], heads, net, image_size // 16)
    return Trained(trunk.to(device), head.to(device), image_size)


_trained = functools.lru_cache(maxsize=4)(trained)


def head_arrays(head):
    """The trained parameters of a head as a flat dict of arrays, copies; the frozen ImageNet layer4 is left out.

    Raises ValueError for what is no torch.nn.Module.

    >>> sorted(head_arrays(ReducedHead(16, size=2)))[-2:]
    ['classifier.bias', 'classifier.weight']
    """
    return {name: np.array(value) for name, value in _parameters(head) if not name.startswith("layer4.")}


def _of_arrays(name, given):
    """A dict of arrays. Raises ValueError for anything else."""
    if not isinstance(given, Mapping):
        raise ValueError(f"{name} must be a dict of arrays, as artefact 01_heads, got {require.described(given)}")
    return given


def load_head(head, arrays):
    """Put arrays of `head_arrays` back: the head, frozen and in eval mode.

    Raises ValueError if names or shapes do not fit the head, or a parameter is not finite; the head is as before then.

    >>> trained, head = ReducedHead(16, size=2), ReducedHead(16, size=2)
    >>> torch.equal(load_head(head, head_arrays(trained)).classifier.weight, trained.classifier.weight)
    True
    """
    require_kind("head", head, nn.Module)
    own = {name: value for name, value in head.state_dict().items() if not name.startswith("layer4.")}
    state = {}
    for name, value in _of_arrays("arrays", arrays).items():
        value = dense(f"the head's {name}", value, "...").detach()
        state[name] = value.to(own.get(name, value).dtype)
        require.values(f"the head's {name}", state[name], remedy=": train it again")
    found, wanted = ({name: tuple(value.shape) for name, value in part.items()} for part in (state, own))
    wrong = [
        f"{name}: {found.get(name)}, not {wanted.get(name)}"
        for name in wanted | found
        if found.get(name) != wanted.get(name)
    ]
    if wrong:
        raise ValueError(f"these trained parameters do not fit {type(head).__name__} ({'; '.join(wrong)})")
    head.load_state_dict(state, strict=False)  # without layer4, which is not trained
    return head.eval().requires_grad_(False)


def require_trunk(trunk, saved):
    """Raise DataError unless the trunk has the weights that the heads of artefact 01_heads were trained on.

    Heads trained on the copy behind the committed results (`COPY`) go with torchvision's own weights, too.
    Raises ValueError for what is no network, or no dict of arrays.

    >>> layer = nn.Linear(2, 2)
    >>> require_trunk(layer, {"weights": fingerprint(layer)})
    """
    if "weights" not in _of_arrays("saved", saved):
        raise DataError("these heads do not say which trunk they were trained on: take artefact 01_heads")
    found, expected = fingerprint(trunk), str(saved["weights"])
    norms = [float(w.norm()) for w in trunk.parameters() if w.ndim == 4]
    alike = expected == COPY and len(norms) == len(IMAGENET_NORMS) and np.allclose(norms, IMAGENET_NORMS, rtol=1e-3)
    if found != expected and not alike:
        raise DataError(
            f"the trunk's weights (fingerprint {found}) are not those the heads were trained on ({expected}): "
            "run notebook 01 with these weights, or put the others back"
        )


def trained_head(name, saved, net, size=14):
    """A head by its name (`checkpoints.head_name`) from the arrays of artefact 01_heads ("<name>/<parameter>").

    Raises ValueError if the artefact does not hold that head.

    >>> arrays = head_arrays(ReducedHead(16, size=2))
    >>> saved = {f"nf16_paper_seed0/{name}": values for name, values in arrays.items()}
    >>> trained_head("nf16_paper_seed0", saved, net=None, size=2).stages
    ('conv', 'bn', 'relu')
    """
    saved = {str(key): value for key, value in _of_arrays("saved", saved).items()}
    arrays = {key.partition("/")[2]: value for key, value in saved.items() if key.startswith(f"{name}/")}
    match = re.fullmatch(r"nf(\d+)_(\w+)_seed\d+", str(name))
    if not arrays or not match:
        raise ValueError(f"no trained head {name!r}; there are {sorted({k.split('/')[0] for k in saved if '/' in k})}")
    n_features, block = match.groups()
    return load_head(build_head(int(n_features), block, net, size), arrays)
