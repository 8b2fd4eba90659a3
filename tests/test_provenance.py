"""The hash of the code: what decides the results changes it, what cannot does not."""

import itertools
import json
import shutil

import pytest

from qafs_utils.artefacts import provenance
from qafs_utils.artefacts.provenance import bare, imported


def test_the_hash_of_the_code_ignores_what_cannot_change_results(tmp_path):
    for folder in ("notebooks", "qafs_utils"):
        shutil.copytree(provenance.ROOT / folder, tmp_path / folder)

    def changed(module, text):
        path = tmp_path / "qafs_utils" / f"{module}.py"
        source = path.read_text()
        path.write_text(source + text)
        after = provenance.code_hash("03_qubo", tmp_path)
        path.write_text(source)
        return after != before

    before = provenance.code_hash("03_qubo", tmp_path)
    assert not changed("qubo", "\n\n# a comment\n")
    assert not changed("metrics", "\n\nunrelated = 1\n")  # 03 does not import it
    assert not changed("run", "\n\nx = 1\n")  # stores, computes nothing
    assert changed("kernels", "\n\nx = 1\n")  # imported by an import


@pytest.mark.parametrize(
    "source, left",
    [
        ('def f():\n    """é"""; return 1\n', "def f():\n    return 1"),
        ('class A: "says so"  # why\n\n\nx = 1\n', "class A:\nx = 1"),
        (
            'def f():\n    """Says so.\n\n    At length."""\n    x = "# kept"  # dropped\n\n    return x\n',
            'def f():\n    x = "# kept"\n    return x',
        ),
        ("async def f():\n    'says so'\n    return 1\n", "async def f():\n    return 1"),
        ("x = 1\n\f\n# later\ny = 2  # why\n", "x = 1\ny = 2"),  # Python counts no line at a form feed
        ('x = ("a"  # why\n     "b")\n', 'x = ("a"\n     "b")'),
    ],
)
def test_what_is_left_of_a_source(source, left):
    assert bare(source) == left


TEXTS = [
    f'x = {prefix}"""a{middle}b"""\n'
    for prefix in ("", "f")
    for middle in ("\n", "\n\n", " \n", "\n \n", "\n# no comment\n", "\n\f\n", "{1}\n{2}\n\n")
]


@pytest.mark.parametrize("one, other", list(itertools.combinations(TEXTS, 2)))
def test_strings_that_differ_anywhere_are_told_apart(one, other):
    assert bare(one) != bare(other)
    for text in (one, other):
        before, after = {}, {}
        exec(text, before), exec(bare(text), after)
        assert before["x"] == after["x"]


@pytest.mark.parametrize(
    "source, modules",
    [
        ("from qafs_utils import explain\nimport qafs_utils.cams as c\nc.data", {"explanation", "cams"}),
        ("import qafs_utils\nqafs_utils.explain(1)", {"explanation"}),
        ("import qafs_utils as q\nq.cams.grad_cam(1)", {"cams"}),
        ("import qafs_utils.exact\nqafs_utils.qubo.field(1)", {"exact", "qubo"}),
        ("import numpy\nnumpy.qubo", set()),
    ],
)
def test_every_way_to_a_module_is_seen(source, modules):
    assert imported(source) == modules


@pytest.mark.parametrize("cell", ["for x in", 'text = """', "  x = 1\n y = 2", "x = (1,"])
def test_a_half_written_cell_leaves_the_others_usable(tmp_path, cell):
    (tmp_path / "notebooks").mkdir()
    notebook = {"cells": [{"cell_type": "code", "source": [cell]}]}
    (tmp_path / "notebooks/03_qubo.ipynb").write_text(json.dumps(notebook))
    assert provenance.code_hash("03_qubo", tmp_path) is None
