"""Anneals of an open system: against QuTiP, thermal equilibrium, the closed system, and all levels against few."""

import math
from dataclasses import replace

import dimod
import numpy as np
import pandas as pd
import pytest
import qutip

from qafs_utils.annealing import open_runs
from qafs_utils.annealing.bath import OhmicBath, gibbs, thermal_energy
from qafs_utils.annealing.evolution import anneal
from qafs_utils.annealing.ising import as_taken
from qafs_utils.annealing.level_path import _joined, _logarithm, follow_levels
from qafs_utils.annealing.open_system import (
    FreezeOut,
    _jumped,
    anneal_open,
    freeze_out,
    jump_rates,
    relaxation_rates,
)
from qafs_utils.annealing.schedules import of_processor
from qafs_utils.qubo.feature_selection import Problem

NAME = "Advantage2_system2"


def model(d, seed=0):
    """A random problem of d variables, whose strings differ in energy."""
    rng = np.random.default_rng(seed)
    pairs = {(p, q): float(rng.uniform(0, 1)) for q in range(d) for p in range(q)}
    return dimod.BinaryQuadraticModel({p: float(rng.uniform(-1, -0.2)) for p in range(d)}, pairs, 0.0, dimod.BINARY)


def one_bit_apart(bqm):
    """Whether the two lowest strings differ in one bit, so that the bath can turn one into the other."""
    first, second = np.argsort(as_taken(bqm).energies())[:2]
    return int(first ^ second).bit_count() == 1


def on(operator, qubit, qubits):
    """An operator of one qubit on all; bit p of an index is qubit p, so the lowest comes last."""
    factors = [qutip.qeye(2)] * qubits
    factors[qubits - 1 - qubit] = operator
    return qutip.tensor(factors)


def hamiltonian(bqm, protocol):
    """H_D and H_P as Qobj, and sigma_z of every qubit: +1 for a bit that is set."""
    taken = as_taken(bqm, protocol)
    qubits = range(taken.d)
    driver = -sum(on(qutip.sigmax(), q, taken.d) for q in qubits)
    problem = qutip.Qobj(np.diag(taken.energies()), dims=driver.dims)
    return driver, problem, [on(-qutip.sigmaz(), q, taken.d) for q in qubits]


def brmesolve(H, start, times, flips, bath, rtol=1e-6):
    kT, cutoff = thermal_energy(bath.temperature_mK), 2 * np.pi * bath.cutoff_GHz

    def spectrum(w):
        thermal = w / -math.expm1(-w / kT) if abs(w) > 1e-9 else kT
        return 2 * math.pi * bath.coupling * thermal * math.exp(-abs(w) / cutoff)

    options = {"atol": rtol / 100, "rtol": rtol, "nsteps": 10**6, "progress_bar": ""}
    return qutip.brmesolve(H, start, times, [(flip, spectrum) for flip in flips], sec_cutoff=0.02, options=options)


def held(path, place, span=None):
    """The path whose levels stay those at this place."""
    n = len(path.s) if span is None else span
    still = lambda part: np.repeat(part[place : place + 1], n, axis=0)  # noqa: E731
    turns = np.zeros((n - 1, *path.turns.shape[1:]))
    parts = {"s": np.linspace(0, 1, n), "turns": turns, "outside": np.zeros((n - 1, *path.outside.shape[1:]))}
    return replace(path, energies=still(path.energies), flips=still(path.flips), signs=still(path.signs), **parts)


# The bath


