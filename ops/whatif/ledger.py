"""The ledger: decisions of all policies side by side, a request at a time; what changed is handed on as a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from refrain.ops.whatif.alternative import Made
from refrain.ops.whatif.totals import BUCKETS, Tally, hundredths
from refrain.schemas.decisions import Decision
from refrain.schemas.responses import Outcome

RECORDED = "recorded"
OF_MODEL = (Outcome.MISS, Outcome.COALESCED)

Row = dict[str, Any]


class Span(NamedTuple):
    """The time (ms) that is told."""

    first_ms: int
    last_ms: int

    def bucket(self, time_ms: int) -> int:
        """The part of the span that a moment is in."""
        length = max(1, self.last_ms - self.first_ms + 1)
        return min(BUCKETS - 1, max(0, (time_ms - self.first_ms) * BUCKETS // length))


@dataclass
class _Request:
    """A request that has not been decided under every policy."""

    text: str
    live: Made | None
    made: list[Made | None]


class _Awaited(NamedTuple):
    """A hit of an alternative, to a question that a model answered live: both answers are to be compared."""

    tally: Tally
    decision: Decision
    text: str
    assumed: bool


class Ledger:
    """Decisions side by side."""

    def __init__(
        self, recorded: Tally, alternatives: list[Tally], span: Span, on_changed: Callable[[Row], None]
    ) -> None:
        """`on_changed` gets the row of each request that is decided otherwise by some policy."""
        self._recorded = recorded
        self._alternatives = alternatives
        self._span = span
        self._on_changed = on_changed
        self._open: dict[str, _Request] = {}
        self._awaited: dict[str, list[_Awaited]] = {}
        self._answers: dict[str, bytes] = {}
        """Digests of recorded answers, by their forwards."""
        self.verdicts: dict[tuple[str, str], bool] = {}
        """By digests of question and answer: whether it was judged right."""
        self._judged_texts: dict[str, str] = {}

    def asked(self, id_: str, text: str, *, judged: bool) -> None:
        """A question: its decision's id and the digest of its text; `judged`: somebody will judge the decision."""
        self._open.setdefault(id_, _Request(text, None, [None] * len(self._alternatives)))
        if judged:
            self._judged_texts[id_] = text

    def judged(self, decision_id: str, answer: str | None, *, correct: bool) -> None:
        """A hit was judged; `answer` is the digest of what it served."""
        text = self._judged_texts.get(decision_id)
        if text is not None and answer is not None:
            self.verdicts[text, answer] = correct

    def decided_live(self, made: Made) -> None:
        """A decision as it was."""
        request = self._request(made.decision.id)
        request.live = made
        self._settle(made.decision.id, request)

    def decided(self, place: int, made: Made) -> None:
        """A decision of the alternative of that place."""
        request = self._request(made.decision.id)
        if request.made[place] is None:
            request.made[place] = made
            self._settle(made.decision.id, request)

    def answered_live(self, forward_id: str, digest: str) -> None:
        """A recorded answer, by its digest."""
        self._answers[forward_id] = bytes.fromhex(digest)
        for each in self._awaited.pop(forward_id, ()):
            self._compared(each, digest)

    def finish(self) -> None:
        """Settle what is left: nothing more will come."""
        for awaited in self._awaited.values():
            for each in awaited:
                each.tally.of(each.decision.category).unknown += 1
                self._gained_unsure(each)
        self._awaited = {}
        for tally in (self._recorded, *self._alternatives):
            tally.judge(self.verdicts)
        for tally in self._alternatives:
            tally.compare_wrong(self._recorded, self.verdicts)

    def _request(self, id_: str) -> _Request:
        return self._open.setdefault(id_, _Request("", None, [None] * len(self._alternatives)))

    def _settle(self, id_: str, request: _Request) -> None:
        """Count a request that has been decided under every policy."""
        live, made = request.live, [each for each in request.made if each is not None]
        if live is None or len(made) < len(request.made):
            return
        del self._open[id_]
        time_ms = live.decision.time_ms
        if not self._span.first_ms <= time_ms <= self._span.last_ms:
            return
        bucket = self._span.bucket(time_ms)
        self._count(self._recorded, live, request.text, bucket)
        for tally, each in zip(self._alternatives, made, strict=True):
            self._count(tally, each, request.text, bucket)
            self._compare(tally, live, each, request.text)
        if any(_differs(live, each) for each in made):
            names = [RECORDED, *(tally.name for tally in self._alternatives)]
            self._on_changed(_row(id_, dict(zip(names, [live, *made], strict=True))))

    def _count(self, tally: Tally, made: Made, text: str, bucket: int) -> None:
        decision = made.decision
        tally.decided(decision, bucket, assumed=made.assumed)
        if decision.outcome is Outcome.HIT and decision.answer is not None and not made.assumed:
            tally.pairs[decision.category or "-", text, decision.answer] += 1

    def _compare(self, tally: Tally, live: Made, made: Made, text: str) -> None:
        """Count what a request got and lost beside what it got live."""
        before, after = live.decision, made.decision
        totals = tally.of(after.category)
        was, is_ = before.outcome is Outcome.HIT, after.outcome is Outcome.HIT
        totals.gained += is_ and not was
        tally.of(before.category).lost += was and not is_
        if was and is_ and not made.assumed:
            totals.differ += before.answer != after.answer
            if before.answer == after.answer and before.category == after.category and after.answer is not None:
                tally.kept_pairs[after.category or "-", text, after.answer] += 1
            return
        if is_:
            self._await(_Awaited(tally, after, text, made.assumed), before)
        else:
            by_shard = after.outcome in OF_MODEL and (made.assumed or before.forward_id != after.forward_id)
            past_it = after.outcome is Outcome.BYPASS and before.outcome is not Outcome.BYPASS
            totals.unknown += by_shard or past_it

    def _await(self, hit: _Awaited, before: Decision) -> None:
        """Compare a hit with what a model answered live to the same question, now or when that comes."""
        known = None if before.forward_id is None else self._answers.get(before.forward_id)
        if hit.assumed or before.forward_id is None or before.outcome not in OF_MODEL:
            hit.tally.of(hit.decision.category).unknown += 1
            self._gained_unsure(hit)
        elif known is not None:
            self._compared(hit, known.hex())
        else:
            self._awaited.setdefault(before.forward_id, []).append(hit)

    def _compared(self, hit: _Awaited, digest: str) -> None:
        if hit.decision.answer == digest:
            return
        hit.tally.of(hit.decision.category).differ += 1
        hit.tally.false_from[hundredths(hit.decision)] += 1
        self._gained_unsure(hit)

    def _gained_unsure(self, hit: _Awaited) -> None:
        key = (hit.decision.category or "-", hit.text, hit.decision.answer or "")
        hit.tally.gained_pairs[key] += 1


def _differs(live: Made, made: Made) -> bool:
    before, after = live.decision, made.decision
    return (
        (before.outcome, before.category, before.stale) != (after.outcome, after.category, after.stale)
        or before.answer != after.answer
        or live.source != made.source
        or made.assumed
    )


def _row(id_: str, made: dict[str, Made]) -> Row:
    live = made[RECORDED].decision
    return {
        "request": id_,
        "request_id": live.request_id,
        "time_ms": live.time_ms,
        "tenant": live.tenant,
        "model": live.model,
        "decisions": {name: _told(each) for name, each in made.items()},
    }


def _told(made: Made) -> Row:
    decision = made.decision
    return {
        "outcome": decision.outcome.value,
        "reason": decision.reason.value,
        "category": decision.category,
        "similarity": decision.similarity,
        "threshold": decision.threshold,
        "stale": decision.stale,
        "answered_by": made.source if decision.outcome is Outcome.HIT else decision.forward_id,
        "answer": decision.answer,
        "assumed": made.assumed,
    }
