"""What memory is free here, and the largest problem that would fit."""

import contextlib
import os
from pathlib import Path

import numpy as np


def _free_bytes():
    """Memory that is available here: what the system says, else all that is installed, or less in a container."""
    try:
        with open("/proc/meminfo") as lines:
            free = 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(free, _group_bytes())


def _group_bytes(mounted="/sys/fs/cgroup", membership="/proc/self/cgroup"):
    """Memory left to this process by the control groups (v2) of a container or batch job, infinite without any."""
    try:
        own = next(line[4:] for line in Path(membership).read_text().splitlines() if line.startswith("0::/"))
    except (OSError, StopIteration):
        return np.inf
    left, root = np.inf, Path(mounted)
    for group in (root / own, *(root / own).parents):
        if group.is_relative_to(root):
            with contextlib.suppress(OSError, ValueError):  # ValueError: the limit is "max"
                limit, used = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
                statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
                cache = int(statistics["inactive_file"]) + int(statistics["active_file"])  # of files: it is given up
                left = min(left, limit - used + cache)
    return left


def require_memory(d, numbers, what):
    """Raise MemoryError, naming the d that would fit, unless `numbers` float64 vectors (2^d,) fit.

    >>> require_memory(10, 4, "the energies")  # 32 KiB
    >>> require_memory(60, 4, "the energies")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    MemoryError: the energies of d = 60 needs 3.44e+10 GiB, ... GiB are free: d = ... would fit
    """
    free = _free_bytes()
    if 8 * numbers * 2**d > free:
        fits = max(0, int(np.floor(np.log2(max(free, 1) / (8 * numbers)))))
        raise MemoryError(
            f"{what} of d = {d} needs {8 * numbers * 2**d / 2**30:.3g} GiB, {free / 2**30:.3g} GiB are free: "
            f"d = {fits} would fit"
        )
