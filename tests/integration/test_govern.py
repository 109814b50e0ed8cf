"""govern on a real broker: one transaction a command, one worker that governs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient

from refrain.schemas.base import Message
from refrain.schemas.control import Invalidate, Judge, ReportLoad, SetPolicy, Switch
from refrain.schemas.dead_letters import HEADER_REASON
from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.journal import CacheSwitched, EntriesInvalidated, HitJudged, LoadChanged, PolicySet, decode_event
from refrain.schemas.policy import CategoryPolicy, ModelPolicy, Policy
from refrain.schemas.responses import Outcome
from refrain.streams.govern.worker import run_govern
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.messaging.ids import decision_id
from refrain.streams.runtime.policy_follower import PolicyWatch
from refrain.streams.settings import Settings
from tests.eventually import eventually
from tests.integration.processors import Running, running
from tests.integration.topics import PARTITIONS_MAX, create_table

POLICY = Policy(categories={"chat": CategoryPolicy()}, models={"m": ModelPolicy()})
SET = SetPolicy(who="me", policy=POLICY)
LOAD = ReportLoad(who="adapt", model="m", load=0.5, valid_until_ms=9)
DECISION = Decision(
    id="0-17-tag", partition=1, offset=2, time_ms=3, tenant="acme", category="chat", model="m", outcome=Outcome.HIT,
    reason=Reason.EXACT_TEXT, namespace="ab", entry_id="1-7", answer="cd",
)  # fmt: skip
JUDGE = Judge(who="me", decision_id=DECISION.id, correct=False)


@pytest.fixture
def cluster(settings: Settings, admin: AdminClient) -> Iterator[KafkaCluster]:
    create_table(admin, settings.prefix)
    with KafkaCluster(settings) as cluster:
        yield cluster


def give(cluster: KafkaCluster, *commands: Message | bytes) -> None:
    producer = cluster.producer()
    producer.send([Outgoing("control", None, c if isinstance(c, bytes) else c.encode()) for c in commands])
    producer.close()


def record_decision(cluster: KafkaCluster, *decisions: Decision) -> None:
    """As a shard does it: in a transaction, by the key's partition."""
    producer = cluster.transactional("a-shard")
    producer.transact([Outgoing("decisions", each.id.encode(), each.encode()) for each in decisions], None, {})
    producer.close()


def events(cluster: KafkaCluster, shard: int) -> list[object]:
    return [decode_event(record.value or b"") for record in cluster.scan("journal", shard)]


def reasons(cluster: KafkaCluster) -> list[str]:
    letters = cluster.scan("dead-letters", 0)
    return [(dict(letter.headers)[HEADER_REASON] or b"").decode().partition(":")[0] for letter in letters]


def test_commands_reach_every_shard_in_order_and_bad_ones_are_kept(cluster: KafkaCluster, settings: Settings) -> None:
    with running(run_govern, settings):
        give(cluster, SET, b"junk", LOAD, SET.model_copy(update={"expected_version": 2}))
        eventually(lambda: len(list(cluster.scan("dead-letters", 0))) == 2)
    for shard in range(PARTITIONS_MAX):
        assert events(cluster, shard) == [
            PolicySet(version=0, policy=POLICY),
            LoadChanged(version=2, model="m", load=0.5, valid_until_ms=9),
        ]
    latest = PolicyWatch(cluster).latest()
    assert latest is not None
    assert latest.version == 0


def test_each_kind_of_command_reaches_every_shard_once_and_refused_ones_are_kept(
    cluster: KafkaCluster, settings: Settings
) -> None:
    record_decision(cluster, *(DECISION.model_copy(update={"id": decision_id(0, n, "tag")}) for n in range(40)))
    commands: list[Message | bytes] = [
        SET,
        Invalidate(who="me", source_id="doc", keep_version="3"),
        b'{"v":1,"kind":"Invalidate","who":"me"}',
        JUDGE,
        Judge(who="me", decision_id="0-99-tag", correct=True),
        Switch(who="me", on=False, category="chat"),
        Switch(who="me", on=False, category="other"),
        Switch(who="me", on=True),
        LOAD,
    ]
    with running(run_govern, settings):
        give(cluster, *commands)
        eventually(lambda: len(events(cluster, PARTITIONS_MAX - 1)) == 6)
    for shard in range(PARTITIONS_MAX):
        assert events(cluster, shard) == [
            PolicySet(version=0, policy=POLICY),
            EntriesInvalidated(version=1, source_id="doc", keep_version="3"),
            HitJudged(
                version=3, decision_id="0-17-tag", correct=False, who="me", partition=1, category="chat",
                namespace="ab", entry_id="1-7", answer="cd",
            ),
            CacheSwitched(version=5, on=False, category="chat"),
            CacheSwitched(version=7, on=True),
            LoadChanged(version=8, model="m", load=0.5, valid_until_ms=9),
        ]  # fmt: skip
    assert reasons(cluster) == ["bad_field", "unknown_decision", "bad_field"]


def test_a_worker_that_takes_over_goes_on_where_the_first_one_ended(cluster: KafkaCluster, settings: Settings) -> None:
    with running(run_govern, settings) as first:
        second = Running(run_govern, settings)
        second.wait_until_ready()
        give(cluster, SET)
        eventually(lambda: len(events(cluster, 0)) == 1)
    assert first.problem is None
    give(cluster, SET.model_copy(update={"expected_version": 0}), LOAD, SET.model_copy(update={"expected_version": 0}))
    eventually(lambda: len(list(cluster.scan("dead-letters", 0))) == 1)
    second.end()
    for shard in range(PARTITIONS_MAX):
        assert [getattr(event, "version", None) for event in events(cluster, shard)] == [0, 1, 2]


def test_the_policy_is_followed_without_reading_it_all_again(cluster: KafkaCluster, settings: Settings) -> None:
    watch = PolicyWatch(cluster)
    assert watch.latest() is None
    with running(run_govern, settings):
        give(cluster, SET)
        eventually(lambda: watch.latest() is not None)
        give(cluster, SET)
        eventually(lambda: (latest := watch.latest()) is not None and latest.version == 1)
