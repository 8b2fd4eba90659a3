"""Fig. 6: how the models were trained."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.ticker import MaxNLocator

from .style import COLUMN, MODEL_COLOURS, MODEL_LINES


def training_curves(history: pd.DataFrame) -> plt.Figure:
    """Fig. 6: validation accuracy an epoch; the line is the mean over seeds, the band its range.

    history: columns n_features, block, seed, epoch, validation_accuracy.

    >>> history = pd.DataFrame({"n_features": 16, "block": "paper", "seed": [0, 0, 1, 1], "epoch": [1, 2, 1, 2]})
    >>> figure = training_curves(history.assign(validation_accuracy=[0.5, 0.7, 0.6, 0.9]))
    >>> figure.axes[0].lines[0].get_ydata().round(1).tolist()  # mean over the seeds
    [55.0, 80.0]
    """
    figure, axis = plt.subplots(figsize=(COLUMN, 2.5))
    for (n, block), part in history.groupby(["n_features", "block"]):
        if block == "authors_code":
            continue
        accuracy = 100 * part.groupby("epoch").validation_accuracy.agg(["mean", "min", "max"])
        axis.fill_between(accuracy.index, accuracy["min"], accuracy["max"], color=MODEL_COLOURS[n], alpha=0.2, lw=0)
        axis.plot(accuracy.index, accuracy["mean"], MODEL_LINES[n], color=MODEL_COLOURS[n], label=f"$N_f={n}$")
    axis.set(xlabel="epoch", ylabel="validation accuracy (%)")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend(ncols=2)
    return figure
