"""A fit that is killed, interrupted, asked twice or fed what diverges loses nothing and ends in one line."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import traceback
import warnings
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from io_fixtures import snapshot
from model_fixtures import TINY, rebuilt, test_cells, training
from safetensors.torch import load_file, save_file

from unisono import cli
from unisono.io import write as write_module
from unisono.io.lock import Holder
from unisono.io.manifest import write_manifest
from unisono.messages import BadInput
from unisono.modalities import spec_of
from unisono.nn.model import Network
from unisono.training import fit as fit_module
from unisono.training import loop
from unisono.training.checkpoint import load_checkpoint
from unisono.training.saved_state import read_state

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")

SMALL = {
    **TINY,
    "n_members": 1,
    "batch_size": 40,
    "max_epochs": 3,
    "epochs_per_evaluation": 1,
    "validation": {"fraction": 0.0},
}
"""Four steps in each of three epochs, and nothing but training takes long."""
N_STEPS = 12


def as_toml(config, within=""):
    return "".join(
        as_toml(value, f"{within}{name}.") if isinstance(value, dict) else f"{within}{name} = {json.dumps(value)}\n"
        for name, value in config.items()
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    cells = training()
    rebuilt({"rna": cells["rna"], "adt": cells["adt"]}).write_h5mu(folder / "d.h5mu")
    other = rebuilt({"rna": cells["rna"][1:].copy(), "adt": cells["adt"][1:].copy()})
    other.write_h5mu(folder / "other.h5mu")
    counts = cells["rna"].X.astype(float).tolil()
    counts[:, 3] = 1e15
    cells["rna"].X = counts.tocsr()
    rebuilt({"rna": cells["rna"], "adt": cells["adt"]}).write_h5mu(folder / "huge.h5mu")
    test_cells().write_h5mu(folder / "q.h5mu")
    for name, changes in {
        "c": {},
        "seed": {"seed": 3, "max_epochs": 5},
        "rate": {"learning_rate": 1e3},
        "inf": {"weights": {"kl": float("inf")}},
        "heavy": {"weights": {"kl": 1e10}},
    }.items():
        (folder / f"{name}.toml").write_text(as_toml(SMALL | changes).replace("Infinity", "inf"))
    return folder


def main(words):
    """The exit code of a command line in this process."""
    sys.argv = ["unisono", *words]
    try:
        cli.main()
    except SystemExit as ended:
        return ended.code or 0
    return 0


@contextmanager
def nothing(_folder):
    yield


def run(store, folder, line, injected=nothing, during=None):
    """How a command ends in a child of this process, where a fault is injected; `@` stands for the store.

    `during` is called with the child's number while it runs.
    """
    words = [word.replace("@", f"{store}/") for word in shlex.split(line)]
    said = folder.parent / f"{folder.name}.said"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of forks, where a library has a thread
        child = os.fork()
    if child == 0:
        code = 99
        try:
            with said.open("w") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
                sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
                for name in SIGNALS:  # some are ignored where the tests run in the background
                    number = getattr(signal, name)
                    signal.signal(number, signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL)
                os.chdir(folder)
                with injected(folder):
                    code = main(words)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    if during is not None:
        during(child)
    _, status = os.waitpid(child, 0)
    text = said.read_text()
    kept = [text for text in text.splitlines() if not text.startswith(("fit on ", "FutureWarning", "  "))]
    return SimpleNamespace(code=os.waitstatus_to_exitcode(status), lines=kept, text=text, child=child)


def bits(model):
    return {name: (model / name).read_bytes() for name in ("weights.safetensors", "arrays.safetensors")}


FIT = "fit @d.h5mu -o m --batch-key batch --config @c.toml --device cpu"


@pytest.fixture(scope="module")
def whole(store, tmp_path_factory):
    """The bits of a fit that nothing happened to, in this process, so that its children find all modules imported."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [])
        assert main(shlex.split(FIT.replace("@", f"{store}/").replace("-o m", f"-o {folder / 'm'}"))) == 0
    assert hidden(folder) == []
    shutil.copytree(folder / "m", store / "model")
    return bits(folder / "m")


