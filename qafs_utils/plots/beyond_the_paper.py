"""Figures of 07_beyond_the_paper."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .style import COLUMN, COUPLING_STYLES, PAGE, only_ticks, quartile_bars, time_colours

_GAP_TICKS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)


def beyond_d(fidelity: pd.DataFrame, larger: pd.DataFrame, fits: pd.DataFrame, reported: pd.DataFrame) -> Figure:
    """Fig. 10: fidelity and minimum gap at the d of sub-sampled candidates, beside the null models.

    fidelity: columns d, annealing_time, fidelity (cosines); reported: the paper's medians, columns annealing_time, d,
    median_fidelity; larger: columns couplings, d, gap, at_fixed_time, at_quadratic_time (fidelities), a row for each
    instance; fits: columns couplings, prefactor, a of the power law of the mean gap.

    >>> fidelity = pd.DataFrame({"d": [10, 20], "annealing_time": 50.0, "fidelity": [0.4, 0.2]})
    >>> larger = pd.DataFrame({"couplings": "cosine", "d": [10, 20], "gap": [0.1, 0.05], "at_fixed_time": [0.4, 0.2]})
    >>> reported = pd.DataFrame({"annealing_time": [50.0], "d": [10], "median_fidelity": [0.5]})
    >>> fits = pd.DataFrame({"couplings": ["cosine"], "prefactor": [1.0], "a": [-1.0]})
    >>> figure = beyond_d(fidelity, larger.assign(at_quadratic_time=[0.5, 0.5]), fits, reported)
    >>> [text.get_text() for text in figure.axes[1].get_legend().texts[:3]]
    ['cosine $J$, exponent $-1.00$', 'mean, with power law', 'median']
    """
    figure, ((by_time, gaps), (fixed, quadratic)) = plt.subplots(2, 2, figsize=(PAGE, 5.2))
    _fidelity_by_time(by_time, fidelity, reported)
    _gaps(gaps, larger, fits)
    _fidelity_by_couplings(fixed, larger, fits.couplings, "at_fixed_time")
    _fidelity_by_couplings(quadratic, larger, fits.couplings, "at_quadratic_time")
    fixed.set_ylabel("fidelity at fixed $\\tau$")
    quadratic.set_ylabel("fidelity at $\\tau\\propto d^2$")
    fixed.legend(loc="upper right")
    by_time.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=6.5, columnspacing=1)
    gaps.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=6.5, columnspacing=1)
    for axis in (by_time, fixed, quadratic):
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axis in figure.axes:
        axis.set(xlabel="number of candidates $d$")
    return figure


def _fidelity_by_time(axis, fidelity, reported):
    sizes, times = np.unique(fidelity.d), np.unique(fidelity.annealing_time)
    for k, (time, colour) in enumerate(time_colours(times).items()):
        part = fidelity[fidelity.annealing_time == time]
        shifted, groups = sizes + 0.14 * (k - (len(times) - 1) / 2), [part.fidelity[part.d == d] for d in sizes]
        quartile_bars(axis, shifted, groups, color=colour, markersize=3, label=f"$\\tau={time:g}$")
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
        shifted = np.array(sorted(groups.groups)) + 0.22 * (k - 1)
        values = [group for _, group in groups]
        quartile_bars(axis, shifted, values, marker, color=colour, markersize=4, label=name)
    axis.set(ylim=(-0.02, 1.02))


def readout(table: pd.DataFrame, annealing_times: Sequence[float]) -> Figure:
    """Fig. 11: probability that the read-out returns the optimum, against d.

    table: index d; columns "tau=10" and so on for the annealing times, "uniform draws", "descent from none", "descent
    from all".

    >>> table = pd.DataFrame({"tau=10": [0.9, 0.6], "uniform draws": [0.8, 0.1]}, index=[4, 10])
    >>> figure = readout(table.assign(**{"descent from none": [1.0, 0.9], "descent from all": [1.0, 0.8]}), [10.0])
    >>> figure.axes[0].lines[0].get_ydata().tolist()
    [0.9, 0.6]
    """
    figure, axis = plt.subplots(figsize=(COLUMN, 2.8))
    for time, colour in time_colours(annealing_times).items():
        axis.plot(table.index, table[f"tau={time:g}"], "o-", color=colour, label=f"best of $d^2$, $\\tau={time:g}$")
    axis.plot(table.index, table["uniform draws"], "s:", color="0.5", label="best of $d^2$ uniform draws")
    axis.plot(table.index, table["descent from none"], "^--", color="k", label="descent from none selected")
    axis.plot(table.index, table["descent from all"], "v--", color="k", mfc="w", label="descent from all selected")
    axis.set(xlabel="number of candidates $d$", ylabel="probability of the optimum", ylim=(-0.02, 1.04))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=2, fontsize=6, columnspacing=0.8)
    return figure
