"""Steps of several request topics that share a model: one at a time works."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from refrain.schemas.control import PolicyInForce
from refrain.streams.errors import Refusal
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.runtime.stateless import Behind, Step


class InTurn(Step):
    """A step that works while it has its turn: several share a model."""

    def __init__(self, step: Step, turn: threading.Lock) -> None:
        self._step = step
        self._turn = turn

    def wanted(self, batch_max: int) -> int:
        return self._step.wanted(batch_max)

    def polled(self, batch: Sequence[Record], behind: Behind, now_ms: int) -> None:
        self._step.polled(batch, behind, now_ms)

    def tell(self, record: Record, refusal: Refusal) -> Sequence[Outgoing]:
        return self._step.tell(record, refusal)

    def sent(self) -> None:
        self._step.sent()

    def in_doubt(self, batch: Sequence[Record]) -> bool:
        return self._step.in_doubt(batch)

    def committed(self, offsets: Mapping[int, int]) -> None:
        self._step.committed(offsets)

    def follow(self, policy: PolicyInForce | None) -> None:
        with self._turn:
            self._step.follow(policy)

    def process(self, batch: Sequence[Record]) -> Sequence[Outgoing]:
        with self._turn:
            return self._step.process(batch)
