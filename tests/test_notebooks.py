"""The notebooks as files, their place in the Make graph, and one smoke run of them all."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from qafs_utils import provenance
from qafs_utils.run import IMAGE_NOTEBOOKS, PROFILES, defaults, overrides

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
OVERRIDES = sorted((ROOT / "params").glob("*/*.yaml"))
GRAPH = (ROOT / "Makefile").read_text()
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def code_of(path):
    return [c.source for c in nbformat.read(path, 4).cells if c.cell_type == "code"]


def graph_line(path):
    """(runs it reads, modules it imports) as the Makefile lists them."""
    line = re.search(rf"^\$\(call run,\$\(1\),{path.stem},(.*?),(.*?)\)$", GRAPH, re.M)
    return set(line.group(1).split()), set(line.group(2).split())


@each_notebook
def test_committed_without_outputs(path):
    cells = nbformat.read(path, 4).cells
    assert not any(c.get("outputs") or c.get("execution_count") for c in cells)
    assert len(cells) <= 40


@each_notebook
def test_parameters_are_literals_with_a_profile(path):
    assert defaults(path.stem)["profile"] in PROFILES


@each_notebook
def test_anatomy(path):
    cells = nbformat.read(path, 4).cells
    assert cells[0].source.startswith(f"# {path.stem[:2]} ") and "**Reads**" in cells[0].source
    last = [c.source for c in cells if c.cell_type == "markdown"][-1]
    assert last.startswith("## What we found") and len(last) > 200
    assert any("assert " in source for source in code_of(path))
    assert not re.search(r"\bif smoke\b|profile ==", "\n".join(code_of(path)))


@each_notebook
def test_every_figure_has_a_caption(path):
    cells = nbformat.read(path, 4).cells
    for cell, following in zip(cells, cells[1:]):
        for number in re.findall(r'run\.figure\("fig(\w\d)_', cell.source) if cell.cell_type == "code" else ():
            assert following.source.startswith(f"**Fig. {number.lstrip('0')}.** "), (path.stem, following.source[:80])


@pytest.mark.parametrize("path", OVERRIDES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_parameter_files_are_known_and_typed(path):
    assert overrides(path.stem, path.parent.name)


@each_notebook
def test_graph_lists_every_import(path):
    modules = provenance.modules("\n".join(code_of(path))).keys()
    assert modules - {"run", "provenance"} == graph_line(path)[1]


@each_notebook
def test_graph_lists_every_artefact_read(path):
    code = "\n".join(code_of(path))
    read = {m for m in re.findall(r"run\.load(?:_table)?\(f?\"(\d\d)_", code)}
    assert {name[:2] for name in graph_line(path)[0]} == read
    for listed, call in (("COMPARED", "run.paper("), ("TIMED", "run.measured(")):
        names = re.search(rf"^{listed} := (.*)$", GRAPH, re.M).group(1).split()
        assert (path.stem in names) == (call in code)


def test_the_makefile_knows_the_image_notebooks():
    listed = re.search(r"^IMAGES := (.*)$", GRAPH, re.M).group(1).split()
    assert tuple(name[:2] for name in listed) == IMAGE_NOTEBOOKS


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The repository without its outcomes, so that the run starts from nothing."""
    target = tmp_path_factory.mktemp("repository") / "qafs"
    ignored = shutil.ignore_patterns(".git", ".venv", "build", "raw", "figures", "__pycache__")
    shutil.copytree(ROOT, target, ignore=ignored)
    return target


def make(copy, *arguments):
    environment = os.environ | {"TORCH_HOME": str(copy / "no-weights"), "OMP_NUM_THREADS": "2"}
    return subprocess.run(["make", *arguments, f"PYTHON={sys.executable}"], cwd=copy, capture_output=True, text=True,
                          env=environment)


def stale(copy, *arguments):
    """Notebooks that `make smoke` would run now."""
    return re.findall(r"qafs_utils run smoke (\w+)", make(copy, "--dry-run", "smoke", *arguments).stdout)


def touch(path):
    now = time.time() + 1
    os.utime(path, (now, now))


