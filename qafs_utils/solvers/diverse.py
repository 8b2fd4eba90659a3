"""Maps that are important and unlike each other, one by one: a DPP, facility location, submodular maximisation."""

from collections.abc import Callable
from dataclasses import replace

import dimod
import numpy as np

from .. import require
from ..conventions import HEADLINE
from ..qubo.binary import biases
from ..qubo.feature_selection import Problem, require_problems

SINGULAR = ("refuse", "stop")
_EXPLAINED = 1e-8  # share of a map's square that the chosen maps leave: below it is rounding
_ROUNDING = 1e-3  # negative eigenvalues up to this share of the largest are those of cosines in half precision


class SingularKernelError(ValueError):
    """A kernel whose rank is below the number of maps asked for: all such sets have the probability 0.

    >>> issubclass(SingularKernelError, ValueError)
    True
    """


def weighted(problem: Problem, quality) -> Problem:
    """The problem with another quality of its candidates in the field's place: h = -quality / largest quality.

    quality: (N_f,), not negative for the candidates; of the other maps it does not count. Importance times mean
    activation, say, asks for maps that are active in this image.
    Raises ValueError for another shape, a negative quality, and if no candidate has one.

    >>> weighted(Problem([0, 2], [-1.0, -0.5], np.eye(2), 3), [1.0, -7.0, 4.0]).field
    array([-0.25, -1.  ])
    """
    quality = require.array("quality", quality, "N_f", {"N_f": problem.n_features})[problem.maps]
    require.values("quality of candidates", quality, "[0, inf)", remedy=": a field rewards every candidate")
    if not quality.max(initial=0) > 0:
        raise ValueError("no candidate has a positive quality: leave the image out")
    return replace(problem, field=-quality / quality.max())


def _chosen(problems, k: int, quality, choose: Callable) -> np.ndarray:
    """k candidates of every image by choose(problem, k)  ->  (B, N_f) bool."""
    problems, n_features = require_problems(problems)
    if quality is not None:
        quality = require.array("quality", quality, "B N_f", {"B": len(problems), "N_f": n_features})
        problems = [weighted(problem, row) for problem, row in zip(problems, quality)]
    selected = np.zeros((len(problems), n_features), dtype=bool)
    for i, problem in enumerate(problems):
        size = require.whole(f"image {i}: k, of its candidates,", k, 0, problem.d)
        try:
            selected[i, problem.maps[choose(problem, size)]] = True
        except SingularKernelError as error:
            raise SingularKernelError(f"image {i}: {error}") from error
    return selected


def dpp(problems, k: int, quality=None, *, singular: str = "refuse") -> np.ndarray:
    """k maps whose kernel has a large determinant, by the greedy search for the mode of a determinantal point process.

    The kernel is L_pq = g_p g_q J_pq, quality g and redundancy J: its determinant falls where maps are alike. Each step
    adds the map of largest g_p^2 r_p, where r_p is what the chosen maps leave of the map p (Chen, Zhang and Zhou
    [chen2018dpp], Algorithm 1, which updates a Cholesky factor). The cosines of non-negative maps are a Gram matrix, of
    a rank that the pixels of a map bound: 49 for maps of 7 x 7.

    problems: list of B Problem; quality: (B, N_f), or None for the importance; singular: what to do where every further
    map is a combination of the chosen ones, "refuse", or "stop" with fewer maps  ->  (B, N_f) bool.
    Raises SingularKernelError (a ValueError) then, and ValueError for k beyond the candidates, cosines that are no
    kernel (a negative eigenvalue, as the absolute cosines of signed maps may have), and as `weighted`.

    >>> J = [[1.0, 0.9, 0.1], [0.9, 1.0, 0.1], [0.1, 0.1, 1.0]]
    >>> dpp([Problem([0, 1, 2], [-1.0, -0.9, -0.6], J, 3)], 2)  # 0.6^2 (1 - 0.1^2) is more than 0.9^2 (1 - 0.9^2)
    array([[ True, False,  True]])
    """
    require.choice("singular", singular, SINGULAR)
    return _chosen(problems, k, quality, lambda problem, size: _dpp(problem, size, singular))


