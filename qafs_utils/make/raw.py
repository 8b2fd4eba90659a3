"""Fetch the raw inputs, which are not committed: STL-10 and the ImageNet weights."""

from ..cnn.datasets import RAW, stl10
from ..cnn.pretrained import resnet18, weights_path


def fetch_weights() -> None:
    """Download the ImageNet weights (45 MB) where they are absent, and verify them.

    >>> fetch_weights()  # doctest: +SKIP
    """
    resnet18()
    print(f"{weights_path()}: loads")


def fetch() -> None:
    """Download STL-10 (2.6 GB) and the ImageNet weights where they are absent, and verify them.

    >>> fetch()  # doctest: +SKIP
    """
    for split in ("train", "test"):
        print(f"{RAW}: {split} {stl10(split)[0].shape} verified")
    fetch_weights()
