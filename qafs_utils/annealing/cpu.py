"""Compiled inner loops of `annealing` and `spectrum`: phases, qubit rotations, matrix-free Hamiltonian.

Bit p of an index k is n_p. States are held in a rotated frame, phi_k = i^(number of ones of k) psi_k, in which
sigma_x is sigma_y and its rotation exp(-i a sigma_x) is the real [[cos a, -sin a], [sin a, cos a]]: real and
imaginary part rotate apart, as real arrays. Written cos(a) [[1, -t], [t, 1]] with t = tan(a) it takes one
multiply-add a number and qubit; the product of the cosines is a factor that the caller folds into the next phase.

The lowest six qubits of 64 numbers are done in eight vector registers, by intrinsics, because no loop over so short
strides vectorises; the others by loops over array slices, three qubits a pass, on blocks that stay in a cache.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import reduce

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

from ..compiled import njit

THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
POOL = ThreadPoolExecutor(THREADS)


def _renew_pool():
    """A forked process has none of its parent's threads, and would wait for them for ever."""
    global POOL
    POOL = ThreadPoolExecutor(THREADS)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_pool)


_FAST = True  # sums may be reordered; callers check for NaN and infinity
# What `lanczos` calls is inlined by numba, not by LLVM, whose copies round otherwise in the process that compiles
# than when they are loaded from the cache.
SHARED = 17  # log2 of the largest vector that one thread treats alone
_ROW = 11  # log2 of the numbers whose lower qubits are rotated in the first-level cache
_PANEL = 128  # rows of a panel: seven qubits a sweep
_WIDTH = 512  # columns of a panel
_LANES = 8  # numbers a register: eight registers hold a block of six qubits
_BLOCK = _LANES * _LANES
_INVARIANT = 1e-10  # relative norm at which a Lanczos vector is rounding
_FLAGS = ("contract", "nsz", "arcp")  # of the intrinsics: multiply-adds may fuse


def _require_contiguous(*arrays):
    """Raise TypingError, while a loop is compiled, for arrays that the eight-lane registers would read wrongly."""
    for array in arrays:
        if not (isinstance(array, types.Array) and array.ndim == 1 and array.layout == "C"
                and array.dtype == types.float64):  # fmt: skip
            raise TypingError(f"the loops take contiguous float64 vectors, got {array}: use np.ascontiguousarray")


def _registers(context, builder, arraytype, array, start):
    """Pointers to the eight vectors of the block of 64 numbers at `start`."""
    data = context.make_array(arraytype)(context, builder, array).data
    vector = ir.VectorType(ir.DoubleType(), _LANES).as_pointer()
    offsets = [builder.add(start, ir.Constant(start.type, _LANES * j)) for j in range(_LANES)]
    return [builder.bitcast(builder.gep(data, [offset]), vector) for offset in offsets]


def _load(builder, pointers):
    return [builder.load(pointer, align=8) for pointer in pointers]


def _lanes(builder, vector, order):
    """The vector with its lanes in this order."""
    order = ir.Constant(ir.VectorType(ir.IntType(32), _LANES), order)
    return builder.shuffle_vector(vector, vector, order)


def _splat(builder, number):
    """The number in every lane."""
    empty = ir.Constant(ir.VectorType(number.type, _LANES), ir.Undefined)
    return _lanes(builder, builder.insert_element(empty, number, ir.Constant(ir.IntType(32), 0)), [0] * _LANES)


@intrinsic
def _rotate_block(typingctx, x, start, tangent):
    """[[1, -t], [t, 1]] on the lowest six qubits of x[start : start + 64], in place."""
    _require_contiguous(x)

    def build(context, builder, signature, args):
        pointers = _registers(context, builder, signature.args[0], args[0], args[1])
        vectors, t = _load(builder, pointers), _splat(builder, args[2])
        for bit in (1, 2, 4):  # the qubits that number the lanes
            signs = ir.Constant(t.type, [1.0 if lane & bit else -1.0 for lane in range(_LANES)])
            signed, order = builder.fmul(t, signs), [lane ^ bit for lane in range(_LANES)]
            partners = [builder.fmul(signed, _lanes(builder, v, order), flags=_FLAGS) for v in vectors]
            vectors = [builder.fadd(v, partner, flags=_FLAGS) for v, partner in zip(vectors, partners)]
        for bit in (1, 2, 4):  # the qubits that number the registers
            partners = [builder.fmul(t, vectors[j ^ bit], flags=_FLAGS) for j in range(_LANES)]
            vectors = [
                (builder.fadd if j & bit else builder.fsub)(vectors[j], partners[j], flags=_FLAGS)
                for j in range(_LANES)
            ]
        for pointer, vector in zip(pointers, vectors):
            builder.store(vector, pointer, align=8)
        return context.get_dummy_value()

    return types.void(x, types.intp, types.float64), build


