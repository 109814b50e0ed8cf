"""What a shard writes is valid, though it is made without checks: a reader that checks all reads the same of it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from refrain.schemas.base import Message
from refrain.schemas.decisions import Decision
from refrain.schemas.forwards import Forward
from refrain.schemas.journal import Asked
from refrain.schemas.policy import Guard
from refrain.schemas.requests import CacheMode
from refrain.schemas.responses import Outcome, Response
from refrain.streams.kafka.interface import Record
from refrain.streams.messaging.routes import decode_route
from refrain.streams.shard.columns import COLUMNS
from refrain.streams.shard.fold import fold
from refrain.streams.shard.state import Shard
from tests.streams.shard.journal import Journal, near, new_shard, vector

ON = "How do I turn on the alarm at 7 am?"
QUESTIONS = (ON, "How can I turn on the alarm at 7 am?", "How do I turn off the alarm at 7 am?", "¿Qué tal?", "")
POLICIES: list[dict[str, Any]] = [
    {"guards": tuple(Guard)},
    {"guards": tuple(Guard), "threshold": 0.8, "threshold_floor": 0.7, "unverified": "frame", "margin": 0.01},
    {"guards": (), "ttl_ms": 5, "stale_while_revalidate_ms": 10_000, "coalesce": False},
    {"guards": tuple(Guard), "cache": "observe"},
]
MESSAGES: dict[str, type[Message]] = {"responses": Response, "forwards": Forward}
COLUMN_OF = {column.name: column for column in COLUMNS}


def check(shard: Shard, record: Record) -> set[Outcome]:
    """Fold a record and read again all that it writes; the outcomes."""
    folded = fold(shard, record)
    for decision in folded.decisions:
        assert Decision.decode(decision.encode()) == decision
    for effect in folded.effects:
        value = effect.value or b""
        if effect.topic in MESSAGES:
            assert MESSAGES[effect.topic].decode(value).encode() == value
        if effect.topic == "forwards":
            forward = Forward.decode(value)
            assert decode_route(forward.route, forward.forward_id).forward_id == forward.forward_id
    for key, document in shard.overlay.recent.items():
        if document is not None:
            column = COLUMN_OF[key.decode().split("/")[0]]
            assert column.message.decode(document).encode() == document
    return {decision.outcome for decision in folded.decisions}


@pytest.mark.parametrize("category", POLICIES, ids=["guarded", "relaxed", "stale", "observed"])
def test_decisions_effects_and_columns_read_back_as_they_were_made(category: dict[str, Any]) -> None:
    shard, journal = new_shard(), Journal()
    fold(shard, journal.policy(**category))
    seen: set[Outcome] = set()
    for text, mode in itertools.product(QUESTIONS, CacheMode):
        for at in (vector(1), near(0.97), near(0.85), None):
            record = journal.ask(text, at, mode=mode)
            seen |= check(shard, record)
            forward_id = Asked.decode(record.value or b"").id
            if record.offset % 3 and shard.flights.get(forward_id) is not None:
                check(shard, journal.answer(forward_id, f"answer {record.offset}"))
    assert Outcome.MISS in seen
    assert (Outcome.HIT in seen) == (category.get("cache") != "observe")


def test_a_threshold_of_classify_that_is_no_similarity_is_refused_like_any_record_that_cannot_be_folded() -> None:
    shard, journal = new_shard(), Journal()
    fold(shard, journal.policy())
    folded = fold(shard, journal.ask("so?", vector(1), seen_version=9, seen_threshold=5.0))
    assert [decision.reason for decision in folded.decisions] == ["fold_failed"]
    assert [effect.topic for effect in folded.effects] == ["dead-letters", "responses"]
    assert not shard.overlay.recent
