"""Copy what a run has made to figures/ and data/published, with the records of what made it."""

import json
import os
import time

import nbformat
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


def publish(source=ROOT / "build" / "images", target=PUBLISHED, limit_mb=60):
    """Copy the image-reading notebooks' artefacts of a full run to data/published and list their SHA-256.

    The notebooks themselves go with them, as they were run but without pictures. Raises ArtefactError if a notebook
    left nothing, or all exceed `limit_mb`.

    >>> publish(ROOT / "no such folder")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    qafs_utils.artefacts.files.ArtefactError: notebooks ['01', '02', ...] left nothing in ...
    """
    made = [p for folder in ("data", "notebooks") for p in (source / folder).glob("[0-9]*")]
    files = {p.name: p.read_bytes() for p in sorted(made) if p.name[:2] in IMAGE_NOTEBOOKS}
    kinds = [{name[:2] for name in files if name.endswith(".ipynb") == notebook} for notebook in (False, True)]
    if absent := sorted(set(IMAGE_NOTEBOOKS) - set.intersection(*kinds)):
        raise ArtefactError(f"notebooks {absent} left nothing in {source}: `make figures INPUT=images` first")
    files |= {name: without_pictures(content) for name, content in files.items() if name.endswith(".ipynb")}
    size = sum(map(len, files.values())) / 1e6
    if size > limit_mb:
        raise ArtefactError(f"the artefacts hold {size:.0f} MB, more than the {limit_mb} MB allowed in the repository")
    target.mkdir(parents=True, exist_ok=True)
    for old in set(target.glob("[0-9]*")) - {target / name for name in files}:
        old.unlink()
    for name, content in files.items():
        write_atomically(target / name, content)
    write_atomically(target / "SHA256SUMS", "".join(f"{sha256(target / name)}  {name}\n" for name in files).encode())
    print(f"{len(files)} artefacts, {size:.1f} MB -> {target}")


def without_pictures(content: bytes) -> bytes:
    """An executed notebook with what it printed, its tables and texts: no photographs, warnings, widgets, and no times.

    >>> shown = nbformat.v4.new_output("display_data", {"image/png": "", "text/plain": "<Figure>"})
    >>> cell = nbformat.v4.new_code_cell("draw()", outputs=[shown])
    >>> kept = without_pictures(nbformat.writes(nbformat.v4.new_notebook(cells=[cell])).encode())
    >>> nbformat.reads(kept.decode(), 4).cells[0].outputs
    []
    """
    notebook = nbformat.reads(content.decode(), 4)
    for cell in notebook.cells:
        cell.metadata = {"tags": cell.metadata["tags"]} if "tags" in cell.metadata else {}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _words(output)]
    notebook.metadata = {key: notebook.metadata[key] for key in ("kernelspec",) if key in notebook.metadata}
    return (nbformat.writes(notebook) + "\n").encode()


def _words(output):
    """Whether an output is text: printed, or a table or Markdown."""
    kinds = set(output.get("data", ()))
    picture = any(kind.startswith("image/") or "widget" in kind for kind in kinds)
    return output.get("name") == "stdout" or bool(kinds) and not picture


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
        numbers = ", ".join(IMAGE_NOTEBOOKS)
        print(f"(notebooks {numbers} read photographs or take long: `make figures INPUT=images` makes these)")
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
