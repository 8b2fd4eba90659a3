"""Verdicts on the paper's numbers and statements, by one stated rule."""

import numpy as np

VERDICTS = ("reproduced", "direction only", "not reproduced", "cannot be tested")


def verdict(ours, low=np.nan, high=np.nan, reported=np.nan, tolerance=0.1, holds=None, testable=True):
    """One of VERDICTS; low and high: 95 % interval of ours.

    A number is reproduced if the reported value lies in our interval [low, high], or ours within `tolerance` (relative)
    of it; direction only if it is not but `holds`, the statement's direction, is true; else not reproduced.
    A statement without a number (reported NaN) is reproduced if `holds`. Without our value (NaN), or when not
    `testable` because the paper leaves out a setting, it cannot be tested.
    """
    if not testable or ours is None or np.isnan(ours) or (np.isnan(reported) and holds is None):
        return "cannot be tested"
    if np.isnan(reported):
        return "reproduced" if holds else "not reproduced"
    if low <= reported <= high or abs(ours - reported) <= tolerance * abs(reported):
        return "reproduced"
    return "direction only" if holds else "not reproduced"
