"""Writes annotations for readers: arrays with their axes, and the package's own types by their public names."""

from __future__ import annotations

from typing import Any

import numpy as np


def formatted(annotation: Any, _config: Any) -> str | None:
    """RST of an array of jaxtyping, such as "array of float, cell × gene"; None leaves the annotation to Sphinx."""
    axes = getattr(annotation, "dim_str", None)
    if axes is None:
        return None
    held = "tensor" if annotation.array_type.__module__.startswith("torch") else "array"
    kinds = {np.dtype(name).kind if not name.startswith("b") else "b" for name in annotation.dtypes if name.isascii()}
    kind = {"f": "float", "i": "int", "u": "int", "b": "bool"}.get(next(iter(kinds)) if len(kinds) == 1 else "", "")
    return f"{held}{f' of {kind}' if kind else ''}, {' × '.join(axes.split()) or 'a single value'}"


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("config-inited", lambda _app, config: setattr(config, "typehints_formatter", formatted))
    return {"parallel_read_safe": True}
