"""The explanation map of one image, against the batched ones of PyTorch."""

import numpy as np
import pytest
import torch

from qafs_utils.explanations import cams, explanation_map

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("relu", ["relu of sum", "sum of relus"])
def test_the_map_of_a_selection_is_that_of_a_batch_of_one(relu):
    maps, alpha = RNG.normal(size=(9, 5, 4)).astype(np.float32), RNG.normal(size=9).astype(np.float32)
    for selected in (RNG.random(9) < 0.5, np.zeros(9, bool)):
        found = explanation_map.of_selection(maps, alpha, selected, relu=relu)
        theirs = cams.grad_cam(torch.tensor(maps)[None], alpha[None], selected[None], relu=relu)[0].numpy()
        assert np.allclose(found, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("resampling", ["float", "8 bit"])
@pytest.mark.parametrize("shape", [(7, 7), (14, 14), (3, 5), (1, 1), (40, 40)])
@pytest.mark.parametrize("size", [16, 33, 224])
def test_the_heatmap_is_that_of_a_batch_of_one(resampling, shape, size):
    for cam in (RNG.normal(size=shape), np.ones(shape), np.zeros(shape), 1 + 1e-9 * RNG.random(shape)):
        found = explanation_map.heatmap(cam, size, resampling=resampling)
        theirs = cams.heatmap(torch.tensor(cam).float()[None], size, resampling=resampling)[0].numpy()
        assert found.shape == (size, size) and found.dtype == np.float32
        assert np.allclose(found, theirs, atol=2e-6)


@pytest.mark.parametrize("cam", [np.zeros((0, 3)), [[np.nan]], [1.0, 2.0], [[1j]]])
def test_what_is_no_explanation_map_is_refused(cam):
    with pytest.raises(ValueError, match="explanation map"):
        explanation_map.heatmap(cam, 8)
