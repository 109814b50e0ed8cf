"""Dry run of an invalidation: the entries in `documents` that it would take, by the rule of the shards."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import NamedTuple

from pydantic import ValidationError

from refrain.schemas.control import Invalidate
from refrain.schemas.documents import Entry, Withdrawal
from refrain.schemas.journal import EntriesInvalidated
from refrain.streams.kafka.interface import Record
from refrain.streams.messaging.ids import wire_id
from refrain.streams.shard.columns import ENTRIES
from refrain.streams.shard.invalidation import matches, ordered

PREFIX = ENTRIES.key("")
LATER = sys.maxsize
"""A journal offset after every entry."""


class MatchingEntry(NamedTuple):
    """An entry that matches."""

    id: str
    tenant: str
    category: str


def rule_of(command: Invalidate, now_ms: int) -> Withdrawal:
    """Withdrawal that the command would order if every shard took it at `now_ms`."""
    event = EntriesInvalidated(version=0, older_than_ms=command.older_than_ms, **command.selection())
    return ordered(event, LATER, now_ms)


def matching(records: Iterable[Record], rule: Withdrawal, incarnation: str) -> list[MatchingEntry]:
    """Matching entries, by shard and age, of the records of `documents` in their order. Pure.

    `incarnation` is the topic id of `journal`. Entries are written once and deleted once, so only those that match
    are held.
    """
    found: dict[tuple[int, bytes], MatchingEntry] = {}
    for record in records:
        key = record.key or b""
        if not key.startswith(PREFIX):
            continue
        if record.value is None:
            found.pop((record.partition, key), None)
            continue
        try:
            entry = Entry.decode(record.value)
        except ValidationError:
            # Of a later version: the shard of this one does not hold it either.
            continue
        id_ = wire_id(record.partition, entry.id, incarnation)
        if matches(rule, entry, id_):
            found[record.partition, key] = MatchingEntry(id_, entry.tenant, entry.category)
    return list(found.values())
