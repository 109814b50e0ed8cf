"""What each role of a walled broker tries beside its rights, who refuses it, and a table of that."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, Producer, TopicPartition

from refrain.streams.settings import Settings
from tests.integration.processors import WAIT_S

DENIED = KafkaError.TOPIC_AUTHORIZATION_FAILED
BROKER, REFRAIN, NOBODY = "the broker", "Refrain", "nobody"


class Attempt(NamedTuple):
    """An attempt of a role, and who refused it, how."""

    role: str
    what: str
    refused_by: str
    how: str


def errors_of_writing(connection: dict[str, str], settings: Settings, topics: Iterable[str]) -> dict[str, int | None]:
    """What the broker says to somebody who writes to topics in spite of all, by topic; None where it takes a record."""
    codes: dict[str, int | None] = {}
    producer = Producer({"bootstrap.servers": settings.kafka, **connection, "enable.idempotence": False})

    def reported(error: KafkaError | None, message: Message) -> None:
        codes[(message.topic() or "").removeprefix(settings.prefix)] = None if error is None else error.code()

    for topic in topics:
        producer.produce(settings.prefix + topic, b"junk", on_delivery=reported)
    producer.flush(WAIT_S)
    return codes


def errors_of_reading(
    connection: dict[str, str], settings: Settings, topics: Sequence[str], group: str
) -> dict[str, int | None]:
    """What the broker says to somebody who reads topics in spite of all, by topic; None where it lets him.

    `group` is one that he may name; nobody joins it.
    """
    base = {"bootstrap.servers": settings.kafka, **connection, "group.id": settings.prefix + group}
    return {topic: _error_of_reading(base, settings.prefix + topic) for topic in topics}


def _error_of_reading(base: dict[str, str], name: str) -> int | None:
    consumer = Consumer({**base, "fetch.wait.max.ms": 20, "enable.partition.eof": True})
    try:
        error = consumer.list_topics(name, timeout=WAIT_S).topics[name].error
        if error is None:
            consumer.assign([TopicPartition(name, 0, OFFSET_BEGINNING)])
            error = _first(consumer).error()
        return None if error is None or error.code() == KafkaError._PARTITION_EOF else error.code()
    finally:
        consumer.close()


def _first(consumer: Consumer) -> Message:
    """The first record, or error, that a consumer gets."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        message = consumer.poll(0.2)
        if message is not None:
            return message
    raise AssertionError("the broker says nothing")


def told(role: str, action: str, found: dict[str, int | None]) -> list[Attempt]:
    """Attempts at topics, as the broker took them."""
    return [
        Attempt(role, f"{action} {topic}", NOBODY if code is None else BROKER, "" if code is None else _name(code))
        for topic, code in found.items()
    ]


def table(attempts: Sequence[Attempt]) -> list[str]:
    """The attempts as lines: those of one role, action and refusal together."""
    together: dict[tuple[str, str, str, str], list[str]] = {}
    for role, what, by, how in attempts:
        action, _, rest = what.partition(" ")
        together.setdefault((role, action, by, how), []).append(rest)
    return [
        f"| {role} | {action} {', '.join(sorted(rest))} | {by} | {how} |"
        for (role, action, by, how), rest in together.items()
    ]


def _name(code: int) -> str:
    return str(KafkaError(code).name())
