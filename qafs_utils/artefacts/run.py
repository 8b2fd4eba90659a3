"""Where a run lives: its profile, parameters, artefacts and figures. The only module that knows where these lie.

An artefact is a compressed .npz, or a .csv, with a JSON record of what made it (parameters, inputs, versions); its name
begins with its notebook's number. Files are written to a temporary name and moved, so none is ever half there.
"""

import hashlib
import importlib.metadata
import io
import json
import os

import numpy as np
import pandas as pd

from .. import require
from .files import (
    BENCHMARKS,
    PAPER_VALUES,
    PUBLISHED,
    ROOT,
    ArtefactError,
    _arrays,
    _named,
    _plain,
    _require_same,
    _shown,
    _table,
    committed_table,
    decoded,
    published_sums,
    to_csv,
    write_atomically,
)
from .parameters import IMAGE_NOTEBOOKS, _dict, check_profile, defaults, literal
from .provenance import code_hash

WITHIN_MAKE = "QAFS_RUN"  # set in the environment of the kernels that `python -m qafs_utils run` starts
PACKAGES = ("torch", "torchvision", "numpy", "scipy", "numba", "dimod", "dwave-samplers")


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
        self.answers = {}  # to the paper's statements, by id
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

        ->  the table as `load_table` reads it: six digits of each number.
        Raises ValueError, naming the column, for what `load_table` would read as something else: "001", a named index.
        Only whole numbers among text may become text, and text of no length a missing value.
        """
        record, content = json.dumps(self.record(), sort_keys=True, indent=1) + "\n", to_csv(table)
        _require_same(table, content)
        self._write("artefacts", name, "json", record.encode())
        self._write("artefacts", name, "csv", content)
        return _table(content)

    def claim(
        self,
        name,
        ours=np.nan,
        low=np.nan,
        high=np.nan,
        *,
        reported=None,
        holds=None,
        partly=False,
        testable=True,
        verdict="",
        why="",
        seeds=(),
    ):
        """Answer a statement of the paper, by its id in data/paper_values/claims.csv, with what this notebook measures.

        ours, low, high: our value and its 95 % interval; reported: the paper's value, where claims.csv has none;
        holds, partly, testable: as for `claims.verdict`, which judges it; verdict: instead of that rule's; why: one line
        beside it; seeds: our values for other training seeds. The answers are the artefact <number>_claims.csv.
        Raises ValueError for an unknown id.

        """
        known = self.paper("claims").id.tolist()
        self.answers[require.choice("claim", name, known)] = {
            "id": name,
            "reported": np.nan if reported is None else reported,
            "ours": ours,
            "low": low,
            "high": high,
            "holds": {None: "", True: "yes", False: "no"}[holds if holds is None else bool(holds)],
            "partly": bool(partly),
            "testable": bool(testable),
            "verdict": verdict,
            "seeds": f"{min(seeds):.3g} to {max(seeds):.3g}" if len(seeds) else "",
            "why": why,
        }
        self.save_table(f"{self.notebook[:2]}_claims", pd.DataFrame(self.answers.values()))

    def claims(self):
        """What the paper says of this notebook's subject, beside what was answered: a DataFrame to show."""
        answers = pd.DataFrame(self.answers.values())[["id", "reported", "ours", "low", "high", "why"]]
        stated = self.paper("claims")[["id", "place", "statement", "reported"]]
        shown = answers.merge(stated, on="id", how="left", suffixes=("", "_by_paper"))
        shown["reported"] = shown.reported.fillna(shown.reported_by_paper)
        return shown[["place", "statement", "reported", "ours", "low", "high", "why"]]

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


def require_same_parameters(run, artefact, names):
    """Raise ArtefactError unless this run has the parameters that an artefact was made with.

    artefact: as `Run.load` returns it; names: parameters that both notebooks have.

    >>> run = Run("04_annealing", defaults("04_annealing") | {"beta": 0.9})
    >>> made = {"record": {"notebook": "03_qubo", "parameters": {"beta": 0.7}}}
    >>> require_same_parameters(run, made, ["beta"])
    Traceback (most recent call last):
    qafs_utils.artefacts.files.ArtefactError: 04_annealing and 03_qubo disagree: beta = 0.9 (was 0.7). Set both alike and rerun
    """
    made, now = artefact["record"], run.parameters
    was = {name: made["parameters"].get(name, "not recorded") for name in names}
    differ = [f"{name} = {now[name]!r} (was {was[name]!r})" for name in names if now[name] != was[name]]
    if differ:
        raise ArtefactError(
            f"{run.notebook} and {made['notebook']} disagree: {', '.join(differ)}. Set both alike and rerun"
        )
