"""The notebooks as files, and the Make graph that is read off them."""

import ast
import re

import nbformat
import pytest
from repository import ROOT

from qafs_utils.artefacts import definitions
from qafs_utils.artefacts.parameters import PROFILES, defaults, overrides
from qafs_utils.artefacts.provenance import code_of_notebooks
from qafs_utils.artefacts.run import Artefacts
from qafs_utils.make import graph

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
OVERRIDES = sorted((ROOT / "params").glob("*/*.yaml"))
LISTS = ("append", "extend", "insert", "pop", "remove", "sort", "reverse", "clear")
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


CELLS_AT_MOST, LINES_AT_MOST, LINES_IN_A_CELL = 30, 130, 15


def code_of(path):
    return [c.source for c in nbformat.read(path, 4).cells if c.cell_type == "code"]


def tagged(cell, tag):
    return tag in cell.metadata.get("tags", [])


def said(cell):
    """The text of a Markdown cell, or of a cell tagged `text`: Markdown(f\"\"\"...\"\"\")."""
    if cell.cell_type == "markdown":
        return cell.source
    return re.sub(r'^Markdown\(\s*f?r?"""|"""\s*\)$', "", cell.source) if tagged(cell, "text") else ""


def length(source):
    """Lines of code: without blank ones and comments."""
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in source.splitlines())


@each_notebook
def test_committed_without_outputs(path):
    cells = nbformat.read(path, 4).cells
    assert not any(c.get("outputs") or c.get("execution_count") for c in cells)


@each_notebook
def test_notebooks_are_short(path):
    """Long ones have their computations in the package, or are two."""
    cells = nbformat.read(path, 4).cells
    code = [c.source for c in cells if c.cell_type == "code" and not (tagged(c, "parameters") or tagged(c, "text"))]
    lengths = [length(source) for source in code if not source.startswith(("import ", "from "))]
    assert len(cells) <= CELLS_AT_MOST and max(lengths) <= LINES_IN_A_CELL and sum(lengths) <= LINES_AT_MOST, lengths


@each_notebook
def test_texts_are_one_expression(path):
    for cell in nbformat.read(path, 4).cells:
        if tagged(cell, "text"):
            (statement,) = ast.parse(cell.source).body
            assert isinstance(statement, ast.Expr) and ast.unparse(statement.value.func) == "Markdown", cell.source


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
    last = said(cells[-1])
    assert last.startswith("## What we found") and len(last) > 200
    assert any("assert " in source for source in code_of(path))
    code = "\n".join(code_of(path))
    assert not re.search(r"\bif smoke\b|profile ==", code)
    assert "run.figure(" not in code or "plt.style.use(STYLE)" in code, "its figures need plt.style.use(STYLE)"


@each_notebook
def test_what_it_publishes_has_a_row_in_the_list_of_figures(path):
    code, page = "\n".join(code_of(path)), (ROOT / "docs/figures.md").read_text()
    for name in re.findall(r'run\.(?:figure|table)\(\s*"((?:fig|table)\w+)"', code):
        rows = [line for line in page.splitlines() if line.startswith("| ") and f"`{path.stem}`" in line]
        assert any(re.match(rf"| .*`{name.split('_')[0]}_", row) for row in rows), name


@each_notebook
def test_every_figure_has_a_caption(path):
    """The first text after it."""
    cells = nbformat.read(path, 4).cells
    for place, cell in enumerate(cells):
        for number in re.findall(r'run\.figure\(\s*"fig(\w\d)_', cell.source) if cell.cell_type == "code" else ():
            caption = next(filter(None, map(said, cells[place + 1 :])))
            assert caption.startswith(f"**Fig. {number.removeprefix('0')}.** "), caption[:80]


@each_notebook
def test_every_answer_names_what_its_interval_resamples(path):
    """`unit`, in the call itself or in a dict that is handed to it."""
    code = "\n".join(code_of(path))
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "claim":
            names = {keyword.arg for keyword in node.keywords}
            given = {ast.unparse(keyword.value) for keyword in node.keywords if keyword.arg is None}
            dicts = re.findall(r"(\w+) \|?= .*[\"']unit[\"']", code)
            assert "unit" in names or given & set(dicts), ast.unparse(node)


def test_every_answer_to_the_paper_is_joined():
    """That each statement has one answer, 23 itself demands."""
    calls = {name: graph.calls(code) for name, code in code_of_notebooks().items()}
    answering = {name: called["claim"] for name, called in calls.items() if "claim" in called}
    answers, known = [answer for found in answering.values() for answer in found], Artefacts("smoke").paper("claims").id
    assert all(known.str.startswith(answer).any() for answer in answers) and len(answers) == len(set(answers))
    joined = {name[:2] for name in calls["23_claims"]["load_table"] if name.endswith("_claims")}
    assert joined == {name[:2] for name in answering}


@pytest.mark.parametrize("path", OVERRIDES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_parameter_files_are_known_and_typed(path):
    assert overrides(path.stem, path.parent.name)


@each_notebook
def test_every_artefact_read_is_in_the_graph(path):
    """What is loaded begins with a literal number, so that the graph sees whose it is."""
    sources = code_of_notebooks()
    loads = re.findall(r"run\.load(?:_table)?\(\s*([^)]*)", sources[path.stem])
    assert all(re.match(r"""f?["']\d\d_""", argument) for argument in loads), loads
    stamps = re.findall(r"build/images/notebooks/(\d\d)", " ".join(graph.needs(path.stem, "images", sources)))
    assert set(stamps) == {re.search(r"\d\d", argument)[0] for argument in loads} - {path.stem[:2]}


def test_the_graph_sees_imports_tables_and_published_artefacts():
    rules = dict(line.split(": ", 1) for line in graph.graph().splitlines() if line.startswith("build/"))
    assert len(rules) == 3 * len(NOTEBOOKS)
    needed = set(rules["build/published/notebooks/23_claims.ipynb"].split())
    assert needed >= {
        "notebooks/23_claims.ipynb",
        "$(wildcard",
        "params/published/23_claims.yaml)",
        "data/paper_values/*.csv)",
        "data/published/SHA256SUMS",
        "build/published/notebooks/03_qubo.ipynb",
        "qafs_utils/plots/paper.mplstyle",
    }
    assert {name for name in needed if name.endswith(".py")} == {
        f"qafs_utils/{name}.py"
        for name in (
            "artefacts/answers",
            "artefacts/definitions",
            "artefacts/files",
            "artefacts/parameters",
            "artefacts/provenance",
            "artefacts/run",
            "make/claims",
            "plots/claims",
            "plots/style",
            "require",
        )
    }
    assert "benchmarks/*.csv)" in rules["build/smoke/notebooks/13_solvers.ipynb"]
    assert "data/published" not in rules["build/images/notebooks/23_claims.ipynb"]


def test_wings_import_only_from_those_before_them():
    order = (
        "require_pytorch",  # of the package itself, which imports nothing before it is asked
        "require",
        "compiled",
        "intervals",
        "conventions",
        "artefacts",
        "cnn",
        "qubo",
        "annealing",
        "solvers",
        "plots",
    )
    order = (*order, "explanations", "adapters", "make")
    for path in (ROOT / "qafs_utils").rglob("*.py"):
        *folder, name = path.relative_to(ROOT / "qafs_utils").with_suffix("").parts
        if name in ("__init__", "__main__"):
            continue
        wing = (folder or [name])[0]
        others = {taken.split(".")[0] for taken in definitions.imported(path.read_text(), ".".join(folder))}
        assert all(order.index(other) <= order.index(wing) for other in others), path
