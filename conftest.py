"""For all tests and examples: figures are closed after each, workers share the cores, and the files have an order.

The longest begins, and those that look at a clock come last, when least else is at work.
"""

import os
import sys

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before PyTorch is imported, and for the notebooks' kernels


def pytest_collection_modifyitems(items):
    order = {"test_smoke": 0, "test_benchmark": 2, "test_extraction": 2, "test_explanation": 2}
    items.sort(key=lambda item: order.get(item.path.stem, 1))


@pytest.fixture(autouse=True)
def close_figures():
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")
