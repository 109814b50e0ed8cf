"""LRU caches keep what was used last, in bounded room."""

from __future__ import annotations

from refrain.streams.lru import RecentIds, TextCache


def test_the_oldest_id_goes_first_and_one_that_is_asked_for_stays() -> None:
    recent = RecentIds(2)
    recent.add("a")
    recent.add("b")
    assert "a" in recent
    recent.add("c")
    assert "b" not in recent
    assert "a" in recent
    assert "c" in recent


def test_texts_are_cached_up_to_so_many_characters_and_those_used_last_stay() -> None:
    cache = TextCache[int](10)
    cache.put("aaaa", 1)
    cache.put("bbbb", 2)
    assert cache.get("aaaa") == 1
    cache.put("cc", 3)
    assert (cache.chars, len(cache)) == (10, 3)
    cache.put("d", 4)
    assert cache.get("bbbb") is None
    assert [cache.get(text) for text in ("aaaa", "cc", "d")] == [1, 3, 4]
    assert cache.chars == 7


def test_a_text_beyond_all_room_is_cached_alone_until_the_next_one() -> None:
    cache = TextCache[int](3)
    cache.put("a", 1)
    cache.put("bbbbb", 2)
    assert (cache.get("a"), cache.get("bbbbb"), len(cache)) == (None, 2, 1)
    cache.put("c", 3)
    assert (cache.get("bbbbb"), cache.get("c"), cache.chars) == (None, 3, 1)
