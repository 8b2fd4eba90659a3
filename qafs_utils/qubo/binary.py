"""A binary quadratic model as arrays: biases, the energies of all bit-strings, bits."""

import dimod
import numpy as np

from .. import require
from .memory import require_memory

DEGENERATE = 1e-9  # of the energies' range: those closer to the lowest count as ground states


def number_of_qubits(shape: tuple) -> int:
    """d of energies of shape (2^d,) or (B, 2^d). Raises ValueError for another.

    >>> number_of_qubits((5, 8))
    3
    """
    d = shape[-1].bit_length() - 1
    if len(shape) not in (1, 2) or 0 in shape or shape[-1] != 2**d:
        raise ValueError(f"energies must be (2^d,) or (B, 2^d), one for each bit-string, got {tuple(shape)}")
    return d


def checked(energies, read=require.array) -> tuple[np.ndarray, int]:
    """Energies as a batch: (2^d,) or (B, 2^d)  ->  (B, 2^d), d.

    read: `require.array` for a float64 array, `require.tensor` for a tensor.
    Raises ValueError for what is no number, NaN or infinite, and for a length that is no power of two.

    >>> batch, d = checked([0, -1, 2, 3])
    >>> batch.shape, d
    ((1, 4), 2)
    """
    batch = read("energies", energies, "... 2^d", remedy=": check the biases of the model they come from")
    d = number_of_qubits(batch.shape)
    return batch.reshape(-1, 2**d), d


def ground_states(energies: np.ndarray) -> np.ndarray:
    """Which bit-strings are ground states, up to rounding: (2^d,) array or tensor  ->  (2^d,) bool.

    >>> ground_states(np.array([0.3, 0.1 + 0.2, 1.0, 2.0]))
    array([ True,  True, False, False])
    """
    least = energies.min()
    return energies <= least + DEGENERATE * (energies.max() - least)


def require_model(bqm: dimod.BinaryQuadraticModel):
    """Raise ValueError unless it is a dimod.BinaryQuadraticModel whose biases and energies are finite.

    >>> require_model(dimod.BinaryQuadraticModel({"a": -1.0}, {}, 0.0, dimod.BINARY))
    >>> require_model(dimod.BinaryQuadraticModel({"a": 1e308, "b": 1e308}, {}, 0.0, dimod.BINARY))
    Traceback (most recent call last):
    ValueError: the model's energies reach beyond 1e+307, where they may overflow: scale it down
    """
    _vectors(bqm)


def _vectors(bqm):
    """dimod's arrays of a model that `require_model` takes, in the order of its variables."""
    if not isinstance(bqm, dimod.BinaryQuadraticModel):
        raise ValueError(f"the model must be a dimod.BinaryQuadraticModel, got {type(bqm).__name__}")
    linear, (_, _, couplings), offset = vectors = bqm.to_numpy_vectors(list(bqm.variables))
    biases = np.concatenate([linear, couplings, [offset]]).astype(np.float64, copy=False)
    require.values("the model's biases", biases, remedy=": check the feature maps or data it is made from")
    with np.errstate(over="ignore"):
        if not np.abs(biases).sum() <= 1e307:
            raise ValueError("the model's energies reach beyond 1e+307, where they may overflow: scale it down")
    return vectors


def biases(bqm: dimod.BinaryQuadraticModel) -> tuple[np.ndarray, np.ndarray, float]:
    """Linear biases (d,), quadratic ones (d, d) below the diagonal, and offset over binary variables.

    Raises ValueError as `require_model`.

    >>> bqm = dimod.BinaryQuadraticModel({"a": -1.0, "b": 0.5}, {("a", "b"): 2.0}, 3.0, dimod.BINARY)
    >>> biases(bqm)
    (array([-1. ,  0.5]), array([[0., 0.],
           [2., 0.]]), 3.0)
    """
    vectors = _vectors(bqm)
    if bqm.vartype is dimod.SPIN:
        vectors = bqm.change_vartype(dimod.BINARY, inplace=False).to_numpy_vectors(list(bqm.variables))
    linear, (rows, columns, values), offset = vectors
    couplings = np.zeros((len(linear), len(linear)))
    couplings[np.maximum(rows, columns), np.minimum(rows, columns)] = values  # a model holds each pair once
    return linear.astype(np.float64, copy=False), couplings, float(offset)  # a model of objects may hold fractions


def energies(bqm: dimod.BinaryQuadraticModel, *, empty=np.empty, require_memory=require_memory) -> np.ndarray:
    """Energies of all bit-strings, offset included: dimod model, binary or spin  ->  (2^d,) float64.

    empty: what makes the vector, an array unless told otherwise; require_memory: what refuses a vector that does not
    fit. Raises ValueError as `biases`, MemoryError, naming the d that would fit, before allocating.

    >>> bqm = dimod.BinaryQuadraticModel({"a": -1.0, "b": 0.5}, {("a", "b"): 2.0}, 3.0, dimod.BINARY)
    >>> energies(bqm)  # none, a, b, both
    array([3. , 2. , 3.5, 4.5])
    """
    linear, couplings, offset = biases(bqm)
    require_memory(len(linear), 2, "the energies")
    E = empty(2 ** len(linear))
    E[0] = offset
    for p, bias in enumerate(linear):
        without, with_p = E[: 2**p], E[2**p : 2 ** (p + 1)]  # the strings with n_p = 0 and those with n_p = 1
        with_p[0] = 0.0
        for q in range(p):  # the couplings of p, summed over the other bits that are set
            with_p[2**q : 2 ** (q + 1)] = with_p[: 2**q] + couplings[p, q]
        with_p += without + bias
    return E


def bits(indices, d: int) -> np.ndarray:
    """Bit-strings of indices: (num,)  ->  (num, d) bool, column p is n_p.

    Raises ValueError for indices outside 0..2^d - 1.

    >>> bits([0, 1, 6], 3).astype(int)  # the first column is the lowest bit
    array([[0, 0, 0],
           [1, 0, 0],
           [0, 1, 1]])
    """
    d = require.whole("d", d)
    indices = require.indices("indices", indices, "num", 2**d)
    return (indices[:, None] >> np.arange(d) & 1).astype(bool)


def sample_set(bits, bqm: dimod.BinaryQuadraticModel) -> dimod.SampleSet:
    """One bit-string (d,) of 0 and 1, in the order of the model's variables  ->  its dimod.SampleSet.

    >>> bqm = dimod.BinaryQuadraticModel({"a": -1.0, "b": 0.5}, {}, 0.0, dimod.SPIN)
    >>> first = sample_set([1, 0], bqm).first
    >>> {v: int(s) for v, s in first.sample.items()}, float(first.energy)
    ({'a': 1, 'b': -1}, -1.5)
    """
    values = np.asarray(bits, dtype=np.int8)[None]
    if bqm.vartype is dimod.SPIN:
        values = 2 * values - 1
    return dimod.SampleSet.from_samples_bqm((values, list(bqm.variables)), bqm, sort_labels=False)
