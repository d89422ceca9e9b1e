"""Runs the shape checks of the networks in every test, and keeps torch to one thread."""

from __future__ import annotations

from jaxtyping import install_import_hook

_SHAPED = ("layers", "encoders", "decoders", "losses", "model", "objective")

install_import_hook([f"unisono.nn.{name}" for name in _SHAPED], "beartype.beartype")

import torch  # noqa: E402

torch.set_num_threads(1)
