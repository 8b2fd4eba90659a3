"""The two simplest solvers: try every bit-string; or add the best variable, one after the other."""

from types import MappingProxyType

import dimod
import numpy as np

from ..qubo.binary import biases, bits, energies, sample_set


class BruteForceSampler(dimod.Sampler):
    """The exact ground state from the energies of all 2^d bit-strings: `sample(bqm) -> SampleSet` of one row.

    Raises as `binary.energies`, when 2^d energies do not fit in memory too.

    >>> bqm = dimod.BinaryQuadraticModel({"a": -1.0, "b": -1.0, "c": -1.1}, {"ac": 2.0, "bc": 2.0}, 0.0, dimod.BINARY)
    >>> float(BruteForceSampler().sample(bqm).first.energy)  # a and b
    -2.0
    """

    parameters = MappingProxyType({})
    properties = MappingProxyType({"category": "exact"})

    def sample(self, bqm, **parameters):
        """The ground state, the first in the order of `binary.energies` if degenerate: model  ->  SampleSet."""
        self.remove_unknown_kwargs(**parameters)
        return sample_set(bits(np.array([np.argmin(energies(bqm))]), bqm.num_variables)[0], bqm)


class GreedySampler(dimod.Sampler):
    """From nothing selected, add the variable that lowers the energy most until none does: a SampleSet of one row.

    Raises as `binary.require_model`.

    >>> bqm = dimod.BinaryQuadraticModel({"a": -1.0, "b": -1.0, "c": -1.1}, {"ac": 2.0, "bc": 2.0}, 0.0, dimod.BINARY)
    >>> float(GreedySampler().sample(bqm).first.energy)  # c first, then nothing gains: a and b have -2
    -1.1
    """

    parameters = MappingProxyType({})
    properties = MappingProxyType({"category": "heuristic"})

    def sample(self, bqm, **parameters):
        """The greedy bit-string, of equal gains the first variable: model  ->  SampleSet."""
        self.remove_unknown_kwargs(**parameters)
        change, couplings, _ = biases(bqm)
        couplings, chosen = couplings + couplings.T, np.zeros(len(change), bool)
        while (left := np.where(chosen, 0, change)).min(initial=0) < 0:
            best = left.argmin()
            chosen[best] = True
            change = change + couplings[best]
        return sample_set(chosen, bqm)
