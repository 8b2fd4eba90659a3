"""Anneals of processors without noise: against QuTiP, dense matrices and closed forms."""

import dimod
import numpy as np
import pandas as pd
import pytest
import qutip

from qafs_utils.annealing import closed_system, instances, ising, processors, schedules
from qafs_utils.annealing.evolution import anneal, start_state
from qafs_utils.qubo.binary import bits, energies
from qafs_utils.qubo.feature_selection import problems

PROCESSOR = "Advantage2_system2"
FAST, STANDARD = (schedules.of_processor(PROCESSOR, protocol) for protocol in ("fast", "standard"))


def random_table(sizes, n=5, seed=0):
    """Instances of so many candidates among n maps of 2 x 2."""
    rng = np.random.default_rng(seed)
    maps = rng.random((len(sizes), n, 2, 2))
    importance = np.where(np.arange(n) < np.array(sizes)[:, None], rng.uniform(0.2, 1, (len(sizes), n)), -1.0)
    found = problems(maps, importance)
    return pd.DataFrame({"d": [p.d for p in found], "problem": found}, index=[f"row {i}" for i in range(len(found))])


def spins(d):
    return 2.0 * bits(range(2**d), d) - 1


def enumerated(taken):
    """Energies of all strings, a sum over them in plain sight."""
    s = spins(taken.d)
    return s @ taken.h + np.einsum("ki,ij,kj->k", s, taken.J, s)


def dense_driver(d):
    """sum sigma_x; QuTiP's order of the factors does not matter to it."""
    one = [[qutip.sigmax() if p == q else qutip.qeye(2) for q in range(d)] for p in range(d)]
    return sum(qutip.tensor(factors) for factors in one).full().real


def with_qutip(E, ns, name, protocol, start):
    """Final probabilities by QuTiP's integrator of the Schroedinger equation, on the table's own points."""
    table = processors.find_processor(name).weights(protocol)
    X, Z = qutip.Qobj(-np.pi * dense_driver(int(np.log2(len(E))))), qutip.Qobj(np.diag(np.pi * E))
    t = ns * table.s.to_numpy()
    H = qutip.QobjEvo([[X, table.A_GHz.to_numpy()], [Z, table.B_GHz.to_numpy()]], tlist=t, order=1)
    options = {"atol": 1e-9, "rtol": 1e-8, "nsteps": 10**6, "max_step": ns / 200, "progress_bar": ""}
    psi = qutip.sesolve(H, qutip.Qobj(start), [0.0, ns], options=options).states[-1]
    return abs(psi.full().ravel()) ** 2


def ground_of_start(E, name, protocol):
    """By dense diagonalisation of H(0)."""
    first = processors.find_processor(name).weights(protocol).iloc[0]
    return np.linalg.eigh(-first.A_GHz * dense_driver(int(np.log2(len(E)))) + first.B_GHz * np.diag(E))[1][:, 0]


@pytest.mark.parametrize("way, d, ns", [("fast", 3, 3.0), ("fast", 2, 8.0), ("standard", 4, 2.0), ("standard", 2, 1.5)])
@pytest.mark.parametrize("start", ["ground", "uniform"])
def test_success_is_that_of_qutip(way, d, ns, start):
    table = random_table([d], seed=d)
    found = closed_system.closed_anneals(table, PROCESSOR, [ns], ways=[way], starts=[start], tolerance=1e-4).iloc[0]
    E = enumerated(ising.as_taken(table.problem.iloc[0].bqm(), way))
    first = ground_of_start(E, PROCESSOR, way) if start == "ground" else np.full(len(E), len(E) ** -0.5)
    probabilities = with_qutip(E, ns, PROCESSOR, way, first)
    exact = probabilities[np.isclose(E, E.min())].sum()
    assert np.isclose(E, E.min()).sum() == (2 if way == "fast" else 1)
    assert abs(found.success - exact) <= 2e-4 and found.error <= 1e-4
    assert 0.05 < exact < 0.999  # a result that can be missed


