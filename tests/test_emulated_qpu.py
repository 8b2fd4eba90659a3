"""The emulated annealer against enumeration, Ocean's own samplers and timing model, and what it must refuse."""

import warnings
from types import SimpleNamespace

import dimod
import numpy as np
import pytest

from qafs_utils.annealing.ising import ising_of
from qafs_utils.annealing.processors import call_times, find_processor
from qafs_utils.qubo import feature_selection
from qafs_utils.solvers import by_name, emulated_qpu, one_problem
from qafs_utils.solvers.emulated_qpu import EmulatedQPUSampler
from qafs_utils.solvers.qpu import HardwareError, QPUSampler

RNG = np.random.default_rng(6)
PROBLEM = feature_selection.problem(RNG.random((7, 4, 4)), RNG.random(7))
BQM = PROBLEM.bqm()
HARD = feature_selection.problem(RNG.random((16, 4, 4)), 1 + RNG.random(16) / 9).bqm()  # fields nearly alike
SMALL = "Advantage2_system4"
SAMPLER, IDEAL = EmulatedQPUSampler(SMALL), EmulatedQPUSampler(SMALL, errors=False)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("vartype", ["BINARY", "SPIN"])
def test_reads_hold_the_optimum_and_true_energies(vartype, fast):
    bqm = BQM.change_vartype(vartype, inplace=False)
    found = SAMPLER.sample(bqm, num_reads=200, seed=1, fast_anneal=fast)
    assert len(found) == 200 and list(found.variables) == list(bqm.variables) and found.vartype is bqm.vartype
    np.testing.assert_allclose(found.record.energy, bqm.energies(found), atol=1e-9)
    exact = dimod.ExactSolver().sample(bqm)
    assert found.first.energy == pytest.approx(exact.first.energy) and found.first.sample == exact.first.sample


@pytest.mark.parametrize("fast", [False, True])
def test_without_errors_reads_follow_the_boltzmann_distribution(fast):
    """That of the problem itself where chains hold; readout errors, of 0.1 % a qubit, are far below the noise."""
    reads, strings = 4000, np.array(list(np.ndindex(*[2] * 7)))
    found = IDEAL.sample(BQM, num_reads=reads, seed=2, fast_anneal=fast, chain_strength=3.0, sweeps=200)
    assert found.info["chain_break_fraction"] < 0.01
    energies = BQM.energies((strings, range(7))) / found.info["factor"]
    weights = np.exp(-found.info["beta"] * (energies - energies.min()))
    expected = weights / weights.sum()
    codes = found.record.sample @ 2 ** np.arange(6, -1, -1)
    drawn = np.bincount(codes, minlength=128) / reads
    assert abs(drawn - expected).sum() / 2 < 1.3 * np.sqrt(expected * (1 - expected) / reads).sum() / 2 + 0.01


def test_readout_errors_have_the_published_rate(monkeypatch):
    """Fields alone, as strong as can be: all qubits are up but for errors of the readout."""
    bqm = dimod.BQM({i: -1.0 for i in range(40)}, {(i, j): 1e-9 for j in range(40) for i in range(j)}, 0.0, "SPIN")
    monkeypatch.setattr(emulated_qpu, "sample", lambda model, beta, reads, **o: np.ones((reads, model.n), np.int8))
    found = IDEAL.sample(bqm, num_reads=5000, seed=3)
    lengths = [len(chain) for chain in found.info["embedding_context"]["embedding"].values()]
    p = find_processor(SMALL).readout_error
    broken = np.mean([1 - (1 - p) ** length for length in lengths])
    assert min(lengths) > 3 and found.info["chain_break_fraction"] == pytest.approx(broken, rel=0.05)
    assert (found.record.sample == 1).mean() > 1 - 1e-4  # two of four, or more, would have to err


def test_control_errors_are_drawn_in_every_call_and_cost_success():
    low, reads = dimod.ExactSolver().sample(HARD).first.energy, 400
    found = {}
    for sampler in (IDEAL, SAMPLER):
        draws = [sampler.sample(HARD, num_reads=reads, seed=k, chain_strength=1.0, sweeps=200) for k in range(8)]
        found[sampler] = np.array([(samples.record.energy < low + 1e-9).mean() for samples in draws])
    noise = {sampler: np.sqrt(p.mean() * (1 - p.mean()) / reads) for sampler, p in found.items()}
    assert found[IDEAL].std() < 2 * noise[IDEAL] and found[SAMPLER].std() > 2 * noise[SAMPLER]
    assert found[SAMPLER].mean() < found[IDEAL].mean() - 3 * noise[IDEAL]


