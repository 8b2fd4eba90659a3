"""The same packages and versions wherever they are named, locked with hashes; installing; the style of the code."""

import importlib.metadata
import json
import re
import subprocess
import sys
import textwrap
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from repository import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
LOCKS = ("light", "torch", "test")

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


def lock(name):
    """The requirements of a lock, each with its hashes; other lines than comments, requirements and hashes are none."""
    text = (ROOT / f"locks/{name}.txt").read_text()
    entry = r"[a-z0-9-]+==[\w.]+(?: ; [\w.'<>=!()* ]+)? \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+"
    assert re.fullmatch(rf"(?:#.*\n)*(?:{entry})+", text)
    return [Requirement(found.split(" \\\n")[0]) for found in re.findall(entry, text)]


def test_conda_and_pip_agree():
    found = conda()
    python, pip = found.pop("python"), found.pop("pip")
    assert found == requirements() and python == "3.11" and pip == ""


def test_everything_is_pinned_and_the_card_is_covered():
    assert requirements().keys() >= CARD
    assert all(re.fullmatch(r"\d+(\.\d+)+", version) for version in requirements().values())


def test_pyproject_names_the_same_packages():
    extras = [name for extra in ("test", "site", "torch") for name in EXTRAS[extra]]
    assert {*PROJECT["dependencies"], *extras} == requirements().keys()


def test_locks_hold_the_pins_and_no_address():
    """By what is in each: a package is in one lock, and a direct one in that of its extra, in the pinned version."""
    names = {name: {found.name for found in lock(name)} for name in LOCKS}
    assert names["light"] >= {*PROJECT["dependencies"], *EXTRAS["site"]}
    assert names["torch"] >= {*EXTRAS["torch"]} and names["test"] | names["light"] >= {*EXTRAS["test"]}
    assert sum(map(len, names.values())) == len(set.union(*names.values()))
    assert not [name for name in names["light"] | names["test"] if re.match("torch|nvidia|cuda|triton", name)]
    versions = {found.name: str(found.specifier) for name in LOCKS for found in lock(name)}
    assert {name: versions[name] for name in requirements()} == {n: f"=={v}" for n, v in requirements().items()}
    for name in LOCKS:
        assert not re.search("://|index|find-links|@|/", (ROOT / f"locks/{name}.txt").read_text())


@pytest.mark.parametrize("platform", ["linux", "darwin"])
@pytest.mark.parametrize("python", ["3.11.4", "3.11.7", "3.12.1", "3.13.0"])
def test_locks_have_one_version_for_every_supported_python(python, platform):
    where = {"python_full_version": python, "python_version": python.rpartition(".")[0], "sys_platform": platform}
    where |= {"os_name": "posix", "implementation_name": "cpython"}
    here = [f.name for name in LOCKS for f in lock(name) if not f.marker or f.marker.evaluate(where)]
    assert len(here) == len(set(here)) and {*here} >= requirements().keys()


