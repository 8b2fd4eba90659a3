"""How many reads a heuristic needs, from how often it finds the optimum."""

import numpy as np

from .. import require

_MOST = 10**9  # reads


def success(hits, reads: int, drawn: int) -> np.ndarray:
    """Probability that `drawn` of the `reads` reads, without replacement, hold the optimum: hits (B,)  ->  (B,).

    Raises ValueError for more reads, or more hits, than were made, and for what is no whole number.

    >>> success([0, 1, 10], reads=10, drawn=5)
    array([0. , 0.5, 1. ])
    """
    reads = require.whole("reads", reads, 1, _MOST)
    drawn = require.whole("drawn, the reads to draw,", drawn, 1, reads)
    hits = require.indices("hits", hits, "...", reads + 1)
    from scipy.stats import hypergeom  # a second to import, and few need it

    return hypergeom.sf(0, reads, hits, drawn)


def reads_needed(probability, confidence: float = 0.99) -> np.ndarray:
    """Reads after which the optimum was met with that confidence: ln(1 - confidence) / ln(1 - p), at least 1.

    probability: (B,) of one read  ->  (B,), infinite where it is 0 (Rønnow et al. [roennow2014speedup], Eq. 3).
    Raises ValueError for a probability outside [0, 1], and a confidence outside (0, 1).

    >>> reads_needed([0.99, 0.5, 0.0]).round(2)  # ln 0.01 / ln 0.5 = 6.64
    array([1.  , 6.64,  inf])
    """
    p = require.array("probability", probability, "...", interval="[0, 1]")
    confidence = require.number("confidence", confidence, "(0, 1)")
    with np.errstate(divide="ignore", over="ignore"):
        return np.where(p < confidence, np.log1p(-confidence) / np.log1p(-np.minimum(p, confidence)), 1.0)
