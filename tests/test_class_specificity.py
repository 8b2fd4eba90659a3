"""Class specificity: mosaics, scores by hand, closed forms against autograd, selections against enumeration."""

import itertools
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from qafs_utils.cnn import extraction, networks, pretrained
from qafs_utils.explanations import cams, class_methods, class_tables, more_cams
from qafs_utils.explanations import class_specificity as specificity
from qafs_utils.plots import class_specificity as plots
from qafs_utils.qubo import feature_selection


@pytest.fixture(scope="module")
def features():
    return torch.rand(3, 256, 4, 4, generator=torch.Generator().manual_seed(0))


def test_mosaics_have_four_classes_and_use_images_evenly():
    labels = np.repeat(np.arange(10), 4)
    drawn = specificity.draw_mosaics(labels, 10, seed=3)
    assert sorted(drawn.ravel()) == list(range(40))  # each photograph once
    assert all(len(set(row)) == 4 for row in labels[drawn])
    assert np.array_equal(drawn, specificity.draw_mosaics(labels, 10, seed=3))
    assert not np.array_equal(drawn, specificity.draw_mosaics(labels, 10, seed=4))
    more = specificity.draw_mosaics(labels, 25)
    assert np.bincount(more.ravel()).min() >= 2 and np.bincount(labels[more].ravel()).tolist() == [10] * 10
    with pytest.raises(ValueError, match="a mosaic needs images of 4 classes, got labels of 3"):
        specificity.draw_mosaics([0, 1, 2, 2], 1)


def test_a_class_twice_is_refused_by_name():
    maps, gradients = torch.ones(2, 3, 4, 4), torch.ones(10, 3, 4, 4)
    with pytest.raises(ValueError, match="mosaic 1 has the class horse twice"):
        class_methods.play(maps, gradients, [[0, 1, 2, 3], [6, 1, 5, 6]])
    with pytest.raises(ValueError, match=r"classes must be \(B, 4\)"):
        specificity.require_different_classes([[0, 1, 2]])


def test_parts_stand_side_by_side():
    parts = np.random.default_rng(0).random((2, 4, 3, 5, 6))
    whole = specificity.side_by_side(parts)
    assert whole.shape == (2, 3, 10, 12)
    for cell, (y, x) in enumerate([(0, 0), (0, 6), (5, 0), (5, 6)]):
        assert np.array_equal(whole[:, :, y : y + 5, x : x + 6], parts[:, cell])
    assert np.array_equal(specificity.side_by_side(torch.as_tensor(parts)).numpy(), whole)
    with pytest.raises(ValueError, match="parts must be"):
        specificity.side_by_side(parts[:, :3])


def test_scores_by_hand():
    cam = torch.zeros(1, 4, 4, 2)
    cam[0, 0, 0, 0], cam[0, 0, 3, 1] = 1.0, 3.0  # a quarter in its own cell, the peak elsewhere
    cam[0, 1, 1, 1], cam[0, 1, 2, 0] = 2.0, -9.0  # all of what is positive
    cam[0, 2] = 5.0  # constant
    found = specificity.cell_scores(cam)
    assert found["share"].tolist() == [[0.25, 1.0, 0.25, 0.25]] and found["hit"].tolist() == [[0.0, 1.0, 0.25, 0.25]]
    assert found["empty"].tolist() == [[False, False, False, True]]
    assert specificity.cell_scores(-cam)["empty"].tolist() == [[True, False, True, True]]
    tie = torch.zeros(1, 4, 2, 2)
    tie[0, :, 0] = 1.0  # the two upper cells alike
    assert specificity.cell_scores(tie)["hit"].tolist() == [[0.5, 0.5, 0.0, 0.0]]
    with pytest.raises(ValueError, match="must have even sides, got 3 x 2"):
        specificity.cell_scores(torch.ones(1, 4, 3, 2))
    with pytest.raises(ValueError, match="must be finite"):
        specificity.cell_scores(torch.full((1, 4, 2, 2), torch.nan))


