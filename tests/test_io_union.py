"""Several data sets as one: what was given stays as it was."""

import numpy as np
import pytest

import unisono as un


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float32])
def test_reading_several_data_sets_changes_none_of_them(dtype):
    cells = [un.datasets.simulate(n_cells=37, n_genes=23, n_peaks=31, n_proteins=7, seed=seed) for seed in (1, 2)]
    first, second = cells
    order = np.random.default_rng(0).permutation(23)  # so that columns of the union stand in another order
    second.mod["rna"] = second["rna"][:, order].copy()
    for mdata in cells:
        for part in mdata.mod.values():
            part.X = part.X.sorted_indices().astype(dtype)
    before = [{m: part.X.toarray() for m, part in mdata.mod.items()} for mdata in cells]
    for _ in range(2):
        found = un.read_cells([first, second], names=["a", "b"], batch_key="batch").views["rna"]
        for mdata, wanted in zip(cells, before, strict=True):
            for modality, counts in wanted.items():
                np.testing.assert_array_equal(mdata[modality].X.toarray(), counts)
        own = second["rna"][:, list(found.features)].X.toarray()
        np.testing.assert_array_equal(found.counts[37:].toarray(), own)
