"""What a user asks of a fitted model first, in rows of a label and a value; computes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unisono.display import Rows, some
from unisono.modalities import spec_of

if TYPE_CHECKING:
    from unisono.inference.fitted_model import FittedModel
    from unisono.inference.record import Card


def model_rows(fitted: FittedModel) -> Rows:
    """Label and value of what a user asks of a model first."""
    record, config = fitted.record, fitted.config
    sizes = [f"{len(fitted.preprocessors[m].projection.features):,} {spec_of(m).features}" for m in fitted.modalities]
    cells = ", ".join(f"{record.n_cells[m]:,} {m}" for m in fitted.modalities)
    batches = sorted({str(name) for book in fitted.predictor.styles.values() for name in book.batches})
    rows = [
        *([("model", record.card.title)] if record.card else []),
        ("modalities", ", ".join(f"{m} ({size})" for m, size in zip(fitted.modalities, sizes, strict=True))),
        ("training cells", f"{cells}; {record.n_validation:,} of them for validation"),
        *([("data sets", ", ".join(record.data_sets))] if record.data_sets else []),
        *([("started from", f"model {record.init}")] if record.init else []),
        *([("origin", record.origin)] if record.origin else []),
        ("batches", f"{len(batches)} ({some(batches)}) by {record.batch_key}" if record.batch_key else "none named"),
        ("counts in", ", ".join(f"{m}: {place}" for m, place in record.layers.items()) or "X"),
        ("codings", ", ".join(f"{m}: {fitted.preprocessors[m].projection.coding}" for m in fitted.modalities)),
        ("validation", validation_row(fitted)),
        ("members", f"{config.n_members}, seed {config.seed}, {record.seconds:.0f} s on {record.device}"),
        ("version", f"{record.versions['unisono']}, model {fitted.fingerprint}, data {record.fingerprint[:12]}"),
    ]
    return [*rows, *_card_rows(record.card), *(("warning", f"{each.code} {each.what}") for each in record.findings)]


def _card_rows(card: Card | None) -> Rows:
    """What the card adds."""
    if card is None:
        return []
    figures: dict[str, list[str]] = {}
    for figure in card.figures:
        figures.setdefault(figure.asked_about, []).append(f"{figure.what} {figure.value:.3f}")
    return [
        ("licence", card.licence),
        *(
            ("learned from", f"{each.what}, {each.n_cells:,} cells, {each.accession} ({each.licence})")
            for each in card.data
        ),
        *((f"asked about {name}", "; ".join(found)) for name, found in figures.items()),
        *(("limit", limit) for limit in card.limits),
        ("made by", card.command),
    ]


def validation_row(fitted: FittedModel) -> str:
    """The scores of the validation cells, in words."""
    scores = fitted.record.validation
    if scores is None:
        return "none"
    return f"correlation {scores.correlation:.3f}, FOSCTTM {scores.foscttm:.3f} (0.5 at chance), epoch {scores.epoch}"
