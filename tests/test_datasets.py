"""Images: real STL-10 when it is there, the synthetic set, splits, and damaged or absent inputs."""

import shutil
import socket

import numpy as np
import pytest
import torch

from qafs_utils.cnn import datasets, pretrained

try:
    have_stl10 = not datasets.verify_stl10()
except datasets.DataError:
    have_stl10 = False
needs_stl10 = pytest.mark.skipif(not have_stl10, reason="STL-10 is not in data/raw: run `make data`")
needs_weights = pytest.mark.skipif(
    not pretrained.weights_path().exists(), reason="no ImageNet weights: run `make data`"
)


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise OSError("network is unreachable")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


@needs_stl10
def test_stl10_is_the_official_labelled_set():
    for split, n in (("train", 5000), ("test", 8000)):
        images, labels = datasets.stl10(split)
        assert images.shape == (n, 3, 96, 96) and images.dtype == np.uint8
        assert np.bincount(labels).tolist() == [n // 10] * 10


@needs_stl10
@pytest.mark.parametrize("damage", ["truncate", "flip"])
def test_a_damaged_file_is_named_with_the_remedy(tmp_path, damage):
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    for name, _ in datasets._labelled_stl10().train_list + datasets._labelled_stl10().test_list:
        shutil.copy(datasets.RAW / "stl10_binary" / name, folder)
    victim = folder / "train_y.bin"
    content = bytearray(victim.read_bytes())
    if damage == "truncate":
        content = content[:100]
    else:
        content[7] ^= 3
    victim.write_bytes(content)
    with pytest.raises(datasets.DataError, match=r"train_y.bin is truncated or corrupt.*make data"):
        datasets.stl10("train", tmp_path)


def test_absent_images_without_a_network(tmp_path, no_network):
    with pytest.raises(datasets.DataError, match=r"train_X.bin.*could not be downloaded.*make data"):
        datasets.stl10("train", tmp_path)


def test_absent_weights_without_a_network(tmp_path, no_network, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(datasets.DataError, match=r"could not be downloaded.*TORCH_HOME"):
        pretrained.resnet18()


@pytest.mark.parametrize("damage", ["empty", "another network", "one bit"])
def test_damaged_weights(tmp_path, monkeypatch, damage):
    good = pretrained.weights_path()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = pretrained.weights_path()
    path.parent.mkdir(parents=True)
    if damage == "empty":
        path.touch()
    elif damage == "another network":
        torch.save(pretrained.resnet18("random").state_dict(), path)
    elif not good.exists():
        pytest.skip("no ImageNet weights: run `make data`")
    else:
        content = bytearray(good.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    with pytest.raises(datasets.DataError, match=r"resnet18.*truncated or corrupt.*qafs_utils weights"):
        pretrained.resnet18()


@needs_weights
def test_imagenet_weights_load():
    assert sum(p.numel() for p in pretrained.resnet18().parameters()) == 11_689_512


def test_synthetic_set_is_seeded_and_balanced():
    images, labels = datasets.synthetic(3, seed=1)
    again, _ = datasets.synthetic(3, seed=1)
    other, _ = datasets.synthetic(3, seed=2)
    assert images.shape == (30, 3, 96, 96) and np.bincount(labels).tolist() == [3] * 10
    assert np.array_equal(images, again) and not np.array_equal(images, other)


def test_unknown_image_set():
    with pytest.raises(ValueError, match="unknown image set 'cifar'"):
        datasets.load_images("cifar", "train")
    with pytest.raises(ValueError, match="unknown split 'validation': choose from train, test"):
        datasets.load_images("synthetic", "validation")


def test_stratified_split():
    labels = np.repeat(np.arange(10), 50)
    kept, held_out = datasets.stratified_split(labels, 0.1, seed=0)
    assert np.bincount(labels[held_out]).tolist() == [5] * 10
    assert sorted([*kept, *held_out]) == list(range(500))
    assert not np.array_equal(held_out, datasets.stratified_split(labels, 0.1, seed=1)[1])


def test_draw_per_class():
    labels = np.repeat(np.arange(10), 6)
    eligible = np.arange(60) % 2 == 0
    index = datasets.draw_per_class(eligible, labels, 3, seed=0)
    assert eligible[index].all() and np.bincount(labels[index]).tolist() == [3] * 10
    with pytest.raises(ValueError, match="class airplane: only 3 eligible images, 4 wanted"):
        datasets.draw_per_class(eligible, labels, 4, seed=0)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: datasets.load_images("synthetic", ["train"]), "unknown split"),
        (lambda: datasets.load_images(None, "train"), "unknown image set None"),
        (lambda: datasets.stl10("validation"), "unknown split 'validation'"),
        (lambda: datasets.checksums("cifar"), "unknown image set 'cifar'"),
        (lambda: datasets.verify_stl10(None), "root must be the path of a folder, got None"),
        (lambda: datasets.synthetic(0), "per_class must be a whole number of at least 1, got 0"),
        (lambda: datasets.synthetic(1, size=2.5), "size must be"),
        (lambda: datasets.synthetic(1, seed="a"), "seed must be"),
        (lambda: datasets.stratified_split([], 0.5, 0), "no labels"),
        (lambda: datasets.stratified_split([0, 1], 1.5, 0), r"fraction must be a number in \[0, 1\]"),
        (lambda: datasets.stratified_split([[0, 1]], 0.5, 0), r"labels must be \(N,\)"),
        (lambda: datasets.draw_per_class(np.ones(3, bool), [0, 1], 1), r"labels must be|eligible must be"),
        (lambda: datasets.draw_per_class(np.ones(2, bool), [0, 10], 1), "labels must be whole numbers from 0 to 9"),
        (lambda: datasets.draw_per_class([2, 5], [0, 1], 1), "eligible must be bit-strings"),
        (lambda: datasets.draw_per_class(np.ones(2, bool), [0, 1], -1), "count must be"),
    ],
)
def test_arguments_that_do_not_fit_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_labels_of_any_kind_of_sequence():
    labels = np.repeat(np.arange(10), 6)
    for given in (labels.tolist(), torch.as_tensor(labels)):
        pairs = zip(datasets.stratified_split(given, 0.5, 0), datasets.stratified_split(labels, 0.5, 0))
        assert all(np.array_equal(*pair) for pair in pairs)
    eligible = [True, False] * 30
    drawn = datasets.draw_per_class(np.array(eligible), labels, 2)
    assert np.array_equal(datasets.draw_per_class(eligible, labels.tolist(), 2), drawn)
