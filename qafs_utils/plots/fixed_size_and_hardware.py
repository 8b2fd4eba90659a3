"""Figures of exactly k maps, and of the qubits that dense problems need."""

import matplotlib.pyplot as plt
import numpy as np

from .class_measures import MEASURES, of_measure
from .style import (
    METHOD_COLOURS,
    MODEL_COLOURS,
    MODEL_MARKERS,
    PAGE,
    lettered,
    only_ticks,
    quartile_bars,
    with_interval,
)

SELECTION_STYLES = {  # name, colour, marker, line
    "contribution": ("top $k$ by contribution", METHOD_COLOURS["filtered Grad-CAM"], "D", "--"),
    "top k": ("top $k$ by importance", METHOD_COLOURS["top $k$"], "s", "-"),
    "QUBO": ("QUBO, exactly $k$", METHOD_COLOURS["QUBO optimum"], "o", "-"),
    "random k": ("random $k$", METHOD_COLOURS["random $k$"], "^", "-"),
    "reversed": ("reversed objective", "#E69F00", "v", ":"),
    "MMR": ("maximal marginal relevance", "#000000", "<", ":"),
    "lasso": ("L1 fit of the logit", "#56B4E9", "P", ":"),
}
CHIP_STYLES = (
    ("#000000", "o", ":"),
    ("#E69F00", "s", "--"),
    ("#56B4E9", "D", "-."),
)  # colour, marker, line of its limit


def fixed_size(weights, anneals, carried):
    """Fig. 17: the cardinality constraint: penalty weights, what they cost an anneal, and what k maps carry.

    weights: n_features, k, sufficient, necessary; anneals: n_features, penalty (name), fidelity, bars are quartiles;
    carried: selection, k, mean_cosine, and the measures of the class with their intervals.

    >>> from pandas import DataFrame
    >>> weights = DataFrame({"n_features": 16, "k": [1, 2], "sufficient": [1.0, 0.9], "necessary": [0.5, 0.4]})
    >>> anneals = DataFrame({"n_features": 16, "penalty": ["none", "necessary"], "fidelity": [0.9, 0.5]})
    >>> row = {"k": 2, "mean_cosine": 0.4} | {m + end: 0.5 for m in MEASURES for end in ("", "_low", "_high")}
    >>> figure = fixed_size(weights, anneals, DataFrame([row | {"selection": name} for name in ("QUBO", "top k")]))
    >>> [axis.get_title() for axis in figure.axes][3:]
    ['(d) these $k$ maps kept', '(e) these $k$ maps kept', '(f) likeness of the $k$ maps']
    """
    figure, axes = plt.subplots(2, 3, figsize=(PAGE, 4.8))
    _draw_weights(axes[0, 0], weights)
    _draw_fidelities(axes[0, 1], anneals)
    panels = [(axis, measure, MEASURES[measure]) for axis, measure in zip((axes[0, 2], *axes[1, :2]), MEASURES)]
    for axis, column, label in (*panels, (axes[1, 2], "mean_cosine", "mean cosine")):
        for kind, (name, colour, marker, line) in SELECTION_STYLES.items():
            table, style = carried[carried.selection == kind], {"color": colour, "marker": marker, "ls": line}
            style |= {"markersize": 3, "lw": 0.9, "label": name}
            if column in MEASURES:
                with_interval(axis, table.k, of_measure(table, column), "value", **style)
            else:
                axis.plot(table.k, table[column], **style)
        axis.set(xscale="log", xlabel="$k$ of 512 maps", ylabel=label, ylim=(0, 1.03))
        axis.set_title("these $k$ maps kept" if column in MEASURES else "likeness of the $k$ maps")
        only_ticks(axis, sorted(carried.k.unique()), fontsize=6)
    figure.legend(*axes[0, 2].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=6.5)
    lettered(axes.flat)
    return figure


