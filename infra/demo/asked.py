"""Asked questions of the demo: each with its reply, and whether that is what it must be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from infra.demo.script import ScriptedQuestion
from refrain.ops.ask.client import AskReply, Client
from refrain.ops.ask.questions import Defaults, answer_of, request_of
from refrain.schemas.base import Source
from refrain.schemas.decisions import Reason
from refrain.schemas.responses import DecisionSummary
from refrain.streams.errors import RefusalCode

IN_FLIGHT = 4
"""Questions open at a time: few, so that the latencies shown are those of a question and not of a queue."""
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class AskedQuestion:
    """Asked question with its reply."""

    question: ScriptedQuestion
    reply: AskReply

    @property
    def outcome(self) -> str:
        """The outcome; `not_cached` where the cache alone was asked and had nothing, `none` without a response."""
        response = self.reply.response
        if response is None:
            return "none"
        if response.error is not None and response.error.code == RefusalCode.NOT_CACHED:
            return RefusalCode.NOT_CACHED.value
        return str(response.outcome)

    @property
    def answer(self) -> str:
        """The text of the answer; empty where there is none."""
        return "" if self.reply.response is None else answer_of(self.reply.response.body)

    @property
    def decision(self) -> DecisionSummary | None:
        """What the response tells of the decision."""
        return None if self.reply.response is None else self.reply.response.decision


def ask_questions(
    client: Client, model: str, questions: Sequence[ScriptedQuestion], on_answer: Callable[[], None] = lambda: None
) -> list[AskedQuestion]:
    """Ask some questions at once; in their order. `on_answer` hears of each response."""
    requests = [
        request_of(
            one.question,
            Defaults(
                model,
                one.category,
                cache=one.cache,
                sources=() if one.source is None else (Source(id=one.source),),
            ),
        )
        for one in questions
    ]
    replies = client.ask(requests, timeout_s=TIMEOUT_S, in_flight_max=IN_FLIGHT, on_response=lambda *_told: on_answer())
    return [AskedQuestion(one, reply) for one, reply in zip(questions, replies, strict=True)]


def deviations(asked: Sequence[AskedQuestion]) -> list[str]:
    """Deviations from what the questions expect, one line each."""
    answers = {one.question.question: one.answer for one in asked if one.question.expect == "miss"}
    return [f"{one.question.question!r}: {wrong}" for one in asked if (wrong := _deviation(one, answers))]


def _deviation(one: AskedQuestion, answers: dict[str, str]) -> str | None:
    want = one.question
    if one.outcome != want.expect:
        why = one.reply.failure or (one.reply.response.error if one.reply.response is not None else None) or ""
        return f"{want.expect} expected, {one.outcome} came {why}".rstrip()
    if not one.answer and want.expect != "not_cached":
        return f"{one.outcome} without an answer"
    if want.expect == "hit" and one.answer != answers.get(want.same_as or ""):
        return f"the answer is not that of {want.same_as!r}"
    return _guard_deviation(one)


def _guard_deviation(one: AskedQuestion) -> str | None:
    """That it was not the named guard which refused it, or that it is not similar enough to be served but for that."""
    guard, decision = one.question.guard, one.decision
    if guard is None:
        return None
    if decision is None or decision.reason != Reason.GUARD_REFUSED:
        return f"guard_refused expected, {decision.reason if decision is not None else 'no decision'} came"
    if not any(told.guard == guard and told.verdict == "refused" for told in decision.guards):
        return f"the guard {guard} did not refuse it"
    if decision.similarity is None or decision.threshold is None or decision.similarity < decision.threshold:
        return f"its similarity of {decision.similarity} is below the threshold of {decision.threshold}"
    return None
