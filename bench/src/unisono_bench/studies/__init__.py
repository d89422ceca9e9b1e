"""The studies of this repository by name; a wrong name lists them."""

from __future__ import annotations

from unisono_bench.studies import disentanglement, dogma, foreign, main_job, readout, transfer, trust
from unisono_bench.studies.report import Study

STUDIES: dict[str, Study] = {
    "disentanglement": disentanglement.STUDY,
    "dogma": dogma.STUDY,
    "main-job": main_job.STUDY,
    "panels": foreign.PANELS,
    "peaks": foreign.PEAKS,
    "readout": readout.STUDY,
    "transfer": transfer.STUDY,
    "trust": trust.STUDY,
}
