"""An anneal follows its schedule: what falls between the steps, jumps, holes, and the error that it claims."""

import warnings

import numpy as np
import pytest
import scipy.integrate
from test_annealing import dense_driver

from qafs_utils.annealing import evolution, schedules, spectrum
from qafs_utils.annealing.evolution import anneal
from qafs_utils.annealing.schedules import Schedule, locally_adiabatic, tabulated

WIDTHS = (1e-2, 1e-3, 1e-4)


def spiked(centre, width, table):
    """The linear schedule whose problem is for a moment a hundred times as strong."""

    def B(s):
        return s + 100 * np.exp(-(((np.asarray(s) - centre) / width) ** 2))

    s = np.union1d(np.linspace(0, 1, 41), (centre + width * np.linspace(-4, 4, 161)).clip(0, 1))
    return tabulated(s, 1 - s, B(s)) if table else Schedule("spiked", lambda s: 1 - s, B)


def two_states(E, tau, schedule, driver, places):
    """Probabilities of one qubit, from exact steps between these places of s, at weights of their middles."""
    g, middle = schedules.driver_strength(driver, 1), (places[1:] + places[:-1]) / 2
    x, z = schedule.A(middle) * g, schedule.B(middle) * (E[0] - E[1]) / 2
    turn = np.hypot(x, z) * tau * np.diff(places)
    over = np.divide(np.sin(turn), np.hypot(x, z))
    state = evolution.start_state(1, driver).astype(complex)
    for c, a, b in zip(np.cos(turn), -1j * over * x, -1j * over * z):
        state = np.array([(c + b) * state[0] + a * state[1], a * state[0] + (c - b) * state[1]])
    return abs(state) ** 2


@pytest.mark.parametrize("table", [False, True], ids=["function", "table"])
@pytest.mark.parametrize("width", WIDTHS)
def test_no_feature_of_a_schedule_falls_between_the_steps(width, table):
    E, tau, schedule = [0.0, -1.0], 10.0, spiked(0.437, width, table)
    near = 0.437 + width * np.linspace(-6, 6, 12001)
    places = np.union1d(np.linspace(0, 1, 40001), near[(near > 0) & (near < 1)])
    exact = two_states(E, tau, schedule, "uniform", places)
    plain = two_states(E, tau, schedules.find_schedule("linear"), "uniform", places)
    result = anneal(E, tau, driver="uniform", schedule=schedule, tolerance=1e-5)
    assert abs(exact - plain).max() > 10 * width  # it matters
    assert abs(result.probabilities - exact).max() <= max(result.error, 1e-6) and result.error <= 1e-5
    coarse = anneal(E, tau, driver="uniform", schedule=schedule, dt=0.5)  # its two runs both miss the narrow ones
    assert abs(coarse.probabilities - exact).max() <= max(coarse.error, 1e-6)


@pytest.mark.parametrize("seed, power", [(0, 1.0), (1, 2.0)])
def test_a_locally_adiabatic_schedule_is_followed_where_it_is_fast(seed, power):
    """A small gap leaves it a millionth of the anneal for the rest."""
    E, x, tau = np.random.default_rng(seed).normal(size=2**6) * 0.3, np.linspace(0, 1, 33), 20.0
    levels = spectrum.level_curves(E, x)
    schedule = locally_adiabatic(x, levels[:, 1] - levels[:, 0], power)
    H = dense_driver(6, "scaled")

    def slope(t, psi):
        s = t / tau
        return -1j * (schedule.A(s) * (H @ psi) + schedule.B(s) * E * psi)

    psi = evolution.start_state(6).astype(complex)
    for first, last in zip(schedule.knots, schedule.knots[1:]):
        solved = scipy.integrate.solve_ivp(slope, (first * tau, last * tau), psi, "DOP853", rtol=1e-9, atol=1e-11)
        psi = solved.y[:, -1]
    result = anneal(E, tau, schedule=schedule, tolerance=1e-5)
    assert abs(result.probabilities - abs(psi) ** 2).max() <= max(result.error, 1e-7) <= 1e-5


def test_a_jump_is_met_on_both_sides():
    E, tau = [0.0, -1.0], 10.0
    jump = Schedule("jump", lambda s: np.where(np.asarray(s) < 0.3, 1.0, 0.2), lambda s: 0.5)
    places = np.concatenate([np.linspace(0, 0.3, 20001), np.linspace(0.3, 1, 20001)[1:]])
    exact = two_states(E, tau, Schedule("same", jump.A, lambda s: 0.5 + 0 * s), "scaled", places)
    result = anneal(E, tau, schedule=jump, tolerance=1e-4)
    assert abs(result.probabilities - exact).max() <= 1e-4


def test_a_hole_in_a_schedule_is_named():
    holed = Schedule("holed", lambda s: 1 - s, lambda s: np.where(abs(np.asarray(s) - 0.51234) < 1e-4, np.nan, s))
    with pytest.raises(ValueError, match="'holed' gives NaN or infinite weights: B at s = 0.512"):
        anneal([0.0, 1.0], schedule=holed)


