"""Configuration of librdkafka clients: what each connection has, and what each producer adds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from refrain.streams.settings import Settings

CLIENT_ID = "refrain"
"""How every client of Refrain names itself, unless the settings name it: members of a group are told apart by it."""
ADMIN_TIMEOUT_S = 15.0
"""How long one call that administers or describes may take."""
ANSWER_TIMEOUT_S = 5.0
"""How long a broker may take to tell of partitions, and a leader to tell its offsets."""
DESCRIBE_TIMEOUT_S = 3.0
"""How long looking up which topic is there, or what topics take, may last: it is done again later."""
LINGER_MS = 50
"""Longer than it takes to hand over the records of a batch."""
BATCH_BYTES_MAX = 1_000_000
"""The largest batch of more than one record. A topic that takes less at once refuses such a batch whole."""
PRODUCE_BYTES_MAX = 2_200_000
"""The largest message of any topic, with its headers and the overhead of its batch."""
AHEAD_RECORDS = 2_000
AHEAD_BYTES = 8_388_608
"""Records, or bytes, from which on a member of a group reads no more ahead."""
FETCH_WAIT_MS = 500
"""How long a broker may keep a question for records open. It answers as soon as there is any: what is idle asks again
twice a second."""


def max_poll_interval_ms(settings: Settings) -> int:
    """How long a consumer may go without a poll until its group takes it for stuck (milliseconds)."""
    return max(60_000, settings.session_timeout_ms)


def connection(settings: Settings) -> dict[str, Any]:
    """Properties by which every client reaches the cluster: address, backoff, TLS and SASL of the settings."""
    return {
        "bootstrap.servers": settings.kafka,
        "client.id": CLIENT_ID,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1_000,
        "retry.backoff.ms": 2,
        "retry.backoff.max.ms": 100,
        # Of a broker that is away it would tell several times a second; a worker tells of an outage itself.
        "log_level": 2,
        **{key: value.get_secret_value() for key, value in settings.connection.items()},
    }


def client_id(settings: Settings) -> str:
    """The name of every client of these settings."""
    named = settings.connection.get("client.id")
    return CLIENT_ID if named is None else named.get_secret_value()


def group_consumer_config(
    base: Mapping[str, Any], settings: Settings, group: str, *, from_start: bool, instance: str = ""
) -> dict[str, Any]:
    """Properties of a member of a group: it reads committed records alone, and commits and seeks by itself.

    With `from_start` a partition of which nothing is committed is read from its first record; without, that is an
    error. `instance` is the name of a static member. `base` holds the properties of the connection (`connection`).
    """
    member = {
        **base,
        "group.id": settings.prefix + group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "isolation.level": "read_committed",
        "auto.offset.reset": "earliest" if from_start else "error",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": settings.session_timeout_ms,
        "heartbeat.interval.ms": max(100, settings.session_timeout_ms // 6),
        "max.poll.interval.ms": max_poll_interval_ms(settings),
        "fetch.wait.max.ms": FETCH_WAIT_MS,
        "fetch.error.backoff.ms": 20,
        "fetch.queue.backoff.ms": 5,
        "queued.min.messages": AHEAD_RECORDS,
        "queued.max.messages.kbytes": AHEAD_BYTES // 1_024,
        "topic.metadata.refresh.interval.ms": 30_000,
    }
    return {**member, "group.instance.id": instance} if instance else member


def flushed_producer_config(base: Mapping[str, Any]) -> dict[str, Any]:
    """Properties of a producer whose user flushes after what belongs together: a batch a partition, not many.

    A flush ends the linger at once, so it delays nothing.
    """
    return {**producer_config(base), "linger.ms": LINGER_MS}


def producer_config(base: Mapping[str, Any]) -> dict[str, Any]:
    """Properties of a producer: acks from all replicas, no linger, and Java's partitioner (murmur2).

    `base` holds the properties of the connection (`connection`).
    """
    return {
        **base,
        "acks": "all",
        "linger.ms": 0,
        "partitioner": "murmur2_random",
        "message.max.bytes": PRODUCE_BYTES_MAX,
        "batch.size": BATCH_BYTES_MAX,
    }
