"""Networks: the split ResNet-18 equals torchvision's, heads train, save and load."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision

from qafs_utils import data, models
from qafs_utils.run import Artefacts

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
    with pytest.raises(ValueError, match="epochs must be a whole number of at least 1, got 0"):
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
    saved = Artefacts("published").load("01_heads")
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


def trained_pair():
    return models.Trunk(models.resnet18("random")), models.build_head(16, "paper", NETWORK, size=4)


@pytest.mark.parametrize("name, call", [
    ("model", lambda trunk, head: models.predict(head, torch.rand(2, 256, 4, 4))),
    ("head", lambda trunk, head: models.scorer(trunk, head)),
    ("head", lambda trunk, head: models.score_all(trunk, head, torch.rand(1, 3, 64, 64))),
])
def test_training_mode_is_refused_and_left_alone(name, call):
    trunk, head = trained_pair()
    call(trunk, head)
    head.block.bn.train()
    before = copy.deepcopy(head.state_dict())
    with pytest.raises(ValueError, match=f"the {name} is in training mode"):
        call(trunk, head)
    assert head.block.bn.training and all(torch.equal(before[key], value) for key, value in head.state_dict().items())


def test_a_network_put_in_training_mode_later_is_refused(pixels):
    trunk, head = trained_pair()
    score = models.scorer(trunk, head)
    score(pixels)
    head.train()
    with pytest.raises(ValueError, match="the head is in training mode"):
        score(pixels)
    head.eval(), trunk.layers[1].train()
    statistics = trunk.layers[1].running_mean.clone()
    with pytest.raises(ValueError, match="the trunk is in training mode"):
        score(pixels)
    assert torch.equal(statistics, trunk.layers[1].running_mean)


@pytest.mark.parametrize("make", [models.Trunk, models.FullHead, lambda net: models.full_network(net, FULL)])
def test_a_resnet_in_training_mode_or_of_another_kind_is_refused(make):
    net = models.resnet18("random")
    net.layer4[0].bn1.train()
    with pytest.raises(ValueError, match="the net is in training mode"):
        make(net)
    assert net.layer4[0].bn1.training
    for other in (torchvision.models.resnet34(), torch.nn.Linear(2, 2), None):
        with pytest.raises(ValueError, match="net must be a ResNet-18"):
            make(other)


FULL = models.FullHead(NETWORK)


def test_pooled_maps_of_a_head_in_training_mode_or_another_head():
    head = models.FullHead(models.resnet18("random"))
    assert models.pooled(head, torch.rand(2, 256, 2, 2)).shape == (2, 512)
    head.layer4[1].bn2.train()
    statistics = head.layer4[1].bn2.running_mean.clone()
    with pytest.raises(ValueError, match="the head is in training mode"):
        models.pooled(head, torch.rand(2, 256, 2, 2))
    assert torch.equal(statistics, head.layer4[1].bn2.running_mean)
    with pytest.raises(ValueError, match="only a FullHead"):
        models.pooled(models.ReducedHead(4), torch.rand(2, 256, 2, 2))


@pytest.mark.parametrize("change, message", [
    ({"labels": [0, 1]}, r"labels must be \(N,\) = \(4,\)"), ({"labels": [0, 1, 0, 2]}, "labels must be whole numbers"),
    ({"labels": [0, 1, 0.5, 1]}, "labels must be whole"), ({"validation_labels": [0]}, "validation_labels must be"),
    ({"features": torch.full((4, 4), torch.nan)}, "features must be finite, got NaN or infinite values"),
    ({"features": torch.rand(4, 3)}, r"features \(1, 3\) do not fit Linear"),
    ({"features": torch.empty(0, 4), "labels": []}, r"features must be \(N, ...\) of at least one image"),
    ({"validation_features": torch.empty(0, 4), "validation_labels": []}, "validation_features must be"),
    ({"epochs": 1.5}, "epochs must be"), ({"learning_rate": 0}, "learning_rate must be"), ({"batch": 0}, "batch must"),
    ({"learning_rate": torch.nan}, "learning_rate must be"), ({"seed": "one"}, "seed must be"),
    ({"model": torch.nn.Linear(4, 1)}, "one for each class"), ({"model": FULL}, "only the classifier is trained"),
    ({"model": torch.nn.Linear(4, 2).requires_grad_(False)}, r"the model is frozen: call model.requires_grad_\(\)"),
])
def test_training_refuses_what_does_not_fit_and_changes_nothing(change, message):
    arguments = {"model": torch.nn.Linear(4, 2), "features": torch.eye(4), "labels": [0, 1, 0, 1], "epochs": 2}
    arguments |= {"validation_features": torch.eye(4), "validation_labels": [0, 1, 0, 1]} | change
    before = copy.deepcopy(arguments["model"].state_dict())
    with pytest.raises(ValueError, match=message):
        models.train(**arguments)
    assert all(torch.equal(before[key], value) for key, value in arguments["model"].state_dict().items())


def test_training_goes_on_where_it_ended():
    model, labels = torch.nn.Linear(4, 2), np.array([0, 1, 0, 1], np.uint8)
    models.train(model, torch.eye(4), labels, torch.eye(4), labels, epochs=5, learning_rate=0.1)
    loss = torch.nn.functional.cross_entropy(model(torch.eye(4)), torch.as_tensor(labels).long())
    again = models.train(model, torch.eye(4), labels, torch.eye(4), labels, epochs=5)
    assert again[0]["loss"] == pytest.approx(loss.item()) and len(again) == 5 and not model.training
    frozen = copy.deepcopy(model).requires_grad_(False)
    models.train(frozen.requires_grad_(), torch.eye(4), labels, torch.eye(4), labels, epochs=1)


def test_a_loss_that_is_not_finite_keeps_the_best_epoch():
    model = torch.nn.Linear(2, 2)
    before = copy.deepcopy(model.state_dict())
    far = torch.full((4, 2), 3e38)
    with pytest.raises(ValueError, match="the loss of epoch 1, with a learning_rate of 1e[+]30, must be a finite"):
        models.train(model, far, [0, 1, 0, 1], far, [0, 1, 0, 1], learning_rate=1e30, batch=1)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items()) and not model.training


@pytest.mark.parametrize("call, message", [
    (lambda: models.accuracy(torch.zeros(3, 2), [0]), r"labels must be \(N,\) = \(3,\)"),
    (lambda: models.accuracy(torch.zeros(2, 2), [0, 2]), "labels must be whole numbers from 0 to 1"),
    (lambda: models.accuracy(torch.full((2, 2), torch.nan), [0, 0]), "logits must be finite, got NaN"),
    (lambda: models.accuracy(torch.zeros(0, 2), []), "no images"),
    (lambda: models.predict(torch.nn.Linear(2, 2).eval(), torch.full((1, 2), torch.inf)), "logits must be finite"),
    (lambda: models.predict(torch.nn.Linear(2, 2).eval(), torch.rand(0, 2)), "at least one image"),
    (lambda: models.predict(torch.nn.Linear(2, 2).eval(), torch.rand(3, 5)), "do not fit Linear"),
    (lambda: models.predict("head", torch.rand(3, 5)), "the model must be a torch.nn.Module"),
    (lambda: models.to_pixels(np.zeros((1, 3, 4, 4))), "images must be uint8 from 0 to 255, got torch.float64"),
    (lambda: models.to_pixels(np.zeros((3, 4, 4), np.uint8)), r"images must be \(B, C, h, w\)"),
    (lambda: models.to_pixels(np.zeros((1, 3, 4, 4), np.uint8), "64"), "size must be a whole number"),
    (lambda: models.trunk_features(TRUNK, np.zeros((0, 3, 4, 4), np.uint8)), "no images"),
    (lambda: models.trunk_features(TRUNK, np.zeros((1, 3, 4, 4))), "images must be uint8"),
    (lambda: TRUNK(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)), "pixels must be pixels in .* got torch.uint8"),
    (lambda: TRUNK(torch.full((1, 3, 32, 32), 200.0)), "pixels must lie in"),
    (lambda: TRUNK(torch.full((1, 3, 32, 32), torch.nan)), "pixels must be finite, got NaN"),
    (lambda: TRUNK(torch.rand(3, 32, 32)), r"pixels must be \(B, C, H, W\)"),
    (lambda: TRUNK(torch.rand(1, 1, 32, 32)), r"pixels must be \(B, C, H, W\) = \(B, 3, H, W\)"),
    (lambda: models.build_head(0, "paper", None), "n_features must be a whole number"),
    (lambda: models.build_head(16, "paper", None, seed=None), "seed must be"),
    (lambda: models.build_head(512, "full", None), "net must be a ResNet-18"),
    (lambda: models.ReducedHead(4, size=2.5), "size must be a whole number"),
    (lambda: models.pick_device("gpu"), "there is no device 'gpu': choose 'auto' or 'cpu'"),
    (lambda: models.pick_device(3.5), "there is no device 3.5"),
    (lambda: models.checksums("vgg"), "unknown weights 'vgg'"),
    (lambda: models.resnet18("random", seed="a"), "seed must be"),
    (lambda: models.load_head(models.ReducedHead(4, size=2), {"x": [np.nan]}), "the head's x must be finite, got NaN"),
    (lambda: models.scorer(TRUNK, broken_head())(torch.rand(1, 3, 64, 64)), "logits must be finite"),
])
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


TRUNK = models.Trunk(NETWORK)


def broken_head():
    head = models.ReducedHead(4, size=4)
    head.classifier.bias.data[3] = torch.inf
    return head


def test_heads_without_a_trunk_are_refused():
    with pytest.raises(data.DataError, match="do not say which trunk"):
        models.require_trunk(TRUNK, {})


def test_progress_ends_at_the_end(capsys):
    models.score_all(TRUNK, models.ReducedHead(4, size=2), torch.rand(3, 3, 32, 32), batch=2)
    models.trunk_features(TRUNK, np.zeros((3, 3, 8, 8), np.uint8), 32, batch=2)
    shown = capsys.readouterr().err
    assert ["100%|██████████|" in line.split("\r")[-1] for line in shown.strip().split("\n")] == [True, True]


def test_probabilities_of_one_logit(pixels):
    head = models.ReducedHead(4, size=4, n_classes=1)
    probability = models.scorer(TRUNK, head, softmax=True)(pixels)
    z = models.scorer(TRUNK, head)(pixels)
    torch.testing.assert_close(probability, torch.cat([1 - z.sigmoid(), z.sigmoid()], 1))
    assert models.accuracy(torch.tensor([[2.0], [-1.0], [3.0]]), pd.Series([1, 0, 0])) == pytest.approx(2 / 3)


def resnet_with(**changes):
    net = models.resnet18("random")
    for name, module in changes.items():
        setattr(net, name, module)
    return net.eval()


class Returning(torch.nn.Module):
    """A network without parameters that returns what a function makes of its input."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.eval()

    def forward(self, features):
        return self.function(features)


