"""The scButterfly model in its basic form: an autoencoder for each modality and a translator between them.

Layers, losses, learning rates and epochs are those of its tutorials (100 for each autoencoder, 200 for the translator;
a fifth of the training cells to stop by). So that what it decodes is on the scales of the benchmark, RNA is log1p of
counts per 10,000 (instead of per median) and proteins are our per-cell CLR (instead of its own, in which a count of 0
and a count at the geometric mean are one); chromatin is binary, TF-IDF and scaled to 1 at most, as there, and what is
decoded is scaled, peak by peak, to the frequency of the peak in the training cells: its own inverse asks for the depth
of cells whose chromatin is not known, and leaves the range of probabilities. All features seen in training are
modelled, for all are to be predicted; the tutorials take 3,000 genes. It matches by the cosine of the translator's
means, for which it is not trained. Query cells take no part in the training.

Its package pins libraries of 2022 and imports episcanpy, which wants an anndata of then: so it is installed without
what it asks for, and an empty module stands for episcanpy, whose two steps are written out below. It calls `.cuda()`
once without asking for a GPU; where there is none that call does nothing.

Ran here with scButterfly 0.0.9: with these settings on bmmc_cite and bmmc_multiome; chromatin as it is scaled now on
900 simulated cells, cut to 60 epochs.
"""

# mypy: disable-error-code="import-not-found,import-untyped,no-any-return"
# The method and what it brings are installed in its own environment alone, and its answers have no types.

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

VERSIONS = ("scButterfly", "torch", "scanpy")

PRETRAINING, TRAINING = 100, 200
"""Epochs of each autoencoder and of the translator."""
SIDES = {"rna": "RNA", "adt": "ATAC", "atac": "ATAC"}
"""What the parts of its networks are called; proteins go by the name of chromatin."""

Array = NDArray[np.floating[Any]]


def answer(work: Any) -> Any:
    """Train once per modality that is not RNA."""
    answers = work.answers()
    translators: dict[str, Translator] = {}

    def translator(other: str) -> Translator:
        if other not in translators:
            translators[other] = Translator(work, other)
        return translators[other]

    for i, asked in enumerate(work.predictions):
        other = with_rna(asked.source, asked.target)
        if other is not None:
            answers.predictions[i] = translator(other).decoded(asked.source, asked.target, asked.cells)
    for i, asked in enumerate(work.matchings):
        other = with_rna(asked.left_modality, asked.right_modality)
        if other is not None:
            left = translator(other).means(asked.left_modality, asked.left)
            answers.matchings[i] = (left, translator(other).means(asked.right_modality, asked.right))
    answers.notes.append("trained on the training cells")
    return answers


def with_rna(one: str, another: str) -> str | None:
    """The modality that is not RNA; None where neither is."""
    others = [modality for modality in (one, another) if modality != "rna"]
    return others[0] if len(others) == 1 else None


class Translator:
    """A trained model of RNA and one other modality, and the scales of its inputs."""

    def __init__(self, work: Any, other: str) -> None:
        order = by_chromosome(work.training[other]) if other == "atac" else np.arange(work.training[other].n_vars)
        self.order = {"rna": np.arange(work.training["rna"].n_vars), other: order}
        self.chromatin = TfIdf(work.training["atac"]) if other == "atac" else None
        inputs = {modality: self.input(modality, work.training[modality]) for modality in ("rna", other)}
        self.model = trained(work, other, inputs)
        self.frequency = np.asarray((work.training[other].X > 0).mean(axis=0)).ravel()
        self.typical = np.maximum(self._decoded("rna", other, work.training["rna"]).mean(axis=0), 1e-12)

    def input(self, modality: str, cells: AnnData) -> Array:
        """Cells as the encoder takes them."""
        if modality == "atac" and self.chromatin is not None:
            values = self.chromatin.forward(cells)
        elif modality == "adt":
            counts = cells.X.toarray()
            values = np.log1p(counts / np.exp(np.log1p(counts).mean(axis=1, keepdims=True)))
        else:
            counts = cells.X.toarray()
            values = np.log1p(counts * 1e4 / np.maximum(counts.sum(axis=1, keepdims=True), 1))
        return values[:, self.order[modality]].astype(np.float32)

    def decoded(self, source: str, target: str, cells: AnnData) -> Array:
        """The target modality of the cells, on the scale of the benchmark."""
        values = self._decoded(source, target, cells)
        if target == "atac":
            return np.clip(values * (self.frequency / self.typical), 0, 1)
        return np.maximum(values, 0)

    def _decoded(self, source: str, target: str, cells: AnnData) -> Array:
        """As the decoder gives it, features in the order of the data."""
        to_rna, to_other, _ = self._translated(source, cells)
        decoder = getattr(self.model, f"{SIDES[target]}_decoder")
        with_order = decoder(to_rna if target == "rna" else to_other).detach().cpu().numpy()
        values = np.empty_like(with_order)
        values[:, self.order[target]] = with_order
        return values

    def means(self, modality: str, cells: AnnData) -> Array:
        """The translator's means, of unit length."""
        rows = self._translated(modality, cells)[2].detach().cpu().numpy()
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)

    def _translated(self, source: str, cells: AnnData) -> tuple[Any, Any, Any]:
        """For the decoder of RNA, for the other decoder, and the means: as the model's own `test` does it."""
        import torch

        self.model.set_eval()
        with torch.no_grad():
            values = torch.from_numpy(self.input(source, cells))
            if torch.cuda.is_available():
                values = values.cuda()
            encoded = getattr(self.model, f"{SIDES[source]}_encoder")(values)
            to_rna, to_other, means, _ = self.model.translator.test_model(encoded, SIDES[source])
        return to_rna, to_other, means


