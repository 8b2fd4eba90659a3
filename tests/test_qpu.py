"""D-Wave's solvers by Ocean's mocks, their errors without package, access or room; and embeddings checked by hand."""

import sys
import warnings
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import combinations
from threading import Thread

import dimod
import networkx as nx
import numpy as np
import pytest
from minorminer.busclique import busgraph_cache

from qafs_utils.qubo import feature_selection
from qafs_utils.solvers import by_name
from qafs_utils.solvers.embeddings import (
    TOPOLOGIES,
    _cached_cliques,
    clique_demand,
    clique_embedding,
    graph,
    largest_clique,
)
from qafs_utils.solvers.qpu import HardwareError, HybridSampler, QPUSampler

RNG = np.random.default_rng(3)
PROBLEM = feature_selection.problem(RNG.random((6, 5, 5)), RNG.random(6))
SAMPLERS = [QPUSampler, HybridSampler]


@pytest.fixture
def ocean(monkeypatch, tmp_path):
    """Ocean's package, without the machine's own configuration and cache of embeddings."""
    system = pytest.importorskip("dwave.system")
    (tmp_path / "dwave.conf").touch()
    for name in ("PROFILE", "API_ENDPOINT", "API_REGION", "API_SOLVER", "API_CLIENT", "API_TOKEN"):
        monkeypatch.delenv(f"DWAVE_{name}", raising=False)
    monkeypatch.setenv("DWAVE_CONFIG_FILE", str(tmp_path / "dwave.conf"))
    monkeypatch.setattr(busgraph_cache, "cache_rootdir", staticmethod(lambda *version: str(tmp_path)))
    return system


@pytest.fixture
def mocks(ocean, monkeypatch):
    """A QPU of Zephyr Z1 and Leap's hybrid solver, as Ocean mocks them."""
    from dwave.system import testing

    class QPU(testing.MockDWaveSampler):
        def __init__(self, **config):
            super().__init__(topology_type="zephyr", topology_shape=[1, 4], parameter_warnings=False, **config)

    class Client:
        def from_config(**config):
            return Client()

        def get_solver(self):
            return testing.MockLeapHybridSolver()

    monkeypatch.setattr("dwave.system.samplers.clique.DWaveSampler", QPU)
    monkeypatch.setattr("dwave.system.samplers.leap_hybrid_sampler.Client", Client)


@pytest.mark.parametrize(
    "sampler, beta, options",
    [
        (QPUSampler, 0.5, {"num_reads": 20}),
        (HybridSampler, 0.9, {"time_limit": 1}),
    ],
)
def test_mocks_return_the_ground_state(mocks, sampler, beta, options):
    bqm = PROBLEM.bqm(beta)  # at 0.9 with a single local minimum: the mock of the hybrid solver descends once
    exact = dimod.ExactSolver().sample(bqm)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = sampler().sample(bqm, **options)
    assert list(found.variables) == list(bqm.variables) and found.vartype is bqm.vartype
    assert found.first.energy == pytest.approx(exact.first.energy)
    assert found.first.sample == exact.first.sample


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_seed_is_ignored_with_a_warning(mocks, sampler):
    with pytest.warns(dimod.exceptions.SamplerUnknownArgWarning, match="not reproducible"):
        found = sampler().sample(PROBLEM.bqm(), seed=1)
    assert list(found.variables) == list(range(6))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_solvers_by_name(mocks, monkeypatch, sampler):
    monkeypatch.setitem(by_name.SOLVERS, f"mock of {sampler.name}", sampler)
    found, infos = by_name.solve_all([PROBLEM, PROBLEM], f"mock of {sampler.name}", beta=0.9, seed=1)
    best, exact = by_name.solve_all([PROBLEM, PROBLEM], "brute_force", beta=0.9)
    assert np.array_equal(found, best)
    np.testing.assert_allclose([i["energy"] for i in infos], [i["energy"] for i in exact])


