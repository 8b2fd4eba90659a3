"""Figure of the proofs: couplings, nodes and the landscape around an optimum."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

from .style import COUPLING_STYLES, PAGE, lettered, only_ticks, quartile_bars


def landscape_and_proof(spectra, nodes, minima, plain_nodes):
    """Fig. 15: eigenvalues of the couplings, nodes of the proof against d, local minima around the optimum.

    spectra: {couplings: eigenvalues (d,) in falling order}; nodes: table of couplings, d, nodes; minima: {couplings:
    table of maps_changed, excess, descents of `comparison.descent_minima`}; plain_nodes: from there on nodes have the
    better, dearer bound.

    >>> from pandas import DataFrame
    >>> minima = DataFrame({"maps_changed": [0, 2], "excess": [0.0, 0.01], "descents": [90, 10]})
    >>> nodes = DataFrame({"couplings": "cosine", "d": [100, 100], "nodes": [40, 60]})
    >>> figure = landscape_and_proof({"cosine": np.array([2.0, 0.5])}, nodes, {"cosine": minima}, 15_000)
    >>> figure.axes[2].get_legend().texts[0].get_text()
    'cosine $J$: 2 minima'
    """
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(PAGE, 2.4))
    _draw_spectra(left, spectra)
    _draw_nodes(middle, nodes, list(spectra), plain_nodes)
    _draw_minima(right, minima)
    lettered((left, middle, right))
    return figure


def _draw_spectra(axis, spectra):
    for (kind, eigenvalues), line in zip(spectra.items(), ("-", "--", ":")):
        colour, _, name = COUPLING_STYLES[kind]
        axis.plot(np.arange(1, len(eigenvalues) + 1), eigenvalues, line, color=colour, label=name)
    axis.axhline(0, color="0.5", lw=0.6)
    axis.set_yscale("symlog", linthresh=1)
    axis.set(xlabel="index", ylabel="eigenvalue of $J$", yticks=(-10, -1, 0, 1, 10, 100))
    axis.legend()


def _draw_nodes(axis, nodes, kinds, plain_nodes):
    sizes = sorted(nodes.d.unique())
    for kind in kinds:
        colour, marker, name = COUPLING_STYLES[kind]
        by_size = nodes[nodes.couplings == kind].groupby("d").nodes
        groups = [group for _, group in by_size]
        quartile_bars(axis, list(by_size.groups), groups, f"{marker}-", color=colour, markersize=3.5, label=name)
    axis.set(xscale="log", yscale="log", xlabel="number of candidates $d$", ylabel="nodes until proven")
    axis.axhline(plain_nodes, color="0.5", ls=":", lw=0.8)
    place = {"xy": (sizes[0], plain_nodes), "xytext": (-4, 3), "textcoords": "offset points"}
    axis.annotate("above: closer bound", fontsize=6, **place)
    only_ticks(axis, sizes)


def _draw_minima(axis, minima):
    for kind, table in minima.items():
        colour, marker, name = COUPLING_STYLES[kind]
        label = f"{name}: {len(table)} minima" if len(table) > 1 else f"{name}: 1 minimum"
        area = 6 + 40 * table.descents / table.descents.sum()
        style = {"color": colour, "marker": marker, "alpha": 0.6, "lw": 0, "label": label}
        axis.scatter(table.maps_changed, 100 * table.excess, area, **style)
    axis.set_yscale("symlog", linthresh=1)
    axis.set(xlabel="maps changed from optimum", ylabel="energy above the optimum (%)", ylim=(-0.1, None))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    shown = [tick for tick in (0, 1, 3, 10, 30, 100) if tick < axis.get_ylim()[1]]
    axis.set_yticks(shown, [str(tick) for tick in shown])
    axis.legend(fontsize=6)
