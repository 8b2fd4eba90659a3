"""The rule behind every verdict."""

import numpy as np
import pandas as pd
import pytest

from qafs_utils.make import claims
from qafs_utils.make.claims import MARKS, markdown, verdict, with_table


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ({"ours": 5, "low": 4, "high": 6, "reported": 5.9}, "reproduced"),
        ({"ours": 5, "low": 4, "high": 6, "reported": 6.1}, "not reproduced"),
        ({"ours": 5, "low": 4, "high": 6, "reported": 6.1, "holds": True}, "direction only"),
        ({"ours": 5, "low": 4.9, "high": 5.1, "reported": 5.4}, "reproduced"),
        ({"ours": 5, "reported": 5.4, "tolerance": 0.01}, "not reproduced"),
        ({"ours": 0, "low": 0, "high": 0, "reported": 0}, "reproduced"),
        ({"ours": -0.9, "holds": True}, "reproduced"),
        ({"ours": 0.9, "holds": False}, "not reproduced"),
        ({"ours": 0.9, "holds": True, "partly": True}, "direction only"),
        ({"ours": 0.9, "holds": False, "partly": True}, "not reproduced"),
        ({"ours": np.nan, "reported": 3, "holds": True}, "cannot be tested"),
        ({"ours": 88.0}, "cannot be tested"),
        ({"ours": 5, "reported": 5, "testable": False}, "cannot be tested"),
    ],
)
def test_verdict(arguments, expected):
    assert verdict(**arguments) == expected


TABLE = pd.DataFrame([
    {"id": "a", "place": "Table 1", "statement": "a|b", "reported": 10.0, "ours": 9.5, "low": 9.0, "high": 10.5,
     "seeds": "8 to 11", "verdict": "reproduced", "why": "because"},
    {"id": "b", "place": "Fig. 2", "statement": "s", "reported": np.nan, "ours": np.nan, "low": np.nan, "high": np.nan,
     "seeds": np.nan, "verdict": "cannot be tested", "why": np.nan},
])  # fmt: skip


def test_markdown_counts_and_escapes():
    lines = markdown(TABLE).splitlines()
    assert lines[0] == "Of 2 statements: 1 reproduced, 0 direction only, 0 not reproduced, 1 cannot be tested."
    assert lines[4] == "| Table 1 | a\\|b | 10 | 9.5 [9, 10.5] | 8 to 11 | reproduced | because |"
    assert lines[5] == "| Fig. 2 | s |  |  |  | cannot be tested |  |"
    short = markdown(TABLE, ["b"]).splitlines()
    assert short[0] == lines[0] and short[4:] == ["| Fig. 2 | s |  |  | cannot be tested |"]
    with pytest.raises(KeyError, match="c"):
        markdown(TABLE, ["c"])


def test_the_table_is_renewed_between_its_marks(monkeypatch):
    monkeypatch.setattr(claims, "HEADLINES", ("a",))
    page = f"top\n{MARKS[0]}\nold\n{MARKS[1]}\nbottom\n"
    renewed = with_table(page, TABLE)
    assert renewed == f"top\n{MARKS[0]}\n{markdown(TABLE, ['a'])}{MARKS[1]}\nbottom\n"
    assert with_table(renewed, TABLE) == renewed
    with pytest.raises(ValueError, match="marks"):
        with_table("no marks", TABLE)


@pytest.mark.parametrize(
    "arguments, name",
    [
        ({"ours": "5"}, "ours"),
        ({"ours": [1, 2]}, "ours"),
        ({"ours": np.inf}, "ours"),
        ({"ours": 5, "low": "4"}, "low"),
        ({"ours": 5, "high": [6]}, "high"),
        ({"ours": 5, "reported": 1j}, "reported"),
        ({"ours": 10**400}, "ours"),
        ({"ours": pd.NA}, "ours"),
        ({"ours": 5, "holds": np.array([True, False])}, "holds"),
        ({"ours": 5, "holds": pd.NA}, "holds"),
        ({"ours": 5, "partly": "no"}, "partly"),
        ({"ours": 5, "testable": None}, "testable"),
        ({"ours": 5, "tolerance": -1}, "tolerance"),
        ({"ours": 5, "tolerance": np.nan}, "tolerance"),
    ],
)
def test_what_is_no_number_is_refused_by_name(arguments, name):
    with pytest.raises(ValueError, match=name):
        verdict(**arguments)


@pytest.mark.parametrize("table", [None, [1], TABLE.drop(columns="low"), TABLE.drop(columns="verdict")])
def test_a_table_of_other_columns_is_refused(table):
    with pytest.raises(ValueError, match="table must be a DataFrame with the columns place, .*; not there: "):
        markdown(table)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: markdown(TABLE.assign(low="9")), "low must be"),
        (lambda: markdown(TABLE, 5), "headlines must be"),
        (lambda: with_table(None, TABLE), "page must be text"),
        (lambda: with_table(" ".join(MARKS), None), "table must be"),
    ],
)
def test_pages_and_tables_of_another_kind_are_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
