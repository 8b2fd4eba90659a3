"""The hash of the code: what decides the results changes it, what cannot does not."""

import ast
import itertools
import json
import os
import shutil
import subprocess
import sys

import pytest

from qafs_utils.artefacts import provenance
from qafs_utils.artefacts.definitions import bare
from qafs_utils.artefacts.provenance import hash_of, modules, reached


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
    assert not changed("annealing/evolution.py", "\n\ndef unused():\n    return 1\n")
    assert not changed("explanations/masks.py", "\n\nprint(1)\n")  # 04 does not import it
    assert not changed("artefacts/run.py", "\n\nprint(1)\n")  # stores, computes nothing
    assert not changed("annealing/gpu.py", "\n\nprint(1)\n")  # of other hardware
    assert changed("annealing/cpu.py", "\n\nCOMPONENTS = {}\n")  # imported by an import
    assert changed("annealing/cpu.py", "\n\nprint(1)\n")


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
    return written(tmp_path, sources)


def written(root, sources):
    """A package of these files, without ".py", below root  ->  root."""
    for name, source in sources.items():
        path = root / "qafs_utils" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return root


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


NOTEBOOK = "from qafs_utils.wing import table as t\nt.SOLVERS['slow']().solve(1)\n"
SOURCES = {
    "__init__": "def __getattr__(name):\n    from .lazy import explain\n\n    return explain\n",
    "lazy": "def explain():\n    return 1\n",
    "leaf": '''"""Says so."""

import numpy as np
from torch.nn import functional as F

LIMIT = 3  # of something
LOW, HIGH = 1, 2
UNUSED = 4


def unused():
    return LIMIT


class Base:
    """Says so."""

    def bounded(self, x):
        return np.minimum(F.relu(x), LIMIT)
''',
    "wing/one": "def f():\n    return 1\n",
    "wing/two": "def f():\n    return 2\n",
    "wing/solvers": """
from collections import Counter

from .. import leaf
from ..leaf import Base as _B
from . import one as _one
from .two import f as second


def fast(x):
    from ..leaf import HIGH as high

    return high + second()


@_one.f
class Solver(_B):
    def solve(self, x):
        return leaf.LOW


SOLVERS = {"fast": fast, "slow": Solver}
NAMES = []
NAMES.append(Counter())
if SOLVERS:
    STATE = prepared = 0
""",
    "wing/table": "from .solvers import SOLVERS\n",
}
CHANGES = [  # file, what stands there, what then stands there
    [("leaf", "F.relu(x)", "F.gelu(x)")],
    [("leaf", "LIMIT = 3", "LIMIT = 5")],  # a constant that a base class under another name reads
    [("leaf", "LIMIT = 3", "LIMIT = 3\nLIMIT += 1")],
    [("leaf", "LIMIT = 3", "LIMIT = 3\nLIMIT = 4")],
    [("leaf", "LOW, HIGH = 1, 2", "LOW, HIGH = 1, 3")],
    [("leaf", "class Base:", "print(UNUSED)\n\n\nclass Base:")],
    [("leaf", "class Base:", "def __getattr__(name):\n    return unused\n\n\nclass Base:")],
    [("leaf", "from torch.nn import functional as F", "from torch.fft import functional as F")],
    [("leaf", "from torch.nn import functional as F", "try:\n    import F\nexcept ImportError:\n    F = None")],
    [("wing/one", "1", "3")],  # a decorator
    [("wing/two", "2", "3")],  # known by another name, mentioned by a value of the table
    [("wing/solvers", "    return high", "    return 1 + high")],
    [("wing/solvers", '"slow": Solver', '"slow": fast')],
    [("wing/solvers", "(Counter())", "(Counter)")],
    [("wing/solvers", "from collections import Counter", "from collections import deque as Counter")],
    [("wing/solvers", "prepared = 0", "prepared = 1")],
    [("wing/solvers", "import HIGH as high", "import LOW as high")],  # both are reached, before and after
    [("wing/solvers", "from .two import", "from .one import")],  # so are both of this name
    [("wing/table", "import SOLVERS", "import SOLVERS\n\nSOLVERS = SOLVERS | {}")],
]
NO_CHANGES = [
    [("leaf", "return LIMIT\n", "return 1\n")],
    [("leaf", "UNUSED = 4", "UNUSED = 5")],
    [("leaf", "3  # of something", "3  # of something else")],
    [("leaf", "Says so", "Says more")],
    [("leaf", "import numpy as np\n", "")]
    + [("leaf", "        return np", "        import numpy as np\n\n        return np")],
    [("leaf", "import numpy as np\n", "import os\nimport numpy as np, re\n")],
    [("leaf", "from torch.nn import functional as F", "import torch.nn.functional as F")],
    [("lazy", "1", "2")],
    [("wing/table", "from .solvers", "from qafs_utils.wing.solvers")],
    [("wing/solvers", "from ..leaf import Base as _B", "from ..leaf import Base as _B\nfrom ..lazy import explain")],
    [("leaf", "LIMIT = 3  # of something\n", "from .moved import LIMIT\n"), ("moved", "", "LIMIT = 3\n")],
    [  # with all that it mentions
        ("wing/solvers", "\n\ndef fast(x):\n    from ..leaf import HIGH as high\n\n    return high + second()\n", ""),
        ("wing/solvers", "from .two import f as second\n", "from ..moved import fast\n"),
        ("moved", "", "from .leaf import HIGH as high\nfrom .wing.two import f as second\n"),
        ("moved", "second\n", "second\ndef fast(x):\n    return high + second()\n"),
    ],
]


