"""Figures of the measures of explanations beside blind controls, of their sanity checks, and of a planted watermark."""

import re
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from .method import photograph
from .row_names import row_colour, row_name
from .style import PAGE, lettered

MEASURES = {  # column of a table: title
    "ROAD": "class kept with the least relevant pixels removed\nfirst, minus with the most relevant first",
    "ADCC": "harmonic mean of 1 $-$ drop,\ncoherency and 1 $-$ complexity",
}
CONTROLS = {"blind": ("D", "noise as smooth"), "fixed": ("s", "the same noise for the masked image")}
_KIND = re.compile(r"(signed_top|contribution|top_k|random_k|exact)_([\d.]+)")
_MORE = {"contribution": "#8C510A", "signed_top": "#332288", "Eigen-CAM": "#56B4E9", "Ablation-CAM": "#999999"}
MARKERS = {  # and lines, the same in all panels
    "Grad-CAM": ("o", "-"),
    "filtered Grad-CAM": ("s", "--"),
    "Eigen-CAM": ("D", ":"),
    "exact": ("^", "-"),
    "top_k": ("v", "--"),
    "contribution": ("P", "-."),
    "random_k": ("X", ":"),
    "signed_top": ("<", "-"),
}
GROUPS = {  # title: tests, and what of their names is the tick label
    "chance": r"another image",
    "one stage random": r"(.*) alone",
    "random from the top": r"down (to .*)",
    "image": r"(noise .*)|(shift)",
}


def name_of(key: str, *, short: bool = False) -> tuple[str, str]:
    """(name as printed, colour) of a method by its key; short: without beta and number.

    >>> name_of("contribution_0.70"), name_of("signed_top_20", short=True)[0], name_of("exact_0.70", short=True)[0]
    (('largest contributions, $\\\\beta=0.7$', '#8C510A'), 'signed top $k$', 'QUBO')
    """
    match = _KIND.fullmatch(key)
    kind = match[1] if match else key
    colour = _MORE.get(kind) or row_colour(key)
    if kind == "contribution":
        return ("largest contributions" + ("" if short else f", $\\beta={float(match[2]):g}$")), colour
    if kind == "signed_top":
        return ("signed top $k$" if short else f"signed top {match[2]}"), colour
    return (row_name(kind) if short and match else row_name(key)), colour


