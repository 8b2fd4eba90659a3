"""One function per figure: arrays in, matplotlib Figure out. Colours of methods and models are fixed here.

Figures have the look of the paper under `plt.style.use(plots.STYLE)`, as in every notebook that draws.
"""

import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib import rc_params_from_file
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from scipy import ndimage

from .data import CLASSES

STYLE = rc_params_from_file(Path(__file__).with_name("paper.mplstyle"), use_default_template=False)
COLUMN, PAGE = 3.4, 7.0  # inches

# Okabe-Ito, colour-blind safe
MODEL_COLOURS = {16: "#0072B2", 24: "#009E73", 32: "#D55E00", 512: "#555555"}
METHOD_COLOURS = {
    "Grad-CAM": "#000000",
    "Grad-CAM++": "#E69F00",
    "Score-CAM": "#56B4E9",
    "QA-Grad-CAM": "#CC79A7",
    "SA-Grad-CAM": "#CC79A7",  # the same selection problem, another solver
    "QUBO optimum": "#CC79A7",
    "filtered Grad-CAM": "#009E73",
    "top $k$": "#0072B2",
    "random $k$": "#D55E00",
    "HiResCAM": "#F0E442",
}
SELECTIONS = {
    "qa": "QA-Grad-CAM",
    "sa": "SA-Grad-CAM",
    "exact": "QUBO optimum",
    "top_k": "top $k$",
    "random_k": "random $k$",
}
RANK_COLOURS = ("#CC79A7", "#0072B2", "#009E73", "#E69F00")
CLASS_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7") * 2  # told apart by the marker as well
CLASS_MARKERS = "os^vD<>Pp*"
COUPLING_STYLES = {  # colour, marker, name
    "cosine": ("#CC79A7", "o", "cosine $J$"),
    "zero": ("#56B4E9", "s", "$J=0$"),
    "gaussian": ("#E69F00", "^", "Gaussian $J$"),
}


def method_name(key):
    """(name as printed, colour) of a method by its key: "qa", "top_k_0.99" (at beta = 0.99), or a CAM's own name.

    >>> method_name("qa"), method_name("top_k")
    (('QA-Grad-CAM', '#CC79A7'), ('top $k$', '#0072B2'))
    """
    base, _, beta = key.rpartition("_") if key[-1:].isdigit() else (key, "", "")
    name = SELECTIONS.get(base, base).replace("++, authors'", "++, its authors'")  # not the paper's authors
    colour = METHOD_COLOURS.get(name.split(",")[0], "#000000")
    return (f"{name}, $\\beta={float(beta):g}$" if beta else name), colour


