"""Artefacts and the command line: nothing half-written, damage noticed, parameters checked."""

import asyncio
import errno
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import time
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from repository import ROOT, move_root

from qafs_utils import __main__
from qafs_utils.artefacts import files
from qafs_utils.artefacts.parameters import IMAGE_NOTEBOOKS, defaults, overrides
from qafs_utils.artefacts.provenance import code_hash
from qafs_utils.artefacts.run import WITHIN_MAKE, Artefacts, Run, require_same_parameters
from qafs_utils.make import execute, publish


@pytest.fixture
def root(tmp_path, monkeypatch):
    move_root(monkeypatch, tmp_path)
    for folder in ("notebooks", "qafs_utils"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    return tmp_path


def make(profile="smoke", notebook="02_feature_maps", **others):
    kernel = {"profile": profile, "_hidden": 1, "In": [], "f": print}
    return Run(notebook, defaults(notebook) | kernel | others)


def parameters(notebook="02_feature_maps"):
    return {name: value for name, value in defaults(notebook).items() if name != "profile"}


def test_artefacts_come_back_with_what_made_them(root):
    make().save("02_x", a=np.arange(3), half=np.ones(2, np.float16))
    make().save_table("02_t", pd.DataFrame({"v": [1.5, 2.0]}))
    run = make()
    loaded = run.load("02_x")
    assert loaded["a"].tolist() == [0, 1, 2] and loaded["half"].dtype == np.float16
    assert loaded["record"]["parameters"] == parameters() and "torch" in loaded["record"]["versions"]
    assert run.load_table("02_t").v.tolist() == [1.5, 2.0]
    assert set(run.inputs) == {"02_x.npz", "02_t.csv"}


def test_without_pytorch_a_run_from_published_data_leaves_the_same_bytes(root, monkeypatch):
    """What 03 stores says nothing of PyTorch, whose absence would change the checksums in all figures after it."""
    full = make(notebook="03_qubo").save("03_x", a=np.arange(3)).read_bytes()
    known = importlib.metadata.version

    def version(name):
        if name in ("torch", "torchvision"):
            raise ModuleNotFoundError(name)
        return known(name)

    monkeypatch.setattr("importlib.metadata.version", version)
    assert make(notebook="03_qubo").save("03_x", a=np.arange(3)).read_bytes() == full


def test_same_arrays_same_bytes(root):
    first = make().save("02_x", a=np.arange(1000)).read_bytes()
    assert make().save("02_x", a=np.arange(1000)).read_bytes() == first


def test_a_failed_write_keeps_the_good_file(root, monkeypatch):
    path = make().save("02_x", a=np.arange(3))
    good = path.read_bytes()

    def fail(part, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(files.ArtefactError, match="cannot write build/smoke/data/02_x.npz: No space left.*Make room"):
        make().save("02_x", a=np.arange(4))
    assert path.read_bytes() == good and [p.name for p in path.parent.iterdir()] == [path.name]


def test_missing_artefact_names_the_notebook(root):
    with pytest.raises(files.ArtefactError, match="run notebook 02 with profile 'smoke' first"):
        make().load("02_x")


def executed(root, number):
    """A notebook of the images profile as papermill leaves it: a picture, a widget, a warning, a table and a text."""
    new, output = nbformat.v4.new_code_cell, nbformat.v4.new_output
    shown = [
        output("display_data", {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure>"}),
        output("display_data", {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "VBox()"}),
        output("stream", name="stderr", text="a warning"),
        output("stream", name="stdout", text="a number"),
        output("execute_result", {"text/html": "<table></table>", "text/plain": "a table"}),
        output("display_data", {"text/markdown": "**Fig. 1.** A finding."}),
    ]
    cell = new("draw()", outputs=shown, metadata={"tags": ["text"], "papermill": {"duration": 1.5}})
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"papermill": {"duration": 2.5}})
    folder = root / "build/images/notebooks"
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / f"{number}_y.ipynb")


def test_published_artefacts_are_checked(root):
    for number in IMAGE_NOTEBOOKS:
        make("images").save(f"{number}_x", a=np.arange(9))
        executed(root, number)
    make("images").save("03_x", a=np.arange(9))
    publish.publish(root / "build/images", files.PUBLISHED)
    assert sorted(files.published_sums()) == [
        f"{number}_{rest}" for number in IMAGE_NOTEBOOKS for rest in ("x.npz", "y.ipynb")
    ]
    kept = nbformat.read(files.PUBLISHED / "02_y.ipynb", 4)
    assert [o.get("text") or next(iter(o.data)) for o in kept.cells[0].outputs] == [
        "a number",
        "text/html",
        "text/markdown",
    ]
    assert "papermill" not in kept.metadata and dict(kept.cells[0].metadata) == {"tags": ["text"]}
    assert make("published").load("02_x")["a"].sum() == 36
    path = files.PUBLISHED / "02_x.npz"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(files.ArtefactError, match="is not the published file.*git checkout data/published"):
        make("published").load("02_x")
    path.unlink()
    with pytest.raises(files.ArtefactError, match="is missing"):
        make("published").load("02_x")


def test_publishing_refuses_an_incomplete_or_large_run(root):
    make("images").save("02_x", a=np.arange(9))
    executed(root, "02")
    others = [number for number in IMAGE_NOTEBOOKS if number != "02"]
    with pytest.raises(files.ArtefactError, match=re.escape(f"{others} left nothing")):
        publish.publish(root / "build/images", files.PUBLISHED)
    for number in others:
        make("images").save(f"{number}_x", a=np.random.default_rng(0).random(2000))
    with pytest.raises(files.ArtefactError, match=re.escape(f"{others} left nothing")):  # no notebooks
        publish.publish(root / "build/images", files.PUBLISHED)
    for number in others:
        executed(root, number)
    with pytest.raises(files.ArtefactError, match="more than the 0.01 MB"):
        publish.publish(root / "build/images", files.PUBLISHED, limit_mb=0.01)
    assert not files.PUBLISHED.exists()


def test_selections_that_differ_stop_the_run():
    bits = {"nf16_qa": np.array([True, False])}
    files.require_equal(bits, dict(bits), "other")
    with pytest.raises(files.ArtefactError, match=r"other selections \(nf16_qa\): renew them"):
        files.require_equal(bits, {"nf16_qa": np.array([True, True])}, "other selections")


def test_figures_say_what_made_them(root):
    from PIL import Image

    figure, _ = plt.subplots()
    make().figure("fig99_x", figure)
    folder = root / "build/smoke/figures"
    first = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert json.loads(Image.open(folder / "fig99_x.png").info["Description"])["parameters"] == parameters()
    make().figure("fig99_x", figure)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == first


def test_every_figure_and_table_is_recorded(root, monkeypatch):
    run = make()
    run.uses({"train_X.bin": "md5"})
    run.save("02_x", a=np.arange(3))
    run.figure("fig99_x", plt.subplots()[0])
    run.table("table99_x", pd.DataFrame({"v": [1.5]}))
    (root / "figures").mkdir()
    kept = {"04_annealing": {"figures": {"fig98.png": "0"}}}
    (root / files.RECORDS).write_text(json.dumps(kept | {"98_gone": {}}))
    publish.collect_records("smoke")
    records = json.loads((root / files.RECORDS).read_text())
    assert records.keys() == {"04_annealing", "02_feature_maps"} and records["04_annealing"] == kept["04_annealing"]
    record = records["02_feature_maps"]
    assert record.keys() == {"notebook", "parameters", "inputs", "sources", "versions", "code", "artefacts", "figures"}
    assert record["figures"].keys() == {"fig99_x.png", "fig99_x.pdf", "table99_x.csv"}
    assert all(files.sha256(root / "build/smoke/figures" / f).startswith(h) for f, h in record["figures"].items())
    assert record["artefacts"].keys() == {"02_x.npz"} and record["sources"] == {"train_X.bin": "md5"}
    assert record["code"] == code_hash("02_feature_maps")


def test_a_kernel_of_make_does_not_wait_for_workers(root, monkeypatch):
    from ipykernel.kernelbase import Kernel

    waits = Kernel._progressively_terminate_all_children
    for within in (False, True):
        monkeypatch.setenv(WITHIN_MAKE, "1") if within else monkeypatch.delenv(WITHIN_MAKE, raising=False)
        kernel = SimpleNamespace(_progressively_terminate_all_children=waits)
        make(get_ipython=lambda kernel=kernel: SimpleNamespace(kernel=kernel))
        assert (kernel._progressively_terminate_all_children is waits) is not within
    assert asyncio.run(kernel._progressively_terminate_all_children()) is None


def test_the_lab_leaves_what_make_has_made_alone(root, monkeypatch, capsys):
    monkeypatch.setenv(WITHIN_MAKE, "1")
    made = make(get_ipython=print).save("02_x", a=np.arange(3))
    assert made == root / "build/smoke/data/02_x.npz"
    monkeypatch.delenv(WITHIN_MAKE)
    lab = make(get_ipython=print)
    assert lab.load("02_x")["a"].tolist() == [0, 1, 2]
    assert lab.save("02_x", a=np.arange(2)) == root / "build/lab/smoke/data/02_x.npz"
    capsys.readouterr()
    assert make(get_ipython=print).load("02_x")["a"].tolist() == [0, 1]  # another notebook in the lab
    assert "02_x.npz is the one made in the lab: delete build/lab/smoke/data/02_x.npz" in capsys.readouterr().out
    assert make().load("02_x")["a"].tolist() == [0, 1, 2]


def test_answers_to_the_paper_are_kept(root):
    (root / "data").mkdir()
    (root / "data/paper_values").symlink_to(ROOT / "data/paper_values")
    run = make()
    run.claim("shots", 1 / 3, np.float64(0.25), 0.5, holds=np.True_, why="as it is", seeds=[0.5, np.nan, 0.25])
    run.claim("overlap_pairs", 12, reported=14)
    options = {"reported": 14.0, "partly": True, "unit": "classes", "p": np.float64(0.02)}
    run.claim("overlap_pairs", np.int64(17), 17.0, 19.0, **options)
    run.claim("accuracy", None, testable=False)
    answers = make().load_table("02_claims", dtype=str).set_index("id")
    assert answers.index.tolist() == ["shots", "overlap_pairs", "accuracy"]  # the last answer to a statement
    columns = ["ours", "low", "unit", "holds", "seeds", "noise"]
    assert answers.loc["shots", columns].tolist() == ["0.333333", "0.25", "images", "yes", "0.25 to 0.5", "0.25"]
    columns = ["ours", "low", "unit", "partly", "p"]
    assert answers.loc["overlap_pairs", columns].tolist() == ["17", "17", "classes", "True", "0.02"]
    assert (answers.notebook == "02_feature_maps").all()
    assert pd.isna(answers.loc["accuracy", ["unit", "noise", "p"]]).all()  # no interval, reruns or test
    assert pd.isna(answers.loc["accuracy", ["ours", "low", "reported", "holds"]]).all()
    shown = run.claims().data
    assert shown.claim["accuracy"].startswith("validation and test accuracy") and shown.ours["shots"] == 1 / 3
    assert shown.measured["accuracy"] == "test accuracy, mean over heads" and shown.holds_if["accuracy"] == ""
    assert shown.reported["overlap_pairs"] == 14 and shown.index.tolist() == answers.index.tolist()


@pytest.mark.parametrize(
    "answer, message",
    [
        ({"name": "shot"}, "no statement has the id 'shot': add its line to data/paper_values/claims.csv"),
        ({"ours": "0.5"}, "ours must be"),
        ({"ours": [0.5]}, "ours must be"),
        ({"ours": np.inf}, "ours must be finite"),
        ({"ours": 1, "low": "0"}, "low must be"),
        ({"ours": 1, "reported": 1j}, "reported must be"),
        ({"ours": 1, "holds": np.nan}, "holds must be True or False, got nan"),
        ({"ours": 1, "partly": 1}, "partly must be True or False"),
        ({"ours": 1, "testable": None}, "testable must be True or False"),
        ({"ours": 1, "seeds": ["a"]}, "seeds must be"),
        ({"ours": 1, "unit": "seeds"}, "unknown unit 'seeds': choose from images, classes, "),
        ({"ours": 1, "p": 1.5}, "p must be"),
        ({"ours": 1, "p": "0.5"}, "p must be"),
    ],
    ids=str,
)
def test_an_answer_that_is_none_is_refused_by_name(root, answer, message):
    (root / "data").mkdir()
    (root / "data/paper_values").symlink_to(ROOT / "data/paper_values")
    with pytest.raises(ValueError, match=message):
        make().claim(**{"name": "shots"} | answer)
    assert not (root / "build").exists()


def test_a_saved_table_is_given_back_as_it_is_read(root):
    table = pd.DataFrame({"gap": [1 / 3, np.nan], "name": ["a", ""]})
    kept = make().save_table("02_t", table)
    pd.testing.assert_frame_equal(kept, make().load_table("02_t"))
    assert kept.gap[0] == 0.333333 and make().load_table("02_t", dtype=str).gap[0] == "0.333333"


def test_unknown_profile():
    with pytest.raises(ValueError, match="unknown profile 'full': choose from published, images, smoke"):
        make("full")


@pytest.mark.parametrize(
    "text, message",
    [
        (b"time_limmit: 0.5", "line 1: time_limmit is not a parameter of 12_optimality"),
        (b"seed: 1\ntime_limit: high", "line 2: time_limit must be float, as in the notebook, got 'high'"),
        (b"time_limit: true", "line 1: time_limit must be float"),
        (b"time_limit: 1e-3", "line 1: time_limit must be float.*got '1e-3'"),  # YAML wants a dot
        (b"time_limit: .nan", "line 1: time_limit must be a literal"),
        (b"resamples: 1.5", "line 1: resamples must be int"),
        (b"betas: 0.5", "line 1: betas must be list"),
        (b"betas: [0.5, high]", "line 1: betas must be a list of float"),
        (b"n_features: [0, true]", "line 1: n_features must be a list of int"),
        (b"# twice\ntime_limit: 0.5\ntime_limit: 0.6", "line 2: time_limit is there twice"),
        (b"profile: images", "line 1: profile is chosen by the command"),
        (b"# a list\n- time_limit", "line 2: must hold lines `name: value`, got a list"),
        (b"time_limit", "line 1: must hold lines `name: value`, got a str"),
        (b"time_limit: 0.5\nn_features: [0\n", "line 3: broken YAML"),
        (b"time_limit: 0.5\n\tseed: 1\n", "line 2: broken YAML"),
        (b"time_limit: 0.5\n\xff\xfe", "line 2: not UTF-8"),
        (b"? [time_limit]\n: 1", "line 1: broken YAML"),
        (b"time_limit: 1" + b"0" * 400, "line 1: time_limit must be float"),
        (b"n_features: &a [*a]", "line 1: n_features must be a list of int"),
    ],
)
def test_overrides_are_checked(root, text, message):
    (root / "params/smoke").mkdir(parents=True)
    (root / "params/smoke/12_optimality.yaml").write_bytes(text)
    with pytest.raises(ValueError, match=f"params/smoke/12_optimality.yaml, {message}"):
        overrides("12_optimality", "smoke")


@pytest.mark.parametrize(
    "value",
    [
        "2024-13-45",
        "0x_",
        "0b_",
        "!!int abc",
        "!!float x",
        "1" * 5000,
        "!!timestamp foo",
        "!!bool maybe",
        "[" * 3000,
    ],
    ids=lambda value: value[:16],
)
def test_values_that_end_the_reader_of_yaml_are_refused_with_the_file(root, value):
    (root / "params/smoke").mkdir(parents=True)
    (root / "params/smoke/12_optimality.yaml").write_text(f"time_limit: {value}")
    with pytest.raises(ValueError, match="params/smoke/12_optimality.yaml cannot be read, "):
        overrides("12_optimality", "smoke")


def test_a_folder_in_place_of_a_parameter_file_is_named(root):
    (root / "params/smoke/12_optimality.yaml").mkdir(parents=True)
    with pytest.raises(ValueError, match="params/smoke/12_optimality.yaml cannot be read, .*Is a directory"):
        overrides("12_optimality", "smoke")


def test_a_whole_number_will_do_for_a_float(root):
    (root / "params/smoke").mkdir(parents=True)
    (root / "params/smoke/12_optimality.yaml").write_text("time_limit: 1\nbetas: [1, 0.5]\n", encoding="utf-8-sig")
    given = overrides("12_optimality", "smoke")
    assert given == {"time_limit": 1.0, "betas": [1.0, 0.5]}
    assert type(given["time_limit"]) is type(given["betas"][0]) is float


CELL = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": ["profile = 'smoke'\n", "beta = 0.7"]}


@pytest.mark.parametrize(
    "content, message",
    [
        ("<<<<<<< HEAD", "notebooks/03_x.ipynb is no notebook"),
        ("[]", "notebooks/03_x.ipynb is no notebook"),
        (json.dumps({"cells": []}), "expected one cell tagged 'parameters', found 0"),
        (json.dumps({"cells": [CELL | {"source": "beta = sqrt(2)"}]}), "lines `name = literal` only: not 'beta = sqrt"),
        (json.dumps({"cells": [CELL | {"source": "a, b = 1, 2"}]}), "lines `name = literal` only: not"),
        (json.dumps({"cells": [CELL | {"source": "beta = "}]}), "lines `name = literal` only: invalid syntax"),
    ],
)
def test_a_broken_parameter_cell_is_named(root, content, message):
    (root / "notebooks").unlink()
    (root / "notebooks").mkdir()
    (root / "notebooks/03_x.ipynb").write_text(content)
    with pytest.raises(ValueError, match=message):
        defaults("03_x")


@pytest.mark.parametrize("name", ["../../x", "", "03", "notebooks/03_qubo", "03_qubo.ipynb", None, ["03_qubo"]])
def test_anything_but_a_notebook_is_refused(root, name):
    for refused in (
        defaults,
        lambda n: overrides(n, "smoke"),
        lambda n: execute.run_notebook("published", n),
        lambda n: Run(n, {"profile": "smoke"}),
    ):
        with pytest.raises(ValueError, match="unknown notebook .*choose from 00_quickstart, "):
            refused(name)
    assert not (root / "build").exists()


def test_only_the_names_of_the_parameter_cell_are_recorded(root):
    private = {"email": "someone@example.org", "api_token": "secret", "debug": False, "rows": [{"a": np.int64(1)}]}
    run = make(**private, seeds=(0, np.int64(3)), precision_check=1)
    run.save("02_x", a=np.arange(3))
    assert run.record()["parameters"] == parameters() | {"seeds": [0, 3]}
    assert not any(name in path.read_text() for path in (root / "build/smoke/records").iterdir() for name in private)


ENDLESS = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    "value",
    [np.arange(2), {1, 2}, np.float64("nan"), 1j, {"a": print}, [0, {1: 2}], Ellipsis, ENDLESS, 10**400],
    ids=lambda value: str(value)[:16],
)
def test_a_parameter_that_no_record_can_keep_is_refused_by_name(value):
    with pytest.raises(ValueError, match="image_size must be a literal"):
        make(image_size=value)


