"""A replay gives what the worker published, in topics of its own, and touches nothing that is live."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from refrain.ops.cluster.last_commit import journal_id, last_meta, recorded_journal_id
from refrain.ops.replay.run import Pace, replay
from refrain.ops.replay.stretch import Stretch
from refrain.ops.replay.target import check_empty, check_prefix, check_stamps
from refrain.ops.terminal.points import Point, read_point
from refrain.schemas.documents import Skip
from refrain.schemas.topics import BY_NAME
from refrain.streams.errors import BadInput, JournalUnreadable
from refrain.streams.kafka.interface import Record
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.messaging.signed_routes import unsigned
from refrain.streams.shard.columns import META_KEY
from refrain.streams.store.interface import digest
from tests.ops.audit.audited import audited, recorded, rewrite, rows
from tests.ops.replay.copying import copy_of, redirected, run
from tests.streams.lookup.stage import PARTITIONS, Stage, traffic
from tests.streams.shard.journal import JOURNAL_ID

TOPICS = ("journal", "documents", "decisions", "responses", "forwards")


def ends(stage: Stage) -> dict[str, dict[int, tuple[int, int]]]:
    return {topic: stage.cluster.ends(topic) for topic in PARTITIONS}


def values(cluster: MemoryCluster, topic: str, partition: int) -> list[bytes]:
    return [record.value or b"" for record in cluster.topic(topic).records[partition]]


def state(cluster: MemoryCluster, partition: int) -> dict[bytes | None, bytes | None]:
    """The last record of each key of `documents`."""
    return {record.key: record.value for record in cluster.topic("documents").records[partition]}


@pytest.mark.parametrize("pace", [None, Pace(1e9)], ids=["max", "paced"])
def test_a_replay_gives_decisions_documents_and_responses_as_they_were_published(pace: Pace | None) -> None:
    stage = run()
    before = ends(stage)
    copy, target = copy_of()
    done = replay(stage.cluster, target, Stretch(stage.cluster), pace=pace)
    assert ends(stage) == before
    for number, each in enumerate(done):
        assert copy.topic("journal").records[number] == stage.cluster.topic("journal").records[number]
        assert values(copy, "decisions", number) == values(stage.cluster, "decisions", number)
        assert {k: v for k, v in state(copy, number).items() if v is not None} == stage.documents(number)
        assert each.state == digest(stage.stores[number].scan())
        assert each.counts["decisions"] == len(values(copy, "decisions", number)) > 10
    assert sorted(values(copy, "responses", 0)) == sorted(values(stage.cluster, "responses", 0))
    theirs = [unsigned(value) for value in values(stage.cluster, "forwards", 0)]
    assert sorted(values(copy, "forwards", 0)) == sorted(theirs)


def test_an_audit_of_the_copy_agrees_and_says_what_it_is_a_copy_of(tmp_path: Path) -> None:
    stage = run()
    copy, target = copy_of()
    done = replay(stage.cluster, target, Stretch(stage.cluster))
    for number, each in enumerate(done):
        found = audited(copy, tmp_path / str(number), number)
        assert found.findings.found == []
        assert found.findings.counts["decisions"] > 10
        assert (found.copy_of, found.state) == (JOURNAL_ID, each.state)
    assert audited(stage.cluster, tmp_path / "live").copy_of == ""


def test_a_copy_can_be_replayed_again() -> None:
    stage = run()
    first, target = copy_of()
    once = replay(stage.cluster, target, Stretch(stage.cluster))
    second, target = copy_of()
    assert replay(first, target, Stretch(first)) == once
    assert journal_id(second, last_meta(second, 0)) == recorded_journal_id(second) == JOURNAL_ID


def test_one_altered_decision_of_the_copy_is_named(tmp_path: Path) -> None:
    stage = run()
    copy, target = copy_of()
    replay(stage.cluster, target, Stretch(stage.cluster))
    stage.cluster = copy
    rewrite(stage, "decisions", 3, lambda value: value.update(similarity=0.5))
    assert [one.kind.value for one in audited(copy, tmp_path).findings.found] == ["decision_differs"]


@pytest.mark.parametrize("until", ["12", "moment"])
def test_a_replay_ends_before_the_point(until: str, tmp_path: Path) -> None:
    stage = run()
    journal = rows(stage, "journal")
    for at, record in enumerate(journal):
        journal[at] = record._replace(timestamp_ms=1_000_000 + at)
    point = Point(until, offset=12) if until == "12" else Point(until, time_ms=1_000_012)
    copy, target = copy_of()
    (done,) = replay(stage.cluster, target, Stretch(stage.cluster, [0], point))
    assert (done.end, len(values(copy, "journal", 0)), len(values(copy, "journal", 1))) == (12, 12, 0)
    assert ids(values(copy, "decisions", 0)) == ids(
        value for value in values(stage.cluster, "decisions", 0) if offset_of(value) < 12
    )
    found = audited(copy, tmp_path)
    assert (found.findings.found, found.end, found.state) == ([], 12, done.state)


def offset_of(value: bytes) -> int:
    return int(json.loads(value)["offset"])


def ids(decisions: Iterable[bytes]) -> list[str]:
    return [json.loads(value)["id"] for value in decisions]


def test_what_comes_before_the_first_point_makes_the_state_alone() -> None:
    stage = run()
    copy, target = copy_of()
    (done,) = replay(stage.cluster, target, Stretch(stage.cluster, [0]), since=Point("9", offset=9))
    assert values(copy, "decisions", 0) == [v for v in values(stage.cluster, "decisions", 0) if offset_of(v) >= 9]
    assert done.state == digest(stage.stores[0].scan())


def test_responses_to_topics_of_clients_are_left_out() -> None:
    stage = Stage()
    stage.cluster.create("/answers.of.shop", 1)
    stage.journal(redirected())
    worker = stage.worker()
    stage.run(worker)
    worker.close()
    assert len(values(stage.cluster, "/answers.of.shop", 0)) == 1
    copy, target = copy_of()
    (done,) = replay(stage.cluster, target, Stretch(stage.cluster, [0]))
    assert (done.counts["client_topics"], values(copy, "responses", 0)) == (1, [])
    assert len(values(stage.cluster, "/answers.of.shop", 0)) == 1


def test_records_that_were_set_aside_are_set_aside_in_the_copy(tmp_path: Path) -> None:
    stage = recorded(traffic())
    skip = Skip(to_offset=5, what="records", why="quarantined")
    meta = rows(stage, "documents").pop()
    assert meta.key == META_KEY
    row = meta._replace(key=b"skips/00000000000000000004.records", value=skip.encode())
    rows(stage, "documents").extend([row, meta])
    copy, target = copy_of()
    (done,) = replay(stage.cluster, target, Stretch(stage.cluster, [0]))
    assert done.state != digest(stage.stores[0].scan())
    found = audited(copy, tmp_path)
    assert (found.findings.found, found.state) == ([], done.state)


def test_the_pace_is_that_of_the_records_times() -> None:
    now_s, slept, idle = 50.0, [], []

    def sleep(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds
        slept.append(round(seconds, 6))

    pace = Pace(2.0, lambda: now_s, sleep)
    for time_ms in (1_000, 1_100, 3_100, 3_100):
        pace.wait(time_ms, lambda: idle.append(now_s))
    assert slept == [0.05, 1.0]
    assert idle == [50.05]


def test_a_record_of_an_unknown_version_ends_the_replay_and_is_named() -> None:
    stage = run()
    rewrite(stage, "journal", 9, lambda value: value.update(v=99))
    _, target = copy_of()
    with pytest.raises(JournalUnreadable, match=r"journal\[0\] offset 9 has version 99"):
        replay(stage.cluster, target, Stretch(stage.cluster))


def test_a_journal_whose_beginning_is_gone_is_refused_with_the_offset() -> None:
    stage = run()
    stage.cluster.delete_records("journal", 0, 7)
    with pytest.raises(BadInput, match="partition 0 of the journal begins at offset 7"):
        Stretch(stage.cluster)
    assert len(Stretch(stage.cluster, [1])) > 0


@pytest.mark.parametrize(
    ("partitions", "point", "said"),
    [
        ([0], "999", "partition 0 of the journal ends at offset"),
        (None, "5", "5 is an offset of one partition"),
        ([0], "1970-01-01T00:00:01+00:00", "lies before the log: its first record is of"),
        ([7], None, "the journal has the partitions 0 to 1, no 7"),
    ],
)
def test_a_point_outside_of_the_log_is_refused(partitions: list[int] | None, point: str | None, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        Stretch(run().cluster, partitions, None if point is None else read_point(point))


@pytest.mark.parametrize("text", ["-5", "5.5", "yesterday", "9" * 19, "", "1e3", "٣"])
def test_what_is_neither_offset_nor_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="offset"):
        read_point(text)


@pytest.mark.parametrize(
    ("into", "live", "there", "said"),
    [
        ("", "refrain.", [], "a prefix of its own"),
        ("refrain.", "refrain.", [], "is the live prefix"),
        ("refrain.requests.", "refrain.", [], "would be refrain.requests.requests, which is of the live prefix"),
        ("refrain.journal", "refrain.", [], "begins with the name of the live topic refrain.journal"),
        ("refrain.journal.", "refrain.", [], "begins with the name of the live topic refrain.journal"),
        ("requests.", "", [], "which is of the live prefix ''"),
        ("dead-", "dead-requests.", ["dead-requests.journal"], "the live topic dead-requests.journal would be one"),
        ("a b", "refrain.", [], "is no prefix: 64 letters"),
        ("x" * 249, "refrain.", [], "is no prefix: 64 letters"),
    ],
)
def test_a_prefix_that_names_live_topics_is_refused(into: str, live: str, there: list[str], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        check_prefix(into, live, there)


@pytest.mark.parametrize("into", ["copy.", "refrain.copy.", "refrain", "refrain-2026-03-01."])
def test_other_prefixes_are_taken(into: str) -> None:
    check_prefix(into, "refrain.", ["refrain.journal", "refrain.requests.acme", "__consumer_offsets", "other"])


def test_a_journal_that_stamps_its_records_itself_is_refused() -> None:
    check_stamps({"message.timestamp.type": "CreateTime"}, "copy.")
    with pytest.raises(BadInput, match=r"copy\.journal has message\.timestamp\.type=LogAppendTime"):
        check_stamps(BY_NAME["journal"].config(), "copy.")


def test_topics_that_hold_something_are_refused() -> None:
    copy, target = copy_of()
    check_empty(copy, {"journal": 2}, "copy.")
    with pytest.raises(BadInput, match=r"copy.journal has 2 partitions, and should have 3"):
        check_empty(copy, {"journal": 3}, "copy.")
    target.journal.append([Record("journal", 1, 0, 1, None, b"x")])
    with pytest.raises(BadInput, match=r"copy.journal\[1\] holds records up to offset 1"):
        check_empty(copy, {"journal": 2}, "copy.")