@pytest.fixture
def folder(tmp_path, whole):
    """An empty folder to run in, once the modules are imported."""
    place = tmp_path / "run"
    place.mkdir()
    return place


def hidden(folder):
    return sorted(entry.name for entry in folder.iterdir() if entry.name.startswith("."))


def left(folder):
    """Everything but a model and its checkpoint."""
    return sorted(entry.name for entry in folder.iterdir() if entry.name not in ("m", "m.checkpoint"))


@contextmanager
def checkpoints_after_every_step():
    fit_module._SECONDS_BETWEEN_CHECKPOINTS = -1.0
    yield


def at_call(owner, name, number, act):
    """Injects `act` before the call of that number, from 1, of a function; checkpoints are written after every step."""

    @contextmanager
    def injected(_folder):
        original, calls = getattr(owner, name), []

        def replaced(*args, **kwargs):
            calls.append(None)
            if len(calls) == number:
                act()
            return original(*args, **kwargs)

        setattr(owner, name, replaced)
        with checkpoints_after_every_step():
            yield

    return injected


def sends(*numbers, pause=0.0):
    def act():
        for number in numbers:
            os.kill(os.getpid(), number)
            time.sleep(pause)

    return act


@contextmanager
def without_exchange(_folder):
    """A disk on which names cannot change places; the process dies between the two renames of the third swap."""
    original, calls = os.rename, []

    def rename(source, target):
        calls.append(None)
        if ".tmp-" in str(source) and ".old-" in " ".join(os.listdir(Path(source).parent)) and len(calls) > 5:
            os.kill(os.getpid(), signal.SIGKILL)
        original(source, target)

    write_module._exchanged = lambda one, other: False
    os.rename = rename
    with checkpoints_after_every_step():
        yield


KILLED = {
    "in the first step": at_call(loop, "_step", 1, sends(signal.SIGKILL)),
    "in the middle of an epoch": at_call(loop, "_step", 7, sends(signal.SIGKILL)),
    "in the last step of an epoch": at_call(loop, "_step", 8, sends(signal.SIGKILL)),
    "between two epochs": at_call(loop, "_scores", 3, sends(signal.SIGKILL)),
    "while a checkpoint is written": at_call(write_module, "_sync_tree", 6, sends(signal.SIGKILL)),
    "before a checkpoint takes its place": at_call(write_module, "_swap", 6, sends(signal.SIGKILL)),
    "after it took its place": at_call(write_module, "_sync", 30, sends(signal.SIGKILL)),
    "between two renames": without_exchange,
    "after training": at_call(fit_module, "fit_anchors", 1, sends(signal.SIGKILL)),
}
QUICKLY_KILLED = ("while a checkpoint is written",)


@pytest.fixture
def all_or(request, is_full):
    """Skip a case that is not of the quick part."""

    def choose(is_quick):
        if not (is_full or is_quick):
            pytest.skip("of bench/faults")

    return choose


@pytest.mark.parametrize("moment", KILLED)
def test_a_fit_that_was_killed_is_resumed_to_the_same_bits(store, whole, folder, record, all_or, moment):
    all_or(moment in QUICKLY_KILLED)
    killed = run(store, folder, FIT, KILLED[moment])
    resumed = run(store, folder, f"{FIT} --resume")
    is_same = resumed.code == 0 and bits(folder / "m") == whole
    record("fault", f"kill -9 {moment}", "same bits" if is_same else f"{killed.text} {resumed.text}", is_same)
    assert killed.code == -signal.SIGKILL
    assert is_same, resumed.text
    assert [entry.name for entry in folder.iterdir()] == ["m"]


