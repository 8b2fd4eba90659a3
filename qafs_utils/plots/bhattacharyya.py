"""Figures of the class overlap."""

import matplotlib.pyplot as plt
import numpy as np

from ..cnn.datasets import CLASSES
from .style import METHOD_COLOURS, PAGE, lettered


def map_usage(usages, candidates):
    """Fig. 23: how often each class selects each map, one panel a model.

    usages: {title: (10, N_f) share of a class's images in which the map is selected}; candidates: {title: (10, N_f)
    bool}, a dot where N_f <= 32. Larger models have only the maps that some image selects, sorted by the class that
    selects them most.

    >>> small, large = np.eye(10, 16), np.eye(10, 512)
    >>> figure = map_usage({"small": small, "large": large}, {"small": small > 0, "large": large > 0})
    >>> [axis.get_xlabel() for axis in figure.axes[:2]]
    ['map', 'maps that are selected (10 of 512), by class']
    """
    figure, axes = plt.subplots(1, len(usages), figsize=(PAGE, 2.3), sharey=True, width_ratios=[1.3, 1][: len(usages)])
    for axis, (title, usage) in zip(np.atleast_1d(axes), usages.items()):
        label = "map"
        if usage.shape[1] > 32:
            used = np.flatnonzero(usage.any(0))
            order = used[np.lexsort((-usage[:, used].max(0), usage[:, used].argmax(0)))]
            label, usage = f"maps that are selected ({len(used)} of {usage.shape[1]}), by class", usage[:, order]
        else:
            c, a = np.nonzero(candidates[title])
            axis.plot(a, c, ".", color="0.6", ms=2)
        image = axis.imshow(usage, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        axis.set(title=title, xlabel=label, yticks=range(10), yticklabels=CLASSES)
        axis.tick_params(length=0)
    figure.colorbar(image, ax=axes, label="share of the class's images", pad=0.01)
    lettered(np.atleast_1d(axes))
    return figure


def bhattacharyya_matrices(matrices):
    """Fig. 2: class-class overlap matrices, {title: (10, 10)}, with values; the diagonal, always 1, is grey.

    >>> figure = bhattacharyya_matrices({"$N_f=16$": np.eye(10) + 0.25 * np.eye(10, k=1)})
    >>> [text.get_text() for text in figure.axes[0].texts][:3]  # of the first row, from its second entry on
    ['.25', '', '']
    """
    import seaborn as sns  # a second to import, with what it imports

    diagonal = np.eye(len(CLASSES), dtype=bool)
    largest = max(matrix[~diagonal].max() for matrix in matrices.values())
    figure, axes = plt.subplots(1, len(matrices), figsize=(PAGE, PAGE / len(matrices) + 0.3), squeeze=False)
    style = {
        "vmin": 0,
        "vmax": max(np.ceil(10 * largest) / 10, 0.1),
        "cmap": "viridis",
        "cbar": False,
        "square": True,
        "fmt": "",
        "annot_kws": {"size": 5},
    }
    style |= {"xticklabels": CLASSES, "yticklabels": CLASSES}
    for axis, (title, matrix) in zip(axes.flat, matrices.items()):
        written = np.where(matrix >= 0.005, np.char.mod("%.2f", matrix), "")
        written = np.char.replace(written, "0.", ".")
        sns.heatmap(matrix, annot=written, mask=diagonal, ax=axis, **style)
        axis.set_facecolor("0.85")
        axis.tick_params(length=0)
        axis.set_title(title)
    figure.colorbar(axis.collections[0], ax=axes, label="Bhattacharyya coefficient", shrink=0.75)
    lettered(axes.flat)
    return figure


CONTROLS = {  # column of the table: name as printed, its colour by method, marker
    "selected": ("selection (QUBO)", "QUBO optimum", "o"),
    "top_k": ("top $k$", "top $k$", "s"),
    "constant_k": ("top $k$, one $k$ for all", "top $k$", "s"),
    "random_k": ("random $k$", "random $k$", "^"),
    "candidates": ("all candidates", "filtered Grad-CAM", "D"),
}


def overlap_controls(table):
    """Fig. 12: mean overlap between classes of selections and their controls of equal size, one mark a training seed.

    table: n_features, target ("block" or "conv"), beta, and the overlaps selected, top_k, constant_k (NaN where it was
    not measured), random_k, candidates. A line joins the selection and the top k of a seed.

    >>> from pandas import DataFrame
    >>> row = {"n_features": 16, "target": "block", "beta": 0.7, "selected": 0.13, "top_k": 0.1}
    >>> row |= {"constant_k": 0.09, "random_k": 0.2, "candidates": 0.3}
    >>> figure = overlap_controls(DataFrame([row, row | {"target": "conv"}]))
    >>> [line.get_ydata().tolist() for line in figure.axes[0].lines]
    [[0.13, 0.1], [0.13], [0.1], [0.09], [0.2], [0.3]]
    """
    figure, axes = plt.subplots(1, 2, figsize=(PAGE, 2.5), width_ratios=(5, 3), sharey=True)
    titles = {"block": "maps after the block", "conv": "maps at the convolution's output"}
    for axis, (target, title) in zip(axes, titles.items()):
        groups = list(table[table.target == target].groupby(["n_features", "beta"]))
        shifts = dict(zip(CONTROLS, np.linspace(-0.32, 0.32, len(CONTROLS))))
        for x, (_, group) in enumerate(groups):
            pair = ["selected", "top_k"]
            for ends in group[pair].to_numpy():
                axis.plot([x + shifts[column] for column in pair], ends, color="0.6", lw=0.6)
            for column, (name, method, marker) in CONTROLS.items():
                shift, style = (
                    shifts[column],
                    {"color": METHOD_COLOURS[method], "markersize": 4, "alpha": 0.75, "lw": 0},
                )
                style |= {"mfc": "w"} if column == "constant_k" else {}
                label = name if x == 0 else None
                axis.plot(np.full(len(group), x + shift), group[column], marker, label=label, **style)
        ticks = [f"$N_f={n}$" + (f"\n$\\beta={beta:g}$" if n == 512 else "") for (n, beta), _ in groups]
        axis.set(xticks=range(len(groups)), xticklabels=ticks, ylim=(0, None), xlim=(-0.5, len(groups) - 0.5))
        axis.set_title(title)
    axes[0].set_ylabel("mean off-diagonal\nBhattacharyya coefficient")
    axes[0].legend(ncols=3, fontsize=6.5, loc="upper left")
    axes[0].set_ylim(0, 0.75)
    lettered(axes)
    return figure
