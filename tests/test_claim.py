"""One statement recomputed: its row and verdict, and what is said of an ID that is none."""

import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from repository import ROOT

from qafs_utils.artefacts import files
from qafs_utils.make import claim

TABLE = files.committed_table(ROOT / "figures" / "table02_claims.csv")
STATEMENTS = files.committed_table(files.PAPER_VALUES / "claims.csv")
IDS = TABLE.id.tolist()


def answer(name, **changed):
    """A row of a `<number>_claims` table, as text; its numbers empty unless given."""
    columns = ("reported", "ours", "low", "high", "noise", "p")
    row = dict.fromkeys(columns, np.nan) | {
        "id": name,
        "unit": "",
        "seeds": "",
        "why": "",
        "notebook": "05_minimum_gap",
    }
    row |= {"holds": "", "partly": "False", "testable": "True"} | {k: str(v) for k, v in changed.items()}
    return pd.DataFrame([row])


@pytest.mark.parametrize(
    "ours, low, high, verdict",
    [(0.1, 0.095, 0.105, "reproduced"), (0.1, 0.08, 0.12, "compatible"), (0.2, 0.19, 0.21, "not reproduced")],
)
def test_a_number_is_judged_by_the_rule(ours, low, high, verdict):
    row = claim.judged_anew(answer("gap_median_nf16", reported=0.1, ours=ours, low=low, high=high), TABLE, STATEMENTS)
    assert row.verdict == verdict and row.ours == ours and row.claim == "the minimum gaps at N_f=16: their median"


def test_a_p_value_is_corrected_with_those_of_all_other_statements():
    """Holm (1979) by hand: the second of four is multiplied by 3, which lifts 0.02 above 0.05."""
    table = TABLE.assign(p=np.nan).set_index("id", drop=False)
    asked = [name for name in IDS if "p below 0.05" in str(table.holds_if[name])][0]
    others = [name for name in IDS if name != asked][:3]
    table.loc[others, "p"] = [0.001, 0.3, 0.4]
    row = claim.judged_anew(answer(asked, ours=1, p=0.02), table.reset_index(drop=True), STATEMENTS)
    assert np.isclose(row.p_holm, 0.06) and row.verdict == "not reproduced"
    row = claim.judged_anew(answer(asked, ours=1, p=0.015), table.reset_index(drop=True), STATEMENTS)
    assert np.isclose(row.p_holm, 0.045) and row.verdict == "reproduced"


@pytest.mark.parametrize(
    "name, begins", [("gap", "error: no statement has the id 'gap'"), ("", "error: ID is missing")]
)
def test_an_unknown_id_is_answered_in_one_line_that_names_all(name, begins):
    command = [sys.executable, "-m", "qafs_utils", "claim", name, "published"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1
    assert done.stderr.startswith(begins) and set(re.findall(r"\w+", done.stderr)) >= {
        re.sub(r"\W.*", "", i) for i in IDS
    }


def test_the_row_is_printed_with_what_is_committed(tmp_path, monkeypatch, capsys):
    called = []

    def run(command, **options):
        called.append(command)
        return subprocess.CompletedProcess(command, 0)

    for folder in ("data", "notebooks"):
        (tmp_path / "build/published" / folder).mkdir(parents=True)
    rows = pd.concat([answer("gap_median_nf16", reported=0.1, ours=0.101), answer("gap_small_nf16", ours=9)])
    rows.to_csv(tmp_path / "build/published/data/05_claims.csv", index=False)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks/05_minimum_gap.ipynb").touch()
    (tmp_path / "figures").symlink_to(ROOT / "figures")
    monkeypatch.setattr(claim, "ROOT", tmp_path)
    monkeypatch.setattr(claim, "shown", lambda path: path.relative_to(tmp_path))
    monkeypatch.setattr(claim.subprocess, "run", run)
    claim.recompute("gap_median_nf16", "published")
    said = capsys.readouterr().out
    assert called[0][2:4] == ["build/published/notebooks/05_minimum_gap.ipynb", "INPUT=published"]
    assert "| 0.1 | 0.101 | reproduced |" in said and "the committed value is 0.0" in said


def test_a_notebook_that_fails_is_named(monkeypatch):
    monkeypatch.setattr(claim.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 2))
    with pytest.raises(files.ArtefactError, match="gap_median_nf16: 05_minimum_gap was not run, for the reason above"):
        claim.recompute("gap_median_nf16", "published")
