"""Tables of many problems against one problem at a time, and against all energies."""

import numpy as np
import pandas as pd
import pytest

from qafs_utils.annealing import instances
from qafs_utils.annealing.evolution import anneal
from qafs_utils.annealing.schedules import locally_adiabatic
from qafs_utils.annealing.spectrum import minimum_gap
from qafs_utils.qubo.binary import energies
from qafs_utils.qubo.feature_selection import Problem, problems, to_arrays

CLASSES = ["airplane", "bird", "car", "cat", "deer", "dog"]


@pytest.fixture(scope="module")
def maps():
    return np.random.default_rng(0).random((6, 8, 2, 2))


@pytest.fixture(scope="module")
def importance():
    return np.random.default_rng(1).uniform(0.1, 1, (6, 8))


@pytest.fixture(scope="module")
def drawn(maps, importance):
    return instances.subsampled(maps, importance, CLASSES, {3: [0, 2], 4: [1, 3, 5]}, null_up_to=4, seed=7)


def test_instances_of_images_are_sorted_by_model_and_size(maps, importance):
    sign = np.where(np.arange(8) < np.array([5, 3, 4, 3, 8, 1])[:, None], 1, -1)
    table = instances.of_images({8: problems(maps, sign * importance), 5: problems(maps, importance)}, CLASSES)
    assert table.n_features.tolist() == [8] * 6 + [5] * 6
    assert table.d.tolist() == [1, 3, 3, 4, 5, 8] + [8] * 6
    assert table.image.tolist() == [5, 1, 3, 2, 0, 4, *range(6)]  # equals in the order of the images
    assert (table["class"] == np.array(CLASSES)[table.image]).all()
    assert [p.d for p in table.problem] == table.d.tolist()


def test_instances_of_seeds_are_the_first_ones_predicted_correctly():
    labels, rng = np.array([0, 0, 0, 3, 3]), np.random.default_rng(0)
    stored = {}
    for seed, predicted in enumerate(([0, 1, 0, 3, 3], [0, 0, 0, 1, 3])):
        made = problems(rng.random((5, 4, 2, 2)), rng.normal(size=(5, 4)) + np.array([3, 3, 0, 0]))
        arrays = to_arrays(made)
        stored |= {f"block/seed{seed}/{name}": values for name, values in arrays.items()}
        stored[f"predicted/seed{seed}"] = np.array(predicted)
    table = instances.of_seeds({4: stored}, labels, [0, 1], per_class=2).sort_values(["seed", "image"])
    assert table[["seed", "image"]].values.tolist() == [[0, 0], [0, 2], [0, 3], [0, 4], [1, 0], [1, 1], [1, 4]]
    assert table["class"].tolist() == ["airplane"] * 2 + ["cat"] * 2 + ["airplane"] * 2 + ["cat"]
    for row in table.itertuples():
        field = stored[f"block/seed{row.seed}/field"][row.image]
        assert row.d == row.problem.d == (field < 0).sum() and np.array_equal(row.problem.field, field[field < 0])


def test_heads_with_images_of_their_own_bring_their_labels_and_seeds(maps, importance):
    made, labels = problems(maps, importance, field="max"), np.array([4, 0, 4, 4, 9, 0])
    of_head = to_arrays(made) | {"labels": labels}
    stored = {
        f"{block}/seed{seed}/{name}": values
        for block, seed in (("paper", 11), ("paper", 2), ("code", 3))
        for name, values in of_head.items()
    }
    table = instances.of_seeds({8: stored}, place="paper", per_class=2)
    assert set(table.seed) == {2, 11} and set(table.n_features) == {8}
    assert table[table.seed == 11].sort_values("image")[["image", "class"]].values.tolist() == [
        [0, "deer"],
        [1, "airplane"],
        [2, "deer"],
        [4, "truck"],
        [5, "airplane"],
    ]
    assert all(row.d == row.problem.d == made[row.image].d for row in table.itertuples())
    with pytest.raises(ValueError, match="labels must"):
        instances.of_seeds({8: stored}, [4, 0, np.nan, 4, 9, 0], place="paper")


def test_every_choice_is_measured_on_its_own_problems(drawn):
    few = drawn[drawn.couplings == "cosine"]
    found = instances.choices(instances.gaps, few, driver="uniform", tolerance=1e-5)
    assert len(found) == 6 * len(few)
    for (field, pair_sum), part in found.groupby(["field", "pair_sum"]):
        table = few.assign(problem=[p.with_field(field) for p in few.problem])
        alone = instances.gaps(table, pair_sum=pair_sum, driver="uniform", tolerance=1e-5)
        assert part.gap.tolist() == alone.gap.tolist()
    anneals = instances.choices(instances.fidelities, few, [2.0, 3.0], tolerance=1e-4)
    assert len(anneals) == 6 * len(few) * 2 and set(anneals.columns) >= {"field", "pair_sum", "driver", "fidelity"}


