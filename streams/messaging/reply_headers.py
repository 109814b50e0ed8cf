"""Headers of a request that say where its response goes, and which of its headers come back with it."""

from __future__ import annotations

from refrain.streams.kafka.interface import Headers
from refrain.streams.traces.interface import UNTRACED, Span, Traces

TOPIC_HEADERS = ("reply-to", "kafka_replyTopic")
"""The first that a request carries counts; of one name the last, as Spring reads them."""
PARTITION_HEADER = "kafka_replyPartition"
UNRETURNED_HEADER = "refrain-not-returned"
"""Names of headers, with commas between them, that need not come back: they are not kept meanwhile."""


def returned(headers: Headers) -> Headers:
    """The headers that come back with a response."""
    named = [value for name, value in headers if name == UNRETURNED_HEADER]
    if not named:
        return headers
    # What is no UTF-8 names no header.
    left = {name.strip() for value in named for name in (value or b"").decode("utf-8", "replace").split(",")}
    return tuple(pair for pair in headers if pair[0] != UNRETURNED_HEADER and pair[0] not in left)


def traced(traces: Traces, span: Span | None) -> Headers:
    """Headers of a request by which its trace goes on, or none begins; they need not come back."""
    if span is not None:
        return unreturned(span.headers)
    return unreturned(((UNTRACED, b""),)) if traces.on else ()


def unreturned(headers: Headers) -> Headers:
    """Headers for a request that need not come back, and the header that says so."""
    return (*headers, (UNRETURNED_HEADER, ",".join(name for name, _ in headers).encode())) if headers else ()
