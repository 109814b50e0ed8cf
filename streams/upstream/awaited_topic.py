"""A producer that waits for its topic: what is made once and for money is not given up while an operator makes it anew.

An answer of a model that finds no `completions` would become a dead letter of digests, and its requester would wait for
nothing. It is held as it is while brokers are away. Those of the last moments are kept: what nobody had read of a topic
that is made anew is gone with it, and is written to the new one. Who reads it knows repeats.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor

from refrain.streams.errors import ClusterFailed, RecordsRefused, RefusedRecord, SendFailed, WrongSetup
from refrain.streams.kafka.interface import Cluster, Outgoing, Producer, wire_bytes
from refrain.streams.kafka.outages import STOP_WAIT_S, Outages, asked_once, pauses

Send = Callable[[Sequence[Outgoing]], None]
KEPT_S = 30.0
"""How long what was written is kept: who reads the topic is seldom further behind."""
KEPT_BYTES = 16_000_000

logger = logging.getLogger(__name__)


class AwaitsTopic:
    """A producer that sends records for `topic` again until it is there; around another one, which it closes.

    For one thread, but for its making.
    """

    def __init__(
        self, inner: Producer, topic: str, cluster: Cluster, outages: Outages, executor: Executor | None = None
    ) -> None:
        """`executor` asks which topic is there: no answer waits for that."""
        self._inner = inner
        self._executor = ThreadPoolExecutor(1, "which-topic") if executor is None else executor
        self._asked: Future[str] | None = None
        self._topic = topic
        self._cluster = asked_once(cluster)
        self._outages = outages
        self._kept: deque[tuple[float, Outgoing]] = deque()
        self._kept_bytes = 0
        self._topic_id: str | None = None

    def send(self, records: Sequence[Outgoing]) -> None:
        """As the inner producer's. Raises SendFailed when the worker is to stop, or patience is over."""
        self._send(self._inner.send, records)

    def send_singly(self, records: Sequence[Outgoing]) -> None:
        """Send in batches of one record."""
        self._send(self._inner.send_singly, records)

    def lost(self) -> list[Outgoing]:
        """What was written to a topic of which another has the name by now, as far as it is kept: once of each."""
        self._forget()
        if self._asked is None:
            self._asked = self._executor.submit(self._cluster.topic_id, self._topic)
        if not self._asked.done():
            return []
        asked, self._asked = self._asked, None
        try:
            found = asked.result()
        except (ClusterFailed, WrongSetup):
            # Nobody says, or it is not there: the next look tells.
            return []
        before, self._topic_id = self._topic_id, found
        if before is None or before == found:
            return []
        records = [record for _, record in self._kept]
        self._kept.clear()
        self._kept_bytes = 0
        logger.warning(
            "topic %s was deleted and made anew: %d records of the last %.0f s are written to it again",
            self._topic, len(records), KEPT_S,
        )  # fmt: skip
        return records

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._inner.close()

    def _send(self, send: Send, records: Sequence[Outgoing]) -> None:
        places, refused = list(range(len(records))), dict[int, RefusedRecord]()
        pause = pauses()
        with self._outages.waiting(f"topic {self._topic}") as wait:
            while places:
                try:
                    send([records[place] for place in places])
                    held = {}
                except RecordsRefused as refusal:
                    held = {places[at]: why for at, why in refusal.refused.items()}
                self._keep([records[place] for place in places if place not in held])
                places = [place for place, why in held.items() if why.gone and records[place].topic == self._topic]
                refused |= {place: why for place, why in held.items() if place not in places}
                if places and wait.is_over(STOP_WAIT_S):
                    raise SendFailed(f"topic {self._topic} is not there: create it with `refrain topics create`")
                if places:
                    wait.failed("it is not there: create it with `refrain topics create`")
                    self._outages.pause(next(pause), whole=True)
        if refused:
            raise RecordsRefused(refused)

    def _keep(self, records: Sequence[Outgoing]) -> None:
        now_s = self._outages.clock()
        for record in records:
            if record.topic == self._topic:
                self._kept.append((now_s, record))
                self._kept_bytes += wire_bytes(record)
        self._forget()

    def _forget(self) -> None:
        """Forget what is old, or more than is kept."""
        until_s = self._outages.clock() - KEPT_S
        while self._kept and (self._kept[0][0] < until_s or self._kept_bytes > KEPT_BYTES):
            self._kept_bytes -= wire_bytes(self._kept.popleft()[1])
