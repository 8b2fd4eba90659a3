"""Solvers against proven optima, and what penalties cost, each against enumeration or numbers made by hand."""

import numpy as np
import pandas as pd
import pytest

from qafs_utils.annealing import evolution, spectrum
from qafs_utils.qubo import binary, feature_selection, fixed_size, landscape
from qafs_utils.solvers import by_name, comparison, penalties

RNG = np.random.default_rng(5)
MAPS, IMPORTANCE = RNG.random((4, 9, 3, 3)), RNG.normal(0.5, 1, (4, 9))
PROBLEMS = feature_selection.problems(MAPS, IMPORTANCE)
CLASSES = [0, 0, 1, 2]


def all_energies(problem, beta):
    return binary.energies(problem.bqm(beta))


def test_subsamples_depend_on_seed_image_and_size_alone():
    alone, together = (comparison.subsamples(MAPS, IMPORTANCE, images, 3, seed=7) for images in ([2], [0, 2]))
    assert np.array_equal(alone[0].maps, together[1].maps)
    by_hand = feature_selection.subsample(MAPS[2], IMPORTANCE[2], 3, rng=(7, 2, 3))
    assert np.array_equal(alone[0].maps, by_hand.maps) and np.allclose(alone[0].redundancy, by_hand.redundancy)


def test_subsamples_of_other_couplings_keep_maps_and_mean():
    (cosine,), (gaussian,) = (
        comparison.subsamples(MAPS, IMPORTANCE, [1], 4, couplings=kind) for kind in ("cosine", "gaussian")
    )
    pairs = np.triu_indices(4, 1)
    assert np.array_equal(cosine.maps, gaussian.maps) and np.array_equal(cosine.field, gaussian.field)
    assert gaussian.redundancy[pairs].mean() == pytest.approx(cosine.redundancy[pairs].mean())
    assert not np.allclose(gaussian.redundancy, cosine.redundancy)


@pytest.mark.parametrize("size", [None, 2])
def test_proofs_are_of_the_enumerated_optimum(size):
    selected, table = comparison.prove(PROBLEMS, beta=0.6, size=size, n_jobs=1)
    for image, (problem, row) in enumerate(zip(PROBLEMS, table.itertuples())):
        energies = all_energies(problem, 0.6)
        least = energies.min() if size is None else energies[landscape.best_of_size(energies)[size]]
        assert row.energy == pytest.approx(least) == pytest.approx(problem.energy(selected[image], 0.6))
        assert (row.image, row.d, row.selected, row.proven) == (image, problem.d, selected[image].sum(), True)


def test_misses_by_hand():
    problem = feature_selection.Problem([0, 1, 3], [-1.0, -0.5, -0.25], np.eye(3), 4)  # at beta = 1: all three
    optimal, none, one = [1, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]
    found = comparison.misses([problem] * 4, [optimal, none, one, optimal], [optimal] * 4, beta=1.0)
    wanted = {"missed": 0.5, "excess_where_missed": (1 + 0.75 / 1.75) / 2, "largest_excess": 1.0}
    assert found == pytest.approx(wanted | {"maps_that_differ_where_missed": 2.5, "maps": 3.0})
    reached = comparison.misses([problem], [optimal], [optimal], beta=1.0)
    assert reached["missed"] == 0 and np.isnan(reached["excess_where_missed"])
    with pytest.raises(ValueError, match="below what is given as the optimum, by 0.75 of it"):
        comparison.misses([problem], [optimal], [one], beta=1.0)


def test_descents_end_in_all_enumerated_minima():
    for problem in PROBLEMS:
        energies = all_energies(problem, 0.5)
        strings = binary.bits(np.flatnonzero(landscape.local_minima(energies)), problem.d)
        best = binary.bits(np.array([energies.argmin()]), problem.d)
        wanted = sorted(zip((strings != best).sum(1), np.sort(energies[landscape.local_minima(energies)])))
        found = comparison.descent_minima(problem, beta=0.5, descents=2000)
        assert found.descents.sum() == 2000 and sorted(found.maps_changed) == [changed for changed, _ in wanted]
        excess = energies[landscape.local_minima(energies)] / -energies.min() + 1
        assert np.allclose(np.sort(found.excess), np.sort(excess), atol=1e-9)


