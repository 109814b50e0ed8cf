"""A slow model behind the endpoint: every request is a miss, and its answer comes piece by piece until it is let end.

It stands for classify, lookup and the connector, over a cluster in memory, so that the figures are the endpoint's.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from refrain.schemas.base import Reply
from refrain.schemas.responses import DecisionSummary, Outcome, Response
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.messaging.progress import decided, piece, place_of
from refrain.streams.messaging.reply_headers import PARTITION_HEADER
from refrain.streams.messaging.responses import reply_of, respond

TURN_S = 0.05
TAKE = 2_000
KEPT_S = 5.0
"""How long records stay that everybody has read: memory is to tell of streams, and not of topics."""
WORD = "word "


class _Stream(NamedTuple):
    reply: Reply
    told: int


class SlowModel:
    """Answers what comes to `requests`: a piece at once and one each `every_s`, and after `finish` the end."""

    def __init__(self, cluster: MemoryCluster, every_s: float, stop: Callable[[], bool]) -> None:
        self._cluster = cluster
        self._every_s = every_s
        self._stop = stop
        self._due: deque[tuple[float, _Stream]] = deque()
        self._finishing = threading.Event()
        self._tail = cluster.tail({"requests": None}, "slow-model")
        self._old: deque[tuple[float, dict[str, dict[int, int]]]] = deque()
        self._cut: dict[tuple[str, int], int] = {}
        self._thread = threading.Thread(target=self._run, name="slow-model", daemon=True)

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def finish(self) -> None:
        """Let each answer end with its next piece."""
        self._finishing.set()

    def _run(self) -> None:
        while not self._stop():
            records = self._tail.poll(TAKE, TURN_S)
            out = [each for record in records for each in self._begin(record)]
            now_s = time.monotonic()
            while self._due and self._due[0][0] <= now_s:
                out += self._go_on(self._due.popleft()[1])
            if out:
                self._cluster.append(out)
            self._forget(now_s)

    def _begin(self, record: Record) -> list[Outgoing]:
        said = dict(record.headers).get(PARTITION_HEADER)
        reply = reply_of("responses", None if said is None else int(said), record.key, record.headers)
        decision = DecisionSummary(id=f"slow-{record.offset}", reason="no_candidate")
        return [*decided(reply, Outcome.MISS, decision), *self._go_on(_Stream(reply, 0))]

    def _go_on(self, stream: _Stream) -> list[Outgoing]:
        place = place_of(stream.reply)
        chunk = {"id": "slow", "choices": [{"index": 0, "delta": {"content": WORD}}]}
        out = [] if place is None else [piece(place, 1, chunk)]
        if self._finishing.is_set():
            return [*out, self._whole(stream)]
        self._due.append((time.monotonic() + self._every_s, stream._replace(told=stream.told + 1)))
        return out

    def _whole(self, stream: _Stream) -> Outgoing:
        text = WORD * (stream.told + 1)
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        body = {"id": "slow", "object": "chat.completion", "choices": [choice]}
        return respond(stream.reply, Response(outcome=Outcome.MISS, body=body))

    def _forget(self, now_s: float) -> None:
        """Let go of records that are older than `KEPT_S`; their places stay."""
        if self._old and now_s - self._old[-1][0] < 1.0:
            return
        ends = {topic: {at: end for at, (_, end) in self._cluster.ends(topic).items()} for topic in TOPICS}
        self._old.append((now_s, ends))
        while now_s - self._old[0][0] > KEPT_S:
            for topic, places in self._old.popleft()[1].items():
                for number, end in places.items():
                    rows = self._cluster.topic(topic).records[number]
                    first = self._cut.get((topic, number), 0)
                    rows[first:end] = [EMPTY] * (end - first)
                    self._cut[(topic, number)] = max(first, end)


TOPICS = ("requests", "progress", "responses")
EMPTY = Record("", 0, 0, 0, None, None, (), False)
