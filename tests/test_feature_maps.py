"""Candidates and redundancies worked out by hand, and bad input."""

import numpy as np
import pytest

from qafs_utils import feature_maps


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
