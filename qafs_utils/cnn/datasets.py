"""Images: STL-10 through torchvision, a synthetic stand-in for smoke runs, and splits."""

import functools
from pathlib import Path

import numpy as np

from .. import require
from ..artefacts.provenance import ROOT

RAW = ROOT / "data" / "raw"
CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
SPLITS = ("train", "test")


class DataError(RuntimeError):
    """Raw inputs that are missing, damaged or unreachable; the message names the remedy.

    >>> raise DataError("the file is damaged: delete it and run `make data`")
    Traceback (most recent call last):
    qafs_utils.cnn.datasets.DataError: the file is damaged: delete it and run `make data`
    """


@functools.cache
def _labelled_stl10():
    """torchvision's class STL10 without the 100,000 unlabelled images, which the paper does not use."""
    from torchvision.datasets import STL10  # takes seconds, and most notebooks see no photographs

    return type("LabelledSTL10", (STL10,), {"train_list": STL10.train_list[:2]})


def verify_stl10(root: str | Path = RAW) -> list[Path]:
    """Check the labelled STL-10 files in root/stl10_binary against torchvision's MD5 list  ->  paths that are absent.

    Raises DataError if a file is there but damaged, ValueError for what is no path.

    >>> [path.name for path in verify_stl10("no such folder")]
    ['train_X.bin', 'train_y.bin', 'test_X.bin', 'test_y.bin']
    """
    from torchvision.datasets.utils import check_integrity

    dataset = _labelled_stl10()
    if not isinstance(root, str | Path):
        raise ValueError(f"root must be the path of a folder, got {require.described(root)}")
    files = {Path(root) / dataset.base_folder / name: md5 for name, md5 in dataset.train_list + dataset.test_list}
    for path, expected in files.items():
        if path.exists() and not check_integrity(path, expected):
            found = f"{path.stat().st_size} bytes, wrong MD5"
            raise DataError(f"{path} is truncated or corrupt ({found}). Delete it and run `make data`.")
    return [path for path in files if not path.exists()]


def checksums(name: str) -> dict[str, str]:
    """{file: MD5} of the images that `load_images` reads by that name, which it verifies; none for synthetic ones.

    >>> sorted(checksums("stl10")), checksums("synthetic")
    (['test_X.bin', 'test_y.bin', 'train_X.bin', 'train_y.bin'], {})
    """
    known = require.choice("image set", name, ("stl10", "synthetic"))
    return dict(_labelled_stl10().train_list + _labelled_stl10().test_list) if known == "stl10" else {}


def stl10(split: str, root: str | Path = RAW) -> tuple[np.ndarray, np.ndarray]:
    """Labelled STL-10 (Coates, Lee and Ng [coates2011stl10]), downloaded by torchvision (2.6 GB) when absent.

    split: "train" or "test"  ->  images (N, 3, 96, 96) uint8, labels (N,) int64 in 0..9.
    Raises DataError for a damaged file, or an absent one when there is no network, ValueError for another split.

    >>> stl10("train")[0].shape  # doctest: +SKIP
    (5000, 3, 96, 96)
    """
    require.choice("split", split, SPLITS)
    absent = verify_stl10(root)
    if absent:
        try:
            _labelled_stl10()(root, split="train", download=True)
        except Exception as error:  # torchvision raises many kinds: URLError, RuntimeError, OSError
            raise DataError(
                f"STL-10 is not in {root} ({', '.join(p.name for p in absent)} absent) and could not be downloaded: "
                f"{error}. With a network run `make data`; without, copy stl10_binary/ there."
            ) from error
        verify_stl10(root)
    dataset = _labelled_stl10()(root, split=split)
    return dataset.data, dataset.labels.astype(np.int64)


def synthetic(per_class: int, seed: int = 0, size: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """A seeded stand-in for STL-10: ten classes of coloured gratings with a bright disc, never used for results.

    ->  images (10 * per_class, 3, size, size) uint8, labels (10 * per_class,) int64, in class order.
    Raises ValueError for numbers that are not whole, and less than one image or pixel.

    >>> images, labels = synthetic(2, size=8)
    >>> images.shape, images.dtype, labels[:5]
    ((20, 3, 8, 8), dtype('uint8'), array([0, 0, 1, 1, 2]))
    """
    per_class, size = require.whole("per_class", per_class, 1), require.whole("size", size, 1)
    rng = np.random.default_rng(require.whole("seed", seed))
    labels = np.repeat(np.arange(len(CLASSES)), per_class)
    hue = np.stack([np.cos(labels * 0.63 + k * 2.09) for k in range(3)], 1)[:, :, None, None]
    y, x = np.mgrid[:size, :size] / size
    angle, phase = labels * np.pi / 10, rng.uniform(0, 2 * np.pi, len(labels))
    axis = np.cos(angle)[:, None, None] * x + np.sin(angle)[:, None, None] * y  # (N, size, size)
    grating = np.sin(2 * np.pi * (3 + labels % 4)[:, None, None] * axis + phase[:, None, None])[:, None]
    centre = rng.uniform(0.25, 0.75, (2, len(labels), 1, 1))
    disc = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2 < 0.04)[:, None]
    images = 110 + 45 * hue + 35 * grating + 50 * disc + rng.normal(0, 8, (len(labels), 3, size, size))
    return images.clip(0, 255).astype(np.uint8), labels.astype(np.int64)


