"""What Python source defines at its top, and what each definition mentions: the parts of `provenance`'s hash.

Names are taken as they are written, without a look at what is local to a function: a variable that is called like a
definition of its file reaches that, too. Names in strings are not seen, but `getattr(module, "name")` reaches all of
the module.
"""

import ast
import functools
import hashlib
import io
import re
import tokenize
from collections import defaultdict
from typing import NamedTuple

IMPORTS = (ast.Import, ast.ImportFrom)
SCOPES = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
DOCUMENTED = (ast.Module, *SCOPES)
_DUNDER = re.compile(r"__\w+__").fullmatch


class Definition(NamedTuple):
    """A statement at the top of a file, or all of a notebook.

    >>> whole("x = 1  # a comment").text
    'x = 1'
    """

    text: str
    digest: str  # of the text
    mentions: frozenset[tuple[str, str]]  # (dotted name as written, what the imports make of it)


class Source(NamedTuple):
    """What stands at the top of a file.

    >>> sorted(parsed("wing.ours", "import os\\nA, B = 1, 2\\nprint(A)").definitions)
    ['', 'A', 'B']
    """

    definitions: dict[str, list[Definition]]  # by name; "": other statements, and names such as __getattr__
    imports: dict[str, set[str]]  # local name: the dotted names for which it stands


@functools.cache
def parsed(module: str, source: str) -> Source:
    """The definitions and imports of a file of qafs_utils, given as "qubo.binary" and its text.

    >>> found = parsed("wing.ours", "from torch.nn import functional as F\\nN = 3\\n\\ndef f(): return F.relu(N)")
    >>> found.definitions["f"][0].text, sorted(found.definitions["f"][0].mentions)
    ('def f(): return F.relu(N)', [('F', 'torch.nn.functional'), ('N', 'qafs_utils.wing.ours.N')])
    """
    tree, package, rows = ast.parse(source), module.rpartition(".")[0], _bare_rows(source)
    imports = _bound((node for node in tree.body if not isinstance(node, SCOPES)), package)
    own = {name: {f"qafs_utils.{module}.{name}"} for node in tree.body for name in _names(node)}
    found = {"": []}
    for node in tree.body:
        first = min(part.lineno for part in [node, *getattr(node, "decorator_list", ())])
        text = "\n".join(rows[row] for row in range(first - 1, node.end_lineno) if row in rows)
        local = _bound([node], package) if isinstance(node, SCOPES) else {}
        names = set(_names(node))
        if not names or any(map(_DUNDER, names)):
            names.add("")
        for name in names if text else ():
            found.setdefault(name, []).append(_definition(text, _mentions(node, imports, own, local)))
    return Source(found, imports)


@functools.cache
def whole(source: str) -> Definition:
    """All of a notebook as one definition, given as its text.

    >>> whole("from qafs_utils.qubo import binary as b\\nb.energy(x)").mentions
    frozenset({('b.energy', 'qafs_utils.qubo.binary.energy')})
    """
    tree = ast.parse(source)
    return _definition(bare(source), _mentions(tree, _bound([tree], "")))


def _definition(text, mentions):
    return Definition(text, hashlib.sha256(text.encode()).hexdigest()[:16], mentions)


def _names(node):
    """What a statement at the top of a file defines: [] unless it is a function, a class, or an assignment to names."""
    if isinstance(node, SCOPES):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    parts = [part for target in targets for part in (target.elts if isinstance(target, ast.Tuple) else [target])]
    return [part.id for part in parts] if all(isinstance(part, ast.Name) for part in parts) else []


def bare(source: str) -> str:
    '''Python source without comments, docstrings, imports and blank lines. Strings stay as they are.

    >>> bare('import os\\n\\ndef f():\\n    """One."""\\n\\n    return 1  # always\\n')
    'def f():\\n    return 1'
    '''
    return "\n".join(_bare_rows(source).values())


@functools.cache
def _bare_rows(source):
    """{row, from 0: what is left of it}."""
    lines = source.split("\n")  # as Python counts them: a form feed begins none
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    inside = _within_strings(tokens)
    for token in tokens:
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in sorted(_dropped(source), key=lambda node: (node.lineno, node.col_offset), reverse=True):
        first, last = node.lineno - 1, node.end_lineno - 1
        before, after = lines[first].encode()[: node.col_offset], lines[last].encode()[node.end_col_offset :]
        lines[first : last + 1] = [""] * (last - first + 1)
        lines[first] = before.decode()
        lines[last] += after.decode().lstrip("; ")
        inside -= set(range(first, last))
    rows = enumerate(lines)
    return {row: line if row in inside else line.rstrip() for row, line in rows if row in inside or line.strip()}


def _dropped(source):
    """Imports, those for type checkers with their `if`, and docstrings."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, IMPORTS) or _for_type_checkers(node):
            yield node
        elif isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            yield node.body[0]


def _for_type_checkers(node):
    """Whether a statement is `if TYPE_CHECKING:` with nothing but imports below it."""
    test = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id
    return test == "TYPE_CHECKING" and not node.orelse and all(isinstance(part, IMPORTS) for part in node.body)


def _within_strings(tokens):
    """Rows (from 0) whose end lies within a string of several lines: blanks and blank lines count there."""
    rows, open_at = set(), []
    for token in tokens:
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
    tree = ast.parse(source)
    bound = _bound([tree], package)
    paths = set().union(*bound.values()) | {path for _, path in _mentions(tree, bound)}
    return frozenset(path.removeprefix("qafs_utils.") for path in paths if path.startswith("qafs_utils."))


def _bound(statements, package):
    """{local name: dotted names for which it stands, by the imports within the statements}."""
    bound = defaultdict(set)
    for node in (node for statement in statements for node in ast.walk(statement)):
        if isinstance(node, ast.ImportFrom):
            folder = ["qafs_utils", *package.split(".")] if package else ["qafs_utils"]
            above = folder[: len(folder) + 1 - node.level] if node.level else []
            for alias in node.names:
                bound[alias.asname or alias.name].add(".".join(filter(None, [*above, node.module, alias.name])))
        elif isinstance(node, ast.Import):
            for alias in node.names:
                bound[alias.asname or alias.name].add(alias.name)
                if not alias.asname:  # `import a.b` binds a; the entry "a.b" is for `imported`
                    bound[alias.name.split(".")[0]].add(alias.name.split(".")[0])
    return bound


def _mentions(node, *bound):
    """{(dotted name, what it stands for)} of the names in a statement that are bound, and of what is imported by *."""
    found = set()
    for name, *attributes in [["*"], *_dotted(node)]:
        for path in {path for names in bound for path in names.get(name, ())}:
            within = path.split(".")[0] == "qafs_utils"
            found.add((".".join([name, *attributes]), ".".join([path, *attributes])) if within else (name, path))
    return frozenset(found)


def _dotted(node):
    """[["a", "b", "c"], ["x"]] of the expression a.b.c + x: the longest dotted names in a statement."""
    names, start = [], node
    while isinstance(start, ast.Attribute):
        names.append(start.attr)
        start = start.value
    if isinstance(start, ast.Name):
        return [[start.id, *reversed(names)]]
    return [found for child in ast.iter_child_nodes(start) for found in _dotted(child)]
