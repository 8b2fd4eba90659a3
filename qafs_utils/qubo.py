"""The feature-selection QUBO: importance against redundancy (paper, Eqs. 4 and 5)."""

from dataclasses import dataclass, replace

import dimod
import numpy as np

from .annealing import biases
from .feature_maps import NoPositiveMapError, candidates, cosine_matrix

PAIR_SUMS = ("p<q", "half", "all")
COUPLINGS = ("cosine", "zero", "gaussian")


@dataclass(frozen=True)
class Selection:
    """One image's selection problem.

    maps: (d,) indices of the candidate maps; field: (d,) in [-1, 0); redundancy: (d, d) cosines.
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

    def reversed(self):
        """The problem that rewards redundancy, -J for J: of a fixed size, the most redundant maps (paper, Sec. III).

        With J >= 0 and h <= 0 none of its terms is positive, so without a fixed size every candidate is optimal.
        """
        return replace(self, redundancy=-self.redundancy)


def field(importance):
    """Linear term h = -alpha / max(alpha) of the candidates (paper, Eq. 5): (d,) positive  ->  (d,) in [-1, 0)."""
    importance = np.asarray(importance, dtype=np.float64)
    return -importance / importance.max()


def selection(maps, importance):
    """Candidates, field and redundancy of one image: maps (N_f, H, W), importance (N_f,)  ->  Selection.

    Raises NoPositiveMapError when no importance is positive.
    """
    kept = candidates(importance)
    return Selection(kept, field(np.asarray(importance)[kept]), cosine_matrix(np.asarray(maps)[kept]))


def selections(maps, importance):
    """`selection` of every image: maps (B, N_f, H, W), importance (B, N_f)  ->  list of B Selection.

    Raises NoPositiveMapError naming the first image without a positive importance.
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
    """
    field = np.zeros((len(problems), n_features), np.float32)
    redundancy = np.zeros((len(problems), n_features, n_features), np.float16)
    for i, problem in enumerate(problems):
        field[i, problem.maps] = problem.field
        redundancy[i][np.ix_(problem.maps, problem.maps)] = np.triu(problem.redundancy)
    return {"field": field, "redundancy": redundancy}


def from_arrays(field, redundancy):
    """The problems of `to_arrays`  ->  list of B Selection. Raises ValueError if the shapes do not fit each other."""
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
    Raises NoPositiveMapError when no importance is positive, ValueError for d below 1 or above the candidates.
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
    """k as an int. Raises ValueError unless k of d variables can be ones."""
    if not (0 <= k <= d and k == int(k)):
        raise ValueError(f"k = {k} ones are infeasible: k must be a whole number from 0 to d = {d}")
    return int(k)


def _size(energies):
    """d of energies (2^d,). Raises ValueError for a length that is no power of two."""
    d = len(energies).bit_length() - 1
    if len(energies) != 2**d:
        raise ValueError(f"energies must be (2^d,), one for each bit-string, got {len(energies)}")
    return d


def _flipped(k, energies):
    """Indices one flip away: (...,) int  ->  (d, ...). Bit p of an index is n_p, as in `annealing`."""
    return np.array([k ^ (1 << p) for p in range(_size(energies))], dtype=int)


def descend(energies, start=0):
    """Steepest descent, one flip at a time: energies (2^d,), index of a bit-string  ->  index of a local minimum.

    Raises ValueError for a length that is no power of two.
    """
    near = _flipped(start, energies)
    while len(near) and energies[best := near[energies[near].argmin()]] < energies[start]:
        start, near = best, _flipped(best, energies)
    return int(start)


def best_of_size(energies):
    """Lowest-energy bit-string of every size: energies (2^d,)  ->  (d + 1,) indices, entry k with k maps.

    Raises ValueError for a length that is no power of two.
    """
    sizes = np.arange(_size(energies) + 1)
    size = np.bitwise_count(np.arange(len(energies)))
    order = np.lexsort((energies, size))
    return order[np.searchsorted(size[order], sizes)]


def local_minima(energies):
    """Which bit-strings no single flip improves: energies (2^d,)  ->  (2^d,) bool. Raises as `descend`."""
    return np.all(energies <= energies[_flipped(np.arange(len(energies)), energies)], axis=0)


def common_maps(selected, labels, first, second, count=3):
    """Pairs of images of two classes whose selections share most maps, each image used once.

    selected: (B, N_f) bool; labels: (B,); first, second: classes
    ->  list of (i, j, common maps (N_f,) bool), `count` pairs, or a single one if no map is shared.
    """
    pairs = []
    rows, columns = np.flatnonzero(labels == first), np.flatnonzero(labels == second)
    shared = (selected[rows, None] & selected[None, columns]).sum(-1)
    for _ in range(min(count, len(rows), len(columns)) if shared.any() else 1):
        i, j = np.unravel_index(shared.argmax(), shared.shape)
        pairs.append((rows[i], columns[j], selected[rows[i]] & selected[columns[j]]))
        shared[i], shared[:, j] = -1, -1
    return pairs
