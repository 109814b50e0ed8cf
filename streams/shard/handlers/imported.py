"""Admits an entry that another cache has kept: as an answer of its own, but never in place of one that is kept here."""

from __future__ import annotations

import json

from refrain.schemas.base import Sealed
from refrain.schemas.documents import Entry
from refrain.schemas.journal import EntryImported
from refrain.schemas.policy import Cacheable, CategoryPolicy, Policy
from refrain.streams.kafka.interface import Record
from refrain.streams.messaging.responses import Body, compact, digest_of_answer, whole
from refrain.streams.messaging.shards import space_of
from refrain.streams.shard import counts
from refrain.streams.shard.adaptation import lifetime_max
from refrain.streams.shard.admission import NotAdmitted, not_admitted_reason, says_sorry
from refrain.streams.shard.handlers.answered import is_too_large
from refrain.streams.shard.handlers.room import entering, evict_for
from refrain.streams.shard.index.entries import namespace_of_key, text_key
from refrain.streams.shard.index.vector_tables import query_of
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.shard.state import Shard


def on_imported(shard: Shard, event: EntryImported, record: Record, out: FoldResult) -> None:
    """Admit an imported entry where the policy keeps such answers, there is room, and no answer to its text is kept.

    All that may fail comes before the first change. Raises ValueError for an answer or vector that is none.
    """
    policy = None if shard.policy is None else shard.policy.policy
    category = None if policy is None else policy.of(event.category)
    if policy is None or category is None or category.cache is Cacheable.NEVER:
        out.counts.append(counts.not_admitted(NotAdmitted.CATEGORY_NEVER))
        return
    answer = json.loads(event.answer.data)
    entry = _entry(shard, event, record, category, answer)
    shard.check_dimensions(namespace_of_key(entry), None if entry.vector is None else query_of(entry.vector))
    reason = not_admitted_reason(whole(answer), category) or _not_admitted_now(shard, entry, category, policy)
    if reason is not None:
        out.counts.append(counts.not_admitted(reason))
        return
    fits, counted = evict_for(shard, entry, policy)
    if not fits:
        out.counts.append(counts.not_admitted(NotAdmitted.NO_ROOM))
        return
    shard.apply(entering(shard, entry, policy))
    out.counts += [*counted, counts.admitted(entry.category)]


def _entry(shard: Shard, event: EntryImported, record: Record, category: CategoryPolicy, answer: Body) -> Entry:
    """The entry; one that keeps its age is never younger than the shard's time."""
    since_ms = shard.time_ms if event.admitted_at_ms is None else min(event.admitted_at_ms, shard.time_ms)
    expires_at_ms = since_ms + category.apology_ttl_ms if says_sorry(whole(answer)) else None
    # Its question was asked before any that is on its way: whose answer comes takes its place.
    return Entry(
        **event.question_key() | {"space": space_of(event, category)},
        id=record.offset,
        answer=Sealed(data=compact(answer)),
        answer_digest=digest_of_answer(answer),
        tokens=event.tokens,
        asked_offset=0,
        admitted_at_ms=since_ms,
        latency_ms=event.latency_ms,
        expires_at_ms=expires_at_ms,
    )


def _not_admitted_now(shard: Shard, entry: Entry, category: CategoryPolicy, policy: Policy) -> NotAdmitted | None:
    """Reason not to admit the entry now, None when it may be."""
    space = namespace_of_key(entry)
    leaves_ms = entry.admitted_at_ms + lifetime_max(category) if entry.expires_at_ms is None else entry.expires_at_ms
    tenant = policy.limits_of(entry.tenant)
    if shard.is_off(entry.category):
        return NotAdmitted.SWITCHED_OFF
    if leaves_ms <= shard.time_ms:
        return NotAdmitted.EXPIRED
    if shard.entries.exact(space, text_key(entry.space, entry.category, entry.text_digest)) is not None:
        return NotAdmitted.KEPT_ALREADY
    if is_too_large(entry, policy.limits):
        return NotAdmitted.TOO_LARGE
    if entry.answer_digest in shard.banned.get(space.hex(), ()):
        return NotAdmitted.JUDGED_WRONG
    if tenant is not None and not shard.tenants.may_enter(entry.tenant, space, tenant):
        return NotAdmitted.TENANT_LIMIT
    return None