def test_a_fit_killed_at_random_moments_is_resumed_to_the_same_bits(store, whole, tmp_path, record, all_or):
    all_or(False)
    rng = np.random.default_rng(5)
    for number in range(20):
        place = tmp_path / str(number)
        place.mkdir()

        def kill(child):
            time.sleep(rng.uniform(0.0, 3.0))
            os.kill(child, signal.SIGKILL)

        run(store, place, FIT, lambda _: checkpoints_after_every_step(), kill)
        done = (place / "m").exists()
        ended = run(store, place, FIT if done else f"{FIT} --resume", nothing)
        is_same = (ended.code == 2 if done else ended.code == 0) and bits(place / "m") == whole and hidden(place) == []
        record("fault", f"kill -9 at a random moment, {number}", "same bits" if is_same else ended.text, is_same)
        assert is_same, ended.text


SIGNALS = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129, "SIGUSR1": 138}


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_saves_after_the_step_and_names_the_command_that_resumes(store, whole, folder, record, all_or, name):
    all_or(name == "SIGTERM")
    number = getattr(signal, name)
    ended = run(store, folder, FIT, lambda f: at_call(loop, "_step", 7, sends(number))(f))
    words = ended.lines[-1].partition("; unisono ")[2].removesuffix(" continues")
    resumed = run(store, folder, words)
    is_right = ended.code == SIGNALS[name] and resumed.code == 0 and bits(folder / "m") == whole
    record("fault", f"{name} in a step", f"exit {ended.code}: {ended.lines[-1]}", is_right)
    assert ended.code == SIGNALS[name], ended.text
    assert ended.lines[-1].startswith("interrupted; saved at epoch 1 and 3 steps; unisono fit ")
    assert resumed.lines[0].startswith("resumes from epoch 1 and 3 steps, saved in m.checkpoint")
    assert is_right, resumed.text
    assert left(folder) == []


def test_a_signal_without_checkpoints_on_the_way_saves_all_the_same(store, whole, folder, record, all_or):
    """A step of a long first epoch: nothing was saved before."""
    all_or(False)

    @contextmanager
    def injected(place):
        with at_call(loop, "_step", 2, sends(signal.SIGTERM))(place):
            fit_module._SECONDS_BETWEEN_CHECKPOINTS = 1e9
            yield

    ended = run(store, folder, FIT, injected)
    resumed = run(store, folder, f"{FIT} --resume")
    is_right = ended.code == 143 and resumed.code == 0 and bits(folder / "m") == whole
    record("fault", "SIGTERM in the first epoch", f"exit {ended.code}: {ended.lines[-1]}", is_right)
    assert "saved at epoch 0 and 2 steps" in ended.lines[-1]
    assert is_right, resumed.text


def test_a_second_interrupt_ends_at_once_with_the_last_checkpoint_whole(store, whole, folder, record):
    twice = at_call(write_module, "_sync_tree", 6, sends(signal.SIGINT, signal.SIGINT, pause=0.3))
    ended = run(store, folder, FIT, twice)
    found = left(folder)
    resumed = run(store, folder, f"{FIT} --resume")
    is_right = ended.code == 130 and found == [] and resumed.code == 0 and bits(folder / "m") == whole
    record("fault", "SIGINT twice, while a checkpoint is written", f"exit {ended.code}", is_right)
    assert ended.lines == ["interrupted; what was being written was removed"]
    assert is_right, (found, resumed.text)


def test_a_signal_that_is_ignored_stays_so(store, whole, folder, record, all_or):
    all_or(False)

    @contextmanager
    def under_nohup(place):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with at_call(loop, "_step", 7, sends(signal.SIGHUP))(place):
            yield

    ended = run(store, folder, FIT, under_nohup)
    record("fault", "SIGHUP under nohup", f"exit {ended.code}", ended.code == 0)
    assert ended.code == 0, ended.text
    assert bits(folder / "m") == whole


LONG = {
    "predict": "predict @model @q.h5mu --from rna --to adt -o out.h5ad --device cpu",
    "match": "match @model @q.h5mu --between rna,adt -o out.h5ad --device cpu",
    "embed": "embed @model @q.h5mu -o out.h5mu --device cpu",
    "convert": "convert @q.h5mu -o out.zarr",
}


