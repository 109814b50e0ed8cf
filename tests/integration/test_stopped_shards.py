"""A journal that is cut on a real broker stops its shard alone, and an order lets it go on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from refrain.ops.shards.facts import look, order_recovery
from refrain.ops.shards.rows import ShardRow
from refrain.schemas.base import RecoveryWay
from refrain.schemas.control import Switch
from refrain.schemas.decisions import Decision
from refrain.schemas.responses import Outcome
from refrain.schemas.stats import StopReason
from refrain.streams.errors import OffsetLost
from refrain.streams.govern.worker import run_govern
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.lookup.worker import run_lookup
from refrain.streams.settings import Settings
from tests.eventually import eventually
from tests.integration.processors import running, running_all
from tests.integration.topics import create_table
from tests.streams.shard.journal import Journal, vector

CUT, WHOLE = 0, 1


@pytest.fixture
def cluster(settings: Settings, admin: AdminClient) -> Iterator[KafkaCluster]:
    create_table(admin, settings.prefix)
    with KafkaCluster(settings) as cluster:
        yield cluster


def send(cluster: KafkaCluster, journal: Journal, *records: Record) -> None:
    """Send records of a test's journal to its partition."""
    cluster.producer().send([Outgoing("journal", None, each.value, (), journal.partition) for each in records])


def ask(cluster: KafkaCluster, journal: Journal, offset: int) -> str:
    """Ask what the shard has an answer to; the id of the decision."""
    record = journal.ask("q", vector(1), offset=1_000 * journal.partition + offset)
    send(cluster, journal, record)
    id_: str = json.loads(record.value or b"")["id"]
    return id_


def remember(cluster: KafkaCluster, partition: int) -> Journal:
    """Give a shard a policy and an answer."""
    journal = Journal(partition)
    send(cluster, journal, journal.policy())
    send(cluster, journal, journal.answer(ask(cluster, journal, 0)))
    return journal


def outcome(cluster: KafkaCluster, id_: str) -> Outcome | None:
    for partition in range(cluster.partitions("decisions")):
        for record in cluster.scan("decisions", partition):
            decision = Decision.decode(record.value or b"")
            if decision.id == id_:
                return decision.outcome
    return None


def cut(admin: AdminClient, cluster: KafkaCluster, before: int) -> None:
    """Delete the records of the shard's journal below that offset."""
    place = TopicPartition(cluster.name("journal"), CUT, before)
    for future in admin.delete_records([place]).values():
        future.result(15)


def row(settings: Settings, partition: int) -> ShardRow:
    return look(settings)[partition]


def test_a_reader_is_told_which_partition_was_cut_and_reads_the_others(
    cluster: KafkaCluster, admin: AdminClient
) -> None:
    cluster.producer().send([Outgoing("journal", None, str(n).encode(), (), n % 2) for n in range(20)])
    cut(admin, cluster, 6)

    class SeeksToStart:
        def assigned(self, partitions: Sequence[int]) -> None:
            for partition in partitions:
                wanted.append(partition)

        def revoked(self, partitions: Sequence[int]) -> None:
            pass

        def lost(self, partitions: Sequence[int]) -> None:
            pass

    wanted: list[int] = []
    lost: list[int | None] = []
    read: dict[int, list[int]] = {CUT: [], WHOLE: []}
    consumer = cluster.consumer("journal", "cut", SeeksToStart(), from_start=False)

    def done() -> bool:
        try:
            for record in consumer.poll(100, 0.1):
                read[record.partition].append(record.offset)
        except OffsetLost as problem:
            lost.append(problem.partition)
            consumer.seek(CUT, 6)
            consumer.resume([CUT])
        for partition in wanted:
            consumer.seek(partition, 0)
            consumer.resume([partition])
        wanted.clear()
        return len(read[CUT]) >= 4 and len(read[WHOLE]) >= 10

    eventually(done)
    consumer.close()
    assert lost == [CUT]
    assert read == {CUT: [6, 7, 8, 9], WHOLE: list(range(10))}


def test_a_journal_that_is_cut_stops_one_shard_until_it_is_recovered(
    cluster: KafkaCluster, admin: AdminClient, settings: Settings
) -> None:
    journals = [remember(cluster, CUT), remember(cluster, WHOLE)]
    # What put their policy in force: version 0.
    cluster.producer().send([Outgoing("control", None, Switch(who="w", on=True).encode())])
    with running(run_lookup, settings):
        first = [ask(cluster, journal, 1) for journal in journals]
        eventually(lambda: all(outcome(cluster, id_) is Outcome.HIT for id_ in first))
    for number in range(2, 6):
        gone = ask(cluster, journals[CUT], number)
    kept = ask(cluster, journals[CUT], 6)
    cut(admin, cluster, cluster.ends("journal")[CUT][1] - 1)
    with running_all((run_lookup, run_govern), settings):
        eventually(lambda: row(settings, CUT).stopped is not None)
        stopped = row(settings, CUT).stopped
        assert stopped is not None
        assert stopped.reason is StopReason.JOURNAL_CUT
        assert row(settings, WHOLE).stopped is None
        other = ask(cluster, journals[WHOLE], 2)
        eventually(lambda: outcome(cluster, other) is Outcome.HIT)
        eventually(lambda: outcome(cluster, kept) is Outcome.BYPASS)
        order_recovery(settings, CUT, RecoveryWay.WATERMARK, stopped.position, "w", "", 30)
        assert row(settings, CUT).stopped is None
        again = ask(cluster, journals[CUT], 7)
        eventually(lambda: outcome(cluster, again) is Outcome.HIT)
    assert outcome(cluster, gone) is None
