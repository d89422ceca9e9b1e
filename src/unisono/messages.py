"""What was noticed about an input: findings with a code, and the error that carries them; never decides what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "information"]
_SEVERITY: dict[str, Severity] = {"E": "error", "W": "warning", "I": "information"}


@dataclass(frozen=True)
class Finding:
    """One observation about an input: `code` is E, W or I and three digits; `where` names file and modality."""

    code: str
    where: str
    what: str
    remedy: str = ""

    @property
    def severity(self) -> Severity:
        return _SEVERITY[self.code[0]]

    def __str__(self) -> str:
        fix = f" Fix: {self.remedy}" if self.remedy else ""
        return f"{self.code} {self.where}: {self.what}{fix}"


class BadInput(ValueError):  # noqa: N818
    """The input cannot be used; the message is one line: the first error, and how many more there are."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        errors = [finding for finding in self.findings if finding.severity == "error"]
        more = f" (and {len(errors) - 1} more; unisono check lists all)" if len(errors) > 1 else ""
        super().__init__(f"{errors[0]}{more}")


class InputWarning(UserWarning):
    """A finding that does not stop the run; `warnings.filterwarnings` can silence or raise it."""


def bad_input(code: str, where: str, what: str, remedy: str) -> BadInput:
    """The error for a single finding, to be raised by the caller."""
    return BadInput([Finding(code, where, what, remedy)])
