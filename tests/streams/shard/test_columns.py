"""The columns of a shard's store, as one table."""

from __future__ import annotations

from typing import Any

import pytest

from refrain.schemas import documents
from refrain.schemas.base import Message
from refrain.streams.errors import ShardBroken
from refrain.streams.shard.columns import COLUMNS, META_KEY, Column
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
        with pytest.raises(ShardBroken, match=rf"{column.name}/x.*never deleted"):
            new_shard().apply([column.delete("x")])
