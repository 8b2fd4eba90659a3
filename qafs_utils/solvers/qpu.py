"""D-Wave's annealers and hybrid solvers, for those with access.

Access is the extra `dwave` (dwave-system) and Ocean's own configuration, made by `dwave config create`.
"""

import warnings
from functools import cached_property

import dimod
import numpy as np

from ..qubo.binary import require_model, sample_set


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
