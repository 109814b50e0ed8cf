"""classify gives a question the side that its category's trained head reads, and nobody else's."""

from __future__ import annotations

import logging

import pytest

from refrain.schemas.hit_heads import HitHead
from refrain.schemas.policy import CategoryPolicy, Match, Policy, Rule
from refrain.schemas.requests import CacheMode
from refrain.streams.models.hashing_embedder import DIM, HashingEmbedder
from refrain.streams.models.hit_head import PairHead
from tests.streams.classify.test_classify import Entrance, ask, asked_of
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
