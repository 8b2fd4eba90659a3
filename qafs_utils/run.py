"""Where a run lives: its profile, parameters, artefacts and figures. The only module that knows where these lie.

An artefact is a compressed .npz, or a .csv, with a JSON record of what made it (parameters, inputs, versions); its name
begins with its notebook's number. Files are written to a temporary name and moved, so none is ever half there.
"""

import ast
import contextlib
import csv
import fcntl
import hashlib
import importlib.metadata
import io
import json
import os
import re
import sys
import zipfile
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from . import require
from .provenance import code_hash, image_notebooks

ROOT = Path(__file__).resolve().parents[1]
PUBLISHED = ROOT / "data" / "published"
PAPER_VALUES = ROOT / "data" / "paper_values"
BENCHMARKS = ROOT / "benchmarks"
WITHIN_MAKE = "QAFS_RUN"  # set in the environment of the kernels that `python -m qafs_utils run` starts
RECORDS = Path("figures/RECORDS.json")  # under ROOT
PROFILES = {
    "published": "starts from the committed outcome of the image-reading notebooks",
    "images": "everything from STL-10 and the ImageNet weights",
    "smoke": "synthetic images and a random trunk: minutes, never for results",
}
IMAGE_NOTEBOOKS = image_notebooks()  # numbers
PACKAGES = ("torch", "torchvision", "numpy", "scipy", "numba", "dimod", "dwave-samplers")
_LARGEST = sys.float_info.max
RESERVED = ("record", "file", "allow_pickle")  # no names for arrays: the record's own, and arguments of NumPy


class ArtefactError(RuntimeError):
    """A missing, damaged or mismatched artefact; the message names the remedy.

    >>> Artefacts("smoke").load("02_no_such_artefact")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    qafs_utils.run.ArtefactError: build/smoke/data/02_no_such_artefact.npz is missing: run notebook 02 with ...
    """


def check_profile(profile):
    """Raise ValueError unless `profile` is one of PROFILES.

    >>> check_profile("smoke")
    >>> check_profile("paper")
    Traceback (most recent call last):
    ValueError: unknown profile 'paper': choose from published, images, smoke
    """
    require.choice("profile", profile, PROFILES)


def check_notebook(notebook):
    """Raise ValueError unless `notebook` is the name of one in notebooks/, without its ending.

    >>> check_notebook("03_qubo")
    >>> check_notebook("../03_qubo")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: unknown notebook '../03_qubo': choose from 00_quickstart, 01_fine_tuning, ...
    """
    require.choice("notebook", notebook, sorted(p.stem for p in (ROOT / "notebooks").glob("[0-9]*.ipynb")))


def literal(name, value):
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
        raise ValueError(f"{name} must be a literal, or a record cannot keep it (finite numbers, text, True or False, "
                         f"None, and lists or dicts of these), got {got}") from None


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


def defaults(notebook):
    """{name: value} of a notebook's parameter cell, literals only.

    Raises ValueError if there is no such notebook or cell, or if the cell holds anything but lines `name = literal`.

    >>> defaults("03_qubo")["beta"]
    0.7
    """
    check_notebook(notebook)
    path = ROOT / "notebooks" / f"{notebook}.ipynb"
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        tagged = ["".join(c["source"]) for c in cells if "parameters" in c["metadata"].get("tags", [])]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"{type(error).__name__}: {error}"
        raise ValueError(f"{_shown(path)} is no notebook ({why}): mend it, or restore it with `git checkout`") from None
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


def overrides(notebook, profile):
    """Parameters of params/<profile>/<notebook>.yaml, checked against the notebook's parameter cell.

    Raises ValueError, naming the file and the line, for what is no YAML, a name that the notebook does not have, one
    given twice, or a value of another type; a whole number will do for a float.

    >>> overrides("04_annealing", "smoke")
    {'betas_full': [0.5, 0.7, 0.99, 1.0], 'seeds': [0, 1]}
    """
    check_profile(profile)
    known = defaults(notebook)
    path = ROOT / "params" / profile / f"{notebook}.yaml"
    if not path.exists():
        return {}
    values, lines = _yaml(path)
    for name, line in lines:
        where = f"{_shown(path)}, line {line}: {name}"
        if name not in known:
            raise ValueError(f"{where} is not a parameter of {notebook}; it has {', '.join(sorted(known))}")
        if name == "profile":
            raise ValueError(f"{where} is chosen by the command, not by a file: delete the line")
        if [n for n, _ in lines].count(name) > 1:
            raise ValueError(f"{where} is there twice: delete one")
        try:
            values[name] = _typed(values[name], known[name])
        except TypeError as wanted:
            raise ValueError(f"{where} must be {wanted}, as in the notebook, got {values[name]!r}") from None
        literal(where, values[name])
    return values


