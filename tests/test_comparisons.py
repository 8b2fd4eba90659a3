"""Tables of Average Drop against drops computed directly, on synthetic scores."""

import numpy as np
import pandas as pd
import pytest

from qafs_utils.artefacts.files import ArtefactError
from qafs_utils.cnn.datasets import CLASSES
from qafs_utils.explanations import comparisons, table_one
from qafs_utils.explanations.average_drop import DEFINITIONS, average_drop, drops
from qafs_utils.explanations.comparisons import Comparisons, pairs

MASKINGS = ["grad_cam_pp", "top_half"]
LABELS, BROAD, SEED_IMAGES = np.repeat(np.arange(10), 2), np.repeat(np.arange(10), 3), np.arange(0, 30, 3)
COLUMNS = table_one.paper_columns()
CHOSEN = sorted({column for pair in pairs().values() for column in pair} | set(COLUMNS))
REPORTED = pd.DataFrame(10.0, index=CLASSES, columns=list(COLUMNS.values()))
COMPARED = ("Grad-CAM", "filtered Grad-CAM", "Grad-CAM++", "exact")


@pytest.fixture(scope="module")
def scores():
    """As artefact 08_scores, with random logits: 20 images, 30 of the broad sample."""
    rng, found = np.random.default_rng(0), {"labels": LABELS, "broad_labels": BROAD, "seed_images": SEED_IMAGES}
    columns = {column: 20 for column in CHOSEN}
    columns |= {f"nf16_broad/{m}": 30 for m in COMPARED}
    columns |= {f"nf16_{g}/{m}": 10 for g in ("conv", "seed0", "seed1") for m in COMPARED}
    columns |= {"nf512_seed1/sa_0.99": 20, "nf512_seed0/sa_0.99": 20, "nf16_conv/Grad-CAM, sum of relus": 10}
    for column, count in columns.items():
        found.setdefault(f"full/{column.split('/')[0]}", rng.normal(0, 2, (count, 10)))
        for masking in MASKINGS:
            found[f"areas/{masking}/{column}"] = rng.random(count)
            for kind in ("scores", "random", "centred") if "_seed" not in column else ("scores",):
                found[f"{kind}/{masking}/{column}"] = rng.normal(0, 2, (count, 10))
    found |= {f"{k}/8_bit/nf16/qa": found[f"{k}/grad_cam_pp/nf16/qa"] + 0.1 for k in ("scores", "areas")}
    found["scores/8_bit/nf16/qa"][:, 0] += 0.5
    return found | {"record": {"parameters": {"maskings": MASKINGS}}}


@pytest.fixture(scope="module")
def compare(scores):
    return Comparisons(scores, n_resamples=50)


def test_a_column_is_a_method_of_a_group(scores, compare):
    assert sorted(compare.headline) == CHOSEN
    known = set(compare.definitions)
    assert {"grad_cam_pp", "logit", "unclipped", "8_bit", "top_half"} <= known and "correct_only" not in known
    assert compare.scored("nf16/qa", "8_bit") and not compare.scored("nf16/Grad-CAM", "8_bit")
    full, masked = scores["full/nf16"], scores["scores/top_half/nf16/qa"]
    np.testing.assert_array_equal(
        compare.values("nf16/qa", "top_half"), drops(full, masked, LABELS, DEFINITIONS["top_half"])
    )
    np.testing.assert_array_equal(compare.area("nf16/qa"), scores["areas/grad_cam_pp/nf16/qa"])
    for group, labels in (("nf512_seed1", LABELS), ("nf16_broad", BROAD), ("nf16_conv", BROAD[SEED_IMAGES])):
        np.testing.assert_array_equal(compare.labels(group), labels)
    with pytest.raises(ValueError, match="unknown definition 'soft': choose from grad_cam_pp"):
        Comparisons(scores, "soft")