def test_both_turns_of_a_ground_state_are_as_likely_and_both_count():
    bqm = random_table([4]).problem.iloc[0].bqm()
    E, best = ising.as_taken(bqm, "fast").energies(), int(energies(bqm).argmin())
    result = closed_system.anneal_from_ground(E, 5.0, schedule=FAST)
    as_it_is, turned = result.probabilities[2**4 + best], result.probabilities[2**4 - 1 - best]
    assert as_it_is == pytest.approx(turned) and result.fidelity == pytest.approx(as_it_is + turned)
    assert result.probabilities == pytest.approx(result.probabilities[::-1])


def test_without_the_ancilla_it_is_the_standard_problem_on_the_fast_schedule():
    table = random_table([4])
    found = closed_system.closed_anneals(table, PROCESSOR, [1.0], ways=["fast with fields"], starts=["uniform"]).iloc[0]
    E = enumerated(ising.as_taken(table.problem.iloc[0].bqm()))
    fast, standard = (with_qutip(E, 1.0, PROCESSOR, p, np.full(16, 0.25))[E.argmin()] for p in ("fast", "standard"))
    assert abs(found.success - fast) <= 1e-3 < abs(fast - standard) and not found.allowed


def test_the_linear_anneal_takes_the_equivalent_tau():
    table = random_table([3], seed=1)
    found = closed_system.closed_anneals(table, PROCESSOR, [0.2], ways=["linear"], starts=["ground"], beta=0.1).iloc[0]
    bqm = table.problem.iloc[0].bqm(0.1)
    assert closed_system.factor(bqm) < 0.9 * closed_system.factor(bqm, "fast")
    assert closed_system.equivalent_ns(bqm, found.tau, PROCESSOR) == pytest.approx(0.2)
    assert found.success == pytest.approx(anneal(energies(bqm), found.tau).fidelity, abs=1e-3)


@pytest.mark.parametrize("ranges, schedule", [("fast", FAST), ("standard", STANDARD), ("standard", FAST)])
def test_a_slow_anneal_from_the_uniform_start_levels_off_at_the_overlap(ranges, schedule):
    fields, couplings = {0: 1.0, 1: -0.7, 2: 0.5}, {(0, 1): 0.25, (1, 2): -0.2}
    E = ising.as_taken(dimod.BinaryQuadraticModel(fields, couplings, 0.0, "SPIN"), ranges).energies()
    overlap = closed_system.start_overlap(E, schedule)
    table = processors.find_processor(PROCESSOR).weights("fast")
    dense = ground_of_start(E, PROCESSOR, "fast") @ np.full(len(E), len(E) ** -0.5)
    assert overlap == pytest.approx(dense**2, abs=1e-9) and overlap < (0.9999 if ranges == "fast" else 0.995)
    slow = anneal(E, 400.0, driver="uniform", schedule=schedule, tolerance=1e-4)
    assert slow.fidelity == pytest.approx(overlap, abs=3e-4)
    prepared = closed_system.anneal_from_ground(E, 400.0, schedule=schedule, tolerance=1e-4)
    assert prepared.fidelity > 0.9997  # the real start has no such loss
    if ranges == "standard" and schedule is FAST:
        off = table.B_GHz - table.B_GHz.iloc[0] * (1 - table.s)
        closed = schedules.tabulated(table.s, np.pi * table.A_GHz, np.pi * off)
        assert closed_system.start_overlap(E, closed) == 1.0
        assert anneal(E, 400.0, driver="uniform", schedule=closed, tolerance=1e-4).fidelity > 0.9997


def test_the_overlap_of_one_qubit():
    """tan theta = h B / A: (1 + cos theta) / 2."""
    first = processors.find_processor(PROCESSOR).weights().iloc[0]
    cosine = first.A_GHz / np.hypot(first.A_GHz, 4 * first.B_GHz)
    assert closed_system.start_overlap([-4.0, 4.0], STANDARD) == pytest.approx((1 + cosine) / 2, abs=1e-9)