def test_the_shares_of_a_map_without_a_class_add_up_to_one():
    maps = torch.rand(5, 6, 8, 8)
    cam = more_cams.eigen_cam(maps)[:, None].expand(-1, 4, -1, -1)
    found = specificity.cell_scores(cam)
    assert found["share"].mean(1) == pytest.approx(0.25) and found["hit"].mean(1) == pytest.approx(0.25)
    played = class_methods.play(maps, torch.randn(10, 6, 8, 8), np.tile([4, 2, 0, 9], (5, 1)))
    assert played["Eigen-CAM"]["share"] == pytest.approx(found["share"])
    assert played["Grad-CAM"]["share"].mean() != pytest.approx(0.25, abs=1e-6)


@pytest.mark.parametrize("kind", ["bound", "pooled", "full"])
def test_closed_forms_equal_the_networks_own_gradients(kind, features):
    head = {
        "bound": lambda: networks.ReducedHead(6, size=4),
        "pooled": lambda: specificity.PooledHead(6),
        "full": lambda: networks.FullHead(pretrained.resnet18("random")),
    }[kind]()
    wanted = [7, 0, 7]
    maps, gradients, logits = extraction.capture(head, features, class_index=wanted)
    every = specificity.gradients_of(head.classifier.weight.detach(), *maps.shape[1:])
    torch.testing.assert_close(every[wanted], gradients)
    torch.testing.assert_close(specificity.scores_of(maps, every, head.classifier.bias), logits, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="weight must be"):
        specificity.gradients_of(torch.ones(10, 5), *maps.shape[1:])


def test_with_cells_apart_a_score_is_the_mean_of_the_cells_scores(features):
    head = networks.ReducedHead(6, size=4)
    cells = torch.rand(4, 256, 4, 4)
    maps, _, logits = extraction.capture(head, cells)
    mosaic = specificity.side_by_side(maps[None])
    gradients = specificity.gradients_of(head.classifier.weight.detach(), *mosaic.shape[1:])
    found = specificity.scores_of(mosaic, gradients, head.classifier.bias)
    torch.testing.assert_close(found[0], logits.mean(0), rtol=1e-4, atol=1e-5)
    pooled = specificity.pooled_head(head)
    maps, _, logits = extraction.capture(pooled, cells)
    means = pooled.classifier(specificity.side_by_side(maps[None]).mean((2, 3)))
    torch.testing.assert_close(means[0], logits.mean(0))


def test_a_pooled_head_keeps_the_block_and_learns(features):
    torch.manual_seed(0)
    head = networks.ReducedHead(6, block="authors_code", size=4)
    before = head.block.conv.weight.clone()
    pooled = specificity.pooled_head(head, seed=1)
    maps = extraction.capture(head, features)[0]
    assert torch.equal(extraction.capture(pooled, features)[0], maps) and pooled.stages == head.stages
    of_class = torch.arange(256).view(1, 256, 1, 1) % 3 == torch.arange(3).view(3, 1, 1, 1)
    part = (3 * features * of_class).repeat(8, 1, 1, 1), [0, 1, 2] * 8
    given = {"classifier_epochs": 40, "epochs": 5, "learning_rate": 0.01, "seed": 0}
    trained = specificity.train_pooled(head, part, part, **given)
    assert trained(part[0]).argmax(1).tolist() == part[1] and not trained.training
    assert torch.equal(head.block.conv.weight, before) and not torch.equal(trained.block.conv.weight, before)
    assert not any(p.requires_grad for p in trained.parameters())
    with pytest.raises(ValueError, match="head must be"):
        specificity.pooled_head(networks.FullHead(pretrained.resnet18("random")))


