"""The method on one image: maps, problem, anneal, explanation."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from matplotlib.patches import Rectangle

from ..qubo.feature_selection import Problem
from .style import METHOD_COLOURS, MODEL_COLOURS, PAGE, RANK_STYLES, lettered

_HEAT = {"cmap": "inferno", "vmin": 0, "vmax": 1}  # of explanation maps
_FRAME = METHOD_COLOURS["QUBO optimum"]  # around what is selected
_HEIGHT = 1.95  # inches, of one explanation
_COLUMNS = ((0.005, 0.2), (0.23, 0.245), (0.515, 0.225), (0.76, 0.235))  # left end and width, shares of the page


def map_gallery(maps: np.ndarray, importance: np.ndarray) -> plt.Figure:
    """The maps of one image in order of importance; those that support the class have a coloured frame.

    maps: (N_f, H, W); importance: (N_f,).

    >>> figure = map_gallery(np.random.default_rng(0).random((3, 4, 4)), np.array([-0.1, 0.2, 0.5]))
    >>> [axis.get_title() for axis in figure.axes[:3]]
    ['2: +0.5', '1: +0.2', '0: -0.1']
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


def selection_problem(problem: Problem) -> plt.Figure:
    """One QUBO: redundancy matrix and field of a problem, candidates named by their map.

    >>> problem = Problem(np.array([2, 5]), np.array([-1.0, -0.5]), np.array([[1.0, 0.6], [0.6, 1.0]]), 6)
    >>> figure = selection_problem(problem)
    >>> [float(bar.get_width()) for bar in figure.axes[1].patches]
    [-1.0, -0.5]
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(0.75 * PAGE, 2.3), width_ratios=(1.15, 1))
    image = left.imshow(problem.redundancy, vmin=0, vmax=1)
    figure.colorbar(image, ax=left, label="redundancy $J_{pq}$")
    ticks = range(problem.d)
    left.set(xticks=ticks, yticks=ticks, xticklabels=problem.maps, yticklabels=problem.maps, xlabel="feature map")
    right.barh(ticks, problem.field, color=MODEL_COLOURS[16])
    right.set(yticks=ticks, yticklabels=problem.maps, ylim=(problem.d - 0.5, -0.5))
    right.set(ylabel="feature map", xlabel="field $h_p$")
    lettered((left, right))
    return figure


def _landscape(axis, energies, probabilities):
    """All bit-strings by the maps in which they differ from the optimum and their energy; lines change one map.

    energies: (2^d,); probabilities: (2^d,), as areas of the points.
    """
    d, best = len(energies).bit_length() - 1, energies.argmin()
    k = np.arange(len(energies))
    distance = np.array([int(i).bit_count() for i in k ^ best])
    flips = [(i, i ^ 1 << p) for i in k for p in range(d) if not i >> p & 1]
    edges = [((distance[i], energies[i]), (distance[j], energies[j])) for i, j in flips]
    axis.add_collection(LineCollection(edges, colors="0.85", linewidths=0.4, zorder=1))
    area, others = _area(probabilities), k != best
    axis.scatter(distance[others], energies[others], area[others], color="0.35", linewidths=0, zorder=2)
    axis.scatter(0, energies[best], area[best], color=_FRAME, linewidths=0, zorder=3)
    axis.set(xlabel="maps changed", xticks=range(d + 1), xlim=(-0.9, d + 0.5))
    axis.margins(y=0.12)


def _area(probability):
    """Area of the point of a bit-string, in points squared."""
    return 1.0 + 180 * probability


def one_anneal(
    s, levels, occupied, populations, energies, gap, *, times: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
) -> plt.Figure:
    """Fig. 22: one anneal from inside. Above levels, their occupation and the bit-strings, below the energy landscape.

    s: (n,) rising from 0 to 1; levels, occupied: (n, 2^d) as `spectrum.occupations`; populations: (n, 2^d);
    energies: (2^d,); gap: `spectrum.Gap`; times: values of s at which the landscape is shown.

    >>> from qafs_utils.annealing import evolution, spectrum
    >>> E, s = np.array([0.0, -1.0, -0.5, -0.2]), np.linspace(0, 1, 11)
    >>> states = evolution.states(E, s)
    >>> levels, occupied = spectrum.occupations(E, states, s)
    >>> figure = one_anneal(s, levels, occupied, abs(states) ** 2, E, spectrum.minimum_gap(E))
    >>> [axis.get_title() for axis in figure.axes[3:]]
    ['$s=0$', '$s=0.25$', '$s=0.5$', '$s=0.75$', '$s=1$']
    """
    figure = plt.figure(figsize=(PAGE, 4.3))
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1))
    left, middle, right = above.subplots(1, 3)
    spectrum = levels - levels[:, :1]
    left.plot(s, spectrum[:, 2:], color="0.8", lw=0.5)
    left.plot(s, spectrum[:, 1], color=METHOD_COLOURS["QA-Grad-CAM"])
    left.plot(gap.s, gap.gap, "o", color="black", ms=3)
    for axis in (left, middle):
        axis.axvline(gap.s, color="black", lw=0.6, ls=":")
    said = f"minimum gap {gap.gap:.3f}\nat $s^*={gap.s:.2f}$"
    left.text(gap.s - 0.03, 1.2 * spectrum.max(), said, ha="right", va="top", fontsize=7)
    left.set(xlabel="$s = t/\\tau$", ylabel="energy above ground state", ylim=(0, 1.25 * spectrum.max()))
    parts = {"ground state": occupied[:, 0], "first excited": occupied[:, 1], "higher": occupied[:, 2:].sum(1)}
    colours = (METHOD_COLOURS["QA-Grad-CAM"], "0.45", "0.85")
    middle.stackplot(s, *parts.values(), labels=parts, colors=colours, linewidth=0)
    middle.set(xlabel="$s = t/\\tau$", ylabel="occupation of levels", xlim=(0, 1), ylim=(0, 1))
    middle.legend(loc="lower left", frameon=True, framealpha=0.85, edgecolor="none")
    bit_strings(right, s, populations, energies, len(energies).bit_length() - 1)
    axes = below.subplots(1, len(times), sharey=True)
    lettered([left, middle, right, axes[0]])
    for axis, time in zip(axes, times):
        _landscape(axis, energies, populations[np.abs(s - time).argmin()])
        axis.set_title(f"$s={time:g}$")
    axes[0].set_ylabel("energy of bit-string")
    for share in (0.01, 0.1, 0.5):
        axes[0].scatter([], [], _area(share), color="0.35", linewidths=0, label=f"{share:g}")
    axes[0].legend(title="probability", title_fontsize=6, fontsize=6, loc="upper left")
    return figure


def photograph(axis: plt.Axes, image: np.ndarray, title: str | None = None, heatmap=None):
    """Show a uint8 (3, h, w) image, with a heatmap (S, S) in [0, 1] over it if given.

    >>> figure, axis = plt.subplots()
    >>> photograph(axis, np.zeros((3, 96, 96), np.uint8), "cat", heatmap=np.ones((224, 224)))
    >>> axis.get_title(), [image.get_extent() for image in axis.images]
    ('cat', [[0, 96, 96, 0], [0, 96, 96, 0]])
    """
    height, width = image.shape[1:]
    extent = (0, width, height, 0)
    axis.imshow(np.moveaxis(image, 0, -1), extent=extent)
    if heatmap is not None:
        axis.imshow(heatmap, extent=extent, alpha=0.55, **_HEAT)
    axis.set(xticks=[], yticks=[], title=title)
    axis.spines[:].set_visible(False)


def bit_strings(axis: plt.Axes, s, populations, energies, d: int, *, shown: int = 3):
    """Probability of the finally likeliest bit-strings along s (n,): populations (n, 2^d), energies (2^d,).

    >>> axis = plt.figure().subplots()
    >>> bit_strings(axis, np.array([0.0, 1.0]), np.array([[0.5, 0.5], [0.1, 0.9]]), np.array([0.0, -1.0]), d=1)
    >>> [line.get_label() for line in axis.lines]
    ['1 (optimum)', '0']
    """
    for rank, k in enumerate(np.argsort(-populations[-1])[:shown]):
        bits = "".join(str(k >> p & 1) for p in range(d))
        optimum = " (optimum)" if k == energies.argmin() else ""
        colour, line = RANK_STYLES[rank]
        axis.plot(s, populations[:, k], line, color=colour, label=bits + optimum)
    axis.set(xlabel="$s = t/\\tau$", ylabel="probability", ylim=(0, None))
    axis.legend(title="bits in the order of the maps", title_fontsize=6, fontsize=6)


def silent_maps(maps) -> np.ndarray:
    """Which maps are zero in every pixel: (n, H, W)  ->  (n,) bool. Such a map shows nothing, selected or not.

    Its cosines are 0, so that any positive importance selects it.

    >>> silent_maps([[[0, 0]], [[0, 1]]])
    array([ True, False])
    """
    return ~np.any(maps, axis=(1, 2))


def _small_maps(axis, maps, numbers, selected):
    """Feature maps as tiles of one axes, with their numbers; each has its own colour scale, the selected ones a frame.

    Maps that are zero everywhere say "silent", and have no frame. maps: (n, H, W); numbers: (n,); selected: (n,) bool.
    """
    silent = silent_maps(maps)
    selected = np.asarray(selected, bool) & ~silent
    columns = max(1, int(np.ceil(np.sqrt(len(maps)))))
    rows = max(1, -(-len(maps) // columns))
    height, width = np.shape(maps)[1:]
    gap, above = 1 + width // 12, 1 + height // 3  # pixels between tiles, and for a number
    mosaic = np.zeros((rows * (height + above), columns * (width + gap), 4))  # one image: it is drawn at once
    corners = []
    for i, tile in enumerate(np.asarray(maps, float)):
        x, y = i % columns * (width + gap), i // columns * (height + above) + above
        mosaic[y : y + height, x : x + width] = plt.get_cmap()(plt.Normalize()(tile))
        corners.append((x, y))
    axis.imshow(mosaic, extent=(0, mosaic.shape[1], mosaic.shape[0], 0), interpolation="nearest")
    for (x, y), number, chosen, blank in zip(corners, numbers, selected, silent):
        weight = "bold" if chosen else "normal"
        axis.text(x + width / 2, y - 0.07 * height, number, ha="center", fontsize=6, weight=weight)
        if blank:
            axis.text(x + width / 2, y + height / 2, "silent", ha="center", va="center", fontsize=5, color="w")
    edges = np.where(selected, _FRAME, "0.8")
    tiles = [Rectangle(corner, width, height) for corner in corners]
    _frames(axis, tiles, linewidths=np.where(selected, 1.8, 0.8), edgecolors=edges)
    axis.set(aspect="equal", anchor="N")
    axis.axis("off")


def _frames(axis, rectangles, **style):
    """Frames of rectangles as one collection, which is drawn faster than as many patches."""
    axis.add_collection(PatchCollection(rectangles, facecolors="none", clip_on=False, **style), autolim=False)


def _qubo_matrix(axis, matrix, numbers, selected):
    """The coefficients of one QUBO, (d, d) upper triangle and diagonal; those that the selection adds up are framed.

    numbers: (d,) maps, written left of the diagonal; selected: (d,) bool. Without ticks and colour bar, which take most
    of the time to draw.
    """
    d = len(matrix)
    reach = np.abs(matrix).max(initial=0) or 1.0
    colours = {"cmap": "RdBu_r", "vmin": -reach, "vmax": reach}
    axis.imshow(np.ma.masked_where(np.tri(d, k=-1, dtype=bool), matrix), extent=(0, d, d, 0), **colours)
    added = [Rectangle((q, p), 1, 1) for p, q in np.argwhere(np.triu(np.outer(selected, selected)))]
    _frames(axis, added, linewidths=1.3, edgecolors=_FRAME)
    for p, (number, bold) in enumerate(zip(numbers, selected)):
        style = {"fontsize": 6 if d < 14 else 5, "weight": "bold" if bold else "normal"}
        axis.text(p - 0.03 * d, p + 0.5, number, ha="right", va="center", **style)
    left, right, top, bottom = 0.06 * d, 0.11 * d, 0.6 * d, 0.97 * d
    axis.imshow(np.linspace(reach, -reach, 64)[:, None], extent=(left, right, bottom, top), aspect="auto", **colours)
    for value, y in ((reach, top), (0, (top + bottom) / 2), (-reach, bottom)):
        axis.text(right + 0.03 * d, y, number_text(value, 2), fontsize=6, va="center")
    axis.text(left, top - 0.08 * d, "$Q_{pq}$", fontsize=7, va="center")
    axis.set(xlim=(0, d), ylim=(d, 0), aspect="equal", anchor="N")
    axis.axis("off")


def number_text(value: float, digits: int) -> str:
    """A number with a fixed number of digits and a proper minus sign.

    >>> number_text(-0.5, 2)
    '−0.50'
    """
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def explanation(
    image, maps, problem: Problem, matrix, selected, heatmap, name: str, lines=(), *, shown: int = 16
) -> plt.Figure:
    """One explanation: image, candidate maps with the selected ones framed, QUBO, explanation map, and lines of text.

    image: uint8 (3, h, w), or None; maps: (N_f, H, W); matrix: (d, d) the problem's coefficients; selected: (N_f,)
    bool; heatmap: (S, S) in [0, 1]; name: of the class; lines: (label, value) pairs of text.
    Of more than `shown` candidates the selected ones come first, then the most important ones. Selected maps that are
    silent (`silent_maps`) are not framed but counted apart. Long names and labels are broken into lines.

    >>> from qafs_utils.qubo import feature_selection
    >>> maps = np.eye(2).reshape(2, 2, 1)
    >>> problem = feature_selection.problem(maps, np.array([1.0, 0.5]))
    >>> figure = explanation(None, maps, problem, problem.matrix(0.7), np.array([True, False]), np.ones((4, 4)), "cat")
    >>> [text.get_text() for text in figure.texts]
    ['scores', '2 candidates; framed: selected (1)', 'QUBO, Eq. 4', 'explanation of “cat”']
    """
    figure = _detached(
        _HEIGHT, PlaceHolderLayoutEngine(True, True)
    )  # of fixed layout: it is drawn while a slider moves
    bits, order = selected[problem.maps], np.arange(problem.d)
    silent = (bits & silent_maps(maps[problem.maps])).sum()
    if problem.d > shown:
        order = np.lexsort((problem.field, ~bits))[:shown]
        matrix = np.triu((np.triu(matrix) + np.triu(matrix, 1).T)[np.ix_(order, order)])
    few = f"{problem.d} candidates" if len(order) == problem.d else f"{len(order)} of {problem.d}"
    apart = f", silent: {silent}" if silent else ""
    titles = ["scores" if image is None else "image", f"{few}; framed: selected ({bits.sum() - silent}){apart}"]
    up = _write_titles(figure, [*titles, "QUBO, Eq. 4", f"explanation of “{name}”"])
    _write_lines(figure, lines, up, *((0.87, 0.092) if image is None else (0.39, 0.062)))
    if image is not None:
        x, width = _COLUMNS[0]
        photograph(figure.add_axes((x, 0.42 * up, width, 0.48 * up), anchor="N"), image)
    middle, right, last = (figure.add_axes((x, 0.02 * up, width, 0.88 * up)) for x, width in _COLUMNS[1:])
    numbers = problem.maps[order]
    _small_maps(middle, maps[numbers], numbers, bits[order])
    _qubo_matrix(right, matrix, numbers, bits[order])
    if image is None:
        last.imshow(heatmap, **_HEAT)
    else:
        photograph(last, image, heatmap=heatmap)
    last.set_anchor("N")
    last.axis("off")
    return figure


def _detached(height, layout=None):
    """A figure across the page that pyplot forgets at once: a notebook shows it as a cell's result, and only then."""
    figure = plt.figure(figsize=(PAGE, height), layout=layout)
    plt.close(figure)
    return figure