@pytest.mark.parametrize(("nodes", "grows_as_power"), [(lambda d: d**1.5, True), (lambda d: np.exp(0.1 * d), False)])
def test_effort_tells_a_power_from_an_exponential(nodes, grows_as_power):
    d, images = np.tile([8, 16, 32, 64], 5), np.repeat(range(5), 4)
    law = comparison.effort_law(d, nodes(d) * np.exp(RNG.normal(0, 0.1, 20)), images, n_resamples=50)
    assert (law["high"] < 1) if grows_as_power else (law["low"] > 1)
    assert law["low"] <= law["ratio"] <= law["high"]
    assert not grows_as_power or law["exponent"] == pytest.approx(1.5, abs=0.1)


def test_effort_of_one_size_grows_by_no_law():
    law = comparison.effort_law([8, 8], [1, 2], [0, 1], n_resamples=3)
    assert np.isnan(list(law.values())).all()


def test_comparison_by_hand():
    """Batches of reads, counted one by one."""
    trials, counts = {"random": {"num_reads": 200}}, [1, 7]
    table = comparison.compare(
        PROBLEMS, CLASSES, name="N_f=9", beta=0.6, trials=trials, reads={"random": counts}, seed=3, n_jobs=1
    )
    reads = list(by_name.sample_all(PROBLEMS, "random", beta=0.6, seed=3, num_reads=200))
    best = [all_energies(problem, 0.6).min() for problem in PROBLEMS]
    excess = [1 - np.repeat(s.record.energy, s.record.num_occurrences) / e for s, e in zip(reads, best)]
    hits = np.array([(values < 1e-9).sum() for values in excess])
    assert table.reads.tolist() == counts and set(table.instances) == {"N_f=9"} and set(table.beta) == {0.6}
    missed = [np.prod([(200 - h - i) / (200 - i) for i in range(7)]) for h in hits]  # seven drawn, none of them a hit
    assert table.probability.tolist() == pytest.approx([(hits / 200).mean(), 1 - np.mean(missed)])
    batches = [[values[7 * i : 7 * i + 7].min() for i in range(28)] for values in excess]
    assert table.excess.tolist() == pytest.approx([np.mean(excess), np.mean(batches)])
    assert hits.any()
    needed = [max(1, np.log(0.01) / np.log(1 - h / 200)) if h else np.inf for h in hits]
    assert table.never[0] == (hits == 0).mean() and table.reads_needed[0] == pytest.approx(np.median(needed))
    assert table.low[0] <= table.probability[0] <= table.high[0] and table.d[0] == np.median([p.d for p in PROBLEMS])


def test_the_anneal_is_compared_by_its_exact_probability():
    trials = {"schrodinger": {"annealing_time": 5.0}, "greedy": {}}
    table = comparison.compare(PROBLEMS, CLASSES, trials=trials, n_jobs=1, n_resamples=10)
    fidelity = np.array([evolution.anneal(all_energies(p, 0.7), 5.0).fidelity for p in PROBLEMS])
    d = np.array([p.d for p in PROBLEMS])
    anneal = table[table.solver == "schrodinger"]
    assert anneal.reads.tolist() == [1, int(np.median(d)) ** 2]
    assert anneal.probability.tolist() == pytest.approx([fidelity.mean(), (1 - (1 - fidelity) ** d**2).mean()])
    small = comparison.compare(PROBLEMS, CLASSES, trials=trials, annealed_up_to=d.max() - 1, n_jobs=1, n_resamples=10)
    assert small.solver.tolist() == ["greedy"]


def trap():
    """The best single map is 0, but 1 and 2 together are better."""
    J = [[1.0, 0.9, 0.9], [0.9, 1.0, 0.0], [0.9, 0.0, 1.0]]
    return feature_selection.Problem([0, 1, 2], [-1.0, -0.9, -0.9], J, 3)


def test_greedy_that_misses_never_finds():
    row = comparison.compare([trap()], [0], beta=0.4, trials={"greedy": {}}, n_jobs=1).squeeze()
    assert (row.probability, row.never, row.reads_needed) == (0, 1, np.inf)
    assert row.excess == pytest.approx(1 - 0.4 / 0.72)


@pytest.mark.parametrize("missed, needed", [(1, 1), (2, np.inf)])
def test_nine_problems_in_ten_set_the_reads_needed(missed, needed):
    """Of twenty numbers in order the 90 % quantile lies between the 18th and the 19th: the higher counts."""
    easy = feature_selection.Problem([0, 1], [-1.0, -0.5], np.eye(2), 3)
    problems = [trap()] * missed + [easy] * (20 - missed)
    row = comparison.compare(problems, [0] * 20, beta=0.4, trials={"greedy": {}}, n_jobs=1, n_resamples=5).squeeze()
    assert (row.reads_needed, row.reads_needed_90, row.never) == (1, needed, missed / 20)


