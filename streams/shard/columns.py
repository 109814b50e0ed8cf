"""The records of a shard's store: which column, which id, which message."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from schemas.base import Message
from schemas.documents import (
    Aging,
    Banned,
    Doubt,
    Entry,
    EntryStats,
    Flight,
    Judged,
    Meta,
    Opinion,
    ShardLoad,
    ShardPolicy,
    Switched,
    TableMode,
    Tally,
    Waiting,
    Withdrawal,
)
from streams.entry_ids import column_id, parts_of_column_id

ENTRIES = "entries"
STATS = "stats"
FLIGHTS = "flights"
WAITING = "waiting"
TABLES = "tables"
AGING = "aging"
POLICIES = "policies"
LOADS = "loads"
WITHDRAWALS = "withdrawals"
BANNED = "banned"
JUDGED = "judged"
SWITCHES = "switches"
DOUBTS = "doubts"
OPINIONS = "opinions"
TALLIES = "tallies"
META = "meta"

MESSAGES: dict[str, type[Message]] = {
    ENTRIES: Entry,
    STATS: EntryStats,
    FLIGHTS: Flight,
    WAITING: Waiting,
    TABLES: TableMode,
    AGING: Aging,
    POLICIES: ShardPolicy,
    LOADS: ShardLoad,
    WITHDRAWALS: Withdrawal,
    BANNED: Banned,
    JUDGED: Judged,
    SWITCHES: Switched,
    DOUBTS: Doubt,
    OPINIONS: Opinion,
    TALLIES: Tally,
    META: Meta,
}
WRITTEN_ONCE = frozenset({ENTRIES, FLIGHTS, WAITING, OPINIONS})
"""Columns whose records have ids of their own: put once, never changed, deleted once."""
POLICY_ID = "policy"
META_KEY = b"meta/meta"
ALL = "*"
"""The id of the switch for all categories."""


class Change(NamedTuple):
    """One record of the store that is put, or deleted when `message` is None."""

    column: str
    id: str
    message: Message | None


def key_of(column: str, id_: str) -> bytes:
    """The key in store and `documents`."""
    return f"{column}/{id_}".encode()


def entry_id(number: int) -> str:
    """The id of an entry in its column: keys sort as numbers do."""
    return column_id(number)


def opinion_id(number: int, text_digest: str) -> str:
    """The id of a second opinion on an entry beside a text."""
    return column_id(number, text_digest)


def parts_of_opinion_id(id_: str) -> tuple[int, str]:
    """The number of the entry and the digest of the text. Raises ValueError for a text that is no such id."""
    number, text_digest = parts_of_column_id(id_)
    if text_digest is None:
        raise ValueError(f"{id_!r} names no text")
    return number, text_digest


def digest_of(changes: dict[bytes, bytes | None]) -> str:
    """A digest of changes, hex, whatever their order."""
    running = hashlib.blake2b(digest_size=8)
    for key in sorted(changes):
        value = changes[key]
        running.update(key)
        running.update(b"\x00" if value is None else b"\x01" + value)
    return running.hexdigest()