def _dpp(problem, k, singular):
    J, quality, chosen = problem.redundancy, problem.importance, []
    eigenvalues = np.linalg.eigvalsh(J)
    if eigenvalues[:1].sum() < -_ROUNDING * eigenvalues[-1:].sum():
        why = f"its cosines have the eigenvalue {eigenvalues[0]:.3g}, so they are no kernel"
        raise ValueError(f"{why}: a DPP needs a Gram matrix, as maps after a ReLU have it")
    rest, factor = np.diag(J).copy(), np.zeros((k, len(J)))  # (d,) r_p; (k, d) Cholesky rows
    for step in range(k):
        gain = np.where(rest > _EXPLAINED, quality**2 * rest, 0)
        best = gain.argmax()
        if not gain[best] > 0:
            if singular == "stop":
                break
            raise SingularKernelError(
                f"the kernel has the rank {step}, so each set of {k} maps has determinant 0: ask for {step} maps or "
                "fewer, or give singular='stop'"
            )
        factor[step] = (J[best] - factor[:step, best] @ factor[:step]) / rest[best] ** 0.5
        rest = np.maximum(rest - factor[step] ** 2, 0)
        rest[best] = 0
        chosen.append(best)
    return chosen


def facility_location(problems, k: int, quality=None) -> np.ndarray:
    """k maps that stand for all candidates: greedy on F(S) = sum_p g_p max_{q in S} J_pq, of weights g.

    F is monotone and submodular, so the greedy set has at least 1 - 1/e of the largest F (Nemhauser, Wolsey and
    Fisher [nemhauser1978submodular]). It rewards likeness to the maps left out, where the QUBO punishes likeness to the
    others selected.

    Arguments and errors as `dpp`, but for a singular kernel, which is no obstacle.

    >>> J = [[1.0, 0.9, 0.1], [0.9, 1.0, 0.1], [0.1, 0.1, 1.0]]
    >>> facility_location([Problem([0, 1, 2], [-1.0, -0.9, -0.6], J, 3)], 2)
    array([[ True, False,  True]])
    """
    return _chosen(problems, k, quality, _facilities)


def _facilities(problem, k):
    J, weight, chosen = problem.redundancy, problem.importance, []
    nearest, left = np.zeros(len(J)), np.ones(len(J), bool)
    for _ in range(k):
        total = np.maximum(J, nearest) @ weight  # (d,) F with each map added; J is symmetric
        chosen.append(np.where(left, total, -np.inf).argmax())
        left[chosen[-1]] = False
        nearest = np.maximum(nearest, J[chosen[-1]])
    return chosen


def greedy_on_energy(
    problems, k: int, quality=None, *, beta: float = HEADLINE.beta, pair_sum: str = HEADLINE.pair_sum
) -> np.ndarray:
    """k maps one by one, each the one that lowers the QUBO's energy most, or raises it least: greedy on -E.

    Since J >= 0, -E is submodular: what a map adds falls as maps join. It is not monotone, so for exactly k maps the
    greedy set has no guarantee. Arguments and errors as `facility_location`; beta, pair_sum: of Eq. 4.

    >>> J = [[1.0, 0.9, 0.1], [0.9, 1.0, 0.1], [0.1, 0.1, 1.0]]
    >>> greedy_on_energy([Problem([0, 1, 2], [-1.0, -0.9, -0.6], J, 3)], 2, beta=0.5)
    array([[ True, False,  True]])
    """
    return _chosen(problems, k, quality, lambda problem, size: _by_energy(problem.bqm(beta, pair_sum), size))


