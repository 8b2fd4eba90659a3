"""The compiled loops: what they refuse while they are compiled, and what they do where nothing can be kept."""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from numba.core.errors import TypingError

from qafs_utils import compiled
from qafs_utils.annealing import cpu, cpu_rotations, simd

X = np.random.default_rng(0).normal(size=(2, 256))
WRONG = {
    "strided": np.ascontiguousarray(np.repeat(X, 2, axis=1))[:, ::2],
    "reversed": X[:, ::-1],
    "float32": np.float32(X),
    "complex": X + 0j,
    "whole numbers": X.astype(int),
    "columns": np.asfortranarray(X),
}


@pytest.mark.parametrize("x", WRONG.values(), ids=WRONG)
def test_registers_take_contiguous_float64_only(x):
    before, y = x.copy(), np.empty(256)
    calls = [lambda: cpu_rotations.rotate(x[0], 0.5), lambda: cpu.Loops.hamiltonian(x[0], X[0], -1.0, y)]
    if x.dtype != complex:  # which fits no loop at all
        calls.append(lambda: cpu.Loops.evolve(x, X.copy(), X, np.zeros(2), np.ones(1)))
        calls.append(lambda: cpu.Loops.hamiltonian(X[0], X[0], -1.0, x[0]))
    for call in calls:
        with pytest.raises(TypingError, match="contiguous float64"):
            call()
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(
    "call",
    [
        lambda: cpu_rotations.rotate(np.ones(96), 0.5),
        lambda: cpu.Loops.hamiltonian(np.ones(96), np.ones(96), 1.0, np.ones(96)),
        lambda: cpu.Loops.hamiltonian(np.ones(128), np.ones(128), 1.0, np.ones(64)),
        lambda: cpu.Loops.evolve(np.ones((1, 96)), np.ones((1, 96)), np.ones((1, 96)), np.zeros(2), np.ones(1)),
        lambda: cpu.Loops.evolve(np.ones((1, 64)), np.ones((1, 64)), np.ones((2, 64)), np.zeros(2), np.ones(1)),
    ],
)
def test_vectors_that_are_not_those_of_qubits_are_refused(call):
    with pytest.raises(ValueError, match="must be .*2.d"):
        call()


def test_where_nothing_can_be_kept_loops_are_compiled_all_the_same():
    """Functions without a file, which numba can keep no more than those of a read-only tree with a read-only home."""
    compiled._warn.cache_clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for factor in (2.0, 3.0):
            space = {"njit": compiled.njit}
            exec(f"@njit(fastmath=True)\ndef times(x):\n    return {factor} * x", space)
            assert space["times"](2.0) == 2 * factor
    assert len(caught) == 1 and "NUMBA_CACHE_DIR" in str(caught[0].message)


LOOP = """
import numpy as np
from .simd import flips_block, njit

@njit()
def flips(x, y):
    flips_block(x, y, 0, 6, 1.0)

y = np.empty(64)
flips(np.ones(64), y)
print(y[0], "kept" if flips.stats.cache_hits else "compiled")
"""


def test_the_cache_sees_a_change_in_the_registers(tmp_path):
    """A loop that calls a copy of them, in three processes: the sum of six ones, again, and with twice the weight."""
    folder = tmp_path / "loops" / "annealing"
    folder.mkdir(parents=True)
    (folder / "loop.py").write_text(LOOP)
    text = Path(simd.__file__).read_text(encoding="utf-8")
    (folder.parent / "compiled.py").write_text(Path(compiled.__file__).read_text(encoding="utf-8"), encoding="utf-8")
    changed, found = text.replace("_splat(builder, scale)", "_splat(builder, builder.fadd(scale, scale))"), []
    for version in (text, text, changed):
        (folder / "simd.py").write_text(version, encoding="utf-8")
        command = [sys.executable, "-m", "loops.annealing.loop"]
        found.append(subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip())
    assert found == ["6.0 compiled", "6.0 kept", "12.0 compiled"]
