"""An array of all energies as a landscape: descents, local minima, the best of each size."""

import numpy as np

from .. import require
from ..conventions import HEADLINE
from .binary import bits, energies, number_of_qubits
from .feature_selection import Problem, require_problems


def optima(problems: list[Problem], *, beta: float = HEADLINE.beta, pair_sum: str = HEADLINE.pair_sum) -> np.ndarray:
    """The maps of lowest energy of every image, among all 2^d selections: B problems  ->  (B, N_f) bool.

    Of equals the first in the order of `binary.energies`. Raises as it does, and ValueError for what is no Problem.

    >>> alike = Problem(np.array([0, 2]), np.array([-1.0, -0.5]), np.ones((2, 2)), n_features=3)
    >>> optima([alike], beta=0.5)
    array([[ True, False, False]])
    """
    lowest = ((p, np.argmin(energies(p.bqm(beta, pair_sum)))) for p in require_problems(problems)[0])
    return np.array([p.selected(bits([k], p.d)[0]) for p, k in lowest])


def _landscape(energies):
    energies = require.array("energies", energies, "2^d", remedy=": check the model they come from")
    number_of_qubits(energies.shape)
    return energies


def _flipped(k, energies):
    """Indices one flip away: (...,) int  ->  (d, ...). Bit p of an index is n_p, as in `annealing`."""
    return np.array([k ^ (1 << p) for p in range(number_of_qubits(energies.shape))], dtype=int)


def descend(energies, start: int = 0) -> int:
    """Steepest descent, one flip at a time: energies (2^d,), index of a bit-string  ->  index of a local minimum.

    Raises ValueError for a length that is no power of two, NaN and infinity.

    >>> descend(np.array([0.0, -1.0, 1.0, -3.0]))  # 00 -> 10 -> 11
    3
    """
    energies = _landscape(energies)
    start = require.whole("start", start, 0, len(energies) - 1)
    near = _flipped(start, energies)
    while len(near) and energies[best := near[energies[near].argmin()]] < energies[start]:
        start, near = best, _flipped(best, energies)
    return int(start)


def best_of_size(energies) -> np.ndarray:
    """Lowest-energy bit-string of every size: energies (2^d,)  ->  (d + 1,) indices, entry k with k maps.

    Raises ValueError for a length that is no power of two, NaN and infinity.

    >>> best_of_size(np.array([0.0, -1.0, 1.0, -3.0]))  # none, the first, both
    array([0, 1, 3])
    """
    energies = _landscape(energies)
    sizes = np.arange(number_of_qubits(energies.shape) + 1)
    size = np.bitwise_count(np.arange(len(energies)))
    order = np.lexsort((energies, size))
    return order[np.searchsorted(size[order], sizes)]


def local_minima(energies) -> np.ndarray:
    """Which bit-strings no single flip improves: energies (2^d,)  ->  (2^d,) bool. Raises as `descend`.

    >>> local_minima(np.array([0.0, 2.0, 1.0, -1.0]))
    array([ True, False, False,  True])
    """
    energies = _landscape(energies)
    return np.all(energies <= energies[_flipped(np.arange(len(energies)), energies)], axis=0)