def map_gallery(maps, importance):
    """The maps of one image in order of importance; those that support the class have a coloured frame.

    maps: (N_f, H, W); importance: (N_f,).

    >>> figure = map_gallery(np.random.default_rng(0).random((3, 4, 4)), np.array([-0.1, 0.2, 0.5]))
    >>> [axis.get_title() for axis in figure.axes[:3]]
    ['2: +0.5', '1: +0.2', '0: -0.1']
    """
    order = np.argsort(-importance)
    rows = -(-len(order) // 8)
    figure, axes = plt.subplots(rows, 8, figsize=(PAGE, 1.05 * rows), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, a in zip(axes.flat, order):
        axis.axis("on")
        axis.imshow(maps[a].astype(float))
        axis.set(xticks=[], yticks=[])
        axis.set_title(f"{a}: {importance[a]:+.2g}", fontsize=7)
        for spine in axis.spines.values():
            spine.set(visible=True, linewidth=2, color=MODEL_COLOURS[32] if importance[a] > 0 else "0.8")
    figure.suptitle("feature map: importance; framed where positive", fontsize=8)
    return figure


def selection_problem(problem):
    """One QUBO: redundancy matrix and field of a qubo.Selection, candidates named by their map.

    >>> from qafs_utils.qubo import Selection
    >>> problem = Selection(np.array([2, 5]), np.array([-1.0, -0.5]), np.array([[1.0, 0.6], [0.6, 1.0]]))
    >>> figure = selection_problem(problem)
    >>> [float(bar.get_width()) for bar in figure.axes[1].patches]
    [-1.0, -0.5]
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(0.75 * PAGE, 2.3), width_ratios=(1.15, 1))
    image = left.imshow(problem.redundancy, vmin=0, vmax=1)
    figure.colorbar(image, ax=left, label="redundancy $J_{pq}$")
    ticks = range(problem.d)
    left.set(xticks=ticks, yticks=ticks, xticklabels=problem.maps, yticklabels=problem.maps, xlabel="feature map")
    right.barh(ticks, problem.field, color=MODEL_COLOURS[16])
    right.set(yticks=ticks, yticklabels=problem.maps, ylim=(problem.d - 0.5, -0.5))
    right.set(ylabel="feature map", xlabel="field $h_p$")
    return figure


def landscape(axis, energies, probabilities=None):
    """All bit-strings by the maps in which they differ from the optimum and their energy; lines change one map.

    energies: (2^d,); probabilities: (2^d,), as areas of the points. The optimum is in the colour of the method.

    >>> axis = plt.figure().subplots()
    >>> landscape(axis, np.array([0.0, -1.0, -0.5, -0.2]))
    >>> axis.collections[-1].get_offsets().tolist()  # the optimum
    [[0.0, -1.0]]
    """
    d, best = len(energies).bit_length() - 1, energies.argmin()
    k = np.arange(len(energies))
    distance = np.array([int(i).bit_count() for i in k ^ best])
    edges = [((distance[i], energies[i]), (distance[i ^ 1 << p], energies[i ^ 1 << p]))
             for i in k for p in range(d) if not i >> p & 1]
    axis.add_collection(LineCollection(edges, colors="0.85", linewidths=0.4, zorder=1))
    area = np.full(len(k), 8.0) if probabilities is None else 1.0 + 180 * probabilities
    others = k != best
    axis.scatter(distance[others], energies[others], area[others], color="0.35", linewidths=0, zorder=2)
    axis.scatter(0, energies[best], area[best], color=METHOD_COLOURS["QUBO optimum"], linewidths=0, zorder=3)
    axis.set(xlabel="maps changed", xticks=range(d + 1), xlim=(-0.9, d + 0.5))
    axis.margins(y=0.12)


def one_anneal(s, levels, occupied, populations, energies, gap, times=(0.0, 0.25, 0.5, 0.75, 1.0)):
    """Fig. 22: one anneal from inside. Above levels, their occupation and the bit-strings, below the energy landscape.

    s: (n,) rising from 0 to 1; levels, occupied: (n, 2^d) as `spectrum.occupations`; populations: (n, 2^d);
    energies: (2^d,); gap: `spectrum.Gap`; times: values of s at which the landscape is shown.

    >>> from qafs_utils import annealing, spectrum
    >>> E, s = np.array([0.0, -1.0, -0.5, -0.2]), np.linspace(0, 1, 11)
    >>> states = annealing.states(E, s)
    >>> levels, occupied = spectrum.occupations(E, states, s)
    >>> figure = one_anneal(s, levels, occupied, abs(states) ** 2, E, spectrum.minimum_gap(E))
    >>> [axis.get_title() for axis in figure.axes[3:]]
    ['$s=0$', '$s=0.25$', '$s=0.5$', '$s=0.75$', '$s=1$']
    """
    figure = plt.figure(figsize=(PAGE, 4.3))
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1))
    left, middle, right = above.subplots(1, 3)
    spectrum = levels - levels[:, :1]
    left.plot(s, spectrum[:, 2:], color="0.8", lw=0.5)
    left.plot(s, spectrum[:, 1], color=METHOD_COLOURS["QA-Grad-CAM"])
    left.plot(gap.s, gap.gap, "o", color="black", ms=3)
    for axis in (left, middle):
        axis.axvline(gap.s, color="black", lw=0.6, ls=":")
    left.text(gap.s - 0.03, 1.2 * spectrum.max(), f"minimum gap {gap.gap:.3f}\nat $s^*={gap.s:.2f}$", ha="right",
              va="top", fontsize=7)
    left.set(xlabel="$s = t/\\tau$", ylabel="energy above ground state", ylim=(0, 1.25 * spectrum.max()))
    parts = {"ground state": occupied[:, 0], "first excited": occupied[:, 1], "higher": occupied[:, 2:].sum(1)}
    colours = (METHOD_COLOURS["QA-Grad-CAM"], "0.45", "0.85")
    middle.stackplot(s, *parts.values(), labels=parts, colors=colours, linewidth=0)
    middle.set(xlabel="$s = t/\\tau$", ylabel="occupation of levels", xlim=(0, 1), ylim=(0, 1))
    middle.legend(loc="lower left", frameon=True, framealpha=0.85, edgecolor="none")
    bit_strings(right, s, populations, energies, len(energies).bit_length() - 1)
    axes = below.subplots(1, len(times), sharey=True)
    for axis, time in zip(axes, times):
        landscape(axis, energies, populations[np.abs(s - time).argmin()])
        axis.set_title(f"$s={time:g}$")
    axes[0].set_ylabel("energy of bit-string")
    return figure


def map_usage(usages, candidates):
    """Fig. 23: how often each class selects each map, one panel a model.

    usages: {title: (10, N_f) share of a class's images in which the map is selected}; candidates: {title: (10, N_f)
    bool}, a dot where N_f <= 32. Larger models have only the maps that some image selects, sorted by the class that
    selects them most.

    >>> small, large = np.eye(10, 16), np.eye(10, 512)
    >>> figure = map_usage({"small": small, "large": large}, {"small": small > 0, "large": large > 0})
    >>> [axis.get_xlabel() for axis in figure.axes[:2]]
    ['map', '10 of 512 maps, by class']
    """
    figure, axes = plt.subplots(1, len(usages), figsize=(PAGE, 2.3), sharey=True, width_ratios=[1.3, 1][: len(usages)])
    for axis, (title, usage) in zip(np.atleast_1d(axes), usages.items()):
        label = "map"
        if usage.shape[1] > 32:
            used = np.flatnonzero(usage.any(0))
            order = used[np.lexsort((-usage[:, used].max(0), usage[:, used].argmax(0)))]
            label, usage = f"{len(used)} of {usage.shape[1]} maps, by class", usage[:, order]
        else:
            c, a = np.nonzero(candidates[title])
            axis.plot(a, c, ".", color="0.6", ms=2)
        image = axis.imshow(usage, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        axis.set(title=title, xlabel=label, yticks=range(10), yticklabels=CLASSES)
        axis.tick_params(length=0)
    figure.colorbar(image, ax=axes, label="share of the class's images", pad=0.01)
    return figure


def bhattacharyya_matrices(matrices):
    """Fig. 2: class-class overlap matrices, {title: (10, 10)}, values written where they fit.

    >>> figure = bhattacharyya_matrices({"$N_f=16$": np.eye(10) + 0.25 * np.eye(10, k=1)})
    >>> [text.get_text() for text in figure.axes[0].texts][:3]  # of the first row; the diagonal is 1
    ['', '.25', '']
    """
    figure, axes = plt.subplots(1, len(matrices), figsize=(PAGE, PAGE / len(matrices) + 0.3), squeeze=False)
    for axis, (title, matrix) in zip(axes.flat, matrices.items()):
        shown = (matrix >= 0.005) & ~np.eye(len(matrix), dtype=bool)
        written = np.where(shown, np.char.mod("%.2f", matrix), "")
        written = np.char.replace(written, "0.", ".")
        sns.heatmap(
            matrix,
            vmin=0,
            vmax=1,
            annot=written,
            fmt="",
            annot_kws={"size": 5},
            square=True,
            cmap="viridis",
            cbar=False,
            xticklabels=CLASSES,
            yticklabels=CLASSES,
            ax=axis,
        )
        axis.tick_params(length=0)
        axis.set_title(title)
    figure.colorbar(axis.collections[0], ax=axes, label="Bhattacharyya coefficient", shrink=0.75)
    return figure


def drop_against_area(table):
    """Fig. 14: Average Drop against the area of the mask, beside blind masks of equal area; one panel a model.

    table: n_features, method (key), area, average_drop, low, high, and the Average Drops random and centred.

    >>> from pandas import DataFrame
    >>> row = {"n_features": 16, "method": "Grad-CAM", "area": 0.3, "average_drop": 32.0, "low": 27.0, "high": 38.0}
    >>> figure = drop_against_area(DataFrame([row | {"random": 50.0, "centred": 30.0}]))
    >>> [text.get_text() for text in figure.legends[0].texts]
    ['random mask, same area', 'centred mask, same area', 'Grad-CAM']
    """
    sizes = list(table.n_features.unique())
    figure, axes = plt.subplots(1, len(sizes), figsize=(PAGE, 3.1), sharey=True, squeeze=False)
    kinds = (
        "Grad-CAM",
        "Grad-CAM++",
        "HiResCAM",
        "Score-CAM",
        "filtered Grad-CAM",
        "QA-Grad-CAM",
        "SA-Grad-CAM",
        "top $k$",
        "random $k$",
    )
    markers, shown = dict(zip(kinds, "osXPDv^<>")), {}
    for axis, n in zip(axes.flat, sizes):
        of = table[table.n_features == n].sort_values("area")
        for column, marker in (("random", "_"), ("centred", "+")):
            (line,) = axis.plot(of.area, of[column], marker, color="0.45", markersize=6, mew=1.1)
            shown[f"{column} mask, same area"] = line
        for _, row in of.iterrows():
            name, colour = method_name(row.method)
            white = {"mfc": "w"} if "authors" in name or "channel" in name or row.method.endswith("0.70") else {}
            look = {"color": colour, "marker": markers.get(name.split(",")[0], "o"), "markersize": 4.5, "lw": 0} | white
            shown.setdefault(name, with_interval(axis, row.area, row, "average_drop", **look))
        near = table[(table.n_features < 512) == (n < 512)].area
        limits = near.min() - 0.02, near.max() + 0.02
        axis.set(xlabel="mean mask area", title=f"$N_f={n}$", xlim=limits, ylim=(0, None))
    axes[0, 0].set_ylabel("Average Drop (%)")
    figure.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=4, fontsize=6)
    return figure


def overlap_controls(table):
    """Fig. 12: mean overlap between classes of selections and their controls of equal size, one dot a training seed.

    table: n_features, target ("block" or "conv"), beta, and the overlaps selected, top_k, random_k, candidates.

    >>> from pandas import DataFrame
    >>> row = {"n_features": 16, "target": "block", "beta": 0.7, "selected": 0.13, "top_k": 0.1}
    >>> row |= {"random_k": 0.2, "candidates": 0.3}
    >>> figure = overlap_controls(DataFrame([row, row | {"target": "conv"}]))
    >>> [float(line.get_ydata()[0]) for line in figure.axes[0].lines]
    [0.13, 0.1, 0.2, 0.3]
    """
    figure, axes = plt.subplots(1, 2, figsize=(PAGE, 2.5), width_ratios=(5, 3), sharey=True)
    looks = {
        "selected": ("QUBO optimum", "o"),
        "top_k": ("top $k$", "s"),
        "random_k": ("random $k$", "^"),
        "candidates": ("filtered Grad-CAM", "D"),
    }
    names = {"selected": "selection (QUBO)", "candidates": "all candidates"}
    for axis, target in zip(axes, ("block", "conv")):
        groups = list(table[table.target == target].groupby(["n_features", "beta"]))
        for x, (_, of) in enumerate(groups):
            for shift, (column, (method, marker)) in zip((-0.27, -0.09, 0.09, 0.27), looks.items()):
                style = {"color": METHOD_COLOURS[method], "markersize": 4, "alpha": 0.75, "lw": 0}
                axis.plot(
                    np.full(len(of), x + shift),
                    of[column],
                    marker,
                    label=names.get(column, method) if x == 0 else None,
                    **style,
                )
        ticks = [f"$N_f={n}$" + (f"\n$\\beta={b:g}$" if n == 512 else "") for (n, b), _ in groups]
        axis.set(xticks=range(len(groups)), xticklabels=ticks, ylim=(0, None), xlim=(-0.5, len(groups) - 0.5))
        axis.set_title({"block": "maps after the block", "conv": "maps at the convolution's output"}[target])
    axes[0].set_ylabel("mean off-diagonal\nBhattacharyya coefficient")
    axes[0].legend(ncols=2, fontsize=6.5, loc="upper left")
    axes[0].set_ylim(0, 0.75)
    return figure


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
    looks = {
        "best subset": ("best subset, exhaustive", "k", "*"),
        "most added": ("largest contributions", METHOD_COLOURS["filtered Grad-CAM"], "D"),
        "top_k": ("top $k$ by importance", METHOD_COLOURS["top $k$"], "s"),
        "exact": ("QUBO optimum of size $k$", METHOD_COLOURS["QUBO optimum"], "o"),
        "random_k": ("random $k$ candidates", METHOD_COLOURS["random $k$"], "^"),
    }
    for axis, test in zip(axes, ("kept", "removed")):
        axis.axhline(whole, color="0.5", lw=0.9, ls=":", label="all maps")
        for shift, (kind, (name, colour, marker)) in zip(np.linspace(-0.2, 0.2, 5), looks.items()):
            of = by_size[(by_size.test == test) & (by_size.selection == kind)]
            look = {"color": colour, "marker": marker, "markersize": 3.5, "lw": 0.8, "label": name}
            with_interval(axis, of.k + shift, of, "probability", **look)
        axis.set(
            xlabel="number of maps $k$", ylabel="class probability", ylim=(0, 1.03), title=f"exactly $k$ maps {test}"
        )
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    colour = METHOD_COLOURS["QUBO optimum"]
    for (k, of), style in zip(sweep[sweep.test == "kept"].groupby("k"), ("-", "--", ":")):
        axes[2].fill_between(of.beta, of.low, of.high, color=colour, alpha=0.2, lw=0)
        axes[2].plot(of.beta, of.difference, f"o{style}", color=colour, markersize=3, label=f"$k={k}$")
    axes[2].axhline(0, color=METHOD_COLOURS["top $k$"], lw=0.8)
    axes[2].set(xlabel="trade-off $\\beta$", ylabel="difference to top $k$", title="QUBO of fixed size $k$, kept")
    axes[2].legend()
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=3, fontsize=6.5)
    return figure


def average_drop_against_beta(table, reference, reported):
    """Fig. 3: Average Drop and selected fraction against beta at N_f = 512; crosses are the paper's values.

    table: columns beta, average_drop, low, high, ratio; reference: {method: (ours, paper's Average Drop)};
    reported: (beta, the paper's Average Drop of SA-Grad-CAM).

    >>> from pandas import DataFrame
    >>> table = DataFrame({"beta": [0.7, 1.0], "average_drop": [12.0, 6.0], "ratio": [0.1, 1.0], "low": 5, "high": 15})
    >>> figure = average_drop_against_beta(table, {"Grad-CAM": (11.2, 5.26)}, reported=([0.7, 0.99], [18.4, 6.28]))
    >>> figure.axes[1].lines[0].get_ydata().tolist()  # on the right: the selected fraction
    [0.1, 1.0]
    """
    figure, left = plt.subplots(figsize=(COLUMN, 2.4))
    colour = METHOD_COLOURS["SA-Grad-CAM"]
    left.fill_between(table.beta, table.low, table.high, color=colour, alpha=0.2, lw=0)
    left.plot(table.beta, table.average_drop, "o-", color=colour, label="SA-Grad-CAM")
    for x, (method, (ours, paper)) in zip((1.05, 1.1), reference.items()):
        left.axhline(ours, color=METHOD_COLOURS[method], ls="--", lw=0.9, label=method)
        left.plot(x, paper, "x", color=METHOD_COLOURS[method], markersize=5, mew=1.4)
    left.plot([], [], "kx", label="paper")
    left.set(xlabel="trade-off $\\beta$", ylabel="Average Drop (%)", ylim=(0, None))
    right = left.twinx()
    right.spines.right.set_visible(True)
    right.plot(table.beta, table.ratio, "s:", color="0.4", label="selected / $d$")
    right.set(ylabel="selected / $d$", ylim=(0, 1.05))
    outlined = [withStroke(linewidth=3, foreground="w")]  # the cross lies on our own mark
    right.plot(*reported, "x", color=colour, markersize=5, mew=1.4, path_effects=outlined, transform=left.transData)
    handles, names = (a + b for a, b in zip(left.get_legend_handles_labels(), right.get_legend_handles_labels()))
    figure.legend(handles, names, loc="outside upper center", ncols=2)
    return figure


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


def quartile_bars(axis, x, groups, marker="o", **style):
    """Median with quartile bars of each group of values, at positions x.

    >>> figure, axis = plt.subplots()
    >>> quartile_bars(axis, [5], [[0.0, 1.0, 2.0, 3.0, 4.0]])
    >>> [segment[:, 1].tolist() for segment in axis.collections[0].get_segments()]
    [[1.0, 3.0]]
    """
    low, middle, high = np.array([np.percentile(g, (25, 50, 75)) for g in groups]).T
    axis.errorbar(x, middle, (middle - low, high - middle), fmt=marker, lw=0.8, **style)


def with_interval(axis, x, table, y, **style):
    """Values of column y at x with bars from column low to high: a DataFrame, or one row  ->  the errorbar.

    >>> from pandas import DataFrame
    >>> bars = with_interval(plt.figure().subplots(), [5], DataFrame({"y": [2.0], "low": [1.0], "high": [4.0]}), "y")
    >>> bars[2][0].get_segments()[0][:, 1].tolist()
    [1.0, 4.0]
    """
    value, low, high = (np.atleast_1d(table[column]) for column in (y, "low", "high"))
    return axis.errorbar(x, value, (value - low, high - value), elinewidth=0.8, **style)


def only_ticks(axis, values, **style):
    """Ticks of a logarithmic x axis at these values alone, written in full.

    >>> axis = plt.figure().subplots()
    >>> only_ticks(axis, [5, 20.0])
    >>> [tick.get_text() for tick in axis.get_xticklabels()]
    ['5', '20']
    """
    axis.minorticks_off()
    axis.set_xticks(values, [f"{value:g}" for value in values], **style)


def time_colours(times):
    """One colour for each annealing time, in order: {time: RGBA}.

    >>> list(time_colours([10, 100]))
    [10, 100]
    """
    return dict(zip(times, plt.get_cmap("viridis")(np.linspace(0, 0.88, len(times)))))


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


def training_curves(history):
    """Fig. 6: validation accuracy an epoch; the line is the mean over seeds, the band its range.

    history: columns n_features, block, seed, epoch, validation_accuracy.

    >>> from pandas import DataFrame
    >>> history = DataFrame({"n_features": 16, "block": "paper", "seed": [0, 0, 1, 1], "epoch": [1, 2, 1, 2]})
    >>> figure = training_curves(history.assign(validation_accuracy=[0.5, 0.7, 0.6, 0.9]))
    >>> figure.axes[0].lines[0].get_ydata().round(1).tolist()  # mean over the seeds
    [55.0, 80.0]
    """
    figure, axis = plt.subplots(figsize=(COLUMN, 2.5))
    for (n, block), part in history.groupby(["n_features", "block"]):
        if block == "authors_code":
            continue
        over = part.groupby("epoch").validation_accuracy
        epoch, colour = over.mean().index, MODEL_COLOURS[n]
        axis.fill_between(epoch, 100 * over.min(), 100 * over.max(), color=colour, alpha=0.2, lw=0)
        axis.plot(epoch, 100 * over.mean(), color=colour, label=f"$N_f={n}$")
    axis.set(xlabel="epoch", ylabel="validation accuracy (%)")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend(ncols=2)
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


def photograph(axis, image, title=None, heatmap=None):
    """Show a uint8 (3, h, w) image, with a heatmap (S, S) in [0, 1] over it if given.

    >>> figure, axis = plt.subplots()
    >>> photograph(axis, np.zeros((3, 96, 96), np.uint8), "cat", heatmap=np.ones((224, 224)))
    >>> axis.get_title(), [image.get_extent() for image in axis.images]
    ('cat', [[0, 96, 96, 0], [0, 96, 96, 0]])
    """
    height, width = image.shape[1:]
    extent = (0, width, height, 0)
    axis.imshow(np.moveaxis(image, 0, -1), extent=extent)
    if heatmap is not None:
        axis.imshow(heatmap, extent=extent, cmap="inferno", vmin=0, vmax=1, alpha=0.55)
    axis.set(xticks=[], yticks=[], title=title)
    axis.spines[:].set_visible(False)


def pipeline(image, maps, example, selected, heatmap):
    """Fig. 1: image, candidate maps as binary variables, evolution of the bit-strings, explanation map.

    image: uint8 (3, h, w); maps: (N_f, H, W); example: artefact 04_example of this image; selected: (N_f,) bool;
    heatmap: (S, S).

    >>> example = {"maps": np.array([1]), "s": np.array([0.0, 1.0]), "energies": np.array([0.0, -1.0])}
    >>> example["populations"] = np.array([[0.5, 0.5], [0.1, 0.9]])
    >>> image, heatmap = np.zeros((3, 96, 96), np.uint8), np.ones((224, 224))
    >>> figure = pipeline(image, np.zeros((2, 14, 14)), example, np.array([False, True]), heatmap)
    >>> [text.get_text() for text in figure.axes[2].get_legend().texts]
    ['1 (optimum)', '0']
    """
    figure = plt.figure(figsize=(PAGE, 2.5))
    left, centre, right = figure.subfigures(1, 3, width_ratios=(1, 2.1, 1))
    photograph(left.subplots(), image, "image")
    grid, below = centre.subfigures(2, 1, height_ratios=(1, 1.35))
    for axis, a in zip(np.atleast_1d(grid.subplots(1, len(example["maps"]))), example["maps"]):
        axis.imshow(maps[a])
        axis.set(xticks=[], yticks=[])
        axis.set_title(f"map {a}", fontsize=6)
        axis.set_xlabel(f"$n_{{{a}}}={int(selected[a])}$", fontsize=7)
        for spine in axis.spines.values():
            spine.set(visible=True, linewidth=1.8, color=METHOD_COLOURS["QA-Grad-CAM"] if selected[a] else "0.8")
    bit_strings(below.subplots(), example["s"], example["populations"], example["energies"], len(example["maps"]))
    photograph(right.subplots(), image, "explanation map", heatmap)
    return figure


def bit_strings(axis, s, populations, energies, d, shown=3):
    """Probability of the finally likeliest bit-strings along s (n,): populations (n, 2^d), energies (2^d,).

    >>> axis = plt.figure().subplots()
    >>> bit_strings(axis, np.array([0.0, 1.0]), np.array([[0.5, 0.5], [0.1, 0.9]]), np.array([0.0, -1.0]), d=1)
    >>> [line.get_label() for line in axis.lines]
    ['1 (optimum)', '0']
    """
    for rank, k in enumerate(np.argsort(-populations[-1])[:shown]):
        bits = "".join(str(k >> p & 1) for p in range(d))
        optimum = " (optimum)" if k == energies.argmin() else ""
        axis.plot(s, populations[:, k], color=RANK_COLOURS[rank], label=bits + optimum)
    axis.set(xlabel="annealing, $s = t/\\tau$", ylabel="probability", ylim=(0, None))
    axis.legend(title="bits in the order of the maps", title_fontsize=6, fontsize=6)


def detached(height, layout=None):
    """A figure across the page that pyplot forgets at once: a notebook shows it as a cell's result, and only then.

    >>> detached(2.0).number in plt.get_fignums()
    False
    """
    figure = plt.figure(figsize=(PAGE, height), layout=layout)
    plt.close(figure)
    return figure


def frames(axis, rectangles, **style):
    """Frames of matplotlib rectangles as one collection, which is drawn faster than as many patches.

    >>> axis = plt.figure().subplots()
    >>> frames(axis, [Rectangle((0, 0), 1, 1), Rectangle((1, 0), 1, 1)], edgecolors="k")
    >>> len(axis.collections[0].get_paths())
    2
    """
    axis.add_collection(PatchCollection(rectangles, facecolors="none", clip_on=False, **style), autolim=False)


def silent_maps(maps):
    """Which maps are zero in every pixel: (n, H, W)  ->  (n,) bool. Such a map shows nothing, selected or not.

    Its cosines are 0, so that any positive importance selects it.

    >>> silent_maps([[[0, 0]], [[0, 1]]])
    array([ True, False])
    """
    return ~np.any(maps, axis=(1, 2))


def small_maps(axis, maps, numbers, selected):
    """Feature maps as tiles of one axes, with their numbers; each has its own colour scale, the selected ones a frame.

    Maps that are zero everywhere say "silent", and have no frame. maps: (n, H, W); numbers: (n,); selected: (n,) bool.

    >>> axis, maps = plt.figure().subplots(), np.ones((3, 7, 7))
    >>> maps[2] = 0
    >>> small_maps(axis, maps, [4, 9, 11], [False, True, True])
    >>> [(text.get_text(), text.get_weight()) for text in axis.texts]
    [('4', 'normal'), ('9', 'bold'), ('11', 'normal'), ('silent', 'normal')]
    """
    silent = silent_maps(maps)
    selected = np.asarray(selected, bool) & ~silent
    columns = max(1, int(np.ceil(np.sqrt(len(maps)))))
    rows = max(1, -(-len(maps) // columns))
    height, width = np.shape(maps)[1:]
    gap, above = 1 + width // 12, 1 + height // 3  # pixels between tiles, and for a number
    mosaic = np.zeros((rows * (height + above), columns * (width + gap), 4))  # one image: it is drawn at once
    corners = []
    for i, tile in enumerate(np.asarray(maps, float)):
        x, y = i % columns * (width + gap), i // columns * (height + above) + above
        mosaic[y : y + height, x : x + width] = plt.get_cmap()(plt.Normalize()(tile))
        corners.append((x, y))
    axis.imshow(mosaic, extent=(0, mosaic.shape[1], mosaic.shape[0], 0), interpolation="nearest")
    for (x, y), number, chosen, blank in zip(corners, numbers, selected, silent):
        weight = "bold" if chosen else "normal"
        axis.text(x + width / 2, y - 0.07 * height, number, ha="center", fontsize=6, weight=weight)
        if blank:
            axis.text(x + width / 2, y + height / 2, "silent", ha="center", va="center", fontsize=5, color="w")
    edges = np.where(selected, METHOD_COLOURS["QUBO optimum"], "0.8")
    tiles = [Rectangle(corner, width, height) for corner in corners]
    frames(axis, tiles, linewidths=np.where(selected, 1.8, 0.8), edgecolors=edges)
    axis.set(aspect="equal", anchor="N")
    axis.axis("off")


def qubo_matrix(axis, matrix, numbers, selected):
    """The coefficients of one QUBO, (d, d) upper triangle and diagonal; those that the selection adds up are framed.

    numbers: (d,) maps, written left of the diagonal; selected: (d,) bool. Without ticks and colour bar, which take most
    of the time to draw.

    >>> axis = plt.figure().subplots()
    >>> qubo_matrix(axis, np.array([[-0.7, 0.3], [0.0, -0.35]]), [4, 9], [True, True])
    >>> len(axis.collections[0].get_paths())  # both fields and their coupling
    3
    """
    d = len(matrix)
    reach = np.abs(matrix).max(initial=0) or 1.0
    look = {"cmap": "RdBu_r", "vmin": -reach, "vmax": reach}
    axis.imshow(np.ma.masked_where(np.tri(d, k=-1, dtype=bool), matrix), extent=(0, d, d, 0), **look)
    added = [Rectangle((q, p), 1, 1) for p, q in np.argwhere(np.triu(np.outer(selected, selected)))]
    frames(axis, added, linewidths=1.3, edgecolors=METHOD_COLOURS["QUBO optimum"])
    for p, (number, bold) in enumerate(zip(numbers, selected)):
        style = {"fontsize": 6 if d < 14 else 5, "weight": "bold" if bold else "normal"}
        axis.text(p - 0.03 * d, p + 0.5, number, ha="right", va="center", **style)
    left, right, top, bottom = 0.06 * d, 0.11 * d, 0.6 * d, 0.97 * d
    axis.imshow(np.linspace(reach, -reach, 64)[:, None], extent=(left, right, bottom, top), aspect="auto", **look)
    for value, y in ((reach, top), (0, (top + bottom) / 2), (-reach, bottom)):
        axis.text(right + 0.03 * d, y, number_text(value, 2), fontsize=6, va="center")
    axis.text(left, top - 0.08 * d, "$Q_{pq}$", fontsize=7, va="center")
    axis.set(xlim=(0, d), ylim=(d, 0), aspect="equal", anchor="N")
    axis.axis("off")


def number_text(value, digits):
    """A number with a fixed number of digits and a proper minus sign.

    >>> number_text(-0.5, 2)
    '−0.50'
    """
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def explanation(image, maps, problem, matrix, selected, heatmap, name, lines=(), shown=16):
    """One explanation: image, candidate maps with the selected ones framed, QUBO, explanation map, and lines of text.

    image: uint8 (3, h, w), or None; maps: (N_f, H, W); problem: qubo.Selection; matrix: (d, d) its coefficients;
    selected: (N_f,) bool; heatmap: (S, S) in [0, 1]; name: of the class; lines: (label, value) pairs of text.
    Of more than `shown` candidates the selected ones come first, then the most important ones. Selected maps that are
    silent (`silent_maps`) are not framed but counted apart. Long names and labels are broken into lines.

    >>> from qafs_utils import qubo
    >>> maps = np.eye(2).reshape(2, 2, 1)
    >>> problem = qubo.selection(maps, np.array([1.0, 0.5]))
    >>> figure = explanation(None, maps, problem, problem.matrix(0.7), np.array([True, False]), np.ones((4, 4)), "cat")
    >>> [text.get_text() for text in figure.texts]
    ['scores', '2 candidates; framed: selected (1)', 'QUBO, Eq. 4', 'explanation of “cat”']
    """
    figure = detached(1.95, PlaceHolderLayoutEngine(True, True))  # of fixed layout: it is drawn while a slider moves
    bits, order = selected[problem.maps], np.arange(problem.d)
    silent = (bits & silent_maps(maps[problem.maps])).sum()
    if problem.d > shown:
        order = np.lexsort((problem.field, ~bits))[:shown]
        matrix = np.triu((np.triu(matrix) + np.triu(matrix, 1).T)[np.ix_(order, order)])
    few = f"{problem.d} candidates" if len(order) == problem.d else f"{len(order)} of {problem.d}"
    apart = f", silent: {silent}" if silent else ""
    columns = ((0.005, 0.2), (0.23, 0.245), (0.515, 0.225), (0.76, 0.235))
    titles = ("scores" if image is None else "image", f"{few}; framed: selected ({bits.sum() - silent}){apart}")
    titles += ("QUBO, Eq. 4", f"explanation of “{name}”")
    written = [figure.text(x + width / 2, 0.94, title, ha="center", fontsize=8, parse_math=False)
               for (x, width), title in zip(columns, titles)]
    height = 1.95 + 0.13 * (_broken(written[-1], columns[-1][1]) - 1)
    figure.set_size_inches(PAGE, height)
    up = 1.95 / height  # the lines of a long name stand above what is elsewhere the whole figure
    for text in written:
        text.set_y(0.94 * up)
    (x, width), *places = columns  # text needs no axes, which take time
    row = 0
    for label, value in lines:
        y = 0.87 - 0.092 * row if image is None else 0.39 - 0.062 * row
        said = figure.text(x, y * up, label, fontsize=6.5, va="top", parse_math=False)
        figure.text(x + width, y * up, value, fontsize=6.5, va="top", ha="right")
        row += _broken(said, width - 0.0075 * len(value) - 0.005)
    if image is not None:
        photograph(figure.add_axes((x, 0.42 * up, width, 0.48 * up), anchor="N"), image)
    middle, right, last = (figure.add_axes((x, 0.02 * up, width, 0.88 * up)) for x, width in places)
    small_maps(middle, maps[problem.maps[order]], problem.maps[order], bits[order])
    qubo_matrix(right, matrix, problem.maps[order], bits[order])
    if image is None:
        last.imshow(heatmap, cmap="inferno", vmin=0, vmax=1)
    else:
        photograph(last, image, None, heatmap)
    last.set_anchor("N")
    last.axis("off")
    return figure


def _broken(text, room):
    """Break a figure's text into lines no wider than that share of the figure  ->  their number."""
    whole = text.get_text()
    room, columns = room * text.figure.bbox.width, len(whole)
    while (wide := text.get_window_extent().width) > room and columns > 4:
        columns = max(4, min(columns - 1, int(columns * room / wide) + 2))
        text.set_text("\n".join(textwrap.wrap(whole, columns)))
    return text.get_text().count("\n") + 1


def five_steps(maps, importance, problem, matrix, anneal, selected, heatmap):
    """Fig. 20: the method on one image, from its feature maps (Eq. 1) to the explanation map.

    maps: (N_f, H, W); importance: (N_f,); problem: qubo.Selection; matrix: (d, d) its coefficients; anneal: s,
    populations, energies as for `bit_strings`; selected: (N_f,) bool; heatmap: (S, S) in [0, 1].

    >>> from qafs_utils import qubo
    >>> maps, chosen = np.eye(2).reshape(2, 2, 1), np.array([True, False])
    >>> problem = qubo.selection(maps, np.array([1.0, -0.5]))
    >>> anneal = np.array([0.0, 1.0]), np.array([[0.5, 0.5], [0.1, 0.9]]), np.array([0.0, -0.7])
    >>> figure = five_steps(maps, np.array([1.0, -0.5]), problem, problem.matrix(0.7), anneal, chosen, np.ones((4, 4)))
    >>> [axis.get_title()[0] for axis in figure.axes if axis.get_title()]
    ['1', '2', '3', '4', '5']
    """
    figure = detached(4.3)
    grid = figure.add_gridspec(2, 12, height_ratios=(1.15, 1))
    axis = figure.add_subplot(grid[0, :4])
    small_maps(axis, maps, np.arange(len(maps)), selected)
    axis.set_title("1  feature maps; framed: selected")
    axis = figure.add_subplot(grid[0, 4:8])
    power = int(np.floor(np.log10(np.abs(importance).max())))
    colours = np.where(importance > 0, MODEL_COLOURS[16], "0.75")
    axis.barh(range(len(maps)), importance / 10.0**power, color=colours)
    axis.axvline(0, color="k", lw=0.6)
    axis.set_yticks(range(len(maps)), range(len(maps)), fontsize=6)
    axis.set(ylim=(len(maps) - 0.4, -0.6), xlabel=f"importance $\\alpha_a$ ($10^{{{power}}}$)", ylabel="map $a$")
    axis.set_title("2  importance; blue: candidates")
    axis = figure.add_subplot(grid[0, 8:])
    qubo_matrix(axis, matrix, problem.maps, selected[problem.maps])
    axis.set_title("3  QUBO, Eqs. 3 to 5")
    axis = figure.add_subplot(grid[1, :8])
    bit_strings(axis, *anneal, problem.d)
    axis.set_title("4  annealing, Eq. 6")
    axis = figure.add_subplot(grid[1, 8:])
    shown = axis.imshow(heatmap, cmap="inferno", vmin=0, vmax=1)
    axis.set(xticks=[], yticks=[])
    axis.set_title("5  explanation map")
    figure.colorbar(shown, ax=axis, label="relative weight")
    return figure


def common_maps(photographs, labels, common, threshold):
    """Fig. 9: pairs of images, what the maps selected in both highlight, and the crop to its largest region.

    photographs: uint8 (B, 3, h, w); labels: (B,) classes; common: {(n_features, i, j): heatmaps (2, S, S)};
    threshold: heatmap value below which pixels are cut.

    >>> heatmaps = np.zeros((2, 192, 192))
    >>> heatmaps[0, :20, :40] = 1  # nothing of the second image
    >>> figure = common_maps(np.zeros((2, 3, 96, 96), np.uint8), [2, 9], {(16, 0, 1): heatmaps}, threshold=0.5)
    >>> [axis.get_title() for axis in figure.axes]
    ['car', 'common maps', 'crop', 'truck', '', '']
    """
    figure, axes = plt.subplots(len(common), 6, figsize=(PAGE, 1.2 * len(common)), squeeze=False)
    for row, ((n, i, j), heatmaps) in zip(axes, common.items()):
        row[0].set_ylabel(f"$N_f={n}$")
        for offset, (index, heatmap) in enumerate(zip((i, j), np.asarray(heatmaps))):
            image = photographs[index]
            scale = heatmap.shape[-1] // image.shape[-1] or 1
            large = np.kron(image, np.ones((1, scale, scale), dtype=np.uint8))
            small = np.array(heatmap)[: large.shape[1], : large.shape[2]]
            kept = np.zeros(large.shape[1:], bool)
            kept[: small.shape[0], : small.shape[1]] = small >= threshold
            cells = row[3 * offset : 3 * offset + 3]
            photograph(cells[0], image, CLASSES[labels[index]])
            if kept.any():
                regions = ndimage.label(kept)[0]
                y, x = np.nonzero(regions == np.bincount(regions[kept]).argmax())
                photograph(cells[1], np.where(kept, large, 255).astype(np.uint8), "common maps")
                photograph(cells[2], large[:, y.min() : y.max() + 1, x.min() : x.max() + 1], "crop")
            else:
                cells[1].axis("off")
                cells[2].axis("off")
                cells[1].text(0.5, 0.5, "no map\nin common", ha="center", va="center", transform=cells[1].transAxes)
    return figure


def cam_panel(photographs, labels, panel):
    """Fig. A1: explanations side by side, an image a row.

    photographs: uint8 (B, 3, h, w); labels: (B,) classes; panel: {(n_features, method): heatmaps (B, S, S)}.

    >>> panel = {(16, "Grad-CAM"): np.zeros((1, 224, 224)), (16, "qa"): np.zeros((1, 224, 224))}
    >>> figure = cam_panel(np.zeros((1, 3, 96, 96), np.uint8), [3], panel)
    >>> [axis.get_title().split() for axis in figure.axes]
    [[], ['$N_f=16$', 'GC'], ['$N_f=16$', 'QA-GC']]
    """
    figure, axes = plt.subplots(len(labels), 1 + len(panel), figsize=(PAGE, 0.57 * len(labels) + 0.35), squeeze=False)
    for row, (image, label) in enumerate(zip(photographs, labels)):
        photograph(axes[row, 0], image)
        axes[row, 0].set_ylabel(CLASSES[label], fontsize=6)
        for column, ((n, method), heatmaps) in enumerate(panel.items(), 1):
            title = (
                method_name(method)[0]
                .replace("-Grad-CAM", "-GC")
                .replace("Grad-CAM", "GC")
                .replace(", ", "\n")
                .replace("filtered ", "filtered\n")
            )
            photograph(axes[row, column], image, f"$N_f={n}$\n{title}" if row == 0 else None, heatmaps[row])
    for axis in axes.flat:
        axis.title.set_fontsize(5)
    return figure


def landscape_and_proof(spectra, nodes, minima, plain_nodes):
    """Fig. 15: eigenvalues of the couplings, nodes of the proof against d, local minima around the optimum.

    spectra: {couplings: eigenvalues (d,) in falling order}; nodes: table of couplings, d, nodes; minima: {couplings:
    (maps that differ from the optimum, relative excess energy, number of descents that end there)}; plain_nodes: from
    there on nodes have the better, dearer bound.

    >>> from pandas import DataFrame
    >>> minima = {"cosine": (np.array([0, 2]), np.array([0.0, 0.01]), np.array([90, 10]))}
    >>> nodes = DataFrame({"couplings": "cosine", "d": [100, 100], "nodes": [40, 60]})
    >>> figure = landscape_and_proof({"cosine": np.array([2.0, 0.5])}, nodes, minima, 15_000)
    >>> figure.axes[2].get_legend().texts[0].get_text()
    'cosine $J$: 2 minima'
    """
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(PAGE, 2.4))
    sizes = sorted(nodes.d.unique())
    for kind in spectra:
        colour, marker, name = COUPLING_STYLES[kind]
        left.plot(np.arange(1, len(spectra[kind]) + 1), spectra[kind], color=colour, label=name)
        groups = nodes[nodes.couplings == kind].groupby("d").nodes
        style = {"color": colour, "markersize": 3.5, "label": name}
        quartile_bars(middle, list(groups.groups), [of for _, of in groups], f"{marker}-", **style)
        distance, excess, count = minima[kind]
        found = f"{len(count)} minima" if len(count) > 1 else "1 minimum"
        right.scatter(
            distance,
            100 * excess,
            6 + 40 * count / count.sum(),
            color=colour,
            marker=marker,
            alpha=0.6,
            lw=0,
            label=f"{name}: {found}",
        )
    left.axhline(0, color="0.5", lw=0.6)
    left.set_yscale("symlog", linthresh=1)
    left.set(xlabel="index", ylabel="eigenvalue of $J$", yticks=(-10, -1, 0, 1, 10, 100))
    left.legend()
    middle.set(xscale="log", yscale="log", xlabel="number of candidates $d$", ylabel="nodes until proven")
    middle.axhline(plain_nodes, color="0.5", ls=":", lw=0.8)
    place = {"xy": (sizes[0], plain_nodes), "xytext": (0, 3), "textcoords": "offset points"}
    middle.annotate("better bound from here on", fontsize=6, **place)
    only_ticks(middle, sizes)
    right.set_yscale("symlog", linthresh=1)
    right.set(xlabel="maps changed from optimum", ylabel="energy above the optimum (%)", ylim=(-0.1, None))
    right.legend(fontsize=6)
    return figure


SOLVER_STYLES = {  # name, colour, marker
    "exact": ("branch and bound, with proof", "#000000", "*"),
    "tabu": ("tabu search", "#009E73", "D"),
    "simulated_annealing": ("simulated annealing", "#0072B2", "s"),
    "path_integral": ("path-integral annealing", "#56B4E9", "^"),
    "schrodinger": ("quantum annealing, simulated exactly", "#CC79A7", "o"),
    "steepest_descent": ("steepest descent", "#E69F00", "v"),
    "greedy": ("greedy", "#999999", "P"),
    "random": ("random", "#D55E00", "x"),
}


def solver_comparison(by_size, by_beta):
    """Fig. 16: probability of the proven optimum and time to it against d, and the probability against beta.

    by_size, by_beta: d, beta, solver, reads, probability, low, high, seconds (to 99 %); by_beta at one size.

    >>> from pandas import DataFrame
    >>> row = {"beta": 0.7, "reads": 1, "probability": 0.6, "low": 0.5, "high": 0.7, "seconds": 0.1}
    >>> table = DataFrame([row | {"solver": solver, "d": 50.0} for solver in ("exact", "simulated_annealing")])
    >>> figure = solver_comparison(table, table)
    >>> figure.axes[2].get_title(), float(figure.axes[2].lines[0].get_ydata()[0])
    ('time to the optimum (99 %)', 0.1)
    """
    figure, axes = plt.subplots(1, 3, figsize=(PAGE, 2.9))
    for solver, (name, colour, marker) in SOLVER_STYLES.items():
        style = {"color": colour, "marker": marker, "markersize": 3.5, "lw": 0.9}
        of = by_size[(by_size.solver == solver) & (by_size.reads == 1)]
        with_interval(axes[0], of.d, of, "probability", label=name, **style)
        axes[2].plot(of.d, of.seconds, **style)
        if solver != "simulated_annealing":
            of = by_beta[(by_beta.solver == solver) & (by_beta.reads == 1)]
            axes[1].plot(of.beta, of.probability, **style)
            continue
        several = sorted(by_beta.reads[by_beta.solver == solver].unique())
        for reads, line in zip(several, ("-", "--", ":")):
            of = by_beta[(by_beta.solver == solver) & (by_beta.reads == reads)]
            axes[1].plot(of.beta, of.probability, **(style | {"ls": line}))
        for shown, at in ((several[:1], several[0]), (several[1:], several[-1])):
            start = by_beta[(by_beta.solver == solver) & (by_beta.reads == at)].iloc[0]
            text = " and ".join(f"{r:g}" for r in shown) + (" reads" if max(shown, default=1) > 1 else " read")
            offset = (0, 8) if at == several[0] else (3, -9)
            place = {"xy": start[["beta", "probability"]], "xytext": offset, "textcoords": "offset points"}
            axes[1].annotate(text, color=colour, fontsize=6, **place)
    sizes = sorted(by_size.d.unique())
    for axis in axes[[0, 2]]:
        axis.set(xscale="log", xlabel="number of candidates $d$")
        only_ticks(axis, [round(d) for d in sizes], fontsize=6)
    axes[0].set(
        ylabel="probability of the optimum", ylim=(-0.03, 1.03), title=f"one read, $\\beta={by_size.beta.iloc[0]:g}$"
    )
    axes[1].set(
        xlabel="trade-off $\\beta$", ylim=(-0.03, 1.03), title=f"$N_f=512$, $d \\approx {by_beta.d.iloc[0]:.0f}$"
    )
    axes[2].set(yscale="log", ylabel="seconds", title="time to the optimum (99 %)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=6.5)
    return figure


def fixed_size(weights, anneals, carried):
    """Fig. 17: the cardinality constraint: penalty weights, what they cost an anneal, and what k maps carry.

    weights: n_features, k, sufficient, necessary; anneals: n_features, penalty (name), fidelity, bars are quartiles;
    carried: selection, k, probability, low, high, mean_cosine.

    >>> from pandas import DataFrame
    >>> weights = DataFrame({"n_features": 16, "k": [1, 2], "sufficient": [1.0, 0.9], "necessary": [0.5, 0.4]})
    >>> anneals = DataFrame({"n_features": 16, "penalty": ["none", "necessary"], "fidelity": [0.9, 0.5]})
    >>> row = {"k": 2, "probability": 0.6, "low": 0.5, "high": 0.7, "mean_cosine": 0.4}
    >>> figure = fixed_size(weights, anneals, DataFrame([row | {"selection": name} for name in ("QUBO", "top k")]))
    >>> [axis.get_ylabel() for axis in figure.axes]
    ['penalty weight', 'fidelity', 'class probability, these $k$ kept', 'mean cosine of the $k$ maps']
    """
    figure, axes = plt.subplots(2, 2, figsize=(PAGE, 4.8))
    penalty, cost, kept, likeness = axes.flat
    for n, of in weights.groupby("n_features"):
        for column, line in (("sufficient", "-"), ("necessary", ":")):
            middle, label = of.groupby("k")[column].median(), f"$N_f={n}$" if column == "sufficient" else None
            penalty.plot(middle.index, middle, line, color=MODEL_COLOURS[n], marker=".", label=label)
    penalty.plot([], [], "k-", label="sufficient")
    penalty.plot([], [], "k:", label="necessary")
    penalty.set(xlabel="number of maps $k$", ylabel="penalty weight", ylim=(0, None))
    penalty.legend(fontsize=6)
    kinds = list(anneals.penalty.unique())
    for shift, (n, of) in zip((-0.2, 0, 0.2), anneals.groupby("n_features")):
        groups = [of[of.penalty == kind].fidelity for kind in kinds]
        style = {"color": MODEL_COLOURS[n], "markersize": 3.5, "label": f"$N_f={n}$"}
        quartile_bars(cost, np.arange(len(kinds)) + shift, groups, **style)
    cost.set(xticks=range(len(kinds)), xticklabels=kinds, ylabel="fidelity", ylim=(0, 1))
    cost.legend(fontsize=6)
    looks = {
        "contribution": ("top $k$ by contribution", METHOD_COLOURS["filtered Grad-CAM"], "D"),
        "reversed": ("reversed objective", "#E69F00", "v"),
        "top k": ("top $k$ by importance", METHOD_COLOURS["top $k$"], "s"),
        "lasso": ("L1 fit of the logit", "#56B4E9", "P"),
        "MMR": ("maximal marginal relevance", "#999999", "<"),
        "QUBO": ("QUBO, exactly $k$", METHOD_COLOURS["QUBO optimum"], "o"),
        "random k": ("random $k$", METHOD_COLOURS["random $k$"], "^"),
    }
    for kind, (name, colour, marker) in looks.items():
        of = carried[carried.selection == kind]
        style = {"color": colour, "marker": marker, "markersize": 3.5, "lw": 0.9}
        with_interval(kept, of.k, of, "probability", label=name, **style)
        likeness.plot(of.k, of.mean_cosine, **style)
    ticks = sorted(carried.k.unique())
    for axis, label in ((kept, "class probability, these $k$ kept"), (likeness, "mean cosine of the $k$ maps")):
        axis.set(xscale="log", xlabel="number of maps $k$ at $N_f=512$", ylabel=label, ylim=(0, 1.02))
        only_ticks(axis, ticks, fontsize=6)
    figure.legend(*kept.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=6.5)
    return figure


def hardware_demand(demand, largest, sizes, left):
    """Fig. 18: qubits and chains of dense problems on two chips, and what reduced-cost fixing leaves of N_f = 512.

    demand: topology, d, qubits, chain_length, fits; largest: {topology: largest d that fits}; sizes: {n_features:
    (images,) d}; left: beta, d, free (variables that the root relaxation leaves open).

    >>> from pandas import DataFrame
    >>> demand = DataFrame({"topology": "Zephyr Z12", "d": [4, 40], "qubits": [4, 160], "chain_length": [1, 4]})
    >>> left = DataFrame({"beta": [0.7, 0.7], "d": [220, 180], "free": [0, 12]})
    >>> figure = hardware_demand(demand.assign(fits=True), {"Zephyr Z12": 184}, {512: [180, 220]}, left)
    >>> [text.get_text() for text in figure.axes[2].get_legend().texts]
    ['candidates', 'fits Zephyr']
    """
    figure, axes = plt.subplots(1, 3, figsize=(PAGE, 2.6))
    styles = dict(zip(largest, (("#000000", "o"), ("#E69F00", "s"), ("#56B4E9", "D"))))
    for topology, (colour, marker) in styles.items():
        of = demand[(demand.topology == topology) & demand.fits]
        for axis, column in zip(axes, ("qubits", "chain_length")):
            axis.plot(of.d, of[column], color=colour, marker=marker, markersize=3, lw=0.9, label=topology)
            axis.axvline(largest[topology], color=colour, ls=":", lw=0.9)
    above = {"transform": axes[0].get_xaxis_transform(), "clip_on": False}  # x in data, y as a fraction of the axis
    for row, (n, d) in enumerate(sizes.items()):
        y, colour, small = 1.03 + 0.07 * (row % 3), MODEL_COLOURS[n], max(d) < 100
        axes[0].plot([min(d), max(d)], [y, y], color=colour, lw=3, solid_capstyle="butt", **above)
        place = {"x": 1.12 * max(d), "ha": "left"} if small else {"x": min(d) / 1.12, "ha": "right"}
        axes[0].text(y=y, s=f"$N_f={n}$", va="center", fontsize=6, color=colour, **place, **above)
    for axis, label in zip(axes, ("physical qubits", "longest chain")):
        axis.set(xscale="log", xlabel="number of candidates $d$", ylabel=label)
    axes[0].set(yscale="log")
    axes[1].plot([], [], "k:", lw=0.9, label="largest that fits")
    axes[1].legend(loc="upper left", fontsize=6)
    betas = sorted(left.beta.unique())
    groups = [left.free[left.beta == b] for b in betas]
    axes[2].boxplot(
        groups, tick_labels=[f"{b:g}" for b in betas], widths=0.5, whis=(0, 100), medianprops={"color": "k"}
    )
    axes[2].axhline(left.d.median(), color=MODEL_COLOURS[512], lw=0.9, label="candidates")
    for topology, (colour, _) in styles.items():
        axes[2].axhline(largest[topology], color=colour, ls=":", lw=0.9, label=f"fits {topology.split()[0]}")
    axes[2].set(xlabel="trade-off $\\beta$", ylabel="variables left to decide", ylim=(0, None))
    axes[2].legend(fontsize=6)
    return figure


def layers(problems, propagated, scores, sizes):
    """Fig. 19: selection at every block of the network; exactly k maps at the last.

    problems: block, beta, maps, d, selected; propagated: class probability by block, selection (key), value, low, high;
    scores: the Average Drop, likewise with method (key); sizes: selection, beta, k, value, low, high.

    >>> from pandas import DataFrame
    >>> problems = DataFrame({"block": "layer4", "beta": [0.7, 0.99], "maps": 512, "d": 213, "selected": [11, 200]})
    >>> row = {"block": "layer4", "value": 0.6, "low": 0.5, "high": 0.7}
    >>> propagated, scores = DataFrame([row | {"selection": "candidates"}]), DataFrame([row | {"method": "Grad-CAM"}])
    >>> row |= {"beta": 0.7, "k": 5}
    >>> sizes = DataFrame([row | {"selection": name} for name in ("QUBO, exactly k", "top k", "QUBO")])
    >>> figure = layers(problems, propagated, scores, sizes)
    >>> [text.get_text() for text in figure.legends[0].texts]
    ['all candidates (filtered Grad-CAM)', 'Grad-CAM']
    """
    figure, axes = plt.subplots(2, 2, figsize=(PAGE, 4.6))
    counts, carried, drops, fixed = axes.flat
    blocks, betas = list(problems.block.unique()), sorted(problems.beta.unique())
    x, one = np.arange(len(blocks)), problems[problems.beta == betas[0]]
    looks = {"exact": "v", "top_k": "s", "random_k": "^"}
    counts.plot(x, one.groupby("block").maps.first()[blocks], "ks--", lw=0.8, label="maps")
    quartile_bars(counts, x, [one[one.block == b].d for b in blocks], color="k", label="candidates $d$")
    for beta, face in zip(betas, ("w", None)):
        of = problems[problems.beta == beta]
        groups = [of[of.block == b].selected for b in blocks]
        colour = METHOD_COLOURS["QUBO optimum"]
        quartile_bars(counts, x, groups, "v", color=colour, mfc=face, label=f"selected, $\\beta={beta:g}$")
    counts.set(yscale="log", ylabel="number of maps", ylim=(2, 3000))
    for axis, table, column in ((carried, propagated, "selection"), (drops, scores, "method")):
        keys = list(table[column].unique())
        for shift, key in zip(np.linspace(-0.3, 0.3, len(keys)), keys):
            of = table[table[column] == key].set_index("block").loc[blocks]
            name, colour = method_name({"candidates": "filtered Grad-CAM"}.get(key, key))
            name = "all candidates (filtered Grad-CAM)" if name == "filtered Grad-CAM" else name
            marker = looks.get(key.rpartition("_")[0], "D" if "filtered" in name else "o")
            face = {"mfc": "w"} if key.endswith(f"_{betas[0]:g}") else {}
            style = {"color": colour, "markersize": 3.5, "label": name}
            with_interval(axis, x + shift, of, "value", fmt=marker, **style, **face)
    carried.set(ylabel="class probability,\nonly these maps propagate", ylim=(0, 1.02))
    drops.set(ylabel="Average Drop (%)", ylim=(0, None))
    for axis in (counts, carried, drops):
        axis.set_xticks(x, blocks)
    shared = dict(pair[::-1] for axis in (carried, drops) for pair in zip(*axis.get_legend_handles_labels()))
    figure.legend(shared.values(), shared.keys(), loc="outside upper center", ncols=4, fontsize=6)
    counts.legend(fontsize=6)
    for kind, method, marker in (("QUBO, exactly k", "QUBO optimum", "o"), ("top k", "top $k$", "s")):
        of = sizes[sizes.selection == kind]
        style = {"color": METHOD_COLOURS[method], "marker": marker, "markersize": 3.5, "lw": 0.9}
        label = f"QUBO of exactly $k$ maps, $\\beta={betas[0]:g}$" if method == "QUBO optimum" else method
        with_interval(fixed, of.k, of, "value", label=label, **style)
    free = sizes[sizes.selection == "QUBO"]
    for (_, row), face in zip(free.iterrows(), ("w", None)):
        style = {"color": METHOD_COLOURS["QUBO optimum"], "mfc": face, "mec": "k", "mew": 0.8, "markersize": 6}
        style |= {"zorder": 5, "label": f"QUBO, size left free, $\\beta={row.beta:g}$"}
        with_interval(fixed, row.k, row, "value", fmt="v", **style)
    fixed.set(xscale="log", xlabel=f"number of maps at {blocks[-1]}", ylabel="Average Drop (%)", ylim=(0, None))
    fixed.legend(fontsize=6)
    return figure
