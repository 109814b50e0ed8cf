"""A request that is made again after an outage has one decision, whatever the policy has become meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.schemas.control import PolicyInForce
from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.forwards import Forward
from refrain.schemas.journal import Asked, Event, Passed, decode_event
from refrain.schemas.policy import CategoryPolicy, Policy
from refrain.schemas.policy_rules import Match, Rule
from refrain.streams.classify.attempts import Attempts
from refrain.streams.classify.forwards_first import ForwardsFirst
from refrain.streams.classify.origins import Incarnations
from refrain.streams.classify.reply_topic import ReplyTopics
from refrain.streams.classify.step import ClassifyStep
from refrain.streams.errors import DeliveryExpired
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.kafka.partitioner import partition_of
from refrain.streams.metrics import Metrics
from refrain.streams.models.embedding_cache import EmbeddingCache, EmbeddingMetrics
from refrain.streams.models.hashing_embedder import HashingEmbedder
from refrain.streams.shard.fold import fold
from refrain.streams.shard.state import Shard
from refrain.streams.store.memory import MemoryStore
from tests.streams.classify.entrance import LIMITS, POLICY, ask

SHARDS = 8
RENAMED = Policy(categories={"talk": CategoryPolicy(), "uncategorised": CategoryPolicy()})
REGULATED = POLICY.model_copy(update={"rules": (Rule(when=Match(pattern="list"), category="medical"),)})
POLICIES = {"none": None, "the policy": POLICY, "other categories": RENAMED, "regulated": REGULATED}
TEXTS = ("How do I sort a list in Python?", "What is a list?", "Who was the first?", "my secret diagnosis")


class LateWrites:
    """A producer that writes everything, of which it sometimes says that it expired: a broker that stood still."""

    def __init__(self, cluster: MemoryCluster) -> None:
        self.cluster = cluster
        self.late = False

    def send(self, records: Sequence[Outgoing]) -> None:
        self.cluster.append(records)
        if self.late and records[-1].topic == "journal":
            raise DeliveryExpired("not written in time, says the client")

    def send_singly(self, records: Sequence[Outgoing]) -> None:
        self.send(records)

    def close(self) -> None: ...


class Service:
    """classify on a cluster in memory, and the shards of its journal."""

    def __init__(self, cluster: MemoryCluster | None = None) -> None:
        self.cluster = cluster or MemoryCluster(lambda: 1, {"journal": SHARDS, "forwards": 1, "responses": 1})
        self.producer = LateWrites(self.cluster)
        metrics = Metrics()
        self.step = ClassifyStep(
            LIMITS,
            Incarnations("requests-id", self.cluster.topic_id("journal"), SHARDS),
            EmbeddingCache(HashingEmbedder(), 100, EmbeddingMetrics(metrics)),
            ReplyTopics("refrain.", (), {"responses": 1}.get, lambda: 0),
            metrics,
        )
        self.sends = ForwardsFirst(self.producer, 1.0, self.step.sending, lambda: 0.0)

    def read(self, batch: Sequence[Record], policy: Policy | None, *, late: bool = False) -> None:
        """classify reads the batch by this policy; `late`: what it writes is there, and it hears otherwise."""
        in_force = None if policy is None else PolicyInForce(version=4, who="w", at_ms=0, policy=policy)
        self.step.follow(in_force)
        self.producer.late = late
        out = self.step.process(batch)
        if late:
            with pytest.raises(DeliveryExpired):
                self.sends.send(out)
        else:
            self.sends.send(out)

    def decisions(self) -> list[Decision]:
        """What all shards decide of their journal."""
        found: list[Decision] = []
        for partition in range(SHARDS):
            shard = Shard(partition, SHARDS, self.cluster.topic_id("journal"), MemoryStore())
            for record in self.cluster.scan("journal", partition):
                found += fold(shard, record).decisions
        return found

    def events(self) -> list[Event]:
        """The events of the journal."""
        return [decode_event(each.value or b"") for each in self.cluster.records("journal")]

    def places(self, offset: int) -> set[int]:
        """The partitions that have an event of the request at this offset."""
        events = [(each.partition, decode_event(each.value or b"")) for each in self.cluster.records("journal")]
        return {at for at, event in events if isinstance(event, Asked | Passed) and event.origin.offset == offset}


def test_a_request_made_again_without_a_policy_is_decided_once() -> None:
    service = Service()
    batch = [ask(TEXTS[0], 0)]
    service.read(batch, POLICY, late=True)
    service.read(batch, None)
    (decision,) = service.decisions()
    assert decision.reason is Reason.NO_POLICY, "by the shard, which has no policy here"


def test_a_question_that_would_go_to_another_shard_passes_by_at_the_first_one() -> None:
    service = Service()
    batch = [ask(TEXTS[0], 0)]
    service.read(batch, POLICY, late=True)
    service.read(batch, RENAMED)
    assert len(service.places(0)) == 1
    assert [event.reason for event in service.events() if isinstance(event, Passed)] == ["read_again"]
    assert len(service.decisions()) == 1


def test_a_request_that_may_have_been_forwarded_past_the_cache_passes_by_again() -> None:
    service = Service()
    batch = [ask(TEXTS[0], 0)]
    service.read(batch, None, late=True)
    service.read(batch, POLICY)
    assert [event.reason for event in service.events() if isinstance(event, Passed)] == ["no_policy", "no_policy"]
    first, second = (Forward.decode(each.value or b"") for each in service.cluster.records("forwards"))
    assert (first.forward_id, first.route) == (second.forward_id, second.route)
    assert len(service.decisions()) == 1


def test_only_what_a_shard_may_have_been_asked_waits_for_the_policy() -> None:
    service = Service()
    asked, passed, new = ask(TEXTS[0], 0), ask(TEXTS[3], 1), ask(TEXTS[1], 2)
    service.read([asked, passed], POLICY, late=True)
    assert service.step.in_doubt([asked])
    assert service.step.in_doubt([passed, new, asked])
    assert not service.step.in_doubt([passed, new])
    service.step.committed({2: 1})
    assert not service.step.in_doubt([asked])


def test_by_the_same_policy_the_same_is_made_again() -> None:
    service = Service()
    batch = [ask(text, offset) for offset, text in enumerate(TEXTS)]
    service.read(batch, POLICY, late=True)
    service.read(batch, POLICY)
    records = service.cluster.records("journal")
    assert len(records) == 2 * len(batch)
    assert len({record.value for record in records}) == len(batch)


@given(
    texts=st.lists(st.sampled_from(TEXTS), min_size=1, max_size=6),
    readings=st.lists(st.tuples(st.sampled_from(sorted(POLICIES)), st.integers(0, 5)), min_size=1, max_size=5),
)
def test_every_request_has_one_decision_however_often_and_by_whatever_it_is_read(
    texts: list[str], readings: list[tuple[str, int]]
) -> None:
    service = Service()
    batch = [ask(text, offset) for offset, text in enumerate(texts)]
    for name, start in readings:
        service.read(batch[min(start, len(batch) - 1) :] if service.decisions() else batch, POLICIES[name], late=True)
    service.read(batch, POLICY)
    assert sorted(int(decision.id.split("-")[1]) for decision in service.decisions()) == list(range(len(batch)))
    assert all(len(service.places(offset)) == 1 for offset in range(len(batch)))
    passed: set[int] = set()
    for event in service.events():
        assert isinstance(event, Asked | Passed)
        assert isinstance(event, Passed) or event.origin.offset not in passed, "two answers, by two routes"
        passed |= {event.origin.offset} if isinstance(event, Passed) else set()


def test_what_is_committed_is_forgotten_and_goes_where_its_policy_says() -> None:
    service = Service()
    batch = [ask(TEXTS[0], 0), ask(TEXTS[0], 1)]
    service.read(batch, None)
    service.step.committed({2: 1})
    service.read(batch, POLICY)
    kinds = [(event.origin.offset, type(event)) for event in service.events() if isinstance(event, Asked | Passed)]
    assert sorted(kinds[2:], key=lambda each: each[0]) == [(0, Asked), (1, Passed)]


def test_what_was_made_and_never_sent_binds_nothing() -> None:
    service = Service()
    batch = [ask(TEXTS[0], 0)]
    service.step.follow(None)
    service.step.process(batch)
    service.read(batch, POLICY)
    (event,) = service.events()
    assert isinstance(event, Asked)


def test_a_partition_gets_the_records_of_a_batch_in_one_order() -> None:
    attempts = Attempts(SHARDS)
    first, second = Record("requests", 0, 0, 1, None, b""), Record("requests", 0, 1, 1, None, b"")
    kept, other = b"b", b"c"
    home = partition_of(kept, SHARDS)
    assert home != partition_of(other, SHARDS)
    attempts.begin()
    attempts.make(first, Outgoing("journal", kept, b""), None)
    attempts.sending()
    attempts.begin()
    made = (first, other), (second, kept)
    out = [attempts.make(record, Outgoing("journal", key, b""), None) for record, key in made]
    assert [each.partition for each in out] == [home, None]
    addressed = attempts.addressed([*out, Outgoing("responses", b"b", b"")])
    assert [each.partition for each in addressed] == [home, home, None], "one way to address them, or they may pass"