def test_rates_up_and_down_obey_detailed_balance_and_the_limits_are_those_of_the_formula():
    bath, omega = OhmicBath(2e-4, 20.0, cutoff_GHz=3.0), np.array([1e-7, 0.1, 1.0, 10.0, 100.0, 700.0])
    down, up = bath.spectral_density(omega), bath.spectral_density(-omega)
    assert np.allclose(np.log(up[:-1] / down[:-1]), -omega[:-1] / thermal_energy(20.0))
    assert up[-1] >= 0 and np.isfinite(down).all()
    by_hand = 2 * np.pi * 2e-4 * 10 * np.exp(-10 / (6 * np.pi)) / (1 - np.exp(-10 / thermal_energy(20.0)))
    assert np.isclose(down[3], by_hand)
    assert np.isclose(bath.spectral_density(0.0), 2 * np.pi * 2e-4 * thermal_energy(20.0))  # eta kT, HOQST's limit


def test_thermal_energy_is_k_T_over_hbar():
    assert np.isclose(thermal_energy(16.0), 1.380649e-23 * 0.016 / 1.054571817e-34 * 1e-9, rtol=1e-5)
    assert np.allclose(gibbs([[0.0, 1.0], [5.0, 5.0]], 16.0)[1], 0.5)
    assert np.allclose(gibbs([0.0, 1e6], 16.0), [1, 0])


@pytest.mark.parametrize(
    "values, words",
    [
        ((1e-4, 0.0), "temperature_mK must be a number in \\(0, inf\\), got 0.0"),
        ((1e-4, -1.0), "temperature_mK"),
        ((-1e-9, 16.0), "coupling must be a number in \\[0, inf\\)"),
        ((np.nan, 16.0), "coupling"),
        ((1e-4, 16.0, 0.0), "cutoff_GHz"),
    ],
)
def test_a_bath_that_cannot_be_is_refused(values, words):
    with pytest.raises(ValueError, match=words):
        OhmicBath(*values)


def test_spectral_density_refuses_what_is_no_number():
    with pytest.raises(ValueError, match="omega must be"):
        OhmicBath().spectral_density([0.0, np.nan])


# The levels


@pytest.mark.parametrize("protocol", ["standard", "fast"])
def test_levels_of_the_sectors_are_those_of_the_whole(protocol):
    bqm = model(3)
    path, schedule = follow_levels(bqm, NAME, protocol, slices=16), of_processor(NAME, protocol)
    driver, problem, flips = hamiltonian(bqm, protocol)
    for place in (0, len(path.s) // 3, len(path.s) - 1):
        s = path.s[place]
        H = float(schedule.A(s)) * driver + float(schedule.B(s)) * problem
        energies, vectors = np.linalg.eigh(H.full())
        assert np.allclose(np.sort(path.energies[place].ravel()), energies, atol=1e-8)
        if place < len(path.s) - 1 or protocol == "standard":  # pairs are equal at the end
            order = np.argsort(path.energies[place].ravel())
            found, none = path.flips[place], np.zeros((8, 8))
            found = found if protocol == "standard" else np.block([[none, found], [found.T, none]])
            expected = sum(abs(vectors.conj().T @ z.full() @ vectors) ** 2 for z in flips)
            assert np.allclose(found[np.ix_(order, order)], expected, atol=1e-6)


def test_turns_lead_from_the_first_levels_to_the_last():
    path = follow_levels(model(3), NAME, "standard", slices=64)
    turned = np.eye(8)
    for turn in path.turns[:, 0]:
        values, vectors = np.linalg.eigh(1j * turn)
        turned = ((vectors * np.exp(1j * values)) @ vectors.conj().T).real @ turned  # exp(-turn)
    first = follow_levels(model(3), NAME, "standard", slices=2)  # the same levels at 0, up to signs
    overlaps = abs(turned @ (path.start[0]))
    assert np.allclose(overlaps, abs(path.final[0].T @ np.full(8, 8**-0.5)), atol=1e-7)
    assert np.allclose(abs(first.start), abs(path.start), atol=1e-9)


def test_the_logarithm_of_small_and_of_large_turns():
    rng = np.random.default_rng(1)
    for size in (1e-3, 0.02, 0.5):
        X = rng.normal(size=(9, 9)) * size
        turn = (X - X.T) / 2
        values, vectors = np.linalg.eigh(1j * turn)
        assert abs(values).max() < np.pi
        O = ((vectors * np.exp(-1j * values)) @ vectors.conj().T).real  # noqa: E741
        assert np.allclose(_logarithm(O), turn, atol=1e-9)


def test_levels_that_cross_are_followed_and_a_crossing_of_the_lowest_is_seen():
    before = np.array([0.0, 0.1, 5.0, 9.0]), np.eye(4)
    energies, vectors, overlaps, coarse = _joined(before, (np.array([-0.1, 0.2, 5, 9]), np.eye(4)[:, [1, 0, 2, 3]]))
    assert energies.tolist() == [0.2, -0.1, 5, 9] and np.allclose(overlaps, np.eye(4)) and coarse
    assert not _joined(before, (np.array([0, 0.1, 5, 9]), -np.eye(4)))[3]
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.06), -np.sin(0.06)], [np.sin(0.06), np.cos(0.06)]]
    assert _joined(before, (before[0], turn))[3]


