"""A request that another worker has written and not committed has one outcome, whatever the policy has become."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import pytest

from refrain.schemas.forwards import Forward
from refrain.schemas.journal import Asked, Passed, Tick, decode_event
from refrain.schemas.policy import Policy
from refrain.streams.classify import recollection
from refrain.streams.classify.recollection import Recollection
from refrain.streams.kafka.interface import Outgoing, Record, Span, Wanted
from refrain.streams.kafka.memory import MemoryCluster
from tests.streams.classify.entrance import POLICY, ask
from tests.streams.classify.test_attempts import POLICIES, REGULATED, RENAMED, SHARDS, TEXTS, Service

BATCH = [ask(text, offset) for offset, text in enumerate(TEXTS)]


def successor(service: Service, committed: int = 0) -> Service:
    """Another worker on the same cluster, which takes the partition over from this offset on."""
    after = Service(service.cluster)
    after.step.recall(Recollection(service.cluster, "requests-id").of({BATCH[0].partition: committed}))
    return after


def read_by(service: Service, batch: list[Record], policy: Policy | None) -> list[Outgoing]:
    before = len(service.cluster.records("journal")), len(service.cluster.records("forwards"))
    service.read(batch, policy)
    after = service.cluster.records("journal")[before[0] :] + service.cluster.records("forwards")[before[1] :]
    return [Outgoing(each.topic, each.key, each.value) for each in after]


@pytest.mark.parametrize("policy", [REGULATED, RENAMED, POLICY, None], ids=["never", "renamed", "the same", "none"])
def test_what_a_shard_was_asked_is_left_to_it(policy: Policy | None) -> None:
    service = Service()
    asked = [BATCH[0], BATCH[1]]
    service.read(asked, POLICY)
    assert all(isinstance(event, Asked) for event in service.events())
    assert read_by(successor(service), asked, policy) == []


def test_what_passed_by_passes_by_again() -> None:
    service = Service()
    service.read(BATCH, None)
    read_by(successor(service), BATCH, POLICY)
    first, second = service.events()[: len(BATCH)], service.events()[len(BATCH) :]
    assert first == second
    assert all(isinstance(event, Passed) for event in first)
    ids = [Forward.decode(each.value or b"").forward_id for each in service.cluster.records("forwards")]
    assert ids[: len(BATCH)] == ids[len(BATCH) :]


def test_what_comes_after_is_decided_by_the_policy_in_force() -> None:
    service = Service()
    service.read(BATCH[:1], POLICY)
    read_by(successor(service), BATCH, POLICIES["regulated"])
    assert len(service.decisions()) == len(BATCH)


def test_requests_below_the_first_offset_are_not_recalled() -> None:
    service = Service()
    service.read(BATCH, POLICY)
    partition = BATCH[0].partition
    assert set(Recollection(service.cluster, "requests-id").of({partition: 2})) == {(partition, 2), (partition, 3)}
    assert Recollection(service.cluster, "requests-id").of({partition + 1: 0}) == {}
    assert Recollection(service.cluster, "another-id").of({partition: 0}) == {}


def test_the_journal_is_read_back_as_far_as_needed_and_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recollection, "TAIL", 1)
    service = Service()
    service.read([ask(TEXTS[0], offset) for offset in range(40)], POLICY)
    [shard] = {each.partition for each in service.cluster.records("journal")}
    found = Recollection(service.cluster, "requests-id").of({BATCH[0].partition: 30})
    assert found.keys() == {(BATCH[0].partition, offset) for offset in range(30, 40)}
    assert {attempt.shard for attempt in found.values()} == {shard}
    monkeypatch.setattr(recollection, "TAIL_MAX", 8)
    assert len(Recollection(service.cluster, "requests-id").of({BATCH[0].partition: 0})) == 8


class Counting(MemoryCluster):
    """Counts how often each place of the journal is read."""

    def __init__(self) -> None:
        super().__init__(lambda: 1, {"journal": SHARDS, "forwards": 1, "responses": 1})
        self.sifted: list[Mapping[int, Span]] = []

    def sift(self, topic: str, spans: Mapping[int, Span], wanted: Wanted | None = None) -> Iterator[Record]:
        self.sifted.append(spans)
        return super().sift(topic, spans, wanted)


def test_the_ends_of_all_shards_are_read_together_and_no_record_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recollection, "TAIL", 1)
    cluster = Counting()
    service = Service(cluster)
    service.read([ask(f"question number {offset}", offset) for offset in range(200)], POLICY)
    found = Recollection(cluster, "requests-id").of({BATCH[0].partition: 20})
    assert {place[1] for place in found} == set(range(20, 200))
    places = [(shard, at) for spans in cluster.sifted for shard, span in spans.items() for at in range(*span)]
    assert len(places) == len(set(places))
    assert len(cluster.sifted[0]) == SHARDS
    assert len(cluster.sifted) > 1


def test_a_question_that_passed_by_and_was_then_asked_is_left_to_its_shard_however_far_apart_they_stand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recollection, "TAIL", 1)
    service = Service()
    service.read(BATCH[:1], None)
    [passed] = [
        each for each in service.cluster.records("journal") if isinstance(decode_event(each.value or b""), Passed)
    ]
    service.cluster.append([Outgoing("journal", None, Tick().encode(), (), passed.partition) for _ in range(20)])
    asked = Service()
    asked.read(BATCH[:1], POLICY)
    [question] = [each.value for each in asked.cluster.records("journal")]
    service.cluster.append([Outgoing("journal", None, question, (), passed.partition)])
    [attempt] = Recollection(service.cluster, "requests-id").of({BATCH[0].partition: 0}).values()
    assert (attempt.passage, attempt.written) == (None, True)


def test_an_event_whose_origin_is_written_otherwise_is_recalled_all_the_same() -> None:
    service = Service()
    service.read(BATCH[:1], POLICY)
    [record] = service.cluster.records("journal")
    body = json.loads(record.value or b"")
    body["origin"] = dict(reversed(body["origin"].items()))
    spelt = json.dumps(body, separators=(",", ":")).encode()
    elsewhere = MemoryCluster(lambda: 1, {"journal": SHARDS})
    elsewhere.append([Outgoing("journal", None, spelt, (), record.partition)])
    assert len(Recollection(elsewhere, "requests-id").of({BATCH[0].partition: 0})) == 1


def test_a_text_that_looks_like_an_event_and_what_cannot_be_read_are_passed_over() -> None:
    service = Service()
    service.cluster.append(
        [Outgoing("journal", b"k", value) for value in (None, b"", b'{"kind":"Asked"}', b'"kind":"Passed"', b"\xff")]
    )
    service.read([ask('"kind":"Asked" "id":"2-9-x"', 0)], POLICY)
    assert len(Recollection(service.cluster, "requests-id").of({BATCH[0].partition: 0})) == 1
