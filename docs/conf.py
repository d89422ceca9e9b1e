"""The documentation site: `python -m sphinx -W -b html docs OUT`, with or without a network."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version as version_of
from pathlib import Path

_HERE = Path(__file__).parent
sys.path.insert(0, str(_HERE / "_ext"))
# The kernels that run the blocks find the example files and the command `unisono` of this environment.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_HERE / "_ext"), os.environ.get("PYTHONPATH"))))
os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"  # what tqdm, which umap draws bars with, says of notebooks

project = "Unisono"
author = "The Unisono developers"
copyright = "The Unisono developers, BSD-3-Clause"  # noqa: A001
release = version_of("unisono")
version = release

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.intersphinx",
    "sphinx_autodoc_typehints",
    "sphinx_copybutton",
    "sphinx_design",
    "repository_pages",
    "annotations",
]
# Of annotations that are spelled out for a reader of the code, the pieces that have no page.
_PARTS = (
    "cell",
    "similarity",
    "Counts",
    "FieldInfo",
    "Float",
    "Floats",
    "Ge",
    "Gt",
    "Le",
    "MaxLen",
    "MinLen",
    "1000000000.0",
    "jaxtyping.Float",
    "jaxtyping.Float64",
    "pydantic.config.ConfigDict",
    "pydantic.functional_validators.AfterValidator",
    "unisono.config._in_order",
    "unisono.inference.predictor.Style",
    "unisono.preprocessing.composition.Place",
    "unisono.preprocessing.preprocessor.StandardisedCodes",
    "unisono.preprocessing.projection.Counts",
    "unisono.types.MeasuredFeatures",
)
exclude_patterns = ["_build", "_ext", "_templates", "inventories"]
templates_path = ["_templates"]
nitpicky = True
nitpick_ignore = [("py:class", name) for name in _PARTS]
suppress_warnings = ["config.cache"]
default_role = "code"  # docstrings write `name` as pages do

html_theme = "furo"
html_title = f"Unisono {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/favicon.svg"
html_theme_options = {"light_logo": "logo.svg", "dark_logo": "logo-dark.svg", "sidebar_hide_name": True}

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4

# Every Python and shell block of every page runs, each page in a folder of its own; see _ext/repository_pages.py.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_execution_timeout = 300
nb_merge_streams = True

autosummary_generate = True
autosummary_ignore_module_all = False
autosummary_imported_members = True
autosummary_filename_map = {"unisono.Matching": "unisono.Matching-class"}  # next to unisono.matching, in any case
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
always_use_bars_union = True
typehints_defaults = "comma"

# Where the inventory of a project cannot be fetched, the names that are referred to are in inventories/.
intersphinx_timeout = 10
intersphinx_mapping = {
    name: (url, (None, str(_HERE / "inventories" / f"{name}.inv")))
    for name, url in {
        "python": "https://docs.python.org/3",
        "anndata": "https://anndata.readthedocs.io/en/stable",
        "mudata": "https://mudata.readthedocs.io/stable",
        "scanpy": "https://scanpy.readthedocs.io/en/stable",
        "numpy": "https://numpy.org/doc/stable",
        "scipy": "https://docs.scipy.org/doc/scipy",
        "pandas": "https://pandas.pydata.org/pandas-docs/stable",
        "torch": "https://docs.pytorch.org/docs/stable",
        "matplotlib": "https://matplotlib.org/stable",
        "distributed": "https://distributed.dask.org/en/stable",
    }.items()
}