def test_explanations_equal_those_of_each_class_alone():
    generator = torch.Generator().manual_seed(1)
    maps, gradients = torch.rand(2, 5, 4, 6, generator=generator), torch.randn(10, 5, 4, 6, generator=generator)
    classes = np.array([[3, 0, 9], [1, 2, 4]])
    bits = np.random.default_rng(0).random((2, 3, 5)) < 0.5
    found = dict(class_methods.explanations(maps, gradients, classes, {"some": bits}))
    for k in range(3):
        g = gradients[classes[:, k]]
        alpha = g.mean((2, 3))
        expected = {
            "Grad-CAM": cams.grad_cam(maps, alpha),
            "filtered Grad-CAM": cams.grad_cam(maps, alpha, relu="sum of relus"),
            "Grad-CAM++": cams.grad_cam_pp(maps, g),
            "XGrad-CAM": more_cams.x_grad_cam(maps, g),
            "Ablation-CAM": more_cams.ablation_cam(maps, g),
            "HiResCAM": cams.hires_cam(maps, g),
            "LayerCAM": more_cams.layer_cam(maps, g),
            "Eigen-CAM": more_cams.eigen_cam(maps),
            "some": cams.grad_cam(maps, alpha, bits[:, k]),
        }
        assert found.keys() == expected.keys()
        for name, cam in expected.items():
            torch.testing.assert_close(found[name][:, k], cam, msg=name)


def test_selections_equal_enumeration_and_keep_sizes():
    rng = np.random.default_rng(2)
    maps, alpha = rng.random((2, 6, 3, 3)), rng.normal(size=(2, 4, 6))
    found = class_methods.selections(maps, alpha, betas=[0.7], sizes=[2], seed=0)
    for prefix, weights in (("", alpha), ("signed_", np.abs(alpha))):
        for b, k in itertools.product(range(2), range(4)):
            problem = feature_selection.problem(maps[b], weights[b, k])
            every = [problem.selected(bits) for bits in itertools.product([0, 1], repeat=problem.d)]
            best = min(every, key=problem.energy)
            chosen = found[f"{prefix}exact_0.70"][b, k]
            assert problem.energy(chosen) == pytest.approx(problem.energy(best))
            size = chosen.sum()
            order = np.argsort(-weights[b, k])
            assert set(np.flatnonzero(found[f"{prefix}top_k_0.70"][b, k])) == set(order[:size])
            drawn = found[f"{prefix}random_k_0.70"][b, k]
            assert drawn.sum() == size and (weights[b, k][drawn] > 0).all()
            few = min(2, (weights[b, k] > 0).sum())  # where there are fewer candidates, all of them
            assert found[f"{prefix}top_2"][b, k].sum() == found[f"{prefix}random_2"][b, k].sum() == few
    nothing = class_methods.selections(maps, -np.abs(alpha), betas=[0.7], sizes=[2])
    assert not nothing["exact_0.70"].any() and not nothing["top_2"].any() and nothing["signed_top_2"].any()


def test_the_signed_selection_keeps_the_sign_in_the_map():
    maps = torch.zeros(1, 2, 2, 2)
    maps[0, 0], maps[0, 1, 0] = 1.0, 1.0  # everywhere; the upper half
    gradients = torch.tensor([[1.0, -2.0], [1.0, 1.0], [0.5, 2.0], [1.0, 3.0]]).view(4, 2, 1, 1).expand(-1, -1, 2, 2)
    alpha = class_methods.importances(gradients, [[0, 1, 2, 3]])
    selected = class_methods.selections(maps.numpy(), alpha.numpy(), betas=[1.0], sizes=[1])
    found = dict(class_methods.explanations(maps, gradients, [[0, 1, 2, 3]], selected))
    assert found["signed_top_1"][0, 0].tolist() == [[0, 0], [0, 0]]  # the negative map alone: empty
    assert found["signed_exact_1.00"][0, 0].tolist() == [[0, 0], [1, 1]]  # both: the upper half is taken away
    assert found["exact_1.00"][0, 0].tolist() == [[1, 1], [1, 1]]


