"""Copies journal records into another topic, at the offsets and with the timestamps that they were recorded with.

Ids are made of offsets, and the fold's only clock is the records' timestamps. On a broker a transaction's end takes an
offset, and so does each record of one that was aborted: such places are filled by transactions in the copy, too. A
single one is the end of a transaction with the record before it; several are one that is aborted.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from refrain.ops.cluster.connection import client, create_client
from refrain.streams.errors import ClusterFailed, SendFailed
from refrain.streams.kafka.config import flushed_producer_config
from refrain.streams.kafka.convert import int_of
from refrain.streams.kafka.faults import failure_of
from refrain.streams.kafka.interface import Record
from refrain.streams.kafka.reader import NO_GROUP

if TYPE_CHECKING:
    from refrain.streams.settings import Settings

STEP_S = 30.0
"""How long one step (acknowledgements, an end of a transaction) may take."""
LOOK_S = 0.002
FILLER = b"filler"
"""The value of records of aborted transactions, which nobody reads."""


class KafkaJournalCopy:
    """Writes one partition's records after another's to the journal under the prefix of `settings`. Close it."""

    def __init__(self, settings: Settings) -> None:
        """The topic must exist, take its writers' timestamps, and be empty; nobody else may write to it."""
        self._topic = settings.prefix + "journal"
        base = flushed_producer_config(client(settings))
        self._plain = create_client(Producer, {**base, "enable.idempotence": True})
        self._ending = create_client(Producer, {**base, "transactional.id": f"{settings.prefix}replay-journal"})
        self._asking = create_client(Consumer, {**client(settings), "group.id": f"{settings.prefix}{NO_GROUP}"})
        self._ready = False
        self._next: dict[int, int] = {}
        """By partition: the offset that the next record gets."""
        self._held: dict[int, Record] = {}
        self._misplaced: tuple[int, int] | None = None
        self._failed: KafkaError | None = None

    def append(self, records: Sequence[Record]) -> None:
        """Write the next records of a partition, but for the last of them: what follows it tells how it is written.

        Raises ClusterFailed, SendFailed or Forbidden.
        """
        for record in records:
            held = self._held.get(record.partition)
            if held is not None:
                self._write(held, record.offset)
            self._held[record.partition] = record
        self._flush(self._plain)

    def finish(self, partition: int) -> None:
        """Write the last record of a partition. Raises as `append` does."""
        held = self._held.pop(partition, None)
        if held is not None:
            self._write(held, held.offset + 1)
            self._flush(self._plain)

    def close(self) -> None:
        """Give the connections back. A second call does nothing."""
        for name in ("_plain", "_ending"):
            # They have no `close`: what is not referred to has no threads any more.
            vars(self).pop(name, None)
        self._asking.close()

    def _write(self, record: Record, follower: int) -> None:
        """Write a record that is followed by the one of that offset."""
        self._fill(record)
        ends_transaction = follower == record.offset + 2
        if ends_transaction:
            self._flush(self._plain)
            self._in_transaction([record], record.offset + 1, commit=True)
        else:
            self._produce(self._plain, record, record.offset)
        self._next[record.partition] = record.offset + (2 if ends_transaction else 1)

    def _fill(self, record: Record) -> None:
        """Fill the places before a record."""
        at = self._next.get(record.partition, 0)
        missing = record.offset - at
        if missing == 0:
            return
        if missing == 1:
            raise ClusterFailed(f"offset {at} of partition {record.partition} cannot be left out of the copy")
        self._flush(self._plain)
        filler = Record("journal", record.partition, at, record.timestamp_ms, None, FILLER)
        fillers = [filler._replace(offset=at + step) for step in range(missing - 1)]
        self._in_transaction(fillers, record.offset - 1, commit=False)

    def _in_transaction(self, records: Sequence[Record], end: int, *, commit: bool) -> None:
        """Write records in a transaction whose end takes the offset `end`."""
        try:
            if not self._ready:
                self._ending.init_transactions(STEP_S)
                self._ready = True
            self._ending.begin_transaction()
            for record in records:
                self._produce(self._ending, record, record.offset)
            self._flush(self._ending)
            (self._ending.commit_transaction if commit else self._ending.abort_transaction)(STEP_S)
            self._await_end(TopicPartition(self._topic, records[0].partition), end + 1)
        except KafkaException as problem:
            raise failure_of(problem.args[0], f"copying to {self._topic}") from problem

    def _await_end(self, place: TopicPartition, end: int) -> None:
        """Wait until the partition ends there: a transaction's end is written after the client is told of it."""
        until_s = time.monotonic() + STEP_S
        while True:
            found = self._asking.get_watermark_offsets(place, STEP_S)
            if found is not None and int_of(found[1]) >= end:
                return
            if time.monotonic() > until_s:
                raise SendFailed(f"the end of a transaction did not come to stand in {self._topic} within {STEP_S:g} s")
            time.sleep(LOOK_S)

    def _produce(self, producer: Producer, record: Record, offset: int) -> None:
        def reported(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self._failed = self._failed or error
                return
            at = int_of(message.offset())
            # Of a record that was known to the broker already it may not tell the offset.
            if at >= 0 and at != offset:
                self._misplaced = self._misplaced or (offset, at)

        while True:
            try:
                producer.produce(
                    self._topic,
                    record.value,
                    record.key,
                    record.partition,
                    on_delivery=reported,
                    timestamp=record.timestamp_ms,
                    headers=list(record.headers),
                )
                return
            except BufferError:
                producer.poll(0.05)
            except KafkaException as problem:
                raise failure_of(problem.args[0], f"copying to {self._topic}") from problem

    def _flush(self, producer: Producer) -> None:
        left = producer.flush(STEP_S)
        if self._failed is not None:
            raise failure_of(self._failed, f"copying to {self._topic}")
        if self._misplaced is not None:
            wanted, got = self._misplaced
            raise ClusterFailed(
                f"the record of offset {wanted} came to stand at {got} of {self._topic}: somebody else writes there;"
                " delete its topics, and replay into another prefix"
            )
        if left:
            raise SendFailed(f"{left} records for {self._topic} were not acknowledged within {STEP_S:g} s")
