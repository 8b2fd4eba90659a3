"""Verdicts on the paper's numbers and statements, by one stated rule."""

import numpy as np
import pandas as pd

from .. import require
from ..artefacts.answers import holm

PAGE = "docs/claims.md"  # under ROOT
MARKS = ("<!-- claims -->", "<!-- end of claims -->")
HEADLINES = {  # the statements that PAGE shows, by id, and what they say in short
    "shots": "$d^2$ reads find the optimum",
    "overlap_mean": "the mean overlap of classes at $N_f=16$",
    "overlap_below_all": "selecting lowers the overlap of classes",
    "redundancy_lower_nf16": "the selected maps are less alike at $N_f=16$",
    "filter_helps": "leaving out negative maps lowers the Average Drop",
    "ad_nf16_gradcam": "the mean Average Drop of Grad-CAM at $N_f=16$",
    "ad_qa_minus_gradcam": "QA-Grad-CAM is comparable to Grad-CAM at $N_f=16$",
    "ad_sa_high_minus_gradcam": "SA-Grad-CAM at $\\beta=0.99$ is close to Grad-CAM at $N_f=512$",
    "beta_best": "$\\beta=0.99$ is the best trade-off",
    "gap_median_nf16": "the median minimum gap at $N_f=16$",
    "fidelity_rms": "the 32 median fidelities",
    "fidelity_flat_tau50": "the fidelity at $\\tau=50$ does not depend on $d$",
    "landau_zener": "a larger gap gives a higher fidelity",
    "couplings_sk": "the couplings make a Sherrington-Kirkpatrick model",
    "sa_verifiable": "$N_f=512$ is too large to verify",
    "class_specific": "the selected maps are specific to the class",
    "filter_specific": "an explanation can do without negative maps",
    "nisq_era": "the annealers of today suit problems of high dimension",
    "efficient_exploration": "annealing explores the selections efficiently",
}
PAPER = ["id", "place", "claim", "measured", "holds_if", "tolerance"]  # of data/paper_values/claims.csv, with reported
OURS = ["reported", "ours", "low", "high", "unit", "seeds", "noise", "p", "p_holm"]
COLUMNS = [*PAPER, *OURS, "verdict", "why", "notebook"]  # of figures/table02_claims.csv
NUMBERS = ["reported", "ours", "low", "high", "noise", "p"]
SHOWN = ["claim", "measured as", "holds if", "paper", "ours", "verdict"]
VERDICTS = ("reproduced", "compatible", "direction only", "not reproduced", "cannot be tested")
BY_P = {"p below 0.05": np.less, "p above 0.05": np.greater}  # criteria that ask for the corrected p
TOLERANCES = (0.05, 0.1, 0.2)


def verdict(
    ours,
    low=np.nan,
    high=np.nan,
    reported=np.nan,
    tolerance=0.1,
    holds=None,
    testable=True,
    partly=False,
    noise=np.nan,
):
    """One of VERDICTS. low and high: 95 % interval of ours; noise: how far two reruns lie apart, of ours' unit.

    A number is reproduced if the whole interval lies within `tolerance` (relative) of the reported value, as in a test
    of equivalence; ours alone, where there is no interval. It is compatible if the interval merely contains the
    reported value, or ours is no farther from it than the noise. Else it is direction only if `holds`, the
    statement's direction, is true; else not reproduced. A statement without a number (reported NaN) is reproduced if
    `holds`, direction only if it does so `partly`. Without our value (NaN or None), with zero on both sides, or when
    not `testable` because the paper leaves out a setting, it cannot be tested.
    Raises ValueError for what is no number, or infinite, and for an answer that is neither true nor false.

    >>> verdict(0.48, 0.46, 0.5, reported=0.5), verdict(0.48, 0.4, 0.56, reported=0.5)
    ('reproduced', 'compatible')
    >>> verdict(0.6, 0.55, 0.65, reported=0.5, noise=0.2), verdict(0.6, 0.55, 0.65, reported=0.5)
    ('compatible', 'not reproduced')
    >>> verdict(-0.2, -0.4, -0.1, reported=-0.5, holds=True), verdict(3.1, holds=True)
    ('direction only', 'reproduced')
    """
    given = {"ours": np.nan if ours is None else ours, "low": low, "high": high, "reported": reported, "noise": noise}
    ours, low, high, reported, noise = (require.array(name, x, "", nan=True).item() for name, x in given.items())
    require.number("tolerance", tolerance, "[0, inf)")
    for name, answer in {"holds": holds is not None and holds, "testable": testable, "partly": partly}.items():
        require.flag(name, answer)
    if not testable or np.isnan(ours) or (np.isnan(reported) and holds is None) or ours == reported == 0:
        return "cannot be tested"
    if np.isnan(reported):
        return ("direction only" if partly else "reproduced") if holds else "not reproduced"
    ends = [ours if np.isnan(end) else end for end in (low, high)]
    if max(abs(end - reported) for end in ends) <= tolerance * abs(reported):
        return "reproduced"
    if ends[0] <= reported <= ends[1] or abs(ours - reported) <= noise:
        return "compatible"
    return "direction only" if holds else "not reproduced"


