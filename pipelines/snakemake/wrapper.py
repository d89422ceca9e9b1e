"""Snakemake wrapper of the commands of Unisono that ask a model about cells: predict, match, embed and evaluate."""

__author__ = "The Unisono developers"
__copyright__ = "Copyright 2026, The Unisono developers"
__license__ = "BSD-3-Clause"

from snakemake.shell import shell

log = snakemake.log_fmt_shell(stdout=True, stderr=True)  # noqa: F821
command = snakemake.params.get("command", "predict")  # noqa: F821
extra = snakemake.params.get("extra", "")  # noqa: F821
model = snakemake.input.get("model", "") or snakemake.params.get("model", "human-blood-cite")  # noqa: F821

if command not in ("predict", "match", "embed", "evaluate"):
    raise ValueError(f"params.command is {command!r}, expected predict, match, embed or evaluate")

shell(
    "export OMP_NUM_THREADS={snakemake.threads}; "
    "unisono {command} {model:q} {snakemake.input.query:q} {extra} -o {snakemake.output[0]:q} {log}"
)