def load_images(name: str, split: str, per_class: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Images by name: "stl10" or "synthetic" (seeded, `per_class` images of each class and split).

    split: "train" or "test"  ->  images (N, 3, 96, 96) uint8, labels (N,) int64.
    Raises ValueError for another name or split, and as `synthetic`; DataError as `stl10`.

    >>> load_images("synthetic", "test", per_class=1)[1]
    array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    require.choice("split", split, SPLITS)
    if require.choice("image set", name, ("stl10", "synthetic")) == "stl10":
        return stl10(split)
    return synthetic(per_class, seed=SPLITS.index(split))


def stratified_split(labels, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split indices into two parts with the same class proportions.

    labels: (N,) int  ->  (kept, held_out) sorted index arrays, `fraction` of every class held out.
    Raises ValueError for no labels, and a fraction outside [0, 1].

    >>> stratified_split(np.array([0, 0, 0, 0, 1, 1]), 0.5, seed=0)  # two of the first class and one of the second
    (array([1, 3, 4]), array([0, 2, 5]))
    """
    labels, fraction = require.array("labels", labels, "N", dtype=None), require.number("fraction", fraction, "[0, 1]")
    if not len(labels):
        raise ValueError("there are no labels to split")
    rng = np.random.default_rng(require.whole("seed", seed))
    shuffled = [rng.permutation(np.flatnonzero(labels == c)) for c in np.unique(labels)]
    held_out = np.sort(np.concatenate([index[: round(fraction * len(index))] for index in shuffled]))
    return np.setdiff1d(np.arange(len(labels)), held_out), held_out


def authors_split(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split n images at random as the paper's authors do: training, validation and test indices, (N,) int64 each.

    Of all images 30 % are for validation, of the others a tenth for the test: 3,150, 1,500 and 350 of the 5,000
    official training images of STL-10 (github checc1/FS_QA at 7d529e1, src/utils/loaders.py, which sets no seed).
    The order is random, too: it is the one in which images come that are not shuffled.
    Raises ValueError for fewer than 15 images, which leave none for the test.

    >>> [len(part) for part in authors_split(5000, seed=0)]
    [3150, 1500, 350]
    """
    n = require.whole("n", n, 15)
    order, used = np.random.default_rng(require.whole("seed", seed)).permutation(n), 7 * n // 10
    return order[used // 10 : used], order[used:], order[: used // 10]


def draw_per_class(eligible, labels, count: int, seed: int | None = None, *, fewer: bool = False) -> np.ndarray:
    """Indices of `count` eligible images of every class, in class order: eligible (N,) bool, labels (N,) int.

    Drawn at random with a seed, the first ones without. fewer: whether a class that has not enough gives what it has.
    Raises ValueError if a class has too few otherwise, for other lengths and labels beyond the classes of STL-10.

    >>> labels = np.repeat(np.arange(10), 3)
    >>> draw_per_class(np.arange(30) % 3 > 0, labels, 1)  # not the first image of a class
    array([ 1,  4,  7, 10, 13, 16, 19, 22, 25, 28])
    """
    sizes, count, drawn = {}, require.whole("count", count), []
    labels = require.indices("labels", labels, "N", len(CLASSES), sizes)
    eligible = require.bits("eligible", eligible, "N", sizes)
    seed = seed if seed is None else require.whole("seed", seed)
    for c in range(len(CLASSES)):
        index = np.flatnonzero(eligible & (labels == c))
        if len(index) < count and not require.flag("fewer", fewer):
            raise ValueError(f"class {CLASSES[c]}: only {len(index)} eligible images, {count} wanted; ask for fewer")
        drawn.append(index[:count] if seed is None else np.random.default_rng([seed, c]).permutation(index)[:count])
    return np.concatenate(drawn)
