"""The notebooks as web pages: executed ones with their outputs, the others marked; an index of all."""

import shutil

import nbformat
import pytest
from repository import ROOT, move_root

from qafs_utils.artefacts import files
from qafs_utils.make.pages import render


@pytest.fixture
def root(tmp_path, monkeypatch):
    move_root(monkeypatch, tmp_path)
    (tmp_path / "notebooks").mkdir()
    for name in ("02_feature_maps", "03_qubo"):
        shutil.copy(ROOT / "notebooks" / f"{name}.ipynb", tmp_path / "notebooks")
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures/fig99.png").write_bytes(b"png")
    (tmp_path / "figures/RECORDS.json").write_text('{"03_qubo": {"figures": {"fig99.png": "0", "fig99.pdf": "0"}}}')
    notebook = nbformat.read(tmp_path / "notebooks/03_qubo.ipynb", 4)
    code = [c for c in notebook.cells if c.cell_type == "code"][-1]
    states = [f"\rproofs: {i}/200" for i in range(201)] + ["\n"]
    bars = [nbformat.v4.new_output("stream", name="stderr", text=state) for state in states]
    code.outputs, code.execution_count = [nbformat.v4.new_output("stream", text="an output of 03\n"), *bars], 7
    said = nbformat.v4.new_output("display_data", {"text/markdown": "**Fig. 99.** What it shows."})
    notebook.cells.append(nbformat.v4.new_code_cell("Markdown(caption)", outputs=[said], metadata={"tags": ["text"]}))
    executed = tmp_path / "build/published/notebooks"
    executed.mkdir(parents=True)
    nbformat.write(notebook, executed / "03_qubo.ipynb")
    return tmp_path


def test_pages_and_index(root, capsys):
    render("published")
    pages = root / "build/html"
    executed, source = (pages / "03_qubo.html").read_text(), (pages / "02_feature_maps.html").read_text()
    assert "an output of 03" in executed and "Not run" not in executed and "In&nbsp;[" not in executed
    assert "What it shows." in executed and "Markdown(caption)" not in executed
    assert "proofs: 200/200" in executed and executed.count("proofs: ") == 1  # the last state of the bar
    assert "Not run with profile 'published'" in source and "MathJax" in source and source.count("<html") == 1
    index = (pages / "index.html").read_text()
    assert "03 · The selection problem" in index and "asks how much the choices that the paper leaves open" in index
    assert '<img src="figures/fig99.png"' in index and (pages / "figures/fig99.png").read_bytes() == b"png"
    assert index.count("(not run)") == 1
    for folder, content in (("records/03_qubo.json", '{"figures": {"fig99.png": "1"}}'), ("figures/fig99.png", "own")):
        path = root / "build/published" / folder
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    render("published")
    assert (pages / "figures/fig99.png").read_bytes() == b"own"  # what this run made comes first
    assert "not run with profile 'published': 02_feature_maps" in capsys.readouterr().out


@pytest.mark.parametrize(
    "file, remedy",
    [
        ("build/published/notebooks/03_qubo.ipynb", "run its notebook again"),
        ("notebooks/02_feature_maps.ipynb", "restore it with `git checkout notebooks`"),
        ("figures/RECORDS.json", "`git checkout figures` restores it"),
    ],
)
@pytest.mark.parametrize("content", [b"", b"{", b"\xff"])
def test_a_damaged_file_is_named_with_the_remedy(root, file, remedy, content):
    (root / file).write_bytes(content)
    with pytest.raises(files.ArtefactError, match=f"{file} is damaged: {remedy}"):
        render("published")
