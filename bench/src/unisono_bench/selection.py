"""Which methods take part in a benchmark, by the names a user gives; unknown ones are refused before anything runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import unisono as un
from unisono_bench import ChoiceError, unisono_method
from unisono_bench.baselines import BASELINES
from unisono_bench.methods import Method, baseline
from unisono_bench.published import PUBLISHED
from unisono_bench.published.method import PublishedMethod


@dataclass(frozen=True)
class Selection:
    """Rows of the tables, and rows of the table of the ablation."""

    methods: tuple[Method, ...]
    ablations: tuple[Method, ...]


def select_methods(
    config: un.FitConfig,
    device: str,
    names: Sequence[str] | None,
    published: Sequence[str] | None,
    *,
    genes: Path | None = None,
    ablation: bool = False,
) -> Selection:
    """The methods of these names.

    Args:
        config: of Unisono; its seed is ignored.
        device: where Unisono is trained.
        names: `unisono` and names of baselines; all of them if None. An ablation adds `unisono`.
        published: names of published methods; none if None.
        genes: table of gene positions, for methods that link peaks to genes.
        ablation: also Unisono with one part switched off each.

    Raises:
        ChoiceError: an unknown name, no name at all, or no such table.
    """
    known = (unisono_method.NAME, *BASELINES)
    chosen = list(known if names is None else names)
    if ablation and unisono_method.NAME not in chosen:
        chosen.insert(0, unisono_method.NAME)
    _require_known("--methods", chosen, known)
    _require_known("--peers", published or (), PUBLISHED)
    if not chosen and not published:
        raise ChoiceError(f"--methods names no method; choose some of {', '.join(known)}")
    if genes is not None and not genes.is_file():
        raise ChoiceError(f"{genes}: no such file")
    methods: list[Method] = [
        unisono_method.full(config, device) if name == unisono_method.NAME else baseline(name) for name in chosen
    ]
    methods += [PublishedMethod(PUBLISHED[name], genes) for name in published or ()]
    return Selection(tuple(methods), unisono_method.ablations(config, device) if ablation else ())


def _require_known(option: str, names: Sequence[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise ChoiceError(f"{option}: {name!r} is unknown; choose some of {', '.join(known)}")