def test_a_short_anneal_stays_in_the_ground_state_of_its_start():
    batch = 4 * np.array([[0.0, 3.0, -2.0, 1.0], [1.0, 0.0, -1.0, 2.0]])
    result = closed_system.anneal_from_ground(batch, 1e-6, schedule=STANDARD)
    exact = [ground_of_start(E, PROCESSOR, "standard") ** 2 for E in batch]
    assert result.probabilities == pytest.approx(np.array(exact), abs=1e-4)
    assert result.state.shape == (2, 4) and result.fidelity.shape == (2,)
    assert abs(result.probabilities - 0.25).max() > 0.05  # which is not the uniform one


def test_from_a_start_without_a_problem_it_is_the_usual_anneal():
    E = np.random.default_rng(0).normal(size=16)
    ours = closed_system.anneal_from_ground(E, 3.0, schedule="linear", tolerance=1e-6)
    usual = anneal(E, 3.0, driver="uniform", tolerance=1e-6)
    phase = ours.state @ usual.state.conj()
    assert abs(phase) == pytest.approx(1.0, abs=1e-5) and ours.energy == pytest.approx(usual.energy, abs=1e-4)


def test_a_table_of_anneals():
    table = random_table([2, 3]).assign(image=[7, 8])
    times, starts = [5.0, 500.0], ["ground", "uniform"]
    ways = ["fast", "standard", "linear"]
    found = closed_system.closed_anneals(table, PROCESSOR, times, ways=ways, starts=starts, tolerance=1e-2)
    assert len(found) == 2 * 2 * (2 + 2 + 1) and "problem" not in found and not found.isna().any().any()
    assert found.groupby("image").d.unique().map(list).to_dict() == {7: [2], 8: [3]}
    allowed = found.groupby(["way", "ns"]).allowed.agg(["all", "any"]).all(axis=1)
    assert set(allowed.index[allowed]) == {("fast", 5.0), ("fast", 500.0), ("standard", 500.0)}
    assert found.success.between(0, 1 + 1e-9).all() and (found.error <= 1e-2).all() and (found.steps > 0).all()
    unit = [closed_system.unit_GHz(p.bqm(), PROCESSOR, "fast") for p in table.problem]
    fast = found[(found.way == "fast") & (found.start == "ground")]
    assert fast.tau.tolist() == pytest.approx([2 * np.pi * u * ns for u in unit for ns in times])


def test_the_largest_time_of_a_protocol_is_allowed_and_no_longer_one():
    assert [closed_system._allowed("fast", ns) for ns in (4.9, 5.0, 20_000.0, 20_001.0)] == [False, True, True, False]


@pytest.mark.parametrize("protocol", ["fast", "standard"])
def test_a_unit_of_energy_in_gigahertz(protocol):
    """The energies' range on the processor over their range in the model, at the end of the anneal."""
    bqm = random_table([4], seed=3).problem.iloc[0].bqm(0.4, "half")
    taken = enumerated(ising.as_taken(bqm, protocol))
    taken = taken[2**4 :] if protocol == "fast" else taken
    GHz = processors.find_processor(PROCESSOR).weights(protocol).B_GHz.iloc[-1] / 2 * np.ptp(taken)
    unit = closed_system.unit_GHz(bqm, PROCESSOR, protocol)
    assert unit == pytest.approx(GHz / np.ptp(energies(bqm)))
    assert closed_system.factor(bqm, protocol) == pytest.approx(np.ptp(energies(bqm)) / np.ptp(taken))
    tau = 50.0  # both turn the ground state by the same phase over the problem's last instant
    ns = closed_system.equivalent_ns(bqm, tau, PROCESSOR, protocol)
    assert 2 * np.pi * GHz * ns == pytest.approx(tau * np.ptp(energies(bqm)))


def test_the_driver_may_be_matched_instead():
    bqm = random_table([4]).problem.iloc[0].bqm()
    A = processors.find_processor(PROCESSOR).weights().A_GHz.iloc[0]
    for driver, g in (("scaled", 1 / 4), ("uniform", 1.0)):
        ns = closed_system.equivalent_ns(bqm, 50.0, PROCESSOR, match="driver", driver=driver)
        assert np.pi * A * ns == pytest.approx(50.0 * g)


