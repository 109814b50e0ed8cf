"""Whether all brokers are away, as the client of a consumer tells, and whether one is back, which it does not tell."""

from __future__ import annotations

from collections.abc import Callable

from confluent_kafka import KafkaException

from refrain.streams.kafka.outages import Outages

PROBE_S = 0.1
"""How long a broker may take to show that it is back, while none answers."""
PROBE_EVERY_S = 1.0


class BrokersAway:
    """An outage of all brokers, for who reads `name`. `ask` asks a broker anything, for as long as it is told."""

    def __init__(self, outages: Outages, name: str, ask: Callable[[float], object]) -> None:
        self._clock = outages.clock
        self._waiting = outages.waiting(f"reading {name}")
        self._ask = ask
        self._due_s = 0.0
        self.lasting = False

    def begin(self, why: str) -> None:
        """None of them answers."""
        self.lasting = True
        self._waiting.failed(why)

    def look(self) -> None:
        """Find out whether one is back, where none was: a topic without new records tells nothing of it."""
        now_s = self._clock()
        if now_s < self._due_s:
            return
        self._due_s = now_s + PROBE_EVERY_S
        try:
            self._ask(PROBE_S)
        except KafkaException:
            return
        self.lasting = False
        self._waiting.answered()

    def close(self) -> None:
        """Nobody reads any more: it is no outage of this one's."""
        self._waiting.answered()
