"""Solvers of the selection problem, by name, each a dimod.Sampler; and the selections it is to be compared with."""

import dimod
import numpy as np
from dwave.samplers import (
    PathIntegralAnnealingSampler,
    RandomSampler,
    SimulatedAnnealingSampler,
    SteepestDescentSampler,
    TabuSampler,
)
from tqdm import tqdm

from .annealing import SchrodingerSampler, bits, energies
from .exact import ExactSampler


class BruteForceSampler(dimod.Sampler):
    """The exact ground state from the energies of all 2^d bit-strings: `sample(bqm) -> SampleSet` of one row.

    Raises as `annealing.energies` when 2^d energies do not fit in memory.
    """

    parameters = {}
    properties = {"category": "exact"}

    def sample(self, bqm, **parameters):
        self.remove_unknown_kwargs(**parameters)
        lowest = bits(np.array([np.argmin(energies(bqm))]), bqm.num_variables).astype(np.int8)
        binary = bqm.change_vartype(dimod.BINARY, inplace=False)
        found = dimod.SampleSet.from_samples_bqm((lowest, list(bqm.variables)), binary)
        return found.change_vartype(bqm.vartype, inplace=False)


SOLVERS = {
    "schrodinger": SchrodingerSampler,
    "simulated_annealing": SimulatedAnnealingSampler,
    "path_integral": PathIntegralAnnealingSampler,  # simulated quantum annealing
    "tabu": TabuSampler,
    "steepest_descent": SteepestDescentSampler,
    "random": RandomSampler,
    "brute_force": BruteForceSampler,
    "exact": ExactSampler,
}


def solver(name):
    """The solver of that name. Raises ValueError for an unknown one."""
    if name not in SOLVERS:
        raise ValueError(f"unknown solver {name!r}: choose from {', '.join(SOLVERS)}")
    return SOLVERS[name]()


def solve_all(selections, n_features, name, beta=0.7, pair_sum="p<q", seed=None, desc=None, **parameters):
    """Solve every image's problem and keep the lowest-energy bit-string of each.

    selections: list of qubo.Selection; seed: None, or an int: image i gets its own seed derived from it.
    ->  selected maps (B, n_features) bool, list of B SampleSet.info dicts with the best energy added.
    """
    sampler = solver(name)
    selected, infos = np.zeros((len(selections), n_features), dtype=bool), []
    seeds = np.random.SeedSequence(seed).generate_state(len(selections)) >> 1  # 31 bits: what dwave-samplers takes
    for i, problem in enumerate(tqdm(selections, desc=desc or name, unit="image")):
        options = parameters if seed is None else parameters | {"seed": int(seeds[i])}
        found = sampler.sample(problem.bqm(beta, pair_sum), **options)
        best = found.first
        selected[i, problem.maps] = [best.sample[v] for v in range(problem.d)]
        infos.append(dict(found.info) | {"energy": best.energy})
    return selected, infos


def _ranked(rank, importance, k):
    """The k candidates of lowest rank, image by image: rank, importance (B, N_f), k (B,)  ->  (B, N_f) bool."""
    importance, k = np.asarray(importance), np.asarray(k)
    if importance.ndim != 2 or k.shape != importance.shape[:1]:
        raise ValueError(f"importance must be (B, N_f) with k (B,), got {importance.shape} and {k.shape}")
    if not np.isfinite(importance).all():
        raise ValueError("importances hold NaN or infinite values: check the feature maps they come from")
    wrong = np.flatnonzero((k < 0) | (k > (importance > 0).sum(1)))
    if len(wrong):
        i = wrong[0]
        raise ValueError(f"image {i}: k must lie between 0 and its {(importance[i] > 0).sum()} candidates, got {k[i]}")
    order = np.where(importance > 0, rank, np.inf).argsort(axis=1, kind="stable")
    return order.argsort(axis=1) < k[:, None]


def top_k(importance, k):
    """The k most important candidates: importance (B, N_f), k (B,)  ->  (B, N_f) bool; of equals the first map.

    No redundancy, no optimisation: the QUBO's optimum among bit-strings of k maps at beta = 1. k = 0 selects nothing.
    Raises ValueError for k beyond the candidates (maps of positive importance), other shapes and NaN.
    """
    return _ranked(-np.asarray(importance), importance, k)


def random_k(importance, k, seed=0):
    """k candidates drawn at random: importance (B, N_f), k (B,)  ->  (B, N_f) bool. Raises as `top_k`."""
    return _ranked(np.random.default_rng(seed).random(np.shape(importance)), importance, k)
