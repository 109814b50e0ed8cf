"""The outbox: a thread that produces what is ready, batch after batch, and returns receipts when acknowledged.

What is in hand is noted, so that a forward whose completion ends the worker is found: a batch by the offsets of its
forwards, and each of those alone when a worker ended there before.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, NamedTuple, TypeVar

from refrain.streams.errors import RefrainError
from refrain.streams.kafka.interface import Outgoing, Producer
from refrain.streams.runtime.background import BackgroundThread
from refrain.streams.runtime.progress import Progress

T = TypeVar("T")

BATCH_MAX = 500
CLOSE_WAIT_S = 10.0
Place = tuple[int, int]
"""Partition and offset of a forward."""


class _Pending(NamedTuple, Generic[T]):
    make: Callable[[], list[Outgoing]]
    receipt: T | None
    place: Place | None


class Outbox(Generic[T]):
    """Records in from any thread; `receipts` out in the owner's thread, once their records are acknowledged.

    So neither polling nor calling waits for the broker. Whatever raises ends the thread, and is `problem`.
    """

    def __init__(self, producer: Producer, progress: Progress | None = None) -> None:
        """`progress` notes what is in hand, by the partitions that it has."""
        self._producer = producer
        self._progress = progress or Progress(None, 0)
        self._queue: queue.SimpleQueue[_Pending[T] | None] = queue.SimpleQueue()
        self._receipts: queue.SimpleQueue[T] = queue.SimpleQueue()
        self._background = BackgroundThread("outbox", self._run)

    @property
    def problem(self) -> Exception | None:
        """The error that ended the thread, None while it works."""
        return self._background.problem

    def put(self, make: Callable[[], list[Outgoing]], receipt: T | None = None, place: Place | None = None) -> None:
        """Queue the records that `make` returns (called on the outbox's thread) to be produced.

        `place` is that of the forward which they are made of.
        """
        self._queue.put(_Pending(make, receipt, place))

    def receipts(self) -> list[T]:
        """Receipts of the records acknowledged since the last call."""
        found = []
        while True:
            try:
                found.append(self._receipts.get_nowait())
            except queue.Empty:
                return found

    def close(self) -> None:
        """Produce what is queued, and end the thread."""
        self._queue.put(None)
        self._background.join(CLOSE_WAIT_S)
        self._producer.close()

    def _run(self) -> None:
        while self._send_batch():
            pass

    def _send_batch(self) -> bool:
        batch: list[_Pending[T]] = []
        is_open = True
        pending = self._queue.get()
        while True:
            if pending is None:
                is_open = False
                break
            batch.append(pending)
            if len(batch) >= BATCH_MAX or self._queue.empty():
                break
            pending = self._queue.get()
        for part in self._parts(batch):
            with self._noted(part):
                self._producer.send([record for one in part for record in one.make()])
            for one in part:
                if one.receipt is not None:
                    self._receipts.put(one.receipt)
        return is_open

    def _parts(self, batch: list[_Pending[T]]) -> list[list[_Pending[T]]]:
        """The batch in parts: each forward at which a worker may have ended is one by itself, the others are one."""
        alone = [one for one in batch if one.place is not None and self._progress.is_careful(*one.place)]
        if not alone:
            return [batch]
        return [[one for one in batch if one not in alone], *([one] for one in alone)]

    @contextmanager
    def _noted(self, part: Sequence[_Pending[T]]) -> Iterator[None]:
        """Note the forwards of a part while it is made and sent."""
        offsets: dict[int, list[int]] = {}
        for one in part:
            if one.place is not None:
                offsets.setdefault(one.place[0], []).append(one.place[1])
        for partition, of in offsets.items():
            self._progress.begin_step(partition, min(of), max(of))
        try:
            yield
        except RefrainError:
            # Of the cluster or the setup: no record's fault.
            self._end(offsets)
            raise
        except BaseException:
            # The note stays as it is, whatever becomes of the partitions until the worker has ended.
            self._progress.close()
            raise
        self._end(offsets)

    def _end(self, offsets: dict[int, list[int]]) -> None:
        for partition, of in offsets.items():
            self._progress.end_step(partition, min(of))
