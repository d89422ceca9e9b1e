"""The committed results: every page is what the code says of its JSON, and no key of a JSON is composed."""

from __future__ import annotations

import json
import re
import runpy
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from unisono_bench.run import Report
from unisono_bench.studies import STUDIES

BENCH = Path(__file__).resolve().parents[1]
RESULTS = BENCH / "results"
FAULTS = RESULTS / "faults" / "faults.json"
FILES = sorted(path for path in RESULTS.rglob("*.json") if path != FAULTS)


def page(path: Path) -> str:
    document = json.loads(path.read_text(encoding="utf-8"))
    return STUDIES[document["study"]].page(document) if "study" in document else Report.of(document).markdown


def test_there_are_results_of_the_benchmark_and_of_every_study():
    studies = {json.loads(path.read_text()).get("study", "run") for path in FILES}
    assert studies == {"run", *STUDIES}
    assert len(FILES) == 32


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(RESULTS)))
def test_a_page_is_what_the_code_says_of_its_json(path):
    assert path.with_suffix(".md").read_text(encoding="utf-8") == page(path)


def test_the_page_of_faults_is_what_its_json_says_and_every_case_ended_as_it_should():
    script = runpy.run_path(str(BENCH / "faults"))
    document = json.loads(FAULTS.read_text(encoding="utf-8"))
    assert FAULTS.with_suffix(".md").read_text(encoding="utf-8") == script["told"](document)
    tried = Counter[str]()
    for end in document["ends"]:
        tried[end["kind"]] += end["n"]
        assert end["n_right"] == end["n"], end
    assert tried.keys() == script["PROMISED"].keys()
    assert [kind for kind, n in script["PROMISED"].items() if tried[kind] < n] == []
    assert document["command"] == script["COMMAND"]


def keys(document: object) -> Iterator[str]:
    if isinstance(document, dict):
        yield from document
        for value in document.values():
            yield from keys(value)
    elif isinstance(document, list):
        for value in document:
            yield from keys(value)


def test_no_key_is_composed_of_modalities():
    for path in FILES:
        names = set(keys(json.loads(path.read_text(encoding="utf-8"))))
        assert not [name for name in names if re.search(r"->|~|→", name)], path


def test_every_command_is_one_of_this_package():
    for path in FILES:
        command = json.loads(path.read_text(encoding="utf-8"))["command"]
        assert re.match(r"unisono-bench (run \S+\.h5mu -o|study [\w-]+ )", command), command
