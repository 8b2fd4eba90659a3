"""An answer to a statement of the paper: our value, its interval, the noise of a rerun, and the p value of a test."""

import numpy as np

from .. import require

UNITS = ("images", "classes", "pairs of classes", "heads", "images and heads", "instances", "")  # of an interval
NUMBERS = ("reported", "ours", "low", "high")


def rerun_noise(values) -> float:
    """How far two reruns lie apart: the root mean square of the pairwise differences of values of reruns.

    values: (R,), of other training seeds or other draws, NaN left out  ->  of the same unit, NaN for fewer than two.
    Raises ValueError for infinity and for what is no number.

    >>> rerun_noise([1.0, 2.0, np.nan, 4.0])  # differences 1, 2 and 3
    2.1602468994692865
    """
    values = require.array("seeds", list(values), "S", nan=True)
    values = values[~np.isnan(values)]
    return float(np.sqrt(2) * values.std(ddof=1)) if len(values) > 1 else float("nan")


def holm(p) -> np.ndarray:
    """p values of several tests, corrected for their number (Holm 1979): (T,)  ->  (T,), NaN where there is none.

    At a level of 5 % none of the true null hypotheses is rejected, with probability 95 %. Raises ValueError for what
    is no probability.

    >>> holm([0.01, np.nan, 0.04, 0.03])  # 0.01 * 3, 0.03 * 2, and 0.04 * 1, which is less than that of a smaller p
    array([0.03,  nan, 0.06, 0.06])
    """
    p = require.array("p", p, "T", interval="[0, 1]", nan=True)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaN come last
    corrected = np.full(len(p), np.nan)
    corrected[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return corrected


def answered(name, numbers, *, holds, partly, testable, verdict, why, seeds, unit, p) -> dict:
    """A checked answer, the row of a `<number>_claims` table: arguments as of `Run.claim`.

    numbers: those of NUMBERS by name, None as NaN. Raises ValueError, naming it, for what is no number (NaN is one),
    neither true nor false, or an unknown unit.
    """
    for key, value in numbers.items():
        numbers[key] = require.array(key, np.nan if value is None else value, "", nan=True, dtype=None).item()
    over = require.array("seeds", list(seeds), "S", nan=True)
    over = over[~np.isnan(over)]
    unit = require.choice("unit", unit, UNITS)
    return {
        "id": name,
        **numbers,
        "unit": "" if np.isnan(numbers["low"]) else unit,
        "noise": rerun_noise(over),
        "p": np.nan if p is None or (isinstance(p, float) and np.isnan(p)) else require.number("p", p, "[0, 1]"),
        "holds": "" if holds is None else {True: "yes", False: "no"}[require.flag("holds", holds)],
        "partly": require.flag("partly", partly),
        "testable": require.flag("testable", testable),
        "verdict": verdict,
        "seeds": f"{over.min():.3g} to {over.max():.3g}" if len(over) else "",
        "why": why,
    }