def measures(table: pd.DataFrame) -> plt.Figure:
    """Fig. 33: what each measure says of a method and of its controls, a row a number of maps, a column a measure.

    table: n_features, measure (of MEASURES), method, value, low, high, blind, centre, and fixed (NaN where a control
    has no such value).

    >>> row = {"n_features": 16, "method": "Grad-CAM", "value": 0.5, "low": 0.4, "high": 0.6, "blind": 0.1}
    >>> rows = [row | {"measure": m, "centre": 0.2, "fixed": np.nan} for m in MEASURES]
    >>> [axis.get_ylabel() for axis in measures(pd.DataFrame(rows)).axes]
    ['$N_f=16$', '']
    """
    sizes, names = sorted(table.n_features.unique()), list(MEASURES)
    counts = [table[table.n_features == n].method.nunique() for n in sizes]
    shape = {"figsize": (PAGE, 0.17 * sum(counts) + 1.3), "height_ratios": counts}
    figure, axes = plt.subplots(len(sizes), len(names), squeeze=False, sharex="col", **shape)
    for row, n in zip(axes, sizes):
        order = table[(table.n_features == n) & (table.measure == names[0])].sort_values("value").method.tolist()
        for axis, measure in zip(row, names):
            _draw_measure(axis, table[(table.n_features == n) & (table.measure == measure)], order)
        row[0].set_yticks(range(len(order)), [name_of(key)[0] for key in order], fontsize=6.5)
        row[0].set_ylabel(f"$N_f={n}$")
        row[1].set_yticks(range(len(order)), [])
        for axis, measure in zip(row, names):
            axis.set_title(measure)
    lettered(axes.flat)
    for axis, measure in zip(axes[-1], names):
        axis.set_xlabel(MEASURES[measure], fontsize=7)
    first = axes[0, 0]
    first.plot([], [], "ko", ms=4, label="method, 95 % interval over images")
    for marker, label in CONTROLS.values():
        first.plot([], [], marker, color="0.5", mfc="w", ms=3.5, label=f"its control: {label}")
    first.plot([], [], color="0.3", ls=":", lw=1, label="blob in the centre")
    figure.legend(*first.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def _draw_measure(axis, table, order):
    table = table.set_index("method")
    axis.hlines(range(len(order)), 0, 1, transform=axis.get_yaxis_transform(), color="0.93", lw=0.6, zorder=0)
    axis.axvline(table.centre.iloc[0], color="0.3", ls=":", lw=1, zorder=1)
    for y, method in enumerate(order):
        found, colour = table.loc[method], name_of(method)[1]
        for kind, (marker, _) in CONTROLS.items():
            axis.plot(found[kind], y - 0.12, marker, color="0.5", mfc="w", ms=3.5)
        error = np.abs([[found.low - found.value], [found.high - found.value]])
        axis.errorbar(found.value, y + 0.12, xerr=error, fmt="o", color=colour, ms=4, lw=1)
    axis.set_ylim(-0.7, len(order) - 0.3)


def groups_of(tests) -> dict[str, dict[str, str]]:
    """Tests by what they change, with their tick labels: names of tests  ->  {title: {test: label}}.

    >>> groups_of(["shift", "noise 0.1", "layer3 alone"])
    {'one stage random': {'layer3 alone': 'layer3'}, 'image': {'shift': 'shift', 'noise 0.1': 'noise 0.1'}}
    """
    found = {}
    for title, pattern in GROUPS.items():
        matches = {test: re.fullmatch(pattern, test) for test in dict.fromkeys(tests)}
        some = {test: match[match.lastindex or 0] for test, match in matches.items() if match}
        if some:
            found[title] = some
    return found


def sanity(table: pd.DataFrame) -> plt.Figure:
    """Fig. 34: how alike explanations (left) and selections (right) stay when the network or the image changes.

    table: of `sanity.table`; its tests stand in their order, in groups.

    >>> row = {"n_features": 16, "value": 0.5, "low": 0.4, "high": 0.6}
    >>> rows = [row | {"measure": m, "method": "exact_0.70", "test": "shift"} for m in ("spearman", "jaccard")]
    >>> [axis.get_title() for axis in sanity(pd.DataFrame(rows)).axes]
    ['(a) rank correlation, $N_f=16$', '(b) Jaccard index of selections, $N_f=16$']
    """
    sizes, gap = sorted(table.n_features.unique()), 0.8
    figure, axes = plt.subplots(
        len(sizes), 2, figsize=(PAGE, 0.9 + 2.1 * len(sizes)), sharex=True, sharey="col", squeeze=False
    )
    groups, places, labels, start = groups_of(table.test), {}, [], 0.0
    for tests in groups.values():
        places |= {test: start + i for i, test in enumerate(tests)}
        labels += tests.values()
        start += len(tests) - 1 + 1 + gap
    for row, n in zip(axes, sizes):
        for axis, measure in zip(row, ("spearman", "jaccard")):
            _draw_sanity(axis, table[(table.n_features == n) & (table.measure == measure)], groups, places)
    for column, title in zip(axes.T, ("rank correlation", "Jaccard index of selections")):
        for axis, n in zip(column, sizes):
            axis.set_title(f"{title}, $N_f={n}$")
            axis.set(ylim=(None, 1.22), yticks=np.arange(-0.25, 1.1, 0.25))
            for name, tests in groups.items():
                middle = np.mean([places[test] for test in tests])
                axis.text(middle, 1.2, name, ha="center", va="top", fontsize=5.5)
        column[-1].set_xticks(
            list(places.values()), labels, rotation=60, ha="right", rotation_mode="anchor", fontsize=6
        )
        handles = column[0].get_legend_handles_labels()
        column[-1].legend(*handles, fontsize=6, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.42))
    lettered(axes.flat)
    return figure


def _draw_sanity(axis, table, groups, places):
    axis.axhline(0, color="0.8", lw=0.6)
    methods = list(dict.fromkeys(table.method))
    for number, method in enumerate(methods):
        found, (name, colour) = table[table.method == method].set_index("test"), name_of(method, short=True)
        kind = match[1] if (match := _KIND.fullmatch(method)) else method
        for group, tests in enumerate(groups.values()):
            known = [test for test in tests if test in found.index]
            x = np.array([places[test] for test in known]) + 0.07 * (number - (len(methods) - 1) / 2)
            value, low, high = (found.loc[known, column].to_numpy() for column in ("value", "low", "high"))
            marker, line = MARKERS.get(kind, ("*", "-"))
            style = {"color": colour, "marker": marker, "ls": line, "ms": 3.5, "lw": 0.8, "capsize": 0}
            error = np.nan_to_num(np.maximum(0, (value - low, high - value)))
            axis.errorbar(x, value, error, label=name if not group else None, **style)


