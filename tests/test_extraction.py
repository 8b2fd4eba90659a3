"""Maps and gradients of networks against captum, torchvision and the linear classifier."""

import copy
import functools
import time

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from qafs_utils.cnn import extraction, feature_maps, networks, pretrained, tensors, training
from qafs_utils.explanations import cams, map_subsets
from qafs_utils.qubo import feature_selection
from qafs_utils.solvers import by_name

NETWORK = pretrained.resnet18("random")
FEATURES = torch.rand(3, 256, 4, 4, generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def head_of(n=16, block="paper"):
    return networks.build_head(n, block, NETWORK, size=4, seed=3).eval().requires_grad_(False)


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


@pytest.mark.clock
def test_grad_cam_costs_at_most_1_2_forward_passes():
    trunk, head = networks.Trunk(NETWORK), networks.build_head(16, "paper", NETWORK).eval().requires_grad_(False)
    pixels, best = torch.rand(8, 3, 224, 224), {}
    calls = {
        "forward": lambda: training.scorer(trunk, head)(pixels),
        "grad_cam": lambda: extraction.capture(head, trunk(pixels)),
    }
    for _ in range(6):
        for name, call in calls.items():
            start = time.process_time()  # of all threads: other work on the machine does not count
            call()
            best[name] = min(best.get(name, np.inf), time.process_time() - start)
    assert best["grad_cam"] <= 1.2 * best["forward"]


@pytest.mark.parametrize("n", [16, 512])
def test_contributions_are_what_zeroing_maps_takes_away(n):
    """Keeping a subset: bias plus contributions equals the head run again with the other maps set to zero."""
    head = networks.build_head(n, "paper", pretrained.resnet18("random"), size=4).eval()
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
    scores = map_subsets.subset_scores(added, bias, np.array([0, 1, 2]), kept)
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


@pytest.mark.parametrize(
    "name, layer",
    [
        *(("resnet18", f"layer{i}") for i in (1, 2, 3, 4)),
        ("resnet50", "layer2"),
        ("vgg16", "features.28"),
        ("vgg16", "features.29"),
        ("mobilenet_v3_small", "features.4.block.1.0"),
        ("densenet121", "features"),
    ],
)
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
    hooks = [
        network.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: graph.update({name: output.requires_grad})
        )
        for name in watched
    ]
    extraction.capture_layer(network, "layer3", IMAGES.clone().requires_grad_())
    for hook in hooks:
        hook.remove()
    assert graph == {"layer2": False, "layer3.1.bn2": False, "layer4": True}


def test_layer4_of_the_full_network_is_the_full_heads_relu():
    head = head_of(512, "full")
    trunk = networks.Trunk(NETWORK)
    pixels = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    expected = extraction.capture(head, trunk(pixels), "relu")
    network = networks.full_network(NETWORK, head)
    for ours, theirs in zip(extraction.capture_layer(network, "layer4", (pixels - trunk.mean) / trunk.std), expected):
        torch.testing.assert_close(ours, theirs)


def test_batches_and_classes_of_a_layer():
    network = torchvisions("resnet18")
    exact = copy.deepcopy(network).double()  # in float32 a batch may be summed in another order than its images
    for one, at_once in zip(
        extraction.capture_layer(exact, "layer3", IMAGES, batch=1), extraction.capture_layer(exact, "layer3", IMAGES)
    ):
        torch.testing.assert_close(one, at_once)
    for classes in ([7, 7, 2], torch.tensor([7, 7, 2])):
        _, gradients, _ = extraction.capture_layer(network, "layer4", IMAGES, classes, batch=2)
        expected = network.fc.weight[[7, 7, 2]].detach()[:, :, None, None] / 4
        torch.testing.assert_close(gradients, expected.expand_as(gradients))


