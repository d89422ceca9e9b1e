"""One data set left out: a model of the others is asked about it, as CLIP is about pictures that it has not seen.

Every data set is held out in turn. A model of the other ones predicts its proteins from RNA and back, and matches the
two sides. It is compared with models of one source each, with baselines that were fitted to the same cells, and with
models of fewer sources; in the ablation with itself less one part each.
"""

from __future__ import annotations

from unisono_bench.studies.left_out import measure, page, pictures
from unisono_bench.studies.report import Study

DATA = ("pbmc10k_cite", "bmmc_cite", "pbmc_panel224_cite", "teaseq_cite", "bremsc_cite")

STUDY = Study("One data set left out", DATA, "default", measure.everything, page.tell, draw=pictures.draw)
ABLATION = Study("One data set left out: ablation", DATA, "default", measure.ablation, page.tell_ablation)
