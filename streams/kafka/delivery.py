"""Delivery reports of the records of one call: which are written, and why the others are not."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import KafkaError, Message

from refrain.streams.errors import Fenced, RefusedRecord, SendFailed, Unanswered
from refrain.streams.kafka.convert import int_of
from refrain.streams.kafka.faults import EXPIRED_CODES, TAKEN_OVER_CODES, forbidden, is_unanswered, refused
from refrain.streams.kafka.interface import EndOffsets, Outgoing, cluster_name

PARTITION_BY_KEY = -1
"""For librdkafka: the partition that the key belongs to."""
UNWRITABLE = (ValueError, TypeError, SystemError)
"""What the client raises for a record that it cannot send, such as one with a header name that is not UTF-8."""


class DeliveryReports:
    """Delivery reports of `records`, each known by its place among them."""

    def __init__(self, prefix: str, records: Sequence[Outgoing]) -> None:
        self.records = records
        self.refused: dict[int, RefusedRecord] = {}
        """Records that the broker never takes."""
        self.failure: tuple[KafkaError, str] | None = None
        """The first failure that is not a record's own, and where."""
        self._prefix = prefix
        self._reported = 0
        self._ends: dict[tuple[str, int], int] = {}

    @property
    def missing(self) -> int:
        """The number of records that nothing is known of."""
        return len(self.records) - self._reported

    def name(self, place: int) -> str:
        """The name on the cluster of the topic of a record."""
        return cluster_name(self._prefix, self.records[place].topic)

    def take(self, place: int, error: KafkaError | None, message: Message) -> None:
        """Take the delivery report of a record."""
        if error is None:
            self._reported += 1
            offset = int_of(message.offset())
            # Of a record that was known to the broker already it may not tell the offset.
            if offset >= 0:
                partition = (self.records[place].topic, int_of(message.partition()))
                self._ends[partition] = max(self._ends.get(partition, 0), offset + 1)
        elif not self.refuse(place, error):
            self._reported += 1
            # What the broker said of one tells more than that others expired behind it.
            if self.failure is None or self.failure[0].code() in EXPIRED_CODES:
                self.failure = (error, f"{message.topic()}[{message.partition()}]")

    def refuse(self, place: int, error: KafkaError) -> bool:
        """Whether the failure is the record's own: it is refused then."""
        why = refused(error, self.records[place].topic, self.name(place))
        if why is None:
            return False
        self._reported += 1
        self.refused[place] = why
        return True

    def refuse_unwritable(self, place: int, problem: Exception) -> None:
        """Refuse a record that the client cannot hand on."""
        self._reported += 1
        self.refused[place] = RefusedRecord(f"a record for {self.name(place)} cannot be written: {problem}")

    def raise_failure(self) -> None:
        """Raises the failure, if there is one that is not a record's own: Fenced, Forbidden, Unanswered, SendFailed."""
        if self.failure is None:
            return
        error, where = self.failure
        if error.code() in TAKEN_OVER_CODES:
            raise Fenced(f"{where}: {error.str()}: another worker took over; start this one again")
        denied = forbidden(error, f"producing to {where}")
        if denied is not None:
            raise denied
        # A transaction that cannot go on drops what is queued behind what timed out.
        if is_unanswered(error) or error.code() in EXPIRED_CODES:
            raise Unanswered(f"{where}: not written in time ({error.str()})")
        raise SendFailed(f"{where} refused a record: {error.str()}")

    def ends(self) -> EndOffsets:
        """The offset behind the last record written, by topic and partition, as far as the broker told it."""
        return self._ends
