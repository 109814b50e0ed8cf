"""Closes producers once, however often `close` is called."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka import Producer as ConfluentProducer

from refrain.streams.kafka.faults import flush

FLUSH_S = 1.0


class ClosesProducer:
    """Has a client in `_producer`, and gives it up in `close`."""

    _producer: ConfluentProducer
    _singles: ConfluentProducer | None = None
    _closed = False

    def _single_client(self, config: Mapping[str, Any]) -> ConfluentProducer:
        """A client of the same configuration that writes batches of one record; made when it is first needed."""
        if self._singles is None:
            self._singles = ConfluentProducer({**config, "batch.num.messages": 1})
        return self._singles

    def close(self) -> None:
        """Give the connection back. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        for client in (self._producer, self._singles):
            # One that was fenced has nothing left to deliver, and whoever sent by it was told.
            with suppress(KafkaException):
                if client is not None:
                    flush(client, FLUSH_S)
        # What is not referred to has no threads and no connections any more; its own `close` waits for a broker.
        del client, self._producer
        self._singles = None
