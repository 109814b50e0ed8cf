"""Moments between which a command looks, and moments that no calendar holds."""

from __future__ import annotations

import pytest
import typer

from refrain.ops.terminal.moments import Between, between, local, utc

NOON = "2026-03-01T12:00Z"


def test_a_span_back_and_a_moment_may_be_mixed() -> None:
    found = between(NOON, "2h ago")
    assert found.from_ms == 1_772_366_400_000
    assert found.to_ms is not None
    assert between("2h", "1h ago").from_ms > found.from_ms
    assert between(None, None) == Between(0, None)


@pytest.mark.parametrize(
    ("since", "to"), [(NOON, NOON), ("1h", "2h"), ("2026-03-02", "2026-03-01"), (None, "1970-01-01T00:00Z")]
)
def test_a_range_that_holds_nothing_is_refused(since: str | None, to: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not before --to"):
        between(since, to)


@pytest.mark.parametrize("ms", [10**15, 2**62, -(10**18)])
def test_a_time_that_no_calendar_holds_is_told_as_it_is(ms: int) -> None:
    assert utc(ms) == local(ms) == f"{ms} ms"
    assert utc(1_772_366_400_000) == "2026-03-01 12:00:00 UTC"
