"""The committed results: every page is what the code says of its JSON, and no key of a JSON is composed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from unisono_bench.run import Report
from unisono_bench.studies import STUDIES

RESULTS = Path(__file__).resolve().parents[1] / "results"
FILES = sorted(RESULTS.rglob("*.json"))


def page(path: Path) -> str:
    document = json.loads(path.read_text(encoding="utf-8"))
    return STUDIES[document["study"]].page(document) if "study" in document else Report.of(document).markdown


def test_there_are_results_of_the_benchmark_and_of_every_study():
    studies = {json.loads(path.read_text()).get("study", "run") for path in FILES}
    assert studies == {"run", *STUDIES}
    assert len(FILES) == 31


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(RESULTS)))
def test_a_page_is_what_the_code_says_of_its_json(path):
    assert path.with_suffix(".md").read_text(encoding="utf-8") == page(path)


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
