"""Every Python block of the README and the guides runs, and every example of a docstring gives what it shows."""

from __future__ import annotations

import doctest
import re
import warnings
from importlib import import_module
from pathlib import Path

import pytest

import unisono
from unisono import config, modalities

_ROOT = Path(__file__).resolve().parents[1]
_PACKAGE = Path(unisono.__file__).parent


def _blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", ["README.md", "docs/user-guide.md"])
def test_every_block_of_a_page_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modalities, "_SPECS", dict(modalities._SPECS))  # a page registers one
    monkeypatch.setitem(config._PRESETS, "fast", {"n_members": 1, "max_epochs": 2})  # the blocks show no figures
    blocks = _blocks(_ROOT / name)
    assert blocks, f"{name} has no Python blocks"
    names: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, block in enumerate(blocks):
            exec(compile(block, f"{name}, block {number}", "exec"), names)


def test_every_example_of_a_docstring_gives_what_it_shows() -> None:
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