def test_lanczos_finds_what_lapack_finds(monkeypatch):
    bqm = model(5)
    dense = follow_levels(bqm, NAME, "fast", levels=8, slices=8)
    monkeypatch.setattr("qafs_utils.annealing.level_path._DENSE", 0)
    sparse = follow_levels(bqm, NAME, "fast", levels=8, slices=8)
    assert np.allclose(sparse.s, dense.s) and np.allclose(sparse.energies, dense.energies, atol=1e-6)
    assert np.allclose(sparse.flips[-1], dense.flips[-1], atol=1e-5)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"levels": 1}, "levels must be a whole number from 2 to 8, got 1"),
        ({"levels": 9}, "levels must be a whole number from 2 to 8, got 9"),
        ({"slices": 1}, "slices"),
        ({"protocol": "slow"}, "unknown protocol 'slow': choose from standard, fast"),
        ({"processor": "2000Q"}, "unknown processor"),
    ],
)
def test_other_levels_and_names_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        follow_levels(model(3), **options)


def test_problems_too_large_or_with_equal_strings_are_refused():
    with pytest.raises(ValueError, match="1 to 12 variables can be followed, got 13"):
        follow_levels(model(13))
    with pytest.raises(ValueError, match="got 0"):
        follow_levels(dimod.BinaryQuadraticModel("BINARY"))
    equal = dimod.BinaryQuadraticModel({"a": -1.0, "b": -1.0}, {}, 0.0, dimod.BINARY)
    with pytest.raises(ValueError, match="strings 1 and 2 have the same energy"):
        follow_levels(equal)


# The master equation


def test_populations_step_as_the_matrix_exponential():
    from scipy.linalg import expm

    rng = np.random.default_rng(0)
    rates = rng.uniform(0, 1, (6, 6))
    np.fill_diagonal(rates, 0)
    start = rng.dirichlet(np.ones(6))
    for duration in (0.0, 0.3, 7.0, 3000.0):  # one by one, and by squaring
        expected = expm(duration * (rates - np.diag(rates.sum(axis=0)))) @ start
        assert np.allclose(_jumped(rates, start, duration), expected, atol=1e-11)
    slow = rates * np.array([1, 1e-9, 1, 1, 1, 1])[:, None]
    assert (_jumped(slow, start, 1e5) >= 0).all() and np.isclose(_jumped(slow, start, 1e5).sum(), 1)


def test_rates_between_all_levels_obey_detailed_balance():
    for protocol in ("standard", "fast"):
        path, bath = follow_levels(model(3), NAME, protocol, slices=16), OhmicBath(1e-3, 16.0)
        rates, levels = jump_rates(path, bath, 6), path.energies[6].ravel()
        thermal = gibbs(levels, 16.0)
        flow = rates * thermal
        assert np.allclose(flow, flow.T, rtol=1e-9, atol=1e-30) and (flow > 0).sum() > len(levels)


