"""Compares the responses and forwards that were published with those of a fold, by their ids, on disk.

Responses and forwards lie in other partitions than the journal, and are kept for a day. So they are read once before
the fold, a digest each is laid into a store of its shard, and the fold takes out what it gives too. What is left then
is what no fold gives.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field

from refrain.ops.audit.findings import Findings, Kind
from refrain.ops.audit.sampling import Sample
from refrain.schemas.base import Part
from refrain.schemas.responses import Response
from refrain.streams.errors import Refusal
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.messaging.routes import ShardRoute, decode_route
from refrain.streams.messaging.signed_routes import unsigned
from refrain.streams.store.interface import Checkpoint
from refrain.streams.store.rocksdb import RocksStore

BATCH = 1_000
HELD_MAX = 200_000
"""Effects of one shard that are held in memory, 200 bytes each: on disk they take a tenth of an audit."""
DIGEST_BYTES = 16
KINDS = {
    "responses": (Kind.RESPONSE_DIFFERS, Kind.RESPONSE_MISSING, Kind.RESPONSE_INSERTED),
    "forwards": (Kind.FORWARD_DIFFERS, Kind.FORWARD_MISSING, Kind.FORWARD_INSERTED),
}


NO_SHARD = -1
"""The shard of an effect that cannot be read far enough to tell."""


class Effect(NamedTuple):
    """A published effect of a shard: its topic and id, and the journal offset that it names, -1 where it names none."""

    shard: int
    topic: str
    id: str
    offset: int


def effect_of(record: Record) -> Effect | None:
    """The effect that a record of `responses` or `forwards` is; None for one that another processor gave.

    One that cannot be read is of NO_SHARD, under the record's coordinates.
    """
    return _of_response(record) if record.topic == "responses" else _of_forward(record)


def as_folded(record: Record) -> bytes:
    """The bytes of an effect as a fold gives them: the shell signs the routes of forwards, which needs a key."""
    value = record.value or b""
    return unsigned(value) if record.topic == "forwards" else value


Offset = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class _Place(Part):
    id: str
    partition: int
    offset: Offset


class _Placed(Part):
    """What a response is read for where its bytes are compared as a whole."""

    decision: _Place


def _of_response(record: Record) -> Effect | None:
    value = record.value or b""
    try:
        place = _Placed.model_validate_json(value).decision
    except ValueError:
        return _of_another(record, value)
    return Effect(place.partition, "responses", place.id, place.offset)


def _of_another(record: Record, value: bytes) -> Effect | None:
    """None for a response that no shard gave; of NO_SHARD, where it is none at all, or names a place that is none."""
    try:
        told = Response.decode(value).decision
    except ValueError:
        return _unreadable(record)
    return None if told is None or told.partition is None else _unreadable(record)


def _of_forward(record: Record) -> Effect | None:
    try:
        found = json.loads(unsigned(record.value or b""))
        route = decode_route(found["route"], found["forward_id"])
    except (ValueError, KeyError, TypeError, RecursionError, Refusal):
        return _unreadable(record)
    told = route.decision
    shard = route.partition if isinstance(route, ShardRoute) else None if told is None else told.partition
    if shard is None:
        return None
    return Effect(shard, "forwards", route.forward_id, -1 if told is None or told.offset is None else told.offset)


def _unreadable(record: Record) -> Effect:
    return Effect(NO_SHARD, record.topic, f"{record.topic}[{record.partition}] offset {record.offset}", -1)


class PublishedEffects:
    """Published effects of one shard: digests by topic and id, in a store of their own that is thrown away."""

    def __init__(self, folder: Path) -> None:
        """Open or create the store."""
        self._store = RocksStore(folder)
        self._batch: dict[bytes, bytes | None] = {}
        self._held: dict[bytes, bytes] | None = None
        """All that is left of it, where it has been read into memory."""

    def put(self, effect: Effect, value: bytes) -> None:
        """Lay an effect in; repeats that are the same bytes are one."""
        key = _key(effect.topic, effect.id)
        known = self._batch.get(key) or self._store.get(key) or effect.offset.to_bytes(8, "big", signed=True)
        digest = _digest(value)
        if digest not in _digests(known):
            self._batch[key] = known + digest
        if len(self._batch) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Write what was laid in."""
        self._store.write(self._batch, Checkpoint(0, 0))
        self._batch = {}

    def hold(self) -> None:
        """Read all into memory, unless there are more than `HELD_MAX`; nothing may be added after that."""
        self.flush()
        rows = dict(islice(self._store.scan(), HELD_MAX + 1))
        self._held = rows if len(rows) <= HELD_MAX else None

    def holds(self, topic: str, id_: str, digest: bytes) -> bool:
        """Whether this alone lies under an id; False where it is on disk, and a look would be dear."""
        return self._held is not None and self._held.get(_key(topic, id_), b"")[8:] == digest

    def take(self, topic: str, id_: str) -> list[bytes]:
        """Take out the digests under an id: several when repeats differ, none when nothing is there."""
        key = _key(topic, id_)
        if self._held is not None:
            return _digests(self._held.pop(key, b""))
        known = self._batch[key] if key in self._batch else self._store.get(key)
        if known is None:
            return []
        self._batch[key] = None
        if len(self._batch) >= BATCH:
            self.flush()
        return _digests(known)

    def left(self) -> Iterator[tuple[str, str, int]]:
        """Topic, id and journal offset (-1: unknown) of what was not taken out."""
        self.flush()
        for key, value in self._store.scan() if self._held is None else list(self._held.items()):
            topic, _, id_ = key.decode().partition("/")
            if topic in KINDS:
                yield topic, id_, int.from_bytes(value[:8], "big", signed=True)

    def close(self) -> None:
        """Close the store; its folder belongs to the caller."""
        self._store.close()