def _draw_weights(axis, weights):
    for n, table in weights.groupby("n_features"):
        for column, line in (("sufficient", "-"), ("necessary", ":")):
            median, label = table.groupby("k")[column].median(), f"$N_f={n}$" if column == "sufficient" else None
            style = {"color": MODEL_COLOURS[n], "marker": MODEL_MARKERS[n], "markersize": 2.5, "label": label}
            axis.plot(median.index, median, line, **style)
    axis.plot([], [], "k-", label="sufficient")
    axis.plot([], [], "k:", label="necessary")
    axis.set(xlabel="number of maps $k$", ylabel="penalty weight $\\lambda$", ylim=(0, None))
    axis.set_title("weight of the penalty")
    axis.legend(fontsize=6)


def _draw_fidelities(axis, anneals):
    kinds = list(anneals.penalty.unique())
    for shift, (n, table) in zip((-0.2, 0, 0.2), anneals.groupby("n_features")):
        groups = [table[table.penalty == kind].fidelity for kind in kinds]
        style = {"color": MODEL_COLOURS[n], "markersize": 3.5, "label": f"$N_f={n}$"}
        quartile_bars(axis, np.arange(len(kinds)) + shift, groups, MODEL_MARKERS[n], **style)
    labels = [kind.replace(", ", ",\n") for kind in kinds]
    axis.set(xticks=range(len(kinds)), xticklabels=labels, ylabel="fidelity", ylim=(0, 1))
    axis.set_title("anneals with a penalty")
    axis.tick_params(axis="x", labelsize=6)
    axis.legend(fontsize=6)


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
    figure, (qubits, chains, free) = plt.subplots(1, 3, figsize=(PAGE, 2.6))
    for axis, column, label in ((qubits, "qubits", "physical qubits"), (chains, "chain_length", "longest chain")):
        for topology, (colour, marker, line) in zip(largest, CHIP_STYLES):
            table = demand[(demand.topology == topology) & demand.fits]
            axis.plot(table.d, table[column], color=colour, marker=marker, markersize=3, lw=0.9, label=topology)
            limit = f"fits {topology.split()[0]} with defects"
            axis.axvline(largest[topology], color=colour, ls=line, lw=0.9, label=limit)
        axis.set(xscale="log", xlabel="number of candidates $d$", ylabel=label)
    qubits.set(yscale="log")
    _draw_ranges(qubits, sizes)
    chains.legend(loc="upper left", fontsize=6)
    _draw_free(free, left, largest)
    lettered((qubits, chains, free))
    return figure


def _draw_ranges(axis, sizes):
    """Bars above an axis: the range of d at each number of feature maps."""
    above = {"transform": axis.get_xaxis_transform(), "clip_on": False}  # x in data, y as a fraction of the axis
    for row, (n, d) in enumerate(sizes.items()):
        y, colour, small = 1.11 + 0.07 * (row % 3), MODEL_COLOURS[n], max(d) < 100
        axis.plot([min(d), max(d)], [y, y], color=colour, lw=3, solid_capstyle="butt", **above)
        place = {"x": 1.12 * max(d), "ha": "left"} if small else {"x": min(d) / 1.12, "ha": "right"}
        axis.text(y=y, s=f"$N_f={n}$", va="center", fontsize=6, color=colour, **place, **above)


def _draw_free(axis, left, largest):
    betas = sorted(left.beta.unique())
    groups, labels = [left.free[left.beta == beta] for beta in betas], [f"{beta:g}" for beta in betas]
    axis.boxplot(groups, tick_labels=labels, widths=0.5, whis=(0, 100), medianprops={"color": "k"})
    axis.axhline(left.d.median(), color=MODEL_COLOURS[512], lw=0.9, label="candidates")
    for topology, (colour, _, line) in zip(largest, CHIP_STYLES):
        axis.axhline(largest[topology], color=colour, ls=line, lw=0.9, label=f"fits {topology.split()[0]}")
    axis.set(xlabel="trade-off $\\beta$", ylabel="variables left to decide", ylim=(0, 1.3 * left.d.max()))
    axis.legend(fontsize=6, loc="upper right", ncols=2)
