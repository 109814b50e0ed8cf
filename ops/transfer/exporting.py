"""What is exported: ranges of the journal as they stand, and the entries that shards would serve now."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from refrain.ops.cluster.last_commit import journal_id, last_meta
from refrain.ops.terminal.points import Point
from refrain.ops.transfer.file import ExportWriter, Header
from refrain.ops.transfer.redaction import Redaction
from refrain.schemas.documents import Entry
from refrain.streams.errors import WrongValue
from refrain.streams.kafka.interface import Cluster, Record
from refrain.streams.lookup.restore import read_skips, restore
from refrain.streams.shard.adaptation import lifetime_max
from refrain.streams.shard.behaviour import BEHAVIOUR
from refrain.streams.shard.columns import ENTRIES
from refrain.streams.shard.index.entries import namespace_of_key
from refrain.streams.shard.removal import is_withdrawn
from refrain.streams.shard.state import Shard
from refrain.streams.store.memory import MemoryStore

JOURNAL = "journal"
STEP = 500
"""Records after which progress is told."""


class Whose(NamedTuple):
    """Whose entries are exported, None for everybody's."""

    tenant: str | None = None
    category: str | None = None


Progress = Callable[[int], None]


def export_entries(
    cluster: Cluster,
    writer: ExportWriter,
    whose: Whose,
    redaction: Redaction | None,
    now_ms: int,
    *,
    keep_vectors: bool = True,
    progress: Progress = lambda _: None,
) -> None:
    """Export the live entries of a tenant or category, shard by shard as of its last commit; one is held at a time.

    Raises WrongValue where nobody has such entries, and ChangelogDamaged.
    """
    shards = cluster.partitions(JOURNAL)
    offsets: dict[int, tuple[int, int]] = {}
    embedders: set[str] = set()
    categories: set[str] = set()
    id_ = cluster.topic_id(JOURNAL)
    for partition in range(shards):
        meta = last_meta(cluster, partition)
        id_ = journal_id(cluster, meta)
        store = MemoryStore()
        shard = restore(cluster, partition, id_, store, lambda: now_ms, lambda: False)
        offsets[partition] = (0, shard.next_offset)
        categories |= shard.lives.keys()
        for entry, uses in live_entries(shard, whose, now_ms):
            embedders.add(entry.embedder)
            line = {"id": shard.wire_id(entry.id), "uses": uses, "entry": entry.model_dump(mode="json")}
            writer.write(line if redaction is None else redaction.redact(line))
        progress(partition + 1)
    if whose.category is not None and not writer.lines and whose.category not in categories:
        known = ", ".join(sorted(categories)) or "none"
        raise WrongValue(f"there is no category {whose.category!r}: the policy in force has {known}")
    if whose.tenant is not None and not writer.lines:
        raise WrongValue(f"no entry of tenant {whose.tenant!r} is kept{_in(whose.category)}: nothing is exported")
    writer.finish(
        Header(
            kind="entries",
            exported_at_ms=now_ms,
            behaviour=BEHAVIOUR,
            journal=id_,
            shards=shards,
            offsets=offsets,
            embedders=tuple(sorted(embedders)),
            tenant=whose.tenant,
            category=whose.category,
            redacted=redaction is not None,
            vectors=keep_vectors,
        )
    )


def live_entries(shard: Shard, whose: Whose, now_ms: int) -> Iterator[tuple[Entry, int]]:
    """The entries of a shard that it may serve at that time, oldest first, each with how often it was served."""
    policy = None if shard.policy is None else shard.policy.policy
    for _, value in shard.store.scan(ENTRIES.key("")):
        entry = Entry.decode(value)
        if whose.tenant not in (None, entry.tenant) or whose.category not in (None, entry.category):
            continue
        category = None if policy is None else policy.of(entry.category)
        indexed = shard.entries.by_id(entry.id)
        if category is None or indexed is None or is_withdrawn(shard, indexed, namespace_of_key(entry)):
            continue
        over_ms = entry.admitted_at_ms + lifetime_max(category)
        if min(over_ms, over_ms if entry.expires_at_ms is None else entry.expires_at_ms) > now_ms:
            yield entry, indexed.hits


