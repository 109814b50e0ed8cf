"""Some thousands of random requests: one change is another namespace, another spelling never is.

A million and more by `python -m tests.fuzz --examples 1000000`.
"""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refrain.schemas.control import PolicyInForce
from refrain.schemas.journal import Asked, decode_event
from refrain.schemas.policy import Policy
from refrain.streams.classify.identity import NOT_CONTEXT
from refrain.streams.classify.origins import Incarnations
from refrain.streams.classify.reply_topic import ReplyTopics
from refrain.streams.classify.step import ClassifyStep
from refrain.streams.kafka.interface import Record
from refrain.streams.metrics import Metrics
from refrain.streams.models.embedding_cache import EmbeddingCache, EmbeddingMetrics
from refrain.streams.models.hashing_embedder import HashingEmbedder
from refrain.streams.settings import Classify
from tests.fuzz.identity import EMBEDDER, POLICIES, Place, example, place_of
from tests.fuzz.requests import request

SEEDS = st.integers(0, 2**63)


@settings(max_examples=2_500, deadline=None)
@given(SEEDS)
def test_one_change_is_another_namespace_and_another_spelling_is_the_same(seed: int) -> None:
    for wrong in example(seed, Counter()):
        raise AssertionError(
            f"{wrong.what}\n{wrong.before}\n{wrong.after}\npython -m tests.fuzz --examples 1 --seed {seed}"
        )


@settings(max_examples=300, deadline=None)
@given(SEEDS)
def test_the_entrance_asks_in_that_namespace(seed: int) -> None:
    text = json.dumps(request(random.Random(seed)))
    (out,) = ENTRANCE.process([Record("requests", 0, 0, 1, b"k", text.encode(), ())])
    asked = decode_event(out.value or b"")
    assert isinstance(asked, Asked)
    exact = asked.text_digest if asked.vector is None else None
    found = Place(asked.space, asked.category, asked.embedder, asked.context, exact)
    assert found == place_of(text, window=Reading())


@pytest.mark.parametrize("forgotten", ["seed", "tools"])
def test_an_identity_that_leaves_out_more_is_found_out(forgotten: str) -> None:
    forgetful = NOT_CONTEXT | {forgotten}
    assert any(wrong for seed in range(1_000) for wrong in example(seed, Counter(), forgetful))


def test_a_change_of_every_kind_is_tried() -> None:
    counts: Counter[str] = Counter()
    for seed in range(1_000):
        assert not list(example(seed, counts))
    kinds = {name.removeprefix("changed: ") for name in counts}
    assert {"tenant", "category", "added", "removed", "replaced", "retyped", "renamed", "reordered", "moved"} <= kinds
    assert {"one sign", "source added", "source removed", "source id", "source version"} <= kinds
    assert counts["changed where it does not count"] > 30


class Reading(HashingEmbedder):
    """Reads every sign: of a question's own text no more than what is hidden is a part of its context."""

    def unread(self, text: str) -> tuple[str, ...]:
        return ()


def entrance() -> ClassifyStep:
    metrics = Metrics()
    in_force = PolicyInForce(version=1, who="w", at_ms=0, policy=Policy(categories=POLICIES))
    embedder = Reading()
    assert embedder.identity == EMBEDDER
    made = ClassifyStep(
        Classify(),
        Incarnations("r", "j"),
        EmbeddingCache(embedder, 100, EmbeddingMetrics(metrics)),
        ReplyTopics("refrain.", (), {"responses": 1}.get, lambda: 0),
        metrics,
    )
    made.follow(in_force)
    return made


ENTRANCE = entrance()
