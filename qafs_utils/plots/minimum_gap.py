"""Figures of 05_minimum_gap."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from ..artefacts.wording import span
from .style import COLUMN, MODEL_COLOURS, MODEL_LINES, PAGE, lettered


def gap_histogram(gaps: np.ndarray, other: np.ndarray, edges: np.ndarray, reported: np.ndarray, names) -> Figure:
    """Fig. 4: distribution of the minimum gap, and below it the cumulative curve, ours and the paper's.

    gaps: (images,); other: the same under other conventions, shown as a curve; edges: (bins + 1,); reported: (bins,)
    counts of the paper; names: of both conventions. A gap of 0, of a degenerate optimum, counts in the lowest bin.

    >>> gaps = np.array([0.02, 0.03, 0.3])
    >>> figure = gap_histogram(gaps, 2 * gaps, np.array([0.01, 0.1, 1.0]), np.array([3, 1]), ["p!=q", "half"])
    >>> [patch.get_data().values.round(2).tolist() for patch in figure.axes[0].patches]  # ours, the paper's
    [[0.67, 0.33], [0.75, 0.25]]
    """
    figure, (above, below) = plt.subplots(2, 1, figsize=(COLUMN, 3.6), sharex=True)
    gaps, other = (np.maximum(values, min([*gaps[gaps > 0], edges[0]])) for values in (gaps, other))
    wide, ours, paper = _continued(edges, gaps), {"color": MODEL_COLOURS[16]}, {"color": "k", "lw": 0.9}
    counts = np.histogram(gaps, wide)[0]
    above.stairs(counts / len(gaps), wide, fill=True, alpha=0.6, label=f"ours, {names[0]}", **ours)
    above.stairs(reported / reported.sum(), edges, label="paper", **paper)
    above.set(
        ylabel="fraction of images", ylim=(0, 1.35 * max(counts.max() / len(gaps), max(reported) / reported.sum()))
    )
    for values, style, name in ((gaps, "-", names[0]), (other, ":", names[1])):
        below.plot(np.sort(values), np.arange(1, len(values) + 1) / len(values), style, label=f"ours, {name}", **ours)
    below.plot(edges[1:], np.cumsum(reported) / reported.sum(), label="paper", **paper)
    below.set(xscale="log", xlabel="minimum gap $\\Delta_{\\min}$", ylabel="cumulative fraction", ylim=(0, 1.02))
    below.set_xlim(min(gaps.min(), edges[0]), None)
    below.axhline(0.5, color="0.7", lw=0.6, zorder=0, label="median")
    for axis in (above, below):
        axis.legend(loc="upper left")
    lettered((above, below))
    return figure


def _continued(edges, gaps):
    """Edges of logarithmic bins, continued with the same step as far as the gaps reach."""
    step = edges[-1] / edges[-2]
    reach = np.log(np.array([min(gaps), max(*gaps, edges[-1])]) / edges[0]) / np.log(step)
    return edges[0] * step ** np.arange(np.floor(reach[0]), np.ceil(reach[1]) + 1)


def gap_against_size(table: pd.DataFrame, fits: pd.DataFrame) -> Figure:
    """Fig. 7: mean and median minimum gap against d with the median's power law, and 1/d; hardest marked.

    table: columns n_features, d, gap; fits: columns n_features, slope, low, high, prefactor, as `scaling.slopes` gives
    them, a panel for each; n_features may be "all".

    >>> table = pd.DataFrame({"n_features": 16, "d": [4, 4, 8], "gap": [0.1, 0.3, 0.1]})
    >>> fits = pd.DataFrame({"n_features": [16], "slope": -1.0, "low": -1.4, "high": -0.6, "prefactor": 0.8})
    >>> figure = gap_against_size(table, fits)
    >>> [line.get_ydata().tolist() for line in figure.axes[0].lines[1:3]]  # mean, median
    [[0.2, 0.1], [0.2, 0.1]]
    """
    figure, axes = plt.subplots(1, len(fits), figsize=(PAGE, 2.6), sharey=True, squeeze=False)
    for axis, fit in zip(axes.flat, fits.itertuples()):
        pooled = fit.n_features == "all"
        part = table if pooled else table[table.n_features == int(fit.n_features)]
        d, colour = np.array(sorted(part.d.unique())), "0.3" if pooled else MODEL_COLOURS[int(fit.n_features)]
        grouped, middle = part.groupby("d").gap, np.exp(np.log(d).mean())
        axis.plot(part.d, part.gap, ".", color="0.8", markersize=2, zorder=0)
        axis.plot(0.985 * d, grouped.mean(), "o", color=colour)
        axis.plot(1.015 * d, grouped.median(), "s", mfc="w", color=colour)
        axis.plot(d, grouped.min(), "v", color="k")
        axis.plot(d, fit.prefactor * d**fit.slope, "-", color=colour, lw=0.9)
        axis.plot(d, 2.5 * fit.prefactor * middle ** (fit.slope + 1) / d, "k--", lw=0.8)
        axis.set(xscale="log", yscale="log", xlabel="number of candidates $d$")
        name = "all $N_f$" if pooled else f"$N_f={fit.n_features}$"
        axis.set_title(f"{name}: exponent ${fit.slope:.1f}$\n[${fit.low:.1f}$, ${fit.high:.1f}$]")
        axis.minorticks_off()
        labels = [str(v) if len(d) <= 8 or v <= 10 or v % 2 == 0 else "" for v in d]
        axis.set_xticks(d, labels, fontsize=6 if len(d) > 5 else None)
    axes[0, 0].set_ylabel("minimum gap $\\Delta_{\\min}$")
    marks = {"mean": "o", "median": "s", "hardest": "v", "power law of the median": "-", "$\\propto 1/d$": "--"}
    for name, mark in marks.items():
        grey = {"color": "k" if mark in "v--" and mark != "-" else "0.5", "mfc": "w" if name == "median" else None}
        axes[0, 0].plot([], [], mark, label=name, lw=0.9, **grey)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=len(marks))
    lettered(axes.flat)
    return figure


def gap_by_class(table: pd.DataFrame) -> Figure:
    """Fig. 8: minimum gap by class, in the order of d, a panel for each model, and the distribution of s* = argmin gap.

    table: columns n_features, class, d, gap, s.

    >>> table = pd.DataFrame({"n_features": 16, "class": ["bird", "cat"], "d": [6, 5], "gap": [0.1, 0.2], "s": 0.9})
    >>> figure = gap_by_class(table)
    >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
    ['cat, 5', 'bird, 6']
    """
    models = sorted(table.n_features.unique())
    figure, axes = plt.subplots(1, len(models) + 1, figsize=(PAGE, 2.7), squeeze=False)
    rng = np.random.default_rng(0)
    for axis, n in zip(axes.flat, models):
        part = table[table.n_features == n]
        order = list(part.groupby("class").d.agg(["median", "min"]).sort_values(["median", "min"], kind="stable").index)
        for y, name in enumerate(order):
            gaps = part.gap[part["class"] == name]
            axis.plot(gaps, y + rng.uniform(-0.28, 0.28, len(gaps)), ".", color=MODEL_COLOURS[n], ms=2.5, alpha=0.6)
            axis.plot([gaps.median()] * 2, [y - 0.4, y + 0.4], color="k", lw=1.2)
        sizes = part.groupby("class").d.agg(["min", "max"])
        names = [f"{name}, {span(sizes.loc[name])}" for name in order]
        axis.set_yticks(range(len(order)), names, fontsize=6)
        axis.set(xscale="log", xlim=(0.7 * table.gap.min(), 1.4 * table.gap.max()), ylim=(len(order) - 0.4, -0.6))
        axis.set(xlabel="minimum gap $\\Delta_{\\min}$", title=f"$N_f={n}$")
        axis.xaxis.set_major_locator(LogLocator(numticks=9))
        axis.tick_params(axis="x", labelsize=6)
    right = axes[0, -1]
    for n, part in table.groupby("n_features"):
        share = np.arange(1, len(part) + 1) / len(part)
        style = {"color": MODEL_COLOURS[n], "ls": MODEL_LINES[n], "label": f"$N_f={n}$"}
        right.step(np.sort(part.s), share, where="post", **style)
    right.set(xlabel="position of the\nminimum gap $s^*$", ylabel="cumulative fraction", ylim=(0, 1.02))
    right.legend(loc="upper left", fontsize=6)
    axes[0, 0].set_ylabel("class, its $d$")
    lettered(axes.flat)
    return figure
