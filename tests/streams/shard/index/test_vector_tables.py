"""Tables find what an exact search would find, however they are kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refrain.streams.shard.index.slab import Block, Slab, block_rows
from refrain.streams.shard.index.vector_tables import QueryVector, Table, Tables
from refrain.streams.vectors import Ints, quantise, similarity

DIM = 8


def random_vectors(count: int, seed: int, dim: int = DIM) -> list[Ints]:
    generator = np.random.default_rng(seed)
    return [quantise(generator.normal(size=dim)) for _ in range(count)]


def by_hand(rows: dict[int, Ints], query: Ints, count: int, floor: float) -> list[tuple[float, int]]:
    found = sorted((-similarity(vector, query), row) for row, vector in rows.items())
    return [(-s, row) for s, row in found if -s >= floor][:count] or [
        (-s, row) for s, row in found if s == found[0][0]
    ][:count]


def ranked(tables: Tables, table: Table, query: Ints, count: int, floor: float) -> list[tuple[float, int]]:
    found = tables.search(table, QueryVector.of(query), count, floor, 200)
    return [(s, row) for s, row in sorted(((f.similarity, f.row) for f in found), key=lambda p: (-p[0], p[1]))][:count]


@pytest.mark.parametrize("wanted", [1, 2, 3, 4, 5, 7, 9, 13, 100, 4_097])
def test_a_block_wastes_at_most_a_quarter(wanted: int) -> None:
    assert wanted <= block_rows(wanted) <= wanted * 5 / 4


@given(sizes=st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=80))
def test_blocks_never_overlap_and_all_of_a_chunk_can_be_taken_again(sizes: list[tuple[int, bool]]) -> None:
    slab = Slab(DIM)
    taken: list[Block] = []
    for size, frees in sizes:
        if frees and taken:
            slab.give_back(taken.pop(size % len(taken)))
        else:
            taken.append(slab.take(size))
        rows = [(b.chunk, row) for b in taken for row in range(b.start, b.start + b.rows)]
        assert len(rows) == len(set(rows))
    for block in taken:
        slab.give_back(block)
    assert slab.take(4_096) == Block(0, 0, 4_096)


def test_a_table_may_outgrow_a_chunk_with_others_beside_it() -> None:
    tables, small, large = Tables(DIM), Table(), Table()
    vector = QueryVector.of(random_vectors(1, 1)[0])
    tables.add(small, 0, vector)
    for row in range(1, 9_000):
        tables.add(large, row, vector)
    assert len(large) == 8_999


def test_tables_that_grow_in_turn_waste_little() -> None:
    """Each growth frees blocks that are too small for the next: neighbours have to join."""
    tables, places = Tables(DIM), [Table() for _ in range(3_000)]
    vector = QueryVector.of(random_vectors(1, 1)[0])
    for number in range(5):
        for which, place in enumerate(places):
            tables.add(place, number * len(places) + which, vector)
    assert tables.slab.rows <= 5 * len(places) * 1.5 + 4_096


@settings(deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.integers(0, 10_000)), max_size=60),
    ann_after=st.integers(0, 80),
)
def test_several_tables_find_what_an_exact_search_finds(steps: list[tuple[int, bool, int]], ann_after: int) -> None:
    """Adding and removing in any order, one slab for three tables, each an HNSW from some moment on."""
    tables, places = Tables(DIM), [Table() for _ in range(3)]
    kept: list[dict[int, Ints]] = [{}, {}, {}]
    free: list[int] = []
    used = 0
    for number, (which, adds, seed) in enumerate(steps):
        if number == ann_after:
            tables.become_ann(places[0], 64)
        if adds or not kept[which]:
            if free:
                row = free.pop()
            else:
                row, used = used, used + 1
            vector = random_vectors(1, seed)[0]
            tables.add(places[which], row, QueryVector.of(vector))
            kept[which][row] = vector
        else:
            row = sorted(kept[which])[seed % len(kept[which])]
            tables.remove(places[which], row)
            del kept[which][row]
            free.append(row)
        query = random_vectors(1, seed + 1)[0]
        for place, rows in zip(places, kept, strict=True):
            assert len(place) == len(rows)
            assert ranked(tables, place, query, 4, 0.2) == by_hand(rows, query, 4, 0.2)


def test_a_table_that_becomes_an_hnsw_loses_nothing_on_the_way() -> None:
    tables, table = Tables(DIM), Table()
    vectors = random_vectors(400, 1)
    for row, vector in enumerate(vectors):
        if row == 100:
            tables.become_ann(table, 64)
        tables.add(table, row, QueryVector.of(vector))
        assert ranked(tables, table, vector, 1, 0.99)[0] == (1.0, row)
    assert table.block is None
    for row in range(0, 400, 2):
        tables.remove(table, row)
    kept = {row: vectors[row] for row in range(1, 400, 2)}
    for query in random_vectors(20, 2):
        assert ranked(tables, table, query, 3, 0.0) == by_hand(kept, query, 3, 0.0)


def test_room_of_removed_vectors_in_an_hnsw_is_used_again() -> None:
    tables, table = Tables(DIM), Table()
    tables.become_ann(table, 64)
    vectors = random_vectors(600, 3)
    for row, vector in enumerate(vectors):
        tables.add(table, row, QueryVector.of(vector))
        if row >= 50:
            tables.remove(table, row - 50)
    assert len(table) == 50
    kept = {row: vectors[row] for row in range(550, 600)}
    hits = [ranked(tables, table, vector, 1, 0.99) == [(1.0, row)] for row, vector in kept.items()]
    assert all(hits)


def test_an_empty_hnsw_finds_nothing() -> None:
    tables, table = Tables(DIM), Table()
    tables.become_ann(table, 64)
    assert tables.search(table, QueryVector.of(random_vectors(1, 1)[0]), 3, 0.0, 64) == []
