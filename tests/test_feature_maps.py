"""Candidates and redundancies worked out by hand, and bad input."""

import numpy as np
import pytest
import torch

from qafs_utils.cnn import feature_maps


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


def test_contributions_refuse_a_foreign_classifier():
    with pytest.raises(ValueError, match="to go with maps"):
        feature_maps.contributions(np.ones((2, 3, 4, 4)), np.ones((10, 5)))


@pytest.mark.parametrize("scale", [1e-310, 1e-200, 1e-4, 1e200, 1e307])
def test_cosines_neither_overflow_nor_vanish(scale):
    maps = np.random.default_rng(0).uniform(0.5, 1, size=(5, 7, 7))
    scales = np.array([1, scale, 1, scale, scale])[:, None, None]
    np.testing.assert_allclose(feature_maps.cosine_matrix(maps * scales), feature_maps.cosine_matrix(maps), rtol=1e-9)


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float16, np.float32, bool, list, tuple, torch.tensor, iter])
def test_maps_of_any_kind(kind):
    maps = np.array([[[200, 1], [3, 250]], [[255, 0], [1, 100]], [[0, 0], [7, 7]]])
    given = maps.astype(kind) if isinstance(kind, type) and kind not in (list, tuple) else kind(maps.tolist())
    asked = np.asarray(given, dtype=float) if kind in (np.float16, bool) else maps.astype(float)
    flat = asked.reshape(3, 4) / np.linalg.norm(asked.reshape(3, 4), axis=1, keepdims=True)
    np.testing.assert_allclose(feature_maps.cosine_matrix(given), flat @ flat.T, rtol=1e-12)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, torch.half, torch.float32, list])
def test_importance_is_the_mean_over_pixels(kind):
    gradients = np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype(np.float16)
    if isinstance(kind, torch.dtype):
        given = torch.tensor(gradients, dtype=kind)
    else:
        given = gradients.tolist() if kind is list else gradients.astype(kind)
    found = feature_maps.importance(given)
    assert isinstance(found, torch.Tensor) == isinstance(given, torch.Tensor)
    np.testing.assert_allclose(np.asarray(found), gradients.astype(float).mean((2, 3)), rtol=1e-5, atol=1e-6)


ODD = [None, "maps", 1.0, [[1, 2]], np.zeros((2, 3, 4), str), np.full((1, 2, 3, 3), np.inf), np.zeros((1, 2, 0, 3))]


@pytest.mark.parametrize("maps", ODD, ids=str)
def test_what_are_no_maps_is_refused_by_name(maps):
    for call, name in (
        (lambda: feature_maps.importance(maps), "gradients"),
        (lambda: feature_maps.contributions(maps, np.ones((2, 2))), "maps"),
    ):
        with pytest.raises(ValueError, match=name):
            call()


@pytest.mark.parametrize("weight", [None, np.ones(3), [[1, "a", 2]], np.full((2, 3), np.nan)], ids=str)
def test_what_is_no_classifier_is_refused_by_name(weight):
    with pytest.raises(ValueError, match="weight"):
        feature_maps.contributions(np.ones((2, 3, 4, 4)), weight)


@pytest.mark.parametrize("importance", [None, "abc", 1.0, [[1.0]], [np.inf], [1, None]], ids=str)
def test_what_is_no_importance_is_refused_by_name(importance):
    with pytest.raises(ValueError, match="importance"):
        feature_maps.candidates(importance)


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda: feature_maps.importance(np.full((1, 2, 2), 3e38, np.float32)), "importance"),
        (lambda: feature_maps.importance(torch.full((1, 2, 2), 3e38)), "importance"),
        (lambda: feature_maps.contributions(np.full((1, 1, 2, 2), 1e200), np.full((1, 4), 1e200)), "contributions"),
        (lambda: feature_maps.contributions(np.full((1, 1, 2, 2), 1e200), np.full((1, 1), 1e200)), "contributions"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_results_too_large_for_floats_are_refused(call, name):
    with pytest.raises(ValueError, match=f"^{name} must be finite, got .* too large"):
        call()
