"""The outbox: a thread that sends what is ready, batch after batch, and says when it is acknowledged."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from refrain.streams.kafka.interface import Outgoing, Producer
from refrain.streams.runtime.background import BackgroundThread

T = TypeVar("T")

BATCH_MAX = 500
CLOSE_WAIT_S = 10.0


class _Parcel(NamedTuple, Generic[T]):
    make: Callable[[], list[Outgoing]]
    receipt: T | None


class Outbox(Generic[T]):
    """Records in from any thread; `receipts` out in the owner's thread, once their records are acknowledged.

    So neither polling nor calling waits for the broker. Whatever raises ends the thread, and is `problem`.
    """

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._parcels: queue.SimpleQueue[_Parcel[T] | None] = queue.SimpleQueue()
        self._receipts: queue.SimpleQueue[T] = queue.SimpleQueue()
        self._background = BackgroundThread("outbox", self._run)

    @property
    def problem(self) -> Exception | None:
        """What ended the thread, if something did."""
        return self._background.problem

    def put(self, make: Callable[[], list[Outgoing]], receipt: T | None = None) -> None:
        """Send what `make` gives (it runs in the outbox's thread)."""
        self._parcels.put(_Parcel(make, receipt))

    def receipts(self) -> list[T]:
        """What was acknowledged since the last call."""
        found = []
        while True:
            try:
                found.append(self._receipts.get_nowait())
            except queue.Empty:
                return found

    def close(self) -> None:
        """Send what is left, and end."""
        self._parcels.put(None)
        self._background.join(CLOSE_WAIT_S)
        self._producer.close()

    def _run(self) -> None:
        while self._send_batch():
            pass

    def _send_batch(self) -> bool:
        batch: list[_Parcel[T]] = []
        going_on = True
        parcel = self._parcels.get()
        while True:
            if parcel is None:
                going_on = False
                break
            batch.append(parcel)
            if len(batch) >= BATCH_MAX or self._parcels.empty():
                break
            parcel = self._parcels.get()
        self._producer.send([record for one in batch for record in one.make()])
        for one in batch:
            if one.receipt is not None:
                self._receipts.put(one.receipt)
        return going_on
