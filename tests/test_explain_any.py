"""`explain` with networks, images and arguments of every kind that a user may have, and the figures it draws."""

import copy
import datetime
import re
import time

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn
from traitlets import Bunch

from qafs_utils import explain
from qafs_utils.cnn import checkpoints, datasets, extraction, feature_maps, photographs, pretrained
from qafs_utils.cnn.networks import ReducedHead, Trunk
from qafs_utils.conventions import HEADLINE, TEXT
from qafs_utils.explanations import chain
from qafs_utils.explanations.explorer import Explorer
from qafs_utils.explanations.explorer_widgets import ExplorerWidgets
from qafs_utils.plots import minimum_gap as plots
from qafs_utils.qubo import feature_selection
from qafs_utils.solvers import by_name, one_problem

IMAGE = datasets.synthetic(1, size=64)[0][3]
NET = pretrained.resnet18("random")
OF = {"layer": "layer3", "image_size": 64}


def small(channels=3, classes=5, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = nn.Conv2d(channels, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2)
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32, classes)).eval()


def test_a_grey_network_sees_a_grey_image():
    network, grey = small(channels=1), np.asarray(Image.fromarray(np.moveaxis(IMAGE, 0, 2)).convert("L"))
    arguments = {"layer": "3", "image_size": 64, "mean": [0.4], "deviation": (0.2,)}
    found = explain(grey, network, **arguments)
    pixels = (torch.as_tensor(grey / 255)[None, None].float() - 0.4) / 0.2
    maps, gradients, logits = extraction.capture_layer(network, "3", pixels)
    np.testing.assert_allclose(found.probabilities, logits[0].softmax(0), atol=1e-6)
    np.testing.assert_allclose(found.importance, gradients.mean((2, 3))[0], atol=1e-6)
    np.testing.assert_allclose(explain(IMAGE, network, **arguments).maps, found.maps, atol=0.05)  # its colours as grey


def test_a_normalisation_of_ones_own():
    network, mean, deviation = small(), torch.tensor([0.1, 0.2, 0.3]), pd.Series([0.5, 0.6, 1.0])
    found = explain(IMAGE, network, layer="3", image_size=64, mean=mean, deviation=deviation)
    pixels = torch.as_tensor(IMAGE)[None] / 255
    pixels = (pixels - mean.view(3, 1, 1)) / torch.tensor(deviation.tolist()).view(3, 1, 1)
    np.testing.assert_allclose(found.maps, extraction.capture_layer(network, "3", pixels)[0][0], atol=1e-6)


@pytest.mark.parametrize("logit", [-3.0, 0.5])
def test_one_logit_explains_either_class(logit):
    network = small(classes=1)
    network[-1].weight.data = 1e-4 * torch.tensor([1.0, -1.0]).repeat_interleave(16)[None]
    network[-1].bias.data[0] = logit
    p = 1 / (1 + np.exp(-logit))
    none, one, zero = (explain(IMAGE, network, layer="3", image_size=64, class_index=c) for c in (None, 1, 0))
    for found in (none, one, zero):
        np.testing.assert_allclose(found.probabilities, [1 - p, p], atol=1e-2)
    assert (none.class_index, one.class_index, zero.class_index) == (1, 1, 0)
    np.testing.assert_allclose(zero.importance, -one.importance)


def test_a_transformer_is_explained_through_reshape():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        from torchvision.models import SwinTransformer

        network = SwinTransformer([4, 4], 16, [1, 1], [2, 2], [4, 4], num_classes=5).eval()

    class Permuted(nn.Module):
        def __init__(self):
            super().__init__()
            self.swin, self.maps = network, nn.Identity()

        def forward(self, x):
            maps = self.maps(self.swin.norm(self.swin.features(x)).permute(0, 3, 1, 2))
            return self.swin.head(maps.mean((2, 3)))

    found = explain(IMAGE, network, layer="norm", image_size=64, reshape=extraction.channels_last)
    expected = explain(IMAGE, Permuted().eval(), layer="maps", image_size=64)
    for name in ("maps", "importance", "selected", "heatmap", "probabilities"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-5)
    with pytest.raises(ValueError, match="maps of square images are square"):
        explain(IMAGE, network, layer="norm", image_size=64)


NAMES = ["cat", "dog", "owl", "fox", "elk"]


