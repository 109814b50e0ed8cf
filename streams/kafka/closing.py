"""How producers end: once, however often they are told to."""

from __future__ import annotations

from confluent_kafka import Producer as ConfluentProducer

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
        self._producer.flush(FLUSH_S)
        # What is not referred to has no threads and no connections any more; its own `close` waits for a broker.
        del self._producer