@pytest.mark.parametrize(("command", "name"), [(c, n) for c in LONG for n in ("SIGINT", "SIGTERM")])
def test_an_interrupted_command_leaves_no_file(store, whole, folder, record, all_or, command, name):
    all_or((command, name) == ("predict", "SIGINT"))
    ended = run(store, folder, LONG[command], at_call(write_module, "_sync_tree", 1, sends(getattr(signal, name))))
    is_right = ended.code == SIGNALS[name] and list(folder.iterdir()) == []
    record("fault", f"{name} in {command}", f"exit {ended.code}: {' '.join(ended.lines)}", is_right)
    assert ended.lines[-1] == "interrupted; what was being written was removed", ended.text
    assert is_right


def locks(**changes):
    return Holder.own().model_copy(update=changes).model_dump_json()


def gone():
    child = subprocess.Popen([sys.executable, "-S", "-c", ""])
    child.wait()
    return child.pid


LOCKED = {
    "by a living process": (lambda: locks(), "process {pid} of this machine has been writing it since "),
    "by another machine": (lambda: locks(host="elsewhere", pid=7), "process 7 on elsewhere has been writing it since "),
    "by who does not say": (lambda: "no JSON", "another process seems to write it: "),
    "by a process that is gone": (lambda: locks(pid=gone()), ""),
    "by one whose number another has": (lambda: locks(born="5 after another start"), ""),
}


@pytest.mark.parametrize("case", LOCKED)
def test_an_output_that_another_process_writes_is_refused_before_anything_is_read(store, whole, folder, record, case):
    text, refusal = LOCKED[case]
    (folder / ".m.lock").write_text(text())
    before = snapshot(folder)
    ended = run(store, folder, "fit nowhere.h5mu -o m --config @c.toml")
    is_right = ended.code == 2 and len(ended.lines) == 1 and ended.lines[0].startswith("E076" if refusal else "E001")
    record("fault", f"an output locked {case}", ended.lines[-1], is_right)
    assert is_right, ended.text
    assert refusal.format(pid=os.getpid()) in ended.lines[0]
    assert snapshot(folder) == before if refusal else hidden(folder) == []
    if refusal:
        assert run(store, folder, "adapt @model nowhere.h5mu -o m").lines[0].startswith("E076")


def test_of_two_fits_into_one_folder_the_second_ends_within_seconds(store, whole, folder, record, all_or):
    all_or(False)
    found = []

    def second(child):
        until = time.monotonic() + 60
        while not (folder / ".m.lock").exists() and time.monotonic() < until:
            time.sleep(0.01)
        found.append(run(store, folder, f"{FIT} --seed 5"))
        found.append(child)

    ended = run(store, folder, FIT, lambda f: at_call(loop, "_step", 5, lambda: time.sleep(2.0))(f), second)
    refused, first = found
    is_right = refused.code == 2 and ended.code == 0 and bits(folder / "m") == whole
    record("fault", "two fits into one folder", refused.lines[-1], is_right)
    assert refused.lines[0].startswith(f"E076 m: process {first} of this machine"), refused.text
    assert is_right, ended.text
    assert [entry.name for entry in folder.iterdir()] == ["m"]


def test_of_many_that_take_over_one_lock_one_holds_it(folder, record, all_or):
    """Each of six processes that find a stale lock at once holds it alone, or is refused."""
    all_or(False)
    (folder / ".m.lock").write_text(locks(pid=gone()))
    code = (
        "import sys, time\nfrom unisono.io.lock import locked\nfrom unisono.messages import BadInput\n"
        "try:\n    with locked(sys.argv[1]):\n        print('held', flush=True); time.sleep(15)\n"
        "except BadInput as error:\n    print(str(error)[:4])\n"
    )
    words = [sys.executable, "-c", code, str(folder / "m")]
    processes = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    said = sorted(process.communicate()[0].strip() for process in processes)
    record("fault", "a stale lock found by six at once", " ".join(said), said == ["E076"] * 5 + ["held"])
    assert said == ["E076"] * 5 + ["held"]
    assert hidden(folder) == []


