"""One trace a request, from whoever asks to the response, on a cluster in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from refrain.schemas.control import PolicyInForce
from refrain.schemas.requests import CacheMode, Request
from refrain.streams.classify.origins import Incarnations
from refrain.streams.classify.reply_topic import ReplyTopics
from refrain.streams.classify.step import ClassifyStep
from refrain.streams.client.exchange import Exchange
from refrain.streams.client.reply import NotAnswered, Reply
from refrain.streams.client.threaded_client import Client
from refrain.streams.kafka.interface import Headers, Outgoing, Record
from refrain.streams.metrics import Metrics
from refrain.streams.models.embedding_cache import EmbeddingCache, EmbeddingMetrics
from refrain.streams.models.hashing_embedder import HashingEmbedder
from refrain.streams.settings import Classify, Settings, Upstream
from refrain.streams.shard.fold import fold
from refrain.streams.shard.state import Shard
from refrain.streams.store.memory import MemoryStore
from refrain.streams.traces.interface import OFF
from refrain.streams.upstream.simulated.server import Scripted, SimulatedServer
from tests.streams.edge.service import POLICY, WAIT_S, Service, edge, service, settings_of
from tests.streams.traces.recorded import Recorder, parent_of, told, trace_id

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
SAMPLED: Headers = (("traceparent", f"00-{TRACE}-{SPAN}-01".encode()), ("tracestate", b"vendor=abc"))
UNSAMPLED: Headers = (("traceparent", f"00-{TRACE}-{SPAN}-00".encode()),)
QUICK = Upstream(connector="simulated", latency_median_ms=1.0)
ANSWER = json.dumps(
    {"choices": [{"index": 0, "message": {"role": "assistant", "content": "So."}, "finish_reason": "stop"}]}
).encode()
MISS = [
    "request",
    "request/classify",
    "request/classify/embed",
    "request/classify/lookup",
    "request/classify/lookup/upstream",
    "request/classify/lookup/upstream/populate",
    "request/classify/lookup/upstream/populate/respond",
    "request/classify/route",
]


class Asking:
    """A traced service, and a client that asks it."""

    def __init__(self, one: Service, recorder: Recorder, client: Client, server: SimulatedServer) -> None:
        self.service = one
        self.recorder = recorder
        self.client = client
        self.server = server

    def ask(self, text: str, headers: Headers = (), **said: Any) -> Reply:
        return self.client.ask(request(text, **said), headers=headers, timeout_s=WAIT_S)

    def trace(self, spans: int) -> str:
        """The id of the one trace that was recorded, once it has so many spans; the next question begins another."""
        self.service.wait_until(lambda: len(self.recorder.spans) >= spans)
        traces = {trace_id(span) for span in self.recorder.spans}
        assert len(traces) == 1
        return traces.pop()

    def told(self, name: str) -> dict[str, object]:
        """What the one span of this name tells."""
        found = [span for span in self.recorder.spans if span.name == name]
        assert len(found) == 1, [span.name for span in self.recorder.spans]
        return told(found[0])


def request(text: str, **said: Any) -> Request:
    return Request(body={"model": "m", "messages": [{"role": "user", "content": text}]}, **said)


@contextmanager
def asking(settings: Settings, server: SimulatedServer, recorder: Recorder, **more: Any) -> Iterator[Asking]:
    with service(settings, traces=recorder) as one:
        exchange = Exchange(settings, one.cluster, traces=recorder("client"), **more)
        with Client(settings, exchange=exchange) as client:
            yield Asking(one, recorder, client, server)


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asking]:
    with SimulatedServer(QUICK) as server, asking(settings_of(tmp_path, server), server, Recorder()) as one:
        yield one


def test_a_miss_is_one_trace_through_every_processor_and_the_model(asked: Asking) -> None:
    assert asked.ask("How do I reverse a list?").outcome == "miss"
    trace = asked.trace(len(MISS))
    assert asked.recorder.tree(trace) == MISS
    services = {span.name: span.resource.attributes["service.name"] for span in asked.recorder.spans}
    assert services["respond"] == "lookup"
    assert services["populate"] == "populate"
    lookup = asked.told("lookup")
    assert (lookup["outcome"], lookup["reason"], lookup["category"]) == ("miss", "namespace_empty", "code")
    asked.service.wait_until(lambda: asked.service.cluster.records("decisions"))
    decision = json.loads(asked.service.cluster.records("decisions")[-1].value or b"")
    assert (lookup["decision_partition"], lookup["decision_offset"]) == (decision["partition"], decision["offset"])
    assert asked.told("respond")["outcome"] == "miss"
    assert asked.told("upstream") == {"gen_ai.request.model": "m"}
    assert asked.told("request")["outcome"] == "miss"
    call = asked.server.calls[-1].headers["traceparent"]
    assert call.split("-")[1] == trace
    assert call.split("-")[2] in {
        format(span.context.span_id, "016x")
        for span in asked.recorder.spans
        if span.name == "upstream" and span.context is not None
    }


def test_a_hit_tells_its_similarity_and_ends_at_the_shard(asked: Asking) -> None:
    asked.ask("How do I reverse a list?")
    asked.trace(len(MISS))
    asked.recorder.clear()
    assert asked.ask("How do I reverse a list?").outcome == "hit"
    tree = asked.recorder.tree(asked.trace(4))
    assert [path for path in tree if not path.endswith("embed")] == [
        "request",
        "request/classify",
        "request/classify/lookup",
        "request/classify/route",
    ]
    lookup = asked.told("lookup")
    assert (lookup["outcome"], lookup["similarity"], lookup["threshold"]) == ("hit", 1.0, 0.8)


def test_who_waits_for_another_s_answer_has_a_trace_of_its_own_that_links_to_it(asked: Asking) -> None:
    asked.server.script.append(Scripted(body=ANSWER, delay_s=0.5))
    first = asked.client.send(request("How do I reverse a list?"), timeout_s=WAIT_S)
    asked.service.wait_until(lambda: asked.server.calls)
    second = asked.client.send(request("How do I reverse a list?"), timeout_s=WAIT_S)
    assert (first.result(WAIT_S).outcome, second.result(WAIT_S).outcome) == ("miss", "coalesced")
    asked.service.wait_until(lambda: sum(span.name == "respond" for span in asked.recorder.spans) == 2)
    joined, leading = _by_outcome(asked.recorder.spans, "respond")
    assert trace_id(joined) != trace_id(leading)
    assert _links(joined) == {_place(leading)}
    joining, lead = _by_outcome(asked.recorder.spans, "lookup")
    assert _links(joining) == {_place(lead)}
    assert parent_of(joined) == _place(joining)[1]
    assert "upstream" not in {span.name for span in asked.recorder.of(trace_id(joined))}


def test_what_passes_by_the_cache_goes_from_classify_to_the_model(asked: Asking) -> None:
    assert asked.ask("How do I reverse a list?", cache=CacheMode.BYPASS).outcome == "bypass"
    tree = asked.recorder.tree(asked.trace(6))
    assert "request/classify/upstream/populate" in tree
    assert "request/classify/lookup" in tree
    assert asked.told("populate")["to"] == "requester"
    assert asked.told("lookup")["reason"] == "bypass_asked"


def test_what_is_refused_ends_with_its_code(asked: Asking) -> None:
    with pytest.raises(NotAnswered):
        asked.ask(" ")
    trace = asked.trace(3)
    assert asked.told("classify")["error.type"] == "empty_question"
    assert asked.told("request")["error.type"] == "empty_question"
    letter = asked.service.cluster.records("dead-letters")[-1]
    assert dict(letter.headers)["traceparent"].split(b"-")[1].decode() == trace  # type: ignore[union-attr]


def test_a_request_that_is_given_up_says_so(tmp_path: Path) -> None:
    recorder = Recorder()
    settings = settings_of(tmp_path, None)
    with service(settings, lambda context: None) as one:
        exchange = Exchange(settings, one.cluster, traces=recorder("client"))
        with Client(settings, exchange=exchange, attempts=1) as client, pytest.raises(NotAnswered):
            client.ask(request("Is anybody there?"), timeout_s=0.01)
    assert [told(span)["error.type"] for span in recorder.spans] == ["given_up"]


def test_a_failed_call_is_an_error_of_its_span(asked: Asking) -> None:
    asked.server.script.append(Scripted(status=400, body=b"{}"))
    with pytest.raises(NotAnswered):
        asked.ask("How do I reverse a list?")
    asked.trace(len(MISS))
    assert asked.told("upstream")["error.type"] == "HTTP_400"
    assert asked.told("respond")["outcome"] == "error"


def test_the_trace_of_a_caller_goes_on(asked: Asking) -> None:
    asked.ask("How do I reverse a list?", SAMPLED)
    assert asked.trace(len(MISS)) == TRACE
    root = next(span for span in asked.recorder.spans if span.name == "request")
    assert parent_of(root) == SPAN
    assert asked.server.calls[-1].headers["tracestate"] == "vendor=abc"


def test_a_trace_that_its_caller_does_not_record_goes_on_unrecorded(asked: Asking) -> None:
    asked.ask("How do I reverse a list?", UNSAMPLED)
    assert asked.recorder.spans == []
    assert asked.server.calls[-1].headers["traceparent"].encode() == UNSAMPLED[0][1]


def test_a_kafka_client_without_a_span_gets_its_own_headers_back(tmp_path: Path) -> None:
    with SimulatedServer(QUICK) as server, service(settings_of(tmp_path, server), traces=Recorder()) as one:
        headers: Headers = (*SAMPLED, ("mine", b"\xff"))
        one.cluster.append([Outgoing("requests", b"k", request("How do I reverse a list?").encode(), headers)])
        one.wait_until(lambda: one.cluster.records("responses"))
        assert one.cluster.records("responses")[0].headers == headers


@pytest.mark.parametrize("state", [b"a=" + b"x" * 10_000, b"\xff\xfe"])
@pytest.mark.parametrize("parents", [[b"\xff"], [b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01"], [SAMPLED[0][1]] * 2])
def test_a_malformed_context_is_dropped_and_the_request_answered(
    asked: Asking, parents: list[bytes], state: bytes
) -> None:
    headers: Headers = (*(("traceparent", parent) for parent in parents), ("tracestate", state))
    asked.service.cluster.append([Outgoing("requests", b"k", request("What is new?").encode(), headers)])
    asked.service.wait_until(lambda: asked.service.cluster.records("responses"))
    assert asked.service.cluster.records("responses")[0].headers == headers
    assert asked.trace(len(MISS) - 1) != TRACE


def test_of_all_traces_that_begin_here_the_ratio_says_how_many_are_recorded(tmp_path: Path) -> None:
    recorder = Recorder(ratio=0.0)
    with SimulatedServer(QUICK) as server, asking(settings_of(tmp_path, server), server, recorder) as asked:
        asked.ask("How do I reverse a list?")
        assert "traceparent" not in asked.server.calls[-1].headers
        assert all(record.headers == () for record in asked.service.cluster.records("forwards"))
    assert recorder.spans == []


def test_who_sends_a_request_decides_alone_whether_a_trace_begins(tmp_path: Path) -> None:
    all_of_them, none_of_them = Recorder(), Recorder(ratio=0.0)
    with SimulatedServer(QUICK) as server, service(settings_of(tmp_path, server), traces=all_of_them) as one:
        exchange = Exchange(one.settings, one.cluster, traces=none_of_them("client"))
        with Client(one.settings, exchange=exchange) as client:
            client.ask(request("How do I reverse a list?"), timeout_s=WAIT_S)

        async def ask() -> None:
            async with edge(one.settings, one.cluster, traces=none_of_them("edge")) as edged:
                assert (await edged.chat("How do I reverse a list?")).headers["x-refrain-outcome"] == "hit"

        asyncio.run(ask())
        kept = b"".join(record.value or b"" for record in one.cluster.records("journal"))
        assert b"refrain-untraced" not in kept
    assert all_of_them.spans == none_of_them.spans == []


def test_spans_tell_no_text_and_no_name_that_a_client_chose(asked: Asking) -> None:
    body = {"model": "my secret model", "messages": [{"role": "user", "content": "My secret is 4711."}]}
    asked.client.ask(
        Request(
            body=body, tenant="secret-tenant", category="secret-category", request_id="secret-id", tags=("secret",)
        ),
        timeout_s=WAIT_S,
    )
    asked.trace(6)
    assert "secret" not in "".join(span.to_json() for span in asked.recorder.spans)
    assert "4711" not in "".join(span.to_json() for span in asked.recorder.spans)
    assert asked.told("upstream")["gen_ai.request.model"] == "other"


def test_an_endpoint_goes_on_with_the_trace_of_its_client(tmp_path: Path) -> None:
    recorder = Recorder()
    with SimulatedServer(QUICK) as server, service(settings_of(tmp_path, server), traces=recorder) as one:
        headers = {name: (value or b"").decode() for name, value in SAMPLED}

        async def ask() -> None:
            async with edge(one.settings, one.cluster, traces=recorder("edge")) as edged:
                response = await edged.chat("How do I reverse a list?", headers)
                assert response.headers["x-refrain-outcome"] == "miss"

        asyncio.run(ask())
        one.wait_until(lambda: len(recorder.spans) >= len(MISS))
        assert recorder.tree(TRACE) == [path.replace("request", "edge") for path in MISS]
        root = next(span for span in recorder.spans if span.name == "edge")
        assert parent_of(root) == SPAN
        assert told(root) == {"http.route": "chat", "http.response.status_code": 200, "outcome": "miss"}
        assert server.calls[-1].headers["traceparent"].split("-")[1] == TRACE


def test_the_span_of_a_stream_ends_with_the_stream(tmp_path: Path) -> None:
    recorder = Recorder()
    with SimulatedServer(QUICK) as server, service(settings_of(tmp_path, server), traces=recorder) as one:

        async def ask() -> None:
            async with edge(one.settings, one.cluster, traces=recorder("edge")) as edged:
                response = await edged.chat("How do I reverse a list?", stream=True)
                assert response.text.rstrip().endswith("data: [DONE]")

        asyncio.run(ask())
        one.wait_until(lambda: len(recorder.spans) >= len(MISS))
    spans = {span.name: span for span in recorder.spans}
    assert told(spans["edge"])["outcome"] == "miss"
    assert (spans["edge"].end_time or 0) >= (spans["upstream"].end_time or 0)


def test_past_a_silent_cache_the_model_gets_the_trace_from_the_endpoint(tmp_path: Path) -> None:
    recorder = Recorder()
    with SimulatedServer(QUICK) as server:
        settings = settings_of(tmp_path, server, cache_wait_ms=50)
        with service(settings, lambda context: None, traces=recorder) as one:

            async def ask() -> None:
                async with edge(settings, one.cluster, traces=recorder("edge")) as edged:
                    assert (await edged.chat("Hello?")).headers["x-refrain-outcome"] == "bypass"

            asyncio.run(ask())
        trace = trace_id(recorder.spans[0])
        assert recorder.tree(trace) == ["edge", "edge/upstream"]
        assert server.calls[-1].headers["traceparent"].split("-")[1] == trace


def test_a_journal_folds_to_the_same_with_and_without_the_headers_of_traces(asked: Asking) -> None:
    for text in ("How do I reverse a list?", "How do I reverse a list?", "What is a tree?"):
        asked.ask(text)
    asked.service.wait_until(lambda: len(asked.service.cluster.records("decisions")) == 3)
    asked_in = next(record.partition for record in asked.service.cluster.records("journal") if record.headers)
    journal = [record for record in asked.service.cluster.records("journal") if record.partition == asked_in]
    folded = _folded(journal)
    assert folded == _folded([record._replace(headers=()) for record in journal])
    assert all(folded)


def test_classify_makes_the_same_of_a_request_with_and_without_traces() -> None:
    value, headers = request("How do I reverse a list?").encode(), (*SAMPLED, ("mine", b"1"))
    record = Record("requests", 0, 3, 1_000, b"k", value, headers)
    made = []
    for traces in (OFF, Recorder()("classify")):
        metrics = Metrics()
        step = ClassifyStep(
            Classify(),
            Incarnations("requests-id", "journal-id"),
            EmbeddingCache(HashingEmbedder(), 10, EmbeddingMetrics(metrics)),
            ReplyTopics("refrain.", (), {"responses": 1}.get, lambda: 0),
            metrics,
            traces=traces,
        )
        step.follow(PolicyInForce(version=1, who="w", at_ms=0, policy=POLICY))
        made.append([(out.topic, out.key, out.value, out.partition) for out in step.process([record])])
    assert made[0] == made[1]
    assert len(made[0]) == 1


def _folded(journal: Sequence[Record]) -> list[object]:
    """What folding a partition gives: decisions, effects, and each change of its documents."""
    shard = Shard(journal[0].partition if journal else 0, 1, "journal-id", MemoryStore())
    results = [fold(shard, record) for record in journal]
    return [
        [decision.encode() for result in results for decision in result.decisions],
        [result.effects for result in results],
        dict(shard.overlay.uncommitted),
    ]


def _by_outcome(spans: list[ReadableSpan], name: str) -> tuple[ReadableSpan, ReadableSpan]:
    """The spans of this name of who joined, and of who led."""
    found = {told(span)["outcome"]: span for span in spans if span.name == name}
    return found["coalesced"], found["miss"]


def _place(span: ReadableSpan) -> tuple[str, str]:
    assert span.context is not None
    return trace_id(span), format(span.context.span_id, "016x")


def _links(span: ReadableSpan) -> set[tuple[str, str]]:
    return {(format(link.context.trace_id, "032x"), format(link.context.span_id, "016x")) for link in span.links}
