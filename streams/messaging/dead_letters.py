"""Dead letters: messages that cannot be processed, as they came, with their source and the reason in headers."""

from __future__ import annotations

import logging

from refrain.schemas.dead_letters import (
    HEADER_OFFSET,
    HEADER_PARTITION,
    HEADER_PROCESSOR,
    HEADER_REASON,
    HEADER_TOPIC,
    HEADERS,
)
from refrain.streams.errors import Refusal
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.metrics import Metrics

logger = logging.getLogger(__name__)

TOPIC = "dead-letters"
REASON_CHARS_MAX = 2_000
ORIGINAL_BYTES_MAX = 2_000_000


def dead_letter(record: Record, refusal: Refusal, processor: str, *, with_text: bool = True) -> Outgoing:
    """Dead-letter a record, for `dead-letters`. Without `with_text` (never traffic) value and headers stay out."""
    value = record.value if with_text else None
    if value is not None and len(value) > ORIGINAL_BYTES_MAX:
        value = value[:ORIGINAL_BYTES_MAX]
    kept = tuple(pair for pair in record.headers if pair[0] not in HEADERS) if with_text else ()
    about = (
        (HEADER_TOPIC, record.topic),
        (HEADER_PARTITION, str(record.partition)),
        (HEADER_OFFSET, str(record.offset)),
        (HEADER_PROCESSOR, processor),
        (HEADER_REASON, str(refusal)[:REASON_CHARS_MAX]),
    )
    return Outgoing(
        TOPIC,
        record.key if with_text else None,
        value,
        kept + tuple((name, text.encode("utf-8", "replace")) for name, text in about),
    )


def reject(record: Record, refusal: Refusal, processor: str, metrics: Metrics, *, with_text: bool = True) -> Outgoing:
    """Reject a record: dead-letter it, count it and log it; the log has the reason's code, the letter all of it."""
    logger.warning("%s[%d]@%d: %s", record.topic, record.partition, record.offset, refusal.code.value)
    metrics.refused.labels(processor, refusal.code.value).inc()
    return dead_letter(record, refusal, processor, with_text=with_text)
