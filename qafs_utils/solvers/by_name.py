"""Solvers of the selection problem by name, each a dimod.Sampler, and running them on many images.

A new solver is a row in SOLVERS; one that takes part in comparisons also has one in TRIALS.
"""

import functools
import warnings
from collections.abc import Iterator
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
from ..conventions import HEADLINE
from ..qubo.binary import require_model, sample_set
from ..qubo.feature_selection import require_problems
from .branch_and_bound import ExactSampler
from .emulated_qpu import EmulatedQPUSampler
from .options import beta_range, checked
from .qpu import HybridSampler, QPUSampler
from .simple import BruteForceSampler, GreedySampler

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
    "emulated_qpu": EmulatedQPUSampler,
}
TRIALS = {  # options of each heuristic in a comparison; else the defaults of dwave-samplers
    "schrodinger": {},
    "simulated_annealing": {"num_reads": 100},
    "path_integral": {"num_reads": 10},
    "tabu": {"num_reads": 20, "num_restarts": 1, "timeout": None},  # its default, a time, would not repeat
    "steepest_descent": {"num_reads": 1000},
    "greedy": {},
    "random": {"num_reads": 1000},
}
_MOST = 10**9  # of whatever is counted


class _Checked(dimod.Sampler):
    """A solver that refuses what is no model, and options that it cannot take, before it begins."""

    def __init__(self, name, kind):
        self.name, self.kind, self.sampler = name, kind, kind()
        self.of_dwave_samplers = kind.__module__.startswith("dwave.samplers")  # others check their options themselves

    @property
    def parameters(self):
        return MappingProxyType(self.sampler.parameters)

    @property
    def properties(self):
        return MappingProxyType(self.sampler.properties)

    def sample(self, bqm, **options):
        require_model(bqm)
        if self.of_dwave_samplers:
            options = checked(self.kind, options, max(1, bqm.num_variables))
            if not bqm.num_variables:  # one of them warns, another has no answer
                return sample_set([], bqm)
        schedule = (options.get(name) for name in ("beta_range", "beta_schedule"))
        if self.kind is SimulatedAnnealingSampler and not any(given is not None for given in schedule):
            options["beta_range"] = beta_range(bqm)
        return self.sampler.sample(dimod.BQM(bqm, dtype=float) if bqm.dtype == object else bqm, **options)

    def __reduce__(self):  # to another process by its name
        return solver, (self.name,)


_sampler = functools.cache(_Checked)  # one of each in a process


def _instance(name):
    return _sampler(name, SOLVERS[require.choice("solver", name, SOLVERS)])


def solver(name: str) -> dimod.Sampler:
    """The solver of that name, the same one in every call. Its `sample` takes options by keyword.

    It refuses models as `binary.require_model`, and options that it cannot take. Raises ValueError for an unknown
    solver.

    >>> solver("tabu").sample(dimod.BinaryQuadraticModel({"a": -1.0}, {}, 0.0, dimod.BINARY), num_reads=3).first.sample
    {'a': np.int8(1)}
    """
    return _instance(name)


def require_options(solver: str, options: dict) -> None:
    """Raise ValueError unless options is a dict of what the solver of that name knows and can take.

    >>> require_options("tabu", {"timeout": -1})
    Traceback (most recent call last):
    ValueError: timeout must be a whole number from 0 to 2147483647, got -1
    >>> require_options("greedy", {"num_reads": 3})
    Traceback (most recent call last):
    ValueError: 'greedy' has no option num_reads: its options are none
    """
    if not isinstance(options, dict):
        raise ValueError(f"options must be a dict, got {require.described(options)}")
    sampler = _instance(solver)
    known = sampler.parameters
    unknown = ", ".join(sorted(map(str, set(options) - set(known))))
    if unknown:
        raise ValueError(f"{solver!r} has no option {unknown}: its options are {', '.join(sorted(known)) or 'none'}")
    if sampler.of_dwave_samplers:
        checked(sampler.kind, options)


def image_seeds(seed, count):
    """A seed for each of `count` images, derived from one: (count,) of 31 bits, as dwave-samplers takes them.

    Raises ValueError unless both are whole numbers of at least 0.

    >>> image_seeds(0, 2)
    array([1484405855, 1838574579], dtype=uint32)
    """
    seed, count = require.whole("seed", seed), require.whole("count", count, 0, _MOST)
    return np.random.SeedSequence(seed).generate_state(count) >> 1