def test_a_network_of_another_precision():
    network = pretrained.resnet18("random").double()
    found = extraction.capture_layer(network, "layer4", IMAGES)
    assert all(part.dtype == torch.float32 for part in found)
    for part, expected in zip(found, extraction.capture_layer(NETWORK, "layer4", IMAGES)):
        torch.testing.assert_close(part, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name, layer", [("vgg16", "features.29"), ("resnet50", "layer2")])
def test_maps_of_any_network_are_selected_and_shown(name, layer):
    maps, gradients, logits = extraction.capture_layer(torchvisions(name), layer, IMAGES[:2])
    importance = feature_maps.importance(gradients)
    problems = feature_selection.problems(maps, importance)
    selected, infos = by_name.solve_all(problems, "exact")
    assert (0 < selected.sum(1)).all() and not (selected & (importance.numpy() <= 0)).any()
    cam = cams.grad_cam(maps, importance, selected)
    assert cam.shape == (2, *maps.shape[2:]) and cam.amax((1, 2)).min() > 0
    assert cams.heatmap(cam, 64).shape == (2, 64, 64)


@pytest.mark.parametrize(
    "layer, message",
    [
        ("layer9", "no layer 'layer9': did you mean 'layer"),
        ("conv5_block3_out", r"no layer 'conv5_block3_out': its names are in network.named_modules\(\)"),
        ("fc", r"'fc' gives \(3, 1000\), not maps"),
        ("", r"'' gives \(3, 1000\), not maps"),
        ("layer4.1.relu", r"'layer4.1.relu' runs 2 times in a forward pass"),
    ],
)
def test_layers_without_maps_are_refused(layer, message):
    with pytest.raises(ValueError, match=message):
        extraction.capture_layer(NETWORK, layer, IMAGES)


@pytest.mark.parametrize(
    "layer, message",
    [
        ("unused", "'unused' runs 0 times"),
        ("twice", "'twice' runs 2 times"),
        ("pair", "'pair' gives tuple, not maps"),
        ("conv", "no gradient reaches layer 'conv'"),
    ],
)
def test_layers_of_a_twisted_network_are_refused(layer, message):
    with pytest.raises(ValueError, match=message):
        extraction.capture_layer(Twisted().eval(), layer, IMAGES)


@pytest.mark.parametrize(
    "network, arguments, message",
    [
        (NETWORK, (IMAGES[0],), r"images must be \(B, 3, S, S\) floats"),
        (NETWORK, (IMAGES[:0],), r"images must be \(B, 3, S, S\) floats"),
        (NETWORK, (IMAGES.byte(),), "normalised as the network expects, got .* torch.uint8"),
        (NETWORK, (IMAGES, [1, 2]), r"class_index must be \(B,\) = \(3,\) .* got shape \(2,\)"),
        (NETWORK, (IMAGES, 1), r"class_index must be \(B,\) = \(3,\)"),
        (NETWORK, (IMAGES * torch.nan,), r"NaN or infinite values \(\d+ of \d+\): check the images"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), (IMAGES,), r"training mode, .* call network.eval\(\)"),
        (nn.Sequential(nn.Conv2d(3, 4, 3)).eval(), (IMAGES,), "must return logits"),
    ],
)
def test_what_does_not_fit_is_refused(network, arguments, message):
    layer = "layer4" if network is NETWORK else "0"
    with pytest.raises(ValueError, match=message):
        extraction.capture_layer(network, layer, *arguments)


def test_a_single_module_in_training_mode_is_refused():
    network = pretrained.resnet18("random")
    network.layer3[0].bn1.train()
    with pytest.raises(ValueError, match="training mode"):
        extraction.capture_layer(network, "layer4", IMAGES)


@pytest.mark.parametrize("layer", ["layer3", "layer3.0.relu", "fc"])
def test_the_network_is_left_as_it_was(layer):
    network = pretrained.resnet18("random")
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
    network = pretrained.resnet18("random")
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
    network, images = pretrained.resnet18("random"), torch.rand(2, 3, 64, 64)
    for kept in (np.ones((2, 64), bool), np.ones((1, 512), bool), np.ones((2, 512)), torch.ones(512, dtype=torch.bool)):
        with pytest.raises(ValueError, match=r"kept must be \(2, 512\) bool to go with the maps of 'layer4'"):
            extraction.propagate(network, "layer4", images, kept)
    with pytest.raises(ValueError, match=r"kept must be \(B, N\) numbers, got shape \(512,\)"):
        extraction.propagate(network, "layer4", images, np.ones(512, bool))
    with pytest.raises(ValueError, match="no layer 'layer5'"):
        extraction.propagate(network, "layer5", images, kept)


