"""Every method of the benchmark computes the same fidelity and the same minimum gap."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import annealer  # noqa: E402


@pytest.fixture(scope="module")
def problem():
    return annealer.Problem(5, 0)


@pytest.mark.parametrize(
    "method", [m for m in annealer.METHODS if not m.sampled and m.threads == 1], ids=lambda m: f"{m.quantity}, {m.name}"
)
def test_methods_reach_the_accuracy(method, problem):
    row = annealer.Benchmark(limit=60).measure(method, problem)
    assert row["error"] <= annealer.ACCURACY[method.quantity]


def test_authors_algorithm_agrees_to_its_step_error(problem):
    """5,000 steps of expm_multiply at the left end of each step."""
    seconds, fidelity, steps = annealer.sample(annealer.authors_evolution, problem)
    assert steps == annealer.POINTS and seconds > 0
    assert fidelity == pytest.approx(problem.reference("evolution"), abs=1e-6)
