"""Verdicts on the paper's numbers and statements, by one stated rule."""

import numpy as np
import pandas as pd

from .. import require

MARKS = ("<!-- claims -->", "<!-- end of claims -->")
HEADLINES = {  # the statements that README shows, by id, and what they say in short
    "shots": "$d^2$ reads find the optimum",
    "overlap_mean": "the mean overlap of classes at $N_f=16$",
    "overlap_below_all": "selecting lowers the overlap of classes",
    "redundancy_lower_nf16": "the selected maps are less alike at $N_f=16$",
    "filter_helps": "leaving out negative maps lowers the Average Drop",
    "ad_qa_minus_gradcam": "QA-Grad-CAM is comparable to Grad-CAM at $N_f=16$",
    "ad_sa_high_minus_gradcam": "SA-Grad-CAM at $\\beta=0.99$ is close to Grad-CAM at $N_f=512$",
    "beta_best": "$\\beta=0.99$ is the best trade-off",
    "gap_median_nf16": "the median minimum gap at $N_f=16$",
    "fidelity_flat_tau50": "the fidelity at $\\tau=50$ does not depend on $d$",
    "landau_zener": "a larger gap gives a higher fidelity",
    "couplings_sk": "the couplings make a Sherrington-Kirkpatrick model",
    "sa_verifiable": "$N_f=512$ is too large to verify",
}
COLUMNS = ("place", "statement", "reported", "ours", "low", "high", "seeds", "verdict", "why")
NUMBERS = ("reported", "ours", "low", "high")
VERDICTS = ("reproduced", "direction only", "not reproduced", "cannot be tested")


def verdict(ours, low=np.nan, high=np.nan, reported=np.nan, tolerance=0.1, holds=None, testable=True, partly=False):
    """One of VERDICTS; low and high: 95 % interval of ours.

    A number is reproduced if the reported value lies in our interval [low, high], or ours within `tolerance` (relative)
    of it; direction only if it is not but `holds`, the statement's direction, is true; else not reproduced.
    A statement without a number (reported NaN) is reproduced if `holds`, direction only if it does so `partly`.
    Without our value (NaN or None), or when not `testable` because the paper leaves out a setting, it cannot be tested.
    Raises ValueError for what is no number, or infinite, and for an answer that is neither true nor false.

    >>> verdict(0.129, 0.122, 0.136, reported=0.095), verdict(0.48, 0.449, 0.504, reported=0.5)
    ('not reproduced', 'reproduced')
    >>> verdict(-0.2, -0.4, -0.1, reported=-0.5, holds=True), verdict(3.1, holds=True)
    ('direction only', 'reproduced')
    """
    given = {"ours": np.nan if ours is None else ours, "low": low, "high": high, "reported": reported}
    ours, low, high, reported = (require.array(name, value, "", nan=True) for name, value in given.items())
    require.number("tolerance", tolerance, "[0, inf)")
    for name, answer in {"holds": holds is not None and holds, "testable": testable, "partly": partly}.items():
        require.flag(name, answer)
    if not testable or np.isnan(ours) or (np.isnan(reported) and holds is None):
        return "cannot be tested"
    if np.isnan(reported):
        return ("direction only" if partly else "reproduced") if holds else "not reproduced"
    if low <= reported <= high or abs(ours - reported) <= tolerance * abs(reported):
        return "reproduced"
    return "direction only" if holds else "not reproduced"


def judged(statements: pd.DataFrame, answers: list[pd.DataFrame]) -> pd.DataFrame:
    """Every statement of the paper with our answer and its verdict: the table `figures/table02_claims.csv`.

    statements: columns id, place, statement, reported, tolerance (data/paper_values/claims.csv); answers: tables of
    `Run.claim`, their cells as text. Raises ValueError, with the ids, unless each statement has one answer.

    >>> statement = {"id": "gap", "place": "Fig. 4", "statement": "s", "reported": 0.1, "tolerance": 0.1}
    >>> answer = {"id": "gap", "ours": "0.095", "testable": "True", "partly": "False", "holds": "yes"}
    >>> answer |= dict.fromkeys(("reported", "low", "high", "verdict", "seeds", "why"))
    >>> judged(pd.DataFrame([statement]), [pd.DataFrame([answer])])[["ours", "verdict"]].to_numpy().tolist()
    [[0.095, 'reproduced']]
    """
    found = pd.concat(answers, ignore_index=True)
    if wrong := sorted({*statements.id} ^ {*found.id} | {*found.id[found.id.duplicated()]}):
        raise ValueError(f"each statement must have one answer, not so: {', '.join(wrong)}")
    found[list(NUMBERS)] = found[list(NUMBERS)].apply(pd.to_numeric)
    rows = []
    for statement, answer in zip(statements.itertuples(), found.set_index("id").loc[statements.id].itertuples()):
        reported, *ours = (getattr(answer, name) for name in NUMBERS)
        reported = statement.reported if np.isnan(reported) else reported
        holds = {"yes": True, "no": False}.get(answer.holds)
        testable, partly = answer.testable == "True", answer.partly == "True"
        ruled = verdict(*ours, reported, statement.tolerance, holds, testable, partly)
        given = require.choice("verdict", answer.verdict, VERDICTS) if isinstance(answer.verdict, str) else ruled
        first = (statement.id, statement.place, statement.statement, reported)
        rows.append((*first, *ours, answer.why, given, answer.seeds))
    columns = ["id", "place", "statement", "reported", "ours", "low", "high", "why", "verdict", "seeds"]
    return pd.DataFrame(rows, columns=columns).astype({name: float for name in NUMBERS})


