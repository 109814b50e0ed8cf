"""Whatever bytes and JSON come: each request is answered, asked of a shard, or passed by."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from refrain.schemas.dead_letters import HEADER_REASON
from tests.streams.classify.entrance import LIMITS, NOW_MS, Entrance, record

ENTRANCE = Entrance(limits=LIMITS.model_copy(update={"reply_topics": ()}))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
messages = st.fixed_dictionaries(
    {},
    optional={"role": st.sampled_from(["user", "assistant", "tool"]) | json_values, "content": st.text() | json_values},
)
bodies = st.fixed_dictionaries(
    {"model": st.just("m"), "messages": st.lists(messages, min_size=1, max_size=3)},
    optional={"temperature": json_values, "tools": json_values, "stream": json_values},
)
requests = st.fixed_dictionaries(
    {"body": bodies | json_values},
    optional={
        "v": st.sampled_from([1, 2, "1", None]),
        "tenant": st.sampled_from(["t", "a/b", 5]),
        "category": st.sampled_from(["code", "medical", "unheard", None, 3]),
        "cache": st.sampled_from(["use", "observe", "refresh", "bypass", "only", "maybe"]),
        "vary": st.dictionaries(st.text(), json_values) | json_values,
        "tags": st.lists(st.text(max_size=3), max_size=2) | json_values,
        "deadline_at_ms": st.integers(-1, 2 * NOW_MS) | json_values,
        "request_id": st.text() | json_values,
    },
)
ENDS = (["journal"], ["forwards", "journal"], ["dead-letters", "responses"], ["responses", "journal"])


@hypothesis_settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.binary(max_size=300), st.lists(st.tuples(st.text(max_size=4), st.none() | st.binary(max_size=6)), max_size=3))
def test_arbitrary_bytes_and_headers_never_stop_the_entrance(
    value: bytes, headers: list[tuple[str, bytes | None]]
) -> None:
    assert ENTRANCE(record(value, headers=tuple(headers)))


@hypothesis_settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(requests)
def test_arbitrary_json_is_answered_asked_or_passed(value: dict[str, Any]) -> None:
    out = ENTRANCE(record(json.dumps(value).encode()))
    assert [o.topic for o in out] in ENDS
    for o in out:
        if o.topic == "dead-letters":
            assert b"Error while" not in (dict(o.headers)[HEADER_REASON] or b"")
