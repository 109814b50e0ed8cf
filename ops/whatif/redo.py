"""Classifies recorded questions again, by another policy: category, whose entries may serve, context and shard.

A question is left as classify made it wherever the policies agree on what classify looks at. Else its category comes
from the rules, and from its recorded vector; its context from its body. What of a context is not in the record (the
request's `vary`, what lies beyond the embedder's window) is taken by its recorded digest: equal contexts stay equal.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from refrain.schemas.base import Dependence
from refrain.schemas.control import PolicyInForce
from refrain.schemas.decisions import Reason
from refrain.schemas.journal import Asked, Passed, Seen
from refrain.schemas.policy import CategoryPolicy, Policy
from refrain.schemas.responses import Outcome
from refrain.streams.classify.dependence.asker import named
from refrain.streams.classify.framing import FramedQuestion
from refrain.streams.classify.identity import Identity, identify
from refrain.streams.classify.routing import CategoryMatch, CategoryTerms, Embed, Router, RoutingInput, learned_router
from refrain.streams.errors import Refusal
from refrain.streams.kafka.partitioner import partition_of
from refrain.streams.messaging.privacy import is_uncacheable
from refrain.streams.messaging.questions import Question, question_of
from refrain.streams.models.category_classifier import CategoryClassifier
from refrain.streams.vectors import Ints, decode

CHARS_MAX = 2**31
BY_CLIENT = "request@"
"""What `classifier` begins with where the client named the category."""
BY_NOTHING = "none@"


class Meaning(NamedTuple):
    """What routes by meaning: the embedder of the record, and the trained classifier of the settings if any."""

    embedder: str
    embed: Embed
    trained: CategoryClassifier | None = None


class Redone(NamedTuple):
    """A question as the other policy would have it, and its shard."""

    event: Asked | Passed
    partition: int


def routes_alike(left: Policy, right: Policy) -> bool:
    """Whether both policies route every question to the same category."""
    return _routing(left) == _routing(right)


def routes_by_meaning(policy: Policy) -> bool:
    """Whether the policy has examples to route by."""
    return any(each.examples for each in policy.categories.values())


class Redo:
    """Classifies again by one policy."""

    def __init__(
        self, policy: Policy, recorded: Mapping[int, Policy], shards: int, meaning: Meaning | None = None
    ) -> None:
        """`recorded` are the policies that were in force, by version. Without `meaning` only rules route."""
        self._policy = policy
        self._recorded = recorded
        self._shards = shards
        self._meaning = meaning
        self._alike = {version: routes_alike(policy, each) for version, each in recorded.items()}
        self._same_context = all(_contexts_alike(policy, each) for each in recorded.values())
        self._router = self._made(meaning)
        self._terms = {name: _terms_of(each) for name, each in policy.categories.items()}
        self.counts: Counter[str] = Counter()
        """`category` and `context`: done again; `category_kept` and `context_kept`: could not be, and stay; `shard`:
        went to another; `side`: no text side for the trained head."""

    @property
    def moves(self) -> bool:
        """Whether questions may come to shards that they were not in."""
        return not (self._same_context and all(self._alike.values()) and self._same_shards())

    def redo(self, asked: Asked, partition: int) -> Redone:
        """The question as this policy would have had it, where it stood in the journal's `partition`.

        Its `seen` names the policy version 0.
        """
        match = self._match(asked)
        if match.terms is None or match.never:
            unknown = Reason.CATEGORY_UNKNOWN if match.terms is None else Reason.CATEGORY_NEVER
            return self._passed(asked, match, unknown)
        policy = match.terms.policy
        body = json.loads(asked.body.data) if not self._same_context else None
        depends = asked.depends if body is None else _depends(asked, body, policy)
        context, fields, text_digest = self._context(asked, policy, body, depends)
        apart = policy.scope == "tenant" or (depends is not None and depends.personal and policy.personal != "allow")
        made = asked.model_copy(
            update={
                "category": match.category,
                "classifier": match.classifier,
                "space": asked.tenant if apart else "*",
                "context": context,
                "fields": fields,
                "text_digest": text_digest,
                "depends": depends,
                "text_side": self._side(asked, policy),
                "seen": match.terms.seen,
            }
        )
        return Redone(made, self._shard(asked, made, policy, partition))

    def _made(self, meaning: Meaning | None) -> Router:
        embed, identity = (_nothing, "-") if meaning is None else (meaning.embed, meaning.embedder)
        trained = None if meaning is None else meaning.trained
        return learned_router(
            PolicyInForce(version=0, who="whatif", at_ms=0, policy=self._policy), embed, identity, trained
        )

    def _match(self, asked: Asked) -> CategoryMatch:
        if self._alike.get(asked.seen.policy_version, False):
            return self._of(asked.category, asked.classifier)
        self.counts["category"] += 1
        by_client = asked.classifier.startswith(BY_CLIENT)
        match = self._router.match(_named(asked, asked.category if by_client else None))
        if match is not None and not (match.classifier.startswith(BY_NOTHING) and self._by_meaning()):
            return match
        meaning = self._meaning
        if meaning is None or meaning.embedder != asked.embedder or (asked.vector is None and not asked.overload):
            # A question that may only match exactly has no vector in the record, though it was routed by one.
            self.counts["category_kept"] += 1
            return self._of(asked.category, asked.classifier)
        return self._router.match_by_meaning(None if asked.vector is None else decode(asked.vector))

    def _of(self, category: str, classifier: str) -> CategoryMatch:
        """The category under this policy."""
        return CategoryMatch(category, classifier, self._terms.get(category))

    def _by_meaning(self) -> bool:
        return routes_by_meaning(self._policy) or (self._meaning is not None and self._meaning.trained is not None)

    def _context(
        self, asked: Asked, policy: CategoryPolicy, body: dict[str, Any] | None, depends: Dependence | None
    ) -> tuple[str, dict[str, str], str]:
        as_was = asked.context, asked.fields, asked.text_digest
        if body is None:
            return as_was
        identity = _identity(asked, policy, body, depends)
        if identity is None or "other" in asked.fields:
            self.counts["context_kept"] += 1
            return as_was
        self.counts["context"] += identity.context != asked.context
        return identity.context, identity.fields, asked.text_digest

    def _side(self, asked: Asked, policy: CategoryPolicy) -> Any:
        if policy.hit_head is None or asked.vector is None:
            return None
        if asked.text_side is not None and asked.text_side.hit_head == policy.hit_head:
            return asked.text_side
        self.counts["side"] += 1
        return None

    def _shard(self, asked: Asked, made: Asked, policy: CategoryPolicy, partition: int) -> int:
        before = self._recorded.get(asked.seen.policy_version)
        were = None if before is None else before.of(asked.category)
        if were is not None and _key(asked, were) == _key(made, policy):
            return partition
        self.counts["shard"] += 1
        return partition_of(_key(made, policy), self._shards)

    def _passed(self, asked: Asked, match: CategoryMatch, reason: Reason) -> Redone:
        passed = Passed(
            id=asked.id,
            origin=asked.origin,
            request_id=asked.request_id,
            tenant=asked.tenant,
            category=match.category,
            model=asked.model,
            reason=reason.value,
            outcome=Outcome.ERROR if asked.mode.value == "only" else Outcome.BYPASS,
        )
        return Redone(passed, partition_of(f"{passed.tenant}/{passed.category or '-'}/0".encode(), self._shards))

    def _same_shards(self) -> bool:
        return all(
            _places(each.categories.get(name)) == _places(of)
            for each in self._recorded.values()
            for name, of in self._policy.categories.items()
        )


def _terms_of(policy: CategoryPolicy) -> CategoryTerms:
    seen = Seen(policy_version=0, cache=policy.cache, threshold=policy.threshold, ttl_ms=policy.ttl_ms)
    return CategoryTerms(policy, seen)


def _routing(policy: Policy) -> tuple[Any, ...]:
    categories = [(name, each.examples, is_uncacheable(policy, name)) for name, each in policy.categories.items()]
    return policy.rules, policy.example_similarity if routes_by_meaning(policy) else None, categories


def _contexts_alike(left: Policy, right: Policy) -> bool:
    """Whether a question's context is the same under both, whatever its category under each."""
    if routes_alike(left, right):
        return all(_parts(of) == _parts(right.categories[name]) for name, of in left.categories.items())
    return len({_parts(of) for policy in (left, right) for of in policy.categories.values()}) <= 1


