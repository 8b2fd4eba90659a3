"""Figures of other ways to choose k maps, and of one set of maps for all images."""

import matplotlib.pyplot as plt

from .style import METHOD_COLOURS, PAGE, only_ticks, with_interval

SELECTION_STYLES = {  # name as printed, colour, marker, line
    "top k": ("top $k$", METHOD_COLOURS["top $k$"], "s", "-"),
    "DPP": ("DPP, greedy", "#009E73", "D", "-"),
    "facility location": ("facility location, greedy", "#56B4E9", "P", "-"),
    "MMR": ("maximal marginal relevance", "#999999", "<", "-"),
    "QUBO": ("QUBO, exactly $k$", METHOD_COLOURS["QUBO optimum"], "o", "-"),
    "greedy on -E": ("greedy on $-E$", "#000000", "x", ":"),
    "random k": ("random $k$", METHOD_COLOURS["random $k$"], "^", "-"),
}
SET_STYLES = {
    "sparse scoring": ("sparse optimal scoring", "#E69F00", "D", "-"),
    "mean contribution": ("largest mean contribution", "#009E73", "P", "-"),
    "mean importance": ("largest mean importance", METHOD_COLOURS["top $k$"], "s", "-"),
    "QUBO, most used": ("QUBO's most used maps", METHOD_COLOURS["QUBO optimum"], "o", "-"),
    "random": ("random", METHOD_COLOURS["random $k$"], "^", "-"),
}
OF_IMAGES_STYLES = {
    "top k, sparse scoring": ("sparse scoring × activation", "#E69F00", "D", "-"),
    "top k, contribution": ("importance × activation", "#009E73", "P", "-"),
    "top k, importance": ("importance", METHOD_COLOURS["top $k$"], "s", "-"),
    "QUBO, importance": ("QUBO, importance", METHOD_COLOURS["QUBO optimum"], "o", "-"),
    "QUBO, contribution": ("QUBO, importance × activation", METHOD_COLOURS["QUBO optimum"], "v", ":"),
    "random k, importance": ("random", METHOD_COLOURS["random $k$"], "^", "-"),
}
MEASURE_LABELS = {
    "argmax_alone": "class still the argmax",
    "matched": "probability, spread matched",
    "margin": "share of the margin",
    "probability": "softmax probability",
    "mean cosine": "mean cosine of the $k$ maps",
    "class overlap": "class overlap",
}
QUALITY_TITLES = {"importance": "by importance", "contribution": "by importance × activation"}


def _curves(axis, table, styles, x, y, label):
    """A curve with intervals for each selection of a table, side by side, on a logarithmic axis of k."""
    for place, (name, (printed, colour, marker, line)) in enumerate(styles.items()):
        rows = table[table.selection == name]
        if len(rows):
            style = {"color": colour, "marker": marker, "ls": line, "markersize": 3.5, "lw": 0.9, "label": printed}
            with_interval(axis, rows[x] * 1.025 ** (place - len(styles) / 2), rows, y, **style)
    axis.set(xscale="log", ylabel=label)
    only_ticks(axis, sorted(table[x].unique()), fontsize=6)


def selections(table, measures=("matched", "margin", "mean cosine")):
    """Fig. 30: what k maps carry and how alike they are, by each way of choosing, one row of panels for each quality.

    table: quality, selection, k, measure, value, low, high, of one number of maps.

    >>> from pandas import DataFrame
    >>> row = {"quality": "importance", "selection": "DPP", "k": 2, "value": 0.5, "low": 0.4, "high": 0.6}
    >>> figure = selections(DataFrame([row | {"measure": name} for name in ("margin", "mean cosine")]))
    >>> figure.axes[0].get_title(loc="left"), [axis.get_ylabel() for axis in figure.axes]
    ('by importance', ['share of the margin', 'mean cosine of the $k$ maps'])
    """
    kinds = [kind for kind in QUALITY_TITLES if kind in set(table.quality)]
    measures = [name for name in measures if name in set(table.measure)]
    size = {"figsize": (PAGE, 0.6 + 1.9 * len(kinds)), "squeeze": False, "sharex": True, "sharey": "col"}
    figure, axes = plt.subplots(len(kinds), len(measures), **size)
    for row, kind in zip(axes, kinds):
        for axis, name in zip(row, measures):
            rows = table[(table.quality == kind) & (table.measure == name)]
            _curves(axis, rows, SELECTION_STYLES, "k", "value", MEASURE_LABELS[name])
            axis.set_ylim(None if name == "margin" else 0, 1.03)  # a margin may be negative
        row[0].set_title(QUALITY_TITLES[kind], loc="left")
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
    ['one set, classifier fitted anew', 'a set an image']
    """
    figure, axes = plt.subplots(2, 2, figsize=(PAGE, 5.2), sharey="row")
    for axis, kind, title in zip(axes[0], ("refitted", "network"), ("classifier fitted anew", "network as it is")):
        axis.axhline(whole, color="0.5", lw=0.9, ls="--", label="network, all maps")
        _curves(axis, accuracy[accuracy.classifier == kind], SET_STYLES, "k", "accuracy", "accuracy")
        axis.set(title=f"one set, {title}", ylim=(0, 1.02))
    of_images = of_images.assign(selection=of_images.selection + ", " + of_images.quality)
    for axis, name in zip(axes[1], ("matched", "class overlap")):
        rows = of_images[of_images.measure == name]
        _curves(axis, rows, OF_IMAGES_STYLES, "k", "value", MEASURE_LABELS[name])
        axis.set(title="a set an image", ylim=(0, 1.02))
    for axis in axes.flat:
        axis.set_xlabel("number of maps $k$")
    for axis in axes[:, 1]:
        axis.legend(fontsize=6, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
