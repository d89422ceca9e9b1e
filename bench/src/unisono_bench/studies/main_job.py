"""The main job on real data from the command line: figures, seconds and peak memory, beside CCA and ridge.

    for name in pbmc10k_cite bmmc_cite snareseq_cortex simulation; do
        python benchmarks/main_job.py $name --seeds 3 --out docs/benchmarks/main_job
    done

Data are read from UNISONO_DATA, or from ../shared/data beside the repository. Protocols:

- pbmc10k_cite: the first 20 % of numpy.random.default_rng(0).permutation(n) are test;
- bmmc_cite: train s1d1, test s1d2;
- snareseq_cortex: train 09A–09G, test 09H;
- simulation: 1,500 cells, split as pbmc10k_cite.

CCA and ridge are fitted on the same codes as the model (its transforms, batch-centred), on the same training cells.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from itertools import permutations
from pathlib import Path

import mudata
import numpy as np
from sklearn.linear_model import RidgeCV
from written import DATA

from unisono.config import FitConfig
from unisono.datasets import simulate
from unisono.demo import split
from unisono import metrics
from unisono.io.read import cells_from_mudata, read_mudata
from unisono.preprocessing.standardisation import Standardisation
from unisono.preprocessing.projection import Projection, on_scale
from unisono.preprocessing.preprocessor import Preprocessor

HELD_OUT_BATCH = {"bmmc_cite": "s1d2", "snareseq_cortex": "09H"}


def main() -> None:
    """Run every data set and seed, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    # The commands of all data sets first: a child is charged with the memory of this process when it is started.
    ours = {name: run(name, arguments.seeds, arguments.preset) for name in arguments.names}
    results = {name: {"unisono": seeds, "linear": linear(*load(name))} for name, seeds in ours.items()}
    document = {
        "command": f"python benchmarks/main_job.py {' '.join(sys.argv[1:])}",
        "versions": {name: version(name) for name in ("unisono", "torch", "numpy", "scipy", "scikit-learn")},
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "results": results,
    }
    print(table(results))
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        name = "+".join(arguments.names)
        (arguments.out / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        text = f"# The main job: {name}\n\n`{document['command']}`\n\n{table(results)}"
        (arguments.out / f"{name}.md").write_text(text, encoding="utf-8")


def run(name: str, n_seeds: int, preset: str) -> list[dict[str, object]]:
    """Figures of all seeds and what the commands cost."""
    training, test, batch_key = load(name)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        training.write_h5mu(place / "train.h5mu")
        test.write_h5mu(place / "test.h5mu")
        return [commands(place, seed, preset, batch_key) for seed in range(n_seeds)]


def load(name: str) -> tuple[mudata.MuData, mudata.MuData, str | None]:
    """Training and test cells, and the batch column."""
    if name == "simulation":
        return *split(simulate(n_cells=1500, seed=0)), "batch"
    mdata = read_mudata(DATA / f"{name}.h5mu")
    if name not in HELD_OUT_BATCH:
        return *split(mdata), None
    is_test = (mdata.mod["rna"].obs["batch"] == HELD_OUT_BATCH[name]).reindex(mdata.obs_names).to_numpy()
    return mdata[~is_test].copy(), mdata[is_test].copy(), "batch"


def commands(place: Path, seed: int, preset: str, batch_key: str | None) -> dict[str, object]:
    """Every command once, as a user would call it; the first pair of modalities is predicted and matched."""
    kinds = [kind for kind in ("atac", "rna", "adt") if kind in read_mudata(place / "test.h5mu").mod]
    left, right = kinds[-2:]
    model, test = str(place / f"model{seed}"), str(place / "test.h5mu")
    fit = ["fit", str(place / "train.h5mu"), "-o", model, "--seed", str(seed), "--preset", preset]
    cost = {"fit": measured(fit + (["--batch-key", batch_key] if batch_key else []))}
    cost["predict"] = measured(["predict", model, test, "--from", left, "--to", right, "-o", f"{model}-p.h5ad"])
    cost["match"] = measured(["match", model, test, "--between", f"{left},{right}", "-o", f"{model}-m.h5ad"])
    cost["embed"] = measured(["embed", model, test, "-o", f"{model}-e.h5mu"])
    cost["evaluate"] = measured(["evaluate", model, test, "-o", f"{model}-scores"])
    scores = json.loads((Path(f"{model}-scores") / "metrics.json").read_text(encoding="utf-8"))["scores"]
    return {"seed": seed, "scores": scores, "cost": cost}


def measured(arguments: list[str]) -> dict[str, float]:
    """Wall and CPU seconds and peak memory of one command, start-up included."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "unisono.cli", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    if status:
        raise SystemExit(f"unisono {' '.join(arguments)} ended with {os.waitstatus_to_exitcode(status)}")
    cpu = usage.ru_utime + usage.ru_stime
    return {"seconds": round(wall, 2), "cpu_seconds": round(cpu, 2), "peak_gb": round(usage.ru_maxrss / 2**20, 3)}


def linear(training: mudata.MuData, test: mudata.MuData, batch_key: str | None) -> dict[str, float]:
    """Ridge (penalty by leave-one-out) and CCA on the codes that the model reads, all cells of the training set."""
    config = FitConfig.preset("default")
    cells, _ = cells_from_mudata(training, batch_key=batch_key)
    leave_one_out_codes, _ = cells_from_mudata(test, batch_key=batch_key)
    codes, unseen_codes = {}, {}
    for m in cells.modalities:
        projection = Projection.fit(cells.views[m], config)
        counts = projection.counts(cells.views[m])
        preprocessor = Preprocessor(
            projection, Standardisation.fit(projection.codes(counts), counts.batch, counts.log_depth)
        )
        codes[m] = preprocessor.transform_counts(counts).x[cells.rows[m]].astype(np.float64)
        unseen_codes[m] = (
            preprocessor.transform(leave_one_out_codes.views[m]).x[leave_one_out_codes.rows[m]].astype(np.float64)
        )
    scores = {}
    for source, target in permutations(cells.modalities, 2):
        truth = on_scale(cells.views[target])[cells.rows[target]].toarray()
        ridge = RidgeCV(alphas=np.logspace(-2, 5, 15)).fit(codes[source], truth)
        predicted = ridge.predict(unseen_codes[source])
        measured_values = on_scale(leave_one_out_codes.views[target])[leave_one_out_codes.rows[target]]
        scores[f"{source}->{target} pearson"] = metrics.mean_pearson(measured_values.toarray(), predicted)
        scores[f"{source}->{target} rmse"] = metrics.rmse(measured_values.toarray(), predicted)
        if target == "atac":
            per_peak = metrics.auroc_per_feature(measured_values.tocsr(), predicted)
            scores[f"{source}->{target} auroc"] = float(np.nanmean(per_peak)) if np.isfinite(per_peak).any() else 0.5
    for left, right in permutations(cells.modalities, 2):
        if cells.modalities.index(left) < cells.modalities.index(right):
            best = min((metrics.foscttm(*canonical(codes, unseen_codes, left, right, k)), k) for k in (10, 16, 32))
            scores[f"{left}~{right} foscttm"], scores[f"{left}~{right} cca dimensions"] = best
    return scores


def canonical(
    codes: dict[str, np.ndarray], leave_one_out_codes: dict[str, np.ndarray], left: str, right: str, n_dims: int
) -> tuple[np.ndarray, np.ndarray]:
    """Unseen cells on the leading canonical variates, weighted by the root of their correlation, at unit length."""
    n_cells = len(codes[left])
    roots = {}
    for m in (left, right):
        values, vectors = np.linalg.eigh(codes[m].T @ codes[m] / n_cells)
        roots[m] = (vectors / np.sqrt(np.maximum(values, 1e-9))) @ vectors.T
    u, rho, vt = np.linalg.svd(roots[left] @ (codes[left].T @ codes[right] / n_cells) @ roots[right])
    keep = slice(0, min(n_dims, len(rho)))
    sides = leave_one_out_codes[left] @ roots[left] @ u[:, keep], leave_one_out_codes[right] @ roots[right] @ vt[keep].T
    unit = [side * np.sqrt(rho[keep]) for side in sides]
    return tuple(side / np.linalg.norm(side, axis=1, keepdims=True) for side in unit)  # type: ignore[return-value]


def table(results: dict[str, dict]) -> str:
    """Markdown: figure by figure the mean over seeds with the range, the linear baseline, and the cost."""
    lines = ["| data | figure | unisono, mean (min–max) | linear on the same codes |", "| --- | --- | --- | --- |"]
    for name, result in results.items():
        for figure in result["unisono"][0]["scores"]:
            values = [seed["scores"][figure] for seed in result["unisono"]]
            linear_value = result["linear"].get(figure)
            beside = f"{linear_value:.4f}" if linear_value is not None else ""
            spread = f"{np.mean(values):.4f} ({min(values):.4f}–{max(values):.4f})"
            lines.append(f"| {name} | {figure} | {spread} | {beside} |")
    lines += ["", "| data | command | seconds | CPU seconds | peak GB |", "| --- | --- | --- | --- | --- |"]
    for name, result in results.items():
        for command in result["unisono"][0]["cost"]:
            costs = [seed["cost"][command] for seed in result["unisono"]]
            median = {key: float(np.median([cost[key] for cost in costs])) for key in costs[0]}
            lines.append(
                f"| {name} | {command} | {median['seconds']:.1f} | {median['cpu_seconds']:.1f} "
                f"| {median['peak_gb']:.2f} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
