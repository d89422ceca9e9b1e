"""Runs the shape checks of the networks in every test, and keeps torch to one thread."""

from __future__ import annotations

from jaxtyping import install_import_hook

install_import_hook("unisono.nn", "beartype.beartype")

import torch  # noqa: E402

torch.set_num_threads(1)
