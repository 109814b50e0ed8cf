"""Random requests, as parsed JSON: known and unknown fields, nested, of every type and many scripts."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

Json = Any

TENANTS = ("acme", "umbrella", "default")
CATEGORIES = ("chat", "leaving", "masking", "shared")
"""Of the policy in `identity`."""
KNOWN = (
    "temperature",
    "top_p",
    "tools",
    "tool_choice",
    "response_format",
    "seed",
    "stop",
    "max_tokens",
    "n",
    "logit_bias",
)
LEFT_OUT = ("user", "metadata")
NOT_CONTEXT = ("stream", "stream_options", "store", "service_tier", "cache_control")
"""The short list, written down again: an identity that leaves out more must fail."""
IDS = ("prompt_cache_key", "prompt_cache_retention", "safety_identifier", "request_id", "rid")
"""What a policy leaves out unless it says otherwise, written down again."""
CALL_IDS = ("call_a", "call_b", "call_c", "0", "1")
WORDS = (
    "list",
    "Liste",
    "größe",
    "e\u0301",
    "\u00e9",
    "日本",
    "שלום",
    "🍕",
    "a b",
    "1",
    "1.0",
    "true",
    "null",
    "",
    " ",
    "\n",
    '"',
    "\\",
    "\u2028",
)
NUMBERS = (0, 1, -1, 2, 10, 255, 2**31, 2**53, 2**53 + 1, 10**25, -(10**18) - 1, 0.1, 0.5, -2.5, 1.5e-7, 3.14e30, 1e16)
DATES = ("2024-02-29", "2025-12-31", "1999-01-01")


def scalar(rng: random.Random) -> Json:
    kind = rng.randrange(6)
    if kind == 0:
        return rng.choice((None, True, False))
    if kind == 1:
        return rng.randrange(-1000, 1000)
    if kind == 2:
        return rng.choice(NUMBERS)
    if kind == 3:
        return rng.uniform(-10, 10)
    return text(rng)


def text(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randrange(1, 4)))


def value(rng: random.Random, depth: int = 3) -> Json:
    kind = rng.randrange(3) if depth else 0
    if kind == 0:
        return scalar(rng)
    if kind == 1:
        return [value(rng, depth - 1) for _ in range(rng.randrange(4))]
    return {key(rng): value(rng, depth - 1) for _ in range(rng.randrange(4))}


def key(rng: random.Random) -> str:
    return rng.choice(WORDS) if rng.random() < 0.2 else f"k{rng.randrange(40)}"


def request(rng: random.Random) -> dict[str, Json]:
    """A request that is taken: a chat with a question that is compared by meaning, or one that is matched exactly."""
    body: dict[str, Json] = {"model": f"m{rng.randrange(5)}", "messages": messages(rng)}
    for name in rng.sample(KNOWN, rng.randrange(4)) + rng.sample(LEFT_OUT + NOT_CONTEXT + IDS, rng.randrange(3)):
        body[name] = value(rng)
    for _ in range(rng.randrange(3)):
        body[f"unknown_{key(rng)}"] = value(rng)
    made: dict[str, Json] = {"tenant": rng.choice(TENANTS), "category": rng.choice(CATEGORIES), "body": body}
    if rng.random() < 0.5:
        made["vary"] = {key(rng): value(rng, 2) for _ in range(rng.randrange(1, 4))}
    if rng.random() < 0.4:
        names = rng.sample(("a", "b", "doc 1", "документ"), rng.randrange(1, 4))
        made["sources"] = [{"id": name, "version": str(rng.randrange(3))} for name in names]
    return made


def messages(rng: random.Random) -> list[Json]:
    earlier = [message(rng) for _ in range(rng.choice((0, 0, 1, 1, 2, 4)))]
    return [*earlier, last(rng) if rng.random() < 0.85 else message(rng)]


def message(rng: random.Random) -> dict[str, Json]:
    """A message of any role, text or parts, perhaps with tool calls and fields unknown today."""
    made: dict[str, Json] = {"role": rng.choice(("system", "developer", "assistant", "tool")), "content": spoken(rng)}
    if rng.random() < 0.2:
        made["content"] = [_more(rng, {"type": "text", "text": spoken(rng)})]
        if rng.random() < 0.5:
            made["content"].append({"type": "image_url", "image_url": {"url": text(rng)}})
    if rng.random() < 0.3:
        made["tool_calls"] = [_call(rng) for _ in range(rng.randrange(1, 4))]
    if rng.random() < 0.3:
        made["tool_call_id"] = rng.choice(CALL_IDS)
    return _more(rng, made)


def _call(rng: random.Random) -> dict[str, Json]:
    return _more(rng, {"id": rng.choice(CALL_IDS), "function": {"name": "f", "arguments": text(rng)}})


def spoken(rng: random.Random) -> str:
    return f"Today is {rng.choice(DATES)}. {text(rng)}" if rng.random() < 0.3 else text(rng)


def last(rng: random.Random) -> dict[str, Json]:
    asked = f"What is {text(rng)} number {rng.randrange(10**6)}"
    content: Json = asked
    if rng.random() < 0.3:
        content = [{"type": "text", "text": asked}]
        for _ in range(rng.randrange(3)):
            image: Json = {"type": "image_url", "image_url": {"url": text(rng), "detail": scalar(rng)}}
            content.insert(rng.randrange(len(content) + 1), image)
    return _more(rng, {"role": "user", "content": content})


def _more(rng: random.Random, made: dict[str, Json]) -> dict[str, Json]:
    if rng.random() < 0.2:
        made[rng.choice(("name", "cache_control", "unknown"))] = value(rng, 2)
    return made


Make = Callable[[random.Random], Json]
