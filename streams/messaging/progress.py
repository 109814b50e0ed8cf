"""Progress of requests: who wants to be told of it, and the records that tell.

refrain-progress    PARTITION/ID    a partition of `progress`, and the id that its records there carry
"""

from __future__ import annotations

import base64
import re
from typing import Any

from refrain.schemas.base import Reply
from refrain.schemas.progress import Progress, ProgressPlace
from refrain.schemas.responses import DecisionSummary, Outcome
from refrain.streams.errors import Refusal, RefusalCode
from refrain.streams.kafka.interface import Headers, Outgoing

TOPIC = "progress"
HEADER = "refrain-progress"
ID_HEADER = "refrain-progress-id"
_FORM = re.compile(rb"([0-9]{1,6})/([A-Za-z0-9_-]{1,64})")


def progress_header(place: ProgressPlace) -> tuple[str, bytes]:
    """The header of a request whose sender wants to be told there."""
    return HEADER, f"{place.partition}/{place.id}".encode()


def check_progress(headers: Headers, partitions: int) -> None:
    """Check where the sender of a request with these headers wants to be told. Raises Refusal(BAD_REPLY_TO).

    `partitions` is how many `progress` has.
    """
    said = [value for name, value in headers if name == HEADER]
    if not said:
        return
    place = _place(said[0])
    if len(said) > 1 or place is None:
        raise Refusal(RefusalCode.BAD_REPLY_TO, f"the header {HEADER} is PARTITION/ID, once")
    if place.partition >= partitions:
        raise Refusal(RefusalCode.BAD_REPLY_TO, f"{HEADER} names no partition of the topic, which has {partitions}")


def place_of(reply: Reply) -> ProgressPlace | None:
    """The same, of a request whose reply this is."""
    coded = next((header.value for header in reply.headers if header.name == HEADER), None)
    try:
        return None if coded is None else _place(base64.b64decode(coded, validate=True))
    except ValueError:
        return None


def decided(reply: Reply, outcome: Outcome, decision: DecisionSummary) -> list[Outgoing]:
    """What tells a requester that it waits for a model; nothing for one who does not want to know."""
    place = place_of(reply)
    return [] if place is None else [_record(place, Progress(outcome=outcome, decision=decision))]


def piece(place: ProgressPlace, attempt: int, chunk: dict[str, Any]) -> Outgoing:
    """What brings a requester a piece of the answer, of the try with this number."""
    return _record(place, Progress(attempt=attempt, chunk=chunk))


def _record(place: ProgressPlace, progress: Progress) -> Outgoing:
    return Outgoing(TOPIC, None, progress.encode(), ((ID_HEADER, place.id.encode()),), place.partition)


def _place(value: bytes | None) -> ProgressPlace | None:
    form = None if value is None else _FORM.fullmatch(value)
    return None if form is None else ProgressPlace(partition=int(form[1]), id=form[2].decode("ascii"))
