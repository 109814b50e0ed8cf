"""A connector of one's own, with confluent-kafka alone: reads forwards, asks a model, writes completions.

.venv/bin/python infra/examples/connector.py http://127.0.0.1:8000/v1

It keeps the four rules of schemas/README.md ("Connectors"), one call at a time: run as many as calls may be open. It
stands in for `refrain run upstream`, whose group it joins, and does not report load.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import urllib.request
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, Producer

Json = dict[str, Any]
Headers = Sequence[tuple[str, Any]]
Model = Callable[[Json], Json]
"""Takes a chat-completions request and gives its chat.completion. Raises OSError or ValueError when there is none."""

CALL_S = 60.0
"""Well below the five minutes (`max.poll.interval.ms`) after which the group would take us for dead."""
REMEMBERED = 100_000
RECORD_BYTES_MAX = 2_097_152


class Connector:
    """Answers forwards with completions until it is told to stop."""

    def __init__(self, servers: str, model: Model, prefix: str = "refrain.") -> None:
        self._model = model
        self._completions = f"{prefix}completions"
        self._answered: OrderedDict[str, None] = OrderedDict()
        self._producer = Producer(
            {"bootstrap.servers": servers, "enable.idempotence": True, "message.max.bytes": RECORD_BYTES_MAX}
        )
        self._consumer = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": f"{prefix}upstream",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "max.partition.fetch.bytes": RECORD_BYTES_MAX,
            }
        )
        self._consumer.subscribe([f"{prefix}forwards"])

    def run(self, stop: Callable[[], bool]) -> None:
        """Work until `stop`. Raises KafkaException when the broker fails: start it again, nothing is lost."""
        try:
            while not stop():
                record = self._consumer.poll(0.1)
                if record is not None:
                    self._take(record)
        finally:
            self._consumer.close()

    def _take(self, record: Message) -> None:
        if (error := record.error()) is not None:
            raise KafkaException(error)
        forward: Json = json.loads(record.value() or b"")
        # Rule 2: a forward that comes again is not answered again, as far as this process knows.
        if forward["forward_id"] not in self._answered:
            value = completion(forward, self._model, time.time_ns() // 1_000_000)
            self._write(forward["forward_id"], value, [*dict(record.headers() or []).items()])
            self._answered[forward["forward_id"]] = None
            if len(self._answered) > REMEMBERED:
                self._answered.popitem(last=False)
        # Rule 4: the position is kept when the completion is acknowledged.
        self._consumer.commit(message=record, asynchronous=False)

    def _write(self, forward_id: str, value: Json, headers: Headers) -> None:
        problems: list[KafkaException] = []
        self._producer.produce(
            self._completions,
            json.dumps(value).encode(),
            key=forward_id.encode(),
            # By these a trace of the request goes on.
            headers=[(name, told) for name, told in headers if name in ("traceparent", "tracestate")],
            on_delivery=lambda error, _: problems.append(KafkaException(error)) if error is not None else None,
        )
        self._producer.flush()
        if problems:
            raise problems[0]


def completion(forward: Json, model: Model, now_ms: int) -> Json:
    """What comes of a forward: the model's answer, or why there is none."""
    # `forward_id` and `route` are copied as they are.
    said = {"v": 1, "forward_id": forward["forward_id"], "route": forward["route"]}
    if now_ms >= forward["deadline_at_ms"]:
        # Rule 1: nobody waits any more, and the model is not called.
        return {
            **said,
            "status": "failed",
            "error": problem("deadline_exceeded", "the deadline passed before the call"),
        }
    started = time.monotonic()
    try:
        answer = {"status": "ok", "body": model(forward["body"])}
    except (OSError, ValueError) as failure:
        # Rule 3: a requester waits for this.
        answer = {"status": "failed", "error": problem("upstream_failed", f"{failure}: ask again later")}
    return {**said, **answer, "latency_ms": int((time.monotonic() - started) * 1_000)}


def problem(code: str, message: str) -> Json:
    """An error as requesters get it: do not put text of the question into it."""
    return {"code": code, "message": message}


def call_server(base_url: str, body: Json) -> Json:
    """The answer of an OpenAI-compatible server. Raises OSError when it gives none, ValueError when it is no JSON."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{base_url}/chat/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=CALL_S) as answer:
        found: Json = json.loads(answer.read())
    return found


def main() -> None:
    """Run until Ctrl-C, with the server that the command line names."""
    parser = argparse.ArgumentParser(description="Answer forwards by an OpenAI-compatible server.")
    parser.add_argument("base_url", help="for example http://127.0.0.1:8000/v1")
    parser.add_argument("--servers", default=os.environ.get("REFRAIN_KAFKA", "localhost:9092"))
    parser.add_argument("--prefix", default="refrain.")
    given = parser.parse_args()
    Connector(given.servers, partial(call_server, given.base_url), given.prefix).run(stop=lambda: False)


if __name__ == "__main__":
    main()
