"""Ids of entries outside their shard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.entry_ids import place_of, wire_id


@given(st.integers(0, 10_000), st.integers(0, 10**15), st.text("abcXYZ019-_", min_size=1, max_size=22))
def test_an_id_tells_where_its_entry_was_admitted(partition: int, number: int, incarnation: str) -> None:
    place = place_of(wire_id(partition, number, incarnation))
    assert place is not None
    assert (place.partition, place.offset) == (partition, number)
    assert place.is_of(incarnation)


@pytest.mark.parametrize("text", ["", "1-2", "1-2-", "a-2-x", "-1-2-x", "٣-2-x"])
def test_other_texts_are_no_ids(text: str) -> None:
    assert place_of(text) is None
