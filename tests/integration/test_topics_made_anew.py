"""Topics that are deleted and made anew while somebody waits: who waits is answered, or told."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from refrain.ops.cluster.resume import last_version, move_end_past, why_ignored
from refrain.ops.control.client import ControlClient
from refrain.ops.observe.doctor_cluster import policy as policy_findings
from refrain.ops.policies.history import read_history
from refrain.schemas.control import SetPolicy, Switch
from refrain.schemas.dead_letters import HEADER_REASON
from refrain.schemas.policy import CategoryPolicy, Policy
from refrain.streams.client import Client
from refrain.streams.client.exchange import Exchange
from refrain.streams.errors import CommandRefused
from refrain.streams.govern.worker import run_govern
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.incarnation import TopicMadeAnew
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.runtime.policy_follower import PolicyWatch
from refrain.streams.settings import Settings
from tests.eventually import eventually
from tests.integration.make_topic import ADMIN_S, make_topic
from tests.integration.processors import Running
from tests.integration.test_client import answering, answers
from tests.integration.topics import PARTITIONS_MAX, create_table

SET = SetPolicy(who="me", policy=Policy(categories={"chat": CategoryPolicy()}))


def make_anew(admin: AdminClient, name: str, partitions: int) -> None:
    admin.delete_topics([name])[name].result(ADMIN_S)

    def is_made() -> bool:
        try:
            make_topic(admin, name, partitions)
        except KafkaException:  # the deletion is still under way
            return False
        return True

    eventually(is_made)


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
