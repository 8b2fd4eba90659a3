"""Solvers of the selection problem. The emulated annealer enters its name among `by_name.SOLVERS` when it is loaded."""

from . import emulated_qpu  # noqa: F401  # so that "emulated_qpu" is known wherever by_name is
