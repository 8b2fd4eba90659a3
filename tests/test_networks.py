"""Networks: the split ResNet-18 equals torchvision's, heads train, save and load."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from torch import nn

from qafs_utils.artefacts.run import Artefacts
from qafs_utils.cnn import checkpoints, datasets, networks, preprocessing, pretrained, tensors, training

NETWORK = pretrained.resnet18("random")


@pytest.fixture(scope="module")
def pixels():
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_trunk_and_full_head_are_torchvisions_resnet(pixels):
    head = networks.FullHead(NETWORK, n_classes=1000)
    head.classifier = NETWORK.fc
    ours = head.eval()(networks.Trunk(NETWORK, "none")(pixels))
    torch.testing.assert_close(ours, NETWORK(pixels))


@pytest.mark.parametrize("normalisation", ["imagenet", "none"])
def test_full_network_is_trunk_and_full_head(pixels, normalisation):
    net = pretrained.resnet18("random")
    before = pretrained.fingerprint(net)
    trunk, head = networks.Trunk(net, normalisation), networks.build_head(512, "full", net, seed=3).eval()
    network = networks.full_network(net, head)
    torch.testing.assert_close(network((pixels - trunk.mean) / trunk.std), head(trunk(pixels)))
    assert network.fc.out_features == 10 and not network.training and next(head.classifier.parameters()).requires_grad
    network.fc.weight.zero_()
    assert pretrained.fingerprint(net) == before and head.classifier.weight.any()


def test_a_reduced_head_has_no_full_network():
    with pytest.raises(ValueError, match="only a FullHead .* got ReducedHead"):
        networks.full_network(NETWORK, networks.build_head(16, "paper", NETWORK))


def test_trunk_subtracts_imagenets_mean(pixels):
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in networks.NORMALISATIONS["imagenet"])
    expected = networks.Trunk(NETWORK, "none")((pixels - mean) / std)
    torch.testing.assert_close(networks.Trunk(NETWORK, "imagenet")(pixels), expected)


def test_bfloat16_trunk_is_close(pixels):
    exact, fast = (networks.Trunk(NETWORK, precision=p)(pixels) for p in ("float32", "bfloat16"))
    assert fast.dtype == torch.float32
    assert (exact - fast).norm() / exact.norm() < 0.02


def test_a_processor_without_bfloat16_rounds_to_it(pixels):
    trunk, exact = networks.Trunk(NETWORK, precision="bfloat16"), networks.Trunk(NETWORK)(pixels)
    x = (pixels - trunk.mean) / trunk.std

    def run(layers, context):
        with torch.no_grad(), context:
            return layers(x).float()

    found = {
        n: (run(trunk.layers[:n], torch.autocast("cpu", torch.bfloat16)), run(trunk.layers[:n], networks._Rounded()))
        for n in (4, len(trunk.layers))
    }
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

    head = networks.build_head(16, block, NETWORK, size=4)
    head(torch.rand(2, 256, 4, 4), tap)
    assert seen == order


def test_a_tap_can_replace_the_maps():
    head = networks.build_head(16, "paper", NETWORK, size=4).eval()
    logits = head(torch.rand(2, 256, 4, 4), lambda name, maps: torch.zeros_like(maps) if name == "relu" else maps)
    torch.testing.assert_close(logits, head.classifier.bias.expand(2, 10))


@pytest.mark.parametrize("n, block", [(16, "paper"), (24, "authors_code"), (512, "full")])
def test_heads_learn_and_come_back_from_arrays(n, block):
    images, labels = datasets.synthetic(8)
    trunk = networks.Trunk(NETWORK)
    features = networks.trunk_features(trunk, images, 64)
    head = networks.build_head(n, block, NETWORK, size=4, seed=1)
    model, inputs = (head.classifier, training.pooled(head, features)) if n == 512 else (head, features)
    history = training.train(model, inputs, labels, inputs, labels, epochs=8, learning_rate=1e-2, batch=16)
    assert [h["epoch"] for h in history] == list(range(1, 9))
    logits = training.predict(head, features)
    assert training.accuracy(logits, labels) == max(h["validation_accuracy"] for h in history) > 0.5
    arrays = {f"nf{n}_{block}_seed1/{k}": v for k, v in checkpoints.head_arrays(head).items()}
    assert not any("layer4" in k for k in arrays)
    again = checkpoints.trained_head(f"nf{n}_{block}_seed1", arrays, NETWORK, size=4)
    torch.testing.assert_close(training.predict(again, features), logits)
    with pytest.raises(ValueError, match="no trained head 'nf99_paper_seed0'"):
        checkpoints.trained_head("nf99_paper_seed0", arrays, NETWORK, size=4)
    with pytest.raises(ValueError, match="no trained head 'odd'"):
        checkpoints.trained_head("odd", {"odd/bias": np.zeros(2)}, NETWORK, size=4)
    with pytest.raises(ValueError, match="epochs must be a whole number of at least 1, got 0"):
        training.train(head, features, labels, features, labels, epochs=0)


def test_parameters_of_another_shape_are_refused():
    arrays = checkpoints.head_arrays(networks.build_head(24, "paper", NETWORK, size=4))
    with pytest.raises(ValueError, match="do not fit ReducedHead"):
        checkpoints.load_head(networks.build_head(16, "paper", NETWORK, size=4), arrays)


def test_initialisation_is_seeded():
    first, second, other = (networks.build_head(16, "paper", NETWORK, seed=s).block.conv.weight for s in (0, 0, 1))
    assert torch.equal(first, second) and not torch.equal(first, other)


def test_scores_of_batches_equal_scores_at_once(pixels):
    trunk, head = networks.Trunk(NETWORK), networks.build_head(16, "paper", NETWORK, size=4).eval()
    together = training.scorer(trunk, head)(pixels)
    torch.testing.assert_close(training.score_all(trunk, head, pixels, batch=1), together)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: pretrained.resnet18("vgg"), "unknown weights 'vgg'"),
        (lambda: networks.Trunk(NETWORK, "zscore"), "unknown normalisation 'zscore'"),
        (lambda: networks.Trunk(NETWORK, precision="bf16"), "unknown precision 'bf16'"),
        (lambda: networks.build_head(16, "resnet", NETWORK), "unknown block 'resnet'"),
    ],
)
def test_unknown_options(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_gpu_gives_the_same_logits(pixels):
    head = networks.build_head(16, "paper", NETWORK, size=4).eval()
    trunk = networks.Trunk(NETWORK)
    expected = training.scorer(trunk, head)(pixels)
    device = tensors.pick_device("auto")
    found = training.scorer(trunk.to(device), head.to(device))(pixels).cpu()
    np.testing.assert_allclose(found, expected, atol=1e-3)


def perturbed(trunk, size):
    """A copy of a trunk with noise of that relative size on its convolutions."""
    trunk, generator = copy.deepcopy(trunk), torch.Generator().manual_seed(0)
    for w in trunk.parameters():
        w.data += size * w.std() * torch.randn(w.shape, generator=generator) if w.ndim == 4 else 0
    return trunk


def test_published_heads_go_with_torchvisions_weights_too(monkeypatch):
    """They were trained on a copy of these that differs by about 1e-5."""
    trunk = networks.Trunk(NETWORK)
    saved = {"weights": pretrained.fingerprint(trunk)}
    monkeypatch.setattr(checkpoints, "COPY", saved["weights"])
    monkeypatch.setattr(checkpoints, "IMAGENET_NORMS", [float(w.norm()) for w in trunk.parameters() if w.ndim == 4])
    checkpoints.require_trunk(perturbed(trunk, 1e-4), saved)
    with pytest.raises(datasets.DataError, match="not those the heads were trained on"):
        checkpoints.require_trunk(perturbed(trunk, 0.1), saved)
    monkeypatch.setattr(checkpoints, "COPY", "another")
    with pytest.raises(datasets.DataError, match="not those the heads were trained on"):
        checkpoints.require_trunk(perturbed(trunk, 1e-4), saved)


@pytest.mark.skipif(not pretrained.weights_path().exists(), reason="no ImageNet weights")
def test_the_imagenet_trunk_is_known():
    saved = Artefacts("published").load("01_heads")
    assert str(saved["weights"]) == pretrained.COPY
    trunk = networks.Trunk(pretrained.resnet18())
    checkpoints.require_trunk(trunk, saved)
    checkpoints.require_trunk(perturbed(trunk, 1e-4), saved)


def test_heads_of_another_trunk_are_refused():
    trunk = networks.Trunk(NETWORK)
    checkpoints.require_trunk(trunk, {"weights": pretrained.fingerprint(trunk)})
    with pytest.raises(datasets.DataError, match="not those the heads were trained on"):
        checkpoints.require_trunk(
            networks.Trunk(pretrained.resnet18("random", seed=1)), {"weights": pretrained.fingerprint(trunk)}
        )


def test_pixels_are_upsampled_into_the_unit_interval():
    images = np.zeros((2, 3, 96, 96), np.uint8)
    images[1] = 255
    pixels = preprocessing.to_pixels(images, 224)
    assert pixels.shape == (2, 3, 224, 224) and pixels[0].eq(0).all()
    torch.testing.assert_close(pixels[1], torch.ones(3, 224, 224))


def trained_pair():
    return networks.Trunk(pretrained.resnet18("random")), networks.build_head(16, "paper", NETWORK, size=4)


@pytest.mark.parametrize(
    "name, call",
    [
        ("model", lambda trunk, head: training.predict(head, torch.rand(2, 256, 4, 4))),
        ("head", lambda trunk, head: training.scorer(trunk, head)),
        ("head", lambda trunk, head: training.score_all(trunk, head, torch.rand(1, 3, 64, 64))),
    ],
)
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
    score = training.scorer(trunk, head)
    score(pixels)
    head.train()
    with pytest.raises(ValueError, match="the head is in training mode"):
        score(pixels)
    head.eval(), trunk.layers[1].train()
    statistics = trunk.layers[1].running_mean.clone()
    with pytest.raises(ValueError, match="the trunk is in training mode"):
        score(pixels)
    assert torch.equal(statistics, trunk.layers[1].running_mean)


@pytest.mark.parametrize("make", [networks.Trunk, networks.FullHead, lambda net: networks.full_network(net, FULL)])
def test_a_resnet_in_training_mode_or_of_another_kind_is_refused(make):
    net = pretrained.resnet18("random")
    net.layer4[0].bn1.train()
    with pytest.raises(ValueError, match="the net is in training mode"):
        make(net)
    assert net.layer4[0].bn1.training
    for other in (torchvision.models.resnet34(), torch.nn.Linear(2, 2), None):
        with pytest.raises(ValueError, match="net must be a ResNet-18"):
            make(other)


FULL = networks.FullHead(NETWORK)


def test_pooled_maps_of_a_head_in_training_mode_or_another_head():
    head = networks.FullHead(pretrained.resnet18("random"))
    assert training.pooled(head, torch.rand(2, 256, 2, 2)).shape == (2, 512)
    head.layer4[1].bn2.train()
    statistics = head.layer4[1].bn2.running_mean.clone()
    with pytest.raises(ValueError, match="the head is in training mode"):
        training.pooled(head, torch.rand(2, 256, 2, 2))
    assert torch.equal(statistics, head.layer4[1].bn2.running_mean)
    with pytest.raises(ValueError, match="only a FullHead"):
        training.pooled(networks.ReducedHead(4), torch.rand(2, 256, 2, 2))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"labels": [0, 1]}, r"labels must be \(N,\) = \(4,\)"),
        ({"labels": [0, 1, 0, 2]}, "labels must be whole numbers"),
        ({"labels": [0, 1, 0.5, 1]}, "labels must be whole"),
        ({"validation_labels": [0]}, "validation_labels must be"),
        ({"features": torch.full((4, 4), torch.nan)}, "features must be finite, got NaN or infinite values"),
        ({"features": torch.rand(4, 3)}, r"features \(1, 3\) do not fit Linear"),
        ({"features": torch.empty(0, 4), "labels": []}, r"features must be \(N, ...\) of at least one image"),
        ({"validation_features": torch.empty(0, 4), "validation_labels": []}, "validation_features must be"),
        ({"epochs": 1.5}, "epochs must be"),
        ({"learning_rate": 0}, "learning_rate must be"),
        ({"batch": 0}, "batch must"),
        ({"learning_rate": torch.nan}, "learning_rate must be"),
        ({"seed": "one"}, "seed must be"),
        ({"model": torch.nn.Linear(4, 1)}, "one for each class"),
        ({"model": FULL}, "only the classifier is trained"),
        ({"model": torch.nn.Linear(4, 2).requires_grad_(False)}, r"the model is frozen: call model.requires_grad_\(\)"),
    ],
)
def test_training_refuses_what_does_not_fit_and_changes_nothing(change, message):
    arguments = {"model": torch.nn.Linear(4, 2), "features": torch.eye(4), "labels": [0, 1, 0, 1], "epochs": 2}
    arguments |= {"validation_features": torch.eye(4), "validation_labels": [0, 1, 0, 1]} | change
    before = copy.deepcopy(arguments["model"].state_dict())
    with pytest.raises(ValueError, match=message):
        training.train(**arguments)
    assert all(torch.equal(before[key], value) for key, value in arguments["model"].state_dict().items())


def test_training_goes_on_where_it_ended():
    model, labels = torch.nn.Linear(4, 2), np.array([0, 1, 0, 1], np.uint8)
    training.train(model, torch.eye(4), labels, torch.eye(4), labels, epochs=5, learning_rate=0.1)
    loss = torch.nn.functional.cross_entropy(model(torch.eye(4)), torch.as_tensor(labels).long())
    again = training.train(model, torch.eye(4), labels, torch.eye(4), labels, epochs=5)
    assert again[0]["loss"] == pytest.approx(loss.item()) and len(again) == 5 and not model.training
    frozen = copy.deepcopy(model).requires_grad_(False)
    training.train(frozen.requires_grad_(), torch.eye(4), labels, torch.eye(4), labels, epochs=1)


def test_a_loss_that_is_not_finite_keeps_the_best_epoch():
    model = torch.nn.Linear(2, 2)
    before = copy.deepcopy(model.state_dict())
    far = torch.full((4, 2), 3e38)
    with pytest.raises(ValueError, match="the loss of epoch 1, with a learning_rate of 1e[+]30, must be a finite"):
        training.train(model, far, [0, 1, 0, 1], far, [0, 1, 0, 1], learning_rate=1e30, batch=1)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items()) and not model.training


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: training.accuracy(torch.zeros(3, 2), [0]), r"labels must be \(N,\) = \(3,\)"),
        (lambda: training.accuracy(torch.zeros(2, 2), [0, 2]), "labels must be whole numbers from 0 to 1"),
        (lambda: training.accuracy(torch.full((2, 2), torch.nan), [0, 0]), "logits must be finite, got NaN"),
        (lambda: training.accuracy(torch.zeros(0, 2), []), "no images"),
        (
            lambda: training.predict(torch.nn.Linear(2, 2).eval(), torch.full((1, 2), torch.inf)),
            "logits must be finite",
        ),
        (lambda: training.predict(torch.nn.Linear(2, 2).eval(), torch.rand(0, 2)), "at least one image"),
        (lambda: training.predict(torch.nn.Linear(2, 2).eval(), torch.rand(3, 5)), "do not fit Linear"),
        (lambda: training.predict("head", torch.rand(3, 5)), "the model must be a torch.nn.Module"),
        (
            lambda: preprocessing.to_pixels(np.zeros((1, 3, 4, 4))),
            "images must be uint8 from 0 to 255, got torch.float64",
        ),
        (lambda: preprocessing.to_pixels(np.zeros((3, 4, 4), np.uint8)), r"images must be \(B, C, h, w\)"),
        (lambda: preprocessing.to_pixels(np.zeros((1, 3, 4, 4), np.uint8), "64"), "size must be a whole number"),
        (lambda: networks.trunk_features(TRUNK, np.zeros((0, 3, 4, 4), np.uint8)), "no images"),
        (lambda: networks.trunk_features(TRUNK, np.zeros((1, 3, 4, 4))), "images must be uint8"),
        (lambda: TRUNK(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)), "pixels must be pixels in .* got torch.uint8"),
        (lambda: TRUNK(torch.full((1, 3, 32, 32), 200.0)), "pixels must lie in"),
        (lambda: TRUNK(torch.full((1, 3, 32, 32), torch.nan)), "pixels must be finite, got NaN"),
        (lambda: TRUNK(torch.rand(3, 32, 32)), r"pixels must be \(B, C, H, W\)"),
        (lambda: TRUNK(torch.rand(1, 1, 32, 32)), r"pixels must be \(B, C, H, W\) = \(B, 3, H, W\)"),
        (lambda: networks.build_head(0, "paper", None), "n_features must be a whole number"),
        (lambda: networks.build_head(16, "paper", None, seed=None), "seed must be"),
        (lambda: networks.build_head(512, "full", None), "net must be a ResNet-18"),
        (lambda: networks.ReducedHead(4, size=2.5), "size must be a whole number"),
        (lambda: tensors.pick_device("gpu"), "there is no device 'gpu': choose 'auto' or 'cpu'"),
        (lambda: tensors.pick_device(3.5), "there is no device 3.5"),
        (lambda: pretrained.checksums("vgg"), "unknown weights 'vgg'"),
        (lambda: pretrained.resnet18("random", seed="a"), "seed must be"),
        (
            lambda: checkpoints.load_head(networks.ReducedHead(4, size=2), {"x": [np.nan]}),
            "the head's x must be finite, got NaN",
        ),
        (lambda: training.scorer(TRUNK, broken_head())(torch.rand(1, 3, 64, 64)), "logits must be finite"),
    ],
)
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


TRUNK = networks.Trunk(NETWORK)


def broken_head():
    head = networks.ReducedHead(4, size=4)
    head.classifier.bias.data[3] = torch.inf
    return head


def test_heads_without_a_trunk_are_refused():
    with pytest.raises(datasets.DataError, match="do not say which trunk"):
        checkpoints.require_trunk(TRUNK, {})


def test_progress_ends_at_the_end(capsys):
    training.score_all(TRUNK, networks.ReducedHead(4, size=2), torch.rand(3, 3, 32, 32), batch=2)
    networks.trunk_features(TRUNK, np.zeros((3, 3, 8, 8), np.uint8), 32, batch=2)
    shown = capsys.readouterr().err
    assert ["100%|██████████|" in line.split("\r")[-1] for line in shown.strip().split("\n")] == [True, True]


def test_probabilities_of_one_logit(pixels):
    head = networks.ReducedHead(4, size=4, n_classes=1)
    probability = training.scorer(TRUNK, head, softmax=True)(pixels)
    z = training.scorer(TRUNK, head)(pixels)
    torch.testing.assert_close(probability, torch.cat([1 - z.sigmoid(), z.sigmoid()], 1))
    assert training.accuracy(torch.tensor([[2.0], [-1.0], [3.0]]), pd.Series([1, 0, 0])) == pytest.approx(2 / 3)


def resnet_with(**changes):
    net = pretrained.resnet18("random")
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


@pytest.mark.parametrize(
    "call, message",
    [
        *((lambda i=i: preprocessing.to_pixels(i), "images must") for i in (None, "cat", IMAGE8[:, :, :0], COMPLEX)),
        (lambda: preprocessing.to_pixels(IMAGE8, 10**8), "size must be a whole number from 1 to 32768"),
        *(
            (lambda d=d: preprocessing.to_pixels(IMAGE8, 8, d), "there is no device")
            for d in ("gpu", None, 3.5, "meta")
        ),
        (lambda: networks.trunk_features(TRUNK, None), "images must be"),
        (lambda: networks.trunk_features(None, IMAGE8), "trunk must be a networks.Trunk"),
        (lambda: training.predict(Returning(lambda x: (x, x)), torch.rand(2, 4)), "must return logits .2, classes"),
        (lambda: training.predict(Returning(lambda x: x[:1]), torch.rand(2, 4)), "must return logits .2, classes"),
        (lambda: training.predict(Returning(lambda x: x * 1j), torch.rand(2, 4)), "must return logits .*complex64"),
        (lambda: training.predict(Returning(lambda x: {}["a"]), torch.rand(2, 4)), "do not fit Returning"),
        (lambda: training.predict(torch.nn.Linear(4, 2).eval(), COMPLEX), "features must be dense real numbers"),
        (
            lambda: training.predict(torch.nn.Linear(4, 2).eval(), torch.rand(2, 4).to_sparse()),
            "features must be dense",
        ),
        (
            lambda: training.train(5, torch.eye(2), [0, 1], torch.eye(2), [0, 1]),
            "model must be a torch.nn.Module, got int",
        ),
        (
            lambda: training.train(torch.nn.Linear(4, 2), COMPLEX, [0, 1], COMPLEX, [0, 1]),
            "features must be dense real",
        ),
        (lambda: training.accuracy(COMPLEX, [0, 1]), "logits must be"),
        (lambda: tensors.two_classes(None), "logits must be"),
        *(
            (lambda a=a: checkpoints.load_head(networks.ReducedHead(4, size=2), a), "arrays must be a dict")
            for a in ([1], "head", None, 5)
        ),
        *(
            (
                lambda v=v: checkpoints.load_head(networks.ReducedHead(4, size=2), {"classifier.bias": v}),
                "the head's classifier",
            )
            for v in (None, "a", np.ones(10) * 1j, np.full(10, 1e300), [np.inf] * 10)
        ),
        (lambda: checkpoints.load_head(None, {}), "head must be a torch.nn.Module"),
        *(
            (lambda f=f: f(None), "network must be a torch.nn.Module, got NoneType")
            for f in (checkpoints.head_arrays, pretrained.fingerprint)
        ),
        (lambda: pretrained.fingerprint(torch.nn.Linear(2, 2, device="meta")), "the network's .* must be"),
        (lambda: checkpoints.require_trunk(TRUNK, None), "saved must be a dict of arrays"),
        (lambda: checkpoints.require_trunk(None, {"weights": 0}), "network must be a torch.nn.Module"),
        (lambda: checkpoints.trained_head("nf16_paper_seed0", None, None), "saved must be a dict of arrays"),
        (lambda: checkpoints.trained_head(None, {"a/b": 1, 5: 2}, None), "no trained head None"),
        *(
            (lambda n=n: networks.Trunk(n), "net must be a ResNet-18 of three colours and torch.float32")
            for n in (resnet_with().double(), resnet_with().half(), resnet_with(conv1=torch.nn.Conv2d(1, 64, 7)))
        ),
        (lambda: TRUNK(torch.zeros(1, 3, 0, 0)), "pixels must have pixels"),
        *(
            (lambda p=p: training.scorer(TRUNK, networks.ReducedHead(4))(p), "pixels must")
            for p in (None, "a", COMPLEX)
        ),
        (lambda: training.scorer(None, networks.ReducedHead(4, size=1)), "trunk must be a networks.Trunk"),
        (lambda: training.scorer(TRUNK, None), "the head must be a torch.nn.Module"),
        (lambda: networks.ReducedHead(10**6, size=10**4), "make more than 2.31 weights"),
    ],
)
def test_every_entry_names_what_it_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("late", [False, True])
def test_a_trunk_of_broken_weights_says_so(late):
    net = pretrained.resnet18("random")
    trunk = networks.Trunk(net)
    net.layer2[0].conv1.weight[0, 0, 0, 0] = torch.nan  # the trunk's layers are the net's own
    with pytest.raises(ValueError, match="features must be finite, got NaN .*: check the trunk's weights"):
        (trunk if late else networks.Trunk(net))(torch.rand(1, 3, 32, 32))


def test_the_scorer_takes_arrays_and_a_model_needs_no_parameters(pixels):
    score = training.scorer(TRUNK, networks.ReducedHead(4, size=4))
    assert torch.equal(score(pixels.numpy()), score(pixels))
    features = torch.rand(3, 4)
    assert torch.equal(training.predict(Returning(lambda x: x), features), features)
    inplace = torch.nn.Sequential(torch.nn.ReLU(inplace=True), torch.nn.Linear(4, 2)).eval()
    before = features.sub_(0.5).clone()
    training.predict(inplace, features), training.train(inplace, features, [0, 1, 1], features, [0, 1, 1], epochs=1)
    assert torch.equal(features, before)


def test_arrays_of_a_head_are_copies():
    head = networks.ReducedHead(4, size=2)
    arrays, before = checkpoints.head_arrays(head), pretrained.fingerprint(head)
    for array in arrays.values():
        array[...] = 0
    assert pretrained.fingerprint(head) == before
    checkpoints.load_head(head, arrays)
    arrays["classifier.bias"][...] = 1
    assert not head.classifier.bias.any()


@pytest.mark.parametrize(
    "name, value",
    [
        ("classifier.bias", np.ones(3)),
        ("more", np.ones(3)),
        ("bn", None),
        ("classifier.bias", np.full(10, 1e300)),
        ("classifier.weight", torch.nan),
    ],
)
def test_a_head_is_loaded_in_whole_or_not_at_all(name, value):
    head, other = networks.ReducedHead(4, size=2), checkpoints.head_arrays(networks.ReducedHead(4, size=2))
    before = pretrained.fingerprint(head)
    with pytest.raises(ValueError, match="do not fit ReducedHead|the head's"):
        checkpoints.load_head(head, other | {name: value})
    assert pretrained.fingerprint(head) == before and next(head.parameters()).requires_grad


@pytest.mark.parametrize(
    "kind",
    [
        np.asarray,
        torch.tensor,
        lambda v: torch.tensor(v).bfloat16(),
        list,
        lambda v: torch.nn.Parameter(torch.tensor(v)) if v.dtype == np.float32 else v,
    ],
)
def test_parameters_of_any_kind_are_loaded(kind):
    trained, head = networks.ReducedHead(4, size=2), networks.ReducedHead(4, size=2)
    arrays = checkpoints.head_arrays(trained)
    checkpoints.load_head(head, {name: kind(value) if value.ndim else value for name, value in arrays.items()})
    for name, value in checkpoints.head_arrays(head).items():
        np.testing.assert_allclose(value, arrays[name], rtol=1e-2)
    half = networks.ReducedHead(4, size=2).bfloat16()
    assert (
        checkpoints.head_arrays(half)["classifier.weight"].dtype == np.float32
        and len(pretrained.fingerprint(half)) == 16
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x,
        lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
        lambda x: x.astype(">f4"),
        np.longdouble,
        list,
        lambda x: np.lib.stride_tricks.as_strided(x, writeable=False),
        lambda x: torch.tensor(x),
        iter,
    ],
)
@pytest.mark.filterwarnings("error")
def test_arrays_of_any_layout_become_tensors(change):
    given = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = tensors.dense("x", change(given), "B N")
    assert np.array_equal(found, given) and not np.shares_memory(found.numpy(), given)


CHANGES = {
    "in place": lambda net: net[0].weight.mul_(2),
    "unseen by PyTorch": lambda net: net[0].weight.data.mul_(2),
    "through NumPy": lambda net: net[0].bias.detach().numpy().__setitem__(1, 5.0),
    "rows exchanged": lambda net: net[0].weight.copy_(net[0].weight.flip(0)),
    "another tensor": lambda net: setattr(net[0], "weight", nn.Parameter(net[0].weight.flip(0))),
    "a buffer": lambda net: net[1].running_mean.add_(1),
    "loaded": lambda net: net.load_state_dict(nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5)).state_dict()),
}


@pytest.mark.parametrize("change", CHANGES)
@torch.no_grad()
def test_a_known_fingerprint_follows_every_change(monkeypatch, change):
    net, taken = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5)), []
    full = pretrained.fingerprint
    monkeypatch.setattr(pretrained, "fingerprint", lambda network: taken.append(1) or full(network))
    before = pretrained.known_fingerprint(net)
    assert before == pretrained.known_fingerprint(net) == full(net) and len(taken) == 1
    CHANGES[change](net)
    assert pretrained.known_fingerprint(net) == full(net) != before
