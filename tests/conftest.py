"""Checks the axes of arrays in every test, wherever the package writes them, and keeps torch to one thread."""

from __future__ import annotations

import jaxtyping
from axes_fixtures import checked, checked_class, modules_with_axes, n_calls
from jaxtyping import install_import_hook

jaxtyping.jaxtyped = lambda typechecker: lambda each: checked_class(each) if isinstance(each, type) else checked(each)
"""What the hook writes above each function and class."""
install_import_hook(modules_with_axes(), "beartype.beartype")

import torch  # noqa: E402

torch.set_num_threads(1)


def pytest_addoption(parser):
    """What `bench/faults` asks for beyond the quick tests."""
    parser.addoption("--full", action="store_true", help="all cases of tests/faults, not the quick part of them")
    parser.addoption("--outcomes", metavar="FILE", help="append how each case of tests/faults ended, a JSON line each")


def pytest_runtest_setup():
    """Axes are checked anew in every test."""
    n_calls.clear()
