"""The validator: what is read, what is refused, and that the argument's name is in every refusal."""

import numpy as np
import pandas as pd
import pytest
import torch

from qafs_utils import require

SEQUENCES = {
    "list": [1.0, 2.0],
    "tuple": (1, 2),
    "array": np.array([1, 2]),
    "series": pd.Series([1, 2], index=[7, 9]),
    "index": pd.Index([1, 2]),
    "range": range(1, 3),
    "generator": (x for x in (1, 2)),
    "objects": np.array([1, 2], object),
    "tensor": torch.tensor([1.0, 2.0], requires_grad=True),
    "tensors": [torch.tensor(1.0, requires_grad=True), 2.0],
    "bfloat16": torch.tensor([1, 2], dtype=torch.bfloat16),
}


@pytest.mark.parametrize("given", SEQUENCES.values(), ids=SEQUENCES)
def test_sequences_of_any_kind_are_read(given):
    assert require.array("x", given, "N").tolist() == [1, 2]


NO_VECTORS = [
    None,
    "12",
    {1: 2},
    [1, [2]],
    [1j, 2],
    1.0,
    [[1, 2]],
    [1, np.nan],
    {1, 2},
    ["1", "2"],
    np.array(["1", "2"], object),
    pd.Series(["1", "2"]),
    np.ma.masked_array([1, 2], [False, True]),
    [10**400, 1],
    torch.tensor([1j, 2]),
    torch.ones(2).to_sparse(),
    torch.ones(2, device="meta"),
    np.complex128,
    np.ones(2, complex),
]


@pytest.mark.parametrize("given", NO_VECTORS)
def test_what_is_no_vector_is_refused_by_name(given):
    for check in (require.array, require.tensor, lambda *a: require.indices(*a, 9), require.bits):
        with pytest.raises(ValueError, match="^weights "):
            check("weights", given, "N")


@pytest.mark.parametrize(
    "given",
    [
        None,
        "1",
        True,
        np.nan,
        2,
        [0.5],
        1j,
        np.array([0.5]),
        torch.tensor([0.5, 0.5]),
        10**400,
        np.complex128,
    ],
)
def test_numbers_are_refused_by_name(given):
    with pytest.raises(ValueError, match=r"^beta must be a number in \[0, 1\], got "):
        require.number("beta", given, "[0, 1]")


@pytest.mark.parametrize("given", [None, "1", True, np.nan, np.inf, 0.5, -1, 4, [1], np.True_])
def test_whole_numbers_are_refused_by_name(given):
    with pytest.raises(ValueError, match="^k must be a whole number from 0 to 3, got "):
        require.whole("k", given, 0, 3)


@pytest.mark.parametrize("given", [None, "yes", 1, 0.0, np.nan, pd.NA, [True], np.array([True, False])])
def test_flags_are_refused_by_name(given):
    with pytest.raises(ValueError, match="^holds must be True or False, got "):
        require.flag("holds", given)


@pytest.mark.parametrize("one", [1, 1.0, np.int64(1), np.float32(1), np.array(1), torch.tensor(1)])
def test_one_is_a_number_in_any_form(one):
    assert require.whole("k", one) == require.number("x", one, "(0, 1]") == 1


def test_letters_stand_for_one_length():
    sizes = {}
    require.array("maps", np.zeros((2, 3, 4, 4)), "B N H W", sizes)
    assert require.tensor("importance", np.zeros((2, 3)), "B N", sizes).shape == (2, 3) and sizes["H"] == 4
    for axes, shape in (("B N", (2, 4)), ("N B", (2, 3)), ("B", (2, 3)), ("B 3 S S", (2, 3, 5, 6)), ("B 3", (2, 4))):
        with pytest.raises(ValueError, match="^other must be "):
            require.array("other", np.zeros(shape), axes, dict(sizes))
    assert require.array("stack", np.zeros((5, 6, 2, 4, 4)), "... H W", sizes).ndim == 5
    with pytest.raises(ValueError, match=r"\(..., H, W\) = \(..., 4, 4\) numbers, got shape \(4,\)"):
        require.array("stack", np.zeros(4), "... H W", sizes)


ODD_ARRAYS = {
    "reversed": np.array([2.0, 1.0])[::-1],
    "swapped": np.array([1, 2], ">f8"),
    "long": np.array([1, 2], np.longdouble),
    "read-only": np.broadcast_to(np.array([1.0, 2.0]), (2,)),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("given", ODD_ARRAYS.values(), ids=ODD_ARRAYS)
def test_odd_arrays_become_tensors(given):
    assert require.tensor("x", given, "N").tolist() == require.array("x", given, "N").tolist() == [1, 2]


@pytest.mark.parametrize("read", [require.array, require.tensor])
def test_values(read):
    assert len(read("x", [0.0, np.nan], "N", nan=True)) == 2
    assert 0 in read("x", np.zeros((0, 3)), "N M", interval="(0, 1)").shape
    for given, nan in (([0.0, np.nan], False), ([np.nan, np.inf], True), ([-np.inf], False)):
        with pytest.raises(ValueError, match="x must be finite, got NaN or infinite values.*: mend it"):
            read("x", given, "N", nan=nan, remedy=": mend it")
    read("x", np.array([1, np.nan], np.float16), "N", interval="[0, 1e5]", nan=True)
    for interval in ("[0, 1]", "(-1, 2)", "[0, 2)"):
        with pytest.raises(ValueError, match=r"x must lie in .*, got 2.0"):
            read("x", [0.5, 2.0, np.nan], "N", interval=interval, nan=True)


@pytest.mark.parametrize("seed", [-1, 0.5, "0", np.nan, [None]])
def test_seeds(seed):
    with pytest.raises(ValueError, match="seed must be a whole number of at least 0"):
        require.generator("seed", seed)


def test_large_indices_are_no_floats():
    assert require.indices("k", [2**60 + 1], "n", 2**61)[0] == 2**60 + 1
    for given in ([-1], [2**61], [0.5], [np.nan]):
        with pytest.raises(ValueError, match="k must be whole numbers from 0 to"):
            require.indices("k", given, "n", 2**61)