@pytest.mark.parametrize(
    "given",
    [
        NAMES,
        tuple(NAMES),
        np.array(NAMES),
        pd.Series(NAMES, index=[9, 8, 7, 6, 5]),
        pd.Index(NAMES),
        iter(NAMES),
        dict(enumerate(NAMES)),
        {np.int64(i): name for i, name in reversed(list(enumerate(NAMES)))},
    ],
    ids=lambda given: type(given).__name__,
)
def test_class_names_of_every_kind(given):
    found = explain(IMAGE, small(), layer="3", image_size=64, class_names=given, class_index=2)
    assert found.label == "owl" and isinstance(found.label, str)


@pytest.mark.parametrize(
    "given",
    ["abcde", set(NAMES), NAMES[:4], {str(i): n for i, n in enumerate(NAMES)}, 5, {n: i for i, n in enumerate(NAMES)}],
)
def test_class_names_that_do_not_fit(given):
    with pytest.raises(ValueError, match="class_names must be"):
        explain(IMAGE, small(), layer="3", image_size=64, class_names=given)


@pytest.mark.parametrize("form", [bytes, "tensor", "tensor with a graph", "transparent", "premultiplied"])
def test_other_forms_of_an_image(form, tmp_path):
    Image.fromarray(np.moveaxis(IMAGE, 0, 2)).save(tmp_path / "image.png")
    forms = {bytes: (tmp_path / "image.png").read_bytes(), "tensor": torch.as_tensor(IMAGE)}
    forms |= {"transparent": Image.open(tmp_path / "image.png").convert("RGBA")}
    forms |= {"premultiplied": Image.open(tmp_path / "image.png").convert("LA").convert("La")}
    if form == "tensor with a graph":
        with pytest.raises(ValueError, match="must be uint8"):
            photographs.read_image(torch.rand(3, 4, 4, requires_grad=True))
        return
    found = photographs.read_image(forms[form])
    assert found.shape == IMAGE.shape and (form == "premultiplied" or np.array_equal(found, IMAGE))


def test_narrow_photographs_are_no_puzzle():
    for size in ((3, 9), (9, 3), (4, 3), (3, 3)):
        narrow = Image.new("RGB", size, (10, 20, 30))
        assert explain(narrow, small(), layer="3", image_size=64).image.shape == (3, *size[::-1])


@pytest.mark.parametrize(
    "image, error, message",
    [
        ({"cat": IMAGE}, ValueError, "got dict"),
        ({1, 2}, ValueError, "got set"),
        ("https://example.org/cat.jpg", datasets.DataError, "is no file: give urllib.request.urlopen"),
        (np.zeros((3, 8, 4), np.uint8), ValueError, "reads as rows first and as colours first"),
        (np.zeros((3, 8, 3), np.uint8), ValueError, "reads as rows first and as colours first"),
        (b"no image", datasets.DataError, "cannot be read as an image"),
        (Image.new("RGB", (0, 4)), ValueError, "must have pixels"),
        (torch.zeros(3, 8, 8, dtype=torch.bfloat16), ValueError, "must be uint8"),
        (torch.zeros(3, 8, 8, device="meta"), ValueError, "the image must be dense real numbers"),
    ],
)
def test_images_that_do_not_fit(image, error, message):
    with pytest.raises(error, match=message):
        explain(image, NET, **OF)


