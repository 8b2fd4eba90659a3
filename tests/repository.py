"""Copies of the repository in which make can run."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from qafs_utils.annealing import evolution, spectrum
from qafs_utils.artefacts import files
from qafs_utils.qubo import binary, feature_selection
from qafs_utils.solvers import by_name

# What is no array, number or name, for tests that each argument is refused by its name.
ODD = ["abc", None, -1.5, np.inf, [1.0, None, "x"], [[1, 2, 3], [1, 2]], {"a": 1}, {1, 2}, 1j, ...]
ROOT = Path(__file__).resolve().parents[1]


def copied(folder):
    """The repository without its outcomes, so that a run starts from nothing but the compiled loops.

    These take half a minute to compile, and numba's cache, in __pycache__, goes with unchanged sources.
    """
    problem = feature_selection.problem(np.random.default_rng(0).random((8, 4, 4)), np.ones(8))
    energies = binary.energies(problem.bqm())
    evolution.anneal(energies), spectrum.minimum_gap(energies), by_name.solver("exact").sample(problem.bqm())
    ignored = shutil.ignore_patterns(".git", ".venv", "build", "raw", "figures", "*.tmp.*", "*.pyc.*")
    return shutil.copytree(ROOT, folder / "qafs", ignore=ignored)


def make(copy, *arguments):
    environment = os.environ | {"TORCH_HOME": str(copy / "no-weights"), "PYTHONPATH": str(copy)}
    return subprocess.run(
        ["make", *arguments, f"PYTHON={sys.executable}"], cwd=copy, capture_output=True, text=True, env=environment
    )


def stale(copy, *changed):
    """Notebooks that `make smoke` would run now, or if these files were changed."""
    done = make(copy, "--dry-run", "smoke", *(f"--what-if={path}" for path in changed))
    return set(re.findall(r"qafs_utils run smoke (\w+)", done.stdout))


def touch(path):
    now = time.time() + 1
    os.utime(path, (now, now))


def move_root(monkeypatch, root):
    """Let the package take another folder for the repository: its paths, wherever they were imported."""
    paths = {name: getattr(files, name) for name in ("ROOT", "PUBLISHED", "PAPER_VALUES", "BENCHMARKS")}
    for module in [m for name, m in sys.modules.items() if name.split(".")[0] == "qafs_utils"]:
        for name, path in paths.items():
            if getattr(module, name, None) == path:
                monkeypatch.setattr(module, name, root / path.relative_to(paths["ROOT"]))