class Effects:
    """Comparison of a shard's effects with those of a fold."""

    def __init__(
        self,
        published: PublishedEffects,
        kept_from_ms: dict[str, int],
        findings: Findings,
        sample: Sample | None = None,
    ) -> None:
        """`kept_from_ms` says by topic from when on all that was published is still there.

        With a `sample` the effects of its decisions alone are compared.
        """
        self._published = published
        self._sample = sample
        self._kept_from_ms = kept_from_ms
        self._findings = findings

    def compare(self, effect: Outgoing, record: Record, likely: Iterable[str] = (), *, judged: bool) -> None:
        """Compare one effect of the fold of a journal record. Of those not `judged` nothing is noted.

        What has the bytes of a published effect has its id too: where that is `likely`, nothing is read again.
        """
        if effect.topic not in KINDS:
            return
        mine = _digest(effect.value or b"")
        id_ = next((each for each in likely if self._published.holds(effect.topic, each, mine)), None)
        id_ = _id_of(effect) if id_ is None else id_
        if id_ is None or (self._sample is not None and not self._sample.holds(id_)):
            return
        differs, missing, _ = KINDS[effect.topic]
        found = self._published.take(effect.topic, id_)
        if not judged:
            return
        if not found and record.timestamp_ms < self._kept_from_ms[effect.topic]:
            self._findings.counts[f"{effect.topic}_gone"] += 1
            return
        self._findings.counts[effect.topic] += 1
        if not found:
            self._findings.add(missing, record.offset, id_)
        elif found != [mine]:
            self._findings.add(differs, record.offset, id_)

    def explain(self, id_: str) -> None:
        """Take out a response that the shard lets another processor give: it passes the cache."""
        self._published.take("responses", id_)

    def finish(self, first: int, end: int, log_end: int) -> None:
        """Note what was published for journal offsets from `first` to before `end` and no fold gives.

        What names an offset from `log_end` on, where the journal has nothing, is noted too.
        What names no offset is noted by a fold of the whole journal only: it may be of what came before.
        """
        for topic, id_, offset in self._published.left():
            if first <= offset < end or offset >= log_end or offset < 0 == first:
                self._findings.add(KINDS[topic][2], offset, id_)


def _id_of(effect: Outgoing) -> str | None:
    """The id under which an effect is published; None for one that is not of a shard, or cannot be read."""
    if effect.topic == "forwards":
        return (effect.key or b"").decode()
    found = effect_of(Record(effect.topic, 0, 0, 0, effect.key, effect.value))
    return None if found is None or found.shard == NO_SHARD else found.id


def _key(topic: str, id_: str) -> bytes:
    return f"{topic}/{id_}".encode()


def _digest(value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=DIGEST_BYTES).digest()


def _digests(known: bytes) -> list[bytes]:
    return [known[at : at + DIGEST_BYTES] for at in range(8, len(known), DIGEST_BYTES)]