def _yaml(path):
    """({name: value} of a YAML file, [(name, number of its line)])."""
    try:
        content = path.read_bytes()
        text = content.decode()
        root, values = yaml.compose(text), yaml.safe_load(text)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{_shown(path)}, line {line}: not UTF-8, save it in that encoding") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not readable"
        raise ValueError(f"{_shown(path)}{line}: broken YAML, {problem}") from None
    except Exception as error:  # of the disk; or whatever the reader of YAML meets in `!!int x`, or a date of month 13
        raise ValueError(f"{_shown(path)} cannot be read, {type(error).__name__}: {error}") from None
    if root is None:
        return {}, []
    if not isinstance(values, dict):
        raise ValueError(f"{_shown(path)}, line {root.start_mark.line + 1}: must hold lines `name: value`, "
                         f"got a {type(values).__name__}")
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


def _shown(path):
    """A path as messages show it: from the repository on."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def _named(name):
    """The name of an artefact, figure or notebook. Raises ValueError for one that could lie in another folder."""
    if not (isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", name)):
        wanted = "a letter or digit, then letters, digits, _, . and - (100 at most)"
        raise ValueError(f"name must be {wanted}, got {require.described(name)}")
    return name


def _dict(name, given):
    if not isinstance(given, Mapping):
        raise ValueError(f"{name} must be a dict, got {require.described(given)}")
    return given


def sha256(path):
    """SHA-256 of a file as a hexadecimal string.

    >>> from tempfile import NamedTemporaryFile
    >>> with NamedTemporaryFile() as empty:
    ...     sha256(empty.name)[:16]
    'e3b0c44298fc1c14'
    """
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def write_atomically(path, content):
    """Write bytes to a temporary neighbour of `path`, then move it there: the file is whole or absent.

    Raises ArtefactError, naming the file, the cause and the remedy, when the disk is full or does not let us write;
    ValueError for anything but bytes.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "new" / "a.txt"
    ...     write_atomically(path, b"whole")
    ...     path.read_bytes(), [p.name for p in path.parent.iterdir()]
    (b'whole', ['a.txt'])
    """
    if not isinstance(content, bytes):
        raise ValueError(f"content must be bytes, got {require.described(content)}")
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(part, "wb") as f:
                f.write(content)
                f.flush()
                os.fsync(f.fileno())  # a disk may say only here that it is full
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise ArtefactError(unwritable(path, error)) from error


def unwritable(path, error):
    """What to tell when writing `path` failed with an OSError: the cause and the remedy in one line.

    >>> unwritable(ROOT / "build/a.npz", OSError(28, "No space left on device"))[:56]
    'cannot write build/a.npz: No space left on device. Make '
    """
    return (
        f"cannot write {_shown(path)}: {error.strerror or error}. Make room on that disk, or allow writing there, and "
        "run the same command again: what is finished stays"
    )


@contextlib.contextmanager
def alone(profile, notebook):
    """Hold a notebook of build/<profile> for one run at a time; the first run clears what killed ones have left there.

    Other notebooks may run meanwhile (`make -j`); temporary files are cleared only while none does. The operating
    system lets go of the locks when the process ends, however it ends. Raises RuntimeError while another run has the
    notebook, ArtefactError when the folder cannot be written.

    >>> with alone("doctest", "03_qubo"), alone("doctest", "04_annealing"):
    ...     with alone("doctest", "03_qubo"):
    ...         pass
    Traceback (most recent call last):
    RuntimeError: another run of 03_qubo, profile 'doctest', is at work: wait for it, or end it first
    """
    folder, notebook = ROOT / "build" / _named(profile), _named(notebook)
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            every, own = (stack.enter_context(open(folder / f".{name}.lock", "w")) for name in ("every", notebook))
        except OSError as error:
            raise ArtefactError(unwritable(folder, error)) from error
        try:
            fcntl.flock(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = f"{notebook}, profile {profile!r},"
            raise RuntimeError(f"another run of {who} is at work: wait for it, or end it first") from None
        with contextlib.suppress(BlockingIOError):  # others are at work, and the files may be theirs
            fcntl.flock(every, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for part in folder.glob("*/.*.part"):
                part.unlink(missing_ok=True)
        fcntl.flock(every, fcntl.LOCK_SH)
        yield


def decoded(path, decode, remedy, content=None):
    """decode(bytes of a file), or of `content`. Raises ArtefactError, naming file and remedy, whatever it raises.

    >>> decoded(ROOT / "README.md", json.loads, "restore it with `git checkout`")
    Traceback (most recent call last):
    qafs_utils.run.ArtefactError: README.md is damaged: restore it with `git checkout`
    >>> decoded(ROOT / "nothing.json", json.loads, "restore it with `git checkout`")
    Traceback (most recent call last):
    qafs_utils.run.ArtefactError: nothing.json is missing: restore it with `git checkout`
    """
    try:
        return decode(path.read_bytes() if content is None else content)
    except FileNotFoundError:
        raise ArtefactError(f"{_shown(path)} is missing: {remedy}") from None
    except Exception as error:  # a damaged file may raise anything: of zip, zlib, NumPy, pandas, JSON, UTF-8
        raise ArtefactError(f"{_shown(path)} is damaged: {remedy}") from error


def _plain(name, key, given):
    """An artefact's array. Raises ValueError unless its name is free and it holds plain numbers, text or booleans."""
    if key in RESERVED:
        raise ValueError(f"{name}: {key} is no name for an array: {', '.join(RESERVED)} are taken")
    try:
        found = np.asanyarray(given)
    except (ValueError, TypeError, RuntimeError):  # of several lengths; a tensor on a GPU, or with a graph
        found = np.asarray(None)
    if found.dtype.hasobject or isinstance(found, np.ma.MaskedArray):  # its mask would be lost
        raise ValueError(f"{name}: {key} must be an array of numbers, text or booleans, on the CPU, or it could not be "
                         f"read again, got {require.described(given)}")
    return found


