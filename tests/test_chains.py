"""Working graphs, chains and thermal samples against dwave.embedding, enumeration and cases computed by hand."""

from itertools import combinations, product

import dimod
import networkx as nx
import numpy as np
import pytest

from qafs_utils.annealing.ising import Ising, ising_of, range_factor
from qafs_utils.annealing.processors import control_errors, find_processor
from qafs_utils.qubo import feature_selection
from qafs_utils.solvers import chains, processor_graphs, thermal
from qafs_utils.solvers.embeddings import graph
from qafs_utils.solvers.qpu import HardwareError

RNG = np.random.default_rng(5)
SMALL = "Advantage2_system4"
NONE = dict.fromkeys(["delta_h", "delta_J", "step_h", "step_J", "h_scale", "chi"], 0.0)
PROBLEM = ising_of(feature_selection.problem(RNG.random((9, 4, 4)), RNG.random(9)).bqm())
CHAINS, GRAPH = processor_graphs.clique(SMALL, 9), processor_graphs.processor_graph(SMALL)


def spin_strings(n):
    return np.array(list(product([-1, 1], repeat=n)))


def boltzmann(energies, beta):
    weights = np.exp(-beta * (energies - energies.min()))
    return weights / weights.sum()


def distance(samples, strings, expected):
    """Total variation between samples and a distribution over strings."""
    weights = 2 ** np.arange(strings.shape[1])
    codes = ((strings + 1) // 2) @ weights
    drawn = np.bincount(((samples + 1) // 2) @ weights, minlength=len(codes))[codes] / len(samples)
    return abs(drawn - expected).sum() / 2


@pytest.mark.parametrize("name", ["Advantage2_system4", "Advantage2_system2", "Advantage_system6", "Advantage_system4"])
def test_graphs_have_the_published_numbers(name):
    published, found = find_processor(name), processor_graphs.processor_graph(name, seed=2)
    assert (len(found), found.number_of_edges()) == (published.qubits, published.couplers)
    whole = graph(published.topology)
    assert set(found) <= set(whole) and all(whole.has_edge(*edge) for edge in found.edges)


def test_seeds_tell_graphs_apart_and_callers_get_copies():
    first, same, other = (processor_graphs.processor_graph(SMALL, seed=seed) for seed in (0, 0, 1))
    assert set(first) == set(same) != set(other)
    first.clear()
    assert len(processor_graphs.processor_graph(SMALL, seed=0)) == 1202


@pytest.mark.parametrize("d", [1, 5, 40, 68])
def test_cliques_use_what_works(d):
    found = processor_graphs.clique(SMALL, d)
    assert sorted(found) == list(range(d))
    assert len(set().union(*found.values())) == sum(map(len, found.values()))
    assert all(set(chain) <= set(GRAPH) and nx.is_connected(GRAPH.subgraph(chain)) for chain in found.values())
    near = [set().union(*(GRAPH[q] for q in chain)) for chain in found.values()]
    assert all(near[p] & set(found[q]) for p, q in combinations(range(d), 2))


def test_what_does_not_fit_names_the_largest_that_does():
    assert processor_graphs.largest(SMALL) == 68
    with pytest.raises(HardwareError, match="69 variables, but the largest clique of Advantage2_system4 has 68: fix"):
        processor_graphs.clique(SMALL, 69)


@pytest.mark.parametrize("change", [{"qubits": 1300}, {"couplers": 12_000}])
def test_numbers_that_do_not_fit_the_graph_are_refused(change):
    import dataclasses

    with pytest.raises(ValueError, match="do not fit Zephyr Z6, of 1248"):
        processor_graphs.processor_graph(dataclasses.replace(find_processor(SMALL), **change))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: processor_graphs.processor_graph("2000Q"), "unknown processor"),
        (lambda: processor_graphs.largest(SMALL, seed=-1), "seed"),
        (lambda: processor_graphs.clique(SMALL, 0), "d must be"),
        (lambda: processor_graphs.clique_spread(["x"], [0]), "unknown processor"),
    ],
)
def test_graphs_refuse_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("strength", [0.3, 1.0, 5.0])
def test_an_embedded_problem_is_that_of_dwave_embedding(strength):
    embedding = pytest.importorskip("dwave.embedding")
    ours = chains.embedded(PROBLEM, CHAINS, GRAPH, strength)
    theirs = embedding.embed_bqm(PROBLEM.bqm(), CHAINS, GRAPH, chain_strength=strength)
    theirs.scale(1 / ours.factor)
    assert ours.bqm().is_almost_equal(theirs, places=9)
    linear, quadratic = np.array(list(theirs.linear.values())), np.array(list(theirs.quadratic.values()))
    assert max(abs(linear).max() / 4, quadratic.max(), -quadratic.min() / 2) == pytest.approx(1)  # one range is full