def test_levels_that_stay_are_as_in_qutip():
    bqm, bath, place, nanoseconds = model(2), OhmicBath(2e-4, 16.0), 10, 500.0
    path = follow_levels(bqm, NAME, slices=32)
    still = held(path, place)
    weights = of_processor(NAME)
    driver, problem, flips = hamiltonian(bqm, "standard")
    H = float(weights.A(path.s[place])) * driver + float(weights.B(path.s[place])) * problem
    energies, vectors = np.linalg.eigh(H.full().real)
    assert np.allclose(energies, path.energies[place, 0])
    amplitudes = np.array([0.6, 0.5, 0.4, np.sqrt(1 - 0.77)])
    still = replace(still, start=amplitudes[None])
    # QuTiP on the diagonal H, with sigma_z in its levels: their signs are immaterial for what is compared
    turned = [qutip.Qobj(vectors.T @ z.full().real @ vectors) for z in flips]
    start = qutip.ket2dm(qutip.Qobj(amplitudes[:, None]))
    expected = brmesolve(qutip.Qobj(np.diag(energies)), start, [0, nanoseconds], turned, bath, 1e-9).states[-1].full()
    found = anneal_open(still, nanoseconds, bath, start="driver").state[0]
    assert 0.05 < abs(expected.diagonal() - amplitudes**2).max()  # the bath has done something
    assert np.allclose(found.diagonal(), expected.diagonal(), atol=1e-5)
    assert np.allclose(abs(found), abs(expected), atol=1e-5)
    assert abs(expected[0, 1]) > 0.01
    assert np.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("nanoseconds, coupling", [(5.0, 0.0), (5.0, 1e-2)])
def test_fast_anneals_of_a_variable_and_its_ancilla_are_as_in_qutip(nanoseconds, coupling):
    bqm, bath = model(1), OhmicBath(coupling, 16.0)
    path, weights = follow_levels(bqm, NAME, "fast", slices=256), of_processor(NAME, "fast")
    found = anneal_open(path, nanoseconds, bath, start="driver").success
    driver, problem, flips = hamiltonian(bqm, "fast")
    A, B = (lambda t, w=w: float(w(min(t / nanoseconds, 1.0))) for w in (weights.A, weights.B))
    H = qutip.QobjEvo([[driver, A], [problem, B]])
    start = qutip.ket2dm(qutip.Qobj(np.full((4, 1), 0.5), dims=[[2] * 2, [1] * 2]))
    final = brmesolve(H, start, [0, nanoseconds], flips, bath).states[-1]
    best = problem.diag() < problem.diag().min() + 1e-9
    expected = final.diag().real[best].sum()
    assert best.sum() == 2 and abs(found - expected) < 1e-3


@pytest.mark.parametrize("protocol, nanoseconds", [("fast", 5.0), ("fast", 20.0), ("standard", 500.0)])
def test_without_a_bath_it_is_the_closed_anneal(protocol, nanoseconds):
    bqm = model(3)  # at 500 ns two paths interfere, so that phases matter
    path = follow_levels(bqm, NAME, protocol, slices=256)
    result = anneal_open(path, nanoseconds, OhmicBath(0.0, 16.0), start="driver")
    energies, schedule = as_taken(bqm, protocol).energies(), of_processor(NAME, protocol)
    exact = anneal(energies, nanoseconds, driver="uniform", schedule=schedule)
    assert abs(result.success - exact.fidelity) < (2e-4 if nanoseconds == 20 else 2e-3)
    assert protocol == "standard" or exact.fidelity < 0.9999
    whole = np.bincount(np.arange(len(energies)) % 8 if protocol == "standard" else _folded(4), exact.probabilities)
    strings = sum(np.einsum("za,ab,zb->z", f, part, f).real for f, part in zip(path.final, result.state))
    assert np.allclose(strings, whole, atol=2e-3)


def _folded(qubits):
    """The string of the first qubits that counts, for each string of all: turned where the ancilla is -1."""
    index = np.arange(2**qubits)
    half = 2 ** (qubits - 1)
    return np.where(index >= half, index - half, half - 1 - index)


