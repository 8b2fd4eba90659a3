"""Copy what a run has made to figures/ and data/published, with the records of what made it."""

import json
import os
import time

import pandas as pd

from ..artefacts.files import (
    PUBLISHED,
    RECORDS,
    ROOT,
    ArtefactError,
    committed_records,
    decoded,
    sha256,
    write_atomically,
)
from ..artefacts.parameters import IMAGE_NOTEBOOKS
from .claims import PAGE, with_table


def publish(source=ROOT / "build" / "images" / "data", target=PUBLISHED, limit_mb=60):
    """Copy the image-reading notebooks' artefacts of a full run to data/published and list their SHA-256.

    Raises ArtefactError if a notebook left none, or they exceed `limit_mb`.

    >>> publish(ROOT / "no such folder")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    qafs_utils.artefacts.files.ArtefactError: notebooks ['01', '02', ...] left nothing in ...
    """
    files = sorted(p for p in source.glob("[0-9]*") if p.name[:2] in IMAGE_NOTEBOOKS)
    if absent := sorted(set(IMAGE_NOTEBOOKS) - {p.name[:2] for p in files}):
        raise ArtefactError(f"notebooks {absent} left nothing in {source}: `make figures INPUT=images` first")
    size = sum(p.stat().st_size for p in files) / 1e6
    if size > limit_mb:
        raise ArtefactError(f"the artefacts hold {size:.0f} MB, more than the {limit_mb} MB allowed in the repository")
    target.mkdir(parents=True, exist_ok=True)
    for old in set(target.glob("[0-9]*")) - {target / p.name for p in files}:
        old.unlink()
    for path in files:
        write_atomically(target / path.name, path.read_bytes())
    write_atomically(target / "SHA256SUMS", "".join(f"{sha256(p)}  {p.name}\n" for p in files).encode())
    print(f"{len(files)} artefacts, {size:.1f} MB -> {target}")


def summary(profile: str) -> None:
    """Copy the figures and tables of a run to figures/, renew the page of claims and RECORDS.json, say what stays.

    >>> summary("published")  # doctest: +SKIP
    """
    records = collect_records(profile)
    made = [ROOT / "build" / profile / "figures" / name for r in records.values() for name in r["figures"]]
    for path in made:
        write_atomically(ROOT / "figures" / path.name, path.read_bytes())
    print(f"\nfigures/: {len(made)} files made from profile {profile!r}")
    for path in (p for p in made if p.name == "table02_claims.csv"):
        page = with_table((ROOT / PAGE).read_text(encoding="utf-8"), pd.read_csv(path))
        write_atomically(ROOT / PAGE, page.encode())
    kept = sorted({p.name for p in (ROOT / "figures").glob("[!.]*.*")} - {p.name for p in made} - {RECORDS.name})
    if kept:
        print(f"as committed, not remade: {', '.join(kept)}")
        print(f"(notebooks {', '.join(IMAGE_NOTEBOOKS)} need the photographs: `make figures INPUT=images` makes these)")
    minutes = (time.time() - float(os.environ["QAFS_START"])) / 60 if "QAFS_START" in os.environ else 0
    pages = "make html" if profile == "published" else f"make html INPUT={profile}"
    print(f"{minutes:.0f} minutes in all. Next: " if minutes >= 1 else "Next: ", end="")
    print(f"open figures/, or `{pages}` for the notebooks with outputs; `git status` names the figures that changed")


def collect_records(profile: str) -> dict[str, dict]:
    """Renew figures/RECORDS.json with what this profile's notebooks made; other notebooks' records stay.

    ->  {notebook: record} of this profile.

    >>> collect_records("published")  # doctest: +SKIP
    """
    path, names = ROOT / RECORDS, {p.stem for p in (ROOT / "notebooks").glob("*.ipynb")}  # of some the notebook is gone
    files = {p.stem: p for p in sorted((ROOT / "build" / profile / "records").glob("[!.]*.json")) if p.stem in names}
    made = {n: decoded(p, json.loads, f"delete it and run notebook {n[:2]} again") for n, p in files.items()}
    before = committed_records() if path.exists() else {}
    records = {name: record for name, record in before.items() if name in names} | made
    write_atomically(path, (json.dumps(records, sort_keys=True, indent=1) + "\n").encode())
    return made
