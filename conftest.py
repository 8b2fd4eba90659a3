"""For all tests and examples: figures are closed after each, workers share the cores, and the longest file begins."""

import os
import sys

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before PyTorch is imported, and for the notebooks' kernels


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.stem != "test_smoke")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")