def test_nothing_to_take_maps_from_is_named():
    head = networks.build_head(16, "paper", NETWORK, size=4).eval()
    with pytest.raises(ValueError, match="at least one target"):
        extraction.arrays(head, torch.rand(2, 256, 4, 4), ())
    with pytest.raises(ValueError, match="no images"):
        extraction.capture(head, torch.rand(0, 256, 4, 4))


def small_transformers():
    """{name: (network, layer, reshape, pytorch-grad-cam's reshape_transform)} whose layers do not give (B, N, H, W)."""
    from torchvision.models import ConvNeXt, SwinTransformer, VisionTransformer
    from torchvision.models.convnext import CNBlockConfig

    def last(output):
        return output.transpose(2, 3).transpose(1, 2)

    def of_tokens(output):
        return output[:, 1:].reshape(len(output), 8, 8, output.shape[2]).transpose(2, 3).transpose(1, 2)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        swin = SwinTransformer([4, 4], 16, [1, 2], [2, 2], [4, 4], num_classes=5)
        convnext = ConvNeXt([CNBlockConfig(8, 12, 2), CNBlockConfig(12, None, 1)], num_classes=5, layer_scale=1.0)
        vit = VisionTransformer(64, 8, 2, 2, 32, 64, num_classes=5)
        nn.init.normal_(vit.heads.head.weight)
    return {
        "swin": (swin.eval(), "features.3.1.norm1", extraction.channels_last, last),
        "convnext": (convnext.eval(), "features.3.0.block.2", extraction.channels_last, last),
        "vit": (vit.eval(), "encoder.layers.encoder_layer_1.ln_1", extraction.tokens(8, 8), of_tokens),
    }


TRANSFORMERS = small_transformers()


def by_autograd(network, layer, images, classes):
    """Output of a layer and the gradients of class logits with respect to it, in the network's own layout."""
    held = []

    def hook(module, inputs, output):
        output.retain_grad()
        held.append(output)

    with network.get_submodule(layer).register_forward_hook(hook):
        logits = network(images)
    logits[range(len(images)), classes].sum().backward()
    network.zero_grad()
    return held[0].detach(), held[0].grad, logits.detach()


