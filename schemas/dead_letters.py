"""`dead-letters`: records that were refused, as they came. Value, key and headers are the original's.

Where that would be too large, headers are left out first, then key and value, and `HEADER_LEFT_OUT` says what was.
"""

from __future__ import annotations

HEADER_TOPIC = "refrain.dead.topic"
HEADER_PARTITION = "refrain.dead.partition"
HEADER_OFFSET = "refrain.dead.offset"
HEADER_REASON = "refrain.dead.reason"
"""A code of `Refusal`, a colon, and what is wrong."""
HEADER_PROCESSOR = "refrain.dead.processor"
HEADERS = (HEADER_TOPIC, HEADER_PARTITION, HEADER_OFFSET, HEADER_REASON, HEADER_PROCESSOR)
"""The headers that every dead letter has."""
HEADER_LEFT_OUT = "refrain.dead.left_out"
"""What of the original was too large or unreadable: `headers`, or `headers, key, value` with size and digest."""
