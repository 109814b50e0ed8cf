"""Topics that are deleted and made anew while somebody waits: who waits is answered, or told."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from refrain.ops.cluster.lag import notes_of
from refrain.ops.cluster.resume import last_version, move_end_past, why_ignored
from refrain.ops.cluster.tail import Span as Watched
from refrain.ops.cluster.tail import follow
from refrain.ops.control.client import ControlClient
from refrain.ops.observe.doctor_cluster import policy as policy_findings
from refrain.ops.observe.position_findings import position_findings
from refrain.ops.policies.history import read_history
from refrain.schemas.control import SetPolicy, Switch
from refrain.schemas.dead_letters import HEADER_REASON
from refrain.schemas.policy import CategoryPolicy, Policy
from refrain.streams.client import Client
from refrain.streams.client.exchange import Exchange
from refrain.streams.errors import ClusterFailed, CommandRefused
from refrain.streams.govern.worker import run_govern
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.incarnation import TopicMadeAnew
from refrain.streams.kafka.interface import OffsetAndMetadata, Outgoing, Record
from refrain.streams.runtime.policy_follower import PolicyWatch
from refrain.streams.settings import Settings
from tests.eventually import eventually
from tests.integration.make_topic import ADMIN_S, make_topic
from tests.integration.processors import Running
from tests.integration.test_client import answering, answers
from tests.integration.topics import PARTITIONS_MAX, create_table

NOW_MS = 1_760_000_000_000
SET = SetPolicy(who="me", policy=Policy(categories={"chat": CategoryPolicy()}))


def make_anew(admin: AdminClient, name: str, partitions: int) -> None:
    admin.delete_topics([name])[name].result(ADMIN_S)

    def is_made() -> bool:
        try:
            make_topic(admin, name, partitions)
        except KafkaException:  # the deletion is still under way
            return False
        return True

    def is_known() -> bool:
        found = admin.list_topics(timeout=ADMIN_S).topics.get(name)
        return found is not None and len(found.partitions) == partitions

    eventually(is_made)
    eventually(is_known)


def answers_there(record: Record) -> list[Outgoing]:
    """Answers in the partition that the request names."""
    partition = int(dict(record.headers)["kafka_replyPartition"] or b"")
    return [each._replace(partition=partition) for each in answers(record)]


def test_a_client_gets_answers_again_when_responses_are_made_anew(settings: Settings, admin: AdminClient) -> None:
    create_table(admin, settings.prefix)
    with (
        KafkaCluster(settings) as cluster,
        answering(settings, answers_there),
        Client(settings, exchange=Exchange(settings, cluster)) as client,
    ):

        def ask(text: str) -> str | None:
            return client.ask({"model": "m", "messages": [{"role": "user", "content": text}]}, timeout_s=40).text

        assert [ask(f"before {number}") for number in range(5)] == [f"before {number}" for number in range(5)]
        make_anew(admin, settings.prefix + "responses", PARTITIONS_MAX)
        assert [ask(f"after {number}") for number in range(3)] == [f"after {number}" for number in range(3)]


def test_commands_are_taken_again_after_control_was_made_anew(settings: Settings, admin: AdminClient) -> None:
    create_table(admin, settings.prefix)
    with KafkaCluster(settings) as cluster:

        def in_force() -> int:
            found = PolicyWatch(cluster).latest()
            return -1 if found is None else found.version

        govern = Running(run_govern, settings)
        producer = cluster.producer()
        producer.send([Outgoing("control", None, Switch(who="me", on=False).encode())] * 7)
        producer.send([Outgoing("control", None, SET.encode())])
        producer.close()
        eventually(lambda: in_force() == 7)
        make_anew(admin, settings.prefix + "control", 1)
        eventually(lambda: govern.problem is not None)
        with pytest.raises(TopicMadeAnew):
            govern.end()
        client = ControlClient(settings)
        (found,) = policy_findings(cluster)
        assert "was deleted and made anew: it ends at 0, and version 7 was carried out" in found.seen
        assert "policies resume" in found.do
        with pytest.raises(CommandRefused, match="run `refrain policies resume`"):
            client.send(SET)
        end = move_end_past(settings, cluster, last_version(cluster, PolicyWatch(cluster).latest()))
        assert end > 7
        assert list(cluster.scan("control", 0)) == []
        assert why_ignored(cluster.end("control", 0), last_version(cluster, PolicyWatch(cluster).latest())) is None
        govern = Running(run_govern, settings)
        version = client.send(SET.model_copy(update={"expected_version": 7, "why": "again"}))
        assert version >= end
        eventually(lambda: in_force() == version)
        govern.end()
        assert [each.state for each in policy_findings(cluster)] == ["ok"]
        assert [(each.version, each.why) for each in read_history(cluster).policies] == [(version, "again")]
        letters = [dict(each.headers)[HEADER_REASON] for each in cluster.scan("dead-letters", 0)]
        assert letters == []


def test_who_watches_a_topic_reads_the_new_one_from_its_first_record(settings: Settings, admin: AdminClient) -> None:
    name = settings.prefix + "decisions"
    make_topic(admin, name, 2)
    seen: list[str] = []
    done = threading.Event()

    def watch() -> None:
        for message in follow(settings, "decisions", Watched(from_start=True), stop=done.is_set):
            seen.append((message.value() or b"").decode())

    with KafkaCluster(settings) as cluster, ThreadPoolExecutor(1) as pool:
        producer = cluster.producer()

        def write(text: str, partition: int) -> None:
            producer.send([Outgoing("decisions", None, text.encode(), (), partition)])

        for number in range(8):
            write(f"before {number}", number % 2)
        watching = pool.submit(watch)
        try:
            eventually(lambda: len(seen) == 8)
            make_anew(admin, name, 3)
            producer.close()
            producer = cluster.producer()
            write("after", 0)
            write("in a partition that was not there", 2)
            # Some come twice, where the client has begun with it by itself.
            eventually(lambda: set(seen[8:]) == {"after", "in a partition that was not there"})
        finally:
            done.set()
            producer.close()
        watching.result()


@pytest.mark.parametrize("new", [0, 5])
def test_a_scan_of_a_topic_that_is_made_anew_ends_and_says_so(settings: Settings, admin: AdminClient, new: int) -> None:
    name = settings.prefix + "things"
    make_topic(admin, name, 1)
    # A transaction that stays open holds the scan up in the middle of the topic.
    open_one = Producer({"bootstrap.servers": settings.kafka, "transactional.id": f"{name}-1", "log_level": 0})
    open_one.init_transactions(ADMIN_S)
    with KafkaCluster(settings) as cluster:
        producer = cluster.producer()
        producer.send([Outgoing("things", None, b"first")])
        open_one.begin_transaction()
        open_one.produce(name, b"never committed")
        open_one.flush(ADMIN_S)
        producer.send([Outgoing("things", None, b"last")])
        producer.close()
        scan = cluster.scan("things", 0)
        assert next(scan).value == b"first"
        make_anew(admin, name, 1)
        producer = cluster.producer()
        producer.send([Outgoing("things", None, b"new")] * new)
        producer.close()
        with pytest.raises(TopicMadeAnew, match="was deleted and made anew"):
            list(scan)


def test_the_doctor_hears_of_a_topic_that_was_made_anew_though_all_is_read(
    settings: Settings, admin: AdminClient
) -> None:
    name = settings.prefix + "forwards"
    make_topic(admin, name, 2)
    read = [("upstream", "forwards", 2)]
    with KafkaCluster(settings) as cluster:
        consumer = cluster.consumer("forwards", "upstream")
        eventually(lambda: consumer.poll(10, 0.1) == [] and consumer.assignment() == [0, 1])
        consumer.commit({0: OffsetAndMetadata(0), 1: OffsetAndMetadata(0)})
        assert [row.state for row in position_findings(notes_of(admin, settings, read), "", "", NOW_MS)] == ["ok"]
        make_anew(admin, name, 2)

        def is_told() -> bool:
            try:
                consumer.poll(10, 0.1)
            except TopicMadeAnew:
                return True
            except ClusterFailed:  # it is not there yet
                return False
            return False

        eventually(is_told)
        consumer.close()
        (row,) = position_findings(notes_of(admin, settings, read), "", "", NOW_MS)
        assert "forwards was deleted and made anew" in row.seen
        # The next worker goes on telling it.
        consumer = cluster.consumer("forwards", "upstream")
        eventually(lambda: consumer.poll(10, 0.1) == [] and consumer.assignment() == [0, 1])
        consumer.commit({0: OffsetAndMetadata(0), 1: OffsetAndMetadata(0)})
        consumer.close()
        (row,) = position_findings(notes_of(admin, settings, read), "", "", NOW_MS)
        assert "forwards was deleted and made anew" in row.seen
