"""One refusal for an argument of a wrong type, shape or range: it names the argument, what is wanted, and what came.

Every function gives the value back in the form that callers compute with, and raises ValueError. Shapes are written
as letters, "B N H W": a letter stands for the same length in all arguments that share their `sizes`, a dict; a number
stands for itself, a leading "..." for any axes. Ranges are written as intervals, "[0, 1]" or "(0, inf)". Arrays may
come as whatever NumPy reads: lists, tuples, generators, arrays, pandas columns, tensors.
"""

from numbers import Integral, Real

import numpy as np

_FINITE = "(-inf, inf)"


def described(value):
    """A value as error messages show it: an array by its shape, others by their text or its beginning.

    >>> described("abc"), described(np.zeros((2, 3))), described(list(range(99)))
    ("'abc'", 'shape (2, 3)', 'list [0, 1, 2, 3, 4, 5, 6, 7, ...')
    """
    if not isinstance(value, type) and len(getattr(value, "shape", ())):
        return f"shape {tuple(value.shape)}"
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # of a number of thousands of digits, say
        return f"{type(value).__name__} without a text"
    return text if len(text) <= 60 else f"{type(value).__name__} {text[:25]}..."


def choice(name, value, known, remedy=""):
    """One of the known names, keys of a dict say  ->  that name. remedy: what to tell beside them.

    >>> choice("driver", "scaled", ("uniform", "scaled"))
    'scaled'
    >>> choice("driver", ["scaled"], ("uniform", "scaled"))
    Traceback (most recent call last):
    ValueError: unknown driver ['scaled']: choose from uniform, scaled
    """
    if not (isinstance(value, str) and value in known):
        raise ValueError(f"unknown {name} {described(value)}: choose from {', '.join(known)}{remedy}")
    return value


def _inside(values, interval):
    """Which values lie in an interval such as "[0, 1)". NaN lies in none."""
    low, high = (float(end) for end in interval[1:-1].split(","))
    above = values >= low if interval[0] == "[" else values > low
    return above & (values <= high if interval[-1] == "]" else values < high)


def _scalar(value):
    """The number that an array or tensor of no axes holds; anything else as it is."""
    value = value.item() if hasattr(value, "item") and getattr(value, "shape", None) == () else value
    return float("inf") if isinstance(value, int) and abs(value) > 10**300 else value  # no float holds it


def sequence(given):
    """The items of a generator as a list, so that they can be read more than once; anything else as it is.

    >>> sequence(x**2 for x in range(3)), sequence((1, 2))
    ([0, 1, 4], (1, 2))
    """
    return list(given) if hasattr(given, "__next__") else given


def number(name, value, interval=_FINITE):
    """A real number in an interval, any finite one by default  ->  float.

    >>> number("beta", np.float32(0.5), "[0, 1]")
    0.5
    >>> number("beta", "0.5", "[0, 1]")
    Traceback (most recent call last):
    ValueError: beta must be a number in [0, 1], got '0.5'
    """
    value = _scalar(value)
    if isinstance(value, bool) or not isinstance(value, Real) or not _inside(value, interval):
        wanted = "a finite number" if interval == _FINITE else f"a number in {interval}"
        raise ValueError(f"{name} must be {wanted}, got {described(value)}")
    return float(value)


def whole(name, value, low=0, high=None):
    """A whole number from low to high, both included; None: without end  ->  int. 2.0 is one, True is none.

    >>> whole("k", 2.0, 0, 3)
    2
    >>> whole("k", 4, 0, 3)
    Traceback (most recent call last):
    ValueError: k must be a whole number from 0 to 3, got 4
    """
    value = _scalar(value)
    is_whole = isinstance(value, Integral) or (isinstance(value, Real) and float(value).is_integer())
    if isinstance(value, bool) or not is_whole or value < low or (high is not None and value > high):
        wanted = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{name} must be a whole number {wanted}, got {described(value)}")
    return int(value)


