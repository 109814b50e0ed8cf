"""The lines of `refrain watch`."""

from __future__ import annotations

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, Message

from refrain.ops.observe.watch import RecordFilter, record_line
from refrain.schemas.observations import Comparison, NotCompared

ALL = RecordFilter()


def message(value: bytes) -> Message:
    """A record as the Kafka client gives it."""
    return Message(partition=3, offset=17, value=value, timestamp=(TIMESTAMP_CREATE_TIME, 1_700_000_000_000))


def comparison(similarity: float | None, *, equal: bool = False, why: NotCompared | None = None) -> Comparison:
    return Comparison(
        decision_id="3-17-tag",
        tenant="acme",
        category="code",
        model="m",
        entry_id="0-4-x",
        time_ms=1,
        equal=equal,
        similarity=similarity,
        not_compared=why,
    )


def line(one: Comparison, wanted: RecordFilter = ALL, as_json: bool = False) -> str | None:
    return record_line("comparisons", message(one.encode()), wanted, as_json)


def test_a_comparison_says_how_near_the_answers_are_or_why_that_is_not_known() -> None:
    cells = (line(comparison(0.91)) or "").split()
    assert cells[1:] == ["other", "acme", "code", "0.9100", "m", "3-17-tag"]
    assert (line(comparison(1.0, equal=True)) or "").split()[1] == "equal"
    assert (line(comparison(None, why=NotCompared.GONE)) or "").split()[4] == "gone"


@pytest.mark.parametrize(
    ("wanted", "takes"),
    [
        (RecordFilter(outcome="other", tenant="acme", category="code"), True),
        (RecordFilter(outcome="equal"), False),
        (RecordFilter(category="chat"), False),
    ],
)
def test_comparisons_are_chosen_like_decisions(wanted: RecordFilter, takes: bool) -> None:
    assert (line(comparison(0.5), wanted) is not None) is takes


def test_as_json_a_record_is_as_it_came() -> None:
    one = comparison(0.5)
    assert line(one, as_json=True) == one.encode().decode()
    junk = message(b"junk")
    assert record_line("comparisons", junk, ALL, True) is None
    assert "unreadable record 3-17" in (record_line("comparisons", junk, ALL, False) or "")
