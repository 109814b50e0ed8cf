"""What hosts and tools read of the project: the workflow, the hooks, the changelog."""

from __future__ import annotations

import re
import sys
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
_RELEASE = re.compile(r"^## \[(\d+)\.(\d+)\.(\d+)\] - (\d{4}-\d\d-\d\d)$", re.MULTILINE)
_SECTION = re.compile(r"^### (.+)$", re.MULTILINE)
SECTIONS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def _workflow() -> tuple[str, dict[str, Any]]:
    text = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    return text, yaml.safe_load(text)


def test_the_workflow_runs_what_a_person_runs_and_holds_no_secret() -> None:
    text, workflow = _workflow()
    commands = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    assert commands == ["infra/test"]
    assert "secrets." not in text


def test_the_workflow_tries_every_python_that_the_package_takes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    tried = _workflow()[1]["jobs"]["test"]["strategy"]["matrix"]["python"]
    least, below = re.findall(r"3\.(\d+)", project["requires-python"])
    assert tried == [f"3.{minor}" for minor in range(int(least), int(below))]


def test_hooks_fetch_nothing_and_are_tools_of_the_environment() -> None:
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [repo["repo"] for repo in repos] == ["local"]
    for hook in repos[0]["hooks"]:
        program = hook["entry"].split()[0]
        assert hook["language"] == "system"
        assert program.startswith(".venv/bin/")
        assert (Path(sys.executable).parent / Path(program).name).exists()


def test_the_changelog_is_dated_and_its_newest_version_is_the_packages() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    releases = [(tuple(map(int, found[:3])), date.fromisoformat(found[3])) for found in _RELEASE.findall(text)]
    assert releases == sorted(releases, reverse=True)
    assert set(_SECTION.findall(text)) <= SECTIONS
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert ".".join(map(str, releases[0][0])) == project["version"]
