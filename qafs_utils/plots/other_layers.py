"""The figure of other layers."""

import matplotlib.pyplot as plt
import numpy as np

from .style import METHOD_COLOURS, PAGE, method_name, quartile_bars, with_interval


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