COMPLEX = torch.rand(2, 4).to(torch.complex64)
IMAGE8 = np.zeros((1, 3, 8, 8), np.uint8)


@pytest.mark.parametrize("call, message", [
    *((lambda i=i: models.to_pixels(i), "images must") for i in (None, "cat", IMAGE8[:, :, :0], COMPLEX)),
    (lambda: models.to_pixels(IMAGE8, 10**8), "size must be a whole number from 1 to 32768"),
    *((lambda d=d: models.to_pixels(IMAGE8, 8, d), "there is no device") for d in ("gpu", None, 3.5, "meta")),
    (lambda: models.trunk_features(TRUNK, None), "images must be"),
    (lambda: models.trunk_features(None, IMAGE8), "trunk must be a models.Trunk"),
    (lambda: models.predict(Returning(lambda x: (x, x)), torch.rand(2, 4)), "must return logits .2, classes"),
    (lambda: models.predict(Returning(lambda x: x[:1]), torch.rand(2, 4)), "must return logits .2, classes"),
    (lambda: models.predict(Returning(lambda x: x * 1j), torch.rand(2, 4)), "must return logits .*complex64"),
    (lambda: models.predict(Returning(lambda x: {}["a"]), torch.rand(2, 4)), "do not fit Returning"),
    (lambda: models.predict(torch.nn.Linear(4, 2).eval(), COMPLEX), "features must be dense real numbers"),
    (lambda: models.predict(torch.nn.Linear(4, 2).eval(), torch.rand(2, 4).to_sparse()), "features must be dense"),
    (lambda: models.train(5, torch.eye(2), [0, 1], torch.eye(2), [0, 1]), "model must be a torch.nn.Module, got int"),
    (lambda: models.train(torch.nn.Linear(4, 2), COMPLEX, [0, 1], COMPLEX, [0, 1]), "features must be dense real"),
    (lambda: models.accuracy(COMPLEX, [0, 1]), "logits must be"), (lambda: models.two_classes(None), "logits must be"),
    *((lambda a=a: models.load_head(models.ReducedHead(4, size=2), a), "arrays must be a dict")
      for a in ([1], "head", None, 5)),
    *((lambda v=v: models.load_head(models.ReducedHead(4, size=2), {"classifier.bias": v}), "the head's classifier")
      for v in (None, "a", np.ones(10) * 1j, np.full(10, 1e300), [np.inf] * 10)),
    (lambda: models.load_head(None, {}), "head must be a torch.nn.Module"),
    *((lambda f=f: f(None), "network must be a torch.nn.Module, got NoneType")
      for f in (models.head_arrays, models.fingerprint)),
    (lambda: models.fingerprint(torch.nn.Linear(2, 2, device="meta")), "the network's .* must be"),
    (lambda: models.require_trunk(TRUNK, None), "saved must be a dict of arrays"),
    (lambda: models.require_trunk(None, {"weights": 0}), "network must be a torch.nn.Module"),
    (lambda: models.trained_head("nf16_paper_seed0", None, None), "saved must be a dict of arrays"),
    (lambda: models.trained_head(None, {"a/b": 1, 5: 2}, None), "no trained head None"),
    *((lambda n=n: models.Trunk(n), "net must be a ResNet-18 of three colours and torch.float32") for n in (
        resnet_with().double(), resnet_with().half(), resnet_with(conv1=torch.nn.Conv2d(1, 64, 7)))),
    (lambda: TRUNK(torch.zeros(1, 3, 0, 0)), "pixels must have pixels"),
    *((lambda p=p: models.scorer(TRUNK, models.ReducedHead(4))(p), "pixels must") for p in (None, "a", COMPLEX)),
    (lambda: models.scorer(None, models.ReducedHead(4, size=1)), "trunk must be a models.Trunk"),
    (lambda: models.scorer(TRUNK, None), "the head must be a torch.nn.Module"),
    (lambda: models.ReducedHead(10**6, size=10**4), "make more than 2.31 weights"),
])
def test_every_entry_names_what_it_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("late", [False, True])
def test_a_trunk_of_broken_weights_says_so(late):
    net = models.resnet18("random")
    trunk = models.Trunk(net)
    net.layer2[0].conv1.weight[0, 0, 0, 0] = torch.nan  # the trunk's layers are the net's own
    with pytest.raises(ValueError, match="features must be finite, got NaN .*: check the trunk's weights"):
        (trunk if late else models.Trunk(net))(torch.rand(1, 3, 32, 32))


