"""Selection problems as an annealer takes them: Ising models within its ranges of fields and couplings."""

from typing import NamedTuple

import dimod
import numpy as np

from .. import require
from ..qubo.binary import biases, energies

H_RANGE, J_RANGE, CHAIN = 4.0, 1.0, -2.0  # |h|, |J|, and the strongest coupling of a chain


class Ising(NamedTuple):
    """sum_i h_i s_i + sum_{i<j} J_ij s_i s_j + offset over spins s = 2 n - 1.

    h: (d,); J: (d, d), zero on and below the diagonal; offset: of the energy, in the same units.

    >>> Ising(np.array([1.0]), np.zeros((1, 1)), 0.0).d
    1
    """

    h: np.ndarray
    J: np.ndarray
    offset: float

    @property
    def d(self) -> int:
        """Number of spins."""
        return len(self.h)

    def bqm(self) -> dimod.BinaryQuadraticModel:
        """As a dimod model of spins 0 to d - 1, offset included.

        >>> float(Ising(np.array([1.0, 0.0]), np.array([[0, 0.5], [0, 0]]), 2.0).bqm().energy({0: 1, 1: -1}))
        2.5
        """
        rows, columns = np.nonzero(self.J)
        pairs = {(int(i), int(j)): float(self.J[i, j]) for i, j in zip(rows, columns)}
        return dimod.BinaryQuadraticModel(dict(enumerate(self.h.tolist())), pairs, float(self.offset), dimod.SPIN)

    def energies(self) -> np.ndarray:
        """Energies of all spin strings, (2^d,): bit p of an index is 1 where s_p = 1. Raises as `binary.energies`.

        >>> Ising(np.array([1.0]), np.zeros((1, 1)), 0.5).energies()
        array([-0.5,  1.5])
        """
        return energies(self.bqm())


def ising_of(bqm: dimod.BinaryQuadraticModel) -> Ising:
    """A binary model as spins, in the order of its variables: s = 2 n - 1. Raises ValueError as `require_model`.

    >>> ising_of(dimod.BinaryQuadraticModel({"a": -1.0, "b": 0.0}, {("a", "b"): 2.0}, 0.0, dimod.BINARY)).h
    array([0. , 0.5])
    """
    linear, below, offset = biases(bqm)
    J = below.T / 4
    return Ising(linear / 2 + J.sum(0) + J.sum(1), J, offset + linear.sum() / 2 + J.sum())


def range_factor(problem: Ising) -> float:
    """What auto-scaling divides all h and J by, so that |h| <= 4 and |J| <= 1: 1 if nothing is asked of the spins.

    >>> range_factor(Ising(np.array([1.0, 0.0]), np.array([[0, 0.5], [0, 0]]), 2.0))
    0.5
    """
    largest = max(abs(problem.h).max(initial=0.0) / H_RANGE, abs(problem.J).max(initial=0.0) / J_RANGE)
    return float(largest) or 1.0


def auto_scaled(problem: Ising) -> Ising:
    """The problem divided by its `range_factor`, its offset too.

    >>> auto_scaled(Ising(np.array([1.0, 0.0]), np.array([[0, 0.5], [0, 0]]), 2.0))
    Ising(h=array([2., 0.]), J=array([[0., 1.],
           [0., 0.]]), offset=4.0)
    """
    factor = range_factor(problem)
    return Ising(problem.h / factor, problem.J / factor, problem.offset / factor)


def fields_on_ancilla(problem: Ising) -> Ising:
    """The fields as couplings to one more spin, the last: what the fast protocol takes, which has no fields.

    Every energy is met twice, once with all spins turned: a string counts as it is where the ancilla is +1.

    >>> fields_on_ancilla(Ising(np.array([1.0]), np.zeros((1, 1)), 0.5)).energies()
    array([ 1.5, -0.5, -0.5,  1.5])
    """
    d = problem.d
    J = np.zeros((d + 1, d + 1))
    J[:d, :d], J[:d, d] = problem.J, problem.h
    return Ising(np.zeros(d + 1), J, problem.offset)


def as_taken(bqm: dimod.BinaryQuadraticModel, protocol: str = "standard") -> Ising:
    """What a processor anneals of a model: spins, for the fast protocol an ancilla, scaled to the ranges.

    Raises ValueError as `require_model`, and for an unknown protocol.

    >>> as_taken(dimod.BinaryQuadraticModel({"a": -1.0}, {}, 0.0, dimod.BINARY)).h
    array([-4.])
    """
    require.choice("protocol", protocol, ("standard", "fast"))
    problem = ising_of(bqm)
    return auto_scaled(fields_on_ancilla(problem) if protocol == "fast" else problem)
