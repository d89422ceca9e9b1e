"""Links lead where they say, the site runs the blocks of the README, and examples of docstrings give what they show."""

from __future__ import annotations

import doctest
import re
import runpy
from importlib import import_module
from pathlib import Path

import pytest

import unisono
from unisono import config

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


def test_every_example_of_a_docstring_gives_what_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(config._PRESETS, "fast", QUICK)
    files = [path for path in sorted(_PACKAGE.rglob("*.py")) if ">>> " in path.read_text(encoding="utf-8")]
    names = [".".join(path.relative_to(_PACKAGE.parent).with_suffix("").parts) for path in files]
    results = {name: doctest.testmod(import_module(name)) for name in names}
    assert sum(result.attempted for result in results.values()) > 0
    assert [name for name, result in results.items() if result.failed] == []


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
