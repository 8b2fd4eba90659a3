"""qafs: quantum-annealing feature selection in CNNs, a research compendium (arXiv:2604.25649)."""

import os
import re
import sys

# PyTorch's threads wait for each other in a loop, beside another program ten times as long as asleep. For kernels, too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def __getattr__(name):  # what it needs is loaded only for those who use it
    if name == "explain":
        from .explanations.one_image import explain

        require_pytorch()  # `explain` loads it when it is called
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


def require_pytorch() -> None:
    """Raise ModuleNotFoundError, which tells the way to add it, if PyTorch is missing; it is not loaded.

    >>> require_pytorch()
    """
    from importlib.util import find_spec

    if find_spec("torch") is None:
        raise ModuleNotFoundError(with_remedy("No module named 'torch'"), name="torch")


def _do_without_threads():
    """A forked process has none of its parent's threads, and PyTorch would wait for its own for ever."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_do_without_threads)
