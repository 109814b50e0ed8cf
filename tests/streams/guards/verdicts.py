"""Verdicts of guards on two questions, for tests."""

from __future__ import annotations

from refrain.schemas.policy import Guard
from refrain.streams.guards import Verdict, check, read


def verdict(guard: Guard, a: str, b: str) -> str:
    """One guard's verdict; both orders must agree."""
    there, back = check([guard], read(a), read(b))[0], check([guard], read(b), read(a))[0]
    assert there.verdict == back.verdict, (a, b, there, back)
    return there.verdict


def refuses(guard: Guard, a: str, b: str) -> bool:
    """Whether one guard refuses."""
    return verdict(guard, a, b) == "refused"


def refusal(a: str, b: str) -> Verdict | None:
    """The first refusal of all guards, in the order of the policy."""
    last = check(tuple(Guard), read(a), read(b))[-1]
    return last if last.verdict == "refused" else None
