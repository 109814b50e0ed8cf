"""Traces on OpenTelemetry's SDK. Imported where traces are on, alone: the library is the extra `traces`.

Whether a trace that begins here is recorded is decided before a span is made, since most are not; a trace that came
with a request is recorded where its own flag says so.
"""

from __future__ import annotations

import random

from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace import Span as ApiSpan
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from refrain.streams.kafka.interface import Headers
from refrain.streams.metrics import LABEL_PATTERN, OTHER
from refrain.streams.traces.context import context_in
from refrain.streams.traces.interface import UNTRACED, Kind, Span, Told, has_context

_PROPAGATOR = TraceContextTextMapPropagator()
_KINDS = {
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
    "internal": SpanKind.INTERNAL,
}
_NAMES = {"model": "gen_ai.request.model", "status": "http.response.status_code", "route": "http.route"}
"""Attributes that have a name of OpenTelemetry's own; all others are `refrain.NAME`."""


class OpenTelemetry:
    """Begins spans by a tracer that records each; `ratio` of the traces that begin here are recorded.

    `coin` gives a random number from 0 to 1, `current` the span that the caller's own code is in, if it is in one.
    """

    on = True

    def __init__(
        self,
        tracer: Tracer,
        ratio: float,
    ) -> None:
        self._tracer = tracer
        self._ratio = ratio

    def begin(self, name: str, headers: Headers, kind: Kind = "consumer", *, root: bool = False) -> Span | None:
        """As Traces says. A root goes on with the span that the caller's own code is in, where headers carry none."""
        parent = context_of(headers) if has_context(headers) else None
        if parent is None and root:
            around = get_current_span().get_span_context()
            parent = around if around.is_valid else None
        if parent is None:
            begins = root and not any(header == UNTRACED for header, _ in headers) and random.random() < self._ratio
            return self._recorded(name, kind, None) if begins else None
        if not parent.trace_flags.sampled:
            return _CarriedOn(_headers_of(parent))
        return self._recorded(name, kind, parent)

    def _recorded(self, name: str, kind: Kind, parent: SpanContext | None) -> Span | None:
        span = _started(self._tracer, name, kind, parent, None)
        # The SDK may be switched off by its own environment variable.
        return _Recorded(self._tracer, span) if span.is_recording() else None


class _Recorded:
    """A span of the SDK."""

    recorded = True

    def __init__(self, tracer: Tracer, span: ApiSpan) -> None:
        self._tracer = tracer
        self._span = span
        self.headers = _headers_of(span.get_span_context())

    def child(self, name: str, kind: Kind = "internal", *, start_ns: int | None = None) -> Span:
        return _Recorded(self._tracer, _started(self._tracer, name, kind, self._span.get_span_context(), start_ns))

    def tell(self, **told: Told | None) -> None:
        for name, value in told.items():
            if value is not None:
                told_as = _as_label(value) if isinstance(value, str) else value
                self._span.set_attribute(_NAMES.get(name, f"refrain.{name}"), told_as)

    def link(self, headers: Headers) -> None:
        other = context_of(headers)
        if other is not None:
            self._span.add_link(other)

    def fail(self, code: str) -> None:
        code = _as_label(code)
        self._span.set_attribute("error.type", code)
        self._span.set_status(Status(StatusCode.ERROR, code))

    def end(self, *, end_ns: int | None = None) -> None:
        if self._span.is_recording():
            self._span.end(end_ns)


class _CarriedOn:
    """The context of a trace that nobody records: it goes on as it came."""

    recorded = False

    def __init__(self, headers: Headers) -> None:
        self.headers = headers

    def child(self, name: str, kind: Kind = "internal", *, start_ns: int | None = None) -> Span:
        return self

    def tell(self, **told: Told | None) -> None:
        return

    def link(self, headers: Headers) -> None:
        return

    def fail(self, code: str) -> None:
        return

    def end(self, *, end_ns: int | None = None) -> None:
        return


def context_of(headers: Headers) -> SpanContext | None:
    """The context that headers carry; None where there is none, or a malformed one."""
    found = context_in(headers)
    if not found:
        return None
    context = get_current_span(_PROPAGATOR.extract(found, Context())).get_span_context()
    return context if context.is_valid else None


def _as_label(text: str) -> str:
    return text if LABEL_PATTERN.fullmatch(text) else OTHER


def _headers_of(context: SpanContext) -> Headers:
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, set_span_in_context(NonRecordingSpan(context), Context()))
    return tuple((name, value.encode("ascii")) for name, value in carrier.items())


def _started(tracer: Tracer, name: str, kind: Kind, parent: SpanContext | None, start_ns: int | None) -> ApiSpan:
    context = Context() if parent is None else set_span_in_context(NonRecordingSpan(parent), Context())
    return tracer.start_span(name, context, _KINDS[kind], start_time=start_ns)