@pytest.mark.parametrize("name", TRANSFORMERS)
@pytest.mark.parametrize("batch", [2, 16])
def test_reshaped_maps_and_gradients_equal_autograds(name, batch):
    network, layer, reshape, theirs = TRANSFORMERS[name]
    output, gradient, logits = by_autograd(network, layer, IMAGES, [4, 0, 2])
    for way in (reshape, theirs):
        found = extraction.capture_layer(network, layer, IMAGES, [4, 0, 2], batch=batch, reshape=way)
        for part, expected in zip(found, (theirs(output), theirs(gradient), logits)):
            torch.testing.assert_close(part, expected, rtol=1e-4, atol=1e-6)
        assert found[1].any()


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_grad_cam_of_a_transformer_equals_pytorch_grad_cams(name):
    library = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    network, layer, reshape, transform = TRANSFORMERS[name]
    with library.GradCAM(network, [network.get_submodule(layer)], transform) as cam:
        expected = cam(IMAGES, [ClassifierOutputTarget(3)] * 3)
    maps, gradients, _ = extraction.capture_layer(network, layer, IMAGES, [3] * 3, reshape=reshape)
    found = cams.heatmap(cams.grad_cam(maps, feature_maps.importance(gradients)), 64)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_propagating_reshaped_maps_zeroes_them_where_they_stand(name):
    network, layer, reshape, _ = TRANSFORMERS[name]
    n = extraction.capture_layer(network, layer, IMAGES, reshape=reshape)[0].shape[1]
    kept = torch.rand(3, n, generator=torch.Generator().manual_seed(0)) < 0.5

    def zero(module, inputs, output):
        output = output.clone()
        for b, row in enumerate(kept):
            if name == "vit":
                output[b, 1:, ~row] = 0  # the class token is handed on
            else:
                output[b, :, :, ~row] = 0
        return output

    with network.get_submodule(layer).register_forward_hook(zero), torch.no_grad():
        expected = network(IMAGES)
    found = extraction.propagate(network, layer, IMAGES, kept.tolist(), batch=2, reshape=reshape)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    everything = extraction.propagate(network, layer, IMAGES, torch.ones_like(kept), reshape=reshape)
    torch.testing.assert_close(everything, network(IMAGES).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "name, reshape, message",
    [
        (
            "swin",
            None,
            r"gives \(3, 8, 8, 32\), but maps of square images are square.* reshape=extraction.channels_last",
        ),
        ("convnext", None, "but maps of square images are square"),
        ("vit", None, r"gives \(3, 65, 32\), not maps \(B, N, H, W\): choose .*, or give reshape"),
        ("vit", extraction.tokens(7, 7), "reshape fails on the output .* of layer"),
        ("vit", extraction.tokens(9, 9), "reshape fails"),
        ("swin", lambda x: x.mean(1), "reshape fails"),
        ("swin", lambda x: x.permute(0, 3, 1, 2) * 2, "reshape may only select and reorder the numbers"),
        ("swin", lambda x: x.permute(0, 3, 1, 2).abs(), "reshape may only select and reorder the numbers"),
        ("swin", lambda x: x[..., :1].expand(-1, -1, -1, 4), "reshape may only select and reorder the numbers"),
        ("swin", lambda x: x[:1].permute(0, 3, 1, 2), "reshape must give maps .* B = 3 .* got "),
        ("swin", lambda x: x.flatten(1), "reshape must give maps"),
        ("swin", lambda x: None, "reshape fails"),
    ],
)
def test_what_is_no_reshape_is_refused(name, reshape, message):
    network, layer, _, _ = TRANSFORMERS[name]
    with pytest.raises(ValueError, match=message):
        extraction.capture_layer(network, layer, IMAGES, reshape=reshape)
    with pytest.raises(ValueError, match=message):
        extraction.propagate(network, layer, IMAGES, np.ones((3, 32), bool), reshape=reshape)


def test_as_many_maps_as_rows_and_columns_are_told_of():
    network = nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.LayerNorm(8), nn.Flatten(), nn.Linear(512, 2)).eval()
    with pytest.warns(UserWarning, match=r"gives \(3, 8, 8, 8\), taken for \(B, N, H, W\)"):
        extraction.capture_layer(network, "1", IMAGES)


def one_logit():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1)
        return nn.Sequential(*layers).eval()


def test_a_network_of_one_logit_has_two_classes():
    network = one_logit()
    output, gradient, logits = by_autograd(network, "1", IMAGES, [0] * 3)
    for classes, sign in ((None, 1), ([1, 1, 1], 1), ([0, 0, 0], -1)):
        maps, gradients, found = extraction.capture_layer(network, "1", IMAGES, classes)
        torch.testing.assert_close(gradients, sign * gradient)
        torch.testing.assert_close(maps, output), torch.testing.assert_close(found, logits)
    with pytest.raises(ValueError, match="class_index must be whole numbers from 0 to 1, got 2"):
        extraction.capture_layer(network, "1", IMAGES, [0, 1, 2])
    torch.testing.assert_close(tensors.two_classes(logits).softmax(1)[:, 1:], logits.sigmoid())


