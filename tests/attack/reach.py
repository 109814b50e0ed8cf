"""Attacks that reach further than a right should: answers to others, records in Refrain's own topics, other tenants."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from refrain.ops.ask.questions import Defaults, answer_of, request_of
from refrain.ops.cluster.connection import client
from refrain.schemas.base import Reply
from refrain.schemas.forwards import Completion, Status
from refrain.schemas.requests import CacheMode
from refrain.schemas.responses import DecisionSummary
from refrain.streams.kafka.convert import record_of
from refrain.streams.kafka.passing import assigned
from refrain.streams.kafka.raw_fetch import raw_fetch
from refrain.streams.messaging.routes import DirectRoute, ShardRoute, encode_route
from refrain.streams.messaging.signed_routes import RouteSigner
from refrain.streams.messaging.signing import SigningKeys
from tests.attack.attack import Attack, Sent
from tests.attack.target import Target
from tests.streams.kafka.raw_records import Raw

OWN = ("control", "policies", "documents", "journal", "decisions", "responses")
LATELY = 500
"""Records at the ends of topics that are looked through."""
READ_S = 20.0
SILENCE_S = 0.2
DIGITS = 2


def forged_routes(target: Target, size: float) -> Sent:
    """Answers to questions that nobody forwarded, by routes to requesters, shards, and topics of Refrain's own."""
    mark = f"forged{uuid.uuid4().hex}"
    body = {"choices": [{"message": {"role": "assistant", "content": mark}}]}
    decision = DecisionSummary(id="0-0-attack", reason="miss")
    # Not validated: a forger is bound by no model.
    replies = [Reply.model_construct(topic=topic, partition=None, key=None, headers=()) for topic in _replies(target)]
    signer = RouteSigner(SigningKeys((bytes(64),)), target.settings.prefix)
    routes: list[tuple[str, str]] = []
    for number, reply in enumerate(replies * max(1, int(5 * size))):
        forward = f"0-{number}-{uuid.uuid4().hex[:8]}"
        direct = DirectRoute.model_construct(
            to="direct", forward_id=forward, request_id="r", tenant="calm", reply=reply, decision=decision
        )
        shard = ShardRoute(forward_id=forward, incarnation="x", partition=number % 9)
        for route in (encode_route(direct), encode_route(shard)):
            signed = signer.sign(route, forward)
            routes += [(forward, each) for each in (route, route + ".AAAA", signed, "junk")]
    completions = [
        Raw(b"k", Completion(forward_id=forward, route=route, status=Status.OK, body=body).encode())
        for forward, route in routes
    ]
    sent = Sent(target.write("completions", completions), asides=True)
    target.eventually(lambda: target.is_read(sent.places))
    for topic in sorted(_holding(target, OWN, mark.encode())):
        sent.problems.append(f"{topic} holds what a forged completion brought")
    return sent


def other_tenants(target: Target, size: float) -> Sent:
    """A tenant's question with a number and a name, and the near ones of another: neither learns of the other."""
    problems, asked = [], 0
    for number in range(max(2, int(20 * size))):
        word = f"{target.tenant_word}{number}"
        secret = f"{word} paid {184_500 + number} dollars: is that much for a house in Python?"
        mine = target.ask([request_of(secret, Defaults("default", target.category, "mine"))])
        near = secret.replace(word, "Somebody")
        for mode in (CacheMode.USE, CacheMode.ONLY, CacheMode.OBSERVE):
            (theirs,) = target.ask([request_of(near, Defaults("default", target.category, "theirs", cache=mode))])
            asked += 1
            if theirs.response is None:
                problems.append("a question was not answered")
            elif word in theirs.response.model_dump_json():
                problems.append("a response holds a word of another tenant's question")
        asked += len(mine)
    return Sent(asked=asked, problems=sorted(set(problems)))


def oracle(target: Target, size: float) -> Sent:
    """Questions near to a kept one, asked with `cache: only`: similarities tell two digits, no more."""
    base = "How do I bake a loaf of rye bread at home in Python?"
    target.ask([request_of(base, Defaults("default", target.category, "oracle"))])
    ends = ("", " Please.", " Tell me.", " today", " quickly", " with seeds", " and butter", " for two", " again")
    requests = [
        request_of(base + end, Defaults("default", target.category, "oracle", cache=CacheMode.ONLY)) for end in ends
    ]
    problems = []
    for reply in target.ask(requests):
        told = None if reply.response is None else reply.response.decision
        figures = () if told is None else (told.similarity, told.score)
        if any(figure is not None and round(figure, DIGITS) != figure for figure in figures):
            problems.append("a response tells a similarity to more than two digits")
    return Sent(asked=len(requests) + 1, problems=sorted(set(problems)))


def poisoned_ids(target: Target, size: float) -> Sent:
    """Requests that reuse ids, keys and headers of others, so that an answer might come under another's."""
    texts = [f"Which number is {number} in words in Python?" for number in range(max(10, int(100 * size)))]
    requests = [
        request_of(text, Defaults("default", target.category, "ids")).model_copy(update={"request_id": "same"})
        for text in texts
    ]
    problems = []
    for reply, text in zip(target.ask(requests), texts, strict=True):
        if reply.response is None:
            problems.append("a question was not answered")
        elif target.simulated and not answer_of(reply.response.body).endswith(text):
            problems.append("a question got the answer to another")
    return Sent(asked=len(requests), problems=sorted(set(problems)))


def _replies(target: Target) -> list[str]:
    prefix = target.settings.prefix
    return ["responses", *OWN[:4], *(f"/{prefix}{topic}" for topic in OWN), "/bad topic!", ""]


def _holding(target: Target, topics: Sequence[str], needle: bytes) -> set[str]:
    """The topics of which a record near their ends holds the bytes, aborted ones too."""
    names = {target.settings.prefix + topic: topic for topic in topics}
    base: dict[str, Any] = client(target.settings)
    consumer = Consumer(
        {**base, "group.id": f"{target.settings.prefix}attack", "isolation.level": "read_uncommitted",
         "enable.auto.commit": False, "enable.partition.eof": True}
    )  # fmt: skip
    found: set[str] = set()
    try:
        places = []
        for name in names:
            for number in consumer.list_topics(name, timeout=READ_S).topics[name].partitions:
                low, high = consumer.get_watermark_offsets(TopicPartition(name, number), timeout=READ_S)
                places.append(TopicPartition(name, number, max(low, high - LATELY)))
        # Batches that nobody can read may lie there.
        passing = assigned(consumer, names, raw_fetch(target.settings), places)
        ended: set[tuple[str | None, int | None]] = set()
        # What cannot be read is passed over by its silence: seconds each, on a machine that others use as well.
        until = time.monotonic() + target.wait_s
        while len(ended) < len(places):
            if time.monotonic() > until:
                raise RuntimeError(f"{', '.join(topics)} could not be read to their ends")
            for message in passing.hear(consumer.consume(1_000, SILENCE_S)).messages:
                topic = names[message.topic() or ""]
                if message.error() is not None:
                    ended.add((topic, message.partition()))
                elif needle in (message.value() or b"") or needle in str(record_of(topic, message).headers).encode():
                    found.add(topic)
    finally:
        consumer.close()
    return found


ATTACKS = (
    Attack("forged routes", "completions", "connectors", forged_routes),
    Attack("another tenant's words", "requests", "clients", other_tenants),
    Attack("an oracle of similarity", "requests", "clients", oracle),
    Attack("ids of others", "requests", "clients", poisoned_ids),
)
