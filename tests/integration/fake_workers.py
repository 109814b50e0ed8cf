"""Fake workers that only acknowledge, for tests of commands that wait for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from refrain.schemas.acknowledgements import Acknowledgement
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.settings import Settings

LOOK_S = 0.05


def acknowledge(cluster: KafkaCluster, processor: str, workers: Collection[str], version: int) -> None:
    """Write the acknowledgements of workers."""
    said = [Acknowledgement(processor=processor, worker=worker, version=version, at_ms=0) for worker in workers]
    producer = cluster.producer()
    producer.send([Outgoing("acknowledgements", f"{a.processor}/{a.worker}".encode(), a.encode(), (), 0) for a in said])
    producer.close()


@contextmanager
def acknowledging(settings: Settings, shards: Collection[int]) -> Iterator[None]:
    """Shards that acknowledge every command as soon as it stands, for as long as the block lasts."""
    done = threading.Event()
    cluster = KafkaCluster(settings)

    def work() -> None:
        seen = cluster.ends("control")[0][1]
        ready.set()
        while not done.wait(LOOK_S):
            end = cluster.ends("control")[0][1]
            if end > seen:
                acknowledge(cluster, "lookup", [str(shard) for shard in shards], end - 1)
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
        cluster.close()


@contextmanager
def member(settings: Settings, processor: str, topic: str) -> Iterator[str]:
    """A worker of a processor's group that reads nothing; gives its member id."""
    consumer = KafkaCluster(settings).consumer(topic, processor)
    until = time.monotonic() + 30
    while not consumer.assignment():
        assert time.monotonic() < until, "no partition was assigned"
        consumer.poll(1, 0.1)
    try:
        # It stays a member without being polled: heartbeats go on for a minute.
        yield consumer.consumer.memberid()
    finally:
        consumer.close()