WRAPPED = {
    "compiled": lambda network: torch.compile(network, backend="eager"),
    "data parallel": nn.DataParallel,
    "both": lambda network: torch.compile(nn.DataParallel(network), backend="eager"),
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED.keys())
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
def test_wrappers_are_looked_into(wrap, prefix):
    network = wrap(one_logit()).eval()
    if prefix and f"{prefix}1" not in dict(network.named_modules()):
        pytest.skip("no name of this wrapper")
    for found, expected in zip(
        extraction.capture_layer(network, f"{prefix}1", IMAGES), extraction.capture_layer(one_logit(), "1", IMAGES)
    ):
        torch.testing.assert_close(found, expected)


def test_weights_and_images_of_inference_mode():
    expected = extraction.capture_layer(one_logit(), "1", IMAGES)
    head = head_of()
    of_head = extraction.capture(head, FEATURES, class_index=[1, 2, 3])
    with torch.inference_mode():
        network, images, same = one_logit(), IMAGES.clone(), head_of()
        inside = extraction.capture_layer(network, "1", images), extraction.capture(same, FEATURES, "block", [1, 2, 3])
    outside = extraction.capture_layer(network, "1", images), extraction.capture(same, FEATURES, "block", [1, 2, 3])
    for found in (inside, outside):
        for part, wanted in zip((*found[0], *found[1]), (*expected, *of_head)):
            torch.testing.assert_close(part, wanted)


def quantised():
    torch.backends.quantized.engine = "x86" if "x86" in torch.backends.quantized.supported_engines else "qnnpack"
    return torchvision.models.quantization.resnet18(weights=None, quantize=True).eval()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: torch.jit.script(one_logit()),
            "a network of TorchScript has no layers to look into: give the network it",
        ),
        (lambda: torch.jit.trace(one_logit(), IMAGES), "a network of TorchScript"),
        (lambda: nn.Sequential(torch.jit.script(one_logit()), nn.Identity()).eval(), "a network of TorchScript"),
        (quantised, "a quantised network has no gradients: give the network of floats"),
        (lambda: torch.ao.quantization.quantize_dynamic(one_logit(), {nn.Linear}), "a quantised network"),
        (lambda: "resnet18", "the network must be a torch.nn.Module, got str"),
    ],
)
def test_networks_without_gradients_are_refused(make, message):
    network = make()
    for call in (extraction.capture_layer, lambda *of: extraction.propagate(*of, np.ones((3, 4), bool))):
        with pytest.raises(ValueError, match=message):
            call(network, "1", IMAGES)


def test_a_float_network_of_the_quantisable_kind_is_no_quantised_one():
    network = torchvision.models.quantization.resnet18(weights=None, quantize=False).eval()
    assert extraction.capture_layer(network, "layer3", IMAGES[:1])[0].shape == (1, 256, 4, 4)


@pytest.mark.parametrize("layer", [["layer3"], ("layer3", "layer4"), {"layer3"}])
def test_one_layer_at_a_time(layer):
    with pytest.raises(ValueError, match="one layer at a time"):
        extraction.capture_layer(NETWORK, layer, IMAGES)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("classes", [None, [1, 1, 1]])
def test_one_number_that_is_not_finite_is_an_error_that_names_it(value, classes):
    network = copy.deepcopy(NETWORK)
    network.fc.bias.data[5] = value
    with pytest.raises(ValueError, match="^logits must be finite.*: check the images and the network"):
        extraction.capture_layer(network, "layer4", IMAGES, classes)
    with pytest.raises(ValueError, match="^logits must be finite"):
        extraction.propagate(network, "layer4", IMAGES, np.ones((3, 512), bool))
    head = head_of()
    head.classifier.bias.data[5] = value
    with pytest.raises(ValueError, match="^logits must be finite.*: check the trunk's inputs"):
        extraction.capture(head, FEATURES, class_index=classes)
    with pytest.raises(ValueError, match="^logits must be finite"):
        extraction.arrays(head, FEATURES, ["conv"])


def test_maps_too_large_for_half_precision_are_not_kept():
    head = head_of()
    head.block.conv.weight.data *= 1e7
    with pytest.raises(ValueError, match="maps of 'conv' in half precision must be finite, got NaN or infinite"):
        extraction.arrays(head, FEATURES, ["conv"])


