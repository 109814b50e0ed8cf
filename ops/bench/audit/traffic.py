"""The journal that `bench audit` records: questions that miss, their answers, and as many that hit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from refrain.ops.bench.made_up import EMBEDDER, THRESHOLD, Layout, policy_of, wording
from refrain.schemas.base import Reply, Sealed
from refrain.schemas.journal import Answered, Asked, Event, Origin, PolicySet, Seen
from refrain.schemas.policy import Cacheable, Guard, Policy
from refrain.schemas.policy_limits import Limits
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.messaging.ids import decision_id, decision_tag
from refrain.streams.vectors import Floats, encode, quantise

DIM = 384
NEAR = 0.25
"""How far a question that hits is turned from an entry: a cosine of about 0.97."""
ANSWER_CHARS = 600
RECENT = 5_000
"""Questions that hit are near one of so many entries that came last."""
TENANT, CATEGORY, MODEL = "acme", "code", "m"


class TrafficPlan(NamedTuple):
    """Plan of the traffic."""

    entries: int
    """Questions that miss, in all partitions together; as many hit."""
    namespaces: int
    """Over which they are spread, a partition."""
    partitions: int
    seed: int

    @property
    def records(self) -> int:
        """Journal records."""
        return self.partitions + 3 * self.entries


def policy_of_traffic(plan: TrafficPlan) -> Policy:
    """One category with all guards, and room for all."""
    return policy_of(Layout(plan.namespaces, plan.entries, Limits().hnsw_from), tuple(Guard))


def traffic(plan: TrafficPlan, incarnation: str) -> Iterator[Outgoing]:
    """The records of the journal whose topic id is `incarnation`, the same for the same plan."""
    policy = PolicySet(version=0, policy=policy_of_traffic(plan))
    for partition in range(plan.partitions):
        yield _record(partition, policy)
    draw = np.random.default_rng(plan.seed)
    tag = decision_tag("bench", incarnation)
    recent = np.zeros((RECENT, DIM), np.float32)
    for number in range(plan.entries):
        partition = number % plan.partitions
        unit = _unit(draw.normal(size=DIM))
        recent[number % RECENT] = unit
        asked = _asked(plan, tag, 2 * number, number, unit)
        yield _record(partition, asked)
        yield _record(partition, Answered(forward_id=asked.id, body=Sealed(data=_answer(number)), latency_ms=50))
        # Entries of one partition are `partitions` apart.
        back = int(draw.integers(min(number, RECENT - 1) // plan.partitions + 1)) * plan.partitions
        target = number - back
        near = recent[target % RECENT] + _unit(draw.normal(size=DIM)) * NEAR
        yield _record(partition, _asked(plan, tag, 2 * number + 1, target, _unit(near)))


def _asked(plan: TrafficPlan, tag: str, number: int, target: int, vector: Floats) -> Asked:
    """The question of an entry; an odd number asks it in other words."""
    partition = target % plan.partitions
    text = wording(target, "How can I" if number % 2 else "How do I")
    return Asked(
        id=decision_id(partition, number, tag),
        origin=Origin(topic="requests", topic_id="bench", partition=partition, offset=number),
        tenant=TENANT,
        space=TENANT,
        category=CATEGORY,
        classifier="request",
        model=MODEL,
        embedder=EMBEDDER,
        context=f"c{target // plan.partitions % plan.namespaces}",
        fields={"model": "00000000"},
        text_digest=f"{number:032x}",
        vector=encode(quantise(vector)),
        question=Sealed(data=text),
        body=Sealed(data=json.dumps({"model": MODEL, "messages": [{"role": "user", "content": text}]})),
        reply=Reply(topic="responses"),
        seen=Seen(policy_version=0, cache=Cacheable.ALLOW, threshold=THRESHOLD, ttl_ms=1_000_000),
    )


def _answer(number: int) -> str:
    message = {"role": "assistant", "content": f"{number} " + "a" * ANSWER_CHARS}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 20, "completion_tokens": 150, "total_tokens": 170}
    return json.dumps({"object": "chat.completion", "model": MODEL, "choices": [choice], "usage": usage})


def _record(partition: int, event: Event) -> Outgoing:
    return Outgoing("journal", None, event.encode(), (), partition)


def _unit(vector: npt.NDArray[Any]) -> Floats:
    unit: Floats = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit
