"""classify: lists of records in, lists of records out."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from refrain.schemas.acknowledgements import Acknowledgement
from refrain.schemas.control import POLICY_KEY, PolicyInForce
from refrain.schemas.dead_letters import HEADER_PROCESSOR, HEADER_REASON, HEADERS
from refrain.schemas.decisions import Reason
from refrain.schemas.forwards import Forward
from refrain.schemas.journal import Asked, Passed, decode_event
from refrain.schemas.policy import Cacheable, CategoryPolicy, Policy
from refrain.schemas.policy_limits import Limits
from refrain.schemas.policy_rules import Match, Rule
from refrain.schemas.responses import Outcome, Response
from refrain.schemas.topics import BY_NAME
from refrain.streams.classify.origins import Incarnations
from refrain.streams.classify.record_size import OUT_BYTES_MAX
from refrain.streams.classify.reply_topic import ReplyTopics
from refrain.streams.classify.step import ClassifyStep
from refrain.streams.classify.worker import check_topics, run_classify
from refrain.streams.errors import ClusterFailed, Refusal, RefusalCode, WrongSetup
from refrain.streams.kafka.interface import Headers, Outgoing, Record
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.messaging.ids import decision_id, decision_tag
from refrain.streams.messaging.routes import DirectRoute, decode_route
from refrain.streams.messaging.signed_routes import RouteSigner
from refrain.streams.metrics import Metrics
from refrain.streams.models.category_artifact import CATEGORY_FILES
from refrain.streams.models.embedding_cache import EmbeddingCache, EmbeddingMetrics
from refrain.streams.models.hashing_embedder import HashingEmbedder
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.settings import Classify, Embedding, Settings
from refrain.streams.vectors import Floats, decode, quantise
from tests.streams.models.made_categories import artefact
from tests.streams.signed import ROUTES, SIGNED

NOW_MS = 1_000_000
SECRET = "my secret diagnosis"
POLICY = Policy(
    categories={
        "code": CategoryPolicy(threshold=0.9, examples=("How do I sort a list in Python?",)),
        "shared": CategoryPolicy(scope="shared", slices=4),
        "watched": CategoryPolicy(cache=Cacheable.OBSERVE),
        "medical": CategoryPolicy(cache=Cacheable.NEVER),
        "uncategorised": CategoryPolicy(),
    },
    rules=(Rule(when=Match(pattern="diagnosis"), category="medical"), Rule(when=Match(tag="s"), category="shared")),
    limits=Limits(answer_timeout_ms=60_000),
)
OPEN = Policy(categories={"chat": CategoryPolicy()})
NO_NEVER = POLICY.model_copy(
    update={
        "categories": {name: of for name, of in POLICY.categories.items() if name != "medical"},
        "rules": POLICY.rules[1:],
    }
)
BY_EXAMPLE = Policy(
    categories={
        "medical": CategoryPolicy(cache=Cacheable.NEVER, examples=("Which pills help against fever?",)),
        "uncategorised": CategoryPolicy(),
    }
)
LIMITS = Classify(
    question_chars_max=1_000, request_bytes_max=900_000, header_bytes_max=500, depth_max=16, reply_topics=("team.*",)
)


class Embedder(HashingEmbedder):
    """The free one; counts calls, has a window of 300 characters, and no vector for a text with `bad`."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[list[str]] = []
        self.fails: Exception | None = None
        self.head_fails: Exception | None = None

    def embed(self, texts: Sequence[str]) -> Floats:
        if self.fails is not None:
            raise self.fails
        self.calls.append(list(texts))
        rows = super().embed(texts)
        for number, text in enumerate(texts):
            if "bad" in text:
                rows[number] = np.nan
        return rows

    def fits(self, text: str) -> bool:
        return len(text) <= 300

    def head(self, text: str) -> str:
        if self.head_fails is not None:
            raise self.head_fails
        return text[:300]


