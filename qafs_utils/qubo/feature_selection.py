"""The feature-selection QUBO: importance against redundancy (paper, Eqs. 4 and 5)."""

from dataclasses import dataclass, replace

import dimod
import numpy as np

from .. import require
from ..cnn import feature_maps
from ..cnn.feature_maps import NoPositiveMapError, cosine_matrix
from ..conventions import CHOICES, HEADLINE

PAIR_SUMS = CHOICES["pair_sum"]  # "p!=q", "p<q", "half"
FIELDS = CHOICES["field"]  # "max", "min-max"
COUPLINGS = ("cosine", "zero", "gaussian")
_MAPS = ": check the feature maps they come from"
_MOST = np.iinfo(np.int32).max  # the number of a feature map is below


@dataclass(frozen=True)
class Problem:
    """One image's selection problem.

    maps: (d,) numbers of the candidate maps; field: (d,) h in [-1, 0], see `field`; redundancy: (d, d) cosines;
    n_features: number N_f of all maps of the network. Arrays are copied, and cannot be written to.
    Raises ValueError for other shapes, a map that comes twice or is none of N_f, asymmetry, NaN and infinity.

    >>> problem = Problem(np.array([2, 5]), np.array([-1.0, -0.5]), np.array([[1.0, 0.6], [0.6, 1.0]]), n_features=6)
    >>> problem.bqm(beta=0.5).linear, problem.d
    ({0: -0.5, 1: -0.25}, 2)
    >>> problem.reversed().redundancy
    array([[-1. , -0.6],
           [-0.6, -1. ]])
    """

    maps: np.ndarray
    field: np.ndarray
    redundancy: np.ndarray
    n_features: int

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
        least = maps.max(initial=-1) + 1
        object.__setattr__(self, "n_features", require.whole("n_features", self.n_features, least, _MOST))

    @property
    def d(self) -> int:
        """Number of candidate maps, the qubits of the annealer."""
        return len(self.maps)

    @property
    def importance(self) -> np.ndarray:
        """Importance of the candidates as the field counts it, minus h: (d,) in [0, 1]."""
        return -self.field

    def with_field(self, kind: str) -> "Problem":
        """The problem with another field, made of its own: kind "max" or "min-max", see `field`.

        Raises ValueError for an unknown kind, and for "max" of a min-max field, which has lost the smallest importance.

        >>> Problem([2, 5, 7], [-1.0, -0.5, -0.25], np.eye(3), 8).with_field("min-max").field.round(2)
        array([-1.  , -0.33,  0.  ])
        """
        require.choice("field", kind, FIELDS)
        if kind == "max" and not (self.field < 0).all():
            raise ValueError("field is min-max, from which max cannot be made: start from the max field")
        return replace(self, field=_field(self.importance, kind))

    def bqm(self, beta: float = HEADLINE.beta, pair_sum: str = HEADLINE.pair_sum) -> dimod.BinaryQuadraticModel:
        """The QUBO of this image as a dimod.BinaryQuadraticModel; see `feature_selection_bqm`."""
        return feature_selection_bqm(self.redundancy, self.field, beta, pair_sum)

    def matrix(self, beta: float = HEADLINE.beta, pair_sum: str = HEADLINE.pair_sum) -> np.ndarray:
        """Q of the energy n.Q.n: (d, d), linear terms on the diagonal, every pair once above it."""
        linear, couplings = _terms(self.redundancy, self.field, beta, pair_sum)
        return np.triu(couplings, 1) + np.diag(linear)

    def selected(self, bits: np.ndarray) -> np.ndarray:
        """The maps that a bit-string of the candidates selects: (d,)  ->  (N_f,) bool.

        Raises ValueError for what is no bit-string of the d candidates.
        """
        selected = np.zeros(self.n_features, dtype=bool)
        selected[self.maps] = require.bits("bits", bits, "d", {"d": self.d})
        return selected

    def energy(self, selected: np.ndarray, beta: float = HEADLINE.beta, pair_sum: str = HEADLINE.pair_sum) -> float:
        """Energy (Eq. 4) of a selection (N_f,) bool; maps that are no candidates do not count.

        Raises ValueError for what is no bit-string of all N_f maps.
        """
        selected = require.bits("selected", selected, "N_f", {"N_f": self.n_features})
        return float(self.bqm(beta, pair_sum).energy(dict(enumerate(selected[self.maps].astype(int)))))

    def reversed(self) -> "Problem":
        """The problem that rewards redundancy, -J for J: of a fixed size, the most redundant maps (paper, Sec. III).

        With J >= 0 and h <= 0 none of its terms is positive, so without a fixed size every candidate is optimal.
        """
        return replace(self, redundancy=-self.redundancy)


