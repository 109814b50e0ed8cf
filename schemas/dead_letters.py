"""`dead-letters`: records that were refused, as they came. Value, key and headers are the original's.

Where that would be too large, headers are left out first, then key and value, and `HEADER_LEFT_OUT` says what was.
What could not be sent stands there by its digests (`NotSent`), with the topic that did not take it in `HEADER_TARGET`.
"""

from __future__ import annotations

from refrain.schemas.base import Message

HEADER_TOPIC = "refrain.dead.topic"
HEADER_PARTITION = "refrain.dead.partition"
HEADER_OFFSET = "refrain.dead.offset"
HEADER_REASON = "refrain.dead.reason"
"""A code of `Refusal`, a colon, and what is wrong."""
HEADER_PROCESSOR = "refrain.dead.processor"
HEADER_ID = "refrain.dead.id"
"""Which letter it is: one that was written twice, since its worker ended before it could note that, has the same."""
HEADERS = (HEADER_TOPIC, HEADER_PARTITION, HEADER_OFFSET, HEADER_REASON, HEADER_PROCESSOR, HEADER_ID)
"""The headers that every dead letter has."""
HEADER_LEFT_OUT = "refrain.dead.left_out"
"""What of the original was too large or unreadable: `headers`, or `headers, key, value` with size and digest."""
HEADER_TARGET = "refrain.dead.target"
"""The topic that did not take what was to be sent there; such a letter has none of topic, partition and offset."""


class NotSent(Message):
    """What is left of a record that could not be sent: sizes in bytes, digests (SHA-256, hex) and ids, no text."""

    topic: str
    """The topic that did not take it; one outside the prefix begins with `/`."""
    partition: int | None = None
    """The partition, if one was asked for."""
    key_bytes: int | None = None
    """The length of the key."""
    key_sha256: str | None = None
    """Its SHA-256, hex."""
    value_bytes: int | None = None
    """The length of the value."""
    value_sha256: str | None = None
    """Its SHA-256, hex."""
    headers: int = 0
    """The number of headers."""
    headers_bytes: int = 0
    """What the headers take."""
    id: str | None = None
    """The decision of a response; of any other record its key, where that is an id of Refrain's own."""
    request_id: str | None = None
    """Of a response, the request's."""
