"""The site, build/html: notebooks as they were run, a page for every claim, a gallery, the reference; made by Sphinx.

This file writes the pages to build/site, beside a copy of the folder `site`, whose `conf.py` has Sphinx's settings.
"""

import importlib.util
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import nbformat

from ..artefacts.files import (
    PUBLISHED,
    ROOT,
    ArtefactError,
    committed_records,
    committed_table,
    decoded,
    write_atomically,
)
from ..artefacts.parameters import IMAGE_NOTEBOOKS
from . import explorer
from .claims import PAGE as CLAIMS
from .pages import (
    FIGURE,
    captions,
    cited,
    claim_page,
    claims_index,
    figure_of,
    gallery,
    label,
    linked,
    page_of,
    plot,
    toctree,
)

GROUPS = {  # of the story, notebooks by number; all others are "Beyond the paper"
    "Begin": ("00",),
    "The paper's figures": ("01", "02", "03", "04", "05", "06", "08", "09", "10"),
    "Audits": ("11", "12", "16", "17", "18", "21", "23"),
}
PAGES = {  # page of the site: the file it is made from
    "index": "README.md",
    "method": "docs/method.md",
    "explain": "docs/explain.md",
    "running": "docs/running.md",
    "figures": "docs/figures.md",
    "code": "docs/code.md",
    "related": "RELATED_WORK.md",
    "data": "data/README.md",
    "contributing": "CONTRIBUTING.md",
    "changes": "CHANGELOG.md",
}
GUIDE = ("method", "explain", "running", "code")
LINKS = {file: f"{page}.md" for page, file in PAGES.items()}
LINKS |= {"figures/table02_claims.md": "claims/index.md", CLAIMS: "claims/index.md"}
NOT_HERE = (
    "It reads photographs. What it says below is of the run that made the committed files; no photograph is shown."
)
EXPLORER_PAGE = """# Explorer

Choose an image, a class and the trade-off, and see the maps that are selected.
<a href="explorer-alone.html">Open it alone</a>.

<iframe class="explorer" src="explorer-alone.html" title="Explorer"></iframe>
"""


def _executed(profile: str) -> dict[str, tuple]:
    """{notebook: (notebook as run, or its source; a note if not run)}. Raises ArtefactError, with the remedy."""
    found, missing = {}, []
    for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        source = _read(path, "restore it with `git checkout notebooks`")
        runs = {ROOT / "build" / folder / "notebooks": "" for folder in (profile, "images")} | {PUBLISHED: NOT_HERE}
        for folder, note in runs.items():
            if not (folder / path.name).exists():
                continue
            notebook = _read(folder / path.name, "run its notebook again")
            if folder.parent.name == profile or _same(source, notebook):
                found[path.stem] = notebook, note
                break
        else:
            if profile != "published" or path.name[:2] not in IMAGE_NOTEBOOKS:
                missing.append(path.stem)
            found[path.stem] = source, "It reads photographs, and has changed since: `make html INPUT=images` runs it."
    if missing:
        command = "make html" if profile == "published" else f"make html INPUT={profile}"
        raise ArtefactError(f"not run with profile {profile!r}: {', '.join(missing)}: `{command}` runs what is missing")
    return found


def _read(path, remedy):
    return decoded(path, lambda content: nbformat.reads(content.decode(), 4), remedy)


def _same(source, run) -> bool:
    """Whether a run is that of the source as it is now; papermill adds a cell of parameters."""
    now = [cell.source for cell in run.cells if "injected-parameters" not in cell.metadata.get("tags", ())]
    return now == [cell.source for cell in source.cells]


def _size(path) -> tuple:
    """(width, height) of a PNG, which stand in its first chunk."""
    return decoded(path, lambda content: struct.unpack(">II", content[16:24]), "`git checkout figures` restores it")


def repository() -> str:
    """Address of the repository on its host: of the workflow that runs, or of git's `origin`; "" if it has none.

    >>> repository()  # doctest: +SKIP
    'https://github.com/we/qafs'
    """
    if name := os.environ.get("GITHUB_REPOSITORY"):
        return f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{name}"
    command = ["git", "-C", str(ROOT), "remote", "get-url", "origin"]
    origin = subprocess.run(command, capture_output=True, text=True).stdout.strip() if shutil.which("git") else ""
    found = re.fullmatch(r"(?:https://|ssh://)?(?:[^@/]*@)?([\w-]+(?:\.[\w-]+)+)[:/]([\w./-]+?)(?:\.git)?", origin)
    return f"https://{found[1]}/{found[2]}" if found else ""


