"""The command line: parses, calls the Python API, prints; computes nothing itself."""

from unisono.cli.application import app, main

__all__ = ["app", "main"]
