"""Rows of labels and values as text and for a notebook; knows nothing of what they say."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from unisono.messages import visible

Rows = Sequence[tuple[str, str]]

_SHOWN = 4


def some(names: Sequence[str]) -> str:
    """The first few names."""
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def as_text(title: str, rows: Rows) -> str:
    """A line for each row below the title, labels aligned."""
    width = max((len(label) for label, _ in rows), default=0)
    return "\n".join([title, *(f"  {visible(label):<{width}}  {visible(value)}" for label, value in rows)])


def as_html(title: str, rows: Rows) -> str:
    """The same as a small table without styles of its own."""
    body = "".join(
        f'<tr><th style="text-align:left">{escape(visible(label))}</th>'
        f'<td style="text-align:left">{escape(visible(value))}</td></tr>'
        for label, value in rows
    )
    return f"<div><strong>{escape(title)}</strong><table>{body}</table></div>"
