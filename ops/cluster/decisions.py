"""Finds decisions in `decisions`: by id, or by what a response says of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from itertools import islice

from pydantic import Field, ValidationError

from refrain.schemas.base import Part
from refrain.schemas.decisions import Decision
from refrain.streams.errors import WrongSetup, WrongValue
from refrain.streams.govern.decision_search import JOURNAL, DecisionSearch, SoughtDecision
from refrain.streams.govern.decision_seek import TOPIC
from refrain.streams.govern.id_scan import CHUNKS, Chunks
from refrain.streams.kafka.interface import Cluster, Record
from refrain.streams.messaging.ids import decision_tag, parse_request_id

REQUESTS = "requests"
"""The request topic of the table; those of tenants have names of their own."""
CLOCKS_MS = 5_000
"""How far the clocks of workers, which stamp decisions, and of brokers may be apart."""
SOON_MS = 60_000
"""How long after its request a decision is looked for there; one that came later is found by the scan."""
NEAR_RECORDS = 200_000
"""Records of all partitions that are looked at there."""
LOOK_S = 0.02
"""How long a search rests between two steps while the decision may still be on its way."""


class _Told(Part):
    """What a decision says of itself, in a response or in `decisions`."""

    id: str = Field(min_length=1)
    partition: int | None = None
    offset: int | None = None


class _Response(Part):
    decision: _Told


class _Reply(Part):
    """What `refrain ask --json` prints."""

    response: _Response


def sought_in(text: str) -> SoughtDecision:
    """The decision that a text names: its id, or the JSON of its response, of its record, or of `refrain ask --json`.

    Raises WrongValue for JSON that names none.
    """
    text = text.strip()
    if not text.startswith("{"):
        return SoughtDecision(text)
    told = _told_in(text)
    if told is None:
        raise WrongValue("the JSON names no decision: give that of a response or of a record of `decisions`")
    return SoughtDecision(told.id, told.partition, told.offset)


def find_decision(
    cluster: Cluster,
    sought: SoughtDecision,
    now_ms: Callable[[], int],
    requests: str = REQUESTS,
    chunks: Chunks = CHUNKS,
) -> Decision | None:
    """Find a decision, None when there is none: near its request in time, else by the search of govern.

    An id tells the time of its request as far as that is in the topic `requests` of this incarnation and may be read.
    `chunks` bound that search where the decision's place is not known. Waits a moment for one that was answered and is
    not recorded yet. Raises ClusterFailed or WrongSetup.
    """
    if sought.partition is None or sought.offset is None:
        near = _near_its_request(cluster, sought.id, requests)
        if near is not None:
            return near
    with closing(DecisionSearch(cluster, sought, now_ms, chunks)) as search:
        while not search.search_chunk():
            time.sleep(LOOK_S)
        return search.found


def _near_its_request(cluster: Cluster, id_: str, requests: str) -> Decision | None:
    """The decision of an id among those that were recorded when its request, which the id names, came, and soon after.

    None as well where it is not known when that was.
    """
    asked_ms = _asked_at_ms(cluster, id_, requests)
    if asked_ms is None:
        return None
    starts = cluster.offsets_at(TOPIC, asked_ms - CLOCKS_MS)
    share = NEAR_RECORDS // len(starts)
    for partition, start in starts.items():
        for record in islice(cluster.scan(TOPIC, partition, start), share):
            if record.key == id_.encode():
                return decision_of(record)
            if record.timestamp_ms > asked_ms + SOON_MS:
                break
    return None


def _asked_at_ms(cluster: Cluster, id_: str, requests: str) -> int | None:
    """When the request of a decision came, by the broker's stamp; None where that is not known."""
    place = parse_request_id(id_)
    if place is None:
        return None
    try:
        if place.partition >= cluster.partitions(requests):
            return None
        tag = decision_tag(cluster.topic_id(requests), cluster.topic_id(JOURNAL))
    except WrongSetup:
        # Missing, or not for this user to see: the scan does without.
        return None
    if place.tag != tag:
        return None
    with closing(cluster.reader(requests)) as reader:
        found = reader.read(place.partition, place.offset, 1)
    return found[0].timestamp_ms if found and found[0].offset == place.offset else None


def decision_of(record: Record) -> Decision | None:
    """The decision in a record; None when the record is not one."""
    try:
        return Decision.decode(record.value or b"")
    except ValidationError:
        return None


def _told_in(text: str) -> _Told | None:
    for read in (_of_reply, _of_response, _Told.model_validate_json):
        try:
            return read(text)
        except ValidationError:
            continue
    return None


def _of_reply(text: str) -> _Told:
    return _Reply.model_validate_json(text).response.decision


def _of_response(text: str) -> _Told:
    return _Response.model_validate_json(text).decision
