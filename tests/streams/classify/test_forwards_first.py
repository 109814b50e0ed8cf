"""Forwards are acknowledged before the journal tells of their requests, whatever is refused or takes long."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from refrain.streams.classify.forwards_first import ForwardsFirst
from refrain.streams.errors import DeliveryExpired, RecordsRefused, RefusedRecord
from refrain.streams.kafka.interface import Outgoing

RECORDS = [
    Outgoing("journal", b"1", b"a"),
    Outgoing("forwards", b"2", b"b"),
    Outgoing("responses", b"3", b"c"),
    Outgoing("forwards", b"4", b"d"),
]


class Calls:
    """A producer that notes its calls, takes so long for each, and refuses some keys."""

    def __init__(self, takes_s: float = 0.0, refuses: Sequence[bytes] = ()) -> None:
        self.calls: list[list[bytes | None]] = []
        self.now_s = 0.0
        self._takes_s = takes_s
        self._refuses = refuses

    def send(self, records: Sequence[Outgoing]) -> None:
        self.calls.append([record.key for record in records])
        self.now_s += self._takes_s
        refused = {at: RefusedRecord("no") for at, record in enumerate(records) if record.key in self._refuses}
        if refused:
            raise RecordsRefused(refused)

    def send_singly(self, records: Sequence[Outgoing]) -> None:
        self.send(records)

    def close(self) -> None:
        self.calls.append([])


def around(calls: Calls, within_s: float = 1.0) -> ForwardsFirst:
    return ForwardsFirst(calls, within_s, elapsed_s=lambda: calls.now_s)


def test_forwards_are_written_before_anything_else() -> None:
    calls = Calls()
    around(calls).send(RECORDS)
    around(calls).send_singly(RECORDS)
    assert calls.calls == [[b"2", b"4"], [b"1", b"3"]] * 2


@pytest.mark.parametrize("records", [RECORDS[:1], RECORDS[1:2], []])
def test_what_needs_no_order_is_one_call(records: list[Outgoing]) -> None:
    calls = Calls()
    around(calls).send(records)
    assert calls.calls == [[record.key for record in records]]


def test_what_is_refused_is_named_by_its_place_among_all() -> None:
    calls = Calls(refuses=[b"4", b"1"])
    with pytest.raises(RecordsRefused) as raised:
        around(calls).send(RECORDS)
    assert sorted(raised.value.refused) == [0, 3]
    assert len(calls.calls) == 2


def test_after_forwards_that_took_too_long_nothing_else_is_sent() -> None:
    calls = Calls(takes_s=1.5)
    with pytest.raises(DeliveryExpired):
        around(calls).send(RECORDS)
    assert calls.calls == [[b"2", b"4"]]