def _symmetric(name, matrix, sizes=None):
    matrix = require.array(name, matrix, "d d", sizes, "[-1e100, 1e100]", remedy=_MAPS)  # squares do not overflow
    if not np.abs(matrix - matrix.T).max(initial=0) <= 1e-5 * np.abs(matrix).max(initial=0):
        raise ValueError(f"{name} must be symmetric")
    return matrix


def require_problems(problems) -> tuple[list[Problem], int]:
    """Problems as a list, from a list, tuple or generator of Problem, and the n_features they share, 0 for no problem.

    Raises ValueError for anything else, and for problems of several numbers of feature maps.

    >>> problem = Problem([2, 5], [-1.0, -0.5], [[1.0, 0.6], [0.6, 1.0]], 6)
    >>> problems, n_features = require_problems((problem, problem))
    >>> len(problems), n_features
    (2, 6)
    """
    wanted = "problems must be a list of feature_selection.Problem"
    try:
        problems = list(problems)
    except TypeError:
        raise ValueError(f"{wanted}, got {type(problems).__name__}") from None
    for problem in problems:
        if not isinstance(problem, Problem):
            raise ValueError(f"{wanted}, got one of {type(problem).__name__}")
    numbers = sorted({problem.n_features for problem in problems})
    if len(numbers) > 1:
        raise ValueError(
            f"problems must be of one number of feature maps, got n_features of {numbers[0]}, {numbers[1]}"
        )
    return problems, numbers[0] if numbers else 0


def field(importance, kind: str = HEADLINE.field) -> np.ndarray:
    """Linear term h of the candidates: their importances alpha, (d,) positive  ->  (d,) in [-1, 0].

    kind: "max", h = -alpha / max(alpha), below 0 (paper, Eq. 5); "min-max", h = -(alpha - min) / (max - min), 0 for the
    weakest (github checc1/FS_QA at f8e9b6a, src/qubo_utils.py). Of equal importances, or a single one, both are -1.
    Raises ValueError for importances that are not positive and finite: those are no candidates (Eq. 2).

    >>> field([4.0, 2.0, 1.0])
    array([-1.  , -0.5 , -0.25])
    >>> field([5.0, 2.0, 1.0], "min-max")
    array([-1.  , -0.25,  0.  ])
    """
    require.choice("field", kind, FIELDS)
    remedy = ": the field is of candidates, whose importance is positive"
    return _field(require.array("importance", importance, "d", interval="(0, inf)", remedy=remedy), kind)


def _field(importance, kind):
    most, least = importance.max(initial=0), importance.min(initial=np.inf)
    if kind == "max" or not least < most:
        return -importance / most
    return (least - importance) / (most - least)


