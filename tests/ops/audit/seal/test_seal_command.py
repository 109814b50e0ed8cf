"""`refrain audit --seal` and `--against`, on a recorded run and on copies of it with one record other."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import pytest
from typer.testing import CliRunner, Result

from refrain.ops.audit import whole
from refrain.ops.cli import application
from refrain.ops.cluster import connection
from refrain.streams.kafka import cluster as kafka
from refrain.streams.kafka.interface import Cluster, Outgoing, Record
from refrain.streams.kafka.wrapped import WrappedCluster
from refrain.streams.shard.behaviour import BEHAVIOUR
from refrain.streams.store.interface import digest
from tests.ops.audit.audited import recorded, rewrite, rows
from tests.streams.lookup.stage import Stage, moving, traffic


class Reached(WrappedCluster):
    """The cluster that a command opens; `scans` are the partitions that were scanned from their beginning."""

    def __init__(self, inner: Cluster) -> None:
        super().__init__(inner)
        self.scans: list[tuple[str, int]] = []
        self.begins: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def scan(self, topic: str, partition: int, start: int = 0, **options: Any) -> Any:
        self.scans.append((topic, partition))
        return super().scan(topic, partition, start, **options)

    def ends(self, topic: str) -> dict[int, tuple[int, int]]:
        return {
            number: (first + self.begins.get(topic, 0), end) for number, (first, end) in super().ends(topic).items()
        }


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stage:
    monkeypatch.chdir(tmp_path)
    made = recorded(traffic(0), moving(1))
    made.cluster.create("control", 1)
    made.cluster.append([Outgoing("control", None, b"command %d" % number) for number in range(5)])
    return made


@pytest.fixture
def reached(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Reached:
    found = Reached(stage.cluster)
    for module in (kafka, whole):
        monkeypatch.setattr(module, "KafkaCluster", lambda _: found)
    monkeypatch.setattr(connection, "reach", lambda _: None)
    return found


def run(*words: str) -> Result:
    return CliRunner().invoke(application("audit"), ["audit", *words])


def sealed(*words: str) -> dict[str, Any]:
    result = run("--processes", "1", "--seal", "a.seal", *words)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(Path("a.seal").read_bytes())
    return found


def against(*words: str) -> tuple[int, dict[str, Any]]:
    result = run("--against", "a.seal", "--json", *words)
    return result.exit_code, json.loads(result.stdout)


def other(report: dict[str, Any]) -> list[tuple[str, int, str, int]]:
    return [
        (log["topic"], log["partition"], each["change"], each["first"])
        for log in report["logs"]
        for each in log["differences"]
    ]


def test_a_seal_holds_what_stands_in_the_logs_and_the_state_that_follows(stage: Stage, reached: Reached) -> None:
    found = sealed()
    assert found["fold"] == BEHAVIOUR
    assert found["findings"] == 0
    assert found["topics"]["journal"] == {"id": stage.cluster.topic_id("journal"), "partitions": 2}
    assert found["control"]["end"] == 5
    for number, each in enumerate(found["partitions"]):
        assert each["journal"]["end"] == len(rows(stage, "journal", number)) == each["state"]["offset"]
        assert each["decisions"]["end"] == len(rows(stage, "decisions", number)) > 0
        assert each["state"]["digest"] == digest(stage.stores[number].scan())
    assert sorted(scan for scan in reached.scans if scan[0] in ("journal", "control", "decisions")) == [
        ("control", 0), ("decisions", 0), ("decisions", 1), ("journal", 0), ("journal", 1),
    ]  # fmt: skip


def test_the_same_logs_are_proven_and_may_have_grown(stage: Stage, reached: Reached) -> None:
    sealed()
    stage.cluster.append([Outgoing("control", None, b"later"), Outgoing("journal", b"k", b"later", (), 0)])
    code, report = against()
    assert (code, report["ok"], other(report)) == (0, True, [])
    assert all(log["proven"] == log["sealed"] for log in report["logs"])
    assert "every log is the sealed one" in run("--against", "a.seal").stdout


def _deleted(records: list[Record]) -> None:
    del records[2]


def _inserted(records: list[Record]) -> None:
    records.insert(2, records[0]._replace(value=b"made up"))
    records[:] = [record._replace(offset=number) for number, record in enumerate(records)]


def _value(records: list[Record]) -> None:
    records[2] = records[2]._replace(value=b"other")


def _key(records: list[Record]) -> None:
    records[2] = records[2]._replace(key=b"other")


def _header(records: list[Record]) -> None:
    records[2] = records[2]._replace(headers=(("more", b"1"),))


def _timestamp(records: list[Record]) -> None:
    records[2] = records[2]._replace(timestamp_ms=7)


def _swapped(records: list[Record]) -> None:
    records[2], records[4] = records[4]._replace(offset=2), records[2]._replace(offset=4)


@pytest.mark.parametrize("topic", ["journal", "control", "decisions"])
@pytest.mark.parametrize(
    ("alter", "change"),
    [
        (_deleted, "deleted"), (_inserted, "inserted"), (_value, "changed"), (_key, "changed"), (_header, "changed"),
        (_timestamp, "changed"), (_swapped, "reordered"),
    ],
)  # fmt: skip
def test_one_record_other_is_named(
    topic: str, alter: Callable[[list[Record]], None], change: str, stage: Stage, reached: Reached
) -> None:
    partition = 0 if topic == "control" else 1
    sealed()
    alter(rows(stage, topic, partition))
    code, report = against()
    assert (code, report["ok"]) == (1, False)
    assert {each[:3] for each in other(report)} == {(topic, partition, change)}
    assert other(report)[0][3] == 2
    assert f"{topic}[{partition}]: is another one from offset 2 on" in run("--against", "a.seal").stdout


def test_a_topic_that_was_made_again_is_named_and_so_is_its_end(stage: Stage, reached: Reached) -> None:
    sealed()
    stage.cluster.create("decisions", 3)
    code, report = against()
    assert code == 1
    assert [(each["topic"], each["what"]) for each in report["topics"]] == [
        ("decisions", "recreated"), ("decisions", "repartitioned"),
    ]  # fmt: skip
    assert other(report) == [("decisions", 0, "truncated", 0), ("decisions", 1, "truncated", 0)]


def test_partitions_that_are_gone_are_truncated(stage: Stage, reached: Reached) -> None:
    sealed()
    del stage.cluster.topic("journal").records[1]
    code, report = against()
    assert code == 1
    assert other(report) == [("journal", 1, "truncated", 0)]


def test_what_retention_took_is_told_and_where_nothing_is_left_nothing_is_proven(
    stage: Stage, reached: Reached
) -> None:
    sealed()
    reached.begins["control"] = 2
    del rows(stage, "control")[:2]
    code, report = against()
    assert other(report) == []
    assert (code, report["logs"][0]["gone"], report["logs"][0]["proven"]) == (1, 2, 0)
    assert "control[0]: begins at 2, 2 sealed records before it cannot be proven" in run("--against", "a.seal").stdout


def test_only_the_partitions_that_are_asked_for_are_sealed_and_compared(stage: Stage, reached: Reached) -> None:
    assert len(sealed("--partition", "1")["partitions"]) == 1
    rows(stage, "journal", 0).clear()
    assert against()[0] == 0
    assert run("--against", "a.seal", "--partition", "0").exit_code == 2
    rows(stage, "journal", 1).clear()
    assert against("--partition", "1")[0] == 1


def test_what_differs_is_sealed_as_it_stands_and_counted(stage: Stage, reached: Reached) -> None:
    rewrite(stage, "decisions", 3, lambda value: value.update(similarity=0.5))
    result = run("--processes", "1", "--seal", "a.seal")
    assert result.exit_code == 1
    assert json.loads(Path("a.seal").read_bytes())["findings"] == 1
    assert against()[0] == 0


def test_a_journal_that_cannot_be_folded_is_sealed_to_its_end_without_a_state(stage: Stage, reached: Reached) -> None:
    rewrite(stage, "journal", 9, lambda value: value.update(v=99))
    assert run("--processes", "1", "--seal", "a.seal").exit_code == 1
    broken, whole_one = json.loads(Path("a.seal").read_bytes())["partitions"]
    assert broken["state"] is None
    assert whole_one["state"] is not None
    assert broken["journal"]["end"] == len(rows(stage, "journal"))
    assert broken["decisions"]["end"] == len(rows(stage, "decisions"))


def test_a_signed_seal_names_its_key_and_is_taken_by_it(stage: Stage, reached: Reached) -> None:
    assert run("--make-key", "audit.key").exit_code == 0
    key = sealed("--key", "audit.key")["public_key"]
    code, report = against("--public-key", "audit.key.pub")
    assert (code, report["public_key"]) == (0, key)
    assert "only --public-key makes sure" in run("--against", "a.seal").stdout
    Path("a.seal").write_text(Path("a.seal").read_text().replace('"findings":0', '"findings":9'))
    assert run("--against", "a.seal").exit_code == 1


@pytest.mark.parametrize(
    "words",
    [
        ["--key", "k"],
        ["--public-key", "k"],
        ["--seal", "a", "--against", "b"],
        ["--make-key", "a", "--seal", "b"],
        ["--against", "b", "--from", "2026-01-01"],
        ["--against", "b", "--rate", "5"],
        ["--make-key", "a", "--processes", "2"],
        ["--against", "b", "--key", "k"],
    ],
    ids=" ".join,
)
def test_options_that_do_not_go_together_are_refused(words: Sequence[str], reached: Reached) -> None:
    assert run(*words).exit_code == 2
    assert reached.scans == []


def test_a_file_that_stands_in_the_way_is_told_before_anything_is_read(reached: Reached) -> None:
    Path("a.seal").write_text("an older one")
    assert run("--seal", "a.seal").exit_code == 1
    assert run("--seal", "b.seal", "--key", "no.key").exit_code == 1
    assert reached.scans == []
    assert Path("a.seal").read_text() == "an older one"
