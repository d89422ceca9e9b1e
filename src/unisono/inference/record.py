"""Record: the provenance of a model, JSON-able and saved with it; holds no weights."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from unisono.messages import Finding
from unisono.types import Modality


class EpochRecord(BaseModel):
    """One evaluated epoch: correlation (higher is better) and FOSCTTM (lower is better) of the validation cells."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epoch: int
    correlation: float
    foscttm: float
    is_best: bool


class Unlabelled(BaseModel):
    """Cells whose counts, but not whose pairing, the model has used: figures on them are transductive.

    Attributes:
        how: `fit`, given to the fit in addition to the training cells; or `adapt`, adapted to later.
        fingerprint: SHA-256 over names, batches and counts.
        n_cells: by modality.
        n_matched: how many of them a first fit matched to one of another modality, as pairs to learn from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    how: Literal["fit", "adapt"]
    fingerprint: str
    n_cells: dict[str, int]
    n_matched: int = 0

    @property
    def what(self) -> str:
        """How many cells, and what became of them."""
        counted = ", ".join(f"{n:,} {m}" for m, n in self.n_cells.items())
        return f"{self.how}: {counted}{f', {self.n_matched:,} matched' if self.n_matched else ''}"


class RecordedFinding(BaseModel):
    """What the fit found that every later use is to repeat: a warning of the register."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    what: str
    remedy: str


class DataSet(BaseModel):
    """Where training cells came from.

    Attributes:
        name: in the names of cells and batches.
        what: tissue, species and technology.
        accession: under which a repository has it.
        url: of the repository's page.
        licence: terms of the data.
        citation: of the paper that it is from.
        n_cells: of the model's training.
        fingerprint: SHA-256 over names, batches and counts of these cells.
        checksum: SHA-256 of the file that was read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    what: str
    accession: str
    url: str
    licence: str
    citation: str
    n_cells: int
    fingerprint: str
    checksum: str


class Figure(BaseModel):
    """What a model like this one reached on a data set that it had not seen.

    Attributes:
        asked_about: the data set.
        what: the figure, such as `rna → adt Pearson`.
        value: mean over seeds.
        low: least of the seeds.
        high: greatest of the seeds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    asked_about: str
    what: str
    value: float
    low: float
    high: float


class Card(BaseModel):
    """What a model that is given to others has to say of itself.

    Attributes:
        title: in one line.
        command: that made it.
        licence: of the model.
        data: what it was trained on.
        figures: on unseen data.
        limits: where it is not to be trusted.

    References:
        Mitchell et al., "Model cards for model reporting", 2019.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    command: str
    licence: str
    data: tuple[DataSet, ...]
    figures: tuple[Figure, ...] = ()
    limits: tuple[str, ...] = ()


class Record(BaseModel):
    """Provenance of a fitted model.

    Attributes:
        versions: of this package and of the libraries that a fit depends on.
        fingerprint: SHA-256 over names, batches and counts of the training cells.
        n_cells: training cells by modality, validation cells among them.
        n_held: of these, by modality, the cells that were held in memory, which all but the networks is fitted to; None
            for all.
        n_validation: validation cells, which stop training, select and calibrate.
        batch_key: column that named the technical batches, if any.
        modalities: the file's names of the modalities, where the user gave them.
        device: where the networks were trained.
        curve: the evaluated epochs.
        validation: scores of the selected predictor on the validation cells, before a refit; None without any.
        seconds: wall time of the fit.
        unlabelled: cells that were used in addition to those it was trained on.
        layers: by modality, where the counts of the training cells were: X, .raw or the name of a layer.
        is_rounded: whether fractions among the counts were rounded.
        keeps_controls: whether isotype controls and sample tags among proteins were used.
        data_sets: names of the data sets, of a model of several.
        init: fingerprint of the model that it was started from.
        card: of a model that is given to others.
        findings: what predictions and matchings by this model are to be read with.
        n_skipped_steps: steps of training that were none, as their loss was not finite.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    versions: dict[str, str]
    fingerprint: str
    n_cells: dict[str, int]
    n_validation: int
    batch_key: str | None
    modalities: dict[str, Modality] | None
    device: str
    curve: tuple[EpochRecord, ...]
    validation: EpochRecord | None
    seconds: float
    unlabelled: tuple[Unlabelled, ...] = ()
    layers: dict[str, str] = {}
    is_rounded: bool = False
    keeps_controls: bool = False
    data_sets: tuple[str, ...] = ()
    init: str | None = None
    card: Card | None = None
    findings: tuple[RecordedFinding, ...] = ()
    n_held: dict[str, int] | None = None
    n_skipped_steps: int = 0

    def repeated(self, where: str) -> list[Finding]:
        """The findings of the fit, as messages of `where`."""
        return [Finding(each.code, where, each.what, each.remedy) for each in self.findings]