def test_problems_beyond_the_largest_clique_are_not_submitted(mocks, monkeypatch):
    qpu = QPUSampler()
    assert qpu.largest == 8  # 16 m - 8
    qpu.sample(dimod.generators.gnp_random_bqm(8, 1, "BINARY", random_state=0))
    monkeypatch.setattr(qpu.child, "sample", lambda *given, **options: pytest.fail("submitted"))
    with pytest.raises(HardwareError, match="9 variables, .* has 8: fix variables .* leap_hybrid"):
        qpu.sample(dimod.generators.gnp_random_bqm(9, 1, "BINARY", random_state=0))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_missing_package(monkeypatch, sampler):
    monkeypatch.setitem(sys.modules, "dwave.system", None)
    with pytest.raises(HardwareError, match="pip install dwave-system"):
        sampler()


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(
    "variable, value, cause",
    [
        ("API_TOKEN", "", "API token not defined"),
        ("PROFILE", "none", "profile 'none' not found"),
        ("CONFIG_FILE", "none.conf", "Failed to read 'none.conf'"),
        ("CONFIG_FILE", __file__, "Failed to parse"),
    ],
)
def test_missing_configuration(ocean, monkeypatch, sampler, variable, value, cause):
    monkeypatch.setenv(f"DWAVE_{variable}", value)
    with pytest.raises(HardwareError, match=f"{cause}.*: run `dwave config create`"):
        sampler()


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(
    "status, message",
    [
        (401, "Invalid token.* run `dwave config create`"),
        (200, "give no solver .*`dwave solvers --list`"),
        (500, "does not answer .*`dwave ping`"),
    ],
)
def test_access_refused(ocean, monkeypatch, sampler, status, message):
    class Service(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Type", "application/vnd.dwave.sapi.solver-definition-list+json; version=3.0")
            self.end_headers()
            self.wfile.write(b"[]")  # no solver

        def log_message(self, *line):
            pass

    with HTTPServer(("127.0.0.1", 0), Service) as service:
        Thread(target=service.serve_forever, daemon=True).start()
        monkeypatch.setenv("DWAVE_API_ENDPOINT", f"http://127.0.0.1:{service.server_port}")
        monkeypatch.setenv("DWAVE_API_TOKEN", "token")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with pytest.raises(HardwareError, match=message):
            sampler()
        service.shutdown()


@pytest.mark.parametrize(
    "topology, d, missing",
    [
        ("Pegasus P16", 180, 0),
        ("Pegasus P16", 33, 0),
        ("Zephyr Z12", 184, 0),
        ("Zephyr Z12", 9, 0),
        ("Pegasus P16", 100, 0.01),
        ("Zephyr Z12", 100, 0.043),
    ],
)
def test_embeddings_are_cliques_of_disjoint_connected_chains(topology, d, missing):
    chains, qubits = clique_embedding(topology, d, missing=missing), graph(topology, missing=missing)
    assert list(chains) == list(range(d))
    assert len(set().union(*chains.values())) == sum(len(chain) for chain in chains.values())
    assert all(set(chain) <= set(qubits) and nx.is_connected(qubits.subgraph(chain)) for chain in chains.values())
    neighbours = [set().union(*(qubits[q] for q in chain)) for chain in chains.values()]
    assert all(neighbours[p] & set(chains[q]) for p, q in combinations(range(d), 2))


@pytest.mark.parametrize(
    "topology, qubits, largest, used, longest",
    [
        ("Pegasus P16", 24 * 16 * 15 - 8 * 15, 12 * 15, 60 * 16 + 120 * 17, 17),
        ("Zephyr Z12", 4 * 4 * 12 * 25, 16 * 12 - 8, 184 * 13, 13),
    ],
)
def test_largest_cliques_in_closed_form(topology, qubits, largest, used, longest):
    assert len(graph(topology)) == qubits
    assert largest_clique(topology) == largest
    table = clique_demand(topology, [largest, largest + 1])
    assert table.iloc[0].tolist() == [topology, largest, used, longest, True]
    assert not table.fits[1] and table.loc[1, ["qubits", "chain_length"]].isna().all()


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_demand_grows_with_the_problem(topology):
    table = clique_demand(topology, range(1, largest_clique(topology) + 1))
    assert table.fits.all() and (table.qubits.diff()[1:] > 0).all() and (table.chain_length.diff()[1:] >= 0).all()
    assert table.qubits.iloc[0] == 1 and (table.qubits <= table.d * table.chain_length).all()


def test_missing_qubits_shrink_the_largest_clique():
    sizes = [largest_clique("Zephyr Z12", missing=missing) for missing in (0, 0.01, 0.1)]
    assert sizes == sorted(set(sizes), reverse=True)
    assert len(graph("Zephyr Z12", missing=0.01)) == 4752
    first, same, other = (graph("Zephyr Z12", missing=0.01, seed=seed) for seed in (1, 1, 2))
    assert set(first) == set(same) != set(other)


def test_embeddings_leave_no_files(monkeypatch):
    monkeypatch.setattr(busgraph_cache, "cache_rootdir", lambda *version: pytest.fail("Ocean's cache used"))
    _cached_cliques.cache_clear()
    assert largest_clique("Zephyr Z12") == 184


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("Chimera", [4], 0), "unknown topology 'Chimera': choose from Pegasus P16, Zephyr Z6, Zephyr Z12"),
        (("Zephyr Z12", [4, 0], 0), "d must be a whole number from 1 to 1000000000, got 0"),
        (("Zephyr Z12", [2.5], 0), "got 2.5"),
        (("Zephyr Z12", [4], 1.0), "missing must be"),
        (("Zephyr Z12", [4], -0.1), "missing must be"),
    ],
)
def test_demand_refuses(arguments, message):
    topology, sizes, missing = arguments
    with pytest.raises(ValueError, match=message):
        clique_demand(topology, sizes, missing=missing)


