"""Links lead where they say, the site runs the blocks of the README, and examples of docstrings give what they show."""

from __future__ import annotations

import ast
import doctest
import inspect
import re
import runpy
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

import unisono
from unisono import api, config, modalities

mpl.use("Agg")
import matplotlib.pyplot as plt

_ROOT = Path(__file__).resolve().parents[1]
_PACKAGE = Path(unisono.__file__).parent

QUICK = {"n_members": 1, "max_epochs": 2, "n_codes": 8, "refit_below": 0}
"""What presets are here: examples show no figures of a fit."""


pages = runpy.run_path(str(_ROOT / "docs" / "_ext" / "repository_pages.py"))


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def _pages() -> list[Path]:
    """Pages that are read on the site and in the repository."""
    found = [path for path in (_ROOT / "docs").rglob("*.md") if path.parts[-2] != "generated"]
    return [path for path in found if pages["MIRROR"] not in path.relative_to(_ROOT / "docs").parts]


def test_every_python_block_of_the_readme_is_one_that_the_site_runs():
    blocks = re.findall(r"^```python\n.*?^```$", _text(_ROOT / "README.md"), flags=re.MULTILINE | re.DOTALL)
    run = "\n".join(_text(page) for page in _pages())
    assert len(blocks) == 3
    assert [block for block in blocks if block not in run] == []


def test_python_and_shell_blocks_become_cells_and_others_are_shown_alone():
    text = "# A\n\n```python\nx = 1\n```\n\n```sh\nunisono info\n```\n\n```bash\nsbatch a\n```\n"
    cells = re.findall(r"^```\{code-cell\} ipython3\n(.*?)^```$", pages["with_cells"](text), flags=re.M | re.S)
    assert cells[1:] == ["x = 1\n", ":tags: [remove-input]\nexample_files.shell('unisono info\\n')\n"]
    assert "example_files" in cells[0]
    assert pages["with_cells"]("# A\n\n```bash\nsbatch a\n```\n") == "# A\n\n```bash\nsbatch a\n```\n"


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("[a](../../bench/results/log.md#x)", "[a](../project/benchmarks/log.md#x)"),
        ("[a](../../README.md)", "[a](../index.md)"),
        ("[a](../scale.md)", "[a](../scale.md)"),
        ("[a](../../tests/golden)", "a"),
        ("[a](https://example.org/b.md)", "[a](https://example.org/b.md)"),
        ("[a](#b)", "[a](#b)"),
    ],
)
def test_a_link_leads_to_the_page_that_the_site_makes_of_a_file(link, expected):
    assert pages["with_links"](link, "how-to/match-two-files.md", pages["mirrored"]()) == expected


def test_every_link_between_files_leads_to_one_that_is_there():
    read = [*_pages(), *(_ROOT / name for name in pages["mirrored"]() if name.endswith(".md")), _ROOT / "README.md"]
    links = [(page, found[1]) for page in read for found in re.finditer(r"\]\(([^)\s#:]+)(?:#[^)\s]*)?\)", _text(page))]
    assert len(links) > 100
    assert [(page.name, link) for page, link in links if not (page.parent / link).exists()] == []


def test_every_public_name_stands_in_the_reference():
    listed = re.findall(r"^   unisono\.(\w+)$", _text(_ROOT / "docs" / "api" / "index.md"), flags=re.MULTILINE)
    assert sorted(listed) == sorted(unisono.__all__)


def _examples(text: str, name: str) -> Iterator[doctest.DocTest]:
    """Every docstring with examples in the text of a module, to be run without the names of that module.

    `doctest.testmod` would pass over functions that checks of axes wrap, as if they were imported.
    """
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ">>> " in (ast.get_docstring(node) or ""):
            place = f"{name}, {getattr(node, 'name', 'module')}"
            yield doctest.DocTestParser().get_doctest(ast.get_docstring(node), {"__name__": name}, place, name, 0)


