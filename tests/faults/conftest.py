"""How the cases ended: told by the tests, gathered by `bench/faults`."""

from __future__ import annotations

import json

import pytest


@pytest.fixture(scope="session")
def is_full(request):
    """Whether all cases are asked for, as `bench/faults` does, or the quick part of them."""
    return request.config.getoption("full")


@pytest.fixture(scope="session")
def record(request):
    """A function that notes how a case ended: its kind, its name, the end in words, and whether it is the right one.

    Kinds: "bad input", "fault", "model folder", "odd data". A test records first and asserts then.
    """
    path = request.config.getoption("outcomes")

    def note(kind: str, case: str, ended: str, is_right: bool) -> None:
        if path:
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"kind": kind, "case": case, "ended": ended, "is_right": is_right}) + "\n")

    return note
