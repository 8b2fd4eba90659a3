"""How much of an explanation is left when an annealer returns another selection, as it does under control errors."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from .. import require
from ..conventions import CHOICES, HEADLINE
from ..intervals import mean_with_interval

MEASURES = ("same_peak", "correlation", "top_iou")


def agreement(
    maps, importance, optimal, found, *, relu: str = HEADLINE.grad_cam, top_share: float = 0.25
) -> pd.DataFrame:
    """The explanations of other selections beside those of the optima: a table with a row for each image and draw.

    maps: (B, N_f, H, W); importance: (B, N_f); optimal: (B, N_f) bool; found: (B, R, N_f) bool, R draws of an image, as
    of `control_errors.under_errors`; relu: as for `explanation_map.of_selection`; top_share: of the H W cells.
    Columns image, draw; same_peak, whether the largest value is in the same cell; correlation, Pearson's, of the cells;
    top_iou, intersection over union of the cells of largest value, only those above 0. Equal explanations have 1 of
    each; beside an empty or constant one the correlation is 0. Raises ValueError for other shapes, selections that are
    no bit-strings, an unknown relu, no cell among the largest, NaN and infinity.

    >>> maps = [[[[4.0, 0.0, 0.0, 0.0]], [[0.0, 2.0, 0.0, 0.0]]]]
    >>> agreement(maps, [[1.0, 1.0]], [[1, 0]], [[[1, 1], [0, 1]]]).round(3)
       image  draw  same_peak  correlation  top_iou
    0      0     0        1.0        0.870      1.0
    1      0     1        0.0       -0.333      0.0
    """
    sizes = {}
    maps = require.array("maps", maps, "B N H W", sizes, dtype=np.float32)
    importance = require.array("importance", importance, "B N", sizes, dtype=np.float32)
    optimal = require.bits("optimal", optimal, "B N", sizes)
    found = require.bits("found", found, "B R N", sizes)
    require.choice("relu", relu, CHOICES["grad_cam"])
    cells = sizes["H"] * sizes["W"]
    count = require.whole(
        "the number of cells among the largest", round(require.number("top_share", top_share, "(0, 1]") * cells), 1
    )
    rows = []
    for image, (of_image, weights) in enumerate(zip(maps, importance)):
        terms = (weights[:, None, None] * of_image).reshape(-1, cells)
        terms = np.maximum(terms, 0) if relu == "sum of relus" else terms
        selected = np.concatenate([optimal[image][None], found[image]]).astype(np.float32)
        explanations = np.maximum(selected @ terms, 0)  # (1 + R, H W)
        same = (found[image] == optimal[image]).all(1)
        best, others = explanations[0].astype(float), explanations[1:].astype(float)
        values = zip(same | _same_peak(best, others), _correlation(best, others), _top_iou(best, others, count))
        for draw, (peak, correlation, iou) in enumerate(values):
            equal = same[draw]
            row = {"image": image, "draw": draw, "same_peak": float(peak)}
            rows.append(row | {"correlation": 1.0 if equal else correlation, "top_iou": 1.0 if equal else iou})
    return pd.DataFrame(rows, columns=["image", "draw", *MEASURES])


def _same_peak(best, others):
    """Whether the largest cell is the same, of explanations that have one: (cells,) and (R, cells)  ->  (R,)."""
    return (others.argmax(1) == best.argmax()) & (others.max(1) > 0) & (best.max() > 0)


def _correlation(best, others):
    best, others = best - best.mean(), others - others.mean(1, keepdims=True)
    norms = np.linalg.norm(best) * np.linalg.norm(others, axis=1)
    return np.divide(others @ best, norms, out=np.zeros(len(others)), where=norms > 0)


def _top_iou(best, others, count):
    best, others = _top(best[None], count), _top(others, count)
    either = (best | others).sum(1)
    return np.divide((best & others).sum(1), either, out=np.zeros(len(others)), where=either > 0)


def _top(explanations, count):
    """Which cells are the `count` largest, the first ones of equal, and above 0: (R, cells)  ->  (R, cells) bool."""
    ranks = (-explanations).argsort(1, kind="stable").argsort(1)
    return (ranks < count) & (explanations > 0)


def means_over_draws(
    table: pd.DataFrame, by: Sequence[str], measures: Sequence[str], *, n_resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Means of measures with 95 % intervals that resample images, of tables with a row for each image and draw.

    table: with the columns image, those of by and the measures; the draws of an image are averaged first, without NaN
    ->  a row for each group and measure: by, measure, value, low, high, images. Raises ValueError for missing columns.

    >>> table = pd.DataFrame({"beta": 0.5, "image": [0, 0, 1, 1], "kept": [1, 0, 1, 0]})
    >>> means_over_draws(table, ["beta"], ["kept"], n_resamples=10).values.tolist()
    [[0.5, 'kept', 0.5, 0.5, 0.5, 2]]
    """
    by, measures = list(by), list(measures)
    missing = [name for name in (*by, "image", *measures) if name not in table]
    if missing:
        raise ValueError(f"the table has no column {', '.join(map(str, missing))}: it has {', '.join(table.columns)}")
    rows = []
    of_images = table.astype(dict.fromkeys(measures, float)).groupby([*by, "image"], sort=False)[measures].mean()
    for key, group in of_images.groupby(by, sort=False):
        for measure in measures:
            found = mean_with_interval(group[measure].to_numpy(), n_resamples=n_resamples, seed=seed)
            rows.append(dict(zip(by, key)) | {"measure": measure} | found | {"images": len(group)})
    return pd.DataFrame(rows)
