"""An explanation as files and as a line of a command: complete, repeatable, never lost and never in the way."""

import copy
import hashlib
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torchvision
from PIL import Image

from qafs_utils import explain
from qafs_utils.artefacts import files
from qafs_utils.artefacts.files import ROOT
from qafs_utils.cnn import checkpoints, datasets, pretrained
from qafs_utils.cnn.networks import ReducedHead, Trunk
from qafs_utils.conventions import Conventions
from qafs_utils.explanations import saved
from qafs_utils.make import explain as command

IMAGE = datasets.synthetic(1, size=64)[0][3]
NET = pretrained.resnet18("random")
TRAINED = checkpoints.Trained(Trunk(NET), ReducedHead(16, size=4), image_size=64)


@pytest.fixture
def photograph(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.moveaxis(IMAGE[:, :40], 0, 2)).save(path)
    return path


@pytest.fixture
def command_line(monkeypatch):
    """The command without downloads: a random trunk and head in place of the published ones."""
    monkeypatch.setattr(checkpoints, "published", lambda name: TRAINED)


def test_the_files_hold_the_explanation(tmp_path, photograph):
    found = explain(photograph, TRAINED)
    paths = found.save(tmp_path / "new" / "cat")
    assert [path.name for path in paths] == list(saved.FILES) and all(path.stat().st_size for path in paths)
    assert sorted(paths) == sorted((tmp_path / "new" / "cat").iterdir())
    overlay, grey, array, *_ = paths
    np.testing.assert_array_equal(np.load(array), found.heatmap)
    np.testing.assert_allclose(np.asarray(Image.open(grey)) / 255, found.heatmap, atol=0.5 / 255 + 1e-6)
    mixed = np.asarray(Image.open(overlay)).astype(float)
    assert mixed.shape == (40, 64, 3)
    colour = (mixed - 0.45 * np.moveaxis(found.image, 0, 2)) / (0.55 * 255)  # what lies over the photograph
    assert colour.min() > -0.01 and colour.max() < 1.01
    small = np.asarray(Image.fromarray(found.heatmap).resize((64, 40), Image.Resampling.BILINEAR))
    warm, cold = colour[small > 0.9].mean(0), colour[small < 0.1].mean(0)
    assert warm[0] > 0.8 and cold.max() < 0.25  # inferno: yellow where it matters, black where not


@pytest.mark.parametrize(
    "model, options",
    [
        (TRAINED, {"beta": 0.9, "conventions": "text", "class_index": "deer"}),
        (TRAINED, {"solver": "simulated_annealing", "conventions": "authors", "seed": 7}),
        (NET, {"image_size": 64, "mean": (0.5, 0.4, 0.3), "deviation": (0.2, 0.2, 0.2), "size": 4, "time_limit": 5}),
    ],
)
def test_the_record_makes_it_again(tmp_path, photograph, model, options):
    found = explain(photograph, model, **options)
    record = json.loads(found.save(tmp_path / "found")[-1].read_text())
    assert record["image"]["sha256"] == hashlib.sha256(photograph.read_bytes()).hexdigest()
    assert record["image"]["pixels_sha256"] == hashlib.sha256(IMAGE[:, :40].tobytes()).hexdigest()
    assert record["maps"]["selected"] == np.flatnonzero(found.selected).tolist()
    assert record["solver"]["proven"] == found.proven and record["solver"]["solver"] == found.info["solver"]
    part = model.trunk if model is TRAINED else model
    assert record["model"]["fingerprint"][0] == pretrained.fingerprint(part)
    assert record["versions"]["numpy"] == np.__version__ and record["code"] == saved.code()
    call = record["call"] | {"conventions": Conventions(**record["call"]["conventions"])}
    again = explain(record["image"]["file"], model, **call)
    assert np.array_equal(again.selected, found.selected) and np.array_equal(again.heatmap, found.heatmap)
    assert again.info["energy"] == found.info["energy"] and again.class_index == found.class_index


def test_what_has_no_file_says_so(tmp_path):
    record = saved.record(explain(IMAGE, TRAINED, weigh=importance_of_my_own))
    assert "file" not in record["image"] and record["image"]["height_width"] == [64, 64]
    assert record["call"]["weigh"].endswith("test_saved.importance_of_my_own")
    Image.fromarray(np.moveaxis(IMAGE, 0, 2)).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    record = saved.record(explain(content, TRAINED))
    assert record["image"]["sha256"] == hashlib.sha256(content).hexdigest() and record["image"]["file"] is None


def importance_of_my_own(maps, gradients):
    return (maps * gradients).mean((2, 3))


