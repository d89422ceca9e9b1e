"""The table of an ablation: what each figure loses or gains without a part, run by run; fits nothing."""

from __future__ import annotations

from collections.abc import Sequence

from unisono_bench.record import Run
from unisono_bench.table import NOTHING, REFERENCE, Cell, Column, Spread, Table, headline_columns

_DIGITS = 4


def ablation_table(runs: Sequence[Run]) -> Table:
    """Differences to the full model on the same split with the same seed: median (least to most), 4 digits.

    Bold only where it is worse in every run: there the part earns its place. `better without` names the figures
    whose median is better without the part.

    Args:
        runs: of the reference and of its ablations.
    """
    columns = headline_columns(runs)
    full = {run.place: run for run in runs if run.method == REFERENCE}
    methods = tuple(dict.fromkeys(run.method for run in runs if run.method != REFERENCE))
    rows = []
    for method in methods:
        own = [run for run in runs if run.method == method]
        pairs = [(run, full[run.place]) for run in own if run.failure is None and run.place in full]
        found = [(column, _differences(column, pairs)) for column in columns]
        cells = [Cell(_text(values), _is_always_worse(column, values)) for column, values in found]
        rows.append((Cell(method), Cell(str(len(pairs))), *cells, Cell(_remark(own, found))))
    heads = ("part", "runs", *(column.title for column in columns), "remark")
    return Table(f"Ablation: difference to {REFERENCE}", heads, tuple(rows))


def _differences(column: Column, pairs: Sequence[tuple[Run, Run]]) -> list[float]:
    values = [(column.read(run), column.read(whole)) for run, whole in pairs]
    return [
        round(without - whole, _DIGITS) + 0.0 for without, whole in values if without is not None and whole is not None
    ]


def _text(differences: Sequence[float]) -> str:
    return Spread.of(differences).text(f"+.{_DIGITS}f", " to ") if differences else NOTHING


def _is_always_worse(column: Column, differences: Sequence[float]) -> bool:
    return bool(differences) and all(column.is_ahead(0.0, difference) for difference in differences)


def _remark(own: Sequence[Run], found: Sequence[tuple[Column, list[float]]]) -> str:
    failed = [run.failure for run in own if run.failure]
    if failed:
        return f"failed: {failed[0]}"
    better = [c.title for c, values in found if values and c.is_ahead(Spread.of(values).median, 0.0)]
    return f"better without in: {', '.join(better)}" if better else ""