def test_parts_processes_and_the_first_mosaics():
    generator = torch.Generator().manual_seed(4)
    maps, gradients = torch.rand(7, 5, 4, 4, generator=generator), torch.randn(10, 5, 4, 4, generator=generator)
    classes = specificity.require_different_classes([[0, 5, 2, 3]] * 7)
    choose = partial(class_methods.selections, betas=[0.7], sizes=[2])
    whole = class_methods.play(maps, gradients, classes, choose, first=4, batch=7)
    parts = class_methods.play(maps, gradients, classes, choose, first=4, batch=2)
    for name, found in whole.items():
        length = 4 if "_" in name else 7
        assert len(found["share"]) == len(parts[name]["share"]) == length
        if "random" not in name:
            assert found["share"] == pytest.approx(parts[name]["share"])
    assert not class_methods.play(maps, gradients, classes, choose, first=0).keys() - set(whole)


def test_selections_on_the_photographs_are_those_of_each_photograph_alone():
    generator = torch.Generator().manual_seed(6)
    cells, classes = torch.rand(7, 4, 5, 2, 2, generator=generator), np.array([[0, 5, 2, 3]] * 7)
    maps, gradients = specificity.side_by_side(cells), torch.randn(10, 5, 4, 4, generator=generator)
    choose = partial(class_methods.selections, betas=[0.7], sizes=[])
    own = partial(class_methods.on_photographs, photographs=cells.numpy(), choose=choose)
    played = class_methods.play(maps, gradients, classes, own, batch=3)
    alpha = class_methods.importances(gradients, classes)
    for b, k in itertools.product(range(7), range(4)):
        alone = choose(cells[b, k][None].numpy(), alpha[b, k][None, None].numpy())
        for name in ("exact_0.70", "top_k_0.70", "signed_exact_0.70"):
            cam = cams.grad_cam(maps[b][None], alpha[b, k][None], alone[name][:, 0])
            expected = specificity.cell_scores(cam[:, None].expand(-1, 4, -1, -1))
            assert played[name]["share"][b, k] == pytest.approx(expected["share"][0, k], abs=1e-6)
            assert played[name]["maps"][b, k] == alone[name].sum()


def test_score_cam_of_several_classes_is_that_of_each():
    maps, images = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 8, 8)
    maps[0, 1] = 2.0  # constant: no pass, weight 0
    weight = torch.randn(4, 3 * 64, generator=torch.Generator().manual_seed(0))

    def score(pixels):
        return (pixels.flatten(1) @ weight.T).softmax(1)

    classes = np.array([[0, 3], [2, 1]])
    found = class_methods.score_cam_weights(maps, score, images, classes, batch_size=2)
    for k in range(2):
        expected = cams.score_cam_weights(maps, score, images, classes[:, k])
        torch.testing.assert_close(found[:, k], expected)


def test_seen_by_hand():
    logits = torch.tensor([[9.0, 8, 7, 6, 5, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 5, 6, 7, 8, 9]])
    assert specificity.seen(logits, [[0, 1, 4, 9], [0, 1, 2, 3]]) == {"in_top_four": 0.25, "largest_in_mosaic": 0.5}