@pytest.fixture(scope="module")
def unfinished(store, tmp_path_factory):
    """A checkpoint of epoch 1 and 3 steps."""
    folder = tmp_path_factory.mktemp("unfinished")
    ended = run(store, folder, FIT, at_call(loop, "_step", 7, sends(signal.SIGTERM)))
    assert ended.code == 143, ended.text
    return folder / "m.checkpoint"


def copied(unfinished, folder):
    (folder / "m.checkpoint").mkdir()
    for file in unfinished.iterdir():
        (folder / "m.checkpoint" / file.name).write_bytes(file.read_bytes())


def test_a_checkpoint_is_not_lost_by_forgetting_to_resume(store, unfinished, folder, record):
    copied(unfinished, folder)
    before = snapshot(folder)
    ended = run(store, folder, "fit nowhere.h5mu -o m --config @c.toml")
    record("fault", "a fit without --resume where a checkpoint is", ended.lines[-1], ended.code == 2)
    assert ended.code == 2
    (line,) = ended.lines
    assert line.startswith("E077 m.checkpoint: a checkpoint of epoch 1 and 3 steps is there. Fix: --resume continues ")
    assert snapshot(folder) == before
    assert hidden(folder) == []
    forced = run(store, folder, FIT.replace("@c", "@seed") + " --force")
    assert forced.code == 0, forced.text
    assert any(
        line.startswith("W077 m.checkpoint: the checkpoint of epoch 1 and 3 steps is not used") for line in forced.lines
    )


def test_a_fit_that_cannot_be_resumed_says_that_it_begins_anew(store, whole, folder, record, all_or):
    all_or(False)
    ended = run(store, folder, f"{FIT} --resume")
    is_right = ended.code == 0 and bits(folder / "m") == whole
    record("fault", "--resume without a checkpoint", ended.lines[0], is_right)
    assert ended.lines[0].startswith("W077 m.checkpoint: no checkpoint is there: the fit starts at epoch 0. Fix: ")
    assert is_right


OTHER = {
    "another config": (FIT.replace("@c", "@seed"), "was made with another config: seed 0, now 3; max_epochs 3, now 5."),
    "other data": (FIT.replace("@d", "@other"), "was made with other data (SHA-256 "),
}


@pytest.mark.parametrize("case", OTHER)
def test_a_checkpoint_of_something_else_says_what_differs(store, unfinished, folder, record, case):
    copied(unfinished, folder)
    before = snapshot(folder)
    line, words = OTHER[case]
    ended = run(store, folder, f"{line} --resume")
    is_right = ended.code == 2 and words in ended.lines[-1]
    record("fault", f"a checkpoint of {case}", ended.lines[-1], is_right)
    assert ended.lines[-1].startswith("E049 m.checkpoint: "), ended.text
    assert is_right
    assert snapshot(folder) == before


def state(change):
    def rewritten(checkpoint):
        document = json.loads((checkpoint / "state.json").read_text())
        change(document)
        (checkpoint / "state.json").write_text(json.dumps(document))

    return rewritten


def raw(content):
    return lambda checkpoint: (checkpoint / "state.json").write_bytes(content)


def tensors(change):
    def rewritten(checkpoint):
        found = load_file(checkpoint / "training.safetensors")
        change(found)
        save_file(found, checkpoint / "training.safetensors")

    return rewritten


def first(found, prefix):
    return next(name for name in found if name.startswith(prefix))


