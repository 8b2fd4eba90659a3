"""Compiled inner loops of `annealing` and `spectrum`: phases, qubit rotations, matrix-free Hamiltonian.

Bit p of an index k is n_p. Complex vectors are pairs of real arrays (re, im), because such loops vectorise;
for the same reason the butterflies run over array slices, not over shifted indices.
Rotations are written exp(-i a X) = cos(a) (1 - i tan(a) X): one multiply-add a component, and the product of
the cosines is a factor that the caller folds into the next phase.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit

THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_POOL = ThreadPoolExecutor(THREADS)

_FAST = True  # sums may be reordered; callers check for NaN and infinity
_SHARED = 16  # log2 of the largest state that one thread evolves alone
_ROW = 12  # log2 of the amplitudes that stay in the second-level cache
_PANEL = 64  # rows of a panel: six qubits a sweep
_WIDTH = 256  # columns of a panel
_BLOCK = 10  # log2 of the block that stays in the first-level cache of the Hamiltonian product


@njit(fastmath=_FAST, cache=True, nogil=True)
def _rotate_two_rows(re, im, start, stride, width, tangent):
    """1 - i tan X between the `width` amplitudes from `start` and those one stride on."""
    r0, r1 = re[start : start + width], re[start + stride : start + stride + width]
    i0, i1 = im[start : start + width], im[start + stride : start + stride + width]
    for k in range(width):
        ar, ai, br, bi = r0[k], i0[k], r1[k], i1[k]
        r0[k], i0[k] = ar + tangent * bi, ai - tangent * br
        r1[k], i1[k] = br + tangent * ai, bi - tangent * ar


@njit(fastmath=_FAST, cache=True, nogil=True, inline="always")
def _two_qubits(ar, ai, br, bi, cr, ci, dr, di, t):
    """Both rotations of the amplitudes of 00, 01, 10, 11."""
    ar, ai, br, bi = ar + t * bi, ai - t * br, br + t * ai, bi - t * ar
    cr, ci, dr, di = cr + t * di, ci - t * dr, dr + t * ci, di - t * cr
    return (
        ar + t * ci,
        ai - t * cr,
        br + t * di,
        bi - t * dr,
        cr + t * ai,
        ci - t * ar,
        dr + t * bi,
        di - t * br,
    )


@njit(fastmath=_FAST, cache=True, nogil=True)
def _rotate_four_rows(re, im, start, stride, width, tangent):
    """`_rotate_two_rows` of two qubits at once, strides `stride` and 2 `stride`: half the traffic."""
    s1, s2, s3 = start + stride, start + 2 * stride, start + 3 * stride
    r0, r1, r2, r3 = re[start : start + width], re[s1 : s1 + width], re[s2 : s2 + width], re[s3 : s3 + width]
    i0, i1, i2, i3 = im[start : start + width], im[s1 : s1 + width], im[s2 : s2 + width], im[s3 : s3 + width]
    for k in range(width):
        r0[k], i0[k], r1[k], i1[k], r2[k], i2[k], r3[k], i3[k] = _two_qubits(
            r0[k], i0[k], r1[k], i1[k], r2[k], i2[k], r3[k], i3[k], tangent
        )


@njit(fastmath=_FAST, cache=True, nogil=True)
def rotate_lowest_two(re, im, tangent):
    """1 - i tan X on qubits 0 and 1, whose slices would be too short to vectorise."""
    for k in range(0, re.size, 4):
        re[k], im[k], re[k + 1], im[k + 1], re[k + 2], im[k + 2], re[k + 3], im[k + 3] = _two_qubits(
            re[k], im[k], re[k + 1], im[k + 1], re[k + 2], im[k + 2], re[k + 3], im[k + 3], tangent
        )


@njit(fastmath=_FAST, cache=True, nogil=True)
def rotate(re, im, stride, tangent):
    """1 - i tan X on every qubit from this stride upwards, in place."""
    if stride == 1 and re.size >= 4:
        rotate_lowest_two(re, im, tangent)
        stride = 4
    while 4 * stride <= re.size:
        for start in range(0, re.size, 4 * stride):
            _rotate_four_rows(re, im, start, stride, stride, tangent)
        stride *= 4
    if 2 * stride <= re.size:
        for start in range(0, re.size, 2 * stride):
            _rotate_two_rows(re, im, start, stride, stride, tangent)


@njit(fastmath=_FAST, cache=True, nogil=True)
def apply_phase(re, im, energies, angle, factor):
    """psi_k <- factor exp(-i angle E_k) psi_k, in place.

    Sine and cosine by Taylor polynomials of a quarter of the reduced angle and two doublings: unlike the
    library's functions they have no branches, so the loop vectorises; accurate to 1e-15.
    """
    for k in range(re.size):
        turns = angle * energies[k] * (1 / (2 * np.pi))
        x = (turns - np.rint(turns)) * (np.pi / 2)
        y = x * x
        sine = x * (1 + y * (-1 / 6 + y * (1 / 120 + y * (-1 / 5040 + y * (1 / 362880 + y * (
            -1 / 39916800 + y * (1 / 6227020800)))))))  # fmt: skip
        cosine = 1 + y * (-1 / 2 + y * (1 / 24 + y * (-1 / 720 + y * (1 / 40320 + y * (
            -1 / 3628800 + y * (1 / 479001600 - y * (1 / 87178291200)))))))  # fmt: skip
        sine, cosine = 2 * sine * cosine, 1 - 2 * sine * sine
        sine, cosine = 2 * sine * cosine * factor, (1 - 2 * sine * sine) * factor
        re[k], im[k] = re[k] * cosine + im[k] * sine, im[k] * cosine - re[k] * sine


@njit(fastmath=_FAST, cache=True, nogil=True)
def _rotate_panel(re, im, start, stride, rows, tangent):
    """`rotate` on the qubits that number the rows: `rows` of them, _WIDTH long, `stride` apart."""
    step = 1
    while 4 * step <= rows:
        for row in range(rows):
            if row & (3 * step) == 0:
                _rotate_four_rows(re, im, start + row * stride, step * stride, _WIDTH, tangent)
        step *= 4
    if 2 * step <= rows:
        for row in range(step):
            _rotate_two_rows(re, im, start + row * stride, step * stride, _WIDTH, tangent)


@njit(fastmath=_FAST, cache=True, nogil=True)
def _apply_phase_between(first, last, re, im, energies, angle):
    apply_phase(re[first:last], im[first:last], energies[first:last], angle, 1.0)


@njit(fastmath=_FAST, cache=True, nogil=True)
def _evolve_states(first, last, re, im, energies, phases, tangents, factors):
    for b in range(first, last):
        for j in range(len(tangents)):
            apply_phase(re[b], im[b], energies[b], phases[j], factors[j])
            rotate(re[b], im[b], 1, tangents[j])
        apply_phase(re[b], im[b], energies[b], phases[-1], 1.0)


@njit(fastmath=_FAST, cache=True, nogil=True)
def _sweep_rows(first, last, re, im, energies, angle, factor, tangent):
    """The phase and the rotations of the lowest qubits, on rows that stay in the cache."""
    row = min(1 << _ROW, re.size)
    for start in range(first * row, last * row, row):
        here = slice(start, start + row)
        apply_phase(re[here], im[here], energies[here], angle, factor)
        rotate(re[here], im[here], 1, tangent)


@njit(fastmath=_FAST, cache=True, nogil=True)
def _sweep_panels(first, last, re, im, stride, rows, tangent):
    """The rotations of the qubits from `stride` to `stride` * `rows` / 2, on panels that fit the cache."""
    for panel in range(first, last):
        block, column = divmod(panel * _WIDTH, stride)
        _rotate_panel(re, im, block * stride * rows + column, stride, rows, tangent)


def in_threads(kernel, count, *arguments):
    """kernel(first, last, *arguments) over range(count), shared among the threads.

    A pool of Python threads, not numba's parallel loops: on a busy machine those wait a time slice at each
    end.
    """
    parts = np.linspace(0, count, min(count, THREADS) + 1).astype(int).tolist()
    if len(parts) == 2:
        kernel(0, count, *arguments)
    else:
        list(_POOL.map(lambda first, last: kernel(first, last, *arguments), parts[:-1], parts[1:]))


def evolve(re, im, energies, phases, tangents, factors):
    """Phase 0, rotation 0, phase 1, ..., last phase on each state of a batch (B, 2^d), in place.

    phases: (n + 1,) angles; tangents: (n,) of the rotation angles; factors: (n,) products of their cosines.
    Small states are spread over the threads; a large one is shared by all of them in few sweeps over memory
    a layer.
    """
    size = re.shape[1]
    if size <= 1 << _SHARED:
        in_threads(_evolve_states, len(re), re, im, energies, phases, tangents, factors)
        return
    row = 1 << _ROW
    for state in zip(re, im, energies):
        for angle, tangent, factor in zip(phases, tangents, factors):
            in_threads(_sweep_rows, size // row, *state, angle, factor, tangent)
            stride = row
            while stride < size:
                rows = min(_PANEL, size // stride)
                in_threads(_sweep_panels, size // (rows * _WIDTH), *state[:2], stride, rows, tangent)
                stride *= rows
        in_threads(_apply_phase_between, size, *state, phases[-1])


@njit(fastmath=_FAST, cache=True, nogil=True)
def _add_flips(x, out):
    """out += sum_p X_p x over all qubits of x."""
    stride = 1
    if x.size >= 4:
        for k in range(0, x.size, 4):
            outer, inner = x[k] + x[k + 3], x[k + 1] + x[k + 2]
            out[k] += inner
            out[k + 1] += outer
            out[k + 2] += outer
            out[k + 3] += inner
        stride = 4
    while 4 * stride <= x.size:
        for s in range(0, x.size, 4 * stride):
            x0, x1 = x[s : s + stride], x[s + stride : s + 2 * stride]
            x2, x3 = x[s + 2 * stride : s + 3 * stride], x[s + 3 * stride : s + 4 * stride]
            o0, o1 = out[s : s + stride], out[s + stride : s + 2 * stride]
            o2, o3 = out[s + 2 * stride : s + 3 * stride], out[s + 3 * stride : s + 4 * stride]
            for k in range(stride):
                outer, inner = x0[k] + x3[k], x1[k] + x2[k]
                o0[k] += inner
                o1[k] += outer
                o2[k] += outer
                o3[k] += inner
        stride *= 4
    if 2 * stride <= x.size:
        for s in range(0, x.size, 2 * stride):
            x0, x1 = x[s : s + stride], x[s + stride : s + 2 * stride]
            o0, o1 = out[s : s + stride], out[s + stride : s + 2 * stride]
            for k in range(stride):
                o0[k] += x1[k]
                o1[k] += x0[k]


@njit(fastmath=_FAST, cache=True, nogil=True)
def flips(x, out):
    """out = sum_p X_p x, both (2^d,), block by block so that `out` stays in the cache."""
    size = min(x.size, 1 << _BLOCK)
    for start in range(0, x.size, size):
        o = out[start : start + size]
        o[:] = 0.0
        _add_flips(x[start : start + size], o)
        bit = size
        while bit < x.size:
            y = x[start ^ bit : (start ^ bit) + size]
            for k in range(size):
                o[k] += y[k]
            bit *= 2


@njit(fastmath=_FAST, cache=True, nogil=True)
def lanczos(basis, diagonal, flip, first, last, alpha, beta, below):
    """Lanczos steps first..last of H = diag(diagonal) + flip sum_p X_p, orthogonal to the rows of `below`.

    basis: (m + 1, 2^d) with rows 0..first set, rows first + 1..last are written; alpha, beta: (m,) the
    tridiagonal matrix; below: (j, 2^d) orthonormal. ->  steps done: fewer when an invariant subspace is
    complete.
    """
    size = diagonal.size
    for j in range(first, last):
        x, y = basis[j], basis[j + 1]
        flips(x, y)
        a, b, square = 0.0, 0.0, 0.0
        for k in range(size):
            y[k] = flip * y[k] + diagonal[k] * x[k]
            a += y[k] * x[k]
        if j > 0:
            b, previous = beta[j - 1], basis[j - 1]
            for k in range(size):
                y[k] -= a * x[k] + b * previous[k]
        else:
            for k in range(size):
                y[k] -= a * x[k]
        for i in range(len(below)):
            vector, overlap = below[i], 0.0
            for k in range(size):
                overlap += vector[k] * y[k]
            for k in range(size):
                y[k] -= overlap * vector[k]
        for k in range(size):
            square += y[k] * y[k]
        alpha[j], beta[j] = a, np.sqrt(square)
        if beta[j] <= 1e-10 * (abs(a) + b + abs(flip)):
            beta[j] = 0.0
            return j + 1
        scale = 1 / beta[j]
        for k in range(size):
            y[k] *= scale
    return last


@njit(fastmath=_FAST, cache=True, nogil=True)
def combine(weights, vectors):
    """sum_j w_j v_j: (m,), (m, size)  ->  (size,). By blocks; BLAS threads wait on a busy machine."""
    result = np.zeros(vectors.shape[1])
    size = min(result.size, 1 << _BLOCK)
    for start in range(0, result.size, size):
        out = result[start : start + size]
        for j in range(len(weights)):
            vector = vectors[j, start : start + size]
            for k in range(size):
                out[k] += weights[j] * vector[k]
    return result
