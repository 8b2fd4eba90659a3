"""One statement of the paper, computed again: the notebooks that it rests on, and its row with the verdict."""

import os
import subprocess
import sys

import pandas as pd

from ..artefacts.files import PAPER_VALUES, ROOT, ArtefactError, committed_table, shown
from .claims import PAPER, judged, markdown


def judged_anew(answer: pd.DataFrame, table: pd.DataFrame, statements: pd.DataFrame) -> pd.Series:
    """A new answer to one statement, judged beside the committed answers to all others, whose p values correct its own.

    answer: its row of a `<number>_claims` table, cells as text; table: the committed `table02_claims.csv`; statements:
    `data/paper_values/claims.csv`  ->  its row of such a table.

    >>> table = committed_table(ROOT / "figures" / "table02_claims.csv")
    >>> answer = table[table.id == "gap_median_nf16"].assign(holds="", partly="False", testable="True", reported=0.5)
    >>> judged_anew(answer.astype(str), table, committed_table(PAPER_VALUES / "claims.csv")).verdict
    'not reproduced'
    """
    (name,) = answer.id
    others = table[table.id != name].drop(columns=[*PAPER[1:], "p_holm", "verdict"])
    others = others.assign(holds="", partly="False", testable="True")
    return judged(statements, [answer, others]).set_index("id", drop=False).loc[name]


def recompute(name: str, profile: str) -> None:
    """Run the notebook that answers a statement, and those it needs, and print the statement's row; `make claim ID=`.

    name: an id of data/paper_values/claims.csv. What is up to date does not run again. Raises ValueError, naming the
    known ones, for another id, ArtefactError where its notebook is not there or fails.

    >>> recompute("gap", "published")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: no statement has the id 'gap'; the known ones are accuracy, ad_classes_worse, ...
    """
    table = committed_table(ROOT / "figures" / "table02_claims.csv")
    statements = committed_table(PAPER_VALUES / "claims.csv")
    if name not in set(table.id):
        known = ", ".join(sorted(table.id))
        what = f"no statement has the id {name!r}" if name else "ID is missing: `make claim ID=gap_median_nf16`"
        raise ValueError(f"{what}; the known ones are {known}")
    before = table.set_index("id").loc[name]
    run = ROOT / "build" / profile / "notebooks" / f"{before.notebook}.ipynb"
    if not (ROOT / "notebooks" / run.name).exists():
        raise ArtefactError(f"{name} was answered by {before.notebook}, which is no notebook now: `make figures` first")
    environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    goals = [str(shown(run)), f"INPUT={profile}", f"PYTHON={sys.executable}"]
    if subprocess.run(["make", "--no-print-directory", *goals], cwd=ROOT, env=environment).returncode:
        raise ArtefactError(f"{name}: {before.notebook} was not run, for the reason above")
    path = run.parents[1] / "data" / f"{before.notebook[:2]}_claims.csv"
    answers = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
    now = judged_anew(answers[answers.id == name], table, statements)
    print(f"\n{markdown(pd.DataFrame([now])).partition(chr(10) * 2)[2]}")
    print(f"{now.why}\n" if now.why else "", end="")
    changed = "as committed" if now.verdict == before.verdict else f"committed: {before.verdict}"
    print(f"{now.verdict} ({changed}; the committed value is {before.ours:.3g}); {shown(run)}")
