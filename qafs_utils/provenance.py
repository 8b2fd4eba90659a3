"""Which code made a result: the hash of a notebook and of every module that computes or draws for it."""

import ast
import functools
import hashlib
import io
import json
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@functools.cache
def bare(source):
    '''Python source without comments, docstrings and blank lines: what decides the results.

    >>> bare('def f():\\n    """One."""\\n\\n    return 1  # always\\n')
    'def f():\\n    return 1'
    '''
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            first, last = node.body[0].lineno - 1, node.body[0].end_lineno
            lines[first:last] = [""] * (last - first)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    return "\n".join(line.rstrip() for line in lines if line.strip())


@functools.cache
def imported(source):
    """Names after qafs_utils that Python source imports: modules, and names from the package itself  ->  frozenset.

    >>> sorted(imported("import numpy\\nfrom qafs_utils import qubo, cams\\nfrom .run import Run"))
    ['cams', 'qubo', 'run']
    """
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            package, _, module = ("qafs_utils." * node.level + (node.module or "")).rstrip(".").partition(".")
            if package == "qafs_utils":
                names |= {module} if module else {alias.name for alias in node.names}
    return frozenset(names)


def modules(source, root=ROOT):
    """{name: source} of the qafs_utils modules that Python source rests on: imported, and imported by those in turn.

    >>> sorted(modules("from qafs_utils import claims"))
    ['claims']
    """
    found, waiting = {}, set(imported(source))
    while waiting:
        name = waiting.pop()
        module = root / "qafs_utils" / f"{name}.py"
        if module.exists():
            found[name] = module.read_text()
            waiting |= imported(found[name]) - found.keys()
    return found


def code_hash(notebook, root=ROOT):
    """SHA-256 (16 digits) of the code of root/notebooks/<notebook>.ipynb and of all modules it rests on.

    Without comments and docstrings, and without `run` and `provenance`, which store and do not compute. Taken from the
    text, not from Python's syntax tree, so that it is the same in every version of Python. None if there is no
    notebook of that name.

    >>> len(code_hash("03_qubo")), code_hash("no_such_notebook")
    (16, None)
    """
    from IPython.core.inputtransformer2 import TransformerManager

    path = root / "notebooks" / f"{notebook}.ipynb"
    if not path.exists():
        return None
    cells = [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]
    source = "".join(TransformerManager().transform_cell("".join(c["source"])) for c in cells)  # magics, if any
    sources = {"": source} | {k: v for k, v in modules(source, root).items() if k not in ("run", "provenance")}
    text = "\n".join(f"# {name}\n{bare(sources[name])}" for name in sorted(sources))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
