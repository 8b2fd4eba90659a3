"""The feature-selection QUBO: importance against redundancy (paper, Eqs. 4 and 5)."""

from dataclasses import dataclass, replace

import dimod
import numpy as np

from .. import require
from ..cnn.feature_maps import NoPositiveMapError, candidates, cosine_matrix
from .binary import biases

PAIR_SUMS = ("p<q", "half", "all")
COUPLINGS = ("cosine", "zero", "gaussian")
_MAPS = ": check the feature maps they come from"
_MOST = np.iinfo(np.int32).max  # the number of a feature map is below


@dataclass(frozen=True)
class Problem:
    """One image's selection problem.

    maps: (d,) indices of the candidate maps; field: (d,), of candidates in [-1, 0); redundancy: (d, d) cosines. They
    are copied, and cannot be written to. Raises ValueError for other shapes, a map that comes twice, asymmetry, NaN
    and infinity.

    >>> problem = Problem(np.array([2, 5]), np.array([-1.0, -0.5]), np.array([[1.0, 0.6], [0.6, 1.0]]))
    >>> problem.bqm(beta=0.5).linear, problem.d
    ({0: -0.5, 1: -0.25}, 2)
    >>> problem.reversed().redundancy
    array([[-1. , -0.6],
           [-0.6, -1. ]])
    """

    maps: np.ndarray
    field: np.ndarray
    redundancy: np.ndarray

    def __post_init__(self):
        sizes = {}
        maps = require.indices("maps", self.maps, "d", _MOST, sizes)
        if len(np.unique(maps)) < len(maps):
            raise ValueError(f"maps must be the numbers of different feature maps, got {maps.tolist()}")
        field = require.array("field", self.field, "d", sizes, remedy=_MAPS)
        redundancy = _symmetric("redundancy", self.redundancy, sizes)
        for name, array in (("maps", maps), ("field", field), ("redundancy", redundancy)):
            array = array.copy()
            array.setflags(write=False)
            object.__setattr__(self, name, array)

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
        """Energy (Eq. 4) of a selection (N_f,) bool; maps that are no candidates do not count.

        Raises ValueError for what is no bit-string of all N_f maps.
        """
        selected = require.bits("selected", selected, "N_f")
        require.whole("N_f, the length of selected,", len(selected), self.maps.max(initial=-1) + 1)
        return float(self.bqm(beta, pair_sum).energy(dict(enumerate(selected[self.maps].astype(int)))))

    def reversed(self):
        """The problem that rewards redundancy, -J for J: of a fixed size, the most redundant maps (paper, Sec. III).

        With J >= 0 and h <= 0 none of its terms is positive, so without a fixed size every candidate is optimal.
        """
        return replace(self, redundancy=-self.redundancy)


def _symmetric(name, matrix, sizes=None):
    matrix = require.array(name, matrix, "d d", sizes, "[-1e100, 1e100]", remedy=_MAPS)  # squares do not overflow
    if not np.abs(matrix - matrix.T).max(initial=0) <= 1e-5 * np.abs(matrix).max(initial=0):
        raise ValueError(f"{name} must be symmetric")
    return matrix


def require_problems(problems, n_features=None):
    """Problems as a list, from a list, tuple or generator of Problem; n_features as an int, unless None.

    Raises ValueError for anything else, and for fewer features than the numbers of the maps need.

    >>> problem = Problem([2, 5], [-1.0, -0.5], [[1.0, 0.6], [0.6, 1.0]])
    >>> len(require_problems((problem, problem), 6)[0])
    2
    >>> require_problems([problem], 4)
    Traceback (most recent call last):
    ValueError: n_features must be a whole number from 6 to 2147483647, got 4
    """
    try:
        problems = list(problems)
    except TypeError:
        raise ValueError(
            f"problems must be a list of feature_selection.Problem, got {type(problems).__name__}"
        ) from None
    for problem in problems:
        if not isinstance(problem, Problem):
            raise ValueError(
                f"problems must be a list of feature_selection.Problem, got one of {type(problem).__name__}"
            )
    least = max((problem.maps.max(initial=-1) + 1 for problem in problems), default=0)
    return problems, None if n_features is None else require.whole("n_features", n_features, least, _MOST)


