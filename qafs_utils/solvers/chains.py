"""Dense problems on the qubits of a processor: chains, the scale that their strength leaves, and majority votes.

A variable is a chain of qubits. Its field is split over the qubits, a coupling over all couplers between two chains,
and every coupler within a chain holds it together with minus the chain strength. All is then divided by one factor
so that it fits the ranges. Chains may be twice as strong as the strongest coupling (the extended range): up to that
their strength costs nothing, beyond it the problem is scaled down, and the temperature counts for more.

Sums of couplings at a qubit or a group of couplers have limits too, of -18 to 15 (Pegasus) and -13 to 10 (Zephyr). They
do not bind here: the couplers of such a group are at most 15 and 10, and the couplings of feature maps are positive.
"""

from collections.abc import Mapping
from typing import NamedTuple

import dimod
import networkx as nx
import numpy as np
from scipy.sparse import coo_array, csr_array, triu

from .. import require
from ..annealing.ising import CHAIN, H_RANGE, J_RANGE, Ising, range_factor

_ERRORS = ("delta_h", "delta_J", "step_h", "step_J", "h_scale", "chi")


class Embedded(NamedTuple):
    """An Ising problem of d variables on n qubits, as the processor takes it.

    h: (n,) fields; edges: (m, 2) numbers of coupled qubits, the smaller first; J: (m,) couplings; chain: (n,) the
    variable of a qubit; qubits: (n,) their labels in the graph; within: (m,) bool, whether a coupler is part of a
    chain; factor: what the problem was divided by; price: that over what it would be with all variables coupled
    directly, below 1 where split couplings gain more than the chains cost; offset: of the energy.
    """

    h: np.ndarray
    edges: np.ndarray
    J: np.ndarray
    chain: np.ndarray
    qubits: np.ndarray
    within: np.ndarray
    factor: float
    price: float
    offset: float

    @property
    def n(self) -> int:
        """Number of qubits."""
        return len(self.h)

    @property
    def d(self) -> int:
        """Number of variables."""
        return int(self.chain.max(initial=-1)) + 1

    def bqm(self) -> dimod.BinaryQuadraticModel:
        """As a dimod model of spins, labelled as the qubits of the graph.

        >>> problem = Ising(np.array([1.0]), np.zeros((1, 1)), 0.0)
        >>> embedded(problem, {0: (5, 7)}, nx.Graph([(5, 7)]), 2.0).bqm().quadratic
        {(7, 5): -2.0}
        """
        labels = self.qubits.tolist()
        pairs = {(labels[i], labels[j]): value for (i, j), value in zip(self.edges.tolist(), self.J.tolist())}
        return dimod.BinaryQuadraticModel(dict(zip(labels, self.h.tolist())), pairs, self.offset, dimod.SPIN)

    def energies(self, spins) -> np.ndarray:
        """Energies of spins (R, n) of -1 and 1  ->  (R,), offset included. Raises ValueError for another shape.

        >>> problem = Ising(np.array([1.0]), np.zeros((1, 1)), 0.0)
        >>> embedded(problem, {0: (5, 7)}, nx.Graph([(5, 7)]), 2.0).energies([[1, 1], [-1, -1], [1, -1]])
        array([ 1., -1.,  4.])
        """
        spins = require.array("spins", spins, "R n", {"n": self.n})
        i, j = self.edges.T
        return spins @ self.h + (spins[:, i] * spins[:, j]) @ self.J + self.offset


def embedded(problem: Ising, embedding: Mapping, graph: nx.Graph, chain_strength: float) -> Embedded:
    """A problem on chains of qubits, scaled to the ranges: |h| <= 4, |J| <= 1, chains down to -2.

    embedding: variable 0..d-1 -> its qubits; graph: working qubits and couplers; chain_strength: in the problem's
    units, as Ocean takes it. Raises ValueError for a strength that is not positive, a variable without a chain, a
    qubit in two chains or missing in the graph, a chain that is not connected, and coupled variables without a coupler.

    >>> square = nx.cycle_graph(4)
    >>> problem = Ising(np.array([0.4, 0.0]), np.array([[0, 0.5], [0, 0]]), 0.0)
    >>> found = embedded(problem, {0: (0, 1), 1: (2, 3)}, square, chain_strength=1.0)
    >>> found.h, found.J, found.factor, found.price  # 0.5 is split over two couplers
    (array([0.4, 0.4, 0. , 0. ]), array([-2. ,  0.5,  0.5, -2. ]), 0.5, 1.0)
    """
    strength = require.number("chain_strength", chain_strength, "(0, inf)")
    if set(embedding) != set(range(problem.d)) or not all(len(embedding[p]) for p in embedding):
        raise ValueError(f"embedding must have a chain of qubits for each of the {problem.d} variables")
    members = [(p, q) for p in range(problem.d) for q in embedding[p]]
    chain, qubits = np.array([p for p, _ in members], np.int64), np.array([q for _, q in members], np.int64)
    place = {q: i for i, (_, q) in enumerate(members)}
    if len(place) < len(members) or not all(q in graph for q in place):
        raise ValueError("embedding must have each qubit in one chain, and qubits of the graph only")
    for p in range(problem.d):
        if not nx.is_connected(graph.subgraph(embedding[p])):
            raise ValueError(f"embedding: the chain of variable {p} is not connected: embed on this graph")
    pairs = sorted(tuple(sorted((place[u], place[v]))) for u, v in graph.subgraph(place).edges)
    edges = np.array(pairs, np.int64).reshape(-1, 2)
    first, second = chain[edges].T  # the variables that a coupler joins; chains are in the order of the variables
    within = first == second
    couplers = np.zeros((problem.d, problem.d))
    np.add.at(couplers, (first, second), 1)
    absent = np.argwhere((problem.J != 0) & (couplers == 0))
    if len(absent):
        raise ValueError(f"embedding: no coupler joins the variables {absent[0].tolist()}: embed on this graph")
    J = np.where(within, -strength, problem.J[first, second] / couplers[first, second])
    h = (problem.h / np.bincount(chain, minlength=problem.d))[chain]
    used = within | (J != 0)
    edges, J, within = edges[used], J[used], within[used]
    needed = (abs(h).max(initial=0) / H_RANGE, abs(J[~within]).max(initial=0) / J_RANGE, -J.min(initial=0) / -CHAIN)
    factor = float(max(needed)) or 1.0
    offset = (problem.offset + strength * within.sum()) / factor
    price = factor / range_factor(problem)
    return Embedded(h / factor, edges, J / factor, chain, qubits, within, factor, price, float(offset))