def test_correlations_against_numpy():
    cam = torch.rand(3, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    cam[1, 2] = 4.0  # constant: left out
    cam[2, 0] = 0.0  # its own is empty: nothing is defined
    found = specificity.correlation_with_others(cam, [1, 0, 0])
    flat = cam.flatten(2).double().numpy()
    expected = [
        np.mean([np.corrcoef(flat[0, 1], flat[0, c])[0, 1] for c in (0, 2, 3)]),
        np.mean([np.corrcoef(flat[1, 0], flat[1, c])[0, 1] for c in (1, 3)]),
    ]
    assert found[:2] == pytest.approx(expected) and np.isnan(found[2])
    table = specificity.correlation_table({"Grad-CAM": found}, n_resamples=10)
    assert table.undefined[0] == pytest.approx(1 / 3) and table.value[0] == pytest.approx(np.mean(expected))
    maps, gradients = torch.rand(2, 3, 4, 4), torch.randn(4, 3, 4, 4)
    by_class = dict(class_methods.explanations(maps, gradients, np.tile(np.arange(4), (2, 1))))
    between = class_methods.between_classes(maps, gradients, [3, 1])
    expected = specificity.correlation_with_others(by_class["Grad-CAM"], [3, 1])
    assert between["Grad-CAM"] == pytest.approx(expected, nan_ok=True) and between["Eigen-CAM"] == pytest.approx(1.0)


def test_tables_count_mosaics_heads_and_empty_maps():
    rng = np.random.default_rng(0)
    names = ["Grad-CAM", "filtered Grad-CAM", "exact_0.70", "top_k_0.70"]

    def of_head():
        return {
            name: {"share": rng.random((9, 4)), "hit": rng.random((9, 4)), "empty": np.eye(9, 4, dtype=bool)}
            for name in names
        }

    scores = {(16, "pooled", s, protocol): of_head() for s in (0, 1) for protocol in ("grid", "difull")}
    scores[16, "pooled", 0, "grid"]["Score-CAM"] = {k: v[:2] for k, v in of_head()["Grad-CAM"].items()}
    grid = class_tables.of_heads(scores, n_resamples=50)
    assert len(grid) == 17 and set(grid.protocol) == {"grid", "difull"}
    assert (grid.low <= grid.share).all() and (grid.share <= grid.high).all()
    assert grid["empty"][grid.method != "Score-CAM"].to_numpy() == pytest.approx(4 / 36)
    mean = class_tables.over_heads(scores, n_resamples=50).set_index("method")
    both = [scores[16, "pooled", s, "grid"] for s in (0, 1)]
    assert mean.share["Grad-CAM"] == pytest.approx(np.mean([s["Grad-CAM"]["share"] for s in both]))
    assert mean.mosaics["Score-CAM"] == 2 and mean.mosaics["Grad-CAM"] == 9
    table = class_tables.differences(scores, [0.7], {16: 2}, n_resamples=50)
    assert table["first"].tolist() == ["filtered Grad-CAM", "exact_0.70"]
    kept = ~np.eye(9, 4, dtype=bool)
    of_mosaics = [
        np.mean([(s["exact_0.70"]["share"] - s["top_k_0.70"]["share"])[i][kept[i]] for s in both]) for i in range(9)
    ]
    assert table.both_value[1] == pytest.approx(np.mean(of_mosaics))
    assert table.both_explanations[1] == pytest.approx(32 / 36) and table.both_low[1] < table.both_high[1]
    expected = np.mean([s["exact_0.70"]["share"] - s["top_k_0.70"]["share"] for s in both])
    assert table.value[1] == pytest.approx(expected) and table.low[1] < expected < table.high[1]


def test_the_figure_has_a_row_a_method_and_a_panel_a_network():
    rows = [
        {"n_features": n, "head": head, "method": method, "share": share, "low": share - 0.05, "high": share + 0.05}
        for n, head in ((16, "bound"), (16, "pooled"), (512, "pooled"))
        for method, share in (("Grad-CAM", 0.9), (f"top_{2 if n == 16 else 20}", 0.3), ("signed_exact_0.70", 0.6))
    ]
    figure = plots.class_specificity(pd.DataFrame(rows))
    assert [axis.get_title() for axis in figure.axes] == ["(a) $N_f=16$", "(b) $N_f=512$"]
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert labels == ["2 to 20 most important", "signed: QUBO, $\\beta=0.7$", "Grad-CAM"]


def test_an_optimum_that_is_not_proven_is_refused(monkeypatch):
    monkeypatch.setattr(class_methods, "optimum", lambda bqm, **options: (np.zeros(bqm.num_variables, bool), False))
    with pytest.raises(RuntimeError, match=r"not proven within 3.0 s: give a longer time_limit"):
        class_methods.selections(np.ones((1, 2, 1, 1)), np.ones((1, 1, 2)), betas=[0.7], sizes=[1], time_limit=3.0)


def test_mosaics_of_many_classes_take_each_image_equally():
    drawn = specificity.draw_mosaics(np.arange(8) * 100, 6, n_classes=1000)
    assert set(np.bincount(drawn.ravel())) == {3} and all(len(set(four)) == 4 for four in drawn)
    with pytest.raises(ValueError, match="labels"):
        specificity.draw_mosaics(np.arange(8) * 100, 6)
