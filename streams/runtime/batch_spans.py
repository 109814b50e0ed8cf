"""Spans of a stateless processor: one a record of a batch, which end when what comes of the batch is acknowledged."""

from __future__ import annotations

from collections.abc import Sequence

from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.messaging.dead_letters import refused_as
from refrain.streams.traces.interface import Span, Told, Traces, end_all


class BatchSpans:
    """The spans of one batch after another. A record without a context has none."""

    def __init__(self, name: str, traces: Traces) -> None:
        self._name = name
        self._traces = traces
        self._spans: list[Span | None] = []

    def begin(self, batch: Sequence[Record]) -> None:
        """Begin those of a batch; of one that is made again what was begun before is forgotten."""
        self._spans = [self._traces.begin(self._name, record.headers) for record in batch]

    def tell(self, place: int, **told: Told | None) -> None:
        """Tell of the record at this place of the batch."""
        span = self._spans[place]
        if span is not None:
            span.tell(**told)

    def refuse(self, place: int, letter: Outgoing) -> None:
        """Tell that the record at this place became this dead letter."""
        span, code = self._spans[place], refused_as(letter)
        if span is not None and code is not None:
            span.fail(code)

    def sent(self) -> None:
        """What comes of the batch is acknowledged."""
        end_all(self._spans)
        self._spans = []
