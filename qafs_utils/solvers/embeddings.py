"""The qubits that dense problems need on D-Wave's annealers, computed without access to them.

Embeddings are busclique's, which Ocean's DWaveCliqueSampler uses too: short chains, not always the fewest qubits.
"""

from functools import cache, partial

import networkx as nx
import numpy as np
import pandas as pd
from dwave.graphs import pegasus_graph, zephyr_graph
from minorminer.busclique import busgraph_cache

from .. import require

TOPOLOGIES = {  # working qubits: D-Wave's documentation, "Per-QPU Solver Properties"
    "Pegasus P16": partial(pegasus_graph, 16),  # Advantage: 5640 qubits, 5627 of them work on Advantage_system4.1
    "Zephyr Z6": partial(zephyr_graph, 6),  # Advantage2: 1248 qubits, 1202 of them work on Advantage2_system4
    "Zephyr Z12": partial(zephyr_graph, 12),  # Advantage2: 4800 qubits, 4592 of them work on Advantage2_system1.7
}


class _Cliques(busgraph_cache):
    """Clique embeddings of every size, computed and not kept in Ocean's cache directory.

    Not find_clique_embedding(use_cache=False): minorminer 0.2.22 then fills the memory for 5 to 8 variables on Zephyr.
    """

    def _fetch_cache(self, dirname, compute, force_write=False):
        return compute()


@cache
def _cached_cliques(topology, missing, seed):
    return _Cliques(graph(topology, missing=missing, seed=seed))


def _cliques(topology, missing, seed):
    require.choice("topology", topology, TOPOLOGIES)
    return _cached_cliques(topology, require.number("missing", missing, "[0, 1)"), require.whole("seed", seed))


def graph(topology: str, *, missing: float = 0.0, seed: int = 0) -> nx.Graph:
    """Qubits and couplers as a networkx.Graph: every one works but a fraction `missing` of the qubits, at random.

    Raises ValueError for an unknown topology, a fraction outside [0, 1), or a seed that is no whole number.

    >>> len(graph("Zephyr Z12")), len(graph("Zephyr Z12", missing=0.1))
    (4800, 4320)
    """
    qubits = TOPOLOGIES[require.choice("topology", topology, TOPOLOGIES)]()
    missing, seed = require.number("missing", missing, "[0, 1)"), require.whole("seed", seed)
    gone = np.random.default_rng(seed).choice(sorted(qubits), round(missing * len(qubits)), replace=False)
    qubits.remove_nodes_from(gone.tolist())
    return qubits


def clique_embedding(topology: str, d: int, *, missing: float = 0.0, seed: int = 0) -> dict[int, tuple]:
    """Chains of qubits for d variables, all coupled  ->  dict variable -> tuple of qubits; empty if they do not fit.

    Raises ValueError as `graph`, or for d that is no positive integer.

    >>> {variable: len(chain) for variable, chain in clique_embedding("Zephyr Z12", 6).items()}
    {0: 2, 1: 2, 2: 2, 3: 2, 4: 2, 5: 2}
    """
    d = require.whole("d", d, 1, 10**9)
    return _cliques(topology, missing, seed).find_clique_embedding(d)


def largest_clique(topology: str, *, missing: float = 0.0, seed: int = 0) -> int:
    """Number of variables of the largest dense problem that fits. Raises ValueError as `graph`.

    >>> largest_clique("Zephyr Z12")
    184
    """
    return len(_cliques(topology, missing, seed).largest_clique())


def clique_demand(topology: str, sizes, *, missing: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """What dense problems of the given numbers of variables need  ->  DataFrame, a size a row.

    Columns topology, d, qubits (of all chains), chain_length (the longest), fits; qubits and chain_length are NA where
    the problem does not fit. Raises ValueError as `clique_embedding`.

    >>> clique_demand("Zephyr Z12", [4, 40, 400])
         topology    d  qubits  chain_length   fits
    0  Zephyr Z12    4       4             1   True
    1  Zephyr Z12   40     160             4   True
    2  Zephyr Z12  400    <NA>          <NA>  False
    """
    rows = []
    for d in require.array("sizes", sizes, "S"):
        lengths = [len(chain) for chain in clique_embedding(topology, d, missing=missing, seed=seed).values()]
        rows.append((topology, d, sum(lengths) or None, max(lengths, default=None), bool(lengths)))
    table = pd.DataFrame(rows, columns=["topology", "d", "qubits", "chain_length", "fits"])
    return table.astype({"d": int, "qubits": "Int64", "chain_length": "Int64", "fits": bool})