def test_a_parameter_without_a_value_is_refused_by_name():
    with pytest.raises(ValueError, match="03_qubo: no value for betas, example: run the cell of its parameters first"):
        Run("03_qubo", {k: v for k, v in defaults("03_qubo").items() if k not in ("betas", "example")})


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda run: Run("03_qubo", None), "namespace must be a dict"),
        (lambda run: run.uses(None), "sources must be a dict"),
        (lambda run: run.uses({"a": print}), "sources must be"),
        (lambda run: run.figure("fig99", None), "figure must be a Matplotlib figure"),
        (lambda run: run.page("page", None), "text must be text"),
        (lambda run: run.table("table99", None), "table must"),
        (lambda run: run.save("02_x", a=np.ma.masked_array([1, 2], [0, 1])), "02_x: a must be an array"),
    ],
)
def test_a_run_refuses_by_name(root, call, message):
    run = make()
    with pytest.raises(ValueError, match=message):
        call(run)
    assert not (root / "build").exists()


@pytest.mark.parametrize("name", ["../y", "a/b", "", ".x", "x" * 200, "a\n", "é", None, 5])
def test_nothing_is_written_or_read_outside_its_folder(root, name):
    run, table = make(), pd.DataFrame({"v": [1]})
    for call in (
        lambda: run.save(name, v=[1]),
        lambda: run.save_table(name, table),
        lambda: run.page(name, ""),
        lambda: run.table(name, table),
        lambda: run.figure(name, plt.figure()),
        lambda: run.load(name),
        lambda: run.load_table(name),
        lambda: run.paper(name),
        lambda: run.measured(name),
        lambda: execute.alone("smoke", name).__enter__(),
    ):
        with pytest.raises(ValueError, match="name must be a letter or digit"):
            call()
    assert not (root / "build").exists()


