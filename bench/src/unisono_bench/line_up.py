"""Who takes part in a benchmark, by the names a user gives; what cannot take part is refused before anything runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from unisono_bench import ours
from unisono.config import FitConfig
from unisono_bench.baselines import BASELINES
from unisono_bench.contenders import Contender, PeerContender, baseline
from unisono_bench.peers import PEERS
from unisono.messages import bad_input

NEED_SCIKIT_LEARN = frozenset({"ridge", "knn-25", "knn-100", "kernel-ridge", "kernel-ridge-std"})


@dataclass(frozen=True)
class LineUp:
    """Rows of the tables, and rows of the table of the ablation."""

    contenders: tuple[Contender, ...]
    ablations: tuple[Contender, ...]


def line_up(
    config: FitConfig,
    device: str,
    methods: Sequence[str] | None,
    peers: Sequence[str] | None,
    *,
    genes: Path | None = None,
    ablation: bool = False,
) -> LineUp:
    """The contenders of these names.

    Args:
        config: of Unisono; its seed is of no account.
        device: where Unisono is trained.
        methods: `unisono` and names of baselines; all of them if None. An ablation adds `unisono`.
        peers: names of peers; none if None.
        genes: table of gene positions, for peers that link peaks to genes.
        ablation: also Unisono with one part switched off each.

    Raises:
        BadInput: E001 no such table; E053 an unknown name, or no name at all; E063 scikit-learn is missing.
    """
    known = (ours.NAME, *BASELINES)
    wanted = list(known if methods is None else methods)
    if ablation and ours.NAME not in wanted:
        wanted.insert(0, ours.NAME)
    _refuse_unknown("--methods", wanted, known)
    _refuse_unknown("--peers", peers or (), PEERS)
    if not wanted and not peers:
        raise bad_input("E053", "--methods", "no method is named.", f"say some of {', '.join(known)}")
    if genes is not None and not genes.is_file():
        raise bad_input("E001", str(genes), "no such file.", "check the path")
    needing = [name for name in wanted if name in NEED_SCIKIT_LEARN]
    if needing and find_spec("sklearn") is None:
        what = f"{needing[0]} needs scikit-learn, which is not installed."
        raise bad_input("E063", "benchmark", what, "pip install unisono[benchmark], or leave the method out")
    contenders: list[Contender] = [
        ours.whole(config, device) if name == ours.NAME else baseline(name) for name in wanted
    ]
    contenders += [PeerContender(PEERS[name], genes) for name in peers or ()]
    return LineUp(tuple(contenders), ours.without_parts(config, device) if ablation else ())


def _refuse_unknown(option: str, names: Sequence[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise bad_input("E053", option, f"{name!r} is unknown.", f"say some of {', '.join(known)}")
