"""Figure of the time to solution against the size, and of what a call of a processor costs beside the proof."""

from itertools import cycle, product

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .solvers import SOLVER_STYLES, solver_style
from .style import PAGE, lettered, only_ticks

UNITS = {  # title, label
    "1/energy": ("exact anneals", "time to solution in 1/energy"),
    "sweeps": ("classical annealers", "sweeps to solution"),
    "ns": ("exact anneals, a processor's schedule", "time to solution in ns"),
}
_LINES = "-", ":", "--", "-."  # of the quantiles, in their order
_PROCESSOR_STYLES = (("#009E73", "-"), ("#56B4E9", "--"), ("#E69F00", ":"), ("#D55E00", "-."), ("#CC79A7", (0, (5, 1))))
_BETA_STYLES = (("#0072B2", "o"), ("#000000", "s"), ("#999999", "^"))


def time_to_solution(quantiles, proofs, calls, largest) -> Figure:
    """TTS against d, a panel for each unit of time; at the right the proof's time beside that of one call.

    quantiles: solver, unit, d, level, tts, low, high, interior, censored, of `time_to_solution.quantiles`; open symbols
    where a minimum is not interior, arrows where tts is a lower bound. proofs: d, beta, seconds, a row each, shown as
    medians and quartiles; calls: processor, d, seconds of a call of one read, NaN where it does not fit; largest:
    {processor: the largest dense problem}, where its line ends.

    >>> from pandas import DataFrame
    >>> row = {"solver": "schrodinger", "unit": "1/energy", "tts": 9.0, "low": 8.0, "high": 11.0, "censored": False}
    >>> table = DataFrame([row | {"d": d, "level": q, "interior": d < 6} for d in (5, 6) for q in (0.5, 0.9)])
    >>> proofs = DataFrame({"d": [16, 16, 64], "beta": 0.7, "seconds": [1e-3, 3e-3, 1e-2]})
    >>> calls = DataFrame({"processor": "Advantage_system6", "d": [16, 64], "seconds": [0.014, 0.014]})
    >>> figure = time_to_solution(table, proofs, calls, {"Advantage_system6": 174})
    >>> [axis.get_title() for axis in figure.axes]
    ['(a) exact anneals', '(b) one perfect read, or a proof']
    >>> figure.axes[1].lines[0].get_ydata().tolist()
    [0.002, 0.01]
    """
    units = [unit for unit in UNITS if unit in set(quantiles.unit)]
    rows, columns = (2, 2) if len(units) == 3 else (1, len(units) + 1)
    figure, axes = plt.subplots(rows, columns, figsize=(PAGE, 2.7 * rows), squeeze=False)
    for axis, unit in zip(axes.flat, units):
        _draw_quantiles(axis, quantiles[quantiles.unit == unit])
        axis.set(yscale="log", xlabel="number of candidates $d$", ylabel=UNITS[unit][1], title=UNITS[unit][0])
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        _legend(axis, 0.35)
    _draw_costs(axes.flat[-1], proofs, calls, largest)
    lettered(axes.flat)
    return figure


def _legend(axis, share, **options):
    """A legend above the curves, for which the logarithmic axis gets so much longer."""
    bottom, top = axis.get_ylim()
    axis.set_ylim(bottom, top * (top / bottom) ** share)
    axis.legend(loc="upper left", **{"fontsize": 6} | options)


def _draw_quantiles(axis, table):
    spread = np.linspace(-0.1, 0.1, table.solver.nunique()) if table.solver.nunique() > 1 else [0.0]
    others, levels = cycle(("#D55E00", "#E69F00", "#009E73")), sorted(table.level.unique())
    for shift, (solver, part) in zip(spread, table.groupby("solver", sort=False)):
        name, colour, marker = solver_style(solver)
        if solver not in SOLVER_STYLES:
            colour, marker = next(others), "o"
        axis.plot([], [], marker, color=colour, label=name)
        for level, line in zip(levels, _LINES):
            of_level = part[part.level == level]
            x = of_level.d + shift
            axis.plot(x, of_level.tts, line, color=colour, lw=0.9)
            ends = [abs(of_level[end] - of_level.tts).fillna(0) for end in ("low", "high")]
            axis.errorbar(x, of_level.tts, ends, fmt="none", ecolor=colour, elinewidth=0.7)
            for censored, inside in product((False, True), repeat=2):
                some = (of_level.interior == inside) & (of_level.censored == censored)
                style = {"color": colour, "mfc": colour if inside else "w", "ms": 6 if censored else 3.5, "zorder": 3}
                sign = "$\\uparrow$" if censored else marker
                axis.plot(x[some], of_level.tts[some], marker=sign, ls="none", **style)
    for level, line in zip(levels, _LINES):
        axis.plot([], [], line, color="0.4", lw=0.9, label="median" if level == 0.5 else f"{100 * level:g} % quantile")


def _draw_costs(axis, proofs, calls, largest):
    for (beta, part), (colour, marker) in zip(proofs.groupby("beta"), _BETA_STYLES):
        d, (low, middle, high) = _binned(part)
        bars = {"color": colour, "marker": marker, "ms": 3.5, "lw": 0.9, "elinewidth": 0.7}
        axis.errorbar(d, middle, (middle - low, high - middle), label=f"proof, $\\beta={beta:g}$", **bars)
    for (name, part), (colour, line) in zip(calls.groupby("processor", sort=False), _PROCESSOR_STYLES):
        fits = part[part.seconds.notna() & (part.d <= largest[name])]
        d = [*fits.d, largest[name]]
        axis.plot(
            d, [*fits.seconds, fits.seconds.iloc[-1]], ls=line, color=colour, lw=1.1, label=name.replace("_", " ")
        )
        axis.axvline(largest[name], color=colour, ls=line, lw=0.6)
    axis.set(xscale="log", yscale="log", xlabel="number of candidates $d$", ylabel="seconds")
    axis.set_title("one perfect read, or a proof")
    only_ticks(axis, [d for d in (4, 8, 16, 32, 64, 128, 256) if proofs.d.min() <= d <= 1.3 * proofs.d.max()])
    _legend(axis, 0.35, ncols=2, fontsize=5.5, columnspacing=1.0)


def _binned(part):
    """Quartiles of the seconds in quarters of a factor of two of d, at the median d of each: (n,), (3, n)."""
    bins = part.groupby((4 * np.log2(part.d)).round())
    return bins.d.median().to_numpy(), bins.seconds.quantile([0.25, 0.5, 0.75]).unstack().to_numpy().T
