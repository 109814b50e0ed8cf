"""Records as an outsider with rights on one topic writes them: any bytes, any JSON, and messages that are a little off.

An outsider knows the contract: most of what reaches far is a golden message with something changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from refrain.streams.kafka.interface import Headers, Outgoing
from refrain.streams.messaging.decoding import unknown_version_of

GOLDEN = Path(__file__).parents[1] / "schemas" / "golden"
SPECIAL: tuple[Any, ...] = (
    None, True, 0, -1, 10**18, 10**400, 1e308, "", " ", "\x00", "default", "*", "/bad topic!", "not base64", "a" * 300,
    "\ud83d", [], {}, [[]], {"": ""}, [1] * 200, "0-1-t", "responses", "journal",
)  # fmt: skip
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
header_names = st.binary(max_size=6).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
headers = st.lists(
    st.tuples(header_names | st.sampled_from(["reply-to", "kafka_replyPartition"]), st.none() | st.binary(max_size=6)),
    max_size=3,
).map(tuple)


def records_of(topic: str, goldens: str) -> st.SearchStrategy[list[Outgoing]]:
    """Records for a topic; `goldens` begins the names of the golden files of its messages.

    None has a version of its own: in `journal` such a record waits for an upgrade.
    """
    values = st.none() | st.binary(max_size=60) | json_values.map(_encoded) | _changed(goldens)
    keys = st.none() | st.binary(max_size=8) | st.just(b"policy")

    def record(key: bytes | None, value: bytes | None, headers: Headers) -> Outgoing:
        return Outgoing(topic, key, value, headers)

    known = values.filter(lambda value: value is None or unknown_version_of(value) is None)
    return st.lists(st.builds(record, keys, known, headers), min_size=1, max_size=12)


def _changed(goldens: str) -> st.SearchStrategy[bytes]:
    """Golden messages with one or two places changed, and bytes of them cut, doubled or overwritten."""
    messages = st.sampled_from(_messages(goldens))
    places = st.lists(st.tuples(st.floats(0, 1), st.sampled_from(SPECIAL) | json_values), min_size=0, max_size=2)
    changed = st.builds(_replaced, messages, places).map(_encoded)
    spot = st.floats(0, 1)
    return changed | st.builds(_scarred, changed, spot, spot, st.binary(max_size=4))


@cache
def _messages(goldens: str) -> tuple[Any, ...]:
    found = tuple(json.loads(path.read_text()) for path in sorted(GOLDEN.glob(f"{goldens}*.json")))
    assert found, goldens
    return found


def _encoded(value: object) -> bytes:
    return json.dumps(value).encode()


def _replaced(message: Any, places: Sequence[tuple[float, object]]) -> Any:
    message = deepcopy(message)
    for where, value in places:
        spots = list(_spots(message))
        holder, name = spots[min(len(spots) - 1, int(where * len(spots)))]
        holder[name] = deepcopy(value)
    return message


def _spots(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a message, as its holder and its name or number there; `v` stays as it is."""
    if isinstance(value, Mapping):
        pairs = [(name, inner) for name, inner in value.items() if name != "v"]
    else:
        pairs = list(enumerate(value)) if isinstance(value, list) else []
    here = [(value, name) for name, _ in pairs]
    return here + [spot for _, inner in pairs for spot in _spots(inner)]


def _scarred(value: bytes, start: float, end: float, instead: bytes) -> bytes:
    low, high = sorted((int(start * len(value)), int(end * len(value))))
    return value[:low] + instead + value[high:]
