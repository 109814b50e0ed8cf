"""Attacks of an outsider by odd JSON, times and producers: all in a form that broker and parser may take."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from confluent_kafka import Producer

from refrain.ops.ask.questions import Defaults, request_of
from refrain.ops.cluster.connection import client
from tests.attack.attack import Attack, Sent
from tests.attack.damage import EVERY, READ, WRITERS
from tests.attack.places import Place
from tests.attack.target import Target
from tests.streams.kafka.raw_records import GZIP, NotTaken, Raw, batch_of

DEPTH = 100_000
DIGITS = 5_000
MANY = 100_000
DAY_MS = 86_400_000
TRANSACTION_S = 20.0
NUMBERS = (
    "-1", "0", "0.5", "1e400", "-1e400", "9" * DIGITS, "-" + "9" * DIGITS, "0." + "1" * DIGITS, str(2**63),
    str(2**64), "NaN", "Infinity", "-Infinity", "-0", "1E-400", "null", '"1"', "true",
)  # fmt: skip
"""Numbers, and what some parsers take for one."""
NAMES = (
    "\\ud83d", "\\ud83d\\ude00", "\\u0000", "\\u202e", "\\ufeff", "\\u2028", "\\ufb01nance", "cafe\\u0301",
    "caf\\u00e9", "\\uff23ode", "Code", " code", "code ", "default\\n", "c\\u0327\\u0327", "\\u0130", "\\u00df", "SS",
    "..", ".", "/", "*", "__consumer_offsets", "x" * 256, "",
)  # fmt: skip
"""Names as JSON writes them: halves of characters, and several that a careless reader takes for one."""


def odd_json(target: Target, size: float) -> Sent:
    """Requests of numbers, names, depths and amounts that one reader takes for another thing than the next."""
    records = [Raw(None, text.encode("utf-8", "surrogatepass")) for text in _texts(target, size)]
    return Sent(target.write(target.settings.classify.topic, records, GZIP))


def odd_times(target: Target, size: float) -> Sent:
    """Records of long ago and of years to come, on every topic that is read, and questions among them."""
    now_ms = time.time_ns() // 1_000_000
    sent = Sent()
    times = (0, 1, -1, now_ms - 10_000 * DAY_MS, now_ms + DAY_MS // 24, now_ms + 40_000 * DAY_MS, 2**62, 2**63 - 1)
    for number, at_ms in enumerate(times):
        request = request_of(f"Is {number} a time in Python?", _odd(target)).encode()
        for topic in READ:
            value = request if topic == "requests" else b"junk"
            try:
                sent.places += target.write_built(topic, batch_of([Raw(b"k", value)], at_ms=at_ms), 1)
            except NotTaken as refused:
                sent.skipped = f"the broker refuses some ({refused.code})"
    return sent


def headers_twice(target: Target, size: float) -> Sent:
    """Headers of replies that come twice and disagree, and hundreds that must be carried back."""
    named = [
        (b"reply-to", b"/nobody.made.this", target.settings.prefix.encode() + b"journal"),
        (b"kafka_replyTopic", b"responses", b"\xff"),
        (b"kafka_replyPartition", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff"),
        (b"kafka_replyPartition", b"0", b"-1"),
        (b"kafka_correlationId", b"mine", b"another's"),
        (b"traceparent", b"00-" + b"f" * 32 + b"-" + b"f" * 16 + b"-01", b"00-0-0-0"),
        (b"x-refrain-tenant", b"mine", b"another's"),
        (b"", b"", b"x"),
    ]
    records = []
    for number, (name, one, other) in enumerate(named):
        request = request_of(f"Which header of {number} counts in Python?", _odd(target)).encode()
        orders = ((one, other), (other, one), (None, one), (one, None), (one,) * 300)
        records += [Raw(name, request, [(name, value) for value in values]) for values in orders]
    return Sent(target.write(target.settings.classify.topic, records, GZIP))


def transactions(target: Target, size: float) -> Sent:
    """Questions in transactions that are aborted, and taken over by a later producer of the same name."""
    topic = target.settings.prefix + target.settings.classify.topic
    base: dict[str, Any] = {**client(target.settings), "transactional.id": f"{topic}.attack"}
    request = request_of("Was it committed in Python?", _odd(target)).encode()
    committed: list[Place] = []

    def keep(_error: object, message: Any) -> None:
        committed.append(Place(target.settings.classify.topic, message.partition(), message.offset()))

    for number in range(max(3, int(20 * size))):
        producer = Producer(base)
        producer.init_transactions(TRANSACTION_S)
        producer.begin_transaction()
        last = number % 3 == 0
        producer.produce(topic, request, partition=0, on_delivery=keep if last else None)
        producer.flush(TRANSACTION_S)
        if last:
            producer.commit_transaction(TRANSACTION_S)
        elif number % 3 == 1:
            producer.abort_transaction(TRANSACTION_S)
        # Else the next one of that name ends it.
    producer = Producer(base)
    producer.init_transactions(TRANSACTION_S)
    return Sent(committed)


def _odd(target: Target) -> Defaults:
    return Defaults("default", target.category, "odd")


def _texts(target: Target, size: float) -> Iterator[str]:
    base = json.loads(request_of("Which of them is odd in Python?", _odd(target)).encode())

    def with_field(name: str, value: str) -> str:
        whole = {**base, name: "@@"}
        return json.dumps(whole).replace('"@@"', value)

    def with_body(name: str, value: str) -> str:
        return json.dumps({**base, "body": {**base["body"], name: "@@"}}).replace('"@@"', value)

    yield from (with_field("deadline_at_ms", number) for number in NUMBERS)
    yield from (with_body("seed", number) for number in NUMBERS)
    yield from (with_field("vary", f'{{"n":{number}}}') for number in NUMBERS)
    yield from (with_field("v", number) for number in NUMBERS)
    for field in ("tenant", "category", "request_id", "cache"):
        yield from (with_field(field, f'"{name}"') for name in NAMES)
    yield from (with_field("vary", f'{{"{name}":"{name}"}}') for name in NAMES)
    yield from (with_field("tags", f'["{name}"]') for name in NAMES)
    yield from (with_field("sources", f'[{{"id":"{name}","version":"{name}"}}]') for name in NAMES)
    yield from (with_body("messages", f'[{{"role":"user","content":"Who is {name} in Python?"}}]') for name in NAMES)
    yield from (with_body("model", f'"{name}"') for name in NAMES)
    # The same field twice: the last one counts, or none.
    yield f'{{"category":"{target.never}",{json.dumps(base)[1:]}'
    yield json.dumps(base)[:-1] + f',"category":"{target.category}","body":{json.dumps(base["body"])}}}'
    depth, many = int(DEPTH * max(size, 0.1)), int(MANY * max(size, 0.05))
    yield with_field("vary", '{"a":' * depth + "1" + "}" * depth)
    yield with_body("tools", "[" * depth + "]" * depth)
    yield with_field("x", "[" * depth)
    yield with_body("messages", "[" + ",".join(['{"role":"user","content":"a"}'] * (many // 10)) + "]")
    yield with_body("tools", "[" + ",".join(["{}"] * many) + "]")
    yield with_field("vary", json.dumps({f"k{number}": number for number in range(many // 100)}))
    yield with_field("vary", json.dumps({f"k{number}": number for number in range(many // 2)}))
    yield with_field("sources", json.dumps([{"id": f"d{number}"} for number in range(many // 10)]))
    yield with_field("tags", json.dumps([f"t{number}" for number in range(many)]))
    yield json.dumps({**base, **{f"x{number}": number for number in range(many // 2)}})
    parts = ",".join(['{"type":"text","text":"a"}'] * (many // 5))
    yield with_body("messages", f'[{{"role":"user","content":[{parts}]}}]')


ATTACKS = (
    Attack("JSON that is read in two ways", "requests", "clients", odd_json),
    Attack("records of other times", EVERY, WRITERS, odd_times),
    Attack("headers that come twice", "requests", "clients", headers_twice),
    Attack("transactions that are aborted", "requests", "clients", transactions),
)
