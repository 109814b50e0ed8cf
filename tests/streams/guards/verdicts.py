"""Verdicts of guards on two questions, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from refrain.schemas.policy import Guard
from refrain.streams.guards import MICROS, Evidence, GuardTerms, Reading, Verdict, read, weigh

LEAST = 0.83
"""The lowest threshold of the default policy; a score below it serves nobody."""


def detect(guards: Sequence[Guard], a: Reading, b: Reading) -> list[Verdict]:
    """The verdicts up to the first difference, as if every difference were a veto."""
    return list(weigh(GuardTerms(tuple(guards), veto=tuple(Guard), unverified="hit"), a, b).verdicts)


def verdict(guard: Guard, a: str, b: str) -> str:
    """One guard's verdict; both orders must agree."""
    there, back = detect([guard], read(a), read(b))[0], detect([guard], read(b), read(a))[0]
    assert there.verdict == back.verdict, (a, b, there, back)
    return there.verdict


def refuses(guard: Guard, a: str, b: str) -> bool:
    """Whether one guard finds a difference."""
    return verdict(guard, a, b) == "refused"


def score(a: str, b: str, similarity: float) -> float:
    """What the evidence leaves of a similarity at normal strictness; both orders must agree."""
    return max(0, _weighed(a, b).score(similarity)) / MICROS


@cache
def _weighed(a: str, b: str) -> Evidence:
    """What guards make of a pair, whatever its similarity: tables are asked at several thresholds."""
    there, back = weigh(GuardTerms(), read(a), read(b)), weigh(GuardTerms(), read(b), read(a))
    assert (there.penalty, there.refused is None) == (back.penalty, back.refused is None), (a, b, there, back)
    return there
