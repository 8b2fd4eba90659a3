"""The figure of other layers."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from .style import METHOD_COLOURS, PAGE, method_name, quartile_bars, with_interval

MARKERS = {"exact": "v", "top_k": "s", "random_k": "^"}


def layers(problems: pd.DataFrame, propagated: pd.DataFrame, scores: pd.DataFrame, sizes: pd.DataFrame) -> plt.Figure:
    """Fig. 19: selection at every block of the network; exactly k maps at the last.

    problems: block, beta, maps, d, selected; propagated: class probability by block, selection (key), value, low, high;
    scores: the Average Drop, likewise with method (key); sizes: selection, beta, k, value, low, high.

    >>> problems = pd.DataFrame({"block": "layer4", "beta": [0.7, 0.99], "maps": 512, "d": 213, "selected": [11, 200]})
    >>> row = {"block": "layer4", "value": 0.6, "low": 0.5, "high": 0.7}
    >>> keys = {"selection": "candidates"}, {"method": "Grad-CAM"}
    >>> propagated, scores = (pd.DataFrame([row | key]) for key in keys)
    >>> row |= {"beta": 0.7, "k": 5}
    >>> sizes = pd.DataFrame([row | {"selection": name} for name in ("QUBO, exactly k", "top k", "QUBO")])
    >>> figure = layers(problems, propagated, scores, sizes)
    >>> [text.get_text() for text in figure.legends[0].texts]
    ['all candidates (filtered Grad-CAM)', 'Grad-CAM']
    """
    figure, axes = plt.subplots(2, 2, figsize=(PAGE, 4.6))
    counts, carried, drops, fixed = axes.flat
    blocks, betas = list(problems.block.unique()), sorted(problems.beta.unique())
    _counts(counts, problems, blocks, betas)
    for axis, table, column in ((carried, propagated, "selection"), (drops, scores, "method")):
        _by_block(axis, table, column, blocks, betas)
    carried.set(ylabel="class probability,\nonly these maps propagate", ylim=(0, 1.02))
    drops.set(ylabel="Average Drop (%)", ylim=(0, None))
    for axis in (counts, carried, drops):
        axis.set_xticks(np.arange(len(blocks)), blocks)
    shared = dict(pair[::-1] for axis in (carried, drops) for pair in zip(*axis.get_legend_handles_labels()))
    figure.legend(shared.values(), shared.keys(), loc="outside upper center", ncols=4, fontsize=6)
    counts.legend(fontsize=6)
    _sizes(fixed, sizes, betas[0])
    fixed.set(xscale="log", xlabel=f"number of maps at {blocks[-1]}", ylabel="Average Drop (%)", ylim=(0, None))
    fixed.legend(fontsize=6)
    return figure


def _counts(axis, problems, blocks, betas):
    """Numbers of maps, of candidates and of selected maps at every block: medians and quartiles."""
    x, images = np.arange(len(blocks)), problems[problems.beta == betas[0]]
    axis.plot(x, images.groupby("block").maps.first()[blocks], "ks--", lw=0.8, label="maps")
    quartile_bars(axis, x, [images[images.block == b].d for b in blocks], color="k", label="candidates $d$")
    for beta, face in zip(betas, ("w", None)):
        selected = problems[problems.beta == beta].groupby("block").selected
        style = {"color": METHOD_COLOURS["QUBO optimum"], "mfc": face, "label": f"selected, $\\beta={beta:g}$"}
        quartile_bars(axis, x, [selected.get_group(b) for b in blocks], "v", **style)
    axis.set(yscale="log", ylabel="number of maps", ylim=(2, 3000))


def _by_block(axis, table, column, blocks, betas):
    """Values with intervals of every method at every block; those of the first beta are hollow."""
    keys = list(table[column].unique())
    for shift, key in zip(np.linspace(-0.3, 0.3, len(keys)), keys):
        name, colour = method_name({"candidates": "filtered Grad-CAM"}.get(key, key))
        name = "all candidates (filtered Grad-CAM)" if name == "filtered Grad-CAM" else name
        style = {"color": colour, "markersize": 3.5, "label": name}
        style["fmt"] = MARKERS.get(key.rpartition("_")[0], "D" if "filtered" in name else "o")
        style |= {"mfc": "w"} if key.endswith(f"_{betas[0]:g}") else {}
        rows = table[table[column] == key].set_index("block").loc[blocks]
        with_interval(axis, np.arange(len(blocks)) + shift, rows, "value", **style)


def _sizes(axis, sizes, beta):
    """Average Drop of exactly k maps, and of the optima of free size."""
    for selection, method, marker in (("QUBO, exactly k", "QUBO optimum", "o"), ("top k", "top $k$", "s")):
        rows = sizes[sizes.selection == selection]
        label = f"QUBO of exactly $k$ maps, $\\beta={beta:g}$" if method == "QUBO optimum" else method
        style = {"color": METHOD_COLOURS[method], "marker": marker, "markersize": 3.5, "lw": 0.9, "label": label}
        with_interval(axis, rows.k, rows, "value", **style)
    for (_, row), face in zip(sizes[sizes.selection == "QUBO"].iterrows(), ("w", None)):
        style = {"color": METHOD_COLOURS["QUBO optimum"], "mfc": face, "mec": "k", "mew": 0.8, "markersize": 6}
        style |= {"zorder": 5, "label": f"QUBO, size left free, $\\beta={row.beta:g}$"}
        with_interval(axis, row.k, row, "value", fmt="v", **style)