def test_a_table_of_units():
    table = random_table([2, 3, 4, 4]).assign(n_features=[16, 16, 24, 24])
    found = closed_system.units(table, [10, 5000.0], names=["Advantage_system4", PROCESSOR])
    assert len(found) == 2 * 2 * 2 * 2
    one = found[(found.n_features == 24) & (found.processor == PROCESSOR) & (found.protocol == "fast")].iloc[1]
    ns = [closed_system.equivalent_ns(p.bqm(), 5000.0, PROCESSOR, "fast") for p in table.problem.iloc[2:]]
    assert [one.ns_min, one.ns, one.ns_max] == pytest.approx([min(ns), np.median(ns), max(ns)])
    assert one.driver_ns == pytest.approx(5000.0 / 4 / (np.pi * 10.0)) and one.shortest_ns == 5.0
    assert one.below == np.mean(np.array(ns) < 5.0)
    assert one.unit_mK == pytest.approx(one.unit_GHz * 47.992, rel=1e-4)  # h / k_B
    assert set(found.below) >= {0.0, 1.0} and len(closed_system.units(table.drop(columns="n_features"))) == 5 * 2 * 3


def even_gaps(taken, protocol, s):
    """Gap at s of H in GHz by dense matrices: of the states that turning all spins leaves as they are, if fast."""
    table = processors.find_processor(PROCESSOR).weights(protocol)
    A, B = (np.interp(s, table.s, table[column]) for column in ("A_GHz", "B_GHz"))
    E = enumerated(taken)
    H = -A / 2 * dense_driver(taken.d) + B / 2 * np.diag(E)
    if protocol == "fast":
        H = H + 1e4 * (np.eye(len(E)) - np.eye(len(E))[::-1])  # odd states are lifted out of sight
    return np.diff(np.linalg.eigvalsh(H)[:2])[0]


@pytest.mark.parametrize("protocol", ["fast", "standard"])
@pytest.mark.parametrize("d, seed", [(1, 0), (3, 1), (4, 2)])
def test_the_gap_on_a_processor_is_that_of_dense_matrices(protocol, d, seed):
    bqm = random_table([d], seed=seed).problem.iloc[0].bqm()
    taken = ising.as_taken(bqm, protocol)
    gap = closed_system.real_gap(bqm, PROCESSOR, protocol)
    assert gap.GHz == pytest.approx(even_gaps(taken, protocol, gap.s), abs=2e-3)
    curve = [even_gaps(taken, protocol, s) for s in np.linspace(0, 1, 301)]
    assert gap.GHz <= min(curve) + 2e-3 and gap.GHz >= min(curve) - 0.05


def test_the_sparse_gap_is_the_dense_one():
    """Above 64 strings the even levels come from Lanczos."""
    bqm = random_table([7], n=7, seed=1).problem.iloc[0].bqm()
    taken = ising.as_taken(bqm, "fast")
    even = closed_system._Even(taken, FAST)
    assert len(even.E) == 128
    for s in (0.0, 0.4, 0.6, 1.0):
        assert even.gap(s) / (2 * np.pi) == pytest.approx(even_gaps(taken, "fast", s), abs=1e-3)


def test_the_gap_of_one_qubit():
    """One spin of field h on the standard schedule: sqrt(A^2 + 16 B^2) at its least."""
    table = processors.find_processor(PROCESSOR).weights()
    bqm = dimod.BinaryQuadraticModel({"a": 0.3}, {}, 0.0, "SPIN")
    exact = np.hypot(table.A_GHz, 4 * table.B_GHz)
    gap = closed_system.real_gap(bqm, PROCESSOR)
    assert gap.GHz == pytest.approx(exact.min(), abs=2e-3)
    assert gap.s == pytest.approx(table.s[exact.argmin()], abs=5e-3)


