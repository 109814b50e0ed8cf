"""Tells the life of an entry: admitted, served, judged, withdrawn or evicted, by journal, decisions and `documents`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from refrain.ops.cluster.decisions import CLOCKS_MS
from refrain.ops.cluster.stretch import Stretch
from refrain.ops.explain.gather import Served, served_from
from refrain.ops.explain.journal import TOPIC as JOURNAL
from refrain.ops.explain.journal import Admission, JournalReader, event_of
from refrain.ops.explain.lines import ago, moment, quoted
from refrain.ops.explain.policies import command_of
from refrain.ops.explain.sheet import Row, Section, Sheet
from refrain.ops.terminal.output import safe
from refrain.schemas.control import Command
from refrain.schemas.journal import EntriesInvalidated, HitJudged
from refrain.streams.errors import BadInput, WrongSetup
from refrain.streams.kafka.interface import Cluster, Record
from refrain.streams.messaging.ids import EntryId
from refrain.streams.shard.columns import ENTRIES, entry_id
from refrain.streams.shard.invalidation import matches, ordered

DOCUMENTS = "documents"
LOOKED = 50_000
"""Records of each topic that are looked through, from the admission on."""
SIGNS = (b'"HitJudged"', b'"EntriesInvalidated"')
TOPICS_READ = (DOCUMENTS, JOURNAL, "decisions")
"""The topics from which an entry's history is put together."""


class LifeEvent(NamedTuple):
    """Something that happened to an entry."""

    time_ms: int
    what: str
    by: str = ""
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class EntryFacts:
    """Facts of an entry. `kept` says whether `documents` holds it: None where that cannot be told."""

    id: str
    admission: Admission | None
    served: Served
    orders: tuple[LifeEvent, ...] = ()
    """Judgements and withdrawals."""
    kept: bool | None = None
    left_at_ms: int | None = None
    complete: bool = True
    missing: tuple[str, ...] = ()
    with_text: bool = True

    def text(self) -> str | None:
        """The text of its question, where it is known and may be shown."""
        key = None if self.admission is None else self.admission.key
        return key.question.data if key is not None and self.with_text else None


def gather_life(
    cluster: Cluster, id_: str, place: EntryId, *, with_text: bool = True, scan_all: bool = False
) -> EntryFacts:
    """Gather the life of an entry. Raises BadInput for one that was never admitted."""
    missing: list[str] = []
    most = None if scan_all else LOOKED
    admission: Admission | None = None
    try:
        admission = _admission(cluster, id_, place)
    except WrongSetup as refused:
        missing.append(f"its question, judgements and withdrawals: the journal may not be read ({refused})")
    since_ms = 0 if admission is None else admission.time_ms
    # Side by side: each is a connection that mostly waits for its broker.
    with ThreadPoolExecutor(len(TOPICS_READ)) as pool:
        serving = pool.submit(served_from, cluster, place.partition, id_, since_ms, most)
        keeping = pool.submit(_kept, cluster, place, since_ms, most)
        ordering = None if missing else pool.submit(_orders, cluster, place, most)
        served = serving.result()
        orders, complete = ([], True) if ordering is None else ordering.result()
        keep = _Keeping(None)
        try:
            keep = keeping.result()
        except WrongSetup as refused:
            missing.append(f"whether it is kept: `documents` may not be read ({refused})")
    answers = frozenset((each.namespace, each.answer) for each in served.decisions if each.answer)
    entry = _Entry(id_, place, admission, answers)
    return EntryFacts(
        id=id_,
        admission=admission,
        served=served,
        orders=tuple(event for record in orders for event in _ordered(record, entry, partial(_given, cluster))),
        kept=keep.kept,
        left_at_ms=keep.left_at_ms,
        complete=complete and served.complete and keep.complete,
        missing=tuple(missing),
        with_text=with_text,
    )


