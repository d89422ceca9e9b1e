"""The benchmark stands on the public API: its files reach nothing of unisono but names of a listed surface."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import unisono as un
import unisono_bench

SOURCE = Path(str(unisono_bench.__file__)).parent
SCRIPTS = SOURCE / "published" / "scripts"
ROOMS = ("datasets", "interpretation", "matching", "metrics", "modalities", "palette", "pl", "preprocessing", "splits")


def surface() -> set[str]:
    """Every dotted name that is public: `unisono`, its `__all__`, and the `__all__` of its public rooms."""
    found = {"unisono", "unisono.__file__", *(f"unisono.{name}" for name in un.__all__)}
    for room in ROOMS:
        found |= {f"unisono.{room}.{name}" for name in import_module(f"unisono.{room}").__all__}
    return found


def used(source: str) -> Iterator[str]:
    """Every dotted name of unisono in a file: imported, or reached through a name that stands for the package."""
    tree = ast.parse(source)
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "unisono":
                    yield alias.name
                    known[alias.asname or "unisono"] = alias.name if alias.asname else "unisono"
        elif isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] == "unisono":
            for alias in node.names:
                yield f"{node.module}.{alias.name}"
                known[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            first = node.args[0] if node.args else None
            name = str(first.value) if isinstance(first, ast.Constant) else "unisono.?"
            if name.split(".")[0] == "unisono":
                yield name
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "getattr":
            owner = ast.unparse(node.args[0])
            if owner.split(".")[0] in known:
                yield f"{owner} by getattr"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            head, *rest = ast.unparse(node).split(".")
            if head in known and all(part.isidentifier() for part in rest):
                yield ".".join([known[head], *rest])


def hidden(source: str) -> list[str]:
    """The names that are not public; what hangs on a public class or function is public with it."""
    public, found = surface(), []
    tree = ast.parse(source)
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level}
    inner = {m for m in modules if m.startswith("unisono.") and m.removeprefix("unisono.") not in ROOMS}
    for name in used(source):
        parts = name.split(".")
        steps = [".".join(parts[:n]) for n in range(1, len(parts) + 1)]
        is_module = [step == "unisono" or step.removeprefix("unisono.") in ROOMS for step in steps]
        open_steps = steps[: is_module.index(False) + 1] if False in is_module else steps
        is_inner = any(name.startswith(f"{module}.") for module in inner)
        if (
            is_inner
            or not set(open_steps) <= public
            or any(part.startswith("_") and part != "__file__" for part in parts)
        ):
            found.append(name)
    return sorted(set(found))


@pytest.mark.parametrize("room", ROOMS)
def test_every_listed_room_is_public_and_says_what_is_public_in_it(room):
    module = getattr(un, room)
    assert isinstance(module, ModuleType)
    assert room in un.__all__
    assert all(hasattr(module, name) for name in module.__all__)


def test_the_benchmark_uses_public_names_alone():
    files = [path for path in SOURCE.rglob("*.py") if path.parent != SCRIPTS]
    assert len(files) > 25
    found = {str(path.relative_to(SOURCE)): hidden(path.read_text(encoding="utf-8")) for path in files}
    assert {name: names for name, names in found.items() if names} == {}


def test_scripts_of_published_methods_use_no_name_of_ours():
    files = list(SCRIPTS.glob("*.py"))
    assert len(files) == 7
    for path in files:
        source = path.read_text(encoding="utf-8")
        imported = [
            name
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
        ]
        assert not [name for name in imported if name.split(".")[0] in ("unisono", "unisono_bench")], path.name


FAULTS = {
    "from unisono.model.unisono import Unisono": "unisono.model.unisono.Unisono",
    "from unisono import api": "unisono.api",
    "import unisono.io.read": "unisono.io.read",
    "import unisono as un\nun.api.fit_cells(x)": "unisono.api.fit_cells",
    "import unisono as un\ndef f():\n    return un.model.store.load(p)": "unisono.model.store.load",
    "import unisono\nunisono.nn.infer": "unisono.nn.infer",
    "import unisono as un\nx: un.types.View": "unisono.types.View",
    "import unisono as un\nun.metrics.arrays": "unisono.metrics.arrays",
    "import unisono as un\nun.matching._MIN": "unisono.matching._MIN",
    "from unisono.matching.sinkhorn import solve": "unisono.matching.sinkhorn.solve",
    "from unisono import matching\nmatching.rules.apply_rule(x)": "unisono.matching.rules.apply_rule",
    "from unisono.metrics import _secret": "unisono.metrics._secret",
    "from importlib import import_module\nimport_module('unisono.io')": "unisono.io",
    "from importlib import import_module\nimport_module(name)": "unisono.?",
    "import unisono as un\ngetattr(un, 'api')": "un by getattr",
    "if TYPE_CHECKING:\n    from unisono.types import View": "unisono.types.View",
}


@pytest.mark.parametrize("source", FAULTS)
def test_a_planted_fault_is_caught(source):
    assert FAULTS[source] in hidden(source)


@pytest.mark.parametrize(
    "source",
    [
        "import unisono as un\nun.fit(x).predict(y)",
        "import unisono as un\nun.FitConfig.preset('fast')",
        "import unisono as un\nun.splits.Split.take",
        "from unisono.metrics import foscttm",
        "from unisono import View, metrics\nmetrics.rmse(a, b)",
        "import unisono_bench.data\nfrom unisono_bench import tables",
        "import unisono as un\nun.__file__",
    ],
)
def test_what_is_public_is_let_pass(source):
    assert hidden(source) == []
