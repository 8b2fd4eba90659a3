"""Selections are kept under the keys that the artefacts have, beside an index from which each can be found."""

import numpy as np
import pytest

from qafs_utils.solvers import baselines
from qafs_utils.solvers.selections import COLUMNS, Selections

IMPORTANCE = np.array([[0.5, -1.0, 2.0, 0.1], [1.0, 2.0, 3.0, 4.0]])
BITS = np.array([[True, False, False, True], [False, False, True, False]])


def test_the_index_finds_every_array():
    samples = Selections("04_samples")
    for place, seed in (("block", 0), ("block", 1), ("conv", 0)):
        network = {"place": place, "seed": seed}
        samples.add(IMPORTANCE > 0, 16, "candidates", **network)
        samples.add(BITS, 16, "exact", 0.7, **network)
        samples.add_equal_sizes(IMPORTANCE, BITS, 16, 0.7, draw=3, **network)
    index = samples.index()
    assert tuple(index) == COLUMNS and index.key.tolist() == list(samples.arrays)
    assert index.groupby("kind").size().to_dict() == {"candidates": 3, "exact": 3, "top_k": 3, "random_k": 3}
    assert index.beta.isna().tolist() == (index.kind == "candidates").tolist()
    key = index.query("place == 'conv' and kind == 'random_k'").key.item()
    assert key == "conv/seed0/nf16_random_k"
    assert np.array_equal(samples.arrays[key], baselines.random_k(IMPORTANCE, [2, 1], seed=3))


def test_of_one_network_keys_have_no_prefix_and_only_the_full_model_names_beta():
    found = Selections("04_selections", place="block", seed=0)
    for beta in (0.7, 1.0):
        found.add(BITS, 512, "sa", beta)
        found.add_equal_sizes(IMPORTANCE, BITS, 512, beta)
    found.add(BITS, 16, "qa", 0.7)
    assert list(found.arrays) == [
        *("nf512_sa_0.70", "nf512_top_k_0.70", "nf512_random_k_0.70"),
        *("nf512_sa_1.00", "nf512_top_k_1.00", "nf512_random_k_1.00", "nf16_qa"),
    ]
    with pytest.raises(ValueError, match="there is a selection nf16_qa already"):
        found.add(BITS, 16, "qa", 0.9)
    with pytest.raises(ValueError, match="bits must be bit-strings"):
        found.add([[2, 0]], 24, "qa", 0.7)
    assert found.index().seed.eq(0).all() and found.index().place.eq("block").all()


def test_a_selection_that_was_not_added_is_refused_and_what_exists_is_told():
    found = Selections("04_selections", place="block", seed=0)
    with pytest.raises(KeyError, match="there are none"):
        found[16, "qa", 0.7]
    found.add(BITS, 16, "qa", 0.7)
    found.add(IMPORTANCE > 0, 16, "candidates")
    found.add(BITS, 512, "sa", 0.7)
    for wrong in ((16, "qa", 0.9), (16, "qa", None), (16, "candidates", 0.7), (512, "sa", 0.701), (24, "qa", 0.7)):
        with pytest.raises(
            KeyError, match=r"no selection .*\(16, 'qa', 0.7\), \(16, 'candidates', None\), \(512, 'sa'"
        ):
            found[wrong]
    assert np.array_equal(found[16, "qa", np.float64(0.7)], BITS)
    assert np.array_equal(found[16, "candidates", None], IMPORTANCE > 0)


def test_place_and_seed_are_given_once():
    of_one, of_many = Selections("04_selections", place="block", seed=0), Selections("04_samples")
    for add in (
        lambda: of_one.add(BITS, 16, "qa", 0.7, place="conv", seed=0),
        lambda: of_many.add(BITS, 16, "qa", 0.7),
        lambda: of_many.add(BITS, 16, "qa", 0.7, place="conv"),
        lambda: Selections("04_selections", place="block"),
    ):
        with pytest.raises(ValueError, match="place and seed must be given once"):
            add()
    of_many.add(BITS, 16, "qa", 0.7, place="conv", seed=0)
    with pytest.raises(KeyError, match="by its key"):
        of_many[16, "qa", 0.7]


@pytest.mark.parametrize(
    "change, name", [({"beta": "0.7"}, "beta"), ({"beta": 7}, "beta"), ({"n_features": 1.5}, "n_f")]
)
def test_what_names_a_selection_is_checked(change, name):
    with pytest.raises(ValueError, match=name):
        Selections("04_selections", place="block", seed=0).add(BITS, **{"n_features": 16, "kind": "qa"} | change)
    with pytest.raises(ValueError, match="bits must be bit-strings"):
        Selections("04_selections", place="block", seed=0).add_equal_sizes(IMPORTANCE, [[1, 2], [0, 3]], 16, 0.7)
