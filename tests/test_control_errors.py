"""Control errors: draws against their statistics, certificates and optima against enumeration, explanations by hand."""

import itertools

import dimod
import joblib
import numpy as np
import pandas as pd
import pytest

from qafs_utils.annealing.ising import Ising, as_taken, auto_scaled
from qafs_utils.annealing.processors import control_errors as published
from qafs_utils.explanations import error_tolerance, explanation_map
from qafs_utils.qubo import feature_selection
from qafs_utils.solvers import baselines
from qafs_utils.solvers import control_errors as errors
from qafs_utils.solvers.branch_and_bound import optimum

LATE = published(1.0)
NOTHING = dict.fromkeys(LATE, 0.0)


def dense(d, seed):
    """A problem of Gaussian fields and couplings, as taken."""
    rng = np.random.default_rng(seed)
    return auto_scaled(Ising(rng.normal(size=d), np.triu(rng.normal(size=(d, d)), 1), 0.7))


def strings(d):
    return np.array(list(itertools.product([-1.0, 1.0], repeat=d)))


def all_energies(problem):
    """Of all strings, written out, beside the functions of the package."""
    return np.array([s @ problem.h + s @ problem.J @ s + problem.offset for s in strings(problem.d)])


def best(problem):
    return strings(problem.d)[all_energies(problem).argmin()]


@pytest.fixture(scope="module")
def images():
    """Eight images of twelve maps of 4 x 4, nine or so of which are candidates: maps, importance, problems."""
    rng = np.random.default_rng(1)
    maps, importance = rng.random((8, 12, 4, 4)) ** 3, rng.normal(0.7, 1, (8, 12))
    return maps, importance, feature_selection.problems(maps, importance)


# draws


def test_susceptibility_of_three_spins_by_hand():
    problem = Ising(np.array([1.0, -2.0, 3.0]), np.array([[0, 0.5, 0], [0, 0, -1.0], [0, 0, 0]]), 0.25)
    found = errors.erroneous(problem, {"chi": -0.02}, kinds=["susceptibility"])
    assert found.h == pytest.approx([1 + 0.02, -2 - 0.02 * (0.5 - 3), 3 - 0.02 * 2])
    assert found.J == pytest.approx(np.array([[0, 0.5, 0.01], [0, 0, -1.0], [0, 0, 0]]))
    assert found.offset == 0.25


def test_susceptibility_of_a_triangle_couples_neighbours_that_are_coupled():
    J = np.array([[0, 0.5, 0.2], [0, 0, -1.0], [0, 0, 0]])
    found = errors.erroneous(Ising(np.zeros(3), J, 0.0), {"chi": 0.1}, kinds=["susceptibility"])
    assert found.J == pytest.approx(np.array([[0, 0.5 - 0.02, 0.2 - 0.05], [0, 0, -1.0 + 0.01], [0, 0, 0]]))
    assert not found.h.any()


def test_converters_round_to_multiples_of_their_steps():
    problem = dense(12, 0)
    found = errors.erroneous(problem, {"step_h": 0.3, "step_J": 0.125}, kinds="converter")
    for given, rounded, step in ((problem.h, found.h, 0.3), (problem.J, found.J, 0.125)):
        assert rounded / step == pytest.approx(np.rint(rounded / step))
        assert 0.3 * step < abs(rounded - given).max() <= step / 2 + 1e-12


@pytest.mark.parametrize("kinds", [tuple(errors.KINDS), *[[kind] for kind in errors.KINDS], []])
def test_no_errors_leave_the_problem_as_it_is(kinds):
    problem = dense(8, 1)
    found = errors.erroneous(problem, NOTHING, 3, kinds)
    assert (found.h == problem.h).all() and (found.J == problem.J).all() and found.offset == problem.offset


@pytest.mark.parametrize("when", [0.0, 1.0])
def test_noise_has_the_published_spread(when):
    problem, draws = dense(20, 2), 300
    found = [errors.erroneous(problem, published(when), seed, ["noise"]) for seed in range(draws)]
    of_h = np.array([drawn.h - problem.h for drawn in found])
    of_J = np.array([(drawn.J - problem.J)[np.triu_indices(20, 1)] for drawn in found])
    for values, name in ((of_h, "delta_h"), (of_J, "delta_J")):
        sigma = published(when)[name]
        assert abs(values.mean()) < 4 * sigma / values.size**0.5
        assert abs(values.std() / sigma - 1) < 4 / (2 * values.size) ** 0.5
        assert abs(np.corrcoef(values.T) - np.eye(values.shape[1])).max() < 5 / draws**0.5
    assert not np.tril(found[0].J).any()