def test_a_table_of_gaps():
    table = random_table([2, 3])
    found = closed_system.real_gaps(table, PROCESSOR)
    assert found.protocol.tolist() == ["fast", "standard"] * 2 and found.d.tolist() == [2, 2, 3, 3]
    assert (found.gap_kT / found.gap_mK).to_numpy() == pytest.approx(1 / 16.7)
    assert (found.gap_mK / found.gap_GHz).to_numpy() == pytest.approx(47.992, rel=1e-4)
    matched = 2 * np.pi * found.gap_GHz * found.ns_per_tau  # a gap times a time is as large as the paper's
    assert matched.to_numpy() == pytest.approx(found.paper_gap.to_numpy())


REFUSED = [
    (lambda t: closed_system.units(t.drop(columns="problem")), "columns d and problem"),
    (lambda t: closed_system.units(t, [0.0]), "taus must lie in"),
    (lambda t: closed_system.units(t, names=["2000Q"]), "unknown processor '2000Q'"),
    (lambda t: closed_system.units(t, driver="strong"), "unknown driver"),
    (lambda t: closed_system.closed_anneals(t, "2000Q"), "unknown processor '2000Q'"),
    (lambda t: closed_system.closed_anneals(t, times=[-1.0]), "times must lie in"),
    (lambda t: closed_system.closed_anneals(t, times=[]), "must not be empty"),
    (lambda t: closed_system.closed_anneals(t, ways=["slow"]), "unknown way 'slow': choose from fast, standard"),
    (lambda t: closed_system.closed_anneals(t, starts=["warm"]), "unknown start 'warm': choose from ground, uniform"),
    (lambda t: closed_system.closed_anneals(t.drop(columns="d")), "columns d and problem"),
    (lambda t: closed_system.closed_anneals(t, tolerance=0.0), "tolerance must be a number"),
    (lambda t: closed_system.real_gaps(t, PROCESSOR, protocols=["slow"]), "unknown protocol 'slow'"),
    (lambda t: closed_system.real_gap(t.problem.iloc[0].bqm(), PROCESSOR, tolerance_GHz=0), "tolerance_GHz must be"),
    (lambda t: closed_system.factor([1.0]), "must be a dimod.BinaryQuadraticModel"),
    (lambda t: closed_system.factor(t.problem.iloc[0].bqm(), "slow"), "unknown protocol 'slow'"),
    (lambda t: closed_system.unit_GHz(t.problem.iloc[0].bqm(), "2000Q"), "unknown processor"),
    (lambda t: closed_system.equivalent_ns(t.problem.iloc[0].bqm(), np.nan, PROCESSOR), "tau must be a number"),
    (lambda t: closed_system.equivalent_ns(t.problem.iloc[0].bqm(), 1, PROCESSOR, match="gap"), "unknown match 'gap'"),
    (lambda t: closed_system.start_overlap(np.zeros((2, 4)), FAST), "one problem"),
    (lambda t: closed_system.start_overlap([0.0, 1.0, 2.0], FAST), "one for each bit-string"),
    (lambda t: closed_system.anneal_from_ground([0.0, 1.0], -1.0, schedule=FAST), "annealing_time must be"),
    (lambda t: closed_system.anneal_from_ground([0.0, 1.0], 1.0, schedule="steep"), "unknown schedule"),
]


@pytest.mark.parametrize("call, why", REFUSED)
def test_bad_input_is_refused_by_name(call, why):
    with pytest.raises(ValueError, match=why):
        call(random_table([2]))


@pytest.mark.parametrize("d", [0, 15])
def test_gaps_of_no_or_of_many_variables_are_refused(d):
    bqm = dimod.BinaryQuadraticModel(dict.fromkeys(range(d), 1.0), {}, 0.0, "SPIN")
    with pytest.raises(ValueError, match="the number of variables must be a whole number from 1 to 14"):
        closed_system.real_gap(bqm, PROCESSOR)


def test_the_uniform_start_is_the_drivers():
    assert start_state(3, closed_system.DRIVER) == pytest.approx(np.full(8, 8**-0.5))


def test_of_no_instances_there_are_no_anneals():
    table = instances.of_images({3: problems(np.ones((1, 3, 1, 1)), [[1, 1, 2]])}, ["cat"])
    assert len(closed_system.closed_anneals(table[:0])) == 0
