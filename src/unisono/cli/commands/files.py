"""Convert: the command that writes counts so that they are read by rows."""

from __future__ import annotations

from unisono.cli.console import say
from unisono.cli.options import Data, Force, Layer, Out, files_in, layer_in, paths_in
from unisono.io.write import refuse_inputs


def convert(data: Data, out: Out, layer: Layer = None, force: Force = False) -> None:
    """Write counts as a zarr folder that is fast to read by rows, for cells that do not fit into memory."""
    refuse_inputs(out, paths_in(data))
    from unisono.io.convert import convert as write

    store = write(files_in(data), out, place=layer_in(layer), force=force)
    say(f"{len(store):,} cells written to {out}")
