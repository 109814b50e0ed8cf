"""Spans of a batch of requests: one a request, within it what embedding and routing of its batch took."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from refrain.streams import time_of_day
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.messaging.dead_letters import refused_as
from refrain.streams.traces.interface import OFF, Span, Traces, carrying, end_all

T = TypeVar("T")

CARRYING = frozenset({"journal", "forwards"})
"""Topics whose records carry the context on. A response has the headers of its request."""


class RequestSpans:
    """The spans of one batch after another. They end once the batch is sent: one that is made again has none before."""

    def __init__(self, traces: Traces = OFF) -> None:
        self._traces = traces
        self._batch: list[Span | None] = []
        self._marks: list[tuple[str, int]] = []

    def begin(self, batch: Sequence[Record]) -> None:
        """Begin a batch."""
        if not self._traces.on:
            return
        self._batch = [self._traces.begin("classify", record.headers, root=True) for record in batch]
        self._marks = []
        now_ms = time_of_day.now_ms()
        for span, record in zip(self._batch, batch, strict=True):
            if span is not None and span.recorded:
                span.tell(waited_ms=max(0, now_ms - record.timestamp_ms), batch=len(batch))

    def mark(self, name: str) -> None:
        """What begins now, until the next mark, is told as a span of this name within each; empty: nothing is."""
        if self._batch:
            self._marks.append((name, time.time_ns()))

    def categorised(self, taken: Sequence[T], category_of: Callable[[T], str | None]) -> None:
        """Tell the category of each request, None where it has none that the policy defines."""
        if not self._batch:
            return
        for span, one in zip(self._batch, taken, strict=True):
            if span is not None:
                span.tell(category=category_of(one))

    def carried(self, made: Sequence[Sequence[Outgoing]]) -> list[Outgoing]:
        """What was made of each request as one list; what goes to shards and models carries the context."""
        if not self._batch:
            return [out for outs in made for out in outs]
        for span, outs in zip(self._batch, made, strict=True):
            if span is not None and span.recorded:
                self._finish(span, outs)
        return [out for span, outs in zip(self._batch, made, strict=True) for out in _carried(span, outs)]

    def sent(self) -> None:
        """The batch is acknowledged."""
        end_all(self._batch)
        self._batch = []

    def _finish(self, span: Span, outs: Collection[Outgoing]) -> None:
        ends = [at for _, at in self._marks[1:]]
        for (name, start_ns), end_ns in zip(self._marks, ends, strict=False):
            if name:
                span.child(name, start_ns=start_ns).end(end_ns=end_ns)
        refused = next((code for code in map(refused_as, outs) if code is not None), None)
        if refused is not None:
            span.fail(refused)
        span.tell(to=_where(outs))


def _carried(span: Span | None, outs: Sequence[Outgoing]) -> Sequence[Outgoing]:
    if span is None:
        return outs
    return [carrying(out, span.headers) if out.topic in CARRYING else out for out in outs]


def _where(outs: Collection[Outgoing]) -> str:
    """Where a request goes: to the model, to its shard, back to whoever asked, or nowhere (a repeat)."""
    topics = {out.topic for out in outs}
    if "forwards" in topics:
        return "model"
    if topics == {"journal"}:
        return "shard"
    return "requester" if topics else "nowhere"
