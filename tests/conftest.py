"""Checks the axes of arrays in every test, wherever the package writes them, and keeps torch to one thread."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from jaxtyping import install_import_hook


def modules_with_axes() -> list[str]:
    """The modules that annotate axes, and the room of the metrics, whose aliases have them."""
    root = Path(find_spec("unisono").origin).parent
    files = [path for path in root.rglob("*.py") if "from jaxtyping import" in path.read_text(encoding="utf-8")]
    return [
        "unisono.metrics",
        *(".".join(["unisono", *path.relative_to(root).with_suffix("").parts]) for path in files),
    ]


install_import_hook(modules_with_axes(), "beartype.beartype")

import torch  # noqa: E402

torch.set_num_threads(1)
