"""The named sets of conventions."""

from dataclasses import asdict, replace

import pytest

from qafs_utils import conventions
from qafs_utils.conventions import AUTHORS, CHOICES, HEADLINE, SETS, SIGNED, TEXT


def test_choices_are_of_fields():
    assert CHOICES.keys() <= asdict(HEADLINE).keys()


def test_the_sets_are_four_different_ones():
    assert len({TEXT, AUTHORS, HEADLINE, SIGNED}) == len(SETS) == 4
    assert TEXT.pair_sum == "half" and AUTHORS.grad_cam == "sum of relus"


@pytest.mark.parametrize("name", list(CHOICES))
def test_an_unknown_choice_is_refused_by_name(name):
    with pytest.raises(ValueError, match=f"unknown {name} 'other'"):
        replace(HEADLINE, **{name: "other"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pair_sum": "all"}, "J_pp is 0, take 'p!=q'"),
        ({"trunk_batchnorm": "train"}, "order 'shuffled' contradicts trunk_batchnorm 'train'"),
        ({"candidates": "signed"}, "candidates 'signed' contradict grad_cam 'sum of relus'"),
        ({"mask": "top half", "resampling": "8 bit"}, "resampling '8 bit' contradicts mask 'top half'"),
        ({"beta": 1.1}, "beta"),
        ({"annealing_time": 0}, "annealing_time"),
        ({"learning_rate": -1}, "learning_rate"),
        ({"num_reads": 0}, "num_reads"),
    ],
)
def test_contradictions_and_wrong_numbers_are_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(HEADLINE, **changes)


def test_an_unknown_set_is_refused():
    with pytest.raises(ValueError, match="unknown conventions 'paper': choose from headline, text, authors, signed"):
        conventions.named("paper")