@pytest.mark.parametrize(
    "column",
    [
        ["NA", "None", "null", "nan"],
        ["x", None],
        [" x ", 'a "b", c\nd'],
        [True, False],
        [1, 2**60],
        [0.5, np.inf],
        np.array([1 / 3, None, 2], dtype=object),
        pd.array([1, None], dtype="Int64"),
        pd.Categorical(["u", "v"]),
        [],
    ],
    ids=str,
)
def test_a_table_comes_back_as_it_was(root, column):
    make().save_table("02_t", pd.DataFrame({"v": column}))
    for value, again in zip(column, make().load_table("02_t").v, strict=True):
        value = pytest.approx(value, rel=1e-5) if isinstance(value, float) else value
        assert pd.isna(again) if value is None or value is pd.NA else again == value


@pytest.mark.parametrize(
    "table, message",
    [
        ({"v": ["001", "2"]}, "column v .* '001' is read as 1"),
        ({"v": ["1e5"]}, "column v"),
        ({"v": [0.5, "x"]}, "column v"),
        ({"v": ["True", "False"]}, "column v"),
        ({"v": ["x\ry"]}, "column v"),
        ({"v": [[1]]}, "column v"),
        ({"v": [1j]}, "column v"),
        ({"v": [pd.Timestamp(0)]}, "column v"),
        ({"v": pd.Series([1], pd.Index([2], name="k"))}, r"index \['k'\]"),
        ({}, "must have columns"),
        ({0: [1]}, "text"),
    ],
    ids=str,
)
def test_a_table_that_would_come_back_as_another_is_refused(root, table, message):
    with pytest.raises(ValueError, match=message):
        make().save_table("02_t", pd.DataFrame(table))
    assert not (root / "build").exists()


