"""The authors' recipe against PyTorch itself: a frozen trunk in training mode, a fixed order, the last epoch."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from qafs_utils.cnn import datasets, networks, preprocessing, pretrained, training
from qafs_utils.conventions import AUTHORS, HEADLINE

NETWORK = pretrained.resnet18("random")


def images_of(count):
    images, labels = datasets.synthetic(-(-count // 10), size=32)
    order = np.random.default_rng(0).permutation(len(images))[:count]
    return images[order], torch.as_tensor(labels[order])


@pytest.mark.parametrize("count, epochs", [(20, 1), (20, 2), (19, 3), (23, 3)])  # batches of 10, the last one smaller
def test_one_pass_in_training_mode_is_every_epoch(count, epochs):
    images, _ = images_of(count)
    trunk = networks.Trunk(NETWORK, "none")
    before = pretrained.fingerprint(trunk)
    features, drifted = networks.training_mode_features(trunk, images, 64, epochs=epochs, batch=10)
    assert pretrained.fingerprint(trunk) == before
    assert not any(module.training for module in [*trunk.modules(), *drifted.modules()])

    layers, pixels = copy.deepcopy(trunk.layers).train(), preprocessing.to_pixels(images, 64)
    for _ in range(epochs):
        with torch.no_grad():
            epoch = torch.cat([layers(part) for part in pixels.split(10)])
        torch.testing.assert_close(features.float(), epoch, rtol=1e-3, atol=1e-4)  # held in half precision
    found, wanted = drifted.layers.state_dict(), layers.state_dict()
    assert found.keys() == wanted.keys()
    for name in wanted:
        torch.testing.assert_close(found[name], wanted[name], rtol=2e-5, atol=1e-6)
    torch.testing.assert_close(drifted(pixels), layers.eval()(pixels), rtol=1e-4, atol=1e-4)


def test_the_drift_forgets_the_start_and_more_epochs_change_nothing():
    images, _ = images_of(20)
    few, many = (
        networks.training_mode_features(networks.Trunk(NETWORK), images, 64, epochs=n, batch=2)[1] for n in (50, 5000)
    )
    mean, variance = (getattr(many.layers[1], f"running_{name}") for name in ("mean", "var"))
    torch.testing.assert_close(few.layers[1].running_mean, mean)
    with torch.no_grad():
        x = many.layers[0]((preprocessing.to_pixels(images, 64) - many.mean) / many.std)
    batches = [(part.mean((0, 2, 3)), part.var((0, 2, 3))) for part in x.split(2)]
    weights = 0.9 ** torch.arange(9.0, -1.0, -1.0)
    for value, parts in zip((mean, variance), zip(*batches)):
        wanted = (weights[:, None] * torch.stack(parts)).sum(0) / weights.sum()
        torch.testing.assert_close(value, wanted, rtol=1e-4, atol=1e-5)


def test_a_batch_of_one_value_a_channel_has_no_variance():
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        networks.training_mode_features(networks.Trunk(NETWORK), images_of(3)[0], 16, batch=2)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"images": np.zeros((0, 3, 8, 8), np.uint8)}, "there are no images"),
        ({"trunk": NETWORK}, "trunk must be a networks.Trunk"),
        ({"trunk": networks.Trunk(pretrained.resnet18("random")).train()}, "the trunk is in training mode"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    arguments = {"trunk": networks.Trunk(NETWORK), "images": images_of(4)[0], "size": 32} | change
    with pytest.raises(ValueError, match=message):
        networks.training_mode_features(**arguments)


def by_hand(head, features, labels, epochs, rate, batch):
    """Adam over the images in their order, the last epoch: a loop of its own."""
    optimiser, losses = torch.optim.Adam(head.parameters(), lr=rate), []
    for _ in range(epochs):
        head.train()
        losses.append(0.0)
        for start in range(0, len(labels), batch):
            part = slice(start, start + batch)
            loss = F.cross_entropy(head(features[part]), labels[part])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses[-1] += loss.item() * len(labels[part]) / len(labels)
    return losses


@pytest.mark.parametrize("block", ["paper", "authors_code"])
def test_fixed_order_and_last_epoch_are_a_plain_loop(block):
    images, labels = images_of(40)
    features = networks.trunk_features(networks.Trunk(NETWORK), images, 32).float()
    head = networks.build_head(4, block, None, size=2, seed=3)
    other = copy.deepcopy(head)
    recipe = {"order": AUTHORS.order, "epoch": AUTHORS.epoch, "learning_rate": 0.02}
    history = training.train(head, features, labels, features, labels, epochs=5, batch=16, **recipe)
    losses = by_hand(other, features, labels, 5, 0.02, 16)
    np.testing.assert_allclose([epoch["loss"] for epoch in history], losses, rtol=1e-5)
    for name, value in other.state_dict().items():
        torch.testing.assert_close(head.state_dict()[name], value)
    assert training.accuracy(training.predict(head, features), labels) == history[-1]["validation_accuracy"]


def test_the_last_epoch_is_kept_where_the_best_was_earlier():
    features, labels = torch.randn(40, 6, generator=torch.Generator().manual_seed(1)), torch.arange(40) % 2
    kept = {}
    for epoch in ("best", "last"):
        torch.manual_seed(0)
        model = torch.nn.Linear(6, 2)
        history = training.train(model, features, labels, features, labels, epochs=30, learning_rate=0.5, epoch=epoch)
        scores = [epoch["validation_accuracy"] for epoch in history]
        kept[epoch] = training.accuracy(training.predict(model.eval(), features), labels)
    assert scores[-1] < max(scores)
    assert kept == {"best": max(scores), "last": scores[-1]}


def test_defaults_are_the_headlines():
    features, labels = torch.randn(20, 6, generator=torch.Generator().manual_seed(1)), torch.arange(20) % 2
    weights = []
    for settings in ({}, {name: getattr(HEADLINE, name) for name in ("order", "epoch", "learning_rate")}):
        torch.manual_seed(0)
        model = torch.nn.Linear(6, 2)
        training.train(model, features, labels, features, labels, epochs=4, batch=8, **settings)
        weights.append(model.weight)
    assert torch.equal(*weights)


@pytest.mark.parametrize("choice", ["order", "epoch"])
def test_unknown_choices_are_named(choice):
    features, labels = torch.zeros(2, 3), [0, 1]
    with pytest.raises(ValueError, match=f"unknown {choice} 'first'"):
        training.train(torch.nn.Linear(3, 2), features, labels, features, labels, **{choice: "first"})


@pytest.mark.parametrize("n", [15, 240, 4999, 5000])
def test_the_authors_split_is_disjoint_and_complete(n):
    parts = datasets.authors_split(n, seed=2)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(n)) and all(len(part) for part in parts)
    assert [len(part) / n for part in parts] == pytest.approx([0.63, 0.3, 0.07], abs=1.5 / n)
    assert not np.array_equal(parts[0], np.sort(parts[0]))
    for same, other, part in zip(datasets.authors_split(n, seed=2), datasets.authors_split(n, seed=3), parts):
        assert np.array_equal(same, part) and not np.array_equal(other, part)


def test_the_authors_split_needs_images():
    with pytest.raises(ValueError, match="n must be a whole number of at least 15, got 14"):
        datasets.authors_split(14, seed=0)


def test_a_class_may_give_fewer_images():
    labels = np.repeat(np.arange(10), 3)
    eligible = np.arange(30) % 3 > (labels == 4)  # two of each class, one of class 4
    drawn = datasets.draw_per_class(eligible, labels, 2, seed=0, fewer=True)
    assert np.bincount(labels[drawn]).tolist() == [2] * 4 + [1] + [2] * 5 and eligible[drawn].all()
    with pytest.raises(ValueError, match="class deer: only 1 eligible images, 2 wanted"):
        datasets.draw_per_class(eligible, labels, 2, seed=0)
