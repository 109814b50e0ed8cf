"""Routing: never wins, then the client's word, then rules in order, then examples, else uncategorised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from refrain.schemas.control import PolicyInForce
from refrain.schemas.policy import Cacheable, CategoryPolicy, Policy
from refrain.schemas.policy_rules import Match, Rule
from refrain.streams.classify.routing import Embed, Router, RoutingInput, all_text, learned_router
from refrain.streams.metrics import Metrics
from refrain.streams.models.category_classifier import CategoryClassifier
from refrain.streams.models.embedding_cache import EmbeddingCache, EmbeddingMetrics
from refrain.streams.models.hashing_embedder import HashingEmbedder
from refrain.streams.vectors import Ints, quantise
from tests.streams.models.made_categories import artefact, axis

NEVER = CategoryPolicy(cache=Cacheable.NEVER)
FREE = HashingEmbedder()


def router(policy: Policy, version: int = 12) -> Router:
    in_force = PolicyInForce(version=version, who="test", at_ms=0, policy=policy)
    return learned_router(in_force, EmbeddingCache(FREE, 100, EmbeddingMetrics(Metrics())).vectors, FREE.identity)


def ask(question: str = "What is a list?", **more: Any) -> RoutingInput:
    body = more.pop("body", {"model": "m", "messages": [{"role": "user", "content": question}]})
    given = {"tenant": "default", "model": "m", "tags": (), "category": None, "question": question, "body": body}
    return RoutingInput(**{**given, **more})


def policy(*rules: Rule, **categories: CategoryPolicy) -> Policy:
    return Policy(categories={"code": CategoryPolicy(), "uncategorised": CategoryPolicy(), **categories}, rules=rules)


def rule(category: str, **when: str) -> Rule:
    return Rule(when=Match(**when), category=category)


def chosen(policy: Policy, asked: RoutingInput) -> tuple[str, str]:
    ready = router(policy)
    match = ready.match(asked)
    if match is None:
        match = ready.match_by_meaning(vector(asked.question))
    return match.category, match.classifier


def vector(text: str) -> Ints:
    return quantise(FREE.embed([text])[0])


ORDER = policy(
    rule("code", tenant="default"),
    rule("chat", pattern="list"),
    rule("medical", pattern="(?i)diagnosis"),
    rule("chat", tag="t", model="m"),
    chat=CategoryPolicy(),
    medical=NEVER,
)


@pytest.mark.parametrize(
    ("asked", "category", "classifier"),
    [
        (ask("my Diagnosis"), "medical", "rule:2@v12"),
        (ask("my diagnosis", category="code"), "medical", "rule:2@v12"),
        (ask("my diagnosis", category="unheard"), "medical", "rule:2@v12"),
        (ask(category="chat"), "chat", "request@v12"),
        (ask(), "code", "rule:0@v12"),
        (ask(tenant="t"), "chat", "rule:1@v12"),
        (ask("hello", tenant="t", tags=("s", "t")), "chat", "rule:3@v12"),
        (ask("hello", tenant="t", tags=("t",), model="other"), "uncategorised", "none@v12"),
        (ask("hello", tenant="t"), "uncategorised", "none@v12"),
    ],
)
def test_rules_take_their_turn(asked: RoutingInput, category: str, classifier: str) -> None:
    assert chosen(ORDER, asked) == (category, classifier)


def test_a_category_that_the_policy_does_not_define_has_no_terms() -> None:
    match = router(ORDER).match(ask(category="unheard"))
    assert match is not None
    assert (match.category, match.terms, match.never) == ("unheard", None, False)


def test_a_client_may_name_a_category_that_is_never_kept() -> None:
    match = router(ORDER).match(ask(category="medical"))
    assert match is not None
    assert match.never


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": "my diagnosis is"},
        {"role": "tool", "content": [{"type": "text", "text": "diagnosis: x"}]},
        {"role": "user", "content": ["diagnosis"]},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": '{"a": "diagnosis"}'}}]},
    ],
)
def test_never_patterns_look_into_every_message(message: dict[str, Any]) -> None:
    body = {"model": "m", "messages": [message, {"role": "user", "content": "and now?"}]}
    match = router(ORDER).match(ask("and now?", body=body, tenant="t"))
    assert match is not None
    assert match.category == "medical"


def test_other_patterns_look_at_the_question_alone() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "list"}, {"role": "user", "content": "and now?"}]}
    assert chosen(ORDER, ask("and now?", body=body, tenant="t"))[0] == "uncategorised"


BY_EXAMPLE = policy(
    billing=CategoryPolicy(examples=("How do I pay my invoice?", "Where is my receipt?")),
    medical=CategoryPolicy(cache=Cacheable.NEVER, examples=("Which pills help against fever?",)),
)


@pytest.mark.parametrize(
    ("question", "category"),
    [
        ("how can I pay my invoice", "billing"),
        ("which pills help against a fever?", "medical"),
        ("Who won the match yesterday?", "uncategorised"),
    ],
)
def test_the_nearest_example_decides_last(question: str, category: str) -> None:
    found, classifier = chosen(BY_EXAMPLE, ask(question))
    assert found == category
    assert classifier.startswith("examples:")
    assert classifier.endswith("@v12")


def test_examples_are_embedded_once_in_one_call() -> None:
    calls: list[list[str]] = []

    def embed(texts: Sequence[str]) -> list[Ints | None]:
        calls.append(list(texts))
        return [vector(text) for text in texts]

    ready = learned_router(PolicyInForce(version=1, who="w", at_ms=0, policy=BY_EXAMPLE), embed, "e")
    ready.match_by_meaning(vector("a"))
    ready.match_by_meaning(vector("b"))
    assert [len(call) for call in calls] == [3]


def test_of_two_equal_examples_the_one_that_is_never_kept_wins() -> None:
    same = policy(
        a=CategoryPolicy(examples=("the same words",)),
        z=CategoryPolicy(cache=Cacheable.NEVER, examples=("the same words",)),
    )
    assert router(same).match_by_meaning(vector("the same words")).category == "z"


def test_without_a_vector_a_question_that_might_be_never_is_passed_on() -> None:
    assert router(BY_EXAMPLE).match_by_meaning(None).terms is None
    harmless = policy(billing=CategoryPolicy(examples=("pay",)))
    assert router(harmless).match_by_meaning(None).terms is not None


def test_an_example_without_a_vector_is_left_out() -> None:
    in_force = PolicyInForce(version=1, who="w", at_ms=0, policy=BY_EXAMPLE)
    ready = learned_router(in_force, lambda texts: [None for _ in texts], "e")
    match = ready.match(ask())
    assert match is not None
    assert match.category == "uncategorised"


def test_a_policy_without_uncategorised_passes_on_what_nothing_claims() -> None:
    match = router(Policy(categories={"code": CategoryPolicy()})).match(ask())
    assert match is not None
    assert (match.category, match.terms) == ("uncategorised", None)


@pytest.mark.parametrize("body", [{}, {"messages": "a"}, {"messages": [1, {"content": 5}, {"tool_calls": [2, {}]}]}])
def test_a_body_that_says_nothing_is_read_without_complaint(body: dict[str, Any]) -> None:
    assert all_text(body) == ""


TRAINED = CategoryClassifier(artefact())
"""Knows chat, code and medical, along the first three axes."""
OF_THREE = policy(chat=CategoryPolicy(), medical=NEVER)


def by_training(policy: Policy, embed: Embed | None = None) -> Router:
    in_force = PolicyInForce(version=12, who="test", at_ms=0, policy=policy)
    return learned_router(in_force, embed or (lambda texts: [None] * len(texts)), "made-1", TRAINED)


@pytest.mark.parametrize(
    ("vector", "category"),
    [
        (axis(1), "chat"),
        (axis(0.1, 1), "code"),
        (axis(1, 1), "uncategorised"),
        (axis(0, 0, 1), "medical"),
        (axis(0, 0, 0.2, 1), "medical"),
    ],
    ids=["sure", "less sure", "of two", "never", "never, and unsure"],
)
def test_the_trained_classifier_decides_in_place_of_the_examples(vector: Ints, category: str) -> None:
    match = by_training(OF_THREE).match_by_meaning(vector)
    assert (match.category, match.classifier) == (category, f"trained:{TRAINED.version}@v12")
    assert match.never == (category == "medical")


def test_a_trained_category_that_the_policy_does_not_define_is_uncategorised() -> None:
    match = by_training(policy()).match_by_meaning(axis(1))
    assert match.category == "uncategorised"
    assert match.terms is not None
    assert by_training(Policy(categories={"code": CategoryPolicy()})).match_by_meaning(axis(1)).terms is None


def test_rules_and_the_clients_word_come_before_training() -> None:
    rules = policy(rule("medical", pattern="diagnosis"), rule("chat", tag="t"), chat=CategoryPolicy(), medical=NEVER)
    ready = by_training(rules)
    matches = [ready.match(each) for each in (ask("my diagnosis"), ask(category="code"), ask(tags=("t",)), ask())]
    assert [None if match is None else match.category for match in matches] == ["medical", "code", "chat", None]


def test_what_an_example_says_may_never_be_kept_stays_so_beside_training() -> None:
    examples = policy(
        chat=CategoryPolicy(examples=("hello",)),
        medical=CategoryPolicy(cache=Cacheable.NEVER, examples=("my pills",)),
    )
    known = {"hello": axis(0, 1), "my pills": axis(1, 0.1)}
    ready = by_training(examples, lambda texts: [known[text] for text in texts])
    assert ready.match_by_meaning(axis(1)).category == "medical"
    assert ready.match_by_meaning(axis(0, 1)).category == "code"


def test_where_training_might_have_said_never_a_question_without_a_vector_is_passed_on() -> None:
    assert by_training(OF_THREE).match_by_meaning(None).terms is None
    assert by_training(policy(chat=CategoryPolicy())).match_by_meaning(None).terms is not None


def test_where_training_might_say_never_a_question_that_nobody_places_may_be_never() -> None:
    assert by_training(OF_THREE).may_be_uncacheable(ask())
    assert not by_training(OF_THREE).may_be_uncacheable(ask(" "))
    assert not by_training(OF_THREE).may_be_uncacheable(ask(category="code"))
    assert not by_training(policy(chat=CategoryPolicy())).may_be_uncacheable(ask())


def test_an_expression_that_cannot_be_matched_errs_on_the_safe_side(caplog: pytest.LogCaptureFixture) -> None:
    old = policy(rule("code", pattern="a(?!b)"), rule("medical", pattern=r"(.)\1", tenant="clinic"), medical=NEVER)
    assert chosen(old, ask("aa"))[0] == "uncategorised"
    assert chosen(old, ask("x", tenant="clinic"))[0] == "medical"
    assert router(old).looks_uncacheable("x")
    assert "policy 12: rules.0.when.pattern cannot be matched" in caplog.text


@pytest.mark.timeout(30)
def test_no_expression_holds_up_routing() -> None:
    slow = policy(rule("code", pattern=r"^(\w+\s?)*:$"))
    assert (
        chosen(slow, ask("one ordinary question of some words that ends in nothing like a colon at all"))[0] != "code"
    )
