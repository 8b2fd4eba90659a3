"""The notebooks as web pages: build/html/<notebook>.html and an index with their first sentence and figures."""

import html
import json
import re

import nbformat
from nbconvert import HTMLExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor, TagRemovePreprocessor
from pygments.formatters import HtmlFormatter

from ..artefacts.files import RECORDS, ROOT, committed_records, decoded, write_atomically
from ..artefacts.parameters import IMAGE_NOTEBOOKS

STYLE = """
body { max-width: 60em; margin: 2em auto; padding: 0 1em; font-family: sans-serif; line-height: 1.5; }
img { max-width: 100%; } pre { overflow-x: auto; } .highlight, .note { background: #f5f5f5; padding: 0 0.6em; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
td, th { padding: 0.1em 0.6em; text-align: right; }
.figures img { height: 11em; margin: 0.3em; } .anchor-link { display: none; }
"""


def page(title: str, body: str, scripts: str = "") -> bytes:
    """A whole HTML page as bytes: title as text, body and scripts as HTML.

    >>> b"<title>a &lt; b</title>" in page("a < b", "<p>text</p>")
    True
    """
    style = STYLE + HtmlFormatter().get_style_defs(".highlight")
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title>{scripts}\n<style>{style}</style>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'.encode()


def opening(notebook):
    """(title, first sentence) of a notebook's first cell, both Markdown. Raises ValueError if there is none.

    >>> cell = nbformat.v4.new_markdown_cell("# 03 · QUBO\\n\\nTurns maps into a QUBO (paper, Sec. II.1). And more.")
    >>> opening(nbformat.v4.new_notebook(cells=[cell]))
    ('03 · QUBO', 'Turns maps into a QUBO (paper, Sec. II.1).')
    """
    if not notebook.cells:
        raise ValueError("the notebook must have a first cell that says what it is about")
    title, _, rest = notebook.cells[0].source.partition("\n")
    paragraph = " ".join(rest.strip().split("\n\n")[0].split())
    abbreviated = "".join(rf"(?<!\b{word}\.)" for word in ("Sec", "Secs", "Fig", "Figs", "Eq", "Eqs"))
    sentence = re.split(rf"(?<=[.?:]){abbreviated}\s+(?=[A-Z])", paragraph)[0]
    return title.lstrip("# "), re.sub(":$", ".", sentence)


def _opened(content):
    notebook = nbformat.reads(content.decode(), 4)
    return notebook, opening(notebook)


def render(profile: str) -> None:
    """Write build/html: the executed notebooks of a profile, the source of those that it does not run, and an index.

    Cells tagged `text` show what they say, not the code that says it.

    >>> render("published")  # doctest: +SKIP
    """
    target, source = ROOT / "build" / "html", ROOT / "build" / profile / "notebooks"
    exporter = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
    exporter.register_preprocessor(CoalesceStreamsPreprocessor(enabled=True))  # of a progress bar the last state
    exporter.register_preprocessor(TagRemovePreprocessor(enabled=True, remove_input_tags={"text"}))
    inline = """<script>window.MathJax = {tex2jax: {inlineMath: [["$", "$"]]}};</script>"""
    mathjax = f'{inline}<script src="{exporter.mathjax_url}"></script>'
    entries, not_run = [], []
    for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        executed, note, mark = source / path.name, "", ""
        remedy = "run its notebook again" if executed.exists() else "restore it with `git checkout notebooks`"
        notebook, (title, sentence) = decoded(executed if executed.exists() else path, _opened, remedy)
        if not executed.exists():
            not_run.append(path.stem)
            why, command = "", "make html"
            if path.name[:2] in IMAGE_NOTEBOOKS:
                why, command = "it reads the photographs, and its outcome is committed: ", "make html INPUT=images"
            why += f"<code>{command}</code> runs it"
            note = f'<p class="note">Not run with profile {profile!r}, so without outputs; {why}.</p>'
            mark = " <em>(not run)</em>"
        body, _ = exporter.from_notebook_node(notebook)
        body = body.replace('src="../figures/', 'src="figures/')  # a committed figure that the notebook shows
        top = f'<p><a href="index.html">All notebooks</a></p>\n{note}\n'
        write_atomically(target / f"{path.stem}.html", page(title, top + body, mathjax))
        entries.append(
            f'<h2><a href="{path.stem}.html">{html.escape(title)}</a></h2>\n<p>{html.escape(sentence)}{mark}</p>\n'
            f'<p class="figures">{_pictures(path.stem, profile, target)}</p>'
        )
    index = (
        '<h1>qafs: the notebooks</h1>\n<p>A research compendium for <a href="https://arxiv.org/abs/2604.25649">'
        "Towards interpretable AI with quantum annealing feature selection</a>.</p>\n"
    ) + "\n".join(entries)
    write_atomically(target / "index.html", page("qafs", index, mathjax))
    print(f"{len(entries)} notebooks -> {(target / 'index.html').relative_to(ROOT)}")
    if not_run:
        print(f"without outputs, not run with profile {profile!r}: {', '.join(not_run)}")


def _pictures(notebook, profile, target):
    """Copy a notebook's figures to target/figures, this run's or else the committed ones  ->  HTML that shows them."""
    own = ROOT / "build" / profile / "records" / f"{notebook}.json"
    if own.exists():
        folder, record = own.parents[1] / "figures", decoded(own, json.loads, f"run notebook {notebook[:2]} again")
    else:
        committed = committed_records() if (ROOT / RECORDS).exists() else {}
        folder, record = ROOT / "figures", committed.get(notebook, {"figures": {}})
    names = [name for name in sorted(record["figures"]) if name.endswith(".png") and (folder / name).exists()]
    for name in names:
        write_atomically(target / "figures" / name, (folder / name).read_bytes())
    return "".join(f'<a href="figures/{f}"><img src="figures/{f}" alt="{f[:-4]}"></a>' for f in names)
