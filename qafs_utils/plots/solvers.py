"""Figure of the solvers: how often one read is optimal, and how long it takes until the optimum is met."""

import matplotlib.pyplot as plt

from .style import PAGE, lettered, only_ticks, with_interval

SOLVER_STYLES = {  # name, colour, marker
    "exact": ("branch and bound, with proof", "#000000", "*"),
    "tabu": ("tabu search", "#009E73", "D"),
    "simulated_annealing": ("simulated annealing", "#0072B2", "s"),
    "path_integral": ("path-integral annealing", "#56B4E9", "^"),
    "schrodinger": ("quantum annealing, simulated exactly", "#CC79A7", "o"),
    "steepest_descent": ("steepest descent", "#E69F00", "v"),
    "greedy": ("greedy", "#999999", "P"),
    "random": ("random", "#D55E00", "x"),
}


def solver_style(name: str) -> tuple[str, str, str]:
    """Name, colour and marker of a solver; of one without a style its own name, in grey.

    >>> solver_style("leap_hybrid")
    ('leap hybrid', '0.5', '.')
    """
    return SOLVER_STYLES.get(name, (name.replace("_", " "), "0.5", "."))


def solver_comparison(by_size, by_beta):
    """Fig. 16: probability of the proven optimum and time to it against d, and the probability against beta.

    by_size, by_beta: d, beta, solver, reads, probability, low, high, seconds (to 99 %); by_beta at one size.

    >>> from pandas import DataFrame
    >>> row = {"beta": 0.7, "reads": 1, "probability": 0.6, "low": 0.5, "high": 0.7, "seconds": 0.1}
    >>> table = DataFrame([row | {"solver": solver, "d": 50.0} for solver in ("exact", "simulated_annealing")])
    >>> figure = solver_comparison(table, table)
    >>> figure.axes[2].get_title(), float(figure.axes[2].lines[0].get_ydata()[0])
    ('(c) time to the optimum (99 %)', 0.1)
    """
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(PAGE, 2.9))
    one_read = by_size[by_size.reads == 1]
    others = [solver for solver in by_size.solver.unique() if solver not in SOLVER_STYLES]
    for solver in [*SOLVER_STYLES, *others]:
        name, colour, marker = solver_style(solver)
        style = {"color": colour, "marker": marker, "markersize": 3.5, "lw": 0.9}
        table = one_read[one_read.solver == solver]
        with_interval(left, table.d, table, "probability", label=name, **style)
        right.plot(table.d, table.seconds, **style)
        _draw_by_beta(middle, by_beta[by_beta.solver == solver], style)
    _annotate_reads(middle, by_beta[by_beta.solver == "simulated_annealing"])
    for axis in (left, right):
        axis.set(xscale="log", xlabel="number of candidates $d$")
        only_ticks(axis, [round(d) for d in sorted(by_size.d.unique())], fontsize=6)
    left.set(ylabel="probability of the optimum", ylim=(-0.03, 1.03))
    left.set_title(f"one read, $\\beta={by_size.beta.iloc[0]:g}$")
    middle.set(xlabel="trade-off $\\beta$", ylim=(-0.03, 1.03))
    middle.set_title(f"$N_f=512$, $d \\approx {by_beta.d.iloc[0]:.0f}$")
    right.set(yscale="log", ylabel="seconds", title="time to the optimum (99 %)")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=6.5)
    lettered((left, middle, right))
    return figure


def _draw_by_beta(axis, table, style):
    """One line of a solver, and for simulated annealing one for each number of reads."""
    annealing = (table.solver == "simulated_annealing").any()
    several = sorted(table.reads.unique()) if annealing else [1]
    for reads, line in zip(several, ("-", "--", ":")):
        part = table[table.reads == reads]
        with_interval(axis, part.beta, part, "probability", **(style | {"ls": line}))


def _annotate_reads(axis, table):
    """Number of reads beside each line: above the first and the last, below those between."""
    several = sorted(table.reads.unique())
    for reads in several:
        start = table[table.reads == reads].iloc[0]
        offset = (0, 8) if reads == several[0] else (3, 3) if reads == several[-1] else (3, -9)
        place = {"xy": start[["beta", "probability"]], "xytext": offset, "textcoords": "offset points"}
        text = f"{reads:g} read" + ("s" if reads > 1 else "")
        axis.annotate(text, color=SOLVER_STYLES["simulated_annealing"][1], fontsize=6, **place)
