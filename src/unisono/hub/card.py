"""The card of a model, the page that the hub shows of it, made from the model's record; computes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from unisono.hub.address import HubAddress
from unisono.inference.summary import model_rows, validation_row
from unisono.messages import visible
from unisono.modalities import spec_of

if TYPE_CHECKING:
    from unisono.inference.fitted_model import FittedModel
    from unisono.inference.record import Card, DataSet

_MAX_NAMES = 500
"""Names of features that are listed: panels, not all genes."""
_LINK = re.compile(r"https?://[\w./?=&%#:~+-]+")
_LICENCES = (
    *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0"),
    *("cc-by-nc-sa-4.0", "gpl-3.0", "lgpl-3.0", "odc-by"),
)
"""Those of the hub's names for licences that models of data have."""
_LIMITS = (
    "Predictions are right for cells like those of training: the same species, tissues and ways of measuring. "
    "`obs['unisono_novelty']` says how far a cell lies from them.",
    "Intervals hold for such cells; `calibrate` makes them hold for others.",
    "Not for diagnosis or treatment.",
)
_CITATION = """@software{unisono,
  author = {{The Unisono developers}},
  title = {Unisono: predict one modality of a cell from another, and match cells across modalities},
  version = {VERSION}
}"""


def model_card(fitted: FittedModel, address: HubAddress, licence: str | None = None) -> str:
    """The text of a model's card, in Markdown below the fields that the hub reads.

    Args:
        fitted: the model.
        address: where it goes to.
        licence: of the model; that of its card by default.

    References:
        Mitchell et al., "Model cards for model reporting", 2019.
    """
    from huggingface_hub import ModelCard, ModelCardData

    card = fitted.record.card
    found = licence or (card.licence if card else None)
    known, other = _licence_of_the_hub(found)
    data = ModelCardData(
        license=known,
        license_name=other,
        library_name="unisono",
        tags=["biology", "single-cell", "multi-omics", *fitted.modalities],
    )
    parts = [
        f"# {_text(card.title if card else address.name)}",
        _opening(fitted),
        "## Load",
        _loading(fitted, address),
        "## Made of",
        _training(fitted),
        "## How right it is",
        _figures(fitted),
        "## Limits",
        _list([*(card.limits if card else ()), *(f"{each.code}: {each.what}" for each in fitted.record.findings)]),
        "\n".join(f"- {limit}" for limit in _LIMITS),
        "## Licence and citation",
        _terms(fitted, card, found),
    ]
    text = "\n\n".join(part for part in parts if part)
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}\n"))


def _licence_of_the_hub(licence: str | None) -> tuple[str | None, str | None]:
    """The hub's name for a licence that opens with one of these; else `other`, and the licence as it is."""
    if licence is None:
        return None, None
    named = re.sub(r"[\s_]+", "-", licence.strip().casefold())
    known = [name for name in _LICENCES if re.match(rf"{re.escape(name)}(?![\w.-])", named)]
    return (known[0], None) if known else ("other", named[:80])


def _opening(fitted: FittedModel) -> str:
    kinds = ", ".join(fitted.modalities)
    return (
        "A model of [Unisono](https://pypi.org/project/unisono/), which predicts one modality of a cell from another "
        f"and matches cells across modalities: {kinds}. It is fitted to raw counts, and is asked about raw counts."
    )


def _loading(fitted: FittedModel, address: HubAddress) -> str:
    source, target = fitted.modalities[-2:]
    return f"""```sh
pip install "unisono[hub]"
unisono predict hf://{address.repository} QUERY.h5ad --from {source} --to {target} --interval 0.9 -o predicted.h5ad
```

```python
import unisono as un

model = un.load("hf://{address.repository}")    # hf://{address.repository}@COMMIT for this very state
predicted = model.predict(un.read("QUERY.h5ad"), source="{source}", target="{target}", interval=0.9)
```

Six files of JSON and safetensors are read, each verified by its SHA-256; nothing is unpickled, no code is run."""


def _training(fitted: FittedModel) -> str:
    record = fitted.record
    parts = [_data_sets(record.card.data)] if record.card else []
    panels = []
    for m in fitted.modalities:
        features = fitted.preprocessors[m].projection.features
        names = ", ".join(map(str, features)) if len(features) <= _MAX_NAMES else ""
        panels.append([m, f"{record.n_cells[m]:,}", f"{len(features):,} {spec_of(m).features}", names])
    parts.append(_table(["modality", "training cells", "features", "panel"], panels))
    shown = {"data sets", "batches", "counts in", "codings", "members", "version", "started from", "made by", "origin"}
    parts.append(_table(["of the fit", ""], [row for row in model_rows(fitted) if row[0] in shown]))
    return "\n\n".join(parts)


def _data_sets(data: Sequence[DataSet]) -> str:
    rows = [[d.name, d.what, f"{d.n_cells:,}", d.accession, d.url, d.licence, d.checksum] for d in data]
    return _table(["data set", "what", "cells", "accession", "page", "terms", "SHA-256 of the file"], rows)


def _figures(fitted: FittedModel) -> str:
    parts = [f"On {fitted.record.n_validation:,} validation cells, which stopped training: {validation_row(fitted)}."]
    if fitted.record.card and fitted.record.card.figures:
        figures = fitted.record.card.figures
        rows = [[f.asked_about, f.what, f"{f.value:.3f}", f"{f.low:.3f} to {f.high:.3f}"] for f in figures]
        parts += ["On data sets that a model made in the same way had not seen:"]
        parts += [_table(["data set", "figure", "value", "over seeds"], rows)]
    return "\n\n".join(parts)


def _terms(fitted: FittedModel, card: Card | None, licence: str | None) -> str:
    version = fitted.record.versions.get("unisono", "")
    parts = [f"Licence of the model: {_text(licence or 'none is stated; ask its owner')}."]
    if card and card.data:
        parts += ["Cite the data:", _list(f"{each.name}: {each.citation}" for each in card.data)]
    return "\n\n".join([*parts, "and the method:", f"```bibtex\n{_CITATION.replace('VERSION', version)}\n```"])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [list(head), ["---"] * len(head), *([_text(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {_text(item)}" for item in items)


def _text(text: str) -> str:
    """Text that is no markup, whatever it holds: names of files, batches and proteins are of their makers."""
    if _LINK.fullmatch(text):
        return f"<{text}>"
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", visible(text).replace("&", "&amp;"))