@pytest.mark.parametrize(
    "change, message",
    [
        *(({"image_size": size}, "image_size must be a whole number") for size in (0, -5, "64", 64.0, (64, 64), 9000)),
        ({"layer": ["layer3"]}, "one layer at a time"),
        ({"size": "2"}, "size must be a whole number"),
        ({"size": -1}, "size must be a whole number"),
        ({"size": 1000}, "exactly 1000 maps are infeasible"),
        ({"time_limit": None}, "time_limit"),
        ({"time_limit": "1"}, "time_limit"),
        ({"solver": "simulated_annealing", "num_reads": "ten"}, "num_reads"),
        ({"solver": ["exact"]}, "unknown solver"),
        ({"pair_sum": "q<p"}, "unknown pair_sum"),
        ({"pair_sum": "all"}, "the authors' J_pp is 0, take 'p!=q'"),
        ({"conventions": "paper"}, "unknown conventions 'paper': choose from headline, text, authors"),
        ({"conventions": ["text"]}, "unknown conventions"),
        ({"seed": "a", "solver": "tabu"}, "seed must be a whole number"),
        ({"class_index": -1}, "class_index must be a whole number"),
        ({"class_index": 1000}, "class_index must be whole numbers from 0 to 999"),
        ({"class_index": [1, 2]}, "class_index must be a whole number"),
        ({"weigh": lambda maps, gradients: None}, "what weigh returns"),
        ({"weigh": lambda maps, gradients: gradients.mean((2, 3)) * np.nan}, "what weigh returns.* NaN or infinite"),
        ({"weigh": "mean"}, "weigh must be a function"),
        ({"mean": (0.5, 0.5, 0.5)}, "mean and deviation go together"),
        ({"mean": (0.5, 0.5), "deviation": (1, 1)}, "mean must be of one channel, grey, or of three"),
        ({"mean": (0.5, 0.5, 0.5), "deviation": (1, 1)}, r"deviation must be \(channels,\) = \(3,\)"),
        ({"mean": (0.5, 0.5, 0.5), "deviation": (1, 1, 0)}, "deviation must lie in"),
        ({"mean": (123.7, 116.3, 103.5), "deviation": (1, 1, 1)}, "mean must lie in .*: they are of pixels in"),
        ({"mean": (0.5,), "deviation": (0.5,)}, "ResNet cannot take an input of shape .*number of channels"),
        ({"mean": "imagenet", "deviation": "imagenet"}, "mean must be"),
    ],
)
def test_arguments_that_do_not_fit(change, message):
    with pytest.raises(ValueError, match=message):
        explain(IMAGE, NET, **(OF | change))


@pytest.mark.parametrize("change", [{"reshape": extraction.channels_last}, {"mean": (0.5,)}, {"deviation": (0.5,)}])
def test_the_compendiums_networks_have_their_own_input(change):
    network = checkpoints.Trained(Trunk(NET), ReducedHead(16, size=4), image_size=64)
    with pytest.raises(ValueError, match=f"{list(change)[0]} is for a torch.nn.Module"):
        explain(IMAGE, network, **change)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("trunk", ReducedHead(4)), "trunk must be a networks.Trunk, got str"),
        ((Trunk(NET), None), "head must be a torch.nn.Module"),
        ((Trunk(NET), ReducedHead(4), "224"), "image_size must be a whole number"),
    ],
)
def test_parts_of_a_network_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        checkpoints.Trained(*arguments)


def test_a_head_for_another_image_size_says_so():
    network = checkpoints.Trained(Trunk(NET), ReducedHead(4, size=14), image_size=64)
    with pytest.raises(ValueError, match="ReducedHead cannot take an input .* check the size of the images"):
        explain(IMAGE, network)


@pytest.mark.parametrize("part", ["trunk", "head", "head.block.bn"])
def test_training_mode_is_refused_and_left_alone(part):
    network = checkpoints.Trained(Trunk(pretrained.resnet18("random")), ReducedHead(16, size=4), 64)
    whole = nn.ModuleDict({"trunk": network.trunk, "head": network.head})
    before = copy.deepcopy(whole.state_dict())
    whole.get_submodule(part).train()
    with pytest.raises(ValueError, match="is in training mode"):
        explain(IMAGE, network)
    assert whole.get_submodule(part).training
    assert all(torch.equal(before[key], value) for key, value in whole.state_dict().items())


def test_a_dead_network_is_said_to_be_so():
    with pytest.raises(feature_maps.NoPositiveMapError, match="all importances of '0' are zero"):
        dead = small()
        nn.init.constant_(dead[2].weight, 0), nn.init.constant_(dead[2].bias, -1)
        explain(IMAGE, dead, layer="0", image_size=64)
    with pytest.raises(feature_maps.NoPositiveMapError, match="all maps of '3' are zero"):
        explain(IMAGE, dead, layer="3", image_size=64)


def test_silent_maps_are_marked_and_counted_apart():
    network = small()
    with torch.no_grad():
        network[2].bias[:3] = -1e3  # three maps are dead, and of positive importance
        network[-1].weight[0] = 1.0
    found = explain(IMAGE, network, layer="3", image_size=64, class_index=0, beta=0.9)
    assert found.silent.tolist() == [True] * 3 + [False] * 5 and found.selected[:3].all()
    lit = int(found.selected[3:].sum())
    figure = found.plot()
    texts = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert texts.count("silent") == 3
    assert f"framed: selected ({lit}), silent: 3" in figure.texts[1].get_text()
    framed = [axis for axis in figure.axes if len(axis.collections) == 1][0].collections[0].get_linewidths()
    assert list(framed).count(1.8) == lit
    assert "0, 1, 2 silent" in repr(found) and "empty" not in repr(found)


