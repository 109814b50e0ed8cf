"""What is compared ahead is found as if each question had been compared when it came."""

from __future__ import annotations

import json

import numpy as np
import pytest

from refrain.ops.audit import confirming, scanning
from refrain.ops.audit.confirming import ConfirmingIndex, IndexFindings
from refrain.ops.audit.refold import AHEAD_RECORDS, PartitionFold, in_runs, read_ahead
from refrain.ops.audit.scanning import ScanningTables
from refrain.streams.kafka.interface import Record
from refrain.streams.shard.index.vector_tables import QueryVector, Table, Tables
from refrain.streams.vectors import quantise, similarity
from tests.streams.shard.journal import JOURNAL_ID, Journal, vector

DIM = 8
COUNT = 4


def vectors(count: int, seed: int) -> list[QueryVector]:
    generator = np.random.default_rng(seed)
    return [QueryVector.of(quantise(generator.normal(size=DIM))) for _ in range(count)]


def found(tables: Tables, table: Table, query: QueryVector, floor: float) -> list[tuple[float, int]]:
    rows = tables.search(table, query, COUNT, floor, 64)
    return sorted(((each.similarity, each.row) for each in rows), key=lambda one: (-one[0], one[1]))[:COUNT]


@pytest.mark.parametrize("held", [1, 64, 4_000_000])
@pytest.mark.parametrize("seed", range(6))
def test_tables_that_change_between_the_questions_give_what_others_give(
    seed: int, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "HELD_MAX", held)
    draw = np.random.default_rng(seed)
    ahead, plain = ScanningTables(DIM), Tables(DIM)
    here, there = Table(), Table()
    alive: list[int] = []
    fresh = iter(range(1_000))
    coming = vectors(40, seed)
    stranger = vectors(1, seed + 100)[0]

    def add(query: QueryVector) -> None:
        row = next(fresh)
        ahead.add(here, row, query)
        plain.add(there, row, query)
        alive.append(row)

    def remove() -> None:
        row = alive.pop(int(draw.integers(len(alive))))
        ahead.remove(here, row)
        plain.remove(there, row)

    for query in vectors(30, seed + 1):
        add(query)
    ahead.expect(here, [*coming, coming[3]])
    # Some never come, one comes twice, and one comes that nobody expected.
    for query in [*coming[:20], coming[3], stranger, *coming[25:]]:
        for _ in range(int(draw.integers(3))):
            if len(alive) > 1 and draw.integers(2):
                remove()
            else:
                add(vectors(1, int(draw.integers(10_000)))[0])
        floor = float(draw.choice([-1.0, 0.2, 0.9]))
        assert found(ahead, here, query, floor) == found(plain, there, query, floor)


def test_a_similarity_is_that_of_the_vectors_of_record_or_of_none() -> None:
    tables, table, other = ScanningTables(DIM), Table(), Table()
    queries = vectors(12, 7)
    for row, query in enumerate(queries[:10]):
        tables.add(table if row < 8 else other, row, query)
    tables.remove(table, 2)
    asked = queries[11]
    for row in (0, 1, 3, 7):
        assert tables.similarity(table, row, asked) == similarity(queries[row].ints, asked.ints)
    assert [tables.similarity(table, row, asked) for row in (2, 8, 9, 10, 500)] == [None] * 5
    assert tables.similarity(Table(), 0, asked) is None


def questions() -> Journal:
    """Questions of one namespace whose table grows and, beyond its cap, changes; some with a vector that is none."""
    journal = Journal()
    journal.policy(quota={"cap": 60}, limits={"hnsw_from": 40})
    for number in range(90):
        turned = np.random.default_rng(number).normal(size=DIM)
        asked = journal.ask(f"q{number}", vector(*turned))
        journal.answer(json.loads(asked.value or b"")["id"], f"a{number}")
        if number % 3 == 0:
            journal.ask(f"again {number}", vector(*(turned + 0.1)))
        if number % 20 == 9:
            journal.ask(f"wrong {number}", "AAAA")
            journal.ask(f"no vector {number}", "?")
    return journal


def test_a_fold_that_is_told_what_comes_gives_what_one_gives_that_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirming, "AHEAD_FROM", 8)
    records = questions().records
    told, untold = PartitionFold(0, 1, JOURNAL_ID), PartitionFold(0, 1, JOURNAL_ID)
    outcomes = []
    for record, event in read_ahead(records, told):
        one, other = told.fold(record, event=event), untold.fold(record)
        assert one == other
        outcomes += [decision.outcome.value for decision in one.decisions]
    assert {outcomes.count(each) > 10 for each in ("hit", "miss")} == {True}
    assert outcomes.count("error") > 3
    told.commit()
    untold.commit()
    assert told.digest() == untold.digest()


def test_runs_end_by_number_and_by_size() -> None:
    small = [Record("journal", 0, offset, 0, None, b"x") for offset in range(2 * AHEAD_RECORDS + 7)]
    assert [len(run) for run in in_runs(small)] == [AHEAD_RECORDS, AHEAD_RECORDS, 7]
    large = [record._replace(value=b"x" * 3_000_000) for record in small[:3]]
    assert [len(run) for run in in_runs(large)] == [2, 1]


def test_an_index_that_was_told_nothing_still_answers() -> None:
    index = ConfirmingIndex(IndexFindings())
    assert index.nearest(b"none", vectors(1, 1)[0], COUNT, 0.9, 64) == (None, [])