@njit(fastmath=_FAST)
def _rotate_two(x, start, stride, width, t):
    """One qubit: the `width` numbers from `start` and those one stride on."""
    x0, x1 = x[start : start + width], x[start + stride : start + stride + width]
    for k in range(width):
        x0[k], x1[k] = x0[k] - t * x1[k], x1[k] + t * x0[k]


@njit(fastmath=_FAST)
def _rotate_four(x, start, stride, width, t):
    """Two qubits, strides `stride` and 2 `stride`."""
    x0, x1 = x[start : start + width], x[start + stride : start + stride + width]
    start += 2 * stride
    x2, x3 = x[start : start + width], x[start + stride : start + stride + width]
    for k in range(width):
        a, b, c, d = x0[k], x1[k], x2[k], x3[k]
        a, b, c, d = a - t * b, b + t * a, c - t * d, d + t * c
        x0[k], x2[k], x1[k], x3[k] = a - t * c, c + t * a, b - t * d, d + t * b


@njit(fastmath=_FAST)
def _rotate_eight(x, start, stride, width, t):
    """Three qubits, strides `stride`, 2 `stride` and 4 `stride`: a third of the traffic."""
    x0, x1 = x[start : start + width], x[start + stride : start + stride + width]
    start += 2 * stride
    x2, x3 = x[start : start + width], x[start + stride : start + stride + width]
    start += 2 * stride
    x4, x5 = x[start : start + width], x[start + stride : start + stride + width]
    start += 2 * stride
    x6, x7 = x[start : start + width], x[start + stride : start + stride + width]
    for k in range(width):
        a, b, c, d, e, f, g, h = x0[k], x1[k], x2[k], x3[k], x4[k], x5[k], x6[k], x7[k]
        a, b, c, d, e, f, g, h = (
            a - t * b, b + t * a, c - t * d, d + t * c, e - t * f, f + t * e, g - t * h, h + t * g
        )  # fmt: skip
        a, c, b, d, e, g, f, h = (
            a - t * c, c + t * a, b - t * d, d + t * b, e - t * g, g + t * e, f - t * h, h + t * f
        )  # fmt: skip
        x0[k], x4[k], x1[k], x5[k] = a - t * e, e + t * a, b - t * f, f + t * b
        x2[k], x6[k], x3[k], x7[k] = c - t * g, g + t * c, d - t * h, h + t * d


@njit(fastmath=_FAST)
def _rotate_panel(x, start, stride, rows, width, t):
    """The qubits that number the rows: `rows` of them, `width` long, `stride` apart."""
    step = 1
    while 8 * step <= rows:
        for row in range(rows):
            if row & (7 * step) == 0:
                _rotate_eight(x, start + row * stride, step * stride, width, t)
        step *= 8
    for row in range(step):
        if 4 * step == rows:
            _rotate_four(x, start + row * stride, step * stride, width, t)
        elif 2 * step == rows:
            _rotate_two(x, start + row * stride, step * stride, width, t)


