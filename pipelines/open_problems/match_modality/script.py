"""Match test cells of one modality to those of another: a component of Open Problems, task match_modality."""

import anndata as ad
import mudata
import numpy as np
import torch
from scipy import sparse

import unisono as un

## VIASH START
par = {
    "input_train_mod1": "resources_test/match_modality/openproblems_bmmc_cite_starter/openproblems_bmmc_cite_starter.train_mod1.h5ad",
    "input_train_mod2": "resources_test/match_modality/openproblems_bmmc_cite_starter/openproblems_bmmc_cite_starter.train_mod2.h5ad",
    "input_train_sol": "resources_test/match_modality/openproblems_bmmc_cite_starter/openproblems_bmmc_cite_starter.train_sol.h5ad",
    "input_test_mod1": "resources_test/match_modality/openproblems_bmmc_cite_starter/openproblems_bmmc_cite_starter.test_mod1.h5ad",
    "input_test_mod2": "resources_test/match_modality/openproblems_bmmc_cite_starter/openproblems_bmmc_cite_starter.test_mod2.h5ad",
    "output": "output.h5ad",
    "preset": "default",
    "seed": 0,
    "depth": True,
}
meta = {"name": "unisono", "cpus": None}
## VIASH END

KINDS = {"GEX": "rna", "ADT": "adt", "ATAC": "atac"}


def kind_of(table):
    """The modality of a table by the one type of its features."""
    (kind,) = table.var["feature_types"].unique()
    return KINDS[kind]


def counts_of(table, cells, batch=None):
    """Raw counts over cells of these names, and their batches where they are known."""
    found = ad.AnnData(sparse.csr_matrix(table.X), var=table.var[[]].copy())
    found.obs_names = cells
    if batch is not None:
        found.obs["batch"] = np.asarray(batch, dtype=str)
    return found


if meta.get("cpus"):
    torch.set_num_threads(int(meta["cpus"]))
print("Read the input files", flush=True)
names = ("train_mod1", "train_mod2", "train_sol", "test_mod1", "test_mod2")
train_1, train_2, solution, test_1, test_2 = (ad.read_h5ad(par[f"input_{name}"]) for name in names)
left, right = kind_of(train_1), kind_of(train_2)

print(f"Learn {left} and {right} of {train_1.n_obs} cells", flush=True)
partner = np.asarray(sparse.csr_matrix(solution.X).argmax(axis=1)).ravel()
cells, batch = train_1.obs_names, train_1.obs["batch"]
pairs = {left: counts_of(train_1, cells, batch), right: counts_of(train_2[partner], cells, batch)}
with mudata.set_options(pull_on_update=False):
    training = mudata.MuData(pairs)
how = {"preset": par["preset"], "seed": int(par["seed"]), "keep_controls": True, "progress": False}
model = un.fit(training, batch_key="batch", **how)

print(f"Match {test_1.n_obs} {left} cells to {test_2.n_obs} {right} cells", flush=True)
sides = [counts_of(table, [f"{i}" for i in range(table.n_obs)]) for table in (test_1, test_2)]
sides[0].obs["batch"] = np.asarray(test_1.obs["batch"], dtype=str)
links = model.match(*sides, between=(left, right), depth=bool(par["depth"]))

print("Write the pairing matrix, of rows that sum to 1", flush=True)
probability = sparse.csr_matrix(links.to_anndata().X, dtype=np.float64)
total = np.asarray(probability.sum(axis=1)).ravel()
output = ad.AnnData(
    X=sparse.csr_matrix(sparse.diags(1 / total) @ probability),
    uns={"dataset_id": train_1.uns["dataset_id"], "method_id": meta["name"]},
)
output.write_h5ad(par["output"], compression="gzip")
