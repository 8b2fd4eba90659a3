"""Figures of what a real annealer would return: anneals, baths, control errors and embedded problems.

Their tables are those of `25_processor_runs`. What a table lacks is not drawn.
"""

from itertools import cycle, product

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..annealing.bath import COUPLING
from ..annealing.ising import H_RANGE, J_RANGE
from ..annealing.processors import PROTOCOLS, find_processor
from ..annealing.processors import control_errors as published_errors
from .style import (
    MODEL_COLOURS,
    MODEL_LINES,
    MODEL_MARKERS,
    PAGE,
    lettered,
    only_ticks,
    quartile_bars,
    time_styles,
    with_interval,
)

WAY_STYLES = {  # name, colour, marker, line
    "fast": ("fast, with ancilla", "#0072B2", "o", "-"),
    "standard": ("standard, as if closed", "#D55E00", "s", "--"),
    "fast with fields": ("fast, if it took fields", "#009E73", "^", "-."),
    "linear": ("linear, the paper's", "#000000", "D", ":"),
}
SHOWN_TIMES = 5, 20, 100  # ns, of the fast protocol against d
TAU = 50.0  # the paper's
MOST_BITS = 16  # that are tried
_COUPLING_STYLES = (("#0072B2", "^", "--"), ("#CC79A7", "s", "-"), ("#E69F00", "D", "-."), ("#D55E00", "v", ":"))
_LENGTH_STYLES = {  # (protocol, ns): colour, marker, line
    ("fast", 100.0): ("#56B4E9", "o", "-"),
    ("fast", 20_000.0): ("#0072B2", "^", "-."),
    ("standard", 500.0): ("#E69F00", "s", "--"),
    ("standard", 20_000.0): ("#D55E00", "D", ":"),
}
_ERROR_STYLES = {False: ("without errors", "#0072B2", "o", "-"), True: ("with control errors", "#D55E00", "s", "--")}
_MEASURES = (  # column, label, title
    ("kept", "share of draws", "the optimum stays"),
    ("same_peak", "share with the same peak", "peak of the explanation"),
    ("correlation", "correlation", "values of the explanation"),
)
_MARKERS = "os^Dv"
_SHARE = (-0.03, 1.03)
_INSTANCE = ["n_features", "image", "d"]
ANNEALER_STYLES = {  # name, colour, marker, as those of all solvers
    "simulated_annealing": ("simulated annealing", "#0072B2", "s"),
    "path_integral": ("path-integral annealing", "#56B4E9", "^"),
    "schrodinger": ("quantum annealing, simulated exactly", "#CC79A7", "o"),
}
UNITS = {  # title, label
    "1/energy": ("exact anneals", "time to solution in 1/energy"),
    "sweeps": ("classical annealers", "sweeps to solution"),
    "ns": ("exact anneals, a processor's schedule", "time to solution in ns"),
}
_LINES = "-", ":", "--", "-."  # of the quantiles, in their order
_PROCESSOR_STYLES = (("#009E73", "-"), ("#56B4E9", "--"), ("#E69F00", ":"), ("#D55E00", "-."), ("#CC79A7", (0, (5, 1))))
_BETA_STYLES = (("#0072B2", "o"), ("#000000", "s"), ("#999999", "^"))


def closed_anneals(closed, units) -> Figure:
    """Fig. 37: success of noise-free anneals against their length and against d; the paper's tau in ns.

    closed: n_features, image, d, way, start, ns, allowed, success, of `closed_system.closed_anneals`; units: of
    `closed_system.units`. The left panel has the problems with most lengths, medians, and quartiles of the
    protocols that processors have; open symbols where no processor anneals so.

    >>> from pandas import DataFrame
    >>> rows = [{"ns": ns, "allowed": ns > 4, "success": ns / 10} for ns in (1.0, 5.0)]
    >>> closed = DataFrame(rows).assign(n_features=16, image=0, d=5, way="fast", start="ground")
    >>> unit = {"n_features": 16, "processor": "Advantage2_system2", "protocol": "fast", "tau": 50.0}
    >>> unit |= {"ns": 0.1, "ns_min": 0.1, "ns_max": 0.2, "shortest_ns": 5.0}
    >>> figure = closed_anneals(closed, DataFrame([unit]))
    >>> [axis.get_title() for axis in figure.axes]
    ['(a) $d=5$', '(b) fast protocol', "(c) the paper's $\\\\tau=50$"]
    >>> figure.axes[0].lines[0].get_ydata().tolist()
    [0.1, 0.5]
    """
    figure, axes = plt.subplots(1, 3, figsize=(PAGE, 3.1))
    _draw_lengths(axes[0], _with_most_lengths(closed))
    _draw_sizes(axes[1], closed[(closed.way == "fast") & (closed.start == "ground")])
    _draw_units(axes[2], units[np.isclose(units.tau, TAU)])
    lettered(axes)
    return figure


