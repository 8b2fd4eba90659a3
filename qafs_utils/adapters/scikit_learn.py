"""The selection for feature matrices, as a selector of scikit-learn: relevant features, unlike each other.

The objective is that of Milne, Rounds and Goddard (1QBit, 2017), which D-Wave's scikit-learn plug-in sends to a hybrid
solver. Here it is solved to a proof on one's own machine.
"""

from collections.abc import Callable
from numbers import Integral, Real

import numpy as np

try:
    from sklearn.base import BaseEstimator
    from sklearn.feature_selection import SelectorMixin
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError("QUBOSelector needs scikit-learn: pip install scikit-learn") from error

from .. import require
from ..conventions import HEADLINE
from ..qubo.feature_selection import Problem
from ..solvers.one_problem import select


def correlations(X, y) -> tuple[np.ndarray, np.ndarray]:
    """Absolute Pearson correlations of features with the target, and with each other: (n, N), (n,)  ->  (N,), (N, N).

    0 for a constant one, 1 of each feature with itself.

    >>> relevance, redundancy = correlations([[0.0, 1.0, 5.0], [1.0, 0.0, 5.0], [2.0, -1.0, 5.0]], [0.0, 1.0, 2.0])
    >>> relevance.round(6), redundancy.round(6)
    (array([1., 1., 0.]), array([[1., 1., 0.],
           [1., 1., 0.],
           [0., 0., 1.]]))
    """
    sizes = {}
    X = require.array("X", X, "n N", sizes)
    both = np.column_stack([X, require.array("y", y, "n", sizes)])
    scale = np.abs(both).max(0, initial=0)
    both = both / np.where(scale > 0, scale, 1)  # no square overflows
    centred = both - both.mean(0)
    norm = np.linalg.norm(centred, axis=0)
    varies = norm > 1e-12 * np.sqrt(len(both))
    unit = np.where(varies, centred / np.where(varies, norm, 1), 0)
    found = np.abs(unit.T @ unit).clip(0, 1)
    redundancy = found[:-1, :-1].copy()
    np.fill_diagonal(redundancy, 1.0)
    return found[:-1, -1], (redundancy + redundancy.T) / 2


class QUBOSelector(SelectorMixin, BaseEstimator):
    """Select features of least sum_{p!=q} (1 - beta) J_pq n_p n_q - beta sum_p h_p n_p (paper, Eqs. 4 and 5).

    J: absolute correlations of the features; h: relevance over its largest value. n_features_to_select: exactly so
    many, or None for as many as the optimum has. beta: from 0, unlike features, to 1, relevant ones; D-Wave's alpha
    gives k features as beta = 2 alpha k r / (1 + 2 alpha k r) does, where r is the largest relevance.
    score_func: (X, y) -> relevance (N,), or a pair of it and p-values, as of `sklearn.feature_selection.SelectKBest`;
    None for the absolute correlation with y, which must be numbers then. Features of relevance 0 are no candidates.
    solver, time_limit (seconds, of "exact"): as for `solvers.one_problem.select`.

    Fitted: relevance_ (N,), redundancy_ (N, N), info_, what the solver says, "proven" and "energy" among it.
    Raises ValueError for parameters that do not fit, and where no feature is relevant.

    >>> X = np.array([[0, 0, 1], [1, 1, 0], [2, 2, 0], [3, 3, 1.0]])  # the first two are alike
    >>> selector = QUBOSelector(beta=0.5).fit(X, [0, 1, 2, 3])
    >>> selector.get_support(), selector.info_["proven"]
    (array([ True, False, False]), True)
    """

    def __init__(
        self,
        n_features_to_select: int | None = None,
        *,
        beta: float = HEADLINE.beta,
        score_func: Callable | None = None,
        solver: str = "exact",
        time_limit: float = 60.0,
    ):
        self.n_features_to_select = n_features_to_select
        self.beta = beta
        self.score_func = score_func
        self.solver = solver
        self.time_limit = time_limit

    def fit(self, X, y) -> "QUBOSelector":
        """Select the features: X (n, N), y (n,)."""
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=self.score_func is None, ensure_min_samples=2)
        k = self._size(X.shape[1])
        relevance, self.redundancy_ = correlations(X, y if self.score_func is None else np.zeros(len(X)))
        if self.score_func is not None:
            given = self.score_func(X, y)
            given = given[0] if isinstance(given, tuple) else given
            given = np.nan_to_num(np.asarray(given, float), nan=0.0)  # of a constant feature, as f_classif has it
            relevance = require.array("what score_func returns", given, "N", {"N": X.shape[1]}, "[0, inf)")
        self.relevance_, candidates = relevance, np.flatnonzero(relevance > 0)
        if len(candidates) < max(1, k or 0):
            remedy = "select fewer, or give another score_func"
            raise ValueError(f"only {len(candidates)} of {X.shape[1]} features are relevant to y: {remedy}")
        field = -relevance[candidates] / relevance.max()
        problem = Problem(candidates, field, self.redundancy_[np.ix_(candidates, candidates)], X.shape[1])
        options = {"time_limit": self.time_limit} if self.solver == "exact" else {}
        self.support_, self.info_ = select(problem, self.solver, beta=self.beta, size=k, **options)
        return self

    def _size(self, count):
        """The number of features to select, None for any. Raises ValueError for one that does not fit."""
        k = self.n_features_to_select
        if isinstance(k, Real) and not isinstance(k, Integral):
            raise ValueError(f"n_features_to_select must be a whole number or None, got {k}")
        return None if k is None else require.whole("n_features_to_select", k, 1, count)

    def _get_support_mask(self) -> np.ndarray:
        check_is_fitted(self)
        return self.support_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags
