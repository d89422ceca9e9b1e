"""Tests of the main job on cells of a real co-assay: bone marrow, fitted on one sample, evaluated on another one."""

from __future__ import annotations

import numpy as np
import pytest
from io_fixtures import real

import unisono as un
from unisono.features.peaks import parse_peaks
from unisono.metrics import foscttm
from unisono.model.query import query_view
from unisono.reading import read

pytestmark = [
    pytest.mark.filterwarnings("ignore::unisono.messages.InputWarning"),  # new batches and panels are the point here
    pytest.mark.filterwarnings("ignore:Cannot join columns:UserWarning"),  # mudata, of a gene and a protein of one name
]


@pytest.mark.slow
def test_protein_of_another_sample_is_predicted_and_matched_from_its_rna():
    mdata = read(real("bmmc_cite.h5mu"))
    sample = mdata["rna"].obs["batch"].reindex(mdata.obs_names).to_numpy(dtype=str)
    training, test = (mdata[np.flatnonzero(sample == name)].copy() for name in ("s1d1", "s1d2"))
    model = un.fit(training, batch_key="batch", preset="fast", device="cpu")
    scores = un.evaluate(model, test)
    assert scores.value("rna", "adt", "pearson") > 0.55
    assert scores.value("rna", "adt", "foscttm") < 0.12


@pytest.mark.slow
def test_a_model_of_one_panel_reads_another_laboratorys_without_renaming():
    """224 proteins spelt `cd3.1` are fitted; 14 spelt `CD3` are asked for, of other donors and other genes."""
    model = un.fit(read(real("pbmc_panel224_cite.h5mu")), batch_key="batch", preset="fast", device="cpu")
    query = read(real("pbmc10k_cite.h5mu"))[:1000].copy()
    report = un.check(query, model)
    covered = {one.modality: one for one in report.coverage}
    assert report.is_usable
    assert (covered["adt"].found, covered["adt"].mapped["cd3.1"], covered["adt"].mapped["cd279"]) == (14, "CD3", "PD-1")
    scores = un.evaluate(model, query)
    assert scores.value("rna", "adt", "pearson") > 0.5
    assert scores.value("adt", "rna", "pearson") > 0.1


@pytest.mark.slow
def test_peaks_moved_and_merged_match_as_well_as_the_models_own():
    mdata = read(real("snareseq_cortex.h5mu"))
    library = mdata["rna"].obs["batch"].reindex(mdata.obs_names).to_numpy(dtype=str)
    training, test = (mdata[np.flatnonzero(mask)].copy() for mask in (library < "09H", library == "09H"))
    model = un.fit(training, batch_key="batch", config=un.FitConfig.preset("fast", max_epochs=6), device="cpu")
    peaks = parse_peaks(test["atac"].var_names.to_numpy(dtype=str), "peaks")
    shift = np.random.default_rng(0).integers(-150, 151, len(peaks))
    moved = test["atac"].copy()
    moved.var_names = [
        f"{chrom}:{start + by}-{end + by}"
        for chrom, start, end, by in zip(peaks["chrom"], peaks["start"], peaks["end"], shift, strict=True)
    ]
    found = [
        foscttm(
            *(
                model.fitted.content_vectors(query_view(part, m, model.fitted.preprocessors, model.record))
                for part, m in sides
            )
        )
        for sides in (((test["rna"], "rna"), (test["atac"], "atac")), ((test["rna"], "rna"), (moved, "atac")))
    ]
    assert found[1] < 1.1 * found[0]
    assert found[0] < 0.2
