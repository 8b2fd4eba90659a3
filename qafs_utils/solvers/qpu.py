"""D-Wave's annealers and hybrid solvers for those with access; and the qubits that dense problems need on them.

Access is the extra `dwave` (dwave-system) and Ocean's own configuration, made by `dwave config create`. The demand of
qubits is that of busclique's embeddings, which Ocean's DWaveCliqueSampler uses too: short chains, not always the fewest
qubits. It is computed without access.
"""

import warnings
from functools import cache, cached_property, partial

import dimod
import numpy as np
import pandas as pd
from dwave.graphs import pegasus_graph, zephyr_graph
from minorminer.busclique import busgraph_cache

from .. import require
from ..qubo.binary import require_model, sample_set

TOPOLOGIES = {  # working qubits: D-Wave's documentation, "Per-QPU Solver Properties"
    "Pegasus P16": partial(pegasus_graph, 16),  # Advantage: 5640 qubits, 5627 of them work on Advantage_system4.1
    "Zephyr Z12": partial(zephyr_graph, 12),  # Advantage2: 4800 qubits, 4592 of them work on Advantage2_system1.7
    "Zephyr Z15": partial(zephyr_graph, 15),  # 7440 qubits: larger than the Advantage2 in production
}


class HardwareError(RuntimeError):
    """D-Wave's solvers cannot be reached, or cannot take the problem: the message says why, and what to do.

    >>> try:  # doctest: +SKIP
    ...     QPUSampler()
    ... except HardwareError as error:
    ...     print(error)
    no access to D-Wave (API token not defined): run `dwave config create` with your API token
    """


def _connect(sampler, config):
    """The sampler of dwave-system of that name, connected as Ocean is configured. Raises HardwareError."""
    try:
        import dwave.system
    except ImportError as error:
        raise HardwareError(f"D-Wave's solvers need dwave-system ({error}): pip install dwave-system") from error
    from dwave.cloud.exceptions import ConfigFileError, SAPIError, SolverAuthenticationError, SolverNotFoundError

    try:
        return getattr(dwave.system, sampler)(**config)
    except SolverNotFoundError as error:
        remedy = "choose one that `dwave solvers --list` shows, with `dwave config create`"
        raise HardwareError(f"this D-Wave account and configuration give no solver ({error}): {remedy}") from error
    except (ConfigFileError, SolverAuthenticationError, ValueError) as error:  # ValueError: no token, unknown profile
        raise HardwareError(f"no access to D-Wave ({error}): run `dwave config create` with your API token") from error
    except SAPIError as error:
        raise HardwareError(f"D-Wave refuses or does not answer ({error}): see `dwave ping`") from error


class _OceanSampler(dimod.Sampler):
    """A sampler of dwave-system. config: what that one takes by keyword, over Ocean's own configuration.

    Raises HardwareError without dwave-system, configuration, access or solver.
    """

    name, largest = None, np.inf

    def __init__(self, **config):
        self.child = _connect(self.name, config)

    @property
    def parameters(self):
        return {**self.child.parameters, "seed": []}

    @property
    def properties(self):
        return self.child.properties

    def sample(self, bqm, seed=None, **parameters):
        """`sample(bqm) -> SampleSet`. A seed is ignored with a warning; other parameters are those of the solver.

        Before submission, raises HardwareError for more variables than `largest`, ValueError as
        `binary.require_model`.
        """
        require_model(bqm)
        if bqm.num_variables > self.largest:
            raise HardwareError(
                f"{bqm.num_variables} variables, but the largest clique of this QPU has {self.largest}: fix variables "
                "first (by the exact solver's reduced costs), take fewer maps (a smaller N_f, or the most important "
                "of them), or use the solver leap_hybrid"
            )
        if seed is not None:
            message = "seed ignored: D-Wave's solvers take none, their samples are not reproducible"
            warnings.warn(message, dimod.exceptions.SamplerUnknownArgWarning, stacklevel=2)
        return self.child.sample(bqm, **parameters) if bqm.num_variables else sample_set([], bqm)

    def close(self):
        """End the connection."""
        self.child.close()


class QPUSampler(_OceanSampler):
    """A D-Wave quantum annealer, by clique embedding: DWaveCliqueSampler. Takes one read unless given num_reads.

    >>> sampler = QPUSampler()  # doctest: +SKIP
    >>> sampler.largest, sampler.sample(problem.bqm(), num_reads=100).first  # doctest: +SKIP
    """

    name = "DWaveCliqueSampler"

    @cached_property
    def largest(self):
        """Number of variables of the largest dense problem that fits the qubits and couplers that work."""
        return self.child.largest_clique_size


class HybridSampler(_OceanSampler):
    """Leap's hybrid of classical search and quantum annealing: LeapHybridSampler. Takes time_limit in seconds.

    >>> HybridSampler().sample(problem.bqm(), time_limit=5).first.energy  # doctest: +SKIP
    """

    name = "LeapHybridSampler"


class _Cliques(busgraph_cache):
    """Clique embeddings of every size, computed and not kept in Ocean's cache directory.

    Not find_clique_embedding(use_cache=False): minorminer 0.2.22 then fills the memory for 5 to 8 variables on Zephyr.
    """

    def _fetch_cache(self, dirname, compute, force_write=False):
        return compute()


@cache
def _cliques(*chip):
    return _Cliques(graph(*chip))


def _chip(topology, missing, seed):
    """What chooses a graph, in one form, for the memory of `_cliques`."""
    require.choice("topology", topology, TOPOLOGIES)
    return topology, require.number("missing", missing, "[0, 1)"), require.whole("seed", seed)


def graph(topology, missing=0.0, seed=0):
    """Qubits and couplers as a networkx.Graph: every one works but a fraction `missing` of the qubits, at random.

    Raises ValueError for an unknown topology, a fraction outside [0, 1), or a seed that is no whole number.

    >>> len(graph("Zephyr Z12")), len(graph("Zephyr Z12", missing=0.1))
    (4800, 4320)
    """
    topology, missing, seed = _chip(topology, missing, seed)
    qubits = TOPOLOGIES[topology]()
    gone = np.random.default_rng(seed).choice(sorted(qubits), round(missing * len(qubits)), replace=False)
    qubits.remove_nodes_from(gone.tolist())
    return qubits


def clique_embedding(topology, d, missing=0.0, seed=0):
    """Chains of qubits for d variables, all coupled  ->  dict variable -> tuple of qubits; empty if they do not fit.

    Raises ValueError as `graph`, or for d that is no positive integer.

    >>> {variable: len(chain) for variable, chain in clique_embedding("Zephyr Z12", 6).items()}
    {0: 2, 1: 2, 2: 2, 3: 2, 4: 2, 5: 2}
    """
    d, chip = require.whole("d", d, 1, 10**9), _chip(topology, missing, seed)
    return _cliques(*chip).find_clique_embedding(d)


def largest_clique(topology, missing=0.0, seed=0):
    """Number of variables of the largest dense problem that fits. Raises ValueError as `graph`.

    >>> largest_clique("Zephyr Z12")
    184
    """
    return len(_cliques(*_chip(topology, missing, seed)).largest_clique())


def clique_demand(topology, sizes, missing=0.0, seed=0):
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
        lengths = [len(chain) for chain in clique_embedding(topology, d, missing, seed).values()]
        rows.append((topology, d, sum(lengths) or None, max(lengths, default=None), bool(lengths)))
    table = pd.DataFrame(rows, columns=["topology", "d", "qubits", "chain_length", "fits"])
    return table.astype({"d": int, "qubits": "Int64", "chain_length": "Int64", "fits": bool})
