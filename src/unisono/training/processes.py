"""Which of the processes of one fit this is, by the variables of its launcher: our own, torchrun or SLURM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from unisono.messages import bad_input

LAUNCHER = "UNISONO_LAUNCHER"
"""Process that started this one as a rank, and that says how a run ends."""
_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
_SLURM = ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_NTASKS_PER_NODE")


@dataclass(frozen=True)
class Process:
    """One of several processes that train one model together.

    Attributes:
        rank: its number, from 0.
        n_ranks: how many there are.
        local_rank: its number among those of its machine.
        n_local: how many there are on its machine, as far as the launcher says; else all.
        address, port: where the first one is found.
        launcher: process of our own launcher; None for another one.
        is_hosted: whether the launcher keeps what the processes tell each other, rather than the first of them.
    """

    rank: int
    n_ranks: int
    local_rank: int
    n_local: int
    address: str
    port: int
    launcher: int | None = None
    is_hosted: bool = False

    @property
    def is_first(self) -> bool:
        return self.rank == 0


def process_in(environment: Mapping[str, str]) -> Process | None:
    """The process as its launcher describes it; None where it is alone.

    The variables are those of torchrun, or else those that SLURM's srun sets, which count only where MASTER_ADDR and
    MASTER_PORT are set too: a job may have several tasks without their being one fit.

    Raises:
        BadInput: E053 variables are missing, or are no numbers.
    """
    is_slurm = "RANK" not in environment and {"SLURM_PROCID", "MASTER_ADDR", "MASTER_PORT"} <= set(environment)
    rank, n_ranks, local_rank, n_local = _SLURM if is_slurm else _TORCHRUN
    if rank not in environment or environment.get(n_ranks, "1").strip() == "1":
        return None
    numbers = {name: _number(environment, name) for name in (rank, n_ranks, local_rank, "MASTER_PORT")}
    if "MASTER_ADDR" not in environment:
        raise bad_input("E053", "environment", "MASTER_ADDR is not set.", _REMEDY)
    if not 0 <= numbers[rank] < numbers[n_ranks]:
        what = f"{rank} is {numbers[rank]}, of {numbers[n_ranks]} ranks."
        raise bad_input("E053", "environment", what, _REMEDY)
    return Process(
        rank=numbers[rank],
        n_ranks=numbers[n_ranks],
        local_rank=numbers[local_rank],
        n_local=_number(environment, n_local) if environment.get(n_local, "").isdigit() else numbers[n_ranks],
        address=environment["MASTER_ADDR"],
        port=numbers["MASTER_PORT"],
        launcher=_number(environment, LAUNCHER) if LAUNCHER in environment else None,
        is_hosted=environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
    )


_REMEDY = "start the ranks with --devices, torchrun or srun, as the user guide says"


def _number(environment: Mapping[str, str], name: str) -> int:
    try:
        return int(environment[name])
    except KeyError as error:
        raise bad_input("E053", "environment", f"{name} is not set.", _REMEDY) from error
    except ValueError as error:
        raise bad_input("E053", "environment", f"{name} is {environment[name]!r}, no number.", _REMEDY) from error
