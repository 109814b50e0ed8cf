"""Step of classify: each request of a batch is read, matched to its category, and asked of its shard or passed by."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, ParamSpec, TypeVar

from refrain.schemas.base import Sealed, TextSide
from refrain.schemas.control import PolicyInForce
from refrain.schemas.decisions import Reason
from refrain.schemas.journal import Asked, Origin
from refrain.schemas.policy import Limits
from refrain.schemas.requests import CacheMode, Request
from refrain.schemas.topics import JOURNAL_BYTES_MAX
from refrain.streams.classify.attempts import JOURNAL, Attempts, Passage
from refrain.streams.classify.batch_vectors import BatchVectors
from refrain.streams.classify.bypass import Bypass
from refrain.streams.classify.dependence import dependence_of
from refrain.streams.classify.framing import frame
from refrain.streams.classify.identity import Question, check_length, identify, question_of
from refrain.streams.classify.pace import Pace, PaceMetrics
from refrain.streams.classify.parsing import parse, request_of
from refrain.streams.classify.pending import PendingRequest, known_category
from refrain.streams.classify.rejection import NAME, Rejections, check_carried
from refrain.streams.classify.reply_topic import UNKNOWN, ReplyTopics
from refrain.streams.classify.routing import CategoryMatch, Router, RoutingInput
from refrain.streams.classify.spans import RequestSpans
from refrain.streams.classify.tenants import BY_REQUEST, Tenants, returned
from refrain.streams.classify.text_sides import Sides, TextSides
from refrain.streams.errors import Refusal, RefusalCode
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.messaging.forwards import unstreamed
from refrain.streams.messaging.ids import decision_id, decision_tag
from refrain.streams.messaging.privacy import has_uncacheable
from refrain.streams.messaging.progress import check_progress
from refrain.streams.messaging.responses import NOT_IN_TIME, reply_of
from refrain.streams.messaging.shards import check_kept, journal_made_anew, shard_key
from refrain.streams.messaging.warnings import warned, warnings_of
from refrain.streams.metrics import Metrics
from refrain.streams.models.category_classifier import CategoryClassifier
from refrain.streams.models.embedding_cache import EmbeddingCache
from refrain.streams.runtime.barrier import passes, unforeseen
from refrain.streams.runtime.stateless import Behind, Step
from refrain.streams.settings import Classify
from refrain.streams.traces.interface import OFF, Traces
from refrain.streams.vectors import Ints, encode

OUT_BYTES_MAX = JOURNAL_BYTES_MAX
"""The largest record to `journal` or `forwards`: text is escaped twice there. Below the topics' own limit."""

_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

P = ParamSpec("P")
T = TypeVar("T")


