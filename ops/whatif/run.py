"""Runs a what-if: one pass over the recording, folded as it was and under each other policy."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

from pydantic import ValidationError

from refrain.ops.audit.refold import Read, in_runs
from refrain.ops.terminal import output
from refrain.ops.whatif.alternative import Alternative, Made, Step
from refrain.ops.whatif.ledger import RECORDED, Ledger, Row, Span
from refrain.ops.whatif.recorded import Recorded
from refrain.ops.whatif.recording import Recording, Survey
from refrain.ops.whatif.redo import Meaning, Redo
from refrain.ops.whatif.totals import Tally, Totals, usage_of
from refrain.schemas.journal import Answered, Asked, Event, HitJudged, decode_event
from refrain.schemas.policy import Policy
from refrain.streams.kafka.interface import Record

PROGRESS_RECORDS = 100
NOTHING = Totals()


class WhatIf(NamedTuple):
    """Result of a what-if."""

    recorded: Tally
    alternatives: list[Tally]
    span: Span
    survey: Survey
    told: list[str]
    """What the reader must know to judge the figures."""


def run(
    recording: Recording,
    policies: Mapping[str, Policy],
    *,
    from_ms: int = 0,
    meaning: Meaning | None = None,
    survey: Survey | None = None,
    on_changed: Callable[[Row], None] = lambda _: None,
    on_made: Callable[[str, Made], None] = lambda _, made: None,
    progress: Callable[[int], None] = lambda _: None,
) -> WhatIf:
    """Fold the recording under each of the policies, by name; they are in force from `from_ms` on.

    `on_changed` gets a row of each request that some of them decides otherwise, `on_made` each decision with the name
    of its policy.

    Raises BadInput where the recording cannot be used, JournalUnreadable for a record of an unknown version.
    """
    survey = recording.survey() if survey is None else survey
    recorded = Recorded(recording.shards, recording.incarnation, recording.skips)
    folded = [
        Alternative(name, policy, Redo(policy, survey.policies, recording.shards, meaning), recorded, survey, from_ms)
        for name, policy in policies.items()
    ]
    last = survey.policies[max(survey.policies)]
    span = Span(max(from_ms, survey.first_ms), survey.last_ms)
    tallies = [Tally(each.name, each.policy) for each in folded]
    pass_ = _Pass(recorded, folded, Tally(RECORDED, last), tallies, span, survey, on_changed, on_made)
    number = 0
    for run_ in in_runs(recording):
        for record, event in pass_.expect(run_):
            pass_.take(record, event)
            if number % PROGRESS_RECORDS == 0:
                progress(number)
            number += 1
    pass_.finish()
    return WhatIf(pass_.live, tallies, span, survey, [*survey.told, *_told(recording, survey, folded, tallies)])


class _Pass:
    """One pass over the recording."""

    def __init__(
        self,
        recorded: Recorded,
        alternatives: list[Alternative],
        live: Tally,
        tallies: list[Tally],
        span: Span,
        survey: Survey,
        on_changed: Callable[[Row], None],
        on_made: Callable[[str, Made], None],
    ) -> None:
        self.live = live
        self._recorded = recorded
        self._alternatives = alternatives
        self._tallies = tallies
        self._span = span
        self._survey = survey
        self._ledger = Ledger(live, tallies, span, on_changed)
        self._on_made = on_made
        self._bucket = 0

    def expect(self, records: list[Record]) -> list[Read]:
        """The records with their events, when all folds have been told what comes."""
        read = [(record, _event(record)) for record in records]
        coming: dict[int, list[Asked]] = {}
        for record, event in read:
            if isinstance(event, Asked):
                coming.setdefault(record.partition, []).append(event)
        self._recorded.expect(coming)
        for alternative in self._alternatives:
            alternative.expect(coming)
        return read

    def take(self, record: Record, event: Event | None) -> None:
        bucket = self._span.bucket(record.timestamp_ms)
        if bucket != self._bucket:
            self._sample()
            self._bucket = bucket
        for place, alternative in enumerate(self._alternatives):
            self._note(place, record, alternative.advance(record.timestamp_ms))
        awaited = self._asked_of(record, event) if isinstance(event, Answered) else None
        taken = self._recorded.take(record, event)
        if event is None or taken.repeated or self._recorded.was_left_out(record):
            return
        live = taken.live
        if isinstance(event, Answered) and awaited is not None:
            self._answered(record, event, *awaited)
        if isinstance(event, Asked):
            self._ledger.asked(event.id, event.text_digest, judged=event.id in self._survey.judged)
        for each in live:
            self._ledger.decided_live(Made(each.decision, each.source, assumed=False))
        if isinstance(event, HitJudged):
            self._ledger.judged(event.decision_id, event.answer, correct=event.correct)
        self._count_forwards(self.live, record, [each.category for each in taken.forwards])
        for place, alternative in enumerate(self._alternatives):
            self._note(place, record, alternative.step(record, event, live))

    def finish(self) -> None:
        self._sample()
        self._ledger.finish()

    def _note(self, place: int, record: Record, step: Step) -> None:
        """Note what came of a record, or of the time before it, under the alternative of that place."""
        tally = self._tallies[place]
        for made in step.made:
            self._ledger.decided(place, made)
            self._on_made(tally.name, made)
        self._count_forwards(tally, record, step.forwards)
        for category, model, answer in step.answers:
            if self._is_told(record):
                tally.answered(category, model, usage_of(json.loads(answer.body.data)))

    def _count_forwards(self, tally: Tally, record: Record, categories: list[str]) -> None:
        if self._is_told(record):
            for category in categories:
                tally.of(category).forwards += 1

    def _asked_of(self, record: Record, event: Answered) -> tuple[str, str] | None:
        """Category and model of the forward that a recorded answer is to, None where nobody waits for it."""
        fold = self._recorded.folds.get(record.partition)
        flight = None if fold is None else fold.shard.flights.get(event.forward_id)
        return None if flight is None else (flight.flight.category, flight.flight.model)

    def _answered(self, record: Record, event: Answered, category: str, model: str) -> None:
        known = self._recorded.answers[event.forward_id]
        if self._is_told(record):
            self.live.answered(category, model, known.usage)
        if known.digest is not None:
            self._ledger.answered_live(event.forward_id, known.digest)

    def _is_told(self, record: Record) -> bool:
        return self._span.first_ms <= record.timestamp_ms

    def _sample(self) -> None:
        """Note how many entries there are."""
        self.live.sampled(self._recorded.entries(), self._bucket)
        for tally, alternative in zip(self._tallies, self._alternatives, strict=True):
            tally.sampled(alternative.entries(), self._bucket)


def _event(record: Record) -> Event | None:
    try:
        return decode_event(record.value or b"")
    except ValidationError:
        # Of an unknown version: the recorded fold says so. Of no kind at all: it changes nothing.
        return None


def _told(recording: Recording, survey: Survey, alternatives: list[Alternative], tallies: list[Tally]) -> list[str]:
    out = []
    passed = sum(survey.passed.values())
    if passed:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(survey.passed.items()))
        what = output.counted(passed, "request")
        out.append(f"{what} went past the cache without text in the journal ({reasons}): as it was, in each column")
    for each, tally in zip(alternatives, tallies, strict=True):
        out += [f"{each.name}: {said}" for said in _told_of(each, tally, survey)]
    if not any(tally.whole().asked for tally in tallies):
        out.append("nothing was asked in this time")
    if not recording.whole and any(each.redo.moves for each in alternatives):
        out.append("questions may come to shards of which nothing is folded here: run it over all partitions")
    return out


def _told_of(alternative: Alternative, tally: Tally, survey: Survey) -> list[str]:
    policy, redone = alternative.policy, alternative.redo.counts
    absent = sorted(name for name in policy.categories if not tally.by_category.get(name, NOTHING).asked)
    gone = sorted(name for name in survey.asked if policy.of(name) is None)
    out = []
    if absent:
        out.append(f"nothing was asked of {', '.join(absent)}")
    if gone:
        out.append(f"questions of {', '.join(gone)}, which it does not define, go past the cache if they name it")
    counted = (
        (redone["shard"], "come to another shard: among those of other partitions their order is the brokers' clocks'"),
        (redone["category_kept"], "keep their recorded category: no vector of theirs can be compared with examples"),
        (redone["context_kept"], "keep their recorded context: not all of it is in the record"),
        (redone["side"], "have no text side for the trained head: it does not read them"),
        (alternative.unanswered, "wanted a second opinion that nobody gave live: here misses, they might be hits"),
    )
    out += [f"{output.counted(count, 'question')}: {said}" for count, said in counted if count]
    if alternative.unjudged:
        unjudged = output.counted(alternative.unjudged, "judgement")
        out.append(f"{unjudged} without effect here, where the question got another answer")
    return out
