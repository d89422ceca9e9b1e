"""Record: the provenance of a model, JSON-able and saved with it; holds no weights."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from unisono.limits import LARGE, MANY_ENTRIES, Amount, Correlation, Text
from unisono.messages import REGISTER, Finding

Measured = Annotated[float, Field(ge=-LARGE, le=LARGE)]


def _registered(code: str) -> str:
    if code not in REGISTER:
        raise ValueError("is no code of a message")
    return code


class EpochRecord(BaseModel):
    """One evaluated epoch: correlation (higher is better) and FOSCTTM (lower is better) of the validation cells."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epoch: Amount
    correlation: Correlation
    foscttm: Annotated[float, Field(ge=0, le=1)]
    is_best: bool


class Unlabelled(BaseModel):
    """Cells whose counts, but not whose pairing, the model has used: figures on them are transductive.

    Attributes:
        how: `fit`, given to the fit in addition to the training cells; or `adapt`, adapted to later.
        fingerprint: SHA-256 over names, batches and counts.
        n_cells: by modality.
        n_matched: how many of them a first fit matched to one of another modality, as pairs to learn from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    how: Literal["fit", "adapt"]
    fingerprint: Text
    n_cells: dict[Text, Amount]
    n_matched: Amount = 0

    @property
    def what(self) -> str:
        """How many cells, and what became of them."""
        counted = ", ".join(f"{n:,} {m}" for m, n in self.n_cells.items())
        return f"{self.how}: {counted}{f', {self.n_matched:,} matched' if self.n_matched else ''}"


class RecordedFinding(BaseModel):
    """What the fit found that every later use is to repeat: a warning of the register."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    code: Annotated[str, AfterValidator(_registered)]
    what: Text
    remedy: Text


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

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Text
    what: Text
    accession: Text
    url: Text
    licence: Text
    citation: Text
    n_cells: Amount
    fingerprint: Text
    checksum: Text


class Figure(BaseModel):
    """What a model like this one reached on a data set that it had not seen.

    Attributes:
        asked_about: the data set.
        what: the figure, such as `rna → adt Pearson`.
        value: mean over seeds.
        low: least of the seeds.
        high: greatest of the seeds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    asked_about: Text
    what: Text
    value: Measured
    low: Measured
    high: Measured


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

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    title: Text
    command: Text
    licence: Text
    data: Annotated[tuple[DataSet, ...], MANY_ENTRIES]
    figures: Annotated[tuple[Figure, ...], MANY_ENTRIES] = ()
    limits: Annotated[tuple[Text, ...], MANY_ENTRIES] = ()


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
        origin: address and commit on the hub of a model from there, and of what `adapt` or `calibrate` made of it.
        n_skipped_steps: steps of training that were none, as their loss was not finite.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    versions: dict[Text, Text]
    fingerprint: Text
    n_cells: dict[Text, Amount]
    n_validation: Amount
    batch_key: Text | None
    modalities: dict[Text, Text] | None
    device: Text
    curve: Annotated[tuple[EpochRecord, ...], MANY_ENTRIES]
    validation: EpochRecord | None
    seconds: Annotated[float, Field(ge=0, le=LARGE)]
    unlabelled: Annotated[tuple[Unlabelled, ...], MANY_ENTRIES] = ()
    layers: dict[Text, Text] = {}
    is_rounded: bool = False
    keeps_controls: bool = False
    data_sets: Annotated[tuple[Text, ...], MANY_ENTRIES] = ()
    init: Text | None = None
    card: Card | None = None
    findings: Annotated[tuple[RecordedFinding, ...], MANY_ENTRIES] = ()
    n_held: dict[Text, Amount] | None = None
    origin: Text | None = None
    n_skipped_steps: Amount = 0

    def repeated(self, where: str) -> list[Finding]:
        """The findings of the fit, as messages of `where`."""
        return [Finding(each.code, where, each.what, each.remedy) for each in self.findings]
