"""Solvers of the selection problem, by name, each a dimod.Sampler; and the selections it is to be compared with."""

import contextlib
import functools
import inspect
import warnings
from types import MappingProxyType

import dimod
import numpy as np
from dwave.samplers import (
    PathIntegralAnnealingSampler,
    RandomSampler,
    SimulatedAnnealingSampler,
    SteepestDescentSampler,
    TabuSampler,
)
from joblib import Parallel, delayed
from tqdm import tqdm

from .. import require
from ..annealing.sampler import SchrodingerSampler
from ..qubo.binary import biases, bits, energies, require_model, sample_set
from ..qubo.feature_selection import require_problems
from .branch_and_bound import ExactSampler
from .qpu import HybridSampler, QPUSampler

_MAPS = ": check the feature maps they come from"
_MOST = 10**9  # of whatever is counted


class BruteForceSampler(dimod.Sampler):
    """The exact ground state from the energies of all 2^d bit-strings: `sample(bqm) -> SampleSet` of one row.

    Raises as `binary.energies`, when 2^d energies do not fit in memory too.

    >>> bqm = dimod.BinaryQuadraticModel({"a": -1.0, "b": -1.0, "c": -1.1}, {"ac": 2.0, "bc": 2.0}, 0.0, dimod.BINARY)
    >>> float(BruteForceSampler().sample(bqm).first.energy)  # a and b
    -2.0
    """

    parameters = MappingProxyType({})
    properties = {"category": "exact"}

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
    properties = {"category": "heuristic"}

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


SOLVERS = {
    "schrodinger": SchrodingerSampler,
    "simulated_annealing": SimulatedAnnealingSampler,
    "path_integral": PathIntegralAnnealingSampler,  # simulated quantum annealing
    "tabu": TabuSampler,
    "steepest_descent": SteepestDescentSampler,
    "greedy": GreedySampler,
    "random": RandomSampler,
    "brute_force": BruteForceSampler,
    "exact": ExactSampler,
    "qpu": QPUSampler,
    "leap_hybrid": HybridSampler,
}
TRIALS = {  # what a comparison asks of each heuristic; the defaults of dwave-samplers else
    "schrodinger": {},
    "simulated_annealing": {"num_reads": 100},
    "path_integral": {"num_reads": 10},
    "tabu": {"num_reads": 20, "num_restarts": 1, "timeout": None},  # its default, a time, would not repeat
    "steepest_descent": {"num_reads": 1000},
    "greedy": {},
    "random": {"num_reads": 1000},
}
_DWAVE = {name for name, kind in SOLVERS.items() if kind.__module__.startswith("dwave.samplers")}
_INT = 2**31 - 1  # the largest in C


def _states(name, states):
    """Samples to start from. Raises ValueError for what dimod cannot read as such."""
    try:
        samples = states if isinstance(states, dimod.SampleSet) else dimod.as_samples(states)
        dimod.sampleset.infer_vartype(samples)
        return samples
    except Exception as error:  # whatever dimod meets in what is no sample
        raise ValueError(f"{name} must be samples of the model: {error}") from None


def _function(name, function):
    if not callable(function):
        raise ValueError(f"{name} must be a function, got {require.described(function)}")
    return function


def _flag(name, value):
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False, got {require.described(value)}")
    return bool(value)


def _schedule(name, value):
    found = require.array(name, value, "S", interval="[0, inf)").tolist()
    require.whole(f"S, the length of {name},", len(found), 1)
    return found


def _whole(low, high=_INT):
    return lambda name, value: require.whole(name, value, low, high)


