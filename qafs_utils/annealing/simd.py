"""The innermost loops of the CPU, written in LLVM's own terms: 64 numbers in eight registers of eight lanes.

No loop over so short strides vectorises, so the lowest six qubits are done by these intrinsics. numba's cache looks at
the file of a loop alone, not at what it takes from here: files whose loops call these are to take `njit` from here too.
"""

import hashlib
from functools import reduce
from pathlib import Path

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

from .. import compiled

LANES = 8  # numbers a register: eight registers hold a block of six qubits
BLOCK = LANES * LANES
_FLAGS = ("contract", "nsz", "arcp")  # multiply-adds may fuse
_TEXT = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]


def njit(**options):
    """`compiled.njit` whose compiled loops are kept under names that change with this file: options  ->  decorator.

    >>> @njit(fastmath=True)
    ... def double(x):
    ...     return 2 * x
    >>> double(2.0), double.py_func.__qualname__ == f"double_{_TEXT}"
    (4.0, True)
    """

    def decorate(function):
        function.__qualname__ += f"_{_TEXT}"  # of which numba makes the name of the file
        return compiled.njit(**options)(function)

    return decorate


def _require_contiguous(*arrays):
    """Raise TypingError, while a loop is compiled, for arrays that the eight-lane registers would read wrongly."""
    for array in arrays:
        vector = isinstance(array, types.Array) and array.ndim == 1 and array.layout == "C"
        if not (vector and array.dtype == types.float64):
            raise TypingError(f"the loops take contiguous float64 vectors, got {array}: use np.ascontiguousarray")


def _registers(context, builder, arraytype, array, start):
    """Pointers to the eight vectors of the block of 64 numbers at `start`."""
    data = context.make_array(arraytype)(context, builder, array).data
    vector = ir.VectorType(ir.DoubleType(), LANES).as_pointer()
    offsets = [builder.add(start, ir.Constant(start.type, LANES * j)) for j in range(LANES)]
    return [builder.bitcast(builder.gep(data, [offset]), vector) for offset in offsets]


def _load(builder, pointers):
    return [builder.load(pointer, align=8) for pointer in pointers]


def _lanes(builder, vector, order):
    """The vector with its lanes in this order."""
    order = ir.Constant(ir.VectorType(ir.IntType(32), LANES), order)
    return builder.shuffle_vector(vector, vector, order)


def _splat(builder, number):
    """The number in every lane."""
    empty = ir.Constant(ir.VectorType(number.type, LANES), ir.Undefined)
    return _lanes(builder, builder.insert_element(empty, number, ir.Constant(ir.IntType(32), 0)), [0] * LANES)


@intrinsic
def rotate_block(typingctx, x, start, tangent):
    """[[1, -t], [t, 1]] on the lowest six qubits of x[start : start + 64], in place.

    >>> import numba, numpy as np
    >>> x = np.eye(64)[0]
    >>> numba.njit(lambda x: rotate_block(x, 0, 0.5))(x)
    >>> x[:4]
    array([1.  , 0.5 , 0.5 , 0.25])
    """
    _require_contiguous(x)

    def build(context, builder, signature, args):
        pointers = _registers(context, builder, signature.args[0], args[0], args[1])
        vectors, t = _load(builder, pointers), _splat(builder, args[2])
        for bit in (1, 2, 4):  # the qubits that number the lanes
            signs = ir.Constant(t.type, [1.0 if lane & bit else -1.0 for lane in range(LANES)])
            signed, order = builder.fmul(t, signs), [lane ^ bit for lane in range(LANES)]
            partners = [builder.fmul(signed, _lanes(builder, v, order), flags=_FLAGS) for v in vectors]
            vectors = [builder.fadd(v, partner, flags=_FLAGS) for v, partner in zip(vectors, partners)]
        for bit in (1, 2, 4):  # the qubits that number the registers
            partners = [builder.fmul(t, vectors[j ^ bit], flags=_FLAGS) for j in range(LANES)]
            vectors = [
                (builder.fadd if j & bit else builder.fsub)(vectors[j], partners[j], flags=_FLAGS) for j in range(LANES)
            ]
        for pointer, vector in zip(pointers, vectors):
            builder.store(vector, pointer, align=8)
        return context.get_dummy_value()

    return types.void(x, types.intp, types.float64), build


@intrinsic
def flips_block(typingctx, x, y, start, qubits, scale):
    """y = scale sum_p X_p x on the 64 numbers from `start`; p runs over the qubits, six at least.

    >>> import numba, numpy as np
    >>> x, y = np.eye(64)[0], np.empty(64)
    >>> numba.njit(lambda x, y: flips_block(x, y, 0, 6, -1.0))(x, y)
    >>> y.nonzero()[0]  # one bit flipped
    array([ 1,  2,  4,  8, 16, 32])
    """
    _require_contiguous(x, y)

    def build(context, builder, signature, args):
        x, y, start, qubits, scale = args
        vectors = _load(builder, _registers(context, builder, signature.args[0], x, start))
        sums = []
        for j, vector in enumerate(vectors):
            terms = [_lanes(builder, vector, [lane ^ bit for lane in range(LANES)]) for bit in (1, 2, 4)]
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
