"""Fig. 0, the findings in one picture, and Fig. 6, how the models were trained."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.ticker import MaxNLocator

from .style import COLUMN, METHOD_COLOURS, MODEL_COLOURS, MODEL_LINES, PAGE

# Fig. 0: methods by their keys in the tables, in the order of rows
NEEDED = {"smallest": "fewest, proven", "contribution": "largest contributions", "top k": "top $k$"}
NEEDED |= {"QUBO raised": "QUBO", "random k": "random $k$"}
SHARES = {"Grad-CAM": "Grad-CAM", "filtered Grad-CAM": "filtered Grad-CAM", "top_k_{:.2f}": "top $k$"}
SHARES |= {"exact_{:.2f}": "QUBO", "random_k_{:.2f}": "random $k$"}
DROPS = {"nf16/Grad-CAM": "Grad-CAM", "nf16/filtered Grad-CAM": "filtered Grad-CAM", "nf16/top_k": "top $k$"}
DROPS |= {"nf16/qa": "QUBO", "nf16/random_k": "random $k$"}
COLOURS = METHOD_COLOURS | {"fewest, proven": "#000000", "largest contributions": "#E69F00"}
COLOURS["QUBO"] = METHOD_COLOURS["QUBO optimum"]


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


def findings(needed: pd.DataFrame, share: pd.DataFrame, drop: pd.DataFrame, beta: float) -> plt.Figure:
    """Fig. 0: which few maps carry a class, whether they point to its object, and what Average Drop says of it.

    Each table has one row a method, by its key. needed: columns median, low, high, numbers of maps; share: columns
    share, low, high, of an explanation on the object of its class, one of four; drop: columns average_drop, low, high,
    and random_mask, that of random masks of the same areas, in %; beta: of the selections in share.

    >>> numbers = pd.DataFrame({"median": 9.0, "share": 0.4, "average_drop": 20.0, "low": 0.3, "high": 30.0}, [0])
    >>> needed, share, drop = (
    ...     numbers.loc[[0] * 5].set_axis(names).assign(random_mask=40.0) for names in (NEEDED, SHARES, DROPS)
    ... )
    >>> [len(axis.patches) for axis in findings(needed, share.rename(lambda key: key.format(0.7)), drop, 0.7).axes]
    [5, 5, 5]
    """
    share_names = {key.format(beta): name for key, name in SHARES.items()}
    panels = (
        (
            "(a) Which maps carry the class?",
            "maps of 512 that keep 90 % of its lead\n(fewer is better)",
            needed.assign(value=needed["median"]).loc[list(NEEDED)].rename(NEEDED),
            "{:.0f}",
        ),
        (
            "(b) Do they point to its object?",
            "share on the object, one of four\n(more is better; dotted: chance)",
            share.assign(value=share["share"]).loc[list(share_names)].rename(share_names),
            "{:.2f}",
        ),
        (
            "(c) What does Average Drop say?",
            "Average Drop, %, of 16 maps\n(lower is better; ◇ random masks as large)",
            drop.assign(value=drop.average_drop).loc[list(DROPS)].rename(DROPS),
            "{:.0f}",
        ),
    )
    figure, axes = plt.subplots(1, 3, figsize=(PAGE, 1.9))
    for axis, (title, unit, table, digits) in zip(axes, panels):
        _bars(axis, table, digits)
        axis.set(xlabel=unit)
        axis.set_title(title, loc="right")
    axes[1].axvline(0.25, color="black", ls=":", lw=0.8)
    axes[2].plot(drop.random_mask[list(DROPS)], range(len(DROPS)), "kD", mfc="white", ms=3.5)
    return figure


def _bars(axis, table, digits):
    """A bar a row, its 95 % interval, and its value at the right edge."""
    rows, end = range(len(table)), 1.35 * table[["high", *table.filter(["random_mask"])]].max().max()
    ends, colours = (table.value - table.low, table.high - table.value), [COLOURS[name] for name in table.index]
    axis.barh(rows, table.value, 0.7, xerr=ends, color=colours, alpha=0.75, error_kw={"lw": 0.8})
    for row, value in zip(rows, table.value):
        axis.text(end, row, digits.format(value), va="center", ha="right")
    axis.set_yticks(rows, table.index)
    axis.set(ylim=(len(table) - 0.5, -0.5), xlim=(0, end))
    axis.tick_params(axis="y", length=0)
