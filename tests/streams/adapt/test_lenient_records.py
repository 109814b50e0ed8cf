"""Faust's consumer reads what an outsider wrote, whatever names its headers have and however it is compressed."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch

from refrain.streams.adapt.lenient_records import UNREADABLE, Flaw, LenientRecords, read_leniently
from tests.streams.kafka.odd_batches import REFUSED, TAKEN
from tests.streams.kafka.raw_records import NOW_MS, Raw, batch_of, odd_batch, varint

CODECS = [0, DefaultRecordBatch.CODEC_GZIP, DefaultRecordBatch.CODEC_SNAPPY, DefaultRecordBatch.CODEC_LZ4,
          DefaultRecordBatch.CODEC_ZSTD]  # fmt: skip


def read(data: bytes) -> list[Any]:
    found = LenientRecords(data)
    batches = []
    while found.has_next():
        batch = found.next_batch()
        assert batch.validate_crc()
        batches.append(batch)
    return [record for batch in batches for record in batch]


@pytest.mark.parametrize("codec", CODECS)
def test_a_record_loses_headers_that_cannot_be_read_and_nothing_else(codec: int) -> None:
    raws = [
        Raw(b"a", b"1", [(b"name", b"x"), (b"none", None)]),
        Raw(b"b", b"2", [(b"good", b"x"), (b"\xff\xfe", b"x"), (b"more", None)]),
        Raw(None, None, [(b"\xc3", None)]),
        Raw(b"", b"", []),
    ]
    found = read(batch_of(raws, codec) + batch_of(raws[:2], codec))
    assert [(each.key, each.value) for each in found[:4]] == [(b"a", b"1"), (b"b", b"2"), (None, None), (b"", b"")]
    assert [each.headers for each in found[:4]] == [[("name", b"x"), ("none", None)], [UNREADABLE], [UNREADABLE], []]
    assert [each.offset for each in found] == [0, 1, 2, 3, 0, 1]
    assert {each.timestamp for each in found} == {NOW_MS}


@pytest.mark.parametrize("name", [*TAKEN, *REFUSED])
def test_a_batch_that_cannot_be_read_is_one_record_with_its_flaw(name: str) -> None:
    good = batch_of([Raw(b"k", b"good")])
    before, odd, after = read(good + {**TAKEN, **REFUSED}[name] + good)
    assert before.value == after.value == b"good"
    assert (odd.key, odd.value, odd.timestamp) == (None, None, NOW_MS)
    ((flaw, _),) = odd.headers
    assert isinstance(flaw, Flaw)
    assert "cannot be read" in flaw


@pytest.mark.parametrize("headers", [varint(-1), varint(3), varint(1) + varint(-4), varint(1) + varint(99) + b"x"])
def test_headers_whose_lengths_are_wrong_cost_themselves_alone(headers: bytes) -> None:
    body = b"\x00" + varint(0) + varint(0) + varint(1) + b"k" + varint(1) + b"v" + headers
    (found,) = read(odd_batch(varint(len(body)) + body))
    assert (found.key, found.value, found.headers) == (b"k", b"v", [UNREADABLE])


def test_aiokafkas_consumers_read_leniently_once_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "MemoryRecords", None)
    read_leniently()
    assert fetcher.MemoryRecords is LenientRecords
