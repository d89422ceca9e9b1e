"""The demonstration: the whole main job from raw counts to scores, on simulated cells or on a file of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations, permutations
from pathlib import Path
from typing import TYPE_CHECKING

from unisono.api import fit
from unisono.config import FitConfig
from unisono.evaluation.score_table import Scores
from unisono.evaluation.scores import evaluate
from unisono.io.open import open_data
from unisono.io.tables import write_prediction
from unisono.io.write import write_json
from unisono.messages import bad_input, warn
from unisono.model.unisono import Unisono
from unisono.splits import random_split

if TYPE_CHECKING:
    from mudata import MuData

Score = Callable[[Path, Unisono, "MuData", str], Scores]
"""Of the folder of the results, the model, the test cells and what messages call these."""

_N_CELLS = 1200


def run(
    out: Path,
    *,
    config: FitConfig,
    data: Path | None = None,
    batch_key: str | None = None,
    modalities: Mapping[str, str] | None = None,
    device: str = "auto",
    force: bool = False,
    progress: bool | None = None,
    score: Score | None = None,
    say: Callable[[str], None],
) -> Scores:
    """Fit on four fifths of the cells, predict, match and score the rest; everything lands in the folder `out`.

    The test cells are those of `unisono.splits.random_split`. `score` writes what it finds into the folder; by default
    metrics.json alone. `progress` as of `fit`.

    Raises:
        BadInput: the file cannot be used, or `out` holds something and `force` is not set.
    """
    if out.exists() and not out.is_dir():
        raise bad_input("E055", str(out), "is a file, expected a folder.", "give another folder with -o")
    if out.exists() and any(out.iterdir()) and not force:
        raise bad_input("E055", str(out), "exists and is not empty.", "give --force, or another folder with -o")
    if data is None:
        from unisono.datasets import simulate

        say(f"simulating {_N_CELLS} cells: chromatin drives transcription drives protein")
        mdata, source_name = simulate(n_cells=_N_CELLS, seed=config.seed), "simulation"
        batch_key = batch_key or "batch"
    else:
        mdata, findings = open_data(data)
        source_name = data.name
        warn(findings)
    training, test = random_split(mdata, modalities=modalities).take(mdata)
    say(f"fitting on {training.n_obs:,} of {mdata.n_obs:,} cells")
    model = fit(
        training,
        batch_key=batch_key,
        modalities=modalities,
        config=config,
        device=device,
        progress=progress,
        source_name=source_name,
    )
    out.mkdir(parents=True, exist_ok=True)
    model.save(out / "model", force=force)
    _write_outputs(model, test, out, source_name, force)
    say(f"scoring both tasks on {test.n_obs:,} cells that the fit has not seen")
    scores = (score or _score)(out, model, test, source_name)
    say(f"model, predictions, matchings and metrics are in {out}")
    return scores


def _score(out: Path, model: Unisono, test: MuData, source_name: str) -> Scores:
    scores = evaluate(model, test, source_name=source_name)
    write_json(
        out / "metrics.json", {"scores": scores.named(), "table": scores.to_dict(), "label_key": scores.label_key}
    )
    return scores


def _write_outputs(model: Unisono, test: MuData, out: Path, source_name: str, force: bool) -> None:
    """Every prediction and every matching of the test cells, as files."""
    for source, target in permutations(model.modalities, 2):
        prediction = model.prediction(test, source, target, source_name=source_name)
        write_prediction(prediction, out / f"{target}-from-{source}.h5ad", force=force)
    for left, right in combinations(model.modalities, 2):
        found = model.match(test, test, between=(left, right))
        found.write(out / f"{left}-to-{right}.h5ad", force=force)
