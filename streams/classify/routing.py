"""Routes a question to its category.

Rules into `never` categories win over everything; then the category that the client names; then the policy's other
rules in their order; then the trained classifier where there is one, else the nearest example of the policy's
categories; else `uncategorised`.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from refrain.schemas.control import PolicyInForce
from refrain.schemas.journal import Seen
from refrain.schemas.policy import UNCATEGORISED, Cacheable, CategoryPolicy, Policy
from refrain.schemas.policy_rules import Match
from refrain.schemas.requests import Request
from refrain.streams.linear_pattern import LinearPattern, linear_or_none, pattern_flaws
from refrain.streams.messaging.privacy import has_uncacheable, is_uncacheable
from refrain.streams.models.category_classifier import CategoryClassifier
from refrain.streams.vectors import Ints, cosine, squared_norm

logger = logging.getLogger(__name__)

DEFAULT_TENANT: str = Request.model_fields["tenant"].default
Embed = Callable[[Sequence[str]], list[Ints | None]]


class RoutingInput(NamedTuple):
    """The input of routing: what rules and examples are matched with."""

    tenant: str
    model: str
    tags: tuple[str, ...]
    category: str | None
    """What the client named."""
    question: str
    body: Mapping[str, Any]


class CategoryTerms(NamedTuple):
    """The terms of a category that the policy defines."""

    policy: CategoryPolicy
    seen: Seen
    """What is sent to the shard about the policy."""


class CategoryMatch(NamedTuple):
    """The category matched for a question. `terms` is None when the policy does not define it: bypass the cache."""

    category: str
    classifier: str
    """What chose the category, and by which version of the policy."""
    terms: CategoryTerms | None

    @property
    def never(self) -> bool:
        return self.terms is not None and self.terms.policy.cache is Cacheable.NEVER


class _Rule(NamedTuple):
    number: int
    category: str
    when: Match
    pattern: LinearPattern | None
    taken: bool
    """Whether the policy's expression can be matched at all; one that cannot is met by every question."""


class Router:
    """Routes by one policy: its patterns are compiled. Its examples are learned by `learn`.

    Until then every question that only its meaning can route is one of which nothing is known.

    An expression that cannot be matched in linear time, of a policy that was set by an older version, errs on the safe
    side: every question meets it in a rule into a `never` category, and none in another.

    The `trained` classifier takes the place of the examples, but for those of `never` categories.
    """

    def __init__(self, in_force: PolicyInForce, embedder: str, trained: CategoryClassifier | None = None) -> None:
        policy = self.policy = in_force.policy
        self.version = in_force.version
        for flaw in pattern_flaws(policy):
            place = ".".join(map(str, flaw.place))
            logger.error(
                "policy %d: %s cannot be matched: %s; apply a policy without it", self.version, place, flaw.why
            )
        rules = [_rule_of(number, policy) for number in range(len(policy.rules))]
        self._never = [rule for rule in rules if is_uncacheable(policy, rule.category)]
        self._others = [rule for rule in rules if rule.taken and not is_uncacheable(policy, rule.category)]
        self._terms = {name: CategoryTerms(of, _seen_terms(self.version, of)) for name, of in policy.categories.items()}
        self._examples = Examples(policy)
        self._by_example = f"examples:{hashlib.sha256(embedder.encode()).hexdigest()[:12]}@v{self.version}"
        self._trained = trained
        self._by_training = "" if trained is None else f"trained:{trained.version}@v{self.version}"
        learned = () if trained is None else trained.names
        self.has_never = has_uncacheable(policy)
        """Whether the policy has a `never` category at all."""
        self._never_by_training = any(is_uncacheable(policy, name) for name in learned)
        self._never_names = _names_of(self._never, policy)
        self._never_by_default = any(rule.when.tenant == DEFAULT_TENANT for rule in self._never)

    @property
    def never_by_meaning(self) -> bool:
        """Whether there is a `never` category that only the meaning of a question tells."""
        return self._examples.never or self._never_by_training

    @property
    def awaits_examples(self) -> bool:
        """Whether the policy has examples that are not learned."""
        return self._examples.awaited

    def learn(self, embed: Embed) -> None:
        """Learn the examples by their vectors of record, in one call. Raises ModelUnavailable."""
        self._examples.learn(embed)

    def match(self, request: RoutingInput) -> CategoryMatch | None:
        """Match by rule or by the category that the client names; None when only the question's meaning can tell."""
        text = all_text(request.body) if any(rule.pattern for rule in self._never) else ""
        for rule in self._never:
            if _matches(rule, request, text):
                return self._by_rule(rule)
        if request.category is not None:
            return self._match_of(request.category, f"request@v{self.version}")
        for rule in self._others:
            if _matches(rule, request, request.question):
                return self._by_rule(rule)
        if self._examples or self._trained is not None:
            return None
        return self._match_of(UNCATEGORISED, f"none@v{self.version}")

    def match_by_meaning(self, vector: Ints | None) -> CategoryMatch:
        """Match by the trained classifier or the nearest example; `uncategorised` when neither knows one.

        Without a vector nothing can tell; where a `never` category might have matched, the question bypasses the cache.
        """
        by = self._by_example if self._trained is None else self._by_training
        if vector is None or self._examples.awaited:
            return (
                CategoryMatch(UNCATEGORISED, by, None) if self.never_by_meaning else self._match_of(UNCATEGORISED, by)
            )
        category = self._examples.nearest(vector, self.policy.example_similarity) or UNCATEGORISED
        if self._trained is None or is_uncacheable(self.policy, category):
            return self._match_of(category, self._by_example)
        return self._match_of(self._classify(self._trained, vector), by)

    def _classify(self, trained: CategoryClassifier, vector: Ints) -> str:
        """The category by the classifier. A `never` category needs no certainty: in doubt, a question is not stored."""
        found = trained.classify(vector)
        if is_uncacheable(self.policy, found.likeliest):
            return found.likeliest
        category = found.category or UNCATEGORISED
        return category if category in self._terms else UNCATEGORISED

    def may_be_uncacheable(self, request: RoutingInput) -> bool:
        """Whether a question must be taken for one of a `never` category, as far as can be told without a model."""
        match = self.match(request)
        if match is None:
            return self.never_by_meaning and request.question.strip() != ""
        return match.never or match.terms is None

    def looks_uncacheable(self, text: str) -> bool:
        """Whether text that could not be read as a request looks like `never` traffic.

        A rule's pattern is in it, or a name of a rule or category as a word; or a rule is of the tenant that requests
        have which name none.
        """
        if self._never_by_default or self._never_names.search(text) is not None:
            return True
        return any(not rule.taken or (rule.pattern is not None and rule.pattern.is_in(text)) for rule in self._never)

    def _by_rule(self, rule: _Rule) -> CategoryMatch:
        return self._match_of(rule.category, f"rule:{rule.number}@v{self.version}")

    def _match_of(self, category: str, classifier: str) -> CategoryMatch:
        return CategoryMatch(category, classifier, self._terms.get(category))


