"""The outbox: a thread that produces what is ready, batch after batch, and returns receipts when acknowledged."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from refrain.streams.kafka.interface import Outgoing, Producer
from refrain.streams.runtime.background import BackgroundThread

T = TypeVar("T")

BATCH_MAX = 500
CLOSE_WAIT_S = 10.0


class _Pending(NamedTuple, Generic[T]):
    make: Callable[[], list[Outgoing]]
    receipt: T | None


class Outbox(Generic[T]):
    """Records in from any thread; `receipts` out in the owner's thread, once their records are acknowledged.

    So neither polling nor calling waits for the broker. Whatever raises ends the thread, and is `problem`.
    """

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._queue: queue.SimpleQueue[_Pending[T] | None] = queue.SimpleQueue()
        self._receipts: queue.SimpleQueue[T] = queue.SimpleQueue()
        self._background = BackgroundThread("outbox", self._run)

    @property
    def problem(self) -> Exception | None:
        """The error that ended the thread, None while it works."""
        return self._background.problem

    def put(self, make: Callable[[], list[Outgoing]], receipt: T | None = None) -> None:
        """Queue the records that `make` returns (called on the outbox's thread) to be produced."""
        self._queue.put(_Pending(make, receipt))

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
        self._producer.send([record for one in batch for record in one.make()])
        for one in batch:
            if one.receipt is not None:
                self._receipts.put(one.receipt)
        return is_open
