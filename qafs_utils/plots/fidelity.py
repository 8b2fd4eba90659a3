"""Figure of 06_fidelity."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..cnn.datasets import CLASSES
from .style import MODEL_COLOURS, PAGE, quartile_bars, time_colours


def fidelities(table: pd.DataFrame, couplings: dict, reported: pd.DataFrame) -> Figure:
    """Fig. 5: median fidelity with quartile bars by class and by d, and the distribution of the couplings.

    table: columns n_features, class, d, annealing_time, fidelity; couplings: {n_features: values};
    reported: the paper's medians, columns n_features, annealing_time, d, median_fidelity, drawn as crosses. By d the
    scale is logarithmic: at an annealing time of 10 the fidelities are of the order of the uniform guess.

    >>> row = {"n_features": 16, "class": "bird", "d": 5, "annealing_time": 10.0}
    >>> reported = pd.DataFrame([row | {"median_fidelity": 0.15}])
    >>> table = pd.DataFrame([row | {"fidelity": 0.1}, row | {"fidelity": 0.3}])
    >>> figure = fidelities(table, {16: np.array([0.4, 0.5, 0.7])}, reported)
    >>> float(figure.axes[1].lines[0].get_ydata()[0])  # the median at d = 5
    0.2
    """
    models, colours = sorted(couplings), time_colours(sorted(table.annealing_time.unique()))
    figure, axes = plt.subplots(3, len(models), figsize=(PAGE, 6.2), sharey="row", squeeze=False)
    for (by_class, by_size, below), n in zip(axes.T, models):
        part = table[table.n_features == n]
        _by_class(by_class, part, colours)
        by_class.set_title(f"$N_f = {n}$")
        _by_size(by_size, part, reported[reported.n_features == n], colours)
        by_size.set(yscale="log", ylim=(min(1e-3, 0.4 * 0.5 ** table.d.max()), 1.5))
        _distribution(below, couplings[n], MODEL_COLOURS[n])
    axes[0, 0].set_ylabel("fidelity, by class")
    axes[1, 0].set_ylabel("fidelity, by $d$")
    axes[2, 0].set_ylabel("density")
    axes[2, 0].set_ylim(0, 1.3 * axes[2, 0].get_ylim()[1])
    axes[2, -1].legend(loc="upper right")
    figure.legend(*axes[1, 0].get_legend_handles_labels(), loc="outside upper center", ncols=len(colours) + 2)
    return figure


def _shifts(colours):
    """(annealing time, its colour, its shift sideways)."""
    return [(time, colour, 0.14 * (k - (len(colours) - 1) / 2)) for k, (time, colour) in enumerate(colours.items())]


def _by_class(axis, table, colours):
    for time, colour, shift in _shifts(colours):
        groups = table[table.annealing_time == time].groupby("class").fidelity
        present = [c for c, name in enumerate(CLASSES) if name in groups.groups]
        values = [groups.get_group(CLASSES[c]) for c in present]
        quartile_bars(axis, np.array(present) + shift, values, color=colour, markersize=3)
    axis.set(xticks=range(10), ylim=(-0.02, 1.02))
    axis.set_xticklabels(CLASSES, rotation=90)


def _by_size(axis, table, reported, colours):
    for time, colour, shift in _shifts(colours):
        groups = table[table.annealing_time == time].groupby("d").fidelity
        d, style = np.array(sorted(groups.groups)), {"color": colour, "markersize": 3}
        quartile_bars(axis, d + shift, [values for _, values in groups], label=f"$\\tau={time:g}$", **style)
        paper = reported[reported.annealing_time == time]
        axis.plot(paper.d, paper.median_fidelity, "x", color=colour, markersize=6, mew=1.6)
    d = np.arange(table.d.min(), table.d.max() + 1)
    axis.plot(d, 0.5**d, ":", color="0.5", label="uniform guess $2^{-d}$")
    axis.plot([], [], "kx", label="paper")
    axis.set(xlabel="number of candidates $d$")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def _distribution(axis, couplings, colour):
    """Histogram of the couplings, and the Gaussian of equal mean and variance."""
    axis.hist(couplings, np.linspace(0, 1, 41), density=True, color=colour, alpha=0.6)
    x, mean, variance = np.linspace(0, 1, 201), couplings.mean(), couplings.var()
    density = np.exp(-((x - mean) ** 2) / 2 / variance) / np.sqrt(2 * np.pi * variance)
    axis.plot(x, density, "k", lw=0.8, label="Gaussian of equal\nmean and variance")
    axis.set(xlabel="coupling $J_{pq}$, $p \\neq q$")