def test_smoke_run_of_all_notebooks(copy):
    done = make(copy, "smoke")
    assert done.returncode == 0, done.stderr[-3000:]
    executed = sorted(p.stem for p in (copy / "build/smoke/notebooks").glob("*.ipynb"))
    assert executed == [p.stem for p in NOTEBOOKS]
    made = {p.name for p in (copy / "build/smoke/figures").iterdir()}
    listed = re.findall(r"^\| (?:Fig|Table).*\| `(\w+)` \|", (ROOT / "README.md").read_text(), re.M)
    assert len(listed) > 30 and {Path(name).stem for name in made if name.startswith("fig") and name.endswith("g")} == {
        name for name in listed if name.startswith("fig")}
    assert {f"{name}.csv" for name in listed if name.startswith("table")} <= made
    assert all(f"{Path(name).stem}.pdf" in made for name in made if name.endswith(".png"))
    assert stale(copy) == []


def test_the_same_seed_gives_the_same_bytes(copy):
    """Of 04, which anneals, samples and draws; tests/test_interruption.py looks at figures, tables and records."""
    if not (copy / "build/smoke/figures.done").exists():
        pytest.skip("the smoke run failed")

    def outcome():
        return {p.name: p.read_bytes() for p in (copy / "build/smoke/data").glob("04_*")}

    before, stamp = outcome(), copy / "build/smoke/notebooks/04_annealing.ipynb"
    stamp.unlink()
    done = make(copy, str(stamp.relative_to(copy)))
    assert done.returncode == 0 and stamp.exists(), done.stderr[-3000:]
    after = outcome()
    assert "04_samples.npz" in before and before.keys() == after.keys()
    assert [name for name in before if before[name] != after[name]] == []


def test_only_what_depends_on_a_change_is_rerun(copy):
    if not (copy / "build/smoke/figures.done").exists():
        pytest.skip("the smoke run failed")
    touch(copy / "qafs_utils/metrics.py")
    assert {"01_fine_tuning", "02_feature_maps", "03_qubo", "04_annealing"}.isdisjoint(stale(copy))
    assert "07_average_drop" in stale(copy)
    touch(copy / "params/smoke/04_annealing.yaml")
    assert {"04_annealing", "06_explanation_maps", "07_average_drop", "09_claims"} <= set(stale(copy))
    assert {"01_fine_tuning", "02_feature_maps", "03_qubo"}.isdisjoint(stale(copy))
    touch(copy / "notebooks/01_fine_tuning.ipynb")
    assert set(stale(copy)) == {p.stem for p in NOTEBOOKS}


def test_a_failing_notebook_leaves_no_stamp(copy):
    parameters = copy / "params/smoke/02_feature_maps.yaml"
    parameters.write_text(parameters.read_text().replace("selected_per_class: 2", "selected_per_class: 100000"))
    done = make(copy, "build/smoke/notebooks/02_feature_maps.ipynb")
    assert done.returncode != 0
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "02_feature_maps: ValueError: class" in errors[0] and "ask for fewer" in errors[0]
    assert (copy / "build/smoke/notebooks/02_feature_maps.failed.ipynb").exists()
    assert "02_feature_maps" in stale(copy)


def test_published_artefacts_are_enough_and_checked(copy):
    notebook = "build/published/notebooks/03_qubo.ipynb"
    done = make(copy, notebook)
    assert done.returncode == 0, done.stderr[-3000:]
    good = (copy / "build/published/data/03_candidates.csv").read_bytes()
    victim = copy / "data/published/02_maps_nf24.npz"
    victim.write_bytes(victim.read_bytes()[:-100])
    touch(copy / "notebooks/03_qubo.ipynb")
    done = make(copy, notebook)
    assert done.returncode != 0 and "02_maps_nf24.npz is not the published file" in done.stderr
    assert (copy / "build/published/data/03_candidates.csv").read_bytes() == good
    shutil.rmtree(copy / "data/published")
    done = make(copy, notebook)
    assert done.returncode != 0 and "git checkout data/published" in done.stderr
