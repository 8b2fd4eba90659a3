"""Figures of class specificity: how much of an explanation lies in the cell of its class, and what that looks like."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ..cnn.datasets import CLASSES
from .method import photograph
from .row_names import FIXED, row_colour, row_label
from .style import PAGE, lettered

CHANCE = 0.25
HEADS = {
    "pooled": ("o", None, "pooled heads, cells at the trained scale"),
    "bound": ("s", "w", "heads bound to places, cells at half scale"),
}


def class_specificity(table: pd.DataFrame) -> plt.Figure:
    """Fig. 26: share of each explanation's positive mass in the cell of its class, a panel a number of maps.

    table: n_features, head ("pooled" or "bound"), method (key), share, low, high. Rows are sorted by the largest
    network's pooled heads.

    >>> row = {"n_features": 512, "head": "pooled", "share": 0.5, "low": 0.4, "high": 0.6}
    >>> figure = class_specificity(pd.DataFrame([row | {"method": m} for m in ("Grad-CAM", "signed_top_20")]))
    >>> [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    ['Grad-CAM', 'signed: 20 most important']
    """
    fixed = [int(match["k"]) for match in map(FIXED.fullmatch, table.method) if match]
    fewest, most = min(fixed, default=0), max(fixed, default=0)
    names = {key: row_label(FIXED.sub(rf"\g<signed>\g<kind>_{most}", key), fewest) for key in table.method.unique()}
    table = table.assign(row=table.method.map(names))
    sizes = sorted(table.n_features.unique())
    order = table[(table.n_features == sizes[-1]) & (table["head"] == "pooled")].set_index("row").share
    known = table.groupby("row").share.mean()
    rows = sorted(known.index, key=lambda name: round(order.get(name, known[name]), 4))  # equals by name
    height = 0.155 * len(rows) + 0.75
    figure, axes = plt.subplots(1, len(sizes), figsize=(PAGE, height), sharey=True, sharex=True, squeeze=False)
    for axis, n in zip(axes[0], sizes):
        axis.axvline(CHANCE, color="k", lw=0.7, ls=":", zorder=0)
        axis.hlines(range(len(rows)), 0, 1, color="0.93", lw=0.6, zorder=0)
        for (head, method), found in table[table.n_features == n].groupby(["head", "method"], sort=False):
            _draw(axis, rows.index(names[method]), found.iloc[0], head, row_colour(method))
        axis.set(title=f"$N_f={n}$", xlim=(0, 1), ylim=(-0.7, len(rows) - 0.3))
        axis.set_xticks([0, CHANCE, 0.5, 0.75, 1], ["0", "¼", "½", "¾", "1"])
    lettered(axes[0])
    axes[0, 0].set_yticks(range(len(rows)), rows, fontsize=6.5)
    figure.supxlabel(
        "share of the explanation in the cell of its class (dotted: chance; signed: by |importance|, signs kept)",
        fontsize=7.5,
    )
    for head in table["head"].unique():
        marker, face, label = HEADS[head]
        axes[0, 0].plot([], [], marker, color="k", mfc=face or "k", label=label)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def _draw(axis, y, found, head, colour):
    """A point with its horizontal interval; those of heads bound to places a little lower and hollow."""
    marker, face, _ = HEADS[head]
    error = np.abs(np.array([[found.low], [found.high]]) - found.share)
    y = y + (0.14 if head == "pooled" else -0.14)
    axis.errorbar(found.share, y, xerr=error, fmt=marker, color=colour, mfc=face or colour, ms=3, lw=0.8, capsize=1.5)


def mosaic_explanations(mosaic: np.ndarray, classes, heatmaps: Mapping[str, np.ndarray], shares: Mapping) -> plt.Figure:
    """Fig. 27: a mosaic, and the explanations of its four classes by several methods, a lettered row each.

    mosaic: uint8 (3, h, w); classes: (4,), in reading order; heatmaps: {key: (4, S, S) in [0, 1]}; shares: {key: (4,)}.

    >>> mosaic, heatmaps = np.zeros((3, 8, 8), np.uint8), {"Grad-CAM": np.zeros((4, 8, 8))}
    >>> figure = mosaic_explanations(mosaic, [0, 1, 2, 3], heatmaps, {"Grad-CAM": [0.1, 0.2, 0.3, 0.4]})
    >>> [axis.get_title() for axis in figure.axes]
    ['(a) the mosaic', 'airplane', 'bird', 'car', 'cat']
    """
    rows, (height, width) = list(heatmaps), mosaic.shape[1:]
    figure = plt.figure(figsize=(PAGE, 1.18 * max(len(rows), 2) + 0.3))
    whole, grid = figure.subfigures(1, 2, width_ratios=(1, 2.1))
    axis = whole.subplots()
    photograph(axis, mosaic, "(a) the mosaic")
    corners = [(0, 0), (width / 2, 0), (0, height / 2), (width / 2, height / 2)]
    for (x, y), c in zip(corners, classes):
        box = {"facecolor": "w", "alpha": 0.8, "edgecolor": "none", "pad": 1.5}
        axis.text(x + 0.03 * width, y + 0.03 * height, CLASSES[c], fontsize=7, va="top", bbox=box)
    axes = grid.subplots(len(rows), 4, squeeze=False)
    for letter, i, key in zip("bcdefghij", range(len(rows)), rows):
        for cell, ((x, y), c) in enumerate(zip(corners, classes)):
            photograph(axes[i, cell], mosaic, CLASSES[c] if i == 0 else None, heatmaps[key][cell])
            frame = plt.Rectangle((x, y), width / 2, height / 2, fill=False, ec="w", lw=1.6)
            axes[i, cell].add_patch(frame)
            axes[i, cell].set_xlabel(f"share in the frame: {shares[key][cell]:.2f}", fontsize=6, labelpad=1)
        name = row_label(key).replace("filtered ", "filtered\n").replace(": ", ":\n")
        axes[i, 0].set_ylabel(f"({letter}) {name}", fontsize=6.5)
    return figure
