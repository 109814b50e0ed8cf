"""classify gives a question the side that its category's trained head reads, and nobody else's."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from refrain.schemas.control import PolicyInForce
from refrain.schemas.hit_heads import HitHead
from refrain.schemas.policy import CategoryPolicy, Policy
from refrain.schemas.policy_rules import Match, Rule
from refrain.schemas.requests import CacheMode
from refrain.streams.classify.origins import Incarnations
from refrain.streams.classify.reply_topic import ReplyTopics
from refrain.streams.classify.step import ClassifyStep
from refrain.streams.metrics import Metrics
from refrain.streams.models.embedding_cache import EmbeddingCache, EmbeddingMetrics
from refrain.streams.models.hashing_embedder import DIM, HashingEmbedder
from refrain.streams.models.hit_head import PairHead
from refrain.streams.settings import Classify
from refrain.streams.vectors import Floats
from tests.streams.classify.entrance import Entrance, ask, asked_of
from tests.streams.models.made_hit_heads import strict_head

FREE = HashingEmbedder.identity
HEAD = strict_head(1_000, embedder=FREE, dim=DIM)
TEXT = "How do I sort a list?"


def policy(head: HitHead = HEAD) -> Policy:
    return Policy(
        categories={
            "code": CategoryPolicy(hit_head=head.version),
            "plain": CategoryPolicy(),
            "secret": CategoryPolicy(cache="never"),
        },
        rules=(Rule(when=Match(tag="s"), category="secret"),),
        hit_heads=(head,),
    )


def test_a_question_of_a_category_with_a_head_has_the_side_that_its_head_reads() -> None:
    event = asked_of(Entrance(policy())(ask(TEXT, category="code")))
    (tokens,) = HashingEmbedder().embed_tokens([TEXT])
    assert event.text_side is not None
    assert event.text_side.hit_head == HEAD.version
    assert event.text_side.tokens == PairHead(HEAD).text_side(tokens)


def test_a_category_without_a_head_has_none() -> None:
    assert asked_of(Entrance(policy())(ask(TEXT, category="plain"))).text_side is None


def test_what_may_only_match_exactly_has_none() -> None:
    last = {"messages": [{"role": "user", "content": TEXT}, {"role": "assistant", "content": "Which?"}]}
    event = asked_of(Entrance(policy())(ask(category="code", body=last)))
    assert (event.vector, event.text_side) == (None, None)


def test_a_batch_is_read_in_one_call_and_repeated_texts_once() -> None:
    entrance = Entrance(policy())
    calls: list[list[str]] = []
    read = entrance.embedder.embed_tokens
    entrance.embedder.embed_tokens = lambda texts: (calls.append(list(texts)), read(texts))[1]  # type: ignore[func-returns-value,method-assign]
    first, again, other = (ask(text, n, category="code") for n, text in enumerate((TEXT, TEXT, "What is a tuple?")))
    out = entrance(first, again, other)
    sides = [asked_of([each]).text_side for each in out]
    assert sides[0] == sides[1] != sides[2]
    assert calls == [[TEXT, "What is a tuple?"]]
    entrance(ask(TEXT, 9, category="code"))
    assert len(calls) == 1


class OneRun(HashingEmbedder):
    """Gives both kinds of vectors by one run, and counts all texts that it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[tuple[str, list[str]]] = []

    def embed(self, texts: Sequence[str]) -> Floats:
        self.runs.append(("vectors", list(texts)))
        return super().embed(texts)

    def embed_tokens(self, texts: Sequence[str]) -> list[Floats]:
        self.runs.append(("tokens", list(texts)))
        return super().embed_tokens(texts)

    def embed_both(self, texts: Sequence[str]) -> tuple[Floats, list[Floats]]:
        self.runs.append(("both", list(texts)))
        return super().embed(texts), super().embed_tokens(texts)


def one_run(policy: Policy) -> tuple[ClassifyStep, OneRun]:
    """A classifier whose model gives both kinds of vectors by one run; runs of the policy's examples do not count."""
    embedder, metrics = OneRun(), Metrics()
    step = ClassifyStep(
        Classify(),
        Incarnations("requests-id", "journal-id"),
        EmbeddingCache(embedder, 100, EmbeddingMetrics(metrics)),
        ReplyTopics("", (), lambda topic: None, lambda: 0),
        metrics,
    )
    step.follow(PolicyInForce(version=4, who="w", at_ms=0, policy=policy))
    embedder.runs.clear()
    return step, embedder


def by_meaning() -> Policy:
    known = policy().categories
    return policy().model_copy(
        update={
            "categories": {
                **known,
                "code": CategoryPolicy(hit_head=HEAD.version, examples=(TEXT,)),
                "uncategorised": CategoryPolicy(),
            }
        }
    )


@pytest.mark.parametrize("category", ["code", None], ids=["named by the client", "told by the vector"])
def test_a_new_text_is_read_by_the_model_once(category: str | None) -> None:
    step, embedder = one_run(by_meaning())
    asked = [asked_of([out]) for out in step.process([ask(f"{TEXT} {n}", n, category=category) for n in range(3)])]
    assert embedder.runs == [("both", [f"{TEXT} {n}" for n in range(3)])]
    usual = Entrance(by_meaning())
    assert asked == [asked_of(usual(ask(f"{TEXT} {n}", n, category=category))) for n in range(3)]
    assert {event.category for event in asked} == {"code"}
    assert all(event.text_side is not None for event in asked)


def test_where_no_head_can_read_it_no_token_vectors_are_made() -> None:
    step, embedder = one_run(policy())
    step.process([ask(TEXT, category="plain")])
    assert embedder.runs == [("vectors", [TEXT])]


def test_a_text_whose_vector_is_remembered_is_read_for_its_tokens_alone() -> None:
    step, embedder = one_run(policy())
    step.process([ask(TEXT, 0, category="plain")])
    embedder.runs.clear()
    step.process([ask(TEXT, 1, category="code"), ask("And a tuple?", 2, category="code")])
    assert embedder.runs == [("both", ["And a tuple?"]), ("tokens", [TEXT])]


def test_a_text_that_is_too_long_for_the_head_has_none_and_keeps_its_vector() -> None:
    event = asked_of(Entrance(policy())(ask("why " * 60, category="code")))
    assert event.vector is not None
    assert event.text_side is None


def test_a_head_for_another_embedder_is_told_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    entrance = Entrance(policy(strict_head(1_000, embedder="other-model", dim=DIM)))
    with caplog.at_level(logging.WARNING):
        event = asked_of(entrance(ask(TEXT, category="code")))
    assert event.vector is not None
    assert event.text_side is None
    assert ["other-model" in message and FREE in message for message in caplog.messages] == [True]


@pytest.mark.parametrize("mode", list(CacheMode))
def test_text_that_must_not_be_kept_is_not_read(mode: CacheMode) -> None:
    entrance = Entrance(policy())
    out = entrance(ask(TEXT, tags=["s"], cache=mode))
    assert all(b"text_side" not in (each.value or b"") for each in out)
