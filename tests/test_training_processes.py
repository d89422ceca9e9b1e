"""A process knows its place among the ranks from the variables of its launcher, and says which of them is wrong."""

import pytest

from unisono.messages import BadInput
from unisono.training.processes import Process, process_in

TORCHRUN = {
    "RANK": "3", "WORLD_SIZE": "6", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "node7",
    "MASTER_PORT": "29500",
}  # fmt: skip
SLURM = {
    "SLURM_PROCID": "3", "SLURM_NTASKS": "6", "SLURM_LOCALID": "1", "SLURM_NTASKS_PER_NODE": "2",
    "MASTER_ADDR": "node7", "MASTER_PORT": "29500",
}  # fmt: skip
FOURTH_OF_SIX = Process(rank=3, n_ranks=6, local_rank=1, n_local=2, address="node7", port=29500)


@pytest.mark.parametrize("environment", [TORCHRUN, SLURM])
def test_variables_of_torchrun_and_of_slurm_say_the_same(environment):
    assert process_in(environment) == FOURTH_OF_SIX
    assert not process_in(environment).is_first
    assert process_in(environment | {"RANK": "0", "WORLD_SIZE": "6", "LOCAL_RANK": "1"}).is_first


def test_those_of_torchrun_come_first():
    assert process_in(SLURM | TORCHRUN | {"SLURM_PROCID": "5"}) == FOURTH_OF_SIX


@pytest.mark.parametrize(
    "environment",
    [
        {},
        TORCHRUN | {"WORLD_SIZE": "1", "RANK": "0"},
        {"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_LOCALID": "0"},  # tasks that nobody made one fit
        SLURM | {"SLURM_NTASKS": "1", "SLURM_PROCID": "0"},
        {"RANK": "3"},
    ],
)
def test_a_process_without_others_is_alone(environment):
    assert process_in(environment) is None


def test_a_launcher_that_keeps_what_ranks_tell_is_known():
    found = process_in(TORCHRUN | {"TORCHELASTIC_USE_AGENT_STORE": "True", "UNISONO_LAUNCHER": "17"})
    assert (found.is_hosted, found.launcher) == (True, 17)


def test_the_ranks_of_a_machine_are_all_where_no_variable_says_so():
    without = {name: value for name, value in TORCHRUN.items() if name != "LOCAL_WORLD_SIZE"}
    assert process_in(without).n_local == 6
    assert process_in(SLURM | {"SLURM_NTASKS_PER_NODE": "2(x3)"}).n_local == 6


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"MASTER_PORT": "http"}, "MASTER_PORT is 'http', no number"),
        ({"MASTER_PORT": None}, "MASTER_PORT is not set"),
        ({"MASTER_ADDR": None}, "MASTER_ADDR is not set"),
        ({"LOCAL_RANK": None}, "LOCAL_RANK is not set"),
        ({"RANK": "6"}, "RANK is 6, of 6 ranks"),
        ({"RANK": "-1"}, "RANK is -1, of 6 ranks"),
    ],
)
def test_variables_that_are_missing_or_wrong_are_named(change, what):
    environment = {name: value for name, value in (TORCHRUN | change).items() if value is not None}
    with pytest.raises(BadInput, match=what):
        process_in(environment)
