"""What one waits for: imports load only what is used, and notebooks run beside each other share the cores."""

import os
import subprocess
import sys

import joblib
import pytest

from qafs_utils.artefacts.definitions import bare, parsed
from qafs_utils.artefacts.provenance import ROOT
from qafs_utils.make import execute

EXPLAIN = "from qafs_utils import explain"
CALLED = """
import numpy as np
from qafs_utils.cnn.pretrained import resnet18
from qafs_utils.explanations.one_image import explain
explain(np.arange(192, dtype=np.uint8).reshape(8, 8, 3), resnet18("random"), layer="layer1", solver="greedy")"""
DRAWS = ("matplotlib.pyplot", "seaborn")
STATISTICS = ("scipy.stats", "scipy.interpolate")


def loaded(code):
    """The modules that a new process has after running code."""
    code += "\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code, without",
    [
        (EXPLAIN, ("torch", "pandas", "numba", "dimod", *DRAWS, *STATISTICS)),
        ("import qafs_utils.explanations.one_image", ("torch", "pandas", "numba", "dimod", *DRAWS, *STATISTICS)),
        ("import qafs_utils.make.explain", ("torch", *DRAWS, *STATISTICS)),
        ("import qafs_utils.plots.method", ("torch", "seaborn", "numba", *STATISTICS)),  # as 03 does
        ("import qafs_utils.explanations.explorer", ("torch", "seaborn", *STATISTICS)),  # as 24 does
        ("import qafs_utils.explanations.class_overlap, qafs_utils.plots.bhattacharyya", ("seaborn", *STATISTICS)),
    ],
)
def test_what_an_import_leaves_alone(code, without):
    names = loaded(code)
    assert "qafs_utils" in names and not names & set(without)


def test_the_call_loads_what_the_import_does_not():
    names = loaded(CALLED)
    assert {"torch", "dimod"} <= names and not names & {*DRAWS, *STATISTICS}


def test_without_pytorch_the_import_says_how_to_add_it():
    code = f"import sys\nsys.modules['torch'] = None\n{EXPLAIN}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode and "make full" in done.stderr.splitlines()[-1]


PLAIN = "from torch import nn\n\ndef f(net: nn.Module):\n    return net"
TYPES = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from torch import nn\n" + PLAIN[PLAIN.index("\n") :]


def test_imports_for_type_checkers_count_as_imports():
    assert bare(TYPES) == bare(PLAIN)
    assert parsed("wing.ours", TYPES).definitions == parsed("wing.ours", PLAIN).definitions
    assert ("nn", "torch.nn") in parsed("wing.ours", TYPES).definitions["f"][0].mentions
    assert bare("if TYPE_CHECKING: import os; import sys\nx = 1") == "x = 1"


@pytest.mark.parametrize(
    "change",
    [
        ("    from torch import nn", "    from torch import nn\n    x = 1"),
        ("    from torch import nn", "    from torch import nn\nelse:\n    nn = None"),
        ("if TYPE_CHECKING", "if not TYPE_CHECKING"),
        ("if TYPE_CHECKING", "if DEBUG"),
    ],
)
def test_any_other_condition_counts(change):
    assert bare(TYPES.replace(*change)) != bare(PLAIN)


def test_another_import_for_type_checkers_means_another_thing():
    other = TYPES.replace("from torch", "from jax")
    assert parsed("wing.ours", other).definitions["f"] != parsed("wing.ours", TYPES).definitions["f"]


@pytest.mark.parametrize(
    "flags, cores, share",
    [
        ("", 8, 8),
        ("ks", 8, 8),
        ("s -j1", 8, 8),
        (" -- PYTHON=-j2", 8, 8),  # a variable of the user's
        ("s -j2 --jobserver-auth=3,4 -- INPUT=images", 8, 4),
        (" -j3 --jobserver-auth=fifo:/tmp/GMfifo1", 8, 2),
        ("ks -j2 --jobserver-auth=3,4", 2, 1),
        (" -j16 --jobserver-auth=3,4", 2, 1),
        (" -j", 8, 1),
        ("w --jobserver-fds=3,4 -j", 8, 1),  # make 3.81 does not tell the number
    ],
)
def test_kernels_share_the_cores(flags, cores, share):
    given = {"MAKEFLAGS": flags, "PATH": "/bin"}
    assert execute.shared_cores(given, cores) == dict.fromkeys(execute.THREADS, str(share))
    assert execute.shared_cores(given | {"OMP_NUM_THREADS": "3"}, cores)["OMP_NUM_THREADS"] == "3"


IN_KERNEL = """
import numpy, scipy.linalg, torch
from qafs_utils.annealing import threads
from qafs_utils.artefacts.parameters import defaults
from qafs_utils.artefacts.run import Run
import threadpoolctl
Run("03_qubo", defaults("03_qubo") | {"get_ipython": lambda: None})
blas = {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}
print(blas, threads.THREADS, torch.get_num_threads())
"""


@pytest.mark.parametrize("options, share", [(["-j2"], 1), (["-j"], 1), ([], 2), (["-j1"], 2)], ids=str)
def test_threads_of_a_kernel(tmp_path, options, share):
    """With the flags that this make writes, through the function that prepares a kernel: BLAS has one, always."""
    prepare = (
        "import os, subprocess, sys, joblib; joblib.cpu_count = lambda: 2; from qafs_utils.make import execute; "
        f"execute._prepare_kernel('03_qubo', '{tmp_path}'); assert os.environ['OMP_WAIT_POLICY'] == 'PASSIVE'; "
        "subprocess.run([sys.executable, '-c', os.environ['IN_KERNEL']], check=True)"
    )
    (tmp_path / "Makefile").write_text(f'all:\n\t@{sys.executable} -c "$$CODE"\n')
    unset = ("MAKEFLAGS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", *execute.THREADS)
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    command = ["make", "-s", "-C", str(tmp_path), *options]
    environment = kept | {"CODE": prepare, "IN_KERNEL": IN_KERNEL, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout == f"{{1}} {min(share, joblib.cpu_count())} {share}\n", done.stderr
