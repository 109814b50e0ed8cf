"""`refrain schemas`: what it lists, shows and writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from refrain.ops.cli import main
from refrain.ops.contract.files import contract_files
from refrain.ops.terminal import exit_codes
from refrain.schemas.topics import BY_NAME

Out = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_it_lists_messages_policy_settings_and_asyncapi(capsys: Out) -> None:
    assert main(["schemas", "list", "--json"]) == exit_codes.OK
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["name"]: row["file"] for row in rows} == {name: path.name for name, path in contract_files().items()}
    assert {"request", "journal", "policy", "settings", "asyncapi"} <= {row["name"] for row in rows}


def test_it_shows_a_schema_as_it_is_written(capsys: Out) -> None:
    assert main(["schemas", "show", "request"]) == exit_codes.OK
    assert json.loads(capsys.readouterr().out)["$id"] == "urn:refrain:schema:request:1"
    assert main(["schemas", "show", "asyncapi"]) == exit_codes.OK
    assert list(yaml.safe_load(capsys.readouterr().out)["channels"]) == list(BY_NAME)


@pytest.mark.parametrize(("name", "said"), [("reqest", "did you mean request?"), ("", "it is empty"), ("%", "list")])
def test_a_name_that_is_none_is_told_what_was_meant(name: str, said: str, capsys: Out) -> None:
    assert main(["schemas", "show", name]) == exit_codes.USAGE
    assert said in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_it_writes_all_files_into_a_folder_that_it_makes(tmp_path: Path, capsys: Out) -> None:
    for _ in range(2):
        assert main(["schemas", "export", "--into", "made/here"]) == exit_codes.OK
    written = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "made/here").iterdir()}
    assert written == {path.name: path.read_text(encoding="utf-8") for path in contract_files().values()}
    assert capsys.readouterr().out == ""


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path, capsys: Out) -> None:
    (tmp_path / "file").write_text("")
    assert main(["schemas", "export", "--into", "file"]) == exit_codes.USAGE
    assert "--into file: " in capsys.readouterr().err
