"""A trained head takes its part off a similarity, by texts as classify read them, and the decision tells it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from refrain.schemas.base import TextSide
from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.hit_heads import HitHead
from refrain.schemas.policy import Guard
from refrain.schemas.responses import Outcome
from refrain.streams.models.hit_head_artifact import encode_bytes
from refrain.streams.shard.fold import fold
from refrain.streams.shard.loading import load_shard
from refrain.streams.shard.state import Shard
from refrain.streams.store.interface import Checkpoint
from tests.streams.models.made_hit_heads import strict_head
from tests.streams.shard.journal import Journal, forward_id, near, new_shard, remembered, responses
from tests.streams.shard.journal import vector as at

ON, ON_AGAIN = "How do I turn on the alarm?", "How can I turn on the alarm?"
LITTLE, MUCH = strict_head(20_000), strict_head(200_000)


def side(head: HitHead, *tokens: int) -> TextSide:
    """The side of a text whose tokens are these numbers in every place."""
    rows = np.array([[token] * head.width for token in tokens], dtype=np.int8)
    return TextSide(hit_head=head.version, tokens=encode_bytes(rows))


def ready(journal: Journal, head: HitHead, kept: TextSide | None, **category: Any) -> Shard:
    """A shard with a head in force and one answer."""
    shard = new_shard()
    fold(shard, policy(journal, head, **category))
    remembered(journal, shard, ON, at(1), text_side=kept)
    return shard


def policy(journal: Journal, head: HitHead, version: int = 0, **category: Any) -> Any:
    said = {"guards": tuple(Guard), "hit_head": head.version, "hit_heads": (head,), **category}
    return journal.policy(version, **said)


def ask(journal: Journal, shard: Shard, asked: TextSide | None, similarity: float = 0.97) -> Decision:
    return fold(shard, journal.ask(ON_AGAIN, near(similarity), text_side=asked)).decisions[0]


def test_what_the_head_takes_off_is_in_the_score_and_the_decision_names_the_head(journal: Journal) -> None:
    shard = ready(journal, LITTLE, side(LITTLE, 1, 2))
    folded = fold(shard, journal.ask(ON_AGAIN, near(0.97), text_side=side(LITTLE, 3)))
    (decision,) = folded.decisions
    assert (decision.outcome, decision.reason) == (Outcome.HIT, Reason.SIMILAR_TEXT)
    assert decision.similarity is not None
    assert decision.score == pytest.approx(decision.similarity - 0.02, abs=1e-9)
    assert (decision.hit_head, decision.head_weight) == (LITTLE.version, 0.02)
    assert [each.head_weight for each in decision.candidates] == [0.02]
    (response,) = responses(folded)
    assert response.decision is not None
    assert response.decision.score == pytest.approx(decision.score, abs=0.01)
    assert response.decision.head_weight == 0.02


def test_what_is_left_below_the_threshold_is_a_miss_by_the_head(journal: Journal) -> None:
    decision = ask(journal, ready(journal, MUCH, side(MUCH, 1)), side(MUCH, 1))
    assert (decision.outcome, decision.reason) == (Outcome.MISS, Reason.HEAD_REFUSED)
    assert [(each.verdict, each.head_weight) for each in decision.candidates] == [("head", 0.2)]
    assert (decision.hit_head, decision.head_weight) == (MUCH.version, 0.2)


def test_what_the_guards_refuse_needs_no_head(journal: Journal) -> None:
    shard = ready(journal, MUCH, side(MUCH, 1))
    opposite = journal.ask("How do I turn off the alarm?", near(0.97), text_side=side(MUCH, 1))
    decision = fold(shard, opposite).decisions[0]
    assert decision.reason is Reason.GUARD_REFUSED
    assert (decision.hit_head, decision.head_weight) == (MUCH.version, None)


@pytest.mark.parametrize("kept", [None, side(LITTLE, 1)], ids=["no side", "another head's"])
@pytest.mark.parametrize("asked", [None, side(LITTLE, 1), side(MUCH, 1)], ids=["no side", "another head's", "its own"])
def test_texts_that_the_head_did_not_read_are_for_the_guards_alone(
    journal: Journal, kept: TextSide | None, asked: TextSide | None
) -> None:
    decision = ask(journal, ready(journal, MUCH, kept), asked)
    assert (decision.outcome, decision.score, decision.head_weight) == (Outcome.HIT, decision.similarity, None)


def test_joining_a_question_in_flight_is_weighed_by_the_head_as_a_hit_is(journal: Journal) -> None:
    for head, outcome in ((LITTLE, Outcome.COALESCED), (MUCH, Outcome.MISS)):
        shard = new_shard()
        fold(shard, policy(journal, head))
        first = fold(shard, journal.ask(ON, at(1), text_side=side(head, 1)))
        decision = ask(journal, shard, side(head, 2))
        assert decision.outcome is outcome
        if outcome is Outcome.COALESCED:
            assert (decision.forward_id, decision.head_weight) == (forward_id(first), 0.02)


def test_a_shard_that_is_loaded_again_decides_alike(journal: Journal) -> None:
    shard = ready(journal, LITTLE, side(LITTLE, 1, 2))
    shard.begin_commit()
    shard.finish_commit(Checkpoint(1, 1))
    again = load_shard(shard.partition, shard.shards, shard.incarnation, shard.store)
    record = journal.ask(ON_AGAIN, near(0.97), text_side=side(LITTLE, 3))
    there, here = fold(shard, record), fold(again, record)
    assert there.decisions[0].head_weight == 0.02
    assert [each.encode() for each in there.decisions] == [each.encode() for each in here.decisions]
    assert [each.value for each in there.effects] == [each.value for each in here.effects]


def test_a_policy_without_the_head_decides_without_it(journal: Journal) -> None:
    shard = ready(journal, MUCH, side(MUCH, 1))
    fold(shard, journal.policy(1, guards=tuple(Guard)))
    decision = ask(journal, shard, side(MUCH, 1))
    assert (decision.outcome, decision.hit_head, decision.head_weight) == (Outcome.HIT, None, None)


def test_a_damaged_side_costs_its_question_alone(journal: Journal) -> None:
    shard = ready(journal, LITTLE, side(LITTLE, 1))
    for tokens in (encode_bytes(np.zeros((1, 3), dtype=np.int8)), encode_bytes(np.zeros((60, 4), dtype=np.int8))):
        wrong = TextSide(hit_head=LITTLE.version, tokens=tokens)
        assert ask(journal, shard, wrong).reason is Reason.FOLD_FAILED
    assert ask(journal, shard, side(LITTLE, 1)).outcome is Outcome.HIT