STATE, TENSORS = "state.json: ", "training.safetensors: "
STRANGE = {
    "no UTF-8": (raw(b"\xff\xfe{"), f"{STATE}the document: "),
    "nested 100,000 deep": (raw(b"[" * 100_000), f"{STATE}the document: "),
    "a list": (raw(b"[]"), f"{STATE}the document: "),
    "a field is missing": (state(lambda d: d.pop("n_steps")), f"{STATE}n_steps: Field required."),
    "an unknown field": (state(lambda d: d.update(extra=1)), f"{STATE}extra: "),
    "a number is text": (state(lambda d: d.update(n_steps="7")), f"{STATE}n_steps: "),
    "a negative number": (state(lambda d: d.update(n_batches=-1)), f"{STATE}n_batches: "),
    "a huge number": (state(lambda d: d.update(n_batches=2**63)), f"{STATE}n_batches: "),
    "no epoch": (state(lambda d: d.update(epochs=[])), f"{STATE}epochs: "),
    "a score is text": (state(lambda d: d["epochs"][0].update(scores="x")), f"{STATE}epochs.0.scores: "),
    "a term is NaN": (state(lambda d: d["epochs"][1].update(terms={"kl": np.nan})), f"{STATE}epochs.1.terms.kl: "),
    "a config out of range": (state(lambda d: d["config"].update(batch_size=0)), f"{STATE}config.batch_size: "),
    "a config of another version": (state(lambda d: d["config"].update(new=0)), f"{STATE}config.new: "),
    "weights are NaN": (tensors(lambda t: t[first(t, "network.")].fill_(torch.nan)), f"{TENSORS}network."),
    "moments are infinite": (tensors(lambda t: t[first(t, "exp_avg.")].fill_(torch.inf)), f"{TENSORS}exp_avg."),
    "a tensor is missing": (tensors(lambda t: t.pop(first(t, "best."))), f"{TENSORS}best."),
    "an unknown tensor": (tensors(lambda t: t.update(x=torch.zeros(2))), f"{TENSORS}x is unknown."),
    "another shape": (tensors(lambda t: t.update({first(t, "averaged."): torch.zeros(2, 5)})), f"{TENSORS}averaged."),
    "no safetensors": (
        lambda checkpoint: (checkpoint / "training.safetensors").write_bytes(b"\xff" * 64),
        "training.safetensors cannot be read ",
    ),
}


@pytest.mark.parametrize("case", STRANGE)
def test_a_checkpoint_of_a_stranger_is_refused_with_its_file_and_field(unfinished, folder, record, case):
    """Read as a fit reads it, by a training of the right shape."""
    copied(unfinished, folder)
    checkpoint = folder / "m.checkpoint"
    before = read_state(checkpoint)
    change, words = STRANGE[case]
    change(checkpoint)
    write_manifest(checkpoint)
    with pytest.raises(BadInput) as caught:
        load_checkpoint(network_of(unfinished), checkpoint, before.config, before.fingerprint)
    (found,) = caught.value.findings
    is_right = found.code == "E049" and found.what.startswith(words) and "\n" not in str(found)
    record("fault", f"a checkpoint of a stranger: {case}", str(found), is_right)
    assert is_right, str(found)


def network_of(checkpoint):
    config = read_state(checkpoint).config
    weights = load_file(checkpoint / "training.safetensors")
    own = {name.removeprefix("network."): value for name, value in weights.items() if name.startswith("network.")}
    return Network.of_state(config, {m: spec_of(m).likelihood(config) for m in ("rna", "adt")}, own)


DIVERGED = {
    "learning rate 1e3": ("fit @d.h5mu -o m --batch-key batch --config @rate.toml --device cpu", 0, "W078 training: "),
    "a gene with 1e15 counts": ("fit @huge.h5mu -o m --batch-key batch --config @c.toml --device cpu", 0, "W019 huge"),
    "an infinite weight": ("fit @d.h5mu -o m --config @inf.toml --device cpu", 2, "E053 inf.toml: weights.kl: "),
    "a weight of 1e10": ("fit @d.h5mu -o m --config @heavy.toml --device cpu", 2, "E053 heavy.toml: weights.kl: "),
}


