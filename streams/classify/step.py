"""Step of classify: each request of a batch is read, matched to its category, and asked of its shard or passed by."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ParamSpec, TypeVar

from refrain.schemas.control import PolicyInForce
from refrain.schemas.decisions import Reason
from refrain.schemas.requests import Request
from refrain.streams.classify.asking import Asking
from refrain.streams.classify.attempts import JOURNAL, Attempts, Passage
from refrain.streams.classify.batch_vectors import BatchVectors
from refrain.streams.classify.framing import frame
from refrain.streams.classify.origins import Incarnations, Origins
from refrain.streams.classify.pace import Pace, PaceMetrics
from refrain.streams.classify.passing_by import PassingBy, early_reason
from refrain.streams.classify.pending import PendingRequest, known_category
from refrain.streams.classify.reading import Reading
from refrain.streams.classify.record_size import bounded
from refrain.streams.classify.rejection import Rejections
from refrain.streams.classify.reply_topic import ReplyTopics
from refrain.streams.classify.routing import CategoryMatch, Router, RoutingInput
from refrain.streams.classify.spans import RequestSpans
from refrain.streams.classify.tenants import BY_REQUEST, Tenants
from refrain.streams.classify.text_sides import Sides, TextSides
from refrain.streams.errors import Refusal
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.messaging.privacy import has_uncacheable
from refrain.streams.messaging.questions import Question
from refrain.streams.messaging.shards import check_kept, journal_made_anew
from refrain.streams.metrics import Metrics
from refrain.streams.models.category_classifier import CategoryClassifier
from refrain.streams.models.embedding_cache import EmbeddingCache
from refrain.streams.runtime.barrier import passes, unforeseen
from refrain.streams.runtime.stateless import Behind, Step
from refrain.streams.settings import Classify
from refrain.streams.traces.interface import OFF, Traces
from refrain.streams.vectors import Ints

P = ParamSpec("P")
T = TypeVar("T")


class ClassifyStep(Step):
    """Requests in; journal records, forwards, error responses and dead letters out.

    The router of a policy is made once, with its examples embedded. `clock` (seconds) tells what embedding costs.
    """

    def __init__(
        self,
        settings: Classify,
        incarnations: Incarnations,
        embedding_cache: EmbeddingCache,
        reply_to: ReplyTopics,
        metrics: Metrics,
        trained: CategoryClassifier | None = None,
        clock: Callable[[], float] = time.perf_counter,
        tenants: Tenants = BY_REQUEST,
        pace: PaceMetrics | None = None,
        traces: Traces = OFF,
    ) -> None:
        self._spans = RequestSpans(traces)
        self._incarnations = incarnations
        self._embedding_cache = embedding_cache
        self._embedder = embedding_cache.embedder
        self._reading = Reading(settings, tenants, reply_to)
        self._rejections = Rejections(settings, reply_to, tenants, metrics)
        self._trained = trained
        self._clock = clock
        self._pace = Pace(settings, PaceMetrics(metrics) if pace is None else pace)
        self._text_sides = TextSides(self._embedder, embedding_cache.capacity, embedding_cache.metrics)
        self._vectors = BatchVectors(embedding_cache, self._text_sides, self._pace, clock)
        self._in_force: PolicyInForce | None = None
        self._router: Router | None = None
        origins = Origins(incarnations)
        self._passing_by = PassingBy(origins, metrics)
        self._asking = Asking(origins, self._embedder.identity, settings.question_chars_max)
        self._attempts = Attempts(incarnations.shards)
        self.recall = self._attempts.recall
        """Call it with what another worker made of requests, before they are processed."""
        self.sending = self._attempts.sending
        """Call it when what `process` made of a batch is about to be sent."""

    def wanted(self, batch_max: int) -> int:
        return self._pace.wanted(batch_max)

    def polled(self, batch: Sequence[Record], behind: Behind, now_ms: int) -> None:
        self._pace.polled(batch, behind(), now_ms)

    def tell(self, record: Record, refusal: Refusal) -> list[Outgoing]:
        return [self._rejections.respond(record, refusal)]

    def sent(self) -> None:
        self._spans.sent()

    def committed(self, offsets: Mapping[int, int]) -> None:
        self._attempts.committed(offsets)

    def in_doubt(self, batch: Sequence[Record]) -> bool:
        return any(map(self._attempts.asked, batch))

    def process(self, batch: Sequence[Record]) -> list[Outgoing]:
        self._attempts.begin()
        self._spans.begin(batch)
        taken = [self._or_reject(record, None, self._take, record) for record in batch]
        taken, new = self._vectors.spare(taken)
        started = self._clock()
        self._spans.mark("embed" if new else "")
        taken, embedded = self._vectors.make(taken, new)
        self._spans.mark("route")
        matched = [
            self._or_reject(item.record, item.parsed, self._match, item, embedded.vectors)
            if isinstance(item, PendingRequest)
            else item
            for item in taken
        ]
        self._spans.mark("")
        self._spans.categorised(matched, known_category)
        wanted = [item.side for item in matched if isinstance(item, PendingRequest) and item.side]
        sides = self._text_sides.make(wanted, embedded.tokens)
        self._pace.embedded(len(new), self._clock() - started, len(batch))
        made = [
            self._or_reject(item.record, item.parsed, self._ask, item, sides)
            if isinstance(item, PendingRequest)
            else item
            for item in matched
        ]
        return self._attempts.addressed(self._spans.carried(made))

    def follow(self, policy: PolicyInForce | None) -> None:
        if policy is self._in_force:
            self._learn_examples()
            return
        check_kept(policy, self._incarnations.journal, self._incarnations.shards)
        self._check_journal(policy)
        if has_uncacheable(None if policy is None else policy.policy):
            # What may be regulated from now on was perhaps not when it was remembered.
            self._embedding_cache.clear()
            self._text_sides.clear()
        self._text_sides.follow(None if policy is None else policy.policy)
        self._router = None if policy is None else Router(policy, self._embedder.identity, self._trained)
        self._in_force = policy
        self._learn_examples()

    def _learn_examples(self) -> None:
        """Have the examples of the policy embedded, unless they are; while the model is away, later."""
        router = self._router
        if router is not None and router.awaits_examples:
            self._vectors.unless_away(partial(router.learn, self._embedding_cache.vectors))

    def _check_journal(self, policy: PolicyInForce | None) -> None:
        """Check that a policy which comes into force was given to this journal, as far as it tells.

        Raises ClusterFailed where the journal was made since. What was in force before the start may be older than it.
        """
        before, given = self._in_force, None if policy is None else policy.journal
        if before is None or given is None or given == before.journal:
            return
        if given.topic_id != self._incarnations.journal:
            raise journal_made_anew()

    def _or_reject(
        self,
        record: Record,
        parsed: Mapping[str, Any] | None,
        work: Callable[P, T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T | list[Outgoing]:
        """The result of `work`, or the rejection of a record that raises; `parsed` is its JSON as far as it is read."""
        try:
            return work(*args, **kwargs)
        except Exception as error:
            if passes(error):
                raise
            refusal = error if isinstance(error, Refusal) else unforeseen(error)
            return self._rejections.reject(record, refusal, self._router, parsed)

    def _take(self, record: Record) -> PendingRequest | list[Outgoing]:
        """Parse one request, once, and read it. Of one that its shard has already, nothing comes."""
        if self._attempts.left_to_shard(record):
            return []
        parsed = self._reading.parsed(record)
        return self._or_reject(record, parsed, self._read, record, parsed)

    def _read(self, record: Record, parsed: dict[str, Any]) -> PendingRequest | list[Outgoing]:
        """Check one request, and match its category as far as no vector is needed."""
        item = self._reading.request(record, parsed, None if self._router is None else self._router.policy.categories)
        before = self._attempts.passage(record)
        if before is not None:
            return self._pass(item, before)
        question = item.question
        match = self._router.match(_routing_input(item.request, question)) if self._router else None
        item = item._replace(match=match)
        reason = early_reason(item, has_policy=self._router is not None)
        if reason is not None:
            return self._bypass(item, match, reason)
        wanted = question.comparable or (match is None and question.text.strip() != "")
        return item._replace(framed=frame(question.text, self._embedder)) if wanted else item

    def _bypass(self, item: PendingRequest, match: CategoryMatch | None, reason: Reason) -> list[Outgoing]:
        category = None if match is None else match.category
        return self._pass(item, Passage(reason, category, None if self._in_force is None else self._in_force.version))

    def _pass(self, item: PendingRequest, passage: Passage) -> list[Outgoing]:
        """The outcome of a request that passes by the cache; its shard is the one that may have the request."""
        out = self._passing_by.records_of(item, passage, self._in_force)
        return [self._attempts.make(item.record, each, passage) if each.topic == JOURNAL else each for each in out]

    def _match(self, item: PendingRequest, vectors: Mapping[str, Ints | None]) -> PendingRequest | list[Outgoing]:
        """Match the category by now at the latest; a question whose answer is not kept bypasses the cache."""
        assert self._router is not None, "without a policy nothing is left open"
        vector = None if item.text is None else vectors[item.text]
        match = item.match or self._router.match_by_meaning(vector)
        if match.never or match.terms is None:
            if item.text is not None and match.never:
                self._embedding_cache.forget([item.text])
            unknown = Reason.OVERLOAD if item.overload else Reason.CATEGORY_UNKNOWN
            return self._bypass(item, match, Reason.CATEGORY_NEVER if match.never else unknown)
        vector = vector if item.question.comparable else None
        side = None if vector is None else self._text_sides.wanted(match.terms.policy, item.text)
        return item._replace(match=match, vector=vector, side=side)

    def _ask(self, item: PendingRequest, sides: Sides) -> list[Outgoing]:
        """Ask the shard. Where another one may have the request already, the request bypasses the cache there."""
        asked = self._asking.record_of(item, None if item.side is None else sides[item.side])
        if self._attempts.elsewhere(item.record, asked.key or b"") is not None:
            return self._bypass(item, item.match, Reason.READ_AGAIN)
        bounded([asked])
        return [self._attempts.make(item.record, asked, None)]


def _routing_input(request: Request, question: Question) -> RoutingInput:
    return RoutingInput(
        request.tenant, request.body["model"], request.tags, request.category, question.text, request.body
    )
