"""Class overlap and its controls, on cases worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from qafs_utils.explanations import class_overlap

ONE_EACH = np.arange(10)  # labels of ten images, one a class


def test_selections_with_controls_from_the_index():
    rows = [("block", n, kind, 0.7) for n, own in ((16, "qa"), (24, "exact")) for kind in (own, "top_k", "random_k")]
    rows += [("block", 512, kind, beta) for beta in (0.7, 0.99) for kind in ("sa", "top_k", "random_k")]
    rows += [("block", 16, "exact", 0.7), ("block", 512, "sa", 0.1)]  # beside "qa"; without controls
    rows += [("block", 512, "candidates", np.nan), ("conv", 24, "candidates", np.nan)]
    index = pd.DataFrame(rows, columns=["place", "n_features", "kind", "beta"]).assign(seed=0)
    index["key"] = [f"{row.n_features}{row.kind}{row.beta}" for row in index.itertuples()]
    cases = class_overlap.with_controls(index)
    assert cases.selected.tolist() == ["16qa0.7", "24exact0.7", "512sa0.7", "512sa0.99"]
    assert cases.random_k.tolist() == ["16random_k0.7", "24random_k0.7", "512random_k0.7", "512random_k0.99"]
    assert cases.candidates.isna().tolist() == [True, True, False, False]
    assert set(cases.candidates.dropna()) == {"512candidatesnan"}


def test_summary_of_two_classes_that_share_their_map():
    selected = np.eye(10, dtype=bool)
    selected[1] = selected[0]
    found = class_overlap.overlap_summary(selected, ONE_EACH, n_resamples=3)  # one image a class: no other sample
    mean = pytest.approx(1 / 45)
    expected = {"mean_overlap": mean, "corrected": mean, "low": mean, "high": mean}
    assert found == expected | {"largest": 1, "pairs_that_overlap": 1, "selected": 1}


def test_resampled_pairs_of_two_images_a_class():
    """Both classes have map 0 in one image, map 1 in the other; a sample has both images in half of the cases."""
    selected = np.eye(10, dtype=bool).repeat(2, 0)
    selected[:4] = selected[[0, 2, 0, 2]]
    pairs = class_overlap.resampled_pairs(selected, ONE_EACH.repeat(2), n_resamples=300)
    overlaps, counts = np.unique(pairs[:, 0].round(9), return_counts=True)
    assert overlaps == pytest.approx([0, np.sqrt(1 / 2), 1]) and not pairs[:, 1:].any()
    assert counts / 300 == pytest.approx([1 / 8, 1 / 2, 3 / 8], abs=0.1)


def test_controls_of_two_images_a_class():
    """Of two classes that share a map in one image of two each: P = (1/2, 1/2, 0) and (1/2, 0, 1/2)."""
    labels = np.repeat([0, 1], 2)
    selected = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]], dtype=bool)
    top_k = np.array([[0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]], dtype=bool)
    found = class_overlap.against_controls({"selected": selected, "top_k": top_k}, labels, n_resamples=200)
    assert found["selected"] == pytest.approx(0.5) and (found["top_k"], found["same_as_top_k"]) == (0, 0.5)
    assert found["low"] <= found["selected_minus_top_k"] <= found["high"] and np.isnan(found["constant_k"])
    importance = np.array([[2, 1, -1], [2, 1, -1], [2, -1, 1], [-1, -1, 1]])  # top one: map 0 thrice, map 2
    selected[0, 1] = True  # five maps for four images: still one each
    again = class_overlap.against_controls({"selected": selected, "top_k": top_k}, labels, importance, n_resamples=5)
    assert again["constant_k"] == pytest.approx(np.sqrt(1 / 2))


@pytest.mark.parametrize(("beta", "overlap"), [(0.7, np.sqrt(1 / 2)), (0.2, 0)])
def test_one_optimum_a_class_by_hand(beta, overlap):
    """The second map of class 0 gains 0.9 beta and costs (1 - beta) / 2; class 1 has that map alone."""
    field = np.array([[-1.0, -0.9], [0.0, -1.0], [-1.0, -0.9]])
    found = class_overlap.one_optimum_a_class(field, np.array([0, 1, 0]), beta=beta)
    assert found[0] == pytest.approx(overlap) and not found[1:].any()


def test_structure_counts_sets_and_correlates():
    labels, selected = np.array([0, 0, 1, 1]), np.array([[1, 0], [1, 0], [1, 1], [0, 1]], dtype=bool)
    field = np.where([[1, 0], [1, 1], [1, 1], [1, 1]], -1.0, 0.0)
    found = class_overlap.structure(selected, field, labels, np.zeros(45))
    assert (found["candidate sets a class"], found["selections a class"]) == (1.5, 1.5)
    assert found["with candidates"] == pytest.approx(1)  # only the first of 45 pairs is not zero, in both
    assert np.isnan(found["with one optimum a class"])  # no overlap at all: no correlation


def test_likeness_of_classes_by_permutation():
    overlap = np.array([[1, 0.9, 0.1], [0.9, 1, 0.3], [0.1, 0.3, 1]])
    alike = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=bool)
    confused = class_overlap.confusions([0, 1, 1, 2, 0], [1, 2, 2, 1, 0], 3)
    assert confused.tolist() == [[2, 1, 0], [1, 0, 3], [0, 3, 0]]
    ranks, excess = class_overlap.meaning(overlap, confused, alike, n_permutations=2000)
    assert (ranks["id"], excess["id"]) == ("overlap_confusion", "overlap_alike")
    assert ranks["value"] == pytest.approx(0.5)  # ranks 3, 1, 2 and 2, 1, 3 of the pairs
    assert excess["value"] == pytest.approx(0.9 - 0.2)
    assert excess["p"] == pytest.approx(1 / 3, abs=0.05)  # the largest of three pairs


def test_the_classes_as_they_are_count_as_a_permutation():
    classes = np.diag(np.arange(10))
    found = class_overlap.permutation_test(classes, lambda matrix: (matrix == classes).all(), n_permutations=19)
    assert found == {"value": True, "p": 1 / 20}  # of 3628800 orders none of 19 is this one


def test_no_order_gives_no_rank_correlation_and_no_p():
    flat = np.full((3, 3), 0.2)
    ranks, excess = class_overlap.meaning(flat, flat, np.eye(3, k=1, dtype=bool), n_permutations=20)
    assert np.isnan(ranks["value"]) and np.isnan(ranks["p"])
    assert (excess["value"], excess["p"]) == (0, 1)


def test_important_candidates_that_few_classes_share():
    """Three classes: each has a map of its own, of importance 5, and map 0, of importance 1; class 2 has map 4 too."""
    importance = np.array([[1, 5, 0, 0, -1], [1, 0, 5, 0, -1], [1, 0, 0, 5, 1], [1, 0, 0, 5, 1]])
    found = class_overlap.sharing(importance, np.array([0, 1, 2, 2]))
    assert found["candidates"] == 7 and (found["top_fifth"], found["bottom_fifth"]) == (0, 4 / 3)
    # relative importance 1, 1, 1 (no other class), 0.2 thrice (two others), 0.2 (map 4, no other)
    assert found["spearman"] == pytest.approx(
        np.corrcoef([6, 6, 6, 2.5, 2.5, 2.5, 2.5], [2.5] * 3 + [6] * 3 + [2.5])[0, 1]
    )
    assert np.isnan(class_overlap.sharing(np.eye(3), [0, 1, 2])["spearman"])  # nothing is shared


def test_a_candidate_of_some_images_counts_by_the_mean_of_its_class():
    importance = np.array([[3.0, -1.0], [3.0, 0.5], [1.0, 2.0]])  # map 1 is no candidate of class 0, on average
    assert class_overlap.sharing(importance, [0, 0, 1])["candidates"] == 3


def test_one_optimum_a_class_of_the_other_field():
    """With min-max the weaker map of a class has no field: it stays out. With max it is kept."""
    field = np.array([[-1.0, -0.9, 0.0], [0.0, -1.0, -0.9]])
    kept, left = (
        class_overlap.one_optimum_a_class(field, np.arange(2), field_kind=kind) for kind in ("max", "min-max")
    )
    assert kept[0] == pytest.approx(1 / 2) and not left.any()


def test_likeness_in_bits_of_any_kind_and_of_all_or_none():
    """0 and 1 are not indices: pairs 0 and 1 are alike, 0.9 and 0.1, beside 0.3."""
    overlap = np.array([[1, 0.9, 0.1], [0.9, 1, 0.3], [0.1, 0.3, 1]])
    alike = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 1]])
    for given in (alike, alike.astype(bool), alike.astype(float).tolist()):
        assert class_overlap.meaning(overlap, overlap, given, n_permutations=5)[1]["value"] == pytest.approx(0.2)
    for flat in (np.ones((3, 3)), np.zeros((3, 3))):
        row = class_overlap.meaning(overlap, overlap, flat, n_permutations=5)[1]
        assert np.isnan(row["value"]) and np.isnan(row["p"])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: class_overlap.confusions([0, -1], [0, 1], 3), "labels must be whole numbers from 0 to 2, got -1"),
        (lambda: class_overlap.confusions([0, 1], [0, -1], 3), "predicted must be whole numbers from 0 to 2, got -1"),
        (lambda: class_overlap.confusions([0, 1], [0], 3), "predicted must be"),
        (lambda: class_overlap.meaning(np.eye(3), np.eye(2), np.eye(3)), "confused must be"),
        (lambda: class_overlap.meaning(np.eye(3), np.eye(3), 2 * np.eye(3)), "alike must be bit-strings"),
        (lambda: class_overlap.meaning([[1]], [[1]], [[1]]), "the number of classes, must be .* at least 2, got 1"),
        (lambda: class_overlap.permutation_test(np.ones((2, 3)), np.sum), "matrix must be"),
        (lambda: class_overlap.overlap_summary(np.eye(2) * 3, [0, 1]), "selected must be bit-strings"),
        (lambda: class_overlap.overlap_summary(np.eye(2), [0, -1]), "labels must be whole numbers from 0 to 9, got -1"),
        (lambda: class_overlap.class_shares(np.eye(2), [0, 2], 2), "labels must be whole numbers from 0 to 1, got 2"),
        (lambda: class_overlap.distinct_in_class(np.eye(2), [0]), "labels must be"),
        (lambda: class_overlap.structure(np.eye(2), [0, 1], [0, 1]), "field must be"),
        (lambda: class_overlap.one_optimum_a_class(-np.eye(2), [0, 1], cosine="half"), "cosine must be"),
        (lambda: class_overlap.against_controls({"selected": np.eye(2), "top_k": [[3], [4]]}, [0, 1]), "top_k must be"),
    ],
)
def test_what_is_no_overlap_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_classes_that_select_nothing_have_no_overlap():
    """Of one class alone there is no pair; a class without images, or without maps in all of them, forms none."""
    alone = class_overlap.overlap_summary(np.eye(3), [4, 4, 4], n_resamples=3)
    assert (alone.pop("pairs_that_overlap"), alone.pop("selected")) == (0, 1) and np.isnan(list(alone.values())).all()
    selected = [[1, 0], [0, 1], [1, 1], [0, 0]]  # of classes 0, 0, 1 and 2: only the first two have overlap
    found = class_overlap.overlap_summary(selected, [0, 0, 1, 2], n_resamples=40)
    assert (found["mean_overlap"], found["pairs_that_overlap"]) == (pytest.approx(1), 1)
    assert class_overlap.mean_overlap(selected, [0, 0, 1, 2]) == pytest.approx(1)
    controls = class_overlap.against_controls({"selected": np.eye(3), "top_k": np.eye(3)}, [4, 4, 4], n_resamples=3)
    assert np.isnan([controls[name] for name in ("selected", "selected_minus_top_k", "low", "high")]).all()


def test_a_resample_without_pairs_is_left_out():
    """Class 1 selects in one of two images: a quarter of the resamples have none of it, the others all agree."""
    found = class_overlap.overlap_summary([[1], [1], [1], [0]], [0, 0, 1, 1], n_resamples=200)
    assert [found[name] for name in ("mean_overlap", "corrected", "low", "high")] == pytest.approx([1] * 4)


def test_shares_of_a_class_without_images():
    np.testing.assert_array_equal(class_overlap.class_shares([[1, 0], [1, 1]], [0, 0], 2), [[1, 0.5], [np.nan, np.nan]])
