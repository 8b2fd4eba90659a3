"""The pages of the site, as Markdown and notebooks for Sphinx: from the executed notebooks and the table of claims."""

import posixpath
import re
from html import escape

import nbformat
import numpy as np
import pandas as pd
from nbformat.v4 import new_markdown_cell, new_output

from .claims import MARKS, VERDICTS

FIGURE = re.compile(r'run\.figure\(\s*"(\w+)"')
CAPTION = re.compile(r"\*\*((?:Fig\.|Table) \w+)\.\*\* ")
PYTHON = {"name": "python", "pygments_lexer": "ipython3"}


def label(figure: str) -> str:
    """How captions name a figure, from the name of its file.

    >>> label("fig04_gap_histogram"), label("figA1_cam_panel"), label("fig00_findings"), label("table01_average_drop")
    ('Fig. 4', 'Fig. A1', 'Fig. 0', 'Table 1')
    """
    kind, number = re.match(r"(fig|table)(\w\d)", figure).groups()
    return f"{'Fig.' if kind == 'fig' else 'Table'} {number.removeprefix('0')}"


def plot(name: str, size: tuple[int, int], folder: str = "../figures", says: str = "") -> str:
    """HTML of a figure of (width, height), which opens its PNG when clicked. says: its caption, which describes it.

    >>> plot("fig04_gaps", (400, 300), says="**Fig. 4.** Small gaps.")[54:]
    'src="../figures/fig04_gaps.png" alt="Fig. 4. Small gaps." width="400" height="300" loading="lazy"></a>\\n'
    """
    words = " ".join(re.sub(r"[*$`]", "", says).split())
    file = f"{folder}/{name}.png"
    alt = escape(words if len(words) < 200 else words[:199].rpartition(" ")[0] + " …") or label(name)
    shape = f'width="{size[0]}" height="{size[1]}"'
    return f'<a class="plot" href="{file}"><img src="{file}" alt="{alt}" {shape} loading="lazy"></a>\n'


def captions(notebook) -> dict[str, str]:
    """{"Fig. 4": caption} of an executed notebook: the Markdown that its cells show.

    >>> said = new_output("display_data", {"text/markdown": "**Fig. 4.** Small gaps."})
    >>> captions(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("caption", outputs=[said])]))
    {'Fig. 4': '**Fig. 4.** Small gaps.'}
    """
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", ()) if "data" in o]
    texts = [str(o.data.get("text/markdown", "")).strip() for o in outputs]
    return {found[1]: text for text in texts if (found := CAPTION.match(text))}


def page_of(notebook, pictures: dict[str, tuple], note: str = ""):
    """A notebook as the site shows it: code folded, figures as files, what `text` cells said as text.

    notebook: executed, or a source with a note for the reader; pictures: {figure: (width, height)}  ->  another
    notebook. Widgets, which need a kernel, go.

    >>> from nbformat.v4 import new_code_cell, new_notebook
    >>> said = new_output("display_data", {"text/markdown": "## What we found"})
    >>> cell = new_code_cell("Markdown(found)", metadata={"tags": ["text"]}, outputs=[said])
    >>> [(cell.cell_type, cell.source) for cell in page_of(new_notebook(cells=[cell]), {}).cells]
    [('markdown', '## What we found')]
    """
    said, cells = captions(notebook), []
    for cell in notebook.cells:
        if cell.cell_type != "code":
            cells.append(new_markdown_cell(cell.source.replace("](../figures/", "](../extra/figures/")))
            continue
        outputs = [o for o in cell.outputs if "application/vnd.jupyter.widget-view+json" not in o.get("data", ())]
        texts = [str(o.data["text/markdown"]) for o in outputs if "text/markdown" in o.get("data", ())]
        if "text" in cell.metadata.get("tags", ()) and texts:
            cells += [new_markdown_cell(text.strip()) for text in texts]
            continue
        drawn = [o for o in outputs if "image/png" in o.get("data", ())]
        names = [name for name in FIGURE.findall(cell.source) if name in pictures]
        if names and len(drawn) in (0, len(names)):
            shown = "".join(plot(name, pictures[name], says=said.get(label(name), "")) for name in names)
            outputs = [o for o in outputs if o not in drawn] + [new_output("display_data", {"text/html": shown})]
        cell = nbformat.v4.new_code_cell(cell.source, outputs=outputs, metadata={"tags": ["hide-input"]})
        cells.append(cell)
    if note:
        cells.insert(1, new_markdown_cell(f":::{{admonition}} Not run here\n:class: note\n{note}\n:::"))
    return nbformat.v4.new_notebook(cells=cells, metadata={"language_info": PYTHON})