def _arrays(content):
    """{name: array} of the bytes of an .npz. Every member is read to its end, where its check-sum is."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name.removesuffix(".npy"): io.BytesIO(archive.read(name)) for name in archive.namelist()}
    loaded = {name: np.lib.format.read_array(member, allow_pickle=False) for name, member in members.items()}
    return loaded | {"record": dict(json.loads(str(loaded["record"])))}


def _table(content):
    """DataFrame of the bytes of a CSV file. Raises ValueError where it was cut: pandas fills a short line up."""
    rows = list(csv.reader(io.StringIO(content.decode(), newline=""), strict=True))
    if not content.endswith(b"\n") or len({len(row) for row in rows}) != 1:
        raise ValueError("cut")
    return pd.read_csv(io.BytesIO(content), keep_default_na=False, na_values=[""])  # NA and None are text


def _require_same(table, content):
    """Raise ValueError, naming the column, unless `_table` reads the bytes of a table as what it holds."""
    whole = len(table.columns) and table.index.names == [None]
    read = _table(content) if whole else table
    if not whole or list(table.columns) != list(read):
        raise ValueError("table must have columns, of different names that are text, and no named index (reset_index "
                         f"makes a column of it), got {list(table.columns)} and index {table.index.names}")
    for column in table.select_dtypes(exclude=["integer", "floating", "bool"]):
        for value, again in zip(table[column], read[column]):
            if not _same(value, again):
                raise ValueError(f"column {column} must come back as it is, but {value!r} is read as {again!r}")


def _same(value, again):
    """Whether a cell of a table is read as what it was, but for rounding."""
    if any(value is none for none in (None, pd.NA, pd.NaT)) or (isinstance(value, Real) and value != value):
        return pd.isna(again)
    if isinstance(value, (str, Integral)):
        return again in (value, str(value)) or (value == "" and pd.isna(again))
    return isinstance(value, Real) and isinstance(again, Real) and np.isclose(float(value), float(again), rtol=1e-5)


def _rows(content):
    """`_table` of a file that is never without rows."""
    table = _table(content)
    if table.empty:
        raise ValueError("no rows")
    return table


def published_sums():
    """{file name: SHA-256} of data/published. Raises ArtefactError when its list is missing or damaged.

    >>> len(published_sums()["01_heads.npz"])  # hexadecimal digits
    64
    """
    def read(content):
        if not content:
            raise ValueError("no lines")
        lines = [re.fullmatch(r"([0-9a-f]{64}) [ *](\S+)", line).groups() for line in content.decode().splitlines()]
        return {name: digest for digest, name in lines}

    return decoded(PUBLISHED / "SHA256SUMS", read, "`git checkout data/published` restores it")


def committed_table(path, remedy="restore it with `git checkout`"):
    """A committed CSV file, which has rows, as a DataFrame. Raises ArtefactError where it is missing or damaged.

    >>> committed_table(ROOT / "figures" / "table02_claims.csv").verdict.nunique()
    4
    """
    return decoded(path, _rows, remedy)


def committed_records():
    """{notebook: record} of figures/RECORDS.json. Raises ArtefactError when it is missing or damaged.

    >>> committed_records()["03_qubo"]["parameters"]["beta"]
    0.7
    """
    return decoded(ROOT / RECORDS, lambda content: dict(json.loads(content)), "`git checkout figures` restores it")


def head_name(n_features, seed=0):
    """Name in artefact 01_heads of the headline model with that many maps and training seed, whole numbers.

    >>> head_name(16), head_name(512, seed=4)
    ('nf16_paper_seed0', 'nf512_full_seed4')
    """
    n_features, seed = require.whole("n_features", n_features, 1), require.whole("seed", seed)
    return f"nf{n_features}_{'full' if n_features == 512 else 'paper'}_seed{seed}"


class Artefacts:
    """What notebooks have left, to read: `Artefacts("published").load("02_images")`. A notebook itself has a `Run`.

    Raises ValueError for an unknown profile.

    >>> Artefacts("published").load("02_images")["labels"].shape
    (200,)
    >>> Artefacts("published").path("03_nf16.npz").relative_to(ROOT).as_posix()
    'build/published/data/03_nf16.npz'
    """

    def __init__(self, profile, in_lab=False):
        check_profile(profile)
        self.profile, self.folder, self.inputs = profile, ROOT / "build" / profile, {}
        self.target = ROOT / "build" / "lab" / profile if in_lab else self.folder

    def path(self, name):
        """Where a file is read from: build/<profile>/data, or data/published for published image notebooks.

        In the lab what the lab has made comes first.
        """
        if self.target != self.folder and (self.target / "data" / name).exists():
            return self.target / "data" / name
        if self.profile == "published" and name[:2] in IMAGE_NOTEBOOKS:
            return PUBLISHED / name
        return self.folder / "data" / name

    def load(self, name):
        """Arrays of an artefact as a dict, the record decoded.

        Raises ArtefactError when it is missing, damaged, or (published) not the file that was committed.
        """
        return self._read(f"{_named(name)}.npz", _arrays)

    def load_table(self, name):
        """A table artefact as a DataFrame. Raises ArtefactError as `load`."""
        return self._read(f"{_named(name)}.csv", _table)

    def paper(self, name):
        """Numbers reported in the paper: data/paper_values/<name>.csv as a DataFrame. Raises ArtefactError."""
        return committed_table(PAPER_VALUES / f"{_named(name)}.csv")

    def measured(self, name):
        """Times measured by `make benchmark`: benchmarks/<name>.csv as a DataFrame. Raises ArtefactError."""
        remedy = "restore it with `git checkout`, or measure again with `make benchmark`"
        return committed_table(BENCHMARKS / f"{_named(name)}.csv", remedy)

    def _read(self, file, decode):
        path, number = self.path(file), file.split("_")[0]
        if not path.exists():
            raise ArtefactError(
                f"{_shown(path)} is missing: run notebook {number} with profile {self.profile!r} first "
                "(`make figures` runs them all), or `git checkout data/published` if it was deleted there"
            )
        if path.is_relative_to(self.target) and self.target != self.folder:
            print(f"{file} is the one made in the lab: delete {_shown(path)} to read the one of `make` again")
        remedy = f"delete it and run notebook {number} again"
        content = decoded(path, bytes, remedy)
        digest = hashlib.sha256(content).hexdigest()
        if path.parent == PUBLISHED and published_sums().get(file) != digest:
            raise ArtefactError(
                f"{_shown(path)} is not the published file (SHA-256 differs from SHA256SUMS): "
                "restore it with `git checkout data/published`, or rebuild it with `make figures INPUT=images`"
            )
        for record in (path.parents[1] / "records").glob(f"{number}_*.json"):  # of the notebook that made it
            made = decoded(record, lambda text: dict(json.loads(text)["artefacts"]), remedy)
            if made.get(file, digest[:16]) != digest[:16]:
                raise ArtefactError(f"{_shown(path)} is damaged, not what notebook {number} wrote: {remedy}")
        self.inputs[file] = digest[:16]
        return decoded(path, decode, remedy, content)


class Run(Artefacts):
    """One notebook's run: `Run("04_annealing", globals())` takes the values of the notebook's parameters.

    Those are the names of its parameter cell; whatever else the kernel holds is left alone. Opened in JupyterLab, it
    writes to build/lab/<profile>, where others in the lab find it first: what `make` has made stays as it is. Raises
    ValueError for an unknown notebook or profile, and, naming the parameter, for one that is missing or no literal.

    >>> run = Run("04_annealing", defaults("04_annealing") | {"beta": 0.9, "token": "mine", "np": np})
    >>> run.parameters["beta"], "token" in run.parameters
    (0.9, False)
    >>> [run.path(name).relative_to(ROOT).as_posix() for name in ("02_images.npz", "03_nf16.npz")]
    ['data/published/02_images.npz', 'build/published/data/03_nf16.npz']
    """

    def __init__(self, notebook, namespace):
        names = defaults(notebook)
        missing = [name for name in names if name not in _dict("namespace", namespace)]
        if missing:
            raise ValueError(f"{notebook}: no value for {', '.join(missing)}: run the cell of its parameters first")
        self.notebook, self.parameters = notebook, {name: literal(name, namespace[name]) for name in names}
        super().__init__(self.parameters["profile"], "get_ipython" in namespace and WITHIN_MAKE not in os.environ)
        self.sources, self.made = {}, {"artefacts": {}, "figures": {}}
        self.code = code_hash(notebook, ROOT)

    def uses(self, sources):
        """Note raw files that the notebook reads, {name: checksum}, for the record of what it makes."""
        self.sources |= literal("sources", _dict("sources", sources))

    def save(self, name, **arrays):
        """Write an artefact `<name>.npz` with arrays, and the record of what made it  ->  its path.

        Raises ValueError, naming it, for an array of Python objects, which `load` could not read.
        """
        record = json.dumps(self.record(), sort_keys=True)
        arrays = {key: _plain(name, key, array) for key, array in arrays.items()}
        content = io.BytesIO()
        np.savez_compressed(content, record=record, **arrays)
        return self._write("artefacts", name, "npz", content.getvalue())

    def save_table(self, name, table):
        """Write an artefact `<name>.csv` from a DataFrame, and `<name>.json` with the record of what made it.

        Raises ValueError, naming the column, for what `load_table` would read as something else: "001", a named index.
        Only whole numbers among text may become text, and text of no length a missing value.
        """
        record, content = json.dumps(self.record(), sort_keys=True, indent=1) + "\n", to_csv(table)
        _require_same(table, content)
        self._write("artefacts", name, "json", record.encode())
        self._write("artefacts", name, "csv", content)

    def figure(self, name, figure):
        """Write a figure as PNG and PDF into the run's figures, with what made it as metadata."""
        if not hasattr(figure, "savefig"):
            raise ValueError(f"figure must be a Matplotlib figure, got {require.described(figure)}")
        record = json.dumps(self.record(versions=False), sort_keys=True)
        for suffix, metadata in (
            ("png", {"Title": _named(name), "Description": record, "Software": None}),
            ("pdf", {"Title": name, "Subject": record, "CreationDate": None}),
        ):
            content = io.BytesIO()
            figure.savefig(content, format=suffix, metadata=metadata)
            self._write("figures", name, suffix, content.getvalue())

    def table(self, name, table):
        """Write a published table as CSV into the run's figures."""
        self._write("figures", name, "csv", to_csv(table))

    def page(self, name, text):
        """Write a published page of Markdown into the run's figures."""
        if not isinstance(text, str):
            raise ValueError(f"text must be text, got {require.described(text)}")
        self._write("figures", name, "md", text.encode())

    def record(self, versions=True):
        """What made an artefact: notebook, parameters, SHA-256 of the artefacts read, package versions."""
        parameters = {k: v for k, v in self.parameters.items() if k != "profile"}
        record = {"notebook": self.notebook, "parameters": parameters, "inputs": self.inputs}
        if versions:
            record["versions"] = {p: importlib.metadata.version(p) for p in PACKAGES}
        return record

    def _write(self, kind, name, suffix, content):
        """Write a file, and the record of all that this notebook has made (figures/RECORDS.json later)  ->  path."""
        path = self.target / {"artefacts": "data", "figures": "figures"}[kind] / f"{_named(name)}.{suffix}"
        write_atomically(path, content)
        self.made[kind][path.name] = hashlib.sha256(content).hexdigest()[:16]
        record = self.record() | {"code": self.code, "sources": self.sources} | self.made
        content = json.dumps(record, sort_keys=True, indent=1) + "\n"
        write_atomically(self.target / "records" / f"{self.notebook}.json", content.encode())
        return path