def test_the_light_lock_is_complete():
    """Walk through what the installed packages themselves say they need."""
    locked = {found.name: found for found in lock("light")}
    found, waiting = set(), [Requirement(name) for name in [*PROJECT["dependencies"], *EXTRAS["site"]]]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        assert name in locked, f"{name} is needed, and not locked: `make lock`"
        if (name, frozenset(wanted.extras)) in found:
            continue
        found.add((name, frozenset(wanted.extras)))
        distribution = importlib.metadata.distribution(name)
        if not locked[name].marker and not locked[name].specifier.contains(distribution.version, prereleases=True):
            pytest.skip(f"{name} {distribution.version} is installed, not the locked version")
        for text in distribution.requires or ():
            needed = Requirement(text)
            if not needed.marker or any(needed.marker.evaluate({"extra": e}) for e in ("", *wanted.extras)):
                waiting.append(needed)
    assert len(found) > 100


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A clone without an environment, in which `make --dry-run` says what would be done."""
    root = tmp_path_factory.mktemp("checkout")
    for name in ("Makefile", "notebooks", "qafs_utils", "locks", "requirements.txt", "data", "params", "benchmarks"):
        (root / name).symlink_to(ROOT / name)
    return root


def dry(root, *arguments):
    return subprocess.run(["make", "--dry-run", *arguments], cwd=root, capture_output=True, text=True)


@pytest.mark.parametrize("goal", ["lab", "verify", "html", "build/published/notebooks/03_qubo.ipynb"])
def test_published_data_need_the_light_lock_alone(checkout, goal):
    said = dry(checkout, goal).stdout
    assert "--require-hashes" in said and "locks/light.txt" in said and "locks/torch.txt" not in said


@pytest.mark.parametrize("goal", ["test", "weights", "full", "build/smoke/notebooks/03_qubo.ipynb"])
def test_photographs_and_tests_need_all_locks(checkout, goal):
    said = dry(checkout, goal).stdout
    assert said.index("locks/light.txt") < said.index("locks/torch.txt") < said.index("locks/test.txt")
    assert not [
        line for line in said.splitlines() if "pip install" in line and "locks/" in line and "hashes" not in line
    ]


def test_cpu_build_takes_nothing_of_the_lock_with_cuda(checkout):
    said = dry(checkout, "full", "TORCH_INDEX=file:///builds").stdout
    torch, torchvision = (f"{name}=={requirements()[name]}" for name in ("torch", "torchvision"))
    assert f"--index-url file:///builds {torch} {torchvision}" in said
    assert "locks/torch.txt" not in said and "locks/test.txt" in said


def test_an_environment_of_ones_own_is_left_alone(checkout):
    done = subprocess.run(["make", "full", "PYTHON=python"], cwd=checkout, capture_output=True, text=True)
    assert done.returncode and "locks/torch.txt" in done.stderr.splitlines()[0]


WITHOUT_PYTORCH = """
import sys
class Absent:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent)
"""


def without_pytorch(code):
    code = WITHOUT_PYTORCH + textwrap.dedent(code)
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("command", [["explain", "a.jpg"], ["weights"], ["data"]], ids=" ".join)
def test_without_pytorch_a_line_says_how_to_add_it(command):
    done = without_pytorch(f"""
        import runpy
        sys.argv = ["qafs_utils", *{command!r}]
        runpy.run_module("qafs_utils", run_name="__main__")""")
    assert done.returncode == 1 and re.fullmatch("error: No module named 'torch.*`make full`.*\n", done.stderr)


@pytest.mark.parametrize("photographs", [[], ["test_X.bin"]], ids=["absent", "there"])
def test_the_explorer_opens_without_pytorch(tmp_path, photographs):
    cells = json.loads((ROOT / "notebooks/24_explore.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    start, live = code[:3], [text for text in code if "photographs" in text]
    (tmp_path / "stl10_binary").mkdir()
    for name in photographs:
        (tmp_path / "stl10_binary" / name).touch()
    done = without_pytorch(f"""
        import os, pathlib
        os.chdir("notebooks")
        from qafs_utils.cnn import datasets
        datasets.RAW = pathlib.Path({str(tmp_path)!r})
        choice = {{"image": 0, "n_features": 16, "class_index": -1, "beta": 0.7, "size": 0, "solver": "exact"}}
        for cell in {start + live!r}:
            exec(cell)""")
    assert done.returncode == 0, done.stderr
    assert "shown without them." in done.stdout and ("torch" in done.stdout) == bool(photographs)


def test_version_and_date_are_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"^## (\S+), ([\d-]+):", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert citation["version"] == PROJECT["version"] == newest[1] and citation["date-released"] == newest[2]
    paper = citation["preferred-citation"]
    assert len(paper["authors"]) == 6 and paper["url"].endswith(paper["identifiers"][0]["value"].removeprefix("arXiv:"))


def test_the_address_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    first = json.loads((ROOT / "notebooks/00_quickstart.ipynb").read_text())["cells"][0]["source"]
    texts = "".join(first), (ROOT / "README.md").read_text(), citation["url"], citation["repository-code"]
    assert len({re.search(r"https://github\.com/[\w-]+/\w+", text)[0] for text in texts}) == 1


def test_container_uses_files_that_are_there():
    said = (ROOT / "Dockerfile").read_text()
    target = json.loads(re.search(r"^CMD (.*)$", said, re.M)[1])
    assert target == ["make", "figures"] and "USER qafs" in said and re.search("ARG LOCKS=light$", said, re.M)
    settings = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    build = settings["build"]
    assert (ROOT / ".devcontainer" / build["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert (ROOT / ".devcontainer" / build["context"]).resolve() == ROOT and settings["remoteUser"] == "qafs"


def test_pre_commit_uses_the_pinned_versions():
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    versions = {r["repo"].rsplit("/", 1)[1].removesuffix("-pre-commit"): r["rev"].lstrip("v") for r in repositories}
    assert {name: versions[name] for name in ("ruff", "nbstripout")} == {
        name: requirements()[name] for name in ("ruff", "nbstripout")
    }


def test_every_supported_python_is_tested():
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())
    versions = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    after = f"3.{int(versions[-1].split('.')[1]) + 1}"
    assert PROJECT["requires-python"] == f">={versions[0]},<{after}" and "3.13" in versions


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_style(command):
    """Of notebooks too."""
    folders = ("qafs_utils", "tests", "benchmarks", "notebooks", "site", "conftest.py")
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--no-cache", *folders], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:]
