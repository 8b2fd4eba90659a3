"""One function per figure: arrays in, matplotlib Figure out. Colours of methods and models are fixed here."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from .data import CLASSES

plt.style.use(Path(__file__).with_name("paper.mplstyle"))
COLUMN, PAGE = 3.4, 7.0  # inches

# Okabe-Ito, colour-blind safe
MODEL_COLOURS = {16: "#0072B2", 24: "#009E73", 32: "#D55E00", 512: "#555555"}


def map_gallery(maps, importance):
    """The maps of one image in order of importance; those that support the class have a coloured frame.

    maps: (N_f, H, W); importance: (N_f,).
    """
    order = np.argsort(-importance)
    rows = -(-len(order) // 8)
    figure, axes = plt.subplots(rows, 8, figsize=(PAGE, 1.05 * rows), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, a in zip(axes.flat, order):
        axis.axis("on")
        axis.imshow(maps[a].astype(float))
        axis.set(xticks=[], yticks=[])
        axis.set_title(f"{a}: {importance[a]:+.2g}", fontsize=7)
        for spine in axis.spines.values():
            spine.set(visible=True, linewidth=2, color=MODEL_COLOURS[32] if importance[a] > 0 else "0.8")
    figure.suptitle("feature map: importance; framed where positive", fontsize=8)
    return figure