def require_equal(now, before, message):
    """Raise ArtefactError with `message` and the names that differ unless two dicts of arrays are equal.

    >>> require_equal({"a": np.arange(2)}, {"a": [0, 1]}, "the heads changed")
    >>> require_equal({"a": 1, "b": 2}, {"a": 1, "b": 3}, "the heads changed")
    Traceback (most recent call last):
    qafs_utils.run.ArtefactError: the heads changed (b): renew them with `make figures INPUT=images`
    """
    differ = [k for k in sorted(now.keys() | before.keys())
              if k not in now or k not in before or not np.array_equal(now[k], before[k])]
    if differ:
        raise ArtefactError(f"{message} ({', '.join(differ)}): renew them with `make figures INPUT=images`")


def require_same_parameters(run, artefact, names):
    """Raise ArtefactError unless this run has the parameters that an artefact was made with.

    artefact: as `Run.load` returns it; names: parameters that both notebooks have.

    >>> run = Run("04_annealing", defaults("04_annealing") | {"beta": 0.9})
    >>> made = {"record": {"notebook": "03_qubo", "parameters": {"beta": 0.7}}}
    >>> require_same_parameters(run, made, ["beta"])
    Traceback (most recent call last):
    qafs_utils.run.ArtefactError: 04_annealing and 03_qubo disagree: beta = 0.9 (was 0.7). Set both alike and rerun
    """
    made, now = artefact["record"], run.parameters
    was = {name: made["parameters"].get(name, "not recorded") for name in names}
    differ = [f"{name} = {now[name]!r} (was {was[name]!r})" for name in names if now[name] != was[name]]
    if differ:
        raise ArtefactError(
            f"{run.notebook} and {made['notebook']} disagree: {', '.join(differ)}. Set both alike and rerun"
        )


