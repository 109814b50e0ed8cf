"""Rows are found by id and by text as dictionaries would find them, whatever comes and goes."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.streams.shard.index.rows import KEY_BYTES, RowsById, RowsByText


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 60)), max_size=300))
def test_ids_find_their_rows_in_whatever_order_they_come_and_go(moves: list[tuple[bool, int]]) -> None:
    rows, known = RowsById(), dict[int, int]()
    for row, (comes, id_) in enumerate(moves):
        if comes:
            rows.put(id_, row)
            known[id_] = row
        elif id_ in known:
            rows.drop(id_)
            del known[id_]
        assert len(rows) == len(known)
    assert {id_: rows.get(id_) for id_ in range(61)} == {id_: known.get(id_) for id_ in range(61)}


def test_an_id_that_is_not_there_is_not_dropped() -> None:
    rows = RowsById()
    rows.put(7, 1)
    rows.drop(7)
    for id_ in (7, 8):
        with pytest.raises(KeyError):
            rows.drop(id_)


@given(st.lists(st.sets(st.integers(0, 10_000)), max_size=5))
def test_ids_that_come_at_once_find_their_rows(batches: list[set[int]]) -> None:
    rows, known = RowsById(), dict[int, int]()
    for batch in batches:
        first, ids = len(known), sorted(batch)
        if known and ids and ids[0] <= max(known):
            with pytest.raises(ValueError, match="rise"):
                rows.put_many(ids, first)
            continue
        rows.put_many(ids, first)
        known |= dict(zip(ids, range(first, first + len(ids)), strict=True))
    assert len(rows) == len(known)
    assert all(rows.get(id_) == row for id_, row in known.items())


def test_an_id_that_comes_twice_at_once_is_refused() -> None:
    with pytest.raises(ValueError, match="rise"):
        RowsById().put_many([3, 3], 0)


def key_of(home: int, text: int) -> bytes:
    """A digest: texts of one home want the same slot."""
    return home.to_bytes(8, "little") + text.to_bytes(KEY_BYTES - 8, "little")


@pytest.mark.parametrize("homes", [1, 7, 1 << 40])
def test_texts_find_all_their_rows_though_they_want_the_same_slots(homes: int) -> None:
    generator = random.Random(homes)
    keys = [key_of(generator.randrange(homes), text) for text in range(150)]
    table, known = RowsByText(), defaultdict[bytes, set[int]](set)
    free, of = list(range(400)), dict[int, bytes]()
    for step in range(4_000):
        # It grows, and shrinks to a quarter, again and again.
        if free and generator.random() < (0.7 if step // 500 % 2 == 0 else 0.3):
            row, key = free.pop(generator.randrange(len(free))), generator.choice(keys)
            table.add(key, row)
            known[key].add(row)
            of[row] = key
        elif of:
            row = generator.choice(list(of))
            key = of.pop(row)
            table.remove(key, row)
            known[key].discard(row)
            free.append(row)
        if step % 100 == 0:
            assert all(sorted(table.rows(each)) == sorted(known[each]) for each in keys)


def test_a_row_is_removed_under_its_own_text_alone() -> None:
    table = RowsByText()
    table.add(key_of(1, 1), 0)
    with pytest.raises(KeyError):
        table.remove(key_of(2, 2), 0)
    assert table.rows(key_of(1, 1)) == [0]


def test_many_texts_are_found_after_every_growth() -> None:
    table = RowsByText()
    keys = [random.Random(number).randbytes(KEY_BYTES) for number in range(5_000)]
    for row, key in enumerate(keys):
        table.add(key, row)
    assert [table.rows(key) for key in keys] == [[row] for row in range(5_000)]


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=90), min_size=1, max_size=6),
    st.integers(0, 2**32),
)
def test_texts_that_come_at_once_are_found_and_removed_as_one_by_one(
    batches: list[list[tuple[int, int]]], seed: int
) -> None:
    table, known, used = RowsByText(), defaultdict[bytes, set[int]](set), 0
    for batch in batches:
        keys = [key_of(*each) for each in batch]
        table.add_many(keys, used)
        for row, key in enumerate(keys, used):
            known[key].add(row)
        used += len(keys)
    for key, rows in known.items():
        for row in random.Random(seed).sample(sorted(rows), len(rows) // 2):
            table.remove(key, row)
            rows.discard(row)
    table.add(key_of(0, 0), used)
    known[key_of(0, 0)].add(used)
    assert all(sorted(table.rows(key)) == sorted(rows) for key, rows in known.items())
