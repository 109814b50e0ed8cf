"""Spans and moments as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.ops.terminal.durations import UNITS_MS, read_moment_ms, read_since_ms, read_span_ms


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("30s", 30_000),
        ("10m", 600_000),
        ("10 min", 600_000),
        ("2h", 7_200_000),
        ("7d", 604_800_000),
        ("1.5d", 129_600_000),
        ("2W", 1_209_600_000),
        ("250ms", 250),
    ],
)
def test_a_span_is_read(text: str, ms: int) -> None:
    assert read_span_ms(text) == ms


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "0s", "2y", "1d2h", "1e3s", "0.0001ms", "٣d"])
def test_what_is_no_span_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write 30s, 10m, 2h or 7d"):
        read_span_ms(text)


@given(st.integers(1, 999_999), st.sampled_from(sorted(UNITS_MS)))
def test_every_count_of_every_unit_is_read(count: int, unit: str) -> None:
    assert read_span_ms(f"{count}{unit}") == count * UNITS_MS[unit]


def test_a_moment_with_a_zone_is_the_same_everywhere() -> None:
    assert read_moment_ms("2026-03-01T12:00:00+01:00") == 1_772_362_800_000
    assert read_moment_ms("2026-03-01T11:00Z") == 1_772_362_800_000


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "", "1969-12-31T00:00Z"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no moment|before 1970"):
        read_moment_ms(text)


def test_a_time_is_a_moment_or_a_span_back() -> None:
    assert read_since_ms("10m", 700_000) == 100_000
    assert read_since_ms("10m ago", 700_000) == read_since_ms(" 10 min  AGO ", 700_000) == 100_000
    assert read_since_ms("1h", 700_000) == 0
    assert read_since_ms("1970-01-01T00:00:01+00:00", 9) == 1_000
    for text in ("yesterday", "ago", "2 ago", "2hago", "2h ago ago", "-2h ago"):
        with pytest.raises(ValueError, match="or a span back: 30s"):
            read_since_ms(text, 9)
