"""The main job on real data from the command line: scores, seconds and peak memory, against CCA and ridge.

Protocols:

- pbmc10k_cite: a random fifth of the cells, `un.splits.random_split` with seed 0, is test;
- bmmc_cite: train s1d1, test s1d2;
- snareseq_cortex: train 09A–09G, test 09H;
- simulation: 1,500 cells, split as pbmc10k_cite.

Ridge and CCA are fitted on the codes that the model reads (its preprocessors, batch-centred), on the same training
cells.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
from mudata import MuData
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV

import unisono as un
from unisono_bench.scores import Question
from unisono_bench.studies.cells import read
from unisono_bench.studies.report import Row, Settings, Study, grouped

Codes = NDArray[np.float64]

TEST_BATCH = {"bmmc_cite": "s1d2", "snareseq_cortex": "09H"}


def measure(settings: Settings) -> dict[str, list[Row]]:
    """Every data set and seed; the commands first, since a child is charged with the memory of its parent."""
    tables: dict[str, list[Row]] = {"scores": [], "costs": [], "linear": []}
    for name in settings.data:
        training, test, batch_key = load(name)
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            training.write_h5mu(place / "train.h5mu")
            test.write_h5mu(place / "test.h5mu")
            for seed in range(settings.n_seeds):
                for command, cost in commands(place, test, seed, settings.preset, batch_key):
                    tables["costs"].append({"data": name, "seed": seed, "command": command, **cost})
                tables["scores"] += [{"data": name, "seed": seed, **row} for row in written(place / f"scores{seed}")]
        tables["linear"] += [{"data": name, **row} for row in linear(training, test, batch_key)]
    return tables


def load(name: str) -> tuple[MuData, MuData, str | None]:
    """Training and test cells, and the batch column."""
    if name == "simulation":
        mdata = un.datasets.simulate(n_cells=1500, seed=0)
        return *un.splits.random_split(mdata).take(mdata), "batch"
    mdata = read(name)
    if name not in TEST_BATCH:
        return *un.splits.random_split(mdata).take(mdata), None
    return *un.splits.by_groups(mdata, "batch", test=[TEST_BATCH[name]]).take(mdata), "batch"


def commands(
    place: Path, test: MuData, seed: int, preset: str, batch_key: str | None
) -> Iterator[tuple[str, dict[str, float]]]:
    """Every command once, as a user would call it; the first pair of modalities is predicted and matched."""
    left, right = [kind for kind in un.modalities.registered() if kind in test.mod][-2:]
    model, query = str(place / f"model{seed}"), str(place / "test.h5mu")
    fit = ["fit", str(place / "train.h5mu"), "-o", model, "--seed", str(seed), "--preset", preset]
    yield "fit", with_cost(fit + (["--batch-key", batch_key] if batch_key else []))
    yield "predict", with_cost(["predict", model, query, "--from", left, "--to", right, "-o", f"{model}-p.h5ad"])
    yield "match", with_cost(["match", model, query, "--between", f"{left},{right}", "-o", f"{model}-m.h5ad"])
    yield "embed", with_cost(["embed", model, query, "-o", f"{model}-e.h5mu"])
    yield "evaluate", with_cost(["evaluate", model, query, "-o", str(place / f"scores{seed}")])


def written(folder: Path) -> Iterator[Row]:
    """The rows of metrics.json."""
    said = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["table"]
    for task, rows in said.items():
        for row in rows:
            if row["value"] is not None:
                yield {"task": task, **{name: value for name, value in row.items() if name != "chance"}}


def with_cost(arguments: list[str]) -> dict[str, float]:
    """Wall and CPU seconds and peak memory of one command, start-up included."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "unisono.cli", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall, process.returncode = time.perf_counter() - began, os.waitstatus_to_exitcode(status)
    if status:
        raise ChildProcessError(f"unisono {' '.join(arguments)} ended with {process.returncode}")
    cpu = usage.ru_utime + usage.ru_stime
    return {"seconds": round(wall, 2), "cpu_seconds": round(cpu, 2), "peak_gb": round(usage.ru_maxrss / 2**20, 3)}


