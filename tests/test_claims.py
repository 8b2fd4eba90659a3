"""The rule behind every verdict."""

import numpy as np
import pytest

from qafs_utils.claims import verdict


@pytest.mark.parametrize("arguments, expected", [
    ({"ours": 5, "low": 4, "high": 6, "reported": 5.9}, "reproduced"),
    ({"ours": 5, "low": 4, "high": 6, "reported": 6.1}, "not reproduced"),
    ({"ours": 5, "low": 4, "high": 6, "reported": 6.1, "holds": True}, "direction only"),
    ({"ours": 5, "low": 4.9, "high": 5.1, "reported": 5.4}, "reproduced"),
    ({"ours": 5, "reported": 5.4, "tolerance": 0.01}, "not reproduced"),
    ({"ours": 0, "low": 0, "high": 0, "reported": 0}, "reproduced"),
    ({"ours": -0.9, "holds": True}, "reproduced"),
    ({"ours": 0.9, "holds": False}, "not reproduced"),
    ({"ours": np.nan, "reported": 3, "holds": True}, "cannot be tested"),
    ({"ours": 88.0}, "cannot be tested"),
    ({"ours": 5, "reported": 5, "testable": False}, "cannot be tested"),
])
def test_verdict(arguments, expected):
    assert verdict(**arguments) == expected