def test_intact_chains_have_the_energies_of_the_problem():
    model, strings = chains.embedded(PROBLEM, CHAINS, GRAPH, 1.0), spin_strings(9)
    expected = PROBLEM.bqm().energies((strings, range(9))) / model.factor
    np.testing.assert_allclose(model.energies(strings[:, model.chain]), expected, atol=1e-9)


def test_the_price_of_a_chain_strength():
    """Up to twice the strongest coupling on a coupler it is nothing; from there on it grows in proportion."""
    fields_gone = PROBLEM._replace(h=np.zeros(9))
    model = chains.embedded(fields_gone, CHAINS, GRAPH, 1e-9)
    free = 2 * model.factor  # |J| = 1 on the strongest coupler
    prices = [chains.embedded(fields_gone, CHAINS, GRAPH, free * x).price for x in (0.1, 1.0, 2.0, 5.0)]
    np.testing.assert_allclose(np.array(prices) / model.price, [1, 1, 2, 5])
    assert model.price * range_factor(fields_gone) == pytest.approx(model.factor)


def test_torque_strength_is_oceans():
    strengths = pytest.importorskip("dwave.embedding.chain_strength")
    expected = strengths.uniform_torque_compensation(PROBLEM.bqm())
    assert chains.torque_strength(PROBLEM) == pytest.approx(expected)
    assert chains.torque_strength(Ising(np.ones(2), np.zeros((2, 2)), 0.0)) == 1
    with pytest.raises(ValueError, match="prefactor"):
        chains.torque_strength(PROBLEM, 0)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"chain_strength": 0}, "chain_strength must be"),
        ({"chain_strength": -1.0}, "chain_strength must be"),
        ({"chain_strength": np.nan}, "chain_strength must be"),
        ({"embedding": {0: (0,), 1: (1,)}}, "each of the 3 variables"),
        ({"embedding": {0: (0,), 1: (1,), 2: ()}}, "each of the 3 variables"),
        ({"embedding": {0: (0,), 1: (1,), 2: (1,)}}, "in one chain"),
        ({"embedding": {0: (0,), 1: (1,), 2: (9,)}}, "qubits of the graph"),
        ({"embedding": {0: (0,), 1: (1, 3), 2: (2,)}}, "chain of variable 1 is not connected"),
        ({"embedding": {0: (0,), 1: (1,), 2: (2,)}}, r"no coupler joins the variables \[0, 2\]"),
    ],
)
def test_embedded_refuses_by_name(change, message):
    triangle = Ising(np.zeros(3), np.triu(np.ones((3, 3)), 1), 0.0)
    arguments = {"embedding": {0: (0,), 1: (1,), 2: (2, 3)}, "graph": nx.path_graph(4), "chain_strength": 1.0}
    with pytest.raises(ValueError, match=message):
        chains.embedded(triangle, **arguments | change)


def test_majority_votes_are_those_of_dwave_embedding():
    embedding = pytest.importorskip("dwave.embedding")
    lengths = [3, 1, 5, 2, 4]
    chain = np.repeat(range(5), lengths)
    members = [np.flatnonzero(chain == p) for p in range(5)]
    spins = RNG.choice([-1, 1], (400, len(chain))).astype(np.int8)
    ours, broken = chains.unembed(spins, chain)
    theirs, _ = embedding.majority_vote(spins, members)
    tie = np.stack([spins[:, m].sum(1) == 0 for m in members], axis=1)
    assert (ours[~tie] == theirs[~tie]).all()
    assert np.array_equal(broken, embedding.broken_chains(spins, members))
    assert tie.sum() > 200 and abs(ours[tie].mean()) < 0.25  # by lot
    assert np.array_equal(chains.unembed(spins, chain, 3)[0], chains.unembed(spins, chain, 3)[0])
    assert not np.array_equal(chains.unembed(spins, chain, 3)[0], chains.unembed(spins, chain, 4)[0])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([[0, 1]], [0, 0]), "spins must be -1 or 1"),
        (([1, 1], [0, 0]), "spins must be"),
        (([[1, 1]], [0]), "chain must be"),
        (([[1, 1]], [1, 1]), "qubits for every variable"),
        (([[1, 1]], [0, 0], -1), "rng"),
    ],
)
def test_unembed_refuses_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        chains.unembed(*arguments)


