"""qafs: quantum-annealing feature selection in CNNs, a research compendium (arXiv:2604.25649)."""
