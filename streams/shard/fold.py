"""`fold`: applies one journal record to a shard: the only state transition, live, in replays, audits and what-ifs.

No clock, no randomness, no input but the state and the record: the same records give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from pydantic import ValidationError

from refrain.schemas.decisions import Reason
from refrain.schemas.journal import (
    Answered,
    AnswerFailed,
    AnswerWithheld,
    Asked,
    CacheSwitched,
    EntriesInvalidated,
    EntryImported,
    Event,
    HitJudged,
    LoadChanged,
    Passed,
    PolicySet,
    RecoveryOrdered,
    Tick,
    Verified,
    decode_event,
)
from refrain.schemas.responses import Outcome
from refrain.streams.errors import JournalUnreadable, Refusal, RefusalCode
from refrain.streams.kafka.interface import Record
from refrain.streams.messaging.dead_letters import dead_letter
from refrain.streams.messaging.decoding import check_size, unknown_version_of
from refrain.streams.messaging.ids import topic_partition_key
from refrain.streams.messaging.privacy import has_uncacheable, may_store
from refrain.streams.messaging.quarantine import TOLD, quarantined, refusal_of_quarantined
from refrain.streams.messaging.responses import error_for
from refrain.streams.messaging.validation import wrong_fields
from refrain.streams.shard import counts
from refrain.streams.shard.columns import TENANTS
from refrain.streams.shard.counts import Dropped, Evicted
from refrain.streams.shard.handlers import answered, asked, imported, invalidated, recovered, verified
from refrain.streams.shard.handlers.commands import on_cache_switched, on_hit_judged, on_load_changed, on_policy_set
from refrain.streams.shard.outcome import NOT_OF_A_RECORD, FoldResult, decided, summary
from refrain.streams.shard.removal import remove
from refrain.streams.shard.search.question import VerificationState
from refrain.streams.shard.state import Shard
from refrain.streams.shard.stats import CONTROL

NOT_FOLDED = "the question could not be looked up; it is in dead-letters"
_COMMANDED = (
    PolicySet, LoadChanged, EntriesInvalidated, HitJudged, CacheSwitched, RecoveryOrdered, EntryImported
)  # fmt: skip
"""Events that govern makes of commands."""
IDLE_MAX = 1_000
"""The most tenants whose usage one tick drops."""
TIMERS_MAX = 100
"""Timers that one record may fire; the next records fire the rest."""


def fold(shard: Shard, record: Record, known: Event | None = None) -> FoldResult:
    """Fold one journal record into the shard; returns effects, decisions and counts.

    `known` is the event of the record, where it has been read already.

    A record that cannot be folded changes nothing but the shard's time and offset, and becomes a dead
    letter. Raises JournalUnreadable, with the shard unchanged, for a record of an unknown version; and ShardBroken,
    StoreDamaged or StoreUnusable, after which the shard must be restored.
    """
    out = FoldResult()
    skipped = shard.skips.of(record.offset)
    event = None if skipped == "records" else _read(shard, record, out, known)
    aside = _set_aside(shard, record, out) if skipped == "records" else None
    shard.next_offset = record.offset + 1
    shard.time_ms = max(shard.time_ms, record.timestamp_ms)
    shard.overlay.begin_record()
    _fire_timers(shard, record, out)
    if event is not None and not _is_repeat(shard, event, out):
        if skipped is not None and isinstance(event, Asked):
            out.counts.append(counts.dropped(Dropped.PASSED_THROUGH))
        else:
            _dispatch(shard, event, record, out)
    if aside is not None and not _is_repeat(shard, aside, out):
        _tell(shard, aside, record, refusal_of_quarantined(), out)
    invalidated.finish(shard)
    shard.counters.count(out.decisions, out.counts, shard.lives)
    return out


def _dispatch(
    shard: Shard, event: Event, record: Record, out: FoldResult, verification: VerificationState | None = None
) -> None:
    """Dispatch an event to its handler; `verification` is given for a question that has waited for a verifier."""
    shard.overlay.begin_record()
    mark = len(out.effects)
    try:
        if verification is not None:
            asked.on_asked(shard, cast(Asked, event), record, out, verification)
        else:
            _HANDLERS[type(event)](shard, event, record, out)
    except NOT_OF_A_RECORD:
        raise
    except Exception as error:  # noqa: BLE001 - any failure to fold is an outcome of the record, the same on every machine
        del out.effects[mark:]
        _failed(shard, event, record, error, out)


def _set_aside(shard: Shard, record: Record, out: FoldResult) -> Asked | Answered | None:
    """Dead-letter a record that no fold decides; its event, where somebody waits for it and it may be read for him."""
    out.effects.append(quarantined(record, "lookup"))
    out.counts.append(counts.refused(RefusalCode.QUARANTINED))
    row = shard.skips.row(record.offset, "records")
    event = readable(record) if row is not None and row.tells else None
    return event if isinstance(event, Asked | Answered) else None


def readable(record: Record) -> Event | None:
    """The event of a record; None where it has none that this worker reads."""
    try:
        check_size(record)
        return decode_event(record.value or b"")
    except (Refusal, ValidationError):
        return None


def next_timer_ms(shard: Shard) -> int | None:
    """When (ms) the shard needs a tick if no other record comes, None while it needs none."""
    timers = (
        shard.flights.next_timer(),
        shard.pending_verifications.next_timer(),
        shard.entries.next_deadline_ms(),
        invalidated.next_sweep_ms(shard),
    )
    return min((at for at in timers if at is not None), default=None)


def _read(shard: Shard, record: Record, out: FoldResult, known: Event | None) -> Event | None:
    """The event of a record; None, with its dead letter, where it has none or is too large to be read."""
    try:
        check_size(record)
        return decode_event(record.value or b"") if known is None else known
    except Refusal as too_large:
        refusal = too_large
    except ValidationError as error:
        version = unknown_version_of(record.value or b"")
        if version is not None:
            raise JournalUnreadable(
                f"journal[{record.partition}] offset {record.offset} has version {version}: upgrade this worker;"
                " the partition waits for it"
            ) from None
        refusal = Refusal(RefusalCode.UNREADABLE, f"not a journal record: {wrong_fields(error)}")
    # Nothing tells whose text it is.
    with_text = not has_uncacheable(None if shard.policy is None else shard.policy.policy)
    out.effects.append(dead_letter(record, refusal, "lookup", with_text=with_text))
    out.counts.append(counts.refused(refusal.code))
    return None


def _fire_timers(shard: Shard, record: Record, out: FoldResult) -> None:
    due = shard.flights.due(shard.time_ms, TIMERS_MAX)
    out.more = len(due) == TIMERS_MAX
    for kind, id_ in due:
        if kind == "waiting":
            answered.give_up(shard, id_, out)
        else:
            answered.forget(shard, id_, out)
    leaving = shard.entries.take_due(shard.time_ms, TIMERS_MAX)
    out.more |= len(leaving) == TIMERS_MAX
    remove(shard, leaving, Evicted.EXPIRED, out)
    doubts = shard.pending_verifications.due(shard.time_ms, TIMERS_MAX)
    out.more |= len(doubts) == TIMERS_MAX
    for id_ in doubts:
        resumed = verified.give_up(shard, id_)
        if resumed is not None:
            _dispatch(shard, resumed.asked, record, out, resumed.verification)


def _is_repeat(shard: Shard, event: Event, out: FoldResult) -> bool:
    """Deduplicate by position: what classify and govern repeat after a crash was folded already."""
    if isinstance(event, Asked | Passed):
        place, offset = topic_partition_key(event.origin.topic_id, event.origin.partition), event.origin.offset
    elif isinstance(event, _COMMANDED):
        place, offset = CONTROL, event.version
    else:
        return False
    if offset <= shard.highwater.get(place, -1):
        out.counts.append(counts.dropped(Dropped.REPEATED))
        return True
    shard.highwater[place] = offset
    return False


def _failed(shard: Shard, event: Event, record: Record, error: Exception, out: FoldResult) -> None:
    # Not what the error says: that may quote the question.
    refusal = Refusal(RefusalCode.FOLD_FAILED, f"{type(error).__name__} of {type(event).__name__}")
    out.effects.append(dead_letter(record, refusal, "lookup", with_text=_may_lie_anywhere(shard, event)))
    out.counts.append(counts.refused(refusal.code))
    _tell(shard, event, record, refusal, out)


def _tell(shard: Shard, event: Event, record: Record, refusal: Refusal, out: FoldResult) -> None:
    """Tell whoever waits for an event that it is not folded."""
    if isinstance(event, Asked):
        decision = decided(shard, record, event, outcome=Outcome.ERROR, reason=Reason.FOLD_FAILED)
        out.decisions.append(decision)
        message = TOLD if refusal.code is RefusalCode.QUARANTINED else NOT_FOLDED
        response = error_for(event, refusal.code, message, summary(decision, depends=event.depends))
        out.effects += answered.told(event.reply, lambda: response)
    elif isinstance(event, Answered):
        answered.fail_all(shard, event.forward_id, refusal.code, "the answer could not be read", out)


def _may_lie_anywhere(shard: Shard, event: Event) -> bool:
    """Whether the text of an event, if it has any, may be kept in dead-letters."""
    category = None
    if isinstance(event, Asked | EntryImported):
        category = event.category
    elif isinstance(event, Answered) and (open_flight := shard.flights.get(event.forward_id)) is not None:
        category = open_flight.flight.category
    return category is None or may_store(None if shard.policy is None else shard.policy.policy, category)


def _on_passed(shard: Shard, event: Passed, record: Record, out: FoldResult) -> None:
    reason = Reason(event.reason)
    out.decisions.append(
        decided(shard, record, event, outcome=event.outcome, reason=reason, policy_version=event.policy_version)
    )


def _on_verified(shard: Shard, event: Verified, record: Record, out: FoldResult) -> None:
    resumed = verified.remember(shard, event)
    if resumed is None:
        out.counts.append(counts.dropped(Dropped.LATE_OPINION))
    else:
        _dispatch(shard, resumed.asked, record, out, resumed.verification)


def _on_tick(shard: Shard, event: Tick, record: Record, out: FoldResult) -> None:
    """Sweep: withdrawn and expired entries, and the use of idle tenants, leave with ticks alone.

    Timers fire with every record.
    """
    out.more |= invalidated.sweep(shard, out)
    shard.apply([TENANTS.delete(tenant) for tenant in shard.tenants.idle(shard.time_ms, IDLE_MAX)])


_HANDLERS: dict[type, Callable[[Shard, Any, Record, FoldResult], None]] = {
    Asked: asked.on_asked,
    Passed: _on_passed,
    Answered: answered.on_answered,
    AnswerFailed: answered.on_failed,
    AnswerWithheld: answered.on_withheld,
    Verified: _on_verified,
    PolicySet: on_policy_set,
    LoadChanged: on_load_changed,
    EntriesInvalidated: invalidated.on_invalidated,
    HitJudged: on_hit_judged,
    CacheSwitched: on_cache_switched,
    RecoveryOrdered: recovered.on_recovery_ordered,
    EntryImported: imported.on_imported,
    Tick: _on_tick,
}
