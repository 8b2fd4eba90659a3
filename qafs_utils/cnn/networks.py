"""The frozen ImageNet trunk, and the heads that end in the feature maps to be selected."""

import copy
from collections import OrderedDict

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from tqdm import tqdm

from .. import require
from ..conventions import HEADLINE
from .preprocessing import require_photographs, require_pixels, to_pixels
from .tensors import require_evaluation, require_kind

NORMALISATIONS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # what the ImageNet weights were trained with
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),  # the authors' code
}
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}


def _require_resnet18(net):
    """Raise ValueError unless a network is a ResNet-18 in eval mode, of single precision, that sees three colours."""
    blocks = [type(block).__name__ for i in range(1, 5) for block in getattr(net, f"layer{i}", ())]
    if blocks != ["BasicBlock"] * 8:
        raise ValueError(f"net must be a ResNet-18, as pretrained.resnet18 gives it, got {type(net).__name__}")
    require_evaluation(net, "net")
    channels, kinds = net.conv1.weight.shape[1], {str(p.dtype) for p in net.parameters()}
    if channels != 3 or kinds != {"torch.float32"}:
        got = f"got one of {channels} and {', '.join(sorted(kinds))}"
        raise ValueError(f"net must be a ResNet-18 of three colours and torch.float32, {got}: call net.float()")


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

    >>> from qafs_utils.cnn.pretrained import resnet18
    >>> Trunk(resnet18("random"))(torch.rand(1, 3, 32, 32)).shape
    torch.Size([1, 256, 2, 2])
    """

    def __init__(self, net: nn.Module, normalisation: str = HEADLINE.normalisation, precision: str = "float32"):
        super().__init__()
        _require_resnet18(net)
        require.choice("normalisation", normalisation, NORMALISATIONS)
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in NORMALISATIONS[normalisation])
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        layers = net.conv1, net.bn1, net.relu, net.maxpool, net.layer1, net.layer2, net.layer3
        self.layers = nn.Sequential(*layers).to(memory_format=torch.channels_last)
        self.dtype = PRECISIONS[require.choice("precision", precision, PRECISIONS)]
        self.eval()

    def _reduced(self, device):
        """The context in which the layers run in `self.dtype`."""
        multiplies = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        if self.dtype is not None and device.type == "cpu" and not multiplies:
            return _Rounded()  # PyTorch's own way there takes six times as long as float32
        return torch.autocast(device.type, self.dtype, enabled=self.dtype is not None)

    @torch.no_grad()
    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """pixels (B, 3, S, S) in [0, 1]  ->  features (B, 256, S/16, S/16) float32."""
        require_evaluation(self, "trunk")
        own = {} if self.mean.any() else {"interval": "[-10, 10]"}  # without a mean, the caller may have subtracted it
        return self._layers_of(require_pixels("pixels", pixels, {"C": 3}, **own).to(self.mean))

    def _layers_of(self, pixels):
        """What the layers make of pixels, in the mode in which they are."""
        x = ((pixels - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        with self._reduced(x.device):
            features = self.layers(x).float()
        require.values("features", features, remedy=": check the trunk's weights")
        return features


def trunk_features(trunk: Trunk, images, size: int = 224, *, batch: int = 64, desc: str = "trunk") -> torch.Tensor:
    """Trunk outputs of uint8 images, computed once and held in half precision.

    images: (N, 3, h, w) uint8, at least one  ->  (N, 256, size/16, size/16) float16 tensor on the CPU.
    Raises ValueError for another trunk, images of another type or shape, and features not finite in half precision.

    >>> from qafs_utils.cnn.pretrained import resnet18
    >>> trunk_features(Trunk(resnet18("random")), torch.zeros(3, 3, 8, 8, dtype=torch.uint8), size=16).shape
    torch.Size([3, 256, 1, 1])
    """
    require_kind("trunk", trunk, Trunk)
    return _in_batches(trunk, trunk.mean.device, images, size, batch, desc)


def training_mode_features(
    trunk: Trunk, images, size: int = 224, *, epochs: int = 20, batch: int = 64, desc: str = "trunk, training mode"
) -> tuple[torch.Tensor, Trunk]:
    """What a frozen trunk gives while it is in training mode, and the trunk in eval mode as these epochs leave it.

    In training mode BatchNorm normalises by the mean and the variance of the batch, which also enter its running
    statistics: r becomes (1 - m) r + m x, m = 0.1. Images that come in the same batches in each epoch give the same
    features in each. So one pass is enough, and nothing is approximated: b batches make a^b r + S of r, with
    a = 1 - m, and `epochs` such epochs add up to a geometric series. The running statistics do not enter the features.

    images: (N, 3, h, w) uint8 in the order of training, the last batch may be smaller
    ->  features (N, 256, size/16, size/16) float16 of every epoch, and a copy of the trunk after the last one.
    Raises ValueError as `trunk_features`, and for a batch of a single value a channel, which has no variance.

    >>> from qafs_utils.cnn.pretrained import resnet18
    >>> trunk, images = Trunk(resnet18("random")), torch.arange(3 * 3 * 64).reshape(3, 3, 8, 8).byte()
    >>> features, drifted = training_mode_features(trunk, images, size=32, epochs=2)
    >>> torch.allclose(features.float(), trunk_features(drifted, images, size=32).float())
    False
    """
    require_kind("trunk", trunk, Trunk)
    require_evaluation(trunk, "trunk")
    epochs, trunk = require.whole("epochs", epochs, 1), copy.deepcopy(trunk)
    norms = [layer for layer in trunk.layers.modules() if isinstance(layer, nn.BatchNorm2d)]
    before = [[value.clone() for value in norm.buffers()] for norm in norms]
    trunk.layers.train()
    with torch.no_grad():
        features = _in_batches(trunk._layers_of, trunk.mean.device, images, size, batch, desc)
    for norm, (*old, count) in zip(norms, before):
        batches = int(norm.num_batches_tracked - count)
        kept = (1 - norm.momentum) ** batches  # of what was there before an epoch
        for first, last in zip(old, (norm.running_mean, norm.running_var)):
            drifted = first.double() + (last.double() - first) * (1 - kept**epochs) / (1 - kept)
            last.copy_(drifted)
        norm.num_batches_tracked.copy_(count + batches * epochs)
    return features, trunk.eval()


def _in_batches(function, device, images, size, batch, desc):
    """What a function of pixels makes of uint8 images, batch by batch: a float16 tensor on the CPU."""
    images, batch, features = require_photographs(images), require.whole("batch", batch, 1), None
    if not len(images):
        raise ValueError("there are no images for the trunk")
    for start in tqdm(range(0, len(images), batch), desc=desc, unit="batch"):
        part = function(to_pixels(images[start : start + batch], size, device)).half().cpu()
        if features is None:
            features = torch.empty((len(images), *part.shape[1:]), dtype=torch.float16)  # once: it can be a gigabyte
        features[start : start + len(part)] = part
    require.values("features", features, remedy=": check the trunk's weights")
    return features


class ReducedHead(nn.Module):
    """New block with n_features maps and a linear classifier on the flattened maps (paper, Sec. IV.2), in eval mode.

    forward: features (B, 256, s, s)  ->  logits (B, classes). Every stage is offered to `tap(name, maps)`, which may
    return a replacement: the project's way to read or differentiate the maps.
    block: "paper" (conv, BatchNorm, ReLU) or "authors_code" (conv, ReLU, BatchNorm).
    Raises ValueError for another block, fewer than one map, pixel or class, and more than 2^31 weights.

    >>> head = ReducedHead(16, size=2)
    >>> head(torch.rand(5, 256, 2, 2), tap=lambda name, maps: print(name, maps.shape[1:]) or maps).shape
    conv torch.Size([16, 2, 2])
    bn torch.Size([16, 2, 2])
    relu torch.Size([16, 2, 2])
    torch.Size([5, 10])
    """

    BLOCKS = {"paper": ("conv", "bn", "relu"), "authors_code": ("conv", "relu", "bn")}

    def __init__(self, n_features: int, block: str = HEADLINE.block, size: int = 14, n_classes: int = 10):
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

    def forward(self, features, tap=lambda name, maps: maps) -> torch.Tensor:
        """features (B, 256, s, s), tap(name, maps) -> maps  ->  logits (B, classes)."""
        for name in self.stages:
            features = tap(name, getattr(self.block, name)(features))
        return self.classifier(features.flatten(1))


class FullHead(nn.Module):
    """ResNet-18's frozen layer4 (512 maps), global average pooling and a new linear classifier, in eval mode.

    forward: as ReducedHead; stages "conv", "bn", "relu" are those of the last residual block (ReLU after the sum).
    Raises ValueError unless net is a ResNet-18 in eval mode.

    >>> from qafs_utils.cnn.pretrained import resnet18
    >>> FullHead(resnet18("random"))(torch.rand(2, 256, 2, 2)).shape
    torch.Size([2, 10])
    """

    stages = ("conv", "bn", "relu")

    def __init__(self, net: nn.Module, n_classes: int = 10):
        super().__init__()
        _require_resnet18(net)
        self.layer4 = net.layer4
        self.classifier = nn.Linear(512, require.whole("n_classes", n_classes, 1))
        self.eval()

    def forward(self, features, tap=lambda name, maps: maps) -> torch.Tensor:
        """features (B, 256, s, s), tap(name, maps) -> maps  ->  logits (B, classes)."""
        shortcut = self.layer4[0](features)
        last = self.layer4[1]
        maps = F.relu(last.bn1(last.conv1(shortcut)))
        maps = tap("conv", last.conv2(maps))
        maps = tap("bn", last.bn2(maps))
        maps = tap("relu", F.relu(maps + shortcut))
        return self.classifier(maps.mean((2, 3)))


def build_head(n_features: int, block: str, net: nn.Module | None, size: int = 14, seed: int = 0) -> nn.Module:
    """The head for n_features maps: ReducedHead, or FullHead for 512, with a seeded initialisation, in eval mode.

    net: `resnet18`, used for 512 maps only. Raises ValueError as `ReducedHead` and `FullHead`.

    >>> build_head(16, "authors_code", net=None, size=2).stages  # N_f below 512 needs no net
    ('conv', 'relu', 'bn')
    """
    n_features = require.whole("n_features", n_features, 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(require.whole("seed", seed))
        return FullHead(net) if n_features == 512 else ReducedHead(n_features, block, size)


def full_network(net: nn.Module, head: FullHead) -> nn.Module:
    """The ResNet-18 under a trained FullHead, with torchvision's layer names: a copy of net whose fc is the classifier.

    forward: (pixels - trunk.mean) / trunk.std, (B, 3, S, S)  ->  logits (B, classes), those of head(trunk(pixels)).
    Raises ValueError for a ReducedHead, which is no part of ResNet-18, and for a net or a head in training mode.

    >>> from qafs_utils.cnn.pretrained import resnet18
    >>> net = resnet18("random")
    >>> full_network(net, FullHead(net)).fc.out_features
    10
    """
    if not isinstance(head, FullHead):
        raise ValueError(f"only a FullHead (N_f = 512) fits on ResNet-18's layer4, got {type(head).__name__}")
    _require_resnet18(net)
    require_evaluation(head, "head")
    network = copy.deepcopy(net)
    network.fc = copy.deepcopy(head.classifier)
    return network.eval().requires_grad_(False)
