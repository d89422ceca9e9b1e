"""The two ways to a fitted model: fit one on training data, or load one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from unisono.config import FitConfig, Preset
from unisono.device import choose_device
from unisono.inference.record import Unlabelled
from unisono.io.fingerprint import fingerprint
from unisono.io.read import cells_from_mudata
from unisono.io.unlabelled import with_unlabelled
from unisono.messages import warn
from unisono.model import store
from unisono.model.unisono import Unisono
from unisono.training.fit import Run, fit_cells
from unisono.training.loop import OnEpoch

if TYPE_CHECKING:
    from mudata import MuData


def fit(
    mdata: MuData,
    *,
    batch_key: str | None = None,
    modalities: Mapping[str, str] | None = None,
    layer: str | None = None,
    preset: Preset = "default",
    seed: int = 0,
    config: FitConfig | None = None,
    device: str = "auto",
    on_epoch: OnEpoch | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    source_name: str = "data",
    unlabelled: MuData | None = None,
) -> Unisono:
    """Learn to predict and match from cells measured in two or three modalities.

    Args:
        mdata: raw counts of `rna`, `atac`, `adt` under any known name; cells are paired by name and may lack
            modalities, as long as some have two.
        batch_key: obs column of the technical batch (sample, donor, site), in `mdata.obs` or in a modality's obs.
        modalities: name in the file → rna, atac or adt, where the names are unusual.
        layer: where the raw counts are, None for X.
        preset: "fast", "default" or "best".
        seed: equal seeds give equal weights on one CPU.
        config: all choices; replaces `preset` and `seed`.
        device: "auto", or a torch device.
        on_epoch: called after each epoch, for a progress display.
        checkpoint: folder for checkpoints, written every few seconds; None for none.
        resume: resume from that checkpoint if it exists; the weights end up the same to the bit.
        source_name: what messages call the data, usually a file name.
        unlabelled: cells without labels, such as the query to come: they enter the terms within a modality, and
            their pairing is ignored. Figures on these cells are then transductive, as the model's record and every
            later evaluation state.

    Returns:
        The fitted model. `mdata` is not changed.

    Raises:
        BadInput: the data cannot be used; the message names a remedy.

    Examples:
        >>> import unisono as un
        >>> mdata = un.datasets.simulate(n_cells=120, n_genes=60, n_peaks=90, n_proteins=8, seed=1)
        >>> model = un.fit(mdata, batch_key="batch", preset="fast")
        >>> model.predict(mdata, source="rna", target="adt").shape
        (120, 8)
    """
    chosen = config or FitConfig.preset(preset, seed=seed)
    cells, findings = cells_from_mudata(
        mdata, batch_key=batch_key, modalities=modalities, layer=layer, source_name=source_name, need=2
    )
    warn(findings)
    seen: tuple[Unlabelled, ...] = ()
    if unlabelled is not None:
        name = f"{source_name}, unlabelled"
        queried, findings = cells_from_mudata(
            unlabelled, batch_key=batch_key, modalities=modalities, layer=layer, source_name=name, need=1
        )
        warn(findings)
        n_cells = {m: queried.views[m].n_cells for m in queried.modalities if m in cells.views}
        seen = (Unlabelled(how="fit", fingerprint=fingerprint(queried), n_cells=n_cells),)
        cells = with_unlabelled(cells, queried, name)
    run = Run(device, on_epoch, checkpoint, resume)
    return Unisono(fit_cells(cells, chosen, run, batch_key=batch_key, modalities=modalities, unlabelled=seen))


def load(path: str | Path, *, device: str = "auto") -> Unisono:
    """Read a model folder that `Unisono.save` wrote, after verifying every file; nothing is ever unpickled.

    Raises:
        BadInput: E001, E047, E048, E049 or E054, see `unisono.model.store.load`; E052 no such device.
    """
    return Unisono(store.load(path, choose_device(device)))