def torque_strength(problem: Ising, prefactor: float = 1.414) -> float:
    """Ocean's default chain strength, uniform torque compensation: prefactor, times the root mean square of couplings,
    times the root of how many a variable has. 1 without couplings. Raises ValueError unless the prefactor is positive.

    >>> round(torque_strength(Ising(np.zeros(5), np.triu(np.full((5, 5), 0.5), 1), 0.0)), 3)  # 1.414 * 0.5 * 2
    1.414
    """
    prefactor = require.number("prefactor", prefactor, "(0, inf)")
    count = np.count_nonzero(problem.J)
    if not count:
        return 1.0
    return float(prefactor * np.sqrt((problem.J**2).sum() / count) * np.sqrt(2 * count / problem.d))


def with_errors(problem: Embedded, errors: Mapping[str, float], rng) -> Embedded:
    """The problem that the processor anneals in its place: control errors on every qubit and coupler.

    errors: as `processors.control_errors` has them. In this order: values are rounded to the converter's steps, fields
    are scaled by the qubit, both get Gaussian errors, and the background susceptibility chi couples next neighbours
    and lets fields leak: h_i + chi sum_k J_ik h_k, J_ij + chi sum_k J_ik J_kj. Couplers that are not used have none.
    rng: a seed or numpy Generator. Raises ValueError for another set of errors, or a size that is no number.

    >>> problem = embedded(Ising(np.array([1.0]), np.zeros((1, 1)), 0.0), {0: (5, 7)}, nx.Graph([(5, 7)]), 2.0)
    >>> none = dict.fromkeys(["delta_h", "delta_J", "step_h", "step_J", "h_scale"], 0.0)
    >>> with_errors(problem, none | {"chi": -0.015}, 0).h  # 0.5 + 0.015 * 2 * 0.5
    array([0.515, 0.515])
    """
    if set(errors) != set(_ERRORS):
        raise ValueError(f"errors must be {', '.join(_ERRORS)}, got {', '.join(map(str, errors)) or 'none'}")
    size = {name: require.number(name, errors[name], "(-inf, inf)" if name == "chi" else "[0, inf)") for name in errors}
    rng, n = require.generator("rng", rng), problem.n
    h = _rounded(problem.h, size["step_h"]) * (1 + size["h_scale"] * rng.normal(size=n))
    h = h + size["delta_h"] * rng.normal(size=n)
    J = _rounded(problem.J, size["step_J"]) + size["delta_J"] * rng.normal(size=len(problem.J))
    i, j = problem.edges.T
    both = csr_array(coo_array((np.r_[J, J], (np.r_[i, j], np.r_[j, i])), shape=(n, n)))
    if size["chi"] == 0:
        return problem._replace(h=h, J=J)
    upper = coo_array(triu(both + size["chi"] * (both @ both), k=1))
    edges = np.stack(upper.coords, axis=1).astype(np.int64)
    within = problem.chain[edges[:, 0]] == problem.chain[edges[:, 1]]
    return problem._replace(h=h + size["chi"] * (both @ h), edges=edges, J=upper.data, within=within)


def _rounded(values, step):
    return np.round(values / step) * step if step > 0 else values


def unembed(spins, chain, rng=0) -> tuple[np.ndarray, np.ndarray]:
    """Majority votes of chains: spins (R, n) of -1 and 1, chain (n,)  ->  spins (R, d) int8, broken (R, d) bool.

    A tie is decided by lot: rng is a seed or numpy Generator; a chain is broken if its qubits differ.
    Raises ValueError for other shapes, spins that are not -1 or 1, and a variable without qubits.

    >>> unembed([[1, 1, -1], [-1, 1, -1]], [0, 0, 0])
    (array([[ 1],
           [-1]], dtype=int8), array([[ True],
           [ True]]))
    """
    sizes = {}
    spins = require.array("spins", spins, "R n", sizes)
    if not (abs(spins) == 1).all():
        raise ValueError("spins must be -1 or 1: turn bits n into 2 n - 1")
    chain = require.indices("chain", chain, "n", max(sizes["n"], 1), sizes)
    lengths = np.bincount(chain)
    if (lengths == 0).any():
        raise ValueError(f"chain must have qubits for every variable up to {len(lengths) - 1}")
    member = csr_array((np.ones(len(chain)), (np.arange(len(chain)), chain)), shape=(len(chain), len(lengths)))
    votes = spins @ member
    lots = require.generator("rng", rng).choice([-1, 1], votes.shape)
    return np.where(votes == 0, lots, np.sign(votes)).astype(np.int8), abs(votes) < lengths
