"""What a client wishes of the cache, by headers `x-refrain-*` of its request; and the decision, by headers back.

x-refrain-category: code          x-refrain-cache: use | observe | refresh | bypass | only
x-refrain-deadline-ms: 5000       x-refrain-vary: {"locale": "de"}
x-refrain-source: doc-7@3         x-refrain-tag: handbook
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from pydantic_core import from_json

from refrain.schemas.names import NAME_PATTERN
from refrain.schemas.requests import CacheMode
from refrain.schemas.responses import DecisionSummary
from refrain.streams.edge.problems import HttpProblem
from refrain.streams.messaging.source_names import split_source

BEGINNING = "x-refrain-"
KNOWN = ("category", "cache", "deadline-ms", "vary", "source", "tag")
SEVERAL = frozenset({"source", "tag"})
"""Headers that may come more than once, or hold several values with commas between."""
MODES = tuple(mode.value for mode in CacheMode)
DEADLINE_MS_MAX = 86_400_000
VALUES_MAX = 64
SAFE = "!#$&'()*+,/:;=?@[]{} _.-~|<>\"^`"
"""Characters of ASCII that a header may hold as they are."""
_NAME = re.compile(NAME_PATTERN)


class Wishes(NamedTuple):
    """Wishes for one request: fields of it, and in how many milliseconds nobody waits any more (None: not said)."""

    fields: Mapping[str, Any]
    cache: CacheMode = CacheMode.USE
    deadline_ms: int | None = None


def wishes_of(headers: Iterable[tuple[str, str]]) -> Wishes:
    """The wishes in the headers of a request. Raises HttpProblem(400) that names the header and what it may hold."""
    found: dict[str, list[str]] = {}
    for name, value in headers:
        low = name.lower()
        if not low.startswith(BEGINNING):
            continue
        short = low.removeprefix(BEGINNING)
        if short not in KNOWN:
            raise _wrong(low, f"there is no header {low[:80]!r}{_nearest(low, [BEGINNING + each for each in KNOWN])}")
        found.setdefault(short, []).append(value.strip())
    for short, values in found.items():
        if short not in SEVERAL and len(values) > 1:
            raise _wrong(BEGINNING + short, f"{BEGINNING}{short} comes {len(values)} times: send it once")
    fields: dict[str, Any] = {}
    if "category" in found:
        fields["category"] = _category(found["category"][0])
    if "vary" in found:
        fields["vary"] = _vary(found["vary"][0])
    if "tag" in found:
        fields["tags"] = _tags(found["tag"])
    if "source" in found:
        fields["sources"] = _sources(found["source"])
    mode = _mode(found["cache"][0]) if "cache" in found else CacheMode.USE
    return Wishes(fields, mode, _deadline_ms(found["deadline-ms"][0]) if "deadline-ms" in found else None)


def told(outcome: str, decision: DecisionSummary | None, reason: str | None = None) -> dict[str, str]:
    """The headers that tell a client what became of its request."""
    headers = {"outcome": outcome}
    if decision is not None:
        headers["decision"] = decision.id
        headers["reason"] = decision.reason
        if decision.category is not None:
            headers["category"] = decision.category
        if decision.similarity is not None:
            headers["similarity"] = f"{decision.similarity:g}"
        if decision.entry_age_ms is not None:
            headers["age"] = f"{decision.entry_age_ms / 1_000:.3f}"
    if reason is not None:
        headers["reason"] = reason
    # What is no plain ASCII, a line's end above all, is escaped: no value can become another header.
    return {BEGINNING + name: quote(value, safe=SAFE) for name, value in headers.items()}


def _category(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise _wrong("x-refrain-category", "x-refrain-category is 1 to 64 letters, digits, `.`, `_` and `-`")
    return value


def _mode(value: str) -> CacheMode:
    if value not in MODES:
        near = _nearest(value, MODES)
        raise _wrong("x-refrain-cache", f"x-refrain-cache is one of {', '.join(MODES)}{near}")
    return CacheMode(value)


def _deadline_ms(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 8 and 0 < int(value) <= DEADLINE_MS_MAX):
        raise _wrong("x-refrain-deadline-ms", f"x-refrain-deadline-ms is milliseconds from now, 1 to {DEADLINE_MS_MAX}")
    return int(value)


def _vary(value: str) -> dict[str, Any]:
    try:
        found = from_json(value, allow_inf_nan=False)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise _wrong("x-refrain-vary", 'x-refrain-vary is a JSON object, such as {"locale": "de"}')
    return found


def _tags(values: list[str]) -> tuple[str, ...]:
    tags = _split("x-refrain-tag", values)
    if len(tags) > 32 or any(len(tag) > 128 for tag in tags):
        raise _wrong("x-refrain-tag", "x-refrain-tag is at most 32 tags of at most 128 characters")
    return tags


def _sources(values: list[str]) -> tuple[dict[str, str], ...]:
    out = []
    for value in _split("x-refrain-source", values):
        name, version = split_source(value)
        if not name or len(name) > 256 or len(version) > 256:
            raise _wrong("x-refrain-source", "x-refrain-source is ID or ID@VERSION, each of at most 256 characters")
        out.append({"id": name, "version": version})
    return tuple(out)


def _split(name: str, values: list[str]) -> tuple[str, ...]:
    parts = [part.strip() for value in values for part in value.split(",")]
    if not all(parts):
        raise _wrong(name, f"{name} has an empty value")
    if len(parts) > VALUES_MAX:
        raise _wrong(name, f"{name} has more than {VALUES_MAX} values")
    return tuple(parts)


def _nearest(value: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(value[:80], list(known), n=1, cutoff=0.5)
    return f": did you mean {close[0]}?" if close else ""


def _wrong(name: str, text: str) -> HttpProblem:
    return HttpProblem(400, "bad_header", text, param=name[:80])
