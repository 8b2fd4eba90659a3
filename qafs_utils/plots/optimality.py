"""Figures of proofs, solvers and hardware."""

import matplotlib.pyplot as plt
import numpy as np

from .style import COUPLING_STYLES, METHOD_COLOURS, MODEL_COLOURS, PAGE, only_ticks, quartile_bars, with_interval


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