def field(importance):
    """Linear term h = -alpha / max(alpha) of the candidates (paper, Eq. 5): (d,) positive  ->  (d,) in [-1, 0).

    Raises ValueError for importances that are not positive and finite: those are no candidates (Eq. 2).

    >>> field([4.0, 2.0, 1.0])
    array([-1.  , -0.5 , -0.25])
    """
    remedy = ": the field is of candidates, whose importance is positive"
    importance = require.array("importance", importance, "d", interval="(0, inf)", remedy=remedy)
    return -importance / importance.max(initial=0)


def problem(maps, importance):
    """Candidates, field and redundancy of one image: maps (N_f, H, W), importance (N_f,)  ->  Problem.

    Raises NoPositiveMapError when no importance is positive, ValueError for other shapes, NaN or infinity.

    >>> maps = [[[1, 0]], [[2, 0]], [[1, 1]], [[0, 1]]]  # the first two differ by their scale only
    >>> problem = problem(maps, [4.0, 2.0, 1.0, -3.0])
    >>> problem.maps, problem.field
    (array([0, 1, 2]), array([-1.  , -0.5 , -0.25]))
    >>> problem.redundancy.round(2)
    array([[1.  , 1.  , 0.71],
           [1.  , 1.  , 0.71],
           [0.71, 0.71, 1.  ]])
    """
    maps, importance = _image(maps, importance)
    return _of(candidates(importance), maps, importance)


def _image(maps, importance, axes="N_f"):
    sizes = {}
    maps = require.array("maps", maps, f"{axes} H W", sizes, remedy=_MAPS, dtype=None)
    return maps, require.array("importance", importance, axes, sizes, remedy=": check the feature maps it comes from")


def _of(kept, maps, importance):
    return Problem(kept, field(importance[kept]), cosine_matrix(maps[kept]))


def problems(maps, importance):
    """`selection` of every image: maps (B, N_f, H, W), importance (B, N_f)  ->  list of B Problem.

    Raises NoPositiveMapError naming the first image without a positive importance, ValueError as `selection` or for
    another number of images.

    >>> [problem.maps.tolist() for problem in problems(np.ones((2, 3, 1, 1)), [[1, 0, 2], [0, 5, -1]])]
    [[0, 2], [1]]
    """
    maps, importance, problems = *_image(maps, importance, "B N_f"), []
    for i, pair in enumerate(zip(maps, importance)):
        try:
            problems.append(_of(candidates(pair[1]), *pair))
        except NoPositiveMapError as error:
            raise NoPositiveMapError(f"image {i}: {error}") from error
    return problems


def to_arrays(problems, n_features):
    """Problems in a compact form: list of B Problem  ->  dict of arrays, `from_arrays` gives them back.

    field: (B, n_features) float32, 0 where a map is no candidate; redundancy: (B, n_features, n_features) float16,
    candidates only, upper triangle with the diagonal. Rounding moves a cosine by at most 2.5e-4.
    Raises ValueError for fewer features than maps, and for problems that this form cannot hold.

    >>> problem = Problem(np.array([0, 2]), np.array([-1.0, -0.5]), np.array([[1.0, 0.6], [0.6, 1.0]]))
    >>> arrays = to_arrays([problem], 3)
    >>> arrays["field"]
    array([[-1. ,  0. , -0.5]], dtype=float32)
    >>> arrays["redundancy"][0]
    array([[1. , 0. , 0.6],
           [0. , 0. , 0. ],
           [0. , 0. , 1. ]], dtype=float16)
    """
    problems, n_features = require_problems(problems, require.whole("n_features", n_features))
    field = np.zeros((len(problems), n_features), np.float32)
    redundancy = np.zeros((len(problems), n_features, n_features), np.float16)
    for i, problem in enumerate(problems):
        with np.errstate(over="ignore"):
            field[i, problem.maps] = problem.field
            redundancy[i][np.ix_(problem.maps, problem.maps)] = np.triu(problem.redundancy)
        if not (field[i, problem.maps].all() and np.isfinite(redundancy[i]).all() and np.isfinite(field[i]).all()):
            raise ValueError(f"problem {i} has no compact form: a field rounds to 0, or a number is too large")
    return {"field": field, "redundancy": redundancy}


