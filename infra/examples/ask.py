"""A client with confluent-kafka alone: asks one question, prints the answer and where it came from.

.venv/bin/python infra/examples/ask.py "How do I reverse a list in Python?"

What the messages hold stands in schemas/README.md. infra/examples/reply_topic.md has a client with a topic of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import uuid
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

HEADER = "my-id"
"""All headers of a request come back with its response: by this one a client knows its own."""
BROKER_S = 10.0
RECORD_BYTES_MAX = 2_097_152


def ask(servers: str, body: dict[str, Any], *, prefix: str = "refrain.", timeout_s: float = 60.0) -> dict[str, Any]:
    """The response to a chat-completions request. Raises TimeoutError when none comes, KafkaException without a broker.

    A client that asks often keeps its consumer and producer; this one makes them for each question.
    """
    mine = uuid.uuid4().bytes
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            # The ACLs of the role `clients` allow groups whose names begin so. No position is kept.
            "group.id": f"{prefix}clients-ask",
            "enable.auto.commit": False,
            "max.partition.fetch.bytes": RECORD_BYTES_MAX,
        }
    )
    try:
        # Where to read from is settled before the question goes out: its answer cannot be missed.
        consumer.assign(ends(consumer, f"{prefix}responses"))
        send(servers, f"{prefix}requests", json.dumps({"v": 1, "body": body}).encode(), mine)
        return wait(consumer, mine, timeout_s)
    finally:
        consumer.close()


def ends(consumer: Consumer, topic: str) -> list[TopicPartition]:
    """The end of each partition of a topic."""
    found = consumer.list_topics(topic, BROKER_S).topics[topic]
    if found.error is not None:
        raise KafkaException(found.error)
    places = [TopicPartition(topic, number) for number in found.partitions]
    return [TopicPartition(topic, place.partition, end(consumer, place)) for place in places]


def end(consumer: Consumer, place: TopicPartition) -> int:
    """The offset of the next record of a partition."""
    offsets = consumer.get_watermark_offsets(place, BROKER_S)
    if offsets is None:
        raise TimeoutError(f"the broker did not tell the end of {place.topic} within {BROKER_S:.0f} s")
    return offsets[1]


def send(servers: str, topic: str, value: bytes, mine: bytes) -> None:
    """Write a request. Raises KafkaException when the broker did not take it."""
    problems: list[KafkaException] = []
    producer = Producer({"bootstrap.servers": servers, "enable.idempotence": True})
    producer.produce(
        topic,
        value,
        headers=[(HEADER, mine)],
        on_delivery=lambda error, _: problems.append(KafkaException(error)) if error is not None else None,
    )
    producer.flush()
    if problems:
        raise problems[0]


def wait(consumer: Consumer, mine: bytes, timeout_s: float) -> dict[str, Any]:
    """The first response that carries our header. Raises TimeoutError."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        record = consumer.poll(0.1)
        if record is None:
            continue
        if (error := record.error()) is not None:
            raise KafkaException(error)
        if (HEADER, mine) in (record.headers() or []):
            response: dict[str, Any] = json.loads(record.value() or b"")
            return response
    raise TimeoutError(f"no response within {timeout_s:.0f} s")


def main() -> None:
    """Ask what the command line says."""
    parser = argparse.ArgumentParser(description="Ask Refrain one question.")
    parser.add_argument("question")
    parser.add_argument("--servers", default=os.environ.get("REFRAIN_KAFKA", "localhost:9092"))
    parser.add_argument("--prefix", default="refrain.")
    parser.add_argument("--model", default="gpt")
    given = parser.parse_args()
    body = {"model": given.model, "messages": [{"role": "user", "content": given.question}]}
    response = ask(given.servers, body, prefix=given.prefix)
    if response["error"] is not None:
        raise SystemExit(f"{response['error']['code']}: {response['error']['message']}")
    print(response["body"]["choices"][0]["message"]["content"])
    print(f"[{response['outcome']}: {response['decision']['reason']}]")


if __name__ == "__main__":
    main()
