"""What `evolution` and `level_solver` call on the CPU: compiled loops on arrays. `gpu` has the same class.

Bit p of an index k is n_p, so X_p x is x at the index whose bit p is flipped.
"""

import weakref

import numpy as np

from .. import require
from ..qubo import binary, memory
from .cpu_rotations import evolve
from .simd import BLOCK, flips_block, njit

COMPONENTS = {"complex128": (np.float64, 1e-13)}  # dtype of a state: of its parts, and their rounding
_SPARE = []  # memory of earlier Lanczos bases
_FAST = True  # sums may be reordered; callers check for NaN and infinity
SUMS = {"reassoc", "contract", "nsz", "arcp"}  # the same for loops that know infinity themselves
_ROW = 11  # log2 of the numbers that stay in the first-level cache
_PART = 9  # of which several rows stay there
_INVARIANT = 1e-10  # relative norm at which a Lanczos vector is rounding


# `_lanczos` and what it calls are inlined by numba, not by LLVM, whose copies round otherwise in the process that
# compiles than when they are loaded from the cache. Their sums are then reordered as the caller allows.
@njit(fastmath=_FAST, inline="always")
def _flips_row(x, y, start, width, scale):
    """y = scale sum_p X_p x on `width` numbers from `start`."""
    qubits = 0
    while 1 << qubits < x.size:
        qubits += 1
    if x.size >= BLOCK:
        for block in range(start, start + width, BLOCK):
            flips_block(x, y, block, qubits, scale)
    else:
        for k in range(start, start + width):
            y[k] = 0.0
            for p in range(qubits):
                y[k] += scale * x[k ^ (1 << p)]


@njit(fastmath=_FAST)
def _hamiltonian(x, diagonal, flip, y):
    """y = (diag(diagonal) + flip sum_p X_p) x: all (2^d,)."""
    if x.size & (x.size - 1) or y.size != x.size or diagonal.size != x.size:
        raise ValueError("x, diagonal and y must be (2^d,) of one d")
    width = min(1 << _ROW, x.size)
    for start in range(0, x.size, width):
        row = slice(start, start + width)
        _flips_row(x, y, start, width, flip)
        x_, y_, diagonal_ = x[row], y[row], diagonal[row]
        for k in range(width):
            y_[k] += diagonal_[k] * x_[k]


@njit(fastmath=_FAST, inline="always")
def _product(x, previous, diagonal, below, y, flip, scale, back):
    """y = scale (flip sum_p X_p x + diagonal x) - back previous  ->  y x, all y below_i, all x below_i."""
    overlaps, width = np.zeros(1 + 2 * len(below)), min(1 << _ROW, x.size)
    for start in range(0, x.size, width):
        row = slice(start, start + width)
        _flips_row(x, y, start, width, scale * flip)
        x_, y_, previous_, diagonal_, overlap = x[row], y[row], previous[row], diagonal[row], 0.0
        for k in range(width):
            y_[k] += scale * diagonal_[k] * x_[k] - back * previous_[k]
            overlap += y_[k] * x_[k]
        overlaps[0] += overlap
        for i in range(len(below)):
            below_, of_y, of_x = below[i, row], 0.0, 0.0
            for k in range(width):
                of_y += y_[k] * below_[k]
                of_x += x_[k] * below_[k]
            overlaps[1 + i] += of_y
            overlaps[1 + len(below) + i] += of_x
    return overlaps


@njit(fastmath=_FAST, inline="always")
def _subtract(x, below, y, of_x, overlaps):
    """y -= of_x x, then its parts along `below`, of the `overlaps` that `_product` found  ->  y y."""
    square, width = 0.0, min(1 << _ROW, x.size)
    for start in range(0, x.size, width):
        row = slice(start, start + width)
        x_, y_ = x[row], y[row]
        for i in range(len(below)):
            weight, below_ = overlaps[1 + i] - of_x * overlaps[1 + len(below) + i], below[i, row]
            for k in range(width):
                y_[k] -= weight * below_[k]
        for k in range(width):
            y_[k] -= of_x * x_[k]
            square += y_[k] * y_[k]
    return square


@njit(fastmath=_FAST, inline="always")
def _lanczos(basis, diagonal, flip, first, last, alpha, norms, below):
    """Lanczos steps first..last of H = diag(diagonal) + flip sum_p X_p, orthogonal to the rows of `below`.

    basis: (m + 1, 2^d), rows up to `first` set, rows up to `last` are written, not normalised; norms: (m + 1,) of
    the rows, from the second on the off-diagonal of the tridiagonal matrix; alpha: (m,) its diagonal; below:
    (j, 2^d) orthonormal.  ->  steps done: fewer when an invariant subspace is complete.
    """
    for j in range(first, last):
        x, y, previous = basis[j], basis[j + 1], basis[max(j - 1, 0)]
        back = norms[j] / norms[j - 1] if j else 0.0
        overlaps = _product(x, previous, diagonal, below, y, flip, 1 / norms[j], back)
        alpha[j], of_x = overlaps[0] / norms[j], overlaps[0] / norms[j] ** 2
        norms[j + 1] = np.sqrt(_subtract(x, below, y, of_x, overlaps))
        if norms[j + 1] <= _INVARIANT * (abs(alpha[j]) + abs(flip)):
            return j + 1
    return last