def _write_titles(figure, titles):
    """Titles above the columns; a long last one makes the figure higher  ->  the share below the added height."""
    style = {"ha": "center", "fontsize": 8, "parse_math": False}
    written = [figure.text(x + width / 2, 0.94, title, **style) for (x, width), title in zip(_COLUMNS, titles)]
    height = _HEIGHT + 0.13 * (_broken(written[-1], _COLUMNS[-1][1]) - 1)
    figure.set_size_inches(PAGE, height)
    for text in written:
        text.set_y(0.94 * _HEIGHT / height)
    return _HEIGHT / height


def _write_lines(figure, lines, up, top, step):
    """Labels and values in the first column, from `top` down; text needs no axes, which take time."""
    (x, width), row = _COLUMNS[0], 0
    for label, value in lines:
        y = (top - step * row) * up
        said = figure.text(x, y, label, fontsize=6.5, va="top", parse_math=False)
        figure.text(x + width, y, value, fontsize=6.5, va="top", ha="right")
        row += _broken(said, width - 0.0075 * len(value) - 0.005)


def _broken(text, room):
    """Break a figure's text into lines no wider than that share of the figure  ->  their number."""
    whole = text.get_text()
    room, columns = room * text.figure.bbox.width, len(whole)
    while (wide := text.get_window_extent().width) > room and columns > 4:
        columns = max(4, min(columns - 1, int(columns * room / wide) + 2))
        text.set_text("\n".join(textwrap.wrap(whole, columns)))
    return text.get_text().count("\n") + 1


