"""Completions find their way back; what nobody asked ends in dead-letters."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from refrain.schemas.acknowledgements import Acknowledgement
from refrain.schemas.base import Reply
from refrain.schemas.control import POLICY_KEY, PolicyInForce
from refrain.schemas.dead_letters import HEADER_REASON
from refrain.schemas.forwards import Completion, Status
from refrain.schemas.journal import Answered, AnswerFailed, AnswerWithheld, decode_event
from refrain.schemas.policy import Cacheable, CategoryPolicy, Policy
from refrain.schemas.policy_limits import Limits
from refrain.schemas.responses import DecisionSummary, Outcome, Problem, Response
from refrain.streams.errors import Refusal, RefusalCode
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.messaging.routes import DirectRoute, ShardRoute
from refrain.streams.messaging.shards import Shards
from refrain.streams.metrics import Metrics
from refrain.streams.populate.delivery import ANSWER_BYTES_MAX, LATE_MS
from refrain.streams.populate.worker import PopulateStep, run_populate
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.settings import Settings
from tests.streams.signed import ROUTES, SIGNED, signed_route

INCARNATION = "journal-1"
SECRET = "the patient has a cold"
DEADLINE_MS = 50_000
OPEN = Policy(categories={"chat": CategoryPolicy()})
CLOSED = Policy(
    categories={"chat": CategoryPolicy(), "medical": CategoryPolicy(cache=Cacheable.NEVER)},
    limits=Limits(response_bytes_max=10_000),
)
DECISION = DecisionSummary(id="f", category="medical", similarity=0.5, threshold=0.9, reason="below_threshold")


def record(value: bytes | None, offset: int = 0) -> Record:
    return Record("completions", 0, offset, 1, b"key", value, (("trace", b"1"),))


def to_shard(partition: int = 3, incarnation: str = INCARNATION) -> str:
    return signed_route(ShardRoute(forward_id="f", incarnation=incarnation, partition=partition))


def direct(forward_id: str = "f") -> str:
    return signed_route(
        DirectRoute(
            forward_id=forward_id,
            request_id="mine",
            tenant="acme",
            reply=Reply(topic="responses", partition=2, key="aw=="),
            decision=DecisionSummary(id=forward_id, reason="category_never"),
        )
    )


def asked_by(category: str = "medical", partition: int = 3, incarnation: str = INCARNATION, **more: Any) -> str:
    """The way back of a question that the shard forwarded when its category could still be kept."""
    told = {"reply": Reply(topic="responses", partition=2, key="aw=="), "decision": DECISION} | more
    return signed_route(
        ShardRoute(
            forward_id="f",
            incarnation=incarnation,
            partition=partition,
            category=category,
            request_id="mine",
            tenant="acme",
            deadline_at_ms=DEADLINE_MS,
            **told,
        )
    )


def completion(route: str, body: dict[str, Any] | None = None, error: Problem | None = None) -> bytes:
    status = Status.OK if body is not None else Status.FAILED
    return Completion(forward_id="f", route=route, status=status, body=body, error=error, latency_ms=7).encode()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def by(policy: Policy | None, metrics: Metrics) -> PopulateStep:
    in_force = None if policy is None else PolicyInForce(version=1, who="w", at_ms=0, policy=policy)
    populate = PopulateStep(Shards(32, INCARNATION), ROUTES, metrics)
    populate.follow(in_force)
    return populate


@pytest.fixture
def populate(metrics: Metrics) -> PopulateStep:
    return by(OPEN, metrics)


@pytest.fixture
def closed(metrics: Metrics) -> PopulateStep:
    """Of a policy that says `never` to one category."""
    return by(CLOSED, metrics)


def reasons(out: Iterable[Outgoing]) -> list[str]:
    return [
        (dict(r.headers)[HEADER_REASON] or b"").decode().partition(":")[0] for r in out if r.topic == "dead-letters"
    ]


def test_an_answer_goes_to_the_shard_that_asked(populate: PopulateStep) -> None:
    (out,) = populate.process([record(completion(to_shard(), {"choices": [], "text": "ä"}))])
    assert (out.topic, out.partition) == ("journal", 3)
    event = decode_event(out.value or b"")
    assert isinstance(event, Answered)
    assert json.loads(event.body.data) == {"choices": [], "text": "ä"}
    assert event.latency_ms == 7


def test_a_failure_goes_to_the_shard_that_asked(populate: PopulateStep) -> None:
    problem = Problem(code="upstream_failed", message="no")
    (out,) = populate.process([record(completion(to_shard(), error=problem))])
    assert decode_event(out.value or b"") == AnswerFailed(forward_id="f", error=problem)


def test_an_answer_of_a_request_that_is_not_remembered_goes_to_its_requester(populate: PopulateStep) -> None:
    (out,) = populate.process([record(completion(direct(), {"choices": []}))])
    assert (out.topic, out.partition, out.key) == ("responses", 2, b"k")
    response = Response.decode(out.value or b"")
    assert (response.request_id, response.tenant, response.outcome) == ("mine", "acme", Outcome.BYPASS)
    assert response.body == {"choices": []}


def test_a_failure_of_a_request_that_is_not_remembered_goes_to_its_requester(populate: PopulateStep) -> None:
    (out,) = populate.process([record(completion(direct(), error=Problem(code="upstream_failed", message="no")))])
    response = Response.decode(out.value or b"")
    assert response.outcome is Outcome.ERROR
    assert response.error == Problem(code="upstream_failed", message="no")


ERROR_BODIES: list[dict[str, Any]] = [
    {"error": {"code": 429, "message": SECRET}},
    {"object": "error", "code": 429, "message": SECRET},
    {"choices": [{"error": {"code": 429, "message": SECRET}, "finish_reason": "error"}]},
]


@pytest.mark.parametrize("body", ERROR_BODIES)
def test_an_error_that_a_connector_took_for_an_answer_is_a_failure(
    populate: PopulateStep, body: dict[str, Any]
) -> None:
    (to_journal,) = populate.process([record(completion(to_shard(), body))])
    event = decode_event(to_journal.value or b"")
    assert isinstance(event, AnswerFailed)
    (to_requester,) = populate.process([record(completion(direct(), body))])
    response = Response.decode(to_requester.value or b"")
    assert (response.outcome, response.body, response.error) == (Outcome.ERROR, None, event.error)
    assert (event.error.code, "429" in event.error.message) == ("upstream_failed", True)
    assert SECRET not in f"{to_journal}{to_requester}"


def test_an_error_of_a_category_that_may_not_be_kept_any_more_is_a_failure_too(closed: PopulateStep) -> None:
    (out,) = closed.process([record(completion(asked_by(), ERROR_BODIES[0]))])
    assert isinstance(decode_event(out.value or b""), AnswerFailed)
    assert SECRET not in str(out)


def test_a_requester_is_not_told_twice(populate: PopulateStep, metrics: Metrics) -> None:
    twice = [record(completion(direct(), {"a": 1})), record(completion(direct(), {"a": 2}), 1)]
    assert len(populate.process(twice)) == 1
    assert metrics.registry.get_sample_value("refrain_dropped_total", {"processor": "populate", "reason": "seen"}) == 1


def test_a_batch_that_is_worked_again_tells_the_same_and_a_settled_one_is_remembered(populate: PopulateStep) -> None:
    batch = [record(completion(direct(), {"a": 1}))]
    assert populate.process(batch) == populate.process(batch) != []
    populate.sent()
    assert populate.process(batch) == []


def test_an_answer_too_large_for_the_journal_becomes_a_failure(populate: PopulateStep) -> None:
    out = populate.process([record(completion(to_shard(), {"text": "x" * ANSWER_BYTES_MAX}))])
    event = decode_event(out[0].value or b"")
    assert isinstance(event, AnswerFailed)
    assert event.error.code == "answer_too_large"
    assert reasons(out) == ["answer_too_large"]


def test_an_answer_whose_escapes_make_it_too_large_becomes_a_failure(populate: PopulateStep) -> None:
    out = populate.process([record(completion(to_shard(), {"text": "\n" * (ANSWER_BYTES_MAX // 2 - 100)}))])
    assert all(len(one.value or b"") < 2_097_152 for one in out)
    out = populate.process([record(completion(to_shard(), {"text": "\x01" * (ANSWER_BYTES_MAX // 6 - 100)}))])
    assert all(len(one.value or b"") < 2_097_152 for one in out)


def test_an_answer_too_large_for_a_response_becomes_an_error_without_its_text(populate: PopulateStep) -> None:
    out = populate.process([record(completion(direct(), {"text": SECRET * 60_000}))])
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
        (completion(to_shard(32), {"a": 1}), "not_asked"),
        (completion(to_shard(-1), {"a": 1}), "not_asked"),
        (completion(to_shard(incarnation="journal-0"), {"a": 1}), "not_asked"),
    ],
)
def test_what_nobody_asked_or_can_read_is_kept_as_it_came(
    populate: PopulateStep, value: bytes | None, reason: str
) -> None:
    (out,) = populate.process([record(value)])
    assert out.topic == "dead-letters"
    assert reasons([out]) == [reason]
    assert out.value == value
    assert out.key == b"key"
    assert ("trace", b"1") in out.headers


def test_who_waits_for_an_answer_that_cannot_be_read_is_told(populate: PopulateStep) -> None:
    broken = json.dumps({"v": 1, "forward_id": "f", "route": to_shard(), "status": "ok"}).encode()
    letter, told = populate.process([record(broken)])
    assert letter.value == broken
    event = decode_event(told.value or b"")
    assert isinstance(event, AnswerFailed)
    assert event.error.code == "upstream_failed"


def test_a_direct_answer_that_cannot_be_read_is_not_kept(populate: PopulateStep) -> None:
    broken = json.dumps({"v": 1, "forward_id": "f", "route": direct(), "status": SECRET, "body": SECRET}).encode()
    letter, told = populate.process([record(broken)])
    assert letter.topic == "dead-letters"
    assert SECRET not in str(letter)
    assert SECRET not in str(told)
    assert Response.decode(told.value or b"").outcome is Outcome.ERROR


NEVER_NOW: list[tuple[Policy | None, str]] = [(CLOSED, "medical"), (CLOSED, "gone"), (None, "chat")]


@pytest.mark.parametrize(("policy", "category"), NEVER_NOW)
def test_an_answer_of_a_category_that_may_not_be_kept_any_more_goes_to_its_requester_alone(
    policy: Policy | None, category: str, metrics: Metrics
) -> None:
    told, withheld = by(policy, metrics).process([record(completion(asked_by(category), {"text": SECRET}))])
    assert (told.topic, told.partition, told.key) == ("responses", 2, b"k")
    assert Response.decode(told.value or b"") == Response(
        request_id="mine", tenant="acme", outcome=Outcome.MISS, body={"text": SECRET}, decision=DECISION
    )
    assert (withheld.topic, withheld.partition, withheld.key) == ("journal", 3, b"f")
    assert decode_event(withheld.value or b"") == AnswerWithheld(forward_id="f")


def test_an_answer_of_a_category_that_may_be_kept_goes_to_the_shard_alone(closed: PopulateStep) -> None:
    (out,) = closed.process([record(completion(asked_by("chat"), {"a": 1}))])
    assert isinstance(decode_event(out.value or b""), Answered)


def test_an_answer_whose_way_back_names_no_category_goes_to_the_shard(closed: PopulateStep) -> None:
    (out,) = closed.process([record(completion(to_shard(), {"a": 1}))])
    assert isinstance(decode_event(out.value or b""), Answered)


def test_a_withheld_answer_that_nobody_waits_for_is_told_to_nobody(closed: PopulateStep) -> None:
    (out,) = closed.process([record(completion(asked_by(reply=None, decision=None), {"text": SECRET}))])
    assert decode_event(out.value or b"") == AnswerWithheld(forward_id="f")


def test_a_withheld_answer_long_after_its_deadline_finds_its_requester_told(closed: PopulateStep) -> None:
    late = record(completion(asked_by(), {"text": SECRET}))._replace(timestamp_ms=DEADLINE_MS + LATE_MS + 1)
    assert [out.topic for out in closed.process([late])] == ["journal"]
    closed.sent()
    assert [out.topic for out in closed.process([late._replace(timestamp_ms=DEADLINE_MS + LATE_MS)])] == []


def test_whom_a_connector_with_a_wrong_clock_calls_late_is_told_by_the_shard_if_it_still_waits(
    closed: PopulateStep,
) -> None:
    (out,) = closed.process(
        [record(completion(asked_by(), {"text": SECRET}))._replace(timestamp_ms=DEADLINE_MS + 10**9)]
    )
    event = decode_event(out.value or b"")
    assert isinstance(event, AnswerFailed)
    assert event.error.code == "deadline_exceeded"
    assert SECRET not in str(out)


def test_a_requester_of_a_withheld_answer_is_not_told_twice(closed: PopulateStep, metrics: Metrics) -> None:
    batch = [record(completion(asked_by(), {"a": 1})), record(completion(asked_by(), {"a": 2}), 1)]
    assert len(closed.process(batch)) == 2
    closed.sent()
    assert closed.process(batch) == []
    assert metrics.registry.get_sample_value("refrain_dropped_total", {"processor": "populate", "reason": "seen"}) == 3


def test_whom_the_shard_told_is_not_told_again_when_the_category_becomes_never(metrics: Metrics) -> None:
    in_force = PolicyInForce(version=1, who="w", at_ms=0, policy=CLOSED)
    populate = PopulateStep(Shards(32, INCARNATION), ROUTES, metrics)
    populate.follow(in_force)
    answered = record(completion(asked_by("chat"), {"a": 1}))
    assert [out.topic for out in populate.process([answered])] == ["journal"]
    populate.sent()
    shut = Policy(categories={"chat": CategoryPolicy(cache=Cacheable.NEVER)})
    in_force = in_force.model_copy(update={"version": 2, "policy": shut})
    populate.follow(in_force)
    assert populate.process([answered]) == []


def test_a_failure_of_a_category_that_may_not_be_kept_has_none_of_the_connectors_words(closed: PopulateStep) -> None:
    (out,) = closed.process([record(completion(asked_by(), error=Problem(code="rate_limited", message=SECRET)))])
    event = decode_event(out.value or b"")
    assert isinstance(event, AnswerFailed)
    assert event.error.code == "rate_limited"
    assert SECRET not in str(out)
    closed.sent()
    (out,) = by(CLOSED, Metrics()).process([record(completion(asked_by(), error=Problem(code=SECRET, message="")))])
    assert SECRET not in str(out)


def test_a_withheld_answer_too_large_for_a_response_becomes_an_error_and_its_text_lies_nowhere(
    closed: PopulateStep,
) -> None:
    told, withheld, letter = closed.process([record(completion(asked_by(), {"text": SECRET * 1_000}))])
    response = Response.decode(told.value or b"")
    assert response.error is not None
    assert response.error.code == "answer_too_large"
    assert decode_event(withheld.value or b"") == AnswerWithheld(forward_id="f")
    assert (letter.topic, letter.value) == ("dead-letters", None)
    assert SECRET not in str((told, withheld, letter))


def test_dead_letters_of_what_may_not_be_kept_have_no_text(closed: PopulateStep) -> None:
    wrong: list[bytes] = [
        json.dumps({"v": 1, "forward_id": "f", "route": asked_by(), "status": SECRET, "body": SECRET}).encode(),
        json.dumps({"v": 1, "forward_id": "f", "status": SECRET, "body": SECRET}).encode(),
        completion("nonsense", {"text": SECRET}),
        completion(asked_by(partition=99), {"text": SECRET}),
        completion(asked_by(incarnation="journal-0"), {"text": SECRET}),
    ]
    for value in wrong:
        out = closed.process([record(value)])
        assert out[0].topic == "dead-letters"
        assert SECRET not in str(out)


def test_dead_letters_of_what_may_be_kept_are_as_they_came(closed: PopulateStep) -> None:
    value = completion(asked_by("chat", partition=99), {"text": "harmless"})
    (letter,) = closed.process([record(value)])
    assert letter.value == value


def test_a_worker_acknowledges_the_policy_and_withholds_by_it() -> None:
    cluster = MemoryCluster(lambda: 5)
    policy = PolicyInForce(version=7, who="w", at_ms=0, policy=CLOSED)
    cluster.append([Outgoing("policies", POLICY_KEY, policy.encode())])
    cluster.append(
        [Outgoing("completions", b"f", completion(asked_by(incarnation=cluster.topic_id("journal")), {"text": SECRET}))]
    )
    run_populate(
        WorkerContext(
            Settings(routes=SIGNED),
            cluster,
            Metrics(),
            stop=lambda: bool(cluster.records("journal") and cluster.records("acknowledgements")),
            ready=lambda: None,
            now_ms=lambda: 5,
        )
    )
    assert [decode_event(r.value or b"") for r in cluster.records("journal")] == [AnswerWithheld(forward_id="f")]
    assert len(cluster.records("responses")) == 1
    (said,) = cluster.records("acknowledgements")
    assert said.key == b"populate/populate-1"
    assert Acknowledgement.decode(said.value or b"").version == 7


def test_a_worker_carries_completions_and_commits_its_offset() -> None:
    cluster = MemoryCluster(lambda: 5)
    route = signed_route(ShardRoute(forward_id="f", incarnation=cluster.topic_id("journal"), partition=9))
    cluster.append([Outgoing("completions", b"f", completion(route, {"a": 1})), Outgoing("completions", b"g", b"junk")])
    run_populate(
        WorkerContext(
            Settings(routes=SIGNED),
            cluster,
            Metrics(),
            stop=lambda: bool(cluster.records("journal") and cluster.records("dead-letters")),
            ready=lambda: None,
            now_ms=lambda: 5,
        )
    )
    assert [r.partition for r in cluster.records("journal")] == [9]
    assert sum(p.next_offset for p in cluster.consumer("completions", "populate").committed(range(8)).values()) == 2


def test_a_requester_is_not_told_twice_by_the_next_worker_either() -> None:
    cluster = MemoryCluster(lambda: 5)
    for number, body in enumerate(({"a": 1}, {"a": 2}), start=1):
        cluster.append(
            [Outgoing("completions", b"f", completion(direct(), body)), Outgoing("completions", b"f", b"junk")]
        )

        def done(letters: int = number) -> bool:
            return len(cluster.records("dead-letters")) == letters

        context = WorkerContext(
            Settings(routes=SIGNED), cluster, Metrics(), stop=done, ready=lambda: None, now_ms=lambda: 5
        )
        run_populate(context)
    (response,) = cluster.records("responses")
    assert Response.decode(response.value or b"").body == {"a": 1}


@pytest.mark.parametrize("policy", [OPEN, CLOSED], ids=["kept", "never"])
def test_a_requester_who_was_told_directly_is_not_told_by_the_shard_which_hears_that_it_is_done(
    policy: Policy, metrics: Metrics
) -> None:
    populate = by(policy, metrics)
    body = {"choices": [], "text": SECRET}
    (told,) = populate.process([record(completion(direct(), body))])
    assert told.topic == "responses"
    populate.sent()
    for _ in range(2):
        (done,) = populate.process([record(completion(asked_by("chat" if policy is OPEN else "medical"), body), 1)])
        assert (done.topic, done.partition) == ("journal", 3)
        assert decode_event(done.value or b"") == AnswerWithheld(forward_id="f")


@pytest.mark.parametrize("policy", [OPEN, CLOSED], ids=["kept", "never"])
def test_a_requester_whom_the_shard_tells_is_not_told_directly(policy: Policy, metrics: Metrics) -> None:
    populate = by(policy, metrics)
    body = {"choices": [], "text": "an answer"}
    assert populate.process([record(completion(asked_by("chat" if policy is OPEN else "medical"), body))])
    populate.sent()
    assert populate.process([record(completion(direct(), body), 1)]) == []


def test_who_waits_for_a_completion_that_is_set_aside_is_told(populate: PopulateStep) -> None:
    refusal = Refusal(RefusalCode.QUARANTINED, "set aside")
    (to_journal,) = populate.tell(record(completion(to_shard(), {"a": 1})), refusal)
    failed = decode_event(to_journal.value or b"")
    assert isinstance(failed, AnswerFailed)
    assert "quarantined" in failed.error.message
    populate.process([])
    (told,) = populate.tell(record(completion(direct(), {"a": 1})), refusal)
    response = Response.decode(told.value or b"")
    assert response.error is not None
    for value in (None, b"{", completion(to_shard(incarnation="another"), {}), completion("forged.x.y", {})):
        assert populate.tell(record(value), refusal) == []
