"""One forward pass of any network that averages its last maps, and what is asked of it."""

import numpy as np
import pytest
import torch

from qafs_utils.cnn import extraction
from qafs_utils.cnn.feature_maps import importance
from qafs_utils.explanations import other_networks
from qafs_utils.qubo.feature_selection import Problem

torch.manual_seed(0)
LAYERS = torch.nn.Conv2d(3, 6, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
NETWORK = torch.nn.Sequential(*LAYERS, torch.nn.Linear(6, 5)).eval()
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 8), dtype=np.uint8)
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.2)


def test_one_pass_gives_what_the_gradients_give():
    answers = other_networks.ask(NETWORK, "1", IMAGES, MEAN, STD, batch=2)
    mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in (MEAN, STD))
    pixels = (torch.as_tensor(IMAGES).float() / 255 - mean) / std
    maps, gradients, logits = extraction.capture_layer(NETWORK, "1", pixels)
    assert torch.allclose(answers.maps, maps) and np.allclose(answers.logits, logits, atol=1e-6)
    assert np.allclose(answers.importance, importance(gradients), atol=1e-7)
    classifier = answers.classifier([1, 3])
    assert np.allclose(classifier.logits, logits[[1, 3]], atol=1e-6)
    assert classifier.target.tolist() == logits[[1, 3]].argmax(1).tolist()


def test_each_image_passes_once():
    passed = []
    handle = NETWORK[0].register_forward_hook(lambda _, given, __: passed.append(len(given[0])))
    other_networks.ask(NETWORK, "1", IMAGES, MEAN, STD, batch=2)
    handle.remove()
    assert passed == [2, 2, 1]


def test_maps_that_are_not_averaged_are_refused():
    with pytest.raises(ValueError, match="not those of the averaged maps of '0': name the last maps"):
        other_networks.ask(NETWORK, "0", IMAGES, MEAN, STD)


def test_the_structure_of_cosines():
    """Two equal maps, one at a right angle, and one that is 0."""
    J = np.array([[1.0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]])
    (row,) = other_networks.structure([Problem(range(4), -np.ones(4), J, 4)]).to_dict("records")
    assert row["d"] == 4 and row["zero"] == 1 and row["rank"] == 2
    assert row["mean_cosine"] == pytest.approx(1 / 3) and row["effective_rank"] == pytest.approx(9 / 5)
    assert row["least_eigenvalue"] == pytest.approx(0, abs=1e-12)