@pytest.mark.parametrize("part", ["whole", "block.bn", "classifier"])
def test_a_head_in_training_mode_is_refused_and_left_alone(part):
    head = head_of()
    (head if part == "whole" else head.get_submodule(part)).train()
    before = copy.deepcopy(head.state_dict())
    modes = [module.training for module in head.modules()]
    for call in (lambda: extraction.capture(head, FEATURES), lambda: extraction.arrays(head, FEATURES, ["block"])):
        with pytest.raises(ValueError, match=r"the head is in training mode, .* call head.eval\(\)"):
            call()
    assert [module.training for module in head.modules()] == modes
    assert all(torch.equal(before[key], value) for key, value in head.state_dict().items())


@pytest.mark.parametrize("given", [list, tuple, np.array, torch.tensor, iter, lambda c: np.array(c, float)])
def test_classes_of_any_kind_of_sequence(given):
    _, gradients, _ = extraction.capture(head_of(), FEATURES, class_index=given([7, 7, 2]))
    torch.testing.assert_close(gradients, head_of().classifier.weight.view(10, 16, 4, 4)[[7, 7, 2]])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: extraction.capture(head_of(), FEATURES, class_index=[0.5, 1, 2]), "class_index must be whole numbers"),
        (lambda: extraction.capture(head_of(), FEATURES, class_index=[0, 1, 10]), "class_index must be whole numbers"),
        (lambda: extraction.capture(head_of(), FEATURES, class_index=["cat"] * 3), "class_index must be"),
        (lambda: extraction.capture(head_of(), FEATURES, batch=0), "batch must be a whole number of at least 1, got 0"),
        (lambda: extraction.capture(head_of(), FEATURES[0]), r"features must be \(B, channels, s, s\) floats"),
        (lambda: extraction.capture(head_of(), FEATURES[:, :7]), "ReducedHead cannot take an input of shape"),
        (lambda: extraction.capture(NETWORK, FEATURES), "the head must have stages, .* got ResNet"),
        (
            lambda: extraction.capture_layer(NETWORK, "layer4", IMAGES[:, :1]),
            r"ResNet cannot take an input .*\(3, 1, 64,",
        ),
        (lambda: extraction.propagate(NETWORK, "layer4", IMAGES, [[True], [True, False]]), "kept must be"),
        (lambda: extraction.propagate(NETWORK, "layer4", IMAGES, np.ones((3, 512), bool), batch="2"), "batch must be"),
        (lambda: extraction.tokens(0, 7), "height must be a whole number"),
    ],
)
def test_arguments_that_do_not_fit_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def relu_in_place(output):
    return (output.clamp_(min=0) if output.is_floating_point() else output).permute(0, 3, 1, 2)


def relu_in_place_aside(output):
    maps = output.permute(0, 3, 1, 2).clone()
    relu_in_place(output)
    return maps


def test_a_reshape_that_works_in_place_does_not_change_the_network():
    network, layer, _, _ = TRANSFORMERS["swin"]
    calls = (
        lambda reshape: extraction.capture_layer(network, layer, IMAGES, reshape=reshape)[2],
        lambda reshape: extraction.propagate(network, layer, IMAGES, np.ones((3, 32), bool), reshape=reshape),
    )
    for call in calls:
        with pytest.raises(ValueError, match="reshape may only select and reorder"):
            call(relu_in_place)
        torch.testing.assert_close(call(relu_in_place_aside), network(IMAGES).detach(), rtol=1e-4, atol=1e-5)


def test_a_network_that_works_in_place_does_not_change_the_images():
    network = nn.Sequential(nn.ReLU(inplace=True), *one_logit()).eval()
    images = IMAGES.clone()
    first, second = (extraction.capture_layer(network, "2", images)[2] for _ in range(2))
    extraction.propagate(network, "2", images, np.ones((3, 4), bool))
    assert torch.equal(images, IMAGES) and torch.equal(first, second) and (images < 0).any()


