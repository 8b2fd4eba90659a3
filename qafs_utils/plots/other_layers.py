"""The figure of other layers."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from .class_measures import MEASURES, of_measure
from .style import METHOD_COLOURS, PAGE, lettered, with_interval

MARKS = {  # kind of selection or method: name as printed, colour, marker
    "exact": ("QUBO optimum", METHOD_COLOURS["QUBO optimum"], "v"),
    "top_k": ("top $k$", METHOD_COLOURS["top $k$"], "s"),
    "random_k": ("random $k$", METHOD_COLOURS["random $k$"], "^"),
    "candidates": ("all candidates (filtered Grad-CAM)", METHOD_COLOURS["filtered Grad-CAM"], "D"),
    "filtered Grad-CAM": ("all candidates (filtered Grad-CAM)", METHOD_COLOURS["filtered Grad-CAM"], "D"),
    "Grad-CAM": ("all maps (Grad-CAM)", METHOD_COLOURS["Grad-CAM"], "o"),
}
LINES = (":", "-")  # of the betas, the smallest first


def layers(
    problems: pd.DataFrame, propagated: pd.DataFrame, scores: pd.DataFrame, sizes: pd.DataFrame, classes: int = 10
) -> plt.Figure:
    """Fig. 19: selection at every block of the network; exactly k maps at the last.

    problems: block, beta, maps, d, selected; propagated: block, selection (key), and the measures of the class with
    their intervals; scores: the Average Drop by block, method (key), value, low, high; sizes: selection, beta, k,
    value, low, high; classes: their number, for the line of a guess.

    >>> problems = pd.DataFrame({"block": "layer4", "beta": [0.7, 0.99], "maps": 512, "d": 213, "selected": [11, 200]})
    >>> measured = {m + end: [0.5] for m in ("argmax", "matched", "probability") for end in ("", "_low", "_high")}
    >>> propagated = pd.DataFrame(measured).assign(block="layer4", selection="candidates")
    >>> row = {"block": "layer4", "value": 0.6, "low": 0.5, "high": 0.7}
    >>> selections = "QUBO, exactly k", "top k", "QUBO"
    >>> sizes = pd.DataFrame([row | {"beta": 0.7, "k": 5, "selection": name} for name in selections])
    >>> figure = layers(problems, propagated, pd.DataFrame([row | {"method": "Grad-CAM"}]), sizes)
    >>> [text.get_text() for text in figure.legends[0].texts[:2]]
    ['all candidates (filtered Grad-CAM)', 'all maps (Grad-CAM)']
    """
    figure, axes = plt.subplots(2, 3, figsize=(PAGE, 4.6))
    blocks, betas = list(problems.block.unique()), sorted(problems.beta.unique())
    _counts(axes[0, 0], problems, blocks, betas)
    for axis, measure in zip((axes[0, 1], axes[0, 2], axes[1, 0]), ("argmax", "matched", "probability")):
        axis.axhline(1 / classes, color="0.5", lw=0.8, ls="--")
        _by_block(axis, of_measure(propagated, measure), "selection", blocks, betas)
        axis.set(ylabel=MEASURES[measure], ylim=(0, 1.03), title="only these maps propagate")
    drops, fixed = axes[1, 1:]
    _by_block(drops, scores, "method", blocks, betas)
    drops.set(ylabel="Average Drop (%)", ylim=(0, None), title="explanations")
    for axis in axes.flat[:5]:
        axis.set_xticks(np.arange(len(blocks)), blocks, fontsize=7)
    _sizes(fixed, sizes)
    fixed.set(xscale="log", xlabel="number of maps $k$", ylabel="Average Drop (%)", ylim=(0, None))
    fixed.set_title(f"exactly $k$ of {blocks[-1]}, $\\beta={betas[0]:g}$")
    handles = dict(pair[::-1] for axis in axes.flat[1:] for pair in zip(*axis.get_legend_handles_labels()))
    for beta, line in zip(betas, LINES):
        handles[f"$\\beta={beta:g}$"] = plt.Line2D([], [], color="k", ls=line, lw=1)
    handles["guess"] = plt.Line2D([], [], color="0.5", ls="--", lw=0.8)
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=4, fontsize=6.5)
    lettered(axes.flat)
    return figure


def _counts(axis, problems, blocks, betas):
    """Numbers of maps, of candidates and of selected maps at every block: medians, and quartiles as bands."""
    x, first = np.arange(len(blocks)), problems[problems.beta == betas[0]]
    axis.plot(x, first.groupby("block").maps.first()[blocks], "o-", color="k", lw=0.9, markersize=3.5)
    rows = [(first, "d", "candidates", "-")]
    rows += [(problems[problems.beta == beta], "selected", "exact", line) for beta, line in zip(betas, LINES)]
    for table, column, kind, line in rows:
        low, middle, high = (table.groupby("block")[column].quantile(q)[blocks] for q in (0.25, 0.5, 0.75))
        _, colour, marker = MARKS[kind]
        axis.fill_between(x, low, high, color=colour, alpha=0.2, lw=0)
        axis.plot(x, middle, color=colour, marker=marker, ls=line, markersize=3.5, lw=0.9)
    axis.set(yscale="log", ylabel="number of maps", title="all, candidates, selected")


def _by_block(axis, table, column, blocks, betas):
    """Values with intervals of every method at every block, those of a beta on a line of its kind."""
    keys = list(table[column].unique())
    for shift, key in zip(np.linspace(-0.2, 0.2, len(keys)), keys):
        kind, _, beta = key.rpartition("_")
        name, colour, marker = MARKS[kind or key]
        line = dict(zip(betas, LINES))[float(beta)] if kind else "-"
        rows = table[table[column] == key].set_index("block").loc[blocks]
        style = {"color": colour, "marker": marker, "ls": line, "markersize": 3.5, "lw": 0.9, "label": name}
        with_interval(axis, np.arange(len(blocks)) + shift, rows, "value", **style)


def _sizes(axis, sizes):
    """Average Drop of exactly k maps at the first beta, and the two optima of free size as level lines."""
    for selection, kind in (("QUBO, exactly k", "exact"), ("top k", "top_k")):
        rows, (name, colour, marker) = sizes[sizes.selection == selection], MARKS[kind]
        style = {"color": colour, "marker": marker, "markersize": 3.5, "lw": 0.9, "label": name}
        with_interval(axis, rows.k, rows, "value", **style)
    free = sizes[sizes.selection == "QUBO"].sort_values("beta")
    for value, line in zip(free.value, LINES):
        axis.axhline(value, color="k", ls=line, lw=0.8)
    place = {"transform": axis.transAxes, "ha": "right", "va": "top", "fontsize": 6.5}
    axis.text(0.98, 0.98, "black lines: optima of any size", **place)
