"""Mutated records as attacks: of each topic so many, seeded, plain and compressed."""

from __future__ import annotations

import random
from functools import partial

from tests.attack.attack import Attack, Sent
from tests.attack.target import Target
from tests.fuzz.records import GOLDENS, mutated
from tests.streams.kafka.raw_records import GZIP, LZ4, NotTaken

SHARES = {"requests": 6, "completions": 3, "journal": 3, "forwards": 2}
"""Of the records, how many times as many as of other topics."""
ROUND = 1_000
CODECS = (0, GZIP, LZ4)
RIGHTS = {
    "requests": "clients", "journal": "classify", "completions": "connectors", "forwards": "lookup",
    "load": "connectors", "control": "operators", "policies": "govern", "observations": "lookup", "doubts": "lookup",
    "decisions": "lookup",
}  # fmt: skip


def attacks(count: int, seed: int) -> list[Attack]:
    """The attacks that send `count` mutated records, one a topic, each repeated by the seed."""
    return [
        Attack(f"mutated {topic}", topic, RIGHTS[topic], partial(_mutate, topic, share, seed))
        for topic, share in shares(count).items()
    ]


def shares(count: int) -> dict[str, int]:
    """How many of so many records each topic gets."""
    whole = sum(SHARES.get(topic, 1) for topic in GOLDENS)
    return {topic: -(-count * SHARES.get(topic, 1) // whole) for topic in GOLDENS}


def _mutate(topic: str, count: int, seed: int, target: Target, size: float) -> Sent:
    rng = random.Random(f"{topic}/{seed}")
    sent = Sent()
    name = target.settings.classify.topic if topic == "requests" else topic
    for start in range(0, count, ROUND):
        records = [mutated(rng, topic) for _ in range(min(ROUND, count - start))]
        try:
            sent.places += target.write(name, records, rng.choice(CODECS))
        except NotTaken as refused:
            sent.skipped = f"the broker refuses some ({refused.code})"
        # No faster than they are worked: what waits is no attack by mutation.
        target.eventually(lambda: target.is_read(sent.places[-1:]))
    return sent