def _with_most_lengths(closed):
    """The rows of the problems that have as many lengths as any has."""
    lengths = closed.groupby(_INSTANCE).ns.transform("nunique")
    return closed[lengths == lengths.max()]


def _draw_lengths(axis, table):
    for way, (name, colour, marker, line) in WAY_STYLES.items():
        of_way = table[table.way == way]
        begun = of_way[of_way.start == "ground"]
        if len(begun):
            low, middle, high = _quartiles(begun, "ns")
            if way in PROTOCOLS:
                axis.fill_between(middle.index, low, high, color=colour, alpha=0.15, lw=0)
            axis.plot(middle.index, middle, line, color=colour, lw=1, label=name)
            allowed = begun.groupby("ns").allowed.all()
            _marked(axis, middle.index, middle, allowed, color=colour, marker=marker, ms=3.5)
        uniform = of_way[of_way.start == "uniform"].groupby("ns").success.median()
        if len(uniform) and way == "fast with fields":
            axis.plot(uniform.index, uniform, color=colour, ls=(0, (5, 2)), lw=0.7, label=f"{name}, uniform start")
    axis.set(xscale="log", xlabel="anneal in ns", ylabel="probability of the optimum", ylim=_SHARE)
    axis.set_title(_sizes(table.d))
    only_ticks(axis, _decades(table.ns))
    _below(axis)


def _decades(values):
    """Powers of ten from the least to the largest value; the values themselves where there are not two."""
    powers = 10.0 ** np.arange(np.ceil(np.log10(min(values))), np.floor(np.log10(max(values))) + 1)
    return powers if len(powers) > 1 else sorted(set(values))


def _sizes(d):
    least, most = d.min(), d.max()
    return f"$d={least}$" if least == most else f"$d={least}$ to ${most}$"


def _draw_sizes(axis, table):
    times = [time for time in sorted(table.ns.unique()) if time in SHOWN_TIMES] or sorted(table.ns.unique())[:3]
    for place, (time, (colour, marker)) in enumerate(time_styles(times).items()):
        of_time = table[table.ns == time].sort_values("d")
        shift, middle = 0.14 * (place - (len(times) - 1) / 2), of_time.groupby("d").success.median()
        axis.plot(of_time.d + shift, of_time.success, marker, color=colour, ms=2.5, alpha=0.5, mew=0)
        axis.plot(middle.index + shift, middle, marker=marker, color=colour, ms=4, mew=0, lw=1, label=f"{time:g} ns")
    axis.set(xlabel="number of candidates $d$", ylim=_SHARE, title="fast protocol")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    _below(axis)


def _draw_units(axis, table):
    sizes, names = sorted(table.n_features.unique()), list(table.processor.unique())
    protocols = [protocol for protocol in PROTOCOLS if protocol in set(table.protocol)]
    places = np.linspace(-0.36, 0.36, len(names) * len(protocols)) if len(names) * len(protocols) > 1 else [0.0]
    for column, (protocol, name) in enumerate((protocol, name) for protocol in protocols for name in names):
        part = table[(table.protocol == protocol) & (table.processor == name)].set_index("n_features").reindex(sizes)
        style = {"color": WAY_STYLES[protocol][1], "marker": _MARKERS[names.index(name) % 5], "ls": "none"}
        ends = (part.ns - part.ns_min, part.ns_max - part.ns)
        x = np.arange(len(sizes)) + places[column]
        axis.errorbar(x, part.ns, ends, ms=3, elinewidth=0.7, capsize=0, **style)
    for protocol in protocols:
        shortest, (_, colour, _, line) = table[table.protocol == protocol].shortest_ns.iloc[0], WAY_STYLES[protocol]
        axis.axhline(shortest, color=colour, ls=line, lw=0.9, label=f"{protocol}, from {shortest:g} ns")
    for name, marker in zip(names, _MARKERS):
        axis.plot([], [], marker, color="0.4", ms=3, label=name.replace("_", " "))
    axis.set(yscale="log", ylabel="anneal in ns", xlabel="number of maps $N_f$", title=f"the paper's $\\tau={TAU:g}$")
    axis.set_xticks(range(len(sizes)), sizes)
    _below(axis, ncols=2, fontsize=5.5, columnspacing=0.8, handlelength=1.6)


