"""Average Drop on cases worked out by hand, its invariants, and bad input."""

import dataclasses

import numpy as np
import pytest
from repository import ODD

from qafs_utils.explanations import average_drop
from qafs_utils.explanations.average_drop import DEFINITIONS, AverageDropDefinition

SOFT = DEFINITIONS["grad_cam_pp"].masking


def logits(*probabilities):
    """Logits whose softmax is the given rows of probabilities."""
    return np.log(np.array(probabilities))


def test_definitions_are_explicit_and_share_maskings():
    assert next(iter(DEFINITIONS)) == "grad_cam_pp" and len(DEFINITIONS) >= 5
    assert len(set(DEFINITIONS.values())) == len(DEFINITIONS)
    assert dataclasses.asdict(DEFINITIONS["grad_cam_pp"]) == {
        "mask": "soft",
        "value": None,
        "fill": "black",
        "resampling": "float",
        "score": "softmax",
        "target": "predicted",
        "average": "all",
        "clip": True,
    }
    assert DEFINITIONS["logit"].masking == DEFINITIONS["unclipped"].masking == SOFT
    assert DEFINITIONS["8_bit"].masking == SOFT._replace(resampling="8 bit")


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"mask": "hard"}, "unknown mask 'hard'"),
        ({"fill": "white"}, "unknown fill"),
        ({"score": "z"}, "unknown score"),
        ({"target": "top2"}, "unknown target"),
        ({"average": "some"}, "unknown average"),
        ({"resampling": "8-bit"}, "unknown resampling"),
        ({"clip": 1}, "clip must be True or False"),
        ({"mask": "threshold", "value": 0.5, "resampling": "8 bit"}, "'8 bit' is that of a soft mask, not of 'thr"),
        ({"value": 0.5}, "value must be None for a soft mask, got 0.5"),
        ({"mask": "threshold"}, "value of the mask threshold must be a number"),
        ({"mask": "threshold", "value": 15}, "value of the mask threshold must be a number"),
        ({"mask": "top_fraction", "value": -1}, "value of the mask top_fraction must be a number"),
    ],
)
def test_unknown_or_missing_choices_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        AverageDropDefinition(**wrong)


def test_drops_by_hand():
    full = logits([0.8, 0.2], [0.4, 0.6], [0.5, 0.5], [0.9, 0.1])
    masked = logits([0.4, 0.6], [0.1, 0.9], [0.5, 0.5], [0.6, 0.4])
    labels = np.array([0, 0, 0, 1])
    np.testing.assert_allclose(average_drop.drops(full, masked, labels), [50, 0, 0, 100 / 3])
    np.testing.assert_allclose(average_drop.average_drop(full, masked, labels), (50 + 100 / 3) / 4)
    np.testing.assert_allclose(average_drop.increases(full, masked, labels), [0, 100, 0, 0])
    true = DEFINITIONS["true_class"]
    np.testing.assert_allclose(average_drop.drops(full, masked, labels, true), [50, 75, 0, 0])
    np.testing.assert_allclose(average_drop.increases(full, masked, labels, true), [0, 0, 0, 100])
    correct = DEFINITIONS["correct_only"]
    np.testing.assert_allclose(average_drop.drops(full, masked, labels, correct), [50, np.nan, 0, np.nan])
    assert average_drop.average_drop(full, masked, labels, correct) == pytest.approx(25)


def test_an_unclipped_drop_is_negative_where_the_score_grows():
    full, masked = logits([0.8, 0.2], [0.4, 0.6], [0.5, 0.5]), logits([0.4, 0.6], [0.1, 0.9], [0.5, 0.5])
    for name, expected in (("grad_cam_pp", [50, 0, 0]), ("unclipped", [50, -50, 0])):
        found = average_drop.drops(full, masked, [0, 0, 0], DEFINITIONS[name])
        np.testing.assert_allclose(found, expected, atol=1e-12)
    assert average_drop.average_drop(full, masked, [0, 0, 0], DEFINITIONS["unclipped"]) == pytest.approx(0)
    assert average_drop.increases(full, masked, [0, 0, 0], DEFINITIONS["unclipped"]).tolist() == [0, 100, 0]


def test_logit_drops_exclude_non_positive_scores_and_may_exceed_100():
    full = np.array([[2.0, 0.0], [-1.0, -3.0], [0.0, -1.0]])
    masked = np.array([[-1.0, 0.0], [-2.0, 0.0], [1.0, 0.0]])
    definition = DEFINITIONS["logit"]
    np.testing.assert_allclose(average_drop.drops(full, masked, [0, 0, 0], definition), [150, np.nan, np.nan])
    np.testing.assert_allclose(average_drop.increases(full, masked, [0, 0, 0], definition), [0, 0, 100])


