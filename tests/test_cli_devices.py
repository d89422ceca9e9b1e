"""A fit on two devices gives the model of one, ends within seconds when a rank is lost, and is resumed on one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from unisono.api import load
from unisono.datasets import simulate

pytestmark = pytest.mark.slow

SETTINGS = """\
n_members = 2
n_codes = 12
batch_size = 128
epochs_per_evaluation = 2
"""


@pytest.fixture(autouse=True)
def _interrupts():
    """SIGINT ends what is started here; it is ignored where the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("devices")
    simulate(n_cells=397, n_genes=120, n_peaks=200, n_proteins=17, seed=3).write(folder / "data.h5mu")
    for name, n_epochs in (("short", 6), ("middle", 60), ("long", 2000)):
        (folder / f"{name}.toml").write_text(f"{SETTINGS}max_epochs = {n_epochs}\npatience = {n_epochs}\n")
    return folder


def command(folder, out, config, *options):
    words = [sys.executable, "-m", "unisono.cli", "fit", folder / "data.h5mu", "-o", folder / out]
    return [str(w) for w in (*words, "--batch-key", "batch", "--device", "cpu", "--config", folder / config, *options)]


def weights(path):
    return load(path, device="cpu").fitted.predictor.network.state_dict()


def test_two_devices_give_the_model_of_one(folder):
    for out, options in (("one", ()), ("two", ("--devices", "2"))):
        ended = subprocess.run(
            command(folder, out, "short.toml", *options), capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
        assert ended.stderr.count("fit on cpu") == 1
        assert ended.stderr.count("model written to") == 1
    torch.testing.assert_close(weights(folder / "two"), weights(folder / "one"), rtol=1e-4, atol=1e-4)
    found, wanted = (load(folder / out, device="cpu") for out in ("two", "one"))
    assert (found.record.device, wanted.record.device) == ("2 x cpu", "cpu")
    assert found.record.validation.correlation == pytest.approx(wanted.record.validation.correlation, abs=1e-4)
    assert not list(folder.glob("*.checkpoint"))


def started(folder, out):
    """A long fit on two devices whose ranks train; and their process numbers."""
    words = command(folder, out, "long.toml", "--devices", "2", "--force")
    launcher = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert "2 ranks" in launcher.stderr.readline()
    ranks = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    checkpoint = folder / f"{out}.checkpoint"
    until = time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert checkpoint.exists()
    return launcher, [int(rank) for rank in ranks]


@pytest.mark.skipif(sys.platform != "linux", reason="process numbers of ranks are read from /proc")
@pytest.mark.parametrize(
    ("rank", "number", "word"),
    [
        (1, signal.SIGKILL, "was killed by SIGKILL"),
        (0, signal.SIGKILL, "was killed"),
        (1, signal.SIGSTOP, "was stopped"),
    ],
)
def test_a_lost_rank_ends_the_run_within_ten_seconds(folder, rank, number, word):
    out = f"lost-{rank}-{number}"
    launcher, ranks = started(folder, out)
    began = time.monotonic()
    os.kill(ranks[rank], number)
    _, errors = launcher.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert launcher.returncode == 1
    (line,) = errors.splitlines()
    assert line.startswith(f"rank {rank} of 2 (process {ranks[rank]}) ")
    assert word in line
    assert not any(Path(f"/proc/{pid}").exists() for pid in ranks)
    assert not (folder / out).exists()


@pytest.mark.skipif(sys.platform != "linux", reason="process numbers of ranks are read from /proc")
def test_a_rank_without_our_launcher_names_the_one_that_hangs(folder):
    names = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29517", "SLURM_NTASKS": "2"}
    ranks = [
        subprocess.Popen(
            command(folder, "hung", "long.toml", "--force"),
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | names | {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)},
        )
        for rank in range(2)
    ]
    assert "2 ranks" in ranks[0].stderr.readline()
    began = time.monotonic()
    ranks[1].send_signal(signal.SIGSTOP)
    _, errors = ranks[0].communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert ranks[0].returncode == 1
    assert "rank 1 of 2" in errors
    assert "gives no sign of life" in errors
    ranks[1].kill()
    ranks[1].communicate()


def test_a_fit_on_two_devices_is_resumed_on_one(folder):
    """What is left of a run on two devices, on one device and to the end: the model of one, up to rounding."""
    words = command(folder, "resumed", "middle.toml")
    launcher = subprocess.Popen([*words, "--devices", "2"], stderr=subprocess.PIPE, text=True)
    checkpoint, until = folder / "resumed.checkpoint", time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < until:
        time.sleep(0.05)
    launcher.send_signal(signal.SIGINT)
    _, errors = launcher.communicate(timeout=30)
    assert launcher.returncode == 130
    assert "--resume" in errors
    assert subprocess.run([*words, "--resume"], capture_output=True, check=False).returncode == 0
    assert subprocess.run(command(folder, "through", "middle.toml"), capture_output=True, check=False).returncode == 0
    found, wanted = (load(folder / out, device="cpu") for out in ("resumed", "through"))
    assert [e.epoch for e in found.record.curve] == [e.epoch for e in wanted.record.curve]
    for epoch, same in zip(found.record.curve, wanted.record.curve, strict=True):
        assert epoch.correlation == pytest.approx(same.correlation, abs=2e-3)


SCRIPT = """
import os, sys
import unisono as un
config = un.FitConfig(n_members=1, max_epochs=2, n_codes=12)
model = un.fit(un.read(sys.argv[1]), batch_key="batch", config=config, device="cpu")
model.save(f"{sys.argv[2]}-{os.environ['RANK']}")
"""


def test_a_script_that_torchrun_starts_fits_one_model(folder):
    (folder / "script.py").write_text(SCRIPT)
    words = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29519"]
    words += [str(folder / "script.py"), str(folder / "data.h5mu"), str(folder / "scripted")]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    one, other = (load(folder / f"scripted-{rank}", device="cpu") for rank in range(2))
    assert one.record.device == other.record.device == "2 x cpu"
    for name, value in one.fitted.predictor.network.state_dict().items():
        assert torch.equal(value, other.fitted.predictor.network.state_dict()[name]), name
