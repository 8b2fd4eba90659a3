"""Which code made a result: the hash of a notebook and of every module that computes or draws for it."""

import ast
import functools
import hashlib
import io
import json
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROFILES = {
    "published": "starts from the committed outcome of the image-reading notebooks",
    "images": "everything from STL-10 and the ImageNet weights",
    "smoke": "synthetic images and a random trunk: minutes, never for results",
}
ELSEWHERE = ("annealing.gpu",)  # modules for other hardware, of which no committed result comes
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@functools.cache
def bare(source: str) -> str:
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
def imported(source: str, package: str = "") -> frozenset[str]:
    """What Python source takes from qafs_utils, by import or as an attribute  ->  set of dotted names below qafs_utils.

    package: the folder of the source below qafs_utils, from which its relative imports start.

    >>> sorted(imported("import qafs_utils.require\\nfrom . import cpu\\nfrom ..qubo import binary", "annealing"))
    ['annealing.cpu', 'qubo.binary', 'require']
    >>> sorted(imported("import qafs_utils as q\\nq.explain(image)"))
    ['explain']
    """
    bound, paths = {}, set()  # {local name: what it stands for}
    nodes = list(ast.walk(ast.parse(source)))
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            folder = ["qafs_utils", *package.split(".")] if package else ["qafs_utils"]
            above = folder[: len(folder) + 1 - node.level] if node.level else []
            for alias in node.names:
                bound[alias.asname or alias.name] = path = ".".join(filter(None, [*above, node.module, alias.name]))
                paths.add(path)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                paths.add(alias.name)
                bound[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
    for name, *attributes in filter(None, map(_dotted, nodes)):
        paths.add(".".join([bound.get(name, name), *attributes]))
    return frozenset(path.removeprefix("qafs_utils.") for path in paths if path.startswith("qafs_utils."))


def _dotted(node):
    """["a", "b", "c"] of the expression a.b.c, [] of any other."""
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [node.id, *reversed(names)] if names and isinstance(node, ast.Name) else []


def _module(name, root):
    """The module that holds a dotted name below qafs_utils: "qubo.binary.bits"  ->  "qubo.binary", None of a folder."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        if _file(".".join(parts[:count]), root).exists():
            return ".".join(parts[:count])
    return None if (root / "qafs_utils" / parts[0]).is_dir() else "__init__"  # a name of the package itself


def _file(module, root):
    return (root / "qafs_utils" / module.replace(".", "/")).with_suffix(".py")


def code_of_notebooks(root: Path = ROOT) -> dict[str, str]:
    """{notebook: its code} of all in root/notebooks, in their order; magics and shell lines left out.

    >>> list(code_of_notebooks())[:2]
    ['00_quickstart', '01_fine_tuning']
    """
    return {path.stem: _code(path) for path in sorted((root / "notebooks").glob("[0-9]*.ipynb"))}


def _code(notebook):
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return "\n".join(_python("".join(c["source"])) for c in cells if c["cell_type"] == "code")


def _python(cell):
    try:
        ast.parse(cell)
    except SyntaxError:
        return "\n".join(line for line in cell.split("\n") if not line.startswith(("%", "!")))
    return cell


def reads_images(code: str) -> bool:
    """Whether a notebook reads photographs: its own profile is then "images".

    >>> reads_images('profile = "published"\\nbeta = 0.7')
    False
    """
    return '\nprofile = "images"' in f"\n{code}"


def modules(source: str, root: Path = ROOT) -> dict[str, str]:
    """{name: source} of the qafs_utils modules that Python source rests on: imported, and imported by those in turn.

    Without those of ELSEWHERE.

    >>> sorted(modules("from qafs_utils.make import claims"))
    ['artefacts.answers', 'make.claims', 'require']
    """
    found, waiting = {}, {_module(name, root) for name in imported(source)}
    while waiting := waiting - found.keys() - {None, *ELSEWHERE}:
        name = waiting.pop()
        found[name] = _file(name, root).read_text(encoding="utf-8")
        waiting |= {_module(other, root) for other in imported(found[name], name.rpartition(".")[0])}
    return found


def code_hash(notebook: str, root: Path = ROOT) -> str | None:
    """SHA-256 (16 digits) of the code of root/notebooks/<notebook>.ipynb and of all modules it rests on.

    Without comments and docstrings, and without `artefacts`, which stores and does not compute. Taken from the
    text, not from Python's syntax tree, so that it is the same in every version of Python. None if there is no
    notebook of that name, or a cell of it is only half written.

    >>> len(code_hash("03_qubo")), code_hash("no_such_notebook")
    (16, None)
    """
    path = root / "notebooks" / f"{notebook}.ipynb"
    if not path.exists():
        return None
    source = _code(path)
    try:
        bare(source)
    except (SyntaxError, tokenize.TokenError):  # somebody is at work on it, and may run the other cells
        return None
    sources = {"": source} | {k: v for k, v in modules(source, root).items() if not k.startswith("artefacts.")}
    text = "\n".join(f"# {name}\n{bare(sources[name])}" for name in sorted(sources))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