def test_the_spread_is_relative_to_the_field():
    problem = Ising(np.array([4.0, -2.0, 0.0]), np.zeros((3, 3)), 0.0)
    found = np.array([errors.erroneous(problem, LATE, seed, ["spread"]).h for seed in range(2000)])
    assert found.std(0) == pytest.approx([0.04, 0.02, 0.0], rel=0.08)
    assert found.mean(0) == pytest.approx(problem.h, abs=4 * 0.04 / 2000**0.5)


def test_only_couplings_in_use_have_noise():
    J = np.array([[0, 0.5, 0], [0, 0, 0], [0, 0, 0]])
    moved = errors.erroneous(Ising(np.ones(3), J, 0.0), LATE, 0, ["noise"]).J != J
    assert moved.tolist() == [[False, True, False], [False] * 3, [False] * 3]


def test_a_seed_draws_the_same_whatever_the_kinds():
    problem = dense(6, 3)
    each = [errors.erroneous(problem, LATE, 5, [kind]) for kind in ("noise", "spread")]
    both = errors.erroneous(problem, LATE, 5, ["noise", "spread"])
    assert both.h - problem.h == pytest.approx(sum(one.h - problem.h for one in each))
    assert (errors.erroneous(problem, LATE, 5).h == errors.erroneous(problem, LATE, 5).h).all()
    assert (errors.erroneous(problem, LATE, 5).h != errors.erroneous(problem, LATE, 6).h).all()


# energies and optima


def test_model_and_energy_are_those_of_dimod():
    problem = dense(7, 4)
    for s in strings(7)[::5]:
        theirs = problem.bqm().energy(dict(enumerate(s.astype(int))))
        assert errors.energy(problem, s) == pytest.approx(theirs)
        assert errors.model(problem).energy(dict(enumerate((s > 0).astype(int)))) == pytest.approx(theirs)


@pytest.mark.parametrize("seed", range(10))
def test_stays_is_what_enumeration_says(seed):
    problem = dense(9, seed)
    least = best(problem)
    assert errors.stays(problem, least)
    answers = []
    for draw in range(8):
        drawn = errors.erroneous(problem, {"delta_h": 0.2, "delta_J": 0.2}, draw, ["noise"])
        answers.append(bool((best(drawn) == least).all()))
        assert errors.stays(drawn, least) is answers[-1]
    assert not errors.stays(problem, -least)


def test_a_tie_is_no_optimum_that_stays():
    assert not errors.stays(Ising(np.array([1.0, 0.0]), np.zeros((2, 2)), 0.0), [-1, 1])
    assert not errors.stays(Ising(np.zeros(2), np.array([[0, 1.0], [0, 0]]), 0.0), [-1, 1])


# certificates


def inside(problem, sigmas, rng):
    """Errors of noise and spread within their bounds, half of them at the ends."""
    d = problem.d
    size = (d + 2 * d, d)
    z = rng.uniform(-1, 1, size)
    z = sigmas * np.where(rng.random(size) < 0.5, np.sign(z), z)
    known = errors.erroneous(problem, LATE, 0, ["converter", "susceptibility"])
    rounded = errors.erroneous(problem, LATE, 0, ["converter"])
    h = known.h + LATE["delta_h"] * z[0] + LATE["h_scale"] * abs(rounded.h) * z[1]
    return Ising(h, known.J + LATE["delta_J"] * np.triu(z[2 : d + 2], 1), problem.offset)


@pytest.mark.parametrize("sigmas", [1.0, 3.0])
def test_certified_optima_stay_in_every_draw_within_the_bounds(sigmas):
    rng, certified = np.random.default_rng(0), 0
    for seed in range(40):
        problem = dense(6, seed)
        least = best(problem)
        if not errors.stays(errors.worst_case(problem, least, LATE, sigmas=sigmas), least):
            continue
        certified += 1
        for _ in range(50):
            assert (best(inside(problem, sigmas, rng)) == least).all()
    assert 5 <= certified < 40


