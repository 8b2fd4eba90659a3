"""numba's compiler with a cache where one can be kept, and without one on a read-only installation."""

import functools
import warnings

import numba


@functools.cache
def _warn():
    warnings.warn(
        "numba finds no folder to keep the compiled loops in, so each process compiles them anew, for twenty seconds: "
        "set NUMBA_CACHE_DIR to a folder that can be written",
        RuntimeWarning,
        stacklevel=4,
    )


def njit(**options):
    """`numba.njit` that releases the interpreter's lock and keeps what it compiles: options  ->  decorator.

    Where nothing can be kept, in a tree and a home that are read-only, it warns once and compiles all the same.

    >>> @njit(fastmath=True)
    ... def double(x):
    ...     return 2 * x
    >>> double(2.0)
    4.0
    """

    def decorate(function):
        try:
            return numba.njit(cache=True, nogil=True, **options)(function)
        except RuntimeError:  # "cannot cache function: no locator available"
            _warn()
            return numba.njit(nogil=True, **options)(function)

    return decorate
