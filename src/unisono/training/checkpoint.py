"""Checkpoints: the state of training as a folder of JSON and safetensors, from which it resumes bit for bit."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as packed

from unisono.config import FitConfig
from unisono.io.manifest import verify_manifest, write_manifest
from unisono.io.write import CHECKPOINT, STATE_DOCUMENT, write_folder_atomically
from unisono.messages import BadInput, bad_input
from unisono.nn.model import Network
from unisono.training.loop import Epoch, Training, Unfinished
from unisono.training.saved_state import ANEW, SavedState, differing, is_checkpoint, read_state
from unisono.training.validation import ValidationScores

_TENSORS = "training.safetensors"
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")
_COUNTS = ("n_steps", "rate", "n_skipped", "n_in_a_row", "first_skipped")
_OF_UNFINISHED = ("n_batches", "n_summed", "has_rolled_back")


def save_checkpoint(training: Training, path: Path, config: FitConfig, fingerprint: str) -> None:
    """Replace the checkpoint at `path`, whole or not at all; the previous one stays until the new one is on disk.

    Weights that are not finite are never saved: the previous checkpoint then stays, too.
    """
    if not training.is_finite:
        return
    tensors = _weights(training) | {f"sums.{name}": value for name, value in training.unfinished.sums.items()}
    for name, parameter in training.network.named_parameters():
        state = training.optimiser.state.get(parameter, {})
        tensors |= {f"{moment}.{name}": state[moment] for moment in _MOMENTS if moment in state}
    state = SavedState.model_validate(
        {
            "config": config,
            "fingerprint": fingerprint,
            "epochs": tuple(asdict(epoch) for epoch in training.epochs),
        }
        | {name: getattr(training, name) for name in _COUNTS}
        | {name: getattr(training.unfinished, name) for name in _OF_UNFINISHED}
    )

    def write(folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / _TENSORS).write_bytes(packed({name: value.contiguous().cpu() for name, value in tensors.items()}))
        (folder / STATE_DOCUMENT).write_text(state.model_dump_json(indent=1) + "\n", encoding="utf-8")
        write_manifest(folder)

    write_folder_atomically(path, write, force=True, kind=CHECKPOINT)


def state_of_run(path: Path, fingerprint: str, config: FitConfig | None = None) -> SavedState:
    """What a checkpoint says of itself, which was made with these data, and with this config if one is given.

    Raises:
        BadInput: E049 the checkpoint is damaged, or was made with other data or another config.
    """
    try:
        verify_manifest(path)
    except BadInput as error:
        raise BadInput([replace(finding, remedy=ANEW) for finding in error.findings]) from error
    state = read_state(path)
    if state.fingerprint != fingerprint:
        what = f"was made with other data (SHA-256 {state.fingerprint[:12]}…, now {fingerprint[:12]}…)."
        raise bad_input("E049", str(path), what, f"--resume with the data of the first run, or {ANEW}")
    if config is not None and state.config != config:
        what = f"was made with another config: {differing(state.config, config)}."
        raise bad_input("E049", str(path), what, f"--resume with the config of the first run, or {ANEW}")
    return state


def load_checkpoint(network: Network, path: Path, config: FitConfig, fingerprint: str) -> Training:
    """Training as it was when the checkpoint was written; `network` is the untrained one and is changed.

    Raises:
        BadInput: E049 the checkpoint is damaged, or was made with other data or another config.
    """
    state = state_of_run(path, fingerprint, config)
    training = Training.start(network, config)
    tensors = _tensors(path, training, str(network.log_scale.device))
    training.averaged.load_state_dict(_part(tensors, "averaged."))
    training.network.load_state_dict(_part(tensors, "network."))
    training.best = _part(tensors, "best.")
    for name, parameter in training.network.named_parameters():
        moments = {moment: tensors[f"{moment}.{name}"] for moment in _MOMENTS if f"{moment}.{name}" in tensors}
        if moments:
            training.optimiser.state[parameter] = moments | {"step": moments["step"].cpu()}
    for name in _COUNTS:
        setattr(training, name, getattr(state, name))
    counts = {name: getattr(state, name) for name in _OF_UNFINISHED}
    training.unfinished = Unfinished(**counts, sums=_part(tensors, "sums."))
    training.epochs = [
        Epoch(e.number, e.terms, ValidationScores(**e.scores.model_dump()) if e.scores else None, e.is_best)
        for e in state.epochs
    ]
    return training


def discard_checkpoint(path: Path) -> None:
    """Delete a checkpoint that is no longer needed; another folder stays."""
    if is_checkpoint(path):
        shutil.rmtree(path)


def _weights(training: Training) -> dict[str, torch.Tensor]:
    states = {"network": training.network.state_dict(), "averaged": training.averaged.state_dict()}
    return {
        f"{part}.{name}": value for part, of in (states | {"best": training.best}).items() for name, value in of.items()
    }


def _tensors(path: Path, training: Training, device: str) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint, which are those of such a training.

    Raises:
        BadInput: E049 one is missing, unknown, of another shape or type, or not finite.
    """
    try:
        found = load_file(path / _TENSORS, device=device)
    except (SafetensorError, OSError) as error:
        raise bad_input("E049", str(path), f"{_TENSORS} cannot be read ({error}).", ANEW) from error
    wanted = _weights(training)
    problem = _problem(found, wanted, dict(training.network.named_parameters()))
    if problem:
        raise bad_input("E049", str(path), f"{_TENSORS}: {problem}.", ANEW)
    return found


def _problem(
    found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], parameters: Mapping[str, torch.Tensor]
) -> str:
    """What is wrong with the tensors of a checkpoint; '' where nothing is."""
    shapes = {name: value.shape for name, value in wanted.items()}
    shapes |= {f"{moment}.{name}": value.shape for moment in _MOMENTS[:2] for name, value in parameters.items()}
    shapes |= {f"{_MOMENTS[2]}.{name}": torch.Size() for name in parameters}
    missing = [name for name in wanted if name not in found]
    missing += [
        f"{moment}.{name}"
        for name in parameters
        for moment in _MOMENTS
        if any(f"{one}.{name}" in found for one in _MOMENTS) and f"{moment}.{name}" not in found
    ]
    if missing:
        return f"{missing[0]} is missing"
    for name, value in found.items():
        shape = torch.Size() if name.startswith("sums.") else shapes.get(name)
        if shape is None:
            return f"{name} is unknown"
        if value.shape != shape or value.dtype != torch.float32:
            return f"{name} is {value.dtype} of shape {tuple(value.shape)}, expected torch.float32 of {tuple(shape)}"
        if not torch.isfinite(value).all():
            return f"{name} is not finite"
    return ""


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
