"""Networks, and the pixels they take: the frozen ImageNet trunk, heads that end in the feature maps to be selected."""

import copy
import hashlib
import os
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from tqdm import tqdm

from . import require
from .data import DataError
from .run import sha256

NORMALISATIONS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # what the ImageNet weights were trained with
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),  # the authors' code
}
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}
LARGEST_SIDE = 2**15  # pixels that an image or a CAM is resampled to: 4 GB
WEIGHTS_SHA256 = ("f37072fd", "6bc85e43")  # torchvision's file; the copy behind the committed results (data/README.md)
COPY = "ca18e53c48b8c90d"  # `fingerprint` of that copy's trunk, which is torchvision's to about 1e-5
IMAGENET_NORMS = (  # of its convolutions, in their order
    12.5794, 10.2693, 8.6800, 9.7712, 8.4467, 11.2979, 13.0695, 6.3956, 13.1345, 11.5499, 15.7919, 19.2447, 5.9734,
    17.2205, 15.9132,
)  # fmt: skip


def pick_device(device="auto"):
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


def require_evaluation(network, name):
    """Raise ValueError if any module of a network is in training mode. name: what the message calls it.

    There BatchNorm takes the statistics of the batch, and changes its own, and dropout is at work.

    >>> require_evaluation(nn.Sequential(nn.Dropout()), "head")
    Traceback (most recent call last):
    ValueError: the head is in training mode, where BatchNorm and dropout differ: call head.eval()
    """
    require_kind(f"the {name}", network, nn.Module)
    if any(module.training for module in network.modules()):
        raise ValueError(f"the {name} is in training mode, where BatchNorm and dropout differ: call {name}.eval()")


def require_kind(name, value, kind):
    """Raise ValueError unless an argument is an object of a class of this module, or of PyTorch.

    >>> require_kind("trunk", "resnet18", Trunk)
    Traceback (most recent call last):
    ValueError: trunk must be a models.Trunk, got str
    """
    if not isinstance(value, kind):
        module = "torch.nn" if kind is nn.Module else "models"
        raise ValueError(f"{name} must be a {module}.{kind.__name__}, got {type(value).__name__}")


def _require_resnet18(net):
    """Raise ValueError unless a network is a ResNet-18 in eval mode, of single precision, that sees three colours."""
    blocks = [type(block).__name__ for i in range(1, 5) for block in getattr(net, f"layer{i}", ())]
    if blocks != ["BasicBlock"] * 8:
        raise ValueError(f"net must be a ResNet-18, as models.resnet18 gives it, got {type(net).__name__}")
    require_evaluation(net, "net")
    channels, kinds = net.conv1.weight.shape[1], {str(p.dtype) for p in net.parameters()}
    if channels != 3 or kinds != {"torch.float32"}:
        got = f"got one of {channels} and {', '.join(sorted(kinds))}"
        raise ValueError(f"net must be a ResNet-18 of three colours and torch.float32, {got}: call net.float()")


def dense(name, given, axes, sizes=None):
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


def _described(given):
    """What came, as error messages show it: of tensors the shape, type, layout and device."""
    if not isinstance(given, torch.Tensor):
        return require.described(given)
    return f"shape {tuple(given.shape)} of {given.dtype}, {given.layout}, on {given.device}"


def require_logits(logits, images):
    """Raise ValueError unless what a network makes of so many images is logits, a row an image: (images, classes).

    >>> require_logits(torch.zeros(1, 5), 2)
    Traceback (most recent call last):
    ValueError: the network must return logits (2, classes), a row an image, got shape (1, 5) of torch.float32, \
torch.strided, on cpu: wrap it in a module that does
    """
    fits = isinstance(logits, torch.Tensor) and logits.ndim == 2 and len(logits) == images and logits.shape[1]
    if not fits or not logits.is_floating_point() or logits.layout != torch.strided or logits.is_meta:
        wanted = f"logits ({images}, classes), a row an image"
        raise ValueError(f"the network must return {wanted}, got {_described(logits)}: wrap it in a module that does")