def linked(text: str, notebooks: list[str], links: dict[str, str], folder: str = "", repository: str = "") -> str:
    """Markdown of the repository as a page of the site: links to files become links to pages, or to the repository.

    links: {file: page}; folder: of the file that text is of, which its links begin at; repository: address, without it
    what is no page becomes words. Badges go, since a page needs no network; figures are linked in the gallery; names
    of notebooks in backquotes become links.

    >>> text = "see [the data](README.md), [a file](../x.txt), `03_qubo`"
    >>> linked(text, ["03_qubo"], {"data/README.md": "data.md"}, "data")
    'see [the data](/data.md), a file, [`03_qubo`](/notebooks/03_qubo.ipynb)'
    >>> linked("[a](x.txt), [b](figures/fig01_a.png)", [], {}, repository="https://host/we/qafs")
    '[a](https://host/we/qafs/blob/main/x.txt), [b](#fig01_a)'
    """

    def link(found):
        shown, target, anchor = found.groups()
        if target.startswith(("https://", "http://")) or not target:
            return found[0]
        path = posixpath.normpath(posixpath.join(folder, target))
        if path in links:
            return f"[{shown}](/{links[path]}{anchor or ''})"
        if figure := re.fullmatch(r"figures/(fig\w+)\.png", path):
            return f"[{shown}](#{figure[1]})"
        if path.startswith("../"):  # of the repository on its host, which README begins below blob/main
            return f"[{shown}]({repository}/{path.replace('../', '')})" if repository else shown
        return f"[{shown}]({repository}/blob/main/{path})" if repository else shown

    text = re.sub(r"\[!\[[^\]]*\]\((?:http|\.\./\.\.)[^)]*\)\]\([^)]*\)\s?|!\[[^\]]*\]\(http[^)]*\)\s?", "", text)
    text = re.sub(r"(?<!!)\[([^\[\]]+)\]\(([^)\s#]*)(#[^)\s]*)?\)", link, text)
    text = re.sub(r"(!\[[^\]]*\]\()(?!http)(?:\.\./)*", r"\1/extra/", text)
    names = "|".join(notebooks)
    return re.sub(rf"(?<!\[)`({names})`(?!\])", r"[`\1`](/notebooks/\1.ipynb)", text) if names else text


def cited(text: str, keys: set[str]) -> str:
    """RELATED_WORK.md with its keys as citations, and the list of works at its end.

    >>> cited("by `one2020` [two2021,\\nthree2022]", {"one2020", "two2021", "three2022"})[:51]
    'by {cite:t}`one2020` {cite:p}`two2021,three2022`\\n\\n#'
    """
    text = re.sub(r"`([a-z0-9]+)`", lambda m: f"{{cite:t}}`{m[1]}`" if m[1] in keys else m[0], text)

    def group(found):
        names = re.split(r",\s*", found[1])
        return f"{{cite:p}}`{','.join(names)}`" if keys.issuperset(names) else found[0]

    text = re.sub(r"\[([a-z0-9]+(?:,\s*[a-z0-9]+)*)\]", group, text)
    return f"{text}\n\n## Works\n\n```{{bibliography}}\n:all:\n```\n"


def _plain(text) -> str:
    """Text of a table as Markdown that shows it as it is."""
    if not isinstance(text, str):
        return ""
    text = re.sub(r"([\\`*$<|\[\]~])", r"\\\1", text)
    text = re.sub(r"\b(N_f|d\^2)(=[\d.]*\d)?", r"$\1\2$", text)
    return re.sub(r"\b(beta|tau)(=[\d.]*\d)?\b", r"$\\\1\2$", text)


def _number(x) -> str:
    return "" if np.isnan(x) else f"{x:.3g}"


def _ours(row) -> str:
    return _number(row.ours) + (f" \\[{_number(row.low)}, {_number(row.high)}\\]" if row.low < row.high else "")


def _verdict(name) -> str:
    return f'<span class="verdict v-{name.replace(" ", "-")}">{name}</span>'


def toctree(entries: list[str], caption: str = "") -> str:
    """A part of the navigation in Markdown, not shown on the page itself.

    >>> toctree(["gallery"], "Results").splitlines()
    ['```{toctree}', ':hidden:', ':caption: Results', '', 'gallery', '```']
    """
    lines = [":hidden:"] + ([f":caption: {caption}"] if caption else [])
    return "\n".join(["```{toctree}", *lines, "", *entries, "```", ""])


