"""Every method of the benchmark computes the same fidelity, minimum gap or optimum."""

import itertools
import re
import sys
from pathlib import Path

import numba
import numpy as np
import pandas as pd
import pytest

from qafs_utils.annealing import simd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import annealer  # noqa: E402
import explaining  # noqa: E402
import machine  # noqa: E402
import methods  # noqa: E402
import provers  # noqa: E402
import solvers as solver_times  # noqa: E402


@pytest.fixture(scope="module")
def problem():
    return annealer.Problem(5, 0)


@pytest.mark.parametrize(
    "method", [m for m in annealer.METHODS if not m.sampled and m.threads == 1], ids=lambda m: f"{m.quantity}, {m.name}"
)
def test_methods_reach_the_accuracy(method, problem):
    if reason := methods.missing(method.package):
        pytest.skip(reason)
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
    assert set(stored.index) == asked, "renew the times: make benchmark ONLY=reads"
    assert (stored.seconds > 0).all()


def test_the_peak_keeps_every_register_busy():
    """x <- 0.999 x + 0.001 of twelve starts, summed; each step is as many multiply-adds of whole registers."""
    expected = np.arange(2.0, 2 + machine.REGISTERS)
    for _ in range(5):
        expected = 0.999 * expected + 0.001
    assert machine._multiply_add(5) == pytest.approx(expected.sum(), rel=1e-12)
    (assembly,) = machine._multiply_add.inspect_asm().values()
    assert machine.LANES == 4 or assembly.count("zmm") > machine.REGISTERS


@pytest.mark.skipif(not hasattr(simd, "phase_lanes") or machine.LANES < 8, reason="counts registers of eight lanes")
def test_the_operations_of_a_phase_are_counted():
    """In the loop that is compiled: every floating-point instruction on whole registers."""

    @numba.njit
    def phases(re, im, energies):
        for k in range(0, re.size, 8):
            simd.phase_lanes(re, im, energies, k, 0.5, 2.0 * re.size)

    phases(*np.ones((3, 64)))
    (assembly,) = phases.inspect_asm().values()
    loop = next(part for part in re.split(r"\n\.L\w+:", assembly) if "vrndscalepd" in part)
    assert len(re.findall(r"\tv(?:fn?m(?:add|sub)\d+|mul|add|sub|rndscale)pd\t.*zmm", loop)) == machine.PHASE


SUMMARIES = {"provers": provers.summary, "explain": explaining.summary}
SUMMARIES = {name: of for name, of in SUMMARIES.items() if (Path(annealer.__file__).parent / f"{name}.csv").exists()}


def test_docs_state_the_table():
    folder = Path(annealer.__file__).parent
    text = " ".join((folder.parent / "docs/running.md").read_text().split())
    tables = {name: pd.read_csv(folder / f"{name}.csv") for name in ("annealer", "limit", *SUMMARIES)}
    said = [*annealer.summary(tables["annealer"], tables["limit"])]
    for line in said + [line for name, summary in SUMMARIES.items() for line in summary(tables[name])]:
        assert line in text, f"docs/running.md should say: {line}"


def test_a_method_without_its_package_is_skipped_by_name(problem, monkeypatch):
    monkeypatch.setattr(methods, "find_spec", lambda name: None)
    benchmark, qulacs = annealer.Benchmark(limit=60), next(m for m in methods.METHODS if m.name == "Qulacs")
    benchmark.add(qulacs, [problem])
    assert benchmark.stopped == {qulacs: "qulacs not installed: pip install '.[benchmark]'"} and not benchmark.rows


def test_only_the_measured_quantity_is_renewed(tmp_path):
    before = pd.DataFrame({"quantity": ["evolution", "minimum gap"], "seconds": [1.0, 2.0]})
    before.to_csv(tmp_path / "table.csv", index=False)
    table = annealer.renewed(tmp_path / "table.csv", before[:1].assign(seconds=3.0), "quantity")
    assert table.values.tolist() == [["minimum gap", 2.0], ["evolution", 3.0]]
    assert annealer.renewed(tmp_path / "none.csv", before, "quantity").equals(before)


def test_speed_ups_are_over_ours_on_one_thread():
    rows = [
        ("ours", False, 1, 1.0),
        ("ours", False, 2, 0.5),
        ("ours, verified", True, 1, 2.0),
        ("NumPy", False, 1, 8.0),
    ]
    table = pd.DataFrame(rows, columns=["method", "verified", "threads", "seconds"])
    table = table.assign(quantity="evolution", d=8, instance=0)
    for base, over in (("ours", 8.0), ("ours, verified", 4.0)):
        assert annealer.speed_ups(table, base).loc["evolution", "NumPy", False, 1].tolist() == [over]


def test_provers_agree_with_enumeration():
    """CPLEX too, where it is installed: both forms."""
    maps, rng = provers.maps(8, 7, np.random.default_rng(0)), np.random.default_rng(1)
    (problem,) = provers.feature_selection.problems(maps[None], rng.random((1, 8)) + 0.1)
    bqm = problem.bqm(0.5, "p<q")
    least = min(bqm.energy(list(x)) for x in itertools.product((0, 1), repeat=8))
    found = [provers.ours(bqm)]
    if not methods.missing("docplex", "cplex"):
        found += [provers.cplex(bqm, True), provers.cplex(bqm, False)]
    assert all(one["proven"] and one["energy"] == pytest.approx(least, abs=1e-9) for one in found)


def test_ratios_are_over_ours_of_the_same_problem():
    rows = [
        (i, m, s, True) for i, times in enumerate([(1, 9), (2, 4), (1, 5)]) for m, s in zip(("ours", "CPLEX"), times)
    ]
    table = pd.DataFrame(rows, columns=["image", "method", "seconds", "proven"])
    (found,) = provers.ratios(table.assign(instances="N_f=512", pair_sum="p<q", beta=0.5)).to_dict("records")
    assert found == {"median": 5.0, "least": 2.0, "proven": 1.0}


@pytest.mark.clock
def test_a_read_is_timed():
    *_, (name, beta, (problem,)) = solver_times.instances(1)
    one, many = (solver_times.seconds_a_read("simulated_annealing", problem, beta, {"num_reads": n}) for n in (1, 200))
    assert 0 < many < 3 * one
