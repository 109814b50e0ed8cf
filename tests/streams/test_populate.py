"""Completions find their way back; what nobody asked ends in dead-letters."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from schemas.base import Reply
from schemas.dead_letters import HEADER_REASON
from schemas.forwards import Completion, Status
from schemas.journal import Answered, AnswerFailed, decode_event
from schemas.responses import DecisionSummary, Outcome, Problem, Response
from streams.log import Outgoing, Record
from streams.memory_log import MemoryLog
from streams.metrics import Metrics
from streams.populate import ANSWER_BYTES_MAX, Populate, run_populate
from streams.routes import DirectRoute, ShardRoute, encode_route
from streams.settings import Settings

INCARNATION = "journal-1"
SECRET = "the patient has a cold"


def record(value: bytes | None, offset: int = 0) -> Record:
    return Record("completions", 0, offset, 1, b"key", value, (("trace", b"1"),))


def to_shard(partition: int = 3, incarnation: str = INCARNATION) -> str:
    return encode_route(ShardRoute(forward_id="f", incarnation=incarnation, partition=partition))


def direct(forward_id: str = "f") -> str:
    return encode_route(
        DirectRoute(
            forward_id=forward_id,
            request_id="mine",
            tenant="acme",
            reply=Reply(topic="responses", partition=2, key="aw=="),
            decision=DecisionSummary(id=forward_id, reason="category_never"),
        )
    )


def completion(route: str, body: dict[str, Any] | None = None, error: Problem | None = None) -> bytes:
    status = Status.OK if body is not None else Status.FAILED
    return Completion(forward_id="f", route=route, status=status, body=body, error=error, latency_ms=7).encode()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def populate(metrics: Metrics) -> Populate:
    return Populate(32, INCARNATION, metrics)


def reasons(out: Iterable[Outgoing]) -> list[str]:
    return [
        (dict(r.headers)[HEADER_REASON] or b"").decode().partition(":")[0] for r in out if r.topic == "dead-letters"
    ]


def test_an_answer_goes_to_the_shard_that_asked(populate: Populate) -> None:
    (out,) = populate([record(completion(to_shard(), {"choices": [], "text": "ä"}))])
    assert (out.topic, out.partition) == ("journal", 3)
    event = decode_event(out.value or b"")
    assert isinstance(event, Answered)
    assert json.loads(event.body.data) == {"choices": [], "text": "ä"}
    assert event.latency_ms == 7


def test_a_failure_goes_to_the_shard_that_asked(populate: Populate) -> None:
    problem = Problem(code="upstream_failed", message="no")
    (out,) = populate([record(completion(to_shard(), error=problem))])
    assert decode_event(out.value or b"") == AnswerFailed(forward_id="f", error=problem)


def test_an_answer_of_a_request_that_is_not_remembered_goes_to_its_requester(populate: Populate) -> None:
    (out,) = populate([record(completion(direct(), {"choices": []}))])
    assert (out.topic, out.partition, out.key) == ("responses", 2, b"k")
    response = Response.decode(out.value or b"")
    assert (response.request_id, response.tenant, response.outcome) == ("mine", "acme", Outcome.BYPASS)
    assert response.body == {"choices": []}


def test_a_failure_of_a_request_that_is_not_remembered_goes_to_its_requester(populate: Populate) -> None:
    (out,) = populate([record(completion(direct(), error=Problem(code="upstream_failed", message="no")))])
    response = Response.decode(out.value or b"")
    assert response.outcome is Outcome.ERROR
    assert response.error == Problem(code="upstream_failed", message="no")


def test_a_requester_is_not_told_twice(populate: Populate, metrics: Metrics) -> None:
    twice = [record(completion(direct(), {"a": 1})), record(completion(direct(), {"a": 2}), 1)]
    assert len(populate(twice)) == 1
    assert metrics.registry.get_sample_value("refrain_dropped_total", {"processor": "populate", "reason": "seen"}) == 1


def test_an_answer_too_large_for_the_journal_becomes_a_failure(populate: Populate) -> None:
    out = populate([record(completion(to_shard(), {"text": "x" * ANSWER_BYTES_MAX}))])
    event = decode_event(out[0].value or b"")
    assert isinstance(event, AnswerFailed)
    assert event.error.code == "answer_too_large"
    assert reasons(out) == ["answer_too_large"]


def test_an_answer_whose_escapes_make_it_too_large_becomes_a_failure(populate: Populate) -> None:
    out = populate([record(completion(to_shard(), {"text": "\n" * (ANSWER_BYTES_MAX // 2 - 100)}))])
    assert all(len(one.value or b"") < 2_097_152 for one in out)
    out = populate([record(completion(to_shard(), {"text": "\x01" * (ANSWER_BYTES_MAX // 6 - 100)}))])
    assert all(len(one.value or b"") < 2_097_152 for one in out)


def test_an_answer_too_large_for_a_response_becomes_an_error_without_its_text(populate: Populate) -> None:
    out = populate([record(completion(direct(), {"text": SECRET * 60_000}))])
    response = Response.decode(out[0].value or b"")
    assert response.error is not None
    assert response.error.code == "answer_too_large"
    assert out[1].topic == "dead-letters"
    assert out[1].value is None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "unreadable"),
        (b"\xff", "unreadable"),
        (b"[" * 300, "too_deep"),
        (b'{"v":1}', "bad_field"),
        (b'{"v":3,"forward_id":"f"}', "unknown_version"),
        (completion("nonsense", {"a": 1}), "not_asked"),
        (completion("ä", {"a": 1}), "not_asked"),
        (completion(direct("other"), {"a": 1}), "not_asked"),
        (completion(to_shard(32), {"a": 1}), "not_asked"),
        (completion(to_shard(-1), {"a": 1}), "not_asked"),
        (completion(to_shard(incarnation="journal-0"), {"a": 1}), "not_asked"),
        (b'{"v":2,"forward_id":"f","route":"nonsense"}', "unknown_version"),
    ],
)
def test_what_nobody_asked_or_can_read_is_kept_as_it_came(populate: Populate, value: bytes | None, reason: str) -> None:
    (out,) = populate([record(value)])
    assert out.topic == "dead-letters"
    assert reasons([out]) == [reason]
    assert out.value == value
    assert out.key == b"key"
    assert ("trace", b"1") in out.headers


def test_who_waits_for_an_answer_that_cannot_be_read_is_told(populate: Populate) -> None:
    broken = json.dumps({"v": 1, "forward_id": "f", "route": to_shard(), "status": "ok"}).encode()
    letter, told = populate([record(broken)])
    assert letter.value == broken
    event = decode_event(told.value or b"")
    assert isinstance(event, AnswerFailed)
    assert event.error.code == "upstream_failed"


def test_a_direct_answer_that_cannot_be_read_is_not_kept(populate: Populate) -> None:
    broken = json.dumps({"v": 1, "forward_id": "f", "route": direct(), "status": SECRET, "body": SECRET}).encode()
    letter, told = populate([record(broken)])
    assert letter.topic == "dead-letters"
    assert SECRET not in str(letter)
    assert SECRET not in str(told)
    assert Response.decode(told.value or b"").outcome is Outcome.ERROR


def test_a_worker_carries_completions_and_keeps_its_position() -> None:
    log = MemoryLog(lambda: 5)
    route = encode_route(ShardRoute(forward_id="f", incarnation=log.topic_id("journal"), partition=9))
    log.append([Outgoing("completions", b"f", completion(route, {"a": 1})), Outgoing("completions", b"g", b"junk")])
    run_populate(
        Settings(),
        log,
        Metrics(),
        stop=lambda: bool(log.records("journal") and log.records("dead-letters")),
        ready=lambda: None,
        now_ms=lambda: 5,
    )
    assert [r.partition for r in log.records("journal")] == [9]
    assert sum(p.next_offset for p in log.reader("completions", "populate").committed(range(8)).values()) == 2


def test_a_requester_is_not_told_twice_by_the_next_worker_either() -> None:
    log = MemoryLog(lambda: 5)
    for number, body in enumerate(({"a": 1}, {"a": 2}), start=1):
        log.append([Outgoing("completions", b"f", completion(direct(), body)), Outgoing("completions", b"f", b"junk")])

        def done(letters: int = number) -> bool:
            return len(log.records("dead-letters")) == letters

        run_populate(Settings(), log, Metrics(), stop=done, ready=lambda: None, now_ms=lambda: 5)
    (response,) = log.records("responses")
    assert Response.decode(response.value or b"").body == {"a": 1}
