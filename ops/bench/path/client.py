"""Load-generating client of `bench path`: bytes out, bytes in, correlated by a header, parsed after the run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

from confluent_kafka import Consumer, Producer, TopicPartition

from refrain.streams.errors import ClusterFailed
from refrain.streams.kafka.config import connection, producer_config
from refrain.streams.kafka.offsets import known_offset
from refrain.streams.settings import Settings

HEADER = "bench-id"
WAIT_S = 0.02
TIMEOUT_S = 60.0
TAKE = 1_000


class TimedResponse(NamedTuple):
    """Response to one request, with its latency."""

    latency_ms: float
    value: bytes


class BenchClient:
    """Produces to `requests` and reads `responses` of one prefix, with the settings that every measured client has."""

    def __init__(self, settings: Settings) -> None:
        base = connection(settings)
        self._requests = settings.prefix + "requests"
        self._producer = Producer({**producer_config(base), "enable.idempotence": True})
        self._consumer = Consumer(
            {
                **base,
                "group.id": f"{settings.prefix}bench",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "latest",
                "fetch.wait.max.ms": 50,
            }
        )
        topic = settings.prefix + "responses"
        places = [TopicPartition(topic, n) for n in self._consumer.list_topics(topic).topics[topic].partitions]
        for place in places:
            _, end = self._consumer.get_watermark_offsets(place)
            place.offset = known_offset(end, f"{topic}[{place.partition}]")
        self._consumer.assign(places)
        self._run = 0

    def close(self) -> None:
        """Close the connections."""
        self._producer.flush(1.0)
        self._consumer.close()

    def ask(
        self,
        values: Sequence[bytes],
        *,
        rate: float | None = None,
        in_flight: int = 10_000,
        progress: Callable[[int], None] = lambda done: None,
    ) -> list[TimedResponse]:
        """Send all, at `rate` a second or as fast as `in_flight` allows, and wait for every answer.

        Raises ClusterFailed when nothing comes back for a minute.
        """
        self._run += 1
        sent_at = [0.0] * len(values)
        responses: list[TimedResponse | None] = [None] * len(values)
        sent = done = 0
        begin = heard = time.perf_counter()
        while done < len(values):
            now = time.perf_counter()
            while sent < len(values) and sent - done < in_flight and (not rate or now >= begin + sent / rate):
                sent_at[sent] = time.perf_counter()
                self._produce(values[sent], b"%d-%d" % (self._run, sent))
                sent += 1
                now = time.perf_counter()
                if sent % 64 == 0:
                    break
            self._producer.poll(0)
            wait = 0.0 if sent < len(values) and not rate and sent - done < in_flight else WAIT_S
            if rate and sent < len(values):
                wait = min(WAIT_S, max(0.0, begin + sent / rate - time.perf_counter()))
            for number, value in self._take(wait):
                if responses[number] is None:
                    heard = time.perf_counter()
                    responses[number] = TimedResponse((heard - sent_at[number]) * 1_000, value)
                    done += 1
            progress(done)
            if time.perf_counter() - heard > TIMEOUT_S:
                raise ClusterFailed(
                    f"{len(values) - done} of {len(values)} requests got no answer within {TIMEOUT_S:g} s"
                )
        return [each for each in responses if each is not None]

    def _produce(self, value: bytes, id_: bytes) -> None:
        while True:
            try:
                self._producer.produce(self._requests, value, id_, headers=[(HEADER, id_)])
                return
            except BufferError:
                self._producer.poll(0.01)

    def _take(self, wait_s: float) -> list[tuple[int, bytes]]:
        first = self._consumer.poll(wait_s)
        if first is None:
            return []
        found = []
        mine = b"%d-" % self._run
        for message in (first, *self._consumer.consume(TAKE, 0)):
            if message.error() is not None:
                continue
            for name, id_ in cast("list[tuple[str, Any]]", message.headers() or []):
                if name == HEADER and id_.startswith(mine):
                    found.append((int(id_[len(mine) :]), message.value() or b""))
        return found
