"""From 10,000 cells up: CPU and wall seconds and peak memory of each command, on made cells of three modalities.

Every command is run as a user would, in a process of its own, start-up, reading and writing included. The model that
answers is fitted to 10,000 cells, whatever the number that is asked about, so that the costs of answering are told
apart from those of fitting. Candidates of matching are compared with faiss on the same vectors in one process, and of a
fit that reads its cells by rows it is measured for how much of the time the networks learn.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from unisono_bench.plots import written
from unisono_bench.studies import loader, made_cells
from unisono_bench.studies.main_job import with_cost
from unisono_bench.studies.report import Row, Settings, Study, grouped
from unisono_bench.subprocesses import Failed, run_in_subprocess

if TYPE_CHECKING:
    from unisono.matching import MatchPosterior

SIZES = {"10k": 10_000, "30k": 30_000, "100k": 100_000, "300k": 300_000, "1M": 1_000_000}
_N_DIMENSIONS, _K, _TOP = 64, 200, 50
_PAIRS_OF_BETA = 4000
_MAX_COMPARED = 100_000
"""Cells of a side up to which all pairs are compared, and up to which every value is written."""
_COMPARED = (10_000, 30_000, 50_000, 100_000)
_STREAMED = 100_000


def measure(settings: Settings) -> dict[str, list[Row]]:
    """Every size, every command; then candidates against faiss."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in settings.data:
            found = partial(of_size, SIZES[name], settings.preset, Path(folder))
            rows += settings.kept.rows(f"{name} cells", [settings.preset], lambda f=found: list(f()))  # type: ignore[misc]
        largest = max(SIZES[name] for name in settings.data)
        shares = []
        if largest >= _STREAMED:
            _make(_STREAMED, 0, data := Path(folder) / "loader.zarr")
            shares = [loader.share(_STREAMED, data, settings.preset)]
    compared = [row for n_cells in _COMPARED if n_cells <= largest for row in candidates(n_cells)]
    return {"rows": rows, "candidates": compared, "loader": shares}


def of_size(n_cells: int, preset: str, place: Path, n_fitted: int = SIZES["10k"]) -> Iterator[Row]:
    """The cost of each command for so many cells."""
    training, model = place / "training.zarr", place / "model"
    if not model.exists():
        _make(n_fitted, 1, training)
        with_cost(_fit(training, model, preset))
    query = place / "query.zarr"
    shutil.rmtree(query, ignore_errors=True)
    _make(n_cells, 0, query)
    commands = {
        "fit": _fit(query, place / "fitted", preset),
        "embed": ["embed", str(model), str(query), "-o", str(place / "e.zarr"), "--force"],
        "predict rna → adt": _predict(model, query, "adt", place / "p.h5ad"),
        "predict rna → atac, factored": [*_predict(model, query, "atac", place / "f.h5ad"), "--factored"],
    }
    if n_cells <= _MAX_COMPARED:
        match = ["match", str(model), str(query), "--between", "rna,adt", "--top", "50"]
        commands["predict rna → atac, zarr"] = _predict(model, query, "atac", place / "a.zarr")
        commands["match rna, adt, top 50"] = [*match, "-o", str(place / "m.h5ad"), "--force"]
    for stage, command in commands.items():
        yield {"n_cells": n_cells, "stage": stage, **with_cost(command)}


def _make(n_cells: int, seed: int, path: Path) -> None:
    """Write made cells, in a process of its own: what this one holds is charged to the commands that it starts."""
    done = run_in_subprocess(partial(made_cells.write, n_cells, seed, path), path.with_suffix(".log"))
    if isinstance(done, Failed):
        raise ChildProcessError(f"{n_cells:,} cells could not be made: {done.reason}")


def _fit(data: Path, model: Path, preset: str) -> list[str]:
    return ["fit", str(data), "-o", str(model), "--batch-key", "batch", "--preset", preset, "--force"]


def _predict(model: Path, query: Path, target: str, out: Path) -> list[str]:
    return ["predict", str(model), str(query), "--from", "rna", "--to", target, "-o", str(out), "--force"]


def candidates(n_cells: int) -> Iterator[Row]:
    """CPU seconds of the candidates of so many cells on either side, of faiss and of the bare product."""
    from unisono.matching import nearest

    left, right = vectors(n_cells)
    began = process_time()
    nearest(left, right, _K)
    yield {"n_cells": n_cells, "way": f"unisono, both ways, k {_K}", "cpu_seconds": round(process_time() - began, 2)}
    yield {"n_cells": n_cells, "way": "bare product", "cpu_seconds": round(_product(left, right), 2)}
    yield {
        "n_cells": n_cells,
        "way": f"unisono, soft match, top {_TOP}",
        "cpu_seconds": round(soft_match(left, right)[1]["cpu_seconds"], 2),
    }
    try:
        import faiss
    except ImportError:
        return
    faiss.omp_set_num_threads(1)
    for k in (10, _K):
        began = process_time()
        for query, reference in ((left, right), (right, left)):
            index = faiss.IndexFlatIP(_N_DIMENSIONS)
            index.add(reference)
            index.search(query, k)
        cost = round(process_time() - began, 2)
        yield {"n_cells": n_cells, "way": f"faiss flat, both ways, k {k}", "cpu_seconds": cost}