@pytest.mark.parametrize("model", [dimod.BQM({0: np.nan}, {}, 0.0, "BINARY"), dimod.CQM(), None], ids=str)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_is_no_finite_model_is_not_submitted(mocks, monkeypatch, sampler, model):
    ours = sampler()
    monkeypatch.setattr(ours.child, "sample", lambda *given, **options: pytest.fail("submitted"))
    with pytest.raises(ValueError, match="model"):
        ours.sample(model)


ODD_CHIPS = {
    "topology": [None, ["Zephyr Z12"], 12, {"a": 1}],
    "missing": [None, "0", np.nan, 1, [0.1], True],
    "seed": [None, "0", -1, 0.5, [1], True],
}


@pytest.mark.parametrize(
    "call", [graph, largest_clique, lambda topology, **chip: clique_embedding(topology, 4, **chip)]
)
@pytest.mark.parametrize("odd", ODD_CHIPS)
def test_odd_chips_are_refused_by_name(call, odd):
    for value in ODD_CHIPS[odd]:
        with pytest.raises(ValueError, match=odd):
            call(**{"topology": "Zephyr Z12", odd: value})


@pytest.mark.parametrize("d", [None, "4", 0, -3, 2.5, np.nan, np.inf, [4], 2**70], ids=str)
def test_odd_sizes_are_refused_by_name(d):
    with pytest.raises(ValueError, match="d must be a whole number"):
        clique_embedding("Zephyr Z12", d)
    with pytest.raises(ValueError, match="sizes|d must be"):
        clique_demand("Zephyr Z12", d if d is None else [d])


@pytest.mark.parametrize("kind", [tuple, iter, np.array, lambda sizes: np.array(sizes, dtype=float)])
def test_sizes_of_any_kind(kind):
    table = clique_demand("Zephyr Z12", kind([4, 40]))
    assert table.equals(clique_demand("Zephyr Z12", [4, 40]))


def test_an_embedding_that_is_changed_changes_no_other():
    first = clique_embedding("Zephyr Z12", 6)
    expected = dict(first)
    first.clear()
    assert clique_embedding("Zephyr Z12", 6) == expected


@pytest.mark.parametrize("missing", [0.9, 0.9999])
def test_hardly_any_qubits(missing):
    assert largest_clique("Zephyr Z12", missing=missing) <= len(graph("Zephyr Z12", missing=missing))
