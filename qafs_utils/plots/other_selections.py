"""Figures of other ways to choose k maps, and of one set of maps for all images."""

import matplotlib.pyplot as plt

from .style import METHOD_COLOURS, PAGE, lettered, only_ticks, with_interval

SELECTION_STYLES = {  # name as printed, colour, marker, line
    "top k": ("top $k$", METHOD_COLOURS["top $k$"], "s", "-"),
    "DPP": ("DPP, greedy", "#009E73", "D", "--"),
    "facility location": ("facility location, greedy", "#56B4E9", "P", "-."),
    "MMR": ("maximal marginal relevance", "#777777", "<", (0, (1, 1))),
    "QUBO": ("QUBO, exactly $k$", METHOD_COLOURS["QUBO optimum"], "o", "-"),
    "greedy on -E": ("greedy on $-E$", "#000000", "x", ":"),
    "random k": ("random $k$", METHOD_COLOURS["random $k$"], "^", (0, (5, 3))),
}
SET_STYLES = {
    "sparse scoring": ("sparse optimal scoring", "#E69F00", "D", "--"),
    "mean contribution": ("largest mean contribution", "#009E73", "P", "-."),
    "mean importance": ("largest mean importance", METHOD_COLOURS["top $k$"], "s", "-"),
    "QUBO, most used": ("QUBO's most used maps", METHOD_COLOURS["QUBO optimum"], "o", "-"),
    "random": ("random", METHOD_COLOURS["random $k$"], "^", (0, (5, 3))),
}
OF_IMAGES_STYLES = {
    "top k, sparse scoring": ("sparse scoring × activation", "#E69F00", "D", "--"),
    "top k, contribution": ("importance × activation", "#009E73", "P", "-."),
    "top k, importance": ("importance", METHOD_COLOURS["top $k$"], "s", "-"),
    "QUBO, importance": ("QUBO, importance", METHOD_COLOURS["QUBO optimum"], "o", "-"),
    "QUBO, contribution": ("QUBO, importance × activation", METHOD_COLOURS["QUBO optimum"], "v", ":"),
    "random k, importance": ("random", METHOD_COLOURS["random $k$"], "^", (0, (5, 3))),
}
MEASURE_LABELS = {
    "matched": "1 $-$ matched probability\n(up is better)",
    "margin": "share of the margin",
    "mean cosine": "mean cosine of the $k$ maps",
    "class overlap": "overlap of the classes' sets",
}
QUALITY_TITLES = {"importance": "by importance", "contribution": "by importance × activation"}


def _curves(axis, table, styles, x, y, label):
    """A curve with intervals for each selection of a table, side by side, on a logarithmic axis of k."""
    for place, (name, (printed, colour, marker, line)) in enumerate(styles.items()):
        rows = table[table.selection == name]
        if len(rows):
            style = {"color": colour, "marker": marker, "ls": line, "markersize": 4, "lw": 0.9, "label": printed}
            with_interval(axis, rows[x] * 1.025 ** (place - len(styles) / 2), rows, y, **style)
    axis.set(xscale="log", ylabel=label)
    only_ticks(axis, sorted(table[x].unique()), fontsize=6)


def _draw_measure(axis, table, styles, name):
    """Curves of one measure; a probability as what it lacks to 1, on a logarithmic axis on which up is better."""
    rows = table[table.measure == name]
    if name == "matched":
        rows = rows.assign(value=1 - rows.value, low=1 - rows.high, high=1 - rows.low)
    _curves(axis, rows, styles, "k", "value", MEASURE_LABELS[name])
    if name == "matched":
        axis.set_yscale("log")
        axis.yaxis.set_inverted(True)
    elif name == "margin":
        axis.axhline(1, color="0.5", lw=0.9, ls="--", zorder=0)
    else:
        axis.set_ylim(0, 1.03)


def selections(table, measures=("matched", "margin", "mean cosine")):
    """Fig. 30: what k maps carry and how alike they are, by each way of choosing, one row of panels for each quality.

    table: quality, selection, k, measure, value, low, high, of one number of maps.

    >>> from pandas import DataFrame
    >>> row = {"quality": "importance", "selection": "DPP", "k": 2, "value": 0.5, "low": 0.4, "high": 0.6}
    >>> figure = selections(DataFrame([row | {"measure": name} for name in ("margin", "mean cosine")]))
    >>> figure.axes[0].get_title(), [axis.get_ylabel() for axis in figure.axes]
    ('(a) by importance', ['share of the margin', 'mean cosine of the $k$ maps'])
    """
    kinds = [kind for kind in QUALITY_TITLES if kind in set(table.quality)]
    measures = [name for name in measures if name in set(table.measure)]
    size = {"figsize": (PAGE, 0.6 + 1.9 * len(kinds)), "squeeze": False, "sharex": True, "sharey": "col"}
    figure, axes = plt.subplots(len(kinds), len(measures), **size)
    for row, kind in zip(axes, kinds):
        for axis, name in zip(row, measures):
            _draw_measure(axis, table[table.quality == kind], SELECTION_STYLES, name)
            axis.set_title(QUALITY_TITLES[kind])
    lettered(axes.flat)
    for axis in axes[-1]:
        axis.set_xlabel("number of maps $k$")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=6.5)
    return figure


def one_set(accuracy, of_images, whole):
    """Fig. 31: maps by sparse optimal scoring beside others: one set of k maps for all images, and a set an image.

    accuracy: selection, k, classifier ("refitted", "network"), accuracy, low, high; of_images: quality, selection, k,
    measure ("matched", "class overlap"), value, low, high; whole: accuracy of the network with all maps.

    >>> from pandas import DataFrame
    >>> row = {"selection": "sparse scoring", "k": 2, "accuracy": 0.5, "low": 0.4, "high": 0.6}
    >>> accuracy = DataFrame([row | {"classifier": kind} for kind in ("refitted", "network")])
    >>> row = {"quality": "sparse scoring", "selection": "top k", "k": 2, "value": 0.9, "low": 0.8, "high": 1.0}
    >>> of_images = DataFrame([row | {"measure": name} for name in ("matched", "class overlap")])
    >>> [axis.get_title() for axis in one_set(accuracy, of_images, 0.9).axes][::3]
    ['(a) one set, classifier fitted anew', '(d) a set for each image']
    """
    figure, axes = plt.subplots(2, 2, figsize=(PAGE, 5.2))
    for axis, kind, title in zip(axes[0], ("refitted", "network"), ("classifier fitted anew", "network as it is")):
        axis.axhline(whole, color="0.5", lw=0.9, ls="--", label="network, all maps")
        _curves(axis, accuracy[accuracy.classifier == kind], SET_STYLES, "k", "accuracy", "accuracy")
        axis.set(title=f"one set, {title}", ylim=(0, 1.02))
    of_images = of_images.assign(selection=of_images.selection + ", " + of_images.quality)
    for axis, name in zip(axes[1], ("matched", "class overlap")):
        _draw_measure(axis, of_images, OF_IMAGES_STYLES, name)
        axis.set_title("a set for each image")
    lettered(axes.flat)
    for axis in axes.flat:
        axis.set_xlabel("number of maps $k$")
    for axis in axes[:, 1]:
        axis.legend(fontsize=6, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