def with_bath(table) -> Figure:
    """Fig. 38: success with a bath against the length of the anneal, by coupling, and against the temperature.

    table: n_features, image, d, processor, protocol, ns, coupling, temperature_mK, success, freezeout,
    quasi_static, of `open_runs.with_bath`.
    Medians of problems; problems themselves, thin, at the coupling of `bath.COUPLING`. The panels of the protocols are
    at the processor's own temperature; at the right, large open symbols are the quasi-static picture (freezeout > 0).

    >>> from pandas import DataFrame
    >>> row = {"n_features": 16, "image": 0, "d": 5, "processor": "Advantage2_system2", "protocol": "fast", "ns": 20.0}
    >>> rows = [row | {"coupling": c, "temperature_mK": 16.7, "success": 1 - 1e3 * c} for c in (0.0, 1e-4)]
    >>> figure = with_bath(DataFrame(rows).assign(freezeout=0.5, quasi_static=0.9))
    >>> [axis.get_title() for axis in figure.axes]
    ['(a) fast protocol', '(b) $\\\\eta g^2=10^{-4}$']
    >>> [line.get_ydata().tolist() for line in figure.axes[0].lines if line.get_marker() != "None"]
    [[1.0], [0.9]]
    """
    own = np.array([find_processor(name).temperature_mK for name in table.processor])
    protocols = [protocol for protocol in PROTOCOLS if protocol in set(table.protocol)]
    figure, axes = plt.subplots(1, len(protocols) + 1, figsize=(PAGE, 3.1), sharey=True, squeeze=False)
    at_own = table[np.isclose(table.temperature_mK, own)]
    for axis, protocol in zip(axes.flat, protocols):
        _draw_couplings(axis, at_own[at_own.protocol == protocol])
        axis.set(xscale="log", xlabel="anneal in ns", title=f"{protocol} protocol")
    _draw_temperatures(axes[0, -1], table[np.isclose(table.coupling, COUPLING, atol=0)])
    _below(axes[0, 0])
    axes[0, 0].set(ylabel="probability of the optimum", ylim=_SHARE)
    lettered(axes.flat)
    return figure


def _draw_couplings(axis, table):
    couplings = sorted(table.coupling.unique())
    styles = dict(zip([c for c in couplings if c > 0], cycle(_COUPLING_STYLES))) | {0.0: ("#000000", "o", "-")}
    for coupling in couplings:
        part, (colour, marker, line) = table[table.coupling == coupling], styles[coupling]
        middle, style = part.groupby("ns").success.median(), {"color": colour, "marker": marker, "ls": line}
        axis.plot(middle.index, middle, ms=3.5, lw=1, label=_coupling_name(coupling), **style)
    problems = table[np.isclose(table.coupling, COUPLING, atol=0)].sort_values("ns").groupby(_INSTANCE)
    for number, (_, problem) in enumerate(problems):
        style = {"color": styles[problem.coupling.iloc[0]][0], "lw": 0.4, "alpha": 0.6, "zorder": 1}
        label = None if number else f"problems, {_coupling_name(COUPLING)}"
        axis.plot(problem.ns, problem.success, label=label, **style)


def _coupling_name(coupling):
    """As printed: powers of ten as such."""
    if coupling == 0:
        return "no bath"
    digits, power = f"{coupling:.0e}".split("e")
    factor = "" if digits == "1" else f"{digits} \\cdot "
    return f"$\\eta g^2={factor}10^{{{int(power)}}}$"


