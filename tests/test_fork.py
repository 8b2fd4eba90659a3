"""A process that has used the threads of the compiled loops forks, as multiprocessing does: the child works."""

import json
import os
import signal

import dimod
import numpy as np
import pytest

from qafs_utils.annealing import evolution, spectrum
from qafs_utils.cnn import pretrained
from qafs_utils.qubo import feature_selection
from qafs_utils.solvers import by_name

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
E = np.random.default_rng(0).normal(size=(4, 2**8))
LARGE = np.random.default_rng(1).normal(size=2**18)  # shared by all threads
PROBLEM = feature_selection.problem(np.random.default_rng(2).random((8, 4, 4)), np.arange(1.0, 9.0))
MODEL = dimod.BinaryQuadraticModel({0: -1.0, 1: 0.5}, {(0, 1): 0.3}, 0.0, "BINARY")
ENTRIES = {
    "anneal, a batch": lambda: evolution.anneal(E, 5.0).fidelity.tolist(),
    "anneal, a large state": lambda: float(evolution.anneal(LARGE, 0.5, dt=0.1).energy),
    "states": lambda: evolution.populations(E[0], [0.0, 1.0], 5.0)[1].tolist(),
    "minimum_gap": lambda: spectrum.minimum_gap(LARGE[: 2**13], tolerance=1e-3).gap,
    "minimum_gaps": lambda: [gap.gap for gap in spectrum.minimum_gaps(E, tolerance=1e-4)],
    "SchrodingerSampler": lambda: by_name.solver("schrodinger").sample(MODEL, seed=0).record.sample.tolist(),
    "solve_all": lambda: by_name.solve_all([PROBLEM] * 3, "schrodinger", seed=0)[0].tolist(),
    "solve_all, exact": lambda: by_name.solve_all([PROBLEM] * 3, "exact")[0].tolist(),
}


def in_child(call, seconds=60):
    """What call() gives in a forked process."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(seconds)  # a child that hangs is ended
        try:
            os.write(write, json.dumps(call()).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        content = answer.read()
    os.waitpid(child, 0)
    assert content, f"the child has not answered within {seconds} s"
    return json.loads(content)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("call", ENTRIES.values(), ids=ENTRIES)
def test_a_forked_child_computes_what_its_parent_has(call):
    before = call()
    assert in_child(call) == before == call()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_explains():
    torch = pytest.importorskip("torch")
    from qafs_utils import explain

    image, network = (
        np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8),
        pretrained.resnet18("random"),
    )
    torch.rand(512, 512) @ torch.rand(512, 512)  # PyTorch's own threads are at work
    before = explain(image, network, layer="layer3", image_size=64).selected.tolist()
    assert in_child(lambda: explain(image, network, layer="layer3", image_size=64).selected.tolist()) == before
