@pytest.fixture(scope="module")
def compared(tmp_path_factory, store):
    """The folder of a benchmark, and how the command ended; run once in a process of its own."""
    folder = tmp_path_factory.mktemp("compared")
    options = "--batch-key batch --seeds 1 --methods unisono,mean,ridge,cca --config tiny.toml --device cpu"
    line = f"benchmark unusual.h5mu -o {shlex.quote(str(folder / 'out'))} --modalities 'gene stuff=rna,tags=adt'"
    command = [sys.executable, "-m", "unisono.cli", *shlex.split(f"{line} {options}")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=store)
    return SimpleNamespace(out=folder / "out", code=ended.returncode, stdout=ended.stdout, stderr=ended.stderr)


def test_benchmark_writes_figures_tables_and_pictures(compared):
    assert compared.code == 0, compared.stderr
    document = json.loads((compared.out / "benchmark.json").read_text())
    assert {run["method"]: run["failure"] for run in document["runs"]} == dict.fromkeys(
        ("unisono", "mean", "ridge", "cca")
    )
    names = {path.name for path in compared.out.iterdir()}
    assert names == {"benchmark.json", "benchmark.md", "prediction.png", "matching.png", "runs"}
    assert "[4/4] cca, random, seed 0: " in compared.stderr


def test_benchmark_records_its_command_without_the_folders_of_this_machine(compared):
    command = json.loads((compared.out / "benchmark.json").read_text())["command"]
    assert command.startswith("unisono benchmark unusual.h5mu -o out --modalities")
    assert str(compared.out.parent) not in (compared.out / "benchmark.md").read_text()


def test_benchmark_prints_what_it_writes(compared):
    document = json.loads((compared.out / "benchmark.json").read_text())
    figures = {run["method"]: run["figures"] for run in document["runs"]}
    assert set(figures["cca"]) == {
        f"rna~adt{s}" for s in ("", " within batch", " with depth", " within batch with depth")
    }
    assert set(figures["mean"]) == {"rna->adt", "adt->rna"}
    printed = [line.split() for line in compared.stdout.splitlines()]
    assert [line[0] for line in printed if line and line[0] in figures] == [
        "unisono",
        "mean",
        "ridge",
        "unisono",
        "cca",
    ]
    for method, task, name in (("ridge", "rna->adt", "pearson"), ("cca", "rna~adt", "foscttm of posterior")):
        assert f"{figures[method][task][name]:.4f}" in compared.stdout
        assert f"{figures[method][task][name]:.4f}" in (compared.out / "benchmark.md").read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--methods ridge,rigde", ("E053 --methods", "'rigde'", "kernel-ridge")),
        ("--peers scvj --methods mean", ("E053 --peers", "'scvj'", "scvi")),
        ("--methods mean --split by-hand", ("E059", "'by-hand'", "leave-one-batch-out")),
        ("--methods mean --split leave-one-batch-out", ("E058",)),
        ("--methods mean --split leave-one-donor-out", ("E060", "give the donor")),
        ("--methods mean --donor-key nobody --split leave-one-donor-out", ("E029", "'nobody'")),
        ("--methods mean --batch-key batch --test-batches b9", ("E062", "'b9'", "b1, b2")),
        ("--methods mean --batch-key batch --split batches", ("E062", "--test-batches")),
        ("--methods mean --preset slow", ("'slow'",)),
        ("--methods mean --seeds 0", ("seeds",)),
        ("--methods mean --train-cells 99999", ("E061", "--train-cells")),
    ],
)
def test_a_benchmark_that_cannot_be_is_refused(unisono, options, words):
    said = refused(unisono, f"benchmark @query.h5mu -o out {options}")
    for word in words:
        assert word in said
