"""What an invalidation would take, told from `documents`."""

from __future__ import annotations

from typing import Any

import numpy as np

from refrain.ops.control.matching import MatchingEntry, matching, rule_of
from refrain.schemas.base import Near, Sealed, Source
from refrain.schemas.control import Invalidate
from refrain.schemas.documents import Entry
from refrain.streams.kafka.interface import Record
from refrain.streams.messaging.ids import wire_id
from refrain.streams.shard.columns import ENTRIES, entry_id
from refrain.streams.vectors import encode, quantise

JOURNAL = "--_9-_id-"
NOW = 10_000


def entry(number: int, **fields: Any) -> Entry:
    plain = {
        "tenant": "acme", "space": "acme", "category": "code", "model": "m", "embedder": "e", "context": "00",
        "text_digest": "00", "vector": None, "question": Sealed(data="q"), "answer": Sealed(data="{}"),
        "admitted_at_ms": 1_000,
    }  # fmt: skip
    return Entry(id=number, **{**plain, **fields})


def documents(*rows: tuple[int, int, Entry | None]) -> list[Record]:
    """Records of (partition, number, entry or its deletion)."""
    return [
        Record("documents", p, at, 0, ENTRIES.key(entry_id(number)), None if kept is None else kept.encode())
        for at, (p, number, kept) in enumerate(rows)
    ]


def found(rows: list[Record], **fields: Any) -> list[str]:
    rule = rule_of(Invalidate(who="ana", **fields), NOW)
    return [each.id for each in matching(rows, rule, JOURNAL)]


ROWS = documents(
    (0, 1, entry(1, tags=("a", "b"), sources=(Source(id="doc", version="1"),))),
    (0, 2, entry(2, tenant="other", admitted_at_ms=9_000, sources=(Source(id="doc", version="2"),))),
    (1, 1, entry(1, category="chat", model="n", vector=encode(quantise(np.array([1.0, 0.0]))))),
)
IDS = [wire_id(0, 1, JOURNAL), wire_id(0, 2, JOURNAL), wire_id(1, 1, JOURNAL)]


def test_everything_is_everything() -> None:
    assert found(ROWS, all=True) == IDS
    assert matching(ROWS, rule_of(Invalidate(who="ana", all=True), NOW), JOURNAL)[0] == MatchingEntry(
        IDS[0], "acme", "code"
    )


def test_selectors_narrow_together() -> None:
    assert found(ROWS, tag="a") == IDS[:1]
    assert found(ROWS, tenant="acme") == [IDS[0], IDS[2]]
    assert found(ROWS, tenant="acme", category="chat") == IDS[2:]
    assert found(ROWS, tenant="other", category="chat") == []
    assert found(ROWS, entry_id=IDS[1]) == IDS[1:2]
    assert found(ROWS, model="n") == IDS[2:]
    assert found(ROWS, source_id="doc", keep_version="2") == IDS[:1]


def test_age_and_moment_cut_off() -> None:
    assert found(ROWS, older_than_ms=5_000) == [IDS[0], IDS[2]]
    assert found(ROWS, all=True, before_ms=9_000) == [IDS[0], IDS[2]]
    assert found(ROWS, all=True, before_ms=9_001) == IDS


def test_nearness_compares_vectors_of_the_same_embedder() -> None:
    close = Near(embedder="e", vector=encode(quantise(np.array([0.9, 0.1]))), similarity=0.9)
    assert found(ROWS, near=close) == IDS[2:]
    assert found(ROWS, near=close.model_copy(update={"embedder": "f"})) == []


def test_what_was_deleted_is_not_there_nor_is_what_is_no_entry() -> None:
    gone = documents((0, 1, entry(1)), (1, 1, entry(1)), (0, 1, None), (0, 7, None))
    other = [Record("documents", 0, 9, 0, b"stats/1", b"{}"), Record("documents", 0, 10, 0, b"entries/9", b"junk")]
    assert found(gone + other, all=True) == [IDS[2]]
