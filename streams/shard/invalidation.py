"""Matching rules of invalidations: which entries a withdrawal takes, and which flights it concerns. Pure."""

from __future__ import annotations

from refrain.schemas.base import Near, QuestionKey, Source
from refrain.schemas.documents import Entry, Flight, Withdrawal
from refrain.schemas.journal import EntriesInvalidated
from refrain.streams.vectors import decode, similarity


def matches(rule: Withdrawal, entry: Entry, wire_id: str) -> bool:
    """Match an entry against a withdrawal; `wire_id` is its id outside the shard."""
    return (
        entry.id < rule.offset
        and (rule.before_ms is None or entry.admitted_at_ms < rule.before_ms)
        and rule.entry_id in (None, wire_id)
        and rule.forward_id in (None, entry.forward_id)
        and _same_kind(rule, entry)
    )


def concerns(rule: Withdrawal, flight: Flight) -> bool:
    """Match a flight against a withdrawal: whether its answer, not there when it was ordered, is part of it.

    It may have been made before the cause of the withdrawal was mended. A withdrawal by age or of one entry is about
    what was stored, and concerns no flight.
    """
    return (
        flight.offset < rule.offset
        and rule.before_ms is None
        and rule.entry_id is None
        and rule.forward_id in (None, flight.forward_id)
        and _same_kind(rule, flight)
    )


def ordered(event: EntriesInvalidated, offset: int, time_ms: int) -> Withdrawal:
    """Withdrawal record that an invalidation at a journal offset and a shard's time (ms) orders."""
    cuts = [cut for cut in (event.before_ms, _older_than(event, time_ms)) if cut is not None]
    return Withdrawal(**event.selection() | {"offset": offset, "before_ms": min(cuts, default=None)})


def _older_than(event: EntriesInvalidated, time_ms: int) -> int | None:
    return None if event.older_than_ms is None else max(0, time_ms - event.older_than_ms)


def _same_kind(rule: Withdrawal, of: QuestionKey) -> bool:
    return (
        rule.tenant in (None, of.tenant)
        and rule.category in (None, of.category)
        and rule.model in (None, of.model)
        and (rule.tag is None or rule.tag in of.tags)
        and (rule.source_id is None or _draws_on(of.sources, rule.source_id, rule.keep_version))
        and (rule.near is None or _is_near(rule.near, of))
    )


def _draws_on(sources: tuple[Source, ...], id_: str, keep_version: str | None) -> bool:
    return any(source.id == id_ and source.version != keep_version for source in sources)


def _is_near(near: Near, of: QuestionKey) -> bool:
    if of.vector is None or of.embedder != near.embedder:
        return False
    mine, theirs = decode(of.vector), decode(near.vector)
    return len(mine) == len(theirs) and similarity(mine, theirs) >= near.similarity
