"""`dead-letters`: records that were refused, as they came. Value, key and headers are the original's."""

from __future__ import annotations

HEADER_TOPIC = "refrain.dead.topic"
HEADER_PARTITION = "refrain.dead.partition"
HEADER_OFFSET = "refrain.dead.offset"
HEADER_REASON = "refrain.dead.reason"
"""A code of `Refusal`, a colon, and what is wrong."""
HEADER_PROCESSOR = "refrain.dead.processor"
HEADERS = (HEADER_TOPIC, HEADER_PARTITION, HEADER_OFFSET, HEADER_REASON, HEADER_PROCESSOR)