def _once_for_equal_cells(fit: Callable[..., Any]) -> Callable[..., Any]:
    """The function, but that equal cells and arguments get the same model, which never changes."""
    models = {}

    def fitted(mdata, **how):
        key = unisono.fingerprint(unisono.read_cells(mdata)), repr(how)
        if key not in models:
            models[key] = fit(mdata, **how)
        return models[key]

    return fitted


@pytest.fixture
def working_folder(monkeypatch, tmp_path):
    """Where examples run: with quick fits, no model fitted twice, and folders and figures that go afterwards."""
    monkeypatch.setitem(config._PRESETS, "fast", QUICK)
    monkeypatch.setattr(api, "fit", _once_for_equal_cells(api.fit))
    for name in ("working", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.chdir(tmp_path / "working")
    yield tmp_path / "working"
    plt.close("all")


def test_every_example_of_a_docstring_gives_what_it_shows(working_folder, monkeypatch):
    texts = {str(path.relative_to(_PACKAGE)): _text(path) for path in sorted(_PACKAGE.rglob("*.py"))}
    examples = [example for name, text in texts.items() for example in _examples(text, name)]
    runner, registry, failed = doctest.DocTestRunner(), modalities._SPECS, []
    for example in examples:
        monkeypatch.setattr(modalities, "_SPECS", dict(registry))
        failed += [example.name] * bool(runner.run(example).failed)
    assert failed == []
    assert runner.tries > 0
    assert list(working_folder.iterdir()) == []


WRONG = '''
"""Of a module.

>>> 1 + 1
3
"""

class A:
    """Of a class.

    >>> 1 + 1
    3
    """

    def f(self):
        """Of a method.

        >>> A
        """
'''


def test_a_wrong_example_is_found_wherever_its_docstring_stands():
    examples = list(_examples(WRONG, "a.py"))
    assert [example.name for example in examples] == ["a.py, module", "a.py, A", "a.py, f"]
    assert [doctest.DocTestRunner().run(example).failed for example in examples] == [1, 1, 1]


def _without_example(names: Mapping[str, object]) -> list[str]:
    return [name for name, what in names.items() if ">>> " not in (what.__doc__ or "")]


def test_every_public_name_has_an_example():
    assert _without_example({name: getattr(unisono, name) for name in unisono.__all__}) == []


def test_every_public_function_of_a_room_has_an_example():
    rooms = {name: getattr(unisono, name) for name in unisono._ROOMS}
    names = {f"{room}.{name}": getattr(module, name) for room, module in rooms.items() for name in module.__all__}
    functions = {name: what for name, what in names.items() if inspect.isroutine(what)}
    assert {name.partition(".")[0] for name in functions} == rooms.keys() - {"interpretation"}  # classes alone
    assert _without_example(functions) == []


def test_a_name_without_an_example_is_found():
    names = {"fit": unisono.fit, "len": len, "tl": unisono.tl, "of no docstring": lambda: None}
    assert _without_example(names) == ["len", "of no docstring"]


def test_the_readme_names_one_command_to_run_and_one_to_test() -> None:
    text = (_ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^python3 -m venv .*$", text, flags=re.MULTILINE)
    assert len(commands) == 2
    assert commands[0].endswith("unisono demo")
    assert commands[1].endswith("pytest")


def test_every_promise_of_reliability_stands_beside_tests_that_are_there() -> None:
    page = (_ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_[^`]+)`", page))
    files = [path.read_text(encoding="utf-8") for path in (_ROOT / "tests").rglob("test_*.py")]
    assert len(named) > 30
    assert named - set(re.findall(r"^def (test_\w+)", "\n".join(files), flags=re.MULTILINE)) == set()
    promises = re.findall(r"^\| (?!promise|---).*$", page, flags=re.MULTILINE)
    assert [line for line in promises if "`test_" not in line and "the same" not in line] == []
