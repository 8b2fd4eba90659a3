"""Figures of `09_average_drop`."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.patheffects import withStroke

from .style import COLUMN, METHOD_COLOURS, PAGE, method_name, three_digits, with_interval

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
_CROSS = {"marker": "x", "markersize": 5, "mew": 1.4, "ls": ""}  # the paper's values


def drop_against_area(table: pd.DataFrame) -> plt.Figure:
    """Fig. 14: Average Drop against the area of the mask, beside blind masks of equal area; one panel a model.

    table: n_features, method (key), area, average_drop, low, high, and the Average Drops random and centred.

    >>> row = {"n_features": 16, "method": "Grad-CAM", "area": 0.3, "average_drop": 32.0, "low": 27.0, "high": 38.0}
    >>> figure = drop_against_area(pd.DataFrame([row | {"random": 50.0, "centred": 30.0}]))
    >>> [text.get_text() for text in figure.legends[0].texts]
    ['random mask, same area', 'centred mask, same area', 'Grad-CAM']
    """
    sizes, shown = list(table.n_features.unique()), {}
    figure, axes = plt.subplots(1, len(sizes), figsize=(PAGE, 3.1), sharey=True, squeeze=False)
    for axis, n in zip(axes.flat, sizes):
        part = table[table.n_features == n].sort_values("area")
        for column, marker in (("random", "_"), ("centred", "+")):
            (line,) = axis.plot(part.area, part[column], marker, color="0.45", markersize=6, mew=1.1)
            shown[f"{column} mask, same area"] = line
        for _, row in part.iterrows():
            name, colour = method_name(row.method)
            is_variant = "authors" in name or "channel" in name or row.method.endswith("0.70")
            marks = {"color": colour, "marker": _MARKERS.get(name.split(",")[0], "o"), "markersize": 4.5, "lw": 0}
            marks |= {"mfc": "w"} if is_variant else {}
            shown.setdefault(name, with_interval(axis, row.area, row, "average_drop", **marks))
        near = table[(table.n_features < 512) == (n < 512)].area
        limits = near.min() - 0.02, near.max() + 0.02
        axis.set(xlabel="mean mask area", title=f"$N_f={n}$", xlim=limits, ylim=(0, None))
    axes[0, 0].set_ylabel("Average Drop (%)")
    figure.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=4, fontsize=6)
    return figure


def average_drop_against_beta(
    table: pd.DataFrame, reference: dict[str, tuple[float, float]], reported: tuple
) -> plt.Figure:
    """Fig. 3: Average Drop and selected fraction against beta at N_f = 512; crosses are the paper's values.

    table: columns beta, average_drop, low, high, ratio; reference: {method: (ours, paper's Average Drop)};
    reported: (beta, the paper's Average Drop of SA-Grad-CAM).

    >>> scan = {"beta": [0.7, 1.0], "average_drop": [12.0, 6.0], "ratio": [0.1, 1.0], "low": 5, "high": 15}
    >>> figure = average_drop_against_beta(pd.DataFrame(scan), {"Grad-CAM": (11.2, 5.26)}, (0.99, 6.28))
    >>> figure.axes[1].lines[0].get_ydata().tolist()  # on the right: the selected fraction
    [0.1, 1.0]
    """
    figure, left = plt.subplots(figsize=(COLUMN, 2.4))
    colour = METHOD_COLOURS["SA-Grad-CAM"]
    left.fill_between(table.beta, table.low, table.high, color=colour, alpha=0.2, lw=0)
    left.plot(table.beta, table.average_drop, "o-", color=colour, label="SA-Grad-CAM")
    for x, (method, (ours, paper)) in zip((1.05, 1.1), reference.items()):
        left.axhline(ours, color=METHOD_COLOURS[method], ls="--", lw=0.9, label=method)
        left.plot(x, paper, color=METHOD_COLOURS[method], **_CROSS)
    left.plot([], [], "kx", label="paper")
    left.set(xlabel="trade-off $\\beta$", ylabel="Average Drop (%)", ylim=(0, None))
    right = left.twinx()
    right.spines.right.set_visible(True)
    right.plot(table.beta, table.ratio, "s:", color="0.4", label="selected / $d$")
    right.set(ylabel="selected / $d$", ylim=(0, 1.05))
    outlined = [withStroke(linewidth=3, foreground="w")]  # the cross lies on our own mark
    right.plot(*reported, color=colour, path_effects=outlined, transform=left.transData, **_CROSS)
    handles, names = (a + b for a, b in zip(left.get_legend_handles_labels(), right.get_legend_handles_labels()))
    figure.legend(handles, names, loc="outside upper center", ncols=2)
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
