"""Predict one modality of the test cells from another: a component of Open Problems, task predict_modality."""

import anndata as ad
import mudata
import numpy as np
import torch
from scipy import sparse

import unisono as un
from unisono.modalities.normalise import clr, log1p_cp10k

## VIASH START
par = {
    "input_train_mod1": "resources_test/task_predict_modality/openproblems_neurips2021/bmmc_cite/normal/train_mod1.h5ad",
    "input_train_mod2": "resources_test/task_predict_modality/openproblems_neurips2021/bmmc_cite/normal/train_mod2.h5ad",
    "input_test_mod1": "resources_test/task_predict_modality/openproblems_neurips2021/bmmc_cite/normal/test_mod1.h5ad",
    "output": "output.h5ad",
    "preset": "default",
    "seed": 0,
}
meta = {"name": "unisono", "cpus": None}
## VIASH END

KINDS = {"GEX": "rna", "ADT": "adt", "ATAC": "atac"}


def counts_of(table, cells):
    """Raw counts and batches alone, over cells of these names."""
    counts = sparse.csr_matrix(table.layers["counts"])
    found = ad.AnnData(counts, obs=table.obs[["batch"]].copy(), var=table.var[[]].copy())
    found.obs_names = cells
    return found


def on_scale_of_the_model(table, kind):
    """Counts as the model predicts them: log1p of counts per 10,000, per-cell CLR, or whether a peak is open."""
    counts = sparse.csr_matrix(table.layers["counts"], dtype=np.float32)
    if kind == "rna":
        return log1p_cp10k(counts, np.asarray(counts.sum(axis=1), dtype=np.float64).ravel())
    return clr(counts) if kind == "adt" else (counts > 0).astype(np.float32)


def line_through(own, wanted):
    """By feature, intercept and slope from the model's scale to the task's: 0 and 1 where the two are one."""
    mean = [np.asarray(part.mean(axis=0), dtype=np.float64).ravel() for part in (own, wanted)]
    square = np.asarray(own.multiply(own).mean(axis=0), dtype=np.float64).ravel() - mean[0] ** 2
    product = np.asarray(own.multiply(wanted).mean(axis=0), dtype=np.float64).ravel() - mean[0] * mean[1]
    slope = np.divide(product, square, out=np.zeros_like(square), where=square > 1e-12)
    return mean[1] - slope * mean[0], slope


if meta.get("cpus"):
    torch.set_num_threads(int(meta["cpus"]))
print("Read the input files", flush=True)
train_1, train_2, test_1 = (ad.read_h5ad(par[f"input_{name}"]) for name in ("train_mod1", "train_mod2", "test_mod1"))
source, target = KINDS[test_1.uns["modality"]], KINDS[train_2.uns["modality"]]

print(f"Learn {source} and {target} of {train_1.n_obs} cells", flush=True)
pairs = {source: counts_of(train_1, train_1.obs_names), target: counts_of(train_2, train_1.obs_names)}
with mudata.set_options(pull_on_update=False):
    training = mudata.MuData(pairs)
how = {"preset": par["preset"], "seed": int(par["seed"]), "keep_controls": True, "progress": False}
model = un.fit(training, batch_key="batch", **how)

print(f"Predict {target} of {test_1.n_obs} cells", flush=True)
predicted = model.predict(counts_of(test_1, test_1.obs_names), source=source, target=target)

print("Write the prediction on the scale of the task", flush=True)
normalized = sparse.csr_matrix(train_2.layers["normalized"], dtype=np.float64)
intercept, slope = line_through(on_scale_of_the_model(train_2, target), normalized)
columns = predicted.var_names.get_indexer(train_2.var_names)
values = np.tile(np.asarray(normalized.mean(axis=0)).ravel(), (test_1.n_obs, 1))  # of features that no model is told of
is_known = columns >= 0
values[:, is_known] = predicted.X[:, columns[is_known]] * slope[is_known] + intercept[is_known]
output = ad.AnnData(
    layers={"normalized": sparse.csc_matrix(values)},
    obs=test_1.obs[[]],
    var=train_2.var[[]],
    uns={"dataset_id": train_1.uns["dataset_id"], "method_id": meta["name"]},
)
output.write_h5ad(par["output"], compression="gzip")
