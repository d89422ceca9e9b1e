"""The address of a model on the hub, hf://owner/name@revision, and what can be wrong with it; connects to nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from unisono.messages import bad_input

_OPENING = re.compile(r"hf:/{1,2}")
"""With one stroke, too: a `Path` of an address has lost the other."""
_PART = r"(?!.*(?:--|\.\.))[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
_NAMES = re.compile(f"({_PART})/({_PART})")
_REVISION = re.compile(r"(?!.*(?:\.\.|//|@\{))[A-Za-z0-9][A-Za-z0-9._/+-]{0,199}")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubAddress:
    """Which model on the hub, and which state of it.

    Attributes:
        owner: user or organisation.
        name: of the model.
        revision: a branch, a tag or the 40 letters of a commit; None for the newest commit of `main`.
    """

    owner: str
    name: str
    revision: str | None = None

    @property
    def repository(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def is_pinned(self) -> bool:
        """Whether the revision is a commit, which never changes."""
        return self.revision is not None and _COMMIT.fullmatch(self.revision) is not None

    def at(self, revision: str) -> HubAddress:
        """The same model in another state."""
        return HubAddress(self.owner, self.name, revision)

    def __str__(self) -> str:
        return f"hf://{self.repository}" + (f"@{self.revision}" if self.revision else "")


def is_address(path: str | Path) -> bool:
    """Whether what names a model is an address on the hub rather than a folder or a name."""
    return _OPENING.match(str(path)) is not None


def address_in(text: str | Path) -> HubAddress:
    """The address in `hf://owner/name`, `hf://owner/name@revision`, or the same without `hf://`.

    Raises:
        BadInput: E093, it is neither.

    Examples:
        >>> from unisono.hub.address import address_in
        >>> address_in("hf://my-lab/marrow@v1").repository
        'my-lab/marrow'
    """
    where = str(text)
    named, at, revision = _OPENING.sub("", where, count=1).partition("@")
    names = _NAMES.fullmatch(named)
    if names is None:
        what = "does not name owner and model: letters, digits and . _ - between them, with one stroke between the two."
        raise bad_input("E093", where, what, "give it as hf://owner/name or hf://owner/name@revision")
    if at and _REVISION.fullmatch(revision) is None:
        remedy = f"give a branch, a tag or a commit: hf://{named}@main"
        raise bad_input("E093", where, f"{revision!r} is no name of a revision.", remedy)
    return HubAddress(names[1], names[2], revision or None)
