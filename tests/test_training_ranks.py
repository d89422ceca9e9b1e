"""Two ranks end where one does, decide as the first one does, and notice where they differ."""

import copy
import os
import pickle
import socket
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from process_fixtures import forked
from training_fixtures import CPU, prepare, simulated, small_config, state_of

from unisono.messages import BadInput, RankError
from unisono.training.loop import Training, train
from unisono.training.mini_batches import MiniBatches
from unisono.training.processes import Process
from unisono.training.ranks import ALONE, Ranks, device_of_rank, together
from unisono.types import Cells

CONFIG = small_config(
    n_codes=9,
    n_members=2,
    max_epochs=20,
    epochs_per_evaluation=10,
    min_steps_per_epoch=1,
    n_sampled_features=13,
    kl_warmup_epochs=4,
    learning_rate=5e-3,
    validation={"fraction": 0.1},
)
"""Twenty steps, one an epoch, with every term of the objective."""


def mosaic():
    """Cells of three modalities of which each lacks some cells; an odd number trains, in one step."""
    views = simulated(n_cells=571, seed=9).views
    rows = {"rna": np.arange(0, 541), "atac": np.arange(60, 571), "adt": np.flatnonzero(np.arange(571) % 7 != 3)}
    return Cells({m: view.take(rows[m]) for m, view in views.items()})


@cache
def prepared_once():
    return prepare(mosaic(), CONFIG)


def trained(ranks, spoil=False, **changes):
    """Terms of each step, scores, and the last weights, of the network and averaged."""
    prepared, config = prepared_once(), CONFIG.model_copy(update=changes)
    mini_batches = MiniBatches(prepared.views, prepared.technical, config, CPU)
    assert mini_batches.steps_per_epoch == 1
    assert len(prepared.technical) % 2 == 1
    assert len(prepared.technical) < config.batch_size + 1
    training, shown, scorer = Training.start(copy.deepcopy(prepared.network), config), [], prepared.score

    def score(network):
        shown.append(ranks.rank)
        return scorer(network)

    epochs = []
    for epoch in train(training, mini_batches, score, config, ranks):
        epochs.append(epoch)
        if spoil:
            with torch.no_grad():
                training.averaged.log_scale += 1e-6
    return {
        "terms": [epoch.terms for epoch in epochs],
        "scores": [epoch.scores for epoch in epochs],
        "best": [epoch.is_best for epoch in epochs],
        "averaged": state_of(training.averaged),
        "network": state_of(training.network),
        "scored": len(shown),
    }


def of_two(rank):
    """What one of two ranks finds, in one process group: a fit, a fit in parts, and one that is spoiled on rank 1."""
    found = {}
    with together("cpu") as ranks, together("cpu") as again:
        assert again == ranks
        found["whole"] = trained(ranks)
        found["parts"] = trained(ranks, max_epochs=3, cells_at_a_time=100)
        found["told"] = ranks.from_first([rank + 0.25])
        try:
            trained(ranks, spoil=rank == 1, epochs_per_evaluation=1)
        except RankError as error:
            found["spoiled"] = str(error)
    with together("cpu") as ranks:  # once more in the same process
        found["again"] = ranks.summed(torch.tensor([rank + 1.0])).item()
    return found


def _work(rank, port, out):
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo"}
    out.put(pickle.dumps((rank, of_two(rank))))  # bytes, as tensors would be shared with a process that has ended


@pytest.fixture(scope="module")
def two():
    """What each of two ranks found."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    context = forked()
    out = context.Queue()
    processes = [context.Process(target=_work, args=(rank, port, out), daemon=True) for rank in range(2)]
    for process in processes:
        process.start()
    return dict(pickle.loads(out.get(timeout=120)) for _ in processes)  # noqa: S301


@pytest.fixture(scope="module")
def one():
    return trained(ALONE)


def test_two_ranks_take_the_first_twenty_steps_of_one(two, one):
    for rank in (0, 1):
        found = two[rank]["whole"]
        for step, (terms, wanted) in enumerate(zip(found["terms"], one["terms"], strict=True)):
            assert terms.keys() == wanted.keys()
            assert len(wanted) == (6 if step else 0)
            for name in wanted:
                assert terms[name] == pytest.approx(wanted[name], abs=1e-4, rel=1e-4), (step, name)
        for part in ("averaged", "network"):
            torch.testing.assert_close(found[part], one[part], rtol=1e-4, atol=1e-4)
        moved = one["averaged"]["dim_weight"] - one["averaged"]["first_dim_weight"]
        assert moved.abs().max() > 0.01


def test_ranks_have_the_same_weights_to_the_bit(two):
    for part in ("averaged", "network"):
        torch.testing.assert_close(two[0]["whole"][part], two[1]["whole"][part], rtol=0, atol=0)


def test_the_first_rank_scores_and_the_others_are_told(two, one):
    assert [two[rank]["whole"]["scored"] for rank in (0, 1)] == [3, 0]
    assert two[0]["whole"]["scores"] == two[1]["whole"]["scores"]
    assert two[0]["whole"]["best"] == two[1]["whole"]["best"] == one["best"]
    assert two[0]["told"] == two[1]["told"] == [0.25]


def test_ranks_may_encode_some_cells_at_a_time(two, one):
    for terms, wanted in zip(two[1]["parts"]["terms"], one["terms"], strict=False):
        assert terms == pytest.approx(wanted, abs=1e-4, rel=1e-4)


def test_a_rank_that_differs_is_named_by_all(two):
    assert two[0]["spoiled"] == two[1]["spoiled"]
    assert two[0]["spoiled"].startswith("weights of rank 1 of 2 differ from those of rank 0")


def test_a_group_can_be_joined_again(two):
    assert two[0]["again"] == two[1]["again"] == 3.0


def test_who_is_alone_waits_for_nobody():
    with together() as ranks:
        assert ranks is ALONE
    values = torch.arange(3.0)
    assert ALONE.summed(values) is ALONE.gathered(values) is values
    assert ALONE.from_first([1.5, 2.5]) == [1.5, 2.5]
    assert ALONE.device_of("mps") == "mps"
    ALONE.require_equal("weights", {})
    assert Ranks(1, 3, "cuda:1").device_of("auto") == "cuda:1"


SECOND_OF_TWO = Process(rank=3, n_ranks=4, local_rank=1, n_local=2, address="node", port=1)


def test_each_rank_of_a_machine_has_a_cuda_device_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device_of_rank("auto", SECOND_OF_TWO) == device_of_rank("cuda", SECOND_OF_TWO) == "cuda:1"
    assert device_of_rank("cpu", SECOND_OF_TWO) == "cpu"
    with pytest.raises(BadInput, match=r"E052 .*3 ranks on this machine, but torch sees 2 CUDA devices"):
        device_of_rank("auto", replace(SECOND_OF_TWO, n_local=3))


def test_without_cuda_ranks_share_the_cpu_and_none_is_made_up(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert device_of_rank("auto", SECOND_OF_TWO) == "cpu"
    with pytest.raises(BadInput, match=r"E052 .*2 ranks on this machine, but torch sees 0"):
        device_of_rank("cuda", SECOND_OF_TWO)
    for name in ("mps", "cuda:0"):
        with pytest.raises(BadInput, match=rf"E052 .*'{name}' is one device"):
            device_of_rank(name, SECOND_OF_TWO)
