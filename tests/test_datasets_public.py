"""Public data sets: mirror before cache before source, every download held to what is known of it, nothing silent."""

from __future__ import annotations

import hashlib
import threading
import warnings
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from io_fixtures import write_tenx_hdf5
from mudata import MuData
from scipy import sparse

import unisono as un
from unisono import cli
from unisono.datasets import catalogue, fetch
from unisono.datasets.catalogue import ENTRIES, RemoteFile, entry_of
from unisono.messages import BadInput, InputWarning, typed_in_shell

GENES, PROTEINS = [f"GENE{i}" for i in range(11)], [f"CD{i}_TotalSeqB" for i in range(3)]


class Source:
    """A server on this machine in place of a public one; `sends` may be less than it announces."""

    def __init__(self, body: bytes) -> None:
        self.body, self.sends, self.status, self.asked = body, len(body), 200, 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body[: outer.sends])

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/matrix.h5"


@pytest.fixture
def source(tmp_path, monkeypatch):
    for name in ("UNISONO_DATA", "UNISONO_CACHE", "UNISONO_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    counts = sparse.csr_matrix(np.random.default_rng(0).poisson(1.0, (7, 14)).astype(np.int32))
    types = ["Gene Expression"] * 11 + ["Antibody Capture"] * 3
    cells = [f"CELL{i}-1" for i in range(7)]
    file = write_tenx_hdf5(tmp_path / "made.h5", counts, cells, GENES + PROTEINS, types)
    made = Source(file.read_bytes())
    yield made
    made.server.shutdown()
    made.server.server_close()


def offered(monkeypatch, source: Source, checksum: str) -> None:
    """The entry pbmc5k_cite, from the server in place of its source."""
    remote = RemoteFile(source.url, "matrix.h5", checksum, "this test" if checksum else "")
    monkeypatch.setattr(catalogue, "ENTRIES", (replace(entry_of("pbmc5k_cite"), files=(remote,)),))


def sha256(source: Source) -> str:
    return f"sha256:{hashlib.sha256(source.body).hexdigest()}"


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*")) if folder.exists() else []


def test_a_download_is_checked_converted_described_and_asked_for_once(tmp_path, monkeypatch, source):
    offered(monkeypatch, source, sha256(source))
    mdata = un.datasets.load("pbmc5k_cite", cache=tmp_path / "cache")
    assert mdata["rna"].shape == (7, 11)
    assert list(mdata["adt"].var_names) == ["CD0", "CD1", "CD2"]
    how = mdata.uns["data_set"]
    assert how["checked by"] == "SHA-256 published by this test"
    assert how["licence"] == "CC BY 4.0"
    assert "5k PBMCs" in how["citation"]
    again = un.datasets.load("pbmc5k_cite", cache=tmp_path / "cache", offline=True)
    assert np.array_equal(again["rna"].X.toarray(), mdata["rna"].X.toarray())
    assert source.asked == 1
    assert kept(tmp_path / "cache") == ["matrix.h5"]


def test_what_was_loaded_is_fitted_and_written(tmp_path, monkeypatch, source):
    offered(monkeypatch, source, sha256(source))
    mdata = un.datasets.load("pbmc5k_cite", cache=tmp_path / "cache")
    mdata.write_h5mu(tmp_path / "a.h5mu")
    assert un.read(tmp_path / "a.h5mu").uns["data_set"]["name"] == "pbmc5k_cite"
    assert un.read_cells(mdata, batch_key="batch").batch.tolist() == ["pbmc5k_cite"] * 7


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_a_download_with_another_checksum_is_refused_and_nothing_is_left(tmp_path, monkeypatch, source, kind):
    right = hashlib.new(kind, source.body).hexdigest()
    offered(monkeypatch, source, f"{kind}:{right[::-1]}")
    with pytest.raises(
        BadInput, match=rf"E092 matrix\.h5: 127.0.0.1:\d+ sent a file whose {kind.upper()} is not"
    ) as caught:
        un.datasets.load("pbmc5k_cite", cache=tmp_path / "cache")
    assert "this test published" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert kept(tmp_path / "cache") == []


def test_a_download_that_breaks_off_is_refused_and_nothing_is_left(tmp_path, monkeypatch, source):
    offered(monkeypatch, source, sha256(source))
    source.sends = len(source.body) // 2
    with pytest.raises(BadInput, match=r"E091 pbmc5k_cite: the download of .* broke off") as caught:
        un.datasets.load("pbmc5k_cite", cache=tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert kept(tmp_path / "cache") == []
    source.sends = len(source.body)
    assert un.datasets.load("pbmc5k_cite", cache=tmp_path / "cache").n_obs == 7


def test_a_download_without_checksum_that_breaks_off_is_not_pinned(tmp_path, monkeypatch, source):
    offered(monkeypatch, source, "")
    source.sends = len(source.body) // 2
    with pytest.raises(BadInput, match=r"E091|E003"):
        un.datasets.load("pbmc5k_cite", cache=tmp_path / "cache")
    assert kept(tmp_path / "cache") == []


def test_a_download_that_is_another_thing_is_not_pinned(tmp_path, monkeypatch, source):
    offered(monkeypatch, source, "")
    source.body = b"<html>moved</html>"
    source.sends = len(source.body)
    with pytest.raises(BadInput, match=r"matrix\.h5"):
        un.datasets.load("pbmc5k_cite", cache=tmp_path / "cache")
    assert kept(tmp_path / "cache") == []


@pytest.mark.parametrize(("status", "why"), [(404, "HTTP 404"), (503, "HTTP 503")])
def test_a_source_that_refuses_is_said(tmp_path, monkeypatch, source, status, why):
    offered(monkeypatch, source, sha256(source))
    source.status = status
    with pytest.raises(BadInput, match=rf"E091 .*\({why}\); nothing of it was kept"):
        un.datasets.load("pbmc5k_cite", cache=tmp_path / "cache")


def test_no_connection_is_said_with_a_way_out(tmp_path, monkeypatch, source):
    offered(monkeypatch, source, sha256(source))
    source.server.shutdown()
    source.server.server_close()
    with pytest.raises(BadInput, match=r"\(no connection\).*set UNISONO_DATA to a folder that holds pbmc5k_cite.h5mu"):
        un.datasets.load("pbmc5k_cite", cache=tmp_path / "cache")


def test_a_first_download_without_checksum_is_said_and_pinned(tmp_path, monkeypatch, source):
    offered(monkeypatch, source, "")
    digest = hashlib.sha256(source.body).hexdigest()
    with pytest.warns(InputWarning, match=f"W092 pbmc5k_cite: .* is not checked, .*{digest}"):
        first = un.datasets.load("pbmc5k_cite", cache=tmp_path / "cache")
    assert first.uns["data_set"]["checked by"] == "nothing, as it is the first download"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second = un.datasets.load("pbmc5k_cite", cache=tmp_path / "cache")
    assert second.uns["data_set"]["checked by"] == "SHA-256 of the first download"
    (tmp_path / "cache" / "matrix.h5").unlink()
    source.body = source.body[:-1] + bytes([source.body[-1] ^ 1])
    with pytest.raises(BadInput, match=r"E092 .* is not the one of the first download .*delete .*matrix\.h5\.sha256"):
        un.datasets.load("pbmc5k_cite", cache=tmp_path / "cache")
    assert kept(tmp_path / "cache") == ["matrix.h5.sha256"]


def test_a_file_of_the_cache_that_was_changed_is_downloaded_again_or_refused_offline(tmp_path, monkeypatch, source):
    offered(monkeypatch, source, sha256(source))
    un.datasets.load("pbmc5k_cite", cache=tmp_path / "cache")
    (tmp_path / "cache" / "matrix.h5").write_bytes(b"changed")
    with pytest.raises(BadInput, match=r"E092 matrix\.h5: the cache holds a file whose SHA256 is not"):
        un.datasets.load("pbmc5k_cite", cache=tmp_path / "cache", offline=True)
    assert un.datasets.load("pbmc5k_cite", cache=tmp_path / "cache").n_obs == 7
    assert source.asked == 2


@pytest.mark.parametrize("by_environment", [True, False])
def test_offline_with_an_empty_cache_says_what_to_do(tmp_path, monkeypatch, source, by_environment):
    offered(monkeypatch, source, sha256(source))
    monkeypatch.setenv("UNISONO_CACHE", str(tmp_path / "cache"))
    if by_environment:
        monkeypatch.setenv("UNISONO_OFFLINE", "1")
    expected = r'nothing is downloaded offline\. Fix: un\.datasets\.load\("pbmc5k_cite"\) once with a network, or set '
    with pytest.raises(BadInput, match=f"E090 pbmc5k_cite: .*{expected}") as caught:
        un.datasets.load("pbmc5k_cite", offline=None if by_environment else True)
    assert str(tmp_path / "cache") in str(caught.value)
    assert "\n" not in str(caught.value)
    with typed_in_shell(), pytest.raises(BadInput, match=r"Fix: unisono datasets pbmc5k_cite -o pbmc5k_cite\.h5mu"):
        un.datasets.load("pbmc5k_cite", offline=True)
    assert source.asked == 0
    assert not (tmp_path / "cache").exists()


def test_what_is_said_of_being_offline_in_the_environment(monkeypatch):
    for value, expected in (("", False), ("0", False), ("false", False), ("1", True), ("yes", True)):
        monkeypatch.setenv("UNISONO_OFFLINE", value)
        assert fetch.is_offline() is expected
    assert fetch.is_offline(False) is False


def test_a_mirror_is_read_without_a_network_and_said_to_be_unchecked(tmp_path, monkeypatch, source):
    offered(monkeypatch, source, sha256(source))
    cells = un.datasets.simulate(n_cells=13, n_genes=11, n_peaks=17, n_proteins=5, seed=3)
    cells.write_h5mu(tmp_path / "pbmc5k_cite.h5mu")
    monkeypatch.setenv("UNISONO_DATA", str(tmp_path))
    mdata = un.datasets.load("pbmc5k_cite", cache=tmp_path / "cache")
    assert mdata.n_obs == 13
    assert mdata.uns["data_set"]["origin"] == f"mirror {tmp_path}"
    assert mdata.uns["data_set"]["checked by"] == "nothing, as it is your own file"
    assert source.asked == 0
    assert un.datasets.load("pbmc5k_cite", mirror=tmp_path, offline=True).n_obs == 13


def test_a_mirror_that_lacks_the_file_leaves_the_source(tmp_path, monkeypatch, source):
    offered(monkeypatch, source, sha256(source))
    monkeypatch.setenv("UNISONO_DATA", str(tmp_path))
    assert un.datasets.load("pbmc5k_cite", cache=tmp_path / "cache").n_obs == 7


def test_wrong_mirrors_and_wrong_files_are_refused_in_one_line(tmp_path, monkeypatch, source):
    offered(monkeypatch, source, sha256(source))
    file = tmp_path / "pbmc5k_cite.h5mu"
    cells = un.datasets.simulate(n_cells=13, n_genes=11, n_peaks=17, n_proteins=5, seed=3)
    for write, what in (
        (lambda: None, "E001 .*nowhere: the mirror is no folder. Fix: mend UNISONO_DATA"),
        (lambda: file.write_bytes(b"no such thing"), "pbmc5k_cite.h5mu"),
        (lambda: MuData({"rna": cells["rna"]}).write_h5mu(file), "E007 .*holds rna; pbmc5k_cite has rna and adt"),
        (lambda: un.datasets.simulate(n_cells=9).mod["rna"].write_h5ad(file), "pbmc5k_cite.h5mu"),
    ):
        write()
        mirror = tmp_path if file.exists() else tmp_path / "nowhere"
        with pytest.raises(BadInput, match=what) as caught:
            un.datasets.load("pbmc5k_cite", mirror=mirror)
        assert "\n" not in str(caught.value)
    assert source.asked == 0


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(
        BadInput, match=r"E053 data set: none is called 'pbmc10k_site'\. Fix: did you mean pbmc10k_cite"
    ):
        un.datasets.load("pbmc10k_site")


@pytest.mark.parametrize("name", [entry.name for entry in ENTRIES if not entry.files])
def test_a_data_set_without_a_source_says_why_and_how_it_is_had(name, monkeypatch):
    monkeypatch.delenv("UNISONO_DATA", raising=False)
    with pytest.raises(BadInput, match=rf"E090 {name}: is had from a mirror alone, since .* set UNISONO_DATA to a"):
        un.datasets.load(name)


def test_the_table_says_what_is_checked_and_what_is_at_hand(tmp_path, monkeypatch):
    monkeypatch.delenv("UNISONO_DATA", raising=False)
    table = un.datasets.available(cache=tmp_path)
    assert tuple(table.index) == un.datasets.names()
    assert set(table["at hand"]) == {""}
    assert table.loc["bmmc_cite", "checked by"] == "SHA-256 published by YosefLab/scvi-hub-models"
    assert table.loc["snareseq_cortex", "checked by"] == "MD5 published by gao-lab/GLUE"
    assert table.loc["pbmc10k_cite", "checked by"] == "counts of some of its cells"
    assert table.loc["bmmc_multiome", "checked by"] == "nothing at first, then the first download"
    assert set(un.datasets.available(mirror=tmp_path / "nowhere", cache=tmp_path)["at hand"]) == {""}
    (tmp_path / "teaseq_cite.h5mu").write_bytes(b"")
    (tmp_path / "pbmc_granulocyte_sorted_3k_filtered_feature_bc_matrix.h5").write_bytes(b"")
    at_hand = un.datasets.available(mirror=tmp_path, cache=tmp_path)["at hand"]
    assert at_hand["teaseq_cite"] == "mirror"
    assert at_hand["pbmc3k_multiome"] == "cache"


def test_checksums_are_whole_and_come_with_who_published_them():
    for entry in ENTRIES:
        for file in entry.files:
            kind, _, digest = file.checksum.partition(":")
            assert len(digest) == {"sha256": 64, "md5": 32, "": 0}[kind], file.name
            assert file.url.startswith("https://")
            assert file.url.endswith(file.name)
    with pytest.raises(ValueError, match="a checksum needs the one who published it"):
        RemoteFile("https://a.b/c", "c", "md5:0")
    with pytest.raises(ValueError, match="either files and what reads them, or the reason"):
        replace(ENTRIES[0], files=())


def test_the_command_lists_describes_and_writes(tmp_path, monkeypatch, source, capsys):
    offered(monkeypatch, source, sha256(source))
    monkeypatch.setenv("UNISONO_CACHE", str(tmp_path / "cache"))

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["unisono", "datasets", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), *capsys.readouterr()

    code, out, _ = run()
    assert code == 0
    assert "pbmc5k_cite" in out
    code, out, _ = run("pbmc5k_cite")
    assert code == 0
    assert source.url in out
    assert source.asked == 0
    file = tmp_path / "a.h5mu"
    code, _, said = run("pbmc5k_cite", "-o", str(file), "--offline")
    assert (code, file.exists(), said.count("\n")) == (2, False, 1)
    assert said.startswith("E090 pbmc5k_cite: ")
    code, _, said = run("pbmc5k_cite", "-o", str(file))
    assert code == 0
    assert "7 cells from https://www.10xgenomics.com" in said
    assert "(checked by SHA-256 published by this test)" in said
    assert un.read(file)["rna"].shape == (7, 11)
    code, _, said = run("pbmc5k_cite", "-o", str(file))
    assert (code, said[:5]) == (2, "E055 ")
    code, _, said = run("pbmc6k_cite")
    assert (code, said[:5]) == (2, "E053 ")
    assert source.asked == 1
