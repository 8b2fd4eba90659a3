"""The parameters of a notebook: its own defaults, and what a profile changes."""

import ast
import json
import sys

import numpy as np
import yaml

from .. import require
from .files import ROOT, shown
from .provenance import PROFILES, code_of_notebooks, reads_images

IMAGE_NOTEBOOKS = tuple(name[:2] for name, code in code_of_notebooks().items() if reads_images(code))
_LARGEST = sys.float_info.max


def literal(name: str, value):
    """A parameter's value as a record keeps it, a copy: tuples become lists, NumPy's numbers Python's.

    Raises ValueError, naming the parameter, for what is no finite number, text, bool, None, or list or dict of these.

    >>> literal("betas", (np.float64(0.5), 1))
    [0.5, 1]
    >>> literal("beta", np.array([0.5]))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: beta must be a literal, or a record cannot keep it (...), got shape (1,)
    """
    try:
        return _copied(value)
    except (TypeError, RecursionError) as error:  # the second of a list within itself
        got = "lists without end" if isinstance(error, RecursionError) else require.described(error.args[0])
        raise ValueError(
            f"{name} must be a literal, or a record cannot keep it (finite numbers, text, True or False, "
            f"None, and lists or dicts of these), got {got}"
        ) from None


def _copied(value):
    """A copy of a literal. Raises TypeError of what is none."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, (list, tuple)):
        return [_copied(v) for v in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _copied(v) for key, v in value.items()}
    if value is None or isinstance(value, str) or (isinstance(value, (int, float)) and abs(value) <= _LARGEST):
        return value
    raise TypeError(value)


def defaults(notebook: str) -> dict:
    """{name: value} of a notebook's parameter cell, literals only.

    Raises ValueError if there is no such notebook or cell, or if the cell holds anything but lines `name = literal`.

    >>> defaults("03_qubo")["conventions"]
    'headline'
    """
    require.choice("notebook", notebook, sorted(p.stem for p in (ROOT / "notebooks").glob("[0-9]*.ipynb")))
    path = ROOT / "notebooks" / f"{notebook}.ipynb"
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        tagged = ["".join(c["source"]) for c in cells if "parameters" in c["metadata"].get("tags", [])]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"{type(error).__name__}: {error}"
        raise ValueError(f"{shown(path)} is no notebook ({why}): mend it, or restore it with `git checkout`") from None
    if len(tagged) != 1:
        raise ValueError(f"{notebook}: expected one cell tagged 'parameters', found {len(tagged)}")
    try:
        return dict(_assigned(line) for line in ast.parse(tagged[0]).body)
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{notebook}: its parameter cell must hold lines `name = literal` only: {error}") from None


def _assigned(line):
    """(name, value) of a parsed line `name = literal`. Raises ValueError, showing the line, for another one."""
    try:
        (target,) = line.targets
        return target.id, ast.literal_eval(line.value)
    except (ValueError, AttributeError, TypeError):
        raise ValueError(f"not {ast.unparse(line)!r}") from None


def overrides(notebook: str, profile: str) -> dict:
    """Parameters of params/<profile>/<notebook>.yaml, checked against the notebook's parameter cell.

    Raises ValueError, naming the file and the line, for what is no YAML, a name that the notebook does not have, one
    given twice, or a value of another type; a whole number will do for a float.

    >>> overrides("04_annealing", "smoke")["seeds"]
    [0, 1]
    """
    require.choice("profile", profile, PROFILES)
    known = defaults(notebook)
    path = ROOT / "params" / profile / f"{notebook}.yaml"
    values, lines = _yaml(path) if path.exists() else ({}, [])
    names = [name for name, _ in lines]
    for name, line in lines:
        where = f"{shown(path)}, line {line}: {name}"
        if name not in known:
            raise ValueError(f"{where} is not a parameter of {notebook}; it has {', '.join(sorted(known))}")
        if name == "profile":
            raise ValueError(f"{where} is chosen by the command, not by a file: delete the line")
        if names.count(name) > 1:
            raise ValueError(f"{where} is there twice: delete one")
        try:
            values[name] = _typed(values[name], known[name])
        except TypeError as wanted:
            raise ValueError(f"{where} must be {wanted}, as in the notebook, got {values[name]!r}") from None
        literal(where, values[name])
    return values


def _yaml(path):
    """({name: value} of a YAML file, [(name, number of its line)])."""
    file = shown(path)
    try:
        content = path.read_bytes()
        text = content.decode()
        root, values = yaml.compose(text), yaml.safe_load(text)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{file}, line {line}: not UTF-8, save it in that encoding") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not readable"
        raise ValueError(f"{file}{line}: broken YAML, {problem}") from None
    except Exception as error:  # of the disk; or whatever the reader of YAML meets in `!!int x`, or a date of month 13
        raise ValueError(f"{file} cannot be read, {type(error).__name__}: {error}") from None
    if root is None:
        return {}, []
    if not isinstance(values, dict):
        line, kind = root.start_mark.line + 1, type(values).__name__
        raise ValueError(f"{file}, line {line}: must hold lines `name: value`, got a {kind}")
    return values, [(key.value, key.start_mark.line + 1) for key, _ in root.value]


def _typed(value, default):
    """A value of the type of a default; a whole number becomes a float. Raises TypeError, which says the type."""
    if isinstance(default, float) and type(value) is int and abs(value) <= _LARGEST:
        return float(value)
    if default is not None and type(value) is not type(default):
        raise TypeError(type(default).__name__)
    if isinstance(default, list) and default:
        try:
            return [_typed(v, default[0]) for v in value]
        except TypeError as wanted:
            raise TypeError(f"a list of {wanted}") from None
    return value
