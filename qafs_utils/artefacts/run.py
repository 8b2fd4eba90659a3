"""Where a run lives: its profile, parameters, artefacts and figures. The only module that knows where these lie.

An artefact is a compressed .npz, or a .csv, with a JSON record of what made it (parameters, inputs, versions); its name
begins with its notebook's number. Files are written to a temporary name and moved, so none is ever half there.
"""

import hashlib
import importlib.metadata
import io
import json
import os
import zipfile
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from .. import require
from .answers import answered
from .files import (
    BENCHMARKS,
    PAPER_VALUES,
    PUBLISHED,
    ROOT,
    ArtefactError,
    checked_name,
    committed_table,
    decoded,
    from_csv,
    published_sums,
    shown,
    to_csv,
    write_atomically,
)
from .parameters import IMAGE_NOTEBOOKS, defaults, literal
from .provenance import PROFILES, code_hash

WITHIN_MAKE = "QAFS_RUN"  # set in the environment of the kernels that `python -m qafs_utils run` starts
INSIDE = (ROOT / "notebooks").exists()  # the repository, or else the package as pip installs it
RESERVED = ("record", "file", "allow_pickle")  # no names for arrays: the record's own, and arguments of NumPy
PACKAGES = ("numpy", "scipy", "numba", "dimod", "dwave-samplers")
OF_PHOTOGRAPHS = ("torch", "torchvision", *PACKAGES)  # the others run, to the same bytes, where there is no PyTorch


class Artefacts:
    """What notebooks have left, to read: `Artefacts("published").load("02_images")`. A notebook itself has a `Run`.

    Raises ValueError for an unknown profile.

    >>> Artefacts("published").load("02_images")["labels"].shape
    (200,)
    >>> Artefacts("published").path("03_nf16.npz").relative_to(ROOT).as_posix()
    'build/published/data/03_nf16.npz'
    """

    def __init__(self, profile: str, in_lab: bool = False):
        require.choice("profile", profile, PROFILES)
        self.profile, self.folder, self.inputs = profile, ROOT / "build" / profile, {}
        self.target = ROOT / "build" / "lab" / profile if in_lab else self.folder

    def path(self, name: str) -> Path:
        """Where a file is read from: build/<profile>/data, or data/published for published image notebooks.

        In the lab what the lab has made comes first.
        """
        if self.target != self.folder and (self.target / "data" / name).exists():
            return self.target / "data" / name
        if self.profile == "published" and (name[:2] in IMAGE_NOTEBOOKS or not INSIDE):
            return PUBLISHED / name
        return self.folder / "data" / name

    def load(self, name: str) -> dict:
        """Arrays of an artefact as a dict, the record decoded.

        Raises ArtefactError when it is missing, damaged, or (published) not the file that was committed.
        """
        return self._read(f"{checked_name(name)}.npz", _arrays)

    def load_table(self, name: str, dtype: type | None = None) -> pd.DataFrame:
        """A table artefact. dtype: str for all cells as they are written. Raises ArtefactError as `load`."""
        return self._read(f"{checked_name(name)}.csv", lambda content: from_csv(content, dtype))

    def paper(self, name: str) -> pd.DataFrame:
        """Numbers reported in the paper: data/paper_values/<name>.csv. Raises ArtefactError."""
        return committed_table(PAPER_VALUES / f"{checked_name(name)}.csv")

    def measured(self, name: str) -> pd.DataFrame:
        """Times measured by `make benchmark`: benchmarks/<name>.csv. Raises ArtefactError."""
        remedy = "restore it with `git checkout`, or measure again with `make benchmark`"
        return committed_table(BENCHMARKS / f"{checked_name(name)}.csv", remedy)

    def _read(self, file, decode):
        path, number = self.path(file), file.split("_")[0]
        if not path.exists() and not INSIDE:
            raise ArtefactError(
                f"{path} is missing: the package as installed holds the heads only, work in the repository"
            )
        if not path.exists():
            raise ArtefactError(
                f"{shown(path)} is missing: run notebook {number} with profile {self.profile!r} first "
                "(`make figures` runs them all), or `git checkout data/published` if it was deleted there"
            )
        if path.is_relative_to(self.target) and self.target != self.folder:
            print(f"{file} is the one made in the lab: delete {shown(path)} to read the one of `make` again")
        remedy = f"delete it and run notebook {number} again"
        content = decoded(path, bytes, remedy)
        digest = hashlib.sha256(content).hexdigest()
        if path.parent == PUBLISHED and published_sums().get(file) != digest:
            raise ArtefactError(
                f"{shown(path)} is not the published file (SHA-256 differs from SHA256SUMS): "
                "restore it with `git checkout data/published`, or rebuild it with `make figures INPUT=images`"
            )
        for record in (path.parents[1] / "records").glob(f"{number}_*.json"):  # of the notebook that made it
            if not (ROOT / "notebooks" / f"{record.stem}.ipynb").exists():  # renamed or gone since
                continue
            made = decoded(record, lambda text: dict(json.loads(text)["artefacts"]), remedy)
            if made.get(file, digest[:16]) != digest[:16]:
                raise ArtefactError(f"{shown(path)} is damaged, not what notebook {number} wrote: {remedy}")
        self.inputs[file] = digest[:16]
        return decoded(path, decode, remedy, content)