def flag(name, value):
    """True or False, NumPy's too  ->  bool.

    >>> flag("holds", np.True_)
    True
    >>> flag("holds", 1)
    Traceback (most recent call last):
    ValueError: holds must be True or False, got 1
    """
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False, got {described(value)}")
    return bool(value)


def shape(name, found, axes, sizes=None, what="numbers"):
    """A shape that fits the letters; those met for the first time go into sizes, {letter: length}  ->  the shape.

    >>> sizes = {}
    >>> shape("maps", (8, 16, 7, 7), "B N H W", sizes), sizes["N"]
    ((8, 16, 7, 7), 16)
    >>> shape("importance", (8, 15), "B N", sizes)
    Traceback (most recent call last):
    ValueError: importance must be (B, N) = (8, 16) numbers, got shape (8, 15)
    """
    sizes, letters, found = {} if sizes is None else sizes, axes.split(), tuple(found)
    last = [letter for letter in letters if letter != "..."]
    lengths = found[len(found) - len(last) :] if len(last) < len(letters) and len(found) >= len(last) else found
    known = dict(sizes)
    wanted = [int(a) if a.isdigit() else known.setdefault(a, length) for a, length in zip(last, lengths)]
    if len(last) != len(lengths) or wanted != list(lengths):
        comma = "," if len(letters) == 1 else ""
        form, bound = (f"({', '.join(map(str, a))}{comma})" for a in (letters, [sizes.get(a, a) for a in letters]))
        raise ValueError(f"{name} must be {form}{'' if form == bound else f' = {bound}'} {what}, got shape {found}")
    sizes |= known
    return found


def values(name, given, interval=_FINITE, nan=False, remedy=""):
    """Raise ValueError unless the numbers of an array or a tensor are finite and lie in an interval.

    nan: whether NaN may be among them. remedy: what to tell of numbers that are not finite, or lie outside.

    >>> values("maps", np.array([1.0, np.inf]), remedy=": check the network")
    Traceback (most recent call last):
    ValueError: maps must be finite, got NaN or infinite values (1 of 2): check the network
    >>> values("share", np.array([0.5, 2.0]), "[0, 1]")
    Traceback (most recent call last):
    ValueError: share must lie in [0, 1], got 2.0
    """
    if 0 in given.shape or (_inside(float(given.min()), interval) and _inside(float(given.max()), interval)):
        return  # NaN would be both the least and the largest
    given = given.astype(np.float64) if isinstance(given, np.ndarray) else given  # half precision ends at 65504
    missing = given != given
    wrong = abs(given) == float("inf") if nan else missing | (abs(given) == float("inf"))
    if wrong.any():
        count = f"{int(wrong.sum())} of {len(wrong.ravel())}"
        raise ValueError(f"{name} must be finite, got NaN or infinite values ({count}){remedy}")
    outside = ~(_inside(given, interval) | missing)
    if outside.any():
        raise ValueError(f"{name} must lie in {interval}, got {given[outside][0].item()}{remedy}")


def _read(name, given, axes):
    """What NumPy makes of the numbers in a sequence, a table's column, a generator, or a tensor of any device."""
    found = given = sequence(given)
    try:
        if given is None:
            raise TypeError("no numbers")
        if isinstance(given, list | tuple) and any(hasattr(value, "detach") for value in given):
            found = [_read(name, value, axes) if hasattr(value, "detach") else value for value in given]
        elif hasattr(given, "detach"):
            found = given.detach().cpu()
            found = (found.float() if str(found.dtype) == "torch.bfloat16" else found).numpy()
        elif isinstance(given, np.ma.MaskedArray):
            found = given.astype(np.float64).filled(np.nan)
        found = np.asarray(found)
        if found.dtype == object and not any(isinstance(value, str | bytes) for value in found.flat):
            found = found.astype(np.float64)
    except (ValueError, TypeError, RuntimeError, OverflowError):
        found = np.asarray("of several lengths or kinds")
    if found.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be ({', '.join(axes.split())}) numbers, got {described(given)}")
    return found


