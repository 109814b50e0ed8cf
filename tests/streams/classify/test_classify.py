"""classify: lists of records in, lists of records out."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from refrain.schemas.control import PolicyInForce
from refrain.schemas.dead_letters import HEADER_PROCESSOR, HEADERS
from refrain.schemas.decisions import Reason
from refrain.schemas.forwards import Forward
from refrain.schemas.journal import Asked, Passed, decode_event
from refrain.schemas.policy import Cacheable, CategoryPolicy, Policy
from refrain.schemas.responses import Outcome, Response
from refrain.schemas.topics import BY_NAME
from refrain.streams.classify.record_size import OUT_BYTES_MAX
from refrain.streams.errors import ClusterFailed, Refusal, RefusalCode, WrongSetup
from refrain.streams.kafka.interface import Record
from refrain.streams.messaging.ids import decision_id, decision_tag
from refrain.streams.messaging.routes import DirectRoute, decode_route
from refrain.streams.models.hashing_embedder import HashingEmbedder
from refrain.streams.vectors import decode, quantise
from tests.streams.classify.entrance import (
    BY_EXAMPLE,
    LIMITS,
    NO_NEVER,
    NOW_MS,
    OPEN,
    POLICY,
    SECRET,
    Entrance,
    ask,
    asked_of,
    passed_of,
    reason_of,
    record,
    refused_of,
    text_in,
)


def test_a_question_becomes_asked_with_all_that_the_shard_needs() -> None:
    entrance = Entrance()
    headers = (("kafka_correlationId", b"c1"),)
    out = entrance(
        ask(
            "How to sort a list in python?",
            7,
            headers,
            tenant="t",
            vary={"a": 1},
            tags=["x"],
            deadline_at_ms=NOW_MS + 5,
        )
    )
    event = asked_of(out)
    tag = decision_tag("requests-id", "journal-id")
    assert event.id == decision_id(2, 7, tag)
    assert (event.origin.topic, event.origin.topic_id, event.origin.partition, event.origin.offset) == (
        "requests", "requests-id", 2, 7,
    )  # fmt: skip
    assert (event.tenant, event.space, event.category, event.model) == ("t", "t", "code", "m")
    assert event.classifier.startswith("examples:")
    assert (event.seen.policy_version, event.seen.threshold, event.seen.cache) == (4, 0.9, Cacheable.ALLOW)
    assert event.deadline_at_ms == NOW_MS + 5
    assert event.question.data == "How to sort a list in python?"
    assert json.loads(event.body.data) == {"model": "m", "messages": [{"role": "user", "content": event.question.data}]}
    assert event.vector is not None
    assert (decode(event.vector) == quantise(HashingEmbedder().embed([event.question.data])[0])).all()
    assert event.reply.topic == "responses"
    assert [(header.name, base64.b64decode(header.value or "")) for header in event.reply.headers] == list(headers)
    assert out[0].key == b"t/code/0"


def test_the_key_names_space_category_and_slice() -> None:
    entrance = Entrance()
    outs = [entrance(ask(f"q{number}", number, tags=["s"], vary={"n": number})) for number in range(40)]
    keys = {out[0].key for out in outs}
    assert keys == {b"*/shared/0", b"*/shared/1", b"*/shared/2", b"*/shared/3"}
    for out in outs:
        slice_ = int(asked_of(out).context, 16) % 4
        assert out[0].key == f"*/shared/{slice_}".encode()
        assert asked_of(out).space == "*"


def test_without_a_deadline_the_shard_sets_one() -> None:
    assert asked_of(Entrance()(ask())).deadline_at_ms is None


def test_a_batch_is_embedded_in_one_call_and_answered_in_its_order() -> None:
    entrance = Entrance()
    entrance(ask("prepare", 0))
    entrance.embedder.calls.clear()
    records = [ask("a" if n % 2 else "b", n, cache="bypass" if n == 3 else "use") for n in range(1, 6)]
    out = entrance(*records, record(b"{", 6), ask("c", 7))
    assert entrance.embedder.calls == [["a", "b", "c"]]
    events = [decode_event(o.value or b"") for o in out if o.topic == "journal"]
    assert [event.origin.offset for event in events if isinstance(event, Asked | Passed)] == [1, 2, 3, 4, 5, 7]


def test_a_text_beyond_the_window_is_not_compared_by_its_beginning_alone() -> None:
    entrance = Entrance()
    start = "word " * 60
    events = [asked_of(entrance(ask(start + rest, category="code"))) for rest in ("in Rome", "in Rome", "in Oslo", "")]
    rome, again, oslo, short = events
    assert rome.question.data == start + "in Rome"
    assert {event.vector for event in events} == {short.vector}
    assert rome.context == again.context
    assert len({event.context for event in events}) == 3
    assert [name for name in rome.fields if rome.fields[name] != oslo.fields[name]] == ["beyond"]
    assert "beyond" not in short.fields


def test_of_a_long_text_only_the_head_reaches_the_model_and_no_long_text_past_the_cache_does() -> None:
    entrance = Entrance()
    entrance(
        ask("x" * 900, 1, category="code"), ask("x" * 900, 2, category="code", cache="bypass"), ask(SECRET * 20, 3)
    )
    assert entrance.embedder.calls[1:] == [["x" * 300]]


@pytest.mark.parametrize("hidden", ["\U000e0073\U000e0061\U000e0079", "\u200b\u200c\u200b", "\u202e", "\x00", "\u00ad"])
def test_a_question_with_hidden_text_is_another_one(hidden: str) -> None:
    plain, hiding, again = (
        asked_of(Entrance()(ask(text)))
        for text in ("What is a list?", f"What is a list?{hidden}", f"What's a list?{hidden}")
    )
    assert plain.context != hiding.context == again.context
    assert set(hiding.fields) - set(plain.fields) >= {"hidden"}


def test_a_last_message_that_is_not_the_users_is_only_matched_exactly() -> None:
    last = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    assert asked_of(Entrance()(ask(body=last))).vector is None


def test_a_text_without_a_vector_is_only_matched_exactly() -> None:
    out = Entrance()(ask("bad", 1), ask("good", 2))
    assert [asked_of([o]).vector is None for o in out] == [True, False]


@pytest.mark.parametrize("fields", [{"category": "medical"}, {}, {"cache": "bypass"}, {"cache": "refresh"}])
def test_never_traffic_goes_straight_to_the_model_and_nowhere_else(fields: dict[str, Any]) -> None:
    entrance = Entrance()
    out = entrance(ask(SECRET, **fields))
    forward, passed = passed_of(out)
    assert text_in(out, SECRET) == {"forwards"}
    assert passed.reason == forward_summary(forward).reason == Reason.CATEGORY_NEVER
    assert (passed.category, passed.outcome, passed.policy_version) == ("medical", Outcome.BYPASS, 4)
    assert out[1].key == b"default/medical/0"
    assert entrance.embedder.calls == [["How do I sort a list in Python?"]]


def forward_summary(forward: Forward) -> Any:
    route = decode_route(forward.route, forward.forward_id)
    assert isinstance(route, DirectRoute)
    return route.decision


def test_a_question_near_a_never_example_goes_no_further_and_is_forgotten() -> None:
    entrance = Entrance(BY_EXAMPLE)
    entrance(ask("hello"))
    known = len(entrance.remembering)
    out = entrance(ask("which pills help against a fever"))
    assert passed_of(out)[1].reason == Reason.CATEGORY_NEVER
    assert text_in(out, "which pills help") == {"forwards"}
    assert len(entrance.remembering) == known


def test_what_might_be_never_and_has_no_vector_is_passed_on() -> None:
    assert passed_of(Entrance(BY_EXAMPLE)(ask("bad")))[1].reason == Reason.CATEGORY_UNKNOWN


def test_a_forward_carries_the_way_back_and_no_stream() -> None:
    headers = (("reply-to", b"team.replies"), ("kafka_replyPartition", b"\x00\x00\x00\x01"))
    out = Entrance()(ask(SECRET, 5, headers, tenant="t"))
    forward, _ = passed_of(out)
    assert out[0].key == forward.forward_id.encode()
    assert (forward.model, forward.body) == ("m", {"model": "m", "messages": [{"role": "user", "content": SECRET}]})
    route = decode_route(forward.route, forward.forward_id)
    assert isinstance(route, DirectRoute)
    assert (route.request_id, route.tenant, route.reply.topic, route.reply.partition) == ("r5", "t", "/team.replies", 1)
    assert route.decision.id == forward.forward_id


@pytest.mark.parametrize(
    ("wanted", "deadline"),
    [(None, NOW_MS + 60_000), (NOW_MS + 10, NOW_MS + 10), (NOW_MS + 90_000, NOW_MS + 60_000)],
)
def test_a_forward_is_not_waited_for_longer_than_the_policy_says(wanted: int | None, deadline: int) -> None:
    assert passed_of(Entrance()(ask(SECRET, deadline_at_ms=wanted)))[0].deadline_at_ms == deadline


@pytest.mark.parametrize(
    ("policy", "fields", "reason", "category"),
    [
        (None, {}, Reason.NO_POLICY, None),
        (None, {"category": "code"}, Reason.NO_POLICY, None),
        (None, {"cache": "bypass"}, Reason.BYPASS_ASKED, None),
        (POLICY, {"cache": "bypass"}, Reason.BYPASS_ASKED, None),
        (POLICY, {"cache": "bypass", "category": "code"}, Reason.BYPASS_ASKED, "code"),
        (POLICY, {"category": "unheard"}, Reason.CATEGORY_UNKNOWN, "unheard"),
        (Policy(categories={"code": CategoryPolicy()}), {}, Reason.CATEGORY_UNKNOWN, "uncategorised"),
    ],
)
def test_what_is_not_looked_up_passes_with_its_reason(
    policy: Policy | None, fields: dict[str, Any], reason: Reason, category: str | None
) -> None:
    out = Entrance(policy)(ask("some words", **fields))
    forward, passed = passed_of(out)
    assert (passed.reason, passed.category) == (reason, category)
    assert passed.id == forward.forward_id
    assert out[1].key == f"default/{category or '-'}/0".encode()
    assert text_in(out, "some words") == {"forwards"}


@pytest.mark.parametrize(
    ("policy", "reason"), [(POLICY, Reason.CATEGORY_NEVER), (None, Reason.NO_POLICY)]
)  # fmt: skip
def test_an_answer_from_the_cache_only_that_cannot_be_there_is_an_error(policy: Policy | None, reason: Reason) -> None:
    answer, decided = Entrance(policy)(ask(SECRET, cache="only"))
    response = Response.decode(answer.value or b"")
    assert response.error is not None
    assert response.decision is not None
    assert (response.error.code, response.decision.reason) == (RefusalCode.NOT_CACHED, reason)
    event = decode_event(decided.value or b"")
    assert isinstance(event, Passed)
    assert (event.outcome, event.reason) == (Outcome.ERROR, reason)


@pytest.mark.parametrize("text", ["hello", SECRET])
def test_a_deadline_that_is_over_is_told_and_asks_nobody(text: str) -> None:
    answer, decided = Entrance()(ask(text, deadline_at_ms=NOW_MS))
    response = Response.decode(answer.value or b"")
    assert response.error is not None
    assert response.error.code == RefusalCode.DEADLINE
    event = decode_event(decided.value or b"")
    assert isinstance(event, Passed)
    assert (event.outcome, event.reason) == (Outcome.ERROR, Reason.DEADLINE_PASSED)


def test_what_is_remembered_goes_when_a_policy_comes_that_says_never() -> None:
    entrance = Entrance()
    entrance.in_force = PolicyInForce(version=5, who="w", at_ms=0, policy=OPEN)
    entrance(ask("Where does it hurt?", category="chat"))
    assert len(entrance.remembering) > 0
    shut = OPEN.model_copy(update={"categories": {"chat": CategoryPolicy(cache=Cacheable.NEVER)}})
    entrance.in_force = PolicyInForce(version=6, who="w", at_ms=0, policy=shut)
    entrance.classifier.follow(entrance.in_force)
    assert len(entrance.remembering) == 0
    _, passed = passed_of(entrance(ask("Where does it hurt?", category="chat")))
    assert passed.reason == Reason.CATEGORY_NEVER
    assert len(entrance.remembering) == 0


def test_what_is_remembered_stays_under_a_policy_without_never() -> None:
    entrance = Entrance(OPEN)
    entrance(ask("Where does it hurt?", category="chat"))
    entrance.in_force = PolicyInForce(version=6, who="w", at_ms=0, policy=OPEN)
    calls = len(entrance.embedder.calls)
    asked_of(entrance(ask("Where does it hurt?", category="chat")))
    assert len(entrance.embedder.calls) == calls


def test_a_policy_is_taken_on_as_a_whole_or_not_at_all() -> None:
    entrance = Entrance(OPEN)
    entrance.classifier.follow(entrance.in_force)
    with_examples = OPEN.model_copy(update={"categories": {"chat": CategoryPolicy(examples=("What?",))}})
    entrance.in_force = PolicyInForce(version=5, who="w", at_ms=0, policy=with_examples)
    entrance.embedder.fails = WrongSetup("the model is gone")
    with pytest.raises(WrongSetup):
        entrance.classifier.follow(entrance.in_force)
    entrance.embedder.fails = None
    assert asked_of(entrance(ask(category="chat"))).seen.policy_version == 5


def test_a_new_policy_is_used_from_the_next_batch_on() -> None:
    entrance = Entrance(None)
    assert passed_of(entrance(ask()))[1].reason == Reason.NO_POLICY
    entrance.in_force = PolicyInForce(version=5, who="w", at_ms=0, policy=POLICY)
    assert asked_of(entrance(ask())).seen.policy_version == 5


BAD = [
    (record(b"\xff"), RefusalCode.UNREADABLE, None),
    (record(None), RefusalCode.UNREADABLE, None),
    (record(b"[" * 1_000), RefusalCode.TOO_DEEP, None),
    (record(b'"' + b"x" * 900_000 + b'"'), RefusalCode.TOO_LARGE, None),
    (ask(v=2), RefusalCode.UNKNOWN_VERSION, "r0"),
    (ask(tenant="a/b"), RefusalCode.BAD_FIELD, "r0"),
    (ask(body={"model": ""}), RefusalCode.BAD_FIELD, "r0"),
    (ask(body={"messages": []}), RefusalCode.EMPTY_QUESTION, "r0"),
    (ask("  "), RefusalCode.EMPTY_QUESTION, "r0"),
    (ask("x" * 1_001), RefusalCode.QUESTION_TOO_LONG, "r0"),
    (ask(vary={"x": "y" * 900_000}), RefusalCode.TOO_LARGE, "r0"),
    (ask(headers=(("reply-to", b"elsewhere"),)), RefusalCode.BAD_REPLY_TO, "r0"),
    (ask(headers=(("reply-to", b"team.missing"),)), RefusalCode.BAD_REPLY_TO, "r0"),
    (ask(headers=(("reply-to", b"refrain.journal"),)), RefusalCode.BAD_REPLY_TO, "r0"),
    (ask(headers=(("big", b"x" * 501),)), RefusalCode.TOO_LARGE, "r0"),
    (ask()._replace(key=b"x" * 501), RefusalCode.TOO_LARGE, "r0"),
    (ask("\ud800"), RefusalCode.BAD_FIELD, None),
]


@pytest.mark.parametrize(("bad", "code", "request_id"), BAD, ids=lambda value: str(value)[:24])
def test_bad_input_is_kept_and_told(bad: Record, code: RefusalCode, request_id: str | None) -> None:
    entrance = Entrance(NO_NEVER)
    out = entrance(bad, ask("good", 1))
    letter, response = refused_of(out[:2])
    assert (letter.key, letter.value) == (bad.key, bad.value)
    assert [pair for pair in letter.headers if pair[0] not in HEADERS] == list(bad.headers)
    assert dict(letter.headers)[HEADER_PROCESSOR] == b"classify"
    assert reason_of(letter).startswith(f"{code.value}: ")
    assert response.error is not None
    assert (response.outcome, response.error.code, response.request_id) == (Outcome.ERROR, code, request_id)
    assert asked_of(out[2:]).question.data == "good"
    counted = entrance.metrics.registry.get_sample_value(
        "refrain_refused_total", {"processor": "classify", "reason": code.value}
    )
    assert counted == 1


def test_a_refusal_goes_where_the_request_asked_with_its_key_and_headers() -> None:
    headers = (("reply-to", b"team.replies"), ("kafka_correlationId", b"c"))
    _, answer = Entrance()(record(b"{", headers=headers))
    assert (answer.topic, answer.key, answer.headers) == ("/team.replies", b"k", headers)
    _, answer = Entrance()(record(b"{", headers=(("reply-to", b"elsewhere"), ("kafka_correlationId", b"c"))))
    assert (answer.topic, answer.partition) == ("responses", None)
    assert ("kafka_correlationId", b"c") in answer.headers


def test_headers_over_the_limit_are_not_carried_back() -> None:
    headers = (("kafka_correlationId", b"c"), ("big", b"x" * 600))
    _, answer = Entrance()(ask(headers=headers))
    assert (answer.key, answer.headers) == (b"k", headers[:1])


@pytest.mark.parametrize(
    "bad",
    [
        ask(SECRET, v=2),
        ask(SECRET, tenant="a/b"),
        ask(SECRET + "x" * 1_000),
        ask(SECRET, headers=(("reply-to", b"elsewhere"),)),
        ask(SECRET, headers=(("note", SECRET.encode() * 100),)),
        record(b"{" + SECRET.encode()),
        record(b"{" + SECRET.replace("d", "\\u0064").encode()),
        record(b'{"category": "medical", "text": "my secret'),
        record(json.dumps({"body": SECRET}).encode()),
        ask("private", category="medical", cache="maybe"),
        ask(body={"messages": [{"role": "user", "content": SECRET}, {"role": "user", "content": ""}]}, category="code"),
    ],
)  # fmt: skip
def test_no_original_of_never_traffic_lies_in_dead_letters(bad: Record) -> None:
    letter, response = refused_of(Entrance()(bad))
    assert (letter.key, letter.value) == (None, None)
    assert {name for name, _ in letter.headers} == set(HEADERS)
    assert "secret" not in reason_of(letter)
    assert response.error is not None
    assert "secret" not in response.error.message


def test_without_a_policy_no_original_lies_in_dead_letters() -> None:
    letter, _ = refused_of(Entrance(None)(record(b"{")))
    assert letter.value is None


def test_what_only_examples_could_tell_is_kept_without_its_text() -> None:
    entrance = Entrance(BY_EXAMPLE)
    assert refused_of(entrance(ask("which pills?", v=2)))[0].value is None
    assert refused_of(entrance(ask(v=2, category="uncategorised")))[0].value is not None


def test_a_request_that_outgrows_its_topic_by_escapes_is_refused() -> None:
    limits = LIMITS.model_copy(update={"question_chars_max": 450_000})
    entrance = Entrance(limits=limits)
    quotes = ask('"' * 440_000, category="code")
    letter, response = refused_of(entrance(quotes))
    assert reason_of(letter).startswith("too_large: ")
    assert response.error is not None
    assert BY_NAME["journal"].max_bytes > OUT_BYTES_MAX


def test_a_record_that_nobody_foresaw_does_not_stop_those_behind_it() -> None:
    entrance = Entrance()
    entrance.embedder.head_fails = ZeroDivisionError(SECRET)
    letter, _ = refused_of(entrance(ask()))
    entrance.embedder.head_fails = None
    assert reason_of(letter).startswith("internal: ZeroDivisionError at ")
    assert SECRET not in reason_of(letter)
    asked_of(entrance(ask()))


def test_a_broker_that_fails_stops_the_batch() -> None:
    def fails(_: str) -> int:
        raise ClusterFailed("no broker")

    entrance = Entrance(partitions=fails)
    with pytest.raises(ClusterFailed):
        entrance(ask(headers=(("reply-to", b"team.replies"),)))


def test_headers_that_need_not_come_back_are_neither_counted_nor_kept() -> None:
    headers = (("big", b"x" * 501), ("refrain-not-returned", b"big"), ("mine", b"1"))
    asked = next(out for out in Entrance()(ask(headers=headers)) if out.topic == "journal")
    assert [header.name for header in Asked.decode(asked.value or b"").reply.headers] == ["mine"]


def test_who_sent_a_request_that_is_set_aside_is_told_by_what_stands_beside_it_and_its_id_alone() -> None:
    sent = ask("What is a list?", 3, (("reply-to", b"team.replies"), ("correlation", b"c")))
    (told,) = Entrance().classifier.tell(sent, Refusal(RefusalCode.QUARANTINED, "set aside"))
    response = Response.decode(told.value or b"")
    assert (told.topic, told.key, dict(told.headers)["correlation"]) == ("/team.replies", b"k", b"c")
    assert response.error is not None
    assert (response.error.code, response.request_id) == ("quarantined", "r3")


def test_a_request_with_an_unknown_field_or_category_is_answered_and_told_so() -> None:
    entrance = Entrance()
    forward, passed = passed_of(entrance(ask(category="cod", catgory="code")))
    assert passed.reason == Reason.CATEGORY_UNKNOWN
    route = decode_route(forward.route, forward.forward_id)
    assert isinstance(route, DirectRoute)
    warnings = [base64.b64decode(header.value or "").decode() for header in route.reply.headers]
    assert warnings == [
        "the policy has no category 'cod': did you mean 'code'?",
        "the request has no field 'catgory', it was ignored: did you mean 'category'?",
    ]
    asked = asked_of(entrance(ask(category="code", catgory="code", offset=1)))
    assert [header.name for header in asked.reply.headers] == ["refrain.warning"]
    (plain,) = entrance(ask(category="code", offset=2))
    assert b"refrain.warning" not in (plain.value or b"")


def test_a_request_that_is_refused_is_told_of_unknown_fields_as_well() -> None:
    _, answer = refused_of(Entrance()(record(b'{"v": 1, "bdy": {}}')))
    assert answer.warnings == ("the request has no field 'bdy', it was ignored: did you mean 'body'?",)
