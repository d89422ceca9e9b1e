"""Tests of the house: imports point down, heavy libraries stay where they belong, each file says what it holds."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median

import unisono

ROOT = Path(unisono.__file__).parent
LEVELS = {
    "cluster": 6,
    "types": 1,
    "config": 1,
    "palette": 1,
    "messages": 1,
    "limits": 0,
    "metrics": 1,
    "device": 2,
    "display": 2,
    "features": 2,
    "modalities": 2,
    "preprocessing": 2,
    "matching": 2,
    "nn": 2,
    "uncertainty": 2,
    "interruption": 1,
    "io": 3,
    "progress": 5,
    "inference": 3,
    "datasets": 4,
    "hub": 4,
    "interpretation": 4,
    "training": 4,
    "model": 5,
    "pretrained": 5,
    "splits": 4,
    "reading": 6,
    "api": 6,
    "evaluation": 6,
    "demo": 7,
    "cli": 8,
    "report": 8,
    "pl": 8,
    "tl": 8,
}
"""The rooms and the level of each."""

INSIDE_THE_HOUSE = {
    ("modalities", "features"),
    ("preprocessing", "features"),
    ("preprocessing", "modalities"),
    ("cli", "pl"),
    ("cli", "report"),
}
DOORS = {"cli", "report", "pl", "tl"}
LIGHT = {"types", "config", "messages", "features", "modalities", "preprocessing", "matching", "metrics"}
HEAVY = {"torch", "anndata", "mudata"}
NETWORKS_MAY = {"torch", "numpy", "jaxtyping", "unisono"} | sys.stdlib_module_names
NETWORKS_MAY_FROM_HERE = {"nn", "types", "config"}


def modules(root: Path) -> Iterator[tuple[str, Path]]:
    """Dotted name within the package, and file, of every module but the package itself."""
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            yield name, path


def imported(path: Path, name: str) -> Iterator[str]:
    """Full names of all that a module imports anywhere: in functions and under TYPE_CHECKING too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = ["unisono", *name.split(".")]
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)
        is_call = isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in (
            "import_module",
            "__import__",
        )
        if is_call and node.args and isinstance(node.args[0], ast.Constant):
            yield str(node.args[0].value)


def room_of(name: str) -> str:
    """The room that a dotted name within the package lies in; '' for the package itself or a name it offers."""
    parts = name.split(".")
    for room in (".".join(parts[:2]), parts[0]):
        if room in LEVELS:
            return room
    return ""


def wrong_arrows(root: Path) -> list[str]:
    """Every import that the house does not allow."""
    found = []
    for name, path in modules(root):
        here = room_of(name)
        if not here:
            found.append(f"{name} lies in no room: give it a level")
            continue
        for target in imported(path, name):
            reason = _reason(here, target)
            if reason:
                found.append(f"{name} -> {target}: {reason}")
    return found


def _reason(here: str, target: str) -> str:
    """Why a room may not import a name, '' if it may."""
    library = target.split(".")[0]
    if here in LIGHT and library in HEAVY:
        return f"{here} stays free of {library}"
    if here == "nn" and library not in NETWORKS_MAY:
        return "nn imports torch, numpy, jaxtyping and the standard library"
    if library != "unisono":
        return ""
    there = room_of(target.removeprefix("unisono").removeprefix("."))
    if not there:
        return "nothing inside imports from the package root"
    if there in DOORS and here != there and (here, there) not in INSIDE_THE_HOUSE:
        return "nobody imports a door"
    if here == "nn" and there not in NETWORKS_MAY_FROM_HERE:
        return "nn imports types and config alone"
    if here == there or (here, there) in INSIDE_THE_HOUSE or LEVELS[there] < LEVELS[here]:
        return ""
    return f"level {LEVELS[here]} may not import level {LEVELS[there]}"


def test_every_import_points_down():
    assert wrong_arrows(ROOT) == []


def test_the_search_sees_the_whole_package():
    found = dict(modules(ROOT))
    assert {"types", "model.store", "nn.model", "metrics", "cli"} <= set(found)
    assert "unisono.io.open.open_data" in set(imported(found["cli.options"], "cli.options"))
    assert "mudata.MuData" in set(imported(found["model.unisono"], "model.unisono"))


PLANTED = {
    "a lower level imports a higher one": ("types.py", "from unisono.matching import match_cells"),
    "a part imports a side": ("preprocessing/svd.py", "import unisono.io.read"),
    "a side imports the house": ("io/read.py", "from unisono.model.unisono import Unisono"),
    "a side imports another side": ("io/read.py", "from unisono.inference.predictor import Predictor"),
    "a part imports another part": ("matching/match.py", "from unisono.preprocessing.svd import truncated_svd"),
    "a modality imports what is done with it": ("modalities/rna.py", "from unisono.preprocessing.svd import x"),
    "level 1 imports its neighbour": ("types.py", "from unisono.config import FitConfig"),
    "a lower room imports the doorstep": ("model/store.py", "from unisono.api import fit"),
    "the API imports the demonstration": ("api.py", "from unisono.demo import run"),
    "metrics import evaluation": ("metrics/prediction.py", "from unisono.evaluation.scores import x"),
    "somebody imports a door": ("demo.py", "from unisono import cli"),
    "a door imports the command line": ("pl/accuracy.py", "from unisono.cli import app"),
    "the model imports its judge": ("model/unisono.py", "from unisono.evaluation.scores import evaluate"),
    "somebody imports a door in a function": ("api.py", "def f():\n    from unisono.cli import app"),
    "the package root is imported": ("io/read.py", "import unisono"),
    "a name is imported from the root": ("io/read.py", "from unisono import fit"),
    "a relative import upwards": ("matching/match.py", "from ..model import store"),
    "a relative import of the root": ("matching/match.py", "from .. import fit"),
    "torch in a light room": ("matching/match.py", "import torch"),
    "torch in a function of a light room": ("preprocessing/svd.py", "def f():\n    from torch import nn"),
    "anndata under TYPE_CHECKING in types": ("types.py", "if TYPE_CHECKING:\n    from anndata import AnnData"),
    "mudata in metrics": ("metrics/prediction.py", "import mudata.core"),
    "scipy in the networks": ("nn/model.py", "from scipy import sparse"),
    "messages in the networks": ("nn/model.py", "from unisono.messages import bad_input"),
    "an import by name": ("matching/match.py", "import importlib\nimportlib.import_module('torch')"),
    "a file in no room": ("helpers.py", "x = 1"),
}


