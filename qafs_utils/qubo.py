"""The feature-selection QUBO: importance against redundancy (paper, Eqs. 4 and 5)."""

from dataclasses import dataclass, replace

import dimod
import numpy as np

from .annealing import biases, number_of_qubits
from .feature_maps import NoPositiveMapError, candidates, cosine_matrix

PAIR_SUMS = ("p<q", "half", "all")
COUPLINGS = ("cosine", "zero", "gaussian")


@dataclass(frozen=True)
class Selection:
    """One image's selection problem.

    maps: (d,) indices of the candidate maps; field: (d,) in [-1, 0); redundancy: (d, d) cosines.

    >>> problem = Selection(np.array([2, 5]), np.array([-1.0, -0.5]), np.array([[1.0, 0.6], [0.6, 1.0]]))
    >>> problem.bqm(beta=0.5).linear, problem.d
    ({0: -0.5, 1: -0.25}, 2)
    >>> problem.reversed().redundancy
    array([[-1. , -0.6],
           [-0.6, -1. ]])
    """

    maps: np.ndarray
    field: np.ndarray
    redundancy: np.ndarray

    @property
    def d(self):
        """Number of candidate maps, the qubits of the annealer."""
        return len(self.maps)

    def bqm(self, beta=0.7, pair_sum="p<q"):
        """The QUBO of this image as a dimod.BinaryQuadraticModel; see `feature_selection_bqm`."""
        return feature_selection_bqm(self.redundancy, self.field, beta, pair_sum)

    def matrix(self, beta=0.7, pair_sum="p<q"):
        """Q of the energy n.Q.n: (d, d), linear terms on the diagonal, every pair once above it."""
        linear, couplings, _ = biases(self.bqm(beta, pair_sum))
        return couplings.T + np.diag(linear)

    def energy(self, selected, beta=0.7, pair_sum="p<q"):
        """Energy (Eq. 4) of a selection (N_f,) bool; maps that are no candidates do not count."""
        return float(self.bqm(beta, pair_sum).energy(dict(enumerate(selected[self.maps].astype(int)))))

    def reversed(self):
        """The problem that rewards redundancy, -J for J: of a fixed size, the most redundant maps (paper, Sec. III).

        With J >= 0 and h <= 0 none of its terms is positive, so without a fixed size every candidate is optimal.
        """
        return replace(self, redundancy=-self.redundancy)


def field(importance):
    """Linear term h = -alpha / max(alpha) of the candidates (paper, Eq. 5): (d,) positive  ->  (d,) in [-1, 0).

    Raises ValueError for importances that are not positive: those are no candidates (Eq. 2).

    >>> field([4.0, 2.0, 1.0])
    array([-1.  , -0.5 , -0.25])
    """
    importance = np.asarray(importance, dtype=np.float64)
    if not (importance > 0).all():
        raise ValueError(f"the field is of candidates, whose importance is positive; got one of {importance.min()}")
    return -importance / importance.max()


def selection(maps, importance):
    """Candidates, field and redundancy of one image: maps (N_f, H, W), importance (N_f,)  ->  Selection.

    Raises NoPositiveMapError when no importance is positive, ValueError for NaN or infinity.

    >>> maps = [[[1, 0]], [[2, 0]], [[1, 1]], [[0, 1]]]  # the first two differ by their scale only
    >>> problem = selection(maps, [4.0, 2.0, 1.0, -3.0])
    >>> problem.maps, problem.field
    (array([0, 1, 2]), array([-1.  , -0.5 , -0.25]))
    >>> problem.redundancy.round(2)
    array([[1.  , 1.  , 0.71],
           [1.  , 1.  , 0.71],
           [0.71, 0.71, 1.  ]])
    """
    kept = candidates(importance)
    return Selection(kept, field(np.asarray(importance)[kept]), cosine_matrix(np.asarray(maps)[kept]))


def selections(maps, importance):
    """`selection` of every image: maps (B, N_f, H, W), importance (B, N_f)  ->  list of B Selection.

    Raises NoPositiveMapError naming the first image without a positive importance, ValueError as `selection` or for
    another number of images.

    >>> [problem.maps.tolist() for problem in selections(np.ones((2, 3, 1, 1)), [[1, 0, 2], [0, 5, -1]])]
    [[0, 2], [1]]
    """
    problems = []
    for i, pair in enumerate(zip(maps, importance, strict=True)):
        try:
            problems.append(selection(*pair))
        except NoPositiveMapError as error:
            raise NoPositiveMapError(f"image {i}: {error}") from error
    return problems


