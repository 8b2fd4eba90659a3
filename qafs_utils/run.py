"""Where a run lives: its profile, parameters, artefacts and figures. The only module that knows where these lie.

An artefact is a compressed .npz, or a .csv, with a JSON record of what made it (parameters, inputs, versions); its name
begins with its notebook's number. Files are written to a temporary name and moved, so none is ever half there.
"""

import ast
import contextlib
import fcntl
import hashlib
import importlib.metadata
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from .provenance import code_hash

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
IMAGE_NOTEBOOKS = ("01", "02", "06", "12")
PACKAGES = ("torch", "torchvision", "numpy", "scipy", "numba", "dimod", "dwave-samplers")
LITERALS = (bool, int, float, str, list)


class ArtefactError(RuntimeError):
    """A missing, damaged or mismatched artefact; the message names the remedy.

    >>> Run("03_qubo", {"profile": "smoke"}).load("02_no_such_artefact")  # doctest: +ELLIPSIS
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
    if profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r}: choose from {', '.join(PROFILES)}")


def defaults(notebook):
    """{name: value} of a notebook's parameter cell, literals only.

    Raises ValueError if there is no such notebook, cell, or a value is not a literal.

    >>> defaults("03_qubo")["beta"]
    0.7
    """
    path = ROOT / "notebooks" / f"{notebook}.ipynb"
    if not path.exists():
        raise ValueError(f"there is no notebook {path.relative_to(ROOT)}")
    tagged = [c for c in json.loads(path.read_text())["cells"] if "parameters" in c["metadata"].get("tags", [])]
    if len(tagged) != 1:
        raise ValueError(f"{notebook}: expected one cell tagged 'parameters', found {len(tagged)}")
    return {a.targets[0].id: ast.literal_eval(a.value) for a in ast.parse("".join(tagged[0]["source"])).body}


def overrides(notebook, profile):
    """Parameters of params/<profile>/<notebook>.yaml, checked against the notebook's parameter cell.

    Raises ValueError for a name the notebook does not have, or a value of another type.

    >>> overrides("04_annealing", "smoke")
    {'betas_full': [0.5, 0.7, 0.99, 1.0], 'seeds': [0, 1]}
    """
    known = defaults(notebook)
    path = ROOT / "params" / profile / f"{notebook}.yaml"
    if not path.exists():
        return {}
    values = yaml.safe_load(path.read_text()) or {}
    for name, value in values.items():
        where = f"{path.relative_to(ROOT)}: {name}"
        if name not in known:
            raise ValueError(f"{where} is not a parameter of {notebook}; it has {', '.join(sorted(known))}")
        if type(value) is not type(known[name]):
            raise ValueError(f"{where} must be {type(known[name]).__name__}, as in the notebook, got {value!r}")
    return values


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

    Raises ArtefactError, naming the file, the cause and the remedy, when the disk is full or does not let us write.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "new" / "a.txt"
    ...     write_atomically(path, b"whole")
    ...     path.read_bytes(), [p.name for p in path.parent.iterdir()]
    (b'whole', ['a.txt'])
    """
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
    where = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    return (
        f"cannot write {where}: {error.strerror or error}. Make room on that disk, or allow writing there, and run the "
        "same command again: what is finished stays"
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
    folder = ROOT / "build" / profile
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


def published_sums():
    """{file name: SHA-256} of data/published. Raises ArtefactError when its list is missing.

    >>> len(published_sums()["01_heads.npz"])  # hexadecimal digits
    64
    """
    try:
        lines = (PUBLISHED / "SHA256SUMS").read_text().splitlines()
    except FileNotFoundError:
        raise ArtefactError("data/published/SHA256SUMS is missing: `git checkout data/published` restores it") from None
    return {name: digest for digest, name in (line.split() for line in lines)}


def head_name(n_features, seed=0):
    """Name in artefact 01_heads of the headline model with that many maps and training seed.

    >>> head_name(16), head_name(512, seed=4)
    ('nf16_paper_seed0', 'nf512_full_seed4')
    """
    return f"nf{n_features}_{'full' if n_features == 512 else 'paper'}_seed{seed}"


class Run:
    """One notebook's run: `Run("04_annealing", globals())` takes the profile and parameters from the notebook.

    Opened in JupyterLab, it writes to build/lab/<profile>, where others in the lab find it first: what `make` has made
    stays as it is. Raises ValueError for an unknown profile.

    >>> run = Run("04_annealing", {"profile": "published", "beta": 0.7, "np": np, "_private": 1})
    >>> run.parameters
    {'profile': 'published', 'beta': 0.7}
    >>> [run.path(name).relative_to(ROOT).as_posix() for name in ("02_images.npz", "03_nf16.npz")]
    ['data/published/02_images.npz', 'build/published/data/03_nf16.npz']
    """

    def __init__(self, notebook, parameters):
        self.notebook = notebook
        self.parameters = {  # not `In` of IPython, nor constants that a notebook imports
            k: v for k, v in parameters.items() if isinstance(v, LITERALS) and k[0] != "_" and k == k.lower()
        }
        self.profile = self.parameters["profile"]
        check_profile(self.profile)
        self.folder = ROOT / "build" / self.profile
        in_lab = "get_ipython" in parameters and WITHIN_MAKE not in os.environ
        self.target = ROOT / "build" / "lab" / self.profile if in_lab else self.folder
        self.inputs, self.sources, self.made = {}, {}, {"artefacts": {}, "figures": {}}
        self.code = code_hash(notebook, ROOT)

    def path(self, name):
        """Where an artefact is read from: build/<profile>/data, or data/published for published image notebooks.

        In the lab what the lab has made comes first.
        """
        if self.target != self.folder and (self.target / "data" / name).exists():
            return self.target / "data" / name
        if self.profile == "published" and name[:2] in IMAGE_NOTEBOOKS:
            return PUBLISHED / name
        return self.folder / "data" / name

    def uses(self, sources):
        """Note raw files that the notebook reads, {name: checksum}, for the record of what it makes."""
        self.sources |= sources

    def save(self, name, **arrays):
        """Write an artefact `<name>.npz` with arrays, and the record of what made it  ->  its path."""
        record = json.dumps(self.record(), sort_keys=True)
        path = self.target / "data" / f"{name}.npz"
        content = io.BytesIO()
        np.savez_compressed(content, record=record, **arrays)
        self._write("artefacts", path, content.getvalue())
        return path

    def save_table(self, name, table):
        """Write an artefact `<name>.csv` from a DataFrame, and `<name>.json` with the record of what made it."""
        record = json.dumps(self.record(), sort_keys=True, indent=1) + "\n"
        self._write("artefacts", self.target / "data" / f"{name}.json", record.encode())
        self._write("artefacts", self.target / "data" / f"{name}.csv", to_csv(table))

    def load(self, name):
        """Arrays of an artefact as a dict, the record decoded.

        Raises ArtefactError when it is missing, damaged, or (published) not the file that was committed.
        """
        content = self._read(f"{name}.npz")
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                loaded = dict(arrays)
            loaded["record"] = json.loads(str(loaded["record"]))
        except (ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            path, notebook = self.path(f"{name}.npz").relative_to(ROOT), name.split("_")[0]
            raise ArtefactError(f"{path} is damaged: delete it and run notebook {notebook} again") from error
        return loaded

    def load_table(self, name):
        """A table artefact as a DataFrame. Raises ArtefactError as `load`."""
        return pd.read_csv(io.BytesIO(self._read(f"{name}.csv")))

    def paper(self, name):
        """Numbers reported in the paper: data/paper_values/<name>.csv as a DataFrame."""
        return pd.read_csv(PAPER_VALUES / f"{name}.csv")

    def measured(self, name):
        """Times measured by `make benchmark`: benchmarks/<name>.csv as a DataFrame."""
        return pd.read_csv(BENCHMARKS / f"{name}.csv")

    def figure(self, name, figure):
        """Write a figure as PNG and PDF into the run's figures, with what made it as metadata."""
        record = json.dumps(self.record(versions=False), sort_keys=True)
        for suffix, metadata in (
            ("png", {"Title": name, "Description": record, "Software": None}),
            ("pdf", {"Title": name, "Subject": record, "CreationDate": None}),
        ):
            content = io.BytesIO()
            figure.savefig(content, format=suffix, metadata=metadata)
            self._write("figures", self.target / "figures" / f"{name}.{suffix}", content.getvalue())

    def table(self, name, table):
        """Write a published table as CSV into the run's figures."""
        self._write("figures", self.target / "figures" / f"{name}.csv", to_csv(table))

    def page(self, name, text):
        """Write a published page of Markdown into the run's figures."""
        self._write("figures", self.target / "figures" / f"{name}.md", text.encode())

    def record(self, versions=True):
        """What made an artefact: notebook, parameters, SHA-256 of the artefacts read, package versions."""
        parameters = {k: v for k, v in self.parameters.items() if k != "profile"}
        record = {"notebook": self.notebook, "parameters": parameters, "inputs": self.inputs}
        if versions:
            record["versions"] = {p: importlib.metadata.version(p) for p in PACKAGES}
        return record

    def _write(self, kind, path, content):
        """Write a file, and the record of all that this notebook has made so far (they become figures/RECORDS.json)."""
        write_atomically(path, content)
        self.made[kind][path.name] = hashlib.sha256(content).hexdigest()[:16]
        record = self.record() | {"code": self.code, "sources": self.sources} | self.made
        content = json.dumps(record, sort_keys=True, indent=1) + "\n"
        write_atomically(self.target / "records" / f"{self.notebook}.json", content.encode())

    def _read(self, file):
        path = self.path(file)
        notebook = file.split("_")[0]
        if not path.exists():
            raise ArtefactError(
                f"{path.relative_to(ROOT)} is missing: run notebook {notebook} with profile {self.profile!r} first "
                "(`make figures` runs them all), or `git checkout data/published` if it was deleted there"
            )
        if path.is_relative_to(self.target) and self.target != self.folder:
            print(f"{file} is the one made in the lab: delete {path.relative_to(ROOT)} to read the one of `make` again")
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if path.parent == PUBLISHED and published_sums().get(file) != digest:
            raise ArtefactError(
                f"{path.relative_to(ROOT)} is not the published file (SHA-256 differs from SHA256SUMS): "
                "restore it with `git checkout data/published`, or rebuild it with `make figures INPUT=images`"
            )
        self.inputs[file] = digest[:16]
        return content


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

    >>> made = {"record": {"notebook": "03_qubo", "parameters": {"beta": 0.7}}}
    >>> require_same_parameters(Run("04_annealing", {"profile": "smoke", "beta": 0.9}), made, ["beta"])
    Traceback (most recent call last):
    qafs_utils.run.ArtefactError: 04_annealing and 03_qubo disagree: beta = 0.9 (was 0.7). Set both alike and rerun
    """
    made = artefact["record"]["parameters"]
    differ = [f"{n} = {run.parameters[n]!r} (was {made[n]!r})" for n in names if run.parameters[n] != made[n]]
    if differ:
        raise ArtefactError(
            f"{run.notebook} and {artefact['record']['notebook']} disagree: {', '.join(differ)}. "
            "Set both alike and rerun"
        )


def to_csv(table):
    """A DataFrame as CSV bytes with six significant digits.

    >>> to_csv(pd.DataFrame({"d": [5], "gap": [0.123456789]})).split()
    [b'd,gap', b'5,0.123457']
    """
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
