"""A period is due at once, and again when it is over since it was last due."""

from __future__ import annotations

from refrain.streams.every import Every


def test_it_is_due_at_once_and_then_once_a_period() -> None:
    now_s = 100.0
    every = Every(2.0, lambda: now_s)
    due_at = []
    for _ in range(10):
        if every.is_due():
            due_at.append(now_s)
        now_s += 0.5
    assert due_at == [100.0, 102.0, 104.0]


def test_what_came_late_is_not_made_up_for() -> None:
    now_s = 0.0
    every = Every(2.0, lambda: now_s)
    assert every.is_due()
    now_s = 7.0
    assert every.is_due()
    assert not every.is_due()
    now_s = 8.0
    assert not every.is_due()
    now_s = 9.0
    assert every.is_due()