def judged(statements: pd.DataFrame, answers: list[pd.DataFrame], *, loosened: float = 1.0) -> pd.DataFrame:
    """Every statement of the paper with our answer and its verdict: the table `figures/table02_claims.csv`.

    statements: the columns PAPER and reported (data/paper_values/claims.csv); answers: tables of `Run.claim`, their
    cells as text; loosened: a factor on every tolerance. p values are corrected over all statements with one; where
    the criterion asks for a "p below 0.05" or "p above 0.05" it is the corrected one that decides. Raises ValueError,
    with the ids, unless each statement has one answer.

    >>> statement = dict.fromkeys(PAPER, "") | {"id": "gap", "reported": 0.1, "tolerance": 0.1}
    >>> answer = {"id": "gap", "ours": "0.095", "testable": "True", "partly": "False", "holds": "yes", "why": ""}
    >>> answer |= dict.fromkeys(("reported", "low", "high", "noise", "p", "seeds", "unit", "notebook"))
    >>> judged(pd.DataFrame([statement]), [pd.DataFrame([answer])])[["ours", "verdict"]].to_numpy().tolist()
    [[0.095, 'reproduced']]
    """
    found = pd.concat(answers, ignore_index=True)
    wrong = {
        "has no answer: give one by run.claim, and load the notebook's table of answers": {*statements.id}
        - {*found.id},
        "is no statement of data/paper_values/claims.csv: add its line": {*found.id} - {*statements.id},
        "is answered twice: keep one run.claim": {*found.id[found.id.duplicated()]},
    }
    if wrong := [f"{', '.join(sorted(ids))} {what}" for what, ids in wrong.items() if ids]:
        raise ValueError("; ".join(wrong))
    found[NUMBERS] = found[NUMBERS].apply(pd.to_numeric).astype(float)
    found = found.assign(p_holm=holm(found.p)).set_index("id").loc[statements.id].reset_index()
    own = statements.reset_index(drop=True)
    table = found.assign(**own.drop(columns="reported"), reported=found.reported.fillna(own.reported))
    both_zero = (table.reported == 0) & (table.ours == 0)
    table["why"] = np.where(both_zero, "both are zero; ", "") + table.why.astype(object).fillna("")
    table["verdict"] = [_of_answer(row, loosened) for row in table.itertuples()]
    return table[COLUMNS]


def _of_answer(row, loosened):
    """The verdict of a row with answer and statement."""
    holds = {"yes": True, "no": False}.get(row.holds)
    for criterion, compare in BY_P.items():
        if criterion in str(row.holds_if) and not np.isnan(row.p_holm):
            holds = bool(compare(row.p_holm, 0.05))
    flags = {"holds": holds, "testable": row.testable == "True", "partly": row.partly == "True"}
    return verdict(row.ours, row.low, row.high, row.reported, row.tolerance * loosened, noise=row.noise, **flags)


def judged_numbers(tables: list[pd.DataFrame], tolerance: float = 0.1) -> pd.DataFrame:
    """Every number of the paper beside ours, with its verdict: the table `figures/table03_numbers.csv`.

    tables: columns source, number, reported, ours, low, high, noise, unit, testable.

    >>> row = {"source": "Fig. 5", "number": "d=5", "reported": 0.5, "ours": 0.7, "low": 0.6, "high": 0.8}
    >>> judged_numbers([pd.DataFrame([row | {"noise": 0.1, "unit": "classes", "testable": True}])]).verdict.tolist()
    ['not reproduced']
    """
    numbers = pd.concat(tables, ignore_index=True)
    each = numbers[["ours", "low", "high", "reported", "testable", "noise"]].itertuples(index=False)
    verdicts = [verdict(*r[:4], tolerance, testable=r.testable, noise=r.noise) for r in each]
    why = np.where((numbers.reported == 0) & (numbers.ours == 0), "both are zero", "")
    columns = ["source", "number", "reported", "ours", "low", "high", "unit", "noise"]
    return numbers[columns].assign(verdict=verdicts, why=why)


def by_tolerance(statements: pd.DataFrame, answers: list[pd.DataFrame], tables: list[pd.DataFrame]) -> pd.DataFrame:
    """How many statements and numbers have each verdict if the tolerance were another: TOLERANCES.

    Arguments: as of `judged` and `judged_numbers`. A statement's own tolerance, where it is not 10 %, goes along: it is
    halved at 5 % and doubled at 20 %  ->  columns of, tolerance, verdict, count.

    >>> row = {"source": "Fig. 5", "number": "d=5", "reported": 0.5, "ours": 0.54, "low": 0.53, "high": 0.55}
    >>> table = pd.DataFrame([row | {"noise": 0.1, "unit": "classes", "testable": True}])
    >>> count_verdicts("numbers", 0.05, judged_numbers([table], 0.05)).head(2).to_numpy().tolist()
    [['numbers', 0.05, 'reproduced', 0], ['numbers', 0.05, 'compatible', 1]]
    """
    counts = []
    for tolerance in TOLERANCES:
        counts += [
            count_verdicts("statements", tolerance, judged(statements, answers, loosened=tolerance / 0.1)),
            count_verdicts("numbers", tolerance, judged_numbers(tables, tolerance)),
        ]
    return pd.concat(counts, ignore_index=True)