class Entrance:
    """A classifier with all that belongs to it."""

    def __init__(
        self,
        policy: Policy | None = POLICY,
        limits: Classify = LIMITS,
        partitions: Callable[[str], int | None] = {"responses": 8, "/team.replies": 2}.get,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.embedder = Embedder()
        self.metrics = Metrics()
        self.remembering = EmbeddingCache(self.embedder, 100, EmbeddingMetrics(self.metrics))
        self.in_force = None if policy is None else PolicyInForce(version=4, who="w", at_ms=0, policy=policy)
        self.classifier = ClassifyStep(
            limits,
            Incarnations("requests-id", "journal-id"),
            self.remembering,
            ReplyTopics("refrain.", limits.reply_topics, partitions, lambda: 0),
            self.metrics,
            clock=clock,
        )

    def __call__(self, *records: Record) -> list[Outgoing]:
        self.classifier.follow(self.in_force)
        return self.classifier.process(records)


def record(value: bytes | None, offset: int = 0, headers: Headers = (), key: bytes | None = b"k") -> Record:
    return Record("requests", 2, offset, NOW_MS, key, value, headers)


def ask(text: Any = "What is a list?", offset: int = 0, headers: Headers = (), **fields: Any) -> Record:
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": text}], **fields.pop("body", {})}
    message = {"v": 1, "request_id": f"r{offset}", "body": body, **fields}
    return record(json.dumps(message).encode(), offset, headers)


def asked_of(out: Sequence[Outgoing]) -> Asked:
    (only,) = out
    assert only.topic == "journal"
    event = decode_event(only.value or b"")
    assert isinstance(event, Asked)
    return event


def passed_of(out: Sequence[Outgoing]) -> tuple[Forward, Passed]:
    first, second = out
    assert (first.topic, second.topic) == ("forwards", "journal")
    event = decode_event(second.value or b"")
    assert isinstance(event, Passed)
    return Forward.decode(first.value or b""), event


def refused_of(out: Sequence[Outgoing]) -> tuple[Outgoing, Response]:
    letter, answer = out
    assert letter.topic == "dead-letters"
    return letter, Response.decode(answer.value or b"")


def reason_of(letter: Outgoing) -> str:
    return (dict(letter.headers)[HEADER_REASON] or b"").decode()


def text_in(out: Sequence[Outgoing], text: str) -> set[str]:
    """The topics in which the text stands, in plain or in base64."""
    forms = {text.encode()}
    for pad in range(3):
        coded = base64.b64encode(b"x" * pad + text.encode() + b"xx")
        forms.add(coded[4:-4])
    wholes = [(o.topic, b"|".join([o.key or b"", o.value or b"", *(v or b"" for _, v in o.headers)])) for o in out]
    return {topic for topic, whole in wholes if any(form in whole for form in forms)}


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


ENTRANCE = Entrance(limits=LIMITS.model_copy(update={"reply_topics": ()}))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
messages = st.fixed_dictionaries(
    {},
    optional={"role": st.sampled_from(["user", "assistant", "tool"]) | json_values, "content": st.text() | json_values},
)
bodies = st.fixed_dictionaries(
    {"model": st.just("m"), "messages": st.lists(messages, min_size=1, max_size=3)},
    optional={"temperature": json_values, "tools": json_values, "stream": json_values},
)
requests = st.fixed_dictionaries(
    {"body": bodies | json_values},
    optional={
        "v": st.sampled_from([1, 2, "1", None]),
        "tenant": st.sampled_from(["t", "a/b", 5]),
        "category": st.sampled_from(["code", "medical", "unheard", None, 3]),
        "cache": st.sampled_from(["use", "observe", "refresh", "bypass", "only", "maybe"]),
        "vary": st.dictionaries(st.text(), json_values) | json_values,
        "tags": st.lists(st.text(max_size=3), max_size=2) | json_values,
        "deadline_at_ms": st.integers(-1, 2 * NOW_MS) | json_values,
        "request_id": st.text() | json_values,
    },
)
ENDS = (["journal"], ["forwards", "journal"], ["dead-letters", "responses"], ["responses", "journal"])


@hypothesis_settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.binary(max_size=300), st.lists(st.tuples(st.text(max_size=4), st.none() | st.binary(max_size=6)), max_size=3))
def test_arbitrary_bytes_and_headers_never_stop_the_entrance(
    value: bytes, headers: list[tuple[str, bytes | None]]
) -> None:
    assert ENTRANCE(record(value, headers=tuple(headers)))


@hypothesis_settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(requests)
def test_arbitrary_json_is_answered_asked_or_passed(value: dict[str, Any]) -> None:
    out = ENTRANCE(record(json.dumps(value).encode()))
    assert [o.topic for o in out] in ENDS
    for o in out:
        if o.topic == "dead-letters":
            assert b"Error while" not in (dict(o.headers)[HEADER_REASON] or b"")


def settings_of(classify: Classify = Classify()) -> Settings:  # noqa: B008 - it is frozen
    return Settings(prefix="", embedding=Embedding(backend="free"), routes=SIGNED, classify=classify)


def run(cluster: MemoryCluster, settings: Settings | None = None) -> None:
    """Run until all requests are worked."""
    looks = iter(range(100))
    run_classify(
        WorkerContext(
            settings or settings_of(),
            cluster,
            Metrics(),
            stop=lambda: next(looks) >= 3,
            ready=lambda: None,
            now_ms=lambda: NOW_MS,
        )
    )


