"""Every tutorial runs from its first cell to its last figure, on simulated cells where no data are at hand."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import matplotlib
import pytest

_FOLDER = Path(__file__).resolve().parents[1] / "docs" / "tutorials"
TUTORIALS = sorted(page for page in _FOLDER.glob("*.md") if page.name != "index.md")
_CELL = re.compile(r"^```\{code-cell\} ipython3\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


def cells_of(page: Path) -> list[str]:
    """The code cells of a notebook in text."""
    return _CELL.findall(page.read_text(encoding="utf-8"))


def test_there_are_four_and_each_is_a_notebook():
    assert len(TUTORIALS) == 4
    for page in TUTORIALS:
        text = page.read_text(encoding="utf-8")
        assert text.startswith("---\nfile_format: mystnb\nkernelspec:\n"), page.name
        assert len(cells_of(page)) == text.count("```{code-cell}") >= 6, page.name
        assert "## When not to believe it" in text, page.name


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS, ids=[page.stem for page in TUTORIALS])
def test_a_tutorial_runs_on_simulated_cells_and_says_so(page, monkeypatch, tmp_path, capsys):
    pytest.importorskip("scanpy", reason="pip install '.[docs]'")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    monkeypatch.delenv("UNISONO_DATA", raising=False)
    monkeypatch.setenv("UNISONO_CACHE", str(tmp_path))
    names: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scanpy and what it stands on
        for number, cell in enumerate(cells_of(page)):
            pyplot.close("all")
            exec(compile(cell, f"{page.name}, cell {number}", "exec"), names)
            if number == 1:
                assert "SIMULATED" in capsys.readouterr().out
    last = [axes for number in pyplot.get_fignums() for axes in pyplot.figure(number).axes]
    assert any(axes.has_data() for axes in last)