def test_the_scorer_takes_arrays_and_a_model_needs_no_parameters(pixels):
    score = models.scorer(TRUNK, models.ReducedHead(4, size=4))
    assert torch.equal(score(pixels.numpy()), score(pixels))
    features = torch.rand(3, 4)
    assert torch.equal(models.predict(Returning(lambda x: x), features), features)
    inplace = torch.nn.Sequential(torch.nn.ReLU(inplace=True), torch.nn.Linear(4, 2)).eval()
    before = features.sub_(0.5).clone()
    models.predict(inplace, features), models.train(inplace, features, [0, 1, 1], features, [0, 1, 1], epochs=1)
    assert torch.equal(features, before)


def test_arrays_of_a_head_are_copies():
    head = models.ReducedHead(4, size=2)
    arrays, before = models.head_arrays(head), models.fingerprint(head)
    for array in arrays.values():
        array[...] = 0
    assert models.fingerprint(head) == before
    models.load_head(head, arrays)
    arrays["classifier.bias"][...] = 1
    assert not head.classifier.bias.any()


@pytest.mark.parametrize("name, value", [("classifier.bias", np.ones(3)), ("more", np.ones(3)), ("bn", None),
                                         ("classifier.bias", np.full(10, 1e300)), ("classifier.weight", torch.nan)])
