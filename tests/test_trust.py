"""Measures, controls, sanity checks and the watermark: by hand, by loops, and against SciPy."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch

from qafs_utils.cnn import checkpoints, feature_maps, networks, pretrained, training
from qafs_utils.cnn.heads import head_name
from qafs_utils.explanations import adcc, cams, road, sanity, trust, watermark
from qafs_utils.plots import trust_in_measures as plots
from qafs_utils.qubo import feature_selection, landscape

WEIGHTS = [(dy, dx, 1 / 12 if dy and dx else 1 / 6) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]


def weighted_mean(image, y, x):
    """Of the neighbours of a pixel that lie in the image."""
    height, width = image.shape
    near = [(y + dy, x + dx, w) for dy, dx, w in WEIGHTS if 0 <= y + dy < height and 0 <= x + dx < width]
    return sum(w * image[i, j] for i, j, w in near) / sum(w for *_, w in near)


@pytest.fixture(scope="module")
def trained():
    net, arrays = pretrained.resnet18("random"), {}
    for n in (6, 512):
        head = networks.build_head(n, "paper", net, size=2)
        arrays |= {f"{head_name(n)}/{k}": v for k, v in checkpoints.head_arrays(head).items()}
    arrays["weights"] = pretrained.fingerprint(networks.Trunk(net))
    return checkpoints.trained_networks(arrays, weights="random", image_size=32, device="cpu")


@pytest.fixture(scope="module")
def pixels():
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


# ROAD


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_imputed_pixels_are_the_means_of_their_neighbours(part):
    rng = np.random.default_rng(3)
    image, gone = rng.random((3, 7, 5)), rng.random((7, 5)) < part
    filled = road.impute(image, gone, noise=0)
    np.testing.assert_allclose(filled[:, ~gone], image[:, ~gone], rtol=1e-6)
    for colour in filled:
        for y, x in np.argwhere(gone):
            assert colour[y, x] == pytest.approx(weighted_mean(colour, y, x), abs=1e-5)


def test_imputation_keeps_what_is_flat_and_adds_noise_where_it_fills():
    gone = np.zeros((40, 40), bool)
    gone[5:35, 5:35] = True
    flat = np.full((3, 40, 40), 0.5)
    np.testing.assert_allclose(road.impute(flat, gone, noise=0), 0.5, atol=1e-6)
    noisy = road.impute(flat, gone, noise=0.02, seed=1)
    assert noisy[:, gone].std() == pytest.approx(0.02, rel=0.1) and (noisy[:, ~gone] == 0.5).all()
    assert np.array_equal(noisy, road.impute(flat, gone, noise=0.02, seed=1))
    assert road.impute(flat, gone, noise=5.0).min() >= 0 and road.impute(flat, gone, noise=5.0).max() <= 1
    np.testing.assert_array_equal(road.impute(flat, ~gone & gone), flat.astype(np.float32))
    with pytest.raises(ValueError, match="every pixel is removed"):
        road.impute(flat, gone | ~gone)
    with pytest.raises(ValueError, match="removed must be"):
        road.impute(flat, gone[:3])


def test_orders_are_each_others_opposite():
    heatmap = np.random.default_rng(0).permutation(20.0 * np.arange(20)).reshape(1, 4, 5)
    rank = road.ranks(heatmap)
    first, last = (road.removed(rank, 0.3, order) for order in road.ORDERS)
    assert set(heatmap[first]) == set(np.sort(heatmap.ravel())[-6:]) and set(heatmap[last]) == set(20.0 * np.arange(6))
    assert np.array_equal(road.removed(rank, 0.7, "lerf"), ~first)
    ties = road.ranks(np.zeros((2, 10, 10)), seed=1)
    assert np.array_equal(ties[0], ties[1]) and np.array_equal(np.sort(ties[0].ravel()), np.arange(100))
    assert np.corrcoef(ties[0].ravel(), np.arange(100))[0, 1] < 0.5  # not in the order of the rows
    with pytest.raises(ValueError, match="order"):
        road.removed(rank, 0.3, "random")


def test_blind_controls_have_the_values_and_the_smoothness_but_not_the_image():
    from scipy import ndimage

    rng = np.random.default_rng(0)
    smooth = np.stack([ndimage.gaussian_filter(rng.normal(size=(14, 14)), width) for width in (0.1, 1, 2) * 20])
    given = torch.as_tensor(smooth).clamp_min(0)
    noise = road.blind(given)
    assert torch.equal(noise.flatten(1).sort().values, given.flatten(1).sort().values)
    before, after = road.smoothness(given).reshape(20, 3), road.smoothness(noise).reshape(20, 3)
    np.testing.assert_allclose(after, before, atol=0.2)
    np.testing.assert_allclose(after.mean(0), before.mean(0), atol=0.03)
    assert before.mean(0)[0] < 0.2 and before.mean(0)[2] > 0.8  # they do differ
    alike = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(given.numpy(), noise.numpy())]
    assert abs(np.mean(alike)) < 0.15
    assert not torch.equal(noise, road.blind(given, seed=1)) and torch.equal(noise, road.blind(given))
    assert torch.equal(road.blind(torch.zeros(1, 3, 3)), torch.zeros(1, 3, 3))


def test_the_right_order_scores_one_and_the_wrong_one_minus_one():
    photographs = torch.zeros(2, 3, 8, 8)
    photographs[:, :, :2, :2] = 1.0

    def score(images):  # class 0, as long as the corner is bright
        bright = images[:, :, 0, 0].mean(1)
        return torch.stack([bright, 1 - bright], 1)

    right = torch.zeros(2, 8, 8)
    right[:, :2, :2] = 1.0
    maps = {"right": right, "wrong": -right, "again": right.clone()}
    seen = []

    def counting(images):
        seen.append(len(images))
        return score(images)

    found = road.answers(counting, photographs, maps, [0, 0], fractions=[0.1, 0.5], size=8, noise=0.0)
    assert found["right"].shape == (2, 2, 2, 2)
    np.testing.assert_allclose(road.scores(found)["right"], 1.0)
    np.testing.assert_allclose(road.scores(found)["wrong"], -1.0)
    np.testing.assert_array_equal(found["right"], found["again"])
    assert sum(seen) <= 2 * 2 * 2 * 2  # what two methods remove alike is scored once
    table = road.against_controls({"a": [1.0, 0.5, 0.0], "blind a": [0.0, 0.5, 1.0], "centre": [0.0, 0.0, 0.0]})
    assert table[["value", "blind", "minus_blind", "minus_centre"]].values.tolist() == [[0.5, 0.5, 0.0, 0.5]]


# ADCC


def test_adcc_is_the_harmonic_mean_and_coherency_pearsons_r():
    rng = np.random.default_rng(0)
    drop, alike, area = rng.random((3, 9))
    np.testing.assert_allclose(adcc.adcc(drop, alike, area), scipy.stats.hmean([1 - drop, alike, 1 - area]))
    first, other = rng.random((2, 4, 5, 6))
    wanted = [(scipy.stats.pearsonr(a.ravel(), b.ravel())[0] + 1) / 2 for a, b in zip(first, other)]
    np.testing.assert_allclose(adcc.coherency(first, other), wanted)
    assert adcc.adcc([0.2, 1.0], [0.0, 0.5], [0.1, 0.1]).tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="drop must lie in"):
        adcc.adcc([1.5], [0.5], [0.5])


def test_all_measures_of_a_head_in_one_table(trained, pixels):
    photographs, head = (255 * pixels).byte(), trained.head(6)
    features, methods = trained.trunk(pixels), ["Grad-CAM", "exact_0.70"]
    table = trust.measures(
        trained.trunk,
        head,
        photographs,
        features,
        sanity.explain,
        methods,
        image_size=32,
        fractions=[0.3],
        n_resamples=5,
    )
    assert set(table.measure) == {"ROAD", "ROAD, probability", "ADCC", "DROP", "COHERENCY", "COMPLEXITY"}
    area = table.set_index(["measure", "method"]).loc["COMPLEXITY"]
    classes = training.predict(head, features).argmax(1)
    cam = sanity.explain(head, features, classes).cams["exact_0.70"]
    assert area.value["exact_0.70"] == pytest.approx(float(cams.heatmap(cam, 32).mean()), abs=1e-6)
    np.testing.assert_allclose(area.value, area.blind, atol=0.2)  # of the same values, before they are enlarged
    figure = plots.measures(table.assign(n_features=6)[table.measure.isin(plots.MEASURES)])
    assert len(figure.axes) == 2


# Sanity


def test_comparisons_are_those_of_scipy_and_of_sets():
    rng = np.random.default_rng(0)
    first, other = rng.integers(0, 4, (2, 5, 4, 4)).astype(float)  # with ties
    wanted = [scipy.stats.spearmanr(a.ravel(), b.ravel())[0] for a, b in zip(first, other)]
    np.testing.assert_allclose(sanity.spearman(first, other), wanted)
    bits = rng.random((2, 6, 9)) < 0.4
    pairs = [(set(np.flatnonzero(a)), set(np.flatnonzero(b))) for a, b in zip(*bits)]
    np.testing.assert_allclose(sanity.jaccard(*bits), [len(a & b) / len(a | b) for a, b in pairs])


def test_selections_are_the_optima_and_the_largest(trained, pixels):
    head = trained.head(6)
    maps = sanity.maps_of(head, trained.trunk(pixels))
    slopes = sanity.slopes_of(head, maps, [0, 4, 9])
    found, alpha = sanity.select(maps, slopes, few=2), feature_maps.importance(slopes).numpy()
    problems = feature_selection.problems(maps.numpy(), alpha)
    np.testing.assert_array_equal(found["exact_0.70"], landscape.optima(problems))
    for i, row in enumerate(found["contribution_0.70"]):
        added = np.where(alpha[i] > 0, (maps[i] * slopes[i]).sum((1, 2)).numpy(), -np.inf)
        assert set(np.flatnonzero(row)) == set(np.argsort(-added)[: found["exact_0.70"][i].sum()])
    assert all(set(np.flatnonzero(r)) == set(np.argsort(-abs(a))[:2]) for r, a in zip(found["signed_top_2"], alpha))
    nothing = sanity.select(maps, -slopes.abs())
    assert (
        not nothing["exact_0.70"].any()
        and not nothing["top_k_0.70"].any()
        and nothing["signed_top_4"].all(1).sum() == 0
    )


def test_only_the_named_stages_are_randomised(trained):
    before = {k: v.clone() for k, v in trained.resnet18.state_dict().items()}
    for n, stages in ((6, ["block"]), (512, ["classifier", "block", "layer3"]), (6, ["layer2"])):
        trunk, head = sanity.randomised(trained, n, stages)
        parts = {"classifier": head.classifier, "block": head.layer4 if n == 512 else head.block}
        parts |= {"layer3": trunk.layers[6], "layer2": trunk.layers[5], "conv1": trunk.layers[0]}
        own = trained.head(n)
        known = {"classifier": own.classifier, "block": own.layer4 if n == 512 else own.block}
        known |= {
            "layer3": trained.trunk.layers[6],
            "layer2": trained.trunk.layers[5],
            "conv1": trained.trunk.layers[0],
        }
        changed = {name for name in parts if pretrained.fingerprint(parts[name]) != pretrained.fingerprint(known[name])}
        assert changed == set(stages)
    assert all(torch.equal(v, before[k]) for k, v in trained.resnet18.state_dict().items())


def test_a_top_k_of_fixed_size_sees_only_the_classifier(trained, pixels):
    tests = {"layer2 alone": ["layer2"], "classifier alone": ["classifier"]}
    changed = {"shift": [trained.trunk(sanity.shifted(pixels, 4, 0))]}
    found, kept = sanity.checked(trained, 6, pixels, changed, tests, sanity.explain, draws=[0, 1], other=[1, 2, 0])
    fixed = {test: np.array([draw["jaccard", "signed_top_4"] for draw in draws]) for test, draws in found.items()}
    assert (fixed["layer2 alone"] == 1).all() and (fixed["shift"] == 1).all() and (fixed["classifier alone"] < 1).any()
    assert len(found["layer2 alone"]) == 2 and len(found["another image"]) == 1 and 0 <= kept["shift"] <= 1
    table = sanity.table({(6, test): draws for test, draws in found.items()}, n_resamples=5)
    assert len(plots.sanity(table).axes) == 2


def test_shifts_are_numpys_and_noise_has_its_strength(pixels):
    wanted = np.pad(pixels.numpy(), ((0, 0), (0, 0), (3, 0), (0, 2)), mode="edge")[:, :, :32, 2:]
    np.testing.assert_array_equal(sanity.shifted(pixels, 3, -2), wanted)
    grey = torch.full((2, 3, 50, 50), 0.5)
    assert float((sanity.noisy(grey, 0.05) - grey).std()) == pytest.approx(0.05, rel=0.05)
    assert torch.equal(sanity.noisy(grey, 0.05, seed=1), sanity.noisy(grey, 0.05, seed=1))


# Watermark


def test_the_stamp_changes_its_corner_alone():
    images = np.random.default_rng(0).integers(0, 200, (3, 3, 20, 20)).astype(np.uint8)
    before = images.copy()
    stamped = watermark.stamp_class(images, [4, 1, 4], 4, size=6, margin=2)
    assert np.array_equal(images, before) and np.array_equal(stamped[1], images[1])
    outside = np.ones((20, 20), bool)
    outside[12:18, 2:8] = False
    assert np.array_equal(stamped[:, :, outside], images[:, :, outside])
    assert {tuple(c) for c in stamped[0][:, ~outside].T} == set(watermark.COLOURS)
    uniform, only = np.ones((1, 40, 40)), np.zeros((1, 40, 40))
    only[0, 24:36, 4:16] = 1.0
    assert watermark.share_inside(uniform, 20, size=6, margin=2) == pytest.approx(36 / 400)
    assert watermark.share_inside(only, 20, size=6, margin=2) == pytest.approx(1)
    with pytest.raises(ValueError, match=r"size \+ margin"):
        watermark.stamp(images, size=16, margin=5)


@pytest.mark.parametrize("n", [6, 512])
def test_gains_add_up_to_what_the_score_gains(trained, pixels, n):
    head, clean, stamped = trained.head(n), trained.trunk(pixels), trained.trunk(1 - pixels)
    added = watermark.gain_of(head, clean, stamped, 7).sum(1)
    before, after = (training.predict(head, x)[:, 7] for x in (clean, stamped))
    np.testing.assert_allclose(added, after - before, rtol=1e-3, atol=1e-4)


def test_a_head_learns_the_stamp_and_its_map_is_found():
    """Features of noise, but for a bright corner in one channel where the stamp is."""
    rng = torch.Generator().manual_seed(0)
    features, labels = 0.1 * torch.rand(200, 256, 4, 4, generator=rng), np.arange(200) % 10
    marked = features.clone()
    marked[labels == 3, 0, 3, 0] = 20.0
    head = watermark.train_head(6, None, marked, labels, marked, labels, epochs=15, learning_rate=0.01)
    stamped = features.clone()
    stamped[:, 0, 3, 0] = 20.0
    clean, seen = (training.predict(head, x).softmax(1).numpy() for x in (features, stamped))
    assert watermark.answers(clean, seen, labels, 3)["turned"] > 0.5
    raised = watermark.most_raised(clean, seen, labels, 3, 20)
    assert len(raised) == 20 and (labels[raised] != 3).all()
    found = watermark.studied(
        head, features[raised], stamped[raised], 3, sanity.explain, height=16, size=8, margin=0
    )  # the lower left quarter
    assert found["inside", "HiResCAM"].mean() > 0.5
    gained = watermark.gain_of(head, features[raised], stamped[raised], 3)
    np.testing.assert_array_equal(
        found["carrier", "top_k_0.70"],
        [
            sel[g.argmax()]
            for sel, g in zip(sanity.explain(head, stamped[raised], [3] * 20).selected["top_k_0.70"], gained)
        ],
    )
    everything = watermark.carried(gained, np.ones_like(gained, bool))
    np.testing.assert_allclose(everything["share"], 1)
    np.testing.assert_allclose(everything["chance"], 1)


def test_figures_name_methods_and_frame_the_stamp():
    row = {"n_features": 16, "value": 0.5, "low": 0.4, "high": 0.6, "chance": 0.2}
    shares = pd.DataFrame(
        [row | {"method": m, "watermark": w} for m in ("Grad-CAM", "exact_0.70") for w in (True, False)]
    )
    figure = plots.watermark(shares, pd.DataFrame([row | {"method": "exact_0.70"}]), 0.03)
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["Grad-CAM", "QUBO"]
    box = watermark.corner(8, 2, 1)
    figure = plots.stamped_explanations(np.zeros((1, 3, 8, 8), np.uint8), ["a"], {"Grad-CAM": np.zeros((1, 8, 8))}, box)
    (frame,) = figure.axes[0].patches
    assert (frame.get_x(), frame.get_y(), frame.get_width(), frame.get_height()) == (1, 5, 2, 2)


def test_an_optimum_that_is_not_proven_is_refused(monkeypatch):
    found = np.zeros((1, 2), bool), [{"proven": False}]
    monkeypatch.setattr(sanity.by_name, "solve_all", lambda *arguments, **options: found)
    with pytest.raises(RuntimeError, match=r"not proven within 3.0 s: give a longer time_limit"):
        sanity.select(torch.ones(1, 2, 1, 1), torch.ones(1, 2, 1, 1), time_limit=3.0)