def _contents(notebooks) -> str:
    """The navigation, at the end of the first page."""
    named = {number for numbers in GROUPS.values() for number in numbers}
    groups = {group: [n for n in notebooks if n[:2] in numbers] for group, numbers in GROUPS.items()}
    groups["Beyond the paper"] = [n for n in notebooks if n[:2] not in named]
    first = ["explorer", "Figures <gallery>", "Claims <claims/index>"]
    parts = [toctree(list(GUIDE), caption="Guide"), toctree(first, caption="Results")]
    parts += [toctree([f"notebooks/{n}" for n in names], caption=group) for group, names in groups.items() if names]
    rest = ["Reference of the code <api/qafs_utils/index>", *(page for page in PAGES if page not in ("index", *GUIDE))]
    return "\n".join([*parts, toctree(rest, caption="More")])


def write_sources(profile: str, target: Path) -> None:
    """Write Sphinx's sources of the site to a new folder. Raises ArtefactError, with the remedy, for what is missing.

    >>> write_sources("published", ROOT / "build" / "site")  # doctest: +SKIP
    """
    notebooks, own = _executed(profile), ROOT / "build" / profile / "figures"
    names, records = list(notebooks), {}
    shutil.copytree(ROOT / "site", target, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (ROOT / "benchmarks", ROOT / "figures", own):  # of a figure made anew the new one
        copies = target / "extra" / ("benchmarks" if folder.name == "benchmarks" else "figures")
        copies.mkdir(parents=True, exist_ok=True)
        for path in [*folder.glob("*.png"), *folder.glob("*.pdf")]:
            shutil.copy(path, copies / path.name)
    pictures = {path.stem: _size(path) for path in (target / "extra" / "figures").glob("*.png")}
    made_by = {name: notebook for notebook, record in committed_records().items() for name in record["figures"]}
    made_by |= {f"{f}.png": n for n, (nb, _) in notebooks.items() for c in nb.cells for f in FIGURE.findall(c.source)}
    for name in sorted(pictures):
        records.setdefault(made_by.get(f"{name}.png", "?"), []).append(name)

    def write(name, text):
        write_atomically(target / name, text.encode())

    said = {}
    for name, (notebook, note) in notebooks.items():
        said |= captions(notebook)
        write(f"notebooks/{name}.ipynb", nbformat.writes(page_of(notebook, pictures, note)))
    fresh = own / "table02_claims.csv"
    table = committed_table(fresh if fresh.exists() else ROOT / "figures" / "table02_claims.csv")
    for row in table.itertuples():
        figure = figure_of(row, records)
        picture = plot(figure, pictures[figure], says=said.get(label(figure), "")) if figure else ""
        write(f"claims/{row.id}.md", claim_page(row, picture, names))
    write("gallery.md", gallery(records, said, pictures, names))
    (target / "extra" / "explorer-alone.html").write_bytes(explorer.page(explorer.data()))
    write("explorer.md", EXPLORER_PAGE)
    bibliography = (ROOT / "data" / "references.bib").read_text(encoding="utf-8")
    write("references.bib", bibliography)
    links, address = LINKS | {f"notebooks/{name}.ipynb": f"notebooks/{name}.ipynb" for name in names}, repository()
    for page, file in (PAGES | {"claims/index": CLAIMS}).items():
        text = (ROOT / file).read_text(encoding="utf-8")
        text = linked(text, names, links, os.path.dirname(file), address)
        text = claims_index(table, text) if file == CLAIMS else text
        text = cited(text, set(re.findall(r"^@\w+\{(\w+),", bibliography, re.M))) if page == "related" else text
        write(f"{page}.md", text + ("\n\n" + _contents(names) if page == "index" else ""))


def render(profile: str) -> None:
    """Write build/html, the site, from the notebooks as a profile has run them. None is run here.

    Raises ArtefactError for notebooks that have not been run, RuntimeError without Sphinx, or where it warns.

    >>> render("published")  # doctest: +SKIP
    """
    if importlib.util.find_spec("sphinx") is None:
        raise RuntimeError("the site needs Sphinx: install it with `pip install --editable '.[site]'`")
    source, target = ROOT / "build" / "site", ROOT / "build" / "html"
    shutil.rmtree(source, ignore_errors=True)
    write_sources(profile, source)
    options = ["-q", "-W", "--keep-going", "-j", "auto", "-b", "html", "-d", str(source / "doctrees")]
    options += ["-D", f"autoapi_dirs={ROOT / 'qafs_utils'}"]
    done = subprocess.run([sys.executable, "-m", "sphinx", *options, str(source), str(source / "html")], cwd=ROOT)
    if done.returncode:
        raise RuntimeError("the site was not built: mend what Sphinx warns of above, and run the same command again")
    shutil.rmtree(target, ignore_errors=True)
    os.replace(source / "html", target)
    print(f"{len(list(target.rglob('*.html')))} pages -> {(target / 'index.html').relative_to(ROOT)}")
