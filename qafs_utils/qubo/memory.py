"""What memory is free here, and the largest problem that would fit."""

import contextlib
from pathlib import Path

import numpy as np
import psutil

_SMALL = 2**24  # bytes that are free wherever Python runs: to ask what is free takes as long as the energies of d = 10


def free_bytes() -> float:
    """Memory that is available here: what the system says, or less in a container.

    >>> free_bytes() > 0
    True
    """
    return min(psutil.virtual_memory().available, _group_bytes())


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


def require_memory(d: int, numbers: float, what: str, *, free: float | None = None, place: str = ""):
    """Raise MemoryError, naming the d that would fit, unless `numbers` float64 vectors (2^d,) fit.

    free: bytes that are available, None for those of this machine; place: where they are, for the message.

    >>> require_memory(10, 4, "the energies")  # 32 KiB
    >>> require_memory(60, 4, "the energies", free=2**40, place=" on cuda")
    Traceback (most recent call last):
    MemoryError: the energies of d = 60 needs 3.44e+10 GiB, 1.02e+03 GiB are free on cuda: d = 35 would fit
    """
    needed = 8 * numbers * 2**d
    if free is None:
        free = free_bytes() if needed > _SMALL else np.inf
    if needed > free:
        fits = max(0, int(np.floor(np.log2(max(free, 1) / (8 * numbers)))))
        raise MemoryError(
            f"{what} of d = {d} needs {needed / 2**30:.3g} GiB, {free / 2**30:.3g} GiB are free{place}: "
            f"d = {fits} would fit"
        )