def changed(root, changes):
    """Whether the hash of NOTEBOOK in the package of SOURCES is another one after these changes."""
    sources = dict(SOURCES)
    for file, old, new in changes:
        assert old in sources.setdefault(file, "")
        sources[file] = sources[file].replace(old, new, 1)
    before, after = written(root / "before", SOURCES), written(root / "after", sources)
    return hash_of(NOTEBOOK, before) != hash_of(NOTEBOOK, after)


@pytest.mark.parametrize("changes", CHANGES)
def test_what_can_change_results_changes_the_hash(tmp_path, changes):
    assert changed(tmp_path, changes)


@pytest.mark.parametrize("changes", NO_CHANGES)
def test_what_cannot_change_results_does_not_change_the_hash(tmp_path, changes):
    assert not changed(tmp_path, changes)


def test_every_version_of_python_makes_the_same_hash(tmp_path):
    code = (
        'from qafs_utils.leaf import Base\nprint(f"{Base.bounded!r:>{9}} # x", f"""{1}\n # y {f\'{2}\'}\n\n""")  # z\n'
    )
    assert hash_of(code, written(tmp_path, SOURCES)) == "0e2b29abfbc88f20"


@pytest.mark.parametrize(
    "source, names",
    [
        ("from qafs_utils.wing import one", ""),  # not mentioned
        ("from qafs_utils.wing import one\none.f()", "wing.one. wing.one.f"),
        ("from qafs_utils.leaf import UNUSED as u\nf'{u}'", "leaf. leaf.UNUSED"),
        ("from qafs_utils import leaf\nleaf.unused.__name__", "leaf. leaf.unused leaf.LIMIT"),
        ("import qafs_utils.wing.one\nqafs_utils.wing.one.f()", "wing.one. wing.one.f"),
        ("import qafs_utils as q\nq.wing.two.f()", "wing.two. wing.two.f"),
        ("from qafs_utils import lazy\ngetattr(lazy, 'explain')", "lazy. lazy.explain"),
        ("from qafs_utils.wing.one import *\nf()", "wing.one. wing.one.f"),
        ("from qafs_utils import explain\nexplain()", "__init__. __init__.__getattr__ lazy. lazy.explain"),
        ("import qafs_utils as q\nq.explain()", "__init__. __init__.__getattr__ lazy. lazy.explain"),
        ("from qafs_utils import wing\nwing", ""),
    ],
)
def test_every_way_to_a_definition_is_followed(tmp_path, source, names):
    assert reached(source, written(tmp_path, SOURCES)).keys() == {"", *names.split()}


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


