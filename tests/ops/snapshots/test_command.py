"""`refrain snapshot`, `refrain snapshots` and `refrain audit --from-snapshot`, on a recorded run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from refrain.ops.audit import whole
from refrain.ops.cli import application, main
from refrain.ops.cluster import connection
from refrain.ops.snapshots import verifying
from refrain.ops.terminal import exit_codes
from refrain.streams.kafka import cluster as kafka
from refrain.streams.store.interface import digest
from tests.ops.audit.seal.test_seal_command import Reached
from tests.streams.lookup.stage import traffic
from tests.streams.snapshots.test_snapshots import Kept, cut, more


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kept:
    """Shard 0 has folded some traffic, shard 1 nothing; snapshots go to `shelf`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REFRAIN_CONFIG", raising=False)
    monkeypatch.setenv("REFRAIN_SNAPSHOTS__LOCATION", str(tmp_path / "shelf"))
    made = Kept(str(tmp_path / "shelf"))
    made.play(traffic())
    reached = Reached(made.cluster)
    for module in (kafka, whole, verifying):
        monkeypatch.setattr(module, "KafkaCluster", lambda _: reached)
    for module in (connection, verifying):
        monkeypatch.setattr(module, "reach", lambda _: None)
    return made


def run(*words: str) -> Result:
    # What is in memory no other process can reach.
    alone = ("--processes", "1") if words[0] == "snapshot" else ()
    return CliRunner().invoke(application(words[0]), [*words, *alone])


def lines(*words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(*words, "--json").stdout.splitlines()]


def manifests(folder: Path) -> list[Path]:
    return sorted(folder.rglob("manifest.json"))


def test_a_snapshot_of_each_shard_is_made_and_listed(stage: Kept) -> None:
    made, nothing = lines("snapshot")
    assert (made["partition"], made["made"], made["entries"]) == (0, True, 4)
    assert (nothing["partition"], nothing["made"], nothing["name"]) == (1, False, None)
    (listed,) = lines("snapshots", "list")
    assert listed["state"] == made["state"] == digest(stage.stores[0].scan())
    assert (listed["problem"], listed["entries"]) == (None, 4)
    assert f"shard-0000/{listed['name']}" == made["name"]
    table = run("snapshots", "list").stdout.splitlines()
    assert table[0].split("\t")[:3] == ["shard", "snapshot", "journal"]
    assert table[1].split("\t")[-1] == "ok"


def test_what_is_damaged_is_listed_and_verified_as_such(stage: Kept, tmp_path: Path) -> None:
    run("snapshot")
    (manifest,) = manifests(tmp_path)
    assert run("snapshots", "verify").exit_code == exit_codes.OK
    cut(manifest.with_name("rows.zst"))
    assert lines("snapshots", "list")[0]["problem"] is None
    for words in (["verify"], ["verify", "--offline"]):
        failed = run("snapshots", *words)
        assert failed.exit_code == exit_codes.FAILED
        assert "rows.zst" in failed.stdout
    manifest.unlink()
    assert "manifest.json is missing" in lines("snapshots", "list")[0]["problem"]


def test_one_that_verifies_is_enough(stage: Kept, tmp_path: Path) -> None:
    run("snapshot")
    cut(manifests(tmp_path)[0].with_name("rows.zst"))
    stage.play(more())
    run("snapshot")
    newest, older = lines("snapshots", "verify")
    assert (newest["problem"], older["problem"] is None) == (None, False)
    assert run("snapshots", "verify").exit_code == exit_codes.OK


def test_a_snapshot_of_another_cluster_verifies_offline_only(stage: Kept, tmp_path: Path) -> None:
    run("snapshot")
    stage.cluster.create("journal", 2)
    assert "journal was made again" in lines("snapshots", "verify")[0]["problem"]
    assert run("snapshots", "verify", "--offline").exit_code == exit_codes.OK


def test_an_audit_begins_from_a_snapshot(stage: Kept, caplog: pytest.LogCaptureFixture) -> None:
    run("snapshot")
    stage.play(more())
    with caplog.at_level("WARNING"):
        result = run("audit", "--from-snapshot", "--processes", "1", "--json")
    assert result.exit_code == exit_codes.OK
    assert "shard 1: no snapshot is used" in caplog.text
    assert "shard 0: no snapshot" not in caplog.text
    told = json.loads(result.stdout)
    first, second = told["partitions"]
    assert first["snapshot"].startswith("shard-0000/")
    assert first["begun_at"] > 0
    assert first["state"] == digest(stage.stores[0].scan())
    assert (second["snapshot"], second["begun_at"]) == (None, 0)
    assert "begins at" in run("audit", "--from-snapshot", "--processes", "1").stdout


@pytest.mark.parametrize("other", [["--seal", "a.seal"], ["--against", "a.seal"], ["--make-key", "a.key"]])
def test_a_seal_is_of_whole_logs(other: list[str], stage: Kept, tmp_path: Path) -> None:
    assert run("audit", "--from-snapshot", *other).exit_code == exit_codes.USAGE
    assert run("audit", "--snapshots", str(tmp_path)).exit_code == exit_codes.USAGE


def test_a_location_that_takes_nothing_is_named_and_nothing_is_made(stage: Kept, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    result = run("snapshot", "--partition", "0", "--location", str(tmp_path / "file"))
    assert result.exit_code == exit_codes.USAGE
    assert "name a folder" in result.stderr


@pytest.mark.parametrize(
    "words", [["snapshot"], ["snapshots", "list"], ["snapshots", "verify"], ["audit", "--from-snapshot"]]
)
def test_an_unknown_scheme_is_a_wrong_setting(
    words: list[str], stage: Kept, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REFRAIN_SNAPSHOTS__LOCATION", "xyz://bucket/refrain")
    assert main(words) == exit_codes.WRONG_SETUP
    assert "xyz://bucket/refrain" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["snapshot"], ["snapshots", "list"], ["snapshots", "verify"]])
def test_a_shard_that_is_not_there_is_a_wrong_option(words: list[str], stage: Kept) -> None:
    assert run(*words, "--partition", "7").exit_code == exit_codes.USAGE


def test_an_empty_location_says_what_makes_snapshots(stage: Kept) -> None:
    result = run("snapshots", "list")
    assert result.exit_code == exit_codes.OK
    assert "refrain snapshot" in result.stderr
