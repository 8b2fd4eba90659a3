"""What this machine can do at most: multiply-adds and bytes a second, and the least time of the annealer's loops."""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
from numba import njit

PHASE = 35  # operations an amplitude: reduction, sine and cosine polynomials, doublings, product
SWEEPS = 2  # passes over the state a layer, the least when it is larger than the cache
VECTORS = 6  # read or written in a Lanczos step


@njit(fastmath=True, nogil=True)
def _multiply_add(repeats):
    x = np.full(96, 0.5)  # stays in registers
    for _ in range(repeats):
        for k in range(96):
            x[k] = x[k] * 0.999 + 0.001
    return x.sum()


@njit(fastmath=True, nogil=True)
def _update(x, y, repeats):
    for _ in range(repeats):
        for k in range(x.size):
            y[k] += 1e-9 * x[k]


def _seconds(kernel, arguments):
    """Time of kernel(*arguments[i]) in as many threads at once, best of fifteen."""
    best = np.inf
    with ThreadPoolExecutor(len(arguments)) as pool:
        for _ in range(15):
            start = time.perf_counter()
            list(pool.map(lambda a: kernel(*a), arguments))
            best = min(best, time.perf_counter() - start)
    return best


@cache
def peak(threads):
    """Multiply-adds a second of so many threads."""
    repeats = 500_000
    return threads * 96 * repeats / _seconds(_multiply_add, [(repeats,)] * threads)


@cache
def bandwidth(size, threads):
    """Bytes a second of y += a x by so many threads, both arrays together `size` bytes.

    24 bytes a number: y is updated in place, so no line is fetched only to be overwritten.
    """
    length = max(1, size // (16 * threads))
    repeats = max(1, 2**25 // length)
    parts = [(np.ones(length), np.ones(length), repeats) for _ in range(threads)]
    return threads * 24 * length * repeats / _seconds(_update, parts)


def ratio(what, d, count, measured, threads):
    """Measured seconds of `count` layers ("evolution": a phase and the rotations of all qubits) or Lanczos steps over
    the least possible, as a row of the table: operations at the peak rate, one multiply-add each, or bytes at the
    bandwidth of a memory that holds the vectors, whichever takes longer.
    """
    if what == "evolution":  # two multiply-adds an amplitude and qubit; re and im read and written, energies read
        operations, traffic, resident = 2 * d + PHASE, 32 * SWEEPS + 8, 24
    else:
        operations, traffic, resident = d + 8, 8 * VECTORS, 8 * VECTORS
    rate, speed = peak(threads), bandwidth(resident * 2**d, threads)
    times = {"arithmetic": count * 2**d * operations / rate, "memory": count * 2**d * traffic / speed}
    binding = max(times, key=times.get)
    row = {"d": d, "what": what, "threads": threads, "measured": measured, "bound": times[binding]}
    row |= {"ratio": measured / times[binding], "binding": binding, "count": count}
    return row | {"GB/s": speed / 1e9, "GFMA/s": rate / 1e9}