def test_a_head_is_loaded_in_whole_or_not_at_all(name, value):
    head, other = models.ReducedHead(4, size=2), models.head_arrays(models.ReducedHead(4, size=2))
    before = models.fingerprint(head)
    with pytest.raises(ValueError, match="do not fit ReducedHead|the head's"):
        models.load_head(head, other | {name: value})
    assert models.fingerprint(head) == before and next(head.parameters()).requires_grad


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor, lambda v: torch.tensor(v).bfloat16(), list,
                                  lambda v: torch.nn.Parameter(torch.tensor(v)) if v.dtype == np.float32 else v])
def test_parameters_of_any_kind_are_loaded(kind):
    trained, head = models.ReducedHead(4, size=2), models.ReducedHead(4, size=2)
    arrays = models.head_arrays(trained)
    models.load_head(head, {name: kind(value) if value.ndim else value for name, value in arrays.items()})
    for name, value in models.head_arrays(head).items():
        np.testing.assert_allclose(value, arrays[name], rtol=1e-2)
    half = models.ReducedHead(4, size=2).bfloat16()
    assert models.head_arrays(half)["classifier.weight"].dtype == np.float32 and len(models.fingerprint(half)) == 16


@pytest.mark.parametrize("change", [
    lambda x: x, lambda x: x[::-1, ::-1].copy()[::-1, ::-1], lambda x: x.astype(">f4"), np.longdouble, list,
    lambda x: np.lib.stride_tricks.as_strided(x, writeable=False), lambda x: torch.tensor(x), iter,
])
@pytest.mark.filterwarnings("error")
def test_arrays_of_any_layout_become_tensors(change):
    given = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = models.dense("x", change(given), "B N")
    assert np.array_equal(found, given) and not np.shares_memory(found.numpy(), given)
