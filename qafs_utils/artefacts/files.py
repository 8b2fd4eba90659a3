"""Where files lie, and how they are written and read: whole or not at all."""

import csv
import hashlib
import io
import json
import os
import re
import zipfile
from numbers import Integral, Real
from pathlib import Path

import numpy as np
import pandas as pd

from .. import require
from .provenance import ROOT

PUBLISHED = ROOT / "data" / "published"
PAPER_VALUES = ROOT / "data" / "paper_values"
BENCHMARKS = ROOT / "benchmarks"
RECORDS = Path("figures/RECORDS.json")  # under ROOT
RESERVED = ("record", "file", "allow_pickle")  # no names for arrays: the record's own, and arguments of NumPy


class ArtefactError(RuntimeError):
    """A missing, damaged or mismatched artefact; the message names the remedy.

    >>> Artefacts("smoke").load("02_no_such_artefact")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    qafs_utils.artefacts.files.ArtefactError: build/smoke/data/02_no_such_artefact.npz is missing: run notebook 02 with ...
    """


def _shown(path):
    """A path as messages show it: from the repository on."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def _named(name):
    """The name of an artefact, figure or notebook. Raises ValueError for one that could lie in another folder."""
    if not (isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", name)):
        wanted = "a letter or digit, then letters, digits, _, . and - (100 at most)"
        raise ValueError(f"name must be {wanted}, got {require.described(name)}")
    return name


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


def decoded(path, decode, remedy, content=None):
    """decode(bytes of a file), or of `content`. Raises ArtefactError, naming file and remedy, whatever it raises.

    >>> decoded(ROOT / "README.md", json.loads, "restore it with `git checkout`")
    Traceback (most recent call last):
    qafs_utils.artefacts.files.ArtefactError: README.md is damaged: restore it with `git checkout`
    >>> decoded(ROOT / "nothing.json", json.loads, "restore it with `git checkout`")
    Traceback (most recent call last):
    qafs_utils.artefacts.files.ArtefactError: nothing.json is missing: restore it with `git checkout`
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
        raise ValueError(
            f"{name}: {key} must be an array of numbers, text or booleans, on the CPU, or it could not be "
            f"read again, got {require.described(given)}"
        )
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
        raise ValueError(
            "table must have columns, of different names that are text, and no named index (reset_index "
            f"makes a column of it), got {list(table.columns)} and index {table.index.names}"
        )
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


def require_equal(now, before, message):
    """Raise ArtefactError with `message` and the names that differ unless two dicts of arrays are equal.

    >>> require_equal({"a": np.arange(2)}, {"a": [0, 1]}, "the heads changed")
    >>> require_equal({"a": 1, "b": 2}, {"a": 1, "b": 3}, "the heads changed")
    Traceback (most recent call last):
    qafs_utils.artefacts.files.ArtefactError: the heads changed (b): renew them with `make figures INPUT=images`
    """
    differ = [
        k
        for k in sorted(now.keys() | before.keys())
        if k not in now or k not in before or not np.array_equal(now[k], before[k])
    ]
    if differ:
        raise ArtefactError(f"{message} ({', '.join(differ)}): renew them with `make figures INPUT=images`")


def to_csv(table):
    """A DataFrame as CSV bytes with six significant digits. Raises ValueError for anything else.

    >>> to_csv(pd.DataFrame({"d": [5], "gap": [0.123456789]})).split()
    [b'd,gap', b'5,0.123457']
    """
    if not isinstance(table, pd.DataFrame):
        raise ValueError(f"table must be a pandas DataFrame, got {require.described(table)}")
    return table.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode()
