"""An alternative: the recorded questions and answers, folded under a policy that was not in force.

Each of its shards is folded by the one fold; the records are numbered anew, since other answers come than came live.
Where a question is forwarded, an answer comes (`coming_answers.py`): the recorded one, or one that is assumed. What an
assumed answer serves later is known to be so (`Made.assumed`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from refrain.ops.whatif.alternative_shard import AlternativeShard
from refrain.ops.whatif.coming_answers import Answer, ComingAnswers
from refrain.ops.whatif.recorded import Live, Recorded, entries_of, forwards_of
from refrain.ops.whatif.recording import Survey
from refrain.ops.whatif.redo import Redo
from refrain.schemas.decisions import Decision, Reason
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
    Tick,
    Verified,
)
from refrain.schemas.policy import Policy
from refrain.schemas.responses import Outcome
from refrain.streams.kafka.interface import Record
from refrain.streams.kafka.partitioner import partition_of
from refrain.streams.messaging.ids import parse_entry_id, wire_id
from refrain.streams.messaging.shards import shard_key, space_of
from refrain.streams.shard.fold import next_timer_ms

TICK_AFTER_MS = 1_000
"""How long after a timer is due, and no record came, a tick fires it."""

Command = LoadChanged | EntriesInvalidated | HitJudged | CacheSwitched | EntryImported


class Made(NamedTuple):
    """A decision of an alternative."""

    decision: Decision
    source: str | None
    """The forward that brought the entry that it serves."""
    assumed: bool
    """Whether the answer that it gives is assumed."""


class Step(NamedTuple):
    """What one record brought about: decisions, the categories of forwards, and answers by their forwards."""

    made: list[Made]
    forwards: list[str]
    answers: list[tuple[str, str, Answered]]
    """Category and model of a forward, and its answer."""


class Alternative:
    """The recorded traffic under another policy."""

    def __init__(
        self, name: str, policy: Policy, redo: Redo, recorded: Recorded, survey: Survey, from_ms: int = 0
    ) -> None:
        """`from_ms`: from when on the policy is in force; before, those that were."""
        self.name = name
        self.policy = policy
        self.redo = redo
        self.unanswered = 0
        """Second opinions that were wanted, and that nobody gave live."""
        self.unjudged = 0
        """Judgements that do not apply: the question got another answer here."""
        self._from_ms = from_ms
        self._recorded = recorded
        self._survey = survey
        self._shards: dict[int, AlternativeShard] = {}
        self._homes: dict[str, AlternativeShard] = {}
        """By forward: the shard that waits for its answer."""
        self._answers = ComingAnswers(recorded, survey)
        self._judged: dict[str, Made] = {}

    def entries(self) -> dict[str, int]:
        """Entries by category."""
        return entries_of(each.fold.shard for each in self._shards.values())

    def expect(self, coming: Mapping[int, Sequence[Asked]]) -> None:
        """Tell which questions come next, by the partition of the journal: most come to the shard of that number."""
        for number, shard in self._shards.items():
            shard.fold.expect(coming.get(number, ()))

    def advance(self, time_ms: int) -> Step:
        """Let time pass up to the next record, which the recorded shards have not taken yet: answers come."""
        out = Step([], [], [])
        for answer, due_ms in self._answers.due(time_ms):
            self._answer(answer, due_ms, out)
        return out

    def step(self, record: Record, event: Event, live: list[Live]) -> Step:
        """Take one record of the journal, with the decisions that it brought about live."""
        out = Step([], [], [])
        time_ms = record.timestamp_ms
        for each in live:
            self._answers.decided(each, time_ms)
        home = self._shard_of(record.partition, time_ms, out)
        match event:
            case Asked():
                self._ask(event, record, out)
            case Answered() | AnswerFailed() | AnswerWithheld():
                self._answered(event, time_ms, out)
            case Verified():
                self._verified(event, record, out)
            case PolicySet():
                if not home.in_force:
                    self._fold(home, event.model_copy(update={"version": 2 * event.version + 2}), time_ms, out)
            case LoadChanged() | EntriesInvalidated() | HitJudged() | CacheSwitched():
                self._command(event, home, time_ms, out)
            case EntryImported():
                self._imported(event, home, time_ms, out)
            case Passed() | Tick():
                self._fold(home, event, time_ms, out)
        return out

    # -- shards -------------------------------------------------------------------------------------------

    def _shard_of(self, number: int, time_ms: int, out: Step) -> AlternativeShard:
        """The shard, under the policy that is to be in force."""
        shard = self._shards.get(number)
        if shard is None:
            shard = self._shards[number] = AlternativeShard(number, self._recorded.shards, self._recorded.incarnation)
        if not shard.in_force and time_ms >= self._from_ms:
            shard.in_force = True
            self._fold(shard, PolicySet(version=shard.next_version(), policy=self.policy), time_ms, out)
        return shard

    def _fold(self, shard: AlternativeShard, event: Event, time_ms: int, out: Step) -> None:
        """Fold an event, after the ticks that a worker would have sent before it."""
        while (timer := next_timer_ms(shard.fold.shard)) is not None:
            tick_ms = max(timer, shard.fold.shard.time_ms) + TICK_AFTER_MS
            if tick_ms >= time_ms:
                break
            self._take(shard, Tick(), tick_ms, out)
        self._take(shard, event, time_ms, out)

    def _take(self, shard: AlternativeShard, event: Event, time_ms: int, out: Step) -> None:
        result = shard.take(event, time_ms)
        for forwarded in forwards_of(shard.fold.shard, event, result):
            out.forwards.append(forwarded.category)
            if forwarded.flight is not None:
                self._homes[forwarded.id] = shard
                self._answers.forwarded(forwarded.id, time_ms)
        for decision in result.decisions:
            out.made.append(self._made(shard, decision))

    def _made(self, shard: AlternativeShard, decision: Decision) -> Made:
        source = None
        self.unanswered += decision.reason is Reason.VERIFIER_SILENT
        if decision.outcome is Outcome.HIT and decision.entry_id is not None:
            place = parse_entry_id(decision.entry_id)
            source = None if place is None else shard.sources.get(place.offset)
        given = source if decision.outcome is Outcome.HIT else decision.forward_id
        made = Made(decision, source, given in self._answers.assumed)
        if decision.id in self._survey.judged:
            self._judged[decision.id] = made
        return made

    # -- answers ------------------------------------------------------------------------------------------

    def _answer(self, answer: Answer, time_ms: int, out: Step) -> None:
        shard = self._homes.pop(answer.forward_id, None)
        if shard is None:
            return
        flight = shard.fold.shard.flights.get(answer.forward_id)
        if flight is not None and isinstance(answer, Answered):
            out.answers.append((flight.flight.category, flight.flight.model, answer))
        self._fold(shard, answer, time_ms, out)

    def _answered(self, event: Answer, time_ms: int, out: Step) -> None:
        """A recorded answer: to a question that was forwarded here too, or to one that may yet be; else it is none."""
        is_awaited = event.forward_id in self._homes
        may_be = not is_awaited and self._may_be_forwarded(event.forward_id)
        for answer in self._answers.recorded(event, time_ms, is_awaited=is_awaited, may_be_awaited=may_be):
            self._answer(answer, time_ms, out)

    def _may_be_forwarded(self, id_: str) -> bool:
        shards = (each.fold.shard for each in self._shards.values())
        return any(each.pending_verifications.get(id_) or each.flights.waits(id_) for each in shards)

    # -- events -------------------------------------------------------------------------------------------

    def _ask(self, asked: Asked, record: Record, out: Step) -> None:
        time_ms = record.timestamp_ms
        home = self._shards[record.partition]
        if not home.in_force:
            seen = asked.seen.model_copy(update={"policy_version": 2 * asked.seen.policy_version + 2})
            return self._fold(home, asked.model_copy(update={"seen": seen}), time_ms, out)
        redone = self.redo.redo(asked, record.partition)
        shard = self._shard_of(redone.partition, time_ms, out)
        event, in_force = redone.event, shard.fold.shard.policy
        version = None if in_force is None else in_force.version
        if isinstance(event, Asked):
            event = event.model_copy(update={"seen": event.seen.model_copy(update={"policy_version": version or 0})})
        else:
            event = event.model_copy(update={"policy_version": version})
        return self._fold(shard, event, time_ms, out)

    def _verified(self, event: Verified, record: Record, out: Step) -> None:
        """A second opinion, where the same one is waited for here."""
        source = self._recorded.sources.get((record.partition, event.entry))
        for shard in self._shards.values():
            doubt = shard.fold.shard.pending_verifications.get(event.id)
            entry = None if doubt is None or source is None else shard.entry_of(source)
            if doubt is not None and entry is not None and doubt.entry == entry:
                self._fold(shard, event.model_copy(update={"entry": entry}), record.timestamp_ms, out)

    def _command(self, event: Command, home: AlternativeShard, time_ms: int, out: Step) -> None:
        """A command, as it would have been given here; one that would not have been is left out."""
        made = self._command_here(event, home)
        if made is not None:
            self._fold(home, made.model_copy(update={"version": 2 * event.version + 2}), time_ms, out)

    def _imported(self, event: EntryImported, home: AlternativeShard, time_ms: int, out: Step) -> None:
        """An imported entry, in the shard to which govern would have given it here."""
        policy = home.fold.shard.policy
        category = None if policy is None else policy.policy.of(event.category)
        shard = home
        if home.in_force and category is not None:
            key = shard_key(space_of(event, category), event.category, event.context, category.slices)
            shard = self._shard_of(partition_of(key, self._recorded.shards), time_ms, out)
        self._command(event, shard, time_ms, out)

    def _command_here(self, event: Command, home: AlternativeShard) -> Command | None:
        if isinstance(event, HitJudged):
            return self._judgement(event)
        if isinstance(event, EntriesInvalidated) and event.entry_id is not None:
            entry_id = self._entry_here(event.entry_id)
            return None if entry_id is None else event.model_copy(update={"entry_id": entry_id})
        if isinstance(event, LoadChanged) and event.model not in home.models():
            # govern takes loads of models alone that the policy in force names.
            return None
        return event

    def _entry_here(self, entry_id: str) -> str | None:
        """The id that the answer of a recorded entry has here, None where it is not kept."""
        source = self._recorded.source_of(entry_id)
        for shard in self._shards.values():
            number = None if source is None else shard.entry_of(source)
            if number is not None:
                return wire_id(shard.number, number, self._recorded.incarnation)
        return None

    def _judgement(self, event: HitJudged) -> HitJudged | None:
        """The judgement of what the decision gave here, None where that was another answer than the judged one."""
        made = self._judged.get(event.decision_id)
        decision = None if made is None else made.decision
        if decision is None:
            return None
        hit = event.entry_id is not None
        same = (
            decision.outcome is Outcome.HIT and decision.answer == event.answer
            if hit
            else decision.outcome in (Outcome.MISS, Outcome.COALESCED) and decision.forward_id == event.forward_id
        )
        if not same:
            self.unjudged += 1
            return None
        return event.model_copy(
            update={
                "partition": decision.partition,
                "category": decision.category,
                "namespace": decision.namespace,
                "entry_id": decision.entry_id if hit else None,
                "load": decision.load,
            }
        )