def life(facts: EntryFacts) -> list[LifeEvent]:
    """The events of its life, in their order. Its uses are counted as one."""
    out = list(facts.orders)
    if facts.admission is not None:
        out.append(_entered(facts.admission))
    uses = facts.served.decisions
    if uses:
        out.append(LifeEvent(uses[0].time_ms, "served first", uses[0].id))
        if len(uses) > 1:
            out.append(LifeEvent(uses[-1].time_ms, f"served last, {len(uses)} times in all", uses[-1].id))
    if facts.left_at_ms is not None:
        out.append(LifeEvent(facts.left_at_ms, "gone", _cause(facts)))
    return sorted(out, key=lambda event: event.time_ms)


def entry_sheet(facts: EntryFacts) -> Sheet:
    """The sheet of an entry."""
    text, admission = facts.text(), facts.admission
    rows = [] if text is None else [Row("question", safe(text))]
    key = None if admission is None else admission.key
    if key is not None:
        rows += [
            Row("category", safe(key.category)),
            Row("tenant", safe(key.tenant)),
            Row("model", safe(key.model)),
        ]
        if key.sources:
            rows.append(Row("sources", safe(", ".join(f"{each.id} {each.version}".strip() for each in key.sources))))
    # Why somebody judged or withdrew may tell what was asked.
    table = [
        [moment(each.time_ms), each.what, safe(each.by), safe(each.why) if facts.with_text else ""]
        for each in life(facts)
    ]
    notes = [*facts.missing, *([] if facts.with_text else ["texts of users: --no-text"])]
    if not facts.complete:
        notes.append(f"only {LOOKED} records of each topic since its admission were looked through: --scan takes all")
    sections = [
        Section("Entry", rows),
        Section("Life", columns=("time", "what", "by", "why"), table=table),
        Section("Not to be seen", notes=notes),
    ]
    return Sheet(f"Entry {facts.id}", said_of(facts), None, [section for section in sections if not section.empty])


def entry_json(facts: EntryFacts) -> dict[str, Any]:
    """The same for programs."""
    return {
        "kind": "entry",
        "sentence": said_of(facts),
        "entry_id": facts.id,
        "question": facts.text(),
        "kept": facts.kept,
        "served": len(facts.served.decisions),
        "complete": facts.complete,
        "life": [event._asdict() | ({} if facts.with_text else {"why": ""}) for event in life(facts)],
        "unseen": [*facts.missing, *([] if facts.with_text else ["texts of users: --no-text"])],
    }


UNSEEN = "whether it is kept is not known: not all of `documents` was looked through"
UNTOLD = "`documents` tells nothing of it: it was not kept, is gone for long, or is not committed yet"


def said_of(facts: EntryFacts) -> str:
    """What a person would say of it."""
    text, times = facts.text(), len(facts.served.decisions)
    what = "an answer" if text is None else f"the answer to {quoted(text)}"
    since = "" if facts.admission is None else f", admitted {moment(facts.admission.time_ms)}"
    state = {True: "it is kept", False: f"it is gone: {_cause(facts)}", None: UNTOLD if facts.complete else UNSEEN}
    return f"{what}{since}, served {times} {'time' if times == 1 else 'times'}; {state[facts.kept]}"


def _cause(facts: EntryFacts) -> str:
    """Why it left, by what was ordered and how long it lived."""
    ending = next((each for each in facts.orders if each.what in ENDINGS), None)
    if ending is not None:
        return f"{ending.what} by {ending.by}"
    admission, left_ms = facts.admission, facts.left_at_ms
    if admission is not None and admission.imported is not None:
        return "evicted for room, replaced by an answer of this cache, or over its lifetime"
    if admission is None or admission.question is None or left_ms is None:
        return "by what is not told"
    lifetime, lived = admission.question.asked.seen.ttl_ms, left_ms - admission.time_ms
    if lived >= lifetime:
        return f"over its lifetime of {ago(lifetime)}"
    return "evicted for room, or replaced by a newer answer: nothing withdrew it, and its lifetime was not over"


def _entered(admission: Admission) -> LifeEvent:
    """How it came in."""
    if admission.imported is None:
        return LifeEvent(admission.time_ms, "admitted", f"the answer to {admission.forward_id}")
    origin = admission.imported.origin or "an entry of another cache"
    return LifeEvent(admission.time_ms, "imported", f"{origin} (command {admission.imported.version})")


