"""One smoke run of all notebooks by make, and what a change, a failure or a second Run All does to it."""

import json
import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from repository import ROOT, copied, make, stale

from qafs_utils.artefacts.parameters import overrides
from qafs_utils.artefacts.run import WITHIN_MAKE

SHARED = ("style", "method", "class_measures", "row_names")  # pieces of several notebooks
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
DRAWN = sorted(set((ROOT / "qafs_utils/plots").glob("[a-z]*.py")) - {ROOT / f"qafs_utils/plots/{n}.py" for n in SHARED})


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    return copied(tmp_path_factory.mktemp("repository"))


def test_smoke_run_of_all_notebooks(copy):
    done = make(copy, "-j2", "smoke")
    assert done.returncode == 0, done.stderr[-3000:]
    count = len(NOTEBOOKS)
    assert f"[{count} of {count}] 23_claims: " in done.stdout
    assert [line for line in done.stderr.splitlines() if "Warning" in line or "ERROR" in line] == []
    executed = sorted(p.stem for p in (copy / "build/smoke/notebooks").glob("*.ipynb"))
    assert executed == [p.stem for p in NOTEBOOKS]
    made = {p.name for p in (copy / "build/smoke/figures").iterdir()}
    listed = re.findall(r"^\| (?:Fig|Table).*\| \[`(\w+)`\]", (ROOT / "docs/figures.md").read_text(), re.M)
    assert len(listed) > 30 and {Path(name).stem for name in made if name.startswith("fig") and name.endswith("g")} == {
        name for name in listed if name.startswith("fig")
    }
    assert {f"{name}.csv" for name in listed if name.startswith("table")} <= made
    assert all(f"{Path(name).stem}.pdf" in made for name in made if name.endswith(".png"))
    assert not stale(copy)


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


@pytest.mark.parametrize(
    "name, first",
    [
        ("00_quickstart", {"conventions": "text", "n_features": 24}),
        ("03_qubo", {"conventions": "text"}),
        ("09_average_drop", {}),
        ("23_claims", {}),
        ("24_explore", {"conventions": "text", "k": 2, "shown": 32}),
    ],
)  # the quick ones; tests/test_notebooks.py looks at the cells of all
def test_run_all_again_after_a_change_gives_what_a_fresh_kernel_gives(copy, name, first):
    if not (copy / "build/smoke/figures.done").exists():
        pytest.skip("the smoke run failed")

    def outcome():
        made = json.loads((copy / f"build/smoke/records/{name}.json").read_text())
        files = [f"data/{file}" for file in made["artefacts"]] + [f"figures/{file}" for file in made["figures"]]
        return made, {file: (copy / "build/smoke" / file).read_bytes() for file in files}

    before, given = outcome(), overrides(name, "smoke") | {"profile": "smoke"}
    cells = [c.source for c in nbformat.read(copy / f"notebooks/{name}.ipynb", 4).cells if c.cell_type == "code"]
    rounds = ["\n".join(f"{key} = {value!r}" for key, value in values.items()) for values in (given | first, given)]
    sources = [source for values in rounds for source in (cells[0], values, *cells[1:])]
    twice = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    client = NotebookClient(twice, kernel_name="python3", resources={"metadata": {"path": str(copy)}})
    client.execute(env=os.environ | {WITHIN_MAKE: "1", "PYTHONPATH": str(copy)})
    assert outcome() == before


def test_only_what_depends_on_a_change_is_rerun(copy):
    if not (copy / "build/smoke/figures.done").exists():
        pytest.skip("the smoke run failed")
    changed = stale(copy, "qafs_utils/explanations/average_drop.py")
    assert "09_average_drop" in changed
    assert {"01_fine_tuning", "02_feature_maps", "03_qubo", "04_annealing"}.isdisjoint(changed)
    changed = stale(copy, "params/smoke/04_annealing.yaml")
    assert {"04_annealing", "08_explanation_maps", "09_average_drop", "23_claims"} <= changed
    assert {"01_fine_tuning", "02_feature_maps", "03_qubo"}.isdisjoint(changed)
    assert stale(copy, "notebooks/01_fine_tuning.ipynb") == {p.stem for p in NOTEBOOKS}
    already = stale(copy)  # what reads 04, which an earlier test ran again
    assert stale(copy, "qafs_utils/annealing/gpu.py") == stale(copy, "qafs_utils/make/verify.py") == already
    assert stale(copy, "qafs_utils/make/claims.py") == already | {"23_claims"}


@pytest.mark.parametrize("path", DRAWN, ids=lambda path: path.stem)
def test_another_figure_reruns_its_notebook_and_those_that_read_it(copy, path):
    if not (copy / "build/smoke/figures.done").exists():
        pytest.skip("the smoke run failed")
    own = {p.stem for p in NOTEBOOKS if p.stem[3:] == path.stem}
    assert own, "a file of plots is named after its notebook"
    assert stale(copy, f"qafs_utils/plots/{path.name}") == stale(copy, *(f"notebooks/{name}.ipynb" for name in own))


def test_a_failing_notebook_leaves_no_stamp(copy):
    parameters = copy / "params/smoke/02_feature_maps.yaml"
    parameters.write_text(parameters.read_text().replace("selected_per_class: 1", "selected_per_class: 100000"))
    done = make(copy, "build/smoke/notebooks/02_feature_maps.ipynb")
    assert done.returncode != 0
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "02_feature_maps: ValueError: class" in errors[0] and "ask for fewer" in errors[0]
    assert (copy / "build/smoke/notebooks/02_feature_maps.failed.ipynb").exists()
    assert "02_feature_maps" in stale(copy)
