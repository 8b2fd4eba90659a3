"""Solvers of the selection problem, by name, each a dimod.Sampler; and the selections it is to be compared with."""

import functools

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
from scipy.stats import hypergeom
from tqdm import tqdm

from .annealing import SchrodingerSampler, biases, bits, energies, sample_set
from .exact import ExactSampler
from .hardware import HybridSampler, QPUSampler


class BruteForceSampler(dimod.Sampler):
    """The exact ground state from the energies of all 2^d bit-strings: `sample(bqm) -> SampleSet` of one row.

    Raises as `annealing.energies` when 2^d energies do not fit in memory.

    >>> bqm = dimod.BinaryQuadraticModel({"a": -1.0, "b": -1.0, "c": -1.1}, {"ac": 2.0, "bc": 2.0}, 0.0, dimod.BINARY)
    >>> float(BruteForceSampler().sample(bqm).first.energy)  # a and b
    -2.0
    """

    parameters = {}
    properties = {"category": "exact"}

    def sample(self, bqm, **parameters):
        """The ground state, the first in the order of `annealing.energies` if degenerate: model  ->  SampleSet."""
        self.remove_unknown_kwargs(**parameters)
        return sample_set(bits(np.array([np.argmin(energies(bqm))]), bqm.num_variables)[0], bqm)


class GreedySampler(dimod.Sampler):
    """From nothing selected, add the variable that lowers the energy most until none does: a SampleSet of one row.

    >>> bqm = dimod.BinaryQuadraticModel({"a": -1.0, "b": -1.0, "c": -1.1}, {"ac": 2.0, "bc": 2.0}, 0.0, dimod.BINARY)
    >>> float(GreedySampler().sample(bqm).first.energy)  # c first, then nothing gains: a and b have -2
    -1.1
    """

    parameters = {}
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


_instance = functools.cache(lambda kind: kind())  # one of each class in every process


def solver(name):
    """The solver of that name, the same one in every call. Raises ValueError for an unknown one.

    >>> type(solver("tabu")).__name__
    'TabuSampler'
    """
    if name not in SOLVERS:
        raise ValueError(f"unknown solver {name!r}: choose from {', '.join(SOLVERS)}")
    return _instance(SOLVERS[name])


def image_seeds(seed, count):
    """A seed for each of `count` images, derived from one: (count,) of 31 bits, as dwave-samplers takes them.

    >>> image_seeds(0, 2)
    array([1484405855, 1838574579], dtype=uint32)
    """
    return np.random.SeedSequence(seed).generate_state(count) >> 1


def _sample(problem, name, beta, pair_sum, options):
    return solver(name).sample(problem.bqm(beta, pair_sum), **options)


def sample_all(selections, name, beta=0.7, pair_sum="p<q", seed=None, desc=None, n_jobs=None, **parameters):
    """Every image's problem to a solver: list of B qubo.Selection  ->  generator of B dimod.SampleSet, in their order.

    seed: None, or an int: image i gets its own seed derived from it, if the solver takes one.
    n_jobs: processes on this machine (-1: one a core); inside `joblib.parallel_config("dask")`, with a Client of
    dask.distributed, the images go to its cluster instead. What is found does not depend on where.
    Raises ValueError for an unknown solver, and what the solver raises.

    >>> from qafs_utils.qubo import Selection
    >>> problem = Selection(np.array([1, 3]), np.array([-1.0, -0.9]), np.array([[1.0, 0.95], [0.95, 1.0]]))
    >>> found = list(sample_all([problem, problem], "simulated_annealing", beta=0.5, seed=1, num_reads=10))
    >>> [round(float(samples.first.energy), 9) for samples in found], len(found[0])
    ([-0.5, -0.5], 10)
    """
    takes_seed = "seed" in solver(name).parameters  # an unknown name is refused here, not in a worker
    seeds = image_seeds(seed, len(selections))
    options = [parameters | {"seed": int(s)} if takes_seed and seed is not None else parameters for s in seeds]
    jobs = (delayed(_sample)(p, name, beta, pair_sum, o) for p, o in zip(selections, options))
    found = Parallel(n_jobs=n_jobs, return_as="generator")(jobs)
    return iter(tqdm(found, desc=desc or name, unit="image", total=len(selections)))


def solve_all(selections, n_features, name, beta=0.7, pair_sum="p<q", seed=None, desc=None, n_jobs=None, **parameters):
    """Solve every image's problem and keep the lowest-energy bit-string of each. Arguments and errors: `sample_all`.

    An error loses the answers before it; where they are paid for, take them from `sample_all` one by one and keep them.

    ->  selected maps (B, n_features) bool, list of B SampleSet.info dicts with the best energy added.

    >>> from qafs_utils.qubo import Selection
    >>> problem = Selection(np.array([1, 3]), np.array([-1.0, -0.9]), np.array([[1.0, 0.95], [0.95, 1.0]]))
    >>> selected, infos = solve_all([problem], 4, "exact", beta=0.5)  # maps 1 and 3 are alike: 1 will do
    >>> selected, float(infos[0]["energy"])
    (array([[False,  True, False, False]]), -0.5)
    """
    selected, infos = np.zeros((len(selections), n_features), dtype=bool), []
    found = sample_all(selections, name, beta, pair_sum, seed, desc, n_jobs, **parameters)
    for row, problem, samples in zip(selected, selections, found):
        best = samples.first
        row[problem.maps] = [best.sample[v] for v in range(problem.d)]
        infos.append(dict(samples.info) | {"energy": best.energy})
    return selected, infos