TRACE = """
import json, sys, threading
from pathlib import Path

import qafs_utils

ROOT, ran = Path(qafs_utils.__file__).parent, set()


def note(frame, event, argument):
    code = frame.f_code
    if event == "call" and code.co_filename.startswith(str(ROOT)):
        module = ".".join(Path(code.co_filename).relative_to(ROOT).with_suffix("").parts)
        while frame:  # what an import calls does not come from the source
            if frame.f_code.co_name == "<module>" and frame.f_code.co_filename.startswith(str(ROOT)):
                return
            frame = frame.f_back
        ran.add((module, code.co_qualname.split(".")[0], code.co_firstlineno))


sources, found = json.load(sys.stdin), []
exec("\\n".join(line for source in sources for line in source.split("\\n") if "import" in line))
for source in sources:
    ran.clear()
    threading.setprofile(note), sys.setprofile(note)
    exec(source, {})
    sys.setprofile(None)
    found.append(sorted(ran))
print("\\n" + json.dumps(found))
"""
PROBLEMS = """
import numpy as np
from qafs_utils.qubo import binary, feature_selection
rng = np.random.default_rng(0)
problems = feature_selection.problems(rng.random((3, 5, 4, 4)), rng.random((3, 5)))
"""
RUN = {  # notebook: what it does, in small
    "12_optimality": """
from qafs_utils.solvers import by_name
by_name.solve_all(problems, "exact")
""",
    "05_minimum_gap": """
from qafs_utils.annealing import instances
instances.gaps(instances.of_images({5: problems[:2]}, [0, 1]), tolerance=1e-3)
""",
    "06_fidelity": """
from qafs_utils.annealing import evolution
evolution.anneal(binary.energies(problems[0].bqm()))
""",
}


def defined(module, name, row):
    """What defines a function that ran, as "module.name": a lambda's is the statement that holds it."""
    if name.startswith("<"):
        body = ast.parse((provenance.ROOT / f"qafs_utils/{module.replace('.', '/')}.py").read_text()).body
        name = next(node for node in body if node.lineno <= row <= node.end_lineno).targets[0].id
    return f"{module}.{name}"


@pytest.fixture(scope="module")
def ran():
    """{notebook: what ran of qafs_utils} in RUN; the compiled loops, too, which Python runs itself here."""
    done = subprocess.run(
        [sys.executable, "-c", TRACE],
        input=json.dumps([PROBLEMS + source for source in RUN.values()]),
        capture_output=True,
        text=True,
        env=os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(provenance.ROOT)},
    )
    assert not done.returncode, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    return {notebook: {defined(*calls) for calls in called} for notebook, called in zip(RUN, found, strict=True)}


@pytest.mark.parametrize(
    "notebook, among",
    [
        ("12_optimality", "solvers.by_name._Checked solvers.branch_and_bound.ExactSampler qubo.binary.require_model"),
        ("05_minimum_gap", "annealing.cpu._hamiltonian annealing.gap_search.GapSearch annealing.schedules.SCHEDULES"),
        ("06_fidelity", "annealing.evolution.anneal annealing.cpu_rotations.evolve"),
    ],
)
def test_what_runs_is_reached(ran, notebook, among):
    assert set(among.split()) <= ran[notebook] <= reached(PROBLEMS + RUN[notebook]).keys()
    assert ran[notebook] <= reached(provenance.code_of_notebooks()[notebook]).keys()


def test_what_larger_problems_run_is_reached():
    """The loops of more than six qubits are written in LLVM's terms, and no trace sees them."""
    loops = {"cpu._lanczos", "cpu._product", "cpu._flips_row", "cpu._subtract", "simd.flips_block", "simd.BLOCK"}
    found = reached("from qafs_utils.annealing import spectrum\nspectrum.minimum_gap(energies)").keys()
    assert {f"annealing.{name}" for name in loops} | {"annealing.simd._FLAGS", "compiled.njit"} <= found
