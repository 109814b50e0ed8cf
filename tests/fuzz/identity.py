"""Properties of identity: a request, the same with one change, and the same spelled otherwise."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import NamedTuple

from refrain.schemas.policy import CategoryPolicy
from refrain.streams.classify.framing import Window, frame
from refrain.streams.classify.identity import NOT_CONTEXT as PRODUCT_NOT_CONTEXT
from refrain.streams.classify.identity import identify
from refrain.streams.errors import Refusal
from refrain.streams.messaging.parsing import parse, request_of
from refrain.streams.messaging.questions import question_of
from tests.fuzz.changes import Changed, change
from tests.fuzz.requests import DATES, IDS, LEFT_OUT, NOT_CONTEXT, Json, request
from tests.fuzz.spelling import spelled

EMBEDDER = "free-1"
TRIES = 10
"""Places drawn for a change until one can be changed as drawn."""
MASK = r"\d{4}-\d\d-\d\d"
POLICIES = {
    "chat": CategoryPolicy(),
    "leaving": CategoryPolicy(leave_out=("user", "metadata")),
    "masking": CategoryPolicy(mask=(MASK,)),
    "shared": CategoryPolicy(scope="shared"),
}


class Place(NamedTuple):
    """Where a question is looked up. `exact` is the digest of a last message that is only matched as a whole."""

    space: str
    category: str
    embedder: str
    context: str
    exact: str | None


class Wrong(NamedTuple):
    """An example that does not hold."""

    seed: int
    what: str
    before: str
    after: str


def place_of(text: str, not_context: frozenset[str] = PRODUCT_NOT_CONTEXT, window: Window | None = None) -> Place:
    """Where the request written so is looked up; with a `window` by what its vector shows too. Raises Refusal."""
    asked = request_of(parse(text.encode(), bytes_max=1_000_000, depth_max=64))
    assert asked.category is not None
    policy = POLICIES[asked.category]
    framed = None if window is None else frame(question_of(asked.body).text, window)
    found = identify(
        asked.body,
        asked.vary,
        asked.sources,
        policy,
        chars_max=100_000,
        framed=framed,
        not_context=not_context,
    )
    space = "*" if policy.scope == "shared" else asked.tenant
    return Place(space, asked.category, EMBEDDER, found.context, None if found.comparable else found.text_digest)


def meaning(asked: dict[str, Json]) -> Json:
    """All of a request that must match exactly: found without `streams`, so that both cannot be wrong alike."""
    body = {name: below for name, below in asked["body"].items() if name not in _left_out(asked)}
    if isinstance(body.get("tools"), list):
        body["tools"] = [_unhinted(_unhinted_function(tool)) for tool in body["tools"]]
    *earlier, last = _numbered([_plain(message) for message in body["messages"]])
    if asked["category"] == "masking":
        earlier = [_masked(each) for each in earlier]
    body["messages"] = [*earlier, _without_text(last)]
    sources = sorted((each["id"], each["version"]) for each in asked.get("sources", []))
    space = "*" if asked["category"] == "shared" else asked["tenant"]
    return _typed([space, asked["category"], body, asked.get("vary", {}), [list(each) for each in sources]])


def example(seed: int, counts: Counter[str], not_context: frozenset[str] = PRODUCT_NOT_CONTEXT) -> Iterator[Wrong]:
    """One request, one change of it, one other spelling; what does not hold. Counts what was tried."""
    at = partial(place_of, not_context=not_context)
    rng = random.Random(seed)
    asked = request(rng)
    plain = json.dumps(asked, ensure_ascii=False)
    before = at(plain)
    other = spelled(rng, asked)
    counts["spelled otherwise"] += 1
    if at(other) != before:
        yield Wrong(seed, "spelled otherwise, and another namespace", plain, other)
    changed = next(filter(None, (change(rng, asked) for _ in range(TRIES))), None)
    if changed is not None:
        yield from _after(seed, asked, before, changed, counts, at)


def _after(
    seed: int,
    asked: dict[str, Json],
    before: Place,
    changed: Changed,
    counts: Counter[str],
    at: Callable[[str], Place],
) -> Iterator[Wrong]:
    plain, after = json.dumps(asked, ensure_ascii=False), json.dumps(changed.request, ensure_ascii=False)
    try:
        place = at(after)
    except Refusal:
        counts["changed into what is refused"] += 1
        return
    same = meaning(changed.request) == meaning(asked)
    if same and changed.request == asked and repr(changed.request) == repr(asked):
        counts["not changed after all"] += 1
        return
    counts["changed where it does not count" if same else f"changed: {changed.kind}"] += 1
    if same != (place == before):
        what = "the same" if place == before else "another"
        yield Wrong(seed, f"{changed.kind} at {changed.path}, and {what} namespace", plain, after)


def _left_out(asked: dict[str, Json]) -> tuple[str, ...]:
    return NOT_CONTEXT + (LEFT_OUT if asked["category"] == "leaving" else IDS)


def _unhinted(tree: Json) -> Json:
    return {name: tree[name] for name in tree if name != "cache_control"} if isinstance(tree, dict) else tree


def _unhinted_function(tool: Json) -> Json:
    return {**tool, "function": _unhinted(tool["function"])} if isinstance(tool, dict) and "function" in tool else tool


def _plain(message: Json) -> Json:
    """A message without hints for a server's cache, and a single text part as the text."""
    made = _unhinted(message)
    for name in ("content", "tool_calls"):
        if isinstance(made.get(name), list):
            made[name] = [_unhinted(each) for each in made[name]]
    match made.get("content"):
        case [{"type": "text", "text": str(text), **more}] if not more:
            made["content"] = text
    return made


