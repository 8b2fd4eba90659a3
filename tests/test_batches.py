"""Several images in one call: as one by one, in few passes, and every fault named; the layer that is found."""

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from qafs_utils import explain
from qafs_utils.cnn import checkpoints, datasets, feature_maps, pretrained
from qafs_utils.cnn.networks import FullHead, ReducedHead, Trunk
from qafs_utils.explanations import batches, layers, one_image
from qafs_utils.explanations.view import open_view

IMAGES = datasets.synthetic(3, size=64)[0][:12]
NET = pretrained.resnet18("random")
OF = {"layer": "layer3", "image_size": 64}


def alike(found, alone):
    assert np.array_equal(found.selected, alone.selected) and found.label == alone.label
    assert found.info["energy"] == pytest.approx(alone.info["energy"], rel=1e-5)
    for name in ("maps", "importance", "probabilities", "heatmap", "matrix"):
        np.testing.assert_allclose(getattr(found, name), getattr(alone, name), rtol=1e-4, atol=1e-4, err_msg=name)
    assert np.array_equal(found.image, alone.image) and found.made["call"] == alone.made["call"]


@pytest.mark.parametrize(
    "model, options",
    [
        (checkpoints.Trained(Trunk(NET), ReducedHead(16, size=4), image_size=64), {}),
        (checkpoints.Trained(Trunk(NET), FullHead(NET), image_size=64), {"beta": 0.99}),
        (NET, OF),
        (NET, OF | {"solver": "simulated_annealing", "num_reads": 3, "seed": 5, "size": 4}),
    ],
    ids=["16 maps", "512 maps", "torchvision", "annealed"],
)
def test_several_images_are_explained_as_one_by_one(model, options):
    images = [*IMAGES[:4], IMAGES[4][:, :30], Image.new("RGB", (9, 7), "red")]  # of several sizes and kinds
    found = explain(images, model, batch=4, **options)
    assert isinstance(found, list) and len(found) == 6
    for image, one in zip(images, found):
        alike(one, explain(image, model, **options))


def test_the_passes_are_those_of_a_plain_run(monkeypatch):
    """64 images at N_f = 512: no more than 1.3 times the images that a plain forward pass sees."""
    network, seen = checkpoints.Trained(Trunk(NET), FullHead(NET), image_size=64), {"trunk": 0, "head": 0}
    network.trunk.layers.register_forward_hook(lambda *a: seen.update(trunk=seen["trunk"] + len(a[2])))
    network.head.layer4[0].register_forward_hook(lambda *a: seen.update(head=seen["head"] + len(a[2])))
    monkeypatch.setattr(batches.Chain, "explanation", lambda *a: None)
    assert len(explain(np.tile(IMAGES, (6, 1, 1, 1))[:64], network)) == 64
    assert seen == {"trunk": 64, "head": 64}
    calls = []
    net = pretrained.resnet18("random")
    net.conv1.register_forward_hook(lambda *a: calls.append(len(a[2])))
    explain(np.tile(IMAGES, (6, 1, 1, 1))[:64], net, image_size=64)
    assert calls == [1] + 8 * [8]  # one to find the layer


def forms(form, folder):
    if form == "paths":
        for i, image in enumerate(IMAGES[:3]):
            Image.fromarray(np.moveaxis(image, 0, 2)).save(folder / f"{i}.png")
        return [str(folder / "0.png"), folder / "1.png", (folder / "2.png").read_bytes()]
    pairs = TensorDataset(torch.as_tensor(IMAGES[:3]), torch.tensor([7, 8, 9]))
    return {
        "generator": (image for image in IMAGES[:3]),
        "array": IMAGES[:3],
        "tensor": torch.as_tensor(IMAGES[:3]),
        "pairs": [(image, 3) for image in IMAGES[:3]],
        "data set": pairs,
        "loader": DataLoader(pairs, batch_size=2),
    }[form]


@pytest.mark.parametrize("form", ["paths", "generator", "array", "tensor", "pairs", "data set", "loader"])
def test_images_come_in_every_form(form, tmp_path):
    found = explain(forms(form, tmp_path), NET, batch=2, **OF)
    assert [np.array_equal(one.image, image) for one, image in zip(found, IMAGES)] == [True] * 3


def test_no_image_is_no_explanation():
    assert explain([], NET, **OF) == []


