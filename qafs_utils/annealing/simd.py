"""The innermost loops of the CPU, written in LLVM's own terms: 64 numbers in eight registers of eight lanes.

No loop over so short strides vectorises, so the lowest six qubits are done by these intrinsics. numba's cache looks at
the file of a loop alone, not at what it takes from here: files whose loops call these are to take `njit` from here too.
"""

import functools
import hashlib
import math
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
# fdlibm's polynomials of sine and cosine up to an eighth of a turn, here of the angle in quarter turns
_SINE = (1.0, -1.66666666666666324e-01, 8.33333333332248946e-03, -1.98412698298579493e-04, 2.75573137070700677e-06)
_SINE += (-2.50507602534068634e-08, 1.58969099521155010e-10)
_COSINE = (1.0, -0.5, 4.16666666666666019e-02, -1.38888888888741096e-03, 2.48015872894767294e-05)
_COSINE += (-2.75573143513906633e-07, 2.08757232129817483e-09, -1.13596475577881948e-11)
_SINE = [c * (math.pi / 2) ** (2 * k + 1) for k, c in enumerate(_SINE)]
_COSINE = [c * (math.pi / 2) ** (2 * k) for k, c in enumerate(_COSINE)]
_ROUND = 1.5 * 2.0**52  # a float64 plus this ends in the bits of the nearest whole number
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


_VECTOR, _BITS = (ir.VectorType(number, LANES) for number in (ir.DoubleType(), ir.IntType(64)))


def _registers(context, builder, arraytype, array, start, count=LANES):
    """Pointers to `count` vectors from `start` on: eight hold a block of 64 numbers."""
    data = context.make_array(arraytype)(context, builder, array).data
    vector = _VECTOR.as_pointer()
    offsets = [builder.add(start, ir.Constant(start.type, LANES * j)) for j in range(count)]
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


def _polynomial(builder, coefficients, y, factor):
    """factor times the polynomial of y."""
    total = builder.fmul(factor, _all(coefficients[-1]))
    for c in coefficients[-2::-1]:
        total = builder.fadd(builder.fmul(total, y, flags=_FLAGS), builder.fmul(factor, _all(c)), flags=_FLAGS)
    return total


def _all(number, vector=_VECTOR):
    """The constant in every lane."""
    return ir.Constant(vector, [number] * LANES)


@intrinsic
def phase_lanes(typingctx, re, im, energies, start, angle, factor):
    """phi_k <- factor exp(-i angle E_k) phi_k on the eight numbers from `start`, in place; accurate to 1e-15.

    The angle less whole quarter turns has a polynomial; quarter turns exchange sine and cosine, and change signs.

    >>> import numba, numpy as np
    >>> re, im, E = np.ones(8), np.zeros(8), np.linspace(-9, 9, 8)
    >>> numba.njit(lambda re, im, E: phase_lanes(re, im, E, 0, 0.5, 2.0))(re, im, E)
    >>> bool(abs(re + 1j * im - 2 * np.exp(-0.5j * E)).max() < 1e-14)
    True
    """
    _require_contiguous(re, im, energies)

    def build(context, builder, signature, args):
        add, sub, mul = (functools.partial(f, flags=_FLAGS) for f in (builder.fadd, builder.fsub, builder.fmul))
        pointers = [_registers(context, builder, signature.args[j], args[j], args[3], 1)[0] for j in range(3)]
        re, im, E = _load(builder, pointers)
        quarters = builder.fmul(args[4], ir.Constant(args[4].type, 2 / math.pi))
        turned = builder.fmul(E, _splat(builder, quarters))
        rint = ir.FunctionType(_VECTOR, [_VECTOR])
        rint = cgutils.get_or_insert_function(builder.module, rint, f"llvm.nearbyint.v{LANES}f64")
        whole = builder.call(rint, [turned])
        x, factor = builder.fsub(turned, whole), _splat(builder, args[5])
        y = builder.fmul(x, x)
        sine = mul(x, _polynomial(builder, _SINE, y, factor))
        cosine = _polynomial(builder, _COSINE, y, factor)
        n, one = builder.bitcast(builder.fadd(whole, _all(_ROUND)), _BITS), _all(1, _BITS)
        odd = builder.icmp_signed("!=", builder.and_(n, one), _all(0, _BITS))
        sine, cosine = builder.select(odd, cosine, sine), builder.select(odd, sine, cosine)

        def signed(vector, n):  # minus the vector where the second bit of n is set
            sign = builder.and_(builder.shl(n, _all(62, _BITS)), _all(-(2**63), _BITS))
            return builder.bitcast(builder.xor(builder.bitcast(vector, _BITS), sign), _VECTOR)

        sine, cosine = signed(sine, n), signed(cosine, builder.add(n, one))
        builder.store(add(mul(re, cosine), mul(im, sine)), pointers[0], align=8)
        builder.store(sub(mul(im, cosine), mul(re, sine)), pointers[1], align=8)
        return context.get_dummy_value()

    return types.void(re, im, energies, types.intp, types.float64, types.float64), build


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
            sums.append(cgutils.alloca_once_value(builder, functools.reduce(builder.fadd, terms)))
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