def test_zero_score_is_excluded_not_infinite():
    full, masked = np.array([[0.0, 2000.0], [0.0, 0.0]]), np.zeros((2, 2))
    definition = DEFINITIONS["true_class"]
    np.testing.assert_allclose(average_drop.drops(full, masked, [0, 0], definition), [np.nan, 0])
    assert np.isnan(average_drop.average_drop(full[:1], masked[:1], [0], definition))


@pytest.mark.parametrize("name", DEFINITIONS)
def test_unchanged_logits_have_no_drop_and_no_increase(name):
    rng = np.random.default_rng(0)
    full, labels = rng.normal(1, 3, (50, 10)), rng.integers(0, 10, 50)
    labels[:5] = full[:5].argmax(1)
    assert average_drop.average_drop(full, full, labels, DEFINITIONS[name]) == 0
    assert not np.nan_to_num(average_drop.increases(full, full, labels, DEFINITIONS[name])).any()
    values = average_drop.drops(full, rng.normal(1, 3, (50, 10)), labels, DEFINITIONS[name])
    assert (values[~np.isnan(values)] >= 0).all() == DEFINITIONS[name].clip
    if DEFINITIONS[name].score == "softmax":
        assert (values[~np.isnan(values)] <= 100).all()


def test_by_class_of_a_class_without_values():
    values = np.array([1.0, 3.0, np.nan, 5.0, np.nan])
    np.testing.assert_allclose(average_drop.by_class(values, [0, 0, 0, 2, 3], 4), [2, np.nan, 5, np.nan])


def test_area_under_curve():
    np.testing.assert_allclose(average_drop.area_under_curve([[0, 0.5, 1], [1, 1, 1]]), [0.5, 1])


FULL = np.arange(6.0).reshape(2, 3)
CALLS = {
    "logits_full": lambda x: average_drop.drops(x, FULL, [0, 1]),
    "logits_masked": lambda x: average_drop.increases(FULL, x, [0, 1]),
    "labels": lambda x: average_drop.average_drop(FULL, FULL, x),
    "definition": lambda x: average_drop.drops(FULL, FULL, [0, 1], x),
    "mask": lambda x: AverageDropDefinition(x),
    "value": lambda x: AverageDropDefinition("threshold", x),
    "values": lambda x: average_drop.by_class(x, [0, 1], 2),
    "n_classes": lambda x: average_drop.by_class([1.0, 2.0], [0, 1], x),
    "curve": lambda x: average_drop.area_under_curve(x),
}


@pytest.mark.parametrize("odd", ODD, ids=str)
@pytest.mark.parametrize("name", CALLS)
def test_odd_arguments_are_refused_by_name(name, odd):
    with pytest.raises(ValueError, match=name):
        CALLS[name](odd)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: average_drop.drops(FULL, FULL * np.nan, [0, 0]), "logits_masked must be finite, got NaN"),
        (lambda: average_drop.drops(FULL * np.nan, FULL, [0, 0]), "logits_full must be finite, got NaN"),
        (lambda: average_drop.drops(FULL, FULL[:1], [0, 0]), "logits_masked must be"),
        (lambda: average_drop.drops(FULL, FULL, [0]), "labels must be"),
        (lambda: average_drop.drops(FULL, FULL, [0, 3]), "labels must be whole numbers from 0 to"),
        (lambda: average_drop.drops([[1e-320, -1]], [[-1, -1]], [0], DEFINITIONS["logit"]), "drops .* too near 0"),
        (lambda: average_drop.drops([[1.0]], [[2.0]], [0]), "number of classes .*two_classes"),
        (lambda: average_drop.by_class([1.0], [0, 1], 2), "labels must be"),
        (lambda: average_drop.by_class([1.0, 2.0], [0, 2], 2), "labels must be whole numbers from 0 to"),
        (lambda: average_drop.by_class([1.0, 2.0], [0, 0.5], 2), "labels must be whole numbers"),
        (lambda: average_drop.area_under_curve([0.5]), "points of the curve"),
        (lambda: average_drop.area_under_curve([0.5, np.nan]), "curve must be finite, got NaN"),
        (lambda: average_drop.area_under_curve([1e308] * 9), "curve must lie in"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