class Run(Artefacts):
    """One notebook's run: `Run("04_annealing", globals())` takes the values of the notebook's parameters.

    Those are the names of its parameter cell; whatever else the kernel holds is left alone. Opened in JupyterLab, it
    writes to build/lab/<profile>, where others in the lab find it first: what `make` has made stays. From here on
    BLAS has one thread in a kernel: sums by several differ with their number. Raises ValueError for an unknown notebook
    or profile, and, naming the parameter, for one that is missing or no literal.

    >>> run = Run("04_annealing", defaults("04_annealing") | {"seed": 1, "token": "mine", "np": np})
    >>> run.parameters["seed"], "token" in run.parameters
    (1, False)
    """

    def __init__(self, notebook: str, namespace: dict):
        names = defaults(notebook)
        missing = [name for name in names if name not in _dict("namespace", namespace)]
        if missing:
            raise ValueError(f"{notebook}: no value for {', '.join(missing)}: run the cell of its parameters first")
        self.notebook, self.parameters = notebook, {name: literal(name, namespace[name]) for name in names}
        in_kernel = "get_ipython" in namespace
        super().__init__(self.parameters["profile"], in_kernel and WITHIN_MAKE not in os.environ)
        if in_kernel:
            os.environ["OPENBLAS_NUM_THREADS"] = "1"  # of what is loaded later, and of worker processes
            threadpool_limits(1, "blas")
        if in_kernel and WITHIN_MAKE in os.environ:
            _end_at_once(getattr(namespace["get_ipython"](), "kernel", None))
        self.sources, self.made = {}, {"artefacts": {}, "figures": {}}
        self.answers = {}  # to the paper's statements, by id
        self.code = code_hash(notebook, ROOT)

    def uses(self, sources: dict) -> None:
        """Note raw files that the notebook reads, {name: checksum}, for the record of what it makes."""
        self.sources |= literal("sources", _dict("sources", sources))

    def save(self, name: str, **arrays) -> Path:
        """Write an artefact `<name>.npz` with arrays, and the record of what made it  ->  its path.

        Raises ValueError, naming it, for an array of Python objects, which `load` could not read.
        """
        return self._write("artefacts", name, "npz", _npz(name, self.record(), arrays))

    def save_table(self, name: str, table: pd.DataFrame) -> pd.DataFrame:
        """Write an artefact `<name>.csv`, and `<name>.json` with the record of what made it.

        ->  the table as `load_table` reads it: six digits of each number.
        Raises ValueError, naming the column, for what `load_table` would read as something else: "001", a named index.
        """
        record, content = json.dumps(self.record(), sort_keys=True, indent=1) + "\n", to_csv(table)
        _require_readable(table, content)
        self._write("artefacts", name, "json", record.encode())
        self._write("artefacts", name, "csv", content)
        return from_csv(content)

    def claim(
        self,
        name: str,
        ours: float = np.nan,
        low: float = np.nan,
        high: float = np.nan,
        *,
        reported: float | None = None,
        holds: bool | None = None,
        partly: bool = False,
        testable: bool = True,
        why: str = "",
        seeds=(),
        unit: str = "images",
        p: float | None = None,
    ) -> None:
        """Answer a statement of the paper, by its id in data/paper_values/claims.csv, with what this notebook measures.

        ours, low, high: our value and its 95 % interval; reported: the paper's value, where claims.csv has none;
        holds, partly, testable: as for `claims.verdict`, which judges it; why: one line beside it; seeds: our values
        of reruns, other training seeds or draws, whose `rerun_noise` enters the verdict; unit: what the interval
        resamples, of `answers.UNITS`; p: of a test, corrected over all statements with one. A second answer to a
        statement replaces the first. The answers are the artefact <number>_claims.csv. Raises ValueError for an
        unknown id, and, naming it, for what is no number (NaN is one), neither true nor false, or an unknown unit.
        """
        if name not in set(self.paper("claims").id):
            raise ValueError(f"no statement has the id {name!r}: add its line to data/paper_values/claims.csv")
        numbers = {"reported": reported, "ours": ours, "low": low, "high": high}
        given = {"holds": holds, "partly": partly, "testable": testable, "why": why}
        answer = answered(name, numbers, **given, seeds=seeds, unit=unit, p=p)
        answers = self.answers | {name: answer | {"notebook": self.notebook}}
        self.save_table(f"{self.notebook[:2]}_claims", pd.DataFrame(answers.values()))
        self.answers = answers

    def claims(self):
        """What the paper says of this notebook's subject, beside what was answered: a pandas Styler to show."""
        said, numbers = ["place", "claim", "measured", "holds_if"], ["reported", "ours", "low", "high", "noise", "p"]
        answers = pd.DataFrame(self.answers.values(), columns=["id", *numbers, "unit", "why"]).set_index("id")
        table = answers.combine_first(self.paper("claims").set_index("id"))
        table = table.loc[answers.index, [*said, *numbers, "unit", "why"]].fillna({"holds_if": ""})
        shown = table.style.format("{:.3g}", numbers, na_rep="").hide(axis="index").set_uuid("claims")
        return shown.set_properties(**{"text-align": "left", "white-space": "normal"})

    def figure(self, name: str, figure) -> None:
        """Write a Matplotlib figure as PNG and PDF into the run's figures, with what made it as metadata."""
        if not hasattr(figure, "savefig"):
            raise ValueError(f"figure must be a Matplotlib figure, got {require.described(figure)}")
        record = json.dumps(self.record(versions=False), sort_keys=True)
        for suffix, metadata in (
            ("png", {"Title": checked_name(name), "Description": record, "Software": None}),
            ("pdf", {"Title": name, "Subject": record, "CreationDate": None}),
        ):
            content = io.BytesIO()
            figure.savefig(content, format=suffix, metadata=metadata)
            self._write("figures", name, suffix, content.getvalue())

    def table(self, name: str, table: pd.DataFrame) -> None:
        """Write a published table as CSV into the run's figures."""
        self._write("figures", name, "csv", to_csv(table))

    def page(self, name: str, text: str) -> None:
        """Write a published page of Markdown into the run's figures."""
        if not isinstance(text, str):
            raise ValueError(f"text must be text, got {require.described(text)}")
        self._write("figures", name, "md", text.encode())

    def record(self, versions: bool = True) -> dict:
        """What made an artefact: notebook, parameters, SHA-256 of the artefacts read, package versions."""
        parameters = {k: v for k, v in self.parameters.items() if k != "profile"}
        record = {"notebook": self.notebook, "parameters": parameters, "inputs": self.inputs}
        if versions:
            packages = OF_PHOTOGRAPHS if self.notebook[:2] in IMAGE_NOTEBOOKS else PACKAGES
            record["versions"] = {package: importlib.metadata.version(package) for package in packages}
        return record

    def _write(self, kind, name, suffix, content):
        """Write a file, and the record of all that this notebook has made (figures/RECORDS.json later)  ->  path."""
        path = self.target / {"artefacts": "data", "figures": "figures"}[kind] / f"{checked_name(name)}.{suffix}"
        write_atomically(path, content)
        self.made[kind][path.name] = hashlib.sha256(content).hexdigest()[:16]
        record = self.record() | {"code": self.code, "sources": self.sources} | self.made
        content = json.dumps(record, sort_keys=True, indent=1) + "\n"
        write_atomically(self.target / "records" / f"{self.notebook}.json", content.encode())
        return path


