"""Finds every request that was answered from a source or an entry, by a policy version, a category, tenant or model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from refrain.ops.cluster.decisions import CLOCKS_MS, decision_of
from refrain.ops.control.known_names import is_of
from refrain.ops.explain.journal import TOPIC as JOURNAL
from refrain.ops.explain.journal import event_of
from refrain.ops.explain.subject import TOPIC, entry_in
from refrain.ops.terminal.moments import Between
from refrain.schemas.decisions import Decision
from refrain.schemas.journal import Answered, Asked, EntryImported
from refrain.schemas.responses import Outcome
from refrain.streams.errors import WrongValue
from refrain.streams.kafka.interface import Cluster, Record
from refrain.streams.messaging.ids import wire_id

ANSWERED = frozenset({Outcome.HIT, Outcome.MISS, Outcome.COALESCED})
"""Outcomes that gave an answer which is kept, or was to be."""
Scan = Callable[..., Iterable[Record]]
"""Scans a topic: cluster, topic, what is being done, partitions, starts (`cluster.scan.records`)."""


class Drawn(NamedTuple):
    """What draws on a source: the entries, and the forwards whose answers may be theirs."""

    entries: frozenset[str]
    forwards: frozenset[str]


ENTRY_FORM = "PARTITION-OFFSET-TAG with a tag of 8 characters"
ASKED_BY = "--source, --entry, --policy, --category, --tenant or --model"


class Wanted(NamedTuple):
    """What is asked for; all that is given must match."""

    source: str | None = None
    entry: str | None = None
    policy: int | None = None
    category: str | None = None
    when: Between = Between(0, None)
    tenant: str | None = None
    model: str | None = None


def uses(cluster: Cluster, wanted: Wanted, scan: Scan) -> Iterator[Decision]:
    """The decisions that gave an answer and match, by partition, oldest first.

    Raises WrongValue where nothing is asked for, or the entry is of no known form or of another journal.
    """
    if (*wanted[:4], wanted.tenant, wanted.model) == (None,) * 6:
        raise WrongValue(f"nothing is asked for: give {ASKED_BY}")
    partitions = None if wanted.entry is None else [_partition(cluster, wanted.entry)]
    drawn = None if wanted.source is None else drawn_on(cluster, wanted.source, scan)
    starts = cluster.offsets_at(TOPIC, max(0, wanted.when.from_ms - CLOCKS_MS)) if wanted.when.from_ms else None
    for record in scan(cluster, TOPIC, "reading decisions", partitions=partitions, starts=starts):
        decision = decision_of(record)
        if decision is not None and _matches(decision, wanted, drawn):
            yield decision


def drawn_on(cluster: Cluster, source: str, scan: Scan) -> Drawn:
    """The entries whose question named a source, by a scan of the journal: the request names it, the answer is kept."""
    sign = json.dumps(source, ensure_ascii=False).encode("utf-8", "replace")
    incarnation = cluster.topic_id(JOURNAL)
    forwards: set[str] = set()
    entries: set[str] = set()
    for record in scan(cluster, JOURNAL, "reading the journal"):
        value = record.value or b""
        if sign not in value and not (forwards and b'"Answered"' in value):
            continue
        event = event_of(record)
        if isinstance(event, Asked) and any(each.id == source for each in event.sources):
            forwards.add(event.id)
        elif (isinstance(event, Answered) and event.forward_id in forwards) or (
            isinstance(event, EntryImported) and any(each.id == source for each in event.sources)
        ):
            entries.add(wire_id(record.partition, record.offset, incarnation))
    return Drawn(frozenset(entries), frozenset(forwards))


def _partition(cluster: Cluster, entry: str) -> int:
    place = entry_in(cluster, entry)
    if place is None:
        raise WrongValue(f"{entry!r} is no id of an entry: those are {ENTRY_FORM}")
    return place.partition


def _matches(decision: Decision, wanted: Wanted, drawn: Drawn | None) -> bool:
    return (
        decision.outcome in ANSWERED
        and wanted.when.holds(decision.time_ms)
        and (wanted.entry is None or (decision.outcome is Outcome.HIT and decision.entry_id == wanted.entry))
        and wanted.policy in (None, decision.policy_version)
        and is_of(decision.category, wanted.category)
        and wanted.tenant in (None, decision.tenant)
        and wanted.model in (None, decision.model)
        and (drawn is None or _draws(decision, drawn))
    )


def _draws(decision: Decision, drawn: Drawn) -> bool:
    if decision.outcome is Outcome.HIT:
        return decision.entry_id in drawn.entries
    return decision.forward_id in drawn.forwards