def test_the_processor_follows_the_policies_topic_and_works_the_requests() -> None:
    cluster = MemoryCluster(lambda: NOW_MS)
    in_force = PolicyInForce(version=4, who="w", at_ms=0, policy=POLICY)
    cluster.producer().send([Outgoing("policies", POLICY_KEY, in_force.encode())])
    cluster.producer().send([Outgoing("requests", b"a", ask().value), Outgoing("requests", b"b", ask(SECRET).value)])
    run(cluster)
    kinds = [type(decode_event(kept.value or b"")) for kept in cluster.records("journal")]
    assert sorted(kind.__name__ for kind in kinds) == ["Asked", "Passed"]
    (forwarded,) = cluster.records("forwards")
    forward = Forward.decode(forwarded.value or b"")
    assert isinstance(RouteSigner(ROUTES.keys, "").open(forward.route, forward.forward_id), DirectRoute)
    (said,) = cluster.records("acknowledgements")
    assert Acknowledgement.decode(said.value or b"") == Acknowledgement(
        processor="classify", worker="classify-1", version=4, at_ms=NOW_MS, route_keys=ROUTES.keys.ids
    )
    run(cluster)
    assert len(cluster.records("journal")) == 2
    assert [said.key for said in cluster.records("acknowledgements")] == [
        b"classify/classify-1",
        b"classify/classify-2",
    ]


def test_one_worker_reads_the_topics_of_several_tenants_and_mixes_none_of_them_up() -> None:
    tenants = ("acme", "umbrella", "third")
    names = tuple(f"requests.{tenant}" for tenant in tenants)
    cluster = MemoryCluster(lambda: NOW_MS, {name: 2 for name in BY_NAME if name != "requests"})
    for number, name in enumerate(names):
        cluster.create(name, number + 1)
    in_force = PolicyInForce(version=4, who="w", at_ms=0, policy=OPEN)
    cluster.producer().send([Outgoing("policies", POLICY_KEY, in_force.encode())])
    for name in names:
        mine = [ask(f"What is {n}?", category="chat").value for n in range(5)]
        foreign = ask("Whose?", category="chat", tenant="somebody-else").value
        cluster.producer().send([Outgoing(name, b"k", value, (), 0) for value in (*mine, foreign)])

    def done() -> bool:
        return len(cluster.records("journal")) == 15 and len(cluster.records("dead-letters")) == 3

    settings = settings_of(Classify(topics=names, tenants="topic"))
    metrics, ready = Metrics(), []
    context = WorkerContext(settings, cluster, metrics, done, lambda: ready.append(True), now_ms=lambda: NOW_MS)
    run_classify(context)
    asked = [decode_event(each.value or b"") for each in cluster.records("journal")]
    assert all(isinstance(event, Asked) and event.origin.topic == f"requests.{event.tenant}" for event in asked)
    assert sorted(event.tenant for event in asked if isinstance(event, Asked)) == sorted(5 * tenants)
    assert len({event.id for event in asked if isinstance(event, Asked)}) == 15, "ids are of a topic's incarnation"
    said = [Acknowledgement.decode(each.value or b"").worker for each in cluster.records("acknowledgements")]
    assert len(set(said)) == 3, "each member of the group acknowledges the policy"
    assert ready
    for name in names:
        labels = {"processor": "classify", "partition": f"{name}[0]"}
        assert metrics.registry.get_sample_value("refrain_lag", labels) == 0


def test_where_topics_tell_tenants_every_topic_must_be_a_tenants() -> None:
    settings = settings_of(Classify(topics=("requests.acme", "requests"), tenants="topic"))
    with pytest.raises(WrongSetup, match="requests is not the topic of a tenant"):
        run(MemoryCluster(lambda: NOW_MS), settings)


def test_a_missing_topic_stops_the_worker_at_start() -> None:
    counts = {name: 2 for name in BY_NAME if name != "forwards"}
    with pytest.raises(WrongSetup, match="forwards"):
        run(MemoryCluster(lambda: 0, counts))


@pytest.mark.parametrize("topic", ["documents", "decisions"])
def test_shards_that_do_not_match_stop_the_worker_at_start(topic: str) -> None:
    counts = dict.fromkeys(BY_NAME, 2) | {topic: 3}
    with pytest.raises(WrongSetup, match=rf"journal has 2 partitions and {topic} 3.*refrain topics check"):
        check_topics(MemoryCluster(lambda: 0, counts))


def test_an_artefact_of_categories_for_another_embedder_stops_the_worker_at_start(tmp_path: Path) -> None:
    path = tmp_path / "categories.json"
    path.write_bytes(CATEGORY_FILES.encode(artefact()))
    settings = settings_of().model_copy(update={"classify": Classify(categories=path)})
    with pytest.raises(WrongSetup, match="vectors of made-1, the embedder here is free-1"):
        run(MemoryCluster(lambda: 0), settings)


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
