"""Traces an answer: a decision, where its answer came from, and every request that got the same. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pydantic import ValidationError

from refrain.ops.cluster.decisions import decision_of
from refrain.ops.cluster.scan import records
from refrain.schemas.decisions import Decision
from refrain.schemas.journal import Answered, decode_event
from refrain.schemas.responses import Outcome
from refrain.streams.kafka.interface import Cluster, Record
from refrain.streams.messaging.ids import parse_entry_id, wire_id

DECISIONS = "decisions"
JOURNAL = "journal"
WAITED = frozenset({Outcome.MISS, Outcome.COALESCED})


class ServedAnswer(NamedTuple):
    """Origin of an answer: the entry that stores or stored it, and the forward that brought it, as far as known."""

    entry_id: str | None
    forward_id: str | None

    def was_given_by(self, decision: Decision) -> bool:
        """Whether a decision's request got this answer."""
        if decision.outcome is Outcome.HIT:
            return self.entry_id is not None and decision.entry_id == self.entry_id
        return decision.outcome in WAITED and self.forward_id is not None and decision.forward_id == self.forward_id


def answer_of(cluster: Cluster, decision: Decision) -> ServedAnswer:
    """Origin of a decision's answer: its entry's forward, or its forward's entry, is in the journal."""
    if decision.outcome is Outcome.HIT:
        return ServedAnswer(
            decision.entry_id, None if decision.entry_id is None else _forward_of(cluster, decision.entry_id)
        )
    if decision.outcome not in WAITED or decision.forward_id is None:
        return ServedAnswer(None, None)
    return ServedAnswer(
        _entry_of(cluster, decision.partition, decision.offset, decision.forward_id), decision.forward_id
    )


def requests_served(cluster: Cluster, answer: ServedAnswer) -> list[Decision]:
    """Every decision whose request got the answer, by time."""
    wanted = [id_.encode() for id_ in answer if id_ is not None]
    found = (
        decision
        for record in (records(cluster, DECISIONS, "looking for requests with the same answer") if wanted else ())
        if any(id_ in (record.value or b"") for id_ in wanted) and (decision := decision_of(record)) is not None
    )
    return by_time(decision for decision in found if answer.was_given_by(decision))


def by_time(decisions: Iterable[Decision]) -> list[Decision]:
    """Sort decisions by time, each once."""
    return sorted({each.id: each for each in decisions}.values(), key=lambda each: (each.time_ms, each.offset, each.id))


def _forward_of(cluster: Cluster, entry_id: str) -> str | None:
    """The forward that brought an entry: the journal record that admitted it stands at the entry's number."""
    place = parse_entry_id(entry_id)
    if place is None or not place.is_of(cluster.topic_id(JOURNAL)) or place.partition not in cluster.ends(JOURNAL):
        return None
    for record in cluster.scan(JOURNAL, place.partition, place.offset):
        event = _answered(record) if record.offset == place.offset else None
        return None if event is None else event.forward_id
    return None


def _entry_of(cluster: Cluster, partition: int, offset: int, forward_id: str) -> str | None:
    """The id that the entry of a forward has or had: the first answer after the question's journal offset makes it."""
    first = cluster.ends(JOURNAL).get(partition, (0, 0))[0]
    for record in _journal_from(cluster, partition, max(first, offset)):
        if forward_id.encode() in (record.value or b""):
            event = _answered(record)
            if event is not None and event.forward_id == forward_id:
                return wire_id(partition, record.offset, cluster.topic_id(JOURNAL))
    return None


def _journal_from(cluster: Cluster, partition: int, start: int) -> Iterator[Record]:
    return records(cluster, JOURNAL, "looking for the answer", partitions=[partition], starts={partition: start})


def _answered(record: Record) -> Answered | None:
    try:
        event = decode_event(record.value or b"")
    except ValidationError:
        return None
    return event if isinstance(event, Answered) else None
