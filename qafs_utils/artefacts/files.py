"""Where files lie, and how they are written and read: whole or not at all."""

import contextlib
import csv
import hashlib
import importlib.metadata
import io
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from .. import require
from .provenance import ROOT


def _published() -> Path:
    """data/published of the repository; of an installed package, where pip has put the heads (pyproject.toml)."""
    folder = ROOT / "data" / "published"
    if not folder.exists():
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            for file in importlib.metadata.files("qafs") or ():
                if file.parts[-3:] == ("share", "qafs", "SHA256SUMS"):
                    return Path(file.locate()).resolve().parent
    return folder


PUBLISHED = _published()
PAPER_VALUES = ROOT / "data" / "paper_values"
BENCHMARKS = ROOT / "benchmarks"
RECORDS = Path("figures/RECORDS.json")  # under ROOT


class ArtefactError(RuntimeError):
    """A missing, damaged or mismatched artefact; the message names the remedy.

    >>> raise ArtefactError("03_nf16.npz is missing: run notebook 03")
    Traceback (most recent call last):
    qafs_utils.artefacts.files.ArtefactError: 03_nf16.npz is missing: run notebook 03
    """


def shown(path: Path) -> Path:
    """A path as messages show it: from the repository on.

    >>> shown(PUBLISHED / "02_images.npz").as_posix()
    'data/published/02_images.npz'
    """
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def checked_name(name: str) -> str:
    """The name of an artefact, figure or notebook. Raises ValueError for one that could lie in another folder.

    >>> checked_name("03_nf16")
    '03_nf16'
    """
    if not (isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", name)):
        wanted = "a letter or digit, then letters, digits, _, . and - (100 at most)"
        raise ValueError(f"name must be {wanted}, got {require.described(name)}")
    return name


def sha256(path: str | Path) -> str:
    """SHA-256 of a file as a hexadecimal string.

    >>> sha256(os.devnull)[:16]
    'e3b0c44298fc1c14'
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: str | Path, content: bytes) -> None:
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
            with open(part, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())  # a disk may say only here that it is full
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise ArtefactError(unwritable(path, error)) from error


def unwritable(path: Path, error: OSError) -> str:
    """What to tell when writing `path` failed with an OSError: the cause and the remedy in one line.

    >>> unwritable(ROOT / "build/a.npz", OSError(28, "No space left on device"))[:56]
    'cannot write build/a.npz: No space left on device. Make '
    """
    return (
        f"cannot write {shown(path)}: {error.strerror or error}. Make room on that disk, or allow writing there, and "
        "run the same command again: what is finished stays"
    )


def decoded(path: Path, decode: Callable, remedy: str, content: bytes | None = None):
    """decode(bytes of a file), or of `content`. Raises ArtefactError, naming file and remedy, whatever it raises.

    >>> decoded(ROOT / "README.md", json.loads, "restore it with `git checkout`")
    Traceback (most recent call last):
    qafs_utils.artefacts.files.ArtefactError: README.md is damaged: restore it with `git checkout`
    """
    try:
        return decode(path.read_bytes() if content is None else content)
    except FileNotFoundError:
        raise ArtefactError(f"{shown(path)} is missing: {remedy}") from None
    except Exception as error:  # a damaged file may raise anything: of zip, zlib, NumPy, pandas, JSON, UTF-8
        raise ArtefactError(f"{shown(path)} is damaged: {remedy}") from error


def to_csv(table: pd.DataFrame) -> bytes:
    """A DataFrame as CSV bytes with six significant digits. Raises ValueError for anything else.

    >>> to_csv(pd.DataFrame({"d": [5], "gap": [0.123456789]})).split()
    [b'd,gap', b'5,0.123457']
    """
    if not isinstance(table, pd.DataFrame):
        raise ValueError(f"table must be a pandas DataFrame, got {require.described(table)}")
    return table.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode()


def from_csv(content: bytes, dtype: type | None = None) -> pd.DataFrame:
    """DataFrame of the bytes of a CSV file; dtype: as of `pandas.read_csv`. "NA" and "None" are text.

    Raises ValueError where the file was cut: pandas would fill a short line up.

    >>> from_csv(b"d,gap\\n5,0.123457\\n").gap.tolist()
    [0.123457]
    """
    rows = list(csv.reader(io.StringIO(content.decode(), newline=""), strict=True))
    if not content.endswith(b"\n") or len({len(row) for row in rows}) != 1:
        raise ValueError("cut")
    return pd.read_csv(io.BytesIO(content), keep_default_na=False, na_values=[""], dtype=dtype)


def published_sums() -> dict[str, str]:
    """{file name: SHA-256} of data/published. Raises ArtefactError when its list is missing or damaged.

    >>> len(published_sums()["01_heads.npz"])  # hexadecimal digits
    64
    """

    def read(content):
        lines = [re.fullmatch(r"([0-9a-f]{64}) [ *](\S+)", line).groups() for line in content.decode().splitlines()]
        return {name: digest for digest, name in lines or [None]}  # an empty list is a damaged one

    return decoded(PUBLISHED / "SHA256SUMS", read, "`git checkout data/published` restores it")


def committed_table(path: Path, remedy: str = "restore it with `git checkout`") -> pd.DataFrame:
    """A committed CSV file, which has rows, as a DataFrame. Raises ArtefactError where it is missing or damaged.

    >>> committed_table(ROOT / "figures" / "table02_claims.csv").verdict.nunique()
    5
    """

    def read(content):
        table = from_csv(content)
        if table.empty:
            raise ValueError("no rows")
        return table

    return decoded(path, read, remedy)


def committed_records() -> dict[str, dict]:
    """{notebook: record} of figures/RECORDS.json. Raises ArtefactError when it is missing or damaged.

    >>> committed_records()["03_qubo"]["parameters"]["example"]
    0
    """
    return decoded(ROOT / RECORDS, lambda content: dict(json.loads(content)), "`git checkout figures` restores it")


def require_equal(now: dict, before: dict, message: str) -> None:
    """Raise ArtefactError with `message` and the names that differ unless two dicts of arrays are equal.

    >>> require_equal({"a": np.arange(2), "b": 2}, {"a": [0, 1], "b": 3}, "the heads changed")
    Traceback (most recent call last):
    qafs_utils.artefacts.files.ArtefactError: the heads changed (b): renew them with `make figures INPUT=images`
    """
    same = {name for name in now.keys() & before.keys() if np.array_equal(now[name], before[name])}
    if differ := sorted((now.keys() | before.keys()) - same):
        raise ArtefactError(f"{message} ({', '.join(differ)}): renew them with `make figures INPUT=images`")