def test_a_class_for_all_or_for_each():
    names = [f"name {i}" for i in range(1000)]
    every = explain(IMAGES[:2], NET, class_index="name 5", class_names=iter(names), **OF)
    each = explain(IMAGES[:3], NET, class_index=[4, "name 5", None], class_names=names, **OF)
    assert [one.label for one in every] == ["name 5"] * 2 and [one.label for one in each[:2]] == ["name 4", "name 5"]
    alike(each[1], every[1])
    assert each[2].class_index == each[2].probabilities.argmax()


@pytest.mark.parametrize("images", [list(IMAGES[:3]), iter(IMAGES[:3])])
@pytest.mark.parametrize("classes", [[1, 2], [1, 2, 3, 4]])
def test_as_many_classes_as_images(images, classes):
    with pytest.raises(ValueError, match="class_index must be one class, or one an image"):
        explain(list(images), NET, class_index=classes, **OF)


def with_bad_ones(folder):
    (folder / "bad.jpg").write_text("no image")
    return [IMAGES[0], folder / "bad.jpg", IMAGES[1], IMAGES[2] / 255, folder / "absent.png", IMAGES[3]]


def test_the_first_bad_image_is_named(tmp_path):
    with pytest.raises(datasets.DataError, match=r"^image 1 \(.*bad.jpg\): .* cannot be read as an image"):
        explain(with_bad_ones(tmp_path), NET, **OF)


def test_bad_images_are_kept_in_their_places(tmp_path):
    with pytest.warns(UserWarning, match="3 of 6 images have no explanation"):
        found = explain(with_bad_ones(tmp_path), NET, batch=2, on_error="keep", **OF)
    assert [isinstance(one, Exception) for one in found] == [False, True, False, True, True, False]
    assert str(found[3]).startswith("image 3: pixels must be uint8") and "absent.png): there is no file" in str(
        found[4]
    )
    for place, image in ((0, 0), (2, 1), (5, 3)):
        alike(found[place], explain(IMAGES[image], NET, **OF))