def to_arrays(problems, n_features):
    """Problems in a compact form: list of B Selection  ->  dict of arrays, `from_arrays` gives them back.

    field: (B, n_features) float32, 0 where a map is no candidate; redundancy: (B, n_features, n_features) float16,
    candidates only, upper triangle with the diagonal. Rounding moves a cosine by at most 2.5e-4.

    >>> problem = Selection(np.array([0, 2]), np.array([-1.0, -0.5]), np.array([[1.0, 0.6], [0.6, 1.0]]))
    >>> arrays = to_arrays([problem], 3)
    >>> arrays["field"]
    array([[-1. ,  0. , -0.5]], dtype=float32)
    >>> arrays["redundancy"][0]
    array([[1. , 0. , 0.6],
           [0. , 0. , 0. ],
           [0. , 0. , 1. ]], dtype=float16)
    """
    field = np.zeros((len(problems), n_features), np.float32)
    redundancy = np.zeros((len(problems), n_features, n_features), np.float16)
    for i, problem in enumerate(problems):
        field[i, problem.maps] = problem.field
        redundancy[i][np.ix_(problem.maps, problem.maps)] = np.triu(problem.redundancy)
    return {"field": field, "redundancy": redundancy}


def from_arrays(field, redundancy):
    """The problems of `to_arrays`  ->  list of B Selection. Raises ValueError if the shapes do not fit each other.

    >>> problem = Selection(np.array([0, 2]), np.array([-1.0, -0.5]), np.array([[1.0, 0.6], [0.6, 1.0]]))
    >>> same = from_arrays(**to_arrays([problem], 3))[0]
    >>> same.maps, same.field
    (array([0, 2]), array([-1. , -0.5]))
    >>> same.redundancy.round(3)
    array([[1. , 0.6],
           [0.6, 1. ]])
    """
    if redundancy.shape != (*field.shape, field.shape[-1]):
        raise ValueError(f"redundancy must be (B, N_f, N_f) to fit field {field.shape}, got {redundancy.shape}")
    problems = []
    for h, upper in zip(field.astype(np.float64), redundancy.astype(np.float64)):
        kept = np.flatnonzero(h)
        J = upper[np.ix_(kept, kept)]
        problems.append(Selection(kept, h[kept], J + np.triu(J, 1).T))
    return problems


def subsample(maps, importance, d, rng=None):
    """The problem of d candidates of one image, drawn at random: maps (N_f, H, W), importance (N_f,)  ->  Selection.

    The field is scaled by the largest importance drawn. rng: a numpy Generator, or a seed for one.
    Raises NoPositiveMapError when no importance is positive, ValueError for d below 1 or above the candidates, or for
    NaN or infinity.

    >>> problem = subsample(np.ones((5, 2, 2)), [1.0, 2.0, -1.0, 4.0, 3.0], 2, rng=0)
    >>> problem.maps, problem.field
    (array([3, 4]), array([-1.  , -0.75]))
    """
    kept = candidates(importance)
    if not 1 <= d <= len(kept):
        raise ValueError(f"d must lie between 1 and the {len(kept)} candidates of the image, got {d}")
    drawn = np.sort(np.random.default_rng(rng).choice(kept, d, replace=False))
    return Selection(drawn, field(np.asarray(importance)[drawn]), cosine_matrix(np.asarray(maps)[drawn]))


def null_couplings(redundancy, kind, rng=None):
    """Couplings without the structure of cosines, to tell what that structure does: (d, d)  ->  (d, d) symmetric.

    kind: "cosine", unchanged; "zero", none; "gaussian", independent draws shifted and scaled to exactly the mean and
    the spread of the redundancy's pairs. The diagonal stays. rng: a numpy Generator, or a seed for one.
    Raises ValueError for an unknown kind.

    >>> cosines = np.array([[1.0, 0.2, 0.4], [0.2, 1.0, 0.6], [0.4, 0.6, 1.0]])
    >>> drawn = null_couplings(cosines, "gaussian", rng=0)
    >>> drawn.round(2)
    array([[1.  , 0.36, 0.23],
           [0.36, 1.  , 0.62],
           [0.23, 0.62, 1.  ]])
    >>> pairs = np.triu_indices(3, 1)
    >>> np.allclose([drawn[pairs].mean(), drawn[pairs].std()], [0.4, np.sqrt(0.08 / 3)])
    True
    """
    if kind not in COUPLINGS:
        raise ValueError(f"unknown kind of couplings {kind!r}: choose from {COUPLINGS}")
    redundancy = np.asarray(redundancy, dtype=np.float64)
    pairs = np.triu_indices(len(redundancy), 1)
    values = redundancy[pairs] * (kind == "cosine")
    if kind == "gaussian" and len(values):
        drawn = np.random.default_rng(rng).normal(size=len(values))
        spread = redundancy[pairs].std() / drawn.std() if len(values) > 1 else 0.0
        values = redundancy[pairs].mean() + spread * (drawn - drawn.mean())
    upper = np.zeros_like(redundancy)
    upper[pairs] = values
    return upper + upper.T + np.diag(np.diag(redundancy))


