"""The register holds each code once, every code raised and no other; a warning points at the line of the user."""

from __future__ import annotations

import ast
import inspect
import pickle
import re
import runpy
import warnings
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData
from model_fixtures import small_model, test_cells
from mudata import MuData

import unisono
from unisono.io.container import require_sound_zarr
from unisono.messages import MESSAGES, REGISTER, BadInput, Finding, InputWarning, bad_input, warn

_ROOT = Path(__file__).resolve().parents[1]
_SOURCES = (Path(unisono.__file__).parent, _ROOT / "bench" / "src")
_CODE = re.compile(r"\b[EWI]\d{3}\b")
_MAKERS = {"Finding", "bad_input", "finding"}


def raised(source: str) -> set[str]:
    """The codes that the calls in a source text make findings of."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and node.args)
    codes = (node.args[0] for node in calls if ast.unparse(node.func).split(".")[-1] in _MAKERS)
    return {str(code.value) for code in codes if isinstance(code, ast.Constant)}


def mentioned(source: str) -> set[str]:
    """Every code in a source text, in docstrings and comparisons too."""
    return set(_CODE.findall(source))


def _texts() -> list[str]:
    files = (path for folder in _SOURCES for path in sorted(folder.rglob("*.py")))
    return [path.read_text(encoding="utf-8") for path in files if path.name != "messages.py"]


def test_each_code_is_registered_once_and_says_what_it_means():
    codes = [message.code for message in MESSAGES]
    assert len(codes) == len(set(codes))
    assert [code for code in codes if not _CODE.fullmatch(code)] == []
    assert [m.code for m in MESSAGES if not re.fullmatch(r"[A-Z][^|\n]+\.", m.meaning) or "|" in m.remedy] == []
    assert [m.code for m in MESSAGES if m.severity == "error" and not m.remedy] == []
    assert codes == sorted(codes, key=lambda code: code[1:])


def test_every_code_raised_is_registered_and_every_registered_one_is_raised():
    found = set().union(*map(raised, _texts()))
    assert found - set(REGISTER) == set()
    assert set(REGISTER) - found == set()


def test_no_docstring_names_a_code_that_does_not_exist():
    assert set().union(*map(mentioned, _texts())) - set(REGISTER) == set()


def test_a_planted_code_is_seen():
    assert raised('raise bad_input("E999", f(x), "no", "do")\nyield messages.Finding("W998", a, b)') == {"E999", "W998"}
    assert raised('if finding.code == "E999": pass') == set()


@pytest.mark.parametrize("code", ["E999", "W001", "e001", ""])
def test_an_unregistered_code_is_refused(code):
    with pytest.raises(ValueError, match=f"code '{code}' is not in the register"):
        Finding(code, "query", "is odd.")
    with pytest.raises(ValueError, match="not in the register") as caught:
        bad_input(code, "query", "is odd.", "make it even")
    assert not isinstance(caught.value, BadInput)


def test_the_committed_page_of_codes_is_the_one_of_the_register():
    codes_page = runpy.run_path(str(_ROOT / "tools" / "codes_page.py"))["codes_page"]
    assert (_ROOT / "docs" / "codes.md").read_text(encoding="utf-8") == codes_page()


def test_severity_follows_from_the_code():
    found = {code: Finding(code, "query", "x").severity for code in ("E036", "W036", "I036")}
    assert found == {"E036": "error", "W036": "warning", "I036": "information"}


def test_only_warnings_are_warned_of():
    findings = [
        Finding("I035", "a", "b"),
        Finding("W036", "query, adt", "little.", "give all"),
        Finding("E036", "a", "b"),
    ]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn(findings)
    assert [(str(item.message), item.category) for item in caught] == [
        ("W036 query, adt: little. Fix: give all", InputWarning)
    ]


def test_every_verb_warns_at_the_line_of_the_user():
    model, query = small_model(), test_cells()
    for table in query.mod.values():
        table.obs["batch"] = "b9"
    verbs = {
        "predict": lambda: model.predict(query, "rna", "adt"),
        "match": lambda: model.match(query["rna"], query["adt"]),
        "embed": lambda: model.embed(query),
        "evaluate": lambda: unisono.evaluate(model, query),
    }
    for name, verb in verbs.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", InputWarning)
            verb()
        places = {(Path(item.filename), item.lineno) for item in caught if "W034" in str(item.message)}
        assert places == {(Path(__file__), verb.__code__.co_firstlineno)}, name


def test_a_warning_of_a_reader_points_at_the_line_that_called_it(tmp_path):
    table = AnnData(np.ones((5, 3), dtype=np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        MuData({"rna": table}).write_zarr(tmp_path / "one.zarr")
    next(path for path in (tmp_path / "one.zarr/mod/rna/X").rglob("*") if path.name.startswith("0")).unlink()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", InputWarning)
        line = inspect.currentframe().f_lineno + 1
        require_sound_zarr(tmp_path / "one.zarr")
    places = [(Path(item.filename), item.lineno) for item in caught if issubclass(item.category, InputWarning)]
    assert places == [(Path(__file__), line)]


def test_what_is_refused_in_another_process_is_the_same_here():
    error = BadInput([Finding("E015", "a, rna", "NaN.", "drop them"), Finding("W020", "a, rna", "empty.")])
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (str(again), again.findings) == (str(error), error.findings)
