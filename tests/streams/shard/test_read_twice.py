"""A request that classify reads twice, the second time by a policy by which it passes the cache by."""

from __future__ import annotations

import pytest

from refrain.schemas.journal import Asked, Passed, decode_event
from refrain.schemas.responses import Outcome
from refrain.streams.kafka.interface import Record
from refrain.streams.shard.fold import fold
from tests.streams.shard.journal import Journal, forward_id, near, new_shard, responses, vector

TEXT, OTHER = "How do I sort a list?", "How can I sort a list?"


@pytest.fixture
def journal() -> Journal:
    return Journal()


def passed(journal: Journal, record: Record) -> Record:
    """What classify writes of the same request when it passes the cache by."""
    asked = decode_event(record.value or b"")
    assert isinstance(asked, Asked)
    event = Passed(
        id=asked.id,
        origin=asked.origin,
        tenant=asked.tenant,
        category=asked.category,
        model=asked.model,
        reason="category_never",
    )
    return journal.add(event)


def test_the_requester_waits_here_no_more_and_is_not_answered_twice(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    record = journal.ask(TEXT, vector(1))
    forward = forward_id(fold(shard, record))
    again = fold(shard, passed(journal, record))
    assert (again.decisions, again.effects, shard.flights.waiting) == ([], [], 0)
    assert responses(fold(shard, journal.answer(forward))) == []
    assert len(shard.flights) == 0


def test_others_who_wait_for_the_same_answer_get_it(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    record = journal.ask(TEXT, vector(1))
    forward = forward_id(fold(shard, record))
    joined = fold(shard, journal.ask(OTHER, near(0.97)))
    assert joined.decisions[0].outcome is Outcome.COALESCED
    fold(shard, passed(journal, record))
    (answer,) = responses(fold(shard, journal.answer(forward)))
    assert answer.request_id == joined.decisions[0].request_id


def test_who_was_answered_before_is_left_alone(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    record = journal.ask(TEXT, vector(1))
    fold(shard, journal.answer(forward_id(fold(shard, record))))
    entries = len(shard.entries)
    again = fold(shard, passed(journal, record))
    assert (again.decisions, again.effects, len(shard.entries)) == ([], [], entries)
