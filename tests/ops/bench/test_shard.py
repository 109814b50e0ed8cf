"""`refrain bench shard` in small: what it prints, and that its shard has room for what it holds."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from refrain.ops.bench.made_up import Layout, policy_of
from refrain.ops.cli import main
from refrain.ops.terminal import exit_codes
from refrain.schemas.policy_limits import Limits

Out = pytest.CaptureFixture[str]
LAYOUT = {
    "raw_knn_us_p50",
    "fold_us_p50",
    "fold_us_p99",
    "guards_us_p50",
    "guards_read_us_p50",
    "guards_weigh_us_p50",
    "ratio",
    "recall_at_1",
    "restore_cpu_s",
    "restore_s",
    "snapshot_bytes_per_entry",
    "snapshot_ratio",
    "snapshot_restore_cpu_s",
    "snapshot_restore_s",
    "snapshot_rss_bytes_per_entry",
    "rss_bytes_per_entry",
}
SMALL = ["bench", "shard", "--entries", "1000", "--namespaces", "50", "--queries", "100"]


@pytest.fixture(autouse=True)
def _free_embedder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("REFRAIN_CONFIG", "REFRAIN_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REFRAIN_EMBEDDING__BACKEND", "free")
    monkeypatch.setenv("REFRAIN_STATE_DIR", str(tmp_path / "state"))


def check(figures: dict[str, Any]) -> None:
    """What holds for a layout however fast the machine is."""
    assert 0 < figures["fold_us_p50"] <= figures["fold_us_p99"]
    assert figures["raw_knn_us_p50"] > 0
    assert min(figures["guards_read_us_p50"], figures["guards_weigh_us_p50"]) > 0
    assert figures["ratio"] == pytest.approx(figures["fold_us_p50"] / figures["raw_knn_us_p50"], abs=0.01)
    # A thousand entries are scanned: the nearest is always found.
    assert figures["recall_at_1"] == 1
    assert figures["restore_s"] >= 0
    assert figures["snapshot_restore_s"] >= 0
    assert figures["snapshot_bytes_per_entry"] > 100


def test_both_layouts_are_told_on_one_json_line(capsys: Out) -> None:
    assert main([*SMALL, "--json"]) == exit_codes.OK
    said = capsys.readouterr()
    (line,) = said.out.splitlines()
    figures = json.loads(line)
    assert set(figures) == LAYOUT | {"many_namespaces", "entries", "namespaces", "data"}
    assert set(figures["many_namespaces"]) == LAYOUT
    assert (figures["entries"], figures["namespaces"]) == (1_000, 50)
    assert figures["data"] == "1000 vectors of questions made of words by free-1"
    check(figures)
    check(figures["many_namespaces"])
    assert "filling 1000 entries in 50 namespaces" in said.err


def test_questions_of_a_file_are_turned_where_they_are_too_few(tmp_path: Path, capsys: Out) -> None:
    asked = tmp_path / "asked.jsonl.gz"
    lines = [json.dumps({"question": f"How do I sort {number} lists in Python?"}) for number in range(200)]
    asked.write_bytes(gzip.compress("\n".join(lines).encode()))
    assert main([*SMALL, "--questions", str(asked), "--json"]) == exit_codes.OK
    figures = json.loads(capsys.readouterr().out)
    assert figures["data"].startswith("200 vectors of asked.jsonl.gz by free-1, 800 turned")
    check(figures)


def test_a_scan_and_an_hnsw_are_compared_up_to_the_entries_there_are(capsys: Out) -> None:
    assert main(["bench", "shard", "--switch", "--entries", "1000"]) == exit_codes.OK
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["entries"] for row in rows] == [500, 1_000]
    assert all(row["scan_us_p50"] > 0 and row["hnsw_us_p50"] > 0 for row in rows)


@pytest.mark.parametrize("entries", [100, Limits().entries_max, 10 * Limits().entries_max])
def test_its_policy_has_room_for_every_entry_and_one_more(entries: int) -> None:
    made = policy_of(Layout(1, entries, Limits().hnsw_from))
    assert made.categories["code"].quota.cap == made.limits.entries_max == entries + 1