def problem(maps, importance, *, candidates: str = HEADLINE.candidates, field: str = HEADLINE.field) -> Problem:
    """Candidates, field and redundancy of one image: maps (N_f, H, W), importance (N_f,)  ->  Problem.

    candidates: "positive", the maps of positive importance (paper, Eq. 2), or "signed", all whose importance is not 0,
    by its magnitude. field: "max" or "min-max", see the function `field`.
    Raises NoPositiveMapError when there is no candidate, ValueError for other shapes, NaN or infinity.

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
    return _of_image(maps, importance, candidates, field)


def _image(maps, importance, axes="N_f"):
    sizes = {}
    maps = require.array("maps", maps, f"{axes} H W", sizes, remedy=_MAPS, dtype=None)
    return maps, require.array("importance", importance, axes, sizes, remedy=": check the feature maps it comes from")


def _of_image(maps, importance, candidates, kind):
    if require.choice("candidates", candidates, CHOICES["candidates"]) == "signed":
        importance = np.abs(importance)
    return _restricted(maps, importance, feature_maps.candidates(importance), kind)


def _restricted(maps, importance, kept, kind):
    """The problem of one image with some of its maps as candidates: maps (N_f, H, W), importance (N_f,), kept (d,)."""
    return Problem(kept, field(importance[kept], kind), cosine_matrix(maps[kept]), len(importance))


def problems(maps, importance, *, candidates: str = HEADLINE.candidates, field: str = HEADLINE.field) -> list[Problem]:
    """`problem` of every image: maps (B, N_f, H, W), importance (B, N_f)  ->  list of B Problem.

    Raises NoPositiveMapError naming the first image without a candidate, ValueError as `problem` or for another number
    of images.

    >>> [problem.maps.tolist() for problem in problems(np.ones((2, 3, 1, 1)), [[1, 0, 2], [0, 5, -1]])]
    [[0, 2], [1]]
    """
    maps, importance = _image(maps, importance, "B N_f")
    found = []
    for i, (of_image, weights) in enumerate(zip(maps, importance)):
        try:
            found.append(_of_image(of_image, weights, candidates, field))
        except NoPositiveMapError as error:
            raise NoPositiveMapError(f"image {i}: {error}") from error
    return found


def to_arrays(problems) -> dict[str, np.ndarray]:
    """Problems in a compact form: list of B Problem  ->  dict of arrays; `from_arrays` gives the problems back.

    field: (B, N_f) float32, 0 where a map is no candidate; redundancy: (B, N_f, N_f) float16, candidates only, upper
    triangle with the diagonal. Rounding moves a cosine by at most 2.5e-4. A min-max field has a 0 of its own, so the
    form is of max fields: `Problem.with_field` makes the other afterwards.
    Raises ValueError for problems that this form cannot hold, and as `require_problems`.

    >>> problem = Problem(np.array([0, 2]), np.array([-1.0, -0.5]), np.array([[1.0, 0.6], [0.6, 1.0]]), 3)
    >>> arrays = to_arrays([problem])
    >>> arrays["field"]
    array([[-1. ,  0. , -0.5]], dtype=float32)
    >>> arrays["redundancy"][0]
    array([[1. , 0. , 0.6],
           [0. , 0. , 0. ],
           [0. , 0. , 1. ]], dtype=float16)
    """
    problems, n_features = require_problems(problems)
    field = np.zeros((len(problems), n_features), np.float32)
    redundancy = np.zeros((len(problems), n_features, n_features), np.float16)
    for i, problem in enumerate(problems):
        with np.errstate(over="ignore"):
            field[i, problem.maps] = problem.field
            redundancy[i][np.ix_(problem.maps, problem.maps)] = np.triu(problem.redundancy)
        if not (field[i, problem.maps].all() and np.isfinite(redundancy[i]).all() and np.isfinite(field[i]).all()):
            why = "a field is or rounds to 0, or a number is too large"
            raise ValueError(f"problem {i} has no compact form, {why}: give the max field, of candidates only")
    return {"field": field, "redundancy": redundancy}


def from_arrays(arrays, prefix: str = "") -> list[Problem]:
    """The problems of `to_arrays`: dict with the arrays "field" and "redundancy"  ->  list of B Problem.

    prefix: before both names, as "block/seed0/" in the artefact 02_problems_nf16.
    Raises ValueError for a missing array, shapes that do not fit each other, NaN and infinity.

    >>> problem = Problem(np.array([0, 2]), np.array([-1.0, -0.5]), np.array([[1.0, 0.6], [0.6, 1.0]]), 3)
    >>> same = from_arrays(to_arrays([problem]))[0]
    >>> same.maps, same.field, same.n_features
    (array([0, 2]), array([-1. , -0.5]), 3)
    >>> same.redundancy.round(3)
    array([[1. , 0.6],
           [0.6, 1. ]])
    """
    names, sizes, found = (f"{prefix}field", f"{prefix}redundancy"), {}, []
    if not (isinstance(arrays, dict) and arrays.keys() >= set(names)):
        raise ValueError(f"arrays must be a dict with {' and '.join(names)}, got {require.described(arrays)}")
    field = require.array(names[0], arrays[names[0]], "B N_f", sizes, remedy=_MAPS)
    redundancy = require.array(names[1], arrays[names[1]], "B N_f N_f", sizes, remedy=_MAPS)
    for h, upper in zip(field, redundancy):
        kept = np.flatnonzero(h)
        J = upper[np.ix_(kept, kept)]
        found.append(Problem(kept, h[kept], J + np.triu(J, 1).T, len(h)))
    return found


def subsample(maps, importance, d: int, *, field: str = HEADLINE.field, rng=None) -> Problem:
    """The problem of d candidates of one image, drawn at random: maps (N_f, H, W), importance (N_f,)  ->  Problem.

    field: as for `problem`, of the importances drawn. rng: a numpy Generator, or a seed for one.
    Raises ValueError for d below 1 or above the candidates, other shapes, NaN or infinity, and NoPositiveMapError when
    no importance is positive.

    >>> problem = subsample(np.ones((5, 2, 2)), [1.0, 2.0, -1.0, 4.0, 3.0], 2, rng=0)
    >>> problem.maps, problem.field
    (array([3, 4]), array([-1.  , -0.75]))
    """
    maps, importance = _image(maps, importance)
    kept = feature_maps.candidates(importance)
    d = require.whole("d, of the image's candidates,", d, 1, len(kept))
    return _restricted(maps, importance, np.sort(require.generator("rng", rng).choice(kept, d, replace=False)), field)


def null_couplings(redundancy, kind: str, *, rng=None) -> np.ndarray:
    """Couplings without the structure of cosines, to tell what that structure does: (d, d)  ->  (d, d) symmetric.

    kind: "cosine", unchanged; "zero", none; "gaussian", independent draws shifted and scaled to exactly the mean and
    the spread of the redundancy's pairs. The diagonal stays. rng: a numpy Generator, or a seed for one.
    Raises ValueError for an unknown kind, asymmetry, NaN and infinity.

    >>> cosines = np.array([[1.0, 0.2, 0.4], [0.2, 1.0, 0.6], [0.4, 0.6, 1.0]])
    >>> null_couplings(cosines, "gaussian", rng=0).round(2)
    array([[1.  , 0.36, 0.23],
           [0.36, 1.  , 0.62],
           [0.23, 0.62, 1.  ]])
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


