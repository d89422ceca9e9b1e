"""Checkpoints: the state of training as a folder of JSON and safetensors, from which it resumes bit for bit."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file
from safetensors.torch import save as packed

from unisono.config import FitConfig
from unisono.io.manifest import verify_manifest, write_manifest
from unisono.io.write import MANIFEST, write_folder_atomically
from unisono.messages import bad_input
from unisono.nn.model import Network
from unisono.training.loop import Epoch, Training
from unisono.training.validation import ValidationScores

_STATE, _TENSORS = "state.json", "training.safetensors"
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def save_checkpoint(training: Training, path: Path, config: FitConfig, fingerprint: str) -> None:
    """Replace the checkpoint at `path`, whole or not at all; the previous one stays until the new one is on disk."""
    tensors = {f"network.{name}": value for name, value in training.network.state_dict().items()}
    tensors |= {f"averaged.{name}": value for name, value in training.averaged.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in training.best.items()}
    for name, parameter in training.network.named_parameters():
        state = training.optimiser.state.get(parameter, {})
        tensors |= {f"{moment}.{name}": state[moment] for moment in _MOMENTS if moment in state}
    state = {
        "config": config.model_dump(mode="json"),
        "fingerprint": fingerprint,
        "n_steps": training.n_steps,
        "epochs": [asdict(epoch) for epoch in training.epochs],
    }

    def write(folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / _TENSORS).write_bytes(packed({name: value.contiguous().cpu() for name, value in tensors.items()}))
        (folder / _STATE).write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
        write_manifest(folder)

    write_folder_atomically(path, write, force=True)


def load_checkpoint(network: Network, path: Path, config: FitConfig, fingerprint: str) -> Training:
    """Training as it was when the checkpoint was written; `network` is the untrained one and is changed.

    Raises:
        BadInput: E049 the checkpoint is damaged, or was made with other data or another config.
    """
    verify_manifest(path)
    state = json.loads((path / _STATE).read_text(encoding="utf-8"))
    for what, saved, expected in (
        ("data", state["fingerprint"], fingerprint),
        ("config", FitConfig.model_validate(state["config"]), config),
    ):
        if saved != expected:
            raise bad_input("E049", str(path), f"was made with another {what}.", "fit anew without --resume")
    tensors = load_file(path / _TENSORS, device=str(network.log_scale.device))
    training = Training.start(network, config)
    training.averaged.load_state_dict(_part(tensors, "averaged."))
    training.network.load_state_dict(_part(tensors, "network."))
    training.best = _part(tensors, "best.")
    for name, parameter in training.network.named_parameters():
        moments = {moment: tensors[f"{moment}.{name}"] for moment in _MOMENTS if f"{moment}.{name}" in tensors}
        if moments:
            training.optimiser.state[parameter] = moments | {"step": moments["step"].cpu()}
    training.n_steps = state["n_steps"]
    training.epochs = [
        Epoch(e["number"], e["terms"], ValidationScores(**e["scores"]) if e["scores"] else None, e["is_best"])
        for e in state["epochs"]
    ]
    return training


def discard_checkpoint(path: Path) -> None:
    """Delete a checkpoint that is no longer needed; another folder stays."""
    if (path / _STATE).is_file() and (path / MANIFEST).is_file():
        shutil.rmtree(path)


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