def test_nothing_is_overwritten_unasked(tmp_path):
    found = explain(IMAGE, TRAINED)
    found.save(tmp_path)
    (tmp_path / "heatmap.npy").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="already holds overlay.png, .*: give another folder, or allow"):
        found.save(tmp_path)
    assert (tmp_path / "heatmap.npy").read_bytes() == b"mine"
    found.save(tmp_path, overwrite=True)
    assert np.load(tmp_path / "heatmap.npy").shape == (64, 64)
    with pytest.raises(FileExistsError, match="is a file"):
        found.save(tmp_path / "overlay.png")
    for folder in (None, 5):
        with pytest.raises(ValueError, match="folder must be the path"):
            found.save(folder)


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(files.ArtefactError, match="No space left"):
        explain(IMAGE, TRAINED).save(tmp_path / "found")
    assert not list((tmp_path / "found").iterdir())


def test_a_notebook_shows_the_picture_and_the_solver():
    found = explain(IMAGE, NET, image_size=64, solver="greedy", class_names=["<b>"] * 1000, class_index=0)
    shown = found._repr_html_()
    assert "&lt;b&gt;" in shown and "<b>" not in shown and "data:image/png;base64,iVBOR" in shown
    assert "greedy: energy" in repr(found) and "greedy: energy" in shown
    texts = [text.get_text() for text in found.plot().texts]
    assert texts[texts.index("solver") + 1] == "greedy"


def test_the_command_prints_and_saves(tmp_path, photograph, command_line, capsys):
    out = tmp_path / "out"
    command.explain([str(photograph), str(photograph)], beta=0.9, out=str(out), class_index="deer", solver="greedy")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[0].startswith(f"{photograph}: 'deer', P = ") and "greedy: energy" in lines[0]
    assert lines[1].endswith(f"-> {out}/photo-2/")
    record = json.loads((out / "photo" / "explanation.json").read_text())
    assert record["call"]["conventions"]["beta"] == 0.9 and record["explained"]["class_index"] == 4
    with pytest.raises(FileExistsError, match="already holds"):
        command.explain([str(photograph)], out=str(out))
    command.explain([str(photograph)], out=str(out), overwrite=True, class_index="1")
    assert json.loads((out / "photo" / "explanation.json").read_text())["explained"]["class_index"] == 1


def test_a_bad_photograph_has_a_line_and_the_others_go_on(tmp_path, photograph, command_line, capsys):
    (tmp_path / "bad.jpg").write_text("no image")
    with pytest.raises(SystemExit) as ended:
        command.explain([str(tmp_path / "bad.jpg"), str(photograph)], out=str(tmp_path / "out"))
    printed = capsys.readouterr()
    assert ended.value.code == 1 and len(printed.err.splitlines()) == 1 and len(printed.out.splitlines()) == 1
    assert "image 0 (" in printed.err and "cannot be read as an image" in printed.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["photo"]


@pytest.mark.parametrize(
    "arguments, status, message",
    [
        ([], 2, "the following arguments are required: PHOTO"),
        (["photo.png", "--beta", "much"], 2, "argument --beta: invalid float value"),
        (["photo.png", "--colour", "red"], 2, "unrecognized arguments"),
        (["absent.png"], 1, "there is no file absent.png: check the path"),
        (["photo.png", "--model", "nf17"], 1, "unknown model 'nf17': choose from nf16, "),
        (["photo.png", "--model", "maskrcnn_resnet50_fpn"], 1, "is no classifier of images"),
    ],
)
def test_bad_input_is_one_line_and_a_status(tmp_path, photograph, arguments, status, message):
    line = [sys.executable, "-m", "qafs_utils", "explain", *arguments]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(tmp_path)}
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == status and not done.stdout
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("error: ") and message in done.stderr


def test_a_network_of_torchvision_is_told_its_own_input(monkeypatch):
    monkeypatch.setattr(torchvision.models, "get_model", lambda name, weights: NET)
    network, settings = command.torchvision_network("inception_v3")
    assert network is NET and settings["image_size"] == 299 and settings["class_names"][281] == "tabby"
    assert settings["mean"] == [0.485, 0.456, 0.406]


def test_the_readmes_example_runs(tmp_path, photograph, monkeypatch, command_line):
    code = re.search(r"## Explain your own image.*?```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)[1]
    for name in ("a.jpg", "b.jpg"):
        Image.open(photograph).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torchvision.models, "resnet18", lambda weights: copy.deepcopy(NET).train())
    namespace = {}
    exec(code, namespace)
    several = namespace["several"]
    assert namespace["found"].label in datasets.CLASSES
    assert len(several) == 2 and several[0].label in namespace["weights"].meta["categories"]
    assert json.loads((tmp_path / "explanations/a/explanation.json").read_text())["call"]["layer"] == "layer4"
