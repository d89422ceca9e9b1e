"""Makes pages of the repository's Markdown: runs its blocks, follows its links, and lists commands from the program."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from types import ModuleType
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
    "pipelines/README.md": "pipelines.md",
}
_BENCHMARKS = "bench/results"
_COPIED = (".md", ".png", ".svg")

_FRONT_MATTER = (
    "---\nfile_format: mystnb\nkernelspec:\n  name: python3\n  display_name: Python 3\n  language: python\n---\n"
)
_SETUP = (
    "```{code-cell} ipython3\n:tags: [remove-cell]\n"
    "import example_files\n\nexample_files.small()\nexample_files.write()\n```\n"
)
_FENCE = re.compile(r"^```(python|sh)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?P<text>\[[^\]]*\])\((?P<path>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)")
_COMMANDS = "<!-- commands -->"
_REST = "\n```{toctree}\n:hidden:\n:glob:\n\n**\n```\n"


def mirrored() -> dict[str, str]:
    """File of the repository → file of docs/ that it is copied to."""
    found = {name: f"{MIRROR}/{target}" for name, target in _ELSEWHERE.items()}
    inside = [path.relative_to(ROOT / _BENCHMARKS).as_posix() for path in sorted((ROOT / _BENCHMARKS).rglob("*"))]
    copied = [name for name in inside if name.endswith(_COPIED)]
    return found | {f"{_BENCHMARKS}/{name}": f"{MIRROR}/benchmarks/{name}" for name in copied}


def copy_pages() -> None:
    """Copy what is mirrored; what is no longer there goes."""
    shutil.rmtree(DOCS / MIRROR, ignore_errors=True)
    for source, target in mirrored().items():
        (DOCS / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / source, DOCS / target)  # with its time: an unchanged page is not read again


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
        hidden = f"```{{code-cell}} ipython3\n:tags: [remove-input]\nexample_files.shell({match[2]!r})\n```"
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


def _check_names(_app: Any, env: Any) -> None:
    """Refuse a site that lacks the page of a public name."""
    import unisono as un

    rooms = [name for name in un.__all__ if isinstance(getattr(un, name), ModuleType)]
    public = [f"unisono.{name}" for name in un.__all__]
    public += [f"unisono.{room}.{name}" for room in rooms for name in getattr(un, room).__all__]
    missing = [name for name in public if name not in env.domains["py"].objects]
    if missing:
        from sphinx.errors import ExtensionError

        raise ExtensionError(f"public names without a page: {', '.join(missing)}")


def _read(app: Any, docname: str, content: list[str]) -> None:
    page = os.path.relpath(app.env.doc2path(docname), app.srcdir)
    if page.endswith(".md") and not page.startswith(("api/generated", "tutorials/")):
        text = with_links(content[0], page, mirrored())
        text = text if page.startswith(MIRROR) else with_cells(text)
        text = text.replace(_COMMANDS, commands()) if _COMMANDS in text else text
        content[0] = text + (_REST if page == f"{MIRROR}/benchmarks/README.md" else "")


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("config-inited", lambda _app, _config: copy_pages())
    app.connect("source-read", _read)
    app.connect("env-check-consistency", _check_names)
    return {"parallel_read_safe": True}
