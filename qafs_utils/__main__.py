"""What the Makefile calls: run one notebook, fetch the raw inputs, publish artefacts, sum up, verify and show.

    python -m qafs_utils run PROFILE NOTEBOOK    validated parameters, output moved into place on success only
    python -m qafs_utils data                    fetch and verify STL-10 and the ImageNet weights
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
import sys
import time
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
    overrides,
    publish,
    unwritable,
    write_atomically,
)

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)
# glibc gives large blocks back and faults them in again: a third of a forward pass. Notebook kernels inherit this.
ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}


def run_notebook(profile, notebook):
    """Execute one notebook with papermill; the executed copy appears only when it succeeded.

    A failed run stays beside it as <notebook>.failed.ipynb, traceback inside. Raises ValueError for bad parameters,
    RuntimeError naming the error of a failing cell, a full disk, or another run of it at work.

    >>> run_notebook("paper", "03_qubo")
    Traceback (most recent call last):
    ValueError: unknown profile 'paper': choose from published, images, smoke
    """
    check_profile(profile)
    with alone(profile, notebook):
        _execute(profile, notebook)


def _execute(profile, notebook):
    sys.modules.setdefault("rfc3987_syntax", None)  # jsonschema can do without, and papermill starts 3 s earlier
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    for name, value in ALLOCATOR.items():
        os.environ.setdefault(name, value)
    os.environ[WITHIN_MAKE] = "1"
    values = overrides(notebook, profile) | {"profile": profile}
    done = ROOT / "build" / profile / "notebooks" / f"{notebook}.ipynb"
    failed = done.with_suffix(".failed.ipynb")
    done.parent.mkdir(parents=True, exist_ok=True)
    logging.getLogger("papermill.translators").setLevel(logging.ERROR)  # it warns of literals that `defaults` reads
    start = time.perf_counter()
    try:
        papermill.execute_notebook(
            ROOT / "notebooks" / f"{notebook}.ipynb", failed, values, kernel_name="python3", cwd=ROOT,
            progress_bar=False, stderr_file=sys.stderr,
            extra_arguments=["--log-level=ERROR"],  # of the kernel, which warns at each start that it speaks TCP
        )
    except PapermillExecutionError as error:
        where = failed.relative_to(ROOT)
        raise RuntimeError(f"{notebook}: {error.ename}: {error.evalue} (traceback in {where})") from None
    except DeadKernelError:
        why = "its kernel was killed, probably for want of memory: end other programs, or give it a smaller problem"
        raise RuntimeError(f"{notebook}: {why}, and run the same command again") from None
    except OSError as error:
        if error.errno in UNWRITABLE:
            raise RuntimeError(unwritable(Path(error.filename or failed), error)) from None
        raise
    os.replace(failed, done)
    print(f"{notebook}: {time.perf_counter() - start:.0f} s -> {done.relative_to(ROOT)}", flush=True)


def fetch():
    """Download what is absent of the raw inputs and verify them.

    >>> fetch()  # doctest: +SKIP
    """
    from .data import RAW, stl10
    from .models import resnet18, weights_path

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
        page = with_table((ROOT / "README.md").read_text(), pd.read_csv(path))
        write_atomically(ROOT / "README.md", page.encode())
    kept = sorted({p.name for p in (ROOT / "figures").glob("[!.]*.*")} - {p.name for p in made} - {RECORDS.name})
    if kept:
        print(f"as committed, not remade: {', '.join(kept)}")
        print(f"(notebooks {', '.join(IMAGE_NOTEBOOKS)} need the photographs: `make figures INPUT=images` makes these)")


def collect_records(profile):
    """Renew figures/RECORDS.json with what this profile's notebooks made; other notebooks' records stay.

    ->  {notebook: record} of this profile.

    >>> collect_records("published")  # doctest: +SKIP
    """
    path, exists = ROOT / RECORDS, lambda name: (ROOT / "notebooks" / f"{name}.ipynb").exists()
    records = json.loads(path.read_text()) if path.exists() else {}
    files = sorted((ROOT / "build" / profile / "records").glob("[!.]*.json"))
    made = {p.stem: json.loads(p.read_text()) for p in files if exists(p.stem)}
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
    commands.add_parser("publish")
    commands.add_parser("summary").add_argument("profile", choices=("published", "images"))
    commands.add_parser("verify")
    commands.add_parser("html").add_argument("profile", choices=PROFILES)
    arguments = vars(parser.parse_args())
    known = {"run": run_notebook, "data": fetch, "publish": publish, "summary": summary, "verify": verify,
             "html": render}
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
