"""Canvas: where a picture is drawn, shown and saved, and the colours that all share; draws no data."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from unisono.messages import bad_input

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, ACCENT, FAINT = "#34495e", "#c0392b", "#bdc3c7"


def require_matplotlib() -> None:
    """Refuse in one line (E063) where matplotlib is missing."""
    if find_spec("matplotlib") is None:
        raise bad_input("E063", "benchmark", "matplotlib is not installed.", "pip install unisono[benchmark]")


def axes_or_new(ax: Axes | None, width: float = 4.5, height: float = 3.8) -> Axes:
    """The Axes given, or those of a new figure of so many inches."""
    if ax is not None:
        return ax
    require_matplotlib()
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def finished(ax: Axes, *, show: bool, save: str | Path | None) -> Axes:
    """The Axes, without the upper and right frame, saved and shown where asked."""
    ax.spines[["top", "right"]].set_visible(False)
    if save is not None:
        ax.get_figure(root=True).savefig(save, dpi=150, bbox_inches="tight")  # type: ignore[union-attr]
    if show:
        import matplotlib.pyplot as plt

        plt.show()
    return ax
