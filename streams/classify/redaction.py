"""Redaction of dead letters: whether a refused request may be `never` traffic, whose text stays out of them.

A request that cannot be read cannot be classified either. What is looked at is bounded: its first and its last
`WINDOW_BYTES`. Its text is kept where it is known to be no `never` traffic; where nothing can tell, nothing is kept:

- no policy is in force, or a `never` category that only the meaning of a question tells;
- bytes between the windows, or bytes that are no text: another encoding, control characters, encoded or compressed
  data, what does not even begin like a request;
- a rule's pattern or name, in any spelling of JSON, of Python's and JavaScript's quotes and escapes, or of a URL.
"""

from __future__ import annotations

import codecs
import html
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote_plus

from refrain.streams.classify.routing import Router, RoutingInput, all_text
from refrain.streams.kafka.interface import Headers, Record, headers_bytes

WINDOW_BYTES = 64_000
"""What is looked at of each end."""
PIECES_MAX = 5_000
"""Quoted pieces of what is no JSON, and texts of what is, that patterns are searched in."""
ROUNDS_MAX = 4
"""How often text may be escaped: JSON in a string of JSON is twice."""
WIDE = (("utf-16-le", 2), ("utf-16-be", 2), ("utf-32-le", 4), ("utf-32-be", 4))
"""Encodings of units of several bytes, whose text is another one when it is read from a byte too late."""
_ESCAPE = re.compile(r"\\(?:u\{?([0-9a-fA-F]{4,6})\}?|x([0-9a-fA-F]{2})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_SIGNS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_QUOTE = re.compile(r"[\"'`]")
_BARE_QUOTE = re.compile(r"(?<!\\)[\"'`]")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd]")
_OPAQUE = re.compile(r"[A-Za-z0-9+/=_%-]{200}")
"""As long a run without a blank is no words: base64, hexadecimal digits, data of a URL."""


def may_be_uncacheable(
    router: Router | None, record: Record, parsed: Mapping[str, Any] | None, tenant: str | None = None
) -> bool:
    """Whether to redact a refused record. `parsed` is its JSON, None when it has none or was not parsed.

    `tenant` is the one that the record is bound to, None where the request's own field counts.
    """
    if router is None:
        return True
    if not router.has_never:
        return False
    value = record.value or b""
    if len(value) + len(record.key or b"") + headers_bytes(record.headers) > 2 * WINDOW_BYTES:
        return True
    if any(router.looks_uncacheable(text) for text in (tenant or "", *_beside(record.key, record.headers))):
        return True
    return _of_bytes(router, value) if parsed is None else _of_json(router, parsed)


def _of_json(router: Router, parsed: Mapping[str, Any]) -> bool:
    """Whether a JSON object whose fields may be wrong may be `never` traffic."""
    texts = list(_strings(parsed))
    if len(texts) > PIECES_MAX or any(router.looks_uncacheable(text) for text in texts):
        return True
    request = _routing_input(parsed, "\n".join(texts))
    return router.never_by_meaning if request is None else router.may_be_uncacheable(request)


def _of_bytes(router: Router, value: bytes) -> bool:
    """Whether bytes that are no JSON may be `never` traffic."""
    if not value:
        return False
    text = _decoded(value)
    if router.never_by_meaning or text is None or not text.lstrip().startswith("{"):
        return True
    if _CONTROLS.search(text) or _OPAQUE.search(text):
        return True
    if b"\0" in value and any(map(router.looks_uncacheable, _wide_readings(value))):
        return True
    # Quotes that are escaped end a piece too: there may be JSON in a string.
    pieces = {text, *_BARE_QUOTE.split(text), *(piece.rstrip("\\") for piece in _QUOTE.split(text))}
    if len(pieces) > PIECES_MAX:
        return True
    spellings = (spelling for piece in pieces for spelling in _spellings(piece))
    return any(spelling is None or router.looks_uncacheable(spelling) for spelling in spellings)


def _routing_input(parsed: Mapping[str, Any], texts: str) -> RoutingInput | None:
    """The routing input of a request whose fields may be wrong, with all its texts as the question.

    None without messages.
    """
    body = parsed.get("body")
    if not isinstance(body, dict) or not isinstance(body.get("messages"), list):
        return None
    tags, category = parsed.get("tags"), parsed.get("category")
    return RoutingInput(
        tenant=str(parsed.get("tenant", "default")),
        model=str(body.get("model", "")),
        tags=tuple(str(tag) for tag in tags) if isinstance(tags, list) else (),
        category=category if isinstance(category, str) else None,
        question=all_text(body) + "\n" + texts,
        body=body,
    )


def _beside(key: bytes | None, headers: Headers) -> Iterator[str]:
    """The texts beside the value."""
    yield (key or b"").decode("utf-8", "replace")
    for name, value in headers:
        yield f"{name} {(value or b'').decode('utf-8', 'replace')}"


def _strings(parsed: object) -> Iterator[str]:
    """All texts of JSON, names of fields too. Nothing recurses: what was parsed is not deep, and may be wide."""
    left: list[object] = [parsed]
    while left:
        one = left.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            left += [*one.keys(), *one.values()]
        elif isinstance(one, list):
            left += one


def _decoded(value: bytes) -> str | None:
    """The bytes as text, in the encoding of UTF-8, 16 or 32 that they begin in; None when they are not all of it.

    They may be cut off within a character.
    """
    decoder = codecs.getincrementaldecoder(json.detect_encoding(value))()
    try:
        return decoder.decode(value, False).removeprefix("\ufeff")
    except UnicodeDecodeError:
        return None


def _wide_readings(value: bytes) -> Iterator[str]:
    """The bytes read as each wide encoding, from each byte that a unit may begin with."""
    for encoding, unit in WIDE:
        for start in range(unit):
            yield value[start:].decode(encoding, "replace")


def _spellings(text: str) -> Iterator[str | None]:
    """A text, and what it says without its escapes; None at the end where there is no end of them."""
    yield text
    for _ in range(ROUNDS_MAX):
        plain = html.unescape(unquote_plus(_unescaped(text)))
        if plain == text:
            return
        yield plain
        text = plain
    yield None


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    # Two halves of a surrogate pair are one character.
    return _ESCAPE.sub(_meant, text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _meant(escape: re.Match[str]) -> str:
    digits = escape[1] or escape[2] or escape[3]
    if digits is None:
        return _SIGNS.get(escape[4], escape[4])
    number = int(digits, 16)
    return chr(number) if number <= 0x10FFFF else "\ufffd"
