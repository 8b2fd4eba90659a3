"""Networks, and the pixels they take: the frozen ImageNet trunk, heads that end in the feature maps to be selected."""

import copy
import hashlib
import os
import re
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from tqdm import tqdm

from .data import DataError
from .run import sha256

NORMALISATIONS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # what the ImageNet weights were trained with
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),  # the authors' code
}
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}
WEIGHTS_SHA256 = ("f37072fd", "6bc85e43")  # torchvision's file; the copy behind the committed results (data/README.md)
COPY = "ca18e53c48b8c90d"  # `fingerprint` of that copy's trunk, which is torchvision's to about 1e-5
IMAGENET_NORMS = (  # of its convolutions, in their order
    12.5794, 10.2693, 8.6800, 9.7712, 8.4467, 11.2979, 13.0695, 6.3956, 13.1345, 11.5499, 15.7919, 19.2447, 5.9734,
    17.2205, 15.9132,
)  # fmt: skip


def pick_device(device="auto"):
    """The torch.device of that name; "auto" is the GPU when there is one, else the CPU. RuntimeError for other names.

    >>> pick_device("cpu")
    device(type='cpu')
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


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
    name of weights.

    >>> net = resnet18("random", seed=3)
    >>> net.training, torch.equal(net.conv1.weight, resnet18("random", seed=3).conv1.weight)
    (False, True)
    """
    import torchvision

    if weights == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return torchvision.models.resnet18(weights=None).eval().requires_grad_(False)
    if weights != "imagenet":
        raise ValueError(f"unknown weights {weights!r}: choose 'imagenet' or 'random'")
    path = weights_path()
    if path.exists() and not sha256(path).startswith(WEIGHTS_SHA256):
        raise DataError(f"{path} is truncated or corrupt (unknown SHA-256). Delete it and run `make data`.")
    try:
        net = torchvision.models.resnet18(weights="IMAGENET1K_V1", progress=False)
    except Exception as error:  # of many kinds: URLError, http.client's, torch.hub's RuntimeError for a wrong hash
        raise DataError(
            f"the ImageNet weights are not at {path} and could not be downloaded: {error}. With a network run "
            f"`make data`; without, copy {path.name} there or set TORCH_HOME."
        ) from error
    return net.eval().requires_grad_(False)


def checksums(weights):
    """{file: SHA-256} of the weights that `resnet18` reads by that name; none for random ones.

    >>> checksums("random")
    {}
    """
    return {weights_path().name: sha256(weights_path())} if weights == "imagenet" else {}


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
    Raises ValueError for an unknown normalisation or precision.

    >>> Trunk(resnet18("random"))(torch.rand(1, 3, 32, 32)).shape
    torch.Size([1, 256, 2, 2])
    """

    def __init__(self, net, normalisation="imagenet", precision="float32"):
        super().__init__()
        if normalisation not in NORMALISATIONS:
            raise ValueError(f"unknown normalisation {normalisation!r}: choose from {sorted(NORMALISATIONS)}")
        if precision not in PRECISIONS:
            raise ValueError(f"unknown precision {precision!r}: choose from {sorted(PRECISIONS)}")
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in NORMALISATIONS[normalisation])
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.layers = nn.Sequential(
            net.conv1, net.bn1, net.relu, net.maxpool, net.layer1, net.layer2, net.layer3
        ).to(memory_format=torch.channels_last)
        self.dtype = PRECISIONS[precision]

    def _reduced(self, device):
        """The context in which the layers run in `self.dtype`."""
        multiplies = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        if self.dtype is not None and device.type == "cpu" and not multiplies:
            return _Rounded()  # PyTorch's own way there takes six times as long as float32
        return torch.autocast(device.type, self.dtype, enabled=self.dtype is not None)

    @torch.no_grad()
    def forward(self, pixels):
        """pixels (B, 3, S, S) in [0, 1]  ->  features (B, 256, S/16, S/16) float32."""
        x = ((pixels - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        with self._reduced(x.device):
            return self.layers(x).float()


def to_pixels(images, size=224, device="cpu"):
    """uint8 (B, 3, h, w) to float pixels in [0, 1], upsampled bilinearly to (B, 3, size, size).

    >>> to_pixels(np.array([[[[0, 255]]]], np.uint8), size=2)
    tensor([[[[0., 1.],
              [0., 1.]]]])
    """
    pixels = torch.as_tensor(images, device=device).float() / 255
    return F.interpolate(pixels, size=(size, size), mode="bilinear", align_corners=False)


def trunk_features(trunk, images, size=224, batch=64, desc="trunk"):
    """Trunk outputs of uint8 images, computed once and held in half precision.

    images: (N, 3, h, w) uint8  ->  (N, 256, size/16, size/16) float16 tensor on the CPU.

    >>> features = trunk_features(Trunk(resnet18("random")), np.zeros((3, 3, 8, 8), np.uint8), size=16)
    >>> features.shape, features.dtype
    (torch.Size([3, 256, 1, 1]), torch.float16)
    """
    device = trunk.mean.device
    out = None
    for start in tqdm(range(0, len(images), batch), desc=desc, unit="batch"):
        part = trunk(to_pixels(images[start : start + batch], size, device)).half().cpu()
        if out is None:
            out = torch.empty((len(images), *part.shape[1:]), dtype=torch.float16)
        out[start : start + len(part)] = part
    return out


class ReducedHead(nn.Module):
    """New block with n_features maps and a linear classifier on the flattened maps (paper, Sec. IV.2).

    forward: features (B, 256, s, s)  ->  logits (B, classes). Every stage is offered to `tap(name, maps)`, which may
    return a replacement: the project's way to read or differentiate the maps.
    block: "paper" (conv, BatchNorm, ReLU) or "authors_code" (conv, ReLU, BatchNorm). Raises ValueError for another.

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
        if block not in self.BLOCKS:
            raise ValueError(f"unknown block {block!r}: choose from {sorted(self.BLOCKS)}")
        layers = {"conv": nn.Conv2d(256, n_features, 3, padding=1), "bn": nn.BatchNorm2d(n_features), "relu": nn.ReLU()}
        self.stages = self.BLOCKS[block]
        self.block = nn.Sequential(OrderedDict((name, layers[name]) for name in self.stages))
        self.classifier = nn.Linear(n_features * size**2, n_classes)

    def forward(self, features, tap=lambda name, maps: maps):
        """features (B, 256, s, s), tap(name, maps) -> maps  ->  logits (B, classes)."""
        for name in self.stages:
            features = tap(name, getattr(self.block, name)(features))
        return self.classifier(features.flatten(1))


