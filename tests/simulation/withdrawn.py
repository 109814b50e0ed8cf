"""Independent check that nothing withdrawn was served, from journal and decisions, without the code of the shard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from refrain.schemas.decisions import Decision
from refrain.schemas.journal import (
    Answered,
    Asked,
    CacheSwitched,
    EntriesInvalidated,
    Event,
    HitJudged,
    PolicySet,
    decode_event,
)
from refrain.schemas.policy import Cacheable
from refrain.streams.kafka.interface import Cluster, Record
from refrain.streams.messaging.ids import EntryId, parse_entry_id
from tests.simulation.records import read_all


@dataclass
class Book:
    """What a reader of one shard's journal knows at a record."""

    asked: dict[str, Asked] = field(default_factory=dict)
    entries: dict[int, Asked] = field(default_factory=dict)
    """The question that each answer was given to, by the answer's offset: what became an entry has that number."""
    withdrawn: dict[int, str] = field(default_factory=dict)
    """Numbers of withdrawn answers, and by what."""
    never: set[str] = field(default_factory=set)
    off: set[str] = field(default_factory=set)


def served_after_withdrawal(log: Cluster, live: Mapping[str, Decision]) -> list[str]:
    """Decisions that served what was withdrawn before them in their journal, or what might not be served at all."""

    def one(partition: int) -> list[str]:
        return list(_wrong(log.scan("journal", partition), live))

    return [wrong for part in read_all(log, "journal", one) for wrong in part]


def admitted(entry_id: str) -> EntryId:
    """Where an entry was admitted. Raises ValueError for a text that is no entry id."""
    place = parse_entry_id(entry_id)
    if place is None:
        raise ValueError(f"{entry_id!r} is the id of no entry")
    return place


def _wrong(records: Iterable[Record], live: Mapping[str, Decision]) -> Iterator[str]:
    book = Book()
    for record in records:
        event = decode_event(record.value or b"")
        if isinstance(event, Asked):
            # Only the first counts: what classify repeats after a crash is skipped.
            book.asked.setdefault(event.id, event)
            decision = live.get(event.id)
            if decision is not None and decision.offset == record.offset:
                yield from _judge(book, event, decision)
        elif isinstance(event, Answered) and event.forward_id in book.asked:
            book.entries[record.offset] = book.asked[event.forward_id]
        else:
            _order(book, event, record.partition)


def _judge(book: Book, asked: Asked, decision: Decision) -> Iterator[str]:
    if decision.outcome != "hit" or decision.entry_id is None:
        return
    number = admitted(decision.entry_id).offset
    if number in book.withdrawn:
        yield f"{decision.id} at {decision.partition}/{decision.offset} served {number}, {book.withdrawn[number]}"
    if asked.category in book.never or asked.category in book.off or "*" in book.off:
        yield f"{decision.id} served {asked.category}, which may not be served"


def _order(book: Book, event: Event, partition: int) -> None:
    if isinstance(event, EntriesInvalidated):
        mine = [number for number, asked in book.entries.items() if _matches(event, asked)]
        book.withdrawn |= dict.fromkeys(mine, f"withdrawn by command {event.version}")
    elif isinstance(event, HitJudged) and not event.correct and event.entry_id is not None:
        place = admitted(event.entry_id)
        if place.partition == partition:
            book.withdrawn[place.offset] = f"judged wrong by command {event.version}"
    elif isinstance(event, CacheSwitched):
        if event.on:
            book.off = {name for name in book.off if event.category not in (None, name)}
        else:
            book.off.add(event.category or "*")
    elif isinstance(event, PolicySet):
        book.never = {name for name, of in event.policy.categories.items() if of.cache is Cacheable.NEVER}
        gone = [number for number, asked in book.entries.items() if asked.category in book.never]
        book.withdrawn |= dict.fromkeys(gone, f"forbidden by policy {event.version}")


def _matches(event: EntriesInvalidated, asked: Asked) -> bool:
    return (
        event.tenant in (None, asked.tenant)
        and event.category in (None, asked.category)
        and event.model in (None, asked.model)
        and (event.tag is None or event.tag in asked.tags)
    )
