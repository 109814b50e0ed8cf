"""Synthetic questions of `bench path`: random nouns, so that no two are alike but those that are meant to be."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

from refrain.schemas.policy import CategoryPolicy, ModelPolicy, Policy, Quota
from refrain.schemas.policy_limits import Limits
from refrain.schemas.requests import Request

CATEGORY = "bench"
MODEL = "simulated"
THRESHOLD = 0.85
TENANTS = 64
"""Whose questions they are: a tenant and category lives in one shard, and several workers need several."""
ENTRIES_MAX = 1_000_000
"""Room of a shard, and of each tenant in it: nothing is evicted while the path is measured."""
EXACT, NEAR = 0.3, 0.3
"""Shares of questions asked before in the same and in other words; the rest is new."""
_NOUNS = (
    "acorn anchor apple arrow atlas autumn badge bamboo banjo barrel basket beacon beaver bicycle blanket boulder "
    "bridge bronze bucket cabin cable camel candle canyon carbon carpet castle cedar cellar chapel cherry chimney "
    "circus clover cobalt coffee comet copper coral cotton cradle crater crystal dagger daisy desert diamond donkey "
    "dragon drawer eagle ember engine falcon feather fiddle finger forest fossil fountain galaxy garden garlic "
    "glacier glove goblet granite guitar hammer harbor harvest hazel helmet hornet island ivory jacket jasmine "
    "jungle kettle kitten ladder lantern lemon leopard lizard lobster magnet mango maple marble meadow melon mirror "
    "monkey mortar mountain needle nickel olive onion orchid oyster paddle palace parrot pebble pencil pepper piano "
    "pigeon pillow pirate planet pocket potato pumpkin puzzle quartz rabbit radar raven ribbon river rocket saddle "
    "sailor salmon sapphire scarf shadow shovel silver spider spoon statue sugar sunset temple thunder ticket tiger "
    "timber tomato tower tractor trumpet tulip tunnel turtle umbrella valley velvet violin volcano wagon walnut "
    "whistle willow window winter wizard zebra"
).split()


class TimedQuestion(NamedTuple):
    """A question of a tenant."""

    tenant: str
    text: str


class Traffic(NamedTuple):
    """Traffic: questions that warm the cache, and the mix that is measured."""

    before: list[bytes]
    mix: list[bytes]


def traffic(known: int, count: int, seed: int) -> Traffic:
    """Generate `known` questions to warm the cache, then `count` of the mix."""
    draw = random.Random(seed)
    asked = [TimedQuestion(_tenant(draw), _question(draw)) for _ in range(known)]
    return Traffic([_request(each) for each in asked], [_request(each) for each in _mixed(draw, asked, count)])


def policy() -> Policy:
    """Policy of the bench: one category with room for all; answers are stored, like questions coalesce."""
    category = CategoryPolicy(threshold=THRESHOLD, quota=Quota(cap=ENTRIES_MAX))
    limits = Limits(waiting_max=100_000, entries_max=ENTRIES_MAX)
    return Policy(categories={CATEGORY: category}, models={MODEL: ModelPolicy()}, limits=limits)


def _mixed(draw: random.Random, asked: list[TimedQuestion], count: int) -> Iterator[TimedQuestion]:
    for _ in range(count):
        share = draw.random()
        if share < EXACT:
            yield draw.choice(asked)
        elif share < EXACT + NEAR:
            known = draw.choice(asked)
            yield TimedQuestion(known.tenant, f"{known.text[:-1]}, please?")
        else:
            yield TimedQuestion(_tenant(draw), _question(draw))


def _tenant(draw: random.Random) -> str:
    return f"tenant-{draw.randrange(TENANTS)}"


def _question(draw: random.Random) -> str:
    words = draw.sample(_NOUNS, 6)
    return f"What does {words[0]} {words[1]} mean for {words[2]} {words[3]} and {words[4]} {words[5]}?"


def some_questions(draw: random.Random, count: int) -> list[str]:
    """`count` random questions."""
    return [_question(draw) for _ in range(count)]


def question_body(text: str) -> dict[str, Any]:
    """The chat-completions request of a question."""
    return {"model": MODEL, "messages": [{"role": "user", "content": text}]}


def _request(asked: TimedQuestion) -> bytes:
    return Request(tenant=asked.tenant, category=CATEGORY, body=question_body(asked.text)).encode()
