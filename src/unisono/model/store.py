"""A fitted model as a folder of JSON and safetensors, written whole and verified before it is read; never unpickles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.numpy import save as packed

from unisono.config import FitConfig
from unisono.inference.fitted_model import FittedModel
from unisono.inference.predictor import Predictor
from unisono.inference.record import Record
from unisono.io.dataclass_store import Arrays, flatten, restore
from unisono.io.manifest import verify_manifest, write_manifest
from unisono.io.write import write_folder_atomically
from unisono.messages import BadInput, bad_input
from unisono.modalities import registered, spec_of
from unisono.nn.model import Network

_CONFIG, _RECORD, _MODEL = "config.json", "record.json", "model.json"
_ARRAYS, _WEIGHTS = "arrays.safetensors", "weights.safetensors"
_DOCUMENTS = {"config", "record"}


def save(model: FittedModel, path: str | Path, *, compact: bool = False, force: bool = False) -> None:
    """Write a model folder; see `Unisono.save`."""
    write_folder_atomically(path, lambda folder: _write(model, folder, np.float16 if compact else None), force=force)


def load(path: str | Path, device: torch.device) -> FittedModel:
    """Read a model folder.

    Raises:
        BadInput: E001 no such folder, E043 a modality that is not registered, E047 a file or a pickle, E048 written by
            a newer version, E049 a file missing, changed or not of this model, E054 a link or a name that leads out of
            the folder.
    """
    folder = Path(path)
    verify_manifest(folder)
    absent = [name for name in (_CONFIG, _RECORD, _MODEL, _ARRAYS, _WEIGHTS) if not (folder / name).is_file()]
    if absent:
        what = f"no {absent[0]}: not a model folder."
        raise bad_input("E049", str(folder), what, "give the folder that unisono fit, or Unisono.save, wrote")
    try:
        return _read(folder, device)
    except BadInput:
        raise
    except (ValidationError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        what = f"cannot be read by this version: {str(error).splitlines()[0]}."
        raise bad_input("E048", str(folder), what, "upgrade unisono, or fit the model again") from error


def _write(model: FittedModel, folder: Path, as_type: type[np.float16] | None) -> None:
    folder.mkdir(exist_ok=True)
    arrays: Arrays = {}
    parts = {f.name: getattr(model, f.name) for f in fields(model) if f.name not in _DOCUMENTS}
    parts["predictor"] = {f.name: getattr(model.predictor, f.name) for f in fields(Predictor) if f.name != "network"}
    tree = {name: flatten(part, name, arrays) for name, part in parts.items()}
    documents = {_CONFIG: model.config.model_dump(mode="json"), _RECORD: model.record.model_dump(mode="json")}
    for name, document in (documents | {_MODEL: tree}).items():
        (folder / name).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    weights = {name: value.cpu().numpy() for name, value in model.predictor.network.state_dict().items()}
    for name, file in ((_ARRAYS, arrays), (_WEIGHTS, weights)):
        (folder / name).write_bytes(packed({key: _narrowed(value, as_type) for key, value in file.items()}))
    write_manifest(folder)


def _read(folder: Path, device: torch.device) -> FittedModel:
    config = FitConfig.model_validate_json(_text(folder, _CONFIG))
    record = Record.model_validate_json(_text(folder, _RECORD))
    tree, arrays = json.loads(_text(folder, _MODEL)), _widened(load_file(folder / _ARRAYS))
    weights = {name: torch.as_tensor(value) for name, value in _widened(load_file(folder / _WEIGHTS)).items()}
    names = list(tree["predictor"]["preprocessors"])
    _require_registered(names, folder)
    likelihoods = {m: spec_of(m).likelihood(config) for m in names}
    network = Network.of_state(config, likelihoods, weights).to(device).eval()
    predictor = Predictor(network, **_restored(Predictor, tree.pop("predictor"), arrays))
    return FittedModel(config=config, record=record, predictor=predictor, **_restored(FittedModel, tree, arrays))


def _narrowed(values: NDArray[Any], as_type: type[np.float16] | None) -> NDArray[Any]:
    """Single precision as another type, where the values fit into it."""
    values = np.ascontiguousarray(values)
    if as_type is None or values.dtype != np.float32:
        return values
    is_large = np.abs(values[np.isfinite(values)]).max(initial=0.0) > np.finfo(as_type).max
    return values if is_large else values.astype(as_type)


def _widened(arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """Half precision as single precision, which is what a model computes in."""
    return {name: value.astype(np.float32) if value.dtype == np.float16 else value for name, value in arrays.items()}


def _restored(kind: type, tree: dict[str, Any], arrays: Arrays) -> dict[str, Any]:
    """The parts of a dataclass by name."""
    hints = get_type_hints(kind)
    return {name: restore(hints[name], part, arrays) for name, part in tree.items()}


def _require_registered(names: list[str], folder: Path) -> None:
    unknown = [name for name in names if name not in registered()]
    if unknown:
        what = f"has the modality {unknown[0]}, which is not registered (known: {', '.join(registered())})."
        raise bad_input("E043", str(folder), what, "call unisono.modalities.register with it before loading")


def _text(folder: Path, name: str) -> str:
    return (folder / name).read_text(encoding="utf-8")
