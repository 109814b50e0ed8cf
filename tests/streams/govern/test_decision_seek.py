"""The decisions of a journal record are found in a few reads, whatever else stands in their partition."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.responses import Outcome
from refrain.streams.govern.decision_seek import READS_MAX, DecisionSeek, JournalPlace
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.kafka.memory_clients import MemoryReader

PARTITION = 1
MANY = 100_000
READS_FOR_MANY = 16
"""Bisection halves 100,000 ten times before 100 are left."""


class Counting(MemoryCluster):
    """Counts what is read of it; offsets in `hidden` are those of open transactions or of their ends."""

    def __init__(self) -> None:
        super().__init__(lambda: 0, {"journal": 2, "decisions": 2})
        self.reads = 0
        self.records_read = 0
        self.hidden: frozenset[int] = frozenset()

    def reader(self, topic: str) -> MemoryReader:
        return CountingReader(self, topic)


class CountingReader(MemoryReader):
    def __init__(self, cluster: Counting, topic: str) -> None:
        super().__init__(cluster, topic)
        self._counting = cluster

    def read(self, partition: int, start: int, max_records: int) -> list[Record]:
        self._counting.reads += 1
        rows = self._counting.topic("decisions").records[partition][start:]
        out: list[Record] = []
        for record in rows:
            if len(out) == max_records:
                break
            if record.offset not in self._counting.hidden:
                out.append(record)
        self._counting.records_read += len(out)
        return out


@pytest.fixture
def cluster() -> Counting:
    return Counting()


def put(cluster: MemoryCluster, offsets: Iterable[int], *, partition: int = PARTITION, journal: str = "") -> None:
    """Decisions in the partition of shard 1; their ids are their numbers in it, in order."""
    plain = Decision(
        id="", journal=journal or cluster.topic_id("journal"), partition=partition, offset=0, time_ms=0, tenant="t",
        category="code", model="m", outcome=Outcome.MISS, reason=Reason.BELOW_THRESHOLD,
    )  # fmt: skip
    first = cluster.ends("decisions")[PARTITION][1]
    made = [
        plain.model_copy(update={"id": str(number), "offset": offset}) for number, offset in enumerate(offsets, first)
    ]
    cluster.append([Outgoing("decisions", each.id.encode(), each.encode(), (), PARTITION) for each in made])


def seek(cluster: MemoryCluster, offset: int) -> DecisionSeek:
    return DecisionSeek(cluster, JournalPlace(cluster.topic_id("journal"), PARTITION, offset), 0)


def found(cluster: MemoryCluster, offset: int) -> list[int]:
    """The numbers of the decisions of a journal record."""
    return [record.offset for record in seek(cluster, offset).records()]


@pytest.fixture(scope="module")
def many() -> Counting:
    """100,000 decisions of every third journal record, and 40 of one tick in their middle."""
    cluster = Counting()
    put(cluster, [*range(0, 150_000, 3), *[150_000] * 40, *range(150_003, 299_883, 3)])
    assert cluster.ends("decisions")[PARTITION][1] == MANY
    return cluster


@pytest.mark.parametrize("number", [0, 1, 99, 100, 31_416, 49_999, 50_040, 77_777, MANY - 2, MANY - 1])
def test_one_of_a_hundred_thousand_is_found_in_a_few_reads(many: Counting, number: int) -> None:
    offset = Decision.decode(many.topic("decisions").records[PARTITION][number].value or b"").offset
    many.reads = many.records_read = 0
    assert found(many, offset) == [number]
    assert many.reads <= READS_FOR_MANY
    assert many.records_read <= 100 * READS_FOR_MANY


def test_all_that_one_record_brought_about_are_found_in_their_order(many: Counting) -> None:
    many.reads = 0
    assert found(many, 150_000) == list(range(50_000, 50_040))
    assert many.reads <= READS_FOR_MANY


@pytest.mark.parametrize("offset", [1, 149_999, 150_001, 299_879])
def test_a_record_that_decided_nothing_has_none(many: Counting, offset: int) -> None:
    many.reads = 0
    sought = seek(many, offset)
    assert sought.records() == []
    assert sought.passed
    assert many.reads <= READS_FOR_MANY


def test_what_may_still_come_is_not_passed(many: Counting) -> None:
    sought = seek(many, 300_000)
    assert sought.records() == []
    assert not sought.passed


def test_nothing_is_found_where_nothing_is_recorded(cluster: Counting) -> None:
    assert found(cluster, 5) == []
    assert cluster.reads == 0


@pytest.mark.parametrize("size", [*range(1, 9), 99, 100, 101, 199, 203])
def test_every_decision_of_a_small_partition_is_found(cluster: Counting, size: int) -> None:
    put(cluster, range(10, 10 + size))
    assert [found(cluster, 10 + number) for number in range(size)] == [[number] for number in range(size)]
    assert found(cluster, 9) == found(cluster, 10 + size) == []


def test_a_repeated_seek_finds_what_was_recorded_since(cluster: Counting) -> None:
    put(cluster, range(500))
    sought = seek(cluster, 700)
    assert sought.records() == []
    put(cluster, range(500, 800))
    assert [record.offset for record in sought.records()] == [700]


def test_what_is_not_committed_is_found_when_it_is(cluster: Counting) -> None:
    put(cluster, range(1_000))
    cluster.hidden = frozenset(range(300, 1_000))
    sought = seek(cluster, 700)
    assert sought.records() == []
    assert not sought.passed
    cluster.hidden = frozenset()
    assert [record.offset for record in sought.records()] == [700]


def test_ends_of_transactions_between_the_records_do_not_matter(cluster: Counting) -> None:
    put(cluster, range(1_000))
    cluster.hidden = frozenset(number for number in range(1_000) if number % 7 != 3)
    assert [found(cluster, offset) for offset in range(3, 1_000, 70)] == [[at] for at in range(3, 1_000, 70)]


def test_decisions_of_a_journal_that_was_recreated_are_told_apart(cluster: Counting) -> None:
    put(cluster, range(3_000), journal="the journal before")
    put(cluster, range(500))
    assert found(cluster, 300) == [3_300]
    assert found(cluster, 2_000) == []


def test_decisions_that_were_spread_by_their_ids_come_before_those_of_the_shard(cluster: Counting) -> None:
    for number in range(1_000):
        put(cluster, [number], partition=number % 5)
    put(cluster, range(1_000, 1_500))
    assert found(cluster, 1_234) == [1_234]


def test_what_is_no_decision_is_read_over(cluster: Counting) -> None:
    for number in range(600):
        put(cluster, [number])
        cluster.append([Outgoing("decisions", b"?", junk, (), PARTITION) for junk in (b"junk", b"[]", b"\xff")])
        cluster.append([Outgoing("decisions", b"?", None, (), PARTITION)])
    assert [found(cluster, offset) for offset in (0, 17, 599)] == [[0], [17 * 5], [599 * 5]]


def test_decisions_of_a_later_version_do_not_end_the_seek(cluster: Counting) -> None:
    put(cluster, range(300))
    newer = [
        record.value.replace(b'"v":1', b'"v":2').replace(b'"offset":', b'"offset":9000')
        for record in cluster.topic("decisions").records[PARTITION]
        if record.value is not None
    ]
    cluster.append([Outgoing("decisions", b"?", value, (), PARTITION) for value in newer])
    assert found(cluster, 250) == [250]


def test_a_partition_of_nothing_but_junk_ends_the_seek(cluster: Counting) -> None:
    cluster.append([Outgoing("decisions", b"?", b"junk", (), PARTITION)] * 30_000)
    assert found(cluster, 7) == []
    assert cluster.reads <= READS_MAX