def test_no_errors_change_nothing():
    model = chains.embedded(PROBLEM, CHAINS, GRAPH, 1.0)
    assert chains.with_errors(model, NONE, 0).bqm().is_almost_equal(model.bqm())


def test_susceptibility_of_three_qubits_by_hand():
    """The example of D-Wave's documentation: h leaks by chi J, and the ends of a path are coupled by chi J12 J23."""
    h, J12, J23, chi = np.array([1.0, -2.0, 0.5]), 0.8, -0.6, -0.04
    J = np.array([[0, J12, 0], [0, 0, J23], [0, 0, 0]])
    model = chains.embedded(Ising(h, J, 0.0), {0: (0,), 1: (1,), 2: (2,)}, nx.path_graph(3), 1.0)
    f = model.factor
    found = chains.with_errors(model, NONE | {"chi": chi}, 0).bqm()
    leaked = [h[1] * J12, h[0] * J12 + h[2] * J23, h[1] * J23]
    np.testing.assert_allclose([found.linear[i] for i in range(3)], h / f + chi * np.array(leaked) / f**2)
    pairs = {(0, 1): J12 / f, (1, 2): J23 / f, (0, 2): chi * J12 * J23 / f**2}
    assert all(found.quadratic[pair] == pytest.approx(value) for pair, value in pairs.items())


def test_random_errors_have_the_published_size():
    model, late = chains.embedded(PROBLEM, processor_graphs.clique(SMALL, 9), GRAPH, 1.0), control_errors(1.0)
    draws = [chains.with_errors(model, NONE | {"delta_h": 0.02, "delta_J": 0.01}, seed) for seed in range(200)]
    assert np.std([found.h - model.h for found in draws]) == pytest.approx(0.02, rel=0.05)
    assert np.std([found.J - model.J for found in draws]) == pytest.approx(0.01, rel=0.05)
    steps = chains.with_errors(model, NONE | {"step_h": 0.5, "step_J": 0.25}, 0)
    assert np.array_equal(steps.h % 0.5, np.zeros(model.n)) and np.array_equal(steps.J % 0.25, np.zeros(len(model.J)))
    assert abs(steps.h - model.h).max() <= 0.25
    scaled = [chains.with_errors(model, NONE | {"h_scale": 0.01}, seed).h / model.h - 1 for seed in range(200)]
    assert np.std(scaled) == pytest.approx(0.01, rel=0.05)
    assert not np.array_equal(chains.with_errors(model, late, 1).h, chains.with_errors(model, late, 2).h)
    assert np.array_equal(chains.with_errors(model, late, 1).h, chains.with_errors(model, late, 1).h)


@pytest.mark.parametrize(
    "errors, message", [({}, "errors must be"), (NONE | {"x": 1}, "x"), (NONE | {"delta_h": -1}, "delta_h")]
)
def test_errors_are_refused_by_name(errors, message):
    with pytest.raises(ValueError, match=message):
        chains.with_errors(chains.embedded(PROBLEM, CHAINS, GRAPH, 1.0), errors, 0)


@pytest.mark.parametrize("by_chain", [False, True])
@pytest.mark.parametrize("beta, strength", [(0.3, 1.0), (1.0, 0.4), (2.0, 1.0)])
def test_samples_follow_the_boltzmann_distribution(by_chain, beta, strength):
    """All 2^7 strings of three variables on chains of 3, 2 and 2 qubits."""
    square = nx.cycle_graph(7)
    problem = Ising(np.array([0.5, -0.3, 0.2]), np.array([[0, 0.6, 0.5], [0, 0, 0.7], [0, 0, 0]]), 0.0)
    model = chains.embedded(problem, {0: (0, 1, 2), 1: (3, 4), 2: (5, 6)}, square, strength)
    strings = spin_strings(7)
    expected = boltzmann(model.energies(strings), beta)
    reads = 20_000
    found = thermal.sample(model, beta, reads, sweeps=60, seed=1, by_chain=by_chain)
    noise = np.sqrt(expected * (1 - expected) / reads).sum() / 2  # more than the mean of the distance
    assert distance(found, strings, expected) < 1.3 * noise
    assert distance(found, strings, boltzmann(model.energies(strings), 1.3 * beta)) > 3 * noise  # tells betas apart


