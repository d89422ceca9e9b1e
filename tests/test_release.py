"""Tests of what a release is made from: one version everywhere, a changelog for users, and steps that exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import unisono

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
STEPS = (ROOT / "docs" / "releasing.md").read_text(encoding="utf-8")
HEADINGS = ["Added", "Changed", "Fixed", "Numbers"]


def test_the_version_is_that_of_the_project_wherever_it_stands():
    assert re.fullmatch(r"\d+\.\d+\.\d+", PROJECT["version"])
    assert unisono.__version__ == CITATION["version"] == PROJECT["version"]
    written = [path.name for path in (ROOT / "src").rglob("*.py") if PROJECT["version"] in path.read_text("utf-8")]
    assert written == []


def test_the_citation_says_what_the_project_says():
    assert CITATION["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "type", "abstract"} <= set(CITATION)
    assert CITATION["license"] == PROJECT["license"]
    name, _, title = CITATION["title"].partition(": ")
    assert name == "Unisono"
    assert PROJECT["description"].casefold().startswith(title.casefold())
    assert len(title) > 40
    assert [each["name"] for each in CITATION["authors"]] == [each["name"] for each in PROJECT["authors"]]
    assert set(CITATION["keywords"]) == set(PROJECT["keywords"])


def test_the_changelog_opens_with_the_version_and_has_the_headings_of_the_house():
    sections = re.findall(r"^## (\d+\.\d+\.\d+) \((unreleased|\d{4}-\d\d-\d\d)\)$", CHANGELOG, flags=re.MULTILINE)
    assert len(sections) == len(re.findall(r"^## ", CHANGELOG, flags=re.MULTILINE)) > 0
    assert sections[0][0] == PROJECT["version"]
    first = CHANGELOG.split("\n## ")[1]
    found = re.findall(r"^### (\w+)$", first, flags=re.MULTILINE)
    assert found == [name for name in HEADINGS if name in found]
    assert found


def test_the_release_is_built_with_every_extra_but_those_of_developers():
    script = (ROOT / ".ci" / "release").read_text(encoding="utf-8")
    extras = re.search(r"whl\[([\w,]+)\]", script)[1].split(",")
    assert set(extras) == set(PROJECT["optional-dependencies"]) - {"dev", "docs", "test"}
    assert 'twine" check --strict' in script


def test_the_release_workflow_has_every_python_that_is_claimed():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))
    (setup,) = (
        step for step in workflow["jobs"]["build"]["steps"] if step.get("uses", "").startswith("actions/setup-python@")
    )
    there = {line.split("#")[0].strip() for line in setup["with"]["python-version"].splitlines()}
    claimed = {each.rsplit(" ", 1)[1] for each in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", each)}
    assert there == claimed


@pytest.mark.parametrize("script", [".ci/run", ".ci/lowest", ".ci/audit", ".ci/release", "bench/faults"])
def test_the_steps_name_what_has_to_pass_and_it_is_there(script):
    assert script in STEPS
    assert (ROOT / script).exists()


def test_the_steps_name_files_that_are_there_and_the_version():
    named = set(re.findall(r"pipelines/[\w./-]+", STEPS)) | set(re.findall(r"\]\((\.\./[\w./-]+)\)", STEPS))
    assert [name for name in named if not (ROOT / "docs" / name).exists() and not (ROOT / name).exists()] == []
    versions = set(re.findall(r"(?:v|unisono[-=:]=?)(\d+\.\d+\.\d+)\b", STEPS))
    assert versions == {PROJECT["version"]}