class Choosy(nn.Module):
    """Its logits are no numbers where an image is dark; where it is red its maps count for nothing."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Conv2d(3, 4, 3)
        self.last = nn.Linear(4, 3)
        self.last.weight.data[:, 0] = 1.0  # a map speaks for every class

    def forward(self, pixels):
        red = pixels[:, :1, 0, 0] > 1.5 + pixels[:, 1:2, 0, 0]
        logits = self.last(self.maps(pixels).mean((2, 3))) * ~red
        return logits + torch.where(pixels.mean((1, 2, 3)) < -1.5, torch.nan, 0)[:, None]


def test_one_image_that_the_network_cannot_see_does_not_spoil_its_batch():
    images = [IMAGES[0], np.zeros((3, 8, 8), np.uint8), IMAGES[1], Image.new("RGB", (8, 8), "red"), IMAGES[2]]
    network = Choosy().eval()
    for options in ({}, {"class_index": 2}):
        with pytest.warns(UserWarning, match="2 of 5"):
            found = explain(images, network, on_error="keep", image_size=8, **options)
        assert re_of(found[1], ValueError, "image 1: logits must be finite")
        assert re_of(found[3], feature_maps.NoPositiveMapError, "image 3: all importances of 'maps' are zero")
        assert not any(isinstance(found[i], Exception) for i in (0, 2, 4))


def re_of(error, kind, text):
    return type(error) is kind and str(error).startswith(text)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"layer": "layer9"}, "^the network has no layer"),
        ({"class_index": 1000}, "^class_index must be whole numbers from 0 to 999"),
        ({"class_index": [1, 1000]}, "^class_index must be whole numbers from 0 to 999"),
        ({"class_names": ["cat"]}, "^class_names must be 1000 labels"),
        ({"batch": 0}, "^batch must be a whole number"),
        ({"on_error": "skip"}, "^unknown on_error 'skip': choose from raise, keep"),
        ({"num_reads": 3}, "^'exact' has no option num_reads"),
    ],
)
@pytest.mark.parametrize("on_error", ["raise", "keep"])
def test_what_is_no_images_fault_names_none(options, message, on_error):
    with pytest.raises(ValueError, match=message):
        explain(IMAGES[:2], NET, **(OF | {"on_error": on_error} | options))


def test_a_bar_for_many_images(capsys):
    explain(list(IMAGES[:3]), NET, **OF)
    assert "explain" not in capsys.readouterr().err
    explain(list(IMAGES[:5]), NET, **OF)
    assert "5/5" in capsys.readouterr().err


def test_answers_without_a_proof_are_told():
    with pytest.warns(UserWarning, match="2 of 2 answers are not proven .* time_limit"):
        explain(IMAGES[:2], NET, beta=0.1, time_limit=0, **OF)


def test_images_one_after_the_other_are_read_when_they_are_asked_for():
    read = []

    def images():
        for image in IMAGES:
            read.append(1)
            yield image

    found = iter(one_image.explanations(images(), NET, batch=2, **OF))
    assert next(found).maps.shape == (256, 4, 4) and len(read) == 2


@pytest.mark.parametrize(
    "name, layer",
    [
        ("resnet18", "layer4"),
        ("vgg11", "avgpool"),
        ("mobilenet_v3_small", "features"),
        ("densenet121", "features"),
        ("squeezenet1_1", "classifier.0"),  # dropout, before the maps of the classes
        ("shufflenet_v2_x0_5", "conv5"),
        ("convnext_tiny", "features"),
        ("swin_t", "permute"),
    ],
)
def test_the_layer_is_found(name, layer):
    network = torchvision.models.get_model(name, weights=None).eval()
    assert layers.find_layer(network, torch.zeros(1, 3, 64, 64)) == layer


def test_no_layer_is_guessed_where_maps_end_before_a_transformer():
    network = torchvision.models.VisionTransformer(64, 16, 1, 2, 16, 32, num_classes=4).eval()
    with pytest.raises(
        ValueError, match="last maps of VisionTransformer are those of 'conv_proj'.*give layer.*reshape"
    ):
        explain(IMAGES[0], network, image_size=64)


@pytest.mark.parametrize(
    "network, message",
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), "no layer of Sequential gives maps"),
        (nn.Sequential(nn.Conv2d(4, 2, 1)), r"cannot look for a layer \(.*channels.*\): give layer"),
    ],
)
def test_networks_without_a_layer(network, message):
    with pytest.raises(ValueError, match=message):
        explain(IMAGES[0], network.eval(), image_size=8)
    with pytest.raises(ValueError, match="in training mode.*call network.eval"):
        explain(IMAGES[0], network.train(), image_size=8)


def test_a_found_layer_leaves_no_hook_behind():
    network = pretrained.resnet18("random")
    layers.find_layer(network, torch.zeros(1, 3, 64, 64))
    assert not any(module._forward_hooks for module in network.modules())


def test_names_of_two_classes_are_no_choice():
    names = ["crane", "dog", "crane"]
    with pytest.raises(ValueError, match="'crane' names the classes 0, 2: give a number"):
        explain(IMAGES[0], Choosy().eval(), class_index="crane", class_names=names, image_size=8)
    with pytest.raises(ValueError, match="give class_names too"):
        explain(IMAGES[0], Choosy().eval(), class_index="crane", image_size=8)
    own = checkpoints.Trained(Trunk(NET), ReducedHead(16, size=4), image_size=64)
    assert explain(IMAGES[0], own, class_index="deer").class_index == 4


class Viewing(nn.Module):
    """Merges axes with `view`, which refuses maps whose channels lie last."""

    def __init__(self):
        super().__init__()
        self.maps, self.last, self.refused = nn.Conv2d(3, 4, 3), nn.Linear(4 * 36, 3), 0

    def forward(self, pixels):
        maps = self.maps(pixels)
        self.refused += maps.is_contiguous(memory_format=torch.channels_last) and not maps.is_contiguous()
        return self.last(maps.view(len(maps), -1))


def test_a_network_that_needs_the_usual_order_gets_it():
    network = Viewing().eval()
    found = explain(list(IMAGES[:3]), network, layer="maps", image_size=8)
    assert network.refused == 1  # else this test shows nothing
    for image, one in zip(IMAGES, found):
        alike(one, explain(image, network, layer="maps", image_size=8))


def test_maps_come_in_the_usual_order():
    orders = []

    def weigh(maps, gradients):
        orders.extend([maps.is_contiguous(), gradients.is_contiguous()])
        return gradients.mean((2, 3))

    explain(list(IMAGES[:2]), NET, weigh=weigh, **OF)
    assert orders == [True] * 4


def test_all_images_of_a_batch_are_within_rounding_of_one_by_one():
    """float32 sums in another order: 1e-5 of the largest number, as of hundreds of terms."""
    view = open_view(NET, layer="layer4")
    together = view.derivatives(list(IMAGES[:4]), [None] * 4)
    for i, image in enumerate(IMAGES[:4]):
        for many, one in zip(together, view.derivatives([image], [None])):
            assert (many[i] - one[0]).abs().max() <= 1e-5 * one.abs().max()
