"""Limits of what may be stored, written next to the type of a field; `io.dataclass_store` holds a folder to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from jaxtyping import Bool, Float32, Float64, Int64, Shaped, UInt64
from pydantic import Field

__all__ = ["Bool", "Float32", "Float64", "Int64", "Shaped", "UInt64"]  # of stored arrays, in modules without other axes

MAX_LETTERS = 2**16
"""Of a name or text that is stored with a model."""
MAX_TEXT_ARRAY = 2**26
"""Names times letters of the longest of them: an array of text takes four bytes for each."""
MAX_MODALITIES = 100
MANY, LARGE = 10**9, 1e9
"""The most that a choice of a fit may be, where nothing nearer bounds it."""

Text = Annotated[str, Field(max_length=MAX_LETTERS)]
Amount = Annotated[int, Field(ge=0, le=2**40)]
Correlation = Annotated[float, Field(ge=-1.001, le=1.001)]
A_FEW, MANY_ENTRIES = Field(min_length=1, max_length=100), Field(max_length=100_000)


@dataclass(frozen=True)
class Limits:
    """What the values of a field may be, each entry of an array; they are finite unless it is said that they may not.

    Attributes:
        ge: the least.
        gt: below the least.
        le: the greatest.
        lt: above the greatest.
        may_be: which values that are not finite have a meaning.
        positions_in: the axis that they are positions in, each greater than the one before.
        is_unique: whether each occurs once.
    """

    ge: int | float | None = None
    gt: int | float | None = None
    le: int | float | None = None
    lt: int | float | None = None
    may_be: tuple[Literal["nan", "inf"], ...] = ()
    positions_in: str | None = None
    is_unique: bool = False


ANY = Limits()
FRACTION = Limits(ge=0, le=1)
SHARE = Limits(ge=0, le=1.001)
"""A fraction that was computed: rounded."""
POSITIVE = Limits(gt=0)
NOT_NEGATIVE = Limits(ge=0)
UNIQUE = Limits(is_unique=True)


@dataclass(frozen=True)
class OwnAxes:
    """What is below has axes of its own, whatever those of the same names are above."""