def array(name, given, axes, sizes=None, interval=_FINITE, nan=False, remedy="", dtype=np.float64):
    """Numbers of a shape and in an interval  ->  array of dtype. Arguments as for `shape` and `values`.

    >>> array("field", (-1, -0.5), "d")
    array([-1. , -0.5])
    >>> array("field", [-1.0, "much"], "d")
    Traceback (most recent call last):
    ValueError: field must be (d) numbers, got [-1.0, 'much']
    """
    found = _read(name, given, axes)
    shape(name, found.shape, axes, sizes)
    values(name, found, interval, nan, remedy)
    return np.asarray(found, dtype=dtype)


def tensor(name, given, axes, sizes=None, interval=_FINITE, nan=False, remedy=""):
    """As `array`, on tensors  ->  floating-point tensor of at least single precision, where it was, without its graph.

    >>> tensor("maps", [[[[1, 2]]]], "B N H W")
    tensor([[[[1., 2.]]]])
    """
    import torch  # only those who have tensors wait for it

    if isinstance(given, torch.Tensor) and given.layout == torch.strided and not (given.is_complex() or given.is_meta):
        found = given.detach()
    else:
        read = _read(name, given, axes)  # copied to what PyTorch knows: no long doubles, reversed or read-only arrays
        found = torch.as_tensor(read.astype(np.float64 if read.dtype.itemsize > 8 else read.dtype.newbyteorder("=")))
    shape(name, found.shape, axes, sizes)
    if not found.is_floating_point() or found.dtype.itemsize < 4:
        found = found.float()
    values(name, found, interval, nan, remedy)
    return found


def indices(name, given, axes, below, sizes=None):
    """Whole numbers from 0 to below - 1: class labels, numbers of maps or images  ->  int64 array.

    >>> indices("labels", [0, 2.0, 9], "B", 10)
    array([0, 2, 9])
    >>> indices("labels", [0, 2.5], "B", 10)
    Traceback (most recent call last):
    ValueError: labels must be whole numbers from 0 to 9, got 2.5
    """
    found = _read(name, given, axes)  # not by way of floats, which end at 2^53
    if found.dtype == bool:
        raise ValueError(f"{name} must be whole numbers from 0 to {below - 1}, got {described(given)} of bool")
    shape(name, found.shape, axes, sizes)
    wrong = ~((found >= 0) & (found < below) & (found == np.rint(found)))
    if wrong.any():
        raise ValueError(f"{name} must be whole numbers from 0 to {below - 1}, got {found[wrong][0]}")
    return found.astype(np.int64)


def generator(name, seed):
    """A seed, a numpy Generator, or None for another one every time  ->  numpy Generator.

    >>> int(generator("seed", 0).integers(100))
    85
    >>> generator("seed", -1)
    Traceback (most recent call last):
    ValueError: seed must be a whole number of at least 0, a numpy Generator or None, got -1
    """
    try:
        return np.random.default_rng(seed)
    except (ValueError, TypeError):
        wanted = "a whole number of at least 0, a numpy Generator or None"
        raise ValueError(f"{name} must be {wanted}, got {described(seed)}") from None


def bits(name, given, axes, sizes=None):
    """Bit-strings of bool or of 0 and 1  ->  bool array.

    >>> bits("selected", [[1, 0, 1]], "B N")
    array([[ True, False,  True]])
    >>> bits("selected", [[1, 5]], "B N")
    Traceback (most recent call last):
    ValueError: selected must be bit-strings (bool or 0/1), not indices or weights, got 5
    """
    found = _read(name, given, axes)
    shape(name, found.shape, axes, sizes)
    if found.dtype == bool:
        return found.copy()
    wrong = (found != 0) & (found != 1)
    if wrong.any():
        raise ValueError(f"{name} must be bit-strings (bool or 0/1), not indices or weights, got {found[wrong][0]}")
    return found.astype(bool)
