"""Cells of one modality or several in two dimensions, coloured by what is known of them; embeds nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unisono.modalities import in_order, registered, spec_of
from unisono.palette import FAINT, class_colours
from unisono.pl.canvas import axes_or_new, finished

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

_NOT_KNOWN = "not known"
_ROWS_OF_LEGEND = 16


def embedding(
    data: MuData | AnnData,
    *,
    color: str = "modality",
    basis: str = "X_unisono",
    palette: Mapping[str, Any] | Sequence[Any] | None = None,
    cmap: str = "cividis",
    size: float | None = None,
    title: str | None = None,
    ax: Axes | None = None,
    show: bool = False,
    save: str | Path | None = None,
) -> Axes:
    """Draw cells where `obsm[basis]` puts them; more than two dimensions are cut to two principal components.

    Args:
        data: a MuData, all of whose modalities that have the basis are drawn together, or one AnnData.
        color: "modality", an obs column, or the name of a feature. `uns["COLUMN_colors"]` is used if there.
        basis: of `obsm`, such as "X_unisono" (from `model.embed`) or "X_umap".
        palette: colours of the classes, by name or in order.
        cmap: colours of a number.
        size: area of a point; by the number of cells by default.
        title: the colour's name by default.
        ax: where to draw; a new figure by default.
        show: whether to show the picture.
        save: file to write.

    Raises:
        ValueError: no modality has the basis, or none knows the colour.

    Examples:
        Cells of three modalities in one space, by type; with scanpy a UMAP of it is `basis="X_umap"`:

        >>> import unisono as un
        >>> mdata = un.datasets.simulate(n_cells=120, n_genes=60, n_peaks=90, n_proteins=8, seed=1)
        >>> model = un.fit(mdata, batch_key="batch", preset="fast", progress=False)
        >>> ax = un.pl.embedding(model.embed(mdata), color="cell_type")
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['type1', 'type2', 'type3', 'type4', 'type5', 'type6']
        >>> len(ax.collections[0].get_offsets())  # three points for each of 120 cells
        360
    """
    tables: dict[str, AnnData] = dict(data.mod) if hasattr(data, "mod") else {"": data}
    tables = {name: table for name, table in tables.items() if basis in table.obsm}
    if not tables:
        raise ValueError(f"obsm has no {basis!r}; call model.embed(mdata) first, or name another basis")
    points = _in_two(np.concatenate([np.asarray(table.obsm[basis], dtype=np.float64) for table in tables.values()]))
    values = _colours(data, tables, color)
    drawn = np.flatnonzero(np.isfinite(points).all(axis=1))
    points, values = points[drawn], values.iloc[drawn].reset_index(drop=True)
    order = np.random.default_rng(0).permutation(len(points))  # so that no modality lies on top of another
    ax = axes_or_new(ax, 5.4)
    area = size if size is not None else float(np.clip(12000 / max(len(points), 1), 2, 40))
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        x, y = points[order].T
        found = ax.scatter(x, y, c=values.to_numpy()[order], cmap=cmap, s=area, linewidths=0, rasterized=True)
        ax.figure.colorbar(found, ax=ax, shrink=0.7)
    else:
        _classes(ax, points, values, order, _palette(values, tables, color, palette), area)
    ax.set_title(title if title is not None else color)
    ax.set_xticks([])
    ax.set_yticks([])
    name = basis.removeprefix("X_")
    ax.set_xlabel(f"{name} 1")
    ax.set_ylabel(f"{name} 2")
    return finished(ax, show=show, save=save)


def _in_two(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """The vectors themselves if they have two dimensions, else their first two principal components."""
    if vectors.shape[1] == 2:
        return vectors
    known = np.isfinite(vectors).all(axis=1)
    centred = vectors - vectors[known].mean(axis=0)
    directions = np.linalg.eigh(centred[known].T @ centred[known])[1][:, ::-1][:, :2]
    return np.asarray(centred @ directions)


def _colours(data: MuData | AnnData, tables: Mapping[str, AnnData], color: str) -> pd.Series[Any]:
    """What colours each cell, tables one after the other."""
    if color == "modality" and not any("modality" in table.obs for table in tables.values()):
        names = [name for name, table in tables.items() for _ in range(table.n_obs)]
        return pd.Series(names, dtype=object)
    parts, known = [], False
    for table in tables.values():
        if color in table.obs:
            part = table.obs[color]
        elif color in data.obs:
            part = data.obs[color].reindex(table.obs_names)
        elif color in table.var_names:
            column = table[:, color].X
            part = pd.Series(np.asarray(column.toarray() if hasattr(column, "toarray") else column).ravel())
        else:
            parts.append(pd.Series([None] * table.n_obs, dtype=object))
            continue
        known = True
        parts.append(part.astype(object) if isinstance(part.dtype, pd.CategoricalDtype) else part)
    if not known:
        raise ValueError(f"{color!r} is neither an obs column nor a feature of what is drawn")
    numbers = [part for part in parts if pd.api.types.is_numeric_dtype(part)]
    if numbers:
        parts = [part if pd.api.types.is_numeric_dtype(part) else part.astype(float) for part in parts]
    return pd.concat(parts, ignore_index=True)


def _palette(
    values: pd.Series[Any],
    tables: Mapping[str, AnnData],
    color: str,
    palette: Mapping[str, Any] | Sequence[Any] | None,
) -> dict[str, Any]:
    """The colour of each class, in the order of the legend."""
    names = sorted({str(value) for value in values.dropna()})
    if isinstance(palette, Mapping):
        return {name: palette[name] for name in names}
    if palette is not None:
        return {name: palette[place % len(palette)] for place, name in enumerate(names)}
    for table in tables.values():
        stored = table.uns.get(f"{color}_colors")
        if stored is not None and color in table.obs and hasattr(table.obs[color], "cat"):
            categories = [str(name) for name in table.obs[color].cat.categories]
            if set(names) <= set(categories) and len(stored) >= len(categories):
                return {name: stored[categories.index(name)] for name in names}
    if color == "modality" and set(names) <= set(registered()):
        return {name: spec_of(name).colour for name in in_order(names)}
    return dict(zip(names, class_colours(len(names)), strict=True))


def _classes(
    ax: Axes,
    points: NDArray[np.float64],
    values: pd.Series[Any],
    order: NDArray[np.intp],
    colours: dict[str, Any],
    area: float,
) -> None:
    """One cloud of points in a random order, and a legend next to it."""
    from matplotlib.colors import to_rgba
    from matplotlib.lines import Line2D

    names = np.where(values.isna(), _NOT_KNOWN, values.astype(str))
    shades = {name: to_rgba(colour) for name, colour in colours.items()}
    if (names == _NOT_KNOWN).any():
        shades[_NOT_KNOWN] = to_rgba(FAINT)
    x, y = points[order].T
    ax.scatter(x, y, c=[shades[name] for name in names[order]], s=area, linewidths=0, rasterized=True)
    marks = [Line2D([], [], marker="o", linestyle="", color=shade, label=name) for name, shade in shades.items()]
    ax.legend(
        handles=marks,
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        frameon=False,
        fontsize=8,
        ncols=-(-len(marks) // _ROWS_OF_LEGEND),
    )