def _draw_temperatures(axis, table):
    """Lines against the temperature, of the problems that have all temperatures; beside them the quasi-static ones."""
    several = table.groupby(_INSTANCE).temperature_mK.transform("nunique")
    table = table[several == several.max()]
    drawn = [key for key in _LENGTH_STYLES if ((table.protocol == key[0]) & (table.ns == key[1])).any()]
    for protocol, ns in drawn or list(dict.fromkeys(zip(table.protocol, table.ns)))[:3]:
        part = table[(table.protocol == protocol) & (table.ns == ns)]
        colour, marker, line = _LENGTH_STYLES.get((protocol, ns), ("0.4", "o", "-"))
        middle, style = part.groupby("temperature_mK")[["success", "quasi_static"]].median(), {"marker": marker}
        axis.plot(
            middle.index, middle.success, ls=line, color=colour, ms=3.5, lw=1, label=_length(protocol, ns), **style
        )
        frozen = part.groupby("temperature_mK").freezeout.min() > 0
        axis.plot(middle.index[frozen], middle.quasi_static[frozen], ls="none", color=colour, mfc="none", ms=7, **style)
    axis.plot([], [], "o", color="0.4", mfc="none", ms=7, label="quasi-static")
    axis.set(xlabel="temperature in mK", title=_coupling_name(COUPLING))
    _below(axis)


def _length(protocol, ns):
    """"""
    return f"{protocol}, {ns:g} ns" if ns < 1000 else f"{protocol}, {ns / 1000:g} µs"


def control_errors(means, borne, random=None) -> Figure:
    """Fig. 39: what control errors leave of optimum and explanation, and the bits that the optimum needs, by beta.

    means: n_features, beta, when ("early", "late"), measure, value, low, high, of `error_tolerance.means_over_draws`;
    borne: n_features, beta, bits, of `control_errors.tolerances`, 17 for more than 16; random: n_features, beta,
    measure, value, low, high of a random choice of as many maps, or None.
    Bars of bits are quartiles, the others intervals.

    >>> from pandas import DataFrame
    >>> row = {"n_features": 16, "beta": 0.7, "value": 0.5, "low": 0.4, "high": 0.7}
    >>> names = "kept", "same_peak", "correlation"
    >>> means = DataFrame([row | {"measure": name, "when": when} for name in names for when in ("early", "late")])
    >>> figure = control_errors(means, DataFrame({"n_features": 16, "beta": 0.7, "bits": [5, 7, 9]}))
    >>> [axis.get_title() for axis in figure.axes]
    ['(a) the optimum stays', '(b) precision it needs', '(c) peak of the explanation', '(d) values of the explanation']
    """
    figure, axes = plt.subplots(2, 2, figsize=(PAGE, 4.6))
    models, betas = sorted({*means.n_features, *borne.n_features}), sorted({*means.beta, *borne.beta})
    random = means.iloc[:0] if random is None else random
    for axis, (measure, label, title) in zip(axes.flat[[0, 2, 3]], _MEASURES):
        rows = means[means.measure == measure]
        control, late = random[random.measure == measure], rows[rows.when == "late"]
        _draw_models(axis, late, models, betas)
        if measure == "kept":
            _draw_models(axis, rows[rows.when == "early"], models, betas, shift=0.06, mfc="w", ls="none")
        _draw_models(axis, control, models, betas, mfc="w", ls=":")
        axis.set(ylabel=label, title=title, ylim=(np.nanmin([0.0, *rows.low, *control.low]) - 0.03, 1.03))
    _draw_bits(axes[0, 1], borne, models, betas)
    for axis in axes.flat:
        axis.set_xticks(range(len(betas)), [f"{beta:g}" for beta in betas])
        axis.set(xlim=(-0.5, len(betas) - 0.5), xlabel="trade-off $\\beta$")
    _sign(figure, axes[0, 0], models, early="early" in set(means.when), random=len(random) > 0)
    lettered(axes.flat)
    return figure


def _beside(models, n):
    """Shift of a model's symbols beside those of the others."""
    return 0.16 * (models.index(n) - (len(models) - 1) / 2)


def _model_style(n):
    return {"color": MODEL_COLOURS.get(n, "0.4"), "marker": MODEL_MARKERS.get(n, "o")}


def _draw_models(axis, table, models, betas, shift=0.0, **style):
    for n, part in table.groupby("n_features"):
        part = part.set_index("beta").reindex(betas)
        line = {"ls": MODEL_LINES.get(n, "-"), "ms": 3.5, "lw": 0.9} | _model_style(n) | style
        with_interval(axis, np.arange(len(betas)) + _beside(models, n) + shift, part, "value", **line)