def require_pixels(name, pixels, sizes=None, interval="[-0.001, 1.001]"):
    """Pixels (B, channels, H, W) in [0, 1] as a floating-point tensor. Raises ValueError for others, uint8 say.

    sizes: as for `require.shape`; interval: [0, 1] with room for rounding.

    >>> require_pixels("images", torch.zeros(1, 3, 2, 2, dtype=torch.uint8))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: images must be pixels in [0, 1], got torch.uint8: models.to_pixels makes them of uint8
    """
    made = ": models.to_pixels makes them of uint8"
    pixels = dense(name, pixels, "B C H W", sizes)
    if not pixels.is_floating_point():
        raise ValueError(f"{name} must be pixels in [0, 1], got {pixels.dtype}{made}")
    if 0 in pixels.shape[1:]:
        raise ValueError(f"{name} must have pixels, got {require.described(pixels)}")
    require.values(name, pixels, interval, remedy=f", as pixels are in [0, 1]{made}")
    return pixels


def two_classes(logits):
    """Logits (B, classes) of at least two: one logit z, trained with a sigmoid, becomes (0, z), of equal probability.

    Raises ValueError for another shape, and logits that are not finite.

    >>> two_classes(torch.tensor([[-3.0]])).softmax(1)  # 1 / (1 + e^3) = 0.0474
    tensor([[0.9526, 0.0474]])
    """
    logits = require.tensor("logits", logits, "N classes")
    return torch.cat([torch.zeros_like(logits), logits], 1) if logits.shape[1] == 1 else logits


def weights_path():
    """Where torch hub keeps the ImageNet ResNet-18 (TORCH_HOME is honoured).

    >>> weights_path().name
    'resnet18-f37072fd.pth'
    """
    from torchvision.models import ResNet18_Weights  # torchvision takes seconds, and not every notebook needs it

    url = ResNet18_Weights.IMAGENET1K_V1.url
    return Path(torch.hub.get_dir()) / "checkpoints" / os.path.basename(url)


def resnet18(weights="imagenet", seed=0):
    """torchvision's ResNet-18 in eval mode: "imagenet" (downloaded when absent) or "random" (seeded).

    Raises DataError for a damaged weights file, or an absent one when there is no network, ValueError for another
    name of weights or a seed that is no whole number.

    >>> net = resnet18("random", seed=3)
    >>> net.training, torch.equal(net.conv1.weight, resnet18("random", seed=3).conv1.weight)
    (False, True)
    """
    import torchvision

    if require.choice("weights", weights, ("imagenet", "random")) == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(require.whole("seed", seed))
            return torchvision.models.resnet18(weights=None).eval().requires_grad_(False)
    path = weights_path()
    if path.exists() and not sha256(path).startswith(WEIGHTS_SHA256):
        raise DataError(f"{path} is truncated or corrupt (unknown SHA-256). Delete it and run `make weights` (45 MB).")
    try:
        net = torchvision.models.resnet18(weights="IMAGENET1K_V1", progress=False)
    except Exception as error:  # of many kinds: URLError, http.client's, torch.hub's RuntimeError for a wrong hash
        raise DataError(
            f"the ImageNet weights are not at {path} and could not be downloaded: {error}. With a network run "
            f"`make weights` (45 MB); without, copy {path.name} there or set TORCH_HOME."
        ) from error
    return net.eval().requires_grad_(False)


def checksums(weights):
    """{file: SHA-256} of the weights that `resnet18` reads by that name; none for random ones.

    >>> checksums("random")
    {}
    """
    known = require.choice("weights", weights, ("imagenet", "random"))
    return {weights_path().name: sha256(weights_path())} if known == "imagenet" else {}