def test_the_worst_case_lowers_every_string_as_far_as_any_draw_does():
    problem, rng = dense(6, 1), np.random.default_rng(1)
    least = best(problem)
    worst = errors.worst_case(problem, least, LATE, sigmas=2)
    above = all_energies(worst) - errors.energy(worst, least)
    for _ in range(100):
        drawn = inside(problem, 2, rng)
        assert (all_energies(drawn) - errors.energy(drawn, least) >= above - 1e-12).all()


@pytest.mark.parametrize("seed", range(8))
def test_tolerated_sigmas_are_where_the_worst_case_turns(seed):
    problem = dense(7, seed)
    least = best(problem)
    known, one = (errors.worst_case(problem, least, LATE, sigmas=z) for z in (0, 1))
    above, reached = (all_energies(p) - errors.energy(p, least) for p in (known, one))
    others = (strings(7) != least).any(1)
    by_hand = max(0.0, (above[others] / (above - reached)[others]).min())
    found = errors.tolerated_sigmas(problem, least, LATE)
    assert found == pytest.approx(by_hand, rel=1e-4, abs=1e-3)
    assert found == 0 or (best(errors.worst_case(problem, least, LATE, sigmas=0.99 * found)) == least).all()
    assert (best(errors.worst_case(problem, least, LATE, sigmas=1.01 * found + 0.01)) != least).any()


def test_tolerance_without_gaussian_errors_or_with_an_optimum_already_lost():
    problem = Ising(np.array([0.004, 1.0]), np.array([[0, 0.5], [0, 0]]), 0.0)
    least = best(problem)
    assert errors.tolerated_sigmas(problem, least, NOTHING) == np.inf
    assert errors.tolerated_sigmas(problem, -least, LATE, kinds=["noise"]) == 0


@pytest.mark.parametrize("seed", range(6))
def test_the_gap_is_that_of_all_energies(seed):
    problem = dense(8, seed)
    levels = np.sort(all_energies(problem))
    assert errors.gap(problem, best(problem)) == pytest.approx(levels[1] - levels[0])
    assert errors.gap(problem, -best(problem)) < 0


def test_largest_change_bounds_what_any_draw_changes():
    problem, rng = dense(6, 2), np.random.default_rng(2)
    bound, true = errors.largest_change(problem, LATE, sigmas=2), all_energies(problem)
    for _ in range(100):
        change = all_energies(inside(problem, 2, rng)) - true
        assert np.ptp(change) <= bound
    one = Ising(np.array([1.0]), np.zeros((1, 1)), 0.0)
    assert errors.largest_change(one, {"step_h": 0.3, "step_J": 0}, kinds=["converter"]) == pytest.approx(0.2)


# bits


def test_bits_needed_is_the_first_number_from_which_all_larger_keep_the_optimum():
    compared = set()
    for seed in range(12):
        problem = dense(8, seed)
        least = best(problem)
        unique = []
        for bits in range(2, 13):
            levels = np.sort(all_energies(errors.rounded(problem, bits)))
            same = (best(errors.rounded(problem, bits)) == least).all()
            unique.append(bool(same and levels[1] > levels[0] + 1e-9))
        by_hand = 13 - next((i for i, kept in enumerate(reversed(unique)) if not kept), len(unique))
        assert errors.bits_needed(problem, least, least=2, most=12) == by_hand
        compared.add(by_hand)
    assert len(compared) > 2


def test_bits_by_hand():
    problem = Ising(np.array([0.3, 0.0]), np.array([[0, -1.0], [0, 0]]), 0.0)
    assert not errors.rounded(problem, 3).h.any()  # 0.3 of a step of 1
    assert errors.rounded(problem, 4).h[0] == 0.5
    assert errors.bits_needed(problem, [-1, -1]) == 4
    assert errors.bits_needed(problem, [1, 1], most=9) == 10  # never the optimum
    assert errors.bits_needed(Ising(np.array([4.0, 4.0]), problem.J, 0.0), [-1, -1], least=2) == 2


# many images


