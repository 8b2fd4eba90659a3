"""The rule behind every verdict."""

import numpy as np
import pandas as pd
import pytest

from qafs_utils.make import claims
from qafs_utils.make.claims import MARKS, cheap, judged, judged_numbers, markdown, verdict, with_table


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


FIRST = {"id": "a", "place": "Table 1", "statement": "a|b", "reported": 10.0, "ours": 9.5, "low": 9.0, "high": 10.5}
FIRST |= {"seeds": "8 to 11", "verdict": "reproduced", "why": "because"}
SECOND = dict.fromkeys(FIRST, np.nan) | {"id": "b", "place": "Fig. 2", "statement": "s", "verdict": "cannot be tested"}
TABLE = pd.DataFrame([FIRST, SECOND])


STATEMENTS = pd.DataFrame(
    {"id": ["a", "b", "c"], "place": "Fig. 4", "statement": "s", "reported": [10.0, np.nan, np.nan], "tolerance": 0.1}
)


def answers(**of):
    """Answers as `Run.claim` writes them, read as text: {id: what differs from an answer without a value}."""
    empty = dict.fromkeys(("reported", "ours", "low", "high", "holds", "verdict", "seeds", "why"), np.nan)
    empty |= {"partly": "False", "testable": "True"}
    return pd.DataFrame([empty | {"id": name} | answer for name, answer in of.items()])


def test_answers_are_judged_in_the_order_of_the_statements():
    first = answers(c={"ours": "3", "reported": "3.1", "why": "because"}, a={"ours": "9.5", "low": "1e-05"})
    second = answers(b={"ours": "17", "low": "17.0", "holds": "yes", "partly": "True", "seeds": "1 to 2"})
    table = judged(STATEMENTS, [first, second])
    assert table.id.tolist() == ["a", "b", "c"] and table.why[2] == "because" and table.seeds[1] == "1 to 2"
    assert table.verdict.tolist() == ["reproduced", "direction only", "reproduced"]
    assert table.ours.tolist() == [9.5, 17, 3] and table.low[1] == 17
    assert table.reported.tolist()[::2] == [10, 3.1] and np.isnan(table.reported[1])
    given = answers(a={"ours": "1", "verdict": "reproduced"}, b={"ours": "1"}, c={"ours": "1", "holds": "no"})
    assert judged(STATEMENTS, [given]).verdict.tolist() == ["reproduced", "cannot be tested", "not reproduced"]


def test_each_statement_has_its_own_tolerance():
    statements = STATEMENTS.assign(reported=10.0, tolerance=[0.01, 0.1, 0.3])
    for ours, reproduced in (("9.95", "abc"), ("9.5", "bc"), ("8", "c"), ("6", "")):
        table = judged(statements, [answers(**{name: {"ours": ours} for name in "abc"})])
        assert "".join(table.id[table.verdict == "reproduced"]) == reproduced


@pytest.mark.parametrize(
    "tables, message",
    [
        ([answers(a={}, b={})], "one answer, not so: c$"),
        ([answers(a={}, b={}, c={}), answers(b={})], "one answer, not so: b$"),
        ([answers(a={}, b={}, c={}, d={})], "one answer, not so: d$"),
        ([answers(a={}, b={}, c={"verdict": "proven"})], "unknown verdict 'proven'"),
    ],
)
def test_each_statement_has_one_answer(tables, message):
    with pytest.raises(ValueError, match=message):
        judged(STATEMENTS, tables)


def test_numbers_are_judged_and_the_cheap_ones_counted():
    columns = ["source", "number", "reported", "ours", "low", "high", "testable"]
    one = pd.DataFrame([["Table 1", "x", 10.0, 9.5, 2.0, 12.0, True], ["Table 1", "y", 1.0, 1.0, 1.0, 1.0, False]])
    other = pd.DataFrame([["Fig. 2", "z", 0.0, 0.0, 0.0, 0.0, True], ["Fig. 2", "z", 9.0, 5.0, 4.0, 6.0, True]])
    numbers = judged_numbers([one.set_axis(columns, axis=1), other.set_axis(columns, axis=1)])
    assert numbers.columns.tolist() == [*columns[:-1], "verdict"]
    assert numbers.verdict.tolist() == ["reproduced", "cannot be tested", "reproduced", "not reproduced"]
    assert cheap(numbers).loc["Table 1"].tolist() == [0, 1, 1] and cheap(numbers).loc["Fig. 2"].tolist() == [1, 0, 1]


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
    monkeypatch.setattr(claims, "HEADLINES", {"a": "in short"})
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
