"""Figure of what can be proven of the selection problem, and how far the real problems are from the worst."""

import matplotlib.pyplot as plt
import numpy as np

from .style import COUPLING_STYLES, MODEL_COLOURS, MODEL_MARKERS, PAGE, lettered, quartile_bars

_LEAST = 1e-3  # gaps below are drawn there
_NULLS = {"shuffled": -0.28, "random": 0.28}  # weights beside the trained ones, and where they are drawn


def theory(gaps, nodes, fixed, shared):
    """Fig. 32: gap of the relaxation and its bound; nodes of proofs; maps the rule fixes; importance against sharing.

    gaps: a table of problems, name ("$N_f=16$", a coupling), gap, room; nodes: instances ("maps", "subset sum"), d,
    nodes; fixed: n_features, beta, fixed (share of the candidates); shared: n_features, head, spearman,
    weights ("trained", "shuffled", "random").

    >>> from pandas import DataFrame
    >>> gaps = DataFrame({"problems": ["16", "gaussian"], "gap": [0.1, 1.0], "room": [0.2, 2.0]})
    >>> nodes = DataFrame({"instances": ["maps", "subset sum"], "d": 8, "nodes": [5, 200]})
    >>> fixed = DataFrame({"n_features": 16, "beta": [0.7, 0.9], "fixed": [0.0, 0.5]})
    >>> shared = DataFrame({"n_features": 16, "head": [0, 1], "weights": "trained", "spearman": [-0.4, -0.3]})
    >>> figure = theory(gaps, nodes, fixed, shared)
    >>> figure.axes[1].get_title()
    '(b) cosines of maps can be hard'
    """
    figure, axes = plt.subplots(2, 2, figsize=(PAGE, 4.8))
    _gaps(axes[0, 0], gaps)
    _nodes(axes[0, 1], nodes)
    _fixed(axes[1, 0], fixed)
    _shared(axes[1, 1], shared)
    lettered(axes.flat)
    return figure


def _style(name):
    """(colour, marker, label) of a number of maps or a kind of coupling."""
    if name in COUPLING_STYLES:
        colour, _, label = COUPLING_STYLES[name]
        return colour, {"cosine": "+", "gaussian": "x"}.get(name, "*"), f"{label}, sub-samples"
    return MODEL_COLOURS[int(name)], MODEL_MARKERS[int(name)], f"$N_f={int(name)}$"


def _gaps(axis, gaps):
    for name, table in gaps.groupby("problems", sort=False):
        colour, marker, label = _style(name)
        x, y = table.room.clip(_LEAST), table.gap.clip(_LEAST)
        axis.plot(x, y, marker, ms=3, mfc="none", mew=0.7, color=colour, label=label)
    ends = np.array([_LEAST, 2 * gaps.room.max()])
    axis.plot(ends, ends, color="0.5", lw=0.8)
    axis.text(0.03, 0.97, "above the line: impossible", transform=axis.transAxes, va="top", fontsize=6, color="0.4")
    axis.set(xscale="log", yscale="log", xlim=0.9 * ends, ylim=0.9 * ends)
    axis.set(xlabel="proven limit of the gap, energy", ylabel="optimum above the relaxation")
    axis.set_title("the relaxation's gap is bounded")
    axis.legend(fontsize=6, loc="upper left", bbox_to_anchor=(0, 0.92), labelspacing=0.3)


def _nodes(axis, nodes):
    styles = {"subset sum": ("#D55E00", "s", "SUBSET SUM as maps"), "maps": (MODEL_COLOURS[512], "o", "maps of layer4")}
    for name, (colour, marker, label) in styles.items():
        table = nodes[nodes.instances == name]
        sizes = np.unique(table.d)
        shift = 0.12 if name == "maps" else -0.12
        groups = [table.nodes[table.d == d] for d in sizes]
        quartile_bars(axis, sizes + shift, groups, marker, color=colour, label=label)
    sizes = np.unique(nodes.d)
    axis.plot(sizes, 2.0**sizes, ":", color="0.5", lw=0.9, label="$2^d$, number of selections")
    axis.set(yscale="log", xlabel="candidate maps $d$", ylabel="nodes of the proof", xticks=sizes)
    axis.set_ylim(top=100 * 2.0 ** sizes.max())  # room for the legend
    axis.set_title("cosines of maps can be hard")
    axis.legend(fontsize=6, loc="upper left")


def _fixed(axis, fixed):
    for n, table in fixed.groupby("n_features"):
        style = {"ms": 3, "color": MODEL_COLOURS[n], "label": f"$N_f={n}$"}
        axis.plot(1 - table.beta, 100 * table.fixed, f"{MODEL_MARKERS[n]}-", **style)
    betas = np.unique(fixed.beta)
    axis.set(xscale="log", ylim=(-3, 103), xlabel="trade-off $\\beta$", ylabel="candidates decided, %")
    axis.minorticks_off()
    axis.set_xticks(1 - betas, [f"{beta:g}" for beta in betas])
    axis.invert_xaxis()
    axis.set_title("maps that need no solver")
    axis.legend(fontsize=6, loc="upper left", bbox_to_anchor=(0.5, 0.62))


def _shared(axis, shared):
    sizes = list(np.unique(shared.n_features))
    for place, n in enumerate(sizes):
        of_size = shared[shared.n_features == n].groupby("weights").spearman
        for kind, values in ((kind, np.sort(values)) for kind, values in of_size):
            middle, marker, colour = place + _NULLS.get(kind, 0), "o", "0.6" if kind in _NULLS else MODEL_COLOURS[n]
            axis.plot(middle + np.linspace(-0.07, 0.07, len(values)), values, marker, ms=3, color=colour)
            axis.plot([middle - 0.11, middle + 0.11], [values.mean()] * 2, color=colour, lw=1.5)
    axis.axhline(0, color="0.5", lw=0.8)
    axis.set_xticks(range(len(sizes)), [f"{n}" for n in sizes])
    axis.set(xlabel="feature maps $N_f$; a dot is a head", ylabel="rank correlation", xlim=(-0.5, len(sizes) - 0.5))
    note = "grey: weights shuffled among classes (left),\nrandom weights of sum 0 (right)"
    axis.text(0.98, 0.05, note, ha="right", transform=axis.transAxes, fontsize=6, color="0.4")
    axis.set_title("importance of maps that classes share")