def test_under_errors_finds_the_optima_of_the_problems_that_it_draws(images):
    maps, importance, problems = images
    given = {"delta_h": 0.3, "delta_J": 0.3} | NOTHING | {"delta_h": 0.3, "delta_J": 0.3}
    optimal, found, table = errors.under_errors(problems, given, draws=6, beta=0.6, seed=4)
    rows = iter(table.to_dict("records"))
    for i, problem in enumerate(problems):
        taken = as_taken(problem.bqm(0.6))
        least = best(taken)
        bits = (least + 1) / 2
        assert (problem.selected(bits) == optimal[i]).all()
        for draw in range(6):
            drawn = errors.erroneous(taken, given, np.random.default_rng([4, i, draw]))
            string, row = best(drawn), next(rows)
            assert (problem.selected(string > 0) == found[i, draw]).all()
            assert (row["image"], row["draw"], row["d"]) == (i, draw, problem.d)
            assert row["kept"] == (string == least).all() and row["proven"] and row["exact"]
            assert row["differ"] == (found[i, draw] != optimal[i]).sum()
            lost = 1 - problem.energy(found[i, draw], 0.6) / problem.energy(optimal[i], 0.6)
            assert row["lost"] == pytest.approx(lost, abs=1e-9)
            union = (found[i, draw] | optimal[i]).sum()
            assert row["jaccard"] == pytest.approx((found[i, draw] & optimal[i]).sum() / union)
            moves = [taken.h[j] + (taken.J + taken.J.T)[j] @ least for j in range(problem.d)]
            assert (np.array(moves) * least <= 1e-12).all()  # so that descents may end there
    assert 0.1 < table.kept.mean() < 0.9
    assert table.repaired[table.kept].all() and table.repaired.mean() > table.kept.mean()


def test_without_errors_all_is_kept_and_beyond_the_proofs_too(images, monkeypatch):
    for always in (40, 0):  # with 0, as for many candidates
        monkeypatch.setattr(errors, "ALWAYS", always)
        optimal, found, table = errors.under_errors(images[2], NOTHING, draws=2)
        assert table.kept.all() and table.proven.all() and table.exact.all()
        assert (found == optimal[:, None]).all() and not table.lost.abs().max() > 0


def test_verdicts_without_proofs_of_what_is_found_are_the_same():
    rng, kept = np.random.default_rng(0), []
    for seed in range(4):
        problem = dense(10, seed)
        least = best(problem)
        for draw in range(4):
            drawn = errors.erroneous(problem, {"delta_h": 0.3, "delta_J": 0.15}, draw, ["noise"])
            quick = errors._verdict(drawn, least, rng, 60.0, always=0)
            exact = errors._verdict(drawn, least, rng, 60.0, always=99)
            assert quick[2:] == exact[2:] == ((best(drawn) == least).all(), True)
            assert (exact[0] == best(drawn)).all() and exact[1]
            assert errors.energy(drawn, quick[0]) <= errors.energy(drawn, least)
            kept.append(quick[2])
    assert 0 < sum(kept) < len(kept)


def test_tabu_searches_find_the_optima_of_many_maps():
    rng, found = np.random.default_rng(5), []
    problem = feature_selection.problem(rng.random((45, 7, 7)) ** 2, rng.random(45) + 0.1)
    taken = as_taken(problem.bqm(0.9))
    least = 2.0 * optimum(errors.model(taken))[0] - 1
    for draw in range(8):
        drawn = errors.erroneous(taken, LATE, draw)
        quick = errors._verdict(drawn, least, rng, 60.0, always=0)
        exact = errors._verdict(drawn, least, rng, 60.0, always=99)
        assert (quick[0] == exact[0]).all() and exact[1] and quick[2:] == exact[2:]
        found.append(exact[2])
    assert not all(found)  # or no tabu search would have been needed


def test_draws_do_not_depend_on_where_they_are_solved(images):
    here = errors.under_errors(images[2], LATE, draws=2)
    with joblib.parallel_config("threading", n_jobs=2):
        there = errors.under_errors(images[2], LATE, draws=2)
    assert all((a == b).all() for a, b in zip(here[:2], there[:2])) and here[2].equals(there[2])


