"""Metrics on cases worked out by hand, their invariants, and bad input."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from qafs_utils import metrics
from qafs_utils.metrics import DEFINITIONS, AverageDropDefinition

SOFT, HARD, TOP = (DEFINITIONS[name].masking for name in ("grad_cam_pp", "threshold_0.5", "top_half"))


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(4, 3, 6, 6, generator=generator), torch.rand(4, 6, 6, generator=generator)


def logits(*probabilities):
    """Logits whose softmax is the given rows of probabilities."""
    return np.log(np.array(probabilities))


def test_definitions_are_explicit_and_share_maskings():
    assert next(iter(DEFINITIONS)) == "grad_cam_pp" and len(DEFINITIONS) >= 5
    assert len(set(DEFINITIONS.values())) == len(DEFINITIONS)
    assert dataclasses.asdict(DEFINITIONS["grad_cam_pp"]) == {
        "mask": "soft", "value": None, "fill": "black", "score": "softmax",
        "target": "predicted", "average": "all", "ties": "keep",
    }  # fmt: skip
    assert DEFINITIONS["logit"].masking == DEFINITIONS["true_class"].masking == SOFT
    assert len({d.masking for d in DEFINITIONS.values()}) == 5
    assert AverageDropDefinition(ties="drop").masking == SOFT  # ties mean nothing to a soft mask


@pytest.mark.parametrize("wrong", [
    {"mask": "hard"}, {"fill": "white"}, {"score": "z"}, {"target": "top2"}, {"average": "some"},
    {"ties": "?"}, {"value": 0.5}, {"mask": "threshold"}, {"mask": "threshold", "value": 15},
    {"mask": "top_fraction", "value": -1},
])  # fmt: skip
def test_unknown_or_missing_choices_are_refused(wrong):
    with pytest.raises(ValueError):
        AverageDropDefinition(**wrong)


def test_masks_by_hand():
    heat = torch.tensor([[[0.0, 0.2], [0.5, 1.0]]])
    assert torch.equal(metrics.masks(heat, SOFT), heat)
    assert metrics.masks(heat, HARD).flatten().tolist() == [0, 0, 1, 1]
    assert metrics.masks(heat, AverageDropDefinition("threshold", 0.5, ties="drop").masking).sum() == 1
    assert metrics.masks(heat, TOP).flatten().tolist() == [0, 0, 1, 1]
    assert metrics.masks(heat, AverageDropDefinition("threshold", 0.0).masking).sum() == 3  # zeros never kept
    assert metrics.masks(heat, AverageDropDefinition("top_fraction", 0.0).masking).sum() == 0
    assert metrics.masks(heat, AverageDropDefinition("top_fraction", 1.0).masking).sum() == 3
    np.testing.assert_allclose(metrics.mask_area(heat, SOFT), [0.425])
    np.testing.assert_allclose(metrics.mask_area(heat, TOP), [0.5])
    np.testing.assert_allclose(metrics.mask_area(heat.numpy(), HARD), [0.5])


def test_ties_at_the_cut_of_a_top_fraction():
    heat = torch.tensor([[[0.3, 0.3], [0.3, 1.0]]])
    drop = AverageDropDefinition("top_fraction", 0.5, ties="drop").masking
    assert metrics.mask_area(heat, TOP).item() == 1 and metrics.mask_area(heat, drop).item() == 0.25
    mostly_zero = torch.tensor([[[0.0, 0.0], [0.0, 1.0]]])
    assert metrics.mask_area(mostly_zero, TOP).item() == 0.25  # fewer positive pixels than the fraction


@pytest.mark.parametrize("name", DEFINITIONS)
def test_all_ones_keeps_the_image_and_all_zeros_masks_it(batch, name):
    images, heat = batch
    masking = DEFINITIONS[name].masking
    assert torch.equal(metrics.apply_mask(images, torch.ones_like(heat), masking), images)
    assert metrics.mask_area(torch.ones_like(heat), masking).tolist() == [1] * 4
    blank = metrics.apply_mask(images, torch.zeros_like(heat), masking)
    expected = images.mean((2, 3), keepdim=True) if masking.fill == "mean" else torch.zeros(())
    torch.testing.assert_close(blank, expected.expand_as(images))


def test_apply_mask_fills(batch):
    images, heat = batch
    torch.testing.assert_close(metrics.apply_mask(images, heat, SOFT), images * heat[:, None])
    mean = DEFINITIONS["mean_fill"].masking
    fill = torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)
    expected = images * heat[:, None] + fill * (1 - heat[:, None])
    torch.testing.assert_close(metrics.apply_mask(images, heat, mean, (0.1, 0.2, 0.3)), expected)


def test_drops_by_hand():
    full = logits([0.8, 0.2], [0.4, 0.6], [0.5, 0.5], [0.9, 0.1])
    masked = logits([0.4, 0.6], [0.1, 0.9], [0.5, 0.5], [0.6, 0.4])
    labels = np.array([0, 0, 0, 1])
    np.testing.assert_allclose(metrics.drops(full, masked, labels), [50, 0, 0, 100 / 3])
    np.testing.assert_allclose(metrics.average_drop(full, masked, labels), (50 + 100 / 3) / 4)
    np.testing.assert_allclose(metrics.increases(full, masked, labels), [0, 100, 0, 0])
    assert metrics.average_increase(full, masked, labels) == 25
    true = DEFINITIONS["true_class"]
    np.testing.assert_allclose(metrics.drops(full, masked, labels, true), [50, 75, 0, 0])
    np.testing.assert_allclose(metrics.increases(full, masked, labels, true), [0, 0, 0, 100])
    correct = DEFINITIONS["correct_only"]
    np.testing.assert_allclose(metrics.drops(full, masked, labels, correct), [50, np.nan, 0, np.nan])
    assert metrics.average_drop(full, masked, labels, correct) == pytest.approx(25)
    assert metrics.average_increase(full, masked, labels, correct) == 0


def test_logit_drops_exclude_non_positive_scores_and_may_exceed_100():
    full = np.array([[2.0, 0.0], [-1.0, -3.0], [0.0, -1.0]])
    masked = np.array([[-1.0, 0.0], [-2.0, 0.0], [1.0, 0.0]])
    definition = DEFINITIONS["logit"]
    np.testing.assert_allclose(metrics.drops(full, masked, [0, 0, 0], definition), [150, np.nan, np.nan])
    np.testing.assert_allclose(metrics.increases(full, masked, [0, 0, 0], definition), [0, 0, 100])


def test_zero_score_is_excluded_not_infinite():
    full, masked = np.array([[0.0, 2000.0], [0.0, 0.0]]), np.zeros((2, 2))
    definition = DEFINITIONS["true_class"]
    np.testing.assert_allclose(metrics.drops(full, masked, [0, 0], definition), [np.nan, 0])
    assert np.isnan(metrics.average_drop(full[:1], masked[:1], [0], definition))


@pytest.mark.parametrize("name", DEFINITIONS)
def test_unchanged_logits_have_no_drop_and_no_increase(name):
    rng = np.random.default_rng(0)
    full, labels = rng.normal(1, 3, (50, 10)), rng.integers(0, 10, 50)
    labels[:5] = full[:5].argmax(1)
    assert metrics.average_drop(full, full, labels, DEFINITIONS[name]) == 0
    assert metrics.average_increase(full, full, labels, DEFINITIONS[name]) == 0
    values = metrics.drops(full, rng.normal(1, 3, (50, 10)), labels, DEFINITIONS[name])
    assert (values[~np.isnan(values)] >= 0).all()
    if DEFINITIONS[name].score == "softmax":
        assert (values[~np.isnan(values)] <= 100).all()


def test_by_class_of_a_class_without_values():
    values = np.array([1.0, 3.0, np.nan, 5.0, np.nan])
    np.testing.assert_allclose(metrics.by_class(values, [0, 0, 0, 2, 3], 4), [2, np.nan, 5, np.nan])


def test_pixel_sequence_and_area(batch):
    images, heat = batch
    insertion = list(metrics.pixel_sequence(images, heat, steps=4))
    deletion = list(metrics.pixel_sequence(images, heat, steps=4, mode="deletion"))
    assert len(insertion) == 5
    assert insertion[0].eq(0).all() and torch.equal(insertion[-1], images)
    for shown, hidden in zip(insertion, deletion, strict=True):
        torch.testing.assert_close(shown + hidden, images)
    threshold = heat.flatten(1).sort(1).values[:, -9]  # 9 of 36 pixels come first
    torch.testing.assert_close(insertion[1], images * (heat >= threshold[:, None, None])[:, None])
    np.testing.assert_allclose(metrics.area_under_curve([[0, 0.5, 1], [1, 1, 1]]), [0.5, 1])
    ties = list(metrics.pixel_sequence(images, torch.zeros_like(heat), steps=2))[1]
    assert (ties[:, :, :3] == 0).any() and (ties[:, :, 3:] != 0).any()  # not in raster order


def test_bhattacharyya_by_hand():
    selections = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 1, 1], [0, 0, 0]], bool)
    matrix = metrics.bhattacharyya_matrix(selections, np.array([0, 0, 1, 1, 2]), 4)
    # P_0 = (2/3, 1/3, 0), P_1 = (0, 1/3, 2/3); class 2 selects nothing, class 3 has no image
    expected = np.zeros((4, 4))
    expected[:2, :2] = [[1, 1 / 3], [1 / 3, 1]]
    np.testing.assert_allclose(matrix, expected)
    assert metrics.mean_off_diagonal(matrix) == pytest.approx(1 / 3)  # undefined classes are left out
    assert np.isnan(metrics.mean_off_diagonal(matrix[1:, 1:]))


def test_bhattacharyya_properties():
    rng = np.random.default_rng(0)
    selections, labels = rng.random((200, 16)) < 0.4, rng.integers(0, 10, 200)
    matrix = metrics.bhattacharyya_matrix(selections, labels, 10)
    np.testing.assert_allclose(np.diag(matrix), 1)
    np.testing.assert_allclose(matrix, matrix.T)
    assert matrix.min() >= 0 and matrix.max() <= 1 + 1e-12
    everything = metrics.bhattacharyya_matrix(np.ones((200, 16)), labels, 10)
    assert metrics.mean_off_diagonal(everything) == pytest.approx(1)
    disjoint = metrics.bhattacharyya_matrix(np.eye(10), np.arange(10), 10)
    assert metrics.mean_off_diagonal(disjoint) == 0


@pytest.mark.parametrize("method", ["BCa", "percentile"])
def test_bootstrap_interval_of_a_mean(method):
    values = np.random.default_rng(1).normal(5, 2, 400)
    low, high = metrics.bootstrap_interval(np.append(values, [np.nan] * 7), method=method)
    assert low < values.mean() < high
    assert (high - low) == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert (low, high) == metrics.bootstrap_interval(values, method=method)  # NaN ignored, seeded


def test_bootstrap_interval_of_degenerate_values():
    assert metrics.bootstrap_interval(np.full(20, 3.0)) == (3, 3)
    assert np.isnan(metrics.bootstrap_interval([1.0])).all()
    assert np.isnan(metrics.bootstrap_interval([np.nan, np.nan])).all()


def test_bootstrap_interval_over_images_of_a_matrix():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 50)
    selections = rng.random((200, 16)) < 0.4  # classes differ by noise only: the true overlap is 1

    def overlap(i):
        return metrics.mean_off_diagonal(metrics.bhattacharyya_matrix(selections[i], labels[i], 4))

    images, estimate = np.arange(200), overlap(slice(None))
    low, high = metrics.bootstrap_interval(images, overlap, n_resamples=500, method="basic")
    assert estimate < 1 and low < 1 < high + 0.005
    low, high = metrics.bootstrap_interval(images, overlap, n_resamples=500, method="percentile")
    assert low < high < estimate  # the bias of resampling


def test_bad_input_is_refused(batch):
    images, heat = batch
    full, nan = np.zeros((2, 3)), np.full((2, 3), np.nan)
    for call, message in (
        (lambda: metrics.masks(heat * 2, SOFT), r"in \[0, 1\]"),
        (lambda: metrics.masks(heat * float("nan"), HARD), "NaN"),
        (lambda: metrics.masks(heat[0], SOFT), r"\(B, H, W\)"),
        (lambda: metrics.apply_mask(images, heat[:2], SOFT), "images must be"),
        (lambda: metrics.drops(full, nan, [0, 0]), "logits hold NaN"),
        (lambda: metrics.drops(nan, full, [0, 0]), "logits hold NaN"),
        (lambda: metrics.drops(full, full[:1], [0, 0]), "expected logits"),
        (lambda: metrics.drops(full, full, [0]), "expected logits"),
        (lambda: metrics.drops(full, full, [0, 3]), "labels must lie"),
        (lambda: metrics.by_class([1.0], [0, 1], 2), "values and labels"),
        (lambda: next(metrics.pixel_sequence(images, heat, mode="up")), "unknown mode"),
        (lambda: next(metrics.pixel_sequence(images, heat[:, :2])), "images must be"),
        (lambda: metrics.area_under_curve([0.5]), "curve must be"),
        (lambda: metrics.area_under_curve([0.5, np.nan]), "curve must be"),
        (lambda: metrics.bhattacharyya_matrix(np.ones((2, 3)), [0], 2), "expected selections"),
        (lambda: metrics.bhattacharyya_matrix(np.full((2, 3), 2), [0, 1], 2), "bit-strings"),
        (lambda: metrics.bhattacharyya_matrix(np.full((2, 3), np.nan), [0, 1], 2), "bit-strings"),
        (lambda: metrics.bhattacharyya_matrix(np.ones((2, 3)), [0, 2], 2), "labels must lie"),
        (lambda: metrics.mean_off_diagonal(np.ones((2, 3))), "square"),
        (lambda: metrics.bootstrap_interval(np.ones((2, 3))), "indices"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_stratified_resamples_keep_the_classes():
    labels = np.array([0, 0, 1, 1, 1])
    for index in metrics.stratified_resamples(labels, 20):
        assert np.bincount(labels[index]).tolist() == [2, 3]


def test_bias_correction_by_hand():
    estimate, low, high = metrics.bias_corrected(1.0, np.linspace(0.5, 0.9, 401), confidence=0.5)
    assert estimate == pytest.approx(1.3) and (low, high) == pytest.approx((1.2, 1.4))


def test_cluster_interval_sees_clusters_not_images():
    clusters, values = np.repeat([0, 1], 500), np.repeat([0.0, 1.0], 500)
    low, high = metrics.cluster_interval(clusters, lambda i: values[i].mean(), 400)
    assert (low, high) == (0, 1)
    narrow = metrics.bootstrap_interval(values)
    assert narrow[1] - narrow[0] < 0.1


@pytest.mark.parametrize("name", ["grad_cam_pp", "threshold_0.5", "top_half"])
def test_match_area_gives_the_area_and_keeps_the_ranking(name):
    masking = metrics.DEFINITIONS[name].masking
    noise = torch.rand(5, 40, 40, generator=torch.Generator().manual_seed(0))
    area = torch.tensor([0.0, 0.02, 0.17, 0.4, 0.5])
    matched = metrics.match_area(noise, area, masking)
    tolerance = 1e-5 if masking.mask == "soft" else 1 / 1600
    np.testing.assert_allclose(metrics.mask_area(matched, masking), area, atol=tolerance)
    assert not matched[0].any()
    order = noise[2].flatten().argsort()
    assert (matched[2].flatten()[order].diff() >= 0).all()


@pytest.mark.parametrize("area", [[0.5, np.nan], [0.5, 1.2], [0.5]])
def test_match_area_refuses(area):
    with pytest.raises(ValueError, match="area must be"):
        metrics.match_area(torch.rand(2, 4, 4), area, metrics.DEFINITIONS["grad_cam_pp"].masking)


def test_subsets_against_enumeration():
    rng = np.random.default_rng(0)
    added, bias, target = rng.normal(size=(3, 5, 4)), rng.normal(size=4), np.array([0, 3, 1])
    for b in range(3):
        by_size = {k: [] for k in range(6)}
        for bits in itertools.product((0, 1), repeat=5):
            logits = np.array(bits) @ added[b] + bias
            by_size[sum(bits)].append(np.exp(logits[target[b]]) / np.exp(logits).sum())
        kept = metrics.best_subset_scores(added, bias, target)[b]
        removed = metrics.best_subset_scores(added, bias, target, keep=False)[b]
        np.testing.assert_allclose(kept, [max(by_size[k]) for k in range(6)])
        np.testing.assert_allclose(removed, [min(by_size[5 - k]) for k in range(6)])
    nothing = metrics.subset_scores(added, bias, target, np.zeros((3, 5), bool))
    np.testing.assert_allclose(nothing, (np.exp(bias) / np.exp(bias).sum())[target])


@pytest.mark.parametrize("change", [
    {"kept": np.full((2, 3), 2)}, {"bias": np.ones(3)}, {"contributions": np.full((2, 3, 4), np.nan)},
    {"target": [0]}, {"target": [0, 4]}, {"target": [-1, 0]},
])
def test_subset_scores_refuse(change):
    arguments = {"contributions": np.ones((2, 3, 4)), "bias": np.ones(4), "target": [0, 1], "kept": np.ones((2, 3))}
    with pytest.raises(ValueError):
        metrics.subset_scores(**arguments | change)


def test_exhaustive_search_takes_one_target_an_image():
    with pytest.raises(ValueError, match="zip"):
        metrics.best_subset_scores(np.ones((3, 2, 2)), np.ones(2), [0])


def test_exhaustive_search_is_refused_beyond_twenty_maps():
    with pytest.raises(ValueError, match="at most 20"):
        metrics.best_subset_scores(np.ones((1, 21, 2)), np.ones(2), [0])
