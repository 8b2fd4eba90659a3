"""Artefacts and the command line: nothing half-written, damage noticed, parameters checked."""

import errno
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from qafs_utils import __main__ as cli
from qafs_utils import run as runs
from qafs_utils.provenance import code_hash


@pytest.fixture
def root(tmp_path, monkeypatch):
    for name in ("ROOT", "PUBLISHED", "PAPER_VALUES"):
        monkeypatch.setattr(runs, name, tmp_path / getattr(runs, name).relative_to(cli.ROOT))
    return tmp_path


def make(profile="smoke", **parameters):
    everything = {"profile": profile, "beta": 0.7, "_hidden": 1, "In": [], "LIMIT": 3, "f": print} | parameters
    return runs.Run("02_feature_maps", everything)


def test_artefacts_come_back_with_what_made_them(root):
    make().save("02_x", a=np.arange(3), half=np.ones(2, np.float16))
    make().save_table("02_t", pd.DataFrame({"v": [1.5, 2.0]}))
    run = make()
    loaded = run.load("02_x")
    assert loaded["a"].tolist() == [0, 1, 2] and loaded["half"].dtype == np.float16
    assert loaded["record"]["parameters"] == {"beta": 0.7} and "torch" in loaded["record"]["versions"]
    assert run.load_table("02_t").v.tolist() == [1.5, 2.0]
    assert set(run.inputs) == {"02_x.npz", "02_t.csv"}


def test_same_arrays_same_bytes(root):
    first = make().save("02_x", a=np.arange(1000)).read_bytes()
    assert make().save("02_x", a=np.arange(1000)).read_bytes() == first