def test_tolerances_are_those_of_each_image(images):
    problems = images[2][:3]
    table = errors.tolerances(problems, LATE, beta=0.6)
    for problem, row in zip(problems, table.itertuples()):
        taken = as_taken(problem.bqm(0.6))
        least, levels = best(taken), np.sort(all_energies(taken))
        assert row.gap == pytest.approx(levels[1] - levels[0]) and row.d == problem.d
        kinds = ["noise", "spread"]
        assert row.sigmas == errors.tolerated_sigmas(taken, least, LATE, kinds=kinds)
        pairs = np.count_nonzero(taken.J)
        by_hand = 6 * (LATE["delta_h"] * problem.d + 0.01 * abs(taken.h).sum() + LATE["delta_J"] * pairs)
        assert row.change == pytest.approx(by_hand)
        assert row.bits == errors.bits_needed(taken, least)
        assert row.gap < row.change or row.sigmas > 3  # the simple certificate implies the exact one


def test_optima_that_are_given_are_not_solved_again(images):
    problems = images[2]
    optimal, found, table = errors.under_errors(problems, LATE, draws=2)
    again = errors.under_errors(problems, LATE, draws=2, optimal=optimal)
    assert (again[1] == found).all() and again[2].equals(table)
    wrong = errors.under_errors(problems, NOTHING, draws=1, optimal=~optimal)[2]
    assert not wrong.kept.any()
    table = errors.tolerances(problems, LATE, optimal=optimal, exact_gap=False)
    assert table.equals(errors.tolerances(problems, LATE).drop(columns="gap"))
    assert errors.under_errors([], LATE, draws=2)[1].shape == (0, 2, 0)


# explanations


def test_agreement_is_that_of_the_explanation_maps(images):
    maps, importance, problems = images
    rng = np.random.default_rng(3)
    optimal = np.array([problem.selected(rng.random(problem.d) < 0.5) for problem in problems])
    found = np.stack([baselines.random_k(importance, optimal.sum(1), seed=seed) for seed in range(3)], axis=1)
    for relu in ("relu of sum", "sum of relus"):
        table = error_tolerance.agreement(maps, importance, optimal, found, relu=relu)
        for row in table.itertuples():
            first, second = (
                explanation_map.of_selection(maps[row.image], importance[row.image], bits, relu=relu).ravel()
                for bits in (optimal[row.image], found[row.image, row.draw])
            )
            assert row.same_peak == (first.argmax() == second.argmax())
            assert row.correlation == pytest.approx(np.corrcoef(first, second)[0, 1], abs=1e-5)
            tops = [set(values.argsort()[-4:]) for values in (first, second)]  # a quarter of 16
            assert row.top_iou == pytest.approx(len(tops[0] & tops[1]) / len(tops[0] | tops[1]))
    assert 0 < table.same_peak.mean() < 1


def test_agreement_with_itself_and_with_nothing():
    maps, nothing, first = np.array([[[[0.0, 3.0], [1.0, 0.0]]] * 2]), [[[0, 0]]], [[1, 0]]
    itself = error_tolerance.agreement(maps, [[1.0, -1.0]], first, [first])
    assert itself[list(error_tolerance.MEASURES)].values.tolist() == [[1, 1, 1]]
    empty = error_tolerance.agreement(maps, [[1.0, -1.0]], first, nothing)
    assert empty[list(error_tolerance.MEASURES)].values.tolist() == [[0, 0, 0]]
    both = error_tolerance.agreement(maps, [[1.0, -1.0]], [[0, 0]], nothing)
    assert both[list(error_tolerance.MEASURES)].values.tolist() == [[1, 1, 1]]


def test_means_resample_images_not_draws():
    table = pd.DataFrame({"size": 16, "image": np.repeat(range(10), 50), "kept": np.repeat(np.arange(10) < 5, 50)})
    row = error_tolerance.means_over_draws(table, ["size"], ["kept"]).iloc[0]
    assert row.value == 0.5 and row.images == 10
    assert row.low < 0.3 and row.high > 0.7  # the 500 rows as images would have 0.46 to 0.54


# what is refused

