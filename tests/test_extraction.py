"""Maps and gradients of networks against captum, torchvision and the linear classifier."""

import copy
import functools
import time

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from qafs_utils import cams, extraction, feature_maps, metrics, models, qubo, solvers

NETWORK = models.resnet18("random")
FEATURES = torch.rand(3, 256, 4, 4, generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def head_of(n=16, block="paper"):
    return models.build_head(n, block, NETWORK, size=4, seed=3).eval().requires_grad_(False)


def test_importance_after_the_block_is_the_mean_classifier_weight():
    head = head_of()
    _, gradients, logits = extraction.capture(head, FEATURES)
    weight = head.classifier.weight.view(10, 16, 4, 4).mean((2, 3))
    torch.testing.assert_close(feature_maps.importance(gradients), weight[logits.argmax(1)])


def test_importance_of_the_full_model_is_the_classifier_weight_over_the_area():
    head = head_of(512, "full")
    maps, gradients, logits = extraction.capture(head, FEATURES)
    assert maps.shape == (3, 512, 2, 2) and (maps >= 0).all()
    torch.testing.assert_close(feature_maps.importance(gradients), head.classifier.weight[logits.argmax(1)] / 4)


@pytest.mark.parametrize("stage", ["conv", "bn", "relu"])
@pytest.mark.parametrize("block", ["paper", "authors_code"])
def test_gradients_equal_captums(block, stage):
    attr = pytest.importorskip("captum.attr")
    head = head_of(block=block)
    maps, gradients, logits = extraction.capture(head, FEATURES, stage)
    for parameter in head.parameters():
        parameter.requires_grad_()
    layer = getattr(head.block, stage)
    theirs = attr.LayerGradientXActivation(head, layer).attribute(FEATURES, logits.argmax(1))
    torch.testing.assert_close(maps * gradients, theirs.detach())


def test_another_class_can_be_explained():
    head = head_of()
    _, gradients, _ = extraction.capture(head, FEATURES, class_index=[7, 7, 2])
    weight = head.classifier.weight.view(10, 16, 4, 4)
    torch.testing.assert_close(gradients, weight[[7, 7, 2]])


def test_batches_do_not_matter():
    head = head_of()
    for one, all_at_once in zip(extraction.capture(head, FEATURES, batch=1), extraction.capture(head, FEATURES)):
        torch.testing.assert_close(one, all_at_once)


def test_nan_features_and_unknown_target():
    with pytest.raises(ValueError, match="NaN or infinite"):
        extraction.capture(head_of(), FEATURES * torch.nan)
    with pytest.raises(ValueError, match="the head has no stage 'layer3'"):
        extraction.capture(head_of(), FEATURES, "layer3")


def test_grad_cam_costs_at_most_1_2_forward_passes():
    trunk, head = models.Trunk(NETWORK), models.build_head(16, "paper", NETWORK).eval().requires_grad_(False)
    pixels, best = torch.rand(8, 3, 224, 224), {}
    calls = {"forward": lambda: models.scorer(trunk, head)(pixels),
             "grad_cam": lambda: extraction.capture(head, trunk(pixels))}
    for _ in range(6):
        for name, call in calls.items():
            start = time.process_time()  # of all threads: other work on the machine does not count
            call()
            best[name] = min(best.get(name, np.inf), time.process_time() - start)
    assert best["grad_cam"] <= 1.2 * best["forward"]


@pytest.mark.parametrize("n", [16, 512])
def test_contributions_are_what_zeroing_maps_takes_away(n):
    """Keeping a subset: bias plus contributions equals the head run again with the other maps set to zero."""
    head = models.build_head(n, "paper", models.resnet18("random"), size=4).eval()
    features = torch.rand(3, 256, 4, 4, generator=torch.Generator().manual_seed(0))
    maps, _, logits = extraction.capture(head, features)
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


@functools.cache
def torchvisions(name):
    """A network of torchvision with random weights that still require gradients, as they come."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torchvision.models.get_model(name, weights=None).eval()


class Twisted(nn.Module):
    """Logits of a convolution, with a layer for everything that `capture_layer` has to refuse."""

    def __init__(self):
        super().__init__()
        self.conv, self.unused, self.twice = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3), nn.ReLU()
        self.pair, self.cut, self.same = nn.Identity(), nn.Conv2d(4, 4, 1), nn.Identity()

    def forward(self, images):
        maps = self.twice(self.conv(images))
        maps = self.pair((self.twice(maps), 0))[0]
        with torch.no_grad():
            maps = maps + self.cut(maps)
        same = self.same(maps)
        maps += 1
        return (maps + same).mean((2, 3))


@pytest.mark.parametrize("name, layer", [
    *(("resnet18", f"layer{i}") for i in (1, 2, 3, 4)), ("resnet50", "layer2"), ("vgg16", "features.28"),
    ("vgg16", "features.29"), ("mobilenet_v3_small", "features.4.block.1.0"), ("densenet121", "features"),
])
def test_gradients_of_a_layer_equal_captums(name, layer):
    attr = pytest.importorskip("captum.attr")
    network = torchvisions(name)
    maps, gradients, logits = extraction.capture_layer(network, layer, IMAGES)
    with torch.no_grad():
        torch.testing.assert_close(logits, network(IMAGES))
    theirs = attr.LayerGradientXActivation(network, network.get_submodule(layer)).attribute(IMAGES, logits.argmax(1))
    assert maps.shape == gradients.shape == theirs.shape and theirs.any()
    torch.testing.assert_close(maps * gradients, theirs.detach(), atol=1e-6 * theirs.abs().max().item(), rtol=1e-4)


def test_operations_in_place_do_not_change_the_maps():
    network = torchvisions("vgg16")
    relu = network.features[29]
    assert relu.inplace
    in_place = extraction.capture_layer(network, "features.28", IMAGES)
    relu.inplace = False
    try:
        for found, expected in zip(in_place, extraction.capture_layer(network, "features.28", IMAGES)):
            assert torch.equal(found, expected)
    finally:
        relu.inplace = True
    assert (in_place[0] < 0).any()
    network = Twisted().eval()  # here it is the layer's input that changes later
    conv = network.conv(IMAGES).relu()
    torch.testing.assert_close(extraction.capture_layer(network, "same", IMAGES)[0], conv + network.cut(conv))


def test_only_what_follows_the_layer_has_a_graph():
    network, graph = torchvisions("resnet18"), {}
    watched = ("layer2", "layer3.1.bn2", "layer4")
    hooks = [network.get_submodule(name).register_forward_hook(
        lambda module, inputs, output, name=name: graph.update({name: output.requires_grad})) for name in watched]
    extraction.capture_layer(network, "layer3", IMAGES.clone().requires_grad_())
    for hook in hooks:
        hook.remove()
    assert graph == {"layer2": False, "layer3.1.bn2": False, "layer4": True}


def test_layer4_of_the_full_network_is_the_full_heads_relu():
    head = head_of(512, "full")
    trunk = models.Trunk(NETWORK)
    pixels = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    expected = extraction.capture(head, trunk(pixels), "relu")
    network = models.full_network(NETWORK, head)
    for ours, theirs in zip(extraction.capture_layer(network, "layer4", (pixels - trunk.mean) / trunk.std), expected):
        torch.testing.assert_close(ours, theirs)


def test_batches_and_classes_of_a_layer():
    network = torchvisions("resnet18")
    exact = copy.deepcopy(network).double()  # in float32 a batch may be summed in another order than its images
    for one, at_once in zip(extraction.capture_layer(exact, "layer3", IMAGES, batch=1),
                            extraction.capture_layer(exact, "layer3", IMAGES)):
        torch.testing.assert_close(one, at_once)
    for classes in ([7, 7, 2], torch.tensor([7, 7, 2])):
        _, gradients, _ = extraction.capture_layer(network, "layer4", IMAGES, classes, batch=2)
        expected = network.fc.weight[[7, 7, 2]].detach()[:, :, None, None] / 4
        torch.testing.assert_close(gradients, expected.expand_as(gradients))


def test_a_network_of_another_precision():
    network = models.resnet18("random").double()
    found = extraction.capture_layer(network, "layer4", IMAGES)
    assert all(part.dtype == torch.float32 for part in found)
    for part, expected in zip(found, extraction.capture_layer(NETWORK, "layer4", IMAGES)):
        torch.testing.assert_close(part, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name, layer", [("vgg16", "features.29"), ("resnet50", "layer2")])
def test_maps_of_any_network_are_selected_and_shown(name, layer):
    maps, gradients, logits = extraction.capture_layer(torchvisions(name), layer, IMAGES[:2])
    importance = feature_maps.importance(gradients)
    problems = qubo.selections(maps, importance)
    selected, infos = solvers.solve_all(problems, maps.shape[1], "exact")
    assert (0 < selected.sum(1)).all() and not (selected & (importance.numpy() <= 0)).any()
    cam = cams.grad_cam(maps, importance, selected)
    assert cam.shape == (2, *maps.shape[2:]) and cam.amax((1, 2)).min() > 0
    assert cams.heatmap(cam, 64).shape == (2, 64, 64)


@pytest.mark.parametrize("layer, message", [
    ("layer9", "no layer 'layer9': did you mean 'layer"),
    ("conv5_block3_out", r"no layer 'conv5_block3_out': its names are in network.named_modules\(\)"),
    ("fc", r"'fc' gives \(3, 1000\), not maps"),
    ("", r"'' gives \(3, 1000\), not maps"),
    ("layer4.1.relu", r"'layer4.1.relu' runs 2 times in a forward pass"),
])
def test_layers_without_maps_are_refused(layer, message):
    with pytest.raises(ValueError, match=message):
        extraction.capture_layer(NETWORK, layer, IMAGES)


@pytest.mark.parametrize("layer, message", [
    ("unused", "'unused' runs 0 times"),
    ("twice", "'twice' runs 2 times"),
    ("pair", "'pair' gives tuple, not maps"),
    ("conv", "no gradient reaches layer 'conv'"),
])
def test_layers_of_a_twisted_network_are_refused(layer, message):
    with pytest.raises(ValueError, match=message):
        extraction.capture_layer(Twisted().eval(), layer, IMAGES)


@pytest.mark.parametrize("network, arguments, message", [
    (NETWORK, (IMAGES[0],), r"images must be \(B, 3, S, S\) floats"),
    (NETWORK, (IMAGES[:0],), r"images must be \(B, 3, S, S\) floats"),
    (NETWORK, (IMAGES.byte(),), "normalised as the network expects, got .* torch.uint8"),
    (NETWORK, (IMAGES, [1, 2]), r"class_index must be \(3,\), .* got shape \(2,\)"),
    (NETWORK, (IMAGES, 1), r"class_index must be \(3,\)"),
    (NETWORK, (IMAGES * torch.nan,), "NaN or infinite values: check the images"),
    (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), (IMAGES,), r"training mode, .* call network.eval\(\)"),
    (nn.Sequential(nn.Conv2d(3, 4, 3)).eval(), (IMAGES,), "must return logits"),
])
def test_what_does_not_fit_is_refused(network, arguments, message):
    layer = "layer4" if network is NETWORK else "0"
    with pytest.raises(ValueError, match=message):
        extraction.capture_layer(network, layer, *arguments)


def test_a_single_module_in_training_mode_is_refused():
    network = models.resnet18("random")
    network.layer3[0].bn1.train()
    with pytest.raises(ValueError, match="training mode"):
        extraction.capture_layer(network, "layer4", IMAGES)


@pytest.mark.parametrize("layer", ["layer3", "layer3.0.relu", "fc"])
def test_the_network_is_left_as_it_was(layer):
    network = models.resnet18("random")
    network.layer2.requires_grad_()
    state = {k: v.clone() for k, v in network.state_dict().items()}
    parameters = [(p, p.requires_grad) for p in network.parameters()]
    images = IMAGES.clone().requires_grad_()
    if layer == "layer3":
        assert not any(part.requires_grad for part in extraction.capture_layer(network, layer, images))
    else:
        with pytest.raises(ValueError, match=layer):
            extraction.capture_layer(network, layer, images)
    assert not any(module._forward_hooks or module.training for module in network.modules())
    found = list(network.parameters())
    assert all(p is q and q.requires_grad == flag and q.grad is None for (p, flag), q in zip(parameters, found))
    assert all(torch.equal(state[k], v) for k, v in network.state_dict().items()) and images.grad is None


@pytest.mark.parametrize("layer", ["layer1", "layer3", "layer4"])
def test_propagating_some_maps_is_the_network_cut_in_two(layer):
    """By hand: the network run up to the layer, maps set to zero, and on from there."""
    network = models.resnet18("random")
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    blocks = [network.layer1, network.layer2, network.layer3, network.layer4]
    stages = [network.conv1, network.bn1, network.relu, network.maxpool, *blocks]
    cut = 3 + int(layer[-1]) + 1
    with torch.no_grad():
        maps = torch.nn.Sequential(*stages[:cut])(images)
        kept = np.random.default_rng(0).random(maps.shape[:2]) < 0.5
        rest = torch.nn.Sequential(*stages[cut:], network.avgpool, torch.nn.Flatten(), network.fc)
        expected = rest(maps * torch.as_tensor(kept)[:, :, None, None])
    torch.testing.assert_close(extraction.propagate(network, layer, images, kept, batch=2), expected)
    everything = extraction.propagate(network, layer, images, np.ones_like(kept))
    torch.testing.assert_close(everything, network(images).detach())
    assert not network.get_submodule(layer)._forward_hooks


def test_propagating_refuses_maps_that_do_not_fit():
    network, images = models.resnet18("random"), torch.rand(2, 3, 64, 64)
    for kept in (np.ones((2, 64), bool), np.ones((1, 512), bool), np.ones((2, 512)), np.ones(512, bool)):
        with pytest.raises(ValueError, match=r"kept must be \(2, 512\) bool to go with the maps of 'layer4'"):
            extraction.propagate(network, "layer4", images, kept)
    with pytest.raises(ValueError, match="no layer 'layer5'"):
        extraction.propagate(network, "layer5", images, kept)


def test_nothing_to_take_maps_from_is_named():
    head = models.build_head(16, "paper", NETWORK, size=4).eval()
    with pytest.raises(ValueError, match="at least one target"):
        extraction.arrays(head, torch.rand(2, 256, 4, 4), ())
    with pytest.raises(ValueError, match="no images"):
        extraction.capture(head, torch.rand(0, 256, 4, 4))
