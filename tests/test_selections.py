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