def linear(training: MuData, test: MuData, batch_key: str | None) -> Iterator[Row]:
    """Ridge (penalty by leave-one-out) and CCA on the model's own codes, the hardest linear methods to beat.

    Of CCA the number of dimensions that suits the test cells best, in its favour.
    """
    learning, tested = (un.read_cells(part, batch_key=batch_key) for part in (training, test))
    codes, unseen = {}, {}
    for m, view in learning.views.items():
        preprocessor = un.preprocessing.Preprocessor.fit(view, un.FitConfig())
        codes[m] = preprocessor.transform(view).x[learning.rows[m]].astype(np.float64)
        unseen[m] = preprocessor.transform(tested.views[m]).x[tested.rows[m]].astype(np.float64)
    for source, target in permutations(learning.modalities, 2):
        measured = un.preprocessing.on_scale(learning.views[target])[learning.rows[target]].toarray()
        ridge = RidgeCV(alphas=np.logspace(-2, 5, 15)).fit(codes[source], measured)
        truth = un.preprocessing.on_scale(tested.views[target])[tested.rows[target]]
        is_binary = un.modalities.spec_of(target).is_binary
        found = un.metrics.prediction_metrics(truth, ridge.predict(unseen[source]), is_binary=is_binary)
        for metric, value in found.items():
            yield {**Question("prediction", source, target)._asdict(), "metric": metric, "value": value}
    for left, right in combinations(learning.modalities, 2):
        best = min(un.metrics.foscttm(*canonical(codes, unseen, left, right, n)) for n in (10, 16, 32))
        yield {**Question("matching", left, right)._asdict(), "metric": "foscttm", "value": best}


def canonical(
    codes: Mapping[str, Codes], unseen: Mapping[str, Codes], left: str, right: str, n_dims: int
) -> tuple[Codes, Codes]:
    """Unseen cells on the leading canonical variates, weighted by the root of their correlation, at unit length."""
    n_cells = len(codes[left])
    roots = {}
    for m in (left, right):
        values, vectors = np.linalg.eigh(codes[m].T @ codes[m] / n_cells)
        roots[m] = (vectors / np.sqrt(np.maximum(values, 1e-9))) @ vectors.T
    u, rho, vt = np.linalg.svd(roots[left] @ (codes[left].T @ codes[right] / n_cells) @ roots[right])
    keep = slice(0, min(n_dims, len(rho)))
    x, y = unseen[left] @ roots[left] @ u[:, keep], unseen[right] @ roots[right] @ vt[keep].T
    return _unit(x * np.sqrt(rho[keep])), _unit(y * np.sqrt(rho[keep]))


def _unit(vectors: Codes) -> Codes:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def tell(results: Mapping[str, list[Row]], settings: Settings) -> str:
    """Score by score the mean over seeds with the range, the linear baseline, and the costs."""
    lines = ["| data | figure | unisono, mean (min–max) | linear on the same codes |", "| --- | --- | --- | --- |"]
    linear_values = {(row["data"], label(row)): row["value"] for row in results["linear"]}
    for (data, figure), rows in grouped(results["scores"], lambda row: (row["data"], label(row))).items():
        values = [row["value"] for row in rows]
        known = linear_values.get((data, figure))
        spread = f"{np.mean(values):.4f} ({min(values):.4f}–{max(values):.4f})"
        lines.append(f"| {data} | {figure} | {spread} | {'' if known is None else f'{known:.4f}'} |")
    lines += ["", "| data | command | seconds | CPU seconds | peak GB |", "| --- | --- | --- | --- | --- |"]
    for (data, command), rows in grouped(results["costs"], lambda row: (row["data"], row["command"])).items():
        seconds, cpu, peak = (float(np.median([row[k] for row in rows])) for k in ("seconds", "cpu_seconds", "peak_gb"))
        lines.append(f"| {data} | {command} | {seconds:.1f} | {cpu:.1f} | {peak:.2f} |")
    return "\n".join(lines) + "\n"


def label(row: Row) -> str:
    """For display alone."""
    return Question(row["task"], row["source"], row["target"], row["within"], row["depth"]).label(row["metric"])


STUDY = Study(
    "The main job: {data}", ("pbmc10k_cite", *TEST_BATCH, "simulation"), "default", measure, tell, is_apart=True
)
