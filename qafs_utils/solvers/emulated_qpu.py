"""A quantum annealer emulated from its published properties: takes what DWaveCliqueSampler takes, needs no access.

The problem becomes spins on chains of working qubits, scaled to the ranges and with control errors. Reads are drawn in
thermal equilibrium at the freeze-out (`thermal`), each qubit is read out with the published error, and chains vote.
Limits: there are no dynamics, so that the annealing time changes the timing and not the samples, and short anneals are
too good; chains stop to move earlier than the single qubits whose freeze-out is published; which qubits work is drawn.
"""

from functools import cached_property
from types import MappingProxyType

import dimod
import numpy as np

from .. import require
from ..annealing.ising import CHAIN, H_RANGE, J_RANGE, fields_on_ancilla, ising_of
from ..annealing.processors import PROTOCOLS, Processor, call_times, control_errors, find_processor
from ..qubo.binary import sample_set
from .chains import embedded, torque_strength, unembed, with_errors
from .thermal import sample

DEFAULT_TIME = 20.0  # us, of an anneal
MOST_READS = 10_000  # of a call


class EmulatedQPUSampler(dimod.Sampler):
    """A D-Wave annealer as published, by clique embedding. Takes one read unless given num_reads, as the real ones do.

    processor: a name of `processors.processors`; graph_seed: which qubits and couplers work; errors: whether fields and
    couplings have control errors, drawn anew in each call. Raises ValueError for what these cannot be.

    >>> sampler = EmulatedQPUSampler("Advantage2_system4")
    >>> bqm = dimod.BinaryQuadraticModel({"a": -1.0, "b": -0.75}, {"ab": 1.0}, 0.0, dimod.BINARY)
    >>> found = sampler.sample(bqm, num_reads=100, annealing_time=20.0, seed=1)
    >>> {variable: int(value) for variable, value in found.first.sample.items()}, len(found)
    ({'a': 1, 'b': 0}, 100)
    >>> round(found.info["timing"]["qpu_access_time"])  # us: 8000, and 100 reads of 20 + 20.6 + 18.7
    13930
    """

    parameters = MappingProxyType(
        {
            "num_reads": ["parameters"],
            "annealing_time": ["parameters"],
            "fast_anneal": ["parameters"],
            "label": [],
            "chain_strength": [],
            "seed": [],
            "sweeps": [],
        }
    )

    def __init__(self, processor: str | Processor = "Advantage2_system2", *, graph_seed: int = 0, errors: bool = True):
        self.processor = find_processor(processor)
        self.graph_seed, self.errors = require.whole("graph_seed", graph_seed), require.flag("errors", errors)

    @cached_property
    def target_graph(self):
        """Working qubits and couplers, a networkx.Graph."""
        from .processor_graphs import processor_graph  # a second to import, and few need it

        return processor_graph(self.processor, seed=self.graph_seed)

    @cached_property
    def largest_clique_size(self) -> int:
        """Number of variables of the largest dense problem that fits."""
        from .processor_graphs import largest

        return largest(self.processor, seed=self.graph_seed)

    @property
    def largest(self) -> int:
        """`largest_clique_size`, by the name that it has in QPUSampler."""
        return self.largest_clique_size

    @cached_property
    def properties(self) -> MappingProxyType:
        """What DWaveSampler tells of a processor, by its names, as far as it is published; and "qpu_properties".

        >>> EmulatedQPUSampler("Advantage2_system4").properties["topology"]
        {'type': 'zephyr', 'shape': [6, 4]}
        """
        graph, processor = self.target_graph, self.processor
        kind, size = processor.topology.split()
        m = int(size[1:])
        ranges = {name: [ns / 1000 for ns in PROTOCOLS[name]] for name in PROTOCOLS}
        told = {
            "category": "qpu",
            "chip_id": f"emulated {processor.name}",
            "topology": {"type": kind.lower(), "shape": [m, 4] if kind == "Zephyr" else [m]},
            "num_qubits": 16 * m * (2 * m + 1) if kind == "Zephyr" else 24 * m * (m - 1),  # that work, or not
            "qubits": sorted(graph.nodes),
            "couplers": sorted(sorted(edge) for edge in graph.edges),
            "supported_problem_types": ["ising", "qubo"],
            "parameters": {name: "as of D-Wave's solvers" for name in self.parameters},
            "h_range": [-H_RANGE, H_RANGE],
            "j_range": [-J_RANGE, J_RANGE],
            "extended_j_range": [CHAIN, J_RANGE],
            "annealing_time_range": ranges["standard"],
            "fast_anneal_time_range": ranges["fast"],
            "default_annealing_time": DEFAULT_TIME,
            "num_reads_range": [1, MOST_READS],
            "problem_timing_data": _timing_data(processor),
        }
        return MappingProxyType(told | {"qpu_properties": told})

    def sample(
        self,
        bqm: dimod.BinaryQuadraticModel,
        num_reads: int = 1,
        annealing_time: float = DEFAULT_TIME,
        fast_anneal: bool = False,
        chain_strength: float | None = None,
        seed: int | None = None,
        sweeps: int = 1000,
        label: str | None = None,
        **unknown,
    ) -> dimod.SampleSet:
        """Reads of a model  ->  SampleSet of num_reads rows, in the model's variables and vartype.

        annealing_time: in us; fast_anneal: the fast protocol. It has no fields, so they go onto couplings to one more
        spin; of D-Wave's own solvers the caller must do that, by `ising.fields_on_ancilla`. chain_strength: of the
        couplings within chains, in the units of the model's spins as for Ocean, whose default, uniform torque
        compensation, it has too; sweeps: of the emulation, see `thermal.sample`; label: kept in info.
        The vector chain_break_fraction holds the share of broken chains of each read. info: its mean; timing, D-Wave's
        keys in us; embedding_context; factor and price, see `chains.Embedded`; beta, B / 2 kT at the freeze-out.
        Raises ValueError as `binary.require_model`, for numbers out of range, for times that the protocol does not
        allow, for a chain strength that is not positive; HardwareError for more variables than fit, naming how many do.
        """
        self.remove_unknown_kwargs(**unknown)
        problem = ising_of(bqm)
        num_reads, sweeps = require.whole("num_reads", num_reads, 1, MOST_READS), require.whole("sweeps", sweeps, 1)
        protocol = "fast" if require.flag("fast_anneal", fast_anneal) else "standard"
        annealing_time = _allowed(protocol, annealing_time)
        if chain_strength is not None:
            chain_strength = require.number("chain_strength", chain_strength, "(0, inf)")
        rng = require.generator("seed", seed)
        if not problem.d:
            return sample_set([], bqm)
        from .processor_graphs import clique

        annealed = fields_on_ancilla(problem) if protocol == "fast" else problem
        chains = clique(self.processor, annealed.d, seed=self.graph_seed)
        strength = torque_strength(annealed) if chain_strength is None else chain_strength
        model = embedded(annealed, chains, self.target_graph, strength)
        beta = self.processor.at_freezeout(protocol)
        programmed = with_errors(model, control_errors(), rng) if self.errors else model
        spins = sample(programmed, beta, num_reads, sweeps=sweeps, seed=int(rng.integers(2**31)))
        spins = np.where(rng.random(spins.shape) < self.processor.readout_error, -spins, spins)
        votes, broken = unembed(spins, model.chain, rng)
        votes = votes[:, :-1] * votes[:, -1:] if protocol == "fast" else votes
        variables = list(bqm.variables)
        names = variables + ["ancilla"] * (protocol == "fast")
        context = {
            "embedding": {names[p]: chain for p, chain in chains.items()},
            "chain_strength": strength,
            "chain_break_method": "majority_vote",
        }
        info = {
            "timing": call_times(self.processor, model.n, num_reads, annealing_time),
            "embedding_context": context,
            "chain_break_fraction": float(broken.mean()),
            "factor": model.factor,
            "price": model.price,
            "beta": beta,
        }
        rows = votes if bqm.vartype is dimod.SPIN else (votes + 1) // 2
        return dimod.SampleSet.from_samples_bqm(
            (rows.astype(np.int8), variables),
            bqm,
            info=info | ({} if label is None else {"problem_label": str(label)}),
            chain_break_fraction=broken.mean(axis=1),
        )

    def close(self):
        """Nothing to end: for code that closes its connection."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


def _allowed(protocol, microseconds):
    """An annealing time in us that the protocol takes."""
    low, high = (ns / 1000 for ns in PROTOCOLS[protocol])
    other = "fast_anneal=True takes shorter ones" if protocol == "standard" else "fast_anneal=False takes longer ones"
    try:
        return require.number("annealing_time", microseconds, f"[{low:g}, {high:.0f}]")
    except ValueError as error:
        raise ValueError(f"{error}, in us: {other}") from None


def _timing_data(processor):
    """The times of a call as D-Wave's property `problem_timing_data` has them."""
    ends, times = np.log10([1, processor.qubits]), np.log10(processor.readout_us)
    return {
        "version": "1.0.0",
        "typical_programming_time": processor.programming_us,
        "default_programming_thermalization": 0.0,
        "default_annealing_time": DEFAULT_TIME,
        "readout_time_model": "pwl_log_log",
        "readout_time_model_parameters": [*ends.tolist(), *times.tolist()],
        "qpu_delay_time_per_sample": processor.delay_us,
        "default_readout_thermalization": 0.0,
        "reverse_annealing_with_reinit_prog_time_delta": 0.0,
        "reverse_annealing_without_reinit_prog_time_delta": 0.0,
        "reverse_annealing_with_reinit_delay_time_delta": 0.0,
        "reverse_annealing_without_reinit_delay_time_delta": 0.0,
        "decorrelation_max_nominal_anneal_time": 2000.0,
        "decorrelation_time_range": [0.0, 0.0],
    }
