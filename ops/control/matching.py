"""Dry run of an invalidation: the entries in `documents` that it would take, by the rule of the shards."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import NamedTuple

from refrain.ops.cluster.kept import kept_entries
from refrain.schemas.control import Invalidate
from refrain.schemas.documents import Entry, Withdrawal
from refrain.schemas.journal import EntriesInvalidated
from refrain.streams.kafka.interface import Record
from refrain.streams.messaging.ids import wire_id
from refrain.streams.shard.invalidation import matches, ordered

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

    `incarnation` is the topic id of `journal`. Only those that match are held.
    """

    def match(partition: int, entry: Entry) -> MatchingEntry | None:
        id_ = wire_id(partition, entry.id, incarnation)
        return MatchingEntry(id_, entry.tenant, entry.category) if matches(rule, entry, id_) else None

    return kept_entries(records, match)