def soft_match(left: NDArray[np.float32], right: NDArray[np.float32]) -> tuple[MatchPosterior, dict[str, float]]:
    """Candidates, Sinkhorn and the probabilities of the likeliest, row i of both being one cell; and what they cost."""
    from unisono.matching import Similarity, fit_beta, match_cells

    some = np.linspace(0, len(left) - 1, min(_PAIRS_OF_BETA, len(left))).astype(int)
    beta = fit_beta(left[some], right[some])
    wall, cpu = perf_counter(), process_time()
    found = match_cells(Similarity(left, right, beta), rule="soft", max_partners=_TOP)
    return found, {"seconds": perf_counter() - wall, "cpu_seconds": process_time() - cpu}


def _product(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    began = process_time()
    for start in range(0, len(left), 1000):
        left[start : start + 1000] @ right.T
    return process_time() - began


def vectors(n_cells: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Unit vectors of partners about the centres of 20 types, left and right."""
    rng = np.random.default_rng(seed)
    spread = np.geomspace(1.0, 0.1, 32)
    content = rng.normal(size=(n_cells, 32)) * spread
    content += (rng.normal(size=(20, 32)) * spread)[rng.integers(0, 20, n_cells)]
    embed = rng.normal(size=(32, _N_DIMENSIONS))
    left, right = ((content + 0.35 * rng.normal(size=content.shape)) @ embed for _ in range(2))
    return _unit(left), _unit(right)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def tell(results: Mapping[str, list[Row]], settings: Settings) -> str:
    """A table of costs with slopes, and one of candidates."""
    return (
        f"Preset {settings.preset}. {_TEXT}\n\n{cost_table(results['rows'])}\n## Candidates\n\n"
        f"Of as many cells on either side, 64 dimensions, one thread; `faiss flat` is exact too.\n\n"
        f"{candidate_table(results['candidates'])}{loader.text(results['loader'])}"
    )


def cost_table(rows: list[Row]) -> str:
    """Markdown: CPU seconds, wall seconds and peak memory by stage and size, and how CPU grows with cells."""
    sizes = sorted({row["n_cells"] for row in rows})
    head = ["stage", *(f"{n:,} cells" for n in sizes), "slope"]
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for (stage,), some in grouped(rows, lambda row: (row["stage"],)).items():
        by_size = {row["n_cells"]: row for row in some}
        cells = [_cost(by_size[n]) if n in by_size else "" for n in sizes]
        lines.append(f"| {stage} | {' | '.join(cells)} | {_slope(some)} |")
    return "\n".join(lines) + "\n"


def _cost(row: Row) -> str:
    return f"{row['cpu_seconds']:.0f} s, {row['seconds']:.0f} s, {row['peak_gb']:.2f} GiB"


def _slope(rows: list[Row]) -> str:
    """The exponent of cells by which CPU seconds grow from the second largest to the largest."""
    last = sorted(rows, key=lambda row: row["n_cells"])[-2:]
    if len(last) < 2:
        return ""
    x, y = ([np.log(row[name]) for row in last] for name in ("n_cells", "cpu_seconds"))
    return f"{(y[1] - y[0]) / (x[1] - x[0]):.2f}"


def candidate_table(rows: list[Row]) -> str:
    """Markdown: CPU seconds by way and size."""
    sizes = sorted({row["n_cells"] for row in rows})
    lines = [f"| way | {' | '.join(f'{n:,}' for n in sizes)} |", "|" + " --- |" * (1 + len(sizes))]
    for (way,), some in grouped(rows, lambda row: (row["way"],)).items():
        by_size = {row["n_cells"]: f"{row['cpu_seconds']:.1f} s" for row in some}
        lines.append(f"| {way} | {' | '.join(by_size.get(n, '') for n in sizes)} |")
    return "\n".join(lines) + "\n"


def draw(results: Mapping[str, list[Row]], settings: Settings, folder: Path) -> None:
    """Write scale.png: CPU seconds and peak memory over cells, both logarithmic."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    for panel, (name, label) in zip(
        figure.subplots(1, 2), {"cpu_seconds": "CPU seconds", "peak_gb": "peak memory (GiB)"}.items(), strict=True
    ):
        for (stage,), some in grouped(results["rows"], lambda row: (row["stage"],)).items():
            some = sorted(some, key=lambda row: row["n_cells"])
            panel.plot([row["n_cells"] for row in some], [row[name] for row in some], "o-", markersize=4, label=stage)
        panel.set(xscale="log", yscale="log", xlabel="cells", title=label)
        panel.grid(alpha=0.3)
    figure.legend(*panel.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    written(figure, folder / "scale.png")


_TEXT = """\
CPU seconds, wall seconds and peak memory of each command on two cores, start-up, reading and writing included; slope is
the exponent of cells by which CPU seconds grow between the two largest sizes. Cells have 2,000 genes, 20,000 peaks and
100 proteins; the model that answers was fitted to 10,000 of them."""

STUDY = Study("Cells and cost", tuple(SIZES), "fast", measure, tell, draw=draw)
