"""The whole path in beta: the optimum of every trade-off between importance and redundancy, with its proof.

For fixed bits the energy of Eq. 4 is linear in beta, E = (1 - beta) A + beta B, with A the redundancy and B minus the
importance of the maps. So the least energy over all bits is concave and consists of straight pieces, and bits that are
optimal at two values of beta are optimal in between. A few exact solves find all pieces: solve at both ends, where the
two lines cross, and again between, until a solve finds nothing below the crossing (Eisner and Severance
[eisner1976segmentation]). Sizes of the optimum that are on no piece are reached by no beta.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from .. import require
from ..conventions import HEADLINE
from ..qubo.feature_selection import Problem, require_problems
from .branch_and_bound import TOLERANCE, optimum


@dataclass(frozen=True, eq=False)
class BetaPath:
    """The optima of one problem for all beta from edges[0] to edges[-1], K pieces in the order of beta.

    edges: (K + 1,), piece i is the optimum from edges[i] to edges[i + 1]; bits: (K, d) bool; at_0, at_1: (K,) energies
    of the bits at beta = 0 and 1; proven: (K,) bool, both ends of the piece are; solves: how many it took.
    """

    problem: Problem
    pair_sum: str
    edges: np.ndarray
    bits: np.ndarray
    at_0: np.ndarray
    at_1: np.ndarray
    proven: np.ndarray
    solves: int

    @property
    def k(self) -> np.ndarray:
        """Number of selected maps of each piece: (K,)."""
        return self.bits.sum(1)

    @property
    def widths(self) -> np.ndarray:
        """Length in beta of each piece: (K,)."""
        return np.diff(self.edges)

    def piece(self, beta: float) -> int:
        """Number of the piece at beta; where two meet, the one of larger beta. Raises ValueError outside the path."""
        low, high = self.edges[[0, -1]]
        beta = require.number("beta", beta, f"[{float(low)}, {float(high)}]")
        return int(min(np.searchsorted(self.edges, beta, side="right") - 1, len(self.bits) - 1))

    def at(self, beta: float) -> np.ndarray:
        """The maps selected at beta: (N_f,) bool. Raises as `piece`."""
        return self.problem.selected(self.bits[self.piece(beta)])

    def energy(self, beta: float) -> float:
        """The least energy (Eq. 4) at beta. Raises as `piece`."""
        i = self.piece(beta)
        return float((1 - beta) * self.at_0[i] + beta * self.at_1[i])

    def betas(self, k: int) -> list[tuple[float, float]]:
        """From which beta to which the optimum has k maps: a list of (low, high), empty if it never has.

        >>> path(Problem([0, 1], [-1.0, -0.5], [[1.0, 0.5], [0.5, 1.0]], 2)).betas(2)  # 2 (1 - beta) 0.5 = 0.5 beta
        [(0.6666666666666666, 1.0)]
        """
        k = require.whole("k", k)
        pieces = np.flatnonzero(self.k == k)
        runs = np.split(pieces, np.flatnonzero(np.diff(pieces) > 1) + 1) if len(pieces) else []
        return [(float(self.edges[run[0]]), float(self.edges[run[-1] + 1])) for run in runs]

    def table(self) -> pd.DataFrame:
        """A row for each piece: beta_low, beta_high, k, at_0, at_1, proven."""
        columns = {"beta_low": self.edges[:-1], "beta_high": self.edges[1:], "k": self.k}
        return pd.DataFrame(columns | {"at_0": self.at_0, "at_1": self.at_1, "proven": self.proven})


def exact(problem: Problem, beta: float, pair_sum: str, time_limit: float = 60.0) -> tuple[np.ndarray, bool]:
    """The optimum at one beta by branch and bound: (d,) bool, and whether it is proven.

    >>> exact(Problem([0, 1], [-1.0, -0.5], np.ones((2, 2)), 2), 0.5, "p!=q")
    (array([ True, False]), True)
    """
    return optimum(problem.bqm(beta, pair_sum), time_limit=time_limit)


def path(
    problem: Problem,
    *,
    pair_sum: str = HEADLINE.pair_sum,
    low: float = 0.0,
    high: float = 1.0,
    solve: Callable = exact,
) -> BetaPath:
    """All optima of a problem for beta from low to high, by about two solves for each piece.

    solve: a function of problem, beta and pair_sum  ->  the optimum (d,) bool, and whether it is proven; `exact`, or
    another that is exact. A piece that lies below its neighbours by less than 2e-9 of sum |h| may be missing. At
    beta = 0 no map and any single one are equally good; the piece that begins there is the best just above 0.
    Raises ValueError for what is no Problem, an unknown pair sum, and unless 0 <= low < high <= 1.

    >>> found = path(Problem([0, 1], [-1.0, -0.5], [[1.0, 0.5], [0.5, 1.0]], 2))
    >>> found.table()[["beta_low", "beta_high", "k", "proven"]].round(3).values.tolist()
    [[0.0, 0.667, 1, True], [0.667, 1.0, 2, True]]
    >>> found.at(0.5), found.solves
    (array([ True, False]), 4)
    """
    if not isinstance(problem, Problem):
        raise ValueError(f"problem must be a feature_selection.Problem, got {type(problem).__name__}")
    low = require.number("low", low, "[0, 1)")
    high = require.number("high", high, f"({low}, 1]")
    J, h = problem.matrix(0.0, pair_sum), problem.matrix(1.0, pair_sum).diagonal()
    slack, solves = 2 * TOLERANCE * max(1.0, np.abs(h).sum()), 0

    def line(beta):
        nonlocal solves
        solves += 1
        bits, proven = solve(problem, beta, pair_sum)
        bits = require.bits("what solve returns", bits, "d", {"d": problem.d})
        return bits, float(bits @ J @ bits), float(h @ bits), bool(proven)

    pieces, stack = [], [(low, line(low), high, line(high))]
    while stack:
        a, left, b, right = stack.pop()
        if _at(left, b) <= _at(right, b) + slack:
            pieces.append((a, b, left, left[3] and right[3]))
        elif _at(right, a) <= _at(left, a) + slack:
            pieces.append((a, b, right, left[3] and right[3]))
        else:
            cross = (right[1] - left[1]) / (right[1] - left[1] + left[2] - right[2])
            between = line(cross)
            if _at(between, cross) < _at(left, cross) - slack:
                stack += [(cross, between, b, right), (a, left, cross, between)]
            else:
                pieces.append((a, cross, left, left[3] and between[3]))
                pieces.append((cross, b, right, between[3] and right[3]))
    return _joined(problem, pair_sum, pieces, solves)


def _at(line, beta):
    return (1 - beta) * line[1] + beta * line[2]


def _joined(problem, pair_sum, pieces, solves):
    """Pieces (low, high, line, proven) in order as a BetaPath, neighbours of the same bits as one."""
    joined = []
    for low, high, (bits, at_0, at_1, _), proven in pieces:
        if joined and (joined[-1][2] == bits).all():
            joined[-1] = (joined[-1][0], high, bits, at_0, at_1, joined[-1][5] and proven)
        else:
            joined.append((low, high, bits, at_0, at_1, proven))
    lows, highs, bits, at_0, at_1, proven = zip(*joined)
    edges = np.array([*lows, highs[-1]])
    shape = len(joined), problem.d
    return BetaPath(
        problem,
        pair_sum,
        edges,
        np.array(bits, bool).reshape(shape),
        np.array(at_0),
        np.array(at_1),
        np.array(proven),
        solves,
    )


def paths(
    problems: list[Problem],
    *,
    pair_sum: str = HEADLINE.pair_sum,
    low: float = 0.0,
    high: float = 1.0,
    time_limit: float = 60.0,
    n_jobs: int | None = None,
) -> list[BetaPath]:
    """`path` of every problem by branch and bound, time_limit seconds a solve; n_jobs as for `by_name.sample_all`.

    >>> [len(found.bits) for found in paths([Problem([0, 1], [-1.0, -0.5], np.eye(2), 2)] * 2)]
    [1, 1]
    """
    problems, _ = require_problems(problems)
    options = {"pair_sum": pair_sum, "low": low, "high": high, "solve": partial(exact, time_limit=time_limit)}
    jobs = (delayed(path)(problem, **options) for problem in problems)
    return list(Parallel(n_jobs=n_jobs)(jobs))


def in_each_pair_once(beta):
    """The beta of "p<q" with the optima of "p!=q" at beta, a number or an array: beta / (2 - beta).

    >>> round(in_each_pair_once(0.7), 4)
    0.5385
    """
    return beta / (2 - beta)


def sizes_on(found: list[BetaPath], betas) -> np.ndarray:
    """Number of maps that each path selects at each beta: B paths, betas (T,)  ->  (B, T). Raises as `BetaPath.piece`.

    >>> sizes_on([path(Problem([0, 1], [-1.0, -0.5], [[1.0, 0.5], [0.5, 1.0]], 2))], [0.5, 0.9])
    array([[1, 2]])
    """
    betas = require.array("betas", betas, "T")
    return np.array([[of_image.k[of_image.piece(beta)] for beta in betas] for of_image in found], int)


def reached(found: list[BetaPath]) -> pd.DataFrame:
    """Which sizes some beta of the paths gives: a row for each image and k from 1 to d: image, d, k, reached.

    Of a path that does not begin at beta = 0, from its smallest size on: smaller ones may lie before it.

    >>> reached([path(Problem([0, 1], [-1.0, -0.5], np.eye(2), 2))]).values.tolist()  # never one map alone
    [[0, 2, 1, False], [0, 2, 2, True]]
    """
    tables = []
    for image, of_image in enumerate(found):
        d, first = of_image.problem.d, 1 if of_image.edges[0] == 0 else int(of_image.k.min())
        k = np.arange(first, d + 1)
        tables.append(pd.DataFrame({"image": image, "d": d, "k": k, "reached": np.isin(k, of_image.k)}))
    return pd.concat(tables, ignore_index=True)
