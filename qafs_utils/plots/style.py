"""The look of all figures: sizes, colours of methods and models, and what several figures draw alike.

Figures have the look of the paper under `plt.style.use(STYLE)`, as in every notebook that draws.
"""

import re
from itertools import cycle
from pathlib import Path
from string import ascii_lowercase

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import rc_params_from_file

STYLE = rc_params_from_file(Path(__file__).with_name("paper.mplstyle"), use_default_template=False)
COLUMN, PAGE = 3.4, 7.0  # inches
# Okabe-Ito, colour-blind safe
MODEL_COLOURS = {16: "#0072B2", 24: "#009E73", 32: "#D55E00", 512: "#555555"}
METHOD_COLOURS = {
    "Grad-CAM": "#000000",
    "Grad-CAM++": "#E69F00",
    "Score-CAM": "#56B4E9",
    "QA-Grad-CAM": "#CC79A7",
    "SA-Grad-CAM": "#CC79A7",  # the same selection problem, another solver
    "QUBO optimum": "#CC79A7",
    "filtered Grad-CAM": "#009E73",
    "top $k$": "#0072B2",
    "random $k$": "#D55E00",
    "HiResCAM": "#F0E442",
}
SELECTIONS = {
    "qa": "QA-Grad-CAM",
    "sa": "SA-Grad-CAM",
    "exact": "QUBO optimum",
    "top_k": "top $k$",
    "random_k": "random $k$",
}
RANK_STYLES = (("#CC79A7", "-"), ("#0072B2", "--"), ("#009E73", ":"), ("#E69F00", "-."))  # colour, line
MODEL_LINES, MODEL_MARKERS = {16: "-", 24: "--", 32: ":", 512: "-."}, {16: "o", 24: "s", 32: "^", 512: "D"}
COUPLING_STYLES = {  # colour, marker, name
    "cosine": ("#CC79A7", "o", "cosine $J$"),
    "zero": ("#56B4E9", "s", "$J=0$"),
    "gaussian": ("#E69F00", "^", "Gaussian $J$"),
}


def method_name(key: str) -> tuple[str, str]:
    """(name as printed, colour) of a method by its key: "qa", "top_k_0.99" (at beta = 0.99), or a CAM's own name.

    >>> method_name("qa"), method_name("top_k")
    (('QA-Grad-CAM', '#CC79A7'), ('top $k$', '#0072B2'))
    >>> method_name("sa_0.70")[0], method_name("min-max, p<q, 0.99")[0]
    ('SA-Grad-CAM, $\\\\beta=0.7$', 'min-max, p<q, $\\\\beta=0.99$')
    """
    base, beta = re.fullmatch(r"(.*?)(?:(?:_|, )(\d\.\d+))?", key).groups()
    name = SELECTIONS.get(base, base).replace("++, authors'", "++, its authors'")  # not the paper's authors
    colour = METHOD_COLOURS.get(name.split(",")[0], "#000000")
    return (f"{name}, $\\beta={float(beta):g}$" if beta else name), colour


def three_digits(number: float) -> str:
    """A percentage as the paper's Table 1 prints it.

    >>> three_digits(9.259), three_digits(14.0), three_digits(0.08)
    ('9.26', '14.0', '0.08')
    """
    return f"{number:.2f}" if abs(number) < 9.995 else f"{number:.1f}"


def quartile_bars(axis: plt.Axes, x, groups, marker: str = "o", **style):
    """Median with quartile bars of each group of values, at positions x.

    >>> figure, axis = plt.subplots()
    >>> quartile_bars(axis, [5], [[0.0, 1.0, 2.0, 3.0, 4.0]])
    >>> [segment[:, 1].tolist() for segment in axis.collections[0].get_segments()]
    [[1.0, 3.0]]
    """
    low, middle, high = np.array([np.percentile(group, (25, 50, 75)) for group in groups]).T
    axis.errorbar(x, middle, (middle - low, high - middle), fmt=marker, lw=0.8, **style)


def with_interval(axis: plt.Axes, x, table, y: str, **style):
    """Values of column y at x with bars from column low to high: a DataFrame, or one row  ->  the errorbar.

    >>> from pandas import DataFrame
    >>> bars = with_interval(plt.figure().subplots(), [5], DataFrame({"y": [2.0], "low": [1.0], "high": [4.0]}), "y")
    >>> bars[2][0].get_segments()[0][:, 1].tolist()
    [1.0, 4.0]
    """
    value, low, high = (np.atleast_1d(table[column]) for column in (y, "low", "high"))
    return axis.errorbar(x, value, (value - low, high - value), elinewidth=0.8, **style)


def only_ticks(axis: plt.Axes, values, **style):
    """Ticks of a logarithmic x axis at these values alone, written in full.

    >>> axis = plt.figure().subplots()
    >>> only_ticks(axis, [5, 20.0])
    >>> [tick.get_text() for tick in axis.get_xticklabels()]
    ['5', '20']
    """
    axis.minorticks_off()
    axis.set_xticks(values, [f"{value:g}" for value in values], **style)


def time_styles(times) -> dict[float, tuple]:
    """Colour and marker of each annealing time, in order: {time: (RGBA, marker)}.

    >>> {time: marker for time, (_, marker) in time_styles([10, 100]).items()}
    {10: 'o', 100: 's'}
    """
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.82, len(times)))
    return {time: (colour, marker) for time, colour, marker in zip(times, colours, cycle("os^vD"))}


def lettered(axes) -> None:
    """Letters (a), (b), ... before the titles of the panels of a figure; at the left where a panel has no title yet.

    >>> figure, axes = plt.subplots(1, 2)
    >>> title = axes[0].set_title("gaps")
    >>> lettered(axes)
    >>> axes[0].get_title(), axes[1].get_title(loc="left")
    ('(a) gaps', '(b)')
    """
    for letter, axis in zip(ascii_lowercase, axes):
        if axis.get_title():
            axis.title.set_text(f"({letter}) {axis.get_title()}")
        else:
            axis.set_title(f"({letter})", loc="left")
