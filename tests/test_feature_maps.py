"""Maps, importances and redundancies against hand-computed cases and captum."""

import time

import numpy as np
import pytest
import torch

from qafs_utils import feature_maps, metrics, models

NETWORK = models.resnet18("random")
FEATURES = torch.rand(3, 256, 4, 4, generator=torch.Generator().manual_seed(0))


def head_of(n=16, block="paper"):
    return models.build_head(n, block, NETWORK, size=4, seed=3).eval().requires_grad_(False)


def test_importance_after_the_block_is_the_mean_classifier_weight():
    head = head_of()
    _, gradients, logits = feature_maps.capture(head, FEATURES)
    weight = head.classifier.weight.view(10, 16, 4, 4).mean((2, 3))
    torch.testing.assert_close(feature_maps.importance(gradients), weight[logits.argmax(1)])


def test_importance_of_the_full_model_is_the_classifier_weight_over_the_area():
    head = head_of(512, "full")
    maps, gradients, logits = feature_maps.capture(head, FEATURES)
    assert maps.shape == (3, 512, 2, 2) and (maps >= 0).all()
    torch.testing.assert_close(feature_maps.importance(gradients), head.classifier.weight[logits.argmax(1)] / 4)


@pytest.mark.parametrize("stage", ["conv", "bn", "relu"])
@pytest.mark.parametrize("block", ["paper", "authors_code"])
def test_gradients_equal_captums(block, stage):
    attr = pytest.importorskip("captum.attr")
    head = head_of(block=block)
    maps, gradients, logits = feature_maps.capture(head, FEATURES, stage)
    for parameter in head.parameters():
        parameter.requires_grad_()
    layer = getattr(head.block, stage)
    theirs = attr.LayerGradientXActivation(head, layer).attribute(FEATURES, logits.argmax(1))
    torch.testing.assert_close(maps * gradients, theirs.detach())


def test_another_class_can_be_explained():
    head = head_of()
    _, gradients, _ = feature_maps.capture(head, FEATURES, class_index=[7, 7, 2])
    weight = head.classifier.weight.view(10, 16, 4, 4)
    torch.testing.assert_close(gradients, weight[[7, 7, 2]])


def test_batches_do_not_matter():
    head = head_of()
    for one, all_at_once in zip(feature_maps.capture(head, FEATURES, batch=1), feature_maps.capture(head, FEATURES)):
        torch.testing.assert_close(one, all_at_once)


def test_nan_features_and_unknown_target():
    with pytest.raises(ValueError, match="NaN or infinite"):
        feature_maps.capture(head_of(), FEATURES * torch.nan)
    with pytest.raises(ValueError, match="unknown gradient target 'layer3'"):
        feature_maps.capture(head_of(), FEATURES, "layer3")


def test_candidates():
    assert feature_maps.candidates([0.5, -1, 0, 2]).tolist() == [0, 3]
    with pytest.raises(feature_maps.NoPositiveMapError, match="no feature map has a positive importance"):
        feature_maps.candidates([-1.0, 0.0])
    with pytest.raises(ValueError, match="NaN"):
        feature_maps.candidates([np.nan, 1.0])


def test_cosine_matrix_by_hand():
    maps = np.array([[[1, 0], [0, 0]], [[1, 1], [0, 0]], [[0, 0], [0, -2]], [[0, 0], [0, 0]]], dtype=float)
    half = 1 / np.sqrt(2)
    expected = [[1, half, 0, 0], [half, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(feature_maps.cosine_matrix(maps), expected, atol=1e-12)
    np.testing.assert_allclose(feature_maps.cosine_matrix(-maps), expected, atol=1e-12)
    assert feature_maps.cosine_matrix(np.stack([maps, maps])).shape == (2, 4, 4)


def test_cosine_matrix_does_not_depend_on_scale():
    maps = np.random.default_rng(0).normal(size=(5, 7, 7))
    np.testing.assert_allclose(feature_maps.cosine_matrix(maps * 1e-4), feature_maps.cosine_matrix(maps))


@pytest.mark.parametrize("maps, message", [(np.ones((3, 4)), "must be"), (np.full((2, 3, 3), np.nan), "NaN")])
def test_cosine_matrix_refuses(maps, message):
    with pytest.raises(ValueError, match=message):
        feature_maps.cosine_matrix(maps)


def test_grad_cam_costs_at_most_1_2_forward_passes():
    trunk, head = models.Trunk(NETWORK), models.build_head(16, "paper", NETWORK).eval().requires_grad_(False)
    pixels, best = torch.rand(8, 3, 224, 224), {}
    calls = {"forward": lambda: models.scorer(trunk, head)(pixels),
             "grad_cam": lambda: feature_maps.capture(head, trunk(pixels))}
    for _ in range(6):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            best[name] = min(best.get(name, np.inf), time.perf_counter() - start)
    assert best["grad_cam"] <= 1.2 * best["forward"]


@pytest.mark.parametrize("n", [16, 512])
def test_contributions_are_what_zeroing_maps_takes_away(n):
    """Keeping a subset: bias plus contributions equals the head run again with the other maps set to zero."""
    head = models.build_head(n, "paper", models.resnet18("random"), size=4).eval()
    features = torch.rand(3, 256, 4, 4, generator=torch.Generator().manual_seed(0))
    maps, _, logits = feature_maps.capture(head, features)
    added = feature_maps.contributions(maps.numpy(), head.classifier.weight.detach().numpy())
    bias = head.classifier.bias.detach().numpy()
    np.testing.assert_allclose(added.sum(1) + bias, logits, atol=1e-4)
    kept = np.random.default_rng(0).random((3, n)) < 0.3
    mask = torch.as_tensor(kept)[:, :, None, None]
    with torch.no_grad():
        again = head(features, lambda name, m: m * mask if name == head.stages[-1] else m)
    np.testing.assert_allclose(np.einsum("bn,bnc->bc", kept, added) + bias, again, atol=1e-4)
    scores = metrics.subset_scores(added, bias, np.array([0, 1, 2]), kept)
    np.testing.assert_allclose(scores, again.softmax(1)[range(3), range(3)], atol=1e-5)


def test_contributions_refuse_a_foreign_classifier():
    with pytest.raises(ValueError, match="to go with maps"):
        feature_maps.contributions(np.ones((2, 3, 4, 4)), np.ones((10, 5)))