class _Rounded(TorchFunctionMode):
    """Inside, convolutions, normalisations and sums take and give bfloat16's numbers, but multiply in float32."""

    ROUNDED = (F.conv2d, F.batch_norm, torch.Tensor.add_)  # what follows them, ReLU and maxima, keeps rounded numbers

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is F.conv2d:
            args = [x.bfloat16().float() if isinstance(x, torch.Tensor) else x for x in args]
        out = function(*args, **(kwargs or {}))
        return out.copy_(out.bfloat16()) if function in self.ROUNDED else out


class Trunk(nn.Module):
    """ResNet-18 up to and including layer3, frozen, with the input normalisation in front.

    forward: pixels (B, 3, S, S) in [0, 1]  ->  features (B, 256, S/16, S/16) float32.
    precision: "float32", or "bfloat16" (autocast, about 2.5 times faster on a CPU that multiplies in it; another one
    multiplies in float32 and rounds, which takes about 1.6 times as long as float32).
    net: a ResNet-18 of float32 in eval mode; the layers are its own.
    Raises ValueError for another net, an unknown normalisation or precision; forward for a trunk in training mode,
    pixels of another shape or range, and features that are not finite, as weights that are not make them.

    >>> Trunk(resnet18("random"))(torch.rand(1, 3, 32, 32)).shape
    torch.Size([1, 256, 2, 2])
    """

    def __init__(self, net, normalisation="imagenet", precision="float32"):
        super().__init__()
        _require_resnet18(net)
        require.choice("normalisation", normalisation, NORMALISATIONS)
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in NORMALISATIONS[normalisation])
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.layers = nn.Sequential(
            net.conv1, net.bn1, net.relu, net.maxpool, net.layer1, net.layer2, net.layer3
        ).to(memory_format=torch.channels_last)
        self.dtype = PRECISIONS[require.choice("precision", precision, PRECISIONS)]
        self.eval()

    def _reduced(self, device):
        """The context in which the layers run in `self.dtype`."""
        multiplies = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        if self.dtype is not None and device.type == "cpu" and not multiplies:
            return _Rounded()  # PyTorch's own way there takes six times as long as float32
        return torch.autocast(device.type, self.dtype, enabled=self.dtype is not None)

    @torch.no_grad()
    def forward(self, pixels):
        """pixels (B, 3, S, S) in [0, 1]  ->  features (B, 256, S/16, S/16) float32."""
        require_evaluation(self, "trunk")
        own = {} if self.mean.any() else {"interval": "[-10, 10]"}  # without a mean, the caller may have subtracted it
        pixels = require_pixels("pixels", pixels, {"C": 3}, **own).to(self.mean)
        x = ((pixels - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        with self._reduced(x.device):
            features = self.layers(x).float()
        require.values("features", features, remedy=": check the trunk's weights")
        return features


def _photographs(images):
    """Images as a uint8 tensor (B, C, h, w). Raises ValueError for another type or shape."""
    images = dense("images", images, "B C h w")
    if images.dtype != torch.uint8:
        raise ValueError(f"images must be uint8 from 0 to 255, got {images.dtype}")
    if 0 in images.shape[1:]:
        raise ValueError(f"images must have pixels, got {require.described(images)}")
    return images


def to_pixels(images, size=224, device="cpu"):
    """uint8 (B, 3, h, w) to float pixels in [0, 1], upsampled bilinearly to (B, 3, size, size).

    Raises ValueError for images of another type or shape, a size outside 1..32768, and a device that is not there.

    >>> to_pixels(np.array([[[[0, 255]]]], np.uint8), size=2)
    tensor([[[[0., 1.],
              [0., 1.]]]])
    """
    size = require.whole("size", size, 1, LARGEST_SIDE)
    pixels = _photographs(images).to(pick_device(device)).float() / 255
    return F.interpolate(pixels, size=(size, size), mode="bilinear", align_corners=False)


def trunk_features(trunk, images, size=224, batch=64, desc="trunk"):
    """Trunk outputs of uint8 images, computed once and held in half precision.

    images: (N, 3, h, w) uint8, at least one  ->  (N, 256, size/16, size/16) float16 tensor on the CPU.
    Raises ValueError for another trunk, images of another type or shape, and features not finite in half precision.

    >>> features = trunk_features(Trunk(resnet18("random")), np.zeros((3, 3, 8, 8), np.uint8), size=16)
    >>> features.shape, features.dtype
    (torch.Size([3, 256, 1, 1]), torch.float16)
    """
    require_kind("trunk", trunk, Trunk)
    images = _photographs(images)
    if not len(images):
        raise ValueError("there are no images for the trunk")
    device, batch, out = trunk.mean.device, require.whole("batch", batch, 1), None
    for start in tqdm(range(0, len(images), batch), desc=desc, unit="batch"):
        part = trunk(to_pixels(images[start : start + batch], size, device)).half().cpu()
        if out is None:
            out = torch.empty((len(images), *part.shape[1:]), dtype=torch.float16)
        out[start : start + len(part)] = part
    require.values("features", out, remedy=": check the trunk's weights")
    return out


class ReducedHead(nn.Module):
    """New block with n_features maps and a linear classifier on the flattened maps (paper, Sec. IV.2).

    forward: features (B, 256, s, s)  ->  logits (B, classes). Every stage is offered to `tap(name, maps)`, which may
    return a replacement: the project's way to read or differentiate the maps.
    block: "paper" (conv, BatchNorm, ReLU) or "authors_code" (conv, ReLU, BatchNorm). It is made in eval mode; `train`
    trains it. Raises ValueError for another block, fewer than one map, pixel or class, and more than 2^31 weights.

    >>> head = ReducedHead(16, size=2)
    >>> def tap(name, maps):
    ...     print(name, tuple(maps.shape))
    ...     return maps
    >>> head(torch.rand(5, 256, 2, 2), tap).shape
    conv (5, 16, 2, 2)
    bn (5, 16, 2, 2)
    relu (5, 16, 2, 2)
    torch.Size([5, 10])
    """

    BLOCKS = {"paper": ("conv", "bn", "relu"), "authors_code": ("conv", "relu", "bn")}

    def __init__(self, n_features, block="paper", size=14, n_classes=10):
        super().__init__()
        n_features = require.whole("n_features", n_features, 1)
        size, n_classes = require.whole("size", size, 1), require.whole("n_classes", n_classes, 1)
        require.choice("block", block, self.BLOCKS)
        if n_features * max(256 * 9, size**2 * n_classes) > 2**31:
            what = f"n_features = {n_features}, size = {size} and n_classes = {n_classes}"
            raise ValueError(f"{what} make more than 2^31 weights: give less")
        layers = {"conv": nn.Conv2d(256, n_features, 3, padding=1), "bn": nn.BatchNorm2d(n_features), "relu": nn.ReLU()}
        self.stages = self.BLOCKS[block]
        self.block = nn.Sequential(OrderedDict((name, layers[name]) for name in self.stages))
        self.classifier = nn.Linear(n_features * size**2, n_classes)
        self.eval()

    def forward(self, features, tap=lambda name, maps: maps):
        """features (B, 256, s, s), tap(name, maps) -> maps  ->  logits (B, classes)."""
        for name in self.stages:
            features = tap(name, getattr(self.block, name)(features))
        return self.classifier(features.flatten(1))


class FullHead(nn.Module):
    """ResNet-18's frozen layer4 (512 maps), global average pooling and a new linear classifier.

    forward: as ReducedHead; stages "conv", "bn", "relu" are those of the last residual block (ReLU after the sum).
    It is made in eval mode. Raises ValueError unless net is a ResNet-18 in eval mode.

    >>> FullHead(resnet18("random"))(torch.rand(2, 256, 2, 2)).shape
    torch.Size([2, 10])
    """

    stages = ("conv", "bn", "relu")

    def __init__(self, net, n_classes=10):
        super().__init__()
        _require_resnet18(net)
        self.layer4 = net.layer4
        self.classifier = nn.Linear(512, require.whole("n_classes", n_classes, 1))
        self.eval()

    def forward(self, features, tap=lambda name, maps: maps):
        """features (B, 256, s, s), tap(name, maps) -> maps  ->  logits (B, classes)."""
        shortcut = self.layer4[0](features)
        last = self.layer4[1]
        maps = F.relu(last.bn1(last.conv1(shortcut)))
        maps = tap("conv", last.conv2(maps))
        maps = tap("bn", last.bn2(maps))
        maps = tap("relu", F.relu(maps + shortcut))
        return self.classifier(maps.mean((2, 3)))


def build_head(n_features, block, net, size=14, seed=0):
    """The head for n_features maps: ReducedHead, or FullHead for 512, with a seeded initialisation.

    net: `resnet18`, used for 512 maps only. In eval mode. Raises ValueError as `ReducedHead` and `FullHead`.

    >>> build_head(16, "authors_code", net=None, size=2).stages  # N_f below 512 needs no net
    ('conv', 'relu', 'bn')
    """
    n_features = require.whole("n_features", n_features, 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(require.whole("seed", seed))
        return FullHead(net) if n_features == 512 else ReducedHead(n_features, block, size)


def head_arrays(head):
    """The trained parameters of a head as a flat dict of arrays, copies; the frozen ImageNet layer4 is left out.

    Raises ValueError for what is no torch.nn.Module.

    >>> sorted(head_arrays(ReducedHead(16, size=2)))[-2:]
    ['classifier.bias', 'classifier.weight']
    """
    return {name: np.array(value) for name, value in _parameters(head) if not name.startswith("layer4.")}


def _parameters(module):
    """Names and arrays of all parameters and buffers. Raises ValueError for no module, and what holds no numbers."""
    require_kind("network", module, nn.Module)
    return [(name, require.array(f"the network's {name}", value, "...", None, "[-inf, inf]", nan=True, dtype=None))
            for name, value in module.state_dict().items()]


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
    wrong = [f"{name}: {found.get(name)}, not {wanted.get(name)}" for name in wanted | found
             if found.get(name) != wanted.get(name)]
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
    """A head by its name (`run.head_name`) from the arrays of artefact 01_heads ("<name>/<parameter>").

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


def full_network(net, head):
    """The ResNet-18 under a trained FullHead, with torchvision's layer names: a copy of net whose fc is the classifier.

    forward: (pixels - trunk.mean) / trunk.std, (B, 3, S, S)  ->  logits (B, classes), those of head(trunk(pixels)).
    Raises ValueError for a ReducedHead, which is no part of ResNet-18, and for a net or a head in training mode.

    >>> net = resnet18("random")
    >>> network = full_network(net, FullHead(net))
    >>> network.fc.out_features, net.fc.out_features  # net is not changed
    (10, 1000)
    """
    if not isinstance(head, FullHead):
        raise ValueError(f"only a FullHead (N_f = 512) fits on ResNet-18's layer4, got {type(head).__name__}")
    _require_resnet18(net)
    require_evaluation(head, "head")
    network = copy.deepcopy(net)
    network.fc = copy.deepcopy(head.classifier)
    return network.eval().requires_grad_(False)


@torch.no_grad()
def predict(model, features, batch=256):
    """Logits of a head, or of a classifier on pooled maps: features (N, ...)  ->  (N, classes) float32 on the CPU.

    Raises ValueError for a model in training mode, no features, and logits that are not finite.

    >>> predict(nn.Linear(4, 10).eval(), torch.rand(7, 4), batch=3).shape
    torch.Size([7, 10])
    """
    require_evaluation(model, "model")
    parts = _features("features", features).split(require.whole("batch", batch, 1))
    logits = torch.cat([_logits(model, part).cpu() for part in parts])
    require.values("logits", logits, remedy=": check the features and the model's parameters")
    return logits


def _features(name, features):
    """Features (N, ...) as a tensor; ValueError for none, and for what is no array of real numbers."""
    features = dense(name, features, "...")
    if not features.ndim or not len(features):
        raise ValueError(f"{name} must be (N, ...) of at least one image, got {require.described(features)}")
    return features


def _logits(model, features, *tap):
    """What a model makes of features: (N, classes), on its device. ValueError for features that do not fit it."""
    device = next((value.device for value in model.parameters()), features.device)
    own = features.to(device, torch.float32, copy=True)  # a layer may work in place
    try:
        logits = model(own, *tap)
    except (ValueError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        why = str(error).partition("\n")[0]
        raise ValueError(f"features {tuple(features.shape)} do not fit {type(model).__name__}: {why}") from error
    require_logits(logits, len(features))
    return logits


def scorer(trunk, head, softmax=False):
    """The whole network as one function: pixels (B, 3, S, S) in [0, 1]  ->  logits or probabilities (B, classes).

    The result is on the pixels' device, wherever the network is. Raises ValueError for a trunk or a head in training
    mode, now or when it is called; the function for pixels outside [0, 1] and for logits that are not finite.

    >>> score = scorer(Trunk(resnet18("random")), ReducedHead(4, size=1), softmax=True)
    >>> torch.allclose(score(torch.rand(2, 3, 16, 16)).sum(1), torch.ones(2))
    True
    """
    require_kind("trunk", trunk, Trunk)
    require_evaluation(trunk, "trunk"), require_evaluation(head, "head")

    @torch.no_grad()
    def score(pixels):
        require_evaluation(head, "head")
        logits = _logits(head, trunk(pixels))
        require.values("logits", logits, remedy=": check the network's parameters")
        home = pixels.device if isinstance(pixels, torch.Tensor) else "cpu"
        return (two_classes(logits).softmax(1) if softmax else logits).to(home)

    return score


def score_all(trunk, head, pixels, desc="scores", batch=50):
    """Logits of many images in batches, with a progress bar: (N, 3, S, S)  ->  (N, classes) float32.

    Raises ValueError as `scorer`, and without images.

    >>> score_all(Trunk(resnet18("random")), ReducedHead(4, size=1), torch.rand(2, 3, 16, 16)).shape
    torch.Size([2, 10])
    """
    score, parts = scorer(trunk, head), _features("pixels", pixels).split(require.whole("batch", batch, 1))
    return torch.cat([score(part) for part in tqdm(parts, desc=desc, unit="batch")])


def accuracy(logits, labels):
    """Fraction of images whose largest logit is the label's: logits (N, classes), labels (N,)  ->  float.

    Raises ValueError for no images, other lengths, labels that are no classes, and logits that are not finite.

    >>> accuracy(torch.tensor([[2.0, 1.0], [0.0, 3.0]]), [0, 0])
    0.5
    """
    sizes = {}
    logits = two_classes(require.tensor("logits", logits, "N classes", sizes))
    if not len(logits):
        raise ValueError("there are no images to take the accuracy of")
    labels = torch.as_tensor(require.indices("labels", labels, "N", logits.shape[1], sizes))
    return float((logits.argmax(1).cpu() == labels).float().mean())


def train(model, features, labels, validation_features, validation_labels, epochs=20, learning_rate=1e-3,
          batch=64, seed=0, desc="training"):
    """Adam on the block and the classifier; the epoch with the best validation accuracy is kept (paper, Sec. IV.3).

    model: a ReducedHead on trunk features (N, 256, s, s), or a FullHead's classifier on its `pooled` maps (N, 512).
    labels: (N,)  ->  list of dicts, one an epoch: epoch, loss, validation_accuracy.
    The model is left in eval mode with the parameters of the best epoch (the earliest of equals), on its own device;
    called again, it trains on from there, with a new optimiser.
    Raises ValueError for a frozen model, features or labels that do not fit or are not finite, no validation images,
    and settings that are no positive numbers; for a loss that is not finite, where the best epoch so far is kept.

    >>> features, labels = torch.eye(4), [0, 1, 0, 1]
    >>> history = train(nn.Linear(4, 2), features, labels, features, labels, epochs=9, learning_rate=0.5)
    >>> len(history), history[-1]["epoch"], history[-1]["validation_accuracy"]
    (9, 9, 1.0)
    """
    epochs, batch = require.whole("epochs", epochs, 1), require.whole("batch", batch, 1)
    learning_rate = require.number("learning_rate", learning_rate, "(0, inf)")
    features, labels = _training_set(model, "", features, labels)
    validation_features, validation_labels = _training_set(model, "validation_", validation_features, validation_labels)
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(require.whole("seed", seed))
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate)
    history, best, best_state = [], -1.0, copy.deepcopy(model.state_dict())
    try:
        for epoch in tqdm(range(1, epochs + 1), desc=desc, unit="epoch"):
            model.train()
            total = 0.0
            for index in torch.randperm(len(labels), generator=generator).split(batch):
                loss = F.cross_entropy(model(features[index].to(device).float()), labels[index].to(device))
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total += float(loss.detach()) * len(index)
            require.number(f"the loss of epoch {epoch}, with a learning_rate of {learning_rate:g},", total)
            model.eval()
            score = accuracy(predict(model, validation_features), validation_labels)
            history.append({"epoch": epoch, "loss": total / len(labels), "validation_accuracy": score})
            if score > best:
                best, best_state = score, {k: v.detach().cpu().clone() for k, v in model.state_dict().items()}
    finally:
        model.load_state_dict(best_state)
        model.eval()
    return history


def _training_set(model, kind, features, labels):
    """Features and labels to train a model on or to validate it with. Raises ValueError for what does not fit."""
    require_kind("model", model, nn.Module)
    if isinstance(model, FullHead):
        raise ValueError("of a FullHead only the classifier is trained: give head.classifier and its `pooled` maps")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError("the model is frozen: call model.requires_grad_() to train it")
    features = _features(f"{kind}features", features)
    require.values(f"{kind}features", features, remedy=": check the images and the trunk")
    with torch.no_grad():
        outputs = _logits(copy.deepcopy(model).eval(), features[:1]).shape[1]  # the copy's statistics may change
    if outputs < 2:
        raise ValueError("the model has one logit: give it one for each class")
    return features, torch.as_tensor(require.indices(f"{kind}labels", labels, "N", outputs, {"N": len(features)}))


@torch.no_grad()
def pooled(head, features, batch=64):
    """Globally averaged layer4 maps of a FullHead: (N, 256, s, s)  ->  (N, 512) float32.

    Raises ValueError for another head, one in training mode, and features that do not fit or are not finite.

    >>> pooled(FullHead(resnet18("random")), torch.rand(2, 256, 2, 2)).shape
    torch.Size([2, 512])
    """
    held = []

    def tap(name, maps):
        if name == head.stages[-1]:
            held.append(maps.mean((2, 3)).cpu())
        return maps

    if not isinstance(head, FullHead):
        raise ValueError(f"only a FullHead (N_f = 512) has pooled maps, got {type(head).__name__}")
    require_evaluation(head, "head")
    parts = _features("features", features).split(require.whole("batch", batch, 1))
    for part in tqdm(parts, desc="layer4", unit="batch"):
        _logits(head, part, tap)
    maps = torch.cat(held)
    require.values("pooled maps", maps, remedy=": check the features and layer4")
    return maps


def fingerprint(module):
    """Short SHA-256 of a network's parameters, to say in an artefact which weights made it.

    Raises ValueError for what is no torch.nn.Module.

    >>> layer = nn.Linear(2, 2)
    >>> before = fingerprint(layer)
    >>> layer.bias.data += 1e-3
    >>> len(before), fingerprint(layer) == before
    (16, False)
    """
    digest = hashlib.sha256()
    for name, value in sorted(_parameters(module), key=lambda of: of[0]):
        digest.update(name.encode() + value.tobytes())
    return digest.hexdigest()[:16]
