"""The largest record that classify makes of a request."""

from __future__ import annotations

from refrain.schemas.topics import JOURNAL_BYTES_MAX
from refrain.streams.errors import Refusal, RefusalCode
from refrain.streams.kafka.interface import Outgoing

OUT_BYTES_MAX = JOURNAL_BYTES_MAX
"""The largest record to `journal` or `forwards`: text is escaped twice there. Below the topics' own limit."""


def bounded(out: list[Outgoing]) -> list[Outgoing]:
    """Check the size of the records. Raises Refusal(TOO_LARGE) when one is larger than its topic takes."""
    for record in out:
        size = len(record.key or b"") + len(record.value or b"")
        if size > OUT_BYTES_MAX:
            raise Refusal(
                RefusalCode.TOO_LARGE,
                f"with its escapes the request takes {size} bytes, {OUT_BYTES_MAX} are taken: shorten it",
            )
    return out
