"""The studies of this repository by name; a wrong name lists them."""

from __future__ import annotations

from unisono_bench.studies import (
    disentanglement,
    dogma,
    few_shot,
    foreign,
    left_out,
    main_job,
    readout,
    scale,
    scale_matching,
    transfer,
    trust,
    unlabelled,
)
from unisono_bench.studies.report import Study

STUDIES: dict[str, Study] = {
    "disentanglement": disentanglement.STUDY,
    "dogma": dogma.STUDY,
    "few-shot": few_shot.STUDY,
    "left-out": left_out.STUDY,
    "left-out-ablation": left_out.ABLATION,
    "main-job": main_job.STUDY,
    "panels": foreign.PANELS,
    "peaks": foreign.PEAKS,
    "readout": readout.STUDY,
    "scale": scale.STUDY,
    "scale-matching": scale_matching.STUDY,
    "transfer": transfer.STUDY,
    "trust": trust.STUDY,
    "unlabelled": unlabelled.STUDY,
}
