"""The columns of a shard's store, as one table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from refrain.schemas import documents
from refrain.schemas.base import Message, Reply
from refrain.schemas.documents import Judged, Waiting
from refrain.schemas.responses import Outcome
from refrain.schemas.topics import DOCUMENT_BYTES_MAX
from refrain.streams.errors import ChangeTooLarge, ShardBroken
from refrain.streams.shard.columns import COLUMNS, JUDGED, META_KEY, WAITING, Column
from refrain.streams.shard.state import Shard
from tests.streams.shard.journal import new_shard

NEVER_DELETED = {"tables", "policies", "aging", "loads", "banned", "judged", "tallies", "skips"}


def test_every_document_but_meta_is_of_one_column_and_every_column_has_a_document_of_its_own() -> None:
    named = [of for of in vars(documents).values() if isinstance(of, type) and issubclass(of, Message)]
    own = {of for of in named if of.__module__ == documents.__name__} - {documents.Meta}
    assert {column.message for column in COLUMNS} == own
    assert len(COLUMNS) == len(own)


def test_no_two_columns_and_not_meta_have_keys_in_common() -> None:
    names = [column.name for column in COLUMNS]
    assert len({*names, META_KEY.decode().partition("/")[0]}) == len(names) + 1


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_what_is_never_deleted_breaks_the_shard_when_it_is(column: Column[Any]) -> None:
    assert (column.unindex is None) is (column.name in NEVER_DELETED)
    if column.unindex is None:
        with pytest.raises(ShardBroken, match=rf"{column.name}/x: ValueError in apply") as broken:
            new_shard().apply([column.delete("x")])
        assert "never deleted" in str(broken.value.__cause__)


def test_what_breaks_a_shard_is_told_without_what_the_error_quotes() -> None:
    def index(shard: Shard, id_: str, message: Judged) -> None:
        raise KeyError("what somebody asked")

    column = replace(JUDGED, index=index)
    with pytest.raises(ShardBroken) as broken:
        new_shard().apply([column.put("c", Judged(recent="1"))])
    assert "asked" not in str(broken.value)
    assert "judged/c: KeyError in index" in str(broken.value)


def test_nothing_is_changed_when_one_of_several_changes_is_too_large_for_documents() -> None:
    shard = new_shard()
    large = Waiting(
        id="w", forward_id="f", tenant="t", category="c", outcome=Outcome.MISS, decision="{}",
        reply=Reply(topic="responses"), deadline_at_ms=1, offset=1, asked="x" * DOCUMENT_BYTES_MAX,
    )  # fmt: skip
    with pytest.raises(ChangeTooLarge, match="waiting takes 2000"):
        shard.apply([JUDGED.put("c", Judged(recent="1")), WAITING.put("w", large)])
    assert (shard.judged, shard.overlay.uncommitted, shard.overlay.size) == ({}, {}, 0)
