"""The lines of `refrain watch`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from confluent_kafka import TIMESTAMP_CREATE_TIME, KafkaError, Message, TopicPartition

from refrain.ops.cluster.tail import Span, follow
from refrain.ops.observe.watch import RecordFilter, check_filter, record_line, span_of
from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.observations import Comparison, NotCompared
from refrain.schemas.responses import DecisionSummary, Outcome, Problem, Response
from refrain.streams.kafka.incarnation import LOOK_EVERY_S
from refrain.streams.settings import Settings

GOLDEN = Path(__file__).parents[2] / "schemas" / "golden"
ALL = RecordFilter()


def message(value: bytes) -> Message:
    """A record as the Kafka client gives it."""
    return Message(partition=3, offset=17, value=value, timestamp=(TIMESTAMP_CREATE_TIME, 1_700_000_000_000))


def comparison(similarity: float | None, *, equal: bool = False, why: NotCompared | None = None) -> Comparison:
    return Comparison(
        decision_id="3-17-tag",
        tenant="acme",
        category="code",
        model="m",
        entry_id="0-4-x",
        time_ms=1,
        equal=equal,
        similarity=similarity,
        not_compared=why,
    )


def line(one: Comparison, wanted: RecordFilter = ALL, as_json: bool = False) -> str | None:
    return record_line("comparisons", message(one.encode()), wanted, as_json)


def test_a_comparison_says_how_near_the_answers_are_or_why_that_is_not_known() -> None:
    cells = (line(comparison(0.91)) or "").split()
    assert cells[1:] == ["other", "acme", "code", "0.9100", "m", "3-17-tag"]
    assert (line(comparison(1.0, equal=True)) or "").split()[1] == "equal"
    assert (line(comparison(None, why=NotCompared.GONE)) or "").split()[4] == "gone"


@pytest.mark.parametrize(
    ("wanted", "takes"),
    [
        (RecordFilter(outcome="other", tenant="acme", category="code"), True),
        (RecordFilter(outcome="equal"), False),
        (RecordFilter(category="chat"), False),
    ],
)
def test_comparisons_are_chosen_like_decisions(wanted: RecordFilter, takes: bool) -> None:
    assert (line(comparison(0.5), wanted) is not None) is takes


def test_as_json_a_record_is_as_it_came() -> None:
    one = comparison(0.5)
    assert line(one, as_json=True) == one.encode().decode()
    junk = message(b"junk")
    assert record_line("comparisons", junk, ALL, True) is None
    assert "unreadable record 3-17" in (record_line("comparisons", junk, ALL, False) or "")


def decision(**changed: Any) -> Decision:
    fields: dict[str, Any] = {
        "id": "0-7-x", "partition": 0, "offset": 7, "tenant": "acme", "category": "code", "model": "m",
        "outcome": Outcome.HIT, "reason": Reason.SIMILAR_TEXT, "entry_id": "0-1-x", "request_id": "r1",
    }  # fmt: skip
    golden = json.loads((GOLDEN / "Decision.v1.json").read_text())
    return Decision.model_validate({**golden, **fields, **changed})


@pytest.mark.parametrize(
    ("wanted", "takes"),
    [
        (RecordFilter(request="r1", decision="0-7-x", entry="0-1-x", reason="similar_text", tenant="acme"), True),
        (RecordFilter(request="r2"), False),
        (RecordFilter(decision="0-8-x"), False),
        (RecordFilter(entry="0-2-x"), False),
        (RecordFilter(reason="exact_text"), False),
        (RecordFilter(tenant="other"), False),
    ],
)
def test_decisions_and_responses_are_chosen_by_all_that_they_tell(wanted: RecordFilter, takes: bool) -> None:
    one = decision()
    assert (record_line("decisions", message(one.encode()), wanted, False) is not None) is takes
    summary = DecisionSummary(id=one.id, category="code", entry_id=one.entry_id, reason=one.reason)
    response = Response(request_id="r1", tenant="acme", outcome=Outcome.HIT, body={}, decision=summary)
    assert (record_line("responses", message(response.encode()), wanted, False) is not None) is takes


def test_decisions_and_comparisons_are_chosen_by_their_model() -> None:
    for topic, value in (("decisions", decision().encode()), ("comparisons", comparison(0.5).encode())):
        for model, takes in (("m", True), ("n", False)):
            found = record_line(topic, message(value), RecordFilter(model=model), False)
            assert (found is not None) is takes


def test_a_dash_chooses_what_shows_a_dash() -> None:
    for category, takes in ((None, True), ("code", False)):
        one = decision(category=category)
        summary = DecisionSummary(id=one.id, category=category, reason=one.reason)
        response = Response(tenant="acme", outcome=Outcome.HIT, body={}, decision=summary)
        bare = Response(tenant="acme", outcome=Outcome.ERROR, error=Problem(code="too_large", message="shorten it"))
        for topic, value in (("decisions", one.encode()), ("responses", response.encode())):
            shown = record_line(topic, message(value), RecordFilter(category="-"), False)
            assert (shown is not None) is takes
    assert record_line("responses", message(bare.encode()), RecordFilter(category="-"), False) is not None


@pytest.mark.parametrize(
    ("topic", "wanted", "said"),
    [
        ("responses", RecordFilter(model="m"), "responses tell no model: watch decisions"),
        ("decisions", RecordFilter(outcome="mis"), "did you mean 'miss'"),
        ("comparisons", RecordFilter(outcome="hit"), "choose from equal, other"),
        ("decisions", RecordFilter(reason="bellow_threshold"), "did you mean 'below_threshold'"),
        ("comparisons", RecordFilter(reason="stale"), "comparisons tell no reason"),
        ("comparisons", RecordFilter(request="r"), "comparisons tell no request"),
    ],
)
def test_a_value_that_records_never_have_is_refused(topic: str, wanted: RecordFilter, said: str) -> None:
    with pytest.raises(typer.BadParameter, match=said):
        check_filter(topic, wanted)


def test_a_span_is_read_and_one_that_holds_nothing_is_refused() -> None:
    assert span_of(False, "1h", "30m", True, 7_200_000) == Span(False, 3_600_000, 5_400_000, True)
    assert span_of(True, None, None, False, 9) == Span(True)
    for from_start, since, until, no_follow in (
        (True, "1h", None, False), (False, "1h", "2h", False), (False, None, None, True),
        (False, None, "1h", False), (False, "soon", None, False),
    ):  # fmt: skip
        with pytest.raises(typer.BadParameter):
            span_of(from_start, since, until, no_follow, 7_200_000_000)


FOLLOWED = Settings().prefix + "decisions"
OFFSETS = count()
"""The next offset, of any partition: they grow."""


class Polls:
    """Consumers that give these messages, one after the other, and then nothing; None is a poll that gives none."""

    def __init__(self, *messages: Message | None) -> None:
        self.messages = list(messages)
        self.assigned: list[TopicPartition] = []
        self.closed = 0

    def get_watermark_offsets(self, place: TopicPartition, *, cached: bool) -> tuple[int, int]:
        return (-1, -1)

    def assignment(self) -> list[TopicPartition]:
        return self.assigned

    def assign(self, places: list[TopicPartition]) -> None:
        self.assigned = places

    def position(self, places: list[TopicPartition]) -> list[TopicPartition]:
        return [TopicPartition(place.topic, place.partition, -1001) for place in places]

    def poll(self, timeout: float) -> Message | None:
        return self.messages.pop(0) if self.messages else None

    def close(self) -> None:
        self.closed += 1


class Topics:
    """A cluster with a topic of two partitions of 40 records, which is made anew when the test says so."""

    def __init__(self, polls: Polls) -> None:
        self.polls = polls
        self.id = "first"
        self.counts = 2
        self.now_s = 0.0

    def __enter__(self) -> Topics:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def ends(self, topic: str) -> dict[int, tuple[int, int]]:
        return dict.fromkeys(range(self.counts), (0, 40))

    def offsets_at(self, topic: str, time_ms: int) -> dict[int, int]:
        return dict.fromkeys(range(self.counts), time_ms + 1)

    def partitions(self, topic: str) -> int:
        return self.counts

    def described(self, topic: str) -> Future[Any]:
        told: Future[Any] = Future()
        told.set_result(SimpleNamespace(topic_id=self.id))
        return told


def at(partition: int, time_ms: int) -> Message:
    stamp = (TIMESTAMP_CREATE_TIME, time_ms)
    return Message(FOLLOWED, partition=partition, offset=next(OFFSETS), value=b"x", timestamp=stamp)


def end_of(partition: int) -> Message:
    return Message(FOLLOWED, partition=partition, offset=next(OFFSETS), error=KafkaError(KafkaError._PARTITION_EOF))


def following(monkeypatch: pytest.MonkeyPatch, span: Span, polls: Polls) -> tuple[Topics, Iterator[Message]]:
    """The cluster, and what is followed on it until all polls are over."""
    topics = Topics(polls)
    monkeypatch.setattr("refrain.ops.cluster.tail.create_client", lambda make, properties: polls)
    monkeypatch.setattr("refrain.ops.cluster.tail.reach", lambda settings: None)
    monkeypatch.setattr("refrain.ops.cluster.tail.KafkaCluster", lambda settings: topics)
    monkeypatch.setattr("time.time_ns", lambda: 1_000_000_000)
    found = follow(Settings(), "decisions", span, stop=lambda: not polls.messages, clock=lambda: topics.now_s)
    return topics, found


def followed(monkeypatch: pytest.MonkeyPatch, span: Span, *messages: Message) -> tuple[list[int], Polls]:
    polls = Polls(*messages)
    _, found = following(monkeypatch, span, polls)
    return [each.timestamp()[1] for each in found], polls


def test_without_following_each_partition_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    span = Span(since_ms=100, to_the_end=True)
    times, polls = followed(monkeypatch, span, at(0, 1), end_of(0), at(1, 2), end_of(1), at(0, 9))
    assert times == [1, 2]
    assert [place.offset for place in polls.assigned] == [101, 101]
    assert polls.closed == 1


def test_what_is_later_than_wanted_is_left_out_and_a_past_end_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    span = Span(from_start=True, until_ms=500)
    times, _ = followed(monkeypatch, span, at(0, 1), at(0, 500), at(0, 2), at(1, 3), end_of(1), at(1, 4))
    assert times == [1, 3]


def test_what_is_followed_goes_on_behind_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    times, polls = followed(monkeypatch, Span(), at(0, 1), end_of(0), end_of(1), at(0, 2))
    assert times == [1, 2]
    assert [place.offset for place in polls.assigned] == [40, 40]


@pytest.mark.parametrize("partitions", [1, 2, 5])
def test_a_topic_that_is_made_anew_is_followed_from_its_first_record(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, partitions: int
) -> None:
    polls = Polls(at(0, 1), at(1, 2), None, None, at(0, 3), None)
    topics, found = following(monkeypatch, Span(), polls)
    assert [next(found).timestamp()[1] for _ in range(2)] == [1, 2]
    assert [(place.partition, place.offset) for place in polls.assigned] == [(0, 40), (1, 40)]
    topics.id, topics.counts = "second", partitions
    topics.now_s = LOOK_EVERY_S
    assert next(found).timestamp()[1] == 3
    assert [(place.partition, place.offset) for place in polls.assigned] == [(each, 0) for each in range(partitions)]
    assert "refrain.decisions was deleted and made anew: it is read from its first record" in caplog.text


def test_what_is_read_to_its_end_is_read_to_the_end_of_the_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    polls = Polls(at(0, 1), end_of(0), None, end_of(1), at(0, 3), end_of(0), at(1, 9))
    topics, found = following(monkeypatch, Span(from_start=True, to_the_end=True), polls)
    assert next(found).timestamp()[1] == 1
    topics.id, topics.now_s = "second", LOOK_EVERY_S
    assert [each.timestamp()[1] for each in found] == [3]
    assert polls.messages != []


def test_a_topic_that_is_gone_is_waited_for_and_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    gone = Message(FOLLOWED, partition=0, offset=0, error=KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    times, _ = followed(monkeypatch, Span(), at(0, 1), gone, gone, at(1, 2))
    assert times == [1, 2]
    assert caplog.text.count("reading refrain.decisions waits") == 1
