"""Asker: what in a request names who asks and keeps that person's answers apart, because it counts in the context."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from refrain.schemas.base import AskerNames
from refrain.streams.classify.dependence.wording import FOLDER
from refrain.streams.guards.lexicon import lines

_WORDS = re.compile(r"[^\W_]+")
_GREETINGS = frozenset(lines("greetings", FOLDER))


def named(body: Mapping[str, Any], vary: Mapping[str, Any], leave_out: Sequence[str]) -> tuple[AskerNames, ...]:
    """What names the asker: the body's `user`, the request's `vary`, earlier turns that say more than a greeting.

    What the policy leaves out of the context (`leave_out`) keeps nobody's answers apart, and is not named.
    """
    found: list[AskerNames] = []
    user = body.get("user")
    if isinstance(user, str) and user.strip() and "user" not in leave_out:
        found.append("user")
    if vary:
        found.append("vary")
    if any(_says_something(message) for message in body["messages"][:-1]):
        found.append("turns")
    return tuple(found)


def _says_something(message: Mapping[str, Any]) -> bool:
    """Whether an earlier message is the asker's own, or a tool's, and holds more than a greeting."""
    role = message.get("role")
    if role not in ("user", "tool", "function"):
        return False
    said = " ".join(_texts(message.get("content"))).casefold()
    return any(word not in _GREETINGS for word in _WORDS.findall(said))


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    for part in content if isinstance(content, list) else ():
        text = part.get("text") if isinstance(part, dict) else None
        if isinstance(text, str):
            yield text