class Incarnations(NamedTuple):
    """The topic ids of `requests` and `journal`: no other incarnation of them gives the same decision ids."""

    requests: str
    journal: str


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
        progress_partitions: int = UNKNOWN,
        shards: int = 1,
        pace: PaceMetrics | None = None,
        traces: Traces = OFF,
    ) -> None:
        self._settings = settings
        self._spans = RequestSpans(traces)
        self._progress_partitions = progress_partitions
        self._tenants = tenants
        self._incarnations = incarnations
        self._tag = decision_tag(incarnations.requests, incarnations.journal)
        self._embedding_cache = embedding_cache
        self._embedder = embedding_cache.embedder
        self._reply_to = reply_to
        self._rejections = Rejections(settings, reply_to, tenants, metrics)
        self._metrics = metrics
        self._trained = trained
        self._clock = clock
        self._pace = Pace(settings, PaceMetrics(metrics) if pace is None else pace)
        self._text_sides = TextSides(self._embedder, embedding_cache.capacity, embedding_cache.metrics)
        self._vectors = BatchVectors(embedding_cache, self._text_sides, self._pace, clock)
        self._in_force: PolicyInForce | None = None
        self._router: Router | None = None
        self._shards = shards
        self._attempts = Attempts(shards)
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
            return
        check_kept(policy, self._incarnations.journal, self._shards)
        self._check_journal(policy)
        if has_uncacheable(None if policy is None else policy.policy):
            # What may be regulated from now on was perhaps not when it was remembered.
            self._embedding_cache.clear()
            self._text_sides.clear()
        self._text_sides.follow(None if policy is None else policy.policy)
        embed, identity = self._embedding_cache.vectors, self._embedder.identity
        self._router = None if policy is None else Router(policy, embed, identity, self._trained)
        self._in_force = policy

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
        settings = self._settings
        parsed = parse(record.value, bytes_max=settings.request_bytes_max, depth_max=settings.depth_max)
        return self._or_reject(record, parsed, self._read, record, parsed)

    def _read(self, record: Record, parsed: dict[str, Any]) -> PendingRequest | list[Outgoing]:
        """Check one request, and match its category as far as no vector is needed."""
        settings = self._settings
        check_carried(record, settings.header_bytes_max)
        request = self._tenants.bind(record, request_of(parsed))
        question = question_of(request.body)
        check_length(question, settings.question_chars_max)
        target = self._reply_to.target(record.headers, record.key)
        check_progress(record.headers, self._progress_partitions)
        known = None if self._router is None else self._router.policy.categories
        headers = warned(returned(record.headers), warnings_of(parsed, request.category, known))
        reply = reply_of(target.topic, target.partition, record.key, headers)
        before = self._attempts.passage(record)
        if before is not None:
            return self._pass(PendingRequest(record, parsed, request, reply, question, None, None), before)
        match = self._router.match(_routing_input(request, question)) if self._router else None
        item = PendingRequest(record, parsed, request, reply, question, match, None)
        reason = self._bypass_reason(item)
        if reason is not None:
            return self._bypass(item, match, reason)
        wanted = question.comparable or (match is None and question.text.strip() != "")
        return item._replace(framed=frame(question.text, self._embedder)) if wanted else item

    def _bypass_reason(self, item: PendingRequest) -> Reason | None:
        """The reason to bypass the cache, as far as it is known without a vector."""
        request, match = item.request, item.match
        if request.deadline_at_ms is not None and request.deadline_at_ms <= item.record.timestamp_ms:
            return Reason.DEADLINE_PASSED
        if match is not None and match.never:
            return Reason.CATEGORY_NEVER
        if request.cache is CacheMode.BYPASS:
            return Reason.BYPASS_ASKED
        if self._router is None:
            return Reason.NO_POLICY
        return Reason.CATEGORY_UNKNOWN if match is not None and match.terms is None else None

    def _bypass(self, item: PendingRequest, match: CategoryMatch | None, reason: Reason) -> list[Outgoing]:
        category = None if match is None else match.category
        return self._pass(item, Passage(reason, category, None if self._in_force is None else self._in_force.version))

    def _pass(self, item: PendingRequest, passage: Passage) -> list[Outgoing]:
        """The outcome of a request that passes by the cache; its shard is the one that may have the request."""
        out = self._passed(item, passage)
        return [self._attempts.make(item.record, each, passage) if each.topic == JOURNAL else each for each in out]

    def _passed(self, item: PendingRequest, passage: Passage) -> list[Outgoing]:
        reason = passage.reason
        bypass = Bypass(
            id=self._id(item.record),
            origin=self._origin(item.record),
            request=item.request,
            reply=item.reply,
            asked_at_ms=item.record.timestamp_ms,
            category=passage.category,
            reason=reason,
            policy_version=passage.policy_version,
        )
        if reason is Reason.DEADLINE_PASSED:
            self._metrics.refused.labels(NAME, RefusalCode.DEADLINE.value).inc()
            return bypass.refuse(RefusalCode.DEADLINE, "the deadline was over when the request arrived")
        if item.request.cache is CacheMode.ONLY:
            not_kept = "answers to this question are not kept: ask without `only`"
            in_time = reason not in (Reason.OVERLOAD, Reason.READ_AGAIN)
            return bypass.refuse(RefusalCode.NOT_CACHED, not_kept if in_time else NOT_IN_TIME)
        limits = Limits() if self._in_force is None else self._in_force.policy.limits
        return _bounded(bypass.forward(limits))

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
        asked = self._asked(item, None if item.side is None else sides[item.side])
        if self._attempts.elsewhere(item.record, asked.key or b"") is not None:
            return self._bypass(item, item.match, Reason.READ_AGAIN)
        _bounded([asked])
        return [self._attempts.make(item.record, asked, None)]

    def _asked(self, item: PendingRequest, side: TextSide | None) -> Outgoing:
        match = item.match
        assert match is not None, "a question is asked once its category is known"
        assert match.terms is not None, "what has no terms bypasses the cache"
        request, policy, vector = item.request, match.terms.policy, item.vector
        text = item.question.text if request.body["messages"][-1].get("role") == "user" else ""
        depends = dependence_of(text, request.body, request.vary, policy.leave_out)
        identity = identify(
            request.body,
            request.vary,
            request.sources,
            policy,
            chars_max=self._settings.question_chars_max,
            question=item.question,
            framed=item.framed,
            depends=depends,
        )
        apart = policy.scope == "tenant" or (depends.personal and policy.personal != "allow")
        space = request.tenant if apart else "*"
        asked = Asked(
            id=self._id(item.record),
            origin=self._origin(item.record),
            request_id=request.request_id,
            tenant=request.tenant,
            space=space,
            category=match.category,
            classifier=match.classifier,
            mode=request.cache,
            model=request.body["model"],
            embedder=self._embedder.identity,
            context=identity.context,
            fields=identity.fields,
            text_digest=identity.text_digest,
            vector=None if vector is None else encode(vector),
            question=Sealed(data=identity.question),
            text_side=side,
            body=Sealed(data=_json(unstreamed(request.body))),
            tags=request.tags,
            sources=request.sources,
            deadline_at_ms=request.deadline_at_ms,
            reply=item.reply,
            seen=match.terms.seen,
            depends=depends,
            overload=item.overload,
        )
        key = shard_key(space, match.category, identity.context, policy.slices)
        return Outgoing("journal", key, asked.encode())

    def _id(self, record: Record) -> str:
        return decision_id(record.partition, record.offset, self._tag)

    def _origin(self, record: Record) -> Origin:
        return Origin(
            topic=record.topic,
            topic_id=self._incarnations.requests,
            partition=record.partition,
            offset=record.offset,
        )


def _routing_input(request: Request, question: Question) -> RoutingInput:
    return RoutingInput(
        request.tenant, request.body["model"], request.tags, request.category, question.text, request.body
    )


def _bounded(out: list[Outgoing]) -> list[Outgoing]:
    """Check the size of the records. Raises Refusal(TOO_LARGE) when one is larger than its topic takes."""
    for record in out:
        size = len(record.key or b"") + len(record.value or b"")
        if size > OUT_BYTES_MAX:
            raise Refusal(
                RefusalCode.TOO_LARGE,
                f"with its escapes the request takes {size} bytes, {OUT_BYTES_MAX} are taken: shorten it",
            )
    return out
