"""What a checkpoint says of itself in state.json, read through one schema; knows no tensor, so that reading is fast."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unisono.config import FitConfig
from unisono.io.write import MANIFEST, STATE_DOCUMENT
from unisono.messages import BadInput, Finding, bad_input

ANEW = "begin anew with --force in place of --resume"
_MAX_TOLD = 5

_Count = Annotated[int, Field(ge=0, le=2**53)]


_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class SavedScores(BaseModel):
    """As of `ValidationScores`."""

    model_config = _STRICT

    correlation: float
    foscttm: float


class SavedEpoch(BaseModel):
    """As of `loop.Epoch`."""

    model_config = _STRICT

    number: _Count
    terms: dict[str, float]
    scores: SavedScores | None
    is_best: bool


class SavedState(BaseModel):
    """All of a training but its tensors, see `loop.Training` and `loop.Unfinished`, and what it belongs to.

    Attributes:
        config: of the fit.
        fingerprint: of the training cells.
    """

    model_config = _STRICT

    config: FitConfig
    fingerprint: str
    epochs: Annotated[tuple[SavedEpoch, ...], Field(min_length=1)]
    n_steps: _Count
    n_batches: _Count
    n_summed: _Count
    has_rolled_back: bool
    rate: Annotated[float, Field(gt=0, le=1)]
    n_skipped: _Count
    n_in_a_row: _Count
    first_skipped: str

    @property
    def place(self) -> str:
        """How far training had come."""
        steps = f" and {self.n_batches} steps" if self.n_batches else ""
        return f"epoch {self.epochs[-1].number}{steps}"


def is_checkpoint(path: Path) -> bool:
    """Whether a folder is a checkpoint, damaged or not."""
    return (path / STATE_DOCUMENT).is_file() and (path / MANIFEST).is_file()


def read_state(path: Path) -> SavedState:
    """What a checkpoint says of itself.

    Raises:
        BadInput: E049 it cannot be read, or is of another version.
    """
    try:
        return SavedState.model_validate_json((path / STATE_DOCUMENT).read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise bad_input("E049", str(path), f"{STATE_DOCUMENT}: {where}: {first['msg']}.", ANEW) from error


def differing(saved: FitConfig, given: FitConfig) -> str:
    """The fields in which two configs differ, with both values."""
    one, other = (_fields(config.model_dump(mode="json")) for config in (saved, given))
    names = [name for name in one | other if one.get(name) != other.get(name)]
    told = [f"{name} {one.get(name)}, now {other.get(name)}" for name in names[:_MAX_TOLD]]
    more = f"; and {len(names) - _MAX_TOLD} more" if len(names) > _MAX_TOLD else ""
    return "; ".join(told) + more


def _fields(tree: dict[str, Any], path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= _fields(value, f"{path}{name}.") if isinstance(value, dict) and value else {f"{path}{name}": value}
    return found


def first_of(checkpoint: Path) -> Path:
    """Where the first of two fits keeps its checkpoint, see `self_training`."""
    return checkpoint.with_name(f"{checkpoint.name}.first")


def latest(checkpoint: Path) -> Path | None:
    """The checkpoint that a fit would be resumed from; None where there is none."""
    return next((path for path in (checkpoint, first_of(checkpoint)) if is_checkpoint(path)), None)


def place_of(checkpoint: Path) -> str:
    """How far the training of a checkpoint had come, as far as it says so."""
    try:
        return read_state(checkpoint).place
    except BadInput:
        return "an unknown epoch"


def findings(checkpoint: Path, resume: bool) -> list[Finding]:
    """W077, where a fit begins anew although a checkpoint is there, or is to be resumed and none is."""
    found = latest(checkpoint)
    if resume and found is None:
        remedy = "check the name of the output if there should be one"
        return [Finding("W077", str(checkpoint), "no checkpoint is there: the fit starts at epoch 0.", remedy)]
    if not resume and found is not None:
        what = f"the checkpoint of {place_of(found)} is not used, and will be replaced: the fit starts at epoch 0."
        return [Finding("W077", str(found), what, "resume from it: --resume, or resume=True in Python")]
    return []