ONE = Ising(np.array([1.0, 0.5]), np.array([[0, 0.5], [0, 0]]), 0.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: errors.erroneous(ONE, LATE, 0, ["heat"]), "unknown kind of error 'heat'"),
        (lambda: errors.erroneous(ONE, {"delta_h": 0.1}, 0, ["noise"]), "errors must hold delta_J"),
        (lambda: errors.erroneous(ONE, None), "errors must hold chi, delta_J, delta_h"),
        (lambda: errors.erroneous(ONE, LATE | {"delta_h": -1}), r"delta_h must be a number in \[0, inf\)"),
        (lambda: errors.erroneous(ONE, LATE, -1), "rng must be a whole number"),
        (lambda: errors.erroneous(ONE.bqm(), LATE), "problem must be an ising.Ising, got BinaryQuadraticModel"),
        (lambda: errors.erroneous(Ising(np.ones(3), ONE.J, 0.0), LATE), r"J must be \(d, d\) = \(3, 3\)"),
        (lambda: errors.erroneous(Ising(ONE.h, ONE.J.T, 0.0), LATE), "J must be zero on and below the diagonal"),
        (lambda: errors.erroneous(Ising(np.array([np.nan, 1]), ONE.J, 0.0), LATE), "h must be finite"),
        (lambda: errors.energy(ONE, [0, 1]), "spins must be -1 and 1"),
        (lambda: errors.stays(ONE, [1, 1, 1]), r"spins must be \(d,\) = \(2,\)"),
        (lambda: errors.worst_case(ONE, [1, 1], LATE, sigmas=-1), "sigmas must be a number in"),
        (lambda: errors.rounded(ONE, 0), "bits must be a whole number from 1 to 52"),
        (lambda: errors.bits_needed(ONE, [-1, 1], least=5, most=4), "most must be a whole number from 5 to 52"),
        (lambda: errors.gap(Ising(np.zeros(0), np.zeros((0, 0)), 0.0), []), "d, the number of spins, must be"),
        (lambda: errors.tolerances([], {"delta_h": 0.1}), "errors must hold delta_J, h_scale"),
        (lambda: errors.tolerances([], LATE, exact_gap=1), "exact_gap must be True or False"),
        (lambda: errors.under_errors([], LATE, optimal=[[1, 0]]), r"optimal must be \(B, N_f\)"),
        (lambda: errors.under_errors([ONE], LATE), "problems must be a list of feature_selection.Problem"),
        (lambda: errors.under_errors([], LATE, draws=0), "draws must be a whole number from 1"),
        (lambda: errors.under_errors([], LATE, kinds=["heat"]), "unknown kind of error 'heat'"),
        (lambda: error_tolerance.means_over_draws(_table(), ["beta"], ["kept"]), "the table has no column beta, kept"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def _table():
    return errors.under_errors([feature_selection.Problem([0], [-1.0], [[1.0]], 1)], LATE, draws=1)[2].drop(
        columns="kept"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"found": [[1, 0]]}, r"found must be \(B, R, N\)"),
        ({"found": [[[1, 2]]]}, "found must be bit-strings"),
        ({"optimal": [[1, 0, 1]]}, "optimal must be"),
        ({"importance": [[1.0]]}, "importance must be"),
        ({"relu": "none"}, "unknown relu 'none'"),
        ({"top_share": 0}, r"top_share must be a number in \(0, 1\]"),
        ({"top_share": 0.01}, "the number of cells among the largest must be"),
    ],
)
def test_explanations_refuse_what_does_not_fit(changes, message):
    given = {"maps": np.ones((1, 2, 2, 2)), "importance": [[1.0, 1.0]], "optimal": [[1, 0]], "found": [[[1, 0]]]}
    with pytest.raises(ValueError, match=message):
        error_tolerance.agreement(**given | changes)


def test_an_unproven_optimum_is_refused():
    problem = feature_selection.Problem(range(60), -np.linspace(0.5, 1, 60), np.eye(60) * 0.4 + 0.6, 60)
    with pytest.raises(ValueError, match="not proven: give a longer time_limit"):
        errors.under_errors([problem], LATE, draws=1, time_limit=0.0)


def test_the_model_is_binary_and_complete():
    assert errors.model(dense(5, 0)).vartype is dimod.BINARY
    assert errors.model(dense(5, 0)).num_variables == 5
