"""Graphs of D-Wave's processors with as many working qubits and couplers as published, and cliques on them.

Which ones work is not published: they are drawn, and seeds give the spread. Cliques are kept for a process: the first
of a graph takes seconds on Zephyr, and some minutes on Pegasus.
"""

from functools import cache

import networkx as nx
import numpy as np
import pandas as pd

from .. import require
from ..annealing.processors import Processor, find_processor
from .qpu import HardwareError

_DRAWS = 50  # of qubits, until as many couplers are left as work


def processor_graph(processor: str | Processor, *, seed: int = 0) -> nx.Graph:
    """Working qubits and couplers  ->  networkx.Graph; those that do not work are drawn at random.

    Qubits are drawn first, again where their couplers are fewer than those that work; then couplers.
    Raises ValueError for an unknown processor, a seed that is no whole number, and numbers that do not fit the graph.

    >>> qubits = processor_graph("Advantage2_system4")
    >>> qubits.number_of_nodes(), qubits.number_of_edges()
    (1202, 10537)
    """
    return _graph(find_processor(processor), require.whole("seed", seed)).copy()


@cache
def _graph(processor, seed):
    from .embeddings import graph

    whole, rng = graph(processor.topology), np.random.default_rng(seed)
    nodes, missing = sorted(whole), len(whole) - processor.qubits
    for _ in range(_DRAWS if missing >= 0 else 0):
        qubits = whole.copy()
        qubits.remove_nodes_from(rng.choice(nodes, missing, replace=False).tolist())
        more = qubits.number_of_edges() - processor.couplers
        if more >= 0:
            edges = sorted(tuple(sorted(edge)) for edge in qubits.edges)
            qubits.remove_edges_from([edges[e] for e in rng.choice(len(edges), more, replace=False)])
            return qubits
    what = f"{processor.qubits} qubits and {processor.couplers} couplers do not fit {processor.topology}"
    raise ValueError(f"{what}, of {len(whole)} and {whole.number_of_edges()}: check the processor's numbers")


@cache
def _cliques(processor, seed):
    from .embeddings import _Cliques

    return _Cliques(_graph(processor, seed))


@cache
def _largest(processor, seed):
    return len(_cliques(processor, seed).largest_clique())


def largest(processor: str | Processor, *, seed: int = 0) -> int:
    """Number of variables of the largest dense problem that fits. Raises ValueError as `processor_graph`.

    >>> largest("Advantage2_system4")  # 88 if every qubit and coupler worked
    68
    """
    return _largest(find_processor(processor), require.whole("seed", seed))


def clique(processor: str | Processor, d: int, *, seed: int = 0) -> dict[int, tuple]:
    """Chains of qubits for d variables, all coupled  ->  dict variable -> tuple of qubits.

    Raises HardwareError for more variables than fit, naming how many do, and ValueError as `processor_graph` and for d
    that is no positive whole number.

    >>> {variable: len(chain) for variable, chain in clique("Advantage2_system4", 6).items()}
    {0: 2, 1: 2, 2: 2, 3: 2, 4: 2, 5: 2}
    """
    processor, seed, d = find_processor(processor), require.whole("seed", seed), require.whole("d", d, 1)
    if d > (most := _largest(processor, seed)):
        raise HardwareError(
            f"{d} variables, but the largest clique of {processor.name} has {most}: fix variables first "
            "(by the exact solver's reduced costs), take fewer maps, or use the solver leap_hybrid"
        )
    return _cliques(processor, seed).find_clique_embedding(d)


def clique_spread(processors, seeds) -> pd.DataFrame:
    """The largest clique by draw of what works: columns processor, seed, largest, chain_length, qubits.

    chain_length: the longest; qubits: of all chains. Raises ValueError as `processor_graph`.

    >>> clique_spread(["Advantage2_system4"], [0])[["largest", "chain_length"]].values.tolist()
    [[68, 8]]
    """
    rows = []
    for name in processors:
        for seed in seeds:
            d = largest(name, seed=seed)
            lengths = [len(chain) for chain in clique(name, d, seed=seed).values()]
            rows.append((find_processor(name).name, seed, d, max(lengths), sum(lengths)))
    return pd.DataFrame(rows, columns=["processor", "seed", "largest", "chain_length", "qubits"])
