"""The rule behind every verdict."""

import numpy as np
import pandas as pd
import pytest

from qafs_utils.artefacts.answers import holm
from qafs_utils.artefacts.run import Artefacts
from qafs_utils.make import claims
from qafs_utils.make.claims import (
    BY_P,
    COLUMNS,
    MARKS,
    VERDICTS,
    by_tolerance,
    judged,
    judged_numbers,
    markdown,
    verdict,
    with_table,
)


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ({"ours": 5, "low": 4.6, "high": 5.4, "reported": 5}, "reproduced"),  # the whole interval within 10 %
        ({"ours": 5, "low": 4.5, "high": 5.5, "reported": 5}, "reproduced"),  # its ends at the bounds
        ({"ours": 5, "low": 4.4, "high": 5.4, "reported": 5}, "compatible"),  # it contains the number, no more
        ({"ours": 5, "low": 4.6, "high": 5.6, "reported": 5}, "compatible"),
        ({"ours": 5, "low": 4, "high": 6, "reported": 5.9}, "compatible"),
        ({"ours": 5, "low": 4.4, "high": 5.4, "reported": 5, "tolerance": 0.2}, "reproduced"),
        ({"ours": 5, "low": 4, "high": 6, "reported": 6.1}, "not reproduced"),
        ({"ours": 5, "low": 4, "high": 6, "reported": 6.1, "holds": True}, "direction only"),
        ({"ours": 5, "low": 4, "high": 6, "reported": 6.1, "noise": 1.2}, "compatible"),
        ({"ours": 5, "low": 4, "high": 6, "reported": 6.1, "noise": 1}, "not reproduced"),
        ({"ours": 5, "low": 4, "high": 6, "reported": 6.1, "noise": 1, "holds": True}, "direction only"),
        ({"ours": 5, "low": 4.9, "high": 5.1, "reported": 5.4}, "reproduced"),
        ({"ours": 5, "low": 4.9, "high": 5.1, "reported": 5.5}, "not reproduced"),  # ours within 10 %, low is not
        ({"ours": 5, "reported": 5.4}, "reproduced"),
        ({"ours": 5, "reported": 5.4, "tolerance": 0.01}, "not reproduced"),
        ({"ours": 5, "reported": 5.4, "tolerance": 0.01, "noise": 0.5}, "compatible"),
        ({"ours": -5, "low": -5.4, "high": -4.6, "reported": -5}, "reproduced"),
        ({"ours": 0, "low": 0, "high": 0, "reported": 0}, "cannot be tested"),
        ({"ours": 0, "reported": 0, "noise": 1, "holds": True}, "cannot be tested"),
        ({"ours": 0.1, "low": -0.1, "high": 0.2, "reported": 0}, "compatible"),
        ({"ours": 0.1, "reported": 0}, "not reproduced"),
        ({"ours": 0, "reported": 0.1}, "not reproduced"),
        ({"ours": 0, "holds": True}, "reproduced"),
        ({"ours": -0.9, "holds": True}, "reproduced"),
        ({"ours": 0.9, "holds": False}, "not reproduced"),
        ({"ours": 0.9, "holds": False, "noise": 9}, "not reproduced"),
        ({"ours": 0.9, "holds": True, "partly": True}, "direction only"),
        ({"ours": 0.9, "holds": False, "partly": True}, "not reproduced"),
        ({"ours": np.nan, "reported": 3, "holds": True}, "cannot be tested"),
        ({"ours": None, "reported": 3}, "cannot be tested"),
        ({"ours": 88.0}, "cannot be tested"),
        ({"ours": 5, "reported": 5, "testable": False}, "cannot be tested"),
    ],
)
def test_verdict(arguments, expected):
    assert verdict(**arguments) == expected


def test_holm_by_hand():
    """Four tests: the least p counts four times, the next three times, and none less than one before it."""
    assert holm([0.02, 0.5, 0.01, 0.024]) == pytest.approx([0.06, 0.5, 0.04, 0.06])
    assert holm([0.4, np.nan, 0.7]).tolist()[::2] == pytest.approx([0.8, 0.8]) and np.isnan(holm([0.4, np.nan, 0.7])[1])
    assert holm([0.9, 0.8]).tolist() == [1, 1] and holm([]).tolist() == [] and np.isnan(holm([np.nan])).all()
    with pytest.raises(ValueError, match="p must lie in"):
        holm([0.1, 1.2])


