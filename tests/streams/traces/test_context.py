"""The W3C context of headers: what is well formed goes on, and all else is dropped without an error."""

from __future__ import annotations

import pytest

from refrain.streams.kafka.interface import Headers
from refrain.streams.traces.context import carried
from refrain.streams.traces.otel import context_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01".encode()


@pytest.mark.parametrize(
    "parent",
    [
        b"",
        None,
        b"00",
        b"nonsense",
        PARENT.replace(b"4bf9", b"xyz9"),
        PARENT.upper(),
        b"00-" + b"0" * 32 + b"-00f067aa0ba902b7-01",
        f"00-{TRACE}-0000000000000000-01".encode(),
        b"ff" + PARENT[2:],
        PARENT + b"-more",
        PARENT[:-1],
        b"\xff\xfe" + PARENT,
        PARENT + b"\x00",
        PARENT + b"\r\nX-Evil: 1",
        b"0" * 10_000,
        PARENT[:3] + "\N{FULLWIDTH DIGIT FOUR}".encode() + PARENT[4:],
    ],
)
def test_a_malformed_traceparent_is_none(parent: bytes | None) -> None:
    assert context_of((("traceparent", parent), ("tracestate", b"a=1"))) is None


def test_a_traceparent_that_is_there_twice_is_none() -> None:
    assert context_of((("traceparent", PARENT), ("traceparent", PARENT))) is None


def test_a_well_formed_context_is_read_whatever_stands_beside_it() -> None:
    headers: Headers = (("a", None), ("traceparent", PARENT), ("tracestate", b"vendor=x"), ("z", b"\xff"))
    context = context_of(headers)
    assert context is not None
    assert (format(context.trace_id, "032x"), context.trace_flags.sampled) == (TRACE, True)
    assert context.trace_state.to_header() == "vendor=x"


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    context = context_of((("traceparent", b"cc" + PARENT[2:] + b"-what-comes"),))
    assert context is not None
    assert format(context.trace_id, "032x") == TRACE


@pytest.mark.parametrize(
    "states",
    [
        [b"a=" + b"x" * 10_000],
        [b"\xff=1"],
        ["schlüssel=1".encode()],
        [None],
        [b"a=1\r\nX-Evil: 1"],
        [b"no member"],
        [b"a=1", b"a=2"],
        [b"a=1"] * 100,
        [b""],
    ],
)
def test_of_a_malformed_tracestate_only_the_parent_is_left(states: list[bytes | None]) -> None:
    context = context_of((("traceparent", PARENT), *(("tracestate", state) for state in states)))
    assert context is not None
    assert context.trace_state.to_header() == ""


def test_parts_of_a_tracestate_are_one() -> None:
    context = context_of((("traceparent", PARENT), ("tracestate", b"a=1"), ("tracestate", b"b=2")))
    assert context is not None
    assert context.trace_state.to_header() == "a=1,b=2"


def test_what_is_carried_on_is_bounded() -> None:
    headers: Headers = (("traceparent", PARENT), ("tracestate", b"a=" + b"x" * 100_000), ("other", b"y" * 100_000))
    assert carried(headers) == (("traceparent", PARENT),)
    assert carried((("traceparent", b"x" * 100_000),)) == ()
