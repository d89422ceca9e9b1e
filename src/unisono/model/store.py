"""A model as a folder of JSON and safetensors, written whole and verified before it is read; nothing is unpickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import combinations, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.numpy import save as packed

from unisono.config import FitConfig
from unisono.io.manifest import verify_manifest, write_manifest
from unisono.io.write import write_folder_atomically
from unisono.matching import Anchors, DepthTerm
from unisono.messages import bad_input
from unisono.modalities import Known, in_order, registered, spec_of
from unisono.model.record import Record
from unisono.nn.model import InitialWeights, Network
from unisono.nn.styles import StyleBook
from unisono.preprocessing.closed_form import ClosedFormTerms
from unisono.preprocessing.kernel_ridge import KernelRidge
from unisono.preprocessing.moment_alignment import MomentAlignment
from unisono.preprocessing.preprocessor import Preprocessor
from unisono.preprocessing.projection import Projection
from unisono.preprocessing.standardisation import Standardisation
from unisono.types import Modality, Pair
from unisono.uncertainty.conformal import Conformal
from unisono.uncertainty.novelty import Novelty

_CONFIG, _RECORD, _VOICES = "config.json", "record.json", "voices.json"
_MATCH, _ROUTES, _INTERVALS = "match.json", "routes.json", "intervals.json"
_WEIGHTS, _ARRAYS = "weights.safetensors", "voices.safetensors"

Arrays = Mapping[str, NDArray[Any]]

_TRANSFORM_ARRAYS = ("selected", "share", "weight", "centre", "basis", "loadings", "intercept")
_STANDARDISATION_ARRAYS = ("mean", "scale", "offsets", "depth", "batch_depths")
_KERNEL_ARRAYS = ("landmarks", "weights", "centre")
_STYLE_ARRAYS = ("latents", "average_latent")
_CONFORMAL_ARRAYS = ("scale", "scores")
_NOVELTY_ARRAYS = ("centre", "factor")
_ANCHOR_ARRAYS = ("left", "right", "left_potential", "right_potential")
_TUNING_ARRAYS = ("centre", "matrix", "common")


class Parts(NamedTuple):
    """What a model is made of and what is saved of it: the attributes of `Unisono`, in its order."""

    config: FitConfig
    network: Network
    preprocessors: Mapping[Modality, Preprocessor]
    styles: Mapping[Modality, StyleBook]
    anchors: Mapping[Pair, Anchors]
    depth_terms: Mapping[Pair, DepthTerm]
    closed_form: Mapping[Pair, ClosedFormTerms]
    novelties: Mapping[Modality, Novelty]
    moment_alignment: Mapping[Modality, MomentAlignment]
    intervals: Mapping[Pair, Conformal]
    record: Record


class _Names(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    features: list[str]
    batches: list[str]
    ids: list[str] | None = None
    aliases: dict[str, str] = {}


class _Terms(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    left: Modality
    right: Modality
    beta: float
    depth_beta: float
    depth_weight: float
    depth_correlation: float


class _Voices(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    preprocessors: dict[Modality, _Names]


class _Match(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    terms: list[_Terms]


class _Share(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Modality
    target: Modality
    share: float


class _Widths(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Modality
    target: Modality
    groups: tuple[str, ...]
    n_cells: tuple[int, ...]
    by: str | None = None


class _Intervals(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    widths: list[_Widths]


class _Routes(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    shares: list[_Share]


def save(parts: Parts, path: str | Path, *, force: bool = False) -> None:
    """Write a model folder; see `Unisono.save`."""
    write_folder_atomically(path, lambda folder: _write(parts, folder), force=force)


def load(path: str | Path, device: torch.device) -> Parts:
    """Read a model folder.

    Raises:
        BadInput: E001 no such folder, E043 a modality that is not registered, E047 a file or a pickle, E048 written by
            a newer version, E049 a file missing, changed or not of this model, E054 a link or a name that leads out of
            the folder.
    """
    folder = Path(path)
    verify_manifest(folder)
    try:
        config = FitConfig.model_validate_json(_text(folder, _CONFIG))
        record = Record.model_validate_json(_text(folder, _RECORD))
        names = _Voices.model_validate_json(_text(folder, _VOICES)).preprocessors
        terms = _Match.model_validate_json(_text(folder, _MATCH)).terms
        _require_registered(names, folder)
        arrays, weights = load_file(folder / _ARRAYS), load_file(folder / _WEIGHTS)
        preprocessors = {m: _voice(m, names[m], arrays) for m in names}
        styles = {m: _style_book(m, names[m], arrays) for m in names}
        shares = {(s.source, s.target): s.share for s in _Routes.model_validate_json(_text(folder, _ROUTES)).shares}
        novelties = {m: Novelty(*(arrays[f"{m}.novelty.{name}"] for name in _NOVELTY_ARRAYS)) for m in names}
        widths = _Intervals.model_validate_json(_text(folder, _INTERVALS)).widths
        intervals = {(w.source, w.target): _conformal(w, arrays) for w in widths}
        anchors = {(t.left, t.right): _anchors(t, arrays) for t in terms}
        closed_form = {
            pair: _route(pair, shares.get(pair, 0.0), arrays) for pair in product(preprocessors, preprocessors)
        }
        moment_alignment = {m: _tuning(m, arrays) for m in names if f"{m}.tuning.matrix" in arrays}
        network = _network(config, preprocessors, weights).to(device).eval()
    except (ValidationError, KeyError, FileNotFoundError, RuntimeError, SafetensorError) as error:
        what = f"cannot be read by this version: {str(error).splitlines()[0]}."
        raise bad_input("E048", str(folder), what, "upgrade unisono, or fit the model again") from error
    depth_terms = {(t.left, t.right): DepthTerm(t.depth_beta, t.depth_weight, t.depth_correlation) for t in terms}
    return Parts(
        config,
        network,
        preprocessors,
        styles,
        anchors,
        depth_terms,
        closed_form,
        novelties,
        moment_alignment,
        intervals,
        record,
    )


def _write(parts: Parts, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    arrays: dict[str, NDArray[Any]] = {}
    for m, preprocessor in parts.preprocessors.items():
        pieces = (
            (preprocessor.projection, _TRANSFORM_ARRAYS),
            (preprocessor.standardisation, _STANDARDISATION_ARRAYS),
            (parts.styles[m], _STYLE_ARRAYS),
        )
        arrays |= {
            f"{m}.{name}": np.ascontiguousarray(getattr(piece, name)) for piece, names in pieces for name in names
        }
    for m, novelty in parts.novelties.items():
        arrays |= {f"{m}.novelty.{name}": np.ascontiguousarray(getattr(novelty, name)) for name in _NOVELTY_ARRAYS}
    for pair, closed_form in parts.closed_form.items():
        arrays |= _route_arrays(pair, closed_form)
    for (a, b), anchors in parts.anchors.items():
        arrays |= {f"{a}.{b}.anchors.{name}": np.ascontiguousarray(getattr(anchors, name)) for name in _ANCHOR_ARRAYS}
    for m, moment_alignment in parts.moment_alignment.items():
        arrays |= {
            f"{m}.tuning.{name}": np.ascontiguousarray(getattr(moment_alignment, name)) for name in _TUNING_ARRAYS
        }
    weights = {name: np.ascontiguousarray(value.cpu().numpy()) for name, value in parts.network.state_dict().items()}
    names = {m: _names_of(preprocessor) for m, preprocessor in parts.preprocessors.items()}
    terms = [
        _Terms(
            left=a,
            right=b,
            beta=parts.anchors[a, b].beta,
            depth_beta=parts.depth_terms[a, b].beta,
            depth_weight=parts.depth_terms[a, b].weight,
            depth_correlation=parts.depth_terms[a, b].r,
        )
        for a, b in combinations(in_order(parts.preprocessors), 2)
    ]
    widths = []
    for (source, target), found in parts.intervals.items():
        arrays |= {f"{source}.{target}.{name}": getattr(found, name) for name in _CONFORMAL_ARRAYS}
        kept = _Widths(source=source, target=target, groups=found.groups, n_cells=found.n_cells, by=found.by)
        widths.append(kept)
    documents: dict[str, BaseModel] = {
        _CONFIG: parts.config,
        _RECORD: parts.record,
        _VOICES: _Voices(preprocessors=names),
        _MATCH: _Match(terms=terms),
        _INTERVALS: _Intervals(widths=widths),
        _ROUTES: _Routes(
            shares=[
                _Share(source=a, target=b, share=closed_form.share) for (a, b), closed_form in parts.closed_form.items()
            ]
        ),
    }
    for name, document in documents.items():
        text = json.dumps(document.model_dump(mode="json"), indent=1, ensure_ascii=False)
        (folder / name).write_text(text + "\n", encoding="utf-8")
    (folder / _ARRAYS).write_bytes(packed(arrays))
    (folder / _WEIGHTS).write_bytes(packed(weights))
    write_manifest(folder)


def _require_registered(names: Mapping[Modality, _Names], folder: Path) -> None:
    unknown = [name for name in names if name not in registered()]
    if unknown:
        what = f"has the modality {unknown[0]}, which is not known here (known: {', '.join(registered())})."
        raise bad_input("E043", str(folder), what, "call unisono.modalities.register with it before loading")


def _names_of(preprocessor: Preprocessor) -> _Names:
    known = preprocessor.projection.known
    return _Names(
        features=known.names.tolist(),
        batches=preprocessor.standardisation.batches.tolist(),
        ids=None if known.ids is None else known.ids.tolist(),
        aliases=dict(known.aliases),
    )


def _text(folder: Path, name: str) -> str:
    return (folder / name).read_text(encoding="utf-8")


def _voice(modality: Modality, names: _Names, arrays: Arrays) -> Preprocessor:
    ids = None if names.ids is None else np.array(names.ids, dtype=str)
    projection = Projection(
        modality=modality,
        known=Known(np.array(names.features, dtype=str), ids, names.aliases),
        **{name: arrays[f"{modality}.{name}"] for name in _TRANSFORM_ARRAYS},
    )
    standardisation = Standardisation(
        batches=np.array(names.batches, dtype=str),
        **{name: arrays[f"{modality}.{name}"] for name in _STANDARDISATION_ARRAYS},
    )
    return Preprocessor(projection, standardisation)


def _style_book(modality: Modality, names: _Names, arrays: Arrays) -> StyleBook:
    batches = np.array(names.batches, dtype=str)
    latents, average = (arrays[f"{modality}.{name}"] for name in _STYLE_ARRAYS)
    return StyleBook(batches, latents, arrays[f"{modality}.offsets"], average)


def _conformal(widths: _Widths, arrays: Arrays) -> Conformal:
    scale, scores = (arrays[f"{widths.source}.{widths.target}.{name}"] for name in _CONFORMAL_ARRAYS)
    return Conformal(scale, widths.groups, widths.n_cells, scores, widths.by)


def _anchors(terms: _Terms, arrays: Arrays) -> Anchors:
    prefix = f"{terms.left}.{terms.right}.anchors"
    return Anchors(**{name: arrays[f"{prefix}.{name}"] for name in _ANCHOR_ARRAYS}, beta=terms.beta)


def _tuning(modality: Modality, arrays: Arrays) -> MomentAlignment:
    return MomentAlignment(**{name: arrays[f"{modality}.tuning.{name}"] for name in _TUNING_ARRAYS})


def _route_arrays(pair: Pair, closed_form: ClosedFormTerms) -> dict[str, NDArray[Any]]:
    """The arrays of a route by name; what a route lacks has none."""
    prefix = ".".join(pair)
    arrays: dict[str, NDArray[Any]] = {}
    if closed_form.kernel is not None:
        arrays |= {
            f"{prefix}.{name}": np.ascontiguousarray(getattr(closed_form.kernel, name)) for name in _KERNEL_ARRAYS
        }
    if closed_form.depth is not None:
        arrays[f"{prefix}.depth"] = closed_form.depth
    if closed_form.log_odds_shrinkage is not None:
        arrays[f"{prefix}.temper"] = closed_form.log_odds_shrinkage
    return arrays


def _route(pair: Pair, share: float, arrays: Arrays) -> ClosedFormTerms:
    prefix = ".".join(pair)
    kernel = None
    if share > 0:
        kernel = KernelRidge(**{name: arrays[f"{prefix}.{name}"] for name in _KERNEL_ARRAYS})
    return ClosedFormTerms(kernel, share, arrays.get(f"{prefix}.depth"), arrays.get(f"{prefix}.temper"))


def _network(config: FitConfig, preprocessors: Mapping[Modality, Preprocessor], weights: Arrays) -> Network:
    """The network of a config with the saved weights in it; the blueprints only give it its sizes."""
    n_content = config.architecture.content_dim
    initial_weights = {}
    for m, preprocessor in preprocessors.items():
        n_codes, n_features = preprocessor.projection.n_codes, len(preprocessor.projection.features)
        initial_weights[m] = InitialWeights(
            encoder=torch.zeros(n_codes, n_content),
            decoder=torch.zeros(n_content, n_codes),
            loadings=torch.zeros(n_features, n_codes),
            intercept=torch.zeros(n_features),
            log_bias=torch.zeros(n_features),
            likelihood=spec_of(m).likelihood(config),
        )
    network = Network(initial_weights, torch.zeros(n_content), config, torch.Generator())
    network.load_state_dict({name: torch.as_tensor(value) for name, value in weights.items()})
    return network
