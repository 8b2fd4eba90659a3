"""The explorer without a server: its page says in a real browser what the package says, for 100 random choices."""

import base64
import html
import json
import re
import shutil
import subprocess
import urllib.parse
import zlib

import numpy as np
import pytest
import torch

from qafs_utils.artefacts import files
from qafs_utils.artefacts.run import Artefacts
from qafs_utils.cnn.heads import HEADS
from qafs_utils.conventions import HEADLINE
from qafs_utils.explanations import cams
from qafs_utils.explanations.carried import LinearClassifier
from qafs_utils.explanations.explorer import Explorer
from qafs_utils.explanations.map_subsets import mean_cosines
from qafs_utils.make import explorer
from qafs_utils.solvers import baselines, beta_path
from qafs_utils.solvers.one_problem import select

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
NUMBERS = 1e-6  # energies, break points, scores: the package takes importance in single precision, the page does not
PIXELS = 2e-5  # explanation maps in [0, 1], which the package computes in single precision
EVERY = 13  # rows and columns of the heat map that the page writes


@pytest.fixture(scope="module")
def models():
    heads = Artefacts("published").load("01_heads")
    of = {n: f"{HEADS[f'nf{n}']}/classifier" for n in explorer.MODELS}
    return {
        n: (Artefacts("published").load(f"02_maps_nf{n}")["maps_block"], heads[f"{name}.weight"], heads[f"{name}.bias"])
        for n, name in of.items()
    }


