"""Which code made a result: the hash of a notebook and of every definition that it reaches.

What counts:

- the notebook's own code;
- every function, class and assignment at the top of a file of qafs_utils that the notebook mentions, or that one of
  these mentions in turn. A class counts as a whole. So does a module that is used in any way but `module.name`;
- the other statements at the top of a file of which something is reached, such as `if`, `try` and calls, because they
  run on import; and its definitions with two underscores on each side, such as `__getattr__`;
- what each name stands for: "F = torch.nn.functional" for an import from elsewhere, and for one from qafs_utils the
  hash of what it means.

What does not count:

- comments, docstrings and blank lines;
- import statements, wherever they stand. A file that is imported for its effect alone, without a mention, is not seen;
- the file in which a definition stands;
- definitions that are not reached;
- `artefacts`, which stores and does not compute, with what is reached through it alone; modules for other hardware.
"""

import ast
import functools
import hashlib
import json
import tokenize
from pathlib import Path

from .definitions import Source, bare, imported, parsed, whole

ROOT = Path(__file__).resolve().parents[2]
PROFILES = {
    "published": "starts from the committed outcome of the image-reading notebooks",
    "images": "everything from STL-10 and the ImageNet weights",
    "smoke": "synthetic images and a random trunk: minutes, never for results",
}
_NOTHING = Source({"": []}, {})
ELSEWHERE = ("annealing.gpu",)  # modules for other hardware, of which no committed result comes


def _module(name, root):
    """The module that holds a dotted name below qafs_utils: "qubo.binary.bits"  ->  "qubo.binary", None of a folder."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        if _path(".".join(parts[:count]), root).exists():
            return ".".join(parts[:count])
    return None if (root / "qafs_utils" / parts[0]).is_dir() else "__init__"  # a name of the package itself


def _path(module, root):
    return root / f"qafs_utils/{module.replace('.', '/')}.py"


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
    left = "\n".join(line for line in cell.split("\n") if not line.startswith(("%", "!")))
    try:
        if left != cell:  # parsing the cells of all notebooks would take a tenth of a second
            ast.parse(cell)
    except SyntaxError:
        return left
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
    holder = functools.cache(functools.partial(_module, root=root))
    found, waiting = {}, set(map(holder, imported(source)))
    while waiting := waiting - found.keys() - {None, *ELSEWHERE}:
        name = waiting.pop()
        found[name] = _path(name, root).read_text(encoding="utf-8")
        waiting |= set(map(holder, imported(found[name], name.rpartition(".")[0])))
    return found


def reached(source: str, root: Path = ROOT) -> dict[str, list[str]]:
    """{dotted name: texts of its definitions} of what Python source reaches in qafs_utils, and of itself, named "".

    The other statements at the top of a module are named "module.". The lines at the end of a text say what its names
    stand for: the SHA-256 of what is meant in qafs_utils, or the dotted name elsewhere.

    >>> sorted(reached("from qafs_utils import require as r\\nr.choice('x', 1, [1])"))
    ['', 'require.', 'require.choice', 'require.described']
    """
    sources = modules(source, root)
    files = {name: _NOTHING if name.startswith("artefacts.") else parsed(name, sources[name]) for name in sources}
    meant, texts, waiting = functools.cache(functools.partial(_meant, files=files)), {}, {"": [whole(source)]}
    while waiting:
        key, definitions = waiting.popitem()
        texts[key] = []
        for definition in definitions:
            lines = set()
            for name, path in definition.mentions:
                targets, marks = meant(path)
                lines |= {f"{name} = {mark}" for mark in marks}
                waiting |= {f"{module}.{target}": files[module].definitions[target] for module, target in targets}
            texts[key].append("\n".join([definition.text, *sorted(lines)]))
        waiting = {key: waiting[key] for key in waiting.keys() - texts.keys()}
    return texts


def _meant(path, files):
    """What a dotted name stands for  ->  {(module, name)} that are reached with it, what tells it from other things."""
    head, *parts = path.split(".")
    if head != "qafs_utils":
        return set(), {path}
    count = next((n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in files), 0)
    module, (name, *attributes) = ".".join(parts[:count]) or "__init__", parts[count:] or [""]
    if module not in files:  # a folder, or a module of ELSEWHERE
        return set(), set()
    definitions, imports = files[module]
    if name in imports and name not in definitions:  # handed on
        found = [_meant(".".join([other, *attributes]), files) for other in imports[name]]
        targets, marks = (set().union(*sets) for sets in zip(*found))
    else:
        targets = {(module, key) for key in ([name] if name and name in definitions else definitions)}
        marks = {f"{key} {definition.digest}" for _, key in targets for definition in definitions[key]}
    return targets | {(module, "")}, marks


def hash_of(source: str, root: Path = ROOT) -> str:
    """SHA-256 (16 digits) of Python source and of all definitions that it reaches: see above for what counts.

    Taken from the text, not from Python's syntax tree, so that it is the same in every version of Python.

    >>> hash_of("x = 1  # a comment") == hash_of("x = 1") != hash_of("x = 2")
    True
    """
    texts = sorted((key.rpartition(".")[2], text) for key, texts in reached(source, root).items() for text in texts)
    return hashlib.sha256("\n".join(f"# {name}\n{text}" for name, text in texts).encode()).hexdigest()[:16]


def code_hash(notebook: str, root: Path = ROOT) -> str | None:
    """`hash_of` the code of root/notebooks/<notebook>.ipynb. None without it, or if a cell of it is only half written.

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
    return hash_of(source, root)
