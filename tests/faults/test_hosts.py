"""Hosts that lack something: HOME, a terminal, room to write; the answer is the same, and nothing else is written."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import unicodedata
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
from io_fixtures import snapshot
from model_fixtures import rebuilt, small_model, test_cells
from report_fixtures import HOSTILE

import unisono
from unisono import cli

SOURCES = Path(unisono.__file__).resolve().parents[1]
UNICODE = unicodedata.normalize("NFC", "Größe µ 細胞 ñ")
WATCHED = """
import os, sys
notes = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_CREAT | os.O_APPEND)  # of any thread, line by line
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.truncate"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
def note(event, args):
    if event in CHANGES or (event == "open" and (args[2] or 0) & WRITING):
        for path in args[: 2 if event in ("os.rename", "os.link", "os.symlink") else 1]:
            if isinstance(path, (str, bytes)):
                os.write(notes, os.fsencode(os.path.abspath(os.fsdecode(path)) + "\\n"))
sys.addaudithook(note)
from unisono.cli import main
main()
"""
"""Runs the program and notes each path that Python opens to write, makes, renames or removes."""


@dataclass(frozen=True)
class Ended:
    """How a run ended, and what it wrote outside the folder of its output."""

    code: int
    out: str
    err: str
    strays: tuple[str, ...]

    def __str__(self) -> str:
        strays = f", wrote {', '.join(self.strays)}" if self.strays else ""
        last = (self.err.strip().splitlines() or [""])[-1]
        return f"exit {self.code}{strays}{': ' + last if self.code else ''}"


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """Folders with a model, a query and room for outputs, below a path of spaces and other scripts of 200 letters."""
    place = tmp_path_factory.mktemp("host") / f"a b {UNICODE}" / ("long " * 20).strip() / ("deep_" * 20) / "here"
    for name in ("data", "outputs"):
        (place / name).mkdir(parents=True)
    query = test_cells()
    rebuilt({m: query[m] for m in ("rna", "adt")}).write_h5mu(place / "data" / f"{UNICODE} query.h5mu")
    (place / "data" / "link.h5mu").symlink_to(f"{UNICODE} query.h5mu")
    small_model().save(place / "data" / "model")
    (place / "data" / "linked model").symlink_to("model")
    assert len(str(place)) > 240
    return place


@pytest.fixture
def run(host, tmp_path):
    """Runs the program in the folder of the host with an environment of little, and watches what it writes."""

    def start(*words: str, stdin: str = "", before: tuple[str, ...] = (), **env: str) -> Ended:
        notes = tmp_path / "notes"
        given = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCES), "OMP_NUM_THREADS": "1"} | env
        program = [*before, sys.executable, "-B", "-c", WATCHED, str(notes), *words]
        ended = subprocess.run(
            ["sh", "-c", f'exec "$@" {stdin}', "sh", *program],
            cwd=host,
            env={name: value for name, value in given.items() if value},
            capture_output=True,
            start_new_session=True,
            timeout=300,
            check=False,
        )
        written = set(notes.read_text(encoding="utf-8", errors="surrogateescape").splitlines())
        outputs = str(host / "outputs")
        strays = sorted(path for path in written if not path.startswith((outputs, "/dev/")))
        text = (each.decode("utf-8", "replace") for each in (ended.stdout, ended.stderr))
        return Ended(ended.returncode, *text, tuple(strays))

    return start


def predicted(path: Path) -> bool:
    """Whether a file holds what the model predicts of the query here."""
    wanted = small_model().predict(test_cells(), source="rna", target="adt")
    found = anndata.read_h5ad(path)
    return bool(np.abs(found.X - wanted.X).max() < 1e-6) and list(found.obs_names) == list(wanted.obs_names)


PREDICT = ("predict", "data/linked model", "data/link.h5mu", "--from", "rna", "--to", "adt", "--device", "cpu", "-o")
BARE = {"LC_ALL": "C", "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "20"}
HOSTS: list[Any] = [
    pytest.param("all at once", {**BARE}, "<&-", id="all at once"),
    *(
        pytest.param(name, env, stdin, id=name, marks=pytest.mark.slow)
        for name, env, stdin in (
            ("no HOME", {}, ""),
            ("a HOME that is not there", {"HOME": "/nowhere"}, ""),
            ("no TMPDIR that is there", {"TMPDIR": "/nowhere"}, ""),
            ("C locale, ASCII file names", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, ""),
            ("latin-1 output", {"PYTHONIOENCODING": "latin-1"}, ""),
            ("ASCII output", {"PYTHONIOENCODING": "ascii:strict"}, ""),
            ("NO_COLOR", {"NO_COLOR": "1"}, ""),
            ("a terminal of no kind", {"TERM": "dumb", "COLUMNS": "1"}, ""),
            ("closed stdin", {}, "<&-"),
            ("closed stdin, stdout and stderr", {}, "<&- >&- 2>&-"),
        )
    ),
]


@pytest.mark.parametrize(("name", "env", "stdin"), HOSTS)
def test_a_bare_host_gives_the_same_prediction_and_nothing_is_written_next_to_it(name, env, stdin, host, run, record):
    out = host / "outputs" / f"{UNICODE} {name}.h5ad"
    before = snapshot(host / "data")
    ended = run(*PREDICT, str(out.relative_to(host)), stdin=stdin, **env)
    is_right = ended.code == 0 and not ended.strays and snapshot(host / "data") == before and predicted(out)
    record("fault", f"host: {name}", str(ended), is_right)
    assert is_right, (ended, ended.err)
    assert "\x1b" not in ended.out + ended.err


READ_ONLY = 'for each in {places}; do mount --bind "$each" "$each"; mount -o remount,ro,bind "$each"; done; exec "$@"'


@pytest.mark.slow
def test_model_data_and_installation_may_be_read_only(host, run, record):
    """Mounted so, since what is forbidden to a user is allowed to root."""
    places = " ".join(f"'{place}'" for place in (host / "data", SOURCES, sys.prefix))
    mounted = ("unshare", "--mount", "sh", "-euc", READ_ONLY.format(places=places), "sh")
    if subprocess.run([*mounted, "true"], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    assert subprocess.run([*mounted, "touch", str(host / "data" / "x")], capture_output=True, check=False).returncode
    out = host / "outputs" / "from read-only.h5ad"
    ended = run(*PREDICT, str(out), before=mounted)
    is_right = ended.code == 0 and not ended.strays and predicted(out)
    record("fault", "host: read-only model, data and installation", str(ended), is_right)
    assert is_right, (ended, ended.err)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize(
    "line",
    [
        "predict data/model data/link.h5mu --from rna --to adt --interval 0.9 -o outputs/traced.h5ad",
        "match data/model data/link.h5mu --between rna,adt -o outputs/matched.h5ad",
        "embed data/model data/link.h5mu -o outputs/embedded.h5mu",
        "evaluate data/model data/link.h5mu -o outputs/scores",
        "convert data/link.h5mu -o outputs/converted.zarr",
    ],
    ids=lambda line: line.split()[0],
)
def test_no_call_of_the_system_writes_outside_the_output(line, host, run, record, tmp_path):
    """Those of HDF5 and other libraries too, which Python does not see."""
    trace = tmp_path / "trace"
    calls = "trace=open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,rmdir,symlink,truncate"
    ended = run(*line.split(), before=("strace", "-f", "-y", "-qq", "-s", "4096", "-e", calls, "-o", str(trace)))
    strays = sorted(path for path in written_by(trace) if not is_allowed(path, host, tmp_path))
    is_right = ended.code == 0 and not strays
    record("fault", f"host: traced {line.split()[0]}", f"exit {ended.code}, wrote {len(strays)} elsewhere", is_right)
    assert is_right, (strays, ended.err)


def written_by(trace: Path) -> set[str]:
    """Paths that calls in a trace opened to write, made, renamed or removed, where they succeeded."""
    found = set()
    for line in trace.read_text(encoding="utf-8", errors="replace").splitlines():
        call = line.split(" ", 1)[1].lstrip()
        name = call.split("(", 1)[0]
        is_reading = name in ("open", "openat") and not any(flag in call for flag in ("O_WRONLY", "O_RDWR", "O_CREAT"))
        if is_reading or call.rsplit("= ", 1)[-1].startswith("-1"):
            continue
        for folder, path in re.findall(r'(?:<([^>]*)>, )?"((?:[^"\\]|\\.)*)"', call):
            found.add(os.path.normpath(Path(unescaped(folder)) / unescaped(path)))
    return found


def unescaped(text: str) -> str:
    """A path as a trace writes it, with bytes beyond ASCII as octal numbers."""
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1").decode("utf-8")


def is_allowed(path: str, host: Path, tmp_path: Path) -> bool:
    own = (str(host / "outputs"), "/dev/", "/proc/", str(tmp_path / "notes"))
    return str(host / path).startswith(own) or "/__pycache__" in path


COMMANDS = {
    "datasets": ("outputs/there", "datasets pbmc10k_cite --offline -o outputs/there"),
    "fit": ("outputs/there", "fit data/link.h5mu -o outputs/there"),
    "adapt": ("outputs/there", "adapt data/model data/link.h5mu -o outputs/there"),
    "calibrate": ("outputs/there", "calibrate data/model data/link.h5mu -o outputs/there"),
    "convert": ("outputs/there.zarr", "convert data/link.h5mu -o outputs/there.zarr"),
    "predict": ("outputs/there", "predict data/model data/link.h5mu --from rna --to adt -o outputs/there"),
    "match": ("outputs/there", "match data/model data/link.h5mu --between rna,adt -o outputs/there"),
    "pair": ("outputs/there", "pair data/model data/link.h5mu --between rna,adt -o outputs/there"),
    "embed": ("outputs/there", "embed data/model data/link.h5mu -o outputs/there"),
    "index": ("outputs/there", "index data/model data/link.h5mu --modality adt -o outputs/there"),
    "search": ("outputs/there", "search data/model data/atlas data/link.h5mu -o outputs/there"),
    "feature-effects": (
        "outputs/there",
        "feature-effects data/model data/link.h5mu --from rna --to adt -o outputs/there",
    ),
    "evaluate": ("outputs/there/metrics.json", "evaluate data/model data/link.h5mu -o outputs/there"),
    "demo": ("outputs/there/anything", "demo -o outputs/there"),
}
"""By command what is there already, and a command line that would write to it."""


def test_every_command_that_writes_is_asked_to_replace_what_is_there():
    names = {
        each.name or each.callback.__name__.replace("_", "-"): each.callback for each in cli.app.registered_commands
    }
    assert {name for name, function in names.items() if "out" in function.__annotations__} == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", ["file", "folder", "link to nothing"])
def test_no_command_writes_over_what_is_there_without_being_told(command, kind, host, monkeypatch, capsys, record):
    name, line = COMMANDS[command]
    monkeypatch.chdir(host)
    there = host / name
    there.parent.mkdir(exist_ok=True)
    {
        "file": lambda: there.write_text("mine"),
        "folder": lambda: (there.mkdir(), (there / "chapter").write_text("mine")),
        "link to nothing": lambda: there.symlink_to("nowhere"),
    }[kind]()
    before = snapshot(host)
    monkeypatch.setattr(sys, "argv", ["unisono", *line.split()])
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr().err
        is_right = ended.value.code == 2 and said.startswith("E055 ") and snapshot(host) == before
        record("fault", f"host: {command} over a {kind}", f"exit {ended.value.code}: {said.strip()}", is_right)
        assert is_right, said
    finally:
        for place in {there, host / "outputs" / "there"}:
            if place.is_symlink() or place.is_file():
                place.unlink()
            elif place.is_dir():
                shutil.rmtree(place)


class Elements(HTMLParser):
    """The names of all elements and their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs


