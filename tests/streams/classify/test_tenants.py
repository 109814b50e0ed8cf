"""A request is of the tenant that others than its sender answer for, as the settings choose."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import SecretStr

from infra.examples.edge import first_key, tenant_header
from refrain.schemas.control import PolicyInForce
from refrain.schemas.dead_letters import HEADER_REASON
from refrain.schemas.journal import Asked, decode_event
from refrain.schemas.policy import Cacheable, CategoryPolicy, Policy
from refrain.schemas.policy_rules import Match, Rule
from refrain.schemas.responses import Response
from refrain.streams.classify.origins import Incarnations
from refrain.streams.classify.reply_topic import ReplyTopics
from refrain.streams.classify.step import ClassifyStep
from refrain.streams.classify.tenants import tenants_of
from refrain.streams.classify.worker import run_classify
from refrain.streams.errors import WrongSetup
from refrain.streams.kafka.interface import Headers, Outgoing, Record
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.messaging.signing import SigningKeys
from refrain.streams.messaging.tenant_header import HEADER, sign_tenant
from refrain.streams.metrics import Metrics
from refrain.streams.models.embedding_cache import EmbeddingCache, EmbeddingMetrics
from refrain.streams.models.hashing_embedder import HashingEmbedder
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.settings import Classify, Embedding, Settings
from refrain.streams.settings import Tenants as TenantKeys
from tests.streams.signed import SIGNED

NOW_MS = 1_000_000
SECRET = "my secret diagnosis"
EDGE = b"e" * 32
KEYS = SigningKeys([EDGE])
POLICY = Policy(
    categories={"code": CategoryPolicy(), "medical": CategoryPolicy(cache=Cacheable.NEVER)},
    rules=(Rule(when=Match(tenant="hospital"), category="medical"), Rule(when=Match(model="m"), category="code")),
)
BODY = {"model": "m", "messages": [{"role": "user", "content": SECRET}]}


def settings_of(tenants: str, topic: str = "requests") -> Settings:
    return Settings(
        classify=Classify.model_validate({"tenants": tenants, "topic": topic, "reply_topics": ["answers.*"]}),
        tenants=TenantKeys(keys=SecretStr(EDGE.hex())),
        embedding=Embedding(backend="free"),
        routes=SIGNED,
    )


def value_of(tenant: str | None, **more: Any) -> bytes:
    return json.dumps({"v": 1, "body": BODY} | ({} if tenant is None else {"tenant": tenant}) | more).encode()


class Entrance:
    """classify with one way to tell tenants."""

    def __init__(self, tenants: str, topic: str = "requests") -> None:
        metrics = Metrics()
        settings = settings_of(tenants, topic)
        self._topic = topic
        self._step = ClassifyStep(
            settings.classify,
            Incarnations("requests-id", "journal-id"),
            EmbeddingCache(HashingEmbedder(), 10, EmbeddingMetrics(metrics)),
            ReplyTopics("refrain.", settings.classify.reply_topics, lambda topic: 3, lambda: NOW_MS),
            metrics,
            tenants=tenants_of(settings),
        )
        self._step.follow(PolicyInForce(version=1, who="w", at_ms=0, policy=POLICY))

    def __call__(self, value: bytes, key: bytes | None = None, headers: Headers = ()) -> list[Outgoing]:
        return self._step.process([Record(self._topic, 0, 7, NOW_MS, key, value, headers)])


def tenants_asked(out: list[Outgoing]) -> list[str]:
    events = [decode_event(each.value or b"") for each in out if each.topic == "journal"]
    return [event.tenant for event in events if isinstance(event, Asked)]


def refused(out: list[Outgoing]) -> str:
    """The reason of the dead letter; the response says the same."""
    letter, told = out
    assert letter.topic == "dead-letters"
    reason = (dict(letter.headers)[HEADER_REASON] or b"").decode()
    error = Response.decode(told.value or b"").error
    assert error is not None
    assert reason == f"{error.code}: {error.message}"
    assert SECRET not in str(letter)
    return error.code


def signed(
    tenant: str = "acme",
    value: bytes = b"",
    key: bytes | None = None,
    headers: Headers = (),
    at_ms: int = NOW_MS,
    keys: SigningKeys = KEYS,
) -> Headers:
    return (*headers, (HEADER, sign_tenant(keys, tenant, at_ms, key, headers, value)))


def test_by_its_own_field_a_request_may_name_any_tenant() -> None:
    ask = Entrance("request")
    assert tenants_asked(ask(value_of("acme"), b"globex")) == ["acme"]
    assert tenants_asked(ask(value_of(None))) == ["default"]


@pytest.mark.parametrize("key", [b"acme", b"acme/", b"acme/session-9"])
def test_by_its_key_a_request_is_of_the_tenant_before_the_slash(key: bytes) -> None:
    ask = Entrance("key")
    assert tenants_asked(ask(value_of("acme"), key)) == ["acme"]
    assert tenants_asked(ask(value_of(None), key)) == ["acme"]
    assert refused(ask(value_of("globex"), key)) == "tenant_not_yours"
    assert refused(ask(value_of("default"), key)) == "tenant_not_yours"


@pytest.mark.parametrize("key", [None, b"", b"/acme", b"a b", b"\xff\xfe", b"x" * 65, b"acme\x00"])
def test_a_key_that_names_no_tenant_is_of_nobody(key: bytes | None) -> None:
    assert refused(Entrance("key")(value_of("acme"), key)) == "tenant_not_yours"
    assert refused(Entrance("key")(value_of(None), key)) == "tenant_not_yours"


def test_by_its_topic_a_request_is_of_the_tenant_that_the_topic_is_named_after() -> None:
    ask = Entrance("topic", "requests.acme")
    assert tenants_asked(ask(value_of("acme"))) == ["acme"]
    assert tenants_asked(ask(value_of(None))) == ["acme"]
    assert refused(ask(value_of("globex"), b"globex")) == "tenant_not_yours"


def test_a_worker_reads_the_topic_of_its_tenant_alone() -> None:
    cluster = MemoryCluster(lambda: NOW_MS)
    with pytest.raises(WrongSetup, match=r"requests\.acme"):
        run(cluster, settings_of("topic", "requests.acme"))
    cluster.create("requests.acme", 2)
    cluster.append([Outgoing("requests", None, value_of("acme"))])
    cluster.append([Outgoing("requests.acme", None, value_of(None)), Outgoing("requests.acme", None, value_of("b"))])
    run(cluster, settings_of("topic", "requests.acme"))
    told = [Response.decode(record.value or b"") for record in cluster.records("responses")]
    assert [each.error.code for each in told if each.error is not None] == ["tenant_not_yours"]
    assert len(cluster.records("forwards")) == 1


def run(cluster: MemoryCluster, settings: Settings) -> None:
    looks = iter(range(100))
    run_classify(
        WorkerContext(
            settings, cluster, Metrics(), stop=lambda: next(looks) >= 3, ready=lambda: None, now_ms=lambda: NOW_MS
        )
    )


def test_by_its_header_a_request_is_of_the_tenant_that_the_edge_signed() -> None:
    ask = Entrance("header")
    for name in ("acme", None):
        value = value_of(name)
        for headers in ((), (("reply-to", b"answers.acme"), ("trace", b"1"))):
            assert tenants_asked(ask(value, b"k", signed("acme", value, b"k", headers))) == ["acme"]
    value = value_of("globex")
    assert refused(ask(value, None, signed("acme", value))) == "tenant_not_yours"


VALUE = value_of("acme")
TAMPERED: dict[str, tuple[bytes | None, Headers]] = {
    "none": (None, ()),
    "empty": (None, ((HEADER, b""),)),
    "without a value": (None, ((HEADER, None),)),
    "no signature": (None, ((HEADER, b"acme"),)),
    "not ASCII": (None, ((HEADER, b"\xff.1.ab.cd"),)),
    "no time": (None, ((HEADER, b"acme.x.abcdef01.mac"),)),
    "long": (None, ((HEADER, b"acme." + b"9" * 300),)),
    "twice": (None, signed("acme", VALUE) + signed("acme", VALUE)),
    "another key": (None, signed("acme", VALUE, keys=SigningKeys([b"o" * 32]))),
    "of another request": (None, signed("acme", value_of("acme", request_id="x"))),
    "of another record key": (b"k", signed("acme", VALUE, b"j")),
    "of another reply topic": (None, (("reply-to", b"answers.mallory"), *signed("acme", VALUE))),
    "of another partition": (None, (("kafka_replyPartition", b"1"), *signed("acme", VALUE))),
    "old": (None, signed("acme", VALUE, at_ms=NOW_MS - 60_001)),
    "early": (None, signed("acme", VALUE, at_ms=NOW_MS + 60_001)),
    "no name": (None, signed("ac/me", VALUE)),
}


@pytest.mark.parametrize(("key", "headers"), TAMPERED.values(), ids=TAMPERED)
def test_a_header_that_was_not_signed_for_this_request_is_of_nobody(key: bytes | None, headers: Headers) -> None:
    assert refused(Entrance("header")(VALUE, key, headers)) == "tenant_not_yours"


def test_a_header_for_one_tenant_is_not_one_for_another() -> None:
    (_, good), *_ = signed("acme", VALUE)
    assert refused(Entrance("header")(VALUE, None, ((HEADER, (good or b"").replace(b"acme", b"acne")),)))


def test_the_signature_does_not_come_back_with_the_response() -> None:
    headers = signed("acme", VALUE, headers=(("trace", b"1"),))
    (asked,) = Entrance("header")(VALUE, None, headers)
    event = decode_event(asked.value or b"")
    assert isinstance(event, Asked)
    assert [header.name for header in event.reply.headers] == ["trace"]
    told = Entrance("header")(b"junk", None, headers)[1]
    assert [name for name, _ in told.headers] == ["trace"]


def test_the_example_edge_signs_what_classify_takes() -> None:
    headers: list[tuple[str, bytes]] = [("reply-to", b"answers.acme"), ("trace", b"1")]
    secret = first_key(f"# keys of the edge\n\n{EDGE.hex()}\n{'ab' * 32}\n")
    given = tenant_header(secret, "acme", NOW_MS, VALUE, b"k", headers)
    assert tenants_asked(Entrance("header")(VALUE, b"k", (*headers, (HEADER, given.encode())))) == ["acme"]


@pytest.mark.parametrize("value", [b'{"v":1,"x":"' + SECRET.encode(), value_of(None, deadline_at_ms=SECRET), b"[" * 99])
@pytest.mark.parametrize(
    "ask",
    [
        lambda value: Entrance("key")(value, b"hospital"),
        lambda value: Entrance("topic", "requests.hospital")(value),
        lambda value: Entrance("header")(value, None, signed("hospital", value)),
    ],
    ids=["key", "topic", "header"],
)
def test_a_broken_request_of_a_tenant_whose_text_is_never_kept_is_buried_without_it(
    ask: Callable[[bytes], list[Outgoing]], value: bytes
) -> None:
    letter, told = ask(value)
    assert letter.topic == "dead-letters"
    assert letter.value is None
    assert Response.decode(told.value or b"").tenant == "hospital"


def test_what_a_way_needs_and_lacks_stops_the_worker_at_start() -> None:
    with pytest.raises(WrongSetup, match=r"classify\.topic"):
        tenants_of(settings_of("topic"))
    with pytest.raises(WrongSetup, match=r"tenants\.keys"):
        tenants_of(Settings(classify=Classify(tenants="header")))
    with pytest.raises(WrongSetup, match=r"tenants\.keys"):
        tenants_of(Settings(classify=Classify(tenants="header"), tenants=TenantKeys(keys=SecretStr("short"))))
