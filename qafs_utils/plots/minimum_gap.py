"""Figures of 05_minimum_gap."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..cnn.datasets import CLASSES
from .style import CLASS_COLOURS, CLASS_MARKERS, COLUMN, MODEL_COLOURS, PAGE


def gap_histogram(gaps: np.ndarray, other: np.ndarray, edges: np.ndarray, reported: np.ndarray, names) -> Figure:
    """Fig. 4: distribution of the minimum gap and its cumulative curve, ours and the paper's.

    gaps: (images,); other: the same under other conventions, shown as a curve; edges: (bins + 1,); reported: (bins,)
    counts of the paper; names: of both conventions. A gap of 0, of a degenerate optimum, counts in the lowest bin.

    >>> gaps = np.array([0.02, 0.03, 0.3])
    >>> figure = gap_histogram(gaps, 2 * gaps, np.array([0.01, 0.1, 1.0]), np.array([3, 1]), ["p!=q", "half"])
    >>> [patch.get_data().values.round(2).tolist() for patch in figure.axes[0].patches]  # ours, the paper's
    [[0.67, 0.33], [0.75, 0.25]]
    """
    figure, axis = plt.subplots(figsize=(COLUMN, 2.5))
    gaps = np.maximum(gaps, min([*gaps[gaps > 0], edges[0]]))
    wide = _continued(edges, gaps)
    counts = np.histogram(gaps, wide)[0]
    axis.stairs(counts / len(gaps), wide, fill=True, color=MODEL_COLOURS[16], alpha=0.6, label=f"ours, {names[0]}")
    axis.stairs(reported / reported.sum(), edges, color="k", lw=0.8, label="paper")
    axis.set(xscale="log", xlim=(min(gaps.min(), edges[0]), None))
    axis.set(xlabel="minimum gap $\\Delta_{\\min}$", ylabel="fraction of images")
    right = axis.twinx()
    right.spines.right.set_visible(True)
    share = np.arange(1, len(gaps) + 1) / len(gaps)
    right.plot(np.sort(gaps), share, color=MODEL_COLOURS[16], ls="--")
    (dotted,) = right.plot(np.sort(other), share, color=MODEL_COLOURS[16], ls=":")
    right.plot(edges[1:], np.cumsum(reported) / reported.sum(), color="k", ls="--", lw=0.8)
    right.set(ylabel="cumulative (dashed, dotted)", ylim=(0, 1.02))
    handles, labels = axis.get_legend_handles_labels()
    axis.legend([*handles, dotted], [*labels, f"ours, {names[1]}"], loc="upper left")
    return figure


def _continued(edges, gaps):
    """Edges of logarithmic bins, continued with the same step as far as the gaps reach."""
    step = edges[-1] / edges[-2]
    reach = np.log(np.array([min(gaps), max(*gaps, edges[-1])]) / edges[0]) / np.log(step)
    return edges[0] * step ** np.arange(np.floor(reach[0]), np.ceil(reach[1]) + 1)


def gap_against_size(table: pd.DataFrame, fits: pd.DataFrame) -> Figure:
    """Fig. 7: mean and median minimum gap against d with the power-law fit of the median; hardest instances marked.

    table: columns n_features, d, gap; fits: columns n_features, slope, low, high, prefactor, as `scaling.slopes` gives
    them, a panel for each.

    >>> table = pd.DataFrame({"n_features": 16, "d": [4, 4, 8], "gap": [0.1, 0.3, 0.1]})
    >>> fits = pd.DataFrame({"n_features": [16], "slope": -1.0, "low": -1.4, "high": -0.6, "prefactor": 0.8})
    >>> figure = gap_against_size(table, fits)
    >>> [line.get_ydata().tolist() for line in figure.axes[0].lines[1:3]]  # mean, median
    [[0.2, 0.1], [0.2, 0.1]]
    """
    figure, axes = plt.subplots(1, len(fits), figsize=(PAGE, 2.5), sharey=True, squeeze=False)
    for axis, fit in zip(axes.flat, fits.itertuples()):
        part = table[table.n_features == fit.n_features]
        d, colour = np.array(sorted(part.d.unique())), MODEL_COLOURS[fit.n_features]
        grouped = part.groupby("d").gap
        axis.plot(part.d, part.gap, ".", color="0.8", markersize=2, zorder=0)
        axis.plot(d, grouped.mean(), "o", color=colour, label="mean")
        axis.plot(d, grouped.median(), "s", mfc="w", color=colour, label="median")
        axis.plot(d, grouped.min(), "v", color="k", label="hardest")
        axis.plot(d, fit.prefactor * d**fit.slope, "-", color=colour, lw=0.9, label="power law of the median")
        axis.set(xscale="log", yscale="log", xlabel="number of candidates $d$")
        axis.set_title(f"$N_f={fit.n_features}$: exponent ${fit.slope:.1f}$\n[${fit.low:.1f}$, ${fit.high:.1f}$]")
        axis.minorticks_off()
        labelled = list(d[:1])  # as many as have room
        for v in d[1:]:
            labelled += [v] if v > 1.1 * labelled[-1] else []
        axis.set_xticks(d, [str(v) if v in labelled else "" for v in d])
    axes[0, 0].set_ylabel("minimum gap $\\Delta_{\\min}$")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


def gap_by_class(table: pd.DataFrame) -> Figure:
    """Fig. 8: minimum gap against d by class, a panel for each model, and the distribution of s* = argmin gap.

    table: columns n_features, class, d, gap, s.

    >>> table = pd.DataFrame({"n_features": 16, "class": ["bird", "cat"], "d": 5, "gap": [0.1, 0.2], "s": 0.9})
    >>> figure = gap_by_class(table)
    >>> float(figure.axes[0].lines[3].get_ydata()[0])  # the cat
    0.2
    """
    models = sorted(table.n_features.unique())
    figure, axes = plt.subplots(1, len(models) + 1, figsize=(PAGE, 2.7), squeeze=False)
    rng = np.random.default_rng(0)
    for axis, n in zip(axes.flat, models):
        for name, marker, colour in zip(CLASSES, CLASS_MARKERS, CLASS_COLOURS):
            part = table[(table["class"] == name) & (table.n_features == n)]
            shifted, style = part.d + rng.uniform(-0.3, 0.3, len(part)), {"markersize": 3, "mew": 0.6}
            axis.plot(shifted, part.gap, marker, color=colour, label=name, **style)
        axis.set(yscale="log", ylim=(0.8 * table.gap.min(), 1.3 * table.gap.max()), title=f"$N_f={n}$")
        axis.set_xlabel("number of candidates $d$")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.tick_params(labelleft=axis is axes[0, 0])
    axes[0, 0].set_ylabel("minimum gap $\\Delta_{\\min}$")
    right = axes[0, -1]
    edges = np.linspace(min(0.5, table.s.min()), 1, 31)
    for n, part in table.groupby("n_features"):
        right.hist(part.s, edges, histtype="step", lw=1.2, color=MODEL_COLOURS[n], label=f"$N_f={n}$")
    right.set(xlabel="position of the\nminimum gap $s^*$", ylabel="images")
    right.legend(loc="upper left")
    handles, names = axes[0, 0].get_legend_handles_labels()
    style = {"loc": "outside upper center", "ncols": 10, "handletextpad": 0.1, "columnspacing": 0.8}
    figure.legend(handles, names, **style)
    return figure