def test_a_failed_write_keeps_the_good_file(root, monkeypatch):
    path = make().save("02_x", a=np.arange(3))
    good = path.read_bytes()

    def fail(part, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(runs.os, "replace", fail)
    with pytest.raises(runs.ArtefactError, match="cannot write build/smoke/data/02_x.npz: No space left.*Make room"):
        make().save("02_x", a=np.arange(4))
    assert path.read_bytes() == good and [p.name for p in path.parent.iterdir()] == [path.name]


def test_missing_artefact_names_the_notebook(root):
    with pytest.raises(runs.ArtefactError, match="run notebook 02 with profile 'smoke' first"):
        make().load("02_x")


def test_published_artefacts_are_checked(root):
    for number in runs.IMAGE_NOTEBOOKS:
        make("images").save(f"{number}_x", a=np.arange(9))
    make("images").save("03_x", a=np.arange(9))
    runs.publish(root / "build/images/data", runs.PUBLISHED)
    assert sorted(runs.published_sums()) == ["01_x.npz", "02_x.npz", "06_x.npz", "12_x.npz"]
    assert make("published").load("02_x")["a"].sum() == 36
    path = runs.PUBLISHED / "02_x.npz"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(runs.ArtefactError, match="is not the published file.*git checkout data/published"):
        make("published").load("02_x")
    path.unlink()
    with pytest.raises(runs.ArtefactError, match="is missing"):
        make("published").load("02_x")


def test_publishing_refuses_an_incomplete_or_large_run(root):
    make("images").save("02_x", a=np.arange(9))
    with pytest.raises(runs.ArtefactError, match=r"\['01', '06', '12'\] left nothing"):
        runs.publish(root / "build/images/data", runs.PUBLISHED)
    for number in ("01", "06", "12"):
        make("images").save(f"{number}_x", a=np.random.default_rng(0).random(2000))
    with pytest.raises(runs.ArtefactError, match="more than the 0.01 MB"):
        runs.publish(root / "build/images/data", runs.PUBLISHED, limit_mb=0.01)
    assert not runs.PUBLISHED.exists()


def test_selections_that_differ_stop_the_run():
    bits = {"nf16_qa": np.array([True, False])}
    runs.require_equal(bits, dict(bits), "other")
    with pytest.raises(runs.ArtefactError, match=r"other selections \(nf16_qa\): renew them"):
        runs.require_equal(bits, {"nf16_qa": np.array([True, True])}, "other selections")


def test_figures_say_what_made_them(root):
    from PIL import Image

    from qafs_utils import plots

    figure, _ = plots.plt.subplots()
    make().figure("fig99_x", figure)
    folder = root / "build/smoke/figures"
    first = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert json.loads(Image.open(folder / "fig99_x.png").info["Description"])["parameters"] == {"beta": 0.7}
    make().figure("fig99_x", figure)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == first


def test_every_figure_and_table_is_recorded(root, monkeypatch):
    from qafs_utils import plots

    for folder in ("notebooks", "qafs_utils"):
        (root / folder).symlink_to(cli.ROOT / folder)
    run = make()
    run.uses({"train_X.bin": "md5"})
    run.save("02_x", a=np.arange(3))
    run.figure("fig99_x", plots.plt.subplots()[0])
    run.table("table99_x", pd.DataFrame({"v": [1.5]}))
    monkeypatch.setattr(cli, "ROOT", root)
    (root / "figures").mkdir()
    kept = {"04_annealing": {"figures": {"fig98.png": "0"}}}
    (root / runs.RECORDS).write_text(json.dumps(kept | {"98_gone": {}}))
    cli.collect_records("smoke")
    records = json.loads((root / runs.RECORDS).read_text())
    assert records.keys() == {"04_annealing", "02_feature_maps"} and records["04_annealing"] == kept["04_annealing"]
    record = records["02_feature_maps"]
    assert record.keys() == {"notebook", "parameters", "inputs", "sources", "versions", "code", "artefacts", "figures"}
    assert record["figures"].keys() == {"fig99_x.png", "fig99_x.pdf", "table99_x.csv"}
    assert all(runs.sha256(root / "build/smoke/figures" / f).startswith(h) for f, h in record["figures"].items())
    assert record["artefacts"].keys() == {"02_x.npz"} and record["sources"] == {"train_X.bin": "md5"}
    assert record["code"] == code_hash("02_feature_maps")


def test_the_lab_leaves_what_make_has_made_alone(root, monkeypatch, capsys):
    monkeypatch.setenv(runs.WITHIN_MAKE, "1")
    made = make(get_ipython=print).save("02_x", a=np.arange(3))
    assert made == root / "build/smoke/data/02_x.npz"
    monkeypatch.delenv(runs.WITHIN_MAKE)
    lab = make(get_ipython=print)
    assert lab.load("02_x")["a"].tolist() == [0, 1, 2]
    assert lab.save("02_x", a=np.arange(2)) == root / "build/lab/smoke/data/02_x.npz"
    capsys.readouterr()
    assert make(get_ipython=print).load("02_x")["a"].tolist() == [0, 1]  # another notebook in the lab
    assert "02_x.npz is the one made in the lab: delete build/lab/smoke/data/02_x.npz" in capsys.readouterr().out
    assert make().load("02_x")["a"].tolist() == [0, 1, 2]


def test_unknown_profile():
    with pytest.raises(ValueError, match="unknown profile 'full': choose from published, images, smoke"):
        make("full")


@pytest.mark.parametrize("text, message", [
    ("betta: 0.5", "betta is not a parameter of 04_annealing"),
    ("beta: high", "beta must be float"),
    ("num_reads_full: 1.5", "num_reads_full must be int"),
    ("betas_full: 0.5", "betas_full must be list"),
])
def test_overrides_are_checked(root, text, message):
    (root / "params/smoke").mkdir(parents=True)
    (root / "params/smoke/04_annealing.yaml").write_text(text)
    (root / "notebooks").symlink_to(cli.ROOT / "notebooks")
    with pytest.raises(ValueError, match=message):
        runs.overrides("04_annealing", "smoke")


def test_summary_names_what_was_not_remade(root, monkeypatch, capsys):
    monkeypatch.setattr(cli, "ROOT", root)
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
    cli.summary("published")
    assert (root / "figures/fig04.png").read_text() == "build/published/figures"
    assert (root / "figures/fig01.png").read_text() == "figures" and not (root / "figures/fig98.png").exists()
    assert "as committed, not remade: fig01.png" in capsys.readouterr().out


def test_command_line_fails_in_one_line():
    done = subprocess.run([sys.executable, "-m", "qafs_utils", "run", "smoke", "99_nothing"], cwd=cli.ROOT,
                          capture_output=True, text=True)
    assert done.returncode != 0 and "99_nothing" in done.stderr.splitlines()[-1]


def test_unknown_input_of_make():
    done = subprocess.run(["make", "figures", "INPUT=raw"], cwd=cli.ROOT, capture_output=True, text=True)
    assert done.returncode != 0 and "unknown INPUT 'raw': choose published or images" in done.stderr


@pytest.mark.parametrize("content", [b"", b"garbage", None])
def test_a_damaged_artefact_is_named_with_the_remedy(root, content):
    path = make().save("02_x", a=np.arange(1000))
    path.write_bytes(path.read_bytes()[:200] if content is None else content)
    with pytest.raises(runs.ArtefactError, match="build/smoke/data/02_x.npz is damaged: delete it and run notebook 02"):
        make().load("02_x")


def test_figures_of_a_smoke_run_are_never_published(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["qafs_utils", "summary", "smoke"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "invalid choice: 'smoke'" in capsys.readouterr().err