def bumped(height, width):
    s = np.array([0, 0.4371 - width, 0.4371 - width / 2, 0.4371, 0.4371 + width / 2, 0.4371 + width, 1])
    return tabulated(s, 1 - s + height * (s == 0.4371), s)


COSINE = Schedule("cosine", lambda s: np.cos(np.pi * np.asarray(s) / 2), lambda s: np.sin(np.pi * s / 2))
STEEP = tabulated([0, 0.05, 0.43709, 0.4371, 0.43711, 1], [1000, 0, 0, 0.9, 0, 0], [0, 0, 0.5, 0.5, 0.5, 1])
CLAIMS = {
    "quadratic, few steps": ([0, 0, 0, 77.9], 8.575, "quadratic", {"tolerance": 1e-2}),
    "quadratic, dt": ([0, 0, 0, 77.9], 8.575, "quadratic", {"dt": 0.54}),
    "quadratic, fast": ([0, 0, 0, 77.9], 1.0, "quadratic", {}),
    "cosine": ([-0.66775, -5.62396], 48.4878, COSINE, {"tolerance": 0.0185}),
    "a small bump": ([0, 0.2, -0.5, 0.1], 20.0, bumped(9e-4, 1e-4), {"tolerance": 1e-9}),
    "a narrow bump": ([0, 0.2, -0.5, 0.1], 50.0, bumped(0.9, 1e-5), {}),
    "beside a large weight": ([0, 0.2, -0.5, 0.1], 50.0, STEEP, {}),
}


@pytest.mark.parametrize("E, tau, schedule, options", CLAIMS.values(), ids=CLAIMS)
def test_the_claimed_error_is_true(E, tau, schedule, options):
    E, path = np.array(E, float), schedules.find_schedule(schedule)
    d = len(E).bit_length() - 1
    H = dense_driver(d, "scaled")

    def slope(t, psi):
        return -1j * (path.A(t / tau) * (H @ psi) + path.B(t / tau) * E * psi)

    psi, knots = evolution.start_state(d).astype(complex), path.knots or (0, 1)
    for first, last in zip(knots, knots[1:]):
        ends = {"t_span": (first * tau, last * tau), "max_step": (last - first) * tau / 4}
        psi = scipy.integrate.solve_ivp(slope, y0=psi, method="DOP853", rtol=1e-11, atol=1e-13, **ends).y[:, -1]
    result = anneal(E, tau, schedule=schedule, **options)
    true = abs(result.probabilities - abs(psi) ** 2).max()
    assert true <= 1.1 * result.error + 1e-10
    assert "dt" in options or result.error <= options.get("tolerance", 1e-6)


def test_a_schedule_that_writes_into_its_argument_is_read_right():
    def falling(s):
        return np.subtract(1, s, out=s) if np.ndim(s) else 1 - s

    E, greedy = [0.0, 0.4, 1.0, 0.7], Schedule("greedy", falling, lambda s: s**2, (0, 1))
    plain = Schedule("plain", lambda s: 1 - s, lambda s: s**2, (0, 1))
    assert spectrum.minimum_gap(E, schedule=greedy) == spectrum.minimum_gap(E, schedule=plain)
    assert anneal(E, schedule=greedy).fidelity == anneal(E, schedule=plain).fidelity


@pytest.mark.parametrize("strength", [lambda d: 0.0, lambda d: 1 - d / 2, lambda d: np.nan, lambda d: "strong", 1.0])
def test_a_driver_without_strength_is_refused_by_name(monkeypatch, strength):
    monkeypatch.setitem(schedules.DRIVERS, "mine", strength)
    energies = [0.0, 0.4, 1.0, 0.7]
    for call in (anneal, spectrum.minimum_gap, spectrum.two_level):
        with pytest.raises(ValueError, match="driver 'mine'"):
            call(energies, driver="mine")
    with pytest.raises(ValueError, match="driver 'mine'"):
        evolution.start_state(2, "mine")


def test_a_driver_of_ones_own_is_taken(monkeypatch):
    monkeypatch.setitem(schedules.DRIVERS, "mine", lambda d: np.float32(1) / d)
    assert anneal([0.0, 1.0], driver="mine").fidelity == anneal([0.0, 1.0], driver="scaled").fidelity
    with pytest.raises(ValueError, match="d must be a whole number"):
        schedules.driver_strength("mine", 1.5)


@pytest.mark.parametrize("gap, power", [([1.0, 1e-200, 1.0], 2.0), ([1e-3, 1.0, 1.0], 40.0), ([1e200] * 3, 2.0)])
def test_gaps_that_leave_no_schedule_are_refused_without_a_warning(gap, power):
    with warnings.catch_warnings(), pytest.raises(ValueError, match="too much for this power"):
        warnings.simplefilter("error")
        locally_adiabatic([0, 0.5, 1], gap, power)