def _end_at_once(kernel):
    """Let a kernel end with its workers: it would signal those that watch them, which do not listen, for 29 s."""

    async def nothing():
        pass

    if kernel is not None:
        kernel._progressively_terminate_all_children = nothing  # of ipykernel; the interpreter ends joblib's itself


def _npz(name, record, arrays):
    """Arrays and a record, {name: value} each, as the bytes of an .npz. Raises ValueError for what it cannot hold."""
    plain = {}
    for key, given in arrays.items():
        if key in RESERVED:
            raise ValueError(f"{name}: {key} is no name for an array: {', '.join(RESERVED)} are taken")
        try:
            plain[key] = np.asanyarray(given)
        except (ValueError, TypeError, RuntimeError):  # of several lengths; a tensor on a GPU, or with a graph
            plain[key] = np.asarray(None)
        if plain[key].dtype.hasobject or isinstance(plain[key], np.ma.MaskedArray):  # its mask would be lost
            raise ValueError(
                f"{name}: {key} must be an array of numbers, text or booleans, on the CPU, or it could not be "
                f"read again, got {require.described(given)}"
            )
    content = io.BytesIO()
    np.savez_compressed(content, record=json.dumps(record, sort_keys=True), **plain)
    return content.getvalue()


def _arrays(content):
    """{name: array} of the bytes of an .npz, its record decoded. Each member is read to its end: its check-sum."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name.removesuffix(".npy"): io.BytesIO(archive.read(name)) for name in archive.namelist()}
    loaded = {name: np.lib.format.read_array(member, allow_pickle=False) for name, member in members.items()}
    return loaded | {"record": dict(json.loads(str(loaded["record"])))}


def _require_readable(table, content):
    """Raise ValueError, naming the column, unless `from_csv` reads the bytes of a table as what it holds.

    Only whole numbers among text may become text, and text of no length a missing value.
    """
    has_columns = len(table.columns) and table.index.names == [None]
    read = from_csv(content) if has_columns else table
    if not has_columns or list(table.columns) != list(read):
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


def _dict(name, given):
    if not isinstance(given, Mapping):
        raise ValueError(f"{name} must be a dict, got {require.described(given)}")
    return given


def require_same_parameters(run: Run, artefact: dict, names: list) -> None:
    """Raise ArtefactError unless this run has the parameters that an artefact was made with.

    artefact: as `Run.load` returns it; names: parameters that both notebooks have.

    >>> run = Run("04_annealing", defaults("04_annealing") | {"conventions": "text"})
    >>> made = {"record": {"notebook": "03_qubo", "parameters": {"conventions": "headline"}}}
    >>> require_same_parameters(run, made, ["conventions"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    qafs_utils.artefacts.files.ArtefactError: 04_annealing and 03_qubo disagree: conventions = 'text' (was 'head...
    """
    made, now = artefact["record"], run.parameters
    was = {name: made["parameters"].get(name, "not recorded") for name in names}
    differ = [f"{name} = {now[name]!r} (was {was[name]!r})" for name in names if now[name] != was[name]]
    if differ:
        raise ArtefactError(
            f"{run.notebook} and {made['notebook']} disagree: {', '.join(differ)}. Set both alike and rerun"
        )
