"""The command line: parses, calls the Python API, prints; computes nothing itself."""

from __future__ import annotations

TYPE_CHECKING = False  # without the module typing: signals are answered the sooner
if TYPE_CHECKING:
    from typing import Any

    from unisono.cli.application import app

__all__ = ["app", "main"]


def main() -> None:
    """Entry point, see `unisono.cli.application.main`; signals are answered before anything else is imported."""
    from unisono.interruption import handled

    with handled():
        from unisono.cli.application import main as run

        run()


def __getattr__(name: str) -> Any:
    if name == "app":
        from unisono.cli.application import app

        return app
    raise AttributeError(f"module 'unisono.cli' has no attribute {name!r}")
