"""Figure of the time to solution against the size, and of what a call of a processor costs beside the proof."""

from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from .solvers import solver_style
from .style import PAGE, lettered

UNITS = {"1/energy": "TTS in 1/energy", "sweeps": "TTS in sweeps", "ns": "TTS in ns, anneals alone"}
_LEVELS = {0.5: "-", 0.9: ":"}  # line of a quantile
_PROCESSOR_STYLES = (("#009E73", "-"), ("#56B4E9", "--"), ("#E69F00", ":"), ("#D55E00", "-."), ("#CC79A7", (0, (5, 1))))
_BETA_STYLES = (("#0072B2", "o"), ("#000000", "s"), ("#999999", "^"))


def time_to_solution(quantiles, proofs, calls, largest) -> Figure:
    """TTS against d, a panel for each unit of time; at the right the proof's time beside that of one call.

    quantiles: solver, unit, d, level, tts, low, high, interior, censored; open symbols where a minimum is not interior,
    arrows up where tts is a lower bound; proofs: d, beta, seconds, a proof a row, medians of bins with quartiles are
    shown; calls: processor, d, seconds of a call of one read (NaN where it does not fit), drawn as a dashed line up to
    its limit; largest: {processor: the largest dense problem}.

    >>> from pandas import DataFrame
    >>> row = {"solver": "schrodinger", "unit": "1/energy", "tts": 9.0, "low": 8.0, "high": 11.0, "censored": False}
    >>> table = DataFrame([row | {"d": d, "level": q, "interior": d < 6} for d in (5, 6) for q in (0.5, 0.9)])
    >>> proofs = DataFrame({"d": [16, 16, 64], "beta": 0.7, "seconds": [1e-3, 3e-3, 1e-2]})
    >>> calls = DataFrame({"processor": "Advantage_system6", "d": [16, 64], "seconds": [0.014, 0.014]})
    >>> figure = time_to_solution(table, proofs, calls, {"Advantage_system6": 174})
    >>> [axis.get_title() for axis in figure.axes]
    ['(a) exact anneals', '(b) one perfect read, or a proof']
    >>> [line.get_ydata()[0] for line in figure.axes[1].lines if line.get_label() == "proof, $\\\\beta=0.7$"]
    [np.float64(0.002)]
    """
    units = [unit for unit in UNITS if unit in set(quantiles.unit)]
    figure, axes = plt.subplots(1, len(units) + 1, figsize=(PAGE, 2.9), squeeze=False)
    titles = {"1/energy": "exact anneals", "sweeps": "classical annealers", "ns": "on real schedules"}
    for axis, unit in zip(axes[0], units):
        _draw_quantiles(axis, quantiles[quantiles.unit == unit])
        axis.set(yscale="log", xlabel="number of candidates $d$", ylabel=UNITS[unit], title=titles[unit])
        axis.legend(fontsize=6, loc="upper left")
        bottom, top = axis.get_ylim()
        axis.set_ylim(bottom, top * (top / bottom) ** 0.25)  # room for the legend
    _draw_costs(axes[0, -1], proofs, calls, largest)
    lettered(axes[0])
    return figure


def _draw_quantiles(axis, table):
    spread = np.linspace(-0.12, 0.12, max(table.solver.nunique(), 1))
    styles = {name: solver_style(name) for name in table.solver.unique()}
    others = cycle(("#D55E00", "#E69F00", "#009E73"))
    for shift, (solver, part) in zip(spread, table.groupby("solver", sort=False)):
        name, colour, marker = styles[solver]
        if colour == "0.5":
            name, colour = solver.replace("_", " "), next(others)
        for (level, of_level), line in zip(part.groupby("level"), ("-", ":", "--")):
            line, x = _LEVELS.get(level, line), of_level.d + shift
            axis.plot(x, of_level.tts, line, color=colour, lw=0.9, label=f"{name}, {_level_name(level)}")
            below, above = (abs(of_level[end] - of_level.tts).fillna(0) for end in ("low", "high"))
            axis.errorbar(x, of_level.tts, (below, above), fmt="none", ecolor=colour, elinewidth=0.7)
            for bound, sign in ((False, marker), (True, "^")):
                for inside, face in ((True, colour), (False, "w")):
                    some = (of_level.interior == inside) & (of_level.censored == bound)
                    axis.plot(x[some], of_level.tts[some], sign, color=colour, mfc=face, ms=3.5)


def _level_name(level):
    return "median" if level == 0.5 else f"{100 * level:g} %"


def _draw_costs(axis, proofs, calls, largest):
    for (beta, part), (colour, marker) in zip(proofs.groupby("beta"), _BETA_STYLES):
        d, (low, middle, high) = _binned(part)
        bars = {"color": colour, "marker": marker, "ms": 3.5, "lw": 0.9, "elinewidth": 0.7}
        axis.errorbar(d, middle, (middle - low, high - middle), label=f"proof, $\\beta={beta:g}$", **bars)
    for (name, part), (colour, line) in zip(calls.groupby("processor", sort=False), _PROCESSOR_STYLES):
        fits = part[part.seconds.notna() & (part.d <= largest[name])]
        d = [*fits.d, largest[name]]
        axis.plot(d, [*fits.seconds, fits.seconds.iloc[-1]], ls=line, color=colour, lw=1.1, label=name.replace("_", " "))
        axis.axvline(largest[name], color=colour, ls=line, lw=0.6)
    axis.set(xscale="log", yscale="log", xlabel="number of candidates $d$", ylabel="seconds")
    axis.set_title("one perfect read, or a proof")
    bottom, top = axis.get_ylim()
    axis.set_ylim(bottom, top * (top / bottom) ** 0.5)
    axis.legend(fontsize=5.5, loc="upper left", ncols=2)


def _binned(part):
    """Quartiles of the seconds in quarters of a factor of two of d, at the median d of each: (n,), (3, n)."""
    bins = part.groupby((4 * np.log2(part.d)).round())
    return bins.d.median().to_numpy(), bins.seconds.quantile([0.25, 0.5, 0.75]).unstack().to_numpy().T
