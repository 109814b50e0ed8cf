"""Order of what classify sends: a forward stands in `forwards` before the journal says that its request passes by.

A worker that ends in between reads the request again, perhaps by another policy, which gives it to its shard. The shard
takes a request for a repeat once the journal has it; a forward that is there already is answered in either case.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from refrain.streams.errors import DeliveryExpired, RecordsRefused, RefusedRecord
from refrain.streams.kafka.interface import Outgoing, Producer
from refrain.streams.messaging.signed_routes import FORWARDS


def _nobody() -> None:
    return


class ForwardsFirst:
    """A producer that has forwards acknowledged before it sends the rest; around another one, which it closes."""

    def __init__(
        self,
        producer: Producer,
        within_s: float,
        sending: Callable[[], None] = _nobody,
        elapsed_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`within_s` is how long forwards may take: later the rest may be of a policy that is not in force.

        `sending` hears that records are about to be sent.
        """
        self._producer = producer
        self._within_s = within_s
        self._sending = sending
        self._elapsed_s = elapsed_s

    def send(self, records: Sequence[Outgoing]) -> None:
        """Send as the producer does. Raises DeliveryExpired too when forwards took too long: nothing else is sent."""
        self._send(records, self._producer.send)

    def send_singly(self, records: Sequence[Outgoing]) -> None:
        """The same, with each record in a batch of its own."""
        self._send(records, self._producer.send_singly)

    def close(self) -> None:
        """Close the producer."""
        self._producer.close()

    def _send(self, records: Sequence[Outgoing], send: Callable[[Sequence[Outgoing]], None]) -> None:
        self._sending()
        first = [place for place, record in enumerate(records) if record.topic == FORWARDS]
        rest = [place for place, record in enumerate(records) if record.topic != FORWARDS]
        if not first or not rest:
            send(records)
            return
        began_s = self._elapsed_s()
        refused = _refused(records, first, send)
        if self._elapsed_s() - began_s > self._within_s:
            raise DeliveryExpired("forwards took too long to be acknowledged for what is to follow them")
        refused |= _refused(records, rest, send)
        if refused:
            raise RecordsRefused(refused)


def _refused(
    records: Sequence[Outgoing], places: Sequence[int], send: Callable[[Sequence[Outgoing]], None]
) -> dict[int, RefusedRecord]:
    """Send the records at these places; returns those that the broker never takes, by their place among all."""
    try:
        send([records[place] for place in places])
    except RecordsRefused as refusal:
        return {places[at]: why for at, why in refusal.refused.items()}
    return {}
