"""Every method of the benchmark computes the same fidelity and the same minimum gap."""

import sys
from pathlib import Path

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import annealer  # noqa: E402
import solvers as solver_times  # noqa: E402


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


def test_every_group_of_the_notebook_is_timed():
    stored = pd.read_csv(Path(solver_times.__file__).with_suffix(".csv")).set_index(["instances", "beta", "solver"])
    asked = {(name, beta, solver) for name, beta, _ in solver_times.instances(1) for solver in solver_times.TIMED}
    assert set(stored.index) == asked, "renew the times: .venv/bin/python benchmarks/solvers.py"
    assert (stored.seconds > 0).all()


@pytest.mark.clock
def test_a_read_is_timed():
    *_, (name, beta, (problem,)) = solver_times.instances(1)
    one, many = (solver_times.seconds_a_read("simulated_annealing", problem, beta, {"num_reads": n}) for n in (1, 200))
    assert 0 < many < 3 * one
