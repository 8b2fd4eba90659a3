"""The second data set: photographs of ImageNet and EfficientNet-Lite0, where they are there; what is said where not."""

import importlib.util
import sys

import numpy as np
import pytest
import torch

from qafs_utils.cnn import datasets, imagenet

have_lite = importlib.util.find_spec("efficientnet_lite_pytorch") is not None
needs_lite = pytest.mark.skipif(not have_lite, reason="no EfficientNet-Lite0: pip install 'qafs[imagenet]'")
have_photographs = all((datasets.RAW / "imagenet" / name).exists() for name in imagenet.samples())
needs_photographs = pytest.mark.skipif(not have_photographs, reason="no ImageNet photographs in data/raw/imagenet")


def test_the_samples_are_of_different_classes():
    known = imagenet.samples()
    classes = [row["class_index"] for row in known.values()]
    assert len(known) == 256 and sorted(set(classes)) == classes and 0 <= classes[0] <= classes[-1] < imagenet.CLASSES
    assert all(len(row["sha256"]) == 64 and name.endswith(".JPEG") for name, row in known.items())


def test_absent_photographs_are_asked_for_by_name(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)  # as without the package, and without a network
    with pytest.raises(datasets.DataError, match="256 of 256 ImageNet photographs are not in .*copy the files"):
        imagenet.photographs(tmp_path)


def test_a_damaged_photograph_is_named(tmp_path):
    (tmp_path / next(iter(imagenet.samples()))).write_bytes(b"no photograph")
    with pytest.raises(datasets.DataError, match="n01440764_tench.JPEG is damaged .* delete it"):
        imagenet.fetch(tmp_path)


@pytest.mark.parametrize("height, width", [(300, 500), (500, 300), (200, 240)])
def test_a_photograph_is_cut_out_of_the_middle(height, width):
    """A picture of one ramp: its middle stays in the middle, at the scale of the shorter side."""
    ramp = np.broadcast_to(np.linspace(0, 200, width, dtype=np.uint8), (3, height, width))
    cut = imagenet._cropped(ramp)
    assert cut.shape == (3, imagenet.SIZE, imagenet.SIZE) and cut.dtype == np.uint8
    slope = 200 / width * min(height, width) / imagenet.RESIZED
    middle = cut[0, 112].astype(float)
    assert abs(middle[112] - 100) < 2 and middle[-20] - middle[20] == pytest.approx(184 * slope, abs=3)


@needs_photographs
def test_photographs_are_those_of_the_list():
    images, classes = imagenet.photographs()
    assert images.shape == (256, 3, 224, 224) and images.dtype == np.uint8
    assert classes.tolist() == [row["class_index"] for row in imagenet.samples().values()]


def test_without_its_package_the_network_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(datasets.DataError, match="EfficientNet-Lite0 is not installed.*pip install"):
        imagenet.efficientnet_lite0("random")
    with pytest.raises(ValueError, match="weights"):
        imagenet.efficientnet_lite0("of mine")


@needs_lite
def test_the_maps_of_efficientnet_are_averaged_before_its_classifier():
    network = imagenet.efficientnet_lite0("random")
    held = []
    network.maps.register_forward_hook(lambda _, __, maps: held.append(maps))
    logits = network(torch.randn(2, 3, 224, 224))
    assert held[0].shape == (2, 1280, 7, 7) and 0 <= held[0].min() and held[0].max() <= 6
    assert torch.allclose(network.classifier(held[0].mean((2, 3))), logits, atol=1e-5)


@needs_lite
@needs_photographs
def test_efficientnet_knows_the_photographs():
    images, classes = imagenet.photographs()
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in imagenet.NORMALISED["lite"])
    said = imagenet.efficientnet_lite0()(((torch.as_tensor(images[:16]).float() / 255) - mean) / std).argmax(1)
    assert (said.numpy() == classes[:16]).mean() >= 0.8
