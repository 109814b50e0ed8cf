"""Mutated records of every topic that Refrain reads: valid messages with something changed, and bytes of any kind.

All is drawn from one generator, so that a seed repeats it. Names of headers are bytes: an outsider's need not be UTF-8.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from refrain.schemas.control import POLICY_KEY, PolicyInForce, decode_command
from refrain.schemas.journal import decode_event
from refrain.streams.messaging.decoding import unknown_version_of
from tests.fuzz.bodies import chat_body
from tests.fuzz.requests import Json, value
from tests.streams.kafka.raw_records import Raw

GOLDEN = Path(__file__).parents[1] / "schemas" / "golden"
GOLDENS = {
    "requests": "Request",
    "journal": "journal",
    "completions": "Completion",
    "forwards": "Forward",
    "load": "LoadSample",
    "control": "control",
    "policies": "PolicyInForce",
    "observations": "Observation",
    "doubts": "DoubtRaised",
    "decisions": "Decision",
}
"""Of each topic that a processor reads while it works, how the names of the golden files of its messages begin."""
COMMANDS = frozenset(
    {"PolicySet", "Switch", "CacheSwitched", "Invalidate", "EntriesInvalidated", "RecoverShard", "RecoveryOrdered"}
)
"""Kinds that say what the whole service does: whoever may write them has that right, and no mutation is needed."""
SPECIAL: tuple[Json, ...] = (
    None, True, 0, -1, 10**18, 10**400, 1e308, -0.0, "", " ", "\x00", "default", "*", "/bad topic!", "not base64",
    "a" * 300, "\ud83d", "\u202e\u2066", "\U000e0041", [], {}, [[]], {"": ""}, [1] * 200, "0-1-t", "responses",
    "journal", "/journal", 4711, "9" * 5_000, "v1." * 2_000, "=" * 40,
)  # fmt: skip
HEADER_NAMES = (
    b"reply-to",
    b"kafka_replyTopic",
    b"kafka_replyPartition",
    b"kafka_correlationId",
    b"h",
    b"",
    b"\xff\xfe",
)
HEADER_VALUES = (None, b"", b"x", b"responses", b"/bad topic!", b"journal", b"\x00\x00\x12\x67", b"x" * 5_000)
ENCODINGS = ("utf-16", "utf-16-be", "utf-32", "utf-8-sig", "utf-7")
VALUE_BYTES_MAX = 900_000
"""Of what is drawn here: what is larger than its topic takes is an attack of its own."""
DRAWS = 50
"""Tries until a record is drawn that does no more than its writer might."""


def mutated(rng: random.Random, topic: str) -> Raw:
    """A record for the topic: a good one changed, or bytes. None is a command, nor of a version of its own."""
    for _ in range(DRAWS):
        record = Raw(_key(rng, topic), _value(rng, topic), _headers(rng))
        if len(record.value or b"") <= VALUE_BYTES_MAX and not is_command(topic, record.value):
            return record
    return Raw(b"k", b"junk")


def is_command(topic: str, data: bytes | None) -> bool:
    """Whether it does what it says to the whole service, so that nothing could be told from what happens then."""
    if topic == "policies":
        return data is None or _policy(data)
    if topic == "journal" and data is not None and unknown_version_of(data) is not None:
        return True
    decode = {"journal": decode_event, "control": decode_command}.get(topic)
    return decode is not None and data is not None and _kind(decode, data) in COMMANDS


def _policy(data: bytes) -> bool:
    try:
        PolicyInForce.decode(data)
    except ValidationError:
        return False
    return True


def _kind(decode: Callable[[bytes], Any], data: bytes) -> str | None:
    try:
        return str(decode(data).kind)
    except ValidationError:
        return None


def _key(rng: random.Random, topic: str) -> bytes | None:
    if topic == "policies":
        return POLICY_KEY
    return rng.choice((None, b"", b"k", b"acme", b"t/c/0", rng.randbytes(rng.randrange(12))))


def _headers(rng: random.Random) -> list[tuple[bytes, bytes | None]]:
    if rng.random() < 0.7:
        return []
    return [
        (rng.choice((*HEADER_NAMES, rng.randbytes(4))), rng.choice((*HEADER_VALUES, rng.randbytes(8))))
        for _ in range(rng.randrange(1, 5))
    ]


def _value(rng: random.Random, topic: str) -> bytes | None:
    kind = rng.random()
    if kind < 0.02:
        return None
    if kind < 0.12:
        return rng.randbytes(rng.randrange(400))
    if kind < 0.2:
        return _encoded(value(rng))
    whole = _encoded(_changed(rng, _message(rng, topic)))
    if kind < 0.7:
        return whole
    return rng.choice(_SCARS)(rng, whole)


def _message(rng: random.Random, topic: str) -> Json:
    message = deepcopy(rng.choice(_messages(GOLDENS[topic])))
    if topic == "requests":
        message["body"] = chat_body(rng)
        message["tenant"] = rng.choice(("default", "acme", "mallory"))
        message["category"] = rng.choice((None, "code", "chat", "docs"))
    return message


@cache
def _messages(goldens: str) -> tuple[Json, ...]:
    found = tuple(json.loads(path.read_text()) for path in sorted(GOLDEN.glob(f"{goldens}*.json")))
    assert found, goldens
    return found


def _changed(rng: random.Random, message: Json) -> Json:
    """The message with none to three of its places changed; its version stays."""
    for _ in range(rng.randrange(4)):
        spots = _spots(message)
        if not spots:
            break
        holder, place = rng.choice(spots)
        rng.choice(_CHANGES)(rng, holder, place)
    return message


def _spots(tree: Json) -> list[tuple[Any, Any]]:
    if isinstance(tree, dict):
        pairs = [(name, below) for name, below in tree.items() if name != "v"]
    else:
        pairs = list(enumerate(tree)) if isinstance(tree, list) else []
    return [(tree, name) for name, _ in pairs] + [spot for _, below in pairs for spot in _spots(below)]


def _special(rng: random.Random, holder: Any, place: Any) -> None:
    holder[place] = deepcopy(rng.choice(SPECIAL))


def _any(rng: random.Random, holder: Any, place: Any) -> None:
    holder[place] = value(rng, 2)


def _removed(rng: random.Random, holder: Any, place: Any) -> None:
    del holder[place]


def _wrapped(rng: random.Random, holder: Any, place: Any) -> None:
    holder[place] = rng.choice(([holder[place]], {"value": holder[place]}, json.dumps(holder[place])))


def _stretched(rng: random.Random, holder: Any, place: Any) -> None:
    old = holder[place]
    if isinstance(old, str):
        holder[place] = old * rng.choice((2, 50, 1_000))
    elif isinstance(old, list):
        holder[place] = old * rng.choice((2, 50))


def _exchanged(rng: random.Random, holder: Any, place: Any) -> None:
    """Two values of one object change places."""
    other = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    if other != "v":
        holder[place], holder[other] = holder[other], holder[place]


_CHANGES: tuple[Callable[[random.Random, Any, Any], None], ...] = (
    _special, _special, _any, _removed, _wrapped, _stretched, _exchanged,
)  # fmt: skip


def _encoded(tree: Json) -> bytes:
    return json.dumps(tree).encode()


def _cut(rng: random.Random, data: bytes) -> bytes:
    low, high = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:low] + rng.randbytes(rng.randrange(4)) + data[high:]


def _flipped(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.randrange(1, 6)):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def _doubled(rng: random.Random, data: bytes) -> bytes:
    """The text twice, or each of its fields."""
    return data * 2 if rng.random() < 0.5 else data[:-1] + b"," + data[1:]


def _recoded(rng: random.Random, data: bytes) -> bytes:
    return data.decode().encode(rng.choice(ENCODINGS))


def _nested(rng: random.Random, data: bytes) -> bytes:
    deep = rng.choice((10, 70, 5_000))
    return rng.choice((b"[" * deep + data + b"]" * deep, b'{"a":' * deep + data + b"}" * deep, b"[" * deep))


def _respelled(rng: random.Random, data: bytes) -> bytes:
    return rng.choice(
        (data.replace(b'"', b"'"), data.replace(b"null", b"NaN"), data.replace(b":", b"=>"), data.upper())
    )


_SCARS: tuple[Callable[[random.Random, bytes], bytes], ...] = (_cut, _flipped, _doubled, _recoded, _nested, _respelled)
