"""Who wants to hear of a request's progress, and what is refused for it."""

from __future__ import annotations

import base64

import pytest

from refrain.schemas.base import Header, Reply
from refrain.schemas.progress import ProgressPlace
from refrain.schemas.responses import DecisionSummary, Outcome
from refrain.streams.errors import Refusal, RefusalCode
from refrain.streams.messaging.progress import HEADER, ID_HEADER, check_progress, decided, place_of, progress_header

PLACE = ProgressPlace(partition=3, id="me-1")


def reply(value: bytes | None) -> Reply:
    coded = None if value is None else base64.b64encode(value).decode()
    return Reply(topic="responses", headers=(Header(name=HEADER, value=coded),))


def test_a_requester_is_told_at_its_place_by_its_id() -> None:
    name, value = progress_header(PLACE)
    assert (name, place_of(reply(value))) == (HEADER, PLACE)
    (record,) = decided(reply(value), Outcome.MISS, DecisionSummary(id="d", reason="below_threshold"))
    assert (record.topic, record.partition, record.headers) == ("progress", 3, ((ID_HEADER, b"me-1"),))
    assert decided(Reply(topic="responses"), Outcome.MISS, DecisionSummary(id="d", reason="expired")) == []


@pytest.mark.parametrize("value", [None, b"", b"3", b"3/", b"/me", b"-1/me", b"3/a b", b"3/me\n", b"3/" + b"x" * 65])
def test_what_is_no_place_is_refused_at_the_entrance_and_told_nothing(value: bytes | None) -> None:
    with pytest.raises(Refusal) as refused:
        check_progress(((HEADER, value),), 8)
    assert refused.value.code is RefusalCode.BAD_REPLY_TO
    assert place_of(reply(value)) is None


def test_a_partition_that_is_not_there_and_a_second_header_are_refused() -> None:
    check_progress((), 8)
    check_progress(((HEADER, b"7/me"),), 8)
    for headers in (((HEADER, b"8/me"),), ((HEADER, b"1/me"), (HEADER, b"1/me"))):
        with pytest.raises(Refusal):
            check_progress(headers, 8)
