"""Prints docs/codes.md, the table of the codes of messages: `python tools/codes_page.py > docs/codes.md`."""

from __future__ import annotations

from unisono.messages import MESSAGES

HEAD = """\
# Codes of messages

Each message about an input opens with a code. An error (E) stops the run, with exit code 2 in the shell and a
`unisono.BadInput` in Python; a warning (W) is a line on stderr, or a `unisono.InputWarning`; information (I) is listed
by `unisono check` alone. The message itself says which file, what was found, and what to do.

Generated from `unisono.messages`: `python tools/codes_page.py > docs/codes.md`

| code | severity | meaning | usual remedy |
| --- | --- | --- | --- |"""


def codes_page() -> str:
    """The page docs/codes.md, as Markdown."""
    rows = (f"| {m.code} | {m.severity} | {m.meaning} | {m.remedy} |" for m in MESSAGES)
    return "\n".join([HEAD, *rows, ""])


if __name__ == "__main__":
    print(codes_page(), end="")
