"""What an annealer returns in thermal equilibrium: Boltzmann samples of an embedded problem at its freeze-out.

The temperature is that at the freeze-out of a single qubit, `Processor.at_freezeout`. This is a generous picture of
the device. Chains of qubits tunnel less than a single one and stop to move earlier, where the energies are worth less
of kT; and an anneal may be too short for equilibrium. Samples come from simulated annealing that ends at the
temperature, with moves of single qubits and of whole chains. No process of the device turns a chain at once: these
moves stand for the tunnelling and the waves of single flips that turn chains before they freeze.
"""

import numpy as np
import pandas as pd

from .. import require
from ..annealing.ising import ising_of
from ..annealing.processors import Processor, find_processor
from ..compiled import njit
from .branch_and_bound import ExactSampler
from .chains import Embedded, embedded, unembed, with_errors
from .processor_graphs import clique, processor_graph

_HELD = 0.5  # share of the sweeps at the final temperature
_MOST = 10**7
_Z = 3.0  # standard errors by which two halves of an equilibrium may differ
_SAME = 1e-9  # of the energies: as low as the optimum


@njit()
def _turn(i, s, g, start, neighbour, J):
    """Turn spin i; g: (n,) fields that the spins feel, in place."""
    s[i] = -s[i]
    for e in range(start[i], start[i + 1]):
        g[neighbour[e]] += 2 * J[e] * s[i]


@njit()
def _sample(h, start, neighbour, J, chain, first, betas, by_chain, seed, spins):
    """Metropolis sweeps at the inverse temperatures betas, each read from random spins: spins (R, n) int8, in place.

    start (n + 1,), neighbour, J: couplings row by row; chain (n,), first (d + 1,): the chains, one after the other.
    """
    np.random.seed(seed)
    n, d = len(h), len(first) - 1
    g = np.empty(n)
    for s in spins:
        for i in range(n):
            s[i] = 1 if np.random.random() < 0.5 else -1
        for i in range(n):
            g[i] = h[i]
            for e in range(start[i], start[i + 1]):
                g[i] += J[e] * s[neighbour[e]]
        for beta in betas:
            for i in range(n):
                cost = -2 * s[i] * g[i] * beta
                if cost <= 0 or (cost < 40 and np.random.random() < np.exp(-cost)):
                    _turn(i, s, g, start, neighbour, J)
            if not by_chain:
                continue
            for p in range(d):
                if first[p + 1] - first[p] < 2:
                    continue
                cost = 0.0
                for i in range(first[p], first[p + 1]):
                    field = g[i]
                    for e in range(start[i], start[i + 1]):
                        if chain[neighbour[e]] == p:
                            field -= J[e] * s[neighbour[e]]
                    cost -= 2 * s[i] * field * beta
                if cost <= 0 or (cost < 40 and np.random.random() < np.exp(-cost)):
                    for i in range(first[p], first[p + 1]):
                        _turn(i, s, g, start, neighbour, J)


def sample(
    problem: Embedded, beta: float, reads: int = 100, *, sweeps: int = 1000, seed: int = 0, by_chain: bool = True
) -> np.ndarray:
    """Spins of an embedded problem at the inverse temperature beta: (reads, n) int8.

    Simulated annealing from random spins: half of the sweeps cool geometrically from where all moves are taken, the
    others are made at beta. by_chain: moves of whole chains too, which equilibrium needs where chains are strong.
    Raises ValueError for a beta that is not positive, and for fewer than one read or sweep.

    >>> import networkx as nx
    >>> from qafs_utils.annealing.ising import Ising
    >>> alone = embedded(Ising(np.array([0.5]), np.zeros((1, 1)), 0.0), {0: (0, 1)}, nx.path_graph(2), 2.0)
    >>> (sample(alone, 9.0, reads=100) == -1).mean()
    np.float64(1.0)
    """
    beta = require.number("beta", beta, "(0, inf)")
    reads, sweeps = require.whole("reads", reads, 1, _MOST), require.whole("sweeps", sweeps, 1, _MOST)
    by_chain, seed = require.flag("by_chain", by_chain), require.whole("seed", seed, 0, 2**32 - 1)
    spins = np.empty((reads, problem.n), np.int8)
    if problem.n:
        largest = abs(problem.h) + np.bincount(problem.edges.ravel(), np.repeat(abs(problem.J), 2), minlength=problem.n)
        hot = min(beta, np.log(2) / (2 * (largest.max() or 1.0)))
        cooling = int(sweeps * (1 - _HELD))
        betas = np.r_[np.geomspace(hot, beta, cooling + 1)[:-1], np.full(sweeps - cooling, beta)]
        first = np.r_[0, np.cumsum(np.bincount(problem.chain))]
        _sample(problem.h, *_rows(problem), problem.chain, first, betas, by_chain, seed, spins)
    return spins


def _rows(problem):
    """Couplings row by row: start (n + 1,), neighbours (2 m,), values (2 m,)."""
    i, j = problem.edges.T
    ends, others = np.r_[i, j], np.r_[j, i]
    order = np.lexsort((others, ends))
    start = np.r_[0, np.cumsum(np.bincount(ends, minlength=problem.n))]
    return start, others[order], np.r_[problem.J, problem.J][order]


