"""A clock that is set back makes nobody wait until it is where it was."""

from __future__ import annotations

from refrain.streams.spans import has_passed, is_due

HOUR_MS = 3_600_000


def test_a_moment_has_come_when_it_is_reached_and_not_before() -> None:
    assert not is_due(1_000, 999, 500)
    assert is_due(1_000, 1_000, 500)
    assert not has_passed(1_000, 500, 1_499)
    assert has_passed(1_000, 500, 1_500)


def test_on_a_clock_that_was_set_back_it_has_come() -> None:
    assert is_due(HOUR_MS + 10, 10, 500)
    assert has_passed(HOUR_MS, 500, 10)
