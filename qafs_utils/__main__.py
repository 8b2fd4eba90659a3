"""What the Makefile calls: run one notebook, fetch the raw inputs, publish artefacts, sum up, verify and show.

    python -m qafs_utils run PROFILE NOTEBOOK    validated parameters, output moved into place on success only
    python -m qafs_utils data                    fetch and verify STL-10 and the ImageNet weights
    python -m qafs_utils weights                 the same of the ImageNet weights alone
    python -m qafs_utils publish                 copy a full run's image artefacts to data/published
    python -m qafs_utils summary PROFILE         copy figures and say which were made and which stay as committed
    python -m qafs_utils verify                  recompute a sample of what is committed and compare
    python -m qafs_utils html PROFILE            the executed notebooks as web pages in build/html
"""

import argparse
import errno
import json
import logging
import os
import socket
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import pandas as pd

from .claims import with_table
from .run import (
    IMAGE_NOTEBOOKS,
    PROFILES,
    RECORDS,
    ROOT,
    WITHIN_MAKE,
    alone,
    check_profile,
    committed_records,
    decoded,
    overrides,
    publish,
    unwritable,
    write_atomically,
)

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)
# glibc gives large blocks back and faults them in again: a third of a forward pass. Notebook kernels inherit this.
ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}


BARS = 30.0  # seconds between two states of a progress bar in a log that is no terminal


def run_notebook(profile, notebook):
    """Execute one notebook with papermill; the executed copy appears only when it succeeded.

    While it runs, it can be watched as <notebook>.running.ipynb; a failed run stays as <notebook>.failed.ipynb,
    traceback inside. The kernel has the interpreter of this process, and nothing of the user's IPython. Raises
    ValueError for bad parameters, RuntimeError naming the error of a failing cell, a kernel that does not start, a full
    disk, or another run of it at work.

    >>> run_notebook("paper", "03_qubo")
    Traceback (most recent call last):
    ValueError: unknown profile 'paper': choose from published, images, smoke
    """
    check_profile(profile)
    values = overrides(notebook, profile) | {"profile": profile}
    with alone(profile, notebook):
        _execute(profile, notebook, values)


def _execute(profile, notebook, values):
    done = ROOT / "build" / profile / "notebooks" / f"{notebook}.ipynb"
    running, failed = done.with_suffix(".running.ipynb"), done.with_suffix(".failed.ipynb")
    step = f"[{os.environ['QAFS_STEP']}] {notebook}" if "QAFS_STEP" in os.environ else notebook
    start = time.perf_counter()
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
                ROOT / "notebooks" / f"{notebook}.ipynb", target, values, kernel_name="python3", cwd=ROOT,
                progress_bar=False, stderr_file=sys.stderr, kernel_manager_class=_kernel_manager(),
                extra_arguments=["--log-level=CRITICAL"],  # of the kernel; what cells raise comes from papermill
            )
        except PapermillExecutionError as error:
            raise _CellError(f"{error.ename}: {error.evalue}") from None
        except DeadKernelError:
            why = "its kernel was killed, probably for want of memory: end other programs, or give it a smaller problem"
            raise RuntimeError(f"{notebook}: {why}, and run the same command again") from None
        except RuntimeError as error:  # of jupyter_client, before the first cell
            raise RuntimeError(f"{notebook}: its Jupyter kernel does not start ({error}): see what it says above, and "
                               f"try `{sys.executable} -m ipykernel_launcher --version`") from None


def _prepare_kernel(notebook, folder):
    """Set the environment of kernels: this interpreter, no start-up files of the user. Raises RuntimeError."""
    try:
        from ipykernel.kernelspec import make_ipkernel_cmd
    except ImportError as error:
        raise RuntimeError(f"{notebook}: no Jupyter kernel, ipykernel cannot be imported by {sys.executable} ({error}):"
                           " install the packages of requirements.txt, or let `make` do it") from None
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=5).close()
    except OSError as error:
        raise RuntimeError(f"{notebook}: its Jupyter kernel cannot be reached, this machine or container has no "
                           f"loopback network 127.0.0.1 ({error}): allow it, `ip link set lo up`") from None
    own = {"argv": make_ipkernel_cmd(), "display_name": "Python 3", "language": "python"}  # comes before any other
    write_atomically(Path(folder) / "kernels" / "python3" / "kernel.json", json.dumps(own).encode())
    first = {"JUPYTER_PATH": os.pathsep.join(filter(None, [folder, os.environ.get("JUPYTER_PATH")]))}
    os.environ |= first | {"IPYTHONDIR": folder, "JUPYTER_RUNTIME_DIR": f"{folder}/runtime", WITHIN_MAKE: "1"}
    os.environ.pop("PYTHONSTARTUP", None)
    for name, value in (ALLOCATOR if sys.stderr.isatty() else ALLOCATOR | {"TQDM_MININTERVAL": str(BARS)}).items():
        os.environ.setdefault(name, value)