def from_arrays(field, redundancy):
    """The problems of `to_arrays`  ->  list of B Problem.

    Raises ValueError if the shapes do not fit each other, for NaN and infinity.

    >>> problem = Problem(np.array([0, 2]), np.array([-1.0, -0.5]), np.array([[1.0, 0.6], [0.6, 1.0]]))
    >>> same = from_arrays(**to_arrays([problem], 3))[0]
    >>> same.maps, same.field
    (array([0, 2]), array([-1. , -0.5]))
    >>> same.redundancy.round(3)
    array([[1. , 0.6],
           [0.6, 1. ]])
    """
    sizes, problems = {}, []
    field = require.array("field", field, "B N_f", sizes, remedy=_MAPS)
    redundancy = require.array("redundancy", redundancy, "B N_f N_f", sizes, remedy=_MAPS)
    for h, upper in zip(field, redundancy):
        kept = np.flatnonzero(h)
        J = upper[np.ix_(kept, kept)]
        problems.append(Problem(kept, h[kept], J + np.triu(J, 1).T))
    return problems


def subsample(maps, importance, d, rng=None):
    """The problem of d candidates of one image, drawn at random: maps (N_f, H, W), importance (N_f,)  ->  Problem.

    The field is scaled by the largest importance drawn. rng: a numpy Generator, or a seed for one.
    Raises NoPositiveMapError when no importance is positive, ValueError for d below 1 or above the candidates, other
    shapes, NaN or infinity.

    >>> problem = subsample(np.ones((5, 2, 2)), [1.0, 2.0, -1.0, 4.0, 3.0], 2, rng=0)
    >>> problem.maps, problem.field
    (array([3, 4]), array([-1.  , -0.75]))
    """
    maps, importance = _image(maps, importance)
    kept = candidates(importance)
    d = require.whole("d, of the image's candidates,", d, 1, len(kept))
    return _of(np.sort(require.generator("rng", rng).choice(kept, d, replace=False)), maps, importance)


def null_couplings(redundancy, kind, rng=None):
    """Couplings without the structure of cosines, to tell what that structure does: (d, d)  ->  (d, d) symmetric.

    kind: "cosine", unchanged; "zero", none; "gaussian", independent draws shifted and scaled to exactly the mean and
    the spread of the redundancy's pairs. The diagonal stays. rng: a numpy Generator, or a seed for one.
    Raises ValueError for an unknown kind, asymmetry, NaN and infinity.

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
    require.choice("kind of couplings", kind, COUPLINGS)
    redundancy = _symmetric("redundancy", redundancy)
    pairs = np.triu_indices(len(redundancy), 1)
    values = redundancy[pairs] * (kind == "cosine")
    if kind == "gaussian" and len(values):
        drawn = require.generator("rng", rng).normal(size=len(values))
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
    beta, sizes = require.number("beta", beta, "[0, 1]"), {}
    require.choice("pair_sum", pair_sum, PAIR_SUMS)
    field = require.array("field", field, "d", sizes, remedy=_MAPS)
    redundancy = _symmetric("redundancy", redundancy, sizes)
    pair = 2.0 if pair_sum == "all" else 1.0
    diagonal = {"p<q": 0.0, "half": 0.5, "all": 1.0}[pair_sum]
    linear = beta * field + (1 - beta) * diagonal * np.diag(redundancy)
    rows, columns = np.triu_indices(len(field), 1)
    return dimod.BinaryQuadraticModel.from_numpy_vectors(
        linear, (rows, columns, pair * (1 - beta) * redundancy[rows, columns]), 0.0, dimod.BINARY
    )