def watermark(table: pd.DataFrame, carried: pd.DataFrame, area: float) -> plt.Figure:
    """Fig. 35: the share of each explanation inside the stamp, and the part of the stamp's gain that is selected.

    table: n_features, method, watermark (whether the head was trained with it), value, low, high; carried: n_features,
    method, value, low, high, chance; area: of the stamp.

    >>> row = {"n_features": 16, "value": 0.5, "low": 0.4, "high": 0.6}
    >>> shares = pd.DataFrame([row | {"method": "Grad-CAM", "watermark": w} for w in (True, False)])
    >>> figure = watermark(shares, pd.DataFrame([row | {"method": "exact_0.70", "chance": 0.2}]), 0.03)
    >>> [axis.get_title() for axis in figure.axes]
    ['(a) $N_f=16$', '(b) $N_f=16$']
    """
    sizes = sorted(table.n_features.unique())
    shape = {"figsize": (PAGE, 0.17 * table.groupby("n_features").method.nunique().sum() + 1.3), "sharex": "col"}
    figure, axes = plt.subplots(len(sizes), 2, squeeze=False, **shape)
    for row, n in zip(axes, sizes):
        _draw_shares(row[0], table[table.n_features == n], area)
        _draw_carried(row[1], carried[carried.n_features == n])
        for axis in row:
            axis.set_title(f"$N_f={n}$")
    lettered(axes.flat)
    for axis, label in zip(
        axes[-1], ("share of the explanation inside the stamp", "selected part of the stamp's gain")
    ):
        axis.set(xlim=(0, None), xlabel=label)
    axes[0, 1].plot([], [], "|", color="k", ms=9, mew=1.5, label="as many of all maps by lot")
    handles = [axis.get_legend_handles_labels() for axis in axes[0]]
    figure.legend(*(one + other for one, other in zip(*handles)), loc="outside upper center", ncols=4, fontsize=7)
    return figure


def _draw_shares(axis, table, area):
    order = table[table.watermark].sort_values("value").method.tolist()
    axis.axvline(area, color="0.3", ls=":", lw=1, label="share of the area")
    axis.hlines(range(len(order)), 0, 1, transform=axis.get_yaxis_transform(), color="0.93", lw=0.6, zorder=0)
    for marked, face, label in ((True, None, "heads trained with the stamp"), (False, "w", "heads trained without")):
        found = table[table.watermark == marked].set_index("method").reindex(order)
        error = np.nan_to_num(np.maximum(0, (found.value - found.low, found.high - found.value)))
        y, colours = np.arange(len(order)) + (0.12 if marked else -0.12), [name_of(key)[1] for key in order]
        for i, colour in enumerate(colours):
            axis.errorbar(
                found.value.iloc[i], y[i], xerr=error[:, [i]], fmt="o", color=colour, mfc=face or colour, ms=3
            )
        axis.plot([], [], "o", color="k", mfc=face or "k", ms=3, label=label)
    axis.set_yticks(range(len(order)), [name_of(key, short=True)[0] for key in order], fontsize=6)


def _draw_carried(axis, table):
    order = table.sort_values("value").method.tolist()
    found = table.set_index("method").loc[order]
    axis.hlines(range(len(order)), 0, 1, transform=axis.get_yaxis_transform(), color="0.93", lw=0.6, zorder=0)
    error = np.nan_to_num(np.maximum(0, (found.value - found.low, found.high - found.value)))
    for i, key in enumerate(order):
        axis.errorbar(found.value.iloc[i], i, xerr=error[:, [i]], fmt="o", color=name_of(key)[1], ms=4, lw=1)
    axis.plot(found.chance, range(len(order)), "|", color="k", ms=9, mew=1.5)
    axis.set_yticks(range(len(order)), [name_of(key, short=True)[0] for key in order], fontsize=6)


def stamped_explanations(photographs, titles, heatmaps: Mapping[str, np.ndarray], box) -> plt.Figure:
    """Fig. 36: stamped images and their explanations, a row an image, the stamp framed.

    photographs: uint8 (B, 3, h, w); titles: of the rows; heatmaps: {title of the column: (B, S, S) in [0, 1]}; box:
    rows and columns of the stamp, two slices.

    >>> heatmaps = {"Grad-CAM": np.zeros((1, 8, 8))}
    >>> figure = stamped_explanations(np.zeros((1, 3, 8, 8), np.uint8), ["a"], heatmaps, (slice(5, 7), slice(1, 3)))
    >>> [axis.get_title() for axis in figure.axes]
    ['(a) stamped image', '(b) Grad-CAM']
    """
    rows, columns = len(photographs), 1 + len(heatmaps)
    figure, axes = plt.subplots(rows, columns, figsize=(PAGE, PAGE / columns * rows + 0.3), squeeze=False)
    (top, left), (bottom, right) = ((s.start for s in box), (s.stop for s in box))
    for i, title in enumerate(titles):
        photograph(axes[i, 0], photographs[i], None if i else "stamped image")
        axes[i, 0].set_ylabel(title, fontsize=7)
        for axis, (name, maps) in zip(axes[i, 1:], heatmaps.items()):
            photograph(axis, photographs[i], None if i else name, maps[i])
        for axis in axes[i]:
            frame = plt.Rectangle((left, top), right - left, bottom - top, fill=False, ec="w", lw=1.2)
            axis.add_patch(frame)
    lettered(axes[0])
    return figure
