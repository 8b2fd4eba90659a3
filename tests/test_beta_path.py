"""The path in beta: against the convex hull of all bit-strings, and against enumeration on a grid."""

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from qafs_utils.cnn.pretrained import resnet18
from qafs_utils.explanations.one_image import explain
from qafs_utils.qubo import feature_selection
from qafs_utils.qubo.binary import bits, energies
from qafs_utils.qubo.feature_selection import Problem
from qafs_utils.solvers import beta_path

PAIR_SUMS = feature_selection.PAIR_SUMS


def problem(d, seed=0, rank=4):
    rng = np.random.default_rng(seed)
    return feature_selection.problem(np.maximum(rng.normal(size=(d, 1, rank)), 0) + 1e-3, rng.random(d) + 0.01)


def hull_edges(of, pair_sum):
    """Break points as the edges of the lower left hull of all points (A, B), and sizes of its corners."""
    points = np.stack([energies(of.bqm(0.0, pair_sum)), energies(of.bqm(1.0, pair_sum))], 1)
    n = bits(np.arange(len(points)), of.d).sum(1)
    edges, corners = [], set()
    hull = ConvexHull(points)
    for facet, (nx, ny, _) in zip(hull.simplices, hull.equations):
        if nx < -1e-12 and ny < -1e-12:  # outward to the lower left: its normal is (1 - beta, beta), up to a factor
            edges.append(ny / (nx + ny))
            corners |= set(facet)
    return np.sort(edges), sorted(n[list(corners)])


@pytest.mark.parametrize("pair_sum", PAIR_SUMS)
@pytest.mark.parametrize("d, seed", [(4, 0), (7, 1), (10, 2), (10, 3)])
def test_break_points_are_those_of_the_hull_of_all_selections(d, seed, pair_sum):
    of = problem(d, seed)
    found = beta_path.path(of, pair_sum=pair_sum)
    edges, sizes = hull_edges(of, pair_sum)
    assert np.allclose(found.edges[1:-1], edges[(edges > 1e-9) & (edges < 1 - 1e-9)], atol=1e-7)
    assert sorted(found.k) == sizes and found.proven.all()
    assert found.edges[0] == 0 and found.edges[-1] == 1 and (found.widths > 0).all()


@pytest.mark.parametrize("pair_sum", PAIR_SUMS)
@pytest.mark.parametrize("d, seed", [(1, 0), (2, 1), (6, 2), (9, 3)])
def test_no_energy_lies_below_on_a_dense_grid(d, seed, pair_sum):
    of = problem(d, seed)
    found = beta_path.path(of, pair_sum=pair_sum)
    for beta in np.linspace(0, 1, 201):
        least = energies(of.bqm(beta, pair_sum)).min()
        assert found.energy(beta) == pytest.approx(least, abs=1e-8)
        assert of.energy(found.at(beta), beta, pair_sum) == pytest.approx(least, abs=1e-8)


def test_the_path_of_one_pair_sum_is_that_of_the_other_at_another_beta():
    of = problem(9, 5)
    twice, once = beta_path.path(of, pair_sum="p!=q"), beta_path.path(of, pair_sum="p<q")
    assert np.allclose(beta_path.in_each_pair_once(twice.edges), once.edges, atol=1e-8)
    assert (twice.bits == once.bits).all()


def test_degenerate_problems():
    alike = Problem(np.arange(4), -np.ones(4), np.ones((4, 4)), 4)  # any k maps are as good as any other k
    found = beta_path.path(alike)
    for beta in np.linspace(0, 1, 51):
        assert found.energy(beta) == pytest.approx(energies(alike.bqm(beta)).min(), abs=1e-9)
    free = Problem(np.arange(3), [-1.0, -0.5, -0.1], np.eye(3), 3)  # no pair costs anything: all maps, at any beta
    assert beta_path.path(free).k.tolist() == [3]
    assert beta_path.reached([beta_path.path(free)]).reached.tolist() == [False, False, True]
    single = beta_path.path(Problem([5], [-1.0], [[1.0]], 9))
    assert single.k.tolist() == [1] and np.flatnonzero(single.at(0.3)).tolist() == [5]
    weakest = problem(6, 1).with_field("min-max")  # the weakest costs nothing at beta = 1
    assert beta_path.path(weakest).energy(1.0) == pytest.approx(energies(weakest.bqm(1.0)).min())


def test_part_of_a_path():
    of = problem(10, 4)
    whole, part = beta_path.path(of), beta_path.path(of, low=0.4, high=0.9)
    inside = whole.edges[(whole.edges > 0.4) & (whole.edges < 0.9)]
    assert np.allclose(part.edges, [0.4, *inside, 0.9], atol=1e-8)
    assert beta_path.reached([part]).k.tolist() == list(range(part.k.min(), 11))
    for beta in (0.3, 0.95, np.nan):
        with pytest.raises(ValueError, match="beta"):
            part.at(beta)


def test_which_beta_gives_k_and_how_many_solves_it_takes():
    found = [beta_path.path(problem(10, seed)) for seed in range(4)]
    for of_image in found:
        for k in range(11):
            spans = of_image.betas(k)
            assert sum(high - low for low, high in spans) == pytest.approx(of_image.widths[of_image.k == k].sum())
            assert all(of_image.at((low + high) / 2).sum() == k for low, high in spans)
        assert of_image.solves <= 2 * len(of_image.bits) + 3
    table = beta_path.reached(found)
    assert len(table) == 40 and [bool(x) for x in table.reached] == [
        bool(found[image].betas(k)) for image, k in zip(table.image, table.k)
    ]
    assert beta_path.sizes_on(found, [0.5]).tolist() == [[p.at(0.5).sum()] for p in found]


def test_a_piece_is_proven_by_the_solves_at_its_ends():
    of = problem(8, 6)

    def limited(given, beta, pair_sum):
        return beta_path.exact(given, beta, pair_sum)[0], beta < 0.5

    found = beta_path.path(of, solve=limited)
    assert (found.proven == (found.edges[1:] < 0.5)).all() and found.proven.any() and not found.proven.all()


def test_paths_are_those_of_each_problem():
    of = [problem(6, seed) for seed in range(3)]
    for found, alone in zip(beta_path.paths(of), map(beta_path.path, of), strict=True):
        assert (found.edges == alone.edges).all() and (found.bits == alone.bits).all()


@pytest.mark.parametrize("pair_sum", PAIR_SUMS)
def test_of_an_explanation(pair_sum):
    image = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    found = explain(image, resnet18("random"), layer="layer2", beta=0.8, pair_sum=pair_sum)
    along = found.beta_path(0.79, 0.81)
    assert along.pair_sum == pair_sum and along.energy(0.8) == pytest.approx(found.info["energy"], abs=1e-9)


def test_refused_by_name():
    of = problem(3)
    for low, high in ((0.5, 0.5), (-0.1, 1.0), (0.0, 1.1)):
        with pytest.raises(ValueError, match="low|high"):
            beta_path.path(of, low=low, high=high)
    with pytest.raises(ValueError, match="pair_sum"):
        beta_path.path(of, pair_sum="all")
    with pytest.raises(ValueError, match="feature_selection.Problem"):
        beta_path.path("problem")
    with pytest.raises(ValueError, match="what solve returns"):
        beta_path.path(of, solve=lambda *given: ([1, 0], True))
