"""Facts of the annealers, their schedules and the ranges: against constants, documents, dimod and enumeration."""

import dimod
import numpy as np
import pandas as pd
import pytest
from scipy import constants

from qafs_utils.annealing import ising, processors, schedules, spectrum
from qafs_utils.artefacts.files import ArtefactError
from qafs_utils.qubo.binary import bits, energies
from qafs_utils.solvers import embeddings

NAMES = list(processors.processors())
BOTH = [(name, protocol) for name in NAMES for protocol in processors.PROTOCOLS]


def random_model(d, seed, vartype="BINARY"):
    rng = np.random.default_rng(seed)
    couplings = {(i, j): rng.normal() for i in range(d) for j in range(i)}
    return dimod.BinaryQuadraticModel(dict(enumerate(rng.normal(size=d))), couplings, rng.normal(), vartype)


def by_dimod(bqm, d, vartype):
    """Energies of all strings as dimod computes them, bit p of an index the value of variable p."""
    samples = bits(range(2**d), d).astype(int)
    samples = 2 * samples - 1 if vartype == "SPIN" else samples
    return bqm.energies((samples, list(bqm.variables)))


def test_a_millikelvin_in_gigahertz():
    assert processors.GHZ_PER_MK == pytest.approx(constants.k / constants.h * 1e-3 / 1e9, rel=1e-5)
    found = processors.find_processor("Advantage_system6")
    assert found.thermal_GHz == pytest.approx(16.0 * 1e-3 * constants.k / constants.h / 1e9, rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_processor_fits_its_graph(name):
    found = processors.find_processor(name)
    graph = embeddings.graph(found.topology)
    assert 0.9 * len(graph) < found.qubits < len(graph)
    assert 0.8 * graph.number_of_edges() < found.couplers < graph.number_of_edges()
    assert 10 < found.temperature_mK < 25 and 0 < found.freezeout < 1 and found.readout_us[0] < found.readout_us[1]
    assert processors.find_processor(found) is found


@pytest.mark.parametrize("name, protocol", BOTH)
def test_a_schedule_turns_the_driver_off_and_the_problem_on(name, protocol):
    table = processors.find_processor(name).weights(protocol)
    assert len(table) >= 1000 and list(table) == ["s", "A_GHz", "B_GHz"]
    assert (np.diff(table.A_GHz) <= 1e-9).all() and (np.diff(table.B_GHz) >= -1e-9).all()
    assert table.A_GHz.iloc[0] > 15 * table.B_GHz.iloc[0] > 0  # the problem is never off
    assert table.B_GHz.iloc[-1] > 1e4 * table.A_GHz.iloc[-1]


@pytest.mark.parametrize("name", NAMES)
def test_both_protocols_pass_through_the_same_weights(name):
    """They differ in how the flux moves: B over A must be the same curve, and so must its ends."""
    fast, standard = (processors.find_processor(name).weights(protocol) for protocol in processors.PROTOCOLS)
    assert fast.iloc[0, 1:].tolist() == pytest.approx(standard.iloc[0, 1:].tolist(), rel=1e-3)
    assert fast.B_GHz.iloc[-1] == pytest.approx(standard.B_GHz.iloc[-1], rel=1e-2)
    A = np.linspace(1, 9, 17)
    at = [np.interp(A, table.A_GHz[::-1], table.B_GHz[::-1]) for table in (fast, standard)]
    assert at[0] == pytest.approx(at[1], rel=1e-2)


@pytest.mark.parametrize("name, protocol", BOTH)
def test_a_schedule_in_radians_a_nanosecond_goes_through_its_table(name, protocol):
    table, schedule = processors.find_processor(name).weights(protocol), schedules.of_processor(name, protocol)
    assert schedule.A(table.s.to_numpy()) / np.pi == pytest.approx(table.A_GHz.to_numpy(), abs=1e-12)
    assert schedule.B(table.s.to_numpy()) / np.pi == pytest.approx(table.B_GHz.to_numpy(), abs=1e-12)
    assert schedule.name == f"{name} {protocol}"


@pytest.mark.parametrize("s", [0.0, 0.3, 1.0])
def test_the_gap_of_a_qubit_in_gigahertz(s):
    """h = 1: sqrt(A^2 + B^2), the way in which the documents define A and B."""
    table = processors.find_processor("Advantage2_system4").weights()
    A, B = (np.interp(s, table.s, table[column]) for column in ("A_GHz", "B_GHz"))
    E = ising.Ising(np.array([1.0]), np.zeros((1, 1)), 0.0).energies()
    low, high = spectrum.levels(E, s, driver="uniform", schedule=schedules.of_processor("Advantage2_system4"))[0]
    assert (high - low) / (2 * np.pi) == pytest.approx(np.hypot(A, B), rel=1e-4)


def test_freezeout_in_units_of_the_temperature():
    found = processors.find_processor("Advantage_system4")
    table = found.weights("standard")
    near = table.iloc[(table.s - found.freezeout).abs().argmin()]
    kT = constants.k * found.temperature_mK * 1e-3
    assert found.at_freezeout() == pytest.approx(constants.h * near.B_GHz * 1e9 / 2 / kT, rel=2e-3)


BROKEN = [
    ("s,A_GHz\n0,1\n1,0\n", "is no schedule"),
    ("s,A_GHz,B_GHz\n0,1,0\n1,zero,1\n", "is no schedule"),
    ("s,A_GHz,B_GHz\n0,1,0\n0.5,,0\n1,0,1\n", "NaN or a negative weight in row 2"),
    ("s,A_GHz,B_GHz\n0,1,0\n1,0,-1\n", "NaN or a negative weight in row 2"),
    ("s,A_GHz,B_GHz\n0,1,0\n", "does not rise from 0 to 1"),
    ("s,A_GHz,B_GHz\n0,1,0\n0.5,1,0\n0.5,1,0\n1,0,1\n", "does not rise from 0 to 1"),
    ("s,A_GHz,B_GHz\n0.1,1,0\n1,0,1\n", "does not rise from 0 to 1"),
]


@pytest.mark.parametrize("text, why", BROKEN)
def test_a_damaged_schedule_is_refused_with_the_remedy(tmp_path, text, why):
    (tmp_path / "damaged.csv").write_text(text)
    with pytest.raises(ArtefactError, match=f"damaged.csv.*{why}.*: git checkout data/annealers"):
        processors.read_schedule(tmp_path / "damaged.csv")


def test_a_schedule_is_read_as_written(tmp_path):
    (tmp_path / "good.csv").write_text("c,s,A_GHz,B_GHz\n9,0,2,0.5\n9,1,0,4\n")
    assert processors.read_schedule(tmp_path / "good.csv").values.tolist() == [[0, 2, 0.5], [1, 0, 4]]


@pytest.mark.parametrize(
    "protocol, ns, allowed",
    [("fast", 5, True), ("fast", 20_000, True), ("fast", 4.9, False), ("fast", 20_001, False)]
    + [("standard", 500, True), ("standard", 499, False), ("standard", 2e6, True), ("standard", 2.1e6, False)],
)
def test_times_that_a_protocol_allows(protocol, ns, allowed):
    if allowed:
        assert processors.anneal_time(protocol, ns) == ns
        return
    with pytest.raises(ValueError, match=f"{protocol} protocol anneals in .*: for .* there is the (fast|standard) one"):
        processors.anneal_time(protocol, ns)


def test_unknown_names_are_refused():
    found = processors.find_processor(NAMES[0])
    for wrong in ("annealing", None):
        with pytest.raises(ValueError, match="unknown protocol .*: choose from fast, standard"):
            found.weights(wrong)
        with pytest.raises(ValueError, match="unknown protocol .*: choose from fast, standard"):
            processors.anneal_time(wrong, 5.0)
        with pytest.raises(ValueError, match="unknown protocol .*: choose from standard, fast"):
            ising.as_taken(random_model(2, 0), wrong)
        with pytest.raises(ValueError, match="unknown processor .*: choose from Advantage2_system1"):
            schedules.of_processor(wrong)
    for wrong in ("5", np.nan, None, True):
        with pytest.raises(ValueError, match="the anneal in ns must be a finite number"):
            processors.anneal_time("fast", wrong)


def test_control_errors_between_early_and_late():
    table = pd.read_csv(processors.FOLDER / "control_errors.csv").set_index("error")
    early, half, late = (processors.control_errors(when) for when in (0.0, 0.5, 1.0))
    assert early == table.early.to_dict() and late == table.late.to_dict()
    assert half == pytest.approx(((table.early + table.late) / 2).to_dict())
    for wrong in (-0.1, 1.1, "late"):
        with pytest.raises(ValueError, match=r"when must be a number in \[0, 1\]"):
            processors.control_errors(wrong)


@pytest.mark.parametrize("vartype", ["BINARY", "SPIN"])
@pytest.mark.parametrize("d, seed", [(1, 0), (3, 1), (6, 2)])
def test_spins_have_the_energies_of_the_model(d, seed, vartype):
    bqm = random_model(d, seed, vartype)
    problem = ising.ising_of(bqm)
    assert problem.d == d and np.array_equal(problem.J, np.triu(problem.J, 1))
    assert problem.energies() == pytest.approx(by_dimod(bqm, d, vartype), abs=1e-12)
    reference = bqm.change_vartype("SPIN", inplace=False)
    assert problem.h == pytest.approx([reference.linear[v] for v in bqm.variables], abs=1e-12)
    assert problem.offset == pytest.approx(reference.offset, abs=1e-12)
    assert by_dimod(problem.bqm(), d, "SPIN") == pytest.approx(problem.energies(), abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_scaling_is_that_of_dimod(seed):
    bqm = random_model(5, seed, "SPIN")
    if seed > 1:
        bqm.scale(0.01 if seed == 2 else 100)
    reference = bqm.copy()
    scale = reference.normalize([-ising.H_RANGE, ising.H_RANGE], [-ising.J_RANGE, ising.J_RANGE])
    problem = ising.ising_of(bqm)
    assert ising.range_factor(problem) == pytest.approx(1 / scale)
    scaled = ising.auto_scaled(problem)
    assert scaled.energies() == pytest.approx(by_dimod(reference, 5, "SPIN"))
    assert max(abs(scaled.h).max() / 4, abs(scaled.J).max()) == pytest.approx(1.0)


def test_a_problem_that_asks_nothing_stays_as_it_is():
    nothing = ising.Ising(np.zeros(2), np.zeros((2, 2)), 3.0)
    assert ising.range_factor(nothing) == 1.0 and ising.auto_scaled(nothing).offset == 3.0
    assert ising.range_factor(ising.Ising(np.zeros(0), np.zeros((0, 0)), 3.0)) == 1.0


@pytest.mark.parametrize("d, seed", [(1, 0), (4, 1), (5, 2)])
def test_the_ancilla_doubles_every_energy(d, seed):
    problem = ising.ising_of(random_model(d, seed))
    doubled = ising.fields_on_ancilla(problem)
    assert doubled.d == d + 1 and not doubled.h.any()
    E = doubled.energies()
    assert E[2**d :] == pytest.approx(problem.energies())  # the ancilla is +1: as it is
    assert E == pytest.approx(E[::-1])  # all spins turned


@pytest.mark.parametrize("seed", range(3))
def test_what_is_annealed_has_the_ground_states_of_the_model(seed):
    bqm = random_model(5, seed)
    E = energies(bqm)
    standard, fast = (ising.as_taken(bqm, protocol) for protocol in ("standard", "fast"))
    assert np.argsort(standard.energies()).tolist() == np.argsort(E).tolist()
    lowest = np.flatnonzero(np.isclose(fast.energies(), fast.energies().min()))
    assert lowest.tolist() == sorted([2**5 + E.argmin(), 2**5 - 1 - E.argmin()])
    assert abs(standard.h).max() <= 4 and abs(standard.J).max() <= 1 + 1e-12 and abs(fast.J).max() <= 1 + 1e-12


def test_what_is_no_model_is_refused():
    with pytest.raises(ValueError, match="must be a dimod.BinaryQuadraticModel, got list"):
        ising.ising_of([1.0])
    with pytest.raises(ValueError, match="scale it down"):
        ising.as_taken(dimod.BinaryQuadraticModel({"a": 1e308, "b": 1e308}, {}, 0.0, "SPIN"))
