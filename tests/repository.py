"""Copies of the repository in which make can run."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def copied(folder):
    """The repository without its outcomes, so that a run starts from nothing."""
    ignored = shutil.ignore_patterns(".git", ".venv", "build", "raw", "figures", "__pycache__")
    return shutil.copytree(ROOT, folder / "qafs", ignore=ignored)


def make(copy, *arguments):
    environment = os.environ | {"TORCH_HOME": str(copy / "no-weights"), "PYTHONPATH": str(copy)}
    return subprocess.run(["make", *arguments, f"PYTHON={sys.executable}"], cwd=copy, capture_output=True, text=True,
                          env=environment)


def stale(copy, *changed):
    """Notebooks that `make smoke` would run now, or if these files were changed."""
    done = make(copy, "--dry-run", "smoke", *(f"--what-if={path}" for path in changed))
    return set(re.findall(r"qafs_utils run smoke (\w+)", done.stdout))


def touch(path):
    now = time.time() + 1
    os.utime(path, (now, now))
