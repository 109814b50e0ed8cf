"""The dead letter of a record that has ended its worker twice: digests, and nothing of the record itself."""

from __future__ import annotations

import hashlib

from refrain.streams.errors import Refusal, RefusalCode
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.messaging.dead_letters import dead_letter

TOLD = "it ended its worker twice and is set aside: ask in another way, and tell whoever runs this service"
"""The message to a requester whose record was quarantined."""


def refusal_of_quarantined() -> Refusal:
    """The refusal for a requester whose record was quarantined."""
    return Refusal(RefusalCode.QUARANTINED, TOLD)


def quarantined(record: Record, processor: str) -> Outgoing:
    """The dead letter of a quarantined record, with sizes and a digest by which whoever has it can tell it."""
    value = record.value or b""
    refusal = Refusal(
        RefusalCode.QUARANTINED,
        f"its worker ended twice at this record; key {len(record.key or b'')} bytes, value {len(value)} bytes,"
        f" sha256 {hashlib.sha256(value).hexdigest()}",
    )
    return dead_letter(record, refusal, processor, with_text=False)
