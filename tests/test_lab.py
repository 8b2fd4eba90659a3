"""What JupyterLab saves of a notebook: the source that a person writes, and no file that says the same."""

import asyncio
import json
import shutil

import nbformat
import pytest
from repository import ROOT

from qafs_utils.make import lab

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


@pytest.fixture
def root(tmp_path):
    for folder in ("notebooks", "build/published/notebooks"):
        (tmp_path / folder).mkdir(parents=True)
        shutil.copy2(ROOT / "notebooks/03_qubo.ipynb", tmp_path / folder)
    return tmp_path


def seen(path):
    """A notebook's content as JupyterLab sends it after Run All."""
    content = json.loads(path.read_text())
    content["metadata"] |= {"language_info": {"name": "python", "version": "3.11.7"}, "widgets": {"state": {"a": 1}}}
    content["metadata"]["kernelspec"]["display_name"] = "Python 3 (ipykernel)"
    for number, cell in enumerate(content["cells"]):
        cell["metadata"] |= {
            "trusted": True,
            "scrolled": True,
            "jupyter": {"outputs_hidden": True},
            "execution": {"iopub.execute_input": "now"},
        }
        if cell["cell_type"] == "code":
            cell |= {"execution_count": number, "outputs": [nbformat.v4.new_output("stream", text="seen")]}
    return content


def saved(root, path, content):
    files = lab.Sources(root_dir=str(root))
    return asyncio.run(files.save({"type": "notebook", "format": "json", "content": content}, path))


def test_a_notebook_that_was_only_run_is_not_written(root):
    path = root / "notebooks/03_qubo.ipynb"
    before = path.read_bytes(), path.stat().st_mtime_ns
    answer = saved(root, "notebooks/03_qubo.ipynb", seen(path))
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert answer["name"] == path.name and answer["content"] is None and answer["last_modified"]


def test_what_a_person_writes_is_kept_and_nothing_else(root):
    path = root / "notebooks/03_qubo.ipynb"
    good, content = json.loads(path.read_text()), seen(path)
    content["cells"][1]["source"] = "".join(content["cells"][1]["source"]).replace("example = 0", "example = 1")
    content["cells"].append(nbformat.v4.new_code_cell("print(run)", id="mine"))
    saved(root, "/notebooks/03_qubo.ipynb", content)
    found = json.loads(path.read_text())
    assert found["metadata"] == good["metadata"] and len(found["cells"]) == len(good["cells"]) + 1
    differ = [new for new, old in zip(found["cells"], good["cells"]) if new != old]
    assert len(differ) == 1 and differ[0]["metadata"] == {"tags": ["parameters"]}
    assert "example = 1  # image shown" in "".join(differ[0]["source"])
    assert found["cells"][-1] == {
        "cell_type": "code",
        "execution_count": None,
        "id": "mine",
        "metadata": {},
        "outputs": [],
        "source": ["print(run)"],
    }


@pytest.mark.parametrize("path", ["build/published/notebooks/03_qubo.ipynb", "mine.ipynb", "notebooks/new/mine.ipynb"])
def test_other_notebooks_are_saved_with_their_outputs(root, path):
    (root / "notebooks/new").mkdir()
    saved(root, path, seen(root / "notebooks/03_qubo.ipynb"))
    assert '"seen"' in (root / path).read_text()


def test_a_new_notebook_is_saved(root):
    saved(root, "notebooks/13_topic.ipynb", seen(root / "notebooks/03_qubo.ipynb"))
    assert (root / "notebooks/13_topic.ipynb").read_bytes() == (root / "notebooks/03_qubo.ipynb").read_bytes()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_committed_notebooks_are_what_would_be_saved(path):
    content = lab.source(nbformat.read(path, 4))
    good = f"{nbformat.writes(content)}\n"
    assert good == path.read_text(encoding="utf-8"), "open it in `make lab`, run a cell and save it there"
