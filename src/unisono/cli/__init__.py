"""The command line: parses, calls the Python API, prints; computes nothing itself."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unisono.cli.application import app

__all__ = ["app", "main"]


def main() -> None:
    """Entry point, see `unisono.cli.application.main`; signals are answered before anything else is imported."""
    from unisono.interruption import handled

    with handled():
        import_module("unisono.cli.application").main()


def __getattr__(name: str) -> Any:
    if name == "app":
        return import_module("unisono.cli.application").app
    raise AttributeError(f"module 'unisono.cli' has no attribute {name!r}")