class Changed(nn.Module):
    """A network with one thing changed: what goes in, what comes out."""

    def __init__(self, before=lambda x: x, after=lambda x: x):
        super().__init__()
        self.network, self.before, self.after = one_logit(), before, after
        self.network[-1] = nn.Linear(4, 5)
        self.eval()

    def forward(self, images):
        return self.after(self.network(self.before(images)))


def make_complex(module):
    if isinstance(module, nn.Linear):
        module.weight = nn.Parameter(module.weight.to(torch.complex64))


def halves(images):
    return torch.cat(images.chunk(2, 3))


@pytest.mark.parametrize(
    "network, message",
    [
        (
            Changed(after=lambda x: x.sum(0, keepdim=True)),
            r"must return logits \(3, classes\), a row an image, got .*1, 5",
        ),
        (Changed(after=lambda x: x.repeat(2, 1)), r"must return logits \(3, classes\).* got shape \(6, 5\)"),
        (Changed(halves, lambda x: x[:3] + x[3:]), r"'network.1' gives \(6, 4, 62, 30\), not maps"),
        (Changed(after=lambda x: x.to(torch.complex64)), "must return logits .* got .*complex64"),
        (Changed(after=lambda x: x.to_sparse()), "must return logits .* got .* torch.sparse_coo"),
        (Changed(after=lambda x: x.to("meta")), "must return logits .* got .* on meta"),
        (Changed(after=lambda x: torch.ones(3, 5, requires_grad=True) * 2), "no gradient reaches the maps"),
        (Changed().to("meta"), "the network is on the device 'meta', without numbers"),
        (Changed().apply(make_complex), "the network has complex weights"),
    ],
    ids=str,
)
def test_networks_without_a_row_of_numbers_an_image_are_refused(network, message):
    with pytest.raises(ValueError, match=message):
        extraction.capture_layer(network, "network.1", IMAGES)
    if "no gradient" not in message:
        with pytest.raises(ValueError, match=message):
            extraction.propagate(network, "network.1", IMAGES, np.ones((3, 4), bool))


def test_maps_of_parts_of_an_image_are_brought_together_by_reshape():
    """A layer run on the halves of the images: maps and gradients of the images, by autograd."""
    network = Changed(halves, lambda x: x[:3] + 2 * x[3:])
    output, gradient, logits = by_autograd(network, "network.1", IMAGES, [0, 1, 2])

    def together(output):
        return torch.cat(output.chunk(2), 3)

    found = extraction.capture_layer(network, "network.1", IMAGES, [0, 1, 2], reshape=together)
    for part, expected in zip(found, (together(output), together(gradient), logits)):
        torch.testing.assert_close(part, expected)


def test_heads_without_maps_of_every_image_are_refused():
    class Head(networks.ReducedHead):
        times = 0

        def forward(self, features, tap=None):
            for _ in range(self.times):
                tap(self.stages[-1], features)
            return super().forward(features)

    for times in (0, 2):
        head = Head(4, size=4)
        head.times = times
        with pytest.raises(ValueError, match=f"'relu' came {times} times"):
            extraction.capture(head, FEATURES)


@pytest.mark.parametrize("targets", [5, None, [["block"]], np.array([[1, 2]])])
def test_targets_that_are_no_stages_are_named(targets):
    with pytest.raises(ValueError, match="the head has no stage"):
        extraction.arrays(head_of(), FEATURES, targets)


def test_features_of_a_generator_serve_all_targets():
    found = extraction.arrays(head_of(), iter(FEATURES.numpy()), iter(["conv", "relu"]))
    expected = extraction.arrays(head_of(), FEATURES, ["conv", "relu"])
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("features", [FEATURES.to(torch.complex64), FEATURES.to_sparse(), FEATURES.to("meta")])
def test_features_that_are_no_real_numbers_are_named(features):
    with pytest.raises(ValueError, match="features must be dense real numbers"):
        extraction.capture(head_of(), features)
