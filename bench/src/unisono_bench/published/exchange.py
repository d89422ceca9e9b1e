"""The files between us and a method: a request goes out, arrays come back; nothing is pickled and no pairing leaks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import unisono as un
from unisono_bench.published.environment import Failure
from unisono_bench.published.links import GeneLink, gene_links

FORMAT = 1
"""Of the folder; a script that knows another refuses it."""

_STREAM = 0x5EA1
"""Sets the randomness of the seal apart from that of the seed."""

Values = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PredictionRequest:
    """Predict the target modality of these cells, of which the method sees the source modality alone."""

    source: un.View
    target: str


@dataclass(frozen=True, eq=False)
class MatchingRequest:
    """Give vectors for left and right cells; neither names nor order say who is whose partner."""

    left: un.View
    right: un.View


@dataclass(frozen=True, eq=False)
class Request:
    """What a method is asked in one run: to learn from training cells once, then to answer.

    The cells of each question get names of their own and an order of their own, so that two questions about the same
    cells cannot be joined. A method that learns from the query cells too (totalVI, MultiVI) trains once a question.

    Attributes:
        training: cells with both modalities, those which the method may learn pairs from.
        predictions: what to predict.
        matchings: what to match.
        seed: of everything random.
        epochs: passes over the data, to try whether a method runs; None for the method's own default.
        genes: table of gene positions, see `unisono_bench.published.links.gene_links`; without it the methods that link
            peaks to genes cannot be asked about chromatin.
    """

    training: un.Cells
    predictions: tuple[PredictionRequest, ...] = ()
    matchings: tuple[MatchingRequest, ...] = ()
    seed: int = 0
    epochs: int | None = None
    genes: Path | None = None

    def __post_init__(self) -> None:
        for asked in self.predictions:
            self._check_known(asked.source, asked.target)
        for pair in self.matchings:
            self._check_known(pair.left, pair.right.modality)
            self._check_known(pair.right, pair.left.modality)

    def _check_known(self, view: un.View, other: str) -> None:
        for modality in (view.modality, other):
            if modality not in self.training.views:
                known = ", ".join(self.training.modalities)
                raise ValueError(f"the training cells have {known} and no {modality}: nothing to learn it from")
        known_features = self.training.views[view.modality].features
        if not np.array_equal(view.features, known_features):
            raise ValueError(
                f"{view.modality}: {len(view.features)} features asked about, in another order or of other names than "
                f"the {len(known_features)} of the training cells"
            )


@dataclass(frozen=True, eq=False)
class Vectors:
    """Left and right cells in the order asked, cell x dimension; inner products are similarities of any scale."""

    left: Values
    right: Values


@dataclass(frozen=True)
class Spent:
    """What a run took, reading and writing of the files left out: seconds, and bytes at the peak of memory."""

    wall_s: float
    cpu_s: float
    peak_bytes: int


@dataclass(frozen=True, eq=False)
class Response:
    """What a method answered, in the order asked; None where it does not offer that.

    Attributes:
        predictions: cell x training target feature: rna log1p of counts per 10,000, adt per-cell CLR, atac probability.
        matchings: vectors of the left and right cells.
        spent: time and memory.
        versions: of the libraries that matter.
        notes: what the reader of a table should know, as what the method could not use.
    """

    predictions: tuple[Values | None, ...]
    matchings: tuple[Vectors | None, ...]
    spent: Spent
    versions: Mapping[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class CellOrder:
    """What stays here when a request goes out: for each question the place of each cell in the files.

    Row i of the view asked about stands in row `order[i]` of the file.
    """

    request: Request
    sources: tuple[NDArray[np.intp], ...]
    lefts: tuple[NDArray[np.intp], ...]
    rights: tuple[NDArray[np.intp], ...]


@dataclass(eq=False)
class _Writer:
    """Writes views under fresh names and in a fresh order; changed by each: it counts the names given."""

    folder: Path
    rng: np.random.Generator
    names: set[str] = field(default_factory=set)

    def write(self, name: str, view: un.View) -> NDArray[np.intp]:
        """Write a view, and return where each of its cells stands in the file."""
        shuffled = self.rng.permutation(view.n_cells)
        _write_view(self.folder / name, view.take(shuffled), self._fresh(view.n_cells))
        return np.argsort(shuffled)

    def _fresh(self, n_cells: int) -> NDArray[np.str_]:
        fresh: list[str] = []
        while len(fresh) < n_cells:
            name = f"cell-{self.rng.bytes(8).hex()}"
            if name not in self.names:
                self.names.add(name)
                fresh.append(name)
        return np.asarray(fresh)


def write_request(folder: Path, request: Request, variant: str = "") -> CellOrder:
    """Write a request into a new folder; what it returns is needed to read the response and is not in the folder.

    Equal tasks give equal files, so that a method that is seeded answers the same again. Order and names are drawn by a
    stream of their own: what a method draws from the same seed does not undo them.
    """
    folder.mkdir(parents=True)
    writer = _Writer(folder, np.random.default_rng([_STREAM, request.seed]))
    training = _write_training(writer, request.training)
    sources = tuple(writer.write(f"source_{i}.h5ad", asked.source) for i, asked in enumerate(request.predictions))
    lefts = tuple(writer.write(f"left_{i}.h5ad", asked.left) for i, asked in enumerate(request.matchings))
    rights = tuple(writer.write(f"right_{i}.h5ad", asked.right) for i, asked in enumerate(request.matchings))
    said = {
        "format": FORMAT,
        "variant": variant,
        "seed": request.seed,
        "epochs": request.epochs,
        "training": training,
        "predictions": [{"source": a.source.modality, "target": a.target} for a in request.predictions],
        "matchings": [{"left": a.left.modality, "right": a.right.modality} for a in request.matchings],
    }
    _write_links(folder / "links.tsv", gene_links(request.training, request.genes))
    (folder / "request.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    return CellOrder(request, sources, lefts, rights)


def read_response(folder: Path, order: CellOrder) -> Response | Failure:
    """The answers with their cells in the order asked, or what is wrong with the files."""
    try:
        said = json.loads((folder / "response.json").read_text(encoding="utf-8"))
        predictions = tuple(_prediction(folder, i, order) for i in range(len(order.sources)))
        matchings = tuple(_vectors(folder, i, order) for i in range(len(order.lefts)))
        spent = Spent(float(said["wall_s"]), float(said["cpu_s"]), int(said["peak_bytes"]))
        versions = {str(name): str(version) for name, version in said["versions"].items()}
        notes = tuple(str(note) for note in said["notes"])
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        return Failure(f"its answer cannot be used: {error or type(error).__name__}")
    return Response(predictions, matchings, spent, versions, notes)


def read_array(path: Path) -> NDArray[np.generic]:
    """An array from a .npy file, never unpickled.

    Raises:
        ValueError: the file holds Python objects, or is no .npy file.
    """
    with path.open("rb") as file:
        if file.read(6) != b"\x93NUMPY":  # anything else, np.load would take for a pickle or a zip
            raise ValueError(f"{path.name} is no .npy file")
    array: NDArray[np.generic] = np.load(path, allow_pickle=False)
    return array


def _prediction(folder: Path, i: int, order: CellOrder) -> Values | None:
    target = order.request.training.views[order.request.predictions[i].target]
    shape = (len(order.sources[i]), len(target.features))
    values = _checked(folder / f"prediction_{i}.npy", *shape)
    return None if values is None else values[order.sources[i]]


def _vectors(folder: Path, i: int, order: CellOrder) -> Vectors | None:
    left = _checked(folder / f"left_{i}.npy", len(order.lefts[i]), None)
    right = _checked(folder / f"right_{i}.npy", len(order.rights[i]), None if left is None else left.shape[1])
    if left is None and right is None:
        return None
    if left is None or right is None:
        raise ValueError(f"only one of left_{i}.npy and right_{i}.npy is there")
    return Vectors(left[order.lefts[i]], right[order.rights[i]])


def _checked(path: Path, n_rows: int, n_columns: int | None) -> Values | None:
    """The numbers of a file; None where there is no file, which is how a method says that it does not offer this."""
    if not path.exists():
        return None
    array = read_array(path)
    if array.dtype != np.float32:
        raise ValueError(f"{path.name} holds {array.dtype}, wanted float32")
    columns = "any" if n_columns is None else n_columns
    if array.ndim != 2 or array.shape[0] != n_rows or (n_columns is not None and array.shape[1] != n_columns):
        raise ValueError(f"{path.name} is {array.shape}, wanted {n_rows} x {columns}")
    values: Values = array.astype(np.float32, copy=False)
    n_bad = int(values.size - np.isfinite(values).sum())
    if n_bad:
        raise ValueError(f"{path.name} holds {n_bad:,} numbers that are not finite")
    return values


def _write_training(writer: _Writer, cells: un.Cells) -> list[str]:
    """Write each modality of the training cells; equal names in two files are the same cell."""
    fresh = writer._fresh(len(cells.names))
    order = writer.rng.permutation(len(cells.names))
    shuffled = cells.take(order)
    renamed = dict(zip(shuffled.names.tolist(), fresh.tolist(), strict=True))
    for modality in shuffled.modalities:
        view = shuffled.views[modality]
        names = np.asarray([renamed[name] for name in view.cells.tolist()])
        _write_view(writer.folder / f"training_{modality}.h5ad", view, names)
    return list(shuffled.modalities)


def _write_view(path: Path, view: un.View, names: NDArray[np.str_]) -> None:
    """Raw counts as float32, which every method computes with, strings in the form that old anndata reads."""
    import anndata
    import pandas as pd

    obs = pd.DataFrame({"batch": pd.Categorical(view.batch.astype(object))}, index=pd.Index(names, dtype=object))
    var = pd.DataFrame(index=pd.Index(view.features, dtype=object))
    counts = view.counts.astype(np.float32)
    counts.sort_indices()
    anndata.AnnData(counts, obs=obs, var=var).write_h5ad(path)


def _write_links(path: Path, links: list[GeneLink]) -> None:
    lines = ["\t".join(row) for row in (GeneLink._fields, *links)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
