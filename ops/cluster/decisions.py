"""Finds decisions in `decisions`: by their place in the journal, by id, or by what a response says of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing

from pydantic import Field, ValidationError

from refrain.schemas.base import Part
from refrain.schemas.decisions import Decision
from refrain.streams.errors import BadInput
from refrain.streams.govern.decision_search import JOURNAL, DecisionSearch, SoughtDecision
from refrain.streams.govern.decision_seek import TOPIC, DecisionSeek, JournalPlace
from refrain.streams.kafka.interface import Cluster, Record

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

    Raises BadInput for JSON that names none.
    """
    text = text.strip()
    if not text.startswith("{"):
        return SoughtDecision(text)
    told = _told_in(text)
    if told is None:
        raise BadInput("the JSON names no decision: give that of a response or of a record of `decisions`")
    return SoughtDecision(told.id, told.partition, told.offset)


def find_decision(cluster: Cluster, sought: SoughtDecision, now_ms: Callable[[], int]) -> Decision | None:
    """Find a decision, None when there is none: by the search of govern, with the same result.

    Waits a moment for one that was answered and is not recorded yet. Raises ClusterFailed or WrongSetup.
    """
    with closing(DecisionSearch(cluster, sought, now_ms)) as search:
        while not search.search_chunk():
            time.sleep(LOOK_S)
        return search.found


def decisions_at(cluster: Cluster, partition: int, offset: int) -> list[Decision]:
    """The decisions that a journal record brought about, in their order; mostly one, many where a tick ended waits.

    Raises ClusterFailed or WrongSetup.
    """
    ends = cluster.ends(TOPIC)
    if partition not in ends:
        return []
    place = JournalPlace(cluster.topic_id(JOURNAL), partition, offset)
    with closing(DecisionSeek(cluster, place, ends[partition][0])) as seek:
        return [decision for record in seek.records() if (decision := decision_of(record)) is not None]


def decision_of(record: Record) -> Decision | None:
    """The decision in a record; None for what is none."""
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