def test_comparison_needs_proofs():
    problems = comparison.subsamples(RNG.random((1, 80, 3, 3)), np.ones((1, 80)), [0], 80, couplings="gaussian")
    with pytest.warns(UserWarning, match="not proven"), pytest.raises(ValueError, match="give a longer time_limit"):
        comparison.compare(problems, [0], trials={}, time_limit=0.0, n_jobs=1)


def test_seconds_only_where_measured():
    row = {"instances": "N_f=16", "beta": 0.7}
    table = pd.DataFrame(
        [row | {"solver": s, "reads_needed": r, "reads_needed_90": np.inf} for s, r in zip("ab", (2, 3))]
    )
    found = comparison.with_seconds(table, pd.DataFrame([row | {"solver": "a", "d": 5, "seconds": 0.5}]))
    assert found.seconds.tolist() == pytest.approx([1.0, np.nan], nan_ok=True)
    assert found.seconds_90[0] == np.inf and found.columns[:-2].tolist() == table.columns.tolist()


def test_necessary_penalties_are_necessary_and_enough():
    for problem in PROBLEMS:
        bqm = problem.bqm(0.7)
        energies = binary.energies(bqm)
        sizes = binary.bits(np.arange(len(energies)), problem.d).sum(1)
        table = penalties.penalty_weights([problem], beta=0.7)
        assert table.k.tolist() == list(range(1, problem.d)) and (table.sufficient >= table.necessary - 1e-9).all()
        for row in table.itertuples():
            ground = [sizes[(energies + row.necessary * x * (sizes - row.k) ** 2).argmin()] for x in (1.001, 0.999)]
            assert ground[0] == row.k and (ground[1] != row.k) == (row.necessary > 0)


def test_the_necessary_penalty_is_of_the_squared_distance():
    assert penalties.necessary_penalty([0.0, -1.0, -8.0], 0) == 2  # two maps gain 8 and pay four weights
    assert penalties.necessary_penalty([0.0, -1.0, -3.0], 0) == 1  # one map gains 1 and pays one
    assert penalties.necessary_penalty([0.0, -1.0, -8.0], 2) == 0


def test_penalised_anneals_keep_the_ground_state():
    table = penalties.penalised_anneals(PROBLEMS, beta=0.7, annealing_time=5.0)
    image = table.image[0]
    bqm = PROBLEMS[image].bqm(0.7)
    plain = binary.energies(bqm)
    k = int(binary.bits(np.array([plain.argmin()]), PROBLEMS[image].d).sum())
    penalised = binary.energies(fixed_size.exactly(bqm, k))
    assert penalised.argmin() == plain.argmin()
    rows = table[table.image == image].set_index("penalty")
    scaled = penalised * np.ptp(plain) / np.ptp(penalised)
    for name, energies in zip(
        (penalties.NO_PENALTY, penalties.PENALTY, penalties.SAME_RANGE), (plain, penalised, scaled)
    ):
        assert rows.fidelity[name] == pytest.approx(evolution.anneal(energies, 5.0).fidelity)
        assert rows.gap[name] == pytest.approx(spectrum.minimum_gap(energies).gap, abs=2e-5)
        assert rows.range[name] == pytest.approx(np.ptp(energies) / np.ptp(plain))


def test_an_optimum_of_all_maps_has_no_penalty_to_pay():
    problem = feature_selection.Problem([0, 1], [-1.0, -0.5], np.eye(2), 2)
    assert not len(penalties.penalised_anneals([problem], beta=1.0))


def test_change_by_penalty_by_hand():
    fidelity = {penalties.NO_PENALTY: [0.5, 0.5, 0.5], penalties.PENALTY: [0.6, 0.4, 0.8]}
    rows = [
        {"n_features": 16, "image": i, "class": i, "penalty": name, "fidelity": value, "gap": 1 - value}
        for name, values in fidelity.items()
        for i, value in enumerate(values)
    ]
    row = penalties.change_by_penalty(pd.DataFrame(rows)).squeeze()
    assert row[["fidelity", "median change", "rises in"]].tolist() == pytest.approx([0.6, 0.1, 2 / 3])
    assert row["gap rises in"] == pytest.approx(1 / 3)
    assert (row.low, row.high) == pytest.approx((-0.1, 0.3)) and row.images == 3


def level():
    """Nothing is gained: without a map the energy is 0, one map leaves it there, two cost half their cosine."""
    return feature_selection.Problem([0, 1], [0.0, 0.0], [[1.0, 0.5], [0.5, 1.0]], 2)


