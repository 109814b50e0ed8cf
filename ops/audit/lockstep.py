"""Reads what a shard published in step with its journal: decisions and commits, each at the offset that they name.

Both stand in the partition of the journal's number and in its order, so nothing is read twice and little is held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from refrain.ops.cluster.last_commit import meta_of
from refrain.schemas.base import Part
from refrain.schemas.decisions import Decision
from refrain.streams.kafka.interface import Record
from refrain.streams.shard.columns import META_KEY


class _Said(Part):
    """What a decision is read for where its bytes are compared as a whole: all of it takes four times as long."""

    offset: Any
    search: Any = "none"
    behaviour: Any = ""


class FoundCandidate(Part):
    """A candidate of a published decision."""

    entry_id: str
    similarity: float


class Found(Part):
    """What a published decision says that an approximate search found."""

    id: str
    namespace: str | None = None
    search: str = "none"
    threshold: float | None = None
    candidates: tuple[FoundCandidate, ...] = ()


class PublishedDecision(NamedTuple):
    """A record of `decisions`: what it says of itself, and its bytes."""

    offset: int
    """The journal record that brought it about; -1 where it names none."""
    behaviour: str | None
    """The version that decided; None where it cannot be read."""
    approximate: bool
    """Whether an approximate index was searched."""
    record: Record


class Decisions:
    """Published decisions of one partition, handed out by the journal offset that they name."""

    def __init__(self, records: Iterable[Record], kept_from: int | None = None) -> None:
        """`kept_from` is a journal offset from which on all are surely there; None: from the first of the records."""
        self._records = iter(records)
        self._next = self._read()
        first = None if self._next is None else self._next.offset
        self.first = first if kept_from is None else kept_from
        """The journal offset of the first that is still there; None without any."""

    def up_to(self, offset: int) -> list[PublishedDecision]:
        """The next decisions that name this journal offset, or one before it: those stand where they should not."""
        out = []
        while self._next is not None and self._next.offset <= offset:
            out.append(self._next)
            self._next = self._read()
        return out

    def rest(self) -> Iterator[PublishedDecision]:
        """All that are left."""
        while self._next is not None:
            yield self._next
            self._next = self._read()

    def _read(self) -> PublishedDecision | None:
        record = next(self._records, None)
        return None if record is None else _published(record)


class Commit(NamedTuple):
    """A commit of `documents`, or several that compaction has made one."""

    next_offset: int
    """The journal offset up to which the shard had folded."""
    behaviour: str
    """The version of fold and guards that did."""
    changes: dict[bytes, Record]
    """The last record of each key, `meta` included."""


def commits(records: Iterable[Record], strange: Callable[[Record], None] = lambda _: None) -> Iterator[Commit]:
    """The commits of one partition of `documents`, each ended by its `meta`; what no `meta` follows is left out.

    `strange` is told of each `meta` that cannot be read or was deleted, which ends no commit, and of batches that
    cannot be read.
    """
    changes: dict[bytes, Record] = {}
    for record in records:
        if record.flaw is not None:
            strange(record)
            continue
        meta = meta_of(record.value) if record.key == META_KEY else None
        if meta is None and record.key == META_KEY:
            strange(record)
            continue
        changes[record.key or b""] = record
        if meta is not None:
            yield Commit(meta.next_offset, meta.behaviour, changes)
            changes = {}


def merged(found: Iterable[Commit], records: int) -> Iterator[Commit]:
    """Commits made one until they span so many journal records: what compaction might have made of them."""
    first, last, changes = 0, Commit(0, "", {}), dict[bytes, Record]()
    for commit in found:
        changes |= commit.changes
        last = commit._replace(changes=changes)
        if last.next_offset - first >= records:
            yield last
            first, changes = last.next_offset, {}
    if changes:
        yield last


def found_live(published: Iterable[PublishedDecision]) -> list[Found]:
    """What was found by approximate searches, as far as it can be read."""
    out = []
    for each in published:
        try:
            if each.approximate:
                out.append(Found.model_validate_json(each.record.value or b""))
        except ValueError:
            continue
    return out


def decoded(published: Iterable[PublishedDecision]) -> list[Decision]:
    """The decisions that can be read."""
    out = []
    for each in published:
        try:
            out.append(Decision.decode(each.record.value or b""))
        except ValueError:
            continue
    return out


def _published(record: Record) -> PublishedDecision:
    try:
        said = _Said.model_validate_json(record.value or b"")
    except ValueError:
        return PublishedDecision(-1, None, False, record)
    offset = said.offset if type(said.offset) is int else -1
    behaviour = said.behaviour if isinstance(said.behaviour, str) else None
    return PublishedDecision(offset, behaviour, said.search == "ann", record)
