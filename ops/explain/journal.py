"""Reads single places of the journal: the question of a decision, and what admitted an entry."""

from __future__ import annotations

import json
from typing import NamedTuple

from pydantic import ValidationError

from refrain.ops.explain.subject import backwards
from refrain.schemas.base import QuestionKey, Sealed
from refrain.schemas.documents import Entry
from refrain.schemas.journal import Answered, Asked, EntryImported, Event, decode_event
from refrain.streams.kafka.interface import Cluster, Record

TOPIC = "journal"
BACK = 50_000
"""Records before an answer among which its question is looked for: it waits for minutes at most."""


class Question(NamedTuple):
    """A question in the journal, and where it stands."""

    offset: int
    time_ms: int
    asked: Asked


class Admission(NamedTuple):
    """What brought an entry: an answer with the question that was forwarded for it, where it is there; or an import."""

    offset: int
    time_ms: int
    forward_id: str
    """Empty for an import."""
    latency_ms: int
    question: Question | None
    imported: EntryImported | None = None

    @property
    def key(self) -> QuestionKey | None:
        """What the entry is kept under; None where retention took its question."""
        return self.imported if self.question is None else self.question.asked

    def entry(self) -> Entry | None:
        """The entry as withdrawals look at it, without its answer; None without its question."""
        if self.key is None:
            return None
        since_ms = None if self.imported is None else self.imported.admitted_at_ms
        return Entry(
            **self.key.question_key(),
            id=self.offset,
            answer=Sealed(data=""),
            admitted_at_ms=self.time_ms if since_ms is None else min(since_ms, self.time_ms),
            forward_id=self.forward_id or None,
            asked_offset=0 if self.question is None else self.question.offset,
        )


def event_of(record: Record) -> Event | None:
    """The event in a record; None when the record is not one."""
    try:
        return decode_event(record.value or b"")
    except ValidationError:
        return None


class JournalReader:
    """Reader of single places of the journal, by one connection. Close it.

    Its methods raise WrongSetup where the journal may not be read, and ClusterFailed.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._reader = cluster.reader(TOPIC)
        self._ends = cluster.ends(TOPIC)

    def close(self) -> None:
        """Give the connection back. A second call does nothing."""
        self._reader.close()

    def record(self, partition: int, offset: int) -> Record | None:
        """The record there; None when it is gone, or not there yet."""
        found = self._reader.read(partition, offset, 1)
        return found[0] if found and found[0].offset == offset else None

    def begins(self, partition: int) -> int:
        """The first offset that retention has left."""
        return self._ends[partition][0]

    def question(self, partition: int, offset: int, id_: str) -> Question | None:
        """The question of a decision or forward, at the offset or before it; None where retention took it.

        It stands before where a second opinion or a timer decided, or an answer was waited for.
        """
        sign = json.dumps(id_).encode()
        least = max(self.begins(partition), offset - BACK)
        for record in backwards(self._reader, partition, offset + 1, least):
            event = event_of(record) if sign in (record.value or b"") else None
            if isinstance(event, Asked) and event.id == id_:
                return Question(record.offset, record.timestamp_ms, event)
        return None

    def admission(self, partition: int, offset: int) -> Admission | None:
        """The answer, or the import, at a place; None where none stands there."""
        record = self.record(partition, offset)
        event = None if record is None else event_of(record)
        if record is not None and isinstance(event, EntryImported):
            return Admission(offset, record.timestamp_ms, "", event.latency_ms, None, event)
        if record is None or not isinstance(event, Answered):
            return None
        question = self.question(partition, offset, event.forward_id)
        return Admission(offset, record.timestamp_ms, event.forward_id, event.latency_ms, question)
