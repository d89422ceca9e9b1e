"""Tests of the workflows of the forge: actions pinned, least permissions, and commands that exist."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
LINES = [line for path in WORKFLOWS for line in path.read_text(encoding="utf-8").splitlines() if "uses:" in line]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WRITES = {("release.yml", "attest"): {"id-token", "attestations"}, ("release.yml", "publish"): {"id-token"}}
"""What jobs may write; all others read the repository alone."""


def document(path: Path) -> dict[Any, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def jobs() -> list[tuple[str, str, dict[str, Any]]]:
    return [(path.name, name, job) for path in WORKFLOWS for name, job in document(path)["jobs"].items()]


def steps() -> list[dict[str, Any]]:
    return [step for _, _, job in jobs() for step in job["steps"]]


def test_there_are_those_of_a_change_of_a_week_and_of_a_release():
    assert [path.name for path in WORKFLOWS] == ["ci.yml", "release.yml", "weekly.yml"]


@pytest.mark.parametrize("line", LINES)
def test_every_action_is_pinned_by_its_commit_and_tells_the_version(line):
    assert re.fullmatch(r"\s*- uses: [\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)


def test_one_action_is_pinned_to_one_commit_everywhere():
    pins = {tuple(line.split("uses: ")[1].split(" # ")[0].split("@")) for line in LINES}
    assert len({name for name, _ in pins}) == len(pins) == 6


def test_nothing_is_permitted_but_what_a_job_asks_for_and_it_asks_for_little():
    assert [document(path)["permissions"] for path in WORKFLOWS] == [{}] * len(WORKFLOWS)
    for file, name, job in jobs():
        wanted = WRITES.get((file, name), set())
        assert {scope for scope, level in job["permissions"].items() if level == "write"} == wanted, (file, name)
        assert {scope for scope, level in job["permissions"].items() if level == "read"} <= {"contents"}, (file, name)


def test_no_job_keeps_credentials_or_reads_secrets_or_runs_without_end():
    checkouts = [step for step in steps() if step.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) == 7
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)
    assert not any("secrets." in path.read_text(encoding="utf-8") for path in WORKFLOWS)
    assert all(0 < job["timeout-minutes"] <= 180 for _, _, job in jobs())


def test_no_command_takes_in_what_a_stranger_may_name():
    """Branches, titles and tags come as variables, never as text of a command."""
    commands = [step["run"] for step in steps() if "run" in step]
    assert {found for command in commands for found in re.findall(r"\$\{\{ *([\w.]+)", command)} == {"matrix.tests"}


def test_the_jobs_run_the_commands_that_readme_and_ci_name():
    commands = "\n".join(step["run"] for step in steps() if "run" in step)
    scripts = set(re.findall(r"\bbash (\.ci/\w+)", commands))
    assert scripts == {".ci/run", ".ci/lowest", ".ci/audit", ".ci/release"}
    for script in scripts:
        assert subprocess.run(["bash", "-n", ROOT / script], check=False).returncode == 0
    block = (ROOT / "README.md").read_text(encoding="utf-8").split("<!-- test -->\n```sh\n")[1].split("\n```")[0]
    assert block in commands
    assert (ROOT / "bench" / "faults").is_file()
    assert ".venv/bin/python bench/faults" in commands


def test_every_python_that_is_claimed_is_tested():
    claimed = {each.rsplit(" ", 1)[1] for each in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", each)}
    matrix = document(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["pythons"]["strategy"]["matrix"]["python"]
    assert set(matrix) == claimed == {"3.11", "3.12", "3.13"}
    assert PROJECT["requires-python"] == ">=3.11"


def test_every_dependency_has_a_lowest_version_for_the_job_that_tests_it():
    extras = [each for name, extra in PROJECT["optional-dependencies"].items() if name != "dev" for each in extra]
    wanted = [each for each in [*PROJECT["dependencies"], *extras] if not each.startswith("unisono[")]
    assert [each for each in wanted if not re.match(r"[\w-]+>=[\d.]+(,<[\d.]+)?$", each)] == []
    lowest = (ROOT / ".ci" / "lowest").read_text(encoding="utf-8")
    assert "--resolution lowest-direct" in lowest
    for pattern in re.findall(r"tests/[\w*]+\.py", lowest):
        assert list(ROOT.glob(pattern)), pattern


def test_updates_of_actions_and_packages_are_proposed():
    proposed = document(ROOT / ".github" / "dependabot.yml")["updates"]
    assert {each["package-ecosystem"] for each in proposed} == {"github-actions", "pip"}
