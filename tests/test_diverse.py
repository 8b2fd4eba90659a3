"""Selections of important and different maps, against determinants, sums and enumerations written out."""

from itertools import combinations
from math import e, factorial

import dimod
import numpy as np
import pytest

from qafs_utils.cnn.feature_maps import cosine_matrix
from qafs_utils.qubo import binary, feature_selection
from qafs_utils.qubo.feature_selection import Problem
from qafs_utils.solvers import diverse

GREEDY = (diverse.dpp, diverse.facility_location, diverse.greedy_on_energy)


@pytest.fixture(scope="module")
def problems():
    """Twelve images of eight maps of 4 x 4, six or so of which are candidates."""
    rng = np.random.default_rng(0)
    return feature_selection.problems(rng.random((12, 8, 4, 4)) ** 3, rng.normal(0.5, 1, (12, 8)))


def determinant(problem, chosen):
    quality = problem.importance[list(chosen)]
    return np.linalg.det(np.outer(quality, quality) * problem.redundancy[np.ix_(chosen, chosen)])


def coverage(problem, chosen):
    return sum(weight * max(problem.redundancy[p, q] for q in chosen) for p, weight in enumerate(problem.importance))


def minus_energy(problem, chosen):
    bits = np.isin(np.arange(problem.d), list(chosen))
    return -problem.energy(problem.selected(bits), 0.6, "p<q")


def step_by_step(problem, k, value):
    chosen = []
    for _ in range(k):
        left = [p for p in range(problem.d) if p not in chosen]
        chosen.append(max(left, key=lambda p: value(problem, [*chosen, p])))
    return sorted(problem.maps[chosen].tolist())


@pytest.mark.parametrize("k", [0, 1, 2, 3])
def test_each_step_is_the_best_one(problems, k):
    problems = [problem for problem in problems if problem.d >= 3]
    for select, value in (
        (diverse.dpp, determinant),
        (diverse.facility_location, coverage),
        (lambda problems, k: diverse.greedy_on_energy(problems, k, beta=0.6, pair_sum="p<q"), minus_energy),
    ):
        for problem, bits in zip(problems, select(problems, k)):
            assert bits.nonzero()[0].tolist() == step_by_step(problem, k, value)


def test_greedy_sets_are_within_their_guarantees(problems):
    for problem in problems:
        k = min(3, problem.d)
        sets = [list(chosen) for chosen in combinations(range(problem.d), k)]
        for select, value, share in (
            (diverse.dpp, determinant, 1 / factorial(k) ** 2),  # Civril and Magdon-Ismail 2009
            (diverse.facility_location, coverage, 1 - 1 / e),
        ):
            (bits,) = select([problem], k)
            best, found = max(value(problem, chosen) for chosen in sets), np.flatnonzero(bits[problem.maps])
            assert share * best <= value(problem, list(found)) <= best * (1 + 1e-12)


def test_quality_takes_the_place_of_importance(problems):
    importance = np.zeros((len(problems), 8))
    for row, problem in zip(importance, problems):
        row[problem.maps] = 7 * problem.importance  # of another scale
    k = min(problem.d for problem in problems)
    for select in GREEDY:
        assert (select(problems, k, importance) == select(problems, k)).all()
        other = select(problems, 1, importance[:, ::-1] + 0.01)
        assert (other.sum(1) == 1).all() and (other & (importance == 0)).sum() == 0


def test_a_singular_kernel_is_refused_by_name_or_stops():
    maps = np.zeros((3, 2, 1))
    maps[:, :, 0] = [1, 0], [0, 1], [1, 1]  # three maps of two pixels
    problem = Problem([0, 1, 2], [-1.0, -0.9, -0.8], cosine_matrix(maps), 4)
    with pytest.raises(diverse.SingularKernelError, match="image 1: the kernel has the rank 2.*ask for 2 maps"):
        diverse.dpp([Problem([0, 1, 3], [-1.0, -0.9, -0.8], np.eye(3), 4), problem], 3)
    (bits,) = diverse.dpp([problem], 3, singular="stop")
    assert bits.tolist() == [True, True, False, False]
    silent = Problem([0, 1], [-1.0, -0.9], np.diag([0.0, 1.0]), 2)  # a map of zeros is never in a set
    assert diverse.dpp([silent], 1).tolist() == [[False, True]]
    with pytest.raises(diverse.SingularKernelError, match="rank 1"):
        diverse.dpp([silent], 2)


def test_maps_of_few_pixels_have_a_kernel_of_that_rank():
    maps = np.random.default_rng(1).random((20, 3, 3))
    problem = feature_selection.problem(maps, np.ones(20))
    assert diverse.dpp([problem], 20, singular="stop").sum() == 9


