"""Compiled loops of an anneal on the CPU: the phases of the problem and the rotations of the driver.

Bit p of an index k is n_p. States are held in a rotated frame, phi_k = i^(number of ones of k) psi_k, in which
sigma_x is sigma_y and its rotation exp(-i a sigma_x) is the real [[cos a, -sin a], [sin a, cos a]]: real and
imaginary part rotate apart, as real arrays. Written cos(a) [[1, -t], [t, 1]] with t = tan(a) it takes one
multiply-add a number and qubit; the product of the cosines is a factor that the caller folds into the next phase.

The lowest six qubits are rotated in registers (`simd`), the others by loops over array slices, three qubits a pass, on
blocks that stay in a cache.
"""

import numpy as np

from .simd import BLOCK, LANES, njit, phase_lanes, rotate_block
from .threads import in_threads

SHARED = 17  # log2 of the largest vector that one thread treats alone
_FAST = True  # sums may be reordered; callers check for NaN and infinity
_ROW = 11  # log2 of the numbers whose lower qubits are rotated in the first-level cache
_PANEL = 128  # rows of a panel: seven qubits a sweep
_WIDTH = 512  # columns of a panel


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
        a, b, c, d = a - t * b, b + t * a, c - t * d, d + t * c
        e, f, g, h = e - t * f, f + t * e, g - t * h, h + t * g
        a, c, b, d = a - t * c, c + t * a, b - t * d, d + t * b
        e, g, f, h = e - t * g, g + t * e, f - t * h, h + t * f
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
    if x.size < BLOCK:
        stride = 1
        while stride < x.size:
            for start in range(0, x.size, 2 * stride):
                _rotate_two(x, start, stride, stride, t)
            stride *= 2
        return
    for start in range(0, x.size, BLOCK):
        rotate_block(x, start, t)
    stride = BLOCK
    while stride < x.size:
        rows = min(8, x.size // stride)
        for start in range(0, x.size, rows * stride):
            _rotate_panel(x, start, stride, rows, stride, t)
        stride *= rows


@njit(fastmath=_FAST)
def _apply_phase(re, im, energies, angle, factor):
    """phi_k <- factor exp(-i angle E_k) phi_k, in place."""
    if re.size >= BLOCK:
        for start in range(0, re.size, LANES):
            phase_lanes(re, im, energies, start, angle, factor)
        return
    for k in range(re.size):
        sine, cosine = factor * np.sin(angle * energies[k]), factor * np.cos(angle * energies[k])
        re[k], im[k] = re[k] * cosine + im[k] * sine, im[k] * cosine - re[k] * sine


@njit()
def _layers(angles, qubits):
    """Tangents of the rotations, and the products of their cosines: (n,)."""
    tangents = np.minimum(np.maximum(np.tan(angles), -1e9), 1e9)  # the butterflies stay accurate up to there
    return tangents, (np.copysign(1.0, np.cos(angles)) / np.sqrt(1 + tangents**2)) ** qubits


@njit(fastmath=_FAST)
def _sweep_rows(first, last, re, im, energies, angle, factor, tangent):
    """The phase and the rotations of the lowest qubits, on rows that stay in the cache."""
    row = min(1 << _ROW, re.size)
    for start in range(first * row, last * row, row):
        part = slice(start, start + row)
        _apply_phase(re[part], im[part], energies[part], angle, factor)
        rotate(re[part], tangent)
        rotate(im[part], tangent)


@njit(fastmath=_FAST)
def _phase_rows(first, last, re, im, energies, angle):
    """The phase alone."""
    part = slice(first << _ROW, last << _ROW)
    _apply_phase(re[part], im[part], energies[part], angle, 1.0)


@njit(fastmath=_FAST)
def _sweep_panels(first, last, re, im, stride, rows, tangent):
    """The rotations of the qubits from `stride` to `stride` * `rows` / 2, on panels that stay in the cache."""
    for panel in range(first, last):
        block, column = divmod(panel * _WIDTH, stride)
        start = block * stride * rows + column
        _rotate_panel(re, start, stride, rows, _WIDTH, tangent)
        _rotate_panel(im, start, stride, rows, _WIDTH, tangent)


@njit(fastmath=_FAST)
def _evolve_states(first, last, re, im, energies, phases, tangents, factors):
    """All sweeps of the states from `first` to `last`: re, im, energies (B, 2^d)."""
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
        _apply_phase(re[b], im[b], energies[b], phases[-1], 1.0)


def evolve(re: np.ndarray, im: np.ndarray, energies: np.ndarray, phases: np.ndarray, angles: np.ndarray):
    """Phase 0, rotation 0, phase 1, ..., last phase on each state of a batch, in place: all (B, 2^d).

    phases: (n + 1,), psi_k <- exp(-i phase E_k) psi_k; angles: (n,), exp(-i angle sigma_x) on every qubit. Small states
    are spread over the threads; a large one is shared by all of them, in few sweeps over memory a rotation.
    Raises ValueError for other shapes.

    >>> re, im = np.array([[1.0, 0.0]]), np.zeros((1, 2))
    >>> evolve(re, im, np.zeros((1, 2)), phases=np.zeros(2), angles=np.array([0.5]))
    >>> np.allclose(re, [[np.cos(0.5), np.sin(0.5)]])
    True
    """
    size = re.shape[1]
    if size & (size - 1) or not re.shape == im.shape == energies.shape:
        raise ValueError(f"re, im and energies must be (B, 2^d), got {re.shape}, {im.shape} and {energies.shape}")
    if len(phases) != len(angles) + 1:
        raise ValueError(f"phases must be one more than angles, got {len(phases)} and {len(angles)}")
    tangents, factors = _layers(angles, size.bit_length() - 1)
    if size <= 1 << SHARED:
        in_threads(_evolve_states, len(re), re, im, energies, phases, tangents, factors)
        return
    row = 1 << _ROW
    for state in zip(re, im, energies):  # three vectors (2^d,)
        for phase, tangent, factor in zip(phases, tangents, factors):
            in_threads(_sweep_rows, size // row, *state, phase, factor, tangent)
            stride = row
            while stride < size:
                rows = min(_PANEL, size // stride)
                in_threads(_sweep_panels, size // (rows * _WIDTH), *state[:2], stride, rows, tangent)
                stride *= rows
        in_threads(_phase_rows, size // row, *state, phases[-1])
