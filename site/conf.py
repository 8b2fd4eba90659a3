"""Sphinx's settings of the site. `qafs_utils.make.site` copies this folder to build/site and writes the pages there."""

import re
from importlib.metadata import version as installed
from importlib.util import find_spec
from pathlib import Path

project, author = "qafs", "The qafs authors"
version = release = installed("qafs")
extensions = ["myst_nb", "sphinx.ext.mathjax", "sphinx.ext.autodoc", "autoapi.extension"]
extensions += ["sphinxcontrib.bibtex", "sphinx_copybutton"]
exclude_patterns = ["_static", "extra", "html", "doctrees"]

html_theme, html_title = "furo", "qafs"
html_static_path, html_css_files, html_extra_path = ["_static"], ["qafs.css"], ["extra"]
html_use_index = html_domain_indices = False  # long names would be cut off; the search finds them
html_show_sphinx = html_show_copyright = html_copy_source = html_show_sourcelink = False
pygments_style, pygments_dark_style = "friendly", "github-dark"
copybutton_prompt_text, copybutton_prompt_is_regexp = r">>> |\.\.\. |\$ ", True

# Mathematics: one file of MathJax 3, its glyphs inside, so that a page opened from a disk needs no network and no font.
mathjax = Path(find_spec("sphinx-mathjax-offline").submodule_search_locations[0]) / "static" / "mathjax"
html_static_path.append(str(mathjax / "tex-svg-full.js"))
mathjax_path = "tex-svg-full.js"
mathjax3_config = {"options": {"enableMenu": False}, "svg": {"mtextInheritFont": True}}

# Notebooks: as they were run, their code folded. No scripts of widgets, which come from elsewhere.
nb_execution_mode = "off"
nb_ipywidgets_js = {}
nb_output_stderr = "remove"  # progress bars
nb_merge_streams = True
nb_render_markdown_format = "myst"
nb_code_prompt_show, nb_code_prompt_hide = "Show the code", "Hide the code"
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 3

bibtex_bibfiles, bibtex_reference_style, bibtex_default_style = ["references.bib"], "author_year", "plain"

# The reference, read off the sources without importing them; autoapi_dirs comes from the command line.
autoapi_root, autoapi_add_toctree_entry, autoapi_keep_files = "api", False, False
autoapi_options = ["members", "undoc-members", "show-module-summary", "special-members"]
autoapi_member_order, autoapi_python_class_content = "bysource", "class"
autodoc_typehints = "signature"
python_maximum_signature_line_length = 88
default_role = "code"
suppress_warnings = ["autoapi.python_import_resolution"]


def skipped(app, what, name, obj, skip, options):
    """Constants, and of the methods with two underscores all but those that are called like a function."""
    special = name.rpartition(".")[2].startswith("__") and not name.endswith("__call__")
    return True if what == "data" or special else skip


def as_restructured_text(app, what, name, obj, options, lines):
    """Docstrings are plain text with `code` in backquotes and examples: of other signs none has a meaning."""
    example = False
    for i, line in enumerate(lines):
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        if not example:
            parts = line.split("`")
            parts[::2] = [re.sub(r"[\\*|]|(?<=\w)_(?!\w)", r"\\\g<0>", part) for part in parts[::2]]
            lines[i] = "`".join(parts)


def setup(app):
    app.connect("autoapi-skip-member", skipped)
    app.connect("autodoc-process-docstring", as_restructured_text)
