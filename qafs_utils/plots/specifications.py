"""Figures of 17_specifications: specification curves."""

import re
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullFormatter

from .style import PAGE, lettered

SET_STYLES = {"headline": ("#CC79A7", "D"), "authors": ("#0072B2", "s"), "text": ("#E69F00", "^")}  # colour, marker
_LARGE = {"ms": 4.5, "mec": "k", "mew": 0.5, "ls": ""}
_BINS, _FEW = 48, 80  # of ranks; up to how many specifications each is shown


def specification_curves(
    table: pd.DataFrame,
    references: pd.DataFrame,
    choices: Mapping[str, str],
    units: Mapping[str, str],
    *,
    height: float = 2.0,
) -> Figure:
    """Figs. 24 and 25: distances from the paper, sorted, and below which choices each specification makes.

    table: columns quantity, distance, set ("" or its names) and the choices; a panel a quantity, in the order of units;
    references: quantity, name, kind ("rerun" or "trivial") and distance: reruns are shaded up to the largest, trivial
    predictors are dashed; choices: {column: as printed}; units: {quantity: label of its axis}; height: of the curves in
    inches. Below, a dot is a choice of a specification; where there are many, the darkness is the share of the
    specifications of about this rank.

    >>> table = pd.DataFrame({"distance": [2.0, 1.0], "field": ["max", "min-max"], "set": ["text", ""]})
    >>> table = table.assign(quantity="q")
    >>> lines = pd.DataFrame({"quantity": "q", "name": "zero", "kind": "trivial", "distance": [3.0]})
    >>> figure = specification_curves(table, lines, {"field": "field"}, {"q": "points"})
    >>> figure.axes[0].lines[0].get_ydata().tolist()
    [1.0, 2.0]
    """
    table = table[table.quantity.isin(list(units))]
    rows = [(c, v) for c in choices if c in table for v in _values(table, c)]
    below = 0.115 * len(rows) + 0.06 * len({c for c, _ in rows})
    figure, axes = plt.subplots(
        2,
        len(units),
        figsize=(PAGE, height + below + 0.5),
        height_ratios=[height, below],
        squeeze=False,
        gridspec_kw={"hspace": 0.02},
    )
    for (top, strip), (quantity, unit) in zip(axes.T, units.items()):
        part = table[table.quantity == quantity].dropna(subset="distance")
        part = part.sort_values("distance", kind="stable").reset_index(drop=True)
        _curve(top, part, references[references.quantity == quantity])
        name = quantity.replace("N_f", "$N_f$").replace("tau", r"$\tau$")
        top.set_title(f"{name}\n{unit}", fontsize=7)
        _strip(strip, part, rows)
    _names(axes[1, 0], rows, choices)
    axes[0, 0].set_ylabel("distance from the paper")
    lettered(axes[0])
    styles = {name: {"color": colour, "marker": marker} | _LARGE for name, (colour, marker) in SET_STYLES.items()}
    sets = {name: plt.Line2D([], [], **style) for name, style in styles.items()}
    figure.legend(sets.values(), sets, loc="outside upper right", ncols=len(sets), columnspacing=1.2, handletextpad=0.2)
    return figure


def _values(table, column):
    return table[column].dropna().unique() if table[column].nunique() > 1 else []


def _curve(axis, part, references):
    axis.plot(part.index, part.distance, ".", ms=2 if len(part) > _FEW else 4, color="0.45", zorder=2)
    values = np.concatenate([part.distance, references.distance])
    axis.set(xlim=_across(part), yscale="log", ylim=(0.6 * np.nanmin(values), 1.3 * np.nanmax(values)))
    at_right = {"transform": axis.get_yaxis_transform(), "ha": "right", "fontsize": 6}
    reruns, trivial = (references[references.kind == kind].sort_values("distance") for kind in ("rerun", "trivial"))
    if len(reruns):
        axis.axhspan(axis.get_ylim()[0], reruns.distance.max(), color="#009E73", alpha=0.18, lw=0)
        axis.text(0.99, axis.get_ylim()[0] * 1.05, "within a rerun", va="bottom", color="#00523B", **at_right)
    for value in reruns.distance:
        axis.axhline(value, color="#009E73", lw=0.6)
    for value in trivial.distance:
        axis.axhline(value, color="k", lw=0.6, ls=(0, (4, 3)))
    at_left = at_right | {"ha": "left", "path_effects": [withStroke(linewidth=2, foreground="w")]}
    named = _named(trivial)
    for (names, value), (_, above) in zip(named, [*named[1:], ("", np.inf)]):
        under = above < 1.35 * value  # there is no room between the lines
        axis.text(0.01, value * (0.98 if under else 1.02), names, va="top" if under else "bottom", **at_left)
    for name, (colour, marker) in SET_STYLES.items():
        chosen = part[[name in names.split(", ") for names in part["set"]]]
        axis.plot(chosen.index[:1], chosen.distance[:1], color=colour, marker=marker, zorder=4, **_LARGE)
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.tick_params(bottom=False, labelbottom=False)


def _across(part):
    return -0.02 * len(part) - 0.5, 1.02 * len(part) - 0.5


def _named(trivial):
    """Names of lines, as one where the lines are hardly apart: [(names, height), ...]."""
    groups = []
    for name, value in zip(trivial.name, trivial.distance):
        if groups and value < 1.05 * groups[-1][1]:
            groups[-1] = (f"{name}, {groups[-1][0]}", groups[-1][1])
        else:
            groups.append((name, value))
    return groups


def _places(rows):
    """Height of each row, those of a choice together: (rows,)."""
    steps = [0.0] + [1.0 if a[0] == b[0] else 1.55 for a, b in zip(rows, rows[1:])]
    return -np.cumsum(steps)


def _printed(value):
    return (
        re.sub(r"(\w\^\w)", r"$\1$", value)
        .replace("p!=q", r"$p\neq q$")
        .replace("p<q", "$p<q$")
        .replace("1e-7", "$10^{-7}$")
    )


def _strip(axis, part, rows):
    places = _places(rows)
    for y, (column, value) in zip(places, rows):
        chosen = (part[column] == value).to_numpy()
        if part[column].nunique() < 2:
            continue
        if len(part) <= _FEW:
            axis.axhline(y, color="0.9", lw=0.6, zorder=0)
            axis.plot(part.index[chosen], np.full(chosen.sum(), y), "|", ms=4.5, mew=1, color="k")
        else:
            share = [block.mean() for block in np.array_split(chosen.astype(float), _BINS)]
            extent = (-0.5, len(part) - 0.5, y - 0.42, y + 0.42)
            axis.imshow([share], cmap="Greys", vmin=0, vmax=1, extent=extent, aspect="auto", interpolation="nearest")
    axis.set(xlim=_across(part), ylim=(places[-1] - 0.8, 0.8))
    axis.set_xlabel(f"{len(part)} specifications", fontsize=7)
    axis.set_yticks([])
    axis.set_xticks([])
    axis.spines[["left", "bottom"]].set_visible(False)


def _names(axis, rows, choices):
    places = _places(rows)
    axis.set_yticks(places, [_printed(value) for _, value in rows], fontsize=6)
    axis.tick_params(left=False, pad=1)
    seen = set()
    for y, (column, _) in zip(places, rows):
        if column not in seen:
            axis.annotate(
                choices[column],
                (0, y),
                (-74, 0),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                fontsize=6,
                va="center",
                ha="right",
                weight="bold",
            )
        seen.add(column)
