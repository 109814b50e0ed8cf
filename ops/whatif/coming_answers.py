"""Which answers come to the questions that an alternative forwards, and when.

Where a question was forwarded live too, its recorded answer comes when it came, as much later as it was forwarded here.
Where it was not, its answer is assumed: what it got live, after the median time of its category; where even that is
not recorded, a text that is nobody else's.
"""

from __future__ import annotations

import heapq
import itertools
import json
from collections import OrderedDict
from collections.abc import Iterator

from refrain.ops.whatif.recorded import Live, Recorded
from refrain.ops.whatif.recording import Survey
from refrain.ops.whatif.totals import Usage
from refrain.schemas.base import Sealed
from refrain.schemas.decisions import Decision
from refrain.schemas.journal import Answered, AnswerFailed, AnswerWithheld
from refrain.schemas.responses import Outcome
from refrain.streams.messaging.responses import served

FATES_MAX = 10_000
"""Questions of which it is remembered what they got live until they are forwarded here."""

Answer = Answered | AnswerFailed | AnswerWithheld


class ComingAnswers:
    """The answers that come to one alternative."""

    def __init__(self, recorded: Recorded, survey: Survey) -> None:
        self.assumed: set[str] = set()
        """Forwards whose answers are assumed."""
        self._recorded = recorded
        self._survey = survey
        self._early: dict[str, tuple[Answer, int]] = {}
        """Recorded answers to questions that have not been forwarded yet, and when they came."""
        self._later_ms: dict[str, int] = {}
        """By forward: how much later than live it was forwarded, so that its answer comes later too."""
        self._joined: dict[str, list[str]] = {}
        """By forward: those here whose questions waited for it live."""
        self._undecided: set[str] = set()
        """Forwards whose questions are not decided live yet."""
        self._fates: OrderedDict[str, Live] = OrderedDict()
        self._due: list[tuple[int, int, Answer]] = []
        self._number = itertools.count()

    def due(self, time_ms: int) -> Iterator[tuple[Answer, int]]:
        """The answers that come until then, each with its time, those included that come meanwhile."""
        while self._due and self._due[0][0] <= time_ms:
            due_ms, _, answer = heapq.heappop(self._due)
            yield answer, due_ms

    def forwarded(self, forward_id: str, time_ms: int) -> None:
        """A question was forwarded: see to it that an answer comes."""
        early = self._early.pop(forward_id, None)
        later_ms = time_ms - self._recorded.forwarded_at_ms.get(forward_id, time_ms)
        if early is not None:
            answer, came_ms = early
            self._schedule(answer, came_ms + later_ms)
        elif later_ms > 0 and self._recorded.is_open(forward_id):
            self._later_ms[forward_id] = later_ms
        elif not self._recorded.is_open(forward_id):
            fate = self._fates.pop(forward_id, None)
            self.assumed.add(forward_id)
            if fate is None:
                self._undecided.add(forward_id)
            else:
                self._assume(forward_id, fate, time_ms)

    def recorded(self, event: Answer, time_ms: int, *, is_awaited: bool, may_be_awaited: bool) -> Iterator[Answer]:
        """A recorded answer came; the answers that come now by it, to be folded one after another.

        `is_awaited`: its question was forwarded here too; `may_be_awaited`: it may yet be.
        """
        id_ = event.forward_id
        later_ms = self._later_ms.pop(id_, 0)
        if is_awaited and later_ms:
            self._schedule(event, time_ms + later_ms)
        elif is_awaited:
            yield event
        elif may_be_awaited:
            self._early[id_] = event, time_ms
        for joined in self._joined.pop(id_, ()):
            if self._recorded.is_open(joined):
                # Live it was forwarded apart by this answer: its own will come.
                self.assumed.discard(joined)
            else:
                yield event.model_copy(update={"forward_id": joined})

    def decided(self, live: Live, time_ms: int) -> None:
        """Remember what a question got live, until it is forwarded here; or answer it, where it has been."""
        id_ = live.decision.id
        if id_ not in self._undecided:
            self._fates[id_] = live
            if len(self._fates) > FATES_MAX:
                self._fates.popitem(last=False)
            return
        self._undecided.remove(id_)
        if self._recorded.is_open(id_):
            self.assumed.discard(id_)
        else:
            self._assume(id_, live, time_ms)

    def _assume(self, forward_id: str, fate: Live, time_ms: int) -> None:
        """Assume the answer to a question that got another kind of answer live."""
        decision = fate.decision
        live_forward = decision.forward_id
        if decision.outcome is Outcome.COALESCED and live_forward and self._recorded.is_open(live_forward):
            self._joined.setdefault(live_forward, []).append(forward_id)
            return
        latency = self._survey.latency(decision.category or "-", decision.model)
        answer = Answered(
            forward_id=forward_id,
            body=Sealed(data=json.dumps(self._assumed_body(forward_id, fate, time_ms), ensure_ascii=False)),
            latency_ms=latency.model_ms,
        )
        self._schedule(answer, time_ms + latency.wait_ms)

    def _assumed_body(self, forward_id: str, fate: Live, time_ms: int) -> dict[str, object]:
        if fate.kept is None:
            return _unknown(forward_id, fate.decision)
        body = served(json.loads(fate.kept.text), forward_id, time_ms)
        known = None if fate.source is None else self._recorded.answers.get(fate.source)
        used = Usage() if known is None else known.usage
        body["usage"] = {
            "prompt_tokens": used.input,
            "completion_tokens": used.output,
            "total_tokens": fate.kept.tokens,
        }
        return body

    def _schedule(self, answer: Answer, due_ms: int) -> None:
        heapq.heappush(self._due, (due_ms, next(self._number), answer))


def _unknown(forward_id: str, decision: Decision) -> dict[str, object]:
    """A stand-in for an answer of which nothing is known: no other question has the same."""
    message = {"role": "assistant", "content": f"the answer to {forward_id}, which is not recorded"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"object": "chat.completion", "model": decision.model, "choices": [choice]}
