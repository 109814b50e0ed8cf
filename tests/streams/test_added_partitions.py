"""Partitions that are added to the journal stop who works by the number that its shards have kept, and no other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from refrain.schemas.base import Message
from refrain.schemas.control import JournalKept, PolicyInForce, SetPolicy, Switch
from refrain.schemas.journal import PolicySet, decode_event
from refrain.schemas.policy import CategoryPolicy, Policy
from refrain.schemas.topics import SHARDED
from refrain.streams.errors import WrongSetup
from refrain.streams.govern.worker import run_govern
from refrain.streams.kafka.incarnation import TopicMadeAnew
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.messaging.shards import check_kept
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.policy_follower import PolicyWatch
from refrain.streams.settings import Settings
from tests.streams.classify.test_attempts import Service
from tests.streams.lookup.stage import Stage, traffic

SET = SetPolicy(who="me", policy=Policy(categories={"chat": CategoryPolicy()}))
POLICY = SET.policy
SWITCH = Switch(who="me", on=False)


def in_force(journal: JournalKept | None) -> PolicyInForce:
    return PolicyInForce(version=4, who="w", at_ms=0, journal=journal, policy=POLICY)


def govern(cluster: MemoryCluster, commands: Sequence[Message]) -> None:
    """Give commands and run govern until it has taken them."""
    cluster.append([Outgoing("control", None, command.encode()) for command in commands])
    end = len(cluster.records("control"))

    def taken() -> bool:
        kept = cluster.group("control", "govern").offsets.get(0)
        return kept is not None and kept.next_offset == end

    run_govern(WorkerContext(Settings(), cluster, Metrics(), stop=taken, ready=lambda: None, now_ms=lambda: 0))


@pytest.mark.parametrize("kept", [1, 4, 16])
def test_a_policy_that_was_given_to_another_number_of_shards_is_not_acted_by(kept: int) -> None:
    policy = in_force(JournalKept(topic_id="id", partitions=kept))
    check_kept(policy, "id", kept)
    with pytest.raises(WrongSetup, match=f"has 8 partitions now and had {kept}: .*refrain topics create"):
        check_kept(policy, "id", 8)


@pytest.mark.parametrize(
    "policy",
    [None, in_force(None), in_force(JournalKept(topic_id="another", partitions=4))],
    ids=["none", "of an older version", "of a journal that is gone"],
)
def test_what_says_nothing_of_this_journal_stops_nobody(policy: PolicyInForce | None) -> None:
    check_kept(policy, "id", 8)


def test_govern_notes_the_journal_and_takes_no_command_for_one_that_has_grown() -> None:
    cluster = MemoryCluster(lambda: 77)
    govern(cluster, [SET])
    found = PolicyWatch(cluster).latest()
    assert found is not None
    assert found.journal == JournalKept(topic_id=cluster.topic_id("journal"), partitions=cluster.partitions("journal"))
    govern(cluster, [SWITCH])
    for topic in SHARDED:
        cluster.add_partitions(topic, 64)
    before = len(cluster.records("journal"))
    with pytest.raises(WrongSetup, match="has 64 partitions now and had 32"):
        govern(cluster, [SWITCH])
    assert len(cluster.records("journal")) == before


def test_govern_gives_the_policy_in_force_once_to_a_journal_that_was_made_anew() -> None:
    cluster = MemoryCluster(lambda: 77)
    govern(cluster, [SET])
    for topic in SHARDED:
        cluster.create(topic, 64)
    for _ in range(2):
        govern(cluster, [SWITCH])
        given = [decode_event(each.value or b"") for each in cluster.records("journal") if each.offset == 0]
        assert given == [PolicySet(version=0, policy=POLICY)] * 64
    found = PolicyWatch(cluster).latest()
    assert found is not None
    assert (found.version, found.who) == (0, "me")
    assert found.journal == JournalKept(topic_id=cluster.topic_id("journal"), partitions=64)
    assert len(cluster.records("journal")) == 3 * 64, "the policy, and two switches"


def test_govern_ends_when_the_journal_is_made_anew_while_it_waits_for_commands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("refrain.streams.messaging.shards.LOOK_EVERY_S", 0.0)
    cluster = MemoryCluster(lambda: 77)
    govern(cluster, [SET])
    turns = itertools.count()

    def remade() -> bool:
        if next(turns) == 3:
            for topic in SHARDED:
                cluster.create(topic, 32)
        return False

    with pytest.raises(TopicMadeAnew):
        run_govern(WorkerContext(Settings(), cluster, Metrics(), stop=remade, ready=lambda: None, now_ms=lambda: 0))


def test_classify_asks_no_shard_of_a_journal_that_has_grown() -> None:
    service = Service()
    kept = JournalKept(topic_id=service.cluster.topic_id("journal"), partitions=5)
    with pytest.raises(WrongSetup, match="has 8 partitions now and had 5"):
        service.step.follow(in_force(kept))
    service.step.follow(in_force(JournalKept(topic_id=kept.topic_id, partitions=8)))


def test_classify_begins_again_once_the_policy_is_given_to_another_journal_than_the_one_it_asks() -> None:
    service = Service()
    mine = service.cluster.topic_id("journal")
    older, here, newer = (JournalKept(topic_id=id_, partitions=8) for id_ in ("older", mine, "newer"))
    for journal in (older, here, here):
        service.step.follow(in_force(journal))
    with pytest.raises(TopicMadeAnew):
        service.step.follow(in_force(newer))


def test_lookup_that_is_given_a_partition_which_was_added_ends_before_it_takes_it() -> None:
    stage = Stage()
    stage.journal(traffic())
    worker = stage.worker()
    shards = stage.cluster.partitions("journal")
    stage.cluster.add_partitions("journal", shards + 2)
    with pytest.raises(WrongSetup, match=f"has {shards + 2} partitions now and had {shards}"):
        stage.fold_some(worker)
    assert stage.responses() == []


def test_lookup_does_not_begin_with_shards_of_another_number() -> None:
    stage = Stage()
    stage.journal(traffic())
    stage.run(stage.worker())
    shards = stage.cluster.partitions("journal")
    answered = len(stage.responses())
    for topic in SHARDED:
        stage.cluster.add_partitions(topic, shards + 2)
    with pytest.raises(WrongSetup, match=f"has {shards + 2} partitions now and had {shards}"):
        stage.run(stage.worker())
    assert len(stage.responses()) == answered