def export_journal(
    cluster: Cluster,
    writer: ExportWriter,
    ranges: Mapping[int, tuple[int, int]],
    redaction: Redaction | None,
    now_ms: int,
    *,
    keep_vectors: bool = True,
    progress: Progress = lambda _: None,
) -> None:
    """Export the records of ranges of the journal, by partition: from the first offset on, and before the second."""
    embedders: set[str] = set()
    for partition, (start, end) in ranges.items():
        for record in cluster.scan(JOURNAL, partition, start):
            if record.offset >= end:
                break
            line = line_of(record)
            value = line["value"]
            if isinstance(value, dict) and isinstance(value.get("embedder"), str):
                embedders.add(value["embedder"])
            writer.write(line if redaction is None else redaction.redact(line))
            if writer.lines % STEP == 0:
                progress(writer.lines)
    writer.finish(
        Header(
            kind="journal",
            exported_at_ms=now_ms,
            behaviour=BEHAVIOUR,
            journal=journal_id(cluster, last_meta(cluster, next(iter(ranges)))),
            shards=cluster.partitions(JOURNAL),
            offsets=dict(ranges),
            skips={number: tuple(rows) for number in ranges if (rows := read_skips(cluster, number).rows())},
            embedders=tuple(sorted(embedders)),
            redacted=redaction is not None,
            vectors=keep_vectors,
        )
    )


def line_of(record: Record) -> dict[str, Any]:
    """A record of the journal as a line; a value that is no JSON object as the base64 of its bytes."""
    return {
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "key": _text(record.key),
        "headers": [{"name": name, "value": _text(value)} for name, value in record.headers],
        "value": _value(record.value),
    }


def ranges_of(
    cluster: Cluster, partitions: Sequence[int] | None, since: Point | None, to: Point | None
) -> dict[int, tuple[int, int]]:
    """The ranges of the journal between two points, by partition. Raises WrongValue for what the log does not have."""
    ends = cluster.ends(JOURNAL)
    numbers = sorted(set(ends if partitions is None else partitions))
    wrong = [number for number in numbers if number not in ends]
    if wrong:
        raise WrongValue(f"the journal has the partitions 0 to {len(ends) - 1}, no {wrong[0]}", "--partition")
    for point in (since, to):
        if point is not None and point.offset is not None and len(numbers) > 1:
            raise WrongValue(
                f"{point.text} is an offset of one partition: name it with --partition, or give a moment", point.option
            )
    starts = {n: ends[n][0] for n in numbers} if since is None else _offsets(cluster, numbers, since)
    stops = {n: ends[n][1] for n in numbers} if to is None else _offsets(cluster, numbers, to)
    for number in numbers:
        if starts[number] > stops[number]:
            raise WrongValue(f"it lies behind --to: offsets {starts[number]} and {stops[number]}", "--from")
    return {number: (starts[number], stops[number]) for number in numbers}


def _offsets(cluster: Cluster, numbers: Sequence[int], point: Point) -> dict[int, int]:
    ends = cluster.ends(JOURNAL)
    if point.offset is None:
        found = cluster.offsets_at(JOURNAL, point.time_ms or 0)
        return {number: max(ends[number][0], found[number]) for number in numbers}
    (number,) = numbers
    first, end = ends[number]
    if not first <= point.offset <= end:
        raise WrongValue(
            f"partition {number} of the journal has the offsets {first} to {end}: there is no {point.text}",
            point.option,
        )
    return {number: point.offset}


def _in(category: str | None) -> str:
    return "" if category is None else f" in category {category!r}"


def _value(value: bytes | None) -> Any:
    """The JSON object that is exactly these bytes, else their base64."""
    if value is None:
        return None
    try:
        found = json.loads(value)
        if isinstance(found, dict) and json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode() == value:
            return found
    except (ValueError, RecursionError):
        pass
    return base64.b64encode(value).decode()


def _text(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()
