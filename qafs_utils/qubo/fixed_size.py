"""Exactly k maps: the penalty that asks for them, and the size checked."""

import dimod
import numpy as np

from .. import require
from .binary import biases


def sufficient_penalty(bqm: dimod.BinaryQuadraticModel, k: int) -> float:
    """A weight: for every lambda above it all ground states of bqm + lambda (|n| - k)^2 have exactly k ones.

    Proof, with n's linear biases b and couplings Q: taking p out raises the energy by at most R_p = -b_p +
    sum_q max(-Q_pq, 0), and of k + 1 ones or more the cheapest costs at most the (d - k)-th smallest R. Adding p to
    k - 1 ones or less raises it by at most A_p = b_p + the k - 1 largest max(Q_pq, 0), and of d - k + 1 zeros or more
    the cheapest costs at most the k-th smallest A. So r flips lead from k +- r ones to k, raise the energy by at most
    r times the larger cost, and lower the penalty by lambda r^2 >= lambda r.
    Raises ValueError for k outside 0..d, and for models that `binary.require_model` refuses.

    >>> bqm = dimod.BinaryQuadraticModel({"a": -2.0, "b": -1.0}, {}, 0.0, dimod.BINARY)
    >>> sufficient_penalty(bqm, 1)  # a second map gains 1
    1.0
    """
    b, Q, _ = biases(bqm)
    d = len(b)
    k = require_size(k, d)
    Q = Q + Q.T
    removals = np.sort(-b + np.maximum(-Q, 0).sum(1))
    additions = np.sort(b + np.sort(np.maximum(Q, 0), axis=1)[:, d - max(k - 1, 0) :].sum(1))
    return float(max([0.0, *removals[: d - k][-1:], *additions[:k][-1:]]))


def exactly(bqm: dimod.BinaryQuadraticModel, k: int, penalty: float | None = None) -> dimod.BinaryQuadraticModel:
    """The model with exactly k ones (of SPIN variables, +1) favoured: bqm + penalty (|n| - k)^2, a new model.

    Strings of k ones keep their energies. penalty: None for 1 % and 1e-6 of the largest bias over `sufficient_penalty`.
    Raises ValueError as `sufficient_penalty`, or for a penalty that is not positive and finite, or so large that
    rounding would lose the energies: times d^2, beyond 1e12 of the largest bias.

    >>> bqm = dimod.BinaryQuadraticModel({"a": -2.0, "b": -1.0}, {}, 0.0, dimod.BINARY)
    >>> one = exactly(bqm, 1, penalty=1.5)
    >>> [float(one.energy({"a": 1, "b": b})) for b in (0, 1)]  # before: -2, -3
    [-2.0, -1.5]
    """
    enough, d = sufficient_penalty(bqm, k), bqm.num_variables
    b, Q, _ = biases(bqm)
    largest = max(np.abs(b).max(initial=0), np.abs(Q).max(initial=0))
    if penalty is None:
        penalty = 1.01 * enough + 1e-6 * (largest or 1)
    k, penalty = require_size(k, d), require.number("penalty", penalty, "(0, inf)")
    if largest and penalty > (most := 1e12 * largest / d**2):
        raise ValueError(f"penalty must be at most {most:.3g}, or rounding loses the model's energies, got {penalty:g}")
    penalised, one = bqm.copy(), 1.0 if bqm.vartype is dimod.BINARY else 0.5  # n = (s + 1) / 2
    penalised.add_linear_equality_constraint([(v, one) for v in bqm.variables], penalty, d * (1 - one) - k)
    return penalised


def require_size(k, d: int) -> int:
    """k as an int. Raises ValueError unless k of d variables can be ones.

    >>> require_size(2.0, 3)
    2
    >>> require_size(4, 3)
    Traceback (most recent call last):
    ValueError: exactly 4 maps are infeasible: the size must be a whole number from 0 to 3, got 4
    """
    return require.whole(f"exactly {require.described(k)} maps are infeasible: the size", k, 0, require.whole("d", d))