def test_strong_chains_need_moves_of_chains():
    """Two long chains whose ground state is found by chance without such moves: every read keeps its early choice."""
    path = nx.path_graph(12)
    problem = Ising(np.array([0.9, 0.8]), np.array([[0, 1.0], [0, 0]]), 0.0)
    model = chains.embedded(problem, {0: range(6), 1: range(6, 12)}, path, 30.0)
    logical = spin_strings(2)
    exact = boltzmann(problem.bqm().energies((logical, range(2))) / model.factor, 20.0)
    found = {}
    for by_chain in (False, True):
        spins = thermal.sample(model, 20.0, 2000, sweeps=60, seed=2, by_chain=by_chain)
        found[by_chain] = distance(chains.unembed(spins, model.chain)[0], logical, exact)
    assert found[True] < 0.03 < 0.1 < found[False]


def test_same_seed_same_samples():
    model = chains.embedded(PROBLEM, CHAINS, GRAPH, 1.0)
    first, same, other = (thermal.sample(model, 1.0, 20, sweeps=20, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, same) and not np.array_equal(first, other)
    empty = chains.embedded(Ising(np.zeros(0), np.zeros((0, 0)), 0.0), {}, GRAPH, 1.0)
    assert thermal.sample(empty, 1.0, 3).shape == (3, 0)


@pytest.mark.parametrize("change", [{"beta": 0}, {"reads": 0}, {"sweeps": 0}, {"seed": -1}, {"by_chain": 1}], ids=str)
def test_samples_are_refused_by_name(change):
    arguments = {"beta": 1.0, "reads": 1, "sweeps": 1}
    with pytest.raises(ValueError, match=next(iter(change))):
        thermal.sample(chains.embedded(PROBLEM, CHAINS, GRAPH, 1.0), **arguments | change)


@pytest.mark.parametrize("hits, reads", [(0, 10), (3, 10), (10, 10), (50, 1000)])
def test_wilson_interval_is_scipys(hits, reads):
    from scipy.stats import binomtest

    expected = binomtest(hits, reads).proportion_ci(method="wilson")
    np.testing.assert_allclose(thermal.wilson_interval(hits, reads), (expected.low, expected.high), atol=1e-4)
    with pytest.raises(ValueError, match="hits"):
        thermal.wilson_interval(reads + 1, reads)


def test_success_of_a_table_is_that_of_the_boltzmann_distribution():
    bqm = feature_selection.problem(RNG.random((6, 4, 4)), RNG.random(6)).bqm()
    problem, strings = ising_of(bqm), spin_strings(6)
    table = thermal.embedded_success([bqm], SMALL, [4.0, 40.0], reads=2000, sweeps=200)
    energies = problem.bqm().energies((strings, range(6)))
    assert table.proven.all() and table.equilibrated.all() and (table.chain_breaks < 0.01).all()
    for row in table.itertuples():  # chains this strong do not break: the problem's own distribution
        p = boltzmann(energies / row.factor, row.beta)[energies.argmin()]
        assert abs(row.success - p) < 4 * np.sqrt(p * (1 - p) / row.reads) + 1e-3
    assert table.success.is_monotonic_decreasing and table.price[1] == pytest.approx(10 * table.price[0])


def test_too_few_sweeps_are_not_called_equilibrium():
    bqm = dimod.generators.gnp_random_bqm(40, 1.0, "SPIN", random_state=1)
    table = thermal.embedded_success([bqm], SMALL, [8.0], reads=100, sweeps=8, time_limit=0.5)
    assert not table.equilibrated[0]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"processor": "x"}, "unknown processor"),
        ({"chain_strengths": [0]}, "chain_strengths"),
        ({"reads": 0}, "reads"),
        ({"sweeps": 3}, "sweeps"),
        ({"protocol": "slow"}, "protocol"),
        ({"models": [dimod.BQM({}, {}, 0.0, "SPIN")]}, "number of variables"),
        ({"models": [3]}, "model must be"),
        ({"graph_seeds": [-1]}, "graph_seeds"),
        ({"errors": {}}, "errors"),
    ],
)
def test_tables_refuse_by_name(change, message):
    arguments = {"models": [PROBLEM.bqm()], "processor": SMALL, "chain_strengths": [2.0], "reads": 2, "sweeps": 4}
    with pytest.raises(ValueError, match=message):
        thermal.embedded_success(**arguments | change)
