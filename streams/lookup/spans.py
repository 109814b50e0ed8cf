"""Spans of a lookup worker: one a question that it decides, one a response to a question that waited.

The fold knows nothing of them: they are made of a record, its headers, and what the fold gave for it. The contexts of
questions that wait are remembered here, so that a forward, a doubt, an observation, a response and a link to another
question have theirs; after a restart, or beyond `OPEN_MAX`, a response has no span.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from refrain.schemas.decisions import Decision
from refrain.schemas.journal import Answered, AnswerFailed, AnswerWithheld, Asked, Event, Passed
from refrain.schemas.responses import Outcome
from refrain.streams.kafka.interface import Headers, Outgoing, Record
from refrain.streams.lookup.request_times import NOT_RESPONSES, told_by
from refrain.streams.lru import LruCache
from refrain.streams.messaging.dead_letters import refused_as
from refrain.streams.metrics import OTHER
from refrain.streams.shard.fold import readable
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.traces.interface import Span, Traces, carrying, end_all, has_context

DECIDED = Asked | Passed
"""Events that hold a question."""
ANSWERS = Answered | AnswerFailed | AnswerWithheld
"""Events that end the wait for one."""
OPEN_MAX = 20_000
"""Questions whose context is remembered."""
FORWARDS = "forwards"
DOUBTS = "doubts"
OBSERVATIONS = "observations"
ASKED_OF_OTHERS = frozenset({FORWARDS, DOUBTS, OBSERVATIONS})
"""Effects by which another worker works at a question: they go by the id of its decision."""


class DecisionSpans:
    """The spans of one batch after another; they end once its effects are sent. `categories` are those of the policy.

    Clients may name other ones: they are told as `other`, as metrics do.
    """

    def __init__(self, traces: Traces, categories: Callable[[], Collection[str]]) -> None:
        self.on = traces.on
        self._traces = traces
        self._categories = categories
        self._open: LruCache[str, Headers] = LruCache(OPEN_MAX)
        self._unended: list[Span] = []

    def effects(self, folded: Iterable[tuple[Record, FoldResult | None]]) -> list[Outgoing]:
        """The effects of a batch, forwards with the context of their question."""
        return [effect for record, each in folded if each is not None for effect in self._effects(record, each)]

    def sent(self) -> None:
        """The effects are acknowledged."""
        end_all(self._unended)
        self._unended = []

    def _effects(self, record: Record, folded: FoldResult) -> Sequence[Outgoing]:
        event = readable(record) if has_context(record.headers) else None
        name = "lookup" if isinstance(event, DECIDED) else "respond"
        span = None if event is None else self._begin(name, record.headers)
        if span is None and not self._open:
            return folded.effects
        if span is not None and isinstance(event, DECIDED):
            self._of_question(span, event, folded)
        self._of_others(event, folded)
        answered = event.forward_id if isinstance(event, ANSWERS) else None
        # Before the responses: with its own a question is forgotten.
        asked = [self._asked(effect, span, answered) for effect in folded.effects]
        effects = [
            carrying(self._effect(effect, span, answered), context)
            for effect, context in zip(folded.effects, asked, strict=True)
        ]
        for decision in folded.decisions:
            if decision.outcome in (Outcome.HIT, Outcome.ERROR):
                # Nobody waits any more.
                self._open.drop(decision.id)
        return effects

    def _begin(self, name: str, headers: Headers) -> Span | None:
        span = self._traces.begin(name, headers)
        if span is not None and span.recorded:
            self._unended.append(span)
        return span

    def _of_question(self, span: Span, event: Asked | Passed, folded: FoldResult) -> None:
        """What the fold made of the record's own question."""
        decision = next((each for each in folded.decisions if each.id == event.id), None)
        doubted = any(effect.topic == DOUBTS for effect in folded.effects)
        if decision is None and not doubted:
            # The shard has it already, and what waits keeps its span.
            span.tell(repeated=True)
            return
        self._open.put(event.id, span.headers)
        if decision is None:
            span.tell(waits_for_verifier=True)
        else:
            self._tell(span, decision)

    def _of_others(self, event: Event | None, folded: FoldResult) -> None:
        """Decisions on questions that came with earlier records, and waited for a second opinion."""
        own = event.id if isinstance(event, DECIDED) else None
        for decision in folded.decisions:
            before = None if decision.id == own else self._open.get(decision.id)
            span = None if before is None else self._begin("lookup", before)
            if span is not None:
                self._tell(span, decision)
                self._open.put(decision.id, span.headers)

    def _asked(self, effect: Outgoing, span: Span | None, answered: str | None) -> Headers:
        """The context of the question that others are asked about by this effect; none for all else."""
        if effect.topic not in ASKED_OF_OTHERS:
            return ()
        id_ = (effect.key or b"").decode()
        own = self._open.get(id_)
        if own is None and span is not None and id_ == answered:
            # After a restart the answer still knows whose it is.
            own = span.headers
        return own or ()

    def _effect(self, effect: Outgoing, span: Span | None, answered: str | None) -> Outgoing:
        code = refused_as(effect)
        if code is not None and span is not None:
            span.fail(code)
        told = None if effect.topic in NOT_RESPONSES else told_by(effect.value or b"")
        if told is not None:
            self._respond(*told, span, answered)
        return effect

    def _respond(self, outcome: Outcome, id_: str, span: Span | None, answered: str | None) -> None:
        """Tell of a response: by the record's own span where it is its question's, else by one of its question's."""
        before = self._open.get(id_)
        if span is not None and before == span.headers:
            # The response to a question that is decided right now: its span tells it.
            return
        if span is not None and id_ == answered:
            own: Span | None = span
        else:
            own = None if before is None else self._begin("respond", before)
        if own is None:
            return
        own.tell(outcome=outcome.value)
        if own is not span and span is not None:
            own.link(span.headers)
        self._open.drop(id_)

    def _tell(self, span: Span, decision: Decision) -> None:
        span.tell(
            outcome=decision.outcome.value,
            reason=decision.reason.value,
            category=self._category(decision.category),
            similarity=decision.similarity,
            threshold=decision.threshold,
            load=decision.load,
            policy_version=decision.policy_version,
            decision=decision.id,
            decision_partition=decision.partition,
            decision_offset=decision.offset,
        )
        leader = decision.forward_id if decision.outcome is Outcome.COALESCED else None
        if leader is not None:
            span.link(self._open.get(leader) or ())
        if decision.outcome is Outcome.ERROR:
            span.fail(decision.reason.value)

    def _category(self, category: str | None) -> str | None:
        return category if category is None or category in self._categories() else OTHER