OPTIONS = {  # of dwave-samplers, which run for ever, or end raw, with other values  ->  the value in their type
    "num_reads": _whole(1), "max_num_samples": _whole(1), "num_sweeps_per_beta": _whole(1),
    "num_sweeps": _whole(1, 10**7), "seed": _whole(0, 2**32 - 1),
    "tenure": _whole(0), "timeout": _whole(0), "num_restarts": _whole(0),
    "coefficient_z_first": _whole(0), "coefficient_z_restart": _whole(0), "lower_bound_z": _whole(0),
    "energy_threshold": require.number,
    "time_limit": lambda name, value: require.number(name, value, "(0, 1e9]"),
    "beta_range": lambda name, value: require.array(name, value, "2", interval="[0, inf)").tolist(),
    "beta_schedule_type": lambda name, value: require.choice(name, value, ("linear", "geometric", "custom")),
    "initial_states_generator": lambda name, value: require.choice(name, value, ("none", "tile", "random")),
    "proposal_acceptance_criteria": lambda name, value: require.choice(name, value, ("Metropolis", "Gibbs")),
    "beta_schedule": _schedule, "randomize_order": _flag, "large_sparse_opt": _flag, "initial_states": _states,
    "interrupt_function": _function,
}  # fmt: skip


def _checked(name, options, d=1):
    """The options that a solver has been given for d variables, as it takes them. Raises ValueError, naming the option.

    The samples may hold 2^28 values, which need 2 GiB while they are drawn.
    """
    if name not in _DWAVE:
        return options  # ours check them, and D-Wave's service does
    defaults, options = inspect.signature(SOLVERS[name].sample).parameters, dict(options)
    for option in options.keys() & OPTIONS.keys() & defaults.keys():
        if options[option] is not None or (defaults[option].default is not None and option != "timeout"):
            options[option] = OPTIONS[option](option, options[option])
    for option in {"num_reads", "max_num_samples"} & {o for o, value in options.items() if value is not None}:
        require.whole(f"{option}, for {d} variables,", options[option], 1, 2**28 // d)
    if options.get("timeout", 0) is None and "num_restarts" not in options:
        raise ValueError("timeout must be a whole number of milliseconds, or num_restarts be given too, got None")
    return options


class _Guarded:
    """Before the class of a solver: none begins with a model that is none, or with options that it cannot take."""

    def sample(self, bqm, **options):
        require_model(bqm)
        options = _checked(self._name, options, max(1, bqm.num_variables))
        if not bqm.num_variables and self._name in _DWAVE:  # one of them warns, another has no answer
            return sample_set([], bqm)
        return super().sample(dimod.BinaryQuadraticModel(bqm, dtype=float) if bqm.dtype == object else bqm, **options)

    def __reduce__(self):  # to another process by its name
        return solver, (self._name,)


@functools.cache
def _instance(name, kind):
    """One of each in every process, whose parameters nobody can change."""
    sampler = type(kind)(kind.__name__, (_Guarded, kind), {"_name": name})()
    with contextlib.suppress(AttributeError):  # some make them anew whenever they are asked
        sampler.parameters = MappingProxyType(sampler.parameters)
    return sampler


def solver(name):
    """The solver of that name, the same one in every call. Its `sample` takes options by keyword.

    It refuses models as `binary.require_model`, and options that it cannot take. Raises ValueError for an unknown
    solver.

    >>> type(solver("tabu")).__name__
    'TabuSampler'
    """
    return _instance(name, SOLVERS[require.choice("solver", name, SOLVERS)])


def require_options(name, options):
    """Raise ValueError unless options is a dict of what the solver of that name knows and can take.

    >>> require_options("tabu", {"num_reads": 3})
    >>> require_options("tabu", {"timeout": -1})
    Traceback (most recent call last):
    ValueError: timeout must be a whole number from 0 to 2147483647, got -1
    >>> require_options("greedy", {"num_reads": 3})
    Traceback (most recent call last):
    ValueError: 'greedy' has no option num_reads: its options are none
    """
    if not isinstance(options, dict):
        raise ValueError(f"options must be a dict, got {require.described(options)}")
    known = solver(name).parameters
    unknown = ", ".join(sorted(map(str, set(options) - set(known))))
    if unknown:
        raise ValueError(f"{name!r} has no option {unknown}: its options are {', '.join(sorted(known)) or 'none'}")
    _checked(name, options)


def image_seeds(seed, count):
    """A seed for each of `count` images, derived from one: (count,) of 31 bits, as dwave-samplers takes them.

    Raises ValueError unless both are whole numbers of at least 0.

    >>> image_seeds(0, 2)
    array([1484405855, 1838574579], dtype=uint32)
    """
    seed, count = require.whole("seed", seed), require.whole("count", count, 0, _MOST)
    return np.random.SeedSequence(seed).generate_state(count) >> 1


def _sample(problem, name, beta, pair_sum, options):
    return solver(name).sample(problem.bqm(beta, pair_sum), **options)


def sample_all(selections, name, beta=0.7, pair_sum="p<q", seed=None, desc=None, n_jobs=None, **parameters):
    """Every image's problem to a solver: list of B feature_selection.Problem  ->  generator of B dimod.SampleSet, in their order.

    seed: None, or an int: image i gets its own seed derived from it, if the solver takes one. parameters: the solver's.
    n_jobs: processes on this machine (-1: one a core); inside `joblib.parallel_config("dask")`, with a Client of
    dask.distributed, the images go to its cluster instead. What is found does not depend on where.
    Warns with the last answer if the solver proves optima, and did not prove all.
    Raises ValueError for an unknown solver or option, what is no feature_selection.Problem, and for joblib's backend
    "multiprocessing", which hands out no answer before the last; and what the solver raises.

    >>> from qafs_utils.qubo.feature_selection import Problem
    >>> problem = Problem(np.array([1, 3]), np.array([-1.0, -0.9]), np.array([[1.0, 0.95], [0.95, 1.0]]))
    >>> found = list(sample_all([problem, problem], "simulated_annealing", beta=0.5, seed=1, num_reads=10))
    >>> [round(float(samples.first.energy), 9) for samples in found], len(found[0])
    ([-0.5, -0.5], 10)
    """
    require_options(name, parameters)  # here, not in a worker
    problems, takes_seed = require_problems(selections)[0], seed is not None and "seed" in solver(name).parameters
    seeds = image_seeds(0 if seed is None else seed, len(problems))
    options = [parameters | {"seed": int(s)} if takes_seed else parameters for s in seeds]
    jobs = (delayed(_sample)(p, name, beta, pair_sum, o) for p, o in zip(problems, options))
    n_jobs = None if n_jobs is None else require.whole("n_jobs", n_jobs, -_MOST, _MOST)
    desc = name if desc is None else str(desc)
    return _watched(Parallel(n_jobs=n_jobs, return_as="generator")(jobs), len(problems), desc)


def _watched(found, count, desc):
    """Hand on the answers, beside a bar that is full with the last one: many callers take no more than there are."""
    unproven = 0
    with tqdm(total=count, desc=desc, unit="image") as bar:
        for number, samples in enumerate(found, 1):
            bar.update()
            unproven += samples.done() and not samples.info.get("proven", True)
            if number == count:
                bar.close()
                if unproven:
                    proof = f"{unproven} of {count} answers are not proven to be optimal"
                    warnings.warn(f"{proof}: give a longer time_limit, in seconds", stacklevel=2)
            yield samples


def solve_all(selections, n_features, name, beta=0.7, pair_sum="p<q", seed=None, desc=None, n_jobs=None, **parameters):
    """Solve every image's problem and keep the lowest-energy bit-string of each. Arguments and errors: `sample_all`.

    n_features: number of feature maps of the network, candidates or not.

    An error loses the answers before it; where they are paid for, take them from `sample_all` one by one and keep them.

    ->  selected maps (B, n_features) bool, list of B SampleSet.info dicts with the best energy added.

    >>> from qafs_utils.qubo.feature_selection import Problem
    >>> problem = Problem(np.array([1, 3]), np.array([-1.0, -0.9]), np.array([[1.0, 0.95], [0.95, 1.0]]))
    >>> selected, infos = solve_all([problem], 4, "exact", beta=0.5)  # maps 1 and 3 are alike: 1 will do
    >>> selected, float(infos[0]["energy"])
    (array([[False,  True, False, False]]), -0.5)
    """
    problems, n_features = require_problems(selections, require.whole("n_features", n_features))
    selected, infos = np.zeros((len(problems), n_features), dtype=bool), []
    found = sample_all(problems, name, beta, pair_sum, seed, desc, n_jobs, **parameters)
    for row, problem, samples in zip(selected, problems, found, strict=True):
        best = samples.first
        row[problem.maps] = [best.sample[v] for v in range(problem.d)]
        infos.append(dict(samples.info) | {"energy": best.energy})
    return selected, infos
