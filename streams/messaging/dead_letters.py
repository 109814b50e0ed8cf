"""Dead letters: messages that cannot be processed, as they came, with their source and the reason in headers.

A letter can always be sent: what would be too large leaves out its headers, then key and value, and keeps a digest.
"""

from __future__ import annotations

import hashlib
import logging
from typing import NamedTuple

from refrain.schemas.dead_letters import (
    HEADER_ID,
    HEADER_LEFT_OUT,
    HEADER_OFFSET,
    HEADER_PARTITION,
    HEADER_PROCESSOR,
    HEADER_REASON,
    HEADER_TOPIC,
    HEADERS,
)
from refrain.streams.errors import Refusal
from refrain.streams.kafka.interface import Headers, Outgoing, Record, headers_bytes
from refrain.streams.messaging.validation import refused_fields
from refrain.streams.metrics import Metrics

logger = logging.getLogger(__name__)

TOPIC = "dead-letters"
REASON_CHARS_MAX = 2_000
LETTER_BYTES_MAX = 2_000_000
"""The largest letter with its headers: below what `dead-letters` takes, and any producer."""
ORIGINAL_HEADERS_MAX = 1_000
"""Headers of an original that a letter carries: many small ones take long to write and to read."""
DIGESTED_BYTES_MAX = 1_000_000
"""Bytes from the start of a value that is left out which its digest is made of: a letter costs no more than that."""
_RESERVED = frozenset((*HEADERS, HEADER_LEFT_OUT))


class _Original(NamedTuple):
    """What a letter keeps of the record."""

    key: bytes | None = None
    value: bytes | None = None
    headers: Headers = ()
    left_out: str | None = None


def dead_letter(
    record: Record, refusal: Refusal, processor: str, *, with_text: bool = True, bytes_max: int = LETTER_BYTES_MAX
) -> Outgoing:
    """Dead-letter a record, for `dead-letters`: at most `bytes_max` large, its own headers not counted.

    Without `with_text` (never traffic) nothing of the original is in it, no digest either.
    """
    about = {
        HEADER_TOPIC: record.topic,
        HEADER_PARTITION: str(record.partition),
        HEADER_OFFSET: str(record.offset),
        HEADER_PROCESSOR: processor,
        HEADER_REASON: str(refusal)[:REASON_CHARS_MAX],
        HEADER_ID: _id_of(record, refusal, processor),
    }
    original = _kept(record, bytes_max) if with_text else _Original()
    if original.left_out is not None:
        about[HEADER_LEFT_OUT] = original.left_out
    headers = original.headers + tuple((name, text.encode("utf-8", "replace")) for name, text in about.items())
    return Outgoing(TOPIC, original.key, original.value, headers)


def reject(record: Record, refusal: Refusal, processor: str, metrics: Metrics, *, with_text: bool = True) -> Outgoing:
    """Reject a record: dead-letter it, count it and log it."""
    note(record, refusal, processor, metrics)
    return dead_letter(record, refusal, processor, with_text=with_text)


def note(record: Record, refusal: Refusal, processor: str, metrics: Metrics) -> None:
    """Count and log that a record was refused, by its place, the code and the fields: the reason may quote."""
    code, names = refusal.code.value, refused_fields(refusal)
    told = {"topic": record.topic, "partition": record.partition, "offset": record.offset, "code": code}
    logger.warning(
        "%s[%d]@%d refused: %s%s", *told.values(), f" ({', '.join(names)})" if names else "",
        extra={"fields": {**told, "refused_fields": names}},
    )  # fmt: skip
    metrics.refused.labels(processor, code).inc()


def _id_of(record: Record, refusal: Refusal, processor: str) -> str:
    """Whatever worker refuses the record gives its letter this id; by its stamp it is not one of another topic of that
    name. No text is in it: it may be of never traffic."""
    place = f"{record.topic}/{record.partition}/{record.offset}/{record.timestamp_ms}"
    return hashlib.blake2b(f"{place}/{processor}/{refusal.code.value}".encode(), digest_size=16).hexdigest()


def _kept(record: Record, bytes_max: int) -> _Original:
    """As much of the record as a letter of that size may hold."""
    key, value = record.key, record.value
    headers = tuple(pair for pair in record.headers if pair[0] not in _RESERVED)
    text_bytes = len(key or b"") + len(value or b"")
    if text_bytes > bytes_max:
        return _Original(left_out=f"headers, key, value; {_digest(record)}")
    if len(headers) > ORIGINAL_HEADERS_MAX or text_bytes + headers_bytes(headers) > bytes_max:
        return _Original(key, value, left_out=f"headers; {len(headers)} of {headers_bytes(headers)} bytes")
    return _Original(key, value, headers, "headers; unreadable names" if record.headers_unreadable else None)


def _digest(record: Record) -> str:
    """Sizes of what is left out, and a digest by which whoever has the original can tell it."""
    value = record.value or b""
    head = hashlib.sha256(value[:DIGESTED_BYTES_MAX]).hexdigest()
    part = "" if len(value) <= DIGESTED_BYTES_MAX else f" of the first {DIGESTED_BYTES_MAX}"
    return f"key {len(record.key or b'')} bytes, value {len(value)} bytes, sha256{part} {head}"


def refused_as(record: Outgoing) -> str | None:
    """The code of what a dead letter was refused for; None for a record that is no dead letter."""
    if record.topic != TOPIC:
        return None
    # The last one: an original may have had headers of this name.
    reasons = [value or b"" for name, value in record.headers if name == HEADER_REASON]
    return reasons[-1].decode("utf-8", "replace").partition(":")[0] if reasons else ""