def sample_all(
    problems,
    solver: str,
    *,
    beta=HEADLINE.beta,
    pair_sum=HEADLINE.pair_sum,
    seed=None,
    desc=None,
    n_jobs=None,
    **options,
) -> Iterator[dimod.SampleSet]:
    """Every image's problem to a solver: list of B feature_selection.Problem  ->  generator of B dimod.SampleSet.

    solver: a name in SOLVERS; options: the solver's; beta, pair_sum: as for `feature_selection_bqm`.
    seed: None, or an int: image i gets its own seed derived from it, if the solver takes one.
    n_jobs: processes on this machine (-1: one a core); inside `joblib.parallel_config("dask")`, with a Client of
    dask.distributed, the images go to its cluster instead. The answers, and their order, do not depend on where.
    Warns with the last answer if the solver proves optima, and did not prove all.
    Raises ValueError for an unknown solver or option, what is no feature_selection.Problem, and for joblib's backend
    "multiprocessing", which hands out no answer before the last; and what the solver raises.

    >>> from qafs_utils.qubo.feature_selection import Problem
    >>> problem = Problem(np.array([1, 3]), np.array([-1.0, -0.9]), np.array([[1.0, 0.95], [0.95, 1.0]]), 4)
    >>> answers = list(sample_all([problem, problem], "simulated_annealing", beta=0.5, seed=1, num_reads=10))
    >>> [round(float(samples.first.energy), 9) for samples in answers], len(answers[0])
    ([-0.5, -0.5], 10)
    """
    require_options(solver, options)  # here, not in a worker
    problems, _ = require_problems(problems)
    seeds = image_seeds(0 if seed is None else seed, len(problems))
    takes_seed = seed is not None and "seed" in _instance(solver).parameters
    given = [options | {"seed": int(s)} if takes_seed else options for s in seeds]
    jobs = (delayed(_sample)(p, solver, beta, pair_sum, o) for p, o in zip(problems, given))
    n_jobs = None if n_jobs is None else require.whole("n_jobs", n_jobs, -_MOST, _MOST)
    answers = Parallel(n_jobs=n_jobs, return_as="generator")(jobs)
    return _watched(answers, len(problems), solver if desc is None else str(desc))


def _sample(problem, name, beta, pair_sum, options):
    return _instance(name).sample(problem.bqm(beta, pair_sum), **options)


def _watched(answers, count, desc):
    """Hand on the answers beside a progress bar, which is full with the last one: not every caller asks for more."""
    unproven = 0
    with tqdm(total=count, desc=desc, unit="image") as bar:
        for number, samples in enumerate(answers, 1):
            bar.update()
            unproven += samples.done() and not samples.info.get("proven", True)
            if number == count:
                bar.close()
                if unproven:
                    proof = f"{unproven} of {count} answers are not proven to be optimal"
                    warnings.warn(f"{proof}: give a longer time_limit, in seconds", stacklevel=2)
            yield samples


def solve_all(
    problems,
    solver: str,
    *,
    beta=HEADLINE.beta,
    pair_sum=HEADLINE.pair_sum,
    seed=None,
    desc=None,
    n_jobs=None,
    **options,
) -> tuple[np.ndarray, list[dict]]:
    """Solve every image's problem and keep the lowest-energy bit-string of each. Arguments and errors: `sample_all`.

    An error loses the answers before it; where they are paid for, take them from `sample_all` one by one and keep them.

    ->  selected maps (B, N_f) bool, list of B SampleSet.info dicts with the best energy added.

    >>> from qafs_utils.qubo.feature_selection import Problem
    >>> problem = Problem(np.array([1, 3]), np.array([-1.0, -0.9]), np.array([[1.0, 0.95], [0.95, 1.0]]), 4)
    >>> selected, infos = solve_all([problem], "exact", beta=0.5)  # maps 1 and 3 are alike: 1 will do
    >>> selected, float(infos[0]["energy"])
    (array([[False,  True, False, False]]), -0.5)
    """
    problems, n_features = require_problems(problems)
    selected, infos = np.zeros((len(problems), n_features), dtype=bool), []
    answers = sample_all(problems, solver, beta=beta, pair_sum=pair_sum, seed=seed, desc=desc, n_jobs=n_jobs, **options)
    for row, problem, samples in zip(selected, problems, answers, strict=True):
        best = samples.first
        row[:] = problem.selected([best.sample[v] for v in range(problem.d)])
        infos.append(dict(samples.info) | {"energy": best.energy})
    return selected, infos
