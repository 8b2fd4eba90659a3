"""requirements.txt, environment.yml and pyproject.toml name the same packages and versions; the style of the code."""

import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from repository import ROOT

CARD = {
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "dwave-neal",
    "dimod",
    "matplotlib",
    "seaborn",
    "jupyterlab",
    "papermill",
    "pandas",
}


def requirements():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def conda():
    found = {}
    for entry in yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]:
        for line in entry["pip"] if isinstance(entry, dict) else [entry]:
            name, _, version = re.sub("=+", "=", line).partition("=")
            found[{"pytorch": "torch"}.get(name, name)] = version
    return found


def test_conda_and_pip_agree():
    found = conda()
    python, pip = found.pop("python"), found.pop("pip")
    assert found == requirements() and python == "3.11" and pip == ""


def test_everything_is_pinned_and_the_card_is_covered():
    assert requirements().keys() >= CARD
    assert all(re.fullmatch(r"\d+(\.\d+)+", version) for version in requirements().values())


def test_pyproject_names_the_same_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [name for extra in ("test", "site") for name in project["optional-dependencies"][extra]]
    assert {*project["dependencies"], *extras} == requirements().keys()


def test_pre_commit_uses_the_pinned_versions():
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    versions = {r["repo"].rsplit("/", 1)[1].removesuffix("-pre-commit"): r["rev"].lstrip("v") for r in repositories}
    assert {name: versions[name] for name in ("ruff", "nbstripout")} == {
        name: requirements()[name] for name in ("ruff", "nbstripout")
    }


def test_every_supported_python_is_tested():
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())
    versions = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    after = f"3.{int(versions[-1].split('.')[1]) + 1}"
    assert project["requires-python"] == f">={versions[0]},<{after}" and "3.13" in versions


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_style(command):
    """Of notebooks too."""
    folders = ("qafs_utils", "tests", "benchmarks", "notebooks", "site", "conftest.py")
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--no-cache", *folders], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:]
