"""Makes pages of the repository's Markdown: runs its blocks, follows its links, and lists commands from the program."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
MIRROR = "project"
"""Folder of docs/ to which pages from elsewhere in the repository are copied; git ignores it."""

_ELSEWHERE = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "bench/README.md": "unisono-bench.md",
}
_BENCHMARKS = "bench/results"
_COPIED = (".md", ".png", ".svg")

_FRONT_MATTER = "---\nfile_format: mystnb\nkernelspec:\n  name: python3\n---\n"
_SETUP = "```{code-cell} ipython3\n:tags: [remove-cell]\nimport example_files\n\nexample_files.write()\n```\n"
_FENCE = re.compile(r"^```(python|sh)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?P<text>\[[^\]]*\])\((?P<path>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)")
_COMMANDS = "<!-- commands -->"


def mirrored() -> dict[str, str]:
    """File of the repository → file of docs/ that it is copied to."""
    found = {name: f"{MIRROR}/{target}" for name, target in _ELSEWHERE.items()}
    for path in sorted((ROOT / _BENCHMARKS).rglob("*")):
        if path.suffix in _COPIED:
            found[path.relative_to(ROOT).as_posix()] = f"{MIRROR}/benchmarks/{path.relative_to(ROOT / _BENCHMARKS).as_posix()}"
    return found


def copy_pages() -> None:
    """Copy what is mirrored; what is no longer there goes."""
    shutil.rmtree(DOCS / MIRROR, ignore_errors=True)
    for source, target in mirrored().items():
        (DOCS / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / source, DOCS / target)


def with_links(text: str, page: str, copies: dict[str, str]) -> str:
    """Links between files of the repository as links between pages of the site; those to folders are dropped.

    Args:
        text: Markdown.
        page: the file of docs/ that it is.
        copies: as `mirrored` gives them.
    """
    place = {target: source for source, target in copies.items()}.get(page, f"docs/{page}")

    def link(match: re.Match[str]) -> str:
        path = os.path.normpath(os.path.join(os.path.dirname(place), match["path"]))
        if path.startswith("..") or not (ROOT / path).exists():
            return match[0]
        if (ROOT / path).is_dir():
            return match["text"][1:-1]
        inside = "index.md" if path == "README.md" else copies.get(path) or os.path.relpath(path, "docs")
        target = os.path.relpath(inside, os.path.dirname(page) or ".")
        return f"{match['text']}({target}{match['anchor'] or ''})"

    return _LINK.sub(link, text)


def with_cells(text: str) -> str:
    """A notebook whose cells are the Python and shell blocks of a page; a page without any stays as it is.

    A shell block is shown as it stands and what it prints comes after it. Blocks of another language are shown alone.
    """
    if not _FENCE.search(text) or text.startswith("---\n"):
        return text

    def cell(match: re.Match[str]) -> str:
        if match[1] == "python":
            return f"```{{code-cell}} ipython3\n{match[2]}```"
        hidden = f"```{{code-cell}} ipython3\n:tags: [remove-input]\n%%bash\nset -euo pipefail\n{match[2]}```"
        return f"{match[0]}\n\n{hidden}"

    title, _, rest = text.partition("\n")
    return f"{_FRONT_MATTER}{title}\n\n{_SETUP}{_FENCE.sub(cell, rest)}"


def commands() -> str:
    """The commands, arguments and options, in Markdown, as typer itself writes them."""
    import typer
    from typer.cli import get_docs_for_click
    from unisono.cli import app

    group = typer.main.get_command(app)
    text: str = get_docs_for_click(obj=group, ctx=typer.Context(group, info_name="unisono"), name="unisono")
    return text.partition("\n")[2].replace("<str>", "TEXT").replace("<path>", "PATH").replace("```console", "```text")


def _read(app: Any, docname: str, content: list[str]) -> None:
    page = os.path.relpath(app.env.doc2path(docname), app.srcdir)
    if page.endswith(".md") and not page.startswith(("api/generated", "tutorials/")):
        text = with_cells(with_links(content[0], page, mirrored()))
        content[0] = text.replace(_COMMANDS, commands()) if _COMMANDS in text else text


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("config-inited", lambda _app, _config: copy_pages())
    app.connect("source-read", _read)
    return {"parallel_read_safe": True}
