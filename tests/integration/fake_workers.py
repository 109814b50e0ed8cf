"""Workers that only acknowledge, for tests of those who wait for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from schemas.acknowledgements import Acknowledgement
from streams.kafka.cluster import KafkaCluster
from streams.kafka.interface import Outgoing
from streams.settings import Settings

LOOK_S = 0.05


def acknowledge(log: KafkaCluster, processor: str, workers: Collection[str], version: int) -> None:
    """Write the acknowledgements of workers."""
    said = [Acknowledgement(processor=processor, worker=worker, version=version, at_ms=0) for worker in workers]
    writer = log.producer()
    writer.send([Outgoing("acknowledgements", f"{a.processor}/{a.worker}".encode(), a.encode(), (), 0) for a in said])
    writer.close()


@contextmanager
def acknowledging(settings: Settings, shards: Collection[int]) -> Iterator[None]:
    """Shards that acknowledge every command as soon as it stands, for as long as the block lasts."""
    done = threading.Event()
    log = KafkaCluster(settings)

    def work() -> None:
        seen = log.ends("control")[0][1]
        ready.set()
        while not done.wait(LOOK_S):
            end = log.ends("control")[0][1]
            if end > seen:
                acknowledge(log, "lookup", [str(shard) for shard in shards], end - 1)
                seen = end

    ready = threading.Event()
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield
    finally:
        done.set()
        thread.join(30)
        log.close()


@contextmanager
def member(settings: Settings, processor: str, topic: str) -> Iterator[str]:
    """A worker of a processor's group that reads nothing; gives its member id."""
    reader = KafkaCluster(settings).consumer(topic, processor)
    until = time.monotonic() + 30
    while not reader.assignment():
        assert time.monotonic() < until, "no partition was assigned"
        reader.poll(1, 0.1)
    try:
        # It stays a member without being polled: heartbeats go on for a minute.
        yield reader.consumer.memberid()
    finally:
        reader.close()
