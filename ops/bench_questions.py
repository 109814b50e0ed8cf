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
TENANTS = 64
"""Whose questions they are: a tenant and category lives in one shard, and several workers need several."""
EXACT, NEAR = 0.3, 0.3
"""Shares of questions asked before in the same and in other words; the rest is new."""
_SYLLABLES = "ba ce di fo gu ha je ki lo mu na pe qui ro su ta ve wi xo yu za cre dri flo gra".split()


class Asked(NamedTuple):
    """A question of a tenant."""

    tenant: str
    text: str


class Traffic(NamedTuple):
    """Questions that are asked first, and the mix that is measured."""

    before: list[bytes]
    mix: list[bytes]


def traffic(known: int, count: int, seed: int) -> Traffic:
    """`known` questions to be remembered, then `count` of the mix."""
    draw = random.Random(seed)
    asked = [Asked(_tenant(draw), _question(draw)) for _ in range(known)]
    return Traffic([_request(each) for each in asked], [_request(each) for each in _mixed(draw, asked, count)])


def policy() -> Policy:
    """One category with room for all; answers are kept, like questions on their way are joined."""
    category = CategoryPolicy(threshold=THRESHOLD, quota=Quota(cap=1_000_000))
    return Policy(categories={CATEGORY: category}, models={MODEL: ModelPolicy()}, limits=Limits(waiting_max=100_000))


def _mixed(draw: random.Random, asked: list[Asked], count: int) -> Iterator[Asked]:
    for _ in range(count):
        share = draw.random()
        if share < EXACT:
            yield draw.choice(asked)
        elif share < EXACT + NEAR:
            known = draw.choice(asked)
            yield Asked(known.tenant, f"{known.text[:-1]}, please?")
        else:
            yield Asked(_tenant(draw), _question(draw))


def _tenant(draw: random.Random) -> str:
    return f"tenant-{draw.randrange(TENANTS)}"


def _question(draw: random.Random) -> str:
    words = ["".join(draw.choices(_SYLLABLES, k=draw.randint(2, 4))) for _ in range(6)]
    return f"What does {words[0]} {words[1]} mean for {words[2]} {words[3]} and {words[4]} {words[5]}?"


def _request(asked: Asked) -> bytes:
    body = {"model": MODEL, "messages": [{"role": "user", "content": asked.text}]}
    return Request(tenant=asked.tenant, category=CATEGORY, body=body).encode()
