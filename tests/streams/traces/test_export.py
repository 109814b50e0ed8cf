"""Spans on their way to a collector: OTLP over HTTP, a bounded queue, one warning a minute, a bounded end."""

from __future__ import annotations

import builtins
import logging
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from refrain.streams.errors import WrongSetup
from refrain.streams.metrics import Metrics
from refrain.streams.settings import Settings, Traces
from refrain.streams.traces.export import Exporting, Telling
from refrain.streams.traces.interface import OFF
from refrain.streams.traces.loading import traces_of
from tests.streams.traces.collector import collector

WAIT_S = 30.0


def settings_of(**traces: Any) -> Settings:
    return Settings(traces=Traces(**{"enabled": True, "sample_ratio": 1.0, **traces}))


def test_spans_reach_a_collector_with_what_it_wants_to_see() -> None:
    with collector() as one:
        settings = settings_of(endpoint=one.url, headers={"x-let-me-in": "key"})
        with traces_of(settings, "classify") as traces:
            span = traces.begin("classify", (), root=True)
            assert span is not None
            child = span.child("embed")
            child.tell(batch=3, outcome="hit", similarity=0.5, category=None)
            child.fail("too_large")
            child.end()
            span.end()
            span.end()
        sent = [spans for call in one.calls for spans in call.resource_spans]
        spans = {span.name: span for resource in sent for scope in resource.scope_spans for span in scope.spans}
        assert spans["embed"].parent_span_id == spans["classify"].span_id
        assert spans["embed"].trace_id == spans["classify"].trace_id
        assert spans["embed"].status.code == 2
        told = {pair.key: pair.value for pair in spans["embed"].attributes}
        assert set(told) == {"refrain.batch", "refrain.outcome", "refrain.similarity", "error.type"}
        assert told["refrain.batch"].int_value == 3
        about = {pair.key: pair.value.string_value for pair in sent[0].resource.attributes}
        assert (about["service.name"], about["service.namespace"]) == ("refrain-classify", "refrain")
        assert one.headers[0]["x-let-me-in"] == "key"
        assert one.headers[0]["content-type"] == "application/x-protobuf"
        assert len(one.names()) == 2


def test_traces_that_are_off_need_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    _without_library(monkeypatch)
    with traces_of(Settings(), "classify") as traces:
        assert traces is OFF
        assert traces.begin("classify", (), root=True) is None


@pytest.fixture(autouse=True)
def _nothing_is_sent_after_the_test() -> Iterator[None]:
    """The library's thread may outlive a bounded end; what it does then must not be another test's."""
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("Otel"):
            thread.join(WAIT_S)
            assert not thread.is_alive(), thread.name


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    _without_library(monkeypatch)
    with pytest.raises(WrongSetup, match=r"pip install 'refrain-cache\[traces\]'"), traces_of(settings_of(), "edge"):
        pass


def test_no_worker_loads_the_library_while_traces_are_off() -> None:
    code = (
        "import sys, refrain.ops.run.worker, refrain.streams.lookup.worker, refrain.streams.edge.worker\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_headers_that_http_does_not_take_are_refused_without_their_value() -> None:
    with pytest.raises(WrongSetup) as refused:
        Exporting("edge", settings_of(headers={"authorization": "secret\r\nx: y"}))
    assert "authorization" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_collector_that_does_not_answer_holds_nobody_up_and_the_end_is_bounded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with collector() as one, caplog.at_level(logging.WARNING):
        one.open.clear()
        exporting = Exporting("lookup", settings_of(endpoint=one.url, queue_max=10, flush_ms=50))
        for _ in range(1_000):
            span = exporting.traces.begin("lookup", (), root=True)
            assert span is not None
            span.end()
        exporting.close()
        assert one.calls == []
        assert "the last spans are lost" in caplog.text


def test_spans_that_a_full_queue_or_the_collector_does_not_take_are_counted() -> None:
    for result, reasons in (
        (SpanExportResult.SUCCESS, {"queue_full"}),
        (SpanExportResult.FAILURE, {"queue_full", "not_sent"}),
    ):
        lost: Counter[str] = Counter()
        held = _Held(result)

        def count(reason: str, spans: int, into: Counter[str] = lost) -> None:
            into[reason] += spans

        exporting = Exporting("lookup", settings_of(queue_max=10, flush_ms=20_000), held, lost=count)
        for _ in range(1_000):
            span = exporting.traces.begin("lookup", (), root=True)
            assert span is not None
            span.end()
        assert lost["queue_full"] >= 1_000 - 2 * 10, "what is being sent, and what waits"
        held.open.set()
        exporting.close()
        assert set(lost) == reasons
        assert lost["queue_full"] + held.spans == 1_000
        assert lost["not_sent"] == (held.spans if "not_sent" in reasons else 0)


def test_a_worker_shows_them() -> None:
    metrics = Metrics()
    with collector() as one:
        one.status = 400
        with traces_of(settings_of(endpoint=one.url), "lookup", metrics=metrics) as traces:
            span = traces.begin("lookup", (), root=True)
            assert span is not None
            span.end()
    assert metrics.registry.get_sample_value("refrain_spans_lost_total", {"reason": "not_sent"}) == 1


def test_a_collector_elsewhere_than_named_does_not_get_what_lets_in(caplog: pytest.LogCaptureFixture) -> None:
    with collector() as other, collector() as one, caplog.at_level(logging.WARNING):
        one.status = 307
        exporting = Exporting("lookup", settings_of(endpoint=one.url, headers={"authorization": "key"}))
        one.redirect = other.url
        span = exporting.traces.begin("lookup", (), root=True)
        assert span is not None
        span.end()
        exporting.close()
        assert (len(one.calls), len(other.calls)) == (1, 0)
        assert "1 spans are lost" in caplog.text


def test_what_is_lost_is_told_once_a_minute_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    clock = [0]
    inner = _Exporter()
    telling = Telling(inner, "collector:4318", lambda: clock[0])
    with caplog.at_level(logging.INFO):
        for at_ms in (0, 1_000, 59_000, 60_000, 61_000):
            clock[0] = at_ms
            telling.export([])
        inner.fails = RuntimeError("secret")
        clock[0] = 200_000
        assert telling.export([]) is SpanExportResult.FAILURE
        inner.result, inner.fails = SpanExportResult.SUCCESS, None
        telling.export([])
        telling.export([])
    lines = [line.message for line in caplog.records]
    assert len([line for line in lines if "are lost" in line]) == 3
    assert len([line for line in lines if "sent again" in line]) == 1
    assert "collector:4318" in lines[0]
    assert "secret" not in caplog.text


class _Held(SpanExporter):
    """Takes spans once it is let."""

    def __init__(self, result: SpanExportResult) -> None:
        self.open = threading.Event()
        self.spans = 0
        self._result = result

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.open.wait()
        self.spans += len(spans)
        return self._result


class _Exporter(SpanExporter):
    def __init__(self) -> None:
        self.result = SpanExportResult.FAILURE
        self.fails: Exception | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self.fails is not None:
            raise self.fails
        return self.result


def _without_library(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def imported(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    for name in [name for name in sys.modules if name == "refrain.streams.traces.export"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", imported)
