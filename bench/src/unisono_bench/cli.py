"""Benchmark: Unisono beside baselines and methods of others, written as tables, JSON and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unisono.cli.command_line import command_line
from unisono.cli.console import PIPED_WIDTH, print_table, say, styled
from unisono.cli.options import BatchKey, ConfigFile, Data, Device, Layer, Modalities, PresetName
from unisono.cli.values import config_of, mapping_in, names_in


def benchmark(
    data: Data,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the report; one that is there is gone on with.")],
    split: Annotated[
        str, typer.Option(help="random, leave-one-batch-out, leave-one-donor-out, or batches (named below).")
    ] = "random",
    batch_key: BatchKey = None,
    donor_key: Annotated[str | None, typer.Option(help="obs column of the donor.")] = None,
    train_batches: Annotated[str | None, typer.Option(metavar="A,B,...", help="Batches to learn from.")] = None,
    test_batches: Annotated[str | None, typer.Option(metavar="C,...", help="Batches to be judged by.")] = None,
    train_cells: Annotated[
        int | None, typer.Option(help="Learn from this many of the training cells only, drawn by the seed.", min=1)
    ] = None,
    modalities: Modalities = None,
    layer: Layer = None,
    seeds: Annotated[int, typer.Option(help="Seeds 0, 1, ... of each split.", min=1)] = 3,
    methods: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="unisono and all baselines unless told.")
    ] = None,
    peers: Annotated[str | None, typer.Option(metavar="NAME,...", help="Methods of others, installed apart.")] = None,
    genes: Annotated[
        Path | None, typer.Option(metavar="GENES.tsv", help="Gene positions, for peers that link peaks to genes.")
    ] = None,
    ablation: Annotated[bool, typer.Option("--ablation", help="Also Unisono without one part each.")] = False,
    preset: PresetName = "default",
    config: ConfigFile = None,
    device: Device = "auto",
    force: Annotated[bool, typer.Option("--force", help="Repeat runs that are there already.")] = False,
) -> None:
    """Compare Unisono with baselines and methods of others on the same cells; writes tables, JSON and pictures."""
    from unisono_bench.plots import draw_benchmark
    from unisono.pl.canvas import require_matplotlib

    require_matplotlib()
    from unisono_bench.line_up import line_up
    from unisono_bench.run import Protocol
    from unisono_bench.run import benchmark as compare

    chosen = config_of(preset, 0, config)
    names = line_up(chosen, device, names_in(methods), names_in(peers), genes=genes, ablation=ablation)
    is_named = train_batches is not None or test_batches is not None
    protocol = Protocol(
        "batches" if is_named else split,
        seeds,
        donor_key,
        names_in(train_batches),
        names_in(test_batches),
        train_cells,
    )

    from unisono_bench.dataset import Dataset

    report = compare(
        out,
        Dataset(data, batch_key, mapping_in(modalities), layer),
        names.contenders,
        protocol,
        ablations=names.ablations,
        command=command_line(),
        force=force,
        say=say,
    )
    pictures = draw_benchmark(report.runs, out)
    for table in (*report.overviews, *([report.ablation] if report.ablation else [])):
        rows = [tuple(styled(*cell) for cell in row) for row in table.rows]
        print_table([table.columns, *rows], title=table.title, width=PIPED_WIDTH)
    say(f"written to {out}: {', '.join(['benchmark.json', 'benchmark.md', *(path.name for path in pictures)])}")
