"""Figures of what the selected maps carry."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

from .style import METHOD_COLOURS, PAGE, with_interval

CHOICES = {  # way of choosing k maps: name as printed, colour, marker
    "best subset": ("best subset, exhaustive", "k", "*"),
    "most added": ("largest contributions", METHOD_COLOURS["filtered Grad-CAM"], "D"),
    "top_k": ("top $k$ by importance", METHOD_COLOURS["top $k$"], "s"),
    "exact": ("QUBO optimum of size $k$", METHOD_COLOURS["QUBO optimum"], "o"),
    "random_k": ("random $k$ candidates", METHOD_COLOURS["random $k$"], "^"),
}


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
    for axis, test in zip(axes, ("kept", "removed")):
        _by_size(axis, by_size[by_size.test == test], whole)
        axis.set_title(f"exactly $k$ maps {test}")
    _trade_off(axes[2], sweep[sweep.test == "kept"])
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=3, fontsize=6.5)
    return figure


def _by_size(axis, table, whole):
    axis.axhline(whole, color="0.5", lw=0.9, ls=":", label="all maps")
    for shift, (choice, (name, colour, marker)) in zip(np.linspace(-0.2, 0.2, 5), CHOICES.items()):
        rows = table[table.selection == choice]
        style = {"color": colour, "marker": marker, "markersize": 3.5, "lw": 0.8, "label": name}
        with_interval(axis, rows.k + shift, rows, "probability", **style)
    axis.set(xlabel="number of maps $k$", ylabel="class probability", ylim=(0, 1.03))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def _trade_off(axis, table):
    colour = METHOD_COLOURS["QUBO optimum"]
    for (k, rows), line in zip(table.groupby("k"), ("-", "--", ":")):
        axis.fill_between(rows.beta, rows.low, rows.high, color=colour, alpha=0.2, lw=0)
        axis.plot(rows.beta, rows.difference, f"o{line}", color=colour, markersize=3, label=f"$k={k}$")
    axis.axhline(0, color=METHOD_COLOURS["top $k$"], lw=0.8)
    axis.set(xlabel="trade-off $\\beta$", ylabel="difference to top $k$", title="QUBO of fixed size $k$, kept")
    axis.legend()