@njit(fastmath=_FAST, forceinline=True)
def _combine(weights, vectors):
    """Sums of vectors: (n, m), (m, 2^d)  ->  (n, 2^d). Like `_overlaps` without BLAS, whose threads wait when busy."""
    out, width = np.zeros((len(weights), vectors.shape[1])), min(1 << _PART, vectors.shape[1])
    for start in range(0, vectors.shape[1], width):
        row = slice(start, start + width)
        for j in range(0, len(vectors), 4):  # four at a time: fewer loads
            last = len(vectors) - 1
            a, b = vectors[j, row], vectors[min(j + 1, last), row]
            c, d = vectors[min(j + 2, last), row], vectors[min(j + 3, last), row]
            for i in range(len(out)):
                w, out_ = weights[i], out[i, row]
                wa, wb = w[j], w[j + 1] if j + 1 <= last else 0.0
                wc, wd = w[j + 2] if j + 2 <= last else 0.0, w[j + 3] if j + 3 <= last else 0.0
                for k in range(width):
                    out_[k] += wa * a[k] + wb * b[k] + wc * c[k] + wd * d[k]
    return out


@njit(fastmath=_FAST)
def _overlaps(left, right):
    """Scalar products: (n, 2^d), (m, 2^d)  ->  (n, m)."""
    sums, width = np.zeros((len(left), len(right))), min(1 << _PART, left.shape[1])
    for start in range(0, left.shape[1], width):
        row = slice(start, start + width)
        for i in range(0, len(left), 3):  # three at a time: fewer loads
            second, third = min(i + 1, len(left) - 1), min(i + 2, len(left) - 1)
            a, b, c = left[i, row], left[second, row], left[third, row]
            for j in range(len(right)):
                x, of_a, of_b, of_c = right[j, row], 0.0, 0.0, 0.0
                for k in range(width):
                    of_a += a[k] * x[k]
                    of_b += b[k] * x[k]
                    of_c += c[k] * x[k]
                sums[i, j] += of_a
                if i < second:
                    sums[second, j] += of_b
                if second < third:
                    sums[third, j] += of_c
    return sums


@njit(fastmath=_FAST)
def _dot(a, b):
    """Scalar product of two vectors (2^d,)."""
    total = 0.0
    for k in range(a.size):
        total += a[k] * b[k]
    return total


class Loops:
    """The inner loops on NumPy arrays.

    parts: dtype of a state's real and imaginary part; rounding: of a state. solvers: how many solvers of levels gain
    from running at the same time.

    >>> loops = Loops("complex128")
    >>> loops.lowest(np.array([0.0, -1.0, 3.0, -2.0]), 2), loops.dot(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    (array([3, 1]), 11.0)
    """

    solvers = 2
    evolve, hamiltonian, lanczos = staticmethod(evolve), staticmethod(_hamiltonian), staticmethod(_lanczos)
    combine, overlaps, dot = staticmethod(_combine), staticmethod(_overlaps), staticmethod(_dot)
    require_memory, energies = staticmethod(memory.require_memory), staticmethod(binary.energies)

    def __init__(self, dtype):
        self.parts, self.rounding = COMPONENTS[require.choice("dtype", dtype, COMPONENTS)]

    @staticmethod
    def checked(energies):
        """Energies as a batch: (2^d,) or (B, 2^d)  ->  (B, 2^d) contiguous float64, d. Raises as `binary.checked`."""
        batch, d = binary.checked(energies)
        return np.ascontiguousarray(batch), d

    @staticmethod
    def array(numbers, dtype=np.float64):
        """Numbers as an array."""
        return np.asarray(numbers, dtype)

    @staticmethod
    def empty(shape, dtype=np.float64):
        """Uninitialised numbers."""
        return np.empty(shape, dtype)

    @staticmethod
    def lowest(energies, n):
        """Indices of the n lowest energies, rising: (2^d,)  ->  (n,)."""
        indices = np.argpartition(energies, n - 1)[:n]
        return indices[np.argsort(energies[indices], kind="stable")]

    @staticmethod
    def expected(probabilities, values):
        """Expected value of each problem: (B, 2^d), B times (2^d,) numbers or bool  ->  (B,)."""
        return np.einsum("bk,bk->b", probabilities, np.asarray(values, dtype=np.float64))

    @staticmethod
    def locate(probabilities, shares):
        """Where the cumulative probability exceeds these shares of the sum: (2^d,), (n,) in [0, 1)  ->  (n,)."""
        cumulative = np.cumsum(probabilities)
        return np.searchsorted(cumulative, shares * cumulative[-1], side="right")

    @staticmethod
    def lend(owner, shape):
        """Uninitialised numbers, whose memory is lent again once the owner is gone.

        Memory fresh from the system costs more than the Lanczos steps in it.
        """
        numbers = int(np.prod(shape))
        try:
            spare = _SPARE.pop()
        except IndexError:
            spare = np.empty(0)
        if spare.size < numbers:
            spare = np.empty(numbers)
        weakref.finalize(owner, _SPARE.append, spare)
        return spare[:numbers].reshape(shape)

    @staticmethod
    def spare_numbers():
        """How many numbers fit into the memory that waits to be lent, and so need no other."""
        return sum(spare.size for spare in _SPARE)
