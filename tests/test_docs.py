"""Every Python block of the README and the guides runs, block after block, as a reader would type it."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

from unisono import modalities

_ROOT = Path(__file__).resolve().parents[1]


def _blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", ["README.md", "docs/user-guide.md"])
def test_every_block_of_a_page_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modalities, "_SPECS", dict(modalities._SPECS))  # a page registers one
    blocks = _blocks(_ROOT / name)
    assert blocks, f"{name} has no Python blocks"
    names: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, block in enumerate(blocks):
            exec(compile(block, f"{name}, block {number}", "exec"), names)


def test_the_readme_names_one_command_to_run_and_one_to_test() -> None:
    text = (_ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^python3 -m venv .*$", text, flags=re.MULTILINE)
    assert len(commands) == 2
    assert commands[0].endswith("unisono demo")
    assert commands[1].endswith("pytest")