def test_an_explanation_in_which_nothing_speaks_for_the_class_says_so():
    network = small()
    with torch.no_grad():
        network[-1].weight[0] = -1.0
    found = explain(IMAGE, network, layer="3", image_size=64, class_index=0, conventions="signed")
    assert not found.heatmap.any() and repr(found).endswith(
        "; empty: no place of these maps speaks for the class, try a larger beta>"
    )


def boxes(texts):
    return [text.get_window_extent() for text in texts]


@pytest.mark.parametrize(
    "name",
    [
        "cat",
        "drilling platform",
        "American Staffordshire terrier",
        "W" * 60,
        "American egret, great white heron, Egretta albus, a bird of marshes and shores",
        "$\\frac{a$",
        "line\nbreak",
        "",
    ],
)
def test_labels_neither_collide_nor_are_cut(name):
    found = explain(IMAGE, small(), layer="3", image_size=64, class_names=[name] * 5)
    figure = found.plot()
    figure.canvas.draw()
    seen = boxes(figure.texts)
    for i, box in enumerate(seen):
        assert box.x0 >= -1 and box.x1 <= figure.bbox.width + 1 and box.y0 >= -1 and box.y1 <= figure.bbox.height + 1
        for other in seen[:i]:
            assert not (box.width and other.width and box.overlaps(other)), (i, figure.texts[i].get_text())
        assert not any(box.overlaps(axis.bbox) for axis in figure.axes[1:] if i < 4), i
    assert re.sub(r"\s", "", name) in re.sub(r"\s", "", figure.texts[3].get_text())


def test_conventions_by_name_as_a_set_and_changed():
    text = explain(IMAGE, NET, conventions="text", **OF)
    assert text.info["conventions"] == "text"
    assert text.info["energy"] == text.problem.energy(text.selected, TEXT.beta, "half")
    assert np.array_equal(explain(IMAGE, NET, conventions=TEXT, **OF).selected, text.selected)
    found = explain(IMAGE, NET, conventions=TEXT, pair_sum="p<q", beta=0.9, **OF)
    assert found.info["conventions"] == "text with pair_sum = p<q, beta = 0.9"
    np.testing.assert_array_equal(found.matrix, found.problem.matrix(0.9, "p<q"))
    authors = explain(IMAGE, NET, conventions="authors", **OF)
    assert authors.problem.field.max() == 0 and authors.info["conventions"] == "authors"  # min-max
    assert len(np.unique(authors.heatmap)) <= 256  # an 8 bit image


@pytest.mark.parametrize("solver, reads", [("simulated_annealing", 100), ("exact", None)])
def test_conventions_hold_the_options_of_solvers(monkeypatch, solver, reads):
    given = []
    select = chain.select
    monkeypatch.setattr(chain, "select", lambda *a, **o: given.append(o) or select(*a, **o))
    explain(IMAGE, NET, conventions="authors", solver=solver, **OF)
    assert given[0].get("num_reads") == reads
    if reads:
        explain(IMAGE, NET, conventions="authors", solver=solver, num_reads=2, **OF)
        assert given[1]["num_reads"] == 2


def test_signed_candidates_keep_their_sign_in_the_explanation():
    found = explain(IMAGE, NET, layer="layer3", conventions="signed", size=9, solver="greedy")
    assert found.problem.d == (found.importance != 0).sum() and (found.importance[found.selected] < 0).any()
    assert found.info["conventions"] == "signed"
    terms = found.importance[found.selected, None, None] * found.maps[found.selected]
    cam = torch.as_tensor(terms.sum(0).clip(0))[None]
    expected = chain.cams.heatmap(cam, found.heatmap.shape[0])[0].numpy()
    np.testing.assert_allclose(found.heatmap, expected, atol=1e-4)


