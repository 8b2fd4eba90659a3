"""Figures of `09_average_drop`."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from .style import COLUMN, METHOD_COLOURS, PAGE, lettered, method_name, only_ticks, three_digits, with_interval

SHORT = {"Grad-CAM": "Grad-CAM (ReLU of sum)", "filtered Grad-CAM": "Grad-CAM (ReLU per map)"}
_MARKERS = {
    "Grad-CAM": "o",
    "Grad-CAM++": "s",
    "HiResCAM": "X",
    "Score-CAM": "P",
    "filtered Grad-CAM": "D",
    "QA-Grad-CAM": "v",
    "SA-Grad-CAM": "^",
    "top $k$": "<",
    "random $k$": ">",
}
_BLIND = {"random": "|", "centred": "+"}  # masks that know nothing of the image
_CROSS = {"marker": "x", "markersize": 5, "mew": 1.4, "ls": ""}  # the paper's values
_DASH = 4  # points: as long as the gap between two dashes


def drop_beside_masks(table: pd.DataFrame) -> plt.Figure:
    """Fig. 14: Average Drop of the methods, a row each, beside blind masks of equal area; one panel a model.

    table: n_features, method (key), area, average_drop, low, high, and the Average Drops random and centred.

    >>> row = {"n_features": 16, "method": "Grad-CAM", "area": 0.3, "average_drop": 32.0, "low": 27.0, "high": 38.0}
    >>> figure = drop_beside_masks(pd.DataFrame([row | {"random": 50.0, "centred": 30.0}]))
    >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
    ['Grad-CAM (ReLU of sum)']
    """
    sizes, methods = list(table.n_features.unique()), _in_rows(table.method.unique())
    height = 0.9 + 0.16 * len(methods)
    figure, axes = plt.subplots(1, len(sizes), figsize=(PAGE, height), sharex=True, sharey=True, squeeze=False)
    for axis, n in zip(axes.flat, sizes):
        place = {"transform": axis.get_yaxis_transform(), "ha": "right", "va": "center", "fontsize": 5.5}
        for row in table[table.n_features == n].to_dict("records"):
            y, (name, colour) = methods.index(row["method"]), method_name(row["method"])
            for mask, marker in _BLIND.items():
                axis.plot(row[mask], y, marker, color="0.35", markersize=6, mew=1.1)
            bar = [[row["average_drop"] - row["low"]], [row["high"] - row["average_drop"]]]
            marks = {
                "color": colour,
                "marker": _MARKERS.get(name.split(",")[0], "o"),
                "markersize": 4,
                "mec": "k",
                "ecolor": "k",
            }
            axis.errorbar(row["average_drop"], y, xerr=bar, mew=0.5, elinewidth=0.7, **marks)
            axis.text(1.0, y, f"{row['area']:.2f}", **place)
        axis.text(1.0, -0.75, "area", **place)
        axis.set(xlabel="Average Drop (%)", title=f"$N_f={n}$", ylim=(len(methods) - 0.4, -0.6))
        axis.hlines(np.arange(len(methods)), 0, 1, transform=axis.get_yaxis_transform(), color="0.92", lw=0.5, zorder=0)
    names = [SHORT.get(method, method_name(method)[0]) for method in methods]
    axes[0, 0].set(xlim=(0, 1.3 * table[["high", *_BLIND]].to_numpy().max()))
    axes[0, 0].set_yticks(range(len(methods)), names, fontsize=6.5)
    for mask, marker in _BLIND.items():
        axes[0, 0].plot([], [], marker, color="0.35", markersize=6, mew=1.1, label=f"{mask} mask of the same area")
    figure.legend(loc="outside upper center", ncols=2)
    lettered(axes.flat)
    return figure


def _in_rows(methods):
    """Methods in the order of Grad-CAMs, others, selections by beta."""
    kinds = ("Grad-CAM", "filtered Grad-CAM", "Grad-CAM++", "HiResCAM", "Score-CAM", "qa", "sa", "top_k", "random_k")

    def place(key):
        kind = max((kind for kind in kinds if key.startswith(kind)), key=len, default="")
        return kinds.index(kind) if kind else len(kinds), key

    selections = [key for key in methods if place(key)[0] > 4]
    by_beta = sorted(selections, key=lambda key: (key.rpartition("_")[2] if "." in key else "", place(key)))
    return sorted(set(methods) - set(selections), key=place) + by_beta


def average_drop_against_beta(
    table: pd.DataFrame, reference: Mapping[str, tuple[float, float]], reported: tuple[float, float], equal_k=None
) -> plt.Figure:
    """Fig. 3: Average Drop, and below it the selected fraction, against beta at N_f = 512; crosses: the paper's values.

    table: columns beta, average_drop, low, high, ratio; reference: {method: (ours, paper's Average Drop)};
    reported: (beta, the paper's Average Drop of SA-Grad-CAM); equal_k: method (key, "top_k_0.70"), average_drop, low,
    high of choices of as many maps. The axis is the logarithm of 1 - beta, with beta = 1 beyond its end.

    >>> scan = {"beta": [0.7, 0.99, 1.0], "average_drop": [12.0, 6.5, 6.0], "ratio": [0.1, 0.5, 1.0], "low": 5}
    >>> table = pd.DataFrame(scan | {"high": 15})
    >>> figure = average_drop_against_beta(table, {"Grad-CAM": (11.2, 5.26)}, (0.99, 6.28))
    >>> figure.axes[1].lines[0].get_ydata().tolist()  # below: the selected fraction
    [0.1, 0.5, 1.0]
    """
    figure, (above, below) = plt.subplots(2, 1, figsize=(COLUMN, 3.6), sharex=True, height_ratios=(2.2, 1))
    last = (1 - table.beta[table.beta < 1]).min() / 3  # where beta = 1 stands
    colour = METHOD_COLOURS["SA-Grad-CAM"]

    def at(beta):
        return np.maximum(1 - np.asarray(beta, dtype=float), last)

    above.fill_between(at(table.beta), table.low, table.high, color=colour, alpha=0.2, lw=0)
    above.plot(at(table.beta), table.average_drop, "o-", color=colour, label="SA-Grad-CAM")
    for k, (method, (ours, paper)) in enumerate(reference.items()):
        dashes = (_DASH * k, (_DASH, _DASH * (len(reference) - 1) or 2))  # in turn, where the lines coincide
        style = {"color": METHOD_COLOURS[method], "lw": 1.4, "zorder": 1.5}
        above.axhline(ours, ls=dashes, label=SHORT.get(method, method), **style)
        above.plot(1.05 + 0.05 * k, paper, transform=above.get_yaxis_transform(), clip_on=False, **style | _CROSS)
    for key, group in () if equal_k is None else equal_k.groupby(equal_k.method.str.rpartition("_")[0], sort=False):
        (name, shade), beta = method_name(key), group.method.str.rpartition("_")[2].astype(float)
        beside = at(beta) * {"top $k$": 1.12, "random $k$": 0.89}.get(name, 1)
        with_interval(above, beside, group, "average_drop", color=shade, marker=_MARKERS[name], lw=0, label=name)
    above.plot([], [], color="k", label="paper", **_CROSS)
    above.plot(at(reported[0]), reported[1], color="k", zorder=5, **_CROSS)
    above.set(ylabel="Average Drop (%)", ylim=(0, None))
    below.plot(at(table.beta), table.ratio, "s-", color="0.4")
    below.set(xscale="log", xlabel="trade-off $\\beta$", ylabel="selected / $d$", ylim=(-0.03, 1.05))
    below.invert_xaxis()
    shown = [beta for beta in (0.1, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1) if beta in set(table.beta.round(6))]
    only_ticks(below, at(shown))
    below.set_xticklabels([f"{beta:g}" for beta in shown])
    figure.legend(*above.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    lettered((above, below))
    return figure


def table_one(table: pd.DataFrame, columns: Mapping[str, tuple[str, str]]) -> plt.Figure:
    """Table 1 in the paper's layout, the paper's number left and ours right, with its interval below it.

    table: column, class, average_drop, low, high, paper; columns: {column: (model, method) as printed}. A class is a
    row, in the table's order; cells are tinted where our interval holds the paper's number.

    >>> row = {"column": "nf16/qa", "class": "cat", "average_drop": 5.0, "low": 4.0, "high": 6.0, "paper": 4.51}
    >>> figure = table_one(pd.DataFrame([row]), {"nf16/qa": ("N_f=16", "QA-Grad-CAM")})
    >>> [text.get_text() for text in figure.axes[0].texts[-4:]]
    ['cat', '4.51', '5.0', '[4.0, 6.0]']
    """
    classes, rows = list(table["class"].unique()), table.set_index(["class", "column"])
    figure, axis = plt.subplots(figsize=(PAGE, 0.29 * (len(classes) + 3)))
    axis.set(xlim=(-0.7, len(columns)), ylim=(len(classes) + 0.1, -2.6))
    axis.axis("off")
    models = [model for model, _ in columns.values()]
    for model in dict.fromkeys(models):
        first, count = models.index(model), models.count(model)
        axis.text(first + count / 2, -2.3, f"${model}$", ha="center", va="center", fontsize=8)
        axis.plot((first + 0.05, first + count - 0.05), (-1.95, -1.95), color="0.3", lw=0.8)
    for x, (_, method) in enumerate(columns.values()):
        name = method.replace("beta", "$\\beta$").replace(", ", "\n")
        axis.text(x + 0.5, -1.25, name, ha="center", va="center", fontsize=6.5)
        axis.text(x + 0.3, -0.35, "paper", ha="center", va="center", fontsize=5.5, color="0.4")
        axis.text(x + 0.72, -0.35, "ours", ha="center", va="center", fontsize=5.5)
    for y, name in enumerate(classes):
        axis.axhline(y, color="0.3" if name == "mean" or y == 0 else "0.85", lw=0.8)
        axis.text(-0.65, y + 0.5, name, va="center", fontsize=7)
        for x, column in enumerate(columns):
            cell = rows.loc[(name, column)]
            if cell.low <= cell.paper <= cell.high:
                axis.fill_between((x + 0.05, x + 0.95), y + 0.05, y + 0.95, color="#009E73", alpha=0.18, lw=0)
            axis.text(x + 0.3, y + 0.36, three_digits(cell.paper), ha="center", va="center", fontsize=6.5, color="0.4")
            axis.text(x + 0.72, y + 0.36, f"{cell.average_drop:.1f}", ha="center", va="center", fontsize=6.5)
            interval = f"[{cell.low:.1f}, {cell.high:.1f}]"
            axis.text(x + 0.72, y + 0.76, interval, ha="center", va="center", fontsize=4.2, color="0.3")
    axis.axhline(len(classes), color="0.3", lw=0.8)
    return figure