FIRST = dict.fromkeys(COLUMNS, np.nan) | {"id": "a", "place": "Table 1", "claim": "a|b", "measured": "x (%)"}
FIRST |= {"holds_if": "within 4", "notebook": "09_average_drop", "reported": 10.0, "ours": 9.5, "low": 9.0}
FIRST |= {"high": 10.5, "unit": "images", "seeds": "8 to 11", "verdict": "reproduced", "why": "because"}
SECOND = dict.fromkeys(COLUMNS, np.nan) | {"id": "b", "place": "Fig. 2", "claim": "s", "notebook": "10_bhattacharyya"}
SECOND |= {"ours": 0.5, "p": 0.004, "p_holm": 0.06, "verdict": "cannot be tested"}
TABLE = pd.DataFrame([FIRST, SECOND])


STATEMENTS = pd.DataFrame({"id": ["a", "b", "c"], "place": "Fig. 4", "claim": "s", "measured": "m", "holds_if": np.nan})
STATEMENTS = STATEMENTS.assign(reported=[10.0, np.nan, np.nan], tolerance=0.1)


def answers(**of):
    """Answers as `Run.claim` writes them, read as text: {id: what differs from an answer without a value}."""
    empty = dict.fromkeys(("reported", "ours", "low", "high", "noise", "p", "holds", "seeds", "why"), np.nan)
    empty |= {"partly": "False", "testable": "True", "unit": np.nan, "notebook": "05_minimum_gap"}
    return pd.DataFrame([empty | {"id": name} | answer for name, answer in of.items()])


def test_answers_are_judged_in_the_order_of_the_statements():
    first = answers(c={"ours": "3", "reported": "3.1", "why": "because"}, a={"ours": "9.5", "low": "9.4"})
    second = answers(b={"ours": "17", "low": "17.0", "holds": "yes", "partly": "True", "seeds": "1 to 2"})
    table = judged(STATEMENTS, [first, second])
    assert table.columns.tolist() == COLUMNS
    assert table.id.tolist() == ["a", "b", "c"] and table.why[2] == "because" and table.seeds[1] == "1 to 2"
    assert table.verdict.tolist() == ["reproduced", "direction only", "reproduced"]
    assert table.ours.tolist() == [9.5, 17, 3] and table.low[1] == 17
    assert table.reported.tolist()[::2] == [10, 3.1] and np.isnan(table.reported[1])
    given = answers(a={"ours": "10"}, b={"ours": "1"}, c={"ours": "1", "holds": "no"})
    assert judged(STATEMENTS, [given]).verdict.tolist() == ["reproduced", "cannot be tested", "not reproduced"]


def test_the_noise_of_a_rerun_and_zeros_enter_the_verdict():
    given = answers(a={"ours": "14", "noise": "4"}, b={"ours": "0", "reported": "0", "why": "w"}, c={"ours": "1"})
    table = judged(STATEMENTS, [given])
    assert table.verdict.tolist() == ["compatible", "cannot be tested", "cannot be tested"]
    assert table.why.tolist() == ["", "both are zero; w", ""] and table.noise[0] == 4
    assert judged(STATEMENTS, [answers(a={"ours": "14", "noise": "3.9"}, b={}, c={})]).verdict[0] == "not reproduced"


def test_statements_that_ask_for_a_p_get_the_corrected_one():
    criteria = ["corrected p below 0.05; in part if at 24 p is larger", "p above 0.05", "below 0"]
    statements = STATEMENTS.assign(holds_if=criteria, reported=np.nan)
    given = {"a": {"ours": "0.4", "p": "0.02", "holds": "yes"}, "b": {"ours": "0.03", "p": "0.03", "holds": "no"}}
    table = judged(statements, [answers(**given, c={"ours": "-1", "p": "0.04", "holds": "yes"})])
    assert table.p_holm.tolist() == pytest.approx([0.06, 0.06, 0.06])
    assert table.verdict.tolist() == ["not reproduced", "reproduced", "reproduced"]  # the third asks for no p
    table = judged(statements, [answers(**given, c={})])
    assert table.p_holm.tolist()[:2] == [0.04, 0.04] and table.verdict.tolist()[:2] == ["reproduced", "not reproduced"]
    given["a"]["partly"] = "True"
    assert judged(statements, [answers(**given, c={})]).verdict[0] == "direction only"


def test_the_criteria_of_the_statements_are_known():
    """Each p that is asked for is one of BY_P, and no criterion asks for two."""
    statements = Artefacts("published").paper("claims")
    criteria = statements.holds_if.fillna("")
    asked = [sum(criterion in text for criterion in BY_P) for text in criteria]
    assert asked == criteria.str.contains("corrected p").tolist() and sum(asked) > 1
    bound = answers(overlap_largest={"ours": "0.56", "low": "0.48", "high": "0.62", "holds": "no", "partly": "True"})
    assert judged(statements[statements.id == "overlap_largest"], [bound]).verdict.tolist() == ["not reproduced"]
    bound = bound.assign(ours="0.49", holds="yes")
    assert judged(statements[statements.id == "overlap_largest"], [bound]).verdict.tolist() == ["direction only"]


