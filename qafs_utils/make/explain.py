"""Photographs explained from the command line: `python -m qafs_utils explain photo.jpg --model nf16 --beta 0.7`."""

import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from .. import require_pytorch
from ..cnn.datasets import DataError
from ..cnn.heads import HEADS
from ..conventions import SETS
from ..explanations import saved
from ..explanations.one_image import explanations
from ..solvers.by_name import SOLVERS


def folders(photos: Sequence[str], out: str) -> list[Path]:
    """A folder for each photograph, by its name without the suffix; a name that comes again gets a number.

    >>> [path.as_posix() for path in folders(["a/cat.jpg", "b/cat.png", "dog.jpg"], "found")]
    ['found/cat', 'found/cat-2', 'found/dog']
    """
    found, times = [], Counter()
    for photo in photos:
        stem = Path(photo).stem or "photo"
        times[stem] += 1
        found.append(Path(out) / (stem if times[stem] == 1 else f"{stem}-{times[stem]}"))
    return found


def torchvision_network(name: str) -> tuple:
    """A network of torchvision with its ImageNet weights, in eval mode, and what `explain` is told of it  ->  pair.

    Raises ValueError for another name, DataError for weights that are absent and cannot be downloaded.

    >>> torchvision_network("resnet19")
    Traceback (most recent call last):
    ValueError: unknown model 'resnet19': choose from nf16, nf24, nf32, nf512, or a network of torchvision's, as vgg16
    """
    from torchvision import models

    try:
        weights = models.get_model_weights(name).DEFAULT
    except (ValueError, AttributeError):
        known = f"{', '.join(HEADS)}, or a network of torchvision's, as vgg16"
        raise ValueError(f"unknown model {name!r}: choose from {known}") from None
    transform, names = weights.transforms(), weights.meta.get("categories")
    if not names or not hasattr(transform, "crop_size"):
        raise ValueError(f"{name} is no classifier of images: choose another network")
    try:
        network = models.get_model(name, weights=weights).eval()
    except Exception as error:  # of many kinds: URLError, http.client's, torch.hub's
        raise DataError(f"the weights of {name} could not be downloaded: {error}") from error
    size, mean, deviation = transform.crop_size[0], list(transform.mean), list(transform.std)
    return network, {"class_names": names, "image_size": size, "mean": mean, "deviation": deviation}


def explain(
    photos: Sequence[str],
    *,
    model: str = "nf16",
    beta: float | None = None,
    out: str = "explanations",
    overwrite: bool = False,
    class_index: str | None = None,
    **settings,
) -> None:
    """Explain photographs, say of each in a line what was found, and save it into a folder of its own under out.

    model: as of `one_image.explain`, or a network of torchvision by its name; class_index: a number or a name;
    settings: other keywords of `explain`. One that cannot be explained has a line on stderr, and the others go on.
    Raises SystemExit with status 1 at the end if there was one, FileExistsError as `Explanation.save`, and
    ModuleNotFoundError without PyTorch.

    >>> explain(["no such file.jpg"], out="no such folder")
    Traceback (most recent call last):
    qafs_utils.cnn.datasets.DataError: there is no file no such file.jpg: check the path
    """
    require_pytorch()
    if class_index is not None and class_index.isdigit():
        class_index = int(class_index)
    there = [Path(photo).is_file() for photo in photos]
    if not any(there):
        raise DataError(f"there is no file {', '.join(photos)}: check the path")
    targets = [saved.require_free(folder, overwrite) for folder in folders(photos, out)]
    network, own = (model, {}) if model in HEADS else torchvision_network(model)
    settings = own | {name: value for name, value in settings.items() if value is not None}
    failed = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # each has its line below
        answers = explanations(photos, network, beta=beta, class_index=class_index, on_error="keep", **settings)
        for photo, target, found in zip(photos, targets, answers, strict=True):
            if isinstance(found, Exception):
                failed += 1
                print(f"error: {found}", file=sys.stderr)
                continue
            found.save(target, overwrite=overwrite)
            print(f"{photo}: {repr(found)[len('<Explanation of ') : -1]} -> {target}/")
    if failed:
        raise SystemExit(1)


def add_arguments(parser) -> None:
    """Tell an argparse parser what `explain` takes.

    >>> import argparse
    >>> parser = argparse.ArgumentParser()
    >>> add_arguments(parser)
    >>> parser.parse_args(["a.jpg", "b.jpg", "--class", "cat"]).class_index
    'cat'
    """
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="a JPEG or PNG file; several are explained in turn")
    parser.add_argument("--model", default="nf16", help=f"{', '.join(HEADS)}, or a network of torchvision's (nf16)")
    parser.add_argument("--beta", type=float, help="from 0, unlike maps, to 1, important ones (0.7)")
    parser.add_argument("--class", dest="class_index", metavar="CLASS", help="name or index (the predicted one)")
    parser.add_argument("--out", default="explanations", help="folder, with one for each photograph (explanations)")
    parser.add_argument("--solver", help=f"{', '.join(SOLVERS)} (exact)")
    parser.add_argument("--size", type=int, metavar="K", help="select exactly K maps")
    parser.add_argument("--layer", help="whose maps are selected (the last one with maps)")
    parser.add_argument("--conventions", help=f"{', '.join(SETS)} (headline)")
    parser.add_argument("--overwrite", action="store_true", help="write over what was saved there before")