def test_a_record_keeps_the_parameters_of_its_beginning(root):
    given = [0, 1]
    run = make(seeds=given)
    given.append(2)
    assert run.record()["parameters"]["seeds"] == [0, 1]


def test_the_parameters_recorded_in_the_repository_are_those_of_the_cells():
    for notebook, record in files.committed_records().items():
        assert record["parameters"].keys() == parameters(notebook).keys()


def test_summary_names_what_was_not_remade(root, monkeypatch, capsys):
    (root / "notebooks").unlink()
    for name in ("04_annealing", "98_gone"):
        record = root / f"build/published/records/{name}.json"
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps({"figures": {f"fig{name[:2]}.png": "0"}}))
    (root / "notebooks").mkdir()
    (root / "notebooks/04_annealing.ipynb").touch()
    made = ["fig04.png", "fig98.png"]  # the second by a notebook that is gone
    for folder, names in (("build/published/figures", made), ("figures", ["fig01.png", "fig04.png"])):
        (root / folder).mkdir(parents=True)
        for name in names:
            (root / folder / name).write_text(folder)
    monkeypatch.setenv("QAFS_START", str(time.time() - 600))
    publish.summary("published")
    assert (root / "figures/fig04.png").read_text() == "build/published/figures"
    assert (root / "figures/fig01.png").read_text() == "figures" and not (root / "figures/fig98.png").exists()
    out = capsys.readouterr().out
    assert "as committed, not remade: fig01.png" in out
    assert "10 minutes in all. Next: open figures/, or `make html`" in out


