"""Run one method's script on a request folder: reads cells, hands them over, writes arrays, time, memory, versions.

    python -I frame.py SCRIPT.py TASK_FOLDER

It runs in the method's environment and imports numpy, scipy and anndata alone. A script offers `VERSIONS`, the names of
the distributions that matter, and `answer(work)`, which returns an `Answers`; both classes reach it by duck typing.
"""

from __future__ import annotations

import importlib.util
import json
import platform
import sys
import time
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FORMAT = 1
"""Of the folder; see unisono_bench.published.exchange."""

Array = NDArray[np.floating[Any]]


class Prediction(NamedTuple):
    """Cells of one modality, and the modality wanted."""

    source: str
    target: str
    cells: Any


class Matching(NamedTuple):
    """Cells of two modalities, in no common order."""

    left_modality: str
    right_modality: str
    left: Any
    right: Any


@dataclass(frozen=True, eq=False)
class Work:
    """The request as a script sees it: AnnData of raw counts with `obs["batch"]`; rows of training cells are paired.

    Attributes:
        training: modality -> cells; only the cells that have every modality, in one order.
        predictions: cells to predict for.
        matchings: cells to match.
        seed: of everything random.
        epochs: passes over the data; None for the method's default.
        variant: which form of the method.
        links: table of modality, feature and gene: which gene a peak or protein belongs to.
        folder: where scratch files may lie.
    """

    training: dict[str, Any]
    predictions: list[Prediction]
    matchings: list[Matching]
    seed: int
    epochs: int | None
    variant: str
    links: Any
    folder: Path

    def answers(self) -> Answers:
        """Nothing answered yet."""
        return Answers([None] * len(self.predictions), [None] * len(self.matchings))

    def genes_of(self, *modalities: str) -> list[str]:
        """The genes that each of the modalities says something about: those linked to a feature of each but RNA."""
        known = [set(self.links["gene"][self.links["modality"] == one]) for one in modalities if one != "rna"]
        return sorted(set.intersection(*known)) if known else list(self.training["rna"].var_names)

    def in_genes(self, modality: str, cells: Any, genes: list[str]) -> Any:
        """Cells by genes: the counts of RNA, the sums of the features linked to each gene of other modalities."""
        import anndata
        import pandas as pd
        from scipy import sparse

        if modality == "rna":
            counts = cells[:, genes].X
        else:
            links = self.links[(self.links["modality"] == modality) & self.links["gene"].isin(genes)]
            place = cells.var_names.get_indexer(links["feature"]), pd.Index(genes).get_indexer(links["gene"])
            ones = np.ones(len(links), dtype=np.float32)
            counts = cells.X @ sparse.csr_matrix((ones, place), shape=(cells.n_vars, len(genes)))
        return anndata.AnnData(counts.copy(), obs=cells.obs.copy(), var=pd.DataFrame(index=genes))


@dataclass(eq=False)
class Answers:
    """What a script fills: an array a prediction and a pair of arrays a matching, None for what it does not offer."""

    predictions: list[Array | None]
    matchings: list[tuple[Array, Array] | None]
    notes: list[str] = field(default_factory=list)


def main(script: Path, folder: Path) -> None:
    """Read the request, run the script, write what it answered."""
    method = load(script)
    work = read(folder)
    wall, cpu = time.perf_counter(), cpu_seconds()
    answers = method.answer(work)
    said = {
        "wall_s": time.perf_counter() - wall,
        "cpu_s": cpu_seconds() - cpu,
        "peak_bytes": peak_bytes(),
        "versions": versions(["numpy", "scipy", "anndata", *method.VERSIONS]),
        "notes": list(dict.fromkeys(answers.notes)),
    }
    for i, values in enumerate(answers.predictions):
        save(folder / f"prediction_{i}.npy", values)
    for i, pair in enumerate(answers.matchings):
        left, right = pair or (None, None)
        save(folder / f"left_{i}.npy", left)
        save(folder / f"right_{i}.npy", right)
    (folder / "response.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


def load(script: Path) -> ModuleType:
    """The script as a module of another name: scvi.py must not hide the library scvi."""
    spec = importlib.util.spec_from_file_location(f"method_script_{script.stem}", script)
    if spec is None or spec.loader is None:
        raise ValueError(f"{script} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def read(folder: Path) -> Work:
    """The request of a folder."""
    import pandas as pd

    said = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    if said["format"] != FORMAT:
        raise ValueError(f"the request is of format {said['format']}, this script reads {FORMAT}")
    return Work(
        training=paired({modality: cells(folder / f"training_{modality}.h5ad") for modality in said["training"]}),
        predictions=[
            Prediction(asked["source"], asked["target"], cells(folder / f"source_{i}.h5ad"))
            for i, asked in enumerate(said["predictions"])
        ],
        matchings=[
            Matching(asked["left"], asked["right"], cells(folder / f"left_{i}.h5ad"), cells(folder / f"right_{i}.h5ad"))
            for i, asked in enumerate(said["matchings"])
        ],
        seed=int(said["seed"]),
        epochs=said["epochs"],
        variant=said["variant"],
        links=pd.read_csv(folder / "links.tsv", sep="\t", dtype=str, keep_default_na=False),
        folder=folder,
    )


def cells(path: Path) -> Any:
    """Cells of one modality, counts as CSR float32."""
    import anndata

    return anndata.read_h5ad(path)


def paired(training: dict[str, Any]) -> dict[str, Any]:
    """The training cells that have every modality, rows joined by name."""
    names = next(iter(training.values())).obs_names
    for adata in training.values():
        names = names[names.isin(adata.obs_names)]
    return {modality: adata[names].copy() for modality, adata in training.items()}


def save(path: Path, values: Array | None) -> None:
    """Write float32; nothing for what was not offered."""
    if values is not None:
        np.save(path, np.ascontiguousarray(values, dtype=np.float32), allow_pickle=False)


def versions(names: list[str]) -> dict[str, str]:
    """Installed versions, 'absent' for what is not."""
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def cpu_seconds() -> float:
    """Seconds of processor time of this process and of those it waited for."""
    import resource

    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def peak_bytes() -> int:
    """Peak resident memory of this process.

    From VmHWM where there is one: on Linux ru_maxrss keeps the peak of the process that started this one, from before
    exec, so a large benchmark would lend its memory to a small method.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