def _kernel_manager():
    """A class of kernels that may end in peace: one that is killed leaves its worker processes to warn of leaks."""
    from jupyter_client import AsyncKernelManager
    from traitlets import Float

    return type("Patient", (AsyncKernelManager,), {"shutdown_wait_time": Float(60.0)})


def fetch(images=True):
    """Download what is absent of the raw inputs and verify them; images=False: of the ImageNet weights alone, 45 MB.

    >>> fetch()  # doctest: +SKIP
    """
    from .models import resnet18, weights_path

    if images:
        from .data import RAW, stl10

        for split in ("train", "test"):
            print(f"{RAW}: {split} {stl10(split)[0].shape} verified")
    resnet18()
    print(f"{weights_path()}: loads")


def verify():
    """Recompute a sample of the committed results and compare; raises ArtefactError naming what differs.

    >>> verify()  # doctest: +SKIP
    """
    os.environ.setdefault("TQDM_DISABLE", "1")  # one line a check, no progress bars
    from .verify import verify

    verify()


def render(profile):
    """Write the notebooks as web pages to build/html.

    >>> render("published")  # doctest: +SKIP
    """
    from .html import render

    render(profile)


def summary(profile):
    """Copy the figures and tables of a run to figures/, renew README's claims and RECORDS.json, say what stays."""
    records = collect_records(profile)
    made = [ROOT / "build" / profile / "figures" / name for r in records.values() for name in r["figures"]]
    for path in made:
        write_atomically(ROOT / "figures" / path.name, path.read_bytes())
    print(f"\nfigures/: {len(made)} files made from profile {profile!r}")
    for path in (p for p in made if p.name == "table02_claims.csv"):
        page = with_table((ROOT / "README.md").read_text(encoding="utf-8"), pd.read_csv(path))
        write_atomically(ROOT / "README.md", page.encode())
    kept = sorted({p.name for p in (ROOT / "figures").glob("[!.]*.*")} - {p.name for p in made} - {RECORDS.name})
    if kept:
        print(f"as committed, not remade: {', '.join(kept)}")
        print(f"(notebooks {', '.join(IMAGE_NOTEBOOKS)} need the photographs: `make figures INPUT=images` makes these)")
    minutes = (time.time() - float(os.environ["QAFS_START"])) / 60 if "QAFS_START" in os.environ else 0
    pages = "make html" if profile == "published" else f"make html INPUT={profile}"
    print(f"{minutes:.0f} minutes in all. Next: " if minutes >= 1 else "Next: ", end="")
    print(f"open figures/, or `{pages}` for the notebooks with outputs; `git status` names the figures that changed")


def collect_records(profile):
    """Renew figures/RECORDS.json with what this profile's notebooks made; other notebooks' records stay.

    ->  {notebook: record} of this profile.

    >>> collect_records("published")  # doctest: +SKIP
    """
    path, exists = ROOT / RECORDS, lambda name: (ROOT / "notebooks" / f"{name}.ipynb").exists()
    records = committed_records() if path.exists() else {}
    files = sorted((ROOT / "build" / profile / "records").glob("[!.]*.json"))
    made = {p.stem: decoded(p, json.loads, f"delete it and run notebook {p.stem[:2]} again")
            for p in files if exists(p.stem)}
    records = {name: r for name, r in records.items() if exists(name)} | made
    write_atomically(path, (json.dumps(records, sort_keys=True, indent=1) + "\n").encode())
    return made


def main():
    """Run the command of the command line; an error ends it with its message and status 1."""
    parser = argparse.ArgumentParser(prog="python -m qafs_utils", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("profile", choices=PROFILES)
    run.add_argument("notebook")
    commands.add_parser("data")
    commands.add_parser("weights")
    commands.add_parser("publish")
    commands.add_parser("summary").add_argument("profile", choices=("published", "images"))
    commands.add_parser("verify")
    commands.add_parser("html").add_argument("profile", choices=PROFILES)
    arguments = vars(parser.parse_args())
    known = {"run": run_notebook, "data": fetch, "weights": partial(fetch, images=False), "publish": publish,
             "summary": summary, "verify": verify, "html": render}
    command = known[arguments.pop("command")]
    try:
        command(**arguments)
    except KeyboardInterrupt:
        print("interrupted: what is finished stays, the same command goes on from there", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