class TfIdf:
    """The package's TF-IDF of binary chromatin, with the weights of the training cells."""

    def __init__(self, training: AnnData) -> None:
        binary = training.X > 0
        seen = np.asarray(binary.sum(axis=0), dtype=np.float64).ravel()
        self.idf = np.where(seen > 0, np.log(1 + training.n_obs / np.maximum(seen, 1)), 0.0)
        self.largest = 1.0
        self.largest = float(self.forward(training).max())

    def forward(self, cells: AnnData) -> Array:
        """Between 0 and 1."""
        binary = (cells.X > 0).toarray()
        frequency = binary / np.maximum(binary.sum(axis=1, keepdims=True), 1)
        return np.minimum(frequency * self.idf / self.largest, 1)


def trained(work: Any, other: str, inputs: dict[str, Array]) -> Any:
    """The package's model of RNA and proteins or of RNA and chromatin, trained with its own settings."""
    model_of = imported(other)
    import torch
    from torch import nn

    torch.manual_seed(work.seed)
    chromosomes = per_chromosome(work.training["atac"]) if other == "atac" else []
    n_genes, n_others = inputs["rna"].shape[1], inputs[other].shape[1]
    hidden, last, noise = (128, nn.Identity(), 0.0) if other == "adt" else (32 * len(chromosomes), nn.Sigmoid(), 0.3)
    model = model_of(
        RNA_data=AnnData(sparse.csr_matrix(inputs["rna"])),
        ATAC_data=AnnData(sparse.csr_matrix(inputs[other])),
        chrom_list=chromosomes,
        logging_path=None,
        R_encoder_dim_list=[n_genes, 256, 128],
        A_encoder_dim_list=[n_others, hidden, 128],
        R_decoder_dim_list=[128, 256, n_genes],
        A_decoder_dim_list=[128, hidden, n_others],
        A_decoder_act_list=[nn.LeakyReLU(), last],
        discriminator_dim_list_R=[128],
        discriminator_dim_list_A=[128],
        R_noise_rate=0.5,
        A_noise_rate=noise,
    )
    model.num_workers = 0  # starting four in each epoch takes longer than reading what is in memory
    shuffled = np.random.default_rng(work.seed).permutation(len(inputs["rna"])).tolist()
    n_validation = max(len(shuffled) // 5, 1)
    kl = [20 / n_genes, 1 / 150 if other == "adt" else 20 / n_others]
    folder = work.folder / f"scbutterfly-{other}"
    folder.mkdir(exist_ok=True)
    model.train(
        loss_weight=[1, 2, 1, *kl, sum(kl)],
        train_id_r=shuffled[n_validation:],
        train_id_a=shuffled[n_validation:],
        validation_id_r=shuffled[:n_validation],
        validation_id_a=shuffled[:n_validation],
        R2R_pretrain_epoch=work.epochs or PRETRAINING,
        A2A_pretrain_epoch=work.epochs or PRETRAINING,
        translator_epoch=work.epochs or TRAINING,
        r_loss=nn.MSELoss(),
        a_loss=nn.MSELoss() if other == "adt" else nn.BCELoss(),
        d_loss=nn.BCELoss(),
        output_path=str(folder),
        seed=work.seed,
    )
    return model


def imported(other: str) -> Any:
    """The package's model for proteins or for chromatin, with an empty module in place of episcanpy."""
    import torch

    sys.modules.setdefault("episcanpy", ModuleType("episcanpy"))
    sys.modules.setdefault("episcanpy.api", ModuleType("episcanpy.api"))
    if not torch.cuda.is_available():
        torch.Tensor.cuda = lambda self, *_, **__: self  # type: ignore[method-assign]
    if other == "adt":
        from scButterfly.train_model_cite import Model
    else:
        from scButterfly.train_model import Model
    return Model


def by_chromosome(cells: AnnData) -> NDArray[np.intp]:
    """The places of the peaks, chromosome by chromosome."""
    return np.argsort(chromosome(cells), kind="stable")


def per_chromosome(cells: AnnData) -> list[int]:
    """How many peaks each chromosome has, in the order of `by_chromosome`."""
    return np.unique(chromosome(cells), return_counts=True)[1].tolist()


def chromosome(cells: AnnData) -> NDArray[np.str_]:
    """What stands before the position in the name of each peak."""
    return np.asarray([name.replace(":", "-").split("-")[0] for name in cells.var_names])