def test_same_seed_same_reads():
    first, same, other = (SAMPLER.sample(HARD, num_reads=50, seed=seed, sweeps=50) for seed in (1, 1, 2))
    assert np.array_equal(first.record.sample, same.record.sample) and first.info == same.info
    assert not np.array_equal(first.record.sample, other.record.sample)


def test_times_are_those_of_d_waves_timing_model():
    solvers = pytest.importorskip("dwave.cloud.solver")
    for name, qubits, reads, time in ((SMALL, 27, 100, 20.0), ("Advantage2_system2", 1270, 1000, 0.5)):
        sampler = EmulatedQPUSampler(name)
        solver = SimpleNamespace(properties=sampler.properties)
        expected = solvers.StructuredSolver.estimate_qpu_access_time(
            solver, num_qubits=qubits, num_reads=reads, annealing_time=time
        )
        assert call_times(name, qubits, reads, time)["qpu_access_time"] == pytest.approx(expected)


def test_info_of_a_call():
    found = SAMPLER.sample(BQM, num_reads=10, annealing_time=50.0, seed=1, chain_strength=1.5, label="maps")
    context, times = found.info["embedding_context"], found.info["timing"]
    assert context["chain_strength"] == 1.5 and list(context["embedding"]) == list(BQM.variables)
    assert times["qpu_anneal_time_per_sample"] == 50.0 and found.info["problem_label"] == "maps"
    assert times == call_times(SMALL, sum(map(len, context["embedding"].values())), 10, 50.0)
    assert found.record.chain_break_fraction.mean() == pytest.approx(found.info["chain_break_fraction"])
    free = ising_of(BQM)
    scale = max(abs(free.h).max() / 4, abs(free.J).max())
    assert found.info["factor"] == pytest.approx(found.info["price"] * scale)


def test_properties_are_those_of_a_processor():
    testing = pytest.importorskip("dwave.system.testing")
    told, graph = SAMPLER.properties, SAMPLER.target_graph
    assert told["qpu_properties"]["num_qubits"] == 1248 and len(told["qubits"]) == 1202 == len(graph)
    assert (told["annealing_time_range"], told["fast_anneal_time_range"]) == ([0.5, 2000.0], [0.005, 20.0])
    mock = testing.MockDWaveSampler(
        nodelist=told["qubits"],
        edgelist=[tuple(edge) for edge in told["couplers"]],
        topology_type=told["topology"]["type"],
        topology_shape=told["topology"]["shape"],
    )
    assert len(mock.edgelist) == 10537
    shared = set(told) - {"qpu_properties"}
    assert shared <= set(mock.properties)  # no name of our own
    for name in ("h_range", "j_range", "extended_j_range", "num_reads_range", "default_annealing_time"):
        assert told[name] == mock.properties[name]
    for name in (SMALL, "Advantage_system6"):
        told = EmulatedQPUSampler(name).properties
        topology = {f"topology_{key}": value for key, value in told["topology"].items()}
        assert told["num_qubits"] == testing.MockDWaveSampler(**topology).properties["num_qubits"]


@pytest.fixture
def real(monkeypatch, tmp_path):
    """D-Wave's own clique sampler and qpu.QPUSampler, on Ocean's mock of a chip."""
    testing = pytest.importorskip("dwave.system.testing")
    from minorminer.busclique import busgraph_cache

    class QPU(testing.MockDWaveSampler):
        def __init__(self, **config):
            shape = {"topology_type": "zephyr", "topology_shape": [1, 4], "parameter_warnings": False}
            super().__init__(**shape, **config)

    monkeypatch.setattr(busgraph_cache, "cache_rootdir", staticmethod(lambda *version: str(tmp_path)))
    monkeypatch.setattr("dwave.system.samplers.clique.DWaveSampler", QPU)
    return QPUSampler()


OPTIONS = {"num_reads": 20, "annealing_time": 20.0, "fast_anneal": False, "chain_strength": 2.0, "label": "maps"}


