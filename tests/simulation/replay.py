"""Folding the whole journal again, from its first record, in memory: what an audit does."""

from __future__ import annotations

from dataclasses import dataclass, field

from ops.client import HEADER
from schemas.journal import PolicySet
from streams.log import Log, Outgoing, Record
from streams.shard.fold import fold
from streams.shard.state import Shard
from streams.store import MemoryStore, Reach, digest
from tests.simulation.records import header, read_all

NO_GRAPH = 1_000_000_000
"""More entries than a namespace ever has: it is scanned."""


@dataclass
class Replayed:
    """What folding one shard's journal again gave."""

    decisions: dict[str, bytes] = field(default_factory=dict)
    twice: int = 0
    responses: dict[bytes, bytes] = field(default_factory=dict)
    """By ask id."""
    digest: str | None = None
    """Of the state at `until`."""


def replay(log: Log, until: dict[int, int], *, exact: bool = False) -> list[Replayed]:
    """Fold every shard's journal. `until` is the offset by shard at which its state is digested.

    With `exact` no namespace ever becomes an HNSW: what an exact search would have found.
    """
    shards, incarnation = log.partitions("journal"), log.topic_id("journal")

    def one(partition: int) -> Replayed:
        shard = Shard(partition, shards, incarnation, MemoryStore())
        out = Replayed()
        for record in log.scan("journal", partition):
            _take(out, shard, _without_graphs(record) if exact else record)
            if record.offset + 1 == until.get(partition):
                shard.committed(shard.take_changes(), Reach(0, 0))
                out.digest = digest(shard.store.scan())
        return out

    return read_all(log, "journal", one)


def _take(out: Replayed, shard: Shard, record: Record) -> None:
    folded = fold(shard, record)
    for decision in folded.decisions:
        out.twice += decision.id in out.decisions
        out.decisions[decision.id] = decision.encode()
    for effect in folded.effects:
        ask_id = _answers(effect)
        if ask_id is not None:
            out.responses[ask_id] = effect.value or b""


def _answers(effect: Outgoing) -> bytes | None:
    return header(effect.headers, HEADER) if effect.topic == "responses" else None


def _without_graphs(record: Record) -> Record:
    value = record.value or b""
    if b'"kind":"PolicySet"' not in value:
        return record
    event = PolicySet.decode(value)
    limits = event.policy.limits.model_copy(update={"hnsw_from": NO_GRAPH})
    policy = event.policy.model_copy(update={"limits": limits})
    return record._replace(value=event.model_copy(update={"policy": policy}).encode())