@njit(fastmath=_FAST)
def rotate(x, t):
    """[[1, -t], [t, 1]] on every qubit of x (2^d,), in place.

    >>> x = np.array([1.0, 0.0])
    >>> rotate(x, 0.5)
    >>> x
    array([1. , 0.5])
    """
    if x.size & (x.size - 1):
        raise ValueError("x must be (2^d,)")
    if x.size < _BLOCK:
        stride = 1
        while stride < x.size:
            for start in range(0, x.size, 2 * stride):
                _rotate_two(x, start, stride, stride, t)
            stride *= 2
        return
    for start in range(0, x.size, _BLOCK):
        _rotate_block(x, start, t)
    stride = _BLOCK
    while stride < x.size:
        rows = min(8, x.size // stride)
        for start in range(0, x.size, rows * stride):
            _rotate_panel(x, start, stride, rows, stride, t)
        stride *= rows


@njit(fastmath=_FAST)
def apply_phase(re, im, energies, angle, factor):
    """phi_k <- factor exp(-i angle E_k) phi_k, in place.

    Sine and cosine by Taylor polynomials of a quarter of the reduced angle and two doublings: unlike the
    library's functions they have no branches, so the loop vectorises; accurate to 1e-15.

    >>> re, im = np.ones(2), np.zeros(2)
    >>> apply_phase(re, im, np.array([0.0, 1.0]), np.pi / 2, 1.0)  # exp(-i pi / 2) = -i
    >>> np.allclose(re + 1j * im, [1, -1j])
    True
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


@njit(fastmath=_FAST)
def _sweep_rows(first, last, re, im, energies, angle, factor, tangent):
    """The phase and the rotations of the lowest qubits, on rows that stay in the cache."""
    row = min(1 << _ROW, re.size)
    for start in range(first * row, last * row, row):
        here = slice(start, start + row)
        apply_phase(re[here], im[here], energies[here], angle, factor)
        rotate(re[here], tangent)
        rotate(im[here], tangent)


@njit(fastmath=_FAST)
def _sweep_panels(first, last, re, im, stride, rows, tangent):
    """The rotations of the qubits from `stride` to `stride` * `rows` / 2, on panels that stay in the cache."""
    for panel in range(first, last):
        block, column = divmod(panel * _WIDTH, stride)
        start = block * stride * rows + column
        _rotate_panel(re, start, stride, rows, _WIDTH, tangent)
        _rotate_panel(im, start, stride, rows, _WIDTH, tangent)


@njit(fastmath=_FAST)
def _apply_phase_between(first, last, re, im, energies, angle):
    apply_phase(re[first:last], im[first:last], energies[first:last], angle, 1.0)


@njit(fastmath=_FAST)
def _evolve_states(first, last, re, im, energies, phases, tangents, factors):
    for b in range(first, last):
        size = re[b].size
        row = min(1 << _ROW, size)
        for j in range(len(tangents)):
            _sweep_rows(0, size // row, re[b], im[b], energies[b], phases[j], factors[j], tangents[j])
            stride = row
            while stride < size:
                rows = min(_PANEL, size // stride)
                _sweep_panels(0, size // (rows * _WIDTH), re[b], im[b], stride, rows, tangents[j])
                stride *= rows
        apply_phase(re[b], im[b], energies[b], phases[-1], 1.0)


def in_threads(kernel, count, *arguments):
    """kernel(first, last, *arguments) over range(count), shared among the threads  ->  what each returns.

    A pool of Python threads, not numba's parallel loops: on a busy machine those wait a time slice at each
    end.

    >>> parts = in_threads(lambda first, last: list(range(first, last)), 5)
    >>> sum(parts, [])  # as many parts as there are threads
    [0, 1, 2, 3, 4]
    """
    bounds = np.linspace(0, count, max(1, min(count, THREADS)) + 1).astype(int).tolist()
    others = [POOL.submit(kernel, *pair, *arguments) for pair in zip(bounds[1:-1], bounds[2:])]
    return [kernel(*bounds[:2], *arguments), *(other.result() for other in others)]


def evolve(re, im, energies, phases, tangents, factors):
    """Phase 0, rotation 0, phase 1, ..., last phase on each state of a batch (B, 2^d), in place.

    phases: (n + 1,) angles; tangents: (n,) of the rotation angles; factors: (n,) products of their cosines.
    Small states are spread over the threads; a large one is shared by all of them in few sweeps over memory
    a layer.

    >>> re, im = np.array([[1.0, 0.0]]), np.zeros((1, 2))
    >>> evolve(re, im, np.zeros((1, 2)), np.zeros(2), np.array([np.tan(0.5)]), np.array([np.cos(0.5)]))
    >>> np.allclose(re, [[np.cos(0.5), np.sin(0.5)]])
    True
    """
    size = re.shape[1]
    if size & (size - 1) or not re.shape == im.shape == energies.shape:
        raise ValueError(f"re, im and energies must be (B, 2^d), got {re.shape}, {im.shape} and {energies.shape}")
    if size <= 1 << SHARED:
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


@intrinsic
def _flips_block(typingctx, x, y, start, qubits, scale):
    """y = scale sum_p X_p x on the 64 numbers from `start`; p runs over the qubits, six at least."""
    _require_contiguous(x, y)

    def build(context, builder, signature, args):
        x, y, start, qubits, scale = args
        vectors = _load(builder, _registers(context, builder, signature.args[0], x, start))
        sums = []
        for j, vector in enumerate(vectors):
            terms = [_lanes(builder, vector, [lane ^ bit for lane in range(_LANES)]) for bit in (1, 2, 4)]
            terms += [vectors[j ^ bit] for bit in (1, 2, 4)]
            sums.append(cgutils.alloca_once_value(builder, reduce(builder.fadd, terms)))
        six, one = ir.Constant(start.type, 6), ir.Constant(start.type, 1)
        with cgutils.for_range_slice(builder, six, qubits, one) as (p, _):
            partners = _registers(context, builder, signature.args[0], x, builder.xor(start, builder.shl(one, p)))
            for total, vector in zip(sums, _load(builder, partners)):
                builder.store(builder.fadd(builder.load(total), vector), total)
        weight = _splat(builder, scale)
        for total, pointer in zip(sums, _registers(context, builder, signature.args[1], y, start)):
            builder.store(builder.fmul(weight, builder.load(total)), pointer, align=8)
        return context.get_dummy_value()

    return types.void(x, y, types.intp, types.intp, types.float64), build


@njit(fastmath=_FAST, inline="always")
def _flips_row(x, y, start, width, scale):
    """y = scale sum_p X_p x on `width` numbers from `start`."""
    qubits = 0
    while 1 << qubits < x.size:
        qubits += 1
    if x.size >= _BLOCK:
        for block in range(start, start + width, _BLOCK):
            _flips_block(x, y, block, qubits, scale)
    else:
        for k in range(start, start + width):
            y[k] = 0.0
            for p in range(qubits):
                y[k] += scale * x[k ^ (1 << p)]


@njit(fastmath=_FAST)
def hamiltonian(x, diagonal, flip, y):
    """y = (diag(diagonal) + flip sum_p X_p) x: all (2^d,).

    >>> y = np.empty(4)
    >>> hamiltonian(np.array([1.0, 0.0, 0.0, 0.0]), np.array([5.0, 6.0, 7.0, 8.0]), -1.0, y)
    >>> y  # both bits flipped once
    array([ 5., -1., -1.,  0.])
    """
    if x.size & (x.size - 1) or y.size != x.size or diagonal.size != x.size:
        raise ValueError("x, diagonal and y must be (2^d,) of one d")
    width = min(1 << _ROW, x.size)
    for start in range(0, x.size, width):
        here = slice(start, start + width)
        _flips_row(x, y, start, width, flip)
        x_, y_, diagonal_ = x[here], y[here], diagonal[here]
        for k in range(width):
            y_[k] += diagonal_[k] * x_[k]


@njit(fastmath=_FAST, inline="always")
def _product(x, previous, diagonal, below, y, flip, scale, back):
    """y = scale (flip sum_p X_p x + diagonal x) - back previous  ->  y x, all y below_i, all x below_i."""
    overlaps, width = np.zeros(1 + 2 * len(below)), min(1 << _ROW, x.size)
    for start in range(0, x.size, width):
        here = slice(start, start + width)
        _flips_row(x, y, start, width, scale * flip)
        x_, y_, previous_, diagonal_, overlap = x[here], y[here], previous[here], diagonal[here], 0.0
        for k in range(width):
            y_[k] += scale * diagonal_[k] * x_[k] - back * previous_[k]
            overlap += y_[k] * x_[k]
        overlaps[0] += overlap
        for i in range(len(below)):
            below_, of_y, of_x = below[i, here], 0.0, 0.0
            for k in range(width):
                of_y += y_[k] * below_[k]
                of_x += x_[k] * below_[k]
            overlaps[1 + i] += of_y
            overlaps[1 + len(below) + i] += of_x
    return overlaps


@njit(fastmath=_FAST, inline="always")
def _subtract(x, below, y, of_x, of_below):
    """y -= of_x x + sum_i of_below_i below_i  ->  y y."""
    square, width = 0.0, min(1 << _ROW, x.size)
    for start in range(0, x.size, width):
        here = slice(start, start + width)
        x_, y_ = x[here], y[here]
        for i in range(len(below)):
            weight, below_ = of_below[i], below[i, here]
            for k in range(width):
                y_[k] -= weight * below_[k]
        for k in range(width):
            y_[k] -= of_x * x_[k]
            square += y_[k] * y_[k]
    return square


@njit(fastmath=_FAST)
def lanczos(basis, diagonal, flip, first, last, alpha, norms, below):
    """Lanczos steps first..last of H = diag(diagonal) + flip sum_p X_p, orthogonal to the rows of `below`.

    basis: (m + 1, 2^d), rows up to `first` set, rows up to `last` are written, not normalised; norms: (m + 1,) of
    the rows, from the second on the off-diagonal of the tridiagonal matrix; alpha: (m,) its diagonal; below:
    (j, 2^d) orthonormal.  ->  steps done: fewer when an invariant subspace is complete.

    >>> basis, alpha, norms = np.zeros((3, 2)), np.empty(2), np.ones(3)
    >>> basis[0, 0] = 1
    >>> lanczos(basis, np.array([0.0, 3.0]), 2.0, 0, 2, alpha, norms, np.empty((0, 2)))
    2
    >>> alpha, norms[1]  # the matrix [[0, 2], [2, 3]] is tridiagonal already
    (array([0., 3.]), np.float64(2.0))
    """
    levels = len(below)
    for j in range(first, last):
        x, y, previous = basis[j], basis[j + 1], basis[max(j - 1, 0)]
        back = norms[j] / norms[j - 1] if j else 0.0
        overlaps = _product(x, previous, diagonal, below, y, flip, 1 / norms[j], back)
        alpha[j], of_x = overlaps[0] / norms[j], overlaps[0] / norms[j] ** 2
        of_below = overlaps[1 : 1 + levels] - of_x * overlaps[1 + levels :]  # of y without its part along x
        norms[j + 1] = np.sqrt(_subtract(x, below, y, of_x, of_below))
        if norms[j + 1] <= _INVARIANT * (abs(alpha[j]) + abs(flip)):
            return j + 1
    return last


@njit(fastmath=_FAST)
def combine(weights, vectors):
    """Sums of vectors: (n, m), (m, 2^d)  ->  (n, 2^d). Like `gram` without BLAS, whose threads wait when busy.

    >>> combine(np.array([[1.0, 2.0]]), np.array([[1.0, 0.0], [0.0, 4.0]]))
    array([[1., 8.]])
    """
    out, width = np.zeros((len(weights), vectors.shape[1])), min(1 << _ROW, vectors.shape[1])
    for start in range(0, vectors.shape[1], width):
        here = slice(start, start + width)
        for i in range(len(out)):
            for j in range(len(vectors)):
                weight, vector, out_ = weights[i, j], vectors[j, here], out[i, here]
                for k in range(width):
                    out_[k] += weight * vector[k]
    return out


@njit(fastmath=_FAST)
def gram(vectors):
    """Scalar products of all pairs: (m, 2^d)  ->  (m, m).

    >>> gram(np.array([[1.0, 2.0], [0.0, 3.0]]))
    array([[5., 6.],
           [6., 9.]])
    """
    sums, width = np.zeros((len(vectors), len(vectors))), min(1 << _ROW, vectors.shape[1])
    for start in range(0, vectors.shape[1], width):
        here = slice(start, start + width)
        for i in range(len(vectors)):
            for j in range(i + 1):
                a, b, overlap = vectors[i, here], vectors[j, here], 0.0
                for k in range(width):
                    overlap += a[k] * b[k]
                sums[i, j] += overlap
                sums[j, i] = sums[i, j]
    return sums


@njit(fastmath=_FAST)
def dot(a, b):
    """Scalar product of two vectors (2^d,).

    >>> dot(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    11.0
    """
    total = 0.0
    for k in range(a.size):
        total += a[k] * b[k]
    return total


def lowest(energies, n):
    """Indices of the n lowest energies, rising: (2^d,)  ->  (n,).

    >>> lowest(np.array([0.0, -1.0, 3.0, -2.0]), 2)
    array([3, 1])
    """
    found = np.argpartition(energies, n - 1)[:n]
    return found[np.argsort(energies[found], kind="stable")]


def empty_like(vector, shape):
    """Uninitialised numbers of this shape where `vector` lies.

    >>> empty_like(np.ones(8), (2, 8)).shape
    (2, 8)
    """
    return np.empty(shape)


def like(vector, numbers):
    """These numbers where `vector` lies.

    >>> like(np.ones(2), [1, 2])
    array([1., 2.])
    """
    return np.asarray(numbers, dtype=np.float64)


concatenate = np.concatenate
