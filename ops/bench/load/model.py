"""Simulated connector and model in virtual time: queues, service times, and load samples.

Like `refrain.streams.upstream`: forwards wait in order, a bounded number of calls is open, one whose deadline has
passed at its turn is not made. The model works on `slots` calls at once and takes a lognormal
time for each; others wait there.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from typing import NamedTuple

from refrain.schemas.load import LoadSample
from refrain.streams.upstream.load_meter import LoadMeter


class Call(NamedTuple):
    """Call of the model: a forward in flight."""

    forward_id: str
    deadline_at_ms: int


class CompletedCall(NamedTuple):
    """Completion of a call; `answered` is false when its deadline had passed before its turn."""

    forward_id: str
    answered: bool
    latency_ms: int


class Connector:
    """One model behind one connector. Times of service depend on the seed and the forward alone."""

    def __init__(self, model: str, slots: int, open_max: int, median_ms: float, sigma: float, seed: int) -> None:
        self.model = model
        self._slots = slots
        self._open_max = open_max
        self._median_ms = median_ms
        self._sigma = sigma
        self._seed = seed
        self._meter = LoadMeter(f"{model}-1")
        self._queue: deque[Call] = deque()
        self._at_model: deque[tuple[Call, int]] = deque()
        self._served: list[tuple[int, int, Call, int]] = []
        """Heap of (end, order, call, sent): what the model works on."""
        self._order = 0
        self._open = 0

    @property
    def next_ms(self) -> float:
        """When the next call ends; infinity when none is under way."""
        return self._served[0][0] if self._served else math.inf

    def take(self, call: Call, now_ms: int) -> list[CompletedCall]:
        """Take a forward; returns what completes at once."""
        self._queue.append(call)
        return self._turn(now_ms)

    def advance(self, now_ms: int) -> list[CompletedCall]:
        """Advance to the end of the next call at `now_ms`; returns what completes."""
        _, _, call, sent_ms = heapq.heappop(self._served)
        self._open -= 1
        latency_ms = now_ms - sent_ms
        self._meter.add(self.model, latency_ms, now_ms)
        if self._at_model:
            self._serve(*self._at_model.popleft(), now_ms)
        return [CompletedCall(call.forward_id, True, latency_ms), *self._turn(now_ms)]

    def samples(self, now_ms: int) -> list[LoadSample]:
        """The load samples that are due."""
        depth = len(self._queue) + self._open
        return self._meter.samples({self.model: depth} if depth else {}, now_ms)

    def _turn(self, now_ms: int) -> list[CompletedCall]:
        late = []
        while self._queue and self._open < self._open_max:
            call = self._queue.popleft()
            if now_ms >= call.deadline_at_ms:
                late.append(CompletedCall(call.forward_id, False, 0))
                continue
            self._open += 1
            if len(self._served) < self._slots:
                self._serve(call, now_ms, now_ms)
            else:
                self._at_model.append((call, now_ms))
        return late

    def _serve(self, call: Call, sent_ms: int, now_ms: int) -> None:
        draw = random.Random(f"{self._seed}/{call.forward_id}")
        takes_ms = draw.lognormvariate(math.log(self._median_ms), self._sigma)
        self._order += 1
        heapq.heappush(self._served, (now_ms + max(1, round(takes_ms)), self._order, call, sent_ms))
