"""A fitted model as a folder of JSON and safetensors, written whole and verified before it is read; never unpickles."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from importlib.metadata import version
from itertools import combinations, product
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save as packed

from unisono.config import FitConfig
from unisono.inference.fitted_model import FittedModel
from unisono.inference.predictor import Predictor
from unisono.inference.record import Record
from unisono.io.dataclass_store import Arrays, MisfitError, flatten, restore
from unisono.io.documents import damaged, document, read_arrays, shown, shown_text, validated
from unisono.io.manifest import require_files, verify_manifest, write_manifest
from unisono.io.write import write_folder_atomically
from unisono.messages import BadInput, bad_input
from unisono.modalities import check_config, registered, spec_of
from unisono.model.joints import misfits
from unisono.nn.model import Network

_CONFIG, _RECORD, _MODEL = "config.json", "record.json", "model.json"
_ARRAYS, _WEIGHTS = "arrays.safetensors", "weights.safetensors"
FILES = (_CONFIG, _RECORD, _MODEL, _ARRAYS, _WEIGHTS)
"""All files of a model folder but the manifest."""
_DOCUMENTS = {"config", "record"}
_Tree = dict[str, Any]


def save(model: FittedModel, path: str | Path, *, compact: bool = False, force: bool = False) -> None:
    """Write a model folder; see `Unisono.save`."""
    write_folder_atomically(path, lambda folder: _write(model, folder, np.float16 if compact else None), force=force)


def load(path: str | Path, device: torch.device) -> FittedModel:
    """Read a model folder, which may be a stranger's: all of it is held to the limits of its fields before it is used.

    Raises:
        BadInput: E001 no such folder, E043 a modality that is not registered, E047 a file or a pickle, E048 written by
            a newer version, E049 a file missing or changed, or a field of it not of this model, E054 a link, or a name
            that leads out of the folder.
    """
    folder = Path(path)
    verify_manifest(folder)
    require_files(folder, FILES, "a model folder")
    try:
        return _read(folder, device)
    except BadInput as error:
        newer = _newer_version(folder)
        if newer is None:
            raise
        what = f"written by unisono {newer}, this is {version('unisono')}: {error.findings[0].what}"
        raise bad_input("E048", str(folder), what, "upgrade: pip install -U unisono") from error


def contents(model: FittedModel) -> tuple[dict[str, _Tree], dict[str, Arrays]]:
    """What a model folder holds of a model: JSON, and arrays, by the names of files."""
    arrays: Arrays = {}
    parts = {f.name: getattr(model, f.name) for f in fields(model) if f.name not in _DOCUMENTS}
    parts["predictor"] = {f.name: getattr(model.predictor, f.name) for f in fields(Predictor) if f.name != "network"}
    tree = {name: flatten(part, name, arrays) for name, part in parts.items()}
    weights = {
        name: np.ascontiguousarray(value.cpu().numpy()) for name, value in model.predictor.network.state_dict().items()
    }
    config, record = model.config.model_dump(mode="json"), model.record.model_dump(mode="json")
    return {_CONFIG: config, _RECORD: record, _MODEL: tree}, {_ARRAYS: arrays, _WEIGHTS: weights}


def _write(model: FittedModel, folder: Path, as_type: type[np.float16] | None) -> None:
    folder.mkdir(exist_ok=True)
    documents, arrays = contents(model)
    for name, found in documents.items():
        (folder / name).write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, file in arrays.items():
        (folder / name).write_bytes(packed({key: _narrowed(value, as_type) for key, value in file.items()}))
    write_manifest(folder)


def _read(folder: Path, device: torch.device) -> FittedModel:
    config, record = validated(folder, _CONFIG, FitConfig), validated(folder, _RECORD, Record)
    tree, arrays = document(folder, _MODEL), _widened(read_arrays(folder, _ARRAYS))
    names = _modalities(folder, tree, record)
    try:
        check_config(config)
    except BadInput as error:
        raise damaged(folder, _CONFIG, "", error.findings[0].what.rstrip(".")) from error
    weights = _widened(read_arrays(folder, _WEIGHTS))
    sizes = _sizes(folder, config, names, weights)
    parts = _restored(folder, tree, arrays, sizes)
    for file, field, problem in misfits(parts, record, names):
        raise damaged(folder, file, field, problem)
    likelihoods = {m: spec_of(m).likelihood(config) for m in names}
    state = {name: torch.as_tensor(value) for name, value in weights.items()}
    network = Network.of_state(config, likelihoods, state).to(device).eval()
    predictor = Predictor(network, **parts.pop("predictor"))
    return FittedModel(config=config, record=record, predictor=predictor, **parts)


def _narrowed(values: NDArray[Any], as_type: type[np.float16] | None) -> NDArray[Any]:
    """Single precision as another type, where the values fit into it."""
    if as_type is None or values.dtype != np.float32:
        return values
    is_large = np.abs(values[np.isfinite(values)]).max(initial=0.0) > np.finfo(as_type).max
    return values if is_large else values.astype(as_type)


def _widened(arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """Half precision as single precision, which is what a model computes in."""
    return {name: value.astype(np.float32) if value.dtype == np.float16 else value for name, value in arrays.items()}


def _modalities(folder: Path, tree: Any, record: Record) -> list[str]:
    """The modalities of a model, by the keys of its preprocessors; all mappings have the keys that belong to them."""
    wanted = {f.name for f in fields(FittedModel)} - _DOCUMENTS
    _require_keys(folder, "", tree, wanted, wanted)
    wanted = {f.name for f in fields(Predictor)} - {"network"}
    _require_keys(folder, "predictor", tree["predictor"], wanted, wanted)
    names = list(_object(folder, "predictor.preprocessors", tree["predictor"]["preprocessors"]))
    if set(names) != set(record.n_cells):
        found = f"names {shown_text(', '.join(record.n_cells)) or 'none'}, the model {shown_text(', '.join(names))}"
        raise damaged(folder, _RECORD, "n_cells", found)
    unknown = [name for name in names if name not in registered()]
    if unknown:
        what = f"has the modality {shown_text(unknown[0])}, which is not registered (known: {', '.join(registered())})."
        raise bad_input("E043", str(folder), what, "call unisono.modalities.register with it before loading")
    if len(names) < 2:
        raise damaged(folder, _MODEL, "predictor.preprocessors", f"{len(names)} modalities, expected two or more")
    for field, part, required, known in _keys(tree, names):
        _require_keys(folder, field, part, required, known)
    return names


def _keys(tree: _Tree, names: list[str]) -> Iterator[tuple[str, Any, set[str], set[str]]]:
    """Each mapping by modality or pair, with the keys that it must and may have."""
    every, pairs = set(names), {",".join(pair) for pair in product(names, names)}
    for name in ("styles", "terms"):
        keys = every if name == "styles" else pairs
        yield f"predictor.{name}", tree["predictor"][name], keys, keys
    for name in ("novelties", "seen"):
        yield name, tree[name], every, every
    for name in ("moment_alignment", "var"):
        yield name, tree[name], set(), every
    yield "intervals", tree["intervals"], set(), pairs
    for name in ("anchors", "depth_terms"):
        found = tree[name] if isinstance(tree[name], dict) else {}
        oriented = {f"{b},{a}" if f"{b},{a}" in found else f"{a},{b}" for a, b in combinations(names, 2)}
        yield name, tree[name], oriented, oriented


def _require_keys(folder: Path, field: str, part: Any, required: set[str], known: set[str]) -> None:
    found = set(_object(folder, field, part))
    for key in sorted(required - found):
        raise damaged(folder, _MODEL, f"{field}.{key}".lstrip("."), "is missing")
    for key in sorted(found - known):
        raise damaged(folder, _MODEL, f"{field}.{key}".lstrip("."), "is no field that this version knows")


def _object(folder: Path, field: str, part: Any) -> _Tree:
    if not isinstance(part, dict):
        raise damaged(folder, _MODEL, field, f"{shown(part)} where an object is expected")
    return part


def _sizes(folder: Path, config: FitConfig, names: list[str], weights: Arrays) -> dict[str, dict[str, int]]:
    """By modality, the sizes of axes as the weights have them, which are those of the config."""
    found: dict[str, tuple[int, int]] = {}
    for m in names:
        loadings = weights.get(f"heads.{m}.loadings")
        if loadings is None or loadings.ndim != 2 or not loadings.size:
            what = "is missing" if loadings is None else f"shape {loadings.shape}, expected feature x code"
            raise damaged(folder, _WEIGHTS, f"heads.{m}.loadings", what)
        found[m] = loadings.shape[1], loadings.shape[0]
    shapes = Network.shapes(config, found)
    for name in sorted({*shapes, *weights}):
        _require_array(folder, name, shapes.get(name), weights.get(name))
    if not 0 <= (weight := float(weights["linear_weight"][0])) <= 1:
        raise damaged(folder, _WEIGHTS, "linear_weight", f"{weight:.6g}, expected 0 to 1")
    shape, dim = config.architecture, (config.n_members + 1) * (config.architecture.content_dim + 1)
    shared = {"member": config.n_members, "style": shape.style_dim, "dim": dim, "framed": dim + 1}
    return {m: shared | {"code": n_codes, "feature": n_features} for m, (n_codes, n_features) in found.items()}


def _require_array(folder: Path, name: str, shape: tuple[int, ...] | None, found: NDArray[Any] | None) -> None:
    if shape is None or found is None:
        problem = "is missing" if found is None else "is no array of this model"
    elif found.dtype != np.float32 or found.shape != (shape or (1,)):  # numbers are stored as arrays of one
        problem = f"{found.dtype} of shape {found.shape}, expected float32 of shape {shape or (1,)} by {_CONFIG}"
    elif not np.isfinite(found).all():
        problem = f"{int((~np.isfinite(found)).sum()):,} of {found.size:,} values are not finite"
    else:
        return
    raise damaged(folder, _WEIGHTS, name, problem)


def _restored(folder: Path, tree: _Tree, arrays: Arrays, sizes: Mapping[str, dict[str, int]]) -> dict[str, Any]:
    """The parts of the model by name, those of the predictor below its own."""

    def of_entry(key: str | tuple[str, ...]) -> dict[str, int]:
        if isinstance(key, str):
            return sizes[key]
        source, target = sizes[key[0]], sizes[key[1]]
        codes = {"source": source["code"], "target": target["code"], "predictor": source["code"] + 1}
        return {**target, **codes}

    def of(kind: type, tree: _Tree, prefix: str) -> dict[str, Any]:
        hints = get_type_hints(kind, include_extras=True)
        return {name: restore(hints[name], part, f"{prefix}{name}", arrays, of_entry) for name, part in tree.items()}

    try:
        predictor = of(Predictor, tree["predictor"], "predictor.")
        others = of(FittedModel, {name: part for name, part in tree.items() if name != "predictor"}, "")
    except MisfitError as error:
        file = _ARRAYS if error.is_array else _MODEL
        raise damaged(folder, file, error.field, error.problem) from error
    for name in sorted(arrays):
        raise damaged(folder, _ARRAYS, name, "is no array of this model")
    return others | {"predictor": predictor}


def _newer_version(folder: Path) -> str | None:
    """The version of this package that wrote a folder, where it is newer than this one and its record says so."""
    try:
        found = document(folder, _RECORD)["versions"]["unisono"]
        written, own = (tuple(map(int, text.split(".")[:2])) for text in (found, version("unisono")))
    except (BadInput, KeyError, TypeError, ValueError, AttributeError):
        return None
    return shown_text(found) if written > own else None
