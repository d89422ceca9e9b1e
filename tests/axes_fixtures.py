"""Checks of the axes of arrays when a function is called, wherever the package writes them; holds no test."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from beartype import beartype
from jaxtyping import jaxtyped

MOST_CALLS = 20
"""Of a function in one test: what a loop calls again has the axes that it had."""
n_calls: Counter[Callable[..., Any]] = Counter()


def modules_with_axes() -> list[str]:
    """The modules that annotate axes, and the room of the metrics, whose aliases have them."""
    root = Path(find_spec("unisono").origin).parent
    files = [path for path in root.rglob("*.py") if "from jaxtyping import" in path.read_text(encoding="utf-8")]
    return [
        "unisono.metrics",
        *(".".join(["unisono", *path.relative_to(root).with_suffix("").parts]) for path in files),
    ]


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its annotations checked at its first calls, sizes of axes among arguments and result alike.

    As `jaxtyping.jaxtyped` does, which checks each argument twice and so takes half of the time of a small fit. An
    inner function without axes is left to mypy: it is made anew, and would be wrapped anew, at each call of the outer.
    """
    if not has_axes(function):
        return function if "<locals>" in function.__qualname__ else beartype(function)
    inner = beartype(function)

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        n_calls[function] += 1
        if n_calls[function] > MOST_CALLS:
            return function(*args, **kwargs)
        with jaxtyped("context"):
            return inner(*args, **kwargs)

    return wrapped


def has_axes(function: Callable[..., Any]) -> bool:
    """Whether an annotation writes axes, itself or by the name of an alias."""
    text = " ".join(str(annotation) for annotation in function.__annotations__.values())
    aliases = " ".join(str(function.__globals__.get(name, "")) for name in set(re.findall(r"[A-Za-z_]\w*", text)))
    return any(f"{array}, " in f"{text} {aliases}" for array in ("ndarray", "Tensor"))


def checked_class(cls: type) -> type:
    """The class, if it is a dataclass with its fields checked when it is made; its methods are wrapped one by one."""
    if "__dataclass_fields__" in cls.__dict__:
        cls.__init__ = checked(cls.__init__)  # type: ignore[misc]
    return cls