def claim_page(row, picture: str, notebooks: list[str]) -> str:
    """The page of one statement, in Markdown. row: of figures/table02_claims.csv; picture: HTML of the
    figure that shows it, or "".

    >>> row = pd.Series(dict.fromkeys(("id", "place", "claim", "measured", "holds_if", "unit", "seeds", "why"), "gaps"))
    >>> numbers = dict.fromkeys(("reported", "ours", "low", "high", "noise", "p", "p_holm"), np.nan)
    >>> row = pd.concat([row, pd.Series(numbers | {"verdict": "compatible", "notebook": "05_gap", "tolerance": 0.1})])
    >>> claim_page(row, "", []).splitlines()[0]
    '# Gaps'
    """
    over = f", 95 % interval over {row.unit}" if row.low < row.high and isinstance(row.unit, str) else ""
    facts = {
        "stands in": f"{_plain(row.place)} of the paper",
        "measured as": _plain(row.measured),
        "holds if": _plain(row.holds_if)
        or f"the interval of ours lies within {100 * row.tolerance:.0f} % of the paper's",
        "the paper": _number(row.reported) or "gives no number",
        "ours": (_ours(row) or "none") + over,
        "other seeds": _plain(row.seeds),
        "two reruns differ by": _number(row.noise),
        "p": f"{row.p:.2g}, corrected for the number of tests {row.p_holm:.2g}" if row.p == row.p else "",
        "remark": _plain(row.why),
        "notebook": f"[`{row.notebook}`](../notebooks/{row.notebook}.ipynb)"
        if row.notebook in notebooks
        else row.notebook,
    }
    lines = [f"# {_plain(row.claim[:1].upper() + row.claim[1:])}", "", _verdict(row.verdict), "", "| | |", "|---|---|"]
    lines += [f"| **{key}** | {value} |" for key, value in facts.items() if value]
    lines += ["", f"Recompute it, with all that it needs:\n\n```bash\nmake claim ID={row.id}\n```\n"]
    return "\n".join([*lines, picture, "", "[All statements and the rule](index.md)", ""])


def claims_index(table: pd.DataFrame, page: str) -> str:
    """The page of all statements, in Markdown: what docs/claims.md says before its table, and buttons for one verdict.

    >>> claims_index(pd.DataFrame({"verdict": [], "id": []}), f"# Statements{MARKS[0]}").splitlines()[0]
    '# Statements'
    """
    counts = table.verdict.value_counts().reindex(VERDICTS, fill_value=0)
    choices = {"all": f"all {len(table)}"} | {v.replace(" ", "-"): f"{v} ({counts[v]})" for v in VERDICTS}
    buttons = "".join(
        f'<label><input type="radio" name="only" id="only-{k}"{" checked" * (k == "all")}> {text}</label>'
        for k, text in choices.items()
    )
    lines = [page.partition(MARKS[0])[0].strip(), "", f'<div class="filter">{buttons}</div>', ""]
    lines += ["| statement | verdict | paper | ours | stands in |", "|---|---|---|---|---|"]
    for row in table.itertuples():
        link = f"[{_plain(row.claim)}]({row.id}.md)"
        cells = [link, _verdict(row.verdict), _number(row.reported), _ours(row), _plain(row.place)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", toctree([f"{name} <{name}>" for name in table.id])])


def figure_of(row, records: dict[str, list[str]]) -> str:
    """The figure that shows a statement: ours of the number that the paper's place names, or the notebook's first one.

    records: {notebook: its figures}. "" if there is none.

    >>> row = pd.Series({"place": "App. A, Fig. 7", "notebook": "05_gap"})
    >>> figure_of(row, {"05_gap": ["fig04_gaps", "fig07_scaling"]})
    'fig07_scaling'
    """
    everywhere = [name for names in records.values() for name in names]
    named = re.search(r"(?:Fig\.|Table) \w+", row.place)
    own = [name for name in everywhere if named and label(name) == named[0]]
    return next(iter(own + records.get(row.notebook, [])), "")


def gallery(records: dict[str, list[str]], said: dict[str, str], pictures: dict[str, tuple], notebooks) -> str:
    """The page of all figures, in Markdown: {notebook: its figures}, {"Fig. 4": caption}, {figure: (width, height)}.

    >>> gallery({"05_gap": ["fig04_gaps"]}, {}, {"fig04_gaps": (4, 3)}, []).splitlines()[4:6]
    ['(fig04_gaps)=', ':::{container} gallery']
    """
    lines = ["# Figures", "", "Each opens in full size when clicked.\n"]
    for name, notebook in sorted((name, notebook) for notebook, names in records.items() for name in names):
        caption = said.get(label(name), f"**{label(name)}.** {name.partition('_')[2].replace('_', ' ').capitalize()}.")
        source = f"From [`{notebook}`](notebooks/{notebook}.ipynb)" if notebook in notebooks else f"From `{notebook}`"
        source += f' · <a href="figures/{name}.pdf">PDF</a>'
        picture = plot(name, pictures[name], "figures", caption)
        lines.append(f"({name})=\n:::{{container}} gallery\n{picture}\n{caption}\n\n{source}\n:::\n")
    return "\n".join(lines)