@pytest.mark.parametrize("case", DIVERGED)
def test_a_loss_that_is_not_finite_never_ends_in_a_model_with_nan(store, folder, record, all_or, case):
    all_or(case != "a gene with 1e15 counts")
    line, code, words = DIVERGED[case]
    ended = run(store, folder, line, lambda _: checkpoints_after_every_step())
    said = [line for line in ended.lines if line.startswith(words)]
    weights = folder / "m" / "weights.safetensors"
    is_finite = not weights.exists() or all(value.isfinite().all() for value in load_file(weights).values())
    is_right = ended.code == code and len(said) == 1 and is_finite
    record("fault", f"diverging: {case}", f"exit {ended.code}: {' '.join(said)}", is_right)
    assert is_right, ended.text
    assert [entry.name for entry in folder.iterdir()] == (["m"] if code == 0 else [])
    if words.startswith("W078"):
        assert json.loads((folder / "m" / "record.json").read_text())["n_skipped_steps"] > 0


def loses(*numbers):
    """Injects NaN losses into the steps of those numbers, from 1."""

    @contextmanager
    def injected(_folder):
        original, calls = loop.terms, []

        def terms(*args):
            calls.append(None)
            found = original(*args)
            return {name: value * torch.nan if len(calls) in numbers else value for name, value in found.items()}

        loop.terms = terms
        yield

    return injected


@pytest.mark.parametrize(
    ("numbers", "code", "n_skipped"),
    [((6,), 0, 1), ((6, 7), 0, 2), ((5, 6, 7, 8, 9), 2, None), (range(1, 99), 2, None)],
)
def test_steps_that_are_not_finite_are_skipped_counted_and_told(
    store, whole, folder, record, all_or, numbers, code, n_skipped
):
    all_or(n_skipped == 1 or len(numbers) == 5)
    ended = run(store, folder, FIT, loses(*numbers))
    is_right = ended.code == code
    record("fault", f"NaN in {len(numbers)} steps in a row", f"exit {ended.code}: {ended.lines[0]}", is_right)
    assert is_right, ended.text
    assert hidden(folder) == []
    if code:
        assert ended.lines[-1].startswith("E078 training: ")
        assert list(folder.iterdir()) == []
        return
    assert f"W078 training: {n_skipped} steps were skipped" in ended.text
    found = json.loads((folder / "m" / "record.json").read_text())
    assert found["n_skipped_steps"] == n_skipped
    assert bits(folder / "m") != whole
    assert all(value.isfinite().all() for value in load_file(folder / "m" / "weights.safetensors").values())


def test_a_folder_that_cannot_be_written_to_is_refused_before_anything_is_read(store, folder, record):
    @contextmanager
    def read_only(_folder):
        access = os.access
        os.access = lambda path, mode: mode != os.W_OK and access(path, mode)  # the superuser may write anywhere
        yield

    ended = run(store, folder, "fit nowhere.h5mu -o m --config @c.toml", read_only)
    record("fault", "a read-only folder", ended.lines[-1], ended.code == 2)
    assert ended.code == 2
    assert ended.lines[0].startswith("E056 ")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("can_exchange", "by_reader"), [(True, False), (False, False), (False, True)])
def test_a_model_being_replaced_when_the_process_is_killed_is_there_again(
    store, whole, folder, record, all_or, can_exchange, by_reader
):
    """Killed between the two renames where names cannot change places, else after the exchange."""
    all_or(by_reader)
    shutil.copytree(store / "model", folder / "m")
    before = snapshot(folder)

    @contextmanager
    def killed(_folder):
        if can_exchange:
            remove = write_module._remove
            write_module._remove = lambda path: (
                sends(signal.SIGKILL)() if path.name.startswith(".m.tmp") else remove(path)
            )
        else:
            original = os.rename

            def rename(source, target):
                if ".m.tmp-" in str(source):
                    sends(signal.SIGKILL)()
                original(source, target)

            write_module._exchanged = lambda one, other: False
            os.rename = rename
        yield

    ended = run(store, folder, f"{FIT} --force", killed)
    assert ended.code == -signal.SIGKILL
    assert (folder / "m").exists() == can_exchange
    again = run(store, folder, "info m" if by_reader else "fit nowhere.h5mu -o m --config @c.toml --force")
    found = {name: content for name, content in snapshot(folder).items() if name.startswith("m/")}
    is_back = found == before if not can_exchange else (folder / "m" / "manifest.json").exists()
    record("fault", f"kill -9 while a model is replaced, {can_exchange=}, {by_reader=}", again.lines[0], is_back)
    assert can_exchange or "W079" in again.text
    assert is_back
    assert hidden(folder) == ([".m.lock", f".m.tmp-{ended.child}"] if by_reader else [])