def test_a_weak_bath_is_nearly_none_and_the_state_stays_a_density_matrix():
    for protocol, nanoseconds in (("standard", 500.0), ("fast", 10.0)):
        path = follow_levels(model(3), NAME, protocol, slices=64)
        closed, weak, strong = (anneal_open(path, nanoseconds, OhmicBath(c, 16.0)) for c in (0.0, 1e-9, 1e-2))
        assert abs(weak.success - closed.success) < 1e-6 < abs(strong.success - closed.success)
        for result in (closed, weak, strong):
            assert np.isclose(np.einsum("iaa->", result.state), 1)
            for part in result.state:
                assert np.allclose(part, part.conj().T) and np.linalg.eigvalsh(part).min() > -1e-12
        assert strong.broadening > 1e6 * weak.broadening > 0 == closed.broadening


def test_a_long_time_at_one_place_ends_in_the_thermal_state():
    for protocol in ("standard", "fast"):
        path = follow_levels(model(3), NAME, protocol, slices=32)
        place = int(np.searchsorted(path.s, 0.3))
        longest = {"standard": 2e6, "fast": 2e4}[protocol]
        result = anneal_open(held(path, place), longest, OhmicBath(1e-2, 50.0))
        assert np.allclose(result.populations.ravel(), gibbs(path.energies[place].ravel(), 50.0), atol=1e-9)
        assert np.allclose(result.state * (1 - np.eye(8)), 0, atol=1e-9)


def test_slow_anneals_end_near_the_thermal_populations_at_the_freeze_out():
    seed = next(seed for seed in range(9) if one_bit_apart(model(4, seed)))
    path, bath = follow_levels(model(4, seed), NAME, slices=128), OhmicBath(1e-3, 40.0)
    result, frozen = anneal_open(path, 2e6, bath), freeze_out(path, 2e6, bath)
    assert 0.4 < frozen.s < 0.8
    assert abs(result.success - frozen.quasi_static) < 0.02 and abs(frozen.classical - frozen.quasi_static) < 0.02
    assert result.success < 0.995  # it is the bath that decides
    end = gibbs(path.classical, 40.0)[path.optimum].sum()
    assert end > result.success  # what is frozen in is hotter than the end


def test_the_freeze_out_leaves_one_relaxation():
    path, bath = follow_levels(model(3), NAME, slices=64), OhmicBath(1e-4, 16.0)
    rates, frozen = relaxation_rates(path, bath), freeze_out(path, 2e4, bath)
    late = np.linspace(frozen.s, 1, 20_001)
    assert np.isclose(np.trapezoid(np.interp(late, path.s, rates), late) * 2e4, 1, atol=0.02)
    never = freeze_out(path, 500.0, OhmicBath(1e-7, 16.0))
    assert isinstance(never, FreezeOut) and never.s == 0 and never.quasi_static > 0.999
    assert freeze_out(path, 2e6, bath).s > frozen.s
    driver, problem, flips = hamiltonian(model(3), "standard")
    place, weights = len(path.s) // 4, of_processor(NAME)
    H = float(weights.A(path.s[place])) * driver + float(weights.B(path.s[place])) * problem
    energies, vectors = np.linalg.eigh(H.full())
    element = sum(abs(vectors[:, 0].conj() @ z.full() @ vectors[:, 1]) ** 2 for z in flips)
    assert np.isclose(rates[place], bath.spectral_density(energies[1] - energies[0]) * element, rtol=1e-6)


