"""`refrain edge keys`: what it prints, what it keeps, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from refrain.ops.cli import main
from refrain.ops.config.settings import load_settings
from refrain.streams.edge.keys import KeyRing, keys_path, pepper_of


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REFRAIN_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def ring(state: Path) -> KeyRing:
    settings = load_settings({"REFRAIN_STATE_DIR": str(state)})
    return KeyRing(keys_path(settings), pepper_of(settings))


def test_a_key_is_printed_once_listed_by_its_id_and_revoked(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["edge", "keys", "add", "acme", "--note", "the shop", "--json"]) == 0
    added = json.loads(capsys.readouterr().out)
    found = ring(state).find(added["key"])
    assert found is not None
    assert (found.id, found.tenant, found.note) == (added["id"], "acme", "the shop")
    assert main(["edge", "keys", "add", "other"]) == 0
    said = capsys.readouterr()
    other = said.out.strip()
    assert other not in said.err
    assert main(["edge", "keys", "list", "--json"]) == 0
    out = capsys.readouterr().out
    rows = [json.loads(line) for line in out.splitlines()]
    assert (rows[0]["id"], rows[0]["tenant"], rows[0]["revoked_at_ms"]) == (added["id"], "acme", None)
    assert not any("digest" in row or "key" in row for row in rows)
    assert main(["edge", "keys", "revoke", added["id"]]) == 0
    assert ring(state).find(added["key"]) is None
    assert ring(state).find(other) is not None
    assert (state / "edge.keys").stat().st_mode & 0o077 == 0
    assert (state / "edge.pepper").stat().st_mode & 0o077 == 0
    assert main(["edge", "keys", "list"]) == 0
    assert "the shop" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["add", "a b"], ["add", "x" * 65], ["add", "acme", "--note", "a\nb"], ["add"]])
def test_what_is_no_tenant_or_note_is_refused(arguments: list[str]) -> None:
    assert main(["edge", "keys", *arguments]) == 2


def test_a_key_is_not_shown_where_it_cannot_be_kept(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (state / "taken").parent.mkdir()
    (state / "taken").touch()
    monkeypatch.setenv("REFRAIN_EDGE__KEYS_FILE", str(state / "taken/edge.keys"))
    assert main(["edge", "keys", "add", "acme"]) == 78
    said = capsys.readouterr()
    assert said.out == ""
    assert "edge.keys_file" in said.err


def test_a_key_that_is_not_there_or_revoked_cannot_be_revoked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["edge", "keys", "revoke", "00000000"]) == 2
    assert "refrain edge keys list" in capsys.readouterr().err
    assert main(["edge", "keys", "add", "acme", "--json"]) == 0
    id_ = json.loads(capsys.readouterr().out)["id"]
    assert main(["edge", "keys", "revoke", id_]) == 0
    assert main(["edge", "keys", "revoke", id_]) == 1


def test_another_pepper_knows_none_of_the_keys(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["edge", "keys", "add", "acme"]) == 0
    key = capsys.readouterr().out.strip()
    (state / "edge.pepper").unlink()
    assert ring(state).find(key) is None


def test_a_torn_file_ends_a_command_and_keeps_who_is_in(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["edge", "keys", "add", "acme"]) == 0
    key = capsys.readouterr().out.strip()
    settings = load_settings({"REFRAIN_STATE_DIR": str(state)})
    ticks = iter([0.0, 10.0, 20.0])
    known = KeyRing(keys_path(settings), pepper_of(settings), lambda: next(ticks))
    (state / "edge.keys").write_text('{"id": "')
    assert main(["edge", "keys", "list"]) == 78
    assert known.find(key) is not None