def test_fidelities_at_the_times_wanted(drawn):
    few = drawn[drawn.couplings == "cosine"].assign(n_features=8)
    wanted = pd.DataFrame({"n_features": [8, 8, 8, 9], "d": [3, 4, 4, 3], "annealing_time": [2.0, 2.0, 5.0, 9.0]})
    found = instances.fidelities_at(few, wanted, tolerance=1e-4)
    assert found.groupby(["d", "annealing_time"]).size().to_dict() == {(3, 2.0): 2, (4, 2.0): 3, (4, 5.0): 3}
    alone = instances.fidelities(few[few.d == 4], [2.0, 5.0], tolerance=1e-4)
    assert found[found.d == 4].fidelity.tolist() == alone.fidelity.tolist()


def test_another_number_of_classes_is_refused(maps, importance):
    with pytest.raises(ValueError, match="classes of the 6 problems must be"):
        instances.of_images({8: problems(maps, importance)}, CLASSES[:2])


def test_null_models_keep_the_fields_and_each_size_its_draw(maps, importance, drawn):
    assert drawn.groupby(["couplings", "d"]).size().to_dict() == {
        (kind, d): count for kind in ("cosine", "zero", "gaussian") for d, count in ((3, 2), (4, 3))
    }
    by_kind = {kind: part.problem.tolist() for kind, part in drawn.groupby("couplings")}
    for cosine, zero, gaussian in zip(by_kind["cosine"], by_kind["zero"], by_kind["gaussian"]):
        assert (zero.field == cosine.field).all() and (gaussian.field == cosine.field).all()
        pairs = np.triu_indices(cosine.d, 1)
        assert not zero.redundancy[pairs].any() and cosine.redundancy[pairs].all()
        assert np.isclose(gaussian.redundancy[pairs].mean(), cosine.redundancy[pairs].mean())
    alone = instances.subsampled(maps, importance, CLASSES, {4: [1, 3]}, seed=7)  # whatever is drawn after them
    assert [p.maps.tolist() for p in alone.problem] == [p.maps.tolist() for p in by_kind["cosine"][2:4]]


@pytest.mark.parametrize(("count", "classes"), [(2, [0, 5]), (5, [0, 2, 4, 6, 8]), (20, np.repeat(range(10), 2))])
def test_few_images_are_of_classes_equally_far_apart(count, classes):
    labels = np.tile(range(10), 3)
    assert labels[instances.balanced(labels, count)].tolist() == list(classes)


def test_gaps_are_those_of_each_problem(drawn):
    table = instances.gaps(drawn, beta=0.6, driver="uniform", tolerance=1e-5)
    assert table.index.equals(drawn.index) and "problem" not in table
    for row, problem in zip(table.itertuples(), drawn.problem):
        alone = minimum_gap(energies(problem.bqm(0.6)), driver="uniform", tolerance=1e-5)
        assert (row.gap, row.s, row.flips) == (alone.gap, alone.s, alone.flips)


def test_the_closed_form_without_couplings_is_what_the_search_finds(drawn):
    without = drawn[drawn.couplings == "zero"]
    searched, exact = instances.gaps(without, tolerance=1e-6), instances.independent_gaps(without)
    assert exact.index.equals(without.index)
    assert (abs(searched.gap - exact.gap) < 2e-6).all()
    np.testing.assert_allclose(exact.end_gap, [0.7 * abs(p.field).min() for p in without.problem])
    with pytest.raises(ValueError, match="instances must be without couplings"):
        instances.independent_gaps(drawn)


def test_fidelities_are_those_of_each_problem(drawn):
    few = drawn[drawn.couplings == "cosine"]
    options = {"beta": 0.6, "pair_sum": "half", "drivers": ["scaled", "uniform"], "tolerance": 1e-6}
    together, alone = (instances.fidelities(few, [5.0, 20.0], together=each, **options) for each in (True, False))
    assert len(together) == len(alone) == len(few) * 4
    keys = ["d", "image", "driver", "annealing_time"]
    both = together.merge(alone, on=keys, suffixes=("", "_alone"))
    assert len(both) == len(together) and (abs(both.fidelity - both.fidelity_alone) < 2e-6).all()
    for row in alone.itertuples():
        problem = few.problem[(few.d == row.d) & (few.image == row.image)].item()
        levels = energies(problem.bqm(0.6, "half"))
        assert row.fidelity == anneal(levels, row.annealing_time, driver=row.driver, tolerance=1e-6).fidelity


