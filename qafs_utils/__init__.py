"""qafs: quantum-annealing feature selection in CNNs, a research compendium (arXiv:2604.25649)."""


def __getattr__(name):  # PyTorch is loaded only for those who use it
    if name == "explain":
        from .explanation import explain

        return explain
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