def test_a_planted_wrong_arrow_is_caught(tmp_path):
    for i, (what, (name, code)) in enumerate(PLANTED.items()):
        path = tmp_path / str(i) / name
        path.parent.mkdir(parents=True)
        path.write_text(code + "\n")
        found = wrong_arrows(tmp_path / str(i))
        assert len(found) == 1, (what, found)
        assert found[0].startswith(name.removesuffix(".py").replace("/", ".")), what


ALLOWED = {
    "matching/match.py": "from unisono.types import View\nfrom unisono.matching.rules import R\nfrom .depth import x",
    "nn/model.py": "import math\nimport torch\nfrom jaxtyping import Float\nfrom unisono.config import FitConfig",
    "evaluation/scores.py": "from unisono.metrics import rmse\nfrom unisono import metrics",
    "evaluation/__init__.py": "",
    "model/unisono.py": "from unisono.nn.model import Network\nfrom unisono.inference.record import Record",
    "demo.py": "from unisono.api import fit\nfrom unisono.evaluation.scores import evaluate",
    "cli/commands/models.py": "from unisono.demo import run\nfrom unisono.reading import read",
    "datasets/mudata.py": "def f():\n    import anndata",
}


def test_imports_that_point_down_are_let_pass(tmp_path):
    for name, code in ALLOWED.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(code)
    assert wrong_arrows(tmp_path) == []


def is_one_sentence(docstring: str | None) -> bool:
    """Whether a docstring opens with one sentence of five words or more, alone on its line."""
    first = (docstring or "").split("\n\n")[0]
    is_sentence = first[:1].isupper() and first.endswith(".") and ". " not in first
    return is_sentence and "\n" not in first and len(first.split()) >= 5


def test_each_file_opens_with_one_sentence():
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(ROOT.rglob("*.py"))}
    assert [str(path) for path, tree in trees.items() if not is_one_sentence(ast.get_docstring(tree))] == []


def test_an_opening_that_is_no_sentence_is_caught():
    assert is_one_sentence("Rows of counts, joined by name.\n\nMore. And more.")
    wrong = [
        None,
        "Counts.",
        "rows of counts, joined by name.",
        "Rows of counts, joined by name",
        "Rows. Of all counts.",
    ]
    assert [text for text in [*wrong, "Rows of counts,\njoined by name."] if is_one_sentence(text)] == []


def test_no_class_builds_on_a_class_of_ours_but_the_frozen_base():
    allowed = {
        "_Frozen",
        "BaseModel",
        "NamedTuple",
        "ValueError",
        "RuntimeError",
        "OSError",
        "FileIO",
        "UserWarning",
        "nn.Module",
        "Protocol",
        "ABC",
    }
    nodes = (node for path in ROOT.rglob("*.py") for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    assert [node.name for node in classes if {ast.unparse(base) for base in node.bases} - allowed] == []


def lines_of_functions(root: Path) -> dict[str, int]:
    """Lines of the body of every function, without its docstring, by file and name."""
    found = {}
    for name, path in modules(root):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                found[f"{name}.{node.name}:{node.lineno}"] = lines
    return found


def test_functions_are_short():
    found = lines_of_functions(ROOT)
    assert {name: n for name, n in found.items() if n > 50} == {}
    assert median(found.values()) <= 5


def test_a_long_function_is_measured_without_its_docstring(tmp_path):
    (tmp_path / "a.py").write_text(
        'def f(x):\n    """One.\n\n    Two.\n    """\n    y = (\n        x\n    )\n    return y\n'
    )
    assert lines_of_functions(tmp_path) == {"a.f:1": 4}


def cycle_of_imports(root: Path) -> list[str]:
    """Modules that import each other in a ring, as one ring; [] where there is none."""
    names = dict(modules(root))
    arrows = {}
    for name, path in names.items():
        targets = {target.removeprefix("unisono.") for target in imported(path, name)}
        arrows[name] = {t if t in names else t.rpartition(".")[0] for t in targets} & set(names) - {name}
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_module_imports_one_that_imports_it():
    assert cycle_of_imports(ROOT) == []


def test_a_planted_ring_of_imports_is_caught(tmp_path):
    (tmp_path / "nn").mkdir()
    (tmp_path / "nn" / "a.py").write_text("from unisono.nn import b\n")
    (tmp_path / "nn" / "b.py").write_text("def f():\n    from unisono.types import x\n")
    (tmp_path / "types.py").write_text("import unisono.nn.a\n")
    assert set(cycle_of_imports(tmp_path)) == {"nn.a", "nn.b", "types"}
    (tmp_path / "types.py").write_text("")
    assert cycle_of_imports(tmp_path) == []
