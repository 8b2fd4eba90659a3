"""Figure of 06_fidelity."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..cnn.datasets import CLASSES
from .style import MODEL_COLOURS, PAGE, lettered, quartile_bars, time_styles


def fidelities(table: pd.DataFrame, couplings: dict, reported: pd.DataFrame) -> Figure:
    """Fig. 5: median fidelity with quartile bars by class and by d, and the distribution of the couplings.

    table: columns n_features, class, d, annealing_time, fidelity; couplings: {n_features: values};
    reported: the paper's medians, columns n_features, annealing_time, d, median_fidelity, drawn as crosses. By d the
    shortest annealing time has a panel of its own, with a logarithmic scale: there the fidelities are of the order of
    the uniform guess.

    >>> row = {"n_features": 16, "class": "bird", "d": 5, "annealing_time": 10.0}
    >>> reported = pd.DataFrame([row | {"median_fidelity": 0.15}])
    >>> table = pd.DataFrame([row | {"fidelity": 0.1}, row | {"fidelity": 0.3}])
    >>> figure = fidelities(table, {16: np.array([0.4, 0.5, 0.7])}, reported)
    >>> float(figure.axes[2].lines[0].get_ydata()[0])  # the median at d = 5
    0.2
    """
    models, styles = sorted(couplings), time_styles(sorted(table.annealing_time.unique()))
    figure, axes = plt.subplots(4, len(models), figsize=(PAGE, 7.6), sharey="row", squeeze=False)
    shortest, *longer = styles.items()
    for (by_class, by_size, fast, below), n in zip(axes.T, models):
        part, paper = table[table.n_features == n], reported[reported.n_features == n]
        _by_class(by_class, part, styles)
        _by_size(by_size, part, paper, dict(longer))
        _by_size(fast, part, paper, dict([shortest]))
        d = np.arange(part.d.min(), part.d.max() + 1)
        fast.plot(d, 0.5**d, ":", color="0.5", label="uniform guess $2^{-d}$")
        _distribution(below, couplings[n], MODEL_COLOURS[n])
    axes[1, 0].set_ylim(-0.02, 1.02)
    axes[2, 0].set(yscale="log", ylim=(0.4 * 0.5 ** table.d.max(), 1))
    names = ("fidelity, by class", "fidelity, by $d$", f"fidelity, $\\tau={shortest[0]:g}$", "density")
    for axis, name in zip(axes[:, 0], names):
        axis.set_ylabel(name)
    axes[3, 0].set_ylim(0, 1.3 * axes[3, 0].get_ylim()[1])
    axes[3, -1].legend(loc="upper right")
    lettered(axes[:, 0])
    for axis, n in zip(axes[0], models):
        axis.set_title(f"$N_f = {n}$")
    drawn = {}
    for axis in (axes[2, 0], axes[1, 0]):
        drawn |= dict(zip(*axis.get_legend_handles_labels()[::-1]))
    figure.legend(drawn.values(), drawn, loc="outside upper center", ncols=len(drawn))
    return figure


def _shifts(styles, step=0.14):
    """(annealing time, its colour, its marker, its shift sideways)."""
    return [(time, *style, step * (k - (len(styles) - 1) / 2)) for k, (time, style) in enumerate(styles.items())]


def _by_class(axis, table, styles):
    for time, colour, marker, shift in _shifts(styles):
        groups = table[table.annealing_time == time].groupby("class").fidelity
        present = [c for c, name in enumerate(CLASSES) if name in groups.groups]
        values = [groups.get_group(CLASSES[c]) for c in present]
        quartile_bars(axis, np.array(present) + shift, values, marker, color=colour, markersize=3)
    axis.set(xticks=range(10), ylim=(-0.02, 1.02))
    axis.set_xticklabels(CLASSES, rotation=90)


def _by_size(axis, table, reported, styles):
    for time, colour, marker, shift in _shifts(styles, 0.1):
        groups = table[table.annealing_time == time].groupby("d").fidelity
        d, style = np.array(sorted(groups.groups)), {"color": colour, "markersize": 3}
        values = [group for _, group in groups]
        quartile_bars(axis, d + shift, values, f"{marker}-", label=f"$\\tau={time:g}$", **style)
        paper = reported[reported.annealing_time == time]
        axis.plot(paper.d, paper.median_fidelity, "x", color=colour, markersize=6, mew=1.6)
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
