"""The Make graph of the notebooks, read off their own code as `gcc -M` does: `python3 -m qafs_utils.make.graph`.

An executed notebook is the stamp of its run. It depends on the notebook, its parameter file, the runs whose artefacts
it loads, the modules it rests on and the tables it reads. This file needs the standard library only, because it runs
before there is an environment.
"""

import ast

from ..artefacts.provenance import ROOT, code_of_notebooks, image_notebooks, modules

PROFILES = ("published", "images", "smoke")
TABLES = {"paper": "data/paper_values", "measured": "benchmarks"}  # methods of Run and the folders they read


def calls(source):
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


def rule(profile, notebook, root=ROOT):
    """The line of the graph for one notebook and profile, without its recipe.

    >>> rule("smoke", "09_average_drop")  # doctest: +ELLIPSIS
    'build/smoke/notebooks/09_average_drop.ipynb: notebooks/09_average_drop.ipynb $(wildcard params/smoke/07_...'
    """
    sources, images = code_of_notebooks(root), image_notebooks(root)
    called, rests_on = calls(sources[notebook]), modules(sources[notebook], root)
    read = {text[:2] for method in ("load", "load_table") for text in called.get(method, ())}
    needs = [f"notebooks/{notebook}.ipynb", f"$(wildcard params/{profile}/{notebook}.yaml)"]
    needs += [f"qafs_utils/{name.replace('.', '/')}.py" for name in sorted(rests_on)]
    needs += ["qafs_utils/plots/paper.mplstyle"] if "plots.style" in rests_on else []
    needs += [f"$(wildcard {folder}/*.csv)" for method, folder in TABLES.items() if method in called]
    for name in (name for name in sources if name[:2] in read):
        published = profile == "published" and name[:2] in images
        needs.append("data/published/SHA256SUMS" if published else f"build/{profile}/notebooks/{name}.ipynb")
    return f"build/{profile}/notebooks/{notebook}.ipynb: {' '.join(needs)}"


def graph(root=ROOT):
    """All rules, after the numbers of the notebooks that read photographs, as text for Make.

    >>> graph().splitlines()[0]
    'IMAGES := 01 02 06 12'
    """
    rules = [rule(profile, name, root) for profile in PROFILES for name in code_of_notebooks(root)]
    return "\n".join([f"IMAGES := {' '.join(image_notebooks(root))}", *rules])


if __name__ == "__main__":
    print(graph())