def test_an_explorer_has_the_conventions_of_its_set():
    models = {2: (np.eye(2).reshape(1, 2, 2, 1), np.array([[2.0, 0.0, 1.0, 0.0], [0.0] * 4]), np.zeros(2))}
    headline, text = (Explorer(models, image_size=8, conventions=name) for name in ("headline", "text"))
    views = [explorer.choose(n_features=2) for explorer in (headline, text)]
    for view, use in zip(views, (HEADLINE, TEXT)):
        np.testing.assert_array_equal(view["matrix"], view["problem"].matrix(use.beta, use.pair_sum))
    assert (headline.conventions, text.conventions) == ("headline", "text")
    with pytest.raises(ValueError, match="unknown conventions"):
        Explorer(models, conventions="paper")


def test_what_is_not_proven_says_so():
    exact, heuristic = (explain(IMAGE, NET, solver=s, **OF) for s in ("exact", "greedy"))
    limited = explain(IMAGE, NET, time_limit=0, beta=0.1, **OF)
    assert exact.proven and not heuristic.proven and limited.proven == limited.info["proven"]
    for found in (exact, heuristic, limited):
        texts = [text.get_text() for text in found.plot().texts]
        assert ("energy" in texts) == found.proven and ("energy (not proven)" in texts) != found.proven
        assert ("not proven the lowest" in repr(found)) != found.proven
    problem = feature_selection.Problem(np.arange(2), -np.ones(2), np.eye(2), 2)
    assert one_problem.select(problem, "brute_force")[1]["solver"] == "brute_force"


def test_a_solver_that_works_long_shows_it(monkeypatch, capsys):
    problem = feature_selection.Problem(np.arange(2), -np.ones(2), np.eye(2), 2)
    one_problem.select(problem)
    assert "at work" not in capsys.readouterr().err

    class Slow(by_name.GreedySampler):
        def sample(self, bqm, time_limit=30.0):
            time.sleep(0.6)
            return super().sample(bqm)

    monkeypatch.setattr(one_problem, "PATIENCE", 0.05)
    monkeypatch.setitem(by_name.SOLVERS, "greedy", Slow)
    assert one_problem.select(problem, "greedy")[0].all()
    assert re.search(r"greedy at work: \d of at most 30 s, done", capsys.readouterr().err)


@pytest.fixture
def explorer():
    rng = np.random.default_rng(0)
    models_of = {n: (rng.random((3, n, 4, 4)), rng.normal(size=(10, n * 16)), rng.normal(size=10)) for n in (4, 6)}
    return Explorer(models_of, image_size=32), models_of


def test_what_a_caller_holds_does_not_change_a_view(explorer):
    explorer, given = explorer
    before = explorer.choose(image=1, n_features=6)
    for maps, weight, bias in given.values():
        maps[...], weight[...], bias[...] = 0, 0, 0
    for stage in (explorer.evidence, explorer.problem, explorer.solution):
        stage.cache_clear()
    after = explorer.choose(image=1, n_features=6)
    assert all(np.array_equal(before[key], after[key]) for key in ("selected", "importance", "heatmap", "matrix"))
    held, problem = explorer.problem(1, 6, after["class_index"])
    for array in (
        after["selected"],
        after["importance"],
        problem.field,
        problem.maps,
        problem.redundancy,
        held,
        explorer.evidence(1, 6),
        explorer.maps[6][1],
    ):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    own = {n: np.ones((n, 4, 4)) for n in (4, 6)}
    photograph = IMAGE.copy()
    number = explorer.add(own, photograph)
    own[4][...], photograph[...] = 0, 0
    assert explorer.maps[4][number].all() and np.array_equal(explorer.photographs[number], IMAGE)


@pytest.mark.parametrize(
    "choice, message",
    [
        ({"image": -1}, "image must be a whole number from 0 to 2"),
        ({"image": 3}, "image must be"),
        ({"n_features": 16}, r"n_features must be one of \[4, 6\], got 16"),
        ({"n_features": "4"}, "n_features must be"),
        ({"class_index": 10}, "class_index must be"),
        ({"class_index": -2}, "class_index must be"),
        ({"size": "2"}, "size must be"),
        ({"size": 7}, "exactly 7 maps are infeasible"),
        ({"beta": "0.7"}, "beta must be"),
        ({"solver": ["exact"]}, "unknown solver"),
    ],
)
def test_choices_that_are_not_there(explorer, choice, message):
    with pytest.raises(ValueError, match=message):
        explorer[0].png(**({"n_features": 6} | choice))