def test_what_is_no_kernel_is_refused():
    J = np.array([[1.0, 0.9, 0.0], [0.9, 1.0, 0.9], [0.0, 0.9, 1.0]])  # likeness is not transitive like this
    assert np.linalg.eigvalsh(J)[0] < -0.2
    with pytest.raises(ValueError, match="eigenvalue -0.27.*no kernel.*Gram matrix"):
        diverse.dpp([Problem([0, 1, 2], [-1.0, -0.9, -0.8], J, 3)], 2)


def test_cosines_in_half_precision_are_a_kernel_up_to_rounding():
    rng = np.random.default_rng(2)
    exact = feature_selection.problems(rng.random((3, 30, 4, 4)), rng.random((3, 30)))
    stored = feature_selection.from_arrays(feature_selection.to_arrays(exact))
    assert (diverse.dpp(stored, 5).sum(1) == 5).all()


@pytest.mark.parametrize("select", GREEDY)
def test_bad_sizes_and_qualities_are_refused(problems, select):
    d = problems[0].d
    with pytest.raises(ValueError, match=f"image 0: k, of its candidates, must be a whole number from 0 to {d}"):
        select(problems[:1], d + 1)
    with pytest.raises(ValueError, match=r"quality must be \(B, N_f\) = \(1, 8\)"):
        select(problems[:1], 1, np.ones((1, 7)))
    with pytest.raises(ValueError, match="quality of candidates must lie in"):
        select(problems[:1], 1, -np.ones((1, 8)))
    with pytest.raises(ValueError, match="no candidate has a positive quality"):
        select(problems[:1], 1, np.zeros((1, 8)))
    with pytest.raises(ValueError, match="problems must be"):
        select([3], 1)
    assert select([], 1).shape[0] == 0


def test_unknown_treatment_of_singular_kernels(problems):
    with pytest.raises(ValueError, match="unknown singular 'ignore': choose from refuse, stop"):
        diverse.dpp(problems, 1, singular="ignore")


def test_exchanges_are_the_best_of_all_single_ones_and_need_starts(problems):
    problem = problems[0]
    (bits,) = diverse.exchanged([problem], [[problem.selected(np.arange(problem.d) < 3)]], beta=0.6, pair_sum="p<q")
    chosen = np.flatnonzero(bits[problem.maps])
    neighbours = [{*chosen} - {out} | {into} for out in chosen for into in set(range(problem.d)) - {*chosen}]
    assert len(chosen) == 3
    assert all(minus_energy(problem, chosen) >= minus_energy(problem, sorted(other)) - 1e-12 for other in neighbours)
    with pytest.raises(ValueError, match="starts must hold at least one selection for each image"):
        diverse.exchanged([problem], np.zeros((0, 1, 8), bool))
    with pytest.raises(ValueError, match="image 0: a start holds maps that are no candidates: choose among"):
        diverse.exchanged([problem], [[np.ones(8, bool)]])


def test_double_greedy_keeps_its_promise():
    """3 f(S) >= f(optimum) + f(none) + f(all), over random models without negative couplings."""
    rng, optimal = np.random.default_rng(3), 0
    for _ in range(200):
        d = int(rng.integers(1, 8))
        couplings = {(p, q): float(rng.random() ** 2) for p, q in combinations(range(d), 2)}
        bqm = dimod.BinaryQuadraticModel(dict(enumerate(rng.normal(-0.5, 1, d))), couplings, 0.3, dimod.BINARY)
        f = -(binary.energies(bqm) - bqm.offset)
        found = -(bqm.energy(dict(enumerate(diverse.double_greedy(bqm).astype(int)))) - bqm.offset)
        assert 3 * found >= f.max() + 0 + f[-1] - 1e-9
        optimal += found >= f.max() - 1e-9
    assert 50 < optimal < 200  # it is a heuristic


def test_double_greedy_decides_by_marginal_gains():
    """The same decisions, with energies of whole sets."""
    rng = np.random.default_rng(4)
    couplings = {(p, q): float(rng.random()) for p, q in combinations(range(6), 2)}
    bqm = dimod.BinaryQuadraticModel(dict(enumerate(rng.normal(-1, 1, 6))), couplings, 0.0, dimod.BINARY)
    small, large = dict.fromkeys(range(6), 0), dict.fromkeys(range(6), 1)
    for p in range(6):
        adding = bqm.energy(small) - bqm.energy(small | {p: 1})
        removing = bqm.energy(large) - bqm.energy(large | {p: 0})
        small[p] = large[p] = int(adding >= removing)
    assert diverse.double_greedy(bqm).tolist() == [bool(bit) for bit in small.values()]


def test_double_greedy_refuses_negative_couplings(problems):
    with pytest.raises(ValueError, match="submodular without negative couplings only"):
        diverse.double_greedy(problems[0].reversed().bqm(0.5))
