"""Fault plan: a seeded plan of kills and pauses, drawn before the run. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

PROCESSORS = ("lookup", "classify", "populate", "upstream", "govern", "adapt")
WEIGHTS = {"lookup": 5, "classify": 3, "populate": 2, "upstream": 2, "govern": 1, "adapt": 1}
KILL_SHARE = 0.65
QUIET_SHARE = 0.04
"""At the beginning and at the end of the traffic nothing is planned."""

Kind = Literal["kill", "pause"]


@dataclass(frozen=True)
class Fault:
    """One fault: what happens to which worker once so many requests are answered."""

    number: int
    processor: str
    choice: float
    """Which worker of that processor, as a share of those that run."""
    kind: Kind
    after_answered: int
    pause_ms: int = 0


def plan(seed: int, faults: int, requests: int, session_timeout_ms: int) -> list[Fault]:
    """`faults` faults in the order of their moments; the first ones drawn cover every processor.

    A pause lasts 1.2 to 2 session timeouts: its group has given the worker up when it wakes.
    """
    draw = random.Random(f"faults/{seed}")
    victims = _victims(draw, faults)
    kinds = _kinds(draw, victims)
    quiet = int(requests * QUIET_SHARE)
    moments = sorted(draw.randint(quiet, max(quiet, requests - 2 * quiet)) for _ in range(faults))
    return [
        Fault(
            number=number,
            processor=processor,
            choice=draw.random(),
            kind=kind,
            after_answered=moment,
            pause_ms=int(session_timeout_ms * draw.uniform(1.2, 2.0)) if kind == "pause" else 0,
        )
        for number, (processor, kind, moment) in enumerate(zip(victims, kinds, moments, strict=True))
    ]


def _victims(draw: random.Random, faults: int) -> list[str]:
    sure = list(PROCESSORS[:faults])
    rest = draw.choices(list(WEIGHTS), list(WEIGHTS.values()), k=faults - len(sure))
    victims = sure + rest
    draw.shuffle(victims)
    return victims


def _kinds(draw: random.Random, victims: Sequence[str]) -> list[Kind]:
    """Mostly kills; a processor that is hit twice is paused at least once."""
    kinds: list[Kind] = ["kill" if draw.random() < KILL_SHARE else "pause" for _ in victims]
    for name in PROCESSORS:
        mine = [at for at, victim in enumerate(victims) if victim == name]
        if len(mine) > 1 and len({kinds[at] for at in mine}) == 1:
            kinds[mine[-1]] = "kill" if kinds[mine[0]] == "pause" else "pause"
    return kinds