def test_the_real_annealer_takes_the_same_calls(real):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        theirs, ours = (sampler.sample(BQM, **OPTIONS) for sampler in (real, SAMPLER))
    assert list(ours.variables) == list(theirs.variables) and ours.vartype is theirs.vartype
    assert "chain_break_fraction" in ours.record.dtype.names and "chain_break_fraction" in theirs.record.dtype.names
    assert ours.info["timing"].keys() <= theirs.info["timing"].keys()
    assert ours.info["problem_label"] == theirs.info["problem_label"]
    own = {"seed", "sweeps"}
    assert set(SAMPLER.parameters) - own - {"chain_strength"} <= set(real.child.parameters)
    for name in ("largest", "properties", "parameters", "close"):
        assert hasattr(real, name) and hasattr(SAMPLER, name)
    assert SAMPLER.largest_clique_size == SAMPLER.largest == 68 and real.child.largest_clique_size == real.largest


def test_by_name_like_any_solver():
    assert by_name.SOLVERS["emulated_qpu"] is EmulatedQPUSampler
    assert EmulatedQPUSampler().processor is find_processor("Advantage2_system2")
    options = {"num_reads": 200, "sweeps": 100, "seed": 1}
    found, infos = by_name.solve_all([PROBLEM], "emulated_qpu", **options)
    best, exact = by_name.solve_all([PROBLEM], "brute_force")
    assert np.array_equal(found, best) and infos[0]["energy"] == pytest.approx(exact[0]["energy"])
    bits, info = one_problem.select(PROBLEM, "emulated_qpu", num_reads=200, sweeps=100)
    assert np.array_equal(bits, best[0]) and info["solver"] == "emulated_qpu"


@pytest.mark.parametrize("processor", [None, "2000Q", "Pegasus P16"])
def test_unknown_processors_are_refused(processor):
    with pytest.raises(ValueError, match="processor"):
        EmulatedQPUSampler(processor)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"num_reads": 0}, "num_reads must be a whole number from 1 to 10000, got 0"),
        ({"num_reads": 10_001}, "num_reads"),
        ({"num_reads": "x"}, "num_reads"),
        (
            {"annealing_time": 0.1},
            r"annealing_time must be a number in \[0.5, 2000\], got 0.1, in us: fast_anneal=True",
        ),
        ({"annealing_time": 2001}, "annealing_time"),
        ({"annealing_time": 0.001, "fast_anneal": True}, r"in \[0.005, 20\], got 0.001"),
        ({"annealing_time": 21, "fast_anneal": True}, "got 21, in us: fast_anneal=False takes longer ones"),
        ({"fast_anneal": 1}, "fast_anneal must be True or False"),
        ({"chain_strength": 0}, "chain_strength must be"),
        ({"chain_strength": -2.0}, "chain_strength must be"),
        ({"sweeps": 0}, "sweeps"),
        ({"seed": -1}, "seed"),
        ({"bqm": None}, "model must be"),
        ({"bqm": dimod.BQM({0: np.nan}, {}, 0.0, "SPIN")}, "model"),
    ],
)
def test_calls_are_refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        SAMPLER.sample(**{"bqm": BQM, "num_reads": 2, "sweeps": 2} | change)


def test_what_does_not_fit_names_the_largest_that_does():
    bqm = dimod.generators.gnp_random_bqm(69, 1.0, "SPIN", random_state=0)
    with pytest.raises(HardwareError, match="69 variables, but the largest clique of Advantage2_system4 has 68"):
        SAMPLER.sample(bqm)
    bqm.remove_variable(0)
    assert len(SAMPLER.sample(bqm, num_reads=2, sweeps=5, seed=0)) == 2
    with pytest.raises(HardwareError, match="69 variables"):  # one more for the fields
        SAMPLER.sample(bqm, fast_anneal=True)


def test_unknown_options_warn_and_odd_settings_are_refused():
    with pytest.warns(dimod.exceptions.SamplerUnknownArgWarning, match="anneal_offsets"):
        SAMPLER.sample(BQM, sweeps=5, anneal_offsets=[0.1])
    for odd in ({"graph_seed": -1}, {"errors": "no"}):
        with pytest.raises(ValueError, match=next(iter(odd))):
            EmulatedQPUSampler(SMALL, **odd)
    with EmulatedQPUSampler(SMALL) as sampler:
        assert sampler.sample(dimod.BQM({}, {}, 2.0, "SPIN")).first.energy == 2.0


@pytest.mark.parametrize("arguments, name", [((SMALL, 0, 1, 1.0), "qubits"), ((SMALL, 1, 0, 1.0), "num_reads")])
def test_times_are_refused_by_name(arguments, name):
    with pytest.raises(ValueError, match=name):
        call_times(*arguments)
