"""The committed artefacts: whole, consistent with each other, and (with the photographs) what the network gives."""

import shutil

import numpy as np
import pytest
from repository import copied, make, touch
from test_datasets import needs_stl10, needs_weights

from qafs_utils.artefacts import files, run
from qafs_utils.cnn import checkpoints, datasets, extraction, feature_maps, networks, pretrained
from qafs_utils.cnn.heads import head_name
from qafs_utils.qubo import feature_selection
from qafs_utils.solvers import by_name

PUBLISHED = run.Artefacts("published")
SIZES = (16, 24, 32, 512)


def test_the_files_are_small():
    assert sum(p.stat().st_size for p in files.PUBLISHED.iterdir()) <= 50e6


def test_no_photograph_or_imagenet_weight_is_published():
    assert not any("layer4" in key or key.startswith("images") for key in PUBLISHED.load("01_heads"))
    for name in files.published_sums():
        if name.endswith(".npz"):
            assert not any(
                v.dtype == np.uint8
                for v in PUBLISHED.load(name.removesuffix(".npz")).values()
                if isinstance(v, np.ndarray)
            )


@pytest.mark.parametrize("n", SIZES)
def test_images_are_balanced_and_classified_correctly(n):
    labels = PUBLISHED.load("02_images")["labels"]
    assert np.bincount(labels).tolist() == [20] * 10
    assert (PUBLISHED.load(f"02_maps_nf{n}")["logits"].argmax(1) == labels).all()


@pytest.mark.parametrize("n", SIZES)
def test_importance_is_the_mean_classifier_weight_of_the_class(n):
    labels, heads = PUBLISHED.load("02_images")["labels"], PUBLISHED.load("01_heads")
    weight = heads[f"{head_name(n)}/classifier.weight"]
    expected = weight / 49 if n == 512 else weight.reshape(10, n, -1).mean(-1)
    np.testing.assert_allclose(PUBLISHED.load(f"02_maps_nf{n}")["importance_block"], expected[labels], atol=1e-6)


def test_logits_follow_from_the_published_maps_and_heads():
    heads, maps = PUBLISHED.load("01_heads"), PUBLISHED.load("02_maps_nf16")
    flat = maps["maps_block"].reshape(200, -1).astype(np.float64)
    logits = flat @ heads["nf16_paper_seed0/classifier.weight"].T + heads["nf16_paper_seed0/classifier.bias"]
    np.testing.assert_allclose(logits, maps["logits"], atol=0.02)


@pytest.mark.parametrize("n", SIZES[:3])
def test_scored_selections_are_the_exact_optima(n):
    m = PUBLISHED.load(f"02_maps_nf{n}")
    problems = feature_selection.problems(m["maps_block"], m["importance_block"])
    exact, _ = by_name.solve_all(problems, "brute_force")
    assert np.array_equal(PUBLISHED.load("08_scores")[f"selection/nf{n}_qa"], exact)


@pytest.mark.parametrize("n", SIZES[:3])
def test_problems_of_the_broad_sample_have_the_field_of_their_class(n):
    stored, heads = PUBLISHED.load(f"02_problems_nf{n}"), PUBLISHED.load("01_heads")
    assert np.bincount(PUBLISHED.load("02_images")["broad_labels"]).tolist() == [100] * 10
    for seed in range(5):
        importance = heads[f"nf{n}_paper_seed{seed}/classifier.weight"].reshape(10, n, -1).mean(-1)
        expected = np.maximum(importance / importance.max(1, keepdims=True), 0)
        of_image = expected[stored[f"predicted/seed{seed}"]]
        np.testing.assert_allclose(-stored[f"block/seed{seed}/field"], of_image, atol=1e-5)


def test_every_masked_score_has_its_areas():
    scores = PUBLISHED.load("08_scores")
    areas = {k: v for k, v in scores.items() if k.startswith("areas/")}
    assert all(((0 <= v) & (v <= 1)).all() for v in areas.values())
    assert {k.split("/", 1)[1] for k in areas} == {k.split("/", 1)[1] for k in scores if k.startswith("scores/")}


@needs_stl10
@needs_weights
@pytest.mark.parametrize("n", SIZES)
def test_the_photographs_give_the_published_maps_and_logits(n):
    chosen, saved = PUBLISHED.load("02_images"), PUBLISHED.load(f"02_maps_nf{n}")
    some = np.arange(0, 200, 45)
    network = pretrained.resnet18()
    trunk = networks.Trunk(network)
    head = checkpoints.trained_head(head_name(n), PUBLISHED.load("01_heads"), network)
    features = networks.trunk_features(trunk, datasets.stl10("test")[0][chosen["test_index"][some]])
    maps, gradients, logits = extraction.capture(head, features)
    np.testing.assert_allclose(maps, saved["maps_block"][some], atol=0.02)
    np.testing.assert_allclose(logits, saved["logits"][some], atol=0.02)
    np.testing.assert_allclose(feature_maps.importance(gradients), saved["importance_block"][some], atol=1e-5)


def test_published_artefacts_are_enough_and_checked(tmp_path):
    copy = copied(tmp_path)
    notebook = "build/published/notebooks/03_qubo.ipynb"
    done = make(copy, notebook)
    assert done.returncode == 0, done.stderr[-3000:]
    good = (copy / "build/published/data/03_candidates.csv").read_bytes()
    victim = copy / "data/published/02_maps_nf24.npz"
    victim.write_bytes(victim.read_bytes()[:-100])
    touch(copy / "notebooks/03_qubo.ipynb")
    done = make(copy, notebook)
    assert done.returncode != 0 and "02_maps_nf24.npz is not the published file" in done.stderr
    assert (copy / "build/published/data/03_candidates.csv").read_bytes() == good
    shutil.rmtree(copy / "data/published")
    done = make(copy, notebook)
    assert done.returncode != 0 and "git checkout data/published" in done.stderr
