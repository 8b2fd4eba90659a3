"""Scores of masked images by hand, their names, and selection at other layers."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from qafs_utils.artefacts.run import Artefacts
from qafs_utils.cnn import extraction, feature_maps, networks, pretrained, training
from qafs_utils.conventions import CHOICES, Conventions
from qafs_utils.explanations import array_names, average_drop, cams, masked_scores, masks, other_layers
from qafs_utils.qubo import feature_selection

NETWORK = pretrained.resnet18("random")
TRUNK, HEAD = networks.Trunk(NETWORK), networks.build_head(16, "paper", NETWORK, size=2)
PIXELS = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
CAMS = torch.rand(3, 2, 2, generator=torch.Generator().manual_seed(1))
SOFT = average_drop.DEFAULT.masking


@pytest.mark.parametrize("name, count", [("08_scores", 1150), ("08_curves", 32)])
def test_every_array_of_the_published_scores_has_a_place_in_the_index(name, count):
    arrays = Artefacts("published").load(name)
    index = array_names.index_of(arrays)
    assert len(index) >= count and not index.key.duplicated().any()
    assert set(arrays) - set(index.key) <= {"record", "labels", "test_index", "broad_labels", "seed_images"}
    groups = index.groupby("quantity")["sample"].agg(set)
    if name == "08_scores":
        assert groups["centred"] == {"chosen"} and groups["random"] == {"chosen", "broad"}
        assert groups["selection"] == {"chosen", "block", "conv"}
        assert sorted(index[index.method.str.startswith("sa")].beta.unique())[-2:] == [0.99, 1.0]


def test_names_go_into_the_index_part_by_part():
    key = "areas/threshold_0.15/nf512_seed3/Grad-CAM++, authors' code"
    (row,) = array_names.index_of([key, "nf16_paper_seed0/classifier.bias", "record"]).to_dict("records")
    assert row.pop("key") == key and np.isnan(row.pop("beta"))
    assert row == {
        "quantity": "areas",
        "masking": "threshold_0.15",
        "group": "nf512_seed3",
        "n_features": 512,
        "sample": "seed",
        "seed": 3,
        "method": "Grad-CAM++, authors' code",
    }
    assert array_names.index_of([]).columns.tolist()[0] == "key"


@pytest.mark.parametrize("batch", [1, 50])
def test_masked_scores_are_those_of_masks_by_hand(batch):
    score = training.scorer(TRUNK, HEAD)
    noise = masked_scores.smooth_noise(3, 32)
    found = masked_scores.masked_scores(score, PIXELS, CAMS, SOFT, controls={"random": noise}, batch=batch)
    heatmap = cams.heatmap(CAMS, 32)
    np.testing.assert_allclose(found["areas"], heatmap.mean((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(found["scores"], score(PIXELS * heatmap[:, None]), rtol=1e-4, atol=1e-5)
    alike = masks.match_area(noise, found["areas"], SOFT)
    np.testing.assert_allclose(alike.mean((1, 2)), found["areas"], rtol=1e-3)
    np.testing.assert_allclose(found["random"], score(PIXELS * alike[:, None]), rtol=1e-4, atol=1e-5)
    drops, _ = masked_scores.masked_drops(score, score(PIXELS), PIXELS, CAMS, [0, 1, 2])
    by_hand = average_drop.drops(score(PIXELS), found["scores"], [0, 1, 2])
    np.testing.assert_allclose(drops, by_hand, atol=1e-3)


def test_masks_are_resampled_as_the_definition_says():
    score, definition = training.scorer(TRUNK, HEAD), average_drop.DEFINITIONS["8_bit"]
    found = masked_scores.masked_scores(score, PIXELS, CAMS, definition.masking)
    heatmap = cams.heatmap(CAMS, 32, resampling="8 bit")
    np.testing.assert_allclose(found["scores"], score(PIXELS * heatmap[:, None]), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["areas"], heatmap.mean((1, 2)), rtol=1e-5)


@pytest.mark.parametrize(
    "group, kinds",
    [
        ("nf16", {"grad_cam_pp": {"scores", "areas", "random", "centred"}, "top_half": {"scores", "areas", "random"}}),
        ("nf16_broad", {"grad_cam_pp": {"scores", "areas", "random"}}),
        ("nf16_seed1", {"grad_cam_pp": {"scores", "areas"}}),
    ],
)
def test_which_scores_a_group_has(group, kinds):
    maskings, explanations = ["grad_cam_pp", "top_half"], {"qa": CAMS, "sa_0.30": CAMS}
    scores = masked_scores.score_group(TRUNK, HEAD, group, PIXELS, explanations, maskings, aside=["sa_0.30"])
    index = array_names.index_of(scores)
    found = index[index.method == "qa"].groupby("masking").quantity.agg(set)
    assert found.to_dict() == kinds and all(scores[key].dtype == np.float32 for key in index.key)
    assert set(index[index.method == "sa_0.30"].quantity) == {"scores", "areas"}
    np.testing.assert_array_equal(scores[f"full/{group}"], training.scorer(TRUNK, HEAD)(PIXELS))


def test_which_scores_plain_methods_and_further_maskings_have():
    maskings, explanations = ["grad_cam_pp", "top_half"], {"qa": CAMS, "max, p<q": CAMS**2, "max, p<q, 0.70": CAMS**3}
    given = {"plain": ["max, p<q"], "aside": ["max, p<q, 0.70"], "also": {"8_bit": ["qa"]}}
    index = array_names.index_of(
        masked_scores.score_group(TRUNK, HEAD, "nf16", PIXELS, explanations, maskings, **given)
    )
    found = index[index.quantity == "scores"].groupby("method").masking.agg(list)
    assert found.to_dict() == {
        "qa": ["grad_cam_pp", "top_half", "8_bit"],
        "max, p<q": maskings,
        "max, p<q, 0.70": maskings[:1],
    }
    assert set(index[index.quantity.isin(["random", "centred"])].method) == {"qa"}


def test_an_image_that_two_methods_explain_alike_is_scored_once(monkeypatch):
    scored, scorer = [], training.scorer
    other = CAMS.clone()
    other[1] = other[1] ** 2
    explanations = {"aside": other, "qa": CAMS, "top_k": other, "same": CAMS}
    alone = {
        name: masked_scores.score_group(TRUNK, HEAD, "nf16_broad", PIXELS, {name: cam}, ["top_half"])
        for name, cam in explanations.items()
    }

    def counting(*args, **options):
        score = scorer(*args, **options)
        return lambda pixels: scored.append(len(pixels)) or score(pixels)

    monkeypatch.setattr(training, "scorer", counting)
    monkeypatch.setattr(training, "score_all", lambda trunk, head, pixels: scorer(trunk, head)(pixels))
    found = masked_scores.score_group(TRUNK, HEAD, "nf16_broad", PIXELS, explanations, ["top_half"], aside=["aside"])
    assert sum(scored) == 2 * (3 + 1)  # with its control each; aside and same take theirs over
    assert "random/top_half/nf16_broad/aside" not in found and "random/top_half/nf16_broad/same" in found
    for key in found.keys() - {"full/nf16_broad"}:
        np.testing.assert_allclose(found[key], alone[key.split("/")[-1]][key], rtol=1e-4, atol=1e-5)


def test_selections_of_other_candidates_are_refused():
    features = TRUNK(PIXELS)
    maps, gradients, _ = extraction.capture(HEAD, features)
    positive = (feature_maps.importance(gradients) > 0).numpy()
    found = masked_scores.explain_group(HEAD, features, {"candidates": positive, "all": positive})
    torch.testing.assert_close(found["all"], found["filtered Grad-CAM"])
    assert list(found) == [*cams.METHODS, "all"]
    with pytest.raises(ValueError, match="other candidates: run notebooks 02 and 04 again"):
        masked_scores.explain_group(HEAD, features, {"candidates": ~positive})


def test_insertion_ends_in_the_image_and_deletion_in_black():
    score = training.scorer(TRUNK, HEAD, softmax=True)
    target = score(PIXELS).argmax(1).numpy()
    curves = masked_scores.insertion_and_deletion(score, PIXELS, {"qa": cams.heatmap(CAMS, 32)}, target, steps=4)
    whole, black = (score(images)[range(3), target].numpy() for images in (PIXELS, 0 * PIXELS))
    np.testing.assert_allclose(curves["insertion", "qa"][:, -1], whole, atol=1e-5)
    np.testing.assert_allclose(curves["deletion", "qa"][:, [0, -1]], np.stack([whole, black], 1), atol=1e-5)


def small_layer(alpha=((3.0, 2.0, 1.0, -1.0), (1.0, 1.5, 2.0, -2.0))):
    maps, alpha = torch.eye(4).reshape(1, 4, 2, 2).repeat(2, 1, 1, 1), torch.tensor(alpha)
    return other_layers.Layer("maps", maps, alpha, feature_selection.problems(maps.numpy(), alpha.numpy()))


def drop_of(cam):
    return cam.sum((1, 2)).double().numpy(), np.full(len(cam), 0.25)


def test_a_layer_is_selected_and_its_explanations_compared():
    layer = small_layer()
    selected, table = other_layers.select(layer, [0.7, 0.9])
    assert (selected["exact", 0.7] == layer.candidates).all()  # maps without a cosine are all rewarded
    assert table.selected.tolist() == [3] * 4 and table.proven.all() and (table.mean_cosine == 0).all()
    scores, drops = other_layers.average_drops(layer, selected, drop_of)
    by_method = scores.set_index("method")
    np.testing.assert_allclose(drops["exact", 0.7], [6.0, 4.5])
    assert by_method.value["exact_0.7"] == 5.25 and by_method.optimum_minus_top_k["top_k_0.9"] == 0
    annealed = {0.7: np.eye(4, dtype=bool)[[0, 0]]}  # one map too few, twice
    sizes = other_layers.compare_sizes(layer, selected, drops, annealed, [2, 4], drop_of)
    assert sizes.set_index("selection").value["SA minus QUBO"] == pytest.approx((3 - 6 + 1 - 4.5) / 2)
    of_size = sizes.set_index(["selection", "k"])
    assert of_size.value["top k", 2] == of_size.value["QUBO, exactly k", 2] == pytest.approx((5 + 3.5) / 2)
    assert of_size.minus_free_size["top k", 2] == pytest.approx(-1) and 4 not in sizes.k.to_list()


def test_what_a_layer_carries_is_measured_with_other_maps_at_zero():
    layer = other_layers.capture(NETWORK, "layer4", PIXELS)
    selected, _ = other_layers.select(layer, [0.99])
    table = other_layers.carried(NETWORK, layer, PIXELS, [1, 2, 3], selected).set_index("selection")
    with torch.no_grad():
        whole = NETWORK(PIXELS).numpy() - NETWORK.fc.bias.numpy()
        after = NETWORK.fc((layer.maps * torch.as_tensor(selected["top_k", 0.99])[:, :, None, None]).mean((2, 3)))
    probability = after.softmax(1)[range(3), [1, 2, 3]]
    assert table.probability["top_k_0.99"] == pytest.approx(float(probability.mean()), rel=1e-5)
    added = (after - NETWORK.fc.bias.detach()).numpy()
    scaled = (added - added.mean(1, keepdims=True)) * (whole.std(1) / added.std(1))[:, None]
    matched = torch.as_tensor(scaled).softmax(1)[range(3), [1, 2, 3]]
    assert table.matched["top_k_0.99"] == pytest.approx(float(matched.mean()), rel=1e-4)
    assert table.k["top_k_0.99"] == selected["exact", 0.99].sum(1).mean()
    assert table.margin_minus_random["random_k_0.99"] == 0 and pd.isna(table.margin_minus_random["candidates"])
    difference = table.margin["exact_0.99"] - table.margin["random_k_0.99"]
    assert table.margin_minus_random["exact_0.99"] == pytest.approx(difference, abs=1e-6)


@pytest.mark.parametrize("name", average_drop.DEFINITIONS)
def test_the_average_drop_of_a_set_is_one_of_the_known_definitions(name):
    definition = average_drop.DEFINITIONS[name]
    masks = {("soft", None): "soft", ("threshold", 0.15): "threshold 0.15", ("threshold", 0.5): "threshold 0.5"}
    masks |= {("top_fraction", 0.5): "top half"}
    assert set(masks.values()) <= set(CHOICES["mask"])
    if (mask := masks.get((definition.mask, definition.value))) is None:
        pytest.skip("no set of conventions has this mask")
    use = Conventions(mask=mask, resampling=definition.resampling, score=definition.score)
    found, plain = other_layers.definition_of(use), {"fill": "black", "target": "predicted", "average": "all"}
    assert found == replace(definition, **plain, clip=True)
