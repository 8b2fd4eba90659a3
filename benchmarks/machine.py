"""What this machine can do at most: multiply-adds and bytes a second, and the least time of the annealer's loops."""

import platform
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 8 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 4  # numbers a register
REGISTERS = 12  # independent sums: more than a multiply-add takes cycles, times the units; they and two factors fit
FUSED = ("contract",)  # product and sum become a multiply-add
PHASE = (
    23  # of `simd.phase_lanes`, an amplitude: 15 multiply-adds, 5 products, sum, difference, rounding; all of one rate
)
SWEEPS = 2  # passes over the state a layer, the least when it is larger than the cache
VECTORS = 6  # read or written in a Lanczos step


def processor():
    """Name of the processor."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else ()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.processor())


@intrinsic
def _sums(typingctx, repeats):
    """x <- x factor + summand, so often, in every lane of all registers  ->  a lane of their sum.

    In LLVM's own terms: left to itself it takes half of the registers' width where that keeps the clock high.
    """
    vector = ir.VectorType(ir.DoubleType(), LANES)

    def build(context, builder, signature, args):
        factor, summand = (ir.Constant(vector, [number] * LANES) for number in (0.999, 0.001))
        starts = [ir.Constant(vector, [float(r)] * LANES) for r in range(2, REGISTERS + 2)]
        sums = [cgutils.alloca_once_value(builder, start) for start in starts]  # registers, once optimised
        with cgutils.for_range(builder, args[0]):
            for x in sums:
                product = builder.fmul(builder.load(x), factor, flags=FUSED)
                builder.store(builder.fadd(product, summand, flags=FUSED), x)
        total = builder.load(sums[0])
        for x in sums[1:]:
            total = builder.fadd(total, builder.load(x))
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return types.float64(types.intp), build


@njit(nogil=True)
def _multiply_add(repeats):
    return _sums(repeats)


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
    return threads * LANES * REGISTERS * repeats / _seconds(_multiply_add, [(repeats,)] * threads)


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
    return row | {"GB/s": speed / 1e9, "GFMA/s": rate / 1e9, "lanes": LANES, "processor": processor()}
