"""Tables as Markdown text; looks at no run."""

from __future__ import annotations

from collections.abc import Sequence

from unisono_bench.table import Cell, Table


def markdown(tables: Sequence[Table]) -> str:
    """Each table under a heading of its own; the best of a column is bold."""
    return "\n".join(_of_table(table) for table in tables)


def _of_table(table: Table) -> str:
    lines = [f"## {table.title}", "", _row(table.columns), _row(["---"] * len(table.columns))]
    lines += [_row([_text(cell) for cell in row]) for row in table.rows]
    return "\n".join(lines) + "\n"


def _row(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _text(cell: Cell) -> str:
    text = " ".join(cell.text.replace("|", "\\|").split())
    return f"**{text}**" if cell.is_best else text