def test_the_largest_size_is_known(explorer):
    explorer = explorer[0]
    d = explorer.candidates(image=2, n_features=6)
    assert explorer.choose(image=2, n_features=6, size=d)["selected"].sum() == d
    with pytest.raises(ValueError, match="exactly"):
        explorer.choose(image=2, n_features=6, size=d + 1)


@pytest.mark.parametrize(
    "maps, photograph, message",
    [
        ({4: np.ones((4, 4, 4))}, None, "maps must be of every model"),
        ({4: np.ones((4, 4, 4)), 6: np.ones((6, 4, 3))}, None, "maps of N_f = 6 must have 96 pixels"),
        ({4: np.ones((4, 4, 4)), 6: np.ones((5, 4, 4))}, None, "maps of N_f = 6 must be"),
        ({4: np.ones((4, 4, 4)), 6: np.full((6, 4, 4), np.nan)}, None, "maps of N_f = 6 must be finite, got NaN"),
        ({4: np.ones((4, 4, 4)), 6: np.ones((6, 4, 4))}, np.ones((3, 4, 4)), "pixels must be uint8"),
    ],
)
def test_nothing_is_added_by_half(explorer, maps, photograph, message):
    explorer = explorer[0]
    with pytest.raises(ValueError, match=message):
        explorer.add(maps, photograph)
    assert {len(explorer.maps[4]), len(explorer.maps[6]), len(explorer.photographs)} == {3}


@pytest.mark.parametrize(
    "models_of",
    [
        {},
        None,
        {4: (np.ones((1, 5, 2, 2)), np.ones((10, 20)), np.ones(10))},
        {4: (np.ones((1, 4, 2, 2)), np.ones((10, 15)), np.ones(10))},
        {4: (np.ones((1, 4, 2, 2)), np.ones((10, 16)), np.ones(9))},
    ],
)
def test_models_that_do_not_fit(models_of):
    with pytest.raises(ValueError, match="models must be|of N_f = 4 must"):
        Explorer(models_of)


def test_photographs_for_other_trunks_are_refused(explorer):
    explorer = explorer[0]
    trunks = Trunk(NET), Trunk(pretrained.resnet18("random", seed=1))
    networks = {n: checkpoints.Trained(trunk, ReducedHead(n, size=4), 64) for n, trunk in zip((4, 6), trunks)}
    with pytest.raises(ValueError, match="networks must have one trunk"):
        explorer.add_photograph(IMAGE, networks)
    networks[6] = checkpoints.Trained(Trunk(NET), ReducedHead(6, size=4), 64)
    assert explorer.add_photograph(IMAGE, networks) == 3
    with pytest.raises(ValueError, match="networks must be"):
        explorer.add_photograph(IMAGE, {4: networks[4]})


def test_classes_that_are_not_stl10s_have_no_names():
    maps, weight = np.random.default_rng(0).random((1, 4, 2, 2)), np.random.default_rng(1).normal(size=(3, 16))
    figure = Explorer({4: (maps, weight, np.zeros(3))}, image_size=32).figure(n_features=4, class_index=1)
    assert figure.texts[3].get_text() == "explanation of “class 1”"


def test_gaps_of_zero_are_in_the_lowest_bin():
    edges = np.array([0.01, 0.1, 1.0])
    gaps = np.array([0.0, 0.02, 0.3])
    figure = plots.gap_histogram(gaps, 2 * gaps, edges, np.array([3, 1]), ["p!=q", "half"])
    ours = figure.axes[0].patches[0].get_data()
    assert ours.values.sum() == pytest.approx(1) and ours.values[0] == pytest.approx(2 / 3) and ours.edges[0] == 0.01
    plt.close(figure)


@pytest.mark.parametrize(
    "call, message",
    [
        *(
            (lambda e, n=n: e.choose(n_features=n), "n_features must be")
            for n in (np.array([4, 4]), pd.Series([4]), torch.tensor([4, 6]), None, 4.5, True)
        ),
        *((lambda e, m=m: e.add(m), "maps must be of every model, a dict by N_f") for m in (None, [4], "4")),
        *((lambda e, n=n: e.add_photograph(IMAGE, n), "networks must be") for n in (None, [4], {4: None, 6: None})),
        *((lambda e, d=d: e.png(n_features=4, dpi=d), "dpi must be a number") for d in (None, "a", 0, 10**9)),
        *(
            (lambda e, m=m: Explorer(m), "models must be|N_f must be|maps of N_f")
            for m in (
                {4: 5},
                {4: None},
                {4: (5,)},
                {4: (5, np.ones((10, 16)), np.ones(10))},
                {"4": ([], np.ones((2, 4)), [0, 0])},
                {4: (np.ones((4, 2, 2)), np.ones((10, 16)), np.ones(10))},
            )
        ),
        *(
            (lambda e, p=p: Explorer({4: (np.ones((3, 4, 2, 2)), np.ones((2, 16)), [0, 0])}, p), "photographs must be")
            for p in (5, "abc", IMAGE, {0: IMAGE})
        ),
    ],
)
def test_what_an_explorer_refuses_is_named(explorer, call, message):
    with pytest.raises(ValueError, match=message):
        call(explorer[0])


