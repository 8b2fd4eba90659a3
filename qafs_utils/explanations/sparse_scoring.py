"""Sparse optimal scoring, all directions at once: which few maps separate the classes, from their mean activations.

Optimal scoring is linear discriminant analysis as a regression: the classes get scores, and the features are fitted to
them [hastie1994flexible], with an elastic net [clemmensen2011sparse]. Usually each direction is found after the others.
Afroz and Ames [afroz2026scoring] find all at once, without deflation. That problem is solved here by turns, each of
which is exact: an elastic net for the weights, an orthogonal Procrustes problem for the scores.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import require
from ..cnn.datasets import CLASSES

_MAPS = ": check the feature maps they come from"


@dataclass(frozen=True)
class Standardised:
    """Mean activations of training images, centred, of unit variance: what a fit needs of them.

    values: (N, N_f); labels: (N,); mean, spread: (N_f,), spread 1 for maps that are constant: these are 0 throughout
    and are never chosen.

    >>> found = Standardised.of([[1.0, 5.0], [3.0, 5.0]], [0, 1])
    >>> found.values.tolist(), found.spread.tolist()
    ([[-1.0, 0.0], [1.0, 0.0]], [1.0, 1.0])
    """

    values: np.ndarray
    labels: np.ndarray
    mean: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, activation, labels):
        """From mean activations (N, N_f) and labels (N,) of two classes or more, each of which is 0 to 9.

        Raises ValueError for a single class, other shapes, NaN and infinity.
        """
        sizes = {}
        activation = require.array("activation", activation, "N N_f", sizes, "[-1e100, 1e100]", remedy=_MAPS)
        labels = require.indices("labels", labels, "N", len(CLASSES), sizes)
        if len(np.unique(labels)) < 2:
            raise ValueError("labels must be of two classes or more: one class has nothing to be told from")
        mean, spread = activation.mean(0), activation.std(0)
        constant = spread <= 1e-12 * np.abs(activation).max(0, initial=0)
        spread = np.where(constant, 1.0, spread)
        return cls(np.where(constant, 0.0, (activation - mean) / spread), labels, mean, spread)

    @property
    def classes(self):
        """Classes that occur: (C,), in order."""
        return np.unique(self.labels)

    @property
    def membership(self):
        """Y, 1 where an image is of a class: (N, C)."""
        return (self.labels[:, None] == self.classes).astype(float)


@dataclass(frozen=True)
class SparseScoring:
    """A fit: scores Theta (C, C - 1) of the classes, weights B (N_f, C - 1) of the standardised maps.

    penalty: lambda; objective: (steps,), what is minimised, after each turn; classes: (C,); share: (C,), of the images.

    >>> fit = SparseScoring(np.array([[1.0], [-1.0]]), np.array([[0.5], [0.0]]), 0.1, [0.3], [0, 1], [0.5, 0.5])
    >>> fit.used, fit.class_weights  # the second map is not
    (array([ True, False]), array([[ 0.25,  0.  ],
           [-0.25,  0.  ]]))
    """

    scores: np.ndarray
    weights: np.ndarray
    penalty: float
    objective: Sequence
    classes: Sequence
    share: Sequence

    @property
    def used(self):
        """Maps of which any direction has a weight: (N_f,) bool."""
        return (self.weights != 0).any(1)

    def accuracy(self, data: Standardised, activation, labels) -> float:
        """Share of images (N, N_f) told right by discriminant analysis of the directions: labels (N,)  ->  float.

        data: what the fit was made of. A fit that uses no map tells nothing: the most frequent class is its answer.
        """
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

        activation = require.array("activation", activation, "N N_f", {"N_f": len(self.weights)}, remedy=_MAPS)
        kept = (self.weights != 0).any(0)  # directions
        if not kept.any():
            return float(np.mean(np.asarray(labels) == self.classes[np.argmax(self.share)]))
        seen, new = data.values, (activation - data.mean) / data.spread
        model = LinearDiscriminantAnalysis().fit(seen @ self.weights[:, kept], data.labels)
        return float(np.mean(model.predict(new @ self.weights[:, kept]) == labels))

    @property
    def class_weights(self):
        """What a standardised map adds to the fitted membership of each class: (C, N_f), D Theta B'.

        Theta Theta' D is the identity on scores that are not constant, so Y = share + X B Theta' D + what is missed.
        """
        return np.asarray(self.share)[:, None] * (self.scores @ self.weights.T)


def objective(data: Standardised, scores, weights, *, penalty: float, ridge: float) -> float:
    """||Y Theta - X B||^2 / N + ridge ||B||^2 + penalty |B|_1, with |B|_1 the sum over all entries.

    >>> data = Standardised.of([[0.0], [1.0]], [0, 1])  # X = (-1, 1)
    >>> objective(data, np.array([[-1.0], [1.0]]), np.array([[0.5]]), penalty=0.5, ridge=1.0)  # 1/4 + 1/4 + 0.5/2
    0.75
    """
    missed = data.membership @ scores - data.values @ weights
    return float((missed**2).sum() / len(missed) + ridge * (weights**2).sum() + penalty * np.abs(weights).sum())


def largest_penalty(data: Standardised) -> float:
    """A penalty from which on no map is used, whatever the scores: 2 max_a |D^-1/2 Y' x_a| / N.

    Each column of Theta is D^-1/2 u with a unit vector u, so no entry of X' Y Theta / N is larger (a column of B
    stays 0 while 2 |x_a' Y theta| / N <= penalty).

    >>> round(largest_penalty(Standardised.of([[0.0], [1.0]], [0, 1])), 9)
    2.0
    """
    membership = data.membership
    weighted = data.values.T @ membership / membership.sum(0) ** 0.5 / len(membership) ** 0.5  # (N_f, C)
    return 2 * float(np.linalg.norm(weighted, axis=1).max(initial=0))


def _basis(membership):
    """Theta = basis @ R for orthogonal R (C - 1, C - 1): Theta' D Theta = 1, and 1' D Theta = 0 (no constant score)."""
    share = membership.mean(0)  # D, (C,)
    _, _, rows = np.linalg.svd(share[None] ** 0.5)
    return rows[1:].T / share[:, None] ** 0.5


def _start(data, basis, ridge):
    """R of the fit without an L1 penalty: canonical directions, from an eigenvalue problem."""
    x, y = data.values, data.membership @ basis
    gram = x.T @ x / len(x) + ridge * np.eye(x.shape[1])
    between = x.T @ y / len(x)
    explained = between.T @ np.linalg.solve(gram, between)
    return np.linalg.eigh(explained)[1][:, ::-1]


def fit(
    data: Standardised,
    penalty: float,
    *,
    ridge: float = 1e-3,
    start: SparseScoring | None = None,
    turns: int = 100,
    tolerance: float = 1e-6,
) -> SparseScoring:
    """Minimise `objective` over Theta and B together, with Theta' D Theta = 1, D = Y'Y / N, and no constant score.

    By turns: B by scikit-learn's elastic net, column by column; Theta = V R, V spanning the scores allowed, R the
    orthogonal matrix closest to V'Y'XB (Procrustes, from its singular vectors). Neither raises the objective; a
    minimum of both, not necessarily the global one, since the constraint is not convex.
    start: a fit to begin with; None for the canonical directions of the fit without an L1 penalty. It ends once a turn
    gains less than `tolerance` of the objective. Raises ValueError for a penalty or a ridge that is not positive;
    warns if `turns` turns are not enough.

    >>> x, labels = np.random.default_rng(0).normal(size=(90, 5)), np.arange(90) % 3
    >>> x[:, 0] += 3 * (labels == 1)
    >>> x[:, 2] += 3 * (labels == 2)
    >>> fit(Standardised.of(x, labels), 0.3).used  # the two maps that tell the classes apart
    array([ True, False,  True, False, False])
    """
    from sklearn.linear_model import ElasticNet  # a second to import, and few need it

    penalty = require.number("penalty", penalty, "(0, inf)")
    ridge, tolerance = require.number("ridge", ridge, "(0, inf)"), require.number("tolerance", tolerance, "(0, inf)")
    x, membership, n = data.values, data.membership, len(data.values)
    basis = _basis(membership)
    scores = basis @ _start(data, basis, ridge) if start is None else start.scores
    elastic = {"alpha": penalty / 2 + ridge, "l1_ratio": penalty / 2 / (penalty / 2 + ridge), "fit_intercept": False}
    net = ElasticNet(**elastic, precompute=x.T @ x, warm_start=True, tol=1e-7, max_iter=10_000)
    net.coef_ = np.zeros((scores.shape[1], x.shape[1])) if start is None else start.weights.T.copy()
    values = []
    for _ in range(require.whole("turns", turns, 1)):
        target = membership @ scores
        weights = net.fit(x, target[:, 0] if target.shape[1] == 1 else target).coef_.reshape(-1, x.shape[1]).T
        left, _, right = np.linalg.svd(basis.T @ (membership.T @ (x @ weights)))
        scores = basis @ (left @ right)
        values.append(objective(data, scores, weights, penalty=penalty, ridge=ridge))
        if len(values) > 1 and values[-2] - values[-1] <= tolerance * values[-2]:
            break
    else:
        warnings.warn(f"{turns} turns left the fit at a penalty of {penalty:g} unfinished: give more", stacklevel=2)
    return SparseScoring(scores, weights, penalty, values, data.classes, membership.sum(0) / n)


def path(data: Standardised, shares: Sequence[float], *, ridge: float = 1e-3, **options) -> list[SparseScoring]:
    """Fits from the largest penalty down, each begun with the one before: shares of `largest_penalty`.

    options: of `fit`.

    >>> x, labels = np.random.default_rng(0).normal(size=(90, 5)), np.arange(90) % 3
    >>> x[:, 0] += 3 * (labels == 1)
    >>> x[:, 2] += 3 * (labels == 2)
    >>> [int(found.used.sum()) for found in path(Standardised.of(x, labels), [1.0, 0.2, 0.001])]
    [0, 2, 5]
    """
    most, fits = largest_penalty(data), []
    for share in sorted(shares, reverse=True):
        start = fits[-1] if fits and fits[-1].used.any() else None
        fits.append(fit(data, share * most, ridge=ridge, start=start, **options))
    return fits


def order_of_entry(fits: Sequence[SparseScoring]) -> np.ndarray:
    """Rank of the maps by the penalty at which they are first used: fits of `path`  ->  (N_f,), N_f for never.

    Of maps that enter in one step, the one of larger weight (over all directions) is first.

    >>> one = SparseScoring(np.eye(2)[:, :1], np.array([[0.0], [0.0], [0.4]]), 0.5, [1.0], [0, 1], [0.5, 0.5])
    >>> two = SparseScoring(np.eye(2)[:, :1], np.array([[0.2], [0.0], [0.6]]), 0.1, [1.0], [0, 1], [0.5, 0.5])
    >>> order_of_entry([one, two])
    array([1, 3, 0])
    """
    used = np.array([found.used for found in fits])  # (steps, N_f)
    step = np.where(used.any(0), used.argmax(0), len(fits))
    size = [np.linalg.norm(fits[s].weights[a]) if s < len(fits) else 0 for a, s in enumerate(step)]
    rank = np.lexsort((-np.array(size), step)).argsort()
    return np.where(used.any(0), rank, used.shape[1])


def support_of_class(found: SparseScoring, activation, target, data: Standardised) -> np.ndarray:
    """What each map adds to an image's class in the sparse fit: its weight times its activation, (B, N_f).

    activation: (B, N_f) mean activations; target: (B,) the classes explained, of those in the fit; data: what the fit
    was made of, for the maps' spread.

    >>> data = Standardised.of([[0.0, 5.0], [2.0, 5.0]], [0, 1])
    >>> found = fit(data, 0.1)
    >>> support_of_class(found, [[2.0, 5.0]], [1], data).round(2)
    array([[0.95, 0.  ]])
    """
    sizes = {"N_f": len(found.weights)}
    activation = require.array("activation", activation, "B N_f", sizes, remedy=_MAPS)
    target = require.indices("target", target, "B", len(CLASSES), sizes)
    if not np.isin(target, found.classes).all():
        raise ValueError("target must be of the classes that the fit has seen")
    return found.class_weights[np.searchsorted(found.classes, target)] * activation / data.spread
