"""Tests of the main job on cells of a real co-assay: bone marrow, fitted on one sample, judged on another one's."""

from __future__ import annotations

import numpy as np
import pytest
from io_fixtures import real

import unisono as un
from unisono.io.read import read_mudata


@pytest.mark.slow
def test_protein_of_another_sample_is_predicted_and_matched_from_its_rna():
    mdata = read_mudata(real("bmmc_cite.h5mu"))
    sample = mdata["rna"].obs["batch"].reindex(mdata.obs_names).to_numpy(dtype=str)
    training, test = (mdata[np.flatnonzero(sample == name)].copy() for name in ("s1d1", "s1d2"))
    model = un.fit(training, batch_key="batch", preset="fast", device="cpu")
    scores = un.evaluate(model, test)
    assert scores["rna->adt pearson"] > 0.55
    assert scores["rna~adt foscttm"] < 0.12
