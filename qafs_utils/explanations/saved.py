"""An explanation as files: pictures, numbers, and the record from which it can be made again."""

import functools
import hashlib
import importlib.metadata
import io
import json
import platform
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from .. import require
from ..artefacts import provenance
from ..artefacts.files import write_atomically
from ..artefacts.run import PACKAGES

FILES = ("overlay.png", "heatmap.png", "heatmap.npy", "explanation.png", "explanation.json")
FORMAT = 1  # of the record; a change of its keys counts up
OPACITY = 0.55  # of the explanation map over the photograph, as in the figures
COLOURS = "inferno"


def overlay(image, heatmap) -> np.ndarray:
    """A photograph under its explanation map: uint8 (3, h, w), (S, S) in [0, 1]  ->  uint8 (h, w, 3).

    >>> overlay(np.full((3, 2, 2), 100, np.uint8), np.zeros((1, 1)))[0, 0]  # 45 % of 100, and of inferno's black
    array([45, 45, 47], dtype=uint8)
    """
    import matplotlib  # a tenth of a second to import

    height, width = image.shape[1:]
    grown = Image.fromarray(np.asarray(heatmap, np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    colours = matplotlib.colormaps[COLOURS](np.asarray(grown).clip(0, 1))[..., :3]
    mixed = (1 - OPACITY) * np.moveaxis(image, 0, 2) + OPACITY * 255 * colours
    return mixed.round().astype(np.uint8)


def plain(value):
    """A value as JSON holds it: arrays become lists, NaN None, mappings dicts, functions and others their names.

    >>> plain({"bits": np.array([True, False]), "gap": np.float32(0.5), "bound": float("nan"), "how": len})
    {'bits': [True, False], 'gap': 0.5, 'bound': None, 'how': 'builtins.len'}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # an array, a tensor, or a number of NumPy
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if callable(value):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__name__)}"
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)


@functools.cache
def code() -> str:
    """SHA-256 (16 digits) of `explain` and of every definition that it reaches, without comments and docstrings.

    >>> len(code())
    16
    """
    return provenance.hash_of("from qafs_utils.explanations.one_image import explain\nexplain")


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None  # read from a folder, not installed


def record(found) -> dict:
    """Everything needed to make an explanation again, as JSON holds it: an `Explanation`  ->  dict.

    image: file and SHA-256 of its bytes, where it came from one, SHA-256 and size of its pixels; model: name,
    fingerprint of its weights, number of maps; call: the keywords of `explain`, "conventions" all of them;
    explained: class, label, probability; maps: candidates, their importance, which are selected, which silent; solver:
    what it says, with its name, the energy and whether that is proven; versions of packages, and `code`.
    """
    pixels = np.ascontiguousarray(found.image)
    origin = dict(found.made.get("image", {}))
    candidates, selected = found.problem.maps, np.flatnonzero(found.selected)
    return plain(
        {
            "format": FORMAT,
            "image": origin
            | {"pixels_sha256": hashlib.sha256(pixels.tobytes()).hexdigest(), "height_width": pixels.shape[1:]},
            "model": found.made.get("model", {}) | {"maps": len(found.maps)},
            "call": found.made.get("call", {}),
            "explained": {
                "class_index": found.class_index,
                "label": found.label,
                "probability": found.probabilities[found.class_index],
            },
            "maps": {
                "candidates": candidates,
                "importance": found.importance[candidates],
                "selected": selected,
                "silent": np.flatnonzero(found.selected & found.silent),
            },
            "solver": dict(found.info) | {"proven": found.proven},
            "versions": {"python": platform.python_version(), "qafs": _version("qafs")}
            | {package: _version(package) for package in PACKAGES},
            "code": code(),
        }
    )


def _png(pixels):
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, format="png")
    return content.getvalue()


def require_free(folder: str | Path, overwrite: bool = False) -> Path:
    """The folder as a path. Raises FileExistsError if it holds an explanation that may not be overwritten.

    >>> require_free("no such folder").name
    'no such folder'
    """
    if not isinstance(folder, str | Path):
        raise ValueError(f"folder must be the path of a folder, got {require.described(folder)}")
    folder = Path(folder)
    there = [name for name in FILES if (folder / name).exists()]
    if there and not require.flag("overwrite", overwrite):
        remedy = "give another folder, or allow to overwrite (overwrite=True; on the command line --out or --overwrite)"
        raise FileExistsError(f"{folder} already holds {', '.join(there)}: {remedy}")
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file: give the path of a folder")
    return folder


def save(found, folder: str | Path, *, overwrite: bool = False) -> list[Path]:
    """Write an `Explanation` into a folder, the record last, as its own `save`  ->  paths, in the order of FILES."""
    folder, figure, array = require_free(folder, overwrite), io.BytesIO(), io.BytesIO()
    found.plot().savefig(figure, format="png", dpi=200)
    np.save(array, found.heatmap)
    contents = (
        _png(overlay(found.image, found.heatmap)),
        _png((255 * found.heatmap).round().astype(np.uint8)),
        array.getvalue(),
        figure.getvalue(),
        (json.dumps(record(found), indent=1, allow_nan=False) + "\n").encode(),
    )
    for name, content in zip(FILES, contents):
        write_atomically(folder / name, content)
    return [folder / name for name in FILES]