def five_steps(maps, importance, problem: Problem, matrix, anneal: tuple, selected, heatmap) -> plt.Figure:
    """Fig. 20: the method on one image, from its feature maps (Eq. 1) to the explanation map.

    maps: (N_f, H, W); importance: (N_f,); matrix: (d, d) the problem's coefficients; anneal: s, populations, energies
    as for `bit_strings`; selected: (N_f,) bool; heatmap: (S, S) in [0, 1].

    >>> from qafs_utils.qubo import feature_selection
    >>> maps, chosen = np.eye(2).reshape(2, 2, 1), np.array([True, False])
    >>> problem = feature_selection.problem(maps, np.array([1.0, -0.5]))
    >>> anneal = np.array([0.0, 1.0]), np.array([[0.5, 0.5], [0.1, 0.9]]), np.array([0.0, -0.7])
    >>> figure = five_steps(maps, np.array([1.0, -0.5]), problem, problem.matrix(0.7), anneal, chosen, np.ones((4, 4)))
    >>> [axis.get_title()[0] for axis in figure.axes if axis.get_title()]
    ['1', '2', '3', '4', '5']
    """
    figure = _detached(4.3)
    grid = figure.add_gridspec(2, 12, height_ratios=(1.15, 1))
    axis = figure.add_subplot(grid[0, :4])
    _small_maps(axis, maps, np.arange(len(maps)), selected)
    axis.set_title("1  feature maps; framed: selected")
    axis = figure.add_subplot(grid[0, 4:8])
    power = int(np.floor(np.log10(np.abs(importance).max())))
    colours = np.where(importance > 0, MODEL_COLOURS[16], "0.75")
    axis.barh(range(len(maps)), importance / 10.0**power, color=colours)
    axis.axvline(0, color="k", lw=0.6)
    axis.set_yticks(range(len(maps)), range(len(maps)), fontsize=6)
    axis.set(ylim=(len(maps) - 0.4, -0.6), xlabel=f"importance $\\alpha_a$ ($10^{{{power}}}$)", ylabel="map $a$")
    axis.set_title("2  importance; blue: candidates")
    axis = figure.add_subplot(grid[0, 8:])
    _qubo_matrix(axis, matrix, problem.maps, selected[problem.maps])
    axis.set_title("3  QUBO, Eqs. 3 to 5")
    axis = figure.add_subplot(grid[1, :8])
    bit_strings(axis, *anneal, problem.d)
    axis.set_title("4  annealing, Eq. 6")
    axis = figure.add_subplot(grid[1, 8:])
    shown = axis.imshow(heatmap, **_HEAT)
    axis.set(xticks=[], yticks=[])
    axis.set_title("5  explanation map")
    figure.colorbar(shown, ax=axis, label="relative weight")
    return figure
