"""Spans kept in memory, and how they hang together."""

from __future__ import annotations

from collections.abc import Iterable

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from refrain.streams.traces.otel import OpenTelemetry


class Recorder:
    """Traces of several processors, whose spans are kept here."""

    def __init__(self, ratio: float = 1.0) -> None:
        self._ratio = ratio
        self._exporter = InMemorySpanExporter()

    def __call__(self, processor: str) -> OpenTelemetry:
        provider = TracerProvider(resource=Resource({"service.name": processor}), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        return OpenTelemetry(provider.get_tracer("refrain"), self._ratio)

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended, by when they began."""
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def clear(self) -> None:
        self._exporter.clear()

    def of(self, trace: str) -> list[ReadableSpan]:
        """The spans of one trace."""
        return [span for span in self.spans if trace_id(span) == trace]

    def tree(self, trace: str) -> list[str]:
        """The spans of a trace as paths of names from its root, sorted."""
        return paths(self.of(trace))


def paths(spans: Iterable[ReadableSpan]) -> list[str]:
    """The names of spans with those of their parents before them, sorted."""
    by_id = {span.context.span_id: span for span in spans if span.context is not None}

    def path(span: ReadableSpan) -> str:
        parent = None if span.parent is None else by_id.get(span.parent.span_id)
        return span.name if parent is None else f"{path(parent)}/{span.name}"

    return sorted(map(path, by_id.values()))


def trace_id(span: ReadableSpan) -> str:
    """The id of a span's trace (hex)."""
    assert span.context is not None
    return format(span.context.trace_id, "032x")


def parent_of(span: ReadableSpan) -> str:
    """The id of a span's parent (hex), empty at a root."""
    return "" if span.parent is None else format(span.parent.span_id, "016x")


def told(span: ReadableSpan) -> dict[str, object]:
    """The attributes of a span without the prefix."""
    return {name.removeprefix("refrain."): value for name, value in (span.attributes or {}).items()}