def _by_energy(bqm, k):
    change, couplings, _ = biases(bqm)
    couplings, left, chosen = couplings + couplings.T, np.ones(len(change), bool), []
    for _ in range(k):
        best = np.where(left, change, np.inf).argmin()
        left[best] = False
        chosen.append(best)
        change = change + couplings[best]
    return chosen


def exchanged(problems, starts, *, beta: float = HEADLINE.beta, pair_sum: str = HEADLINE.pair_sum) -> np.ndarray:
    """Selections in which no exchange of one map for another lowers the energy: the best of several steepest descents.

    problems: list of B Problem; starts: (S, B, N_f) bool, whose sizes are kept  ->  (B, N_f) bool, of the ends of each
    image the first of least energy. Raises ValueError for other shapes, no start, and maps that are no candidates.

    >>> J = [[1.0, 0.9, 0.1], [0.9, 1.0, 0.1], [0.1, 0.1, 1.0]]
    >>> exchanged([Problem([0, 1, 2], [-1.0, -0.9, -0.6], J, 3)], [[[True, True, False]]], beta=0.5)
    array([[ True, False,  True]])
    """
    problems, n_features = require_problems(problems)
    starts = require.bits("starts", starts, "S B N_f", {"B": len(problems), "N_f": n_features})
    if not len(starts):
        raise ValueError("starts must hold at least one selection for each image, got none")
    selected = np.zeros(starts.shape[1:], bool)
    for i, problem in enumerate(problems):
        inside = starts[:, i, problem.maps]
        if starts[:, i].sum() > inside.sum():
            raise ValueError(f"image {i}: a start holds maps that are no candidates: choose among problem.maps")
        linear, couplings, _ = biases(problem.bqm(beta, pair_sum))
        couplings = couplings + couplings.T
        ends = np.array([_descended(linear, couplings, bits) for bits in inside])
        energies = ends @ linear + 0.5 * ((ends @ couplings) * ends).sum(1)
        selected[i] = problem.selected(ends[energies.argmin()])
    return selected


def _descended(linear, couplings, bits):
    """Where steepest descent by exchanges ends: linear (d,), symmetric couplings (d, d), bits (d,)  ->  (d,) bool."""
    inside = bits.copy()
    while inside.any() and not inside.all():
        ones, zeros = np.flatnonzero(inside), np.flatnonzero(~inside)
        change = linear + couplings @ inside  # of the energy, by adding a map; minus it, by removing one
        change = change[zeros] - change[ones, None] - couplings[np.ix_(ones, zeros)]
        out, into = np.unravel_index(change.argmin(), change.shape)
        if change[out, into] > -1e-12:
            break
        inside[ones[out]], inside[zeros[into]] = False, True
    return inside


def double_greedy(bqm: dimod.BinaryQuadraticModel) -> np.ndarray:
    """Bits of low energy, of any number of ones, by deterministic double greedy [buchbinder2015greedy].

    It keeps a small and a large set, and decides each variable in turn by which of the two gains more from it. For
    submodular f = -E, here a model without negative couplings, 3 f(S) >= f(optimum) + f(none) + f(all): a third of the
    optimum if the last two are not negative. With all maps selected E is large here, and the bound says nothing.
    -> (d,) bool. Raises ValueError for a negative coupling, and as `binary.require_model`.

    >>> double_greedy(dimod.BinaryQuadraticModel({0: -1.0, 1: -0.9}, {(0, 1): 1.5}, 0.0, dimod.BINARY))
    array([ True, False])
    """
    linear, couplings, _ = biases(bqm)
    if couplings.min(initial=0) < 0:
        raise ValueError("-E is submodular without negative couplings only: give the model of J >= 0")
    couplings = couplings + couplings.T
    small, large = np.zeros(len(linear), bool), np.ones(len(linear), bool)
    for p in range(len(linear)):
        adding = -linear[p] - couplings[p] @ small
        removing = linear[p] + couplings[p] @ large  # no variable couples to itself
        small[p] = large[p] = adding >= removing
    return small