@pytest.mark.parametrize("kind", ["random", "centred"])
def test_blind_masks_have_drops_of_their_own(scores, compare, kind):
    blind = drops(scores["full/nf16"], scores[f"{kind}/grad_cam_pp/nf16/qa"], LABELS, DEFINITIONS["grad_cam_pp"])
    np.testing.assert_array_equal(compare.values("nf16/qa", kind=kind), blind)
    row = compare.beside_controls().set_index(["n_features", "method"]).loc[16, "qa"]
    assert row[kind] == pytest.approx(np.nanmean(blind)) and row[f"minus_{kind}"] != 0
    if kind == "random":
        of_class = compare.by_class(REPORTED).set_index(["column", "class"]).random_mask["nf16/qa"]
        assert of_class[["mean", "cat"]].tolist() == pytest.approx([np.nanmean(blind), np.nanmean(blind[6:8])])


def test_table_1(scores, compare):
    table = compare.by_class(REPORTED).set_index(["column", "class"])
    full, masked = scores["full/nf16"], scores["scores/grad_cam_pp/nf16/qa"]
    row = table.loc["nf16/qa", "mean"]
    assert row.average_drop == average_drop(full, masked, LABELS) and row.low < row.average_drop < row.high
    assert table.average_drop["nf16/qa", "cat"] == average_drop(full[6:8], masked[6:8], LABELS[6:8])
    assert (
        row.paper == 10 and np.isnan(table.paper["nf24/qa", "mean"]) and np.isnan(table.paper["nf16/Grad-CAM", "cat"])
    )
    of_others = compare.by_class(REPORTED, ["unclipped", "8_bit"])
    assert set(of_others[of_others.definition == "8_bit"].column) == {"nf16/qa"}
    assert of_others[of_others.definition == "8_bit"].random_mask.isna().all()


def test_differences_are_paired(compare):
    table = compare.differences(REPORTED).set_index(["id", "definition"])
    row = table.loc["ad_qa_minus_gradcam", "logit"]
    expected = np.nanmean(compare.values("nf16/qa", "logit") - compare.values("nf16/filtered Grad-CAM", "logit"))
    assert row.difference == pytest.approx(expected) and row.low < expected < row.high and row.paper == 0
    assert np.isnan(table.paper["ad_qa_minus_score_cam", "grad_cam_pp"])
    of_broad = compare.values("nf16_broad/exact") - compare.values("nf16_broad/filtered Grad-CAM")
    assert table.broad["ad_qa_minus_gradcam", "grad_cam_pp"] == pytest.approx(of_broad.mean())
    assert ("ad_qa_minus_gradcam", "8_bit") not in table.index  # Grad-CAM is not scored so
    text = Comparisons(compare.scores, grad_cam="relu of sum", n_resamples=50)
    assert text.pairs["ad_qa_minus_gradcam"] == ("nf16/qa", "nf16/Grad-CAM")


def test_controls_and_samples(compare):
    controls = compare.beside_controls().set_index(["n_features", "method"])
    qa = controls.loc[16, "qa"]
    assert qa.minus_random == pytest.approx(qa.average_drop - qa.random)
    assert controls.average_drop[16, "all-ones mask"] == 0
    broad = compare.broad().query("definition == 'grad_cam_pp'").set_index("method")
    assert broad.minus_optimum["Grad-CAM"] == pytest.approx(
        broad.average_drop["Grad-CAM"] - broad.average_drop["exact"]
    )
    assert (compare.conv().set_index("method").loc["Grad-CAM", ["minus_gradcam", "minus_gradcam_high"]] == 0).all()
    by_seed = compare.by_seed().set_index(["n_features", "seed", "method"])
    assert by_seed.average_drop[16, 1, "exact"] == np.mean(compare.values("nf16_seed1/exact"))
    correct = compare.values("nf16_seed1/exact", "correct_only")
    assert 0 < np.isnan(correct).sum() < 10 and by_seed.correct_only[16, 1, "exact"] == np.nanmean(correct)
    summed = compare.distance(REPORTED, {"nf16_conv/Grad-CAM, sum of relus": "nf16_gradcam"})
    assert compare.places(REPORTED).loc["conv", "nf16_gradcam"] == summed