def _draw_bits(axis, borne, models, betas):
    for (n, beta), part in borne.groupby(["n_features", "beta"]):
        style = {"markersize": 3.5} | _model_style(n)
        quartile_bars(axis, [betas.index(beta) + _beside(models, n)], [part.bits], **style)
    for name, bits, shade in zip(("steps of the\nconverter", "noise, late"), _published_bits(), ("0.85", "0.93")):
        axis.axhspan(*bits, color=shade, lw=0, zorder=0)
        axis.text(1.01, np.mean(bits), name, transform=axis.get_yaxis_transform(), fontsize=6, va="center", color="0.3")
    axis.set(ylabel="bits of fields and couplings", title="precision it needs")
    ticks = range(2, MOST_BITS + 1, 2)
    axis.set_yticks([*ticks, MOST_BITS + 1], [*ticks, f">{MOST_BITS}"])
    axis.set_ylim(min(2.5, borne.bits.min() - 0.5), max(10.5, borne.bits.max() + 0.5))


def _published_bits():
    """Least and most bits, of couplings and fields, that the converter's steps and late noise (2 sigma) amount to."""
    errors, ranges = published_errors(1.0), {"h": 2 * H_RANGE, "J": 2 * J_RANGE}
    sizes = {"step": {key: errors[f"step_{key}"] for key in ranges}}
    sizes["noise"] = {key: 2 * errors[f"delta_{key}"] for key in ranges}
    return [sorted(np.log2(ranges[key] / size[key]) for key in ranges) for size in sizes.values()]


def _sign(figure, axis, models, *, early, random):
    """One legend of the models and of what open symbols mean."""
    for n in models:
        axis.plot([], [], ls=MODEL_LINES.get(n, "-"), lw=0.9, ms=3.5, label=f"$N_f={n}$", **_model_style(n))
    if early:
        axis.plot([], [], "o", color="0.4", ms=3.5, label="errors late in the anneal")
        axis.plot([], [], "o", color="0.4", mfc="w", ms=3.5, label="early")
    if random:
        axis.plot([], [], "o:", color="0.4", mfc="w", ms=3.5, lw=0.9, label="as many maps at random")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=len(models) + 3, fontsize=6.5)


def embedded(sampled, cliques, d_of) -> Figure:
    """Fig. 40: success of embedded problems in equilibrium, what is left at the best
    strength of chains, and the sizes that fit.

    sampled: d, chain_strength, success, low, high, chain_breaks, equilibrated, errors (bool: whether with control
    errors), of `thermal.embedded_success`; open symbols are not equilibrated. cliques: processor, seed, largest, of
    `processor_graphs.clique_spread`; d_of: {n_features: (B,) numbers of candidates}.

    >>> from pandas import DataFrame
    >>> row = {"chain_strength": 2.0, "success": 0.5, "low": 0.4, "high": 0.6, "chain_breaks": 0.1, "errors": False}
    >>> sampled = DataFrame([row | {"d": d, "equilibrated": d < 9} for d in (8, 16)])
    >>> cliques = DataFrame({"processor": "Advantage2_system4", "seed": [0, 1], "largest": [68, 66]})
    >>> figure = embedded(sampled, cliques, {16: [4, 6]})
    >>> [axis.get_title() for axis in figure.axes]
    ['(a) without control errors', '(b) at the best strength', '(c) what fits']
    >>> [text.get_text() for text in figure.axes[2].get_yticklabels()]
    ['Advantage2 system4', '$N_f=16$']
    """
    figure, axes = plt.subplots(1, 3, figsize=(PAGE, 3.0))
    _draw_strengths(axes[0], sampled[~sampled.errors.astype(bool)])
    _draw_best(axes[1], sampled)
    _draw_fits(axes[2], cliques, d_of)
    lettered(axes)
    return figure


def _draw_strengths(axis, table):
    strengths = sorted(table.chain_strength.unique())
    sizes, shifts = sorted(table.d.unique()), 1.04 ** (np.arange(len(strengths)) - (len(strengths) - 1) / 2)
    for shift, (strength, (colour, marker)) in zip(shifts, _strength_styles(strengths).items()):
        part = table[table.chain_strength == strength].sort_values("d")
        middle, style = part.groupby("d").success.mean(), {"color": colour, "marker": marker, "ms": 3.5}
        axis.plot(middle.index * shift, middle, color=colour, lw=0.9)
        for settled in (True, False):
            rows = part[part.equilibrated.astype(bool) == settled]
            with_interval(
                axis, rows.d * shift, rows, "success", ls="none", capsize=0, **style | ({} if settled else {"mfc": "w"})
            )
        axis.plot([], [], lw=0.9, label=f"{strength:g}×", **style)
    axis.set(xscale="log", xlabel="number of candidates $d$", ylabel="probability of the optimum", ylim=_SHARE)
    axis.set_title("without control errors")
    only_ticks(axis, sizes)
    _below(axis, ncols=len(strengths), title="chains over the strongest coupling", title_fontsize=6, columnspacing=1.0)


