"""The explorer as one page without a server: build/explorer.html, from the published maps and heads.

The page holds the maps after the block and the classifiers bit by bit, and its script computes the rest as the package
does: problem, optimum, path in beta, explanation and scores. It needs no network, so it opens from a file.
"""

import base64
import json
import zlib
from pathlib import Path

import matplotlib
import numpy as np

from .. import require
from ..artefacts.files import ROOT, ArtefactError, write_atomically
from ..artefacts.run import Artefacts
from ..cnn.datasets import CLASSES
from ..cnn.feature_maps import importance
from ..conventions import HEADLINE

HERE, TARGET = Path(__file__).parent, ROOT / "build" / "explorer.html"
MODELS = (16, 24, 32)  # N_f; 512 maps take 7 MB more, and their some 250 candidates have no enumeration
MOST = 18  # candidates: the page compares all 2^d selections at every change
SCRIPTS = ("explorer_model.js", "explorer_charts.js", "explorer_view.js")
COLOURS = {"maps": "viridis", "explanation": "inferno", "matrix": "RdBu_r"}  # as in the figures


def packed(values) -> str:
    """Numbers as text that the page unpacks: float16 or float32  ->  base64 of zlib of byte planes, lowest first.

    Nothing is rounded. Raises ValueError for other types.

    >>> planes = zlib.decompress(base64.b64decode(packed(np.array([1.0, 2.0], np.float16))))
    >>> planes.hex()  # 1 is 3c00, 2 is 4000
    '00003c40'
    """
    values = np.asarray(values)
    if values.dtype not in (np.float16, np.float32):
        raise ValueError(f"values must be float16 or float32, got {require.described(values)}")
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).reshape(-1, 1)
    return base64.b64encode(zlib.compress(little.view(np.uint8).T.tobytes(), 9)).decode()


def data(models=MODELS) -> dict:
    """What the page is made of: images, classes, colours and the packed models, ready for JSON.

    models: numbers of feature maps N_f. Raises ArtefactError for published files that are missing or damaged, and for a
    class with more candidates than can be enumerated.

    >>> found = data([16])
    >>> len(found["labels"]), found["classes"][0], found["models"]["16"]["height"]
    (200, 'airplane', 14)
    """
    artefacts, classifiers = Artefacts("published"), {}
    chosen, heads = artefacts.load("02_images"), artefacts.load("01_heads")
    for n in models:
        maps = artefacts.load(f"02_maps_nf{n}")["maps_block"]
        weight, bias = (heads[f"nf{n}_paper_seed0/classifier.{part}"] for part in ("weight", "bias"))
        most = int((importance(weight.reshape(len(weight), *maps.shape[1:])) > 0).sum(1).max())
        if most > MOST:
            raise ArtefactError(
                f"N_f = {n} has a class of {most} candidates, and the explorer compares the selections "
                f"of at most {MOST}: leave that model out"
            )
        size = {"height": maps.shape[2], "width": maps.shape[3]}
        classifiers[str(n)] = size | {"maps": packed(maps), "weight": packed(weight), "bias": bias.tolist()}
    return {
        "classes": list(CLASSES),
        "labels": chosen["labels"].tolist(),
        "test_index": chosen["test_index"].tolist(),
        "beta": HEADLINE.beta,
        "image_size": 224,
        "colours": {use: _colours(name) for use, name in COLOURS.items()},
        "models": classifiers,
    }


def _colours(name):
    """A colour map of Matplotlib: 256 colours as 6 hexadecimal digits each."""
    return (255 * matplotlib.colormaps[name](np.arange(256))[:, :3]).round().astype(np.uint8).tobytes().hex()


def page(content: dict) -> bytes:
    """The page with its style, its scripts and its data inside: `data`  ->  bytes of HTML.

    >>> b"https://fonts" in page({"models": {}}), page({"models": {}}).count(b"<script")
    (False, 4)
    """
    parts = {name: (HERE / name).read_text(encoding="utf-8") for name in ("explorer.css", *SCRIPTS)}
    parts["data"] = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
    text = (HERE / "explorer.html").read_text(encoding="utf-8")
    for name, part in parts.items():
        text = text.replace(f"{{{{ {name} }}}}", part)
    return text.encode()


def render() -> None:
    """Write build/explorer.html and say how large it is. Raises ArtefactError as `data`.

    >>> render()  # doctest: +SKIP
    """
    content = page(data())
    write_atomically(TARGET, content)
    print(f"explorer, {len(content) / 1e6:.1f} MB -> {TARGET.relative_to(ROOT)}")
