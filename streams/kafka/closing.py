"""How producers end: once, however often they are told to."""

from __future__ import annotations

from contextlib import suppress

from confluent_kafka import KafkaException
from confluent_kafka import Producer as ConfluentProducer

from refrain.streams.kafka.faults import flush

FLUSH_S = 1.0


class ClosesProducer:
    """Has a client in `_producer`, and gives it up in `close`."""

    _producer: ConfluentProducer
    _closed = False

    def close(self) -> None:
        """Give the connection back. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        # One that was fenced has nothing left to deliver, and whoever sent by it was told.
        with suppress(KafkaException):
            flush(self._producer, FLUSH_S)
        # What is not referred to has no threads and no connections any more; its own `close` waits for a broker.
        del self._producer
