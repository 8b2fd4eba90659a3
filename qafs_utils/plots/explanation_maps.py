"""Figures of explanations on photographs."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from ..cnn.datasets import CLASSES
from .average_drop import SHORT
from .method import bit_strings, photograph
from .style import METHOD_COLOURS, MODEL_COLOURS, PAGE, method_name

_PAIR_SUMS = {"p!=q": r"$p\neq q$", "p<q": "$p<q$", "half": "“half”"}


def pipeline(image, maps, example: dict, selected, heatmap) -> plt.Figure:
    """Fig. 1: image, candidate maps as binary variables, evolution of the bit-strings, explanation map.

    image: uint8 (3, h, w); maps: (N_f, H, W); example: artefact 04_example of this image; selected: (N_f,) bool;
    heatmap: (S, S).

    >>> example = {"maps": np.array([1]), "s": np.array([0.0, 1.0]), "energies": np.array([0.0, -1.0])}
    >>> example["populations"] = np.array([[0.5, 0.5], [0.1, 0.9]])
    >>> image, heatmap = np.zeros((3, 96, 96), np.uint8), np.ones((224, 224))
    >>> figure = pipeline(image, np.zeros((2, 14, 14)), example, np.array([False, True]), heatmap)
    >>> [text.get_text() for text in figure.axes[2].get_legend().texts]
    ['1 (optimum)', '0']
    """
    figure = plt.figure(figsize=(PAGE, 2.5))
    left, centre, right = figure.subfigures(1, 3, width_ratios=(1, 2.1, 1))
    photograph(left.subplots(), image, "image")
    grid, below = centre.subfigures(2, 1, height_ratios=(1, 1.35))
    for axis, a in zip(np.atleast_1d(grid.subplots(1, len(example["maps"]))), example["maps"]):
        axis.imshow(maps[a])
        axis.set(xticks=[], yticks=[])
        axis.set_title(f"map {a}", fontsize=6)
        axis.set_xlabel(f"$n_{{{a}}}={int(selected[a])}$", fontsize=7)
        for spine in axis.spines.values():
            spine.set(visible=True, linewidth=1.8, color=METHOD_COLOURS["QA-Grad-CAM"] if selected[a] else "0.8")
    bit_strings(below.subplots(), example["s"], example["populations"], example["energies"], len(example["maps"]))
    photograph(right.subplots(), image, "explanation map", heatmap)
    return figure


def common_maps(shares: dict, outlined: dict, photographs, labels, *, framed=(), threshold: float = 0.5) -> plt.Figure:
    """Fig. 9: how often two classes have selected maps in common, and where these maps are strong in pairs of images.

    shares: {pair sum: (C, C) share of pairs of images with a map in common}, one below and one above the diagonal;
    outlined: {pair sum: [(i, j, numbers of the common maps, heatmaps (2, S, S))]}, a row of photographs each;
    photographs: uint8 (B, 3, h, w); labels: (B,) classes; framed: pairs of classes; threshold: of the outlined heatmap.
    A row without pairs says so.

    >>> shares, heatmaps = np.full((10, 10), 0.5), np.ones((2, 192, 192)) * np.linspace(0, 1, 192)
    >>> outlined = {"p!=q": [], "p<q": [(0, 1, [3, 7], heatmaps)]}
    >>> images = np.zeros((2, 3, 96, 96), np.uint8)
    >>> figure = common_maps(dict.fromkeys(outlined, shares), outlined, images, [2, 9], framed=[(2, 9)])
    >>> [axis.get_title() for axis in figure.axes if axis.get_title()]
    ['above the diagonal: pair sum $p<q$', 'car: maps 3, 7', 'truck: maps 3, 7']
    """
    figure = plt.figure(figsize=(PAGE, 3.0))
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.45))
    left.suptitle("(a) % of image pairs with a map in common", fontsize=8)
    _shares(left.subplots(), shares, framed)
    columns = 2 * max(1, *map(len, outlined.values()))
    parts = np.atleast_1d(right.subfigures(len(outlined), 1))
    for letter, part, (name, pairs) in zip("bc", parts, outlined.items()):
        strong = ": where common maps are strong" * bool(pairs)
        part.suptitle(f"({letter}) pair sum {_PAIR_SUMS[name]}{strong}", fontsize=8)
        axes = part.subplots(1, columns)
        for axis in axes:
            axis.axis("off")
        if not pairs:
            part.text(0.5, 0.5, "no two images of different classes have a map in common", ha="center", fontsize=7)
        cells = iter(axes)
        for i, j, maps, heatmaps in pairs:
            numbers = f"map{'s' * (len(maps) > 1)} {', '.join(map(str, maps))}"
            for index, heatmap in zip((i, j), np.asarray(heatmaps)):
                _outlined(axis := next(cells), photographs[index], heatmap, threshold)
                axis.set_title(f"{CLASSES[labels[index]]}: {numbers}", fontsize=6.5)
    return figure


def _shares(axis, shares, framed):
    """Two symmetric tables of shares as one, below and above the diagonal, in percent; pairs of classes are framed."""
    (below, lower), (above, upper) = list(shares.items())[0], list(shares.items())[-1]
    table = np.where(np.tri(len(CLASSES), k=-1), lower, upper)
    np.fill_diagonal(table, np.nan)
    axis.imshow(table, cmap="Blues", vmin=0, vmax=1.8)  # light enough for black numbers
    for (row, column), share in np.ndenumerate(table):
        if np.isfinite(share):
            number, colour = "<1" if 0 < share < 0.005 else f"{100 * share:.0f}", "0.6" if share == 0 else "k"
            axis.text(column, row, number, ha="center", va="center", fontsize=5.5, color=colour)
    for first, second in framed:
        for corner in ((first, second), (second, first)):
            box = Rectangle(np.subtract(corner, 0.5), 1, 1, fill=False, lw=1.3, ec=MODEL_COLOURS[32], clip_on=False)
            axis.add_patch(box)
    axis.set_xticks(range(len(CLASSES)), CLASSES, rotation=90, fontsize=6)
    axis.set_yticks(range(len(CLASSES)), CLASSES, fontsize=6)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_title(f"above the diagonal: pair sum {_PAIR_SUMS[above]}", fontsize=7)
    paper = "\nframed: the classes of the paper" if len(framed) else ""
    axis.set_xlabel(f"below the diagonal: pair sum {_PAIR_SUMS[below]}{paper}", fontsize=7)


def _outlined(axis, image, heatmap, threshold):
    """A photograph with a line around where the heatmap (S, S) is above the threshold, paler elsewhere."""
    photograph(axis, image)
    axis.axis("on")
    (height, width), size = image.shape[1:], heatmap.shape[-1]
    if heatmap.max() <= threshold:  # maps that are zero in this image
        axis.set_xlabel("zero here", fontsize=6)
        return
    y, x = (np.arange(size) + 0.5) * height / size, (np.arange(size) + 0.5) * width / size
    veil = np.ones((size, size, 4)) * [1, 1, 1, 0.45]
    veil[heatmap > threshold, 3] = 0
    axis.imshow(veil, extent=(0, width, height, 0))
    for colour, thick in (("k", 1.8), (METHOD_COLOURS["Grad-CAM++"], 1.0)):
        axis.contour(x, y, heatmap, [threshold], colors=colour, linewidths=thick)


def cam_panel(photographs, labels, panel: dict[tuple, np.ndarray]) -> plt.Figure:
    """Fig. A1: explanations side by side, an image a row.

    photographs: uint8 (B, 3, h, w); labels: (B,) classes; panel: {(n_features, method): heatmaps (B, S, S)}.

    >>> panel = {(16, "Grad-CAM"): np.zeros((1, 224, 224)), (16, "qa"): np.zeros((1, 224, 224))}
    >>> figure = cam_panel(np.zeros((1, 3, 96, 96), np.uint8), [3], panel)
    >>> [axis.get_title().splitlines() for axis in figure.axes]
    [[], ['$N_f=16$', 'Grad-CAM', '(ReLU of sum)'], ['$N_f=16$', 'QA-Grad-CAM']]
    """
    figure, axes = plt.subplots(len(labels), 1 + len(panel), figsize=(PAGE, 0.73 * len(labels) + 0.35), squeeze=False)
    for row, (image, label) in enumerate(zip(photographs, labels)):
        photograph(axes[row, 0], image)
        axes[row, 0].set_ylabel(CLASSES[label], fontsize=7)
        for column, ((n, method), heatmaps) in enumerate(panel.items(), 1):
            title = SHORT.get(method, method_name(method)[0]).replace(", ", "\n").replace(" (", "\n(")
            photograph(axes[row, column], image, f"$N_f={n}$\n{title}" if row == 0 else None, heatmaps[row])
    for axis in axes.flat:
        axis.title.set_fontsize(5.5)
    return figure
