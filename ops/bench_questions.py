"""Questions for `bench path`: words of no language, so that no two are alike but those that are meant to be."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from schemas.policy import CategoryPolicy, Limits, ModelPolicy, Policy, Quota
from schemas.requests import Request

CATEGORY = "bench"
MODEL = "simulated"
THRESHOLD = 0.85
EXACT, NEAR = 0.3, 0.3
"""Shares of questions asked before in the same and in other words; the rest is new."""
_SYLLABLES = "ba ce di fo gu ha je ki lo mu na pe qui ro su ta ve wi xo yu za cre dri flo gra".split()


class Traffic(NamedTuple):
    """Questions that are asked first, and the mix that is measured."""

    before: list[bytes]
    mix: list[bytes]


def traffic(known: int, count: int, seed: int) -> Traffic:
    """`known` questions to be remembered, then `count` of the mix."""
    draw = random.Random(seed)
    asked = [_question(draw) for _ in range(known)]
    return Traffic([_request(text) for text in asked], [_request(text) for text in _mixed(draw, asked, count)])


def policy() -> Policy:
    """One category with room for all; answers are kept, like questions on their way are joined."""
    category = CategoryPolicy(threshold=THRESHOLD, quota=Quota(cap=1_000_000))
    return Policy(categories={CATEGORY: category}, models={MODEL: ModelPolicy()}, limits=Limits(waiting_max=100_000))


def _mixed(draw: random.Random, asked: list[str], count: int) -> Iterator[str]:
    for _ in range(count):
        share = draw.random()
        if share < EXACT:
            yield draw.choice(asked)
        elif share < EXACT + NEAR:
            yield f"{draw.choice(asked)[:-1]}, please?"
        else:
            yield _question(draw)


def _question(draw: random.Random) -> str:
    words = ["".join(draw.choices(_SYLLABLES, k=draw.randint(2, 4))) for _ in range(6)]
    return f"What does {words[0]} {words[1]} mean for {words[2]} {words[3]} and {words[4]} {words[5]}?"


def _request(text: str) -> bytes:
    body = {"model": MODEL, "messages": [{"role": "user", "content": text}]}
    return Request(category=CATEGORY, body=body).encode()
