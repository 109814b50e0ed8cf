"""Membership: whether a worker is still a member of its group when it sends what it made of a batch.

A process that stood still (SIGSTOP, a paused machine) is taken for dead, its partitions have another owner, and it
does not know that yet when it goes on. Its own clock tells that it may be so; the coordinator tells whether it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from refrain.streams.errors import Rebalanced
from refrain.streams.kafka.interface import Consumer, OffsetAndMetadata, Record
from refrain.streams.kafka.outages import Outages

TRUSTED = 0.25
"""The part of a session for which a member that stood still is a member all the same: heartbeats are a sixth apart, and
what it sends expires after 0.4 of a session."""


class Membership:
    """The membership of one consumer. It costs a look at the clock, and a commit where the process stood still."""

    def __init__(
        self, consumer: Consumer, session_s: float, outages: Outages, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`clock` goes on while the process stands still (seconds)."""
        self._consumer = consumer
        self._trusted_s = session_s * TRUSTED
        self._outages = outages
        self._clock = clock
        self._seen_s = clock()
        self._member = ""
        self._doubtful = False

    def look(self) -> None:
        """Look at the clock: call it often, so that a gap shows that the process stood still."""
        now_s = self._clock()
        if now_s - self._seen_s > self._trusted_s:
            self._doubtful = True
        self._seen_s = now_s

    def polled(self) -> None:
        """A batch was polled by the member that this worker is now."""
        self.look()
        self._member = self._consumer.member_id()

    def confirm(self, firsts: Mapping[int, int]) -> None:
        """Make sure that the partitions are still this worker's, where that is in doubt.

        `firsts` are the first offsets, by partition, of what is not sent yet: all before them is done. Raises
        Rebalanced when another worker may have them, Unanswered when the worker is to stop before it is known.
        """
        self.look()
        while self._doubtful:
            self._doubtful = False
            try:
                self._ask(firsts)
            except BaseException:
                self._doubtful = True
                raise
            # It may have stood still while it asked.
            self.look()

    def _ask(self, firsts: Mapping[int, int]) -> None:
        if self._consumer.member_id() != self._member:
            raise Rebalanced("this worker has joined its group anew since it read a batch: it is read again")
        done = {partition: OffsetAndMetadata(offset) for partition, offset in firsts.items()}
        # The coordinator refuses it to whom it has taken for dead.
        self._outages.ask_again("whether this worker is still in its group", lambda: self._consumer.commit(done))


def firsts_of(records: Sequence[Record]) -> dict[int, int]:
    """The first offset of each partition in records that are in order."""
    return {record.partition: record.offset for record in reversed(records)}