def headlines_by_verdict(table: pd.DataFrame) -> dict[str, str]:
    """What HEADLINES says, by verdict: table with columns id, verdict  ->  {verdict: text of all VERDICTS}.

    >>> table = pd.DataFrame({"id": list(HEADLINES), "verdict": ["reproduced"] + 12 * ["not reproduced"]})
    >>> headlines_by_verdict(table)["reproduced"]
    '$d^2$ reads find the optimum'
    """
    verdicts = dict(zip(table.id, table.verdict))
    return {v: "; ".join(text for name, text in HEADLINES.items() if verdicts[name] == v) for v in VERDICTS}


def judged_numbers(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Every number of the paper beside ours, with its verdict: the table `figures/table03_numbers.csv`.

    tables: columns source, number, reported, ours, low, high, testable.

    >>> row = {"source": "Fig. 5", "number": "d=5", "reported": 0.5, "ours": 0.7, "low": 0.6, "high": 0.8}
    >>> judged_numbers([pd.DataFrame([row | {"testable": True}])]).verdict.tolist()
    ['not reproduced']
    """
    numbers = pd.concat(tables, ignore_index=True)
    each = numbers[["ours", "low", "high", "reported", "testable"]].itertuples(index=False)
    return numbers.assign(verdict=[verdict(*r[:4], testable=r.testable) for r in each]).drop(columns="testable")


def cheap(numbers: pd.DataFrame) -> pd.DataFrame:
    """How many numbers of each source are reproduced, and how many of these say little.

    numbers: as `judged_numbers` gives them  ->  DataFrame by source: both_zero, factor_over_3 (the interval's upper end
    is more than three times its lower end, and not both are zero), reproduced.

    >>> row = {"source": "Fig. 5", "verdict": "reproduced", "reported": 0.1, "ours": 0.2, "low": 0.1, "high": 0.4}
    >>> cheap(pd.DataFrame([row])).to_numpy().tolist()
    [[0, 1, 1]]
    """
    agree = numbers[numbers.verdict == "reproduced"]
    both_zero = (agree.reported == 0) & (agree.ours == 0)
    wide = (agree.high > 3 * agree.low.clip(1e-9)) & ~both_zero
    counted = pd.DataFrame({"both_zero": both_zero, "factor_over_3": wide, "reproduced": True})
    return counted.groupby(agree.source).sum()


def _number(x):
    return "" if np.isnan(x) else f"{x:.3g}"


def _text(x):
    return x.replace("|", "\\|") if isinstance(x, str) else ""


def markdown(table: pd.DataFrame, headlines: list[str] | None = None) -> str:
    """The claims table as Markdown: a line of counts, then place, statement, paper, ours, seeds, verdict and why.

    headlines: ids of the statements to show, without seeds and why; None for all. Raises KeyError for an unknown id,
    ValueError for a table without these columns, or with text in those of numbers.

    table: columns place, statement, reported, ours, low, high, seeds, verdict, why of `figures/table02_claims.csv`.

    >>> row = {"place": "Fig. 4", "statement": "median gap", "reported": 0.0947, "ours": 0.0359, "low": 0.0307}
    >>> row |= {"high": 0.0432, "seeds": np.nan, "verdict": "not reproduced", "why": "depends on the pair sum"}
    >>> print(markdown(pd.DataFrame([row])).splitlines()[-1])
    | Fig. 4 | median gap | 0.0947 | 0.0359 [0.0307, 0.0432] |  | not reproduced | depends on the pair sum |
    """
    needed = (*COLUMNS, *(() if headlines is None else ("id",)))
    if missing := [name for name in needed if name not in getattr(table, "columns", ())]:
        raise ValueError(
            f"table must be a DataFrame with the columns {', '.join(needed)}; not there: {', '.join(missing)}"
        )
    table = table.assign(**{name: require.array(name, table[name], "R", nan=True) for name in NUMBERS})
    if not (headlines is None or isinstance(headlines, (list, tuple))):
        raise ValueError(f"headlines must be a list of ids, got {require.described(headlines)}")
    counts = ", ".join(f"{(table.verdict == v).sum()} {v}" for v in VERDICTS)
    shown, columns = table, ["place", "statement", "paper", "ours [95 %]", "over seeds", "verdict", "why"]
    if headlines is not None:
        shown, columns = table.set_index("id").loc[list(headlines)], [*columns[:4], "verdict"]
    lines = [f"Of {len(table)} statements: {counts}.", "", f"| {' | '.join(columns)} |", len(columns) * "|---" + "|"]
    for _, r in shown.iterrows():
        interval = f" [{_number(r.low)}, {_number(r.high)}]" if r.low < r.high else ""
        cells = {
            "place": r.place,
            "statement": r.statement,
            "paper": _number(r.reported),
            "verdict": r.verdict,
            "ours [95 %]": _number(r.ours) + interval,
            "over seeds": r.seeds,
            "why": r.why,
        }
        lines.append("| " + " | ".join(_text(cells[name]) for name in columns) + " |")
    return "\n".join(lines) + "\n"


def with_table(page: str, table: pd.DataFrame) -> str:
    """A page whose part between the marks `<!-- claims -->` and `<!-- end of claims -->` is renewed: HEADLINES.

    Raises ValueError when a mark is missing, and as `markdown`.

    >>> with_table("a page without marks", None)
    Traceback (most recent call last):
    ValueError: the page has lost its marks <!-- claims --> and <!-- end of claims -->: put them around the claims table
    """
    if not isinstance(page, str):
        raise ValueError(f"page must be text, got {require.described(page)}")
    before, first, rest = page.partition(MARKS[0])
    _, last, after = rest.partition(MARKS[1])
    if not (first and last):
        raise ValueError(f"the page has lost its marks {MARKS[0]} and {MARKS[1]}: put them around the claims table")
    return f"{before}{first}\n{markdown(table, list(HEADLINES))}{last}{after}"
