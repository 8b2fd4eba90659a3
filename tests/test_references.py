"""Works are cited by the keys of data/references.bib: each key named is there, and each work there is named."""

import ast
import json
import re
import tokenize

import pytest
from repository import ROOT

KEY = r"\b[a-z]+(?:19|20)\d\d[a-z][a-z0-9]*\b"  # first author, year, one word
BIB = (ROOT / "data/references.bib").read_text()
ENTRY = re.compile(r"^@\w+\{(\w+),\n(?:  \w+ = \{.*\},\n)+\}$", flags=re.M)
ENTRIES = {found[1]: found[0] for found in ENTRY.finditer(BIB)}


def prose(path):
    """What a file says to its reader: a page, the markdown of a notebook, docstrings and comments of a module."""
    if path.suffix == ".md":
        return path.read_text()
    if path.suffix == ".ipynb":
        cells = json.loads(path.read_text())["cells"]
        return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    with tokenize.open(path) as lines:
        said = [token.string for token in tokenize.generate_tokens(lines.readline) if token.type == tokenize.COMMENT]
    nodes = ast.walk(ast.parse(path.read_text()))
    said += [ast.get_docstring(n) or "" for n in nodes if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef)]
    return "\n".join(said)


PAGES = [ROOT / "RELATED_WORK.md", ROOT / "README.md", ROOT / "data/README.md", *sorted((ROOT / "docs").glob("*.md"))]
READ = [*PAGES, *sorted((ROOT / "notebooks").glob("*.ipynb")), *sorted((ROOT / "qafs_utils").rglob("*.py"))]
CITED = {str(path.relative_to(ROOT)): set(re.findall(KEY, prose(path))) for path in READ}


def test_keys_are_found_in_each_kind_of_file():
    assert "venturelli2026annealing" in CITED["RELATED_WORK.md"]
    assert "simonsohn2020specification" in CITED["notebooks/17_specifications.ipynb"]
    assert "selvaraju2017gradcam" in CITED["qafs_utils/conventions.py"]  # in a comment
    assert "fu2020xgradcam" in CITED["qafs_utils/explanations/more_cams.py"]  # in a docstring


def test_every_key_named_is_in_the_references():
    unknown = {path: keys - set(ENTRIES) for path, keys in CITED.items()}
    assert not {path: keys for path, keys in unknown.items() if keys}, "no such key in data/references.bib"


def test_every_work_in_the_references_is_cited_somewhere():
    assert set(ENTRIES) == set().union(*CITED.values())


def test_the_references_have_no_other_lines_and_no_key_twice():
    keys = re.findall(r"^@\w+\{(.*),$", BIB, flags=re.M)
    assert keys == list(ENTRIES), "an entry is twice, or not of the form `  field = {value},` a line"
    rest = ENTRY.sub("", BIB)
    assert all(not line or line.startswith("%") for line in rest.splitlines())


@pytest.mark.parametrize("key", ENTRIES)
def test_an_entry_says_who_what_when_and_where(key):
    fields = dict(re.findall(r"^  (\w+) = \{(.*)\},$", ENTRIES[key], flags=re.M))
    assert {"author", "title", "year"} <= set(fields) and {"doi", "eprint", "url"} & set(fields)
    assert re.fullmatch(KEY, key) and fields["year"] in key
    assert all(value.count("{") == value.count("}") for value in fields.values())
    assert re.fullmatch(r"10\.\d{4,}/\S+", fields.get("doi", "10.1000/x"))
    assert re.fullmatch(r"\d{4}\.\d{4,5}|[a-z-]+/\d{7}", fields.get("eprint", "2604.25649"))
    assert ("eprint" in fields) == (fields.get("archivePrefix") == "arXiv")
