"""The site: built from two notebooks, it holds together, needs no network, and says what has not been run."""

import ast
import io
import re
import shutil
from html.parser import HTMLParser
from urllib.parse import unquote

import nbformat
import numpy as np
import pytest
from docutils.core import publish_doctree
from matplotlib.image import imsave
from repository import ROOT, move_root

from qafs_utils.artefacts import files
from qafs_utils.artefacts.files import ArtefactError
from qafs_utils.make import pages, site

MODULE = '''"""A small module: |x| and x_ of `code`, 2 * 3 ** 2, N_f."""

NAMES = ["a constant"]


def double(x: int, *more) -> int:
    """Twice x_, by *more and |x|.

    >>> double(2)
    4
    """
    return 2 * x
'''


class Addresses(HTMLParser):
    """What a page loads by itself, and what it links to."""

    def __init__(self, text):
        super().__init__()
        self.loaded, self.linked = set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.loaded |= {attributes[a] for a in ("src", "srcset", "data") if attributes.get(a)}
        if "href" in attributes:
            (self.loaded if tag == "link" else self.linked).add(attributes["href"])


def executed(root, name):
    """An executed copy of a notebook with an output, progress bars, a figure, its caption, mathematics and a widget."""
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4)
    new, output = nbformat.v4.new_code_cell, nbformat.v4.new_output
    bars = [output("stream", name="stderr", text=f"\rproofs: {i}/200") for i in range(201)]
    caption = output("display_data", {"text/markdown": "**Fig. 99.** A finding of $N_f=16$."})
    drawn = output("display_data", {"image/png": "iVBORw0KGgo="})
    widget = output("display_data", {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "VBox()"})
    notebook.cells += [
        new("print()", outputs=[output("stream", text="an output\n"), *bars, widget]),
        new('run.figure("fig99_test", figure)', outputs=[drawn]),
        new("Markdown(caption)", outputs=[caption], metadata={"tags": ["text"]}),
    ]
    nbformat.write(notebook, root / "build/published/notebooks" / f"{name}.ipynb")


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A repository of two notebooks, one of them run, with the pages of ours."""
    move_root(monkeypatch, tmp_path)
    for folder in ("notebooks", "figures", "benchmarks", "data", "docs", "qafs_utils", "build/published/notebooks"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copytree(ROOT / "site", tmp_path / "site")
    for file in (*site.PAGES.values(), site.CLAIMS, "data/references.bib", "notebooks/02_feature_maps.ipynb"):
        shutil.copy(ROOT / file, tmp_path / file)
    shutil.copy(ROOT / "notebooks/03_qubo.ipynb", tmp_path / "notebooks")
    for copy in [*(ROOT / "figures").glob("fig*.p*"), ROOT / "benchmarks/annealer.png"]:
        (tmp_path / copy.relative_to(ROOT)).symlink_to(copy)
    imsave(tmp_path / "figures/fig99_test.png", np.zeros((3, 5)))
    (tmp_path / "figures/fig99_test.pdf").write_bytes(b"%PDF-1.4")
    records = '{"02_feature_maps": {"figures": {"fig01_pipeline.png": ""}}}'
    (tmp_path / "figures/RECORDS.json").write_text(records)
    claims = (ROOT / "figures/table02_claims.csv").read_text().splitlines(keepends=True)
    (tmp_path / "figures/table02_claims.csv").write_text("".join(claims[:5]))
    (tmp_path / "qafs_utils/__init__.py").write_text('"""The package."""\n')
    (tmp_path / "qafs_utils/small.py").write_text(MODULE)
    executed(tmp_path, "03_qubo")
    monkeypatch.setattr(site.explorer, "data", lambda: {"models": {}})
    return tmp_path


def test_a_site_of_two_notebooks(root):
    readme = (root / "README.md").read_text()
    badge = "[![test](https://example.org/badge.svg)](https://example.org)"
    (root / "README.md").write_text(f"{readme}\n{badge}\n\nSee [the data](data/README.md), `03_qubo`.\n")
    site.render("published")
    target = root / "build/html"
    run, source = ((target / f"notebooks/{n}.html").read_text() for n in ("03_qubo", "02_feature_maps"))
    assert "an output" in run and "proofs:" not in run and "VBox()" not in run and "<details" in run
    assert "A finding of" in run and "Markdown(caption)" not in run
    assert "Not run here" in source and "Not run" not in run
    assert 'src="../figures/fig99_test.png" alt="Fig. 99. A finding of N_f=16." width="5" height="3"' in run
    assert (target / "figures/fig99_test.png").read_bytes() == (root / "figures/fig99_test.png").read_bytes()
    index = (target / "index.html").read_text()
    assert "badge.svg" not in index and '<a class="reference internal" href="data.html">' in index
    assert 'href="notebooks/03_qubo.html"' in index and 'href="explorer.html"' in index
    assert 'src="explorer-alone.html"' in (target / "explorer.html").read_text()
    for name in ("d_max_nf16", "d_max_nf24", "d_max_nf32", "d_varies"):
        page = (target / f"claims/{name}.html").read_text()
        assert f"make claim ID={name}" in re.sub("<[^>]*>", "", page) and 'class="verdict v-' in page
        assert f'href="{name}.html"' in (target / "claims/index.html").read_text()
    assert "A finding of" in (target / "gallery.html").read_text()
    reference = (target / "api/qafs_utils/small/index.html").read_text()
    words = re.sub(r"\s+", " ", re.sub("<[^>]*>", "", reference))
    assert "Twice x_, by *more and |x|." in words and "2 * 3 ** 2" in words and "a constant" not in words
    assert "Venturelli" in (target / "related.html").read_text()
    holds_together(target)


def test_a_notebook_that_reads_photographs_is_shown_as_it_was_published(root):
    executed(root, "02_feature_maps")
    run = root / "build/published/notebooks/02_feature_maps.ipynb"
    shutil.copy(run, root / "notebooks")
    files.PUBLISHED.mkdir(parents=True)
    run.rename(files.PUBLISHED / run.name)
    site.write_sources("published", root / "build/site")
    page = nbformat.read(root / "build/site/notebooks/02_feature_maps.ipynb", 4)
    assert "no photograph is shown" in page.cells[1].source
    assert any("an output" in str(cell.get("outputs")) for cell in page.cells)
    changed = nbformat.read(root / "notebooks/02_feature_maps.ipynb", 4)
    changed.cells[-1].source += " "
    nbformat.write(changed, root / "notebooks/02_feature_maps.ipynb")
    shutil.rmtree(root / "build/site")
    site.write_sources("published", root / "build/site")
    page = nbformat.read(root / "build/site/notebooks/02_feature_maps.ipynb", 4)
    assert "has changed since" in page.cells[1].source


def holds_together(target):
    """Every link inside leads to a file, and nothing is loaded from elsewhere."""
    for path in target.rglob("*.html"):
        found = Addresses(path.read_text())
        foreign = {a for a in found.loaded if re.match(r"(\w+:)?//", a)}
        assert not foreign, f"{path.name} loads {foreign}"
        inside = {a for a in found.loaded | found.linked if not re.match(r"\w+:|//|#", a)}
        inside = {unquote(re.sub(r"[?#].*", "", a)) for a in inside}
        assert [a for a in inside if a and not (path.parent / a).exists()] == [], path.name
    styles = "".join(path.read_text() for path in target.rglob("*.css"))
    assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", styles)
    page = (target / "notebooks/03_qubo.html").read_text()
    assert "tex-svg-full.js" in page and (target / "_static/tex-svg-full.js").stat().st_size > 1e6


def test_what_sphinx_warns_of_is_an_error(root, capfd):
    (root / "RELATED_WORK.md").write_text("# Related\n\n{nosuchrole}`x`\n")
    (root / "notebooks/02_feature_maps.ipynb").unlink()
    with pytest.raises(RuntimeError, match="the site was not built"):
        site.render("published")
    assert "nosuchrole" in capfd.readouterr().err and not (root / "build/html").exists()


def test_what_was_not_run_is_named_with_the_remedy(root):
    (root / "build/published/notebooks/03_qubo.ipynb").unlink()
    with pytest.raises(ArtefactError, match="^not run with profile 'published': 03_qubo: `make html` runs what is"):
        site.render("published")
    with pytest.raises(ArtefactError, match="'images': 02_feature_maps, 03_qubo: `make html INPUT=images` runs"):
        site.render("images")


def test_a_run_from_the_images_is_shown_while_its_code_is_that_of_now(root):
    source = nbformat.read(root / "notebooks/02_feature_maps.ipynb", 4)
    added = nbformat.v4.new_code_cell("profile = 'images'", metadata={"tags": ["injected-parameters"]})
    source.cells.insert(2, added)
    (root / "build/images/notebooks").mkdir(parents=True)
    nbformat.write(source, root / "build/images/notebooks/02_feature_maps.ipynb")
    assert site._executed("published")["02_feature_maps"][1] == ""
    source.cells[-1].source += "\n# other"
    nbformat.write(source, root / "build/images/notebooks/02_feature_maps.ipynb")
    assert "reads photographs" in site._executed("published")["02_feature_maps"][1]


@pytest.mark.parametrize(
    "file, remedy",
    [
        ("build/published/notebooks/03_qubo.ipynb", "run its notebook again"),
        ("notebooks/02_feature_maps.ipynb", "restore it with `git checkout notebooks`"),
        ("figures/RECORDS.json", "`git checkout figures` restores it"),
        ("figures/fig99_test.png", "`git checkout figures` restores it"),
        ("figures/table02_claims.csv", "restore it with `git checkout`"),
    ],
)
@pytest.mark.parametrize("content", [b"", b"\xff"])
def test_a_damaged_file_is_named_with_the_remedy(root, tmp_path, file, remedy, content):
    (root / file).write_bytes(content)
    with pytest.raises(files.ArtefactError, match=f"{file} is damaged: {remedy}|fig99_test.png is damaged"):
        site.write_sources("published", tmp_path / "new")


def test_without_sphinx_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(site.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        RuntimeError, match=r"the site needs Sphinx: install it with `pip install --editable '\.\[site\]'"
    ):
        site.render("published")


def test_every_notebook_has_its_group_and_every_statement_its_figure():
    numbers = [number for group in site.GROUPS.values() for number in group]
    assert len(numbers) == len(set(numbers)) and {p.name[:2] for p in (ROOT / "notebooks").glob("*.ipynb")} >= {
        *numbers
    }
    table = files.committed_table(ROOT / "figures" / "table02_claims.csv")
    own = {"05_minimum_gap": ["fig04_gap_histogram", "fig07_gap_scaling"], "06_fidelity": ["fig05_fidelity"]}
    shown = {row.id: pages.figure_of(row, own) for row in table.itertuples()}
    assert shown["gap_median_nf16"] == "fig04_gap_histogram" and shown["gap_exponent"] == "fig07_gap_scaling"
    assert shown["d_max_nf16"] == "fig05_fidelity" and shown["accuracy"] == ""


def test_paragraphs_and_lists_of_docstrings_are_such_to_sphinx():
    """A line that warns stops `make html`; the other signs are escaped (site/conf.py)."""
    wrong = []
    for path in sorted((ROOT / "qafs_utils").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and (said := ast.get_docstring(node)):
                warned = io.StringIO()
                publish_doctree(said, settings_overrides={"report_level": 2, "warning_stream": warned})
                if re.search("indent|[Bb]lock quote|list ends", warned.getvalue()):
                    wrong.append((path.name, getattr(node, "name", ""), warned.getvalue()))
    assert not wrong
