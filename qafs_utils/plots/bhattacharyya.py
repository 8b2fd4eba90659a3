"""Figures of the class overlap."""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.ticker import MaxNLocator

from ..cnn.datasets import CLASSES
from .style import METHOD_COLOURS, PAGE, with_interval


def map_usage(usages, candidates):
    """Fig. 23: how often each class selects each map, one panel a model.

    usages: {title: (10, N_f) share of a class's images in which the map is selected}; candidates: {title: (10, N_f)
    bool}, a dot where N_f <= 32. Larger models have only the maps that some image selects, sorted by the class that
    selects them most.

    >>> small, large = np.eye(10, 16), np.eye(10, 512)
    >>> figure = map_usage({"small": small, "large": large}, {"small": small > 0, "large": large > 0})
    >>> [axis.get_xlabel() for axis in figure.axes[:2]]
    ['map', '10 of 512 maps, by class']
    """
    figure, axes = plt.subplots(1, len(usages), figsize=(PAGE, 2.3), sharey=True, width_ratios=[1.3, 1][: len(usages)])
    for axis, (title, usage) in zip(np.atleast_1d(axes), usages.items()):
        label = "map"
        if usage.shape[1] > 32:
            used = np.flatnonzero(usage.any(0))
            order = used[np.lexsort((-usage[:, used].max(0), usage[:, used].argmax(0)))]
            label, usage = f"{len(used)} of {usage.shape[1]} maps, by class", usage[:, order]
        else:
            c, a = np.nonzero(candidates[title])
            axis.plot(a, c, ".", color="0.6", ms=2)
        image = axis.imshow(usage, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        axis.set(title=title, xlabel=label, yticks=range(10), yticklabels=CLASSES)
        axis.tick_params(length=0)
    figure.colorbar(image, ax=axes, label="share of the class's images", pad=0.01)
    return figure


def bhattacharyya_matrices(matrices):
    """Fig. 2: class-class overlap matrices, {title: (10, 10)}, values written where they fit.

    >>> figure = bhattacharyya_matrices({"$N_f=16$": np.eye(10) + 0.25 * np.eye(10, k=1)})
    >>> [text.get_text() for text in figure.axes[0].texts][:3]  # of the first row; the diagonal is 1
    ['', '.25', '']
    """
    figure, axes = plt.subplots(1, len(matrices), figsize=(PAGE, PAGE / len(matrices) + 0.3), squeeze=False)
    for axis, (title, matrix) in zip(axes.flat, matrices.items()):
        shown = (matrix >= 0.005) & ~np.eye(len(matrix), dtype=bool)
        written = np.where(shown, np.char.mod("%.2f", matrix), "")
        written = np.char.replace(written, "0.", ".")
        sns.heatmap(
            matrix,
            vmin=0,
            vmax=1,
            annot=written,
            fmt="",
            annot_kws={"size": 5},
            square=True,
            cmap="viridis",
            cbar=False,
            xticklabels=CLASSES,
            yticklabels=CLASSES,
            ax=axis,
        )
        axis.tick_params(length=0)
        axis.set_title(title)
    figure.colorbar(axis.collections[0], ax=axes, label="Bhattacharyya coefficient", shrink=0.75)
    return figure


def overlap_controls(table):
    """Fig. 12: mean overlap between classes of selections and their controls of equal size, one dot a training seed.

    table: n_features, target ("block" or "conv"), beta, and the overlaps selected, top_k, random_k, candidates.

    >>> from pandas import DataFrame
    >>> row = {"n_features": 16, "target": "block", "beta": 0.7, "selected": 0.13, "top_k": 0.1}
    >>> row |= {"random_k": 0.2, "candidates": 0.3}
    >>> figure = overlap_controls(DataFrame([row, row | {"target": "conv"}]))
    >>> [float(line.get_ydata()[0]) for line in figure.axes[0].lines]
    [0.13, 0.1, 0.2, 0.3]
    """
    figure, axes = plt.subplots(1, 2, figsize=(PAGE, 2.5), width_ratios=(5, 3), sharey=True)
    looks = {
        "selected": ("QUBO optimum", "o"),
        "top_k": ("top $k$", "s"),
        "random_k": ("random $k$", "^"),
        "candidates": ("filtered Grad-CAM", "D"),
    }
    names = {"selected": "selection (QUBO)", "candidates": "all candidates"}
    for axis, target in zip(axes, ("block", "conv")):
        groups = list(table[table.target == target].groupby(["n_features", "beta"]))
        for x, (_, of) in enumerate(groups):
            for shift, (column, (method, marker)) in zip((-0.27, -0.09, 0.09, 0.27), looks.items()):
                style = {"color": METHOD_COLOURS[method], "markersize": 4, "alpha": 0.75, "lw": 0}
                axis.plot(
                    np.full(len(of), x + shift),
                    of[column],
                    marker,
                    label=names.get(column, method) if x == 0 else None,
                    **style,
                )
        ticks = [f"$N_f={n}$" + (f"\n$\\beta={b:g}$" if n == 512 else "") for (n, b), _ in groups]
        axis.set(xticks=range(len(groups)), xticklabels=ticks, ylim=(0, None), xlim=(-0.5, len(groups) - 0.5))
        axis.set_title({"block": "maps after the block", "conv": "maps at the convolution's output"}[target])
    axes[0].set_ylabel("mean off-diagonal\nBhattacharyya coefficient")
    axes[0].legend(ncols=2, fontsize=6.5, loc="upper left")
    axes[0].set_ylim(0, 0.75)
    return figure


def subsets(by_size, sweep, whole):
    """Fig. 13: class probability with exactly k maps kept or removed; difference to top k as beta varies at fixed k.

    by_size: k, test ("kept", "removed"), selection, probability, low, high; sweep: k, test, beta, difference, low,
    high; whole: mean probability with all maps.

    >>> from pandas import DataFrame
    >>> row = {"k": 1, "selection": "top_k", "probability": 0.6, "low": 0.5, "high": 0.7}
    >>> sweep = DataFrame([{"k": 1, "test": "kept", "beta": 0.7, "difference": 0.0, "low": -0.1, "high": 0.1}])
    >>> figure = subsets(DataFrame([row | {"test": "kept"}, row | {"test": "removed"}]), sweep, whole=0.9)
    >>> [axis.get_title() for axis in figure.axes]
    ['exactly $k$ maps kept', 'exactly $k$ maps removed', 'QUBO of fixed size $k$, kept']
    """
    figure, axes = plt.subplots(1, 3, figsize=(PAGE, 2.5))
    looks = {
        "best subset": ("best subset, exhaustive", "k", "*"),
        "most added": ("largest contributions", METHOD_COLOURS["filtered Grad-CAM"], "D"),
        "top_k": ("top $k$ by importance", METHOD_COLOURS["top $k$"], "s"),
        "exact": ("QUBO optimum of size $k$", METHOD_COLOURS["QUBO optimum"], "o"),
        "random_k": ("random $k$ candidates", METHOD_COLOURS["random $k$"], "^"),
    }
    for axis, test in zip(axes, ("kept", "removed")):
        axis.axhline(whole, color="0.5", lw=0.9, ls=":", label="all maps")
        for shift, (kind, (name, colour, marker)) in zip(np.linspace(-0.2, 0.2, 5), looks.items()):
            of = by_size[(by_size.test == test) & (by_size.selection == kind)]
            look = {"color": colour, "marker": marker, "markersize": 3.5, "lw": 0.8, "label": name}
            with_interval(axis, of.k + shift, of, "probability", **look)
        axis.set(
            xlabel="number of maps $k$", ylabel="class probability", ylim=(0, 1.03), title=f"exactly $k$ maps {test}"
        )
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    colour = METHOD_COLOURS["QUBO optimum"]
    for (k, of), style in zip(sweep[sweep.test == "kept"].groupby("k"), ("-", "--", ":")):
        axes[2].fill_between(of.beta, of.low, of.high, color=colour, alpha=0.2, lw=0)
        axes[2].plot(of.beta, of.difference, f"o{style}", color=colour, markersize=3, label=f"$k={k}$")
    axes[2].axhline(0, color=METHOD_COLOURS["top $k$"], lw=0.8)
    axes[2].set(xlabel="trade-off $\\beta$", ylabel="difference to top $k$", title="QUBO of fixed size $k$, kept")
    axes[2].legend()
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=3, fontsize=6.5)
    return figure
