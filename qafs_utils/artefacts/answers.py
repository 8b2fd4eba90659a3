"""An answer to a statement of the paper: our value, its interval, the noise of a rerun, and the p value of a test."""

from collections.abc import Iterable
from itertools import combinations

import numpy as np

from .. import require

# What an interval resamples
UNITS = ("images", "classes", "pairs of classes", "mosaics", "heads", "images and heads", "instances", "")
NUMBERS = ("reported", "ours", "low", "high")


def spread(apart: Iterable[float]) -> dict[str, float]:
    """Distances of reruns from each other  ->  their root mean square, the least and the largest; NaN without any.

    >>> spread([3.0, 4.0, np.nan])
    {'distance': 3.5355339059327378, 'low': 3.0, 'high': 4.0}
    """
    apart = [float(distance) for distance in apart if not np.isnan(distance)]
    if not apart:
        return {"distance": np.nan, "low": np.nan, "high": np.nan}
    return {"distance": float(np.sqrt(np.mean(np.square(apart)))), "low": min(apart), "high": max(apart)}


def pairwise(values: Iterable[np.ndarray]) -> dict[str, float]:
    """How far reruns are apart, as `spread`: a list of (n,), of which each two are compared by their root mean square.

    >>> pairwise([np.array([0.0, 0.0]), np.array([1.0, 1.0]), np.array([2.0, 2.0])])["low"]
    1.0
    """
    return spread(np.sqrt(np.nanmean((a - b) ** 2)) for a, b in combinations(values, 2))


def rerun_noise(values) -> float:
    """How far two reruns of one number lie apart: the distance of `pairwise`.

    values: (R,), of other training seeds or other draws, NaN left out  ->  of the same unit, NaN for fewer than two.
    Raises ValueError for infinity and for what is no number.

    >>> round(rerun_noise([1.0, 2.0, np.nan, 4.0]), 9)  # differences 1, 2 and 3
    2.160246899
    """
    values = require.array("seeds", list(values), "S", nan=True)
    return pairwise(values[~np.isnan(values), None])["distance"]


def holm(p) -> np.ndarray:
    """p values of several tests, corrected for their number [holm1979tests]: (T,)  ->  (T,), NaN where there is none.

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


def answered(name, numbers, *, holds, partly, testable, why, seeds, unit, p) -> dict:
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
        "seeds": f"{over.min():.3g} to {over.max():.3g}" if len(over) else "",
        "why": why,
    }
