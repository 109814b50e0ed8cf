"""Commits say of which incarnation of a topic they are, and tell for a day what was set by hand."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError

from refrain.streams.kafka.incarnation import (
    LOOK_EVERY_S,
    TOLD_MS,
    Incarnation,
    SetByHand,
    Sign,
    TopicMadeAnew,
    own,
    read_sign,
)
from refrain.streams.kafka.interface import OffsetAndMetadata
from tests.streams.kafka.fake_client import error

NOW_MS = 1_760_000_000_000
ID = "Zq0nC1-OQnm7n3cXx5aJ_w"


class Broker:
    """Describes the topic as the test says: an id, or what the question comes to."""

    def __init__(self, answer: str | Exception = ID) -> None:
        self.answer = answer
        self.asked = 0
        self.now_s = 0.0

    def describe(self) -> Future[Any]:
        self.asked += 1
        told: Future[Any] = Future()
        if isinstance(self.answer, Exception):
            told.set_exception(self.answer)
        else:
            told.set_result(SimpleNamespace(topic_id=self.answer))
        return told

    def reading(self) -> Incarnation:
        """The incarnation of a consumer that has asked once."""
        found = Incarnation("p.things", self.describe, lambda: self.now_s)
        found.ask()
        return found


def look_long(incarnation: Incarnation, broker: Broker) -> None:
    for _ in range(4):
        broker.now_s += LOOK_EVERY_S
        incarnation.look()


@pytest.mark.parametrize("metadata", ["", "1:eJwDAAAAAAE=", "what; was @ done ! 7", "@", ";", "@;", "@a!1!2;x"])
def test_what_a_worker_commits_comes_back_as_it_was(metadata: str) -> None:
    kept = {3: OffsetAndMetadata(7, metadata)}
    signed = Broker().reading().signed(kept)
    assert signed != kept
    assert own(signed, ID) == kept
    assert own(signed, "another") == {}
    assert own(signed, "") == kept, "whoever knows no id takes what there is"


def test_offsets_without_a_sign_count_for_any_incarnation() -> None:
    by_hand = {0: OffsetAndMetadata(7), 1: OffsetAndMetadata(8, "1:eJwDAAAAAAE=")}
    assert own(by_hand, ID) == by_hand


def test_it_is_asked_now_and_then_and_tells_of_another_one() -> None:
    broker = Broker()
    incarnation = broker.reading()
    for _ in range(100):
        incarnation.look()
    assert broker.asked == 1
    look_long(incarnation, broker)
    assert broker.asked > 1
    broker.answer = "another"
    with pytest.raises(TopicMadeAnew, match=r"p\.things was deleted and made anew"):
        look_long(incarnation, broker)


@pytest.mark.parametrize(
    "code", [KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._TIMED_OUT, KafkaError.TOPIC_AUTHORIZATION_FAILED]
)
def test_an_answer_that_does_not_come_ends_nobody(code: int) -> None:
    broker = Broker()
    incarnation = broker.reading()
    broker.answer = error(code)
    look_long(incarnation, broker)
    assert incarnation.id == ID


def test_what_was_set_by_hand_is_told_at_once_and_by_commits_of_a_day() -> None:
    found = SetByHand(40, NOW_MS)
    incarnation = Broker().reading()
    assert set(incarnation.begin({0: OffsetAndMetadata(40), 1: OffsetAndMetadata(9, f"@{ID};")}, NOW_MS)) == set()
    assert incarnation.untold() == {0: OffsetAndMetadata(40)}
    assert incarnation.untold() == {}
    signed = incarnation.signed({0: OffsetAndMetadata(50), 1: OffsetAndMetadata(10)})
    told = {partition: read_sign(one.metadata)[0] for partition, one in signed.items()}
    assert {partition: sign and sign.by_hand for partition, sign in told.items()} == {0: found, 1: None}
    for later_ms, still in ((TOLD_MS - 1, found), (TOLD_MS, None)):
        following = Broker().reading()
        following.begin(signed, NOW_MS + later_ms)
        sign, rest = read_sign(following.signed({0: OffsetAndMetadata(60, "note")})[0].metadata)
        assert sign is not None
        assert (sign.by_hand, rest) == (still, "note")
        assert following.untold() == {}


def test_a_commit_of_an_older_version_that_has_a_note_of_its_own_was_not_set_by_hand() -> None:
    incarnation = Broker().reading()
    incarnation.begin({0: OffsetAndMetadata(40, "1:eJwDAAAAAAE=")}, NOW_MS)
    assert incarnation.untold() == {}


def test_offsets_of_another_incarnation_are_told_as_such_and_with_what_was_set_then() -> None:
    incarnation = Broker().reading()
    others = incarnation.begin({0: OffsetAndMetadata(40, f"@another!40!{NOW_MS};"), 1: OffsetAndMetadata(1)}, NOW_MS)
    assert set(others) == {0}
    assert incarnation.untold() == {0: OffsetAndMetadata(0), 1: OffsetAndMetadata(1)}
    sign, _ = read_sign(incarnation.signed({0: OffsetAndMetadata(1)})[0].metadata)
    assert sign == Sign(ID, None, NOW_MS)


@pytest.mark.parametrize("by_hand", [None, SetByHand(40, NOW_MS - 1)])
@pytest.mark.parametrize("anew_ms", [None, NOW_MS - 2])
@pytest.mark.parametrize("rest", ["", "1:eJw=", "!;@"])
def test_a_sign_is_read_as_it_was_written(by_hand: SetByHand | None, anew_ms: int | None, rest: str) -> None:
    sign = Sign(ID, by_hand, anew_ms)
    assert read_sign(f"{sign}{rest}") == (sign, rest)


def test_a_topic_that_was_made_anew_is_told_by_commits_of_a_day() -> None:
    broker = Broker()
    before = broker.reading()
    broker.answer = "another"
    with pytest.raises(TopicMadeAnew):
        look_long(before, broker)
    told = before.of_the_new_one([0, 1], NOW_MS)
    assert own(told, "another") == {0: OffsetAndMetadata(0), 1: OffsetAndMetadata(0)}
    assert own(before.signed({0: OffsetAndMetadata(40)}), "another") == {}, "what it had read is of the one before"
    for later_ms, still in ((TOLD_MS - 1, NOW_MS), (TOLD_MS, None)):
        after = broker.reading()
        assert set(after.begin(told, NOW_MS + later_ms)) == set()
        sign, _ = read_sign(after.signed({0: OffsetAndMetadata(60)})[0].metadata)
        assert sign == Sign("another", None, still)
