"""Operator commands during a run: a seeded plan, spread over the traffic. Pure but for `Operator`."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import NamedTuple

from refrain.schemas.control import Given, Invalidate, Judge, SetPolicy, Switch
from refrain.schemas.policy import Cacheable, Policy
from refrain.schemas.responses import DecisionSummary, Outcome, Response
from refrain.streams.kafka.interface import Outgoing, Producer
from tests.simulation import traffic

FLIPPED = traffic.CATEGORIES[-1]
"""The category that may not be kept for a while."""
SWITCHED = traffic.CATEGORIES[0]
ROUNDS = 3
WHO = {"who": "fault run", "why": "a plan"}


class Step(NamedTuple):
    """One command: after how many answers, and what. `judge` stands for the judgement of a hit seen by then."""

    after_answered: int
    command: Given | None


def plan(seed: int, requests: int, policy: Policy, *, rounds: int = ROUNDS) -> list[Step]:
    """Commands of every kind, in the order of their moments; what they switch off or forbid is undone in the end.

    Each second round withdraws all of where most questions are when room is tight, the others spare it: it fills up
    before and after, whatever the seed.
    """
    draw = random.Random(f"operator/{seed}")
    commands = [command for number in range(rounds) for command in _round(draw, policy, focused=number % 2 == 1)]
    return [
        Step(int(requests * (0.05 + 0.8 * number / len(commands))), command) for number, command in enumerate(commands)
    ]


def _round(draw: random.Random, policy: Policy, *, focused: bool) -> list[Given | None]:
    rooms = [(tenant, category) for tenant in traffic.TENANTS for category in traffic.CATEGORIES]
    tenant, category = traffic.FOCUS if focused else draw.choice([room for room in rooms if room != traffic.FOCUS])
    return [
        Invalidate(**WHO, tag=draw.choice(traffic.TAGS)),
        None,
        SetPolicy(**WHO, policy=_with(policy, Cacheable.NEVER)),
        Invalidate(**WHO, tenant=tenant, category=category),
        Switch(**WHO, on=False, category=SWITCHED),
        None,
        SetPolicy(**WHO, policy=policy),
        Invalidate(**WHO, model=traffic.MODELS[0 if focused else 1]),
        Switch(**WHO, on=True, category=SWITCHED),
    ]


def _with(policy: Policy, cache: Cacheable) -> Policy:
    flipped = policy.categories[FLIPPED].model_copy(update={"cache": cache})
    return policy.model_copy(update={"categories": {**policy.categories, FLIPPED: flipped}})


class Operator:
    """Gives the commands; judges as wrong the last hit that it was told of."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._lock = threading.Lock()
        self._hit: DecisionSummary | None = None
        self.given = 0

    def saw(self, response: Response) -> None:
        """A requester has this response."""
        if response.outcome is Outcome.HIT and response.decision is not None:
            with self._lock:
                self._hit = response.decision

    def act(self, step: Step) -> Callable[[], None]:
        """Gives the command of a step; a judgement without a hit to judge is left out."""

        def give() -> None:
            command = step.command
            if command is None:
                with self._lock:
                    hit, self._hit = self._hit, None
                command = None if hit is None else _judge(hit)
            if command is not None:
                self._producer.send([Outgoing("control", None, command.encode(), (), 0)])
                self.given += 1

        return give


def _judge(hit: DecisionSummary) -> Judge:
    return Judge(**WHO, decision_id=hit.id, partition=hit.partition, offset=hit.offset, correct=False)