def learned_router(
    in_force: PolicyInForce, embed: Embed, embedder: str, trained: CategoryClassifier | None = None
) -> Router:
    """A router that has learned its examples. Raises ModelUnavailable."""
    router = Router(in_force, embedder, trained)
    router.learn(embed)
    return router


class Examples:
    """The examples of a policy as vectors of record. Ties go to `never` categories, then to the earlier example."""

    never: bool
    """Whether one is of a `never` category, as far as is known."""

    def __init__(self, policy: Policy) -> None:
        by_never = sorted(policy.categories, key=lambda name: not is_uncacheable(policy, name))
        self._named = [(name, text) for name in by_never for text in policy.categories[name].examples]
        self._categories: list[str] = []
        self._of_never = frozenset(name for name in by_never if is_uncacheable(policy, name))
        self.awaited = bool(self._named)
        """Whether there are examples that are not learned."""
        self.never = any(name in self._of_never for name, _ in self._named)

    def learn(self, embed: Embed) -> None:
        """Learn the examples by what `embed` gives. Raises what it raises."""
        vectors = embed([text for _, text in self._named]) if self._named else []
        kept = [(name, vector) for (name, _), vector in zip(self._named, vectors, strict=True) if vector is not None]
        self._categories = [name for name, _ in kept]
        self._norms = [squared_norm(vector) for _, vector in kept]
        # Sums of products of 16-bit integers are exact in float64, in any order and on any machine.
        self._rows: npt.NDArray[np.float64] = np.array([vector for _, vector in kept], dtype=np.float64)
        self._lengths = np.sqrt(np.array(self._norms, dtype=np.float64))
        self.never = any(name in self._of_never for name in self._categories)
        self.awaited = False

    def __len__(self) -> int:
        """How many there are, those that are not learned too."""
        return len(self._named) if self.awaited else len(self._categories)

    def nearest(self, vector: Ints, similarity_min: float) -> str | None:
        """The category of the most similar example, None when it is less similar than `similarity_min`."""
        if not self._categories:
            return None
        dots = self._rows @ vector.astype(np.float64)
        best = int(np.argmax(dots / self._lengths))
        similarity = cosine(int(dots[best]), self._norms[best], squared_norm(vector))
        return self._categories[best] if similarity >= similarity_min else None


def all_text(body: Mapping[str, Any]) -> str:
    """The text of all messages, with what their tool calls say."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        return ""
    return "\n".join(text for message in messages if isinstance(message, dict) for text in _texts_of(message))


def _texts_of(message: Mapping[str, Any]) -> Iterator[str]:
    content = message.get("content")
    if isinstance(content, str):
        yield content
    for part in content if isinstance(content, list) else ():
        text = part.get("text") if isinstance(part, dict) else part
        if isinstance(text, str):
            yield text
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        arguments = function.get("arguments") if isinstance(function, dict) else None
        if isinstance(arguments, str):
            yield arguments


def _rule_of(number: int, policy: Policy) -> _Rule:
    rule = policy.rules[number]
    pattern = None if rule.when.pattern is None else linear_or_none(rule.when.pattern)
    return _Rule(number, rule.category, rule.when, pattern, rule.when.pattern is None or pattern is not None)


def _names_of(rules: Sequence[_Rule], policy: Policy) -> re.Pattern[str]:
    """A pattern of the names of `never` categories, and of what rules into them name, each as a word."""
    named = {name for name in policy.categories if is_uncacheable(policy, name)}
    for rule in rules:
        named |= {name for name in (rule.when.tenant, rule.when.model, rule.when.tag) if name}
    words = "|".join(map(re.escape, sorted(named)))
    return re.compile(rf"(?<![\w.-])(?:{words})(?![\w-])" if words else r"(?!)")


def _matches(rule: _Rule, request: RoutingInput, text: str) -> bool:
    when = rule.when
    return (
        (when.tenant is None or when.tenant == request.tenant)
        and (when.model is None or when.model == request.model)
        and (when.tag is None or when.tag in request.tags)
        and (rule.pattern is None or rule.pattern.is_in(text))
    )


def _seen_terms(version: int, policy: CategoryPolicy) -> Seen:
    return Seen(policy_version=version, cache=policy.cache, threshold=policy.threshold, ttl_ms=policy.ttl_ms)
