"""Verdicts on the paper's numbers and statements, by one stated rule."""

import numpy as np

from .. import require

MARKS = ("<!-- claims -->", "<!-- end of claims -->")
HEADLINES = (  # what README shows of the table, by id
    "shots", "overlap_mean", "overlap_below_all", "redundancy_lower_nf16", "filter_helps", "ad_qa_minus_gradcam",
    "ad_sa_high_minus_gradcam", "beta_best", "gap_median_nf16", "fidelity_flat_tau50", "landau_zener",
    "couplings_sk", "sa_verifiable",
)  # fmt: skip
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
    for name, answer in {"holds": holds, "testable": testable, "partly": partly}.items():
        if not (isinstance(answer, (bool, np.bool_)) or (name == "holds" and answer is None)):
            raise ValueError(f"{name} must be True or False, got {require.described(answer)}")
    if not testable or np.isnan(ours) or (np.isnan(reported) and holds is None):
        return "cannot be tested"
    if np.isnan(reported):
        return ("direction only" if partly else "reproduced") if holds else "not reproduced"
    if low <= reported <= high or abs(ours - reported) <= tolerance * abs(reported):
        return "reproduced"
    return "direction only" if holds else "not reproduced"


def _number(x):
    return "" if np.isnan(x) else f"{x:.3g}"


def _text(x):
    return x.replace("|", "\\|") if isinstance(x, str) else ""


def markdown(table, headlines=None):
    """The claims table as Markdown: a line of counts, then place, statement, paper, ours, seeds, verdict and why.

    headlines: ids of the statements to show, without seeds and why; None for all. Raises KeyError for an unknown id,
    ValueError for a table without these columns, or with text in those of numbers.

    table: columns place, statement, reported, ours, low, high, seeds, verdict, why of `figures/table02_claims.csv`.

    >>> import pandas as pd
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


def with_table(page, table):
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
    return f"{before}{first}\n{markdown(table, HEADLINES)}{last}{after}"
