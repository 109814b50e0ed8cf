"""Replays a question stream with known answers through classify and the fold of one shard, in memory.

Questions come one after another, `GAP_MS` apart; each miss is answered at once with its right answer, which the shard
then keeps or not by its policy. A hit is right when the question it was kept for has the same answer. Requests are
decided as they are live: by the same code, and a verifier's opinion comes back through the journal.

Requests of one stream are not independent of each other (an early answer decides many hits), so the binomial intervals
of the report are those of a stream of independent ones: the least that there is to doubt.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from refrain.ops.data.intervals import share
from refrain.ops.data.lines import BadLine, Row, Unreadable, checked_text, question_in, rows, text_of_value, value_of
from refrain.ops.quality.stages import ThresholdVerifier
from refrain.schemas.base import Sealed
from refrain.schemas.control import PolicyInForce
from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.doubts import DoubtRaised
from refrain.schemas.forwards import Forward
from refrain.schemas.journal import Answered, PolicySet, Verified
from refrain.schemas.policy import UNCATEGORISED, CategoryPolicy, Policy, Quota
from refrain.schemas.policy_limits import Limits
from refrain.schemas.requests import Request
from refrain.schemas.responses import Outcome
from refrain.streams.classify.origins import Incarnations
from refrain.streams.classify.reply_topic import ReplyTopics
from refrain.streams.classify.step import ClassifyStep
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.messaging.ids import decision_id, decision_tag, wire_id
from refrain.streams.messaging.routes import ShardRoute, decode_route
from refrain.streams.metrics import Metrics
from refrain.streams.models.embedder import Embedder
from refrain.streams.models.embedding_cache import EmbeddingCache, EmbeddingMetrics
from refrain.streams.settings import Classify
from refrain.streams.shard.fold import fold
from refrain.streams.shard.state import Shard
from refrain.streams.store.memory import MemoryStore

GAP_MS = 100
BATCH = 256
FALSE_SHOWN = 10
TENANT = "default"
MODEL = "model"
INCARNATIONS = Incarnations(requests="evaluated-requests", journal="evaluated-journal")
TAG = decision_tag(INCARNATIONS.requests, INCARNATIONS.journal)


class Query(NamedTuple):
    """Query: a question, its right answer, and the other fields of its line."""

    line: int
    text: str
    answer: str
    tenant: str
    category: str | None


class Served(NamedTuple):
    """Outcome of a query: its decision (None: refused before one), and the query whose answer served it."""

    query: Query
    decision: Decision | None
    source: Query | None

    @property
    def is_false(self) -> bool:
        return self.source is not None and self.source.answer != self.query.answer


def queries(lines: Iterable[bytes]) -> tuple[list[Query], list[BadLine]]:
    """The queries of all good lines, in order, and the bad lines."""
    good: list[Query] = []
    bad: list[BadLine] = []
    for number, row in rows(lines, bad):
        try:
            good.append(_query(number, row))
        except Unreadable as error:
            bad.append(BadLine(number, str(error)))
    return good, bad


def default_policy(asked: Sequence[Query], category: CategoryPolicy) -> Policy:
    """One category for each that is named, and one for the rest: all as given, with room for everything."""
    room = max(1, len(asked))
    roomy = category.model_copy(update={"quota": Quota(cap=room)})
    names = dict.fromkeys((UNCATEGORISED, *(query.category for query in asked if query.category is not None)))
    limits = Limits(entries_max=max(room, Limits().entries_max))
    return Policy(categories=dict.fromkeys(names, roomy), limits=limits)


def run(
    asked: Sequence[Query],
    policy: Policy,
    embedder: Embedder,
    verifier: ThresholdVerifier | None,
    progress: Callable[[int, int], None],
) -> list[Served]:
    """Replay the queries; returns their outcomes in order. `progress` hears of the queries done and of all."""
    entrance = _entrance(policy, embedder, len(asked))
    stream = _Stream(asked, policy, verifier)
    for start in range(0, len(asked), BATCH):
        batch = asked[start : start + BATCH]
        for record in entrance.process([_request(start + n, query) for n, query in enumerate(batch)]):
            stream.take(record)
        progress(start + len(batch), len(asked))
    return stream.served()


class _Stream:
    """One shard, fed record by record, and what it decided."""

    def __init__(self, asked: Sequence[Query], policy: Policy, verifier: ThresholdVerifier | None) -> None:
        self._numbers = {decision_id(0, number, TAG): number for number in range(len(asked))}
        self._asked = asked
        self._verifier = verifier
        self._shard = Shard(0, 1, INCARNATIONS.journal, MemoryStore())
        self._decisions: dict[str, Decision] = {}
        self._kept: dict[str, Query] = {}
        """By entry id, the query whose answer an entry holds."""
        self._fold(PolicySet(version=0, policy=policy).encode())

    def take(self, outgoing: Outgoing) -> None:
        """Fold what classify sends to the journal, and all that follows from it, until nothing follows."""
        if outgoing.topic != "journal":
            return
        waiting = deque(self._fold(outgoing.value or b""))
        while waiting:
            waiting += self._follow(waiting.popleft())

    def served(self) -> list[Served]:
        """Outcomes of the queries, in order."""
        return [self._outcome(number, query) for number, query in enumerate(self._asked)]

    def _outcome(self, number: int, query: Query) -> Served:
        decision = self._decisions.get(decision_id(0, number, TAG))
        hit = decision is not None and (decision.outcome is Outcome.HIT or decision.reason is Reason.OBSERVED)
        source = self._kept[decision.entry_id] if decision is not None and hit and decision.entry_id else None
        return Served(query, decision, source)

    def _follow(self, effect: Outgoing) -> list[Outgoing]:
        if effect.topic == "forwards":
            return self._answer(Forward.decode(effect.value or b""))
        if effect.topic == "doubts":
            return self._verify(DoubtRaised.decode(effect.value or b""))
        return []

    def _answer(self, forward: Forward) -> list[Outgoing]:
        if not isinstance(decode_route(forward.route, forward.forward_id), ShardRoute):
            return []
        query = self._asked[self._numbers[forward.forward_id]]
        entry = wire_id(0, self._shard.next_offset, INCARNATIONS.journal)
        self._kept[entry] = query
        return self._fold(Answered(forward_id=forward.forward_id, body=Sealed(data=_completion(query.answer))).encode())

    def _verify(self, doubt: DoubtRaised) -> list[Outgoing]:
        """Answer a verification; without a verifier with no score, which counts as a refusal."""
        score, identity = None, "none"
        if self._verifier is not None:
            verifier = self._verifier.verifier
            (score,), identity = verifier.scores([(doubt.question.data, doubt.cached.data)]), verifier.identity
        return self._fold(Verified(id=doubt.id, entry=doubt.entry, score=score, verifier=identity).encode())

    def _fold(self, value: bytes) -> list[Outgoing]:
        time_ms = (len(self._decisions) + 1) * GAP_MS
        folded = fold(self._shard, Record("journal", 0, self._shard.next_offset, time_ms, None, value))
        self._decisions |= {decision.id: decision for decision in folded.decisions}
        return folded.effects


def report(found: Sequence[Served]) -> dict[str, Any]:
    """Hit rate, precision and false hits in all and by category, and the first false hits, for JSON."""
    repeats = _repeats([each.query for each in found])
    categories = sorted({_category(each) for each in found})
    return {
        "requests": len(found),
        **_shares(found, repeats),
        "by_category": {
            name: _shares(
                [each for each in found if _category(each) == name],
                [again for each, again in zip(found, repeats, strict=True) if _category(each) == name],
            )
            for name in categories
        },
        "reasons": dict(Counter(_reason(each) for each in found).most_common()),
        "first_false_hits": [_false(each) for each in found if each.is_false][:FALSE_SHOWN],
    }


def _shares(found: Sequence[Served], repeats: Sequence[bool]) -> dict[str, Any]:
    hits = sum(each.source is not None for each in found)
    false = sum(each.is_false for each in found)
    again = sum(repeats)
    found_again = sum(
        each.source is not None and not each.is_false for each, is_again in zip(found, repeats, strict=True) if is_again
    )
    return {
        "hit_rate": share(hits, len(found)).to_json(),
        "precision": share(hits - false, hits).to_json(),
        "false_hits": share(false, len(found)).to_json(),
        "answered_before": share(found_again, again).to_json(),
    }


def _repeats(asked: Sequence[Query]) -> list[bool]:
    """Repeats: of each query, whether its tenant got its answer before: the hits that a perfect cache could give."""
    seen: set[tuple[str, str]] = set()
    out = []
    for query in asked:
        out.append((query.tenant, query.answer) in seen)
        seen.add((query.tenant, query.answer))
    return out


def _category(each: Served) -> str:
    named = each.query.category if each.decision is None else each.decision.category
    return named or "-"


def _reason(each: Served) -> str:
    return "refused" if each.decision is None else f"{each.decision.outcome}: {each.decision.reason}"


def _false(each: Served) -> dict[str, Any]:
    assert each.source is not None, "a false hit was served from somewhere"
    return {
        "line": each.query.line,
        "question": each.query.text,
        "cached_line": each.source.line,
        "cached_question": each.source.text,
        "similarity": None if each.decision is None else each.decision.similarity,
        "category": _category(each),
    }


def _query(number: int, row: Row) -> Query:
    text = question_in(row, "question" if "question" in row else "text")
    answer = checked_text(text_of_value(value_of(row, "answer")), "answer")
    query = Query(number, text, answer, row.get("tenant") or TENANT, row.get("category"))
    try:
        _asking(query)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Unreadable(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from error
    return query


def _asking(query: Query) -> Request:
    body = {"model": MODEL, "messages": [{"role": "user", "content": query.text}]}
    return Request(tenant=query.tenant, category=query.category, body=body)


def _request(number: int, query: Query) -> Record:
    return Record("requests", 0, number, (number + 1) * GAP_MS, None, _asking(query).encode())


def _completion(answer: str) -> str:
    message = {"role": "assistant", "content": answer}
    return json.dumps({"model": MODEL, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})


def _entrance(policy: Policy, embedder: Embedder, remembered: int) -> ClassifyStep:
    metrics = Metrics()
    in_force = PolicyInForce(version=0, who="evaluate", at_ms=0, policy=policy)
    nobody = ReplyTopics("", (), lambda topic: None, lambda: 0)
    remembering = EmbeddingCache(embedder, remembered, EmbeddingMetrics(metrics))
    entrance = ClassifyStep(Classify(), INCARNATIONS, remembering, nobody, metrics)
    entrance.follow(in_force)
    return entrance