START = "import sys; sys.argv = ['unisono', 'fit', {data!r}, '-o', 'm']\nfrom unisono.cli import main\nmain()"


@pytest.mark.slow
def test_an_interrupt_while_modules_are_imported_ends_in_one_line(store, folder, record, all_or):
    """At 24 moments of the start, from when the first of our modules runs."""
    all_or(False)
    code = (
        "import sys, threading, os, signal, time\n"
        "for name in ('SIGINT', 'SIGUSR1'):\n    signal.signal(getattr(signal, name), signal.default_int_handler)\n"
        "from unisono import interruption\nbefore = signal.signal\n"
        "def soon():\n    time.sleep({delay}); os.kill(os.getpid(), signal.SIGINT)\n"
        "def answered(number, handler):\n"
        "    found = before(number, handler)\n"
        "    if number == signal.SIGUSR1:\n"
        "        signal.signal = before; threading.Thread(target=soon, daemon=True).start()\n"
        "    return found\n"
        "signal.signal = answered\n" + START
    )
    for number in range(24):
        delay = 0.002 + number * 0.1
        words = [
            sys.executable,
            "-c",
            code.replace("{delay}", str(delay)).replace("{data!r}", repr(str(store / "d.h5mu"))),
        ]
        ended = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
        said = [line for line in ended.stderr.splitlines() if line.startswith("interrupted")]
        is_right = ended.returncode == 130 and len(said) == 1 and "Traceback" not in ended.stderr
        record("fault", f"SIGINT after {delay:.1f} s of the start", f"exit {ended.returncode}", is_right)
        assert is_right, (delay, ended.stderr)
        assert left(folder) == []
        for entry in folder.glob("m.checkpoint/*"):
            entry.unlink()
        if (folder / "m.checkpoint").exists():
            (folder / "m.checkpoint").rmdir()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_ranks_save_together_and_are_resumed_on_one(store, folder, record, all_or, name):
    all_or(False)
    (folder / "long.toml").write_text(as_toml(SMALL | {"max_epochs": 4000}))
    words = [sys.executable, "-m", "unisono.cli", "fit", str(store / "d.h5mu"), "-o", "m", "--config", "long.toml"]
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    launcher = subprocess.Popen(
        [*words, "--device", "cpu", "--devices", "2"], cwd=folder, stderr=subprocess.PIPE, text=True
    )
    signal.signal(signal.SIGINT, handler)
    until = time.monotonic() + 120
    while not (folder / "m.checkpoint").exists() and time.monotonic() < until:
        time.sleep(0.1)
    held = json.loads((folder / ".m.lock").read_text())["pid"]
    launcher.send_signal(getattr(signal, name))
    _, errors = launcher.communicate(timeout=60)
    last = errors.splitlines()[-1]
    is_right = launcher.returncode == SIGNALS[name] and last.startswith("interrupted; saved at epoch ")
    record("fault", f"{name} to two ranks", f"exit {launcher.returncode}: {last}", is_right)
    assert held == launcher.pid
    assert is_right, errors
    assert hidden(folder) == []
    (folder / "long.toml").write_text(as_toml(SMALL | {"max_epochs": 4000}))
    resumed = run(
        store,
        folder,
        "fit @d.h5mu -o m --config long.toml --device cpu --resume",
        at_call(loop, "_step", 3, sends(signal.SIGTERM)),
    )
    assert resumed.lines[0].startswith("resumes from epoch "), resumed.text
    assert resumed.code == 143


def test_locks_name_the_process_by_when_it_started():
    own = Holder.own()
    assert not own.is_gone
    assert own.model_copy(update={"pid": gone()}).is_gone
    assert not own.model_copy(update={"host": "elsewhere", "pid": gone()}).is_gone
