"""Networks: the split ResNet-18 equals torchvision's, heads train, save and load."""

import copy

import numpy as np
import pytest
import torch

from qafs_utils import data, models
from qafs_utils.run import Run

NETWORK = models.resnet18("random")


@pytest.fixture(scope="module")
def pixels():
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_trunk_and_full_head_are_torchvisions_resnet(pixels):
    head = models.FullHead(NETWORK, n_classes=1000)
    head.classifier = NETWORK.fc
    ours = head.eval()(models.Trunk(NETWORK, "none")(pixels))
    torch.testing.assert_close(ours, NETWORK(pixels))


@pytest.mark.parametrize("normalisation", ["imagenet", "none"])
def test_full_network_is_trunk_and_full_head(pixels, normalisation):
    net = models.resnet18("random")
    before = models.fingerprint(net)
    trunk, head = models.Trunk(net, normalisation), models.build_head(512, "full", net, seed=3).eval()
    network = models.full_network(net, head)
    torch.testing.assert_close(network((pixels - trunk.mean) / trunk.std), head(trunk(pixels)))
    assert network.fc.out_features == 10 and not network.training and next(head.classifier.parameters()).requires_grad
    network.fc.weight.zero_()
    assert models.fingerprint(net) == before and head.classifier.weight.any()


def test_a_reduced_head_has_no_full_network():
    with pytest.raises(ValueError, match="only a FullHead .* got ReducedHead"):
        models.full_network(NETWORK, models.build_head(16, "paper", NETWORK))


def test_trunk_subtracts_imagenets_mean(pixels):
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in models.NORMALISATIONS["imagenet"])
    expected = models.Trunk(NETWORK, "none")((pixels - mean) / std)
    torch.testing.assert_close(models.Trunk(NETWORK, "imagenet")(pixels), expected)


def test_bfloat16_trunk_is_close(pixels):
    exact, fast = (models.Trunk(NETWORK, precision=p)(pixels) for p in ("float32", "bfloat16"))
    assert fast.dtype == torch.float32
    assert (exact - fast).norm() / exact.norm() < 0.02


def test_a_processor_without_bfloat16_rounds_to_it(pixels):
    trunk, exact = models.Trunk(NETWORK, precision="bfloat16"), models.Trunk(NETWORK)(pixels)
    x = (pixels - trunk.mean) / trunk.std

    def run(layers, context):
        with torch.no_grad(), context:
            return layers(x).float()

    found = {n: (run(trunk.layers[:n], torch.autocast("cpu", torch.bfloat16)), run(trunk.layers[:n], models._Rounded()))
             for n in (4, len(trunk.layers))}
    native, rounded = found[4]
    assert (rounded == native).float().mean() > 0.95  # sums in another order may round otherwise
    native, rounded = ((exact - part).norm() for part in found[len(trunk.layers)])
    assert 0.8 < rounded / native < 1.25
    assert all(torch.equal(part, part.bfloat16().float()) for pair in found.values() for part in pair)


@pytest.mark.parametrize("block, order", [("paper", ["conv", "bn", "relu"]), ("authors_code", ["conv", "relu", "bn"])])
def test_stages_come_in_the_blocks_order(block, order):
    seen = []

    def tap(name, maps):
        seen.append(name)
        return maps

    head = models.build_head(16, block, NETWORK, size=4)
    head(torch.rand(2, 256, 4, 4), tap)
    assert seen == order


def test_a_tap_can_replace_the_maps():
    head = models.build_head(16, "paper", NETWORK, size=4).eval()
    logits = head(torch.rand(2, 256, 4, 4), lambda name, maps: torch.zeros_like(maps) if name == "relu" else maps)
    torch.testing.assert_close(logits, head.classifier.bias.expand(2, 10))


@pytest.mark.parametrize("n, block", [(16, "paper"), (24, "authors_code"), (512, "full")])
def test_heads_learn_and_come_back_from_arrays(n, block):
    images, labels = data.synthetic(8)
    trunk = models.Trunk(NETWORK)
    features = models.trunk_features(trunk, images, 64)
    head = models.build_head(n, block, NETWORK, size=4, seed=1)
    model, inputs = (head.classifier, models.pooled(head, features)) if n == 512 else (head, features)
    history = models.train(model, inputs, labels, inputs, labels, epochs=8, learning_rate=1e-2, batch=16)
    assert [h["epoch"] for h in history] == list(range(1, 9))
    logits = models.predict(head, features)
    assert models.accuracy(logits, labels) == max(h["validation_accuracy"] for h in history) > 0.5
    arrays = {f"nf{n}_{block}_seed1/{k}": v for k, v in models.head_arrays(head).items()}
    assert not any("layer4" in k for k in arrays)
    again = models.trained_head(f"nf{n}_{block}_seed1", arrays, NETWORK, size=4)
    torch.testing.assert_close(models.predict(again, features), logits)
    with pytest.raises(ValueError, match="no trained head 'nf99_paper_seed0'"):
        models.trained_head("nf99_paper_seed0", arrays, NETWORK, size=4)
    with pytest.raises(ValueError, match="no trained head 'odd'"):
        models.trained_head("odd", {"odd/bias": np.zeros(2)}, NETWORK, size=4)
    with pytest.raises(ValueError, match="at least one epoch"):
        models.train(head, features, labels, features, labels, epochs=0)


