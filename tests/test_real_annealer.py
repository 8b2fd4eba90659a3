"""Figures of what a real annealer would return: what is drawn, filled and left out."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from qafs_utils.annealing.bath import COUPLING
from qafs_utils.annealing.processors import processors
from qafs_utils.plots import real_annealer as plots

NAME = "Advantage2_system2"
OWN = processors()[NAME].temperature_mK


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def points(axis, marker=None):
    """What is drawn as symbols: {(x, y): filled}."""
    lines = [line for line in axis.lines if line.get_marker() not in ("None", None, "")]
    chosen = [line for line in lines if marker in (None, line.get_marker())]
    return {
        (round(float(x), 6), round(float(y), 6)): str(line.get_markerfacecolor()) not in ("w", "none")
        for line in chosen
        for x, y in line.get_xydata()
    }


def label(axis):
    """{label: y values} of the lines that have one."""
    return {line.get_label(): list(line.get_ydata()) for line in axis.lines if not line.get_label().startswith("_")}


def closed_rows(d, ns, success, way="fast", start="ground", image=0):
    allowed = [way == "fast" and time >= 5 for time in ns]
    row = {"n_features": 16, "image": image, "d": d, "way": way, "start": start}
    return pd.DataFrame({"ns": ns, "success": success, "allowed": allowed}).assign(**row)


def units(**values):
    row = {"n_features": 16, "processor": NAME, "protocol": "fast", "tau": 50.0, "shortest_ns": 5.0}
    return pd.DataFrame([row | {"ns": 2.0, "ns_min": 1.0, "ns_max": 4.0} | values])


def test_medians_and_quartiles_are_of_the_problems_with_all_lengths():
    several = [closed_rows(5, [1, 20], [0.1 * i, 0.2 * i], image=i) for i in range(5)]
    table = pd.concat([*several, closed_rows(9, [20], [1.0])])
    uniform = closed_rows(5, [1, 20], [0.2, 0.9], "fast with fields", "uniform")
    figure = plots.closed_anneals(pd.concat([table, uniform]), units())
    lengths, sizes, _ = figure.axes
    assert lengths.get_title() == "(a) $d=5$"
    assert points(lengths) == {(1.0, 0.2): False, (20.0, 0.4): True}  # 1 ns is not allowed
    band = lengths.collections[0].get_paths()[0].vertices
    assert {(float(x), round(float(y), 6)) for x, y in band} == {(1, 0.1), (1, 0.3), (20, 0.2), (20, 0.6)}
    assert label(lengths)["fast, if it took fields, uniform start"] == [0.2, 0.9]
    assert points(sizes)[9.0, 1.0] and (5.0, 0.4) in points(sizes)  # all sizes, at 20 ns


def test_only_the_ways_that_are_offered_are_filled():
    ways = [closed_rows(5, [20], [0.1 * i], way) for i, way in enumerate(plots.WAY_STYLES, 1)]
    figure = plots.closed_anneals(pd.concat(ways), units())
    assert points(figure.axes[0]) == {(20.0, 0.1): True, (20.0, 0.2): False, (20.0, 0.3): False, (20.0, 0.4): False}


def test_the_papers_time_has_bars_and_the_shortest_anneal_a_line():
    other = units(protocol="standard", ns=0.5, ns_min=0.25, ns_max=1.0, shortest_ns=500.0)
    figure = plots.closed_anneals(closed_rows(5, [20], [0.5]), pd.concat([units(), units(tau=10.0, ns=77.0), other]))
    axis = figure.axes[2]
    bars = [tuple(bar.get_segments()[0][:, 1].tolist()) for bar in axis.collections]
    assert bars == [(1.0, 4.0), (0.25, 1.0)]
    assert {y for _, y in points(axis)} == {2.0, 0.5}
    assert {name: y[0] for name, y in label(axis).items() if "ns" in name} == {
        "fast, from 5 ns": 5.0,
        "standard, from 500 ns": 500.0,
    }


def bath_row(success, *, image=0, coupling=COUPLING, kelvin=OWN, protocol="fast", ns=100.0, freezeout=0.4, frozen=0.3):
    row = {"n_features": 16, "image": image, "d": 5, "processor": NAME, "protocol": protocol, "ns": ns}
    row |= {"coupling": coupling, "temperature_mK": kelvin, "success": success}
    return row | {"freezeout": freezeout, "quasi_static": frozen}


def test_couplings_are_compared_at_the_processors_own_temperature():
    rows = [bath_row(0.1 * i, image=i) for i in (4, 5, 9)] + [bath_row(1.0, image=4, coupling=0.0)]
    rows += [bath_row(0.0, image=i, kelvin=33.0) for i in (4, 5, 9)] + [bath_row(0.7, image=4, coupling=1e-9)]
    axis, right = plots.with_bath(pd.DataFrame(rows)).axes
    assert label(axis)["no bath"] == [1.0] and label(axis)["$\\eta g^2=10^{-4}$"] == [0.5]
    assert points(axis) == {(100.0, 1.0): True, (100.0, 0.5): True, (100.0, 0.7): True}
    assert len([line for line in axis.lines if line.get_linewidth() < 0.5]) == 3
    assert label(right)["fast, 100 ns"] == [0.5, 0.0]


def test_quasi_static_values_are_where_the_anneal_freezes_out():
    rows = [bath_row(0.9, kelvin=8.0, freezeout=0.0), bath_row(0.8), bath_row(0.5, image=1, ns=7.0)]
    rows += [bath_row(0.2, image=1)]  # without the other temperatures: not in this panel
    axis = plots.with_bath(pd.DataFrame(rows)).axes[1]
    assert points(axis) == {(8.0, 0.9): True, (OWN, 0.8): True, (OWN, 0.3): False}


def error_rows(**values):
    row = {"n_features": 16, "beta": 0.7, "when": "late", "measure": "kept", "value": 0.5}
    row |= values
    return pd.DataFrame([row | {"low": row["value"] - 0.1, "high": row["value"] + 0.1}])


def test_late_errors_are_filled_early_ones_and_the_random_choice_open():
    means = pd.concat([error_rows(), error_rows(when="early", value=0.2)])
    means = pd.concat(
        [means, error_rows(measure="correlation", value=0.8, when="early"), error_rows(value=0.1, beta=0.9)]
    )
    random = error_rows(measure="correlation", value=-0.3).drop(columns="when")
    borne = pd.DataFrame({"n_features": 16, "beta": [0.7, 0.7, 0.7, 0.9], "bits": [5, 7, 11, 17]})
    kept, bits, peak, values = plots.control_errors(means, borne, random).axes
    drawn = {key: filled for key, filled in points(kept).items() if np.isfinite(key).all()}
    assert drawn == {(0.0, 0.5): True, (1.0, 0.1): True, (0.06, 0.2): False}
    assert [key for key in points(peak) if np.isfinite(key).all()] == []
    drawn = {key: filled for key, filled in points(values).items() if np.isfinite(key).all()}
    assert drawn == {(0.0, -0.3): False} and values.get_ylim()[0] < -0.4
    assert points(bits) == {(0.0, 7.0): True, (1.0, 17.0): True}
    assert bits.collections[0].get_segments()[0][:, 1].tolist() == [6.0, 9.0]
    assert [text.get_text() for text in bits.get_yticklabels()][-1] == ">16"


def test_the_precision_of_a_processor_is_that_of_its_steps_and_its_noise():
    steps, noise = plots._published_bits()
    np.testing.assert_allclose(2.0 ** np.array(steps), [2 / 0.0045, 8 / 0.008])
    np.testing.assert_allclose(2.0 ** np.array(noise), [2 / (2 * 0.0095), 8 / (2 * 0.01)])


def embedded_rows(d, strength, success, breaks=0.0, errors=False, equilibrated=True):
    row = {"d": d, "chain_strength": strength, "success": success, "low": success - 0.1, "high": success + 0.1}
    return pd.DataFrame([row | {"chain_breaks": breaks, "errors": errors, "equilibrated": equilibrated}])


CLIQUES = pd.DataFrame({"processor": [NAME, NAME, "Advantage_system4"], "seed": [0, 1, 0], "largest": [94, 97, 150]})


def test_the_best_strength_is_that_without_errors_and_of_equal_ones_that_with_fewer_broken_chains():
    rows = [embedded_rows(8, 2.0, 0.7, 0.1), embedded_rows(8, 4.0, 0.4), embedded_rows(8, 2.0, 0.3, errors=True)]
    rows += [embedded_rows(8, 4.0, 0.9, errors=True)]
    rows += [embedded_rows(64, 2.0, 0.0, 0.6), embedded_rows(64, 4.0, 0.0, 0.2, equilibrated=False)]
    left, best, _ = plots.embedded(pd.concat(rows), CLIQUES, {16: [4, 6]}).axes
    assert points(best, "o") == {(8.0, 0.7): True, (64.0, 0.0): False} and points(best, "s") == {(8.0, 0.3): True}
    assert label(best)["broken chains"] == [0.1, 0.2]
    assert [text.get_text() for text in best.texts] == ["2×", "4×"]
    drawn = sorted((round(x), y, filled) for (x, y), filled in points(left).items())
    assert drawn == [(8, 0.4, True), (8, 0.7, True), (63, 0.0, True), (65, 0.0, False)]


def test_cliques_of_all_seeds_stand_beside_the_ranges_of_d():
    axis = plots.embedded(embedded_rows(8, 2.0, 0.5), CLIQUES, {512: [180, 190, 220], 16: [4, 6]}).axes[2]
    assert {(x, y) for x, y in points(axis)} == {(94, 0), (97, 0), (150, 1), (5, 2), (190, 3)}
    bars = [line.get_xydata().tolist() for line in axis.lines if line.get_linewidth() == 7]
    assert bars == [[[4, 2], [6, 2]], [[180, 3], [220, 3]]]
    assert [text.get_text() for text in axis.get_yticklabels()][2:] == ["$N_f=16$", "$N_f=512$"]


def test_missing_values_and_groups_are_left_out():
    closed = pd.concat([closed_rows(5, [20], [np.nan]), closed_rows(7, [20], [0.4])])
    bath = pd.DataFrame([bath_row(0.4, protocol="standard", ns=500.0, coupling=0.0)])
    figures = [
        plots.closed_anneals(closed, units()),
        plots.with_bath(bath),  # no row at the coupling of the right panel
        plots.control_errors(error_rows(value=np.nan), pd.DataFrame(columns=["n_features", "beta", "bits"])),
        plots.embedded(embedded_rows(8, 2.0, 0.5, errors=True), CLIQUES.iloc[:0], {}),
    ]
    for figure in figures:
        figure.canvas.draw()
