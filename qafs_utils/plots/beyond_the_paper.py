"""Figures of 07_beyond_the_paper."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .style import COLUMN, COUPLING_STYLES, PAGE, lettered, only_ticks, quartile_bars, time_styles

_GAP_TICKS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)


def beyond_d(
    fidelity: pd.DataFrame, larger: pd.DataFrame, fits: pd.DataFrame, reported: pd.DataFrame, times: Sequence[float]
) -> Figure:
    """Fig. 10: fidelity and minimum gap at the d of sub-sampled candidates, beside the null models.

    fidelity: columns d, annealing_time, fidelity (cosines); reported: the paper's medians, columns annealing_time, d,
    median_fidelity; larger: columns couplings, d, gap, at_fixed_time, at_quadratic_time (fidelities), a row for each
    instance; fits: columns couplings, prefactor, a of the power law of the mean gap; times: the fixed annealing time,
    and what is multiplied with d^2. Bars of the mean gap: its standard error, where there are two instances or more.

    >>> fidelity = pd.DataFrame({"d": [10, 20], "annealing_time": 50.0, "fidelity": [0.4, 0.2]})
    >>> larger = pd.DataFrame({"couplings": "cosine", "d": [10, 20], "gap": [0.1, 0.05], "at_fixed_time": [0.4, 0.2]})
    >>> reported = pd.DataFrame({"annealing_time": [50.0], "d": [10], "median_fidelity": [0.5]})
    >>> fits = pd.DataFrame({"couplings": ["cosine"], "prefactor": [1.0], "a": [-1.0]})
    >>> figure = beyond_d(fidelity, larger.assign(at_quadratic_time=[0.5, 0.5]), fits, reported, (50.0, 2.0))
    >>> [text.get_text() for text in figure.axes[1].get_legend().texts[:3]]
    ['cosine $J$, exponent $-1.00$', 'mean, with power law', 'median']
    """
    figure, ((by_time, gaps), (fixed, quadratic)) = plt.subplots(2, 2, figsize=(PAGE, 5.2))
    _fidelity_by_time(by_time, fidelity, reported)
    _gaps(gaps, larger, fits)
    _fidelity_by_couplings(fixed, larger, fits.couplings, "at_fixed_time")
    _fidelity_by_couplings(quadratic, larger, fits.couplings, "at_quadratic_time")
    fixed.set_ylabel(f"fidelity at $\\tau={times[0]:g}$")
    quadratic.set_ylabel(f"fidelity at $\\tau={times[1]:g}\\,d^2$")
    fixed.legend(loc="upper right")
    by_time.legend(loc="lower center", bbox_to_anchor=(0.5, 1.07), ncols=3, fontsize=6.5, columnspacing=1)
    gaps.legend(loc="lower center", bbox_to_anchor=(0.5, 1.07), ncols=2, fontsize=6.5, columnspacing=1)
    lettered(figure.axes)
    for axis in (by_time, fixed, quadratic):
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axis in figure.axes:
        axis.set(xlabel="number of candidates $d$")
    return figure


def _fidelity_by_time(axis, fidelity, reported):
    sizes, times = np.unique(fidelity.d), np.unique(fidelity.annealing_time)
    for k, (time, (colour, marker)) in enumerate(time_styles(times).items()):
        part = fidelity[fidelity.annealing_time == time]
        shifted, groups = sizes + 0.1 * (k - (len(times) - 1) / 2), [part.fidelity[part.d == d] for d in sizes]
        style = {"color": colour, "markersize": 3, "label": f"$\\tau={time:g}$"}
        quartile_bars(axis, shifted, groups, f"{marker}-", **style)
        paper = reported[reported.annealing_time == time]
        axis.plot(paper.d, paper.median_fidelity, "x", color=colour, markersize=6, mew=1.6)
    axis.plot(sizes, 0.5**sizes, ":", color="0.5", label="uniform guess $2^{-d}$")
    axis.plot([], [], "kx", label="paper")
    axis.set(yscale="log", ylabel="fidelity, cosine $J$")


def _gaps(axis, larger, fits):
    """Mean and median gap by d of each kind of couplings, with power laws and 1 / d."""
    sizes = np.unique(larger.d)
    for k, fit in enumerate(fits.itertuples()):
        colour, marker, name = COUPLING_STYLES[fit.couplings]
        groups = larger[larger.couplings == fit.couplings].groupby("d").gap
        d = np.array(sorted(groups.groups))
        axis.plot(d, fit.prefactor * d**fit.a, color=colour, lw=0.8)
        beside = d * 1.015 ** (k - 1)
        axis.plot(beside, groups.mean(), marker, color=colour, label=f"{name}, exponent ${fit.a:.2f}$")
        axis.errorbar(beside, groups.mean(), groups.sem(), fmt="none", ecolor=colour, elinewidth=0.8)
        axis.plot(beside, groups.median(), marker, color=colour, mfc="w", zorder=1.5)
    for face, name in (("k", "mean, with power law"), ("w", "median")):
        axis.plot([], [], "ok", mfc=face, label=name)
    highest = larger[larger.d == sizes[0]].groupby("couplings").gap.mean().max()
    axis.plot(sizes, 1.4 * highest * sizes[0] / sizes, "k--", lw=0.8, label="$\\propto 1/d$")
    axis.set(xscale="log", yscale="log", ylabel="minimum gap $\\Delta_{\\min}$")
    only_ticks(axis, sizes)
    low, high = axis.get_ylim()
    ticks = [tick for tick in _GAP_TICKS if low < tick < high]
    axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])


def _fidelity_by_couplings(axis, larger, kinds, column):
    for k, kind in enumerate(kinds):
        colour, marker, name = COUPLING_STYLES[kind]
        groups = larger[larger.couplings == kind].groupby("d")[column]
        shifted = np.array(sorted(groups.groups)) + 0.15 * (k - 1)
        values = [group for _, group in groups]
        quartile_bars(axis, shifted, values, f"{marker}-", color=colour, markersize=4, label=name)
    axis.set(ylim=(-0.02, 1.02))


def readout(table: pd.DataFrame, annealing_times: Sequence[float]) -> Figure:
    """Fig. 11: probability that the read-out misses the optimum, against d, on a logarithmic scale.

    table: index d; columns "tau=10" and so on for the annealing times, "uniform draws", "descent from none", "descent
    from all": probabilities of the optimum.

    >>> table = pd.DataFrame({"tau=10": [0.75, 0.5], "uniform draws": [0.8, 0.1]}, index=[4, 10])
    >>> figure = readout(table.assign(**{"descent from none": [1.0, 0.9], "descent from all": [1.0, 0.8]}), [10.0])
    >>> figure.axes[0].lines[0].get_ydata().tolist()
    [0.25, 0.5]
    """
    figure, axis = plt.subplots(figsize=(COLUMN, 3.0))
    missed, by_time = (1 - table).where(table < 1), {}
    for time, (colour, marker) in time_styles(annealing_times).items():
        label, style = f"$\\tau={time:g}$", {"color": colour, "markersize": 3.5}
        (by_time[label],) = axis.plot(table.index, missed[f"tau={time:g}"], f"{marker}-", **style)
    style = {"markersize": 3.5, "color": "k"}
    (by_time["uniform draws"],) = axis.plot(table.index, missed["uniform draws"], "x:", **(style | {"color": "0.5"}))
    (none,) = axis.plot(table.index, missed["descent from none"], ">--", **style)
    (every,) = axis.plot(table.index, missed["descent from all"], "<--", mfc="w", **style)
    axis.set(
        xlabel="number of candidates $d$", ylabel="probability to miss the optimum", yscale="log", ylim=(1e-6, 1.6)
    )
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    place = {"loc": "lower left", "fontsize": 6, "title_fontsize": 6.5, "borderaxespad": 0.2, "columnspacing": 0.8}
    reads = axis.legend(
        by_time.values(), by_time, title="best of $d^2$ reads", bbox_to_anchor=(-0.1, 1), ncols=3, **place
    )
    axis.add_artist(reads)
    descents = {"title": "one steepest descent", "bbox_to_anchor": (0.67, 1)}
    axis.legend([none, every], ["from none", "from all"], **descents, **place)
    return figure
