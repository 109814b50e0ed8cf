"""What every cluster promises, as one test case: `kafka.memory` and `kafka.cluster` of `refrain.streams` pass it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import pytest

from refrain.streams.errors import ClusterFailed, Fenced, RecordsRefused, SendFailed, WrongSetup
from refrain.streams.kafka.incarnation import TopicMadeAnew
from refrain.streams.kafka.interface import (
    Cluster,
    Consumer,
    OffsetAndMetadata,
    Outgoing,
    Record,
    Span,
    Tail,
    Target,
    wire_bytes,
)
from refrain.streams.kafka.partitioner import partition_of

GROUP = "group"
WAIT_S = 15.0


class ClusterUnderTest:
    """A log under test, and the means to make and remake its topics."""

    def __init__(
        self,
        cluster: Cluster,
        create: Callable[[str, int], None],
        recreate: Callable[[str, int], None],
        create_other: Callable[[str, int, int, bool], None],
        delete: Callable[[str], None],
    ) -> None:
        """`create_other` makes a topic of so many partitions that takes so many bytes, compacted or not."""
        self.cluster = cluster
        self.create = create
        self.recreate = recreate
        self.create_other = create_other
        self.delete = delete


def tail_until(tail: Tail, count: int) -> list[Record]:
    """Read so many different records of a tail, or as many as come in time; it knows by then which topics it reads."""
    found: list[Record] = []
    until_s = time.monotonic() + WAIT_S
    while len(set(values(found))) < count and time.monotonic() < until_s:
        found += tail.poll(100, 0.1)
    for _ in range(5):
        found += tail.poll(100, 0.05)
    return found


class Remembering:
    """A listener that remembers what it was told."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, tuple[int, ...]]] = []

    def assigned(self, partitions: Sequence[int]) -> None:
        self.heard.append(("assigned", tuple(sorted(partitions))))

    def revoked(self, partitions: Sequence[int]) -> None:
        self.heard.append(("revoked", tuple(sorted(partitions))))

    def lost(self, partitions: Sequence[int]) -> None:
        self.heard.append(("lost", tuple(sorted(partitions))))


def records_of(topic: str, count: int, partition: int = 0, first: int = 0) -> list[Outgoing]:
    """Records with the values `0`, `1`, ... for one partition."""
    return [Outgoing(topic, b"key", str(number).encode(), (), partition) for number in range(first, first + count)]


def values(records: Sequence[Record]) -> list[bytes | None]:
    """The values alone."""
    return [record.value for record in records]


def poll_until(consumer: Consumer, count: int, attempts: int = 300) -> list[Record]:
    """Poll until so many records came; what came when they do not."""
    got: list[Record] = []
    for _ in range(attempts):
        got += consumer.poll(100, 0.05)
        if len(got) >= count:
            break
    return got


def join(consumer: Consumer, attempts: int = 300) -> list[int]:
    """Poll a reader that has nothing to read until it owns partitions."""
    for _ in range(attempts):
        assert consumer.poll(1, 0.05) == []
        if consumer.assignment():
            break
    return consumer.assignment()


def commit_at_last(consumer: Consumer, offsets: Mapping[int, OffsetAndMetadata], attempts: int = 100) -> None:
    """Commit, again while the broker does not know a topic that was just made."""
    for attempt in range(1, attempts + 1):
        try:
            return consumer.commit(offsets)
        except ClusterFailed:
            if attempt == attempts:
                raise
    return None


