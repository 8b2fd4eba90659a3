"""The hash of the code: what decides the results changes it, what cannot does not."""

import itertools
import json
import shutil

import pytest

from qafs_utils.artefacts import provenance
from qafs_utils.artefacts.provenance import bare, modules


def test_the_hash_of_the_code_ignores_what_cannot_change_results(tmp_path):
    for folder in ("notebooks", "qafs_utils"):
        shutil.copytree(provenance.ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))

    def changed(file, text):
        path = tmp_path / "qafs_utils" / file
        source = path.read_text()
        path.write_text(source + text)
        after = provenance.code_hash("04_annealing", tmp_path)
        path.write_text(source)
        return after != before

    before = provenance.code_hash("04_annealing", tmp_path)
    assert not changed("annealing/evolution.py", "\n\n# a comment\n")
    assert not changed("explanations/masks.py", "\n\nx = 1\n")  # 04 does not import it
    assert not changed("artefacts/run.py", "\n\nx = 1\n")  # stores, computes nothing
    assert not changed("annealing/gpu.py", "\n\nx = 1\n")  # of other hardware
    assert changed("annealing/cpu.py", "\n\nx = 1\n")  # imported by an import


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


@pytest.fixture
def package(tmp_path):
    """A package with every kind of import, in which `leaf` rests on nothing."""
    sources = {
        "__init__": "def __getattr__(name):\n    from .wing.top import explain\n    return explain",
        "leaf": "x = 1",
        "wing/__init__": "",
        "wing/beside": "from .. import leaf",
        "wing/top": "from . import beside",
        "wing/within": "def f():\n    from .beside import leaf\n    return leaf",
        "wing/deep/__init__": "",
        "wing/deep/below": "from ..beside import x as y, z",
        "annealing/gpu": "from ..wing import top",
        "annealing/either": "def f():\n    from . import gpu\n    return gpu",
        "all": "from .wing.beside import *",
    }
    for name, source in sources.items():
        path = tmp_path / "qafs_utils" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return tmp_path


@pytest.mark.parametrize(
    "source, rests_on",
    [
        ("import numpy\nnumpy.leaf", ""),
        ("import qafs_utils", ""),
        ("import qafs_utils.leaf", "leaf"),
        ("import qafs_utils.wing.beside as b\nb.leaf", "leaf wing.beside"),
        ("import qafs_utils.wing.beside\nqafs_utils.leaf.x", "leaf wing.beside"),
        ("import qafs_utils.leaf as a\nimport qafs_utils as q\nq.wing.beside.f(1)[0].g()", "leaf wing.beside"),
        ("from qafs_utils import leaf as a, wing as w", "leaf"),
        ("from qafs_utils import wing\nwing.beside.f(1)", "leaf wing.beside"),
        ("from qafs_utils import wing as w\nw.beside", "leaf wing.beside"),
        ("from qafs_utils.wing import (\n    beside,\n    top as t,\n)", "leaf wing.beside wing.top"),
        ("from qafs_utils.wing.beside import anything", "leaf wing.beside"),
        ("def f():\n    import qafs_utils.wing.within", "leaf wing.beside wing.within"),
        ("from qafs_utils.wing.deep import below", "leaf wing.beside wing.deep.below"),
        ("from qafs_utils import explain", "__init__ leaf wing.beside wing.top"),
        ("import qafs_utils\nqafs_utils.explain(1)", "__init__ leaf wing.beside wing.top"),
        ("import qafs_utils as q\nq.explain(1)", "__init__ leaf wing.beside wing.top"),
        ("from qafs_utils.annealing import either", "annealing.either"),
        ("from qafs_utils.annealing import gpu", ""),
        ("from qafs_utils import all", "all leaf wing.beside"),
    ],
)
def test_every_way_to_a_module_is_seen(package, source, rests_on):
    assert modules(source, package).keys() == set(rests_on.split())


def test_folders_hold_nothing_in_their_init_files():
    """What stands there would run with every import of the folder, unseen by the hash and by Make's graph."""
    inits = list((provenance.ROOT / "qafs_utils").glob("*/__init__.py"))
    assert len(inits) > 5 and not any(path.read_text() for path in inits)


def test_magics_and_shell_lines_are_left_out_but_not_text_that_looks_like_them(tmp_path):
    (tmp_path / "notebooks").mkdir()
    cells = [["%matplotlib inline\n", "x = 1\n", "!ls"], ['text = """\n', "% of all\n", "![a](b)\n", '"""']]
    notebook = {"cells": [{"cell_type": "code", "source": source} for source in cells]}
    (tmp_path / "notebooks/03_x.ipynb").write_text(json.dumps(notebook))
    assert provenance.code_of_notebooks(tmp_path) == {"03_x": 'x = 1\ntext = """\n% of all\n![a](b)\n"""'}


@pytest.mark.parametrize("cell", ["for x in", 'text = """', "  x = 1\n y = 2", "x = (1,"])
def test_a_half_written_cell_leaves_the_others_usable(tmp_path, cell):
    (tmp_path / "notebooks").mkdir()
    notebook = {"cells": [{"cell_type": "code", "source": [cell]}]}
    (tmp_path / "notebooks/03_qubo.ipynb").write_text(json.dumps(notebook))
    assert provenance.code_hash("03_qubo", tmp_path) is None
