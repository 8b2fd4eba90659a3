"""The docstrings are the reference: every public function, class and method has one, and an example that runs."""

import doctest
import importlib
import inspect
import pkgutil
from functools import cached_property

import pytest

import qafs_utils

MODULES = sorted(module.name for module in pkgutil.iter_modules(qafs_utils.__path__))
NOT_RUN = {  # no example, or one that is only shown
    "data.stl10": "a download of 2.6 GB",
    "hardware.HardwareError": "its message depends on the access to D-Wave",
    "hardware.QPUSampler": "needs access to D-Wave",
    "hardware.HybridSampler": "needs access to D-Wave",
    "__main__.fetch": "a download",
    "__main__.summary": "renews figures/ and README.md",
    "__main__.collect_records": "renews figures/RECORDS.json",
    "__main__.verify": "a minute",
    "__main__.render": "writes build/html",
    "html.render": "writes build/html",
    "verify.verify": "a minute",
    "__main__.main": "the command line, shown in the docstring of the module",
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
    return {name: of for name, of in own if name[0] != "_" and (inspect.isfunction(of) or isinstance(of, kinds))}


def run_examples(module):
    """Names of what has an example that runs, as doctest finds them, without the module's own name."""
    found = doctest.DocTestFinder().find(module, module.__name__.rpartition(".")[2])
    return {test.name for test in found for e in test.examples if not e.options.get(doctest.SKIP)}


def test_every_module_is_seen():
    assert {"qubo", "kernels", "__main__"} <= set(MODULES)
    assert {"rotate", "evolve"} <= public(importlib.import_module("qafs_utils.kernels")).keys()


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_has_a_docstring_and_an_example(name):
    module = importlib.import_module(f"qafs_utils.{name}")
    things, run = public(module), run_examples(module)
    documented = {k: thing.__doc__ for k, thing in things.items()}
    documented |= {f"{k}.{m}": of.__doc__ for k, thing in things.items() for m, of in methods(thing).items()}
    generated = {k for k, doc in documented.items() if doc and doc.startswith(f"{k}(")}  # a dataclass without its own
    assert [k for k, doc in documented.items() if not doc or k in generated] == []
    silent = {f"{name}.{k}" for k in things if not any(f"{r}.".startswith(f"{name}.{k}.") for r in run)}
    assert silent == {k for k in NOT_RUN if k.startswith(f"{name}.")}


def test_examples_of_main():
    """pytest passes over a file of that name."""
    assert doctest.testmod(importlib.import_module("qafs_utils.__main__")).failed == 0
