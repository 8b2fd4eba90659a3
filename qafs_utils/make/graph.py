"""The Make graph of the notebooks, read off their own code as `gcc -M` does: `python3 -m qafs_utils.make.graph`.

An executed notebook is the stamp of its run. It depends on the notebook, its parameter file, the runs whose artefacts
it loads, the modules it rests on and the tables it reads. This file needs the standard library only, because it runs
before there is an environment.
"""

import ast
from pathlib import Path

from ..artefacts.provenance import PROFILES, ROOT, code_of_notebooks, modules, reads_images

TABLES = {"paper": "data/paper_values", "claim": "data/paper_values", "measured": "benchmarks"}  # methods of Run


def calls(source: str) -> dict[str, set[str]]:
    """{method: beginnings of the texts it is called with} of the methods that Python source calls.

    >>> sorted(calls('run.load(f"02_maps_nf{n}"), run.paper("claims")').items())
    [('load', {'02_maps_nf'}), ('paper', {'claims'})]
    """
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            text = node.args[0].values[0] if isinstance(node.args[0], ast.JoinedStr) else node.args[0]
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                found.setdefault(node.func.attr, set()).add(text.value)
    return found


def needs(notebook: str, profile: str, sources: dict[str, str], root: Path = ROOT) -> list[str]:
    """What an executed notebook depends on, as Make writes it. sources: {notebook: its code} of all.

    >>> needs("03_qubo", "smoke", code_of_notebooks())[:2]
    ['notebooks/03_qubo.ipynb', '$(wildcard params/smoke/03_qubo.yaml)']
    """
    called, rests_on = calls(sources[notebook]), modules(sources[notebook], root)
    found = [f"notebooks/{notebook}.ipynb", f"$(wildcard params/{profile}/{notebook}.yaml)"]
    found += [f"qafs_utils/{name.replace('.', '/')}.py" for name in sorted(rests_on)]
    found += ["qafs_utils/plots/paper.mplstyle"] if "plots.style" in rests_on else []
    found += sorted({f"$(wildcard {folder}/*.csv)" for method, folder in TABLES.items() if method in called})
    loaded = {text[:2] for method in ("load", "load_table") for text in called.get(method, ())} - {notebook[:2]}
    for name in (name for name in sources if name[:2] in loaded):
        published = profile == "published" and reads_images(sources[name])
        found.append("data/published/SHA256SUMS" if published else f"build/{profile}/notebooks/{name}.ipynb")
    return found


def graph(root: Path = ROOT) -> str:
    """All rules, without recipes, after the numbers of the notebooks that read photographs, as text for Make.

    >>> graph().splitlines()[0][:18]
    'IMAGES := 01 02 08'
    """
    sources = code_of_notebooks(root)
    lines = [f"IMAGES := {' '.join(name[:2] for name, code in sources.items() if reads_images(code))}"]
    for profile in PROFILES:
        for name in sources:
            lines.append(f"build/{profile}/notebooks/{name}.ipynb: {' '.join(needs(name, profile, sources, root))}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(graph())
