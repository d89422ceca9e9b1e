"""Several files on the command line are several data sets, each with a name of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from model_fixtures import take, training

from unisono import cli
from unisono.api import load
from unisono.cli.options import data_sets_in, stem_of
from unisono.messages import BadInput


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["a.h5mu", "b.h5mu"], {"a": "a.h5mu", "b": "b.h5mu"}),
        (["blood=x.h5", "b.h5ad"], {"blood": "x.h5", "b": "b.h5ad"}),
        (["one/raw.h5", "two/raw.h5"], {"one raw": "one/raw.h5", "two raw": "two/raw.h5"}),
        (["a.h5mu"], {}),
        (["rna=a.h5ad", "adt=b.h5ad"], {}),
        (["gex=a.h5ad", "prot=b.h5ad"], {}),
    ],
)
def test_what_files_are_taken_for(words, found):
    assert data_sets_in(words) == {name: Path(path) for name, path in found.items()}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rna=a.h5ad", "b.h5mu"], "rna=a.h5ad is one modality"),
        (["x=a.h5mu", "x=b.h5mu"], "two data sets are called x"),
    ],
)
def test_files_that_are_neither_are_refused(words, said):
    with pytest.raises(BadInput, match=f"E053.*{said}"):
        data_sets_in(words)


@pytest.mark.parametrize("name", ["a.h5mu", "a.h5ad", "a.h5", "a.zarr", "a.csv.gz", "a"])
def test_the_stem_is_the_name_without_the_ending_of_its_format(name):
    assert stem_of(Path("folder") / name) == "a"


def test_fit_of_two_files_is_one_model_of_both(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, rows in (("first", slice(0, 75)), ("second", slice(75, None))):
        take(training(), rows).write_h5mu(f"{name}.h5mu")
    Path("tiny.toml").write_text("n_members = 1\nmax_epochs = 1\nn_codes = 8\n")
    words = ["fit", "first.h5mu", "marrow=second.h5mu", "-o", "model", "--config", "tiny.toml", "--batch-key", "batch"]
    monkeypatch.setattr("sys.argv", ["unisono", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    model = load("model")
    assert model.record.data_sets == ("first", "marrow")
    assert {name.split("/")[0] for name in model.batches} == {"first", "marrow"}