def wilson_interval(hits: int, reads: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a probability, `hits` of `reads`, by Wilson's score [wilson1927score]  ->  (low, high).

    Raises ValueError for fewer than one read, or hits outside 0..reads.

    >>> low, high = wilson_interval(0, 10)
    >>> low, round(high, 3)
    (0.0, 0.278)
    """
    reads = require.whole("reads", reads, 1)
    hits, z = require.whole("hits", hits, 0, reads), require.number("z", z, "(0, inf)")
    p, shrunk = hits / reads, 1 + z**2 / reads
    half = z * np.sqrt(p * (1 - p) / reads + z**2 / (4 * reads**2))
    middle = p + z**2 / (2 * reads)
    return max(0.0, float((middle - half) / shrunk)), min(1.0, float((middle + half) / shrunk))


def embedded_success(
    models,
    processor: str | Processor,
    chain_strengths,
    *,
    graph_seeds=(0,),
    reads: int = 100,
    sweeps: int = 1000,
    protocol: str = "standard",
    errors=None,
    seed: int = 0,
    time_limit: float = 60.0,
) -> pd.DataFrame:
    """How often reads of a processor in equilibrium hold the optimum, by size and chain strength  ->  table.

    models: list of dimod models that fit the processor; chain_strengths: over the model's strongest coupling between
    spins, (S,); graph_seeds: of which qubits work; errors: control errors, see `chains.with_errors`, drawn once for
    each row, None for none; time_limit: seconds for a proof of the optimum.
    A row a model, seed and strength: model, d, graph_seed, chain_strength, chain_length (the longest), qubits, factor
    and price (see `chains.Embedded`), beta (B / 2 kT at the freeze-out), reads, hits, success, low and high (95 %,
    Wilson), chain_breaks (share of chains), proven (the optimum), equilibrated: whether hits and mean energies of
    these reads agree, to three standard errors, with those of as many reads of a quarter of the sweeps.
    Raises HardwareError as `processor_graphs.clique`, and ValueError for an unknown processor or protocol, strengths
    that are not positive, fewer than one read or four sweeps, and a model without variables.

    >>> import dimod
    >>> bqm = dimod.BinaryQuadraticModel({0: -1.0, 1: -0.75}, {(0, 1): 1.0}, 0.0, dimod.BINARY)
    >>> table = embedded_success([bqm], "Advantage2_system4", [2.0], reads=50, sweeps=100)
    >>> table[["d", "chain_length", "reads", "proven", "equilibrated"]].values.tolist()
    [[2, 1, 50, True, True]]
    """
    processor = find_processor(processor)
    strengths = require.array("chain_strengths", chain_strengths, "S", interval="(0, inf)").tolist()
    beta, sweeps = processor.at_freezeout(protocol), require.whole("sweeps", sweeps, 4, _MOST)
    reads, seed = require.whole("reads", reads, 1, _MOST), require.whole("seed", seed)
    graph_seeds, rows = [require.whole("graph_seeds", number) for number in graph_seeds], []
    for number, bqm in enumerate(models):
        problem = ising_of(bqm)
        require.whole("the number of variables of a model", problem.d, 1)
        best = ExactSampler().sample(bqm, time_limit=time_limit).info
        unit = float(abs(problem.J).max()) or 1.0
        for graph_seed in graph_seeds:
            chains, graph = clique(processor, problem.d, seed=graph_seed), processor_graph(processor, seed=graph_seed)
            for strength in strengths:
                model = embedded(problem, chains, graph, strength * unit)
                streams = np.random.SeedSequence([seed, number, graph_seed, len(rows)]).generate_state(5)
                annealed = model if errors is None else with_errors(model, errors, int(streams[4]))
                found = []
                for share, stream, lots in ((1, streams[0], streams[1]), (4, streams[2], streams[3])):
                    spins = sample(annealed, beta, reads, sweeps=sweeps // share, seed=int(stream))
                    votes, broken = unembed(spins, model.chain, int(lots))
                    energies = _energies(problem, votes)
                    hits = energies <= best["energy"] + _SAME * max(1.0, abs(best["energy"]))
                    found.append((hits, annealed.energies(spins), broken.mean()))
                hits = int(found[0][0].sum())
                low, high = wilson_interval(hits, reads)
                rows.append(
                    {
                        "model": number,
                        "d": problem.d,
                        "graph_seed": graph_seed,
                        "chain_strength": strength,
                        "chain_length": max(map(len, chains.values())),
                        "qubits": model.n,
                        "factor": model.factor,
                        "price": model.price,
                        "beta": beta,
                        "reads": reads,
                        "hits": hits,
                        "success": hits / reads,
                        "low": low,
                        "high": high,
                        "chain_breaks": float(found[0][2]),
                        "proven": best["proven"],
                        "equilibrated": all(_agree(ours, theirs) for ours, theirs in zip(found[0][:2], found[1][:2])),
                    }
                )
    return pd.DataFrame(rows)


def _energies(problem, spins):
    """Energies of spins (R, d) in the problem's own units: (R,)."""
    spins = spins.astype(float)
    return spins @ problem.h + ((spins @ problem.J) * spins).sum(1) + problem.offset


def _agree(first, second):
    """Whether the means of two samples agree within their standard errors; of shares, with one more of each outcome."""
    first, second = np.asarray(first, float), np.asarray(second, float)
    error = np.sqrt(first.var() / len(first) + second.var() / len(second)) + 1 / (len(first) * 1e3)
    return bool(abs(first.mean() - second.mean()) <= _Z * error)