def test_the_weights_are_fetched_without_the_photographs(monkeypatch, capsys):
    monkeypatch.setattr("qafs_utils.cnn.pretrained.resnet18", lambda: None)
    monkeypatch.setattr("qafs_utils.cnn.datasets.stl10", lambda split: pytest.fail("photographs were asked for"))
    monkeypatch.setattr("sys.argv", ["qafs_utils", "weights"])
    __main__.main()
    assert capsys.readouterr().out.endswith(": loads\n")


def test_command_line_fails_in_one_line():
    done = subprocess.run(
        [sys.executable, "-m", "qafs_utils", "run", "smoke", "99_nothing"],
        cwd=files.ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0 and "99_nothing" in done.stderr.splitlines()[-1]


def test_unknown_input_of_make():
    done = subprocess.run(["make", "figures", "INPUT=raw"], cwd=files.ROOT, capture_output=True, text=True)
    assert done.returncode != 0 and "unknown INPUT 'raw': choose published or images" in done.stderr


def damages(good):
    """Contents that are not what was written: cut, of another kind, with a bit flipped at any place."""
    yield from (b"", b"garbage", b"\x00\xff\xfe" * 99, good[:-1], good[: len(good) // 2])
    for at in range(0, len(good), max(1, len(good) // 60)):
        yield good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]


@pytest.mark.parametrize("recorded", [True, False])  # whether the notebook's record lists the file
@pytest.mark.parametrize("table", [False, True])
def test_a_damaged_artefact_is_named_with_the_remedy(root, table, recorded):
    if table:
        make().save_table("02_x", pd.DataFrame({"v": np.arange(50) / 7, "name": "a"}))
    else:
        make().save("02_x", a=np.arange(1000), b=np.array(["text"]))
    path = root / f"build/smoke/data/02_x.{'csv' if table else 'npz'}"
    if not recorded:
        (root / "build/smoke/records/02_feature_maps.json").unlink()
    good = path.read_bytes()
    load = make().load_table if table else make().load
    whole, missed = load("02_x"), 0
    for content in damages(good):
        path.write_bytes(content)
        try:
            again = load("02_x")
        except files.ArtefactError as error:
            assert f"{path.relative_to(root)} is damaged" in str(error)
            assert "delete it and run notebook 02 again" in str(error)
        else:  # without a record, digits of a table and dates in a zip may be others
            missed += table or not all(np.array_equal(again[key], whole[key]) for key in ("a", "b"))
    assert not missed or (table and not recorded)


@pytest.mark.parametrize("array", [{"a": 1}, [[1], [1, 2]], np.array([None]), print])
def test_what_could_not_be_read_again_is_not_saved(root, array):
    with pytest.raises(ValueError, match="02_x: counts must be an array of numbers, text or booleans"):
        make().save("02_x", counts=array)
    with pytest.raises(ValueError, match="02_x: record is no name for an array"):
        make().save("02_x", record=np.arange(3))
    with pytest.raises(ValueError, match="table must be a pandas DataFrame"):
        make().save_table("02_x", {"a": [1]})
    assert not list((root / "build").rglob("02_x.npz"))


def test_an_array_of_objects_is_not_read(root):
    path = make().save("02_x", a=np.arange(3))
    np.savez(path, a=np.array([print], dtype=object), record="{}")
    (root / "build/smoke/records/02_feature_maps.json").unlink()
    with pytest.raises(files.ArtefactError, match="02_x.npz is damaged: delete it"):
        make().load("02_x")
    np.savez(path, a=np.arange(3))  # without its record
    with pytest.raises(files.ArtefactError, match="02_x.npz is damaged: delete it"):
        make().load("02_x")


@pytest.mark.parametrize("content", [None, b"", b"a,b", b"a,b\n", b"a,b\n1,2\n3\n", b"a,b\n1,2\n3,", b"\xff\x00\n"])
def test_committed_tables_that_are_missing_or_damaged_are_named(root, content):
    for folder, read in (("data/paper_values", Artefacts("smoke").paper), ("benchmarks", make().measured)):
        (root / folder).mkdir(parents=True)
        if content is not None:
            (root / folder / "x.csv").write_bytes(content)
        problem = "missing" if content is None else "damaged"
        with pytest.raises(files.ArtefactError, match=f"{folder}/x.csv is {problem}: restore it with `git checkout`"):
            read("x")


@pytest.mark.parametrize("content", [b"", b"\xff\n", b"0 02_x.npz\n", b"<<<<<<< HEAD\n", b"[1"])
def test_damaged_lists_are_named(root, content):
    (root / "figures").mkdir()
    (root / files.RECORDS).write_bytes(content)
    with pytest.raises(
        files.ArtefactError, match="figures/RECORDS.json is damaged: `git checkout figures` restores it"
    ):
        files.committed_records()
    files.PUBLISHED.mkdir(parents=True)
    (files.PUBLISHED / "SHA256SUMS").write_bytes(content)
    with pytest.raises(files.ArtefactError, match="SHA256SUMS is damaged: `git checkout data/published` restores it"):
        files.published_sums()


def test_parameters_of_another_run_are_compared(root):
    made = {"record": {"notebook": "03_qubo", "parameters": {"conventions": "text"}}}
    require_same_parameters(make(notebook="04_annealing", conventions="text"), made, ["conventions"])
    with pytest.raises(files.ArtefactError, match="04_annealing and 03_qubo disagree: seed = 0 .was 'not recorded'."):
        require_same_parameters(make(notebook="04_annealing"), made, ["seed"])


def test_sources_are_read_as_utf_8_whatever_the_locale():
    code = "from qafs_utils.artefacts.run import Run, defaults; print(Run('03_qubo', defaults('03_qubo')).code)"
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=files.ROOT, capture_output=True, text=True, env=os.environ | plain
    )
    assert done.stdout.strip() == code_hash("03_qubo"), done.stderr[-2000:]


def test_figures_of_a_smoke_run_are_never_published(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["qafs_utils", "summary", "smoke"])
    with pytest.raises(SystemExit):
        __main__.main()
    assert "invalid choice: 'smoke'" in capsys.readouterr().err


def test_the_record_of_a_notebook_that_has_another_name_now_is_no_witness(root):
    make().save_table("02_x", pd.DataFrame({"v": [1.5]}))
    old = root / "build/smoke/records/02_old_name.json"
    old.write_text(json.dumps({"artefacts": {"02_x.csv": "0" * 16}}))
    assert make().load_table("02_x").v.tolist() == [1.5]


def test_an_answer_that_cannot_be_kept_leaves_the_others(root):
    (root / "data").mkdir()
    (root / "data/paper_values").symlink_to(ROOT / "data/paper_values")
    run = make()
    with pytest.raises(ValueError, match="column why"):
        run.claim("shots", 1.0, why="001")
    run.claim("overlap_pairs", 17)
    assert make().load_table("02_claims").id.tolist() == ["overlap_pairs"]
