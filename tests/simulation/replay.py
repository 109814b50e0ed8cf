"""Replay: folds the whole journal again, from its first record, in memory, by the fold of `refrain audit`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from refrain.ops.ask.client import HEADER
from refrain.ops.audit.refold import PartitionFold
from refrain.schemas.decisions import Decision
from refrain.schemas.journal import AnswerWithheld, Asked
from refrain.streams.kafka.interface import Cluster, Outgoing, Record
from refrain.streams.shard.counts import Counted
from refrain.streams.shard.outcome import FoldResult
from tests.simulation.records import State, header, read_all


@dataclass
class Replayed:
    """Result of replaying one shard's journal."""

    decisions: dict[str, bytes] = field(default_factory=dict)
    twice: int = 0
    responses: dict[bytes, bytes] = field(default_factory=dict)
    """By ask id."""
    state: State = field(default_factory=dict)
    """At `until`."""
    withheld: set[str] = field(default_factory=set)
    """Forwards whose answers went straight to the requester."""
    counts: Counter[str] = field(default_factory=Counter)
    """Evictions, `ann` (searches of an HNSW), `ann_missed` and `ann_lesser` (it found nothing, or not the best)."""
    wrong: list[str] = field(default_factory=list)
    """Candidates of live decisions that could not be confirmed."""


def replay(log: Cluster, live: Mapping[str, Decision], until: Mapping[int, int]) -> list[Replayed]:
    """Fold every shard's journal. `until` is the offset by shard at which its state is taken."""
    shards, incarnation = log.partitions("journal"), log.topic_id("journal")

    def one(partition: int) -> Replayed:
        out = Replayed()
        again = PartitionFold(partition, shards, incarnation)
        for record in log.scan("journal", partition):
            out.withheld |= _withheld(record)
            _take(out, again.fold(record, _live(record, live)))
            if record.offset + 1 == until.get(partition):
                again.commit()
                out.state = again.committed()
        index = again.index
        out.counts.update({"ann": index.searched, "ann_missed": index.missed, "ann_lesser": index.lesser})
        out.wrong = index.wrong
        return out

    return read_all(log, "journal", one)


def _withheld(record: Record) -> set[str]:
    value = record.value or b""
    return {AnswerWithheld.decode(value).forward_id} if b'"kind":"AnswerWithheld"' in value else set()


def _live(record: Record, live: Mapping[str, Decision]) -> list[Decision]:
    value = record.value or b""
    found = live.get(Asked.decode(value).id) if b'"kind":"Asked"' in value else None
    return [] if found is None else [found]


def _take(out: Replayed, folded: FoldResult) -> None:
    for decision in folded.decisions:
        out.twice += decision.id in out.decisions
        out.decisions[decision.id] = decision.encode()
    for effect in folded.effects:
        ask_id = _answers(effect)
        if ask_id is not None:
            out.responses[ask_id] = effect.value or b""
    out.counts.update("_".join((kind, labels[-1])) for kind, *labels in folded.counts if kind is Counted.EVICTED)


def _answers(effect: Outgoing) -> bytes | None:
    return header(effect.headers, HEADER) if effect.topic == "responses" else None