def to_csv(table):
    """A DataFrame as CSV bytes with six significant digits. Raises ValueError for anything else.

    >>> to_csv(pd.DataFrame({"d": [5], "gap": [0.123456789]})).split()
    [b'd,gap', b'5,0.123457']
    """
    if not isinstance(table, pd.DataFrame):
        raise ValueError(f"table must be a pandas DataFrame, got {require.described(table)}")
    return table.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode()


def publish(source=ROOT / "build" / "images" / "data", target=PUBLISHED, limit_mb=40):
    """Copy the image-reading notebooks' artefacts of a full run to data/published and list their SHA-256.

    Raises ArtefactError if a notebook left none, or they exceed `limit_mb`.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as empty:
    ...     publish(Path(empty), Path(empty))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    qafs_utils.run.ArtefactError: notebooks ['01', '02', '06', '12'] left nothing in ...
    """
    files = sorted(p for p in source.glob("[0-9]*") if p.name[:2] in IMAGE_NOTEBOOKS)
    absent = set(IMAGE_NOTEBOOKS) - {p.name[:2] for p in files}
    if absent:
        raise ArtefactError(f"notebooks {sorted(absent)} left nothing in {source}: `make figures INPUT=images` first")
    size = sum(p.stat().st_size for p in files) / 1e6
    if size > limit_mb:
        raise ArtefactError(f"the artefacts hold {size:.0f} MB, more than the {limit_mb} MB allowed in the repository")
    target.mkdir(parents=True, exist_ok=True)
    for old in set(target.glob("[0-9]*")) - {target / p.name for p in files}:
        old.unlink()
    for path in files:
        write_atomically(target / path.name, path.read_bytes())
    sums = "".join(f"{sha256(p)}  {p.name}\n" for p in files)
    write_atomically(target / "SHA256SUMS", sums.encode())
    print(f"{len(files)} artefacts, {size:.1f} MB -> {target}")