def feature_selection_bqm(
    redundancy, field, beta: float = HEADLINE.beta, pair_sum: str = HEADLINE.pair_sum
) -> dimod.BinaryQuadraticModel:
    """H_P = (1 - beta) sum J_pq n_p n_q + beta sum h_p n_p  (paper, Eq. 4) over binary n.

    redundancy: (d, d) symmetric J; field: (d,) h; beta in [0, 1].
    pair_sum, as in `conventions`: "p!=q", each pair twice, no diagonal (the authors' QUBO builders, whose J_pp is 0);
    "p<q", each pair once (their scripts finalSimulation.py and sampling.py); "half", the text's 1/2 sum over all p, q:
    each pair once, and J_pp = 1 costs every map (1 - beta) / 2.
    "p!=q" at beta has the optima of "p<q" at beta / (2 - beta): its energies are 2 - beta times those.
    ->  dimod.BinaryQuadraticModel with variables 0..d-1.
    Raises ValueError for beta outside [0, 1], other shapes, asymmetry, NaN or an unknown pair_sum.

    >>> J, h = [[1.0, 0.6], [0.6, 1.0]], [-1.0, -0.5]
    >>> bqm = feature_selection_bqm(J, h, beta=0.5)  # 0.6 n_0 n_1 - 0.5 n_0 - 0.25 n_1
    >>> [round(float(bqm.energy({0: a, 1: b})), 9) for a, b in ((0, 0), (1, 0), (0, 1), (1, 1))]
    [0.0, -0.5, -0.25, -0.15]
    >>> feature_selection_bqm(J, h, beta=0.5, pair_sum="half").linear  # J_pp / 4 more
    {0: -0.25, 1: 0.0}
    """
    linear, couplings = _terms(redundancy, field, beta, pair_sum)
    rows, columns = np.triu_indices(len(linear), 1)
    return dimod.BinaryQuadraticModel.from_numpy_vectors(
        linear, (rows, columns, couplings[rows, columns]), 0.0, dimod.BINARY
    )


def _terms(redundancy, field, beta, pair_sum):
    """Linear terms (d,) of `feature_selection_bqm`, and couplings (d, d), every pair twice: once above the diagonal."""
    beta, sizes = require.number("beta", beta, "[0, 1]"), {}
    remedy = ": the authors' diagonal J_pp is 0, so their sum over all p, q is 'p!=q'"
    require.choice("pair_sum", pair_sum, PAIR_SUMS, remedy if isinstance(pair_sum, str) and pair_sum == "all" else "")
    field = require.array("field", field, "d", sizes, remedy=_MAPS)
    redundancy = _symmetric("redundancy", redundancy, sizes)
    linear = beta * field
    if pair_sum == "half":
        linear = linear + (1 - beta) / 2 * np.diag(redundancy)
    return linear, (2 if pair_sum == "p!=q" else 1) * (1 - beta) * redundancy
