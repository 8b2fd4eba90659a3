"""The notebooks as files, and the Make graph that is read off them."""

import ast
import re

import nbformat
import pytest
from repository import ROOT

from qafs_utils.artefacts.parameters import PROFILES, defaults, overrides
from qafs_utils.make import graph

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
OVERRIDES = sorted((ROOT / "params").glob("*/*.yaml"))
LISTS = ("append", "extend", "insert", "pop", "remove", "sort", "reverse", "clear")
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def code_of(path):
    return [c.source for c in nbformat.read(path, 4).cells if c.cell_type == "code"]


@each_notebook
def test_committed_without_outputs(path):
    cells = nbformat.read(path, 4).cells
    assert not any(c.get("outputs") or c.get("execution_count") for c in cells)
    assert len(cells) <= 40


@each_notebook
def test_parameters_are_literals_with_a_profile(path):
    assert defaults(path.stem)["profile"] in PROFILES


def stored(tree):
    """(names that code gives a value of its own, names that it adds to with +=)."""
    names = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    added = {id(node.target) for node in ast.walk(tree) if isinstance(node, ast.AugAssign)}
    return {n.id for n in names if id(n) not in added}, {n.id for n in names if id(n) in added}


@each_notebook
def test_no_parameter_is_given_another_value(path):
    """Cells can be run again, in a kernel that ran them before, and a record keeps what was asked for."""
    _, *others = (ast.parse(source) for source in code_of(path))
    assert not any(names & defaults(path.stem).keys() for tree in others for names in stored(tree))


@each_notebook
def test_no_cell_adds_to_the_list_of_another(path):
    for source in code_of(path)[1:]:
        tree = ast.parse(source)
        own, _ = stored(tree)
        calls = [n.func for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)]
        changed = {f.value.id for f in calls if f.attr in LISTS and isinstance(f.value, ast.Name)} - {"np"}
        changed |= {
            n.target.id
            for n in ast.walk(tree)
            if isinstance(n, ast.AugAssign) and isinstance(n.op, ast.Add) and isinstance(n.target, ast.Name)
        }
        assert changed <= own, source


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
def test_every_artefact_read_is_in_the_graph(path):
    """What is loaded begins with a literal number, so that the graph sees whose it is."""
    code = "\n".join(code_of(path))
    loads = re.findall(r"run\.load(?:_table)?\(([^)]*)", code)
    assert all(re.match(r"""f?["']\d\d_""", argument) for argument in loads), loads
    stamps = re.findall(r"build/images/notebooks/(\d\d)", graph.rule("images", path.stem))
    assert set(stamps) == {path.stem[:2]} | {re.search(r"\d\d", argument)[0] for argument in loads}


def test_the_graph_sees_imports_tables_and_published_artefacts():
    rules = dict(line.split(": ", 1) for line in graph.graph().splitlines() if line.startswith("build/"))
    assert len(rules) == 3 * len(NOTEBOOKS)
    assert set(rules["build/published/notebooks/16_claims.ipynb"].split()) == {
        "notebooks/16_claims.ipynb",
        "$(wildcard",
        "params/published/16_claims.yaml)",
        "data/paper_values/*.csv)",
        "qafs_utils/paper.mplstyle",
        "data/published/SHA256SUMS",
        *(f"qafs_utils/{name}.py" for name in ("claims", "data", "metrics", "plots", "provenance", "require", "run")),
        *(
            f"build/published/notebooks/{name}.ipynb"
            for name in (
                "03_qubo",
                "04_annealing",
                "05_gap_and_fidelity",
                "09_average_drop",
                "10_bhattacharyya",
                "12_optimality",
            )
        ),
    }
    assert "benchmarks/*.csv)" in rules["build/smoke/notebooks/12_optimality.ipynb"]
    assert "data/published" not in rules["build/images/notebooks/16_claims.ipynb"]