def test_each_statement_has_its_own_tolerance():
    statements = STATEMENTS.assign(reported=10.0, tolerance=[0.01, 0.1, 0.3])
    for ours, reproduced in (("9.95", "abc"), ("9.5", "bc"), ("8", "c"), ("6", "")):
        table = judged(statements, [answers(**{name: {"ours": ours} for name in "abc"})])
        assert "".join(table.id[table.verdict == "reproduced"]) == reproduced


def test_counts_by_tolerance():
    statements, given = STATEMENTS.assign(reported=10.0), [answers(a={"ours": "9.6"}, b={"ours": "9"}, c={"ours": "8"})]
    counted = by_tolerance(statements.assign(tolerance=[0.1, 0.1, 0.02]), given, [NUMBERS.assign(testable=True)])
    table = counted.pivot(index=["of", "tolerance"], columns="verdict", values="count")
    assert table.reproduced["statements"].tolist() == [1, 2, 2] and table["not reproduced"].tolist()[3:] == [2, 1, 1]
    assert table.reproduced["numbers"].tolist() == [1, 2, 2] and (table.sum(axis=1) == [4, 4, 4, 3, 3, 3]).all()
    assert counted.verdict.tolist() == list(VERDICTS) * 6


@pytest.mark.parametrize(
    "tables, message",
    [
        ([answers(a={}, b={})], "^c has no answer: give one by run.claim"),
        ([answers(a={}, b={}, c={}), answers(b={})], "^b is answered twice"),
        ([answers(a={}, b={}, c={}, d={})], "^d is no statement of data"),
    ],
)
def test_each_statement_has_one_answer(tables, message):
    with pytest.raises(ValueError, match=message):
        judged(STATEMENTS, tables)


NUMBERS = pd.DataFrame(
    [
        ["Table 1", "x", 10.0, 9.5, 9.1, 10.0, np.nan, "images", True],
        ["Table 1", "y", 1.0, 1.0, 1.0, 1.0, np.nan, "images", False],
        ["Fig. 2", "z", 0.0, 0.0, 0.0, 0.0, 0.1, "images", True],
        ["Fig. 2", "w", 9.0, 5.0, 4.0, 6.0, 4.5, "classes", True],
    ],
    columns=["source", "number", "reported", "ours", "low", "high", "noise", "unit", "testable"],
)


def test_numbers_are_judged():
    numbers = judged_numbers([NUMBERS[:2], NUMBERS[2:]])
    assert numbers.verdict.tolist() == ["reproduced", "cannot be tested", "cannot be tested", "compatible"]
    assert numbers.why.tolist() == ["", "", "both are zero", ""] and numbers.unit.tolist() == NUMBERS.unit.tolist()
    assert judged_numbers([NUMBERS.assign(noise=np.nan)], 0.01).verdict.tolist()[::3] == [
        "compatible",
        "not reproduced",
    ]


def test_markdown_counts_and_escapes():
    lines = markdown(TABLE).splitlines()
    assert lines[0] == (
        "Of 2 statements: 1 reproduced, 0 compatible, 0 direction only, 0 not reproduced, 1 cannot be tested."
    )
    assert lines[2] == "| claim | measured as | holds if | paper | ours | verdict |"
    shown = "| a\\|b (Table 1; 09) | x (%) | within 4 | 10 | 9.5 [9, 10.5] (images) | reproduced |"
    assert lines[4] == shown
    assert lines[5] == "| s (Fig. 2; 10) |  |  |  | 0.5; p 0.004, corrected 0.06 | cannot be tested |"
    short = markdown(TABLE, ["b"]).splitlines()
    assert short[0] == lines[0] and short[4:] == lines[5:]
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
        ({"ours": 5, "noise": "1"}, "noise"),
    ],
)
def test_what_is_no_number_is_refused_by_name(arguments, name):
    with pytest.raises(ValueError, match=name):
        verdict(**arguments)


@pytest.mark.parametrize("table", [None, [1], TABLE.drop(columns="low"), TABLE.drop(columns="verdict")])
def test_a_table_of_other_columns_is_refused(table):
    with pytest.raises(ValueError, match="table must be a DataFrame with the columns id, .*; not there: "):
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