def test_above_an_optimum_of_energy_0_the_excess_is_infinite():
    missed = comparison.misses([level()] * 3, [[0, 0], [0, 1], [1, 1]], [[0, 0]] * 3, beta=0.5)
    assert missed["missed"] == pytest.approx(1 / 3) and missed["excess_where_missed"] == np.inf
    assert missed["maps_that_differ_where_missed"] == 2
    with pytest.raises(ValueError, match="below what is given as the optimum, by 0.1$"):
        better = feature_selection.Problem([0], [-0.2], [[1.0]], 2)
        comparison.misses([better], [[1, 0]], [[0, 0]], beta=0.5)
    trials = {"greedy": {}, "random": {"num_reads": 50}}
    table = comparison.compare([level()], [0], beta=0.5, trials=trials, seed=1, n_jobs=1, n_resamples=3)
    (reads,) = by_name.sample_all([level()], "random", beta=0.5, seed=1, num_reads=50)
    share = (np.repeat(reads.record.energy, reads.record.num_occurrences) == 0).mean()
    assert 0 < share < 1
    assert table.probability.tolist() == [1, share] and table.excess.tolist() == [0, np.inf]
    assert (comparison.descent_minima(level(), beta=0.5, descents=20).excess == 0).all()


def test_optima_of_a_fixed_size_may_be_positive():
    """Both maps together cost 0.25, one of three pairs 0.5: twice as much."""
    problem = feature_selection.Problem([0, 1, 2], [0.0] * 3, [[1, 0.5, 1.0], [0.5, 1, 1], [1, 1, 1]], 3)
    found = comparison.misses([problem], [[1, 0, 1]], [[1, 1, 0]], beta=0.5)
    assert found["largest_excess"] == pytest.approx(1) and found["missed"] == 1


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: comparison.misses([], np.zeros((0, 2)), np.zeros((0, 2))), "number of problems, must be .* got 0"),
        (lambda: comparison.misses([1], [[1]], [[1]]), "problems must be"),
        (lambda: comparison.compare([], []), "number of problems, must be .* got 0"),
        (lambda: comparison.compare(PROBLEMS, CLASSES[:3]), "clusters must be"),
        (lambda: comparison.compare(PROBLEMS, 1), "clusters must be"),
        (lambda: comparison.compare(PROBLEMS, CLASSES, reads={"rndom": [1]}), "unknown solver 'rndom'"),
        (lambda: comparison.compare(PROBLEMS, CLASSES, trials={"rndom": {}}), "unknown solver 'rndom'"),
        (lambda: comparison.compare(PROBLEMS, CLASSES, annealed_up_to="16"), "annealed_up_to must be"),
        (lambda: comparison.effort_law([8, 16], [1, 2], [0]), "images must be"),
        (lambda: comparison.subsamples(MAPS, IMPORTANCE, [-1], 3), "images must be .* from 0 to 3, got -1"),
        (lambda: comparison.subsamples(MAPS, IMPORTANCE, [4], 3), "images must be .* from 0 to 3, got 4"),
        (lambda: comparison.subsamples(MAPS, IMPORTANCE[1:], [0], 3), "importance must be"),
    ],
)
def test_what_is_no_comparison_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_problems_of_a_generator_are_read_once():
    options = {"beta": 0.6, "trials": {"greedy": {}}, "n_jobs": 1, "n_resamples": 5}
    listed, drawn = (comparison.compare(given, CLASSES, **options) for given in (PROBLEMS, iter(PROBLEMS)))
    pd.testing.assert_frame_equal(listed, drawn)
    assert len(comparison.prove(iter(PROBLEMS), n_jobs=1)[1]) == len(PROBLEMS)


def test_descents_need_the_proof_of_what_they_are_measured_against():
    (hard,) = comparison.subsamples(RNG.random((1, 80, 3, 3)), np.ones((1, 80)), [0], 80, couplings="gaussian")
    with pytest.raises(ValueError, match="give a longer time_limit"):
        comparison.descent_minima(hard, time_limit=0.0)


def test_a_case_that_was_timed_twice_is_refused():
    row = {"instances": "N_f=16", "beta": 0.7, "solver": "tabu"}
    table = pd.DataFrame([row | {"reads_needed": 1.0, "reads_needed_90": 1.0}])
    with pytest.raises(ValueError, match="not unique"):
        comparison.with_seconds(table, pd.DataFrame([row | {"seconds": 0.5}] * 2))