@pytest.fixture(scope="module")
def choices(models):
    """A hundred random choices, among them both ends of beta, fixed sizes, and classes that are not predicted."""
    rng, found, view = np.random.default_rng(0), [], Explorer(models)
    for i in range(100):
        choice = {"image": int(rng.integers(200)), "n_features": int(rng.choice(explorer.MODELS))}
        choice["class_index"] = int(rng.integers(-1, 10)) if i % 2 else -1
        d = view.candidates(**choice)
        beta = {0: 0.0, 1: 1.0, 2: 0.7}.get(i // 3) if i < 9 else round(float(rng.random()), 2 if i % 2 else 6)
        found.append(choice | {"beta": beta, "size": int(rng.integers(1, d + 1)) if i % 3 == 0 else 0})
    return found


@pytest.fixture(scope="module")
def page():
    return explorer.page(explorer.data())


@pytest.fixture(scope="module")
def answers(choices, page, tmp_path_factory):
    """What the page writes for the choices when a browser opens it from a file."""
    if BROWSER is None:
        pytest.skip("no browser: install Chromium to compare the explorer's page with the package")
    folder = tmp_path_factory.mktemp("page")
    (folder / "explorer.html").write_bytes(page)
    address = f"{(folder / 'explorer.html').as_uri()}#answers={urllib.parse.quote(json.dumps(choices))}"
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    options += ["--window-size=1280,900", "--timeout=120000", "--dump-dom"]
    done = subprocess.run([BROWSER, *options, address], capture_output=True, text=True, timeout=300)
    written = re.search(r'<pre id="answers">(.*?)</pre>', done.stdout, re.S)
    assert written, f"the page wrote no answers: {done.stderr[-1000:]}"
    found = json.loads(html.unescape(written[1]))
    assert len(found) == len(choices) == 100
    return found


def path_of(problem, size):
    def solve(problem, beta, pair_sum):
        selected, info = select(problem, beta=beta, pair_sum=pair_sum, size=size or None)
        return selected[problem.maps], info["proven"]

    return beta_path.path(problem, solve=solve)


def test_the_problem_and_its_optimum_are_those_of_the_package(models, choices, answers):
    view = Explorer(models)
    for choice, found in zip(choices, answers):
        want = view.choose(**choice)
        problem, of_page = want["problem"], found["problem"]
        assert want["scores"]["proven"] and found["class_index"] == want["class_index"], choice
        assert of_page["maps"] == problem.maps.tolist(), choice
        np.testing.assert_allclose(of_page["field"], problem.field, atol=NUMBERS)
        np.testing.assert_allclose(of_page["redundancy"], problem.redundancy, atol=NUMBERS)
        np.testing.assert_allclose(found["matrix"], want["matrix"], atol=NUMBERS)
        assert abs(found["energy"] - want["scores"]["energy"]) <= NUMBERS * problem.d, choice
        bits = np.array(found["selected"])
        assert abs(problem.energy(bits, choice["beta"]) - found["energy"]) <= NUMBERS * problem.d, choice
        assert not choice["size"] or bits.sum() == choice["size"], choice
        if choice["beta"] > 0:  # at 0 several selections are equally good
            assert np.array_equal(bits, want["selected"]), choice


def test_the_path_in_beta_is_that_of_the_package(models, choices, answers):
    view = Explorer(models)
    for choice, found in zip(choices, answers):
        _, problem = view.problem(choice["image"], choice["n_features"], found["class_index"])
        for pieces, size in ((found["path"], choice["size"]), (found["free"], 0)):
            want = path_of(problem, size)
            wide = want.widths > 1e-9  # at beta = 0 exact ties may leave a piece without width
            assert want.proven.all() and len(pieces) == wide.sum(), choice
            np.testing.assert_allclose([piece["high"] for piece in pieces], want.edges[1:][wide], atol=NUMBERS)
            bits = np.array([piece["selection"] for piece in pieces])[:, None] >> np.arange(problem.d) & 1
            assert np.array_equal(bits, want.bits[wide]), choice
            for end in ("at0", "at1"):
                expected = want.at_0[wide] if end == "at0" else want.at_1[wide]
                np.testing.assert_allclose([piece[end] for piece in pieces], expected, atol=NUMBERS * problem.d)


def test_scores_are_those_of_the_package(models, choices, answers):
    for choice, found in zip(choices, answers):
        maps, weight, bias = models[choice["n_features"]]
        classifier = LinearClassifier.of_maps(maps[[choice["image"]]], weight, bias, np.array([found["class_index"]]))
        assert found["predicted"] == classifier.logits.argmax(), choice
        selected = np.array([found["selected"]])
        alpha = np.array([found["problem"]["alpha"]])
        sets = {"all": np.ones_like(selected), "selected": selected}
        sets["top_k"] = baselines.top_k(alpha, selected.sum(1))
        assert found["same"] == np.array_equal(selected, sets["top_k"]), choice
        for name, kept in sets.items():
            for measure in ("probability", "argmax", "margin"):
                want = classifier.measures(kept)[measure][0]
                assert abs(found["scores"][name][measure] - want) <= 1e-5, (choice, name, measure)
        for name in ("selected", "top_k"):
            bits = sets[name][0][found["problem"]["maps"]]
            want = mean_cosines([np.array(found["problem"]["redundancy"])], [bits])[0]
            assert (found["likeness"][name] is None) == np.isnan(want), choice
            assert np.isnan(want) or abs(found["likeness"][name] - want) <= NUMBERS, choice


def test_explanation_maps_are_those_of_the_package(models, choices, answers):
    view = Explorer(models)
    for choice, found in zip(choices, answers):
        alpha, _ = view.problem(choice["image"], choice["n_features"], found["class_index"])
        maps, alpha = torch.tensor(models[choice["n_features"]][0][[choice["image"]]]), torch.tensor(alpha)[None]
        selections = {"selected": torch.tensor([found["selected"]]), "filtered": alpha > 0, "all": None}
        for name, selection in selections.items():
            want = cams.heatmap(cams.grad_cam(maps, alpha, selection), 224)[0, ::EVERY, ::EVERY].numpy()
            np.testing.assert_allclose(found["heatmaps"][name], want.ravel(), atol=PIXELS, err_msg=f"{choice} {name}")


def test_a_change_is_quick_in_the_browser(answers):
    times = [found["milliseconds"] for found in answers]
    print(f"a change takes {np.median(times):.0f} ms in the browser, at most {max(times):.0f}")
    assert 0 < np.median(times) < 500  # a tenth of this on an idle machine; loosely, because others may use it


def test_packed_numbers_are_not_rounded_and_others_refused():

    values = Artefacts("published").load("02_maps_nf16")["maps_block"][:3]
    planes = np.frombuffer(zlib.decompress(base64.b64decode(explorer.packed(values))), np.uint8).reshape(2, -1)
    assert np.array_equal(planes.T.copy().view("<f2").ravel(), values.ravel())
    with pytest.raises(ValueError, match="float16 or float32"):
        explorer.packed(np.zeros(2))


def test_the_page_is_one_file_that_loads_nothing(page):
    page = page.decode()
    assert len(page) < 6e6 and "{{" not in page.split('<script type="application/json"')[0]
    assert not re.search(r'(src|href)="(?!#|data:|https://arxiv\.org/abs/)', page)
    assert not re.search(r"\b(fetch|XMLHttpRequest|import)\s*\(|@import|url\((?!#)", page)
    assert f'"beta":{HEADLINE.beta},' in page
    assert {n: f"nf{n}_paper_seed0" for n in explorer.MODELS} == {n: HEADS[f"nf{n}"] for n in explorer.MODELS}


def test_more_candidates_than_can_be_compared_are_refused(monkeypatch):
    monkeypatch.setattr(explorer, "MOST", 8)
    with pytest.raises(files.ArtefactError, match="class of 9 candidates"):
        explorer.data([16])


def shown(address):
    """The text of the page at an address, without its tags."""
    if BROWSER is None:
        pytest.skip("no browser: install Chromium to read the explorer's page")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom"]
    found = subprocess.run([BROWSER, *options, address], capture_output=True, text=True, timeout=120).stdout
    of_page = found.split('<script type="application/json"')[0]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", of_page)).split())


def test_the_address_is_the_choice_and_what_does_not_fit_in_it_is_left_out(page, models, tmp_path):
    (tmp_path / "explorer.html").write_bytes(page)
    address = (tmp_path / "explorer.html").as_uri()
    choice = {"image": 45, "n_features": 32, "class_index": 5, "beta": 0.6, "size": 4}
    want = Explorer(models).choose(**choice)
    text = shown(f"{address}#{urllib.parse.urlencode(choice)}")
    *others, final = map(str, np.flatnonzero(want["selected"]))
    assert f"To explain “dog”: maps {', '.join(others)} and {final} (4 of {want['problem'].d} candidates)" in text
    assert f"Energy −{-want['scores']['energy']:.4f}, the lowest of all" in text
    assert f"P(dog) with these maps alone: {want['scores']['probability']:.3f}" in text
    text, default = (
        shown(f"{address}{wrong}") for wrong in ("#image=x&n_features=99&beta=7&size=-1&class_index=55", "")
    )
    assert text == default and "β = 0.70" in text
