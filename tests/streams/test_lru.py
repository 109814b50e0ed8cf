"""LRU caches keep what was used last, in bounded room."""

from __future__ import annotations

from refrain.streams.lru import RecentIds


def test_the_oldest_id_goes_first_and_one_that_is_asked_for_stays() -> None:
    recent = RecentIds(2)
    recent.add("a")
    recent.add("b")
    assert "a" in recent
    recent.add("c")
    assert "b" not in recent
    assert "a" in recent
    assert "c" in recent
