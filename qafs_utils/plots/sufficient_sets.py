"""Figures of the maps that are enough for a class, and of the path in beta."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

from .style import METHOD_COLOURS, MODEL_COLOURS, MODEL_LINES, PAGE, lettered, only_ticks

CHOSEN = {  # name, colour, in the order of rows
    "smallest": ("smallest set, proven", "#000000"),
    "smallest candidates": ("smallest of candidates, proven", "#777777"),
    "greedy": ("greedy cover", "#E69F00"),
    "one-minimal": ("1-minimal, by number", "#56B4E9"),
    "one-minimal ordered": ("1-minimal, least contributions first", "#56B4E9"),
    "contribution": ("largest contributions", METHOD_COLOURS["filtered Grad-CAM"]),
    "top k": ("top $k$ by importance", METHOD_COLOURS["top $k$"]),
    "QUBO": ("QUBO, exactly $k$", METHOD_COLOURS["QUBO optimum"]),
    "QUBO raised": ("QUBO, own size, $\\beta$ raised", METHOD_COLOURS["QUBO optimum"]),
    "random k": ("random candidates", METHOD_COLOURS["random $k$"]),
}

TICKS = (1, 2, 5, 10, 20, 50, 100, 200)  # numbers of maps


def chosen_name(key: str) -> tuple[str, str]:
    """(name as printed, colour) of a way to choose: a key of CHOSEN, a QUBO's with its beta behind.

    >>> chosen_name("QUBO 0.99"), chosen_name("greedy")[0]
    (('QUBO, exactly $k$, $\\\\beta=0.99$', '#CC79A7'), 'greedy cover')
    """
    if key not in CHOSEN:
        name, colour = CHOSEN["QUBO"]
        return f"{name}, $\\beta={float(key.split()[1]):g}$", colour
    return CHOSEN[key]


def maps_needed(needed: dict, share: float):
    """Fig. 28: the number of maps that each method needs to keep a share of the margin, by number of maps N_f.

    needed: {n_features: {key of `chosen_name`: (images,) sizes}}; infinite ones, where no number of maps is enough, are
    drawn at the largest size of the panel. Line: median; box: quartiles; whiskers: from 5 to 95 %.

    >>> sizes = {"smallest": np.array([2.0, 3.0]), "QUBO 0.7": np.array([3.0, np.inf])}
    >>> figure = maps_needed({16: sizes, 512: sizes}, 0.9)
    >>> [axis.get_title() for axis in figure.axes]
    ['(a) $N_f=16$', '(b) $N_f=512$']
    """
    rows = -(-len(needed) // 2)
    shape = {"figsize": (PAGE, 0.5 + 2.2 * rows), "sharey": True, "squeeze": False}
    figure, axes = plt.subplots(rows, min(2, len(needed)), **shape)
    for axis, (n, sizes) in zip(axes.flat, needed.items()):
        _draw_needed(axis, n, sizes)
    for axis in axes[-1]:
        axis.set_xlabel(f"maps needed to keep {100 * share:g} % of the margin")
    lettered(axes.flat[: len(needed)])
    return figure


def _draw_needed(axis, n, sizes):
    largest = max(found[np.isfinite(found)].max(initial=1) for found in sizes.values())
    for row, (key, found) in enumerate(sizes.items()):
        name, colour = chosen_name(key)
        low, q1, middle, q3, high = np.percentile(np.minimum(found, largest), (5, 25, 50, 75, 95))
        box = {"med": middle, "q1": q1, "q3": q3, "whislo": low, "whishi": high, "label": name}
        lines = {"color": colour, "lw": 1.0}
        parts = axis.bxp(
            [box],
            positions=[row],
            orientation="horizontal",
            widths=0.6,
            showfliers=False,
            patch_artist=True,
            boxprops={"facecolor": colour, "alpha": 0.35, "edgecolor": colour},
            medianprops=lines | {"lw": 2.0},
            whiskerprops=lines,
            capprops=lines,
        )
        parts["medians"][0].set_solid_capstyle("butt")
        never = np.isinf(found).mean()
        if never:
            said = f"no size is\nenough: {100 * never:.0f} %"
            axis.text(1.02 * largest, row, said, va="center", fontsize=5.5, linespacing=1.05, color=colour)
    axis.set_yticks(range(len(sizes)), [chosen_name(key)[0] for key in sizes])
    axis.set(title=f"$N_f={n}$", xlim=(0, 1.3 * largest), ylim=(len(sizes) - 0.5, -0.5))
    axis.set_xticks([tick for tick in MaxNLocator(8, integer=True).tick_values(0, largest) if tick <= largest])
    axis.grid(axis="x", lw=0.3, color="0.85")
    axis.set_axisbelow(True)


def beta_path(sizes: dict, betas, widths: dict, beta: float):
    """Fig. 29: number of maps against beta, and how wide, in beta, the optimum at one beta is.

    sizes: {n_features: (images, betas) number of maps}, betas: {n_features: (T,)}; widths: {n_features: (images,)} of
    the pieces at `beta`. The legend says how many images where N_f have fewer than others.

    >>> figure = beta_path({16: np.array([[1, 2], [1, 3]])}, {16: [0.5, 1.0]}, {16: np.array([0.1, 0.2])}, 0.7)
    >>> [axis.get_ylabel() for axis in figure.axes]
    ['selected maps $k$', 'share of images\\nwith at most this width']
    """
    figure, (path, width) = plt.subplots(1, 2, figsize=(PAGE, 2.6))
    most = max(len(found) for found in sizes.values())
    names = {n: f"$N_f={n}$" + (f" ({len(found)} images)" if len(found) < most else "") for n, found in sizes.items()}
    for n, found in sizes.items():
        low, middle, high = np.percentile(found, (25, 50, 75), axis=0)
        path.plot(betas[n], middle, MODEL_LINES[n], color=MODEL_COLOURS[n], label=names[n])
        path.fill_between(betas[n], low, high, color=MODEL_COLOURS[n], alpha=0.25, lw=0)
    path.set(xlabel="trade-off $\\beta$", ylabel="selected maps $k$", yscale="log")
    path.set_title("which $\\beta$ gives $k$")
    ticks = [k for k in TICKS if k <= max(found.max() for found in sizes.values())]
    path.minorticks_off()
    path.set_yticks(ticks, [f"{k}" for k in ticks])
    path.axvline(beta, color="0.5", ls=":", lw=0.8)
    path.legend(fontsize=6)
    for n, found in widths.items():
        x = np.sort(found)
        width.step(x, np.arange(1, len(x) + 1) / len(x), where="post", ls=MODEL_LINES[n], color=MODEL_COLOURS[n])
    what = f"width in $\\beta$ of the selection that is optimal at {beta:g}"
    every = np.concatenate(list(widths.values()))
    width.set(xscale="log", xlabel=what, ylabel="share of images\nwith at most this width", ylim=(0, 1.02))
    width.set_title("how wide a selection stays the optimum")
    steps = (1, 3) if every.max() < 100 * every.min() else (1,)
    marks = [step * power for power in (1e-4, 1e-3, 0.01, 0.1, 1) for step in steps]
    only_ticks(width, [mark for mark in marks if every.min() / 2 <= mark <= 2 * every.max()])
    lettered((path, width))
    return figure
