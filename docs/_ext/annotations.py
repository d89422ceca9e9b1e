"""Writes annotations for readers: arrays with what they hold and their axes, classes by their public names."""

from __future__ import annotations

from typing import Any

from sphinx.ext import intersphinx

_KINDS = {"float": "float", "bfloat": "float", "int": "int", "uint": "int", "bool": "bool"}
_SHAPES = {"": "a single value", "...": "of any shape", "_": "1-dimensional", "_ _": "2-dimensional"}

_PUBLIC = {
    "Ellipsis": "None",
    "NDArray": "numpy.ndarray",
    "NoneType": "None",
    "anndata._core.anndata.AnnData": "anndata.AnnData",
    "distributed.client.Client": "distributed.Client",
    "matplotlib.axes._axes.Axes": "matplotlib.axes.Axes",
    "mudata._core.mudata.MuData": "mudata.MuData",
    "ndarray": "numpy.ndarray",
    "np.float64": "numpy.float64",
    "np.ndarray": "numpy.ndarray",
    "pandas.core.frame.DataFrame": "pandas.DataFrame",
    "pandas.core.series.Series": "pandas.Series",
    "pandas.core.indexes.base.Index": "pandas.Index",
    "scipy.sparse._csc.csc_matrix": "scipy.sparse.csc_matrix",
    "scipy.sparse._csr.csr_matrix": "scipy.sparse.csr_matrix",
}
"""Where a class is defined, or what a signature calls it → the name that its own documentation has."""


def formatted(annotation: Any, _config: Any) -> str | None:
    """RST of an array of jaxtyping, such as "array of float, cell × gene"; None leaves the annotation to Sphinx."""
    axes = getattr(annotation, "dim_str", None)
    if axes is None:
        return None
    held = "tensor" if getattr(annotation.array_type, "__module__", "").startswith("torch") else "array"
    dtypes = annotation.dtypes if isinstance(annotation.dtypes, list | tuple) else ()  # else of any kind
    kinds = {kind for name in dtypes for start, kind in _KINDS.items() if str(name).startswith(start)}
    kind = f" of {kinds.pop()}" if len(kinds) == 1 else ""
    return f"{held}{kind}, {_SHAPES.get(axes) or ' × '.join(axes.split())}"


def _under_its_public_name(app: Any, env: Any, node: Any, contnode: Any) -> Any:
    if node.get("reftarget") not in _PUBLIC:
        return None
    node["reftarget"] = _PUBLIC[node["reftarget"]]
    node["reftype"] = "obj"
    return intersphinx.missing_reference(app, env, node, contnode)


def _without_types(_app: Any, what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """Napoleon takes what precedes a colon in the first line of an attribute for its type: a comment comes first."""
    if what in ("attribute", "data", "property") and lines and ":" in lines[0]:
        lines[:0] = ["..", ""]


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("config-inited", lambda _app, config: setattr(config, "typehints_formatter", formatted))
    app.connect("autodoc-process-docstring", _without_types, priority=100)
    app.connect("missing-reference", _under_its_public_name, priority=100)
    return {"parallel_read_safe": True}