def test_parameters_of_another_shape_are_refused():
    arrays = models.head_arrays(models.build_head(24, "paper", NETWORK, size=4))
    with pytest.raises(ValueError, match="do not fit ReducedHead"):
        models.load_head(models.build_head(16, "paper", NETWORK, size=4), arrays)


def test_initialisation_is_seeded():
    first, second, other = (models.build_head(16, "paper", NETWORK, seed=s).block.conv.weight for s in (0, 0, 1))
    assert torch.equal(first, second) and not torch.equal(first, other)


def test_scores_of_batches_equal_scores_at_once(pixels):
    trunk, head = models.Trunk(NETWORK), models.build_head(16, "paper", NETWORK, size=4).eval()
    together = models.scorer(trunk, head)(pixels)
    torch.testing.assert_close(models.score_all(trunk, head, pixels, batch=1), together)


@pytest.mark.parametrize("call, message", [
    (lambda: models.resnet18("vgg"), "unknown weights 'vgg'"),
    (lambda: models.Trunk(NETWORK, "zscore"), "unknown normalisation 'zscore'"),
    (lambda: models.Trunk(NETWORK, precision="bf16"), "unknown precision 'bf16'"),
    (lambda: models.build_head(16, "resnet", NETWORK), "unknown block 'resnet'"),
])
def test_unknown_options(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_gpu_gives_the_same_logits(pixels):
    head = models.build_head(16, "paper", NETWORK, size=4).eval()
    trunk = models.Trunk(NETWORK)
    expected = models.scorer(trunk, head)(pixels)
    device = models.pick_device("auto")
    found = models.scorer(trunk.to(device), head.to(device))(pixels).cpu()
    np.testing.assert_allclose(found, expected, atol=1e-3)


def perturbed(trunk, size):
    """A copy of a trunk with noise of that relative size on its convolutions."""
    trunk, generator = copy.deepcopy(trunk), torch.Generator().manual_seed(0)
    for w in trunk.parameters():
        w.data += size * w.std() * torch.randn(w.shape, generator=generator) if w.ndim == 4 else 0
    return trunk


def test_published_heads_go_with_torchvisions_weights_too(monkeypatch):
    """They were trained on a copy of these that differs by about 1e-5."""
    trunk = models.Trunk(NETWORK)
    saved = {"weights": models.fingerprint(trunk)}
    monkeypatch.setattr(models, "COPY", saved["weights"])
    monkeypatch.setattr(models, "IMAGENET_NORMS", [float(w.norm()) for w in trunk.parameters() if w.ndim == 4])
    models.require_trunk(perturbed(trunk, 1e-4), saved)
    with pytest.raises(data.DataError, match="not those the heads were trained on"):
        models.require_trunk(perturbed(trunk, 0.1), saved)
    monkeypatch.setattr(models, "COPY", "another")
    with pytest.raises(data.DataError, match="not those the heads were trained on"):
        models.require_trunk(perturbed(trunk, 1e-4), saved)


@pytest.mark.skipif(not models.weights_path().exists(), reason="no ImageNet weights")
def test_the_imagenet_trunk_is_known():
    saved = Run("tests", {"profile": "published"}).load("01_heads")
    assert str(saved["weights"]) == models.COPY
    trunk = models.Trunk(models.resnet18())
    models.require_trunk(trunk, saved)
    models.require_trunk(perturbed(trunk, 1e-4), saved)


def test_heads_of_another_trunk_are_refused():
    trunk = models.Trunk(NETWORK)
    models.require_trunk(trunk, {"weights": models.fingerprint(trunk)})
    with pytest.raises(data.DataError, match="not those the heads were trained on"):
        models.require_trunk(models.Trunk(models.resnet18("random", seed=1)), {"weights": models.fingerprint(trunk)})


def test_pixels_are_upsampled_into_the_unit_interval():
    images = np.zeros((2, 3, 96, 96), np.uint8)
    images[1] = 255
    pixels = models.to_pixels(images, 224)
    assert pixels.shape == (2, 3, 224, 224) and pixels[0].eq(0).all()
    torch.testing.assert_close(pixels[1], torch.ones(3, 224, 224))
