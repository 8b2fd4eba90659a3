"""Specification curves: every number against a slow way of its own, the sets found by name, absent scores refused."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from qafs_utils.artefacts.files import PAPER_VALUES, ArtefactError, committed_table
from qafs_utils.cnn.datasets import CLASSES
from qafs_utils.conventions import AUTHORS, CHOICES, HEADLINE, TEXT, Conventions
from qafs_utils.explanations import specifications, specified_problems
from qafs_utils.explanations.average_drop import AverageDropDefinition, average_drop
from qafs_utils.plots.specifications import specification_curves
from qafs_utils.qubo.feature_selection import FIELDS, PAIR_SUMS, Problem

RNG = np.random.default_rng(0)
LABELS = np.arange(30) % 10
REPORTED = committed_table(PAPER_VALUES / "average_drop_table1.csv")
OPTIMA = [f"{f}, {s}" for f in FIELDS for s in PAIR_SUMS]
MASKINGS = ["grad_cam_pp", "top_half"]


def logits():
    """Of images that are classified correctly but for the first of each class."""
    values, images = RNG.normal(size=(len(LABELS), 10)), np.arange(len(LABELS))
    values[images, LABELS] += np.where(images < 10, -9, 9)
    return values


def made():
    """Stand-ins of 08_scores and 16_scores with two seeds."""
    cams = ["Grad-CAM", "filtered Grad-CAM", "Grad-CAM++"]
    more = ["Grad-CAM++, 1e-7", "Grad-CAM++, authors' code", "most frequent", "qa", *OPTIMA]
    of_512 = [*cams, "Grad-CAM++, 1e-7", "sa_0.70", "sa_0.99"]
    keys = [f"{m}/nf16/{name}" for m in MASKINGS for name in [*cams, *more]]
    keys += [f"8_bit/nf16/{name}" for name in ("filtered Grad-CAM", "Grad-CAM++", "Grad-CAM++, 1e-7", "qa")]
    keys += [f"grad_cam_pp/nf16_seed{s}/{name}" for s in (0, 1) for name in [*cams, "exact", *OPTIMA]]
    keys += [f"{m}/nf512/{name}" for m in MASKINGS for name in of_512]
    keys += [f"grad_cam_pp/nf512/{name}" for name in ("sa_0.50", "max, p!=q, 0.70", "max, p!=q, 0.99")]
    keys += [f"grad_cam_pp/nf512_seed{s}/{name}" for s in (0, 1) for name in [*cams, "sa_0.70", "sa_0.99"]]
    keys += [f"grad_cam_pp/nf16_broad/{name}" for name in [*cams, "exact"]]
    scores = {f"scores/{key}": logits() for key in keys}
    scores |= {f"random/{key}": logits() for key in keys if key.split("/")[1] in ("nf16", "nf512")}
    scores |= {f"full/{key.split('/')[1]}": logits() for key in keys}
    scores |= {"labels": LABELS, "broad_labels": LABELS, "seed_images": np.arange(30)}
    parameters = {"maskings": MASKINGS, "conventions": "headline"}
    theirs = [f"Grad-CAM, {relu}" for relu in CHOICES["grad_cam"]]
    recipe = {}
    for group in (f"{block}/seed{s}" for block in specifications.RECIPE for s in (0, 1)):
        recipe |= {f"labels/{group}": LABELS, f"full/{group}": logits()}
        names = [*theirs, "Grad-CAM++, 1e-7", "min-max, p!=q", "most frequent"]
        recipe |= {f"scores/8_bit/{group}/{name}": logits() for name in names}
        names += ["Grad-CAM++", *OPTIMA]
        recipe |= {f"scores/grad_cam_pp/{group}/{name}": logits() for name in names}
    return scores | {"record": {"parameters": parameters}}, recipe


SCORES, RECIPE = made()


@pytest.fixture(scope="module")
def table():
    parts = [specifications.reduced_model(SCORES, RECIPE, REPORTED, HEADLINE)]
    parts += [specifications.full_model(SCORES, REPORTED, [0.5, 0.7], HEADLINE)]
    return specifications.of_sets(pd.concat(parts, ignore_index=True))


def slowly(scores, group, columns, labels=LABELS):
    """Distance by a loop over classes, of columns [(paper's, masking, method, definition)]."""
    squares = []
    for paper, masking, method, definition in columns:
        full, masked = scores[f"full/{group}"], scores[f"scores/{masking}/{group}/{method}"]
        for k in range(10):
            of_class = (labels == k) & (full.argmax(1) == labels)
            ours = average_drop(full[of_class], masked[of_class], labels[of_class], definition)
            squares.append((ours - REPORTED[paper][k]) ** 2)
    return np.sqrt(np.mean(squares))


def test_no_specification_comes_twice(table):
    columns = ["quantity", *(c for c in specifications.CHOICES if c in table)]
    assert not table.duplicated(columns).any()
    forms = 2 * 2 * 2  # of score, Grad-CAM and clip
    ours, eight_bit, seeds = 2 * forms * 3 * 7, forms // 2 * 2, forms * 6
    assert (table.quantity == specifications.NF16).sum() == ours + eight_bit + seeds + 2 * forms * (2 * 7 + 2)


def test_the_sets_are_found_and_are_what_their_choices_say(table):
    soft, unclipped = AverageDropDefinition(), AverageDropDefinition(clip=False)
    names = ["nf16_gradcam", "nf16_gradcam_pp", "nf16_qa_gradcam"]
    of_16 = table[table.quantity == specifications.NF16].set_index("set").distance
    methods = ["filtered Grad-CAM", "Grad-CAM++", "max, p!=q"]
    columns = [(name, "grad_cam_pp", method, soft) for name, method in zip(names, methods)]
    assert of_16["headline"] == pytest.approx(slowly(SCORES, "nf16", columns))
    methods = ["Grad-CAM, sum of relus", "Grad-CAM++, 1e-7", "most frequent"]
    columns = list(zip(names, ["8_bit"] * 3, methods, [soft, unclipped, soft]))
    each = [slowly(RECIPE, f"authors_code/seed{s}", columns) for s in (0, 1)]
    assert of_16["authors"] == pytest.approx(np.mean(each))
    assert "text" not in of_16  # its mask was not scored here


def test_the_low_beta_is_a_choice_of_its_own_column(table):
    soft, names = AverageDropDefinition(), specifications.compared_columns()[specifications.NF512].values()
    methods = ["filtered Grad-CAM", "Grad-CAM++", "sa_0.50", "sa_0.99"]
    columns = [(name, "grad_cam_pp", method, soft) for name, method in zip(names, methods)]
    row = table.query("quantity == @specifications.NF512 and heads == 'ours' and low_beta == 'at 0.5'")
    row = row.query("score == 'softmax' and grad_cam == 'sum of relus' and grad_cam_pp == 'eq19' and clip == 'all'")
    assert row.distance.item() == pytest.approx(slowly(SCORES, "nf512", columns))
    assert (table[table.quantity == specifications.NF512_HIGH].n == 30).all()


@pytest.mark.parametrize("key", ["scores/8_bit/nf16/qa", "scores/grad_cam_pp/nf16_seed1/max, half"])
def test_absent_scores_are_an_error(key):
    fewer = {name: values for name, values in SCORES.items() if name != key}
    with pytest.raises(ArtefactError, match="was not scored"):
        specifications.reduced_model(fewer, RECIPE, REPORTED, HEADLINE)


def test_every_choice_has_a_reason_and_every_value_a_place():
    assert list(specifications.REASONS) == list(specifications.side_by_side().index)
    assert specifications.side_by_side().notna().all().all()
    for name, values in CHOICES.items():
        if name in specifications.CHOICES:
            assert {getattr(conventions, name) for conventions in (HEADLINE, TEXT, AUTHORS)} <= set(values)


def test_effects_compare_like_with_like():
    rows = [("a", "x", 1.0), ("b", "x", 3.0), ("a", "y", 100.0)]  # b is not known with y
    table = pd.DataFrame(rows, columns=["field", "score", "distance"]).assign(quantity="q", set=["headline", "", ""])
    found = specifications.effects(table).set_index("value")
    assert found.distance[["a", "b"]].tolist() == [1.0, 3.0] and found.groups["a"] == 1
    assert found.alone[["a", "b", "x", "y"]].tolist() == [1.0, 3.0, 1.0, 100.0]


def instances(seeds=(0, 1), per_class=4):
    rows = []
    for seed in seeds:
        for image in range(10 * per_class):
            d = 3 + image % 3
            field = -RNG.uniform(0.2, 1, size=d)
            maps = RNG.uniform(size=(d, 6))
            maps /= np.linalg.norm(maps, axis=1, keepdims=True)
            problem = Problem(np.arange(d), field / -field.min(), maps @ maps.T, 8)
            rows.append({"n_features": 8, "seed": seed, "image": image, "class": CLASSES[image % 10], "d": d})
            rows[-1]["problem"] = problem
    return pd.DataFrame(rows)


def test_known_optima_are_those_found():
    table, labels = instances(), np.arange(40) % 10
    for choice in specified_problems.every():
        name = "{field}, {pair_sum}".format(**choice)
        optima = {
            f"seed{s}/nf8/{name}": specified_problems.selections(part.problem, **choice)
            for s, part in table.groupby("seed")
        }
        known = {s: f"seed{s}/nf8/" for s in (0, 1)}
        found = specified_problems.overlaps(table, optima, known, **choice)
        np.testing.assert_allclose(found, specified_problems.overlaps(table, {}, {}, **choice))
        bits = optima[f"seed1/nf8/{name}"]
        shares = [bits[labels == c].sum(0) / bits[labels == c].sum() for c in (0, 1)]
        assert found[1][0] == pytest.approx(np.sqrt(shares[0] * shares[1]).sum())


def test_halves_are_disjoint_and_keep_an_instance_together():
    table = pd.concat([instances(per_class=2).drop(columns="problem")] * 3, ignore_index=True)  # three annealing times
    first, second = specified_problems._halves(table, ["class"], np.random.default_rng(0))
    keys = [set(zip(part.seed, part.image)) for part in (first, second)]
    assert not keys[0] & keys[1] and len(first) + len(second) == len(table)
    assert len(keys[0]) == len(keys[1]) == 20


def test_gaps_and_fidelities_of_a_specification():
    table, edges, counts = instances(per_class=1), np.array([0.0, 0.1, 0.2, 2.0]), np.array([1, 2, 3])
    gaps = specified_problems.minimum_gaps(table, "min-max", "half", "scaled")
    rows = specified_problems.gap_rows(gaps, edges, counts)
    shares = [(gaps.gap <= edge).mean() for edge in edges]
    assert rows[0]["distance"] == pytest.approx(np.abs(np.array(shares) - [0, 1 / 6, 1 / 2, 1]).max())
    medians = gaps.groupby("d").gap.median()
    assert rows[1]["ours"] == pytest.approx(np.polyfit(np.log(medians.index), np.log(medians), 1)[0])
    reported = pd.DataFrame({"n_features": 8, "annealing_time": [10.0, 50.0], "d": 3, "median_fidelity": [0.2, 0.5]})
    found = specified_problems.annealed(table, reported, "max", "p<q", "scaled")
    row, short = specified_problems.fidelity_rows(found, reported)
    ours = [found[(found.d == 3) & (found.annealing_time == t)].fidelity.median() for t in (10, 50)]
    assert row["distance"] == pytest.approx(np.hypot(ours[0] - 0.2, ours[1] - 0.5) / np.sqrt(2)) and row["n"] == 2
    assert short["distance"] == pytest.approx(abs(np.log(ours[0] / 0.2)))


def test_the_figure_names_the_sets_and_shows_every_choice(table):
    lines = specifications.trivial(REPORTED)
    rerun = pd.DataFrame({"quantity": specifications.NF16, "kind": "rerun", "name": "both", "distance": [9.0]})
    figure = specification_curves(
        table, pd.concat([lines, rerun]), specifications.CHOICES, {specifications.NF16: "points"}
    )
    top, strip = figure.axes
    assert [text.get_text() for text in figure.legends[0].texts] == ["headline", "authors", "text"]
    assert "within a rerun" in [text.get_text() for text in top.texts]
    marked = [line.get_ydata()[0] for line in top.lines if line.get_marker() in "Ds^" and len(line.get_ydata())]
    of_sets = table[(table.quantity == specifications.NF16) & (table["set"] != "")].distance
    assert sorted(marked) == sorted(of_sets)
    assert "float" in [tick.get_text() for tick in strip.get_yticklabels()]


def test_a_changed_choice_is_no_set():
    rows = pd.DataFrame({"quantity": "q", "heads": "ours", "pair_sum": PAIR_SUMS, "field": "max"})
    assert specifications.of_sets(rows)["set"].tolist() == ["headline, authors", "", "text"]
    assert replace(Conventions(), pair_sum="p<q") not in (HEADLINE, TEXT, AUTHORS)