class FullHead(nn.Module):
    """ResNet-18's frozen layer4 (512 maps), global average pooling and a new linear classifier.

    forward: as ReducedHead; stages "conv", "bn", "relu" are those of the last residual block (ReLU after the sum).

    >>> FullHead(resnet18("random"))(torch.rand(2, 256, 2, 2)).shape
    torch.Size([2, 10])
    """

    stages = ("conv", "bn", "relu")

    def __init__(self, net, n_classes=10):
        super().__init__()
        self.layer4 = net.layer4
        self.classifier = nn.Linear(512, n_classes)

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

    net: `resnet18`, used for 512 maps only. Raises ValueError for an unknown block.

    >>> build_head(16, "authors_code", net=None, size=2).stages  # N_f below 512 needs no net
    ('conv', 'relu', 'bn')
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FullHead(net) if n_features == 512 else ReducedHead(n_features, block, size)


def head_arrays(head):
    """The trained parameters of a head as a flat dict of arrays; the frozen ImageNet layer4 is left out.

    >>> sorted(head_arrays(ReducedHead(16, size=2)))[-2:]
    ['classifier.bias', 'classifier.weight']
    """
    return {k: v.cpu().numpy() for k, v in head.state_dict().items() if not k.startswith("layer4.")}


def load_head(head, arrays):
    """Put arrays of `head_arrays` back. Raises ValueError if names or shapes do not fit the head.

    >>> trained, head = ReducedHead(16, size=2), ReducedHead(16, size=2)
    >>> torch.equal(load_head(head, head_arrays(trained)).classifier.weight, trained.classifier.weight)
    True
    """
    state = {k: torch.as_tensor(np.array(v)) for k, v in arrays.items()}
    frozen = {k: v for k, v in head.state_dict().items() if k.startswith("layer4.")}
    try:
        head.load_state_dict(state | frozen)
    except RuntimeError as error:
        raise ValueError(f"these trained parameters do not fit {type(head).__name__}: {error}") from error
    return head.eval().requires_grad_(False)


def require_trunk(trunk, saved):
    """Raise DataError unless the trunk has the weights that the heads of artefact 01_heads were trained on.

    Heads trained on the copy behind the committed results (`COPY`) go with torchvision's own weights, too.

    >>> layer = nn.Linear(2, 2)
    >>> require_trunk(layer, {"weights": fingerprint(layer)})
    """
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
    arrays = {key.partition("/")[2]: value for key, value in saved.items() if key.startswith(f"{name}/")}
    match = re.fullmatch(r"nf(\d+)_(\w+)_seed\d+", name)
    if not arrays or not match:
        raise ValueError(f"no trained head {name!r}; there are {sorted({k.split('/')[0] for k in saved if '/' in k})}")
    n_features, block = match.groups()
    return load_head(build_head(int(n_features), block, net, size), arrays)


def full_network(net, head):
    """The ResNet-18 under a trained FullHead, with torchvision's layer names: a copy of net whose fc is the classifier.

    forward: (pixels - trunk.mean) / trunk.std, (B, 3, S, S)  ->  logits (B, classes), those of head(trunk(pixels)).
    Raises ValueError for a ReducedHead, which is no part of ResNet-18.

    >>> net = resnet18("random")
    >>> network = full_network(net, FullHead(net))
    >>> network.fc.out_features, net.fc.out_features  # net is not changed
    (10, 1000)
    """
    if not isinstance(head, FullHead):
        raise ValueError(f"only a FullHead (N_f = 512) fits on ResNet-18's layer4, got {type(head).__name__}")
    network = copy.deepcopy(net)
    network.fc = copy.deepcopy(head.classifier)
    return network.eval().requires_grad_(False)


