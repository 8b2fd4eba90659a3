"""What the names of arrays in the artefacts of 04 and 08 say."""

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

_GROUP = r"nf(?P<n_features>\d+)(?:_(?P<sample>broad|conv|seed)(?P<seed>\d+)?)?"
_MEASURED = re.compile(
    rf"(?:(?P<quantity>full)|(?P<quantity_1>insertion|deletion)|(?P<quantity_2>scores|areas|random|centred)/"
    rf"(?P<masking>[^/]+))/(?P<group>{_GROUP})(?:/(?P<method>.+))?"
)
_SELECTED = re.compile(
    r"(?:selection/)?(?P<group>(?:(?P<sample>block|conv)/)?(?:seed(?P<seed>\d+)/)?nf(?P<n_features>\d+))[_/]"
    r"(?P<method>[^/]+)"
)


def index_of(keys: Iterable[str]) -> pd.DataFrame:
    """What the arrays of 08_scores, 08_curves, 04_selections, 04_samples and 04_variants are: a row a name.

    quantity: "full" (logits of whole images), "scores" (of masked ones), "areas" (of the masks), "random" and "centred"
    (logits under blind masks of equal area), "insertion", "deletion", "selection"; masking: a name of
    `average_drop.DEFINITIONS`; group, and in parts n_features, sample ("chosen": the 200 images; "broad", "conv",
    "seed": of the broad sample; "block", "conv" for its selections) and training seed, 0 where the name has none;
    method ("max, p!=q" is the exact optimum with this field and pair sum), and the beta in its name or NaN. Names of
    other arrays (labels, say) have no row.

    >>> keys = ["labels", "full/nf16", "scores/grad_cam_pp/nf512_seed3/sa_0.70", "selection/conv/seed1/nf24_exact"]
    >>> keys += ["seed3/nf16/max, p!=q", "nf512/max, p!=q, 0.70"]
    >>> index_of(keys)[["quantity", "n_features", "sample", "seed", "method", "beta"]]
        quantity  n_features  sample  seed           method  beta
    0       full          16  chosen     0                    NaN
    1     scores         512    seed     3          sa_0.70   0.7
    2  selection          24    conv     1            exact   NaN
    3  selection          16   block     3        max, p!=q   NaN
    4  selection         512  chosen     0  max, p!=q, 0.70   0.7
    """
    rows = []
    for key in map(str, keys):
        match = _MEASURED.fullmatch(key) or _SELECTED.fullmatch(key)
        if match is None:
            continue
        parts = match.groupdict()
        quantities = [value for name, value in parts.items() if name.startswith("quantity") and value]
        method = parts["method"] or ""
        beta = re.search(r"(?:_|, )(\d\.\d\d)$", method)
        rows.append(
            {
                "key": key,
                "quantity": (quantities or ["selection"])[0],
                "masking": parts.get("masking") or "",
                "group": parts["group"],
                "n_features": int(parts["n_features"]),
                "sample": parts["sample"] or ("block" if parts["seed"] else "chosen"),
                "seed": int(parts["seed"] or 0),
                "method": method,
                "beta": float(beta[1]) if beta else np.nan,
            }
        )
    columns = ["key", "quantity", "masking", "group", "n_features", "sample", "seed", "method", "beta"]
    return pd.DataFrame(rows, columns=columns)
