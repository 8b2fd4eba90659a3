"""qafs: quantum-annealing feature selection in CNNs, a research compendium (arXiv:2604.25649)."""

import os
import re
import sys


def __getattr__(name):  # PyTorch is loaded only for those who use it
    if name == "explain":
        try:
            from .explanations.one_image import explain
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(with_remedy(str(error)), name=error.name) from None
        return explain
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def with_remedy(message: str) -> str:
    """An error's message; where PyTorch is missing, with the way to add it.

    >>> with_remedy("No module named 'torch'")
    "No module named 'torch': add PyTorch with `make full`, outside the repository with pip install 'qafs[torch]'"
    >>> with_remedy("No module named 'torchestra'")
    "No module named 'torchestra'"
    """
    if re.search(r"No module named 'torch(vision)?(\.|')", message):
        message += ": add PyTorch with `make full`, outside the repository with pip install 'qafs[torch]'"
    return message


def _do_without_threads():
    """A forked process has none of its parent's threads, and PyTorch would wait for its own for ever."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_do_without_threads)
