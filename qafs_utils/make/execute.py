"""Run one notebook with papermill: alone, its kernel's environment prepared, its copy in place on success only."""

import contextlib
import errno
import json
import logging
import os
import re
import socket
import sys
import tempfile
import time
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path

import joblib
import psutil
from filelock import FileLock, Timeout

from ..artefacts.files import ROOT, ArtefactError, checked_name, unwritable, write_atomically
from ..artefacts.parameters import overrides
from ..artefacts.run import WITHIN_MAKE

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)
# glibc gives large blocks back and faults them in again: a third of a forward pass. Notebook kernels inherit this.
ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}
THREADS = ("OMP_NUM_THREADS", "LOKY_MAX_CPU_COUNT")  # PyTorch's, and those of joblib, which ours follow too
BARS = 30.0  # seconds between two states of a progress bar in a log that is no terminal


def shared_cores(environment: Mapping[str, str], cores: int) -> dict[str, str]:
    """Variables that give a kernel its share of the cores beside those of `make -jN`: environment of make's recipe.

    cores // N threads or processes, at least one; one for `make -j`, which runs all at once. All cores for one run
    after the other, and what the user has set.

    >>> shared_cores({"MAKEFLAGS": "k -j2 --jobserver-auth=3,4 -- INPUT=images"}, cores=8)
    {'OMP_NUM_THREADS': '4', 'LOKY_MAX_CPU_COUNT': '4'}
    """
    flags = takewhile(lambda word: word != "--", environment.get("MAKEFLAGS", "").split())  # variables come after it
    jobs = [word[2:] for word in flags if re.fullmatch(r"-j\d*", word)] or ["1"]
    share = str(max(1, cores // int(jobs[-1] or cores)))
    return {name: environment.get(name, share) for name in THREADS}


@contextlib.contextmanager
def alone(profile: str, notebook: str):
    """Hold a notebook of build/<profile> for one run at a time, after clearing what killed processes have left there.

    Other notebooks may run meanwhile (`make -j`): temporary files carry the number of the process that writes them.
    The operating system lets go of the lock when the process ends, however it ends. Raises RuntimeError while another
    run has the notebook, ArtefactError when the folder cannot be written.

    >>> with alone("doctest", "03_qubo"), alone("doctest", "04_annealing"):
    ...     with alone("doctest", "03_qubo"):
    ...         pass
    Traceback (most recent call last):
    RuntimeError: another run of 03_qubo, profile 'doctest', is at work: wait for it, or end it first
    """
    folder = ROOT / "build" / checked_name(profile)
    lock = FileLock(folder / f".{checked_name(notebook)}.lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        who = f"{notebook}, profile {profile!r},"
        raise RuntimeError(f"another run of {who} is at work: wait for it, or end it first") from None
    except OSError as error:
        raise ArtefactError(unwritable(folder, error)) from error
    try:
        for part in folder.glob("*/.*.part"):
            if not _written(part):
                part.unlink(missing_ok=True)
        yield
    finally:
        lock.release()


def _written(part):
    """Whether the process whose number a temporary file carries is still there to finish it."""
    try:
        process = psutil.Process(int(part.name.split(".")[-2]))
        began_before = process.create_time() <= part.stat().st_mtime + 1  # else the number is another's by now
        return began_before and process.status() != psutil.STATUS_ZOMBIE
    except psutil.AccessDenied:
        return True
    except (ValueError, OverflowError, OSError, psutil.NoSuchProcess):
        return False


def run_notebook(profile: str, notebook: str) -> None:
    """Execute one notebook with papermill; the executed copy appears only when it succeeded.

    While it runs, it can be watched as <notebook>.running.ipynb; a failed run stays as <notebook>.failed.ipynb,
    traceback inside. The kernel has the interpreter of this process, and nothing of the user's IPython. Raises
    ValueError for bad parameters, RuntimeError naming the error of a failing cell, a kernel that does not start, a full
    disk, or another run of it at work.

    >>> run_notebook("paper", "03_qubo")
    Traceback (most recent call last):
    ValueError: unknown profile 'paper': choose from published, images, smoke
    """
    values = overrides(notebook, profile) | {"profile": profile}
    done = ROOT / "build" / profile / "notebooks" / f"{notebook}.ipynb"
    running, failed = done.with_suffix(".running.ipynb"), done.with_suffix(".failed.ipynb")
    step = f"[{os.environ['QAFS_STEP']}] {notebook}" if "QAFS_STEP" in os.environ else notebook
    start = time.perf_counter()
    with alone(profile, notebook):
        try:
            done.parent.mkdir(parents=True, exist_ok=True)
            print(f"{step} ...", flush=True)
            _papermill(notebook, running, values)
        except OSError as error:
            if error.errno in UNWRITABLE:
                raise RuntimeError(unwritable(Path(error.filename or running), error)) from None
            raise
        except _CellError as error:
            os.replace(running, failed)
            where = f"traceback in {failed.relative_to(ROOT)}, Jupyter kernel: {sys.executable}"
            raise RuntimeError(f"{notebook}: {error} ({where})") from None
        os.replace(running, done)
        failed.unlink(missing_ok=True)
        print(f"{step}: {time.perf_counter() - start:.0f} s -> {done.relative_to(ROOT)}", flush=True)


class _CellError(RuntimeError):
    """The error of a notebook's cell."""


def _papermill(notebook, target, values):
    """Execute a notebook into `target`. Raises _CellError; RuntimeError, naming notebook and remedy, for its kernel."""
    sys.modules.setdefault("rfc3987_syntax", None)  # jsonschema can do without, and papermill starts 3 s earlier
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    logging.getLogger("papermill").setLevel(logging.ERROR)  # it warns of literals that `defaults` has read
    logging.getLogger("traitlets").setLevel(logging.CRITICAL)  # it shows a traceback of what is said in a line below
    with tempfile.TemporaryDirectory(prefix="qafs", ignore_cleanup_errors=True) as folder:
        _prepare_kernel(notebook, folder)
        try:
            papermill.execute_notebook(
                ROOT / "notebooks" / f"{notebook}.ipynb",
                target,
                values,
                kernel_name="python3",
                language="python",
                cwd=ROOT,
                progress_bar=False,
                stderr_file=sys.stderr,
                kernel_manager_class=_kernel_manager(),
                extra_arguments=["--log-level=CRITICAL"],  # of the kernel; what cells raise comes from papermill
            )
        except PapermillExecutionError as error:
            raise _CellError(f"{error.ename}: {error.evalue}") from None
        except DeadKernelError:
            why = "its kernel was killed, probably for want of memory: end other programs, or give it a smaller problem"
            raise RuntimeError(f"{notebook}: {why}, and run the same command again") from None
        except RuntimeError as error:  # of jupyter_client, before the first cell
            raise RuntimeError(
                f"{notebook}: its Jupyter kernel does not start ({error}): see what it says above, and "
                f"try `{sys.executable} -m ipykernel_launcher --version`"
            ) from None


def _prepare_kernel(notebook, folder):
    """Set the environment of kernels: this interpreter, no start-up files of the user. Raises RuntimeError."""
    try:
        from ipykernel.kernelspec import make_ipkernel_cmd
    except ImportError as error:
        raise RuntimeError(
            f"{notebook}: no Jupyter kernel, ipykernel cannot be imported by {sys.executable} ({error}):"
            " install the packages of locks/light.txt, or let `make` do it"
        ) from None
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=5).close()
    except OSError as error:
        raise RuntimeError(
            f"{notebook}: its Jupyter kernel cannot be reached, this machine or container has no "
            f"loopback network 127.0.0.1 ({error}): allow it, `ip link set lo up`"
        ) from None
    own = {"argv": make_ipkernel_cmd(), "display_name": "Python 3", "language": "python"}  # comes before any other
    write_atomically(Path(folder) / "kernels" / "python3" / "kernel.json", json.dumps(own).encode())
    first = {"JUPYTER_PATH": os.pathsep.join(filter(None, [folder, os.environ.get("JUPYTER_PATH")]))}
    os.environ |= first | {"IPYTHONDIR": folder, "JUPYTER_RUNTIME_DIR": f"{folder}/runtime", WITHIN_MAKE: "1"}
    os.environ.pop("PYTHONSTARTUP", None)
    os.environ |= shared_cores(os.environ, joblib.cpu_count())
    for name, value in (ALLOCATOR if sys.stderr.isatty() else ALLOCATOR | {"TQDM_MININTERVAL": str(BARS)}).items():
        os.environ.setdefault(name, value)


def _kernel_manager():
    """A class of kernels that may end in peace: one that is killed leaves its worker processes to warn of leaks."""
    from jupyter_client import AsyncKernelManager
    from traitlets import Float

    return type("Patient", (AsyncKernelManager,), {"shutdown_wait_time": Float(60.0)})