WITHDRAWN, JUDGED_WRONG, ANSWER_WRONG = "withdrawn", "judged wrong", "the same answer judged wrong elsewhere"
ENDINGS = (WITHDRAWN, JUDGED_WRONG, ANSWER_WRONG)


class _Entry(NamedTuple):
    """What tells which orders concern an entry."""

    id: str
    place: EntryId
    admission: Admission | None
    answers: frozenset[tuple[str | None, str | None]]
    """Namespace and digest of its answer, as far as decisions tell them."""

    def judged(self, event: HitJudged) -> str | None:
        """How a judgement judged this entry; None when it was about something else."""
        brought = None if self.admission is None else self.admission.forward_id or None
        if event.entry_id == self.id or (brought is not None and brought in (event.forward_id, event.decision_id)):
            return "judged right" if event.correct else JUDGED_WRONG
        alike = event.answer is not None and (event.namespace, event.answer) in self.answers
        return ANSWER_WRONG if alike and not event.correct else None

    def withdrawn(self, event: EntriesInvalidated, record: Record) -> bool:
        """Whether a withdrawal takes it; without its question only one that names it can be told."""
        entry = None if self.admission is None else self.admission.entry()
        if entry is None:
            return event.entry_id == self.id
        return matches(ordered(event, record.offset, record.timestamp_ms), entry, self.id)


def _admission(cluster: Cluster, id_: str, place: EntryId) -> Admission | None:
    """What admitted it; None where retention took that."""
    with closing(JournalReader(cluster)) as journal:
        found = journal.admission(place.partition, place.offset)
        if found is not None:
            return found
        record = journal.record(place.partition, place.offset)
        if record is None and place.offset < journal.begins(place.partition):
            return None
    event = None if record is None else event_of(record)
    there = "nothing" if event is None else f"a record of the kind {event.kind}"
    raise BadInput(
        f"entry {id_} was never admitted: journal[{place.partition}] has {there} at offset {place.offset}, no answer"
    )


def _orders(cluster: Cluster, place: EntryId, most: int | None) -> tuple[list[Record], bool]:
    """The judgements and withdrawals in the journal since its admission, and whether all were looked at."""
    stretch = Stretch(cluster, JOURNAL, place.partition, place.offset + 1, most)
    return list(stretch.sift(_is_order)), stretch.is_whole


def _is_order(_: bytes | None, value: bytes | None) -> bool:
    return value is not None and any(sign in value for sign in SIGNS)


def _given(cluster: Cluster, version: int) -> Command | None:
    """The command of a version, where `control` still holds it and may be read."""
    try:
        found = command_of(cluster, version)
    except WrongSetup:
        return None
    return None if found is None else found.command


def _ordered(record: Record, entry: _Entry, given: Callable[[int], Command | None]) -> Iterator[LifeEvent]:
    event = event_of(record)
    if isinstance(event, HitJudged):
        what = entry.judged(event)
        if what is not None:
            yield LifeEvent(record.timestamp_ms, what, f"{event.who} (command {event.version})", event.why)
    elif isinstance(event, EntriesInvalidated) and entry.withdrawn(event, record):
        command = given(event.version)
        by = f"command {event.version} of `control`" if command is None else f"{command.who} (command {event.version})"
        yield LifeEvent(record.timestamp_ms, WITHDRAWN, by, "" if command is None else command.why)


class _Keeping(NamedTuple):
    """Whether `documents` holds an entry; None where nothing of it was found, or not all was looked at."""

    kept: bool | None
    left_at_ms: int | None = None
    complete: bool = True


def _kept(cluster: Cluster, place: EntryId, since_ms: int, most: int | None) -> _Keeping:
    """Whether `documents` holds it by its last record, and when it left."""
    sought = ENTRIES.key(entry_id(place.offset))
    start = cluster.offsets_at(DOCUMENTS, max(0, since_ms - CLOCKS_MS)).get(place.partition, 0)
    stretch = Stretch(cluster, DOCUMENTS, place.partition, start, most)
    last = None
    for record in stretch.sift(lambda key, _: key == sought):
        last = record
    if last is not None and last.value is None:
        return _Keeping(False, last.timestamp_ms)
    return _Keeping(True if last is not None and stretch.is_whole else None, None, stretch.is_whole)