def _parts(policy: CategoryPolicy) -> tuple[Any, ...]:
    return policy.leave_out, policy.mask, policy.volatile == "allow"


def _places(policy: CategoryPolicy | None) -> tuple[Any, ...] | None:
    return None if policy is None else (policy.scope, policy.slices, policy.personal == "allow")


def _key(asked: Asked, policy: CategoryPolicy) -> bytes:
    """The journal key, as classify makes it."""
    return f"{asked.space}/{asked.category}/{int(asked.context, 16) % policy.slices}".encode()


def _named(asked: Asked, category: str | None) -> RoutingInput:
    body = json.loads(asked.body.data)
    return RoutingInput(asked.tenant, asked.model, asked.tags, category, asked.question.data, body)


def _depends(asked: Asked, body: dict[str, Any], policy: CategoryPolicy) -> Dependence | None:
    if asked.depends is None or not asked.depends.personal:
        return asked.depends
    names = named(body, _vary(asked, body), policy.leave_out)
    return asked.depends.model_copy(update={"named": names})


def _vary(asked: Asked, body: Mapping[str, Any]) -> dict[str, Any]:
    """A stand-in for the request's `vary`, by its digest; empty where it had none."""
    is_field = "vary" in body and "body.vary" not in asked.fields
    return {"digest": asked.fields["vary"]} if "vary" in asked.fields and not is_field else {}


def _framed(asked: Asked) -> FramedQuestion:
    """A stand-in for what of the text the vector does not show, by its digests."""
    unread, hidden = ((asked.fields[name],) if name in asked.fields else () for name in ("unread", "hidden"))
    return FramedQuestion("", asked.fields.get("beyond", ""), unread, hidden)


def _identity(
    asked: Asked, policy: CategoryPolicy, body: dict[str, Any], depends: Dependence | None
) -> Identity | None:
    """The identity of the question under the policy; None where its body gives none."""
    try:
        question: Question = question_of(body)
        return identify(
            body,
            _vary(asked, body),
            asked.sources,
            policy,
            chars_max=CHARS_MAX,
            question=question,
            framed=_framed(asked),
            depends=depends,
        )
    except (Refusal, KeyError, TypeError):
        return None


def _nothing(texts: Any) -> list[Ints | None]:
    return [None for _ in texts]