@pytest.mark.parametrize("kind", [float, np.int64, torch.tensor, np.array])
def test_numbers_of_any_kind_choose_a_view(explorer, kind):
    choice = {"image": 1, "n_features": 4, "class_index": 2, "size": 1}
    found = explorer[0].choose(**{name: kind(value) for name, value in choice.items()})
    assert np.array_equal(found["selected"], explorer[0].choose(**choice)["selected"])
    figure = explorer[0].figure(**{name: kind(value) for name, value in choice.items()})
    assert [a.get_text() for a in figure.texts] == [a.get_text() for a in explorer[0].figure(**choice).texts]


def test_nothing_of_a_view_can_be_written_to(explorer):
    view = explorer[0].choose(n_features=4)
    arrays = [value for value in view.values() if isinstance(value, np.ndarray)]
    assert len(arrays) == 4 and not any(array.flags.writeable for array in arrays)


@pytest.mark.parametrize("size", [64.0, 15, True, None, "64", 10**9])
def test_a_trained_networks_image_size_is_whole(size):
    with pytest.raises(ValueError, match="image_size must be a whole number"):
        checkpoints.Trained(Trunk(NET), ReducedHead(4), size)


@pytest.fixture
def controls(explorer):
    choice = {"image": 0, "n_features": 4, "class_index": -1, "beta": 0.7, "size": 0, "solver": "exact"}
    trunk = Trunk(NET)
    given = ExplorerWidgets(
        explorer[0], [3, 5, 8], choice, network=lambda n: checkpoints.Trained(trunk, ReducedHead(n, size=4), 64)
    )
    return given


def test_moving_a_control_changes_the_view(controls):
    before = controls.view.value
    controls.controls["beta"].value = 0.95
    assert controls.view.value != before and not controls.message.value
    controls.controls["beta"].value = 0.7
    assert controls.view.value == before
    controls.controls["size"].value = 4
    assert (
        controls.controls["size"].value <= controls.explorer.candidates(n_features=4) == controls.controls["size"].max
    )


def test_a_choice_without_an_answer_hides_the_view(controls):
    maps, weight, bias = np.ones((1, 4, 2, 2)), -np.ones((10, 16)), np.zeros(10)
    controls.explorer = Explorer({4: (maps, weight, bias)}, image_size=32)
    controls.controls["beta"].value = 0.5
    assert "No answer to this choice" in controls.message.value and controls.view.layout.visibility == "hidden"


def test_an_uploaded_photograph_is_shown(controls, tmp_path):
    Image.fromarray(np.moveaxis(IMAGE, 0, 2)).save(tmp_path / "cat.png")
    for content, visible in ((b"no image", "visible"), ((tmp_path / "cat.png").read_bytes(), "visible")):
        file = {"name": "cat.png", "type": "image/png", "size": len(content), "content": memoryview(content)}
        controls.upload.value = (Bunch(file, last_modified=datetime.datetime.now()),)
        assert controls.view.layout.visibility == visible
        assert ("cannot be read as an image" in controls.message.value) == (content == b"no image")
    assert controls.controls["image"].value == 3 and controls.controls["image"].options[-1] == ("3: cat.png", 3)


def test_averages_over_all_images(explorer):
    explorer = explorer[0]
    views = [explorer.choose(i, 6, beta=0.5) for i in range(3)]
    averages = explorer.averages(6, beta=0.5)
    assert averages["selected"] == np.mean([view["selected"].sum() for view in views]) and averages["optimal"] == 1
    assert averages["P, selected"] == pytest.approx(np.mean([view["scores"]["probability"] for view in views]))
