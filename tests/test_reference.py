"""The docstrings are the reference: every public function, class and method has one, with an example that runs.

Where an example would be hard to read, a test that names the function will do.
"""

import doctest
import importlib
import inspect
import pkgutil
import re
from functools import cached_property

import pytest
from repository import ROOT

import qafs_utils

FOUND = pkgutil.walk_packages(qafs_utils.__path__, "qafs_utils.")
MODULES = sorted(module.name.removeprefix("qafs_utils.") for module in FOUND if not module.ispkg)
TESTED = set(re.findall(r"\w+", "".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))))
NOT_RUN = {  # no example, or one that is only shown
    "__main__.main": "the command line, shown in the docstring of the module",
    "cnn.checkpoints.published": "needs the ImageNet weights",
    "cnn.datasets.stl10": "a download of 2.6 GB",
    "make.raw.fetch": "a download of 2.6 GB",
    "make.raw.fetch_weights": "a download",
    "make.publish.summary": "renews figures/ and docs/claims.md",
    "make.publish.collect_records": "renews figures/RECORDS.json",
    "make.explorer.render": "writes build/html",
    "make.site.repository": "depends on the clone",
    "make.site.write_sources": "writes build/site",
    "make.site.render": "writes build/html",
    "make.verify.verify": "half a minute",
    "solvers.qpu.HardwareError": "its message depends on the access to D-Wave",
    "solvers.qpu.QPUSampler": "needs access to D-Wave",
    "solvers.qpu.HybridSampler": "needs access to D-Wave",
}


def public(module):
    """{name: function or class} that a module defines; compiled and cached functions as they were written."""
    things = {name: inspect.unwrap(thing) for name, thing in vars(module).items() if name[0] != "_"}
    return {
        name: thing
        for name, thing in things.items()
        if (inspect.isfunction(thing) or inspect.isclass(thing)) and thing.__module__ == module.__name__
    }


def methods(thing):
    """{name: method or property} that a class defines itself."""
    kinds = (property, cached_property, classmethod, staticmethod)
    own = vars(thing).items() if inspect.isclass(thing) else ()
    return {name: own for name, own in own if name[0] != "_" and (inspect.isfunction(own) or isinstance(own, kinds))}


def run_examples(module):
    """Full names of what has an example that runs, as doctest finds them."""
    found = doctest.DocTestFinder().find(module, module.__name__)
    return {test.name for test in found for e in test.examples if not e.options.get(doctest.SKIP)}


def test_every_module_is_seen():
    files = {path.relative_to(ROOT / "qafs_utils") for path in (ROOT / "qafs_utils").rglob("*.py")}
    assert {".".join(path.with_suffix("").parts) for path in files if path.stem != "__init__"} == set(MODULES)
    assert {"bare", "imported"} <= public(importlib.import_module("qafs_utils.artefacts.definitions")).keys()


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_has_a_docstring_and_an_example(name):
    module = importlib.import_module(f"qafs_utils.{name}")
    things, run = public(module), run_examples(module)
    documented = {k: thing.__doc__ for k, thing in things.items()}
    documented |= {f"{k}.{m}": method.__doc__ for k, thing in things.items() for m, method in methods(thing).items()}
    generated = {k for k, doc in documented.items() if doc and doc.startswith(f"{k}(")}  # a dataclass without its own
    assert [k for k, doc in documented.items() if not doc or k in generated] == []
    silent = {f"{name}.{k}" for k in things if not any(f"{r}.".startswith(f"{module.__name__}.{k}.") for r in run)}
    listed = {k for k in NOT_RUN if k.rpartition(".")[0] == name}
    assert listed <= silent
    assert {k for k in silent - listed if k.rpartition(".")[2] not in TESTED} == set()


@pytest.mark.parametrize("name", MODULES)
def test_private_helpers_have_no_examples(name):
    examples = run_examples(importlib.import_module(f"qafs_utils.{name}"))
    assert [test for test in examples if test.rpartition(".")[2].startswith("_") and "__main__" not in test] == []
