"""Table 1 as it is published, and the noise of reruns, on synthetic scores and by hand."""

import numpy as np
import pandas as pd
import pytest

# the synthetic scores of the tables of Average Drop
from test_comparisons import COLUMNS, REPORTED, compare, scores  # noqa: F401

from qafs_utils.cnn.datasets import CLASSES
from qafs_utils.explanations import table_one
from qafs_utils.plots import average_drop as plots


@pytest.fixture(scope="module")
def reruns(compare):  # noqa: F811
    return table_one.reruns(compare, COLUMNS)


def test_the_paper_s_grad_cam_is_that_of_the_conventions():
    assert len(COLUMNS) == len(set(COLUMNS.values())) == 7
    text = table_one.paper_columns("relu of sum")
    assert text["nf16/Grad-CAM"] == COLUMNS["nf16/filtered Grad-CAM"] == "nf16_gradcam"
    with pytest.raises(ValueError, match="unknown grad_cam 'relu': choose from sum of relus, relu of sum"):
        table_one.paper_columns("relu")


def test_table_1_as_it_is_published(compare):  # noqa: F811
    table = compare.by_class(REPORTED)
    tidy = table_one.published(table)
    assert list(tidy) == ["class", "model", "method", "convention", "value", "low", "high", "paper"]
    assert len(tidy) == len(table) and tidy.paper.notna().sum() == 77
    row = tidy[(tidy.model == "N_f=512") & (tidy.method == "SA-Grad-CAM, beta=0.99") & (tidy["class"] == "mean")]
    expected = table[(table.column == "nf512/sa_0.99") & (table["class"] == "mean")]
    assert row[["value", "low", "high"]].values.tolist() == expected[["average_drop", "low", "high"]].values.tolist()
    lines = table_one.page(table, COLUMNS).splitlines()
    assert len(lines) == 6 + 11 and all(line.count(" | ") == 7 for line in lines[4:] if "---" not in line)
    shown = table[table.column.isin(COLUMNS)]
    figure = plots.table_one(shown, {column: table_one.printed(column) for column in COLUMNS})
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts.count("10.0") >= 77 and all(name in texts for name in (*CLASSES, "mean"))


def test_quantities_are_rows(compare):  # noqa: F811
    controls = compare.beside_controls()
    tidy = table_one.tidy(controls, ["area", "minus_random"]).set_index(["model", "method", "quantity"])
    of_qa = controls.set_index(["n_features", "method"]).loc[16, "qa"]
    found = tidy.loc[("N_f=16", "QA-Grad-CAM", "minus_random"), ["value", "low", "high"]].tolist()
    assert found == [of_qa.minus_random, of_qa.minus_random_low, of_qa.minus_random_high]
    assert tidy.value["N_f=16", "all-ones mask", "area"] == 1 and tidy.value.notna().all()


def test_reruns_are_heads_and_disjoint_draws(compare, reruns):  # noqa: F811
    of_qa = reruns[reruns.column == "nf16/qa"]
    assert of_qa.groupby("kind").rerun.nunique().to_dict() == {"head": 2, "draw": 1}  # three images a class, two a draw
    drawn = compare.values("nf16_broad/exact", "correct_only").reshape(10, 3)[:, :2]
    with np.errstate(invalid="ignore"):
        expected = pd.DataFrame(drawn).mean(axis=1)
    found = of_qa[of_qa.kind == "draw"].set_index("class").average_drop
    np.testing.assert_allclose(found[list(CLASSES)], expected)
    assert found["mean"] == pytest.approx(expected.mean())
    heads = table_one.over_reruns(reruns)
    assert len(heads) == 2 and heads["nf512/sa_0.99"].notna().all() and "nf512/sa_0.70" not in heads


def test_the_noise_of_a_rerun_is_that_of_heads_and_of_images(compare, reruns):  # noqa: F811
    noise = table_one.noise(reruns, compare)
    of_heads = reruns[(reruns.column == "nf16/qa") & (reruns.kind == "head") & (reruns["class"] == "mean")]
    first, second = of_heads.average_drop
    assert noise["nf16/qa", "mean"] > abs(first - second)  # one draw has no pair: the standard error stands for it
    values = compare.values("nf16/qa").reshape(10, 2)
    variance = 2 * values.var(axis=1, ddof=1).mean() / 20
    assert noise["nf16/qa", "mean"] == pytest.approx(np.hypot(first - second, variance**0.5))
    numbers = table_one.numbers(compare.by_class(REPORTED), noise)
    assert len(numbers) == 77 and set(numbers.unit) == {"images"} and numbers.testable.all()
    assert numbers.set_index("number").noise["nf16/qa, mean"] == noise["nf16/qa", "mean"]
    draws = reruns.assign(kind="draw", average_drop=np.random.default_rng(0).random(len(reruns)))
    expected = (draws[(draws.column == "nf16/qa") & (draws["class"] != "mean")]).groupby("class").average_drop
    squares = 2 * expected.var(ddof=1)
    assert table_one.distance_of_reruns(draws, "draw", ["nf16/qa"]) == pytest.approx(squares.mean() ** 0.5)


def test_two_levels_are_wider_than_one():
    rng = np.random.default_rng(0)
    heads, images = rng.normal(0, 1, (5, 1)), rng.normal(0, 5, (1, 200))
    values = 10 + heads + images
    found = table_one.two_level_interval(values)
    assert found["value"] == pytest.approx(values.mean()) and found["low"] < found["value"] < found["high"]
    of_images = table_one.two_level_interval(values[:1].repeat(5, 0))
    width = found["high"] - found["low"]
    assert width > of_images["high"] - of_images["low"] > 0
    error = (heads.var() / 5 + images.var() / 200) ** 0.5
    assert width == pytest.approx(2 * 1.96 * error, rel=0.1)
    values[0, :100] = np.nan  # images that a head has wrong
    assert table_one.two_level_interval(values)["value"] == pytest.approx(np.nanmean(values))
    with pytest.raises(ValueError, match="values must be"):
        table_one.two_level_interval([1.0, 2.0])


def test_heads_on_the_images_that_each_has_right(compare):  # noqa: F811
    found = table_one.over_heads(compare, ["nf16/qa"]).iloc[0]
    values = [compare.values(f"nf16_seed{seed}/exact", "correct_only") for seed in (0, 1)]
    assert found.heads == pytest.approx(np.nanmean(values)) and found.number == 2
    assert found.heads_low < found.heads < found.heads_high


def test_classes_worse(compare, reruns):  # noqa: F811
    table = compare.by_class(REPORTED)
    of_class = table[table["class"] != "mean"].pivot(index="class", columns="column", values="average_drop")
    worse = (of_class["nf16/qa"] > of_class["nf16/filtered Grad-CAM"]).sum()
    assert table_one.classes_worse(table) == (worse, 0)
    assert table_one.classes_worse(table.assign(paper=range(len(table))))[1] in (0, 10)
    assert len(table_one.classes_worse_by_head(reruns)) == 2


def test_agreement(compare):  # noqa: F811
    table = compare.by_class(REPORTED + np.arange(10)[:, None])
    found = table_one.agreement(table, COLUMNS)
    assert found.numbers.tolist() == [30, 40] and (found.inside <= found.numbers).all()
