"""README: short sentences, links that lead somewhere, and the numbers of the committed tables."""

import re
from statistics import median

import pandas as pd
import pytest
from repository import ROOT

from qafs_utils.make.claims import VERDICTS
from qafs_utils.make.site import CLAIMS, PAGES

README = (ROOT / "README.md").read_text()
FILES = sorted({*PAGES.values(), CLAIMS})
LONGEST, USUAL = 30, 16  # words of a sentence


def sentences(page):
    """Those of Markdown, as lists of words: no code, tables, comments and pictures, and of links what is shown."""
    page = re.sub(
        r"```.*?```|<!--.*?-->|\[?!\[[^\]]*\]\([^)]*\)(?:\]\([^)]*\))?|^[|#].*?$", "\n\n", page, flags=re.S | re.M
    )
    page = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", page)
    page = re.sub(r"\b(Figs?|Eqs?|al)\. ", r"\1 ", page)
    blocks = re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )", page)
    found = [re.split(r"(?<=[.?!])[*_)]*\s+", " ".join(re.sub(r"^\s*(?:[-*]|\d+\.) ", "", b).split())) for b in blocks]
    words = [[word for word in sentence.split() if re.search(r"\w", word)] for block in found for sentence in block]
    return [sentence for sentence in words if sentence]


def test_sentences_are_split_where_they_end():
    page = "# Title\n\nOne two ([Fig. 3](a.b/c.d)). Three `x.y` four?\nFive:\n\n- six\n- **seven.** *Eight* nine\n"
    page += "\n| a b |\n```\nx. y\n```\n"
    assert [len(sentence) for sentence in sentences(page)] == [4, 3, 1, 1, 1, 2]


def test_sentences_are_short():
    lengths = {" ".join(sentence): len(sentence) for sentence in sentences(README)}
    assert len(lengths) > 30 and median(lengths.values()) <= USUAL
    assert {text: n for text, n in lengths.items() if n > LONGEST} == {}


def anchors(page):
    """The addresses that GitHub gives to the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page, flags=re.S), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("file", FILES)
def test_links_lead_somewhere(file):
    """As on GitHub, from the folder of the file; ../../ of README leads to the pages of the repository there."""
    for target in re.findall(r"\]\(([^)\s]+)\)", (ROOT / file).read_text()):
        path, _, anchor = target.partition("#")
        if path.startswith("https://") or (path.startswith("../../") and file == "README.md"):
            continue
        to = (ROOT / file).parent / path if path else ROOT / file
        assert to.exists() and to.resolve().is_relative_to(ROOT), f"{file} links {target}"
        assert not anchor or anchor in anchors(to.read_text()), f"{file} links {target}"


def test_first_comes_the_clone():
    assert re.search(r"```\w*\n(.*?)\n", README)[1].startswith("git clone ")


def test_the_numbers_are_those_of_the_tables():
    """Where one has changed, the sentence that it stands in may have to change, too."""
    tables = {name: pd.read_csv(ROOT / "figures" / f"{name}.csv") for name in FOUND}
    for name, says in FOUND.items():
        for text in says(tables[name]):
            assert text in " ".join(README.split()), f"figures/{name}.csv says: {text}"


def _needed(table):
    median = table.pivot(index="method", columns="n_features", values="median")
    assert (median.loc["top k", [16, 24, 32]] == median.loc["QUBO raised", [16, 24, 32]]).all()
    methods = "smallest", "top k", "QUBO raised", "QUBO 0.7"
    least, top, qubo, paper = (f"{median.loc[method, 512]:.0f}" for method in methods)
    assert float(least) < float(top) < float(qubo) < float(paper)
    yield f"{least} at least, {top} by importance, {qubo} by the QUBO at its best weight, {paper} at 0.7"
    few = median[[16, 24, 32]].loc[["top k", "QUBO 0.7"]].agg(["min", "max"], axis=1).astype(int)
    few = {method: f"{row['min']} to {row['max']}" for method, row in few.iterrows()}
    yield f"With 16 to 32 maps it is {few['top k']} by importance, and {few['QUBO 0.7']} by the QUBO"
    yield f"fewest {least}, top k {top}, QUBO {qubo}."


def _specific(table):
    share = table[table["head"] == "pooled"].set_index(["n_features", "method"]).share
    few, filtered = share[16, "Grad-CAM"], share[16, "filtered Grad-CAM"]
    before, after = share[512, "Grad-CAM"], share[512, "filtered Grad-CAM"]
    yield f"{100 * before:.0f} % of Grad-CAM lies on the one asked for, and {100 * after:.0f} % after the filter"
    yield f"With 16 maps it is {100 * few:.0f} and {100 * filtered:.0f} %"
    yield f"Grad-CAM {before:.2f}, filtered {after:.2f}."


def _average_drop(table):
    of = table[(table["class"] == "mean") & (table.model == "N_f=16") & (table.definition == "grad_cam_pp")]
    of = of.set_index(["quantity", "method"]).value
    methods = "Grad-CAM, ReLU of the sum", "Grad-CAM, ReLU per map (filtered)"
    (before, after), (random, less) = ([of[q, m] for m in methods] for q in ("average_drop", "random"))
    yield f"lowers it from {before:.0f} to {after:.0f} %"
    yield f"from {random:.0f} to {less:.0f} %"
    qubo, centred = of["average_drop", "QA-Grad-CAM"], of["centred", "QA-Grad-CAM"]
    assert f"{qubo:.0f}" == f"{centred:.0f}"
    yield f"A spot in the centre does as well as the QUBO, {centred:.0f} %"
    yield f"Average Drop: Grad-CAM {before:.0f}, filtered {after:.0f}]"


def _verdicts(table):
    counts = [(table.verdict == verdict).sum() for verdict in VERDICTS]
    words = (
        "{} are reproduced, {} compatible, {} right in direction or in part, {} not reproduced, and {} cannot be tested"
    )
    yield f"**Of {len(table)} statements**, {words.format(*counts)}"
    yield f"judges {len(table)} of its statements"


def _proofs(table):
    assert (table.proven == 1).all() and 512 in set(table.n_features)
    yield "also of 512 maps"


def _calls(table):
    few = table[(table.reads == 100) & table.instances.str.startswith("N_f=")]
    assert set(few.instances) == {"N_f=16", "N_f=24", "N_f=32"} and (few.probability == 1).all()
    yield "With up to 32 maps, 100 reads hold the optimum in each of 20 images"


def _break_even(table):
    usual = table[table.beta == 0.7]
    assert usual.beyond.all() and usual.extrapolated.all() and 285 < usual.d.min() < 295 and (table.holds < 200).all()
    fastest, slowest = (f"{1000 * value:.0f}" for value in (table.seconds.min(), table.seconds.max()))
    proofs = pd.read_csv(ROOT / "benchmarks/proofs.csv").query("n_features == 512 and part == 'whole' and beta == 0.7")
    proof = f"{1000 * proofs.seconds.median():.0f}"
    yield f"A call takes {fastest} to {slowest} ms, the median proof {proof}: at beta = 0.7"


FOUND = {
    "fig28_sufficient_sets": _needed,
    "fig26_class_specificity": _specific,
    "table04_controls": _average_drop,
    "table02_claims": _verdicts,
    "fig15_proofs": _proofs,
    "fig40_calls": _calls,
    "fig41_break_even": _break_even,
}


def test_proofs_take_milliseconds():
    seconds = pd.read_csv(ROOT / "benchmarks/solvers.csv").query("solver == 'exact'").seconds
    assert len(seconds) > 20 and seconds.max() < 0.1