def feature_selection_bqm(redundancy, field, beta=0.7, pair_sum="p<q"):
    """H_P = (1 - beta) sum J_pq n_p n_q + beta sum h_p n_p  (paper, Eq. 4) over binary n.

    redundancy: (d, d) symmetric J; field: (d,) h; beta in [0, 1].
    pair_sum: "p<q", each pair once, no diagonal (one script of the authors; the headline);
    "half", the text's 1/2 sum over all p, q, whose diagonal adds (1 - beta) J_pp / 2 to each map;
    "all", sum over all p, q without the 1/2 (another script of the authors).
    ->  dimod.BinaryQuadraticModel with variables 0..d-1.
    Raises ValueError for beta outside [0, 1], other shapes, asymmetry, NaN or an unknown pair_sum.

    >>> J, h = [[1.0, 0.6], [0.6, 1.0]], [-1.0, -0.5]
    >>> bqm = feature_selection_bqm(J, h, beta=0.5)  # 0.3 n_0 n_1 - 0.5 n_0 - 0.25 n_1
    >>> [round(float(bqm.energy({0: a, 1: b})), 9) for a, b in ((0, 0), (1, 0), (0, 1), (1, 1))]
    [0.0, -0.5, -0.25, -0.45]
    >>> feature_selection_bqm(J, h, beta=0.5, pair_sum="half").linear  # J_pp / 4 more
    {0: -0.25, 1: 0.0}
    """
    redundancy, field = np.asarray(redundancy, dtype=np.float64), np.asarray(field, dtype=np.float64)
    if not 0 <= beta <= 1:
        raise ValueError(f"beta must lie in [0, 1], got {beta}")
    if pair_sum not in PAIR_SUMS:
        raise ValueError(f"unknown pair_sum {pair_sum!r}: choose from {PAIR_SUMS}")
    if redundancy.shape != (len(field), len(field)):
        raise ValueError(f"redundancy must be ({len(field)}, {len(field)}) to fit the field, got {redundancy.shape}")
    if not (np.isfinite(redundancy).all() and np.isfinite(field).all()):
        raise ValueError("redundancy or field hold NaN or infinite values: check the feature maps they come from")
    if not np.allclose(redundancy, redundancy.T):
        raise ValueError("redundancy must be symmetric")
    pair = 2.0 if pair_sum == "all" else 1.0
    diagonal = {"p<q": 0.0, "half": 0.5, "all": 1.0}[pair_sum]
    linear = beta * field + (1 - beta) * diagonal * np.diag(redundancy)
    rows, columns = np.triu_indices(len(field), 1)
    return dimod.BinaryQuadraticModel.from_numpy_vectors(
        linear, (rows, columns, pair * (1 - beta) * redundancy[rows, columns]), 0.0, dimod.BINARY
    )


def sufficient_penalty(bqm, k):
    """A weight: for every lambda above it all ground states of bqm + lambda (|n| - k)^2 have exactly k ones.

    Proof, with n's linear biases b and couplings Q: taking p out raises the energy by at most R_p = -b_p +
    sum_q max(-Q_pq, 0), and of k + 1 ones or more the cheapest costs at most the (d - k)-th smallest R. Adding p to
    k - 1 ones or less raises it by at most A_p = b_p + the k - 1 largest max(Q_pq, 0), and of d - k + 1 zeros or more
    the cheapest costs at most the k-th smallest A. So r flips lead from k +- r ones to k, raise the energy by at most
    r times the larger cost, and lower the penalty by lambda r^2 >= lambda r.
    Raises ValueError for k outside 0..d, or NaN or infinity in the model.

    >>> bqm = dimod.BinaryQuadraticModel({"a": -2.0, "b": -1.0}, {}, 0.0, dimod.BINARY)
    >>> sufficient_penalty(bqm, 1)  # a second map gains 1
    1.0
    """
    b, Q, _ = biases(bqm)
    d = len(b)
    k = require_size(k, d)
    if not (np.isfinite(b).all() and np.isfinite(Q).all()):
        raise ValueError("the model holds NaN or infinite biases: check the feature maps or data it is made from")
    Q = Q + Q.T
    removals = np.sort(-b + np.maximum(-Q, 0).sum(1))
    additions = np.sort(b + np.sort(np.maximum(Q, 0), axis=1)[:, d - max(k - 1, 0) :].sum(1))
    return float(max([0.0, *removals[: d - k][-1:], *additions[:k][-1:]]))


