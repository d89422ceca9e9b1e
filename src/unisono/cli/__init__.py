"""The command line: parses, calls the Python API, prints; computes nothing itself."""

from unisono.cli.application import app
from unisono.cli.entry import main

__all__ = ["app", "main"]