def test_distances(compare):
    table = compare.distances(REPORTED, {"two heads": {"N_f=16": 3.0}}).set_index("definition")
    assert table["all"]["all-ones mask, any definition"] == 10 and table["all"]["mean of the paper's table"] == 0
    assert table["N_f=16"]["two heads"] == 3 and np.isnan(table["all"]["two heads"]) and np.isnan(table["all"]["8_bit"])
    by_class = compare.by_class(REPORTED).query("column == 'nf16/qa' and `class` != 'mean'")
    expected = ((by_class.average_drop - 10) ** 2).mean() ** 0.5
    assert compare.distance(REPORTED, {"nf16/qa": "nf16_qa_gradcam"}) == pytest.approx(expected)
    usual = {"nf16/Grad-CAM": "nf16_gradcam", "nf16/Grad-CAM++": "nf16_gradcam_pp", "nf16/qa": "nf16_qa_gradcam"}
    assert table["N_f=16"]["grad_cam_pp, ReLU of the sum"] == pytest.approx(compare.distance(REPORTED, usual))
    known = {column: paper for column, paper in COLUMNS.items() if column.startswith("nf16/")}
    unclipped = compare.distance(REPORTED, known, {"nf16/Grad-CAM++": "unclipped"})
    assert table["N_f=16"]["grad_cam_pp, Grad-CAM++ unclipped"] == unclipped != table["N_f=16"]["grad_cam_pp"]


def test_the_scan_of_beta(compare):
    full = pd.DataFrame({"beta": [0.7, 0.7, 0.99], "selected": [1, 2, 4], "d": 4})
    scan = compare.beta_scan(full).set_index("beta")
    assert scan.ratio.tolist() == [0.375, 1.0] and scan.minus_best[scan.average_drop.idxmin()] == 0


def test_insertion_and_deletion(compare):
    curves = {
        f"insertion/nf16/{m}": np.linspace(0, top, 3)[None].repeat(4, 0)
        for m, top in (("qa", 1), ("centred mask", 0.5))
    }
    curves |= {key.replace("insertion", "deletion"): 1 - curve for key, curve in curves.items()}
    row = compare.curves(curves).set_index("method").loc["qa"]
    assert (row.insertion, row.insertion_gain, row.deletion_gain) == pytest.approx((0.5, 0.25, 0.25))


def test_scores_of_other_selections_are_refused():
    bits = np.array([[True, False]])
    made = {"selection/nf16_qa": bits, "selection/block/seed0/nf16_exact": bits, "labels": LABELS}
    now = {"nf16_qa": bits, "block/seed0/nf16_exact": bits, "block/seed0/nf16_candidates": bits, "labels": LABELS}
    comparisons.require_same_selections(made, now)
    with pytest.raises(ArtefactError, match="made for other selections than 04 finds now .*nf16_qa"):
        comparisons.require_same_selections(made, now | {"nf16_qa": ~bits})


def test_unknown_columns_groups_and_masks_are_refused_and_what_exists_is_told(scores, compare):
    known = "choose from .*nf16/qa"
    for call, message in (
        (lambda: compare.values("nf16/qb"), f"unknown column 'nf16/qb': {known}"),
        (lambda: compare.area("nf16/qb"), f"unknown column 'nf16/qb': {known}"),
        (lambda: compare.labels("nf17"), "unknown group 'nf17': choose from .*nf16"),
        (lambda: compare.values("nf16/qa", "soft"), "unknown definition 'soft': choose from grad_cam_pp"),
        (lambda: compare.values("nf16/qa", "mean_fill"), "unknown definition 'mean_fill': choose from grad_cam_pp"),
        (lambda: compare.scored("nf16/qa", "soft"), "unknown definition 'soft'"),
        (lambda: compare.values("nf16/Grad-CAM", "8_bit"), "no scores/8_bit/nf16/Grad-CAM among the scores"),
        (lambda: compare.values("nf16/qa", "8_bit", kind="random"), "no random/8_bit/nf16/qa among the scores"),
        (lambda: Comparisons(scores, "mean_fill"), "unknown definition 'mean_fill': choose from grad_cam_pp"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert not compare.scored("nf16/qa", "mean_fill") and not compare.scored("nf16/qb", "logit")


def test_areas_are_those_of_the_definition(scores):
    halves = Comparisons(scores, "top_half", n_resamples=5)
    np.testing.assert_array_equal(halves.area("nf16/qa"), scores["areas/top_half/nf16/qa"])
    row = halves.beside_controls().set_index("column").loc["nf16/qa"]
    assert row.area == scores["areas/top_half/nf16/qa"].mean()
