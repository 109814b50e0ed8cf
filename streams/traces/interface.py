"""Traces as the processors see them: spans, and the W3C context that goes with records.

`OpenTelemetry` (refrain.streams.traces.otel) is behind it where traces are on, `OFF` everywhere else. A span tells
outcomes, names that metrics show too, numbers and places in topics: never text, tenants or ids that a client chose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, Protocol

from refrain.streams.kafka.interface import Headers, Outgoing

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
CONTEXT_HEADERS = frozenset({TRACEPARENT, TRACESTATE})
"""The headers of W3C Trace Context, as records and HTTP requests carry them."""
UNTRACED = "refrain-untraced"
"""The header of a request whose sender has decided that no trace begins with it: nobody behind decides again."""
Kind = Literal["server", "client", "producer", "consumer", "internal"]
"""OpenTelemetry's kind of a span."""
Told = str | int | float | bool
"""The value of an attribute of a span."""


class Span(Protocol):
    """A span under way. May be used from any thread; after its `end` nothing is recorded of it any more."""

    @property
    def recorded(self) -> bool:
        """Whether anything is recorded; a span that is not recorded carries its context on."""

    @property
    def headers(self) -> Headers:
        """The context of what this span causes: headers for its records and calls."""

    def child(self, name: str, kind: Kind = "internal", *, start_ns: int | None = None) -> Span:
        """A span within this one, by default from this moment on."""

    def tell(self, **told: Told | None) -> None:
        """Tell attributes: `outcome="hit"` is the attribute `refrain.outcome`. What is None is left out.

        A text that could not be a label of a metric is told as `other`.
        """

    def link(self, headers: Headers) -> None:
        """Link to the span whose context these headers carry; nothing where they carry none."""

    def fail(self, code: str) -> None:
        """Mark the span as failed with this error code; a code that cannot be a label becomes `other`."""

    def end(self, *, end_ns: int | None = None) -> None:
        """End it, by default at this moment (nanoseconds since 1970). A second call does nothing."""


class Traces(Protocol):
    """Begins spans."""

    @property
    def on(self) -> bool:
        """Whether there are spans at all."""

    def begin(self, name: str, headers: Headers, kind: Kind = "consumer", *, root: bool = False) -> Span | None:
        """The span that goes on with the context in these headers.

        Where they carry none it begins a trace as `root`, for a part of requests, unless they say `UNTRACED`;
        else there is no span. A context that is malformed is none.
        """


class _Off:
    """No traces: nothing is recorded, and no context goes on."""

    on = False

    def begin(self, name: str, headers: Headers, kind: Kind = "consumer", *, root: bool = False) -> Span | None:
        return None


OFF: Traces = _Off()

_of_this_call: ContextVar[Headers] = ContextVar("context of the call", default=())


def context_of_call() -> dict[str, str]:
    """The headers that an HTTP call made here is to carry; none outside of `calling`."""
    return {name: value.decode("latin-1") for name, value in _of_this_call.get() if value is not None}


@contextmanager
def calling(headers: Headers) -> Iterator[None]:
    """Give the HTTP calls made inside this context."""
    token = _of_this_call.set(headers)
    try:
        yield
    finally:
        _of_this_call.reset(token)


def has_context(headers: Headers) -> bool:
    """Whether headers may carry a context."""
    return any(name == TRACEPARENT for name, _ in headers)


def with_context(headers: Headers, context: Headers) -> Headers:
    """Headers with this context and no other."""
    return (*(pair for pair in headers if pair[0] not in CONTEXT_HEADERS), *context)


def carrying(record: Outgoing, context: Headers) -> Outgoing:
    """The record with this context; as it is where there is none."""
    return record._replace(headers=with_context(record.headers, context)) if context else record


def end_all(spans: Sequence[Span | None]) -> None:
    """End several spans; None is skipped."""
    for span in spans:
        if span is not None:
            span.end()