def count_verdicts(of: str, tolerance: float, table: pd.DataFrame) -> pd.DataFrame:
    """Rows of `by_tolerance` of one table, with a column verdict: of and tolerance stand in each of the rows.

    >>> count_verdicts("numbers", 0.1, pd.DataFrame({"verdict": ["compatible"]}))["count"].tolist()
    [0, 1, 0, 0, 0]
    """
    counts = table.verdict.value_counts().reindex(VERDICTS, fill_value=0)
    return pd.DataFrame({"of": of, "tolerance": tolerance, "verdict": VERDICTS, "count": counts.to_numpy()})


def headlines_by_verdict(table: pd.DataFrame) -> dict[str, str]:
    """What HEADLINES says, by verdict: table with columns id, verdict  ->  {verdict: text of all VERDICTS}.

    >>> table = pd.DataFrame({"id": list(HEADLINES), "verdict": "not reproduced"})
    >>> table.loc[table.id == "shots", "verdict"] = "reproduced"
    >>> headlines_by_verdict(table)["reproduced"]
    '$d^2$ reads find the optimum'
    """
    verdicts = dict(zip(table.id, table.verdict))
    return {v: "; ".join(text for name, text in HEADLINES.items() if verdicts[name] == v) for v in VERDICTS}


def _number(x):
    return "" if np.isnan(x) else f"{x:.3g}"


def _text(x):
    return x.replace("|", "\\|") if isinstance(x, str) else ""


def _cells(row):
    """A row of the table as it is shown: {column of SHOWN: text}."""
    interval = f" [{_number(row.low)}, {_number(row.high)}]" if row.low < row.high else ""
    unit = f" ({row.unit})" if interval and isinstance(row.unit, str) and row.unit else ""
    test = f"; p {row.p:.2g}, corrected {row.p_holm:.2g}" if not np.isnan(row.p) else ""
    return {
        "claim": f"{_text(row.claim)} ({_text(row.place)}; {_text(row.notebook)[:2]})",
        "measured as": _text(row.measured),
        "holds if": _text(row.holds_if),
        "paper": _number(row.reported),
        "ours": _number(row.ours) + interval + unit + test,
        "verdict": _text(row.verdict),
    }


def markdown(table: pd.DataFrame, headlines: list[str] | None = None) -> str:
    """The claims table as Markdown: a line of counts, then the columns SHOWN; reasons are in the notebook named.

    table: the columns COLUMNS of `figures/table02_claims.csv`; headlines: ids of the statements to show, None for all.
    In brackets the 95 % interval of ours, and what it resamples. Raises KeyError for an unknown id, ValueError for a
    table without these columns, or with text in those of numbers.

    >>> row = dict.fromkeys(COLUMNS, np.nan) | {"place": "Fig. 4", "claim": "small gaps", "measured": "median gap"}
    >>> row |= {"notebook": "05_minimum_gap", "reported": 0.0947, "ours": 0.0359, "low": 0.0307, "high": 0.0432}
    >>> row |= {"unit": "classes", "verdict": "not reproduced"}
    >>> print(markdown(pd.DataFrame([row])).splitlines()[-1])
    | small gaps (Fig. 4; 05) | median gap |  | 0.0947 | 0.0359 [0.0307, 0.0432] (classes) | not reproduced |
    """
    if missing := [name for name in COLUMNS if name not in getattr(table, "columns", ())]:
        raise ValueError(
            f"table must be a DataFrame with the columns {', '.join(COLUMNS)}; not there: {', '.join(missing)}"
        )
    numbers = {name: require.array(name, table[name], "R", nan=True) for name in [*NUMBERS, "p_holm"]}
    table = table.assign(**numbers)
    if not (headlines is None or isinstance(headlines, (list, tuple))):
        raise ValueError(f"headlines must be a list of ids, got {require.described(headlines)}")
    counts = ", ".join(f"{(table.verdict == v).sum()} {v}" for v in VERDICTS)
    shown = table if headlines is None else table.set_index("id").loc[list(headlines)]
    lines = [f"Of {len(table)} statements: {counts}.", "", f"| {' | '.join(SHOWN)} |", len(SHOWN) * "|---" + "|"]
    lines += ["| " + " | ".join(_cells(row).values()) + " |" for row in shown.itertuples()]
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
