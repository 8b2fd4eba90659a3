"""Which code made a result: the hash of a notebook and of every module that computes or draws for it."""

import ast
import functools
import hashlib
import io
import json
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ELSEWHERE = ("annealing.gpu",)  # modules for other hardware, of which no committed result comes
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@functools.cache
def bare(source):
    '''Python source without comments, docstrings and blank lines: what decides the results. Strings stay as they are.

    >>> bare('def f():\\n    """One."""\\n\\n    return 1  # always\\n')
    'def f():\\n    return 1'
    '''
    lines = source.split("\n")  # as Python counts them: a form feed begins none
    inside = _within_strings(source)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            text = node.body[0]
            first, last = text.lineno - 1, text.end_lineno - 1
            before, after = lines[first].encode()[: text.col_offset], lines[last].encode()[text.end_col_offset :]
            lines[first : last + 1] = [""] * (last - first) + [before.decode() + after.decode().lstrip("; ")]
            inside -= set(range(first, last))
    kept = (line if row in inside else line.rstrip() for row, line in enumerate(lines) if row in inside or line.strip())
    return "\n".join(kept)


def _within_strings(source):
    """Rows (from 0) whose end lies within a string of several lines: blanks and blank lines count there."""
    rows, open_at = set(), []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind = tokenize.tok_name[token.type]
        if kind.endswith("STRING_START"):  # Python 3.12 and later take an f-string apart
            open_at.append(token.start[0])
        elif kind == "STRING" or kind.endswith("STRING_END"):
            first = token.start[0] if kind == "STRING" else open_at.pop()
            rows |= set(range(first - 1, token.end[0] - 1))
    return rows


@functools.cache
def imported(source, package=""):
    """What Python source imports of qafs_utils, or reaches through it  ->  frozenset of dotted names below qafs_utils.

    package: the folder of the source below qafs_utils, from which its relative imports start.

    >>> sorted(imported("import numpy, qafs_utils.require\\nfrom . import cpu\\nfrom ..qubo import binary", "annealing"))
    ['annealing.cpu', 'qubo.binary', 'require']
    >>> sorted(imported("import qafs_utils as q\\nq.explain(image)"))
    ['explain']
    """
    names, packages, tree = set(), set(), ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            above = ["qafs_utils", *filter(None, [package])][: 3 - node.level] if node.level else []
            path = ".".join([*above, *filter(None, [node.module])])
            names |= {f"{path}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
            packages |= {
                alias.asname or "qafs_utils"
                for alias in node.names
                if alias.name == "qafs_utils" or (alias.name.startswith("qafs_utils.") and not alias.asname)
            }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            path = ast.unparse(node).split(".")
            if path[0] in packages:
                names.add(".".join(["qafs_utils", *path[1:]]))
    return frozenset(name.removeprefix("qafs_utils.") for name in names if name.startswith("qafs_utils."))


def _module(name, root):
    """The module that holds a dotted name below qafs_utils: "qubo.binary.bits"  ->  "qubo.binary", None if there is none."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        if (root / "qafs_utils" / "/".join(parts[:count])).with_suffix(".py").exists():
            return ".".join(parts[:count])
    return None if (root / "qafs_utils" / parts[0]).is_dir() else "__init__"  # a name of the package itself


@functools.cache
def code_of_notebooks(root=ROOT):
    """{notebook: its code} of all in root/notebooks, in their order; magics and shell lines left out.

    >>> list(code_of_notebooks())[:2]
    ['00_quickstart', '01_fine_tuning']
    """
    found = {}
    for path in sorted((root / "notebooks").glob("[0-9]*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        lines = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code").splitlines()
        found[path.stem] = "\n".join(line for line in lines if not line.startswith(("%", "!")))
    return found


def image_notebooks(root=ROOT):
    """Numbers of the notebooks that read photographs: those whose own profile is "images".

    >>> image_notebooks()
    ('01', '02', '06', '12')
    """
    return tuple(name[:2] for name, code in code_of_notebooks(root).items() if '\nprofile = "images"' in f"\n{code}")


def modules(source, root=ROOT):
    """{name: source} of the qafs_utils modules that Python source rests on: imported, and imported by those in turn.

    Without those of ELSEWHERE.

    >>> sorted(modules("from qafs_utils.make import claims"))
    ['make.claims', 'require']
    """
    found, waiting = {}, {_module(name, root) for name in imported(source)}
    while waiting := waiting - found.keys() - {None, *ELSEWHERE}:
        name = waiting.pop()
        found[name] = (root / "qafs_utils" / name.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
        waiting |= {_module(other, root) for other in imported(found[name], name.rpartition(".")[0])}
    return found


def code_hash(notebook, root=ROOT):
    """SHA-256 (16 digits) of the code of root/notebooks/<notebook>.ipynb and of all modules it rests on.

    Without comments and docstrings, and without `artefacts`, which stores and does not compute. Taken from the
    text, not from Python's syntax tree, so that it is the same in every version of Python. None if there is no
    notebook of that name, or a cell of it is only half written.

    >>> len(code_hash("03_qubo")), code_hash("no_such_notebook")
    (16, None)
    """
    from IPython.core.inputtransformer2 import TransformerManager

    path = root / "notebooks" / f"{notebook}.ipynb"
    if not path.exists():
        return None
    cells = [c for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
    source = "".join(TransformerManager().transform_cell("".join(c["source"])) for c in cells)  # magics, if any
    try:
        bare(source)
    except (SyntaxError, tokenize.TokenError):  # somebody is at work on it, and may run the other cells
        return None
    sources = {"": source} | {k: v for k, v in modules(source, root).items() if not k.startswith("artefacts.")}
    text = "\n".join(f"# {name}\n{bare(sources[name])}" for name in sorted(sources))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