def _draw_best(axis, sampled):
    """At the strength that is best without errors, at each size: success without and with them, and broken chains."""
    best = _best_strengths(sampled[~sampled.errors.astype(bool)])
    rows = sampled[sampled.chain_strength == sampled.d.map(best)]
    for errors, (name, colour, marker, line) in _ERROR_STYLES.items():
        part, style = rows[rows.errors.astype(bool) == errors], {"color": colour, "marker": marker, "ms": 3.5}
        if len(part):
            middle, settled = part.groupby("d").success.mean(), part.groupby("d").equilibrated.all()
            axis.plot(middle.index, middle, line, color=colour, lw=0.9)
            _marked(axis, middle.index, middle, settled, **style)
            axis.plot([], [], ls=line, lw=0.9, label=name, **style)
    broken = rows[~rows.errors.astype(bool)].groupby("d").chain_breaks.mean()
    axis.plot(broken.index, broken, "x:", color="0.4", ms=4, lw=0.9, label="broken chains")
    for d, strength in best.items():
        axis.annotate(f"{strength:g}×", (d, 1.04), fontsize=6, ha="center", color="0.3")
    axis.set(xscale="log", xlabel="number of candidates $d$", ylabel="share", ylim=(-0.03, 1.13))
    axis.set_title("at the best strength")
    only_ticks(axis, list(best))
    axis.margins(x=0.12)
    _below(axis)


def _best_strengths(table):
    """{d: chain strength} of the largest mean success, of equal ones that with the fewest broken chains."""
    means = table.groupby(["d", "chain_strength"])[["success", "chain_breaks"]].mean().reset_index()
    ordered = means.sort_values(["d", "success", "chain_breaks"], ascending=[True, False, True])
    return ordered.groupby("d").chain_strength.first().to_dict()


def _draw_fits(axis, cliques, d_of):
    names = list(cliques.processor.unique())
    for row, name in enumerate(names):
        found = cliques.largest[cliques.processor == name]
        axis.plot(
            found, np.full(len(found), row), _MARKERS[row % len(_MARKERS)], color="0.25", ms=4, mfc="none", mew=0.8
        )
    for row, (n, d) in enumerate(sorted(d_of.items()), len(names)):
        colour, marker = MODEL_COLOURS.get(n, "0.4"), MODEL_MARKERS.get(n, "o")
        axis.plot([np.min(d), np.max(d)], [row, row], color=colour, lw=7, alpha=0.35, solid_capstyle="butt")
        axis.plot(np.median(d), row, marker, color=colour, ms=3)
    labels = [name.replace("_", " ") for name in names] + [f"$N_f={n}$" for n in sorted(d_of)]
    axis.set_yticks(range(len(labels)), labels, fontsize=6)
    axis.set(xlabel="number of candidates $d$", title="what fits", ylim=(max(len(labels), 1) - 0.5, -0.5), xscale="log")
    axis.axhline(len(names) - 0.5, color="0.7", lw=0.6)
    least, most = axis.get_xlim()
    only_ticks(axis, [d for d in (5, 10, 20, 50, 100, 200, 500) if least <= d <= most])


def _strength_styles(strengths):
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.82, len(strengths)))
    return {strength: (colour, marker) for strength, colour, marker in zip(strengths, colours, cycle(_MARKERS))}


def _quartiles(table, by):
    """Three Series, by the values of a column: quartiles and median of the success, in order."""
    return (table.groupby(by).success.quantile(level) for level in (0.25, 0.5, 0.75))


def _marked(axis, x, y, filled, **style):
    """Markers of points, open where filled is False."""
    x, y, filled = np.asarray(x), np.asarray(y), np.asarray(filled, bool)
    for some in (filled, ~filled):
        axis.plot(x[some], y[some], ls="none", **style | ({} if some is filled else {"mfc": "w"}))


def _below(axis, **options):
    """A legend below a panel."""
    if axis.get_legend_handles_labels()[0]:
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.25), **{"fontsize": 6, "borderaxespad": 0} | options)


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
        name, colour, marker = ANNEALER_STYLES.get(solver, (solver.replace("_", " "), "0.5", "."))
        if solver not in ANNEALER_STYLES:
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
