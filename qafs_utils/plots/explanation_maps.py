"""Figures of explanations on photographs."""

import matplotlib.pyplot as plt
import numpy as np
from scipy import ndimage

from ..cnn.datasets import CLASSES
from .method import bit_strings, photograph
from .style import METHOD_COLOURS, PAGE, method_name


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


def common_maps(photographs, labels, common: dict[tuple, np.ndarray], threshold: float) -> plt.Figure:
    """Fig. 9: pairs of images, what the maps selected in both highlight, and the crop to its largest region.

    photographs: uint8 (B, 3, h, w); labels: (B,) classes; common: {(n_features, i, j): heatmaps (2, S, S)};
    threshold: heatmap value below which pixels are cut.

    >>> heatmaps = np.zeros((2, 192, 192))
    >>> heatmaps[0, :20, :40] = 1  # nothing of the second image
    >>> figure = common_maps(np.zeros((2, 3, 96, 96), np.uint8), [2, 9], {(16, 0, 1): heatmaps}, threshold=0.5)
    >>> [axis.get_title() for axis in figure.axes]
    ['car', 'common maps', 'crop', 'truck', '', '']
    """
    figure, axes = plt.subplots(len(common), 6, figsize=(PAGE, 1.2 * len(common)), squeeze=False)
    for row, ((n, i, j), heatmaps) in zip(axes, common.items()):
        row[0].set_ylabel(f"$N_f={n}$")
        for offset, (index, heatmap) in enumerate(zip((i, j), np.asarray(heatmaps))):
            image = photographs[index]
            scale = heatmap.shape[-1] // image.shape[-1] or 1
            large = np.kron(image, np.ones((1, scale, scale), dtype=np.uint8))
            small = np.array(heatmap)[: large.shape[1], : large.shape[2]]
            kept = np.zeros(large.shape[1:], bool)
            kept[: small.shape[0], : small.shape[1]] = small >= threshold
            cells = row[3 * offset : 3 * offset + 3]
            photograph(cells[0], image, CLASSES[labels[index]])
            if kept.any():
                regions = ndimage.label(kept)[0]
                y, x = np.nonzero(regions == np.bincount(regions[kept]).argmax())
                photograph(cells[1], np.where(kept, large, 255).astype(np.uint8), "common maps")
                photograph(cells[2], large[:, y.min() : y.max() + 1, x.min() : x.max() + 1], "crop")
            else:
                cells[1].axis("off")
                cells[2].axis("off")
                cells[1].text(0.5, 0.5, "no map\nin common", ha="center", va="center", transform=cells[1].transAxes)
    return figure


def cam_panel(photographs, labels, panel: dict[tuple, np.ndarray]) -> plt.Figure:
    """Fig. A1: explanations side by side, an image a row.

    photographs: uint8 (B, 3, h, w); labels: (B,) classes; panel: {(n_features, method): heatmaps (B, S, S)}.

    >>> panel = {(16, "Grad-CAM"): np.zeros((1, 224, 224)), (16, "qa"): np.zeros((1, 224, 224))}
    >>> figure = cam_panel(np.zeros((1, 3, 96, 96), np.uint8), [3], panel)
    >>> [axis.get_title().split() for axis in figure.axes]
    [[], ['$N_f=16$', 'GC'], ['$N_f=16$', 'QA-GC']]
    """
    figure, axes = plt.subplots(len(labels), 1 + len(panel), figsize=(PAGE, 0.57 * len(labels) + 0.35), squeeze=False)
    for row, (image, label) in enumerate(zip(photographs, labels)):
        photograph(axes[row, 0], image)
        axes[row, 0].set_ylabel(CLASSES[label], fontsize=6)
        for column, ((n, method), heatmaps) in enumerate(panel.items(), 1):
            title = method_name(method)[0].replace("-Grad-CAM", "-GC").replace("Grad-CAM", "GC")
            title = title.replace(", ", "\n").replace("filtered ", "filtered\n")
            photograph(axes[row, column], image, f"$N_f={n}$\n{title}" if row == 0 else None, heatmaps[row])
    for axis in axes.flat:
        axis.title.set_fontsize(5)
    return figure
