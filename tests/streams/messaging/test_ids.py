"""Ids that are made of parts are read as they were written, whatever a topic id holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.streams.messaging.ids import (
    TAG_CHARS,
    RequestId,
    TopicPartitionKey,
    ban_id,
    column_id,
    decision_id,
    decision_tag,
    parse_ban_id,
    parse_column_id,
    parse_entry_id,
    parse_quota_id,
    parse_request_id,
    parse_topic_partition_key,
    quota_id,
    topic_partition_key,
    wire_id,
)
from refrain.streams.messaging.routes import ShardRoute, decode_route, encode_route
from tests.unruly_ids import UNRULY_IDS, topic_ids

NUMBERS = st.integers(0, 10**18 - 1)
PARTITIONS = st.integers(0, 10_000)
NAMES = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)
DIGESTS = st.text("0123456789abcdef", min_size=1, max_size=32)


@given(PARTITIONS, NUMBERS, topic_ids())
def test_an_entry_id_tells_where_its_entry_was_admitted(partition: int, number: int, incarnation: str) -> None:
    place = parse_entry_id(wire_id(partition, number, incarnation))
    assert place is not None
    assert (place.partition, place.offset, place.tag) == (partition, number, incarnation[:TAG_CHARS])
    assert place.is_of(incarnation)


@given(PARTITIONS, NUMBERS, topic_ids(), topic_ids())
def test_the_id_of_a_decision_tells_where_it_was_asked(p: int, offset: int, requests: str, journal: str) -> None:
    tag = decision_tag(requests, journal)
    assert parse_request_id(decision_id(p, offset, tag)) == RequestId(p, offset, tag)


@given(topic_ids(), PARTITIONS)
def test_a_topic_place_tells_topic_and_partition(topic_id: str, partition: int) -> None:
    assert parse_topic_partition_key(topic_partition_key(topic_id, partition)) == TopicPartitionKey(topic_id, partition)


@given(NUMBERS, st.none() | NAMES)
def test_a_column_id_tells_its_number_and_its_suffix(number: int, suffix: str | None) -> None:
    assert parse_column_id(column_id(number, suffix)) == (number, suffix)


@given(NUMBERS, NUMBERS)
def test_column_ids_sort_as_their_numbers(a: int, b: int) -> None:
    assert (column_id(a) < column_id(b)) == (a < b)


@given(DIGESTS, DIGESTS)
def test_a_ban_id_tells_namespace_and_answer(namespace: str, answer: str) -> None:
    assert parse_ban_id(ban_id(namespace, answer)) == (namespace, answer)


@given(NAMES, NAMES)
def test_a_room_id_tells_tenant_and_category(tenant: str, category: str) -> None:
    assert parse_quota_id(quota_id(tenant, category)) == (tenant, category)


@given(PARTITIONS, NUMBERS, topic_ids())
def test_a_route_comes_back_as_it_went_out(partition: int, offset: int, incarnation: str) -> None:
    forward_id = decision_id(partition, offset, decision_tag(incarnation, incarnation))
    route = ShardRoute(forward_id=forward_id, incarnation=incarnation, partition=partition)
    assert decode_route(encode_route(route), forward_id) == route


@pytest.mark.parametrize("incarnation", UNRULY_IDS)
def test_entry_ids_of_unruly_journals_are_read(incarnation: str) -> None:
    place = parse_entry_id(wire_id(3, 17, incarnation))
    assert place is not None
    assert (place.partition, place.offset) == (3, 17)
    assert place.is_of(incarnation)
    assert not place.is_of("x" + incarnation)


@pytest.mark.parametrize("text", ["", "1-2", "1-2-", "a-2-x", "-1-2-x", "1--2-x", "٣-2-x", "1-٣-x"])
def test_other_texts_are_no_ids(text: str) -> None:
    assert parse_entry_id(text) is None
    assert parse_request_id(text) is None


@pytest.mark.parametrize("text", ["", "control", "/1", "x/", "x/-1", "x/1/", "x/٣"])
def test_other_texts_are_no_topic_places(text: str) -> None:
    assert parse_topic_partition_key(text) is None


@pytest.mark.parametrize("text", ["", "7", "7.x", ".x", "x" * 20, "٣" * 20])
def test_other_texts_are_no_column_ids(text: str) -> None:
    with pytest.raises(ValueError, match="20 digits"):
        parse_column_id(text)


def test_other_texts_are_no_ban_or_room_ids() -> None:
    with pytest.raises(ValueError, match="no dot"):
        parse_ban_id("0011")
    for text in ("acme", "acme/code/more"):
        with pytest.raises(ValueError, match="TENANT/CATEGORY"):
            parse_quota_id(text)
