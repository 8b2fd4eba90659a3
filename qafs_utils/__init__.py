"""qafs: quantum-annealing feature selection in CNNs, a research compendium (arXiv:2604.25649)."""

import os
import sys


def __getattr__(name):  # PyTorch is loaded only for those who use it
    if name == "explain":
        from .explanations.one_image import explain

        return explain
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _do_without_threads():
    """A forked process has none of its parent's threads, and PyTorch would wait for its own for ever."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_do_without_threads)
