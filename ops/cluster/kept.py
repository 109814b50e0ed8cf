"""The entries that are kept, as the records of `documents` tell of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from pydantic import ValidationError

from refrain.schemas.documents import Entry
from refrain.streams.kafka.interface import Record
from refrain.streams.shard.columns import ENTRIES

T = TypeVar("T")
PREFIX = ENTRIES.key("")


def kept_entries(records: Iterable[Record], take: Callable[[int, Entry], T | None]) -> list[T]:
    """What `take` makes of the entries that are kept, by shard and age, of records in their order. Pure.

    It gets the partition and the entry, and gives None for one that is not asked for. Entries are written once and
    deleted once, so only what is asked for is held.
    """
    found: dict[tuple[int, bytes], T] = {}
    for record in records:
        key = record.key or b""
        if not key.startswith(PREFIX):
            continue
        if record.value is None:
            found.pop((record.partition, key), None)
            continue
        try:
            taken = take(record.partition, Entry.decode(record.value))
        except ValidationError:
            # Of a later version: the shard of this one does not hold it either.
            continue
        if taken is not None:
            found[record.partition, key] = taken
    return list(found.values())
