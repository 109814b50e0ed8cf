"""Reads what a run left in the topics, from their beginnings, and in the local stores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from refrain.ops.ask.client import HEADER
from refrain.schemas.dead_letters import HEADER_OFFSET, HEADER_PROCESSOR, HEADER_REASON, HEADER_TOPIC
from refrain.schemas.decisions import Decision
from refrain.schemas.journal import CacheSwitched, EntriesInvalidated, HitJudged, LoadChanged, PolicySet, decode_event
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Cluster, Headers, Record
from refrain.streams.messaging.ids import decision_id, decision_tag
from refrain.streams.store.interface import digest
from refrain.streams.store.rocksdb import RocksStore

T = TypeVar("T")
READERS = 6

State = dict[bytes, bytes]
"""The records of one shard by key."""


@dataclass(frozen=True)
class Recorded:
    """What stands in the topics. Ask ids are the client's own header of each request."""

    asked: dict[str, bytes]
    """Ask id by the decision id that the request must have."""
    requests: dict[bytes, bytes]
    """The request's bytes by ask id."""
    responses: dict[bytes, list[bytes]]
    """All responses by ask id."""
    decisions: dict[str, list[bytes]]
    """All decisions by id, committed ones only."""
    misplaced: list[str]
    """Decisions that stand in another partition than their shard's, or after one of a later journal record."""
    forwards: Counter[str]
    """How often each forward was written."""
    dead: Counter[str]
    """Dead letters by processor and reason."""


def header(headers: Headers, name: str) -> bytes | None:
    """The first header of that name."""
    return next((value for key, value in headers if key == name), None)


def read_all(log: Cluster, topic: str, read: Callable[[int], T]) -> list[T]:
    """`read` each partition of a topic, several at once; results in the order of partitions."""
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(read, range(log.partitions(topic))))


def records(log: Cluster, topic: str) -> list[Record]:
    """All committed records of a topic, partition after partition."""
    return [record for part in read_all(log, topic, lambda p: list(log.scan(topic, p))) for record in part]


def recorded(log: KafkaCluster) -> Recorded:
    """Read all that the checks need."""
    tag = decision_tag(log.topic_id("requests"), log.topic_id("journal"))
    asked, requests = {}, {}
    for record in records(log, "requests"):
        ask_id = header(record.headers, HEADER) or b""
        asked[decision_id(record.partition, record.offset, tag)] = ask_id
        requests[ask_id] = record.value or b""
    responses: dict[bytes, list[bytes]] = {}
    for record in records(log, "responses"):
        responses.setdefault(header(record.headers, HEADER) or b"", []).append(record.value or b"")
    decided = records(log, "decisions")
    decisions: dict[str, list[bytes]] = {}
    for record in decided:
        decisions.setdefault((record.key or b"").decode(), []).append(record.value or b"")
    forwards = Counter((record.key or b"").decode() for record in records(log, "forwards"))
    misplaced = list(_misplaced(decided, log.topic_id("journal")))
    return Recorded(asked, requests, responses, decisions, misplaced, forwards, dead_letters(log))


def _misplaced(decided: Iterable[Record], journal: str) -> Iterator[str]:
    """What does not stand in `decisions` as the journal had it. `decided` goes partition by partition."""
    highest: dict[int, int] = {}
    for record in decided:
        each = Decision.decode(record.value or b"")
        if (each.journal, each.partition) != (journal, record.partition) or each.offset < highest.get(
            record.partition, 0
        ):
            yield f"{each.id}: {record.partition} at {record.offset}, of journal {each.partition} at {each.offset}"
        highest[record.partition] = max(each.offset, highest.get(record.partition, 0))


def dead_letters(log: Cluster) -> Counter[str]:
    """Dead letters by processor and reason."""
    return Counter(
        " ".join((header(record.headers, name) or b"").decode() for name in (HEADER_PROCESSOR, HEADER_REASON))
        for record in records(log, "dead-letters")
    )


Commanded = PolicySet | LoadChanged | EntriesInvalidated | HitJudged | CacheSwitched


def commands(log: Cluster) -> list[tuple[int, ...]]:
    """The versions of the commands in each shard's journal, in its order."""

    def one(partition: int) -> tuple[int, ...]:
        events = (decode_event(record.value or b"") for record in log.scan("journal", partition))
        return tuple(event.version for event in events if isinstance(event, Commanded))

    return read_all(log, "journal", one)


def refused_commands(log: Cluster) -> set[int]:
    """The offsets of commands that govern refused."""
    return {
        int(header(record.headers, HEADER_OFFSET) or b"-1")
        for record in records(log, "dead-letters")
        if header(record.headers, HEADER_TOPIC) == b"control"
    }


class Folded(NamedTuple):
    """A shard as `documents` has it: the last value of each key, and the offset after its last record."""

    state: State
    next_offset: int


def folded_documents(log: Cluster) -> list[Folded]:
    """Fold each partition of `documents`."""

    def one(partition: int) -> Folded:
        state: State = {}
        next_offset = 0
        for record in log.scan("documents", partition):
            next_offset = record.offset + 1
            if record.key is None:
                continue
            if record.value is None:
                state.pop(record.key, None)
            else:
                state[record.key] = record.value
        return Folded(state, next_offset)

    return read_all(log, "documents", one)


def withdrawing(log: Cluster) -> list[bytes]:
    """The withdrawals that are not done, of all shards."""
    return [key for each in folded_documents(log) for key in each.state if key.startswith(b"withdrawals/")]


def digest_of(state: State) -> str:
    """The digest that a store of this state has."""
    return digest(iter(sorted(state.items())))


def stored(state_dir: Path, documents: Sequence[Folded]) -> list[list[str]]:
    """The digests of each shard's local stores that reach the end of `documents`, of whichever worker.

    Where a partition moved on, or a restore was cut off, an older store stays behind: it counts for nothing.
    """
    found: list[list[str]] = [[] for _ in documents]
    for path in sorted(state_dir.glob("lookup-*/*/*")):
        if not path.is_dir() or not path.name.isdecimal():
            continue
        store = RocksStore(path)
        try:
            shard = int(path.name)
            if store.checkpoint().next_offset >= documents[shard].next_offset:
                found[shard].append(digest(store.scan()))
        finally:
            store.close()
    return found


def tombstones(log: Cluster, partitions: Sequence[int] | None = None) -> set[tuple[int, int]]:
    """Places (partition, offset) of the deletions that `documents` still holds."""

    def one(partition: int) -> set[tuple[int, int]]:
        if partitions is not None and partition not in partitions:
            return set()
        return {(partition, record.offset) for record in log.scan("documents", partition) if record.value is None}

    return set().union(*read_all(log, "documents", one))
