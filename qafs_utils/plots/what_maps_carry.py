"""Figures of what the selected maps carry."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from .class_measures import MEASURES, of_measure
from .style import METHOD_COLOURS, PAGE, lettered, with_interval

CHOICES = {  # way of choosing k maps: name as printed, colour, marker
    "best subset": ("best subset, exhaustive", "k", "*"),
    "most added": ("largest contributions", METHOD_COLOURS["filtered Grad-CAM"], "D"),
    "top_k": ("top $k$ by importance", METHOD_COLOURS["top $k$"], "s"),
    "exact": ("QUBO optimum of size $k$", METHOD_COLOURS["QUBO optimum"], "o"),
    "random_k": ("random $k$ candidates", METHOD_COLOURS["random $k$"], "^"),
}
STYLES = {"argmax": ("-", "o", "k"), "matched": ("--", "s", "#E69F00"), "probability": (":", "^", "#56B4E9")}


def subsets(by_size: pd.DataFrame, sweep: pd.DataFrame, whole: dict[str, float]) -> plt.Figure:
    """Fig. 13: what exactly k maps carry of the class, what is left without them, and the differences to the top k.

    by_size: k, test ("kept", "removed"), selection, and the measures with their intervals and differences; sweep: k,
    test, beta, and differences; whole: means of the measures with all maps.

    >>> ends = ("", "_low", "_high", "_minus_top_k", "_minus_top_k_low", "_minus_top_k_high")
    >>> row = {"k": 1, "beta": 0.7, "selection": "exact"} | {m + end: 0.5 for m in MEASURES for end in ends}
    >>> tables = pd.DataFrame([row | {"test": "kept"}, row | {"test": "removed"}])
    >>> figure = subsets(tables, tables, {measure: 0.9 for measure in MEASURES})
    >>> [axis.get_title() for axis in figure.axes][2:4]
    ['(c) exactly $k$ maps kept', '(d) exactly $k$ maps removed']
    """
    figure, axes = plt.subplots(2, 3, figsize=(PAGE, 4.6))
    panels = [(measure, "kept") for measure in MEASURES] + [("argmax", "removed")]
    for axis, (measure, test) in zip(axes.flat, panels):
        axis.axhline(whole[measure], color="0.5", lw=0.9, ls=":", label="all maps")
        _by_size(axis, of_measure(by_size[by_size.test == test], measure))
        axis.set(ylabel=MEASURES[measure], title=f"exactly $k$ maps {test}", ylim=(0, 1.03))
    _minus_top_k(axes[1, 1], by_size.query("test == 'kept' and selection == 'exact'"))
    _trade_off(axes[1, 2], of_measure(sweep[sweep.test == "kept"], "matched", "top_k"))
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=3, fontsize=6.5)
    lettered(axes.flat)
    return figure


def _by_size(axis, table):
    for shift, (choice, (name, colour, marker)) in zip(np.linspace(-0.2, 0.2, 5), CHOICES.items()):
        rows = table[table.selection == choice]
        style = {"color": colour, "marker": marker, "markersize": 3.5, "lw": 0.8, "label": name}
        with_interval(axis, rows.k + shift, rows, "value", **style)
    axis.set_xlabel("number of maps $k$")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def _minus_top_k(axis, table):
    """The QUBO's optimum of k maps minus the top k, by each measure."""
    axis.axhline(0, color=METHOD_COLOURS["top $k$"], lw=0.8)
    for shift, (measure, (line, marker, colour)) in zip((-0.12, 0, 0.12), STYLES.items()):
        rows = of_measure(table, measure, "top_k")
        style = {"color": colour, "marker": marker, "ls": line, "markersize": 3, "lw": 0.8, "label": measure}
        with_interval(axis, rows.k + shift, rows, "value", **style)
    axis.set(xlabel="number of maps $k$", ylabel="QUBO minus top $k$", title="difference, kept")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend(fontsize=6, loc="lower right")


def _trade_off(axis, table):
    axis.axhline(0, color=METHOD_COLOURS["top $k$"], lw=0.8)
    for (k, rows), line, marker in zip(table.groupby("k"), ("-", "--", ":"), "osD"):
        axis.fill_between(rows.beta, rows.low, rows.high, color=METHOD_COLOURS["QUBO optimum"], alpha=0.15, lw=0)
        style = {"color": METHOD_COLOURS["QUBO optimum"], "marker": marker, "ls": line, "markersize": 3}
        axis.plot(rows.beta, rows.value, label=f"$k={k}$", **style)
    axis.set(
        xlabel="trade-off $\\beta$", ylabel="matched probability,\nQUBO minus top $k$", title="less or more diverse"
    )
    axis.legend(fontsize=6)
