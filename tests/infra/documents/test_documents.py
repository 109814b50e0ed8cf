"""What the papers say can be done: commands, options, paths, examples and snippets are those of this repository."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from refrain.ops.policies.file import read_policy
from refrain.schemas.policy import Quota
from refrain.schemas.policy_limits import Limits
from refrain.streams.settings import Settings
from tests.infra.documents import command_line, programs, shell
from tests.infra.documents.documents import (
    PAPERS,
    ROOT,
    defined,
    known_settings,
    known_variables,
    leads,
    messages,
    place,
    stands,
    with_secrets,
)
from tests.infra.documents.markdown import Block, Paper

REQUIRED = (
    "README.md", "CHANGELOG.md", ".github/CONTRIBUTING.md", "schemas/README.md", "streams/README.md", "ops/README.md",
    "ops/REFERENCE.md", "ops/TROUBLESHOOTING.md", "infra/README.md", "tests/README.md",
)  # fmt: skip
README_LINES_MAX = 150
COLUMNS_MAX = 120
LANGUAGES = ("sh", "json", "jsonl", "yaml", "toml", "python", "text")
_VARIABLE = re.compile(r"\bREFRAIN_[A-Z0-9_]*[A-Z0-9]\b")
_SETTING = re.compile(r"(?:http|embedding|classify|lookup|upstream|adapt|verify)\.(?!py$)[a-z_0-9]+")
_OF_POLICY = re.compile(r"(limits|quota)\.([a-z_]+)")

papers = pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: str(paper.path.relative_to(ROOT)))


def _shown() -> Iterator[Any]:
    """Every command of every block of shell."""
    for paper in PAPERS:
        for block in paper.blocks:
            for command in shell.commands(block.text) if block.info[:1] == ("sh",) else ():
                where = place(paper, block.line + command.line - 1)
                yield pytest.param(where, command, id=f"{where} {' '.join(command.words)}")


def _named() -> Iterator[Any]:
    """Every code span that names a command."""
    for paper in PAPERS:
        for span in paper.spans:
            program, *rest = span.text.split() or [""]
            if rest and (programs.is_refrain(program) or program.startswith("infra/")):
                where = place(paper, span.line)
                yield pytest.param(where, span.text, id=f"{where} {span.text}")


def _blocks(*languages: str) -> list[Any]:
    return [
        pytest.param(block, id=place(paper, block.line))
        for paper in PAPERS
        for block in paper.blocks
        if block.info[:1] and block.info[0] in languages
    ]


@pytest.mark.parametrize("name", REQUIRED)
def test_the_paper_is_there(name: str) -> None:
    assert (ROOT / name).is_file()


def test_the_first_page_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES_MAX


@papers
def test_text_is_wrapped_and_blocks_say_what_they_are(paper: Paper) -> None:
    lines = paper.path.read_text(encoding="utf-8").splitlines()
    wide = [n for n, line in enumerate(lines, 1) if len(line) > COLUMNS_MAX and not line.startswith("|")]
    assert wide == [], "wrap these lines"
    assert [block.line for block in paper.blocks if block.info[:1] not in [(name,) for name in LANGUAGES]] == []


@pytest.mark.parametrize(("where", "command"), [*_shown()])
def test_a_command_that_is_shown_would_be_taken(
    where: str, command: shell.Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    monkeypatch.chdir(tmp_path)
    wrong = programs.problem(command.words, tmp_path, pytestconfig) if command.words else None
    assert wrong is None, f"{where}: {wrong}"


@pytest.mark.parametrize(("where", "text"), [*_named()])
def test_a_command_that_is_named_exists(where: str, text: str, pytestconfig: pytest.Config) -> None:
    wrong = programs.loose_problem(text, pytestconfig)
    assert wrong is None, f"{where}: {wrong}"


@papers
def test_links_and_paths_lead_somewhere(paper: Paper) -> None:
    missing = [f"{place(paper, link.line)}: {link.text}" for link in paper.links if not leads(paper, link.text)]
    if paper.path.name != "CHANGELOG.md":
        # The changelog also names what is gone.
        missing += [f"{place(paper, span.line)}: {span.text}" for span in paper.spans if not stands(paper, span.text)]
    assert not missing, "\n".join(missing)


@papers
def test_variables_and_settings_that_are_named_exist(paper: Paper) -> None:
    spans = {span.text for span in paper.spans}
    assert sorted(set(_VARIABLE.findall(paper.path.read_text(encoding="utf-8"))) - known_variables()) == []
    assert sorted({span for span in spans if _SETTING.fullmatch(span)} - known_settings()) == []
    of = {"limits": Limits.model_fields, "quota": Quota.model_fields}
    named = [found for span in spans if (found := _OF_POLICY.fullmatch(span))]
    assert [found[0] for found in named if found[2] not in of[found[1]]] == []


@pytest.mark.parametrize("block", _blocks("json", "jsonl"))
def test_json_is_read_back_as_it_is_shown(block: Block) -> None:
    if block.info[0] == "jsonl":
        assert all(isinstance(json.loads(line), dict) for line in block.text.splitlines())
        return
    value = json.loads(block.text)
    assert len(block.info) == 2, "say behind `json` which message it is"
    # What is no field would be ignored: nothing may get lost.
    assert messages()[block.info[1]].model_validate(value).model_dump(mode="json", exclude_unset=True) == value


@pytest.mark.parametrize("block", _blocks("yaml"))
def test_yaml_is_taken(block: Block) -> None:
    value = yaml.safe_load(block.text)
    if isinstance(value, dict) and "categories" in value:
        assert read_policy(block.text, "the example").categories
    else:
        assert len(block.info) == 2, "say behind `yaml` which part of a policy it is"
        messages()[block.info[1]].model_validate(value)


@pytest.mark.parametrize("block", _blocks("toml"))
def test_toml_holds_settings(block: Block) -> None:
    Settings.model_validate(with_secrets(tomllib.loads(block.text)))


@pytest.mark.parametrize("block", _blocks("python"))
def test_python_compiles_and_imports_what_is_there(block: Block) -> None:
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("refrain."):
            names = defined((node.module or "").removeprefix("refrain."))
            assert [alias.name for alias in node.names if alias.name not in names] == [], node.module


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("refrain nothing", "`refrain` has no command 'nothing'"),
        ("refrain topics", "`refrain topics` needs a command"),
        ("refrain doctor --jsn", "No such option"),
        ("refrain judge", "Missing"),
        ("refrain run all twice", "no processor"),
        ("infra/nothing", "infra/nothing is no command"),
        ("infra/up --demo", "infra/up takes no --demo"),
        ("infra/test tests/nothing.py", "tests/nothing.py does not exist"),
        ("infra/test tests/infra/documents/test_documents.py::test_nothing", "test_nothing does not exist"),
        ("infra/faults --sed 1", "No such option"),
        ("pip install another", "pip would install another"),
        ("python -m tests.nothing", "there is no module tests.nothing"),
        ("frobnicate all", "frobnicate is no program of this repository"),
    ],
)
def test_a_command_that_does_not_exist_is_found(
    line: str, wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    monkeypatch.chdir(tmp_path)
    assert wrong in (programs.problem(line.split(), tmp_path, pytestconfig) or "")


def test_options_before_a_command_and_pipelines_are_read() -> None:
    line = "REFRAIN_PREFIX=a. refrain --debug doctor --json | jq .state && echo 'a | b' > file  # why"
    found = [*shell.commands(line)]
    assert [command.words for command in found] == [
        ("refrain", "--debug", "doctor", "--json"),
        ("jq", ".state"),
        ("echo", "a | b"),
    ]
    assert found[0].variables == ("REFRAIN_PREFIX",)
    assert command_line.resolve(found[0].words[1:])[1] == "refrain doctor"