class ClusterContract:
    """Subclasses give the fixture `cluster`."""

    @pytest.fixture
    def topic(self, cluster: ClusterUnderTest) -> str:
        """A topic of three partitions that takes records of up to 100,000 bytes."""
        name = f"things-{uuid.uuid4().hex[:6]}"
        cluster.create(name, 3)
        return name

    def test_records_of_a_partition_are_read_in_the_order_they_were_sent(
        self, cluster: ClusterUnderTest, topic: str
    ) -> None:
        producer = cluster.cluster.producer()
        for first in (0, 50, 100):
            producer.send(records_of(topic, 50, first=first))
        consumer = cluster.cluster.consumer(topic, GROUP)
        got = poll_until(consumer, 150)
        assert values(got) == [str(number).encode() for number in range(150)]
        assert [record.offset for record in got] == list(range(150))
        assert all(a.timestamp_ms <= b.timestamp_ms for a, b in pairwise(got))
        assert {(record.topic, record.partition) for record in got} == {(topic, 0)}
        consumer.close()

    def test_a_poll_takes_no_more_than_it_is_asked_for(self, cluster: ClusterUnderTest, topic: str) -> None:
        cluster.cluster.producer().send(records_of(topic, 10))
        consumer = cluster.cluster.consumer(topic, GROUP)
        sizes: list[int] = []
        while sum(sizes) < 10:
            sizes.append(len(consumer.poll(4, 0.2)))
        assert max(sizes) <= 4
        consumer.close()

    def test_a_key_decides_the_partition_as_murmur2_does(self, cluster: ClusterUnderTest, topic: str) -> None:
        keys = [f"tenant/category/{number}".encode() for number in range(40)]
        cluster.cluster.producer().send([Outgoing(topic, key, key) for key in keys])
        found = {r.key: r.partition for p in range(3) for r in cluster.cluster.scan(topic, p)}
        assert found == {key: partition_of(key, 3) for key in keys}
        assert set(found.values()) == {0, 1, 2}

    def test_a_record_without_a_key_lands_in_some_partition(self, cluster: ClusterUnderTest, topic: str) -> None:
        cluster.cluster.producer().send([Outgoing(topic, None, b"alone")])
        assert [r.value for p in range(3) for r in cluster.cluster.scan(topic, p)] == [b"alone"]

    def test_headers_and_missing_values_survive(self, cluster: ClusterUnderTest, topic: str) -> None:
        headers = (("trace", b"\x00\xff"), ("empty", b""), ("none", None), ("trace", b"again"))
        sent = [
            Outgoing(topic, b"k", b"v", headers, 1),
            Outgoing(topic, b"k", None, (), 1),
            Outgoing(topic, None, b"", (), 1),
        ]
        cluster.cluster.producer().send(sent)
        got = list(cluster.cluster.scan(topic, 1))
        assert [(r.key, r.value, r.headers) for r in got] == [(o.key, o.value, o.headers) for o in sent]

    def test_a_group_goes_on_where_it_committed_with_its_note(self, cluster: ClusterUnderTest, topic: str) -> None:
        cluster.cluster.producer().send(records_of(topic, 10))
        first = cluster.cluster.consumer(topic, GROUP)
        poll_until(first, 10)
        first.commit({0: OffsetAndMetadata(4, "what was done: 7")})
        first.close()
        second = cluster.cluster.consumer(topic, GROUP)
        assert values(poll_until(second, 6)) == [b"4", b"5", b"6", b"7", b"8", b"9"]
        assert second.committed([0, 1]) == {0: OffsetAndMetadata(4, "what was done: 7")}
        second.close()

    def test_offsets_of_a_topic_say_nothing_of_the_one_that_is_made_anew(
        self, cluster: ClusterUnderTest, topic: str
    ) -> None:
        cluster.cluster.producer().send(records_of(topic, 10))
        first = cluster.cluster.consumer(topic, GROUP)
        poll_until(first, 10)
        first.commit({0: OffsetAndMetadata(10, "what was done: 7")})
        cluster.recreate(topic, 2)
        cluster.cluster.producer().send(records_of(topic, 20))
        commit_at_last(first, {0: OffsetAndMetadata(10, "what was done: 7")})
        first.close()
        second = cluster.cluster.consumer(topic, GROUP)
        assert values(poll_until(second, 20)) == [b"%d" % number for number in range(20)]
        assert all(kept.next_offset == 0 for kept in second.committed([0, 1]).values())
        second.commit({0: OffsetAndMetadata(3)})
        assert second.committed([0, 1]) == {0: OffsetAndMetadata(3)}
        second.close()

    def test_a_consumer_of_a_topic_that_is_made_anew_and_has_more_by_then_tells_it(
        self, cluster: ClusterUnderTest, topic: str
    ) -> None:
        cluster.cluster.producer().send(records_of(topic, 3))
        consumer = cluster.cluster.consumer(topic, GROUP)
        poll_until(consumer, 3)
        cluster.recreate(topic, 2)
        cluster.cluster.producer().send(records_of(topic, 20))
        with pytest.raises(TopicMadeAnew):
            poll_until(consumer, 21)
        consumer.close()

    def test_a_tail_reads_what_comes_after_it_began_of_its_partitions_alone(
        self, cluster: ClusterUnderTest, topic: str
    ) -> None:
        producer = cluster.cluster.producer()
        producer.send(records_of(topic, 2))
        one, whole = cluster.cluster.tail({topic: [1]}, "t"), cluster.cluster.tail({topic: None}, "t")
        producer.send([*records_of(topic, 1, 0, 5), *records_of(topic, 1, 1, 6)])
        found: list[Record] = []
        until_s = time.monotonic() + WAIT_S
        while len(found) < 2 and time.monotonic() < until_s:
            found += whole.poll(10, 0.1)
        assert set(values(found)) == {b"5", b"6"}
        assert {record.topic for record in found} == {topic}
        assert values(one.poll(10, WAIT_S)) == [b"6"]
        assert one.poll(10, 0.01) == []
        assert one.lag() == {(topic, 1): 0}
        assert whole.lag().items() >= {((topic, 0), 0), ((topic, 1), 0)}
        for tail in (one, whole):
            tail.close()
            tail.close()
        producer.close()

    def test_a_tail_reads_a_topic_that_is_made_anew_from_its_first_record_and_the_others_on(
        self, cluster: ClusterUnderTest, topic: str
    ) -> None:
        beside = f"{topic}-beside"
        cluster.create(beside, 1)
        producer = cluster.cluster.producer()
        producer.send(records_of(topic, 5))
        one = cluster.cluster.tail({topic: [1], beside: [0]}, "t")
        whole = cluster.cluster.tail({topic: None, beside: [0]}, "t")
        producer.send([*records_of(topic, 1, 1, 5), *records_of(beside, 2)])
        for tail in (one, whole):
            assert set(values(tail_until(tail, 3))) == {b"0", b"1", b"5"}
        producer.close()
        cluster.recreate(topic, 3)
        producer = cluster.cluster.producer()
        # As many in one partition as it had, fewer in another, and one that was not there.
        producer.send([*records_of(topic, 6, 0, 10), *records_of(topic, 1, 1, 20), *records_of(topic, 1, 2, 30)])
        # What is read of it before it is noticed is read again.
        assert set(values(tail_until(one, 1))) == {b"20"}
        assert set(values(tail_until(whole, 8))) == {*(b"%d" % each for each in range(10, 16)), b"20", b"30"}
        producer.send([*records_of(topic, 1, 1, 21), *records_of(beside, 1, 0, 2)])
        for tail in (one, whole):
            assert set(values(tail_until(tail, 2))) >= {b"2", b"21"}
            tail.close()

    def test_a_tail_tells_where_a_topic_that_is_made_anew_has_its_partition_no_more(
        self, cluster: ClusterUnderTest, topic: str
    ) -> None:
        tail = cluster.cluster.tail({topic: [1]}, "t")
        cluster.cluster.producer().send(records_of(topic, 1, 1))
        assert len(tail_until(tail, 1)) == 1
        cluster.recreate(topic, 1)
        with pytest.raises(ClusterFailed, match="made anew with 1 partitions, and this client reads partition 1"):
            tail_until(tail, 1)
        tail.close()

    def test_a_tail_tells_how_many_records_it_has_not_read(self, cluster: ClusterUnderTest, topic: str) -> None:
        producer, tail = cluster.cluster.producer(), cluster.cluster.tail({topic: [0]}, "t")
        producer.send(records_of(topic, 5, 0))
        until_s = time.monotonic() + WAIT_S
        read = tail.poll(1, WAIT_S)
        while tail.lag() != {(topic, 0): 5 - len(read)} and time.monotonic() < until_s:
            read += tail.poll(1, 0.1)
        assert tail.lag() == {(topic, 0): 5 - len(read)}
        while len(read) < 5 and time.monotonic() < until_s:
            read += tail.poll(1, 0.1)
        assert tail.lag() == {(topic, 0): 0}
        tail.close()
        producer.close()

    def test_a_tail_of_what_is_not_there_is_refused(self, cluster: ClusterUnderTest, topic: str) -> None:
        with pytest.raises(WrongSetup):
            cluster.cluster.tail({topic: [99]}, "t")
        with pytest.raises(WrongSetup):
            cluster.cluster.tail({f"nowhere-{uuid.uuid4().hex[:6]}": None}, "t")

    def test_a_poster_writes_without_waiting_and_tells_what_it_could_not_write(
        self, cluster: ClusterUnderTest, topic: str
    ) -> None:
        failures: list[str] = []
        poster, tail = cluster.cluster.poster(delivery_timeout_ms=10_000), cluster.cluster.tail({topic: None}, "t")
        for record in records_of(topic, 3):
            poster.post(record, failures.append)
        poster.post(Outgoing(topic, b"key", b"x", (), 99), failures.append)
        found: list[Record] = []
        until_s = time.monotonic() + WAIT_S
        while (len(found) < 3 or not failures) and time.monotonic() < until_s:
            found += tail.poll(10, 0.1)
            poster.poll()
        assert values(found) == [b"0", b"1", b"2"]
        assert len(failures) == 1
        poster.close()
        tail.close()

    def test_groups_do_not_know_each_other(self, cluster: ClusterUnderTest, topic: str) -> None:
        cluster.cluster.producer().send(records_of(topic, 3))
        for group in ("one", "two"):
            consumer = cluster.cluster.consumer(topic, group)
            assert len(poll_until(consumer, 3)) == 3
            consumer.commit({0: OffsetAndMetadata(3)})
            consumer.close()

    def test_without_from_start_nothing_is_read_before_a_seek(self, cluster: ClusterUnderTest, topic: str) -> None:
        cluster.cluster.producer().send(records_of(topic, 5))
        consumer = cluster.cluster.consumer(topic, GROUP, from_start=False)
        assert join(consumer) == [0, 1, 2]
        assert consumer.poll(10, 0.3) == []
        consumer.seek(0, 3)
        consumer.resume([0])
        assert values(poll_until(consumer, 2)) == [b"3", b"4"]
        consumer.close()

    def test_a_paused_partition_gives_nothing_until_it_is_resumed(self, cluster: ClusterUnderTest, topic: str) -> None:
        producer = cluster.cluster.producer()
        consumer = cluster.cluster.consumer(topic, GROUP)
        join(consumer)
        consumer.pause([0])
        producer.send([*records_of(topic, 2, partition=0), *records_of(topic, 2, partition=1, first=10)])
        assert values(poll_until(consumer, 2)) == [b"10", b"11"]
        assert consumer.poll(10, 0.3) == []
        consumer.resume([0])
        assert values(poll_until(consumer, 2)) == [b"0", b"1"]
        consumer.close()

    def test_a_listener_hears_what_it_gets_and_what_it_gives_back(self, cluster: ClusterUnderTest, topic: str) -> None:
        listener = Remembering()
        consumer = cluster.cluster.consumer(topic, GROUP, listener)
        join(consumer)
        consumer.close()
        assert listener.heard == [("assigned", (0, 1, 2)), ("revoked", (0, 1, 2))]

    def test_a_reader_is_known_by_another_id_each_time_it_joins(self, cluster: ClusterUnderTest, topic: str) -> None:
        first = cluster.cluster.consumer(topic, GROUP)
        assert first.member_id() == ""
        join(first)
        known = first.member_id()
        assert known != ""
        assert first.member_id() == known
        first.close()
        second = cluster.cluster.consumer(topic, GROUP)
        join(second)
        assert second.member_id() not in ("", known)
        second.close()

    def test_lag_is_what_is_left_to_read(self, cluster: ClusterUnderTest, topic: str) -> None:
        cluster.cluster.producer().send(records_of(topic, 20))
        consumer = cluster.cluster.consumer(topic, GROUP)
        got = 0
        while got < 5:
            got += len(consumer.poll(5 - got, 0.1))
        assert consumer.lag()[0] == 15
        consumer.close()

    def test_a_transaction_commits_the_offset_with_its_records(self, cluster: ClusterUnderTest, topic: str) -> None:
        cluster.create("out-" + topic, 1)
        cluster.cluster.producer().send(records_of(topic, 3))
        consumer = cluster.cluster.consumer(topic, GROUP)
        poll_until(consumer, 3)
        producer = cluster.cluster.transactional("one")
        out = Outgoing("out-" + topic, b"k", b"done", (), 0)
        assert producer.transact([out], consumer.group_metadata(), {0: OffsetAndMetadata(3, "note")}) == {
            ("out-" + topic, 0): 1
        }
        assert values(list(cluster.cluster.scan("out-" + topic, 0))) == [b"done"]
        assert consumer.committed([0]) == {0: OffsetAndMetadata(3, "note")}
        consumer.close()

    def test_a_failed_transaction_leaves_neither_records_nor_offsets(
        self, cluster: ClusterUnderTest, topic: str
    ) -> None:
        cluster.cluster.producer().send(records_of(topic, 3))
        consumer = cluster.cluster.consumer(topic, GROUP)
        poll_until(consumer, 3)
        producer = cluster.cluster.transactional("one")
        with pytest.raises(SendFailed):
            producer.transact(
                [Outgoing(topic, b"k", b"half", (), 1), Outgoing(topic, b"k", b"x" * 150_000, (), 1)],
                consumer.group_metadata(),
                {0: OffsetAndMetadata(3)},
            )
        assert list(cluster.cluster.scan(topic, 1)) == []
        assert consumer.committed([0]) == {}
        # A worker stops at a refused record; the one that is started next has the same name.
        again = cluster.cluster.transactional("one")
        again.transact([Outgoing(topic, b"k", b"whole", (), 1)], consumer.group_metadata(), {0: OffsetAndMetadata(3)})
        assert values(list(cluster.cluster.scan(topic, 1))) == [b"whole"]
        assert values(poll_until(consumer, 1)) == [b"whole"]
        assert consumer.committed([0]) == {0: OffsetAndMetadata(3)}
        consumer.close()

    def test_a_second_transactional_writer_of_a_name_fences_the_first(
        self, cluster: ClusterUnderTest, topic: str
    ) -> None:
        first = cluster.cluster.transactional("shard-0")
        first.transact(records_of(topic, 1), None, {})
        second = cluster.cluster.transactional("shard-0")
        second.transact(records_of(topic, 1, first=1), None, {})
        for _ in range(2):
            with pytest.raises(Fenced):
                first.transact(records_of(topic, 1, first=99), None, {})
        second.transact(records_of(topic, 1, first=2), None, {})
        assert values(list(cluster.cluster.scan(topic, 0))) == [b"0", b"1", b"2"]

    def test_transactional_writers_of_other_names_do_not_meet(self, cluster: ClusterUnderTest, topic: str) -> None:
        writers = [cluster.cluster.transactional(name) for name in ("shard-0", "shard-1")]
        for number, producer in enumerate([*writers, *writers]):
            producer.transact(records_of(topic, 1, first=number), None, {})
        assert values(list(cluster.cluster.scan(topic, 0))) == [b"0", b"1", b"2", b"3"]

    def test_a_scan_goes_from_an_offset_to_the_end_of_one_partition(
        self, cluster: ClusterUnderTest, topic: str
    ) -> None:
        cluster.cluster.producer().send([*records_of(topic, 10), *records_of(topic, 5, partition=1)])
        assert values(list(cluster.cluster.scan(topic, 0, 7))) == [b"7", b"8", b"9"]
        assert list(cluster.cluster.scan(topic, 0, 10)) == []
        assert list(cluster.cluster.scan(topic, 2)) == []
        assert cluster.cluster.ends(topic) == {0: (0, 10), 1: (0, 5), 2: (0, 0)}

    def test_spans_of_several_partitions_are_sifted_side_by_side(self, cluster: ClusterUnderTest, topic: str) -> None:
        cluster.cluster.producer().send([*records_of(topic, 10), *records_of(topic, 5, first=20, partition=1)])
        spans = {0: Span(2, 6), 1: Span(3, 5), 2: Span(0, 0)}
        found = list(cluster.cluster.sift(topic, spans))
        assert {number: values([each for each in found if each.partition == number]) for number in spans} == {
            0: [b"2", b"3", b"4", b"5"],
            1: [b"23", b"24"],
            2: [],
        }
        wanted = cluster.cluster.sift(topic, spans, lambda _, value: value in (b"3", b"6", b"24"))
        assert sorted((each.partition, each.offset) for each in wanted) == [(0, 3), (1, 4)]
        assert list(cluster.cluster.sift(topic, {})) == []

    def test_a_span_is_sifted_past_what_transactions_leave_at_its_end(
        self, cluster: ClusterUnderTest, topic: str
    ) -> None:
        for number in range(3):
            cluster.cluster.transactional("shard-0").transact(records_of(topic, 1, first=number), None, {})
        spans = {number: Span(first, end) for number, (first, end) in cluster.cluster.ends(topic).items()}
        assert values(list(cluster.cluster.sift(topic, spans))) == [b"0", b"1", b"2"]

    def test_a_scan_ends_early_when_it_is_told_to(self, cluster: ClusterUnderTest, topic: str) -> None:
        cluster.cluster.producer().send(records_of(topic, 10))
        taken: list[Record] = []
        for record in cluster.cluster.scan(topic, 0, stop=lambda: len(taken) >= 3):
            taken.append(record)
        assert values(taken) == [b"0", b"1", b"2"]

    def test_a_time_names_the_first_records_that_are_not_before_it(self, cluster: ClusterUnderTest, topic: str) -> None:
        producer = cluster.cluster.producer()
        producer.send(records_of(topic, 3))
        last_ms = max(record.timestamp_ms for record in cluster.cluster.scan(topic, 0))
        assert cluster.cluster.offsets_at(topic, 0) == {0: 0, 1: 0, 2: 0}
        assert cluster.cluster.offsets_at(topic, last_ms)[0] < 3
        assert cluster.cluster.offsets_at(topic, last_ms + 1) == {0: 3, 1: 0, 2: 0}

    def test_a_reader_reads_a_few_records_at_any_place(self, cluster: ClusterUnderTest, topic: str) -> None:
        cluster.cluster.producer().send([*records_of(topic, 10), *records_of(topic, 5, partition=1, first=50)])
        reader = cluster.cluster.reader(topic)
        for partition, start in ((0, 0), (0, 9), (1, 3), (0, 4), (0, 4), (1, 0)):
            records = reader.read(partition, start, 3)
            assert 1 <= len(records) <= 3
            assert [(record.topic, record.partition) for record in records] == [(topic, partition)] * len(records)
            assert [record.offset for record in records] == list(range(start, start + len(records)))
            assert values(records)[0] == str(start + 50 * partition).encode()
        assert len(reader.read(0, 5, 1)) == 1
        assert reader.read(0, 10, 3) == reader.read(2, 0, 3) == []
        reader.close()
        reader.close()

    def test_a_reader_finds_what_came_since(self, cluster: ClusterUnderTest, topic: str) -> None:
        reader = cluster.cluster.reader(topic)
        assert reader.read(0, 0, 1) == []
        cluster.cluster.producer().send(records_of(topic, 2))
        assert values(reader.read(0, 1, 1)) == [b"1"]
        reader.close()

    def test_a_reader_reads_what_is_committed_alone(self, cluster: ClusterUnderTest, topic: str) -> None:
        transactional = cluster.cluster.transactional("t")
        transactional.transact(records_of(topic, 2), None, {})
        with pytest.raises(SendFailed):
            transactional.transact([*records_of(topic, 3, first=100), Outgoing(topic, b"k", b"v", (), 7)], None, {})
        transactional = cluster.cluster.transactional("t")
        transactional.transact(records_of(topic, 1, first=2), None, {})
        reader = cluster.cluster.reader(topic)
        committed = list(cluster.cluster.scan(topic, 0))
        assert values(committed) == [b"0", b"1", b"2"]
        last = committed[-1]
        for start in range(committed[1].offset + 1, last.offset + 1):
            assert reader.read(0, start, 5) == [last]
        assert reader.read(0, last.offset + 1, 5) == []
        reader.close()

    def test_a_record_for_a_missing_topic_or_partition_is_refused(self, cluster: ClusterUnderTest, topic: str) -> None:
        producer = cluster.cluster.producer()
        with pytest.raises(SendFailed, match="no-such-topic"):
            producer.send([Outgoing("no-such-topic", b"k", b"v")])
        with pytest.raises(SendFailed):
            producer.send([Outgoing(topic, b"k", b"v", (), 7)])
        producer.send(records_of(topic, 1))
        assert len(list(cluster.cluster.scan(topic, 0))) == 1

    def test_a_second_close_does_nothing(self, cluster: ClusterUnderTest, topic: str) -> None:
        log = cluster.cluster
        for producer in (log.producer(), log.producer(delivery_timeout_ms=5_000)):
            producer.send(records_of(topic, 1))
            producer.close()
            producer.close()
        transactional = log.transactional("t")
        transactional.transact(records_of(topic, 1), None, {})
        consumer = log.consumer(topic, GROUP)
        assert poll_until(consumer, 3)
        for client in (transactional, consumer):
            client.close()
            client.close()
        assert len(list(log.scan(topic, 0))) == 3, "closing takes nothing back"

    def test_asking_about_a_missing_topic_says_what_to_do(self, cluster: ClusterUnderTest) -> None:
        for question in (
            cluster.cluster.partitions,
            cluster.cluster.topic_id,
            cluster.cluster.ends,
            lambda topic: cluster.cluster.offsets_at(topic, 0),
            lambda topic: list(cluster.cluster.scan(topic, 0)),
        ):
            with pytest.raises(WrongSetup, match="refrain topics create"):
                question("no-such-topic")

    def test_a_topic_made_again_has_another_identity(self, cluster: ClusterUnderTest, topic: str) -> None:
        before = cluster.cluster.topic_id(topic)
        assert cluster.cluster.topic_id(topic) == before
        assert cluster.cluster.partitions(topic) == 3
        cluster.recreate(topic, 2)
        assert cluster.cluster.topic_id(topic) != before
        assert cluster.cluster.partitions(topic) == 2

    @pytest.mark.parametrize("size", [150_000, 3_000_000])
    def test_a_record_too_large_is_refused_and_the_writer_goes_on(
        self, cluster: ClusterUnderTest, topic: str, size: int
    ) -> None:
        producer = cluster.cluster.producer()
        with pytest.raises(SendFailed, match=topic):
            producer.send([Outgoing(topic, b"k", b"x" * size, (), 0)])
        producer.send(records_of(topic, 2))
        assert values(list(cluster.cluster.scan(topic, 0))) == [b"0", b"1"]

    def test_no_offset_that_is_told_is_below_0(self, cluster: ClusterUnderTest, topic: str) -> None:
        producer = cluster.cluster.transactional("one")
        ends = producer.transact([*records_of(topic, 3), *records_of(topic, 1, partition=2)], None, {})
        assert ends[(topic, 0)] == 3
        assert ends[(topic, 2)] == 1
        told = [offset for pair in cluster.cluster.ends(topic).values() for offset in pair]
        assert min(told) == 0
        assert len(told) == 6

    def test_what_topics_take_is_told_of_all_that_are_there(self, cluster: ClusterUnderTest, topic: str) -> None:
        cluster.create_other("kept-" + topic, 1, 5_000, True)
        asked = [topic, "kept-" + topic, "no-such-topic"]
        assert cluster.cluster.targets(asked) == {
            topic: Target(3, 100_000, keyed=False),
            "kept-" + topic: Target(1, 5_000, keyed=True),
        }
        assert cluster.cluster.targets([]) == {}

    @pytest.mark.parametrize("expiring", [False, True])
    @pytest.mark.parametrize("headers", [(), (("h", b"1"),)])
    def test_the_refused_records_of_a_call_are_named_and_all_others_written(
        self, cluster: ClusterUnderTest, topic: str, expiring: bool, headers: tuple[tuple[str, bytes], ...]
    ) -> None:
        cluster.create_other("kept-" + topic, 1, 100_000, True)
        producer = cluster.cluster.producer(delivery_timeout_ms=8_000 if expiring else None)
        good = [Outgoing(topic, b"k", str(n).encode(), headers, 0) for n in range(4)]
        bad = [
            Outgoing(topic, b"k", b"x" * 150_000, headers, 1),
            Outgoing(topic, b"k", b"v", headers, 7),
            Outgoing("kept-" + topic, None, b"v", headers, 0),
            Outgoing("no-such-topic", b"k", b"v", headers),
            Outgoing(topic, b"k", b"x" * 3_000_000, headers, 1),
        ]
        sent = [good[0], *bad[:3], good[1], good[2], *bad[3:], good[3]]
        with pytest.raises(RecordsRefused) as raised:
            producer.send(sent)
        assert [sent[place] for place in sorted(raised.value.refused)] == bad
        assert {sent[place] for place, why in raised.value.refused.items() if why.too_large} == {bad[0], bad[4]}
        assert values(list(cluster.cluster.scan(topic, 0))) == [b"0", b"1", b"2", b"3"]
        assert list(cluster.cluster.scan(topic, 1)) == []
        producer.send_singly([good[0], good[1]])
        producer.send(good[2:])
        assert values(list(cluster.cluster.scan(topic, 0)))[4:] in ([b"0", b"1", b"2", b"3"], [b"2", b"3", b"0", b"1"])
        producer.close()

    def test_records_that_fit_by_themselves_are_taken_singly(self, cluster: ClusterUnderTest, topic: str) -> None:
        cluster.create_other("small-" + topic, 1, 2_000, False)
        producer = cluster.cluster.producer()
        sent = [Outgoing("small-" + topic, b"k", bytes([65 + n]) * 1_500, (), 0) for n in range(5)]
        producer.send_singly(sent)
        assert values(list(cluster.cluster.scan("small-" + topic, 0))) == [record.value for record in sent]

    def test_a_record_as_large_as_its_topic_takes_is_taken(self, cluster: ClusterUnderTest, topic: str) -> None:
        headers = tuple((f"header-{n}", b"v" * n) for n in range(100))
        record = Outgoing(topic, b"key", b"", headers, 0)
        record = record._replace(value=b"x" * (100_000 - wire_bytes(record)))
        assert wire_bytes(record) == 100_000
        cluster.cluster.producer().send([record])
        assert values(list(cluster.cluster.scan(topic, 0))) == [record.value]

    def test_a_topic_that_is_deleted_refuses_its_records_and_no_others(
        self, cluster: ClusterUnderTest, topic: str
    ) -> None:
        cluster.create_other("gone-" + topic, 1, 100_000, False)
        producer = cluster.cluster.producer()
        producer.send([Outgoing("gone-" + topic, b"k", b"v"), *records_of(topic, 1)])
        cluster.delete("gone-" + topic)
        with pytest.raises(RecordsRefused) as raised:
            producer.send([Outgoing("gone-" + topic, b"k", b"v"), *records_of(topic, 1, first=1)])
        assert list(raised.value.refused) == [0]
        assert values(list(cluster.cluster.scan(topic, 0))) == [b"0", b"1"]

    def test_a_transaction_names_a_refused_record_and_is_done_without_it(
        self, cluster: ClusterUnderTest, topic: str
    ) -> None:
        producer = cluster.cluster.transactional("one")
        good = records_of(topic, 3)
        for bad in (
            Outgoing(topic, b"k", b"x" * 150_000, (), 1),
            Outgoing(topic, b"k", b"x" * 3_000_000, (), 1),
            Outgoing("no-such-topic", b"k", b"v"),
        ):
            with pytest.raises(RecordsRefused) as raised:
                producer.transact([*good[:2], bad, good[2]], None, {})
            assert list(raised.value.refused) == [2]
        producer.transact(good, None, {})
        assert values(list(cluster.cluster.scan(topic, 0))) == [b"0", b"1", b"2"]
        assert list(cluster.cluster.scan(topic, 1)) == []