@pytest.mark.parametrize("protocol, nanoseconds", [("standard", 500.0), ("standard", 2e6), ("fast", 20.0)])
def test_few_levels_are_as_good_as_all_within_what_they_leak(protocol, nanoseconds):
    bqm, bath = model(5), OhmicBath(1e-4, 16.0)
    success, leaked = {}, {}
    for levels in (2, 8, 16, 32):
        path = follow_levels(bqm, NAME, protocol, levels=levels, slices=64)
        result = anneal_open(path, nanoseconds, bath)
        success[levels], leaked[levels] = result.success, result.leaked
        assert np.isclose(result.populations.sum(), 1)
    off = {levels: abs(value - success[32]) for levels, value in success.items()}
    assert leaked[32] < 1e-9 < leaked[16] <= leaked[8] <= leaked[2]
    assert off[16] < 1e-3 and off[16] <= off[2] + 1e-6
    assert all(off[levels] < 3 * leaked[levels] + 1e-4 for levels in (8, 16))


def test_anneals_that_a_protocol_does_not_allow_are_refused():
    path = follow_levels(model(2), NAME, slices=8)
    with pytest.raises(ValueError, match="the standard protocol anneals in 500 to 2e\\+06 ns, got 20"):
        anneal_open(path, 20.0, OhmicBath())
    with pytest.raises(ValueError, match="the standard protocol anneals"):
        freeze_out(path, 20.0, OhmicBath())
    with pytest.raises(ValueError, match="unknown start 'hot': choose from ground, driver"):
        anneal_open(path, 500.0, OhmicBath(), start="hot")
    with pytest.raises(ValueError, match="bath must be an OhmicBath, got 0.0001"):
        anneal_open(path, 500.0, 1e-4)
    with pytest.raises(ValueError, match="place must be a whole number"):
        jump_rates(path, OhmicBath(), 1000)


# The table


@pytest.fixture
def instances():
    problems = [Problem([0, 2], [-1.0, -0.9], [[1, 0.8], [0.8, 1]], 3), Problem([1], [-1.0], [[1.0]], 3)]
    return pd.DataFrame({"d": [2, 1], "image": [7, 9], "problem": problems}, index=[5, 3])


def test_the_table_has_a_row_for_every_choice(instances):
    table = open_runs.with_bath(
        instances,
        [NAME],
        {"standard": [500.0, 2e4], "fast": [5.0]},
        couplings=[0, 1e-3],
        temperatures=[None, 30.0],
        slices=16,
    )
    assert len(table) == 2 * 3 * 2 * 2 and not table.isna().any().any()
    assert table.image.tolist() == [7] * 12 + [9] * 12
    assert sorted(set(table.temperature_mK)) == [16.7, 30.0]
    assert table.columns[-len(open_runs.MEASURED) - 1 :].tolist() == [*open_runs.MEASURED, "seconds"]
    closed = table[table.coupling == 0]
    assert (closed.success == closed.closed).all() and (closed.broadening == 0).all()
    one = table[(table.image == 7) & (table.ns == 2e4) & (table.coupling == 1e-3) & (table.temperature_mK == 30)].iloc[
        0
    ]
    path = follow_levels(instances.problem[5].bqm(0.5, "p<q"), NAME, slices=16)
    assert one.levels == 4 and path.d == 2


def test_the_table_refuses_what_no_row_can_be(instances):
    for nanoseconds, options, words in (
        ({"standard": [20.0]}, {}, "the standard protocol anneals"),
        ({"slow": [20.0]}, {}, "unknown protocol"),
        ({"fast": [20.0]}, {"couplings": [-1.0]}, "coupling"),
        ({"fast": [20.0]}, {"temperatures": [0.0]}, "temperature_mK"),
        ({"fast": [20.0]}, {"levels": 1}, "levels must be a whole number of at least 2"),
    ):
        with pytest.raises(ValueError, match=words):
            open_runs.with_bath(instances, [NAME], nanoseconds, **options)
    with pytest.raises(ValueError, match="unknown processor"):
        open_runs.with_bath(instances, ["2000Q"], {"fast": [20.0]})
    with pytest.raises(ValueError, match="columns d and problem"):
        open_runs.with_bath(instances.drop(columns="problem"), [NAME], {"fast": [20.0]})