def exactly(bqm, k, penalty=None):
    """The model with exactly k ones (of SPIN variables, +1) favoured: bqm + penalty (|n| - k)^2, a new model.

    Strings of k ones keep their energies. penalty: None for 1 % and 1e-6 of the largest bias over `sufficient_penalty`.
    Raises ValueError as `sufficient_penalty`, or for a penalty that is not positive and finite.

    >>> bqm = dimod.BinaryQuadraticModel({"a": -2.0, "b": -1.0}, {}, 0.0, dimod.BINARY)
    >>> one = exactly(bqm, 1, penalty=1.5)
    >>> [float(one.energy({"a": 1, "b": b})) for b in (0, 1)]  # before: -2, -3
    [-2.0, -1.5]
    """
    enough, d = sufficient_penalty(bqm, k), bqm.num_variables
    if penalty is None:
        b, Q, _ = biases(bqm)
        penalty = 1.01 * enough + 1e-6 * (max(np.abs(b).max(initial=0), np.abs(Q).max(initial=0)) or 1)
    if not 0 < penalty < np.inf:
        raise ValueError(f"the penalty must be positive and finite, got {penalty}")
    penalised, one = bqm.copy(), 1.0 if bqm.vartype is dimod.BINARY else 0.5  # n = (s + 1) / 2
    penalised.add_linear_equality_constraint([(v, one) for v in bqm.variables], penalty, d * (1 - one) - k)
    return penalised


def require_size(k, d):
    """k as an int. Raises ValueError unless k of d variables can be ones.

    >>> require_size(2.0, 3)
    2
    >>> require_size(4, 3)
    Traceback (most recent call last):
    ValueError: exactly 4 maps are infeasible: the size must be a whole number from 0 to d = 3
    """
    if not (0 <= k <= d and k == int(k)):
        raise ValueError(f"exactly {k} maps are infeasible: the size must be a whole number from 0 to d = {d}")
    return int(k)


def _flipped(k, energies):
    """Indices one flip away: (...,) int  ->  (d, ...). Bit p of an index is n_p, as in `annealing`."""
    return np.array([k ^ (1 << p) for p in range(number_of_qubits(energies.shape))], dtype=int)


def descend(energies, start=0):
    """Steepest descent, one flip at a time: energies (2^d,), index of a bit-string  ->  index of a local minimum.

    Raises ValueError for a length that is no power of two.

    >>> descend(np.array([0.0, -1.0, 1.0, -3.0]))  # 00 -> 10 -> 11
    3
    """
    near = _flipped(start, energies)
    while len(near) and energies[best := near[energies[near].argmin()]] < energies[start]:
        start, near = best, _flipped(best, energies)
    return int(start)


def best_of_size(energies):
    """Lowest-energy bit-string of every size: energies (2^d,)  ->  (d + 1,) indices, entry k with k maps.

    Raises ValueError for a length that is no power of two.

    >>> best_of_size(np.array([0.0, -1.0, 1.0, -3.0]))  # none, the first, both
    array([0, 1, 3])
    """
    sizes = np.arange(number_of_qubits(energies.shape) + 1)
    size = np.bitwise_count(np.arange(len(energies)))
    order = np.lexsort((energies, size))
    return order[np.searchsorted(size[order], sizes)]


def local_minima(energies):
    """Which bit-strings no single flip improves: energies (2^d,)  ->  (2^d,) bool. Raises as `descend`.

    >>> local_minima(np.array([0.0, 2.0, 1.0, -1.0]))
    array([ True, False, False,  True])
    """
    return np.all(energies <= energies[_flipped(np.arange(len(energies)), energies)], axis=0)


def common_maps(selected, labels, first, second, count=3):
    """Pairs of images of two classes whose selections share most maps, each image used once.

    selected: (B, N_f) bool; labels: (B,); first, second: classes
    ->  list of (i, j, common maps (N_f,) bool): `count` pairs, the later of which may share none, or a single one if
    no pair shares a map. Raises ValueError for a class without images.

    >>> selected = np.array([[1, 1, 0], [0, 1, 1], [1, 1, 0]], dtype=bool)
    >>> ((i, j, common),) = common_maps(selected, np.array([0, 1, 1]), 0, 1, count=1)
    >>> int(i), int(j), common
    (0, 2, array([ True,  True, False]))
    """
    pairs, labels = [], np.asarray(labels)
    rows, columns = np.flatnonzero(labels == first), np.flatnonzero(labels == second)
    if not (len(rows) and len(columns)):
        raise ValueError(f"class {second if len(rows) else first} has no image")
    shared = (selected[rows, None] & selected[None, columns]).sum(-1)
    for _ in range(min(count, len(rows), len(columns)) if shared.any() else 1):
        i, j = np.unravel_index(shared.argmax(), shared.shape)
        pairs.append((rows[i], columns[j], selected[rows[i]] & selected[columns[j]]))
        shared[i], shared[:, j] = -1, -1
    return pairs