@torch.no_grad()
def predict(model, features, batch=256):
    """Logits of a head, or of a classifier on pooled maps: features (N, ...)  ->  (N, classes) float32 on the CPU.

    >>> predict(nn.Linear(4, 10), torch.rand(7, 4), batch=3).shape
    torch.Size([7, 10])
    """
    model.eval()
    device = next(model.parameters()).device
    return torch.cat([model(f.to(device).float()).cpu() for f in features.split(batch)])


def scorer(trunk, head, softmax=False):
    """The whole network as one function: pixels (B, 3, S, S) in [0, 1]  ->  logits or probabilities (B, classes).

    The result is on the pixels' device, wherever the network is.

    >>> score = scorer(Trunk(resnet18("random")), ReducedHead(4, size=1).eval(), softmax=True)
    >>> torch.allclose(score(torch.rand(2, 3, 16, 16)).sum(1), torch.ones(2))
    True
    """
    device = trunk.mean.device

    @torch.no_grad()
    def score(pixels):
        logits = head(trunk(pixels.to(device)))
        return (logits.softmax(1) if softmax else logits).to(pixels.device)

    return score


def score_all(trunk, head, pixels, desc="scores", batch=50):
    """Logits of many images in batches, with a progress bar: (N, 3, S, S)  ->  (N, classes) float32.

    >>> score_all(Trunk(resnet18("random")), ReducedHead(4, size=1).eval(), torch.rand(2, 3, 16, 16)).shape
    torch.Size([2, 10])
    """
    score = scorer(trunk, head)
    return torch.cat([score(part) for part in tqdm(pixels.split(batch), desc=desc, unit="batch", leave=False)])


def accuracy(logits, labels):
    """Fraction of images whose largest logit is the label's: logits (N, classes), labels (N,)  ->  float.

    >>> accuracy(torch.tensor([[2.0, 1.0], [0.0, 3.0]]), [0, 0])
    0.5
    """
    return float((logits.argmax(1) == torch.as_tensor(labels)).float().mean())


def train(model, features, labels, validation_features, validation_labels, epochs=20, learning_rate=1e-3,
          batch=64, seed=0, desc="training"):
    """Adam on the block and the classifier; the epoch with the best validation accuracy is kept (paper, Sec. IV.3).

    model: a ReducedHead on trunk features (N, 256, s, s), or a FullHead's classifier on its `pooled` maps (N, 512).
    labels: (N,)  ->  list of dicts, one an epoch: epoch, loss, validation_accuracy.
    The model is left in eval mode with the parameters of the best epoch (the earliest of equals), on its own device.
    Raises ValueError for fewer than one epoch.

    >>> features, labels = torch.eye(4), [0, 1, 0, 1]
    >>> history = train(nn.Linear(4, 2), features, labels, features, labels, epochs=9, learning_rate=0.5)
    >>> len(history), history[-1]["epoch"], history[-1]["validation_accuracy"]
    (9, 9, 1.0)
    """
    if epochs < 1:
        raise ValueError(f"training takes at least one epoch, got {epochs}")
    device = next(model.parameters()).device
    labels, generator = torch.as_tensor(labels), torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate)
    history, best, best_state = [], -1.0, None
    for epoch in tqdm(range(1, epochs + 1), desc=desc, unit="epoch"):
        model.train()
        total = 0.0
        for index in torch.randperm(len(labels), generator=generator).split(batch):
            loss = F.cross_entropy(model(features[index].to(device).float()), labels[index].to(device))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += float(loss.detach()) * len(index)
        score = accuracy(predict(model, validation_features), validation_labels)
        history.append({"epoch": epoch, "loss": total / len(labels), "validation_accuracy": score})
        if score > best:
            best, best_state = score, {k: v.detach().cpu().clone() for k, v in model.state_dict().items()}
    model.load_state_dict(best_state)
    model.eval().requires_grad_(False)
    return history


@torch.no_grad()
def pooled(head, features, batch=64):
    """Globally averaged layer4 maps of a FullHead: (N, 256, s, s)  ->  (N, 512) float32.

    >>> pooled(FullHead(resnet18("random")), torch.rand(2, 256, 2, 2)).shape
    torch.Size([2, 512])
    """
    held = []

    def tap(name, maps):
        if name == head.stages[-1]:
            held.append(maps.mean((2, 3)).cpu())
        return maps

    head.eval()
    device = head.classifier.weight.device
    for part in tqdm(features.split(batch), desc="layer4", unit="batch"):
        head(part.to(device).float(), tap)
    return torch.cat(held)


def fingerprint(module):
    """Short SHA-256 of a network's parameters, to say in an artefact which weights made it.

    >>> layer = nn.Linear(2, 2)
    >>> before = fingerprint(layer)
    >>> layer.bias.data += 1e-3
    >>> len(before), fingerprint(layer) == before
    (16, False)
    """
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode() + value.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