def _numbered(messages: list[Json]) -> list[Json]:
    """The messages with a place for each id of a call: where the same id stood first."""
    holders: list[tuple[dict[str, Json], str]] = []
    for message in messages:
        calls = message.get("tool_calls")
        if isinstance(calls, list):
            message["tool_calls"] = calls = [dict(call) if isinstance(call, dict) else call for call in calls]
            holders += [(call, "id") for call in calls if isinstance(call, dict)]
        holders.append((message, "tool_call_id"))
    texts = [holder[name] for holder, name in holders if isinstance(holder.get(name), str)]
    for holder, name in holders:
        if isinstance(holder.get(name), str):
            holder[name] = ("call", texts.index(holder[name]))
    return messages


def _without_text(message: Json) -> Json:
    """A user's message with a mark where its one text was; any other stays whole."""
    if message.get("role") != "user":
        return message
    content = message.get("content")
    if isinstance(content, str):
        return {**message, "content": ("the text",)}
    texts = [part for part in content or () if part.get("type") == "text"]
    if len(texts) != 1 or not (texts[0]["text"].strip() or len(content) == 1):
        return message
    return {**message, "content": [{**p, "text": ("the text",)} if p is texts[0] else p for p in content]}


def _masked(message: Json) -> Json:
    content = message.get("content")
    if isinstance(content, str):
        return {**message, "content": _mask(content)}
    if not isinstance(content, list):
        return message
    return {**message, "content": [_masked_part(part) for part in content]}


def _masked_part(part: Json) -> Json:
    return (
        {**part, "text": _mask(part["text"])} if isinstance(part, dict) and isinstance(part.get("text"), str) else part
    )


def _mask(text: str) -> Json:
    return ("masked", *re.split(MASK, text)) if re.search(MASK, text) else text


def _typed(tree: Json) -> Json:
    if isinstance(tree, dict):
        return ("object", frozenset((name, _typed(below)) for name, below in tree.items()))
    if isinstance(tree, list):
        return ("list", *map(_typed, tree))
    if isinstance(tree, int | float) and not isinstance(tree, bool):
        return ("number", Decimal(repr(tree)))
    return (type(tree).__name__, tree)


assert all(re.fullmatch(MASK, date) for date in DATES)
