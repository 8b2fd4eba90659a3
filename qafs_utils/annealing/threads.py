"""Python threads that share the compiled loops, which release the interpreter's lock.

Not numba's parallel loops: on a busy machine those wait a time slice at each end.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import joblib

THREADS = joblib.cpu_count()  # the cores that this process may use
POOL = ThreadPoolExecutor(THREADS)


def _renew_pool():
    """A forked process has none of its parent's threads, and would wait for them for ever."""
    global POOL
    POOL = ThreadPoolExecutor(THREADS)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_pool)


def in_threads(kernel: Callable, count: int, *arguments) -> list:
    """kernel(first, last, *arguments) over range(count), shared among the threads  ->  what each returns.

    >>> parts = in_threads(lambda first, last: list(range(first, last)), 5)
    >>> sum(parts, [])  # as many parts as there are threads
    [0, 1, 2, 3, 4]
    """
    parts = max(1, min(count, THREADS))
    bounds = [count * j // parts for j in range(parts + 1)]
    others = [POOL.submit(kernel, *pair, *arguments) for pair in zip(bounds[1:-1], bounds[2:])]
    return [kernel(*bounds[:2], *arguments), *(other.result() for other in others)]
