"""Canvas: where a picture is drawn, shown and saved, and where its legend stands; draws no data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def axes_or_new(ax: Axes | None, width: float = 4.5, height: float = 3.8) -> Axes:
    """The Axes given, or those of a new figure of so many inches."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def legend_below(ax: Axes, n_columns: int) -> None:
    """A legend under the axes, where no data can run into it."""
    ax.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=n_columns)


def finished(ax: Axes, *, show: bool, save: str | Path | None) -> Axes:
    """The Axes, without the upper and right frame, saved and shown where asked."""
    ax.spines[["top", "right"]].set_visible(False)
    if save is not None:
        ax.get_figure(root=True).savefig(save, dpi=150, bbox_inches="tight")  # type: ignore[union-attr]
    if show:
        import matplotlib.pyplot as plt

        plt.show()
    return ax