@pytest.mark.slow
def test_the_report_of_data_full_of_hostile_names_has_the_elements_of_any_other(tmp_path, monkeypatch, capsys, record):
    """Names of cells, genes, proteins, batches, cell types, columns, and of the file."""
    small_model().save(tmp_path / "model")
    pages = []
    for name in ("plain", HOSTILE):
        query = {m: test_cells()[m].copy() for m in ("rna", "adt")}
        for m, part in query.items():
            part.obs_names = [f"{name} {cell}" for cell in part.obs_names]
            part.obs["cell_type"] = part.obs["cell_type"].astype(str).replace("type1", name)
            part.obs["batch"] = [f"{name} {batch}" for batch in part.obs["batch"]]
            part.obs[name.replace("/", "")] = np.arange(len(part)) % 2
            extra = anndata.AnnData(np.ones((len(part), 3), dtype=np.float32), obs=part.obs)
            extra.var_names = [f"{name} {m} {i}" for i in range(3)]
            query[m] = anndata.concat([part, extra], axis=1, merge="first")
        file = tmp_path / f"{name.replace('/', '')[:90]}.h5mu"
        rebuilt(query).write_h5mu(file)
        out = tmp_path / f"scores of {len(pages)}"
        words = ["evaluate", str(tmp_path / "model"), str(file), "-o", str(out), "--device", "cpu"]
        monkeypatch.setattr(sys, "argv", ["unisono", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr().err
        assert ended.value.code == 0, said
        json.loads((out / "metrics.json").read_text(encoding="utf-8"))
        pages.append(Elements((out / "report.html").read_text(encoding="utf-8")))
    plain, hostile = pages
    is_right = hostile.names == plain.names and not any(name.startswith("on") for name, _ in hostile.attributes)
    record("fault", "host: hostile names in a report", "written as text" if is_right else "broke out", is_right)
    assert is_right
