"""Figures of gap and fidelity."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

from ..cnn.datasets import CLASSES
from .style import (
    CLASS_COLOURS,
    CLASS_MARKERS,
    COLUMN,
    COUPLING_STYLES,
    MODEL_COLOURS,
    PAGE,
    only_ticks,
    quartile_bars,
    time_colours,
)


def gap_histogram(gaps, text, edges, reported):
    """Fig. 4: distribution of the minimum gap and its cumulative curve, ours and the paper's.

    gaps: (images,); text: the same with the text's pair sum, shown as a curve; edges: (bins + 1,); reported: (bins,)
    counts of the paper. A gap of 0, of a degenerate optimum, counts in the lowest bin.

    >>> gaps = np.array([0.02, 0.03, 0.3])
    >>> figure = gap_histogram(gaps, 2 * gaps, np.array([0.01, 0.1, 1.0]), np.array([3, 1]))
    >>> [patch.get_data().values.round(2).tolist() for patch in figure.axes[0].patches]  # ours, the paper's
    [[0.67, 0.33], [0.75, 0.25]]
    """
    figure, axis = plt.subplots(figsize=(COLUMN, 2.5))
    gaps = np.maximum(gaps, min([*gaps[gaps > 0], edges[0]]))
    step = edges[-1] / edges[-2]  # logarithmic bins, continued as far as our gaps reach
    reach = np.log(np.array([min(gaps), max(*gaps, edges[-1])]) / edges[0]) / np.log(step)
    wide = edges[0] * step ** np.arange(np.floor(reach[0]), np.ceil(reach[1]) + 1)
    counts = np.histogram(gaps, wide)[0]
    axis.stairs(counts / len(gaps), wide, fill=True, color=MODEL_COLOURS[16], alpha=0.6, label="ours ($p<q$)")
    axis.stairs(reported / reported.sum(), edges, color="k", lw=0.8, label="paper")
    axis.set(xscale="log", xlim=(min(gaps.min(), edges[0]), None))
    axis.set(xlabel="minimum gap $\\Delta_{\\min}$", ylabel="fraction of images")
    right = axis.twinx()
    right.spines.right.set_visible(True)
    share = np.arange(1, len(gaps) + 1) / len(gaps)
    right.plot(np.sort(gaps), share, color=MODEL_COLOURS[16], ls="--")
    (dotted,) = right.plot(np.sort(text), share, color=MODEL_COLOURS[16], ls=":")
    right.plot(edges[1:], np.cumsum(reported) / reported.sum(), color="k", ls="--", lw=0.8)
    right.set(ylabel="cumulative (dashed, dotted)", ylim=(0, 1.02))
    handles, names = axis.get_legend_handles_labels()
    axis.legend([*handles, dotted], [*names, "ours, text's\npair sum"], loc="upper left")
    return figure


def fidelities(table, couplings, reported):
    """Fig. 5: median fidelity with quartile bars by class and by d, and the distribution of the couplings.

    table: columns n_features, class, d, annealing_time, fidelity; couplings: {n_features: values};
    reported: the paper's medians, columns n_features, tau, d, median_fidelity, drawn as crosses. By d the scale is
    logarithmic: at tau = 10 the fidelities are of the order of the uniform guess.

    >>> from pandas import DataFrame
    >>> row = {"n_features": 16, "class": "bird", "d": 5, "annealing_time": 10.0}
    >>> table = DataFrame([row | {"fidelity": 0.1}, row | {"fidelity": 0.3}])
    >>> reported = DataFrame([{"n_features": 16, "tau": 10.0, "d": 5, "median_fidelity": 0.15}])
    >>> figure = fidelities(table, {16: np.array([0.4, 0.5, 0.7])}, reported)
    >>> float(figure.axes[1].lines[0].get_ydata()[0])  # the median at d = 5
    0.2
    """
    sizes, times = sorted(couplings), sorted(table.annealing_time.unique())
    colours = time_colours(times)
    figure, axes = plt.subplots(3, len(sizes), figsize=(PAGE, 6.2), sharey="row", squeeze=False)
    for column, n in enumerate(sizes):
        by_class, by_size, below = axes[:, column]
        part = table[table.n_features == n]
        for k, tau in enumerate(times):
            now = part[part.annealing_time == tau]
            shift = 0.14 * (k - (len(times) - 1) / 2)
            names = [c for c in CLASSES if (now["class"] == c).any()]
            style = {"color": colours[tau], "markersize": 3}
            quartile_bars(
                by_class,
                np.array([CLASSES.index(c) for c in names]) + shift,
                [now.fidelity[now["class"] == c] for c in names],
                **style,
            )
            d = np.array(sorted(now.d.unique()))
            quartile_bars(by_size, d + shift, [now.fidelity[now.d == v] for v in d], label=f"$\\tau={tau:g}$", **style)
            paper = reported[(reported.n_features == n) & (reported.tau == tau)]
            by_size.plot(paper.d, paper.median_fidelity, "x", color=colours[tau], markersize=6, mew=1.6)
        d = np.arange(part.d.min(), part.d.max() + 1)
        by_size.plot(d, 0.5**d, ":", color="0.5", label="uniform guess $2^{-d}$")
        by_size.plot([], [], "kx", label="paper")
        by_class.set(xticks=range(10), title=f"$N_f = {n}$", ylim=(-0.02, 1.02))
        by_class.set_xticklabels(CLASSES, rotation=90)
        by_size.set(xlabel="number of candidates $d$", yscale="log", ylim=(min(1e-3, 0.4 * 0.5 ** table.d.max()), 1.5))
        by_size.xaxis.set_major_locator(MaxNLocator(integer=True))
        J = couplings[n]
        below.hist(J, np.linspace(0, 1, 41), density=True, color=MODEL_COLOURS[n], alpha=0.6)
        x = np.linspace(0, 1, 201)
        below.plot(
            x,
            np.exp(-((x - J.mean()) ** 2) / 2 / J.var()) / np.sqrt(2 * np.pi * J.var()),
            "k",
            lw=0.8,
            label="Gaussian of equal\nmean and variance",
        )
        below.set(xlabel="coupling $J_{pq}$, $p \\neq q$")
    axes[0, 0].set_ylabel("fidelity, by class")
    axes[1, 0].set_ylabel("fidelity, by $d$")
    axes[2, 0].set_ylabel("density")
    axes[2, 0].set_ylim(0, 1.3 * axes[2, 0].get_ylim()[1])
    axes[2, -1].legend(loc="upper right")
    figure.legend(*axes[1, 0].get_legend_handles_labels(), loc="outside upper center", ncols=len(times) + 2)
    return figure


def gap_against_size(table, fits):
    """Fig. 7: mean and median minimum gap against d with the power-law fit of the mean; hardest instances marked.

    table: columns n_features, d, gap; fits: {n_features: (prefactor, exponent, its low, its high)} of the power law.

    >>> from pandas import DataFrame
    >>> table = DataFrame({"n_features": 16, "d": [4, 4, 8], "gap": [0.1, 0.3, 0.1]})
    >>> figure = gap_against_size(table, {16: (0.8, -1.0, -1.4, -0.6)})
    >>> [line.get_ydata().tolist() for line in figure.axes[0].lines[1:3]]  # mean, median
    [[0.2, 0.1], [0.2, 0.1]]
    """
    figure, axes = plt.subplots(1, len(fits), figsize=(PAGE, 2.5), sharey=True, squeeze=False)
    for axis, (n, (prefactor, exponent, low, high)) in zip(axes.flat, fits.items()):
        part = table[table.n_features == n]
        d, colour = np.array(sorted(part.d.unique())), MODEL_COLOURS[n]
        grouped = part.groupby("d").gap
        axis.plot(part.d, part.gap, ".", color="0.8", markersize=2, zorder=0)
        axis.plot(d, grouped.mean(), "o", color=colour, label="mean")
        axis.plot(d, grouped.median(), "s", mfc="w", color=colour, label="median")
        axis.plot(d, grouped.min(), "v", color="k", label="hardest")
        axis.plot(d, prefactor * d**exponent, "-", color=colour, lw=0.9, label="power law")
        axis.set(xscale="log", yscale="log", xlabel="number of candidates $d$")
        axis.set_title(f"$N_f={n}$: exponent ${exponent:.1f}$\n[${low:.1f}$, ${high:.1f}$]")
        axis.minorticks_off()
        labelled = list(d[:1])  # as many as have room
        for v in d[1:]:
            labelled += [v] if v > 1.1 * labelled[-1] else []
        axis.set_xticks(d, [str(v) if v in labelled else "" for v in d])
    axes[0, 0].set_ylabel("minimum gap $\\Delta_{\\min}$")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


def gap_by_class(table):
    """Fig. 8: minimum gap against d by class, a panel a model, and the distribution of s* = argmin gap.

    table: columns n_features, class, d, gap, s.

    >>> from pandas import DataFrame
    >>> table = DataFrame({"n_features": 16, "class": ["bird", "cat"], "d": 5, "gap": [0.1, 0.2], "s": 0.9})
    >>> figure = gap_by_class(table)
    >>> float(figure.axes[0].lines[3].get_ydata()[0])  # the cat
    0.2
    """
    sizes = sorted(table.n_features.unique())
    figure, axes = plt.subplots(1, len(sizes) + 1, figsize=(PAGE, 2.7), squeeze=False)
    rng = np.random.default_rng(0)
    for axis, n in zip(axes.flat, sizes):
        for c, name in enumerate(CLASSES):
            part = table[(table["class"] == name) & (table.n_features == n)]
            axis.plot(
                part.d + rng.uniform(-0.3, 0.3, len(part)),
                part.gap,
                CLASS_MARKERS[c],
                color=CLASS_COLOURS[c],
                markersize=3,
                mew=0.6,
                label=name,
            )
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
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside upper center",
        ncols=10,
        handletextpad=0.1,
        columnspacing=0.8,
    )
    return figure


def beyond_d(fidelity, larger, fits, reported):
    """Fig. 10: fidelity and minimum gap at the d of sub-sampled candidates, beside the null models.

    fidelity: columns d, annealing_time, fidelity (cosines); reported: the paper's medians as in `fidelities`;
    larger: columns couplings, d, gap, at_fixed_time, at_quadratic_time (fidelities), an instance a row;
    fits: {couplings: (prefactor, exponent)} of the power law of the mean gap.

    >>> from pandas import DataFrame
    >>> fidelity = DataFrame({"d": [10, 20], "annealing_time": 50.0, "fidelity": [0.4, 0.2]})
    >>> larger = DataFrame({"couplings": "cosine", "d": [10, 20], "gap": [0.1, 0.05], "at_fixed_time": [0.4, 0.2]})
    >>> reported = DataFrame({"tau": [50.0], "d": [10], "median_fidelity": [0.5]})
    >>> figure = beyond_d(fidelity, larger.assign(at_quadratic_time=[0.5, 0.5]), {"cosine": (1.0, -1.0)}, reported)
    >>> [text.get_text() for text in figure.axes[1].get_legend().texts[:3]]
    ['cosine $J$, exponent $-1.00$', 'mean, with power law', 'median']
    """
    figure, ((by_time, gaps), (fixed, quadratic)) = plt.subplots(2, 2, figsize=(PAGE, 5.2))
    sizes, times = np.unique(fidelity.d), np.unique(fidelity.annealing_time)
    for k, (tau, colour) in enumerate(time_colours(times).items()):
        now = fidelity[fidelity.annealing_time == tau]
        shift = 0.14 * (k - (len(times) - 1) / 2)
        quartile_bars(
            by_time,
            sizes + shift,
            [now.fidelity[now.d == d] for d in sizes],
            color=colour,
            markersize=3,
            label=f"$\\tau={tau:g}$",
        )
        paper = reported[reported.tau == tau]
        by_time.plot(paper.d, paper.median_fidelity, "x", color=colour, markersize=6, mew=1.6)
    by_time.plot(sizes, 0.5**sizes, ":", color="0.5", label="uniform guess $2^{-d}$")
    by_time.plot([], [], "kx", label="paper")
    by_time.set(yscale="log", ylabel="fidelity, cosine $J$")
    for k, (kind, (prefactor, exponent)) in enumerate(fits.items()):
        colour, marker, name = COUPLING_STYLES[kind]
        groups = larger[larger.couplings == kind].groupby("d")
        at, style = np.array(sorted(groups.groups)), {"color": colour, "markersize": 4, "label": name}
        for axis, column in ((fixed, "at_fixed_time"), (quadratic, "at_quadratic_time")):
            quartile_bars(axis, at + 0.22 * (k - 1), [g[column] for _, g in groups], marker, **style)
        gaps.plot(at, prefactor * at**exponent, color=colour, lw=0.8)
        beside = at * 1.015 ** (k - 1)
        gaps.plot(beside, groups.gap.mean(), marker, color=colour, label=f"{name}, exponent ${exponent:.2f}$")
        gaps.plot(beside, groups.gap.median(), marker, color=colour, mfc="w", zorder=1.5)
    for face, name in (("k", "mean, with power law"), ("w", "median")):
        gaps.plot([], [], "ok", mfc=face, label=name)
    highest = larger[larger.d == sizes[0]].groupby("couplings").gap.mean().max()
    gaps.plot(sizes, 1.4 * highest * sizes[0] / sizes, "k--", lw=0.8, label="$\\propto 1/d$")
    gaps.set(xscale="log", yscale="log", ylabel="minimum gap $\\Delta_{\\min}$")
    only_ticks(gaps, sizes)
    low, high = gaps.get_ylim()
    ticks = [t for t in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2) if low < t < high]
    gaps.set_yticks(ticks, [f"{t:g}" for t in ticks])
    fixed.set(ylim=(-0.02, 1.02), ylabel="fidelity at fixed $\\tau$")
    quadratic.set(ylim=(-0.02, 1.02), ylabel="fidelity at $\\tau\\propto d^2$")
    fixed.legend(loc="upper right")
    by_time.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=6.5, columnspacing=1)
    gaps.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=6.5, columnspacing=1)
    for axis in (by_time, fixed, quadratic):
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axis in (by_time, gaps, fixed, quadratic):
        axis.set(xlabel="number of candidates $d$")
    return figure


def readout(table):
    """Fig. 11: probability that the read-out returns the optimum, against d.

    table: index d; columns "tau=10" and so on, "uniform draws", "descent from none", "descent from all".

    >>> from pandas import DataFrame
    >>> table = DataFrame({"tau=10": [0.9, 0.6], "uniform draws": [0.8, 0.1]}, index=[4, 10])
    >>> figure = readout(table.assign(**{"descent from none": [1.0, 0.9], "descent from all": [1.0, 0.8]}))
    >>> figure.axes[0].lines[0].get_ydata().tolist()
    [0.9, 0.6]
    """
    figure, axis = plt.subplots(figsize=(COLUMN, 2.8))
    times = [name for name in table if name.startswith("tau=")]
    for name, colour in time_colours(times).items():
        axis.plot(table.index, table[name], "o-", color=colour, label=f"best of $d^2$, $\\tau={name[4:]}$")
    axis.plot(table.index, table["uniform draws"], "s:", color="0.5", label="best of $d^2$ uniform draws")
    axis.plot(table.index, table["descent from none"], "^--", color="k", label="descent from none selected")
    axis.plot(table.index, table["descent from all"], "v--", color="k", mfc="w", label="descent from all selected")
    axis.set(xlabel="number of candidates $d$", ylabel="probability of the optimum", ylim=(-0.02, 1.04))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=2, fontsize=6, columnspacing=0.8)
    return figure