def success(hits, reads, of):
    """Probability that `of` of the `reads` reads, drawn without replacement, hold the optimum: hits (B,)  ->  (B,).

    Raises ValueError for more reads than were made.

    >>> success([0, 1, 10], reads=10, of=5)
    array([0. , 0.5, 1. ])
    """
    if not 1 <= of <= reads:
        raise ValueError(f"there are 1 to {reads} reads to draw, got {of}")
    return hypergeom.sf(0, reads, hits, of)


def reads_needed(probability, confidence=0.99):
    """Reads after which the optimum was met with that confidence: ln(1 - confidence) / ln(1 - p), at least 1.

    probability: (B,) of one read  ->  (B,), infinite where it is 0 (Ronnow et al., Science 345, 420, 2014, Eq. 3).
    Raises ValueError for a probability outside [0, 1].

    >>> reads_needed([0.99, 0.5, 0.0]).round(2)  # ln 0.01 / ln 0.5 = 6.64
    array([1.  , 6.64,  inf])
    """
    p = np.asarray(probability, dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"probabilities must lie in [0, 1], got {p.min()} to {p.max()}")
    with np.errstate(divide="ignore"):
        return np.where(p < confidence, np.log1p(-confidence) / np.log1p(-np.minimum(p, confidence)), 1.0)


def first_k(rank, importance, k):
    """The k candidates of lowest rank, image by image: rank, importance (B, N_f), k (B,)  ->  (B, N_f) bool.

    k = 0 selects nothing. Raises ValueError for k beyond the candidates (maps of positive importance), other shapes and
    NaN.

    >>> first_k([[2, 0, 1]], [[1.0, -1.0, 3.0]], [1])  # the second map is no candidate
    array([[False, False,  True]])
    """
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

    No redundancy, no optimisation: the QUBO's optimum among bit-strings of k maps at beta = 1. Raises as `first_k`.

    >>> top_k([[3.0, -9.0, 5.0, 1.0]], [2])
    array([[ True, False,  True, False]])
    """
    return first_k(-np.asarray(importance), importance, k)


def random_k(importance, k, seed=0):
    """k candidates drawn at random: importance (B, N_f), k (B,)  ->  (B, N_f) bool. Raises as `first_k`.

    >>> random_k([[3.0, -9.0, 5.0, 1.0]], [2], seed=0)
    array([[False, False,  True,  True]])
    """
    return first_k(np.random.default_rng(seed).random(np.shape(importance)), importance, k)


def maximal_marginal_relevance(problems, n_features, k, trade_off=0.7):
    """k maps one by one: each of largest trade_off * relevance - (1 - trade_off) * likeness to the maps already taken.

    Relevance is importance over the largest, likeness the largest cosine (Carbonell and Goldstein, SIGIR 1998).
    problems: list of B qubo.Selection; k: (B,)  ->  (B, n_features) bool.
    Raises ValueError for k beyond the candidates and a trade_off outside [0, 1].

    >>> from qafs_utils.qubo import Selection
    >>> cosines = np.array([[1.0, 0.95, 0.0], [0.95, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> problem = Selection(np.array([0, 2, 5]), np.array([-1.0, -0.9, -0.5]), cosines)
    >>> maximal_marginal_relevance([problem], 6, [2], trade_off=0.5).nonzero()[1]  # 2 is too much like 0
    array([0, 5])
    """
    if not 0 <= trade_off <= 1:
        raise ValueError(f"trade_off must lie in [0, 1], got {trade_off}")
    selected = np.zeros((len(problems), n_features), dtype=bool)
    for i, (problem, size) in enumerate(zip(problems, k, strict=True)):
        if not 0 <= size <= problem.d:
            raise ValueError(f"image {i}: k must lie between 0 and its {problem.d} candidates, got {size}")
        likeness, left = np.zeros(problem.d), np.ones(problem.d, bool)
        for _ in range(size):
            score = -trade_off * problem.field - (1 - trade_off) * likeness
            best = np.where(left, score, -np.inf).argmax()
            left[best] = False
            likeness = np.maximum(likeness, problem.redundancy[best])
        selected[i, problem.maps[~left]] = True
    return selected


def lasso_order(activations, logit):
    """Order in which maps enter an L1 fit of a class logit with weights >= 0 (Efron et al., Ann. Stat. 32, 407, 2004).

    activations: (B, N_f) mean activation of every map in B images; logit: (B,) of the class
    ->  (N_f,) rank, 0 for the first map to enter, N_f for maps that never do. Maps are standardised.
    Raises ValueError for other shapes and for NaN or infinity.

    >>> activations = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    >>> lasso_order(activations, activations @ [1.0, 2.0, -1.0])  # weights >= 0: the third map never enters
    array([1, 0, 3])
    """
    X, y = np.asarray(activations, dtype=np.float64), np.asarray(logit, dtype=np.float64)
    if X.ndim != 2 or y.shape != X.shape[:1]:
        raise ValueError(f"activations must be (B, N_f) with logit (B,), got {X.shape} and {y.shape}")
    if not (np.isfinite(X).all() and np.isfinite(y).all()):
        raise ValueError("activations or logit hold NaN or infinite values: check the feature maps they come from")
    X = X - X.mean(0)
    norm = np.linalg.norm(X, axis=0)
    X = np.divide(X, norm, out=np.zeros_like(X), where=norm > 1e-12)
    from sklearn.linear_model import lars_path  # a second to import, and few need it

    path = lars_path(X, y - y.mean(), method="lasso", positive=True)[2]
    entered = path > 0  # (N_f, steps); a map may leave and enter again
    step = np.where(entered.any(1), entered.argmax(1), path.shape[1])
    return np.where(entered.any(1), step.argsort(kind="stable").argsort(), len(path))
