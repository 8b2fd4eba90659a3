"""Runs that are interrupted, killed or out of disk: nothing corrupt stays, and the same command goes on from there.

And runs whose kernel cannot start, or would bring along what is the user's.
"""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from repository import move_root

from qafs_utils.make import execute

ROOT = Path(__file__).resolve().parents[1]
TARGET = "build/published/notebooks/97_tiny.ipynb"
DATA = "build/published/data"
# a notebook like the others, but quick and in steps: artefacts of 4 MB, a table, a figure
CELLS = [
    'profile = "published"\nsteps = 4\nseed = 0',
    """\
import time
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from qafs_utils.artefacts.run import Run
run = Run("97_tiny", globals())
rng = np.random.default_rng(seed)
for step in range(steps):
    run.save(f"97_step{step}", numbers=rng.random(500_000))
    run.save_table(f"97_table{step}", pd.DataFrame({"v": rng.random(10)}))
    time.sleep(0.2)
run.figure("fig97_tiny", Figure())
run.table("table97_tiny", pd.DataFrame({"v": rng.random(10)}))
""",
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The repository without data and outcomes, with the tiny notebook as the only one in the graph."""
    target = tmp_path_factory.mktemp("repository") / "qafs"
    target.mkdir()
    shutil.copytree(ROOT / "qafs_utils", target / "qafs_utils", ignore=shutil.ignore_patterns("__pycache__"))
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    cells[0].metadata["tags"] = ["parameters"]
    (target / "notebooks").mkdir()
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), target / "notebooks/97_tiny.ipynb")
    shutil.copy(ROOT / "Makefile", target)
    return target


def start(copy, limit=None, before=(), **environment):
    """Run the tiny notebook; limit: bytes beyond which no file grows, as on a full disk; before: of the command."""

    def prepare():
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    environment = os.environ | {"PYTHONPATH": str(copy)} | environment
    command = [*before, "make", TARGET, f"PYTHON={sys.executable}"]
    return subprocess.Popen(
        command,
        cwd=copy,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
        preexec_fn=prepare,
    )


def outcome(copy):
    """{name: bytes} of all artefacts, figures and records."""
    folders = ("data", "figures", "records")
    return {p.name: p.read_bytes() for f in folders for p in (copy / "build/published" / f).iterdir()}


def finish(copy):
    """Run to the end -> its outcome."""
    process = start(copy)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors[-3000:]
    return outcome(copy)


@pytest.fixture(scope="module")
def undisturbed(copy):
    made = finish(copy)
    assert {"97_step3.npz", "97_table3.csv", "fig97_tiny.png", "table97_tiny.csv", "97_tiny.json"} <= made.keys()
    shutil.rmtree(copy / "build")
    return made


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "the run did not get there"
        time.sleep(0.002)


def kernels(copy):
    """Process ids of the notebook kernels at work in the copy."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"ipykernel" in (folder / "cmdline").read_bytes() and (folder / "cwd").readlink() == copy:
                found.append(int(folder.name))
        except OSError:  # it has ended meanwhile
            pass
    return found


def dead():
    """Number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def check_what_is_there(copy):
    """No executed notebook, and every file with a final name is whole."""
    assert not (copy / TARGET).exists()
    for path in (copy / DATA).glob("[0-9]*"):
        if path.suffix == ".npz":
            with np.load(path) as arrays:
                assert arrays["numbers"].shape == (500_000,) and json.loads(str(arrays["record"]))
        elif path.suffix == ".csv":
            assert len(pd.read_csv(path)) == 10
        else:
            assert json.loads(path.read_text())["notebook"] == "97_tiny"
    assert not list((copy / "build/published").glob("figures/[!.]*"))


def newer(copy, since, *patterns):
    """Whether a file of the data that matches a pattern was written since then (nanoseconds)."""
    for path in (path for pattern in patterns for path in (copy / DATA).glob(pattern)):
        try:
            if path.stat().st_mtime_ns > since:
                return True
        except FileNotFoundError:  # moved to its final name meanwhile
            pass
    return False


def interrupted(copy, kill, moment):
    """Start the run and send a signal to all its processes when moment(time of the start) comes -> its messages."""
    since = time.time_ns()
    process = start(copy)
    wait_for(lambda: moment(since))
    os.killpg(process.pid, kill)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    wait_for(lambda: not kernels(copy))  # no orphan goes on computing
    check_what_is_there(copy)
    return errors


def out_of_disk(copy, size):
    """Start the run with files limited to `size` bytes -> the one line of its error."""
    process = start(copy, size)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    check_what_is_there(copy)
    assert not list((copy / "build").rglob("*.part"))
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


needs_proc = pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="finds kernels in /proc")


@needs_proc
def test_whatever_stops_a_run_it_resumes_and_makes_the_same_bytes(copy, undisturbed):
    errors = interrupted(copy, signal.SIGINT, lambda since: newer(copy, since, "97_table0.csv"))
    assert "interrupted: what is finished stays, the same command goes on from there" in errors
    interrupted(copy, signal.SIGKILL, lambda since: kernels(copy))
    interrupted(copy, signal.SIGKILL, lambda since: newer(copy, since, ".97_step1*.part", "97_step1.npz"))
    where = "error: cannot write build/published/notebooks/97_tiny.running.ipynb: File too large. Make room on that"
    assert out_of_disk(copy, 500).startswith(where)
    line = out_of_disk(copy, 1_000_000)
    assert "cannot write build/published/data/97_step0.npz: File too large. Make room on that disk" in line
    gone = dead()
    for name in (f"data/.97_step0.npz.{gone}.part", f"figures/.fig97_tiny.png.{gone}.part"):  # as a kill may leave them
        part = copy / "build/published" / name
        part.parent.mkdir(exist_ok=True)
        part.write_bytes(b"half")
    assert finish(copy) == undisturbed  # the parts are gone, too


@needs_proc
def test_a_run_that_outlives_make_ends_well_and_is_not_joined_by_another(copy, undisturbed, monkeypatch):
    shutil.rmtree(copy / "build", ignore_errors=True)
    process = start(copy)
    wait_for(lambda: newer(copy, 0, "97_step0.npz"))
    process.kill()  # make alone: the notebook goes on
    move_root(monkeypatch, copy)
    with pytest.raises(RuntimeError, match="another run of 97_tiny, profile 'published', is at work: wait for it"):
        with execute.alone("published", "97_tiny"):
            pass
    with execute.alone("published", "98_other"):  # which leaves the files of the other alone
        process.communicate(timeout=60)
    assert outcome(copy) == undisturbed and (copy / TARGET).exists()
    left, live = (copy / DATA / f".97_step0.npz.{pid}.part" for pid in (dead(), os.getpid()))
    left.touch(), live.touch()
    with execute.alone("published", "98_other"):  # clears what nobody writes any more
        assert live.exists() and not left.exists()


def test_a_run_says_where_it_is_and_its_kernel_ends_in_silence(copy):
    shutil.rmtree(copy / "build", ignore_errors=True)
    process = start(copy)
    wait_for(lambda: newer(copy, 0, "97_step0.npz"))
    assert [p.name for p in (copy / TARGET).parent.iterdir()] == ["97_tiny.running.ipynb"]
    output, errors = process.communicate(timeout=60)
    begun, ended = (line for line in output.splitlines() if line.startswith("["))  # beside what make itself says
    assert begun == "[1 of 1] 97_tiny ..." and ended.startswith("[1 of 1] 97_tiny: ")
    assert "ERROR" not in errors and [p.name for p in (copy / TARGET).parent.iterdir()] == ["97_tiny.ipynb"]


def test_nothing_of_the_users_start_up_files_is_left_in_the_outcome(copy, undisturbed, tmp_path):
    shutil.rmtree(copy / "build", ignore_errors=True)
    private = tmp_path / "profile_default/startup/00-mine.py"
    private.parent.mkdir(parents=True)
    private.write_text("email = 'someone@example.org'\nmine, debug, notes = 7, False, ['someone@example.org']\n")
    process = start(copy, IPYTHONDIR=str(tmp_path), PYTHONSTARTUP=str(private))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors[-3000:]
    assert outcome(copy) == undisturbed
    written = [path for path in (copy / "build").rglob("*") if path.is_file()]
    assert len(written) > 10 and not any(b"someone@example.org" in path.read_bytes() for path in written)


def test_another_kernel_of_that_name_is_not_started(copy, undisturbed, tmp_path):
    shutil.rmtree(copy / "build", ignore_errors=True)
    foreign = tmp_path / "kernels/python3/kernel.json"
    foreign.parent.mkdir(parents=True)
    argv = {"argv": ["/bin/false", "-f", "{connection_file}"], "display_name": "mine", "language": "python"}
    foreign.write_text(json.dumps(argv))
    for place in ("JUPYTER_DATA_DIR", "JUPYTER_PATH"):
        process = start(copy, JUPYTER_PREFER_ENV_PATH="0", **{place: str(tmp_path)})
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors[-3000:]
        assert outcome(copy) == undisturbed
        (copy / TARGET).unlink()


@pytest.mark.parametrize(
    "module, source, message",
    [
        ("ipykernel", "raise ImportError('none here')", "ipykernel cannot be imported by .*: install the packages of "),
        (
            "ipykernel_launcher",
            "raise SystemExit(3)",
            "its Jupyter kernel does not start .Kernel died.*launcher --version",
        ),
    ],
)
def test_a_kernel_that_does_not_start_is_named_at_once(copy, tmp_path, module, source, message):
    (tmp_path / f"{module}.py").write_text(source)
    process = start(copy, PYTHONPATH=f"{tmp_path}:{copy}")
    assert_one_line(process, message)


def test_a_kernel_that_dies_later_is_named(copy):
    path = copy / "notebooks/97_tiny.ipynb"
    whole = path.read_text()
    path.write_text(whole.replace("import time", "import os, time; os.kill(os.getpid(), 9)"))
    try:
        assert_one_line(start(copy), "its kernel was killed, probably for want of memory: end other programs")
    finally:
        path.write_text(whole)


def test_a_machine_without_loopback_is_named_at_once(copy):
    alone = ["unshare", "--net"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("no network of its own is allowed here")
    assert_one_line(start(copy, before=alone), "its Jupyter kernel cannot be reached.*no loopback network 127.0.0.1")


def assert_one_line(process, message):
    """A run ends within seconds, with one line that names the notebook, the cause and what to do."""
    _, errors = process.communicate(timeout=30)
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert process.returncode != 0 and len(lines) == 1 and "Traceback" not in errors, errors[-3000:]
    assert re.search(f"error: 97_tiny: .*{message}", lines[0]), lines[0]