def test_each_kind_of_couplings_is_annealed_apart(drawn):
    few, times = drawn[drawn.d == 3], [1.0, 3.0]
    kinds = [few[few.couplings == kind] for kind in ("cosine", "zero", "gaussian")]
    apart = pd.concat([instances.fidelities(kind, times, tolerance=1e-4) for kind in kinds], ignore_index=True)
    pd.testing.assert_frame_equal(instances.fidelities(few, times, tolerance=1e-4), apart)


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_a_local_schedule_knows_the_gap_at_its_minimum(power):
    """Of one map the gap is known: the root of (2 (1 - s))^2 + (0.7 s)^2, least at s = 4 / 4.49."""
    one, s = Problem(np.array([0]), np.array([-1.0]), np.ones((1, 1)), n_features=1), np.array([0, 4 / 4.49, 1])
    table = pd.DataFrame({"d": [1], "s": s[1], "problem": [one]})
    found = instances.local_fidelities(table, [3.0], powers=[power], points=2, tolerance=1e-7)
    schedule = locally_adiabatic(s, np.hypot(2 * (1 - s), 0.7 * s), power=power)
    expected = anneal(np.array([0, -0.7]), 3.0, schedule=schedule, tolerance=1e-7).fidelity
    assert found.local.item() == pytest.approx(expected, abs=1e-6)


def test_a_local_schedule_of_power_zero_is_the_linear_one(drawn):
    few = drawn[drawn.couplings == "gaussian"].assign(s=0.75)
    local = instances.local_fidelities(few, [10.0], powers=[0.0, 1.0], points=5, tolerance=1e-7)
    linear = instances.fidelities(few.drop(columns="s"), [10.0], tolerance=1e-7)
    both = local.merge(linear, on=["d", "image"])
    assert len(both) == 2 * len(few) and (local.error <= 1e-7).all()
    same = abs(both.local - both.fidelity) < 1e-5
    assert same[both.power == 0].all() and not same[both.power == 1].any()


def test_landscapes_and_descents_against_all_energies(drawn):
    landscapes, descents = instances.landscapes(drawn), instances.descents(drawn)
    for i, problem in drawn.problem.items():
        levels, d = energies(problem.bqm()), problem.d
        minima = [k for k in range(2**d) if all(levels[k] <= levels[k ^ (1 << p)] for p in range(d))]
        assert landscapes.local_minima[i] == len(minima) and landscapes.ground_states[i] == 1
    without = descents[drawn.couplings == "zero"]
    assert without["descent from none"].all() and without["descent from all"].all()  # independent maps are solved


def test_a_descent_from_all_maps_finds_what_one_from_none_misses():
    """Twice the energies: the first map alone -1, the other two -1.2, one of these with the first -0.6, all -0.2."""
    cosines = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
    three = Problem(np.arange(3), np.array([-1.0, -0.6, -0.6]), cosines, n_features=3)
    found = instances.descents(pd.DataFrame({"d": [3], "problem": [three]}), beta=0.5)
    assert found[["descent from none", "descent from all"]].values.tolist() == [[False, True]]


@pytest.mark.parametrize("measure", [instances.gaps, instances.independent_gaps, instances.landscapes])
def test_what_is_no_table_of_instances_is_refused(measure):
    with pytest.raises(ValueError, match="a DataFrame with the columns d and problem; not there: problem"):
        measure(pd.DataFrame({"d": [3]}))


MEASURES = {
    "gaps": instances.gaps,
    "independent_gaps": instances.independent_gaps,
    "fidelities": lambda table: instances.fidelities(table, [1.0]),
    "local_fidelities": lambda table: instances.local_fidelities(table.assign(s=0.5), [1.0]),
    "landscapes": instances.landscapes,
    "descents": instances.descents,
    "choices": lambda table: instances.choices(instances.gaps, table),
}


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_rows_of_one_name_and_missing_values_are_refused(measure, drawn):
    few = drawn[drawn.couplings == "zero"]
    with pytest.raises(ValueError, match=f"index of instances must name each row once, {few.index[0]} comes twice"):
        measure(pd.concat([few, few.head(1)]))
    for column in ("d", "couplings", "problem"):
        holed = few.assign(**{column: few[column].astype(object).where(few.index != few.index[1], None)})
        with pytest.raises(ValueError, match=f"instances: column {column} must have no missing values, 1 of 5 are"):
            measure(holed)


def test_missing_times_and_places_are_refused(drawn):
    few = drawn[drawn.couplings == "cosine"]
    wanted = pd.DataFrame({"n_features": [8, 8], "d": [3, 4], "annealing_time": [2.0, np.nan]})
    with pytest.raises(ValueError, match="wanted: column annealing_time must have no missing values, 1 of 2 are"):
        instances.fidelities_at(few.assign(n_features=8), wanted)
    with pytest.raises(ValueError, match="instances: column s must have no missing values, 5 of 5 are"):
        instances.local_fidelities(few.assign(s=np.nan), [1.0])
